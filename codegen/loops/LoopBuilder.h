// SPDX-License-Identifier: Apache-2.0
//
// Short words for building loops over raw memory: i64 arithmetic, loads and
// stores of scalars and native vectors, loops that carry values.

#ifndef RT3_CODEGEN_LOOPS_LOOPBUILDER_H
#define RT3_CODEGEN_LOOPS_LOOPBUILDER_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::rt3 {

class LoopBuilder : public ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  Type pointerType();

  // Integers are i64; sums and products of constants are folded.
  Value integer(int64_t value);
  Value add(Value a, Value b);
  Value add(Value a, int64_t b) { return add(a, integer(b)); }
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value mul(Value a, int64_t b) { return mul(a, integer(b)); }
  Value min(Value a, Value b);
  // Of a number that is not negative, by a constant.
  Value divide(Value a, int64_t b);
  Value remainder(Value a, int64_t b);

  // The constant value of an integer, if it is one.
  std::optional<int64_t> known(Value value);

  // A constant of a float scalar or vector type.
  Value real(Type type, double value);

  // `pointer` moved by a number of bytes.
  Value offset(Value pointer, Value bytes);
  Value offset(Value pointer, int64_t bytes) { return offset(pointer, integer(bytes)); }
  // Memory is aligned to one element.
  Value load(Type type, Value pointer);
  void store(Value value, Value pointer);
  // A little-endian u16 as i64.
  Value loadU16(Value pointer);
  void prefetch(Value pointer);

  Value splat(Type vectorType, Value scalar);
  Value fma(Value a, Value b, Value c);

  using LoopBody = llvm::function_ref<SmallVector<Value>(Value, ValueRange)>;
  // for (i = begin; i < end; i += step) carried = body(i, carried)
  SmallVector<Value> loop(Value begin, Value end, int64_t step, ValueRange carried, LoopBody body);
  void loop(Value begin, Value end, int64_t step, llvm::function_ref<void(Value)> body);
  // The same, with something carried, which LLVM shall not unroll.
  SmallVector<Value> rolledLoop(Value begin, Value end, int64_t step, ValueRange carried, LoopBody body);
  // condition ? onTrue() : onFalse()
  SmallVector<Value> choose(Value condition, TypeRange types, llvm::function_ref<SmallVector<Value>()> onTrue,
                            llvm::function_ref<SmallVector<Value>()> onFalse);
  void when(Value condition, llvm::function_ref<void()> body);
  Value isEqual(Value a, Value b);
  Value isLess(Value a, Value b);
};

// The private function `name` of `module`, built by `body` from its arguments
// when it does not exist yet. Equal names must mean equal code. Pointer
// arguments are promised not to alias.
func::FuncOp getOrBuildFunction(ModuleOp module, llvm::StringRef name, ArrayRef<Type> argumentTypes,
                                llvm::function_ref<void(LoopBuilder &, ValueRange)> body);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_LOOPS_LOOPBUILDER_H
