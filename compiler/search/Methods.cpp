// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/Methods.h"

#include "llvm/ADT/StringExtras.h"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <deque>
#include <numbers>
#include <set>

using namespace mlir::rt3;

static Candidate drawEvenly(const std::vector<int> &sizes, Random &random) {
  Candidate candidate;
  for (int size : sizes)
    candidate.push_back(random.below(size));
  return candidate;
}

namespace {

class RandomSearch : public SearchMethod {
public:
  RandomSearch(const std::vector<int> &sizes, uint64_t seed) : sizes(sizes), random(seed) {}
  std::vector<Candidate> propose(size_t count) override {
    std::vector<Candidate> result;
    while (result.size() < count)
      result.push_back(drawEvenly(sizes, random));
    return result;
  }
  void learn(const std::vector<Candidate> &, const std::vector<double> &) override {}

private:
  std::vector<int> sizes;
  Random random;
};

class Evolution : public SearchMethod {
public:
  Evolution(const std::vector<int> &sizes, uint64_t seed) : sizes(sizes), random(seed) {}
  std::vector<Candidate> propose(size_t count) override {
    std::vector<Candidate> result;
    while (result.size() < count) {
      if (population.size() + result.size() < kPopulation) {
        result.push_back(drawEvenly(sizes, random));
        continue;
      }
      size_t parent = random.below(population.size());
      for (int i = 1; i < kTournament; ++i)
        if (size_t other = random.below(population.size()); population[other].second > population[parent].second)
          parent = other;
      Candidate child = population[parent].first;
      size_t decision = random.below(sizes.size());
      child[decision] = random.below(sizes[decision]);
      result.push_back(std::move(child));
    }
    return result;
  }
  void learn(const std::vector<Candidate> &candidates, const std::vector<double> &rewards) override {
    for (size_t i = 0; i < candidates.size(); ++i)
      population.emplace_back(candidates[i], rewards[i]);
    while (population.size() > kPopulation) // The oldest goes.
      population.pop_front();
  }

private:
  static constexpr size_t kPopulation = 24;
  static constexpr int kTournament = 6;
  std::vector<int> sizes;
  Random random;
  std::deque<std::pair<Candidate, double>> population;
};

class Bayes : public SearchMethod {
public:
  Bayes(const std::vector<int> &sizes, uint64_t seed) : sizes(sizes), random(seed) {}

  std::vector<Candidate> propose(size_t count) override {
    std::vector<Candidate> result;
    if (seen.size() < kFirst) {
      while (result.size() < count)
        result.push_back(drawEvenly(sizes, random));
      return result;
    }
    fit();
    std::vector<std::pair<double, Candidate>> pool;
    for (int i = 0; i < kPool; ++i) {
      Candidate candidate = drawEvenly(sizes, random);
      if (i % 2) { // Near the best.
        candidate = best;
        for (int changes = 1 + random.below(2); changes > 0; --changes) {
          size_t decision = random.below(sizes.size());
          candidate[decision] = random.below(sizes[decision]);
        }
      }
      if (!known.count(candidate))
        pool.emplace_back(-improvement(candidate), candidate);
    }
    std::sort(pool.begin(), pool.end());
    pool.erase(std::unique(pool.begin(), pool.end()), pool.end());
    for (size_t i = 0; i < std::min(count, pool.size()); ++i)
      result.push_back(pool[i].second);
    while (result.size() < count)
      result.push_back(drawEvenly(sizes, random));
    return result;
  }

  void learn(const std::vector<Candidate> &candidates, const std::vector<double> &rewards) override {
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!known.insert(candidates[i]).second)
        continue;
      seen.push_back(candidates[i]);
      values.push_back(rewards[i]);
      if (rewards[i] >= *std::max_element(values.begin(), values.end()))
        best = candidates[i];
    }
  }

private:
  static constexpr size_t kFirst = 16, kMost = 600;
  static constexpr int kPool = 400;
  static constexpr double kNoise = 1e-4, kLength = 2.5; // Variance; decisions.

  static double kernel(const Candidate &a, const Candidate &b) {
    int differences = 0;
    for (size_t i = 0; i < a.size(); ++i)
      differences += a[i] != b[i];
    return std::exp(-differences / kLength);
  }
  void fit() {
    // The oldest go: the matrix has the square of their number.
    if (seen.size() > kMost) {
      seen.erase(seen.begin(), seen.end() - kMost);
      values.erase(values.begin(), values.end() - kMost);
    }
    size_t n = seen.size();
    Eigen::MatrixXd covariance(n, n);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j)
        covariance(i, j) = kernel(seen[i], seen[j]) + (i == j ? kNoise : 0);
    Eigen::Map<Eigen::VectorXd> y(values.data(), n);
    mean = y.mean();
    scale = std::max(1e-9, std::sqrt((y.array() - mean).square().mean()));
    factor.compute(covariance);
    solution = factor.solve(((y.array() - mean) / scale).matrix());
    most = (y.maxCoeff() - mean) / scale;
  }
  double improvement(const Candidate &candidate) const {
    Eigen::VectorXd like(seen.size());
    for (size_t i = 0; i < seen.size(); ++i)
      like[i] = kernel(candidate, seen[i]);
    double expected = like.dot(solution);
    double variance = std::max(1e-12, 1 - like.dot(factor.solve(like)));
    double deviation = std::sqrt(variance), z = (expected - most) / deviation;
    double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    return (expected - most) * 0.5 * std::erfc(-z / std::numbers::sqrt2) + deviation * density;
  }

  std::vector<int> sizes;
  Random random;
  std::set<Candidate> known;
  std::vector<Candidate> seen;
  std::vector<double> values;
  Candidate best;
  Eigen::LLT<Eigen::MatrixXd> factor;
  Eigen::VectorXd solution;
  double mean = 0, scale = 1, most = 0;
};

} // namespace

const std::vector<std::string> &mlir::rt3::methodNames() {
  static const std::vector<std::string> names = {"rl", "bayes", "evolution", "random"};
  return names;
}

llvm::Expected<std::unique_ptr<SearchMethod>> mlir::rt3::makeMethod(const std::string &name,
                                                                    const std::vector<int> &sizes, uint64_t seed) {
  if (name == "rl")
    return makeReinforce(sizes, seed);
  if (name == "bayes")
    return std::make_unique<Bayes>(sizes, seed);
  if (name == "evolution")
    return std::make_unique<Evolution>(sizes, seed);
  if (name == "random")
    return std::make_unique<RandomSearch>(sizes, seed);
  return llvm::createStringError("--method \"" + name + "\" is none of " + llvm::join(methodNames(), ", "));
}
