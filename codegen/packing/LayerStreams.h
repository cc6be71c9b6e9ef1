// SPDX-License-Identifier: Apache-2.0
//
// The packed streams of one linear layer of rt3_graph at one level.

#ifndef RT3_CODEGEN_PACKING_LAYERSTREAMS_H
#define RT3_CODEGEN_PACKING_LAYERSTREAMS_H

#include "codegen/cost/CostModel.h"
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

// What is asked for of a layer's kernel instead of what the cost model would choose; nothing: free. Dense layers
// have rows alone, loops of a single pattern no unroll nor filled: there these ask for nothing.
struct KernelChoice {
  std::optional<int64_t> rows;   // Outputs of the tile.
  std::optional<int64_t> unroll; // Blocks of a pattern per trip.
  std::optional<int64_t> filled; // 1: streams are filled up to whole trips; 0: they are not.
  std::optional<int64_t> range;  // Inputs of a segment; words of them, where words are multiplied.
};

// Reads "rows:4,unroll:2,filled:1,range:384" or some of these. Errors say what is wrong.
llvm::Expected<KernelChoice> parseKernelChoice(llvm::StringRef text);

// `encodings` is as in rt3_graph.linear; empty means dense. Of all shapes that can store a level the fastest by
// `cost`, which is that of the layer's products; loops that use the stack only where all do. Fails, and says so at
// the layer, where no shape is what its rt3_graph.kernel asks for.
FailureOr<PackedLayer> packLayer(graph::LinearOp op, ArrayAttr encodings, const Device &device, CostModel &cost);

// Outputs that a dense layer's tile holds. Fails as packLayer does.
FailureOr<int64_t> denseRows(graph::LinearOp op, const Device &device, CostModel &cost, int64_t valueSize);

// Tokens of the layer at the largest length, batch included; with a cache, one.
int64_t tokenCount(graph::LinearOp op);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PACKING_LAYERSTREAMS_H
