// SPDX-License-Identifier: Apache-2.0
//
// Products of matrices in double precision, which take most of the interpreter's time.

#ifndef RT3_COMPILER_INTERPRETER_PRODUCTS_H
#define RT3_COMPILER_INTERPRETER_PRODUCTS_H

#include <cstdint>

namespace mlir::rt3 {

// out [m][n] = a [m][k] times b [k][n], which do not overlap. Each sum is over k, one product after the other, so that
// results are the same on every machine.
void multiply(double *__restrict out, const double *__restrict a, const double *__restrict b, int64_t m, int64_t n,
              int64_t k);

} // namespace mlir::rt3

#endif // RT3_COMPILER_INTERPRETER_PRODUCTS_H
