// SPDX-License-Identifier: Apache-2.0
//
// rt3c inspect: what a bundle holds, without its library.

#include "compiler/verbs/LoadedModel.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <cstring>

using namespace mlir::rt3;

static llvm::StringRef kindName(uint32_t kind) {
  switch (kind) {
  case RT3_SECTION_LEVELS:
    return "levels";
  case RT3_SECTION_WEIGHTS:
    return "weights";
  case RT3_SECTION_REPORT:
    return "report";
  default:
    return "unknown";
  }
}

// What each layer keeps at each level.
static llvm::json::Array layersJson(const Plan &plan) {
  llvm::json::Array list;
  for (const PlannedLayer &layer : plan.layers) {
    llvm::json::Array densities;
    for (size_t i = 0; i < layer.levels.size(); ++i)
      densities.push_back(keptShare(layer, i));
    list.push_back(llvm::json::Object{{"name", llvm::json::fixUTF8(layer.name)},
                                      {"inputs", layer.inputs},
                                      {"outputs", layer.outputs},
                                      {"densities", std::move(densities)}});
  }
  return list;
}

static void printLayers(const Plan &plan) {
  llvm::outs() << "  weights that each layer keeps, level by level:\n";
  for (const PlannedLayer &layer : plan.layers) {
    llvm::outs() << "   ";
    for (size_t i = 0; i < layer.levels.size(); ++i) {
      std::string share =
          layer.levels[i].mask.empty() ? "dense" : llvm::formatv("{0:f1} %", 100 * keptShare(layer, i)).str();
      llvm::outs() << llvm::formatv(" {0,8}", share);
    }
    llvm::outs() << llvm::formatv("  {0} ({1} x {2})\n", printable(layer.name), layer.inputs, layer.outputs);
  }
}

// What a plan says of each level: layers by scheme, and weights kept.
static ExitCode inspectPlan(const InspectVerb &verb) {
  auto plan = readPlanFolder(verb.bundle);
  if (!plan)
    return fail(kExitBadInput, llvm::toString(plan.takeError()));
  llvm::json::Array list;
  if (!verb.asJson)
    llvm::outs() << llvm::formatv("{0}: plan of {1}, {2}, {3} layers, {4}\n", verb.bundle, printable(plan->model),
                                  printable(plan->precision), plan->layers.size(),
                                  plan->levels.isNested ? "nested" : "not nested");
  for (auto [i, level] : llvm::enumerate(plan->levels.levels)) {
    int64_t dense = 0, rebuilt = 0, biases = 0;
    for (const PlannedLayer &layer : plan->layers) {
      dense += layer.levels[i].mask.empty();
      rebuilt += !layer.levels[i].mask.empty() && (!layer.levels[i].values.empty() || !layer.values.empty());
      biases += !layer.levels[i].bias.empty();
    }
    double density = keptShare(*plan, i);
    llvm::StringRef asked = level.isTime ? "asked_time" : "asked_density";
    list.push_back(llvm::json::Object{{"name", level.name},
                                      {"scheme", schemeNames(level)},
                                      {asked, level.density},
                                      {"density", density},
                                      {"dense_layers", dense},
                                      {"rebuilt_layers", rebuilt},
                                      {"layers_with_own_bias", biases}});
    if (!verb.asJson)
      llvm::outs() << llvm::formatv(
          "  level {0} {1,-12} {2,-6} {3:f1} % of weights (asked: {4:f1} % of {5}), {6} layers "
          "dense, {7} with new values, {8} with a bias of their own\n",
          i, level.name, schemeNames(level), 100 * density, 100 * level.density,
          level.isTime ? "the dense layers' time" : "weights", dense, rebuilt, biases);
  }
  if (verb.asJson)
    llvm::outs() << llvm::formatv("{0:2}\n",
                                  llvm::json::Value(llvm::json::Object{{"plan", verb.bundle},
                                                                       {"model", llvm::json::fixUTF8(plan->model)},
                                                                       {"type", llvm::json::fixUTF8(plan->precision)},
                                                                       {"nested", plan->levels.isNested},
                                                                       {"levels", std::move(list)},
                                                                       {"layers", layersJson(*plan)}}));
  else
    printLayers(*plan);
  return kExitOk;
}

ExitCode mlir::rt3::runInspect(const InspectVerb &verb) {
  if (llvm::sys::fs::is_directory(verb.bundle) && !llvm::sys::fs::exists(verb.bundle + "/" + kPlanJson.str()))
    return fail(kExitBadInput, verb.bundle + ": is a folder without a plan.json; of a compilation, name the .rt3 file");
  if (llvm::sys::fs::is_directory(verb.bundle))
    return inspectPlan(verb);
  auto bytes = readFile(verb.bundle);
  if (!bytes)
    return fail(kExitBadInput, llvm::toString(bytes.takeError()));
  auto levels = readLevels(*bytes);
  if (!levels)
    return fail(kExitBadInput, verb.bundle + ": " + llvm::toString(levels.takeError()));
  rt3_bundle_header_t header;
  memcpy(&header, bytes->data(), sizeof header);
  bool isWhole =
      header.file_size == bytes->size() && header.header_size == sizeof header &&
      std::all_of(std::begin(header.reserved), std::end(header.reserved), [](uint32_t r) { return r == 0; }) &&
      header.content_hash == rt3_hash(bytes->data() + sizeof header, bytes->size() - sizeof header);
  std::string id = llvm::toHex(llvm::ArrayRef<uint8_t>(header.model_id), /*LowerCase=*/true);
  std::vector<rt3_bundle_section_t> sections;
  for (uint32_t i = 0; i < header.section_count; ++i) {
    size_t at = sizeof header + i * sizeof(rt3_bundle_section_t);
    if (at + sizeof(rt3_bundle_section_t) > bytes->size())
      break;
    sections.emplace_back();
    memcpy(&sections.back(), bytes->data() + at, sizeof sections.back());
  }
  if (verb.asJson) {
    llvm::json::Array levelList, sectionList;
    for (const rt3_bundle_level_t &level : *levels)
      levelList.push_back(llvm::json::Object{{"name", llvm::json::fixUTF8(level.name)},
                                             {"frequency_khz", level.frequency_khz},
                                             {"voltage_uv", level.voltage_uv},
                                             {"power_mw", level.power_mw},
                                             {"density", level.density_ppm / 1e6}});
    for (const rt3_bundle_section_t &section : sections)
      sectionList.push_back(llvm::json::Object{
          {"kind", kindName(section.kind)}, {"offset", int64_t(section.offset)}, {"length", int64_t(section.length)}});
    llvm::outs() << llvm::formatv("{0:2}", llvm::json::Value(llvm::json::Object{
                                               {"bundle", verb.bundle},
                                               {"format", llvm::formatv("{0}.{1}", header.major, header.minor).str()},
                                               {"model_id", id},
                                               {"size", int64_t(bytes->size())},
                                               {"hash_is_right", isWhole},
                                               {"levels", std::move(levelList)},
                                               {"sections", std::move(sectionList)}}))
                 << "\n";
  } else {
    llvm::outs() << llvm::formatv("{0}: format {1}.{2}, {3} bytes, model {4}\n", verb.bundle, header.major,
                                  header.minor, bytes->size(), id);
    for (const rt3_bundle_section_t &section : sections)
      llvm::outs() << llvm::formatv("  section {0,-8} {1} bytes at {2}\n", kindName(section.kind), section.length,
                                    section.offset);
    for (auto [i, level] : llvm::enumerate(*levels))
      llvm::outs() << llvm::formatv("  level {0} {1,-12} {2} kHz, {3} uV, {4} mW, density {5:f1} %\n", i, level.name,
                                    level.frequency_khz, level.voltage_uv, level.power_mw, level.density_ppm / 1e4);
  }
  if (!isWhole)
    return fail(kExitBadInput, verb.bundle + ": header, size and hash do not fit together: it is damaged");
  return kExitOk;
}
