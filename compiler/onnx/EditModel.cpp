// SPDX-License-Identifier: Apache-2.0

#include "compiler/onnx/EditModel.h"

#include "compiler/onnx/Model.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Path.h"

using namespace mlir::rt3::onnx;
using llvm::StringRef;

EditedModel::EditedModel(std::unique_ptr<ModelProto> model) : model(std::move(model)) {}
EditedModel::EditedModel(EditedModel &&) = default;
EditedModel::~EditedModel() = default;

static void setFloats(TensorProto &tensor, llvm::ArrayRef<float> values) {
  tensor.clear_float_data();
  tensor.clear_external_data();
  tensor.clear_data_location();
  tensor.set_raw_data(values.data(), 4 * values.size());
}

llvm::Expected<EditedModel> EditedModel::read(StringRef path) {
  auto parsed = readModel(path);
  if (!parsed)
    return parsed.takeError();
  auto model = std::make_unique<ModelProto>(std::move(*parsed));
  for (TensorProto &tensor : *model->mutable_graph()->mutable_initializer()) {
    if (tensor.data_location() != TensorProto::EXTERNAL)
      continue;
    if (tensor.data_type() != TensorProto::FLOAT)
      return llvm::createStringError(path + ": tensor \"" + tensor.name() +
                                     "\" is external data of another type than f32; store it in the file");
    auto data = readTensor(tensor, llvm::sys::path::parent_path(path));
    if (!data)
      return llvm::createStringError(path + ": " + llvm::toString(data.takeError()));
    setFloats(tensor,
              llvm::ArrayRef(reinterpret_cast<const float *>(data->bytes.data()), data->bytes.size() / sizeof(float)));
  }
  return EditedModel(std::move(model));
}

bool EditedModel::setInitializer(StringRef name, llvm::ArrayRef<float> values) {
  for (TensorProto &tensor : *model->mutable_graph()->mutable_initializer()) {
    if (tensor.name() != name)
      continue;
    int64_t count = 1;
    for (int64_t size : tensor.dims())
      count *= size;
    if (tensor.data_type() != TensorProto::FLOAT || count != int64_t(values.size()))
      return false;
    setFloats(tensor, values);
    return true;
  }
  return false;
}

llvm::Expected<std::string> EditedModel::bytes() const {
  std::string result;
  if (model->ByteSizeLong() > size_t(kMaxFileSize) || !model->SerializeToString(&result))
    return llvm::createStringError("the model with its weights is over 2 GiB, which an ONNX file cannot be");
  return result;
}

namespace {

// Adds nodes one behind the other.
class HeadBuilder {
public:
  HeadBuilder(GraphProto &graph, const Head &head, int64_t opset) : graph(graph), head(head), opset(opset) {}

  std::string constant(StringRef name, llvm::ArrayRef<int64_t> dims, llvm::ArrayRef<float> values) {
    TensorProto &tensor = add(name, dims, TensorProto::FLOAT);
    tensor.set_raw_data(values.data(), 4 * values.size());
    return tensor.name();
  }

  NodeProto &node(StringRef type, StringRef name, llvm::ArrayRef<std::string> inputs) {
    NodeProto &node = *graph.add_node();
    node.set_op_type(type.str());
    node.set_name(head.name + "/" + name.str());
    for (const std::string &input : inputs)
      node.add_input(input);
    node.add_output(head.name + "." + name.str());
    return node;
  }

  // ReduceSum, ReduceMean and Unsqueeze took their axes as attributes before `inputsSince`.
  std::string withAxis(StringRef type, StringRef name, std::string input, int64_t axis, int64_t inputsSince) {
    NodeProto &result = node(type, name, {input});
    if (opset >= inputsSince) {
      TensorProto &axes = add((name + "_axes").str(), {1}, TensorProto::INT64);
      axes.set_raw_data(&axis, 8);
      result.add_input(axes.name());
    } else {
      AttributeProto &axes = attribute(result, "axes", AttributeProto::INTS);
      axes.add_ints(axis);
    }
    if (type != "Unsqueeze")
      attribute(result, "keepdims", AttributeProto::INT).set_i(0);
    return result.output(0);
  }

  AttributeProto &attribute(NodeProto &node, StringRef name, AttributeProto::AttributeType type) {
    AttributeProto &result = *node.add_attribute();
    result.set_name(name.str());
    result.set_type(type);
    return result;
  }

  std::string pooled() {
    if (!head.hasTokens)
      return head.output;
    if (head.takesFirst) {
      int64_t zero = 0;
      TensorProto &first = add("first", {}, TensorProto::INT64);
      first.set_raw_data(&zero, 8);
      NodeProto &gather = node("Gather", "pooled", {head.output, first.name()});
      attribute(gather, "axis", AttributeProto::INT).set_i(1);
      return gather.output(0);
    }
    if (head.mask.empty())
      return withAxis("ReduceMean", "pooled", head.output, 1, 18);
    NodeProto &cast = node("Cast", "ones", {head.mask});
    attribute(cast, "to", AttributeProto::INT).set_i(TensorProto::FLOAT);
    std::string ones = withAxis("Unsqueeze", "mask", cast.output(0), 2, 13);
    std::string kept = node("Mul", "kept", {head.output, ones}).output(0);
    std::string sum = withAxis("ReduceSum", "sum", kept, 1, 13);
    std::string count = withAxis("ReduceSum", "count", ones, 1, 13);
    return node("Div", "pooled", {sum, count}).output(0);
  }

private:
  TensorProto &add(StringRef name, llvm::ArrayRef<int64_t> dims, int32_t type) {
    TensorProto &tensor = *graph.add_initializer();
    tensor.set_name(head.name + "." + name.str());
    tensor.set_data_type(type);
    for (int64_t size : dims)
      tensor.add_dims(size);
    return tensor;
  }

  GraphProto &graph;
  const Head &head;
  int64_t opset;
};

} // namespace

llvm::Error EditedModel::addHead(const Head &head, llvm::ArrayRef<float> weights) {
  GraphProto &graph = *model->mutable_graph();
  llvm::StringSet<> names;
  llvm::StringSet<> initializers;
  for (const TensorProto &tensor : graph.initializer())
    initializers.insert(tensor.name());
  for (StringRef name : initializers.keys())
    names.insert(name);
  for (const NodeProto &node : graph.node())
    for (const std::string &output : node.output())
      names.insert(output);
  for (const ValueInfoProto &input : graph.input())
    names.insert(input.name());
  if (llvm::any_of(names.keys(), [&](StringRef name) { return name.starts_with(head.name + "."); }))
    return llvm::createStringError("the model has values named " + head.name + ". already: it has a head");
  std::string logits = names.contains("logits") ? head.name + ".logits" : "logits";
  int64_t opset = 0;
  for (const OperatorSetIdProto &set : model->opset_import())
    if (set.domain().empty() || set.domain() == "ai.onnx")
      opset = set.version();
  HeadBuilder builder(graph, head, opset);
  std::string pooled = builder.pooled();
  std::string matrix = builder.constant("weight", {head.features, head.results}, weights);
  std::string bias = builder.constant("bias", {head.results}, std::vector<float>(head.results, 0));
  std::string product = builder.node("MatMul", "product", {pooled, matrix}).output(0);
  NodeProto &sum = builder.node("Add", "sum_and_bias", {product, bias});
  sum.set_output(0, logits);
  ValueInfoProto output;
  output.set_name(logits);
  auto &type = *output.mutable_type()->mutable_tensor_type();
  type.set_elem_type(TensorProto::FLOAT);
  // Initializers may be listed as inputs too.
  for (const ValueInfoProto &input : graph.input())
    if (type.shape().dim_size() == 0 && !initializers.contains(input.name()))
      *type.mutable_shape()->add_dim() = input.type().tensor_type().shape().dim(0);
  type.mutable_shape()->add_dim()->set_dim_value(head.results);
  graph.clear_output();
  *graph.add_output() = output;
  return llvm::Error::success();
}
