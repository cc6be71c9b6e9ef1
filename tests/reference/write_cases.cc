// SPDX-License-Identifier: Apache-2.0

#include "tests/reference/write_cases.h"

#include "codegen/emit/LinkLibrary.h"
#include "compiler/bundle/BundleWriter.h"
#include "compiler/prune/PruneLevels.h"

#include "llvm/Support/FileSystem.h"

#include <fstream>

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

static void write(const std::string &path, const std::string &bytes) { std::ofstream(path, std::ios::binary) << bytes; }

llvm::Error mlir::rt3::writeCases(ModuleOp module, const CompileOptions &options, llvm::ArrayRef<int64_t> lengths,
                                  MakeInputs makeInputs, const std::string &folder) {
  if (std::error_code code = llvm::sys::fs::create_directories(folder))
    return llvm::createStringError(code, folder);
  // What is interpreted is pruned by the same plan; compiling uses up its copy.
  OwningOpRef<ModuleOp> reference(module.clone());
  if (llvm::Error error = pruneLevels(*reference, options.levels))
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
  for (int64_t length : lengths) {
    std::vector<HostTensor> inputs = makeInputs(length);
    for (size_t level = 0; level < options.levels.levels.size(); ++level) {
      std::string name = "l" + std::to_string(length) + "_" + std::to_string(level);
      list << length << " " << level << " " << name << "\n";
      for (auto [i, input] : llvm::enumerate(inputs))
        write(folder + "/" + name + ".in" + std::to_string(i),
              bytesOf(cast<RankedTensorType>(function.getArgumentTypes()[i]), input));
      InterpreterOptions interpreter;
      interpreter.length = length;
      interpreter.level = level;
      auto outputs = interpret(function, inputs, interpreter);
      if (!outputs)
        return outputs.takeError();
      for (auto [i, output] : llvm::enumerate(*outputs))
        write(folder + "/" + name + ".out" + std::to_string(i),
              bytesOf(cast<RankedTensorType>(function.getResultTypes()[i]), output));
    }
  }
  return llvm::Error::success();
}
