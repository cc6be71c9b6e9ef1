// SPDX-License-Identifier: Apache-2.0
//
// Plans and modules; PlanFiles.cpp reads and writes them.

#include "compiler/plan/Plan.h"

#include "compiler/prune/HiddenUnits.h"
#include "compiler/prune/PruneLevels.h"
#include "dialects/graph/Quantize.h"

#include "rt3/rt3_bundle.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace mlir::rt3;

// Calls `body(key, op)` for each layer: its name, with #2 for the second of that name.
static void forEachLayer(ModuleOp module, llvm::function_ref<void(std::string, graph::LinearOp)> body) {
  llvm::StringSet<> keys;
  module.walk([&](graph::LinearOp op) {
    if (!graph::constantValue(op.getWeights()))
      return;
    std::string key = op.getLayer().str();
    for (int count = 2; !keys.insert(key).second; ++count)
      key = op.getLayer().str() + "#" + std::to_string(count);
    body(key, op);
  });
}

// Of the weights as the model's file has them.
static std::string hashOf(graph::LinearOp op, const LayerOrders &orders) {
  std::vector<float> weights = graph::floatElements(graph::constantValue(op.getWeights()));
  int64_t outputs = cast<RankedTensorType>(op.getWeights().getType()).getDimSize(1);
  weights = inOriginalOrder<float>(weights, outputs, orders);
  return llvm::utohexstr(rt3_hash(weights.data(), 4 * weights.size()), /*LowerCase=*/true);
}

static PlannedLevel plannedLevel(Attribute encoding, llvm::StringMap<size_t> &sets) {
  PlannedLevel level;
  if (auto dense = dyn_cast<graph::DenseEncodingAttr>(encoding)) {
    level.reason = dense.getReason();
    return level;
  }
  if (auto block = dyn_cast<graph::BlockEncodingAttr>(encoding)) {
    level.scheme = Scheme::Block;
    level.rows = block.getRows();
  } else {
    auto pattern = cast<graph::PatternEncodingAttr>(encoding);
    level.scheme = pattern.getGathered() ? Scheme::BlockPattern : Scheme::Pattern;
    level.patternSet = sets.lookup(pattern.getSet().getValue());
  }
  level.mask = graph::byteElements(graph::encodingMask(encoding));
  if (ElementsAttr own = graph::encodingWeights(encoding))
    level.values = graph::floatElements(own);
  if (ElementsAttr bias = graph::encodingBias(encoding))
    level.bias = graph::floatElements(bias);
  return level;
}

Plan mlir::rt3::planOf(ModuleOp module, const LevelPlan &levels) {
  Plan plan;
  plan.levels = levels;
  llvm::DenseMap<Operation *, LayerOrders> orders;
  llvm::DenseMap<Operation *, llvm::ArrayRef<int32_t>> ownOrders;
  for (auto function : module.getOps<func::FuncOp>()) {
    orders = layerOrders(function);
    for (const HiddenUnits &units : findHiddenUnits(function))
      ownOrders[units.producers.front()] = orderOf(units);
  }
  llvm::StringMap<size_t> sets;
  for (auto set : module.getOps<graph::PatternSetOp>()) {
    sets[set.getName()] = plan.patternSets.size();
    StringRef name = set.getName();
    name.consume_front(kSetSymbolPrefix);
    plan.patternSets.push_back(
        {name.str(), int64_t(set.getRows()), int64_t(set.getColumns()), set.getPatterns().vec()});
  }
  forEachLayer(module, [&](std::string key, graph::LinearOp op) {
    if (!op.getLevels())
      return;
    auto type = cast<RankedTensorType>(op.getWeights().getType());
    PlannedLayer layer{std::move(key), type.getDimSize(0), type.getDimSize(1), hashOf(op, orders[op]), {}, {}, {}};
    layer.order = ownOrders[op].vec();
    for (Attribute encoding : op.getLevelsAttr())
      layer.levels.push_back(plannedLevel(encoding, sets));
    // Nested levels share theirs.
    for (PlannedLevel &level : layer.levels)
      if (module->hasAttr(graph::kNestedAttr) && !level.values.empty()) {
        layer.values = level.values;
        level.values.clear();
      }
    plan.layers.push_back(std::move(layer));
  });
  return plan;
}

double mlir::rt3::keptShare(const PlannedLayer &layer, size_t level) {
  const Mask &mask = layer.levels[level].mask;
  return mask.empty() ? 1 : double(llvm::count(mask, 1)) / mask.size();
}

double mlir::rt3::keptShare(const Plan &plan, size_t level) {
  double kept = 0, all = 0;
  for (const PlannedLayer &layer : plan.layers) {
    double size = double(layer.inputs) * layer.outputs;
    all += size;
    kept += size * keptShare(layer, level);
  }
  return all ? kept / all : 1;
}

namespace {

class PlanApplier {
public:
  PlanApplier(ModuleOp module, const Plan &plan, bool isSameType)
      : module(module), plan(plan), isSameType(isSameType), context(module.getContext()),
        symbols(OpBuilder::atBlockBegin(module.getBody())) {}

  llvm::Error apply() {
    llvm::StringMap<graph::LinearOp> layers;
    forEachLayer(module, [&](std::string key, graph::LinearOp op) { layers[key] = op; });
    // All that is wrong in one report, before anything is changed.
    std::vector<std::string> faults;
    for (const PlannedLayer &layer : plan.layers) {
      auto found = layers.find(layer.name);
      if (found == layers.end()) {
        faults.push_back("the model has no layer \"" + layer.name + "\"");
        continue;
      }
      auto type = cast<RankedTensorType>(found->second.getWeights().getType());
      if (type.getDimSize(0) != layer.inputs || type.getDimSize(1) != layer.outputs)
        faults.push_back(llvm::formatv("layer \"{0}\" has {1} x {2} weights, the plan {3} x {4}", layer.name,
                                       type.getDimSize(0), type.getDimSize(1), layer.inputs, layer.outputs));
      else if (isSameType && hashOf(found->second, {}) != layer.weightsHash)
        faults.push_back("layer \"" + layer.name + "\" has other weights than when the plan was made");
      auto precision = found->second.getPrecision();
      auto overflows = [&](float value) { return std::isinf(graph::rounded(value, precision)); };
      if (llvm::any_of(layer.values, overflows) ||
          llvm::any_of(layer.levels, [&](const PlannedLevel &level) { return llvm::any_of(level.values, overflows); }))
        faults.push_back("layer \"" + layer.name + "\" has a value that its type cannot hold (--keep-f32)");
    }
    std::vector<std::pair<HiddenUnits, const std::vector<int32_t> *>> orders = findOrders(layers, faults);
    if (!faults.empty())
      return llvm::createStringError("the plan is not for this model:\n  " + llvm::join(faults, "\n  "));
    addSymbols();
    for (auto &[units, order] : orders)
      permute(units, *order);
    for (const PlannedLayer &layer : plan.layers)
      setLevels(layers[layer.name], layer);
    for (auto &entry : layers)
      if (graph::LinearOp op = entry.second; !op.getLevels()) {
        Attribute dense = graph::DenseEncodingAttr::get(context, "the plan does not name the layer");
        op.setLevelsAttr(ArrayAttr::get(context, SmallVector<Attribute>(plan.levels.levels.size(), dense)));
      }
    return llvm::Error::success();
  }

private:
  // The hidden units that the plan has in another order.
  std::vector<std::pair<HiddenUnits, const std::vector<int32_t> *>> findOrders(llvm::StringMap<graph::LinearOp> &layers,
                                                                               std::vector<std::string> &faults) {
    llvm::DenseMap<Operation *, HiddenUnits> unitsOf;
    for (auto function : module.getOps<func::FuncOp>())
      for (HiddenUnits &units : findHiddenUnits(function))
        unitsOf[units.producers.front()] = std::move(units);
    std::vector<std::pair<HiddenUnits, const std::vector<int32_t> *>> result;
    for (const PlannedLayer &layer : plan.layers) {
      auto found = layers.find(layer.name);
      if (layer.order.empty() || found == layers.end())
        continue;
      auto units = unitsOf.find(found->second);
      if (units == unitsOf.end() || !isOrder(units->second, layer.order))
        faults.push_back("layer \"" + layer.name + "\" has an order of outputs that the model does not allow");
      else
        result.emplace_back(units->second, &layer.order);
    }
    return result;
  }

  void addSymbols() {
    for (const LevelSpec &level : plan.levels.levels)
      graph::LevelOp::create(symbols, module.getLoc(), level.name, level.frequencyKhz, level.voltageUv, level.powerMw);
    if (plan.levels.isNested && plan.levels.levels.size() > 1)
      module->setAttr(graph::kNestedAttr, symbols.getUnitAttr());
    for (const PlannedPatterns &set : plan.patternSets)
      graph::PatternSetOp::create(symbols, module.getLoc(), patternsName(set), set.rows, set.columns, set.patterns);
  }

  static std::string patternsName(const PlannedPatterns &set) { return (kSetSymbolPrefix + set.name).str(); }

  ElementsAttr valuesOf(graph::LinearOp op, const PlannedLayer &layer, std::vector<float> values) {
    if (values.empty())
      return {};
    for (float &value : values)
      value = graph::rounded(value, op.getPrecision());
    auto type = RankedTensorType::get({layer.inputs, layer.outputs}, Float32Type::get(context));
    return graph::makeResource(type, "planned",
                               ArrayRef(reinterpret_cast<const char *>(values.data()), 4 * values.size()));
  }

  void setLevels(graph::LinearOp op, const PlannedLayer &layer) {
    SmallVector<Attribute> encodings;
    for (const PlannedLevel &level : layer.levels) {
      if (level.mask.empty()) {
        encodings.push_back(graph::DenseEncodingAttr::get(context, StringAttr::get(context, level.reason).getValue()));
        continue;
      }
      auto type = RankedTensorType::get({layer.inputs, layer.outputs}, IntegerType::get(context, 8));
      ElementsAttr mask = graph::makeResource(
          type, "mask", ArrayRef(reinterpret_cast<const char *>(level.mask.data()), level.mask.size()));
      ElementsAttr values = valuesOf(op, layer, level.values.empty() ? layer.values : level.values);
      ElementsAttr bias;
      if (!level.bias.empty())
        bias = graph::makeResource(RankedTensorType::get({layer.outputs}, Float32Type::get(context)), "bias",
                                   ArrayRef(reinterpret_cast<const char *>(level.bias.data()), 4 * level.bias.size()));
      if (level.scheme == Scheme::Block)
        encodings.push_back(graph::BlockEncodingAttr::get(context, level.rows, mask, values, bias));
      else
        encodings.push_back(graph::PatternEncodingAttr::get(
            context, FlatSymbolRefAttr::get(context, patternsName(plan.patternSets[level.patternSet])),
            level.scheme == Scheme::BlockPattern, mask, values, bias));
    }
    op.setLevelsAttr(ArrayAttr::get(context, encodings));
  }

  ModuleOp module;
  const Plan &plan;
  bool isSameType;
  MLIRContext *context;
  OpBuilder symbols;
};

} // namespace

llvm::Error mlir::rt3::applyPlan(ModuleOp module, const Plan &plan, bool isSameType) {
  return PlanApplier(module, plan, isSameType).apply();
}
