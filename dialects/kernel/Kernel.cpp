// SPDX-License-Identifier: Apache-2.0
//
// The rt3_kernel dialect: registration and verifiers.

#include "dialects/kernel/Kernel.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::rt3::kernel;

#include "dialects/kernel/KernelDialect.cpp.inc"
#include "dialects/kernel/KernelEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/kernel/KernelAttrs.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/kernel/KernelTypes.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/kernel/KernelOps.cpp.inc"

void KernelDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/kernel/KernelAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/kernel/KernelTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/kernel/KernelOps.cpp.inc"
      >();
}

int64_t mlir::rt3::kernel::elementSize(Type elementType) {
  return llvm::divideCeil(elementType.getIntOrFloatBitWidth(), 8);
}

int64_t mlir::rt3::kernel::bufferSize(BufferType type, int64_t maxLength) {
  SmallVector<int64_t> shape(type.getTensor().getShape());
  for (int64_t &size : shape)
    if (ShapedType::isDynamic(size))
      size = maxLength;
  if (int64_t panel = type.getPanel()) {
    shape.back() = llvm::alignTo(shape.back(), kFeatureMultiple);
    int64_t &tokens = shape[shape.size() - 2];
    tokens = llvm::alignTo(tokens, panel);
  }
  int64_t size = elementSize(type.getTensor().getElementType());
  for (int64_t dimension : shape)
    size *= dimension;
  return size;
}

LogicalResult BufferType::verify(function_ref<InFlightDiagnostic()> emitError, RankedTensorType tensor, int64_t panel) {
  if (panel < 0) // C1
    return emitError() << "panel of " << panel << " tokens";
  if (panel == 0)
    return success();
  int64_t rank = tensor.getRank();
  Type element = tensor.getElementType();
  bool fits = (element.isF32() || element.isInteger(32) || element.isInteger(64)) && rank >= 2;
  for (int64_t i = 0; fits && i < rank; ++i)
    fits = i == rank - 2 || !tensor.isDynamicDim(i);
  if (!fits) // C2
    return emitError() << tensor << " cannot lie in panels";
  return success();
}

int64_t mlir::rt3::kernel::partCount(int64_t features) {
  return std::clamp<int64_t>(features / (8 * kFeatureMultiple), 1, 8);
}

bool mlir::rt3::kernel::isSingleToken(RankedTensorType type) {
  return type.getRank() >= 2 && llvm::all_of(type.getShape().drop_back(), [](int64_t size) { return size == 1; });
}

static BufferType typeOf(Value value) { return cast<BufferType>(value.getType()); }
static bool isRowMajor(Value value) { return typeOf(value).getPanel() == 0; }
static bool areRowMajor(ValueRange values) { return llvm::all_of(values, isRowMajor); }

LogicalResult WeightsOp::verify() {
  auto type = getData().getShapedType();
  if (type.getRank() != 1 || !type.getElementType().isInteger(8)) // C1
    return emitOpError("data is ") << type << ", expected bytes";
  if (getOffset() && *getOffset() % 64 != 0) // C2
    return emitOpError("offset ") << *getOffset() << " is no multiple of 64";
  return success();
}

LogicalResult ConstantOp::verify() {
  auto type = typeOf(getResult());
  if (type.getPanel() != 0 || !type.getTensor().hasStaticShape()) // C2
    return emitOpError("buffer ") << type << " is not row-major and static";
  return success();
}

LogicalResult ConstantOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weights = symbols.lookupNearestSymbolFrom<WeightsOp>(*this, getWeightsAttr());
  int64_t size = bufferSize(typeOf(getResult()), 1);
  if (!weights || weights.getData().getNumElements() != size) // C1
    return emitOpError("expects ") << size << " bytes of weights " << getWeightsAttr();
  return success();
}

LogicalResult PackOp::verify() {
  auto from = typeOf(getX()), to = typeOf(getResult());
  bool isRepacked = from.getPanel() != 0 && to.getPanel() != 0;
  if (from.getTensor() != to.getTensor() || from.getPanel() == to.getPanel() || // C1
      (isRepacked && !isSingleToken(from.getTensor())))                         // C2
    return emitOpError("does not pack ") << from << " into " << to;
  return success();
}

LogicalResult ViewOp::verify() {
  auto from = typeOf(getX()), to = typeOf(getResult());
  auto core = [](BufferType type) {
    return type.getTensor().getShape().drop_while([](int64_t size) { return size == 1; });
  };
  bool fits = from.getPanel() == to.getPanel();
  if (fits && from.getPanel() != 0)
    fits = core(from) == core(to);
  if (!fits) // C1
    return emitOpError("shows ") << from << " as " << to;
  return success();
}

LogicalResult MapOp::verify() {
  size_t expected = getFunction() == Function::Select ? 3
                    : getFunction() == Function::Cast ? 1
                    : getFunction() >= Function::Add  ? 2
                                                      : 1;
  if (getInputs().size() != expected) // C1
    return emitOpError(stringifyFunction(getFunction()))
           << " has " << getInputs().size() << " operands, expected " << expected;
  auto result = typeOf(getResult());
  for (Value input : getInputs())
    if (typeOf(input).getPanel() != result.getPanel() ||
        (result.getPanel() != 0 && typeOf(input).getTensor().getShape() != result.getTensor().getShape())) // C2
      return emitOpError("operand ") << input.getType() << " has another layout than " << result;
  return success();
}

LogicalResult MoveOp::verify() {
  auto from = typeOf(getX()), to = typeOf(getResult());
  size_t rank = to.getTensor().getRank();
  if (getAxes().size() != rank || getStarts().size() != rank || getSteps().size() != rank) // C1
    return emitOpError("lists have ") << getAxes().size() << ", " << getStarts().size() << " and " << getSteps().size()
                                      << " entries for " << rank << " axes";
  SmallVector<bool> isUsed(from.getTensor().getRank(), false);
  for (int64_t axis : getAxes()) {
    if (axis == -1)
      continue;
    if (axis < 0 || axis >= from.getTensor().getRank() || isUsed[axis]) // C2
      return emitOpError("axes [") << getAxes() << "] are not different axes of " << from;
    isUsed[axis] = true;
  }
  if (!areRowMajor({getX(), getResult()}) || from.getTensor().getElementType() != to.getTensor().getElementType()) // C3
    return emitOpError("does not move ") << from << " to " << to;
  return success();
}

LogicalResult ConcatOp::verify() {
  int64_t axis = getAxis();
  if (!areRowMajor(getInputs()) || !isRowMajor(getResult()) || axis < 0 ||
      axis >= typeOf(getResult()).getTensor().getRank()) // C1
    return emitOpError("joins buffers that are not row-major, or along axis ") << axis << " of " << getType();
  return success();
}

LogicalResult ReduceOp::verify() {
  auto from = typeOf(getX()).getTensor(), to = typeOf(getResult()).getTensor();
  if (!areRowMajor({getX(), getResult()}) || from.getRank() != to.getRank() ||
      from.getElementType() != to.getElementType()) // C1
    return emitOpError("does not reduce ") << getX().getType() << " to " << getType();
  return success();
}

LogicalResult MatmulOp::verify() {
  for (Value value : {getLhs(), getRhs(), getResult()})
    if (!isRowMajor(value) || typeOf(value).getTensor().getRank() < 2 ||
        !typeOf(value).getTensor().getElementType().isF32()) // C1
      return emitOpError("has an operand or result of type ") << value.getType();
  return success();
}

LogicalResult GatherOp::verify() {
  if (!areRowMajor({getTable(), getIndices()}) || !typeOf(getIndices()).getTensor().getElementType().isInteger()) // C1
    return emitOpError("gathers from ") << getTable().getType() << " by " << getIndices().getType();
  if (!isRowMajor(getResult()) && (getAxis() != 0 || typeOf(getTable()).getTensor().getRank() != 2)) // C2
    return emitOpError("gathers axis ") << getAxis() << " of " << getTable().getType() << " into panels";
  return success();
}

LogicalResult IotaOp::verify() {
  if (!isRowMajor(getResult()) || typeOf(getResult()).getTensor().getRank() != 1) // C1
    return emitOpError("result ") << getType() << " does not have one axis";
  return success();
}

static bool isRowMajorFloats(Value value) {
  return isRowMajor(value) && typeOf(value).getTensor().getElementType().isF32();
}

LogicalResult LayerNormOp::verify() {
  auto type = typeOf(getX());
  if (type.getPanel() == 0 || getType() != type) // C1
    return emitOpError("normalises ") << type << " to " << getType();
  for (Value value : {getScale(), getBias()})
    if (!isRowMajor(value) || typeOf(value).getTensor().getShape() != type.getTensor().getShape().take_back()) // C2
      return emitOpError("scale or bias is ") << value.getType();
  if (getLargest() && !isRowMajorFloats(getLargest())) // C3
    return emitOpError("largest is ") << getLargest().getType();
  return success();
}

int64_t mlir::rt3::kernel::inputsPerWord(Dot dot) {
  switch (dot) {
  case Dot::Vpdpbusd:
  case Dot::Sdot:
    return 4;
  case Dot::Smmla:
    return 8;
  case Dot::Pmaddwd:
  case Dot::Bfdot:
  case Dot::Vdpbf16ps:
  case Dot::FmlaF16:
    return 2;
  case Dot::Multiply:
    return 1;
  }
  llvm_unreachable("every kind is above");
}

int64_t mlir::rt3::kernel::wordSize(Dot dot) { return dot == Dot::Smmla ? 8 : 4; }

bool mlir::rt3::kernel::isInt8(Dot dot) { return dot != Dot::Bfdot && dot != Dot::Vdpbf16ps && dot != Dot::FmlaF16; }

int64_t mlir::rt3::kernel::inputWords(LinearOp op) {
  int64_t features = typeOf(op.getX()).getTensor().getShape().back();
  return op.getDot() && isInt8(*op.getDot()) ? features - 1 : features;
}

int64_t mlir::rt3::kernel::vectorsPerWord(TileAttr tile, std::optional<Dot> dot) {
  return tile.getVectors() * (dot ? wordSize(*dot) / 4 : 1);
}

int64_t mlir::rt3::kernel::halfTileTokens(StringRef isa, int64_t lanes, size_t patterns, std::optional<Dot> dot) {
  // Vectors of four lanes have no use for halves, and sixteen registers (AVX2) no room.
  // At the end of each pattern's loop pairs are added to their rows: of several patterns
  // that costs most of what it saves.
  // Sums of these two lie otherwise.
  bool isPossible = dot != Dot::Smmla && dot != Dot::FmlaF16;
  return isa == "avx512" && patterns <= 1 && isPossible ? lanes / 2 : 0;
}

int64_t mlir::rt3::kernel::sumSets(int64_t sums, int64_t unroll, int64_t inFlight) {
  int64_t sets = 1;
  while (sums * sets < inFlight && 2 * sets <= unroll)
    sets *= 2;
  return sets;
}

LogicalResult QuantizeOp::verify() {
  auto x = typeOf(getX()), result = typeOf(getResult());
  SmallVector<int64_t> shape(x.getTensor().getShape());
  shape.back() = llvm::divideCeil(shape.back(), inputsPerWord(getDot())) + isInt8(getDot());
  auto word = IntegerType::get(getContext(), 8 * wordSize(getDot()));
  auto expected = BufferType::get(getContext(), RankedTensorType::get(shape, word),
                                  isSingleToken(x.getTensor()) ? result.getPanel() : x.getPanel());
  if (x.getPanel() == 0 || result.getPanel() == 0 || !x.getTensor().getElementType().isF32() ||
      result != expected) // C1
    return emitOpError("quantises ") << x << " to " << result << ", expected " << expected;
  if (getLargest() && (!isRowMajorFloats(getLargest()) || !isInt8(getDot()))) // C2
    return emitOpError("largest is ") << getLargest().getType() << " for " << stringifyDot(getDot());
  return success();
}

LogicalResult LinearOp::verify() {
  int64_t panel = getTile().getVectors() * getTile().getLanes();
  auto x = typeOf(getX()), result = typeOf(getResult());
  if (getStreams().empty()) // C2
    return emitOpError("has no stream");
  bool isSparse = llvm::any_of(getStreams(), [](Attribute attribute) {
    auto stream = dyn_cast<StreamAttr>(attribute);
    return stream && !stream.getPatterns().empty();
  });
  bool isToken = result.getPanel() == 1 && isSingleToken(result.getTensor()) &&
                 (x.getPanel() == 1 || (isSparse && x.getPanel() == getTile().getVectors()));
  if (!isToken && (x.getPanel() != panel || result.getPanel() != panel)) // C1
    return emitOpError("tile has ") << panel << " tokens, buffers are " << x << " and " << result;
  for (Attribute attribute : getStreams()) {
    auto stream = dyn_cast<StreamAttr>(attribute);
    if (!stream) // C2
      return emitOpError() << attribute << " is no stream";
    if (!stream.getPatterns().empty() && (stream.getPass() < 1 || stream.getRows() % stream.getPass() != 0 ||
                                          stream.getPass() > getTile().getRows())) // C3
      return emitOpError("stream has passes of ") << stream.getPass() << " rows for groups of " << stream.getRows()
                                                  << " and a tile of " << getTile().getRows();
    if (!llvm::isPowerOf2_64(stream.getUnroll())) // C3
      return emitOpError("stream has ") << stream.getUnroll() << " blocks a trip, expected a power of two";
  }
  int64_t features = llvm::alignTo(result.getTensor().getShape().back(), kFeatureMultiple);
  int64_t inputs = inputWords(*this);
  for (auto stream : getStreams().getAsRange<StreamAttr>()) {
    int64_t size = stream.getValueSize();
    if (getDot() ? size != wordSize(*getDot()) : size != 4 && size != 2) // C7
      return emitOpError("stream has values of ") << stream.getValueSize() << " bytes";
    if (auto parts = stream.getParts())
      if (int64_t(parts.size()) != int64_t(llvm::divideCeil(inputs, stream.getRange())) * partCount(features)) // C6
        return emitOpError("stream has ")
               << parts.size() << " parts, expected " << partCount(features) << " for each range of inputs";
  }
  if (getResidual() && getResidual().getType() != getType()) // C4
    return emitOpError("residual is ") << getResidual().getType() << ", result " << getType();
  bool hasEpilogue = getActivation() || getResidual();
  if (getLargest() && (!isRowMajorFloats(getLargest()) || !hasEpilogue)) // C9
    return emitOpError("largest is ") << getLargest().getType() << (hasEpilogue ? "" : " without an activation");
  Type element = x.getTensor().getElementType();
  bool hasScales = getDot() && isInt8(*getDot());
  if ((getDot() ? !element.isInteger(8 * wordSize(*getDot())) : !element.isF32()) || hasScales != bool(getScales()) ||
      hasScales != bool(getOffsets())) // C8
    return emitOpError("multiplies ") << (getDot() ? stringifyDot(*getDot()) : "f32") << ", x is " << x
                                      << (getScales() ? " with" : " without") << " scales";
  return success();
}

LogicalResult LinearOp::verifySymbolUses(SymbolTableCollection &symbols) {
  for (auto stream : getStreams().getAsRange<StreamAttr>())
    if (!symbols.lookupNearestSymbolFrom<WeightsOp>(*this, stream.getWeights())) // C5
      return emitOpError("names ") << stream.getWeights() << ", which are no weights";
  return success();
}

LogicalResult AppendOp::verify() {
  auto x = typeOf(getX()), result = typeOf(getResult());
  ArrayRef<int64_t> shape = result.getTensor().getShape();
  if (x.getPanel() == 0 || result.getPanel() == 0 || x.getTensor().getShape().back() != shape.back()) // C1
    return emitOpError("appends ") << x << " to " << result;
  if (!result.getTensor().hasStaticShape() || !result.getTensor().getElementType().isF32() || shape.size() != 3 ||
      shape[0] != 1) // C2
    return emitOpError("keeps ") << result;
  return success();
}

LogicalResult RotaryOp::verify() {
  auto type = typeOf(getX());
  if (type.getPanel() == 0 || getType() != type || typeOf(getCos()).getPanel() != type.getPanel() ||
      typeOf(getSin()).getPanel() != type.getPanel()) // C1
    return emitOpError("turns ") << type << " to " << getType() << " by " << getCos().getType();
  return success();
}

LogicalResult AttentionOp::verify() {
  auto type = typeOf(getQ());
  int64_t panel = getTile().getVectors() * getTile().getLanes();
  bool isToken = type.getPanel() == 1;
  auto tokens = [](BufferType buffer) { return buffer.getTensor().getShape().drop_back(); };
  bool hasAllKeys = getCached() || isToken || tokens(type) == tokens(typeOf(getK()));
  if (!hasAllKeys || (!isToken && type.getPanel() != panel) || getType() != type ||
      typeOf(getK()).getPanel() != panel || getK().getType() != getV().getType()) // C1
    return emitOpError("tile has ") << panel << " tokens, buffers are " << type << ", " << getK().getType() << ", "
                                    << getV().getType() << " and " << getType();
  if (getMask() && (!isRowMajor(getMask()) || typeOf(getMask()).getTensor().getRank() != 4)) // C2
    return emitOpError("mask is ") << getMask().getType();
  if (isToken && !getCached()) // C3
    return emitOpError("of a single token has no keys of earlier runs");
  return success();
}

LogicalResult ScratchOp::verify() {
  if (!isRowMajor(getResult())) // C1
    return emitOpError("buffer ") << getType() << " is not row-major";
  return success();
}
