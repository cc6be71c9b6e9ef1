/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes a text with byte-lm, compiled with --kv-cache, and lowers the level on the
 * way, as a phone would when its clock drops:
 *
 *   generate byte_lm.rt3 "The people " 60
 *
 * The header is the one that rt3c wrote; link libbyte_lm.a and librt3.a. */
#define _POSIX_C_SOURCE 200809L

#include "byte_lm.h"
#include "rt3/rt3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void stop_if(rt3_status_t status, const char *what) {
  if (status == RT3_OK)
    return;
  fprintf(stderr, "%s: %s\n", what, rt3_status_string(status));
  exit(1);
}

static void *allocate(size_t size) {
  void *memory = aligned_alloc(RT3_MEMORY_ALIGNMENT, (size + 63) / 64 * 64);
  if (memory == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  return memory;
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s BUNDLE PROMPT TOKENS\n", argv[0]);
    return 2;
  }
  const char *prompt = argv[2];
  long tokens = strtol(argv[3], NULL, 10);
  size_t bundle_size;
  stop_if(rt3_file_read(argv[1], NULL, 0, &bundle_size), argv[1]);
  void *bundle = allocate(bundle_size);
  stop_if(rt3_file_read(argv[1], bundle, bundle_size, &bundle_size), argv[1]);
  rt3_model_t *model;
  void *model_memory = allocate(rt3_model_memory_size());
  stop_if(rt3_model_init(&rt3_byte_lm_program, bundle, bundle_size, model_memory, rt3_model_memory_size(), &model),
          argv[1]);
  void *workspace = allocate(rt3_model_workspace_size(model));

  /* Keys and values of the text so far; all levels share them. */
  rt3_state_t *text;
  void *text_memory = allocate(rt3_model_state_size(model));
  stop_if(rt3_state_init(model, text_memory, rt3_model_state_size(model), &text), "state");

  static int64_t ids[RT3_BYTE_LM_MAX_LENGTH];
  static float logits[RT3_BYTE_LM_MAX_LENGTH][256];
  const void *inputs[] = {ids};
  void *outputs[] = {logits};
  double time[RT3_BYTE_LM_LEVEL_COUNT] = {0};
  long count[RT3_BYTE_LM_LEVEL_COUNT] = {0};
  uint32_t level = RT3_BYTE_LM_LEVEL_COUNT - 1;
  stop_if(rt3_model_set_level(model, level), "set level");
  fputs(prompt, stdout);
  size_t left = strlen(prompt);
  for (long token = 0; token < tokens;) {
    /* The prompt in parts of up to MAX_LENGTH tokens, then each new token. */
    int64_t length = 1;
    if (left > 0) {
      length = left < RT3_BYTE_LM_MAX_LENGTH ? (int64_t)left : RT3_BYTE_LM_MAX_LENGTH;
      for (int64_t i = 0; i < length; ++i)
        ids[i] = (unsigned char)*prompt++;
      left -= (size_t)length;
    }
    rt3_run_t run = {.inputs = inputs, .outputs = outputs, .length = length, .workspace = workspace,
                     .workspace_size = rt3_model_workspace_size(model), .state = text};
    double begin = milliseconds();
    stop_if(rt3_model_run(model, &run), "run"); /* RT3_CONTEXT_FULL ends a text. */
    if (length == 1) {
      time[level] += milliseconds() - begin;
      ++count[level];
    }
    if (left > 0)
      continue;
    const float *last = logits[length - 1];
    int best = 0;
    for (int i = 1; i < 256; ++i)
      best = last[i] > last[best] ? i : best;
    putchar(best);
    ids[0] = best;
    ++token;
    /* One level down after every third of the text. */
    if (level > 0 && token == tokens * (RT3_BYTE_LM_LEVEL_COUNT - level) / RT3_BYTE_LM_LEVEL_COUNT)
      stop_if(rt3_model_set_level(model, --level), "set level");
  }
  putchar('\n');
  for (level = RT3_BYTE_LM_LEVEL_COUNT; level-- > 0;)
    if (count[level] > 0)
      printf("level %u: %.4f ms per token\n", level, time[level] / (double)count[level]);
  free(bundle);
  free(model_memory);
  free(workspace);
  free(text_memory);
  return 0;
}
