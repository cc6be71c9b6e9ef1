// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/PruneLevels.h"

#include "compiler/prune/Densities.h"
#include "compiler/prune/Masks.h"
#include "dialects/graph/Graph.h"
#include "dialects/graph/Quantize.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <map>
#include <numeric>

using namespace mlir;
using namespace mlir::rt3;

// Below this share of zeros, storing a layer without them never pays.
static constexpr double kMinZeroShare = 0.3;
// Each pattern is a loop of its own.
static constexpr size_t kMaxPatterns = 32;

static bool isNamed(StringRef layer, const std::vector<std::string> &patterns) {
  return llvm::any_of(patterns, [&](StringRef pattern) { return graph::isNamed(layer, pattern); });
}

// Which of the level's layouts of named layers a layer has; their number: the level's own.
static size_t layoutIndex(StringRef layer, const LevelSpec &level) {
  return llvm::find_if(level.layers, [&](const NamedLayout &named) { return isNamed(layer, named.names); }) -
         level.layers.begin();
}

static const Layout &layoutAt(const LevelSpec &level, size_t index) {
  return index == level.layers.size() ? level : level.layers[index].layout;
}

namespace {

// A linear layer and what is decided about it, level by level.
struct Layer {
  graph::LinearOp op;
  std::string name;
  Saliency saliency; // Of units: their inputs are added up.
  int64_t inputs;    // K.
  graph::PruningUnit unit;
  bool isComparable; // With others: its energy is known.
  double energy;
  double zeroShare = 0;
  std::vector<Mask> masks;          // Per level; empty: dense.
  std::vector<double> densities;    // Per level: what it was asked to keep.
  std::vector<std::string> reasons; // Per level: why it is dense.
};

class LevelPruner {
public:
  LevelPruner(ModuleOp module, const LevelPlan &plan, const graph::PruningUnits &units,
              const ImportanceSource &importance, const std::vector<std::vector<LayerTimes>> &times)
      : module(module), plan(plan), units(units), importance(importance), times(times), context(module.getContext()),
        symbols(OpBuilder::atBlockBegin(module.getBody())) {}

  llvm::Error prune() {
    for (const LevelSpec &level : plan.levels)
      graph::LevelOp::create(symbols, module.getLoc(), level.name, level.frequencyKhz, level.voltageUv, level.powerMw);
    if (plan.isNested && plan.levels.size() > 1)
      module->setAttr(graph::kNestedAttr, symbols.getUnitAttr());
    if (llvm::Error error = findLayers())
      return error;
    for (size_t i = 0; i < plan.levels.size(); ++i)
      pruneLevel(growsUpwards() ? i : plan.levels.size() - 1 - i);
    for (size_t level = 0; level < plan.levels.size(); ++level)
      choosePatternSets(level);
    for (Layer &layer : layers) {
      SmallVector<Attribute> encodings;
      for (size_t level = 0; level < plan.levels.size(); ++level)
        encodings.push_back(encode(layer, level));
      layer.op.setLevelsAttr(ArrayAttr::get(context, encodings));
    }
    return llvm::Error::success();
  }

private:
  llvm::Error findLayers() {
    if (llvm::Error error = checkLayers(module, plan))
      return error;
    SmallVector<graph::LinearOp> ops;
    module.walk([&](graph::LinearOp op) {
      if (graph::constantValue(op.getWeights()))
        ops.push_back(op);
    });
    for (graph::LinearOp op : ops) {
      auto type = cast<RankedTensorType>(op.getWeights().getType());
      std::optional<Importance> known = isPruned(op, plan) && importance ? importance(op) : std::nullopt;
      Layer layer{op,
                  op.getLayer().str(),
                  {},
                  type.getDimSize(0),
                  unitOf(op),
                  known && known->energy > 0,
                  known ? known->energy : 0,
                  0,
                  std::vector<Mask>(plan.levels.size()),
                  std::vector<double>(plan.levels.size(), 1),
                  std::vector<std::string>(plan.levels.size())};
      layer.saliency = {type.getDimSize(0), type.getDimSize(1),
                        graph::floatElements(graph::constantValue(op.getWeights()))};
      int64_t zeros = llvm::count(layer.saliency.values, 0.0f);
      layer.zeroShare = double(zeros) / layer.saliency.values.size();
      for (float &value : layer.saliency.values)
        value *= value;
      if (known)
        layer.saliency = std::move(known->saliency);
      if (llvm::any_of(layer.saliency.values, [](float one) { return !std::isfinite(one); }))
        return llvm::createStringError("layer \"" + op.getLayer() +
                                       "\": the saliency of a weight is too large for a 32-bit number");
      layer.saliency = sumUnits(layer.saliency, layer.unit);
      layers.push_back(std::move(layer));
    }
    return llvm::Error::success();
  }

  graph::PruningUnit unitOf(graph::LinearOp op) {
    auto found = op.getPrecision() ? units.find(*op.getPrecision()) : units.end();
    return found == units.end() ? graph::PruningUnit() : found->second;
  }

  // Inputs in units, of which the last may have fewer; outputs of a unit each have what
  // all of them have, and so stay or go together.
  static Saliency sumUnits(const Saliency &weights, graph::PruningUnit unit) {
    Saliency result{int64_t(llvm::divideCeil(weights.inputs, unit.inputs)), weights.outputs, {}};
    result.values.assign(result.inputs * result.outputs, 0);
    for (int64_t k = 0; k < weights.inputs; ++k)
      for (int64_t n = 0; n < weights.outputs; ++n)
        result.values[k / unit.inputs * weights.outputs + n] += weights.values[k * weights.outputs + n];
    for (int64_t k = 0; unit.outputs > 1 && k < result.inputs; ++k)
      for (int64_t n = 0; n < result.outputs; n += unit.outputs) {
        auto begin = result.values.begin() + k * result.outputs + n;
        auto end = begin + std::min(unit.outputs, result.outputs - n);
        std::fill(begin, end, std::accumulate(begin, end, 0.0f));
      }
    return result;
  }

  // A pattern of an odd number of weights may have cut a unit.
  static void completeUnits(Mask &mask, int64_t outputs, int64_t unit) {
    for (size_t row = 0; unit > 1 && row < mask.size(); row += outputs)
      for (int64_t n = 0; n < outputs; n += unit) {
        auto begin = mask.begin() + row + n, end = begin + std::min(unit, outputs - n);
        std::fill(begin, end, *std::max_element(begin, end));
      }
  }

  static const Layout &layoutOf(const Layer &layer, const LevelSpec &level) {
    return layoutAt(level, layoutIndex(layer.name, level));
  }
  // The level as if all its layers had one of its layouts.
  static LevelSpec withLayout(const LevelSpec &level, size_t index) {
    LevelSpec result = level;
    static_cast<Layout &>(result) = layoutAt(level, index);
    result.layers.clear();
    return result;
  }

  // Why a layer stays dense at a level, or nothing.
  std::string denseReason(const Layer &layer, const LevelSpec &level) {
    int64_t count = layer.inputs * layer.saliency.outputs;
    bool hasZeros = layer.zeroShare >= kMinZeroShare;
    if (level.scheme == Scheme::Dense)
      return hasZeros ? "" : "the level is dense";
    if (isNamed(layer.name, plan.denseLayers))
      return "named in dense_layers";
    if (count < plan.minWeights)
      return llvm::formatv("the layer has only {0} weights", count);
    if (layoutOf(layer, level).scheme == Scheme::Dense && !hasZeros)
      return "dense at this level, as its layers say";
    return level.density == 1 && !hasZeros ? "the density is 1" : "";
  }

  // Nested levels are chosen from the densest on, within whose masks sparser ones stay: their patterns go
  // inside the columns of a block-pruned level. Where all have patterns of one column, the sparsest is chosen
  // first, as if it were alone, and each denser one adds blocks with patterns of its own: hardly any of a few
  // patterns lies within another, and what the sparsest level loses counts most.
  bool growsUpwards() const {
    return plan.isNested && llvm::all_of(plan.levels, [](const LevelSpec &level) {
             return level.scheme == Scheme::Dense ||
                    (level.scheme == Scheme::Pattern && level.columns == 1 && level.isCountFree());
           });
  }

  // The mask of the next denser level that has one, if levels are nested.
  const Mask *upperOf(const Layer &layer, size_t level) const {
    for (size_t i = level + 1; plan.isNested && !growsUpwards() && i < plan.levels.size(); ++i)
      if (!layer.masks[i].empty())
        return &layer.masks[i];
    return nullptr;
  }

  // The mask of the next sparser level, which this one adds to, if levels grow.
  const Mask *grownFrom(const Layer &layer, size_t level) const {
    return growsUpwards() ? lowerOf(layer, level) : nullptr;
  }

  // Where a level may keep weights of a layer: within a denser level, or where a sparser one has none. Empty: anywhere.
  Mask allowed(const Layer &layer, size_t level) const {
    if (const Mask *upper = upperOf(layer, level))
      return *upper;
    Mask rest;
    if (const Mask *lower = grownFrom(layer, level))
      for (uint8_t isKept : *lower)
        rest.push_back(!isKept);
    return rest;
  }

  void pruneLevel(size_t index) {
    const LevelSpec &level = plan.levels[index];
    std::vector<Layer *> pruned;
    for (Layer &layer : layers) {
      layer.reasons[index] = denseReason(layer, level);
      if (!layer.reasons[index].empty())
        continue;
      if (layoutOf(layer, level).scheme == Scheme::Dense) // The zeros that are there.
        layer.masks[index] = nonZeros(layer);
      else
        pruned.push_back(&layer);
    }
    if (pruned.empty())
      return;
    allocate(index, pruned);
    for (size_t layout = 0; layout <= level.layers.size(); ++layout) {
      std::vector<Layer *> alike;
      llvm::copy_if(pruned, std::back_inserter(alike),
                    [&](Layer *layer) { return layoutIndex(layer->name, level) == layout; });
      chooseMasks(index, withLayout(level, layout), alike);
    }
  }

  // Of layers of one layout.
  void chooseMasks(size_t index, const LevelSpec &level, ArrayRef<Layer *> pruned) {
    if (pruned.empty())
      return;
    std::vector<Mask> masks =
        level.scheme == Scheme::Block ? chooseBlocks(index, level, pruned) : choosePatterns(index, level, pruned);
    for (auto [layer, mask] : llvm::zip_equal(pruned, masks)) {
      if (const Mask *lower = grownFrom(*layer, index))
        for (size_t i = 0; i < mask.size(); ++i)
          mask[i] |= (*lower)[i];
      if (layer->zeroShare >= kMinZeroShare) // Zeros that were there stay so.
        intersect(mask, nonZeros(*layer));
      completeUnits(mask, layer->saliency.outputs, layer->unit.outputs);
      layer->masks[index] = std::move(mask);
    }
  }

  // Saliency where `mask` allows weights; an empty one allows all.
  static Saliency within(const Saliency &saliency, const Mask &mask) {
    Saliency result = saliency;
    for (size_t i = 0; i < mask.size(); ++i)
      result.values[i] *= mask[i];
    return result;
  }

  std::vector<Mask> chooseBlocks(size_t index, const LevelSpec &level, ArrayRef<Layer *> pruned) const {
    std::vector<Mask> masks;
    for (const Layer *layer : pruned) {
      Mask place = allowed(*layer, index);
      masks.push_back(pruneBlocks(within(layer->saliency, place), level.groupRows, layer->densities[index]));
      intersect(masks.back(), place);
    }
    return masks;
  }

  // The share of `count` inputs nearest to `share` that makes whole blocks, and has room for `density` of the weights.
  static double wholeBlocks(double share, double density, int64_t count, int64_t columns) {
    double most = std::max<int64_t>(1, count / columns), least = std::min(most, std::ceil(density * count / columns));
    return std::min(1.0, std::clamp(std::round(share * count / columns), least, most) * columns / count);
  }

  std::vector<Mask> choosePatterns(size_t index, const LevelSpec &level, ArrayRef<Layer *> pruned) const {
    std::vector<Saliency> saliencies;
    std::vector<Mask> places;
    std::vector<PatternLayer> inputs;
    for (const Layer *layer : pruned) {
      double density = layer->densities[index];
      places.push_back(allowed(*layer, index));
      saliencies.push_back(within(layer->saliency, places.back()));
      // Columns and patterns share the pruning evenly.
      if (level.scheme == Scheme::BlockPattern) {
        double share = std::sqrt(density);
        if (isGathered(level))
          share = wholeBlocks(share, density, layer->saliency.inputs, level.columns);
        Mask columns = pruneBlocks(saliencies.back(), level.rows, share);
        intersect(columns, places.back());
        places.back() = std::move(columns);
      }
      if (const Mask *lower = grownFrom(*layer, index))
        density = std::max(0.0, density - double(llvm::count(*lower, 1)) / lower->size());
      inputs.push_back({nullptr, nullptr, density});
    }
    for (auto [input, saliency, place] : llvm::zip_equal(inputs, saliencies, places)) {
      input.saliency = &saliency;
      input.upper = place.empty() ? nullptr : &place;
    }
    if (level.isSetShared)
      return prunePatterns(inputs, level, isGathered(level));
    std::vector<Mask> masks;
    for (const PatternLayer &input : inputs)
      masks.push_back(std::move(prunePatterns({input}, level, isGathered(level)).front()));
    return masks;
  }

  // Layers that suffer more keep more, where they can be compared and the scheme lets layers
  // differ: patterns of a fixed count all keep the same number.
  void allocate(size_t index, ArrayRef<Layer *> pruned) {
    const LevelSpec &level = plan.levels[index];
    std::vector<LayerCost> costs;
    bool isFree = true;
    for (Layer *layer : pruned) {
      const Layout &layout = layoutOf(*layer, level);
      isFree &= layout.scheme == Scheme::Block || (layout.scheme == Scheme::Pattern && layout.isCountFree());
      LayerCost cost{&layer->saliency, layer->energy, double(layer->inputs) * layer->saliency.outputs,
                     layout.scheme == Scheme::Block ? layout.groupRows : 1};
      assert((!level.isTime || !times[index].empty()) && "a level of time needs the layers' times");
      if (level.isTime)
        cost.times = &times[index][layer - layers.data()];
      for (size_t upper = index + 1; plan.isNested && upper < plan.levels.size(); ++upper)
        if (!layer->masks[upper].empty())
          cost.limit = std::min(cost.limit, layer->densities[upper]);
      if (grownFrom(*layer, index))
        cost.least = layer->densities[index - 1];
      costs.push_back(cost);
    }
    double density = level.isTime ? uniformDensity(costs, level.density) : level.density;
    for (Layer *layer : pruned)
      layer->densities[index] = density;
    if (!isFree || !llvm::all_of(pruned, [](Layer *layer) { return layer->isComparable; }))
      return;
    for (auto [layer, density] : llvm::zip(pruned, allocateDensities(costs, level.density)))
      layer->densities[index] = density;
  }

  static Mask nonZeros(const Layer &layer) {
    Mask mask(layer.saliency.values.size());
    for (size_t i = 0; i < mask.size(); ++i)
      mask[i] = layer.saliency.values[i] != 0;
    return mask;
  }

  // With an empty one nothing goes.
  static void intersect(Mask &mask, const Mask &other) {
    for (size_t i = 0; i < other.size(); ++i)
      mask[i] &= other[i];
  }

  static bool isGathered(const Layout &level) { return level.scheme == Scheme::BlockPattern && level.columns > 1; }

  // The next sparser level whose weights this one contains.
  const Mask *lowerOf(const Layer &layer, size_t level) const {
    return plan.isNested && level > 0 && !layer.masks[level - 1].empty() ? &layer.masks[level - 1] : nullptr;
  }

  // The set of each layer at a level.
  void choosePatternSets(size_t index) {
    const LevelSpec &given = plan.levels[index];
    sets.emplace_back(layers.size());
    for (size_t layout = 0; layout <= given.layers.size(); ++layout) {
      LevelSpec level = withLayout(given, layout);
      if (!level.hasPatterns())
        continue;
      std::string name = "patterns_" + level.name;
      if (layout < given.layers.size())
        name = "layers" + std::to_string(layout) + "_" + name;
      std::vector<const Layer *> alike;
      for (const Layer &layer : layers)
        if (layoutIndex(layer.name, given) == layout)
          alike.push_back(&layer);
      FlatSymbolRefAttr set = level.isSetShared ? choosePatternSet(index, level, alike, name) : nullptr;
      for (const Layer *layer : alike) {
        size_t i = layer - layers.data();
        if (set || !layer->masks[index].empty())
          sets.back()[i] = set ? set : choosePatternSet(index, level, layer, "layer" + std::to_string(i) + "_" + name);
      }
    }
  }

  // The patterns that the blocks of `sharers` have at a level, or with nested levels what
  // those add to the level below: the most frequent.
  FlatSymbolRefAttr choosePatternSet(size_t index, const LevelSpec &level, ArrayRef<const Layer *> sharers,
                                     const std::string &name) {
    std::map<uint64_t, int64_t> counts;
    for (const Layer *layer : sharers)
      if (!layer->masks[index].empty() && !isGathered(level))
        forEachBlockMask(layer->saliency, level, layer->masks[index], lowerOf(*layer, index),
                         [&](uint64_t mask) { ++counts[mask]; });
    std::vector<std::pair<int64_t, uint64_t>> order;
    for (auto [mask, count] : counts)
      order.emplace_back(-count, mask);
    llvm::sort(order);
    std::vector<int64_t> patterns;
    for (size_t i = 0; i < std::min(order.size(), kMaxPatterns); ++i)
      patterns.push_back(order[i].second);
    // What does not fit is stored under a full block, with zeros.
    int64_t bits = level.rows * level.columns;
    int64_t full = bits == 64 ? -1 : (int64_t(1) << bits) - 1;
    if ((order.empty() || order.size() > kMaxPatterns) && !llvm::is_contained(patterns, full))
      patterns.push_back(full);
    std::string symbol = kSetSymbolPrefix.str() + name;
    graph::PatternSetOp::create(symbols, module.getLoc(), symbol, level.rows, level.columns, patterns);
    return FlatSymbolRefAttr::get(context, symbol);
  }

  Attribute encode(const Layer &layer, size_t index) {
    const Mask &mask = layer.masks[index];
    if (mask.empty())
      return graph::DenseEncodingAttr::get(context, StringAttr::get(context, layer.reasons[index]).getValue());
    int64_t outputs = layer.saliency.outputs;
    auto type = RankedTensorType::get({layer.inputs, outputs}, IntegerType::get(context, 8));
    std::vector<char> bytes(layer.inputs * outputs);
    for (int64_t k = 0; k < layer.inputs; ++k)
      std::copy_n(mask.begin() + k / layer.unit.inputs * outputs, outputs, bytes.begin() + k * outputs);
    ElementsAttr elements = graph::makeResource(type, "mask", bytes);
    const Layout &level = layoutOf(layer, plan.levels[index]);
    if (level.scheme == Scheme::Dense) // Zeros without structure.
      return graph::BlockEncodingAttr::get(context, 1, elements, nullptr, nullptr);
    if (level.scheme == Scheme::Block)
      return graph::BlockEncodingAttr::get(context, 8, elements, nullptr, nullptr);
    return graph::PatternEncodingAttr::get(context, sets[index][&layer - layers.data()], isGathered(level), elements,
                                           nullptr, nullptr);
  }

  ModuleOp module;
  const LevelPlan &plan;
  const graph::PruningUnits &units;
  const ImportanceSource &importance;
  const std::vector<std::vector<LayerTimes>> &times;
  MLIRContext *context;
  OpBuilder symbols;
  std::vector<Layer> layers;
  std::vector<std::vector<FlatSymbolRefAttr>> sets; // Per level and layer.
};

} // namespace

ImportanceSource mlir::rt3::secondOrderImportance(const Calibration &calibration) {
  // Layers that read the same tensor follow each other, and inverses are large.
  // Held, so that no other moments can come to lie where these are.
  auto last = std::make_shared<std::pair<std::shared_ptr<InputMoments>, std::optional<InverseMoments>>>();
  return [&calibration, last](graph::LinearOp op) -> std::optional<Importance> {
    auto found = calibration.find(op);
    if (found == calibration.end())
      return std::nullopt;
    if (last->first != found->second)
      *last = {found->second, InverseMoments(*found->second)};
    std::vector<float> weights = graph::floatElements(graph::constantValue(op.getWeights()));
    int64_t outputs = cast<RankedTensorType>(op.getWeights().getType()).getDimSize(1);
    return Importance{last->second->saliency(weights, outputs),
                      last->second->error(weights, std::vector<float>(weights.size(), 0), outputs),
                      found->second->means};
  };
}

llvm::Error mlir::rt3::pruneLevels(ModuleOp module, const LevelPlan &plan, const graph::PruningUnits &units,
                                   const ImportanceSource &importance,
                                   const std::vector<std::vector<LayerTimes>> &times) {
  return LevelPruner(module, plan, units, importance, times).prune();
}

llvm::Error mlir::rt3::checkLayers(ModuleOp module, const LevelPlan &plan) {
  std::string fault;
  std::vector<StringRef> layers;
  module.walk([&](graph::LinearOp op) {
    ElementsAttr weights = graph::constantValue(op.getWeights());
    if (!weights)
      return WalkResult::advance();
    layers.push_back(op.getLayer());
    int64_t outputs = cast<RankedTensorType>(op.getWeights().getType()).getDimSize(1);
    for (auto [i, value] : llvm::enumerate(graph::floatElements(weights)))
      if (!std::isfinite(value)) {
        fault = llvm::formatv("layer \"{0}\": weight [{1}, {2}] is {3}, expected a number; export the model from a "
                              "checkpoint without them",
                              op.getLayer(), i / outputs, i % outputs, std::isnan(value) ? "NaN" : "infinite");
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  auto check = [&](const llvm::Twine &where, const std::vector<std::string> &names) {
    for (const std::string &pattern : names)
      if (fault.empty() && llvm::none_of(layers, [&](StringRef layer) { return isNamed(layer, {pattern}); }))
        fault = (where + ": no layer is named \"" + pattern +
                 "\" (* stands at the end only); the report of a compilation lists all names")
                    .str();
  };
  check("dense_layers of the levels", plan.denseLayers);
  for (const LevelSpec &level : plan.levels)
    for (const NamedLayout &named : level.layers)
      check("layers of level " + level.name, named.names);
  return fault.empty() ? llvm::Error::success() : llvm::createStringError(fault);
}

void mlir::rt3::clearLevels(ModuleOp module) {
  for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
    if (isa<graph::LevelOp, graph::PatternSetOp>(op))
      op.erase();
  module->removeAttr(graph::kNestedAttr);
  module.walk([](graph::LinearOp op) {
    for (Attribute encoding : op.getLevels().value_or(ArrayAttr::get(op.getContext(), {})))
      graph::releaseResource(graph::encodingMask(encoding));
    op.removeLevelsAttr();
  });
}

bool mlir::rt3::isPruned(graph::LinearOp op, const LevelPlan &plan) {
  auto type = cast<RankedTensorType>(op.getWeights().getType());
  return llvm::any_of(plan.levels, [](const LevelSpec &level) { return level.scheme != Scheme::Dense; }) &&
         type.getNumElements() >= plan.minWeights && !isNamed(op.getLayer(), plan.denseLayers);
}

bool mlir::rt3::isPrunedAt(graph::LinearOp op, const LevelPlan &plan, const LevelSpec &level) {
  return isPruned(op, plan) && layoutAt(level, layoutIndex(op.getLayer(), level)).scheme != Scheme::Dense;
}

LevelPlan mlir::rt3::levelsOfModelAsIs() {
  LevelPlan plan;
  plan.levels.push_back({});
  plan.levels[0].name = "default";
  return plan;
}
