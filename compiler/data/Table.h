// SPDX-License-Identifier: Apache-2.0
//
// Texts with labels, from tab-separated files with a header, as GLUE's are.

#ifndef RT3_COMPILER_DATA_TABLE_H
#define RT3_COMPILER_DATA_TABLE_H

#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace mlir::rt3 {

struct TextExample {
  std::string first;
  std::optional<std::string> second;
  double label = 0;
  int64_t line = 0; // Of the file, from 1.
};

// Names of columns; empty: the usual ones (sentence1 and sentence2; or sentence, content,
// text, question; label or score).
struct TableColumns {
  std::vector<std::string> texts; // One or two.
  std::string label;
};

// The rows of a file. A label is a finite number; with `classCount` a whole one from 0 to
// below it. Without `hasLabels` the label column is not looked at.
//
// Errors name the line: no such column, too few cells, a label that is none, no row.
llvm::Expected<std::vector<TextExample>> parseTable(llvm::StringRef text, const TableColumns &columns, bool hasLabels,
                                                    std::optional<int64_t> classCount = std::nullopt);

// The texts of a file that is no table: its lines, or with `isBytes` windows of `maxLength` bytes. Empty ones are
// left out.
std::vector<std::string> splitTexts(llvm::StringRef text, bool isBytes, int64_t maxLength);

} // namespace mlir::rt3

#endif // RT3_COMPILER_DATA_TABLE_H
