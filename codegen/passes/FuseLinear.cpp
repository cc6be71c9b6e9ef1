// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_FUSELINEARPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

// The name of the ONNX node, which the importer keeps as location.
static StringAttr layerName(Operation *op) {
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    return name.getName();
  return StringAttr::get(op->getContext(), "linear");
}

// A copy of `op` with other operands or attributes.
static graph::LinearOp rebuild(PatternRewriter &rewriter, graph::LinearOp op, Value bias, Value residual,
                               graph::UnaryKindAttr activation) {
  auto result = graph::LinearOp::create(rewriter, op.getLoc(), residual ? residual.getType() : op.getType(), op.getX(),
                                        op.getWeights(), bias, residual, op.getLayerAttr(), activation,
                                        op.getLevelsAttr(), op.getPrecisionAttr());
  return result;
}

namespace {

struct MatmulByConstant : OpRewritePattern<graph::MatmulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::MatmulOp op, PatternRewriter &rewriter) const override {
    if (!graph::constantValue(op.getRhs()))
      return rewriter.notifyMatchFailure(op, "right-hand side is computed");
    if (typeOf(op.getRhs()).getRank() != 2)
      return rewriter.notifyMatchFailure(op, "a different matrix per batch");
    if (graph::constantValue(op.getLhs()))
      return rewriter.notifyMatchFailure(op, "both sides are constant");
    rewriter.replaceOpWithNewOp<graph::LinearOp>(op, op.getType(), op.getLhs(), op.getRhs(), Value(), Value(),
                                                 layerName(op), graph::UnaryKindAttr(), ArrayAttr(),
                                                 graph::PrecisionAttr());
    return success();
  }
};

// The linear layer that `value` is, if nothing else uses it.
static graph::LinearOp onlyUse(Value value) {
  auto op = value.getDefiningOp<graph::LinearOp>();
  return op && value.hasOneUse() ? op : graph::LinearOp();
}

struct AddConstant : OpRewritePattern<graph::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != graph::BinaryKind::Add)
      return failure();
    for (auto [sum, bias] : {std::pair(op.getLhs(), op.getRhs()), std::pair(op.getRhs(), op.getLhs())}) {
      graph::LinearOp linear = onlyUse(sum);
      if (!linear || linear.getBias() || linear.getActivation() || linear.getResidual() ||
          linear.getType() != op.getType() || !graph::constantValue(bias) ||
          typeOf(bias).getShape() != typeOf(linear.getResult()).getShape().take_back())
        continue;
      rewriter.replaceOp(op, rebuild(rewriter, linear, bias, Value(), {}));
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no layer plus one constant per output");
  }
};

struct Activate : OpRewritePattern<graph::UnaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::UnaryOp op, PatternRewriter &rewriter) const override {
    graph::LinearOp linear = onlyUse(op.getX());
    if (!linear || linear.getActivation() || linear.getResidual())
      return rewriter.notifyMatchFailure(op, "no function of a layer alone");
    rewriter.replaceOp(op, rebuild(rewriter, linear, linear.getBias(), Value(), op.getKindAttr()));
    return success();
  }
};

struct AddResidual : OpRewritePattern<graph::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != graph::BinaryKind::Add)
      return failure();
    for (auto [sum, other] : {std::pair(op.getLhs(), op.getRhs()), std::pair(op.getRhs(), op.getLhs())}) {
      graph::LinearOp linear = onlyUse(sum);
      if (!linear || linear.getResidual() || other == sum || graph::constantValue(other) ||
          linear.getType() != op.getType() || other.getType() != op.getType())
        continue;
      // A bias is folded first, or it could never be: wait for it.
      rewriter.setInsertionPoint(op);
      rewriter.replaceOp(op, rebuild(rewriter, linear, linear.getBias(), other, linear.getActivationAttr()));
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no layer plus a tensor of its type");
  }
};

// Q, K and V of one matrix: each slice becomes a layer.
struct SliceOutputs : OpRewritePattern<graph::SliceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::SliceOp op, PatternRewriter &rewriter) const override {
    auto linear = op.getX().getDefiningOp<graph::LinearOp>();
    auto from = typeOf(op.getX()), to = typeOf(op.getResult());
    int64_t last = from.getRank() - 1;
    if (!linear || linear.getResidual() || linear.getLevels())
      return rewriter.notifyMatchFailure(op, "no slice of a plain layer");
    for (int64_t i = 0; i < from.getRank(); ++i)
      if (op.getSteps()[i] != 1 || (i != last && (op.getStarts()[i] != 0 || from.getDimSize(i) != to.getDimSize(i))))
        return rewriter.notifyMatchFailure(op, "slices another axis than the last");
    int64_t columns = 0;
    for (Operation *user : linear->getUsers()) {
      if (!isa<graph::SliceOp>(user))
        return rewriter.notifyMatchFailure(op, "the whole result is used too");
      columns += typeOf(user->getResult(0)).getShape().back();
    }
    // Each slice gets weights of its own: all together no more than there are.
    if (columns > from.getShape().back())
      return rewriter.notifyMatchFailure(op, "slices overlap");
    int64_t start = op.getStarts()[last], count = to.getDimSize(last);
    auto part = [&](Value constant) -> Value {
      auto type = typeOf(constant);
      int64_t columns = type.getShape().back(), rows = type.getNumElements() / columns;
      std::vector<float> all = graph::floatElements(graph::constantValue(constant)), kept;
      for (int64_t r = 0; r < rows; ++r)
        kept.insert(kept.end(), all.begin() + r * columns + start, all.begin() + r * columns + start + count);
      SmallVector<int64_t> shape(type.getShape());
      shape.back() = count;
      auto partType = RankedTensorType::get(shape, type.getElementType());
      return graph::ConstantOp::create(
          rewriter, constant.getLoc(),
          graph::makeResource(partType, "part",
                              ArrayRef(reinterpret_cast<const char *>(kept.data()), 4 * kept.size())));
    };
    if (!graph::constantValue(linear.getWeights()) || (linear.getBias() && !graph::constantValue(linear.getBias())))
      return rewriter.notifyMatchFailure(op, "weights are computed");
    auto name = rewriter.getStringAttr(linear.getLayer() + "[" + Twine(start) + ":" + Twine(start + count) + "]");
    rewriter.replaceOpWithNewOp<graph::LinearOp>(op, to, linear.getX(), part(linear.getWeights()),
                                                 linear.getBias() ? part(linear.getBias()) : Value(), Value(), name,
                                                 linear.getActivationAttr(), ArrayAttr(), linear.getPrecisionAttr());
    return success();
  }
};

struct FuseLinear : rt3::impl::FuseLinearPassBase<FuseLinear> {
  void runOnOperation() override {
    // In two steps: a residual would hide the bias that is added after it.
    RewritePatternSet first(&getContext()), second(&getContext());
    first.add<MatmulByConstant, AddConstant, SliceOutputs>(&getContext());
    second.add<Activate, AddResidual>(&getContext());
    for (RewritePatternSet *patterns : {&first, &second})
      if (failed(applyPatternsGreedily(getOperation(), std::move(*patterns)))) {
        getOperation().emitError("fusing linear layers did not come to an end");
        return signalPassFailure();
      }
  }
};

} // namespace
