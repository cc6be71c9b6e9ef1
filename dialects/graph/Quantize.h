// SPDX-License-Identifier: Apache-2.0
//
// The numbers of rt3_graph.linear with a precision: shared by everything that computes
// such a layer, so that all results are equal to the bit.

#ifndef RT3_DIALECTS_GRAPH_QUANTIZE_H
#define RT3_DIALECTS_GRAPH_QUANTIZE_H

#include "dialects/graph/Graph.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace mlir::rt3::graph {

// Largest absolute value of a quantised number; -128 is not used.
inline constexpr int kLargestQuantum = 127;

// Sums of 255 x 127 x this many inputs, the largest that any instruction makes, fit
// 32 bits.
inline constexpr int64_t kMaxInt8Inputs = 65536;

// Weights that pruning keeps or drops together, because they are multiplied by one
// instruction: neighbouring inputs of neighbouring outputs.
struct PruningUnit {
  int64_t inputs = 1, outputs = 1;
};
using PruningUnits = std::map<Precision, PruningUnit>;

// Where patterns are balanced, each is chosen as often in every group of outputs in each so many inputs, counted in
// pruning units. A panel of 48 tokens of so many fills three quarters of a first-level cache of 48 KB; on Zen 5, loops
// of up to 18 trips that repeat are foreseen, and in 192 inputs 16 patterns have 12 each. Shorter
// ranges lose more saliency: by a prototype, of normal weights under 8x1 patterns of 30 %, 0.6 % in 192, 1.3 % in 64.
inline constexpr int64_t kBalancedInputs = 192;

struct QuantizedWeights {
  std::vector<int8_t> values; // [K][N]
  std::vector<float> scales;  // [N]; 0 where all weights are.
};

// K x N weights per output n: scale = max over k of |w| / 127.
QuantizedWeights quantizeWeights(llvm::ArrayRef<float> weights, int64_t inputs, int64_t outputs);

// The bits of the f16 or bf16 that is nearest to a number, half to even. f16 is infinite
// from 65520 on.
uint16_t toHalf(float value);
uint16_t toBfloat(float value);

// A weight or feature as layers of `precision` multiply it; as it is but for f16,
// f16_sums and bf16.
float rounded(float value, std::optional<Precision> precision);

// A token's features: scale = max |x| / 127 in f32. NaN if a feature is NaN or
// infinite; 0 if all are 0, or so small that 127 / max |x| is infinite.
float quantizeToken(llvm::ArrayRef<float> features, std::vector<int8_t> &out);

} // namespace mlir::rt3::graph

#endif // RT3_DIALECTS_GRAPH_QUANTIZE_H
