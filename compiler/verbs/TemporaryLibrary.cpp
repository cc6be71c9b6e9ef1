// SPDX-License-Identifier: Apache-2.0

#include "compiler/verbs/TemporaryLibrary.h"

#include "compiler/verbs/Outputs.h"

#include "llvm/Support/FileSystem.h"

using namespace mlir::rt3;

llvm::Expected<std::unique_ptr<TemporaryLibrary>> TemporaryLibrary::load(const CompileResult &result,
                                                                         const CompileOptions &options) {
  auto files = libraryFiles(result, options);
  if (!files)
    return files.takeError();
  auto library = std::make_unique<TemporaryLibrary>();
  if (std::error_code code = llvm::sys::fs::createUniqueDirectory("rt3", library->path))
    return llvm::createStringError(code, "no temporary folder can be made: " + code.message());
  if (llvm::Error error = writeFiles(library->path.str().str(), *files))
    return std::move(error);
  auto loaded = LoadedModel::load(library->path.str().str());
  if (!loaded)
    return loaded.takeError();
  library->loaded = std::move(*loaded);
  return library;
}

TemporaryLibrary::~TemporaryLibrary() {
  if (!path.empty())
    llvm::sys::fs::remove_directories(path);
}
