// SPDX-License-Identifier: Apache-2.0
//
// The search itself: candidates of a method, their evaluations, their rewards.

#ifndef RT3_COMPILER_SEARCH_SEARCH_H
#define RT3_COMPILER_SEARCH_SEARCH_H

#include "compiler/search/Evaluations.h"
#include "compiler/search/Methods.h"
#include "compiler/search/Space.h"

namespace mlir::rt3 {

// What a level of a candidate comes to.
struct LevelValue {
  LevelSpec spec;
  double quality = 0; // Of the task's metric, over the dense model's; more is better.
  double metric = 0;
  double seconds = 0;               // Predicted, at the level's clock.
  double energyMj = 0;              // 0: unknown.
  std::vector<double> clockSeconds; // At every clock of the core; may be left out.
};

struct RewardOptions {
  double limit = 0;         // Seconds.
  double denseEnergyMj = 0; // Of the dense model at the fastest clock; 0: unknown.
};

// sum_l q_l / L  -  sum_l max(0, t_l / T - 1)  -  sum_l max(0, q_l - q_{l+1})  +  0.01 log2(E_dense / mean_l E_l)
//
// over levels l, slowest clock first: the mean quality, less what misses the limit T, less what
// a faster level is worse than a slower one, plus a hundredth for each doubling of the runs per
// charge. -1 where a quality is not a number.
double rewardOf(const std::vector<LevelValue> &levels, const RewardOptions &options);

// One evaluated candidate.
struct Trial {
  Candidate candidate;
  double reward = 0;
  std::vector<LevelValue> levels;
};

// What became of one method.
struct SearchResult {
  std::string method;
  uint64_t seed = 0;
  std::vector<Trial> trials; // In the order in which they were first evaluated.
  size_t best = 0;           // Of the trials; the first of equal ones.
};

// Evaluates levels; results in order.
using EvaluateLevels = std::function<llvm::Expected<std::vector<LevelValue>>(const std::vector<LevelSpec> &levels)>;
// Told after each batch.
using ShowTrials = std::function<void(const SearchResult &result)>;

// Evaluates `budget` different candidates, or as many as the space has or the method still
// finds. The same seed gives the same trials, however evaluations are done. Of several processes the
// first proposes for all, because others may round differently.
llvm::Expected<SearchResult> search(const SearchSpace &space, const std::string &method, uint64_t seed, size_t budget,
                                    const RewardOptions &reward, const EvaluateLevels &evaluate,
                                    const Communicator &others, const ShowTrials &show = nullptr);

// The best of levels that were evaluated, which need not be of one candidate, because each was evaluated alone: those
// of the best trial, for which others of their clocks stand in as long as the reward grows. `runs`: not empty, each
// with a trial.
std::vector<LevelValue> bestLevels(const std::vector<SearchResult> &runs, const RewardOptions &reward);

// Of levels, slowest clock first: for each the best up to it. Itself, unless one of a slower clock has a better
// quality.
std::vector<size_t> bestUpTo(const std::vector<LevelValue> &levels);

// Of the runs of a method, two or more: the mean of their best rewards, half of its 95 % interval by Student's t, and
// the mean of the best so far over all trials.
struct SearchStatistics {
  double mean = 0, halfInterval = 0, meanOnTheWay = 0;
};
SearchStatistics statisticsOf(const std::vector<SearchResult> &runs, const std::string &method);

} // namespace mlir::rt3

#endif // RT3_COMPILER_SEARCH_SEARCH_H
