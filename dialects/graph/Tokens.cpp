// SPDX-License-Identifier: Apache-2.0

#include "dialects/graph/Tokens.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::rt3::graph;

static ArrayRef<int64_t> shapeOf(Value value) { return cast<RankedTensorType>(value.getType()).getShape(); }

std::optional<int64_t> mlir::rt3::graph::freeAxis(Value value) {
  int64_t found = -1;
  for (auto [axis, size] : llvm::enumerate(shapeOf(value))) {
    if (!ShapedType::isDynamic(size))
      continue;
    if (found != -1)
      return std::nullopt;
    found = axis;
  }
  return found;
}

// The number of elements of one token's part that lie before the next token's.
static int64_t countBefore(Value value, int64_t axis) {
  int64_t product = 1;
  for (int64_t size : shapeOf(value).take_front(axis))
    product *= size;
  return product;
}

bool mlir::rt3::graph::isTokenwise(Operation *op) {
  if (op->getNumResults() != 1)
    return false;
  Value result = op->getResult(0);
  std::optional<int64_t> free = freeAxis(result);
  if (!free)
    return false;
  bool readsTokens = false;
  for (Value operand : op->getOperands()) {
    std::optional<int64_t> own = freeAxis(operand);
    if (!own)
      return false;
    readsTokens |= *own != -1;
  }
  if (*free == -1)
    return !readsTokens;
  return llvm::TypeSwitch<Operation *, bool>(op)
      // Broadcasting aligns free axes: they repeat no size but 1.
      .Case<ConstantOp, UnaryOp, BinaryOp, SelectOp, CastOp, ExpandOp, IotaOp, TransposeOp, LayerNormOp, LinearOp,
            RotaryOp>([](auto) { return true; })
      .Case([&](ReshapeOp reshape) {
        return countBefore(result, *free) == countBefore(reshape.getX(), *freeAxis(reshape.getX()));
      })
      .Case([&](SliceOp slice) {
        return freeAxis(slice.getX()) == free && slice.getStarts()[*free] == 0 && slice.getSteps()[*free] == 1;
      })
      .Case([&](ConcatOp concat) { return int64_t(concat.getAxis()) != *free; })
      .Case([&](GatherOp gather) { return freeAxis(gather.getTable()) == -1; })
      .Case([&](ReduceOp reduce) { return !llvm::is_contained(reduce.getAxes(), *free); })
      .Case([&](SoftmaxOp softmax) { return int64_t(softmax.getAxis()) != *free; })
      .Case([&](MatmulOp matmul) {
        // Of the left side's rows or the right side's columns; a sum over tokens,
        // or one matrix per token, is none.
        int64_t left = *freeAxis(matmul.getLhs()), right = *freeAxis(matmul.getRhs());
        int64_t leftRank = shapeOf(matmul.getLhs()).size(), rightRank = shapeOf(matmul.getRhs()).size();
        return (left == -1 && right == rightRank - 1) || (right == -1 && left == leftRank - 2);
      })
      .Default([](Operation *) { return false; });
}
