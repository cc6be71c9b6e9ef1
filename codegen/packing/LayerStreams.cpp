// SPDX-License-Identifier: Apache-2.0

#include "codegen/packing/LayerStreams.h"

#include "dialects/graph/Quantize.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"

#include <numeric>
#include <tuple>

using namespace mlir;
using namespace mlir::rt3;

int64_t mlir::rt3::tokenCount(graph::LinearOp op) {
  auto module = op->getParentOfType<ModuleOp>();
  // Texts are written token by token.
  if (module->hasAttr(graph::kContextAttr))
    return 1;
  int64_t count = 1;
  for (int64_t size : cast<RankedTensorType>(op.getX().getType()).getShape().drop_back())
    count *= ShapedType::isDynamic(size) ? module->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr).getInt() : size;
  return count;
}

// Rows of a pass, most first: what the tile holds and divides the group; half as many leave more registers. Or
// those that are asked for, if there is such a kernel.
static std::vector<int64_t> candidatePasses(graph::LinearOp op, const Device &device, int64_t rows,
                                            const KernelChoice &choice) {
  int64_t pass = std::min(rows, device.tileRows);
  while (rows % pass != 0)
    --pass;
  // Rows are lanes for a single token, of which instructions for words have four and more.
  int64_t least = dotOf(device, op) ? 4 : 2;
  if (choice.rows)
    return {*choice.rows >= least && *choice.rows <= pass && rows % *choice.rows == 0 ? *choice.rows : pass};
  std::vector<int64_t> passes{pass};
  if (pass % 4 == 0 && pass / 2 >= least)
    passes.push_back(pass / 2);
  return passes;
}

llvm::Expected<KernelChoice> mlir::rt3::parseKernelChoice(StringRef text) {
  KernelChoice choice;
  SmallVector<StringRef> parts;
  text.split(parts, ',');
  for (StringRef part : parts) {
    auto [name, value] = part.split(':');
    std::optional<int64_t> *field = name == "rows"     ? &choice.rows
                                    : name == "unroll" ? &choice.unroll
                                    : name == "filled" ? &choice.filled
                                    : name == "range"  ? &choice.range
                                                       : nullptr;
    int64_t number;
    if (!field || value.getAsInteger(10, number) || number < 0 || (name == "filled" && number > 1))
      return llvm::createStringError("\"" + part + "\" is none of rows:N, unroll:N, filled:0, filled:1, range:N");
    if (*field)
      return llvm::createStringError("\"" + name + "\" is given twice");
    *field = number;
  }
  return choice;
}

// What a layer's kernel shall be.
static FailureOr<KernelChoice> choiceOf(graph::LinearOp op) {
  auto text = op->getAttrOfType<StringAttr>(graph::kKernelAttr);
  if (!text)
    return KernelChoice();
  auto choice = parseKernelChoice(text.getValue());
  if (!choice)
    return op.emitError(graph::kKernelAttr) << ": " << llvm::toString(choice.takeError());
  return *choice;
}

// Long loops of a single pattern have one kind.
static bool isAsked(const KernelChoice &choice, const PackedStream &stream) {
  const StreamShape &shape = stream.shape;
  bool isLoop = stream.patterns.size() == 1 || (choice.unroll.value_or(shape.unroll) == shape.unroll &&
                                                choice.filled.value_or(shape.isFilled) == shape.isFilled);
  return isLoop && choice.rows.value_or(shape.pass) == shape.pass && choice.range.value_or(shape.range) == shape.range;
}

static std::string describe(const StreamShape &shape) {
  return llvm::formatv("rows:{0},unroll:{1},filled:{2},range:{3}", shape.pass, shape.unroll, int(shape.isFilled),
                       shape.range);
}

// Whether loops of full tiles ever run.
static bool hasTiles(graph::LinearOp op) {
  return tokenCount(op) > 1 || op->getParentOfType<ModuleOp>()->hasAttr(graph::kContextAttr);
}

FailureOr<int64_t> mlir::rt3::denseRows(graph::LinearOp op, const Device &device, CostModel &cost, int64_t valueSize) {
  FailureOr<KernelChoice> choice = choiceOf(op);
  if (failed(choice))
    return failure();
  std::vector<int64_t> candidates = candidatePasses(op, device, device.tileRows, *choice);
  StreamShape shape;
  shape.valueSize = valueSize;
  for (int64_t rows : candidates) {
    shape.rows = shape.pass = rows;
    if (choice->rows.value_or(rows) != rows) {
      InFlightDiagnostic error = op.emitError() << "layer \"" << op.getLayer() << "\" has no dense kernel of "
                                                << *choice->rows << " rows";
      error.attachNote() << "it has those of " << (dotOf(device, op) ? 4 : 2) << " rows and more that divide "
                         << device.tileRows;
      return error;
    }
    if (!hasTiles(op) || !cost.usesStack(shape, {}))
      return rows;
  }
  return candidates.front();
}

// Words whose products are added up in f16, two sums side by side: the error of a sum
// grows with the square root of their number, to about 128^0.5 x 2^-11 = 0.6 %.
static constexpr int64_t kHalfSumWords = 128;

// Ranges of inputs to choose from. In short ones activations stay in the first
// level of cache, with room for weights or just so; in one range for all, the loops of
// patterns are longest.
static std::vector<int64_t> candidateRanges(int64_t inputs, int64_t vectors, std::optional<kernel::Dot> dot,
                                            const Device &device) {
  int64_t width = vectors * device.lanes;
  if (dot == kernel::Dot::FmlaF16)
    return {std::min(chooseRange(inputs, width, device.l1Size), kHalfSumWords)};
  int64_t cached = chooseRange(inputs, width, device.l1Size);
  int64_t whole = llvm::alignTo(inputs, kernel::kFeatureMultiple);
  // Indices are u16 and count vectors.
  bool isAllowed = whole * width * 4 <= device.l2Size * 2 / 3 && whole * vectors < 65536;
  std::vector<int64_t> ranges{cached};
  int64_t parts = llvm::divideCeil(inputs * width * 4, device.l1Size);
  int64_t filling = llvm::alignTo(llvm::divideCeil(inputs, parts), kernel::kFeatureMultiple);
  if (filling > cached && filling < whole && filling * vectors < 65536)
    ranges.push_back(filling);
  if (whole > cached && isAllowed)
    ranges.push_back(whole);
  return ranges;
}

// `ranges`, and the one in which patterns are balanced, if they are.
static std::vector<int64_t> withBalanced(std::vector<int64_t> ranges, const MaskedWeights &weights, StreamShape shape,
                                         std::optional<kernel::Dot> dot, int64_t wordsPerUnit) {
  shape.range = graph::kBalancedInputs * wordsPerUnit;
  bool isPossible = shape.range < weights.inputs && dot != kernel::Dot::FmlaF16;
  if (isPossible && !llvm::is_contained(ranges, shape.range) && isBalanced(weights, shape))
    ranges.push_back(shape.range);
  return ranges;
}

// The weights packed in `shape` for each kind of loop that `device` may run: one block a trip, several and a
// rest, several without.
static void packForLoops(const MaskedWeights &weights, StreamShape shape, ArrayRef<int64_t> patterns,
                         const Device &device, llvm::function_ref<void(PackedStream)> use) {
  std::vector<int64_t> given = patterns.vec();
  PackedStream stream = packSparse(weights, shape, given);
  use(stream);
  bool isSingle = stream.patterns.size() == 1; // Has one kind.
  for (int64_t unroll = 2; unroll <= device.blockUnroll && !isSingle; unroll *= 2) {
    PackedStream rest = stream; // The same bytes.
    rest.shape.unroll = unroll;
    use(std::move(rest));
    shape.unroll = unroll;
    shape.isFilled = true;
    use(packSparse(weights, shape, given));
  }
}

// The shapes that can store `encoding`. Zeros without structure (blocks of one
// weight) may go into any; what is fastest is for the cost model to say.
static std::vector<StreamShape> candidateShapes(Attribute encoding, const StreamShape &base, ModuleOp module) {
  StreamShape shape = base;
  if (auto pattern = dyn_cast<graph::PatternEncodingAttr>(encoding)) {
    auto set = module.lookupSymbol<graph::PatternSetOp>(pattern.getSet());
    shape.rows = set.getRows();
    shape.columns = set.getColumns();
    shape.gathered = pattern.getGathered();
    return {shape};
  }
  auto block = cast<graph::BlockEncodingAttr>(encoding);
  if (block.getRows() > 1) {
    shape.rows = block.getRows();
    return {shape};
  }
  std::vector<StreamShape> shapes;
  for (auto [rows, columns] : {std::pair(8, 1), std::pair(8, 4), std::pair(4, 1)}) {
    shape.rows = rows;
    shape.columns = columns;
    shapes.push_back(shape);
  }
  return shapes;
}

// A set that layers of several precisions share has patterns that cut pairs of rows.
static void completePairs(std::vector<int64_t> &patterns) {
  std::vector<int64_t> complete;
  for (uint64_t pattern : patterns) {
    uint64_t even = (pattern | pattern >> 1) & 0x5555555555555555;
    if (int64_t whole = even | even << 1; !llvm::is_contained(complete, whole))
      complete.push_back(whole);
  }
  patterns = std::move(complete);
}

// Whether words of activations hold unsigned bytes, 128 more than the number.
static bool isUnsigned(kernel::Dot dot) { return dot == kernel::Dot::Vpdpbusd; }

namespace {

// The weights of a layer as words, however many share one.
class LayerWords {
public:
  // `own`: the values of the level, or null.
  LayerWords(graph::LinearOp op, ElementsAttr own, const Device &device) {
    auto type = cast<RankedTensorType>(op.getWeights().getType());
    weightInputs = type.getDimSize(0);
    outputs = type.getDimSize(1);
    values = graph::floatElements(own ? own : graph::constantValue(op.getWeights()));
    weightOutputs = outputs;
    precision = op.getPrecision();
    dot = dotOf(device, op);
    if (dot)
      perWord = kernel::inputsPerWord(*dot);
    if (dot && kernel::isInt8(*dot))
      quantized = graph::quantizeWeights(values, weightInputs, outputs);
    inputs = llvm::divideCeil(weightInputs, perWord);
    // Outputs go in pairs.
    if (dot == kernel::Dot::Smmla)
      outputs = llvm::alignTo(outputs, 2);
  }

  // The words of the weights in `mask` (K x N), and which words have any.
  void select(ArrayRef<uint8_t> mask, std::vector<uint64_t> &words, std::vector<uint8_t> &wordMask) const {
    words.assign(inputs * outputs, 0);
    wordMask.assign(inputs * outputs, 0);
    int64_t bits = 8 * (dot ? kernel::wordSize(*dot) : 4) / perWord;
    uint64_t field = (uint64_t(1) << bits) - 1;
    for (int64_t k = 0; k < weightInputs; ++k)
      for (int64_t n = 0; n < weightOutputs; ++n) {
        int64_t i = k * weightOutputs + n, word = k / perWord * outputs + n;
        if (!mask[i])
          continue;
        wordMask[word] = 1;
        if (dot == kernel::Dot::Smmla)
          wordMask[word ^ 1] = 1;
        words[word] |= (uint64_t(number(i)) & field) << (k % perWord * bits);
      }
  }

  // What sums start from when the weights in `mask` are kept.
  std::vector<int32_t> offsets(ArrayRef<uint8_t> mask) const {
    std::vector<int32_t> result(outputs, 0);
    for (int64_t k = 0; dot && isUnsigned(*dot) && k < weightInputs; ++k)
      for (int64_t n = 0; n < weightOutputs; ++n)
        if (mask[k * weightOutputs + n])
          result[n] -= 128 * quantized.values[k * weightOutputs + n];
    return result;
  }

  // Bytes of a word in a stream.
  int64_t valueSize() const { return precision == graph::Precision::F16 ? 2 : dot ? kernel::wordSize(*dot) : 4; }

  int64_t weightInputs, weightOutputs;  // K, N.
  int64_t outputs, inputs, perWord = 1; // Words.
  std::optional<graph::Precision> precision;
  std::optional<kernel::Dot> dot;

  std::vector<float> values;
  graph::QuantizedWeights quantized;

private:
  // The bits of weight i.
  int64_t number(int64_t i) const {
    if (dot && kernel::isInt8(*dot))
      return quantized.values[i];
    if (precision == graph::Precision::BF16)
      return graph::toBfloat(values[i]);
    return precision ? graph::toHalf(values[i]) : llvm::bit_cast<uint32_t>(values[i]);
  }
};

} // namespace

FailureOr<PackedLayer> mlir::rt3::packLayer(graph::LinearOp op, ArrayAttr encodings, const Device &device,
                                            CostModel &cost) {
  FailureOr<KernelChoice> choice = choiceOf(op);
  if (failed(choice))
    return failure();
  // Nested levels share their values, which the last has too.
  LayerWords layer(op, encodings && !encodings.empty() ? graph::encodingWeights(encodings.getValue().back()) : nullptr,
                   device);
  PackedLayer result;
  result.inputs = layer.inputs;
  result.scales = layer.quantized.scales;
  StreamShape base;
  base.valueSize = layer.valueSize();
  int64_t sizeOfWord = std::max<int64_t>(4, base.valueSize); // Of an activation.
  base.vectors = device.tileVectors * sizeOfWord / 4;
  std::vector<int64_t> ranges = candidateRanges(layer.inputs, base.vectors, layer.dot, device);
  base.range = ranges.front();
  std::vector<uint8_t> stored(layer.values.size(), 0); // By earlier streams.
  std::vector<uint64_t> words;
  std::vector<uint8_t> wordMask;
  auto module = op->getParentOfType<ModuleOp>();
  for (Attribute encoding : encodings ? encodings.getValue() : ArrayRef<Attribute>()) {
    ElementsAttr maskAttribute = graph::encodingMask(encoding);
    if (!maskAttribute)
      break; // Dense: below.
    std::vector<uint8_t> mask = graph::byteElements(maskAttribute);
    for (size_t i = 0; i < mask.size(); ++i) {
      uint8_t isNew = mask[i] && !stored[i];
      stored[i] |= mask[i];
      mask[i] = isNew;
    }
    layer.select(mask, words, wordMask);
    MaskedWeights weights{layer.inputs, layer.outputs, words, wordMask};
    std::optional<PackedStream> best;
    std::tuple<bool, double, double> bestCost;
    std::vector<std::string> possible;
    std::vector<int64_t> patterns;
    graph::PruningUnits units = pruningUnits(device);
    int64_t wordsPerUnit = layer.dot ? units[*layer.precision].inputs / layer.perWord : 1;
    if (auto pattern = dyn_cast<graph::PatternEncodingAttr>(encoding);
        pattern && !pattern.getGathered() && wordsPerUnit == 1)
      patterns = module.lookupSymbol<graph::PatternSetOp>(pattern.getSet()).getPatterns().vec();
    if (layer.dot == kernel::Dot::Smmla)
      completePairs(patterns);
    for (StreamShape shape : candidateShapes(encoding, base, module)) {
      // What a level adds to gathered blocks has no block structure of its own.
      if (shape.gathered && !result.streams.empty()) {
        shape.gathered = false;
        shape.columns = 1;
      }
      // At most 64 positions and what buffers are padded to, so that the last block
      // reads nothing behind them; wider blocks are cut, their patterns found anew.
      shape.columns = std::min({shape.columns * wordsPerUnit, 64 / shape.rows, kernel::kFeatureMultiple});
      std::vector<int64_t> ownRanges = withBalanced(ranges, weights, shape, layer.dot, wordsPerUnit);
      bool usesStack = true; // All loops of this shape so far.
      for (int64_t pass : candidatePasses(op, device, shape.rows, *choice)) {
        if (!usesStack)
          break;
        shape.pass = pass;
        for (int64_t range : ownRanges) {
          shape.range = range;
          packForLoops(weights, shape, patterns, device, [&](PackedStream stream) {
            possible.push_back(describe(stream.shape));
            if (!isAsked(*choice, stream))
              return;
            // Where single tokens do not care, prompts decide.
            std::tuple own(hasTiles(op) && cost.usesStack(stream.shape, stream.patterns),
                           cost.linear(stream, layer.inputs, tokenCount(op)),
                           cost.linear(stream, layer.inputs, device.tileVectors * device.lanes));
            usesStack &= std::get<0>(own);
            if (!best || own < bestCost) {
              best = std::move(stream);
              bestCost = own;
            }
          });
        }
      }
    }
    if (!best) {
      llvm::sort(possible);
      possible.erase(llvm::unique(possible), possible.end());
      InFlightDiagnostic error = op.emitError() << "layer \"" << op.getLayer() << "\" has no kernel of \""
                                                << op->getAttrOfType<StringAttr>(graph::kKernelAttr).getValue() << "\"";
      error.attachNote() << "it has " << llvm::join(possible, ", or ");
      return error;
    }
    result.streams.push_back(std::move(*best));
  }
  if (result.streams.empty()) {
    stored.assign(layer.values.size(), 1);
    if (auto zeros = op->getAttrOfType<ElementsAttr>(graph::kZerosAttr))
      stored = graph::byteElements(zeros);
    layer.select(stored, words, wordMask);
    FailureOr<int64_t> rows = denseRows(op, device, cost, base.valueSize);
    if (failed(rows))
      return failure();
    base.rows = base.pass = *rows;
    result.streams.push_back(packDense({layer.inputs, layer.outputs, words, wordMask}, base));
  }
  result.offsets = layer.offsets(stored);
  result.keptCount = std::accumulate(stored.begin(), stored.end(), int64_t(0));
  return result;
}
