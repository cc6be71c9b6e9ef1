// SPDX-License-Identifier: Apache-2.0
//
// What the kernels of linear layers share, for tiles of tokens and for one token.

#ifndef RT3_CODEGEN_LOOPS_LINEARLOOPS_H
#define RT3_CODEGEN_LOOPS_LINEARLOOPS_H

#include "codegen/loops/Loops.h"

namespace mlir::rt3 {

// The arguments of the kernel of one stream.
struct TileArguments {
  // x, y: this panel; start: what sums begin with, the bias or of int8 the offsets.
  Value x, y, weights, start;
  Value inputs, groups, isFirst;
  Value isLast, scales, bias; // Of int8.
  // Where the groups begin in each range: bytes, as i64, `partStride` bytes apart.
  Value parts, partStride;

  // The weights of range `r`; `next` is where the last range ended.
  Value weightsOf(LoopBuilder &b, Value r, Value next) const {
    return parts ? b.offset(weights, b.load(b.getI64Type(), b.offset(parts, b.mul(r, partStride)))) : next;
  }
};

// The beginning of a sparse segment; see rt3_kernel.stream.
struct SegmentHeader {
  SmallVector<Value> counts; // Per pattern.
  Value indices, values;     // Where they begin.
  int64_t entries;           // Indices per block.

  SegmentHeader(LoopBuilder &b, kernel::StreamAttr stream, Value segment);
};

// Values of a stream, as f32 or i32; reads as many as `type` has lanes.
Value loadWords(LoopBuilder &b, kernel::StreamAttr stream, VectorType type, Value pointer);

// A column of a block that a pass reads, and its rows from the pass's first on.
struct KeptColumn {
  int64_t column;
  SmallVector<int64_t> rows;
};
SmallVector<KeptColumn> keptColumns(kernel::StreamAttr stream, int64_t pattern, int64_t firstRow);

// sum + weight x: of f32 vectors, or with `dot` of the numbers in words; a sum of
// fmla_f16 is a vector of words too.
Value buildMultiply(LoopBuilder &b, std::optional<kernel::Dot> dot, Value weight, Value x, Value sum);

// The even and odd numbers of words of f16 pairs, as f32.
std::pair<Value, Value> splitHalves(LoopBuilder &b, Value words);

// The kernel of `stream` that `build` makes; `form` tells it from others of the stream.
func::FuncOp getStreamKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                             std::optional<kernel::Dot> dot, const std::string &form,
                             llvm::function_ref<void(LoopBuilder &, const TileArguments &)> build);

// The kernel of `stream` for panels of which `vectors` vectors hold tokens.
func::FuncOp getTileKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                           std::optional<kernel::Dot> dot, int64_t vectors);

// The kernel of `stream` for panels of tokens for half a vector; see kernel::halfTileTokens.
func::FuncOp getHalfTileKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                               std::optional<kernel::Dot> dot);

// The kernel of `stream` for one token, whose inputs are `width` floats apart.
func::FuncOp getTokenKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                            std::optional<kernel::Dot> dot, int64_t width);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_LOOPS_LINEARLOOPS_H
