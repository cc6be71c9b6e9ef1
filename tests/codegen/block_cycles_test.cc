// SPDX-License-Identifier: Apache-2.0
//
// Cycles of blocks whose cycles follow from the latencies and pipes that vendors publish.

#include "codegen/predict/BlockCycles.h"

#include <gtest/gtest.h>

#include <tuple>

using namespace mlir::rt3;

namespace {

const char *const kTriple = "aarch64-unknown-linux-gnu";

// Two blocks with labels and one without, as LLVM writes them, in a function.
const char *const kAssembly = "\t.text\n"
                              "\t.globl\tf\n"
                              "\t.type\tf,@function\n"
                              "f:                                      // @f\n"
                              "// %bb.0:                               // %b0\n"
                              "\tmov\tx1, xzr\n"
                              "// %bb.1:                               // %b1.preheader\n"
                              "\tmov\tx2, xzr\n"
                              ".LBB0_1:                                // %b1\n"
                              "                                        // =>This Inner Loop Header: Depth=1\n"
                              "\tfmla\tv0.4s, v1.4s, v2.4s\n"
                              "\tfmla\tv0.4s, v1.4s, v2.4s\n"
                              "\tb.ne\t.LBB0_1\n"
                              ".LBB0_2:                                // %b7\n"
                              "\tfmla\tv0.4s, v9.4s, v10.4s\n"
                              "\tfmla\tv1.4s, v9.4s, v10.4s\n"
                              "\tfmla\tv2.4s, v9.4s, v10.4s\n"
                              "\tfmla\tv3.4s, v9.4s, v10.4s\n"
                              "\tfmla\tv4.4s, v9.4s, v10.4s\n"
                              "\tfmla\tv5.4s, v9.4s, v10.4s\n"
                              "\tfmla\tv6.4s, v9.4s, v10.4s\n"
                              "\tfmla\tv7.4s, v9.4s, v10.4s\n"
                              "\tret\n"
                              ".Lfunc_end0:\n"
                              "\t.size\tf, .Lfunc_end0-f\n";

TEST(BlockCycles, FollowLatenciesAndPipes) {
  auto code = BlockCycles::make(kAssembly, kTriple, "neoverse-n1");
  ASSERT_TRUE(bool(code)) << llvm::toString(code.takeError());
  const std::vector<BlockCycles::Block> &blocks = (*code)->blocks();
  ASSERT_EQ(blocks.size(), 4u);
  size_t numbers[] = {0, 1, 1, 7};
  int64_t instructions[] = {1, 1, 3, 8}; // Returns are left out.
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(blocks[i].number, numbers[i]);
    EXPECT_EQ(blocks[i].isPreheader, i == 1);
    EXPECT_EQ(blocks[i].instructions, instructions[i]);
  }
  // Two multiply-adds that wait for each other take 4 cycles each; eight that do not go
  // two at a time. A run more or less at both ends is 2 % of fifty. The two pipes are busy
  // with the two for a cycle; three instructions, and so many micro-operations, are issued in it.
  for (auto [block, all, issued] : {std::tuple(2, 8.0, 1.0), {3, 4.0, 4.0}}) {
    auto cycles = (*code)->cycles(block);
    ASSERT_TRUE(bool(cycles)) << llvm::toString(cycles.takeError());
    EXPECT_NEAR(cycles->all, all, 0.1 * all) << block;
    EXPECT_NEAR(cycles->issued, issued, 0.1 * issued) << block;
  }
  // In order, there is nothing else to do meanwhile.
  auto inOrder = BlockCycles::make(kAssembly, kTriple, "cortex-a55");
  ASSERT_TRUE(bool(inOrder)) << llvm::toString(inOrder.takeError());
  auto cycles = (*inOrder)->cycles(2);
  ASSERT_TRUE(bool(cycles)) << llvm::toString(cycles.takeError());
  EXPECT_EQ(cycles->issued, cycles->all);
  EXPECT_GT(cycles->all, 4);
}

TEST(BlockCycles, FaultsAreErrors) {
  auto unknown = BlockCycles::make(kAssembly, kTriple, "no-such-core");
  EXPECT_FALSE(bool(unknown));
  llvm::consumeError(unknown.takeError());
  std::string broken = kAssembly;
  broken.replace(broken.find("fmla"), 4, "flma");
  auto garbled = BlockCycles::make(broken, kTriple, "neoverse-n1");
  EXPECT_FALSE(bool(garbled));
  llvm::consumeError(garbled.takeError());
}

} // namespace
