// SPDX-License-Identifier: Apache-2.0
//
// The packed streams of one linear layer of rt3_graph at one level.

#ifndef RT3_CODEGEN_PACKING_LAYERSTREAMS_H
#define RT3_CODEGEN_PACKING_LAYERSTREAMS_H

#include "codegen/devices/Device.h"
#include "codegen/packing/PackWeights.h"
#include "dialects/graph/Graph.h"

namespace mlir::rt3 {

// The streams whose sum is the layer's weights: one, or for nested levels one
// per level. `encodings` is as in rt3_graph.linear; empty means dense.
std::vector<PackedStream> packLayer(graph::LinearOp op, ArrayAttr encodings, const Device &device);

// Tokens of the layer at the largest length, batch included.
int64_t tokenCount(graph::LinearOp op);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PACKING_LAYERSTREAMS_H
