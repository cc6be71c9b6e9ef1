// SPDX-License-Identifier: Apache-2.0
//
// XXH64, after the specification of Yann Collet (xxHash, doc/xxhash_spec.md).
// Chosen over XXH3 because it is forty lines without vector code.

#include "bundle.h"

#include <string.h>

static const uint64_t kPrime1 = 0x9E3779B185EBCA87u;
static const uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Fu;
static const uint64_t kPrime3 = 0x165667B19E3779F9u;
static const uint64_t kPrime4 = 0x85EBCA77C2B2AE63u;
static const uint64_t kPrime5 = 0x27D4EB2F165667C5u;

static uint64_t rotate(uint64_t value, int bits) {
  return value << bits | value >> (64 - bits);
}

static uint64_t read_u64(const uint8_t *bytes) {
  uint64_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

static uint64_t mix(uint64_t lane, uint64_t input) {
  return rotate(lane + input * kPrime2, 31) * kPrime1;
}

uint64_t rt3_hash(const void *data, uint64_t length) {
  return rt3_hash_and_release(data, length, NULL);
}

uint64_t rt3_hash_and_release(const void *data, uint64_t length,
                              const rt3_release_t *release) {
  const uint8_t *next = data, *end = next + length;
  uint64_t hash = kPrime5;
  if (length >= 32) {
    uint64_t lanes[4] = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
    const uint8_t *held = next;
    for (; end - next >= 32; next += 32) {
      for (int i = 0; i < 4; ++i)
        lanes[i] = mix(lanes[i], read_u64(next + 8 * i));
      if (release != NULL && (uint64_t)(next - held) >= RT3_RELEASE_SIZE) {
        release->release(release->context, held, (size_t)(next - held));
        held = next;
      }
    }
    if (release != NULL) // All but up to 31 bytes at the end.
      release->release(release->context, held, (size_t)(next - held));
    hash = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) +
           rotate(lanes[3], 18);
    for (int i = 0; i < 4; ++i)
      hash = (hash ^ mix(0, lanes[i])) * kPrime1 + kPrime4;
  }
  hash += length;
  for (; end - next >= 8; next += 8)
    hash = rotate(hash ^ mix(0, read_u64(next)), 27) * kPrime1 + kPrime4;
  if (end - next >= 4) {
    uint32_t value;
    memcpy(&value, next, sizeof value);
    hash = rotate(hash ^ value * kPrime1, 23) * kPrime2 + kPrime3;
    next += 4;
  }
  for (; next < end; ++next)
    hash = rotate(hash ^ *next * kPrime5, 11) * kPrime1;
  hash = (hash ^ hash >> 33) * kPrime2;
  hash = (hash ^ hash >> 29) * kPrime3;
  return hash ^ hash >> 32;
}
