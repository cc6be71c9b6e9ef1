// SPDX-License-Identifier: Apache-2.0

#include "compiler/Progress.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::rt3;

Progress::Progress(std::string what, size_t count)
    : what(std::move(what)), count(count), isShown(llvm::sys::Process::StandardErrIsDisplayed()),
      begin(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (isShown)
    llvm::errs() << "\r\033[K";
}

void Progress::show(size_t done, const std::string &note) {
  if (!isShown || done == 0)
    return;
  double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  llvm::errs() << llvm::formatv("\r\033[K{0}: {1} of {2}, {3:f0} s left {4}", what, done, count,
                                elapsed / done * (count - done), note);
}
