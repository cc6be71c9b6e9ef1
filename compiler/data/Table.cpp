// SPDX-License-Identifier: Apache-2.0

#include "compiler/data/Table.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <cmath>

using namespace mlir::rt3;
using llvm::StringRef;

using Cells = llvm::SmallVector<StringRef>;

static StringRef takeLine(StringRef &rest) {
  auto [line, behind] = rest.split('\n');
  rest = behind;
  return line.rtrim('\r');
}

namespace {
struct Places {
  std::vector<size_t> texts;
  size_t label = 0;
};
} // namespace

static llvm::Expected<Places> findColumns(const Cells &header, const TableColumns &columns, bool hasLabels) {
  auto find = [&](StringRef name) -> std::optional<size_t> {
    auto at = llvm::find(header, name);
    return at == header.end() ? std::nullopt : std::optional<size_t>(at - header.begin());
  };
  auto missing = [&](StringRef what, StringRef wanted) {
    return llvm::createStringError("line 1: no column " + wanted + " for the " + what + "; the header has " +
                                   llvm::join(header, ", "));
  };
  Places result;
  if (!columns.texts.empty()) {
    for (const std::string &name : columns.texts) {
      auto at = find(name);
      if (!at)
        return missing("text", name);
      result.texts.push_back(*at);
    }
  } else if (find("sentence1") && find("sentence2")) {
    result.texts = {*find("sentence1"), *find("sentence2")};
  } else {
    for (StringRef name : {"sentence", "content", "text", "question"})
      if (find(name) && result.texts.empty())
        result.texts = {*find(name)};
    if (result.texts.empty())
      return missing("text", "sentence1 and sentence2, sentence, content, text, or question");
  }
  if (!hasLabels)
    return result;
  std::optional<size_t> label;
  if (!columns.label.empty())
    label = find(columns.label);
  else
    label = find("label") ? find("label") : find("score");
  if (!label)
    return missing("label", columns.label.empty() ? "label or score" : StringRef(columns.label));
  result.label = *label;
  return result;
}

llvm::Expected<std::vector<TextExample>> mlir::rt3::parseTable(StringRef text, const TableColumns &columns,
                                                               bool hasLabels, std::optional<int64_t> classCount) {
  if (text.trim().empty())
    return llvm::createStringError("is empty, expected a header with the names of columns and a row per text");
  StringRef rest = text;
  Cells header;
  takeLine(rest).split(header, '\t');
  auto places = findColumns(header, columns, hasLabels);
  if (!places)
    return places.takeError();
  size_t needed = hasLabels ? places->label : 0;
  for (size_t place : places->texts)
    needed = std::max(needed, place);
  std::vector<TextExample> result;
  for (int64_t line = 2; !rest.empty(); ++line) {
    StringRef row = takeLine(rest);
    if (row.empty())
      continue;
    auto wrong = [&](const llvm::Twine &what) {
      return llvm::createStringError("line " + llvm::Twine(line) + ": " + what);
    };
    Cells cells;
    row.split(cells, '\t');
    if (cells.size() <= needed)
      return wrong(llvm::Twine(cells.size()) + " cells, expected at least " + llvm::Twine(needed + 1) +
                   ", separated by tabs");
    TextExample example;
    example.line = line;
    example.first = cells[places->texts[0]].str();
    if (places->texts.size() > 1)
      example.second = cells[places->texts[1]].str();
    if (hasLabels) {
      StringRef label = cells[places->label].trim();
      if (label.getAsDouble(example.label) || !std::isfinite(example.label))
        return wrong("label \"" + label + "\" is no number");
      bool isClass = example.label >= 0 && example.label == std::floor(example.label);
      if (classCount && (!isClass || example.label >= double(*classCount)))
        return wrong("label \"" + label + "\" is none of the " + llvm::Twine(*classCount) +
                     " classes of the model, which count from 0");
    }
    result.push_back(std::move(example));
  }
  if (result.empty())
    return llvm::createStringError("no row behind the header");
  return result;
}

std::vector<std::string> mlir::rt3::splitTexts(StringRef text, bool isBytes, int64_t maxLength) {
  std::vector<std::string> result;
  while (!text.empty()) {
    StringRef part = isBytes ? text.take_front(maxLength) : takeLine(text).trim();
    if (isBytes)
      text = text.drop_front(part.size());
    if (!part.empty())
      result.push_back(part.str());
  }
  return result;
}
