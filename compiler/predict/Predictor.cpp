// SPDX-License-Identifier: Apache-2.0

#include "compiler/predict/Predictor.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

// Of the weight section; what the runtime asks for.
static constexpr size_t kAlignment = 64;

std::string mlir::rt3::lengthFault(const ChosenCore &chosen, int64_t length, bool isFixed) {
  const auto &calibration = chosen.get().calibration;
  if (!calibration || (!isFixed && length >= calibration->minLength && length <= calibration->maxLength))
    return {};
  std::string range = "device " + chosen.chip.name + " was calibrated for " + std::to_string(calibration->minLength) +
                      " to " + std::to_string(calibration->maxLength) + " tokens; ";
  if (isFixed)
    return "--shape is fixed, so that its tokens are not known: " + range +
           "leave the length free (--shape NAME=1x1..N) and name one (--length)";
  return "--length " + std::to_string(length) + ": " + range + "calibrate for more";
}

CostConstants mlir::rt3::constantsOf(const Core &core) {
  if (core.constants)
    return *core.constants;
  Device device = llvm::cantFail(findDevice(core.target));
  CostConstants constants;
  constants.loopEntryCycles = device.loopExitCycles;
  constants.l2BytesPerCycle = device.l2BytesPerCycle;
  constants.l3BytesPerCycle = device.streamBytesPerCycle;
  constants.activationBytesPerCycle = device.l2BytesPerCycle;
  constants.farActivationBytesPerCycle = device.l2BytesPerCycle;
  return constants;
}

int64_t mlir::rt3::levelBytes(llvm::ArrayRef<MarkedOp> ops, size_t level, const std::map<int64_t, OpCost> &costs) {
  int64_t size = 0;
  for (const MarkedOp &op : ops)
    if (op.level == level && costs.count(op.mark))
      size += op.weightBytes;
  return size;
}

// Of a polynomial in the length.
static double bytesAt(const std::array<double, 3> &powers, int64_t length) {
  double bytes = 0;
  for (double power : llvm::reverse(powers))
    bytes = bytes * length + power;
  return bytes;
}

OpPrediction mlir::rt3::predictOp(const Chip &chip, const Core &core, const CostConstants &constants,
                                  const MarkedOp &op, const OpCost &cost, int64_t length, int64_t levelBytes) {
  OpPrediction result{&op, cost};
  double waited = constants.waitShare * (cost.cycles - cost.issuedCycles);
  double scale = constants.computeScale * (op.layer.empty() ? constants.otherScale : 1);
  result.computeCycles =
      scale * (cost.issuedCycles + waited) + constants.loopEntryCycles * cost.loopEntries + constants.callCycles;
  if (levelBytes > core.l2Size)
    result.computeCycles += constants.coldCycles;
  result.serialShare = constants.serialShare;
  // Each panel of tokens reads all weights: the first from where the last run of the
  // model has left them, later ones from where the first has.
  double panels = llvm::divideCeil(length, op.panelTokens);
  auto read = [&](double bytes, int64_t workingSet) {
    if (workingSet <= core.l2Size) {
      result.memoryCycles += bytes / constants.l2BytesPerCycle;
      return;
    }
    // What is read again and again, and is larger than the cache, stays there as far as it fits.
    double stays =
        constants.usableL3Size > 0 ? std::min(1.0, constants.usableL3Size / workingSet) : workingSet <= chip.l3Size;
    result.memoryCycles += stays * bytes / constants.l3BytesPerCycle;
    result.memorySeconds += (1 - stays) * bytes / chip.memoryBytesPerSecond;
    // Prefetching has to find out first what is read.
    if (bytes > 0)
      result.computeCycles += constants.streamCycles;
  };
  if (op.weightBytes) {
    read(op.weightBytes, levelBytes);
    read(op.weightBytes * (panels - 1), op.weightBytes);
  }
  double activations = bytesAt(op.activationBytes, length);
  bool isFar = bytesAt(op.touchedBytes, length) > core.l2Size;
  result.activationCycles =
      activations / (isFar ? constants.farActivationBytesPerCycle : constants.activationBytesPerCycle);
  if (constants.partialSumBytesPerCycle > 0)
    result.activationCycles += bytesAt(op.partialSumBytes, length) / constants.partialSumBytesPerCycle;
  return result;
}

double LevelPrediction::seconds(double clock) const {
  double sum = 0;
  for (const OpPrediction &op : ops)
    sum += op.seconds(clock);
  return sum;
}

Expected<std::vector<std::map<int64_t, OpCost>>> mlir::rt3::profileLevels(const CompileResult &result, int64_t length,
                                                                          int64_t position) {
  // The indices of pruned weights say how often loops run.
  std::unique_ptr<char, decltype(&free)> weights(
      static_cast<char *>(aligned_alloc(kAlignment, llvm::alignTo(result.weights.size() + 1, kAlignment))), &free);
  memcpy(weights.get(), result.weights.data(), result.weights.size());
  rt3_call_t call{};
  call.weights = weights.get();
  call.length = length;
  call.position = position;
  std::vector<std::map<int64_t, OpCost>> costs;
  for (size_t level = 0; level < result.program.levelFunctions.size(); ++level) {
    auto found = result.profile->run(level, call);
    if (!found)
      return found.takeError();
    costs.push_back(std::move(*found));
  }
  return costs;
}

std::vector<LevelPrediction> mlir::rt3::predict(const CompileResult &result, const ChosenCore &chosen,
                                                const CostConstants &constants,
                                                const std::vector<std::map<int64_t, OpCost>> &costs, int64_t length) {
  std::vector<LevelPrediction> levels;
  for (size_t level = 0; level < costs.size(); ++level) {
    int64_t size = levelBytes(result.ops, level, costs[level]);
    LevelPrediction &prediction = levels.emplace_back();
    for (const MarkedOp &op : result.ops)
      if (auto cost = costs[level].find(op.mark); op.level == level && cost != costs[level].end())
        prediction.ops.push_back(predictOp(chosen.chip, chosen.get(), constants, op, cost->second, length, size));
  }
  return levels;
}

Expected<std::vector<LevelPrediction>> mlir::rt3::predict(const CompileResult &result, const ChosenCore &chosen,
                                                          int64_t length, int64_t position) {
  auto costs = profileLevels(result, length, position);
  if (!costs)
    return costs.takeError();
  return predict(result, chosen, constantsOf(chosen.get()), *costs, length);
}

std::optional<double> mlir::rt3::energyMj(const ClockLevel &level, double seconds) {
  if (level.powerMw <= 0)
    return std::nullopt;
  return level.powerMw * seconds;
}
