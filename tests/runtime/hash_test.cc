// SPDX-License-Identifier: Apache-2.0

extern "C" {
#include "bundle.h"
}

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

// What is told lies one part behind the other, none much over a megabyte.
TEST(HashTest, TellsWhatItHasRead) {
  std::string bytes(3500013, 'x');
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = char(i * 31 + i / 977);
  struct Heard {
    const char *next;
    size_t parts;
  } heard{bytes.data(), 0};
  rt3_release_t release = {[](void *context, const void *data, size_t size) {
                             auto *own = static_cast<Heard *>(context);
                             EXPECT_EQ(data, own->next);
                             EXPECT_LE(size, RT3_RELEASE_SIZE + 32);
                             own->next += size;
                             ++own->parts;
                           },
                           &heard};
  EXPECT_EQ(rt3_hash_and_release(bytes.data(), bytes.size(), &release), rt3_hash(bytes.data(), bytes.size()));
  EXPECT_EQ(heard.parts, 4u);
  EXPECT_GT(heard.next + 32, bytes.data() + bytes.size());
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
