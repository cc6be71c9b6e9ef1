// SPDX-License-Identifier: Apache-2.0

#include "tests/reference/write_cases.h"

#include "codegen/emit/LinkLibrary.h"
#include "compiler/bundle/BundleWriter.h"
#include "compiler/prune/PruneLevels.h"

#include "llvm/Support/FileSystem.h"

#include <fstream>
#include <numeric>

using namespace mlir;
using namespace mlir::rt3;

static std::string bytesOf(RankedTensorType type, const HostTensor &tensor) {
  std::string bytes;
  auto append = [&]<typename T>(T) {
    for (double element : tensor.elements) {
      T value = T(element);
      bytes.append(reinterpret_cast<const char *>(&value), sizeof value);
    }
  };
  Type element = type.getElementType();
  if (element.isF32())
    append(float());
  else if (element.isInteger(64))
    append(int64_t());
  else if (element.isInteger(32))
    append(int32_t());
  else
    append(uint8_t());
  return bytes;
}

// `length` tokens from `position` on; masks have several free axes and no cache.
static HostTensor tokensOf(RankedTensorType type, const HostTensor &tensor, int64_t position, int64_t length) {
  if (type.getNumDynamicDims() != 1)
    return tensor;
  size_t axis = 0;
  while (!type.isDynamicDim(axis))
    ++axis;
  HostTensor part{tensor.shape, {}};
  part.shape[axis] = length;
  int64_t inner = 1;
  for (int64_t size : ArrayRef(tensor.shape).drop_front(axis + 1))
    inner *= size;
  int64_t row = tensor.shape[axis] * inner;
  for (int64_t start = 0; start < tensor.count(); start += row) {
    auto first = tensor.elements.begin() + start + position * inner;
    part.elements.insert(part.elements.end(), first, first + length * inner);
  }
  return part;
}

static void write(const std::string &path, const std::string &bytes) { std::ofstream(path, std::ios::binary) << bytes; }

llvm::Error mlir::rt3::writeCases(ModuleOp module, const CompileOptions &options, llvm::ArrayRef<int64_t> lengths,
                                  MakeInputs makeInputs, const std::string &folder) {
  if (std::error_code code = llvm::sys::fs::create_directories(folder))
    return llvm::createStringError(code, folder);
  // What is interpreted is pruned by the same plan; compiling uses up its copy.
  OwningOpRef<ModuleOp> reference(module.clone());
  if (llvm::Error error = pruneLevels(*reference, options.levels, pruningUnits(options.device)))
    return error;
  auto result = compileGraph(module, options);
  if (!result)
    return result.takeError();
  auto archive = makeArchive(result->object, options.name + ".o");
  if (!archive)
    return archive.takeError();
  write(folder + "/lib" + options.name + ".a", *archive);
  BundleContents contents;
  contents.modelId = result->program.modelId;
  contents.weights = result->weights;
  contents.levels.resize(options.levels.levels.size());
  write(folder + "/" + options.name + ".rt3", writeBundle(contents));

  std::ofstream list(folder + "/cases.txt");
  auto function = *reference->getOps<func::FuncOp>().begin();
  // Texts: each is interpreted as a whole, and run in parts.
  bool hasCache = reference.get()->hasAttr(graph::kContextAttr);
  std::vector<std::vector<int64_t>> texts;
  if (hasCache)
    texts.push_back(lengths);
  else
    for (int64_t length : lengths)
      texts.push_back({length});
  for (const std::vector<int64_t> &text : texts) {
    int64_t total = std::accumulate(text.begin(), text.end(), int64_t(0));
    std::vector<HostTensor> inputs = makeInputs(total);
    for (size_t level = 0; level < options.levels.levels.size(); ++level) {
      InterpreterOptions interpreter;
      interpreter.length = total;
      interpreter.level = level;
      auto outputs = interpret(function, inputs, interpreter);
      if (!outputs)
        return outputs.takeError();
      int64_t position = 0;
      for (int64_t length : text) {
        std::string name = "l" + std::to_string(length) + "_" + std::to_string(level);
        if (hasCache)
          name = "p" + std::to_string(position) + name;
        list << length << " " << level << " " << (position ? "+" : "") << name << "\n";
        auto writeAll = [&](const char *kind, TypeRange types, const std::vector<HostTensor> &tensors) {
          for (auto [i, type, tensor] : llvm::enumerate(types, tensors)) {
            auto tensorType = cast<RankedTensorType>(type);
            write(folder + "/" + name + kind + std::to_string(i),
                  bytesOf(tensorType, tokensOf(tensorType, tensor, position, length)));
          }
        };
        writeAll(".in", function.getArgumentTypes(), inputs);
        writeAll(".out", function.getResultTypes(), *outputs);
        position += length;
      }
    }
  }
  return llvm::Error::success();
}
