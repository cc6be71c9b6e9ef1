// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/Calibrate.h"
#include "compiler/prune/Densities.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

using namespace mlir::rt3;

namespace {

// The squared output error, summed over tokens: trace of (A - B)ᵀ H (A - B).
double outputError(const InputMoments &moments, const std::vector<float> &a, const std::vector<float> &b,
                   int64_t outputs) {
  double sum = 0;
  for (int64_t n = 0; n < outputs; ++n)
    for (int64_t i = 0; i < moments.inputs; ++i)
      for (int64_t j = 0; j < moments.inputs; ++j)
        sum += (a[i * outputs + n] - b[i * outputs + n]) * moments.sums[i * moments.inputs + j] *
               (a[j * outputs + n] - b[j * outputs + n]);
  return sum;
}

// Tokens whose inputs depend on each other, as activations do.
InputMoments makeMoments(int64_t inputs, int64_t tokens, std::mt19937 &random) {
  std::normal_distribution<double> normal;
  InputMoments moments{inputs, std::vector<double>(inputs * inputs, 0), {}};
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<double> x(inputs);
    double common = normal(random);
    for (int64_t k = 0; k < inputs; ++k)
      x[k] = common * (k % 3) + normal(random);
    for (int64_t i = 0; i < inputs; ++i)
      for (int64_t j = 0; j < inputs; ++j)
        moments.sums[i * inputs + j] += x[i] * x[j];
  }
  return moments;
}

struct Layer {
  std::vector<float> weights, masked;
  Mask mask;
};

Layer makeLayer(int64_t inputs, int64_t outputs, double density, std::mt19937 &random) {
  std::normal_distribution<float> normal;
  Layer layer;
  for (int64_t i = 0; i < inputs * outputs; ++i) {
    layer.weights.push_back(normal(random));
    layer.mask.push_back(random() / 4294967296.0 < density);
    layer.masked.push_back(layer.mask.back() ? layer.weights.back() : 0);
  }
  return layer;
}

TEST(Rebuild, NeverRaisesTheOutputError) {
  std::mt19937 random(7);
  for (int64_t inputs : {1, 2, 3, 16, 61})
    for (int64_t outputs : {1, 5, 24})
      for (double density : {0.1, 0.5, 0.9}) {
        InputMoments moments = makeMoments(inputs, 4 * inputs + 3, random);
        Layer layer = makeLayer(inputs, outputs, density, random);
        std::vector<float> rebuilt = InverseMoments(moments).rebuild(layer.weights, outputs, layer.mask);
        // What falls is the dampened error: a tenth more of each input's moment, and 3 % of their mean.
        InputMoments dampened = moments;
        double mean = 0;
        for (int64_t k = 0; k < inputs; ++k)
          mean += moments.sums[k * inputs + k] / inputs;
        for (int64_t k = 0; k < inputs; ++k)
          dampened.sums[k * inputs + k] += 0.1 * moments.sums[k * inputs + k] + 0.03 * mean;
        double before = outputError(dampened, layer.weights, layer.masked, outputs);
        double after = outputError(dampened, layer.weights, rebuilt, outputs);
        EXPECT_LE(after, before * (1 + 1e-5) + 1e-9) << inputs << " x " << outputs << " at " << density;
        // Weights are kept as f32. The plain error could rise by no more than what dampening adds, and does not here.
        EXPECT_LE(outputError(moments, layer.weights, rebuilt, outputs),
                  1.02 * outputError(moments, layer.weights, layer.masked, outputs) + 1e-9);
        for (size_t i = 0; i < rebuilt.size(); ++i)
          if (!layer.mask[i])
            ASSERT_EQ(rebuilt[i], 0);
      }
}

TEST(Rebuild, GainsMuchWhereInputsDependOnEachOther) {
  std::mt19937 random(8);
  InputMoments moments = makeMoments(48, 400, random);
  Layer layer = makeLayer(48, 32, 0.5, random);
  std::vector<float> rebuilt = InverseMoments(moments).rebuild(layer.weights, 32, layer.mask);
  EXPECT_LT(outputError(moments, layer.weights, rebuilt, 32),
            0.7 * outputError(moments, layer.weights, layer.masked, 32));
}

TEST(Rebuild, LeavesAFullLayerAsItIs) {
  std::mt19937 random(9);
  InputMoments moments = makeMoments(13, 60, random);
  Layer layer = makeLayer(13, 8, 2, random);
  EXPECT_EQ(InverseMoments(moments).rebuild(layer.weights, 8, layer.mask), layer.weights);
}

// A number that is always 0, a copy of another, and all zeros: no NaN comes out.
TEST(Rebuild, StandsInputsThatSayNothing) {
  std::mt19937 random(10);
  for (bool isAllZero : {false, true}) {
    InputMoments moments = makeMoments(8, 3, random); // Fewer tokens than inputs, too.
    for (int64_t i = 0; i < 8; ++i) {
      moments.sums[i * 8] = moments.sums[i] = 0;
      for (int64_t j = 0; j < 8 && isAllZero; ++j)
        moments.sums[i * 8 + j] = 0;
    }
    Layer layer = makeLayer(8, 4, 0.5, random);
    InverseMoments inverse(moments);
    for (float value : inverse.rebuild(layer.weights, 4, layer.mask))
      EXPECT_TRUE(std::isfinite(value));
    for (float value : inverse.saliency(layer.weights, 4).values)
      EXPECT_TRUE(std::isfinite(value) && value >= 0);
  }
}

// Against the least squares solution: the weight that goes is made up for exactly.
TEST(Rebuild, OfTwoInputsIsLeastSquares) {
  InputMoments moments{2, {4, 2, 2, 3}, {}};
  std::vector<float> rebuilt = InverseMoments(moments).rebuild({1, 1}, 1, {0, 1});
  // min over w of H11 + 2 H12 (1 - w) + H22 (1 - w)^2: w = 1 + H12 / H22, H22 dampened
  // by a tenth of itself and 3 % of the mean diagonal.
  EXPECT_EQ(rebuilt[0], 0);
  EXPECT_NEAR(rebuilt[1], 1 + 2 / (3 + 0.3 + 0.105), 1e-5);
}

// Fixed weights stay, and free ones make up for them.
TEST(Rebuild, WorksAroundFixedWeights) {
  InputMoments moments{2, {4, 2, 2, 3}, {}};
  std::vector<float> rebuilt = InverseMoments(moments).rebuild({1, 1}, 1, {0, 1}, {0.5f, 0});
  EXPECT_EQ(rebuilt[0], 0.5f);
  EXPECT_NEAR(rebuilt[1], 1 + 0.5 * 2 / (3 + 0.3 + 0.105), 1e-5);
}

// Inputs that the pruned network has only half of are made up for by doubled weights.
TEST(Retarget, GivesTheDenseOutputs) {
  InputMoments moments{2, {4, 0, 0, 4}, {}};
  InverseMoments inverse(moments);
  // x = x' leaves the weights as they are.
  EXPECT_EQ(inverse.retarget({3, -2}, 1, {0, 0, 0, 0}), (std::vector<float>{3, -2}));
  // x = 2 x': the sum of x'ᵀ (x - x') is H.
  std::vector<float> doubled = inverse.retarget({3, -2}, 1, {4, 0, 0, 4});
  EXPECT_NEAR(doubled[0], 3 + 3 * 4 / 4.52, 1e-5);
  EXPECT_NEAR(doubled[1], -2 - 2 * 4 / 4.52, 1e-5);
}

TEST(Densities, GiveMoreWhereMoreIsLost) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  // The same layer three times: once with outputs that depend on few weights.
  Saliency even{16, 64, {}}, few{16, 64, {}};
  for (int i = 0; i < 16 * 64; ++i) {
    even.values.push_back(1 + 0.1f * normal(random));
    few.values.push_back(i % 4 == 0 ? 4 : 0.01f);
  }
  double energy = 2000;
  for (double density : {0.1, 0.3, 0.5, 0.9})
    for (int64_t rows : {1, 8}) {
      std::vector<double> found = allocateDensities(
          {{&even, energy, 1024, rows}, {&few, energy, 1024, rows}, {&even, 10 * energy, 1024, rows}}, density);
      double sum = 0;
      for (double own : found) {
        EXPECT_GE(own, 0.4 * density - 1e-9);
        EXPECT_LE(own, std::min(1.0, 2 * density) + 1e-9);
        sum += own;
      }
      // Of equal sizes; a step of one layer may be left over.
      EXPECT_LE(sum / 3, density + 1e-9);
      EXPECT_GE(sum / 3, density - 1.6 * density / 24);
      EXPECT_GE(found[0], found[2]);
      if (rows == 1 && density == 0.5) // A quarter of its weights is all that counts.
        EXPECT_GT(found[0], found[1]);
    }
  EXPECT_LE(allocateDensities({{&even, energy, 1024, 1, 0.2}, {&even, energy, 1024, 1}}, 0.4)[0], 0.2 + 1e-9);
}

// A layer whose weights cost more time gets fewer of them, and all of the time is spent.
TEST(Densities, SpendTime) {
  std::mt19937 random(12);
  std::normal_distribution<float> normal;
  Saliency saliency{16, 64, {}};
  for (int i = 0; i < 16 * 64; ++i)
    saliency.values.push_back(std::abs(normal(random)));
  LayerTimes cheap{{{0.1, 10}, {1, 100}}}, dear{{{0.1, 40}, {1, 400}}};
  std::vector<LayerCost> layers{{&saliency, 1000, 1024, 1, 1, &cheap}, {&saliency, 1000, 1024, 1, 1, &dear}};
  for (double share : {0.2, 0.4, 0.7}) {
    std::vector<double> found = allocateDensities(layers, share);
    EXPECT_GT(found[0], found[1]) << share;
    double taken = cheap.at(found[0]) + dear.at(found[1]);
    EXPECT_LE(taken, share * 500 + 1e-9);
    EXPECT_GE(taken, share * 500 - 400 * 1.6 * share / 24);
  }
  // As fast as dense from 60 % on.
  LayerTimes bent{{{0.1, 20}, {0.6, 100}, {1, 100}}};
  EXPECT_NEAR(bent.at(0.05), 10, 1e-9);
  EXPECT_NEAR(bent.at(0.35), 60, 1e-9);
  EXPECT_NEAR(bent.at(0.8), 100, 1e-9);
  EXPECT_NEAR(uniformDensity({{&saliency, 1000, 1024, 1, 1, &bent}}, 0.6), 0.35, 1e-6);
  // What a sparser level keeps already stays, and the other layer has the less.
  layers[1].least = 0.6;
  std::vector<double> given = allocateDensities(layers, 0.5);
  EXPECT_GE(given[1], 0.6);
  EXPECT_LT(given[0], given[1]);
  EXPECT_NEAR(uniformDensity({{&saliency, 1000, 1024, 1}}, 0.6), 0.6, 1e-6);
  // What a sparser level keeps already is spent: the other layer has the rest.
  EXPECT_NEAR(uniformDensity({{&saliency, 1000, 1024, 1, 1, nullptr, 0.8}, {&saliency, 1000, 1024, 1}}, 0.6), 0.4,
              1e-6);
}

} // namespace
