// SPDX-License-Identifier: Apache-2.0
//
// Writes levels into a model: one weight encoding per level on every linear
// layer, by magnitude or by what calibration inputs say.

#ifndef RT3_COMPILER_PRUNE_PRUNELEVELS_H
#define RT3_COMPILER_PRUNE_PRUNELEVELS_H

#include "compiler/prune/Calibrate.h"
#include "compiler/prune/Levels.h"
#include "dialects/graph/Quantize.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::rt3 {

// Adds a rt3_graph.level per level, pattern sets, and `levels` on each layer.
//
// Zeros that the weights contain already stay zeros and go first. A layer stays
// dense, with a reason, if the plan says so or if it is too small to gain.
// With a calibration of the module's layers, saliency is of second order; values are
// rebuilt by rebuildLevels.
// Errors: weights that are NaN or infinite, with layer and place.
//
// `units`: what the target wants kept or dropped together; others: single weights.
llvm::Error pruneLevels(ModuleOp module, const LevelPlan &plan, const graph::PruningUnits &units,
                        const Calibration *calibration = nullptr);

// One dense level, for a model that is compiled as it is: layers with many
// zeros are stored without them, all others dense.
LevelPlan levelsOfModelAsIs();

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_PRUNELEVELS_H
