// SPDX-License-Identifier: Apache-2.0
//
// What a search asks about a model: how good a level is, and how long it takes on the device.

#ifndef RT3_COMPILER_SEARCH_LEVELEVALUATOR_H
#define RT3_COMPILER_SEARCH_LEVELEVALUATOR_H

#include "compiler/predict/Predictor.h"
#include "compiler/search/Space.h"
#include "compiler/verbs/TextRunner.h"
#include "compiler/verbs/Verbs.h"

namespace mlir::rt3 {

struct LevelEvaluatorOptions {
  ModelOptions model;
  std::string device, data, task;
  TableColumns columns; // Of the data; those of calibration texts are the model's.
  int64_t samples = 0;  // Rows of the data; 0: all.
  int64_t length = 0;   // To predict for; 0: the model's largest.
};

struct LevelResult {
  double metric = 0;
  std::vector<double> seconds; // At each clock of the core.
};

// Jobs for evaluate(), and what it gives, for so many clocks; an error for anything else, as of a file that
// somebody has edited.
llvm::json::Object levelJob(const LevelSpec &spec);
llvm::Expected<LevelResult> parseLevelResult(const llvm::json::Object &result, size_t clocks);
llvm::json::Object curveJob(size_t layout, double minDensity);
llvm::Expected<TimeCurve> parseCurve(const llvm::json::Object &result, size_t clocks);

class LevelEvaluator {
public:
  // Reads model, data and calibration inputs. Errors: whatever is wrong with them.
  static llvm::Expected<std::unique_ptr<LevelEvaluator>> make(const LevelEvaluatorOptions &options);

  const Chip &chip() const { return chosen.chip; }
  const Core &core() const { return chosen.get(); }
  const Metric &metric() const { return metricsOf(task).front(); }
  // Layers with few weights beside others; none if all are alike.
  const std::vector<std::string> &narrowLayers() const { return narrow; }
  // A hash of everything that results depend on but the job.
  const std::string &key() const { return hash; }

  // Does a job in a process that ends behind it: the model is used up.
  //
  // A level: pruned alone, calibrated if there are inputs, compiled for the device to predict
  // its time and for this machine to measure its metric. A curve: a layout at densities from the
  // least to 1, by magnitude, which says as much about time.
  llvm::json::Object evaluate(const llvm::json::Object &job);

  // What the levels of a plan come to. Leaves the model as it is. Errors: it is not for this model.
  llvm::Expected<std::vector<LevelResult>> evaluatePlan(const Plan &plan);
  // The plan of all levels together, and what they come to. Leaves the model as it is.
  struct MadePlan {
    Plan plan;
    std::vector<LevelResult> levels;
  };
  llvm::Expected<MadePlan> makePlan(const LevelPlan &levels);

private:
  LevelEvaluator() = default;
  llvm::Error read(const LevelEvaluatorOptions &options);
  // Seconds at each clock, of all and of narrow layers.
  struct ClockTimes {
    std::vector<double> all, narrow;
  };
  llvm::Expected<std::vector<ClockTimes>> predictClocks(ModuleOp pruned, const LevelPlan &levels);
  llvm::Expected<std::vector<double>> measure(ModuleOp pruned, const LevelPlan &levels);
  llvm::Expected<std::vector<LevelResult>> evaluatePruned(ModuleOp pruned, const LevelPlan &levels);
  llvm::Expected<llvm::json::Object> evaluateLevel(const llvm::json::Object &job);
  llvm::Expected<llvm::json::Object> evaluateCurve(const llvm::json::Object &job);

  DialectRegistry registry;
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module; // Fused, not pruned.
  CompileOptions compile;       // For the device.
  Device host;
  ChosenCore chosen;
  Task task = Task::Classification;
  std::unique_ptr<Tokenizer> tokenizer;
  TaskData data;
  std::vector<std::string> narrow;
  int64_t length = 0;
  std::string modelPath, hash;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_SEARCH_LEVELEVALUATOR_H
