// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_CLONEFUNCTIONFORTOKENPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

// The type with one token.
static Type withOneToken(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  for (int64_t &size : shape)
    size = ShapedType::isDynamic(size) ? 1 : size;
  return RankedTensorType::get(shape, tensor.getElementType());
}

namespace {

struct CloneFunctionForToken : rt3::impl::CloneFunctionForTokenPassBase<CloneFunctionForToken> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (!module->hasAttr(graph::kContextAttr))
      return;
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    for (auto original : llvm::to_vector(module.getOps<func::FuncOp>())) {
      auto clone = cast<func::FuncOp>(builder.clone(*original));
      clone.setName((original.getName() + "__token").str());
      clone.setPrivate();
      clone->setAttr(graph::kTokenOfAttr, builder.getStringAttr(original.getName()));
      for (BlockArgument argument : clone.getArguments())
        argument.setType(withOneToken(argument.getType()));
      clone.walk([](Operation *op) {
        if (isa<func::FuncOp>(op))
          return;
        for (Value result : op->getResults())
          result.setType(withOneToken(result.getType()));
      });
      auto types = [](TypeRange range) { return llvm::map_to_vector(range, withOneToken); };
      clone.setFunctionType(
          builder.getFunctionType(types(original.getArgumentTypes()), types(original.getResultTypes())));
    }
  }
};

} // namespace
