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
    if (input.dims[1] != inputs.front().dims[1])
      return llvm::createStringError("inputs " + inputs.front().name + " and " + input.name +
                                     " have different lengths: expected one for all (--shape)");
    result.fixedLength = std::max<int64_t>(0, input.dims[1]);
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

// What a task needs the result to be.
static const char *wantedOutput(Task task) {
  switch (task) {
  case Task::Classification:
    return "[1, classes]";
  case Task::Regression:
    return "[1, 1]";
  case Task::Similarity:
    return "[1, features] or [1, length, features]";
  case Task::LanguageModel:
    return "[1, length, vocabulary]";
  }
  llvm_unreachable("no task");
}

llvm::Error mlir::rt3::checkTaskOutput(Task task, const std::string &name, llvm::ArrayRef<int64_t> dims,
                                       const TextInputs &inputs, int64_t vocabulary) {
  bool isVector = dims.size() == 2 && dims[0] == 1 && dims[1] >= 1;
  bool hasTokens =
      dims.size() == 3 && dims[0] == 1 && dims[1] == (inputs.fixedLength ? inputs.fixedLength : -1) && dims[2] >= 1;
  bool fits = task == Task::Classification  ? isVector && dims[1] > 1
              : task == Task::Regression    ? isVector && dims[1] == 1
              : task == Task::LanguageModel ? hasTokens
                                            : isVector || hasTokens;
  if (!fits)
    return llvm::createStringError("output " + name + " does not suit the task: expected f32 of " + wantedOutput(task));
  if (task == Task::LanguageModel && vocabulary > dims[2])
    return llvm::createStringError("the tokenizer has " + llvm::Twine(vocabulary) + " tokens, the model gives " +
                                   llvm::Twine(dims[2]) + ": expected --tokenizer of this model");
  return llvm::Error::success();
}
