// SPDX-License-Identifier: Apache-2.0
//
// What the functions for single operators see of the importer: values, the
// attributes of a node, and how to report a problem. Private to this folder.

#ifndef RT3_COMPILER_ONNX_IMPORTER_H
#define RT3_COMPILER_ONNX_IMPORTER_H

#include "compiler/onnx/Import.h"
#include "compiler/onnx/Model.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::rt3::onnx {

// A size or integer that may depend on the free dimension:
// constant + factor x length.
struct Size {
  int64_t constant = 0, factor = 0;

  Size(int64_t constant = 0, int64_t factor = 0) : constant(constant), factor(factor) {}
  bool isStatic() const { return factor == 0; }
  bool operator==(const Size &) const = default;
  Size operator+(Size o) const { return {constant + o.constant, factor + o.factor}; }
  Size operator-(Size o) const { return {constant - o.constant, factor - o.factor}; }
};

// A part of a quantised product, of which graphs have several nodes and rt3_graph
// one: q, scale and zero point of activations x; the integer product of x with
// weights, which becomes x W when it has been multiplied by the scale.
struct QuantizedPart {
  enum Kind { Quanta, Scale, Zero, Product } kind;
  mlir::Value x;
  // Of QuantizeLinear's quanta: its own scale and zero point. Of a scale or a
  // product, what it has been multiplied by, one number or one per output.
  std::vector<float> factors = {1.0f};
  int64_t zero = 0;
  bool isDynamic = false; // Of DynamicQuantizeLinear.
  // Of a product: K x N, before the factors; whether it has had its scale.
  std::shared_ptr<const std::vector<float>> weights = nullptr;
  int64_t inputs = 1, outputs = 1;
  bool isScaled = false;
};

// A tensor while importing: an SSA value, or integers that are known (shapes
// and what is computed from them), or both.
struct Tensor {
  mlir::Value value; // Null while only `known` is needed.
  bool isKnown = false;
  std::vector<Size> known; // Elements in order, if isKnown.
  int32_t elementType = 0; // As in ONNX.
  std::vector<Size> shape;
  bool isBroken = false;             // The result of a node with a problem.
  std::optional<QuantizedPart> part; // Then there is no value (yet).
  bool wasQuantized = false;         // Its value has gone through int8.

  int64_t rank() const { return shape.size(); }
};

class Importer;

// One node with its operands.
struct Node {
  const NodeProto &proto;
  Importer &importer;
  int64_t opset;                // Of the node's domain.
  std::vector<Tensor *> inputs; // Null for optional ones that are left out.

  bool has(size_t i) const { return i < inputs.size() && inputs[i]; }
  const AttributeProto *attribute(StringRef name) const;
  int64_t integer(StringRef name, int64_t otherwise) const;
  float real(StringRef name, float otherwise) const;
  std::string text(StringRef name, StringRef otherwise) const;
  std::vector<int64_t> integers(StringRef name) const;
  // Reports why the node is not supported.
  LogicalResult unsupported(const Twine &why, const Twine &advice = "") const;
  // An axis from the end counted from the start; nothing if out of range.
  std::optional<int64_t> axis(int64_t given, int64_t rank) const;
};

class Importer {
public:
  Importer(MLIRContext *context, const ModelProto &model, StringRef folder, const ImportOptions &options)
      : model(model), folder(folder), options(options), b(UnknownLoc::get(context), context) {}

  llvm::Expected<ImportResult> run();

  // For the functions of operators.
  LogicalResult setResult(const Node &node, size_t i, Tensor tensor);
  LogicalResult setResult(const Node &node, mlir::Value value) { return setResult(node, 0, tensorOf(value)); }
  Tensor tensorOf(mlir::Value value);
  // The SSA value of a tensor; null (and reported) if it cannot have one.
  mlir::Value valueOf(const Node &node, Tensor &tensor);
  // Integers that are known, all static; nothing otherwise.
  std::optional<std::vector<int64_t>> integersOf(const Tensor &tensor);
  // The elements of a constant f32 tensor; nothing otherwise.
  std::optional<std::vector<float>> floatsOf(const Tensor &tensor);
  mlir::Value constant(const TensorData &data, StringRef name);
  mlir::Value scalar(float value);
  // Whether a node may make a constant of so many bytes out of others: all of them
  // are limited by the fold budget and the size of the weights. Reports if not.
  bool mayMake(const Node &node, int64_t bytes);
  // Counts a tensor of the file; an error if all together are too large.
  llvm::Error countWeights(const TensorProto &proto, const TensorData &data);
  // A tensor type; nothing (and reported) for sizes that rt3_graph cannot have.
  std::optional<RankedTensorType> typeOf(const Node &node, int32_t elementType, ArrayRef<Size> shape);
  Type elementTypeOf(int32_t elementType);
  int64_t maxLength() const { return freeMaximum; }

  ImplicitLocOpBuilder &builder() { return b; }
  std::vector<Problem> problems;
  const std::string &dataFolder() const { return folder; }
  // The type in the file of an initializer; 0 if there is none of that name.
  int32_t initializerType(StringRef name) const { return initializerTypes.lookup(name); }

private:
  llvm::Error checkModel();
  llvm::Error bindShapes();
  void chooseInputTypes();
  llvm::Error defineInputs(func::FuncOp function);
  // Argument or result attributes with names, all at once: one at a time takes time
  // and memory with the square of their number.
  ArrayAttr namesAttr(ArrayRef<StringRef> names);
  llvm::Error addInitializers();
  llvm::Error addOutputs();
  llvm::Error addNode(const NodeProto &proto);
  llvm::Error define(StringRef name, Tensor tensor);
  int64_t opsetOf(StringRef domain) const;

  const ModelProto &model;
  std::string folder;
  const ImportOptions &options;
  ImplicitLocOpBuilder b;
  llvm::StringMap<Tensor> tensors;
  llvm::StringMap<std::vector<Size>> inputShapes;
  // Inputs of the function in order; a null type has been reported.
  std::vector<std::pair<const ValueInfoProto *, RankedTensorType>> inputs;
  int64_t freeMaximum = 0;                // 0: no dimension is free.
  int64_t weightBytes = 0, madeBytes = 0; // Stored in the file; made of those.
  int64_t knownCount = 0;
  llvm::StringMap<int32_t> initializerTypes;
  llvm::StringMap<int64_t> opsets; // By domain; "" is ONNX's own.
  std::vector<std::pair<std::string, mlir::Value>> outputs;
  friend struct Node;
};

// The function of an operator and what it covers; null if there is none.
struct OpEntry {
  const char *domain, *type;
  int64_t sinceOpset;
  LogicalResult (*import)(Node &);
  const char *limits;
};
const OpEntry *findOp(StringRef domain, StringRef type);
ArrayRef<OpEntry> allOps();

} // namespace mlir::rt3::onnx

#endif // RT3_COMPILER_ONNX_IMPORTER_H
