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

#include <cmath>

using namespace mlir;
using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

// Predicted cycles of the linear layers of a pruned module, which is used up: by level, in the module's order.
static Expected<std::vector<std::vector<double>>> predictCycles(OwningOpRef<ModuleOp> pruned,
                                                                const CompileOptions &options) {
  PipelineOptions pipeline{options.device.name, options.keepsSparse};
  if (Error error = runPasses(*pruned, [&](OpPassManager &pm) { buildPredictPipeline(pm, pipeline); }))
    return std::move(error);
  std::vector<std::vector<double>> result;
  for (auto function : pruned->getOps<func::FuncOp>()) {
    result.emplace_back();
    function.walk([&](graph::LinearOp op) {
      auto facts = op->getAttrOfType<DictionaryAttr>(graph::kReportAttr);
      if (graph::constantValue(op.getWeights()))
        result.back().push_back(cast<FloatAttr>(facts.get("cycles")).getValueAsDouble());
    });
  }
  return result;
}

// The times of layers at a level, of patterns and columns chosen by magnitude, which takes
// seconds, each layer keeping as much.
static Expected<std::vector<LayerTimes>> predictTimes(ModuleOp module, const LevelSpec &level,
                                                      const CompileOptions &options) {
  constexpr double kDensities[] = {0.1, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 1};
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
  auto cycles = predictCycles(std::move(copy), options);
  if (!cycles)
    return cycles.takeError();
  std::vector<LayerTimes> result(cycles->front().size());
  for (auto [density, row] : llvm::zip_equal(kDensities, *cycles))
    for (auto [times, time] : llvm::zip_equal(result, row))
      times.points.emplace_back(density, time);
  return result;
}

// Prunes to levels of which some are given a share of time: again, with what came out
// corrected, until that is close.
static Error pruneToTimes(ModuleOp module, const CompileOptions &options, const ImportanceSource &importance) {
  constexpr int kRounds = 4;
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
  std::vector<bool> isCounted; // Layers that any level prunes.
  module.walk([&](graph::LinearOp op) {
    if (graph::constantValue(op.getWeights()))
      isCounted.push_back(isPruned(op, plan));
  });
  for (int round = 0;; ++round) {
    if (Error error = pruneLevels(module, plan, pruningUnits(options.device), importance, times))
      return error;
    if (round == kRounds || llvm::none_of(plan.levels, [](const LevelSpec &level) { return level.isTime; }))
      return Error::success();
    auto cycles = predictCycles(module.clone(), options);
    if (!cycles)
      return cycles.takeError();
    bool isClose = true;
    for (auto [i, level] : llvm::enumerate(plan.levels)) {
      double taken = 0, dense = 0;
      for (size_t layer = 0; level.isTime && layer < isCounted.size(); ++layer)
        if (isCounted[layer]) {
          taken += (*cycles)[i][layer];
          dense += times[i][layer].at(1);
        }
      double wanted = options.levels.levels[i].density * dense;
      if (std::abs(taken - wanted) <= kClose * wanted)
        continue;
      isClose = false;
      level.density = std::clamp(level.density * wanted / taken, 0.01, 1.0);
    }
    if (isClose)
      return Error::success();
    clearLevels(module);
  }
}

// Chooses the masks of all levels by calibration.
static Error chooseMasks(ModuleOp module, const CompileOptions &options,
                         const std::vector<CalibrationSample> &samples) {
  auto function = *module.getOps<func::FuncOp>().begin();
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
