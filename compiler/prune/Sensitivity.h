// SPDX-License-Identifier: Apache-2.0
//
// How much a model's results suffer when a layer loses weights.

#ifndef RT3_COMPILER_PRUNE_SENSITIVITY_H
#define RT3_COMPILER_PRUNE_SENSITIVITY_H

#include "compiler/prune/PruneLevels.h"

namespace mlir::rt3 {

// The importance of layers in one unit, the squared error of the model's results, in place of
// that of their own outputs.
//
// Each layer that `importance` knows and `plan` prunes loses, alone, the weights with the least
// saliency, as many as the plan's levels drop on average; up to 8 of the samples are run with it. The energy becomes
// the saliency that went over the squared error of all results, relative to their squared distance from their mean over
// tokens and samples: what stays the same for all inputs, such as a bias of logits, says nothing.
//
// Errors: an op that cannot be interpreted.
llvm::Expected<ImportanceSource> measureSensitivity(func::FuncOp function,
                                                    const std::vector<CalibrationSample> &samples,
                                                    const ImportanceSource &importance, const LevelPlan &plan);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_SENSITIVITY_H
