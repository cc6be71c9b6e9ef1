// SPDX-License-Identifier: Apache-2.0
//
// rt3c train: an ONNX file and data in, an ONNX file with other weights and a plan out.

#include "compiler/CommandLine.h"
#include "compiler/onnx/EditModel.h"
#include "compiler/train/Trainer.h"
#include "compiler/verbs/Outputs.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

#include <malloc.h>
#include <map>
#include <unistd.h>

using namespace mlir;
using namespace mlir::rt3;

static constexpr int64_t kMaxClasses = 65536;
static constexpr llvm::StringLiteral kCheckpoint = "checkpoint.pt", kModel = "model.onnx",
                                     kCheckpointName = "rt3-checkpoint ", kCheckpointMagic = "rt3-checkpoint 2 ";

namespace {

struct TrainVerb {
  ModelOptions model;
  std::string data, validation, task, out = "trained", pool = "mean", joint = "alternating", values;
  int64_t classes = 0, threads = 2;
  TrainOptions options;
};

// Checkpoints in the folder of the results. They begin with a hash of what they belong to.
class FolderStore : public CheckpointStore {
public:
  FolderStore(std::string folder, std::string key) : folder(std::move(folder)), key(std::move(key)) {}

  llvm::Error write(const std::string &bytes) override {
    return writeFiles(folder, {{kCheckpoint.str(), key + hashOf(bytes) + "\n" + bytes}});
  }
  std::optional<std::string> read() override {
    auto bytes = readFile(path());
    if (!bytes) {
      llvm::consumeError(bytes.takeError());
      return std::nullopt;
    }
    // What is damaged, fault() has refused: none of it reaches libtorch's reader.
    return llvm::StringRef(*bytes).drop_front(key.size()).split('\n').second.str();
  }
  // Why the file there cannot be gone on from or written over; empty if it can.
  std::string fault() const {
    auto bytes = readFile(path());
    if (!bytes) {
      llvm::consumeError(bytes.takeError());
      return "";
    }
    auto [hash, payload] = llvm::StringRef(*bytes).drop_front(std::min(key.size(), bytes->size())).split('\n');
    bool isOwn = llvm::StringRef(*bytes).starts_with(key);
    if (isOwn && hash == hashOf(payload))
      return "";
    bool isOlder =
        llvm::StringRef(*bytes).starts_with(kCheckpointName) && !llvm::StringRef(*bytes).starts_with(kCheckpointMagic);
    if (isOlder)
      return path() + " is of another version of rt3c: remove it to begin anew, or name another folder with -o";
    if (isOwn || !llvm::StringRef(*bytes).starts_with(kCheckpointMagic))
      return path() + " is damaged, or no checkpoint: remove it to begin anew, or name another folder with -o";
    return path() +
           " belongs to another model, other data or other options: go on with those, remove it, or name another "
           "folder with -o";
  }
  std::string path() const { return folder + "/" + kCheckpoint.str(); }
  void remove() { llvm::sys::fs::remove(path()); }

private:
  static std::string hashOf(llvm::StringRef bytes) {
    return llvm::toHex(llvm::SHA256::hash(llvm::arrayRefFromStringRef(bytes)), /*LowerCase=*/true);
  }

  std::string folder, key;
};

class TrainRun {
public:
  explicit TrainRun(TrainVerb &verb) : verb(verb) {
    registerDialects(registry);
    context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
    context->loadAllAvailableDialects();
  }

  ExitCode run() {
    if (ExitCode code = readOptions(); code != kExitOk)
      return code;
    if (llvm::Error error = readInputs())
      return fail(std::move(error));
    FolderStore store(verb.out, key());
    if (std::string fault = store.fault(); !fault.empty())
      return fail(kExitUsage, fault);
    // Now, not when hours have gone.
    if (llvm::Error error = checkFolder())
      return fail(std::move(error));
    llvm::Error failure = train(*graph, rows, *training, *validation, levels ? &*levels : nullptr, bool(options.plan),
                                verb.options, store, [](const std::string &line) {
                                  llvm::outs() << line << "\n";
                                  llvm::outs().flush();
                                });
    if (failure)
      return fail(kExitBadInput, llvm::toString(std::move(failure)));
    if (llvm::Error error = writeResults())
      return fail(std::move(error));
    store.remove();
    return kExitOk;
  }

private:
  ExitCode readOptions() {
    TrainOptions &train = verb.options;
    if (verb.task == "outputs") {
      train.task = Task::Regression;
      train.isDistilled = true;
    } else {
      auto task = parseTask(verb.task);
      if (!task)
        return fail(kExitUsage, llvm::toString(task.takeError()) + ", outputs");
      train.task = *task;
    }
    bool isPruned = !verb.model.levels.empty() || !verb.model.plan.empty();
    if (train.isDistilled && !isPruned)
      return fail(kExitUsage, "--task outputs needs --levels or --plan: the dense model has its results already");
    // Training does not depend on the target.
    if (verb.model.target.empty())
      verb.model.target = "armv8-a";
    if (ExitCode code = chooseOptions(verb.model, options); code != kExitOk)
      return code;
    for (const LevelSpec &level : options.levels.levels)
      if (level.isTime && !options.plan)
        return fail(kExitBadInput, "--levels: level " + level.name +
                                       " has \"time\", which is of a target: give it a density, or make a plan with "
                                       "rt3c prune --target and train that with --plan");
    if (!verb.values.empty() && !options.plan)
      return fail(kExitUsage, "--values needs --plan: it says whose values its levels train");
    train.joint = verb.joint == "summed" ? JointMode::Summed : JointMode::Alternating;
    torch::set_num_threads(1); // Of its own: see useThreads.
    return kExitOk;
  }

  // What a checkpoint belongs to.
  std::string key() const {
    const TrainOptions &t = verb.options;
    const ModelOptions &m = verb.model;
    llvm::SHA256 hash;
    auto add = [&](llvm::StringRef text) { // With its length: texts must not run into each other.
      uint64_t size = text.size();
      hash.update(llvm::StringRef(reinterpret_cast<const char *>(&size), sizeof size));
      hash.update(text);
    };
    for (llvm::StringRef text :
         {llvm::StringRef(modelBytes), llvm::StringRef(trainingText), llvm::StringRef(validationText),
          llvm::StringRef(levelsText), llvm::StringRef(vocabularyText), llvm::StringRef(verb.task),
          llvm::StringRef(verb.pool), llvm::StringRef(verb.joint), llvm::StringRef(verb.values),
          llvm::StringRef(m.texts.columns.label)})
      add(text);
    for (const std::vector<std::string> *list : {&m.shapes, &m.texts.columns.texts})
      add(llvm::join(*list, "\n"));
    for (double number : {t.epochs, t.learningRate, t.warmup, t.weightDecay, t.distillation, t.temperature, t.hidden,
                          t.ramp, t.groupLasso, double(verb.classes), double(verb.threads), double(t.batch),
                          double(t.seed), double(t.validationSteps), double(t.patience), double(maxLength)})
      add(llvm::StringRef(reinterpret_cast<const char *>(&number), sizeof number));
    return kCheckpointMagic.str() + llvm::toHex(hash.final(), /*LowerCase=*/true) + "\n";
  }

  llvm::Error readInputs() {
    auto edited = onnx::EditedModel::read(verb.model.model);
    if (!edited)
      return edited.takeError();
    model.emplace(std::move(*edited));
    auto tokens = chooseTokenizer(verb.model.texts);
    if (!tokens)
      return tokens.takeError();
    tokenizer = std::move(*tokens);
    vocabularyText = verb.model.texts.tokenizer;
    if (vocabularyText != "bytes") {
      auto vocabulary = readFile(verb.model.texts.tokenizer);
      if (!vocabulary)
        return vocabulary.takeError();
      vocabularyText = std::move(*vocabulary);
    }
    for (auto [path, text] : {std::pair(&verb.data, &trainingText), {&verb.validation, &validationText}}) {
      auto bytes = readFile(*path);
      if (!bytes)
        return bytes.takeError();
      *text = std::move(*bytes);
    }
    if (llvm::Error error = import(1))
      return error;
    bool needsHead = (verb.options.task == Task::Classification || verb.options.task == Task::Regression) &&
                     !verb.options.isDistilled && resultShape().size() != 2;
    if (needsHead && trainsOwnValues())
      return llvm::createStringError(verb.model.model + ": output " + resultName() + " needs a head for " + verb.task +
                                     ", which all levels would share: train the model with a head first, without "
                                     "--plan, and prune that, or take --values shared");
    if (needsHead)
      if (llvm::Error error = addHead())
        return error;
    if (!verb.options.isDistilled)
      if (llvm::Error error =
              checkTaskOutput(verb.options.task, resultName(), resultShape(), inputs, tokenizer->vocabularySize()))
        return llvm::createStringError(verb.model.model + ": " + llvm::toString(std::move(error)));
    if (llvm::Error error = checkVocabulary(function(), inputs, *tokenizer))
      return llvm::createStringError(verb.model.model + ": " + llvm::toString(std::move(error)));
    // Rows together where the model allows it, and texts are padded or equally long.
    rows = 1;
    bool canPad = llvm::is_contained(inputs.roles, TextRole::Mask) || verb.options.task == Task::LanguageModel;
    if (canPad && verb.options.batch > 1) {
      llvm::Error error = import(verb.options.batch);
      if (!error)
        rows = verb.options.batch;
      llvm::consumeError(std::move(error));
    }
    if (llvm::Error error = import(rows))
      return error;
    if (rows == 1 && verb.options.batch > 1)
      llvm::errs() << "rt3c: the model takes one text at a time: gradients of a batch are added up\n";
    return readData();
  }

  // -1 for the free dimension.
  std::vector<int64_t> resultShape() const {
    std::vector<int64_t> shape;
    for (int64_t size : cast<RankedTensorType>(function().getResultTypes()[0]).getShape())
      shape.push_back(ShapedType::isDynamic(size) ? -1 : size);
    return shape;
  }
  std::string resultName() const { return cast<StringAttr>(function().getResultAttr(0, "rt3_graph.name")).str(); }
  func::FuncOp function() const { return *const_cast<OwningOpRef<ModuleOp> &>(module)->getOps<func::FuncOp>().begin(); }

  // Imports the model for `count` texts at once and prepares it for training.
  llvm::Error import(int64_t count) {
    auto bytes = model->bytes();
    if (!bytes)
      return bytes.takeError();
    modelBytes = std::move(*bytes);
    graph.reset();
    auto imported = importModule(count);
    if (!imported)
      return imported.takeError();
    module = std::move(*imported);
    if (llvm::Error error = fuseElementwise(*module))
      return error;
    std::vector<InputShape> shapes = inputShapes(function());
    for (InputShape &shape : shapes)
      if (!shape.dims.empty() && shape.dims[0] == count)
        shape.dims[0] = 1;
    auto bound = bindTextInputs(shapes);
    if (!bound)
      return bound.takeError();
    inputs = *bound;
    for (auto [i, role] : llvm::enumerate(inputs.roles))
      if (role == TextRole::Mask)
        maskInput = shapes[i].name;
    auto largest = (*module)->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr);
    maxLength = largest ? largest.getInt() : inputs.fixedLength;
    auto made = TorchGraph::make(function());
    if (!made)
      return made.takeError();
    graph = std::move(*made);
    for (auto &[name, parameter] : graph->parameters()) {
      auto wrong = torch::isfinite(parameter.flatten()).logical_not().nonzero();
      if (wrong.size(0) > 0)
        return llvm::createStringError(verb.model.model + ": element " + llvm::Twine(wrong[0][0].item<int64_t>()) +
                                       " of initializer " + name +
                                       " is NaN or infinite, expected a number; export the model from a checkpoint "
                                       "without them");
    }
    return llvm::Error::success();
  }

  llvm::Expected<OwningOpRef<ModuleOp>> importModule(int64_t count) {
    onnx::ImportOptions import = options.import;
    for (auto &[name, shape] : import.shapes)
      if (!shape[0].isFree && shape[0].size == 1)
        shape[0].size = count;
    auto imported = onnx::importBytes(context.get(), modelBytes, import);
    if (!imported)
      return imported.takeError();
    if (!imported->problems.empty()) {
      if (count == 1)
        printProblems(verb.model, imported->problems, imported->nodeCount);
      return llvm::createStringError(verb.model.model + ": cannot be trained, because it cannot be imported");
    }
    return std::move(imported->module);
  }

  // As many as the labels say, two at least. A class without a row is more often a slip in a label than meant.
  static llvm::Expected<int64_t> countClasses(llvm::ArrayRef<TextExample> examples) {
    std::map<int64_t, int64_t> lines;
    for (const TextExample &example : examples)
      lines.emplace(int64_t(example.label), example.line);
    auto [largest, line] = *lines.rbegin();
    for (int64_t label = 0; label < largest; ++label)
      if (!lines.count(label))
        return llvm::createStringError(llvm::formatv("line {0} has label {1}, but no row has {2}: expected all of 0 to "
                                                     "{1}; say --classes {3} if that is meant",
                                                     line, largest, label, largest + 1));
    return std::max<int64_t>(largest + 1, 2);
  }

  llvm::Error addHead() {
    std::vector<int64_t> shape = resultShape();
    onnx::Head head;
    head.output = resultName();
    head.takesFirst = verb.pool == "first";
    head.mask = maskInput;
    head.features = shape.empty() ? 0 : shape.back();
    if (shape.size() != 3 || shape[2] < 1)
      return llvm::createStringError("output " + head.output + " is neither [1, classes] nor [1, length, features]: " +
                                     "no head can be put on it");
    head.results = 1;
    if (verb.options.task == Task::Classification) {
      auto labels = parseTable(trainingText, verb.model.texts.columns, /*hasLabels=*/true,
                               verb.classes ? verb.classes : kMaxClasses);
      if (!labels)
        return llvm::createStringError(verb.data + ": " + llvm::toString(labels.takeError()));
      auto classes = verb.classes ? llvm::Expected<int64_t>(verb.classes) : countClasses(*labels);
      if (!classes)
        return llvm::createStringError(verb.data + ": " + llvm::toString(classes.takeError()));
      head.results = *classes;
    }
    torch::manual_seed(verb.options.seed);
    torch::Tensor weights = (0.02 * torch::randn({head.features, head.results})).contiguous();
    if (llvm::Error error = model->addHead(head, {weights.data_ptr<float>(), size_t(weights.numel())}))
      return error;
    llvm::outs() << llvm::formatv("a head of {0} x {1} weights is put behind {2}\n", head.features, head.results,
                                  head.output);
    return import(1);
  }

  llvm::Error readData() {
    Labels labels;
    labels.areNeeded = !verb.options.isDistilled;
    if (verb.options.task == Task::Classification)
      labels.classCount = resultShape().back();
    for (auto [path, text, dataset] :
         {std::tuple(&verb.data, &trainingText, &training), {&verb.validation, &validationText, &validation}}) {
      // Without labels, a file that is no table has texts alone, as for --calib.
      bool isTable = !verb.options.isDistilled || llvm::StringRef(*path).ends_with(".tsv");
      if (!isTable && !(verb.model.texts.columns.texts.empty() && verb.model.texts.columns.label.empty()))
        return llvm::createStringError(*path + ": --text and --label name columns of a table, which is a .tsv; other "
                                               "files have a text per line");
      auto made = isTable ? Dataset::make(verb.options.task, *text, verb.model.texts.columns, labels, *tokenizer,
                                          inputs, maxLength)
                          : Dataset::ofTexts(splitTexts(*text, vocabularyText == "bytes", maxLength), *tokenizer,
                                             inputs, maxLength);
      if (!made)
        return llvm::createStringError(*path + ": " + llvm::toString(made.takeError()));
      dataset->emplace(std::move(*made));
    }
    if (options.levels.levels.size() == 1 && options.levels.levels[0].scheme == Scheme::Dense)
      return llvm::Error::success();
    auto fused = fusedModule();
    if (!fused)
      return fused.takeError();
    auto made = TrainedLevels::make(std::move(*fused), options.levels, *graph);
    if (!made)
      return made.takeError();
    levels.emplace(std::move(*made));
    if (options.plan) {
      auto [json, weights] = writePlan(*options.plan);
      levelsText = json + weights;
      if (trainsOwnValues())
        return levels->takeValues(*options.plan, *graph);
      if (hasSharedValues(*options.plan) || hasLevelValues(*options.plan))
        llvm::errs() << "rt3c: of the plan, masks are taken: all levels train the model's weights, not the plan's\n";
      return levels->take(*options.plan);
    }
    levelsText = llvm::formatv("{0}", llvm::json::Value(levelsJson(options.levels)));
    return llvm::Error::success();
  }

  static bool hasSharedValues(const Plan &plan) {
    return llvm::any_of(plan.layers, [](const PlannedLayer &layer) { return !layer.values.empty(); });
  }
  static bool hasLevelValues(const Plan &plan) {
    return llvm::any_of(plan.layers, [](const PlannedLayer &layer) {
      return llvm::any_of(layer.levels, [](const PlannedLevel &level) { return !level.values.empty(); });
    });
  }
  bool trainsOwnValues() const {
    return options.plan && (verb.values.empty() ? hasLevelValues(*options.plan) : verb.values == "own");
  }

  // The model as rt3c compile sees it.
  llvm::Expected<OwningOpRef<ModuleOp>> fusedModule() {
    auto imported = importModule(1);
    if (!imported)
      return imported.takeError();
    if (auto unfolded = fuse(**imported, options.import.foldBudget); !unfolded)
      return unfolded.takeError();
    return imported;
  }

  // Whether the results can be written, and stand beside nothing that belongs to another model.
  llvm::Error checkFolder() {
    if (!levels && llvm::sys::fs::exists(verb.out + "/" + kPlanJson))
      return llvm::createStringError(verb.out + " has a plan, which would not fit the new model: name another folder "
                                                "with -o");
    return checkWritable(verb.out);
  }

  llvm::Error writeResults() {
    for (auto &[name, parameter] : graph->parameters()) {
      torch::Tensor values = parameter.detach().contiguous();
      if (!model->setInitializer(name, {values.data_ptr<float>(), size_t(values.numel())}))
        return onnx::makeOwnFault("initializer " + name + " cannot be written");
    }
    auto bytes = model->bytes();
    if (!bytes)
      return bytes.takeError();
    modelBytes = *bytes;
    std::vector<OutputFile> files = {{kModel.str(), modelBytes}};
    if (levels) {
      auto fused = fusedModule();
      if (!fused)
        return fused.takeError();
      auto plan = levels->planFor(**fused);
      if (!plan)
        return plan.takeError();
      plan->model = kModel.str();
      auto [json, weights] = writePlan(*plan);
      files.push_back({kPlanJson.str(), json});
      files.push_back({kPlanWeights.str(), weights});
      for (size_t level = 0; level < plan->levels.levels.size(); ++level)
        llvm::outs() << llvm::formatv("level {0,-12} keeps {1:f1} %\n", plan->levels.levels[level].name,
                                      100 * keptShare(*plan, level));
    }
    if (llvm::Error error = writeFiles(verb.out, files))
      return error;
    llvm::outs() << "written to " << verb.out << ": " << kModel;
    if (levels)
      llvm::outs() << ", " << kPlanJson << ", " << kPlanWeights;
    llvm::outs() << "\n";
    return llvm::Error::success();
  }

  TrainVerb &verb;
  CompileOptions options;
  DialectRegistry registry;
  std::unique_ptr<MLIRContext> context;
  std::optional<onnx::EditedModel> model;
  std::string modelBytes, trainingText, validationText, vocabularyText, levelsText, maskInput;
  std::unique_ptr<Tokenizer> tokenizer;
  OwningOpRef<ModuleOp> module;
  TextInputs inputs;
  int64_t maxLength = 1, rows = 1;
  std::unique_ptr<TorchGraph> graph;
  std::optional<Dataset> training, validation;
  std::optional<TrainedLevels> levels;
};

} // namespace

static void addTrainOptions(CLI::App &app, TrainVerb &verb) {
  TrainOptions &train = verb.options;
  addModelOptions(&app, verb.model);
  addTextOptions(&app, verb.model.texts);
  app.add_option("--levels", verb.model.levels, "levels.json; none: the dense model is trained");
  app.add_option("--plan", verb.model.plan, "instead: folder that rt3c prune wrote, whose masks stay");
  app.add_option("--values", verb.values,
                 "what levels of --plan train: own, each its own, from the plan's, while the model stays; or shared, "
                 "the model's for all; none: own where levels of the plan have some")
      ->check(CLI::IsMember({"own", "shared"}));
  app.add_option("--data", verb.data,
                 "to train on: table of texts and labels (.tsv with a header), or a text (language-model, outputs)")
      ->required();
  app.add_option("--validation", verb.validation, "to choose by: of the same kind")->required();
  app.add_option(
         "--task", verb.task,
         "classification, regression, similarity, language-model, or outputs: the dense model's, without labels")
      ->required();
  app.add_option("--label", verb.model.texts.columns.label, "column of labels; none: label or score");
  app.add_option("--classes", verb.classes, "of a head that is added; none: from the labels")
      ->check(CLI::Range(int64_t(2), kMaxClasses));
  app.add_option("--pool", verb.pool, "what a head that is added reads: mean or first token")
      ->check(CLI::IsMember({"mean", "first"}))
      ->capture_default_str();
  app.add_option("-o,--out", verb.out, "folder for model.onnx, the plan and checkpoints")->capture_default_str();
  app.add_option("--epochs", train.epochs, "times through the data")
      ->check(between(0, 10000, false))
      ->capture_default_str();
  app.add_option("--batch", train.batch, "examples of a step")->check(CLI::Range(1, 65536))->capture_default_str();
  app.add_option("--learning-rate", train.learningRate, "at its highest")
      ->check(between(0, 1000, false))
      ->capture_default_str();
  app.add_option("--warmup", train.warmup, "share of the steps over which it rises")
      ->check(between(0, 1))
      ->capture_default_str();
  app.add_option("--weight-decay", train.weightDecay, "of matrices")
      ->check(between(0, 100))
      ->capture_default_str();
  app.add_option("--seed", train.seed, "of the order of examples and of a head")->capture_default_str();
  app.add_option("--joint", verb.joint, "levels of a step: alternating (one) or summed (all)")
      ->check(CLI::IsMember({"alternating", "summed"}))
      ->capture_default_str();
  app.add_option("--distillation", train.distillation, "share of the dense model's results in the loss of levels")
      ->check(between(0, 1))
      ->capture_default_str();
  app.add_option("--temperature", train.temperature, "of distillation")
      ->check(between(0.01, 1000))
      ->capture_default_str();
  app.add_option("--hidden", train.hidden, "weight of the hidden states in what is distilled")
      ->check(between(0, 1e6))
      ->capture_default_str();
  app.add_option("--ramp", train.ramp, "share of the steps over which weights go")
      ->check(between(0, 1))
      ->capture_default_str();
  app.add_option("--group-lasso", train.groupLasso, "strength of a penalty on groups of weights before they go")
      ->check(between(0, 1e6))
      ->capture_default_str();
  app.add_option("--validation-steps", train.validationSteps, "steps between validations; none: an epoch")
      ->check(oneOrMore());
  app.add_option("--patience", train.patience, "validations without a better one before it ends; none: never")
      ->check(oneOrMore());
  app.add_option("--checkpoint-steps", train.checkpointSteps, "steps between checkpoints; none: five minutes")
      ->check(oneOrMore());
  app.add_option("--threads", verb.threads)->check(CLI::Range(1, 256))->capture_default_str();
}

// Products take the time, and those are OpenBLAS's, which reads its number of threads when it
// is loaded. Two pools, OpenMP's besides, would spin against each other.
static void useThreads(int64_t count, char **argv) {
  if (getenv("OPENBLAS_NUM_THREADS"))
    return;
  setenv("OPENBLAS_NUM_THREADS", std::to_string(count).c_str(), 1);
  setenv("OPENBLAS_THREAD_TIMEOUT", "4", 1); // The shortest spinning, of 2^4 cycles.
  execv(llvm::sys::fs::getMainExecutable(argv[0], nullptr).c_str(), argv);
}

int main(int argc, char **argv) {
  // Tensors come and go with every step; giving their pages back each time took a third of it.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  TrainVerb verb;
  CLI::App app("rt3c train trains an ONNX model, for all levels at once if there are some");
  app.name("rt3c train");
  addTrainOptions(app, verb);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &asked) {
    app.exit(asked);
    return kExitOk;
  } catch (const CLI::ParseError &error) {
    return fail(kExitUsage, faultOf(app, error) + "; see rt3c train --help");
  }
  useThreads(verb.threads, argv);
  try {
    return TrainRun(verb).run();
  } catch (const c10::Error &error) {
    return fail(kExitInternal,
                "libtorch: " + error.msg().substr(0, error.msg().find('\n')) + " (a fault of rt3c; please report it)");
  }
}
