// SPDX-License-Identifier: Apache-2.0
//
// The rt3_kernel dialect: one model at one level on laid-out buffers. What is
// computed belongs to dialects/graph.

#ifndef RT3_DIALECTS_KERNEL_KERNEL_H
#define RT3_DIALECTS_KERNEL_KERNEL_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/kernel/KernelDialect.h.inc"
#include "dialects/kernel/KernelEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/kernel/KernelAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/kernel/KernelTypes.h.inc"

#define GET_OP_CLASSES
#include "dialects/kernel/KernelOps.h.inc"

namespace mlir::rt3::kernel {

// Bytes of workspace that a planned function needs (i64).
inline constexpr llvm::StringLiteral kWorkspaceSizeAttr = "rt3_kernel.workspace_size";

// Module attribute: bytes that the functions keep between runs (i64); none: nothing.
inline constexpr llvm::StringLiteral kStateSizeAttr = "rt3_kernel.state_size";

// Module attribute: the tile of kernels that have none of their own.
inline constexpr llvm::StringLiteral kTileAttr = "rt3_kernel.tile";

// Attribute of an op, i64: its code begins with a call of kMarkFunction(number), for whom
// counts or times ops.
inline constexpr llvm::StringLiteral kMarkAttr = "rt3_kernel.mark", kMarkFunction = "rt3_mark";

// Features of a buffer in panels are rounded up to this number, so that the
// last group of outputs can be stored whole.
inline constexpr int64_t kFeatureMultiple = 8;

// Bytes of one element of a buffer; i1 takes a byte.
int64_t elementSize(Type elementType);

// Bytes of a buffer when the free dimension is `maxLength`.
int64_t bufferSize(BufferType type, int64_t maxLength);

// Parts of a layer's outputs that threads may take: at least 64 outputs each.
int64_t partCount(int64_t features);

// Whether a tensor of tokens x features has one token: all axes before the last are 1.
bool isSingleToken(RankedTensorType type);

// Inputs that share a word under a dot product, and the word's bytes.
int64_t inputsPerWord(Dot dot);
int64_t wordSize(Dot dot);

// Whether sums are exact in i32 and have a scale per token.
bool isInt8(Dot dot);

// Words of a linear layer's input x, however many features lie behind them.
int64_t inputWords(LinearOp op);

// The vector of its input range where a word begins, in panels of `tile`: indices of
// streams count these.
int64_t vectorsPerWord(TileAttr tile, std::optional<Dot> dot);

// Panels of at most this many tokens have kernels of their own, in which a vector holds
// two outputs; 0 where there are none for streams of `patterns` patterns (0: dense).
int64_t halfTileTokens(llvm::StringRef isa, int64_t lanes, size_t patterns, std::optional<Dot> dot);

// Sets of sums that a loop over blocks of a pattern needs, one for each block of a trip at
// most, so that `in_flight` products do not wait for each other: a block has `sums`.
int64_t sumSets(int64_t sums, int64_t unroll, int64_t inFlight);

} // namespace mlir::rt3::kernel

#endif // RT3_DIALECTS_KERNEL_KERNEL_H
