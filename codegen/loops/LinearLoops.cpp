// SPDX-License-Identifier: Apache-2.0
//
// Kernels of linear layers. A tile kernel computes all outputs for one panel of tokens
// from one stream of packed weights; dense, block- and pattern-pruned layers
// differ in how a segment of the stream is read only.

#include "codegen/loops/LinearLoops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/bit.h"

using namespace mlir;
using namespace mlir::rt3;

// Bytes of a cache line, and how far ahead the weight stream is asked for: it
// comes from the second level of cache at best.
static constexpr int64_t kLineSize = 64, kPrefetchDistance = 1024;
// Inputs per trip of a dense loop: a line of weights at four rows.
static constexpr int64_t kUnroll = 4;

SegmentHeader::SegmentHeader(LoopBuilder &b, kernel::StreamAttr stream, Value segment)
    : entries(stream.getGathered() ? stream.getColumns() : 1) {
  size_t patternCount = stream.getPatterns().asArrayRef().size();
  Value total = b.integer(0);
  for (size_t p = 0; p < patternCount; ++p) {
    counts.push_back(b.loadU16(b.offset(segment, 2 * p)));
    total = b.add(total, counts.back());
  }
  indices = b.offset(segment, 2 * patternCount);
  // Counts and indices, rounded up to 4 bytes.
  Value size = b.add(b.mul(total, 2 * entries), 2 * patternCount + 3);
  values = b.offset(segment, b.mul(b.divide(size, 4), 4));
}

Value mlir::rt3::loadWords(LoopBuilder &b, kernel::StreamAttr stream, VectorType type, Value pointer) {
  if (stream.getValueSize() == 4)
    return b.load(type, pointer);
  auto halves = VectorType::get(type.getShape(), b.getF16Type());
  return arith::ExtFOp::create(b, type, b.load(halves, pointer));
}

SmallVector<KeptColumn> mlir::rt3::keptColumns(kernel::StreamAttr stream, int64_t pattern, int64_t firstRow) {
  SmallVector<KeptColumn> columns;
  for (int64_t column = 0; column < stream.getColumns(); ++column) {
    SmallVector<int64_t> rows;
    for (int64_t row = 0; row < stream.getPass(); ++row)
      if (uint64_t(pattern) >> (column * stream.getRows() + firstRow + row) & 1)
        rows.push_back(row);
    if (!rows.empty())
      columns.push_back({column, rows});
  }
  return columns;
}

namespace {

// Builds the tile kernel of one stream for panels with `vectors` vectors.
class TileKernel {
public:
  // Without `dot` everything is f32. With it, activations and weights are words; sums
  // are i32 if those are int8, until the last segment of the last stream.
  TileKernel(LoopBuilder &b, kernel::TileAttr tile, kernel::StreamAttr stream, std::optional<kernel::Dot> dot,
             int64_t vectors)
      : b(b), tile(tile), stream(stream), dot(dot), isInt8(dot && kernel::isInt8(*dot)),
        isPaired(dot == kernel::Dot::Smmla), isHalf(dot == kernel::Dot::FmlaF16), vectors(vectors),
        element(dot ? Type(b.getI32Type()) : Type(b.getF32Type())),
        sumElement(isInt8 ? Type(b.getI32Type()) : Type(b.getF32Type())),
        words(VectorType::get(tile.getLanes(), element)), sumVector(VectorType::get(tile.getLanes(), sumElement)),
        floats(VectorType::get(tile.getLanes(), b.getF32Type())), rowSize(4 * tile.getLanes() * tile.getVectors()),
        wordRowSize(4 * tile.getLanes() * kernel::vectorsPerWord(tile, dot)), vectorSize(4 * tile.getLanes()) {}

  void build(const TileArguments &a) {
    Value ranges = b.divide(b.add(a.inputs, stream.getRange() - 1), stream.getRange());
    SmallVector<Value> tokenScales;
    if (isInt8) // The feature behind the words.
      for (int64_t v = 0; v < vectors; ++v)
        tokenScales.push_back(b.load(floats, b.offset(b.offset(a.x, b.mul(a.inputs, wordRowSize)), v * vectorSize)));
    b.loop(b.integer(0), ranges, 1, {a.weights}, [&](Value r, ValueRange carried) {
      Value begin = b.mul(r, stream.getRange());
      Value count = b.min(b.integer(stream.getRange()), b.sub(a.inputs, begin));
      Value source = b.offset(a.x, b.mul(begin, wordRowSize));
      Value isStart = arith::AndIOp::create(b, a.isFirst, b.isEqual(r, b.integer(0)));
      Value isEnd = isInt8 ? arith::AndIOp::create(b, a.isLast, b.isEqual(r, b.sub(ranges, b.integer(1)))) : Value();
      return b.loop(b.integer(0), a.groups, 1, {a.weightsOf(b, r, carried[0])}, [&](Value group, ValueRange next) {
        Value row = b.mul(group, stream.getRows()), rowOffset = b.mul(row, 4);
        Group g{b.offset(a.y, b.mul(row, rowSize)), b.offset(a.start, rowOffset), isStart, isEnd, {}, {}, tokenScales};
        if (isInt8) {
          g.scales = b.offset(a.scales, rowOffset);
          g.bias = b.offset(a.bias, rowOffset);
        }
        return SmallVector<Value>{stream.getPatterns().asArrayRef().empty()
                                      ? buildDenseSegment(g, source, count, next[0])
                                      : buildSparseSegment(g, source, next[0])};
      });
    });
  }

private:
  // The outputs that one segment adds to.
  struct Group {
    Value y, start, isStart;
    Value isEnd, scales, bias;   // Of int8.
    ArrayRef<Value> tokenScales; // Of int8, per vector.
  };
  // [row][vector], or of pairs [row / 2][two tokens], which are
  // {row t0, row t1, row + 1 t0, row + 1 t1}.
  using Sums = SmallVector<Value>;

  // What the sums of a group are so far.
  Sums loadResults(const Group &g, int64_t firstRow, int64_t rows) {
    SmallVector<Type> types(rows * vectors, sumVector);
    return b.choose(
        g.isStart, types,
        [&] {
          Sums sums;
          for (int64_t row = firstRow; row < firstRow + rows; ++row) {
            Value start;
            if (isPaired) {
              Value two = b.load(VectorType::get(2, sumElement), b.offset(g.start, 4 * (row / 2 * 2)));
              start = vector::ShuffleOp::create(b, two, two, {0, 0, 1, 1});
            } else {
              start = b.splat(sumVector, b.load(sumElement, b.offset(g.start, 4 * row)));
            }
            sums.append(vectors, start);
          }
          return sums;
        },
        [&] {
          Sums sums;
          for (int64_t row = firstRow; row < firstRow + rows; ++row)
            for (int64_t v = 0; v < vectors; ++v)
              sums.push_back(b.load(sumVector, resultAt(g, row, v)));
          return sums;
        });
  }

  // What a segment adds its products to.
  Sums loadSums(const Group &g, int64_t firstRow, int64_t rows) {
    if (isHalf)
      return Sums(rows * vectors, arith::ConstantOp::create(b, b.getZeroAttr(words)));
    return loadResults(g, firstRow, rows);
  }

  void storeSums(const Group &g, int64_t firstRow, ArrayRef<Value> sums) {
    auto store = [&](ArrayRef<Value> values) {
      for (auto [i, value] : llvm::enumerate(values))
        b.store(value, resultAt(g, firstRow + i / vectors, i % vectors));
    };
    if (isHalf) {
      Sums results = loadResults(g, firstRow, sums.size() / vectors);
      for (auto [result, sum] : llvm::zip(results, sums)) {
        auto [even, odd] = splitHalves(b, sum);
        result = arith::AddFOp::create(b, result, arith::AddFOp::create(b, even, odd));
      }
      return store(results);
    }
    if (!isInt8)
      return store(sums);
    b.when(g.isEnd, [&] {
      Sums rows = isPaired ? separatePairs(sums) : Sums(sums);
      for (auto [i, sum] : llvm::enumerate(rows)) {
        int64_t row = firstRow + i / vectors, v = i % vectors;
        Value scale = b.splat(floats, b.load(b.getF32Type(), b.offset(g.scales, 4 * row)));
        Value bias = b.splat(floats, b.load(b.getF32Type(), b.offset(g.bias, 4 * row)));
        Value number = arith::SIToFPOp::create(b, floats, sum);
        scale = arith::MulFOp::create(b, scale, g.tokenScales[v]);
        b.store(b.fma(number, scale, bias), resultAt(g, row, v));
      }
    });
    Value isNotEnd = arith::XOrIOp::create(b, g.isEnd, arith::ConstantIntOp::create(b, b.getI1Type(), 1));
    b.when(isNotEnd, [&] { store(sums); });
  }

  // Sums of pairs of rows as [row][vector].
  Sums separatePairs(ArrayRef<Value> sums) {
    Sums rows(sums.size());
    for (size_t pair = 0; pair < sums.size(); pair += 2 * vectors)
      for (int64_t v = 0; v < vectors; ++v) {
        Value low = sums[pair + 2 * v], high = sums[pair + 2 * v + 1];
        rows[pair + v] = vector::ShuffleOp::create(b, low, high, {0, 1, 4, 5});
        rows[pair + vectors + v] = vector::ShuffleOp::create(b, low, high, {2, 3, 6, 7});
      }
    return rows;
  }

  Value resultAt(const Group &g, int64_t row, int64_t v) { return b.offset(g.y, row * rowSize + v * vectorSize); }

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

  // Returns where the next segment begins.
  Value buildDenseSegment(const Group &g, Value x, Value count, Value weights) {
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

  Value buildSparseSegment(const Group &g, Value x, Value weights) {
    SegmentHeader header(b, stream, weights);
    Value values = header.values;
    for (int64_t row = 0; row < stream.getRows(); row += stream.getPass())
      values = buildPass(g, row, x, header, values);
    return values;
  }

  // The rows from `firstRow` on: all blocks, pattern after pattern.
  Value buildPass(const Group &g, int64_t firstRow, Value x, const SegmentHeader &header, Value values) {
    Sums sums = loadSums(g, firstRow, stream.getPass());
    int64_t entries = header.entries, size = stream.getValueSize();
    Value indices = header.indices;
    for (auto [p, pattern] : llvm::enumerate(stream.getPatterns().asArrayRef())) {
      SmallVector<KeptColumn> columns = keptColumns(stream, pattern, firstRow);
      if (columns.empty()) {
        indices = b.offset(indices, b.mul(header.counts[p], 2 * entries));
        continue;
      }
      SmallVector<Value> carried{indices, values};
      carried.append(sums.begin(), sums.end());
      SmallVector<Value> done = b.loop(b.integer(0), header.counts[p], 1, carried, [&](Value, ValueRange state) {
        SmallVector<Value> next(state);
        int64_t used = 0, stored = 0;
        for (auto &[column, rows] : columns)
          stored += rows.size();
        // Short blocks would ask for each line several times.
        if (size * stored >= kLineSize / 2)
          b.prefetch(b.offset(state[1], kPrefetchDistance));
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
      indices = done[0];
      values = done[1];
      sums.assign(done.begin() + 2, done.end());
    }
    storeSums(g, firstRow, sums);
    return values;
  }

  LoopBuilder &b;
  kernel::TileAttr tile;
  kernel::StreamAttr stream;
  std::optional<kernel::Dot> dot;
  bool isInt8, isPaired, isHalf; // isPaired: two outputs share a vector of sums.
  int64_t vectors;
  Type element, sumElement; // Of words, of results.
  VectorType words, sumVector, floats;
  int64_t rowSize, wordRowSize, vectorSize; // Bytes of a feature and of a word in a panel, of a vector.
};

} // namespace

func::FuncOp mlir::rt3::getStreamKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                                        std::optional<kernel::Dot> dot, const std::string &form,
                                        llvm::function_ref<void(LoopBuilder &, const TileArguments &)> build) {
  bool isInt8 = dot && kernel::isInt8(*dot);
  // The name of the weights is all that does not matter for the code.
  std::string description, readable;
  llvm::raw_string_ostream text(description);
  text << tile << form << "," << stream.getRows() << "," << stream.getColumns() << "," << stream.getRange() << ","
       << stream.getPass() << "," << stream.getGathered() << bool(stream.getParts()) << stream.getValueSize()
       << (dot ? stringifyDot(*dot) : "");
  ArrayRef<int64_t> patterns = stream.getPatterns().asArrayRef();
  for (int64_t pattern : patterns)
    text << "," << pattern;
  llvm::raw_string_ostream(readable) << (!dot && stream.getValueSize() == 2 ? "linear_f32_f32_f16p_"
                                         : !dot                             ? "linear_f32_f32_f32p_"
                                         : isInt8                           ? "linear_f32_qd8_qc8p_"
                                         : *dot == kernel::Dot::FmlaF16     ? "linear_f32_f16_f16p_"
                                                                            : "linear_f32_bf16_bf16p_")
                                     << (patterns.empty() ? "dense" : "p" + std::to_string(patterns.size())) << "_b"
                                     << stream.getRows() << "x" << stream.getColumns()
                                     << (stream.getGathered() ? "g" : "") << "_"
                                     << (patterns.empty() ? stream.getRows() : stream.getPass()) << "x" << form << "_"
                                     << tile.getIsa();
  Type pointer = site.b.pointerType(), integer = site.b.getI64Type(), flag = site.b.getI1Type();
  SmallVector<Type> types{pointer, pointer, pointer, pointer, integer, integer, flag};
  if (isInt8)
    types.append({flag, pointer, pointer});
  if (stream.getParts())
    types.append({pointer, integer});
  return getOrBuildFunction(
      site.module, kernelName(readable, description), types, [&](LoopBuilder &b, ValueRange args) {
        TileArguments a{args[0], args[1], args[2], args[3], args[4], args[5], args[6], {}, {}, {}, {}, {}};
        if (isInt8) {
          a.isLast = args[7];
          a.scales = args[8];
          a.bias = args[9];
        }
        if (stream.getParts()) {
          a.parts = args[args.size() - 2];
          a.partStride = args.back();
        }
        build(b, a);
      });
}

func::FuncOp mlir::rt3::getTileKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                                      std::optional<kernel::Dot> dot, int64_t vectors) {
  return getStreamKernel(site, tile, stream, dot, std::to_string(vectors * tile.getLanes()),
                         [&](LoopBuilder &b, const TileArguments &arguments) {
                           TileKernel(b, tile, stream, dot, vectors).build(arguments);
                         });
}
