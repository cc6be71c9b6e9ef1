// SPDX-License-Identifier: Apache-2.0
//
// The samples of --calib: folders with a .npy file per input of the model, or texts.

#include "compiler/prune/RebuildLevels.h"
#include "compiler/verbs/Npy.h"
#include "compiler/verbs/SampleInputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::rt3;

// Input `i` of `function` from a file; sets `length`, or keeps to it if it is not 0.
static llvm::Expected<HostTensor> readInput(func::FuncOp function, unsigned i, const std::string &folder,
                                            int64_t &length) {
  auto type = cast<RankedTensorType>(function.getArgumentTypes()[i]);
  auto name = cast<StringAttr>(function.getArgAttr(i, "rt3_graph.name"));
  std::string path = folder + "/" + name.str() + ".npy";
  auto bytes = readFile(path);
  if (!bytes)
    return bytes.takeError();
  auto wrong = [&](const llvm::Twine &what) { return llvm::createStringError(path + ": " + what); };
  auto array = parseNpy(*bytes);
  if (!array)
    return wrong(llvm::toString(array.takeError()));
  Type element = type.getElementType();
  uint32_t expected = element.isF32()         ? RT3_FLOAT32
                      : element.isInteger(64) ? RT3_INT64
                      : element.isInteger(32) ? RT3_INT32
                                              : RT3_BOOL;
  if (array->elementType != expected)
    return wrong("its elements are of another type than the model's input");
  if (int64_t(array->shape.size()) != type.getRank())
    return wrong(llvm::Twine(array->shape.size()) + " axes, expected " + llvm::Twine(type.getRank()));
  int64_t maxLength = 1;
  if (auto largest = function->getParentOfType<ModuleOp>()->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr))
    maxLength = largest.getInt();
  for (int64_t axis = 0; axis < type.getRank(); ++axis) {
    int64_t size = array->shape[axis];
    if (type.isDynamicDim(axis) && length == 0 && size >= 1 && size <= maxLength)
      length = size;
    int64_t wanted = type.isDynamicDim(axis) ? length : type.getDimSize(axis);
    if (size != wanted || size < 1)
      return wrong("size " + llvm::Twine(size) + " of axis " + llvm::Twine(axis) + ", expected " +
                   (wanted ? llvm::Twine(wanted) : "1 to " + llvm::Twine(maxLength)));
  }
  rt3_tensor_t tensor{};
  tensor.element_type = array->elementType;
  tensor.rank = 1;
  tensor.dims[0] = array->bytes.size() / elementSize(array->elementType);
  return HostTensor{array->shape, fromMemory(tensor, array->bytes.data(), 1)};
}

static llvm::Expected<std::vector<CalibrationSample>> readSamples(func::FuncOp function, const std::string &folder) {
  std::vector<std::string> folders;
  std::error_code code;
  for (llvm::sys::fs::directory_iterator entry(folder, code), end; entry != end && !code; entry.increment(code))
    if (llvm::sys::fs::is_directory(entry->path()))
      folders.push_back(entry->path());
  if (code)
    return llvm::createStringError(code, "--calib " + folder + ": cannot be read: " + code.message());
  if (folders.empty())
    return llvm::createStringError("--calib " + folder +
                                   ": has no folder; each sample is one, with NAME.npy of each input");
  llvm::sort(folders); // The same sums on every machine.
  std::vector<CalibrationSample> samples;
  for (const std::string &path : folders) {
    CalibrationSample sample{0, {}};
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      auto input = readInput(function, i, path, sample.length);
      if (!input)
        return input.takeError();
      sample.inputs.push_back(std::move(*input));
    }
    sample.length = std::max<int64_t>(sample.length, 1);
    samples.push_back(std::move(sample));
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
  llvm::StringRef rest = *text;
  while (!rest.empty()) {
    llvm::StringRef part;
    if (options.texts.tokenizer == "bytes") {
      part = rest.take_front(maxLength);
      rest = rest.drop_front(part.size());
    } else {
      std::tie(part, rest) = rest.split('\n');
      part = part.trim();
    }
    if (!part.empty())
      result.push_back({part.str(), std::nullopt});
  }
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
  int64_t rows = tokenizer.vocabularySize();
  function.walk([&](graph::GatherOp op) {
    mlir::Value indices = op.getIndices();
    while (isa_and_nonnull<graph::CastOp, graph::ReshapeOp>(indices.getDefiningOp()))
      indices = indices.getDefiningOp()->getOperand(0);
    auto argument = dyn_cast<BlockArgument>(indices);
    if (argument && inputs.roles[argument.getArgNumber()] == TextRole::Ids)
      rows = std::min(rows, cast<RankedTensorType>(op.getTable().getType()).getDimSize(op.getAxis()));
  });
  if (rows == tokenizer.vocabularySize())
    return llvm::Error::success();
  return llvm::createStringError("the tokenizer has " + llvm::Twine(tokenizer.vocabularySize()) +
                                 " tokens, the model's table " + llvm::Twine(rows) +
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

// Leaves out samples, spread over all, until the rest fits the memory.
static void fitMemory(func::FuncOp function, std::vector<CalibrationSample> &samples, const ModelOptions &options) {
  size_t count = samples.size();
  int64_t allowed = options.calibrationMemory << 20, needed = rebuildingMemory(function, samples);
  while (needed > allowed && samples.size() > 1) {
    std::vector<CalibrationSample> kept;
    size_t wanted = std::clamp<size_t>(samples.size() * double(allowed) / needed, 1, samples.size() - 1);
    for (size_t i = 0; i < wanted; ++i)
      kept.push_back(std::move(samples[i * samples.size() / wanted]));
    samples = std::move(kept);
    needed = rebuildingMemory(function, samples);
  }
  if (samples.size() < count)
    llvm::errs() << "rt3c: warning: " << samples.size() << " of " << count << " samples are used: more would take over "
                 << options.calibrationMemory << " MiB (--calib-memory)\n";
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
    auto samples = llvm::sys::fs::is_directory(options.calibration) ? readSamples(function, options.calibration)
                                                                    : tokenize(function, options);
    if (samples)
      fitMemory(function, *samples, options);
    if (samples)
      warnOfFewTokens(function, *samples, options.calibration);
    return samples;
  };
}
