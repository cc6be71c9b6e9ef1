// SPDX-License-Identifier: Apache-2.0
//
// The options of rt3c search.

#ifndef RT3_COMPILER_SEARCH_SEARCHOPTIONS_H
#define RT3_COMPILER_SEARCH_SEARCHOPTIONS_H

#include "compiler/CommandLine.h"
#include "compiler/search/LevelEvaluator.h"

namespace mlir::rt3 {

struct SearchVerb {
  LevelEvaluatorOptions evaluator;
  std::string limit, out = "searched", method = "evolution", plan, reference, denseType;
  std::vector<int64_t> clocks;
  int64_t levels = 3, budget = 200, processes = 0, repeats = 1;
  double minDensity = 0.25;
  uint64_t seed = 1;
};

void addSearchOptions(CLI::App &app, SearchVerb &verb);

} // namespace mlir::rt3

#endif // RT3_COMPILER_SEARCH_SEARCHOPTIONS_H
