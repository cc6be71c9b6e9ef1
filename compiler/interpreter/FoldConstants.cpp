// SPDX-License-Identifier: Apache-2.0

#include "compiler/interpreter/FoldConstants.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::rt3;

static constexpr uint64_t kMinWork = uint64_t(1) << 32; // Some seconds.
static constexpr int64_t kMaxOpBytes = int64_t(768) << 20;
static constexpr int64_t kFreeElements = int64_t(128) << 10;
static constexpr double kMaxExactInteger = 9007199254740992.0; // 2^53

static int64_t elementCount(mlir::Value value) { return cast<RankedTensorType>(value.getType()).getNumElements(); }

FoldLimits mlir::rt3::foldLimits(ModuleOp module, int64_t budget) {
  uint64_t bytes = 0;
  module.walk([&](graph::ConstantOp op) {
    // What a splat repeats is not in the file.
    if (!op.getValue().isSplat())
      bytes += elementCount(op.getResult()) * 4;
  });
  // Casting and transposing each weight once takes two results of its size.
  return {llvm::SaturatingAdd(uint64_t(budget), 2 * bytes), kMinWork + kElementWork * bytes};
}

// In multiply-adds.
static uint64_t workOf(Operation &op, uint64_t elements) {
  uint64_t perResult = llvm::TypeSwitch<Operation *, uint64_t>(&op)
                           .Case([](graph::MatmulOp matmul) {
                             return cast<RankedTensorType>(matmul.getLhs().getType()).getShape().back();
                           })
                           .Case([](graph::LinearOp linear) {
                             return cast<RankedTensorType>(linear.getX().getType()).getShape().back();
                           })
                           .Case([](graph::AttentionOp attention) {
                             // Scores and context: two products over all tokens.
                             return 2 * cast<RankedTensorType>(attention.getQ().getType()).getDimSize(1);
                           })
                           .Default([](Operation *) { return 0; });
  return llvm::SaturatingMultiplyAdd(perResult, uint64_t(elementCount(op.getResult(0))),
                                     llvm::SaturatingMultiply(elements, kElementWork));
}

mlir::Value mlir::rt3::materialize(OpBuilder &builder, Location loc, RankedTensorType type, const HostTensor &tensor) {
  Type element = type.getElementType();
  if (element.isInteger(1)) {
    SmallVector<bool> bits(tensor.elements.begin(), tensor.elements.end());
    return graph::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, bits));
  }
  std::vector<char> bytes;
  auto append = [&]<typename T>(T) {
    std::vector<T> values(tensor.elements.begin(), tensor.elements.end());
    const char *begin = reinterpret_cast<const char *>(values.data());
    bytes.assign(begin, begin + values.size() * sizeof(T));
  };
  if (element.isF32())
    append(float());
  else if (element.isInteger(64))
    append(int64_t());
  else
    append(int32_t());
  if (tensor.count() <= 64) // Readable, and equal ones are one.
    return graph::ConstantOp::create(builder, loc, DenseElementsAttr::getFromRawBuffer(type, bytes));
  return graph::ConstantOp::create(builder, loc, graph::makeResource(type, "folded", bytes));
}

bool mlir::rt3::isExact(mlir::Value value, const HostTensor &tensor) {
  Type element = cast<RankedTensorType>(value.getType()).getElementType();
  if (!element.isInteger())
    return true;
  double limit = element.isInteger(64) ? kMaxExactInteger : std::ldexp(1.0, element.getIntOrFloatBitWidth() - 1);
  return element.isInteger(1) || llvm::all_of(tensor.elements, [&](double x) { return x > -limit && x < limit; });
}

bool mlir::rt3::isExactReduction(Operation &op, const HostTensor &x) {
  auto reduce = dyn_cast<graph::ReduceOp>(op);
  if (!reduce || !cast<RankedTensorType>(reduce.getX().getType()).getElementType().isInteger())
    return true;
  double sum = 0, product = 1;
  for (double element : x.elements) {
    sum += std::abs(element);
    product *= std::max(1.0, std::abs(element));
  }
  return reduce.getKind() == graph::ReduceKind::Prod ? product < kMaxExactInteger : sum < kMaxExactInteger;
}

// Replaces `op` by its result.
static bool fold(Operation &op) {
  std::vector<HostTensor> operands;
  for (mlir::Value operand : op.getOperands()) {
    operands.push_back(toHostTensor(graph::constantValue(operand)));
    if (!isExact(operand, operands.back()) || !isExactReduction(op, operands.back()))
      return false;
  }
  std::optional<HostTensor> result = interpretOp(op, operands);
  mlir::Value old = op.getResult(0);
  if (!result || !isExact(old, *result))
    return false;
  OpBuilder builder(&op);
  old.replaceAllUsesWith(materialize(builder, op.getLoc(), cast<RankedTensorType>(old.getType()), *result));
  op.erase();
  return true;
}

void mlir::rt3::foldConstants(ModuleOp module, FoldLimits &limits) {
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isDeclaration())
      continue;
    for (Operation &op : llvm::make_early_inc_range(function.getBody().front())) {
      bool isConstant = op.getNumResults() == 1 && op.getNumOperands() > 0 &&
                        llvm::all_of(op.getOperands(), [](mlir::Value v) { return bool(graph::constantValue(v)); });
      auto type = isConstant ? dyn_cast<RankedTensorType>(op.getResult(0).getType()) : RankedTensorType();
      if (!type || !type.hasStaticShape())
        continue;
      int64_t count = type.getNumElements(), operandCount = 0;
      for (mlir::Value operand : op.getOperands())
        operandCount += elementCount(operand);
      uint64_t bytes = count * llvm::divideCeil(type.getElementTypeBitWidth(), 8);
      uint64_t work = workOf(op, count + operandCount);
      if (count > std::max(4 * operandCount, kFreeElements) ||
          (count + operandCount) * int64_t(sizeof(double)) > kMaxOpBytes || bytes > limits.resultBytes ||
          work > limits.work)
        continue;
      limits.work -= work;
      if (fold(op))
        limits.resultBytes -= bytes;
    }
  }
}

int64_t mlir::rt3::countUnfolded(ModuleOp module) {
  int64_t count = 0;
  llvm::DenseSet<mlir::Value> constants;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isDeclaration())
      continue;
    for (Operation &op : function.getBody().front()) {
      auto type = op.getNumResults() == 1 ? dyn_cast<RankedTensorType>(op.getResult(0).getType()) : RankedTensorType();
      // A free shape is an operand too.
      bool isUnfolded = op.getNumOperands() > 0 && type && type.hasStaticShape() &&
                        llvm::all_of(op.getOperands(), [&](mlir::Value v) { return constants.contains(v); });
      if (!isUnfolded && !isa<graph::ConstantOp>(op))
        continue;
      count += isUnfolded;
      constants.insert(op.getResult(0));
    }
  }
  return count;
}
