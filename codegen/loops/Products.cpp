// SPDX-License-Identifier: Apache-2.0
//
// Products of numbers in vectors, by the instruction that a device has for them.

#include "codegen/loops/LinearLoops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::rt3;

// `name` of sum, x and weight as vectors of `operand`; without a sum of the others.
static Value buildIntrinsic(LoopBuilder &b, StringRef name, Value sum, Value x, Value weight, VectorType operand) {
  SmallVector<Value> operands;
  if (sum)
    operands.push_back(sum);
  operands.push_back(vector::BitCastOp::create(b, operand, x));
  operands.push_back(vector::BitCastOp::create(b, operand, weight));
  Type type = sum ? sum.getType() : weight.getType();
  return LLVM::CallIntrinsicOp::create(b, type, b.getStringAttr(name), operands).getResult(0);
}

// As buildMultiply, by an instruction of four lanes.
static Value buildByFours(LoopBuilder &b, kernel::Dot dot, Value weight, Value x, Value sum) {
  int64_t lanes = cast<VectorType>(sum.getType()).getDimSize(0);
  SmallVector<int64_t> low, high, all;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    (lane < lanes / 2 ? low : high).push_back(lane);
    all.push_back(lane);
  }
  auto half = [&](ArrayRef<int64_t> part) {
    auto cut = [&](Value value) { return vector::ShuffleOp::create(b, value, value, part); };
    return buildMultiply(b, dot, cut(weight), cut(x), cut(sum));
  };
  return vector::ShuffleOp::create(b, half(low), half(high), all);
}

Value mlir::rt3::buildMultiply(LoopBuilder &b, std::optional<kernel::Dot> dot, Value weight, Value x, Value sum) {
  if (!dot)
    return b.fma(weight, x, sum);
  int64_t lanes = cast<VectorType>(sum.getType()).getDimSize(0);
  bool isFour = lanes == 4;
  auto operand = [&](Type element) { return VectorType::get(32 * lanes / element.getIntOrFloatBitWidth(), element); };
  Type bytes = b.getI8Type(), brains = b.getBF16Type();
  switch (*dot) {
  case kernel::Dot::Vpdpbusd:
    return buildIntrinsic(b, "llvm.x86.avx512.vpdpbusd." + std::to_string(32 * lanes), sum, x, weight, operand(bytes));
  case kernel::Dot::Vdpbf16ps:
    return buildIntrinsic(b, "llvm.x86.avx512bf16.dpbf16ps." + std::to_string(32 * lanes), sum, x, weight,
                          operand(brains));
  case kernel::Dot::Sdot:
    return isFour ? buildIntrinsic(b, "llvm.aarch64.neon.sdot", sum, x, weight, operand(bytes))
                  : buildByFours(b, *dot, weight, x, sum);
  case kernel::Dot::Bfdot:
    return isFour ? buildIntrinsic(b, "llvm.aarch64.neon.bfdot", sum, x, weight, operand(brains))
                  : buildByFours(b, *dot, weight, x, sum);
  case kernel::Dot::Smmla: // The weights of two outputs times the inputs of two tokens.
    return buildIntrinsic(b, "llvm.aarch64.neon.smmla", sum, weight, x, operand(bytes));
  case kernel::Dot::FmlaF16: {
    VectorType halves = operand(b.getF16Type());
    auto asHalves = [&](Value value) { return vector::BitCastOp::create(b, halves, value); };
    return vector::BitCastOp::create(b, sum.getType(), b.fma(asHalves(weight), asHalves(x), asHalves(sum)));
  }
  case kernel::Dot::Pmaddwd: {
    StringRef name = lanes == 16  ? "llvm.x86.avx512.pmaddw.d.512"
                     : lanes == 8 ? "llvm.x86.avx2.pmadd.wd"
                                  : "llvm.x86.sse2.pmadd.wd";
    return arith::AddIOp::create(b, sum, buildIntrinsic(b, name, Value(), x, weight, operand(b.getIntegerType(16))));
  }
  case kernel::Dot::Multiply:
    return arith::AddIOp::create(b, sum, arith::MulIOp::create(b, weight, x));
  }
  llvm_unreachable("every kind is above");
}

std::pair<Value, Value> mlir::rt3::splitHalves(LoopBuilder &b, Value words) {
  int64_t lanes = cast<VectorType>(words.getType()).getDimSize(0);
  Value halves = vector::BitCastOp::create(b, VectorType::get(2 * lanes, b.getF16Type()), words);
  auto part = [&](int64_t first) {
    SmallVector<int64_t> places;
    for (int64_t lane = 0; lane < lanes; ++lane)
      places.push_back(2 * lane + first);
    Value own = vector::ShuffleOp::create(b, halves, halves, places);
    return arith::ExtFOp::create(b, VectorType::get(lanes, b.getF32Type()), own);
  };
  return {part(0), part(1)};
}
