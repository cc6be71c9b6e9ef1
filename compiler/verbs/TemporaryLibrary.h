// SPDX-License-Identifier: Apache-2.0
//
// Compiled models that a verb runs and nobody keeps.

#ifndef RT3_COMPILER_VERBS_TEMPORARYLIBRARY_H
#define RT3_COMPILER_VERBS_TEMPORARYLIBRARY_H

#include "compiler/Compile.h"
#include "compiler/verbs/LoadedModel.h"

namespace mlir::rt3 {

// A compiled model in a folder that goes with it. The device of the options must be one
// that this machine is.
class TemporaryLibrary {
public:
  static llvm::Expected<std::unique_ptr<TemporaryLibrary>> load(const CompileResult &result,
                                                                const CompileOptions &options);
  ~TemporaryLibrary();

  LoadedModel &model() { return *loaded; }

private:
  llvm::SmallString<128> path;
  std::unique_ptr<LoadedModel> loaded;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_VERBS_TEMPORARYLIBRARY_H
