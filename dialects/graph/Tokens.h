// SPDX-License-Identifier: Apache-2.0
//
// What an op does to tokens, the free dimension: whether each token of its result
// can be computed when no other is there.

#ifndef RT3_DIALECTS_GRAPH_TOKENS_H
#define RT3_DIALECTS_GRAPH_TOKENS_H

#include "dialects/graph/Graph.h"

namespace mlir::rt3::graph {

// The axis that is free; -1 if none is, nothing if several are.
std::optional<int64_t> freeAxis(Value value);

// Whether token i of the op's result depends on nothing but token i of its operands
// (and on i itself, of iota). An op without tokens in result and operands is.
// Attention never is.
bool isTokenwise(Operation *op);

} // namespace mlir::rt3::graph

#endif // RT3_DIALECTS_GRAPH_TOKENS_H
