// SPDX-License-Identifier: Apache-2.0
//
// rt3c simulate: what a search's levels do to a battery, beside other ways to run the model.

#include "compiler/energy/Simulator.h"
#include "compiler/search/SearchFile.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::rt3;

static SimulatedLevel levelOf(const ClockPoint &clock, const std::string &name, double seconds) {
  return {name, uint32_t(clock.frequencyKhz), seconds, clock.powerMw / 1e3};
}

// The ways that are compared, from what a search has found.
static std::vector<Strategy> strategiesOf(const SearchFile &search) {
  const std::vector<ClockPoint> &clocks = search.denseClocks;
  size_t top = clocks.size() - 1;
  const FoundLevel &sparsest = search.levels.front();
  std::vector<SimulatedLevel> dense, own, sparse, found;
  for (const FoundLevel &level : search.levels) {
    const ClockPoint &clock = clocks[level.clock];
    std::string name = std::to_string(clock.frequencyKhz / 1000) + " MHz";
    dense.push_back(levelOf(clock, name, clock.denseSeconds));
    own.push_back(levelOf(clock, name, clock.ownSeconds));
    sparse.push_back(levelOf(clock, name, sparsest.clockSeconds[level.clock]));
    found.push_back(levelOf(clock, name, level.clockSeconds[level.clock]));
  }
  std::string type = search.hasOtherDense() ? " " + search.denseType : "";
  std::vector<Strategy> strategies{
      {"dense" + type + ", fastest clock",
       "the dense model, then idle",
       {levelOf(clocks[top], "top", clocks[top].denseSeconds)}},
      {"DVFS only" + type, "the dense model at the clocks of the levels", dense},
      {"sparse only",
       "the sparsest level's model at the fastest clock, then idle (race to idle)",
       {levelOf(clocks[top], "top", sparsest.clockSeconds[top])}},
      {"DVFS, one sparse model", "the sparsest level's model at all clocks", sparse},
      {"RT3", "each clock with its own level, by what is left in the battery", found},
      {"RT3, slowest level", "the slowest level all the time", {found.front()}},
  };
  // What the type alone gives is told from what pruning gives.
  if (search.hasOtherDense())
    strategies.insert(strategies.begin() + 2, {{"dense " + search.type + ", fastest clock",
                                                "the dense model in the type of the levels, then idle",
                                                {levelOf(clocks[top], "top", clocks[top].ownSeconds)}},
                                               {"DVFS only " + search.type, "that at the clocks of the levels", own}});
  return strategies;
}

// Lines of a thermal trace: the policy's format, of which time, clock cap and temperature count.
static llvm::Expected<std::vector<TracePoint>> readTrace(const std::string &path) {
  auto text = readFile(path);
  if (!text)
    return text.takeError();
  std::vector<TracePoint> trace;
  uint64_t ms = 0;
  rt3_policy_reading_t reading;
  int isRead = 1;
  for (const char *at = text->c_str(); (at = rt3_policy_read_trace(at, &ms, &reading, &isRead));) {
    double seconds = double(ms) / 1e3;
    if (!isRead || (!trace.empty() && seconds < trace.back().seconds))
      return llvm::createStringError(path + ": line " + std::to_string(1 + std::count(text->c_str(), at, '\n')) +
                                     " is not `ms cap_khz battery_percent temperature_mc` with times that rise");
    trace.push_back({seconds, reading.cap_khz, reading.temperature_mc});
  }
  if (trace.empty())
    return llvm::createStringError(path + ": has no line of a trace");
  return trace;
}

// Times below the slowest level's clock are not known: the simulation runs levels at their own clocks.
static void warnOfCaps(const SearchFile &search, const std::string &path, const std::vector<TracePoint> &trace) {
  int64_t slowest = search.denseClocks[search.levels.front().clock].frequencyKhz, least = slowest;
  for (const TracePoint &point : trace)
    if (point.capKhz > 0)
      least = std::min<int64_t>(least, point.capKhz);
  if (least >= slowest)
    return;
  int64_t possible = 0; // The fastest clock of the core that the cap allows.
  for (const ClockPoint &clock : search.denseClocks)
    if (clock.frequencyKhz <= least)
      possible = std::max<int64_t>(possible, clock.frequencyKhz);
  llvm::errs() << "rt3c: warning: " << path << " caps the clock at " << least << " kHz, below the slowest level's "
               << slowest << " kHz: while it does, inferences take longer than simulated here; ";
  if (possible)
    llvm::errs() << "a search with --clocks " << possible << " among others has a level for it\n";
  else
    llvm::errs() << "no clock of " << search.core << " is as slow\n";
}

static llvm::json::Object resultJson(const SimulationResult &result, const Strategy &strategy) {
  llvm::json::Array levels, curve;
  for (size_t i = 0; i < strategy.levels.size(); ++i)
    levels.push_back(llvm::json::Object{{"level", strategy.levels[i].name},
                                        {"runs", int64_t(result.levelRuns[i])},
                                        {"seconds", result.levelSeconds[i]}});
  for (auto [seconds, percent] : result.curve)
    curve.push_back(llvm::json::Array{seconds, percent});
  return llvm::json::Object{{"strategy", strategy.name},          {"note", strategy.note},
                            {"runs", int64_t(result.runs)},       {"requests", int64_t(result.requests)},
                            {"misses", int64_t(result.misses)},   {"switches", int64_t(result.switches)},
                            {"seconds", result.seconds},          {"compute_joules", result.computeEnergy},
                            {"idle_joules", result.idleEnergy},   {"switch_joules", result.switchEnergy},
                            {"lost_joules", result.lostEnergy},   {"left_joules", result.leftEnergy},
                            {"capacity_joules", result.capacity}, {"levels", std::move(levels)},
                            {"curve", std::move(curve)}};
}

ExitCode mlir::rt3::runSimulate(const SimulateVerb &verb) {
  auto search = readSearch(verb.folder);
  if (!search)
    return fail(search.takeError());
  for (const ClockPoint &clock : search->denseClocks)
    if (clock.powerMw <= 0)
      return fail(kExitBadInput, verb.folder + ": the power of device " + search->device +
                                     " is not known; search with another --device");
  SimulationOptions options = verb.options;
  options.battery.capacity = verb.batteryWh * 3600;
  options.deadline = search->limitSeconds;
  options.period = verb.periodMs > 0 ? verb.periodMs / 1e3 : search->limitSeconds;
  if (!verb.trace.empty()) {
    auto trace = readTrace(verb.trace);
    if (!trace)
      return fail(trace.takeError());
    options.trace = std::move(*trace);
    warnOfCaps(*search, verb.trace, options.trace);
  }
  llvm::json::Array list;
  std::string table;
  uint64_t first = 0;
  for (const Strategy &strategy : strategiesOf(*search)) {
    auto result = simulate(strategy, options);
    if (!result)
      return fail(kExitUsage, llvm::toString(result.takeError()));
    if (list.empty())
      first = result->runs;
    std::string times;
    for (size_t i = 0; i < strategy.levels.size(); ++i)
      times += llvm::formatv("{0}{1:f0} %", i ? " / " : "", 100 * result->levelSeconds[i] / result->seconds);
    table += llvm::formatv("{0,-28} {1,10} {2,7:f2}x {3,9:f2} % {4,9:f1} {5,8:f1} {6,8:f1} {7,8:f1}  {8}\n",
                           strategy.name, result->runs, double(result->runs) / std::max<uint64_t>(1, first),
                           100.0 * result->misses / std::max<uint64_t>(1, result->requests), result->seconds / 3600,
                           result->computeEnergy / 1e3, result->idleEnergy / 1e3, result->lostEnergy / 1e3, times);
    list.push_back(resultJson(*result, strategy));
  }
  std::string json =
      llvm::formatv("{0}\n", llvm::json::Value(llvm::json::Object{{"format", "rt3-simulation"},
                                                                  {"version", 1},
                                                                  {"device", search->device},
                                                                  {"core", search->core},
                                                                  {"battery", options.battery.model},
                                                                  {"battery_wh", verb.batteryWh},
                                                                  {"temperature", options.battery.temperature},
                                                                  {"period_seconds", options.period},
                                                                  {"deadline_seconds", options.deadline},
                                                                  {"idle_watts", options.idlePower},
                                                                  {"jitter", options.jitter},
                                                                  {"trace", llvm::json::fixUTF8(verb.trace)},
                                                                  {"seed", int64_t(options.seed)},
                                                                  {"strategies", std::move(list)}}));
  if (llvm::Error error = writeFiles(verb.folder, {{"simulation.json", json}}))
    return fail(std::move(error));
  if (verb.asJson) {
    llvm::outs() << json;
    return kExitOk;
  }
  llvm::outs() << llvm::formatv(
                      "{0}, core {1}; {2} battery of {3:f2} Wh at {4:f0} degrees, a request every {5:f3} ms{6}, "
                      "deadline {7:f3} ms, {8:f0} mW idle{9}\n",
                      search->device, search->core, options.battery.model, verb.batteryWh, options.battery.temperature,
                      1e3 * options.period,
                      options.jitter > 0 ? llvm::formatv(" give or take {0:f0} %", 100 * options.jitter).str() : "",
                      1e3 * options.deadline, 1e3 * options.idlePower,
                      verb.trace.empty() ? "" : ", clock caps and heat by " + printable(verb.trace))
               << llvm::formatv("{0,-28} {1,10} {2,8} {3,11} {4,9} {5,8} {6,8} {7,8}  {8}\n", "strategy", "runs",
                                "runs", "late", "hours", "kJ run", "kJ idle", "kJ lost",
                                "time at each level, slowest first")
               << table;
  return kExitOk;
}
