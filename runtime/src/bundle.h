// SPDX-License-Identifier: Apache-2.0
//
// A bundle that has been checked: where its parts are.

#ifndef RT3_RUNTIME_BUNDLE_H
#define RT3_RUNTIME_BUNDLE_H

#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

typedef struct rt3_bundle_t {
  const rt3_bundle_level_t *levels;
  const uint8_t *weights;
} rt3_bundle_t;

// Checks all of `data` for `program` and finds its sections; tells `release`, if it is not NULL.
RT3_API rt3_status_t rt3_bundle_open(const rt3_program_t *program, const void *data, size_t size,
                                     const rt3_release_t *release, rt3_bundle_t *out_bundle);

// rt3_hash, and tells `release`, if it is not NULL, what it has read.
uint64_t rt3_hash_and_release(const void *data, uint64_t length, const rt3_release_t *release);

// What `release` is told of at a time, in bytes.
#define RT3_RELEASE_SIZE ((uint64_t)1 << 20)

#endif // RT3_RUNTIME_BUNDLE_H
