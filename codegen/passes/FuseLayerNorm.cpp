// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_FUSELAYERNORMPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;
using graph::BinaryKind;

// Both orders of the operands of a commutative op, one order of another.
static SmallVector<std::pair<Value, Value>> operandsOf(Value value, BinaryKind kind) {
  auto op = value.getDefiningOp<graph::BinaryOp>();
  if (!op || op.getKind() != kind)
    return {};
  SmallVector<std::pair<Value, Value>> result{{op.getLhs(), op.getRhs()}};
  if (kind == BinaryKind::Add || kind == BinaryKind::Mul)
    result.emplace_back(op.getRhs(), op.getLhs());
  return result;
}

// The operand of a mean over the last axis.
static Value meanOf(Value value) {
  auto op = value.getDefiningOp<graph::ReduceOp>();
  if (!op || op.getKind() != graph::ReduceKind::Mean || op.getAxes().size() != 1 ||
      op.getAxes()[0] != cast<RankedTensorType>(op.getX().getType()).getRank() - 1)
    return {};
  return op.getX();
}

// x if `value` is x - mean(x).
static Value centred(Value value) {
  for (auto [x, mean] : operandsOf(value, BinaryKind::Sub))
    if (meanOf(mean) == x)
      return x;
  return {};
}

// epsilon if `value` is mean(difference^2) + epsilon.
static std::optional<float> variancePlusEpsilon(Value value, Value difference) {
  for (auto [variance, epsilon] : operandsOf(value, BinaryKind::Add)) {
    ElementsAttr constant = graph::constantValue(epsilon);
    Value square = meanOf(variance);
    if (!constant || constant.getNumElements() != 1 || !square)
      continue;
    // Exporters may write x - mean(x) twice.
    for (auto [a, b] : operandsOf(square, BinaryKind::Mul))
      if (a == b && centred(a) == centred(difference))
        return graph::floatElements(constant)[0];
  }
  return std::nullopt;
}

// A constant with one element per feature, of any rank, as a vector.
static Value featureVector(OpBuilder &builder, Value value, int64_t features) {
  ElementsAttr constant = graph::constantValue(value);
  auto type = cast<RankedTensorType>(value.getType());
  if (!constant || type.getNumElements() != features || (type.getRank() > 0 && type.getShape().back() != features))
    return {};
  if (type.getRank() == 1)
    return value;
  auto vector = RankedTensorType::get(features, type.getElementType());
  return graph::ReshapeOp::create(builder, value.getLoc(), vector, value);
}

// `value` = normalised * scale + bias, or nothing.
static bool fuse(graph::BinaryOp root) {
  auto type = cast<RankedTensorType>(root.getType());
  if (type.getRank() < 1 || type.isDynamicDim(type.getRank() - 1))
    return false;
  int64_t features = type.getShape().back();
  OpBuilder builder(root);
  for (auto [product, biasValue] : operandsOf(root.getResult(), BinaryKind::Add))
    for (auto [normal, scaleValue] : operandsOf(product, BinaryKind::Mul))
      for (auto [difference, rootValue] : operandsOf(normal, BinaryKind::Div)) {
        auto sqrt = rootValue.getDefiningOp<graph::UnaryOp>();
        Value x = centred(difference);
        if (!x || x.getType() != type || !sqrt || sqrt.getKind() != graph::UnaryKind::Sqrt)
          continue;
        auto epsilon = variancePlusEpsilon(sqrt.getX(), difference);
        Value scale = featureVector(builder, scaleValue, features);
        Value bias = featureVector(builder, biasValue, features);
        if (!epsilon || *epsilon < 0 || !scale || !bias)
          continue;
        root.replaceAllUsesWith(
            graph::LayerNormOp::create(builder, root.getLoc(), type, x, scale, bias, builder.getF32FloatAttr(*epsilon))
                .getResult());
        return true;
      }
  return false;
}

namespace {

struct FuseLayerNorm : rt3::impl::FuseLayerNormPassBase<FuseLayerNorm> {
  void runOnOperation() override {
    SmallVector<graph::BinaryOp> sums;
    getOperation().walk([&](graph::BinaryOp op) {
      if (op.getKind() == BinaryKind::Add)
        sums.push_back(op);
    });
    for (graph::BinaryOp op : sums)
      fuse(op);
  }
};

} // namespace
