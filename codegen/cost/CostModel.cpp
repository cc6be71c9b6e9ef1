// SPDX-License-Identifier: Apache-2.0

#include "codegen/cost/CostModel.h"

#include "dialects/kernel/Kernel.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir::rt3;

namespace {

// One trip of a loop whose body multiplies `rows[c]` weights by input c.
struct Trip {
  double fmas = 0, loads = 0, others = 0, chain = 0; // Instructions; chain: FMAs.
  double l2Bytes = 0;                                // Of activations.

  double cycles(const Device &device) const {
    return l2Bytes / device.l2BytesPerCycle +
           std::max({fmas / device.fmaPerCycle, loads / device.loadsPerCycle,
                     (fmas + loads + others) / device.issuePerCycle, chain * device.fmaLatency});
  }
};

} // namespace

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
  trip.loads = usedColumns * vectors + weights / device.weightsPerLoad + (shape.gathered ? usedColumns : 1);
  int64_t panelBytes = 4 * device.lanes * device.tileVectors;
  if (shape.range * panelBytes > device.l1Size)
    trip.l2Bytes = 4.0 * usedColumns * vectors * device.lanes;
  trip.others = 6; // Address arithmetic, pointer bumps and the branch.
  trip.chain = *std::max_element(perRow.begin(), perRow.end());
  return trip;
}

// Calls `body(vectors, panels)` for the panels of `tokens` tokens.
template <typename Body> static double sumPanels(const Device &device, int64_t tokens, Body body) {
  int64_t width = device.tileVectors * device.lanes;
  double sum = tokens / width * body(device.tileVectors);
  if (int64_t rest = tokens % width)
    sum += body(llvm::divideCeil(rest, device.lanes));
  return sum;
}

Device mlir::rt3::costDevice(const Device &device, std::optional<kernel::Dot> dot) {
  Device result = device;
  if (dot == kernel::Dot::Pmaddwd) { // And an addition.
    result.fmaPerCycle /= 2;
    result.fmaLatency += 1;
  }
  return result;
}

double mlir::rt3::predictDenseCycles(const Device &device, int64_t inputs, int64_t outputs, int64_t tokens) {
  int64_t padded = llvm::alignTo(outputs, kernel::kFeatureMultiple);
  int64_t rows = device.tileRows;
  return sumPanels(device, tokens, [&](int64_t vectors) {
    Trip trip;
    trip.fmas = rows * vectors;
    trip.loads = vectors + rows / device.weightsPerLoad;
    trip.others = 3;
    trip.chain = 1;
    double compute = trip.cycles(device) * inputs * padded / rows;
    double stream = 4.0 * inputs * padded / device.streamBytesPerCycle;
    return std::max(compute, stream);
  });
}

double mlir::rt3::predictLinearCycles(const Device &device, const PackedStream &stream, int64_t inputs,
                                      int64_t tokens) {
  const StreamShape &shape = stream.shape;
  if (stream.patterns.empty())
    return predictDenseCycles(device, inputs, stream.storedCount / inputs, tokens);
  return sumPanels(device, tokens, [&](int64_t vectors) {
    double compute = 0;
    for (auto [p, pattern] : llvm::enumerate(stream.patterns))
      for (int64_t row = 0; row < shape.rows; row += shape.pass) {
        Trip trip = tripOf(device, shape, pattern, row, vectors);
        if (trip.fmas == 0)
          continue;
        compute += trip.cycles(device) * stream.blockCounts[p];
        // A loop that makes no trip is predicted well.
        compute += device.loopExitCycles * std::min(stream.blockCounts[p], stream.segmentCount);
      }
    // Sums are loaded and stored once per segment.
    compute += stream.segmentCount * (2.0 * shape.rows * vectors / device.loadsPerCycle);
    return std::max(compute, stream.size / device.streamBytesPerCycle);
  });
}
