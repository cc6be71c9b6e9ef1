// SPDX-License-Identifier: Apache-2.0
//
// Labelled texts as tensors, a few at a time.

#ifndef RT3_COMPILER_TRAIN_BATCHES_H
#define RT3_COMPILER_TRAIN_BATCHES_H

#include "compiler/data/Metrics.h"
#include "compiler/data/Table.h"
#include "compiler/data/TextInputs.h"
#include "compiler/train/Torch.h"

namespace mlir::rt3 {

// Texts that go through the model together, padded to one length.
struct Texts {
  std::vector<torch::Tensor> inputs; // Of the model, [rows, length].
  torch::Tensor mask;                // [rows, length] of f32: 1 where tokens are.
  int64_t length = 0;
};

struct Batch {
  std::vector<Texts> sides; // One, or of similarity two.
  torch::Tensor labels;     // [rows] of f32, of language models [rows, length] of the next tokens.
  int64_t count = 0;        // Rows that count; others fill up.
};

struct Labels {
  bool areNeeded = true;
  std::optional<int64_t> classCount; // Then they are classes.
};

// What a model is trained on, or measured with.
class Dataset {
public:
  // Of texts alone, whose labels are 0. Errors: none has a token.
  static llvm::Expected<Dataset> ofTexts(llvm::ArrayRef<std::string> texts, const Tokenizer &tokenizer,
                                         const TextInputs &inputs, int64_t maxLength);
  // `data` is a table, of language models a text. Texts are cut to `maxLength` tokens.
  // Labels that are not needed are 0. Errors as parseTable's.
  static llvm::Expected<Dataset> make(Task task, llvm::StringRef data, const TableColumns &columns, Labels labels,
                                      const Tokenizer &tokenizer, const TextInputs &inputs, int64_t maxLength);

  int64_t size() const { return examples.size(); }
  double largestLabel() const;
  double label(size_t i) const { return examples[i].label; }

  // The examples of an epoch in groups of `rows`: shuffled by `seed` and `epoch`, with
  // texts of similar length together. What does not fill a group is left out.
  std::vector<std::vector<size_t>> shuffled(int64_t rows, uint64_t seed, int64_t epoch) const;
  // All examples in order; the last group may be smaller.
  std::vector<std::vector<size_t>> inOrder(int64_t rows) const;

  // The examples as tensors, filled up to `rows` with the first one.
  Batch batch(llvm::ArrayRef<size_t> which, int64_t rows) const;

private:
  struct Example {
    std::vector<TokenText> sides;
    double label;
    std::vector<int64_t> next; // Of language models.
  };
  Texts texts(llvm::ArrayRef<size_t> which, int64_t rows, size_t side) const;

  Task task = Task::Classification;
  TextInputs inputs;
  std::vector<Example> examples;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_TRAIN_BATCHES_H
