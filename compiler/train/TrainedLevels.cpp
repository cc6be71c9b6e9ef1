// SPDX-License-Identifier: Apache-2.0

#include "compiler/train/TrainedLevels.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace mlir::rt3;
using torch::Tensor;

static std::vector<graph::LinearOp> linearLayers(ModuleOp module) {
  std::vector<graph::LinearOp> result;
  module.walk([&](graph::LinearOp op) {
    if (graph::constantValue(op.getWeights()))
      result.push_back(op);
  });
  return result;
}

llvm::Expected<TrainedLevels> TrainedLevels::make(OwningOpRef<ModuleOp> fused, const LevelPlan &plan,
                                                  const TorchGraph &graph) {
  TrainedLevels result;
  llvm::StringMap<size_t> byName;
  for (auto [i, layer] : llvm::enumerate(graph.layers())) {
    byName[layer.name] = i;
    auto type = cast<RankedTensorType>(layer.weights.getType());
    result.shapes.emplace_back(type.getDimSize(0), type.getDimSize(1));
  }
  llvm::StringMap<int> seen;
  std::vector<std::string> missing;
  for (graph::LinearOp op : linearLayers(*fused)) {
    auto type = cast<RankedTensorType>(op.getWeights().getType());
    std::string name = op.getLayer().str();
    if (int count = ++seen[name]; count > 1)
      name += "#" + std::to_string(count);
    Place place{0, 0, type.getDimSize(1), name};
    auto found = byName.find(name);
    // Fusing cuts a product whose result is sliced: NAME[begin:end].
    auto [base, range] = llvm::StringRef(name).rsplit('[');
    auto [first, behind] = range.split(':');
    if (found == byName.end() && range.ends_with("]") && !first.getAsInteger(10, place.begin) &&
        !behind.drop_back().getAsInteger(10, place.end))
      found = byName.find(base);
    bool fits = found != byName.end() && result.shapes[found->second].first == type.getDimSize(0) &&
                place.end - place.begin == type.getDimSize(1) && place.end <= result.shapes[found->second].second;
    if (!fits && type.getNumElements() >= plan.minWeights &&
        llvm::none_of(plan.denseLayers, [&](StringRef pattern) { return graph::isNamed(op.getLayer(), pattern); }))
      missing.push_back(name);
    place.layer = fits ? found->second : graph.layers().size();
    result.places.push_back(place);
  }
  if (!missing.empty())
    return llvm::createStringError("layers that cannot be trained under a mask, because their weights are computed: " +
                                   llvm::join(missing, ", ") + "; name them in dense_layers of the levels");
  result.layerCount = graph.layers().size();
  result.fused = std::move(fused);
  result.plan = plan;
  result.values.assign(plan.levels.size(), std::vector<LayerOverride>(result.layerCount));
  return result;
}

llvm::Error TrainedLevels::choose(const std::vector<Tensor> &weights, const std::vector<Tensor> &squares,
                                  double share) {
  pruned = OwningOpRef<ModuleOp>(fused->clone());
  llvm::DenseMap<Operation *, Place> placeOf;
  for (auto [op, place] : llvm::zip_equal(linearLayers(*pruned), places))
    placeOf[op] = place;
  LevelPlan now = plan;
  for (LevelSpec &level : now.levels)
    level.density = 1 - (1 - level.density) * share;
  ImportanceSource importance = [&](graph::LinearOp op) -> std::optional<Importance> {
    Place place = placeOf[op];
    if (place.layer == layerCount)
      return std::nullopt;
    Tensor w = weights[place.layer].slice(1, place.begin, place.end);
    // A weight without a gradient so far still counts by its size.
    Tensor g = squares[place.layer].slice(1, place.begin, place.end) + 1e-16;
    Tensor saliency = (w * w * g).contiguous().to(torch::kFloat32);
    const float *data = saliency.data_ptr<float>();
    // All in units of the loss: layers can be compared as they are.
    return Importance{{saliency.size(0), saliency.size(1), std::vector<float>(data, data + saliency.numel())}, 1};
  };
  if (llvm::Error error = checkLayers(*pruned, now))
    return error;
  if (llvm::Error error = pruneLevels(*pruned, now, {}, importance))
    return llvm::createStringError(llvm::toString(std::move(error)) + "; lower --learning-rate");
  readMasks();
  return llvm::Error::success();
}

llvm::Error TrainedLevels::take(const Plan &given) {
  plan = given.levels;
  pruned = OwningOpRef<ModuleOp>(fused->clone());
  if (llvm::Error error = applyPlan(*pruned, given, /*isSameType=*/false))
    return error;
  readMasks();
  return llvm::Error::success();
}

void TrainedLevels::readMasks() {
  values.assign(plan.levels.size(), std::vector<LayerOverride>(layerCount));
  // Of a plan, which may have hidden units in another order than the model that is trained.
  auto orders = layerOrders(*pruned->getOps<func::FuncOp>().begin());
  for (auto [op, place] : llvm::zip_equal(linearLayers(*pruned), places))
    for (auto [level, encoding] : llvm::enumerate(op.getLevelsAttr())) {
      ElementsAttr elements = graph::encodingMask(encoding);
      if (!elements || place.layer == layerCount)
        continue;
      auto [inputs, outputs] = shapes[place.layer];
      std::vector<uint8_t> bytes =
          inOriginalOrder<uint8_t>(graph::byteElements(elements), place.end - place.begin, orders[op]);
      Tensor part = torch::from_blob(bytes.data(), {inputs, place.end - place.begin}, torch::kUInt8);
      Tensor &mask = values[level][place.layer].mask;
      if (!mask.defined())
        mask = torch::ones({inputs, outputs});
      mask.slice(1, place.begin, place.end).copy_(part);
    }
}

static std::vector<float> biasesOf(graph::LinearOp op, int64_t outputs) {
  return op.getBias() ? graph::floatElements(graph::constantValue(op.getBias())) : std::vector<float>(outputs);
}

void TrainedLevels::readValues(graph::LinearOp op, Attribute encoding, const Place &place, const LayerOrders &orders,
                               const Tensor &model, LayerOverride &own) {
  int64_t outputs = place.end - place.begin;
  auto [inputs, allOutputs] = shapes[place.layer];
  if (!own.weights.defined())
    own.weights = model.detach().clone().contiguous();
  if (ElementsAttr elements = graph::encodingWeights(encoding)) {
    std::vector<float> weights = inOriginalOrder<float>(graph::floatElements(elements), outputs, orders);
    own.weights.slice(1, place.begin, place.end).copy_(torch::from_blob(weights.data(), {inputs, outputs}));
  }
  ElementsAttr elements = graph::encodingBias(encoding);
  if (!elements)
    return;
  std::vector<float> bias = graph::floatElements(elements), modelBias = biasesOf(op, outputs);
  for (int64_t i = 0; i < outputs; ++i)
    bias[i] -= modelBias[i];
  bias = inOriginalOrder<float>(bias, outputs, {{}, orders.outputs});
  if (!own.bias.defined())
    own.bias = torch::zeros({allOutputs});
  own.bias.slice(0, place.begin, place.end).copy_(torch::from_blob(bias.data(), {outputs}));
}

llvm::Error TrainedLevels::takeValues(const Plan &source, TorchGraph &graph) {
  if (source.levels.isNested && source.levels.levels.size() > 1)
    return llvm::createStringError("the levels of the plan are nested: they share their values and cannot train "
                                   "values of their own (--values shared)");
  plan = source.levels;
  pruned = OwningOpRef<ModuleOp>(fused->clone());
  // The graph is in f32; of another type, weights are not those that the plan has the hash of.
  if (llvm::Error error = applyPlan(*pruned, source, /*isSameType=*/source.precision == "f32"))
    return error;
  readMasks();
  given = source;
  torch::NoGradGuard noGradients;
  auto orders = layerOrders(*pruned->getOps<func::FuncOp>().begin());
  // How many linear layers a product of the graph has become, and how many of them have masks and biases.
  struct Parts {
    int all = 0, pruned = 0, biased = 0;
  };
  std::vector<std::vector<Parts>> parts(plan.levels.size(), std::vector<Parts>(layerCount));
  for (auto [op, place] : llvm::zip_equal(linearLayers(*pruned), places)) {
    if (place.layer == layerCount)
      continue;
    Tensor model = graph.weightsOf(graph.layers()[place.layer], graph.parameters());
    for (auto [level, encoding] : llvm::enumerate(op.getLevelsAttr())) {
      Parts &count = parts[level][place.layer];
      ++count.all;
      if (!graph::encodingMask(encoding))
        continue;
      ++count.pruned;
      count.biased += bool(graph::encodingBias(encoding));
      readValues(op, encoding, place, orders[op], model, values[level][place.layer]);
    }
  }
  for (auto [level, spec] : llvm::enumerate(plan.levels))
    for (auto [layer, own] : llvm::enumerate(values[level])) {
      Parts count = parts[level][layer];
      if (count.pruned == 0 || count.pruned < count.all || (count.biased > 0 && count.biased < count.all))
        continue;
      std::string name = spec.name + " " + graph.layers()[layer].name;
      ownParameters[name + " weights"] = own.weights.set_requires_grad(true);
      if (own.bias.defined())
        ownParameters[name + " bias"] = own.bias.set_requires_grad(true);
    }
  if (ownParameters.empty())
    return llvm::createStringError("no level of the plan prunes a layer: there is nothing that levels could train for "
                                   "themselves");
  return llvm::Error::success();
}

bool TrainedLevels::isTrained(size_t level) const {
  return llvm::any_of(values[level],
                      [](const LayerOverride &own) { return own.weights.defined() && own.weights.requires_grad(); });
}

Plan TrainedLevels::ownPlan() const {
  Plan result = *given;
  llvm::StringMap<PlannedLayer *> byName;
  for (PlannedLayer &layer : result.layers)
    byName[layer.name] = &layer;
  ModuleOp module = *const_cast<OwningOpRef<ModuleOp> &>(pruned);
  auto orders = layerOrders(*module.getOps<func::FuncOp>().begin());
  for (auto [op, place] : llvm::zip_equal(linearLayers(module), places)) {
    PlannedLayer *layer = byName.lookup(place.name);
    if (!layer || place.layer == layerCount)
      continue;
    for (auto [level, planned] : llvm::enumerate(layer->levels)) {
      const LayerOverride &own = values[level][place.layer];
      if (planned.mask.empty() || !own.weights.defined())
        continue;
      int64_t begin = place.begin, end = place.end;
      auto part = [&](const Tensor &all, int64_t axis) {
        Tensor slice = all.detach().slice(axis, begin, end).contiguous();
        return std::vector<float>(slice.data_ptr<float>(), slice.data_ptr<float>() + slice.numel());
      };
      int64_t outputs = place.end - place.begin;
      planned.values = inOwnOrder<float>(part(own.weights, 1), outputs, orders[op]);
      for (auto [value, isKept] : llvm::zip_equal(planned.values, planned.mask))
        value = isKept ? value : 0;
      if (planned.bias.empty())
        continue;
      planned.bias = inOwnOrder<float>(part(own.bias, 0), outputs, {{}, orders[op].outputs});
      for (auto [value, modelValue] : llvm::zip_equal(planned.bias, biasesOf(op, outputs)))
        value += modelValue;
    }
  }
  return result;
}

std::optional<Plan> TrainedLevels::current() const {
  if (!pruned)
    return std::nullopt;
  Plan result = planOf(*const_cast<OwningOpRef<ModuleOp> &>(pruned), plan);
  // All levels have the model's own values.
  for (PlannedLayer &layer : result.layers) {
    layer.values.clear();
    for (PlannedLevel &level : layer.levels) {
      level.values.clear();
      level.bias.clear();
    }
  }
  return result;
}

llvm::Expected<Plan> TrainedLevels::planFor(ModuleOp trained) const {
  if (haveOwnValues())
    return ownPlan();
  if (llvm::Error error = applyPlan(trained, *current(), /*isSameType=*/false))
    return std::move(error);
  return planOf(trained, plan);
}
