// SPDX-License-Identifier: Apache-2.0

#include "compiler/interpreter/HostTensor.h"

#include "dialects/graph/Graph.h"

#include <cstring>

using namespace mlir;
using namespace mlir::rt3;

int64_t HostTensor::count() const {
  int64_t product = 1;
  for (int64_t size : shape)
    product *= size;
  return product;
}

HostTensor mlir::rt3::toHostTensor(ElementsAttr elements) {
  HostTensor tensor{elements.getShapedType().getShape().vec(), {}};
  Type type = elements.getElementType();
  int64_t count = elements.getNumElements();
  tensor.elements.reserve(count);
  if (type.isInteger(1)) {
    for (bool element : elements.getValues<bool>())
      tensor.elements.push_back(element);
    return tensor;
  }
  ArrayRef<char> raw = graph::rawBytes(elements);
  size_t size = type.getIntOrFloatBitWidth() / 8;
  bool isSplat = raw.size() == size;
  auto append = [&]<typename T>(T value) {
    for (int64_t i = 0; i < count; ++i) {
      memcpy(&value, raw.data() + (isSplat ? 0 : i * size), size);
      tensor.elements.push_back(value);
    }
  };
  if (type.isF32())
    append(float());
  else if (type.isInteger(64))
    append(int64_t());
  else if (type.isInteger(32))
    append(int32_t());
  else
    append(int8_t());
  return tensor;
}
