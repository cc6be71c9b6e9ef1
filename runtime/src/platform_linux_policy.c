// SPDX-License-Identifier: Apache-2.0
//
// Readings of Linux: files with a number each.

#define _POSIX_C_SOURCE 200809L

#include "rt3/rt3_policy.h"

#include <fcntl.h>
#include <unistd.h>

static int32_t read_file_number(const char *path) {
  char text[32];
  if (!path)
    return RT3_POLICY_UNKNOWN;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return RT3_POLICY_UNKNOWN;
  ssize_t size = read(file, text, sizeof text - 1);
  close(file);
  ssize_t at = 0;
  int is_negative = size > 0 && text[0] == '-';
  at += is_negative;
  int64_t number = 0;
  ssize_t first = at;
  for (; at < size && text[at] >= '0' && text[at] <= '9' && number < INT32_MAX; ++at)
    number = 10 * number + (text[at] - '0');
  // A number and at most the end of its line.
  if (at == first || number > INT32_MAX || (at < size && text[at] != '\n'))
    return RT3_POLICY_UNKNOWN;
  return (int32_t)(is_negative ? -number : number);
}

void rt3_policy_read_linux(const rt3_policy_paths_t *paths, rt3_policy_reading_t *reading) {
  reading->manual_level = read_file_number(paths->manual);
  reading->cap_khz = read_file_number(paths->cap);
  reading->battery_percent = read_file_number(paths->battery);
  reading->temperature_mc = read_file_number(paths->temperature);
}
