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
  using Memory = std::unique_ptr<char, decltype(&free)>;

  // `result`: compiled for this machine with marksOps to Stage::Library. Its weights are copied.
  static llvm::Expected<std::unique_ptr<TimedProgram>> make(const CompileResult &result);
  ~TimedProgram();

  // Seconds of each op of a level, by its mark: the median of `runs` runs behind one that does
  // not count. Integers of the inputs are 1, floats 0.5.
  std::map<int64_t, double> run(size_t level, int64_t length, int runs);

private:
  explicit TimedProgram(const CompileResult &result);

  // Once: a model with many levels has gigabytes of them, which took longer to copy than to run.
  Memory weights;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  const rt3_program_t *program = nullptr;
};

// Some runs of a level.
struct TimedBatch {
  std::map<int64_t, double> seconds; // Of each op, by its mark.
  double clock;                      // Hz, around them.
};

// Of a list that is not empty; the upper one of two. Changes the order.
double median(std::vector<double> &values);

// Of batches of the same level and length the fastest quarter: the median of each op's cycles and of the clocks.
// What is predicted is a machine that nobody disturbs, and others that share a core or a cache disturb for seconds.
TimedBatch countFastest(std::vector<TimedBatch> batches);

// The clock of this core while it computes, in Hz: the fastest of several chains of additions, of which one takes a
// cycle, among 512-bit products where `isa` (as a Device has it) is avx512.
double measureClock(llvm::StringRef isa);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_TIMEDPROGRAM_H
