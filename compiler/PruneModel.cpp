// SPDX-License-Identifier: Apache-2.0
//
// Pruning a module: by a plan, by magnitude, or calibrated; to densities or to shares of time.

#include "codegen/Pipelines.h"
#include "compiler/Compile.h"
#include "compiler/RunPasses.h"
#include "compiler/prune/HiddenUnits.h"
#include "compiler/prune/PruneLevels.h"
#include "compiler/prune/RebuildLevels.h"
#include "compiler/prune/Sensitivity.h"
#include "dialects/graph/Graph.h"

#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

// Share of a level's time by which it may miss that without a word.
static constexpr double kWorthAWarning = 0.03;

// What a linear layer is predicted to take.
struct LayerCycles {
  double cycles, dense;
};

// Those of a pruned module, which is used up: by level, in the module's order.
static Expected<std::vector<std::vector<LayerCycles>>> predictCycles(OwningOpRef<ModuleOp> pruned,
                                                                     const CompileOptions &options) {
  if (Error error = runKernelPasses(*pruned, options, buildPredictPipeline))
    return std::move(error);
  std::vector<std::vector<LayerCycles>> result;
  for (auto function : pruned->getOps<func::FuncOp>()) {
    result.emplace_back();
    function.walk([&](graph::LinearOp op) {
      if (!graph::constantValue(op.getWeights()))
        return;
      auto facts = op->getAttrOfType<DictionaryAttr>(graph::kReportAttr);
      auto real = [&](StringRef name) { return cast<FloatAttr>(facts.get(name)).getValueAsDouble(); };
      result.back().push_back({real("cycles"), real("dense_cycles")});
    });
  }
  return result;
}

// The times of layers at a level, of patterns and columns chosen by magnitude, which takes
// seconds, each layer keeping as much.
static Expected<std::vector<LayerTimes>> predictTimes(ModuleOp module, const LevelSpec &level,
                                                      const CompileOptions &options) {
  constexpr double kDensities[] = {0.1, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85};
  LevelPlan plan = options.levels;
  plan.isNested = false;
  plan.levels.assign(std::size(kDensities), level);
  for (auto [i, spec] : llvm::enumerate(plan.levels)) {
    spec.name = "d" + std::to_string(i);
    spec.isTime = false;
    spec.density = kDensities[i];
  }
  OwningOpRef<ModuleOp> copy = module.clone();
  if (Error error = pruneLevels(*copy, plan, pruningUnits(options.device)))
    return std::move(error);
  auto cycles = predictCycles(copy->clone(), options);
  clearLevels(*copy);
  if (!cycles)
    return cycles.takeError();
  std::vector<LayerTimes> result(cycles->front().size());
  for (auto [density, row] : llvm::zip_equal(kDensities, *cycles))
    for (auto [times, layer] : llvm::zip_equal(result, row))
      times.points.emplace_back(density, layer.cycles);
  for (auto [times, layer] : llvm::zip_equal(result, cycles->back()))
    times.points.emplace_back(1, layer.dense);
  return result;
}

// Prunes to levels of which some are given a share of time: again, with what came out
// corrected, until that is close.
static Error pruneToTimes(ModuleOp module, const CompileOptions &options, const ImportanceSource &importance) {
  constexpr int kRounds = 5;
  constexpr double kClose = 0.01;
  LevelPlan plan = options.levels;
  std::vector<std::vector<LayerTimes>> times(plan.levels.size());
  for (auto [level, own] : llvm::zip_equal(plan.levels, times))
    if (level.isTime) {
      auto predicted = predictTimes(module, level, options);
      if (!predicted)
        return predicted.takeError();
      own = std::move(*predicted);
    }
  auto prune = [&](const LevelPlan &levels) {
    return pruneLevels(module, levels, pruningUnits(options.device), importance, times);
  };
  if (llvm::none_of(plan.levels, [](const LevelSpec &level) { return level.isTime; }))
    return prune(plan);
  std::vector<std::vector<bool>> isCounted(plan.levels.size()); // Layers that a level prunes.
  module.walk([&](graph::LinearOp op) {
    for (auto [level, counts] : llvm::zip_equal(plan.levels, isCounted))
      if (graph::constantValue(op.getWeights()))
        counts.push_back(isPrunedAt(op, plan, level));
  });
  // Patterns come in steps, so that a correction may also make it worse, and nested levels
  // depend on each other: the round whose worst level is closest is kept as a whole.
  LevelPlan closest = plan;
  std::vector<double> shares(plan.levels.size(), 1); // Of the closest.
  double worst = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds && worst > kClose; ++round) {
    if (Error error = prune(plan))
      return error;
    auto cycles = predictCycles(module.clone(), options);
    if (!cycles)
      return cycles.takeError();
    clearLevels(module);
    LevelPlan next = plan;
    std::vector<double> found(plan.levels.size(), 1);
    double miss = 0;
    for (auto [i, level] : llvm::enumerate(next.levels)) {
      if (!level.isTime)
        continue;
      double taken = 0, dense = 0, wanted = options.levels.levels[i].density;
      for (auto [layer, counts] : llvm::zip_equal((*cycles)[i], isCounted[i]))
        if (counts) {
          taken += layer.cycles;
          dense += layer.dense;
        }
      if (dense == 0) // Nothing is pruned, as dense_layers says.
        continue;
      found[i] = taken / dense;
      double own = std::abs(found[i] - wanted) / wanted;
      miss = std::max(miss, own);
      if (own > kClose) // A density of 1 would be no pruning at all.
        level.density = std::clamp(level.density * wanted / found[i], 0.01, wanted < 1 ? 0.99 : 1.0);
    }
    if (miss < worst) {
      worst = miss;
      closest = plan;
      shares = found;
    }
    plan = next;
  }
  for (auto [i, level] : llvm::enumerate(options.levels.levels))
    if (level.isTime) {
      bool isOff = std::abs(shares[i] - level.density) > kWorthAWarning * level.density;
      llvm::errs() << llvm::formatv(
          "rt3c: {0}level {1} was given {2:f1} % of the dense layers' time and is predicted to "
          "take {3:f1} %{4}\n",
          isOff ? "warning: " : "", level.name, 100 * level.density, 100 * shares[i],
          isOff ? ", the closest that was found" : "");
    }
  return prune(closest);
}

// Chooses the masks of all levels by calibration.
static Error chooseMasks(ModuleOp module, const CompileOptions &options,
                         const std::vector<CalibrationSample> &samples) {
  auto function = *module.getOps<func::FuncOp>().begin();
  // Before what takes minutes.
  if (Error error = checkLayers(module, options.levels))
    return error;
  auto calibration = calibrate(function, samples, options.levels.hasOwnBiases);
  if (!calibration)
    return calibration.takeError();
  ImportanceSource importance = secondOrderImportance(*calibration);
  reorderHiddenUnits(function, options.levels, importance, *calibration);
  auto sensitivity = measureSensitivity(function, samples, importance, options.levels);
  if (!sensitivity)
    return sensitivity.takeError();
  return pruneToTimes(module, options, *sensitivity);
}

Error mlir::rt3::prune(ModuleOp module, const CompileOptions &options, std::vector<RebuiltLayer> *rebuilt,
                       PruneCheckpoint *checkpoint) {
  if (options.plan) {
    StringRef type = options.precision ? graph::stringifyPrecision(*options.precision) : "f32";
    return applyPlan(module, *options.plan, type == options.plan->precision);
  }
  if (!options.readCalibration)
    return pruneToTimes(module, options, nullptr);
  auto function = *module.getOps<func::FuncOp>().begin();
  auto samples = options.readCalibration(function);
  if (!samples)
    return samples.takeError();
  RebuildState state;
  std::optional<Plan> begun = checkpoint ? checkpoint->load(state) : std::nullopt;
  if (Error error = begun ? applyPlan(module, *begun, /*isSameType=*/true) : chooseMasks(module, options, *samples))
    return error;
  auto save = [&](const RebuildState &now) {
    return checkpoint ? checkpoint->save(planOf(module, options.levels), now) : Error::success();
  };
  if (!begun)
    if (Error error = save(state))
      return error;
  if (Error error = rebuildLevels(function, *samples, options.levels.hasOwnBiases, state, save))
    return error;
  if (rebuilt)
    *rebuilt = std::move(state.layers);
  return Error::success();
}
