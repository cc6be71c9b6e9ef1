// SPDX-License-Identifier: Apache-2.0
//
// Checks a bundle once, in place. All arithmetic on offsets of a file is here.

#include "bundle.h"

#include <string.h>

// Written so that no sum can wrap: offset and length come from the file.
static int fits(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

static int is_zero(const uint8_t *bytes, uint64_t count) {
  uint8_t any = 0;
  for (uint64_t i = 0; i < count; ++i)
    any |= bytes[i];
  return any == 0;
}

static uint16_t read_u16(const uint8_t *bytes) {
  return (uint16_t)(bytes[0] | bytes[1] << 8);
}

// Walks the segments of a stream as the kernels will, and reads each index.
static int stream_is_sound(const rt3_stream_t *stream, const uint8_t *weights,
                           uint64_t weights_size,
                           const rt3_release_t *release) {
  if (!fits(stream->offset, stream->length, weights_size))
    return 0;
  const uint8_t *next = weights + stream->offset, *held = next;
  uint64_t left = stream->length;
  for (uint32_t range = 0; range < stream->range_count; ++range) {
    uint32_t limit = range + 1 == stream->range_count ? stream->last_index_limit
                                                      : stream->index_limit;
    uint32_t part = 0;
    for (uint32_t group = 0; group < stream->group_count; ++group) {
      // Where the code will look for it.
      if (part < stream->part_count && group == stream->part_groups[part] &&
          (uint64_t)(next - weights) - stream->offset !=
              stream->part_offsets[(uint64_t)range * stream->part_count +
                                   part++])
        return 0;
      uint64_t counts_size = 2 * (uint64_t)stream->pattern_count;
      if (left < counts_size)
        return 0;
      // At most 256 counts of 16 bits: the sums stay far below 2^64.
      uint64_t block_count = 0, value_count = 0;
      for (uint32_t pattern = 0; pattern < stream->pattern_count; ++pattern) {
        uint64_t count = read_u16(next + 2 * pattern);
        if (count % stream->unroll != 0)
          return 0;
        block_count += count;
        value_count += count * stream->pattern_values[pattern];
      }
      uint64_t index_count = block_count * stream->entries;
      uint64_t header_size = (counts_size + 2 * index_count + 3) / 4 * 4;
      uint64_t segment_size = header_size + stream->value_size * value_count;
      if (left < segment_size)
        return 0;
      for (uint64_t i = 0; i < index_count; ++i)
        if (read_u16(next + counts_size + 2 * i) > limit)
          return 0;
      next += segment_size;
      left -= segment_size;
      if (release != NULL &&
          (left == 0 || (uint64_t)(next - held) >= RT3_RELEASE_SIZE)) {
        release->release(release->context, held, (size_t)(next - held));
        held = next;
      }
    }
  }
  return left == 0;
}

// The sections: known kinds are told, gaps are zero, nothing overlaps.
static rt3_status_t find_sections(const rt3_bundle_header_t *header,
                                  const uint8_t *bytes,
                                  rt3_bundle_section_t *out_levels,
                                  rt3_bundle_section_t *out_weights) {
  uint64_t end = sizeof *header +
                 (uint64_t)header->section_count * sizeof(rt3_bundle_section_t);
  if (end > header->file_size)
    return RT3_CORRUPT_BUNDLE;
  for (uint32_t i = 0; i < header->section_count; ++i) {
    rt3_bundle_section_t section;
    memcpy(&section, bytes + sizeof *header + i * sizeof section,
           sizeof section);
    if (section.offset < end || section.offset % RT3_BUNDLE_ALIGNMENT != 0 ||
        !fits(section.offset, section.length, header->file_size) ||
        section.reserved != 0 || section.required > 1 ||
        !is_zero(bytes + end, section.offset - end))
      return RT3_CORRUPT_BUNDLE;
    end = section.offset + section.length;
    rt3_bundle_section_t *out = section.kind == RT3_SECTION_LEVELS ? out_levels
                                : section.kind == RT3_SECTION_WEIGHTS
                                    ? out_weights
                                    : NULL;
    if (out != NULL) {
      if (out->kind != 0)
        return RT3_CORRUPT_BUNDLE;
      *out = section;
    } else if (section.required && section.kind != RT3_SECTION_REPORT) {
      return RT3_UNSUPPORTED_VERSION;
    }
  }
  if (!is_zero(bytes + end, header->file_size - end) || out_levels->kind == 0 ||
      out_weights->kind == 0)
    return RT3_CORRUPT_BUNDLE;
  return RT3_OK;
}

static int levels_are_sound(const rt3_bundle_level_t *levels, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i)
    if (levels[i].name[sizeof levels[i].name - 1] != 0 ||
        levels[i].density_ppm > 1000000 ||
        !is_zero((const uint8_t *)levels[i].reserved,
                 sizeof levels[i].reserved))
      return 0;
  return 1;
}

rt3_status_t rt3_bundle_open(const rt3_program_t *program, const void *data,
                             size_t size, const rt3_release_t *release,
                             rt3_bundle_t *out_bundle) {
  if (program == NULL || data == NULL || out_bundle == NULL ||
      program->struct_size != sizeof *program ||
      program->stream_struct_size != sizeof(rt3_stream_t))
    return RT3_INVALID_ARGUMENT;
  if ((uintptr_t)data % RT3_MEMORY_ALIGNMENT != 0)
    return RT3_MISALIGNED;
  const uint8_t *bytes = data;
  rt3_bundle_header_t header;
  if (size < sizeof header)
    return RT3_CORRUPT_BUNDLE;
  memcpy(&header, bytes, sizeof header);
  if (header.magic != RT3_BUNDLE_MAGIC)
    return RT3_CORRUPT_BUNDLE;
  if (header.major != RT3_BUNDLE_MAJOR)
    return RT3_UNSUPPORTED_VERSION;
  if (header.header_size != sizeof header || header.file_size != size ||
      header.section_count == 0 ||
      header.section_count > RT3_BUNDLE_MAX_SECTION_COUNT ||
      !is_zero((const uint8_t *)header.reserved, sizeof header.reserved))
    return RT3_CORRUPT_BUNDLE;
  if (header.content_hash != rt3_hash_and_release(bytes + sizeof header,
                                                  size - sizeof header,
                                                  release))
    return RT3_CORRUPT_BUNDLE;
  if (memcmp(header.model_id, program->model_id, sizeof header.model_id) != 0 ||
      header.level_count != program->level_count)
    return RT3_WRONG_MODEL;

  rt3_bundle_section_t levels = {0}, weights = {0};
  rt3_status_t status = find_sections(&header, bytes, &levels, &weights);
  if (status != RT3_OK)
    return status;
  if (levels.length != header.level_count * sizeof(rt3_bundle_level_t) ||
      weights.length < program->weights_size)
    return RT3_CORRUPT_BUNDLE;
  const rt3_bundle_level_t *level_table =
      (const rt3_bundle_level_t *)(const void *)(bytes + levels.offset);
  if (!levels_are_sound(level_table, header.level_count))
    return RT3_CORRUPT_BUNDLE;
  for (uint32_t i = 0; i < program->stream_count; ++i)
    if (!stream_is_sound(&program->streams[i], bytes + weights.offset,
                         weights.length, release))
      return RT3_CORRUPT_BUNDLE;
  // What systems map around what is read, too.
  if (release != NULL)
    release->release(release->context, bytes, size);
  out_bundle->levels = level_table;
  out_bundle->weights = bytes + weights.offset;
  return RT3_OK;
}

rt3_status_t rt3_bundle_check(const rt3_program_t *program, const void *bundle,
                              size_t bundle_size) {
  rt3_bundle_t ignored;
  return rt3_bundle_open(program, bundle, bundle_size, NULL, &ignored);
}
