// SPDX-License-Identifier: Apache-2.0

#include "compiler/bundle/BundleWriter.h"

#include <algorithm>
#include <cstring>

std::string mlir::rt3::writeBundle(const BundleContents &contents) {
  struct Part {
    rt3_section_kind_t kind;
    bool isRequired;
    std::string bytes;
  };
  const Part parts[] = {
      {RT3_SECTION_LEVELS, true,
       std::string(reinterpret_cast<const char *>(contents.levels.data()),
                   contents.levels.size() * sizeof(rt3_bundle_level_t))},
      {RT3_SECTION_WEIGHTS, true, contents.weights},
      {RT3_SECTION_REPORT, false, contents.report},
  };
  rt3_bundle_header_t header{};
  header.magic = RT3_BUNDLE_MAGIC;
  header.major = RT3_BUNDLE_MAJOR;
  header.minor = RT3_BUNDLE_MINOR;
  header.header_size = sizeof header;
  header.section_count = std::size(parts);
  header.level_count = contents.levels.size();
  std::copy(contents.modelId.begin(), contents.modelId.end(), header.model_id);

  std::string bytes(sizeof header + std::size(parts) * sizeof(rt3_bundle_section_t), '\0');
  for (size_t i = 0; i < std::size(parts); ++i) {
    bytes.resize((bytes.size() + RT3_BUNDLE_ALIGNMENT - 1) / RT3_BUNDLE_ALIGNMENT * RT3_BUNDLE_ALIGNMENT, '\0');
    rt3_bundle_section_t section{};
    section.kind = parts[i].kind;
    section.required = parts[i].isRequired;
    section.offset = bytes.size();
    section.length = parts[i].bytes.size();
    memcpy(bytes.data() + sizeof header + i * sizeof section, &section, sizeof section);
    bytes += parts[i].bytes;
  }
  header.file_size = bytes.size();
  header.content_hash = rt3_hash(bytes.data() + sizeof header, bytes.size() - sizeof header);
  memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}
