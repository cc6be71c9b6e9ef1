// SPDX-License-Identifier: Apache-2.0
//
// The numbers of rt3_graph.linear with `int8` and `f16`: shared by everything that computes
// such a layer, so that all results are equal to the bit.

#ifndef RT3_DIALECTS_GRAPH_QUANTIZE_H
#define RT3_DIALECTS_GRAPH_QUANTIZE_H

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <vector>

namespace mlir::rt3::graph {

// Largest absolute value of a quantised number; -128 is not used.
inline constexpr int kLargestQuantum = 127;

// Sums of 255 x 127 x this many inputs, the largest that any instruction makes, fit
// 32 bits.
inline constexpr int64_t kMaxInt8Inputs = 65536;

// Inputs that share a 32-bit word in the layouts with dot products. Pruned int8
// layers keep or drop whole quads.
inline constexpr int64_t kQuad = 4;

struct QuantizedWeights {
  std::vector<int8_t> values; // [K][N]
  std::vector<float> scales;  // [N]; 0 where all weights are.
};

// K x N weights per output n: scale = max over k of |w| / 127.
QuantizedWeights quantizeWeights(llvm::ArrayRef<float> weights, int64_t inputs, int64_t outputs);

// The f16 nearest to a number (half to even): its bits. Infinite from 65520 on.
uint16_t toHalf(float value);
float fromHalf(uint16_t bits);

// A token's features: scale = max |x| / 127 in f32. NaN if a feature is NaN or
// infinite; 0 if all are 0, or so small that 127 / max |x| is infinite.
float quantizeToken(llvm::ArrayRef<float> features, std::vector<int8_t> &out);

} // namespace mlir::rt3::graph

#endif // RT3_DIALECTS_GRAPH_QUANTIZE_H
