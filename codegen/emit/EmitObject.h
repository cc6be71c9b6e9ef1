// SPDX-License-Identifier: Apache-2.0
//
// The LLVM dialect -> LLVM IR -> machine code. The only code that sees LLVM's
// back end, together with its neighbours in this folder.

#ifndef RT3_CODEGEN_EMIT_EMITOBJECT_H
#define RT3_CODEGEN_EMIT_EMITOBJECT_H

#include "codegen/devices/Device.h"
#include "codegen/emit/EmitProgram.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::rt3 {

enum class EmitKind { LlvmIr, Assembly, Object };

// Translates `module`, adds the program's description, optimises, and returns
// text or an object file.
llvm::Expected<std::string> emit(ModuleOp module, const Device &device, const ProgramDescription &program,
                                 EmitKind kind);

// Makes the dialects of `registry` translatable to LLVM IR.
void registerTranslations(DialectRegistry &registry);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_EMIT_EMITOBJECT_H
