// SPDX-License-Identifier: Apache-2.0
//
// Fits the constants of predictions to measured times.

#ifndef RT3_COMPILER_PREDICT_FIT_H
#define RT3_COMPILER_PREDICT_FIT_H

#include "compiler/predict/Predictor.h"

namespace mlir::rt3 {

// One op of one level at one length.
struct Measurement {
  MarkedOp op;
  OpCost cost;
  int64_t length, levelBytes;
  double clock;   // Hz, while it was measured.
  double seconds; // Measured: the median of cycles, at that clock.
  bool isHeldOut; // Not fitted, but judged by.
};

// What was measured of one model.
struct MeasuredModel {
  std::string name;                // A path and a type of numbers.
  std::vector<std::string> levels; // Names, by MarkedOp::level.
  std::vector<Measurement> measurements;
};

struct FitResult {
  CostConstants constants;
  double memoryBytesPerSecond;
};

// The constants with the smallest mean of |predicted / measured - 1| over what is not held out, found from
// those of `core`, and multiples of them, by steps of shrinking factors on each, alone and against the scale of computing. Each model at each length
// counts the same; within one, ops count by the root of their time. Measurements of under 0.2 us do not count: the
// clock is too coarse; without any other, the constants of `core` come back, as do those that no measurement
// tells anything of.
FitResult fitConstants(const Chip &chip, const Core &core, llvm::ArrayRef<MeasuredModel> models);

// Mean of |predicted / measured - 1| in percent, over linear layers that are held out.
double layerErrorPercent(const Chip &chip, const Core &core, const CostConstants &constants,
                         llvm::ArrayRef<Measurement> measurements);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_FIT_H
