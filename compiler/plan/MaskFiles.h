// SPDX-License-Identifier: Apache-2.0
//
// Masks that other programs made: .npz and .smtx.

#ifndef RT3_COMPILER_PLAN_MASKFILES_H
#define RT3_COMPILER_PLAN_MASKFILES_H

#include "compiler/plan/Plan.h"

namespace mlir::rt3 {

// A matrix of weights as frameworks have it, [outputs][inputs], 1 where a weight is kept.
struct GivenMask {
  std::string name;
  int64_t outputs = 0, inputs = 0;
  std::vector<uint8_t> kept;
};

// Sparse matrices of Google's Deep Learning Matrix Collection: "rows, columns, count", the
// rows' offsets, the columns of what is kept. Errors name the line.
llvm::Expected<GivenMask> parseSmtx(llvm::StringRef name, llvm::StringRef text);

// The matrices of a NumPy archive: boolean, integer or float; what is not 0 is kept. Errors
// name the array.
llvm::Expected<std::vector<GivenMask>> parseNpz(llvm::StringRef bytes);

// All masks of an .npz file, of an .smtx file, or of the .smtx files below a folder, which
// are named by their paths in it.
llvm::Expected<std::vector<GivenMask>> readMasks(const std::string &path);

// A plan of `module`, fused and not pruned yet, in which each level keeps what its masks
// say, with the weights of the model; layers without a mask stay dense. A mask is a layer's
// whose name is the same but for characters that are neither letter nor digit.
//
// Errors, all at once: masks of no layer or of several, of another shape, two for a layer.
llvm::Expected<Plan> planOfMasks(ModuleOp module,
                                 llvm::ArrayRef<std::pair<std::string, std::vector<GivenMask>>> levels);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PLAN_MASKFILES_H
