// SPDX-License-Identifier: Apache-2.0
//
// Evaluations that take seconds to minutes each: run in processes of their own, several at
// a time, and kept on disk by what they depend on, so that none is done twice.

#ifndef RT3_COMPILER_SEARCH_EVALUATIONS_H
#define RT3_COMPILER_SEARCH_EVALUATIONS_H

#include "compiler/search/Communicator.h"

#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <functional>
#include <map>

namespace mlir::rt3 {

// Does one job; {"error": ...} where that cannot be done. Runs in a child of this process.
using Evaluate = std::function<llvm::json::Object(const llvm::json::Object &job)>;
// Shows that so many of so many are done.
using ShowEvaluations = std::function<void(size_t done, size_t count)>;

class Evaluations {
public:
  // `folder`: for results, made if need be. `key`: a hash of all that every job depends on.
  // `processes`: at a time, on this machine.
  Evaluations(std::string folder, std::string key, int processes, Evaluate evaluate, const Communicator &others)
      : folder(std::move(folder)), key(std::move(key)), processes(processes), evaluate(std::move(evaluate)),
        others(others) {}

  // Results of jobs, in order; jobs that are equal are done once.
  //
  // Errors: a job that says so or whose process ends before it is done, with the job; results
  // that cannot be written. What is done by then is kept.
  llvm::Expected<std::vector<llvm::json::Object>> run(const std::vector<llvm::json::Object> &jobs,
                                                      const ShowEvaluations &show = nullptr);

  // Jobs done by this search and not found on disk.
  size_t newCount() const { return doneCount; }

private:
  std::string pathOf(const std::string &job) const;
  std::optional<std::string> readResult(const std::string &job) const;
  // Writes a result to disk if it is one; else, or if that fails, it becomes an error.
  void keep(const std::string &job, std::string &result) const;
  // Results of `jobs` by child processes; texts of JSON.
  std::vector<std::string> runProcesses(const std::vector<std::string> &jobs, const ShowEvaluations &show);

  std::string folder, key;
  int processes;
  Evaluate evaluate;
  const Communicator &others;
  std::map<std::string, std::string> known; // By the job's text.
  size_t doneCount = 0;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_SEARCH_EVALUATIONS_H
