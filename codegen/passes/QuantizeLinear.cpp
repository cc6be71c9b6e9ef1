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
    auto precision = graph::symbolizePrecision(type);
    if (!precision) {
      getOperation().emitError("type \"") << type << "\" is none of f16, f16_sums, bf16, int8";
      return signalPassFailure();
    }
    SmallVector<bool> isUsed(keepF32.size(), false);
    getOperation().walk([&](graph::LinearOp op) {
      auto weights = cast<RankedTensorType>(op.getWeights().getType());
      bool isNamed = false, isKept = !graph::constantValue(op.getWeights());
      isKept |= precision == graph::Precision::Int8 && weights.getDimSize(0) > graph::kMaxInt8Inputs;
      for (auto [i, pattern] : llvm::enumerate(keepF32))
        if (graph::isNamed(op.getLayer(), pattern))
          isNamed = isUsed[i] = true;
      if (isNamed) // A model may have int8 layers already.
        op.setPrecision(std::nullopt);
      else if (!isKept && op.getPrecision() != graph::Precision::Int8)
        isFailed |= failed(round(op, *precision));
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

  // Gives the layer weights of its own, rounded if they are no integers.
  LogicalResult round(graph::LinearOp op, graph::Precision precision) {
    op.setPrecision(precision);
    if (precision == graph::Precision::Int8)
      return success();
    std::vector<float> values = graph::floatElements(graph::constantValue(op.getWeights()));
    for (float &value : values) {
      float rounded = graph::rounded(value, precision);
      if (std::isinf(rounded) && !std::isinf(value)) {
        InFlightDiagnostic error = emitError(op.getLoc())
                                   << "layer \"" << op.getLayer() << "\" has the weight " << value << ", " << type
                                   << " ends at " << (precision == graph::Precision::BF16 ? "3.39e38" : "65504");
        error.attachNote() << "keep it with --keep-f32";
        return failure();
      }
      value = rounded;
    }
    OpBuilder builder(op);
    auto weights = cast<RankedTensorType>(op.getWeights().getType());
    ArrayRef<char> bytes(reinterpret_cast<const char *>(values.data()), 4 * values.size());
    op.getWeightsMutable().assign(
        graph::ConstantOp::create(builder, op.getLoc(), graph::makeResource(weights, type, bytes)));
    return success();
  }
};

} // namespace
