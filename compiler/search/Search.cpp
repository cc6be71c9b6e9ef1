// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/Search.h"

#include <cmath>
#include <map>

using namespace mlir::rt3;

// Candidates that are drawn together, whoever evaluates them: the result must not depend on
// how many processes there are.
static constexpr size_t kBatch = 8;
// Batches without a new candidate after which a method has come to its end.
static constexpr int kMostIdle = 40;
static constexpr double kRunsWeight = 0.01;
static constexpr double kWorst = -1;

double mlir::rt3::rewardOf(const std::vector<LevelValue> &levels, const RewardOptions &options) {
  double reward = 0, energy = 0;
  bool isEnergyKnown = !levels.empty();
  for (size_t l = 0; l < levels.size(); ++l) {
    if (!std::isfinite(levels[l].quality) || !std::isfinite(levels[l].seconds))
      return kWorst;
    reward += levels[l].quality / levels.size();
    reward -= std::max(0.0, levels[l].seconds / options.limit - 1);
    if (l + 1 < levels.size())
      reward -= std::max(0.0, levels[l].quality - levels[l + 1].quality);
    energy += levels[l].energyMj / levels.size();
    isEnergyKnown &= levels[l].energyMj > 0;
  }
  if (isEnergyKnown && options.denseEnergyMj > 0)
    reward += kRunsWeight * std::log2(options.denseEnergyMj / energy);
  return std::isfinite(reward) ? std::max(kWorst, reward) : kWorst;
}

// The first process's candidates.
static std::vector<Candidate> agree(const std::vector<Candidate> &batch, size_t decisions, const Communicator &others) {
  std::string text;
  for (const Candidate &candidate : batch)
    for (int decision : candidate)
      text += char(decision);
  text = others.broadcast(std::move(text));
  std::vector<Candidate> result;
  for (size_t at = 0; at + decisions <= text.size(); at += decisions)
    result.emplace_back(text.begin() + at, text.begin() + at + decisions);
  return result;
}

llvm::Expected<SearchResult> mlir::rt3::search(const SearchSpace &space, const std::string &name, uint64_t seed,
                                               size_t budget, const RewardOptions &reward,
                                               const EvaluateLevels &evaluate, const Communicator &others,
                                               const ShowTrials &show) {
  auto method = makeMethod(name, space.sizes(), seed);
  if (!method)
    return method.takeError();
  SearchResult result{name, seed, {}, 0};
  size_t levelCount = space.levels().size();
  std::map<Candidate, double> rewards;
  for (int idle = 0; rewards.size() < budget && idle < kMostIdle; ++idle) {
    std::vector<Candidate> batch = agree((*method)->propose(kBatch), space.sizes().size(), others), fresh;
    for (const Candidate &candidate : batch)
      if (!rewards.count(candidate) && rewards.size() < budget) {
        rewards[candidate] = 0;
        fresh.push_back(candidate);
      }
    std::vector<LevelSpec> specs;
    for (const Candidate &candidate : fresh)
      for (size_t level = 0; level < levelCount; ++level)
        specs.push_back(space.levelOf(candidate, level));
    auto values = evaluate(specs);
    if (!values)
      return values.takeError();
    for (size_t i = 0; i < fresh.size(); ++i) {
      Trial trial{fresh[i], 0, {values->begin() + i * levelCount, values->begin() + (i + 1) * levelCount}};
      trial.reward = rewards[fresh[i]] = rewardOf(trial.levels, reward);
      result.trials.push_back(std::move(trial));
      if (result.trials.back().reward > result.trials[result.best].reward)
        result.best = result.trials.size() - 1;
      idle = -1;
    }
    // Beyond the budget nothing is known.
    std::vector<Candidate> learnt;
    std::vector<double> theirs;
    for (const Candidate &candidate : batch)
      if (auto found = rewards.find(candidate); found != rewards.end()) {
        learnt.push_back(candidate);
        theirs.push_back(found->second);
      }
    if (!learnt.empty())
      (*method)->learn(learnt, theirs);
    if (show)
      show(result);
  }
  return result;
}

std::vector<LevelValue> mlir::rt3::bestLevels(const std::vector<SearchResult> &runs, const RewardOptions &options) {
  const Trial *bestTrial = nullptr;
  for (const SearchResult &run : runs)
    if (!bestTrial || run.trials[run.best].reward > bestTrial->reward)
      bestTrial = &run.trials[run.best];
  std::vector<LevelValue> best = bestTrial->levels;
  double most = bestTrial->reward;
  for (bool isBetter = true; isBetter;) {
    isBetter = false;
    for (size_t l = 0; l < best.size(); ++l)
      for (const SearchResult &run : runs)
        for (const Trial &trial : run.trials) {
          std::vector<LevelValue> levels = best;
          levels[l] = trial.levels[l];
          if (double now = rewardOf(levels, options); now > most) {
            most = now;
            best = std::move(levels);
            isBetter = true;
          }
        }
  }
  return best;
}

std::vector<size_t> mlir::rt3::bestUpTo(const std::vector<LevelValue> &levels) {
  std::vector<size_t> result;
  for (size_t level = 0; level < levels.size(); ++level) {
    result.push_back(level);
    for (size_t slower = 0; slower < level; ++slower)
      if (levels[slower].quality > levels[result.back()].quality)
        result.back() = slower;
  }
  return result;
}

SearchStatistics mlir::rt3::statisticsOf(const std::vector<SearchResult> &runs, const std::string &method) {
  static constexpr double kStudent[] = {12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26};
  double sum = 0, square = 0, area = 0, count = 0;
  for (const SearchResult &result : runs) {
    if (result.method != method)
      continue;
    double best = result.trials[result.best].reward, soFar = -1;
    ++count;
    sum += best;
    square += best * best;
    for (const Trial &trial : result.trials)
      area += (soFar = std::max(soFar, trial.reward)) / result.trials.size();
  }
  double mean = sum / count, deviation = std::sqrt(std::max(0.0, (square - sum * mean) / (count - 1)));
  double student = count <= 10 ? kStudent[int(count) - 2] : 1.96;
  return {mean, student * deviation / std::sqrt(count), area / count};
}
