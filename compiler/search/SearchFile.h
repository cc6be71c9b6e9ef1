// SPDX-License-Identifier: Apache-2.0
//
// search.json, as other verbs read it: not trusted.

#ifndef RT3_COMPILER_SEARCH_SEARCHFILE_H
#define RT3_COMPILER_SEARCH_SEARCHFILE_H

#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace mlir::rt3 {

struct ClockPoint {
  int64_t frequencyKhz = 0;
  double powerMw = 0; // 0: unknown.
  double denseSeconds = 0;
  double ownSeconds = 0; // Of the dense model of the levels' type.
};

struct FoundLevel {
  std::string name, layout;
  size_t clock = 0; // Of the clock points.
  double density = 0, metric = 0, quality = 0, energyMj = 0;
  std::vector<double> clockSeconds; // At each clock point.
};

// One evaluated candidate.
struct FoundTrial {
  double reward = 0;
  std::vector<FoundLevel> levels; // Without clockSeconds but for their own clock.
};

struct FoundRun {
  std::string method;
  int64_t seed = 0;
  std::vector<FoundTrial> trials;
};

struct MethodSummary {
  std::string method;
  double mean = 0, halfInterval = 0;
  int64_t seeds = 0;
};

struct SearchFile {
  std::string model, task, metric, device, core, method;
  std::string type, denseType; // Of the levels; of the dense model that they are compared with.
  std::string reference;       // That losses are to; empty: the dense model.
  double limitSeconds = 0, denseMetric = 0, ownDenseMetric = 0, referenceMetric = 0, denseEnergyMj = 0;
  std::vector<ClockPoint> denseClocks;
  std::vector<FoundLevel> levels; // Of the plan, slowest clock first.
  std::vector<FoundRun> runs;
  std::vector<MethodSummary> comparison;
  std::vector<std::string> leftOut, overtaken; // For people: clocks; levels that slower ones are better than.

  bool hasOtherDense() const { return type != denseType; }
};

inline constexpr const char *kSearchJson = "search.json";
inline constexpr size_t kMostLevels = 16;

// What a level of a quality loses, in percent; 0 is never -0.
double lossPercent(double quality);

// Millijoules for people; of a device whose power is unknown, which has 0, "?".
std::string energyText(double energyMj);
// Runs per charge over the dense model's, "2.00x", from what both take; "?" as above.
std::string runsText(double denseEnergyMj, double energyMj);

// Reads FOLDER/search.json. Errors say which field is wrong.
llvm::Expected<SearchFile> readSearch(const std::string &folder);

} // namespace mlir::rt3

#endif // RT3_COMPILER_SEARCH_SEARCHFILE_H
