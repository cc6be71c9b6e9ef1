// SPDX-License-Identifier: Apache-2.0
//
// How many weights each layer keeps, when all layers together keep a given share.

#ifndef RT3_COMPILER_PRUNE_DENSITIES_H
#define RT3_COMPILER_PRUNE_DENSITIES_H

#include "compiler/prune/Masks.h"

namespace mlir::rt3 {

// Predicted times of a layer by the share of its weights that stay, rising, the last 1;
// between them, and below the first, as far along a line.
struct LayerTimes {
  std::vector<std::pair<double, double>> points; // Density, time in any unit.

  double at(double density) const;
};

struct LayerCost {
  const Saliency *saliency; // Squared output error of each weight that goes.
  double energy;            // Squared outputs of the dense layer.
  double weights;           // How many the layer has; saliency may be of units of them.
  int64_t rows;             // Outputs whose weights of an input stay or go together; 1 for patterns.
  double limit = 1;         // The density may not be over this.
  // What is spent; null, for all layers: weights.
  const LayerTimes *times = nullptr;
  double least = 0; // The density may not be under this.

  // Weights, or time, at a density.
  double at(double density) const { return times ? times->at(density) : weights * density; }
};

// Densities that spend `share`, over 0 to 1, of what all layers take dense, weights or time, and
// make the sum over layers of error / energy small: step by step, more is given to the layer
// whose error falls most per weight, or per time. The error at a density is that of the weights with
// the least saliency gone, were each alone. A layer gets from 0.4 times to twice the density
// that would spend as much in all of them, but never less than its `least`.
std::vector<double> allocateDensities(const std::vector<LayerCost> &layers, double share);

// The one density at which all layers, within their limits, spend `share` of what they take dense; the
// least that is tried, 0.01, where even that spends more.
double uniformDensity(const std::vector<LayerCost> &layers, double share);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_DENSITIES_H
