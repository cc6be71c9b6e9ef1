// SPDX-License-Identifier: Apache-2.0
//
// A program written by hand, with two levels and one sparse stream, and its
// bundle: what the tests and the fuzzer of the runtime spoil.

#ifndef RT3_TESTS_RUNTIME_SMALL_PROGRAM_H
#define RT3_TESTS_RUNTIME_SMALL_PROGRAM_H

#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

// Level l writes input[i] + l to output[i], i < length; it reads its stream as a
// kernel would.
extern const rt3_program_t kSmallProgram;

// A bundle of it that is right.
std::string smallBundle();

// Sets the hash of a bundle to what it should be, so that other checks are met.
void repairHash(std::string &bundle);

struct Free {
  void operator()(void *memory) const { free(memory); }
};
using Memory = std::unique_ptr<char, Free>;

// A copy in memory of exactly its size rounded up to nothing, aligned to 64, so
// that AddressSanitizer sees any read past it.
Memory alignedCopy(const std::string &bytes);

#endif // RT3_TESTS_RUNTIME_SMALL_PROGRAM_H
