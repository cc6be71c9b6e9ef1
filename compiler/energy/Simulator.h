// SPDX-License-Identifier: Apache-2.0
//
// A charge of a battery, spent on inferences: how many, how many late, at which levels, and
// where the energy went. The levels are chosen by the runtime's own policy code.

#ifndef RT3_COMPILER_ENERGY_SIMULATOR_H
#define RT3_COMPILER_ENERGY_SIMULATOR_H

#include "compiler/energy/Battery.h"
#include "rt3/rt3_policy.h"

#include <vector>

namespace mlir::rt3 {

// What a device does at one level of a strategy.
struct SimulatedLevel {
  std::string name;
  uint32_t frequencyKhz = 0;
  double seconds = 0; // Of an inference.
  double power = 0;   // W while it runs, above idle.
};

// How a device is run: its levels, slowest clock first, chosen by battery, caps and heat.
struct Strategy {
  std::string name, note;
  std::vector<SimulatedLevel> levels;
};

// From `seconds` on the system allows at most `capKhz` and has `temperatureMc`; RT3_POLICY_UNKNOWN
// where not known. The battery is the simulation's own.
struct TracePoint {
  double seconds;
  int32_t capKhz, temperatureMc;
};

struct SimulationOptions {
  BatteryOptions battery;
  double deadline = 0;  // s, of each request.
  double period = 0;    // s between requests.
  double jitter = 0;    // Share of the period by which a request's beginning varies.
  double idlePower = 0; // W of the whole device, always.
  // For which a change of levels takes the new level's power and does nothing else: what Linux
  // declares for a clock of the Exynos 5422.
  double switchSeconds = 140e-6;
  uint64_t seed = 1;
  std::vector<TracePoint> trace; // Repeated when it has ended.
  double mostSeconds = 1e7;      // Ends here, empty or not.
};

struct SimulationResult {
  std::string strategy;
  uint64_t requests = 0, runs = 0; // Came; were done.
  uint64_t misses = 0;             // Were done late, or dropped because they were too late to begin.
  uint64_t switches = 0;
  double seconds = 0;
  std::vector<double> levelSeconds; // Time at each level.
  std::vector<uint64_t> levelRuns;
  double computeEnergy = 0, idleEnergy = 0, switchEnergy = 0, lostEnergy = 0, leftEnergy = 0; // J.
  double capacity = 0; // J at 25 degrees; what cold takes of it is lost.
  // Battery left in percent over time, some hundred points.
  std::vector<std::pair<double, double>> curve;

  // |capacity - all parts| / capacity.
  double imbalance() const;
};

// Spends one charge. Requests that come while an inference runs wait; one is late if it ends
// more than `deadline` after it came, and dropped if it could not begin by then. Errors: a battery or strategy that
// makes no sense.
llvm::Expected<SimulationResult> simulate(const Strategy &strategy, const SimulationOptions &options);

} // namespace mlir::rt3

#endif // RT3_COMPILER_ENERGY_SIMULATOR_H
