// SPDX-License-Identifier: Apache-2.0
//
// The rt3_graph dialect: what a pruned model computes. How a layer is computed
// belongs to dialects/kernel.

#ifndef RT3_DIALECTS_GRAPH_GRAPH_H
#define RT3_DIALECTS_GRAPH_GRAPH_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/graph/GraphDialect.h.inc"
#include "dialects/graph/GraphEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/graph/GraphAttrs.h.inc"

#define GET_OP_CLASSES
#include "dialects/graph/GraphOps.h.inc"

namespace mlir::rt3::graph {

// Module attribute: the largest value of the free dimension, an i64 of at
// least 1. Absent if no dimension is free.
inline constexpr llvm::StringLiteral kMaxLengthAttr = "rt3_graph.max_length";

// Module attribute (i64): the tokens of a text, over all runs, of a model that keeps
// keys and values; none: runs know nothing of each other.
inline constexpr llvm::StringLiteral kContextAttr = "rt3_graph.context";

// Function attribute: the name of the function that this one stands for when a run
// has a single token.
inline constexpr llvm::StringLiteral kTokenOfAttr = "rt3_graph.token_of";

// Function attribute: the index of the level a function belongs to (i64).
inline constexpr llvm::StringLiteral kLevelAttr = "rt3_graph.level";

// Constant attribute: the name of the f32 initializer of the ONNX file that it is.
inline constexpr llvm::StringLiteral kInitializerAttr = "rt3_graph.initializer";

// Module attribute: the levels' weight parts are to be stored once, each level
// adding to the one before.
inline constexpr llvm::StringLiteral kNestedAttr = "rt3_graph.nested";

// Layer attributes. A dictionary that ChooseKernels leaves for reports, and the
// mask of a pruned layer that is stored dense.
inline constexpr llvm::StringLiteral kReportAttr = "rt3_graph.report";
inline constexpr llvm::StringLiteral kZerosAttr = "rt3_graph.zeros";

// Layer attribute, a text: the kernel that somebody wants it to have (KernelChoice of codegen/packing).
inline constexpr llvm::StringLiteral kKernelAttr = "rt3_graph.kernel";

// The bytes of a constant, whether hashed (dense) or not (dense resource);
// empty if the attribute is of another kind. A splat gives one element.
llvm::ArrayRef<char> rawBytes(ElementsAttr elements);

// The elements of an f32 or i8 constant of any kind, splats written out.
std::vector<float> floatElements(ElementsAttr elements);
std::vector<uint8_t> byteElements(ElementsAttr elements);

// A constant whose bytes are copied into a resource blob that lives as long as
// the context.
ElementsAttr makeResource(RankedTensorType type, llvm::StringRef name, llvm::ArrayRef<char> bytes);

// Frees the bytes of such a constant, which must not be read again, in copies of its op either.
void releaseResource(ElementsAttr elements);

// The mask of a weight encoding, null for a dense one; and the values that it has of
// its own, null if they are those of the layer.
ElementsAttr encodingMask(Attribute encoding);
ElementsAttr encodingWeights(Attribute encoding);
ElementsAttr encodingBias(Attribute encoding);

// A weight encoding, not a dense one, with such values of its own.
Attribute withValues(Attribute encoding, ElementsAttr weights, ElementsAttr bias);

// How many heads k and v of an attention have.
int64_t keyHeads(AttentionOp op);

// Whether a layer is the one that a user named; `*` at the end stands for any rest.
bool isNamed(llvm::StringRef layer, llvm::StringRef pattern);

// The value of a constant operand, null if it is computed.
ElementsAttr constantValue(Value value);

} // namespace mlir::rt3::graph

#endif // RT3_DIALECTS_GRAPH_GRAPH_H
