// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/Masks.h"

#include "compiler/prune/Balance.h"
#include "dialects/graph/Quantize.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

using namespace mlir::rt3;

static constexpr int kTurns = 8, kPriceSteps = 20;
static constexpr size_t kSampleSize = 4096; // Blocks.
static constexpr double kEnough = 0.99;     // Of a layer's budget.
// A block of one column has a sum for each weight and vector of tokens, two vectors or more. Multipliers have eight
// products in flight (two pipes, four cycles): with fewer weights than these they wait, so that a block takes as long.
// Of blocks of four outputs most keep so few.
static constexpr int64_t kLeastSums = 4;

Mask mlir::rt3::pruneBlocks(const Saliency &saliency, int64_t rows, double density) {
  int64_t k = saliency.inputs, n = saliency.outputs;
  int64_t count = std::clamp<int64_t>(std::llround(density * k), 1, k);
  Mask mask(k * n, 0);
  std::vector<int64_t> order(k);
  std::vector<double> sums(k);
  for (int64_t group = 0; group < n; group += rows) {
    for (int64_t input = 0; input < k; ++input) {
      sums[input] = 0;
      for (int64_t row = group; row < group + rows; ++row)
        sums[input] += saliency.at(input, row);
    }
    std::iota(order.begin(), order.end(), 0);
    // Ties go to the first input, so that results do not depend on the library.
    llvm::sort(order, [&](int64_t a, int64_t b) { return sums[a] != sums[b] ? sums[a] > sums[b] : a < b; });
    for (int64_t i = 0; i < count; ++i)
      for (int64_t row = group; row < std::min(group + rows, n); ++row)
        mask[order[i] * n + row] = sums[order[i]] > 0;
  }
  return mask;
}

namespace {

// A block's place; its position c * rows + r is bit c * rows + r of masks. There
// are millions: what can be read from the layer is not stored again.
struct Block {
  uint32_t layer;
  int32_t firstOutput;
  uint64_t upper; // What may be kept.
};

// The saliency of a block's positions; 0 where nothing may be kept.
using Positions = std::array<float, 64>;

class PatternLearner {
public:
  PatternLearner(const std::vector<PatternLayer> &layers, const LevelSpec &spec, bool gathered)
      : layers(layers), spec(spec), isGathered(gathered), positions(spec.rows * spec.columns),
        leastCost(spec.columns == 1 && spec.rows == 8 ? kLeastSums : 0) {
    for (size_t i = 0; i < layers.size(); ++i) {
      firstBlock.push_back(blocks.size());
      findBlocks(i, gathered);
      const Saliency &layer = *layers[i].saliency;
      budgets.push_back(std::llround(layers[i].density.value_or(spec.density) * layer.inputs * layer.outputs));
    }
    firstBlock.push_back(blocks.size());
    chosen.assign(blocks.size(), 0);
  }

  std::vector<Mask> learn() {
    if (spec.isCountFree())
      learnAnyCount();
    else
      learnFixedCount();
    std::vector<Mask> masks;
    for (const PatternLayer &layer : layers)
      masks.emplace_back(layer.saliency->values.size(), 0);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const Block &block = blocks[i];
      for (uint64_t kept = chosen[i] & block.upper; kept; kept &= kept - 1)
        masks[block.layer][placeOf(i, llvm::countr_zero(kept))] = 1;
    }
    return masks;
  }

private:
  void findBlocks(size_t index, bool gathered) {
    const Saliency &layer = *layers[index].saliency;
    const Mask *upper = layers[index].upper;
    double sum = std::accumulate(layer.values.begin(), layer.values.end(), 0.0);
    units.push_back(sum > 0 ? layer.values.size() / sum : 1);
    for (int64_t group = 0; group < layer.outputs; group += spec.rows) {
      std::vector<int64_t> inputs;
      for (int64_t k = 0; k < layer.inputs; ++k) {
        bool isKept = !upper || !gathered;
        for (int64_t r = group; r < std::min(group + spec.rows, layer.outputs) && !isKept; ++r)
          isKept = (*upper)[k * layer.outputs + r];
        if (isKept)
          inputs.push_back(k);
      }
      for (size_t i = 0; i < inputs.size(); i += spec.columns) {
        Block block{uint32_t(index), int32_t(group), 0};
        for (int64_t c = 0; c < spec.columns; ++c)
          inputsOf.push_back(i + c < inputs.size() ? inputs[i + c] : -1);
        blocks.push_back(block);
        for (int64_t p = 0; p < positions; ++p)
          if (exists(blocks.size() - 1, p) && (!upper || (*upper)[placeOf(blocks.size() - 1, p)]))
            blocks.back().upper |= uint64_t(1) << p;
      }
    }
  }

  // Whether a position is inside the layer: outputs and inputs may end in a block.
  bool exists(size_t block, int64_t position) const {
    return inputsOf[block * spec.columns + position / spec.rows] >= 0 &&
           blocks[block].firstOutput + position % spec.rows < layers[blocks[block].layer].saliency->outputs;
  }

  // The weight at a position that exists.
  size_t placeOf(size_t block, int64_t position) const {
    int64_t input = inputsOf[block * spec.columns + position / spec.rows];
    return input * layers[blocks[block].layer].saliency->outputs + blocks[block].firstOutput + position % spec.rows;
  }

  // In units of the layer's mean, so that layers can be compared.
  Positions saliencyOf(size_t block) const {
    Positions result{};
    const Block &own = blocks[block];
    const std::vector<float> &values = layers[own.layer].saliency->values;
    for (uint64_t left = own.upper; left; left &= left - 1) {
      int64_t position = llvm::countr_zero(left);
      result[position] = values[placeOf(block, position)] * units[own.layer];
    }
    return result;
  }

  static double sumOf(const Positions &saliency, uint64_t mask) {
    double sum = 0;
    for (; mask; mask &= mask - 1)
      sum += saliency[llvm::countr_zero(mask)];
    return sum;
  }

  // The k most frequent of the masks, ties by value.
  static std::vector<uint64_t> mostFrequent(const std::vector<uint64_t> &masks, size_t count) {
    std::map<uint64_t, int64_t> counts;
    for (uint64_t mask : masks)
      ++counts[mask];
    std::vector<std::pair<int64_t, uint64_t>> order;
    for (auto [mask, n] : counts)
      order.emplace_back(-n, mask);
    llvm::sort(order);
    std::vector<uint64_t> result;
    for (size_t i = 0; i < std::min(count, order.size()); ++i)
      result.push_back(order[i].second);
    return result;
  }

  // What each of `some` blocks gains with each pattern, prices left out; a
  // pattern that `upper` does not allow gains nothing, but with `fillsUp` the one of all weights
  // stands for all that it allows.
  void measure(const std::vector<size_t> &some, bool fillsUp = false) {
    gains.assign(some.size() * patterns.size(), {0, 0});
    for (auto [i, index] : llvm::enumerate(some)) {
      const Block &block = blocks[index];
      // Only subsets of what may be kept, so that levels nest and blocks share few patterns.
      uint64_t forbidden = ~block.upper & allOf(index);
      Positions saliency = saliencyOf(index);
      for (auto [p, pattern] : llvm::enumerate(patterns))
        if (!(pattern & forbidden) || (fillsUp && pattern == fullPattern()))
          gains[i * patterns.size() + p] = {float(sumOf(saliency, pattern)), llvm::popcount(pattern & block.upper)};
    }
  }

  // Gives each of the measured blocks its best pattern at this price per weight;
  // returns the number of weights kept.
  int64_t assign(const std::vector<size_t> &some, double price) {
    int64_t kept = 0;
    for (auto [i, index] : llvm::enumerate(some)) {
      double best = 0; // The empty pattern, always there.
      uint64_t choice = 0;
      int64_t count = 0;
      const Gain *row = gains.data() + i * patterns.size();
      for (size_t p = 0; p < patterns.size(); ++p)
        if (double gain = row[p].saliency - price * costOf(row[p].count); gain > best) {
          best = gain;
          choice = patterns[p];
          count = row[p].count;
        }
      chosen[index] = choice;
      kept += count;
    }
    return kept;
  }

  // What a pattern is charged for that keeps so many weights, in weights.
  int64_t costOf(int64_t count) const { return count == 0 ? 0 : std::max(count, leastCost); }

  uint64_t fullPattern() const { return positions == 64 ? ~uint64_t(0) : (uint64_t(1) << positions) - 1; }

  uint64_t allOf(size_t block) const {
    uint64_t all = 0;
    for (int64_t p = 0; p < positions; ++p)
      all |= uint64_t(exists(block, p)) << p;
    return all;
  }

  // The price at which `count(price)`, which falls, meets `target`.
  template <typename Count> double findPrice(double target, Count count) {
    // Of prices whose ratio counts: saliencies of a layer differ by many orders of magnitude.
    double low = 1e-12 * highest, high = highest;
    for (int step = 0; step < kPriceSteps; ++step) {
      double middle = std::sqrt(low * high);
      (count(middle) > target ? low : high) = middle;
    }
    return high;
  }

  // Without the pattern of all weights, which is a column of block pruning, dense layers
  // could not have what their budget allows: it takes the place of the one that is used least.
  void keepFullPattern(const std::vector<size_t> &some) {
    uint64_t full = fullPattern();
    if (llvm::is_contained(patterns, full) || patterns.empty())
      return;
    std::map<uint64_t, int64_t> uses;
    for (size_t index : some)
      ++uses[chosen[index]];
    *std::min_element(patterns.begin(), patterns.end(),
                      [&](uint64_t a, uint64_t b) { return std::pair(uses[a], a) < std::pair(uses[b], b); }) = full;
  }

  // Whether patterns are looked for first in this block.
  bool isStart(size_t block) const {
    if (spec.patternSample == 0)
      return true;
    uint64_t key[] = {block, uint64_t(spec.patternSample)};
    return llvm::xxh3_64bits(llvm::ArrayRef<uint8_t>(reinterpret_cast<uint8_t *>(key), sizeof(key))) % 4 == 0;
  }

  void learnAnyCount() {
    for (size_t i = 0; i < layers.size(); ++i)
      for (float value : layers[i].saliency->values)
        highest = std::max<double>(highest, value * units[i]);
    // A part of the blocks is enough to learn from.
    std::vector<size_t> sample;
    size_t step = std::max<size_t>(1, blocks.size() / (spec.patternSample ? 4 : 1) / kSampleSize);
    for (size_t i = 0; i < blocks.size(); ++i)
      if (isStart(i) && i % step == 0)
        sample.push_back(i);
    if (sample.empty() && !blocks.empty())
      sample.push_back(0);
    int64_t budget = std::accumulate(budgets.begin(), budgets.end(), int64_t(0));
    double sampleBudget = double(budget) * sample.size() / std::max<size_t>(1, blocks.size());
    std::vector<uint64_t> ideal(sample.size());
    std::vector<Positions> sampled;
    for (size_t index : sample)
      sampled.push_back(saliencyOf(index));
    double price = findPrice(sampleBudget, [&](double candidate) {
      int64_t kept = 0;
      for (size_t i = 0; i < sample.size(); ++i) {
        ideal[i] = 0;
        for (int64_t p = 0; p < positions; ++p)
          if (sampled[i][p] > candidate)
            ideal[i] |= uint64_t(1) << p;
        kept += llvm::popcount(ideal[i]);
      }
      return kept;
    });
    // The empty pattern takes no place: blocks without weights are not stored.
    patterns = mostFrequent(ideal, spec.patternCount + 1);
    llvm::erase(patterns, uint64_t(0));
    patterns.resize(std::min<size_t>(patterns.size(), spec.patternCount));
    for (int turn = 0; turn < kTurns; ++turn) {
      measure(sample);
      price = findPrice(sampleBudget, [&](double candidate) { return assign(sample, candidate); });
      assign(sample, price);
      update(sample, [&](ArrayRefOfMeans means) {
        uint64_t mask = 0;
        for (auto [count, position] : llvm::enumerate(largestFirst(means)))
          if (means[position] > price || int64_t(count) < leastCost) // Up to there, weights are free.
            mask |= uint64_t(1) << position;
        return mask;
      });
    }
    keepFullPattern(sample);
    // Every layer meets its own budget.
    for (size_t layer = 0; layer < layers.size(); ++layer) {
      std::vector<size_t> own(firstBlock[layer + 1] - firstBlock[layer]);
      std::iota(own.begin(), own.end(), firstBlock[layer]);
      measure(own);
      // Of blocks that a sparser level keeps a part of, what is left fits few patterns: where those are not
      // enough, a block may be filled up, which makes a pattern more.
      if (assign(own, 0) < kEnough * budgets[layer])
        measure(own, /*fillsUp=*/true);
      double price = findPrice(budgets[layer], [&](double candidate) { return assign(own, candidate); });
      assign(own, price);
      if (spec.isBalanced)
        balance(layer, price);
    }
  }

  // Gives each pattern, and the empty one, the same number of blocks in all groups of a layer, in each kBalancedInputs
  // inputs: as many as it has in the mean. Blocks gain the saliency that is kept, less `price` per weight.
  // A block that is cut off at the last input keeps what it has: less of a pattern than others.
  //
  // Gathered, groups have as many blocks, but of other inputs: no range has as many in all of them but that of all
  // inputs.
  void balance(size_t layer, double price) {
    assert((!layers[layer].upper || isGathered) && "of a part of the weights, each group has blocks of other inputs");
    int64_t groups = llvm::divideCeil(layers[layer].saliency->outputs, spec.rows);
    int64_t perGroup = (firstBlock[layer + 1] - firstBlock[layer]) / groups;
    if (perGroup == 0)
      return;
    bool isLastCut = inputsOf[(firstBlock[layer] + perGroup) * spec.columns - 1] < 0;
    int64_t whole = perGroup - isLastCut;
    int64_t perUnit = isGathered ? perGroup : graph::kBalancedInputs / spec.columns;
    std::vector<uint64_t> choices = patterns;
    if (spec.isCountFree())
      choices.push_back(0);
    std::map<uint64_t, size_t> places;
    for (auto [place, pattern] : llvm::enumerate(choices))
      places[pattern] = place;
    std::vector<double> scores;
    std::vector<size_t> own;
    for (int64_t first = 0; first < whole; first += perUnit) {
      int64_t count = std::min(perUnit, whole - first);
      auto blockOf = [&](int64_t group, int64_t i) { return firstBlock[layer] + group * perGroup + first + i; };
      std::vector<int64_t> total(choices.size(), 0);
      for (int64_t group = 0; group < groups; ++group)
        for (int64_t i = 0; i < count; ++i)
          ++total[places.at(chosen[blockOf(group, i)])];
      std::vector<int64_t> shares = evenShares(total, groups);
      for (int64_t group = 0; group < groups; ++group) {
        scores.clear();
        own.clear();
        for (int64_t i = 0; i < count; ++i) {
          Positions saliency = saliencyOf(blockOf(group, i));
          for (uint64_t pattern : choices) // As in assign, so that each has its best before.
            scores.push_back(float(sumOf(saliency, pattern)) -
                             price * costOf(llvm::popcount(pattern & blocks[blockOf(group, i)].upper)));
          own.push_back(places.at(chosen[blockOf(group, i)]));
        }
        balanceChoices(scores, shares, own);
        for (int64_t i = 0; i < count; ++i)
          chosen[blockOf(group, i)] = choices[own[i]];
      }
    }
  }

  using ArrayRefOfMeans = const std::array<double, 64> &;

  // Re-estimates each pattern from the mean saliency of its blocks.
  template <typename Estimate> void update(const std::vector<size_t> &some, Estimate estimate) {
    for (uint64_t &pattern : patterns) {
      std::array<double, 64> means{};
      int64_t count = 0;
      for (size_t index : some) {
        if (chosen[index] != pattern)
          continue;
        ++count;
        Positions saliency = saliencyOf(index);
        for (int64_t p = 0; p < positions; ++p)
          means[p] += saliency[p];
      }
      if (count == 0)
        continue;
      for (double &mean : means)
        mean /= count;
      uint64_t estimated = estimate(means);
      // Two patterns must not become one.
      if (estimated != 0 && !llvm::is_contained(patterns, estimated))
        pattern = estimated;
    }
  }

  std::vector<int64_t> largestFirst(ArrayRefOfMeans values) const {
    std::vector<int64_t> order(positions);
    std::iota(order.begin(), order.end(), 0);
    llvm::sort(order, [&](int64_t a, int64_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; });
    return order;
  }

  // The `count` largest positions, but not too many in one row: each row is one
  // accumulator, and a long chain on it makes the kernel wait. If patterns read few inputs, of the best columns.
  uint64_t largest(ArrayRefOfMeans values, int64_t count) const {
    std::vector<int64_t> order = largestFirst(values);
    int64_t inputs = spec.columns;
    if (spec.patternInputs != 0)
      inputs = std::max<int64_t>(spec.patternInputs, llvm::divideCeil(count, spec.rows));
    uint64_t best = 0;
    double bestSum = -1;
    for (uint64_t columns = 0; columns < uint64_t(1) << spec.columns; ++columns) {
      if (llvm::popcount(columns) != std::min(inputs, spec.columns))
        continue;
      uint64_t mask = largestWithin(order, columns, count);
      double sum = 0;
      for (uint64_t left = mask; left; left &= left - 1)
        sum += values[llvm::countr_zero(left)];
      if (sum > bestSum) {
        best = mask;
        bestSum = sum;
      }
    }
    return best;
  }

  // The first `count` of the positions that are in one of `columns`.
  uint64_t largestWithin(llvm::ArrayRef<int64_t> order, uint64_t columns, int64_t count) const {
    std::array<int64_t, 8> inRow{};
    int64_t limit = std::min<int64_t>(spec.columns, llvm::divideCeil(count, spec.rows) + 1);
    uint64_t mask = 0;
    auto takeFrom = [&](uint64_t some, int64_t most) {
      for (int64_t position : order) {
        int64_t &used = inRow[position % spec.rows];
        if (most == 0 || used == limit || !(some >> position / spec.rows & 1) || mask >> position & 1)
          continue;
        mask |= uint64_t(1) << position;
        ++used;
        --count;
        --most;
      }
    };
    // Of gathered blocks each column keeps something: packing leaves out those that do not, and others would take their
    // places in the blocks behind.
    if (isGathered && count >= spec.columns)
      for (int64_t column = 0; column < spec.columns; ++column)
        takeFrom((uint64_t(1) << column) & columns, 1);
    takeFrom(columns, count);
    return mask;
  }

  void learnFixedCount() {
    // Blocks of which nothing may be kept take no share of the budget.
    int64_t possible = llvm::count_if(blocks, [](const Block &block) { return block.upper != 0; });
    if (possible == 0)
      return;
    int64_t budget = std::accumulate(budgets.begin(), budgets.end(), int64_t(0));
    double share = double(budget) / possible;
    int64_t count = std::clamp<int64_t>(std::llround(share), 1, positions);
    // A denser level's patterns: each gets one sub-pattern, so that its blocks
    // still share one loop.
    std::map<uint64_t, std::vector<size_t>> byUpper;
    std::set<uint64_t> upperPatterns; // Of blocks that are not cut off at the layer's end.
    for (auto [i, block] : llvm::enumerate(blocks)) {
      byUpper[block.upper].push_back(i);
      if (allOf(i) == fullPattern())
        upperPatterns.insert(block.upper);
    }
    if (upperPatterns.size() > 1 && byUpper.size() <= 64) {
      for (auto &[upper, members] : byUpper) {
        std::array<double, 64> sums{};
        for (size_t i : members) {
          Positions saliency = saliencyOf(i);
          for (int64_t p = 0; p < positions; ++p)
            sums[p] += saliency[p];
        }
        uint64_t mask = largest(sums, count) & upper;
        for (size_t i : members)
          chosen[i] = mask;
      }
      return;
    }
    std::vector<uint64_t> ideal;
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (!isStart(i))
        continue;
      Positions saliency = saliencyOf(i);
      std::array<double, 64> values{};
      std::copy(saliency.begin(), saliency.end(), values.begin());
      ideal.push_back(largest(values, count));
    }
    if (ideal.empty()) // No block was drawn.
      ideal.push_back(largest({}, count));
    patterns = mostFrequent(ideal, spec.patternCount);
    std::vector<size_t> all(blocks.size());
    std::iota(all.begin(), all.end(), 0);
    for (int turn = 0; turn < kTurns; ++turn) {
      for (size_t i = 0; i < blocks.size(); ++i) {
        double best = -1;
        Positions saliency = saliencyOf(i);
        for (uint64_t pattern : patterns)
          if (double sum = sumOf(saliency, pattern); sum > best) {
            best = sum;
            chosen[i] = pattern;
          }
      }
      if (turn + 1 < kTurns)
        update(all, [&](ArrayRefOfMeans means) { return largest(means, count); });
    }
    for (size_t layer = 0; spec.isBalanced && layer < layers.size(); ++layer)
      balance(layer, 0);
  }

  const std::vector<PatternLayer> &layers;
  const LevelSpec &spec;
  bool isGathered;
  int64_t positions;
  std::vector<Block> blocks;      // Layer after layer.
  std::vector<int32_t> inputsOf;  // `columns` per block; -1 behind the last input.
  std::vector<float> units;       // Per layer: 1 / mean saliency.
  std::vector<size_t> firstBlock; // Per layer, and the end.
  std::vector<int64_t> budgets;   // Weights to keep, per layer.
  double highest = 0;             // Saliency.
  int64_t leastCost;              // Of a pattern that keeps anything.
  std::vector<uint64_t> patterns;
  struct Gain {
    float saliency;
    int32_t count;
  };
  std::vector<Gain> gains;      // [measured block][pattern]
  std::vector<uint64_t> chosen; // Per block.
};

} // namespace

std::vector<Mask> mlir::rt3::prunePatterns(const std::vector<PatternLayer> &layers, const LevelSpec &spec,
                                           bool gathered) {
  return PatternLearner(layers, spec, gathered).learn();
}

void mlir::rt3::forEachBlockMask(const Saliency &layer, const LevelSpec &spec, const Mask &mask, const Mask *without,
                                 const std::function<void(uint64_t)> &body) {
  auto isKept = [&](int64_t input, int64_t output) {
    size_t i = input * layer.outputs + output;
    return mask[i] && !(without && (*without)[i]);
  };
  for (int64_t group = 0; group + spec.rows <= layer.outputs; group += spec.rows)
    for (int64_t first = 0; first + spec.columns <= layer.inputs; first += spec.columns) {
      uint64_t kept = 0;
      for (int64_t p = 0; p < spec.rows * spec.columns; ++p)
        kept |= uint64_t(isKept(first + p / spec.rows, group + p % spec.rows)) << p;
      if (kept)
        body(kept);
    }
}
