// SPDX-License-Identifier: Apache-2.0
//
// Loops for the ops of rt3_kernel: each function calls the kernel of one op,
// building the kernel first if no op has needed it yet.

#ifndef RT3_CODEGEN_LOOPS_LOOPS_H
#define RT3_CODEGEN_LOOPS_LOOPS_H

#include "codegen/loops/LoopBuilder.h"
#include "dialects/kernel/Kernel.h"

namespace mlir::rt3 {

// Where a kernel is called from: the function of one level.
struct CallSite {
  LoopBuilder &b;
  ModuleOp module;
  Value length;      // The free dimension, i64.
  int64_t maxLength; // Its largest value.
  Value position;    // Tokens of earlier runs, i64.
  Value parallel;    // The caller's threads, rt3_parallel_t or null.
  kernel::TileAttr tile;
  // Where a buffer lies.
  llvm::function_ref<Value(Value)> pointerOf;
  // Where weights lie.
  llvm::function_ref<Value(FlatSymbolRefAttr)> weightsOf;
};

// How a buffer in panels is cut, in bytes where not said otherwise.
struct Panels {
  int64_t batch, features, width; // Counts; `width` tokens per panel.
  int64_t tileSize, batchSize;    // From one panel, one batch to the next.
  Value tokens;                   // Count.

  Panels(const CallSite &site, kernel::BufferType type);
};

// Where `largest` of rt3_kernel.quantize has a panel of x: a row per part.
Value largestAt(LoopBuilder &b, const Panels &x, Value largest, Value batch, Value panel);

// The larger of the bits of |floats| and `most`, a vector of i32; NaN is the largest.
Value maxMagnitude(LoopBuilder &b, Value most, Value floats);

// A name that tells apart kernels by everything that `description` says.
std::string kernelName(llvm::StringRef readable, llvm::StringRef description);

// How a panel of one token is walked: one lane.
kernel::TileAttr tokenTile(kernel::TileAttr tile);

// Attention of a single token, with a cache.
void callTokenAttention(const CallSite &site, kernel::AttentionOp op);

// Calls `body(batch, tile, vectors)` for each panel, with the number of vectors
// that hold tokens: the tile's, and fewer in the last panel of a sequence.
void forEachPanel(LoopBuilder &b, kernel::TileAttr tile, int64_t batch, Value tokens,
                  llvm::function_ref<void(Value, Value, int64_t)> body);

void callLinear(const CallSite &site, kernel::LinearOp op);
void callAttention(const CallSite &site, kernel::AttentionOp op);
void callAppend(const CallSite &site, kernel::AppendOp op);
void callRotary(const CallSite &site, kernel::RotaryOp op);
void callLayerNorm(const CallSite &site, kernel::LayerNormOp op);
void callQuantize(const CallSite &site, kernel::QuantizeOp op);
void callPack(const CallSite &site, kernel::PackOp op);
void callMap(const CallSite &site, kernel::MapOp op);
void callMove(const CallSite &site, kernel::MoveOp op);
void callConcat(const CallSite &site, kernel::ConcatOp op);
void callReduce(const CallSite &site, kernel::ReduceOp op);
void callMatmul(const CallSite &site, kernel::MatmulOp op);
void callGather(const CallSite &site, kernel::GatherOp op);
void callIota(const CallSite &site, kernel::IotaOp op);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_LOOPS_LOOPS_H
