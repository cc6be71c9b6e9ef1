// SPDX-License-Identifier: Apache-2.0
//
// The policy: what it wants of each source, and that no reading makes levels swing.

#include "rt3/rt3_policy.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace {

constexpr uint32_t kClocks[] = {800000, 1400000, 2000000};

rt3_policy_t makePolicy() {
  rt3_policy_options_t options = rt3_policy_default_options(3, kClocks);
  rt3_policy_t policy;
  EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_OK);
  return policy;
}

rt3_policy_reading_t reading(int32_t cap, int32_t battery, int32_t temperature) {
  return {RT3_POLICY_UNKNOWN, cap, battery, temperature};
}

TEST(Policy, RefusesWhatIsNoListOfLevels) {
  rt3_policy_t policy;
  rt3_policy_options_t options = rt3_policy_default_options(3, kClocks);
  options.level_count = 0;
  EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_INVALID_ARGUMENT);
  options.level_count = RT3_POLICY_MAX_LEVELS + 1;
  EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_INVALID_ARGUMENT);
  options = rt3_policy_default_options(3, kClocks);
  options.frequency_khz[2] = 1;
  EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_INVALID_ARGUMENT);
  options = rt3_policy_default_options(3, kClocks);
  options.step_mc = 0;
  EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_INVALID_ARGUMENT);
  options = rt3_policy_default_options(3, kClocks);
  options.frequency_khz[1] = 0; // Not known: what follows must rise all the same.
  EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_OK);
  options.frequency_khz[2] = 1;
  EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_INVALID_ARGUMENT);
  for (int32_t bad : {-1, 101, INT32_MAX}) {
    options = rt3_policy_default_options(3, kClocks);
    options.battery_margin_percent = bad;
    EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_INVALID_ARGUMENT);
  }
  options = rt3_policy_default_options(3, kClocks);
  options.temperature_margin_mc = INT32_MAX;
  EXPECT_EQ(rt3_policy_init(&policy, &options), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_policy_init(&policy, nullptr), RT3_INVALID_ARGUMENT);
}

TEST(Policy, FollowsEachSource) {
  struct {
    rt3_policy_reading_t reading;
    uint32_t level;
  } const cases[] = {
      {reading(2000000, 100, 30000), 2}, {reading(1999999, 100, 30000), 1}, // Under the fastest level's clock.
      {reading(1, 100, 30000), 0},       {reading(2000000, 66, 30000), 2},
      {reading(2000000, 65, 30000), 1},  {reading(2000000, 0, 30000), 0},
      {reading(2000000, 100, 69999), 2}, {reading(2000000, 100, 70000), 1},
      {reading(2000000, 100, 80000), 0}, {reading(2000000, 100, 150000), 0},
      {reading(1400000, 10, 30000), 0}, // The strictest wins.
      {{1, 2000000, 100, 30000}, 1},    // But the user more than all.
      {{7, 2000000, 100, 30000}, 2},    // Of a level that there is.
  };
  for (const auto &[now, level] : cases) {
    rt3_policy_t policy = makePolicy();
    EXPECT_EQ(rt3_policy_step(&policy, &now, 0), level) << now.cap_khz << " " << now.battery_percent;
  }
}

TEST(Policy, MissingOrLyingSourcesHoldTheLevel) {
  rt3_policy_t policy = makePolicy();
  rt3_policy_reading_t low = reading(1400000, 100, 30000);
  ASSERT_EQ(rt3_policy_step(&policy, &low, 0), 1u);
  const rt3_policy_reading_t lies[] = {
      rt3_policy_no_reading(),
      reading(0, RT3_POLICY_UNKNOWN, RT3_POLICY_UNKNOWN),
      reading(-5, 101, -273000),
      reading(RT3_POLICY_UNKNOWN, -1, 250000),
      reading(INT32_MAX, 255, INT32_MAX),
  };
  uint64_t now = 0;
  for (const rt3_policy_reading_t &lie : lies)
    EXPECT_EQ(rt3_policy_step(&policy, &lie, now += 1000000), 1u);
}

TEST(Policy, OneLostSourceKeepsItsLastWord) {
  rt3_policy_t policy = makePolicy();
  rt3_policy_reading_t now = reading(2000000, 10, 30000);
  ASSERT_EQ(rt3_policy_step(&policy, &now, 0), 0u);
  now.battery_percent = RT3_POLICY_UNKNOWN; // The cap alone would allow all.
  for (uint64_t ms = 0; ms < 100000; ms += 1000)
    EXPECT_EQ(rt3_policy_step(&policy, &now, ms), 0u);
}

TEST(Policy, GoesUpOnlyWithAMarginAndAfterAWhile) {
  rt3_policy_t policy = makePolicy();
  rt3_policy_reading_t now = reading(2000000, 60, 30000);
  ASSERT_EQ(rt3_policy_step(&policy, &now, 0), 1u);
  now.battery_percent = 67; // Enough, but only just.
  EXPECT_EQ(rt3_policy_step(&policy, &now, 100000), 1u);
  now.battery_percent = 69;
  EXPECT_EQ(rt3_policy_step(&policy, &now, 4999), 1u); // A clock that goes back is no time.
  EXPECT_EQ(rt3_policy_step(&policy, &now, 200000), 2u);
  now.battery_percent = 20;
  EXPECT_EQ(rt3_policy_step(&policy, &now, 200100), 2u); // Not yet.
  EXPECT_EQ(rt3_policy_step(&policy, &now, 200200), 0u);
}

// Readings that jump at random, faster than any source could.
TEST(Policy, ChatteringReadingsSwitchNoMoreThanStated) {
  std::mt19937 random(1);
  for (int run = 0; run < 200; ++run) {
    rt3_policy_t policy = makePolicy();
    uint64_t now = 0, lastUp = 0;
    bool hasGoneUp = false;
    uint32_t level = policy.level;
    for (int i = 0; i < 2000; ++i) {
      rt3_policy_reading_t any =
          reading(int32_t(random() % 2500000), int32_t(random() % 110), int32_t(random() % 100000));
      if (random() % 8 == 0)
        any = rt3_policy_no_reading();
      uint32_t next = rt3_policy_step(&policy, &any, now);
      ASSERT_LT(next, 3u);
      if (next > level && i > 0) {
        // Up, down and up again takes a time up.
        ASSERT_TRUE(!hasGoneUp || now - lastUp >= policy.options.min_faster_ms);
        lastUp = now;
        hasGoneUp = true;
      }
      level = next;
      ASSERT_LE(policy.switches, 1 + now / policy.options.min_slower_ms);
      now += random() % 400;
    }
  }
}

TEST(Policy, MoreOfEverythingIsNeverSlower) {
  std::mt19937 random(2);
  for (int run = 0; run < 10000; ++run) {
    rt3_policy_reading_t less =
        reading(int32_t(1 + random() % 2500000), int32_t(random() % 101), int32_t(random() % 100000));
    rt3_policy_reading_t more =
        reading(less.cap_khz + int32_t(random() % 100000), std::min(100, less.battery_percent + int32_t(random() % 20)),
                less.temperature_mc - int32_t(random() % 10000));
    rt3_policy_t a = makePolicy(), b = makePolicy();
    EXPECT_LE(rt3_policy_step(&a, &less, 0), rt3_policy_step(&b, &more, 0));
  }
}

TEST(Policy, ReadsTraces) {
  const char *line = "# a trace\n\n0 2000000 100 30000\n 500\t- 40 -5000 \r\n700 - - -";
  uint64_t ms = 0;
  rt3_policy_reading_t now;
  int ok = 0;
  line = rt3_policy_read_trace(line, &ms, &now, &ok);
  ASSERT_TRUE(line && ok);
  EXPECT_EQ(now.cap_khz, 2000000);
  line = rt3_policy_read_trace(line, &ms, &now, &ok);
  ASSERT_TRUE(line && ok);
  EXPECT_EQ(ms, 500u);
  EXPECT_EQ(now.cap_khz, RT3_POLICY_UNKNOWN);
  EXPECT_EQ(now.battery_percent, 40);
  EXPECT_EQ(now.temperature_mc, -5000);
  line = rt3_policy_read_trace(line, &ms, &now, &ok);
  ASSERT_TRUE(line && ok);
  EXPECT_EQ(ms, 700u);
  EXPECT_EQ(rt3_policy_read_trace(line, &ms, &now, &ok), nullptr);
  for (const char *bad : {"x", "1 2", "1 2 3", "1 2 3 4 5", "- 2 3 4", "1 2 3 4x", "1 -- 3 4", "1 2 3 -x",
                          "99999999999999999999 1 1 1"}) {
    EXPECT_TRUE(rt3_policy_read_trace(bad, &ms, &now, &ok));
    EXPECT_FALSE(ok) << bad;
  }
}

TEST(Policy, ReadsFiles) {
  std::string path = testing::TempDir() + "rt3_policy_" + std::to_string(std::rand());
  auto write = [&](const char *text) {
    FILE *file = fopen(path.c_str(), "w");
    fputs(text, file);
    fclose(file);
  };
  rt3_policy_paths_t paths{path.c_str(), nullptr, "/nowhere/at/all", path.c_str()};
  rt3_policy_reading_t now;
  write("1400000\n");
  rt3_policy_read_linux(&paths, &now);
  EXPECT_EQ(now.cap_khz, 1400000);
  EXPECT_EQ(now.manual_level, 1400000);
  EXPECT_EQ(now.battery_percent, RT3_POLICY_UNKNOWN);
  EXPECT_EQ(now.temperature_mc, RT3_POLICY_UNKNOWN);
  for (const char *bad : {"", "\n", "x", "12x", "99999999999999999", "-"}) {
    write(bad);
    rt3_policy_read_linux(&paths, &now);
    EXPECT_EQ(now.cap_khz, RT3_POLICY_UNKNOWN) << bad;
  }
  remove(path.c_str());
}

} // namespace
