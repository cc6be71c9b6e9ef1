// SPDX-License-Identifier: Apache-2.0
//
// Operators that move elements: transposes, slices, joins, repeats, gathers.

#include "compiler/onnx/ImportShapes.h"
#include "compiler/onnx/KnownTensor.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::rt3;
using namespace mlir::rt3::onnx;

mlir::Value mlir::rt3::onnx::transpose(Node &node, mlir::Value x, ArrayRef<int64_t> permutation) {
  Tensor tensor = node.importer.tensorOf(x);
  std::vector<Size> shape;
  for (int64_t axis : permutation)
    shape.push_back(tensor.shape[axis]);
  auto type = node.importer.typeOf(node, tensor.elementType, shape);
  return type ? mlir::Value(graph::TransposeOp::create(node.importer.builder(), *type, x, permutation)) : mlir::Value();
}

LogicalResult mlir::rt3::onnx::importTranspose(Node &node) {
  mlir::Value x = node.has(0) ? node.importer.valueOf(node, *node.inputs[0]) : mlir::Value();
  if (!x)
    return failure();
  int64_t rank = cast<RankedTensorType>(x.getType()).getRank();
  std::vector<int64_t> permutation = node.integers("perm");
  if (!node.attribute("perm"))
    for (int64_t i = rank; i-- > 0;)
      permutation.push_back(i);
  std::vector<int64_t> sorted = permutation;
  llvm::sort(sorted);
  if (!llvm::equal(sorted, llvm::seq<int64_t>(0, rank)))
    return node.unsupported("its perm is no permutation of its axes");
  mlir::Value result = transpose(node, x, permutation);
  return result ? node.importer.setResult(node, result) : failure();
}

LogicalResult mlir::rt3::onnx::importConcat(Node &node) {
  Importer &importer = node.importer;
  if (node.inputs.empty() || llvm::is_contained(node.inputs, nullptr))
    return failure();
  auto axis = node.axis(node.integer("axis", 0), node.inputs[0]->rank());
  if (!axis)
    return node.unsupported("its axis is out of range");
  // Lists of sizes.
  bool areLists = llvm::all_of(node.inputs, [](Tensor *input) { return input->isKnown && input->rank() == 1; });
  size_t listed = 0;
  for (Tensor *input : node.inputs)
    listed += input->known.size();
  areLists &= listed <= size_t(kMaxKnown);
  if (areLists) {
    std::vector<Size> known;
    for (Tensor *input : node.inputs)
      known.insert(known.end(), input->known.begin(), input->known.end());
    Size count(known.size());
    return importer.setResult(node, 0, knownTensor(node.inputs[0]->elementType, {count}, std::move(known)));
  }
  SmallVector<mlir::Value> values;
  std::vector<Size> shape = node.inputs[0]->shape;
  shape[*axis] = 0;
  for (Tensor *input : node.inputs) {
    std::vector<Size> own = input->shape;
    if (own.size() != shape.size() || input->elementType != node.inputs[0]->elementType)
      return failure();
    shape[*axis] = shape[*axis] + own[*axis];
    if (!own[*axis].isStatic())
      return node.unsupported("it joins along the free dimension", "fix it with --shape NAME=1x128");
    own[*axis] = shape[*axis];
    if (own != shape)
      return node.unsupported("its operands' shapes do not fit");
    mlir::Value value = importer.valueOf(node, *input);
    if (!value)
      return failure();
    values.push_back(value);
  }
  auto type = importer.typeOf(node, node.inputs[0]->elementType, shape);
  return type ? importer.setResult(node, graph::ConcatOp::create(importer.builder(), *type, values, *axis)) : failure();
}

LogicalResult mlir::rt3::onnx::importExpand(Node &node) {
  Importer &importer = node.importer;
  if (!node.has(0) || !node.has(1) || !node.inputs[1]->isKnown)
    return node.unsupported("its shape is computed from data");
  Tensor &x = *node.inputs[0];
  Tensor target = knownTensor(x.elementType, node.inputs[1]->known, {});
  std::vector<Size> shape = target.shape;
  if (x.shape.size() > shape.size())
    shape.insert(shape.begin(), x.shape.size() - shape.size(), Size(1));
  for (size_t i = 0; i < x.shape.size(); ++i) {
    Size &size = shape[shape.size() - x.shape.size() + i];
    if (size == Size(1) || size == Size(-1))
      size = x.shape[i];
    else if (x.shape[i] != Size(1) && x.shape[i] != size)
      return node.unsupported("its shape does not fit its operand");
  }
  if (x.isKnown && smallCount(shape))
    return importer.setResult(node, 0, knownTensor(x.elementType, shape, broadcastElements(x, shape)));
  mlir::Value value = importer.valueOf(node, x);
  auto type = value ? importer.typeOf(node, x.elementType, shape) : std::nullopt;
  if (!type)
    return failure();
  if (*type == value.getType())
    return importer.setResult(node, value);
  return importer.setResult(node, graph::ExpandOp::create(importer.builder(), *type, value));
}

// The largest number of an iota over the free dimension, seen through reshapes.
static std::optional<int64_t> largestOfIota(mlir::Value value, int64_t maxLength) {
  while (value) {
    if (auto reshape = value.getDefiningOp<graph::ReshapeOp>())
      value = reshape.getX();
    else if (auto expand = value.getDefiningOp<graph::ExpandOp>())
      value = expand.getX();
    else
      break;
  }
  auto iota = value ? value.getDefiningOp<graph::IotaOp>() : graph::IotaOp();
  if (!iota || int64_t(iota.getStep()) < 0)
    return std::nullopt;
  auto type = cast<RankedTensorType>(iota.getType());
  int64_t count = type.isDynamicDim(0) ? maxLength : type.getDimSize(0);
  return int64_t(iota.getStart()) + (count - 1) * int64_t(iota.getStep());
}

LogicalResult mlir::rt3::onnx::importGather(Node &node) {
  Importer &importer = node.importer;
  if (!node.has(0) || !node.has(1))
    return failure();
  Tensor &table = *node.inputs[0], &indices = *node.inputs[1];
  auto axis = node.axis(node.integer("axis", 0), table.rank());
  if (!axis)
    return node.unsupported("its axis is out of range");
  std::vector<Size> shape(table.shape.begin(), table.shape.begin() + *axis);
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), table.shape.begin() + *axis + 1, table.shape.end());
  // An element of a list of sizes.
  auto positions = importer.integersOf(indices);
  if (table.isKnown && positions && table.rank() == 1) {
    std::vector<Size> known;
    int64_t count = table.known.size();
    for (int64_t position : *positions) {
      if (position < -count || position >= count)
        return node.unsupported("index " + Twine(position) + " is outside its " + Twine(count) + " elements");
      known.push_back(table.known[position < 0 ? position + count : position]);
    }
    return importer.setResult(node, 0, knownTensor(table.elementType, shape, std::move(known)));
  }
  if (!table.shape[*axis].isStatic()) {
    // The first token is there at every length; no other one is.
    if (!positions || indices.rank() != 0 || (*positions)[0] != 0)
      return node.unsupported("it gathers along the free dimension", "fix it with --shape NAME=1x128");
    mlir::Value value = importer.valueOf(node, table);
    std::vector<Size> first = table.shape;
    first[*axis] = 1;
    auto type = value ? importer.typeOf(node, table.elementType, first) : std::nullopt;
    if (!type)
      return failure();
    std::vector<int64_t> starts(table.rank(), 0), steps(table.rank(), 1);
    mlir::Value slice = graph::SliceOp::create(importer.builder(), *type, value, starts, steps);
    mlir::Value result = reshape(node, slice, shape);
    return result ? importer.setResult(node, result) : failure();
  }
  // Positions beyond their table must not be found at run time only.
  int64_t size = table.shape[*axis].constant;
  for (int64_t position : positions.value_or(std::vector<int64_t>()))
    if (position < -size || position >= size)
      return node.unsupported("index " + Twine(position) + " is outside its " + Twine(size) + " elements");
  if (std::optional<int64_t> last = largestOfIota(indices.value, importer.maxLength()); last && *last >= size)
    return node.unsupported("at the largest length, index " + Twine(*last) + " is outside its " + Twine(size) +
                                " elements",
                            "lower the maximum in --shape");
  mlir::Value t = importer.valueOf(node, table), i = t ? importer.valueOf(node, indices) : t;
  auto type = i ? importer.typeOf(node, table.elementType, shape) : std::nullopt;
  if (!type || (indices.elementType != TensorProto::INT64 && indices.elementType != TensorProto::INT32))
    return failure();
  return importer.setResult(node, graph::GatherOp::create(importer.builder(), *type, t, i, *axis));
}

// Sets result i to the slice of x with these starts, steps and sizes.
static LogicalResult setSlice(Node &node, size_t i, Tensor &x, ArrayRef<int64_t> starts, ArrayRef<int64_t> steps,
                              ArrayRef<Size> shape) {
  Importer &importer = node.importer;
  if (x.isKnown && smallCount(shape)) {
    std::vector<int64_t> strides = rowMajorStrides(x.shape);
    int64_t first = 0;
    for (size_t axis = 0; axis < strides.size(); ++axis) {
      first += starts[axis] * strides[axis];
      strides[axis] *= steps[axis];
    }
    std::vector<Size> known;
    forEachOffset(shape, strides, [&](int64_t offset) { known.push_back(x.known[first + offset]); });
    return importer.setResult(node, i, knownTensor(x.elementType, shape, std::move(known)));
  }
  mlir::Value value = importer.valueOf(node, x);
  auto type = value ? importer.typeOf(node, x.elementType, shape) : std::nullopt;
  if (!type)
    return failure();
  if (*type == value.getType() && llvm::all_of(steps, [](int64_t step) { return step == 1; }))
    return importer.setResult(node, i, importer.tensorOf(value));
  return importer.setResult(node, i,
                            importer.tensorOf(graph::SliceOp::create(importer.builder(), *type, value, starts, steps)));
}

LogicalResult mlir::rt3::onnx::importSlice(Node &node) {
  Importer &importer = node.importer;
  for (size_t i : {0, 1, 2})
    if (!node.has(i))
      return failure();
  Tensor &x = *node.inputs[0];
  auto begins = importer.integersOf(*node.inputs[1]);
  if (!begins || !node.inputs[2]->isKnown)
    return node.unsupported("its bounds are computed from data");
  std::vector<Size> ends = node.inputs[2]->known;
  std::vector<int64_t> axes, strides(ends.size(), 1);
  for (size_t i = 0; i < ends.size(); ++i)
    axes.push_back(i);
  if (node.has(3)) {
    auto given = importer.integersOf(*node.inputs[3]);
    if (!given)
      return node.unsupported("its axes are not constant");
    axes = *given;
  }
  if (node.has(4)) {
    auto given = importer.integersOf(*node.inputs[4]);
    if (!given)
      return node.unsupported("its steps are not constant");
    strides = *given;
  }
  if (begins->size() != ends.size() || axes.size() != ends.size() || strides.size() != ends.size())
    return failure();
  std::vector<int64_t> starts(x.rank(), 0), steps(x.rank(), 1);
  std::vector<Size> shape = x.shape;
  for (size_t i = 0; i < ends.size(); ++i) {
    auto axis = node.axis(axes[i], x.rank());
    if (!axis || strides[i] == 0)
      return failure();
    Size size = x.shape[*axis], end = ends[i];
    int64_t begin = (*begins)[i];
    steps[*axis] = strides[i];
    if (!size.isStatic() || !end.isStatic()) {
      // With a free size, the only slices whose size is one are those that
      // begin at 0: the first token, the first `length` elements, or all.
      if (begin == 0 && end == Size(1) && strides[i] == 1) {
        shape[*axis] = 1;
        continue;
      }
      bool takesAll = !size.isStatic() && end.isStatic() && end.constant >= importer.maxLength();
      bool takesLength = end == Size(0, 1) && (!size.isStatic() || size.constant >= importer.maxLength());
      if (begin != 0 || strides[i] != 1 || (!takesAll && !takesLength))
        return node.unsupported("it cuts the free dimension", "fix it with --shape NAME=1x128");
      shape[*axis] = Size(0, 1);
      continue;
    }
    int64_t n = size.constant, last = end.constant;
    auto clamp = [&](int64_t value, int64_t low, int64_t high) {
      return std::clamp(value < 0 ? std::max(value, -n - 1) + n : value, low, high);
    };
    bool isForward = strides[i] > 0;
    begin = isForward ? clamp(begin, 0, n) : clamp(begin, 0, n - 1);
    last = isForward ? clamp(last, 0, n) : last < -n ? -1 : clamp(last, -1, n - 1);
    int64_t span = last - begin;
    int64_t count = (span > 0) == isForward && span != 0 ? llvm::divideCeilSigned(span, strides[i]) : 0;
    if (count == 0 && !x.isKnown)
      return node.unsupported("its result is empty");
    starts[*axis] = begin;
    shape[*axis] = count;
  }
  return setSlice(node, 0, x, starts, steps, shape);
}

LogicalResult mlir::rt3::onnx::importSplit(Node &node) {
  Importer &importer = node.importer;
  if (!node.has(0))
    return failure();
  Tensor &x = *node.inputs[0];
  auto axis = node.axis(node.integer("axis", 0), x.rank());
  if (!axis || !x.shape[*axis].isStatic())
    return node.unsupported("its axis is out of range or free");
  int64_t size = x.shape[*axis].constant, outputs = node.proto.output_size();
  std::vector<int64_t> parts = node.integers("split");
  if (node.has(1)) {
    auto given = importer.integersOf(*node.inputs[1]);
    if (!given)
      return node.unsupported("its parts are not constant");
    parts = *given;
  }
  if (parts.empty() && outputs > 0) {
    int64_t part = llvm::divideCeil(size, outputs);
    for (int64_t i = 0; i < outputs; ++i)
      parts.push_back(std::clamp<int64_t>(size - i * part, 0, part));
  }
  if (int64_t(parts.size()) != outputs)
    return failure();
  int64_t start = 0;
  for (int64_t i = 0; i < outputs; ++i) {
    if (parts[i] < 1 || parts[i] > size - start)
      return node.unsupported("its parts are empty or larger than the whole");
    std::vector<int64_t> starts(x.rank(), 0), steps(x.rank(), 1);
    std::vector<Size> shape = x.shape;
    starts[*axis] = start;
    shape[*axis] = parts[i];
    if (failed(setSlice(node, i, x, starts, steps, shape)))
      return failure();
    start += parts[i];
  }
  return success();
}
