// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_FUSEATTENTIONPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;
using graph::BinaryKind;

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

static std::optional<float> scalarConstant(Value value) {
  ElementsAttr elements = graph::constantValue(value);
  if (!elements || elements.getNumElements() != 1 || !elements.getElementType().isF32())
    return std::nullopt;
  return graph::floatElements(elements)[0];
}

// Takes constant factors off `value` and multiplies `scale` by them.
static Value stripScale(Value value, double &scale) {
  while (auto op = value.getDefiningOp<graph::BinaryOp>()) {
    auto right = scalarConstant(op.getRhs()), left = scalarConstant(op.getLhs());
    if (op.getKind() == BinaryKind::Mul && (right || left)) {
      scale *= right ? *right : *left;
      value = right ? op.getLhs() : op.getRhs();
    } else if (op.getKind() == BinaryKind::Div && right && *right != 0) {
      scale /= *right;
      value = op.getLhs();
    } else {
      break;
    }
  }
  return value;
}

// The B x S x F tensor whose heads `value` is: a transpose by `permutation` of a
// reshape to B x S x heads x D. Constant factors go into `scale`.
static Value joinedHeads(Value value, ArrayRef<int64_t> permutation, double &scale) {
  value = stripScale(value, scale);
  auto transpose = value.getDefiningOp<graph::TransposeOp>();
  if (!transpose || transpose.getPermutation() != permutation)
    return {};
  Value heads = stripScale(transpose.getX(), scale);
  auto reshape = heads.getDefiningOp<graph::ReshapeOp>();
  auto split = typeOf(heads);
  if (!reshape || split.getRank() != 4)
    return {};
  Value joined = reshape.getX();
  auto type = typeOf(joined);
  SmallVector<int64_t> expected{split.getDimSize(0), split.getDimSize(1), split.getDimSize(2) * split.getDimSize(3)};
  if (type.getShape() == ArrayRef<int64_t>(expected))
    return joined;
  // Tokens may have lost their batch axis on the way.
  if (type.getRank() == 2 && type.getShape() == ArrayRef<int64_t>(expected).drop_front() && expected[0] == 1) {
    OpBuilder builder(reshape);
    return graph::ReshapeOp::create(builder, reshape.getLoc(), RankedTensorType::get(expected, type.getElementType()),
                                    joined);
  }
  return {};
}

namespace {

// A mask and how it is used: hidden scores are replaced or added to.
struct Mask {
  bool isCausal = false;
  Value added; // f32; null if there is none.
};

} // namespace

// Whether `condition` is a part, from the corner, of a constant lower triangle
// of ones (`value` = 1) or of its opposite.
static bool isLowerTriangle(Value condition, bool value) {
  while (Operation *op = condition.getDefiningOp()) {
    if (auto unary = dyn_cast<graph::UnaryOp>(op); unary && unary.getKind() == graph::UnaryKind::Not) {
      value = !value;
      condition = unary.getX();
    } else if (auto cast = dyn_cast<graph::CastOp>(op); cast && typeOf(cast.getX()).getElementType().isInteger(1)) {
      condition = cast.getX();
    } else if (auto slice = dyn_cast<graph::SliceOp>(op)) {
      auto isZero = [](int64_t start) { return start == 0; };
      auto isOne = [](int64_t step) { return step == 1; };
      if (!llvm::all_of(slice.getStarts(), isZero) || !llvm::all_of(slice.getSteps(), isOne))
        return false;
      condition = slice.getX();
    } else {
      break;
    }
  }
  ElementsAttr elements = graph::constantValue(condition);
  auto type = typeOf(condition);
  int64_t rank = type.getRank();
  if (!elements || rank < 2 || !type.getElementType().isInteger(1) ||
      type.getNumElements() != type.getDimSize(rank - 1) * type.getDimSize(rank - 2))
    return false;
  int64_t columns = type.getDimSize(rank - 1);
  int64_t index = 0;
  for (bool element : elements.getValues<bool>()) {
    if (element != ((index % columns <= index / columns) == value))
      return false;
    ++index;
  }
  return true;
}

// Takes masks off `scores`, leaving the scaled product.
static Value stripMasks(OpBuilder &builder, Value scores, Mask &mask) {
  auto addMask = [&](Location loc, Value value) {
    auto type = typeOf(value);
    if (type.getRank() > 4)
      return false;
    if (type.getRank() < 4) {
      SmallVector<int64_t> shape(4 - type.getRank(), 1);
      llvm::append_range(shape, type.getShape());
      value = graph::ReshapeOp::create(builder, loc, RankedTensorType::get(shape, type.getElementType()), value);
    }
    if (mask.added)
      return false; // Two masks: the second stays outside, so no match.
    mask.added = value;
    return true;
  };
  while (true) {
    if (auto add = scores.getDefiningOp<graph::BinaryOp>(); add && add.getKind() == BinaryKind::Add) {
      // The scores are the operand that has the full shape; if both have, the
      // one that a product gives.
      bool isLeft = add.getLhs().getType() == add.getType();
      if (isLeft && add.getRhs().getType() == add.getType()) {
        double ignored = 1;
        isLeft = stripScale(add.getLhs(), ignored).getDefiningOp<graph::MatmulOp>() != nullptr;
      }
      if (!addMask(add.getLoc(), isLeft ? add.getRhs() : add.getLhs()))
        return {};
      scores = isLeft ? add.getLhs() : add.getRhs();
      continue;
    }
    auto select = scores.getDefiningOp<graph::SelectOp>();
    if (!select)
      return scores;
    auto onTrue = scalarConstant(select.getOnTrue()), onFalse = scalarConstant(select.getOnFalse());
    bool hidesWhereTrue = onTrue.has_value();
    auto hidden = hidesWhereTrue ? onTrue : onFalse;
    // Smaller numbers still leak into the softmax.
    if (!hidden || *hidden > -1000)
      return {};
    scores = hidesWhereTrue ? select.getOnFalse() : select.getOnTrue();
    // A condition that repeats along queries or keys is no triangle over them.
    bool coversScores =
        typeOf(select.getCondition()).getRank() >= 2 &&
        typeOf(select.getCondition()).getShape().take_back(2) == typeOf(select.getResult()).getShape().take_back(2);
    if (coversScores && isLowerTriangle(select.getCondition(), !hidesWhereTrue)) {
      mask.isCausal = true;
      continue;
    }
    auto type = RankedTensorType::get(typeOf(select.getCondition()).getShape(), builder.getF32Type());
    auto scalar = [&](float value) -> Value {
      return graph::ConstantOp::create(builder, select.getLoc(),
                                       DenseElementsAttr::get(RankedTensorType::get({1}, builder.getF32Type()), value));
    };
    Value hide = scalar(*hidden), keep = scalar(0);
    if (type.getRank() == 0)
      return {};
    Value added = graph::SelectOp::create(builder, select.getLoc(), type, select.getCondition(),
                                          hidesWhereTrue ? hide : keep, hidesWhereTrue ? keep : hide);
    if (!addMask(select.getLoc(), added))
      return {};
  }
}

static bool fuse(graph::SoftmaxOp softmax) {
  if (softmax.getAxis() != 3 || typeOf(softmax.getResult()).getRank() != 4 || !softmax->hasOneUse())
    return false;
  auto context = dyn_cast<graph::MatmulOp>(*softmax->user_begin());
  if (!context || context.getLhs() != softmax.getResult() || !context->hasOneUse())
    return false;
  auto join = dyn_cast<graph::TransposeOp>(*context->user_begin());
  if (!join || join.getPermutation() != ArrayRef<int64_t>{0, 2, 1, 3} || !join->hasOneUse())
    return false;
  auto reshape = dyn_cast<graph::ReshapeOp>(*join->user_begin());
  if (!reshape)
    return false;

  OpBuilder builder(softmax);
  double scale = 1, valueScale = 1;
  Mask mask;
  Value scores = stripMasks(builder, softmax.getX(), mask);
  scores = scores ? stripScale(scores, scale) : scores;
  auto product = scores ? scores.getDefiningOp<graph::MatmulOp>() : graph::MatmulOp();
  if (!product)
    return false;
  Value q = joinedHeads(product.getLhs(), {0, 2, 1, 3}, scale);
  Value k = joinedHeads(product.getRhs(), {0, 2, 3, 1}, scale);
  Value v = joinedHeads(context.getRhs(), {0, 2, 1, 3}, valueScale);
  if (!q || !k || !v || valueScale != 1 || k.getType() != q.getType() || v.getType() != q.getType())
    return false;
  auto type = typeOf(q);
  if (type.isDynamicDim(0) || type.isDynamicDim(2))
    return false;
  builder.setInsertionPoint(reshape);
  Value result =
      graph::AttentionOp::create(builder, softmax.getLoc(), type, q, k, v, mask.added,
                                 builder.getI64IntegerAttr(typeOf(softmax.getResult()).getDimSize(1)),
                                 builder.getF32FloatAttr(scale), mask.isCausal ? builder.getUnitAttr() : UnitAttr());
  if (reshape.getType() != type)
    result = graph::ReshapeOp::create(builder, reshape.getLoc(), reshape.getType(), result);
  reshape.replaceAllUsesWith(result);
  return true;
}

namespace {

struct FuseAttention : rt3::impl::FuseAttentionPassBase<FuseAttention> {
  void runOnOperation() override {
    SmallVector<graph::SoftmaxOp> candidates;
    getOperation().walk([&](graph::SoftmaxOp op) { candidates.push_back(op); });
    for (graph::SoftmaxOp op : candidates)
      fuse(op);
  }
};

} // namespace
