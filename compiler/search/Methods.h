// SPDX-License-Identifier: Apache-2.0
//
// Ways to search, all behind one interface: what to evaluate next, given the rewards of
// what has been.

#ifndef RT3_COMPILER_SEARCH_METHODS_H
#define RT3_COMPILER_SEARCH_METHODS_H

#include "compiler/search/Space.h"

#include "llvm/Support/Error.h"

#include <memory>

namespace mlir::rt3 {

// Numbers that are the same on every machine: splitmix64 (Steele, Lea and Flood, 2014).
class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}
  uint64_t bits() {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In [0, 1).
  double uniform() { return (bits() >> 11) * 0x1p-53; }
  int below(int count) { return int(uniform() * count); }

private:
  uint64_t state;
};

class SearchMethod {
public:
  virtual ~SearchMethod() = default;
  // Candidates to evaluate together.
  virtual std::vector<Candidate> propose(size_t count) = 0;
  // Their rewards, finite, in the same order.
  virtual void learn(const std::vector<Candidate> &candidates, const std::vector<double> &rewards) = 0;
};

// rl: an LSTM that draws one decision after the other, trained by REINFORCE against a moving
// mean (Williams, 1992; Zoph and Le, 2017). bayes: a Gaussian process on which decisions differ,
// by expected improvement (Mockus, 1975). evolution: the best of a few of the last candidates, with
// one decision changed (Real et al., 2019). random: each decision evenly.
llvm::Expected<std::unique_ptr<SearchMethod>> makeMethod(const std::string &name, const std::vector<int> &sizes,
                                                         uint64_t seed);
std::unique_ptr<SearchMethod> makeReinforce(const std::vector<int> &sizes, uint64_t seed);

// The names that makeMethod knows.
const std::vector<std::string> &methodNames();

} // namespace mlir::rt3

#endif // RT3_COMPILER_SEARCH_METHODS_H
