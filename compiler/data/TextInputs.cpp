// SPDX-License-Identifier: Apache-2.0

#include "compiler/data/TextInputs.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir::rt3;

std::vector<double> TextInputs::elements(size_t i, const TokenText &text) const {
  std::vector<double> result(lengthOf(text), 0);
  for (size_t token = 0; token < std::min(text.ids.size(), result.size()); ++token)
    result[token] = roles[i] == TextRole::Ids     ? double(text.ids[token])
                    : roles[i] == TextRole::Types ? double(text.types[token])
                                                  : 1.0;
  return result;
}

llvm::Expected<TextInputs> mlir::rt3::bindTextInputs(llvm::ArrayRef<InputShape> inputs) {
  TextInputs result;
  std::string ids;
  bool hasMask = false;
  for (const InputShape &input : inputs) {
    bool fits = input.isInteger && input.dims.size() == 2 && input.dims[0] == 1;
    if (!fits)
      return llvm::createStringError("input " + input.name +
                                     " does not take a text: expected integers of shape [1, length]");
    if (input.dims[1] >= 0)
      result.fixedLength = input.dims[1];
    llvm::StringRef name = input.name;
    TextRole role = name.contains_insensitive("mask")                                           ? TextRole::Mask
                    : name.contains_insensitive("type") || name.contains_insensitive("segment") ? TextRole::Types
                                                                                                : TextRole::Ids;
    if (role == TextRole::Ids && !ids.empty())
      return llvm::createStringError("inputs " + ids + " and " + input.name +
                                     " could both be tokens: expected one, and others with mask, type or segment in "
                                     "their names");
    if (role == TextRole::Ids)
      ids = input.name;
    hasMask |= role == TextRole::Mask;
    result.roles.push_back(role);
  }
  if (ids.empty())
    return llvm::createStringError("the model has no input for tokens");
  if (result.fixedLength && !hasMask)
    return llvm::createStringError("the model reads " + llvm::Twine(result.fixedLength) +
                                   " tokens at once and has no mask for texts that are shorter; import it with a "
                                   "free length: --shape " +
                                   ids + "=1x1.." + llvm::Twine(result.fixedLength));
  return result;
}
