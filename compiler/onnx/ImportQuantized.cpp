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

// Element i of an i32 constant, which may be a splat.
static int32_t integerAt(ArrayRef<char> raw, int64_t i) {
  int32_t value;
  memcpy(&value, raw.data() + (raw.size() == 4 ? 0 : 4 * i), 4);
  return value;
}

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
    int32_t byte = integerAt(graph::rawBytes(elements), index / 2); // Small integers are kept as i32.
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

// The integers of a constant of any length.
static std::optional<std::vector<int64_t>> constantIntegers(Importer &importer, const Tensor &tensor) {
  ElementsAttr elements = graph::constantValue(tensor.value);
  if (!elements || !elements.getElementType().isInteger(32))
    return importer.integersOf(tensor);
  ArrayRef<char> raw = graph::rawBytes(elements);
  std::vector<int64_t> result(elements.getNumElements());
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = integerAt(raw, i);
  return result;
}

// Activations that QuantizeLinear has clamped, themselves again.
static LogicalResult dequantiseActivations(Node &node, const QuantizedPart &part) {
  bool isSame = false;
  if (part.isDynamic) {
    isSame = node.has(1) && node.has(2) && node.inputs[1]->part && node.inputs[1]->part->kind == QuantizedPart::Scale &&
             node.inputs[1]->part->x == part.x && node.inputs[1]->part->factors == std::vector{1.0f} &&
             node.inputs[2]->part && node.inputs[2]->part->kind == QuantizedPart::Zero &&
             node.inputs[2]->part->x == part.x;
  } else {
    auto scale = node.has(1) ? node.importer.floatsOf(*node.inputs[1]) : std::nullopt;
    auto zero = node.has(2) ? constantIntegers(node.importer, *node.inputs[2]) : std::vector<int64_t>{0};
    isSame = scale && *scale == part.factors && zero && *zero == std::vector{part.zero};
  }
  if (!isSame)
    return node.unsupported("its scale or zero point is not that of the node that quantised");
  Tensor tensor = node.importer.tensorOf(part.x);
  tensor.wasQuantized = true;
  return node.importer.setResult(node, 0, tensor);
}

// Of constants only: weights that are stored as integers.
LogicalResult mlir::rt3::onnx::importDequantizeLinear(Node &node) {
  Importer &importer = node.importer;
  if (node.has(0) && node.inputs[0]->part && node.inputs[0]->part->kind == QuantizedPart::Quanta)
    return dequantiseActivations(node, *node.inputs[0]->part);
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
    auto given = constantIntegers(node.importer, *node.inputs[2]);
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
    size_t slice = i / inner % scales->size();
    float value = (integerAt(raw, i) - zeros[slice]) * (*scales)[slice];
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

// x, f32; null (and reported) otherwise.
static mlir::Value floatOperand(Node &node) {
  mlir::Value x = operand(node, 0);
  if (x && !cast<RankedTensorType>(x.getType()).getElementType().isF32())
    return (void)node.unsupported("only float32 is quantised"), mlir::Value();
  return x;
}

LogicalResult mlir::rt3::onnx::importQuantizeLinear(Node &node) {
  Importer &importer = node.importer;
  mlir::Value x = floatOperand(node);
  if (!x)
    return failure();
  auto scale = node.has(1) ? importer.floatsOf(*node.inputs[1]) : std::nullopt;
  auto zero = node.has(2) ? constantIntegers(node.importer, *node.inputs[2]) : std::vector<int64_t>{0};
  int32_t type = node.has(2) ? importer.initializerType(node.proto.input(2)) : int32_t(TensorProto::UINT8);
  if (!scale || scale->size() != 1 || !((*scale)[0] > 0) || !zero || zero->size() != 1 ||
      (type != TensorProto::UINT8 && type != TensorProto::INT8))
    return node.unsupported("its scale and zero point are not one positive constant and one of 8 bits",
                            "quantise activations per tensor");
  // What it clamps stays clamped: exporters drop a Relu before it.
  int64_t low = type == TensorProto::UINT8 ? 0 : -128;
  ImplicitLocOpBuilder &b = importer.builder();
  for (auto [kind, limit] : {std::pair(graph::BinaryKind::Max, low), std::pair(graph::BinaryKind::Min, low + 255)})
    x = graph::BinaryOp::create(b, cast<RankedTensorType>(x.getType()), kind, x,
                                importer.scalar(float(limit - (*zero)[0]) * (*scale)[0]));
  QuantizedPart part{QuantizedPart::Quanta, x};
  part.factors = *scale;
  part.zero = (*zero)[0];
  return importer.setResult(node, 0, partTensor(part, TensorProto::INT32, importer.tensorOf(x).shape));
}

LogicalResult mlir::rt3::onnx::importDynamicQuantizeLinear(Node &node) {
  Importer &importer = node.importer;
  mlir::Value x = floatOperand(node);
  if (!x)
    return failure();
  QuantizedPart part{QuantizedPart::Quanta, x};
  part.isDynamic = true;
  if (failed(importer.setResult(node, 0, partTensor(part, TensorProto::INT32, importer.tensorOf(x).shape))))
    return failure();
  part.kind = QuantizedPart::Scale;
  if (failed(importer.setResult(node, 1, partTensor(part, TensorProto::FLOAT, {}))))
    return failure();
  part.kind = QuantizedPart::Zero;
  return importer.setResult(node, 2, partTensor(part, TensorProto::INT32, {}));
}

LogicalResult mlir::rt3::onnx::importMatMulInteger(Node &node) {
  Importer &importer = node.importer;
  if (!node.has(0) || !node.has(1))
    return failure();
  const Tensor &a = *node.inputs[0];
  bool isQuantized = a.part && a.part->kind == QuantizedPart::Quanta && a.part->isDynamic && node.has(2);
  if (isQuantized)
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
    auto given = constantIntegers(node.importer, *node.inputs[3]);
    if (!given || (given->size() != 1 && int64_t(given->size()) != outputs))
      return node.unsupported("its zero points are not constant, or not one per column");
    zeros = *given;
  }
  if (!importer.mayMake(node, 4 * inputs * outputs))
    return failure();
  ArrayRef<char> raw = graph::rawBytes(elements);
  auto weights = std::make_shared<std::vector<float>>(inputs * outputs);
  for (int64_t i = 0; i < inputs * outputs; ++i)
    (*weights)[i] = float(integerAt(raw, i) - zeros[zeros.size() == 1 ? 0 : i % outputs]);
  QuantizedPart part{QuantizedPart::Product, a.part->x};
  part.weights = std::move(weights);
  part.inputs = inputs;
  part.outputs = outputs;
  std::vector<Size> shape = a.shape;
  shape.back() = Size(outputs);
  return importer.setResult(node, 0, partTensor(part, TensorProto::INT32, std::move(shape)));
}

std::optional<LogicalResult> mlir::rt3::onnx::foldQuantizedCast(Node &node, int32_t elementType) {
  if (!node.has(0) || !node.inputs[0]->part || node.inputs[0]->part->kind != QuantizedPart::Product ||
      elementType != TensorProto::FLOAT)
    return std::nullopt;
  Tensor tensor = *node.inputs[0];
  tensor.elementType = elementType;
  return node.importer.setResult(node, 0, std::move(tensor));
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
    factors = other.part->factors;
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
  size_t count = std::max(part.factors.size(), factors.size());
  if ((part.factors.size() != 1 && factors.size() != 1 && part.factors.size() != factors.size()) ||
      (part.kind == QuantizedPart::Product && count != 1 && int64_t(count) != part.outputs))
    return node.unsupported("its operands' shapes do not broadcast to the product's");
  std::vector<float> both(count);
  for (size_t i = 0; i < count; ++i)
    both[i] = part.factors[part.factors.size() == 1 ? 0 : i] * factors[factors.size() == 1 ? 0 : i];
  part.factors = std::move(both);
  std::vector<Size> shape = own.shape;
  if (part.kind == QuantizedPart::Scale && count > 1)
    shape = {Size(count)};
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
                                 graph::PrecisionAttr::get(b.getContext(), graph::Precision::Int8));
}

mlir::Value mlir::rt3::onnx::finishProduct(const Node &node, const Tensor &tensor) {
  const QuantizedPart &part = *tensor.part;
  if (part.kind != QuantizedPart::Product || !part.isScaled)
    return (void)node.unsupported("it uses quantised numbers themselves, before their scale",
                                  "only products of quantised activations and constants can be int8 layers"),
           mlir::Value();
  if (!node.importer.mayMake(node, 4 * part.inputs * part.outputs))
    return {};
  TensorData data;
  data.elementType = TensorProto::FLOAT;
  data.dims = {part.inputs, part.outputs};
  data.bytes.resize(4 * part.weights->size());
  for (size_t i = 0; i < part.weights->size(); ++i) {
    float value = (*part.weights)[i] * part.factors[part.factors.size() == 1 ? 0 : i % part.outputs];
    memcpy(data.bytes.data() + 4 * i, &value, 4);
  }
  return int8Linear(node, part.x, node.importer.constant(data, "int8"));
}
