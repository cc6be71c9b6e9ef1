// SPDX-License-Identifier: Apache-2.0

#include "compiler/interpreter/Interpreter.h"

#include "compiler/interpreter/Products.h"
#include "dialects/graph/Quantize.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <functional>
#include <limits>

using namespace mlir;
using namespace mlir::rt3;

static int64_t flatten(ArrayRef<int64_t> index, ArrayRef<int64_t> strides) {
  int64_t offset = 0;
  for (auto [i, stride] : llvm::zip(index, strides))
    offset += i * stride;
  return offset;
}

static std::vector<int64_t> stridesOf(ArrayRef<int64_t> shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (int64_t axis = int64_t(shape.size()) - 2; axis >= 0; --axis)
    strides[axis] = strides[axis + 1] * shape[axis + 1];
  return strides;
}

// Strides for walking `from` under the shape `to`; repeated axes have 0.
static std::vector<int64_t> broadcastStrides(ArrayRef<int64_t> from, ArrayRef<int64_t> to) {
  std::vector<int64_t> own = stridesOf(from), strides(to.size(), 0);
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i] != 1)
      strides[to.size() - from.size() + i] = own[i];
  return strides;
}

static void forEachIndex(ArrayRef<int64_t> shape, llvm::function_ref<void(ArrayRef<int64_t>)> body) {
  std::vector<int64_t> index(shape.size(), 0);
  if (llvm::is_contained(shape, 0))
    return;
  while (true) {
    body(index);
    int64_t axis = int64_t(shape.size()) - 1;
    while (axis >= 0 && ++index[axis] == shape[axis])
      index[axis--] = 0;
    if (axis < 0)
      return;
  }
}

static double apply(graph::UnaryKind kind, double x) {
  switch (kind) {
  case graph::UnaryKind::Abs:
    return std::abs(x);
  case graph::UnaryKind::Ceil:
    return std::ceil(x);
  case graph::UnaryKind::Erf:
    return std::erf(x);
  case graph::UnaryKind::Exp:
    return std::exp(x);
  case graph::UnaryKind::Floor:
    return std::floor(x);
  case graph::UnaryKind::Gelu:
    return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
  case graph::UnaryKind::GeluTanh:
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  case graph::UnaryKind::Neg:
    return -x;
  case graph::UnaryKind::Not:
    return x == 0;
  case graph::UnaryKind::Reciprocal:
    return 1 / x;
  case graph::UnaryKind::Relu:
    return std::isnan(x) ? x : std::max(x, 0.0);
  case graph::UnaryKind::Round:
    return std::nearbyint(x);
  case graph::UnaryKind::Sigmoid:
    return 1 / (1 + std::exp(-x));
  case graph::UnaryKind::Silu:
    return x / (1 + std::exp(-x));
  case graph::UnaryKind::Sin:
    return std::sin(x);
  case graph::UnaryKind::Cos:
    return std::cos(x);
  case graph::UnaryKind::Sqrt:
    return std::sqrt(x);
  case graph::UnaryKind::Tanh:
    return std::tanh(x);
  }
  llvm_unreachable("every kind is above");
}

static double apply(graph::BinaryKind kind, double x, double y, bool isInteger) {
  switch (kind) {
  case graph::BinaryKind::Add:
    return x + y;
  case graph::BinaryKind::Sub:
    return x - y;
  case graph::BinaryKind::Mul:
    return x * y;
  case graph::BinaryKind::Div:
    if (isInteger) // x / 0 is 0, as in the kernels.
      return y == 0 ? 0 : std::trunc(x / y);
    return x / y;
  case graph::BinaryKind::Max:
    return std::isnan(x) || std::isnan(y) ? NAN : std::max(x, y);
  case graph::BinaryKind::Min:
    return std::isnan(x) || std::isnan(y) ? NAN : std::min(x, y);
  case graph::BinaryKind::And:
    return x != 0 && y != 0;
  case graph::BinaryKind::Or:
    return x != 0 || y != 0;
  case graph::BinaryKind::Xor:
    return (x != 0) != (y != 0);
  case graph::BinaryKind::Equal:
    return x == y;
  case graph::BinaryKind::Less:
    return x < y;
  case graph::BinaryKind::LessEqual:
    return x <= y;
  case graph::BinaryKind::Greater:
    return x > y;
  case graph::BinaryKind::GreaterEqual:
    return x >= y;
  }
  llvm_unreachable("every kind is above");
}

class mlir::rt3::Interpreter {
public:
  using Values = std::map<void *, HostTensor>;

  Interpreter(const InterpreterOptions &options, std::shared_ptr<Values> constants)
      : options(options), constants(std::move(constants)) {}

  HostTensor &valueOf(mlir::Value value) {
    bool isConstant = bool(value.getDefiningOp<graph::ConstantOp>());
    return (isConstant ? *constants : values)[value.getAsOpaquePointer()];
  }
  void forget(mlir::Value value) { values.erase(value.getAsOpaquePointer()); }
  const std::shared_ptr<Values> &sharedConstants() const { return constants; }

  // Shape of a result with the free dimension filled in.
  std::vector<int64_t> shapeOf(mlir::Value value) {
    std::vector<int64_t> shape = cast<RankedTensorType>(value.getType()).getShape().vec();
    for (int64_t &size : shape)
      if (ShapedType::isDynamic(size))
        size = options.length;
    return shape;
  }

  // Whether the op is one that is known; its result is then set.
  bool run(Operation *op) {
    if (isa<graph::ConstantOp>(op) && constants->count(op->getResult(0).getAsOpaquePointer()))
      return true; // Another execution has it.
    return llvm::TypeSwitch<Operation *, bool>(op)
        .Case<graph::ConstantOp, graph::UnaryOp, graph::BinaryOp, graph::SelectOp, graph::CastOp, graph::ReshapeOp,
              graph::TransposeOp, graph::SliceOp, graph::ConcatOp, graph::ExpandOp, graph::GatherOp, graph::IotaOp,
              graph::ReduceOp, graph::SoftmaxOp, graph::LayerNormOp, graph::MatmulOp, graph::LinearOp, graph::RotaryOp,
              graph::AttentionOp>([&](auto typed) {
          HostTensor result{shapeOf(typed.getResult()), {}};
          result.elements.resize(result.count());
          compute(typed, result);
          if (options.roundsToFloat && isFloat(typed.getResult()))
            for (double &element : result.elements)
              element = float(element);
          valueOf(typed.getResult()) = std::move(result);
          return true;
        })
        .Default([](Operation *) { return false; });
  }

private:
  static bool isFloat(mlir::Value value) {
    return isa<FloatType>(cast<RankedTensorType>(value.getType()).getElementType());
  }

  // result[index] = element(offsets of the operands at index)
  void broadcast(HostTensor &result, ArrayRef<const HostTensor *> operands,
                 llvm::function_ref<double(ArrayRef<double>)> element) {
    std::vector<std::vector<int64_t>> strides;
    for (const HostTensor *operand : operands)
      strides.push_back(broadcastStrides(operand->shape, result.shape));
    size_t next = 0;
    SmallVector<double> arguments(operands.size());
    forEachIndex(result.shape, [&](ArrayRef<int64_t> index) {
      for (size_t i = 0; i < operands.size(); ++i)
        arguments[i] = operands[i]->elements[flatten(index, strides[i])];
      result.elements[next++] = element(arguments);
    });
  }

  void compute(graph::ConstantOp op, HostTensor &result) { result = toHostTensor(op.getValue()); }

  void compute(graph::UnaryOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX());
    for (size_t i = 0; i < x.elements.size(); ++i)
      result.elements[i] = apply(op.getKind(), x.elements[i]);
  }

  void compute(graph::BinaryOp op, HostTensor &result) {
    bool isInteger = !isFloat(op.getLhs());
    broadcast(result, {&valueOf(op.getLhs()), &valueOf(op.getRhs())},
              [&](ArrayRef<double> x) { return apply(op.getKind(), x[0], x[1], isInteger); });
  }

  void compute(graph::SelectOp op, HostTensor &result) {
    broadcast(result, {&valueOf(op.getCondition()), &valueOf(op.getOnTrue()), &valueOf(op.getOnFalse())},
              [](ArrayRef<double> x) { return x[0] != 0 ? x[1] : x[2]; });
  }

  void compute(graph::CastOp op, HostTensor &result) {
    Type to = op.getType().getElementType();
    const HostTensor &x = valueOf(op.getX());
    for (size_t i = 0; i < x.elements.size(); ++i) {
      double value = x.elements[i];
      if (to.isInteger(1))
        value = value != 0;
      else if (to.isInteger() && isFloat(op.getX())) {
        // As llvm.fptosi.sat: NaN is 0, numbers out of range the nearest.
        double limit = to.isInteger(64) ? 9223372036854775808.0 : 2147483648.0;
        value = std::isnan(value) ? 0 : std::clamp(std::trunc(value), -limit, limit - 1);
      }
      result.elements[i] = value;
    }
  }

  void compute(graph::ReshapeOp op, HostTensor &result) { result.elements = valueOf(op.getX()).elements; }

  void compute(graph::TransposeOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX());
    std::vector<int64_t> own = stridesOf(x.shape), strides;
    for (int64_t axis : op.getPermutation())
      strides.push_back(own[axis]);
    walk(result, x, strides, 0);
  }

  void compute(graph::SliceOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX());
    std::vector<int64_t> strides = stridesOf(x.shape);
    int64_t first = flatten(op.getStarts(), strides);
    for (size_t i = 0; i < strides.size(); ++i)
      strides[i] *= op.getSteps()[i];
    walk(result, x, strides, first);
  }

  void compute(graph::ExpandOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX());
    walk(result, x, broadcastStrides(x.shape, result.shape), 0);
  }

  void walk(HostTensor &result, const HostTensor &x, ArrayRef<int64_t> strides, int64_t first) {
    size_t next = 0;
    forEachIndex(result.shape, [&](ArrayRef<int64_t> index) {
      result.elements[next++] = x.elements[first + flatten(index, strides)];
    });
  }

  void compute(graph::ConcatOp op, HostTensor &result) {
    std::vector<int64_t> strides = stridesOf(result.shape);
    int64_t start = 0;
    for (mlir::Value input : op.getInputs()) {
      const HostTensor &x = valueOf(input);
      size_t next = 0;
      forEachIndex(x.shape, [&](ArrayRef<int64_t> index) {
        result.elements[start + flatten(index, strides)] = x.elements[next++];
      });
      start += x.shape[op.getAxis()] * strides[op.getAxis()];
    }
  }

  void compute(graph::GatherOp op, HostTensor &result) {
    const HostTensor &table = valueOf(op.getTable()), &indices = valueOf(op.getIndices());
    int64_t axis = op.getAxis(), size = table.shape[axis];
    int64_t inner = 1;
    for (size_t i = axis + 1; i < table.shape.size(); ++i)
      inner *= table.shape[i];
    int64_t outer = table.count() / (inner * size);
    size_t next = 0;
    for (int64_t o = 0; o < outer; ++o)
      for (double given : indices.elements) {
        int64_t index = given < 0 ? given + size : given;
        index = std::clamp<int64_t>(index, 0, size - 1);
        for (int64_t i = 0; i < inner; ++i)
          result.elements[next++] = table.elements[(o * size + index) * inner + i];
      }
  }

  void compute(graph::IotaOp op, HostTensor &result) {
    for (size_t i = 0; i < result.elements.size(); ++i)
      result.elements[i] = int64_t(op.getStart()) + int64_t(i) * int64_t(op.getStep());
  }

  void compute(graph::ReduceOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX());
    double infinity = std::numeric_limits<double>::infinity();
    double neutral = op.getKind() == graph::ReduceKind::Max    ? -infinity
                     : op.getKind() == graph::ReduceKind::Min  ? infinity
                     : op.getKind() == graph::ReduceKind::Prod ? 1
                                                               : 0;
    std::fill(result.elements.begin(), result.elements.end(), neutral);
    std::vector<int64_t> strides = broadcastStrides(result.shape, x.shape);
    size_t next = 0;
    forEachIndex(x.shape, [&](ArrayRef<int64_t> index) {
      double &sum = result.elements[flatten(index, strides)];
      double value = x.elements[next++];
      switch (op.getKind()) {
      case graph::ReduceKind::Max:
        sum = apply(graph::BinaryKind::Max, sum, value, false);
        break;
      case graph::ReduceKind::Min:
        sum = apply(graph::BinaryKind::Min, sum, value, false);
        break;
      case graph::ReduceKind::Prod:
        sum *= value;
        break;
      default:
        sum += value;
      }
    });
    if (op.getKind() == graph::ReduceKind::Mean)
      for (double &sum : result.elements)
        sum /= double(x.count()) / result.count();
  }

  void compute(graph::SoftmaxOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX());
    int64_t axis = op.getAxis(), size = x.shape[axis], stride = stridesOf(x.shape)[axis];
    for (int64_t start = 0; start < x.count(); ++start) {
      if (start / stride % size != 0)
        continue;
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t i = 0; i < size; ++i)
        largest = std::max(largest, x.elements[start + i * stride]);
      for (int64_t i = 0; i < size; ++i)
        sum += result.elements[start + i * stride] = std::exp(x.elements[start + i * stride] - largest);
      for (int64_t i = 0; i < size; ++i)
        result.elements[start + i * stride] /= sum;
    }
  }

  void compute(graph::LayerNormOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX()), &scale = valueOf(op.getScale()), &bias = valueOf(op.getBias());
    int64_t features = x.shape.back();
    for (int64_t start = 0; start < x.count(); start += features) {
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < features && !op.getRms(); ++i)
        mean += x.elements[start + i] / features;
      for (int64_t i = 0; i < features; ++i)
        variance += (x.elements[start + i] - mean) * (x.elements[start + i] - mean) / features;
      double inverse = 1 / std::sqrt(variance + op.getEpsilon().convertToFloat());
      for (int64_t i = 0; i < features; ++i)
        result.elements[start + i] = (x.elements[start + i] - mean) * inverse * scale.elements[i] + bias.elements[i];
    }
  }

  void compute(graph::MatmulOp op, HostTensor &result) {
    const HostTensor &a = valueOf(op.getLhs()), &b = valueOf(op.getRhs());
    ArrayRef<int64_t> batch = ArrayRef(result.shape).drop_back(2);
    int64_t m = result.shape[batch.size()], n = result.shape.back(), k = a.shape.back();
    auto batchStrides = [&](const HostTensor &x) {
      std::vector<int64_t> strides = broadcastStrides(ArrayRef(x.shape).drop_back(2), batch);
      for (int64_t &stride : strides)
        stride *= x.shape.back() * x.shape[x.shape.size() - 2];
      return strides;
    };
    std::vector<int64_t> aStrides = batchStrides(a), bStrides = batchStrides(b);
    double *target = result.elements.data();
    forEachIndex(batch, [&](ArrayRef<int64_t> index) {
      multiply(target, a.elements.data() + flatten(index, aStrides), b.elements.data() + flatten(index, bStrides), m, n,
               k);
      target += m * n;
    });
  }

  // What the level says of the layer, if anything.
  Attribute encodingOf(graph::LinearOp op) {
    ArrayAttr levels = op.getLevelsAttr();
    return options.level && levels ? levels[std::min<size_t>(*options.level, levels.size() - 1)] : Attribute();
  }

  // The weights that are kept at the level, others 0.
  std::vector<uint8_t> maskOf(graph::LinearOp op) {
    ElementsAttr mask = graph::encodingMask(encodingOf(op));
    return mask ? graph::byteElements(mask) : std::vector<uint8_t>();
  }

  // The weights at the level, before its mask.
  std::vector<double> weightsOf(graph::LinearOp op) {
    if (const LayerValues *own = options.values ? options.values(op) : nullptr)
      return std::vector<double>(own->weights.begin(), own->weights.end());
    if (Attribute encoding = encodingOf(op))
      if (ElementsAttr own = graph::encodingWeights(encoding))
        return toHostTensor(own).elements;
    return valueOf(op.getWeights()).elements;
  }

  // The bias at the level; empty: none.
  std::vector<double> biasOf(graph::LinearOp op) {
    const LayerValues *own = options.values ? options.values(op) : nullptr;
    if (own && !own->bias.empty())
      return std::vector<double>(own->bias.begin(), own->bias.end());
    if (Attribute encoding = encodingOf(op))
      if (ElementsAttr bias = graph::encodingBias(encoding))
        return toHostTensor(bias).elements;
    return op.getBias() ? valueOf(op.getBias()).elements : std::vector<double>();
  }

  // The sums, without bias: in double, or exactly in integers.
  void multiplyInt8(graph::LinearOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX());
    std::vector<double> weights = weightsOf(op);
    int64_t k = x.shape.back(), n = result.shape.back(), m = x.count() / k;
    std::vector<float> values(weights.begin(), weights.end());
    graph::QuantizedWeights quantized = graph::quantizeWeights(values, k, n);
    std::vector<uint8_t> mask = maskOf(op);
    for (size_t i = 0; i < mask.size(); ++i)
      quantized.values[i] = mask[i] ? quantized.values[i] : 0;
    std::vector<int8_t> token;
    std::vector<int64_t> sums(n);
    for (int64_t row = 0; row < m; ++row) {
      std::vector<float> features(x.elements.begin() + row * k, x.elements.begin() + (row + 1) * k);
      float scale = graph::quantizeToken(features, token);
      std::fill(sums.begin(), sums.end(), 0);
      for (int64_t i = 0; i < k; ++i)
        for (int64_t column = 0; column < n; ++column)
          sums[column] += token[i] * quantized.values[i * n + column];
      for (int64_t column = 0; column < n; ++column)
        result.elements[row * n + column] = double(sums[column]) * (double(scale) * quantized.scales[column]);
    }
  }

  void compute(graph::LinearOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX());
    int64_t k = x.shape.back(), n = result.shape.back(), m = x.count() / k;
    if (options.onLinear)
      options.onLinear(op, x);
    if (op.getPrecision() == graph::Precision::Int8) {
      multiplyInt8(op, result);
    } else {
      std::vector<double> features = x.elements;
      if (op.getPrecision() != graph::Precision::F16) // Of which only weights are rounded.
        for (double &feature : features)
          feature = op.getPrecision() ? graph::rounded(feature, op.getPrecision()) : feature;
      std::vector<double> weights = weightsOf(op);
      std::vector<uint8_t> mask = maskOf(op);
      for (size_t i = 0; i < mask.size(); ++i)
        weights[i] = mask[i] ? weights[i] : 0;
      multiply(result.elements.data(), features.data(), weights.data(), m, n, k);
    }
    std::vector<double> bias = biasOf(op);
    const HostTensor *residual = op.getResidual() ? &valueOf(op.getResidual()) : nullptr;
    for (int64_t i = 0; i < m * n; ++i) {
      double &value = result.elements[i];
      if (!bias.empty())
        value += bias[i % n];
      if (op.getActivation())
        value = apply(*op.getActivation(), value);
      if (residual)
        value += residual->elements[i];
    }
  }

  void compute(graph::RotaryOp op, HostTensor &result) {
    const HostTensor &x = valueOf(op.getX()), &cos = valueOf(op.getCos()), &sin = valueOf(op.getSin());
    int64_t tokens = x.shape[1], size = x.shape[2] / op.getHeads(), half = size / 2;
    for (int64_t i = 0; i < x.count(); ++i) {
      int64_t d = i % size, token = i / x.shape[2] % tokens;
      double other = d < half ? -x.elements[i + half] : x.elements[i - half];
      result.elements[i] = x.elements[i] * cos.elements[token * size + d] + other * sin.elements[token * size + d];
    }
  }

  // A cache adds nothing to a text that begins with this run.
  void compute(graph::AttentionOp op, HostTensor &result) {
    const HostTensor &q = valueOf(op.getQ()), &k = valueOf(op.getK()), &v = valueOf(op.getV());
    const HostTensor *mask = op.getMask() ? &valueOf(op.getMask()) : nullptr;
    int64_t batch = q.shape[0], tokens = q.shape[1], features = q.shape[2], heads = op.getHeads();
    int64_t size = features / heads, keyHeads = graph::keyHeads(op);
    std::vector<int64_t> maskStrides;
    if (mask)
      maskStrides = broadcastStrides(mask->shape, {batch, heads, tokens, tokens});
    std::vector<double> scores(tokens);
    double scale = op.getScale().convertToFloat();
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t i = 0; i < tokens; ++i) {
          auto row = [&](const HostTensor &x, int64_t token) {
            int64_t head = &x == &q ? h : h / (heads / keyHeads);
            return x.elements.data() + (b * tokens + token) * x.shape[2] + head * size;
          };
          int64_t keys = op.getCausal() ? i + 1 : tokens;
          double largest = -std::numeric_limits<double>::infinity(), sum = 0;
          const double *query = row(q, i);
          double products[4]; // Of four keys, whose sums do not wait for each other.
          for (int64_t j = 0; j < keys; ++j) {
            if (j % 4 == 0) {
              const double *key[4];
              for (int64_t next = 0; next < 4; ++next)
                key[next] = row(k, std::min(j + next, keys - 1));
              std::fill_n(products, 4, 0);
              for (int64_t d = 0; d < size; ++d)
                for (int64_t next = 0; next < 4; ++next)
                  products[next] += query[d] * key[next][d];
            }
            double score = products[j % 4] * scale;
            if (mask)
              score += mask->elements[flatten({b, h, i, j}, maskStrides)];
            scores[j] = score;
            largest = std::max(largest, score);
          }
          for (int64_t j = 0; j < keys; ++j)
            sum += scores[j] = std::exp(scores[j] - largest);
          double *out = result.elements.data() + (b * tokens + i) * features + h * size;
          for (int64_t j = 0; j < keys; ++j) {
            double share = scores[j] / sum;
            const double *value = row(v, j);
            for (int64_t d = 0; d < size; ++d)
              out[d] += share * value[d];
          }
        }
  }

  InterpreterOptions options;
  std::shared_ptr<Values> constants; // Of all executions of a function.
  Values values;
};

Execution::Execution(const InterpreterOptions &options, Execution *constantsOf)
    : interpreter(std::make_unique<Interpreter>(options, constantsOf ? constantsOf->interpreter->sharedConstants()
                                                                     : std::make_shared<Interpreter::Values>())) {}
Execution::Execution(Execution &&) = default;
Execution::~Execution() = default;

void Execution::set(mlir::Value argument, HostTensor tensor) { interpreter->valueOf(argument) = std::move(tensor); }

const HostTensor &Execution::valueOf(mlir::Value value) const { return interpreter->valueOf(value); }

void Execution::forget(mlir::Value value) { interpreter->forget(value); }

llvm::Error Execution::run(Operation &op) {
  if (!interpreter->run(&op))
    return llvm::createStringError("the interpreter has no function for " + op.getName().getStringRef());
  return llvm::Error::success();
}

llvm::Expected<std::vector<HostTensor>> mlir::rt3::interpret(func::FuncOp function,
                                                             const std::vector<HostTensor> &inputs,
                                                             const InterpreterOptions &options,
                                                             Execution *constantsOf) {
  Execution execution(options, constantsOf);
  for (auto [argument, input] : llvm::zip_equal(function.getArguments(), inputs))
    execution.set(argument, input);
  for (Operation &op : function.getBody().front()) {
    if (auto result = dyn_cast<func::ReturnOp>(op)) {
      std::vector<HostTensor> outputs;
      for (mlir::Value value : result.getOperands())
        outputs.push_back(execution.valueOf(value));
      return outputs;
    }
    if (llvm::Error error = execution.run(op))
      return std::move(error);
  }
  return llvm::createStringError("the function does not return");
}

std::optional<HostTensor> mlir::rt3::interpretOp(Operation &op, ArrayRef<HostTensor> operands, int64_t length) {
  InterpreterOptions options;
  options.length = length;
  Interpreter interpreter(options, std::make_shared<Interpreter::Values>());
  for (auto [value, tensor] : llvm::zip_equal(op.getOperands(), operands))
    interpreter.valueOf(value) = tensor;
  if (!interpreter.run(&op))
    return std::nullopt;
  return std::move(interpreter.valueOf(op.getResult(0)));
}
