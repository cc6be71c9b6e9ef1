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

// Checks all of `data` for `program` and finds its sections.
RT3_API rt3_status_t rt3_bundle_open(const rt3_program_t *program, const void *data, size_t size,
                                     rt3_bundle_t *out_bundle);

#endif // RT3_RUNTIME_BUNDLE_H
