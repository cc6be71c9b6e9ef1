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

// The B x S x F tensor whose heads `heads` is: a reshape of it to B x S x heads x D.
static Value joinedHeads(Value heads) {
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

// B x G x S x D if `value` is B x heads x S x D with each head of it repeated, else
// `value`: a reshape of an expand of a reshape.
static Value withoutRepeats(Value value) {
  auto join = value.getDefiningOp<graph::ReshapeOp>();
  auto expand = join ? join.getX().getDefiningOp<graph::ExpandOp>() : graph::ExpandOp();
  auto split = expand ? expand.getX().getDefiningOp<graph::ReshapeOp>() : graph::ReshapeOp();
  if (!split || typeOf(value).getRank() != 4 || typeOf(split.getX()).getRank() != 4)
    return value;
  ArrayRef<int64_t> few = typeOf(split.getX()).getShape(), many = typeOf(value).getShape();
  int64_t count = few[1] ? many[1] / few[1] : 0;
  SmallVector<int64_t> before{few[0], few[1], 1, few[2], few[3]}, after{few[0], few[1], count, few[2], few[3]};
  bool repeats = typeOf(split.getResult()).getShape() == ArrayRef<int64_t>(before) &&
                 typeOf(expand.getResult()).getShape() == ArrayRef<int64_t>(after) && many[0] == few[0] &&
                 many[1] == few[1] * count && many.take_back(2) == few.take_back(2);
  return repeats ? split.getX() : value;
}

// The B x S x F tensor whose heads `value` is, as B x heads x S x D. Constant factors
// go into `scale`.
static Value joinedFrom(Value value, double &scale) {
  auto transpose = stripScale(value, scale).getDefiningOp<graph::TransposeOp>();
  if (!transpose || transpose.getPermutation() != ArrayRef<int64_t>{0, 2, 1, 3})
    return {};
  return joinedHeads(stripScale(transpose.getX(), scale));
}

// The same for keys, as B x heads x D x S.
static Value joinedKeys(Value value, double &scale) {
  auto transpose = stripScale(value, scale).getDefiningOp<graph::TransposeOp>();
  if (!transpose)
    return {};
  // Two transposes have become one where nothing stood between them.
  if (transpose.getPermutation() == ArrayRef<int64_t>{0, 2, 3, 1})
    return joinedHeads(stripScale(transpose.getX(), scale));
  if (transpose.getPermutation() == ArrayRef<int64_t>{0, 1, 3, 2})
    return joinedFrom(withoutRepeats(stripScale(transpose.getX(), scale)), scale);
  return {};
}

// The value whose halves `value` is, turned: -x[D/2 ...] before x[... D/2].
static Value halvesOf(Value value) {
  auto concat = value.getDefiningOp<graph::ConcatOp>();
  int64_t last = typeOf(value).getRank() - 1;
  if (!concat || concat.getInputs().size() != 2 || int64_t(concat.getAxis()) != last)
    return {};
  auto negative = concat.getInputs()[0].getDefiningOp<graph::UnaryOp>();
  if (!negative || negative.getKind() != graph::UnaryKind::Neg)
    return {};
  auto upper = negative.getX().getDefiningOp<graph::SliceOp>();
  auto lower = concat.getInputs()[1].getDefiningOp<graph::SliceOp>();
  if (!upper || !lower || upper.getX() != lower.getX() || typeOf(upper.getX()) != typeOf(value))
    return {};
  int64_t half = typeOf(value).getShape().back() / 2;
  for (auto [slice, start] : {std::pair(upper, half), std::pair(lower, int64_t(0))})
    for (int64_t axis = 0; axis <= last; ++axis)
      if (slice.getSteps()[axis] != 1 || slice.getStarts()[axis] != (axis == last ? start : int64_t(0)) ||
          typeOf(slice.getResult()).getDimSize(axis) != (axis == last ? half : typeOf(value).getDimSize(axis)))
        return {};
  return upper.getX();
}

// `angles`, which repeat along batch and heads, as S x D.
static Value anglesOf(OpBuilder &builder, Value angles, RankedTensorType heads) {
  ArrayRef<int64_t> shape = typeOf(angles).getShape(), last = heads.getShape().take_back(2);
  if (shape.size() < 2 || shape.take_back(2) != last ||
      !llvm::all_of(shape.drop_back(2), [](int64_t size) { return size == 1; }))
    return {};
  if (shape.size() == 2)
    return angles;
  return graph::ReshapeOp::create(builder, angles.getLoc(), RankedTensorType::get(last, heads.getElementType()),
                                  angles);
}

// x cos + halves(x) sin on heads, to one op on tokens x features.
static void fuseRotary(graph::BinaryOp sum) {
  auto type = typeOf(sum.getResult());
  if (sum.getKind() != BinaryKind::Add || type.getRank() != 4)
    return;
  auto isProduct = [](Value value) {
    auto op = value.getDefiningOp<graph::BinaryOp>();
    return op && op.getKind() == BinaryKind::Mul;
  };
  if (!isProduct(sum.getLhs()) || !isProduct(sum.getRhs()))
    return;
  for (auto [first, second] : {std::pair(sum.getLhs(), sum.getRhs()), std::pair(sum.getRhs(), sum.getLhs())}) {
    Operation *plain = first.getDefiningOp(), *turned = second.getDefiningOp();
    for (int i : {0, 1}) {
      Value x = halvesOf(turned->getOperand(i));
      if (!x || typeOf(x) != type)
        continue;
      int j = plain->getOperand(0) == x ? 0 : 1;
      auto transpose = x.getDefiningOp<graph::TransposeOp>();
      if (plain->getOperand(j) != x || !transpose || transpose.getPermutation() != ArrayRef<int64_t>{0, 2, 1, 3})
        continue;
      Value joined = joinedHeads(transpose.getX());
      OpBuilder builder(sum);
      Value cos = anglesOf(builder, plain->getOperand(1 - j), type);
      Value sin = anglesOf(builder, turned->getOperand(1 - i), type);
      if (!joined || !cos || !sin || typeOf(joined).isDynamicDim(0) || typeOf(joined).isDynamicDim(2))
        continue;
      Value rotary = graph::RotaryOp::create(builder, sum.getLoc(), joined.getType(), joined, cos, sin,
                                             builder.getI64IntegerAttr(type.getDimSize(1)));
      Value heads = graph::ReshapeOp::create(builder, sum.getLoc(), transpose.getX().getType(), rotary);
      sum.replaceAllUsesWith(
          graph::TransposeOp::create(builder, sum.getLoc(), type, heads, transpose.getPermutation()).getResult());
      return;
    }
  }
}

namespace {

// A mask and how it is used: hidden scores are replaced or added to.
struct Mask {
  bool isCausal = false;
  Value added; // f32; null if there is none.
};

} // namespace

// The tensor of which `value` is a part from the first element of each axis on.
static Value stripCuts(Value value) {
  while (auto slice = value.getDefiningOp<graph::SliceOp>()) {
    auto isZero = [](int64_t start) { return start == 0; };
    auto isOne = [](int64_t step) { return step == 1; };
    if (!llvm::all_of(slice.getStarts(), isZero) || !llvm::all_of(slice.getSteps(), isOne))
      break;
    value = slice.getX();
  }
  return value;
}

// Whether a tensor is one matrix, with `isRight(element, row, column)` for each of
// `elements`.
template <typename Elements, typename Check>
static bool isMatrix(ElementsAttr tensor, const Elements &elements, Check isRight) {
  auto type = cast<RankedTensorType>(tensor.getType());
  int64_t rank = type.getRank();
  if (rank < 2 || type.getNumElements() != type.getDimSize(rank - 1) * type.getDimSize(rank - 2))
    return false;
  int64_t columns = type.getDimSize(rank - 1), index = 0;
  for (auto element : elements) {
    if (!isRight(element, index / columns, index % columns))
      return false;
    ++index;
  }
  return true;
}

// Whether `condition` is a part, from the corner, of a constant lower triangle
// of ones (`value` = 1) or of its opposite.
static bool isLowerTriangle(Value condition, bool value) {
  condition = stripCuts(condition);
  while (Operation *op = condition.getDefiningOp()) {
    if (auto unary = dyn_cast<graph::UnaryOp>(op); unary && unary.getKind() == graph::UnaryKind::Not) {
      value = !value;
      condition = stripCuts(unary.getX());
    } else if (auto cast = dyn_cast<graph::CastOp>(op); cast && typeOf(cast.getX()).getElementType().isInteger(1)) {
      condition = stripCuts(cast.getX());
    } else {
      break;
    }
  }
  ElementsAttr elements = graph::constantValue(condition);
  if (!elements || !elements.getElementType().isInteger(1))
    return false;
  return isMatrix(elements, elements.getValues<bool>(),
                  [&](bool element, int64_t row, int64_t column) { return element == ((column <= row) == value); });
}

// Smaller scores still leak into a softmax.
static constexpr float kHidden = -1000;

// Whether adding `mask` leaves what is in the lower triangle and hides the rest.
static bool isCausalAddend(Value mask) {
  ElementsAttr elements = graph::constantValue(stripCuts(mask));
  if (!elements || !elements.getElementType().isF32())
    return false;
  return isMatrix(elements, graph::floatElements(elements), [](float element, int64_t row, int64_t column) {
    return column <= row ? element == 0 : element <= kHidden;
  });
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
      Value added = isLeft ? add.getRhs() : add.getLhs();
      if (typeOf(added).getRank() >= 2 && isCausalAddend(added) &&
          typeOf(added).getShape().take_back(2) == typeOf(scores).getShape().take_back(2))
        mask.isCausal = true;
      else if (!addMask(add.getLoc(), added))
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
    if (!hidden || *hidden > kHidden)
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
  Value q = joinedFrom(product.getLhs(), scale);
  Value k = joinedKeys(product.getRhs(), scale);
  Value v = joinedFrom(withoutRepeats(stripScale(context.getRhs(), valueScale)), valueScale);
  // All heads of one size: then k and v of one type have the same heads.
  if (typeOf(product.getLhs()).getShape().back() != typeOf(context.getRhs()).getShape().back())
    return false;
  if (!q || !k || !v || valueScale != 1 || k.getType() != v.getType())
    return false;
  auto type = typeOf(q);
  if (type.isDynamicDim(0) || type.isDynamicDim(2) || typeOf(k).isDynamicDim(2) ||
      type.getShape().drop_back() != typeOf(k).getShape().drop_back())
    return false;
  builder.setInsertionPoint(reshape);
  Value result = graph::AttentionOp::create(builder, softmax.getLoc(), type, q, k, v, mask.added,
                                            builder.getI64IntegerAttr(typeOf(softmax.getResult()).getDimSize(1)),
                                            builder.getF32FloatAttr(scale),
                                            mask.isCausal ? builder.getUnitAttr() : UnitAttr(), IntegerAttr());
  if (reshape.getType() != type)
    result = graph::ReshapeOp::create(builder, reshape.getLoc(), reshape.getType(), result);
  reshape.replaceAllUsesWith(result);
  return true;
}

namespace {

struct FuseAttention : rt3::impl::FuseAttentionPassBase<FuseAttention> {
  void runOnOperation() override {
    SmallVector<graph::BinaryOp> sums;
    getOperation().walk([&](graph::BinaryOp op) { sums.push_back(op); });
    for (graph::BinaryOp op : sums)
      fuseRotary(op);
    SmallVector<graph::SoftmaxOp> candidates;
    getOperation().walk([&](graph::SoftmaxOp op) { candidates.push_back(op); });
    for (graph::SoftmaxOp op : candidates)
      fuse(op);
  }
};

} // namespace
