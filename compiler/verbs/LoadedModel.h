// SPDX-License-Identifier: Apache-2.0
//
// A compiled model of this machine, loaded from the folder that compile wrote.

#ifndef RT3_COMPILER_VERBS_LOADEDMODEL_H
#define RT3_COMPILER_VERBS_LOADEDMODEL_H

#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"
#include "rt3/rt3_pool.h"

#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace mlir::rt3 {

// Memory aligned for the runtime.
struct AlignedFree {
  void operator()(void *memory) const { free(memory); }
};
using AlignedMemory = std::unique_ptr<char[], AlignedFree>;
AlignedMemory allocateAligned(size_t size);

class LoadedModel {
public:
  // Errors: no library or several in the folder, a library of another machine,
  // a bundle that the runtime refuses (with its words).
  static llvm::Expected<std::unique_ptr<LoadedModel>> load(const std::string &folder);
  ~LoadedModel();

  const rt3_program_t &program() const { return *code; }
  const std::string &name() const { return modelName; }
  const std::vector<rt3_bundle_level_t> &levels() const { return levelTable; }
  size_t bundleSize() const { return bundleBytes; }
  // JSON of the compilation, as in <name>.report.json; empty if the bundle has none.
  llvm::StringRef report() const;
  double loadMilliseconds() const { return loadTime; }
  rt3_model_t *model() { return handle; }

  // Later runs use so many threads; an error if they cannot be started.
  llvm::Error setThreads(uint32_t count);

  // The number of a level given by name or number.
  llvm::Expected<uint32_t> findLevel(const std::string &text) const;

  // Runs one inference; buffers as in rt3_run_t. Models with a cache go on behind the
  // first `position` tokens of the last text.
  llvm::Error run(const std::vector<const void *> &inputs, const std::vector<void *> &outputs, int64_t length,
                  int64_t position = 0);

private:
  void *library = nullptr;
  const rt3_program_t *code = nullptr;
  std::string modelName;
  AlignedMemory bundle, memory, workspace, stateMemory;
  size_t bundleBytes = 0;
  std::vector<rt3_bundle_level_t> levelTable;
  rt3_model_t *handle = nullptr;
  AlignedMemory poolMemory;
  rt3_pool_t *pool = nullptr; // Of more threads than the caller's.
  rt3_parallel_t parallel{};
  rt3_state_t *state = nullptr; // Of models with a cache.
  double loadTime = 0;
};

// Bytes of a tensor, and of one element.
size_t tensorSize(const rt3_tensor_t &tensor, int64_t length);
size_t elementSize(uint32_t elementType);

// The level records of a bundle that has the right header; an error otherwise.
llvm::Expected<std::vector<rt3_bundle_level_t>> readLevels(llvm::StringRef bundle);

} // namespace mlir::rt3

#endif // RT3_COMPILER_VERBS_LOADEDMODEL_H
