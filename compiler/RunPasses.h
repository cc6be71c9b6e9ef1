// SPDX-License-Identifier: Apache-2.0

#ifndef RT3_COMPILER_RUNPASSES_H
#define RT3_COMPILER_RUNPASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"

namespace mlir::rt3 {

struct CompileOptions;
struct PipelineOptions;

// Runs a pipeline and verifies its result; what passes report becomes the error.
llvm::Error runPasses(ModuleOp module, llvm::function_ref<void(OpPassManager &)> build);

// The same of a pipeline that chooses kernels, for the device of `options`, whose layers shall have the kernels that
// `options` ask for. Errors: an OptionFault if there are none such.
llvm::Error runKernelPasses(ModuleOp module, const CompileOptions &options,
                            llvm::function_ref<void(OpPassManager &, const PipelineOptions &)> build);

} // namespace mlir::rt3

#endif // RT3_COMPILER_RUNPASSES_H
