// SPDX-License-Identifier: Apache-2.0
//
// Tile kernels whose vectors hold tokens of one output; the others are in HalfTile.cpp.

#include "codegen/loops/TileKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::rt3;

// How far ahead the weight stream is asked for, in bytes: a panel of one vector is done
// with as many in about a thousand cycles, which memory may take. Measured on Zen 5
// against 1024 to 4096: 768x768 at 32 tokens 186 -> 155 us, all schemes alike.
static constexpr int64_t kPrefetchDistance = 8192;
// Inputs per trip of a dense loop: a line of weights at four rows.
static constexpr int64_t kUnroll = 4;
// Blocks per trip where all have the same pattern, as block pruning's.
static constexpr int64_t kBlockUnroll = 4;

namespace {

class FullTileKernel : public TileKernel {
public:
  FullTileKernel(LoopBuilder &b, kernel::TileAttr tile, kernel::StreamAttr stream, std::optional<kernel::Dot> dot,
                 int64_t vectors)
      : TileKernel(b, tile, stream, dot, vectors, tile.getLanes()), isHalf(dot == kernel::Dot::FmlaF16),
        words(VectorType::get(tile.getLanes(), element)) {}

private:
  // What a segment adds its products to.
  Sums loadSums(const Group &g, int64_t firstRow, int64_t rows) {
    if (isHalf)
      return Sums(rows * vectors, arith::ConstantOp::create(b, b.getZeroAttr(words)));
    return loadResults(g, firstRow, rows);
  }

  void storeSums(const Group &g, int64_t firstRow, ArrayRef<Value> sums) {
    if (!isHalf)
      return storeResults(g, firstRow, sums);
    Sums results = loadResults(g, firstRow, sums.size() / vectors);
    for (auto [result, sum] : llvm::zip(results, sums)) {
      auto [even, odd] = splitHalves(b, sum);
      result = arith::AddFOp::create(b, result, arith::AddFOp::create(b, even, odd));
    }
    storeResults(g, firstRow, results);
  }

  // The weights of a block, one after the other, each in all lanes. NEON multiplies by a
  // lane of a register, so four weights are loaded at once there (reading up to 12
  // bytes past the last: streams are padded); x86 broadcasts from memory. Four f16 are
  // converted at once everywhere.
  struct BlockWeights {
    Value pointer;
    int64_t used = 0;
    Value four = {}; // Of which `used` is one, unless it is a multiple of four.
  };

  Value nextWeight(BlockWeights &weights) {
    int64_t i = weights.used++;
    Value place = b.offset(weights.pointer, stream.getValueSize() * i);
    if (tile.getIsa() != "neon" && stream.getValueSize() != 2)
      return b.splat(words, b.load(element, place));
    if (i % 4 == 0)
      weights.four = loadWords(b, stream, VectorType::get(4, element), place);
    return b.splat(words, vector::ExtractOp::create(b, weights.four, i % 4));
  }

  // The next weights of two outputs, as the stream has them.
  Value nextPair(BlockWeights &weights) {
    Value place = b.offset(weights.pointer, stream.getValueSize() * weights.used);
    weights.used += 2;
    return b.load(words, place);
  }

  // Adds the products of one input with its weights for `rows`, one after the other.
  void multiplyInput(MutableArrayRef<Value> sums, ArrayRef<int64_t> rows, Value x, BlockWeights &weights) {
    int64_t inputVectors = isPaired ? 2 * vectors : vectors;
    SmallVector<Value> inputs;
    for (int64_t v = 0; v < inputVectors; ++v)
      inputs.push_back(b.load(words, b.offset(x, v * vectorSize)));
    for (size_t i = 0; i < rows.size(); i += isPaired ? 2 : 1) {
      Value factor = isPaired ? nextPair(weights) : nextWeight(weights);
      for (int64_t v = 0; v < inputVectors; ++v) {
        Value &sum = sums[rows[i] * vectors + v];
        sum = buildMultiply(b, dot, factor, inputs[v], sum);
      }
    }
  }

  Value buildDenseSegment(const Group &g, Value x, Value count, Value weights) override {
    int64_t rows = stream.getRows(), size = stream.getValueSize();
    SmallVector<int64_t> allRows = llvm::to_vector(llvm::seq<int64_t>(0, rows));
    // Carried: x, weights, then the sums.
    auto step = [&](ValueRange values, int64_t times) {
      SmallVector<Value> next(values);
      for (int64_t i = 0; i < times; ++i) {
        if (i * size * rows % kLineSize == 0)
          b.prefetch(b.offset(values[1], i * size * rows + kPrefetchDistance));
        BlockWeights own{b.offset(values[1], i * size * rows)};
        multiplyInput(MutableArrayRef(next).drop_front(2), allRows, b.offset(values[0], i * wordRowSize), own);
      }
      next[0] = b.offset(values[0], times * wordRowSize);
      next[1] = b.offset(values[1], times * size * rows);
      return next;
    };
    SmallVector<Value> carried{x, weights};
    carried.append(loadSums(g, 0, rows));
    Value whole = b.mul(b.divide(count, kUnroll), kUnroll);
    carried =
        b.loop(b.integer(0), whole, kUnroll, carried, [&](Value, ValueRange values) { return step(values, kUnroll); });
    carried = b.loop(whole, count, 1, carried, [&](Value, ValueRange values) { return step(values, 1); });
    storeSums(g, 0, ArrayRef(carried).drop_front(2));
    return carried[1];
  }

  Value buildPass(const Group &g, int64_t firstRow, Value x, const SegmentHeader &header, Value values) override {
    Sums sums = loadSums(g, firstRow, stream.getPass());
    int64_t entries = header.entries, size = stream.getValueSize();
    Value indices = header.indices;
    ArrayRef<int64_t> patterns = stream.getPatterns().asArrayRef();
    for (auto [p, pattern] : llvm::enumerate(patterns)) {
      SmallVector<KeptColumn> columns = keptColumns(stream, pattern, firstRow);
      if (columns.empty()) {
        indices = b.offset(indices, b.mul(header.counts[p], 2 * entries));
        continue;
      }
      int64_t stored = 0;
      for (auto &[column, rows] : columns)
        stored += rows.size();
      auto step = [&](ValueRange state, int64_t times) {
        SmallVector<Value> next(state);
        int64_t bytes = size * stored;
        // Short blocks ask for each line several times, which on NEON costs more than it gives.
        if (tile.getIsa() != "neon" || bytes * times >= kLineSize / 2)
          for (int64_t line = 0; line < bytes * times; line += kLineSize)
            b.prefetch(b.offset(state[1], line + kPrefetchDistance));
        for (int64_t i = 0; i < times; ++i) {
          BlockWeights own{b.offset(state[1], bytes * i)};
          Value base;
          for (auto &[column, rows] : columns) {
            if (stream.getGathered() || !base) {
              int64_t entry = entries * i + (stream.getGathered() ? column : 0);
              base = b.offset(x, b.mul(b.loadU16(b.offset(state[0], 2 * entry)), vectorSize));
            }
            multiplyInput(MutableArrayRef(next).drop_front(2), rows,
                          stream.getGathered() ? base : b.offset(base, column * wordRowSize), own);
          }
        }
        next[0] = b.offset(state[0], 2 * entries * times);
        next[1] = b.offset(state[1], bytes * times);
        return next;
      };
      SmallVector<Value> carried{indices, values};
      carried.append(sums.begin(), sums.end());
      // A pattern of several has few blocks in a segment, and the end of each loop is a
      // branch that is not foreseen: unrolled, it would be two, the second of what is left.
      // A device whose loads a block waits for gains more than that by its unroll.
      int64_t times = patterns.size() == 1 ? kBlockUnroll : tile.getUnroll();
      Value whole = b.mul(b.divide(header.counts[p], times), times);
      carried = b.rolledLoop(b.integer(0), whole, times, carried,
                             [&](Value, ValueRange state) { return step(state, times); });
      if (times > 1)
        carried =
            b.rolledLoop(whole, header.counts[p], 1, carried, [&](Value, ValueRange state) { return step(state, 1); });
      indices = carried[0];
      values = carried[1];
      sums.assign(carried.begin() + 2, carried.end());
    }
    storeSums(g, firstRow, sums);
    return values;
  }

  bool isHalf; // Sums of f16, two side by side.
  VectorType words;
};

} // namespace

func::FuncOp mlir::rt3::getTileKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                                      std::optional<kernel::Dot> dot, int64_t vectors) {
  return getStreamKernel(site, tile, stream, dot, std::to_string(vectors * tile.getLanes()),
                         [&](LoopBuilder &b, const TileArguments &arguments) {
                           FullTileKernel(b, tile, stream, dot, vectors).build(arguments);
                         });
}
