// SPDX-License-Identifier: Apache-2.0
//
// The processes, maybe on several machines, that search together under mpirun. All of them
// decide the same; only evaluations are shared out.

#ifndef RT3_COMPILER_SEARCH_COMMUNICATOR_H
#define RT3_COMPILER_SEARCH_COMMUNICATOR_H

#include <string>
#include <vector>

namespace mlir::rt3 {

class Communicator {
public:
  // Joins the others where mpirun has started this process; else it is alone.
  Communicator();
  ~Communicator();
  Communicator(const Communicator &) = delete;

  int rank() const { return own; }
  int size() const { return count; }
  // The text of the first process.
  std::string broadcast(std::string text) const;
  // Everybody's text, by rank.
  std::vector<std::string> gather(const std::string &text) const;
  // Ends all processes, because this one cannot go on.
  [[noreturn]] void abort(int code) const;

private:
  int own = 0, count = 1;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_SEARCH_COMMUNICATOR_H
