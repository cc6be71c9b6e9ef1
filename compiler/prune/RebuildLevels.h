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

// Sets the values of all levels of the layers of `function`, which have their encodings.
//
// The samples run twice side by side, dense and at the level, op after op. At each layer
// the kept weights become those that give, from the pruned network's x', the outputs Y = x W
// of the dense one: least squares over the kept weights of |x' W' - Y|^2, dampened towards
// W, and never worse than the weights as they were. Levels that are not nested get values
// of their own. Of nested levels the sparsest owns its values, each denser one those it
// adds, and all are stored once; where a level is dense, the layer keeps the model's.
//
// Errors: an op that cannot be interpreted, activations that are NaN or infinite.
llvm::Expected<std::vector<RebuiltLayer>> rebuildLevels(func::FuncOp function,
                                                        const std::vector<CalibrationSample> &samples);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_REBUILDLEVELS_H
