/* SPDX-License-Identifier: Apache-2.0
 *
 * From opening a bundle to the first result, at one level:
 *
 *   startup_rt3 BUNDLE LEVEL LENGTH
 *
 * prints what resident.h says. Inputs are ones. The program's symbol is given as
 * RT3_PROGRAM. */
#define _GNU_SOURCE
#include "benchmarks/models/resident.h"
#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern const rt3_program_t RT3_PROGRAM;

static void stop_if(int condition, const char *what) {
  if (condition) {
    fprintf(stderr, "startup_rt3: %s\n", what);
    exit(1);
  }
}

/* One for each element. */
static void *ones(const rt3_tensor_t *tensor, int64_t length) {
  size_t count = 1, size = tensor->element_type == RT3_INT64 ? 8 : tensor->element_type == RT3_BOOL ? 1 : 4;
  for (uint32_t i = 0; i < tensor->rank; ++i)
    count *= (size_t)(tensor->dims[i] < 0 ? length : tensor->dims[i]);
  char *memory = calloc(count, size);
  stop_if(memory == NULL, "no memory");
  for (size_t i = 0; i < count; ++i)
    if (tensor->element_type == RT3_FLOAT32)
      ((float *)memory)[i] = 1;
    else
      memory[i * size] = 1;
  return memory;
}

/* Whole pages that a check has read; they are read again when they are used. */
static void drop(void *context, const void *data, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t begin = ((uintptr_t)data + page - 1) / page * page, end = ((uintptr_t)data + size) / page * page;
  (void)context;
  if (begin < end)
    stop_if(madvise((void *)begin, end - begin, MADV_DONTNEED) != 0, "madvise");
}

int main(int argc, char **argv) {
  stop_if(argc != 4, "three arguments are needed");
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  int file = open(argv[1], O_RDONLY);
  struct stat status;
  stop_if(file < 0 || fstat(file, &status) != 0, argv[1]);
  void *bundle = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  stop_if(bundle == MAP_FAILED, argv[1]);
  rt3_model_t *model;
  size_t size = rt3_model_memory_size();
  rt3_release_t release = {drop, NULL};
  stop_if(rt3_model_init_mapped(&RT3_PROGRAM, bundle, (size_t)status.st_size, &release,
                                aligned_alloc(64, (size + 63) / 64 * 64), size, &model) != RT3_OK, argv[1]);
  stop_if(rt3_model_set_level(model, (uint32_t)atoi(argv[2])) != RT3_OK, argv[2]);
  int64_t length = atoll(argv[3]);
  const void *inputs[64];
  void *outputs[64];
  for (uint32_t i = 0; i < RT3_PROGRAM.input_count; ++i)
    inputs[i] = ones(&RT3_PROGRAM.inputs[i], length);
  for (uint32_t i = 0; i < RT3_PROGRAM.output_count; ++i)
    outputs[i] = ones(&RT3_PROGRAM.outputs[i], length);
  size = rt3_model_workspace_size(model);
  rt3_run_t run = {.inputs = inputs, .outputs = outputs, .length = length,
                   .workspace = aligned_alloc(64, (size + 63) / 64 * 64), .workspace_size = size};
  stop_if(rt3_model_run(model, &run) != RT3_OK, "run");
  clock_gettime(CLOCK_MONOTONIC, &end);
  print_start((end.tv_sec - begin.tv_sec) * 1e3 + (end.tv_nsec - begin.tv_nsec) * 1e-6);
  return 0;
}
