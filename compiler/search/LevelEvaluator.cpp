// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/LevelEvaluator.h"

#include "compiler/prune/PruneLevels.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/TemporaryLibrary.h"
#include "dialects/graph/Graph.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace mlir;
using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

static constexpr double kCurveDensities[] = {0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1};

static llvm::json::Array numbers(const std::vector<double> &list) { return llvm::json::Array(list); }

static std::vector<double> parseNumbers(const llvm::json::Array *list) {
  std::vector<double> result;
  if (list)
    for (const llvm::json::Value &value : *list)
      result.push_back(value.getAsNumber().value_or(NAN));
  return result;
}

llvm::json::Object mlir::rt3::levelJob(const LevelSpec &spec) {
  // Name and clock change nothing, so they must not be part of what results are kept by.
  LevelPlan plan;
  plan.levels.push_back(spec);
  plan.levels[0].name = "level";
  plan.levels[0].frequencyKhz = plan.levels[0].voltageUv = plan.levels[0].powerMw = 0;
  return llvm::json::Object{{"kind", "level"}, {"plan", levelsJson(plan)}};
}

Expected<LevelResult> mlir::rt3::parseLevelResult(const llvm::json::Object &result, size_t clocks) {
  LevelResult level{result.getNumber("metric").value_or(NAN), parseNumbers(result.getArray("seconds"))};
  if (level.seconds.size() != clocks)
    return llvm::createStringError("an evaluation has %zu times, expected %zu: remove the folder of evaluations",
                                   level.seconds.size(), clocks);
  return level;
}

llvm::json::Object mlir::rt3::curveJob(size_t layout, double minDensity) {
  std::vector<double> densities{minDensity};
  for (double density : kCurveDensities)
    if (density > minDensity + 1e-9)
      densities.push_back(density);
  LevelPlan plan;
  for (double density : densities) {
    LevelSpec spec = searchedLayouts()[layout];
    spec.density = density;
    spec.name = "d" + std::to_string(std::llround(1e4 * density));
    plan.levels.push_back(spec);
  }
  return llvm::json::Object{{"kind", "curve"}, {"plan", levelsJson(plan)}};
}

Expected<TimeCurve> mlir::rt3::parseCurve(const llvm::json::Object &result, size_t clocks) {
  TimeCurve curve{parseNumbers(result.getArray("densities")), {}, {}};
  bool isWhole = !curve.densities.empty();
  for (auto [field, rows] : {std::pair("seconds", &curve.seconds), {"narrow_seconds", &curve.narrow}}) {
    if (const llvm::json::Array *list = result.getArray(field))
      for (const llvm::json::Value &row : *list)
        rows->push_back(parseNumbers(row.getAsArray()));
    isWhole &= rows->size() == curve.densities.size() &&
               llvm::all_of(*rows, [&](const std::vector<double> &row) { return row.size() == clocks; });
  }
  if (!isWhole)
    return llvm::createStringError("a predicted layout is not whole: remove the folder of evaluations");
  return curve;
}

Expected<std::unique_ptr<LevelEvaluator>> LevelEvaluator::make(const LevelEvaluatorOptions &options) {
  std::unique_ptr<LevelEvaluator> evaluator(new LevelEvaluator());
  if (Error error = evaluator->read(options))
    return std::move(error);
  return evaluator;
}

static Error optionFault(const llvm::Twine &what) {
  return llvm::make_error<onnx::OptionFault>(what.str(), llvm::inconvertibleErrorCode());
}

// Layers that can be pruned and have at most half of the weights that the largest has, as those of attention beside
// those of feed-forward parts.
static std::vector<std::string> findNarrowLayers(ModuleOp module) {
  std::vector<std::pair<std::string, int64_t>> layers;
  int64_t largest = 0;
  module.walk([&](graph::LinearOp op) {
    int64_t size = cast<RankedTensorType>(op.getWeights().getType()).getNumElements();
    if (!graph::constantValue(op.getWeights()) || size < LevelPlan().minWeights)
      return;
    layers.emplace_back(op.getLayer().str(), size);
    largest = std::max(largest, size);
  });
  std::vector<std::string> narrow;
  for (auto &[name, size] : layers)
    if (2 * size <= largest)
      narrow.push_back(name);
  return narrow;
}

Error LevelEvaluator::read(const LevelEvaluatorOptions &options) {
  auto core = findCore(options.device);
  if (!core)
    return optionFault("--device: " + llvm::toString(core.takeError()));
  chosen = std::move(*core);
  if (chosen.get().target.empty())
    return optionFault("device " + chosen.chip.name + ", core " + chosen.get().name + ": no code can be made for it");
  auto parsedTask = parseTask(options.task);
  if (!parsedTask)
    return optionFault(llvm::toString(parsedTask.takeError()));
  task = *parsedTask;
  auto own = hostDevice();
  if (!own)
    return optionFault(llvm::toString(own.takeError()));
  host = *own;
  ModelOptions model = options.model;
  model.target = chosen.get().target;
  modelPath = model.model;
  ModelOptions unpruned = model; // Levels come with each job.
  unpruned.calibration.clear();
  if (ExitCode code = chooseOptions(unpruned, compile); code != kExitOk)
    return optionFault("see above");
  compile.name = "model";
  auto chosenTokenizer = chooseTokenizer(model.texts);
  if (!chosenTokenizer)
    return chosenTokenizer.takeError();
  tokenizer = std::move(*chosenTokenizer);
  auto text = readFile(options.data);
  if (!text)
    return text.takeError();
  data = {options.data, std::move(*text), options.columns, options.samples};

  registerDialects(registry);
  context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  auto imported = importAndFuse(context.get(), model.model, compile.import);
  if (!imported)
    return imported.takeError();
  if (!imported->problems.empty()) {
    printProblems(model, imported->problems, imported->nodeCount);
    return llvm::createStringError("the model cannot be compiled: rt3c check says why");
  }
  module = std::move(imported->module);
  if (Error error = quantize(*module, compile))
    return error;
  narrow = findNarrowLayers(*module);
  auto function = *module->getOps<func::FuncOp>().begin();
  auto maxLength = (*module)->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr);
  int64_t most = maxLength ? maxLength.getInt() : 1;
  length = options.length ? options.length : most;
  if (length < 1 || length > most)
    return optionFault("--length " + llvm::Twine(length) + ": the model takes 1 to " + llvm::Twine(most));
  if (std::string fault = lengthFault(chosen, length, /*isFixed=*/!maxLength); !fault.empty())
    return optionFault(fault);
  // Of the tokenizer what it says, not where it lies; of this program all that it does.
  std::string vocabulary = model.texts.tokenizer;
  if (vocabulary != "bytes") {
    auto text = readFile(vocabulary);
    if (!text)
      return text.takeError();
    vocabulary = std::move(*text);
  }
  auto self = readFile("/proc/self/exe");
  if (!self)
    return self.takeError();
  std::string samplesText;
  if (auto reader = calibrationReader(model)) {
    auto samples = reader(function);
    if (!samples)
      return samples.takeError();
    for (const CalibrationSample &sample : *samples)
      for (const HostTensor &input : sample.inputs)
        samplesText.append(reinterpret_cast<const char *>(input.elements.data()),
                           input.elements.size() * sizeof(double));
    compile.readCalibration = [samples = std::move(*samples)](func::FuncOp) { return samples; };
  }
  // All that a result depends on, the file's weights among it.
  llvm::SHA256 digest;
  std::string printed;
  llvm::raw_string_ostream stream(printed);
  module->print(stream);
  for (const std::string &part :
       {*self, printed, data.text, std::to_string(data.samples), options.task, model.type, samplesText,
        std::to_string(length), llvm::formatv("{0}", llvm::json::Value(chipJson(chosen.chip))).str(), chosen.get().name,
        host.name, vocabulary, options.columns.label, llvm::join(options.columns.texts, " ")}) {
    digest.update(std::to_string(part.size()) + ":");
    digest.update(part);
  }
  hash = llvm::toHex(digest.final(), /*LowerCase=*/true);
  return Error::success();
}

Expected<std::vector<LevelEvaluator::ClockTimes>> LevelEvaluator::predictClocks(ModuleOp pruned,
                                                                                const LevelPlan &levels) {
  OwningOpRef<ModuleOp> copy = pruned.clone();
  CompileOptions options = compile;
  options.levels = levels;
  options.stage = Stage::Profile;
  options.marksOps = true;
  options.schedulerModel = core().schedulerModel;
  options.window = core().window;
  auto result = compilePruned(*copy, options);
  if (!result)
    return result.takeError();
  auto predicted = predict(*result, chosen, length);
  if (!predicted)
    return predicted.takeError();
  std::vector<ClockTimes> times;
  for (const LevelPrediction &level : *predicted) {
    ClockTimes &own = times.emplace_back();
    for (const ClockLevel &clock : core().levels) {
      own.all.push_back(level.seconds(clock.frequencyKhz * 1e3));
      own.narrow.push_back(0);
      for (const OpPrediction &op : level.ops)
        if (llvm::is_contained(narrow, op.op->layer))
          own.narrow.back() += op.seconds(clock.frequencyKhz * 1e3);
    }
  }
  return times;
}

Expected<std::vector<double>> LevelEvaluator::measure(ModuleOp pruned, const LevelPlan &levels) {
  OwningOpRef<ModuleOp> copy = pruned.clone();
  CompileOptions options = compile;
  options.levels = levels;
  options.device = host;
  auto result = compilePruned(*copy, options);
  if (!result)
    return result.takeError();
  auto library = TemporaryLibrary::load(*result, options);
  if (!library)
    return library.takeError();
  LoadedModel &model = (*library)->model();
  auto runner = TextRunner::make(model, task, *tokenizer, /*output=*/"");
  if (!runner)
    return runner.takeError();
  std::vector<double> metrics;
  for (size_t level = 0; level < levels.levels.size(); ++level) {
    if (rt3_model_set_level(model.model(), level) != RT3_OK)
      return llvm::createStringError("a level cannot be set");
    auto outcomes = runner->runData(data);
    if (!outcomes)
      return outcomes.takeError();
    metrics.push_back(metric().compute(*outcomes, runner->classCount()));
  }
  return metrics;
}

Expected<std::vector<LevelResult>> LevelEvaluator::evaluatePruned(ModuleOp pruned, const LevelPlan &levels) {
  auto times = predictClocks(pruned, levels);
  if (!times)
    return times.takeError();
  auto metrics = measure(pruned, levels);
  if (!metrics)
    return metrics.takeError();
  std::vector<LevelResult> results;
  for (size_t i = 0; i < levels.levels.size(); ++i)
    results.push_back({(*metrics)[i], std::move((*times)[i].all)});
  return results;
}

// The levels of a job.
static Expected<LevelPlan> planOfJob(const llvm::json::Object &job) {
  const llvm::json::Object *plan = job.getObject("plan");
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (plan)
    stream << llvm::json::Value(llvm::json::Object(*plan));
  return parseLevels(text);
}

Expected<llvm::json::Object> LevelEvaluator::evaluateLevel(const llvm::json::Object &job) {
  auto levels = planOfJob(job);
  if (!levels)
    return levels.takeError();
  CompileOptions options = compile;
  options.levels = *levels;
  if (levels->levels[0].scheme == Scheme::Dense)
    options.readCalibration = nullptr;
  if (Error error = prune(*module, options))
    return std::move(error);
  auto results = evaluatePruned(*module, *levels);
  if (!results)
    return results.takeError();
  double metric = results->front().metric;
  return llvm::json::Object{{"metric", std::isfinite(metric) ? llvm::json::Value(metric) : llvm::json::Value(nullptr)},
                            {"seconds", numbers(results->front().seconds)}};
}

Expected<llvm::json::Object> LevelEvaluator::evaluateCurve(const llvm::json::Object &job) {
  auto levels = planOfJob(job);
  if (!levels)
    return levels.takeError();
  if (Error error = pruneLevels(*module, *levels, pruningUnits(compile.device)))
    return std::move(error);
  auto times = predictClocks(*module, *levels);
  if (!times)
    return times.takeError();
  llvm::json::Array densities, rows, narrow;
  for (size_t i = 0; i < levels->levels.size(); ++i) {
    densities.push_back(levels->levels[i].density);
    rows.push_back(numbers((*times)[i].all));
    narrow.push_back(numbers((*times)[i].narrow));
  }
  return llvm::json::Object{
      {"densities", std::move(densities)}, {"seconds", std::move(rows)}, {"narrow_seconds", std::move(narrow)}};
}

llvm::json::Object LevelEvaluator::evaluate(const llvm::json::Object &job) {
  auto result = job.getString("kind") == llvm::StringRef("curve") ? evaluateCurve(job) : evaluateLevel(job);
  if (!result)
    return llvm::json::Object{{"error", llvm::toString(result.takeError())}};
  return std::move(*result);
}

Expected<std::vector<LevelResult>> LevelEvaluator::evaluatePlan(const Plan &plan) {
  OwningOpRef<ModuleOp> copy = module->clone();
  CompileOptions options = compile;
  options.plan = std::make_shared<Plan>(plan);
  if (Error error = prune(*copy, options))
    return std::move(error);
  return evaluatePruned(*copy, plan.levels);
}

Expected<LevelEvaluator::MadePlan> LevelEvaluator::makePlan(const LevelPlan &levels) {
  OwningOpRef<ModuleOp> copy = module->clone();
  CompileOptions options = compile;
  options.levels = levels;
  if (Error error = prune(*copy, options))
    return std::move(error);
  Plan plan = planOf(*copy, levels);
  setOrigin(plan, modelPath, options);
  auto results = evaluatePruned(*copy, levels);
  if (!results)
    return results.takeError();
  return MadePlan{std::move(plan), std::move(*results)};
}
