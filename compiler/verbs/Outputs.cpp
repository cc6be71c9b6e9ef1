// SPDX-License-Identifier: Apache-2.0

#include "compiler/verbs/Outputs.h"

#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Errno.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"

#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <unistd.h>

using namespace mlir::rt3;
using llvm::formatv;

std::string mlir::rt3::printable(llvm::StringRef text) {
  std::string result;
  for (unsigned char c : text) {
    if (c == '\n' || (c >= 0x20 && c != 0x7f))
      result += c;
    else
      result += "\\x" + llvm::toHex(llvm::StringRef(reinterpret_cast<char *>(&c), 1), /*LowerCase=*/true);
  }
  return result;
}

static std::string upper(llvm::StringRef text) { return text.upper(); }

static std::string shapeText(const TensorDescription &tensor) {
  std::vector<std::string> sizes;
  for (int64_t size : tensor.dims)
    sizes.push_back(size < 0 ? "length" : std::to_string(size));
  return sizes.empty() ? "scalar" : llvm::join(sizes, " x ");
}

static llvm::StringRef typeText(uint32_t type) {
  switch (type) {
  case RT3_FLOAT32:
    return "float";
  case RT3_INT64:
    return "int64_t";
  case RT3_INT32:
    return "int32_t";
  default:
    return "uint8_t";
  }
}

static std::string featureText(uint32_t features) {
  std::vector<std::string> names;
  if (features & RT3_CPU_AVX2)
    names.push_back("AVX2 and FMA");
  if (features & RT3_CPU_AVX512)
    names.push_back("AVX-512 F, VL, BW and DQ");
  if (features & RT3_CPU_AVX512_VNNI)
    names.push_back("AVX-512 VNNI");
  if (features & RT3_CPU_DOTPROD)
    names.push_back("dot product (FEAT_DotProd)");
  return names.empty() ? "none beyond the baseline" : llvm::join(names, ", ");
}

std::string mlir::rt3::headerText(const CompileResult &result, const CompileOptions &options) {
  const ProgramDescription &program = result.program;
  std::string prefix = "RT3_" + upper(program.name), text;
  llvm::raw_string_ostream out(text);
  out << "/* Written by rt3c for " << options.device.name << ". Do not edit: compile the model again.\n *\n"
      << " * CPU features needed: " << featureText(program.requiredFeatures) << ".\n */\n\n"
      << formatv("#ifndef {0}_H\n#define {0}_H\n\n", prefix);
  auto macro = [&](llvm::StringRef name, const llvm::Twine &value, llvm::StringRef comment) {
    out << formatv("#define {0}_{1} {2}{3}\n", prefix, name, value.str(),
                   comment.empty() ? "" : (" /* " + comment + " */").str());
  };
  macro("TARGET", "\"" + options.device.name + "\"", "");
  macro("CPU_FEATURES", llvm::Twine(program.requiredFeatures) + "u", "a union of rt3_cpu_feature_t");
  macro("MODEL_ID", "\"" + llvm::toHex(program.modelId, /*LowerCase=*/true) + "\"", "equal in library and bundle");
  macro("ALIGNMENT", llvm::Twine(RT3_MEMORY_ALIGNMENT), "bytes, of bundle, workspace and model memory");
  macro("WORKSPACE_SIZE", llvm::Twine(program.workspaceSize) + "u", "bytes");
  macro("MAX_LENGTH", llvm::Twine(program.maxLength), "of the free dimension; 1 if there is none");
  if (program.stateSize != 0) {
    macro("STATE_SIZE", llvm::Twine(program.stateSize + RT3_MEMORY_ALIGNMENT) + "u", "bytes of the state of a text");
    macro("CONTEXT_LENGTH", llvm::Twine(program.contextLength), "tokens that a state holds");
  }
  macro("LEVEL_COUNT", llvm::Twine(program.levelFunctions.size()), "");
  // Different names may look the same in capitals, or as another's size.
  llvm::StringSet<> used;
  for (const char *name : {"LEVEL_COUNT", "LEVEL_FREQUENCIES", "INPUT_COUNT", "OUTPUT_COUNT"})
    used.insert(name);
  auto unique = [&](std::string name, size_t i) {
    while (used.contains(name) || used.contains(name + "_SIZE"))
      name += "_" + std::to_string(i);
    used.insert(name);
    used.insert(name + "_SIZE");
    return name;
  };
  for (auto [i, level] : llvm::enumerate(options.levels.levels))
    macro(unique("LEVEL_" + upper(level.name), i), llvm::Twine(i), "");
  std::string frequencies;
  for (const LevelSpec &level : options.levels.levels)
    frequencies += (frequencies.empty() ? "" : ", ") + std::to_string(level.frequencyKhz);
  macro("LEVEL_FREQUENCIES", "{" + frequencies + "}", "kHz; 0: unknown");
  for (auto [kind, tensors] : {std::pair("INPUT", &program.inputs), std::pair("OUTPUT", &program.outputs)}) {
    out << "\n";
    macro((llvm::Twine(kind) + "_COUNT").str(), llvm::Twine(tensors->size()), "");
    for (auto [i, tensor] : llvm::enumerate(*tensors)) {
      std::string own = unique((llvm::Twine(kind) + "_" + upper(sanitizeIdentifier(tensor.name))).str(), i);
      macro(own, llvm::Twine(i), (typeText(tensor.elementType) + ", " + shapeText(tensor)).str());
      std::string count = "1";
      for (int64_t size : tensor.dims)
        count += size < 0 ? " * (length)" : " * " + std::to_string(size);
      out << formatv("#define {0}_{1}_SIZE(length) (sizeof({2}) * {3}) /* bytes */\n", prefix, own,
                     typeText(tensor.elementType), count);
    }
  }
  out << formatv("\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\nstruct rt3_program_t;\n"
                 "extern const struct rt3_program_t rt3_{0}_program;\n\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
                 program.name);
  return text;
}

std::string mlir::rt3::cmakeConfigText(const std::string &name) {
  return formatv("# find_package({0}) gives {0}::{0}, the static library. Link rt3::rt3 too.\n"
                 "if(NOT TARGET {0}::{0})\n"
                 "  add_library({0}::{0} STATIC IMPORTED)\n"
                 "  set_target_properties({0}::{0} PROPERTIES\n"
                 "    IMPORTED_LOCATION \"${{CMAKE_CURRENT_LIST_DIR}/lib{0}.a\"\n"
                 "    INTERFACE_INCLUDE_DIRECTORIES \"${{CMAKE_CURRENT_LIST_DIR}\")\n"
                 "  set({0}_BUNDLE \"${{CMAKE_CURRENT_LIST_DIR}/{0}.rt3\")\n"
                 "endif()\n",
                 name);
}

std::string mlir::rt3::pkgConfigText(const std::string &name) {
  return formatv("prefix=${{pcfiledir}\n\nName: {0}\nDescription: {0}, compiled by rt3c\nVersion: 0.1.0\n"
                 "Cflags: -I${{prefix}\nLibs: -L${{prefix} -l{0}\n",
                 name);
}

namespace {
// Of the linear layers of a level.
struct LevelTotal {
  double cycles = 0; // Predicted.
  int64_t kept = 0;  // Weights.
};
} // namespace

static std::vector<LevelTotal> levelTotals(const CompileResult &result, const CompileOptions &options) {
  std::vector<LevelTotal> totals;
  for (const LevelSpec &level : options.levels.levels) {
    LevelTotal &total = totals.emplace_back();
    for (const LayerReport &layer : result.layers)
      if (layer.level == level.name) {
        total.cycles += layer.cycles;
        total.kept += layer.kept;
      }
  }
  return totals;
}

// A level that keeps more than `level` and takes no longer; nothing if there is none.
static std::optional<size_t> levelAtLeastAsFast(llvm::ArrayRef<LevelTotal> totals, size_t level) {
  for (size_t other = 0; other < totals.size(); ++other)
    if (totals[other].kept > totals[level].kept && totals[other].cycles <= totals[level].cycles)
      return other;
  return std::nullopt;
}

std::string mlir::rt3::reportText(const CompileResult &result, const CompileOptions &options) {
  std::string text;
  llvm::raw_string_ostream out(text);
  out << formatv("{0} for {1}: {2} nodes, {3} bytes of weights, {4} of workspace\n"
                 "Cycles are predicted for {5} tokens; 'x' is the predicted speed-up over dense.\n",
                 result.program.name, options.device.name, result.nodeCount, result.program.weightsSize,
                 result.program.workspaceSize, result.layers.empty() ? 0 : result.layers[0].tokens);
  std::vector<LevelTotal> totals = levelTotals(result, options);
  for (auto [number, level] : llvm::enumerate(options.levels.levels)) {
    double denseCycles = 0;
    auto [cycles, kept] = totals[number];
    int64_t all = 0;
    bool isInVain = level.scheme != Scheme::Dense;
    out << formatv("\nlevel {0} ({1} kHz)\n  {2,-44} {3,11} {4,-6} {5,8} {6,10} {7,12} {8,5}  {9}\n", level.name,
                   level.frequencyKhz, "layer", "K x N", "scheme", "density", "bytes", "cycles", "x", "kernel");
    for (const LayerReport &layer : result.layers) {
      if (layer.level != level.name)
        continue;
      int64_t weights = layer.inputs * layer.outputs;
      out << formatv("  {0,-44} {1,5} x {2,-5} {3,-4} {4,6:f1} % {5,10} {6,12:f0} {7,5:f2}  {8}\n",
                     printable(layer.layer), layer.inputs, layer.outputs, layer.scheme, 100.0 * layer.kept / weights,
                     layer.storedSize, layer.cycles, layer.denseCycles / layer.cycles, layer.kernel);
      if (!layer.reason.empty())
        out << "      dense because: " << printable(layer.reason) << "\n";
      denseCycles += layer.denseCycles;
      all += weights;
      isInVain &= layer.scheme == "dense";
    }
    if (isInVain && kept < all)
      out << "  every layer is dense: the level takes the dense time with pruned weights\n";
    if (all)
      out << formatv("  all linear layers: density {0:f1} %, {1:f0} cycles, {2:f2} x\n", 100.0 * kept / all, cycles,
                     denseCycles / cycles);
    if (auto other = levelAtLeastAsFast(totals, number))
      out << "  no faster than level " << options.levels.levels[*other].name
          << ", which keeps more: give this level another scheme, pattern or density\n";
  }
  out << "\nother ops per level:";
  for (const OtherReport &other : result.others)
    out << " " << other.kind << " " << other.count;
  out << "\n";
  out << llvm::formatv("{0} loops of products, {1} of them use the stack ({2} accesses)\n", result.loops.loops,
                       result.loops.loopsWithStack, result.loops.stackAccesses);
  if (result.unfoldedCount)
    out << result.unfoldedCount << " constant ops are computed at run time, because folding them is over the budget\n";
  return text;
}

llvm::json::Value mlir::rt3::reportJson(const CompileResult &result, const CompileOptions &options) {
  llvm::json::Array levels, tensors[2];
  for (bool isOutput : {false, true})
    for (const TensorDescription &tensor : isOutput ? result.program.outputs : result.program.inputs)
      tensors[isOutput].push_back(llvm::json::Object{{"name", llvm::json::fixUTF8(tensor.name)},
                                                     {"element_type", tensor.elementType},
                                                     {"shape", llvm::json::Array(tensor.dims)}});
  std::vector<LevelTotal> totals = levelTotals(result, options);
  for (auto [number, level] : llvm::enumerate(options.levels.levels)) {
    llvm::json::Array layers;
    for (const LayerReport &layer : result.layers)
      if (layer.level == level.name)
        layers.push_back(llvm::json::Object{{"layer", llvm::json::fixUTF8(layer.layer)},
                                            {"inputs", layer.inputs},
                                            {"outputs", layer.outputs},
                                            {"tokens", layer.tokens},
                                            {"kept", layer.kept},
                                            {"stored_size", layer.storedSize},
                                            {"type", layer.type},
                                            {"scheme", layer.scheme},
                                            {"kernel", layer.kernel},
                                            {"reason", layer.reason},
                                            {"predicted_cycles", layer.cycles},
                                            {"predicted_dense_cycles", layer.denseCycles}});
    auto other = levelAtLeastAsFast(totals, number);
    levels.push_back(llvm::json::Object{{"name", level.name},
                                        {"frequency_khz", level.frequencyKhz},
                                        {"voltage_uv", level.voltageUv},
                                        {"power_mw", level.powerMw},
                                        {"scheme", schemeNames(level)},
                                        {level.isTime ? "time" : "density", level.density},
                                        {"no_faster_than", other ? options.levels.levels[*other].name : ""},
                                        {"layers", std::move(layers)}});
  }
  return llvm::json::Object{{"name", result.program.name},
                            {"target", options.device.name},
                            {"nodes", result.nodeCount},
                            {"nested", options.levels.isNested},
                            {"max_length", result.program.maxLength},
                            {"weights_size", int64_t(result.program.weightsSize)},
                            {"workspace_size", int64_t(result.program.workspaceSize)},
                            {"unfolded_constant_ops", result.unfoldedCount},
                            {"loops", result.loops.loops},
                            {"loops_with_stack", result.loops.loopsWithStack},
                            {"stack_accesses", result.loops.stackAccesses},
                            {"inputs", std::move(tensors[0])},
                            {"outputs", std::move(tensors[1])},
                            {"levels", std::move(levels)}};
}

//===-- Writing -----------------------------------------------------------===//

static llvm::Error systemError(const llvm::Twine &what) {
  std::error_code code(errno, std::generic_category());
  return llvm::createStringError(code, what + ": " + code.message());
}

// Errors name the file that it is to become.
static llvm::Error writeTemporary(const std::string &path, const std::string &name, const std::string &bytes) {
  // Never through a link, never over a file.
  int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file < 0)
    return systemError(name + ": cannot be written");
  llvm::Error error = llvm::Error::success();
  for (size_t done = 0; done < bytes.size() && !error;) {
    ssize_t count = write(file, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      error = systemError(name + ": cannot be written");
    else
      done += count;
  }
  if (!error && fsync(file) != 0)
    error = systemError(name + ": cannot be written");
  if (close(file) != 0 && !error)
    error = systemError(name + ": cannot be written");
  return error;
}

llvm::Error mlir::rt3::writeFiles(const std::string &folder, const std::vector<OutputFile> &files) {
  bool isNew = !llvm::sys::fs::exists(folder);
  if (std::error_code code = llvm::sys::fs::create_directories(folder, true, llvm::sys::fs::all_all))
    return llvm::createStringError(code, folder + ": cannot be made: " + code.message());
  if (!llvm::sys::fs::is_directory(folder))
    return llvm::createStringError(folder + ": is a file, expected a folder (-o)");
  // Found before the first file is replaced, not half-way.
  for (const OutputFile &file : files)
    if (llvm::sys::fs::is_directory(folder + "/" + file.name))
      return llvm::createStringError(folder + "/" + file.name + ": is a folder, a file of that name is to be written");
  std::string suffix = ".rt3-tmp-" + std::to_string(getpid());
  auto temporary = [&](const OutputFile &file) { return folder + "/" + file.name + suffix; };
  llvm::Error error = llvm::Error::success();
  size_t written = 0;
  for (; written < files.size() && !error; ++written) {
    // A signal that ends the program takes them with it.
    llvm::sys::RemoveFileOnSignal(temporary(files[written]));
    error = writeTemporary(temporary(files[written]), folder + "/" + files[written].name, files[written].bytes);
  }
  for (size_t i = 0; i < files.size() && !error; ++i) {
    std::string path = folder + "/" + files[i].name;
    if (rename(temporary(files[i]).c_str(), path.c_str()) != 0)
      error = systemError(path + ": cannot be written");
  }
  for (size_t i = 0; i < written; ++i) {
    if (error)
      unlink(temporary(files[i]).c_str());
    llvm::sys::DontRemoveFileOnSignal(temporary(files[i]));
  }
  if (error && isNew)
    rmdir(folder.c_str()); // Only if it is empty.
  if (int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); directory >= 0) {
    fsync(directory);
    close(directory);
  }
  return error;
}

llvm::Error mlir::rt3::checkWritable(const std::string &folder) {
  static constexpr llvm::StringLiteral kProbe = ".rt3-probe";
  // The first one on the way there that exists: no folder is made before there is something to write.
  llvm::StringRef existing = folder;
  while (!existing.empty() && !llvm::sys::fs::exists(existing))
    existing = llvm::sys::path::parent_path(existing);
  std::string place = existing.empty() ? "." : existing.str();
  if (llvm::Error error = writeFiles(place, {{kProbe.str(), ""}}))
    return error;
  llvm::sys::fs::remove(place + "/" + kProbe);
  return llvm::Error::success();
}
