// SPDX-License-Identifier: Apache-2.0

#include "codegen/packing/PackWeights.h"

#include "dialects/kernel/Kernel.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <map>
#include <set>

using namespace mlir::rt3;

// Bytes behind the last value that a kernel may read.
static constexpr int64_t kPadding = 16;

int64_t mlir::rt3::chooseRange(int64_t inputs, int64_t panelWidth, int64_t l1Size) {
  int64_t whole = llvm::alignTo(inputs, kernel::kFeatureMultiple);
  if (whole * 4 * panelWidth <= l1Size * 4 / 5)
    return whole;
  int64_t largest = std::max<int64_t>(16, l1Size * 2 / 3 / (4 * panelWidth));
  int64_t parts = llvm::divideCeil(inputs, largest);
  return llvm::alignTo(llvm::divideCeil(inputs, parts), kernel::kFeatureMultiple);
}

template <typename T> static void append(std::vector<char> &bytes, T value) {
  const char *begin = reinterpret_cast<const char *>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof value);
}

static void appendWord(std::vector<char> &bytes, uint64_t word, int64_t size) {
  const char *begin = reinterpret_cast<const char *>(&word); // Little-endian.
  bytes.insert(bytes.end(), begin, begin + size);
}

static void finish(PackedStream &stream) {
  stream.size = stream.bytes.size();
  stream.bytes.resize(stream.bytes.size() + kPadding, 0);
}

static int64_t paddedOutputs(int64_t outputs) { return llvm::alignTo(outputs, kernel::kFeatureMultiple); }

PackedStream mlir::rt3::packDense(const MaskedWeights &weights, const StreamShape &shape) {
  PackedStream stream{shape, {}, {}, 0, 0, {}, {}, 0, 0};
  int64_t outputs = paddedOutputs(weights.outputs);
  for (int64_t begin = 0; begin < weights.inputs; begin += shape.range) {
    int64_t end = std::min(begin + shape.range, weights.inputs);
    for (int64_t group = 0; group < outputs; group += shape.rows) {
      stream.segmentOffsets.push_back(stream.bytes.size());
      for (int64_t k = begin; k < end; ++k)
        for (int64_t n = group; n < group + shape.rows; ++n) {
          bool isKept = n < weights.outputs && weights.isKept(k, n);
          appendWord(stream.bytes, isKept ? weights.word(k, n) : 0, shape.valueSize);
          stream.keptCount += isKept;
        }
      ++stream.segmentCount;
    }
  }
  stream.storedCount = weights.inputs * outputs;
  finish(stream);
  return stream;
}

namespace {

// One block of a group: its inputs and which weights it keeps.
struct Block {
  llvm::SmallVector<int64_t, 8> inputs; // `columns` of them.
  uint64_t kept = 0;
  uint64_t missing = 0; // Positions behind the last input.
};

class SparsePacker {
public:
  SparsePacker(const MaskedWeights &weights, const StreamShape &shape, const std::vector<int64_t> &patterns)
      : given(patterns), weights(weights), shape(shape), groups(paddedOutputs(weights.outputs) / shape.rows) {}

  PackedStream pack() {
    findBlocks();
    if (given.empty() || !takePatterns())
      choosePatterns();
    stream.blockCounts.assign(stream.patterns.size(), 0);
    if (stream.patterns.size() == 1) {
      shape.unroll = kSinglePatternUnroll;
      shape.isFilled = false;
    }
    for (const std::vector<Block> &segment : segments) {
      stream.segmentOffsets.push_back(stream.bytes.size());
      packSegment(segment);
    }
    stream.shape = shape;
    stream.segmentCount = segments.size();
    stream.isBalanced = isBalanced();
    finish(stream);
    return std::move(stream);
  }

  // Groups that stick out over the last output do not count, nor blocks over the last input.
  bool isBalanced() {
    int64_t whole = weights.outputs / shape.rows;
    if (whole < 2)
      return false;
    for (int64_t begin = 0; begin < weights.inputs; begin += shape.range) {
      std::map<uint64_t, int64_t> first; // Blocks by what they keep.
      for (int64_t group = 0; group < whole; ++group) {
        std::map<uint64_t, int64_t> counts;
        std::vector<Block> found;
        if (segments.empty())
          found = findBlocks(begin, endOf(begin), group * shape.rows);
        for (const Block &block : segments.empty() ? found : segments[begin / shape.range * groups + group])
          if (block.missing == 0)
            ++counts[block.kept];
        if (group == 0)
          first = std::move(counts);
        else if (counts != first)
          return false;
      }
    }
    return true;
  }

private:
  void findBlocks() {
    for (int64_t begin = 0; begin < weights.inputs; begin += shape.range)
      for (int64_t group = 0; group < groups; ++group) {
        rangeBegin.push_back(begin);
        segments.push_back(findBlocks(begin, endOf(begin), group * shape.rows));
      }
  }

  int64_t endOf(int64_t begin) const { return std::min(begin + shape.range, weights.inputs); }

  std::vector<Block> findBlocks(int64_t begin, int64_t end, int64_t firstOutput) {
    std::vector<Block> blocks;
    llvm::SmallVector<int64_t> inputs; // Candidates for the columns of blocks.
    for (int64_t k = begin; k < end; ++k)
      if (!shape.gathered || column(k, firstOutput) != 0)
        inputs.push_back(k);
    for (size_t i = 0; i < inputs.size(); i += shape.columns) {
      Block block;
      for (int64_t c = 0; c < shape.columns; ++c) {
        bool isThere = i + c < inputs.size();
        if (isThere)
          block.kept |= column(inputs[i + c], firstOutput) << (c * shape.rows);
        else if (!shape.gathered) // There may be anything, even NaN.
          block.missing |= ((uint64_t(1) << shape.rows) - 1) << (c * shape.rows);
        // Gathered, a block that is cut off reads its last input again, times 0.
        block.inputs.push_back(isThere ? inputs[i + c] : inputs.back());
      }
      if (block.kept != 0)
        blocks.push_back(std::move(block));
    }
    return blocks;
  }

  // The kept rows of one input in a group.
  uint64_t column(int64_t input, int64_t firstOutput) {
    uint64_t rows = 0;
    for (int64_t r = 0; r < shape.rows; ++r)
      if (firstOutput + r < weights.outputs && weights.isKept(input, firstOutput + r))
        rows |= uint64_t(1) << r;
    return rows;
  }

  // The masks that occur; groups that stick out over the last output do not
  // count if a mask of the others covers theirs.
  void choosePatterns() {
    std::map<uint64_t, int64_t> counts, cutCounts;
    std::set<uint64_t> ends; // Of blocks that end behind the last input.
    for (auto [i, segment] : llvm::enumerate(segments)) {
      int64_t group = i % groups;
      bool isCut = (group + 1) * shape.rows > weights.outputs;
      for (const Block &block : segment)
        if (block.missing)
          ends.insert(block.kept);
        else
          ++(isCut ? cutCounts : counts)[block.kept];
    }
    for (auto [mask, count] : cutCounts)
      if (llvm::none_of(counts, [mask = mask](auto &entry) { return (mask & ~entry.first) == 0; }))
        counts[mask] += count;
    std::vector<std::pair<int64_t, uint64_t>> byCount;
    for (auto [mask, count] : counts)
      byCount.emplace_back(-count, mask);
    llvm::sort(byCount);
    uint64_t all = 0;
    if (byCount.size() > kMaxPatternCount) {
      for (size_t i = kMaxPatternCount - 1; i < byCount.size(); ++i)
        all |= byCount[i].second;
      byCount.resize(kMaxPatternCount - 1);
    }
    for (auto [count, mask] : byCount)
      stream.patterns.push_back(mask);
    if (all != 0 && !llvm::is_contained(stream.patterns, int64_t(all)))
      stream.patterns.push_back(all);
    for (uint64_t mask : ends)
      if (!llvm::is_contained(stream.patterns, int64_t(mask)))
        stream.patterns.push_back(mask);
    // A stream without a block still needs a pattern to be sparse.
    if (stream.patterns.empty())
      stream.patterns.push_back(1);
    llvm::sort(stream.patterns, [](int64_t a, int64_t b) { return uint64_t(a) < uint64_t(b); });
  }

  // The given patterns in their order, so that layers share a kernel. Fails, and takes
  // none, if blocks need so many others that each would be a loop of few.
  bool takePatterns() {
    stream.patterns = given;
    std::set<uint64_t> uncovered;
    for (const std::vector<Block> &segment : segments)
      for (const Block &block : segment)
        if (patternOf(block) == stream.patterns.size())
          uncovered.insert(block.kept);
    if (!uncovered.empty() && given.size() + uncovered.size() > kMaxPatternCount) {
      stream.patterns.clear();
      return false;
    }
    stream.patterns.insert(stream.patterns.end(), uncovered.begin(), uncovered.end());
    return true;
  }

  // The number of patterns if none covers the block.
  size_t patternOf(const Block &block) {
    size_t best = stream.patterns.size();
    for (auto [i, pattern] : llvm::enumerate(stream.patterns))
      if ((block.kept & ~uint64_t(pattern)) == 0 && (block.missing & uint64_t(pattern)) == 0 &&
          (best == stream.patterns.size() ||
           llvm::popcount(uint64_t(pattern)) < llvm::popcount(uint64_t(stream.patterns[best]))))
        best = i;
    return best;
  }

  void packSegment(const std::vector<Block> &blocks) {
    std::vector<std::vector<const Block *>> byPattern(stream.patterns.size());
    for (const Block &block : blocks) {
      size_t pattern = patternOf(block);
      assert(pattern < stream.patterns.size() && "a pattern covers every block");
      byPattern[pattern].push_back(&block);
      stream.keptCount += llvm::popcount(block.kept);
    }
    llvm::SmallVector<Block> zeros(byPattern.size());
    for (auto [list, zero] : llvm::zip(byPattern, zeros)) {
      if (!shape.isFilled || list.size() % shape.unroll == 0)
        continue;
      zero.inputs = list.back()->inputs;
      list.resize(llvm::alignTo(list.size(), shape.unroll), &zero);
    }
    int64_t segment = nextSegment++, begin = rangeBegin[segment];
    int64_t firstOutput = segment % groups * shape.rows;
    for (auto [p, list] : llvm::enumerate(byPattern)) {
      append<uint16_t>(stream.bytes, list.size());
      stream.blockCounts[p] += list.size();
    }
    for (auto &list : byPattern)
      for (const Block *block : list)
        for (int64_t c = 0; c < (shape.gathered ? shape.columns : 1); ++c)
          append<uint16_t>(stream.bytes, (block->inputs[c] - begin) * shape.vectors);
    // From the segment's beginning, which of f16 may be a multiple of 2.
    size_t start = stream.segmentOffsets.back();
    stream.bytes.resize(start + llvm::alignTo(stream.bytes.size() - start, 4), 0);
    for (int64_t pass = 0; pass < shape.rows; pass += shape.pass)
      for (auto [p, list] : llvm::enumerate(byPattern))
        for (const Block *block : list)
          packValues(*block, stream.patterns[p], pass, firstOutput);
  }

  void packValues(const Block &block, uint64_t pattern, int64_t pass, int64_t firstOutput) {
    for (int64_t c = 0; c < shape.columns; ++c)
      for (int64_t r = pass; r < pass + shape.pass; ++r) {
        uint64_t bit = uint64_t(1) << (c * shape.rows + r);
        if (!(pattern & bit))
          continue;
        bool isKept = block.kept & bit;
        appendWord(stream.bytes, isKept ? weights.word(block.inputs[c], firstOutput + r) : 0, shape.valueSize);
        ++stream.storedCount;
      }
  }

  const std::vector<int64_t> &given;
  const MaskedWeights &weights;
  StreamShape shape;
  int64_t groups;
  std::vector<int64_t> rangeBegin;          // Per segment.
  std::vector<std::vector<Block>> segments; // By range, then group.
  int64_t nextSegment = 0;
  PackedStream stream{};
};

} // namespace

bool mlir::rt3::isBalanced(const MaskedWeights &weights, const StreamShape &shape) {
  return SparsePacker(weights, shape, {}).isBalanced();
}

PackedStream mlir::rt3::packSparse(const MaskedWeights &weights, const StreamShape &shape,
                                   const std::vector<int64_t> &patterns) {
  return SparsePacker(weights, shape, patterns).pack();
}
