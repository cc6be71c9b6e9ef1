// SPDX-License-Identifier: Apache-2.0
//
// Elementary functions as polynomials on f32 scalars or vectors, so that the
// generated code needs no libm. Errors are those of tests/codegen's comparison
// with double precision.

#ifndef RT3_CODEGEN_LOOPS_VECTORMATH_H
#define RT3_CODEGEN_LOOPS_VECTORMATH_H

#include "codegen/loops/LoopBuilder.h"
#include "dialects/kernel/Kernel.h"

namespace mlir::rt3 {

// exp for x in [-87.3365, 88.7228], relative error at most 3.1e-7 (1.3e-7 for |x| up to 20); x outside is moved
// to the nearest bound, so the result is never 0, infinite or NaN; what NaN gives is for the caller to hide. For
// softmax: with `isNegative`, x must be at most 0 or NaN, and is not bounded from above.
Value buildBoundedExp(LoopBuilder &b, Value x, bool isNegative = false);

// The function of one to three operands of equal f32, integer or i1 type
// (scalar or vector). NaN gives NaN; exp overflows to infinity. Absolute errors
// of erf, tanh, gelu and sigmoid are below 5e-7 (gelu, silu: times |x|), those of sin
// and cos below 1e-6 for angles up to 8192; larger ones lose bits, and from 2^22 on
// all are taken for 2^22.
// `resultElement` is the element type that cast goes to.
Value buildFunction(LoopBuilder &b, kernel::Function function, ValueRange operands, Type resultElement);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_LOOPS_VECTORMATH_H
