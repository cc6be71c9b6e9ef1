// SPDX-License-Identifier: Apache-2.0
//
// The recurrent controller: an LSTM that draws a candidate decision by decision, and REINFORCE
// with a moving mean for a baseline.

#include "compiler/search/Methods.h"

#include <Eigen/Dense>

#include <cmath>

using namespace mlir::rt3;
using Eigen::MatrixXd;
using Eigen::VectorXd;

static constexpr int kHidden = 24;
static constexpr double kLearningRate = 0.03, kEntropy = 0.01, kBaseline = 0.8;
static constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8; // Adam's, Kingma and Ba, 2015.

namespace {

// A matrix with its gradient and Adam's moments.
struct Parameter {
  MatrixXd value, gradient, first, second;

  void initialize(int rows, int columns, Random &random, double scale) {
    value = MatrixXd::NullaryExpr(rows, columns, [&]() { return scale * (2 * random.uniform() - 1); });
    gradient = first = second = MatrixXd::Zero(rows, columns);
  }
  void step(int64_t t) {
    first = kBeta1 * first + (1 - kBeta1) * gradient;
    second = kBeta2 * second + (1 - kBeta2) * gradient.cwiseProduct(gradient);
    double rate = kLearningRate * std::sqrt(1 - std::pow(kBeta2, t)) / (1 - std::pow(kBeta1, t));
    value.array() -= rate * first.array() / (second.array().sqrt() + kEpsilon);
    gradient.setZero();
  }
};

VectorXd sigmoid(const VectorXd &x) { return (1 + (-x.array()).exp()).inverse().matrix(); }

// What one decision has left for the way back.
struct Step {
  VectorXd input, lastHidden, lastCell, in, forget, candidate, out, cell, hidden, probabilities;
  int choice;
};

class Reinforce : public SearchMethod {
public:
  Reinforce(const std::vector<int> &sizes, uint64_t seed) : sizes(sizes), random(seed) {
    int previous = 1; // A start symbol.
    embeddings.resize(sizes.size());
    heads.resize(sizes.size());
    biases.resize(sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      embeddings[i].initialize(kHidden, previous, random, 0.1);
      heads[i].initialize(sizes[i], kHidden, random, 0.1);
      biases[i].initialize(sizes[i], 1, random, 0);
      previous = sizes[i];
    }
    gates.initialize(4 * kHidden, 2 * kHidden, random, 1 / std::sqrt(2.0 * kHidden));
    gateBias.initialize(4 * kHidden, 1, random, 0);
  }

  std::vector<Candidate> propose(size_t count) override {
    std::vector<Candidate> result;
    while (result.size() < count) {
      Candidate candidate;
      forward([&](const VectorXd &probabilities) {
        double point = random.uniform();
        int choice = 0;
        while (choice + 1 < probabilities.size() && point >= probabilities[choice])
          point -= probabilities[choice++];
        candidate.push_back(choice);
        return choice;
      });
      result.push_back(std::move(candidate));
    }
    return result;
  }

  void learn(const std::vector<Candidate> &candidates, const std::vector<double> &rewards) override {
    double mean = 0, square = 0;
    for (double reward : rewards)
      mean += reward / rewards.size();
    if (!hasBaseline)
      baseline = mean;
    hasBaseline = true;
    for (double reward : rewards)
      square += (reward - baseline) * (reward - baseline) / rewards.size();
    deviation = steps == 0 ? std::sqrt(square) : kBaseline * deviation + (1 - kBaseline) * std::sqrt(square);
    for (size_t i = 0; i < candidates.size(); ++i) {
      size_t decision = 0;
      std::vector<Step> trace = forward([&](const VectorXd &) { return candidates[i][decision++]; });
      backward(trace, (rewards[i] - baseline) / (deviation + 1e-6), 1.0 / candidates.size());
    }
    ++steps;
    for (std::vector<Parameter> *list : {&embeddings, &heads, &biases})
      for (Parameter &parameter : *list)
        parameter.step(steps);
    gates.step(steps);
    gateBias.step(steps);
    baseline = kBaseline * baseline + (1 - kBaseline) * mean;
  }

private:
  template <typename Choose> std::vector<Step> forward(Choose choose) {
    std::vector<Step> trace;
    VectorXd hidden = VectorXd::Zero(kHidden), cell = VectorXd::Zero(kHidden);
    int previous = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      Step step;
      step.lastHidden = hidden;
      step.lastCell = cell;
      step.input.resize(2 * kHidden);
      step.input << embeddings[i].value.col(previous), hidden;
      VectorXd sums = gates.value * step.input + gateBias.value;
      step.in = sigmoid(sums.segment(0, kHidden));
      step.forget = sigmoid((sums.segment(kHidden, kHidden).array() + 1).matrix()); // Begins remembering.
      step.candidate = sums.segment(2 * kHidden, kHidden).array().tanh().matrix();
      step.out = sigmoid(sums.segment(3 * kHidden, kHidden));
      step.cell = step.forget.cwiseProduct(cell) + step.in.cwiseProduct(step.candidate);
      step.hidden = step.out.cwiseProduct(step.cell.array().tanh().matrix());
      VectorXd logits = heads[i].value * step.hidden + biases[i].value;
      VectorXd exponents = (logits.array() - logits.maxCoeff()).exp().matrix();
      step.probabilities = exponents / exponents.sum();
      step.choice = choose(step.probabilities);
      hidden = step.hidden;
      cell = step.cell;
      previous = step.choice;
      trace.push_back(std::move(step));
    }
    return trace;
  }

  // Adds `share` times the gradient of -advantage ln p(choices) - kEntropy x mean entropy of the decisions.
  void backward(const std::vector<Step> &trace, double advantage, double share) {
    VectorXd hiddenGradient = VectorXd::Zero(kHidden), cellGradient = VectorXd::Zero(kHidden);
    for (size_t i = trace.size(); i-- > 0;) {
      const Step &step = trace[i];
      const VectorXd &p = step.probabilities;
      VectorXd logits = advantage * p;
      logits[step.choice] -= advantage;
      VectorXd logs = p.array().max(1e-12).log().matrix();
      double entropy = -p.dot(logs);
      logits += kEntropy / sizes.size() * p.cwiseProduct((logs.array() + entropy).matrix());
      logits *= share;
      heads[i].gradient += logits * step.hidden.transpose();
      biases[i].gradient += logits;
      VectorXd hidden = hiddenGradient + heads[i].value.transpose() * logits;
      VectorXd active = step.cell.array().tanh().matrix();
      VectorXd cell = cellGradient + (hidden.array() * step.out.array() * (1 - active.array().square())).matrix();
      VectorXd sums(4 * kHidden);
      sums << (cell.array() * step.candidate.array() * step.in.array() * (1 - step.in.array())).matrix(),
          (cell.array() * step.lastCell.array() * step.forget.array() * (1 - step.forget.array())).matrix(),
          (cell.array() * step.in.array() * (1 - step.candidate.array().square())).matrix(),
          (hidden.array() * active.array() * step.out.array() * (1 - step.out.array())).matrix();
      gates.gradient += sums * step.input.transpose();
      gateBias.gradient += sums;
      VectorXd input = gates.value.transpose() * sums;
      embeddings[i].gradient.col(i == 0 ? 0 : trace[i - 1].choice) += input.head(kHidden);
      hiddenGradient = input.tail(kHidden);
      cellGradient = cell.cwiseProduct(step.forget);
    }
  }

  std::vector<int> sizes;
  Random random;
  std::vector<Parameter> embeddings, heads, biases; // Per decision.
  Parameter gates, gateBias;                        // In, forget, candidate, out.
  bool hasBaseline = false;
  double baseline = 0, deviation = 0;
  int64_t steps = 0;
};

} // namespace

std::unique_ptr<SearchMethod> mlir::rt3::makeReinforce(const std::vector<int> &sizes, uint64_t seed) {
  return std::make_unique<Reinforce>(sizes, seed);
}
