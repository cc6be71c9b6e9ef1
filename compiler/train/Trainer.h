// SPDX-License-Identifier: Apache-2.0
//
// Trains the weights of a model, for all of its levels at once.

#ifndef RT3_COMPILER_TRAIN_TRAINER_H
#define RT3_COMPILER_TRAIN_TRAINER_H

#include "compiler/train/Batches.h"
#include "compiler/train/TrainedLevels.h"

namespace mlir::rt3 {

enum class JointMode { Alternating, Summed };

struct TrainOptions {
  Task task = Task::Classification;
  bool isDistilled = false; // No labels: the results of the dense model are what is learnt.
  double epochs = 3;
  int64_t batch = 32;
  double learningRate = 5e-5;
  double warmup = 0.1; // Share of the steps over which the learning rate rises; then it falls to 0.
  double weightDecay = 0.01;
  uint64_t seed = 1;
  JointMode joint = JointMode::Alternating;
  double distillation = 0.5; // Share of the dense model's results in the loss of levels.
  double temperature = 2;
  double hidden = 1;           // Weight of the hidden states in what is distilled.
  double ramp = 0.4;           // Share of the steps over which weights go.
  double groupLasso = 0;       // Strength of the penalty on groups before they go; 0: none.
  int64_t validationSteps = 0; // 0: once an epoch.
  int64_t patience = 0;        // Validations without a better one before it ends; 0: never.
  int64_t checkpointSteps = 0; // 0: by time.
};

// Where checkpoints go.
class CheckpointStore {
public:
  virtual ~CheckpointStore() = default;
  virtual llvm::Error write(const std::string &bytes) = 0;
  // Nothing if there is none.
  virtual std::optional<std::string> read() = 0;
};

// Trains the parameters of `graph`, in place, or those of `levels` if these have values of their own, on
// `training`, and measures on `validation`; the weights that are best there, in the mean over levels, are what
// is left. `levels` null: the dense model alone.
//
// Each step takes a batch and one level (alternating, in turns) or all (summed). The loss of a
// level is (1 - d) task + d distillation, if there are levels (a dense one, which shares the others'
// weights, would else drift away from what the dense model gave; one with nothing of its own is passed over): cross
// entropy for classification and language models, squared error for numbers (of similarity: of the cosine, against
// labels over their largest); distillation is temperature^2 times the Kullback-Leibler divergence from the dense
// model's softened distribution (Hinton et al., 2015), or the squared error against its results, plus `hidden` times
// the mean over all normalisations of layers of the squared error of what they give over its square in the dense model
// (hidden states as in Jiao et al., TinyBERT, 2020, between layers of one width). AdamW (Loshchilov and Hutter, 2019);
// weight decay for matrices.
//
// On the ramp, the share of weights that has gone is 1 - (1 - t)^3 (Zhu and Gupta, 2017), and
// masks are chosen anew from time to time, except those of a plan. With a group lasso, before
// that and on the ramp, the loss has the sum over groups of 8 outputs and one input of
// |w_g| / (|w_g at the last choice| + eps) (reweighted: Candes, Wakin and Boyd, 2008).
//
// Resumes from a checkpoint bit by bit, for the same number of threads. `say` gets a line per
// validation.
llvm::Error train(TorchGraph &graph, int64_t rows, const Dataset &training, const Dataset &validation,
                  TrainedLevels *levels, bool masksAreGiven, const TrainOptions &options, CheckpointStore &store,
                  llvm::function_ref<void(const std::string &)> say);

} // namespace mlir::rt3

#endif // RT3_COMPILER_TRAIN_TRAINER_H
