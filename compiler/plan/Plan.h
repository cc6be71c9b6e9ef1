// SPDX-License-Identifier: Apache-2.0
//
// A plan: which weights every level of a model keeps, and their values. What rt3c prune
// writes and rt3c compile takes; README.md has the files' layout.

#ifndef RT3_COMPILER_PLAN_PLAN_H
#define RT3_COMPILER_PLAN_PLAN_H

#include "compiler/prune/Levels.h"
#include "compiler/prune/Masks.h"
#include "dialects/graph/Quantize.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::rt3 {

// One layer at one level.
struct PlannedLevel {
  Scheme scheme = Scheme::Dense;
  std::string reason;        // Why it is dense.
  int64_t rows = 8;          // Of block pruning: outputs that keep the same inputs; 1: no structure.
  size_t patternSet = 0;     // Of patterns: which.
  Mask mask;                 // [K][N]; empty: dense.
  std::vector<float> values; // [K][N], 0 where the mask is; empty: the layer's values.
  std::vector<float> bias;   // [N]; empty: the model's.
};

struct PlannedLayer {
  std::string name;
  int64_t inputs = 0, outputs = 0; // K, N.
  std::string weightsHash;         // Of the model's weights, as layers of the plan's type multiply them.
  std::vector<float> values;       // [K][N] of all pruned levels, if those are nested; empty: the model's.
  // Of a layer whose outputs are hidden units: which of the model's is in each place; empty: as
  // they are. All else of a plan is in this order.
  std::vector<int32_t> order;
  std::vector<PlannedLevel> levels;
};

struct PlannedPatterns {
  std::string name;
  int64_t rows = 0, columns = 0; // Of a block: outputs x inputs.
  std::vector<int64_t> patterns; // Bit c * rows + r.
};

struct Plan {
  std::string model, precision = "f32"; // The file, and what layers multiply: f32 or a precision.
  graph::PruningUnit unit;              // What masks keep or drop together.
  LevelPlan levels;
  std::vector<PlannedPatterns> patternSets;
  std::vector<PlannedLayer> layers;
};

// Of the format that is written; 1, without biases, is read too.
inline constexpr int64_t kPlanVersion = 2;

// The files of a plan's folder.
inline constexpr llvm::StringLiteral kPlanJson = "plan.json", kPlanWeights = "plan.weights";

// What a module that has been pruned to `levels` says.
Plan planOf(ModuleOp module, const LevelPlan &levels);

// The share of all weights that a level keeps.
double keptShare(const Plan &plan, size_t level);
// Of one layer.
double keptShare(const PlannedLayer &layer, size_t level);

// The two files; equal plans give equal bytes.
std::pair<std::string, std::string> writePlan(const Plan &plan);

// Reads the two files. Errors say which field or place is wrong.
llvm::Expected<Plan> readPlan(llvm::StringRef json, llvm::StringRef weights);

// Gives the layers of a fused module, not pruned yet, what the plan says; layers that it
// does not name stay dense. Hidden units are put in the plan's order. `isSameType`: layers multiply what the plan says.
// Errors: layers that the model does not have, in another shape, or of that type with other weights.
llvm::Error applyPlan(ModuleOp module, const Plan &plan, bool isSameType);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PLAN_PLAN_H
