// SPDX-License-Identifier: Apache-2.0
//
// Writes levels into a model: one weight encoding per level on every linear
// layer, by magnitude or by what calibration inputs say.

#ifndef RT3_COMPILER_PRUNE_PRUNELEVELS_H
#define RT3_COMPILER_PRUNE_PRUNELEVELS_H

#include "compiler/prune/Calibrate.h"
#include "compiler/prune/Densities.h"
#include "compiler/prune/Levels.h"
#include "dialects/graph/Quantize.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::rt3 {

// In front of the symbols of pattern sets, so that no level has the same.
inline constexpr llvm::StringLiteral kSetSymbolPrefix = "patterns.";

// What a layer loses when weights go.
struct Importance {
  Saliency saliency; // Of each weight.
  double energy;     // Of all outputs, in the same unit; 0: layers cannot be compared.
  // Of the layer's inputs, if levels have biases that make up for them; else empty.
  std::vector<double> means = {};
};

// The importance of a layer's weights; nothing: by magnitude.
using ImportanceSource = std::function<std::optional<Importance>(graph::LinearOp)>;

// Of second order, by calibration inputs; `calibration` must live as long.
ImportanceSource secondOrderImportance(const Calibration &calibration);

// Whether any level of the plan prunes a layer, whose weights are constant.
bool isPruned(graph::LinearOp op, const LevelPlan &plan);
// Whether one of its levels, which prunes others, does.
bool isPrunedAt(graph::LinearOp op, const LevelPlan &plan, const LevelSpec &level);

// Errors: the first weight of a layer that is NaN or infinite; a name in the plan that no layer has.
llvm::Error checkLayers(ModuleOp module, const LevelPlan &plan);

// Adds a rt3_graph.level per level, pattern sets, and `levels` on each layer.
//
// Zeros that the weights contain already stay zeros and go first. A layer stays
// dense, with a reason, if the plan says so or if it is too small to gain.
// Where layers can be compared, those that suffer more keep more.
// Errors: those of checkLayers, and saliency that is larger than a float.
//
// `units`: what the target wants kept or dropped together; others: single weights.
// `times`: of levels that are given a share of time, those of all layers with constant
// weights, in the module's order.
llvm::Error pruneLevels(ModuleOp module, const LevelPlan &plan, const graph::PruningUnits &units,
                        const ImportanceSource &importance = nullptr,
                        const std::vector<std::vector<LayerTimes>> &times = {});

// Undoes it, and frees the masks, which no copy of the module may read then.
void clearLevels(ModuleOp module);

// One dense level, for a model that is compiled as it is: layers with many
// zeros are stored without them, all others dense.
LevelPlan levelsOfModelAsIs();

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_PRUNELEVELS_H
