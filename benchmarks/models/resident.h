/* SPDX-License-Identifier: Apache-2.0
 *
 * A process's memory, for C and C++. */
#ifndef RT3_BENCHMARKS_MODELS_RESIDENT_H
#define RT3_BENCHMARKS_MODELS_RESIDENT_H

#include <stdio.h>

/* Prints `milliseconds`, then in KiB the peak of resident memory and what of the memory
 * resident now is the process's own: pages of mapped files can be dropped at any time. */
static void print_start(double milliseconds) {
  char line[200];
  long peak = 0, own = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status != NULL && fgets(line, sizeof line, status) != NULL) {
    sscanf(line, "VmHWM: %ld", &peak);
    sscanf(line, "RssAnon: %ld", &own);
  }
  printf("%.3f %ld %ld\n", milliseconds, peak, own);
  fflush(stdout);
}

#endif
