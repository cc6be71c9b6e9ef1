// SPDX-License-Identifier: Apache-2.0
//
// The rt3_graph dialect: registration, verifiers and access to constants.

#include "dialects/graph/Graph.h"

#include "dialects/graph/Quantize.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::rt3::graph;

#include "dialects/graph/GraphDialect.cpp.inc"
#include "dialects/graph/GraphEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/graph/GraphAttrs.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/graph/GraphOps.cpp.inc"

void GraphDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/graph/GraphAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/GraphOps.cpp.inc"
      >();
}

//===-- Constants ---------------------------------------------------------===//

ArrayRef<char> mlir::rt3::graph::rawBytes(ElementsAttr elements) {
  if (auto resource = dyn_cast_or_null<DenseResourceElementsAttr>(elements)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    return blob ? blob->getData() : ArrayRef<char>();
  }
  if (auto dense = dyn_cast_or_null<DenseElementsAttr>(elements))
    return dense.getRawData();
  return {};
}

template <typename T> static std::vector<T> elementsAs(ElementsAttr elements) {
  ArrayRef<char> bytes = rawBytes(elements);
  size_t count = elements.getNumElements();
  std::vector<T> result(count);
  bool isSplat = bytes.size() == sizeof(T) && count != 1;
  for (size_t i = 0; i < count; ++i)
    std::memcpy(&result[i], bytes.data() + (isSplat ? 0 : i * sizeof(T)), sizeof(T));
  return result;
}

std::vector<float> mlir::rt3::graph::floatElements(ElementsAttr elements) { return elementsAs<float>(elements); }

std::vector<uint8_t> mlir::rt3::graph::byteElements(ElementsAttr elements) { return elementsAs<uint8_t>(elements); }

ElementsAttr mlir::rt3::graph::makeResource(RankedTensorType type, StringRef name, ArrayRef<char> bytes) {
  return DenseResourceElementsAttr::get(type, name, HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, 64));
}

void mlir::rt3::graph::releaseResource(ElementsAttr elements) {
  if (auto resource = dyn_cast_or_null<DenseResourceElementsAttr>(elements))
    if (AsmResourceBlob *blob = resource.getRawHandle().getBlob())
      *blob = AsmResourceBlob();
}

ElementsAttr mlir::rt3::graph::encodingMask(Attribute encoding) {
  if (auto block = dyn_cast_or_null<BlockEncodingAttr>(encoding))
    return block.getMask();
  if (auto pattern = dyn_cast_or_null<PatternEncodingAttr>(encoding))
    return pattern.getMask();
  return {};
}

ElementsAttr mlir::rt3::graph::encodingWeights(Attribute encoding) {
  if (auto block = dyn_cast<BlockEncodingAttr>(encoding))
    return block.getWeights();
  if (auto pattern = dyn_cast<PatternEncodingAttr>(encoding))
    return pattern.getWeights();
  return {};
}

ElementsAttr mlir::rt3::graph::encodingBias(Attribute encoding) {
  if (auto block = dyn_cast<BlockEncodingAttr>(encoding))
    return block.getBias();
  if (auto pattern = dyn_cast<PatternEncodingAttr>(encoding))
    return pattern.getBias();
  return {};
}

Attribute mlir::rt3::graph::withValues(Attribute encoding, ElementsAttr weights, ElementsAttr bias) {
  MLIRContext *context = encoding.getContext();
  if (auto block = dyn_cast<BlockEncodingAttr>(encoding))
    return BlockEncodingAttr::get(context, block.getRows(), block.getMask(), weights, bias);
  auto pattern = cast<PatternEncodingAttr>(encoding);
  return PatternEncodingAttr::get(context, pattern.getSet(), pattern.getGathered(), pattern.getMask(), weights, bias);
}

int64_t mlir::rt3::graph::keyHeads(AttentionOp op) {
  auto features = [](Value value) { return cast<RankedTensorType>(value.getType()).getShape().back(); };
  return features(op.getK()) / (features(op.getQ()) / op.getHeads());
}

bool mlir::rt3::graph::isNamed(StringRef layer, StringRef pattern) {
  return pattern.consume_back("*") ? layer.starts_with(pattern) : layer == pattern;
}

ElementsAttr mlir::rt3::graph::constantValue(Value value) {
  auto constant = value ? value.getDefiningOp<ConstantOp>() : ConstantOp();
  return constant ? constant.getValue() : ElementsAttr();
}

//===-- Shapes ------------------------------------------------------------===//

// Whether `from` broadcasts to `to`: aligned at the last axis, each size is
// equal or 1.
static bool broadcastsTo(ArrayRef<int64_t> from, ArrayRef<int64_t> to) {
  if (from.size() > to.size())
    return false;
  to = to.take_back(from.size());
  return llvm::all_of(llvm::zip(from, to),
                      [](auto pair) { return std::get<0>(pair) == 1 || std::get<0>(pair) == std::get<1>(pair); });
}

// The broadcast of both shapes, nothing if sizes differ.
static std::optional<SmallVector<int64_t>> broadcast(ArrayRef<int64_t> a, ArrayRef<int64_t> b) {
  if (a.size() < b.size())
    std::swap(a, b);
  SmallVector<int64_t> result(a);
  for (size_t i = 0; i < b.size(); ++i) {
    int64_t &size = result[a.size() - b.size() + i];
    if (size == 1)
      size = b[i];
    else if (b[i] != 1 && b[i] != size)
      return std::nullopt;
  }
  return result;
}

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }
static ArrayRef<int64_t> shapeOf(Value value) { return typeOf(value).getShape(); }
static Type elementOf(Value value) { return typeOf(value).getElementType(); }

static bool isAxis(int64_t axis, Value value) { return axis >= 0 && axis < typeOf(value).getRank(); }

//===-- Verifiers ---------------------------------------------------------===//

LogicalResult PatternSetOp::verify() {
  int64_t rows = getRows(), columns = getColumns();
  if (rows < 1 || columns < 1 || rows > 64 || columns > 64 || rows * columns > 64) // C1
    return emitOpError("block ") << rows << "x" << columns << " has no size from 1x1 to 64 weights";
  ArrayRef<int64_t> patterns = getPatterns();
  if (patterns.empty() || patterns.size() > 256) // C2
    return emitOpError("has ") << patterns.size() << " patterns, expected 1 to 256";
  llvm::SmallSet<int64_t, 32> seen;
  for (int64_t pattern : patterns) {
    if (rows * columns < 64 && uint64_t(pattern) >> (rows * columns)) // C3
      return emitOpError("pattern ") << pattern << " has a bit outside the " << rows << "x" << columns << " block";
    if (!seen.insert(pattern).second) // C4
      return emitOpError("pattern ") << pattern << " is there twice";
  }
  return success();
}

LogicalResult LevelOp::verify() {
  for (int64_t number : {getFrequencyKhz(), getVoltageUv(), getPowerMw()})
    if (number < 0) // C1
      return emitOpError("has the negative number ") << number;
  return success();
}

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

LogicalResult UnaryOp::verify() {
  Type element = elementOf(getX());
  bool isBool = element.isInteger(1);
  bool fits;
  switch (getKind()) {
  case UnaryKind::Not:
    fits = isBool;
    break;
  case UnaryKind::Abs:
  case UnaryKind::Neg:
    fits = !isBool;
    break;
  default:
    fits = element.isF32();
  }
  if (!fits) // C1
    return emitOpError(stringifyUnaryKind(getKind())) << " is not defined for " << element;
  return success();
}

static bool isComparison(BinaryKind kind) { return kind >= BinaryKind::Equal && kind <= BinaryKind::GreaterEqual; }
static bool isLogical(BinaryKind kind) {
  return kind == BinaryKind::And || kind == BinaryKind::Or || kind == BinaryKind::Xor;
}

LogicalResult BinaryOp::verify() {
  Type element = elementOf(getLhs());
  if (element != elementOf(getRhs())) // C1
    return emitOpError("operands have element types ") << element << " and " << elementOf(getRhs());
  auto shape = broadcast(shapeOf(getLhs()), shapeOf(getRhs()));
  if (!shape || ArrayRef<int64_t>(*shape) != shapeOf(getResult())) // C2
    return emitOpError("shapes [") << shapeOf(getLhs()) << "] and [" << shapeOf(getRhs()) << "] do not broadcast to ["
                                   << shapeOf(getResult()) << "]";
  Type expected = isComparison(getKind()) ? IntegerType::get(getContext(), 1) : element;
  if (elementOf(getResult()) != expected) // C3
    return emitOpError("result has element type ") << elementOf(getResult()) << ", expected " << expected;
  if (!isComparison(getKind()) && isLogical(getKind()) != element.isInteger(1)) // C4
    return emitOpError(stringifyBinaryKind(getKind())) << " is not defined for " << element;
  return success();
}

LogicalResult SelectOp::verify() {
  Type element = elementOf(getOnTrue());
  if (element != elementOf(getOnFalse()) || element != elementOf(getResult())) // C1
    return emitOpError("values have element types ")
           << element << " and " << elementOf(getOnFalse()) << ", result " << elementOf(getResult());
  auto values = broadcast(shapeOf(getOnTrue()), shapeOf(getOnFalse()));
  auto shape = values ? broadcast(*values, shapeOf(getCondition())) : std::optional<SmallVector<int64_t>>();
  if (!shape || ArrayRef<int64_t>(*shape) != shapeOf(getResult())) // C2
    return emitOpError("shapes [") << shapeOf(getCondition()) << "], [" << shapeOf(getOnTrue()) << "] and ["
                                   << shapeOf(getOnFalse()) << "] do not broadcast to [" << shapeOf(getResult()) << "]";
  return success();
}

LogicalResult ReshapeOp::verify() {
  if (elementOf(getX()) != elementOf(getResult())) // C1
    return emitOpError("changes the element type from ") << elementOf(getX()) << " to " << elementOf(getResult());
  auto measure = [](ArrayRef<int64_t> shape) {
    std::pair<int64_t, int64_t> result = {1, 0};
    for (int64_t size : shape)
      if (ShapedType::isDynamic(size))
        ++result.second;
      else
        result.first *= size;
    return result;
  };
  if (measure(shapeOf(getX())) != measure(shapeOf(getResult()))) // C2
    return emitOpError("shapes [") << shapeOf(getX()) << "] and [" << shapeOf(getResult())
                                   << "] have different numbers of elements";
  return success();
}

OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  if (getX().getType() == getType())
    return getX();
  if (auto inner = getX().getDefiningOp<ReshapeOp>()) {
    setOperand(inner.getX());
    return getResult();
  }
  return {};
}

LogicalResult TransposeOp::verify() {
  ArrayRef<int64_t> permutation = getPermutation();
  SmallVector<int64_t> sorted(permutation);
  llvm::sort(sorted);
  if (int64_t(sorted.size()) != typeOf(getX()).getRank() ||
      !llvm::equal(sorted, llvm::seq<int64_t>(0, sorted.size()))) // C1
    return emitOpError("[") << permutation << "] is no permutation of " << typeOf(getX()).getRank() << " axes";
  SmallVector<int64_t> shape;
  for (int64_t axis : permutation)
    shape.push_back(shapeOf(getX())[axis]);
  auto expected = RankedTensorType::get(shape, elementOf(getX()));
  if (getType() != expected) // C2
    return emitOpError("result is ") << getType() << ", expected " << expected;
  return success();
}

OpFoldResult TransposeOp::fold(FoldAdaptor) {
  if (llvm::equal(getPermutation(), llvm::seq<int64_t>(0, getPermutation().size())))
    return getX();
  // Two in a row become one.
  if (auto inner = getX().getDefiningOp<TransposeOp>()) {
    SmallVector<int64_t> composed;
    for (int64_t axis : getPermutation())
      composed.push_back(inner.getPermutation()[axis]);
    setPermutation(composed);
    setOperand(inner.getX());
    return getResult();
  }
  return {};
}

LogicalResult SliceOp::verify() {
  auto source = typeOf(getX()), result = typeOf(getResult());
  size_t rank = source.getRank();
  if (getStarts().size() != rank || getSteps().size() != rank || result.getRank() != source.getRank() ||
      source.getElementType() != result.getElementType()) // C1
    return emitOpError("has ") << getStarts().size() << " starts and " << getSteps().size() << " steps for " << source
                               << " -> " << result;
  for (size_t i = 0; i < rank; ++i) {
    int64_t start = getStarts()[i], step = getSteps()[i];
    if (step == 0) // C3
      return emitOpError("step of axis ") << i << " is 0";
    if (source.isDynamicDim(i) || result.isDynamicDim(i) || result.getDimSize(i) == 0)
      continue;
    int64_t last = start + (result.getDimSize(i) - 1) * step;
    if (std::min(start, last) < 0 || std::max(start, last) >= source.getDimSize(i)) // C2
      return emitOpError("reads ") << start << " to " << last << " of the " << source.getDimSize(i)
                                   << " elements of axis " << i;
  }
  return success();
}

LogicalResult ConcatOp::verify() {
  int64_t axis = getAxis();
  if (getInputs().empty() || !isAxis(axis, getResult())) // C1
    return emitOpError("joins ") << getInputs().size() << " operands along axis " << axis;
  auto result = typeOf(getResult());
  int64_t sum = 0;
  for (Value input : getInputs()) {
    SmallVector<int64_t> shape(shapeOf(input));
    if (int64_t(shape.size()) == result.getRank()) {
      sum += shape[axis];
      shape[axis] = result.getDimSize(axis);
    }
    if (RankedTensorType::get(shape, elementOf(input)) != result) // C2
      return emitOpError("operand ") << input.getType() << " does not fit into " << result;
    if (typeOf(input).isDynamicDim(axis)) // C3
      return emitOpError("axis ") << axis << " is free";
  }
  if (sum != result.getDimSize(axis)) // C3
    return emitOpError("sizes add up to ") << sum << ", the result has " << result.getDimSize(axis);
  return success();
}

LogicalResult ExpandOp::verify() {
  if (elementOf(getX()) != elementOf(getResult())) // C1
    return emitOpError("changes the element type from ") << elementOf(getX()) << " to " << elementOf(getResult());
  if (!broadcastsTo(shapeOf(getX()), shapeOf(getResult()))) // C2
    return emitOpError("shape [") << shapeOf(getX()) << "] does not broadcast to [" << shapeOf(getResult()) << "]";
  return success();
}

LogicalResult GatherOp::verify() {
  int64_t axis = getAxis();
  if (!isAxis(axis, getTable()) || typeOf(getTable()).isDynamicDim(axis)) // C1
    return emitOpError("axis ") << axis << " is no axis of static size of " << getTable().getType();
  SmallVector<int64_t> shape(shapeOf(getTable()).take_front(axis));
  llvm::append_range(shape, shapeOf(getIndices()));
  llvm::append_range(shape, shapeOf(getTable()).drop_front(axis + 1));
  auto expected = RankedTensorType::get(shape, elementOf(getTable()));
  if (getType() != expected) // C2
    return emitOpError("result is ") << getType() << ", expected " << expected;
  return success();
}

LogicalResult IotaOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (type.getRank() != 1 || (getPositions() && !type.isDynamicDim(0) && type.getDimSize(0) != 1)) // C1
    return emitOpError("result ") << getType() << " does not have one " << (getPositions() ? "free " : "") << "axis";
  return success();
}

LogicalResult ReduceOp::verify() {
  auto type = typeOf(getX());
  SmallVector<int64_t> shape(type.getShape());
  int64_t before = -1;
  for (int64_t axis : getAxes()) {
    if (axis <= before || !isAxis(axis, getX())) // C1
      return emitOpError("axes [") << getAxes() << "] do not rise within the " << type.getRank()
                                   << " axes of the operand";
    shape[axis] = 1;
    before = axis;
  }
  auto expected = RankedTensorType::get(shape, type.getElementType());
  if (getType() != expected) // C2
    return emitOpError("result is ") << getType() << ", expected " << expected;
  if (type.getElementType().isInteger(1) || (getKind() == ReduceKind::Mean && !type.getElementType().isF32())) // C3
    return emitOpError(stringifyReduceKind(getKind())) << " is not defined for " << type.getElementType();
  return success();
}

LogicalResult SoftmaxOp::verify() {
  if (!isAxis(getAxis(), getX())) // C1
    return emitOpError("axis ") << getAxis() << " is no axis of " << getX().getType();
  return success();
}

LogicalResult LayerNormOp::verify() {
  auto type = typeOf(getX());
  if (type.getRank() < 1 || type.isDynamicDim(type.getRank() - 1)) // C1
    return emitOpError("has no last axis of static size in ") << type;
  int64_t features = type.getShape().back();
  for (Value value : {getScale(), getBias()})
    if (shapeOf(value) != ArrayRef<int64_t>(features)) // C2
      return emitOpError("scale or bias has shape [") << shapeOf(value) << "] for " << features << " features";
  if (getEpsilon().isNegative()) // C3
    return emitOpError("epsilon ") << getEpsilon().convertToFloat() << " is negative";
  if (getType() != type) // C4
    return emitOpError("result is ") << getType() << ", expected " << type;
  return success();
}

LogicalResult MatmulOp::verify() {
  ArrayRef<int64_t> lhs = shapeOf(getLhs()), rhs = shapeOf(getRhs());
  if (lhs.size() < 2 || rhs.size() < 2) // C1
    return emitOpError("multiplies shapes [") << lhs << "] and [" << rhs << "], expected two axes each";
  if (lhs.back() != rhs[rhs.size() - 2]) // C2
    return emitOpError("sums over ") << lhs.back() << " and " << rhs[rhs.size() - 2] << " elements";
  auto shape = broadcast(lhs.drop_back(2), rhs.drop_back(2));
  if (shape) {
    shape->push_back(lhs[lhs.size() - 2]);
    shape->push_back(rhs.back());
  }
  if (!shape || ArrayRef<int64_t>(*shape) != shapeOf(getResult())) // C3
    return emitOpError("shapes [") << lhs << "] and [" << rhs << "] do not give [" << shapeOf(getResult()) << "]";
  return success();
}

LogicalResult LinearOp::verify() {
  ArrayRef<int64_t> x = shapeOf(getX()), w = shapeOf(getWeights());
  if (x.empty() || w.size() != 2 || ShapedType::isDynamicShape(w) || x.back() != w[0]) // C1
    return emitOpError("multiplies [") << x << "] by weights [" << w << "]";
  SmallVector<int64_t> shape(x);
  shape.back() = w[1];
  if (ArrayRef<int64_t>(shape) != shapeOf(getResult())) // C2
    return emitOpError("result has shape [") << shapeOf(getResult()) << "], expected [" << shape << "]";
  if (getBias() && shapeOf(getBias()) != ArrayRef<int64_t>(w[1])) // C3
    return emitOpError("bias has shape [") << shapeOf(getBias()) << "] for " << w[1] << " outputs";
  if (getResidual() && getResidual().getType() != getType()) // C4
    return emitOpError("residual is ") << getResidual().getType() << ", result " << getType();
  for (Attribute level : getLevels().value_or(ArrayAttr::get(getContext(), {}))) {
    if (!isa<DenseEncodingAttr, BlockEncodingAttr, PatternEncodingAttr>(level))
      return emitOpError("level ") << level << " is no weight encoding"; // C5
    ElementsAttr mask = encodingMask(level);
    if (mask && (mask.getShapedType().getShape() != w || !mask.getElementType().isInteger(8))) // C6
      return emitOpError("mask is ") << mask.getShapedType() << " for weights [" << w << "]";
    ElementsAttr own = encodingWeights(level);
    if (own && (own.getShapedType().getShape() != w || !own.getElementType().isF32())) // C6
      return emitOpError("weights of a level are ") << own.getShapedType() << " for weights [" << w << "]";
    ElementsAttr bias = encodingBias(level);
    if (bias && (bias.getShapedType().getShape() != ArrayRef<int64_t>(w[1]) || !bias.getElementType().isF32())) // C6
      return emitOpError("bias of a level is ") << bias.getShapedType() << " for " << w[1] << " outputs";
  }
  if (getPrecision() == Precision::Int8 &&
      cast<RankedTensorType>(getWeights().getType()).getDimSize(0) > kMaxInt8Inputs) // C8
    return emitOpError("has ") << getWeights().getType() << " of int8 weights, at most " << kMaxInt8Inputs << " inputs";
  return success();
}

LogicalResult LinearOp::verifySymbolUses(SymbolTableCollection &symbols) {
  for (Attribute level : getLevels().value_or(ArrayAttr::get(getContext(), {})))
    if (auto pattern = dyn_cast<PatternEncodingAttr>(level))
      if (!symbols.lookupNearestSymbolFrom<PatternSetOp>(*this,
                                                         pattern.getSet())) // C7
        return emitOpError("names ") << pattern.getSet() << ", which is no pattern set";
  return success();
}

LogicalResult RotaryOp::verify() {
  auto type = typeOf(getX());
  if (type.getRank() != 3 || type.isDynamicDim(0) || type.isDynamicDim(2) || getType() != type) // C1
    return emitOpError("turns ") << type << " to " << getType() << ", expected B x S x F";
  int64_t heads = getHeads(), features = type.getDimSize(2);
  if (heads < 1 || features % (2 * heads) != 0) // C2
    return emitOpError() << heads << " heads do not cut " << features << " features into pairs of halves";
  int64_t angles[] = {type.getDimSize(1), features / heads};
  for (Value value : {getCos(), getSin()})
    if (shapeOf(value) != ArrayRef<int64_t>(angles)) // C3
      return emitOpError("angles have shape [")
             << shapeOf(value) << "], expected [" << ArrayRef<int64_t>(angles) << "]";
  return success();
}

LogicalResult AttentionOp::verify() {
  auto type = typeOf(getQ()), keyType = typeOf(getK());
  bool fits = type.getRank() == 3 && keyType.getRank() == 3 && !type.isDynamicDim(0) && !type.isDynamicDim(2) &&
              !keyType.isDynamicDim(2) && type.getShape().drop_back() == keyType.getShape().drop_back();
  if (!fits || getV().getType() != keyType || getType() != type) // C1
    return emitOpError("q, k, v and result are ") << type << ", " << getK().getType() << ", " << getV().getType()
                                                  << " and " << getType() << ", expected B x S x F, k and v alike";
  int64_t heads = getHeads(), features = type.getDimSize(2), keyFeatures = keyType.getDimSize(2);
  bool divides = heads >= 1 && features % heads == 0 && keyFeatures % (features / heads) == 0;
  if (!divides || heads % (keyFeatures / (features / heads)) != 0) // C2
    return emitOpError() << heads << " heads do not divide " << features << " features of q and " << keyFeatures
                         << " of k and v";
  int64_t full[] = {type.getDimSize(0), heads, type.getDimSize(1), type.getDimSize(1)};
  if (getMask() && (typeOf(getMask()).getRank() != 4 || !broadcastsTo(shapeOf(getMask()), full))) // C3
    return emitOpError("mask ") << getMask().getType() << " does not broadcast to [" << ArrayRef<int64_t>(full) << "]";
  bool isStep = type.isDynamicDim(1) || type.getDimSize(1) == 1;
  if (getCache() && (!getCausal() || getMask() || type.getDimSize(0) != 1 || !isStep)) // C4
    return emitOpError("has a cache, but is not causal, has a mask, or works on ") << type;
  return success();
}
