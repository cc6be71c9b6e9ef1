/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs byte-lm over a text at every level and prints what each level costs:
 *
 *   run_model byte_lm.rt3 held-out.txt
 *   level 0 bits/byte 2.1334 ms 1.012 switch_us 0.03
 *
 * The header is the one that rt3c wrote; link libbyte_lm.a and librt3.a. */
#define _POSIX_C_SOURCE 200809L

#include "byte_lm.h"
#include "rt3/rt3.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* One window of text: the model sees this many bytes and predicts the next of
 * each. The library accepts any length up to the maximum it was compiled for. */
#define WINDOW RT3_BYTE_LM_MAX_LENGTH

static void stop_if(rt3_status_t status, const char *what) {
  if (status == RT3_OK)
    return;
  fprintf(stderr, "%s: %s\n", what, rt3_status_string(status));
  exit(1);
}

/* The runtime never allocates: bundle, model and workspace are ours, each
 * aligned to 64 bytes. */
static void *allocate(size_t size) {
  void *memory = aligned_alloc(RT3_MEMORY_ALIGNMENT, (size + 63) / 64 * 64);
  if (memory == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  return memory;
}

static unsigned char *read_file(const char *path, size_t *out_size) {
  stop_if(rt3_file_read(path, NULL, 0, out_size), path);
  unsigned char *bytes = allocate(*out_size);
  stop_if(rt3_file_read(path, bytes, *out_size, out_size), path);
  return bytes;
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* -log2 of the probability that softmax(logits) gives to `byte`. */
static double bits(const float *logits, unsigned char byte) {
  double largest = logits[0], sum = 0;
  for (int i = 1; i < 256; ++i)
    largest = logits[i] > largest ? logits[i] : largest;
  for (int i = 0; i < 256; ++i)
    sum += exp(logits[i] - largest);
  return (log(sum) - (logits[byte] - largest)) / log(2.0);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s BUNDLE TEXT\n", argv[0]);
    return 2;
  }
  size_t bundle_size, text_size;
  unsigned char *bundle = read_file(argv[1], &bundle_size);
  unsigned char *text = read_file(argv[2], &text_size);

  /* Checks the CPU and every byte of the bundle that matters for safety. */
  rt3_model_t *model;
  stop_if(rt3_model_init(&rt3_byte_lm_program, bundle, bundle_size,
                         allocate(rt3_model_memory_size()), rt3_model_memory_size(), &model),
          argv[1]);
  void *workspace = allocate(rt3_model_workspace_size(model));
  static int64_t ids[WINDOW];
  static float logits[WINDOW][256];
  const void *inputs[RT3_BYTE_LM_INPUT_COUNT] = {[RT3_BYTE_LM_INPUT_IDS] = ids};
  void *outputs[RT3_BYTE_LM_OUTPUT_COUNT] = {[RT3_BYTE_LM_OUTPUT_LOGITS] = logits};

  for (uint32_t level = 0; level < RT3_BYTE_LM_LEVEL_COUNT; ++level) {
    /* A switch is one store; it may come from any thread, at any time. */
    double before = milliseconds();
    stop_if(rt3_model_set_level(model, level), "set level");
    double switch_time = milliseconds() - before, best = 1e30, sum = 0;
    size_t count = 0;
    for (size_t start = 0; start + 1 < text_size; start += WINDOW) {
      size_t length = text_size - 1 - start < WINDOW ? text_size - 1 - start : WINDOW;
      for (size_t i = 0; i < length; ++i)
        ids[i] = text[start + i];
      rt3_run_t run = {.inputs = inputs, .outputs = outputs, .length = (int64_t)length,
                       .workspace = workspace, .workspace_size = rt3_model_workspace_size(model)};
      double begin = milliseconds();
      stop_if(rt3_model_run(model, &run), "run");
      double time = milliseconds() - begin;
      if (length == WINDOW && time < best)
        best = time;
      for (size_t i = 0; i < length; ++i, ++count)
        sum += bits(logits[i], text[start + i + 1]);
    }
    printf("level %u bits/byte %.4f ms %.3f switch_us %.2f\n", level, sum / (double)count, best, switch_time * 1e3);
  }
  free(bundle);
  free(text);
  free(workspace);
  free(model);
  return 0;
}
