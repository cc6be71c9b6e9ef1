// SPDX-License-Identifier: Apache-2.0
//
// What holds for masks whatever the saliency: counts, blocks, patterns, nesting.

#include "compiler/prune/Masks.h"

#include "compiler/prune/Balance.h"
#include "dialects/graph/Quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

using namespace mlir::rt3;

namespace {

Saliency randomSaliency(int64_t inputs, int64_t outputs, std::mt19937 &random) {
  // Heavy tails, as real weights have.
  std::lognormal_distribution<float> values(0, 2);
  Saliency result{inputs, outputs, {}};
  for (int64_t i = 0; i < inputs * outputs; ++i)
    result.values.push_back(values(random));
  return result;
}

double share(const Mask &mask) { return double(std::count(mask.begin(), mask.end(), 1)) / mask.size(); }

TEST(BlockMasks, KeepTheSameInputsInAGroupAndAsManyInEach) {
  std::mt19937 random(1);
  for (int64_t inputs : {1, 7, 8, 61, 128})
    for (int64_t outputs : {1, 8, 13, 64})
      for (int64_t rows : {8, 32})
        for (double density : {0.05, 0.3, 0.5, 0.97}) {
          Saliency saliency = randomSaliency(inputs, outputs, random);
          Mask mask = pruneBlocks(saliency, rows, density);
          ASSERT_EQ(mask.size(), saliency.values.size());
          std::set<int64_t> counts;
          for (int64_t group = 0; group < outputs; group += rows) {
            int64_t kept = 0;
            for (int64_t k = 0; k < inputs; ++k) {
              for (int64_t n = group; n < std::min(group + rows, outputs); ++n)
                ASSERT_EQ(mask[k * outputs + n], mask[k * outputs + group]);
              kept += mask[k * outputs + group];
            }
            counts.insert(kept);
          }
          EXPECT_EQ(counts.size(), 1u); // Groups are balanced.
          EXPECT_NEAR(*counts.begin(), density * inputs, 1);
          EXPECT_GE(*counts.begin(), 1);
        }
}

// The masks of a layer's blocks.
std::multiset<uint64_t> blockMasks(const Saliency &layer, const LevelSpec &spec, const Mask &mask) {
  std::multiset<uint64_t> result;
  forEachBlockMask(layer, spec, mask, nullptr, [&](uint64_t block) { result.insert(block); });
  return result;
}

TEST(PatternMasks, OfOneColumnMeetTheBudgetWithFewPatterns) {
  std::mt19937 random(2);
  for (int64_t rows : {4, 8})
    for (int64_t patternCount : {1, 2, 8, 16, 32})
      for (double density : {0.1, 0.5, 0.8}) {
        LevelSpec spec;
        spec.scheme = Scheme::Pattern;
        spec.rows = rows;
        spec.patternCount = patternCount;
        spec.density = density;
        // Of several sizes, with outputs that are no multiple of a block; one whose budget is far
        // from the others'.
        std::vector<Saliency> saliencies = {randomSaliency(61, 64, random), randomSaliency(128, 40, random),
                                            randomSaliency(96, 61, random)};
        std::vector<double> densities = {density, density, std::min(1.0, 1.6 * density)};
        std::vector<PatternLayer> layers;
        for (size_t i = 0; i < saliencies.size(); ++i)
          layers.push_back({&saliencies[i], nullptr, densities[i]});
        std::vector<Mask> masks = prunePatterns(layers, spec, /*gathered=*/false);
        std::set<uint64_t> seen;
        for (size_t i = 0; i < masks.size(); ++i) {
          EXPECT_LE(share(masks[i]), densities[i] + 0.01);
          // With one pattern, which is that of a column, in steps of a column.
          EXPECT_GE(share(masks[i]), densities[i] - 0.05) << rows << "x1, " << patternCount << ", " << density;
          if (saliencies[i].outputs % rows == 0)
            for (uint64_t mask : blockMasks(saliencies[i], spec, masks[i]))
              seen.insert(mask);
        }
        seen.erase(0);
        EXPECT_LE(int64_t(seen.size()), patternCount);
      }
}

TEST(PatternMasks, MeetTheBudgetWhereAFewWeightsCountMost) {
  std::mt19937 random(6);
  Saliency saliency = randomSaliency(128, 64, random);
  for (int64_t n = 0; n < 64; ++n)
    saliency.values[5 * 64 + n] *= 1e8f;
  LevelSpec spec;
  spec.scheme = Scheme::Pattern;
  EXPECT_NEAR(share(prunePatterns({{&saliency, nullptr, 0.5}}, spec, /*gathered=*/false)[0]), 0.5, 0.01);
}

// Fewer would wait for each other.
TEST(PatternMasks, OfOneColumnKeepFourOutputsOrMore) {
  std::mt19937 random(14);
  for (double density : {0.2, 0.3, 0.5})
    for (bool isBalanced : {false, true}) {
      Saliency saliency = randomSaliency(192, 64, random);
      LevelSpec spec;
      spec.scheme = Scheme::Pattern;
      spec.isBalanced = isBalanced;
      Mask mask = prunePatterns({{&saliency, nullptr, density}}, spec, /*gathered=*/false)[0];
      EXPECT_NEAR(share(mask), density, 0.02);
      int64_t few = 0, all = 0;
      for (uint64_t block : blockMasks(saliency, spec, mask)) {
        few += block != 0 && __builtin_popcountll(block) < 4;
        all += block != 0;
      }
      EXPECT_LT(few, 0.1 * all) << density << ", " << isBalanced;
    }
}

// What a layer's blocks have.
struct BlockKinds {
  std::set<int64_t> counts; // Weights that are kept.
  std::set<uint64_t> masks;
};

BlockKinds blockKinds(const Saliency &layer, const LevelSpec &spec, const Mask &mask) {
  BlockKinds kinds;
  for (uint64_t block : blockMasks(layer, spec, mask)) {
    kinds.counts.insert(__builtin_popcountll(block));
    kinds.masks.insert(block);
  }
  return kinds;
}

LevelSpec patternSpec(int64_t columns, KeptCount kept, double density) {
  LevelSpec spec;
  spec.scheme = Scheme::Pattern;
  spec.columns = columns;
  spec.kept = kept;
  spec.density = density;
  return spec;
}

TEST(PatternMasks, OfAFixedCountKeepAsManyInEachBlock) {
  std::mt19937 random(3);
  for (int64_t columns : {1, 2, 4, 8})
    for (double density : {0.25, 0.5, 0.875}) {
      // Not said: of one column any count.
      LevelSpec spec = patternSpec(columns, columns == 1 ? KeptCount::Fixed : KeptCount::Default, density);
      spec.patternCount = 8;
      Saliency saliency = randomSaliency(64, 48, random);
      Mask mask = prunePatterns({{&saliency, nullptr, std::nullopt}}, spec, /*gathered=*/false)[0];
      EXPECT_NEAR(share(mask), density, 1e-9);
      BlockKinds kinds = blockKinds(saliency, spec, mask);
      EXPECT_EQ(kinds.counts, std::set<int64_t>{std::lround(density * 8 * columns)});
      EXPECT_GT(kinds.masks.size(), 1u);
      EXPECT_LE(kinds.masks.size(), 8u);
    }
}

TEST(PatternMasks, ReadAsFewInputsAsTheyMay) {
  std::mt19937 random(5);
  for (int64_t columns : {4, 8})
    for (int64_t inputs : {1, 2, 3})
      for (double density : {0.125, 0.25, 0.5}) {
        LevelSpec spec = patternSpec(columns, KeptCount::Default, density);
        spec.patternInputs = inputs;
        Saliency saliency = randomSaliency(64, 48, random);
        Mask mask = prunePatterns({{&saliency, nullptr, std::nullopt}}, spec, /*gathered=*/false)[0];
        EXPECT_NEAR(share(mask), density, 1e-9);
        // As many more as the weights need.
        int64_t needed = std::max<int64_t>(inputs, std::llround(density * columns));
        for (uint64_t pattern : blockKinds(saliency, spec, mask).masks) {
          int64_t used = 0;
          for (int64_t c = 0; c < columns; ++c)
            used += (pattern >> 8 * c & 0xff) != 0;
          EXPECT_LE(used, needed) << columns << ", " << inputs << ", " << density;
        }
      }
}

TEST(PatternMasks, AreSeveralWhereALayerEndsInABlock) {
  std::mt19937 random(12);
  for (bool isGathered : {false, true}) {
    Saliency saliency = randomSaliency(410, 60, random); // Groups of 205 columns are cut, too.
    Mask columns = pruneBlocks(saliency, 8, 0.5);
    LevelSpec spec = patternSpec(4, KeptCount::Default, 0.2);
    PatternLayer layer{&saliency, isGathered ? &columns : nullptr, std::nullopt};
    Mask mask = prunePatterns({layer}, spec, isGathered)[0];
    std::set<uint64_t> seen; // What columns keep: of one pattern for all blocks, four masks and those of rests.
    for (int64_t group = 0; group + 8 <= 60; group += 8)
      for (int64_t k = 0; k < 408; ++k) {
        uint64_t kept = 0;
        for (int64_t r = 0; r < 8; ++r)
          kept |= uint64_t(mask[k * 60 + group + r]) << r;
        seen.insert(kept);
      }
    EXPECT_GT(seen.size(), 10u) << isGathered;
  }
}

TEST(PatternMasks, OfSeveralColumnsMayKeepAnyNumber) {
  std::mt19937 random(8);
  for (int64_t columns : {2, 4, 8})
    for (double density : {0.2, 0.5}) {
      LevelSpec spec = patternSpec(columns, KeptCount::Free, density);
      Saliency saliency = randomSaliency(64, 48, random);
      Mask mask = prunePatterns({{&saliency, nullptr, std::nullopt}}, spec, /*gathered=*/false)[0];
      BlockKinds kinds = blockKinds(saliency, spec, mask);
      EXPECT_GT(kinds.counts.size(), 1u);
      EXPECT_LE(kinds.masks.size(), 16u);
      // In steps of a block's pattern.
      EXPECT_NEAR(share(mask), density, 0.05) << columns;
    }
}

double keptSaliency(const Saliency &saliency, const Mask &mask) {
  double sum = 0;
  for (size_t i = 0; i < mask.size(); ++i)
    sum += mask[i] * saliency.values[i];
  return sum;
}

TEST(PatternMasks, BalancedOnesOfGatheredColumnsAreAsOftenInEachGroup) {
  std::mt19937 random(13);
  for (int64_t inputs : {8, 64, 200, 413}) { // Of all but 200 the last block is cut off.
    Saliency saliency = randomSaliency(inputs, 64, random);
    for (size_t i = 0; i < saliency.values.size(); ++i)
      saliency.values[i] *= 1 + i / 64 % 5;
    Mask columns = pruneBlocks(saliency, 8, 0.7);
    LevelSpec spec = patternSpec(4, KeptCount::Default, 0.3);
    spec.scheme = Scheme::BlockPattern;
    spec.patternCount = 4;
    Mask free = prunePatterns({{&saliency, &columns, std::nullopt}}, spec, /*gathered=*/true)[0];
    spec.isBalanced = true;
    Mask mask = prunePatterns({{&saliency, &columns, std::nullopt}}, spec, /*gathered=*/true)[0];
    std::optional<std::map<uint64_t, int64_t>> before;
    for (int64_t group = 0; group < 64; group += 8) {
      std::vector<int64_t> kept;
      for (int64_t k = 0; k < inputs; ++k)
        if (columns[k * 64 + group])
          kept.push_back(k);
      std::map<uint64_t, int64_t> counts;
      for (size_t i = 0; i + 4 <= kept.size(); i += 4) {
        uint64_t pattern = 0;
        for (int64_t p = 0; p < 32; ++p)
          pattern |= uint64_t(mask[kept[i + p / 8] * 64 + group + p % 8]) << p;
        ++counts[pattern];
      }
      EXPECT_EQ(counts, before.value_or(counts)) << inputs << ", group " << group;
      EXPECT_TRUE(counts.size() > 1 || inputs < 64) << inputs;
      before = std::move(counts);
    }
    if (inputs >= 64) // Of one block each, groups have one pattern for all.
      EXPECT_GT(keptSaliency(saliency, mask), 0.9 * keptSaliency(saliency, free)) << inputs;
    EXPECT_EQ(share(mask), share(free)) << inputs;
  }
}

TEST(PatternMasks, BalancedOnesAreAsOftenInEachGroup) {
  std::mt19937 random(10);
  for (int64_t columns : {1, 4, 8})
    for (int64_t inputs : {8, 192, 200, 413})
      for (KeptCount kept : {KeptCount::Free, KeptCount::Fixed}) {
        LevelSpec spec = patternSpec(columns, kept, 0.4);
        // Some inputs count more, as those of real layers do.
        Saliency saliency = randomSaliency(inputs, 64, random);
        for (size_t i = 0; i < saliency.values.size(); ++i)
          saliency.values[i] *= 1 + i / 64 % 5;
        Mask free = prunePatterns({{&saliency, nullptr, std::nullopt}}, spec, /*gathered=*/false)[0];
        spec.isBalanced = true;
        Mask mask = prunePatterns({{&saliency, nullptr, std::nullopt}}, spec, /*gathered=*/false)[0];
        for (int64_t first = 0; first < inputs; first += graph::kBalancedInputs) {
          std::optional<std::map<uint64_t, int64_t>> before;
          for (int64_t group = 0; group < 64; group += 8) {
            std::map<uint64_t, int64_t> counts;
            // A block that is cut off at the last input has less of its pattern.
            for (int64_t k = first; k + columns <= std::min(first + graph::kBalancedInputs, inputs); k += columns) {
              uint64_t pattern = 0;
              for (int64_t p = 0; p < 8 * columns; ++p)
                pattern |= uint64_t(mask[(k + p / 8) * 64 + group + p % 8]) << p;
              ++counts[pattern];
            }
            EXPECT_EQ(counts, before.value_or(counts)) << columns << ", " << inputs << ", group " << group;
            // A pattern for all of them would be balanced, too.
            EXPECT_TRUE(counts.size() > 1 || inputs < graph::kBalancedInputs || first + 64 > inputs)
                << columns << ", " << inputs;
            before = std::move(counts);
          }
        }
        if (inputs < graph::kBalancedInputs)
          continue; // Shares of few blocks are rounded much.
        double ratio = keptSaliency(saliency, mask) / keptSaliency(saliency, free);
        EXPECT_LT(ratio, 1.02) << columns << ", " << inputs;
        EXPECT_GT(ratio, 0.9) << columns << ", " << inputs;
        EXPECT_NEAR(share(mask), share(free), 0.02) << columns << ", " << inputs;
      }
}

// Against all assignments.
TEST(Balance, LosesTheLeast) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    size_t items = 1 + random() % 6, kinds = 1 + random() % 4;
    std::vector<double> scores;
    for (size_t i = 0; i < items * kinds; ++i)
      scores.push_back(int(random() % 9) - 4);
    if (round % 4 == 0) // One beside which the others hardly count, as outliers among weights are.
      scores[random() % scores.size()] = double(int64_t(1) << 40);
    std::vector<int64_t> counts(kinds);
    for (size_t i = 0; i < items; ++i)
      ++counts[random() % kinds];
    std::vector<size_t> choices;
    for (size_t i = 0; i < items; ++i)
      choices.push_back(std::max_element(&scores[i * kinds], &scores[i * kinds] + kinds) - &scores[i * kinds]);
    balanceChoices(scores, counts, choices);
    auto sumOf = [&](const std::vector<size_t> &some, std::vector<int64_t> left) {
      double sum = 0;
      for (size_t i = 0; i < items; ++i) {
        sum += scores[i * kinds + some[i]];
        if (--left[some[i]] < 0)
          return -1e9;
      }
      return sum;
    };
    double best = -1e9;
    for (size_t code = 0; code < std::pow(kinds, items); ++code) {
      std::vector<size_t> some;
      for (size_t i = 0, rest = code; i < items; ++i, rest /= kinds)
        some.push_back(rest % kinds);
      best = std::max(best, sumOf(some, counts));
    }
    EXPECT_EQ(sumOf(choices, counts), best) << round;
  }
}

TEST(Balance, SharesAddUp) {
  EXPECT_EQ(evenShares({7, 2, 3}, 4), (std::vector<int64_t>{2, 0, 1}));
  EXPECT_EQ(evenShares({0, 0, 8}, 4), (std::vector<int64_t>{0, 0, 2}));
  EXPECT_EQ(evenShares({2, 2}, 4), (std::vector<int64_t>{1, 0}));
}

TEST(PatternMasks, OfALayerWithoutSaliencyAreEmpty) {
  Saliency saliency{64, 48, std::vector<float>(64 * 48, 0)};
  for (int64_t columns : {1, 4}) {
    LevelSpec spec;
    spec.scheme = Scheme::BlockPattern;
    spec.columns = columns;
    spec.density = 0.3;
    Mask upper = pruneBlocks(saliency, 8, 0.5);
    EXPECT_EQ(share(prunePatterns({{&saliency, &upper, std::nullopt}}, spec, /*gathered=*/columns > 1)[0]), 0);
  }
}

TEST(PatternMasks, FixedCountsTakeTheBudgetOfBlocksThatADenserLevelHas) {
  std::mt19937 random(9);
  Saliency saliency = randomSaliency(96, 64, random);
  Mask upper = pruneBlocks(saliency, 8, 0.5);
  LevelSpec spec = patternSpec(1, KeptCount::Fixed, 0.25);
  EXPECT_NEAR(share(prunePatterns({{&saliency, &upper, std::nullopt}}, spec, /*gathered=*/false)[0]), 0.25, 1e-9);
}

TEST(PatternMasks, StayWithinTheDenserLevel) {
  std::mt19937 random(4);
  for (int64_t columns : {1, 4})
    for (bool ofBlocks : {false, true}) {
      Saliency saliency = randomSaliency(96, 64, random);
      LevelSpec upperSpec;
      upperSpec.scheme = Scheme::Pattern;
      upperSpec.columns = columns;
      upperSpec.density = 0.6;
      Mask upper = ofBlocks ? pruneBlocks(saliency, 8, 0.6)
                            : prunePatterns({{&saliency, nullptr, std::nullopt}}, upperSpec, false)[0];
      Saliency within = saliency;
      for (size_t i = 0; i < upper.size(); ++i)
        within.values[i] *= upper[i];
      LevelSpec spec = upperSpec;
      spec.density = 0.3;
      Mask mask = prunePatterns({{&within, &upper, std::nullopt}}, spec, false)[0];
      for (size_t i = 0; i < mask.size(); ++i)
        ASSERT_LE(mask[i], upper[i]);
      EXPECT_GT(share(mask), 0.1);
    }
}

} // namespace
