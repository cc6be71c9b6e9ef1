// SPDX-License-Identifier: Apache-2.0

#include "compiler/predict/Fit.h"

#include <cmath>
#include <limits>

using namespace mlir::rt3;

// Below, times are those of the clock and the mark.
static constexpr double kShortest = 2e-7;

static double predictSeconds(const Chip &chip, const Core &core, const CostConstants &constants,
                             const Measurement &measurement, double clock) {
  return predictOp(chip, core, constants, *measurement.op, measurement.cost, measurement.length, measurement.levelBytes)
      .seconds(clock);
}

// Lowers `loss` by steps of shrinking factors on each of `free` in turn; returns what is left.
static double descend(llvm::ArrayRef<double *> free, llvm::function_ref<double()> loss) {
  double best = loss();
  for (double step = 2; step > 1.005;) {
    bool isBetter = false;
    for (double *constant : free)
      for (double factor : {step, 1 / step}) {
        double before = *constant;
        *constant *= factor;
        double now = loss();
        if (now < best) {
          best = now;
          isBetter = true;
        } else {
          *constant = before;
        }
      }
    if (!isBetter)
      step = std::sqrt(step);
  }
  return best;
}

FitResult mlir::rt3::fitConstants(const Chip &givenChip, const Core &core, llvm::ArrayRef<Measurement> measurements,
                                  double clock) {
  Chip chip = givenChip;
  CostConstants constants;
  // What takes long counts for more, but a small op is no less a layer.
  auto loss = [&] {
    double sum = 0, weights = 0;
    for (const Measurement &measurement : measurements) {
      if (measurement.isHeldOut || measurement.seconds < kShortest)
        continue;
      double weight = std::sqrt(measurement.seconds / measurement.length);
      sum += weight * std::abs(predictSeconds(chip, core, constants, measurement, clock) / measurement.seconds - 1);
      weights += weight;
    }
    return weights ? sum / weights : 0;
  };
  double *const free[] = {&constants.computeScale,
                          &constants.loopEntryCycles,
                          &constants.callCycles,
                          &constants.streamCycles,
                          &constants.l2BytesPerCycle,
                          &constants.l3BytesPerCycle,
                          &constants.activationBytesPerCycle,
                          &chip.memoryBytesPerSecond};
  // A mean of absolute errors has corners where no step of one constant leads down: from
  // several beginnings, of what weighs most.
  FitResult found{constantsOf(core), givenChip.memoryBytesPerSecond};
  double least = std::numeric_limits<double>::infinity();
  for (double scale : {1.0, 0.5, 0.7, 1.4, 2.0})
    for (double memory : {1.0, 0.5, 2.0}) {
      constants = constantsOf(core);
      // Steps are factors: none leads away from zero.
      constants.callCycles = std::max(constants.callCycles, 50.0);
      constants.streamCycles = std::max(constants.streamCycles, 50.0);
      constants.loopEntryCycles = std::max(constants.loopEntryCycles, 1.0);
      constants.computeScale *= scale;
      chip.memoryBytesPerSecond = givenChip.memoryBytesPerSecond * memory;
      if (double left = descend(free, loss); left < least) {
        least = left;
        found = {constants, chip.memoryBytesPerSecond};
      }
    }
  return found;
}

double mlir::rt3::layerErrorPercent(const Chip &chip, const Core &core, const CostConstants &constants,
                                    llvm::ArrayRef<Measurement> measurements, double clock) {
  double sum = 0;
  int64_t count = 0;
  for (const Measurement &measurement : measurements) {
    if (!measurement.isHeldOut || measurement.op->layer.empty() || measurement.seconds < kShortest)
      continue;
    sum += std::abs(predictSeconds(chip, core, constants, measurement, clock) / measurement.seconds - 1);
    ++count;
  }
  return count ? 100 * sum / count : 0;
}
