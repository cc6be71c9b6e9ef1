// SPDX-License-Identifier: Apache-2.0
//
// A chip with the clocks that its cores can run at and what each takes: for whom is
// programmed which device, how fast, at what power. One JSON file per chip in chips/,
// compiled into the program; others are read from a path.

#ifndef RT3_COMPILER_PREDICT_CHIP_H
#define RT3_COMPILER_PREDICT_CHIP_H

#include "codegen/devices/Device.h"

#include "llvm/Support/JSON.h"

#include <optional>

namespace mlir::rt3 {

// An operating point of a core.
struct ClockLevel {
  int64_t frequencyKhz = 0;
  int64_t voltageUv = 0; // 0: unknown.
  double powerMw = 0;    // Of one busy core, above the idle chip's; 0: unknown.
};

// What a prediction needs beyond the scheduling model, per core. rt3c calibrate fits it.
struct CostConstants {
  double computeScale = 1;    // Real cycles per cycle of the model.
  double otherScale = 1;      // Likewise, of what is no linear layer, in multiples of that.
  double waitShare = 1;       // Of what the model's blocks wait for their own results, 0 to 1: the rest is
                              // hidden by code behind them, as out-of-order cores do.
  double serialShare = 0;     // Of the shorter of computing and reading weights, 0 to 1: what is not hidden
                              // behind the other.
  double loopEntryCycles = 0; // Of a loop whose end is foreseen badly.
  double callCycles = 0;      // Of an op.
  double coldCycles = 0;      // Of an op if the level's weights do not fit in L2: others have used what it needs.
  double streamCycles = 0;    // Until weights that come from memory flow.
  double l2BytesPerCycle = 0, l3BytesPerCycle = 0;
  double activationBytesPerCycle = 0;
  double farActivationBytesPerCycle = 0; // Of those that have left L2 before they are read.
  double partialSumBytesPerCycle = 0;    // Of partial sums between ranges of inputs; 0: they cost nothing.
  // Bytes of L3 that others leave to the core: as much of weights that do not fit stays there. 0: not known; then
  // the chip's counts, and of what does not fit nothing stays.
  double usableL3Size = 0;
};

// Where constants come from, so that nobody takes them for more.
struct DeviceCalibration {
  std::string machine; // Where it ran.
  int64_t measurements = 0, heldOut = 0;
  double layerErrorPercent = 0, modelErrorPercent = 0; // Mean absolute, of what was held out.
  int64_t minLength = 0, maxLength = 0;                // Tokens.
};

struct Core {
  std::string name;
  std::string target;         // A name that findDevice knows; empty: no code can be made for it.
  std::string schedulerModel; // LLVM's name of a CPU.
  int64_t window = 0;         // Instructions in flight, which hide what a loop waits for; 0: nothing does.
  int64_t firstCpu = 0, count = 0;
  int64_t l2Size = 0;             // Bytes.
  std::vector<ClockLevel> levels; // Slowest first.
  std::optional<CostConstants> constants;
  std::optional<DeviceCalibration> calibration;
};

struct Chip {
  std::string name, summary;
  std::vector<std::string> sources; // Of the numbers.
  int64_t l3Size = 0;               // Bytes that all cores share; 0: none.
  double memoryBytesPerSecond = 0;  // That one core reads.
  std::vector<Core> cores;          // The first is taken if none is named.
};

// P = C V^2 f + V I, in mW: C in pF, V in uV, f in kHz, the leakage I in mA.
double modelPowerMw(double capacitancePf, double leakageMa, const ClockLevel &level);

// Reads a chip file. Errors name the place, what was found and what was expected.
llvm::Expected<Chip> parseChip(llvm::StringRef json);
// Its text; what parseChip reads again.
llvm::json::Object chipJson(const Chip &chip);

// All chips that are compiled in, by name.
const std::vector<Chip> &allChips();

// A chip and one of its cores: NAME, NAME:CORE, or a file in place of the name.
struct ChosenCore {
  Chip chip;
  size_t core = 0;
  const Core &get() const { return chip.cores[core]; }
};
llvm::Expected<ChosenCore> findCore(llvm::StringRef text);

// The level of a clock; an error lists all.
llvm::Expected<ClockLevel> findClock(const Core &core, int64_t frequencyKhz);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_CHIP_H
