// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "codegen/packing/LayerStreams.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/FormatVariadic.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_CHOOSEKERNELSPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

static StringRef schemeName(Attribute encoding) {
  if (isa<graph::BlockEncodingAttr>(encoding))
    return "bp";
  if (auto pattern = dyn_cast<graph::PatternEncodingAttr>(encoding))
    return pattern.getGathered() ? "bp+pp" : "pp";
  return "dense";
}

namespace {

struct ChooseKernels : rt3::impl::ChooseKernelsPassBase<ChooseKernels> {
  using ChooseKernelsPassBase::ChooseKernelsPassBase;

  void runOnOperation() override {
    llvm::Expected<Device> found = findDevice(device);
    if (!found) {
      getOperation().emitError(llvm::toString(found.takeError()));
      return signalPassFailure();
    }
    bool isFailed = false;
    getOperation().walk([&](graph::LinearOp op) { isFailed |= failed(choose(op, *found)); });
    if (isFailed)
      signalPassFailure();
  }

  LogicalResult choose(graph::LinearOp op, const Device &device) {
    auto type = cast<RankedTensorType>(op.getWeights().getType());
    int64_t inputs = type.getDimSize(0), outputs = type.getDimSize(1), tokens = tokenCount(op);
    std::optional<kernel::Dot> dot = dotOf(device, op);
    CostModel cost(device, dot);
    int64_t words = llvm::divideCeil(inputs, dot ? kernel::inputsPerWord(*dot) : 1);
    int64_t valueSize = op.getPrecision() == graph::Precision::F16 ? 2 : dot ? kernel::wordSize(*dot) : 4;
    FailureOr<int64_t> rows = denseRows(op, device, cost, valueSize);
    if (failed(rows))
      return failure();
    double denseCycles = cost.dense(words, outputs, tokens, valueSize, *rows);
    double cycles = denseCycles;
    int64_t kept = type.getNumElements();
    StringRef scheme = "dense";
    Builder builder(op.getContext());
    ArrayAttr levels = op.getLevelsAttr();
    if (levels && !levels.empty()) {
      Attribute encoding = levels.getValue().back();
      scheme = schemeName(encoding);
      if (graph::encodingMask(encoding)) {
        FailureOr<PackedLayer> packed = packLayer(op, levels, device, cost);
        if (failed(packed))
          return failure();
        cycles = 0;
        kept = packed->keptCount;
        for (const PackedStream &stream : packed->streams)
          cycles += cost.linear(stream, packed->inputs, tokens);
        if (cycles >= denseCycles && !keepsSparse) {
          std::string reason =
              llvm::formatv("dense is predicted to be as fast: {0:f0} cycles, {1} at {2:f1} % density {3:f0}",
                            denseCycles, scheme, 100.0 * kept / type.getNumElements(), cycles);
          // The pruned weights stay pruned: zeros, multiplied.
          op->setAttr(graph::kZerosAttr, graph::encodingMask(encoding));
          if (ElementsAttr own = graph::encodingWeights(encoding)) {
            OpBuilder before(op);
            op.getWeightsMutable().assign(graph::ConstantOp::create(before, op.getLoc(), own));
          }
          op.setLevelsAttr(builder.getArrayAttr(
              graph::DenseEncodingAttr::get(op.getContext(), builder.getStringAttr(reason).getValue())));
          cycles = denseCycles;
          scheme = "dense";
        }
      }
    }
    StringRef reason = "no pruned level was asked for";
    if (op.getLevels())
      if (auto dense = dyn_cast<graph::DenseEncodingAttr>(op.getLevels()->getValue().back()))
        reason = dense.getReason();
    op->setAttr(
        graph::kReportAttr,
        builder.getDictionaryAttr(
            {builder.getNamedAttr("inputs", builder.getI64IntegerAttr(inputs)),
             builder.getNamedAttr("outputs", builder.getI64IntegerAttr(outputs)),
             builder.getNamedAttr("tokens", builder.getI64IntegerAttr(tokens)),
             builder.getNamedAttr("kept", builder.getI64IntegerAttr(kept)),
             builder.getNamedAttr(
                 "type", builder.getStringAttr(op.getPrecision() ? stringifyPrecision(*op.getPrecision()) : "f32")),
             builder.getNamedAttr("scheme", builder.getStringAttr(scheme)),
             builder.getNamedAttr("reason", builder.getStringAttr(scheme == "dense" ? reason : "")),
             builder.getNamedAttr("dense_cycles", builder.getF64FloatAttr(denseCycles)),
             builder.getNamedAttr("cycles", builder.getF64FloatAttr(cycles))}));
    if (!cost.problem().empty())
      return op.emitError() << "layer \"" << op.getLayer() << "\": LLVM's model of " << device.tuneCpu
                            << " has no cycles: " << cost.problem();
    return success();
  }
};

} // namespace
