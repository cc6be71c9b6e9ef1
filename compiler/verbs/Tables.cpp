// SPDX-License-Identifier: Apache-2.0
//
// rt3c ops and rt3c targets: tables from the sources of truth.

#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::rt3;

ExitCode mlir::rt3::runOps(bool asJson) {
  llvm::json::Array list;
  if (!asJson)
    llvm::outs() << "| operator | from opset | limits |\n|---|---|---|\n";
  for (const onnx::SupportedOp &op : onnx::supportedOps()) {
    std::string name = op.domain.empty() ? op.type : op.domain + "::" + op.type;
    if (asJson)
      list.push_back(llvm::json::Object{{"op", name}, {"since_opset", op.sinceOpset}, {"limits", op.limits}});
    else
      llvm::outs() << llvm::formatv("| {0} | {1} | {2} |\n", name, op.sinceOpset, op.limits);
  }
  if (asJson)
    llvm::outs() << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(list)));
  return kExitOk;
}

ExitCode mlir::rt3::runTargets(bool asJson) {
  llvm::json::Array list;
  for (const Device &device : allDevices()) {
    if (asJson)
      list.push_back(llvm::json::Object{{"name", device.name}, {"summary", device.summary}, {"isa", device.isa}});
    else
      llvm::outs() << llvm::formatv("{0,-14} {1}\n", device.name, device.summary);
  }
  if (asJson)
    llvm::outs() << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(list)));
  return kExitOk;
}
