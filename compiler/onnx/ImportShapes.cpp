// SPDX-License-Identifier: Apache-2.0

#include "compiler/onnx/ImportShapes.h"

#include "compiler/onnx/KnownTensor.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::rt3;
using namespace mlir::rt3::onnx;
using graph::BinaryKind;

// The broadcast shape of known tensors; nothing if they do not fit.
static std::optional<std::vector<Size>> knownBroadcast(ArrayRef<const Tensor *> tensors) {
  std::vector<Size> shape;
  for (const Tensor *tensor : tensors) {
    if (tensor->shape.size() > shape.size())
      shape.insert(shape.begin(), tensor->shape.size() - shape.size(), Size(1));
    for (size_t i = 0; i < tensor->shape.size(); ++i) {
      Size &size = shape[shape.size() - tensor->shape.size() + i];
      if (size == Size(1))
        size = tensor->shape[i];
      else if (tensor->shape[i] != Size(1) && tensor->shape[i] != size)
        return std::nullopt;
    }
  }
  if (!smallCount(shape))
    return std::nullopt;
  return shape;
}

// Nothing if the result is not linear in the free dimension, or overflows.
static std::optional<Size> combine(BinaryKind kind, Size a, Size b) {
  bool isStatic = a.isStatic() && b.isStatic();
  int64_t x = a.constant, y = b.constant, result;
  switch (kind) {
  case BinaryKind::Add:
    if (llvm::AddOverflow(x, y, result))
      return std::nullopt;
    return a + b;
  case BinaryKind::Sub:
    if (llvm::SubOverflow(x, y, result))
      return std::nullopt;
    return a - b;
  case BinaryKind::Mul: {
    if (!a.isStatic() && !b.isStatic())
      return std::nullopt;
    if (!a.isStatic())
      std::swap(a, b);
    int64_t factor;
    if (llvm::MulOverflow(a.constant, b.constant, result) || llvm::MulOverflow(a.constant, b.factor, factor))
      return std::nullopt;
    return Size(result, factor);
  }
  case BinaryKind::Div:
    if (!b.isStatic() || y == 0 || y == -1 || (!a.isStatic() && (a.constant % y != 0 || a.factor % y != 0)))
      return std::nullopt;
    return Size(a.constant / y, a.factor / y);
  case BinaryKind::Equal:
    // A length is never negative: -1 is a mark in shapes.
    if (!isStatic)
      return a == b                                               ? std::optional(Size(1))
             : (a.isStatic() && x < 0) || (b.isStatic() && y < 0) ? std::optional(Size(0))
                                                                  : std::nullopt;
    return Size(x == y);
  default:
    break;
  }
  if (!isStatic)
    return std::nullopt;
  switch (kind) {
  case BinaryKind::Max:
    return Size(std::max(x, y));
  case BinaryKind::Min:
    return Size(std::min(x, y));
  case BinaryKind::And:
    return Size(x && y);
  case BinaryKind::Or:
    return Size(x || y);
  case BinaryKind::Xor:
    return Size(!x != !y);
  case BinaryKind::Less:
    return Size(x < y);
  case BinaryKind::LessEqual:
    return Size(x <= y);
  case BinaryKind::Greater:
    return Size(x > y);
  default:
    return Size(x >= y);
  }
}

bool mlir::rt3::onnx::foldBinary(Node &node, BinaryKind kind) {
  const Tensor &a = *node.inputs[0], &b = *node.inputs[1];
  if (!a.isKnown || !b.isKnown || a.elementType != b.elementType)
    return false;
  auto shape = knownBroadcast({&a, &b});
  if (!shape)
    return false;
  std::vector<Size> x = broadcastElements(a, *shape), y = broadcastElements(b, *shape), result;
  for (size_t i = 0; i < x.size(); ++i) {
    auto value = combine(kind, x[i], y[i]);
    if (!value)
      return false;
    result.push_back(*value);
  }
  int32_t type = kind >= BinaryKind::Equal ? int32_t(TensorProto::BOOL) : a.elementType;
  return succeeded(node.importer.setResult(node, 0, knownTensor(type, *shape, std::move(result))));
}

bool mlir::rt3::onnx::foldWhere(Node &node) {
  const Tensor &c = *node.inputs[0], &a = *node.inputs[1], &b = *node.inputs[2];
  if (!c.isKnown || !a.isKnown || !b.isKnown || a.elementType != b.elementType)
    return false;
  auto shape = knownBroadcast({&c, &a, &b});
  if (!shape)
    return false;
  std::vector<Size> condition = broadcastElements(c, *shape), x = broadcastElements(a, *shape),
                    y = broadcastElements(b, *shape);
  for (size_t i = 0; i < x.size(); ++i) {
    if (!condition[i].isStatic())
      return false;
    x[i] = condition[i].constant ? x[i] : y[i];
  }
  return succeeded(node.importer.setResult(node, 0, knownTensor(a.elementType, *shape, std::move(x))));
}

bool mlir::rt3::onnx::foldCast(Node &node, int32_t elementType) {
  Tensor tensor = *node.inputs[0];
  if (!tensor.isKnown ||
      (elementType != TensorProto::INT64 && elementType != TensorProto::INT32 && elementType != TensorProto::BOOL))
    return false;
  for (Size &element : tensor.known) {
    if (elementType == TensorProto::BOOL)
      element = element.isStatic() ? Size(element.constant != 0) : Size(1);
    else if (elementType == TensorProto::INT32 && element.isStatic())
      element = int32_t(element.constant);
  }
  return succeeded(node.importer.setResult(node, 0, knownTensor(elementType, tensor.shape, std::move(tensor.known))));
}

//===-- Reshapes ----------------------------------------------------------===//

// The product of sizes, as c x length^f; nothing on overflow.
static std::optional<std::pair<int64_t, int>> product(ArrayRef<Size> shape) {
  std::pair<int64_t, int> result = {1, 0};
  for (Size size : shape) {
    if (!size.isStatic() && size.constant != 0)
      return std::nullopt;
    if (llvm::MulOverflow(result.first, size.isStatic() ? size.constant : size.factor, result.first))
      return std::nullopt;
    result.second += !size.isStatic();
  }
  return result;
}

mlir::Value mlir::rt3::onnx::reshape(Node &node, mlir::Value x, ArrayRef<Size> shape) {
  if (!x)
    return {};
  Tensor tensor = node.importer.tensorOf(x);
  if (ArrayRef<Size>(tensor.shape) == shape)
    return x;
  auto before = product(tensor.shape), after = product(shape);
  if (!before || before != after)
    return (void)node.unsupported("the shapes before and after have different numbers of elements"), mlir::Value();
  auto type = node.importer.typeOf(node, tensor.elementType, shape);
  return type ? mlir::Value(graph::ReshapeOp::create(node.importer.builder(), *type, x)) : mlir::Value();
}

// Sets the result of a node that only changes the shape.
static LogicalResult setReshaped(Node &node, ArrayRef<Size> shape) {
  Tensor &x = *node.inputs[0];
  if (x.isKnown && product(x.shape) == product(shape))
    return node.importer.setResult(node, 0, knownTensor(x.elementType, shape, x.known));
  mlir::Value value = node.importer.valueOf(node, x);
  mlir::Value result = value ? reshape(node, value, shape) : mlir::Value();
  return result ? node.importer.setResult(node, result) : failure();
}

LogicalResult mlir::rt3::onnx::importReshape(Node &node) {
  if (!node.has(0) || !node.has(1))
    return failure();
  const Tensor &x = *node.inputs[0], &wanted = *node.inputs[1];
  if (!wanted.isKnown)
    return node.unsupported("its shape is computed from data");
  std::vector<Size> shape = wanted.known;
  std::optional<size_t> open;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == Size(0) && node.integer("allowzero", 0) == 0) {
      if (i >= x.shape.size())
        return failure();
      shape[i] = x.shape[i];
    } else if (shape[i] == Size(-1)) {
      if (open)
        return failure();
      open = i;
    } else if (shape[i].isStatic() && shape[i].constant < 0) {
      return node.unsupported("its shape has a size of " + Twine(shape[i].constant));
    }
  }
  if (open) {
    shape[*open] = 1;
    auto whole = product(x.shape), rest = product(shape);
    if (!whole || !rest || rest->first == 0 || whole->first % rest->first != 0 || whole->second < rest->second ||
        whole->second > rest->second + 1)
      return node.unsupported("the size left open in its shape is no whole number");
    int64_t quotient = whole->first / rest->first;
    shape[*open] = whole->second > rest->second ? Size(0, quotient) : Size(quotient);
  }
  return setReshaped(node, shape);
}

LogicalResult mlir::rt3::onnx::importFlatten(Node &node) {
  if (!node.has(0))
    return failure();
  const Tensor &x = *node.inputs[0];
  int64_t axis = node.integer("axis", 1);
  axis = axis < 0 ? axis + x.rank() : axis;
  if (axis < 0 || axis > x.rank())
    return failure();
  auto join = [](ArrayRef<Size> sizes) -> std::optional<Size> {
    auto p = product(sizes);
    if (!p || p->second > 1)
      return std::nullopt;
    return p->second ? Size(0, p->first) : Size(p->first);
  };
  auto rows = join(ArrayRef(x.shape).take_front(axis)), columns = join(ArrayRef(x.shape).drop_front(axis));
  if (!rows || !columns)
    return failure();
  return setReshaped(node, {*rows, *columns});
}

// Axes from the attribute (before opset 13) or the second operand.
static std::optional<std::vector<int64_t>> givenAxes(Node &node) {
  if (!node.has(1))
    return node.integers("axes");
  auto axes = node.importer.integersOf(*node.inputs[1]);
  if (!axes)
    (void)node.unsupported("its axes are not constant");
  return axes;
}

LogicalResult mlir::rt3::onnx::importSqueeze(Node &node) {
  if (!node.has(0))
    return failure();
  const Tensor &x = *node.inputs[0];
  auto axes = givenAxes(node);
  if (!axes)
    return failure();
  std::vector<bool> goes(x.rank(), false);
  for (int64_t given : *axes) {
    auto axis = node.axis(given, x.rank());
    if (!axis || x.shape[*axis] != Size(1))
      return node.unsupported("axis " + Twine(given) + " does not have size 1");
    goes[*axis] = true;
  }
  std::vector<Size> shape;
  for (int64_t i = 0; i < x.rank(); ++i)
    if (axes->empty() ? x.shape[i] != Size(1) : !goes[i])
      shape.push_back(x.shape[i]);
  return setReshaped(node, shape);
}

LogicalResult mlir::rt3::onnx::importUnsqueeze(Node &node) {
  if (!node.has(0))
    return failure();
  const Tensor &x = *node.inputs[0];
  auto axes = givenAxes(node);
  if (!axes)
    return failure();
  int64_t rank = x.rank() + axes->size();
  if (rank > 8)
    return node.unsupported("the result has more than 8 axes");
  std::vector<bool> isNew(rank, false);
  for (int64_t given : *axes) {
    auto axis = node.axis(given, rank);
    if (!axis || isNew[*axis])
      return failure();
    isNew[*axis] = true;
  }
  std::vector<Size> shape;
  size_t next = 0;
  for (int64_t i = 0; i < rank; ++i)
    shape.push_back(isNew[i] ? Size(1) : x.shape[next++]);
  return setReshaped(node, shape);
}

LogicalResult mlir::rt3::onnx::importIdentity(Node &node) {
  return node.has(0) ? node.importer.setResult(node, 0, *node.inputs[0]) : failure();
}

//===-- Shapes as data ----------------------------------------------------===//

LogicalResult mlir::rt3::onnx::importShape(Node &node) {
  if (!node.has(0))
    return failure();
  const Tensor &x = *node.inputs[0];
  auto bound = [&](StringRef name, int64_t otherwise) {
    int64_t value = node.integer(name, otherwise);
    return std::clamp<int64_t>(value < 0 ? value + x.rank() : value, 0, x.rank());
  };
  int64_t start = bound("start", 0), end = std::max(bound("end", x.rank()), start);
  std::vector<Size> sizes(x.shape.begin() + start, x.shape.begin() + end);
  Size count(sizes.size());
  return node.importer.setResult(node, 0, knownTensor(TensorProto::INT64, {count}, std::move(sizes)));
}

LogicalResult mlir::rt3::onnx::importSize(Node &node) {
  if (!node.has(0))
    return failure();
  auto p = product(node.inputs[0]->shape);
  if (!p || p->second > 1)
    return failure();
  Size count = p->second ? Size(0, p->first) : Size(p->first);
  return node.importer.setResult(node, 0, knownTensor(TensorProto::INT64, {}, {count}));
}

LogicalResult mlir::rt3::onnx::importConstant(Node &node) {
  Importer &importer = node.importer;
  if (auto *value = node.attribute("value"); value && value->has_t()) {
    auto data = readTensor(value->t(), importer.dataFolder());
    if (!data)
      return node.unsupported(llvm::toString(data.takeError()));
    if (llvm::Error error = importer.countWeights(value->t(), *data))
      return node.unsupported(llvm::toString(std::move(error)));
    Tensor tensor;
    tensor.elementType = data->elementType;
    for (int64_t size : data->dims)
      tensor.shape.push_back(size);
    int64_t count = data->elementCount();
    if (data->elementType != TensorProto::FLOAT && count <= kMaxKnown) {
      tensor.isKnown = true;
      for (int64_t i = 0; i < count; ++i)
        tensor.known.push_back(data->elementType == TensorProto::INT64   ? data->at<int64_t>(i)
                               : data->elementType == TensorProto::INT32 ? data->at<int32_t>(i)
                                                                         : data->bytes[i]);
    }
    if (count > 0)
      tensor.value = importer.constant(*data, "constant");
    return importer.setResult(node, 0, std::move(tensor));
  }
  if (auto *value = node.attribute("value_int"))
    return importer.setResult(node, 0, knownTensor(TensorProto::INT64, {}, {Size(value->i())}));
  if (node.attribute("value_ints")) {
    std::vector<int64_t> integers = node.integers("value_ints");
    std::vector<Size> known(integers.begin(), integers.end());
    Size count(known.size());
    return importer.setResult(node, 0, knownTensor(TensorProto::INT64, {count}, std::move(known)));
  }
  std::vector<float> floats;
  std::vector<int64_t> dims;
  if (auto *value = node.attribute("value_float")) {
    floats = {value->f()};
  } else if (auto *values = node.attribute("value_floats"); values && values->floats_size()) {
    floats.assign(values->floats().begin(), values->floats().end());
    dims = {int64_t(floats.size())};
  } else {
    return node.unsupported("its value is no tensor, number or list of numbers");
  }
  TensorData data{TensorProto::FLOAT, dims, std::vector<char>(4 * floats.size())};
  memcpy(data.bytes.data(), floats.data(), data.bytes.size());
  return importer.setResult(node, importer.constant(data, "constant"));
}

LogicalResult mlir::rt3::onnx::importConstantOfShape(Node &node) {
  Importer &importer = node.importer;
  if (!node.has(0) || !node.inputs[0]->isKnown)
    return node.unsupported("its shape is computed from data");
  std::vector<Size> shape = node.inputs[0]->known;
  TensorData one{TensorProto::FLOAT, {1}, std::vector<char>(4, 0)};
  if (auto *value = node.attribute("value"); value && value->has_t()) {
    auto data = readTensor(value->t(), importer.dataFolder());
    if (!data || data->elementCount() != 1)
      return data ? failure() : node.unsupported(llvm::toString(data.takeError()));
    one = *data;
  }
  auto count = smallCount(shape);
  if (one.elementType != TensorProto::FLOAT && count) {
    Size element = one.elementType == TensorProto::INT64   ? one.at<int64_t>(0)
                   : one.elementType == TensorProto::INT32 ? one.at<int32_t>(0)
                                                           : one.bytes[0];
    return importer.setResult(node, 0, knownTensor(one.elementType, shape, std::vector<Size>(*count, element)));
  }
  auto type = importer.typeOf(node, one.elementType, shape);
  if (!type)
    return failure();
  // A repeated element takes no memory, whatever the shape.
  TensorData scalar = one;
  scalar.dims = std::vector<int64_t>(shape.size(), 1);
  mlir::Value element = importer.constant(scalar, "constant");
  if (type == element.getType())
    return importer.setResult(node, element);
  return importer.setResult(node, graph::ExpandOp::create(importer.builder(), *type, element));
}

LogicalResult mlir::rt3::onnx::importRange(Node &node) {
  Importer &importer = node.importer;
  for (size_t i : {0, 1, 2})
    if (!node.has(i) || !node.inputs[i]->isKnown || node.inputs[i]->known.size() != 1)
      return node.unsupported("its bounds are not known integers");
  Size start = node.inputs[0]->known[0], limit = node.inputs[1]->known[0], step = node.inputs[2]->known[0];
  if (!start.isStatic() || !step.isStatic() || step.constant == 0)
    return node.unsupported("its start or step is not constant");
  int32_t elementType = node.inputs[0]->elementType;
  Size count;
  if (limit.isStatic()) {
    int64_t span;
    if (llvm::SubOverflow(limit.constant, start.constant, span))
      return failure();
    count = std::max<int64_t>(0, llvm::divideCeilSigned(span, step.constant));
    if (count.constant <= kMaxKnown) {
      std::vector<Size> known;
      for (int64_t i = 0; i < count.constant; ++i)
        known.push_back(start.constant + i * step.constant);
      return importer.setResult(node, 0, knownTensor(elementType, {count}, std::move(known)));
    }
  } else {
    if (step != Size(1))
      return node.unsupported("it steps through the free dimension by another number than 1");
    count = limit - start;
  }
  auto type = importer.typeOf(node, elementType, {count});
  if (!type || !type->getElementType().isInteger())
    return failure();
  return importer.setResult(node, graph::IotaOp::create(importer.builder(), *type, start.constant, step.constant));
}
