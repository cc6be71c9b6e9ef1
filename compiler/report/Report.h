// SPDX-License-Identifier: Apache-2.0
//
// One HTML file of what a search has found: levels, Pareto, history, battery, patterns, layers.

#ifndef RT3_COMPILER_REPORT_REPORT_H
#define RT3_COMPILER_REPORT_REPORT_H

#include "compiler/plan/Plan.h"
#include "compiler/search/SearchFile.h"

namespace mlir::rt3 {

// Of simulation.json, for pictures.
struct SimulatedStrategy {
  std::string name, note;
  double requests = 0, runs = 0, misses = 0, seconds = 0;
  std::vector<std::pair<double, double>> curve; // Seconds, percent of the battery.
};
struct SimulationFile {
  std::string battery;
  double batteryWh = 0, temperature = 0, deadlineSeconds = 0, periodSeconds = 0, idleWatts = 0;
  double jitter = 0; // Share of the period.
  std::string trace; // Of clock caps and heat; empty: none.
  std::vector<SimulatedStrategy> strategies;
};
// Reads FOLDER/simulation.json; nothing if there is none. Errors say what is wrong with it.
llvm::Expected<std::optional<SimulationFile>> readSimulation(const std::string &folder);

// A layer as it was compiled, of a level: why it is dense.
struct CompiledLayer {
  std::string layer, level, reason;
  double speedup = 1; // Predicted over dense.
};

struct ReportContents {
  SearchFile search;
  std::optional<SimulationFile> simulation;
  bool isSimulationStale = false; // Of another search: nothing of it is shown.
  Plan plan;
  std::vector<CompiledLayer> layers; // Of the device; empty: the plan's alone.
};

// What was evaluated and what was chosen, as an SVG file: the task's metric over predicted energy,
// or time where power is not known.
std::string reportPicture(const SearchFile &search);

// A page that needs nothing from elsewhere and runs no script.
std::string reportHtml(const ReportContents &contents);

} // namespace mlir::rt3

#endif // RT3_COMPILER_REPORT_REPORT_H
