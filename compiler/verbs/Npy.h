// SPDX-License-Identifier: Apache-2.0
//
// NumPy's .npy files of the element types that models have.

#ifndef RT3_COMPILER_VERBS_NPY_H
#define RT3_COMPILER_VERBS_NPY_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace mlir::rt3 {

struct NpyArray {
  uint32_t elementType = 0; // rt3_element_type_t.
  std::vector<int64_t> shape;
  std::string bytes; // Row-major, little-endian.
};

// What files begin with.
inline constexpr llvm::StringLiteral kNpyMagic = "\x93NUMPY";

// "int64", of an rt3_element_type_t.
llvm::StringRef elementName(uint32_t elementType);

// Errors: not .npy, Fortran order, another element type, truncated.
llvm::Expected<NpyArray> parseNpy(llvm::StringRef bytes);
std::string writeNpy(const NpyArray &array);

} // namespace mlir::rt3

#endif // RT3_COMPILER_VERBS_NPY_H
