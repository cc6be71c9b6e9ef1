// SPDX-License-Identifier: Apache-2.0
//
// Operators whose weights are stored as integers: they become f32 here.

#include "compiler/onnx/ImportOps.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::rt3;
using namespace mlir::rt3::onnx;

// y = x W with W [N][K / block][block / 2 bytes] of 4-bit numbers, one scale and
// zero point per block. Other widths are refused.
LogicalResult mlir::rt3::onnx::importMatMulNBits(Node &node) {
  Importer &importer = node.importer;
  int64_t k = node.integer("K", 0), n = node.integer("N", 0), block = node.integer("block_size", 0);
  if (node.integer("bits", 4) != 4 || k < 1 || n < 1 || block < 16 || block > 4096 || !llvm::isPowerOf2_64(block) ||
      k > kMaxFileSize / n)
    return node.unsupported("its bits, K, N or block_size are not supported: 4 bits and blocks of 16 to 4096 are");
  for (size_t i : {4, 5})
    if (node.has(i))
      return node.unsupported("a group index or a bias is given", "quantise without act-order");
  int64_t blocks = llvm::divideCeil(k, block);
  mlir::Value x = operand(node, 0), packed = operand(node, 1);
  auto scales = node.has(2) ? importer.floatsOf(*node.inputs[2]) : std::nullopt;
  ElementsAttr bytes = graph::constantValue(packed);
  if (!x || !bytes || !bytes.getElementType().isInteger(32) || bytes.getNumElements() != n * blocks * block / 2)
    return node.unsupported("its weights are not the " + Twine(n * blocks * block / 2) + " constant bytes expected");
  if (!scales || int64_t(scales->size()) != n * blocks)
    return node.unsupported("its scales are not the " + Twine(n * blocks) + " constant numbers expected");
  ElementsAttr zeros;
  int64_t zeroBytes = llvm::divideCeil(blocks, 2);
  if (node.has(3)) {
    zeros = graph::constantValue(operand(node, 3));
    if (!zeros || !zeros.getElementType().isInteger(32) || zeros.getNumElements() != n * zeroBytes)
      return node.unsupported("its zero points are not the " + Twine(n * zeroBytes) + " constant bytes expected");
  }
  if (!importer.mayMake(node, 4 * k * n))
    return failure();
  auto nibble = [](ElementsAttr elements, int64_t index) {
    ArrayRef<char> raw = graph::rawBytes(elements);
    int32_t byte; // Small integers are kept as i32.
    bool isSplat = raw.size() == 4;
    memcpy(&byte, raw.data() + (isSplat ? 0 : index / 2 * 4), 4);
    return index % 2 ? byte >> 4 & 15 : byte & 15;
  };
  TensorData weights;
  weights.elementType = TensorProto::FLOAT;
  weights.dims = {k, n};
  weights.bytes.resize(4 * k * n);
  for (int64_t column = 0; column < n; ++column)
    for (int64_t row = 0; row < k; ++row) {
      int64_t group = column * blocks + row / block;
      int64_t quantum = nibble(bytes, column * blocks * block + row);
      int64_t zero = zeros ? nibble(zeros, column * zeroBytes * 2 + row / block) : 8;
      float value = (quantum - zero) * (*scales)[group];
      memcpy(weights.bytes.data() + 4 * (row * n + column), &value, 4);
    }
  return finish(node, matmul(node, x, importer.constant(weights, node.proto.name())));
}

// Of constants only: weights that are stored as integers.
LogicalResult mlir::rt3::onnx::importDequantizeLinear(Node &node) {
  Importer &importer = node.importer;
  mlir::Value x = operand(node, 0);
  auto scales = node.has(1) ? importer.floatsOf(*node.inputs[1]) : std::nullopt;
  ElementsAttr elements = graph::constantValue(x);
  if (!elements || !scales)
    return node.unsupported("activations are quantised", "int8 models are not compiled yet; export in float32");
  if (node.integer("block_size", 0) != 0 || node.inputs[1]->rank() > 1)
    return node.unsupported("it has one scale per block of an axis", "quantise per tensor or per axis");
  std::vector<int64_t> zeros(scales->size(), 0);
  if (node.has(2)) {
    auto given = importer.integersOf(*node.inputs[2]);
    if (!given || given->size() != zeros.size())
      return node.unsupported("its zero points are not constant, or not one per scale");
    zeros = *given;
  }
  auto type = cast<RankedTensorType>(x.getType());
  int64_t inner = 1;
  if (scales->size() != 1) {
    auto axis = node.axis(node.integer("axis", 1), type.getRank());
    if (!axis || type.getDimSize(*axis) != int64_t(scales->size()))
      return node.unsupported("it has not one scale per slice of its axis");
    for (int64_t i = *axis + 1; i < type.getRank(); ++i)
      inner *= type.getDimSize(i);
  }
  TensorData data;
  data.elementType = TensorProto::FLOAT;
  data.dims = type.getShape().vec();
  if (!type.getElementType().isInteger(32))
    return failure();
  ArrayRef<char> raw = graph::rawBytes(elements);
  int64_t count = type.getNumElements();
  if (!importer.mayMake(node, 4 * count))
    return failure();
  data.bytes.resize(4 * count);
  for (int64_t i = 0; i < count; ++i) {
    int32_t quantum;
    memcpy(&quantum, raw.data() + (raw.size() == 4 ? 0 : 4 * i), 4);
    size_t slice = i / inner % scales->size();
    float value = (quantum - zeros[slice]) * (*scales)[slice];
    memcpy(data.bytes.data() + 4 * i, &value, 4);
  }
  return finish(node, importer.constant(data, node.proto.name()));
}
