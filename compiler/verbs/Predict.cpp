// SPDX-License-Identifier: Apache-2.0
//
// rt3c predict: time and energy of every level on a chip, without the chip.

#include "compiler/predict/Predictor.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::rt3;

// The clock of each level: its own, or the fastest where it names none.
static llvm::Expected<std::vector<ClockLevel>> chooseClocks(const LevelPlan &levels, const Core &core) {
  std::vector<ClockLevel> clocks;
  for (const LevelSpec &level : levels.levels) {
    if (!level.frequencyKhz) {
      clocks.push_back(core.levels.back());
      continue;
    }
    auto clock = findClock(core, level.frequencyKhz);
    if (!clock)
      return llvm::createStringError("level " + level.name + ": " + llvm::toString(clock.takeError()) +
                                     "; change frequency_khz, or ask for --all-clocks");
    clocks.push_back(*clock);
  }
  return clocks;
}

static std::string energyText(const ClockLevel &clock, double seconds) {
  auto energy = energyMj(clock, seconds);
  return energy ? llvm::formatv("{0,10:f3}", *energy).str() : "         ?";
}

namespace {

class Prediction {
public:
  explicit Prediction(const PredictVerb &verb) : verb(verb) {}

  ExitCode run() {
    auto found = findCore(verb.device);
    if (!found)
      return fail(kExitUsage, "--device: " + llvm::toString(found.takeError()));
    chosen = std::move(*found);
    const Core &core = chosen.get();
    if (core.target.empty())
      return fail(kExitUsage, "device " + chosen.chip.name + ", core " + core.name +
                                  ": no code can be made for it (its file has a table of clocks only)");
    ModelOptions model = verb.model;
    if (!model.target.empty() && model.target != core.target)
      return fail(kExitUsage, "--target " + model.target + ": core " + core.name + " of device " + chosen.chip.name +
                                  " runs code for " + core.target);
    model.target = core.target;
    if (ExitCode code = chooseOptions(model, options); code != kExitOk)
      return code;
    if (!verb.allClocks) {
      auto own = chooseClocks(options.levels, core);
      if (!own)
        return fail(kExitUsage, llvm::toString(own.takeError()));
      clocks = std::move(*own);
    }
    options.name = "model";
    options.stage = Stage::Profile;
    options.marksOps = true;
    options.schedulerModel = core.schedulerModel;
    options.window = core.window;
    options.readCalibration = calibrationReader(model);
    DialectRegistry registry;
    registerDialects(registry);
    MLIRContext context(registry, MLIRContext::Threading::DISABLED);
    context.loadAllAvailableDialects();
    auto compiled = compileModel(&context, model.model, options);
    if (!compiled)
      return fail(compiled.takeError());
    if (!compiled->problems.empty()) {
      printProblems(model, compiled->problems, compiled->nodeCount);
      return kExitUnsupported;
    }
    result = std::move(*compiled);
    return predictLength();
  }

private:
  ExitCode predictLength() {
    int64_t most = result.program.maxLength;
    length = verb.length ? verb.length : most;
    if (length < 1 || length > most)
      return fail(kExitUsage, "--length " + llvm::Twine(length) + ": the model takes 1 to " + llvm::Twine(most));
    bool isFixed = llvm::none_of(result.program.inputs,
                                 [](const TensorDescription &input) { return llvm::is_contained(input.dims, -1); });
    if (std::string fault = lengthFault(chosen, length, isFixed); !fault.empty() && !verb.extrapolates)
      return fail(kExitUsage, fault + ", or say --extrapolate");
    int64_t context = result.program.contextLength;
    if (verb.position && verb.position + length > context)
      return fail(kExitUsage, "--position " + llvm::Twine(verb.position) + " and " + llvm::Twine(length) +
                                  " tokens: the model's cache holds " + llvm::Twine(context));
    auto predicted = predict(result, chosen, length, verb.position);
    if (!predicted)
      return fail(kExitInternal, llvm::toString(predicted.takeError()));
    levels = std::move(*predicted);
    if (verb.model.asJson)
      printJson();
    else
      print();
    return kExitOk;
  }

  std::string trust() const {
    const auto &calibration = chosen.get().calibration;
    if (!calibration)
      return "not calibrated: cycles of LLVM's model " + chosen.get().schedulerModel +
             ", branches and caches by the numbers of target " + chosen.get().target;
    return llvm::formatv("calibrated on {0}: of {1} measurements {2} were held out, mean error {3:f1} % per layer, "
                         "{4:f1} % per model, {5} to {6} tokens",
                         calibration->machine, calibration->measurements, calibration->heldOut,
                         calibration->layerErrorPercent, calibration->modelErrorPercent, calibration->minLength,
                         calibration->maxLength);
  }

  void print() const {
    const Core &core = chosen.get();
    llvm::outs() << llvm::formatv("{0}, core {1}, one thread, length {2}; {3}\n", chosen.chip.name, core.name, length,
                                  trust());
    if (verb.allClocks) {
      llvm::outs() << llvm::formatv("{0,10}", "MHz");
      for (const LevelSpec &level : options.levels.levels)
        llvm::outs() << llvm::formatv(" {0,10} ms {1,10}", level.name, "mJ");
      llvm::outs() << "\n";
      for (const ClockLevel &clock : core.levels) {
        llvm::outs() << llvm::formatv("{0,10:f1}", clock.frequencyKhz / 1e3);
        for (const LevelPrediction &level : levels) {
          double seconds = level.seconds(clock.frequencyKhz * 1e3);
          llvm::outs() << llvm::formatv(" {0,13:f3} {1}", 1e3 * seconds, energyText(clock, seconds));
        }
        llvm::outs() << "\n";
      }
    } else {
      llvm::outs() << llvm::formatv("{0,-20} {1,8} {2,12} {3,10} {4,10} {5,10}\n", "level", "MHz", "Mcycles", "ms",
                                    "mJ", "linear");
      for (auto [i, level] : llvm::enumerate(levels)) {
        double hertz = clocks[i].frequencyKhz * 1e3, seconds = level.seconds(hertz), linear = 0, cycles = 0;
        for (const OpPrediction &op : level.ops) {
          linear += op.op->layer.empty() ? 0 : op.seconds(hertz);
          cycles += op.cost.cycles;
        }
        llvm::outs() << llvm::formatv("{0,-20} {1,8:f1} {2,12:f3} {3,10:f3} {4} {5,8:f1} %\n",
                                      options.levels.levels[i].name, hertz / 1e6, cycles / 1e6, 1e3 * seconds,
                                      energyText(clocks[i], seconds), 100 * linear / seconds);
      }
    }
    llvm::outs() << (verb.allClocks ? "" : "Mcycles: by LLVM's model alone; ") << "ms: with branches and caches"
                 << (core.levels.back().powerMw > 0 ? "" : "; mJ: the device file has no power") << "\n";
    if (verb.layers)
      printLayers();
  }

  void printLayers() const {
    for (auto [i, level] : llvm::enumerate(levels)) {
      double hertz = (verb.allClocks ? chosen.get().levels.back() : clocks[i]).frequencyKhz * 1e3;
      llvm::outs() << llvm::formatv("\n{0} at {1:f1} MHz\n{2,-12} {3,12} {4,12} {5,10} {6,10}  {7}\n",
                                    options.levels.levels[i].name, hertz / 1e6, "op", "kinstr", "kcycles", "KiB read",
                                    "us", "layer");
      for (const OpPrediction &op : level.ops)
        llvm::outs() << llvm::formatv("{0,-12} {1,12:f1} {2,12:f1} {3,10:f1} {4,10:f2}  {5}\n", op.op->kind,
                                      op.cost.instructions / 1e3, op.cost.cycles / 1e3, op.op->weightBytes / 1024.0,
                                      1e6 * op.seconds(hertz), printable(op.op->layer));
    }
  }

  void printJson() const {
    llvm::json::Array list;
    for (auto [i, level] : llvm::enumerate(levels)) {
      llvm::json::Array points, ops;
      auto add = [&](const ClockLevel &clock) {
        double seconds = level.seconds(clock.frequencyKhz * 1e3);
        auto energy = energyMj(clock, seconds);
        points.push_back(
            llvm::json::Object{{"frequency_khz", clock.frequencyKhz},
                               {"milliseconds", 1e3 * seconds},
                               {"millijoules", energy ? llvm::json::Value(*energy) : llvm::json::Value(nullptr)}});
      };
      if (verb.allClocks)
        llvm::for_each(chosen.get().levels, add);
      else
        add(clocks[i]);
      double cycles = 0, instructions = 0;
      for (const OpPrediction &op : level.ops) {
        cycles += op.cost.cycles;
        instructions += op.cost.instructions;
        ops.push_back(llvm::json::Object{{"op", op.op->kind},
                                         {"layer", llvm::json::fixUTF8(op.op->layer)},
                                         {"instructions", op.cost.instructions},
                                         {"cycles", op.cost.cycles},
                                         {"loop_entries", op.cost.loopEntries},
                                         {"weight_bytes", op.op->weightBytes}});
      }
      list.push_back(llvm::json::Object{{"level", options.levels.levels[i].name},
                                        {"instructions", instructions},
                                        {"cycles", cycles},
                                        {"points", std::move(points)},
                                        {"ops", std::move(ops)}});
    }
    llvm::outs() << llvm::formatv("{0:2}\n", llvm::json::Value(llvm::json::Object{{"device", chosen.chip.name},
                                                                                  {"core", chosen.get().name},
                                                                                  {"length", length},
                                                                                  {"trust", trust()},
                                                                                  {"levels", std::move(list)}}));
  }

  const PredictVerb &verb;
  CompileOptions options;
  ChosenCore chosen;
  CompileResult result;
  std::vector<LevelPrediction> levels;
  std::vector<ClockLevel> clocks; // Of each level; none: all of the core's.
  int64_t length = 1;
};

} // namespace

ExitCode mlir::rt3::runPredict(const PredictVerb &verb) { return Prediction(verb).run(); }
