// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"
#include "dialects/graph/Quantize.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <cmath>

namespace mlir::rt3 {
#define GEN_PASS_DEF_QUANTIZELINEARPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

namespace {

struct QuantizeLinear : rt3::impl::QuantizeLinearPassBase<QuantizeLinear> {
  using QuantizeLinearPassBase::QuantizeLinearPassBase;

  void runOnOperation() override {
    bool isFailed = false;
    if (type != "int8" && type != "f16") {
      getOperation().emitError("type \"") << type << "\" is neither int8 nor f16";
      return signalPassFailure();
    }
    SmallVector<bool> isUsed(keepF32.size(), false);
    getOperation().walk([&](graph::LinearOp op) {
      auto weights = cast<RankedTensorType>(op.getWeights().getType());
      bool isKept = !graph::constantValue(op.getWeights());
      isKept |= type == "int8" && weights.getDimSize(0) > graph::kMaxInt8Inputs;
      for (auto [i, pattern] : llvm::enumerate(keepF32))
        if (graph::isNamed(op.getLayer(), pattern))
          isKept = isUsed[i] = true;
      if (type == "f16")
        isFailed |= !isKept && !op.getInt8() && failed(halve(op));
      else
        op.setInt8(!isKept); // A model may have int8 layers already.
    });
    if (isFailed)
      return signalPassFailure();
    for (auto [i, pattern] : llvm::enumerate(keepF32))
      if (!isUsed[i]) {
        InFlightDiagnostic error = getOperation().emitError("keep-f32: no layer is named \"") << pattern << "\"";
        error.attachNote() << "the report of a compilation lists all names";
        return signalPassFailure();
      }
  }

  // Gives the layer weights of its own, rounded.
  LogicalResult halve(graph::LinearOp op) {
    std::vector<float> values = graph::floatElements(graph::constantValue(op.getWeights()));
    for (float &value : values) {
      float half = graph::fromHalf(graph::toHalf(value));
      if (std::isinf(half) && !std::isinf(value)) {
        InFlightDiagnostic error = emitError(op.getLoc()) << "layer \"" << op.getLayer() << "\" has the weight "
                                                          << value << ", f16 ends at 65504";
        error.attachNote() << "keep it with --keep-f32";
        return failure();
      }
      value = half;
    }
    OpBuilder builder(op);
    auto weights = cast<RankedTensorType>(op.getWeights().getType());
    ArrayRef<char> bytes(reinterpret_cast<const char *>(values.data()), 4 * values.size());
    op.getWeightsMutable().assign(
        graph::ConstantOp::create(builder, op.getLoc(), graph::makeResource(weights, "f16", bytes)));
    op.setF16(true);
    return success();
  }
};

} // namespace
