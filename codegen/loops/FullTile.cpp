// SPDX-License-Identifier: Apache-2.0
//
// Tile kernels of panels whose vectors are full of tokens, or at least half full.

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

  // `count` weights at `pointer`, each in all lanes. NEON multiplies by a lane
  // of a register, so four weights are loaded at once there (reading up to 12
  // bytes past the last: streams are padded); x86 broadcasts from memory. Four f16 are
  // converted at once everywhere.
  SmallVector<Value> loadWeights(Value pointer, int64_t count) {
    SmallVector<Value> weights;
    if (tile.getIsa() == "neon" || stream.getValueSize() == 2) {
      Value four;
      for (int64_t i = 0; i < count; ++i) {
        if (i % 4 == 0)
          four = loadWords(b, stream, VectorType::get(4, element), b.offset(pointer, stream.getValueSize() * i));
        weights.push_back(b.splat(words, vector::ExtractOp::create(b, four, i % 4)));
      }
      return weights;
    }
    for (int64_t i = 0; i < count; ++i)
      weights.push_back(b.splat(words, b.load(element, b.offset(pointer, 4 * i))));
    return weights;
  }

  // Adds the products of one input with its weights for `rows`, one after the other.
  void multiplyInput(MutableArrayRef<Value> sums, ArrayRef<int64_t> rows, Value x, Value weights) {
    int64_t inputVectors = isPaired ? 2 * vectors : vectors;
    SmallVector<Value> inputs, factors;
    for (int64_t v = 0; v < inputVectors; ++v)
      inputs.push_back(b.load(words, b.offset(x, v * vectorSize)));
    if (!isPaired)
      factors = loadWeights(weights, rows.size());
    for (size_t i = 0; i < rows.size(); i += isPaired ? 2 : 1) {
      Value factor = isPaired ? b.load(words, b.offset(weights, stream.getValueSize() * i)) : factors[i];
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
        multiplyInput(MutableArrayRef(next).drop_front(2), allRows, b.offset(values[0], i * wordRowSize),
                      b.offset(values[1], i * size * rows));
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
    for (auto [p, pattern] : llvm::enumerate(stream.getPatterns().asArrayRef())) {
      SmallVector<KeptColumn> columns = keptColumns(stream, pattern, firstRow);
      if (columns.empty()) {
        indices = b.offset(indices, b.mul(header.counts[p], 2 * entries));
        continue;
      }
      int64_t stored = 0;
      for (auto &[column, rows] : columns)
        stored += rows.size();
      SmallVector<Value> carried{indices, values};
      carried.append(sums.begin(), sums.end());
      carried = loopOverBlocks(header.counts[p], carried, [&](Value, ValueRange state) {
        SmallVector<Value> next(state);
        // Short blocks ask for each line several times, which on NEON costs more than it gives.
        if (tile.getIsa() != "neon" || size * stored >= kLineSize / 2)
          for (int64_t line = 0; line < size * stored; line += kLineSize)
            b.prefetch(b.offset(state[1], line + kPrefetchDistance));
        int64_t used = 0;
        Value base;
        for (auto &[column, rows] : columns) {
          if (stream.getGathered() || !base) {
            Value index = b.loadU16(b.offset(state[0], stream.getGathered() ? 2 * column : 0));
            base = b.offset(x, b.mul(index, vectorSize));
          }
          multiplyInput(MutableArrayRef(next).drop_front(2), rows,
                        stream.getGathered() ? base : b.offset(base, column * wordRowSize),
                        b.offset(state[1], size * used));
          used += rows.size();
        }
        next[0] = b.offset(state[0], 2 * entries);
        next[1] = b.offset(state[1], size * used);
        return next;
      });
      indices = carried[0];
      values = carried[1];
      sums.assign(carried.begin() + 2, carried.end());
    }
    storeSums(g, firstRow, sums);
    return values;
  }

  // A pattern has few blocks in a segment, and the end of each loop is a branch that is
  // not foreseen: unrolled, it would be two, the second of what is left.
  SmallVector<Value> loopOverBlocks(Value count, ValueRange carried, LoopBuilder::LoopBody body) {
    return tile.getIsa() == "neon" ? b.loop(b.integer(0), count, 1, carried, body) : b.rolledLoop(count, carried, body);
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
