// SPDX-License-Identifier: Apache-2.0
//
// rt3c run: one inference on files.

#include "compiler/verbs/LoadedModel.h"
#include "compiler/verbs/Npy.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::rt3;

// The bytes of input `tensor`, and the free dimension if it tells.
static llvm::Expected<std::string> readInput(const rt3_tensor_t &tensor, const std::string &path, int64_t maxLength,
                                             int64_t &length) {
  auto bytes = readFile(path);
  if (!bytes)
    return bytes;
  auto wrong = [&](const llvm::Twine &what) {
    return llvm::createStringError(path + ": input \"" + tensor.name + "\": " + what);
  };
  if (!llvm::StringRef(path).ends_with(".npy")) {
    // The file's size tells the free dimension, if nothing has yet.
    bool isFree = llvm::is_contained(llvm::ArrayRef(tensor.dims, tensor.rank), int64_t(-1));
    int64_t found = bytes->size() / tensorSize(tensor, 1);
    if (length == 0 && isFree && found >= 1 && found <= maxLength)
      length = found;
    if (length == 0 && isFree)
      return wrong("raw file of " + llvm::Twine(bytes->size()) + " bytes, expected " +
                   llvm::Twine(tensorSize(tensor, 1)) + " for each of 1 to " + llvm::Twine(maxLength));
    if (bytes->size() != tensorSize(tensor, std::max<int64_t>(length, 1)))
      return wrong("raw file of " + llvm::Twine(bytes->size()) + " bytes, expected " +
                   llvm::Twine(tensorSize(tensor, std::max<int64_t>(length, 1))) + " for length " +
                   llvm::Twine(length) + " (--length)");
    return bytes;
  }
  auto array = parseNpy(*bytes);
  if (!array)
    return wrong(llvm::toString(array.takeError()));
  if (array->elementType != tensor.element_type)
    return wrong("its elements are " + elementName(array->elementType) + ", expected " +
                 elementName(tensor.element_type));
  if (array->shape.size() != tensor.rank)
    return wrong(llvm::Twine(array->shape.size()) + " axes, expected " + llvm::Twine(tensor.rank));
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    int64_t expected = tensor.dims[i] < 0 ? length : tensor.dims[i];
    if (expected == 0) { // The free dimension, which the first such axis tells.
      if (array->shape[i] < 1 || array->shape[i] > maxLength)
        return wrong("size " + llvm::Twine(array->shape[i]) + " of axis " + llvm::Twine(i) + ", expected 1 to " +
                     llvm::Twine(maxLength));
      expected = length = array->shape[i];
    }
    if (array->shape[i] != expected)
      return wrong("size " + llvm::Twine(array->shape[i]) + " of axis " + llvm::Twine(i) + ", expected " +
                   llvm::Twine(expected));
  }
  return array->bytes;
}

ExitCode mlir::rt3::runRun(const RunVerb &verb) {
  auto loaded = LoadedModel::load(verb.folder);
  if (!loaded)
    return fail(kExitBadInput, llvm::toString(loaded.takeError()));
  LoadedModel &model = **loaded;
  const rt3_program_t &program = model.program();
  if (!verb.level.empty()) {
    auto level = model.findLevel(verb.level);
    if (!level)
      return fail(kExitUsage, llvm::toString(level.takeError()));
    if (rt3_model_set_level(model.model(), *level) != RT3_OK)
      return fail(kExitInternal, "the level cannot be set");
  }
  int64_t length = verb.length;
  if (length < 0 || length > program.max_length)
    return fail(kExitUsage, "--length " + llvm::Twine(length) + " is not from 1 to " + llvm::Twine(program.max_length));
  llvm::StringSet<> given;
  for (const std::string &text : verb.inputs) {
    auto [name, file] = llvm::StringRef(text).split('=');
    if (!given.insert(name).second)
      return fail(kExitUsage, "--input " + name + " is given twice");
    bool isInput = std::any_of(program.inputs, program.inputs + program.input_count,
                               [name = name](const rt3_tensor_t &tensor) { return name == tensor.name; });
    if (isInput && !file.empty())
      continue;
    std::string names;
    for (uint32_t i = 0; i < program.input_count; ++i)
      names += (i ? ", " : "") + printable(program.inputs[i].name);
    return fail(kExitUsage, "--input " + text + " is not NAME=FILE of an input of the model: " + names);
  }
  std::vector<std::string> data(program.input_count);
  std::vector<const void *> inputs(program.input_count);
  for (uint32_t i = 0; i < program.input_count; ++i) {
    std::string path;
    for (const std::string &text : verb.inputs) {
      auto [name, file] = llvm::StringRef(text).split('=');
      if (name == program.inputs[i].name)
        path = file.str();
    }
    if (path.empty())
      return fail(kExitUsage, llvm::Twine("no file for input \"") + program.inputs[i].name + "\"; give --input " +
                                  program.inputs[i].name + "=FILE.npy");
    auto bytes = readInput(program.inputs[i], path, program.max_length, length);
    if (!bytes)
      return fail(kExitBadInput, llvm::toString(bytes.takeError()));
    data[i] = std::move(*bytes);
  }
  length = length == 0 ? 1 : length;
  std::vector<AlignedMemory> aligned, results;
  for (uint32_t i = 0; i < program.input_count; ++i) {
    aligned.push_back(allocateAligned(data[i].size()));
    memcpy(aligned[i].get(), data[i].data(), data[i].size());
    inputs[i] = aligned[i].get();
  }
  std::vector<void *> outputs;
  for (uint32_t i = 0; i < program.output_count; ++i) {
    results.push_back(allocateAligned(tensorSize(program.outputs[i], length)));
    outputs.push_back(results[i].get());
  }
  if (llvm::Error error = model.run(inputs, outputs, length))
    return fail(kExitBadInput, "length " + llvm::Twine(length) + " of at most " + llvm::Twine(program.max_length) +
                                   ": " + llvm::toString(std::move(error)));
  std::vector<OutputFile> files;
  for (uint32_t i = 0; i < program.output_count; ++i) {
    const rt3_tensor_t &tensor = program.outputs[i];
    NpyArray array;
    array.elementType = tensor.element_type;
    for (uint32_t axis = 0; axis < tensor.rank; ++axis)
      array.shape.push_back(tensor.dims[axis] < 0 ? length : tensor.dims[axis]);
    array.bytes.assign(results[i].get(), tensorSize(tensor, length));
    std::string name = sanitizeIdentifier(tensor.name);
    // Different names may become the same.
    while (llvm::any_of(files, [&](const OutputFile &file) { return file.name == name + ".npy"; }))
      name += "_" + std::to_string(i);
    files.push_back({name + ".npy", writeNpy(array)});
  }
  if (llvm::Error error = writeFiles(verb.out, files))
    return fail(kExitBadInput, llvm::toString(std::move(error)));
  for (const OutputFile &file : files)
    llvm::outs() << verb.out << "/" << file.name << "\n";
  return kExitOk;
}
