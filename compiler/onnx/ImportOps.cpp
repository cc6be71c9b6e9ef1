// SPDX-License-Identifier: Apache-2.0
//
// One function per ONNX operator on data, and the table that names them all.
// Operators that compute shapes are in ImportShapes.cpp.

#include "compiler/onnx/ImportOps.h"

#include "compiler/onnx/ImportShapes.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::rt3;
using namespace mlir::rt3::onnx;
using graph::BinaryKind;
using graph::ReduceKind;
using graph::UnaryKind;

static RankedTensorType typeOf(mlir::Value value) { return cast<RankedTensorType>(value.getType()); }

mlir::Value mlir::rt3::onnx::operand(Node &node, size_t i) {
  if (!node.has(i))
    return (void)node.unsupported("operand " + Twine(i) + " is missing"), mlir::Value();
  return node.importer.valueOf(node, *node.inputs[i]);
}

//===-- Elements ----------------------------------------------------------===//

static mlir::Value unary(Node &node, UnaryKind kind, mlir::Value x) {
  return graph::UnaryOp::create(node.importer.builder(), x.getType(), kind, x);
}

template <UnaryKind kind> static LogicalResult importUnary(Node &node) {
  mlir::Value x = operand(node, 0);
  if (!x)
    return failure();
  Type element = typeOf(x).getElementType();
  bool fits = kind == UnaryKind::Not                             ? element.isInteger(1)
              : kind == UnaryKind::Abs || kind == UnaryKind::Neg ? !element.isInteger(1)
                                                                 : element.isF32();
  if (!fits)
    return node.unsupported("it is not supported for this element type");
  return node.importer.setResult(node, unary(node, kind, x));
}

// The broadcast of two shapes; nothing (and reported) if they do not fit.
static std::optional<std::vector<Size>> broadcast(const Node &node, ArrayRef<Size> a, ArrayRef<Size> b) {
  if (a.size() < b.size())
    std::swap(a, b);
  std::vector<Size> result(a.begin(), a.end());
  for (size_t i = 0; i < b.size(); ++i) {
    Size &size = result[a.size() - b.size() + i];
    if (size == Size(1))
      size = b[i];
    else if (b[i] != Size(1) && b[i] != size)
      return (void)node.unsupported("its operands' shapes do not broadcast"), std::nullopt;
  }
  return result;
}

static bool isComparison(BinaryKind kind) { return kind >= BinaryKind::Equal; }

static mlir::Value binary(Node &node, BinaryKind kind, mlir::Value x, mlir::Value y) {
  if (!x || !y)
    return {};
  Importer &importer = node.importer;
  Tensor a = importer.tensorOf(x), b = importer.tensorOf(y);
  if (a.elementType != b.elementType)
    return (void)node.unsupported("its operands have different element types"), mlir::Value();
  bool isLogical = kind == BinaryKind::And || kind == BinaryKind::Or || kind == BinaryKind::Xor;
  if (!isComparison(kind) && isLogical != (a.elementType == TensorProto::BOOL))
    return (void)node.unsupported("it is not supported for this element type"), mlir::Value();
  auto shape = broadcast(node, a.shape, b.shape);
  auto type = shape ? importer.typeOf(node, isComparison(kind) ? int32_t(TensorProto::BOOL) : a.elementType, *shape)
                    : std::nullopt;
  if (!type)
    return {};
  return graph::BinaryOp::create(importer.builder(), *type, kind, x, y);
}

LogicalResult mlir::rt3::onnx::finish(Node &node, mlir::Value result) {
  return result ? node.importer.setResult(node, result) : failure();
}

template <BinaryKind kind> static LogicalResult importBinary(Node &node) {
  if (node.has(0) && node.has(1) && foldBinary(node, kind))
    return success();
  if constexpr (kind == BinaryKind::Mul)
    if (auto result = foldQuantizedMul(node))
      return *result;
  return finish(node, binary(node, kind, operand(node, 0), operand(node, 1)));
}

// Max, Min, Sum: any number of operands.
template <BinaryKind kind> static LogicalResult importVariadic(Node &node) {
  mlir::Value result = operand(node, 0);
  for (size_t i = 1; result && i < node.inputs.size(); ++i)
    result = binary(node, kind, result, operand(node, i));
  return finish(node, result);
}

static LogicalResult importPow(Node &node) {
  mlir::Value x = operand(node, 0);
  if (!x || !operand(node, 1))
    return failure();
  auto floats = node.importer.floatsOf(*node.inputs[1]);
  auto integers = node.importer.integersOf(*node.inputs[1]);
  std::optional<double> exponent;
  if (floats && floats->size() == 1)
    exponent = (*floats)[0];
  else if (integers && integers->size() == 1)
    exponent = (*integers)[0];
  if (!exponent || !typeOf(x).getElementType().isF32() || node.inputs[1]->rank() > typeOf(x).getRank())
    return node.unsupported("the exponent is not one constant number, or the base not float");
  if (*exponent == 0.5)
    return finish(node, unary(node, UnaryKind::Sqrt, x));
  if (*exponent == -1)
    return finish(node, unary(node, UnaryKind::Reciprocal, x));
  if (*exponent == 1)
    return finish(node, x);
  if (*exponent == 2 || *exponent == 3) {
    mlir::Value result = binary(node, BinaryKind::Mul, x, x);
    if (*exponent == 3)
      result = binary(node, BinaryKind::Mul, result, x);
    return finish(node, result);
  }
  return node.unsupported("the exponent is " + Twine(std::to_string(*exponent)) +
                          "; supported are -1, 0.5, 1, 2 and 3");
}

static LogicalResult importClip(Node &node) {
  mlir::Value result = operand(node, 0);
  for (size_t i : {1, 2}) {
    if (!result || !node.has(i))
      continue;
    if (node.inputs[i]->rank() != 0)
      return node.unsupported("its bounds are not scalars");
    result = binary(node, i == 1 ? BinaryKind::Max : BinaryKind::Min, result, operand(node, i));
  }
  return finish(node, result);
}

static LogicalResult importLeakyRelu(Node &node) {
  float slope = node.real("alpha", 0.01f);
  mlir::Value x = operand(node, 0);
  if (!x || !(slope >= 0 && slope <= 1) || !typeOf(x).getElementType().isF32())
    return x ? node.unsupported("its slope is not between 0 and 1") : failure();
  return finish(node, binary(node, BinaryKind::Max, x, binary(node, BinaryKind::Mul, x, node.importer.scalar(slope))));
}

// x * sigmoid(x), or max(0, min(1, alpha x + beta)), times x for HardSwish.
static LogicalResult importHardSigmoid(Node &node) {
  bool isSwish = node.proto.op_type() == "HardSwish";
  float slope = isSwish ? 1.0f / 6 : node.real("alpha", 0.2f), shift = node.real("beta", 0.5f);
  Importer &importer = node.importer;
  mlir::Value x = operand(node, 0);
  if (!x || !typeOf(x).getElementType().isF32())
    return failure();
  mlir::Value y = binary(node, BinaryKind::Mul, x, importer.scalar(slope));
  y = binary(node, BinaryKind::Add, y, importer.scalar(shift));
  y = binary(node, BinaryKind::Max, y, importer.scalar(0));
  y = binary(node, BinaryKind::Min, y, importer.scalar(1));
  return finish(node, isSwish ? binary(node, BinaryKind::Mul, x, y) : y);
}

static LogicalResult importGelu(Node &node) {
  mlir::Value x = operand(node, 0);
  if (!x || !typeOf(x).getElementType().isF32())
    return failure();
  bool isTanh = node.text("approximate", "none") == "tanh" || node.proto.op_type() == "FastGelu";
  if (node.has(1)) // com.microsoft: a bias.
    x = binary(node, BinaryKind::Add, x, operand(node, 1));
  return finish(node, x ? unary(node, isTanh ? UnaryKind::GeluTanh : UnaryKind::Gelu, x) : x);
}

static LogicalResult importWhere(Node &node) {
  if (node.has(0) && node.has(1) && node.has(2) && foldWhere(node))
    return success();
  Importer &importer = node.importer;
  mlir::Value c = operand(node, 0), x = operand(node, 1), y = operand(node, 2);
  if (!c || !x || !y)
    return failure();
  Tensor condition = importer.tensorOf(c), a = importer.tensorOf(x), b = importer.tensorOf(y);
  auto values = broadcast(node, a.shape, b.shape);
  auto shape = values ? broadcast(node, *values, condition.shape) : std::nullopt;
  auto type = shape ? importer.typeOf(node, a.elementType, *shape) : std::nullopt;
  if (!type || a.elementType != b.elementType || condition.elementType != TensorProto::BOOL)
    return failure();
  return finish(node, graph::SelectOp::create(importer.builder(), *type, c, x, y));
}

static LogicalResult importCast(Node &node) {
  int32_t to = node.integer("to", 0);
  if (!node.has(0))
    return failure();
  if (foldCast(node, to))
    return success();
  if (auto result = foldQuantizedCast(node, to))
    return *result;
  mlir::Value x = operand(node, 0);
  auto type = x ? node.importer.typeOf(node, to, node.importer.tensorOf(x).shape) : std::nullopt;
  if (!type)
    return failure();
  if (*type == x.getType())
    return finish(node, x);
  return finish(node, graph::CastOp::create(node.importer.builder(), *type, x));
}

static LogicalResult importDropout(Node &node) {
  if (node.proto.output_size() > 1 && !node.proto.output(1).empty())
    return node.unsupported("its mask is used", "export the model for inference");
  if (node.has(2)) {
    auto training = node.importer.integersOf(*node.inputs[2]);
    if (!training || (*training)[0] != 0)
      return node.unsupported("it is in training mode", "export the model for inference");
  }
  return finish(node, operand(node, 0));
}

//===-- Reductions and normalisation --------------------------------------===//

static mlir::Value reduce(Node &node, ReduceKind kind, mlir::Value x, ArrayRef<int64_t> axes) {
  Importer &importer = node.importer;
  Tensor tensor = importer.tensorOf(x);
  for (int64_t axis : axes)
    tensor.shape[axis] = 1;
  auto type = importer.typeOf(node, tensor.elementType, tensor.shape);
  if (!type)
    return {};
  if (type->getElementType().isInteger(1) || (kind == ReduceKind::Mean && !type->getElementType().isF32()))
    return (void)node.unsupported("it is not supported for this element type"), mlir::Value();
  return graph::ReduceOp::create(importer.builder(), *type, kind, x, axes);
}

// The axes of a reduction, sorted: from the attribute or the second operand.
static std::optional<std::vector<int64_t>> reducedAxes(Node &node, int64_t rank, bool &isIdentity) {
  std::vector<int64_t> axes = node.integers("axes");
  if (node.has(1)) {
    auto given = node.importer.integersOf(*node.inputs[1]);
    if (!given)
      return (void)node.unsupported("its axes are not constant"), std::nullopt;
    axes = *given;
  }
  isIdentity = axes.empty() && node.integer("noop_with_empty_axes", 0) != 0;
  if (axes.empty())
    for (int64_t i = 0; i < rank; ++i)
      axes.push_back(i);
  for (int64_t &axis : axes) {
    auto found = node.axis(axis, rank);
    if (!found)
      return (void)node.unsupported("axis " + Twine(axis) + " is out of range"), std::nullopt;
    axis = *found;
  }
  llvm::sort(axes);
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

static LogicalResult importReduction(Node &node, ReduceKind kind, bool ofSquares, bool withRoot) {
  mlir::Value x = operand(node, 0);
  if (!x)
    return failure();
  bool isIdentity = false;
  auto axes = reducedAxes(node, typeOf(x).getRank(), isIdentity);
  if (!axes)
    return failure();
  if (ofSquares)
    x = binary(node, BinaryKind::Mul, x, x);
  mlir::Value result = isIdentity || !x ? x : reduce(node, kind, x, *axes);
  if (result && withRoot)
    result = typeOf(result).getElementType().isF32() ? unary(node, UnaryKind::Sqrt, result) : mlir::Value();
  if (!result)
    return failure();
  if (node.integer("keepdims", 1) == 0 && !isIdentity) {
    std::vector<Size> shape;
    Tensor tensor = node.importer.tensorOf(result);
    for (int64_t i = 0; i < tensor.rank(); ++i)
      if (!llvm::is_contained(*axes, i))
        shape.push_back(tensor.shape[i]);
    result = reshape(node, result, shape);
  }
  return finish(node, result);
}
template <ReduceKind kind> static LogicalResult importReduce(Node &node) {
  return importReduction(node, kind, false, false);
}
static LogicalResult importReduceSumSquare(Node &node) { return importReduction(node, ReduceKind::Sum, true, false); }
static LogicalResult importReduceL2(Node &node) { return importReduction(node, ReduceKind::Sum, true, true); }

static LogicalResult importGlobalAveragePool(Node &node) {
  mlir::Value x = operand(node, 0);
  if (!x || typeOf(x).getRank() < 3)
    return failure();
  return finish(node, reduce(node, ReduceKind::Mean, x, llvm::to_vector(llvm::seq<int64_t>(2, typeOf(x).getRank()))));
}

static LogicalResult importSoftmax(Node &node) {
  mlir::Value x = operand(node, 0);
  if (!x || !typeOf(x).getElementType().isF32())
    return failure();
  Importer &importer = node.importer;
  Tensor tensor = importer.tensorOf(x);
  auto axis = node.axis(node.integer("axis", node.opset < 13 ? 1 : -1), tensor.rank());
  if (!axis)
    return node.unsupported("its axis is out of range");
  // Up to opset 12, all axes from the given one on are one.
  bool joins = node.opset < 13 && *axis != tensor.rank() - 1;
  mlir::Value flat = x;
  if (joins) {
    Size product = 1;
    for (int64_t i = *axis; i < tensor.rank(); ++i) {
      if (!tensor.shape[i].isStatic())
        return node.unsupported("it joins axes of which one is free", "export with opset 13 or later");
      product = Size(product.constant * tensor.shape[i].constant);
    }
    std::vector<Size> shape(tensor.shape.begin(), tensor.shape.begin() + *axis);
    shape.push_back(product);
    flat = reshape(node, x, shape);
    if (!flat)
      return failure();
  }
  mlir::Value result = graph::SoftmaxOp::create(importer.builder(), flat.getType(), flat, *axis);
  return finish(node, joins ? reshape(node, result, tensor.shape) : result);
}

static LogicalResult importLayerNorm(Node &node) {
  bool isRms = node.proto.op_type() == "RMSNormalization";
  Importer &importer = node.importer;
  mlir::Value x = operand(node, 0), scale = operand(node, 1);
  if (!x || !scale)
    return failure();
  for (int i = 1; i < node.proto.output_size(); ++i)
    if (!node.proto.output(i).empty())
      return node.unsupported("its mean or deviation is used", "export the model for inference");
  Tensor tensor = importer.tensorOf(x);
  auto axis = node.axis(node.integer("axis", -1), tensor.rank());
  if (!axis || tensor.elementType != TensorProto::FLOAT)
    return node.unsupported("its axis is out of range, or it is not float");
  // Several axes are joined into one for the op.
  Size features = 1;
  for (int64_t i = *axis; i < tensor.rank(); ++i) {
    if (!tensor.shape[i].isStatic())
      return node.unsupported("it normalises the free dimension");
    features = Size(features.constant * tensor.shape[i].constant);
  }
  std::vector<Size> shape(tensor.shape.begin(), tensor.shape.begin() + *axis);
  shape.push_back(features);
  if (shape.size() == 1)
    shape.insert(shape.begin(), Size(1)); // A single token.
  auto vector = [&](mlir::Value value) -> mlir::Value {
    Tensor own = importer.tensorOf(value);
    int64_t count = 1;
    for (Size size : own.shape)
      count *= size.isStatic() ? size.constant : 0;
    if (count != features.constant)
      return (void)node.unsupported("its scale or bias has not one element per feature"), mlir::Value();
    return reshape(node, value, {features});
  };
  mlir::Value bias = node.has(2) && !isRms ? operand(node, 2) : mlir::Value();
  if (!node.has(2) || isRms) {
    auto type = RankedTensorType::get({features.constant}, importer.builder().getF32Type());
    bias = graph::ConstantOp::create(importer.builder(), DenseElementsAttr::get(type, 0.0f));
  }
  float epsilon = node.real("epsilon", 1e-5f);
  if (!(epsilon >= 0))
    return node.unsupported("its epsilon is negative");
  mlir::Value flat = reshape(node, x, shape), s = vector(scale), t = bias ? vector(bias) : bias;
  if (!flat || !s || !t)
    return failure();
  mlir::Value result = graph::LayerNormOp::create(importer.builder(), flat.getType(), flat, s, t,
                                                  importer.builder().getF32FloatAttr(epsilon),
                                                  isRms ? importer.builder().getUnitAttr() : UnitAttr());
  return finish(node, reshape(node, result, tensor.shape));
}

//===-- Products ----------------------------------------------------------===//

mlir::Value mlir::rt3::onnx::matmul(Node &node, mlir::Value lhs, mlir::Value rhs) {
  Importer &importer = node.importer;
  Tensor a = importer.tensorOf(lhs), b = importer.tensorOf(rhs);
  if (a.elementType != TensorProto::FLOAT || b.elementType != TensorProto::FLOAT)
    return (void)node.unsupported("only float products are supported"), mlir::Value();
  if (a.rank() < 2 || b.rank() < 2)
    return (void)node.unsupported("an operand has fewer than two axes"), mlir::Value();
  if (a.shape.back() != b.shape[b.rank() - 2])
    return (void)node.unsupported("the inner dimensions of its operands differ"), mlir::Value();
  auto shape = broadcast(node, ArrayRef(a.shape).drop_back(2), ArrayRef(b.shape).drop_back(2));
  if (!shape)
    return {};
  shape->push_back(a.shape[a.rank() - 2]);
  shape->push_back(b.shape.back());
  auto type = importer.typeOf(node, a.elementType, *shape);
  return type ? mlir::Value(graph::MatmulOp::create(importer.builder(), *type, lhs, rhs)) : mlir::Value();
}

static LogicalResult importMatMul(Node &node) {
  mlir::Value a = operand(node, 0), b = operand(node, 1);
  if (!a || !b)
    return failure();
  Importer &importer = node.importer;
  if (node.inputs[0]->wasQuantized && graph::constantValue(b) && typeOf(b).getRank() == 2 && typeOf(a).getRank() >= 2 &&
      typeOf(a).getShape().back() == typeOf(b).getDimSize(0))
    return finish(node, int8Linear(node, a, b));
  Tensor left = importer.tensorOf(a), right = importer.tensorOf(b);
  if (left.rank() == 0 || right.rank() == 0)
    return node.unsupported("an operand is a scalar");
  // Vectors become matrices, and the axis goes again afterwards.
  if (left.rank() == 1)
    a = reshape(node, a, {Size(1), left.shape[0]});
  if (right.rank() == 1)
    b = reshape(node, b, {right.shape[0], Size(1)});
  mlir::Value result = a && b ? matmul(node, a, b) : mlir::Value();
  if (!result)
    return failure();
  if (left.rank() == 1 || right.rank() == 1) {
    std::vector<Size> shape = importer.tensorOf(result).shape;
    if (right.rank() == 1)
      shape.pop_back();
    if (left.rank() == 1)
      shape.erase(shape.end() - (right.rank() == 1 ? 1 : 2));
    result = reshape(node, result, shape);
  }
  return finish(node, result);
}

static LogicalResult importGemm(Node &node) {
  mlir::Value a = operand(node, 0), b = operand(node, 1);
  if (!a || !b || typeOf(a).getRank() != 2 || typeOf(b).getRank() != 2)
    return failure();
  if (node.integer("transA", 0))
    a = transpose(node, a, {1, 0});
  if (node.integer("transB", 0))
    b = transpose(node, b, {1, 0});
  mlir::Value result = a && b ? matmul(node, a, b) : mlir::Value();
  if (float alpha = node.real("alpha", 1); result && alpha != 1)
    result = binary(node, BinaryKind::Mul, result, node.importer.scalar(alpha));
  if (float beta = node.real("beta", 1); result && node.has(2) && beta != 0) {
    mlir::Value c = operand(node, 2);
    if (c && beta != 1)
      c = binary(node, BinaryKind::Mul, c, node.importer.scalar(beta));
    result = c ? binary(node, BinaryKind::Add, result, c) : c;
  }
  return finish(node, result);
}

//===-- The table ---------------------------------------------------------===//

static constexpr const char *kConstant = "only if it can be computed while compiling";

// By domain, then name. 7 to 11: unchanged in what is used of them.
static const OpEntry kOps[] = {
    {"", "Abs", 6, importUnary<UnaryKind::Abs>, ""},
    {"", "Add", 7, importBinary<BinaryKind::Add>, ""},
    {"", "And", 7, importBinary<BinaryKind::And>, ""},
    {"", "Cast", 6, importCast, "between float32, int64, int32 and bool"},
    {"", "Ceil", 6, importUnary<UnaryKind::Ceil>, ""},
    {"", "Clip", 11, importClip, "scalar bounds"},
    {"", "Concat", 4, importConcat, "not along the free dimension"},
    {"", "Constant", 1, importConstant, "tensors and integers"},
    {"", "ConstantOfShape", 9, importConstantOfShape, kConstant},
    {"", "Cos", 7, importUnary<UnaryKind::Cos>, "angles up to 8192; larger ones lose bits"},
    {"", "DequantizeLinear", 10, importDequantizeLinear, "of constants"},
    {"", "Div", 7, importBinary<BinaryKind::Div>, ""},
    {"", "DynamicQuantizeLinear", 11, importDynamicQuantizeLinear, "before MatMulInteger: one int8 layer"},
    {"", "Dropout", 7, importDropout, "inference"},
    {"", "Equal", 7, importBinary<BinaryKind::Equal>, ""},
    {"", "Erf", 9, importUnary<UnaryKind::Erf>, ""},
    {"", "Exp", 6, importUnary<UnaryKind::Exp>, ""},
    {"", "Expand", 8, importExpand, ""},
    {"", "Flatten", 1, importFlatten, ""},
    {"", "Floor", 6, importUnary<UnaryKind::Floor>, ""},
    {"", "Gather", 1, importGather, "not along the free dimension"},
    {"", "Gelu", 20, importGelu, ""},
    {"", "Gemm", 7, importGemm, ""},
    {"", "GlobalAveragePool", 1, importGlobalAveragePool, ""},
    {"", "Greater", 7, importBinary<BinaryKind::Greater>, ""},
    {"", "GreaterOrEqual", 12, importBinary<BinaryKind::GreaterEqual>, ""},
    {"", "HardSigmoid", 6, importHardSigmoid, ""},
    {"", "HardSwish", 14, importHardSigmoid, ""},
    {"", "Identity", 1, importIdentity, ""},
    {"", "LayerNormalization", 17, importLayerNorm, "without mean and deviation as results"},
    {"", "LeakyRelu", 6, importLeakyRelu, "slopes from 0 to 1"},
    {"", "Less", 7, importBinary<BinaryKind::Less>, ""},
    {"", "LessOrEqual", 12, importBinary<BinaryKind::LessEqual>, ""},
    {"", "MatMul", 1, importMatMul, ""},
    {"", "MatMulInteger", 10, importMatMulInteger, "of DynamicQuantizeLinear and constant weights"},
    {"", "Max", 8, importVariadic<BinaryKind::Max>, ""},
    {"", "Min", 8, importVariadic<BinaryKind::Min>, ""},
    {"", "Mul", 7, importBinary<BinaryKind::Mul>, ""},
    {"", "Neg", 6, importUnary<UnaryKind::Neg>, ""},
    {"", "Not", 1, importUnary<UnaryKind::Not>, ""},
    {"", "Or", 7, importBinary<BinaryKind::Or>, ""},
    {"", "Pow", 7, importPow, "constant exponents -1, 0.5, 1, 2 and 3"},
    {"", "QuantizeLinear", 10, importQuantizeLinear, "before DequantizeLinear: the layer is int8, scaled per token"},
    {"", "RMSNormalization", 23, importLayerNorm, ""},
    {"", "Range", 11, importRange, "constant start and step"},
    {"", "Reciprocal", 6, importUnary<UnaryKind::Reciprocal>, ""},
    {"", "ReduceL2", 1, importReduceL2, "constant axes"},
    {"", "ReduceMax", 1, importReduce<ReduceKind::Max>, "constant axes"},
    {"", "ReduceMean", 1, importReduce<ReduceKind::Mean>, "constant axes"},
    {"", "ReduceMin", 1, importReduce<ReduceKind::Min>, "constant axes"},
    {"", "ReduceProd", 1, importReduce<ReduceKind::Prod>, "constant axes"},
    {"", "ReduceSum", 1, importReduce<ReduceKind::Sum>, "constant axes"},
    {"", "ReduceSumSquare", 1, importReduceSumSquare, "constant axes"},
    {"", "Relu", 6, importUnary<UnaryKind::Relu>, ""},
    {"", "Reshape", 5, importReshape, "constant shape, or computed from the free dimension"},
    {"", "Round", 11, importUnary<UnaryKind::Round>, ""},
    {"", "Shape", 1, importShape, ""},
    {"", "Sigmoid", 6, importUnary<UnaryKind::Sigmoid>, ""},
    {"", "Sin", 7, importUnary<UnaryKind::Sin>, "angles up to 8192; larger ones lose bits"},
    {"", "Size", 1, importSize, ""},
    {"", "Slice", 10, importSlice, "constant bounds and steps; an end may be the free dimension"},
    {"", "Softmax", 1, importSoftmax, ""},
    {"", "Split", 2, importSplit, "constant parts"},
    {"", "Sqrt", 6, importUnary<UnaryKind::Sqrt>, ""},
    {"", "Squeeze", 1, importSqueeze, "constant axes"},
    {"", "Sub", 7, importBinary<BinaryKind::Sub>, ""},
    {"", "Sum", 8, importVariadic<BinaryKind::Add>, ""},
    {"", "Tanh", 6, importUnary<UnaryKind::Tanh>, ""},
    {"", "Transpose", 1, importTranspose, ""},
    {"", "Unsqueeze", 1, importUnsqueeze, "constant axes"},
    {"", "Where", 9, importWhere, ""},
    {"", "Xor", 7, importBinary<BinaryKind::Xor>, ""},
    {"com.microsoft", "FastGelu", 1, importGelu, ""},
    {"com.microsoft", "Gelu", 1, importGelu, ""},
    {"com.microsoft", "MatMulNBits", 1, importMatMulNBits, "4 bits, without group index"},
};

ArrayRef<OpEntry> mlir::rt3::onnx::allOps() { return kOps; }

const OpEntry *mlir::rt3::onnx::findOp(StringRef domain, StringRef type) {
  for (const OpEntry &entry : kOps)
    if ((domain == entry.domain || (domain == "ai.onnx" && !*entry.domain)) && type == entry.type)
      return &entry;
  return nullptr;
}
