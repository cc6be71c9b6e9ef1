// SPDX-License-Identifier: Apache-2.0
//
// Which weights a layer keeps: columns per group of outputs (block pruning) and
// a few patterns (pattern pruning), by saliency.

#ifndef RT3_COMPILER_PRUNE_MASKS_H
#define RT3_COMPILER_PRUNE_MASKS_H

#include "compiler/prune/Levels.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace mlir::rt3 {

// A layer's saliency, K x N row-major: what is lost if a weight goes. Zero for
// weights that are gone already.
struct Saliency {
  int64_t inputs, outputs; // K, N.
  std::vector<float> values;

  float at(int64_t input, int64_t output) const { return output < outputs ? values[input * outputs + output] : 0; }
};

// K x N, 1 where the weight is kept.
using Mask = std::vector<uint8_t>;

// Keeps, per group of `rows` outputs, the `density` x K inputs with the largest
// sums of saliency.
Mask pruneBlocks(const Saliency &saliency, int64_t rows, double density);

// A layer as pattern pruning sees it.
struct PatternLayer {
  const Saliency *saliency;
  // The weights that may be kept: those of the denser level that this one is
  // nested in, those that the sparser one that it adds to does not keep, or the columns that block
  // pruning has kept. Null: all.
  const Mask *upper = nullptr;
  // Of patterns of any count: the layer's own density, without what a sparser
  // level keeps.
  std::optional<double> density;
};

// Learns `spec.patternCount` patterns that these layers share, and gives each
// block of each layer one; returns the layers' masks.
//
// Saliency counts relative to the mean of its layer. With `isCountFree()`:
// patterns of any count under the budget of the layer (a block that is dropped
// has the empty pattern, so that columns of block pruning are the case of full and empty ones). Start: the most
// frequent masks of weights above a threshold. Then in turns: each block takes the pattern with the most saliency minus
// lambda times its count (of blocks of 8 x 1: at least 4, which take as long), lambda set so that the budget is met;
// each pattern keeps the weights whose mean saliency in its blocks exceeds lambda, or that cost nothing. Else patterns
// of one count, at most one more per row than rows have on average, chosen in the same turns; within a denser level,
// each of its patterns gets one sub-pattern.
//
// With `spec.isBalanced`, blocks then change their patterns, at the least loss, until each pattern has as many in every
// group of outputs.
//
// With `gathered`, blocks are made of the columns that `upper` keeps in a group, and patterns of a fixed count keep
// something of each, if they keep so many.
std::vector<Mask> prunePatterns(const std::vector<PatternLayer> &layers, const LevelSpec &spec, bool gathered);

// The masks of a layer's blocks, bit c * rows + r, that are kept in `mask` and
// not in `without` (null: nothing is left out). Blocks as in prunePatterns.
void forEachBlockMask(const Saliency &layer, const LevelSpec &spec, const Mask &mask, const Mask *without,
                      const std::function<void(uint64_t)> &body);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_MASKS_H
