// SPDX-License-Identifier: Apache-2.0
//
// The LLVM dialect -> LLVM IR -> machine code. The only code that sees LLVM's
// back end, together with its neighbours in this folder.

#ifndef RT3_CODEGEN_EMIT_EMITOBJECT_H
#define RT3_CODEGEN_EMIT_EMITOBJECT_H

#include "codegen/devices/Device.h"
#include "codegen/emit/EmitProgram.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

namespace mlir::rt3 {

enum class EmitKind { LlvmIr, Assembly, Object };

// Innermost loops that multiply, of one block, and how many load from or store to the
// stack: what has no register costs time in every trip.
struct LoopCounts {
  int64_t loops = 0, loopsWithStack = 0, stackAccesses = 0;
};

// Whether a line of assembly multiplies and adds.
bool isProduct(llvm::StringRef line);
// Whether it reads or writes the stack; `hasFrame`: of a function that reaches it through x86's frame pointer, too.
bool accessesStack(llvm::StringRef line, bool hasFrame);

// Of assembly text, as LLVM writes it for AArch64 and x86-64.
LoopCounts countLoops(llvm::StringRef assembly);

// Of LLVM's two orders of machine code, the one in which loops use the stack least.
struct Schedule {
  bool isMachineScheduled = true;
  LoopCounts loops;
};

// A program as optimised LLVM IR, and what makes machine code of it.
struct OptimizedProgram {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::optional<Schedule> schedule; // Nothing: not chosen yet.
};

// Translates `module`, adds the program's description and optimises.
llvm::Expected<OptimizedProgram> optimizeProgram(ModuleOp module, const Device &device,
                                                 const ProgramDescription &program);

// Chooses the program's order of machine code, for which it is generated up to twice. Whoever changes
// the program and wants the code that it would have had chooses before.
llvm::Error chooseSchedule(OptimizedProgram &program);

// Text or an object file, in the program's order of machine code or, if it has none, the one
// that would be chosen; `counts`, if not null, gets what was found. `isVerbose`: assembly names
// the IR's block beside each of its own.
llvm::Expected<std::string> emit(const OptimizedProgram &program, EmitKind kind, LoopCounts *counts = nullptr,
                                 bool isVerbose = false);

// Makes the dialects of `registry` translatable to LLVM IR.
void registerTranslations(DialectRegistry &registry);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_EMIT_EMITOBJECT_H
