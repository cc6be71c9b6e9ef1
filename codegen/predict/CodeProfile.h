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
  double issuedCycles = 0; // Of these: without what loops wait for their own results.
  double loopEntries = 0;  // Of loops whose end is foreseen badly.
};

class CodeProfile {
public:
  // `schedulerModel`: LLVM's name of a CPU. `window`: instructions that it has in flight; 0:
  // nothing hides what a loop waits for.
  static llvm::Expected<std::shared_ptr<CodeProfile>> make(OptimizedProgram program, const Device &device,
                                                           const ProgramDescription &description,
                                                           llvm::StringRef schedulerModel, int64_t window);

  // The cost of each op of a level, by its mark; of what runs outside ops, at -1. `call`: its
  // weights, length and position.
  llvm::Expected<std::map<int64_t, OpCost>> run(size_t level, const rt3_call_t &call);

private:
  // Of what a block waits for its own results, the share that no other code hides when it runs
  // `times` times, entered `entries` times: the last instructions of a loop that are in flight
  // together wait beside what comes behind the loop.
  double exposedShare(const BlockCycles::Block &block, double times, double entries) const;

  int64_t window = 0;
  std::unique_ptr<BlockCounter> counter;
  std::unique_ptr<BlockCycles> code;
};

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PREDICT_CODEPROFILE_H
