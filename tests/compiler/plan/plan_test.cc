// SPDX-License-Identifier: Apache-2.0

#include "compiler/plan/Plan.h"
#include "rt3/rt3_bundle.h"

#include "llvm/ADT/StringExtras.h"

#include <gtest/gtest.h>

#include <random>

using namespace mlir::rt3;

namespace {

// Two levels of one layer, block-pruned with values and by patterns.
Plan makePlan(bool isNested) {
  Plan plan;
  plan.model = "model.onnx";
  plan.precision = "f32";
  plan.levels.isNested = isNested;
  plan.levels.levels = {{{.scheme = Scheme::Pattern}, "low", 600000, 0, 0, 0.5},
                        {{.scheme = Scheme::Block}, "mid", 900000, 0, 0, 0.5},
                        {{.scheme = Scheme::Dense}, "high", 1200000}};
  plan.patternSets = {{"patterns_low", 8, 1, {0x0f, 0xf0}}};
  PlannedLayer layer{"a \"layer\"", 3, 8, "1f", {}, {}, {}};
  PlannedLevel patterns{Scheme::Pattern, "", 8, 0, Mask(24, 0), {}, {}},
      block{Scheme::Block, "", 8, 0, Mask(24, 1), {}, {}};
  for (size_t i = 0; i < 24; ++i)
    patterns.mask[i] = i % 8 < 4;
  for (size_t i = 0; i < 24; ++i)
    (isNested ? layer.values : block.values).push_back(0.25f * i - 3);
  block.bias = {0.5f, -1, 0, 2, 0.25f, 1, 3, -0.5f};
  layer.levels = {patterns, block, {Scheme::Dense, "the level is dense", 8, 0, {}, {}, {}}};
  plan.layers.push_back(layer);
  return plan;
}

std::string errorOf(const std::string &json, const std::string &weights) {
  auto plan = readPlan(json, weights);
  return plan ? "" : llvm::toString(plan.takeError());
}

std::string replaced(std::string text, const std::string &from, const std::string &to) {
  size_t place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from;
  return place == std::string::npos ? text : text.replace(place, from.size(), to);
}

TEST(Plan, IsReadAsItWasWritten) {
  for (bool isNested : {false, true}) {
    auto [json, weights] = writePlan(makePlan(isNested));
    auto plan = readPlan(json, weights);
    ASSERT_TRUE(bool(plan)) << llvm::toString(plan.takeError());
    auto [again, weightsAgain] = writePlan(*plan);
    EXPECT_EQ(json, again);
    EXPECT_EQ(weights, weightsAgain);
    EXPECT_EQ(plan->layers[0].levels[0].mask, makePlan(isNested).layers[0].levels[0].mask);
    EXPECT_EQ(plan->layers[0].levels[1].values, makePlan(isNested).layers[0].levels[1].values);
    EXPECT_EQ(plan->layers[0].values, makePlan(isNested).layers[0].values);
    EXPECT_TRUE(plan->layers[0].levels[0].bias.empty());
    EXPECT_EQ(plan->layers[0].levels[1].bias, makePlan(isNested).layers[0].levels[1].bias);
    EXPECT_EQ(plan->levels.levels[1].frequencyKhz, 900000);
  }
}

// As rt3c wrote them before levels had biases.
TEST(Plan, OfVersionOneIsRead) {
  Plan plan = makePlan(false);
  plan.layers[0].levels[1].bias.clear();
  auto [json, weights] = writePlan(plan);
  auto read = readPlan(replaced(json, "\"version\": 2", "\"version\": 1"), weights);
  ASSERT_TRUE(bool(read)) << llvm::toString(read.takeError());
  EXPECT_EQ(read->layers[0].levels[1].values, plan.layers[0].levels[1].values);
}

TEST(Plan, SaysWhatIsWrong) {
  auto [json, weights] = writePlan(makePlan(false));
  struct Case {
    const char *from, *to, *says;
  };
  for (const Case &c : std::initializer_list<Case>{
           {"\"rt3-plan\"", "\"other\"", "format"},
           {"\"version\": 2", "\"version\": 3", "version"},
           {"\"inputs\": 3", "\"inputs\": 0", "layers[0].inputs"},
           {"\"inputs\": 3", "\"inputs\": 16777216", "larger than plan.weights"},
           {"\"outputs\": 8", "\"outputs\": 4000", "larger than plan.weights"},
           {"\"mask_offset\": 0", "\"mask_offset\": 4", "4 is no multiple of 8"},
           {"\"outputs\": 8", "\"outputs\": 16", "do not lie in plan.weights"},
           {"\"version\": 2", "\"version\": \"2\"", "\"version\" is \"2\""},
           {"\"version\": 2", "\"version\": 1", "layers[0].levels[1].bias_offset: is no field that belongs here"},
           {"\"format\"", "\"colour\": 1, \"format\"", "colour: is no field"},
           {"\"columns\": 1", "\"columns\": 1, \"colour\": 1", "pattern_sets[0].colour: is no field"},
           {"\"inputs\": 3", "\"inputs\": 3, \"colour\": 1", "layers[0].colour: is no field"},
           {"\"mask_offset\": 0", "\"mask_offset\": 0, \"rows\": 8", "layers[0].levels[0].rows: is no field"},
           {"\"reason\"", "\"bias_offset\": 0, \"reason\"", "levels[2].bias_offset: is no field"},
           {"\"mask_offset\": 0", "\"mask_offset\": -8", "mask_offset"},
           {"\"bias_offset\": ", "\"bias_offset\": 8000", "bias_offset"},
           {"\"scheme\": \"bp\"", "\"scheme\": \"other\"", "none of dense"},
           {"\"pattern_set\": \"patterns_low\"", "\"pattern_set\": \"none\"", "names no pattern set"},
           {"\"0xf0\"", "\"0x1f0\"", "hexadecimal"},
           {"\"rows\": 8", "\"rows\": 3", "rows"},
           {"\"density\": 0.5", "\"density\": 2", "density"},
           {"\"layers\"", "\"other\"", "layers: is no list"},
           {"\"weights_hash\": \"1", "\"weights_hash\": \"x", "weights_hash"},
       })
    EXPECT_NE(errorOf(replaced(json, c.from, c.to), weights).find(c.says), std::string::npos)
        << c.to << ": " << errorOf(replaced(json, c.from, c.to), weights);
  EXPECT_NE(errorOf("{", weights).find("not JSON"), std::string::npos);
  EXPECT_NE(errorOf(json, weights.substr(1)).find("bytes"), std::string::npos);
  std::string changed = weights;
  changed[0] ^= 1;
  EXPECT_NE(errorOf(json, changed).find("hash"), std::string::npos);
}

// An offset that points at another part would give a layer the numbers of another.
TEST(Plan, PartsStandInOrderWithoutGaps) {
  auto [json, weights] = writePlan(makePlan(false));
  std::vector<std::string> offsets;
  std::vector<size_t> places;
  for (size_t at = 0; (at = json.find("_offset\": ", at)) != std::string::npos;) {
    at += strlen("_offset\": ");
    offsets.push_back(json.substr(at, json.find_first_of(",\n", at) - at));
    places.push_back(at);
  }
  ASSERT_GT(offsets.size(), 3u);
  for (const std::string &own : offsets)
    for (const std::string &other : offsets)
      if (own != other)
        EXPECT_NE(errorOf(replaced(json, "_offset\": " + own, "_offset\": " + other), weights).find("_offset"),
                  std::string::npos)
            << own << " " << other;
  // Exchanged, they leave no gap.
  for (size_t i = 0; i < offsets.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      std::string swapped = json;
      swapped.replace(places[i], offsets[i].size(), offsets[j]);
      swapped.replace(places[j], offsets[j].size(), offsets[i]);
      EXPECT_NE(errorOf(swapped, weights).find("_offset"), std::string::npos) << offsets[i] << " " << offsets[j];
    }
  // What no layer has.
  std::string longer = weights + std::string(16, '\0');
  std::string hash = llvm::utohexstr(rt3_hash(longer.data(), longer.size()), /*LowerCase=*/true);
  std::string other = replaced(json, "\"weights_size\": " + std::to_string(weights.size()),
                               "\"weights_size\": " + std::to_string(longer.size()));
  std::string old = llvm::utohexstr(rt3_hash(weights.data(), weights.size()), /*LowerCase=*/true);
  EXPECT_NE(errorOf(replaced(other, old, hash), longer).find("bytes of plan.weights"), std::string::npos);
}

TEST(Plan, RefusesValuesThatAreNoNumbers) {
  Plan plan = makePlan(false);
  plan.layers[0].levels[1].values[5] = NAN;
  auto [json, weights] = writePlan(plan);
  EXPECT_NE(errorOf(json, weights).find("value 5 is NaN"), std::string::npos);
  plan = makePlan(false);
  plan.layers[0].levels[1].bias[7] = INFINITY;
  std::tie(json, weights) = writePlan(plan);
  EXPECT_NE(errorOf(json, weights).find("levels[1].bias_offset: value 7 is NaN or infinite"), std::string::npos);
}

TEST(Plan, RefusesNestedLevelsThatAreNot) {
  Plan plan = makePlan(true);
  plan.layers[0].levels[1].mask[0] = 0; // Level low keeps it.
  auto [json, weights] = writePlan(plan);
  EXPECT_NE(errorOf(json, weights).find("not nested"), std::string::npos);
}

TEST(Plan, SurvivesAnyChange) {
  auto [json, weights] = writePlan(makePlan(false));
  std::mt19937 random(3);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string changed = json;
    for (unsigned count = 1 + random() % 3; count > 0; --count) {
      size_t place = random() % changed.size();
      if (random() % 3 == 0)
        changed.erase(place, 1 + random() % 8);
      else
        changed[place] = "0123456789-\"{}[],:ex"[random() % 20];
    }
    refused += !errorOf(changed, weights).empty();
  }
  EXPECT_GT(refused, 1000);
}

} // namespace
