// SPDX-License-Identifier: Apache-2.0
//
// Computes, at compile time, ops whose operands are all constant.

#ifndef RT3_COMPILER_INTERPRETER_FOLDCONSTANTS_H
#define RT3_COMPILER_INTERPRETER_FOLDCONSTANTS_H

#include "compiler/interpreter/Interpreter.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::rt3 {

// What folding may cost; a file decides neither time nor memory.
struct FoldLimits {
  uint64_t resultBytes; // Of all results together, which live as long as the module.
  uint64_t work;        // Multiply-adds; an element of any other op counts as kElementWork.
};
// The interpreter's time for an element of an elementwise op or a move, in
// multiply-adds of a matrix product.
constexpr uint64_t kElementWork = 32;

// Limits for a model: `budget` bytes of results and some seconds of work, besides
// what grows with its own weights, which exporters transpose, cast or dequantise.
FoldLimits foldLimits(ModuleOp module, int64_t budget);

// Whether every element is one that double holds and the value's type has; floats
// always. And whether no partial sum or product of a reduction of integers `x` leaves
// double.
bool isExact(mlir::Value value, const HostTensor &tensor);
bool isExactReduction(Operation &op, const HostTensor &x);

// Folds until a limit is met, and lowers `limits` by what that took. A result has
// at most four times the elements of its operands, or 128 Ki, and an op's tensors
// at most 768 MiB in double. Integers that double does not hold, or that leave
// their type, are not folded.
void foldConstants(ModuleOp module, FoldLimits &limits);

// A constant op with the elements of a tensor.
mlir::Value materialize(OpBuilder &builder, Location loc, RankedTensorType type, const HostTensor &tensor);

// Ops that depend on constants only, and so have the same result in every run.
int64_t countUnfolded(ModuleOp module);

} // namespace mlir::rt3

#endif // RT3_COMPILER_INTERPRETER_FOLDCONSTANTS_H
