// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_CLONEFUNCTIONPERLEVELPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

// The encodings of a layer at `level`: with nested levels, those below too.
static ArrayAttr levelsUpTo(ArrayAttr levels, size_t level, bool isNested) {
  ArrayRef<Attribute> all = levels.getValue();
  size_t first = level;
  // A dense level has no part in common with sparser ones: it stores all.
  while (isNested && first > 0 && graph::encodingMask(all[first]) && graph::encodingMask(all[first - 1]))
    --first;
  return ArrayAttr::get(levels.getContext(), all.slice(first, level - first + 1));
}

namespace {

struct CloneFunctionPerLevel : rt3::impl::CloneFunctionPerLevelPassBase<CloneFunctionPerLevel> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto levels = llvm::to_vector(module.getOps<graph::LevelOp>());
    if (levels.empty()) {
      module.emitError("no level given; add rt3_graph.level ops");
      return signalPassFailure();
    }
    bool isNested = module->hasAttr(graph::kNestedAttr);
    // Collected first: cloning while walking would visit the clones too.
    SmallVector<func::FuncOp> originals;
    for (auto function : module.getOps<func::FuncOp>())
      if (function.isPublic() && !function.isDeclaration())
        originals.push_back(function);
    for (func::FuncOp original : originals) {
      OpBuilder builder(original);
      for (auto [index, level] : llvm::enumerate(levels)) {
        auto clone = cast<func::FuncOp>(builder.clone(*original));
        clone.setName((original.getName() + "__" + level.getSymName()).str());
        clone->setAttr(graph::kLevelAttr, builder.getI64IntegerAttr(index));
        WalkResult result = clone.walk([&, index = index](graph::LinearOp linear) {
          ArrayAttr encodings = linear.getLevelsAttr();
          if (!encodings)
            return WalkResult::advance();
          if (encodings.size() != levels.size()) {
            linear.emitOpError("has ") << encodings.size() << " encodings for " << levels.size() << " levels";
            return WalkResult::interrupt();
          }
          if (ElementsAttr bias = graph::encodingBias(encodings[index])) {
            OpBuilder before(linear);
            linear.getBiasMutable().assign(graph::ConstantOp::create(before, linear.getLoc(), bias));
          }
          linear.setLevelsAttr(levelsUpTo(encodings, index, isNested));
          return WalkResult::advance();
        });
        if (result.wasInterrupted())
          return signalPassFailure();
      }
      original.erase();
    }
  }
};

} // namespace
