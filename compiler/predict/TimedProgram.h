// SPDX-License-Identifier: Apache-2.0
//
// Times the ops of a program on this machine.

#ifndef RT3_COMPILER_PREDICT_TIMEDPROGRAM_H
#define RT3_COMPILER_PREDICT_TIMEDPROGRAM_H

#include "compiler/Compile.h"

namespace llvm::orc {
class LLJIT;
}

namespace mlir::rt3 {

class TimedProgram {
public:
  // `result`: compiled for this machine with marksOps to Stage::Library; must live as long.
  static llvm::Expected<std::unique_ptr<TimedProgram>> make(const CompileResult &result);
  ~TimedProgram();

  // Seconds of each op of a level, by its mark: the median of `runs` runs behind one that does
  // not count. Integers of the inputs are 1, floats 0.5.
  std::map<int64_t, double> run(size_t level, int64_t length, int runs);

private:
  explicit TimedProgram(const CompileResult &result);

  const CompileResult &result;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  const rt3_program_t *program = nullptr;
};

// The clock of this core while it computes, in Hz: the fastest of several chains of additions, of which one takes a
// cycle, among 512-bit products where `isa` (as a Device has it) is avx512.
double measureClock(llvm::StringRef isa);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_TIMEDPROGRAM_H
