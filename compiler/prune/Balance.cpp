// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/Balance.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir::rt3;

// Scores are whole numbers up to this, so that the losses of paths are added up without rounding: rounded ones would
// make circles of moves that seem to gain. Paths have up to as many moves as there are choices.
static constexpr double kLargestScore = int64_t(1) << 50;
static constexpr int64_t kNever = std::numeric_limits<int64_t>::max() / 2;

std::vector<int64_t> mlir::rt3::evenShares(llvm::ArrayRef<int64_t> total, int64_t parts) {
  int64_t sum = std::accumulate(total.begin(), total.end(), int64_t(0));
  assert(sum % parts == 0 && "parts are of one size");
  std::vector<int64_t> shares;
  for (int64_t count : total)
    shares.push_back(count / parts);
  std::vector<size_t> order(total.size());
  std::iota(order.begin(), order.end(), 0);
  llvm::sort(order, [&](size_t a, size_t b) {
    int64_t restA = total[a] % parts, restB = total[b] % parts;
    return restA != restB ? restA > restB : a < b;
  });
  int64_t left = sum / parts - std::accumulate(shares.begin(), shares.end(), int64_t(0));
  for (int64_t i = 0; i < left; ++i)
    ++shares[order[i]];
  return shares;
}

namespace {

class Balancing {
public:
  Balancing(llvm::ArrayRef<double> given, llvm::ArrayRef<int64_t> counts, llvm::MutableArrayRef<size_t> choices)
      : choices(choices), size(counts.size()), surplus(size), moves(size * size) {
    double largest = 0;
    for (double score : given)
      largest = std::max(largest, std::abs(score));
    for (double score : given)
      scores.push_back(largest > 0 ? std::llround(score / largest * kLargestScore) : 0);
    for (size_t c = 0; c < size; ++c)
      surplus[c] = -counts[c];
    for (size_t choice : choices)
      ++surplus[choice];
    for (size_t c = 0; c < size; ++c)
      findMoves(c);
  }

  void run() {
    while (llvm::any_of(surplus, [](int64_t one) { return one > 0; }))
      moveAlong(cheapestPath());
  }

private:
  // An item that changes its choice, and what is lost by that.
  struct Move {
    int64_t loss = kNever;
    size_t item = 0;
  };

  // The cheapest moves from a choice to the others.
  void findMoves(size_t from) {
    auto own = llvm::MutableArrayRef(moves).slice(from * size, size);
    llvm::fill(own, Move());
    for (auto [item, choice] : llvm::enumerate(choices))
      for (size_t to = 0; choice == from && to < size; ++to) {
        int64_t loss = scores[item * size + from] - scores[item * size + to];
        if (to != from && loss < own[to].loss)
          own[to] = {loss, item};
      }
  }

  // From a choice that is made too seldom back to one that is made too often (Bellman and Ford).
  std::vector<size_t> cheapestPath() const {
    std::vector<int64_t> loss(size);
    std::vector<size_t> before(size, size);
    for (size_t c = 0; c < size; ++c)
      loss[c] = surplus[c] > 0 ? 0 : kNever;
    bool isChanged = true;
    for (size_t round = 0; isChanged && round < size; ++round) {
      isChanged = false;
      for (size_t from = 0; from < size; ++from)
        for (size_t to = 0; to < size; ++to) {
          int64_t step = moves[from * size + to].loss;
          if (loss[from] == kNever || step == kNever || loss[from] + step >= loss[to])
            continue;
          loss[to] = loss[from] + step;
          before[to] = from;
          isChanged = true;
        }
    }
    size_t end = size;
    for (size_t c = 0; c < size; ++c)
      if (surplus[c] < 0 && (end == size || loss[c] < loss[end]))
        end = c;
    std::vector<size_t> path{end};
    while (before[path.back()] != size) {
      path.push_back(before[path.back()]);
      assert(path.size() <= size && "no circle of moves gains, since items had their best choices");
    }
    return path;
  }

  void moveAlong(llvm::ArrayRef<size_t> path) {
    for (size_t i = 0; i + 1 < path.size(); ++i)
      choices[moves[path[i + 1] * size + path[i]].item] = path[i];
    ++surplus[path.front()];
    --surplus[path.back()];
    for (size_t choice : path)
      findMoves(choice);
  }

  std::vector<int64_t> scores;
  llvm::MutableArrayRef<size_t> choices;
  size_t size;
  std::vector<int64_t> surplus; // How often a choice is made beyond its count.
  std::vector<Move> moves;      // [from][to]
};

} // namespace

void mlir::rt3::balanceChoices(llvm::ArrayRef<double> scores, llvm::ArrayRef<int64_t> counts,
                               llvm::MutableArrayRef<size_t> choices) {
  assert(std::accumulate(counts.begin(), counts.end(), int64_t(0)) == int64_t(choices.size()));
  Balancing(scores, counts, choices).run();
}
