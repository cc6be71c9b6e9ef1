// SPDX-License-Identifier: Apache-2.0

#include "compiler/plan/Plan.h"

#include "rt3/rt3_bundle.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <cmath>
#include <cstring>
#include <map>

using namespace mlir::rt3;
using llvm::StringRef;
namespace json = llvm::json;

static constexpr int64_t kAlignment = 8; // Of parts of plan.weights.

//===-- Writing -----------------------------------------------------------===//

namespace {

class Writer {
public:
  explicit Writer(const Plan &plan) : plan(plan) {}

  std::pair<std::string, std::string> write() {
    json::Array layers, sets;
    for (const PlannedLayer &layer : plan.layers)
      layers.push_back(writeLayer(layer));
    for (const PlannedPatterns &set : plan.patternSets) {
      json::Array patterns;
      for (uint64_t pattern : set.patterns)
        patterns.push_back("0x" + llvm::utohexstr(pattern, /*LowerCase=*/true));
      sets.push_back(json::Object{
          {"name", set.name}, {"rows", set.rows}, {"columns", set.columns}, {"patterns", std::move(patterns)}});
    }
    json::Object root{{"format", "rt3-plan"},
                      {"version", kPlanVersion},
                      {"model", json::fixUTF8(plan.model)},
                      {"type", plan.precision},
                      {"unit_inputs", plan.unit.inputs},
                      {"unit_outputs", plan.unit.outputs},
                      {"weights_size", int64_t(weights.size())},
                      {"weights_hash", llvm::utohexstr(rt3_hash(weights.data(), weights.size()), /*LowerCase=*/true)},
                      {"plan", levelsJson(plan.levels)},
                      {"pattern_sets", std::move(sets)},
                      {"layers", std::move(layers)}};
    return {llvm::formatv("{0:2}\n", json::Value(std::move(root))).str(), std::move(weights)};
  }

private:
  // Where `bytes` begin.
  int64_t append(StringRef bytes) {
    weights.resize(llvm::alignTo(weights.size(), kAlignment), '\0');
    int64_t offset = weights.size();
    weights += bytes;
    return offset;
  }

  int64_t appendMask(const Mask &mask) {
    std::string bits(llvm::divideCeil(mask.size(), 8), '\0');
    for (size_t i = 0; i < mask.size(); ++i)
      if (mask[i])
        bits[i / 8] |= 1 << i % 8;
    return append(bits);
  }

  // Those under `mask`; all if it is empty.
  int64_t appendValues(const std::vector<float> &values, const Mask &mask) {
    std::vector<float> kept;
    for (size_t i = 0; i < values.size(); ++i)
      if (mask.empty() || mask[i])
        kept.push_back(values[i]);
    return append(StringRef(reinterpret_cast<const char *>(kept.data()), 4 * kept.size()));
  }

  json::Object writeLayer(const PlannedLayer &layer) {
    json::Array levels;
    for (const PlannedLevel &level : layer.levels) {
      json::Object entry{{"scheme", schemeName(level.scheme)}};
      if (level.mask.empty()) {
        entry["reason"] = json::fixUTF8(level.reason);
      } else {
        if (level.scheme == Scheme::Block)
          entry["rows"] = level.rows;
        else
          entry["pattern_set"] = plan.patternSets[level.patternSet].name;
        entry["mask_offset"] = appendMask(level.mask);
        if (!level.values.empty())
          entry["values_offset"] = appendValues(level.values, level.mask);
        if (!level.bias.empty())
          entry["bias_offset"] = appendValues(level.bias, {});
      }
      levels.push_back(std::move(entry));
    }
    json::Object entry{{"name", json::fixUTF8(layer.name)},
                       {"inputs", layer.inputs},
                       {"outputs", layer.outputs},
                       {"weights_hash", layer.weightsHash},
                       {"levels", std::move(levels)}};
    if (!layer.values.empty())
      entry["values_offset"] = appendValues(layer.values, {});
    if (!layer.order.empty())
      entry["order_offset"] =
          append(StringRef(reinterpret_cast<const char *>(layer.order.data()), 4 * layer.order.size()));
    return entry;
  }

  const Plan &plan;
  std::string weights;
};

//===-- Reading -----------------------------------------------------------===//

class Reader {
public:
  explicit Reader(StringRef weights) : weights(weights) {}

  llvm::Expected<Plan> read(StringRef text) {
    auto value = parseJson(text);
    if (!value)
      return llvm::createStringError("plan.json: " + llvm::toString(value.takeError()));
    const json::Object *root = value->getAsObject();
    if (!root || root->getString("format") != StringRef("rt3-plan"))
      return llvm::createStringError("plan.json: \"format\" is not \"rt3-plan\"");
    const json::Value *given = root->get("version");
    version = given ? given->getAsInteger().value_or(0) : 0;
    if (version < 1 || version > kPlanVersion)
      return llvm::createStringError(llvm::formatv("plan.json: \"version\" is {0}; this rt3c knows 1 to {1}",
                                                   given ? *given : json::Value("missing"), kPlanVersion));
    knowOnly(*root, "",
             {"format", "version", "model", "type", "unit_inputs", "unit_outputs", "weights_size", "weights_hash",
              "plan", "pattern_sets", "layers"});
    const json::Value *size = root->get("weights_size");
    if (!size || size->getAsInteger() != int64_t(weights.size()))
      return llvm::createStringError(llvm::formatv(
          "plan.weights: has {0} bytes, \"weights_size\" of plan.json is {1}: one of them is damaged or of "
          "another plan; make the plan anew",
          weights.size(), size ? *size : json::Value("missing")));
    std::string hash = llvm::utohexstr(rt3_hash(weights.data(), weights.size()), /*LowerCase=*/true);
    if (root->getString("weights_hash") != StringRef(hash))
      return llvm::createStringError("plan.weights: is not the file that plan.json was written with (its hash is " +
                                     hash + "); make the plan anew");
    Plan plan;
    plan.model = root->getString("model").value_or("").str();
    plan.precision = root->getString("type").value_or("").str();
    if (plan.precision != "f32" && !graph::symbolizePrecision(plan.precision))
      fault("type", "is neither f32 nor a precision");
    plan.unit.inputs = integer(*root, "unit_inputs", "plan", 1, 8).value_or(1);
    plan.unit.outputs = integer(*root, "unit_outputs", "plan", 1, 8).value_or(1);
    const json::Object *levels = root->getObject("plan");
    auto parsed = levels ? parseLevels(llvm::formatv("{0}", json::Value(json::Object(*levels))).str())
                         : llvm::createStringError("is no object");
    if (!parsed)
      return llvm::createStringError("plan.json: plan: " + llvm::toString(parsed.takeError()));
    plan.levels = std::move(*parsed);
    readSets(root->getArray("pattern_sets"), plan);
    readLayers(root->getArray("layers"), plan);
    if (faults.empty())
      checkParts();
    if (!faults.empty())
      return llvm::createStringError("plan.json: " + llvm::join(faults, "\n  "));
    return plan;
  }

private:
  void fault(const std::string &place, const llvm::Twine &what) {
    if (faults.size() < 20)
      faults.push_back((place + ": " + what).str());
  }

  // Faults all other fields: what is not read could not be kept either.
  void knowOnly(const json::Object &object, const std::string &place, llvm::ArrayRef<StringRef> fields) {
    for (auto &entry : object)
      if (!llvm::is_contained(fields, StringRef(entry.first)))
        fault(place + (place.empty() ? "" : ".") + entry.first.str(), "is no field that belongs here");
  }

  std::optional<int64_t> integer(const json::Object &object, StringRef field, const std::string &place, int64_t low,
                                 int64_t high) {
    auto number = object.getInteger(field);
    if (number && *number >= low && *number <= high)
      return number;
    fault(place + "." + field.str(), llvm::formatv("is no whole number from {0} to {1}", low, high));
    return std::nullopt;
  }

  void readSets(const json::Array *sets, Plan &plan) {
    if (!sets)
      return fault("pattern_sets", "is no list");
    for (auto [i, value] : llvm::enumerate(*sets)) {
      std::string place = "pattern_sets[" + std::to_string(i) + "]";
      const json::Object *object = value.getAsObject();
      if (!object) {
        fault(place, "is no object");
        continue;
      }
      knowOnly(*object, place, {"name", "rows", "columns", "patterns"});
      PlannedPatterns set;
      set.name = object->getString("name").value_or("").str();
      bool isName = !set.name.empty() && llvm::all_of(set.name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
      if (!isName || setNames.count(set.name))
        fault(place + ".name", "is missing, there twice, or not made of letters, digits and _");
      setNames[set.name] = i;
      set.rows = integer(*object, "rows", place, 1, 8).value_or(1);
      set.columns = integer(*object, "columns", place, 1, 8).value_or(1);
      const json::Array *patterns = object->getArray("patterns");
      uint64_t all = set.rows * set.columns == 64 ? ~uint64_t(0) : (uint64_t(1) << set.rows * set.columns) - 1;
      for (const json::Value &pattern : patterns ? *patterns : json::Array()) {
        uint64_t bits = 0;
        StringRef text = pattern.getAsString().value_or("");
        if (!text.consume_front("0x") || text.getAsInteger(16, bits) || bits == 0 || (bits & ~all) != 0 ||
            llvm::is_contained(set.patterns, int64_t(bits)))
          fault(place + ".patterns", "has an entry that is no hexadecimal number within the block, or there twice");
        set.patterns.push_back(bits);
      }
      if (set.rows != 4 && set.rows != 8)
        fault(place + ".rows", "is neither 4 nor 8");
      if (set.patterns.empty() || set.patterns.size() > 255)
        fault(place + ".patterns", "has none, or over 255 entries");
      plan.patternSets.push_back(std::move(set));
    }
  }

  // Each part begins where the one named before ends, and nothing is left over: offsets that are damaged or
  // exchanged would else give a layer the numbers of another.
  void checkParts() {
    uint64_t end = 0;
    for (auto &[offset, size, place] : parts) {
      if (offset != llvm::alignTo(end, kAlignment))
        return fault(place, llvm::formatv("is {0}, expected {1}, where the part before ends: parts stand in "
                                          "the order of plan.json, without gaps; make the plan anew",
                                          offset, llvm::alignTo(end, kAlignment)));
      end = offset + size;
    }
    if (llvm::alignTo(end, kAlignment) != llvm::alignTo(weights.size(), kAlignment))
      fault("layers", llvm::formatv("take {0} of {1} bytes of plan.weights; make the plan anew", end, weights.size()));
  }

  // `count` bytes at a field's offset.
  StringRef part(const json::Object &object, StringRef field, const std::string &place, uint64_t count) {
    auto offset = integer(object, field, place, 0, weights.size());
    if (!offset)
      return {};
    // Parts do not overlap: what all of them take is bounded by the file.
    used += count;
    if (*offset % kAlignment != 0) {
      fault(place + "." + field.str(), llvm::formatv("{0} is no multiple of {1}", *offset, kAlignment));
      return {};
    }
    if (count > weights.size() - *offset || used > weights.size()) {
      fault(place + "." + field.str(), llvm::formatv("{0} bytes at {1} do not lie in plan.weights", count, *offset));
      return {};
    }
    if (count > 0)
      parts.push_back({*offset, count, place + "." + field.str()});
    return weights.substr(*offset, count);
  }

  // Values under `mask`, all if it is empty, spread over [K][N] or [N].
  std::vector<float> readValues(const json::Object &object, StringRef field, const std::string &place, size_t size,
                                const Mask &mask) {
    size_t kept = mask.empty() ? size : llvm::count(mask, 1);
    if (kept == 0)
      return {};
    StringRef bytes = part(object, field, place, 4 * kept);
    std::vector<float> values;
    if (bytes.size() != 4 * kept)
      return values;
    values.assign(size, 0);
    size_t next = 0;
    for (size_t i = 0; i < size; ++i)
      if (mask.empty() || mask[i]) {
        memcpy(&values[i], bytes.data() + 4 * next++, 4);
        if (!std::isfinite(values[i])) {
          fault(place + "." + field.str(), llvm::formatv("value {0} is NaN or infinite", next - 1));
          return values;
        }
      }
    return values;
  }

  PlannedLevel readLevel(const json::Object &object, const std::string &place, const PlannedLayer &layer) {
    PlannedLevel level;
    StringRef scheme = object.getString("scheme").value_or("");
    size_t size = layer.inputs * layer.outputs;
    if (scheme == "dense") {
      knowOnly(object, place, {"scheme", "reason"});
      level.reason = object.getString("reason").value_or("").str();
      return level;
    }
    if (scheme == "bp") {
      level.scheme = Scheme::Block;
      level.rows = integer(object, "rows", place, 1, 8).value_or(8);
      if (level.rows != 1 && level.rows != 8)
        fault(place + ".rows", "is neither 1 nor 8");
    } else if (scheme == "pp" || scheme == "bp+pp") {
      level.scheme = scheme == "pp" ? Scheme::Pattern : Scheme::BlockPattern;
      auto found = setNames.find(object.getString("pattern_set").value_or("").str());
      if (found == setNames.end())
        fault(place + ".pattern_set", "names no pattern set");
      else
        level.patternSet = found->second;
    } else {
      fault(place + ".scheme", "is none of dense, bp, pp, bp+pp");
      return level;
    }
    llvm::SmallVector<StringRef> fields = {"scheme", scheme == "bp" ? "rows" : "pattern_set", "mask_offset",
                                           "values_offset"};
    if (version > 1)
      fields.push_back("bias_offset");
    knowOnly(object, place, fields);
    StringRef bits = part(object, "mask_offset", place, llvm::divideCeil(size, 8));
    if (bits.empty())
      return level;
    level.mask.resize(size);
    for (size_t i = 0; i < size; ++i)
      level.mask[i] = bits[i / 8] >> i % 8 & 1;
    if (object.get("values_offset"))
      level.values = readValues(object, "values_offset", place, size, level.mask);
    if (object.get("bias_offset"))
      level.bias = readValues(object, "bias_offset", place, layer.outputs, {});
    return level;
  }

  void readLayers(const json::Array *layers, Plan &plan) {
    if (!layers)
      return fault("layers", "is no list");
    llvm::StringSet<> names;
    for (auto [i, value] : llvm::enumerate(*layers)) {
      std::string place = "layers[" + std::to_string(i) + "]";
      const json::Object *object = value.getAsObject();
      if (!object) {
        fault(place, "is no object");
        continue;
      }
      knowOnly(*object, place,
               {"name", "inputs", "outputs", "weights_hash", "levels", "values_offset", "order_offset"});
      PlannedLayer layer;
      layer.name = object->getString("name").value_or("").str();
      if (layer.name.empty() || !names.insert(layer.name).second)
        fault(place + ".name", "is missing or there twice");
      auto inputs = integer(*object, "inputs", place, 1, 1 << 24),
           outputs = integer(*object, "outputs", place, 1, 1 << 24);
      if (!inputs || !outputs)
        continue;
      // Masks lie in the file: their number bounds what is allocated.
      if (*inputs * *outputs > int64_t(8 * weights.size()) && object->getArray("levels") &&
          llvm::any_of(*object->getArray("levels"), [](const json::Value &level) {
            const json::Object *entry = level.getAsObject();
            return entry && entry->get("mask_offset");
          })) {
        fault(place, "is larger than plan.weights");
        continue;
      }
      layer.inputs = *inputs;
      layer.outputs = *outputs;
      layer.weightsHash = object->getString("weights_hash").value_or("").str();
      uint64_t hash;
      if (layer.weightsHash.size() > 16 || StringRef(layer.weightsHash).getAsInteger(16, hash))
        fault(place + ".weights_hash", "is no hexadecimal number of up to 16 digits");
      const json::Array *levels = object->getArray("levels");
      if (!levels || levels->size() != plan.levels.levels.size()) {
        fault(place + ".levels", llvm::formatv("is no list of {0} entries", plan.levels.levels.size()));
        continue;
      }
      for (auto [l, entry] : llvm::enumerate(*levels)) {
        std::string own = place + ".levels[" + std::to_string(l) + "]";
        if (const json::Object *level = entry.getAsObject())
          layer.levels.push_back(readLevel(*level, own, layer));
        else
          fault(own, "is no object");
      }
      if (object->get("values_offset"))
        layer.values = readValues(*object, "values_offset", place, layer.inputs * layer.outputs, {});
      if (object->get("order_offset")) {
        StringRef bytes = part(*object, "order_offset", place, 4 * layer.outputs);
        layer.order.resize(bytes.size() / 4);
        memcpy(layer.order.data(), bytes.data(), bytes.size());
      }
      checkNesting(plan, layer, place);
      plan.layers.push_back(std::move(layer));
    }
  }

  // Nested levels lie within each other and share their values.
  void checkNesting(const Plan &plan, const PlannedLayer &layer, const std::string &place) {
    if (!plan.levels.isNested || plan.levels.levels.size() < 2)
      return;
    for (size_t l = 0; l < layer.levels.size(); ++l) {
      if (!layer.levels[l].values.empty())
        fault(place, "has values of one level, nested levels share theirs");
      for (size_t upper = l + 1; upper < layer.levels.size(); ++upper) {
        const Mask &inner = layer.levels[l].mask, &outer = layer.levels[upper].mask;
        for (size_t i = 0; !inner.empty() && i < outer.size(); ++i)
          if (inner[i] && !outer[i])
            return fault(place,
                         llvm::formatv("level {0} keeps a weight that level {1} does not: not nested", l, upper));
      }
    }
  }

  StringRef weights;
  int64_t version = 0;
  uint64_t used = 0;                                              // Bytes of `weights` so far.
  std::vector<std::tuple<uint64_t, uint64_t, std::string>> parts; // Where, how large, and which field says so.
  std::vector<std::string> faults;
  std::map<std::string, size_t> setNames;
};

} // namespace

std::pair<std::string, std::string> mlir::rt3::writePlan(const Plan &plan) { return Writer(plan).write(); }

llvm::Expected<Plan> mlir::rt3::readPlan(StringRef json, StringRef weights) { return Reader(weights).read(json); }
