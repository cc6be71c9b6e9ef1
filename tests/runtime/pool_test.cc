// SPDX-License-Identifier: Apache-2.0

#include "rt3/rt3_pool.h"
#include "tests/runtime/small_program.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

namespace {

class PoolTest : public testing::TestWithParam<uint32_t> {
protected:
  void SetUp() override {
    ASSERT_EQ(rt3_pool_init(GetParam(), memory.get(), rt3_pool_memory_size(), &pool), RT3_OK);
    parallel = rt3_pool_parallel(pool);
  }
  void TearDown() override { rt3_pool_finish(pool); }

  Memory memory = alignedCopy(std::string(rt3_pool_memory_size(), '\7'));
  rt3_pool_t *pool = nullptr;
  rt3_parallel_t parallel{};
};

struct Counts {
  std::vector<std::atomic<int>> calls;
  explicit Counts(size_t count) : calls(count) {}
};

void countCall(void *context, size_t i) { ++static_cast<Counts *>(context)->calls[i]; }

TEST_P(PoolTest, CallsEachTaskOnce) {
  for (size_t count : {0, 1, 2, 3, 7, 64, 1000})
    for (int repeat = 0; repeat < 50; ++repeat) {
      Counts counts(count);
      parallel.run(parallel.pool, count, countCall, &counts);
      // All are done when run returns.
      for (size_t i = 0; i < count; ++i)
        ASSERT_EQ(counts.calls[i], 1) << i << " of " << count;
    }
}

TEST_P(PoolTest, WakesThreadsThatSleep) {
  Counts counts(100);
  for (int repeat = 1; repeat <= 5; ++repeat) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    parallel.run(parallel.pool, 100, countCall, &counts);
    for (std::atomic<int> &calls : counts.calls)
      ASSERT_EQ(calls, repeat);
  }
}

// Of all threads of the process.
double cpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

TEST_P(PoolTest, TakesNoTimeWhenIdle) {
  Counts counts(100);
  parallel.run(parallel.pool, 100, countCall, &counts);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  double before = cpuSeconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  // A single spinning thread would take 0.2 s.
  EXPECT_LT(cpuSeconds() - before, 0.05);
}

INSTANTIATE_TEST_SUITE_P(Threads, PoolTest, testing::Values(1, 2, 3, 8));

TEST(PoolInit, RefusesBadArguments) {
  Memory memory = alignedCopy(std::string(rt3_pool_memory_size() + 64, 0));
  rt3_pool_t *pool;
  size_t size = rt3_pool_memory_size();
  EXPECT_EQ(rt3_pool_init(0, memory.get(), size, &pool), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_pool_init(RT3_POOL_MAX_THREADS + 1, memory.get(), size, &pool), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_pool_init(2, nullptr, size, &pool), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_pool_init(2, memory.get(), size, nullptr), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_pool_init(2, memory.get() + 8, size, &pool), RT3_MISALIGNED);
  EXPECT_EQ(rt3_pool_init(2, memory.get(), size - 1, &pool), RT3_MEMORY_TOO_SMALL);
  EXPECT_EQ(pool, nullptr);
  rt3_pool_finish(nullptr);
}

} // namespace
