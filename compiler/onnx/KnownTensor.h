// SPDX-License-Identifier: Apache-2.0
//
// Tensors of integers that are known while importing: walking and making them.

#ifndef RT3_COMPILER_ONNX_KNOWNTENSOR_H
#define RT3_COMPILER_ONNX_KNOWNTENSOR_H

#include "compiler/onnx/Importer.h"

namespace mlir::rt3::onnx {

// Known tensors larger than this are not worth folding: they are data.
inline constexpr int64_t kMaxKnown = 4096; // Elements.

// The number of elements if all sizes are static and it is at most kMaxKnown.
std::optional<int64_t> smallCount(llvm::ArrayRef<Size> shape);

// Walks all indices of a small shape in order with the offset that `strides`
// give.
void forEachOffset(llvm::ArrayRef<Size> shape, llvm::ArrayRef<int64_t> strides, llvm::function_ref<void(int64_t)> body);

// Strides of a row-major tensor when it is broadcast to `rank` axes; 0 where it
// repeats.
std::vector<int64_t> broadcastStrides(const Tensor &tensor, size_t rank);

std::vector<int64_t> rowMajorStrides(llvm::ArrayRef<Size> shape);

// A tensor whose elements are known.
Tensor knownTensor(int32_t elementType, llvm::ArrayRef<Size> shape, std::vector<Size> elements);

// The elements of a known tensor under the shape that it is broadcast to.
std::vector<Size> broadcastElements(const Tensor &tensor, llvm::ArrayRef<Size> shape);

} // namespace mlir::rt3::onnx

#endif // RT3_COMPILER_ONNX_KNOWNTENSOR_H
