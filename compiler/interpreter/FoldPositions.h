// SPDX-License-Identifier: Apache-2.0
//
// What depends on nothing but the position of tokens (rotary angles, causal masks)
// becomes a table.

#ifndef RT3_COMPILER_INTERPRETER_FOLDPOSITIONS_H
#define RT3_COMPILER_INTERPRETER_FOLDPOSITIONS_H

#include "compiler/interpreter/FoldConstants.h"

namespace mlir::rt3 {

// Replaces values that are computed from rt3_graph.iota and constants alone by a
// table for `count` positions: gathered by position if one axis is free, cut to
// length if two are. Stops at `limits`.
void foldPositions(ModuleOp module, int64_t count, FoldLimits &limits);

} // namespace mlir::rt3

#endif // RT3_COMPILER_INTERPRETER_FOLDPOSITIONS_H
