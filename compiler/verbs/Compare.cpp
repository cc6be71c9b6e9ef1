// SPDX-License-Identifier: Apache-2.0
//
// rt3c compare: a compiled model against the interpreter in double precision, on
// the same masked weights, level by level and layer by layer; or the outputs of
// two runs.

#include "compiler/interpreter/Interpreter.h"
#include "compiler/prune/PruneLevels.h"
#include "compiler/verbs/Npy.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/SampleInputs.h"
#include "compiler/verbs/TemporaryLibrary.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <set>

using namespace mlir;
using namespace mlir::rt3;

namespace {
struct Difference {
  double largest = 0, scale = 0; // Absolute difference; largest reference.
  int64_t nonFinite = 0;         // Results that are NaN or infinite alone.
};
} // namespace

// The option, or what the type of the layers allows.
static double toleranceOf(const CompareVerb &verb, ModuleOp module) {
  bool isRounded = false;
  if (module)
    module.walk(
        [&](graph::LinearOp op) { isRounded |= op.getPrecision() && op.getPrecision() != graph::Precision::F16; });
  return verb.tolerance.value_or(isRounded ? kRoundedTolerance : kTolerance);
}

static Difference difference(const std::vector<double> &found, const std::vector<double> &expected) {
  Difference result;
  for (size_t i = 0; i < found.size(); ++i) {
    bool isSame = found[i] == expected[i] || (std::isnan(found[i]) && std::isnan(expected[i]));
    double distance = isSame ? 0 : std::abs(found[i] - expected[i]);
    if (std::isfinite(distance))
      result.largest = std::max(result.largest, distance);
    else
      ++result.nonFinite;
    if (std::isfinite(expected[i]))
      result.scale = std::max(result.scale, std::abs(expected[i]));
  }
  return result;
}

// The elements of a .npy file.
static llvm::Expected<std::vector<double>> readElements(const std::string &path) {
  auto bytes = readFile(path);
  if (!bytes)
    return bytes.takeError();
  auto array = parseNpy(*bytes);
  if (!array)
    return llvm::createStringError(path + ": " + llvm::toString(array.takeError()));
  rt3_tensor_t tensor{};
  tensor.element_type = array->elementType;
  tensor.rank = 1;
  tensor.dims[0] = array->bytes.size() / elementSize(array->elementType);
  return fromMemory(tensor, array->bytes.data(), 1);
}

static ExitCode compareRuns(const CompareVerb &verb) {
  std::vector<std::string> names;
  std::error_code code;
  for (llvm::sys::fs::directory_iterator entry(verb.runs[0], code), end; entry != end && !code; entry.increment(code))
    if (llvm::sys::path::extension(entry->path()) == ".npy")
      names.push_back(llvm::sys::path::filename(entry->path()).str());
  if (code || names.empty())
    return fail(kExitBadInput, verb.runs[0] + ": has no .npy file");
  llvm::sort(names);
  bool isWithin = true;
  for (const std::string &name : names) {
    auto first = readElements(verb.runs[0] + "/" + name), second = readElements(verb.runs[1] + "/" + name);
    if (!first || !second) {
      llvm::Error error = llvm::joinErrors(first.takeError(), second.takeError());
      return fail(kExitBadInput, llvm::toString(std::move(error)));
    }
    if (first->size() != second->size())
      return fail(kExitMismatch, name + ": has " + llvm::Twine(first->size()) + " elements in one run, " +
                                     llvm::Twine(second->size()) + " in the other");
    Difference found = difference(*first, *second);
    bool isGood = found.nonFinite == 0 && found.largest <= toleranceOf(verb, nullptr) * std::max(1.0, found.scale);
    isWithin &= isGood;
    llvm::outs() << llvm::formatv("{0,-24} max |difference| {1:e2}, max |second| {2:f3}{3}\n", name, found.largest,
                                  found.scale, isGood ? "" : "  <-- over the tolerance");
  }
  return isWithin ? kExitOk : kExitMismatch;
}

namespace {

// Runs a compiled model and the interpreter on the same inputs.
class Comparison {
public:
  Comparison(const CompareVerb &verb, int64_t length) : verb(verb), length(length) {}

  void setTolerance(ModuleOp module) { tolerance = toleranceOf(verb, module); }

  void makeInputs(const rt3_program_t &program) {
    for (uint32_t i = 0; i < program.input_count; ++i) {
      const rt3_tensor_t &tensor = program.inputs[i];
      std::vector<int64_t> shape(tensor.dims, tensor.dims + tensor.rank);
      for (int64_t &size : shape)
        size = size < 0 ? length : size;
      hostInputs.push_back({shape, sampleElements(tensor, length, i + 1)});
      inputMemory.push_back(toMemory(tensor, hostInputs.back().elements));
      inputs.push_back(inputMemory.back().get());
    }
  }

  // What import and fusing made of the model, without pruning, in double.
  llvm::Error compareFused(func::FuncOp imported, func::FuncOp fused) {
    InterpreterOptions options;
    options.length = length;
    auto expected = interpret(imported, hostInputs, options), found = interpret(fused, hostInputs, options);
    if (!expected || !found)
      return llvm::joinErrors(expected.takeError(), found.takeError());
    for (size_t i = 0; i < expected->size(); ++i)
      record("(fused)", cast<StringAttr>(fused.getResultAttr(i, "rt3_graph.name")).str(),
             difference((*found)[i].elements, (*expected)[i].elements));
    return llvm::Error::success();
  }

  // Every output of every level of `loaded` against `function`, which is pruned.
  llvm::Error compareLevels(LoadedModel &loaded, func::FuncOp function) {
    const rt3_program_t &program = loaded.program();
    std::vector<AlignedMemory> memory;
    std::vector<void *> outputs;
    for (uint32_t i = 0; i < program.output_count; ++i) {
      memory.push_back(allocateAligned(tensorSize(program.outputs[i], length)));
      outputs.push_back(memory.back().get());
    }
    for (uint32_t level = 0; level < program.level_count; ++level) {
      if (rt3_model_set_level(loaded.model(), level) != RT3_OK)
        return llvm::createStringError("level " + llvm::Twine(level) + " cannot be set");
      if (llvm::Error error = loaded.run(inputs, outputs, length))
        return error;
      std::vector<std::vector<double>> found;
      for (uint32_t i = 0; i < program.output_count; ++i)
        found.push_back(fromMemory(program.outputs[i], outputs[i], length));
      InterpreterOptions options;
      options.length = length;
      options.level = level;
      auto expected = interpret(function, hostInputs, options);
      if (!expected)
        return expected.takeError();
      for (uint32_t i = 0; i < program.output_count; ++i)
        record(loaded.levels()[level].name, program.outputs[i].name, difference(found[i], (*expected)[i].elements));
      if (program.state_size == 0)
        continue;
      auto parts = runInParts(loaded, outputs);
      if (!parts)
        return parts.takeError();
      for (uint32_t i = 0; i < program.output_count; ++i)
        record(loaded.levels()[level].name, std::string(program.outputs[i].name) + " (token by token)",
               difference((*parts)[i], (*expected)[i].elements));
    }
    return llvm::Error::success();
  }

  void print() {
    if (verb.model.asJson)
      llvm::outs() << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(list)));
  }
  bool isWithin = true;

private:
  // The outputs for the whole text when its second half comes token by token.
  llvm::Expected<std::vector<std::vector<double>>> runInParts(LoadedModel &loaded, const std::vector<void *> &outputs) {
    const rt3_program_t &program = loaded.program();
    std::vector<std::vector<double>> result(program.output_count);
    for (int64_t position = 0, count; position < length; position += count) {
      count = position == 0 ? (length + 1) / 2 : 1;
      std::vector<AlignedMemory> memory;
      std::vector<const void *> parts;
      for (uint32_t i = 0; i < program.input_count; ++i) {
        memory.push_back(
            toMemory(program.inputs[i], tokensOf(program.inputs[i], hostInputs[i].elements, length, position, count)));
        parts.push_back(memory.back().get());
      }
      if (llvm::Error error = loaded.run(parts, outputs, count, position))
        return std::move(error);
      for (uint32_t i = 0; i < program.output_count; ++i) {
        result[i].resize(tensorSize(program.outputs[i], length) / elementSize(program.outputs[i].element_type));
        putTokens(program.outputs[i], fromMemory(program.outputs[i], outputs[i], count), result[i], length, position,
                  count);
      }
    }
    return result;
  }

  // Elements before the free axis, and in one token behind it.
  static std::pair<int64_t, int64_t> sizesOf(const rt3_tensor_t &tensor) {
    int64_t outer = 1, inner = 1;
    bool isInner = false;
    for (uint32_t i = 0; i < tensor.rank; ++i) {
      isInner |= tensor.dims[i] < 0;
      if (tensor.dims[i] >= 0)
        (isInner ? inner : outer) *= tensor.dims[i];
    }
    return {outer, inner};
  }

  // The same for every part where no axis is free.
  static bool hasTokens(const rt3_tensor_t &tensor) {
    return llvm::is_contained(ArrayRef(tensor.dims, tensor.rank), int64_t(-1));
  }

  static std::vector<double> tokensOf(const rt3_tensor_t &tensor, const std::vector<double> &all, int64_t length,
                                      int64_t position, int64_t count) {
    if (!hasTokens(tensor))
      return all;
    auto [outer, inner] = sizesOf(tensor);
    std::vector<double> part;
    for (int64_t o = 0; o < outer; ++o) {
      auto first = all.begin() + (o * length + position) * inner;
      part.insert(part.end(), first, first + count * inner);
    }
    return part;
  }

  static void putTokens(const rt3_tensor_t &tensor, const std::vector<double> &part, std::vector<double> &all,
                        int64_t length, int64_t position, int64_t count) {
    if (!hasTokens(tensor)) {
      all = part;
      return;
    }
    auto [outer, inner] = sizesOf(tensor);
    for (int64_t o = 0; o < outer; ++o)
      std::copy_n(part.begin() + o * count * inner, count * inner, all.begin() + (o * length + position) * inner);
  }

  void record(const std::string &level, const std::string &output, const Difference &found) {
    bool isGood = found.nonFinite == 0 && found.largest <= tolerance * std::max(1.0, found.scale);
    isWithin &= isGood;
    if (verb.model.asJson)
      list.push_back(llvm::json::Object{{"level", level},
                                        {"output", llvm::json::fixUTF8(output)},
                                        {"max_difference", found.largest},
                                        {"max_reference", found.scale},
                                        {"non_finite", found.nonFinite},
                                        {"within_tolerance", isGood}});
    else
      llvm::outs() << llvm::formatv("{0,-12} {1,-40} max |difference| {2:e2}, max |reference| {3:f3}{4}\n", level,
                                    printable(output), found.largest, found.scale,
                                    isGood ? "" : "  <-- over the tolerance");
  }

  const CompareVerb &verb;
  int64_t length;
  double tolerance = kTolerance;
  llvm::json::Array list;
  std::vector<HostTensor> hostInputs;
  std::vector<AlignedMemory> inputMemory;
  std::vector<const void *> inputs;
};

} // namespace

// Makes the result of every layer a result of the function, in order, before
// those that it has.
static void returnLayers(func::FuncOp function) {
  Builder b(function.getContext());
  SmallVector<Value> values;
  SmallVector<Attribute> names;
  llvm::StringMap<int> seen;
  auto add = [&](Value value, std::string name) {
    if (int number = seen[name]++)
      name += "#" + std::to_string(number);
    values.push_back(value);
    names.push_back(b.getDictionaryAttr(b.getNamedAttr("rt3_graph.name", b.getStringAttr(name))));
  };
  Operation *end = function.getBody().front().getTerminator();
  for (Operation &op : function.getBody().front()) {
    // Moves have no error of their own; the other ops of a graph have one result.
    if (isa<func::ReturnOp, graph::ConstantOp, graph::ReshapeOp, graph::TransposeOp, graph::SliceOp, graph::ConcatOp,
            graph::ExpandOp>(op) ||
        !cast<RankedTensorType>(op.getResult(0).getType()).getElementType().isF32() ||
        llvm::is_contained(end->getOperands(), op.getResult(0)))
      continue;
    auto linear = dyn_cast<graph::LinearOp>(op);
    auto location = dyn_cast<NameLoc>(op.getLoc());
    add(op.getResult(0), op.getName().stripDialect().str() + " " +
                             (linear     ? linear.getLayer().str()
                              : location ? location.getName().str()
                                         : "?"));
  }
  ArrayAttr ownNames = function.getResAttrsAttr();
  for (auto [value, attributes] : llvm::zip_equal(end->getOperands(), ownNames)) {
    values.push_back(value);
    names.push_back(attributes);
  }
  end->setOperands(values);
  function.setType(b.getFunctionType(function.getArgumentTypes(), TypeRange(ValueRange(values))));
  function.setResAttrsAttr(b.getArrayAttr(names));
}

// Compiles `module`, pruned, with every layer's result kept, and loads it.
static llvm::Expected<std::unique_ptr<TemporaryLibrary>> loadProbe(ModuleOp module, CompileOptions options) {
  options.name = "probe";
  OwningOpRef<ModuleOp> copy(module.clone());
  auto result = compilePruned(*copy, options);
  if (!result)
    return result.takeError();
  return TemporaryLibrary::load(*result, options);
}

// Why a library cannot be one of `function`; empty if it can.
static std::string misfit(ModuleOp module, func::FuncOp function, const rt3_program_t &program) {
  auto text = [](ArrayRef<int64_t> sizes) {
    std::string result;
    for (int64_t size : sizes)
      result += (result.empty() ? "" : "x") + (size < 0 ? std::string("length") : std::to_string(size));
    return "[" + result + "]";
  };
  std::string why;
  auto check = [&](const char *what, TypeRange types, const rt3_tensor_t *tensors, uint32_t count) {
    if (types.size() != count)
      why = std::to_string(types.size()) + " " + what + "s here, " + std::to_string(count) + " there";
    for (uint32_t i = 0; i < count && why.empty(); ++i) {
      SmallVector<int64_t> own(cast<RankedTensorType>(types[i]).getShape());
      for (int64_t &size : own)
        size = ShapedType::isDynamic(size) ? -1 : size;
      ArrayRef<int64_t> theirs(tensors[i].dims, tensors[i].rank);
      if (ArrayRef<int64_t>(own) != theirs)
        why = std::string(what) + " \"" + tensors[i].name + "\" has the shape " + text(own) + " here, " + text(theirs) +
              " there (--shape)";
    }
  };
  check("input", function.getArgumentTypes(), program.inputs, program.input_count);
  if (why.empty())
    check("output", function.getResultTypes(), program.outputs, program.output_count);
  auto largest = module->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr);
  int64_t maxLength = largest ? largest.getInt() : 1;
  if (why.empty() && maxLength != program.max_length)
    why = "the free dimension goes up to " + std::to_string(maxLength) + " here, " +
          std::to_string(program.max_length) + " there (--shape)";
  return why;
}

// Whether layers are of other types of numbers than `report` says of a library; empty if not.
static std::string typeMisfit(ModuleOp module, StringRef report) {
  auto value = parseJson(report);
  llvm::json::Object *object = value ? value->getAsObject() : nullptr;
  llvm::json::Array *levels = object ? object->getArray("levels") : nullptr;
  llvm::json::Object *level = levels && !levels->empty() ? levels->front().getAsObject() : nullptr;
  llvm::StringMap<std::set<std::string>> types; // Several layers may have one name.
  if (llvm::json::Array *layers = level ? level->getArray("layers") : nullptr)
    for (llvm::json::Value &entry : *layers)
      if (llvm::json::Object *layer = entry.getAsObject())
        types[layer->getString("layer").value_or("")].insert(layer->getString("type").value_or("").str());
  llvm::consumeError(value.takeError());
  std::string why;
  module.walk([&](graph::LinearOp op) {
    std::string own = op.getPrecision() ? stringifyPrecision(*op.getPrecision()).str() : "f32";
    auto found = types.find(llvm::json::fixUTF8(op.getLayer()));
    if (why.empty() && found != types.end() && !found->second.contains(own))
      why = "layer \"" + printable(op.getLayer()) + "\" is of type " + own + " here, " + *found->second.begin() +
            " there (--type, --keep-f32)";
  });
  return why;
}

ExitCode mlir::rt3::runCompare(const CompareVerb &verb) {
  if (!verb.runs.empty())
    return compareRuns(verb);
  if (verb.model.model.empty() || verb.folder.empty())
    return fail(kExitUsage, "compare needs a model and --with FOLDER, or --runs FIRST SECOND");
  CompileOptions options;
  if (ExitCode code = chooseOptions(verb.model, options); code != kExitOk)
    return code;
  auto loaded = LoadedModel::load(verb.folder);
  if (!loaded)
    return fail(kExitBadInput, llvm::toString(loaded.takeError()));
  const rt3_program_t &program = (*loaded)->program();
  if (program.level_count != options.levels.levels.size())
    return fail(kExitUsage, "the library has " + llvm::Twine(program.level_count) +
                                " levels, --levels or --plan gives " + llvm::Twine(options.levels.levels.size()));
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  auto imported = onnx::importModel(&context, verb.model.model, options.import);
  if (!imported)
    return fail(imported.takeError());
  if (!imported->problems.empty()) {
    printProblems(verb.model, imported->problems, imported->nodeCount);
    return kExitUnsupported;
  }
  OwningOpRef<ModuleOp> fused(imported->module->clone());
  if (auto unfolded = fuse(*fused, options.import.foldBudget); !unfolded)
    return fail(kExitInternal, llvm::toString(unfolded.takeError()));
  auto function = *fused->getOps<func::FuncOp>().begin();
  if (std::string why = misfit(*fused, function, program); !why.empty())
    return fail(kExitUsage, verb.folder + ": was not compiled from this model with these options: " + why);
  OwningOpRef<ModuleOp> quantized(fused->clone());
  if (llvm::Error error = quantize(*quantized, options))
    return fail(std::move(error));
  if (std::string why = typeMisfit(*quantized, (*loaded)->report()); !why.empty())
    return fail(kExitUsage, verb.folder + ": was not compiled with these options: " + why);
  int64_t length = verb.length ? verb.length : program.max_length;
  if (length < 1 || length > program.max_length)
    return fail(kExitUsage, "--length " + llvm::Twine(length) + " is not from 1 to " + llvm::Twine(program.max_length));
  Comparison comparison(verb, length);
  comparison.makeInputs(program);
  if (llvm::Error error = comparison.compareFused(*imported->module->getOps<func::FuncOp>().begin(), function))
    return fail(kExitInternal, llvm::toString(std::move(error)));
  if (llvm::Error error = quantize(*fused, options))
    return fail(std::move(error));
  comparison.setTolerance(*fused);
  if (llvm::Error error = prune(*fused, options))
    return fail(kExitBadInput, llvm::toString(std::move(error)));
  if (llvm::Error error = comparison.compareLevels(**loaded, function))
    return fail(kExitInternal, llvm::toString(std::move(error)));
  if (verb.isPerLayer) {
    returnLayers(function);
    auto probe = loadProbe(*fused, options);
    if (!probe)
      return fail(kExitInternal, llvm::toString(probe.takeError()));
    if (llvm::Error error = comparison.compareLevels((*probe)->model(), function))
      return fail(kExitInternal, llvm::toString(std::move(error)));
  }
  comparison.print();
  return comparison.isWithin ? kExitOk : kExitMismatch;
}
