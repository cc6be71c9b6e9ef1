// SPDX-License-Identifier: Apache-2.0

#include "codegen/packing/PackWeights.h"

#include "dialects/kernel/Kernel.h"

#include "llvm/ADT/STLExtras.h"

#include <gtest/gtest.h>

#include <cstring>

using namespace mlir::rt3;

namespace {

// 5 inputs of 8 outputs: rows 0 to 3 of inputs 0, 2 and 4, rows 4 to 7 of 1 and 3. Weights are 1 and up.
class PackWeightsTest : public testing::Test {
protected:
  PackWeightsTest() : words(40), mask(40, 0) {
    for (int64_t input = 0; input < 5; ++input)
      for (int64_t output = 0; output < 8; ++output) {
        words[input * 8 + output] = input * 8 + output + 1;
        mask[input * 8 + output] = (output < 4) == (input % 2 == 0);
      }
    shape.range = 8;
    shape.unroll = 2;
  }

  PackedStream pack() { return packSparse({5, 8, words, mask}, shape, {0x0f, 0xf0}); }

  template <typename T> static std::vector<T> read(const PackedStream &stream, size_t at, size_t count) {
    std::vector<T> values(count);
    memcpy(values.data(), stream.bytes.data() + at, count * sizeof(T));
    return values;
  }

  std::vector<uint64_t> words;
  std::vector<uint8_t> mask;
  StreamShape shape;
};

TEST_F(PackWeightsTest, FillsUpWithZerosThatReadTheLastInputAgain) {
  shape.isFilled = true;
  PackedStream stream = pack();
  using Numbers = std::vector<uint16_t>;
  EXPECT_EQ(read<uint16_t>(stream, 0, 8), (Numbers{4, 2, 0, 2, 4, 4, 1, 3})); // Counts, indices.
  using Words = std::vector<uint32_t>;
  EXPECT_EQ(read<uint32_t>(stream, 16, 24), (Words{1, 2, 3, 4, 17, 18, 19, 20, 33, 34, 35, 36, //
                                                   0, 0, 0, 0, 13, 14, 15, 16, 29, 30, 31, 32}));
  EXPECT_EQ(stream.size, 16 + 24 * 4);
  EXPECT_EQ(stream.keptCount, 20);
  EXPECT_EQ(stream.storedCount, 24);
}

TEST_F(PackWeightsTest, LeavesARestWhereItIsNotAskedTo) {
  PackedStream stream = pack();
  EXPECT_EQ(read<uint16_t>(stream, 0, 7), (std::vector<uint16_t>{3, 2, 0, 2, 4, 1, 3}));
  EXPECT_EQ(stream.storedCount, 20);
}

TEST_F(PackWeightsTest, NeverFillsUpAStreamOfOnePattern) {
  shape.isFilled = true;
  PackedStream stream = packSparse({5, 8, words, mask}, shape, {0xff});
  EXPECT_EQ(read<uint16_t>(stream, 0, 1), std::vector<uint16_t>{5});
  EXPECT_FALSE(stream.shape.isFilled);
  EXPECT_EQ(stream.shape.unroll, kSinglePatternUnroll);
}

TEST_F(PackWeightsTest, KnowsWhetherGroupsHaveAsManyBlocksOfEachPattern) {
  // A second group with the same inputs: 0, 2 and 4 of rows 0 to 3, 1 and 3 of the others.
  words.resize(80, 1);
  mask.resize(80);
  auto setMask = [&](std::vector<int64_t> ofFirstRows) {
    for (int64_t input = 0; input < 5; ++input)
      for (int64_t output = 0; output < 16; ++output)
        mask[input * 16 + output] = (output % 8 < 4) == llvm::is_contained(ofFirstRows, output < 8 ? input : 4 - input);
  };
  auto isBalancedIn = [&](int64_t range) {
    shape.range = range;
    EXPECT_EQ(isBalanced({5, 16, words, mask}, shape), packSparse({5, 16, words, mask}, shape).isBalanced);
    return isBalanced({5, 16, words, mask}, shape);
  };
  setMask({0, 2, 4});
  EXPECT_TRUE(isBalancedIn(8));
  EXPECT_TRUE(isBalancedIn(2)); // Of the first two inputs either kind once.
  setMask({0, 1, 2});           // The second group has 2, 3 and 4.
  EXPECT_TRUE(isBalancedIn(8));
  EXPECT_FALSE(isBalancedIn(2));
  shape.columns = 2; // Blocks of 0 and 1, and of 2 and 3; what is left of one is cut off and does not count.
  for (int64_t i = 0; i < 80; ++i)
    mask[i] = i < 64 ? i % 8 < 4 : i % 16 < 8;
  EXPECT_TRUE(isBalancedIn(8));
  shape.gathered = true; // The last input is a block of its own then, of the first group only.
  EXPECT_FALSE(isBalancedIn(8));
  // Both groups have four inputs, the second one other ones.
  for (int64_t i = 0; i < 80; ++i)
    mask[i] = i % 8 < 4 && (i % 16 < 8 ? i < 64 : i >= 16);
  EXPECT_TRUE(isBalancedIn(8));
  EXPECT_FALSE(isBalancedIn(4));
}

TEST(SumSetsTest, AreAsManyAsProductsInFlightNeed) {
  EXPECT_EQ(kernel::sumSets(8, 4, 8), 1);
  EXPECT_EQ(kernel::sumSets(6, 4, 8), 2);
  EXPECT_EQ(kernel::sumSets(3, 4, 8), 4);
  EXPECT_EQ(kernel::sumSets(3, 2, 8), 2); // No more than blocks of a trip.
  EXPECT_EQ(kernel::sumSets(3, 1, 8), 1);
}

} // namespace
