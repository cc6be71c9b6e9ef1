// SPDX-License-Identifier: Apache-2.0
//
// Texts to token numbers: BERT's WordPiece, and a token per byte.

#ifndef RT3_COMPILER_DATA_TOKENIZER_H
#define RT3_COMPILER_DATA_TOKENIZER_H

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace mlir::rt3 {

// What a model reads of a text, or of two.
struct TokenText {
  std::vector<int64_t> ids;
  std::vector<int64_t> types; // 0 for the first text and what stands around it, 1 for the second.
};

class Tokenizer {
public:
  virtual ~Tokenizer();

  // `second` null: one text. Tokens beyond `maxLength` are cut from the end of the longer
  // text. Any bytes are a text; what is no UTF-8 is left out where characters matter.
  virtual TokenText encode(llvm::StringRef first, const std::string *second, int64_t maxLength) const = 0;
  virtual int64_t vocabularySize() const = 0;
};

// BERT's tokenizer (Devlin et al., 2019, with the splitting of its reference code):
// characters are cleaned, split at spaces, marks and CJK characters, and words are cut into
// the longest pieces that the vocabulary has. Text is lowered and stripped of accents
// unless the vocabulary has upper case.
//
// `vocabulary` is vocab.txt, a token per line. Errors: [UNK], [CLS] or [SEP] is missing.
llvm::Expected<std::unique_ptr<Tokenizer>> makeWordPiece(llvm::StringRef vocabulary);

// Token b for byte b, without marks around; two texts are joined by a line break.
std::unique_ptr<Tokenizer> makeByteTokenizer();

} // namespace mlir::rt3

#endif // RT3_COMPILER_DATA_TOKENIZER_H
