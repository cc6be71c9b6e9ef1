// SPDX-License-Identifier: Apache-2.0
//
// rt3c compile: model in, library, header and bundle out.

#include "codegen/emit/LinkLibrary.h"
#include "compiler/bundle/BundleWriter.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <optional>

using namespace mlir::rt3;

static std::optional<Stage> stageOf(llvm::StringRef emit) {
  if (emit.empty())
    return Stage::Library;
  if (emit == "graph")
    return Stage::Graph;
  if (emit == "kernel")
    return Stage::Kernel;
  if (emit == "llvm")
    return Stage::Llvm;
  if (emit == "asm")
    return Stage::Assembly;
  if (emit == "object")
    return Stage::Object;
  return std::nullopt;
}

static std::string bundleBytes(const CompileResult &result, const CompileOptions &options) {
  BundleContents contents;
  contents.modelId = result.program.modelId;
  contents.weights = result.weights;
  contents.report = llvm::formatv("{0:2}\n", reportJson(result, options));
  for (const LevelSpec &level : options.levels.levels) {
    rt3_bundle_level_t record{};
    level.name.copy(record.name, sizeof record.name - 1);
    record.frequency_khz = level.frequencyKhz;
    record.voltage_uv = level.voltageUv;
    record.power_mw = level.powerMw;
    double kept = 0, all = 0;
    for (const LayerReport &layer : result.layers)
      if (layer.level == level.name) {
        kept += layer.kept;
        all += double(layer.inputs) * layer.outputs;
      }
    record.density_ppm = all ? std::llround(1e6 * kept / all) : 1000000;
    contents.levels.push_back(record);
  }
  return writeBundle(contents);
}

static ExitCode writeLibrary(const CompileVerb &verb, const CompileOptions &options, const CompileResult &result) {
  const std::string &name = options.name;
  auto archive = makeArchive(result.object, name + ".o");
  if (!archive)
    return fail(kExitInternal, llvm::toString(archive.takeError()));
  // lld works on files: in the system's folder for those, not in the user's.
  llvm::SmallString<128> temporary;
  llvm::sys::path::system_temp_directory(/*ErasedOnReboot=*/true, temporary);
  auto shared = makeSharedLibrary(result.object, "lib" + name + ".so", temporary, options.device);
  if (!shared)
    return fail(kExitInternal, llvm::toString(shared.takeError()));
  std::string bundle = bundleBytes(result, options), report = reportText(result, options);
  std::string json = llvm::formatv("{0:2}\n", reportJson(result, options));
  if (llvm::Error error = writeFiles(verb.out, {{"lib" + name + ".a", *archive},
                                                {"lib" + name + ".so", *shared},
                                                {name + ".h", headerText(result, options)},
                                                {name + ".rt3", bundle},
                                                {name + "Config.cmake", cmakeConfigText(name)},
                                                {name + ".pc", pkgConfigText(name)},
                                                {name + ".report.txt", report},
                                                {name + ".report.json", json}}))
    return fail(kExitBadInput, llvm::toString(std::move(error)));
  if (verb.model.asJson)
    llvm::outs() << json;
  else
    llvm::outs() << report << "\nwritten to " << verb.out << ": lib" << name << ".a, lib" << name << ".so, " << name
                 << ".h, " << name << ".rt3 (" << bundle.size() << " bytes), " << name << "Config.cmake, " << name
                 << ".pc, " << name << ".report.txt, " << name << ".report.json\n";
  return kExitOk;
}

ExitCode mlir::rt3::runCompile(const CompileVerb &verb) {
  CompileOptions options;
  auto stage = stageOf(verb.emit);
  if (!stage)
    return fail(kExitUsage, "--emit \"" + verb.emit + "\" is none of graph, kernel, llvm, asm, object");
  options.stage = *stage;
  auto import = importOptions(verb.model);
  if (!import)
    return fail(kExitUsage, llvm::toString(import.takeError()));
  options.import = *import;
  auto device = chooseDevice(verb.model);
  if (!device)
    return fail(kExitUsage, llvm::toString(device.takeError()));
  options.device = *device;
  auto levels = chooseLevels(verb.model);
  if (!levels)
    return fail(kExitBadInput, llvm::toString(levels.takeError()));
  options.levels = *levels;
  std::string name = verb.name.empty() ? llvm::sys::path::stem(verb.model.model).str() : verb.name;
  options.name = sanitizeIdentifier(name);
  if (!verb.name.empty() && options.name != verb.name)
    return fail(kExitUsage, "--name \"" + verb.name + "\" is no C identifier of up to 40 characters");

  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  auto result = compileModel(&context, verb.model.model, options);
  if (!result)
    return fail(kExitBadInput, llvm::toString(result.takeError()));
  if (!result->problems.empty()) {
    printProblems(verb.model, result->problems, result->nodeCount);
    return kExitUnsupported;
  }
  if (options.stage != Stage::Library) {
    llvm::outs() << result->text;
    return kExitOk;
  }
  return writeLibrary(verb, options, *result);
}
