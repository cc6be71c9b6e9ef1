// SPDX-License-Identifier: Apache-2.0

#include "compiler/data/Metrics.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

using namespace mlir::rt3;
using llvm::ArrayRef;

static constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

static double accuracy(ArrayRef<Outcome> outcomes, int64_t) {
  double right = llvm::count_if(outcomes, [](const Outcome &o) { return o.prediction == o.label; });
  return right / outcomes.size();
}

namespace {
// Row: label, column: prediction.
struct Confusion {
  Confusion(ArrayRef<Outcome> outcomes, int64_t classes) : classes(classes) {
    counts.assign(classes * classes, 0);
    for (const Outcome &o : outcomes)
      ++counts[int64_t(o.label) * classes + int64_t(o.prediction)];
  }
  double at(int64_t label, int64_t prediction) const { return counts[label * classes + prediction]; }
  double labelled(int64_t c) const {
    double sum = 0;
    for (int64_t i = 0; i < classes; ++i)
      sum += at(c, i);
    return sum;
  }
  double predicted(int64_t c) const {
    double sum = 0;
    for (int64_t i = 0; i < classes; ++i)
      sum += at(i, c);
    return sum;
  }

  int64_t classes;
  std::vector<double> counts;
};
} // namespace

static double f1(ArrayRef<Outcome> outcomes, int64_t classes) {
  Confusion confusion(outcomes, classes);
  auto of = [&](int64_t c) {
    double all = confusion.labelled(c) + confusion.predicted(c);
    return all == 0 ? 0 : 2 * confusion.at(c, c) / all;
  };
  if (confusion.classes == 2)
    return of(1);
  double sum = 0;
  for (int64_t c = 0; c < confusion.classes; ++c)
    sum += of(c);
  return sum / confusion.classes;
}

static double matthews(ArrayRef<Outcome> outcomes, int64_t classes) {
  Confusion confusion(outcomes, classes);
  double count = outcomes.size(), right = 0, cross = 0, predicted = 0, labelled = 0;
  for (int64_t c = 0; c < confusion.classes; ++c) {
    double p = confusion.predicted(c), t = confusion.labelled(c);
    right += confusion.at(c, c);
    cross += p * t;
    predicted += p * p;
    labelled += t * t;
  }
  double scale = std::sqrt((count * count - predicted) * (count * count - labelled));
  return scale == 0 ? 0 : (right * count - cross) / scale;
}

static double correlation(ArrayRef<double> a, ArrayRef<double> b) {
  double count = a.size(), meanA = std::accumulate(a.begin(), a.end(), 0.0) / count,
         meanB = std::accumulate(b.begin(), b.end(), 0.0) / count;
  double ab = 0, aa = 0, bb = 0;
  for (auto [x, y] : llvm::zip_equal(a, b)) {
    ab += (x - meanA) * (y - meanB);
    aa += (x - meanA) * (x - meanA);
    bb += (y - meanB) * (y - meanB);
  }
  return aa == 0 || bb == 0 ? kUndefined : ab / std::sqrt(aa * bb);
}

static std::pair<std::vector<double>, std::vector<double>> split(ArrayRef<Outcome> outcomes) {
  std::pair<std::vector<double>, std::vector<double>> result;
  for (const Outcome &o : outcomes) {
    result.first.push_back(o.prediction);
    result.second.push_back(o.label);
  }
  return result;
}

static double pearson(ArrayRef<Outcome> outcomes, int64_t) {
  auto [predictions, labels] = split(outcomes);
  return correlation(predictions, labels);
}

// Ranks from 1; equal values share their mean.
static std::vector<double> ranks(const std::vector<double> &values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  llvm::sort(order, [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (size_t i = 0, end; i < order.size(); i = end) {
    for (end = i + 1; end < order.size() && values[order[end]] == values[order[i]];)
      ++end;
    for (size_t j = i; j < end; ++j)
      result[order[j]] = (double(i) + double(end) + 1) / 2;
  }
  return result;
}

static double spearman(ArrayRef<Outcome> outcomes, int64_t) {
  auto [predictions, labels] = split(outcomes);
  return correlation(ranks(predictions), ranks(labels));
}

static double natsPerToken(ArrayRef<Outcome> outcomes) {
  double nats = 0, tokens = 0;
  for (const Outcome &o : outcomes) {
    nats += o.prediction;
    tokens += o.label;
  }
  return nats / tokens;
}
static double bitsPerToken(ArrayRef<Outcome> outcomes, int64_t) { return natsPerToken(outcomes) / std::log(2.0); }
static double perplexity(ArrayRef<Outcome> outcomes, int64_t) { return std::exp(natsPerToken(outcomes)); }

ArrayRef<Metric> mlir::rt3::metricsOf(Task task) {
  static const std::vector<Metric> kClassification = {
      {"accuracy", true, accuracy}, {"F1", true, f1}, {"Matthews", true, matthews}};
  static const std::vector<Metric> kNumbers = {{"Spearman", true, spearman}, {"Pearson", true, pearson}};
  static const std::vector<Metric> kText = {{"bits per token", false, bitsPerToken}, {"perplexity", false, perplexity}};
  return task == Task::Classification ? kClassification : task == Task::LanguageModel ? kText : kNumbers;
}

Interval mlir::rt3::bootstrap(const Metric &metric, ArrayRef<Outcome> outcomes, ArrayRef<Outcome> reference,
                              int64_t classes, uint64_t seed, int count) {
  assert(reference.empty() || reference.size() == outcomes.size());
  std::mt19937_64 random(seed);
  std::vector<double> values;
  std::vector<Outcome> drawn(outcomes.size()), drawnReference(reference.size());
  for (int i = 0; i < count; ++i) {
    for (size_t j = 0; j < outcomes.size(); ++j) {
      // Not std::uniform_int_distribution, which libraries implement differently.
      size_t at = random() % outcomes.size();
      drawn[j] = outcomes[at];
      if (!reference.empty())
        drawnReference[j] = reference[at];
    }
    double value = metric.compute(drawn, classes) - (reference.empty() ? 0 : metric.compute(drawnReference, classes));
    if (std::isfinite(value))
      values.push_back(value);
  }
  if (values.empty())
    return {kUndefined, kUndefined};
  llvm::sort(values);
  auto at = [&](double share) { return values[std::min(values.size() - 1, size_t(share * values.size()))]; };
  return {at(0.025), at(0.975)};
}
