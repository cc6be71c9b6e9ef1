// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/Levels.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir::rt3;
using llvm::StringRef;
namespace json = llvm::json;

StringRef mlir::rt3::schemeName(Scheme scheme) {
  switch (scheme) {
  case Scheme::Dense:
    return "dense";
  case Scheme::Block:
    return "bp";
  case Scheme::Pattern:
    return "pp";
  case Scheme::BlockPattern:
    return "bp+pp";
  }
  llvm_unreachable("every scheme is above");
}

std::string mlir::rt3::schemeNames(const LevelSpec &level) {
  std::vector<StringRef> names{schemeName(level.scheme)};
  for (const NamedLayout &named : level.layers)
    if (StringRef name = schemeName(named.layout.scheme); !llvm::is_contained(names, name))
      names.push_back(name);
  return llvm::join(names, "/");
}

namespace {

// Reads fields of one object, collecting faults under its place.
class Fields {
public:
  Fields(const json::Object &object, std::string place, std::vector<std::string> &faults)
      : object(object), place(std::move(place)), faults(faults) {}

  void fault(StringRef field, const llvm::Twine &what) {
    faults.push_back((place + (place.empty() ? "" : ".") + field + ": " + what).str());
  }

  void integer(StringRef field, int64_t low, int64_t high, int64_t &out) {
    known.insert(field);
    const json::Value *value = object.get(field);
    if (!value)
      return;
    auto number = value->getAsInteger();
    if (!number || *number < low || *number > high)
      return fault(field, llvm::formatv("{0} is no whole number from {1} to {2}", *value, low, high).str());
    out = *number;
  }

  void flag(StringRef field, bool &out) {
    known.insert(field);
    const json::Value *value = object.get(field);
    if (!value)
      return;
    if (auto found = value->getAsBoolean())
      out = *found;
    else
      fault(field, llvm::formatv("{0} is neither true nor false", *value).str());
  }

  void share(StringRef field, double &out) {
    known.insert(field);
    const json::Value *value = object.get(field);
    if (!value)
      return;
    auto number = value->getAsNumber();
    if (!number || !(*number > 0 && *number <= 1))
      return fault(field, llvm::formatv("{0} is no number over 0 and up to 1", *value).str());
    out = *number;
  }

  std::optional<StringRef> text(StringRef field, bool isNeeded) {
    known.insert(field);
    const json::Value *value = object.get(field);
    if (!value) {
      if (isNeeded)
        fault(field, "is missing, expected a text");
      return std::nullopt;
    }
    if (auto found = value->getAsString())
      return found;
    fault(field, llvm::formatv("{0} is no text", *value).str());
    return std::nullopt;
  }

  const json::Object *child(StringRef field) {
    known.insert(field);
    const json::Value *value = object.get(field);
    if (value && !value->getAsObject())
      fault(field, "is no object");
    return value ? value->getAsObject() : nullptr;
  }

  void rejectOthers() {
    for (auto &entry : object)
      if (!known.contains(StringRef(entry.first)))
        fault(StringRef(entry.first), "is no known field");
  }

  llvm::StringSet<> known;

private:
  const json::Object &object;
  std::string place;
  std::vector<std::string> &faults;
};

} // namespace

double mlir::rt3::sparsestDensity(const LevelPlan &plan) {
  double least = 1;
  for (const LevelSpec &level : plan.levels)
    if (level.scheme != Scheme::Dense)
      least = std::min(least, level.density);
  return least;
}

std::string mlir::rt3::levelNameFault(StringRef name) {
  bool isIdentifier =
      !name.empty() && name.size() < 32 && llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
  if (name.equals_insensitive("count"))
    return "\"" + name.str() + "\" is the header's macro for the number of levels";
  return isIdentifier ? "" : "\"" + name.str() + "\" is not a letter followed by up to 30 letters, digits and _";
}

namespace {

// What a layout is where it does not say so.
struct LayoutDefaults {
  std::optional<Scheme> scheme; // None: it has to.
  bool isBalanced = true;       // Where it can be.
};

} // namespace

// Scheme, group_rows and pattern. Whether the scheme is one.
static bool parseLayout(Fields &fields, const json::Object &object, const std::string &place,
                        const LayoutDefaults &defaults, Layout &layout, std::vector<std::string> &faults) {
  bool isFound = false;
  if (defaults.scheme && !object.get("scheme")) {
    layout.scheme = *defaults.scheme;
    isFound = true;
  } else if (auto scheme = fields.text("scheme", true)) {
    for (Scheme candidate : {Scheme::Dense, Scheme::Block, Scheme::Pattern, Scheme::BlockPattern})
      if (*scheme == schemeName(candidate)) {
        layout.scheme = candidate;
        isFound = true;
      }
    if (!isFound)
      fields.fault("scheme", "\"" + *scheme + "\" is none of dense, bp, pp, bp+pp");
  }
  if (object.get("group_rows") && isFound && layout.scheme != Scheme::Block)
    fields.fault("group_rows", "is of scheme bp only");
  fields.integer("group_rows", 8, 64, layout.groupRows);
  if (layout.groupRows & (layout.groupRows - 1))
    fields.fault("group_rows", std::to_string(layout.groupRows) + " must be 8, 16, 32 or 64");
  layout.isBalanced = layout.canBeBalanced() && defaults.isBalanced;
  if (const json::Object *pattern = fields.child("pattern")) {
    if (isFound && !layout.hasPatterns())
      fields.fault("pattern", ("scheme " + schemeName(layout.scheme) + " has no patterns").str());
    Fields inner(*pattern, place + ".pattern", faults);
    inner.integer("rows", 4, 8, layout.rows);
    inner.integer("columns", 1, 8, layout.columns);
    // Code has a loop per pattern; few blocks would share one.
    inner.integer("count", 1, 32, layout.patternCount);
    inner.integer("sample", 0, 1 << 20, layout.patternSample);
    inner.integer("inputs", 1, 8, layout.patternInputs);
    inner.flag("shared", layout.isSetShared);
    layout.isBalanced = layout.canBeBalanced() && defaults.isBalanced; // By the columns, too.
    inner.flag("balanced", layout.isBalanced);
    if (layout.isBalanced && isFound && !layout.canBeBalanced())
      inner.fault("balanced", "is of scheme pp, and of bp+pp with blocks of several columns");
    if (layout.rows != 4 && layout.rows != 8)
      inner.fault("rows",
                  std::to_string(layout.rows) + " must be 4 or 8, so that groups of outputs fill the registers");
    if (layout.columns & (layout.columns - 1))
      inner.fault("columns", std::to_string(layout.columns) + " must be 1, 2, 4 or 8");
    if (auto kept = inner.text("kept", false)) {
      layout.kept = *kept == "free" ? KeptCount::Free : KeptCount::Fixed;
      // Gathered columns make blocks of which none may be empty; those of one column are mostly empty.
      bool isForced = layout.scheme == Scheme::BlockPattern && layout.isCountFree() != (layout.columns == 1);
      if (*kept != "free" && *kept != "fixed")
        inner.fault("kept", "\"" + *kept + "\" is neither free nor fixed");
      else if (isForced)
        inner.fault("kept", "\"" + *kept + "\": bp+pp has free patterns of one column, and fixed ones of several");
    }
    if (layout.patternInputs > layout.columns)
      inner.fault("inputs",
                  llvm::formatv("{0} are more than the {1} columns of a block", layout.patternInputs, layout.columns));
    else if (layout.patternInputs != 0 && layout.isCountFree())
      inner.fault("inputs", "is of patterns that all keep as many weights: of several columns, or kept \"fixed\"");
    inner.rejectOthers();
  }
  return isFound;
}

// The texts of a list; nothing, and a fault, if it is none.
static std::optional<std::vector<std::string>> parseNames(Fields &fields, const json::Object &object, StringRef field) {
  fields.known.insert(field);
  std::vector<std::string> names;
  const json::Value *value = object.get(field);
  const json::Array *list = value ? value->getAsArray() : nullptr;
  for (const json::Value &name : list ? *list : json::Array())
    if (auto text = name.getAsString())
      names.push_back(text->str());
  if (list && names.size() == list->size())
    return names;
  fields.fault(field, "is no list of names");
  return std::nullopt;
}

// Layers with a layout of their own.
static void parseLayers(Fields &fields, const json::Object &object, const std::string &place, bool isDense,
                        LevelSpec &level, std::vector<std::string> &faults) {
  fields.known.insert("layers");
  const json::Value *value = object.get("layers");
  if (!value)
    return;
  const json::Array *list = value->getAsArray();
  if (!list)
    return fields.fault("layers", "is no list of objects with \"names\" and \"scheme\"");
  if (isDense)
    fields.fault("layers", "stands in a level that is dense: name the scheme that most layers have as the level's");
  for (auto [i, entry] : llvm::enumerate(*list)) {
    std::string own = place + ".layers[" + std::to_string(i) + "]";
    const json::Object *layer = entry.getAsObject();
    if (!layer) {
      faults.push_back(own + ": is no object");
      continue;
    }
    Fields inner(*layer, own, faults);
    NamedLayout named;
    if (auto names = parseNames(inner, *layer, "names")) {
      named.names = std::move(*names);
      if (named.names.empty())
        inner.fault("names", "is empty: expected names of layers");
    }
    parseLayout(inner, *layer, own, {}, named.layout, faults);
    inner.rejectOthers();
    level.layers.push_back(std::move(named));
  }
}

static LevelSpec parseLevel(const json::Object &object, const std::string &place, bool isNested,
                            std::vector<std::string> &faults) {
  Fields fields(object, place, faults);
  LevelSpec level;
  if (auto name = fields.text("name", true)) {
    level.name = name->str();
    if (std::string fault = levelNameFault(*name); !fault.empty())
      fields.fault("name", fault);
  }
  int64_t largest = 4000000000;
  fields.integer("frequency_khz", 0, largest, level.frequencyKhz);
  fields.integer("voltage_uv", 0, largest, level.voltageUv);
  fields.integer("power_mw", 0, largest, level.powerMw);
  level.isTime = object.get("time");
  if (level.isTime && object.get("density"))
    fields.fault("time", "stands beside density: one of them says how much is kept");
  fields.share("density", level.density);
  fields.share("time", level.density);
  // What compiler/prune/README.md's picture of all layouts recommends.
  Scheme otherwise = level.density < 1 ? Scheme::BlockPattern : Scheme::Dense;
  bool isFound = parseLayout(fields, object, place, {otherwise, !isNested}, level, faults);
  bool isDense = isFound && level.scheme == Scheme::Dense;
  parseLayers(fields, object, place, isDense, level, faults);
  if (isDense && level.density != 1)
    fields.fault(level.isTime ? "time" : "density", llvm::formatv("{0}: a dense level has 1", level.density).str());
  fields.rejectOthers();
  return level;
}

llvm::Expected<json::Value> mlir::rt3::parseJson(StringRef text) {
  constexpr int kMaxDepth = 100;
  int depth = 0;
  for (char c : text) { // Brackets in texts count too: there are few.
    depth += c == '[' || c == '{';
    depth -= c == ']' || c == '}';
    if (depth > kMaxDepth)
      return llvm::createStringError("has over 100 brackets in each other");
  }
  auto value = json::parse(text);
  if (!value)
    return llvm::createStringError("this is not JSON: " + llvm::toString(value.takeError()));
  return value;
}

llvm::Expected<LevelPlan> mlir::rt3::parseLevels(StringRef text) {
  auto value = parseJson(text);
  if (!value)
    return value.takeError();
  std::vector<std::string> faults;
  LevelPlan plan;
  const json::Object *object = value->getAsObject();
  const json::Array *levels = object ? object->getArray("levels") : nullptr;
  if (!levels)
    return llvm::createStringError("expected an object with a list \"levels\"");
  Fields fields(*object, "", faults);
  fields.known.insert("levels");
  fields.flag("nested", plan.isNested);
  fields.flag("own_biases", plan.hasOwnBiases);
  if (object->get("dense_layers"))
    plan.denseLayers = parseNames(fields, *object, "dense_layers").value_or(std::vector<std::string>());
  fields.rejectOthers();
  if (levels->empty() || levels->size() > 64)
    faults.push_back("levels: has " + std::to_string(levels->size()) + " entries, expected 1 to 64");
  std::vector<bool> wasRead; // Of plan.levels.
  bool hasMixed = false;
  for (size_t i = 0; i < levels->size() && i < 64; ++i) {
    std::string place = "levels[" + std::to_string(i) + "]";
    const json::Object *level = (*levels)[i].getAsObject();
    if (!level) {
      faults.push_back(place + ": is no object");
      continue;
    }
    size_t faultCount = faults.size();
    LevelSpec spec = parseLevel(*level, place, plan.isNested, faults);
    bool isRead = faults.size() == faultCount;
    if (plan.isNested && !spec.layers.empty())
      faults.push_back(place + ".layers: nested levels have one layout for all layers, so that one lies in the other");
    if (plan.isNested && spec.isBalanced)
      faults.push_back(
          place + ".pattern.balanced: is of levels that are not nested only: of those, a level stores what it adds to "
                  "others, in which patterns are not balanced");
    for (auto [j, before] : llvm::enumerate(plan.levels)) {
      // Names become macros, in capitals.
      if (StringRef(before.name).equals_insensitive(spec.name))
        faults.push_back(place + ".name: \"" + spec.name + "\" is there twice (capitals do not count)");
      if (before.frequencyKhz > spec.frequencyKhz && spec.frequencyKhz != 0)
        faults.push_back(place + ".frequency_khz: " + std::to_string(spec.frequencyKhz) + " after " +
                         std::to_string(before.frequencyKhz) + ": levels must rise from the slowest clock");
      bool isPruned = before.scheme != Scheme::Dense && spec.scheme != Scheme::Dense;
      if (!plan.isNested || !isRead || !wasRead[j]) // What could not be read is not compared.
        continue;
      if (isPruned && before.isTime != spec.isTime) {
        if (!hasMixed)
          faults.push_back(place + ": nested levels that are pruned all have a density, or all a time");
        hasMixed = true;
      } else if (before.density > spec.density)
        faults.push_back(llvm::formatv("{0}.{1}: {2} after {3}: a nested level keeps at least what slower levels keep",
                                       place, spec.isTime ? "time" : "density", llvm::format("%g", spec.density),
                                       llvm::format("%g", before.density)));
    }
    plan.levels.push_back(spec);
    wasRead.push_back(isRead);
  }
  if (faults.empty())
    return plan;
  return llvm::createStringError(llvm::join(faults, "\n  "));
}

// All of a layout but its scheme.
static void addLayout(const Layout &layout, json::Object &entry) {
  if (layout.scheme == Scheme::Block && layout.groupRows != 8)
    entry["group_rows"] = layout.groupRows;
  if (!layout.hasPatterns())
    return;
  json::Object pattern{{"rows", layout.rows}, {"columns", layout.columns}, {"count", layout.patternCount}};
  if (layout.patternSample != 0)
    pattern["sample"] = layout.patternSample;
  if (layout.patternInputs != 0)
    pattern["inputs"] = layout.patternInputs;
  if (!layout.isSetShared)
    pattern["shared"] = false;
  if (layout.canBeBalanced())
    pattern["balanced"] = layout.isBalanced;
  if (layout.kept != KeptCount::Default)
    pattern["kept"] = layout.kept == KeptCount::Free ? "free" : "fixed";
  entry["pattern"] = std::move(pattern);
}

json::Object mlir::rt3::levelsJson(const LevelPlan &plan) {
  json::Array levels, denseLayers(plan.denseLayers);
  for (const LevelSpec &level : plan.levels) {
    json::Object entry{
        {"name", level.name}, {"scheme", schemeName(level.scheme)}, {level.isTime ? "time" : "density", level.density}};
    for (auto [field, number] :
         {std::pair("frequency_khz", level.frequencyKhz), {"voltage_uv", level.voltageUv}, {"power_mw", level.powerMw}})
      if (number != 0) // Unknown.
        entry[field] = number;
    addLayout(level, entry);
    json::Array layers;
    for (const NamedLayout &named : level.layers) {
      json::Object layer{{"names", json::Array(named.names)}, {"scheme", schemeName(named.layout.scheme)}};
      addLayout(named.layout, layer);
      layers.push_back(std::move(layer));
    }
    if (!layers.empty())
      entry["layers"] = std::move(layers);
    levels.push_back(std::move(entry));
  }
  return json::Object{{"nested", plan.isNested},
                      {"own_biases", plan.hasOwnBiases},
                      {"dense_layers", std::move(denseLayers)},
                      {"levels", std::move(levels)}};
}
