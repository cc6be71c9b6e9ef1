// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/Sensitivity.h"

#include "compiler/Progress.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::rt3;

static constexpr size_t kMaxSamples = 8;
static constexpr double kHarmless = 1e30; // The energy of a layer whose least weights lose nothing.

// Sums over all results of a run, by their last axis.
namespace {
struct Spread {
  std::vector<double> sums;
  double squares = 0, count = 0;

  void add(const HostTensor &result) {
    size_t features = std::max<int64_t>(1, result.shape.empty() ? 1 : result.shape.back());
    sums.resize(features, 0);
    for (size_t i = 0; i < result.elements.size(); ++i) {
      sums[i % features] += result.elements[i];
      squares += result.elements[i] * result.elements[i];
    }
    count += double(result.elements.size()) / features;
  }
  // The squared distance from the mean.
  double energy() const {
    double means = 0;
    for (double sum : sums)
      means += sum * sum / std::max(1.0, count);
    return squares - means;
  }
};
} // namespace

// The weights without those of the least saliency, and the bias that makes up for what they give on
// average, if means are known; `lost` is the sum of the saliency.
static LayerValues withoutLeast(graph::LinearOp op, const Importance &importance, double density, double &lost) {
  const Saliency &saliency = importance.saliency;
  std::vector<float> weights = graph::floatElements(graph::constantValue(op.getWeights())), sorted = saliency.values;
  std::vector<float> bias;
  if (!importance.means.empty()) {
    ElementsAttr own = graph::constantValue(op.getBias());
    bias = own ? graph::floatElements(own) : std::vector<float>(saliency.outputs, 0);
  }
  auto place = sorted.begin() + std::min<int64_t>(sorted.size() - 1, (1 - density) * sorted.size());
  std::nth_element(sorted.begin(), place, sorted.end());
  float threshold = *place;
  lost = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    if (saliency.values[i] < threshold) {
      lost += saliency.values[i];
      if (!bias.empty())
        bias[i % saliency.outputs] += importance.means[i / saliency.outputs] * weights[i];
      weights[i] = 0;
    }
  return {std::move(weights), std::move(bias)};
}

llvm::Expected<ImportanceSource> mlir::rt3::measureSensitivity(func::FuncOp function,
                                                               const std::vector<CalibrationSample> &samples,
                                                               const ImportanceSource &importance,
                                                               const LevelPlan &plan) {
  std::vector<const CalibrationSample *> some;
  size_t count = std::min(samples.size(), kMaxSamples);
  for (size_t i = 0; i < count; ++i)
    some.push_back(&samples[i * samples.size() / count]);
  std::vector<graph::LinearOp> layers;
  function.walk([&](graph::LinearOp op) {
    if (graph::constantValue(op.getWeights()) && isPruned(op, plan))
      layers.push_back(op);
  });
  Execution constants{InterpreterOptions()};
  auto run = [&](const CalibrationSample &sample, graph::LinearOp changed, const LayerValues &values) {
    InterpreterOptions options;
    options.length = sample.length;
    options.values = [&](graph::LinearOp op) { return op == changed ? &values : nullptr; };
    return interpret(function, sample.inputs, options, &constants);
  };
  Progress progress("measuring sensitivity", layers.size() + 1);
  std::vector<std::vector<HostTensor>> dense;
  std::vector<Spread> spreads;
  for (const CalibrationSample *sample : some) {
    auto results = run(*sample, {}, {});
    if (!results)
      return results.takeError();
    spreads.resize(results->size());
    for (auto [spread, result] : llvm::zip_equal(spreads, *results))
      spread.add(result);
    dense.push_back(std::move(*results));
  }
  std::vector<double> distances; // Of the results from their means.
  for (const Spread &spread : spreads)
    distances.push_back(spread.energy());
  llvm::DenseMap<Operation *, double> energies;
  for (auto [i, op] : llvm::enumerate(layers)) {
    progress.show(i + 1);
    auto known = importance(op);
    if (!known)
      continue;
    double lost = 0, error = 0;
    LayerValues values = withoutLeast(op, *known, sparsestDensity(plan), lost);
    for (auto [sample, wanted] : llvm::zip_equal(some, dense)) {
      auto results = run(*sample, op, values);
      if (!results)
        return results.takeError();
      for (auto [distance, a, b] : llvm::zip_equal(distances, *results, wanted))
        for (size_t e = 0; distance > 0 && e < a.elements.size(); ++e)
          error += (a.elements[e] - b.elements[e]) * (a.elements[e] - b.elements[e]) / distance;
    }
    // A layer whose loss nothing shows can lose all; one that makes results NaN nothing.
    energies[op] = lost > 0 ? lost / (std::isfinite(error) ? std::max(error, 1e-12) : 1e12) : kHarmless;
  }
  return [importance, energies](graph::LinearOp op) -> std::optional<Importance> {
    auto known = importance(op);
    auto measured = energies.find(op);
    if (known && measured != energies.end())
      known->energy = measured->second;
    return known;
  };
}
