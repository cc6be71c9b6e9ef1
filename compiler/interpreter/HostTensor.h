// SPDX-License-Identifier: Apache-2.0

#ifndef RT3_COMPILER_INTERPRETER_HOSTTENSOR_H
#define RT3_COMPILER_INTERPRETER_HOSTTENSOR_H

#include "mlir/IR/BuiltinAttributeInterfaces.h"

#include <vector>

namespace mlir::rt3 {

// A tensor of numbers. Floats are computed in double or rounded to float after
// every operation; integers and booleans are held exactly up to 2^53.
struct HostTensor {
  std::vector<int64_t> shape;
  std::vector<double> elements; // Row-major.

  int64_t count() const;
};

// The elements of a constant.
HostTensor toHostTensor(ElementsAttr elements);

} // namespace mlir::rt3

#endif // RT3_COMPILER_INTERPRETER_HOSTTENSOR_H
