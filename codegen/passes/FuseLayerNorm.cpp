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
        root.replaceAllUsesWith(graph::LayerNormOp::create(builder, root.getLoc(), type, x, scale, bias,
                                                           builder.getF32FloatAttr(*epsilon),
                                                           /*rms=*/UnitAttr())
                                    .getResult());
        return true;
      }
  return false;
}

// x and epsilon if `value` is x / sqrt(mean(x^2) + epsilon), with a quotient or a
// reciprocal.
static std::optional<std::pair<Value, float>> rootMeanSquare(Value value) {
  SmallVector<std::pair<Value, Value>> quotients = operandsOf(value, BinaryKind::Div); // x, root
  for (auto [x, inverse] : operandsOf(value, BinaryKind::Mul)) {
    auto reciprocal = inverse.getDefiningOp<graph::UnaryOp>();
    if (reciprocal && reciprocal.getKind() == graph::UnaryKind::Reciprocal)
      quotients.emplace_back(x, reciprocal.getX());
    for (auto [one, root] : operandsOf(inverse, BinaryKind::Div)) {
      ElementsAttr constant = graph::constantValue(one);
      if (constant && constant.getNumElements() == 1 && graph::floatElements(constant)[0] == 1)
        quotients.emplace_back(x, root);
    }
  }
  for (auto [x, root] : quotients) {
    auto sqrt = root.getDefiningOp<graph::UnaryOp>();
    if (!sqrt || sqrt.getKind() != graph::UnaryKind::Sqrt)
      continue;
    for (auto [mean, epsilon] : operandsOf(sqrt.getX(), BinaryKind::Add)) {
      ElementsAttr constant = graph::constantValue(epsilon);
      Value square = meanOf(mean);
      if (!constant || constant.getNumElements() != 1 || !square)
        continue;
      for (auto [a, b] : operandsOf(square, BinaryKind::Mul))
        if (a == x && b == x)
          return std::pair(x, graph::floatElements(constant)[0]);
    }
  }
  return std::nullopt;
}

// `root` = x / sqrt(mean(x^2) + epsilon) * scale, or nothing.
static bool fuseRms(graph::BinaryOp root) {
  auto type = cast<RankedTensorType>(root.getType());
  if (root.use_empty() || type.getRank() < 1 || type.isDynamicDim(type.getRank() - 1))
    return false;
  int64_t features = type.getShape().back();
  OpBuilder builder(root);
  for (auto [normal, scaleValue] : operandsOf(root.getResult(), BinaryKind::Mul)) {
    auto found = rootMeanSquare(normal);
    if (!found || found->first.getType() != type || !(found->second >= 0))
      continue;
    Value scale = featureVector(builder, scaleValue, features);
    if (!scale)
      continue;
    Value bias = graph::ConstantOp::create(
        builder, root.getLoc(), DenseElementsAttr::get(RankedTensorType::get(features, type.getElementType()), 0.0f));
    root.replaceAllUsesWith(graph::LayerNormOp::create(builder, root.getLoc(), type, found->first, scale, bias,
                                                       builder.getF32FloatAttr(found->second), builder.getUnitAttr())
                                .getResult());
    return true;
  }
  return false;
}

namespace {

struct FuseLayerNorm : rt3::impl::FuseLayerNormPassBase<FuseLayerNorm> {
  void runOnOperation() override {
    SmallVector<graph::BinaryOp> sums, products;
    getOperation().walk([&](graph::BinaryOp op) {
      if (op.getKind() == BinaryKind::Add)
        sums.push_back(op);
      if (op.getKind() == BinaryKind::Mul)
        products.push_back(op);
    });
    for (graph::BinaryOp op : sums)
      fuse(op);
    // Behind layer normalisation, which has such a product inside.
    for (graph::BinaryOp op : products)
      fuseRms(op);
  }
};

} // namespace
