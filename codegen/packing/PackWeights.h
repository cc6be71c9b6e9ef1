// SPDX-License-Identifier: Apache-2.0
//
// Masked weights -> packed streams, in the layout that rt3_kernel.stream
// documents and runtime/src/bundle.c checks.

#ifndef RT3_CODEGEN_PACKING_PACKWEIGHTS_H
#define RT3_CODEGEN_PACKING_PACKWEIGHTS_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mlir::rt3 {

// A linear layer's weights as words, row-major, and which of them are kept: the bits of
// an f32 or f16 weight, or several small weights of neighbouring inputs.
struct MaskedWeights {
  int64_t inputs, outputs;            // Words of an output; N.
  const std::vector<uint64_t> &words; // [inputs][N]; 0 is the weight 0.
  const std::vector<uint8_t> &mask;   // [inputs][N], 0 or 1.

  bool isKept(int64_t input, int64_t output) const { return mask[input * outputs + output] != 0; }
  uint64_t word(int64_t input, int64_t output) const { return words[input * outputs + output]; }
};

// The shape of a stream; see rt3_kernel.stream.
struct StreamShape {
  int64_t rows = 8, columns = 1; // Of a block: outputs x inputs.
  bool gathered = false;
  int64_t range = 0;     // Inputs of a segment.
  int64_t pass = 8;      // Rows that the tile reads together.
  int64_t vectors = 1;   // Vectors in a panel, by which indices are scaled.
  int64_t valueSize = 4; // Bytes of a word; 2 of f16, 8 of smmla.
  int64_t unroll = 1;    // Blocks of a pattern that a trip of its loop multiplies.
  bool isFilled = false; // The blocks of each pattern in a segment are a multiple of that.
};

struct PackedStream {
  StreamShape shape;
  std::vector<int64_t> patterns; // Bit c * rows + r. Empty: dense.
  std::vector<char> bytes;       // Padded, so that the last values can be
                                 // loaded four at a time.
  int64_t size;                  // Bytes without that padding.
  int64_t segmentCount;
  std::vector<int64_t> segmentOffsets; // Where each begins; by range, then group.
  std::vector<int64_t> blockCounts;    // Per pattern, over all segments.
  int64_t keptCount;                   // Words that the mask keeps.
  int64_t storedCount;                 // Words stored; the difference is fill-in.
  // Whether each pattern has as many blocks in all segments of a range.
  bool isBalanced = false;
};

// At most this many patterns that occur are given a loop each.
inline constexpr size_t kMaxPatternCount = 32;

// The inputs of a segment so that a panel's part of them, of `panelWidth`
// tokens, takes two thirds of the first-level cache; parts are of even size. All of them if
// they take at most four fifths.
int64_t chooseRange(int64_t inputs, int64_t panelWidth, int64_t l1Size);

// Whether packSparse would store a balanced stream; quick where the first groups differ.
bool isBalanced(const MaskedWeights &weights, const StreamShape &shape);

// Stores all weights; outputs are rounded up to 8.
PackedStream packDense(const MaskedWeights &weights, const StreamShape &shape);

// Blocks per trip of a stream of one pattern, whose loops are long, whatever was asked: what is left over at
// their end counts little.
inline constexpr int64_t kSinglePatternUnroll = 4;

// Stores the kept weights in blocks under `patterns`; a block under the smallest
// pattern that covers it. Patterns that are missing for that are added. Without
// `patterns`, those that occur, the rarest under one that covers them all.
PackedStream packSparse(const MaskedWeights &weights, const StreamShape &shape,
                        const std::vector<int64_t> &patterns = {});

} // namespace mlir::rt3

#endif // RT3_CODEGEN_PACKING_PACKWEIGHTS_H
