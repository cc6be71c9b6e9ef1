// SPDX-License-Identifier: Apache-2.0

#include "compiler/train/LevelMasks.h"

#include "compiler/prune/HiddenUnits.h"

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

llvm::Expected<LevelMasks> LevelMasks::make(OwningOpRef<ModuleOp> fused, const LevelPlan &plan,
                                            const TorchGraph &graph) {
  LevelMasks result;
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
    Place place{0, 0, type.getDimSize(1)};
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
  result.masks.assign(plan.levels.size(), std::vector<Tensor>(result.layerCount));
  return result;
}

llvm::Error LevelMasks::choose(const std::vector<Tensor> &weights, const std::vector<Tensor> &squares, double share) {
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
  if (llvm::Error error = pruneLevels(*pruned, now, {}, importance))
    return error;
  readMasks();
  return llvm::Error::success();
}

llvm::Error LevelMasks::take(const Plan &given) {
  plan = given.levels;
  pruned = OwningOpRef<ModuleOp>(fused->clone());
  if (llvm::Error error = applyPlan(*pruned, given, /*isSameType=*/false))
    return error;
  readMasks();
  return llvm::Error::success();
}

void LevelMasks::readMasks() {
  masks.assign(plan.levels.size(), std::vector<Tensor>(layerCount));
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
      Tensor &mask = masks[level][place.layer];
      if (!mask.defined())
        mask = torch::ones({inputs, outputs});
      mask.slice(1, place.begin, place.end).copy_(part);
    }
}

std::optional<Plan> LevelMasks::current() const {
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

llvm::Expected<Plan> LevelMasks::planFor(ModuleOp trained) const {
  if (llvm::Error error = applyPlan(trained, *current(), /*isSameType=*/false))
    return std::move(error);
  return planOf(trained, plan);
}
