// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "codegen/packing/LayerStreams.h"
#include "dialects/kernel/Kernel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/SHA256.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_CONVERTGRAPHTOKERNELPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

// Shapes that differ by leading axes of size 1 have one core.
static ArrayRef<int64_t> coreOf(ArrayRef<int64_t> shape) {
  return shape.drop_while([](int64_t size) { return size == 1; });
}

// Whether a tensor can lie in panels: features and batch are static.
static bool fitsPanels(RankedTensorType type) {
  int64_t rank = type.getRank();
  if (!type.getElementType().isF32() || rank < 2)
    return false;
  for (int64_t i = 0; i < rank; ++i)
    if (i != rank - 2 && type.isDynamicDim(i))
      return false;
  return true;
}

namespace {

// Weights of the module, stored once per content.
class WeightStore {
public:
  explicit WeightStore(ModuleOp module) : module(module) {}

  FlatSymbolRefAttr add(ArrayRef<char> bytes) {
    auto digest = llvm::SHA256::hash(llvm::arrayRefFromStringRef(StringRef(bytes.data(), bytes.size())));
    std::string name = "w_" + llvm::toHex(digest, /*LowerCase=*/true).substr(0, 16);
    if (!module.lookupSymbol(name)) {
      OpBuilder builder = OpBuilder::atBlockBegin(module.getBody());
      auto type = RankedTensorType::get(bytes.size(), builder.getI8Type());
      kernel::WeightsOp::create(builder, module.getLoc(), name, graph::makeResource(type, name, bytes), IntegerAttr());
    }
    return FlatSymbolRefAttr::get(module.getContext(), name);
  }

private:
  ModuleOp module;
};

// The bytes of a constant in the bundle: little-endian, i1 as a byte.
std::vector<char> constantBytes(ElementsAttr elements) {
  std::vector<char> bytes;
  if (elements.getElementType().isInteger(1)) {
    for (bool element : elements.getValues<bool>())
      bytes.push_back(element);
    return bytes;
  }
  ArrayRef<char> raw = graph::rawBytes(elements);
  size_t size = elements.getNumElements() * kernel::elementSize(elements.getElementType());
  while (bytes.size() < size) // A splat is one element.
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  return bytes;
}

class FunctionConverter {
public:
  FunctionConverter(func::FuncOp source, const Device &device, WeightStore &store)
      : source(source), device(device), store(store), builder(source), panel(device.lanes * device.tileVectors),
        tile(tileOf(source.getContext(), device)) {}

  LogicalResult convert() {
    SmallVector<Type> inputs, outputs;
    for (Type type : source.getArgumentTypes())
      inputs.push_back(bufferOf(cast<RankedTensorType>(type), 0));
    for (Type type : source.getResultTypes())
      outputs.push_back(bufferOf(cast<RankedTensorType>(type), 0));
    auto target =
        func::FuncOp::create(builder, source.getLoc(), source.getName(), builder.getFunctionType(inputs, outputs));
    target->setDiscardableAttrs(source->getDiscardableAttrDictionary());
    target.setVisibility(source.getVisibility());
    if (auto names = source.getArgAttrsAttr())
      target.setArgAttrsAttr(names);
    if (auto names = source.getResAttrsAttr())
      target.setResAttrsAttr(names);
    builder.setInsertionPointToStart(target.addEntryBlock());
    for (auto [from, to] : llvm::zip(source.getArguments(), target.getArguments()))
      plain[from] = to;
    for (Operation &op : source.getBody().front()) {
      builder.setInsertionPointToEnd(&target.getBody().front());
      if (failed(convert(op)))
        return failure();
    }
    source.erase();
    return success();
  }

private:
  kernel::BufferType bufferOf(RankedTensorType type, int64_t width) {
    return kernel::BufferType::get(type.getContext(), type, width);
  }

  // The panels in which a tensor lies: a single token's features are neighbours.
  int64_t widthOf(RankedTensorType type) { return kernel::isSingleToken(type) ? 1 : panel; }
  kernel::BufferType panelsOf(RankedTensorType type) { return bufferOf(type, widthOf(type)); }

  // The row-major buffer of a value; packed or stored where it is first needed.
  Value getPlain(Value value) {
    if (Value found = plain.lookup(value))
      return found;
    auto type = bufferOf(typeOf(value), 0);
    if (ElementsAttr constant = graph::constantValue(value))
      return plain[value] =
                 kernel::ConstantOp::create(builder, value.getLoc(), type, store.add(constantBytes(constant)));
    Value found = panels.lookup(value);
    assert(found && "every value has been converted");
    return plain[value] = kernel::PackOp::create(builder, value.getLoc(), type, found, nullptr);
  }

  Value getPanels(Value value) {
    if (Value found = panels.lookup(value))
      return found;
    return panels[value] =
               kernel::PackOp::create(builder, value.getLoc(), panelsOf(typeOf(value)), getPlain(value), nullptr);
  }

  // `buffer` in panels of `width` tokens.
  Value inWidth(Value buffer, int64_t width) {
    auto type = cast<kernel::BufferType>(buffer.getType());
    if (type.getPanel() == width)
      return buffer;
    return kernel::PackOp::create(builder, buffer.getLoc(), bufferOf(type.getTensor(), width), buffer, nullptr);
  }

  // A value in panels under another type of the same core.
  Value getPanelsAs(Value value, RankedTensorType type) {
    Value buffer = getPanels(value);
    auto wanted = panelsOf(type);
    if (buffer.getType() == wanted)
      return buffer;
    return kernel::ViewOp::create(builder, value.getLoc(), wanted, buffer);
  }

  // A constant vector, padded with zeros so that whole groups can be read.
  template <typename T> Value paddedVector(Location loc, std::vector<T> values, Type element) {
    values.resize(llvm::alignTo(values.size(), kernel::kFeatureMultiple), 0);
    auto type = RankedTensorType::get(values.size(), element);
    return kernel::ConstantOp::create(
        builder, loc, bufferOf(type, 0),
        store.add(ArrayRef(reinterpret_cast<const char *>(values.data()), sizeof(T) * values.size())));
  }
  Value paddedVector(Location loc, ElementsAttr elements, int64_t size) {
    return paddedVector<float>(loc, elements ? graph::floatElements(elements) : std::vector<float>(size, 0),
                               builder.getF32Type());
  }

  LogicalResult convert(Operation &op) {
    return llvm::TypeSwitch<Operation *, LogicalResult>(&op)
        .Case([&](graph::ConstantOp) { return success(); })
        .Case<graph::UnaryOp, graph::BinaryOp, graph::SelectOp, graph::CastOp>(
            [&](auto typed) { return convertMap(typed); })
        .Case([&](graph::ReshapeOp typed) { return convertReshape(typed); })
        .Case([&](graph::TransposeOp typed) {
          SmallVector<int64_t> zeros(typed.getPermutation().size(), 0), ones(zeros.size(), 1);
          return move(op, typed.getX(), typed.getPermutation(), zeros, ones);
        })
        .Case([&](graph::SliceOp typed) {
          return move(op, typed.getX(), llvm::to_vector(llvm::seq<int64_t>(0, typed.getStarts().size())),
                      typed.getStarts(), typed.getSteps());
        })
        .Case([&](graph::ExpandOp typed) { return convertExpand(typed); })
        .Case([&](graph::ConcatOp typed) {
          SmallVector<Value> inputs;
          for (Value input : typed.getInputs())
            inputs.push_back(getPlain(input));
          return setPlain(
              op, kernel::ConcatOp::create(builder, op.getLoc(), plainType(op), inputs, typed.getAxis(), nullptr));
        })
        .Case([&](graph::GatherOp typed) { return convertGather(typed); })
        .Case([&](graph::IotaOp typed) {
          return setPlain(op, kernel::IotaOp::create(builder, op.getLoc(), plainType(op), typed.getStart(),
                                                     typed.getStep(), typed.getPositions(), nullptr));
        })
        .Case([&](graph::ReduceOp typed) {
          return setPlain(op,
                          kernel::ReduceOp::create(builder, op.getLoc(), plainType(op),
                                                   *kernel::symbolizeReduction(stringifyReduceKind(typed.getKind())),
                                                   getPlain(typed.getX()), nullptr));
        })
        .Case([&](graph::SoftmaxOp typed) { return convertSoftmax(typed); })
        .Case([&](graph::MatmulOp typed) {
          return setPlain(op, kernel::MatmulOp::create(builder, op.getLoc(), plainType(op), getPlain(typed.getLhs()),
                                                       getPlain(typed.getRhs()), nullptr));
        })
        .Case([&](graph::LayerNormOp typed) { return convertLayerNorm(typed); })
        .Case([&](graph::LinearOp typed) { return convertLinear(typed); })
        .Case([&](graph::RotaryOp typed) { return convertRotary(typed); })
        .Case([&](graph::AttentionOp typed) { return convertAttention(typed); })
        .Case([&](func::ReturnOp typed) { return convertReturn(typed); })
        .Default([&](Operation *other) { return other->emitOpError("has no kernel"); });
  }

  kernel::BufferType plainType(Operation &op) { return bufferOf(typeOf(op.getResult(0)), 0); }

  LogicalResult setPlain(Operation &op, Value buffer) {
    plain[op.getResult(0)] = buffer;
    return success();
  }
  LogicalResult setPanels(Operation &op, Value buffer) {
    panels[op.getResult(0)] = buffer;
    return success();
  }

  static kernel::Function functionOf(graph::UnaryOp op) {
    return *kernel::symbolizeFunction(stringifyUnaryKind(op.getKind()));
  }
  static kernel::Function functionOf(graph::BinaryOp op) {
    return *kernel::symbolizeFunction(stringifyBinaryKind(op.getKind()));
  }
  static kernel::Function functionOf(graph::SelectOp) { return kernel::Function::Select; }
  static kernel::Function functionOf(graph::CastOp) { return kernel::Function::Cast; }

  template <typename Op> LogicalResult convertMap(Op op) {
    auto type = typeOf(op.getResult());
    // Between layers: all operands have the elements of the result, and one of
    // them lies in panels already.
    bool inPanels = fitsPanels(type) && llvm::any_of(op->getOperands(), [&](Value operand) {
                      return panels.contains(operand) && !plain.contains(operand);
                    });
    for (Value operand : op->getOperands())
      inPanels &= fitsPanels(typeOf(operand)) && coreOf(typeOf(operand).getShape()) == coreOf(type.getShape());
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(inPanels ? getPanelsAs(operand, type) : getPlain(operand));
    auto map = kernel::MapOp::create(builder, op.getLoc(), bufferOf(type, inPanels ? widthOf(type) : 0), functionOf(op),
                                     operands, nullptr);
    return inPanels ? setPanels(*op, map) : setPlain(*op, map);
  }

  LogicalResult convertReshape(graph::ReshapeOp op) {
    auto from = typeOf(op.getX()), to = typeOf(op.getResult());
    if (panels.contains(op.getX()) && fitsPanels(to) && coreOf(from.getShape()) == coreOf(to.getShape()))
      return setPanels(*op, getPanelsAs(op.getX(), to));
    return setPlain(*op, kernel::ViewOp::create(builder, op.getLoc(), plainType(*op), getPlain(op.getX())));
  }

  LogicalResult move(Operation &op, Value x, ArrayRef<int64_t> axes, ArrayRef<int64_t> starts,
                     ArrayRef<int64_t> steps) {
    return setPlain(
        op, kernel::MoveOp::create(builder, op.getLoc(), plainType(op), getPlain(x), axes, starts, steps, nullptr));
  }

  LogicalResult convertExpand(graph::ExpandOp op) {
    ArrayRef<int64_t> from = typeOf(op.getX()).getShape(), to = typeOf(op.getResult()).getShape();
    SmallVector<int64_t> axes, zeros(to.size(), 0), ones(to.size(), 1);
    for (size_t i = 0; i < to.size(); ++i) {
      int64_t axis = int64_t(i) - int64_t(to.size() - from.size());
      axes.push_back(axis < 0 || from[axis] != to[i] ? -1 : axis);
    }
    return move(*op, op.getX(), axes, zeros, ones);
  }

  LogicalResult convertGather(graph::GatherOp op) {
    auto type = typeOf(op.getResult());
    // Rows of an embedding go to layers.
    bool intoPanels = fitsPanels(type) && op.getAxis() == 0 && typeOf(op.getTable()).getRank() == 2 &&
                      typeOf(op.getIndices()).getRank() >= 1;
    auto gather = kernel::GatherOp::create(builder, op.getLoc(), bufferOf(type, intoPanels ? widthOf(type) : 0),
                                           getPlain(op.getTable()), getPlain(op.getIndices()), op.getAxis(), nullptr);
    return intoPanels ? setPanels(*op, gather) : setPlain(*op, gather);
  }

  // Outside attention: four passes over a row-major buffer.
  LogicalResult convertSoftmax(graph::SoftmaxOp op) {
    auto type = typeOf(op.getResult());
    SmallVector<int64_t> shape(type.getShape());
    shape[op.getAxis()] = 1;
    auto full = plainType(*op);
    auto reduced = bufferOf(RankedTensorType::get(shape, type.getElementType()), 0);
    Location loc = op.getLoc();
    auto map = [&](kernel::Function function, ValueRange operands) -> Value {
      return kernel::MapOp::create(builder, loc, full, function, operands, nullptr);
    };
    auto reduce = [&](kernel::Reduction reduction, Value x) -> Value {
      return kernel::ReduceOp::create(builder, loc, reduced, reduction, x, nullptr);
    };
    Value x = getPlain(op.getX());
    Value shifted = map(kernel::Function::Sub, {x, reduce(kernel::Reduction::Max, x)});
    Value power = map(kernel::Function::Exp, shifted);
    return setPlain(*op, map(kernel::Function::Div, {power, reduce(kernel::Reduction::Sum, power)}));
  }

  // The type under which a layer's input lies in panels: tokens are one axis.
  FailureOr<RankedTensorType> panelForm(Operation *op, RankedTensorType type) {
    if (fitsPanels(type))
      return type;
    SmallVector<int64_t> shape{1, type.getShape().back()};
    for (int64_t size : type.getShape().drop_back()) {
      if (size != 1 && shape[0] != 1 && (ShapedType::isDynamic(size) || ShapedType::isDynamic(shape[0]))) {
        InFlightDiagnostic error = op->emitOpError("works on ")
                                   << type << ", where the free dimension is followed by another";
        error.attachNote() << "fix all dimensions with --shape";
        return error;
      }
      shape[0] = size == 1 ? shape[0] : shape[0] * size;
    }
    return RankedTensorType::get(shape, type.getElementType());
  }

  Value inPanelForm(Value value, RankedTensorType form) {
    if (typeOf(value) == form)
      return getPanels(value);
    Value view = kernel::ViewOp::create(builder, value.getLoc(), bufferOf(form, 0), getPlain(value));
    return kernel::PackOp::create(builder, value.getLoc(), panelsOf(form), view, nullptr);
  }

  LogicalResult setFromPanelForm(Operation &op, Value buffer, RankedTensorType form) {
    if (typeOf(op.getResult(0)) == form)
      return setPanels(op, buffer);
    Value unpacked = kernel::PackOp::create(builder, op.getLoc(), bufferOf(form, 0), buffer, nullptr);
    return setPlain(op, kernel::ViewOp::create(builder, op.getLoc(), plainType(op), unpacked));
  }

  LogicalResult convertLayerNorm(graph::LayerNormOp op) {
    auto form = panelForm(op, typeOf(op.getX()));
    if (failed(form))
      return failure();
    Value result = kernel::LayerNormOp::create(builder, op.getLoc(), panelsOf(*form), inPanelForm(op.getX(), *form),
                                               getPlain(op.getScale()), getPlain(op.getBias()), Value(),
                                               op.getEpsilonAttr(), op.getRmsAttr(), nullptr);
    return setFromPanelForm(*op, result, *form);
  }

  // x as words; layers that read the same x share it (CSE).
  Value quantize(Value x, RankedTensorType form, int64_t width, kernel::Dot dot) {
    SmallVector<int64_t> shape(form.getShape());
    shape.back() = llvm::divideCeil(shape.back(), kernel::inputsPerWord(dot)) + kernel::isInt8(dot);
    auto type = bufferOf(RankedTensorType::get(shape, builder.getIntegerType(8 * kernel::wordSize(dot))), width);
    return kernel::QuantizeOp::create(builder, x.getLoc(), type, dot, x, kernel::isInt8(dot) ? largestOf(x) : Value(),
                                      nullptr);
  }

  // Where the op that makes x, in panels, leaves the largest |x| of each token, if it
  // goes over all of x anyway.
  Value largestOf(Value x) {
    auto add = [&](auto op) -> Value {
      if (op.getLargest())
        return op.getLargest();
      auto type = cast<kernel::BufferType>(x.getType());
      ArrayRef<int64_t> shape = type.getTensor().getShape();
      int64_t tokens = shape[shape.size() - 2],
              size = kernel::partCount(llvm::alignTo(shape.back(), kernel::kFeatureMultiple));
      if (ShapedType::isDynamic(tokens))
        tokens = source->getParentOfType<ModuleOp>()->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr).getInt();
      size *= llvm::alignTo(tokens, type.getPanel());
      for (int64_t count : shape.drop_back(2))
        size *= count;
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPoint(op);
      Value memory = kernel::ScratchOp::create(builder, op.getLoc(),
                                               bufferOf(RankedTensorType::get(size, builder.getF32Type()), 0),
                                               builder.getI64IntegerAttr(nextScratch++), nullptr);
      op.getLargestMutable().assign(memory);
      return memory;
    };
    if (cast<kernel::BufferType>(x.getType()).getPanel() == 1)
      return {};
    if (auto norm = x.getDefiningOp<kernel::LayerNormOp>())
      return add(norm);
    auto linear = x.getDefiningOp<kernel::LinearOp>();
    return linear && (linear.getActivation() || linear.getResidual()) ? add(linear) : Value();
  }

  // Where the parts of a stream begin; see rt3_kernel.stream. Null if there is one.
  DenseI64ArrayAttr partsOf(const PackedStream &stream, int64_t outputs) {
    int64_t eights = llvm::divideCeil(outputs, kernel::kFeatureMultiple);
    int64_t count = kernel::partCount(eights * kernel::kFeatureMultiple);
    if (count == 1)
      return {};
    int64_t groups = eights * kernel::kFeatureMultiple / stream.shape.rows;
    SmallVector<int64_t> parts;
    for (int64_t first = 0; first < stream.segmentCount; first += groups)
      for (int64_t part = 0; part < count; ++part)
        parts.push_back(
            stream.segmentOffsets[first + eights * part / count * kernel::kFeatureMultiple / stream.shape.rows]);
    return builder.getDenseI64ArrayAttr(parts);
  }

  LogicalResult convertLinear(graph::LinearOp op) {
    if (!graph::constantValue(op.getWeights()) || (op.getBias() && !graph::constantValue(op.getBias())))
      return op.emitOpError("has weights that are computed at run time");
    auto form = panelForm(op, typeOf(op.getX()));
    if (failed(form))
      return failure();
    SmallVector<int64_t> shape(form->getShape());
    shape.back() = typeOf(op.getResult()).getShape().back();
    auto resultForm = RankedTensorType::get(shape, form->getElementType());
    Value x = inPanelForm(op.getX(), *form);
    Value bias = paddedVector(op.getLoc(), graph::constantValue(op.getBias()), shape.back());
    Value residual = op.getResidual() ? inPanelForm(op.getResidual(), resultForm) : Value();
    CostModel cost(device, dotOf(device, op));
    FailureOr<PackedLayer> packed = packLayer(op, op.getLevelsAttr(), device, cost);
    if (failed(packed))
      return failure();
    SmallVector<Attribute> streams;
    for (PackedStream &stream : packed->streams)
      streams.push_back(kernel::StreamAttr::get(
          op.getContext(), store.add(stream.bytes), stream.shape.rows, stream.shape.columns, stream.shape.range,
          stream.shape.pass, stream.shape.gathered, DenseI64ArrayAttr::get(op.getContext(), stream.patterns),
          partsOf(stream, shape.back()), stream.shape.valueSize, stream.shape.unroll, stream.shape.isFilled));
    kernel::FunctionAttr activation;
    if (op.getActivation())
      activation = kernel::FunctionAttr::get(op.getContext(),
                                             *kernel::symbolizeFunction(stringifyUnaryKind(*op.getActivation())));
    // What multiplies a single token takes its inputs where indices of streams point: those count vectors of a
    // tile. On x86 they are divided instead: inputs that lie apart take more of the first level of cache, out of
    // which weights that stream in drive them.
    int64_t width = widthOf(*form);
    bool isSparse = llvm::any_of(packed->streams, [](const PackedStream &stream) { return !stream.patterns.empty(); });
    if (width == 1 && isSparse && tile.getIsa() == "neon")
      width = tile.getVectors();
    Value scales, offsets;
    kernel::DotAttr dot;
    if (auto kind = dotOf(device, op)) {
      dot = kernel::DotAttr::get(op.getContext(), *kind);
      x = quantize(x, *form, width, *kind);
    } else {
      x = inWidth(x, width);
    }
    if (op.getPrecision() == graph::Precision::Int8) {
      scales = paddedVector<float>(op.getLoc(), packed->scales, builder.getF32Type());
      offsets = paddedVector<int32_t>(op.getLoc(), packed->offsets, builder.getI32Type());
    }
    auto result = kernel::LinearOp::create(builder, op.getLoc(), panelsOf(resultForm), op.getLayerAttr(), x, bias,
                                           residual, scales, offsets, Value(), dot, tile, builder.getArrayAttr(streams),
                                           activation, nullptr);
    if (Attribute report = op->getAttr(graph::kReportAttr))
      result->setAttr(graph::kReportAttr, report);
    return setFromPanelForm(*op, result, resultForm);
  }

  LogicalResult convertRotary(graph::RotaryOp op) {
    auto type = typeOf(op.getResult());
    // Of a batch of single tokens, angles alone are a single token.
    Value x = getPanels(op.getX());
    Value cos = inWidth(getPanels(op.getCos()), widthOf(type)), sin = inWidth(getPanels(op.getSin()), widthOf(type));
    return setPanels(
        *op, kernel::RotaryOp::create(builder, op.getLoc(), panelsOf(type), x, cos, sin, op.getHeads(), nullptr));
  }

  LogicalResult convertAttention(graph::AttentionOp op) {
    auto type = typeOf(op.getResult());
    auto module = source->getParentOfType<ModuleOp>();
    auto count = [&](StringRef name) { return module->getAttrOfType<IntegerAttr>(name).getInt(); };
    Value mask;
    if (op.getMask())
      mask = getPlain(op.getMask());
    int64_t tokens = type.getDimSize(1);
    if (ShapedType::isDynamic(tokens))
      tokens = count(graph::kMaxLengthAttr);
    Value q = getPanels(op.getQ()), k = getPanels(op.getK()), v = getPanels(op.getV());
    if (op.getCache()) {
      tokens = count(graph::kContextAttr);
      SmallVector<int64_t> shape(typeOf(op.getK()).getShape());
      shape[1] = tokens;
      auto kept = bufferOf(RankedTensorType::get(shape, type.getElementType()), panel);
      int64_t slot = 2 * *op.getCache();
      k = kernel::AppendOp::create(builder, op.getLoc(), kept, k, slot, nullptr);
      v = kernel::AppendOp::create(builder, op.getLoc(), kept, v, slot + 1, nullptr);
    } else {
      q = inWidth(q, panel);
      k = inWidth(k, panel);
      v = inWidth(v, panel);
    }
    int64_t width = cast<kernel::BufferType>(q.getType()).getPanel();
    // One panel of queries against all keys, rounded up to whole panels.
    auto scratchType = RankedTensorType::get({int64_t(llvm::alignTo(tokens, panel)), width}, type.getElementType());
    Value scratch = kernel::ScratchOp::create(builder, op.getLoc(), bufferOf(scratchType, 0), IntegerAttr(), nullptr);
    Value result =
        kernel::AttentionOp::create(builder, op.getLoc(), bufferOf(type, width), q, k, v, mask, scratch, tile,
                                    op.getHeads(), op.getScale(), op.getCausal(), op.getCache().has_value(), nullptr);
    return setPanels(*op, inWidth(result, widthOf(type)));
  }

  LogicalResult convertReturn(func::ReturnOp op) {
    SmallVector<Value> results;
    llvm::DenseSet<Value> roots;
    for (auto [index, operand] : llvm::enumerate(op.getOperands())) {
      Value result = getPlain(operand), root = result;
      while (auto view = root.getDefiningOp<kernel::ViewOp>())
        root = view.getX();
      Operation *filler = root.getDefiningOp();
      // Only the result of an op can be written where the caller wants it, once.
      if (!filler || isa<kernel::ConstantOp>(filler) || !roots.insert(root).second) {
        int64_t rank = typeOf(operand).getRank();
        SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(0, rank));
        SmallVector<int64_t> zeros(rank, 0), ones(rank, 1);
        // Its place makes it differ from a copy of the same value for another output.
        result =
            kernel::MoveOp::create(builder, op.getLoc(), cast<kernel::BufferType>(result.getType()), result, axes,
                                   zeros, ones, kernel::PlaceAttr::get(op.getContext(), kernel::Memory::Output, index));
      }
      results.push_back(result);
    }
    func::ReturnOp::create(builder, op.getLoc(), results);
    return success();
  }

  func::FuncOp source;
  const Device &device;
  WeightStore &store;
  OpBuilder builder;
  int64_t panel;
  kernel::TileAttr tile;
  int64_t nextScratch = 0;
  // Where each value of the graph lies; it may lie in both layouts.
  llvm::DenseMap<Value, Value> plain, panels;
};

struct ConvertGraphToKernel : rt3::impl::ConvertGraphToKernelPassBase<ConvertGraphToKernel> {
  using ConvertGraphToKernelPassBase::ConvertGraphToKernelPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::Expected<Device> found = findDevice(device);
    if (!found) {
      module.emitError(llvm::toString(found.takeError()));
      return signalPassFailure();
    }
    WeightStore store(module);
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>()))
      if (failed(FunctionConverter(function, *found, store).convert()))
        return signalPassFailure();
    module->setAttr(kernel::kTileAttr, tileOf(module.getContext(), *found));
    // Pattern sets live on in the streams.
    for (auto set : llvm::to_vector(module.getOps<graph::PatternSetOp>()))
      set.erase();
  }
};

} // namespace
