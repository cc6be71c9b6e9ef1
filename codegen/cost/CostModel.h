// SPDX-License-Identifier: Apache-2.0
//
// Predicted time of linear layers on a device: what their loops take by LLVM's scheduling model,
// the ends of loops, and bytes. An estimate: caches are perfect but for the stream of weights and what is said below.

#ifndef RT3_CODEGEN_COST_COSTMODEL_H
#define RT3_CODEGEN_COST_COSTMODEL_H

#include "codegen/cost/LoopCycles.h"
#include "codegen/devices/Device.h"
#include "codegen/packing/PackWeights.h"

#include <optional>
#include <string>

namespace mlir::rt3 {

class CostModel {
public:
  // Of layers with these products; none: f32.
  CostModel(const Device &device, std::optional<kernel::Dot> dot);

  // Cycles of a layer of `inputs` words for `tokens` tokens. Per block the cycles of its loop (LoopCycles) and of
  // activations from the second level of cache; per loop its end, and that of the loop over the rest; per segment
  // its sums; per panel at least the stream's bytes by bandwidth. A single token, and tokens for half a vector, have
  // kernels of their own, of which instructions are counted: the largest of FMA, load and issue limits.
  double linear(const PackedStream &stream, int64_t inputs, int64_t tokens);

  // What linear() gives for dense weights in groups of `rows`, without packing them. `valueSize`: bytes of a word.
  double dense(int64_t inputs, int64_t outputs, int64_t tokens, int64_t valueSize, int64_t rows);

  // Whether a loop of these patterns (none: dense) has no register for something.
  bool usesStack(const StreamShape &shape, const std::vector<int64_t> &patterns);

  // Why LLVM has no cycles for a loop that was asked for, so that what the others returned means nothing; empty: it
  // has.
  const std::string &problem() const { return problemText; }

private:
  std::vector<LoopCost> findLoops(const StreamShape &shape, const std::vector<int64_t> &patterns);
  double patternLoops(const PackedStream &stream, int64_t vectors);

  Device device; // As it multiplies `dot`.
  std::optional<kernel::Dot> dot;
  LoopCycles &loops;
  std::string problemText;
};

} // namespace mlir::rt3

#endif // RT3_CODEGEN_COST_COSTMODEL_H
