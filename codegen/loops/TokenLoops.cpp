// SPDX-License-Identifier: Apache-2.0
//
// Kernels of a single token, in which vectors hold outputs or keys instead of
// tokens. They read the same streams of weights as the tile kernels: the values of a
// block are neighbours there, so a vector of them is multiplied by one input.

#include "codegen/loops/LinearLoops.h"
#include "codegen/loops/Loops.h"
#include "codegen/loops/VectorMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;
using namespace mlir::rt3;

// Products on one sum would wait for each other: so many sums side by side.
static constexpr int64_t kChains = 4;
// Bytes of a cache line, and how far ahead weights are asked for.
static constexpr int64_t kLineSize = 64, kPrefetchDistance = 8192;

namespace {

// Builds the kernel of one stream; arguments are those of the tile kernel.
class TokenKernel {
public:
  // `width`: floats from one input to the next.
  TokenKernel(LoopBuilder &b, kernel::TileAttr tile, kernel::StreamAttr stream, std::optional<kernel::Dot> dot,
              int64_t width)
      : b(b), stream(stream), dot(dot), isInt8(dot && kernel::isInt8(*dot)), isCompact(width == 1),
        wordVectors(kernel::vectorsPerWord(tile, dot)),
        isStreamed(tile.getIsa() != "neon" && stream.getPatterns().size() == 1),
        streamPrefetch(tile.getStreamPrefetch()), sumsPerRow(dot == kernel::Dot::Smmla ? 2 : 1),
        element(isInt8 ? Type(b.getI32Type()) : Type(b.getF32Type())),
        inputSize((dot ? kernel::wordSize(*dot) : 4) * width) {}

  void build(const TileArguments &a) {
    Value ranges = b.divide(b.add(a.inputs, stream.getRange() - 1), stream.getRange());
    Value tokenScale;
    if (isInt8)
      tokenScale = b.load(b.getF32Type(), b.offset(a.x, b.mul(a.inputs, inputSize)));
    b.loop(b.integer(0), ranges, 1, {a.weights}, [&](Value r, ValueRange carried) {
      Value begin = b.mul(r, stream.getRange());
      Value count = b.min(b.integer(stream.getRange()), b.sub(a.inputs, begin));
      Value source = b.offset(a.x, b.mul(begin, inputSize));
      Group g;
      g.isStart = arith::AndIOp::create(b, a.isFirst, b.isEqual(r, b.integer(0)));
      if (isInt8)
        g.isEnd = arith::AndIOp::create(b, a.isLast, b.isEqual(r, b.sub(ranges, b.integer(1))));
      g.tokenScale = tokenScale;
      return b.loop(b.integer(0), a.groups, 1, {a.weightsOf(b, r, carried[0])}, [&](Value group, ValueRange next) {
        Value place = b.mul(group, 4 * stream.getRows());
        g.y = b.offset(a.y, place);
        g.start = b.offset(a.start, place);
        if (isInt8) {
          g.scales = b.offset(a.scales, place);
          g.bias = b.offset(a.bias, place);
        }
        bool isDense = stream.getPatterns().asArrayRef().empty();
        return SmallVector<Value>{isDense ? buildDenseSegment(g, source, count, next[0])
                                          : buildSparseSegment(g, source, next[0])};
      });
    });
  }

private:
  struct Group {
    Value y, start, isStart;
    Value isEnd, scales, bias, tokenScale; // Of int8.
  };

  VectorType vectorOf(int64_t size, Type type) { return VectorType::get(size, type); }

  Value loadSums(const Group &g, int64_t firstRow, int64_t rows) {
    Value pointer = arith::SelectOp::create(b, g.isStart, g.start, g.y);
    return b.load(vectorOf(rows, element), b.offset(pointer, 4 * firstRow));
  }

  void storeSums(const Group &g, int64_t firstRow, int64_t rows, Value sums) {
    Value target = b.offset(g.y, 4 * firstRow);
    if (!isInt8)
      return b.store(sums, target);
    b.when(g.isEnd, [&] {
      auto floats = vectorOf(rows, b.getF32Type());
      Value scale = b.load(floats, b.offset(g.scales, 4 * firstRow));
      Value bias = b.load(floats, b.offset(g.bias, 4 * firstRow));
      scale = arith::MulFOp::create(b, scale, b.splat(floats, g.tokenScale));
      b.store(b.fma(arith::SIToFPOp::create(b, floats, sums), scale, bias), target);
    });
    Value isNotEnd = arith::XOrIOp::create(b, g.isEnd, arith::ConstantIntOp::create(b, b.getI1Type(), 1));
    b.when(isNotEnd, [&] { b.store(sums, target); });
  }

  Value zero(VectorType type) { return arith::ConstantOp::create(b, b.getZeroAttr(type)); }
  Value add(Value x, Value y) {
    return isInt8 ? Value(arith::AddIOp::create(b, x, y)) : Value(arith::AddFOp::create(b, x, y));
  }

  // Sums of `rows` rows that products are added to: words of 8 int8 make two each.
  VectorType sumsOf(int64_t rows) { return vectorOf(rows * sumsPerRow, element); }
  // One sum for each row of those.
  Value foldSums(Value sums) {
    if (sumsPerRow == 1)
      return sums;
    SmallVector<int64_t> even, odd;
    for (int64_t lane = 0; lane < cast<VectorType>(sums.getType()).getDimSize(0); lane += 2) {
      even.push_back(lane);
      odd.push_back(lane + 1);
    }
    return add(vector::ShuffleOp::create(b, sums, sums, even), vector::ShuffleOp::create(b, sums, sums, odd));
  }

  // sum + the weights at `pointer` times the input at `x`.
  Value multiply(Value pointer, Value x, Value sum) {
    auto type = cast<VectorType>(sum.getType());
    int64_t lanes = type.getDimSize(0);
    if (!dot)
      return b.fma(loadWords(b, stream, type, pointer), b.splat(type, b.load(element, x)), sum);
    auto words = vectorOf(lanes, b.getI32Type());
    Value weights = b.load(words, pointer);
    if (dot == kernel::Dot::Smmla) { // Without a second token, as two sdot.
      Value input = b.splat(vectorOf(lanes / 2, b.getI64Type()), b.load(b.getI64Type(), x));
      return buildMultiply(b, kernel::Dot::Sdot, weights, vector::BitCastOp::create(b, words, input), sum);
    }
    Value input = b.splat(words, b.load(b.getI32Type(), x));
    if (dot != kernel::Dot::FmlaF16)
      return buildMultiply(b, dot, weights, input, sum);
    // Loads of weights take longer than products: sums are in f32.
    auto [evenWeight, oddWeight] = splitHalves(b, weights);
    auto [evenInput, oddInput] = splitHalves(b, input);
    return b.fma(oddWeight, oddInput, b.fma(evenWeight, evenInput, sum));
  }

  // Asks for the `bytes` that lie `distance` behind `pointer`.
  void prefetch(Value pointer, int64_t bytes, int64_t distance) {
    for (int64_t line = 0; line < bytes; line += kLineSize)
      b.prefetch(b.offset(pointer, line + distance));
  }

  Value buildDenseSegment(const Group &g, Value x, Value count, Value weights) {
    int64_t rows = stream.getRows(), size = stream.getValueSize();
    // Carried: x, weights, sums.
    auto step = [&](ValueRange values, int64_t times) {
      SmallVector<Value> next(values);
      if (streamPrefetch > 0)
        prefetch(values[1], size * rows * times, streamPrefetch);
      for (int64_t i = 0; i < times; ++i)
        next[2 + i] = multiply(b.offset(values[1], size * rows * i), b.offset(values[0], inputSize * i), values[2 + i]);
      next[0] = b.offset(values[0], inputSize * times);
      next[1] = b.offset(values[1], size * rows * times);
      return next;
    };
    SmallVector<Value> carried{x, weights};
    carried.append(kChains, zero(sumsOf(rows)));
    Value whole = b.mul(b.divide(count, kChains), kChains);
    carried =
        b.loop(b.integer(0), whole, kChains, carried, [&](Value, ValueRange values) { return step(values, kChains); });
    carried = b.loop(whole, count, 1, carried, [&](Value, ValueRange values) { return step(values, 1); });
    Value sums = carried[2];
    for (Value other : ArrayRef(carried).drop_front(3))
      sums = add(sums, other);
    storeSums(g, 0, rows, add(loadSums(g, 0, rows), foldSums(sums)));
    return carried[1];
  }

  Value buildSparseSegment(const Group &g, Value x, Value weights) {
    SegmentHeader header(b, stream, weights);
    Value values = header.values;
    if (isStreamed) {
      Value size = b.mul(header.counts[0], 2 * header.entries);
      b.loop(b.integer(0), size, kLineSize, [&](Value at) { b.prefetch(b.offset(header.indices, at)); });
    }
    for (int64_t row = 0; row < stream.getRows(); row += stream.getPass())
      values = buildPass(g, row, x, header, values);
    return values;
  }

  Value buildPass(const Group &g, int64_t firstRow, Value x, const SegmentHeader &header, Value values) {
    int64_t pass = stream.getPass(), entries = header.entries, size = stream.getValueSize();
    Value sums = loadSums(g, firstRow, pass), indices = header.indices;
    for (auto [p, pattern] : llvm::enumerate(stream.getPatterns().asArrayRef())) {
      SmallVector<KeptColumn> columns = keptColumns(stream, pattern, firstRow);
      if (columns.empty()) {
        indices = b.offset(indices, b.mul(header.counts[p], 2 * entries));
        continue;
      }
      int64_t stored = 0, turns = llvm::divideCeil(kChains, int64_t(columns.size()));
      for (const KeptColumn &column : columns)
        stored += column.rows.size();
      // Sums of the kept rows alone, without gaps: [turn][column]. Lanes behind them
      // add up what lies behind the values, and are dropped. Blocks take turns, so that
      // none waits for the one before; a loop of several blocks would end in another,
      // and each end is a branch that is not foreseen.
      SmallVector<Value> carried{indices, values};
      for (int64_t t = 0; t < turns; ++t)
        for (const KeptColumn &column : columns)
          carried.push_back(zero(sumsOf(column.rows.size() <= 4 ? 4 : 8)));
      carried = b.loop(b.integer(0), header.counts[p], 1, carried, [&](Value, ValueRange state) {
        SmallVector<Value> next{b.offset(state[0], 2 * entries), b.offset(state[1], size * stored)};
        llvm::append_range(next, state.drop_front(2 + columns.size()));
        // Mispredicted ends of loops hold up the loads behind them, not these.
        if (int64_t distance = isStreamed ? streamPrefetch : kPrefetchDistance; distance > 0)
          prefetch(state[1], size * stored, distance);
        Value source;
        int64_t used = 0;
        for (auto [c, column] : llvm::enumerate(columns)) {
          if (stream.getGathered() || c == 0) {
            Value index = b.loadU16(b.offset(state[0], stream.getGathered() ? 2 * column.column : 0));
            source = b.offset(x, isCompact ? b.mul(b.divide(index, wordVectors), inputSize) : b.mul(index, 4));
          }
          Value input = stream.getGathered() ? source : b.offset(source, column.column * inputSize);
          next.push_back(multiply(b.offset(state[1], size * used), input, state[2 + c]));
          used += column.rows.size();
        }
        return next;
      });
      indices = carried[0];
      values = carried[1];
      for (auto [c, column] : llvm::enumerate(columns)) {
        Value sum = carried[2 + c];
        for (int64_t t = 1; t < turns; ++t)
          sum = add(sum, carried[2 + t * columns.size() + c]);
        sums = add(sums, spread(foldSums(sum), column.rows, pass));
      }
    }
    storeSums(g, firstRow, pass, sums);
    return values;
  }

  // `sum`, whose lanes are `rows`, with a lane for each of `count` rows: 0 for others.
  Value spread(Value sum, ArrayRef<int64_t> rows, int64_t count) {
    int64_t size = cast<VectorType>(sum.getType()).getDimSize(0);
    SmallVector<int64_t> lanes(count, size);
    for (auto [lane, row] : llvm::enumerate(rows))
      lanes[row] = lane;
    return vector::ShuffleOp::create(b, sum, zero(cast<VectorType>(sum.getType())), lanes);
  }

  LoopBuilder &b;
  kernel::StreamAttr stream;
  std::optional<kernel::Dot> dot;
  bool isInt8;
  bool isCompact;      // Inputs are neighbours, not where indices point ...
  int64_t wordVectors; // ... which count so many for a word.
  // Long loops of a single pattern: where indices, some KB behind, are read in between, the processor loses its way
  // in the values; indices are asked for before. On Arm nothing was timed: as with short loops.
  bool isStreamed;
  // Values that such loops and dense ones ask for themselves, bytes ahead. AMD's Zen 4 has more loads from memory under
  // way by itself than can be asked for (30 instead of 14 GB/s): 0; on an Emerald Rapids they take 6 to 18 % less if
  // asked for.
  int64_t streamPrefetch;
  int64_t sumsPerRow;
  Type element;      // Of sums: f32 or i32.
  int64_t inputSize; // Bytes from one input to the next.
};

// One query against all keys in panels: lanes are keys.
class TokenAttention {
public:
  TokenAttention(LoopBuilder &b, kernel::AttentionOp op, const Panels &keys)
      : b(b), keys(keys), lanes(op.getTile().getLanes()), vectors(op.getTile().getVectors()),
        vector(VectorType::get(lanes, b.getF32Type())),
        headSize(cast<kernel::BufferType>(op.getType()).getTensor().getShape().back() / op.getHeads()),
        scale(op.getScale().convertToFloat()) {}

  // q and out: at the head; k and v: the first panel at the head's keys.
  void build(Value q, Value k, Value v, Value scores, Value out, Value count) {
    Value panels = b.divide(b.add(count, keys.width - 1), keys.width);
    Value largest = buildScores(q, k, scores, panels, count);
    auto [sum, poison] = buildExponentials(scores, panels, count, largest);
    Value inverse = arith::DivFOp::create(b, b.real(b.getF32Type(), 1), sum);
    inverse = arith::AddFOp::create(b, inverse, poison);
    b.loop(b.integer(0), b.integer(headSize), 1,
           [&](Value d) { buildContext(v, scores, out, panels, count, inverse, d); });
  }

private:
  Value at(Value base, int64_t v) { return b.offset(base, 4 * lanes * v); }

  // Which lanes of vector v of a panel hold one of `count` keys.
  Value isKey(Value panel, int64_t v, Value count) {
    SmallVector<int32_t> numbers;
    for (int64_t lane = 0; lane < lanes; ++lane)
      numbers.push_back(v * lanes + lane);
    auto integers = VectorType::get(lanes, b.getI32Type());
    Value own = arith::ConstantOp::create(b, DenseElementsAttr::get(integers, ArrayRef(numbers)));
    Value left = arith::TruncIOp::create(b, b.getI32Type(), b.sub(count, b.mul(panel, keys.width)));
    return arith::CmpIOp::create(b, arith::CmpIPredicate::slt, own, b.splat(integers, left));
  }

  // scores = scale q k, -infinity behind the last key; returns the largest.
  Value buildScores(Value q, Value k, Value scores, Value panels, Value count) {
    double infinity = std::numeric_limits<double>::infinity();
    Value lowest = b.real(vector, -std::numeric_limits<float>::max());
    SmallVector<Value> largest = b.loop(b.integer(0), panels, 1, {lowest}, [&](Value panel, ValueRange outer) {
      Value source = b.offset(k, b.mul(panel, keys.tileSize));
      SmallVector<Value> sums(vectors, b.real(vector, 0));
      sums = b.loop(b.integer(0), b.integer(headSize), 1, sums, [&](Value d, ValueRange carried) {
        Value query = b.splat(vector, b.load(b.getF32Type(), b.offset(q, b.mul(d, 4))));
        Value row = b.offset(source, b.mul(d, 4 * keys.width));
        SmallVector<Value> next;
        for (int64_t v = 0; v < vectors; ++v)
          next.push_back(b.fma(query, b.load(vector, at(row, v)), carried[v]));
        return next;
      });
      Value target = b.offset(scores, b.mul(panel, 4 * keys.width)), most = outer[0];
      for (int64_t v = 0; v < vectors; ++v) {
        Value score = arith::MulFOp::create(b, sums[v], b.real(vector, scale));
        score = arith::SelectOp::create(b, isKey(panel, v, count), score, b.real(vector, -infinity));
        b.store(score, at(target, v));
        most = arith::MaximumFOp::create(b, most, score); // NaN stays, as in panels.
      }
      return SmallVector<Value>{most};
    });
    return vector::ReductionOp::create(b, vector::CombiningKind::MAXIMUMF, largest[0]);
  }

  // scores = exp(scores - largest), 0 behind the last key; their sum, and 0 or NaN.
  std::pair<Value, Value> buildExponentials(Value scores, Value panels, Value count, Value largest) {
    Value most = b.splat(vector, largest);
    SmallVector<Value> sums =
        b.loop(b.integer(0), panels, 1, {b.real(vector, 0)}, [&](Value panel, ValueRange carried) {
          Value place = b.offset(scores, b.mul(panel, 4 * keys.width)), sum = carried[0];
          for (int64_t v = 0; v < vectors; ++v) {
            Value power =
                buildBoundedExp(b, arith::SubFOp::create(b, b.load(vector, at(place, v)), most), /*isNegative=*/true);
            power = arith::SelectOp::create(b, isKey(panel, v, count), power, b.real(vector, 0));
            b.store(power, at(place, v));
            sum = arith::AddFOp::create(b, sum, power);
          }
          return SmallVector<Value>{sum};
        });
    return {vector::ReductionOp::create(b, vector::CombiningKind::ADD, sums[0]),
            arith::SubFOp::create(b, largest, largest)};
  }

  // out[d] = sum of scores v[d]; there may be anything behind the last key.
  void buildContext(Value v, Value scores, Value out, Value panels, Value count, Value inverse, Value d) {
    Value row = b.offset(v, b.mul(d, 4 * keys.width));
    auto add = [&](Value panel, ValueRange carried, bool isLast) {
      Value place = b.offset(scores, b.mul(panel, 4 * keys.width));
      Value source = b.offset(row, b.mul(panel, keys.tileSize));
      SmallVector<Value> next;
      for (int64_t i = 0; i < vectors; ++i) {
        Value value = b.load(vector, at(source, i));
        if (isLast)
          value = arith::SelectOp::create(b, isKey(panel, i, count), value, b.real(vector, 0));
        next.push_back(b.fma(value, b.load(vector, at(place, i)), carried[i]));
      }
      return next;
    };
    SmallVector<Value> sums(vectors, b.real(vector, 0));
    Value last = b.sub(panels, b.integer(1));
    sums = b.loop(b.integer(0), last, 1, sums,
                  [&](Value panel, ValueRange carried) { return add(panel, carried, false); });
    sums = add(last, sums, true);
    Value sum = sums[0];
    for (Value other : ArrayRef(sums).drop_front())
      sum = arith::AddFOp::create(b, sum, other);
    Value total = vector::ReductionOp::create(b, vector::CombiningKind::ADD, sum);
    b.store(arith::MulFOp::create(b, total, inverse), b.offset(out, b.mul(d, 4)));
  }

  LoopBuilder &b;
  const Panels &keys;
  int64_t lanes, vectors;
  VectorType vector;
  int64_t headSize;
  double scale;
};

} // namespace

func::FuncOp mlir::rt3::getTokenKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                                       std::optional<kernel::Dot> dot, int64_t width) {
  return getStreamKernel(site, tile, stream, dot, "token" + std::to_string(width),
                         [&](LoopBuilder &b, const TileArguments &arguments) {
                           TokenKernel(b, tile, stream, dot, width).build(arguments);
                         });
}

void mlir::rt3::callTokenAttention(const CallSite &site, kernel::AttentionOp op) {
  LoopBuilder &caller = site.b;
  auto type = cast<kernel::BufferType>(op.getType()), keyType = cast<kernel::BufferType>(op.getK().getType());
  Panels keys(site, keyType);
  int64_t headSize = type.getTensor().getShape().back() / op.getHeads();
  int64_t perKeyHead = op.getHeads() * headSize / keyType.getTensor().getShape().back();
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  std::string description;
  llvm::raw_string_ostream(description) << type << keyType << op.getTile() << op.getHeads() << ","
                                        << op.getScale().convertToFloat();
  auto function =
      getOrBuildFunction(site.module, kernelName("attention_token_f32", description),
                         {pointer, pointer, pointer, pointer, pointer, integer}, [&](LoopBuilder &b, ValueRange args) {
                           b.loop(b.integer(0), b.integer(op.getHeads()), 1, [&](Value head) {
                             Value own = b.mul(head, 4 * headSize);
                             Value keyHead = b.mul(b.divide(head, perKeyHead), 4 * headSize * keys.width);
                             TokenAttention(b, op, keys)
                                 .build(b.offset(args[0], own), b.offset(args[1], keyHead), b.offset(args[2], keyHead),
                                        args[3], b.offset(args[4], own), args[5]);
                           });
                         });
  func::CallOp::create(caller, function,
                       ValueRange{site.pointerOf(op.getQ()), site.pointerOf(op.getK()), site.pointerOf(op.getV()),
                                  site.pointerOf(op.getScores()), site.pointerOf(op.getResult()),
                                  caller.add(site.position, 1)});
}
