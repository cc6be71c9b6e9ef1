// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "codegen/loops/Loops.h"
#include "dialects/graph/Graph.h"
#include "rt3/rt3_bundle.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cstddef>

namespace mlir::rt3 {
#define GEN_PASS_DEF_CONVERTKERNELTOLOOPSPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

namespace {

struct ConvertKernelToLoops : rt3::impl::ConvertKernelToLoopsPassBase<ConvertKernelToLoops> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    tile = module->getAttrOfType<kernel::TileAttr>(kernel::kTileAttr);
    if (!tile) {
      module.emitError("no " + kernel::kTileAttr + " on the module; run rt3-convert-graph-to-kernel");
      return signalPassFailure();
    }
    if (auto attribute = module->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr))
      maxLength = attribute.getInt();
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>()))
      if (failed(convert(function)))
        return signalPassFailure();
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>()))
      if (auto name = function->getAttrOfType<StringAttr>(graph::kTokenOfAttr))
        addDispatch(module.lookupSymbol<func::FuncOp>(name), function);
  }

  // `function` goes on in `token` when the run has a single token.
  void addDispatch(func::FuncOp function, func::FuncOp token) {
    Block &body = function.getBody().front();
    LoopBuilder b(function.getLoc(), function);
    auto many = cast<func::FuncOp>(b.clone(*function));
    many.setName((function.getName() + "__tokens").str());
    for (func::FuncOp part : {many, token}) {
      part.setPrivate();
      part->removeAttr(graph::kLevelAttr);
      part->removeAttr(graph::kTokenOfAttr);
    }
    body.clear();
    b.setInsertionPointToStart(&body);
    Value length = b.load(b.getI64Type(), b.offset(body.getArgument(0), offsetof(rt3_call_t, length)));
    Value isOne = b.isEqual(length, b.integer(1)), isMore = b.isLess(b.integer(1), length);
    b.when(isOne, [&] { func::CallOp::create(b, token, body.getArguments()); });
    b.when(isMore, [&] { func::CallOp::create(b, many, body.getArguments()); });
    func::ReturnOp::create(b);
  }

  LogicalResult convert(func::FuncOp source) {
    ModuleOp module = getOperation();
    LoopBuilder b(source.getLoc(), source);
    Type pointer = b.pointerType();
    auto target = func::FuncOp::create(b, source.getName(), b.getFunctionType({pointer}, {}));
    for (StringRef name : {graph::kLevelAttr, kernel::kWorkspaceSizeAttr, graph::kTokenOfAttr})
      if (Attribute attribute = source->getAttr(name))
        target->setAttr(name, attribute);
    Block *entry = target.addEntryBlock();
    b.setInsertionPointToStart(entry);
    auto field = [&](Type type, size_t offset) { return b.load(type, b.offset(entry->getArgument(0), offset)); };
    Value inputs = field(pointer, offsetof(rt3_call_t, inputs)),
          outputs = field(pointer, offsetof(rt3_call_t, outputs));
    Value weights = field(pointer, offsetof(rt3_call_t, weights));
    Value workspace = field(pointer, offsetof(rt3_call_t, workspace)),
          state = field(pointer, offsetof(rt3_call_t, state));
    Value length = field(b.getI64Type(), offsetof(rt3_call_t, length));
    Value position = field(b.getI64Type(), offsetof(rt3_call_t, position));

    auto weightsOf = [&](FlatSymbolRefAttr symbol) {
      auto op = module.lookupSymbol<kernel::WeightsOp>(symbol.getAttr());
      return b.offset(weights, *op.getOffset());
    };
    std::function<Value(Value)> pointerOf = [&](Value value) -> Value {
      if (auto argument = dyn_cast<BlockArgument>(value))
        return b.load(pointer, b.offset(inputs, 8 * argument.getArgNumber()));
      Operation *op = value.getDefiningOp();
      if (auto view = dyn_cast<kernel::ViewOp>(op))
        return pointerOf(view.getX());
      if (auto constant = dyn_cast<kernel::ConstantOp>(op))
        return weightsOf(constant.getWeightsAttr());
      auto place = op->getAttrOfType<kernel::PlaceAttr>("place");
      if (place.getMemory() == kernel::Memory::Output)
        return b.load(pointer, b.offset(outputs, 8 * place.getOffset()));
      return b.offset(place.getMemory() == kernel::Memory::State ? state : workspace, place.getOffset());
    };
    Value parallel = field(pointer, offsetof(rt3_call_t, parallel));
    CallSite site{b, module, length, maxLength, position, parallel, tile, pointerOf, weightsOf};
    for (Operation &op : source.getBody().front()) {
      if (op.getNumResults() == 1 && !isa<kernel::ViewOp, kernel::ConstantOp>(op) && !op.hasAttr("place"))
        return op.emitOpError("has no place; run rt3-plan-memory first");
      if (auto mark = op.getAttrOfType<IntegerAttr>(kernel::kMarkAttr))
        func::CallOp::create(b, markFunction(b), ValueRange(b.integer(mark.getInt())));
      bool isKnown =
          llvm::TypeSwitch<Operation *, bool>(&op)
              .Case([&](kernel::LinearOp typed) { return callLinear(site, typed), true; })
              .Case([&](kernel::AttentionOp typed) { return callAttention(site, typed), true; })
              .Case([&](kernel::AppendOp typed) { return callAppend(site, typed), true; })
              .Case([&](kernel::RotaryOp typed) { return callRotary(site, typed), true; })
              .Case([&](kernel::LayerNormOp typed) { return callLayerNorm(site, typed), true; })
              .Case([&](kernel::QuantizeOp typed) { return callQuantize(site, typed), true; })
              .Case([&](kernel::PackOp typed) { return callPack(site, typed), true; })
              .Case([&](kernel::MapOp typed) { return callMap(site, typed), true; })
              .Case([&](kernel::MoveOp typed) { return callMove(site, typed), true; })
              .Case([&](kernel::ConcatOp typed) { return callConcat(site, typed), true; })
              .Case([&](kernel::ReduceOp typed) { return callReduce(site, typed), true; })
              .Case([&](kernel::MatmulOp typed) { return callMatmul(site, typed), true; })
              .Case([&](kernel::GatherOp typed) { return callGather(site, typed), true; })
              .Case([&](kernel::IotaOp typed) { return callIota(site, typed), true; })
              .Case<kernel::ViewOp, kernel::ConstantOp, kernel::ScratchOp, func::ReturnOp>([](auto) { return true; })
              .Default([](Operation *) { return false; });
      if (!isKnown)
        return op.emitOpError("is no op of rt3_kernel");
    }
    func::ReturnOp::create(b);
    source.erase();
    return success();
  }

  func::FuncOp markFunction(LoopBuilder &b) {
    if (auto found = getOperation().lookupSymbol<func::FuncOp>(kernel::kMarkFunction))
      return found;
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(getOperation().getBody());
    auto function = func::FuncOp::create(b, kernel::kMarkFunction, b.getFunctionType({b.getI64Type()}, {}));
    function.setPrivate();
    return function;
  }

  kernel::TileAttr tile;
  int64_t maxLength = 1;
};

} // namespace
