/* SPDX-License-Identifier: Apache-2.0
 *
 * The shortest useful program: one inference of byte-lm at its lowest level.
 * run_model.c is the same, explained, with errors and level switching. */
#include "byte_lm.h"
#include "rt3/rt3.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  size_t size;
  rt3_model_t *model;
  if (argc != 2 || rt3_file_read(argv[1], NULL, 0, &size) != RT3_OK)
    return 1;
  void *bundle = aligned_alloc(RT3_MEMORY_ALIGNMENT, (size + 63) / 64 * 64);
  void *memory = aligned_alloc(RT3_MEMORY_ALIGNMENT, 1024);
  void *workspace = aligned_alloc(RT3_MEMORY_ALIGNMENT, (RT3_BYTE_LM_WORKSPACE_SIZE + 63) / 64 * 64);
  if (rt3_file_read(argv[1], bundle, size, &size) != RT3_OK ||
      rt3_model_init(&rt3_byte_lm_program, bundle, size, memory, 1024, &model) != RT3_OK)
    return 1;
  int64_t ids[] = {'T', 'h', 'e', ' '};
  float logits[4][256];
  const void *inputs[] = {ids};
  void *outputs[] = {logits};
  rt3_run_t run = {inputs, outputs, 4, workspace, RT3_BYTE_LM_WORKSPACE_SIZE, NULL, NULL};
  if (rt3_model_run(model, &run) != RT3_OK)
    return 1;
  int best = 0;
  for (int i = 1; i < 256; ++i)
    best = logits[3][i] > logits[3][best] ? i : best;
  printf("after \"The \" comes '%c'\n", best);
}
