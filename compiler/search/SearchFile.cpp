// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/SearchFile.h"

#include "compiler/prune/Levels.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"

#include <cmath>

using namespace mlir::rt3;

namespace {

// Reads fields and remembers the first that is wrong.
class Reader {
public:
  std::string fault;

  std::string text(const llvm::json::Object &object, llvm::StringRef name) {
    auto found = object.getString(name);
    return found ? found->str() : (note(name, "a text"), "");
  }
  double number(const llvm::json::Object &object, llvm::StringRef name, double least, double most = 1e15) {
    auto found = object.getNumber(name);
    if (found && *found >= least && *found <= most)
      return *found;
    note(name, "a number");
    return least;
  }
  // Calls `body` for each object of a list.
  template <typename Body> void each(const llvm::json::Object &object, llvm::StringRef name, size_t most, Body body) {
    const llvm::json::Array *list = object.getArray(name);
    if (!list || list->size() > most)
      return note(name, "a list");
    for (const llvm::json::Value &value : *list) {
      const llvm::json::Object *entry = value.getAsObject();
      if (!entry)
        return note(name, "a list of objects");
      body(*entry);
    }
  }
  void note(llvm::StringRef name, const char *expected) {
    if (fault.empty())
      fault = ("\"" + name + "\" is not " + expected + " that rt3c search writes").str();
  }
};

} // namespace

static FoundLevel readLevel(Reader &reader, const llvm::json::Object &entry, const std::vector<ClockPoint> &clocks) {
  FoundLevel level;
  level.name = reader.text(entry, "level");
  level.layout = reader.text(entry, "layout");
  level.density = reader.number(entry, "density", 0, 1);
  // Null where the metric is not defined.
  level.metric = entry.getNumber("metric").value_or(NAN);
  level.quality = entry.getNumber("quality").value_or(NAN);
  level.energyMj = reader.number(entry, "energy_mj", 0);
  double frequency = reader.number(entry, "frequency_khz", 1);
  level.clock = clocks.size();
  for (size_t i = 0; i < clocks.size(); ++i)
    if (double(clocks[i].frequencyKhz) == frequency)
      level.clock = i;
  if (level.clock == clocks.size()) {
    reader.note("frequency_khz", "a clock of dense_clocks");
    level.clock = 0;
  }
  level.clockSeconds.assign(clocks.size(), 0);
  if (const llvm::json::Array *all = entry.getArray("clock_seconds")) {
    for (size_t i = 0; i < clocks.size() && i < all->size(); ++i)
      level.clockSeconds[i] = (*all)[i].getAsNumber().value_or(0);
  } else if (!clocks.empty()) {
    level.clockSeconds[level.clock] = reader.number(entry, "seconds", 0);
  }
  return level;
}

std::string mlir::rt3::energyText(double energyMj) {
  return energyMj > 0 ? llvm::formatv("{0:f3}", energyMj).str() : "?";
}

std::string mlir::rt3::runsText(double denseEnergyMj, double energyMj) {
  return energyMj > 0 ? llvm::formatv("{0:f2}x", denseEnergyMj / energyMj).str() : "?";
}

double mlir::rt3::lossPercent(double quality) {
  constexpr double kShown = 0.005; // Half of the last digit that is printed.
  double loss = 100 * (1 - quality);
  return std::abs(loss) < kShown ? 0 : loss;
}

llvm::Expected<SearchFile> mlir::rt3::readSearch(const std::string &folder) {
  std::string path = folder + "/" + kSearchJson;
  if (!llvm::sys::fs::exists(path))
    return llvm::createStringError(folder + " has no " + kSearchJson +
                                   ": expected a folder that rt3c search wrote; of another plan, rt3c search --plan "
                                   "makes one");
  auto text = readFile(path);
  if (!text)
    return text.takeError();
  auto value = parseJson(*text);
  if (!value)
    return llvm::createStringError(path + ": " + llvm::toString(value.takeError()));
  const llvm::json::Object *object = value->getAsObject();
  if (!object || object->getString("format") != llvm::StringRef("rt3-search") || object->getInteger("version") != 1)
    return llvm::createStringError(path + ": is not version 1 of what rt3c search writes");
  Reader reader;
  SearchFile file;
  file.model = reader.text(*object, "model");
  file.task = reader.text(*object, "task");
  file.metric = reader.text(*object, "metric");
  file.device = reader.text(*object, "device");
  file.core = reader.text(*object, "core");
  file.method = reader.text(*object, "method");
  file.limitSeconds = reader.number(*object, "limit_seconds", 1e-6, 1e6);
  file.denseMetric = reader.number(*object, "dense_metric", -1e15);
  // Older files compare with the dense model of the same type only.
  if (object->get("dense_type")) {
    file.type = reader.text(*object, "type");
    file.denseType = reader.text(*object, "dense_type");
    file.ownDenseMetric = reader.number(*object, "own_dense_metric", -1e15);
  }
  file.reference = object->getString("reference").value_or("").str(); // Older files have none.
  file.referenceMetric = object->getNumber("reference_metric").value_or(file.denseMetric);
  file.denseEnergyMj = reader.number(*object, "dense_energy_mj", 0);
  reader.each(*object, "dense_clocks", 256, [&](const llvm::json::Object &entry) {
    ClockPoint clock{int64_t(reader.number(entry, "frequency_khz", 1, 2e7)), reader.number(entry, "power_mw", 0, 1e9),
                     reader.number(entry, "seconds", 1e-9, 1e6)};
    clock.ownSeconds = file.hasOtherDense() ? reader.number(entry, "own_seconds", 1e-9, 1e6) : clock.denseSeconds;
    file.denseClocks.push_back(clock);
    size_t count = file.denseClocks.size();
    if (count > 1 && file.denseClocks[count - 1].frequencyKhz <= file.denseClocks[count - 2].frequencyKhz)
      reader.note("frequency_khz", "more than that of the clock before");
  });
  reader.each(*object, "levels", kMostLevels, [&](const llvm::json::Object &entry) {
    file.levels.push_back(readLevel(reader, entry, file.denseClocks));
    for (double seconds : file.levels.back().clockSeconds)
      if (!(seconds > 0))
        reader.note("clock_seconds", "a time at each clock");
  });
  reader.each(*object, "runs", 1000, [&](const llvm::json::Object &entry) {
    FoundRun run{reader.text(entry, "method"), int64_t(reader.number(entry, "seed", 0)), {}};
    reader.each(entry, "trials", 1000000, [&](const llvm::json::Object &trial) {
      FoundTrial found{reader.number(trial, "reward", -1e15), {}};
      reader.each(trial, "levels", kMostLevels, [&](const llvm::json::Object &level) {
        found.levels.push_back(readLevel(reader, level, file.denseClocks));
      });
      run.trials.push_back(std::move(found));
    });
    file.runs.push_back(std::move(run));
  });
  reader.each(*object, "comparison", 100, [&](const llvm::json::Object &entry) {
    file.comparison.push_back({reader.text(entry, "method"), reader.number(entry, "mean", -1e15),
                               reader.number(entry, "half_interval", 0), int64_t(reader.number(entry, "seeds", 1))});
  });
  // Older files do not have all of them.
  for (auto [name, texts] : {std::pair("left_out", &file.leftOut), std::pair("overtaken", &file.overtaken)})
    if (const llvm::json::Array *list = object->getArray(name))
      for (const llvm::json::Value &text : *list)
        texts->push_back(text.getAsString().value_or("").str());
  if (file.denseClocks.empty() || file.levels.empty())
    reader.note("levels", "a list with something in it");
  if (!reader.fault.empty())
    return llvm::createStringError(path + ": " + reader.fault);
  return file;
}
