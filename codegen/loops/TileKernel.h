// SPDX-License-Identifier: Apache-2.0
//
// Kernels of linear layers whose vectors hold tokens. One computes all outputs for one
// panel of tokens from one stream of packed weights; dense, block- and
// pattern-pruned layers differ in how a segment of the stream is read only.

#ifndef RT3_CODEGEN_LOOPS_TILEKERNEL_H
#define RT3_CODEGEN_LOOPS_TILEKERNEL_H

#include "codegen/loops/LinearLoops.h"

namespace mlir::rt3 {

// Bytes of a cache line.
inline constexpr int64_t kLineSize = 64;

// Walks ranges and groups, loads and stores results; how a segment is multiplied is for
// the kinds of kernel to say.
class TileKernel {
public:
  // `lanes` tokens in each of `vectors` vectors of results. Without `dot` everything is
  // f32. With it, activations and weights are words; sums are i32 if those are int8,
  // until the last segment of the last stream.
  TileKernel(LoopBuilder &b, kernel::TileAttr tile, kernel::StreamAttr stream, std::optional<kernel::Dot> dot,
             int64_t vectors, int64_t lanes);
  virtual ~TileKernel() = default;

  void build(const TileArguments &arguments);

protected:
  // The outputs that one segment adds to.
  struct Group {
    Value y, start, isStart;
    Value isEnd, scales, bias;   // Of int8.
    ArrayRef<Value> tokenScales; // Of int8, per vector.
  };
  // [row][vector], or of pairs [row / 2][two tokens], which are
  // {row t0, row t1, row + 1 t0, row + 1 t1}.
  using Sums = SmallVector<Value>;

  // `x`: the range's inputs, `count` of them. Both return where the next segment begins.
  virtual Value buildDenseSegment(const Group &g, Value x, Value count, Value weights) = 0;
  // The rows from `firstRow` on: all blocks, pattern after pattern.
  virtual Value buildPass(const Group &g, int64_t firstRow, Value x, const SegmentHeader &header, Value values) = 0;

  // What the sums of a group are so far.
  Sums loadResults(const Group &g, int64_t firstRow, int64_t rows);
  // Finished ones of int8 become f32.
  void storeResults(const Group &g, int64_t firstRow, ArrayRef<Value> sums);

  LoopBuilder &b;
  kernel::TileAttr tile;
  kernel::StreamAttr stream;
  std::optional<kernel::Dot> dot;
  bool isInt8, isPaired; // isPaired: smmla's sums of two outputs and two tokens.
  int64_t vectors;
  Type element, sumElement; // Of words, of results.
  VectorType sumVector, floats;
  int64_t rowSize, wordRowSize, vectorSize; // Bytes of a feature and of a word in a panel, of a vector.

private:
  Value resultAt(const Group &g, int64_t row, int64_t v) { return b.offset(g.y, row * rowSize + v * vectorSize); }
  Sums separatePairs(ArrayRef<Value> sums);
};

} // namespace mlir::rt3

#endif // RT3_CODEGEN_LOOPS_TILEKERNEL_H
