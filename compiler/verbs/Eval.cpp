// SPDX-License-Identifier: Apache-2.0
//
// rt3c eval: how good a model is at a task, at every level, beside the dense one.

#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/TemporaryLibrary.h"
#include "compiler/verbs/TextRunner.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace mlir;
using namespace mlir::rt3;

// JSON has no NaN.
static llvm::json::Value number(double value) {
  return std::isfinite(value) ? llvm::json::Value(value) : llvm::json::Value(nullptr);
}

namespace {

// The outcomes of one level.
struct LevelOutcomes {
  std::string level;
  double density; // Of the layers, 0 to 1.
  std::vector<Outcome> outcomes;
};

// A compiled model, a folder's or one of its own.
struct Subject {
  std::unique_ptr<LoadedModel> fromFolder;
  std::unique_ptr<TemporaryLibrary> compiled;
  LoadedModel &model() { return compiled ? compiled->model() : *fromFolder; }
};

class Evaluation {
public:
  explicit Evaluation(const EvalVerb &verb) : verb(verb) {}

  ExitCode run() {
    auto parsed = parseTask(verb.task);
    if (!parsed)
      return fail(kExitUsage, llvm::toString(parsed.takeError()));
    task = *parsed;
    if (task == Task::LanguageModel && verb.samples)
      return fail(kExitUsage, "--samples is for tables: shorten the text");
    auto chosen = chooseTokenizer(verb.model.texts);
    if (!chosen)
      return fail(chosen.takeError());
    tokenizer = std::move(*chosen);
    auto text = readFile(verb.data);
    if (!text)
      return fail(text.takeError());
    data = {verb.data, std::move(*text), verb.model.texts.columns, verb.samples};
    // What needs no model, before it is compiled.
    if (task != Task::LanguageModel)
      if (auto rows = parseTable(data.text, data.columns, /*hasLabels=*/true); !rows)
        return fail(kExitBadInput, verb.data + ": " + llvm::toString(rows.takeError()));
    if (ExitCode code = evaluate(verb.model, levels); code != kExitOk)
      return code;
    if (ExitCode code = findReference(); code != kExitOk)
      return code;
    print();
    return kExitOk;
  }

private:
  // Outcomes of all levels of a folder or an ONNX file.
  ExitCode evaluate(const ModelOptions &options, std::vector<LevelOutcomes> &out) {
    Subject subject;
    if (llvm::sys::fs::is_directory(options.model)) {
      // --shape may be for the reference.
      bool isCompiled = options.plan.empty() && options.levels.empty() &&
                        (options.shapes.empty() || !verb.reference.empty()) && options.type == "f32" &&
                        options.calibration.empty() && options.target.empty();
      if (!isCompiled && &options == &verb.model)
        return fail(kExitUsage, options.model + " is compiled already: --plan, --levels, --calib, --shape, --type and "
                                                "--target are for ONNX files");
      auto loaded = LoadedModel::load(options.model);
      if (!loaded)
        return fail(loaded.takeError());
      subject.fromFolder = std::move(*loaded);
    } else if (ExitCode code = compile(options, subject); code != kExitOk) {
      return code;
    }
    auto runner = TextRunner::make(subject.model(), task, *tokenizer, verb.output);
    if (!runner)
      return fail(kExitUsage, options.model + ": " + llvm::toString(runner.takeError()));
    classes = std::max(classes, runner->classCount());
    for (auto [i, record] : llvm::enumerate(subject.model().levels())) {
      if (rt3_model_set_level(subject.model().model(), i) != RT3_OK)
        return fail(kExitInternal, "a level cannot be set");
      auto outcomes = runner->runData(data);
      if (!outcomes)
        return fail(kExitBadInput, "level " + llvm::Twine(record.name) + ": " + llvm::toString(outcomes.takeError()));
      out.push_back({record.name, record.density_ppm / 1e6, std::move(*outcomes)});
    }
    return kExitOk;
  }

  ExitCode compile(const ModelOptions &model, Subject &subject) {
    CompileOptions options;
    options.name = "model";
    if (ExitCode code = chooseOptions(model, options); code != kExitOk)
      return code;
    DialectRegistry registry;
    registerDialects(registry);
    MLIRContext context(registry, MLIRContext::Threading::DISABLED);
    context.loadAllAvailableDialects();
    auto result = compileModel(&context, model.model, options);
    if (!result)
      return fail(result.takeError());
    if (!result->problems.empty()) {
      printProblems(model, result->problems, result->nodeCount);
      return kExitUnsupported;
    }
    auto library = TemporaryLibrary::load(*result, options);
    if (!library)
      return fail(library.takeError());
    subject.compiled = std::move(*library);
    return kExitOk;
  }

  // What the levels are compared with: --reference; else, of an ONNX file that the options
  // prune or round, the file as it is; else the level that keeps all weights.
  ExitCode findReference() {
    bool isFile = !llvm::sys::fs::is_directory(verb.model.model);
    ModelOptions options = verb.model;
    options.levels = options.plan = options.calibration = "";
    options.type = "f32";
    options.keepF32.clear();
    bool isChanged = !verb.model.levels.empty() || !verb.model.plan.empty() || verb.model.type != "f32";
    if (!verb.reference.empty())
      options.model = verb.reference;
    std::vector<LevelOutcomes> found;
    if (!verb.reference.empty() || (isFile && isChanged)) {
      if (ExitCode code = evaluate(options, found); code != kExitOk)
        return code;
    } else {
      for (const LevelOutcomes &level : levels)
        if (level.density == 1 && levels.size() > 1)
          found = {level};
    }
    if (found.empty())
      return kExitOk;
    // Of a reference with levels, the densest.
    reference = *std::max_element(found.begin(), found.end(),
                                  [](const LevelOutcomes &a, const LevelOutcomes &b) { return a.density < b.density; });
    auto isSame = [](const Outcome &a, const Outcome &b) { return a.label == b.label; };
    if (!std::equal(reference->outcomes.begin(), reference->outcomes.end(), levels[0].outcomes.begin(),
                    levels[0].outcomes.end(), isSame))
      return fail(kExitUsage, "the reference reads the data in " + llvm::Twine(reference->outcomes.size()) +
                                  " parts, the model in " + llvm::Twine(levels[0].outcomes.size()) +
                                  ": their lengths differ (--shape)");
    return kExitOk;
  }

  void print() {
    std::vector<std::pair<std::string, const LevelOutcomes *>> rows;
    if (reference)
      rows.push_back({verb.reference.empty() ? "(dense)" : "(reference)", &*reference});
    for (const LevelOutcomes &level : levels)
      rows.push_back({level.level, &level});
    llvm::json::Array list;
    if (!verb.model.asJson)
      llvm::outs() << llvm::formatv("{0}, {1} {2} of {3}; 95 % intervals of 1000 bootstrap samples, seed {4}\n",
                                    verb.task, levels[0].outcomes.size(),
                                    task == Task::LanguageModel ? "windows" : "rows",
                                    llvm::sys::path::filename(verb.data), verb.seed);
    for (auto &[name, row] : rows) {
      llvm::json::Object metrics;
      for (const Metric &metric : metricsOf(task)) {
        double value = metric.compute(row->outcomes, classes);
        Interval interval = bootstrap(metric, row->outcomes, {}, classes, verb.seed);
        llvm::json::Object entry{
            {"value", number(value)}, {"low", number(interval.low)}, {"high", number(interval.high)}};
        std::string line = llvm::formatv("{0,-12} {1,6:f1} %  {2,-14} {3,9:f4}  [{4:f4}, {5:f4}]", name,
                                         100 * row->density, metric.name, value, interval.low, interval.high);
        if (reference && row != &*reference) {
          double difference = value - metric.compute(reference->outcomes, classes);
          auto shown = [](double number) { return std::abs(number) < 0.00005 ? 0.0 : number; }; // No -0.0000.
          Interval between = bootstrap(metric, row->outcomes, reference->outcomes, classes, verb.seed);
          entry["difference"] = number(difference);
          entry["difference_low"] = number(between.low);
          entry["difference_high"] = number(between.high);
          line += llvm::formatv("  difference {0}{1:f4}  [{2:f4}, {3:f4}]", shown(difference) >= 0 ? "+" : "",
                                shown(difference), shown(between.low), shown(between.high));
        }
        metrics[metric.name] = std::move(entry);
        if (!verb.model.asJson)
          llvm::outs() << line << "\n";
      }
      list.push_back(llvm::json::Object{{"level", name}, {"density", row->density}, {"metrics", std::move(metrics)}});
    }
    if (verb.model.asJson)
      llvm::outs() << llvm::formatv(
          "{0:2}\n", llvm::json::Value(llvm::json::Object{{"task", verb.task},
                                                          {"examples", int64_t(levels[0].outcomes.size())},
                                                          {"seed", int64_t(verb.seed)},
                                                          {"levels", std::move(list)}}));
  }

  const EvalVerb &verb;
  Task task = Task::Classification;
  int64_t classes = 0; // Of the model's result.
  std::unique_ptr<Tokenizer> tokenizer;
  TaskData data;
  std::vector<LevelOutcomes> levels;
  std::optional<LevelOutcomes> reference;
};

} // namespace

ExitCode mlir::rt3::runEval(const EvalVerb &verb) { return Evaluation(verb).run(); }
