// SPDX-License-Identifier: Apache-2.0
//
// Which weights each level keeps while they are trained, and which values levels have of their own.

#ifndef RT3_COMPILER_TRAIN_TRAINEDLEVELS_H
#define RT3_COMPILER_TRAIN_TRAINEDLEVELS_H

#include "compiler/plan/Plan.h"
#include "compiler/prune/HiddenUnits.h"
#include "compiler/train/TorchGraph.h"

namespace mlir::rt3 {

class TrainedLevels {
public:
  // `fused` is the model behind fusing, whose linear layers are pruned; `graph` the same
  // model as it is trained, of which each pruned layer is a product. Errors name those
  // that are not.
  static llvm::Expected<TrainedLevels> make(OwningOpRef<ModuleOp> fused, const LevelPlan &plan,
                                            const TorchGraph &graph);

  size_t levelCount() const { return plan.levels.size(); }
  const LevelPlan &levels() const { return plan; }
  // By layer of the graph; nothing where the level is dense, or before a choice.
  const std::vector<LayerOverride> &of(size_t level) const { return values[level]; }

  // Chooses masks anew. A weight w counts w^2 g, where g is the mean square of its gradient
  // (Fisher information for the Hessian's diagonal in LeCun's Optimal Brain Damage, 1990).
  // Of what a level is to drop, `share` (0 to 1) is dropped.
  //
  // `weights` and `squares` are K x N, by layer of the graph.
  llvm::Error choose(const std::vector<torch::Tensor> &weights, const std::vector<torch::Tensor> &squares,
                     double share);

  // Takes the masks of a plan; the levels are the plan's.
  llvm::Error take(const Plan &given);

  // Takes its values, too, which each level then trains for itself: those of the plan, or the model's where
  // it has none, and biases where it has some. `graph` is that of `make`. Errors: nested levels, which share
  // their values; a plan of other weights; nothing that is pruned.
  llvm::Error takeValues(const Plan &given, TorchGraph &graph);
  bool haveOwnValues() const { return !ownParameters.empty(); }
  // Those values, by level and layer. A layer that fusing cuts stays as it is where only some of its parts are pruned,
  // or have a bias.
  Parameters &parameters() { return ownParameters; }
  // Whether some of them are of `level`.
  bool isTrained(size_t level) const;

  // The masks as they are, for a model with the weights of `fused`, that of `make` with its
  // trained values; or the plan of `takeValues` with the values of now.
  llvm::Expected<Plan> planFor(ModuleOp fused) const;

  // The masks with the weights of `make`, to be taken again; nothing before a choice.
  std::optional<Plan> current() const;

private:
  // Where a linear layer of the fused model is in the graph: outputs `begin` to `end` of
  // product `layer`.
  struct Place {
    size_t layer;
    int64_t begin, end;
    std::string name; // In plans.
  };

  void readMasks();
  // Copies what a level of a plan has of a layer into `own`.
  void readValues(graph::LinearOp op, Attribute encoding, const Place &place, const LayerOrders &orders,
                  const torch::Tensor &model, LayerOverride &own);
  Plan ownPlan() const;

  OwningOpRef<ModuleOp> fused;  // Without levels.
  OwningOpRef<ModuleOp> pruned; // With them.
  LevelPlan plan;
  size_t layerCount = 0;
  std::vector<std::pair<int64_t, int64_t>> shapes; // K, N by layer.
  std::vector<Place> places;                       // By linear layer of the fused model.
  std::vector<std::vector<LayerOverride>> values;  // By level and layer.
  std::optional<Plan> given;                       // Of takeValues.
  Parameters ownParameters;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_TRAIN_TRAINEDLEVELS_H
