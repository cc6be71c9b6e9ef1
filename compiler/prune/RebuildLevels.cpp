// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/RebuildLevels.h"

#include "compiler/Progress.h"
#include "dialects/graph/Quantize.h"

#include "llvm/Support/FormatVariadic.h"

#include <Eigen/Core>

#include <map>

using namespace mlir;
using namespace mlir::rt3;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

namespace {

// The values of a layer at a level, weights 0 where the mask is.
struct OwnedValues : LayerValues {
  Mask mask;
};

// What a level prunes; not the zeros without structure that a dense level stores nothing
// for.
ElementsAttr prunedMask(graph::LinearOp op, size_t level) {
  ArrayAttr encodings = op.getLevelsAttr();
  if (!encodings || !graph::constantValue(op.getWeights()))
    return {};
  auto block = dyn_cast<graph::BlockEncodingAttr>(encodings[level]);
  return block && block.getRows() == 1 ? nullptr : graph::encodingMask(encodings[level]);
}

// One pass over the network at one level.
class LevelPass {
public:
  // `lower`: what the next sparser levels own, by layer, if levels are nested.
  LevelPass(func::FuncOp function, const std::vector<CalibrationSample> &samples, size_t level, StringRef levelName,
            const std::map<Operation *, OwnedValues> *lower, bool hasOwnBiases)
      : function(function), level(level), levelName(levelName), lower(lower), hasOwnBiases(hasOwnBiases),
        samples(samples) {}

  llvm::Expected<std::vector<RebuiltLayer>> run() {
    std::vector<RebuiltLayer> result;
    Operation *last = nullptr; // What is behind it is not needed, and may be large: logits.
    function.walk([&](graph::LinearOp op) {
      if (prunedMask(op, level))
        last = op;
    });
    if (!last)
      return result;
    begin();
    size_t done = 0;
    auto text = llvm::formatv("rebuilding level {0}", levelName).str();
    Progress progress(text, std::distance(function.front().begin(), function.front().end()));
    for (Operation &op : function.front().without_terminator()) {
      if (auto linear = dyn_cast<graph::LinearOp>(op))
        if (llvm::Error error = rebuild(linear, result))
          return std::move(error);
      if (&op == last)
        break;
      for (std::vector<Execution> *executions : {&dense, &pruned})
        for (Execution &execution : *executions)
          if (llvm::Error error = execution.run(op))
            return std::move(error);
      for (mlir::Value operand : op.getOperands())
        if (lastUse.lookup(operand) == &op)
          forget(operand);
      progress.show(++done);
    }
    return result;
  }

  // What the level owns, by layer.
  std::map<Operation *, OwnedValues> owned;

private:
  void begin() {
    for (Operation &op : function.front())
      for (mlir::Value operand : op.getOperands())
        lastUse[operand] = &op;
    for (const CalibrationSample &sample : samples) {
      InterpreterOptions options;
      options.length = sample.length;
      dense.emplace_back(options, dense.empty() ? nullptr : &dense.front());
      options.level = level;
      options.values = [this](graph::LinearOp op) -> const LayerValues * {
        auto found = owned.find(op);
        return found == owned.end() ? nullptr : &found->second;
      };
      pruned.emplace_back(options, &dense.front());
      for (auto [argument, input] : llvm::zip_equal(function.getArguments(), sample.inputs)) {
        dense.back().set(argument, input);
        pruned.back().set(argument, input);
      }
    }
  }

  void forget(mlir::Value value) {
    for (std::vector<Execution> *executions : {&dense, &pruned})
      for (Execution &execution : *executions)
        execution.forget(value);
    moments.erase(value.getAsOpaquePointer());
  }

  // What a layer's inputs have in common with those of the dense network.
  struct Inputs {
    std::unique_ptr<InverseMoments> inverse;   // Of the pruned network's x'.
    std::vector<double> difference;            // x'ᵀ (x - x').
    Eigen::RowVectorXd means, differenceMeans; // Of x' and x - x'; about which all is, if levels have biases.
  };

  llvm::Expected<const Inputs *> inputsOf(graph::LinearOp op) {
    Inputs &inputs = moments[op.getX().getAsOpaquePointer()];
    if (inputs.inverse)
      return &inputs;
    int64_t count = cast<RankedTensorType>(op.getX().getType()).getShape().back();
    InputMoments own{count, std::vector<double>(count * count, 0), {}};
    inputs.difference.assign(count * count, 0);
    inputs.means = inputs.differenceMeans = Eigen::RowVectorXd::Zero(count);
    double rows = 0;
    Eigen::Map<Matrix> sums(own.sums.data(), count, count), difference(inputs.difference.data(), count, count);
    for (auto [i, execution] : llvm::enumerate(pruned)) {
      auto tokens = [&](const Execution &from) {
        const HostTensor &x = from.valueOf(op.getX());
        return Eigen::Map<const Matrix>(x.elements.data(), x.count() / count, count);
      };
      Eigen::Map<const Matrix> x = tokens(execution), wanted = tokens(dense[i]);
      if (!x.allFinite() || !wanted.allFinite())
        return llvm::createStringError(
            llvm::formatv("calibration sample {0} makes an input of layer \"{1}\" NaN or infinite", i, op.getLayer()));
      sums.noalias() += x.transpose() * x;
      difference.noalias() += x.transpose() * (wanted - x);
      inputs.means += x.colwise().sum();
      inputs.differenceMeans += (wanted - x).colwise().sum();
      rows += x.rows();
    }
    inputs.means /= std::max(1.0, rows);
    inputs.differenceMeans /= std::max(1.0, rows);
    if (hasOwnBiases) {
      centre(own, std::vector<double>(inputs.means.begin(), inputs.means.end()), rows);
      difference.noalias() -= rows * inputs.means.transpose() * inputs.differenceMeans;
    }
    inputs.inverse = std::make_unique<InverseMoments>(own);
    return &inputs;
  }

  llvm::Error rebuild(graph::LinearOp op, std::vector<RebuiltLayer> &result) {
    ElementsAttr maskAttribute = prunedMask(op, level);
    if (!maskAttribute)
      return llvm::Error::success();
    std::vector<float> weights = graph::floatElements(graph::constantValue(op.getWeights()));
    const OwnedValues *fixed = nullptr;
    if (lower)
      if (auto found = lower->find(op); found != lower->end())
        fixed = &found->second;
    Mask kept = graph::byteElements(maskAttribute), mask = kept;
    int64_t outputs = cast<RankedTensorType>(op.getWeights().getType()).getDimSize(1);
    std::vector<float> masked(weights.size());
    for (size_t i = 0; i < mask.size(); ++i) {
      masked[i] = mask[i] ? weights[i] : 0;
      if (fixed && fixed->mask[i]) {
        masked[i] = fixed->weights[i];
        mask[i] = 0; // Not free.
      }
    }
    auto inputs = inputsOf(op);
    if (!inputs)
      return inputs.takeError();
    const InverseMoments &inverse = *(*inputs)->inverse;
    std::vector<float> target = inverse.retarget(weights, outputs, (*inputs)->difference);
    std::vector<float> rebuilt =
        inverse.rebuild(target, outputs, mask, fixed ? llvm::ArrayRef<float>(fixed->weights) : llvm::ArrayRef<float>());
    for (size_t i = 0; i < rebuilt.size(); ++i) {
      bool isFixed = fixed && fixed->mask[i];
      rebuilt[i] = isFixed ? fixed->weights[i] : graph::rounded(rebuilt[i], op.getPrecision());
    }
    double whole = inverse.error(std::vector<float>(weights.size(), 0), target, outputs);
    double maskedError = inverse.error(masked, target, outputs), error = inverse.error(rebuilt, target, outputs);
    if (!(error < maskedError)) { // Rounding, of what is close to singular or of weights.
      rebuilt = masked;
      error = maskedError;
    }
    result.push_back(
        {op.getLayer().str(), levelName.str(), whole > 0 ? maskedError / whole : 0, whole > 0 ? error / whole : 0});
    std::vector<float> bias = hasOwnBiases ? rebuildBias(op, **inputs, weights, rebuilt) : std::vector<float>();
    owned[op] = {{std::move(rebuilt), std::move(bias)}, std::move(kept)};
    return llvm::Error::success();
  }

  // The bias by which the layer, on average over all tokens, gives what it gives in the
  // dense network; with a residual, what both together give, unless a function is in between.
  std::vector<float> rebuildBias(graph::LinearOp op, const Inputs &inputs, ArrayRef<float> weights,
                                 ArrayRef<float> rebuilt) {
    int64_t outputs = cast<RankedTensorType>(op.getWeights().getType()).getDimSize(1);
    auto matrix = [&](ArrayRef<float> values) {
      using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
      return Eigen::Map<const Floats>(values.data(), values.size() / outputs, outputs).cast<double>();
    };
    Eigen::RowVectorXd bias =
        (inputs.means + inputs.differenceMeans) * matrix(weights) - inputs.means * matrix(rebuilt);
    if (op.getResidual() && !op.getActivation()) {
      Eigen::RowVectorXd missing = Eigen::RowVectorXd::Zero(outputs);
      double rows = 0;
      for (auto [i, execution] : llvm::enumerate(pruned)) {
        auto tokens = [&](const Execution &from) {
          const HostTensor &residual = from.valueOf(op.getResidual());
          return Eigen::Map<const Matrix>(residual.elements.data(), residual.count() / outputs, outputs);
        };
        missing += (tokens(dense[i]) - tokens(execution)).colwise().sum();
        rows += tokens(execution).rows();
      }
      bias += missing / std::max(1.0, rows);
    }
    if (ElementsAttr own = graph::constantValue(op.getBias())) {
      std::vector<float> values = graph::floatElements(own);
      bias += Eigen::Map<const Eigen::RowVectorXf>(values.data(), outputs).cast<double>();
    }
    return std::vector<float>(bias.data(), bias.data() + outputs);
  }

  func::FuncOp function;
  size_t level;
  StringRef levelName;
  const std::map<Operation *, OwnedValues> *lower;
  bool hasOwnBiases;
  const std::vector<CalibrationSample> &samples;
  std::vector<Execution> dense, pruned;
  llvm::DenseMap<mlir::Value, Operation *> lastUse;
  std::map<void *, Inputs> moments; // By layer input.
};

ElementsAttr valuesAttribute(RankedTensorType type, ArrayRef<float> values) {
  return graph::makeResource(type, "rebuilt",
                             ArrayRef(reinterpret_cast<const char *>(values.data()), 4 * values.size()));
}

// Gives a level other values than the layer's: its bias stays if there is none.
void setValues(graph::LinearOp op, size_t level, ArrayRef<float> weights, ArrayRef<float> bias = {}) {
  SmallVector<Attribute> encodings(op.getLevelsAttr().getValue());
  auto type = cast<RankedTensorType>(op.getWeights().getType());
  ElementsAttr own = valuesAttribute(type, weights), ownBias = graph::encodingBias(encodings[level]);
  if (!bias.empty())
    ownBias = valuesAttribute(RankedTensorType::get(bias.size(), type.getElementType()), bias);
  encodings[level] = graph::withValues(encodings[level], own, ownBias);
  op.setLevelsAttr(ArrayAttr::get(op.getContext(), encodings));
}

} // namespace

int64_t mlir::rt3::rebuildingMemory(func::FuncOp function, ArrayRef<CalibrationSample> samples) {
  llvm::DenseMap<mlir::Value, Operation *> lastUse;
  int64_t widest = 0, weights = 0;
  for (Operation &op : function.front()) {
    for (mlir::Value operand : op.getOperands())
      lastUse[operand] = &op;
    if (auto linear = dyn_cast<graph::LinearOp>(op)) {
      auto type = cast<RankedTensorType>(linear.getWeights().getType());
      widest = std::max({widest, type.getDimSize(0), type.getDimSize(1)});
      weights += type.getNumElements();
    }
  }
  int64_t tokens = 0;
  for (const CalibrationSample &sample : samples)
    tokens += sample.length;
  // Per token, which is what nearly all tensors have an axis of, or per sample.
  auto elements = [&](mlir::Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    int64_t count = type.hasStaticShape() ? samples.size() : tokens;
    for (int64_t size : type.getShape())
      count *= ShapedType::isDynamic(size) ? 1 : size;
    return value.getDefiningOp<graph::ConstantOp>() ? 0 : count;
  };
  int64_t live = 0, peak = 0;
  for (Operation &op : function.front()) {
    for (mlir::Value result : op.getResults())
      live += elements(result);
    peak = std::max(peak, live);
    for (mlir::Value operand : op.getOperands())
      if (lastUse.lookup(operand) == &op) {
        live -= elements(operand);
        lastUse.erase(operand); // An op may read it twice.
      }
  }
  constexpr int64_t kMatrices = 8; // Moments, their inverse, factor and copies; the layer's own.
  return int64_t(sizeof(double)) * (2 * peak + kMatrices * widest * widest + 2 * weights);
}

// What nested levels up to `level` own, by layer.
static std::map<Operation *, OwnedValues> ownedBelow(func::FuncOp function, size_t level) {
  std::map<Operation *, OwnedValues> result;
  function.walk([&](graph::LinearOp op) {
    for (size_t l = 0; l < level; ++l)
      if (ElementsAttr mask = prunedMask(op, l)) {
        OwnedValues &own = result[op] = {{graph::floatElements(graph::encodingWeights(op.getLevelsAttr()[l])), {}},
                                         graph::byteElements(mask)};
        for (size_t i = 0; i < own.mask.size(); ++i)
          own.weights[i] = own.mask[i] ? own.weights[i] : 0;
      }
  });
  return result;
}

llvm::Error mlir::rt3::rebuildLevels(func::FuncOp function, const std::vector<CalibrationSample> &samples,
                                     bool hasOwnBiases, RebuildState &state,
                                     llvm::function_ref<llvm::Error(const RebuildState &)> save) {
  auto module = function->getParentOfType<ModuleOp>();
  bool isNested = module->hasAttr(graph::kNestedAttr);
  std::map<Operation *, OwnedValues> lower;
  if (isNested)
    lower = ownedBelow(function, state.levelsDone);
  for (auto [index, level] : llvm::enumerate(module.getOps<graph::LevelOp>())) {
    if (index < state.levelsDone)
      continue;
    LevelPass pass(function, samples, index, level.getName(), isNested ? &lower : nullptr, hasOwnBiases);
    auto layers = pass.run();
    if (!layers)
      return layers.takeError();
    state.layers.insert(state.layers.end(), layers->begin(), layers->end());
    ++state.levelsDone;
    for (auto &[op, own] : pass.owned) {
      setValues(cast<graph::LinearOp>(op), index, own.weights, own.bias);
      if (isNested)
        lower[op] = std::move(own);
    }
    if (save && !pass.owned.empty())
      if (llvm::Error error = save(state))
        return error;
  }
  // All nested levels get the values of the densest, within whose mask the others lie.
  for (auto &[operation, own] : lower) {
    auto op = cast<graph::LinearOp>(operation);
    for (size_t level = 0; level < op.getLevelsAttr().size(); ++level)
      if (prunedMask(op, level))
        setValues(op, level, own.weights);
  }
  return llvm::Error::success();
}
