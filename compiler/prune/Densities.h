// SPDX-License-Identifier: Apache-2.0
//
// How many weights each layer keeps, when all layers together keep a given share.

#ifndef RT3_COMPILER_PRUNE_DENSITIES_H
#define RT3_COMPILER_PRUNE_DENSITIES_H

#include "compiler/prune/Masks.h"

namespace mlir::rt3 {

struct LayerCost {
  const Saliency *saliency; // Squared output error of each weight that goes.
  double energy;            // Squared outputs of the dense layer.
  double weights;           // How many the layer has; saliency may be of units of them.
  int64_t rows;             // Outputs whose weights of an input stay or go together; 1 for patterns.
  double limit = 1;         // The density may not be over this.
};

// Densities that keep `density` of all weights, over 0 to 1, and make the sum over layers
// of error / energy small: step by step, more is given to the layer whose error falls
// most per weight. The error at a density is that of the weights with the least saliency
// gone, were each alone. A layer gets from 0.4 times to twice `density`.
std::vector<double> allocateDensities(const std::vector<LayerCost> &layers, double density);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_DENSITIES_H
