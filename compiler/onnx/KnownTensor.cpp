// SPDX-License-Identifier: Apache-2.0

#include "compiler/onnx/KnownTensor.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir::rt3::onnx;

std::optional<int64_t> mlir::rt3::onnx::smallCount(llvm::ArrayRef<Size> shape) {
  int64_t count = 1;
  for (Size size : shape) {
    if (!size.isStatic() || size.constant < 0 || llvm::MulOverflow(count, size.constant, count) || count > kMaxKnown)
      return std::nullopt;
  }
  return count;
}

void mlir::rt3::onnx::forEachOffset(llvm::ArrayRef<Size> shape, llvm::ArrayRef<int64_t> strides,
                                    llvm::function_ref<void(int64_t)> body) {
  int64_t count = *smallCount(shape);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, offset = 0;
    for (int64_t axis = shape.size() - 1; axis >= 0; --axis) {
      offset += rest % shape[axis].constant * strides[axis];
      rest /= shape[axis].constant;
    }
    body(offset);
  }
}

std::vector<int64_t> mlir::rt3::onnx::broadcastStrides(const Tensor &tensor, size_t rank) {
  std::vector<int64_t> strides(rank, 0);
  int64_t stride = 1;
  for (int64_t axis = tensor.rank() - 1; axis >= 0; --axis) {
    int64_t size = tensor.shape[axis].constant;
    strides[rank - tensor.rank() + axis] = size == 1 ? 0 : stride;
    stride *= size;
  }
  return strides;
}

std::vector<int64_t> mlir::rt3::onnx::rowMajorStrides(llvm::ArrayRef<Size> shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (int64_t axis = int64_t(shape.size()) - 2; axis >= 0; --axis)
    strides[axis] = strides[axis + 1] * shape[axis + 1].constant;
  return strides;
}

Tensor mlir::rt3::onnx::knownTensor(int32_t elementType, llvm::ArrayRef<Size> shape, std::vector<Size> elements) {
  Tensor tensor;
  tensor.isKnown = true;
  tensor.known = std::move(elements);
  tensor.elementType = elementType;
  tensor.shape = shape.vec();
  return tensor;
}

std::vector<Size> mlir::rt3::onnx::broadcastElements(const Tensor &tensor, llvm::ArrayRef<Size> shape) {
  std::vector<Size> result;
  forEachOffset(shape, broadcastStrides(tensor, shape.size()),
                [&](int64_t offset) { result.push_back(tensor.known[offset]); });
  return result;
}
