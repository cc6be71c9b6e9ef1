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

std::vector<double> mlir::rt3::allocateDensities(const std::vector<LayerCost> &layers, double density) {
  struct State {
    std::vector<double> losses; // By step, over the energy.
    double size, lowest, width; // Weights; densities of step 0 and between steps.
    int step = 0;
  };
  std::vector<State> states;
  double budget = 0;
  for (const LayerCost &layer : layers) {
    State state;
    state.size = layer.weights;
    double highest = std::min({1.0, layer.limit, kHighest * density});
    state.lowest = std::min(highest, kLowest * density);
    state.width = (highest - state.lowest) / kSteps;
    std::vector<double> curve = lossCurve(layer);
    for (int step = 0; step <= kSteps; ++step) {
      double share = state.lowest + step * state.width;
      size_t kept = std::min<size_t>(curve.size() - 1, std::llround(share * (curve.size() - 1)));
      state.losses.push_back(layer.energy > 0 ? curve[kept] / layer.energy : 0);
    }
    budget += state.size * (density - state.lowest);
    states.push_back(std::move(state));
  }
  while (true) {
    State *best = nullptr;
    double bestGain = -1;
    for (State &state : states) {
      double cost = state.size * state.width;
      if (state.step == kSteps || cost <= 0 || cost > budget)
        continue;
      double gain = (state.losses[state.step] - state.losses[state.step + 1]) / cost;
      if (gain > bestGain) {
        bestGain = gain;
        best = &state;
      }
    }
    if (!best)
      break;
    budget -= best->size * best->width;
    ++best->step;
  }
  std::vector<double> result;
  for (const State &state : states)
    result.push_back(state.lowest + state.step * state.width);
  return result;
}
