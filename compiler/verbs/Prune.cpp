// SPDX-License-Identifier: Apache-2.0
//
// rt3c prune: model and calibration inputs in, a plan out.

#include "compiler/plan/MaskFiles.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

#include <limits>
#include <sys/resource.h>

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
    llvm::outs() << llvm::formatv("level {0,-12} {1,-6} keeps {2:f1} %", level.name, schemeNames(level),
                                  100 * keptShare(plan, i));
    if (count != 0)
      llvm::outs() << llvm::formatv("; output error of its layers {0:f2} % by mask, {1:f2} % rebuilt",
                                    100 * before / count, 100 * after / count);
    llvm::outs() << "\n";
    // Of nested levels, the sparsest owns its values.
    if (plan.levels.isNested && count != 0 && after > lastError)
      llvm::errs() << "rt3c: warning: level " << level.name
                   << " keeps more than the level before, but its layers' outputs "
                   << "are further from the dense ones; levels that are not nested have values of their own\n";
    lastError = count != 0 ? after : lastError;
  }
  if (rebuilt.empty())
    return;
  llvm::outs() << llvm::formatv("input moments were dampened by {0:f0} % of each and {1:f0} % of their mean\n",
                                100 * kOwnDampening, 100 * kMeanDampening);
  auto pruned = llvm::find_if(plan.levels.levels, [](const LevelSpec &level) { return level.scheme != Scheme::Dense; });
  if (plan.levels.isNested && pruned != plan.levels.levels.end())
    llvm::outs() << "levels are nested: " << pruned->name << " owns its values, each denser level those that it adds\n";
}

static llvm::json::Array rebuiltJson(const std::vector<RebuiltLayer> &rebuilt) {
  llvm::json::Array layers;
  for (const RebuiltLayer &layer : rebuilt)
    layers.push_back(llvm::json::Object{{"layer", llvm::json::fixUTF8(layer.layer)},
                                        {"level", layer.level},
                                        {"masked_error", layer.maskedError},
                                        {"error", layer.error}});
  return layers;
}

static constexpr llvm::StringLiteral kCheckpointJson = "checkpoint.json", kCheckpointWeights = "checkpoint.weights";

namespace {

// What has been done, in the plan's folder until that is done.
class FolderCheckpoint : public PruneCheckpoint {
public:
  FolderCheckpoint(std::string folder, std::string key) : folder(std::move(folder)), key(std::move(key)) {}

  std::optional<Plan> load(RebuildState &state) override {
    auto text = readFile(folder + "/" + kCheckpointJson.str());
    auto weights = readFile(folder + "/" + kCheckpointWeights.str());
    if (!text || !weights) {
      llvm::consumeError(llvm::joinErrors(text.takeError(), weights.takeError()));
      return std::nullopt;
    }
    auto [first, plan] = llvm::StringRef(*text).split('\n');
    auto read = readPlan(plan, *weights);
    auto value = parseJson(first);
    const llvm::json::Object *object = value ? value->getAsObject() : nullptr;
    const llvm::json::Array *layers = object ? object->getArray("rebuilt") : nullptr;
    // Of other work, or cut off between both files: begun anew.
    bool isOwn = read && layers && object->getString("key") == llvm::StringRef(key);
    if (!isOwn) {
      llvm::consumeError(llvm::joinErrors(read.takeError(), value.takeError()));
      return std::nullopt;
    }
    int64_t done = object->getInteger("levels_done").value_or(-1);
    if (done < 0 || done > int64_t(read->levels.levels.size()) || !hasValues(*read, done))
      return std::nullopt;
    state.levelsDone = done;
    for (const llvm::json::Value &entry : *layers)
      if (const llvm::json::Object *layer = entry.getAsObject())
        state.layers.push_back({layer->getString("layer").value_or("").str(),
                                layer->getString("level").value_or("").str(),
                                layer->getNumber("masked_error").value_or(0), layer->getNumber("error").value_or(0)});
    std::string last = done == 0 ? "the masks" : "level " + read->levels.levels[done - 1].name;
    llvm::errs() << "rt3c: going on after " << last << ", which " << folder << " has already\n";
    return std::move(*read);
  }

  llvm::Error save(const Plan &plan, const RebuildState &state) override {
    auto [json, weights] = writePlan(plan);
    llvm::json::Value head = llvm::json::Object{
        {"key", key}, {"levels_done", int64_t(state.levelsDone)}, {"rebuilt", rebuiltJson(state.layers)}};
    return writeFiles(folder, {{kCheckpointWeights.str(), weights},
                               {kCheckpointJson.str(), llvm::formatv("{0}\n", head).str() + json}});
  }

  // Whether there is one of other work.
  bool isForeign() const {
    auto text = readFile(folder + "/" + kCheckpointJson.str());
    if (!text) {
      llvm::consumeError(text.takeError());
      return false;
    }
    auto value = parseJson(llvm::StringRef(*text).split('\n').first);
    const llvm::json::Object *object = value ? value->getAsObject() : nullptr;
    bool isOwn = object && object->getString("key") == llvm::StringRef(key);
    llvm::consumeError(value.takeError());
    return !isOwn;
  }

  void remove() {
    for (llvm::StringRef name : {kCheckpointJson, kCheckpointWeights})
      llvm::sys::fs::remove(folder + "/" + name);
  }

private:
  // Whether the first `done` levels have the values that rebuilding gives them.
  static bool hasValues(const Plan &plan, size_t done) {
    for (const PlannedLayer &layer : plan.layers)
      for (size_t level = 0; level < done; ++level) {
        const PlannedLevel &own = layer.levels[level];
        bool isRebuilt = llvm::is_contained(own.mask, 1) && !(own.scheme == Scheme::Block && own.rows == 1);
        if (isRebuilt && own.values.empty() && layer.values.empty())
          return false;
      }
    return true;
  }

  std::string folder, key;
};

} // namespace

// Of masks and values: another one where the same inputs give others.
static constexpr int64_t kMethod = 4;

// What pruning depends on.
static std::string checkpointKey(const PruneVerb &verb, const CompileOptions &options) {
  llvm::SHA256 hash;
  auto file = [&](const std::string &path) {
    auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
    hash.update(buffer ? (*buffer)->getBuffer() : llvm::StringRef(path));
  };
  const ModelOptions &model = verb.model;
  for (const std::string &path : {model.model, model.levels, model.texts.tokenizer})
    file(path);
  std::error_code code;
  std::vector<std::string> samples = {model.calibration};
  for (llvm::sys::fs::recursive_directory_iterator entry(model.calibration, code), end; entry != end && !code;
       entry.increment(code))
    samples.push_back(entry->path());
  llvm::sort(samples);
  for (const std::string &path : samples) {
    hash.update(path);
    file(path);
  }
  hash.update(options.device.name);
  hash.update(model.type);
  for (const std::vector<std::string> *list : {&model.shapes, &model.keepF32, &model.texts.columns.texts}) {
    for (const std::string &text : *list)
      hash.update(text + "\n");
    hash.update(llvm::StringRef("\0", 1));
  }
  for (int64_t number :
       {kPlanVersion, kMethod, model.calibrationSamples, model.calibrationMemory, model.kvCache, model.foldBudget})
    hash.update(std::to_string(number) + " ");
  return llvm::toHex(hash.final(), /*LowerCase=*/true);
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
                                     FolderCheckpoint &checkpoint, std::vector<RebuiltLayer> &rebuilt) {
  if (!verb.masks.empty())
    return planOfFiles(module, verb);
  if (checkpoint.isForeign())
    return llvm::make_error<onnx::OptionFault>(verb.out +
                                                   " has a checkpoint of another model, other data or other "
                                                   "options: go on with those, remove " +
                                                   kCheckpointJson.str() + ", or name another folder with -o",
                                               llvm::inconvertibleErrorCode());
  if (llvm::Error error = prune(module, options, &rebuilt, &checkpoint))
    return std::move(error);
  return planOf(module, options.levels);
}

ExitCode mlir::rt3::runPrune(const PruneVerb &verb) {
  if (verb.model.levels.empty() == verb.masks.empty())
    return fail(kExitUsage, "prune needs --levels or --masks, one of them");
  CompileOptions options;
  if (ExitCode code = chooseOptions(verb.model, options); code != kExitOk)
    return code;
  if (llvm::Error error = checkWritable(verb.out))
    return fail(std::move(error));
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
  FolderCheckpoint checkpoint(verb.out, checkpointKey(verb, options));
  auto made = makePlan(*imported->module, verb, options, checkpoint, rebuilt);
  if (!made)
    return fail(made.takeError());
  Plan plan = std::move(*made);
  setOrigin(plan, verb.model.model, options);
  auto [json, weights] = writePlan(plan);
  if (llvm::Error error = writeFiles(verb.out, {{kPlanJson.str(), json}, {kPlanWeights.str(), weights}}))
    return fail(std::move(error));
  if (!checkpoint.isForeign())
    checkpoint.remove();
  if (verb.model.asJson) {
    llvm::outs() << llvm::formatv("{0:2}\n",
                                  llvm::json::Value(llvm::json::Object{{"plan", verb.out},
                                                                       {"dampening_of_own_moment", kOwnDampening},
                                                                       {"dampening_of_mean_moment", kMeanDampening},
                                                                       {"rebuilt", rebuiltJson(rebuilt)}}));
    return kExitOk;
  }
  printLevels(plan, rebuilt);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  llvm::outs() << "written to " << verb.out << ": " << kPlanJson << ", " << kPlanWeights << " (" << weights.size()
               << " bytes); peak memory " << usage.ru_maxrss / 1024 << " MiB\n";
  return kExitOk;
}
