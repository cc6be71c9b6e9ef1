// SPDX-License-Identifier: Apache-2.0
//
// Operators whose weights are stored as integers: they become f32 here. Products
// of quantised activations become int8 layers.

#include "compiler/onnx/ImportOps.h"
#include "dialects/graph/Quantize.h"

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
  if (node.has(0) && node.inputs[0]->part && node.inputs[0]->part->kind == QuantizedPart::Quanta) {
    // The integers of QuantizeLinear: activations themselves again, for int8 layers.
    Tensor tensor = importer.tensorOf(node.inputs[0]->part->x);
    tensor.wasQuantized = true;
    return importer.setResult(node, 0, tensor);
  }
  mlir::Value x = operand(node, 0);
  auto scales = node.has(1) ? importer.floatsOf(*node.inputs[1]) : std::nullopt;
  ElementsAttr elements = graph::constantValue(x);
  if (!elements || !scales)
    return node.unsupported("activations are quantised",
                            "only those of QuantizeLinear or DynamicQuantizeLinear can be");
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

//===-- Products of quantised activations ---------------------------------===//

static Tensor partTensor(QuantizedPart part, int32_t elementType, std::vector<Size> shape) {
  Tensor tensor;
  tensor.elementType = elementType;
  tensor.shape = std::move(shape);
  tensor.part = std::move(part);
  return tensor;
}

LogicalResult mlir::rt3::onnx::importQuantizeLinear(Node &node) {
  mlir::Value x = operand(node, 0);
  if (!x || !cast<RankedTensorType>(x.getType()).getElementType().isF32())
    return failure();
  std::vector<Size> shape = node.importer.tensorOf(x).shape;
  return node.importer.setResult(
      node, 0, partTensor({QuantizedPart::Quanta, x, nullptr, 1, 1, false}, TensorProto::INT32, std::move(shape)));
}

LogicalResult mlir::rt3::onnx::importDynamicQuantizeLinear(Node &node) {
  if (failed(importQuantizeLinear(node)))
    return failure();
  mlir::Value x = operand(node, 0);
  auto one = std::make_shared<const std::vector<float>>(1, 1.0f);
  if (failed(node.importer.setResult(node, 1,
                                     partTensor({QuantizedPart::Scale, x, one, 1, 1, false}, TensorProto::FLOAT, {}))))
    return failure();
  return node.importer.setResult(node, 2,
                                 partTensor({QuantizedPart::Zero, x, nullptr, 1, 1, false}, TensorProto::INT32, {}));
}

LogicalResult mlir::rt3::onnx::importMatMulInteger(Node &node) {
  Importer &importer = node.importer;
  if (!node.has(0) || !node.has(1))
    return failure();
  const Tensor &a = *node.inputs[0];
  bool isQuantized = a.part && a.part->kind == QuantizedPart::Quanta;
  if (isQuantized && node.has(2))
    isQuantized = node.inputs[2]->part && node.inputs[2]->part->kind == QuantizedPart::Zero &&
                  node.inputs[2]->part->x == a.part->x;
  mlir::Value b = isQuantized ? operand(node, 1) : mlir::Value();
  ElementsAttr elements = graph::constantValue(b);
  if (!isQuantized || !elements || elements.getShapedType().getRank() != 2 || !elements.getElementType().isInteger(32))
    return node.unsupported("it is no product of DynamicQuantizeLinear's result and a constant matrix");
  int64_t inputs = elements.getShapedType().getDimSize(0), outputs = elements.getShapedType().getDimSize(1);
  if (a.shape.empty() || a.shape.back() != Size(inputs))
    return node.unsupported("the inner dimensions of its operands differ");
  std::vector<int64_t> zeros(1, 0);
  if (node.has(3)) {
    auto given = importer.integersOf(*node.inputs[3]);
    if (!given || (given->size() != 1 && int64_t(given->size()) != outputs))
      return node.unsupported("its zero points are not constant, or not one per column");
    zeros = *given;
  }
  if (!importer.mayMake(node, 4 * inputs * outputs))
    return failure();
  ArrayRef<char> raw = graph::rawBytes(elements);
  auto weights = std::make_shared<std::vector<float>>(inputs * outputs);
  for (int64_t i = 0; i < inputs * outputs; ++i) {
    int32_t quantum;
    memcpy(&quantum, raw.data() + (raw.size() == 4 ? 0 : 4 * i), 4);
    (*weights)[i] = float(quantum - zeros[zeros.size() == 1 ? 0 : i % outputs]);
  }
  std::vector<Size> shape = a.shape;
  shape.back() = Size(outputs);
  return importer.setResult(node, 0,
                            partTensor({QuantizedPart::Product, a.part->x, std::move(weights), inputs, outputs, false},
                                       TensorProto::INT32, std::move(shape)));
}

std::optional<LogicalResult> mlir::rt3::onnx::foldQuantizedCast(Node &node, int32_t elementType) {
  if (!node.has(0) || !node.inputs[0]->part || node.inputs[0]->part->kind != QuantizedPart::Product ||
      elementType != TensorProto::FLOAT)
    return std::nullopt;
  Tensor tensor = *node.inputs[0];
  tensor.elementType = elementType;
  return node.importer.setResult(node, 0, std::move(tensor));
}

// a x b element by element, where b has as many columns as a, or one of them has one.
static std::shared_ptr<const std::vector<float>> scaled(const QuantizedPart &a, ArrayRef<float> b, int64_t &outputs) {
  outputs = std::max<int64_t>(a.outputs, b.size());
  auto result = std::make_shared<std::vector<float>>(a.inputs * outputs);
  for (int64_t i = 0; i < a.inputs; ++i)
    for (int64_t n = 0; n < outputs; ++n)
      (*result)[i * outputs + n] = (*a.factors)[i * a.outputs + (a.outputs == 1 ? 0 : n)] * b[b.size() == 1 ? 0 : n];
  return result;
}

std::optional<LogicalResult> mlir::rt3::onnx::foldQuantizedMul(Node &node) {
  if (!node.has(0) || !node.has(1))
    return std::nullopt;
  auto kindOf = [&](int i) {
    const Tensor &tensor = *node.inputs[i];
    return tensor.part && !tensor.value ? std::optional(tensor.part->kind) : std::nullopt;
  };
  // The product first, then the scale, then constants.
  int first = kindOf(1) == QuantizedPart::Product || (kindOf(1) == QuantizedPart::Scale && !kindOf(0)) ? 1 : 0;
  if (kindOf(first) != QuantizedPart::Product && kindOf(first) != QuantizedPart::Scale)
    return std::nullopt;
  const Tensor &own = *node.inputs[first], &other = *node.inputs[1 - first];
  QuantizedPart part = *own.part;
  std::vector<float> factors;
  if (kindOf(1 - first) == QuantizedPart::Scale) {
    if (part.kind != QuantizedPart::Product || part.isScaled || other.part->x != part.x)
      return node.unsupported("it multiplies the scales of two quantised tensors");
    factors = *other.part->factors;
    part.isScaled = true;
  } else if (auto constant = kindOf(1 - first) ? std::nullopt : node.importer.floatsOf(other);
             constant && other.shape.size() <= std::max<size_t>(own.shape.size(), 1)) {
    factors = *constant;
    // One per output: all axes but the last are 1.
    if (factors.size() != 1 && other.shape.back() != Size(factors.size()))
      return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (factors.size() != 1 && part.outputs != 1 && int64_t(factors.size()) != part.outputs)
    return node.unsupported("its operands' shapes do not broadcast");
  int64_t outputs;
  part.factors = scaled(part, factors, outputs);
  part.outputs = outputs;
  std::vector<Size> shape = own.shape;
  if (part.kind == QuantizedPart::Scale && outputs > 1)
    shape = {Size(outputs)};
  return node.importer.setResult(node, 0, partTensor(part, TensorProto::FLOAT, std::move(shape)));
}

mlir::Value mlir::rt3::onnx::int8Linear(const Node &node, mlir::Value x, mlir::Value weights) {
  Importer &importer = node.importer;
  int64_t inputs = cast<RankedTensorType>(weights.getType()).getDimSize(0);
  if (inputs > graph::kMaxInt8Inputs)
    return (void)node.unsupported("an int8 layer has " + Twine(inputs) + " inputs, at most " +
                                      Twine(graph::kMaxInt8Inputs) + " are supported",
                                  "export it in float32"),
           mlir::Value();
  std::vector<Size> shape = importer.tensorOf(x).shape;
  shape.back() = cast<RankedTensorType>(weights.getType()).getDimSize(1);
  auto type = importer.typeOf(node, TensorProto::FLOAT, shape);
  if (!type)
    return {};
  ImplicitLocOpBuilder &b = importer.builder();
  auto name = dyn_cast<NameLoc>(b.getLoc());
  return graph::LinearOp::create(b, *type, x, weights, mlir::Value(), mlir::Value(),
                                 name ? name.getName() : b.getStringAttr("int8"), graph::UnaryKindAttr(), ArrayAttr(),
                                 b.getUnitAttr());
}

mlir::Value mlir::rt3::onnx::finishProduct(const Node &node, const Tensor &tensor) {
  const QuantizedPart &part = *tensor.part;
  if (part.kind != QuantizedPart::Product || !part.isScaled)
    return (void)node.unsupported("it uses quantised numbers themselves, before their scale",
                                  "only products of quantised activations and constants can be int8 layers"),
           mlir::Value();
  TensorData data;
  data.elementType = TensorProto::FLOAT;
  data.dims = {part.inputs, part.outputs};
  const char *begin = reinterpret_cast<const char *>(part.factors->data());
  data.bytes.assign(begin, begin + 4 * part.factors->size());
  return int8Linear(node, part.x, node.importer.constant(data, "int8"));
}
