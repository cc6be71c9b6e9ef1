// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/Space.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir::rt3;

// Shares of the largest density that are tried: less is faster and takes less energy.
static constexpr double kDensitySteps[] = {1, 0.92, 0.84};
static constexpr int kSamples = 4;

static LevelSpec layout(Scheme scheme, int64_t rows = 8, int64_t columns = 1, int64_t count = 16) {
  LevelSpec spec;
  spec.scheme = scheme;
  spec.rows = rows;
  spec.columns = columns;
  spec.patternCount = count;
  return spec;
}

const std::vector<LevelSpec> &mlir::rt3::searchedLayouts() {
  static const std::vector<LevelSpec> layouts = {
      layout(Scheme::Dense),
      layout(Scheme::Block),
      layout(Scheme::Pattern, 4, 1, 15),
      layout(Scheme::Pattern, 8, 1, 16),
      layout(Scheme::Pattern, 8, 4, 8),
      layout(Scheme::BlockPattern, 8, 1, 16),
      layout(Scheme::BlockPattern, 8, 4, 8),
  };
  return layouts;
}

std::string mlir::rt3::layoutName(const LevelSpec &spec) {
  std::string name = schemeName(spec.scheme).str();
  if (spec.scheme == Scheme::Pattern || spec.scheme == Scheme::BlockPattern)
    name += llvm::formatv(" {0}x{1} k={2}", spec.rows, spec.columns, spec.patternCount);
  return name;
}

std::optional<double> mlir::rt3::largestDensity(const TimeCurve &curve, size_t clock, double limit) {
  std::optional<double> best;
  for (size_t i = 0; i < curve.densities.size(); ++i) {
    double now = curve.seconds[i][clock];
    if (now <= limit) {
      best = curve.densities[i];
    } else if (i > 0 && best) {
      double before = curve.seconds[i - 1][clock];
      double share = (limit - before) / (now - before);
      best = curve.densities[i - 1] + share * (curve.densities[i] - curve.densities[i - 1]);
      break;
    }
  }
  if (best)
    best = std::max(curve.densities.front(), std::floor(*best * 100 + 1e-9) / 100);
  return best;
}

std::vector<int> SearchSpace::sizes() const {
  std::vector<int> result;
  for (const SearchLevel &level : searchLevels)
    result.insert(result.end(), {int(level.layouts.size()), int(std::size(kDensitySteps)), kSamples});
  return result;
}

LevelSpec SearchSpace::levelOf(const Candidate &candidate, size_t level) const {
  const int *decisions = &candidate[level * kDecisionsPerLevel];
  const SearchLevel &own = searchLevels[level];
  const FeasibleLayout &feasible = own.layouts[decisions[0]];
  LevelSpec spec = searchedLayouts()[feasible.layout];
  const ClockLevel &clock = core.levels[own.clock];
  spec.frequencyKhz = clock.frequencyKhz;
  spec.voltageUv = clock.voltageUv;
  spec.powerMw = std::llround(clock.powerMw);
  spec.name = llvm::formatv("f{0}", clock.frequencyKhz / 1000);
  if (spec.scheme != Scheme::Dense)
    spec.density = std::max(minDensity, std::floor(feasible.density * kDensitySteps[decisions[1]] * 100 + 1e-9) / 100);
  if (spec.scheme == Scheme::Pattern || spec.scheme == Scheme::BlockPattern)
    spec.patternSample = decisions[2];
  return spec;
}
