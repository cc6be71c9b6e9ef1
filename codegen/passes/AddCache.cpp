// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Tokens.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_ADDCACHEPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

namespace {
// The numbers first, first + step, ... of tokens.
struct Positions {
  int64_t first, step;
};
} // namespace

// The one integer of a constant, if it has one.
static std::optional<int64_t> integerConstant(Value value) {
  ElementsAttr elements = graph::constantValue(value);
  if (!elements || elements.getNumElements() != 1 || !elements.getElementType().isInteger(64))
    return std::nullopt;
  int64_t number;
  ArrayRef<char> raw = graph::rawBytes(elements);
  if (raw.size() != sizeof number)
    return std::nullopt;
  memcpy(&number, raw.data(), sizeof number);
  return number;
}

// What `value` says of the positions of tokens, if it is iota, shifted perhaps.
static std::optional<Positions> positionsOf(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto iota = dyn_cast_or_null<graph::IotaOp>(op)) {
    if (!typeOf(value).isDynamicDim(0))
      return std::nullopt;
    return Positions{int64_t(iota.getStart()), int64_t(iota.getStep())};
  }
  if (auto binary = dyn_cast_or_null<graph::BinaryOp>(op); binary && binary.getKind() == graph::BinaryKind::Add)
    for (auto [numbers, shift] :
         {std::pair(binary.getLhs(), binary.getRhs()), std::pair(binary.getRhs(), binary.getLhs())}) {
      auto constant = integerConstant(shift);
      auto positions = constant ? positionsOf(numbers) : std::nullopt;
      if (positions)
        return Positions{positions->first + *constant, positions->step};
    }
  if (isa_and_nonnull<graph::CastOp, graph::ReshapeOp, graph::ExpandOp>(op))
    return positionsOf(op->getOperand(0));
  return std::nullopt;
}

// The user's model cannot be run token by token; says at which op and what to do.
static LogicalResult refuse(Operation *op, const Twine &why) {
  InFlightDiagnostic error = emitError(op->getLoc()) << "the model cannot run token by token (--kv-cache): ";
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    error << "node \"" << name.getName().getValue() << "\": ";
  error << why;
  error.attachNote()
      << "export a causal decoder without cache inputs and without an attention mask; raise --fold-budget "
         "if its causal mask is too large to be computed here; or leave out --kv-cache";
  return failure();
}

namespace {

struct AddCache : rt3::impl::AddCachePassBase<AddCache> {
  void runOnOperation() override {
    auto context = getOperation()->getParentOfType<ModuleOp>()->getAttrOfType<IntegerAttr>(graph::kContextAttr);
    if (!context)
      return;
    for (Operation &op : llvm::make_early_inc_range(getOperation().getBody().front()))
      if (failed(convert(&op, context.getInt())))
        return signalPassFailure();
    if (count == 0) {
      (void)refuse(getOperation(), "it has no causal attention");
      signalPassFailure();
    }
  }

  LogicalResult convert(Operation *op, int64_t context) {
    if (op->hasTrait<OpTrait::IsTerminator>())
      return success();
    if (auto attention = dyn_cast<graph::AttentionOp>(op)) {
      auto type = typeOf(attention.getQ());
      if (!attention.getCausal() || attention.getMask() || type.getDimSize(0) != 1 || !type.isDynamicDim(1))
        return refuse(op, attention.getMask() ? "attention has a mask besides the causal one"
                                              : "attention is not causal over the free dimension of one text");
      attention.setCache(count++);
      return success();
    }
    if (auto iota = dyn_cast<graph::IotaOp>(op)) {
      iota.setPositions(typeOf(iota.getResult()).isDynamicDim(0));
      return success();
    }
    if (auto slice = dyn_cast<graph::SliceOp>(op); slice && graph::freeAxis(slice.getX()) == -1)
      if (auto axis = graph::freeAxis(slice.getResult()); axis && *axis >= 0)
        return convertTable(slice, *axis, context);
    if (auto gather = dyn_cast<graph::GatherOp>(op))
      if (auto positions = positionsOf(gather.getIndices()))
        return checkTable(op, typeOf(gather.getTable()).getDimSize(gather.getAxis()), positions->first, positions->step,
                          context);
    if (!graph::isTokenwise(op))
      return refuse(op, "its result for a token depends on other tokens, and it is no causal attention");
    return success();
  }

  LogicalResult checkTable(Operation *op, int64_t rows, int64_t start, int64_t step, int64_t context) {
    int64_t last = start + (context - 1) * step;
    if (std::min(start, last) >= 0 && std::max(start, last) < rows)
      return success();
    return refuse(op, "its table has " + Twine(rows) + " rows, for " + Twine(context) + " positions" +
                          (start == 0 ? "" : " from " + Twine(start) + " on"));
  }

  // The first rows of a table, one per token: those of the tokens' positions.
  LogicalResult convertTable(graph::SliceOp slice, int64_t axis, int64_t context) {
    auto from = typeOf(slice.getX()), to = typeOf(slice.getResult());
    int64_t start = slice.getStarts()[axis], step = slice.getSteps()[axis];
    if (failed(checkTable(slice, from.getDimSize(axis), start, step, context)))
      return failure();
    OpBuilder builder(slice);
    // All rows of what the slice takes from the other axes.
    SmallVector<int64_t> starts(slice.getStarts()), steps(slice.getSteps()), shape(to.getShape());
    starts[axis] = 0;
    steps[axis] = 1;
    shape[axis] = from.getDimSize(axis);
    Value table = graph::SliceOp::create(builder, slice.getLoc(), RankedTensorType::get(shape, to.getElementType()),
                                         slice.getX(), starts, steps);
    auto positions = RankedTensorType::get({ShapedType::kDynamic}, builder.getI64Type());
    Value rows = graph::IotaOp::create(builder, slice.getLoc(), positions, start, step, true);
    slice.replaceAllUsesWith(graph::GatherOp::create(builder, slice.getLoc(), to, table, rows, axis).getResult());
    slice.erase();
    return success();
  }

  int64_t count = 0; // Of caches.
};

} // namespace
