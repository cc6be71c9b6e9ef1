// SPDX-License-Identifier: Apache-2.0
//
// Hidden units whose order is free, and an order in which structured masks fit them.

#ifndef RT3_COMPILER_PRUNE_HIDDENUNITS_H
#define RT3_COMPILER_PRUNE_HIDDENUNITS_H

#include "compiler/prune/PruneLevels.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::rt3 {

// Units between linear layers: outputs of all `producers`, inputs of all `consumers`. Put in
// another order everywhere, but within blocks of `block` units only, they leave what the model
// computes as it was.
struct HiddenUnits {
  std::vector<graph::LinearOp> producers, consumers;
  int64_t count, block;
};

// The units inside feed-forward layers (also gated ones), those of queries and keys within
// each head, and those of values within each head. Layers' weights must be constants.
std::vector<HiddenUnits> findHiddenUnits(func::FuncOp function);

// Puts unit `order[i]` in place i, in weights and biases. `order` holds each unit of a block
// within that block once.
void permute(const HiddenUnits &units, llvm::ArrayRef<int32_t> order);

// The order that `permute` has put units in, if it has; empty otherwise.
llvm::ArrayRef<int32_t> orderOf(const HiddenUnits &units);

// Whether numbers are such an order.
bool isOrder(const HiddenUnits &units, llvm::ArrayRef<int32_t> order);

// An order in which groups of 8 neighbours have need of the same inputs: from the unit with
// the most saliency on, each group takes those whose saliency is most like what it has.
// `saliencies` are of the producers; what is over the threshold above which the share
// `density` lies counts no more than that.
std::vector<int32_t> chooseOrder(const HiddenUnits &units, llvm::ArrayRef<Saliency> saliencies, double density);

// Puts all hidden units of a function into such orders, by the importance of the layers that
// give them and the least density of `plan`, and so the moments of layers that read them.
void reorderHiddenUnits(func::FuncOp function, const LevelPlan &plan, const ImportanceSource &importance,
                        Calibration &calibration);

// The orders that a layer's inputs and outputs have been put in; empty: none.
struct LayerOrders {
  std::vector<int32_t> inputs, outputs;
};
llvm::DenseMap<Operation *, LayerOrders> layerOrders(func::FuncOp function);

// Elements of a K x N matrix in the order that the model's file has.
template <typename T>
std::vector<T> inOriginalOrder(llvm::ArrayRef<T> values, int64_t columns, const LayerOrders &orders) {
  std::vector<T> result(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    int64_t row = i / columns, column = i % columns;
    result[(orders.inputs.empty() ? row : orders.inputs[row]) * columns +
           (orders.outputs.empty() ? column : orders.outputs[column])] = values[i];
  }
  return result;
}

// The other way.
template <typename T> std::vector<T> inOwnOrder(llvm::ArrayRef<T> values, int64_t columns, const LayerOrders &orders) {
  std::vector<T> result(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    int64_t row = i / columns, column = i % columns;
    result[i] = values[(orders.inputs.empty() ? row : orders.inputs[row]) * columns +
                       (orders.outputs.empty() ? column : orders.outputs[column])];
  }
  return result;
}

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_HIDDENUNITS_H
