// SPDX-License-Identifier: Apache-2.0

#include "codegen/loops/TileKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::rt3;

TileKernel::TileKernel(LoopBuilder &b, kernel::TileAttr tile, kernel::StreamAttr stream, std::optional<kernel::Dot> dot,
                       int64_t vectors, int64_t lanes)
    : b(b), tile(tile), stream(stream), dot(dot), isInt8(dot && kernel::isInt8(*dot)),
      isPaired(dot == kernel::Dot::Smmla), vectors(vectors), element(dot ? Type(b.getI32Type()) : Type(b.getF32Type())),
      sumElement(isInt8 ? Type(b.getI32Type()) : Type(b.getF32Type())), sumVector(VectorType::get(lanes, sumElement)),
      floats(VectorType::get(lanes, b.getF32Type())), rowSize(4 * tile.getLanes() * tile.getVectors()),
      wordRowSize(4 * tile.getLanes() * kernel::vectorsPerWord(tile, dot)), vectorSize(4 * tile.getLanes()) {}

void TileKernel::build(const TileArguments &a) {
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
      if (stream.getPatterns().asArrayRef().empty())
        return SmallVector<Value>{buildDenseSegment(g, source, count, next[0])};
      SegmentHeader header(b, stream, next[0]);
      Value values = header.values;
      for (int64_t pass = 0; pass < stream.getRows(); pass += stream.getPass())
        values = buildPass(g, pass, source, header, values);
      return SmallVector<Value>{values};
    });
  });
}

TileKernel::Sums TileKernel::loadResults(const Group &g, int64_t firstRow, int64_t rows) {
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

void TileKernel::storeResults(const Group &g, int64_t firstRow, ArrayRef<Value> sums) {
  auto store = [&](ArrayRef<Value> values) {
    for (auto [i, value] : llvm::enumerate(values))
      b.store(value, resultAt(g, firstRow + i / vectors, i % vectors));
  };
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
TileKernel::Sums TileKernel::separatePairs(ArrayRef<Value> sums) {
  Sums rows(sums.size());
  for (size_t pair = 0; pair < sums.size(); pair += 2 * vectors)
    for (int64_t v = 0; v < vectors; ++v) {
      Value low = sums[pair + 2 * v], high = sums[pair + 2 * v + 1];
      rows[pair + v] = vector::ShuffleOp::create(b, low, high, {0, 1, 4, 5});
      rows[pair + vectors + v] = vector::ShuffleOp::create(b, low, high, {2, 3, 6, 7});
    }
  return rows;
}
