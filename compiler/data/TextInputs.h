// SPDX-License-Identifier: Apache-2.0
//
// Tokens of texts as inputs of a model, by the names that exporters give these.

#ifndef RT3_COMPILER_DATA_TEXTINPUTS_H
#define RT3_COMPILER_DATA_TEXTINPUTS_H

#include "compiler/data/Metrics.h"
#include "compiler/data/Tokenizer.h"

namespace mlir::rt3 {

struct InputShape {
  std::string name;
  bool isInteger;
  std::vector<int64_t> dims; // -1: the free dimension.
};

enum class TextRole { Ids, Types, Mask };

// How a model takes a text.
struct TextInputs {
  std::vector<TextRole> roles; // Of each input.
  int64_t fixedLength = 0;     // Texts are padded to it; 0: the length is free.

  // The tokens that the model reads of one text.
  int64_t lengthOf(const TokenText &text) const { return fixedLength ? fixedLength : int64_t(text.ids.size()); }
  // The elements of input `i`, padded with zeros.
  std::vector<double> elements(size_t i, const TokenText &text) const;
};

// Inputs must be integers of shape [1, length]. A name with "mask" takes ones where tokens
// are, one with "type" or "segment" which text a token is of, the one other the tokens.
//
// Errors name the input that is none of these.
llvm::Expected<TextInputs> bindTextInputs(llvm::ArrayRef<InputShape> inputs);

// Whether a result of f32 suits a task; an error says what was expected. `dims` has -1 for the
// free dimension; `vocabulary` are the tokens that texts have.
llvm::Error checkTaskOutput(Task task, const std::string &name, llvm::ArrayRef<int64_t> dims, const TextInputs &inputs,
                            int64_t vocabulary);

} // namespace mlir::rt3

#endif // RT3_COMPILER_DATA_TEXTINPUTS_H
