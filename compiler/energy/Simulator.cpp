// SPDX-License-Identifier: Apache-2.0

#include "compiler/energy/Simulator.h"

#include <algorithm>
#include <cmath>

using namespace mlir::rt3;

// Readings and levels change at most once a tick; within one, requests are alike and counted
// together.
static constexpr double kTick = 1; // s
static constexpr int kCurvePoints = 200;
static constexpr double kShortestPeriod = 1e-5; // s

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
  // The last point holds as long as the one before.
  double end = options.trace.back().seconds;
  if (options.trace.size() > 1)
    end += end - options.trace[options.trace.size() - 2].seconds;
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
  if (options.period < kShortestPeriod)
    return llvm::createStringError("simulation: a request every %g s, expected at least %g s between them",
                                   options.period, kShortestPeriod);
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
  result.capacity = options.battery.capacity;
  double start = (*battery)->left(), cold = result.capacity - start;
  Sum compute, idle, switching;
  std::vector<Sum> levelSeconds(clocks.size());
  uint64_t state = options.seed;
  double now = 0, nextRequest = 0, nextPoint = 0;
  bool isFirst = true, isAlive = true;
  // The inference that the last tick has begun and not ended.
  struct {
    double left = 0; // s
    size_t level = 0;
    bool isLate = false;
  } begun;
  // Draws for a while; false once the battery is empty.
  auto draw = [&](double activePower, double seconds, Sum &active) {
    if (!isAlive || seconds <= 0)
      return isAlive;
    double done = (*battery)->draw(activePower + options.idlePower, seconds);
    active.add(activePower * done);
    idle.add(options.idlePower * done);
    now += done;
    return isAlive = !(*battery)->isEmpty();
  };
  auto finish = [&](size_t level, uint64_t count, uint64_t late) {
    result.requests += count;
    result.runs += count;
    result.levelRuns[level] += count;
    result.misses += late;
  };
  while (isAlive && now < options.mostSeconds) {
    double percent = 100 * (*battery)->left() / start;
    if (now >= nextPoint) {
      result.curve.emplace_back(now, percent);
      nextPoint = now + std::max(kTick, now / kCurvePoints);
    }
    size_t before = policy.level;
    rt3_policy_reading_t reading = readingAt(options, now, percent);
    const SimulatedLevel &level = strategy.levels[rt3_policy_step(&policy, &reading, uint64_t(now * 1e3))];
    double tickBegin = now, tickEnd = now + kTick, busyUntil = now;
    if (policy.level != before && !isFirst) {
      ++result.switches;
      draw(level.power, options.switchSeconds, switching);
      busyUntil = now;
    }
    isFirst = false;
    // What was begun ends first, at its own level.
    double rest = std::min(begun.left, tickEnd - now);
    if (rest > 0) {
      if (draw(strategy.levels[begun.level].power, rest, compute) && (begun.left -= rest) <= 0)
        finish(begun.level, 1, begun.isLate);
      busyUntil = now;
    }
    // Who comes in this tick, and when each is done: what is drawn does not depend on the order.
    double active = 0, whole = 0;
    uint64_t ended = 0, late = 0, dropped = 0;
    while (isAlive && begun.left <= 0 && nextRequest < tickEnd) {
      double comes = nextRequest, begin = std::max(comes, busyUntil);
      if (begin >= tickEnd)
        break;
      nextRequest += options.period * (1 + options.jitter * (2 * uniform(state) - 1));
      // Whoever could only begin when it should have ended is not begun.
      if (begin > comes + options.deadline) {
        ++dropped;
        continue;
      }
      double end = begin + level.seconds;
      bool isLate = end > comes + options.deadline * (1 + 1e-9);
      busyUntil = end;
      active += std::min(end, tickEnd) - begin;
      if (end > tickEnd) {
        begun = {end - tickEnd, policy.level, isLate};
        break;
      }
      whole += level.seconds;
      ++ended;
      late += isLate;
    }
    double drawBegin = now;
    draw(level.power, active, compute);
    double share = isAlive || whole <= 0 ? 1 : std::min(1.0, (now - drawBegin) / whole); // Of the last tick.
    draw(0, tickEnd - now, compute);
    finish(policy.level, uint64_t(std::floor(ended * share)), uint64_t(std::floor(late * share)));
    result.requests += dropped;
    result.misses += dropped;
    levelSeconds[policy.level].add(now - tickBegin);
  }
  result.curve.emplace_back(now, 100 * (*battery)->left() / start);
  result.seconds = now;
  for (size_t i = 0; i < clocks.size(); ++i)
    result.levelSeconds[i] = levelSeconds[i].get();
  result.computeEnergy = compute.get();
  result.idleEnergy = idle.get();
  result.switchEnergy = switching.get();
  result.lostEnergy = (*battery)->lost() + cold;
  result.leftEnergy = (*battery)->left();
  return result;
}
