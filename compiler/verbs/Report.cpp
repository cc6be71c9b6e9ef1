// SPDX-License-Identifier: Apache-2.0
//
// rt3c report: what search, simulate and compile have written, as one page.

#include "compiler/report/Report.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <set>

using namespace mlir;
using namespace mlir::rt3;

// The layers in the report that compile wrote to a folder.
static llvm::Expected<std::vector<CompiledLayer>> readLayers(const std::string &folder) {
  std::error_code code;
  std::string path;
  for (llvm::sys::fs::directory_iterator file(folder, code), end; !code && file != end; file.increment(code))
    if (llvm::StringRef(file->path()).ends_with(".report.json")) {
      if (!path.empty())
        return llvm::createStringError(folder + ": has several models: " + path + ", " + file->path());
      path = file->path();
    }
  if (path.empty())
    return llvm::createStringError(folder + ": has no NAME.report.json, which rt3c compile writes");
  auto text = readFile(path);
  if (!text)
    return text.takeError();
  auto value = parseJson(*text);
  if (!value)
    return llvm::createStringError(path + ": " + llvm::toString(value.takeError()));
  std::vector<CompiledLayer> layers;
  const llvm::json::Object *object = value->getAsObject();
  const llvm::json::Array *levels = object ? object->getArray("levels") : nullptr;
  if (!levels)
    return llvm::createStringError(path + ": has no levels");
  for (const llvm::json::Value &level : *levels) {
    const llvm::json::Object *entry = level.getAsObject();
    const llvm::json::Array *list = entry ? entry->getArray("layers") : nullptr;
    if (!list)
      continue;
    for (const llvm::json::Value &layer : *list) {
      const llvm::json::Object *own = layer.getAsObject();
      if (!own)
        continue;
      auto text = [&](llvm::StringRef name) { return own->getString(name).value_or("").str(); };
      double cycles = own->getNumber("predicted_cycles").value_or(0),
             dense = own->getNumber("predicted_dense_cycles").value_or(0);
      layers.push_back({text("layer"), entry->getString("name").value_or("").str(), text("reason"),
                        cycles > 0 ? dense / cycles : 1});
    }
  }
  return layers;
}

ExitCode mlir::rt3::runReport(const ReportVerb &verb) {
  ReportContents contents;
  auto search = readSearch(verb.folder);
  if (!search)
    return fail(search.takeError());
  contents.search = std::move(*search);
  auto simulation = readSimulation(verb.folder);
  if (!simulation)
    return fail(simulation.takeError());
  contents.simulation = std::move(*simulation);
  double deadline = contents.simulation ? contents.simulation->deadlineSeconds : contents.search.limitSeconds;
  contents.isSimulationStale = std::abs(deadline / contents.search.limitSeconds - 1) > 1e-9;
  auto plan = readPlanFolder(verb.folder);
  if (!plan)
    return fail(plan.takeError());
  contents.plan = std::move(*plan);
  if (!verb.compiled.empty()) {
    auto layers = readLayers(verb.compiled);
    if (!layers)
      return fail(layers.takeError());
    std::set<std::string> compiled, planned;
    for (const CompiledLayer &layer : *layers)
      compiled.insert(layer.level);
    for (const LevelSpec &level : contents.plan.levels.levels)
      planned.insert(level.name);
    if (compiled != planned)
      return fail(kExitBadInput, "--compiled " + verb.compiled + " has levels " + llvm::join(compiled, ", ") +
                                     ", the plan has " + llvm::join(planned, ", ") + ": compile it with --plan " +
                                     verb.folder);
    contents.layers = std::move(*layers);
  }
  for (const std::string &path : {verb.out, verb.picture})
    if (llvm::StringRef(path).ends_with(".json") || llvm::StringRef(path).ends_with(".weights"))
      return fail(kExitUsage, path + ": expected a page (.html) and a picture (.svg), not the name of a result");
  std::string html = reportHtml(contents);
  std::vector<std::pair<std::string, std::string>> files{{verb.out, html}};
  if (!verb.picture.empty())
    files.emplace_back(verb.picture, reportPicture(contents.search));
  for (auto &[path, bytes] : files) {
    llvm::StringRef folder = llvm::sys::path::parent_path(path);
    if (llvm::Error error =
            writeFiles(folder.empty() ? "." : folder.str(), {{llvm::sys::path::filename(path).str(), bytes}}))
      return fail(std::move(error));
    llvm::outs() << "written to " << printable(path) << " (" << bytes.size() / 1024 << " KiB)\n";
  }
  return kExitOk;
}
