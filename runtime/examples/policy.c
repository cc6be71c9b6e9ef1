// SPDX-License-Identifier: Apache-2.0
//
// A model whose level follows a trace of battery and clock while it runs.
//
//   policy BUNDLE TRACE
//
// The model's program and its macros come from the generated header; see run_model.c for
// what is done here without explaining it. Time is the trace's: a few runs follow each line.

#include "byte_lm.h"
#include "rt3/rt3_policy.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS_PER_LINE = 3 };

static void *allocate(size_t size) {
  void *memory = aligned_alloc(RT3_MEMORY_ALIGNMENT, (size + 63) / 64 * 64);
  if (memory == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  return memory;
}

/* A whole file with a zero behind it; NULL if it cannot be read. */
static char *read_file(const char *path, size_t *out_size) {
  if (rt3_file_read(path, NULL, 0, out_size) != RT3_OK)
    return NULL;
  char *bytes = allocate(*out_size + 1);
  if (rt3_file_read(path, bytes, *out_size, out_size) != RT3_OK)
    return NULL;
  bytes[*out_size] = 0;
  return bytes;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: policy BUNDLE TRACE\n");
    return 2;
  }
  size_t bundle_size = 0, trace_size = 0;
  char *bundle = read_file(argv[1], &bundle_size), *trace = read_file(argv[2], &trace_size);
  if (bundle == NULL || trace == NULL) {
    fprintf(stderr, "%s: cannot be read\n", argv[bundle == NULL ? 1 : 2]);
    return 1;
  }
  rt3_model_t *model = NULL;
  rt3_status_t status = rt3_model_init(&rt3_byte_lm_program, bundle, bundle_size, allocate(rt3_model_memory_size()),
                                       rt3_model_memory_size(), &model);
  if (status != RT3_OK) {
    fprintf(stderr, "%s: %s\n", argv[1], rt3_status_string(status));
    return 1;
  }

  static const uint32_t frequencies[] = RT3_BYTE_LM_LEVEL_FREQUENCIES;
  rt3_policy_options_t options = rt3_policy_default_options(RT3_BYTE_LM_LEVEL_COUNT, frequencies);
  rt3_policy_t policy;
  if (rt3_policy_init(&policy, &options) != RT3_OK) {
    fprintf(stderr, "%s: its levels do not rise\n", argv[1]);
    return 1;
  }

  static int64_t ids[RT3_BYTE_LM_MAX_LENGTH];
  float *logits = allocate(RT3_BYTE_LM_OUTPUT_LOGITS_SIZE(RT3_BYTE_LM_MAX_LENGTH));
  const void *inputs[] = {ids};
  void *outputs[] = {logits};
  rt3_run_t run = {.inputs = inputs,
                   .outputs = outputs,
                   .length = RT3_BYTE_LM_MAX_LENGTH,
                   .workspace = allocate(RT3_BYTE_LM_WORKSPACE_SIZE),
                   .workspace_size = RT3_BYTE_LM_WORKSPACE_SIZE};
  rt3_policy_reading_t reading;
  uint64_t now = 0;
  int is_read = 1;
  for (const char *line = trace; (line = rt3_policy_read_trace(line, &now, &reading, &is_read));) {
    if (!is_read) {
      fprintf(stderr, "%s: a line is not `ms cap_khz battery_percent temperature_mc`\n", argv[2]);
      return 1;
    }
    uint32_t level = rt3_policy_step(&policy, &reading, now);
    if ((status = rt3_model_set_level(model, level)) != RT3_OK)
      break;
    for (int i = 0; i < RUNS_PER_LINE; ++i)
      if ((status = rt3_model_run(model, &run)) != RT3_OK) {
        fprintf(stderr, "%s\n", rt3_status_string(status));
        return 1;
      }
    printf("%8.1f s  level %u  logit %.4f\n", (double)now / 1e3, (unsigned)level, (double)logits[0]);
  }
  if (status != RT3_OK) {
    fprintf(stderr, "%s\n", rt3_status_string(status));
    return 1;
  }
  printf("%llu switches\n", (unsigned long long)policy.switches);
  return 0;
}
