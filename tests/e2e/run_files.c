/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a generated library on files and compares: for each line of
 * FOLDER/cases.txt ("length level name", with "+name" if the run continues the text
 * of the line before), inputs FOLDER/<name>.in<i> and
 * expected outputs FOLDER/<name>.out<i>, floats within TOLERANCE relative to the
 * largest expected one. The program's symbol is given as RT3_TEST_PROGRAM.
 *
 * Inputs, outputs and workspace end at a page that may not be touched. Every run is
 * made again in parts, the last first: the outputs must be equal to the bit. */
#define _GNU_SOURCE
#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern const rt3_program_t RT3_TEST_PROGRAM;

/* `size` bytes that end at a guard page, aligned to `alignment`; a multiple of
 * it is asked for, so that nothing lies between. */
static void *guarded(size_t size, size_t alignment) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t rounded = (size + alignment - 1) / alignment * alignment;
  size_t pages = (rounded + page - 1) / page * page;
  char *start = mmap(NULL, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED || mprotect(start + pages, page, PROT_NONE) != 0) {
    perror("mmap");
    exit(1);
  }
  return start + pages - rounded;
}

/* Gives back what guarded() gave for the same size. */
static void release(const void *memory, size_t size, size_t alignment) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t rounded = (size + alignment - 1) / alignment * alignment;
  size_t pages = (rounded + page - 1) / page * page;
  munmap((char *)memory + rounded - pages, pages + page);
}

static size_t tensor_size(const rt3_tensor_t *tensor, int64_t length) {
  size_t size = tensor->element_type == RT3_INT64 ? 8 : tensor->element_type == RT3_BOOL ? 1 : 4;
  for (uint32_t i = 0; i < tensor->rank; ++i)
    size *= (size_t)(tensor->dims[i] < 0 ? length : tensor->dims[i]);
  return size;
}

static void read_file(const char *path, void *memory, size_t size) {
  size_t found;
  if (rt3_file_read(path, memory, size, &found) != RT3_OK || found != size) {
    fprintf(stderr, "%s: expected %zu bytes\n", path, size);
    exit(1);
  }
}

/* The largest difference between floats, in units of max(1, largest expected). */
static double difference(const float *found, const float *expected, size_t count) {
  double largest = 0, scale = 1;
  for (size_t i = 0; i < count; ++i) {
    if (isfinite(expected[i]) && fabs(expected[i]) > scale)
      scale = fabs(expected[i]);
    if (isnan(expected[i]) != isnan(found[i]) || (isinf(expected[i]) && expected[i] != found[i]))
      return INFINITY;
    if (isfinite(expected[i]) && fabs((double)found[i] - expected[i]) > largest)
      largest = fabs((double)found[i] - expected[i]);
  }
  return largest / scale;
}

/* What a caller with threads might do at worst. */
static void run_backwards(void *pool, size_t count, rt3_task_t task, void *context) {
  ++*(size_t *)pool;
  while (count > 0)
    task(context, --count);
}

int main(int argc, char **argv) {
  if (argc != 4)
    return 2;
  const char *folder = argv[2];
  double tolerance = atof(argv[3]), worst = 0;
  size_t bundle_size;
  if (rt3_file_read(argv[1], NULL, 0, &bundle_size) != RT3_OK)
    return 1;
  void *bundle = aligned_alloc(64, (bundle_size + 63) / 64 * 64), *memory = aligned_alloc(64, 1024);
  rt3_model_t *model;
  rt3_status_t status = rt3_file_read(argv[1], bundle, bundle_size, &bundle_size);
  if (status == RT3_OK)
    status = rt3_model_init(&RT3_TEST_PROGRAM, bundle, bundle_size, memory, 1024, &model);
  if (status != RT3_OK) {
    fprintf(stderr, "%s: %s\n", argv[1], rt3_status_string(status));
    return 1;
  }
  size_t workspace_size = rt3_model_workspace_size(model);
  void *workspace = guarded(workspace_size, 64);
  rt3_state_t *state = NULL;
  void *state_memory = NULL;
  size_t state_size = rt3_model_state_size(model);
  if (state_size != 0) {
    state_memory = guarded(state_size, 64);
    memset(state_memory, 0xff, state_size);
    if (rt3_state_init(model, state_memory, state_size, &state) != RT3_OK)
      return 1;
  }
  char path[1000], word[200];
  snprintf(path, sizeof path, "%s/cases.txt", folder);
  FILE *cases = fopen(path, "r");
  long length;
  unsigned level;
  int failed = 0, count = 0;
  size_t jobs = 0;
  const rt3_parallel_t parallel = {run_backwards, &jobs};
  while (cases && fscanf(cases, "%ld %u %199s", &length, &level, word) == 3) {
    int is_continued = word[0] == '+';
    const char *name = word + is_continued;
    if (state != NULL && !is_continued && rt3_state_rewind(state, 0) != RT3_OK)
      return 1;
    const void *inputs[64];
    void *outputs[256];
    for (uint32_t i = 0; i < RT3_TEST_PROGRAM.input_count; ++i) {
      size_t size = tensor_size(&RT3_TEST_PROGRAM.inputs[i], length);
      void *input = guarded(size, 8);
      snprintf(path, sizeof path, "%s/%s.in%u", folder, name, i);
      read_file(path, input, size);
      inputs[i] = input;
    }
    for (uint32_t i = 0; i < RT3_TEST_PROGRAM.output_count; ++i)
      outputs[i] = guarded(tensor_size(&RT3_TEST_PROGRAM.outputs[i], length), 8);
    /* Memory without content holds the worst: NaN. */
    memset(workspace, 0xff, workspace_size);
    rt3_run_t run = {inputs, outputs, length, workspace, workspace_size, state, NULL};
    status = rt3_model_set_level(model, level);
    if (status == RT3_OK)
      status = rt3_model_run(model, &run);
    if (status != RT3_OK) {
      fprintf(stderr, "%s: %s\n", name, rt3_status_string(status));
      return 1;
    }
    for (uint32_t i = 0; i < RT3_TEST_PROGRAM.output_count; ++i) {
      const rt3_tensor_t *tensor = &RT3_TEST_PROGRAM.outputs[i];
      size_t size = tensor_size(tensor, length);
      void *expected = malloc(size);
      snprintf(path, sizeof path, "%s/%s.out%u", folder, name, i);
      read_file(path, expected, size);
      double found = tensor->element_type == RT3_FLOAT32 ? difference(outputs[i], expected, size / 4)
                     : memcmp(outputs[i], expected, size) ? INFINITY
                                                          : 0;
      worst = found > worst ? found : worst;
      ++count;
      if (!(found <= tolerance)) {
        fprintf(stderr, "%s (length %ld, level %u), output %s: difference %g\n", name, length, level, tensor->name, found);
        ++failed;
      }
      free(expected);
    }
    void *again[256];
    for (uint32_t i = 0; i < RT3_TEST_PROGRAM.output_count; ++i)
      again[i] = guarded(tensor_size(&RT3_TEST_PROGRAM.outputs[i], length), 8);
    if (state != NULL && rt3_state_rewind(state, rt3_state_position(state) - length) != RT3_OK)
      return 1;
    memset(workspace, 0xff, workspace_size);
    run.outputs = again;
    run.parallel = &parallel;
    if (rt3_model_run(model, &run) != RT3_OK)
      return 1;
    for (uint32_t i = 0; i < RT3_TEST_PROGRAM.output_count; ++i)
      if (memcmp(outputs[i], again[i], tensor_size(&RT3_TEST_PROGRAM.outputs[i], length)) != 0) {
        fprintf(stderr, "%s (length %ld, level %u), output %u: differs when run in parts\n", name, length, level, i);
        ++failed;
      }
    for (uint32_t i = 0; i < RT3_TEST_PROGRAM.input_count; ++i)
      release(inputs[i], tensor_size(&RT3_TEST_PROGRAM.inputs[i], length), 8);
    for (uint32_t i = 0; i < RT3_TEST_PROGRAM.output_count; ++i) {
      release(outputs[i], tensor_size(&RT3_TEST_PROGRAM.outputs[i], length), 8);
      release(again[i], tensor_size(&RT3_TEST_PROGRAM.outputs[i], length), 8);
    }
  }
  printf("%d outputs compared, %d over %g, largest difference %g; %zu layers in parts\n", count, failed, tolerance, worst,
         jobs);
  return failed != 0 || count == 0;
}
