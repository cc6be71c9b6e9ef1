// SPDX-License-Identifier: Apache-2.0

#include "codegen/predict/CodeProfile.h"

#include "llvm/Transforms/Utils/Cloning.h"

#include <algorithm>
#include <numeric>

using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

// Simulating is slow: blocks that make up this share of the instructions are simulated,
// the rest costs what they do on average.
static constexpr double kSimulatedShare = 0.998;

Expected<std::shared_ptr<CodeProfile>> CodeProfile::make(OptimizedProgram program, const Device &device,
                                                         const ProgramDescription &description,
                                                         llvm::StringRef schedulerModel, int64_t window) {
  auto profile = std::make_shared<CodeProfile>();
  profile->window = window;
  // Naming changes the code a little, which must not decide how all of it is scheduled.
  if (Error error = chooseSchedule(program))
    return std::move(error);
  nameBlocks(*program.module);
  auto assembly = emit(program, EmitKind::Assembly, nullptr, /*isVerbose=*/true);
  if (!assembly)
    return assembly.takeError();
  auto code = BlockCycles::make(*assembly, device.triple, schedulerModel);
  if (!code)
    return code.takeError();
  profile->code = std::move(*code);
  auto counter = BlockCounter::make(std::move(program), description);
  if (!counter)
    return counter.takeError();
  profile->counter = std::move(*counter);
  return profile;
}

double CodeProfile::exposedShare(const BlockCycles::Block &block, double times, double entries) const {
  if (window == 0)
    return 1;
  double trips = entries > 0 ? std::max(1.0, times / entries) : 1;
  return std::max(0.0, 1 - window / (trips * block.instructions));
}

Expected<std::map<int64_t, OpCost>> CodeProfile::run(size_t level, const rt3_call_t &call) {
  auto counts = counter->run(level, call);
  if (!counts)
    return counts.takeError();
  const std::vector<BlockCycles::Block> &blocks = code->blocks();
  // How often a block runs; `runs` are those of the IR's blocks.
  auto timesOf = [&](const BlockCycles::Block &block, const std::vector<uint64_t> &runs) {
    if (!block.isPreheader)
      return double(runs[block.number]);
    double times = 0;
    for (size_t before : counter->blocksBefore(block.number))
      times += runs[before];
    return times;
  };
  std::vector<double> instructions(blocks.size());
  for (auto &[op, runs] : *counts)
    for (size_t b = 0; b < blocks.size(); ++b)
      instructions[b] += timesOf(blocks[b], runs) * blocks[b].instructions;
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return instructions[a] != instructions[b] ? instructions[a] > instructions[b] : a < b;
  });
  double all = std::accumulate(instructions.begin(), instructions.end(), 0.0), simulated = 0;
  BlockCycles::Cycles sum{0, 0};
  std::vector<std::optional<BlockCycles::Cycles>> perRun(blocks.size());
  for (size_t b : order) {
    if (instructions[b] == 0 || simulated >= kSimulatedShare * all)
      break;
    auto found = code->cycles(b);
    if (!found)
      return found.takeError();
    perRun[b] = *found;
    simulated += instructions[b];
    sum.all += found->all * instructions[b] / blocks[b].instructions;
    sum.issued += found->issued * instructions[b] / blocks[b].instructions;
  }
  std::map<int64_t, OpCost> costs;
  for (auto &[op, runs] : *counts) {
    OpCost &cost = costs[op];
    for (size_t b = 0; b < blocks.size(); ++b) {
      double times = timesOf(blocks[b], runs), size = blocks[b].instructions;
      cost.instructions += times * size;
      BlockCycles::Cycles own =
          perRun[b].value_or(BlockCycles::Cycles{size * sum.all / simulated, size * sum.issued / simulated});
      double entries = 0;
      for (size_t before : counter->blocksBefore(blocks[b].number))
        entries += runs[before];
      double waited = (own.all - own.issued) * exposedShare(blocks[b], times, entries);
      cost.cycles += times * (own.issued + waited);
      cost.issuedCycles += times * own.issued;
    }
    for (size_t entry : counter->loopEntries())
      cost.loopEntries += runs[entry];
  }
  return costs;
}
