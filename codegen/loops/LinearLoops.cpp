// SPDX-License-Identifier: Apache-2.0
//
// Linear layers. A tile kernel computes all outputs for one panel of tokens
// from one stream of packed weights; dense, block- and pattern-pruned layers
// differ in how a segment of the stream is read only.

#include "codegen/loops/LinearLoops.h"
#include "codegen/loops/VectorMath.h"

#include "rt3/rt3.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/bit.h"

#include <cstddef>

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

// activation(y) + residual on finished features, `size` bytes that lie one after the
// other in panels of `vectors` vectors; the largest of each lane goes to `largest`, if
// that is not null.
static void buildEpilogue(LoopBuilder &b, kernel::LinearOp op, int64_t lanes, int64_t vectors, Value size, Value y,
                          Value residual, Value largest) {
  auto vector = VectorType::get(lanes, b.getF32Type());
  int64_t step = largest ? vectors : 1; // So that a carried value stands for one lane.
  Value nothing = arith::ConstantOp::create(b, b.getZeroAttr(VectorType::get(lanes, b.getI32Type())));
  SmallVector<Value> most(largest ? vectors : 0, nothing);
  most = b.loop(b.integer(0), size, 4 * lanes * step, most, [&](Value i, ValueRange carried) {
    SmallVector<Value> next(carried);
    for (int64_t v = 0; v < step; ++v) {
      Value place = b.add(i, 4 * lanes * v), value = b.load(vector, b.offset(y, place));
      if (auto activation = op.getActivation())
        value = buildFunction(b, *activation, value, b.getF32Type());
      if (residual)
        value = arith::AddFOp::create(b, value, b.load(vector, b.offset(residual, place)));
      b.store(value, b.offset(y, place));
      if (largest)
        next[v] = maxMagnitude(b, next[v], value);
    }
    return next;
  });
  for (auto [v, value] : llvm::enumerate(most))
    b.store(value, b.offset(largest, 4 * lanes * v));
}

namespace {

// The function of a linear layer: its kernels on all panels; where the caller brings
// threads, on parts of the outputs of each.
class LinearLayer {
public:
  LinearLayer(const CallSite &site, kernel::LinearOp op)
      : site(site), op(op), x(site, cast<kernel::BufferType>(op.getX().getType())),
        y(site, cast<kernel::BufferType>(op.getType())), tile(op.getTile()), isToken(y.width == 1),
        // Of a single token, lanes are features, of which there are whole groups.
        panel(isToken ? tokenTile(tile) : tile),
        lanes(isToken ? std::min(tile.getLanes(), kernel::kFeatureMultiple) : tile.getLanes()), dot(op.getDot()),
        isInt8(dot && kernel::isInt8(*dot)), inputs(kernel::inputWords(op)),
        outputs(cast<kernel::BufferType>(op.getType()).getTensor().getShape().back()),
        streams(llvm::to_vector(op.getStreams().getAsRange<kernel::StreamAttr>())),
        parts(llvm::all_of(streams, [](kernel::StreamAttr stream) { return bool(stream.getParts()); })
                  ? kernel::partCount(y.features)
                  : 1) {
    llvm::raw_string_ostream stream(description);
    stream << op.getType() << x.features << "," << x.batchSize << "," << y.batchSize << tile;
    for (kernel::StreamAttr part : streams) {
      kernels.emplace_back();
      for (int64_t vectors = 1; vectors <= panel.getVectors(); ++vectors) {
        kernels.back().push_back(getKernel(part, vectors));
        stream << kernels.back().back().getName();
      }
    }
    stream << inputs << "," << outputs << (op.getResidual() ? "residual" : "") << (op.getLargest() ? "largest" : "");
    if (op.getActivation())
      stream << stringifyFunction(*op.getActivation());
  }

  void call() {
    LoopBuilder &b = site.b;
    SmallVector<Value> arguments{site.pointerOf(op.getX()), site.pointerOf(op.getResult()),
                                 site.pointerOf(op.getBias()),
                                 site.pointerOf(op.getResidual() ? op.getResidual() : op.getBias()), y.tokens};
    for (kernel::StreamAttr stream : streams)
      arguments.push_back(site.weightsOf(stream.getWeights()));
    if (isInt8)
      arguments.append({site.pointerOf(op.getScales()), site.pointerOf(op.getOffsets())});
    for (kernel::StreamAttr stream : streams)
      if (stream.getParts())
        arguments.push_back(getTable(stream));
    if (op.getLargest())
      arguments.push_back(site.pointerOf(op.getLargest()));
    arguments.push_back(site.parallel);
    func::CallOp::create(b, getFunction(ValueRange(arguments).getTypes()), arguments);
  }

private:
  func::FuncOp getKernel(kernel::StreamAttr stream, int64_t vectors) {
    if (isToken)
      return getTokenKernel(site, tile, stream, dot, x.width);
    return getStreamKernel(site, tile, stream, dot, std::to_string(vectors * tile.getLanes()),
                           [&](LoopBuilder &b, const TileArguments &arguments) {
                             TileKernel(b, tile, stream, dot, vectors).build(arguments);
                           });
  }

  // Where the parts of a stream begin, as a constant of the code.
  Value getTable(kernel::StreamAttr stream) {
    LoopBuilder &b = site.b;
    ArrayRef<int64_t> offsets = stream.getParts().asArrayRef();
    std::string text;
    for (int64_t offset : offsets)
      text += std::to_string(offset) + ",";
    std::string name = kernelName("parts", text);
    ModuleOp module = site.module;
    if (!module.lookupSymbol(name)) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(module.getBody());
      auto type = LLVM::LLVMArrayType::get(b.getI64Type(), offsets.size());
      auto value = DenseElementsAttr::get(RankedTensorType::get(offsets.size(), b.getI64Type()), offsets);
      LLVM::GlobalOp::create(b, type, /*isConstant=*/true, LLVM::Linkage::Internal, name, value);
    }
    return LLVM::AddressOfOp::create(b, b.pointerType(), name);
  }

  // The arguments of the function, after x, y, bias, residual and tokens: weights of
  // each stream, of int8 scales and offsets, the parts of each stream, and threads.
  static constexpr size_t kWeights = 5;
  size_t scalesAt() const { return kWeights + streams.size(); }
  size_t partsAt() const { return scalesAt() + (isInt8 ? 2 : 0); }

  func::FuncOp getFunction(TypeRange types) {
    return getOrBuildFunction(
        site.module, kernelName(isInt8 ? "linear_int8" : "linear_f32", description), llvm::to_vector(types),
        [&](LoopBuilder &b, ValueRange args) {
          auto buildSerial = [&] {
            forEachPanel(b, panel, y.batch, args[4], [&](Value element, Value t, int64_t vectors) {
              buildPart(b, args, element, t, vectors, b.integer(0), b.integer(y.features / kernel::kFeatureMultiple),
                        b.integer(0));
              if (op.getLargest()) // There is nothing in the other parts.
                for (int64_t i = y.width; i < y.width * kernel::partCount(y.features); i += lanes)
                  b.store(b.real(VectorType::get(lanes, b.getF32Type()), 0),
                          b.offset(largestAt(b, y, args[args.size() - 2], element, t), 4 * i));
            });
          };
          if (parts == 1)
            return buildSerial();
          Value isSmall = b.isLess(b.mul(args[4], y.batch * inputs * y.features), b.integer(kParallelWork));
          Value null = LLVM::ZeroOp::create(b, b.pointerType());
          Value hasNone = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, args.back(), null);
          Value isSerial = arith::OrIOp::create(b, hasNone, isSmall);
          b.when(isSerial, buildSerial);
          b.when(arith::XOrIOp::create(b, isSerial, arith::ConstantIntOp::create(b, b.getI1Type(), 1)),
                 [&] { buildParallel(b, args); });
        });
  }

  // Less multiply-adds than this are done before another thread is awake.
  static constexpr int64_t kParallelWork = int64_t(1) << 19;

  void buildParallel(LoopBuilder &b, ValueRange args) {
    SmallVector<Type> types(args.getTypes());
    func::FuncOp task = getTask(types);
    Value context = LLVM::AllocaOp::create(b, b.pointerType(), b.getI64Type(), b.integer(args.size()));
    for (auto [i, argument] : llvm::enumerate(args))
      b.store(argument, b.offset(context, 8 * i));
    Value panels = b.divide(b.add(args[4], y.width - 1), y.width);
    Value run = b.load(b.pointerType(), b.offset(args.back(), offsetof(rt3_parallel_t, run)));
    Value pool = b.load(b.pointerType(), b.offset(args.back(), offsetof(rt3_parallel_t, pool)));
    Value function = func::ConstantOp::create(b, task.getFunctionType(), task.getName());
    function = UnrealizedConversionCastOp::create(b, b.pointerType(), function).getResult(0);
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                            {b.pointerType(), b.getI64Type(), b.pointerType(), b.pointerType()});
    LLVM::CallOp::create(b, type, ValueRange{run, pool, b.mul(panels, y.batch * parts), function, context});
  }

  // Part `index`, counted by batch, panel, then part of the outputs.
  func::FuncOp getTask(ArrayRef<Type> types) {
    return getOrBuildFunction(site.module, kernelName(isInt8 ? "linear_int8_task" : "linear_f32_task", description),
                              {site.b.pointerType(), site.b.getI64Type()}, [&](LoopBuilder &b, ValueRange own) {
                                SmallVector<Value> args;
                                for (auto [i, type] : llvm::enumerate(types))
                                  args.push_back(b.load(type, b.offset(own[0], 8 * i)));
                                Value part = b.remainder(own[1], parts), number = b.divide(own[1], parts);
                                Value panels = b.divide(b.add(args[4], y.width - 1), y.width);
                                Value element = arith::DivUIOp::create(b, number, panels),
                                      t = arith::RemUIOp::create(b, number, panels);
                                int64_t eights = y.features / kernel::kFeatureMultiple;
                                Value first = b.divide(b.mul(part, eights), parts);
                                Value count = b.sub(b.divide(b.mul(b.add(part, 1), eights), parts), first);
                                Value left = b.min(b.integer(y.width), b.sub(args[4], b.mul(t, y.width)));
                                Value used = b.divide(b.add(left, panel.getLanes() - 1), panel.getLanes());
                                for (int64_t vectors = 1; vectors <= panel.getVectors(); ++vectors)
                                  b.when(b.isEqual(used, b.integer(vectors)),
                                         [&] { buildPart(b, args, element, t, vectors, first, count, part); });
                              });
  }

  // Outputs 8 `first` to 8 (`first` + `count`) of one panel, where `part` begins.
  void buildPart(LoopBuilder &b, ValueRange args, Value element, Value t, int64_t vectors, Value first, Value count,
                 Value part) {
    Value row = b.mul(first, kernel::kFeatureMultiple), rowBytes = b.mul(row, 4);
    Value source = b.offset(args[0], b.add(b.mul(element, x.batchSize), b.mul(t, x.tileSize)));
    Value place = b.add(b.add(b.mul(element, y.batchSize), b.mul(t, y.tileSize)), b.mul(rowBytes, y.width));
    Value target = b.offset(args[1], place);
    auto flag = [&](bool value) { return arith::ConstantIntOp::create(b, b.getI1Type(), value).getResult(); };
    for (auto [i, stream] : llvm::enumerate(streams)) {
      SmallVector<Value> arguments{source,
                                   target,
                                   args[kWeights + i],
                                   b.offset(isInt8 ? args[scalesAt() + 1] : args[2], rowBytes),
                                   b.integer(inputs),
                                   b.mul(count, kernel::kFeatureMultiple / stream.getRows()),
                                   flag(i == 0)};
      if (isInt8)
        arguments.append(
            {flag(i + 1 == streams.size()), b.offset(args[scalesAt()], rowBytes), b.offset(args[2], rowBytes)});
      if (stream.getParts())
        arguments.append({b.offset(args[partsAt() + i], b.mul(part, 8)), b.integer(8 * parts)});
      func::CallOp::create(b, kernels[i][vectors - 1], arguments);
    }
    if (op.getActivation() || op.getResidual()) {
      Value features = b.mul(count, kernel::kFeatureMultiple), largest;
      if (op.getLargest()) { // Behind the last feature there may be anything.
        largest = b.offset(largestAt(b, y, args[args.size() - 2], element, t), b.mul(part, 4 * y.width));
        features = b.min(features, b.sub(b.integer(outputs), row));
      }
      buildEpilogue(b, op, lanes, panel.getVectors(), b.mul(features, 4 * y.width), target,
                    op.getResidual() ? b.offset(args[3], place) : Value(), largest);
    }
  }

  const CallSite &site;
  kernel::LinearOp op;
  Panels x, y;
  kernel::TileAttr tile;
  bool isToken;
  kernel::TileAttr panel;
  int64_t lanes;
  std::optional<kernel::Dot> dot;
  bool isInt8;
  int64_t inputs; // Words.
  int64_t outputs;
  SmallVector<kernel::StreamAttr> streams;
  int64_t parts;
  SmallVector<SmallVector<func::FuncOp>> kernels; // By stream, then vectors.
  std::string description;
};

} // namespace

void mlir::rt3::callLinear(const CallSite &site, kernel::LinearOp op) { LinearLayer(site, op).call(); }
