// SPDX-License-Identifier: Apache-2.0
//
// Texts through a compiled model, and what a task makes of its results.

#ifndef RT3_COMPILER_VERBS_TEXTRUNNER_H
#define RT3_COMPILER_VERBS_TEXTRUNNER_H

#include "compiler/data/Metrics.h"
#include "compiler/data/Table.h"
#include "compiler/data/TextInputs.h"
#include "compiler/verbs/LoadedModel.h"

namespace mlir::rt3 {

// The data of a task.
struct TaskData {
  std::string path, text; // A table, or of language models a text.
  TableColumns columns;
  int64_t samples = 0; // Rows from the beginning; 0: all.
};

class TextRunner {
public:
  // `output` is the name of the result that the task looks at; empty: the first. Errors:
  // inputs that are no texts, a result that does not suit the task, a vocabulary that is
  // larger than that of the result.
  static llvm::Expected<TextRunner> make(LoadedModel &model, Task task, const Tokenizer &tokenizer,
                                         const std::string &output);

  // Classes of the result of a classification.
  int64_t classCount() const { return width; }

  // One outcome per example. Similarity is the cosine of both texts' results, means over
  // tokens if they have such.
  llvm::Expected<std::vector<Outcome>> runTable(llvm::ArrayRef<TextExample> examples);

  // One outcome per window of as many tokens as the model reads at once, of each token
  // behind the first of its window; windows do not overlap.
  llvm::Expected<std::vector<Outcome>> runText(llvm::StringRef text);

  // The one of these that suits the task. Errors name the file.
  llvm::Expected<std::vector<Outcome>> runData(const TaskData &data);

private:
  TextRunner(LoadedModel &model, Task task, const Tokenizer &tokenizer)
      : model(model), task(task), tokenizer(tokenizer) {}
  llvm::Error run(const TokenText &text);
  // The mean over the tokens of the last text.
  std::vector<double> pooled(const TokenText &text) const;

  LoadedModel &model;
  Task task;
  const Tokenizer &tokenizer;
  TextInputs inputs;
  uint32_t output = 0;
  bool hasTokens = false; // The result has an axis of tokens.
  int64_t width = 0;      // Its last axis.
  std::vector<AlignedMemory> memory;
  std::vector<void *> outputs;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_VERBS_TEXTRUNNER_H
