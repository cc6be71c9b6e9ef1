// SPDX-License-Identifier: Apache-2.0
//
// Statuses in words.

#include "rt3/rt3.h"

const char *rt3_status_string(rt3_status_t status) {
  switch (status) {
  case RT3_OK:
    return "no error";
  case RT3_INVALID_ARGUMENT:
    return "an argument is NULL, out of range or overlaps another one";
  case RT3_MISALIGNED:
    return "memory is not aligned: 64 bytes for bundle, model and workspace, "
           "its element size for a tensor";
  case RT3_MEMORY_TOO_SMALL:
    return "memory is smaller than the size reported for it";
  case RT3_CONTEXT_FULL:
    return "the text would get longer than the state holds; begin a new one, "
           "or compile the model with a larger --kv-cache";
  case RT3_CORRUPT_BUNDLE:
    return "the bundle is truncated, damaged or no RT3 bundle; copy it again";
  case RT3_UNSUPPORTED_VERSION:
    return "the bundle needs another version of the runtime; recompile the "
           "model or update the runtime";
  case RT3_WRONG_MODEL:
    return "the bundle belongs to another model or compilation than the "
           "library; ship the two that were written together";
  case RT3_UNSUPPORTED_CPU:
    return "the library needs instructions that this CPU does not have; "
           "recompile the model for this CPU";
  case RT3_FILE_ERROR:
    return "the file cannot be opened or read";
  case RT3_SYSTEM_ERROR:
    return "a thread cannot be started";
  }
  return "unknown status";
}
