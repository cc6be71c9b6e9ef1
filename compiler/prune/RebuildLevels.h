// SPDX-License-Identifier: Apache-2.0
//
// Weights of pruned levels, rebuilt layer by layer on what the pruned layers before give.

#ifndef RT3_COMPILER_PRUNE_REBUILDLEVELS_H
#define RT3_COMPILER_PRUNE_REBUILDLEVELS_H

#include "compiler/prune/Calibrate.h"

namespace mlir::rt3 {

// What rebuilding has come to for one layer at one level.
struct RebuiltLayer {
  std::string layer, level;
  // Squared error of the outputs over that of no weights at all: with the kept weights as
  // they were, and rebuilt.
  double maskedError, error;
};

// Bytes that rebuilding keeps at its peak for so many samples: activations of all of them, dense
// and pruned, and the matrices of the widest layer. An estimate from below by some tenths.
int64_t rebuildingMemory(func::FuncOp function, llvm::ArrayRef<CalibrationSample> samples);

// How far rebuilding is: which levels have their values, slowest first, and what came of them.
struct RebuildState {
  size_t levelsDone = 0;
  std::vector<RebuiltLayer> layers;
};

// Sets the values of all levels of the layers of `function`, which have their encodings.
//
// The samples run twice side by side, dense and at the level, op after op. At each layer
// the kept weights become those that give, from the pruned network's x', the outputs Y = x W
// of the dense one: least squares over the kept weights of |x' W' - Y|^2, dampened towards
// W, and never worse than the weights as they were. Levels that are not nested get values
// of their own. Of nested levels the sparsest owns its values, each denser one those it
// adds, and all are stored once; where a level is dense, the layer keeps the model's.
//
// With `hasOwnBiases`, layers that a level prunes get biases of its own, nested or not, by which what they
// compute, before a function and in f32, is on average what the dense network has there (see
// rebuildBias for residuals); least squares are then about the means.
//
// Goes on from `state`; after each level `save`, if there is one, is called with it, the module holding the values.
//
// Errors: an op that cannot be interpreted, activations that are NaN or infinite; save's.
llvm::Error rebuildLevels(func::FuncOp function, const std::vector<CalibrationSample> &samples, bool hasOwnBiases,
                          RebuildState &state, llvm::function_ref<llvm::Error(const RebuildState &)> save = nullptr);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_REBUILDLEVELS_H
