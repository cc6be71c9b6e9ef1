// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"
#include "dialects/graph/Quantize.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

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
    SmallVector<bool> isUsed(keepF32.size(), false);
    getOperation().walk([&](graph::LinearOp op) {
      auto weights = cast<RankedTensorType>(op.getWeights().getType());
      bool isKept = !graph::constantValue(op.getWeights()) || weights.getDimSize(0) > graph::kMaxInt8Inputs;
      for (auto [i, pattern] : llvm::enumerate(keepF32))
        if (graph::isNamed(op.getLayer(), pattern))
          isKept = isUsed[i] = true;
      op.setInt8(!isKept); // A model may have int8 layers already.
    });
    for (auto [i, pattern] : llvm::enumerate(keepF32))
      if (!isUsed[i]) {
        InFlightDiagnostic error = getOperation().emitError("keep-f32: no layer is named \"") << pattern << "\"";
        error.attachNote() << "the report of a compilation lists all names";
        return signalPassFailure();
      }
  }
};

} // namespace
