// SPDX-License-Identifier: Apache-2.0
//
// Choices that are made a given number of times.

#ifndef RT3_COMPILER_PRUNE_BALANCE_H
#define RT3_COMPILER_PRUNE_BALANCE_H

#include "llvm/ADT/ArrayRef.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mlir::rt3 {

// `total` divided by `parts`, element by element, rounded so that the sum is that of `total` divided by `parts`, which
// must be whole: the largest remainders are rounded up, ties by place.
std::vector<int64_t> evenShares(llvm::ArrayRef<int64_t> total, int64_t parts);

// Changes `choices`, one per item, so that choice c is made counts[c] times, at the least loss of the sum of their
// scores, `scores[item * counts.size() + choice]`. Each item must have its best choice before, and the counts must add
// up to the items.
//
// Successive shortest paths (Ahuja, Magnanti, Orlin, Network Flows, 9.7): while a choice is made too often, an item of
// it goes over to another one, and so on along the cheapest path to a choice that is made too seldom.
void balanceChoices(llvm::ArrayRef<double> scores, llvm::ArrayRef<int64_t> counts,
                    llvm::MutableArrayRef<size_t> choices);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_BALANCE_H
