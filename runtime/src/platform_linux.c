// SPDX-License-Identifier: Apache-2.0
//
// The only calls to the system: reading a file whole. Files are read, not
// mapped, because a mapped file that is cut short kills the process.

// Before any header: POSIX with plain C11.
#define _POSIX_C_SOURCE 200809L

#include "rt3/rt3.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static rt3_status_t read_all(int file, uint8_t *memory, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t count = read(file, memory + done, size - done);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return RT3_FILE_ERROR;
    done += (size_t)count;
  }
  return RT3_OK;
}

rt3_status_t rt3_file_read(const char *path, void *memory, size_t memory_size,
                           size_t *out_file_size) {
  if (path == NULL || out_file_size == NULL)
    return RT3_INVALID_ARGUMENT;
  // Not to wait for a writer if it is a pipe.
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0)
    return RT3_FILE_ERROR;
  rt3_status_t status = RT3_FILE_ERROR;
  struct stat info;
  if (fstat(file, &info) == 0 && S_ISREG(info.st_mode)) {
    *out_file_size = (size_t)info.st_size;
    if (memory == NULL)
      status = RT3_OK;
    else if (memory_size < *out_file_size)
      status = RT3_MEMORY_TOO_SMALL;
    else
      status = read_all(file, memory, *out_file_size);
  }
  close(file);
  return status;
}
