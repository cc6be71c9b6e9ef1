// SPDX-License-Identifier: Apache-2.0

#include "codegen/packing/LayerStreams.h"

#include "codegen/cost/CostModel.h"
#include "dialects/graph/Quantize.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/bit.h"

#include <numeric>

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

// Rows of a pass: what the tile holds, and divides the group.
static int64_t passOf(const Device &device, int64_t rows) {
  int64_t pass = std::min(rows, device.tileRows);
  while (rows % pass != 0)
    --pass;
  return pass;
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

PackedLayer mlir::rt3::packLayer(graph::LinearOp op, ArrayAttr encodings, const Device &device) {
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
    std::pair<double, double> bestCycles;
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
      shape.pass = passOf(device, shape.rows);
      for (int64_t range : ranges) {
        shape.range = range;
        packForLoops(weights, shape, patterns, device, [&](PackedStream stream) {
          Device own = costDevice(device, layer.dot);
          // Where single tokens do not care, prompts decide.
          std::pair cycles(predictLinearCycles(own, stream, layer.inputs, tokenCount(op)),
                           predictLinearCycles(own, stream, layer.inputs, device.tileVectors * device.lanes));
          if (!best || cycles < bestCycles) {
            best = std::move(stream);
            bestCycles = cycles;
          }
        });
      }
    }
    result.streams.push_back(std::move(*best));
  }
  if (result.streams.empty()) {
    stored.assign(layer.values.size(), 1);
    if (auto zeros = op->getAttrOfType<ElementsAttr>(graph::kZerosAttr))
      stored = graph::byteElements(zeros);
    layer.select(stored, words, wordMask);
    base.rows = base.pass = device.tileRows;
    result.streams.push_back(packDense({layer.inputs, layer.outputs, words, wordMask}, base));
  }
  result.offsets = layer.offsets(stored);
  result.keptCount = std::accumulate(stored.begin(), stored.end(), int64_t(0));
  return result;
}
