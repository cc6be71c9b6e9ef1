// SPDX-License-Identifier: Apache-2.0
//
// Weights and biases of levels, rebuilt on samples.

#include "compiler/prune/PruneLevels.h"
#include "compiler/prune/RebuildLevels.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

#include "llvm/ADT/StringExtras.h"

#include <gtest/gtest.h>

#include <random>

using namespace mlir;
using namespace mlir::rt3;

namespace {

constexpr int64_t kSize = 32, kTokens = 60, kSamples = 5;

// Two layers, the second with a bias, and a residual around both.
constexpr const char *kModel = R"(
module attributes {rt3_graph.max_length = 60 : i64} {
func.func @main(%x: tensor<1x?x32xf32> {rt3_graph.name = "x"}) -> tensor<1x?x32xf32> {
  %h = rt3_graph.linear "first" %x, %W activation relu : (tensor<1x?x32xf32>, tensor<32x32xf32>) -> tensor<1x?x32xf32>
  %y = rt3_graph.linear "second" %h, %V bias %b residual %x : (tensor<1x?x32xf32>, tensor<32x32xf32>, tensor<32xf32>, tensor<1x?x32xf32>) -> tensor<1x?x32xf32>
  return %y : tensor<1x?x32xf32>
}
}
)";

std::string constant(const char *name, const char *shape, int64_t count, std::mt19937 &random) {
  std::normal_distribution<float> normal(0, 0.2f);
  std::string bytes = "0x";
  for (int64_t i = 0; i < count; ++i) {
    float value = normal(random);
    for (int b = 0; b < 4; ++b)
      bytes += llvm::utohexstr(reinterpret_cast<uint8_t *>(&value)[b], false, 2);
  }
  return "  " + std::string(name) + " = rt3_graph.constant dense<\"" + bytes + "\"> : tensor<" + shape + "xf32>\n";
}

class RebuildLevelsTest : public testing::Test {
protected:
  RebuildLevelsTest() {
    context.loadDialect<func::FuncDialect, graph::GraphDialect>();
    std::mt19937 random(5);
    std::normal_distribution<double> normal(0.7, 1); // Far from 0 on average.
    for (int64_t i = 0; i < kSamples; ++i) {
      HostTensor x{{1, kTokens, kSize}, {}};
      for (int64_t e = 0; e < kTokens * kSize; ++e)
        x.elements.push_back(normal(random));
      samples.push_back({kTokens, {x}});
    }
  }

  OwningOpRef<ModuleOp> parsed() {
    std::mt19937 random(6);
    std::string text = kModel;
    text.insert(text.find("  %h ="), constant("%W", "32x32", kSize * kSize, random) +
                                         constant("%V", "32x32", kSize * kSize, random) +
                                         constant("%b", "32", kSize, random));
    OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module);
    return module;
  }

  OwningOpRef<ModuleOp> rebuilt(bool isNested, bool hasOwnBiases) {
    OwningOpRef<ModuleOp> module = parsed();
    LevelPlan plan;
    plan.minWeights = 0;
    plan.isNested = isNested;
    plan.levels = {{{.scheme = Scheme::Block}, "low", 0, 0, 0, 0.3}, {{.scheme = Scheme::Block}, "high", 0, 0, 0, 0.6}};
    EXPECT_FALSE(pruneLevels(*module, plan, {}));
    RebuildState state;
    EXPECT_FALSE(rebuildLevels(*module->getOps<func::FuncOp>().begin(), samples, hasOwnBiases, state));
    EXPECT_EQ(state.layers.size(), 4u);
    return module;
  }

  // Of the difference between a level and the dense model: the largest mean of an output over
  // all tokens, and the mean square.
  std::pair<double, double> difference(ModuleOp module, unsigned level) {
    auto function = *module.getOps<func::FuncOp>().begin();
    std::vector<double> means(kSize, 0);
    double squares = 0, count = kSamples * kTokens;
    for (const CalibrationSample &sample : samples) {
      InterpreterOptions options;
      options.length = sample.length;
      auto dense = interpret(function, sample.inputs, options);
      options.level = level;
      auto pruned = interpret(function, sample.inputs, options);
      EXPECT_TRUE(dense && pruned);
      for (size_t i = 0; i < (*dense)[0].elements.size(); ++i) {
        double own = (*pruned)[0].elements[i] - (*dense)[0].elements[i];
        means[i % kSize] += own / count;
        squares += own * own / count / kSize;
      }
    }
    double largest = 0;
    for (double mean : means)
      largest = std::max(largest, std::abs(mean));
    return {largest, squares};
  }

  MLIRContext context;
  std::vector<CalibrationSample> samples;
};

TEST_F(RebuildLevelsTest, OwnBiasesGiveTheDenseMeans) {
  for (bool isNested : {false, true}) {
    OwningOpRef<ModuleOp> with = rebuilt(isNested, true), without = rebuilt(isNested, false);
    for (unsigned level : {0, 1}) {
      auto [mean, square] = difference(*with, level);
      auto [meanWithout, squareWithout] = difference(*without, level);
      // Biases are kept as f32.
      EXPECT_LT(mean, 1e-6) << "nested " << isNested << ", level " << level;
      EXPECT_GT(meanWithout, 1e-3);
      EXPECT_LT(square, squareWithout);
    }
  }
}

TEST_F(RebuildLevelsTest, NestedLevelsShareTheirWeightsOnly) {
  OwningOpRef<ModuleOp> module = rebuilt(/*isNested=*/true, /*hasOwnBiases=*/true);
  module->walk([](graph::LinearOp op) {
    Attribute low = op.getLevelsAttr()[0], high = op.getLevelsAttr()[1];
    EXPECT_EQ(graph::floatElements(graph::encodingWeights(low)), graph::floatElements(graph::encodingWeights(high)));
    EXPECT_NE(graph::floatElements(graph::encodingBias(low)), graph::floatElements(graph::encodingBias(high)));
  });
}

// The sparsest of levels of one-column patterns keeps what it would alone; a denser one all of that, in
// all as much as it was asked for.
TEST_F(RebuildLevelsTest, NestedPatternsGrowFromTheSparsest) {
  for (bool isMeasured : {false, true}) {
    constexpr double kDensities[] = {0.3, 0.5, 0.9};
    LevelPlan plan;
    plan.minWeights = 0;
    for (auto [name, density] : llvm::zip(std::initializer_list<const char *>{"low", "mid", "high"}, kDensities))
      plan.levels.push_back({{.scheme = Scheme::Pattern}, name, 0, 0, 0, density});
    plan.isNested = true;
    // The second layer loses ten times as much, so that densities differ.
    ImportanceSource importance = [](graph::LinearOp op) {
      std::vector<float> values = graph::floatElements(graph::constantValue(op.getWeights()));
      for (float &value : values)
        value *= value;
      return Importance{{kSize, kSize, std::move(values)}, op.getLayer() == "first" ? 10.0 : 1.0};
    };
    if (!isMeasured)
      importance = nullptr;
    OwningOpRef<ModuleOp> nested = parsed(), alone = parsed();
    ASSERT_FALSE(pruneLevels(*nested, plan, {}, importance));
    plan.levels.resize(1);
    ASSERT_FALSE(pruneLevels(*alone, plan, {}, importance));
    std::vector<Mask> lowest;
    auto maskOf = [](graph::LinearOp op, size_t level) {
      return graph::byteElements(graph::encodingMask(op.getLevelsAttr()[level]));
    };
    alone->walk([&](graph::LinearOp op) { lowest.push_back(maskOf(op, 0)); });
    std::vector<std::vector<double>> shares; // [layer][level]
    nested->walk([&](graph::LinearOp op) {
      EXPECT_EQ(maskOf(op, 0), lowest[shares.size()]);
      shares.emplace_back();
      for (size_t level = 0; level < 3; ++level) {
        Mask mask = maskOf(op, level), below = maskOf(op, level ? level - 1 : 0);
        for (size_t i = 0; i < mask.size(); ++i)
          ASSERT_LE(below[i], mask[i]);
        shares.back().push_back(double(llvm::count(mask, 1)) / mask.size());
      }
    });
    // To a block of each layer and level that adds some, and one of the 24 steps of what layers are given.
    for (size_t level = 0; level < 3; ++level) {
      double step = isMeasured ? 1.6 * kDensities[level] / 24 : 0;
      EXPECT_NEAR((shares[0][level] + shares[1][level]) / 2, kDensities[level],
                  8.0 * (level + 1) / (kSize * kSize) + step)
          << level << (isMeasured ? ", measured" : "");
    }
    EXPECT_EQ(shares[1][0] > 1.2 * shares[0][0], isMeasured);
  }
}

// Where the sparsest level keeps all that is not 0, a denser one has nothing to add.
TEST_F(RebuildLevelsTest, NestedPatternsOfAModelWithZeros) {
  OwningOpRef<ModuleOp> module = parsed();
  ImportanceSource importance = [](graph::LinearOp op) {
    std::vector<float> values(kSize * kSize, 0);
    std::fill(values.begin(), values.begin() + kSize * kSize / 5, 1);
    return Importance{{kSize, kSize, std::move(values)}, 1};
  };
  LevelPlan plan;
  plan.minWeights = 0;
  plan.isNested = true;
  plan.levels = {{{.scheme = Scheme::Pattern}, "low", 0, 0, 0, 0.3},
                 {{.scheme = Scheme::Pattern}, "high", 0, 0, 0, 0.5}};
  ASSERT_FALSE(pruneLevels(*module, plan, {}, importance));
  module->walk([](graph::LinearOp op) {
    Mask low = graph::byteElements(graph::encodingMask(op.getLevelsAttr()[0]));
    EXPECT_EQ(low, graph::byteElements(graph::encodingMask(op.getLevelsAttr()[1])));
    EXPECT_EQ(llvm::count(low, 1), kSize * kSize / 5);
  });
}

TEST_F(RebuildLevelsTest, ClearedLevelsCanBeChosenAnew) {
  OwningOpRef<ModuleOp> module = rebuilt(/*isNested=*/true, /*hasOwnBiases=*/true);
  LevelPlan plan;
  plan.minWeights = 0;
  plan.levels = {{{.scheme = Scheme::Pattern}, "low", 0, 0, 0, 0.3}};
  for (int i = 0; i < 2; ++i) {
    clearLevels(*module);
    EXPECT_TRUE(module->getOps<graph::LevelOp>().empty());
    EXPECT_TRUE(module->getOps<graph::PatternSetOp>().empty());
    EXPECT_FALSE((*module)->hasAttr(graph::kNestedAttr));
    EXPECT_FALSE(pruneLevels(*module, plan, {}));
    EXPECT_TRUE(succeeded(verify(*module))); // A symbol that is there twice would be an error.
    int64_t kept = 0;
    module->walk([&](graph::LinearOp op) {
      kept += llvm::count(graph::byteElements(graph::encodingMask(op.getLevelsAttr()[0])), 1);
    });
    EXPECT_NEAR(kept, 0.3 * 2 * kSize * kSize, 8); // A block of either layer.
  }
}

// Tokens of two inputs, by hand; then one that is the same in all of them.
TEST(Moments, AreAboutTheMeans) {
  InputMoments moments{2, {1 + 9, 2 + 3 * 6, 2 + 3 * 6, 4 + 36}, {}};
  centre(moments, {2, 4}, 2);
  EXPECT_EQ(moments.sums, (std::vector<double>{2, 4, 4, 8}));
  EXPECT_EQ(moments.means, (std::vector<double>{2, 4}));
  double third = 1.0 / 3;
  InputMoments constant{2, {2 * third * third, third * 8, third * 8, 4 + 36}, {}};
  centre(constant, {third, 4}, 2);
  EXPECT_EQ(constant.sums, (std::vector<double>{0, 0, 0, 8}));
  for (float value : InverseMoments(constant).saliency({1, 1}, 1).values)
    EXPECT_TRUE(std::isfinite(value) && value >= 0);
}

// What calibrate() gives, against sums over the samples.
TEST_F(RebuildLevelsTest, CalibrationIsAboutTheMeans) {
  OwningOpRef<ModuleOp> module = rebuilt(/*isNested=*/false, /*hasOwnBiases=*/false);
  auto calibration = calibrate(*module->getOps<func::FuncOp>().begin(), samples, /*isCentred=*/true);
  ASSERT_TRUE(bool(calibration));
  std::vector<double> means(kSize, 0);
  for (const CalibrationSample &sample : samples)
    for (int64_t i = 0; i < kTokens * kSize; ++i)
      means[i % kSize] += sample.inputs[0].elements[i] / (kSamples * kTokens);
  double moment = 0;
  for (const CalibrationSample &sample : samples)
    for (int64_t t = 0; t < kTokens; ++t)
      moment +=
          (sample.inputs[0].elements[t * kSize + 3] - means[3]) * (sample.inputs[0].elements[t * kSize + 5] - means[5]);
  module->walk([&](graph::LinearOp op) {
    if (op.getLayer() != "first")
      return;
    EXPECT_NEAR((*calibration)[op]->means[3], means[3], 1e-12);
    EXPECT_NEAR((*calibration)[op]->sums[3 * kSize + 5], moment, 1e-9);
  });
}

} // namespace
