// SPDX-License-Identifier: Apache-2.0

#include "tests/runtime/small_program.h"

#include <gtest/gtest.h>

namespace {

rt3_status_t check(const std::string &bundle) {
  Memory copy = alignedCopy(bundle);
  return rt3_bundle_check(&kSmallProgram, copy.get(), bundle.size());
}

// Runs a bundle at both levels if it is accepted: accepted must mean harmless.
rt3_status_t checkAndRun(const std::string &bundle) {
  Memory copy = alignedCopy(bundle), memory = alignedCopy(std::string(rt3_model_memory_size(), 0)),
         workspace = alignedCopy(std::string(64, 0));
  rt3_model_t *model;
  rt3_status_t status =
      rt3_model_init(&kSmallProgram, copy.get(), bundle.size(), memory.get(), rt3_model_memory_size(), &model);
  float input[8] = {}, output[8];
  const void *inputs[] = {input};
  void *outputs[] = {output};
  rt3_run_t run = {inputs, outputs, 8, workspace.get(), 64, nullptr, nullptr};
  for (uint32_t level = 0; status == RT3_OK && level < 2; ++level) {
    EXPECT_EQ(rt3_model_set_level(model, level), RT3_OK);
    EXPECT_EQ(rt3_model_run(model, &run), RT3_OK);
  }
  return status;
}

TEST(BundleTest, AcceptsWhatTheWriterWrites) { EXPECT_EQ(checkAndRun(smallBundle()), RT3_OK); }

TEST(BundleTest, RefusesEveryTruncation) {
  std::string bundle = smallBundle();
  for (size_t size = 0; size < bundle.size(); ++size)
    EXPECT_EQ(check(bundle.substr(0, size)), RT3_CORRUPT_BUNDLE) << "cut at byte " << size;
  EXPECT_EQ(check(bundle + '\0'), RT3_CORRUPT_BUNDLE);
}

// A header's minor version is the only bit that may change.
TEST(BundleTest, RefusesEveryFlippedBit) {
  std::string bundle = smallBundle();
  for (size_t bit = 0; bit < 8 * bundle.size(); ++bit) {
    std::string flipped = bundle;
    flipped[bit / 8] ^= 1 << bit % 8;
    bool isMinor = bit / 8 == 6 || bit / 8 == 7;
    EXPECT_EQ(check(flipped) == RT3_OK, isMinor) << "bit " << bit % 8 << " of byte " << bit / 8;
  }
}

// With the hash made right, damage is refused or does no harm.
TEST(BundleTest, SurvivesEveryFlippedBitWithARepairedHash) {
  std::string bundle = smallBundle();
  int accepted = 0;
  for (size_t bit = 0; bit < 8 * bundle.size(); ++bit) {
    std::string flipped = bundle;
    flipped[bit / 8] ^= 1 << bit % 8;
    repairHash(flipped);
    accepted += checkAndRun(flipped) == RT3_OK;
  }
  EXPECT_GT(accepted, 0) << "weights may be anything";
}

// Every integer field at the edges of its range.
TEST(BundleTest, SurvivesEdgeValuesInEveryField) {
  std::string bundle = smallBundle();
  const uint64_t edges[] = {0,
                            1,
                            2,
                            63,
                            64,
                            65,
                            127,
                            128,
                            1023,
                            1024,
                            1025,
                            65535,
                            65536,
                            0x7fffffff,
                            0x80000000,
                            0xffffffff,
                            0x7fffffffffffffff,
                            0x8000000000000000,
                            0xffffffffffffffc0,
                            0xffffffffffffffff};
  size_t tableEnd = 128 + 3 * sizeof(rt3_bundle_section_t);
  for (size_t at = 0; at + 8 <= tableEnd; at += 2)
    for (uint64_t edge : edges)
      for (size_t width : {2, 4, 8}) {
        std::string changed = bundle;
        memcpy(changed.data() + at, &edge, width);
        checkAndRun(changed);
        repairHash(changed);
        checkAndRun(changed);
      }
}

TEST(BundleTest, RefusesAnIndexOutsideItsRange) {
  std::string bundle = smallBundle();
  size_t stream = bundle.find(std::string(64, '\7')) + 64;
  for (auto [at, limit] : {std::pair<size_t, uint16_t>(4, 9), std::pair<size_t, uint16_t>(28 + 4, 3)}) {
    for (uint16_t index : {limit, uint16_t(limit + 1), uint16_t(65535)}) {
      std::string changed = bundle;
      memcpy(changed.data() + stream + at, &index, 2);
      repairHash(changed);
      EXPECT_EQ(check(changed), index > limit ? RT3_CORRUPT_BUNDLE : RT3_OK) << "index " << index << " at " << at;
    }
  }
}

TEST(BundleTest, RefusesCountsThatDoNotFillTheStream) {
  std::string bundle = smallBundle();
  size_t stream = bundle.find(std::string(64, '\7')) + 64;
  for (uint16_t count : {0, 2, 3, 65535}) {
    std::string changed = bundle;
    memcpy(changed.data() + stream, &count, 2);
    repairHash(changed);
    EXPECT_EQ(check(changed), RT3_CORRUPT_BUNDLE) << count << " blocks";
  }
}

// Loops that multiply two blocks a trip would read one more than there is.
TEST(BundleTest, RefusesCountsThatAreNoMultiples) {
  rt3_stream_t stream = kSmallProgram.streams[0];
  rt3_program_t program = kSmallProgram;
  program.streams = &stream;
  std::string bundle = smallBundle();
  Memory copy = alignedCopy(bundle);
  for (uint32_t unroll : {1, 2}) {
    stream.unroll = unroll;
    EXPECT_EQ(rt3_bundle_check(&program, copy.get(), bundle.size()), unroll == 1 ? RT3_OK : RT3_CORRUPT_BUNDLE);
  }
}

TEST(BundleTest, RefusesAProgramOfAnotherStreamLayout) {
  rt3_program_t program = kSmallProgram;
  program.stream_struct_size -= 8;
  std::string bundle = smallBundle();
  Memory copy = alignedCopy(bundle);
  EXPECT_EQ(rt3_bundle_check(&program, copy.get(), bundle.size()), RT3_INVALID_ARGUMENT);
}

TEST(BundleTest, RefusesAnotherModelOrVersion) {
  std::string bundle = smallBundle(), changed = bundle;
  changed[offsetof(rt3_bundle_header_t, model_id)] ^= 1;
  EXPECT_EQ(check(changed), RT3_WRONG_MODEL);
  changed = bundle;
  changed[offsetof(rt3_bundle_header_t, major)] = 2;
  EXPECT_EQ(check(changed), RT3_UNSUPPORTED_VERSION);
  changed = bundle;
  changed[offsetof(rt3_bundle_header_t, level_count)] = 3;
  EXPECT_EQ(check(changed), RT3_WRONG_MODEL);
}

// Sections that an older reader does not know: skipped if they may be.
TEST(BundleTest, SkipsUnknownSectionsThatAreNotRequired) {
  std::string bundle = smallBundle();
  size_t kind = 128 + 2 * sizeof(rt3_bundle_section_t);
  for (uint32_t required : {0, 1}) {
    uint32_t fields[] = {77, required};
    memcpy(bundle.data() + kind, fields, 8);
    repairHash(bundle);
    EXPECT_EQ(check(bundle), required ? RT3_UNSUPPORTED_VERSION : RT3_OK);
  }
}

TEST(BundleTest, RefusesMisalignedMemory) {
  std::string bundle = smallBundle();
  Memory copy = alignedCopy(std::string(8, 0) + bundle);
  EXPECT_EQ(rt3_bundle_check(&kSmallProgram, copy.get() + 8, bundle.size()), RT3_MISALIGNED);
}

} // namespace
