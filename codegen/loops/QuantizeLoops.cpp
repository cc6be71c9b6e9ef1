// SPDX-License-Identifier: Apache-2.0
//
// Activations to words of small numbers, vertically: of int8 in two passes over a panel,
// of f16 and bf16 in one. The numbers are those of dialects/graph/Quantize.h, to the bit.

#include "codegen/loops/Loops.h"
#include "dialects/graph/Quantize.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;
using namespace mlir::rt3;

namespace {

class PanelQuantizer {
public:
  PanelQuantizer(LoopBuilder &b, kernel::Dot dot, int64_t features, int64_t width, int64_t wordWidth, int64_t lanes,
                 int64_t vectors)
      : b(b), dot(dot), perWord(kernel::inputsPerWord(dot)), features(features), rowSize(4 * width),
        wordSize(kernel::wordSize(dot) * wordWidth), vectorSize(4 * lanes), vectors(vectors),
        floats(VectorType::get(lanes, b.getF32Type())), words(VectorType::get(lanes, b.getI32Type())) {}

  // `largest`: what the op that made x has found, one row of `width` for each of
  // `parts`, or null.
  void build(Value x, Value y, Value largestFound, int64_t parts) {
    int64_t wordCount = llvm::divideCeil(features, perWord), whole = features / perWord;
    if (!kernel::isInt8(dot)) {
      b.loop(b.integer(0), b.integer(whole), 1, [&](Value word) { buildPair(x, y, word, 2); });
      if (whole < wordCount)
        buildPair(x, y, b.integer(whole), 1);
      return;
    }
    SmallVector<Value> largest = largestFound ? joinLargest(largestFound, parts) : buildLargest(x);
    SmallVector<Value> factors;
    for (int64_t v = 0; v < vectors; ++v) {
      Value limit = b.real(floats, graph::kLargestQuantum), zero = b.real(floats, 0);
      Value factor = arith::DivFOp::create(b, limit, largest[v]);
      Value scale = arith::MulFOp::create(b, largest[v], b.real(floats, 1.0f / graph::kLargestQuantum));
      // Zeros, or so small that the factor overflows: all numbers are 0.
      Value isNothing = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, factor,
                                              b.real(floats, std::numeric_limits<double>::infinity()));
      factors.push_back(arith::SelectOp::create(b, isNothing, zero, factor));
      scale = arith::SelectOp::create(b, isNothing, zero, scale);
      // Infinite or NaN: all results are NaN.
      scale = arith::AddFOp::create(b, scale, arith::SubFOp::create(b, largest[v], largest[v]));
      b.store(scale, at(y, b.mul(b.integer(wordCount), wordSize), v));
    }
    b.loop(b.integer(0), b.integer(whole), 1, [&](Value word) { buildWord(x, y, word, perWord, factors); });
    if (whole < wordCount)
      buildWord(x, y, b.integer(whole), features % perWord, factors);
  }

private:
  Value at(Value base, Value place, int64_t v) { return b.offset(b.offset(base, place), v * vectorSize); }

  // max |x| over the features of each token; NaN if one is.
  SmallVector<Value> buildLargest(Value x) {
    SmallVector<Value> largest = b.loop(b.integer(0), b.integer(features), 1, SmallVector<Value>(vectors, constant(0)),
                                        [&](Value feature, ValueRange carried) {
                                          SmallVector<Value> next;
                                          for (int64_t v = 0; v < vectors; ++v)
                                            next.push_back(maxMagnitude(b, carried[v], loadFeature(x, feature, v)));
                                          return next;
                                        });
    for (Value &value : largest)
      value = arith::BitcastOp::create(b, floats, value);
    return largest;
  }

  SmallVector<Value> joinLargest(Value found, int64_t parts) {
    SmallVector<Value> largest;
    for (int64_t v = 0; v < vectors; ++v) {
      Value most = constant(0);
      for (int64_t part = 0; part < parts; ++part)
        most = maxMagnitude(b, most, b.load(floats, at(found, b.integer(part * rowSize), v)));
      largest.push_back(arith::BitcastOp::create(b, floats, most));
    }
    return largest;
  }

  Value loadFeature(Value x, Value feature, int64_t v) { return b.load(floats, at(x, b.mul(feature, rowSize), v)); }

  // The first `count` numbers of a pair of f16 or bf16.
  void buildPair(Value x, Value y, Value word, int64_t count) {
    Type element = dot == kernel::Dot::FmlaF16 ? Type(b.getF16Type()) : Type(b.getBF16Type());
    auto shortOf = [&](Type type) { return VectorType::get(floats.getShape(), type); };
    for (int64_t v = 0; v < vectors; ++v) {
      Value pair;
      for (int64_t i = 0; i < count; ++i) {
        Value feature = loadFeature(x, b.add(b.mul(word, 2), i), v);
        Value number = arith::BitcastOp::create(b, shortOf(b.getIntegerType(16)),
                                                arith::TruncFOp::create(b, shortOf(element), feature));
        number = arith::ExtUIOp::create(b, words, number);
        pair =
            i == 0 ? number : arith::OrIOp::create(b, pair, arith::ShLIOp::create(b, number, constant(16))).getResult();
      }
      b.store(pair, at(y, b.mul(word, wordSize), v));
    }
  }

  // The first `count` numbers of a word.
  void buildWord(Value x, Value y, Value word, int64_t count, ArrayRef<Value> factors) {
    Value first = b.mul(word, perWord);
    for (int64_t v = 0; v < vectors; ++v) {
      if (perWord < 8) {
        b.store(buildNumbers(x, first, count, v, factors), at(y, b.mul(word, wordSize), v));
        continue;
      }
      // Two halves of 32 bits, side by side.
      Value low = buildNumbers(x, first, std::min<int64_t>(count, 4), v, factors);
      Value high = buildNumbers(x, b.add(first, 4), std::max<int64_t>(count - 4, 0), v, factors);
      SmallVector<int64_t> places;
      for (int64_t lane = 0; lane < words.getDimSize(0); ++lane)
        places.append({lane, words.getDimSize(0) + lane});
      b.store(vector::ShuffleOp::create(b, low, high, places), at(y, b.mul(word, wordSize), 2 * v));
    }
  }

  // The numbers of `count` features from `first` on in 32 bits.
  Value buildNumbers(Value x, Value first, int64_t count, int64_t v, ArrayRef<Value> factors) {
    int64_t numbers = std::min<int64_t>(perWord, 4), bits = 32 / numbers;
    // Four numbers are added up as bytes of 1 to 255, so that none borrows from the
    // next; in wider fields they are signed.
    bool isOffset = numbers == 4;
    Value sum;
    uint32_t surplus = 0;
    for (int64_t i = 0; i < numbers; ++i) {
      // A number behind the last feature is 0: 128 as a byte.
      Value number = constant(kRounding + (isOffset ? 128 : 0));
      if (i < count)
        number = rounded(loadFeature(x, b.add(first, i), v), factors[v], isOffset ? 128 : 0);
      if (!isOffset)
        number = field(arith::SubIOp::create(b, number, constant(kRounding)), i);
      surplus += kRounding << (i * bits);
      if (i > 0)
        number = arith::ShLIOp::create(b, number, constant(i * bits));
      sum = sum ? arith::AddIOp::create(b, sum, number) : number;
    }
    if (isOffset)
      sum = arith::SubIOp::create(b, sum, constant(surplus));
    // sdot and smmla take signed bytes.
    if (dot == kernel::Dot::Sdot || dot == kernel::Dot::Smmla)
      sum = arith::XOrIOp::create(b, sum, constant(0x80808080));
    return sum;
  }

  // The bits of 1.5 x 2^23: floats from there on are whole numbers, and the bits of
  // 1.5 x 2^23 + n are kRounding + n.
  static constexpr uint32_t kRounding = 0x4b400000;

  // kRounding + offset + round(x factor), half to even, by one multiply-add. |x
  // factor| is at most 127 but for rounding, or its token's scale is NaN.
  Value rounded(Value x, Value factor, int64_t offset) {
    return arith::BitcastOp::create(b, words, b.fma(x, factor, b.real(floats, 12582912.0 + offset)));
  }

  // `number` as a part of its word that does not touch those above.
  Value field(Value number, int64_t i) {
    if (i + 1 == perWord)
      return number;
    return arith::AndIOp::create(b, number, constant((uint32_t(1) << (32 / perWord)) - 1));
  }

  Value constant(uint32_t value) {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(words, APInt(32, value)));
  }

  LoopBuilder &b;
  kernel::Dot dot;
  int64_t perWord, features;             // Inputs of a word; K.
  int64_t rowSize, wordSize, vectorSize; // Bytes of a feature, a word in a panel; of a vector.
  int64_t vectors;
  VectorType floats, words;
};

} // namespace

// Without their signs, floats are ordered as their bits, and NaN comes last.
Value mlir::rt3::maxMagnitude(LoopBuilder &b, Value most, Value floats) {
  auto words = cast<VectorType>(most.getType());
  Value mask = arith::ConstantOp::create(b, DenseElementsAttr::get(words, APInt(32, 0x7fffffff)));
  return arith::MaxUIOp::create(b, most, arith::AndIOp::create(b, arith::BitcastOp::create(b, words, floats), mask));
}

void mlir::rt3::callQuantize(const CallSite &site, kernel::QuantizeOp op) {
  LoopBuilder &caller = site.b;
  auto from = cast<kernel::BufferType>(op.getX().getType()), to = cast<kernel::BufferType>(op.getType());
  Panels x(site, from), y(site, to);
  kernel::TileAttr tile = x.width == 1 ? tokenTile(site.tile) : site.tile;
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  std::string description;
  llvm::raw_string_ostream(description) << tile << from << to << x.batchSize << "," << y.batchSize
                                        << stringifyDot(op.getDot()) << bool(op.getLargest());
  int64_t parts = kernel::partCount(x.features);
  auto function =
      getOrBuildFunction(site.module, kernelName("quantize", description), {pointer, pointer, pointer, integer},
                         [&](LoopBuilder &b, ValueRange args) {
                           int64_t features = from.getTensor().getShape().back();
                           forEachPanel(b, tile, x.batch, args[3], [&](Value element, Value t, int64_t vectors) {
                             Value source = b.offset(args[0], b.add(b.mul(element, x.batchSize), b.mul(t, x.tileSize)));
                             Value target = b.offset(args[1], b.add(b.mul(element, y.batchSize), b.mul(t, y.tileSize)));
                             Value largest = op.getLargest() ? largestAt(b, x, args[2], element, t) : Value();
                             PanelQuantizer(b, op.getDot(), features, x.width, y.width, tile.getLanes(), vectors)
                                 .build(source, target, largest, parts);
                           });
                         });
  func::CallOp::create(caller, function,
                       ValueRange{site.pointerOf(op.getX()), site.pointerOf(op.getResult()),
                                  site.pointerOf(op.getLargest() ? op.getLargest() : op.getX()), x.tokens});
}
