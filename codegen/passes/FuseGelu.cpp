// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <cmath>

namespace mlir::rt3 {
#define GEN_PASS_DEF_FUSEGELUPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

using namespace mlir;
using namespace mlir::rt3;

// The one number that a constant repeats, if it does.
static std::optional<double> scalarConstant(Value value) {
  ElementsAttr elements = graph::constantValue(value);
  if (!elements || elements.getNumElements() != 1 || !elements.getElementType().isF32())
    return std::nullopt;
  return graph::floatElements(elements)[0];
}

// The tanh form has a dozen ops; more are not looked at, or shared operands would
// take exponential time.
static constexpr int kMaxSteps = 64;

// `value` computed with x = `point` in at most `steps` steps; nothing if it takes
// more or depends on something else.
static std::optional<double> evaluate(Value value, Value x, double point, int &steps) {
  if (value == x)
    return point;
  if (auto constant = scalarConstant(value))
    return constant;
  if (--steps < 0)
    return std::nullopt;
  if (auto unary = value.getDefiningOp<graph::UnaryOp>()) {
    auto operand = evaluate(unary.getX(), x, point, steps);
    if (!operand)
      return std::nullopt;
    switch (unary.getKind()) {
    case graph::UnaryKind::Erf:
      return std::erf(*operand);
    case graph::UnaryKind::Tanh:
      return std::tanh(*operand);
    case graph::UnaryKind::Sigmoid:
      return 1 / (1 + std::exp(-*operand));
    case graph::UnaryKind::Neg:
      return -*operand;
    default:
      return std::nullopt;
    }
  }
  if (auto binary = value.getDefiningOp<graph::BinaryOp>()) {
    auto a = evaluate(binary.getLhs(), x, point, steps);
    auto b = a ? evaluate(binary.getRhs(), x, point, steps) : std::nullopt;
    if (!b)
      return std::nullopt;
    switch (binary.getKind()) {
    case graph::BinaryKind::Add:
      return *a + *b;
    case graph::BinaryKind::Sub:
      return *a - *b;
    case graph::BinaryKind::Mul:
      return *a * *b;
    case graph::BinaryKind::Div:
      return *a / *b;
    default:
      return std::nullopt;
    }
  }
  return std::nullopt;
}

static double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }
static double geluTanh(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

static double silu(double x) { return x / (1 + std::exp(-x)); }

// Whether `value` is `function` of x, up to the rounding of f32 constants.
static bool isFunctionOf(Value value, Value x, double (*function)(double)) {
  for (double point : {-3.7, -2.0, -0.9, -0.1, 0.3, 1.1, 2.6, 4.2}) {
    int steps = kMaxSteps;
    auto found = evaluate(value, x, point, steps);
    if (!found || std::abs(*found - function(point)) > 2e-6)
      return false;
  }
  return true;
}

// GELU is a product of four factors, constants included.
static constexpr size_t kMaxFactors = 8;

// The values that `value` is a product of, constants left out; nothing if there
// are more than GELU has.
static SmallVector<Value> collectFactors(Value value) {
  SmallVector<Value> left{value}, factors;
  for (size_t steps = 0; !left.empty(); ++steps) {
    if (steps == 2 * kMaxFactors)
      return {};
    Value next = left.pop_back_val();
    auto binary = next.getDefiningOp<graph::BinaryOp>();
    if (binary && binary.getKind() == graph::BinaryKind::Mul)
      left.append({binary.getRhs(), binary.getLhs()});
    else if (!scalarConstant(next))
      factors.push_back(next);
  }
  return factors;
}

namespace {

struct FuseGelu : rt3::impl::FuseGeluPassBase<FuseGelu> {
  void runOnOperation() override {
    // From the end, so that the whole product is seen before its parts.
    SmallVector<graph::BinaryOp> products;
    getOperation().walk([&](graph::BinaryOp op) {
      if (op.getKind() == graph::BinaryKind::Mul)
        products.push_back(op);
    });
    for (graph::BinaryOp op : llvm::reverse(products)) {
      for (Value x : collectFactors(op.getResult())) {
        if (x.getType() != op.getType())
          continue;
        auto kind = isFunctionOf(op.getResult(), x, gelu)       ? std::optional(graph::UnaryKind::Gelu)
                    : isFunctionOf(op.getResult(), x, geluTanh) ? std::optional(graph::UnaryKind::GeluTanh)
                    : isFunctionOf(op.getResult(), x, silu)     ? std::optional(graph::UnaryKind::Silu)
                                                                : std::nullopt;
        if (!kind)
          continue;
        OpBuilder builder(op);
        op.replaceAllUsesWith(graph::UnaryOp::create(builder, op.getLoc(), x.getType(), *kind, x).getResult());
        break;
      }
    }
  }
};

} // namespace
