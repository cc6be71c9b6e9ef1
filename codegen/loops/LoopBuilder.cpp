// SPDX-License-Identifier: Apache-2.0

#include "codegen/loops/LoopBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

namespace mlir::rt3 {

Type LoopBuilder::pointerType() { return LLVM::LLVMPointerType::get(getContext()); }

Value LoopBuilder::integer(int64_t value) { return arith::ConstantIntOp::create(*this, getI64Type(), value); }

std::optional<int64_t> LoopBuilder::known(Value value) {
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}

Value LoopBuilder::add(Value a, Value b) {
  auto x = known(a), y = known(b);
  if (x && y)
    return integer(*x + *y);
  if (x && *x == 0)
    return b;
  if (y && *y == 0)
    return a;
  return arith::AddIOp::create(*this, a, b);
}

Value LoopBuilder::sub(Value a, Value b) { return arith::SubIOp::create(*this, a, b); }

Value LoopBuilder::mul(Value a, Value b) {
  auto x = known(a), y = known(b);
  if (x && y)
    return integer(*x * *y);
  if (x && *x == 1)
    return b;
  if (y && *y == 1)
    return a;
  return arith::MulIOp::create(*this, a, b);
}

Value LoopBuilder::min(Value a, Value b) { return arith::MinSIOp::create(*this, a, b); }

Value LoopBuilder::divide(Value a, int64_t b) { return arith::DivUIOp::create(*this, a, integer(b)); }

Value LoopBuilder::remainder(Value a, int64_t b) { return arith::RemUIOp::create(*this, a, integer(b)); }

Value LoopBuilder::real(Type type, double value) {
  FloatAttr scalar = FloatAttr::get(cast<FloatType>(getElementTypeOrSelf(type)), value);
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(*this, DenseElementsAttr::get(vector, scalar));
  return arith::ConstantOp::create(*this, scalar);
}

Value LoopBuilder::offset(Value pointer, Value bytes) {
  if (known(bytes) == 0)
    return pointer;
  return LLVM::GEPOp::create(*this, pointerType(), getI8Type(), pointer, ArrayRef<LLVM::GEPArg>{bytes});
}

static unsigned elementAlignment(Type type) {
  if (isa<LLVM::LLVMPointerType>(type))
    return 8;
  return std::max(1u, getElementTypeOrSelf(type).getIntOrFloatBitWidth() / 8);
}

Value LoopBuilder::load(Type type, Value pointer) {
  return LLVM::LoadOp::create(*this, type, pointer, elementAlignment(type));
}

void LoopBuilder::store(Value value, Value pointer) {
  LLVM::StoreOp::create(*this, value, pointer, elementAlignment(value.getType()));
}

Value LoopBuilder::loadU16(Value pointer) {
  return arith::ExtUIOp::create(*this, getI64Type(), load(getIntegerType(16), pointer));
}

void LoopBuilder::prefetch(Value pointer) {
  // Read, into all cache levels, data.
  LLVM::Prefetch::create(*this, pointer, /*rw=*/0u, /*hint=*/3u, /*cache=*/1u);
}

Value LoopBuilder::splat(Type vectorType, Value scalar) {
  return isa<VectorType>(vectorType) ? vector::BroadcastOp::create(*this, vectorType, scalar) : scalar;
}

Value LoopBuilder::fma(Value a, Value b, Value c) {
  return LLVM::FMAOp::create(*this, a.getType(), ValueRange{a, b, c});
}

SmallVector<Value> LoopBuilder::loop(Value begin, Value end, int64_t step, ValueRange carried, LoopBody body) {
  auto forOp = scf::ForOp::create(*this, begin, end, integer(step), carried);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(forOp.getBody());
  SmallVector<Value> results = body(forOp.getInductionVar(), forOp.getRegionIterArgs());
  // Without carried values the builder has made the terminator.
  if (!carried.empty())
    scf::YieldOp::create(*this, results);
  return SmallVector<Value>(forOp.getResults());
}

SmallVector<Value> LoopBuilder::rolledLoop(Value begin, Value end, int64_t step, ValueRange carried, LoopBody body) {
  SmallVector<Value> results = loop(begin, end, step, carried, body);
  LLVM::LoopUnrollAttr unroll = LLVM::LoopUnrollAttr::get(getContext(), getBoolAttr(true), {}, {}, {}, {}, {}, {});
  auto annotation =
      LLVM::LoopAnnotationAttr::get(getContext(), {}, {}, {}, unroll, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {});
  // The name under which the conversions of scf and cf hand it on to llvm.br.
  results[0].getDefiningOp()->setAttr("loop_annotation", annotation);
  return results;
}

void LoopBuilder::loop(Value begin, Value end, int64_t step, llvm::function_ref<void(Value)> body) {
  loop(begin, end, step, ValueRange(), [&](Value i, ValueRange) {
    body(i);
    return SmallVector<Value>();
  });
}

SmallVector<Value> LoopBuilder::choose(Value condition, TypeRange types,
                                       llvm::function_ref<SmallVector<Value>()> onTrue,
                                       llvm::function_ref<SmallVector<Value>()> onFalse) {
  auto ifOp = scf::IfOp::create(*this, types, condition, /*withElse=*/true);
  OpBuilder::InsertionGuard guard(*this);
  for (auto [block, build] : {std::pair(ifOp.thenBlock(), onTrue), std::pair(ifOp.elseBlock(), onFalse)}) {
    setInsertionPointToStart(block);
    scf::YieldOp::create(*this, build());
  }
  return SmallVector<Value>(ifOp.getResults());
}

void LoopBuilder::when(Value condition, llvm::function_ref<void()> body) {
  auto ifOp = scf::IfOp::create(*this, condition, /*withElse=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(ifOp.thenBlock());
  body();
}

Value LoopBuilder::isEqual(Value a, Value b) { return arith::CmpIOp::create(*this, arith::CmpIPredicate::eq, a, b); }

Value LoopBuilder::isLess(Value a, Value b) { return arith::CmpIOp::create(*this, arith::CmpIPredicate::slt, a, b); }

func::FuncOp getOrBuildFunction(ModuleOp module, StringRef name, ArrayRef<Type> argumentTypes,
                                llvm::function_ref<void(LoopBuilder &, ValueRange)> body) {
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;
  MLIRContext *context = module.getContext();
  LoopBuilder builder(module.getLoc(), context);
  builder.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(builder, name, builder.getFunctionType(argumentTypes, {}));
  function.setPrivate();
  // Private functions would be exported without it.
  function->setAttr("llvm.linkage", LLVM::LinkageAttr::get(context, LLVM::Linkage::Internal));
  // One copy serves all levels and can be found in the listing by its name.
  function->setAttr("passthrough", builder.getStrArrayAttr({"noinline"}));
  Block *entry = function.addEntryBlock();
  for (auto [i, type] : llvm::enumerate(argumentTypes))
    if (isa<LLVM::LLVMPointerType>(type))
      function.setArgAttr(i, "llvm.noalias", builder.getUnitAttr());
  builder.setInsertionPointToStart(entry);
  body(builder, entry->getArguments());
  func::ReturnOp::create(builder);
  return function;
}

} // namespace mlir::rt3
