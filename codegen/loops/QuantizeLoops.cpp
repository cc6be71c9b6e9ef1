// SPDX-License-Identifier: Apache-2.0
//
// Activations to int8 words: two passes over a panel, both vertical. The numbers
// are those of dialects/graph/Quantize.h, to the bit.

#include "codegen/loops/Loops.h"
#include "dialects/graph/Quantize.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <limits>

using namespace mlir;
using namespace mlir::rt3;

namespace {

class PanelQuantizer {
public:
  PanelQuantizer(LoopBuilder &b, kernel::Dot dot, int64_t features, int64_t width, int64_t wordWidth, int64_t lanes,
                 int64_t vectors)
      : b(b), dot(dot), perWord(kernel::inputsPerWord(dot)), features(features), rowSize(4 * width),
        wordSize(4 * wordWidth), vectorSize(4 * lanes), vectors(vectors),
        floats(VectorType::get(lanes, b.getF32Type())), words(VectorType::get(lanes, b.getI32Type())) {}

  void build(Value x, Value y) {
    SmallVector<Value> largest = buildLargest(x);
    SmallVector<Value> factors;
    int64_t wordCount = llvm::divideCeil(features, perWord);
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
    int64_t whole = features / perWord;
    b.loop(b.integer(0), b.integer(whole), 1, [&](Value word) { buildWord(x, y, word, perWord, factors); });
    if (whole < wordCount)
      buildWord(x, y, b.integer(whole), features % perWord, factors);
  }

private:
  Value at(Value base, Value place, int64_t v) { return b.offset(b.offset(base, place), v * vectorSize); }

  // max |x| over the features of each token; NaN if one is. Without their signs,
  // floats are ordered as their bits, and NaN comes last.
  SmallVector<Value> buildLargest(Value x) {
    SmallVector<Value> largest =
        b.loop(b.integer(0), b.integer(features), 1, SmallVector<Value>(vectors, constant(0)),
               [&](Value feature, ValueRange carried) {
                 SmallVector<Value> next;
                 for (int64_t v = 0; v < vectors; ++v) {
                   Value size =
                       arith::AndIOp::create(b, b.load(words, at(x, b.mul(feature, rowSize), v)), constant(0x7fffffff));
                   next.push_back(arith::MaxUIOp::create(b, carried[v], size));
                 }
                 return next;
               });
    for (Value &value : largest)
      value = arith::BitcastOp::create(b, floats, value);
    return largest;
  }

  // The first `count` numbers of a word.
  void buildWord(Value x, Value y, Value word, int64_t count, ArrayRef<Value> factors) {
    int64_t bits = 32 / perWord;
    // Four numbers are added up as bytes of 1 to 255, so that none borrows from the
    // next; in wider fields they are signed.
    bool isOffset = perWord == 4;
    for (int64_t v = 0; v < vectors; ++v) {
      Value sum;
      uint32_t surplus = 0;
      for (int64_t i = 0; i < perWord; ++i) {
        // A number behind the last feature is 0: 128 as a byte.
        Value number = constant(kRounding + (isOffset ? 128 : 0));
        if (i < count)
          number = rounded(b.load(floats, at(x, b.mul(b.add(b.mul(word, perWord), i), rowSize), v)), factors[v],
                           isOffset ? 128 : 0);
        if (!isOffset)
          number = field(arith::SubIOp::create(b, number, constant(kRounding)), i);
        surplus += kRounding << (i * bits);
        if (i > 0)
          number = arith::ShLIOp::create(b, number, constant(i * bits));
        sum = sum ? arith::AddIOp::create(b, sum, number) : number;
      }
      if (isOffset)
        sum = arith::SubIOp::create(b, sum, constant(surplus));
      // sdot takes signed bytes.
      if (dot == kernel::Dot::Sdot)
        sum = arith::XOrIOp::create(b, sum, constant(0x80808080));
      b.store(sum, at(y, b.mul(word, wordSize), v));
    }
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

void mlir::rt3::callQuantize(const CallSite &site, kernel::QuantizeOp op) {
  LoopBuilder &caller = site.b;
  auto from = cast<kernel::BufferType>(op.getX().getType()), to = cast<kernel::BufferType>(op.getType());
  Panels x(site, from), y(site, to);
  kernel::TileAttr tile = x.width == 1 ? tokenTile(site.tile) : site.tile;
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  std::string description;
  llvm::raw_string_ostream(description) << tile << from << to << x.batchSize << "," << y.batchSize
                                        << stringifyDot(op.getDot());
  auto function = getOrBuildFunction(
      site.module, kernelName("quantize", description), {pointer, pointer, integer},
      [&](LoopBuilder &b, ValueRange args) {
        int64_t features = from.getTensor().getShape().back();
        forEachPanel(b, tile, x.batch, args[2], [&](Value element, Value t, int64_t vectors) {
          Value source = b.offset(args[0], b.add(b.mul(element, x.batchSize), b.mul(t, x.tileSize)));
          Value target = b.offset(args[1], b.add(b.mul(element, y.batchSize), b.mul(t, y.tileSize)));
          PanelQuantizer(b, op.getDot(), features, x.width, y.width, tile.getLanes(), vectors).build(source, target);
        });
      });
  func::CallOp::create(caller, function,
                       ValueRange{site.pointerOf(op.getX()), site.pointerOf(op.getResult()), x.tokens});
}
