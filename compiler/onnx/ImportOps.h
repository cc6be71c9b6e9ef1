// SPDX-License-Identifier: Apache-2.0
//
// What functions of operators on data share. Private to this folder.

#ifndef RT3_COMPILER_ONNX_IMPORTOPS_H
#define RT3_COMPILER_ONNX_IMPORTOPS_H

#include "compiler/onnx/Importer.h"

namespace mlir::rt3::onnx {

// The SSA value of operand i; null (and reported) if there is none.
mlir::Value operand(Node &node, size_t i);

// lhs x rhs over broadcast batches; null (and reported) if they do not fit.
mlir::Value matmul(Node &node, mlir::Value lhs, mlir::Value rhs);

// Sets the node's first result; fails for null.
LogicalResult finish(Node &node, mlir::Value result);

// Weights that are stored as integers (ImportQuantized.cpp).
LogicalResult importDequantizeLinear(Node &node);
LogicalResult importMatMulNBits(Node &node);

} // namespace mlir::rt3::onnx

#endif // RT3_COMPILER_ONNX_IMPORTOPS_H
