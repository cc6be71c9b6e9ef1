// SPDX-License-Identifier: Apache-2.0
//
// Attention in panels. For one panel of queries and one head: scores against
// all keys (queries are lanes, four keys a time are broadcast from a row of the
// key panel, where they are neighbours), a vertical softmax, and the context as
// sum over keys. Nothing is transposed.

#include "codegen/loops/Loops.h"
#include "codegen/loops/VectorMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;
using namespace mlir::rt3;

// Keys, and features of the context, that are computed side by side.
static constexpr int64_t kRows = 4;
// Features of queries and keys that a trip multiplies on NEON: with 12 multiply-adds each, the loop's own instructions
// count.
static constexpr int64_t kFeatures = 4;

namespace {

class PanelAttention {
public:
  PanelAttention(LoopBuilder &b, kernel::AttentionOp op, const Panels &keys, int64_t vectors)
      : b(b), op(op), isNeon(op.getTile().getIsa() == "neon"), vectors(vectors), width(keys.width),
        tileSize(keys.tileSize), vector(VectorType::get(op.getTile().getLanes(), b.getF32Type())),
        headSize(cast<kernel::BufferType>(op.getType()).getTensor().getShape().back() / op.getHeads()),
        rowSize(4 * keys.width), vectorSize(4 * op.getTile().getLanes()) {}

  // q and out: this panel at the head; k and v: the first panel of the sequence
  // at the head; mask: of the first query of the panel, or null.
  struct Operands {
    Value q, k, v, mask, scores, out;
    Value tokens, panel;                  // Counts.
    Value position;                       // Keys before those of the first query; null: none.
    Value maskQueryStride, maskKeyStride; // Bytes.
  };

  void build(const Operands &o) {
    Value keys = o.tokens;
    if (op.getCausal())
      keys = b.min(keys, b.mul(b.add(o.panel, 1), width));
    if (o.position)
      keys = b.add(keys, o.position);
    buildScores(o, keys);
    SmallVector<Value> largest = buildMask(o, keys);
    SmallVector<Value> inverse = buildExponentials(o, keys, largest);
    int64_t whole = headSize / kRows * kRows;
    b.loop(b.integer(0), b.integer(whole), kRows, [&](Value d) { buildContext(o, keys, inverse, d, kRows); });
    if (whole < headSize)
      buildContext(o, keys, inverse, b.integer(whole), headSize - whole);
  }

private:
  Value at(Value base, Value row, int64_t v) { return b.offset(b.offset(base, b.mul(row, rowSize)), v * vectorSize); }

  // Four neighbours, each in all lanes. NEON multiplies by a lane of one load.
  SmallVector<Value> loadFour(Value pointer) {
    SmallVector<Value> result;
    Value four = isNeon ? b.load(VectorType::get(kRows, b.getF32Type()), pointer) : Value();
    for (int64_t i = 0; i < kRows; ++i)
      result.push_back(b.splat(vector, isNeon ? vector::ExtractOp::create(b, four, i).getResult()
                                              : b.load(b.getF32Type(), b.offset(pointer, 4 * i))));
    return result;
  }

  // scores[j] = scale q k_j; keys are rounded up to four, the surplus is never
  // read.
  void buildScores(const Operands &o, Value keys) {
    Value panels = b.divide(b.add(keys, width - 1), width);
    Value scale = b.real(vector, op.getScale().convertToFloat());
    b.loop(b.integer(0), panels, 1, [&](Value panel) {
      Value first = b.mul(panel, width);
      Value count = b.min(b.integer(width), b.sub(keys, first));
      Value source = b.offset(o.k, b.mul(panel, tileSize));
      b.loop(b.integer(0), count, kRows, [&](Value j) {
        Value start = b.offset(source, b.mul(j, 4));
        SmallVector<Value> sums(kRows * vectors, b.real(vector, 0));
        auto addFeatures = [&](int64_t begin, int64_t end, int64_t size) {
          sums = b.loop(b.integer(begin), b.integer(end), size, sums, [&](Value d, ValueRange carried) {
            SmallVector<Value> next(carried);
            for (int64_t feature = 0; feature < size; ++feature) {
              Value row = b.mul(b.add(d, feature), rowSize);
              SmallVector<Value> queries;
              for (int64_t v = 0; v < vectors; ++v)
                queries.push_back(b.load(vector, b.offset(b.offset(o.q, row), v * vectorSize)));
              for (auto [i, key] : llvm::enumerate(loadFour(b.offset(start, row))))
                for (int64_t v = 0; v < vectors; ++v)
                  next[i * vectors + v] = b.fma(key, queries[v], next[i * vectors + v]);
            }
            return next;
          });
        };
        int64_t whole = isNeon ? headSize / kFeatures * kFeatures : 0;
        if (whole > 0)
          addFeatures(0, whole, kFeatures);
        if (whole < headSize)
          addFeatures(whole, headSize, 1);
        for (int64_t i = 0; i < kRows; ++i)
          for (int64_t v = 0; v < vectors; ++v)
            b.store(arith::MulFOp::create(b, sums[i * vectors + v], scale), at(o.scores, b.add(b.add(first, j), i), v));
      });
    });
  }

  // Adds the mask and finds the largest score of each query.
  SmallVector<Value> buildMask(const Operands &o, Value keys) {
    double infinity = std::numeric_limits<double>::infinity();
    // Not -infinity: a query that sees nothing must not give NaN.
    SmallVector<Value> largest(vectors, b.real(vector, -std::numeric_limits<float>::max()));
    // `lanes`: the query in each, counted from the panel's first, where some do not see the keys.
    auto maskKeys = [&](Value begin, Value end, ArrayRef<Value> lanes) {
      return b.loop(begin, end, 1, largest, [&](Value j, ValueRange carried) {
        SmallVector<Value> next;
        Value maskKey = o.mask ? b.offset(o.mask, b.mul(j, o.maskKeyStride)) : Value();
        for (int64_t v = 0; v < vectors; ++v) {
          Value score = b.load(vector, at(o.scores, j, v));
          if (o.mask)
            score = arith::AddFOp::create(b, score, maskValues(o, maskKey, v));
          if (!lanes.empty()) {
            Value number = arith::TruncIOp::create(b, b.getI32Type(), b.sub(j, begin));
            Value isHidden =
                arith::CmpIOp::create(b, arith::CmpIPredicate::sgt, b.splat(lanes[v].getType(), number), lanes[v]);
            score = arith::SelectOp::create(b, isHidden, b.real(vector, -infinity), score);
          }
          if (o.mask || !lanes.empty())
            b.store(score, at(o.scores, j, v));
          // NaN stays, for buildExponentials.
          next.push_back(arith::MaximumFOp::create(b, carried[v], score));
        }
        return next;
      });
    };
    if (!op.getCausal())
      return maskKeys(b.integer(0), keys, {});
    // Keys before the panel's first query are seen by all.
    Value first = b.mul(o.panel, width);
    if (o.position)
      first = b.add(first, o.position);
    largest = maskKeys(b.integer(0), first, {});
    SmallVector<Value> lanes;
    for (int64_t v = 0; v < vectors; ++v)
      lanes.push_back(queryNumbers(v));
    return maskKeys(first, keys, lanes);
  }

  // The number of the query in each lane, from the panel's first, as i32.
  Value queryNumbers(int64_t v) {
    SmallVector<int32_t> numbers;
    for (int64_t lane = 0; lane < vector.getDimSize(0); ++lane)
      numbers.push_back(v * vector.getDimSize(0) + lane);
    auto integers = VectorType::get(vector.getShape(), b.getI32Type());
    return arith::ConstantOp::create(b, DenseElementsAttr::get(integers, ArrayRef(numbers)));
  }

  // One mask value per query; most masks are the same for all of them. Lanes
  // behind the last token read the last one's.
  Value maskValues(const Operands &o, Value maskKey, int64_t v) {
    if (b.known(o.maskQueryStride) == 0)
      return b.splat(vector, b.load(b.getF32Type(), maskKey));
    Value result = b.real(vector, 0);
    Value last = b.sub(b.sub(o.tokens, b.mul(o.panel, width)), b.integer(1));
    for (int64_t lane = 0; lane < vector.getDimSize(0); ++lane) {
      Value query = b.min(b.integer(v * vector.getDimSize(0) + lane), last);
      Value element = b.load(b.getF32Type(), b.offset(maskKey, b.mul(query, o.maskQueryStride)));
      result = vector::InsertOp::create(b, element, result, lane);
    }
    return result;
  }

  // scores[j] = exp(scores[j] - largest); returns 1 / their sums, NaN where a
  // score is NaN or +infinity, which the bounded exp would hide.
  SmallVector<Value> buildExponentials(const Operands &o, Value keys, ArrayRef<Value> largest) {
    SmallVector<Value> sums(vectors, b.real(vector, 0));
    sums = b.loop(b.integer(0), keys, 1, sums, [&](Value j, ValueRange carried) {
      SmallVector<Value> next;
      for (int64_t v = 0; v < vectors; ++v) {
        Value score = b.load(vector, at(o.scores, j, v));
        Value power = buildBoundedExp(b, arith::SubFOp::create(b, score, largest[v]), /*isNegative=*/true);
        b.store(power, at(o.scores, j, v));
        next.push_back(arith::AddFOp::create(b, carried[v], power));
      }
      return next;
    });
    for (auto [sum, score] : llvm::zip(sums, largest)) {
      Value poison = arith::SubFOp::create(b, score, score); // 0, or NaN
      sum = arith::AddFOp::create(b, arith::DivFOp::create(b, b.real(vector, 1), sum), poison);
    }
    return sums;
  }

  // out[d ...] = sum over j of scores[j] v_j[d ...]
  void buildContext(const Operands &o, Value keys, ArrayRef<Value> inverse, Value d, int64_t rows) {
    Value panels = b.divide(b.add(keys, width - 1), width);
    SmallVector<Value> sums(rows * vectors, b.real(vector, 0));
    sums = b.loop(b.integer(0), panels, 1, sums, [&](Value panel, ValueRange outer) {
      Value first = b.mul(panel, width);
      Value count = b.min(b.integer(width), b.sub(keys, first));
      Value source = b.offset(b.offset(o.v, b.mul(panel, tileSize)), b.mul(d, rowSize));
      // `size` keys a trip.
      auto addKeys = [&](Value begin, Value end, ValueRange carried, int64_t size) {
        return b.loop(begin, end, size, carried, [&](Value j, ValueRange values) {
          SmallVector<Value> next(values);
          Value column = b.offset(source, b.mul(j, 4));
          SmallVector<SmallVector<Value>> fours; // [row][key]
          for (int64_t i = 0; i < rows && size == kRows; ++i)
            fours.push_back(loadFour(b.offset(column, i * rowSize)));
          for (int64_t key = 0; key < size; ++key) {
            SmallVector<Value> weights;
            for (int64_t v = 0; v < vectors; ++v)
              weights.push_back(b.load(vector, at(o.scores, b.add(b.add(first, j), key), v)));
            for (int64_t i = 0; i < rows; ++i) {
              Value value = size == kRows ? fours[i][key]
                                          : b.splat(vector, b.load(b.getF32Type(), b.offset(column, i * rowSize)));
              for (int64_t v = 0; v < vectors; ++v)
                next[i * vectors + v] = b.fma(value, weights[v], next[i * vectors + v]);
            }
          }
          return next;
        });
      };
      if (!isNeon)
        return addKeys(b.integer(0), count, outer, 1);
      Value whole = b.mul(b.divide(count, kRows), kRows);
      return addKeys(whole, count, addKeys(b.integer(0), whole, outer, kRows), 1);
    });
    Value out = b.offset(o.out, b.mul(d, rowSize));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t v = 0; v < vectors; ++v)
        b.store(arith::MulFOp::create(b, sums[i * vectors + v], inverse[v]),
                b.offset(out, i * rowSize + v * vectorSize));
  }

  LoopBuilder &b;
  kernel::AttentionOp op;
  bool isNeon;
  int64_t vectors;
  int64_t width, tileSize; // Tokens of a panel; bytes from panel to panel of keys.
  VectorType vector;
  int64_t headSize;            // Features of a head.
  int64_t rowSize, vectorSize; // Bytes of a feature in a panel, of a vector.
};

} // namespace

void mlir::rt3::callAttention(const CallSite &site, kernel::AttentionOp op) {
  LoopBuilder &caller = site.b;
  auto type = cast<kernel::BufferType>(op.getType()), keyType = cast<kernel::BufferType>(op.getK().getType());
  if (type.getPanel() == 1)
    return callTokenAttention(site, op);
  Panels panels(site, type), keys(site, keyType);
  int64_t headSize = type.getTensor().getShape().back() / op.getHeads();
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  int64_t headsPerKey = op.getHeads() * headSize / keyType.getTensor().getShape().back();
  SmallVector<int64_t> mask;
  if (op.getMask())
    mask = llvm::to_vector(cast<kernel::BufferType>(op.getMask().getType()).getTensor().getShape());
  std::string description;
  llvm::raw_string_ostream stream(description);
  stream << type << keyType << panels.batchSize << op.getTile() << op.getHeads() << ","
         << op.getScale().convertToFloat() << op.getCausal() << op.getCached();
  for (int64_t size : mask)
    stream << "," << size;
  auto function = getOrBuildFunction(
      site.module, kernelName("attention_f32", description),
      {pointer, pointer, pointer, pointer, pointer, pointer, integer, integer}, [&](LoopBuilder &b, ValueRange args) {
        Value tokens = args[6];
        // Byte strides of the mask's axes; 0 where it repeats.
        SmallVector<Value> strides(4, b.integer(0));
        Value stride = b.integer(4);
        for (int64_t axis = 3; axis >= 0 && !mask.empty(); --axis) {
          if (mask[axis] == 1)
            continue;
          strides[axis] = stride;
          stride = b.mul(stride, ShapedType::isDynamic(mask[axis]) ? tokens : b.integer(mask[axis]));
        }
        b.loop(b.integer(0), b.integer(op.getHeads()), 1, [&](Value head) {
          Value headOffset = b.mul(head, headSize * 4 * panels.width);
          Value keyOffset = b.mul(b.divide(head, headsPerKey), headSize * 4 * panels.width);
          forEachPanel(b, op.getTile(), panels.batch, tokens, [&](Value element, Value t, int64_t vectors) {
            Value sequence = b.add(b.mul(element, keys.batchSize), keyOffset);
            Value panel = b.add(b.add(b.mul(element, panels.batchSize), headOffset), b.mul(t, panels.tileSize));
            PanelAttention::Operands o;
            o.q = b.offset(args[0], panel);
            o.k = b.offset(args[1], sequence);
            o.v = b.offset(args[2], sequence);
            o.scores = args[4];
            o.out = b.offset(args[5], panel);
            o.tokens = tokens;
            o.panel = t;
            if (op.getCached())
              o.position = args[7];
            o.maskQueryStride = strides[2];
            o.maskKeyStride = strides[3];
            if (!mask.empty()) {
              Value start = b.add(b.mul(element, strides[0]), b.mul(head, strides[1]));
              Value query = b.mul(b.mul(t, panels.width), strides[2]);
              o.mask = b.offset(args[3], b.add(start, query));
            }
            PanelAttention(b, op, keys, vectors).build(o);
          });
        });
      });
  func::CallOp::create(caller, function,
                       ValueRange{site.pointerOf(op.getQ()), site.pointerOf(op.getK()), site.pointerOf(op.getV()),
                                  site.pointerOf(op.getMask() ? op.getMask() : op.getQ()),
                                  site.pointerOf(op.getScores()), site.pointerOf(op.getResult()), panels.tokens,
                                  site.position});
}
