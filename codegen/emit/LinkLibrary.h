// SPDX-License-Identifier: Apache-2.0
//
// An object file -> a static and a shared library.

#ifndef RT3_CODEGEN_EMIT_LINKLIBRARY_H
#define RT3_CODEGEN_EMIT_LINKLIBRARY_H

#include "codegen/devices/Device.h"

namespace mlir::rt3 {

// The bytes of an archive that holds `object` alone.
llvm::Expected<std::string> makeArchive(llvm::StringRef object, llvm::StringRef memberName);

// The bytes of a shared library without dependencies. `folder` is where
// temporary files may be written; they are removed.
llvm::Expected<std::string> makeSharedLibrary(llvm::StringRef object, llvm::StringRef soName, llvm::StringRef folder,
                                              const Device &device);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_EMIT_LINKLIBRARY_H
