// SPDX-License-Identifier: Apache-2.0
//
// Batteries and the simulator: what must hold for any numbers.

#include "compiler/energy/Simulator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

using namespace mlir::rt3;

namespace {

template <typename T> T take(llvm::Expected<T> value) {
  EXPECT_TRUE(bool(value)) << llvm::toString(value.takeError());
  return std::move(*value);
}

BatteryOptions battery(const std::string &model, double capacity) {
  BatteryOptions options;
  options.model = model;
  options.capacity = capacity;
  return options;
}

const char *const kModels[] = {"ideal", "peukert", "kibam"};

// A strategy of three levels whose slower ones take less energy.
Strategy levels() {
  return {"levels", "", {{"low", 800000, 0.02, 0.2}, {"mid", 1400000, 0.018, 0.5}, {"high", 2000000, 0.015, 1.0}}};
}

SimulationOptions options(const std::string &model, double capacity = 500) {
  SimulationOptions result;
  result.battery = battery(model, capacity);
  result.deadline = result.period = 0.025;
  return result;
}

TEST(Battery, GivesNoMoreThanItHas) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (const char *model : kModels)
    for (int run = 0; run < 50; ++run) {
      double capacity = 10 + 1000 * uniform(random), drawn = 0;
      auto cell = take(makeBattery(battery(model, capacity)));
      while (!cell->isEmpty()) {
        double power = 0.01 + 20 * uniform(random), seconds = 1 + 10 * uniform(random);
        double done = cell->draw(power, seconds);
        ASSERT_LE(done, seconds);
        drawn += power * done;
        ASSERT_NEAR(drawn + cell->left() + cell->lost(), capacity, 1e-9 * capacity) << model;
      }
      EXPECT_LE(drawn, capacity * (1 + 1e-12)) << model;
      EXPECT_EQ(cell->draw(1, 1), 0) << model;
    }
}

TEST(Battery, IdealGivesAll) {
  auto cell = take(makeBattery(battery("ideal", 3600)));
  EXPECT_NEAR(cell->draw(2, 1e9), 1800, 1e-9);
  EXPECT_EQ(cell->left(), 0);
}

// What Peukert's law says in closed form: t = capacity / (P (P / rated)^(k - 1)).
TEST(Battery, PeukertIsHisLaw) {
  BatteryOptions peukert = battery("peukert", 7200);
  peukert.ratedPower = 0.5;
  peukert.peukertExponent = 1.1;
  for (double power : {0.25, 0.5, 2.0, 8.0}) {
    auto cell = take(makeBattery(peukert));
    double factor = std::max(1.0, std::pow(power / 0.5, 0.1));
    EXPECT_NEAR(cell->draw(power, 1e9), 7200 / (power * factor), 1e-6);
  }
}

// The closed form against small steps of the two wells' equations.
TEST(Battery, KibamSolvesItsEquations) {
  BatteryOptions kibam = battery("kibam", 1000);
  auto cell = take(makeBattery(kibam));
  double c = kibam.availableShare, k = kibam.flowRate, available = 1000 * c, bound = 1000 * (1 - c);
  double const power = 0.7, seconds = 300, step = 1e-3;
  for (double t = 0; t < seconds; t += step) {
    double flow = k * (bound / (1 - c) - available / c);
    available += (flow - power) * step;
    bound -= flow * step;
  }
  EXPECT_EQ(cell->draw(power, seconds), seconds);
  EXPECT_NEAR(cell->left(), available + bound, 1e-2);
  // How soon the first well is dry tells whether it is as full as the equations say.
  double dry = cell->draw(1e3, 1);
  EXPECT_NEAR(1e3 * dry, available, 0.5);
}

TEST(Battery, MorePowerOrColdGivesLess) {
  for (const char *model : kModels) {
    double last = INFINITY;
    for (double power : {0.1, 1.0, 10.0, 100.0}) {
      auto cell = take(makeBattery(battery(model, 5000)));
      double energy = power * cell->draw(power, 1e9);
      EXPECT_LE(energy, last * (1 + 1e-12)) << model;
      last = energy;
    }
    double warm = 0;
    for (double degrees : {-20.0, 0.0, 20.0, 25.0, 40.0}) {
      BatteryOptions cold = battery(model, 5000);
      cold.temperature = degrees;
      double energy = take(makeBattery(cold))->left();
      EXPECT_GE(energy, warm);
      warm = energy;
    }
    EXPECT_EQ(warm, 5000);
  }
}

TEST(Battery, RefusesWhatIsNone) {
  for (auto [model, capacity] :
       {std::pair("lead", 1.0), {"ideal", 0.0}, {"ideal", -1.0}, {"ideal", NAN}, {"kibam", INFINITY}})
    EXPECT_TRUE(bool(llvm::errorToBool(makeBattery(battery(model, capacity)).takeError()))) << model << capacity;
}

TEST(Simulator, EnergyIsConserved) {
  for (const char *model : kModels)
    for (double idle : {0.0, 0.3})
      for (double jitter : {0.0, 0.5}) {
        SimulationOptions all = options(model);
        all.idlePower = idle;
        all.jitter = jitter;
        all.switchSeconds = 0.01;
        SimulationResult result = take(simulate(levels(), all));
        EXPECT_LE(result.imbalance(), 1e-9) << model;
        EXPECT_GT(result.runs, 0u);
        double time = 0, energy = 0;
        uint64_t runs = 0;
        for (size_t i = 0; i < 3; ++i) {
          const SimulatedLevel level = levels().levels[i];
          time += result.levelSeconds[i];
          runs += result.levelRuns[i];
          energy += result.levelRuns[i] * level.seconds * level.power;
        }
        // Each run takes what one takes, but for the last.
        EXPECT_NEAR(result.computeEnergy, energy, 0.05) << model;
        EXPECT_NEAR(result.idleEnergy, idle * result.seconds, 1e-6 * (1 + result.seconds));
        EXPECT_EQ(runs, result.runs);
        EXPECT_NEAR(time, result.seconds, 1e-6);
        EXPECT_EQ(result.switches, 2u); // By the battery alone: high, mid, low.
      }
}

TEST(Simulator, RunsAreEnergyOverThatOfOne) {
  SimulationOptions all = options("ideal", 1000);
  Strategy one{"one", "", {{"only", 1000000, 0.01, 0.8}}};
  SimulationResult result = take(simulate(one, all));
  EXPECT_NEAR(double(result.runs), 1000 / (0.01 * 0.8), 2);
  EXPECT_EQ(result.misses, 0u);
  EXPECT_NEAR(result.seconds, result.runs * 0.025, 2);
}

// Inferences that take longer than the simulator's tick, and ones that do not end with it.
TEST(Simulator, LongRunsTakeTheirEnergyToo) {
  for (double seconds : {0.6, 1.0, 2.5, 7.0}) {
    SimulationOptions all = options("ideal", 1000);
    all.deadline = all.period = seconds;
    SimulationResult result = take(simulate({"one", "", {{"only", 1000000, seconds, 0.8}}}, all));
    EXPECT_NEAR(double(result.runs), 1000 / (seconds * 0.8), 2) << seconds;
    EXPECT_EQ(result.misses, 0u) << seconds;
    EXPECT_NEAR(result.seconds, 1000 / 0.8, 1) << seconds;
  }
}

TEST(Simulator, TooSlowIsLate) {
  SimulationOptions all = options("ideal", 100);
  Strategy slow{"slow", "", {{"only", 1000000, 0.03, 0.5}}};
  SimulationResult result = take(simulate(slow, all));
  EXPECT_GT(result.misses, 0.95 * result.requests);
  EXPECT_GE(result.requests, result.runs);
}

TEST(Simulator, SameSeedSameResult) {
  SimulationOptions all = options("kibam");
  all.jitter = 0.7;
  SimulationResult first = take(simulate(levels(), all)), second = take(simulate(levels(), all));
  EXPECT_EQ(first.runs, second.runs);
  EXPECT_EQ(first.misses, second.misses);
  EXPECT_EQ(first.computeEnergy, second.computeEnergy);
  EXPECT_EQ(first.curve, second.curve);
}

// A cap that comes and goes every two seconds.
TEST(Simulator, AChatteringCapSwitchesSeldom) {
  SimulationOptions all = options("ideal", 2000);
  for (int i = 0; i < 10; ++i)
    all.trace.push_back({2.0 * i, i % 2 ? 900000 : 3000000, RT3_POLICY_UNKNOWN});
  all.trace.push_back({20, 3000000, RT3_POLICY_UNKNOWN});
  SimulationResult result = take(simulate(levels(), all));
  rt3_policy_options_t policy = rt3_policy_default_options(3, nullptr);
  // Up at most once in min_faster_ms, and down once for each.
  EXPECT_LE(result.switches, 2 + 2 * (1 + result.seconds * 1e3 / policy.min_faster_ms));
  EXPECT_GT(result.levelSeconds[0], 0);
}

TEST(Simulator, RefusesStrategiesThatMakeNoSense) {
  for (double bad : {0.0, -1.0, double(NAN), double(INFINITY)}) {
    Strategy strategy = levels();
    strategy.levels[1].seconds = bad;
    EXPECT_TRUE(bool(llvm::errorToBool(simulate(strategy, options("ideal")).takeError())));
  }
  Strategy falling = levels();
  std::swap(falling.levels[0], falling.levels[2]);
  EXPECT_TRUE(bool(llvm::errorToBool(simulate(falling, options("ideal")).takeError())));
  EXPECT_TRUE(bool(llvm::errorToBool(simulate({"none", "", {}}, options("ideal")).takeError())));
}

} // namespace
