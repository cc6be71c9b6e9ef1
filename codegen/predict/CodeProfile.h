// SPDX-License-Identifier: Apache-2.0
//
// What the ops of a program cost on its target: how often each block of its code runs,
// times the cycles that LLVM's scheduling model gives the block. An estimate: caches are
// perfect and branches foreseen; what is not so is counted, for others to charge.

#ifndef RT3_CODEGEN_PREDICT_CODEPROFILE_H
#define RT3_CODEGEN_PREDICT_CODEPROFILE_H

#include "codegen/predict/BlockCounter.h"
#include "codegen/predict/BlockCycles.h"

namespace mlir::rt3 {

struct OpCost {
  double instructions = 0, cycles = 0;
  double loopEntries = 0; // Of loops whose end is foreseen badly.
};

class CodeProfile {
public:
  // `schedulerModel`: LLVM's name of a CPU.
  static llvm::Expected<std::shared_ptr<CodeProfile>> make(OptimizedProgram program, const Device &device,
                                                           const ProgramDescription &description,
                                                           llvm::StringRef schedulerModel);

  // The cost of each op of a level, by its mark; of what runs outside ops, at -1. `call`: its
  // weights, length and position.
  llvm::Expected<std::map<int64_t, OpCost>> run(size_t level, const rt3_call_t &call);

private:
  std::unique_ptr<BlockCounter> counter;
  std::unique_ptr<BlockCycles> code;
};

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PREDICT_CODEPROFILE_H
