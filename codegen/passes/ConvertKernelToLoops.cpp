// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "codegen/loops/Loops.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/TypeSwitch.h"

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
  }

  LogicalResult convert(func::FuncOp source) {
    ModuleOp module = getOperation();
    LoopBuilder b(source.getLoc(), source);
    Type pointer = b.pointerType();
    auto target = func::FuncOp::create(b, source.getName(),
                                       b.getFunctionType({pointer, pointer, pointer, pointer, b.getI64Type()}, {}));
    for (StringRef name : {graph::kLevelAttr, kernel::kWorkspaceSizeAttr})
      if (Attribute attribute = source->getAttr(name))
        target->setAttr(name, attribute);
    Block *entry = target.addEntryBlock();
    b.setInsertionPointToStart(entry);
    Value weights = entry->getArgument(2), workspace = entry->getArgument(3);

    auto weightsOf = [&](FlatSymbolRefAttr symbol) {
      auto op = module.lookupSymbol<kernel::WeightsOp>(symbol.getAttr());
      return b.offset(weights, *op.getOffset());
    };
    std::function<Value(Value)> pointerOf = [&](Value value) -> Value {
      if (auto argument = dyn_cast<BlockArgument>(value))
        return b.load(pointer, b.offset(entry->getArgument(0), 8 * argument.getArgNumber()));
      Operation *op = value.getDefiningOp();
      if (auto view = dyn_cast<kernel::ViewOp>(op))
        return pointerOf(view.getX());
      if (auto constant = dyn_cast<kernel::ConstantOp>(op))
        return weightsOf(constant.getWeightsAttr());
      auto place = op->getAttrOfType<kernel::PlaceAttr>("place");
      if (place.getMemory() == kernel::Memory::Output)
        return b.load(pointer, b.offset(entry->getArgument(1), 8 * place.getOffset()));
      return b.offset(workspace, place.getOffset());
    };
    CallSite site{b, module, entry->getArgument(4), maxLength, tile, pointerOf, weightsOf};
    for (Operation &op : source.getBody().front()) {
      if (op.getNumResults() == 1 && !isa<kernel::ViewOp, kernel::ConstantOp>(op) && !op.hasAttr("place"))
        return op.emitOpError("has no place; run rt3-plan-memory first");
      bool isKnown =
          llvm::TypeSwitch<Operation *, bool>(&op)
              .Case([&](kernel::LinearOp typed) { return callLinear(site, typed), true; })
              .Case([&](kernel::AttentionOp typed) { return callAttention(site, typed), true; })
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

  kernel::TileAttr tile;
  int64_t maxLength = 1;
};

} // namespace
