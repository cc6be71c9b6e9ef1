// SPDX-License-Identifier: Apache-2.0

#include "codegen/Pipelines.h"

#include "codegen/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::rt3;

void mlir::rt3::buildFusePipeline(OpPassManager &passManager) {
  passManager.addPass(createCanonicalizerPass());
  passManager.addPass(createCSEPass());
  OpPassManager &functions = passManager.nest<func::FuncOp>();
  // Before linear layers, which would take erf or tanh for their activation.
  functions.addPass(createFuseGeluPass());
  functions.addPass(createFuseLayerNormPass());
  functions.addPass(createFuseLinearPass());
  // After linear layers: biases of Q, K and V must not stand in between.
  functions.addPass(createFuseAttentionPass());
  passManager.addPass(createCanonicalizerPass());
  passManager.addPass(createCSEPass());
  // Behind those, which remove masks that are causal now.
  passManager.nest<func::FuncOp>().addPass(createAddCachePass());
}

void mlir::rt3::buildFuseElementwisePipeline(OpPassManager &passManager) {
  OpPassManager &functions = passManager.nest<func::FuncOp>();
  functions.addPass(createFuseGeluPass());
  functions.addPass(createFuseLayerNormPass());
}

void mlir::rt3::buildQuantizePipeline(OpPassManager &passManager, StringRef type, ArrayRef<std::string> keepF32) {
  QuantizeLinearPassOptions options;
  options.type = type.str();
  options.keepF32.assign(keepF32.begin(), keepF32.end());
  passManager.nest<func::FuncOp>().addPass(createQuantizeLinearPass(options));
}

void mlir::rt3::buildPredictPipeline(OpPassManager &passManager, const PipelineOptions &options) {
  passManager.addPass(createCloneFunctionPerLevelPass());
  ChooseKernelsPassOptions choose;
  choose.device = options.device;
  choose.keepsSparse = options.keepsSparse;
  passManager.addPass(createChooseKernelsPass(choose));
}

void mlir::rt3::buildGraphToKernelPipeline(OpPassManager &passManager, const PipelineOptions &options) {
  buildPredictPipeline(passManager, options);
  // Behind the choice: both functions of a level read the same weights.
  passManager.addPass(createCloneFunctionForTokenPass());
  ConvertGraphToKernelPassOptions convert;
  convert.device = options.device;
  passManager.addPass(createConvertGraphToKernelPass(convert));
  // Buffers that nobody reads go before memory is planned for them.
  passManager.addPass(createCSEPass());
  passManager.addPass(createCanonicalizerPass());
  passManager.addPass(createPlanMemoryPass());
}

void mlir::rt3::buildKernelToLoopsPipeline(OpPassManager &passManager) {
  passManager.addPass(createConvertKernelToLoopsPass());
  passManager.addPass(createCanonicalizerPass());
  passManager.addPass(createCSEPass());
}

void mlir::rt3::buildLoopsToLlvmPipeline(OpPassManager &passManager) {
  passManager.addPass(createSCFToControlFlowPass());
  passManager.addPass(createConvertVectorToLLVMPass());
  passManager.addPass(createArithToLLVMConversionPass());
  passManager.addPass(createConvertControlFlowToLLVMPass());
  passManager.addPass(createConvertFuncToLLVMPass());
  passManager.addPass(createUBToLLVMConversionPass());
  passManager.addPass(createReconcileUnrealizedCastsPass());
}

namespace {
struct TextOptions : PassPipelineOptions<TextOptions> {
  Option<std::string> device{*this, "device", llvm::cl::desc("Device to compile for")};
};
} // namespace

void mlir::rt3::registerPassesAndPipelines() {
  registerRt3Passes();
  registerTransformsPasses();
  PassPipelineRegistration<>("rt3-fuse", "ONNX's operators to layers", buildFusePipeline);
  PassPipelineRegistration<TextOptions>("rt3-graph-to-kernel",
                                        "one function for all levels to one per level on placed buffers",
                                        [](OpPassManager &passManager, const TextOptions &options) {
                                          buildGraphToKernelPipeline(passManager, {options.device, false});
                                        });
  PassPipelineRegistration<>("rt3-kernel-to-loops", "ops on buffers to calls of kernels", buildKernelToLoopsPipeline);
  PassPipelineRegistration<>("rt3-loops-to-llvm", "loops to the LLVM dialect", buildLoopsToLlvmPipeline);
}
