// SPDX-License-Identifier: Apache-2.0
//
// How long a program takes on a core of a chip, and what energy, without running it.

#ifndef RT3_COMPILER_PREDICT_PREDICTOR_H
#define RT3_COMPILER_PREDICT_PREDICTOR_H

#include "compiler/Compile.h"
#include "compiler/predict/Chip.h"

namespace mlir::rt3 {

// One op of one level, for `length` tokens.
struct OpPrediction {
  const MarkedOp *op;
  OpCost cost;              // By the scheduling model.
  double computeCycles = 0; // With constants.
  double memoryCycles = 0;  // Of reading weights from caches.
  double memorySeconds = 0; // Of reading weights from memory, whatever the clock.
  double activationCycles = 0;

  double serialShare = 0; // Of the shorter of computing and reading weights.

  // At a clock, in Hz: weights are read while computing, activations are waited for.
  double seconds(double clock) const {
    auto [shorter, longer] = std::minmax({computeCycles / clock, memoryCycles / clock + memorySeconds});
    return longer + serialShare * shorter + activationCycles / clock;
  }
};

// Why constants that were fitted at some lengths do not tell the time of `length`; empty: they do, or the core was
// not calibrated. `isFixed`: no dimension of the model is free, so that its length is not known.
std::string lengthFault(const ChosenCore &chosen, int64_t length, bool isFixed);

// The constants of a core; where it has none, those of its target, uncalibrated.
CostConstants constantsOf(const Core &core);

// Bytes of all weights of a level, which decide what stays in caches from one run to the next.
int64_t levelBytes(llvm::ArrayRef<MarkedOp> ops, size_t level, const std::map<int64_t, OpCost> &costs);

// What `cost` becomes on a core, as an op of a level of `levelBytes`.
OpPrediction predictOp(const Chip &chip, const Core &core, const CostConstants &constants, const MarkedOp &op,
                       const OpCost &cost, int64_t length, int64_t levelBytes);

struct LevelPrediction {
  std::vector<OpPrediction> ops; // In order; of what runs outside ops nothing.
  double seconds(double clock) const;
};

// Predicts all levels of a result that was compiled with marksOps to Stage::Profile.
llvm::Expected<std::vector<LevelPrediction>> predict(const CompileResult &result, const ChosenCore &chosen,
                                                     int64_t length, int64_t position = 0);

// The same for given constants, from costs that are known.
std::vector<LevelPrediction> predict(const CompileResult &result, const ChosenCore &chosen,
                                     const CostConstants &constants,
                                     const std::vector<std::map<int64_t, OpCost>> &costs, int64_t length);

// What each op of each level costs by the scheduling model.
llvm::Expected<std::vector<std::map<int64_t, OpCost>>> profileLevels(const CompileResult &result, int64_t length,
                                                                     int64_t position = 0);

// mJ of `seconds` at a level; nothing where its power is not known.
std::optional<double> energyMj(const ClockLevel &level, double seconds);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_PREDICTOR_H
