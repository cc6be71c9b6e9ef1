// SPDX-License-Identifier: Apache-2.0

#include "compiler/onnx/ImportOps.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace mlir::rt3;
using namespace mlir::rt3::onnx;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;

static constexpr int64_t kMinOpset = 11, kMaxOpset = 21;
static constexpr int64_t kMaxNodes = 1000000;
static constexpr int64_t kMaxMadeBytes = int64_t(1) << 30;
static constexpr int64_t kMaxKnownInAll = 8 << 20;
// Elements of a tensor at run time: its bytes must not overflow.
static constexpr int64_t kMaxElements = int64_t(1) << 33;

char OwnFault::ID;
char OptionFault::ID;

Error mlir::rt3::onnx::makeOwnFault(const Twine &message) {
  return llvm::make_error<OwnFault>(message + " (a fault of rt3c; please report it)", llvm::inconvertibleErrorCode());
}

//===-- Node --------------------------------------------------------------===//

const AttributeProto *Node::attribute(StringRef name) const {
  for (const AttributeProto &attribute : proto.attribute())
    if (attribute.name() == name)
      return &attribute;
  return nullptr;
}
int64_t Node::integer(StringRef name, int64_t otherwise) const {
  auto *found = attribute(name);
  return found ? found->i() : otherwise;
}
float Node::real(StringRef name, float otherwise) const {
  auto *found = attribute(name);
  return found ? found->f() : otherwise;
}
std::string Node::text(StringRef name, StringRef otherwise) const {
  auto *found = attribute(name);
  return found ? found->s() : otherwise.str();
}
std::vector<int64_t> Node::integers(StringRef name) const {
  auto *found = attribute(name);
  return found ? std::vector<int64_t>(found->ints().begin(), found->ints().end()) : std::vector<int64_t>();
}

static std::string opName(const NodeProto &proto) {
  return proto.domain().empty() || proto.domain() == "ai.onnx" ? proto.op_type()
                                                               : proto.domain() + "::" + proto.op_type();
}
// A name for people: exporters may leave it out.
static std::string nodeName(const NodeProto &proto) {
  if (!proto.name().empty())
    return proto.name();
  return proto.output_size() ? "(giving " + proto.output(0) + ")" : "(without name)";
}

LogicalResult Node::unsupported(const Twine &why, const Twine &advice) const {
  importer.problems.push_back({nodeName(proto), opName(proto), opset, why.str(), advice.str()});
  return failure();
}

std::optional<int64_t> Node::axis(int64_t given, int64_t rank) const {
  if (given < -rank || given >= rank)
    return std::nullopt;
  return given < 0 ? given + rank : given;
}

//===-- Values ------------------------------------------------------------===//

Type Importer::elementTypeOf(int32_t elementType) {
  switch (elementType) {
  case TensorProto::FLOAT:
    return b.getF32Type();
  case TensorProto::INT64:
    return b.getI64Type();
  case TensorProto::INT32:
    return b.getI32Type();
  case TensorProto::BOOL:
    return b.getI1Type();
  default:
    return {};
  }
}

std::optional<RankedTensorType> Importer::typeOf(const Node &node, int32_t elementType, ArrayRef<Size> shape) {
  SmallVector<int64_t> sizes;
  int64_t count = 1;
  if (shape.size() > 8)
    return (void)node.unsupported("a tensor has " + Twine(shape.size()) + " axes, at most 8 are supported"),
           std::nullopt;
  for (Size size : shape) {
    if (!size.isStatic() && size != Size(0, 1))
      return (void)node.unsupported("a dimension is computed from the free one (" + Twine(size.constant) + " + " +
                                        Twine(size.factor) + " x length)",
                                    "fix it with --shape NAME=1x128"),
             std::nullopt;
    int64_t largest = size.isStatic() ? size.constant : freeMaximum;
    int64_t product;
    if (largest < 1 || llvm::MulOverflow(count, largest, product) || product > kMaxElements)
      return (void)node.unsupported("a tensor has a dimension of " + Twine(largest) + ", or over " +
                                    Twine(kMaxElements) + " elements"),
             std::nullopt;
    count = product;
    sizes.push_back(size.isStatic() ? size.constant : ShapedType::kDynamic);
  }
  Type element = elementTypeOf(elementType);
  if (!element)
    return (void)node.unsupported("element type " + Twine(elementType) + " is not supported",
                                  "export the model in float32"),
           std::nullopt;
  return RankedTensorType::get(sizes, element);
}

Tensor Importer::tensorOf(mlir::Value value) {
  Tensor tensor;
  tensor.value = value;
  auto type = cast<RankedTensorType>(value.getType());
  for (int64_t size : type.getShape())
    tensor.shape.push_back(ShapedType::isDynamic(size) ? Size(0, 1) : Size(size));
  Type element = type.getElementType();
  tensor.elementType = element.isF32()         ? TensorProto::FLOAT
                       : element.isInteger(64) ? TensorProto::INT64
                       : element.isInteger(32) ? TensorProto::INT32
                                               : TensorProto::BOOL;
  return tensor;
}

mlir::Value Importer::valueOf(const Node &node, Tensor &tensor) {
  if (tensor.value)
    return tensor.value;
  if (tensor.part) {
    tensor.value = finishProduct(node, tensor);
    return tensor.value;
  }
  auto integers = integersOf(tensor);
  if (!integers)
    return (void)node.unsupported("a number computed from the free dimension is used as data",
                                  "fix the dimension with --shape NAME=1x128"),
           mlir::Value();
  auto type = typeOf(node, tensor.elementType, tensor.shape);
  if (!type)
    return {};
  SmallVector<APInt> elements;
  for (int64_t integer : *integers)
    elements.push_back(APInt(type->getElementTypeBitWidth(), integer, /*isSigned=*/true, /*implicitTrunc=*/true));
  tensor.value = graph::ConstantOp::create(b, DenseElementsAttr::get(*type, elements));
  return tensor.value;
}

std::optional<std::vector<int64_t>> Importer::integersOf(const Tensor &tensor) {
  if (!tensor.isKnown)
    return std::nullopt;
  std::vector<int64_t> result;
  for (Size size : tensor.known) {
    if (!size.isStatic())
      return std::nullopt;
    result.push_back(size.constant);
  }
  return result;
}

std::optional<std::vector<float>> Importer::floatsOf(const Tensor &tensor) {
  ElementsAttr elements = graph::constantValue(tensor.value);
  if (!elements || !elements.getElementType().isF32())
    return std::nullopt;
  return graph::floatElements(elements);
}

mlir::Value Importer::constant(const TensorData &data, StringRef name) {
  auto type = RankedTensorType::get(data.dims, elementTypeOf(data.elementType));
  if (data.elementType == TensorProto::BOOL) {
    SmallVector<bool> elements(data.bytes.begin(), data.bytes.end());
    return graph::ConstantOp::create(b, DenseElementsAttr::get(type, elements));
  }
  return graph::ConstantOp::create(b, graph::makeResource(type, name, data.bytes));
}

mlir::Value Importer::scalar(float value) {
  return graph::ConstantOp::create(b, DenseElementsAttr::get(RankedTensorType::get({1}, b.getF32Type()), value));
}

bool Importer::mayMake(const Node &node, int64_t bytes) {
  // Four bits become 32: eight times as much.
  int64_t limit = std::min(llvm::SaturatingAdd<uint64_t>(options.foldBudget, 8 * weightBytes), uint64_t(kMaxMadeBytes));
  if (bytes > limit - madeBytes)
    return (void)node.unsupported("dequantised weights would take over " + Twine(limit) +
                                      " bytes: eight times what is in the file and the fold budget, at most " +
                                      Twine(kMaxMadeBytes),
                                  "raise --fold-budget, or store weights as f32"),
           false;
  madeBytes += bytes;
  return true;
}

Error Importer::countWeights(const TensorProto &proto, const TensorData &data) {
  // Several tensors may name the same external data.
  weightBytes += data.elementCount() * storedElementSize(proto.data_type());
  if (weightBytes > kMaxFileSize)
    return createStringError("the constants have over " + Twine(kMaxFileSize) +
                             " bytes together; larger models are not supported");
  return Error::success();
}

LogicalResult Importer::setResult(const Node &node, size_t i, Tensor tensor) {
  if (i >= size_t(node.proto.output_size()) || node.proto.output(i).empty())
    return success();
  if (tensor.value && !tensor.isKnown)
    if (auto constant = tensor.value.getDefiningOp<graph::ConstantOp>())
      if (auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
          dense && dense.getElementType().isInteger() && dense.getNumElements() <= 4096) {
        tensor.isKnown = true;
        bool isBool = dense.getElementType().isInteger(1);
        for (APInt element : dense.getValues<APInt>())
          tensor.known.push_back(isBool ? element.getZExtValue() : element.getSExtValue());
      }
  // Each result has a list of its own, and a file may have very many.
  knownCount += tensor.known.size();
  if (knownCount > kMaxKnownInAll)
    return node.unsupported("over " + Twine(kMaxKnownInAll) + " integers are computed while importing");
  tensors[node.proto.output(i)] = std::move(tensor);
  return success();
}

//===-- The model ---------------------------------------------------------===//

int64_t Importer::opsetOf(StringRef domain) const { return opsets.lookup(domain == "ai.onnx" ? "" : domain); }

Error Importer::checkModel() {
  for (const OperatorSetIdProto &opset : model.opset_import())
    opsets.try_emplace(opset.domain() == "ai.onnx" ? "" : opset.domain(), opset.version());
  int64_t opset = opsetOf("");
  if (opset < kMinOpset || opset > kMaxOpset)
    return createStringError("the model uses opset " + Twine(opset) + ", supported are " + Twine(kMinOpset) + " to " +
                             Twine(kMaxOpset) + "; export it again with opset_version=17");
  int64_t count = model.graph().node_size();
  for (const NodeProto &node : model.graph().node())
    count += node.input_size();
  if (count > kMaxNodes)
    return createStringError("the model has " + Twine(count) + " nodes and operands, at most " + Twine(kMaxNodes) +
                             " are supported");
  return Error::success();
}

Error Importer::define(StringRef name, Tensor tensor) {
  if (name.empty())
    return createStringError("the graph has a value without name");
  if (!tensors.try_emplace(name, std::move(tensor)).second)
    return createStringError("the value \"" + name + "\" is defined twice");
  return Error::success();
}

Error Importer::addInitializers() {
  if (model.graph().sparse_initializer_size() != 0)
    return createStringError("sparse initializers are not supported; store the zeros, they are found");
  for (const TensorProto &proto : model.graph().initializer()) {
    initializerTypes.try_emplace(proto.name(), proto.data_type());
    if (storedElementSize(proto.data_type()) == 0) {
      NodeProto stand;
      stand.set_name(proto.name());
      stand.set_op_type("initializer");
      (void)Node{stand, *this, opsetOf(""), {}}.unsupported("element type " + Twine(proto.data_type()) +
                                                                " is not supported",
                                                            "only bool, float and integers of 8 to 64 bits are");
      Tensor broken;
      broken.isBroken = true;
      if (Error error = define(proto.name(), broken))
        return error;
      continue;
    }
    Expected<TensorData> data = readTensor(proto, folder);
    if (!data)
      return data.takeError();
    if (data->dims.size() > 8)
      return createStringError("tensor \"" + proto.name() + "\" has " + Twine(data->dims.size()) +
                               " axes, at most 8 are supported");
    Tensor tensor;
    tensor.elementType = data->elementType;
    for (int64_t size : data->dims)
      tensor.shape.push_back(size);
    int64_t count = data->elementCount();
    if (data->elementType != TensorProto::FLOAT && count <= 4096) {
      tensor.isKnown = true;
      for (int64_t i = 0; i < count; ++i)
        tensor.known.push_back(data->elementType == TensorProto::INT64   ? data->at<int64_t>(i)
                               : data->elementType == TensorProto::INT32 ? data->at<int32_t>(i)
                                                                         : data->bytes[i]);
    }
    if (Error error = countWeights(proto, *data))
      return error;
    // Empty tensors only ever say "nothing", in lists of integers.
    if (count > 0)
      tensor.value = constant(*data, proto.name());
    if (tensor.value && proto.data_type() == TensorProto::FLOAT)
      tensor.value.getDefiningOp()->setAttr(graph::kInitializerAttr, b.getStringAttr(proto.name()));
    if (Error error = define(proto.name(), std::move(tensor)))
      return error;
  }
  return Error::success();
}

Error Importer::addNode(const NodeProto &proto) {
  Node node{proto, *this, opsetOf(proto.domain()), {}};
  bool isBroken = false;
  for (const std::string &name : proto.input()) {
    if (name.empty()) {
      node.inputs.push_back(nullptr);
      continue;
    }
    auto found = tensors.find(name);
    if (found == tensors.end())
      return createStringError("node \"" + nodeName(proto) + "\" reads \"" + name +
                               "\", which nothing before it defines");
    isBroken |= found->second.isBroken;
    node.inputs.push_back(&found->second);
  }
  for (const std::string &name : proto.output())
    if (!name.empty() && tensors.contains(name))
      return createStringError("the value \"" + name + "\" is defined twice");
  const OpEntry *entry = findOp(proto.domain(), proto.op_type());
  size_t before = problems.size();
  LogicalResult result = failure();
  b.setLoc(NameLoc::get(b.getStringAttr(nodeName(proto))));
  if (!entry)
    (void)node.unsupported("the operator is not supported", "see rt3c ops for those that are");
  else if (node.opset < entry->sinceOpset)
    (void)node.unsupported("the operator is supported from opset " + Twine(entry->sinceOpset) + " on",
                           "export the model with a later opset");
  else if (!isBroken)
    result = entry->import(node);
  if (failed(result) && !isBroken && problems.size() == before)
    (void)node.unsupported("the node is not valid: operands or attributes are missing or do not fit");
  // What depends on a node with a problem is not looked at, but its own type is.
  Tensor broken;
  broken.isBroken = true;
  for (const std::string &name : proto.output())
    if (!name.empty())
      tensors.try_emplace(name, broken).first->second.isBroken |= failed(result);
  return Error::success();
}

Error Importer::addOutputs() {
  if (model.graph().output_size() == 0)
    return createStringError("the graph has no outputs");
  for (const ValueInfoProto &output : model.graph().output()) {
    auto found = tensors.find(output.name());
    if (found == tensors.end())
      return createStringError("the output \"" + output.name() + "\" is not defined by any node");
    if (found->second.isBroken)
      continue;
    NodeProto proto;
    proto.set_name(output.name());
    proto.set_op_type("output");
    Node node{proto, *this, opsetOf(""), {}};
    if (mlir::Value value = valueOf(node, found->second))
      outputs.emplace_back(output.name(), value);
  }
  return Error::success();
}

Expected<ImportResult> Importer::run() {
  ImportResult result;
  result.nodeCount = model.graph().node_size();
  if (Error error = checkModel())
    return std::move(error);
  if (Error error = bindShapes())
    return std::move(error);
  auto module = OwningOpRef<ModuleOp>(ModuleOp::create(b.getLoc()));
  b.setInsertionPointToEnd(module->getBody());
  chooseInputTypes();
  SmallVector<Type> argumentTypes;
  for (auto [input, type] : inputs)
    if (type)
      argumentTypes.push_back(type);
  auto function = func::FuncOp::create(b, "main", b.getFunctionType(argumentTypes, {}));
  b.setInsertionPointToStart(function.addEntryBlock());
  if (freeMaximum != 0)
    module.get()->setAttr(graph::kMaxLengthAttr, b.getI64IntegerAttr(freeMaximum));
  if (options.context != 0) {
    if (freeMaximum == 0 || options.context < freeMaximum)
      return llvm::make_error<OptionFault>(
          "--kv-cache " + Twine(options.context) +
              (freeMaximum == 0 ? " needs a free dimension, the tokens of a run: --shape NAME=1x1..16"
                                : " is less than the " + Twine(freeMaximum) + " tokens that --shape allows in one run"),
          llvm::inconvertibleErrorCode());
    module.get()->setAttr(graph::kContextAttr, b.getI64IntegerAttr(options.context));
  }
  if (Error error = defineInputs(function))
    return std::move(error);
  if (Error error = addInitializers())
    return std::move(error);
  for (const NodeProto &node : model.graph().node())
    if (Error error = addNode(node))
      return std::move(error);
  if (Error error = addOutputs())
    return std::move(error);
  result.problems = std::move(problems);
  if (!result.problems.empty())
    return result;
  SmallVector<mlir::Value> values;
  SmallVector<Type> types;
  SmallVector<StringRef> names;
  for (auto &[name, value] : outputs) {
    values.push_back(value);
    types.push_back(value.getType());
    names.push_back(name);
  }
  b.setLoc(UnknownLoc::get(b.getContext()));
  func::ReturnOp::create(b, values);
  function.setType(b.getFunctionType(function.getArgumentTypes(), types));
  function.setResAttrsAttr(namesAttr(names));
  if (failed(verify(*module)))
    return makeOwnFault("the imported model is not valid");
  result.module = std::move(module);
  return result;
}

static Expected<ImportResult> import(MLIRContext *context, Expected<ModelProto> model, StringRef folder,
                                     const ImportOptions &options) {
  if (!model)
    return model.takeError();
  context->loadDialect<func::FuncDialect, graph::GraphDialect>();
  return Importer(context, *model, folder, options).run();
}

Expected<ImportResult> mlir::rt3::onnx::importModel(MLIRContext *context, StringRef path,
                                                    const ImportOptions &options) {
  Expected<ImportResult> result = import(context, readModel(path), llvm::sys::path::parent_path(path), options);
  if (result)
    return result;
  Error error = result.takeError();
  if (error.isA<OwnFault>())
    return std::move(error);
  bool isOption = error.isA<OptionFault>();
  std::string message = llvm::toString(std::move(error));
  if (!StringRef(message).starts_with(path))
    message = path.str() + ": " + message;
  if (isOption)
    return llvm::make_error<OptionFault>(message, llvm::inconvertibleErrorCode());
  return createStringError(message);
}

Expected<ImportResult> mlir::rt3::onnx::importBytes(MLIRContext *context, StringRef bytes,
                                                    const ImportOptions &options) {
  return import(context, parseModel(bytes), "/nonexistent", options);
}

std::vector<SupportedOp> mlir::rt3::onnx::supportedOps() {
  std::vector<SupportedOp> result;
  for (const OpEntry &entry : allOps())
    result.push_back({entry.domain, entry.type, entry.sinceOpset, entry.limits});
  return result;
}
