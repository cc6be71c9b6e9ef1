// SPDX-License-Identifier: Apache-2.0
//
// Eight threads run byte-lm, two of them with pools of their own, while two switch its
// level: every output must be that of exactly one level, bit for bit.
//
//   level_switch BUNDLE SECONDS

#include "byte_lm.h"
#include "rt3/rt3_pool.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

static constexpr int64_t kLength = 9;

static void *allocate(size_t size) { return aligned_alloc(64, (size + 63) / 64 * 64); }

struct Runner {
  float logits[kLength][256];
  void *workspace = allocate(RT3_BYTE_LM_WORKSPACE_SIZE);

  void run(const rt3_model_t *model, const rt3_parallel_t *parallel = nullptr) {
    int64_t ids[kLength];
    for (int64_t i = 0; i < kLength; ++i)
      ids[i] = "The State"[i];
    const void *inputs[] = {ids};
    void *outputs[] = {logits};
    rt3_run_t run = {inputs, outputs, kLength, workspace, RT3_BYTE_LM_WORKSPACE_SIZE, nullptr, parallel};
    if (rt3_model_run(model, &run) != RT3_OK)
      abort();
  }
};

int main(int argc, char **argv) {
  size_t size;
  if (argc != 3 || rt3_file_read(argv[1], nullptr, 0, &size) != RT3_OK)
    return 2;
  void *bundle = allocate(size);
  rt3_model_t *model;
  if (rt3_file_read(argv[1], bundle, size, &size) != RT3_OK ||
      rt3_model_init(&rt3_byte_lm_program, bundle, size, allocate(rt3_model_memory_size()), rt3_model_memory_size(),
                     &model) != RT3_OK)
    return 1;
  std::vector<Runner> golden(RT3_BYTE_LM_LEVEL_COUNT);
  for (uint32_t level = 0; level < golden.size(); ++level) {
    if (rt3_model_set_level(model, level) != RT3_OK)
      return 1;
    golden[level].run(model);
  }
  std::atomic<bool> isDone{false};
  std::atomic<long> runs{0}, mixed{0}, switches{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      Runner runner;
      rt3_pool_t *pool = nullptr;
      if (i < 2 && rt3_pool_init(3, allocate(rt3_pool_memory_size()), rt3_pool_memory_size(), &pool) != RT3_OK)
        abort();
      rt3_parallel_t parallel = rt3_pool_parallel(pool);
      while (!isDone) {
        memset(runner.logits, 0, sizeof runner.logits);
        runner.run(model, pool ? &parallel : nullptr);
        bool isGolden = false;
        for (Runner &level : golden)
          isGolden |= memcmp(level.logits, runner.logits, sizeof runner.logits) == 0;
        mixed += !isGolden;
        ++runs;
      }
      rt3_pool_finish(pool);
    });
  for (uint32_t i = 0; i < 2; ++i)
    threads.emplace_back([&, i] {
      for (uint32_t level = i; !isDone; ++level) {
        if (rt3_model_set_level(model, level % RT3_BYTE_LM_LEVEL_COUNT) != RT3_OK)
          abort();
        ++switches;
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    });
  std::this_thread::sleep_for(std::chrono::duration<double>(atof(argv[2])));
  isDone = true;
  for (std::thread &thread : threads)
    thread.join();
  printf("%ld runs, %ld switches, %ld outputs of no single level\n", runs.load(), switches.load(), mixed.load());
  return mixed != 0 || runs == 0;
}
