// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/Space.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <tuple>

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
  spec.isBalanced = spec.canBeBalanced(); // As levels.json has it where nothing is said; levels are not nested here.
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

std::string mlir::rt3::layoutName(const Layout &layout) {
  std::string name = schemeName(layout.scheme).str();
  if (layout.hasPatterns())
    name += llvm::formatv(" {0}x{1} k={2}", layout.rows, layout.columns, layout.patternCount);
  return name;
}

std::string mlir::rt3::layoutNames(const LevelSpec &spec) {
  std::string names = layoutName(spec);
  for (const NamedLayout &named : spec.layers)
    names += " + " + layoutName(named.layout);
  return names;
}

TimeCurve mlir::rt3::combine(const TimeCurve &wide, const TimeCurve &narrow) {
  TimeCurve result{wide.densities, wide.seconds, {}};
  for (auto [density, seconds] : llvm::enumerate(result.seconds)) {
    const std::vector<double> &other = narrow.narrow[std::min(density, narrow.narrow.size() - 1)];
    for (auto [clock, second] : llvm::enumerate(seconds))
      second += other[clock] - wide.narrow[density][clock];
  }
  return result;
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

std::string mlir::rt3::whyTooSlow(const std::vector<TimeCurve> &curves, const Core &core, size_t clock, double limit) {
  size_t fastest = 0, point = 0;
  for (size_t layout = 0; layout < curves.size(); ++layout)
    for (size_t i = 0; i < curves[layout].seconds.size(); ++i)
      if (curves[layout].seconds[i][clock] < curves[fastest].seconds[point][clock])
        std::tie(fastest, point) = std::pair(layout, i);
  return llvm::formatv("at {0} kHz no layout meets {1:f3} ms; the fastest, {2} with {3:f0} % of the weights, takes "
                       "{4:f3} ms: raise --latency-limit, lower --min-density or choose other --clocks",
                       core.levels[clock].frequencyKhz, 1e3 * limit, layoutName(searchedLayouts()[fastest]),
                       100 * curves[fastest].densities[point], 1e3 * curves[fastest].seconds[point][clock]);
}

std::vector<int> SearchSpace::sizes() const {
  std::vector<int> result;
  for (const SearchLevel &level : searchLevels)
    result.insert(result.end(), {int(level.layouts.size()), level.mixed.empty() ? 1 : 1 + int(searchedLayouts().size()),
                                 int(std::size(kDensitySteps)), kSamples});
  return result;
}

// Whether it matters where patterns are looked for: not if a set has all there are.
static bool learnsPatterns(const Layout &layout) {
  int64_t positions = layout.rows * layout.columns;
  return layout.hasPatterns() && (positions > 5 || (int64_t(1) << positions) - 1 > layout.patternCount);
}

LevelSpec SearchSpace::levelOf(const Candidate &candidate, size_t level) const {
  const int *decisions = &candidate[level * kDecisionsPerLevel];
  const SearchLevel &own = searchLevels[level];
  const FeasibleLayout &feasible = own.layouts[decisions[0]];
  int narrow = decisions[1] - 1;
  double largest = narrow >= 0 ? own.mixed[decisions[0]][narrow] : 0;
  LevelSpec spec = searchedLayouts()[feasible.layout];
  if (largest > 0)
    spec.layers = {{narrowLayers, searchedLayouts()[narrow]}};
  else
    largest = feasible.density;
  const ClockLevel &clock = core.levels[own.clock];
  spec.frequencyKhz = clock.frequencyKhz;
  spec.voltageUv = clock.voltageUv;
  spec.powerMw = std::llround(clock.powerMw);
  spec.name = llvm::formatv("f{0}", clock.frequencyKhz / 1000);
  if (spec.scheme != Scheme::Dense)
    spec.density = std::max(minDensity, std::floor(largest * kDensitySteps[decisions[2]] * 100 + 1e-9) / 100);
  if (learnsPatterns(spec))
    spec.patternSample = decisions[3];
  for (NamedLayout &named : spec.layers)
    if (learnsPatterns(named.layout))
      named.layout.patternSample = decisions[3];
  return spec;
}
