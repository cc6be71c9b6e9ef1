// SPDX-License-Identifier: Apache-2.0
//
// Tokenizers on known outputs, tables with faults, metrics worked out by hand.

#include "compiler/data/Metrics.h"
#include "compiler/data/Table.h"
#include "compiler/data/TextInputs.h"
#include "compiler/data/Tokenizer.h"

#include "llvm/Support/MemoryBuffer.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace mlir::rt3;

using Ids = std::vector<int64_t>;

static std::string messageOf(llvm::Error error) { return llvm::toString(std::move(error)); }

// [PAD] [UNK] [CLS] [SEP] are 0 to 3.
static std::unique_ptr<Tokenizer> smallTokenizer() {
  return llvm::cantFail(makeWordPiece("[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\ncafe\n,\n!\n東\n京\na\nb\n"));
}

TEST(WordPiece, SplitsAsBertDoes) {
  auto tokenizer = smallTokenizer();
  EXPECT_EQ(tokenizer->encode("unaffable", nullptr, 99).ids, (Ids{2, 4, 5, 6, 3}));
  EXPECT_EQ(tokenizer->encode("UNaffable,Café!", nullptr, 99).ids, (Ids{2, 4, 5, 6, 8, 7, 9, 3}));
  EXPECT_EQ(tokenizer->encode("東京", nullptr, 99).ids, (Ids{2, 10, 11, 3}));
  // A word of which a part is unknown is unknown as a whole.
  EXPECT_EQ(tokenizer->encode("unfit a", nullptr, 99).ids, (Ids{2, 1, 12, 3}));
  EXPECT_EQ(tokenizer->encode("", nullptr, 99).ids, (Ids{2, 3}));
  EXPECT_EQ(tokenizer->encode(std::string(101, 'a'), nullptr, 99).ids, (Ids{2, 1, 3}));
  // Soft hyphen and zero-width space vanish, a no-break space separates, bytes that are
  // no UTF-8 do not count.
  EXPECT_EQ(tokenizer
                ->encode("un\xc2\xad"
                         "aff\xe2\x80\x8b"
                         "able\xc2\xa0"
                         "a\xff",
                         nullptr, 99)
                .ids,
            (Ids{2, 4, 5, 6, 12, 3}));
}

TEST(WordPiece, CutsTheLongerOfTwo) {
  auto tokenizer = smallTokenizer();
  std::string second = "b b";
  TokenText text = tokenizer->encode("a a a a", &second, 8);
  EXPECT_EQ(text.ids, (Ids{2, 12, 12, 12, 3, 13, 13, 3}));
  EXPECT_EQ(text.types, (Ids{0, 0, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(tokenizer->encode("a a a a", nullptr, 4).ids, (Ids{2, 12, 12, 3}));
  EXPECT_EQ(tokenizer->encode("a", nullptr, 1).ids, (Ids{2}));
}

TEST(WordPiece, KeepsCaseThatTheVocabularyHas) {
  auto cased = llvm::cantFail(makeWordPiece("[UNK]\n[CLS]\n[SEP]\nHello\nhello\n"));
  EXPECT_EQ(cased->encode("Hello", nullptr, 9).ids, (Ids{1, 3, 2}));
  // Numbers are those of lines, also where some are the same.
  EXPECT_EQ(llvm::cantFail(makeWordPiece("[UNK]\n[CLS]\n[SEP]\na\na\nb\n"))->vocabularySize(), 6);
  EXPECT_NE(messageOf(makeWordPiece("a\nb\n").takeError()).find("[UNK]"), std::string::npos);
}

// Outputs that Hugging Face's documentation prints for bert-base-uncased.
TEST(WordPiece, GivesWhatTheReferenceGives) {
  auto vocabulary = llvm::MemoryBuffer::getFile(RT3_SHARED_DATA "/models/minilm-l6-v2/vocab.txt");
  if (!vocabulary)
    GTEST_SKIP() << "no " RT3_SHARED_DATA;
  auto tokenizer = llvm::cantFail(makeWordPiece((*vocabulary)->getBuffer()));
  EXPECT_EQ(tokenizer->vocabularySize(), 30522);
  EXPECT_EQ(tokenizer->encode("I've been waiting for a HuggingFace course my whole life.", nullptr, 128).ids,
            (Ids{101, 1045, 1005, 2310, 2042, 3403, 2005, 1037, 17662, 12172, 2607, 2026, 2878, 2166, 1012, 102}));
  EXPECT_EQ(tokenizer->encode("I hate this so much!", nullptr, 128).ids,
            (Ids{101, 1045, 5223, 2023, 2061, 2172, 999, 102}));
  EXPECT_EQ(tokenizer->encode("Hello, my dog is cute", nullptr, 128).ids,
            (Ids{101, 7592, 1010, 2026, 3899, 2003, 10140, 102}));
}

TEST(ByteTokenizer, IsOneTokenPerByte) {
  auto tokenizer = makeByteTokenizer();
  EXPECT_EQ(tokenizer->encode("a\xff", nullptr, 9).ids, (Ids{97, 255}));
  std::string second = "b";
  TokenText text = tokenizer->encode("aaaa", &second, 4);
  EXPECT_EQ(text.ids, (Ids{97, 97, 10, 98}));
  EXPECT_EQ(text.types, (Ids{0, 0, 0, 1}));
}

TEST(TextInputs, FindsRolesByName) {
  std::vector<InputShape> shapes = {
      {"input_ids", true, {1, -1}}, {"attention_mask", true, {1, -1}}, {"token_type_ids", true, {1, -1}}};
  auto inputs = llvm::cantFail(bindTextInputs(shapes));
  TokenText text{{5, 6}, {0, 1}};
  EXPECT_EQ(inputs.elements(0, text), (std::vector<double>{5, 6}));
  EXPECT_EQ(inputs.elements(1, text), (std::vector<double>{1, 1}));
  EXPECT_EQ(inputs.elements(2, text), (std::vector<double>{0, 1}));
  for (InputShape &shape : shapes)
    shape.dims[1] = 3;
  inputs = llvm::cantFail(bindTextInputs(shapes));
  EXPECT_EQ(inputs.elements(1, text), (std::vector<double>{1, 1, 0}));
  EXPECT_NE(messageOf(bindTextInputs({shapes[0]}).takeError()).find("--shape input_ids=1x1..3"), std::string::npos);
  shapes[1].dims[1] = 2;
  EXPECT_NE(messageOf(bindTextInputs(shapes).takeError()).find("different lengths"), std::string::npos);
  shapes[1].dims[1] = 3;
  shapes[1].name = "more";
  EXPECT_NE(messageOf(bindTextInputs(shapes).takeError()).find("input_ids and more"), std::string::npos);
  shapes[0].isInteger = false;
  EXPECT_NE(messageOf(bindTextInputs(shapes).takeError()).find("input input_ids"), std::string::npos);
}

TEST(Table, ReadsRowsAndNamesFaults) {
  auto rows = llvm::cantFail(parseTable("label\tsentence\r\n1\tgood\r\n\r\n0\t bad\n", {}, true, 2));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].first, "good");
  EXPECT_EQ(rows[0].label, 1);
  EXPECT_EQ(rows[1].first, " bad");
  auto pairs = llvm::cantFail(parseTable("score\tsentence1\tsentence2\n2.5\ta\tb", {}, true));
  EXPECT_EQ(*pairs[0].second, "b");
  EXPECT_EQ(pairs[0].label, 2.5);
  auto message = [](llvm::StringRef text, TableColumns columns = {}, std::optional<int64_t> classes = 2) {
    return messageOf(parseTable(text, columns, true, classes).takeError());
  };
  EXPECT_NE(message("label\tother\n1\ta").find("line 1: no column"), std::string::npos);
  EXPECT_NE(message("text\n1\ta").find("label or score"), std::string::npos);
  EXPECT_NE(message("label\ttext\n1\ta", {{"nothing"}, ""}).find("no column nothing"), std::string::npos);
  EXPECT_NE(message("label\ttext\n1").find("line 2: 1 cells"), std::string::npos);
  EXPECT_NE(message("label\ttext\n1\ta\nx\tb").find("line 3: label \"x\" is no number"), std::string::npos);
  for (const char *label : {"2", "-1", "0.5", "nan", "inf"})
    EXPECT_NE(message("label\ttext\n" + std::string(label) + "\tb"), "") << label;
  EXPECT_NE(message("label\ttext\n").find("no row"), std::string::npos);
}

static double valueOf(Task task, size_t metric, const std::vector<Outcome> &outcomes, int64_t classes = 2) {
  return metricsOf(task)[metric].compute(outcomes, classes);
}

TEST(Metrics, AreWhatTheyAreByHand) {
  // Two true positives, one false negative, one true negative, one false positive.
  std::vector<Outcome> classes = {{1, 1}, {0, 1}, {0, 0}, {1, 0}, {1, 1}};
  EXPECT_DOUBLE_EQ(valueOf(Task::Classification, 0, classes), 0.6);
  EXPECT_DOUBLE_EQ(valueOf(Task::Classification, 1, classes), 2.0 / 3);
  EXPECT_DOUBLE_EQ(valueOf(Task::Classification, 2, classes), 1.0 / 6);
  // Three classes: F1 of each is 1, 2/3 and 0; right 3 of 4.
  std::vector<Outcome> three = {{0, 0}, {0, 0}, {1, 1}, {1, 2}};
  EXPECT_DOUBLE_EQ(valueOf(Task::Classification, 1, three, 3), (1 + 2.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(valueOf(Task::Classification, 2, three, 3),
                   (3 * 4 - (2 * 2 + 2 * 1)) / std::sqrt((16 - 8.0) * (16 - 6)));
  // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
  std::vector<Outcome> numbers = {{1, 10}, {2, 20}, {2, 30}, {4, 40}};
  EXPECT_DOUBLE_EQ(valueOf(Task::Similarity, 0, numbers), 4.5 / std::sqrt(22.5));
  EXPECT_DOUBLE_EQ(valueOf(Task::Regression, 1, {{1, 2}, {2, 4}, {3, 6}}), 1);
  EXPECT_TRUE(std::isnan(valueOf(Task::Regression, 0, {{1, 2}, {1, 4}})));
  // Each token has probability 1/4.
  EXPECT_DOUBLE_EQ(valueOf(Task::LanguageModel, 0, {{3 * std::log(4.0), 3}, {std::log(4.0), 1}}), 2);
  EXPECT_NEAR(valueOf(Task::LanguageModel, 1, {{3 * std::log(4.0), 3}}), 4, 1e-12);
}

TEST(Metrics, IntervalsHoldTheValueAndRepeat) {
  std::vector<Outcome> outcomes, better;
  for (int i = 0; i < 400; ++i) {
    outcomes.push_back({double(i % 4 != 0), 1});
    better.push_back({double(i % 8 != 0), 1});
  }
  const Metric &accuracy = metricsOf(Task::Classification)[0];
  Interval first = bootstrap(accuracy, outcomes, {}, 2, 7), again = bootstrap(accuracy, outcomes, {}, 2, 7);
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
  // Normal approximation: 0.75 +- 1.96 sqrt(0.75 x 0.25 / 400), to two steps of 1/400.
  EXPECT_NEAR(first.low, 0.75 - 0.0424, 0.005);
  EXPECT_NEAR(first.high, 0.75 + 0.0424, 0.005);
  Interval same = bootstrap(accuracy, outcomes, outcomes, 2, 7);
  EXPECT_EQ(same.low, 0);
  EXPECT_EQ(same.high, 0);
  // Paired: the difference is 1/8 in every sample but for which rows are drawn.
  Interval gain = bootstrap(accuracy, better, outcomes, 2, 7);
  EXPECT_GT(gain.low, 0.08);
  EXPECT_LT(gain.high, 0.17);
}
