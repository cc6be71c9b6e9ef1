// SPDX-License-Identifier: Apache-2.0
//
// Which weights each level keeps while they are trained.

#ifndef RT3_COMPILER_TRAIN_LEVELMASKS_H
#define RT3_COMPILER_TRAIN_LEVELMASKS_H

#include "compiler/plan/Plan.h"
#include "compiler/train/TorchGraph.h"

namespace mlir::rt3 {

class LevelMasks {
public:
  // `fused` is the model behind fusing, whose linear layers are pruned; `graph` the same
  // model as it is trained, of which each pruned layer is a product. Errors name those
  // that are not.
  static llvm::Expected<LevelMasks> make(OwningOpRef<ModuleOp> fused, const LevelPlan &plan, const TorchGraph &graph);

  size_t levelCount() const { return plan.levels.size(); }
  const LevelPlan &levels() const { return plan; }
  // By layer of the graph; not defined where the level is dense. Empty before a choice.
  const std::vector<torch::Tensor> &of(size_t level) const { return masks[level]; }

  // Chooses masks anew. A weight w counts w^2 g, where g is the mean square of its gradient
  // (Fisher information for the Hessian's diagonal in LeCun's Optimal Brain Damage, 1990).
  // Of what a level is to drop, `share` (0 to 1) is dropped.
  //
  // `weights` and `squares` are K x N, by layer of the graph.
  llvm::Error choose(const std::vector<torch::Tensor> &weights, const std::vector<torch::Tensor> &squares,
                     double share);

  // Takes the masks of a plan; the levels are the plan's.
  llvm::Error take(const Plan &given);

  // The masks as they are, for a model with the weights of `fused`, that of `make` with its
  // trained values.
  llvm::Expected<Plan> planFor(ModuleOp fused) const;

  // The masks with the weights of `make`, to be taken again; nothing before a choice.
  std::optional<Plan> current() const;

private:
  // Where a linear layer of the fused model is in the graph: outputs `begin` to `end` of
  // product `layer`.
  struct Place {
    size_t layer;
    int64_t begin, end;
  };

  void readMasks();

  OwningOpRef<ModuleOp> fused;  // Without levels.
  OwningOpRef<ModuleOp> pruned; // With them.
  LevelPlan plan;
  size_t layerCount = 0;
  std::vector<std::pair<int64_t, int64_t>> shapes; // K, N by layer.
  std::vector<Place> places;                       // By linear layer of the fused model.
  std::vector<std::vector<torch::Tensor>> masks;   // By level and layer.
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_TRAIN_LEVELMASKS_H
