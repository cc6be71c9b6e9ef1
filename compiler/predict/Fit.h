// SPDX-License-Identifier: Apache-2.0
//
// Fits the constants of predictions to measured times.

#ifndef RT3_COMPILER_PREDICT_FIT_H
#define RT3_COMPILER_PREDICT_FIT_H

#include "compiler/predict/Predictor.h"

namespace mlir::rt3 {

// One op of one level at one length.
struct Measurement {
  const MarkedOp *op;
  OpCost cost;
  int64_t length, levelBytes;
  double seconds; // Measured.
  bool isHeldOut; // Not fitted, but judged by.
};

struct FitResult {
  CostConstants constants;
  double memoryBytesPerSecond;
};

// The constants with the smallest mean of |predicted / measured - 1| over what is not held
// out, weighted by time within each length, found from those of `core`, and multiples of them, by steps of
// shrinking factors on each in turn. Measurements of under 0.2 us do not count: the clock is too coarse.
FitResult fitConstants(const Chip &chip, const Core &core, llvm::ArrayRef<Measurement> measurements, double clock);

// Mean of |predicted / measured - 1| in percent, over linear layers that are held out.
double layerErrorPercent(const Chip &chip, const Core &core, const CostConstants &constants,
                         llvm::ArrayRef<Measurement> measurements, double clock);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_FIT_H
