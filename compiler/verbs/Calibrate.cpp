// SPDX-License-Identifier: Apache-2.0
//
// rt3c calibrate: a device file whose constants are fitted to this machine.

#include "compiler/Progress.h"
#include "compiler/predict/Measurements.h"
#include "compiler/predict/TimedProgram.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

#include <chrono>
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::rt3;

// Runs of each level at each length in a round; rounds go over all, so that a slow moment of the
// machine does not meet one alone.
static constexpr int kRuns = 5;
// Others that share a core or a cache disturb for seconds, which may be all that a small model takes. Of more
// rounds than the most a quarter is enough, however small the model.
static constexpr size_t kLeastRounds = 16, kMostRounds = 320;
static constexpr double kLeastSeconds = 20;

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
                                  ", this machine " + host->name + "; devices of that target are " +
                                  devicesOf(host->name) + ", and files that name it");
    ModelOptions model = verb.model;
    model.target = host->name;
    if (ExitCode code = chooseOptions(model, options); code != kExitOk)
      return code;
    if (!verb.measurements.empty() && verb.isCheck)
      return fail(kExitUsage, "--check fits nothing: --measurements has no place beside it");
    if (verb.measurements == verb.out)
      return fail(kExitUsage, "--measurements and --out are one file, " + verb.out);
    if (!verb.isCheck && options.levels.levels.size() < 2)
      return fail(kExitUsage, "calibrate needs --levels or --plan with two levels at least: every second one is held "
                              "out, to judge by; --check fits nothing");
    llvm::SmallString<128> path;
    if (llvm::sys::fs::real_path(verb.model.model, path))
      path = verb.model.model;
    own.name = llvm::json::fixUTF8(path.str().str() + ", " + verb.model.type);
    for (const LevelSpec &level : options.levels.levels)
      own.levels.push_back(level.name);
    if (ExitCode code = readOthers(); code != kExitOk)
      return code;
    if (!verb.isCheck)
      for (const std::string &path : {verb.out, verb.measurements.empty() ? verb.out : verb.measurements})
        if (llvm::Error error = checkWritable(folderOf(path)))
          return fail(std::move(error));
    options.name = "model";
    options.marksOps = true;
    options.schedulerModel = chosen.get().schedulerModel;
    options.window = chosen.get().window;
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
  static std::string devicesOf(llvm::StringRef target) {
    std::string names;
    for (const Chip &chip : allChips())
      if (llvm::any_of(chip.cores, [&](const Core &core) { return core.target == target; }))
        names += (names.empty() ? "" : ", ") + chip.name;
    return names.empty() ? "none of ours" : names;
  }

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
    size_t levels = profiled.program.levelFunctions.size();
    std::vector<std::vector<std::vector<TimedBatch>>> batches(lengths.size(),
                                                              std::vector<std::vector<TimedBatch>>(levels));
    Progress progress("measuring, percent", 100);
    auto begin = std::chrono::steady_clock::now();
    size_t perRound = lengths.size() * levels;
    double done = 0;
    for (size_t batch = 0; done < 1 || batch % perRound; ++batch) {
      size_t l = batch % perRound / levels, level = batch % levels;
      batches[l][level].push_back(runBatch(**program, level, lengths[l]));
      double rounds = double(batch + 1) / perRound;
      double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      done = std::min(rounds / kLeastRounds, std::max(rounds / kMostRounds, elapsed / kLeastSeconds));
      progress.show(std::min<size_t>(100 * done, 100));
    }
    std::vector<double> clocks;
    for (size_t l = 0; l < lengths.size(); ++l) {
      auto costs = profileLevels(profiled, lengths[l]);
      if (!costs)
        return costs.takeError();
      for (size_t level = 0; level < levels; ++level) {
        TimedBatch counted = countFastest(std::move(batches[l][level]));
        addMeasurements(l, level, (*costs)[level], counted);
        clocks.push_back(counted.clock);
      }
    }
    clock = median(clocks);
    return llvm::Error::success();
  }

  // The clock of a machine that others share moves by a fifth within minutes, and what they do on the same core
  // makes it look slower for a moment: it is taken before and after the runs, whose times become cycles by the
  // faster of the two.
  TimedBatch runBatch(TimedProgram &program, size_t level, int64_t length) const {
    double before = measureClock(options.device.isa);
    std::map<int64_t, double> seconds = program.run(level, length, kRuns);
    return {std::move(seconds), std::max(before, measureClock(options.device.isa))};
  }

  void addMeasurements(size_t l, size_t level, const std::map<int64_t, OpCost> &costs, const TimedBatch &times) {
    int64_t bytes = levelBytes(profiled.ops, level, costs);
    for (const MarkedOp &op : profiled.ops) {
      auto cost = costs.find(op.mark);
      auto seconds = times.seconds.find(op.mark);
      if (op.level != level || cost == costs.end() || seconds == times.seconds.end())
        continue;
      // Whole levels are judged by, at all lengths: every second one.
      bool isHeldOut = verb.isCheck || level % 2;
      own.measurements.push_back({op, cost->second, lengths[l], bytes, times.clock, seconds->second, isHeldOut});
    }
  }

  // What other runs have left in --measurements; this run's takes the place of an earlier
  // one of the same model.
  ExitCode readOthers() {
    const Core &core = chosen.get();
    others = {llvm::sys::getHostCPUName().str(), core.target, core.schedulerModel, core.window, {}};
    if (verb.measurements.empty() || !llvm::sys::fs::exists(verb.measurements))
      return kExitOk;
    auto text = readFile(verb.measurements);
    if (!text)
      return fail(text.takeError());
    auto found = parseMeasurements(*text);
    if (!found)
      return fail(kExitBadInput, verb.measurements + ": " + llvm::toString(found.takeError()) +
                                     "\n  a file of an older rt3c lacks fields: take another file, and measure again");
    auto describe = [](const MeasurementFile &file) {
      return printable(file.machine) + ", target " + printable(file.target) + ", scheduling model " +
             printable(file.schedulerModel) + ", window " + std::to_string(file.window);
    };
    if (describe(*found) != describe(others))
      return fail(kExitBadInput, verb.measurements + ": was measured on " + describe(*found) + "; this run is on " +
                                     describe(others) + ": take another file");
    others = std::move(*found);
    llvm::erase_if(others.models, [&](const MeasuredModel &model) { return model.name == own.name; });
    return kExitOk;
  }

  ExitCode fit() {
    Core &core = chosen.chip.cores[chosen.core];
    if (own.measurements.empty())
      return fail(kExitUnsupported, verb.model.model + " has no op that can be measured");
    others.models.push_back(std::move(own));
    std::vector<Measurement> measurements;
    for (const MeasuredModel &model : others.models)
      llvm::append_range(measurements, model.measurements);
    FitResult found{constantsOf(core), chosen.chip.memoryBytesPerSecond};
    if (!verb.isCheck)
      found = fitConstants(chosen.chip, core, others.models);
    chosen.chip.memoryBytesPerSecond = found.memoryBytesPerSecond;
    core.constants = found.constants;
    if (!verb.isCheck)
      nameSources();
    DeviceCalibration calibration;
    calibration.machine = others.machine;
    calibration.measurements = measurements.size();
    calibration.heldOut = llvm::count_if(measurements, [](const Measurement &m) { return m.isHeldOut; });
    calibration.layerErrorPercent = layerErrorPercent(chosen.chip, core, found.constants, measurements);
    calibration.minLength = measurements.front().length;
    for (const Measurement &measurement : measurements) {
      calibration.minLength = std::min(calibration.minLength, measurement.length);
      calibration.maxLength = std::max(calibration.maxLength, measurement.length);
    }
    std::vector<double> errors;
    for (const MeasuredModel &model : others.models)
      llvm::append_range(errors, printModel(model, found.constants));
    calibration.modelErrorPercent = mean(errors);
    core.calibration = calibration;
    core.levels = {{int64_t(clock / 1e3), 0, 0}};
    llvm::outs() << llvm::formatv(
        "clock {0:f2} GHz; {1} measurements, {2} held out: mean error {3:f1} % per layer, {4:f1} % per model\n",
        clock / 1e9, calibration.measurements, calibration.heldOut, calibration.layerErrorPercent,
        calibration.modelErrorPercent);
    return verb.isCheck ? kExitOk : write(found);
  }

  // What the file said of constants and of the clock is no longer true.
  void nameSources() {
    std::vector<std::string> &sources = chosen.chip.sources;
    llvm::erase_if(sources, [](llvm::StringRef source) {
      return source.starts_with("constants:") || source.starts_with("clock:");
    });
    std::string names;
    for (const MeasuredModel &model : others.models)
      names += (names.empty() ? "" : "; ") + model.name;
    sources.push_back("clock: the median of the rounds that count");
    sources.push_back("constants: rt3c calibrate on " + names);
  }

  static double mean(llvm::ArrayRef<double> values) {
    return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / values.size();
  }

  ExitCode write(const FitResult &found) const {
    const CostConstants &c = found.constants;
    llvm::outs()
        << llvm::formatv("constants: compute x {0:f3}, outside linear layers {1:f2} times that, of waiting {2:f2}; "
                         "{3:f1} cycles per loop entry, {4:f0} per op, {5:f0} more of levels larger than L2, "
                         "{6:f0} where weights are not in L2; ",
                         c.computeScale, c.otherScale, c.waitShare, c.loopEntryCycles, c.callCycles, c.coldCycles,
                         c.streamCycles)
        << llvm::formatv("bytes per cycle {0:f1} from L2, {1:f1} from L3, {2:f1} of activations, {3:f1} of those "
                         "beyond L2, {4:f1} of partial sums between ranges of inputs; ",
                         c.l2BytesPerCycle, c.l3BytesPerCycle, c.activationBytesPerCycle, c.farActivationBytesPerCycle,
                         c.partialSumBytesPerCycle)
        << llvm::formatv("{0} of L3, {1:f1} GB/s from memory; not hidden {2:f2}\n",
                         c.usableL3Size > 0 ? llvm::formatv("{0:f0} MB", c.usableL3Size / 1e6).str()
                                            : "an unknown part",
                         found.memoryBytesPerSecond / 1e9, c.serialShare);
    if (!verb.measurements.empty())
      if (llvm::Error error = writeJson(verb.measurements, measurementsJson(others)))
        return fail(std::move(error));
    if (llvm::Error error = writeJson(verb.out, chipJson(chosen.chip)))
      return fail(std::move(error));
    return kExitOk;
  }

  static std::string folderOf(llvm::StringRef path) {
    llvm::StringRef folder = llvm::sys::path::parent_path(path);
    return folder.empty() ? "." : folder.str();
  }

  static llvm::Error writeJson(llvm::StringRef path, llvm::json::Object object) {
    std::string text = llvm::formatv("{0:2}\n", llvm::json::Value(std::move(object)));
    return writeFiles(folderOf(path), {{llvm::sys::path::filename(path).str(), text}});
  }

  // A row per level and length; returns the errors, in percent, of those held out.
  std::vector<double> printModel(const MeasuredModel &model, const CostConstants &constants) const {
    llvm::outs() << printable(model.name) << "\n"
                 << llvm::formatv("  {0,-20} {1,7} {2,12} {3,13} {4,7}\n", "level", "length", "measured us",
                                  "predicted us", "error");
    struct Sum {
      double measured = 0, predicted = 0;
      bool isHeldOut = false;
      std::string ops;
    };
    std::map<std::pair<int64_t, size_t>, Sum> sums; // By length and level.
    for (const Measurement &measurement : model.measurements) {
      const MarkedOp &op = measurement.op;
      double predicted = predictOp(chosen.chip, chosen.get(), constants, op, measurement.cost, measurement.length,
                                   measurement.levelBytes)
                             .seconds(measurement.clock);
      Sum &sum = sums[{measurement.length, op.level}];
      sum.measured += measurement.seconds;
      sum.predicted += predicted;
      sum.isHeldOut = measurement.isHeldOut;
      if (verb.printsOps)
        sum.ops += llvm::formatv("    {0,-10} {1,9:f1} {2,9:f1} {3,6:f2} {4}\n", op.kind, 1e6 * measurement.seconds,
                                 1e6 * predicted, predicted / measurement.seconds, printable(op.layer));
    }
    std::vector<double> errors;
    for (const auto &[key, sum] : sums) {
      double error = 100 * (sum.predicted / sum.measured - 1);
      llvm::outs() << sum.ops
                   << llvm::formatv("  {0,-20} {1,7} {2,12:f1} {3,13:f1} {4,5:f1} %{5}\n",
                                    printable(model.levels[key.second]), key.first, 1e6 * sum.measured,
                                    1e6 * sum.predicted, error, sum.isHeldOut ? "" : " fitted");
      if (sum.isHeldOut && sum.measured > 0)
        errors.push_back(std::abs(error));
    }
    llvm::outs() << llvm::formatv("  held out: mean error {0:f1} % per layer, {1:f1} % per model\n",
                                  layerErrorPercent(chosen.chip, chosen.get(), constants, model.measurements),
                                  mean(errors));
    return errors;
  }

  const CalibrateVerb &verb;
  CompileOptions options;
  ChosenCore chosen;
  CompileResult profiled, timed;
  std::vector<int64_t> lengths;
  MeasuredModel own;
  MeasurementFile others;
  double clock = 0; // Hz, the median of what counts.
};

} // namespace

ExitCode mlir::rt3::runCalibrate(const CalibrateVerb &verb) { return Calibrating(verb).run(); }
