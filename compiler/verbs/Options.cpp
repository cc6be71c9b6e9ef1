// SPDX-License-Identifier: Apache-2.0
//
// What several verbs share.

#include "codegen/packing/LayerStreams.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <map>
#include <utility>

using namespace mlir::rt3;

ExitCode mlir::rt3::fail(ExitCode code, const llvm::Twine &message) {
  llvm::errs() << "rt3c: error: " << printable(message.str()) << "\n";
  return code;
}

ExitCode mlir::rt3::fail(llvm::Error error) {
  ExitCode code = error.isA<onnx::OwnFault>()      ? kExitInternal
                  : error.isA<onnx::OptionFault>() ? kExitUsage
                                                   : kExitBadInput;
  return fail(code, llvm::toString(std::move(error)));
}

llvm::Expected<onnx::ImportOptions> mlir::rt3::importOptions(const ModelOptions &options) {
  onnx::ImportOptions result;
  result.foldBudget = options.foldBudget;
  result.context = options.kvCache;
  for (const std::string &text : options.shapes) {
    auto [name, shape] = llvm::StringRef(text).rsplit('=');
    if (name.empty() || shape.empty())
      return llvm::createStringError("--shape \"" + text + "\" is not NAME=1x128");
    auto parsed = onnx::parseShape(shape);
    if (!parsed)
      return parsed.takeError();
    if (!result.shapes.emplace(name.str(), *parsed).second)
      return llvm::createStringError("--shape " + name + " is given twice");
  }
  return result;
}

static llvm::Error chooseTypes(const ModelOptions &options, CompileOptions &out) {
  // Options have hyphens where the dialect has underscores.
  std::string type = llvm::StringRef(options.type).contains('_') ? "" : options.type;
  std::replace(type.begin(), type.end(), '-', '_');
  out.precision = graph::symbolizePrecision(type);
  if (!out.precision && options.type != "f32")
    return llvm::createStringError("--type \"" + options.type + "\" is none of f32, f16, f16-sums, bf16, int8");
  out.keepF32 = options.keepF32;
  out.keepsSparse = options.keepsSparse;
  for (const std::string &text : options.kernels) {
    auto [name, choice] = llvm::StringRef(text).rsplit('=');
    if (name.empty() || choice.empty())
      return llvm::createStringError("--kernel \"" + text + "\" is not NAME=rows:4");
    if (auto parsed = parseKernelChoice(choice); !parsed)
      return llvm::createStringError("--kernel " + name + ": " + llvm::toString(parsed.takeError()));
    out.kernels.push_back({name.str(), choice.str()});
  }
  out.readCalibration = calibrationReader(options);
  if (!options.calibration.empty() && options.levels.empty() && options.plan.empty())
    return llvm::createStringError("--calib needs --levels: there is nothing to prune without");
  bool isText = !options.calibration.empty() && llvm::sys::fs::exists(options.calibration) &&
                !llvm::sys::fs::is_directory(options.calibration) && !hasArrays(options.calibration);
  if (isText && options.texts.tokenizer.empty())
    return llvm::createStringError("--calib " + options.calibration +
                                   " is a text: it needs --tokenizer, the vocab.txt of the model, or bytes");
  if (!out.precision && !out.keepF32.empty())
    return llvm::createStringError("--keep-f32 needs a --type other than f32");
  return llvm::Error::success();
}

static llvm::Expected<Device> chooseDevice(const ModelOptions &options) {
  if (!options.target.empty())
    return findDevice(options.target);
  auto device = hostDevice();
  static bool isSaid = false; // Some verbs choose options several times.
  if (device && !std::exchange(isSaid, true))
    llvm::errs() << "rt3c: no --target given, taking this machine: " << device->name << "\n";
  return device;
}

llvm::Expected<Plan> mlir::rt3::readPlanFolder(const std::string &folder) {
  if (llvm::sys::fs::exists(folder) && !llvm::sys::fs::is_directory(folder))
    return llvm::createStringError(folder + ": is a file; name the folder that rt3c prune or train wrote");
  auto json = readFile(folder + "/" + kPlanJson.str()), weights = readFile(folder + "/" + kPlanWeights.str());
  if (!json || !weights)
    return llvm::joinErrors(json.takeError(), weights.takeError());
  auto plan = readPlan(*json, *weights);
  if (!plan)
    return llvm::createStringError(folder + ": " + llvm::toString(plan.takeError()));
  return plan;
}

static llvm::Error choosePlan(const ModelOptions &options, CompileOptions &out) {
  if (options.plan.empty())
    return llvm::Error::success();
  for (auto [option, value] : {std::pair("--levels", &options.levels), {"--calib", &options.calibration}})
    if (!value->empty())
      return llvm::make_error<onnx::OptionFault>(
          std::string(option) + " and --plan exclude each other: a plan has both", llvm::inconvertibleErrorCode());
  auto plan = readPlanFolder(options.plan);
  if (!plan)
    return plan.takeError();
  graph::PruningUnits units = pruningUnits(out.device);
  graph::PruningUnit unit = out.precision && units.count(*out.precision) ? units[*out.precision] : graph::PruningUnit();
  if (plan->unit.inputs % unit.inputs != 0 || plan->unit.outputs % unit.outputs != 0)
    llvm::errs() << "rt3c: warning: the plan keeps units of " << plan->unit.inputs << " x " << plan->unit.outputs
                 << " weights, --type " << options.type << " for " << out.device.name << " multiplies " << unit.inputs
                 << " x " << unit.outputs << " together: layers may get dense; prune again with that type and target\n";
  out.levels = plan->levels;
  out.plan = std::make_shared<Plan>(std::move(*plan));
  return llvm::Error::success();
}

static llvm::Expected<LevelPlan> chooseLevels(const ModelOptions &options) {
  if (options.levels.empty()) {
    LevelPlan plan;
    plan.levels.push_back({});
    plan.levels[0].name = "default";
    return plan;
  }
  auto text = readFile(options.levels);
  if (!text)
    return text.takeError();
  auto plan = parseLevels(*text);
  if (!plan)
    return llvm::createStringError(options.levels + ": " + llvm::toString(plan.takeError()));
  return plan;
}

ExitCode mlir::rt3::chooseOptions(const ModelOptions &options, CompileOptions &out) {
  auto import = importOptions(options);
  if (!import)
    return fail(kExitUsage, llvm::toString(import.takeError()));
  out.import = *import;
  auto device = chooseDevice(options);
  if (!device)
    return fail(kExitUsage, llvm::toString(device.takeError()));
  out.device = *device;
  auto levels = chooseLevels(options);
  if (!levels)
    return fail(kExitBadInput, llvm::toString(levels.takeError()));
  out.levels = *levels;
  if (llvm::Error error = chooseTypes(options, out))
    return fail(kExitUsage, llvm::toString(std::move(error)));
  if (llvm::Error error = choosePlan(options, out))
    return fail(std::move(error));
  return kExitOk;
}

llvm::Expected<std::unique_ptr<Tokenizer>> mlir::rt3::chooseTokenizer(const TextOptions &options) {
  if (options.tokenizer.empty())
    return llvm::make_error<onnx::OptionFault>("texts need --tokenizer: the vocab.txt of the model, or bytes",
                                               llvm::inconvertibleErrorCode());
  if (options.tokenizer == "bytes")
    return makeByteTokenizer();
  auto vocabulary = readFile(options.tokenizer);
  if (!vocabulary)
    return llvm::createStringError("--tokenizer " + llvm::toString(vocabulary.takeError()) +
                                   ": expected the vocab.txt of the model, or bytes");
  auto tokenizer = makeWordPiece(*vocabulary);
  if (!tokenizer)
    return llvm::createStringError(options.tokenizer + ": " + llvm::toString(tokenizer.takeError()));
  return tokenizer;
}

llvm::Expected<Task> mlir::rt3::parseTask(const std::string &name) {
  auto task = llvm::StringSwitch<std::optional<Task>>(name)
                  .Case("classification", Task::Classification)
                  .Case("regression", Task::Regression)
                  .Case("similarity", Task::Similarity)
                  .Case("language-model", Task::LanguageModel)
                  .Default(std::nullopt);
  if (!task)
    return llvm::createStringError("--task \"" + name +
                                   "\" is none of classification, regression, similarity, language-model");
  return *task;
}

llvm::Expected<std::string> mlir::rt3::readFile(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return llvm::createStringError(buffer.getError(), path + ": cannot be read: " + buffer.getError().message());
  return (*buffer)->getBuffer().str();
}

void mlir::rt3::printProblems(const ModelOptions &options, llvm::ArrayRef<onnx::Problem> problems, int64_t nodeCount) {
  if (options.asJson) {
    llvm::json::Array list;
    for (const onnx::Problem &problem : problems)
      list.push_back(llvm::json::Object{{"node", llvm::json::fixUTF8(problem.node)},
                                        {"op", llvm::json::fixUTF8(problem.op)},
                                        {"opset", problem.opset},
                                        {"why", llvm::json::fixUTF8(problem.why)},
                                        {"advice", llvm::json::fixUTF8(problem.advice)}});
    llvm::outs() << llvm::formatv("{0:2}",
                                  llvm::json::Value(llvm::json::Object{
                                      {"model", options.model}, {"nodes", nodeCount}, {"problems", std::move(list)}}))
                 << "\n";
    return;
  }
  // The same fault in many nodes is one line.
  struct Group {
    std::vector<std::string> nodes;
  };
  std::map<std::tuple<std::string, int64_t, std::string, std::string>, Group> groups;
  for (const onnx::Problem &problem : problems)
    groups[{problem.op, problem.opset, problem.why, problem.advice}].nodes.push_back(problem.node);
  llvm::errs() << llvm::formatv("rt3c: error: {0}: {1} of {2} nodes cannot be compiled\n", printable(options.model),
                                problems.size(), nodeCount);
  for (auto &[key, group] : groups) {
    auto &[op, opset, why, advice] = key;
    std::string names;
    for (size_t i = 0; i < group.nodes.size(); ++i)
      names += (i ? ", " : "") + group.nodes[i];
    llvm::errs() << llvm::formatv("  {0} (opset {1}), {2} node{3}: {4}\n    {5}{6}\n", printable(op), opset,
                                  group.nodes.size(), group.nodes.size() == 1 ? "" : "s", printable(names),
                                  printable(why), advice.empty() ? "" : "; " + printable(advice));
  }
}
