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
// Activations that are quantised at run time, and products with them: each becomes
// one int8 layer, quantised per token as rt3_graph.linear says.
LogicalResult importDynamicQuantizeLinear(Node &node);
LogicalResult importQuantizeLinear(Node &node);
LogicalResult importMatMulInteger(Node &node);
// Whether the node multiplied or cast a part of a quantised product; then its result
// is set, or what does not fit is reported.
std::optional<LogicalResult> foldQuantizedMul(Node &node);
std::optional<LogicalResult> foldQuantizedCast(Node &node, int32_t elementType);
// The layer that a part has become; null (and reported) if it is none yet.
mlir::Value finishProduct(const Node &node, const Tensor &tensor);
// x W as an int8 layer, for x that went through int8.
mlir::Value int8Linear(const Node &node, mlir::Value x, mlir::Value weights);
LogicalResult importMatMulNBits(Node &node);

} // namespace mlir::rt3::onnx

#endif // RT3_COMPILER_ONNX_IMPORTOPS_H
