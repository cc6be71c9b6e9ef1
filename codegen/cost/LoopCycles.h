// SPDX-License-Identifier: Apache-2.0
//
// What the loops of linear layers take on a device: the kernel's loop is built, becomes machine
// code, and LLVM's scheduling model of the core that the device is tuned for says the rest.

#ifndef RT3_CODEGEN_COST_LOOPCYCLES_H
#define RT3_CODEGEN_COST_LOOPCYCLES_H

#include "codegen/devices/Device.h"
#include "codegen/packing/PackWeights.h"

#include <memory>
#include <optional>

namespace mlir::rt3 {

// Of a block of a pattern, or an input of a dense loop, with all vectors of a panel.
struct LoopCost {
  double cycles = 0;         // Caches perfect, the loop long.
  int64_t stackAccesses = 0; // Of a trip, and of one of the rest: what found no register.
};

class LoopCycles {
public:
  // Of a device; one per process, because equal loops are asked for by many layers.
  static LoopCycles &of(const Device &device);
  ~LoopCycles();

  // The loops of each of `patterns`, pass after pass ([pattern][pass]; 0 cycles where a pass keeps nothing); of none,
  // the dense loop of `shape`. Errors: what LLVM says of code that it has no model for.
  llvm::Expected<std::vector<LoopCost>> find(const StreamShape &shape, const std::vector<int64_t> &patterns,
                                             std::optional<kernel::Dot> dot);

private:
  explicit LoopCycles(const Device &device);
  struct State;
  std::unique_ptr<State> state;
};

} // namespace mlir::rt3

#endif // RT3_CODEGEN_COST_LOOPCYCLES_H
