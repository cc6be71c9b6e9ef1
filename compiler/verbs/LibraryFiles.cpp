// SPDX-License-Identifier: Apache-2.0

#include "codegen/emit/LinkLibrary.h"
#include "compiler/bundle/BundleWriter.h"
#include "compiler/verbs/Outputs.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

#include <cmath>

using namespace mlir::rt3;

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

llvm::Expected<std::vector<OutputFile>> mlir::rt3::libraryFiles(const CompileResult &result,
                                                                const CompileOptions &options) {
  const std::string &name = options.name;
  auto archive = makeArchive(result.object, name + ".o");
  if (!archive)
    return archive.takeError();
  // lld works on files: in the system's folder for those, not in the user's.
  llvm::SmallString<128> temporary;
  llvm::sys::path::system_temp_directory(/*ErasedOnReboot=*/true, temporary);
  auto shared = makeSharedLibrary(result.object, "lib" + name + ".so", temporary, options.device);
  if (!shared)
    return shared.takeError();
  return std::vector<OutputFile>{{"lib" + name + ".a", *archive},
                                 {"lib" + name + ".so", *shared},
                                 {name + ".h", headerText(result, options)},
                                 {name + ".rt3", bundleBytes(result, options)},
                                 {name + "Config.cmake", cmakeConfigText(name)},
                                 {name + ".pc", pkgConfigText(name)},
                                 {name + ".report.txt", reportText(result, options)},
                                 {name + ".report.json", llvm::formatv("{0:2}\n", reportJson(result, options))}};
}
