// SPDX-License-Identifier: Apache-2.0
//
// How good predictions are, with confidence intervals.

#ifndef RT3_COMPILER_DATA_METRICS_H
#define RT3_COMPILER_DATA_METRICS_H

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::rt3 {

enum class Task { Classification, Regression, Similarity, LanguageModel };

// What became of one example.
struct Outcome {
  double prediction = 0; // A class, a number; of language models the sum of -ln p.
  double label = 0;      // Of language models the number of tokens predicted.
};

struct Metric {
  std::string name;
  bool isBetterHigher;
  // NaN where it is not defined, as a correlation with a constant. `classes` of a classification;
  // others do not look at it.
  double (*compute)(llvm::ArrayRef<Outcome> outcomes, int64_t classes);
};

// Classification: accuracy; F1 of class 1 where there are two classes, else the mean over
// classes; Matthews' correlation (for more classes as Gorodkin, 2004). Regression and
// similarity: Spearman (equal values share their mean rank), Pearson. Language models: bits
// per token, which is bits per byte where tokens are bytes; perplexity. The first is the one
// that choices go by.
llvm::ArrayRef<Metric> metricsOf(Task task);

struct Interval {
  double low, high;
};

// The 2.5th and 97.5th percentile of `metric` over `count` samples of the outcomes with
// replacement (Efron's percentile bootstrap), the same for the same seed. With `reference`,
// outcomes of the same examples: of the difference to it, both drawn alike.
Interval bootstrap(const Metric &metric, llvm::ArrayRef<Outcome> outcomes, llvm::ArrayRef<Outcome> reference,
                   int64_t classes, uint64_t seed, int count = 1000);

} // namespace mlir::rt3

#endif // RT3_COMPILER_DATA_METRICS_H
