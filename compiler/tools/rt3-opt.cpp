// SPDX-License-Identifier: Apache-2.0
//
// rt3-opt: runs passes on textual IR, for lit tests and for looking.

#include "codegen/Pipelines.h"
#include "dialects/graph/Graph.h"
#include "dialects/kernel/Kernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::rt3::registerPassesAndPipelines();
  mlir::DialectRegistry registry;
  registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::LLVM::LLVMDialect, mlir::scf::SCFDialect,
                  mlir::vector::VectorDialect, mlir::rt3::graph::GraphDialect, mlir::rt3::kernel::KernelDialect>();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "RT3 optimizer driver\n", registry));
}
