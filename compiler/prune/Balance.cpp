// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/Balance.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir::rt3;

static constexpr double kNever = std::numeric_limits<double>::infinity();
// Of the largest score: a path must be shorter by more than sums of losses are rounded.
static constexpr double kShorter = 1e-12;

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
  Balancing(llvm::ArrayRef<double> scores, llvm::ArrayRef<int64_t> counts, llvm::MutableArrayRef<size_t> choices)
      : scores(scores), choices(choices), size(counts.size()), surplus(size), moves(size * size) {
    for (size_t c = 0; c < size; ++c)
      surplus[c] = -counts[c];
    for (size_t choice : choices)
      ++surplus[choice];
    for (size_t c = 0; c < size; ++c)
      findMoves(c);
    for (double score : scores)
      shorter = std::max(shorter, kShorter * std::abs(score));
  }

  void run() {
    while (llvm::any_of(surplus, [](int64_t one) { return one > 0; }))
      moveAlong(cheapestPath());
  }

private:
  // An item that changes its choice, and what is lost by that.
  struct Move {
    double loss = kNever;
    size_t item = 0;
  };

  // The cheapest moves from a choice to the others.
  void findMoves(size_t from) {
    auto own = llvm::MutableArrayRef(moves).slice(from * size, size);
    llvm::fill(own, Move());
    for (auto [item, choice] : llvm::enumerate(choices))
      for (size_t to = 0; choice == from && to < size; ++to) {
        double loss = scores[item * size + from] - scores[item * size + to];
        if (to != from && loss < own[to].loss)
          own[to] = {loss, item};
      }
  }

  // From a choice that is made too seldom back to one that is made too often (Bellman and Ford).
  std::vector<size_t> cheapestPath() const {
    std::vector<double> loss(size);
    std::vector<size_t> before(size, size);
    for (size_t c = 0; c < size; ++c)
      loss[c] = surplus[c] > 0 ? 0 : kNever;
    bool isChanged = true;
    for (size_t round = 0; isChanged && round < size; ++round) {
      isChanged = false;
      for (size_t from = 0; from < size; ++from)
        for (size_t to = 0; to < size; ++to)
          if (double through = loss[from] + moves[from * size + to].loss; through < loss[to] - shorter) {
            loss[to] = through;
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
      assert(path.size() <= size && "items have their best choices under these counts: no move gains");
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

  llvm::ArrayRef<double> scores;
  llvm::MutableArrayRef<size_t> choices;
  size_t size;
  std::vector<int64_t> surplus; // How often a choice is made beyond its count.
  std::vector<Move> moves;      // [from][to]
  double shorter = 0;
};

} // namespace

void mlir::rt3::balanceChoices(llvm::ArrayRef<double> scores, llvm::ArrayRef<int64_t> counts,
                               llvm::MutableArrayRef<size_t> choices) {
  assert(std::accumulate(counts.begin(), counts.end(), int64_t(0)) == int64_t(choices.size()));
  Balancing(scores, counts, choices).run();
}
