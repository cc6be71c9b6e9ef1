// SPDX-License-Identifier: Apache-2.0
//
// The order of all passes, one function per stage.

#ifndef RT3_CODEGEN_PIPELINES_H
#define RT3_CODEGEN_PIPELINES_H

#include "mlir/Pass/PassManager.h"

namespace mlir::rt3 {

struct PipelineOptions {
  std::string device; // A name that findDevice knows.
  bool keepsSparse = false;
};

// ONNX's operators -> layers: linear, attention, layer_norm.
void buildFusePipeline(OpPassManager &passManager);

// Fuses only what reads activations and vectors: constants stay what the importer made.
void buildFuseElementwisePipeline(OpPassManager &passManager);

// Linear layers to `type`, a precision of rt3_graph, but for those that `keepF32` names.
void buildQuantizePipeline(OpPassManager &passManager, StringRef type, ArrayRef<std::string> keepF32);

// One function for all levels -> one per level, whose layers say in rt3_graph.report what they are
// predicted to take.
void buildPredictPipeline(OpPassManager &passManager, const PipelineOptions &options);

// One function for all levels -> one per level on packed, placed buffers.
void buildGraphToKernelPipeline(OpPassManager &passManager, const PipelineOptions &options);

// Ops on buffers -> calls of kernels made of vector loops.
void buildKernelToLoopsPipeline(OpPassManager &passManager);

// Loops -> the LLVM dialect.
void buildLoopsToLlvmPipeline(OpPassManager &passManager);

// Makes all passes and pipelines known to rt3-opt.
void registerPassesAndPipelines();

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PIPELINES_H
