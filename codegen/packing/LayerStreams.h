// SPDX-License-Identifier: Apache-2.0
//
// The packed streams of one linear layer of rt3_graph at one level.

#ifndef RT3_CODEGEN_PACKING_LAYERSTREAMS_H
#define RT3_CODEGEN_PACKING_LAYERSTREAMS_H

#include "codegen/devices/Device.h"
#include "codegen/packing/PackWeights.h"
#include "dialects/graph/Graph.h"
#include "dialects/kernel/Kernel.h"

namespace mlir::rt3 {

struct PackedLayer {
  // Their sum is the layer's weights: one, or for nested levels one per level.
  std::vector<PackedStream> streams;
  int64_t inputs;    // Words of an output: K, or with int8 fewer.
  int64_t keptCount; // Weights that the mask keeps.
  // Of int8 layers, per output: see rt3_graph.linear; offsets are what sums start
  // from, -128 x sum of the kept weights where activations are unsigned, else 0.
  std::vector<float> scales;
  std::vector<int32_t> offsets;
};

// `encodings` is as in rt3_graph.linear; empty means dense.
PackedLayer packLayer(graph::LinearOp op, ArrayAttr encodings, const Device &device);

// Tokens of the layer at the largest length, batch included; with a cache, one.
int64_t tokenCount(graph::LinearOp op);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PACKING_LAYERSTREAMS_H
