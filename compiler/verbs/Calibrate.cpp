// SPDX-License-Identifier: Apache-2.0
//
// rt3c calibrate: a device file whose constants are fitted to this machine.

#include "compiler/Progress.h"
#include "compiler/predict/Fit.h"
#include "compiler/predict/TimedProgram.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

#include <cmath>

using namespace mlir;
using namespace mlir::rt3;

// Runs of each level at each length; the rounds between them go over all, so that a slow
// moment of the machine does not meet one alone.
static constexpr int kRounds = 5, kRuns = 7;

namespace {

class Calibrating {
public:
  explicit Calibrating(const CalibrateVerb &verb) : verb(verb) {}

  ExitCode run() {
    auto found = findCore(verb.device);
    if (!found)
      return fail(kExitUsage, "--device: " + llvm::toString(found.takeError()));
    chosen = std::move(*found);
    auto host = hostDevice();
    if (!host)
      return fail(kExitUsage, llvm::toString(host.takeError()));
    if (host->name != chosen.get().target)
      return fail(kExitUsage, "device " + chosen.chip.name + ", core " + chosen.get().name + ", runs code for " +
                                  (chosen.get().target.empty() ? "no target" : chosen.get().target) +
                                  ", this machine " + host->name);
    ModelOptions model = verb.model;
    model.target = host->name;
    if (ExitCode code = chooseOptions(model, options); code != kExitOk)
      return code;
    if (!verb.isCheck && options.levels.levels.size() < 2)
      return fail(kExitUsage, "calibrate needs --levels or --plan with two levels at least: every second one is held "
                              "out, to judge by; --check fits nothing");
    options.name = "model";
    options.marksOps = true;
    options.schedulerModel = chosen.get().schedulerModel;
    options.readCalibration = calibrationReader(model);
    DialectRegistry registry;
    registerDialects(registry);
    MLIRContext context(registry, MLIRContext::Threading::DISABLED);
    context.loadAllAvailableDialects();
    for (Stage stage : {Stage::Profile, Stage::Library}) {
      options.stage = stage;
      auto compiled = compileModel(&context, model.model, options);
      if (!compiled)
        return fail(compiled.takeError());
      if (!compiled->problems.empty()) {
        printProblems(model, compiled->problems, compiled->nodeCount);
        return kExitUnsupported;
      }
      (stage == Stage::Profile ? profiled : timed) = std::move(*compiled);
    }
    if (ExitCode code = chooseLengths(); code != kExitOk)
      return code;
    if (llvm::Error error = measure())
      return fail(kExitInternal, llvm::toString(std::move(error)));
    return fit();
  }

private:
  ExitCode chooseLengths() {
    int64_t most = profiled.program.maxLength;
    lengths = verb.lengths;
    if (lengths.empty())
      for (int64_t length : {int64_t(1), most / 16, most / 4, most})
        if (length > 0 && !llvm::is_contained(lengths, length))
          lengths.push_back(length);
    for (int64_t length : lengths)
      if (length < 1 || length > most)
        return fail(kExitUsage, "--lengths " + llvm::Twine(length) + ": the model takes 1 to " + llvm::Twine(most));
    llvm::sort(lengths);
    return kExitOk;
  }

  // Every op at every length.
  llvm::Error measure() {
    auto program = TimedProgram::make(timed);
    if (!program)
      return program.takeError();
    clock = measureClock();
    size_t levels = profiled.program.levelFunctions.size();
    std::vector<std::vector<std::map<int64_t, std::vector<double>>>> seconds(
        lengths.size(), std::vector<std::map<int64_t, std::vector<double>>>(levels));
    Progress progress("measuring", kRounds * lengths.size() * levels);
    for (size_t round = 0, done = 0; round < kRounds; ++round)
      for (size_t l = 0; l < lengths.size(); ++l)
        for (size_t level = 0; level < levels; ++level) {
          for (auto &[op, time] : (*program)->run(level, lengths[l], kRuns))
            seconds[l][level][op].push_back(time);
          progress.show(++done);
        }
    for (size_t l = 0; l < lengths.size(); ++l) {
      auto costs = profileLevels(profiled, lengths[l]);
      if (!costs)
        return costs.takeError();
      for (size_t level = 0; level < levels; ++level)
        addMeasurements(l, level, (*costs)[level], seconds[l][level]);
    }
    return llvm::Error::success();
  }

  void addMeasurements(size_t l, size_t level, const std::map<int64_t, OpCost> &costs,
                       std::map<int64_t, std::vector<double>> &seconds) {
    int64_t levelBytes = 0;
    for (const MarkedOp &op : profiled.ops)
      if (op.level == level && costs.count(op.mark))
        levelBytes += op.weightBytes;
    for (const MarkedOp &op : profiled.ops) {
      auto cost = costs.find(op.mark);
      auto times = seconds.find(op.mark);
      if (op.level != level || cost == costs.end() || times == seconds.end())
        continue;
      std::vector<double> &all = times->second;
      std::nth_element(all.begin(), all.begin() + all.size() / 2, all.end());
      // Whole levels are judged by, at all lengths: every second one.
      bool isHeldOut = verb.isCheck || level % 2;
      measurements.push_back({&op, cost->second, lengths[l], levelBytes, all[all.size() / 2], isHeldOut});
    }
  }

  ExitCode fit() {
    Core &core = chosen.chip.cores[chosen.core];
    FitResult found{constantsOf(core), chosen.chip.memoryBytesPerSecond};
    if (!verb.isCheck)
      found = fitConstants(chosen.chip, core, measurements, clock);
    chosen.chip.memoryBytesPerSecond = found.memoryBytesPerSecond;
    core.constants = found.constants;
    DeviceCalibration calibration;
    calibration.machine = llvm::sys::getHostCPUName().str();
    calibration.measurements = measurements.size();
    calibration.heldOut = llvm::count_if(measurements, [](const Measurement &m) { return m.isHeldOut; });
    calibration.layerErrorPercent = layerErrorPercent(chosen.chip, core, found.constants, measurements, clock);
    calibration.minLength = lengths.front();
    calibration.maxLength = lengths.back();
    calibration.modelErrorPercent = printModels(found.constants);
    core.calibration = calibration;
    core.levels = {{int64_t(clock / 1e3), 0, 0}};
    llvm::outs() << llvm::formatv(
        "clock {0:f2} GHz; {1} measurements, {2} held out: mean error {3:f1} % per layer, {4:f1} % per model\n",
        clock / 1e9, calibration.measurements, calibration.heldOut, calibration.layerErrorPercent,
        calibration.modelErrorPercent);
    return verb.isCheck ? kExitOk : write(found);
  }

  ExitCode write(const FitResult &found) const {
    llvm::outs() << llvm::formatv(
        "constants: compute x {0:f3}, {1:f1} cycles per loop entry, {2:f0} per op and {7:f0} where weights are not in "
        "L2, bytes per "
        "cycle {3:f1} from L2, {4:f1} from L3, {5:f1} of activations, {6:f1} GB/s from memory\n",
        found.constants.computeScale, found.constants.loopEntryCycles, found.constants.callCycles,
        found.constants.l2BytesPerCycle, found.constants.l3BytesPerCycle, found.constants.activationBytesPerCycle,
        found.memoryBytesPerSecond / 1e9, found.constants.streamCycles);
    std::string text = llvm::formatv("{0:2}\n", llvm::json::Value(chipJson(chosen.chip)));
    llvm::StringRef path(verb.out), folder = llvm::sys::path::parent_path(path);
    if (llvm::Error error =
            writeFiles(folder.empty() ? "." : folder.str(), {{llvm::sys::path::filename(path).str(), text}}))
      return fail(std::move(error));
    return kExitOk;
  }

  // A row per level and length, of whole models; returns the mean error of those held out, in percent.
  double printModels(const CostConstants &constants) const {
    llvm::outs() << llvm::formatv("{0,-20} {1,7} {2,12} {3,13} {4,7}\n", "level", "length", "measured us",
                                  "predicted us", "error");
    double sum = 0;
    int64_t count = 0;
    for (int64_t length : lengths)
      for (size_t level = 0; level < profiled.program.levelFunctions.size(); ++level) {
        double measured = 0, predicted = 0;
        for (const Measurement &measurement : measurements) {
          if (measurement.length != length || measurement.op->level != level)
            continue;
          OpPrediction op = predictOp(chosen.chip, chosen.get(), constants, *measurement.op, measurement.cost, length,
                                      measurement.levelBytes);
          measured += measurement.seconds;
          predicted += op.seconds(clock);
          if (verb.printsOps)
            llvm::outs() << llvm::formatv("  {0,-10} {1,9:f1} {2,9:f1} {3,6:f2} {4}{5}\n", op.op->kind,
                                          1e6 * measurement.seconds, 1e6 * op.seconds(clock),
                                          op.seconds(clock) / measurement.seconds,
                                          measurement.isHeldOut ? "held out " : "", printable(op.op->layer));
        }
        double error = 100 * (predicted / measured - 1);
        bool isHeldOut = verb.isCheck || level % 2;
        llvm::outs() << llvm::formatv("{0,-20} {1,7} {2,12:f1} {3,13:f1} {4,5:f1} %{5}\n",
                                      options.levels.levels[level].name, length, 1e6 * measured, 1e6 * predicted, error,
                                      isHeldOut ? "" : " fitted");
        sum += isHeldOut ? std::abs(error) : 0;
        count += isHeldOut;
      }
    return sum / count;
  }

  const CalibrateVerb &verb;
  CompileOptions options;
  ChosenCore chosen;
  CompileResult profiled, timed;
  std::vector<int64_t> lengths;
  std::vector<Measurement> measurements;
  double clock = 0;
};

} // namespace

ExitCode mlir::rt3::runCalibrate(const CalibrateVerb &verb) { return Calibrating(verb).run(); }
