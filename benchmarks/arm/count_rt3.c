/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a compiled model twice at LEVEL, the second time between the marks of
 * count_blocks.cc, and writes its first output, the bytes of a C array:
 *
 *   count_rt3 BUNDLE LEVEL LENGTH INPUTS OUTPUT
 *
 * INPUTS holds all inputs, one after the other. The program's symbol is given
 * as RT3_PROGRAM. */
#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const rt3_program_t RT3_PROGRAM;

static size_t tensor_size(const rt3_tensor_t *tensor, int64_t length) {
  size_t size = tensor->element_type == RT3_INT64 ? 8 : tensor->element_type == RT3_BOOL ? 1 : 4;
  for (uint32_t i = 0; i < tensor->rank; ++i)
    size *= (size_t)(tensor->dims[i] < 0 ? length : tensor->dims[i]);
  return size;
}

static void *allocate(size_t size) {
  void *memory = aligned_alloc(64, (size + 63) / 64 * 64);
  if (memory == NULL)
    exit(1);
  return memory;
}

static void stop_if(rt3_status_t status, const char *what) {
  if (status != RT3_OK) {
    fprintf(stderr, "%s: %s\n", what, rt3_status_string(status));
    exit(1);
  }
}

static unsigned char *read_file(const char *path, size_t *size) {
  stop_if(rt3_file_read(path, NULL, 0, size), path);
  unsigned char *bytes = allocate(*size);
  stop_if(rt3_file_read(path, bytes, *size, size), path);
  return bytes;
}

int main(int argc, char **argv) {
  if (argc != 6)
    return 2;
  size_t bundle_size, inputs_size, used = 0;
  unsigned char *bundle = read_file(argv[1], &bundle_size), *all = read_file(argv[4], &inputs_size);
  int64_t length = atoll(argv[3]);
  rt3_model_t *model;
  stop_if(rt3_model_init(&RT3_PROGRAM, bundle, bundle_size, allocate(rt3_model_memory_size()),
                         rt3_model_memory_size(), &model), argv[1]);
  stop_if(rt3_model_set_level(model, (uint32_t)atoi(argv[2])), argv[2]);
  const void *inputs[64];
  void *outputs[64];
  for (uint32_t i = 0; i < RT3_PROGRAM.input_count; ++i) {
    size_t size = tensor_size(&RT3_PROGRAM.inputs[i], length);
    void *memory = allocate(size);
    if (used + size > inputs_size)
      return 1;
    memcpy(memory, all + used, size);
    inputs[i] = memory;
    used += size;
  }
  for (uint32_t i = 0; i < RT3_PROGRAM.output_count; ++i)
    outputs[i] = allocate(tensor_size(&RT3_PROGRAM.outputs[i], length));
  size_t workspace_size = rt3_model_workspace_size(model);
  rt3_run_t run = {.inputs = inputs, .outputs = outputs, .length = length,
                   .workspace = allocate(workspace_size), .workspace_size = workspace_size};
  stop_if(rt3_model_run(model, &run), "run");
  __asm__ volatile("hint #120" ::: "memory");
  rt3_status_t status = rt3_model_run(model, &run);
  __asm__ volatile("hint #121" ::: "memory");
  stop_if(status, "run");
  FILE *file = fopen(argv[5], "wb");
  return file == NULL || fwrite(outputs[0], tensor_size(&RT3_PROGRAM.outputs[0], length), 1, file) != 1 || fclose(file);
}
