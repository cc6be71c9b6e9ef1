// SPDX-License-Identifier: Apache-2.0
//
// rt3c prune: model and calibration inputs in, a plan out.

#include "compiler/plan/MaskFiles.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <limits>

using namespace mlir;
using namespace mlir::rt3;

// What a level keeps, and the mean over its layers of their output errors.
static void printLevels(const Plan &plan, const std::vector<RebuiltLayer> &rebuilt) {
  double lastError = std::numeric_limits<double>::infinity(); // Of the level before.
  for (auto [i, level] : llvm::enumerate(plan.levels.levels)) {
    double before = 0, after = 0, count = 0;
    for (const RebuiltLayer &layer : rebuilt)
      if (layer.level == level.name) {
        before += layer.maskedError;
        after += layer.error;
        ++count;
      }
    llvm::outs() << llvm::formatv("level {0,-12} {1,-6} keeps {2:f1} %", level.name, schemeName(level.scheme),
                                  100 * keptShare(plan, i));
    if (count != 0)
      llvm::outs() << llvm::formatv("; output error of its layers {0:f2} % by mask, {1:f2} % rebuilt",
                                    100 * before / count, 100 * after / count);
    llvm::outs() << "\n";
    // Of nested levels, the sparsest owns its values.
    if (count != 0 && after > lastError)
      llvm::errs() << "rt3c: warning: level " << level.name
                   << " keeps more than the level before, but its layers' outputs "
                   << "are further from the dense ones; levels that are not nested have values of their own\n";
    lastError = count != 0 ? after : lastError;
  }
}

static llvm::json::Value toJson(const PruneVerb &verb, const std::vector<RebuiltLayer> &rebuilt) {
  llvm::json::Array layers;
  for (const RebuiltLayer &layer : rebuilt)
    layers.push_back(llvm::json::Object{{"layer", llvm::json::fixUTF8(layer.layer)},
                                        {"level", layer.level},
                                        {"masked_error", layer.maskedError},
                                        {"error", layer.error}});
  return llvm::json::Object{{"plan", verb.out}, {"rebuilt", std::move(layers)}};
}

// The plan of masks that are given.
static llvm::Expected<Plan> planOfFiles(ModuleOp module, const PruneVerb &verb) {
  std::vector<std::pair<std::string, std::vector<GivenMask>>> levels;
  for (const std::string &text : verb.masks) {
    auto [name, path] = llvm::StringRef(text).split('=');
    if (path.empty())
      std::tie(name, path) = std::pair(llvm::StringRef("default"), name);
    std::string fault = levelNameFault(name);
    for (auto &level : levels)
      if (name.equals_insensitive(level.first))
        fault = "level " + name.str() + " is given twice";
    if (!fault.empty())
      return llvm::make_error<onnx::OptionFault>("--masks " + text + ": " + fault, llvm::inconvertibleErrorCode());
    auto masks = readMasks(path.str());
    if (!masks)
      return masks.takeError();
    levels.emplace_back(name.str(), std::move(*masks));
  }
  return planOfMasks(module, levels);
}

static llvm::Expected<Plan> makePlan(ModuleOp module, const PruneVerb &verb, const CompileOptions &options,
                                     std::vector<RebuiltLayer> &rebuilt) {
  if (!verb.masks.empty())
    return planOfFiles(module, verb);
  if (llvm::Error error = prune(module, options, &rebuilt))
    return std::move(error);
  return planOf(module, options.levels);
}

ExitCode mlir::rt3::runPrune(const PruneVerb &verb) {
  if (verb.model.levels.empty() == verb.masks.empty())
    return fail(kExitUsage, "prune needs --levels or --masks, one of them");
  CompileOptions options;
  if (ExitCode code = chooseOptions(verb.model, options); code != kExitOk)
    return code;
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  auto imported = importAndFuse(&context, verb.model.model, options.import);
  if (!imported)
    return fail(imported.takeError());
  if (!imported->problems.empty()) {
    printProblems(verb.model, imported->problems, imported->nodeCount);
    return kExitUnsupported;
  }
  if (llvm::Error error = quantize(*imported->module, options))
    return fail(std::move(error));
  std::vector<RebuiltLayer> rebuilt;
  auto made = makePlan(*imported->module, verb, options, rebuilt);
  if (!made)
    return fail(made.takeError());
  Plan plan = std::move(*made);
  plan.model = verb.model.model;
  graph::PruningUnits units = pruningUnits(options.device);
  if (options.precision && units.count(*options.precision))
    plan.unit = units[*options.precision];
  plan.precision = options.precision ? graph::stringifyPrecision(*options.precision).str() : "f32";
  auto [json, weights] = writePlan(plan);
  if (llvm::Error error = writeFiles(verb.out, {{kPlanJson.str(), json}, {kPlanWeights.str(), weights}}))
    return fail(std::move(error));
  if (verb.model.asJson) {
    llvm::outs() << llvm::formatv("{0:2}\n", toJson(verb, rebuilt));
    return kExitOk;
  }
  printLevels(plan, rebuilt);
  llvm::outs() << "written to " << verb.out << ": " << kPlanJson << ", " << kPlanWeights << " (" << weights.size()
               << " bytes)\n";
  return kExitOk;
}
