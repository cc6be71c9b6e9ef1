// SPDX-License-Identifier: Apache-2.0

#include "compiler/train/Trainer.h"

#include "compiler/Progress.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <sstream>

using namespace mlir::rt3;
using torch::Tensor;

static constexpr int64_t kMaskChoices = 20;
static constexpr double kGradientNorm = 1; // Larger gradients are scaled down to it.
static constexpr double kCheckpointMinutes = 5;
static constexpr int64_t kGroupRows = 8; // Outputs of a group of block pruning.

namespace {

class Training {
public:
  Training(TorchGraph &graph, int64_t rows, const Dataset &training, const Dataset &validation, TrainedLevels *levels,
           bool masksAreGiven, const TrainOptions &options, CheckpointStore &store,
           llvm::function_ref<void(const std::string &)> say)
      : graph(graph), rows(rows), hasOwnValues(levels && levels->haveOwnValues()),
        parameters(hasOwnValues ? levels->parameters() : graph.parameters()),
        shared(hasOwnValues ? teacher : graph.parameters()), training(training), validation(validation), levels(levels),
        masksAreGiven(masksAreGiven), options(options), store(store), say(say), scale(training.largestLabel()) {
    for (auto &[name, parameter] : graph.parameters())
      teacher[name] = parameter.detach().clone();
    for (size_t level = 0; level < levelCount(); ++level)
      if (!hasOwnValues || levels->isTrained(level))
        trainedLevels.push_back(level);
    std::vector<Tensor> matrices, vectors;
    for (auto &[name, parameter] : parameters)
      (parameter.dim() > 1 ? matrices : vectors).push_back(parameter);
    auto group = [&](std::vector<Tensor> tensors, double decay) {
      auto own = std::make_unique<torch::optim::AdamWOptions>(options.learningRate);
      own->weight_decay(decay);
      return torch::optim::OptimizerParamGroup(std::move(tensors), std::move(own));
    };
    optimizer =
        std::make_unique<torch::optim::AdamW>(std::vector{group(matrices, options.weightDecay), group(vectors, 0)},
                                              torch::optim::AdamWOptions(options.learningRate));
    batchesPerEpoch = training.shuffled(options.batch, options.seed, 0).size();
    stepCount = std::llround(options.epochs * batchesPerEpoch);
    rampSteps = levels && !masksAreGiven ? std::llround(options.ramp * stepCount) : 0;
    maskSteps = std::max<int64_t>(1, llvm::divideCeil(rampSteps, kMaskChoices));
    validationSteps = options.validationSteps ? options.validationSteps : std::max<int64_t>(1, batchesPerEpoch);
  }

  llvm::Error run() {
    if (batchesPerEpoch == 0)
      return llvm::createStringError("the training data has " + llvm::Twine(training.size()) +
                                     " examples, fewer than a batch of " + llvm::Twine(options.batch));
    if (stepCount < 1)
      return llvm::createStringError(
          llvm::formatv("{0} epochs of {1} batches are no whole step", options.epochs, batchesPerEpoch));
    if (llvm::Error error = restore())
      return error;
    // What training must beat: values of a plan are good already.
    if (hasOwnValues && best.empty())
      measure();
    Progress progress("training", stepCount);
    auto lastCheckpoint = std::chrono::steady_clock::now();
    int64_t epoch = -1;
    std::vector<std::vector<size_t>> batches;
    while (step < stepCount && !isOver()) {
      if (step / batchesPerEpoch != epoch) {
        epoch = step / batchesPerEpoch;
        batches = training.shuffled(options.batch, options.seed, epoch);
      }
      if (llvm::Error error = updateMasks())
        return error;
      if (llvm::Error error = takeStep(batches[step % batchesPerEpoch]))
        return error;
      ++step;
      bool isMeasured = step % validationSteps == 0 || step == stepCount;
      if (isMeasured && step >= rampSteps)
        measure();
      std::chrono::duration<double> since = std::chrono::steady_clock::now() - lastCheckpoint;
      bool isSaved =
          options.checkpointSteps ? step % options.checkpointSteps == 0 : since.count() > 60 * kCheckpointMinutes;
      if (isSaved && step < stepCount) {
        if (llvm::Error error = save())
          return error;
        lastCheckpoint = std::chrono::steady_clock::now();
      }
      progress.show(step, llvm::formatv("loss {0:f4}", meanLoss));
    }
    if (isOver())
      say(llvm::formatv("ended at step {0} of {1}: {2} validations without a better one", step, stepCount, sinceBest));
    if (bestStep != step)
      say(llvm::formatv("the weights of step {0} are kept", bestStep));
    for (auto &[name, values] : best)
      if (!torch::isfinite(values).all().item<bool>())
        return llvm::createStringError("the weights have become NaN or infinite; lower --learning-rate");
    copy(best, parameters);
    if (bestMasks)
      if (llvm::Error error = levels->take(*bestMasks))
        return error;
    return llvm::Error::success();
  }

private:
  size_t levelCount() const { return levels ? levels->levelCount() : 1; }
  std::vector<LayerOverride> valuesOf(size_t level) const {
    return levels ? levels->of(level) : std::vector<LayerOverride>();
  }
  bool isOver() const { return options.patience && sinceBest >= options.patience; }

  //===-- One step --------------------------------------------------------===//

  using Hidden = std::vector<std::vector<Tensor>>; // [side][normalisation]

  // What the task looks at: logits, numbers, cosines, or of a distillation alone the results.
  Tensor predict(const Batch &batch, const std::vector<LayerOverride> &own, const Parameters &model,
                 Hidden *hidden = nullptr) {
    std::vector<Tensor> sides;
    for (const Texts &texts : batch.sides) {
      if (hidden)
        hidden->emplace_back();
      Tensor result = graph.run(texts.inputs, texts.length, own, model, hidden ? &hidden->back() : nullptr)[0];
      if (options.task == Task::Similarity && result.dim() == 3) {
        Tensor mask = texts.mask.unsqueeze(2);
        result = (result * mask).sum(1) / mask.sum(1);
      }
      sides.push_back(result);
    }
    if (options.task == Task::Similarity)
      return torch::cosine_similarity(sides[0], sides[1], 1, 1e-8);
    return options.task == Task::Regression && !options.isDistilled ? sides[0].flatten() : sides[0];
  }

  static Tensor keptRows(const Tensor &tensor, const Batch &batch) { return tensor.slice(0, 0, batch.count); }

  Tensor taskLoss(const Tensor &prediction, const Batch &batch) {
    Tensor labels = keptRows(batch.labels, batch), own = keptRows(prediction, batch);
    switch (options.task) {
    case Task::Classification:
      return torch::nn::functional::cross_entropy(own, labels.to(torch::kInt64));
    case Task::LanguageModel:
      return torch::nn::functional::cross_entropy(own.flatten(0, 1), labels.flatten());
    case Task::Similarity:
      return torch::mse_loss(own, labels / std::max(scale, 1e-9));
    case Task::Regression:
      return torch::mse_loss(own, labels);
    }
    llvm_unreachable("no task");
  }

  Tensor distillationLoss(const Tensor &prediction, const Tensor &dense, const Batch &batch) {
    Tensor own = keptRows(prediction, batch), wanted = keptRows(dense, batch);
    bool hasClasses = options.task == Task::Classification || options.task == Task::LanguageModel;
    if (hasClasses && !options.isDistilled) {
      own = own.flatten(0, -2) / options.temperature;
      wanted = wanted.flatten(0, -2) / options.temperature;
      return options.temperature * options.temperature *
             torch::kl_div(torch::log_softmax(own, -1), torch::softmax(wanted, -1), at::Reduction::Sum) / own.size(0);
    }
    if (options.isDistilled && own.dim() == 3) {
      Tensor mask = keptRows(batch.sides[0].mask, batch).unsqueeze(2);
      return ((own - wanted).square() * mask).sum() / (mask.sum() * own.size(2));
    }
    return torch::mse_loss(own, wanted);
  }

  // Squared errors over squares, so that no layer counts for more because its numbers are larger.
  static Tensor hiddenLoss(const Hidden &own, const Hidden &dense, const Batch &batch) {
    Tensor sum = torch::zeros({});
    int64_t count = 0;
    for (auto [texts, ownSide, denseSide] : llvm::zip_equal(batch.sides, own, dense))
      for (auto [a, b] : llvm::zip_equal(ownSide, denseSide)) {
        Tensor x = a, y = b;
        bool isPerToken = x.dim() == 3 && x.size(0) == texts.mask.size(0) && x.size(1) == texts.mask.size(1);
        if (isPerToken) { // What stands where no text is does not matter; in other shapes it counts, too.
          Tensor mask = keptRows(texts.mask, batch).unsqueeze(2);
          x = keptRows(x, batch) * mask;
          y = keptRows(y, batch) * mask;
        }
        sum = sum + (x - y).square().sum() / y.square().sum().clamp_min(1e-12);
        ++count;
      }
    return sum / std::max<int64_t>(1, count);
  }

  llvm::Error takeStep(llvm::ArrayRef<size_t> examples) {
    double warmupSteps = std::max(1.0, options.warmup * stepCount);
    double rate = options.learningRate *
                  std::min((step + 1) / warmupSteps, (stepCount - step) / std::max(1.0, stepCount - warmupSteps));
    for (auto &group : optimizer->param_groups())
      static_cast<torch::optim::AdamWOptions &>(group.options()).lr(rate);
    // None instead of zeros, at which Adam would go on as before with what another level has of its own.
    for (auto &[name, parameter] : parameters)
      parameter.mutable_grad().reset();
    std::vector<size_t> taken = trainedLevels;
    if (options.joint == JointMode::Alternating)
      taken = {trainedLevels[step % trainedLevels.size()]};
    double loss = 0;
    for (size_t begin = 0; begin < examples.size(); begin += rows) {
      auto part = examples.slice(begin, std::min<size_t>(rows, examples.size() - begin));
      Batch batch = training.batch(part, rows);
      double weight = double(part.size()) / examples.size() / taken.size();
      double share = levels ? options.distillation : 0;
      double own = options.isDistilled ? 1 : share;
      bool hasHidden = own > 0 && options.hidden > 0;
      Tensor dense;
      Hidden denseHidden;
      if (own > 0) {
        torch::NoGradGuard noGradients;
        dense = predict(batch, {}, teacher, hasHidden ? &denseHidden : nullptr);
      }
      for (size_t level : taken) {
        Hidden hidden;
        Tensor prediction = predict(batch, valuesOf(level), shared, hasHidden ? &hidden : nullptr);
        Tensor sum = own < 1 ? (1 - own) * taskLoss(prediction, batch) : torch::zeros({});
        if (own > 0)
          sum = sum + own * distillationLoss(prediction, dense, batch);
        if (hasHidden)
          sum = sum + own * options.hidden * hiddenLoss(hidden, denseHidden, batch);
        sum = weight * sum;
        loss += sum.item<double>();
        sum.backward();
      }
    }
    if (!std::isfinite(loss))
      return llvm::createStringError(llvm::formatv("the loss is {0} at step {1}; lower --learning-rate", loss, step));
    meanLoss = step == 0 ? loss : 0.98 * meanLoss + 0.02 * loss;
    if (options.groupLasso > 0 && step < rampSteps)
      addGroupLasso();
    std::vector<Tensor> all;
    for (auto &[name, parameter] : parameters)
      all.push_back(parameter);
    torch::nn::utils::clip_grad_norm_(all, kGradientNorm);
    optimizer->step();
    return llvm::Error::success();
  }

  //===-- Masks -----------------------------------------------------------===//

  // Groups of 8 outputs and one input: [K, groups, 8], filled up with zeros.
  static Tensor groupsOf(const Tensor &weights) {
    int64_t missing = (kGroupRows - weights.size(1) % kGroupRows) % kGroupRows;
    Tensor padded = missing ? torch::constant_pad_nd(weights, {0, missing}) : weights;
    return padded.reshape({weights.size(0), -1, kGroupRows});
  }

  // Adds the gradient of the penalty.
  void addGroupLasso() {
    lassoWeights.resize(graph.layers().size());
    Tensor sum = torch::zeros({});
    for (auto [i, layer] : llvm::enumerate(graph.layers())) {
      Tensor norms = groupsOf(graph.weightsOf(layer, parameters)).square().sum(2).add(1e-12).sqrt();
      if (!lassoWeights[i].defined())
        lassoWeights[i] = reweighted(norms.detach());
      sum = sum + (norms * lassoWeights[i]).sum() / double(norms.numel());
    }
    (options.groupLasso * sum).backward();
  }

  // Relative to the mean norm of the layer, so that one strength suits all.
  static Tensor reweighted(const Tensor &norms) {
    Tensor mean = norms.mean();
    return mean / (norms + 0.1 * mean);
  }

  llvm::Error updateMasks() {
    bool isDue =
        levels && !masksAreGiven &&
        (step == rampSteps || (step < rampSteps && step % maskSteps == 0) || (step == 0 && !levels->current()));
    if (!isDue)
      return llvm::Error::success();
    double left = rampSteps ? 1 - double(step) / rampSteps : 0;
    torch::NoGradGuard noGradients;
    std::vector<Tensor> weights, squares;
    Parameters squaresOf;
    for (auto &[name, parameter] : parameters)
      squaresOf[name] = squareOf(parameter);
    for (auto [i, layer] : llvm::enumerate(graph.layers())) {
      weights.push_back(graph.weightsOf(layer, parameters));
      squares.push_back(graph.weightsOf(layer, squaresOf));
      if (i < lassoWeights.size())
        lassoWeights[i] = reweighted(groupsOf(weights.back()).square().sum(2).sqrt());
    }
    return levels->choose(weights, squares, 1 - left * left * left);
  }

  // Adam's running mean of the squared gradient.
  Tensor squareOf(const Tensor &parameter) {
    auto found = optimizer->state().find(c10::guts::to_string(parameter.unsafeGetTensorImpl()));
    if (found == optimizer->state().end())
      return torch::zeros_like(parameter);
    return static_cast<torch::optim::AdamWParamState &>(*found->second).exp_avg_sq();
  }

  //===-- Validation ------------------------------------------------------===//

  int64_t classCount = 0; // Of the last prediction.

  std::vector<Outcome> outcomesOf(size_t level) {
    torch::NoGradGuard noGradients;
    std::vector<Outcome> result;
    for (const std::vector<size_t> &examples : validation.inOrder(rows)) {
      Batch batch = validation.batch(examples, rows);
      Tensor prediction = keptRows(predict(batch, valuesOf(level), shared), batch);
      Tensor values = prediction;
      if (options.isDistilled) { // The squared error, as prediction of a label 0.
        Tensor dense = keptRows(predict(batch, {}, teacher), batch);
        values = (prediction - dense).square().flatten(1).mean(1);
      } else if (options.task == Task::Classification) {
        classCount = prediction.size(1);
        values = prediction.argmax(1).to(torch::kFloat32);
      } else if (options.task == Task::LanguageModel) {
        values = torch::nll_loss(torch::log_softmax(prediction, -1).flatten(0, 1),
                                 keptRows(batch.labels, batch).flatten(), {}, at::Reduction::None)
                     .reshape({batch.count, -1})
                     .sum(1);
      }
      values = torch::nan_to_num(values.to(torch::kFloat64)).contiguous();
      for (int64_t row = 0; row < batch.count; ++row)
        result.push_back({values.data_ptr<double>()[row], options.task == Task::LanguageModel
                                                              ? double(batch.sides[0].length)
                                                              : validation.label(examples[row])});
    }
    return result;
  }

  std::optional<Plan> changingMasks() const { return levels && !masksAreGiven ? levels->current() : std::nullopt; }

  void measure() {
    const Metric &metric = metricsOf(options.task)[0];
    double score = 0;
    std::string line = llvm::formatv("step {0} of {1}, loss {2:f4}; {3}", step, stepCount, meanLoss,
                                     options.isDistilled ? "squared error" : metric.name);
    for (size_t level = 0; level < levelCount(); ++level) {
      std::vector<Outcome> outcomes = outcomesOf(level);
      double value = 0;
      if (options.isDistilled)
        for (const Outcome &outcome : outcomes)
          value += outcome.prediction / outcomes.size();
      else
        value = metric.compute(outcomes, classCount);
      score += options.isDistilled || !metric.isBetterHigher ? -value : value;
      line += llvm::formatv(" {0} {1:f4}", levels ? levels->levels().levels[level].name : "dense", value);
    }
    if (std::isnan(score)) // As the correlation of predictions that are all the same.
      score = -std::numeric_limits<double>::infinity();
    bool isBetter = best.empty() || score > bestScore;
    if (isBetter) {
      bestScore = score;
      bestStep = step;
      bestMasks = changingMasks();
      for (auto &[name, parameter] : parameters)
        best[name] = parameter.detach().clone();
    }
    sinceBest = isBetter ? 0 : sinceBest + 1;
    say(line + (isBetter ? "" : " (not better)"));
  }

  static void copy(const Parameters &from, Parameters &to) {
    torch::NoGradGuard noGradients;
    for (auto &[name, tensor] : from)
      to[name].copy_(tensor);
  }

  //===-- Checkpoints -----------------------------------------------------===//

  static Tensor bytesTensor(const std::string &bytes) {
    Tensor result = torch::empty({int64_t(bytes.size())}, torch::kUInt8);
    memcpy(result.data_ptr(), bytes.data(), bytes.size());
    return result;
  }

  static void writePlanTo(torch::serialize::OutputArchive &archive, const std::string &name,
                          const std::optional<Plan> &plan) {
    auto [json, weights] = plan ? writePlan(*plan) : std::pair<std::string, std::string>();
    archive.write(name + "_json", bytesTensor(json));
    archive.write(name + "_weights", bytesTensor(weights));
  }

  static llvm::Expected<std::optional<Plan>> readPlanFrom(torch::serialize::InputArchive &archive,
                                                          const std::string &name) {
    Tensor json, weights;
    archive.read(name + "_json", json);
    archive.read(name + "_weights", weights);
    auto text = [](const Tensor &bytes) {
      return llvm::StringRef(static_cast<const char *>(bytes.data_ptr()), bytes.numel());
    };
    if (json.numel() == 0)
      return std::nullopt;
    auto plan = readPlan(text(json), text(weights));
    if (!plan)
      return plan.takeError();
    return std::move(*plan);
  }

  llvm::Error save() {
    torch::serialize::OutputArchive archive;
    archive.write("numbers", torch::tensor(std::vector<double>{double(step), bestScore, double(sinceBest), meanLoss,
                                                               double(!best.empty()), double(bestStep)},
                                           torch::kFloat64));
    size_t i = 0;
    for (auto &[name, parameter] : parameters) {
      std::string index = std::to_string(i++);
      archive.write("value" + index, parameter.detach());
      if (!best.empty())
        archive.write("best" + index, best[name]);
      auto found = optimizer->state().find(c10::guts::to_string(parameter.unsafeGetTensorImpl()));
      if (found == optimizer->state().end())
        continue;
      auto &state = static_cast<torch::optim::AdamWParamState &>(*found->second);
      archive.write("mean" + index, state.exp_avg());
      archive.write("square" + index, state.exp_avg_sq());
      archive.write("steps" + index, torch::tensor(state.step(), torch::kInt64));
    }
    archive.write("lasso_count", torch::tensor(int64_t(lassoWeights.size()), torch::kInt64));
    for (size_t layer = 0; layer < lassoWeights.size(); ++layer)
      archive.write("lasso" + std::to_string(layer), lassoWeights[layer]);
    writePlanTo(archive, "masks", changingMasks());
    writePlanTo(archive, "best_masks", bestMasks);
    std::ostringstream stream;
    archive.save_to(stream);
    return store.write(stream.str());
  }

  llvm::Error restore() {
    auto bytes = store.read();
    if (!bytes)
      return llvm::Error::success();
    try {
      std::istringstream stream(*bytes);
      torch::serialize::InputArchive archive;
      archive.load_from(stream);
      if (llvm::Error error = restoreFrom(archive))
        return error;
    } catch (const std::exception &error) {
      return llvm::createStringError("the checkpoint cannot be read (" +
                                     llvm::StringRef(error.what()).split('\n').first + "); remove it to begin anew");
    }
    say(llvm::formatv("resumed at step {0} of {1}", step, stepCount));
    return llvm::Error::success();
  }

  llvm::Error restoreFrom(torch::serialize::InputArchive &archive) {
    torch::NoGradGuard noGradients;
    Tensor numbers, number;
    archive.read("numbers", numbers);
    auto at = [&](int64_t i) { return numbers[i].item<double>(); };
    step = at(0);
    bestScore = at(1);
    sinceBest = at(2);
    meanLoss = at(3);
    bestStep = at(5);
    size_t i = 0;
    for (auto &[name, parameter] : parameters) {
      std::string index = std::to_string(i++);
      Tensor value;
      archive.read("value" + index, value);
      parameter.copy_(value);
      if (at(4) != 0)
        archive.read("best" + index, best[name]);
      auto state = std::make_unique<torch::optim::AdamWParamState>();
      Tensor mean, square;
      if (!archive.try_read("mean" + index, mean) || !archive.try_read("square" + index, square) ||
          !archive.try_read("steps" + index, number))
        continue;
      state->step(number.item<int64_t>());
      state->exp_avg(mean);
      state->exp_avg_sq(square);
      optimizer->state()[c10::guts::to_string(parameter.unsafeGetTensorImpl())] = std::move(state);
    }
    archive.read("lasso_count", number);
    lassoWeights.resize(number.item<int64_t>());
    for (size_t layer = 0; layer < lassoWeights.size(); ++layer)
      archive.read("lasso" + std::to_string(layer), lassoWeights[layer]);
    auto current = readPlanFrom(archive, "masks"), saved = readPlanFrom(archive, "best_masks");
    if (!current || !saved)
      return llvm::joinErrors(current.takeError(), saved.takeError());
    bestMasks = std::move(*saved);
    return *current ? levels->take(**current) : llvm::Error::success();
  }

  TorchGraph &graph;
  int64_t rows; // That go through the graph at once.
  bool hasOwnValues;
  Parameters &parameters;   // What is trained.
  const Parameters &shared; // What levels take that have nothing of their own.
  Parameters teacher, best;
  std::vector<size_t> trainedLevels;
  const Dataset &training, &validation;
  TrainedLevels *levels;
  bool masksAreGiven;
  const TrainOptions &options;
  CheckpointStore &store;
  llvm::function_ref<void(const std::string &)> say;
  double scale; // Of labels of similarity.
  std::unique_ptr<torch::optim::AdamW> optimizer;
  std::vector<Tensor> lassoWeights; // By layer, [K, groups].
  int64_t batchesPerEpoch = 0, stepCount = 0, rampSteps = 0, maskSteps = 1, validationSteps = 1;
  int64_t step = 0, sinceBest = 0, bestStep = 0;
  double bestScore = 0, meanLoss = 0;
  std::optional<Plan> bestMasks;
};

} // namespace

llvm::Error mlir::rt3::train(TorchGraph &graph, int64_t rows, const Dataset &training, const Dataset &validation,
                             TrainedLevels *levels, bool masksAreGiven, const TrainOptions &options,
                             CheckpointStore &store, llvm::function_ref<void(const std::string &)> say) {
  return Training(graph, rows, training, validation, levels, masksAreGiven, options, store, say).run();
}
