// SPDX-License-Identifier: Apache-2.0

#include "compiler/data/NpzArchive.h"

#include "llvm/Support/FormatVariadic.h"

#include <string>
#include <zip.h>

using namespace mlir::rt3;
using llvm::StringRef;

// Larger archives are refused.
static constexpr uint64_t kMaxArrayBytes = uint64_t(1) << 30;
static constexpr int64_t kMaxArrays = 10000;

bool mlir::rt3::isArchive(StringRef bytes) { return bytes.starts_with(StringRef("PK\x03\x04", 4)); }

llvm::Error mlir::rt3::forEachArray(StringRef bytes, llvm::function_ref<llvm::Error(StringRef, StringRef)> body) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  zip_t *archive = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error) : nullptr;
  if (!archive) {
    std::string why = zip_error_strerror(&error);
    zip_error_fini(&error);
    zip_source_free(source);
    return llvm::createStringError("no archive of NumPy: " + why);
  }
  std::string fault;
  int64_t count = zip_get_num_entries(archive, 0);
  if (count < 1)
    fault = "it has no arrays";
  if (count > kMaxArrays)
    fault = llvm::formatv("{0} arrays, at most {1} are read", count, kMaxArrays);
  for (int64_t i = 0; i < count && fault.empty(); ++i) {
    zip_stat_t entry;
    zip_file_t *file = zip_stat_index(archive, i, 0, &entry) == 0 ? zip_fopen_index(archive, i, 0) : nullptr;
    StringRef name = file ? StringRef(entry.name) : StringRef("(unnamed)");
    name.consume_back(".npy");
    std::string contents;
    if (!file)
      fault = llvm::formatv("array {0} cannot be read: {1}", i, zip_strerror(archive));
    else if (entry.size > kMaxArrayBytes)
      fault = llvm::formatv("array \"{0}\" has {1} bytes, at most 2^30 are read", name, entry.size);
    if (fault.empty()) {
      contents.resize(entry.size);
      char behind; // The checksum is compared at the end only.
      if (zip_fread(file, contents.data(), contents.size()) != int64_t(contents.size()) ||
          zip_fread(file, &behind, 1) != 0)
        fault = llvm::formatv("array \"{0}\" is damaged: {1}", name, zip_file_strerror(file));
    }
    if (file)
      zip_fclose(file);
    if (!fault.empty())
      break;
    if (llvm::Error wrong = body(name, contents))
      fault = llvm::toString(std::move(wrong));
  }
  zip_discard(archive);
  return fault.empty() ? llvm::Error::success() : llvm::createStringError(fault);
}
