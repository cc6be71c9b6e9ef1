// SPDX-License-Identifier: Apache-2.0

#ifndef RT3_COMPILER_PROGRESS_H
#define RT3_COMPILER_PROGRESS_H

#include <chrono>
#include <cstddef>
#include <string>

namespace mlir::rt3 {

// A line on stderr that says how far long work is and how long it will take; nothing where
// that is no terminal.
class Progress {
public:
  Progress(std::string what, size_t count);
  ~Progress();
  // `note` stands behind the time.
  void show(size_t done, const std::string &note = "");

private:
  std::string what;
  size_t count;
  bool isShown;
  std::chrono::steady_clock::time_point begin;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_PROGRESS_H
