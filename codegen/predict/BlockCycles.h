// SPDX-License-Identifier: Apache-2.0
//
// Cycles of machine code, block by block, by LLVM's scheduling models: what llvm-mca
// does, in this process.

#ifndef RT3_CODEGEN_PREDICT_BLOCKCYCLES_H
#define RT3_CODEGEN_PREDICT_BLOCKCYCLES_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace mlir::rt3 {

class BlockCycles {
public:
  // `assembly`: as emit() writes it, verbose, with numbered blocks. `cpu`: LLVM's name, of the
  // scheduling model. Errors: a CPU without such a model, assembly that cannot be read.
  static llvm::Expected<std::unique_ptr<BlockCycles>> make(llvm::StringRef assembly, llvm::StringRef triple,
                                                           llvm::StringRef cpu);
  ~BlockCycles();

  struct Block {
    size_t number;        // Of the block of IR that it was made of.
    bool isPreheader;     // It was put before the loop that begins with that one.
    int64_t instructions; // Count.
    int64_t products;     // Of these: multiply-adds.
  };
  const std::vector<Block> &blocks() const;
  // A block's instructions, a line each.
  llvm::StringRef text(size_t block) const;

  // Of one run of a block among many in a row, caches being perfect and branches foreseen.
  struct Cycles {
    double all;    // With what it waits for results of the run before.
    double issued; // What it keeps the core's units busy for, the least if other code runs meanwhile.
                   // All of them, where instructions are issued in order.
  };
  llvm::Expected<Cycles> cycles(size_t block);

private:
  struct Machine;
  explicit BlockCycles(std::unique_ptr<Machine> machine);
  std::unique_ptr<Machine> machine;
};

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PREDICT_BLOCKCYCLES_H
