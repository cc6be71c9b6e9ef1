// SPDX-License-Identifier: Apache-2.0

#include "compiler/predict/Chip.h"

#include "compiler/predict/Fields.h"
#include "compiler/prune/Levels.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cmath>

using namespace mlir::rt3;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;
using llvm::StringRef;

// Written by CMake: the text of every chip file.
static const char *const kChipFiles[] = {
#include "codegen/devices/ChipFiles.inc"
};

// Of what is divided by.
static constexpr double kLeastRate = 1e-6;
static constexpr size_t kMaxFileSize = 1 << 20;

double mlir::rt3::modelPowerMw(double capacitancePf, double leakageMa, const ClockLevel &level) {
  double volts = level.voltageUv * 1e-6;
  return 1e3 * (capacitancePf * 1e-12 * volts * volts * level.frequencyKhz * 1e3 + volts * leakageMa * 1e-3);
}

static std::vector<ClockLevel> parseClocks(Fields &fields, const std::string &place, std::vector<std::string> &faults) {
  std::vector<ClockLevel> levels;
  const llvm::json::Array *list = fields.list("levels");
  std::optional<Fields> model = fields.inner("power_model");
  if (!list)
    return levels;
  double capacitance = model ? model->number("capacitance_pf", 0) : 0;
  double leakage = model ? model->number("leakage_ma", 0) : 0;
  if (model)
    model->rejectOthers();
  for (auto [i, value] : llvm::enumerate(*list)) {
    Fields entry(value.getAsObject(), place + ".levels[" + std::to_string(i) + "]", faults);
    ClockLevel level;
    level.frequencyKhz = entry.number("frequency_khz", 1);
    level.voltageUv = entry.number("voltage_uv", 0, model ? std::nullopt : std::optional(0.0));
    level.powerMw = entry.number("power_mw", 0, 0);
    if (model && level.powerMw > 0)
      entry.fault("power_mw", "nothing, beside a power_model");
    if (model)
      level.powerMw = modelPowerMw(capacitance, leakage, level);
    if (!levels.empty() && level.frequencyKhz <= levels.back().frequencyKhz)
      entry.fault("frequency_khz", "more than the level before: the slowest comes first");
    entry.rejectOthers();
    levels.push_back(level);
  }
  return levels;
}

static Core parseCore(Fields fields, const std::string &place, std::vector<std::string> &faults) {
  Core core;
  core.name = fields.text("name");
  core.target = fields.text("target");
  core.schedulerModel = fields.text("scheduler_model");
  core.window = fields.number("window", 0, 0);
  if (!core.target.empty())
    if (auto device = findDevice(core.target); !device)
      fields.fault("target", "one that rt3c targets lists, or nothing: " + llvm::toString(device.takeError()));
  core.firstCpu = fields.number("first_cpu", 0);
  core.count = fields.number("count", 1);
  core.l2Size = fields.number("l2_size", 0);
  core.levels = parseClocks(fields, place, faults);
  if (auto constants = fields.inner("constants")) {
    CostConstants found;
    found.computeScale = constants->number("compute_scale", kLeastRate);
    found.otherScale = constants->number("other_scale", kLeastRate, found.otherScale);
    found.waitShare = constants->share("wait_share", found.waitShare);
    found.serialShare = constants->share("serial_share", found.serialShare);
    found.loopEntryCycles = constants->number("loop_entry_cycles", 0);
    found.callCycles = constants->number("call_cycles", 0);
    found.coldCycles = constants->number("cold_cycles", 0, 0);
    found.streamCycles = constants->number("stream_cycles", 0);
    found.l2BytesPerCycle = constants->number("l2_bytes_per_cycle", kLeastRate);
    found.l3BytesPerCycle = constants->number("l3_bytes_per_cycle", kLeastRate);
    found.activationBytesPerCycle = constants->number("activation_bytes_per_cycle", kLeastRate);
    found.farActivationBytesPerCycle =
        constants->number("far_activation_bytes_per_cycle", kLeastRate, found.activationBytesPerCycle);
    found.partialSumBytesPerCycle = constants->number("partial_sum_bytes_per_cycle", 0, 0);
    found.usableL3Size = constants->number("usable_l3_size", 0, 0);
    constants->rejectOthers();
    core.constants = found;
  }
  if (auto calibration = fields.inner("calibration")) {
    DeviceCalibration found;
    found.machine = calibration->text("machine");
    found.measurements = calibration->number("measurements", 0);
    found.heldOut = calibration->number("held_out", 0);
    found.layerErrorPercent = calibration->number("layer_error_percent", 0);
    found.modelErrorPercent = calibration->number("model_error_percent", 0);
    found.minLength = calibration->number("min_length", 1);
    found.maxLength = calibration->number("max_length", 1);
    calibration->rejectOthers();
    core.calibration = found;
  }
  fields.rejectOthers();
  return core;
}

Expected<Chip> mlir::rt3::parseChip(StringRef json) {
  if (json.size() > kMaxFileSize)
    return createStringError("chip: larger than any chip file (1 MiB)");
  Expected<llvm::json::Value> value = parseJson(json);
  if (!value)
    return createStringError("chip: " + llvm::toString(value.takeError()));
  std::vector<std::string> faults;
  Fields fields(value->getAsObject(), "chip", faults);
  Chip chip;
  if (value->getAsObject()) {
    chip.name = fields.text("name");
    chip.summary = fields.text("summary");
    if (const llvm::json::Array *sources = fields.list("sources"))
      for (const llvm::json::Value &source : *sources)
        chip.sources.push_back(source.getAsString().value_or("").str());
    chip.l3Size = fields.number("l3_size", 0);
    chip.memoryBytesPerSecond = fields.number("memory_bytes_per_second", 1);
    if (const llvm::json::Array *cores = fields.list("cores"))
      for (auto [i, core] : llvm::enumerate(*cores)) {
        std::string place = "chip.cores[" + std::to_string(i) + "]";
        chip.cores.push_back(parseCore(Fields(core.getAsObject(), place, faults), place, faults));
        for (const Core &other : llvm::ArrayRef(chip.cores).drop_back())
          if (other.name == chip.cores.back().name)
            faults.push_back(place + ".name: another core is called \"" + other.name + "\"");
      }
    fields.rejectOthers();
  }
  if (!faults.empty())
    return createStringError(llvm::join(faults, "\n  "));
  return chip;
}

llvm::json::Object mlir::rt3::chipJson(const Chip &chip) {
  llvm::json::Array cores;
  for (const Core &core : chip.cores) {
    llvm::json::Array levels;
    for (const ClockLevel &level : core.levels)
      levels.push_back(llvm::json::Object{
          {"frequency_khz", level.frequencyKhz}, {"voltage_uv", level.voltageUv}, {"power_mw", level.powerMw}});
    llvm::json::Object entry{
        {"name", core.name},      {"target", core.target},      {"scheduler_model", core.schedulerModel},
        {"window", core.window},  {"first_cpu", core.firstCpu}, {"count", core.count},
        {"l2_size", core.l2Size}, {"levels", std::move(levels)}};
    if (const auto &constants = core.constants)
      entry["constants"] = llvm::json::Object{{"compute_scale", constants->computeScale},
                                              {"other_scale", constants->otherScale},
                                              {"wait_share", constants->waitShare},
                                              {"serial_share", constants->serialShare},
                                              {"loop_entry_cycles", constants->loopEntryCycles},
                                              {"call_cycles", constants->callCycles},
                                              {"cold_cycles", constants->coldCycles},
                                              {"stream_cycles", constants->streamCycles},
                                              {"l2_bytes_per_cycle", constants->l2BytesPerCycle},
                                              {"l3_bytes_per_cycle", constants->l3BytesPerCycle},
                                              {"activation_bytes_per_cycle", constants->activationBytesPerCycle},
                                              {"far_activation_bytes_per_cycle", constants->farActivationBytesPerCycle},
                                              {"partial_sum_bytes_per_cycle", constants->partialSumBytesPerCycle},
                                              {"usable_l3_size", constants->usableL3Size}};
    if (const auto &calibration = core.calibration)
      entry["calibration"] = llvm::json::Object{{"machine", calibration->machine},
                                                {"measurements", calibration->measurements},
                                                {"held_out", calibration->heldOut},
                                                {"layer_error_percent", calibration->layerErrorPercent},
                                                {"model_error_percent", calibration->modelErrorPercent},
                                                {"min_length", calibration->minLength},
                                                {"max_length", calibration->maxLength}};
    cores.push_back(std::move(entry));
  }
  return llvm::json::Object{{"name", chip.name},
                            {"summary", chip.summary},
                            {"sources", llvm::json::Array(chip.sources)},
                            {"l3_size", chip.l3Size},
                            {"memory_bytes_per_second", chip.memoryBytesPerSecond},
                            {"cores", std::move(cores)}};
}

const std::vector<Chip> &mlir::rt3::allChips() {
  static const std::vector<Chip> chips = [] {
    std::vector<Chip> result;
    for (const char *file : kChipFiles)
      result.push_back(llvm::cantFail(parseChip(file)));
    return result;
  }();
  return chips;
}

static Expected<Chip> findChip(StringRef name) {
  std::string names;
  for (const Chip &chip : allChips()) {
    if (chip.name == name)
      return chip;
    names += (names.empty() ? "" : ", ") + chip.name;
  }
  if (!name.ends_with(".json"))
    return createStringError("no device \"" + name + "\"; there are " + names + ", or a file NAME.json");
  auto buffer = llvm::MemoryBuffer::getFile(name);
  if (!buffer)
    return createStringError(name + ": cannot be read: " + buffer.getError().message());
  auto chip = parseChip((*buffer)->getBuffer());
  if (!chip)
    return createStringError(name + ": " + llvm::toString(chip.takeError()));
  return chip;
}

Expected<ChosenCore> mlir::rt3::findCore(StringRef text) {
  auto [name, coreName] = text.rsplit(':');
  if (coreName.empty() && text.ends_with(":"))
    return createStringError("\"" + text + "\" names no core behind the colon");
  auto chip = findChip(name);
  if (!chip)
    return chip.takeError();
  ChosenCore chosen{std::move(*chip)};
  std::string names;
  for (auto [i, core] : llvm::enumerate(chosen.chip.cores)) {
    if (core.name == coreName)
      chosen.core = i;
    names += (names.empty() ? "" : ", ") + core.name;
  }
  if (!coreName.empty() && chosen.get().name != coreName)
    return createStringError("device " + chosen.chip.name + " has no core \"" + coreName + "\"; there are " + names);
  return chosen;
}

Expected<ClockLevel> mlir::rt3::findClock(const Core &core, int64_t frequencyKhz) {
  std::string all;
  for (const ClockLevel &level : core.levels) {
    if (level.frequencyKhz == frequencyKhz)
      return level;
    all += (all.empty() ? "" : ", ") + std::to_string(level.frequencyKhz);
  }
  return createStringError("core " + core.name + " does not run at " + llvm::Twine(frequencyKhz) +
                           " kHz; its clocks are " + all);
}
