// SPDX-License-Identifier: Apache-2.0

#include "compiler/energy/Simulator.h"

#include <algorithm>
#include <cmath>

using namespace mlir::rt3;

// Readings and levels change at most once a tick; within one, requests are alike and counted
// together.
static constexpr double kTick = 1; // s
static constexpr int kCurvePoints = 200;

namespace {

// Sums that lose nothing to rounding (Neumaier, 1974): millions of small parts.
class Sum {
public:
  void add(double value) {
    double next = sum + value;
    rest += std::abs(sum) >= std::abs(value) ? (sum - next) + value : (value - next) + sum;
    sum = next;
  }
  double get() const { return sum + rest; }

private:
  double sum = 0, rest = 0;
};

// splitmix64, the same everywhere.
double uniform(uint64_t &state) {
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

} // namespace

double SimulationResult::imbalance() const {
  return std::abs(capacity - computeEnergy - idleEnergy - switchEnergy - lostEnergy - leftEnergy) / capacity;
}

static rt3_policy_reading_t readingAt(const SimulationOptions &options, double now, double battery) {
  rt3_policy_reading_t reading = rt3_policy_no_reading();
  reading.battery_percent = int32_t(std::clamp(std::floor(battery), 0.0, 100.0));
  if (options.trace.empty())
    return reading;
  double end = options.trace.back().seconds;
  double place = end > 0 ? std::fmod(now, end) : 0;
  for (const TracePoint &point : options.trace)
    if (point.seconds <= place) {
      reading.cap_khz = point.capKhz;
      reading.temperature_mc = point.temperatureMc;
    }
  return reading;
}

llvm::Expected<SimulationResult> mlir::rt3::simulate(const Strategy &strategy, const SimulationOptions &options) {
  auto battery = makeBattery(options.battery);
  if (!battery)
    return battery.takeError();
  if (!(options.period > 0) || !(options.deadline > 0) || !(options.idlePower >= 0))
    return llvm::createStringError("simulation: period and deadline must be over 0, idle power at least 0");
  std::vector<uint32_t> clocks;
  for (const SimulatedLevel &level : strategy.levels) {
    if (!(level.seconds > 0) || !(level.power > 0) || !std::isfinite(level.seconds + level.power))
      return llvm::createStringError("simulation: level " + level.name + " of " + strategy.name +
                                     " needs a time and a power over 0");
    clocks.push_back(level.frequencyKhz);
  }
  rt3_policy_options_t policyOptions = rt3_policy_default_options(uint32_t(clocks.size()), clocks.data());
  rt3_policy_t policy;
  if (clocks.empty() || clocks.size() > RT3_POLICY_MAX_LEVELS || rt3_policy_init(&policy, &policyOptions) != RT3_OK)
    return llvm::createStringError("simulation: the levels of " + strategy.name +
                                   " must be 1 to 16, with clocks that rise");

  SimulationResult result;
  result.strategy = strategy.name;
  result.levelSeconds.resize(clocks.size());
  result.levelRuns.resize(clocks.size());
  result.capacity = (*battery)->left();
  double start = result.capacity;
  Sum compute, idle, switching;
  std::vector<Sum> levelSeconds(clocks.size());
  uint64_t state = options.seed;
  double now = 0, nextRequest = 0, busyUntil = 0;
  bool isFirst = true;
  // Draws for a while; false once the battery is empty.
  auto draw = [&](double activePower, double seconds, Sum &active) {
    if (seconds <= 0)
      return true;
    double done = (*battery)->draw(activePower + options.idlePower, seconds);
    active.add(activePower * done);
    idle.add(options.idlePower * done);
    now += done;
    return !(*battery)->isEmpty();
  };
  double nextPoint = 0;
  bool isAlive = true;
  while (isAlive && now < options.mostSeconds) {
    double percent = 100 * (*battery)->left() / start;
    if (now >= nextPoint) {
      result.curve.emplace_back(now, percent);
      // Twice as far apart whenever there are too many.
      if (result.curve.size() > 2 * kCurvePoints)
        for (size_t i = 1; 2 * i < result.curve.size() + 1; ++i) {
          result.curve[i] = result.curve[std::min(2 * i, result.curve.size() - 1)];
          if (2 * (i + 1) >= result.curve.size() + 1) {
            result.curve.resize(i + 1);
            break;
          }
        }
      nextPoint = now + std::max(kTick, now / kCurvePoints);
    }
    uint32_t before = policy.level;
    rt3_policy_reading_t reading = readingAt(options, now, percent);
    const SimulatedLevel &level = strategy.levels[rt3_policy_step(&policy, &reading, uint64_t(now * 1e3))];
    if (policy.level != before && !isFirst) {
      ++result.switches;
      if (options.switchSeconds > 0)
        isAlive = draw(options.switchEnergy / options.switchSeconds, options.switchSeconds, switching);
      busyUntil = std::max(busyUntil, now);
    }
    isFirst = false;
    double tickBegin = now, tickEnd = now + kTick, active = 0;
    uint64_t tickRuns = 0, tickMisses = 0, tickDropped = 0;
    // Who comes in this tick, and when each is done; what is drawn does not depend on the order.
    while (nextRequest < tickEnd) {
      double comes = nextRequest;
      double begin = std::max({comes, busyUntil, tickBegin});
      if (begin >= tickEnd)
        break;
      double end = begin + level.seconds;
      busyUntil = end;
      active += level.seconds;
      ++tickRuns;
      tickMisses += end > comes + options.deadline * (1 + 1e-9);
      nextRequest += options.period * (1 + options.jitter * (2 * uniform(state) - 1));
      // A queue without end would say nothing: whoever is later than its own deadline by then is
      // dropped, and has missed it.
      while (nextRequest + options.deadline < busyUntil && nextRequest < tickEnd) {
        ++tickDropped;
        nextRequest += options.period * (1 + options.jitter * (2 * uniform(state) - 1));
      }
    }
    double wholeActive = active;
    active = std::min(active, kTick);
    double drawn = now;
    isAlive = isAlive && draw(level.power, active, compute) && draw(0, tickEnd - tickBegin - active, compute);
    drawn = now - drawn;
    levelSeconds[policy.level].add(drawn);
    // Of the last tick, as many as there was energy for.
    double share = isAlive || wholeActive <= 0 ? 1 : std::min(1.0, drawn / wholeActive);
    uint64_t finished = uint64_t(std::floor(tickRuns * share));
    result.runs += finished;
    result.levelRuns[policy.level] += finished;
    uint64_t dropped = uint64_t(std::floor(tickDropped * share));
    result.requests += finished + dropped;
    result.misses += uint64_t(std::floor(tickMisses * share)) + dropped;
  }
  result.curve.emplace_back(now, 100 * (*battery)->left() / start);
  result.seconds = now;
  for (size_t i = 0; i < clocks.size(); ++i)
    result.levelSeconds[i] = levelSeconds[i].get();
  result.computeEnergy = compute.get();
  result.idleEnergy = idle.get();
  result.switchEnergy = switching.get();
  result.lostEnergy = (*battery)->lost();
  result.leftEnergy = (*battery)->left();
  return result;
}
