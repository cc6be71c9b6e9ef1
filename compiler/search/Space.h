// SPDX-License-Identifier: Apache-2.0
//
// What a search may choose: for each clock of a device a layout, how much of the weights
// it keeps and which patterns it starts from, so that each level can meet the limit.

#ifndef RT3_COMPILER_SEARCH_SPACE_H
#define RT3_COMPILER_SEARCH_SPACE_H

#include "compiler/predict/Chip.h"
#include "compiler/prune/Levels.h"

namespace mlir::rt3 {

// The layouts that are tried; density, name and clock are not set.
const std::vector<LevelSpec> &searchedLayouts();
// "pp 8x4 k=8", for people.
std::string layoutName(const Layout &layout);
// "bp + pp 8x4 k=8": a level's own, then those of the layers that it names.
std::string layoutNames(const LevelSpec &spec);

// Predicted seconds of a layout on one core.
struct TimeCurve {
  std::vector<double> densities;                // Rising.
  std::vector<std::vector<double>> seconds;     // [density][clock of the core].
  std::vector<std::vector<double>> narrow = {}; // Of these, those of narrow layers.
};

// Wide layers in one layout and narrow ones in another, from their curves over the same densities; that of narrow
// layers may be a dense one's, over {1}.
TimeCurve combine(const TimeCurve &wide, const TimeCurve &narrow);

// The largest density, down to hundredths, at which the curve is at most `limit` seconds at a
// clock, with straight lines between its points; nothing if not even the smallest is.
std::optional<double> largestDensity(const TimeCurve &curve, size_t clock, double limit);

// Why no curve of the searched layouts is at most `limit` seconds at a clock, and which is the fastest.
std::string whyTooSlow(const std::vector<TimeCurve> &curves, const Core &core, size_t clock, double limit);

// A layout that can meet the limit at a level.
struct FeasibleLayout {
  size_t layout;  // Of searchedLayouts().
  double density; // The largest.
};

struct SearchLevel {
  size_t clock; // Of the core's levels.
  std::vector<FeasibleLayout> layouts;
  // [one of `layouts`, of wide layers][searched layout of narrow ones]: the largest density of what both prune; 0: not
  // possible, or no mix. Empty: all layers are alike.
  std::vector<std::vector<double>> mixed = {};
};

// A number per decision: per level, slowest first, layout, layout of narrow layers (0: the same, else a searched one,
// from 1 on), density step and pattern sample.
using Candidate = std::vector<int>;

class SearchSpace {
public:
  static constexpr size_t kDecisionsPerLevel = 4;

  SearchSpace() = default;
  // No level keeps less than `minDensity`. `narrowLayers`: their names.
  SearchSpace(std::vector<SearchLevel> levels, const Core &core, double minDensity,
              std::vector<std::string> narrowLayers = {})
      : searchLevels(std::move(levels)), core(core), minDensity(minDensity), narrowLayers(std::move(narrowLayers)) {}

  const std::vector<SearchLevel> &levels() const { return searchLevels; }
  // How many values each decision has.
  std::vector<int> sizes() const;
  // What a candidate's level is. Decisions that say nothing to a layout (dense, bp) change nothing.
  LevelSpec levelOf(const Candidate &candidate, size_t level) const;

private:
  std::vector<SearchLevel> searchLevels;
  Core core;
  double minDensity = 0;
  std::vector<std::string> narrowLayers;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_SEARCH_SPACE_H
