// SPDX-License-Identifier: Apache-2.0

#include "rt3/rt3_bundle.h"

#include <gtest/gtest.h>
#include <string>
#if __has_include(<xxhash.h>)
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

// Values of the reference implementation (xxhsum -H64).
TEST(HashTest, MatchesPublishedValues) {
  EXPECT_EQ(rt3_hash("", 0), 0xEF46DB3751D8E999u);
  EXPECT_EQ(rt3_hash("a", 1), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(rt3_hash("abc", 3), 0x44BC2CF5AD770999u);
}

#ifdef XXH_INLINE_ALL
TEST(HashTest, MatchesXxhashAtEveryLength) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(rt3_hash(bytes.data(), bytes.size()), XXH64(bytes.data(), bytes.size(), 0)) << "length " << i;
    bytes += char(i * 37 + 11);
  }
}
#endif
