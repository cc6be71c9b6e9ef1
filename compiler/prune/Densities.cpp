// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/Densities.h"

#include <algorithm>
#include <cmath>

using namespace mlir::rt3;

static constexpr double kLowest = 0.4, kHighest = 2.0; // Times the density of all.
static constexpr int kSteps = 24;                      // From the lowest density to the highest.

// The saliency of what stays or goes together, largest first, added up from the end:
// [i] is what is lost when the first i stay.
static std::vector<double> lossCurve(const LayerCost &layer) {
  const Saliency &saliency = *layer.saliency;
  std::vector<float> parts;
  for (int64_t k = 0; k < saliency.inputs; ++k)
    for (int64_t n = 0; n < saliency.outputs; n += layer.rows) {
      float sum = 0;
      for (int64_t row = n; row < n + layer.rows; ++row)
        sum += saliency.at(k, row);
      parts.push_back(sum);
    }
  std::sort(parts.begin(), parts.end(), std::greater<float>());
  std::vector<double> losses(parts.size() + 1, 0);
  for (size_t i = parts.size(); i-- > 0;)
    losses[i] = losses[i + 1] + parts[i];
  return losses;
}

double LayerTimes::at(double density) const {
  auto above = llvm::find_if(points, [&](const std::pair<double, double> &point) { return density <= point.first; });
  if (above == points.end())
    return points.back().second;
  auto [x, y] = *above;
  auto [left, low] = above == points.begin() ? std::pair(0.0, 0.0) : above[-1];
  return low + (y - low) * (density - left) / (x - left);
}

double mlir::rt3::uniformDensity(const std::vector<LayerCost> &layers, double share) {
  auto spent = [&](double density) {
    double sum = 0;
    for (const LayerCost &layer : layers)
      sum += layer.at(std::max(layer.least, std::min(density, layer.limit)));
    return sum;
  };
  double whole = 0;
  for (const LayerCost &layer : layers)
    whole += layer.at(1);
  double low = 0.01, high = 1;
  for (int i = 0; i < 40; ++i) {
    double middle = (low + high) / 2;
    (spent(middle) > share * whole ? high : low) = middle;
  }
  return low;
}

std::vector<double> mlir::rt3::allocateDensities(const std::vector<LayerCost> &layers, double share) {
  struct State {
    std::vector<double> losses, costs; // By step, over the energy.
    double lowest, width;              // Densities of step 0 and between steps.
    int step = 0;
  };
  std::vector<State> states;
  bool isTime = !layers.empty() && layers.front().times;
  double budget = 0, density = isTime ? uniformDensity(layers, share) : share;
  for (const LayerCost &layer : layers) {
    State state;
    double highest = std::max(layer.least, std::min({1.0, layer.limit, kHighest * density}));
    state.lowest = std::max(layer.least, std::min(highest, kLowest * density));
    state.width = (highest - state.lowest) / kSteps;
    std::vector<double> curve = lossCurve(layer);
    for (int step = 0; step <= kSteps; ++step) {
      double kept = state.lowest + step * state.width;
      size_t parts = std::min<size_t>(curve.size() - 1, std::llround(kept * (curve.size() - 1)));
      state.losses.push_back(layer.energy > 0 ? curve[parts] / layer.energy : 0);
      state.costs.push_back(layer.at(kept));
    }
    budget += share * layer.at(1) - state.costs.front();
    states.push_back(std::move(state));
  }
  while (true) {
    State *best = nullptr;
    double bestGain = -1;
    for (State &state : states) {
      if (state.step == kSteps || state.width <= 0)
        continue;
      // Time may stand still, or fall, where a layer is dense from some density on.
      double cost = std::max(state.costs[state.step + 1] - state.costs[state.step], 1e-9 * state.costs.back());
      if (cost > budget)
        continue;
      double gain = (state.losses[state.step] - state.losses[state.step + 1]) / cost;
      if (gain > bestGain) {
        bestGain = gain;
        best = &state;
      }
    }
    if (!best)
      break;
    budget -= best->costs[best->step + 1] - best->costs[best->step];
    ++best->step;
  }
  std::vector<double> result;
  for (const State &state : states)
    result.push_back(state.lowest + state.step * state.width);
  return result;
}
