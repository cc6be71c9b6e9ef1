// SPDX-License-Identifier: Apache-2.0

#ifndef RT3_COMPILER_RUNPASSES_H
#define RT3_COMPILER_RUNPASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"

namespace mlir::rt3 {

// Runs a pipeline and verifies its result; what passes report becomes the error.
llvm::Error runPasses(ModuleOp module, llvm::function_ref<void(OpPassManager &)> build);

} // namespace mlir::rt3

#endif // RT3_COMPILER_RUNPASSES_H
