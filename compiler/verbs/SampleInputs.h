// SPDX-License-Identifier: Apache-2.0
//
// Inputs for timing and comparing, when a user gives none.

#ifndef RT3_COMPILER_VERBS_SAMPLEINPUTS_H
#define RT3_COMPILER_VERBS_SAMPLEINPUTS_H

#include "compiler/verbs/LoadedModel.h"

namespace mlir::rt3 {

// Values of every element as a double: integers small enough for any table
// (masks all ones), floats from a fixed generator.
std::vector<double> sampleElements(const rt3_tensor_t &tensor, int64_t length, uint32_t seed);

// The elements in the type of the tensor.
AlignedMemory toMemory(const rt3_tensor_t &tensor, const std::vector<double> &elements);
std::vector<double> fromMemory(const rt3_tensor_t &tensor, const void *memory, int64_t length);

} // namespace mlir::rt3

#endif // RT3_COMPILER_VERBS_SAMPLEINPUTS_H
