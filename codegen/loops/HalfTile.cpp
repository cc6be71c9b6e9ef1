// SPDX-License-Identifier: Apache-2.0
//
// Tile kernels of panels with tokens for half a vector at most (kernel::halfTileTokens). A vector of products holds two
// outputs: the tokens of one in the lower half and of the other in the upper one. They
// read the same streams as full tiles: two weights that lie side by side.

#include "codegen/loops/TileKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::rt3;

// Products on one sum would wait for each other: so many vectors of sums side by side.
static constexpr int64_t kChains = 8;
// How far ahead weights are asked for, in bytes: few tokens are done with them before
// they have come from memory.
static constexpr int64_t kPrefetchDistance = 8192;

namespace {

class HalfTileKernel : public TileKernel {
public:
  HalfTileKernel(LoopBuilder &b, kernel::TileAttr tile, kernel::StreamAttr stream, std::optional<kernel::Dot> dot)
      : TileKernel(b, tile, stream, dot, 1, tile.getLanes() / 2), half(tile.getLanes() / 2),
        sums(VectorType::get(tile.getLanes(), sumElement)) {}

private:
  using Pair = std::pair<int64_t, int64_t>; // Rows; equal where there is no second one.

  static SmallVector<Pair> pairsOf(ArrayRef<int64_t> rows) {
    SmallVector<Pair> pairs;
    for (size_t i = 0; i < rows.size(); i += 2)
      pairs.emplace_back(rows[i], rows[i + 1 < rows.size() ? i + 1 : i]);
    return pairs;
  }

  Value zero() { return arith::ConstantOp::create(b, b.getZeroAttr(sums)); }
  Value add(Value x, Value y) {
    return isInt8 ? Value(arith::AddIOp::create(b, x, y)) : Value(arith::AddFOp::create(b, x, y));
  }

  // The vector of `half` lanes at `first` of a whole one.
  Value halfOf(Value whole, int64_t first) {
    return vector::ShuffleOp::create(b, whole, whole, llvm::to_vector(llvm::seq<int64_t>(first, first + half)));
  }

  // Adds `count` weights at `weights` times the tokens at `x`, two at a time, to what
  // `sumOf` names for each two.
  void multiplyInput(int64_t count, Value x, Value weights, llvm::function_ref<Value &(int64_t)> sumOf) {
    Value tokens = b.load(VectorType::get(half, element), x);
    SmallVector<int64_t> twice;
    for (int64_t lane = 0; lane < 2 * half; ++lane)
      twice.push_back(lane % half);
    tokens = vector::ShuffleOp::create(b, tokens, tokens, twice);
    // Up to 12 bytes behind the last weight: streams are padded.
    int64_t loaded = count <= 4 ? 4 : 8;
    Value own = loadWords(b, stream, VectorType::get(loaded, element), weights);
    for (int64_t i = 0; i < count; i += 2) {
      SmallVector<int64_t> places(half, i);
      places.append(half, std::min(i + 1, count - 1));
      Value factor = vector::ShuffleOp::create(b, own, own, places);
      Value &sum = sumOf(i / 2);
      sum = buildMultiply(b, dot, factor, tokens, sum);
    }
  }

  // Adds the sums of `pairs`, one or more of each, to those of their rows.
  void addPairs(Sums &results, ArrayRef<Pair> pairs, ValueRange pairSums) {
    for (auto [i, pair] : llvm::enumerate(pairs)) {
      Value sum = pairSums[i];
      for (size_t other = i + pairs.size(); other < pairSums.size(); other += pairs.size())
        sum = add(sum, pairSums[other]);
      results[pair.first] = add(results[pair.first], halfOf(sum, 0));
      if (pair.second != pair.first)
        results[pair.second] = add(results[pair.second], halfOf(sum, half));
    }
  }

  Value buildDenseSegment(const Group &g, Value x, Value count, Value weights) override {
    int64_t rows = stream.getRows(), size = stream.getValueSize();
    SmallVector<int64_t> allRows = llvm::to_vector(llvm::seq<int64_t>(0, rows));
    SmallVector<Pair> pairs = pairsOf(allRows);
    int64_t turns = llvm::divideCeil(kChains, pairs.size());
    // Carried: x, weights, then the sums of each turn.
    auto step = [&](ValueRange values, int64_t times) {
      SmallVector<Value> next(values);
      for (int64_t i = 0; i < times; ++i) {
        if (i * size * rows % kLineSize == 0)
          b.prefetch(b.offset(values[1], i * size * rows + kPrefetchDistance));
        multiplyInput(rows, b.offset(values[0], i * wordRowSize), b.offset(values[1], i * size * rows),
                      [&](int64_t pair) -> Value & { return next[2 + i % turns * pairs.size() + pair]; });
      }
      next[0] = b.offset(values[0], times * wordRowSize);
      next[1] = b.offset(values[1], times * size * rows);
      return next;
    };
    SmallVector<Value> carried{x, weights};
    carried.append(turns * pairs.size(), zero());
    int64_t unroll = std::max(turns, kLineSize / (size * rows));
    Value whole = b.mul(b.divide(count, unroll), unroll);
    carried =
        b.loop(b.integer(0), whole, unroll, carried, [&](Value, ValueRange values) { return step(values, unroll); });
    carried = b.loop(whole, count, 1, carried, [&](Value, ValueRange values) { return step(values, 1); });
    Sums results = loadResults(g, 0, rows);
    addPairs(results, pairs, ArrayRef(carried).drop_front(2));
    storeResults(g, 0, results);
    return carried[1];
  }

  Value buildPass(const Group &g, int64_t firstRow, Value x, const SegmentHeader &header, Value values) override {
    Sums results = loadResults(g, firstRow, stream.getPass());
    int64_t entries = header.entries, size = stream.getValueSize();
    Value indices = header.indices;
    for (auto [p, pattern] : llvm::enumerate(stream.getPatterns().asArrayRef())) {
      SmallVector<KeptColumn> columns = keptColumns(stream, pattern, firstRow);
      if (columns.empty()) {
        indices = b.offset(indices, b.mul(header.counts[p], 2 * entries));
        continue;
      }
      // Columns that keep the same two rows share a sum.
      SmallVector<Pair> pairs;
      int64_t stored = 0;
      for (const KeptColumn &column : columns) {
        for (Pair pair : pairsOf(column.rows))
          if (!llvm::is_contained(pairs, pair))
            pairs.push_back(pair);
        stored += column.rows.size();
      }
      // Blocks take turns, so that none waits for the one before.
      int64_t turns = llvm::divideCeil(kChains, int64_t(pairs.size()));
      SmallVector<Value> carried{indices, values};
      carried.append(turns * pairs.size(), zero());
      carried = b.loop(b.integer(0), header.counts[p], 1, carried, [&](Value, ValueRange state) {
        SmallVector<Value> own(state.slice(2, pairs.size()));
        for (int64_t line = 0; line < size * stored; line += kLineSize)
          b.prefetch(b.offset(state[1], line + kPrefetchDistance));
        int64_t used = 0;
        Value base;
        for (const KeptColumn &column : columns) {
          if (stream.getGathered() || !base) {
            Value index = b.loadU16(b.offset(state[0], stream.getGathered() ? 2 * column.column : 0));
            base = b.offset(x, b.mul(index, vectorSize));
          }
          SmallVector<Pair> columnPairs = pairsOf(column.rows);
          multiplyInput(column.rows.size(), stream.getGathered() ? base : b.offset(base, column.column * wordRowSize),
                        b.offset(state[1], size * used),
                        [&](int64_t i) -> Value & { return own[llvm::find(pairs, columnPairs[i]) - pairs.begin()]; });
          used += column.rows.size();
        }
        SmallVector<Value> next{b.offset(state[0], 2 * entries), b.offset(state[1], size * used)};
        llvm::append_range(next, state.drop_front(2 + pairs.size()));
        next.append(own);
        return next;
      });
      indices = carried[0];
      values = carried[1];
      addPairs(results, pairs, ArrayRef(carried).drop_front(2));
    }
    storeResults(g, firstRow, results);
    return values;
  }

  int64_t half;    // Lanes.
  VectorType sums; // Of two outputs.
};

} // namespace

func::FuncOp mlir::rt3::getHalfTileKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                                          std::optional<kernel::Dot> dot) {
  return getStreamKernel(
      site, tile, stream, dot, "half" + std::to_string(tile.getLanes() / 2),
      [&](LoopBuilder &b, const TileArguments &arguments) { HalfTileKernel(b, tile, stream, dot).build(arguments); });
}
