// SPDX-License-Identifier: Apache-2.0
//
// The files that compile writes: texts made from a result, and writing them all
// or none.

#ifndef RT3_COMPILER_VERBS_OUTPUTS_H
#define RT3_COMPILER_VERBS_OUTPUTS_H

#include "compiler/Compile.h"

#include "llvm/Support/JSON.h"

namespace mlir::rt3 {

// Names come from files: control bytes must reach neither terminals nor reports.
std::string printable(llvm::StringRef text);

std::string headerText(const CompileResult &result, const CompileOptions &options);
std::string cmakeConfigText(const std::string &name);
std::string pkgConfigText(const std::string &name);
std::string reportText(const CompileResult &result, const CompileOptions &options);
llvm::json::Value reportJson(const CompileResult &result, const CompileOptions &options);

struct OutputFile {
  std::string name, bytes;
};

// All that compile writes: libraries, header, bundle, build files, reports.
llvm::Expected<std::vector<OutputFile>> libraryFiles(const CompileResult &result, const CompileOptions &options);

// Writes all files into `folder`, which is made if need be: first every one
// under a temporary name, synced, then all are renamed. On an error nothing new
// is left; existing files stay.
llvm::Error writeFiles(const std::string &folder, const std::vector<OutputFile> &files);

// Whether files can be written into `folder`, or into the first one above it that exists: to be asked before what takes
// long, not after. Nothing is left.
llvm::Error checkWritable(const std::string &folder);

} // namespace mlir::rt3

#endif // RT3_COMPILER_VERBS_OUTPUTS_H
