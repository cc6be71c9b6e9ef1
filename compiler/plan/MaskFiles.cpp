// SPDX-License-Identifier: Apache-2.0

#include "compiler/plan/MaskFiles.h"

#include "compiler/data/NpzArchive.h"
#include "compiler/prune/PruneLevels.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace mlir::rt3;
using llvm::StringRef;

// Larger matrices and archives are refused.
static constexpr int64_t kMaxWeights = int64_t(1) << 28;
static constexpr int64_t kMaxAllWeights = int64_t(1) << 29; // Of all masks of a level together.

//===-- .smtx -------------------------------------------------------------===//

static llvm::Expected<std::vector<int64_t>> parseNumbers(StringRef line, StringRef separators, int number) {
  SmallVector<StringRef> words;
  llvm::SplitString(line, words, separators);
  std::vector<int64_t> result;
  for (StringRef word : words)
    if (word.getAsInteger(10, result.emplace_back()) || result.back() < 0)
      return llvm::createStringError("line " + Twine(number) + ": \"" + word.take_front(20) + "\" is no whole number");
  return result;
}

llvm::Expected<GivenMask> mlir::rt3::parseSmtx(StringRef name, StringRef text) {
  auto [first, rest] = text.split('\n');
  auto [second, third] = rest.split('\n');
  auto sizes = parseNumbers(first, ", \r", 1), offsets = parseNumbers(second, " \r", 2),
       columns = parseNumbers(third, " \r\n", 3);
  if (!sizes || !offsets || !columns)
    return llvm::joinErrors(sizes.takeError(), llvm::joinErrors(offsets.takeError(), columns.takeError()));
  if (sizes->size() != 3)
    return llvm::createStringError("line 1: expected \"rows, columns, count\"");
  GivenMask mask{name.str(), (*sizes)[0], (*sizes)[1], {}};
  int64_t size, count = (*sizes)[2];
  if (mask.outputs < 1 || mask.inputs < 1 || llvm::MulOverflow(mask.outputs, mask.inputs, size) || size > kMaxWeights)
    return llvm::createStringError("line 1: a matrix of " + Twine(mask.outputs) + " x " + Twine(mask.inputs) +
                                   "; expected 1 to 2^28 elements");
  if (int64_t(offsets->size()) != mask.outputs + 1 || offsets->front() != 0 || offsets->back() != count ||
      !llvm::is_sorted(*offsets))
    return llvm::createStringError("line 2: expected " + Twine(mask.outputs + 1) + " offsets that rise from 0 to " +
                                   Twine(count));
  if (int64_t(columns->size()) != count)
    return llvm::createStringError("line 3: " + Twine(columns->size()) + " columns, line 1 says " + Twine(count));
  mask.kept.assign(size, 0);
  for (int64_t row = 0; row < mask.outputs; ++row)
    for (int64_t i = (*offsets)[row]; i < (*offsets)[row + 1]; ++i) {
      int64_t column = (*columns)[i];
      if (column >= mask.inputs || mask.kept[row * mask.inputs + column])
        return llvm::createStringError("line 3: column " + Twine(column) + " of row " + Twine(row) +
                                       (column >= mask.inputs ? " is out of range" : " is there twice"));
      mask.kept[row * mask.inputs + column] = 1;
    }
  return mask;
}

//===-- .npz --------------------------------------------------------------===//

// The text behind 'key': in a header like {'descr': '<f4', 'shape': (1, 2), }
static StringRef headerValue(StringRef header, StringRef key) {
  return header.split(("'" + key + "':").str()).second.ltrim();
}

// A .npy array of two axes, of any type whose zeros are zero bits or -0.
static llvm::Expected<GivenMask> parseArray(StringRef name, StringRef bytes) {
  if (bytes.size() < 12 || !bytes.starts_with("\x93NUMPY"))
    return llvm::createStringError("is no .npy array");
  bool isLong = bytes[6] >= 2;
  size_t start = isLong ? 12 : 10;
  uint32_t length = 0;
  memcpy(&length, bytes.data() + 8, isLong ? 4 : 2);
  if (length > bytes.size() - start)
    return llvm::createStringError("has a header that is cut off");
  StringRef header = bytes.substr(start, length), data = bytes.substr(start + length);
  StringRef type = headerValue(header, "descr").substr(1, 3);
  int64_t elementSize = 0;
  bool isPlain = type.size() == 3 && (type[0] == '<' || type[0] == '|') && StringRef("biuf").contains(type[1]);
  if (!isPlain || type.drop_front(2).getAsInteger(10, elementSize) || elementSize < 1 || elementSize > 8)
    return llvm::createStringError("has elements of type \"" + type + "\"; expected bool, integers or floats");
  if (!headerValue(header, "fortran_order").starts_with("False"))
    return llvm::createStringError("is in Fortran order; save it with numpy.ascontiguousarray");
  auto sizes = parseNumbers(headerValue(header, "shape").ltrim('(').split(')').first, ", ", 1);
  int64_t size = 0;
  if (!sizes || sizes->size() != 2 || (*sizes)[0] < 1 || (*sizes)[1] < 1 ||
      llvm::MulOverflow((*sizes)[0], (*sizes)[1], size) || size > kMaxWeights) {
    llvm::consumeError(sizes.takeError());
    return llvm::createStringError("has no two axes of 1 to 2^28 elements together");
  }
  if (int64_t(data.size()) != size * elementSize)
    return llvm::createStringError("has " + Twine(data.size()) + " bytes of data, expected " +
                                   Twine(size * elementSize));
  GivenMask mask{name.str(), (*sizes)[0], (*sizes)[1], std::vector<uint8_t>(size, 0)};
  for (int64_t i = 0; i < size; ++i) {
    uint64_t bits = 0;
    memcpy(&bits, data.data() + i * elementSize, elementSize);
    if (type[1] == 'f') { // -0 is a zero too.
      bits &= ~(uint64_t(1) << (8 * elementSize - 1));
      // Above the exponent of infinity: which of the two was meant, nobody can say.
      uint64_t infinity = elementSize == 8 ? 0x7ff0000000000000 : elementSize == 4 ? 0x7f800000 : 0x7c00;
      if (bits > infinity)
        return llvm::createStringError("has NaN at [" + Twine(i / mask.inputs) + ", " + Twine(i % mask.inputs) +
                                       "], expected numbers: 0 for what goes");
    }
    mask.kept[i] = bits != 0;
  }
  return mask;
}

llvm::Expected<std::vector<GivenMask>> mlir::rt3::parseNpz(StringRef bytes) {
  std::vector<GivenMask> result;
  int64_t all = 0;
  llvm::Error error = forEachArray(bytes, [&](StringRef name, StringRef npy) -> llvm::Error {
    auto mask = parseArray(name, npy);
    if (!mask)
      return llvm::createStringError("array \"" + name + "\" " + llvm::toString(mask.takeError()));
    all += mask->kept.size();
    if (all > kMaxAllWeights)
      return llvm::createStringError("its masks have over 2^29 elements together");
    result.push_back(std::move(*mask));
    return llvm::Error::success();
  });
  if (error)
    return std::move(error);
  return result;
}

//===-- Files -------------------------------------------------------------===//

static llvm::Expected<GivenMask> readSmtx(StringRef path, StringRef name) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return llvm::createStringError(buffer.getError(), path + ": cannot be read: " + buffer.getError().message());
  auto mask = parseSmtx(name, (*buffer)->getBuffer());
  if (!mask)
    return llvm::createStringError(path + ": " + llvm::toString(mask.takeError()));
  return mask;
}

llvm::Expected<std::vector<GivenMask>> mlir::rt3::readMasks(const std::string &path) {
  std::vector<GivenMask> result;
  if (llvm::sys::fs::is_directory(path)) {
    std::vector<std::string> files;
    std::error_code code;
    for (llvm::sys::fs::recursive_directory_iterator entry(path, code), end; entry != end && !code;
         entry.increment(code))
      if (llvm::sys::path::extension(entry->path()) == ".smtx")
        files.push_back(entry->path());
    if (code)
      return llvm::createStringError(code, path + ": cannot be read: " + code.message());
    if (files.empty())
      return llvm::createStringError(path + ": has no .smtx file");
    llvm::sort(files);
    int64_t all = 0;
    for (StringRef file : files) {
      auto mask = readSmtx(file, file.drop_front(path.size()).drop_back(5));
      if (!mask)
        return mask.takeError();
      all += mask->kept.size();
      if (all > kMaxAllWeights)
        return llvm::createStringError(path + ": the masks have over 2^29 elements together");
      result.push_back(std::move(*mask));
    }
    return result;
  }
  if (StringRef(path).ends_with(".smtx")) {
    auto mask = readSmtx(path, llvm::sys::path::stem(path));
    if (!mask)
      return mask.takeError();
    result.push_back(std::move(*mask));
    return result;
  }
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return llvm::createStringError(buffer.getError(), path + ": cannot be read: " + buffer.getError().message());
  auto masks = parseNpz((*buffer)->getBuffer());
  if (!masks)
    return llvm::createStringError(path + ": " + llvm::toString(masks.takeError()));
  return masks;
}

//===-- Plans -------------------------------------------------------------===//

// What is the same in names of one layer: files cannot have all characters.
static std::string normalized(StringRef name) {
  std::string result;
  for (char c : name)
    if (llvm::isAlnum(c))
      result += c;
    else if (!result.empty() && result.back() != '_')
      result += '_';
  if (!result.empty() && result.back() == '_')
    result.pop_back();
  return result;
}

llvm::Expected<Plan> mlir::rt3::planOfMasks(ModuleOp module,
                                            ArrayRef<std::pair<std::string, std::vector<GivenMask>>> levels) {
  LevelPlan spec;
  for (auto &[name, masks] : levels) {
    spec.levels.push_back({});
    spec.levels.back().name = name;
    spec.levels.back().scheme = Scheme::Block;
  }
  // All layers dense at first, with their names and hashes.
  LevelPlan dense = spec;
  for (LevelSpec &level : dense.levels)
    level.scheme = Scheme::Dense;
  OwningOpRef<ModuleOp> copy(module.clone());
  if (llvm::Error error = pruneLevels(*copy, dense, {}))
    return std::move(error);
  Plan plan = planOf(*copy, spec);
  llvm::StringMap<std::vector<size_t>> layers;
  for (auto [i, layer] : llvm::enumerate(plan.layers)) {
    layers[normalized(layer.name)].push_back(i);
    for (PlannedLevel &level : layer.levels)
      level = PlannedLevel{Scheme::Dense, "no mask is given", 8, 0, {}, {}, {}};
  }
  std::vector<std::string> faults;
  for (auto [index, given] : llvm::enumerate(levels))
    for (const GivenMask &mask : given.second) {
      auto found = layers.find(normalized(mask.name));
      if (found == layers.end() || found->second.size() > 1) {
        faults.push_back("mask \"" + mask.name + "\" is of " + (found == layers.end() ? "no layer" : "several layers"));
        continue;
      }
      PlannedLayer &layer = plan.layers[found->second[0]];
      if (mask.outputs != layer.outputs || mask.inputs != layer.inputs) {
        faults.push_back(llvm::formatv("mask \"{0}\" is {1} x {2}, the layer has {3} outputs x {4} inputs", mask.name,
                                       mask.outputs, mask.inputs, layer.outputs, layer.inputs));
        continue;
      }
      PlannedLevel &level = layer.levels[index];
      if (level.scheme != Scheme::Dense) {
        faults.push_back("layer \"" + layer.name + "\" has two masks of one level");
        continue;
      }
      level = PlannedLevel{Scheme::Block, "", 1, 0, Mask(mask.kept.size()), {}, {}};
      for (int64_t k = 0; k < mask.inputs; ++k)
        for (int64_t n = 0; n < mask.outputs; ++n)
          level.mask[k * mask.outputs + n] = mask.kept[n * mask.inputs + k];
    }
  if (!faults.empty())
    return llvm::createStringError(llvm::join(faults, "; ") + "; the report of a compilation lists all layers");
  for (auto [i, level] : llvm::enumerate(plan.levels.levels))
    level.density = std::max(1e-6, keptShare(plan, i));
  return plan;
}
