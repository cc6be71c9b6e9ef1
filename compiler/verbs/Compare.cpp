// SPDX-License-Identifier: Apache-2.0
//
// rt3c compare: a compiled model against the interpreter in double precision, on
// the same masked weights, level by level; or the outputs of two runs.

#include "compiler/interpreter/Interpreter.h"
#include "compiler/prune/PruneLevels.h"
#include "compiler/verbs/Npy.h"
#include "compiler/verbs/SampleInputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace mlir;
using namespace mlir::rt3;

namespace {
struct Difference {
  double largest = 0, scale = 0; // Absolute difference; largest reference.
  int64_t nonFinite = 0;         // Results that are NaN or infinite alone.
};
} // namespace

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
    bool isGood = found.nonFinite == 0 && found.largest <= verb.tolerance * std::max(1.0, found.scale);
    isWithin &= isGood;
    llvm::outs() << llvm::formatv("{0,-24} max |difference| {1:e2}, max |second| {2:f3}{3}\n", name, found.largest,
                                  found.scale, isGood ? "" : "  <-- over the tolerance");
  }
  return isWithin ? kExitOk : kExitMismatch;
}

ExitCode mlir::rt3::runCompare(const CompareVerb &verb) {
  if (!verb.runs.empty())
    return compareRuns(verb);
  if (verb.model.model.empty() || verb.folder.empty())
    return fail(kExitUsage, "compare needs a model and --with FOLDER, or --runs FIRST SECOND");
  auto import = importOptions(verb.model);
  if (!import)
    return fail(kExitUsage, llvm::toString(import.takeError()));
  auto levels = chooseLevels(verb.model);
  if (!levels)
    return fail(kExitBadInput, llvm::toString(levels.takeError()));
  auto loaded = LoadedModel::load(verb.folder);
  if (!loaded)
    return fail(kExitBadInput, llvm::toString(loaded.takeError()));
  const rt3_program_t &program = (*loaded)->program();
  if (program.level_count != levels->levels.size())
    return fail(kExitUsage, "the library has " + llvm::Twine(program.level_count) + " levels, --levels gives " +
                                llvm::Twine(levels->levels.size()));
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  auto imported = importAndFuse(&context, verb.model.model, *import);
  if (!imported)
    return fail(kExitBadInput, llvm::toString(imported.takeError()));
  if (!imported->problems.empty()) {
    printProblems(verb.model, imported->problems, imported->nodeCount);
    return kExitUnsupported;
  }
  if (llvm::Error error = pruneLevels(*imported->module, *levels))
    return fail(kExitBadInput, llvm::toString(std::move(error)));
  auto function = *imported->module->getOps<func::FuncOp>().begin();
  int64_t length = verb.length ? verb.length : program.max_length;
  if (function.getNumArguments() != program.input_count || length < 1 || length > program.max_length)
    return fail(kExitUsage, "the model does not fit the library, or the length is not from 1 to " +
                                llvm::Twine(program.max_length));

  std::vector<HostTensor> hostInputs;
  std::vector<AlignedMemory> inputMemory, outputMemory;
  std::vector<const void *> inputs;
  std::vector<void *> outputs;
  for (uint32_t i = 0; i < program.input_count; ++i) {
    const rt3_tensor_t &tensor = program.inputs[i];
    std::vector<int64_t> shape(tensor.dims, tensor.dims + tensor.rank);
    for (int64_t &size : shape)
      size = size < 0 ? length : size;
    hostInputs.push_back({shape, sampleElements(tensor, length, i + 1)});
    inputMemory.push_back(toMemory(tensor, hostInputs.back().elements));
    inputs.push_back(inputMemory.back().get());
  }
  for (uint32_t i = 0; i < program.output_count; ++i) {
    outputMemory.push_back(allocateAligned(tensorSize(program.outputs[i], length)));
    outputs.push_back(outputMemory.back().get());
  }
  bool isWithin = true;
  llvm::json::Array list;
  for (uint32_t level = 0; level < program.level_count; ++level) {
    if (rt3_model_set_level((*loaded)->model(), level) != RT3_OK)
      return fail(kExitInternal, "a level cannot be set");
    if (llvm::Error error = (*loaded)->run(inputs, outputs, length))
      return fail(kExitInternal, llvm::toString(std::move(error)));
    InterpreterOptions options;
    options.length = length;
    options.level = level;
    auto expected = interpret(function, hostInputs, options);
    if (!expected)
      return fail(kExitInternal, llvm::toString(expected.takeError()));
    for (uint32_t i = 0; i < program.output_count; ++i) {
      const rt3_tensor_t &tensor = program.outputs[i];
      Difference found = difference(fromMemory(tensor, outputs[i], length), (*expected)[i].elements);
      bool isGood = found.nonFinite == 0 && found.largest <= verb.tolerance * std::max(1.0, found.scale);
      isWithin &= isGood;
      const char *name = (*loaded)->levels()[level].name;
      if (verb.model.asJson)
        list.push_back(llvm::json::Object{{"level", name},
                                          {"output", llvm::json::fixUTF8(tensor.name)},
                                          {"max_difference", found.largest},
                                          {"max_reference", found.scale},
                                          {"non_finite", found.nonFinite},
                                          {"within_tolerance", isGood}});
      else
        llvm::outs() << llvm::formatv(
            "level {0,-12} output {1,-24} max |difference| {2:e2}, max |reference| {3:f3}{4}\n", name, tensor.name,
            found.largest, found.scale, isGood ? "" : "  <-- over the tolerance");
    }
  }
  if (verb.model.asJson)
    llvm::outs() << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(list)));
  return isWithin ? kExitOk : kExitMismatch;
}
