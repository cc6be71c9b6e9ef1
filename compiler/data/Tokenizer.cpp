// SPDX-License-Identifier: Apache-2.0

#include "compiler/data/Tokenizer.h"

#include "llvm/ADT/StringExtras.h"

#include <utf8proc.h>

using namespace mlir::rt3;
using llvm::StringRef;

Tokenizer::~Tokenizer() = default;

// Words of more characters are one unknown token, as in BERT.
static constexpr size_t kMaxWord = 100;

// The code points of a text; bytes that are no UTF-8 are left out.
static std::vector<int32_t> codePoints(StringRef text) {
  std::vector<int32_t> result;
  while (!text.empty()) {
    utf8proc_int32_t point;
    utf8proc_ssize_t size = utf8proc_iterate(text.bytes_begin(), text.size(), &point);
    if (size > 0)
      result.push_back(point);
    text = text.drop_front(size > 0 ? size : 1);
  }
  return result;
}

static std::string toUtf8(llvm::ArrayRef<int32_t> points) {
  std::string result;
  for (int32_t point : points) {
    utf8proc_uint8_t bytes[4];
    result.append(reinterpret_cast<char *>(bytes), utf8proc_encode_char(point, bytes));
  }
  return result;
}

static bool isSpace(int32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || utf8proc_category(c) == UTF8PROC_CATEGORY_ZS;
}

static bool isControl(int32_t c) {
  utf8proc_category_t category = utf8proc_category(c);
  return c == 0 || c == 0xfffd || category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CN || category == UTF8PROC_CATEGORY_CO || category == UTF8PROC_CATEGORY_CS;
}

// Marks are tokens of their own: Unicode's punctuation, and all of ASCII that is
// neither letter nor digit.
static bool isMark(int32_t c) {
  if (c < 128)
    return c > 32 && c < 127 && !llvm::isAlnum(char(c));
  utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

static bool isCjk(int32_t c) {
  static constexpr std::pair<int32_t, int32_t> kRanges[] = {{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df},
                                                            {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b820, 0x2ceaf},
                                                            {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
  return llvm::any_of(kRanges, [&](auto range) { return c >= range.first && c <= range.second; });
}

// Lower case without accents.
static std::vector<int32_t> lowered(int32_t c) {
  int32_t parts[16];
  int boundary = 0;
  utf8proc_ssize_t count =
      utf8proc_decompose_char(utf8proc_tolower(c), parts, std::size(parts), UTF8PROC_DECOMPOSE, &boundary);
  std::vector<int32_t> result;
  for (utf8proc_ssize_t i = 0; i < std::min<utf8proc_ssize_t>(count, std::size(parts)); ++i)
    if (utf8proc_category(parts[i]) != UTF8PROC_CATEGORY_MN)
      result.push_back(parts[i]);
  return result;
}

// Cuts the longer of two texts until both have at most `room` tokens.
static void cut(std::vector<int64_t> &first, std::vector<int64_t> &second, int64_t room) {
  while (int64_t(first.size() + second.size()) > std::max<int64_t>(room, 0))
    (first.size() >= second.size() ? first : second).pop_back();
}

namespace {

class WordPiece : public Tokenizer {
public:
  llvm::StringMap<int64_t> numbers;
  int64_t count = 0; // Of lines, of which some may be the same.
  int64_t unknown = 0, begin = 0, end = 0;
  bool isCased = false;

  int64_t vocabularySize() const override { return count; }

  TokenText encode(StringRef first, const std::string *second, int64_t maxLength) const override {
    std::vector<int64_t> a = pieces(first), b;
    if (second)
      b = pieces(*second);
    cut(a, b, maxLength - (second ? 3 : 2));
    TokenText result;
    auto add = [&](int64_t id, int64_t type) {
      result.ids.push_back(id);
      result.types.push_back(type);
    };
    add(begin, 0);
    for (int64_t id : a)
      add(id, 0);
    add(end, 0);
    for (int64_t id : b)
      add(id, 1);
    if (second)
      add(end, 1);
    result.ids.resize(std::min<size_t>(result.ids.size(), maxLength));
    result.types.resize(result.ids.size());
    return result;
  }

private:
  std::vector<int64_t> pieces(StringRef text) const {
    std::vector<int64_t> result;
    std::vector<int32_t> word;
    auto endWord = [&] {
      if (!word.empty())
        addWord(word, result);
      word.clear();
    };
    for (int32_t point : codePoints(text)) {
      if (isSpace(point)) {
        endWord();
        continue;
      }
      if (isControl(point))
        continue;
      for (int32_t c : isCased ? std::vector<int32_t>{point} : lowered(point)) {
        bool isAlone = isMark(c) || isCjk(c);
        if (isAlone)
          endWord();
        word.push_back(c);
        if (isAlone)
          endWord();
      }
    }
    endWord();
    return result;
  }

  // The longest pieces from the left; one unknown token if they do not cover the word.
  void addWord(llvm::ArrayRef<int32_t> word, std::vector<int64_t> &result) const {
    size_t before = result.size();
    bool isKnown = word.size() <= kMaxWord;
    for (size_t start = 0, stop; isKnown && start < word.size(); start = stop) {
      auto found = numbers.end();
      for (stop = word.size(); stop > start; --stop) {
        std::string piece = (start ? "##" : "") + toUtf8(word.slice(start, stop - start));
        if ((found = numbers.find(piece)) != numbers.end())
          break;
      }
      isKnown = found != numbers.end();
      if (isKnown)
        result.push_back(found->second);
    }
    if (!isKnown) {
      result.resize(before);
      result.push_back(unknown);
    }
  }
};

class Bytes : public Tokenizer {
public:
  int64_t vocabularySize() const override { return 256; }

  TokenText encode(StringRef first, const std::string *second, int64_t maxLength) const override {
    std::vector<int64_t> a(first.bytes_begin(), first.bytes_end()), b;
    if (second)
      b.assign(StringRef(*second).bytes_begin(), StringRef(*second).bytes_end());
    cut(a, b, maxLength - (second ? 1 : 0));
    TokenText result{a, std::vector<int64_t>(a.size() + (second ? 1 : 0), 0)};
    if (second) {
      result.ids.push_back('\n');
      result.ids.insert(result.ids.end(), b.begin(), b.end());
      result.types.resize(result.ids.size(), 1);
    }
    return result;
  }
};

} // namespace

llvm::Expected<std::unique_ptr<Tokenizer>> mlir::rt3::makeWordPiece(StringRef vocabulary) {
  auto result = std::make_unique<WordPiece>();
  int64_t number = 0;
  for (StringRef rest = vocabulary; !rest.empty(); ++number) {
    auto [line, behind] = rest.split('\n');
    rest = behind;
    line = line.rtrim('\r');
    result->numbers.try_emplace(line, number);
    bool isSpecial = line.starts_with("[") && line.ends_with("]");
    result->isCased |= !isSpecial && line.size() > 1 && llvm::any_of(line, [](char c) { return c >= 'A' && c <= 'Z'; });
  }
  result->count = number;
  for (auto [token, id] : {std::pair("[UNK]", &result->unknown), {"[CLS]", &result->begin}, {"[SEP]", &result->end}}) {
    auto found = result->numbers.find(token);
    if (found == result->numbers.end())
      return llvm::createStringError("the vocabulary has no " + llvm::Twine(token) +
                                     "; expected the vocab.txt of a BERT model, a token per line");
    *id = found->second;
  }
  return std::unique_ptr<Tokenizer>(std::move(result));
}

std::unique_ptr<Tokenizer> mlir::rt3::makeByteTokenizer() { return std::make_unique<Bytes>(); }
