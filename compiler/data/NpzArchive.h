// SPDX-License-Identifier: Apache-2.0
//
// NumPy's .npz: a ZIP archive of .npy files.

#ifndef RT3_COMPILER_DATA_NPZARCHIVE_H
#define RT3_COMPILER_DATA_NPZARCHIVE_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace mlir::rt3 {

// Whether a file begins as a ZIP archive does.
bool isArchive(llvm::StringRef bytes);

// Calls `body(name, npy)` for each array, by its name without ".npy", in the archive's order, until it fails.
// Errors: those of `body`; no archive, none or over 10,000 arrays, one that is damaged or larger than 2^30 bytes.
llvm::Error forEachArray(llvm::StringRef bytes,
                         llvm::function_ref<llvm::Error(llvm::StringRef name, llvm::StringRef npy)> body);

} // namespace mlir::rt3

#endif // RT3_COMPILER_DATA_NPZARCHIVE_H
