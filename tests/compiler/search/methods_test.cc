// SPDX-License-Identifier: Apache-2.0
//
// Methods, rewards and kept evaluations, on a reward that is known.

#include "compiler/search/Search.h"
#include "compiler/search/SearchFile.h"

#include "llvm/Support/FileSystem.h"

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <set>
#include <unistd.h>

using namespace mlir::rt3;

namespace {

// Three clocks, four layouts each.
SearchSpace makeSpace() {
  Core core;
  for (int64_t mhz : {800, 1400, 2000})
    core.levels.push_back({mhz * 1000, 800000, double(mhz) / 4});
  std::vector<SearchLevel> levels;
  for (size_t clock = 0; clock < 3; ++clock)
    levels.push_back({clock, {{1, 0.5}, {2, 0.4}, {3, 0.5}, {4, 0.6}}});
  return SearchSpace(levels, core, 0.1);
}

// Layout 3 is best, more density is better, and one sample of each level is.
double qualityOf(const LevelSpec &spec) {
  double quality = 0.9 + 0.05 * spec.density - 0.02 * (spec.scheme == Scheme::Block) - 0.03 * (spec.columns == 4);
  return quality + 0.01 * (spec.patternSample == (spec.frequencyKhz / 100000) % 4);
}

llvm::Expected<std::vector<LevelValue>> evaluateLevels(const std::vector<LevelSpec> &specs) {
  std::vector<LevelValue> values;
  for (const LevelSpec &spec : specs)
    values.push_back({spec, qualityOf(spec), qualityOf(spec), 0.9, 1, {}});
  return values;
}

SearchResult run(const std::string &method, uint64_t seed, size_t budget) {
  auto result = search(makeSpace(), method, seed, budget, {1, 1}, evaluateLevels, Communicator());
  EXPECT_TRUE(bool(result));
  return std::move(*result);
}

TEST(Search, BestLevelsNeedNotBeOfOneCandidate) {
  // Quality, seconds of a limit of 1, mJ, of two clocks.
  auto trial = [](LevelValue slow, LevelValue fast) { return Trial{{}, rewardOf({slow, fast}, {1, 8}), {slow, fast}}; };
  auto value = [](double quality, double seconds) { return LevelValue{{}, quality, quality, seconds, 1, {}}; };
  SearchResult one{"random", 1, {trial(value(0.9, 0.5), value(0.7, 0.6)), trial(value(0.2, 0.7), value(0.8, 0.8))}, 0};
  SearchResult two{"random", 2, {trial(value(0.1, 0.9), value(0.99, 0.4)), trial(value(1, 9), value(1, 9))}, 0};
  ASSERT_GT(one.trials[0].reward, two.trials[0].reward);
  std::vector<LevelValue> alone = bestLevels({one}, {1, 8}), both = bestLevels({one, two}, {1, 8});
  EXPECT_EQ(alone[0].seconds, 0.5);
  EXPECT_EQ(alone[1].seconds, 0.8);
  // Level by level, from two runs; what misses the limit stays out.
  EXPECT_EQ(both[0].seconds, 0.5);
  EXPECT_EQ(both[1].seconds, 0.4);
}

TEST(Search, KnowsLevelsThatSlowerOnesAreBetterThan) {
  auto bestOf = [](std::vector<double> qualities) {
    std::vector<LevelValue> values;
    for (double quality : qualities)
      values.push_back({{}, quality, quality, 1, 1, {}});
    return bestUpTo(values);
  };
  using Levels = std::vector<size_t>;
  EXPECT_EQ(bestOf({0.8, 0.9, 0.95}), (Levels{0, 1, 2}));
  EXPECT_EQ(bestOf({0.9, 0.8, 0.85, 0.95}), (Levels{0, 0, 0, 3}));
  EXPECT_EQ(bestOf({0.8, 0.9, 0.85}), (Levels{0, 1, 1}));
  EXPECT_EQ(bestOf({0.9, 0.9}), (Levels{0, 1}));
  EXPECT_EQ(bestOf({std::nan(""), 0.8}), (Levels{0, 1}));
}

TEST(SearchFile, EnergyOfADeviceWithoutPowerIsNoNumber) {
  EXPECT_EQ(energyText(1.5), "1.500");
  EXPECT_EQ(energyText(0), "?");
  EXPECT_EQ(runsText(3, 1.5), "2.00x");
  EXPECT_EQ(runsText(0, 0), "?");
}

TEST(Search, EveryMethodKeepsItsBudgetAndRepeatsItself) {
  for (const std::string &method : methodNames()) {
    SearchResult first = run(method, 7, 60), second = run(method, 7, 60), other = run(method, 8, 60);
    ASSERT_EQ(first.trials.size(), 60u) << method;
    std::set<Candidate> different;
    bool isSame = true;
    for (size_t i = 0; i < 60; ++i) {
      EXPECT_EQ(first.trials[i].candidate, second.trials[i].candidate) << method;
      isSame &= first.trials[i].candidate == other.trials[i].candidate;
      different.insert(first.trials[i].candidate);
      EXPECT_LE(first.trials[i].reward, first.trials[first.best].reward);
    }
    EXPECT_EQ(different.size(), 60u) << method;
    EXPECT_FALSE(isSame) << method;
  }
}

// On a reward without noise, what learns must be better than what does not.
TEST(Search, LearningBeatsChance) {
  std::map<std::string, double> mean;
  for (const std::string &method : methodNames())
    for (uint64_t seed = 0; seed < 10; ++seed) {
      SearchResult result = run(method, seed, 150);
      mean[method] += result.trials[result.best].reward / 10;
    }
  for (const char *method : {"rl", "bayes", "evolution"})
    EXPECT_GT(mean[method], mean["random"]) << method;
}

TEST(Search, EndsWhereThereIsNothingNew) {
  Core core;
  core.levels.push_back({1000000, 0, 1});
  SearchSpace space({{0, {{0, 1}}}}, core, 0.1); // Dense: steps and samples change nothing, but count.
  for (const std::string &method : methodNames()) {
    auto result = search(space, method, 1, 1000, {1, 1}, evaluateLevels, Communicator());
    ASSERT_TRUE(bool(result));
    EXPECT_LE(result->trials.size(), 12u);
  }
}

TEST(Search, UnknownMethodsAreRefused) {
  auto result = search(makeSpace(), "magic", 1, 10, {1, 1}, evaluateLevels, Communicator());
  EXPECT_TRUE(bool(llvm::errorToBool(result.takeError())));
}

LevelValue value(double quality, double seconds, double energy) { return {{}, quality, quality, seconds, energy, {}}; }

TEST(Reward, IsItsFormula) {
  RewardOptions options{1, 8};
  EXPECT_NEAR(rewardOf({value(0.9, 0.5, 1), value(1, 1, 3)}, options), 0.95 + 0.01 * 2, 1e-12);
  // A missed limit, and a faster level that is worse.
  EXPECT_NEAR(rewardOf({value(1, 1.2, 2), value(0.9, 1, 2)}, options), 0.95 - 0.2 - 0.1 + 0.02, 1e-12);
  // Power that is not known says nothing, not even of one level.
  EXPECT_NEAR(rewardOf({value(1, 1, 0), value(1, 1, 4)}, options), 1, 1e-12);
  EXPECT_NEAR(rewardOf({value(1, 1, 0)}, {1, 0}), 1, 1e-12);
  for (double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
    EXPECT_EQ(rewardOf({value(bad, 1, 1)}, options), -1);
    EXPECT_EQ(rewardOf({value(1, bad, 1)}, options), -1);
  }
}

TEST(Space, DensityIsTheLargestThatMeetsTheLimit) {
  TimeCurve curve{{0.2, 0.5, 1}, {{2, 1}, {5, 2.5}, {10, 5}}};
  EXPECT_EQ(largestDensity(curve, 0, 1.9), std::nullopt);
  EXPECT_DOUBLE_EQ(*largestDensity(curve, 0, 2), 0.2);
  EXPECT_DOUBLE_EQ(*largestDensity(curve, 0, 3.5), 0.35);
  EXPECT_DOUBLE_EQ(*largestDensity(curve, 1, 3.5), 0.7);
  EXPECT_DOUBLE_EQ(*largestDensity(curve, 1, 100), 1);
}

TEST(Space, TheFastestIsNamedWhereNoneMeetsTheLimit) {
  Core core;
  core.levels = {{1000000, 800000, 100}, {2000000, 900000, 200}};
  TimeCurve dense{{1}, {{0.010, 0.005}}}, bp{{0.2, 1}, {{0.004, 0.003}, {0.010, 0.002}}};
  EXPECT_NE(
      whyTooSlow({dense, bp}, core, 0, 0.001).find("1000000 kHz no layout meets 1.000 ms; the fastest, bp with 20 %"),
      std::string::npos);
  EXPECT_NE(whyTooSlow({dense, bp}, core, 1, 0.001).find("bp with 100 % of the weights, takes 2.000 ms"),
            std::string::npos);
}

TEST(Space, NarrowLayersTakeTheTimeOfTheirOwnLayout) {
  // At two densities and one clock: all layers, and of these the narrow ones.
  TimeCurve bp{{0.2, 1}, {{2}, {10}}, {{0.5}, {3}}}, pp{{0.2, 1}, {{4}, {10}}, {{1.5}, {3}}}, dense{{1}, {{10}}, {{3}}};
  EXPECT_EQ(combine(bp, pp).seconds, (std::vector<std::vector<double>>{{3}, {10}}));
  EXPECT_EQ(combine(bp, dense).seconds, (std::vector<std::vector<double>>{{4.5}, {10}}));
}

TEST(Space, MixedLevelsNameTheirLayers) {
  Core core;
  core.levels = {{1000000, 800000, 100}};
  // bp and pp 8x4 alone; of mixes bp with narrow layers dense or pp 8x4.
  std::vector<double> none(searchedLayouts().size()), ofBp = none;
  ofBp[0] = 0.2;
  ofBp[4] = 0.45;
  SearchLevel level{0, {{1, 0.5}, {4, 0.4}}, {ofBp, none}};
  SearchSpace space({level}, core, 0.1, {"q"});
  EXPECT_EQ(space.sizes(), (std::vector<int>{2, int(none.size()) + 1, 3, 4}));
  LevelSpec same = space.levelOf({0, 0, 0, 0}, 0), impossible = space.levelOf({1, 2, 0, 0}, 0);
  EXPECT_TRUE(same.layers.empty() && impossible.layers.empty());
  EXPECT_EQ(same.density, 0.5);
  EXPECT_EQ(impossible.density, 0.4);
  LevelSpec mixed = space.levelOf({0, 5, 0, 2}, 0);
  EXPECT_EQ(layoutNames(mixed), "bp + pp 8x4 k=8");
  EXPECT_EQ(mixed.density, 0.45);
  ASSERT_EQ(mixed.layers.size(), 1u);
  EXPECT_EQ(mixed.layers[0].names, std::vector<std::string>{"q"});
  EXPECT_EQ(mixed.layers[0].layout.patternSample, 2);
  // All 15 masks of 4x1 are one set, wherever it is looked for.
  ofBp[2] = 0.3;
  SearchSpace whole({{0, {{1, 0.5}}, {ofBp}}}, core, 0.1, {"q"});
  EXPECT_EQ(whole.levelOf({0, 3, 0, 2}, 0).layers[0].layout.patternSample, 0);
  LevelSpec dense = space.levelOf({0, 1, 0, 0}, 0);
  EXPECT_EQ(layoutNames(dense), "bp + dense");
  EXPECT_EQ(dense.density, 0.2);
}

class EvaluationsTest : public testing::Test {
protected:
  void SetUp() override {
    llvm::SmallString<128> path;
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("rt3-evaluations", path));
    folder = path.str().str();
    counter = folder + "/count";
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  // Doubles a number; each time it does leaves a mark in a file.
  Evaluate doubling() {
    return [this](const llvm::json::Object &job) {
      std::ofstream(counter, std::ios::app) << 'x';
      int64_t number = *job.getInteger("number");
      if (number == 13)
        return llvm::json::Object{{"error", "unlucky"}};
      if (number == 14)
        raise(SIGKILL);
      return llvm::json::Object{{"double", 2 * number}};
    };
  }
  int64_t done() const {
    uint64_t size = 0;
    return llvm::sys::fs::file_size(counter, size) ? 0 : size;
  }
  static std::vector<llvm::json::Object> jobs(std::vector<int64_t> numbers) {
    std::vector<llvm::json::Object> result;
    for (int64_t number : numbers)
      result.push_back(llvm::json::Object{{"number", number}});
    return result;
  }
  Evaluations make(const std::string &key = "key", int processes = 2) {
    return Evaluations(folder + "/kept", key, processes, doubling(), alone);
  }

  Communicator alone;
  std::string folder, counter;
};

TEST_F(EvaluationsTest, AreDoneOnceAndKept) {
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < 30; ++i)
    numbers.push_back(i % 10);
  Evaluations first = make();
  auto results = first.run(jobs(numbers));
  ASSERT_TRUE(bool(results)) << llvm::toString(results.takeError());
  for (size_t i = 0; i < numbers.size(); ++i)
    EXPECT_EQ((*results)[i].getInteger("double"), 2 * numbers[i]);
  EXPECT_EQ(done(), 10);
  Evaluations second = make();
  ASSERT_TRUE(bool(second.run(jobs(numbers))));
  EXPECT_EQ(done(), 10);
  EXPECT_EQ(second.newCount(), 0u);
  Evaluations other = make("another key");
  ASSERT_TRUE(bool(other.run(jobs({1}))));
  EXPECT_EQ(done(), 11);
}

TEST_F(EvaluationsTest, FailuresAreErrorsAndLoseNothing) {
  for (int64_t bad : {13, 14}) {
    Evaluations evaluations = make();
    std::string text = llvm::toString(evaluations.run(jobs({1, 2, bad, 3})).takeError());
    EXPECT_NE(text.find(std::to_string(bad)), std::string::npos) << text;
    EXPECT_NE(text.find(bad == 13 ? "unlucky" : "signal 9"), std::string::npos) << text;
  }
  // The good ones were kept, the bad ones tried again.
  EXPECT_EQ(done(), 3 + 2);
}

TEST_F(EvaluationsTest, DamagedResultsAreDoneAgain) {
  Evaluations first = make();
  ASSERT_TRUE(bool(first.run(jobs({5}))));
  std::error_code code;
  for (llvm::sys::fs::directory_iterator file(folder + "/kept", code), end; !code && file != end;
       file.increment(code)) {
    std::fstream stream(file->path(), std::ios::in | std::ios::out);
    stream.seekp(-3, std::ios::end);
    stream << "7";
  }
  Evaluations second = make();
  auto results = second.run(jobs({5}));
  ASSERT_TRUE(bool(results));
  EXPECT_EQ((*results)[0].getInteger("double"), 10);
  EXPECT_EQ(done(), 2);
}

TEST_F(EvaluationsTest, AFolderThatCannotBeWrittenIsAnError) {
  std::ofstream(folder + "/kept") << "a file";
  Evaluations evaluations = make();
  EXPECT_TRUE(bool(llvm::errorToBool(evaluations.run(jobs({1})).takeError())));
}

TEST(Loss, IsNeverMinusNothing) {
  EXPECT_NEAR(lossPercent(0.97), 3, 1e-9);
  EXPECT_NEAR(lossPercent(1.02), -2, 1e-9);
  EXPECT_EQ(lossPercent(1 + 1e-9), 0);
  EXPECT_FALSE(std::signbit(lossPercent(1 + 1e-9)));
}

} // namespace
