// SPDX-License-Identifier: Apache-2.0

#include "compiler/train/Batches.h"

#include <algorithm>
#include <numeric>
#include <random>

using namespace mlir::rt3;
using torch::Tensor;

// Groups among which texts are sorted by length.
static constexpr size_t kSortedGroups = 50;

llvm::Expected<Dataset> Dataset::make(Task task, llvm::StringRef data, const TableColumns &columns, Labels labels,
                                      const Tokenizer &tokenizer, const TextInputs &inputs, int64_t maxLength) {
  Dataset result;
  result.task = task;
  result.inputs = inputs;
  if (task == Task::LanguageModel) {
    TokenText all = tokenizer.encode(data, nullptr, std::numeric_limits<int64_t>::max());
    for (size_t begin = 0; begin + maxLength < all.ids.size(); begin += maxLength) {
      auto first = all.ids.begin() + begin;
      result.examples.push_back(
          {{{{first, first + maxLength}, std::vector<int64_t>(maxLength, 0)}}, 0, {first + 1, first + maxLength + 1}});
    }
    if (result.examples.empty())
      return llvm::createStringError("the text has " + llvm::Twine(all.ids.size()) +
                                     " tokens, expected more than the " + llvm::Twine(maxLength) +
                                     " that the model reads at once");
    return result;
  }
  auto rows = parseTable(data, columns, labels.areNeeded, labels.classCount);
  if (!rows)
    return rows.takeError();
  for (const TextExample &row : *rows) {
    Example example{{}, row.label, {}};
    if (task == Task::Similarity && !row.second)
      return llvm::createStringError("similarity is of two texts: expected --text twice, or columns sentence1 and "
                                     "sentence2");
    if (task == Task::Similarity)
      for (const std::string &text : {row.first, *row.second})
        example.sides.push_back(tokenizer.encode(text, nullptr, maxLength));
    else
      example.sides.push_back(tokenizer.encode(row.first, row.second ? &*row.second : nullptr, maxLength));
    for (const TokenText &side : example.sides)
      if (side.ids.empty())
        return llvm::createStringError("line " + llvm::Twine(row.line) + " has an empty text");
    result.examples.push_back(std::move(example));
  }
  return result;
}

llvm::Expected<Dataset> Dataset::ofTexts(llvm::ArrayRef<std::string> texts, const Tokenizer &tokenizer,
                                         const TextInputs &inputs, int64_t maxLength) {
  Dataset result;
  result.task = Task::Regression;
  result.inputs = inputs;
  for (const std::string &text : texts)
    if (TokenText tokens = tokenizer.encode(text, nullptr, maxLength); !tokens.ids.empty())
      result.examples.push_back({{std::move(tokens)}, 0, {}});
  if (result.examples.empty())
    return llvm::createStringError("has no text");
  return result;
}

double Dataset::largestLabel() const {
  double largest = 0;
  for (const Example &example : examples)
    largest = std::max(largest, example.label);
  return largest;
}

// Not std::shuffle, which libraries implement differently.
template <typename T> static void shuffle(std::vector<T> &values, std::mt19937_64 &random) {
  for (size_t i = values.size(); i > 1; --i)
    std::swap(values[i - 1], values[random() % i]);
}

std::vector<std::vector<size_t>> Dataset::shuffled(int64_t rows, uint64_t seed, int64_t epoch) const {
  std::mt19937_64 random(seed * 1000003 + epoch);
  std::vector<size_t> order(examples.size());
  std::iota(order.begin(), order.end(), 0);
  shuffle(order, random);
  auto length = [&](size_t i) { return examples[i].sides[0].ids.size(); };
  std::vector<std::vector<size_t>> groups;
  for (size_t begin = 0; begin < order.size(); begin += kSortedGroups * rows) {
    auto first = order.begin() + begin, last = order.begin() + std::min(order.size(), begin + kSortedGroups * rows);
    std::sort(first, last, [&](size_t a, size_t b) { return std::pair(length(a), a) < std::pair(length(b), b); });
    for (; last - first >= rows; first += rows)
      groups.emplace_back(first, first + rows);
  }
  shuffle(groups, random);
  return groups;
}

std::vector<std::vector<size_t>> Dataset::inOrder(int64_t rows) const {
  std::vector<std::vector<size_t>> groups;
  for (size_t i = 0; i < examples.size(); ++i) {
    if (i % rows == 0)
      groups.emplace_back();
    groups.back().push_back(i);
  }
  return groups;
}

Texts Dataset::texts(llvm::ArrayRef<size_t> which, int64_t rows, size_t side) const {
  Texts result;
  for (size_t i : which)
    result.length = std::max(result.length, inputs.lengthOf(examples[i].sides[side]));
  result.mask = torch::zeros({rows, result.length});
  TextInputs padded = inputs;
  padded.fixedLength = result.length;
  for (size_t input = 0; input < inputs.roles.size(); ++input)
    result.inputs.push_back(torch::zeros({rows, result.length}, torch::kInt64));
  for (int64_t row = 0; row < rows; ++row) {
    const TokenText &text = examples[which[row < int64_t(which.size()) ? row : 0]].sides[side];
    for (size_t input = 0; input < inputs.roles.size(); ++input) {
      std::vector<double> elements = padded.elements(input, text);
      std::copy(elements.begin(), elements.end(), result.inputs[input].data_ptr<int64_t>() + row * result.length);
    }
    std::fill_n(result.mask.data_ptr<float>() + row * result.length, text.ids.size(), 1.0f);
  }
  return result;
}

Batch Dataset::batch(llvm::ArrayRef<size_t> which, int64_t rows) const {
  Batch result;
  result.count = which.size();
  for (size_t side = 0; side < examples[which[0]].sides.size(); ++side)
    result.sides.push_back(texts(which, rows, side));
  int64_t length = task == Task::LanguageModel ? result.sides[0].length : 1;
  auto type = task == Task::LanguageModel ? torch::kInt64 : torch::kFloat32;
  result.labels = torch::zeros({rows, length}, type);
  for (size_t row = 0; row < which.size(); ++row) {
    const Example &example = examples[which[row]];
    if (task == Task::LanguageModel)
      std::copy(example.next.begin(), example.next.end(), result.labels.data_ptr<int64_t>() + row * length);
    else
      result.labels.data_ptr<float>()[row] = float(example.label);
  }
  if (task != Task::LanguageModel)
    result.labels = result.labels.flatten();
  return result;
}
