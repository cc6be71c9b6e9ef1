// SPDX-License-Identifier: Apache-2.0

#include "compiler/verbs/SampleInputs.h"

#include "llvm/ADT/StringRef.h"

#include <cstring>
#include <random>

using namespace mlir::rt3;

std::vector<double> mlir::rt3::sampleElements(const rt3_tensor_t &tensor, int64_t length, uint32_t seed) {
  std::mt19937 generator(seed);
  size_t count = tensorSize(tensor, length) / elementSize(tensor.element_type);
  std::vector<double> elements(count);
  bool isMask = llvm::StringRef(tensor.name).contains("mask");
  bool isType = llvm::StringRef(tensor.name).contains("type");
  for (double &element : elements) {
    uint32_t number = generator();
    if (tensor.element_type == RT3_FLOAT32)
      element = float(number / 4294967296.0 * 2 - 1);
    else
      element = isMask ? 1 : isType ? 0 : tensor.element_type == RT3_BOOL ? number % 2 : number % 128;
  }
  return elements;
}

template <typename T> static void convert(const std::vector<double> &from, void *to) {
  for (size_t i = 0; i < from.size(); ++i)
    static_cast<T *>(to)[i] = T(from[i]);
}

AlignedMemory mlir::rt3::toMemory(const rt3_tensor_t &tensor, const std::vector<double> &elements) {
  AlignedMemory memory = allocateAligned(elements.size() * elementSize(tensor.element_type));
  switch (tensor.element_type) {
  case RT3_FLOAT32:
    convert<float>(elements, memory.get());
    break;
  case RT3_INT64:
    convert<int64_t>(elements, memory.get());
    break;
  case RT3_INT32:
    convert<int32_t>(elements, memory.get());
    break;
  default:
    convert<uint8_t>(elements, memory.get());
  }
  return memory;
}

template <typename T> static std::vector<double> read(const void *memory, size_t count) {
  const T *begin = static_cast<const T *>(memory);
  return std::vector<double>(begin, begin + count);
}

std::vector<double> mlir::rt3::fromMemory(const rt3_tensor_t &tensor, const void *memory, int64_t length) {
  size_t count = tensorSize(tensor, length) / elementSize(tensor.element_type);
  switch (tensor.element_type) {
  case RT3_FLOAT32:
    return read<float>(memory, count);
  case RT3_INT64:
    return read<int64_t>(memory, count);
  case RT3_INT32:
    return read<int32_t>(memory, count);
  default:
    return read<uint8_t>(memory, count);
  }
}
