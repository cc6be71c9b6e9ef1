// SPDX-License-Identifier: Apache-2.0
//
// The samples of --calib: NumPy arrays of the model's inputs, or texts.

#include "compiler/data/NpzArchive.h"
#include "compiler/data/Table.h"
#include "compiler/prune/RebuildLevels.h"
#include "compiler/verbs/Npy.h"
#include "compiler/verbs/SampleInputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <optional>

using namespace mlir;
using namespace mlir::rt3;

static std::string inputName(func::FuncOp function, unsigned i) {
  return cast<StringAttr>(function.getArgAttr(i, "rt3_graph.name")).str();
}

// Rows of the smallest table that an input of `function` indexes for which `isMeant`; nothing: none does.
static std::optional<int64_t> indexedRows(func::FuncOp function, llvm::function_ref<bool(unsigned)> isMeant) {
  std::optional<int64_t> rows;
  function.walk([&](graph::GatherOp op) {
    mlir::Value indices = op.getIndices();
    while (isa_and_nonnull<graph::CastOp, graph::ReshapeOp>(indices.getDefiningOp()))
      indices = indices.getDefiningOp()->getOperand(0);
    auto argument = dyn_cast<BlockArgument>(indices);
    int64_t own = cast<RankedTensorType>(op.getTable().getType()).getDimSize(op.getAxis());
    if (argument && isMeant(argument.getArgNumber()) && !ShapedType::isDynamic(own))
      rows = std::min(rows.value_or(own), own);
  });
  return rows;
}

// An array of an input of the model, and where it comes from.
struct GivenArray {
  NpyArray array;
  std::string place;
};

// Input `i` of `function` from an array of as many axes; sets `length`, or keeps to it if it is not 0.
static llvm::Expected<HostTensor> toInput(func::FuncOp function, unsigned i, uint32_t elementType,
                                          const std::vector<int64_t> &shape, llvm::StringRef bytes, int64_t &length) {
  auto wrong = [](const llvm::Twine &what) { return llvm::createStringError(what); };
  auto type = cast<RankedTensorType>(function.getArgumentTypes()[i]);
  Type element = type.getElementType();
  uint32_t expected = element.isF32()         ? RT3_FLOAT32
                      : element.isInteger(64) ? RT3_INT64
                      : element.isInteger(32) ? RT3_INT32
                                              : RT3_BOOL;
  if (elementType != expected)
    return wrong("its elements are " + elementName(elementType) + ", expected " + elementName(expected) +
                 ", as the model's input has them");
  int64_t maxLength = 1;
  if (auto largest = function->getParentOfType<ModuleOp>()->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr))
    maxLength = largest.getInt();
  for (int64_t axis = 0; axis < type.getRank(); ++axis) {
    int64_t size = shape[axis];
    if (type.isDynamicDim(axis) && length == 0 && size >= 1 && size <= maxLength)
      length = size;
    int64_t wanted = type.isDynamicDim(axis) ? length : type.getDimSize(axis);
    if (size != wanted || size < 1)
      return wrong("size " + llvm::Twine(size) + " of axis " + llvm::Twine(axis) + ", expected " +
                   (wanted ? llvm::Twine(wanted) : "1 to " + llvm::Twine(maxLength)));
  }
  rt3_tensor_t tensor{};
  tensor.element_type = elementType;
  tensor.rank = 1;
  tensor.dims[0] = bytes.size() / elementSize(elementType);
  HostTensor result{shape, fromMemory(tensor, bytes.data(), 1)};
  std::optional<int64_t> rows = indexedRows(function, [&](unsigned argument) { return argument == i; });
  for (auto [place, value] : llvm::enumerate(result.elements)) {
    if (!std::isfinite(value))
      return wrong("element " + llvm::Twine(place) + " is NaN or infinite, expected inputs as the model gets them");
    if (rows && (value < -*rows || value >= *rows))
      return wrong("element " + llvm::Twine(place) + " is " + llvm::Twine(int64_t(value)) +
                   ", but the model looks it up in a table of " + llvm::Twine(*rows) +
                   " rows: are these the tokens of another vocabulary?");
  }
  return result;
}

// Adds the samples that an array per input holds: one, or where inputs begin with an axis of size 1 as many as
// the arrays have there, of which `most`, spread over all, are taken.
static llvm::Error addSamples(func::FuncOp function, const std::vector<GivenArray> &given, int64_t most,
                              std::vector<CalibrationSample> &samples) {
  auto beginsWithOne = [&](unsigned i) {
    auto type = cast<RankedTensorType>(function.getArgumentTypes()[i]);
    return type.getRank() > 0 && type.getDimSize(0) == 1;
  };
  int64_t count = 1;
  const GivenArray *first = nullptr; // That has samples along its first axis.
  for (auto [i, one] : llvm::enumerate(given)) {
    int64_t rank = cast<RankedTensorType>(function.getArgumentTypes()[i]).getRank();
    if (int64_t(one.array.shape.size()) != rank)
      return llvm::createStringError(one.place + ": " + llvm::Twine(one.array.shape.size()) + " axes, expected " +
                                     llvm::Twine(rank));
    if (!beginsWithOne(i))
      continue;
    int64_t own = one.array.shape[0];
    if (own < 1)
      return llvm::createStringError(one.place + ": has no sample: its first axis is of size 0");
    if (first && own != count)
      return llvm::createStringError(one.place + ": has " + llvm::Twine(own) + " samples, " + first->place + " has " +
                                     llvm::Twine(count));
    first = first ? first : &one;
    count = own;
  }
  int64_t taken = std::min(count, most);
  for (int64_t t = 0; t < taken; ++t) {
    int64_t row = t * count / taken;
    CalibrationSample sample{0, {}};
    for (auto [i, one] : llvm::enumerate(given)) {
      std::vector<int64_t> shape = one.array.shape;
      llvm::StringRef bytes = one.array.bytes;
      std::string place = one.place;
      if (count > 1 && beginsWithOne(i)) {
        size_t size = bytes.size() / count;
        bytes = bytes.substr(row * size, size);
        shape[0] = 1;
        place += ", sample " + std::to_string(row);
      }
      auto input = toInput(function, i, one.array.elementType, shape, bytes, sample.length);
      if (!input)
        return llvm::createStringError(place + ": " + llvm::toString(input.takeError()));
      sample.inputs.push_back(std::move(*input));
    }
    sample.length = std::max<int64_t>(sample.length, 1);
    samples.push_back(std::move(sample));
  }
  return llvm::Error::success();
}

static llvm::Expected<GivenArray> readArray(const std::string &place, llvm::StringRef npy) {
  auto array = parseNpy(npy);
  if (!array)
    return llvm::createStringError(place + ": " + llvm::toString(array.takeError()));
  return GivenArray{std::move(*array), place};
}

// A .npy per input of the model.
static llvm::Error addFolder(func::FuncOp function, const std::string &folder, int64_t most,
                             std::vector<CalibrationSample> &samples) {
  std::vector<GivenArray> given;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    std::string path = folder + "/" + inputName(function, i) + ".npy";
    auto bytes = readFile(path);
    if (!bytes)
      return bytes.takeError();
    auto array = readArray(path, *bytes);
    if (!array)
      return array.takeError();
    given.push_back(std::move(*array));
  }
  return addSamples(function, given, most, samples);
}

// An array per input of the model.
static llvm::Error addNpz(func::FuncOp function, const std::string &path, llvm::StringRef bytes, int64_t most,
                          std::vector<CalibrationSample> &samples) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    names.push_back(inputName(function, i));
  std::vector<GivenArray> given(names.size());
  llvm::Error error = forEachArray(bytes, [&](llvm::StringRef name, llvm::StringRef npy) -> llvm::Error {
    std::string place = "array \"" + name.str() + "\"";
    auto found = llvm::find(names, name);
    if (found == names.end())
      return llvm::createStringError(place + " is no input of the model, expected " + llvm::join(names, ", "));
    auto array = readArray(place, npy);
    if (!array)
      return array.takeError();
    given[found - names.begin()] = {std::move(array->array), path + ": " + place};
    return llvm::Error::success();
  });
  if (error)
    return llvm::createStringError(path + ": " + llvm::toString(std::move(error)));
  for (auto [name, one] : llvm::zip_equal(names, given))
    if (one.place.empty())
      return llvm::createStringError(path + ": has no array \"" + name + "\", which the model reads");
  return addSamples(function, given, most, samples);
}

// A folder's samples, of which `most`, spread over all, are taken.
static llvm::Expected<std::vector<CalibrationSample>> readSamples(func::FuncOp function, const std::string &folder,
                                                                  size_t most) {
  std::vector<std::string> entries;
  std::error_code code;
  for (llvm::sys::fs::directory_iterator entry(folder, code), end; entry != end && !code; entry.increment(code))
    if (llvm::sys::fs::is_directory(entry->path()) || llvm::sys::path::extension(entry->path()) == ".npz")
      entries.push_back(entry->path());
  if (code)
    return llvm::createStringError(code, "--calib " + folder + ": cannot be read: " + code.message());
  if (entries.empty())
    return llvm::createStringError("--calib " + folder +
                                   ": has no sample; each is a folder with NAME.npy of each input of the model, or an "
                                   ".npz with an array of each");
  llvm::sort(entries); // The same sums on every machine.
  std::vector<CalibrationSample> samples;
  size_t taken = std::min(entries.size(), most);
  for (size_t t = 0; t < taken; ++t) {
    const std::string &path = entries[t * entries.size() / taken];
    if (llvm::sys::fs::is_directory(path)) {
      if (llvm::Error error = addFolder(function, path, most, samples))
        return std::move(error);
      continue;
    }
    auto bytes = readFile(path);
    if (!bytes)
      return bytes.takeError();
    if (llvm::Error error = addNpz(function, path, *bytes, most, samples))
      return std::move(error);
  }
  return samples;
}

// The texts of a file: rows of a table, a byte model's windows, or lines.
static llvm::Expected<std::vector<TextExample>> readTexts(const ModelOptions &options, int64_t maxLength) {
  auto text = readFile(options.calibration);
  if (!text)
    return text.takeError();
  if (llvm::sys::path::extension(options.calibration) == ".tsv") {
    auto table = parseTable(*text, options.texts.columns, /*hasLabels=*/false);
    if (!table)
      return llvm::createStringError(options.calibration + ": " + llvm::toString(table.takeError()));
    return table;
  }
  std::vector<TextExample> result;
  for (std::string &part : splitTexts(*text, options.texts.tokenizer == "bytes", maxLength))
    result.push_back({std::move(part), std::nullopt});
  if (result.empty())
    return llvm::createStringError(options.calibration + ": has no text");
  return result;
}

std::vector<InputShape> mlir::rt3::inputShapes(func::FuncOp function) {
  std::vector<InputShape> shapes;
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
    auto tensor = cast<RankedTensorType>(type);
    InputShape shape{cast<StringAttr>(function.getArgAttr(i, "rt3_graph.name")).str(),
                     tensor.getElementType().isInteger(64) || tensor.getElementType().isInteger(32),
                     {}};
    for (int64_t size : tensor.getShape())
      shape.dims.push_back(ShapedType::isDynamic(size) ? -1 : size);
    shapes.push_back(shape);
  }
  return shapes;
}

llvm::Error mlir::rt3::checkVocabulary(func::FuncOp function, const TextInputs &inputs, const Tokenizer &tokenizer) {
  std::optional<int64_t> rows =
      indexedRows(function, [&](unsigned argument) { return inputs.roles[argument] == TextRole::Ids; });
  if (!rows || *rows >= tokenizer.vocabularySize())
    return llvm::Error::success();
  return llvm::createStringError("the tokenizer has " + llvm::Twine(tokenizer.vocabularySize()) +
                                 " tokens, the model's table " + llvm::Twine(*rows) +
                                 " rows: expected --tokenizer of this model");
}

static llvm::Expected<std::vector<CalibrationSample>> tokenize(func::FuncOp function, const ModelOptions &options) {
  auto tokenizer = chooseTokenizer(options.texts);
  if (!tokenizer)
    return tokenizer.takeError();
  std::vector<InputShape> shapes = inputShapes(function);
  auto inputs = bindTextInputs(shapes);
  if (!inputs)
    return llvm::createStringError("--calib " + options.calibration + ": " + llvm::toString(inputs.takeError()));
  if (llvm::Error error = checkVocabulary(function, *inputs, **tokenizer))
    return llvm::createStringError("--calib " + options.calibration + ": " + llvm::toString(std::move(error)));
  int64_t maxLength = inputs->fixedLength;
  if (!maxLength)
    maxLength = function->getParentOfType<ModuleOp>()->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr).getInt();
  auto texts = readTexts(options, maxLength);
  if (!texts)
    return texts.takeError();
  std::vector<CalibrationSample> samples;
  size_t count = std::min<size_t>(options.calibrationSamples, texts->size());
  for (size_t i = 0; i < count; ++i) {
    const TextExample &text = (*texts)[i * texts->size() / count];
    TokenText tokens = (*tokenizer)->encode(text.first, text.second ? &*text.second : nullptr, maxLength);
    if (tokens.ids.empty())
      continue;
    CalibrationSample sample{inputs->fixedLength ? 1 : inputs->lengthOf(tokens), {}};
    for (size_t input = 0; input < shapes.size(); ++input)
      sample.inputs.push_back({{1, inputs->lengthOf(tokens)}, inputs->elements(input, tokens)});
    samples.push_back(std::move(sample));
  }
  return samples;
}

static bool isArrayName(llvm::StringRef path) {
  return llvm::sys::path::extension(path) == ".npz" || llvm::sys::path::extension(path) == ".npy";
}

bool mlir::rt3::hasArrays(const std::string &path) {
  if (isArrayName(path)) // Whatever is in it.
    return true;
  auto beginning = llvm::MemoryBuffer::getFileSlice(path, kNpyMagic.size(), 0);
  return beginning && (isArchive((*beginning)->getBuffer()) || (*beginning)->getBuffer() == kNpyMagic);
}

// An .npz, a .npy of a model with one input, or texts.
static llvm::Expected<std::vector<CalibrationSample>> readSampleFile(func::FuncOp function,
                                                                     const ModelOptions &options) {
  const std::string &path = options.calibration;
  auto bytes = readFile(path);
  if (!bytes)
    return bytes.takeError();
  std::vector<CalibrationSample> samples;
  bool isNpz = llvm::sys::path::extension(path) == ".npz" || isArchive(*bytes);
  if (isNpz) {
    if (llvm::Error error = addNpz(function, path, *bytes, options.calibrationSamples, samples))
      return std::move(error);
    return samples;
  }
  if (!llvm::StringRef(*bytes).starts_with(kNpyMagic) && !isArrayName(path))
    return tokenize(function, options);
  if (function.getNumArguments() != 1)
    return llvm::createStringError(path + ": is one array, but the model has " +
                                   llvm::Twine(function.getNumArguments()) + " inputs: expected an .npz, or a folder");
  auto array = readArray(path, *bytes);
  if (!array)
    return array.takeError();
  if (llvm::Error error = addSamples(function, {std::move(*array)}, options.calibrationSamples, samples))
    return std::move(error);
  return samples;
}

// Bytes of the program with the model in it, before any sample, as measured for models of 2 and 90 MB: libraries, and
// the weights in the file, in the module, as floats and in what is compiled to predict times.
static int64_t programMemory(func::FuncOp function) {
  int64_t constants = 0;
  function.walk([&](graph::ConstantOp op) { constants += graph::rawBytes(op.getValue()).size(); });
  return (100 << 20) + 4 * constants;
}

// Leaves out samples, spread over all, until the rest fits the memory. An error if not even one does.
static llvm::Error fitMemory(func::FuncOp function, std::vector<CalibrationSample> &samples,
                             const ModelOptions &options) {
  size_t count = samples.size();
  int64_t base = programMemory(function), allowed = options.calibrationMemory << 20;
  auto needed = [&] {
    int64_t inputs = 0;
    for (const CalibrationSample &sample : samples)
      for (const HostTensor &input : sample.inputs)
        inputs += input.elements.size() * sizeof(double);
    return base + inputs + rebuildingMemory(function, samples);
  };
  while (needed() > allowed && samples.size() > 1) {
    std::vector<CalibrationSample> kept;
    double share = std::max<double>(allowed - base, 0) / (needed() - base);
    size_t wanted = std::clamp<size_t>(samples.size() * share, 1, samples.size() - 1);
    for (size_t i = 0; i < wanted; ++i)
      kept.push_back(std::move(samples[i * samples.size() / wanted]));
    samples = std::move(kept);
  }
  if (!samples.empty() && needed() > allowed)
    return llvm::createStringError("--calib-memory " + llvm::Twine(options.calibrationMemory) +
                                   ": even one sample takes about " + llvm::Twine(needed() >> 20) +
                                   " MiB; expected more than that");
  if (samples.size() < count)
    llvm::errs() << "rt3c: warning: " << samples.size() << " of " << count << " samples are used: more would take over "
                 << options.calibrationMemory << " MiB (--calib-memory)\n";
  return llvm::Error::success();
}

// Weights fit few samples all too well.
static void warnOfFewTokens(func::FuncOp function, const std::vector<CalibrationSample> &samples,
                            const std::string &path) {
  int64_t tokens = 0, widest = 0;
  for (const CalibrationSample &sample : samples)
    tokens += sample.length;
  function.walk([&](graph::LinearOp op) {
    widest = std::max(widest, cast<RankedTensorType>(op.getWeights().getType()).getDimSize(0));
  });
  if (tokens < 4 * widest)
    llvm::errs() << "rt3c: warning: --calib " << path << " has " << tokens << " tokens, a layer has " << widest
                 << " inputs: with less than four tokens per input, weights fit the samples and little else\n";
}

std::function<llvm::Expected<std::vector<CalibrationSample>>(func::FuncOp)>
mlir::rt3::calibrationReader(const ModelOptions &options) {
  if (options.calibration.empty())
    return nullptr;
  return [options](func::FuncOp function) -> llvm::Expected<std::vector<CalibrationSample>> {
    if (!llvm::sys::fs::exists(options.calibration))
      return llvm::createStringError("--calib " + options.calibration + ": cannot be read: there is no such file");
    auto samples = llvm::sys::fs::is_directory(options.calibration)
                       ? readSamples(function, options.calibration, options.calibrationSamples)
                       : readSampleFile(function, options);
    if (!samples)
      return samples;
    if (llvm::Error error = fitMemory(function, *samples, options))
      return std::move(error);
    warnOfFewTokens(function, *samples, options.calibration);
    return samples;
  };
}
