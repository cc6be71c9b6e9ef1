// SPDX-License-Identifier: Apache-2.0

#include "compiler/predict/Fit.h"

#include <cmath>
#include <limits>
#include <map>
#include <tuple>

using namespace mlir::rt3;

// Below, times are those of the clock and the mark.
static constexpr double kShortest = 2e-7;

static double predictSeconds(const Chip &chip, const Core &core, const CostConstants &constants,
                             const Measurement &measurement) {
  return predictOp(chip, core, constants, measurement.op, measurement.cost, measurement.length, measurement.levelBytes)
      .seconds(measurement.clock);
}

namespace {

// A constant that is fitted, the most that it may become, and what it was.
struct FreeConstant {
  FreeConstant(double *value, double most = std::numeric_limits<double>::infinity())
      : value(value), most(most), given(*value) {}
  double *value, most, given;
};

// What a measurement counts.
struct Weighted {
  const Measurement *measurement;
  double weight;
};

} // namespace

// No core takes in more than two lines of 128 bytes per cycle.
static constexpr double kMostBytesPerCycle = 256;
// No cache of all cores is larger.
static constexpr double kMostL3Size = 1LL << 31;
// No memory gives one core more.
static constexpr double kMostBytesPerSecond = 1e13;
// Less than this of cycles or a share is nothing.
static constexpr double kLeastCost = 1e-3;

// Lowers `loss` by steps of shrinking factors on each of `free`, alone or against the first, which most of
// them can take the place of; returns what is left.
static double descend(llvm::ArrayRef<FreeConstant> free, llvm::function_ref<double()> loss) {
  double best = loss();
  bool isBetter;
  auto attempt = [&](const FreeConstant &one, double factor, const FreeConstant &other, double otherFactor) {
    double before = *one.value, otherBefore = *other.value;
    *one.value = std::min(before * factor, one.most);
    *other.value = std::min(*other.value * otherFactor, other.most);
    double now = loss();
    if (now < best) {
      best = now;
      isBetter = true;
    } else {
      *other.value = otherBefore;
      *one.value = before;
    }
  };
  for (double step = 2; step > 1.005;) {
    isBetter = false;
    for (const FreeConstant &constant : free)
      for (double factor : {step, 1 / step}) {
        attempt(constant, factor, constant, 1);
        if (&constant != &free.front())
          attempt(free.front(), factor, constant, 1 / factor);
      }
    if (!isBetter)
      step = std::sqrt(step);
  }
  return best;
}

// What is fitted, so weighted that a model at a length counts the same as any other: what takes long counts
// for more, but a small op is no less a layer.
static std::vector<Weighted> weigh(llvm::ArrayRef<MeasuredModel> models) {
  std::vector<Weighted> result;
  for (const MeasuredModel &model : models) {
    std::map<int64_t, double> sums;
    size_t begin = result.size();
    for (const Measurement &measurement : model.measurements)
      if (!measurement.isHeldOut && measurement.seconds >= kShortest) {
        result.push_back({&measurement, std::sqrt(measurement.seconds)});
        sums[measurement.length] += result.back().weight;
      }
    for (size_t i = begin; i < result.size(); ++i)
      result[i].weight /= sums[result[i].measurement->length];
  }
  return result;
}

FitResult mlir::rt3::fitConstants(const Chip &givenChip, const Core &core, llvm::ArrayRef<MeasuredModel> models) {
  Chip chip = givenChip;
  const CostConstants given = constantsOf(core);
  CostConstants constants = given;
  std::vector<Weighted> fitted = weigh(models);
  auto loss = [&] {
    double sum = 0;
    for (auto [measurement, weight] : fitted)
      sum += weight * std::abs(predictSeconds(chip, core, constants, *measurement) / measurement->seconds - 1);
    return sum;
  };
  const FreeConstant free[] = {{&constants.computeScale},
                               {&constants.otherScale},
                               {&constants.waitShare, 1},
                               {&constants.serialShare, 1},
                               {&constants.loopEntryCycles},
                               {&constants.callCycles},
                               {&constants.coldCycles},
                               {&constants.streamCycles},
                               {&constants.l2BytesPerCycle, kMostBytesPerCycle},
                               {&constants.l3BytesPerCycle, kMostBytesPerCycle},
                               {&constants.activationBytesPerCycle, kMostBytesPerCycle},
                               {&constants.farActivationBytesPerCycle, kMostBytesPerCycle},
                               {&constants.partialSumBytesPerCycle, kMostBytesPerCycle},
                               {&chip.memoryBytesPerSecond, kMostBytesPerSecond},
                               {&constants.usableL3Size, kMostL3Size}};
  // A mean of absolute errors has corners where no step of one constant leads down: from
  // several beginnings, of what weighs most.
  std::vector<std::tuple<double, double, double>> beginnings;
  for (double scale : {1.0, 0.5, 0.7, 1.4, 2.0})
    for (double memory : {1.0, 0.5, 2.0})
      for (double wait : {1.0, 0.3})
        beginnings.emplace_back(scale, memory, wait);
  FitResult found{given, givenChip.memoryBytesPerSecond};
  if (fitted.empty())
    return found;
  double least = std::numeric_limits<double>::infinity();
  for (auto [scale, memory, wait] : beginnings) {
    constants = given;
    // Steps are factors: none leads away from zero.
    for (double *cycles : {&constants.callCycles, &constants.coldCycles, &constants.streamCycles})
      *cycles = std::max(*cycles, 50.0);
    constants.loopEntryCycles = std::max(constants.loopEntryCycles, 1.0);
    constants.serialShare = std::max(constants.serialShare, 0.1);
    constants.waitShare = std::max(constants.waitShare, 0.1);
    if (constants.partialSumBytesPerCycle == 0)
      constants.partialSumBytesPerCycle = kMostBytesPerCycle;
    if (constants.usableL3Size == 0)
      constants.usableL3Size = chip.l3Size;
    constants.computeScale *= scale;
    constants.waitShare *= wait;
    chip.memoryBytesPerSecond = givenChip.memoryBytesPerSecond * memory;
    if (double left = descend(free, loss); left < least) {
      least = left;
      found = {constants, chip.memoryBytesPerSecond};
    }
  }
  // Steps may have moved what nothing was measured of.
  constants = found.constants;
  chip.memoryBytesPerSecond = found.memoryBytesPerSecond;
  for (const FreeConstant &constant : free) {
    double best = *constant.value;
    *constant.value = constant.given;
    if (loss() > least)
      *constant.value = best;
  }
  found = {constants, chip.memoryBytesPerSecond};
  CostConstants &best = found.constants;
  for (double *cost : {&best.waitShare, &best.serialShare, &best.loopEntryCycles, &best.callCycles, &best.coldCycles,
                       &best.streamCycles})
    if (*cost < kLeastCost)
      *cost = 0;
  return found;
}

double mlir::rt3::layerErrorPercent(const Chip &chip, const Core &core, const CostConstants &constants,
                                    llvm::ArrayRef<Measurement> measurements) {
  double sum = 0;
  int64_t count = 0;
  for (const Measurement &measurement : measurements) {
    if (!measurement.isHeldOut || measurement.op.layer.empty() || measurement.seconds < kShortest)
      continue;
    sum += std::abs(predictSeconds(chip, core, constants, measurement) / measurement.seconds - 1);
    ++count;
  }
  return count ? 100 * sum / count : 0;
}
