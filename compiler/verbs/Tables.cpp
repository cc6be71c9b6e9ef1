// SPDX-License-Identifier: Apache-2.0
//
// rt3c ops and rt3c targets: tables from the sources of truth.

#include "compiler/predict/Chip.h"
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
  llvm::json::Array targets, devices;
  for (const Device &device : allDevices()) {
    if (asJson)
      targets.push_back(llvm::json::Object{{"name", device.name}, {"summary", device.summary}, {"isa", device.isa}});
    else
      llvm::outs() << llvm::formatv("{0,-16} {1}\n", device.name, device.summary);
  }
  if (!asJson)
    llvm::outs() << "\nDevices (--device NAME[:CORE]):\n";
  for (const Chip &chip : allChips()) {
    if (asJson) {
      devices.push_back(chipJson(chip));
      continue;
    }
    llvm::outs() << llvm::formatv("{0,-16} {1}\n", chip.name, chip.summary);
    for (const Core &core : chip.cores)
      llvm::outs() << llvm::formatv("  :{0,-13} {1} clocks, {2} to {3} MHz, {4}\n", core.name, core.levels.size(),
                                    core.levels.front().frequencyKhz / 1000, core.levels.back().frequencyKhz / 1000,
                                    core.target.empty() ? "no target" : "target " + core.target);
  }
  if (asJson)
    llvm::outs() << llvm::formatv("{0:2}\n", llvm::json::Value(llvm::json::Object{{"targets", std::move(targets)},
                                                                                  {"devices", std::move(devices)}}));
  return kExitOk;
}
