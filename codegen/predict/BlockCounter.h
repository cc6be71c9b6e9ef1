// SPDX-License-Identifier: Apache-2.0
//
// How often each block of a program runs, for any target, without a CPU of it.
//
// Which blocks run depends on lengths and on the indices of pruned weights, never on
// activations. So the program is cut down to what decides where it goes next: stores
// go, and with them all arithmetic. What is left has no instruction of the target any
// more and is compiled for this machine, with a counter in each block.

#ifndef RT3_CODEGEN_PREDICT_BLOCKCOUNTER_H
#define RT3_CODEGEN_PREDICT_BLOCKCOUNTER_H

#include "codegen/emit/EmitObject.h"

#include "rt3/rt3_bundle.h"

#include <map>
#include <vector>

namespace llvm::orc {
class LLJIT;
}

namespace mlir::rt3 {

// Names every block of `module` after its number, b0 and on. Edges between blocks with
// several ends get blocks of their own, so that each can be counted.
void nameBlocks(llvm::Module &module);

// The number in a block's name; nothing for other names.
std::optional<size_t> blockNumber(llvm::StringRef name);

class BlockCounter {
public:
  // Uses up `program`, whose blocks have been named.
  static llvm::Expected<std::unique_ptr<BlockCounter>> make(OptimizedProgram program,
                                                            const ProgramDescription &description);
  ~BlockCounter();

  // How often each block runs, by the op (rt3_mark's argument) that it runs for. Of `call` its
  // weights, length and position count; tensors, workspace and state are zeros here.
  llvm::Expected<std::map<int64_t, std::vector<uint64_t>>> run(size_t level, rt3_call_t call);

  // Blocks from which innermost loops are entered whose trips are not known when compiling: each
  // time, their end is foreseen badly.
  const std::vector<size_t> &loopEntries() const { return entries; }

  // The blocks from which the loop is entered that begins with a block. None of them goes anywhere else.
  const std::vector<size_t> &blocksBefore(size_t header) { return before[header]; }

private:
  BlockCounter() = default;

  std::unique_ptr<llvm::orc::LLJIT> jit;
  ProgramDescription description;
  std::vector<size_t> entries;
  std::map<size_t, std::vector<size_t>> before; // By the number of a loop's first block.
  size_t blockCount = 0;
};

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PREDICT_BLOCKCOUNTER_H
