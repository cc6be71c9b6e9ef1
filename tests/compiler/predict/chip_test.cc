// SPDX-License-Identifier: Apache-2.0
//
// Device files: what they must say, and what predictions must hold to.

#include "compiler/predict/Measurements.h"
#include "compiler/predict/Predictor.h"
#include "compiler/predict/TimedProgram.h"

#include <gtest/gtest.h>

#include <random>

using namespace mlir::rt3;

namespace {

const char *const kFile = R"json({
  "name": "chip", "summary": "a chip", "sources": ["here"], "l3_size": 1000000, "memory_bytes_per_second": 1e10,
  "cores": [{"name": "big", "target": "cortex-a76", "scheduler_model": "neoverse-n1", "first_cpu": 4, "count": 4,
    "l2_size": 100000, "levels": [{"frequency_khz": 1000000, "voltage_uv": 700000, "power_mw": 100},
                                  {"frequency_khz": 2000000, "voltage_uv": 900000, "power_mw": 500}]}]})json";

std::string replaced(std::string text, const std::string &from, const std::string &to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Chip, AllThatComeWithUsAreRight) {
  ASSERT_GE(allChips().size(), 7u);
  for (const Chip &chip : allChips()) {
    EXPECT_FALSE(chip.sources.empty()) << chip.name;
    for (const Core &core : chip.cores)
      for (const ClockLevel &level : core.levels) {
        EXPECT_GT(level.frequencyKhz, 50000) << chip.name;
        EXPECT_LT(level.frequencyKhz, 6000000) << chip.name;
        EXPECT_TRUE(level.powerMw == 0 || (level.powerMw > 1 && level.powerMw < 20000)) << chip.name << core.name;
        EXPECT_TRUE(level.voltageUv == 0 || (level.voltageUv > 400000 && level.voltageUv < 1500000)) << chip.name;
      }
  }
}

TEST(Chip, IsReadBackAsWritten) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip)) << llvm::toString(chip.takeError());
  CostConstants constants{1, 1.25, 0.5, 0.25, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  chip->cores[0].constants = constants;
  chip->cores[0].calibration = DeviceCalibration{"here", 10, 5, 1, 2, 3, 4};
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << llvm::json::Value(chipJson(*chip));
  auto again = parseChip(text);
  ASSERT_TRUE(bool(again)) << llvm::toString(again.takeError());
  EXPECT_EQ(memcmp(&*again->cores[0].constants, &constants, sizeof constants), 0); // Numbers without gaps.
  std::string second;
  llvm::raw_string_ostream secondStream(second);
  secondStream << llvm::json::Value(chipJson(*again));
  EXPECT_EQ(text, second);
}

TEST(Chip, FaultsSayWhere) {
  struct {
    const char *from, *to, *expected;
  } const cases[] = {
      {"\"name\": \"chip\"", "\"name\": 1", "chip.name: found 1, expected a text"},
      {"\"sources\": [\"here\"]", "\"sources\": []", "chip.sources"},
      {"\"cortex-a76\"", "\"z80\"", "chip.cores[0].target"},
      {"2000000", "1000000", "chip.cores[0].levels[1].frequency_khz"},
      {"2000000", "-5", "chip.cores[0].levels[1].frequency_khz"},
      {"\"count\": 4", "\"count\": 0", "chip.cores[0].count"},
      {"1e10", "\"fast\"", "chip.memory_bytes_per_second: found \"fast\""},
      {"\"l2_size\": 100000, ", "", "chip.cores[0].l2_size: nothing there"},
      {"\"power_mw\": 100", "\"power_mw\": -1", "chip.cores[0].levels[0].power_mw"},
      {"\"l2_size\"", "\"constants\": {\"wait_share\": 1.5}, \"l2_size\"",
       "chip.cores[0].constants.wait_share: found 1.5, expected a number from 0 to 1"},
      {"\"l2_size\"", "\"constants\": {\"compute_scale\": 0}, \"l2_size\"",
       "chip.cores[0].constants.compute_scale: found 0, expected a number from 1e-06 to 1e15"},
      {"\"l2_size\"", "\"power_model\": {\"capacitance_pf\": 1, \"leakage_ma\": 1}, \"l2_size\"",
       "chip.cores[0].levels[0].power_mw: found 100, expected nothing, beside a power_model"},
      {"\"power_mw\": 100", "\"power_uw\": 100000", "chip.cores[0].levels[0].power_uw: is no known field"},
      {"\"l2_size\"", "\"windw\": 100, \"l2_size\"", "chip.cores[0].windw: is no known field"},
      {"\"l3_size\"", "\"l4_size\": 1, \"l3_size\"", "chip.l4_size: is no known field"},
      {"\"cores\": [", R"("cores": [{"name": "big", "target": "", "scheduler_model": "", "first_cpu": 0, "count": 1,
          "l2_size": 1, "levels": [{"frequency_khz": 1}]}, )",
       "chip.cores[1].name: another core is called \"big\""},
  };
  for (const auto &[from, to, expected] : cases) {
    auto chip = parseChip(replaced(kFile, from, to));
    ASSERT_FALSE(bool(chip)) << to;
    EXPECT_NE(llvm::toString(chip.takeError()).find(expected), std::string::npos) << expected;
  }
  // All faults at once.
  auto chip = parseChip(replaced(replaced(kFile, "\"chip\"", "1"), "\"count\": 4", "\"count\": 0"));
  std::string text = llvm::toString(chip.takeError());
  EXPECT_NE(text.find("chip.name"), std::string::npos);
  EXPECT_NE(text.find("count"), std::string::npos);
}

TEST(Chip, DamagedFilesAreErrors) {
  std::mt19937 random(3);
  std::string text = kFile;
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = text;
    for (int changes = 1 + random() % 3; changes > 0; --changes)
      damaged[random() % damaged.size()] = char(random() % 128);
    if (random() % 4 == 0)
      damaged.resize(random() % damaged.size());
    if (auto chip = parseChip(damaged); !chip)
      EXPECT_FALSE(llvm::toString(chip.takeError()).empty());
  }
  for (const char *bad : {"", "[]", "null", "{", "{\"cores\": [1]}"})
    EXPECT_FALSE(llvm::toString(parseChip(bad).takeError()).empty());
  EXPECT_FALSE(llvm::toString(parseChip(std::string(100000, '[')).takeError()).empty());
}

TEST(Chip, PowerModelIsItsFormula) {
  // 500 pF at 0.8 V and 1 GHz: 0.32 W; 0.8 V times 50 mA: 0.04 W.
  EXPECT_NEAR(modelPowerMw(500, 50, {1000000, 800000, 0}), 360, 1e-9);
}

TEST(Predictor, IsMonotoneInTheClock) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  std::mt19937 random(4);
  for (int i = 0; i < 1000; ++i) {
    MarkedOp op{0,
                0,
                "linear",
                "layer",
                int64_t(random() % 10000000),
                48,
                {double(random() % 1000), double(random() % 5000), 0}};
    double cycles = random() % 1000000;
    OpCost cost{double(random() % 1000000), cycles, cycles * (random() % 100 / 100.0), double(random() % 1000)};
    OpPrediction prediction = predictOp(*chip, chip->cores[0], constantsOf(chip->cores[0]), op, cost,
                                        1 + random() % 384, random() % 100000000);
    double last = INFINITY;
    for (double clock = 1e8; clock < 4e9; clock *= 1.3) {
      double seconds = prediction.seconds(clock);
      ASSERT_TRUE(seconds > 0 && seconds <= last);
      // Twice the clock makes nothing more than twice as fast: memory has its own.
      ASSERT_LE(last / seconds, 1.3 + 1e-9 + (last == INFINITY ? INFINITY : 0));
      last = seconds;
    }
  }
}

// Ops of many sizes and kinds, each third held out, as long as `constants` and the chip's
// memory make them.
MeasuredModel makeMeasurements(const std::vector<MarkedOp> &ops, const Chip &chip, const CostConstants &constants) {
  std::mt19937 random(11);
  MeasuredModel model{"model", {"only"}, {}};
  for (const MarkedOp &op : ops)
    for (int64_t length : {1, 13, 128}) {
      double cycles = double(op.weightBytes) * length * (0.5 + random() % 100 / 100.0);
      double issued = cycles * (0.4 + random() % 60 / 100.0);
      Measurement measurement{op,
                              {3 * cycles, cycles, issued, double(random() % 2000)},
                              length,
                              40000000,
                              2e9,
                              0,
                              model.measurements.size() % 3 == 2};
      measurement.seconds =
          predictOp(chip, chip.cores[0], constants, op, measurement.cost, length, 40000000).seconds(measurement.clock);
      model.measurements.push_back(measurement);
    }
  return model;
}

std::vector<MarkedOp> opsOfManySizes() {
  std::vector<MarkedOp> ops;
  for (int64_t bytes : {4000, 50000, 300000, 2000000, 9000000})
    ops.push_back({int64_t(ops.size()), 0, "linear", "layer", bytes, 48, {0, bytes / 500.0, 0}});
  return ops;
}

TEST(Predictor, WaitsForWhatIsNotHidden) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  MarkedOp op{0, 0, "linear", "layer", 1000, 48, {}};
  OpCost cost{300, 100, 60, 0};
  CostConstants constants = constantsOf(chip->cores[0]);
  auto cycles = [&](int64_t levelBytes) {
    return predictOp(*chip, chip->cores[0], constants, op, cost, 1, levelBytes).computeCycles;
  };
  EXPECT_EQ(cycles(1000), 100);
  constants.waitShare = 0.25;
  EXPECT_EQ(cycles(1000), 70);
  // L2 holds 100,000 bytes.
  constants.coldCycles = 1000;
  EXPECT_EQ(cycles(100000), 70);
  EXPECT_EQ(cycles(100001), 1070);
  // 1000 bytes from L2 take a time, which is hidden behind computing but for a share.
  OpPrediction hidden = predictOp(*chip, chip->cores[0], constants, op, cost, 1, 1000);
  constants.serialShare = 0.5;
  OpPrediction half = predictOp(*chip, chip->cores[0], constants, op, cost, 1, 1000);
  ASSERT_GT(half.memoryCycles, 0);
  ASSERT_LT(half.memoryCycles, half.computeCycles);
  EXPECT_NEAR(half.seconds(1) - hidden.seconds(1), half.memoryCycles / 2, 1e-9);
}

TEST(Predictor, ChargesActivationsByWhereTheyLie) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  CostConstants constants = constantsOf(chip->cores[0]);
  constants.activationBytesPerCycle = 10;
  constants.farActivationBytesPerCycle = 2;
  MarkedOp op{0, 0, "linear", "layer", 40000, 48, {0, 1000, 0}};
  auto cycles = [&](int64_t length) {
    return predictOp(*chip, chip->cores[0], constants, op, {300, 100, 60, 0}, length, 40000).activationCycles;
  };
  // L2 holds 100,000 bytes.
  op.touchedBytes = {60000, 2000, 0};
  EXPECT_EQ(cycles(20), 2000);
  EXPECT_EQ(cycles(21), 10500);
  op.partialSumBytes = {100, 64, 0};
  EXPECT_EQ(cycles(20), 2000);
  constants.partialSumBytesPerCycle = 4;
  EXPECT_EQ(cycles(20), 2000 + (100 + 20 * 64) / 4);
}

TEST(Predictor, KeepsInL3WhatFits) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  MarkedOp op{0, 0, "linear", "layer", 500000, 48, {}};
  CostConstants constants = constantsOf(chip->cores[0]);
  auto predicted = [&](int64_t levelBytes) {
    return predictOp(*chip, chip->cores[0], constants, op, {}, 1, levelBytes);
  };
  // L3 holds 1,000,000 bytes, memory gives 1e10 a second.
  OpPrediction fits = predicted(1000000), none = predicted(1000001);
  EXPECT_EQ(fits.memorySeconds, 0);
  EXPECT_EQ(none.memorySeconds, 500000 / 1e10);
  EXPECT_EQ(none.memoryCycles, 0);
  constants.usableL3Size = 800000;
  EXPECT_EQ(predicted(800000).memorySeconds, 0);
  OpPrediction half = predicted(1600000);
  EXPECT_NEAR(half.memorySeconds, 250000 / 1e10, 1e-15);
  EXPECT_NEAR(half.memoryCycles, fits.memoryCycles / 2, 1e-9);
}

TEST(Predictor, ScalesWhatIsNoLinearLayerApart) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  CostConstants constants = constantsOf(chip->cores[0]);
  constants.computeScale = 2;
  constants.otherScale = 1.5;
  auto cycles = [&](const char *layer) {
    MarkedOp op{0, 0, "op", layer};
    return predictOp(*chip, chip->cores[0], constants, op, {300, 100, 100, 0}, 1, 0).computeCycles;
  };
  EXPECT_EQ(cycles("layer"), 200);
  EXPECT_EQ(cycles(""), 300);
}

TEST(Measuring, DisturbedBatchesDoNotCount) {
  // Of eight batches of two ops, 1 and 3 us at 2 GHz, six are disturbed; the clock of the other two differs.
  std::vector<TimedBatch> batches;
  for (double slower : {1.5, 1.2, 1.0, 4.0, 1.3, 1.02, 1.4, 2.0})
    batches.push_back({{{7, 1e-6 * slower}, {9, 3e-6 * slower}}, 2e9 / slower});
  batches[0].clock = 9e9; // A probe that saw what the runs did not.
  TimedBatch counted = countFastest(batches);
  EXPECT_GE(counted.clock, 2e9 / 1.02);
  EXPECT_LE(counted.clock, 2e9);
  EXPECT_NEAR(counted.seconds[7] * counted.clock, 2e3, 1e-6);
  EXPECT_NEAR(counted.seconds[9] * counted.clock, 6e3, 1e-6);
  // One batch is all there is.
  EXPECT_EQ(countFastest({batches[3]}).seconds[9], 12e-6);
}

TEST(Fit, FindsWhatTimesWereMadeOf) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  CostConstants real = constantsOf(chip->cores[0]);
  real.computeScale = 1.4;
  real.waitShare = 0.3;
  real.loopEntryCycles = 17;
  real.callCycles = 300;
  Chip slow = *chip;
  slow.memoryBytesPerSecond = 4e9;
  MeasuredModel model = makeMeasurements(opsOfManySizes(), slow, real);
  double before = layerErrorPercent(*chip, chip->cores[0], constantsOf(chip->cores[0]), model.measurements);
  FitResult found = fitConstants(*chip, chip->cores[0], model);
  Chip fitted = *chip;
  fitted.memoryBytesPerSecond = found.memoryBytesPerSecond;
  double after = layerErrorPercent(fitted, fitted.cores[0], found.constants, model.measurements);
  EXPECT_GT(before, 15);
  // Times are without noise: what is left is where the steps of the search end.
  EXPECT_LT(after, 3);
  EXPECT_NEAR(found.constants.computeScale, real.computeScale, 0.1);
  EXPECT_NEAR(found.constants.waitShare, real.waitShare, 0.1);
  // Nothing of these was measured.
  EXPECT_EQ(found.constants.otherScale, 1);
  EXPECT_EQ(found.constants.partialSumBytesPerCycle, 0);
  EXPECT_EQ(found.constants.farActivationBytesPerCycle, real.farActivationBytesPerCycle);
}

TEST(Fit, FindsWhatCachesTake) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  CostConstants real = constantsOf(chip->cores[0]);
  real.otherScale = 1.6;
  real.farActivationBytesPerCycle = 1.5;
  real.partialSumBytesPerCycle = 3;
  std::vector<MarkedOp> ops = opsOfManySizes();
  for (MarkedOp op : opsOfManySizes()) {
    op.touchedBytes = {200000, 0, 0};
    ops.push_back(op);
    op.partialSumBytes = {0, op.weightBytes / 400.0, 0};
    ops.push_back(op);
    op.layer = "";
    ops.push_back(op);
  }
  CostConstants found = fitConstants(*chip, chip->cores[0], makeMeasurements(ops, *chip, real)).constants;
  EXPECT_NEAR(found.otherScale, 1.6, 0.15);
  EXPECT_NEAR(found.farActivationBytesPerCycle, 1.5, 0.3);
  EXPECT_NEAR(found.partialSumBytesPerCycle, 3, 0.6);
}

TEST(Fit, FindsWhatOthersLeaveOfL3) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  CostConstants real = constantsOf(chip->cores[0]);
  real.serialShare = 0.8; // Or computing would hide what is read.
  real.usableL3Size = 600000;
  MeasuredModel all{"model", {"only"}, {}};
  for (int64_t levelBytes : {300000, 900000, 2000000, 5000000}) {
    MeasuredModel model = makeMeasurements(opsOfManySizes(), *chip, real);
    for (Measurement &measurement : model.measurements) {
      measurement.levelBytes = levelBytes;
      measurement.seconds =
          predictOp(*chip, chip->cores[0], real, measurement.op, measurement.cost, measurement.length, levelBytes)
              .seconds(measurement.clock);
    }
    llvm::append_range(all.measurements, model.measurements);
  }
  EXPECT_NEAR(fitConstants(*chip, chip->cores[0], all).constants.usableL3Size, 600000, 120000);
}

TEST(Fit, ModelsCountAlike) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  CostConstants one = constantsOf(chip->cores[0]), two = one;
  two.computeScale = 3;
  // Ten times as much was measured of the second: without weights, all would be fitted to it.
  MeasuredModel first = makeMeasurements(opsOfManySizes(), *chip, one), second{"other", {"only"}, {}};
  for (int i = 0; i < 10; ++i)
    llvm::append_range(second.measurements, makeMeasurements(opsOfManySizes(), *chip, two).measurements);
  double alone = fitConstants(*chip, chip->cores[0], {first, second, first}).constants.computeScale;
  EXPECT_LT(alone, 1.5);
}

TEST(Fit, JudgesOnlyWhatIsHeldOut) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  std::vector<MarkedOp> ops{{0, 0, "linear", "layer", 100000, 48, {}}};
  CostConstants constants = constantsOf(chip->cores[0]);
  MeasuredModel model = makeMeasurements(ops, *chip, constants);
  for (Measurement &measurement : model.measurements)
    if (!measurement.isHeldOut)
      measurement.seconds *= 5;
  EXPECT_NEAR(layerErrorPercent(*chip, chip->cores[0], constants, model.measurements), 0, 1e-9);
}

std::string textOf(llvm::json::Object object) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::json::Value(std::move(object));
  return text;
}

MeasurementFile someMeasurements(const Chip &chip) {
  return {
      "cpu", "cortex-a76", "neoverse-n1", 128, {makeMeasurements(opsOfManySizes(), chip, constantsOf(chip.cores[0]))}};
}

TEST(Measurements, AreReadBackAsWritten) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  MeasurementFile file = someMeasurements(*chip);
  file.models[0].measurements[0].seconds = 0; // Of a clock that had not moved on.
  auto again = parseMeasurements(textOf(measurementsJson(file)));
  ASSERT_TRUE(bool(again)) << llvm::toString(again.takeError());
  EXPECT_EQ(textOf(measurementsJson(file)), textOf(measurementsJson(*again)));
  EXPECT_EQ(again->schedulerModel, "neoverse-n1");
  EXPECT_EQ(again->window, 128);
  // Nothing that counts is lost: all is predicted as before.
  CostConstants constants = constantsOf(chip->cores[0]);
  constants.waitShare = 0.4;
  constants.coldCycles = 50;
  for (auto [one, other] : llvm::zip(file.models[0].measurements, again->models[0].measurements)) {
    auto seconds = [&](const Measurement &m) {
      return predictOp(*chip, chip->cores[0], constants, m.op, m.cost, m.length, m.levelBytes).seconds(m.clock);
    };
    EXPECT_EQ(seconds(one), seconds(other));
    EXPECT_EQ(one.seconds, other.seconds);
    EXPECT_EQ(one.isHeldOut, other.isHeldOut);
    EXPECT_EQ(one.op.layer, other.op.layer);
  }
}

TEST(Measurements, FaultsSayWhere) {
  auto chip = parseChip(kFile);
  ASSERT_TRUE(bool(chip));
  std::string text = textOf(measurementsJson(someMeasurements(*chip)));
  for (auto [from, to, expected] : {std::tuple("\"level\":0", "\"level\":1", "measurements[0].level"),
                                    {"\"level\":0", "\"level\":-1", "measurements[0].level"},
                                    {"\"length\":1", "\"length\":\"1\"", "measurements[0].length: found \"1\""},
                                    {"\"length\":1", "\"length\":1e999", "measurements"},
                                    {"[\"only\"]", "[7]", "models[0].levels"},
                                    {"\"machine\":\"cpu\"", "\"machine\":1", "measurements.machine"},
                                    {"\"clock_hz\":2000000000", "\"clock_hz\":0", "measurements[0].clock_hz"}}) {
    auto found = parseMeasurements(replaced(text, from, to));
    ASSERT_FALSE(bool(found)) << to;
    EXPECT_NE(llvm::toString(found.takeError()).find(expected), std::string::npos) << expected;
  }
  for (const char *bad : {"", "[]", "null", "{", "{\"models\": [1]}"})
    EXPECT_FALSE(llvm::toString(parseMeasurements(bad).takeError()).empty());
  // Of thousands of faults, twenty are told.
  std::string many = "{\"machine\":\"cpu\",\"models\":[{\"name\":\"m\",\"levels\":[\"l\"],\"measurements\":[{}";
  for (int i = 0; i < 5000; ++i)
    many += ",{}";
  std::string message = llvm::toString(parseMeasurements(many + "]}]}").takeError());
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 20);
}

} // namespace
