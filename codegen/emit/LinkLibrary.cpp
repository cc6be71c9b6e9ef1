// SPDX-License-Identifier: Apache-2.0

#include "codegen/emit/LinkLibrary.h"

#include "lld/Common/Driver.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

using namespace mlir::rt3;
using llvm::createStringError;
using llvm::Expected;
using llvm::StringRef;

Expected<std::string> mlir::rt3::makeArchive(StringRef object, StringRef memberName) {
  std::vector<llvm::NewArchiveMember> members;
  members.emplace_back(llvm::MemoryBufferRef(object, memberName));
  auto archive = llvm::writeArchiveToBuffer(members, llvm::SymtabWritingMode::NormalSymtab,
                                            llvm::object::Archive::K_GNU, /*Deterministic=*/true,
                                            /*Thin=*/false);
  if (!archive)
    return archive.takeError();
  return (*archive)->getBuffer().str();
}

Expected<std::string> mlir::rt3::makeSharedLibrary(StringRef object, StringRef soName, StringRef folder,
                                                   const Device &device) {
  // lld reads and writes files only.
  llvm::SmallString<128> objectPath, libraryPath;
  int file;
  llvm::SmallString<128> model(folder);
  llvm::sys::path::append(model, ".rt3-%%%%%%%%.o");
  if (std::error_code error = llvm::sys::fs::createUniqueFile(model, file, objectPath))
    return createStringError(error, "cannot write in " + folder.str() + ": " + error.message());
  llvm::FileRemover removeObject(objectPath);
  {
    llvm::raw_fd_ostream stream(file, /*shouldClose=*/true);
    stream << object;
    stream.close();
    if (stream.has_error()) {
      std::error_code error = stream.error();
      stream.clear_error();
      return createStringError(error, "cannot write " + objectPath.str().str() + ": " + error.message());
    }
  }
  libraryPath = objectPath;
  llvm::sys::path::replace_extension(libraryPath, "so");
  llvm::FileRemover removeLibrary(libraryPath);
  bool isArm = StringRef(device.triple).starts_with("aarch64");
  std::string soNameText = soName.str();
  std::vector<const char *> arguments = {"ld.lld", "-shared", "-m", isArm ? "aarch64linux" : "elf_x86_64", "-soname",
                                         soNameText.c_str(), "-z", "defs",
                                         // Android 15 loads libraries on pages of 16 KiB.
                                         "-z", isArm ? "max-page-size=16384" : "max-page-size=4096", "--gc-sections",
                                         "--build-id=none", "-o", libraryPath.c_str(), objectPath.c_str()};
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  lld::Result result = lld::lldMain(arguments, stream, stream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0)
    return createStringError("linking " + soName.str() + " failed: " + messages);
  auto library = llvm::MemoryBuffer::getFile(libraryPath, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!library)
    return createStringError(library.getError(), "cannot read " + libraryPath.str().str());
  return (*library)->getBuffer().str();
}
