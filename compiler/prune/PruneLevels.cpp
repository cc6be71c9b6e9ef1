// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/PruneLevels.h"

#include "compiler/prune/Masks.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace mlir::rt3;

// Layers with fewer weights take too little time for pruning to matter.
static constexpr int64_t kMinWeights = 4096;
// Below this share of zeros, storing a layer without them never pays.
static constexpr double kMinZeroShare = 0.3;

static bool isNamed(StringRef layer, const std::vector<std::string> &patterns) {
  return llvm::any_of(patterns, [&](StringRef pattern) {
    return pattern.consume_back("*") ? layer.starts_with(pattern) : layer == pattern;
  });
}

namespace {

class LayerPruner {
public:
  LayerPruner(graph::LinearOp op, const LevelPlan &plan, OpBuilder &symbols)
      : op(op), plan(plan), symbols(symbols), context(op.getContext()) {}

  llvm::Error prune() {
    auto type = cast<RankedTensorType>(op.getWeights().getType());
    saliency.inputs = type.getDimSize(0);
    saliency.outputs = type.getDimSize(1);
    saliency.values = graph::floatElements(graph::constantValue(op.getWeights()));
    int64_t zeros = 0;
    for (auto [i, value] : llvm::enumerate(saliency.values)) {
      if (!std::isfinite(value))
        return llvm::createStringError(llvm::formatv(
            "layer \"{0}\": weight [{1}, {2}] is {3}; pruning needs finite weights", op.getLayer(),
            i / saliency.outputs, i % saliency.outputs, std::isnan(value) ? "NaN" : "infinite"));
      zeros += value == 0;
      value = value * value;
    }
    zeroShare = double(zeros) / saliency.values.size();
    std::vector<Attribute> encodings(plan.levels.size());
    const Mask *upper = nullptr;
    Mask last;
    // From the densest level, within whose mask sparser ones stay if nested.
    for (size_t i = plan.levels.size(); i-- > 0;) {
      Mask mask;
      encodings[i] = encode(plan.levels[i], plan.isNested ? upper : nullptr, mask);
      if (!mask.empty()) {
        last = std::move(mask);
        upper = &last;
      }
    }
    op.setLevelsAttr(ArrayAttr::get(context, encodings));
    return llvm::Error::success();
  }

private:
  Attribute dense(const Twine &reason) { return graph::DenseEncodingAttr::get(context, StringAttr::get(context, reason).getValue()); }

  ElementsAttr maskAttribute(const Mask &mask) {
    auto type = RankedTensorType::get({saliency.inputs, saliency.outputs}, IntegerType::get(context, 8));
    return graph::makeResource(type, "mask", ArrayRef(reinterpret_cast<const char *>(mask.data()), mask.size()));
  }

  Attribute encode(const LevelSpec &level, const Mask *upper, Mask &mask) {
    int64_t count = saliency.values.size();
    if (level.scheme == Scheme::Dense) {
      if (zeroShare < kMinZeroShare)
        return dense("the level is dense");
      // The zeros that are there, of any structure.
      mask.resize(count);
      for (int64_t i = 0; i < count; ++i)
        mask[i] = saliency.values[i] != 0;
      return graph::BlockEncodingAttr::get(context, 1, maskAttribute(mask));
    }
    if (isNamed(op.getLayer(), plan.denseLayers))
      return dense("named in dense_layers");
    if (count < kMinWeights)
      return dense("the layer has only " + Twine(count) + " weights");
    if (level.density == 1 && zeroShare == 0)
      return dense("the density is 1");
    Saliency own = saliency;
    if (upper)
      for (int64_t i = 0; i < count; ++i)
        if (!(*upper)[i])
          own.values[i] = 0;
    if (level.scheme == Scheme::Block) {
      mask = pruneBlocks(own, 8, level.density);
      intersect(mask, upper);
      return graph::BlockEncodingAttr::get(context, 8, maskAttribute(mask));
    }
    bool gathered = level.scheme == Scheme::BlockPattern && level.columns > 1;
    PatternChoice choice;
    if (level.scheme == Scheme::BlockPattern) {
      // Columns and patterns share the pruning evenly. All levels share the
      // columns of the densest, so a nested level finds them in `upper`.
      Mask columns = pruneBlocks(own, level.rows, std::sqrt(level.density));
      intersect(columns, upper);
      choice = prunePatterns(own, level, &columns, gathered);
    } else {
      choice = prunePatterns(own, level, upper, /*gathered=*/false);
    }
    mask = std::move(choice.mask);
    // Zeros that were there stay so.
    for (int64_t i = 0; i < count; ++i)
      mask[i] &= saliency.values[i] != 0 || zeroShare < kMinZeroShare;
    return graph::PatternEncodingAttr::get(context, patternSet(level, choice.patterns), gathered, maskAttribute(mask));
  }

  static void intersect(Mask &mask, const Mask *upper) {
    if (upper)
      for (size_t i = 0; i < mask.size(); ++i)
        mask[i] &= (*upper)[i];
  }

  // The patterns of one layer and level, as a symbol; equal sets are one.
  FlatSymbolRefAttr patternSet(const LevelSpec &level, ArrayRef<int64_t> patterns) {
    auto module = op->getParentOfType<ModuleOp>();
    for (auto set : module.getOps<graph::PatternSetOp>())
      if (set.getPatterns() == patterns && int64_t(set.getRows()) == level.rows &&
          int64_t(set.getColumns()) == level.columns)
        return FlatSymbolRefAttr::get(set.getSymNameAttr());
    std::string name = llvm::formatv("{0}.{1}", op.getLayer(), level.name);
    for (int i = 2; module.lookupSymbol(name); ++i)
      name = llvm::formatv("{0}.{1}.{2}", op.getLayer(), level.name, i);
    graph::PatternSetOp::create(symbols, module.getLoc(), name, level.rows, level.columns, patterns);
    return FlatSymbolRefAttr::get(context, name);
  }

  graph::LinearOp op;
  const LevelPlan &plan;
  OpBuilder &symbols;
  MLIRContext *context;
  Saliency saliency;
  double zeroShare = 0;
};

} // namespace

llvm::Error mlir::rt3::pruneLevels(ModuleOp module, const LevelPlan &plan) {
  OpBuilder symbols = OpBuilder::atBlockBegin(module.getBody());
  for (const LevelSpec &level : plan.levels)
    graph::LevelOp::create(symbols, module.getLoc(), level.name, level.frequencyKhz, level.voltageUv, level.powerMw);
  if (plan.isNested && plan.levels.size() > 1)
    module->setAttr(graph::kNestedAttr, symbols.getUnitAttr());
  SmallVector<graph::LinearOp> layers;
  module.walk([&](graph::LinearOp op) { layers.push_back(op); });
  for (graph::LinearOp op : layers)
    if (graph::constantValue(op.getWeights()))
      if (llvm::Error error = LayerPruner(op, plan, symbols).prune())
        return error;
  return llvm::Error::success();
}

LevelPlan mlir::rt3::levelsOfModelAsIs() {
  LevelPlan plan;
  plan.levels.push_back({});
  plan.levels[0].name = "default";
  return plan;
}
