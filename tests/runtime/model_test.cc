// SPDX-License-Identifier: Apache-2.0

#include "tests/runtime/small_program.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

class ModelTest : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(rt3_model_init(&kSmallProgram, bundle.get(), size, memory.get(), rt3_model_memory_size(), &model),
              RT3_OK);
  }

  std::string bytes = smallBundle();
  size_t size = bytes.size();
  Memory bundle = alignedCopy(bytes), memory = alignedCopy(std::string(rt3_model_memory_size(), 0)),
         workspace = alignedCopy(std::string(64, 0));
  rt3_model_t *model = nullptr;
  float input[8] = {1, 2, 3, 4, 5, 6, 7, 8}, output[8] = {};
  const void *inputs[1] = {input};
  void *outputs[1] = {output};
  rt3_run_t run{inputs, outputs, 8, workspace.get(), 64, nullptr, nullptr};
};

TEST_F(ModelTest, RunsAtTheLevelThatIsSet) {
  for (uint32_t level : {1u, 0u, 1u}) {
    ASSERT_EQ(rt3_model_set_level(model, level), RT3_OK);
    EXPECT_EQ(rt3_model_level(model), level);
    ASSERT_EQ(rt3_model_run(model, &run), RT3_OK);
    EXPECT_EQ(output[7], 8 + level);
  }
}

TEST_F(ModelTest, KeepsItsLevelWhenThereIsNoSuchOne) {
  ASSERT_EQ(rt3_model_set_level(model, 1), RT3_OK);
  EXPECT_EQ(rt3_model_set_level(model, 2), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_model_set_level(model, UINT32_MAX), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_model_level(model), 1u);
}

TEST_F(ModelTest, InitNeedsExactlyTheReportedMemory) {
  for (size_t less = 0; less <= rt3_model_memory_size(); ++less) {
    rt3_model_t *out = model;
    rt3_status_t status = rt3_model_init(&kSmallProgram, bundle.get(), size, memory.get(), less, &out);
    EXPECT_EQ(status, less < rt3_model_memory_size() ? RT3_MEMORY_TOO_SMALL : RT3_OK);
    EXPECT_EQ(out == nullptr, status != RT3_OK);
  }
}

TEST_F(ModelTest, RefusesACpuWithoutTheFeatures) {
  rt3_program_t program = kSmallProgram;
  program.required_features = 1u << 31;
  EXPECT_EQ(rt3_model_init(&program, bundle.get(), size, memory.get(), rt3_model_memory_size(), &model),
            RT3_UNSUPPORTED_CPU);
}

TEST_F(ModelTest, RefusesBadArguments) {
  rt3_run_t bad = run;
  for (int64_t length : {int64_t(0), int64_t(-1), int64_t(9), INT64_MAX, INT64_MIN}) {
    bad.length = length;
    EXPECT_EQ(rt3_model_run(model, &bad), RT3_INVALID_ARGUMENT) << length;
  }
  bad = run;
  bad.workspace_size = 63;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_MEMORY_TOO_SMALL);
  bad = run;
  bad.workspace = workspace.get() + 8;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_MISALIGNED);
  bad = run;
  bad.workspace = nullptr;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_INVALID_ARGUMENT);
  bad = run;
  bad.inputs = nullptr;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_INVALID_ARGUMENT);
  const void *none[] = {nullptr};
  bad.inputs = none;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_INVALID_ARGUMENT);
  const void *odd[] = {reinterpret_cast<const char *>(input) + 1};
  bad.inputs = odd;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_MISALIGNED);
  // Outputs over inputs, by one element at either end.
  float both[24];
  const void *middle[] = {both + 8};
  bad = run;
  bad.inputs = middle;
  for (int shift = 0; shift <= 16; ++shift) {
    void *place[] = {both + shift};
    bad.outputs = place;
    EXPECT_EQ(rt3_model_run(model, &bad), shift > 0 && shift < 16 ? RT3_INVALID_ARGUMENT : RT3_OK) << shift;
  }
  // Inputs and outputs in the workspace.
  bad = run;
  const void *in_workspace[] = {workspace.get()};
  bad.inputs = in_workspace;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_INVALID_ARGUMENT);
  bad = run;
  void *out_workspace[] = {workspace.get()};
  bad.outputs = out_workspace;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_model_run(nullptr, &run), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_model_run(model, nullptr), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_model_init(nullptr, bundle.get(), size, memory.get(), 1024, &model), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_model_init(&kSmallProgram, bundle.get(), size, memory.get(), 1024, nullptr), RT3_INVALID_ARGUMENT);
}

// Whoever maps a bundle hears of every byte behind the header, first of the hash and then of all, and
// what is refused is refused as before.
TEST_F(ModelTest, SaysWhatItHasRead) {
  struct Heard {
    const char *begin;
    std::vector<int> times;
  } heard{bundle.get(), std::vector<int>(size)};
  rt3_release_t release = {[](void *context, const void *data, size_t count) {
                             auto *own = static_cast<Heard *>(context);
                             size_t first = static_cast<const char *>(data) - own->begin;
                             ASSERT_LE(first + count, own->times.size());
                             for (size_t i = 0; i < count; ++i)
                               ++own->times[first + i];
                           },
                           &heard};
  auto init = [&](const rt3_release_t *told) {
    return rt3_model_init_mapped(&kSmallProgram, bundle.get(), size, told, memory.get(), rt3_model_memory_size(),
                                 &model);
  };
  EXPECT_EQ(init(&release), RT3_OK);
  // The hash leaves up to 31 bytes at the end.
  for (size_t i = sizeof(rt3_bundle_header_t); i + 31 < size; ++i)
    EXPECT_GE(heard.times[i], 2) << "byte " << i;
  EXPECT_GE(*std::min_element(heard.times.begin(), heard.times.end()), 1);
  EXPECT_GE(*std::max_element(heard.times.begin(), heard.times.end()), 3); // The stream.
  EXPECT_EQ(init(nullptr), RT3_OK);
  rt3_release_t none = {nullptr, nullptr};
  EXPECT_EQ(init(&none), RT3_INVALID_ARGUMENT);
  bundle.get()[size - 1] ^= 1;
  EXPECT_EQ(init(&release), RT3_CORRUPT_BUNDLE);
  EXPECT_EQ(model, nullptr);
}

TEST_F(ModelTest, EveryStatusHasASentence) {
  for (int status = -1; status < 64; ++status)
    EXPECT_GT(strlen(rt3_status_string(rt3_status_t(status))), 5u);
}

// Each output belongs to exactly one level, whatever other threads set.
TEST_F(ModelTest, RunsNeverMixLevels) {
  std::atomic<bool> isDone{false};
  std::atomic<int> mixed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      Memory own = alignedCopy(std::string(64, 0));
      float result[8];
      void *places[] = {result};
      rt3_run_t mine{inputs, places, 8, own.get(), 64, nullptr, nullptr};
      while (!isDone)
        if (rt3_model_run(model, &mine) != RT3_OK || result[0] - input[0] != result[7] - input[7])
          ++mixed;
    });
  for (uint32_t i = 0; i < 20000; ++i)
    ASSERT_EQ(rt3_model_set_level(model, i % 2), RT3_OK);
  isDone = true;
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(mixed, 0);
}

TEST(FileTest, ReadsAWholeFileOrSaysWhyNot) {
  // A pipe without a writer must not hang.
  std::string pipe = testing::TempDir() + "rt3_pipe";
  unlink(pipe.c_str());
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  size_t pipe_size;
  EXPECT_EQ(rt3_file_read(pipe.c_str(), nullptr, 0, &pipe_size), RT3_FILE_ERROR);
  unlink(pipe.c_str());
  std::string path = testing::TempDir() + "/rt3_file_test", bytes = "0123456789";
  std::ofstream(path) << bytes;
  char memory[10];
  size_t size = 0;
  EXPECT_EQ(rt3_file_read(path.c_str(), nullptr, 0, &size), RT3_OK);
  EXPECT_EQ(size, 10u);
  EXPECT_EQ(rt3_file_read(path.c_str(), memory, 9, &size), RT3_MEMORY_TOO_SMALL);
  EXPECT_EQ(rt3_file_read(path.c_str(), memory, 10, &size), RT3_OK);
  EXPECT_EQ(std::string(memory, 10), bytes);
  EXPECT_EQ(rt3_file_read("/nonexistent", memory, 10, &size), RT3_FILE_ERROR);
  EXPECT_EQ(rt3_file_read("/tmp", memory, 10, &size), RT3_FILE_ERROR);
  EXPECT_EQ(rt3_file_read(nullptr, memory, 10, &size), RT3_INVALID_ARGUMENT);
  remove(path.c_str());
}

// A program that keeps a text: each run writes its position to the first output and
// its input behind the tokens before.
void appendToText(const rt3_call_t *call) {
  float *text = static_cast<float *>(call->state);
  const float *x = static_cast<const float *>(call->inputs[0]);
  float *y = static_cast<float *>(call->outputs[0]);
  for (int64_t i = 0; i < call->length; ++i) {
    text[call->position + i] = x[i];
    y[i] = float(call->position) + text[0];
  }
}

class TextTest : public ModelTest {
protected:
  void SetUp() override {
    program = kSmallProgram;
    program.state_size = 20 * sizeof(float);
    program.context_length = 20;
    program.levels = levels;
    ASSERT_EQ(rt3_model_init(&program, bundle.get(), size, memory.get(), rt3_model_memory_size(), &model), RT3_OK);
    stateSize = rt3_model_state_size(model);
    state = alignedCopy(std::string(stateSize, '\xff'));
    ASSERT_EQ(rt3_state_init(model, state.get(), stateSize, &run.state), RT3_OK);
  }

  const rt3_level_function_t levels[2] = {appendToText, appendToText};
  rt3_program_t program;
  size_t stateSize;
  Memory state = alignedCopy("");
};

TEST_F(TextTest, RunsContinueTheText) {
  EXPECT_EQ(rt3_model_context_length(model), 20);
  EXPECT_EQ(rt3_state_position(run.state), 0);
  ASSERT_EQ(rt3_model_run(model, &run), RT3_OK);
  EXPECT_EQ(rt3_state_position(run.state), 8);
  input[0] = 100;
  run.length = 3;
  ASSERT_EQ(rt3_model_set_level(model, 1), RT3_OK);
  ASSERT_EQ(rt3_model_run(model, &run), RT3_OK);
  EXPECT_EQ(rt3_state_position(run.state), 11);
  EXPECT_EQ(output[2], 8 + 1);
}

TEST_F(TextTest, AFullTextIsAnErrorAndStays) {
  for (int i = 0; i < 2; ++i)
    ASSERT_EQ(rt3_model_run(model, &run), RT3_OK);
  run.length = 5;
  EXPECT_EQ(rt3_model_run(model, &run), RT3_CONTEXT_FULL);
  EXPECT_EQ(rt3_state_position(run.state), 16);
  run.length = 4;
  EXPECT_EQ(rt3_model_run(model, &run), RT3_OK);
  run.length = 1;
  EXPECT_EQ(rt3_model_run(model, &run), RT3_CONTEXT_FULL);
  ASSERT_EQ(rt3_state_rewind(run.state, 19), RT3_OK);
  EXPECT_EQ(rt3_model_run(model, &run), RT3_OK);
}

TEST_F(TextTest, RewindsToAnEarlierToken) {
  ASSERT_EQ(rt3_model_run(model, &run), RT3_OK);
  EXPECT_EQ(rt3_state_rewind(run.state, 9), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_state_rewind(run.state, -1), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_state_rewind(nullptr, 0), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_state_position(run.state), 8);
  ASSERT_EQ(rt3_state_rewind(run.state, 0), RT3_OK);
  ASSERT_EQ(rt3_model_run(model, &run), RT3_OK);
  EXPECT_EQ(rt3_state_position(run.state), 8);
}

TEST_F(TextTest, RefusesStatesThatDoNotFit) {
  rt3_state_t *other;
  for (size_t less = 0; less < stateSize; ++less)
    EXPECT_EQ(rt3_state_init(model, state.get(), less, &other), RT3_MEMORY_TOO_SMALL);
  EXPECT_EQ(rt3_state_init(model, state.get() + 4, stateSize, &other), RT3_MISALIGNED);
  EXPECT_EQ(rt3_state_init(model, nullptr, stateSize, &other), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(other, nullptr);
  rt3_run_t bad = run;
  bad.state = nullptr;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_INVALID_ARGUMENT);
  // Of another program.
  rt3_program_t program2 = program;
  rt3_model_t *model2;
  Memory memory2 = alignedCopy(std::string(rt3_model_memory_size(), 0));
  ASSERT_EQ(rt3_model_init(&program2, bundle.get(), size, memory2.get(), rt3_model_memory_size(), &model2), RT3_OK);
  EXPECT_EQ(rt3_model_run(model2, &run), RT3_INVALID_ARGUMENT);
  // Where outputs go.
  bad = run;
  void *places[] = {state.get() + 64};
  bad.outputs = places;
  EXPECT_EQ(rt3_model_run(model, &bad), RT3_INVALID_ARGUMENT);
  EXPECT_EQ(rt3_state_position(run.state), 0);
}

TEST_F(ModelTest, RefusesThreadsWithoutAFunction) {
  const rt3_parallel_t none = {nullptr, nullptr};
  run.parallel = &none;
  EXPECT_EQ(rt3_model_run(model, &run), RT3_INVALID_ARGUMENT);
}

TEST_F(ModelTest, WithoutACacheThereIsNoState) {
  rt3_state_t *state;
  EXPECT_EQ(rt3_model_state_size(model), 0u);
  EXPECT_EQ(rt3_model_context_length(model), 0);
  EXPECT_EQ(rt3_state_init(model, workspace.get(), 64, &state), RT3_INVALID_ARGUMENT);
}

} // namespace
