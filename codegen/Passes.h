// SPDX-License-Identifier: Apache-2.0
//
// All passes. Passes.td says what each one does; Pipelines.cpp in which order.

#ifndef RT3_CODEGEN_PASSES_H
#define RT3_CODEGEN_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

#include <memory>

namespace mlir::rt3 {

#define GEN_PASS_DECL
#include "codegen/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "codegen/Passes.h.inc"

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PASSES_H
