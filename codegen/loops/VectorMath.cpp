// SPDX-License-Identifier: Apache-2.0

#include "codegen/loops/VectorMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <limits>

using namespace mlir;
using namespace mlir::rt3;
using kernel::Function;

namespace {

// Arithmetic on one float type, scalar or vector.
struct Floats {
  LoopBuilder &b;
  Type type;

  Value c(double value) { return b.real(type, value); }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, x, y); }
  Value neg(Value x) { return arith::NegFOp::create(b, x); }
  // The bound for NaN, which costs nothing where the other operand is a number.
  Value atLeast(Value x, double low) { return arith::MaxNumFOp::create(b, x, c(low)); }
  Value clamp(Value x, double low, double high) { return arith::MinNumFOp::create(b, atLeast(x, low), c(high)); }
  Value compare(arith::CmpFPredicate predicate, Value x, Value y) { return arith::CmpFOp::create(b, predicate, x, y); }
  Value select(Value condition, Value x, Value y) { return arith::SelectOp::create(b, condition, x, y); }
  // Coefficients from the highest power down. Pairs of terms side by side, then Horner's rule in
  // x^2: half as many products wait for each other as in x.
  Value polynomial(Value x, ArrayRef<double> coefficients) {
    Value sum, square = mul(x, x);
    if (coefficients.size() % 2 == 1) {
      sum = c(coefficients.front());
      coefficients = coefficients.drop_front();
    }
    for (; !coefficients.empty(); coefficients = coefficients.drop_front(2)) {
      Value pair = b.fma(c(coefficients[0]), x, c(coefficients[1]));
      sum = sum ? b.fma(sum, square, pair) : pair;
    }
    return sum;
  }
  Value keepNan(Value x, Value result) { return select(compare(arith::CmpFPredicate::UNO, x, x), x, result); }
};

} // namespace

// exp of anything larger is infinite in f32; at it, 2^128 exp(r) is still finite
// because exp(r) < 1.
static constexpr double kLargestExponent = 88.7228;

// Angles beyond it are taken for it; positions do not come so far.
static constexpr double kLargestAngle = 4194304;

// 1.5 x 2^23: plus a number below 2^22, a float without fractions.
static constexpr double kWholeNumbers = 12582912;

// exp(x) = 2^n exp(r), |r| <= ln 2 / 2, with the polynomial of the Cephes
// library's expf.
Value mlir::rt3::buildBoundedExp(LoopBuilder &b, Value x, bool isNegative) {
  Floats f{b, x.getType()};
  x = isNegative ? f.atLeast(x, -87.3365) : f.clamp(x, -87.3365, kLargestExponent);
  // So large a number has no bits for fractions: the sum is rounded to a whole one, which its lowest bits are.
  Value shifted = b.fma(x, f.c(1.44269504088896341), f.c(kWholeNumbers));
  Value n = f.sub(shifted, f.c(kWholeNumbers));
  // ln 2 in one part: it is 2e-9 off as f32, which adds up to 2.4e-7 of the result where that is 2^-126.
  Value r = b.fma(n, f.c(-0.69314718055994531), x);
  Value p = f.polynomial(r, {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5});
  p = b.fma(p, f.mul(r, r), f.add(r, f.c(1.0)));
  Type integers = b.getI32Type();
  if (auto vector = dyn_cast<VectorType>(x.getType()))
    integers = VectorType::get(vector.getShape(), integers);
  Value exponent = arith::BitcastOp::create(b, integers, shifted);
  Value shift = arith::ConstantOp::create(
      b, isa<VectorType>(integers)
             ? TypedAttr(DenseElementsAttr::get(cast<ShapedType>(integers), b.getI32IntegerAttr(23)))
             : TypedAttr(b.getI32IntegerAttr(23)));
  exponent = arith::ShLIOp::create(b, exponent, shift);
  Value bits = arith::BitcastOp::create(b, integers, p);
  return arith::BitcastOp::create(b, x.getType(), arith::AddIOp::create(b, bits, exponent));
}

static Value buildExp(Floats &f, Value x) {
  Value result = buildBoundedExp(f.b, x);
  double infinity = std::numeric_limits<double>::infinity();
  result = f.select(f.compare(arith::CmpFPredicate::OGT, x, f.c(kLargestExponent)), f.c(infinity), result);
  result = f.select(f.compare(arith::CmpFPredicate::OLT, x, f.c(-87.3365)), f.c(0), result);
  return f.keepNan(x, result);
}

// `outer` erf(`inner` x) by a rational approximation on |inner x| <= 4 with the coefficients that Eigen uses; of NaN
// that of a bound. Both factors are in the coefficients.
static Value buildErf(Floats &f, Value x, double inner = 1, double outer = 1) {
  SmallVector<double> topOf{-2.72614225801306e-10, 2.77068142495902e-08,  -2.10102402082508e-06, -5.69250639462346e-05,
                            -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02};
  SmallVector<double> bottomOf{-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03,
                               -7.37332916720468e-03, -1.42647390514189e-02};
  auto scale = [&](SmallVector<double> &coefficients, double factor) {
    for (double &coefficient : llvm::reverse(coefficients)) {
      coefficient *= factor;
      factor *= inner * inner;
    }
  };
  scale(topOf, outer * inner);
  scale(bottomOf, 1);
  Value bounded = f.clamp(x, -4.0 / inner, 4.0 / inner);
  Value square = f.mul(bounded, bounded);
  Value top = f.polynomial(square, topOf), bottom = f.polynomial(square, bottomOf);
  return f.div(f.mul(bounded, top), bottom);
}

// tanh(x) by a rational approximation with the coefficients that Eigen uses; of NaN that of a bound.
static Value buildTanh(Floats &f, Value x) {
  Value bounded = f.clamp(x, -7.90531110763549805, 7.90531110763549805);
  Value square = f.mul(bounded, bounded);
  Value top =
      f.polynomial(square, {-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
                            1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03});
  Value bottom =
      f.polynomial(square, {1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03});
  return f.div(f.mul(bounded, top), bottom);
}

// sin(x + quarters pi/2). The angle is brought to [-pi/4, pi/4] by multiples of
// pi/2 in three parts (Cody and Waite); polynomials of Cephes.
static Value buildSine(Floats &f, Value x, int64_t quarters) {
  LoopBuilder &b = f.b;
  Value bounded = f.clamp(x, -kLargestAngle, kLargestAngle);
  Value n = LLVM::RoundEvenOp::create(b, f.mul(bounded, f.c(0.63661977236758134)));
  Value r = b.fma(n, f.c(-1.5703125), bounded);
  r = b.fma(n, f.c(-4.837512969970703125e-4), r);
  r = b.fma(n, f.c(-7.54978995489188216e-8), r);
  Value square = f.mul(r, r);
  Value sine = f.polynomial(square, {-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1});
  sine = b.fma(f.mul(sine, square), r, r);
  Value cosine = f.polynomial(square, {2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2});
  cosine = b.fma(f.mul(cosine, square), square, b.fma(square, f.c(-0.5), f.c(1)));
  // The quarter, as a float: n + quarters modulo 4.
  Value quarter = f.add(n, f.c(quarters));
  Value turn = LLVM::FFloorOp::create(b, f.mul(quarter, f.c(0.25)));
  quarter = b.fma(turn, f.c(-4), quarter);
  Value isOne = f.compare(arith::CmpFPredicate::OEQ, quarter, f.c(1));
  Value isThree = f.compare(arith::CmpFPredicate::OEQ, quarter, f.c(3));
  Value isNegative = f.compare(arith::CmpFPredicate::OGE, quarter, f.c(2));
  Value result = f.select(arith::OrIOp::create(b, isOne, isThree), cosine, sine);
  result = f.select(isNegative, f.neg(result), result);
  // Infinite or NaN: NaN.
  return f.add(result, f.mul(f.c(0), arith::SubFOp::create(b, x, x)));
}

static Value buildFloatFunction(LoopBuilder &b, Function function, ValueRange operands) {
  Floats f{b, operands[0].getType()};
  Value x = operands[0];
  switch (function) {
  case Function::Abs:
    return LLVM::FAbsOp::create(b, x);
  case Function::Ceil:
    return LLVM::FCeilOp::create(b, x);
  case Function::Erf:
    return f.keepNan(x, buildErf(f, x));
  case Function::Exp:
    return buildExp(f, x);
  case Function::Floor:
    return LLVM::FFloorOp::create(b, x);
  case Function::Gelu: {
    Value half = f.mul(x, f.c(0.5)); // NaN of NaN.
    return b.fma(x, buildErf(f, x, 0.70710678118654752, 0.5), half);
  }
  case Function::GeluTanh: {
    // sqrt(2/pi) (x + 0.044715 x^3)
    Value inner = b.fma(f.mul(x, x), f.c(0.0356774081363001), f.c(0.7978845608028654));
    Value tanh = buildTanh(f, f.mul(x, inner));
    Value half = f.mul(x, f.c(0.5));
    return b.fma(half, tanh, half); // NaN of NaN, by `half`.
  }
  case Function::Neg:
    return f.neg(x);
  case Function::Reciprocal:
    return f.div(f.c(1.0), x);
  case Function::Relu:
    return f.keepNan(x, arith::MaxNumFOp::create(b, x, f.c(0.0)));
  case Function::Round:
    return LLVM::RoundEvenOp::create(b, x);
  case Function::Sigmoid:
    return f.div(f.c(1.0), f.add(f.c(1.0), buildExp(f, f.neg(x))));
  case Function::Silu:
    return f.div(x, f.add(f.c(1.0), buildExp(f, f.neg(x))));
  case Function::Sin:
    return buildSine(f, x, 0);
  case Function::Cos:
    return buildSine(f, x, 1);
  case Function::Sqrt:
    return LLVM::SqrtOp::create(b, x);
  case Function::Tanh:
    return f.keepNan(x, buildTanh(f, x));
  case Function::Add:
    return f.add(x, operands[1]);
  case Function::Sub:
    return f.sub(x, operands[1]);
  case Function::Mul:
    return f.mul(x, operands[1]);
  case Function::Div:
    return f.div(x, operands[1]);
  case Function::Max:
    return arith::MaximumFOp::create(b, x, operands[1]);
  case Function::Min:
    return arith::MinimumFOp::create(b, x, operands[1]);
  case Function::Equal:
    return f.compare(arith::CmpFPredicate::OEQ, x, operands[1]);
  case Function::Less:
    return f.compare(arith::CmpFPredicate::OLT, x, operands[1]);
  case Function::LessEqual:
    return f.compare(arith::CmpFPredicate::OLE, x, operands[1]);
  case Function::Greater:
    return f.compare(arith::CmpFPredicate::OGT, x, operands[1]);
  case Function::GreaterEqual:
    return f.compare(arith::CmpFPredicate::OGE, x, operands[1]);
  default:
    llvm_unreachable("not a function of floats");
  }
}

static Value buildIntegerFunction(LoopBuilder &b, Function function, ValueRange operands) {
  Value x = operands[0];
  auto compare = [&](arith::CmpIPredicate predicate) -> Value {
    return arith::CmpIOp::create(b, predicate, x, operands[1]);
  };
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b, b.getIntegerAttr(x.getType(), value));
  };
  switch (function) {
  case Function::Abs:
    return arith::MaxSIOp::create(b, x, arith::SubIOp::create(b, constant(0), x));
  case Function::Neg:
    return arith::SubIOp::create(b, constant(0), x);
  case Function::Not:
    return arith::XOrIOp::create(b, x, constant(1));
  case Function::Add:
    return arith::AddIOp::create(b, x, operands[1]);
  case Function::Sub:
    return arith::SubIOp::create(b, x, operands[1]);
  case Function::Mul:
    return arith::MulIOp::create(b, x, operands[1]);
  case Function::Div: {
    // Inputs are not to be trusted: x / 0 is 0, and the smallest number
    // divided by -1 wraps instead of trapping.
    Value y = operands[1];
    Value isZero = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, y, constant(0));
    Value isMinusOne = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, y, constant(-1));
    Value isSpecial = arith::OrIOp::create(b, isZero, isMinusOne);
    Value safe = arith::SelectOp::create(b, isSpecial, constant(1), y);
    Value quotient = arith::DivSIOp::create(b, x, safe);
    Value special = arith::MulIOp::create(b, x, y);
    return arith::SelectOp::create(b, isSpecial, special, quotient);
  }
  case Function::Max:
    return arith::MaxSIOp::create(b, x, operands[1]);
  case Function::Min:
    return arith::MinSIOp::create(b, x, operands[1]);
  case Function::And:
    return arith::AndIOp::create(b, x, operands[1]);
  case Function::Or:
    return arith::OrIOp::create(b, x, operands[1]);
  case Function::Xor:
    return arith::XOrIOp::create(b, x, operands[1]);
  case Function::Equal:
    return compare(arith::CmpIPredicate::eq);
  case Function::Less:
    return compare(arith::CmpIPredicate::slt);
  case Function::LessEqual:
    return compare(arith::CmpIPredicate::sle);
  case Function::Greater:
    return compare(arith::CmpIPredicate::sgt);
  case Function::GreaterEqual:
    return compare(arith::CmpIPredicate::sge);
  default:
    llvm_unreachable("not a function of integers");
  }
}

static Value buildCast(LoopBuilder &b, Value x, Type to) {
  Type from = x.getType();
  if (from == to)
    return x;
  if (isa<FloatType>(from)) {
    if (to.isInteger(1)) {
      Floats f{b, from};
      return f.compare(arith::CmpFPredicate::UNE, x, f.c(0));
    }
    // The saturating form: a number out of range must not be undefined.
    return LLVM::CallIntrinsicOp::create(
               b, to, b.getStringAttr(to.isInteger(64) ? "llvm.fptosi.sat.i64.f32" : "llvm.fptosi.sat.i32.f32"),
               ValueRange{x})
        .getResult(0);
  }
  if (isa<FloatType>(to)) {
    if (from.isInteger(1))
      return arith::UIToFPOp::create(b, to, x);
    return arith::SIToFPOp::create(b, to, x);
  }
  if (to.isInteger(1))
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, x,
                                 arith::ConstantOp::create(b, b.getIntegerAttr(from, 0)));
  if (from.isInteger(1))
    return arith::ExtUIOp::create(b, to, x);
  if (from.getIntOrFloatBitWidth() < to.getIntOrFloatBitWidth())
    return arith::ExtSIOp::create(b, to, x);
  return arith::TruncIOp::create(b, to, x);
}

Value mlir::rt3::buildFunction(LoopBuilder &b, Function function, ValueRange operands, Type resultElement) {
  if (function == Function::Select)
    return arith::SelectOp::create(b, operands[0], operands[1], operands[2]);
  if (function == Function::Cast)
    return buildCast(b, operands[0], resultElement);
  if (isa<FloatType>(getElementTypeOrSelf(operands[0].getType())))
    return buildFloatFunction(b, function, operands);
  return buildIntegerFunction(b, function, operands);
}
