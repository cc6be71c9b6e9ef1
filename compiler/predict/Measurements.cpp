// SPDX-License-Identifier: Apache-2.0

#include "compiler/predict/Measurements.h"

#include "compiler/predict/Fields.h"
#include "compiler/prune/Levels.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir::rt3;
using llvm::Expected;

static constexpr size_t kMaxFileSize = 64 << 20;
// Of a file with thousands of measurements: the first tell enough.
static constexpr size_t kShownFaults = 20;
// Hz; times are divided by it.
static constexpr double kLeastClock = 1e6;

// By their names: what grows with powers of the length.
static std::vector<std::pair<std::string, std::array<double, 3> *>> polynomials(MarkedOp &op) {
  return {{"activation_bytes", &op.activationBytes},
          {"touched_bytes", &op.touchedBytes},
          {"partial_sum_bytes", &op.partialSumBytes}};
}

static Measurement parseMeasurement(Fields fields, size_t levelCount) {
  Measurement result{};
  result.op.kind = fields.text("kind");
  result.op.layer = fields.text("layer", /*isNeeded=*/false);
  result.op.level = fields.number("level", 0);
  if (result.op.level >= levelCount)
    fields.fault("level", "the number of one of the model's levels");
  result.op.weightBytes = fields.number("weight_bytes", 0);
  result.op.panelTokens = fields.number("panel_tokens", 1);
  for (const auto &[name, powers] : polynomials(result.op))
    for (auto [power, bytes] : llvm::enumerate(*powers))
      bytes = fields.number(name + "_" + std::to_string(power), 0);
  result.cost.instructions = fields.number("instructions", 0);
  result.cost.cycles = fields.number("cycles", 0);
  result.cost.issuedCycles = fields.number("issued_cycles", 0);
  result.cost.loopEntries = fields.number("loop_entries", 0);
  result.length = fields.number("length", 1);
  result.levelBytes = fields.number("level_weight_bytes", 0);
  result.clock = fields.number("clock_hz", kLeastClock);
  result.seconds = fields.number("seconds", 0);
  result.isHeldOut = fields.number("held_out", 0) != 0;
  return result;
}

Expected<MeasurementFile> mlir::rt3::parseMeasurements(llvm::StringRef json) {
  if (json.size() > kMaxFileSize)
    return llvm::createStringError("measurements: larger than any such file (64 MiB)");
  Expected<llvm::json::Value> value = parseJson(json);
  if (!value)
    return llvm::createStringError("measurements: " + llvm::toString(value.takeError()));
  std::vector<std::string> faults;
  Fields fields(value->getAsObject(), "measurements", faults);
  MeasurementFile file;
  if (value->getAsObject()) {
    file.machine = fields.text("machine");
    file.target = fields.text("target");
    file.schedulerModel = fields.text("scheduler_model");
    file.window = fields.number("window", 0);
    if (const llvm::json::Array *models = fields.list("models"))
      for (auto [i, model] : llvm::enumerate(*models)) {
        std::string place = "measurements.models[" + std::to_string(i) + "]";
        Fields own(model.getAsObject(), place, faults);
        MeasuredModel &measured = file.models.emplace_back();
        measured.name = own.text("name");
        if (const llvm::json::Array *levels = own.list("levels"))
          for (auto [j, level] : llvm::enumerate(*levels)) {
            measured.levels.push_back(level.getAsString().value_or("").str());
            if (!level.getAsString())
              own.fault("levels", "texts; the one at " + llvm::Twine(j) + " is none");
          }
        if (const llvm::json::Array *list = own.list("measurements"))
          for (auto [j, entry] : llvm::enumerate(*list)) {
            if (faults.size() > kShownFaults)
              break;
            measured.measurements.push_back(parseMeasurement(
                Fields(entry.getAsObject(), place + ".measurements[" + std::to_string(j) + "]", faults),
                measured.levels.size()));
          }
      }
  }
  if (faults.size() > kShownFaults) {
    faults.resize(kShownFaults);
    faults.push_back("and more");
  }
  if (!faults.empty())
    return llvm::createStringError(llvm::join(faults, "\n  "));
  return file;
}

static llvm::json::Object measurementJson(const Measurement &measurement) {
  llvm::json::Object result{{"kind", measurement.op.kind},
                            {"layer", llvm::json::fixUTF8(measurement.op.layer)},
                            {"level", int64_t(measurement.op.level)},
                            {"weight_bytes", measurement.op.weightBytes},
                            {"panel_tokens", measurement.op.panelTokens},
                            {"instructions", measurement.cost.instructions},
                            {"cycles", measurement.cost.cycles},
                            {"issued_cycles", measurement.cost.issuedCycles},
                            {"loop_entries", measurement.cost.loopEntries},
                            {"length", measurement.length},
                            {"level_weight_bytes", measurement.levelBytes},
                            {"clock_hz", measurement.clock},
                            {"seconds", measurement.seconds},
                            {"held_out", int64_t(measurement.isHeldOut)}};
  MarkedOp op = measurement.op;
  for (const auto &[name, powers] : polynomials(op))
    for (auto [power, bytes] : llvm::enumerate(*powers))
      result[name + "_" + std::to_string(power)] = bytes;
  return result;
}

llvm::json::Object mlir::rt3::measurementsJson(const MeasurementFile &file) {
  llvm::json::Array models;
  for (const MeasuredModel &model : file.models) {
    llvm::json::Array measurements;
    for (const Measurement &measurement : model.measurements)
      measurements.push_back(measurementJson(measurement));
    models.push_back(llvm::json::Object{
        {"name", model.name}, {"levels", llvm::json::Array(model.levels)}, {"measurements", std::move(measurements)}});
  }
  return llvm::json::Object{{"machine", file.machine},
                            {"target", file.target},
                            {"scheduler_model", file.schedulerModel},
                            {"window", file.window},
                            {"models", std::move(models)}};
}
