// SPDX-License-Identifier: Apache-2.0
//
// Tile kernels whose vectors hold tokens of one output; the others are in HalfTile.cpp.

#include "codegen/loops/TileKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
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
      return Sums(rows * vectors, zero());
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

  Value zero() { return arith::ConstantOp::create(b, b.getZeroAttr(isHalf ? words : sumVector)); }

  Value add(Value x, Value y) {
    if (isInt8)
      return arith::AddIOp::create(b, x, y);
    if (!isHalf)
      return arith::AddFOp::create(b, x, y);
    auto halves = VectorType::get(2 * tile.getLanes(), b.getF16Type());
    auto cast = [&](Value value) { return vector::BitCastOp::create(b, halves, value); };
    return vector::BitCastOp::create(b, words, arith::AddFOp::create(b, cast(x), cast(y)));
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

  // `count` vectors that follow each other, by one instruction.
  SmallVector<Value> loadNeighbours(Value pointer, int64_t count) {
    if (count == 1)
      return {b.load(words, pointer)};
    auto type = LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(count, words));
    Value all = LLVM::CallIntrinsicOp::create(
                    b, type, b.getStringAttr("llvm.aarch64.neon.ld1x" + std::to_string(count)), ValueRange{pointer})
                    .getResult(0);
    SmallVector<Value> result;
    for (int64_t v = 0; v < count; ++v)
      result.push_back(LLVM::ExtractValueOp::create(b, all, v));
    return result;
  }

  // Adds the products of one input with its weights for `rows`, one after the other.
  void multiplyInput(MutableArrayRef<Value> sums, ArrayRef<int64_t> rows, Value x, BlockWeights &weights) {
    int64_t inputVectors = isPaired ? 2 * vectors : vectors;
    SmallVector<Value> inputs;
    // Loads of several vectors know no offset: they pay where each input has an address of its own.
    bool isIndexed = !stream.getPatterns().empty() && (stream.getGathered() || stream.getColumns() == 1);
    int64_t most = isIndexed ? tile.getLoadVectors() : 1;
    while (int64_t(inputs.size()) < inputVectors)
      inputs.append(loadNeighbours(b.offset(x, inputs.size() * vectorSize),
                                   std::min(most, inputVectors - int64_t(inputs.size()))));
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
      SmallVector<size_t> used; // Which sums blocks add to.
      for (auto &[column, rows] : columns) {
        stored += rows.size();
        for (int64_t row : rows)
          for (int64_t v = 0; v < vectors; ++v)
            if (!llvm::is_contained(used, row * vectors + v))
              used.push_back(row * vectors + v);
      }
      int64_t unroll = stream.getUnroll();
      bool hasRest = unroll > 1 && !stream.getFilled();
      int64_t sets = hasRest ? 1 : kernel::sumSets(used.size(), unroll, tile.getInFlight());
      // Carried: indices, values, then sums, those of each set.
      auto step = [&](ValueRange state, int64_t times) {
        SmallVector<Value> next(state);
        int64_t bytes = size * stored;
        // Short blocks ask for each line several times, which on NEON costs more than it gives.
        if (tile.getIsa() != "neon" || bytes * times >= kLineSize / 2)
          for (int64_t line = 0; line < bytes * times; line += kLineSize)
            b.prefetch(b.offset(state[1], line + kPrefetchDistance));
        for (int64_t i = 0; i < times; ++i) {
          BlockWeights own{b.offset(state[1], bytes * i)};
          auto set = MutableArrayRef(next).slice(2 + i % sets * sums.size(), sums.size());
          Value base;
          for (auto &[column, rows] : columns) {
            if (stream.getGathered() || !base) {
              int64_t entry = entries * i + (stream.getGathered() ? column : 0);
              base = b.offset(x, b.mul(b.loadU16(b.offset(state[0], 2 * entry)), vectorSize));
            }
            multiplyInput(set, rows, stream.getGathered() ? base : b.offset(base, column * wordRowSize), own);
          }
        }
        next[0] = b.offset(state[0], 2 * entries * times);
        next[1] = b.offset(state[1], bytes * times);
        return next;
      };
      SmallVector<Value> carried{indices, values};
      carried.append(sums.begin(), sums.end());
      carried.append((sets - 1) * sums.size(), zero());
      // Trips are counted, not blocks: down to 0, which takes no comparison.
      carried = b.rolledLoop(b.integer(0), b.divide(header.counts[p], unroll), 1, carried,
                             [&](Value, ValueRange state) { return step(state, unroll); });
      if (hasRest)
        carried = b.rolledLoop(b.integer(0), b.remainder(header.counts[p], unroll), 1, carried,
                               [&](Value, ValueRange state) { return step(state, 1); });
      indices = carried[0];
      values = carried[1];
      for (size_t i : used) {
        sums[i] = carried[2 + i];
        for (int64_t set = 1; set < sets; ++set)
          sums[i] = add(sums[i], carried[2 + set * sums.size() + i]);
      }
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
