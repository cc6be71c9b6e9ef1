// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/Calibrate.h"

#include "compiler/Progress.h"

#include "llvm/Support/FormatVariadic.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::rt3;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Weights = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void mlir::rt3::centre(InputMoments &moments, std::vector<double> means, double count) {
  constexpr double kRounding = 1e-12; // Of sums of squares, in double.
  moments.means = std::move(means);
  Eigen::Map<Matrix> sums(moments.sums.data(), moments.inputs, moments.inputs);
  Eigen::Map<const Eigen::RowVectorXd> mean(moments.means.data(), moments.inputs);
  Eigen::VectorXd before = sums.diagonal();
  sums.noalias() -= count * mean.transpose() * mean;
  for (int64_t k = 0; k < moments.inputs; ++k)
    if (sums(k, k) <= kRounding * before[k]) {
      sums.row(k).setZero();
      sums.col(k).setZero();
    }
}

// What inputs and weights of a layer make must be saliency that a float can tell from 0 and from infinity.
static llvm::Error checkRange(graph::LinearOp op, const InputMoments &moments) {
  ElementsAttr constant = graph::constantValue(op.getWeights());
  Eigen::Map<const Matrix> sums(moments.sums.data(), moments.inputs, moments.inputs);
  Eigen::VectorXd diagonal = sums.diagonal();
  if (!constant || diagonal.isZero(0))
    return llvm::Error::success();
  std::vector<float> weights = graph::floatElements(constant);
  int64_t outputs = weights.size() / moments.inputs;
  double largest = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    largest = std::max(largest, double(weights[i]) * weights[i] * diagonal[i / outputs]);
  bool isTooLarge = largest * (1 + kOwnDampening + kMeanDampening * moments.inputs) > std::numeric_limits<float>::max();
  bool isTooSmall = largest > 0 && largest < std::numeric_limits<float>::min();
  if (!isTooLarge && !isTooSmall)
    return llvm::Error::success();
  return llvm::createStringError("layer \"" + op.getLayer() + "\": calibration inputs make squares that are too " +
                                 (isTooSmall ? "small" : "large") +
                                 " for 32-bit numbers, so that no weight can be told from another; expected inputs as "
                                 "the model gets them, scaled to some thousand at most");
}

llvm::Expected<Calibration> mlir::rt3::calibrate(func::FuncOp function, const std::vector<CalibrationSample> &samples,
                                                 bool isCentred) {
  if (samples.empty())
    return llvm::createStringError("there is no calibration sample");
  Calibration result;
  llvm::DenseMap<mlir::Value, std::shared_ptr<InputMoments>> byInput;
  llvm::DenseMap<mlir::Value, Operation *> first; // The layer that counts a tensor.
  llvm::DenseMap<mlir::Value, int64_t> counts;    // Of tokens.
  function.walk([&](graph::LinearOp op) {
    std::shared_ptr<InputMoments> &moments = byInput[op.getX()];
    if (!moments) {
      int64_t inputs = cast<RankedTensorType>(op.getX().getType()).getShape().back();
      moments = std::make_shared<InputMoments>(InputMoments{inputs, std::vector<double>(inputs * inputs, 0),
                                                            std::vector<double>(isCentred ? inputs : 0, 0)});
      first[op.getX()] = op;
    }
    result[op] = moments;
  });
  std::string wrong;
  Progress progress("calibrating", samples.size());
  Execution constants{InterpreterOptions()};
  for (auto [i, sample] : llvm::enumerate(samples)) {
    InterpreterOptions options;
    options.length = sample.length;
    options.onLinear = [&](graph::LinearOp op, const HostTensor &x) {
      if (first[op.getX()] != op)
        return;
      InputMoments &moments = *result[op];
      Eigen::Map<const Matrix> tokens(x.elements.data(), x.count() / moments.inputs, moments.inputs);
      if (!tokens.allFinite() && wrong.empty())
        wrong =
            llvm::formatv("calibration sample {0} makes an input of layer \"{1}\" NaN or infinite", i, op.getLayer());
      Eigen::Map<Matrix> sums(moments.sums.data(), moments.inputs, moments.inputs);
      sums.selfadjointView<Eigen::Upper>().rankUpdate(tokens.transpose());
      if (isCentred)
        Eigen::Map<Eigen::RowVectorXd>(moments.means.data(), moments.inputs) += tokens.colwise().sum();
      counts[op.getX()] += tokens.rows();
    };
    auto outputs = interpret(function, sample.inputs, options, &constants);
    if (!outputs)
      return outputs.takeError();
    if (!wrong.empty())
      return llvm::createStringError(wrong);
    progress.show(i + 1);
  }
  for (auto &[input, moments] : byInput) {
    Eigen::Map<Matrix> sums(moments->sums.data(), moments->inputs, moments->inputs);
    sums.triangularView<Eigen::StrictlyLower>() = sums.transpose();
    if (!isCentred)
      continue;
    double count = std::max<int64_t>(1, counts[input]);
    std::vector<double> means = std::move(moments->means);
    for (double &mean : means)
      mean /= count;
    centre(*moments, std::move(means), count);
  }
  for (auto &[op, moments] : result)
    if (llvm::Error error = checkRange(cast<graph::LinearOp>(op), *moments))
      return std::move(error);
  return result;
}

InverseMoments::InverseMoments(const InputMoments &given)
    : inputs(given.inputs), moments(given.sums), diagonal(inputs), factor(inputs * inputs) {
  Eigen::Map<Matrix> h(moments.data(), inputs, inputs);
  double mean = h.diagonal().mean();
  // Inputs that are all 0: any weights are as good.
  h.diagonal().array() *= 1 + kOwnDampening;
  h.diagonal().array() += mean > 0 ? kMeanDampening * mean : 1;
  Matrix inverse = h.llt().solve(Matrix::Identity(inputs, inputs));
  Eigen::Map<Eigen::VectorXd>(diagonal.data(), inputs) = inverse.diagonal();
  // inverse = L Lᵀ, and U = Lᵀ.
  Eigen::Map<Matrix>(factor.data(), inputs, inputs) = Matrix(inverse.llt().matrixU());
}

Saliency InverseMoments::saliency(llvm::ArrayRef<float> weights, int64_t outputs) const {
  Saliency result{inputs, outputs, std::vector<float>(weights.size())};
  for (size_t i = 0; i < weights.size(); ++i)
    result.values[i] = double(weights[i]) * weights[i] / diagonal[i / outputs];
  return result;
}

static constexpr int kSweeps = 3;

// Lowers the dampened error of `w`, or of `start` where that is lower.
static void descend(const Eigen::Map<const Matrix> &h, const Matrix &target, const Matrix &start, const Mask &mask,
                    Matrix &w) {
  int64_t inputs = w.rows(), outputs = w.cols();
  // Half the gradient is H times the difference.
  Matrix change = w - target, startChange = start - target;
  Matrix gradient = h * change, startGradient = h * startChange;
  for (int64_t n = 0; n < outputs; ++n)
    if (startChange.col(n).dot(startGradient.col(n)) < change.col(n).dot(gradient.col(n))) {
      w.col(n) = start.col(n);
      gradient.col(n) = startGradient.col(n);
    }
  Eigen::RowVectorXd step(outputs);
  for (int sweep = 0; sweep < kSweeps; ++sweep)
    for (int64_t k = 0; k < inputs; ++k) {
      for (int64_t n = 0; n < outputs; ++n)
        step[n] = mask[k * outputs + n] ? -gradient(k, n) / h(k, k) : 0;
      w.row(k) += step;
      gradient.noalias() += h.col(k) * step;
    }
}

static Matrix toMatrix(llvm::ArrayRef<float> values, int64_t outputs) {
  return Eigen::Map<const Weights>(values.data(), values.size() / outputs, outputs).cast<double>();
}

static std::vector<float> toVector(const Matrix &matrix) {
  std::vector<float> result(matrix.size());
  Eigen::Map<Weights>(result.data(), matrix.rows(), matrix.cols()) = matrix.cast<float>();
  return result;
}

std::vector<float> InverseMoments::rebuild(llvm::ArrayRef<float> weights, int64_t outputs, const Mask &mask,
                                           llvm::ArrayRef<float> fixed) const {
  Matrix target = toMatrix(weights, outputs), w = target, start = target;
  for (int64_t i = 0; i < start.size(); ++i)
    start.data()[i] = mask[i] ? start.data()[i] : fixed.empty() ? 0 : fixed[i];
  Eigen::Map<const Matrix> u(factor.data(), inputs, inputs);
  Eigen::RowVectorXd error(outputs);
  for (int64_t k = 0; k < inputs; ++k) {
    for (int64_t n = 0; n < outputs; ++n) {
      double kept = mask[k * outputs + n] ? w(k, n) : start(k, n);
      error[n] = (w(k, n) - kept) / u(k, k);
      w(k, n) = kept;
    }
    int64_t left = inputs - k - 1;
    w.bottomRows(left).noalias() -= u.row(k).tail(left).transpose() * error;
  }
  descend(Eigen::Map<const Matrix>(moments.data(), inputs, inputs), target, start, mask, w);
  return toVector(w);
}

std::vector<float> InverseMoments::retarget(llvm::ArrayRef<float> weights, int64_t outputs,
                                            llvm::ArrayRef<double> difference) const {
  Matrix w = toMatrix(weights, outputs);
  Eigen::Map<const Matrix> d(difference.data(), inputs, inputs), u(factor.data(), inputs, inputs);
  Matrix product = d * w;
  Matrix half = u.triangularView<Eigen::Upper>() * product;
  return toVector(w + u.transpose() * half);
}

double InverseMoments::error(llvm::ArrayRef<float> a, llvm::ArrayRef<float> b, int64_t outputs) const {
  Matrix difference = toMatrix(a, outputs) - toMatrix(b, outputs);
  return difference.cwiseProduct(Eigen::Map<const Matrix>(moments.data(), inputs, inputs) * difference).sum();
}
