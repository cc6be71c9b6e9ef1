// SPDX-License-Identifier: Apache-2.0

#include "codegen/cost/CostModel.h"
#include "codegen/cost/LoopCycles.h"

#include "llvm/ADT/bit.h"

#include <gtest/gtest.h>

using namespace mlir::rt3;

namespace {

std::vector<LoopCost> costsOf(const Device &device, const StreamShape &shape, const std::vector<int64_t> &patterns) {
  auto found = LoopCycles::of(device).find(shape, patterns, std::nullopt);
  if (!found)
    ADD_FAILURE() << llvm::toString(found.takeError());
  return found ? *found : std::vector<LoopCost>();
}

// A device of another name has results of its own.
Device named(const char *name, const char *copy) {
  Device device = llvm::cantFail(findDevice(name));
  device.name += copy;
  return device;
}

StreamShape shapeOf(int64_t rows, int64_t columns) {
  StreamShape shape;
  shape.rows = shape.pass = rows;
  shape.columns = columns;
  return shape;
}

TEST(LoopCyclesTest, NoLoopIsFasterThanItsProducts) {
  for (const char *name : {"neoverse-n1", "cortex-a55", "x86-64-v3", "x86-64-v4"}) {
    Device device = llvm::cantFail(findDevice(name));
    std::vector<int64_t> patterns{0x01, 0x0f, 0xa5, 0xff};
    std::vector<LoopCost> costs = costsOf(device, shapeOf(8, 1), patterns);
    ASSERT_EQ(costs.size(), patterns.size());
    for (size_t p = 0; p < patterns.size(); ++p) {
      double products = llvm::popcount(uint64_t(patterns[p])) * device.tileVectors;
      // LLVM's model of Zen 5 has fewer per cycle than the processor, none has more.
      EXPECT_GE(costs[p].cycles, 0.99 * products / device.fmaPerCycle) << name << " " << patterns[p];
      EXPECT_LE(costs[p].cycles, 8 + 4 * products / device.fmaPerCycle) << name << " " << patterns[p];
    }
    EXPECT_LT(costs[0].cycles, costs[3].cycles) << name;
  }
}

TEST(LoopCyclesTest, ALoopCostsTheSameAloneAndBesideOthers) {
  std::vector<int64_t> patterns{0x0f, 0x3c, 0xff, 0x81, 0x7e};
  StreamShape shape = shapeOf(8, 1);
  shape.unroll = 2;
  std::vector<LoopCost> together = costsOf(named("neoverse-n1", " together"), shape, patterns);
  Device alone = named("neoverse-n1", " alone");
  for (size_t p = 0; p < patterns.size(); ++p) {
    std::vector<LoopCost> one = costsOf(alone, shape, {patterns[p]});
    ASSERT_EQ(one.size(), 1u);
    EXPECT_EQ(one[0].cycles, together[p].cycles) << patterns[p];
    EXPECT_EQ(one[0].stackAccesses, together[p].stackAccesses) << patterns[p];
  }
}

TEST(LoopCyclesTest, WhatHasNoRegisterIsTold) {
  // 16 rows of 3 vectors are more sums than there are registers; those of 4 rows are not.
  Device device = named("neoverse-n1", " of 16 rows");
  device.tileRows = 16;
  std::vector<LoopCost> costs = costsOf(device, shapeOf(16, 1), {0xffff, 0x000f});
  ASSERT_EQ(costs.size(), 2u);
  EXPECT_GT(costs[0].stackAccesses, 0);
  EXPECT_EQ(costs[1].stackAccesses, 0);
}

TEST(LoopCyclesTest, PassesHaveLoopsOfTheirOwn) {
  StreamShape shape = shapeOf(8, 1);
  shape.pass = 4;
  std::vector<LoopCost> costs = costsOf(llvm::cantFail(findDevice("neoverse-n1")), shape, {0x0f, 0xff});
  ASSERT_EQ(costs.size(), 4u); // [pattern][pass]
  EXPECT_EQ(costs[1].cycles, 0);
  EXPECT_GT(costs[0].cycles, 0);
  EXPECT_EQ(costs[2].cycles, costs[0].cycles);
  EXPECT_EQ(costs[3].cycles, costs[0].cycles);
}

TEST(LoopCyclesTest, UnknownModelsAreErrors) {
  Device device = named("neoverse-n1", " of nobody");
  device.tuneCpu = "abacus";
  auto found = LoopCycles::of(device).find(shapeOf(8, 1), {0xff}, std::nullopt);
  ASSERT_FALSE(bool(found));
  EXPECT_NE(llvm::toString(found.takeError()).find("abacus"), std::string::npos);
}

TEST(CostModelTest, EndsOfLoopsThatRepeatCostNothing) {
  // 16 inputs of 64 outputs, of which each group keeps even ones in rows 0 to 3, odd ones in the others.
  std::vector<uint64_t> words(16 * 64, 1);
  std::vector<uint8_t> mask(16 * 64);
  for (int64_t i = 0; i < 16 * 64; ++i)
    mask[i] = (i % 8 < 4) == (i / 64 % 2 == 0);
  StreamShape shape = shapeOf(8, 1);
  shape.range = 16;
  shape.vectors = 3;
  PackedStream balanced = packSparse({16, 64, words, mask}, shape), other = balanced;
  ASSERT_TRUE(balanced.isBalanced);
  other.isBalanced = false;
  Device device = named("x86-64-v4", " that foresees");
  auto cyclesOf = [&](const PackedStream &stream, double foreseenTrips) {
    device.foreseenTrips = foreseenTrips;
    return CostModel(device, std::nullopt).linear(stream, 16, 48);
  };
  double ends = 2 * 8 * device.loopExitCycles; // Two patterns, eight groups.
  EXPECT_NEAR(cyclesOf(other, 8) - cyclesOf(balanced, 8), ends, 1e-6);
  EXPECT_EQ(cyclesOf(balanced, 7), cyclesOf(other, 8)); // Loops of eight trips are too long.
}

} // namespace
