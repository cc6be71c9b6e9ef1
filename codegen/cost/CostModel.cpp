// SPDX-License-Identifier: Apache-2.0

#include "codegen/cost/CostModel.h"

#include "dialects/kernel/Kernel.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir::rt3;

namespace {

// What a loop does for one block of a pattern, or one input of a dense layer.
struct Trip {
  double fmas = 0, loads = 0, others = 0, chain = 0; // Instructions; chain: FMAs on one sum.
  double l2Bytes = 0;                                // Of activations.
  double share = 0;                                  // Of a trip of the loop.

  // By rates alone.
  double counted(const Device &device) const {
    return share * device.tripCycles +
           std::max({fmas / device.fmaPerCycle, loads / device.loadsPerCycle,
                     (fmas + loads + others) / device.issuePerCycle, chain * device.fmaLatency});
  }
};

} // namespace

// f16 weights that are loaded and converted at once.
static constexpr double kHalvesPerLoad = 4;

// Instructions that make f16 weights ready to multiply, besides loads: a conversion for
// four, and where lanes cannot be multiplied by, one for each.
static double conversions(const Device &device, double weights) {
  return weights / kHalvesPerLoad + (device.weightsPerLoad == 1 ? weights : 0);
}

static Trip tripOf(const Device &device, const StreamShape &shape, uint64_t pattern, int64_t firstRow,
                   int64_t vectors) {
  Trip trip;
  std::vector<int64_t> perRow(shape.pass, 0);
  int64_t weights = 0, usedColumns = 0;
  for (int64_t c = 0; c < shape.columns; ++c) {
    uint64_t rows = pattern >> (c * shape.rows + firstRow);
    bool isUsed = false;
    for (int64_t r = 0; r < shape.pass; ++r)
      if (rows >> r & 1) {
        ++perRow[r];
        ++weights;
        isUsed = true;
      }
    usedColumns += isUsed;
  }
  trip.fmas = weights * vectors;
  bool isHalf = shape.valueSize == 2;
  trip.loads = usedColumns * vectors + weights / (isHalf ? kHalvesPerLoad : device.weightsPerLoad) +
               (shape.gathered ? usedColumns : 1);
  int64_t panelBytes = 4 * device.lanes * device.tileVectors;
  if (shape.range * panelBytes > device.l1Size)
    trip.l2Bytes = 4.0 * usedColumns * vectors * device.lanes;
  trip.share = 1.0 / shape.unroll;
  trip.others = 3 + 3 * trip.share; // Address arithmetic; pointer bumps and the branch.
  if (isHalf)
    trip.others += conversions(device, weights);
  trip.chain = *std::max_element(perRow.begin(), perRow.end());
  // Blocks of a trip have sums of their own where there are too few.
  double used = vectors * llvm::count_if(perRow, [](int64_t count) { return count > 0; });
  if (shape.isFilled)
    trip.chain /= kernel::sumSets(used, shape.unroll, productsInFlight(device));
  return trip;
}

// What the end of one of the loops of a pattern costs of which all segments have so many blocks. Loops of a single
// pattern are long.
static double exitCycles(const Device &device, const PackedStream &stream, double blocks) {
  bool isForeseen = stream.isBalanced && stream.patterns.size() > 1 &&
                    blocks / stream.shape.unroll <= device.foreseenTrips * stream.segmentCount;
  return isForeseen ? 0 : device.loopExitCycles;
}

// Sums `body(vectors, tokens)` over the panels of `tokens` tokens: the vectors that hold
// a panel's tokens, and how many those are.
template <typename Body> static double sumPanels(const Device &device, int64_t tokens, Body body) {
  int64_t width = device.tileVectors * device.lanes;
  double sum = tokens / width * body(device.tileVectors, width);
  if (int64_t rest = tokens % width)
    sum += body(llvm::divideCeil(rest, device.lanes), rest);
  return sum;
}

// Cycles of `pairs` products of two outputs and half a vector of tokens each: measured
// on Zen 5, where weights are spread by the units that add.
static double pairCycles(const Device &device, double pairs) { return 1.7 * pairs / device.fmaPerCycle; }

// Cycles of a sparse stream in a panel with tokens for half a vector.
static double predictHalfCycles(const Device &device, const PackedStream &stream) {
  const StreamShape &shape = stream.shape;
  double compute = 0;
  for (auto [p, pattern] : llvm::enumerate(stream.patterns))
    for (int64_t row = 0; row < shape.rows; row += shape.pass) {
      double pairs = 0;
      for (int64_t c = 0; c < shape.columns; ++c) {
        uint64_t rows = uint64_t(pattern) >> (c * shape.rows + row) & ((uint64_t(1) << shape.pass) - 1);
        pairs += (llvm::popcount(rows) + 1) / 2;
      }
      double loops = std::min(stream.blockCounts[p], stream.segmentCount);
      // Behind each loop, two additions and a shuffle for each pair.
      compute += pairCycles(device, pairs) * stream.blockCounts[p] +
                 (device.loopExitCycles + 4 * pairs / device.issuePerCycle) * (pairs > 0 ? loops : 0);
    }
  return compute;
}

// Cycles of one trip of a kernel of a single token: `columns` inputs, each times up to
// eight weights, which vectors hold.
static double tokenTrip(const Device &device, double columns, double vectors, double indices) {
  double fmas = vectors, loads = columns + vectors + indices, others = 4;
  return std::max(
      {fmas / device.fmaPerCycle, loads / device.loadsPerCycle, (fmas + loads + others) / device.issuePerCycle});
}

static double predictTokenDenseCycles(const Device &device, int64_t inputs, int64_t padded, int64_t valueSize,
                                      int64_t rows) {
  double vectors = std::max<double>(1, double(rows) / device.lanes);
  double compute = tokenTrip(device, 1, vectors, 0) * inputs * padded / rows;
  return std::max(compute, double(valueSize) * inputs * padded / device.streamBytesPerCycle);
}

static double predictTokenCycles(const Device &device, const PackedStream &stream) {
  const StreamShape &shape = stream.shape;
  double compute = 0, exits = 0;
  for (auto [p, pattern] : llvm::enumerate(stream.patterns))
    for (int64_t row = 0; row < shape.rows; row += shape.pass) {
      double columns = 0, vectors = 0;
      for (int64_t c = 0; c < shape.columns; ++c) {
        uint64_t rows = pattern >> (c * shape.rows + row) & ((uint64_t(1) << shape.pass) - 1);
        if (rows == 0)
          continue;
        ++columns;
        vectors += std::max<double>(1, (llvm::popcount(rows) <= 4 ? 4.0 : 8.0) / device.lanes);
      }
      if (columns == 0)
        continue;
      compute += tokenTrip(device, columns, vectors, shape.gathered ? columns : 1) * stream.blockCounts[p];
      exits += device.loopExitCycles * std::min(stream.blockCounts[p], stream.segmentCount);
    }
  double bytes = stream.size / device.streamBytesPerCycle;
  // Measured: one long loop per group overlaps with its stream of weights, many short
  // ones, whose ends are not foreseen, do not.
  return (stream.patterns.size() == 1 ? std::max(compute, bytes) : compute + bytes) + exits;
}

static Trip denseTrip(const Device &device, int64_t rows, int64_t vectors, int64_t valueSize) {
  Trip trip;
  trip.fmas = rows * vectors;
  trip.loads = vectors + rows / (valueSize == 2 ? kHalvesPerLoad : device.weightsPerLoad);
  trip.others = 3 + (valueSize == 2 ? conversions(device, rows) : 0);
  trip.chain = 1;
  return trip;
}

// The device as it multiplies words of an int8 layer: what takes two instructions has half the rate.
static Device countedDevice(const Device &device, std::optional<kernel::Dot> dot) {
  Device result = device;
  if (dot == kernel::Dot::Pmaddwd) { // And an addition.
    result.fmaPerCycle /= 2;
    result.fmaLatency += 1;
  }
  return result;
}

CostModel::CostModel(const Device &device, std::optional<kernel::Dot> dot)
    : device(countedDevice(device, dot)), dot(dot), loops(LoopCycles::of(device)) {}

std::vector<LoopCost> CostModel::findLoops(const StreamShape &shape, const std::vector<int64_t> &patterns) {
  auto found = loops.find(shape, patterns, dot);
  if (found)
    return std::move(*found);
  problemText = llvm::toString(found.takeError());
  return {};
}

bool CostModel::usesStack(const StreamShape &shape, const std::vector<int64_t> &patterns) {
  return llvm::any_of(findLoops(shape, patterns), [](const LoopCost &loop) { return loop.stackAccesses > 0; });
}

double CostModel::dense(int64_t inputs, int64_t outputs, int64_t tokens, int64_t valueSize, int64_t rows) {
  int64_t padded = llvm::alignTo(outputs, kernel::kFeatureMultiple);
  if (tokens == 1)
    return predictTokenDenseCycles(device, inputs, padded, valueSize, rows);
  StreamShape shape;
  shape.rows = shape.pass = rows;
  shape.valueSize = valueSize;
  std::vector<LoopCost> found = findLoops(shape, {});
  double full = denseTrip(device, rows, device.tileVectors, valueSize).counted(device);
  return sumPanels(device, tokens, [&](int64_t vectors, int64_t count) {
    double stream = double(valueSize) * inputs * padded / device.streamBytesPerCycle;
    if (count <= kernel::halfTileTokens(device.isa, device.lanes, 0, std::nullopt))
      return std::max(pairCycles(device, 0.5 * inputs * padded), stream);
    double trip = denseTrip(device, rows, vectors, valueSize).counted(device);
    if (!found.empty())
      trip *= found.front().cycles / full;
    return std::max(trip * inputs * padded / rows, stream);
  });
}

double CostModel::patternLoops(const PackedStream &stream, int64_t vectors) {
  const StreamShape &shape = stream.shape;
  std::vector<LoopCost> found = findLoops(shape, stream.patterns), single;
  if (shape.unroll > 1 && !shape.isFilled) {
    StreamShape rest = shape;
    rest.unroll = 1;
    single = findLoops(rest, stream.patterns);
  }
  double cycles = 0;
  size_t loop = 0;
  for (auto [p, pattern] : llvm::enumerate(stream.patterns))
    for (int64_t row = 0; row < shape.rows; row += shape.pass, ++loop) {
      Trip trip = tripOf(device, shape, pattern, row, vectors);
      if (trip.fmas == 0)
        continue;
      // Of fewer vectors a loop takes less in the same proportion as its instructions by rates.
      double share = trip.counted(device) / tripOf(device, shape, pattern, row, device.tileVectors).counted(device);
      double block = found.empty() ? trip.counted(device) : found[loop].cycles * share;
      cycles += (block + trip.l2Bytes / device.l2BytesPerCycle) * stream.blockCounts[p];
      // A loop that makes no trip is predicted well.
      int64_t filled = shape.isFilled ? shape.unroll : 1;
      double ends = std::min(stream.blockCounts[p] / filled, stream.segmentCount);
      double exit = exitCycles(device, stream, stream.blockCounts[p]);
      cycles += exit * ends;
      if (shape.unroll == 1 || shape.isFilled)
        continue;
      // Of `unroll` rests one is none; (unroll - 1) / 2 blocks in the mean are done by another loop.
      double slower = single.empty() ? device.tripCycles : single[loop].cycles * share - block;
      cycles += ends * (exit * (shape.unroll - 1) / shape.unroll + slower * (shape.unroll - 1) / 2);
    }
  return cycles;
}

double CostModel::linear(const PackedStream &stream, int64_t inputs, int64_t tokens) {
  const StreamShape &shape = stream.shape;
  if (stream.patterns.empty())
    return dense(inputs, stream.storedCount / inputs, tokens, shape.valueSize, shape.rows);
  if (tokens == 1)
    return predictTokenCycles(device, stream);
  return sumPanels(device, tokens, [&](int64_t vectors, int64_t count) {
    if (count <= kernel::halfTileTokens(device.isa, device.lanes, stream.patterns.size(), std::nullopt))
      return std::max(predictHalfCycles(device, stream), stream.size / device.streamBytesPerCycle);
    // Sums are loaded and stored once per segment.
    double compute =
        patternLoops(stream, vectors) + stream.segmentCount * (2.0 * shape.rows * vectors / device.loadsPerCycle);
    return std::max(compute, stream.size / device.streamBytesPerCycle);
  });
}
