/* SPDX-License-Identifier: Apache-2.0
 *
 * Two models in one program: their libraries share no symbol, and the bundle of
 * one is refused by the other. */
#include "byte_lm.h"
#include "second.h"

#include "rt3/rt3.h"

#include <stdio.h>
#include <stdlib.h>

static rt3_model_t *load(const struct rt3_program_t *program, const char *path, rt3_status_t expected) {
  size_t size;
  if (rt3_file_read(path, NULL, 0, &size) != RT3_OK)
    exit(1);
  void *bundle = aligned_alloc(RT3_MEMORY_ALIGNMENT, (size + 63) / 64 * 64);
  void *memory = aligned_alloc(RT3_MEMORY_ALIGNMENT, (rt3_model_memory_size() + 63) / 64 * 64);
  if (rt3_file_read(path, bundle, size, &size) != RT3_OK)
    exit(1);
  rt3_model_t *model;
  rt3_status_t status = rt3_model_init(program, bundle, size, memory, rt3_model_memory_size(), &model);
  if (status != expected) {
    fprintf(stderr, "%s: %s\n", path, rt3_status_string(status));
    exit(1);
  }
  return model;
}

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  rt3_model_t *first = load(&rt3_byte_lm_program, argv[1], RT3_OK);
  rt3_model_t *second = load(&rt3_second_program, argv[2], RT3_OK);
  load(&rt3_byte_lm_program, argv[2], RT3_WRONG_MODEL);
  printf("two models: workspaces of %zu and %zu bytes\n", rt3_model_workspace_size(first),
         rt3_model_workspace_size(second));
  return 0;
}
