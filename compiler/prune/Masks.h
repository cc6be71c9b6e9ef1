// SPDX-License-Identifier: Apache-2.0
//
// Which weights a layer keeps: columns per group of outputs (block pruning) and
// a few patterns (pattern pruning), by saliency.

#ifndef RT3_COMPILER_PRUNE_MASKS_H
#define RT3_COMPILER_PRUNE_MASKS_H

#include "compiler/prune/Levels.h"

#include <cstdint>
#include <vector>

namespace mlir::rt3 {

// A layer's saliency, K x N row-major: what is lost if a weight goes. Zero for
// weights that are gone already.
struct Saliency {
  int64_t inputs, outputs; // K, N.
  std::vector<float> values;

  float at(int64_t input, int64_t output) const {
    return output < outputs ? values[input * outputs + output] : 0;
  }
};

// K x N, 1 where the weight is kept.
using Mask = std::vector<uint8_t>;

// What pattern pruning comes to.
struct PatternChoice {
  Mask mask;
  std::vector<int64_t> patterns; // Those that blocks have, bit c * rows + r.
};

// Keeps, per group of `rows` outputs, the `density` x K inputs with the largest
// sums of saliency.
Mask pruneBlocks(const Saliency &saliency, int64_t rows, double density);

// Learns `spec.patternCount` patterns and gives each block of the layer one.
//
// Blocks of one column: patterns of any count under one budget (an input that
// is dropped has the empty pattern). Start: the most frequent masks of weights
// above a threshold. Then in turns: each block takes the pattern with the most
// saliency minus lambda times its count, lambda set so that the budget is met;
// each pattern keeps the weights whose mean saliency in its blocks exceeds
// lambda. Larger blocks: patterns of one count, chosen in the same turns.
//
// With `upper`, the mask of a denser level, only weights that it keeps are kept.
// With `gathered`, blocks are made of the columns that `upper` keeps in a group.
PatternChoice prunePatterns(const Saliency &saliency, const LevelSpec &spec,
                            const Mask *upper, bool gathered);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_MASKS_H
