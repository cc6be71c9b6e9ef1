// SPDX-License-Identifier: Apache-2.0
//
// What compiler and runtime agree on: the layout of a bundle (.rt3 file) and of
// a compiled program. Users need only rt3.h.
//
// A bundle is data, little-endian, aligned to 64 bytes:
//
//   0    rt3_bundle_header_t                      128 bytes
//   128  rt3_bundle_section_t [section_count]     32 bytes each
//   ...  sections, rising, disjoint, each at a multiple of 64;
//        all bytes between them are 0
//
// Changing it: a reader refuses any other major; a new minor may add sections
// whose `required` is 0, which old readers skip. Sizes are pinned below.

#ifndef RT3_RT3_BUNDLE_H
#define RT3_RT3_BUNDLE_H

#include "rt3/rt3.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define RT3_STATIC_ASSERT static_assert
#else
#define RT3_STATIC_ASSERT _Static_assert
#endif

#define RT3_BUNDLE_MAGIC 0x42335452u // "RT3B"
#define RT3_BUNDLE_MAJOR 1
#define RT3_BUNDLE_MINOR 0
#define RT3_BUNDLE_ALIGNMENT 64
#define RT3_BUNDLE_MAX_SECTION_COUNT 1024
#define RT3_MAX_LEVEL_COUNT 64
#define RT3_MAX_RANK 8

typedef struct rt3_bundle_header_t {
  uint32_t magic;         // RT3_BUNDLE_MAGIC.
  uint16_t major;         // RT3_BUNDLE_MAJOR.
  uint16_t minor;         // Any.
  uint32_t header_size;   // sizeof(rt3_bundle_header_t).
  uint32_t section_count; // 1 to RT3_BUNDLE_MAX_SECTION_COUNT.
  uint64_t file_size;     // Bytes, whole file.
  uint64_t content_hash;  // XXH64, seed 0, of all bytes behind the header.
  uint8_t model_id[16];   // Equal to that of the program.
  uint32_t level_count;   // Equal to that of the program.
  uint32_t reserved[19];  // 0.
} rt3_bundle_header_t;
RT3_STATIC_ASSERT(sizeof(rt3_bundle_header_t) == 128, "part of the format");

typedef enum rt3_section_kind_t {
  RT3_SECTION_LEVELS = 1,  // rt3_bundle_level_t [level_count]
  RT3_SECTION_WEIGHTS = 2, // constants and packed weights; offsets in the code
  RT3_SECTION_REPORT = 3,  // JSON for people and tools; the runtime skips it
} rt3_section_kind_t;

typedef struct rt3_bundle_section_t {
  uint32_t kind;     // rt3_section_kind_t.
  uint32_t required; // 1: a reader that does not know the kind refuses. Else 0.
  uint64_t offset;   // Bytes from the start, a multiple of 64.
  uint64_t length;   // Bytes.
  uint64_t reserved; // 0.
} rt3_bundle_section_t;
RT3_STATIC_ASSERT(sizeof(rt3_bundle_section_t) == 32, "part of the format");

// One operating point. Zero means unknown, but for the density.
typedef struct rt3_bundle_level_t {
  char name[32];          // Ends with a zero byte.
  uint32_t frequency_khz; // Clock.
  uint32_t voltage_uv;
  uint32_t power_mw;
  uint32_t density_ppm; // Kept linear weights, of a million.
  uint32_t reserved[4]; // 0.
} rt3_bundle_level_t;
RT3_STATIC_ASSERT(sizeof(rt3_bundle_level_t) == 64, "part of the format");

//===-- The compiled program ----------------------------------------------===//
//
// Constants in the generated library, trusted. Never in a file.

typedef enum rt3_element_type_t {
  RT3_FLOAT32 = 1,
  RT3_INT32 = 6,
  RT3_INT64 = 7,
  RT3_BOOL = 9,       // One byte, 0 or 1.
} rt3_element_type_t; // The numbers are those of ONNX.

typedef struct rt3_tensor_t {
  const char *name;
  uint32_t element_type; // rt3_element_type_t.
  uint32_t rank;
  int64_t dims[RT3_MAX_RANK]; // -1 for the free dimension.
} rt3_tensor_t;

// A sparse stream inside the weight section: what must hold for its indices.
//
// Segments follow each other, `range_count` x `group_count` of them; each is
//   count u16[pattern_count] | index u16[entries x sum of counts]
//   | zero to the next multiple of 4 | values, pattern_values[p] per block
typedef struct rt3_stream_t {
  uint64_t offset; // Bytes from the start of the section.
  uint64_t length; // Bytes, all segments.
  uint32_t range_count;
  uint32_t group_count;
  uint32_t pattern_count;
  uint32_t entries;              // Indices per block.
  uint32_t value_size;           // Bytes.
  uint32_t unroll;               // Counts are multiples of this; at least 1.
  uint32_t index_limit;          // Indices are at most this in all ranges ...
  uint32_t last_index_limit;     // ... but the last, where this is the limit.
  const uint8_t *pattern_values; // [pattern_count]
  // Threads begin at group part_groups[p] of each range, at byte part_offsets[r][p]
  // of the stream.
  uint32_t part_count;
  const uint32_t *part_groups;  // [part_count]
  const uint64_t *part_offsets; // [range_count][part_count]
} rt3_stream_t;

// What one run gets; all has been checked.
typedef struct rt3_call_t {
  const void *const *inputs;
  void *const *outputs;
  const void *weights; // The weight section.
  void *workspace;
  void *state;      // Of `state_size` bytes, behind the head of rt3_state_t.
  int64_t length;   // The free dimension.
  int64_t position; // Tokens that the state holds.
  const rt3_parallel_t *parallel;
} rt3_call_t;

// Computes one level.
typedef void (*rt3_level_function_t)(const rt3_call_t *call);

struct rt3_program_t {
  uint32_t struct_size;       // sizeof(struct rt3_program_t).
  uint32_t required_features; // rt3_cpu_feature_t.
  uint8_t model_id[16];
  uint64_t weights_size;   // Bytes of the weight section, at least.
  uint64_t workspace_size; // Bytes, the largest of all levels.
  uint64_t state_size;     // Bytes that runs of one text share; 0: none.
  int64_t max_length;      // Of the free dimension; 1 if there is none.
  int64_t context_length;  // Tokens that a state holds; 0 if there is none.
  uint32_t level_count;
  uint32_t input_count;
  uint32_t output_count;
  uint32_t stream_count;
  uint32_t stream_struct_size; // sizeof(rt3_stream_t).
  const rt3_tensor_t *inputs;
  const rt3_tensor_t *outputs;
  const rt3_stream_t *streams;
  const rt3_level_function_t *levels; // [level_count]
};

// XXH64 with seed 0: finds accidents, not forgeries.
uint64_t rt3_hash(const void *data, uint64_t length);

#ifdef __cplusplus
}
#endif

#endif // RT3_RT3_BUNDLE_H
