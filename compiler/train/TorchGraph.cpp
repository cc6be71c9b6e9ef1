// SPDX-License-Identifier: Apache-2.0

#include "compiler/train/TorchGraph.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::rt3;
using torch::Tensor;

static RankedTensorType typeOf(mlir::Value value) { return cast<RankedTensorType>(value.getType()); }

static torch::ScalarType scalarType(mlir::Type type) {
  return type.isF32()         ? torch::kFloat32
         : type.isInteger(64) ? torch::kInt64
         : type.isInteger(32) ? torch::kInt32
                              : torch::kBool;
}

static Tensor toTensor(graph::ConstantOp op) {
  auto type = typeOf(op.getResult());
  std::vector<int64_t> shape(type.getShape());
  Tensor result = torch::empty(shape, scalarType(type.getElementType()));
  if (type.getElementType().isInteger(1)) {
    auto values = cast<DenseElementsAttr>(op.getValue()).getValues<bool>();
    std::copy(values.begin(), values.end(), result.data_ptr<bool>());
    return result;
  }
  llvm::ArrayRef<char> bytes = graph::rawBytes(op.getValue());
  size_t size = type.getElementTypeBitWidth() / 8;
  for (int64_t i = 0; i < type.getNumElements(); ++i) // A splat gives one element.
    memcpy(static_cast<char *>(result.data_ptr()) + i * size, bytes.data() + (bytes.size() == size ? 0 : i * size),
           size);
  return result;
}

// Whether a use makes an initializer something that is learnt.
static bool isLearnt(OpOperand &use) {
  auto type = typeOf(use.get());
  return llvm::TypeSwitch<Operation *, bool>(use.getOwner())
      .Case([&](graph::MatmulOp op) { return use.getOperandNumber() == 1 && type.getRank() == 2; })
      .Case([&](graph::TransposeOp op) { return type.getRank() == 2 && llvm::any_of(op->getUses(), isLearnt); })
      .Case([&](graph::GatherOp op) { return use.getOperandNumber() == 0 && type.getRank() == 2 && op.getAxis() == 0; })
      .Case([&](graph::BinaryOp op) {
        return type.getRank() == 1 &&
               (op.getKind() == graph::BinaryKind::Add || op.getKind() == graph::BinaryKind::Mul);
      })
      .Case([&](graph::LayerNormOp) { return use.getOperandNumber() > 0; })
      .Default(false);
}

namespace mlir::rt3 {

// One run.
class TorchExecution {
public:
  TorchExecution(const TorchGraph &graph, int64_t length, const std::vector<LayerOverride> &level,
                 const Parameters &parameters)
      : graph(graph), length(length), parameters(parameters) {
    for (auto [layer, values] : llvm::zip(graph.products, level))
      ownOf[layer.op] = values;
  }

  void set(mlir::Value value, Tensor tensor) { values[value] = std::move(tensor); }

  Tensor valueOf(mlir::Value value) {
    if (auto name = graph.parameterNames.find(value); name != graph.parameterNames.end())
      return parameters.at(name->second);
    if (auto known = graph.known.find(value); known != graph.known.end())
      return known->second;
    if (auto found = values.find(value); found != values.end())
      return found->second;
    // Of a layer's weights alone.
    run(*value.getDefiningOp());
    return values[value];
  }

  // Whether there is a function for the op.
  bool run(Operation &op) {
    return llvm::TypeSwitch<Operation *, bool>(&op)
        .Case<graph::ConstantOp, graph::UnaryOp, graph::BinaryOp, graph::SelectOp, graph::CastOp, graph::ReshapeOp,
              graph::TransposeOp, graph::SliceOp, graph::ConcatOp, graph::ExpandOp, graph::GatherOp, graph::IotaOp,
              graph::ReduceOp, graph::SoftmaxOp, graph::LayerNormOp, graph::MatmulOp>([&](auto typed) {
          values[typed.getResult()] = compute(typed);
          return true;
        })
        .Default(false);
  }

private:
  std::vector<int64_t> shapeOf(mlir::Value value) const {
    std::vector<int64_t> shape;
    for (int64_t size : typeOf(value).getShape())
      shape.push_back(ShapedType::isDynamic(size) ? length : size);
    return shape;
  }

  Tensor compute(graph::ConstantOp op) { return toTensor(op); }

  Tensor compute(graph::UnaryOp op) {
    Tensor x = valueOf(op.getX());
    switch (op.getKind()) {
    case graph::UnaryKind::Abs:
      return x.abs();
    case graph::UnaryKind::Ceil:
      return x.ceil();
    case graph::UnaryKind::Erf:
      return x.erf();
    case graph::UnaryKind::Exp:
      return x.exp();
    case graph::UnaryKind::Floor:
      return x.floor();
    case graph::UnaryKind::Gelu:
      return torch::gelu(x, "none");
    case graph::UnaryKind::GeluTanh:
      return torch::gelu(x, "tanh");
    case graph::UnaryKind::Neg:
      return x.neg();
    case graph::UnaryKind::Not:
      return x.logical_not();
    case graph::UnaryKind::Reciprocal:
      return x.reciprocal();
    case graph::UnaryKind::Relu:
      return x.relu();
    case graph::UnaryKind::Round:
      return x.round();
    case graph::UnaryKind::Sigmoid:
      return x.sigmoid();
    case graph::UnaryKind::Sqrt:
      return x.sqrt();
    case graph::UnaryKind::Tanh:
      return x.tanh();
    case graph::UnaryKind::Silu:
      return torch::silu(x);
    case graph::UnaryKind::Sin:
      return x.sin();
    case graph::UnaryKind::Cos:
      return x.cos();
    }
    llvm_unreachable("no kind");
  }

  Tensor compute(graph::BinaryOp op) {
    Tensor x = valueOf(op.getLhs()), y = valueOf(op.getRhs());
    switch (op.getKind()) {
    case graph::BinaryKind::Add:
      return x + y;
    case graph::BinaryKind::Sub:
      return x - y;
    case graph::BinaryKind::Mul:
      return x * y;
    case graph::BinaryKind::Div:
      return x.is_floating_point() ? x / y : torch::div(x, y, "trunc");
    case graph::BinaryKind::Max:
      return torch::maximum(x, y);
    case graph::BinaryKind::Min:
      return torch::minimum(x, y);
    case graph::BinaryKind::And:
      return torch::logical_and(x, y);
    case graph::BinaryKind::Or:
      return torch::logical_or(x, y);
    case graph::BinaryKind::Xor:
      return torch::logical_xor(x, y);
    case graph::BinaryKind::Equal:
      return x.eq(y);
    case graph::BinaryKind::Less:
      return x.lt(y);
    case graph::BinaryKind::LessEqual:
      return x.le(y);
    case graph::BinaryKind::Greater:
      return x.gt(y);
    case graph::BinaryKind::GreaterEqual:
      return x.ge(y);
    }
    llvm_unreachable("no kind");
  }

  Tensor compute(graph::SelectOp op) {
    return torch::where(valueOf(op.getCondition()), valueOf(op.getOnTrue()), valueOf(op.getOnFalse()));
  }

  Tensor compute(graph::CastOp op) { return valueOf(op.getX()).to(scalarType(op.getType().getElementType())); }

  Tensor compute(graph::ReshapeOp op) { return valueOf(op.getX()).reshape(shapeOf(op.getResult())); }

  Tensor compute(graph::TransposeOp op) {
    return valueOf(op.getX()).permute(std::vector<int64_t>(op.getPermutation()));
  }

  Tensor compute(graph::SliceOp op) {
    Tensor x = valueOf(op.getX());
    std::vector<int64_t> shape = shapeOf(op.getResult());
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      int64_t start = op.getStarts()[axis], step = op.getSteps()[axis], last = start + (shape[axis] - 1) * step;
      if (step > 0)
        x = x.slice(axis, start, last + 1, step);
      else
        x = x.index_select(axis, torch::arange(start, last - 1, step, torch::kInt64));
    }
    return x;
  }

  Tensor compute(graph::ConcatOp op) {
    std::vector<Tensor> inputs;
    for (mlir::Value input : op.getInputs())
      inputs.push_back(valueOf(input));
    return torch::cat(inputs, op.getAxis());
  }

  Tensor compute(graph::ExpandOp op) { return valueOf(op.getX()).expand(shapeOf(op.getResult())); }

  Tensor compute(graph::GatherOp op) {
    Tensor table = valueOf(op.getTable()), indices = valueOf(op.getIndices()).to(torch::kInt64);
    int64_t size = table.size(op.getAxis());
    indices = torch::where(indices.lt(0), indices + size, indices).clamp(0, size - 1);
    if (op.getAxis() == 0 && table.dim() == 2)
      return torch::embedding(table, indices);
    return table.index_select(op.getAxis(), indices.flatten()).reshape(shapeOf(op.getResult()));
  }

  Tensor compute(graph::IotaOp op) {
    int64_t start = op.getStart(), step = op.getStep(), count = shapeOf(op.getResult())[0];
    return (torch::arange(count, torch::kInt64) * step + start).to(scalarType(op.getType().getElementType()));
  }

  Tensor compute(graph::ReduceOp op) {
    Tensor x = valueOf(op.getX());
    std::vector<int64_t> axes(op.getAxes());
    switch (op.getKind()) {
    case graph::ReduceKind::Sum:
      return x.sum(axes, /*keepdim=*/true).to(x.scalar_type());
    case graph::ReduceKind::Mean:
      return x.mean(axes, /*keepdim=*/true);
    case graph::ReduceKind::Max:
      return x.amax(axes, /*keepdim=*/true);
    case graph::ReduceKind::Min:
      return x.amin(axes, /*keepdim=*/true);
    case graph::ReduceKind::Prod:
      for (int64_t axis : axes)
        x = x.prod(axis, /*keepdim=*/true).to(x.scalar_type());
      return x;
    }
    llvm_unreachable("no kind");
  }

  Tensor compute(graph::SoftmaxOp op) { return torch::softmax(valueOf(op.getX()), op.getAxis()); }

  Tensor compute(graph::LayerNormOp op) {
    Tensor x = valueOf(op.getX()), scale = valueOf(op.getScale()), bias = valueOf(op.getBias());
    double epsilon = op.getEpsilon().convertToFloat();
    if (op.getRms())
      return x * torch::rsqrt((x * x).mean(-1, /*keepdim=*/true) + epsilon) * scale + bias;
    return torch::layer_norm(x, {x.size(-1)}, scale, bias, epsilon);
  }

  Tensor compute(graph::MatmulOp op) {
    LayerOverride own = ownOf.lookup(op);
    Tensor rhs = own.weights.defined() ? own.weights : valueOf(op.getRhs());
    if (own.mask.defined())
      rhs = rhs * own.mask;
    Tensor result = torch::matmul(valueOf(op.getLhs()), rhs);
    return own.bias.defined() ? result + own.bias : result;
  }

  const TorchGraph &graph;
  int64_t length;
  const Parameters &parameters;
  llvm::DenseMap<Operation *, LayerOverride> ownOf;
  llvm::DenseMap<mlir::Value, Tensor> values;
};

} // namespace mlir::rt3

llvm::Expected<std::unique_ptr<TorchGraph>> TorchGraph::make(func::FuncOp function) {
  std::unique_ptr<TorchGraph> result(new TorchGraph(function));
  torch::NoGradGuard noGradients;
  TorchExecution constants(*result, 0, {}, result->trained);
  llvm::DenseSet<mlir::Value> fromParameters;
  llvm::StringSet<> names;
  llvm::StringSet<> unknown;
  for (Operation &op : function.getBody().front()) {
    if (isa<func::ReturnOp>(op))
      continue;
    mlir::Value value = op.getResult(0);
    auto name = op.getAttrOfType<StringAttr>(graph::kInitializerAttr);
    if (name && llvm::any_of(value.getUses(), isLearnt) && typeOf(value).getNumElements() > 1) {
      result->trained[name.str()] = toTensor(cast<graph::ConstantOp>(op)).set_requires_grad(true);
      result->parameterNames[value] = name.str();
      fromParameters.insert(value);
      continue;
    }
    bool isKnown = typeOf(value).hasStaticShape();
    for (mlir::Value operand : op.getOperands())
      isKnown &= result->known.contains(operand);
    bool isFromParameters = isa<graph::TransposeOp>(op) && fromParameters.contains(op.getOperand(0));
    if (isFromParameters)
      fromParameters.insert(value);
    if (isKnown) {
      if (!constants.run(op))
        unknown.insert(op.getName().stripDialect());
      else
        result->known[value] = constants.valueOf(value);
    } else if (!isa<graph::UnaryOp, graph::BinaryOp, graph::SelectOp, graph::CastOp, graph::ReshapeOp,
                    graph::TransposeOp, graph::SliceOp, graph::ConcatOp, graph::ExpandOp, graph::GatherOp,
                    graph::IotaOp, graph::ReduceOp, graph::SoftmaxOp, graph::LayerNormOp, graph::MatmulOp>(op)) {
      unknown.insert(op.getName().stripDialect());
    }
    auto product = dyn_cast<graph::MatmulOp>(op);
    if (product && fromParameters.contains(product.getRhs())) {
      auto location = dyn_cast<NameLoc>(op.getLoc());
      std::string base = location ? location.getName().str() : "linear", key = base;
      for (int count = 2; !names.insert(key).second; ++count)
        key = base + "#" + std::to_string(count);
      result->products.push_back({key, &op, product.getRhs()});
    }
  }
  if (!unknown.empty())
    return llvm::createStringError("the model has ops that cannot be trained: " + llvm::join(unknown.keys(), ", ") +
                                   " (int8 models are trained before quantising)");
  if (result->trained.empty())
    return llvm::createStringError("the model has no f32 initializer that is a weight, nothing to train");
  return result;
}

std::vector<Tensor> TorchGraph::run(const std::vector<Tensor> &inputs, int64_t length,
                                    const std::vector<LayerOverride> &level, const Parameters &parameters,
                                    std::vector<Tensor> *hidden) const {
  Block &entry = const_cast<func::FuncOp &>(function).getBody().front();
  TorchExecution execution(*this, length, level, parameters);
  for (auto [argument, input] : llvm::zip_equal(entry.getArguments(), inputs))
    execution.set(argument, input);
  std::vector<Tensor> results;
  for (Operation &op : entry) {
    if (isa<func::ReturnOp>(op)) {
      for (mlir::Value value : op.getOperands())
        results.push_back(execution.valueOf(value));
      break;
    }
    mlir::Value value = op.getResult(0);
    if (parameterNames.contains(value) || known.contains(value))
      continue;
    execution.run(op);
    if (hidden && isa<graph::LayerNormOp>(op))
      hidden->push_back(execution.valueOf(value));
  }
  return results;
}

Tensor TorchGraph::weightsOf(const TorchLayer &layer, const Parameters &parameters) const {
  return TorchExecution(*this, 0, {}, parameters).valueOf(layer.weights);
}
