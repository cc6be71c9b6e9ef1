// SPDX-License-Identifier: Apache-2.0
//
// Operators on shapes, and those that only move elements. Where integers are
// known, they are computed while importing.

#ifndef RT3_COMPILER_ONNX_IMPORTSHAPES_H
#define RT3_COMPILER_ONNX_IMPORTSHAPES_H

#include "compiler/onnx/Importer.h"

namespace mlir::rt3::onnx {

// These report what does not fit and return null.
mlir::Value reshape(Node &node, mlir::Value x, ArrayRef<Size> shape);
mlir::Value transpose(Node &node, mlir::Value x, ArrayRef<int64_t> permutation);

// Whether the node could be computed from known integers; then it has been.
bool foldBinary(Node &node, graph::BinaryKind kind);
bool foldWhere(Node &node);
bool foldCast(Node &node, int32_t elementType);

LogicalResult importConcat(Node &node);
LogicalResult importConstant(Node &node);
LogicalResult importConstantOfShape(Node &node);
LogicalResult importExpand(Node &node);
LogicalResult importFlatten(Node &node);
LogicalResult importGather(Node &node);
LogicalResult importIdentity(Node &node);
LogicalResult importRange(Node &node);
LogicalResult importReshape(Node &node);
LogicalResult importShape(Node &node);
LogicalResult importSize(Node &node);
LogicalResult importSlice(Node &node);
LogicalResult importSplit(Node &node);
LogicalResult importSqueeze(Node &node);
LogicalResult importTranspose(Node &node);
LogicalResult importUnsqueeze(Node &node);

} // namespace mlir::rt3::onnx

#endif // RT3_COMPILER_ONNX_IMPORTSHAPES_H
