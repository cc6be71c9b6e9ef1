// SPDX-License-Identifier: Apache-2.0

#include "compiler/verbs/LoadedModel.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <chrono>
#include <cstring>
#include <dlfcn.h>
#include <optional>

using namespace mlir::rt3;
using llvm::createStringError;

AlignedMemory mlir::rt3::allocateAligned(size_t size) {
  size_t rounded = (size + RT3_MEMORY_ALIGNMENT - 1) / RT3_MEMORY_ALIGNMENT * RT3_MEMORY_ALIGNMENT;
  return AlignedMemory(
      static_cast<char *>(aligned_alloc(RT3_MEMORY_ALIGNMENT, std::max<size_t>(rounded, RT3_MEMORY_ALIGNMENT))));
}

size_t mlir::rt3::elementSize(uint32_t elementType) {
  return elementType == RT3_INT64 ? 8 : elementType == RT3_BOOL ? 1 : 4;
}

size_t mlir::rt3::tensorSize(const rt3_tensor_t &tensor, int64_t length) {
  size_t size = elementSize(tensor.element_type);
  for (uint32_t i = 0; i < tensor.rank; ++i)
    size *= tensor.dims[i] < 0 ? length : tensor.dims[i];
  return size;
}

// The bytes of a bundle's section; nothing if there is none.
static std::optional<llvm::StringRef> findSection(llvm::StringRef bundle, rt3_section_kind_t kind) {
  rt3_bundle_header_t header;
  memcpy(&header, bundle.data(), sizeof header);
  for (uint32_t i = 0; i < header.section_count && i < RT3_BUNDLE_MAX_SECTION_COUNT; ++i) {
    rt3_bundle_section_t section;
    size_t at = sizeof header + i * sizeof section;
    if (at + sizeof section > bundle.size())
      break;
    memcpy(&section, bundle.data() + at, sizeof section);
    if (section.kind == kind && section.offset <= bundle.size() && section.length <= bundle.size() - section.offset)
      return bundle.substr(section.offset, section.length);
  }
  return std::nullopt;
}

llvm::Expected<std::vector<rt3_bundle_level_t>> mlir::rt3::readLevels(llvm::StringRef bundle) {
  rt3_bundle_header_t header;
  if (bundle.size() < sizeof header)
    return createStringError("it has " + llvm::Twine(bundle.size()) + " bytes, a bundle has at least 128");
  memcpy(&header, bundle.data(), sizeof header);
  if (header.magic != RT3_BUNDLE_MAGIC || header.major != RT3_BUNDLE_MAJOR)
    return createStringError("it does not begin as an RT3 bundle of format 1");
  auto section = findSection(bundle, RT3_SECTION_LEVELS);
  if (!section)
    return createStringError("it has no levels");
  std::vector<rt3_bundle_level_t> levels(section->size() / sizeof(rt3_bundle_level_t));
  memcpy(levels.data(), section->data(), levels.size() * sizeof(rt3_bundle_level_t));
  for (rt3_bundle_level_t &level : levels)
    level.name[sizeof level.name - 1] = 0;
  return levels;
}

llvm::StringRef LoadedModel::report() const {
  return findSection({bundle.get(), bundleBytes}, RT3_SECTION_REPORT).value_or("");
}

// The one name with which the folder has <name>.rt3 and lib<name>.so.
static llvm::Expected<std::string> findName(const std::string &folder) {
  std::vector<std::string> names;
  std::error_code code;
  for (llvm::sys::fs::directory_iterator entry(folder, code), end; entry != end && !code; entry.increment(code))
    if (llvm::sys::path::extension(entry->path()) == ".rt3")
      names.push_back(llvm::sys::path::stem(entry->path()).str());
  if (code)
    return createStringError(code, folder + ": cannot be read: " + code.message());
  if (names.empty())
    return createStringError(folder + ": has no bundle (.rt3); compile a model into it");
  if (names.size() != 1)
    return createStringError(folder + ": has " + llvm::Twine(names.size()) +
                             " bundles, expected one; compile into a folder of its own");
  return names[0];
}

// A file that lacks bytes which would be mapped: touching them is a signal, not an error.
static llvm::Error checkWhole(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return createStringError(path + ": cannot be read: " + buffer.getError().message() + "; compile the model again");
  llvm::StringRef bytes = (*buffer)->getBuffer();
  auto file = llvm::object::ELFFile<llvm::object::ELF64LE>::create(bytes);
  auto headers = file ? file->program_headers() : file.takeError();
  if (!headers)
    return createStringError(path + ": is no whole library (" + llvm::toString(headers.takeError()) +
                             "); compile the model again");
  uint64_t needed = 0;
  for (const auto &header : *headers)
    needed = std::max<uint64_t>(needed, llvm::SaturatingAdd<uint64_t>(header.p_offset, header.p_filesz));
  if (needed > bytes.size())
    return createStringError(path + ": has " + llvm::Twine(bytes.size()) + " bytes, its segments " +
                             llvm::Twine(needed) + ": it is cut off; compile the model again");
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<LoadedModel>> LoadedModel::load(const std::string &folder) {
  auto name = findName(folder);
  if (!name)
    return name.takeError();
  auto begin = std::chrono::steady_clock::now();
  auto loaded = std::make_unique<LoadedModel>();
  loaded->modelName = *name;
  std::string path = folder + "/lib" + *name + ".so";
  if (!llvm::StringRef(path).starts_with("/"))
    path = "./" + path;
  if (llvm::Error error = checkWhole(path))
    return std::move(error);
  loaded->library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!loaded->library)
    return createStringError(path + ": cannot be loaded here: compiled for another machine (" + *name +
                             ".report.txt says for which), or damaged");
  std::string symbol = "rt3_" + *name + "_program";
  loaded->code = static_cast<const rt3_program_t *>(dlsym(loaded->library, symbol.c_str()));
  if (!loaded->code)
    return createStringError(path + ": has no " + symbol + "; compile the model again");
  std::string bundlePath = folder + "/" + *name + ".rt3";
  rt3_status_t status = rt3_file_read(bundlePath.c_str(), nullptr, 0, &loaded->bundleBytes);
  if (status == RT3_OK) {
    loaded->bundle = allocateAligned(loaded->bundleBytes);
    status = rt3_file_read(bundlePath.c_str(), loaded->bundle.get(), loaded->bundleBytes, &loaded->bundleBytes);
  }
  if (status == RT3_OK) {
    loaded->memory = allocateAligned(rt3_model_memory_size());
    status = rt3_model_init(loaded->code, loaded->bundle.get(), loaded->bundleBytes, loaded->memory.get(),
                            rt3_model_memory_size(), &loaded->handle);
  }
  if (status != RT3_OK)
    return createStringError(bundlePath + ": " + rt3_status_string(status));
  auto levels = readLevels({loaded->bundle.get(), loaded->bundleBytes});
  if (!levels)
    return levels.takeError();
  loaded->levelTable = *levels;
  loaded->workspace = allocateAligned(loaded->code->workspace_size);
  if (size_t size = rt3_model_state_size(loaded->handle)) {
    loaded->stateMemory = allocateAligned(size);
    if (rt3_state_init(loaded->handle, loaded->stateMemory.get(), size, &loaded->state) != RT3_OK)
      return createStringError(bundlePath + ": its state cannot be prepared");
  }
  loaded->loadTime = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  return loaded;
}

llvm::Error LoadedModel::setThreads(uint32_t count) {
  rt3_pool_finish(pool);
  pool = nullptr;
  if (count == 1)
    return llvm::Error::success();
  poolMemory = allocateAligned(rt3_pool_memory_size());
  rt3_status_t status = rt3_pool_init(count, poolMemory.get(), rt3_pool_memory_size(), &pool);
  if (status != RT3_OK)
    return createStringError(llvm::Twine(count) + " threads: " + rt3_status_string(status));
  parallel = rt3_pool_parallel(pool);
  return llvm::Error::success();
}

LoadedModel::~LoadedModel() {
  rt3_pool_finish(pool);
  if (library)
    dlclose(library);
}

llvm::Expected<uint32_t> LoadedModel::findLevel(const std::string &text) const {
  std::string names;
  for (uint32_t i = 0; i < levelTable.size(); ++i) {
    if (text == levelTable[i].name || text == std::to_string(i))
      return i;
    names += (i ? ", " : "") + std::string(levelTable[i].name);
  }
  return createStringError("no level \"" + text + "\"; the model has " + names);
}

llvm::Error LoadedModel::run(const std::vector<const void *> &inputs, const std::vector<void *> &outputs,
                             int64_t length, int64_t position) {
  rt3_run_t run{inputs.data(),
                outputs.data(),
                length,
                workspace.get(),
                size_t(code->workspace_size),
                state,
                pool ? &parallel : nullptr};
  if (state && rt3_state_rewind(state, position) != RT3_OK)
    return createStringError("the text has fewer than " + llvm::Twine(position) + " tokens");
  rt3_status_t status = rt3_model_run(handle, &run);
  if (status != RT3_OK)
    return createStringError(rt3_status_string(status));
  return llvm::Error::success();
}
