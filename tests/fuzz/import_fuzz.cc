// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an ONNX model, with every dimension fixed as the model asks, folded
// and fused: ends with a module, problems or an error.

#include "compiler/Compile.h"
#include "compiler/onnx/Import.h"
#include "compiler/onnx/Model.h"

#include "mlir/IR/MLIRContext.h"

using namespace mlir;
using namespace mlir::rt3;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  // Parsing alone is protobuf's; models are what is looked at.
  auto model = onnx::parseModel(bytes);
  if (!model) {
    llvm::consumeError(model.takeError());
    return 0;
  }
  onnx::ImportOptions options;
  options.foldBudget = 1 << 20;
  for (const auto &input : model->graph().input())
    for (const auto &dimension : input.type().tensor_type().shape().dim())
      if (!dimension.dim_param().empty())
        options.shapes[dimension.dim_param()] = {{7, size % 2 == 0}};
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  auto result = onnx::importBytes(&context, bytes, options);
  if (!result) {
    llvm::consumeError(result.takeError());
  } else if (result->module) {
    // A pass that fails on a module that the importer made is a fault of ours.
    llvm::cantFail(fuse(*result->module, options.foldBudget));
  }
  return 0;
}
