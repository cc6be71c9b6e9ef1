// SPDX-License-Identifier: Apache-2.0
//
// levels.json: which levels a model is prepared for, and how each is pruned.

#ifndef RT3_COMPILER_PRUNE_LEVELS_H
#define RT3_COMPILER_PRUNE_LEVELS_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <string>
#include <vector>

namespace mlir::rt3 {

enum class Scheme { Dense, Block, Pattern, BlockPattern };

// The name of a scheme in files and reports: dense, bp, pp, bp+pp.
llvm::StringRef schemeName(Scheme scheme);

// How many weights a pattern keeps: any number, as many as all others, or not said: any number of a
// block of one column.
enum class KeptCount { Default, Free, Fixed };

// What the weights that stay look like.
struct Layout {
  Scheme scheme = Scheme::Dense;
  int64_t groupRows = 8; // Of block pruning: outputs that keep the same inputs.
  // Blocks of patterns, outputs x inputs, and how many patterns a set has.
  int64_t rows = 8, columns = 1, patternCount = 16;
  // Inputs of a block that a pattern of a fixed count reads, at most, unless it keeps more weights than those have; 0:
  // any. What an input is loaded for are then more weights.
  int64_t patternInputs = 0;
  bool isSetShared = true; // By all layers; else each has its own.
  KeptCount kept = KeptCount::Default;
  // Which blocks the search for patterns starts from: 0: all, else a quarter of them, another
  // for each number.
  int64_t patternSample = 0;
  // Every group of outputs has each pattern as often as the others, in each kBalancedInputs (Quantize.h) inputs, under
  // bp+pp in all of them: a processor then foresees where the loops of patterns end.
  bool isBalanced = false;

  // Under bp+pp, groups have as many blocks, of inputs of their own; of one column, those that are kept are few.
  bool canBeBalanced() const { return scheme == Scheme::Pattern || (scheme == Scheme::BlockPattern && columns > 1); }
  bool hasPatterns() const { return scheme == Scheme::Pattern || scheme == Scheme::BlockPattern; }
  // Patterns that keep any number of weights, under the budget of a layer.
  bool isCountFree() const { return kept == KeptCount::Free || (kept == KeptCount::Default && columns == 1); }
};

// Layers with a layout of their own.
struct NamedLayout {
  std::vector<std::string> names; // `*` at the end for any rest.
  Layout layout;
};

struct LevelSpec : Layout {
  std::string name;
  int64_t frequencyKhz = 0, voltageUv = 0, powerMw = 0; // 0: unknown.
  double density = 1;                                   // Kept linear weights, over 0 up to 1.
  // The density is a share of the dense layers' predicted time instead: somewhat more than that of weights,
  // in whose place it stands where that need not be exact (order of hidden units, sensitivity).
  bool isTime = false;
  std::vector<NamedLayout> layers = {}; // The first that has a layer's name; others have the level's own.
};

struct LevelPlan {
  std::vector<LevelSpec> levels; // Slowest clock first.
  bool isNested = false;
  // Whether calibration gives each level biases of its own.
  bool hasOwnBiases = true;
  // Layers with fewer weights take too little time for pruning to matter.
  int64_t minWeights = 4096;
  std::vector<std::string> denseLayers; // Names, `*` at the end for any rest.
};

// All schemes of a level, its own first, then those of layers that it names: "bp/pp".
std::string schemeNames(const LevelSpec &level);

// The least density of the levels that prune; 1 if none does.
double sparsestDensity(const LevelPlan &plan);

// Why a level cannot have a name; empty if it can.
std::string levelNameFault(llvm::StringRef name);

// The text of levels.json for a plan.
llvm::json::Object levelsJson(const LevelPlan &plan);

// Parses JSON that is not trusted: what is nested so deeply that parsing it would take
// all of the stack is an error too.
llvm::Expected<llvm::json::Value> parseJson(llvm::StringRef text);

// Reads levels.json. An error lists all faults, each with its place.
llvm::Expected<LevelPlan> parseLevels(llvm::StringRef json);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_LEVELS_H
