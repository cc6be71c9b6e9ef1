// SPDX-License-Identifier: Apache-2.0
//
// A graph of rt3_graph executed on libtorch's operators, so that gradients come with it.

#ifndef RT3_COMPILER_TRAIN_TORCHGRAPH_H
#define RT3_COMPILER_TRAIN_TORCHGRAPH_H

#include "compiler/train/Torch.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/Error.h"

#include <map>

namespace mlir::rt3 {

// Tensors that are trained, by the name of their initializer, as the ONNX file has them.
using Parameters = std::map<std::string, torch::Tensor>;

// One product by a trained matrix.
struct TorchLayer {
  std::string name; // Of its ONNX node; with #2 for the second of that name.
  Operation *op;
  mlir::Value weights; // K x N, a parameter or its transposition.
};

// What a level has of its own of a layer; what is not defined is the model's.
struct LayerOverride {
  torch::Tensor mask;    // K x N, what weights are multiplied by.
  torch::Tensor weights; // K x N, instead of the model's.
  torch::Tensor bias;    // N, added to the product, before what the model adds.
};

class TorchGraph {
public:
  // Takes from `function` what the importer made of a model, before fusing, which need not
  // live longer than `function`. Initializers that are matrices of products, tables that
  // are looked up, and vectors that are added or multiplied become parameters; all others
  // stay as they are. Errors: an op that cannot be trained, no parameter.
  static llvm::Expected<std::unique_ptr<TorchGraph>> make(func::FuncOp function);

  Parameters &parameters() { return trained; }
  llvm::ArrayRef<TorchLayer> layers() const { return products; }

  // The results for `inputs`, of which the free axis has `length`. `level` has what is its own of each
  // layer; empty: nothing. `parameters` must have the names and shapes of those of this graph. `hidden`, if
  // not null, gets what the normalisations of layers give, in their order.
  std::vector<torch::Tensor> run(const std::vector<torch::Tensor> &inputs, int64_t length,
                                 const std::vector<LayerOverride> &level, const Parameters &parameters,
                                 std::vector<torch::Tensor> *hidden = nullptr) const;

  // The weights of a layer, K x N.
  torch::Tensor weightsOf(const TorchLayer &layer, const Parameters &parameters) const;

private:
  explicit TorchGraph(func::FuncOp function) : function(function) {}

  func::FuncOp function;
  Parameters trained;
  std::vector<TorchLayer> products;
  llvm::DenseMap<mlir::Value, std::string> parameterNames;
  // What depends on neither inputs nor parameters nor the length.
  llvm::DenseMap<mlir::Value, torch::Tensor> known;
  friend class TorchExecution;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_TRAIN_TORCHGRAPH_H
