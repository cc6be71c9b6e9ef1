// SPDX-License-Identifier: Apache-2.0
//
// ONNX's own operator tests, from Debian's libonnx-testdata: each is compiled
// and gives the expected outputs, or is refused with reasons.
//
//   conformance FOLDER [--list]   prints counts per operator; fails on a wrong
//                                 output, or on a model that ends in an error

#include "compiler/onnx/Model.h"
#include "compiler/prune/PruneLevels.h"
#include "compiler/verbs/LoadedModel.h"
#include "compiler/verbs/Outputs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <map>

using namespace mlir;
using namespace mlir::rt3;

// Of libonnx-testdata 1.12; raise it with the operators.
static constexpr int kMinPassed = 215;

namespace {
struct Outcome {
  enum { Passed, Refused, Wrong } kind;
  std::string reason;
};
} // namespace

static llvm::Expected<onnx::TensorData> readTensorFile(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, false, false);
  if (!buffer)
    return llvm::createStringError(buffer.getError(), path);
  onnx::TensorProto proto;
  if (!proto.ParseFromArray((*buffer)->getBufferStart(), (*buffer)->getBufferSize()))
    return llvm::createStringError(path + ": no tensor (a sequence?)");
  return onnx::readTensor(proto, "/nonexistent");
}

// The largest difference over max(1, |expected|).
static double difference(const rt3_tensor_t &tensor, const char *found, const onnx::TensorData &expected) {
  if (tensor.element_type != RT3_FLOAT32)
    return memcmp(found, expected.bytes.data(), expected.bytes.size()) ? INFINITY : 0;
  double largest = 0;
  for (int64_t i = 0; i < expected.elementCount(); ++i) {
    float a, b = expected.at<float>(i);
    memcpy(&a, found + 4 * i, 4);
    if (a == b || (std::isnan(a) && std::isnan(b)))
      continue;
    double own = std::abs(double(a) - b) / std::max(1.0, std::abs(double(b)));
    largest = std::isnan(own) ? INFINITY : std::max(largest, own);
  }
  return largest;
}

static Outcome test(MLIRContext &context, const std::string &folder, const std::string &scratch) {
  CompileOptions options;
  options.name = "node";
  options.device = llvm::cantFail(hostDevice());
  options.levels = levelsOfModelAsIs();
  auto imported = importAndFuse(&context, folder + "/model.onnx", options.import);
  if (!imported) {
    // A file that cannot be imported at all, e.g. of an old opset, is refused too;
    // our own faults are not.
    llvm::Error error = imported.takeError();
    auto kind = error.isA<onnx::OwnFault>() ? Outcome::Wrong : Outcome::Refused;
    return {kind, llvm::toString(std::move(error))};
  }
  if (!imported->problems.empty())
    return {Outcome::Refused, imported->problems[0].op + ": " + imported->problems[0].why};
  auto result = compileGraph(*imported->module, options);
  if (!result)
    return {Outcome::Wrong, llvm::toString(result.takeError())};
  auto files = libraryFiles(*result, options);
  if (!files)
    return {Outcome::Wrong, llvm::toString(files.takeError())};
  if (llvm::Error error = writeFiles(scratch, *files))
    return {Outcome::Wrong, llvm::toString(std::move(error))};
  auto loaded = LoadedModel::load(scratch);
  if (!loaded)
    return {Outcome::Wrong, llvm::toString(loaded.takeError())};
  const rt3_program_t &program = (*loaded)->program();
  std::vector<AlignedMemory> memory;
  std::vector<const void *> inputs;
  std::vector<void *> outputs;
  for (uint32_t i = 0; i < program.input_count; ++i) {
    auto data = readTensorFile(folder + "/test_data_set_0/input_" + std::to_string(i) + ".pb");
    if (!data)
      return {Outcome::Wrong, llvm::toString(data.takeError())};
    memory.push_back(allocateAligned(data->bytes.size()));
    memcpy(memory.back().get(), data->bytes.data(), data->bytes.size());
    inputs.push_back(memory.back().get());
  }
  for (uint32_t i = 0; i < program.output_count; ++i) {
    memory.push_back(allocateAligned(tensorSize(program.outputs[i], 1)));
    outputs.push_back(memory.back().get());
  }
  if (llvm::Error error = (*loaded)->run(inputs, outputs, 1))
    return {Outcome::Wrong, llvm::toString(std::move(error))};
  for (uint32_t i = 0; i < program.output_count; ++i) {
    auto expected = readTensorFile(folder + "/test_data_set_0/output_" + std::to_string(i) + ".pb");
    if (!expected)
      return {Outcome::Wrong, llvm::toString(expected.takeError())};
    if (expected->bytes.size() != tensorSize(program.outputs[i], 1))
      return {Outcome::Wrong, "the output has another size"};
    // f32 against the float64 that made the expected values: sums of up to a few
    // hundred elements, and polynomials with errors of 5e-7.
    double found = difference(program.outputs[i], static_cast<char *>(outputs[i]), *expected);
    if (!(found <= 1e-5))
      return {Outcome::Wrong, llvm::formatv("output {0} differs by {1}", i, found)};
  }
  return {Outcome::Passed, ""};
}

int main(int argc, char **argv) {
  if (argc < 3)
    return 2;
  std::vector<std::string> folders;
  std::error_code code;
  for (llvm::sys::fs::directory_iterator entry(argv[1], code), end; entry != end && !code; entry.increment(code))
    if (llvm::sys::fs::exists(entry->path() + "/model.onnx"))
      folders.push_back(entry->path());
  llvm::sort(folders);
  struct Counts {
    int passed = 0, refused = 0, wrong = 0;
  };
  std::map<std::string, Counts> byOp;
  Counts all;
  for (const std::string &folder : folders) {
    DialectRegistry registry;
    registerDialects(registry);
    MLIRContext context(registry, MLIRContext::Threading::DISABLED);
    context.loadAllAvailableDialects();
    auto model = onnx::readModel(folder + "/model.onnx");
    std::string op = "(not readable)";
    if (model && model->graph().node_size() == 1)
      op = model->graph().node(0).op_type();
    else if (model)
      op = "(several nodes)";
    else
      llvm::consumeError(model.takeError());
    Outcome outcome = test(context, folder, argv[2]);
    Counts &counts = byOp[op];
    for (Counts *c : {&counts, &all})
      ++(outcome.kind == Outcome::Passed ? c->passed : outcome.kind == Outcome::Refused ? c->refused : c->wrong);
    llvm::StringRef name = llvm::StringRef(folder).rsplit('/').second;
    if (outcome.kind == Outcome::Wrong)
      llvm::outs() << "WRONG " << name << ": " << outcome.reason << "\n";
    else if (argc > 3 && outcome.kind == Outcome::Refused)
      llvm::outs() << "refused " << name << ": " << outcome.reason << "\n";
    if (outcome.kind == Outcome::Refused && outcome.reason.empty()) {
      llvm::outs() << "WRONG " << name << ": refused without a reason\n";
      ++all.wrong;
    }
  }
  llvm::outs() << llvm::formatv("{0,-24} {1,6} {2,8} {3,6}\n", "operator", "passed", "refused", "wrong");
  for (auto &[op, counts] : byOp)
    if (counts.passed || counts.wrong || argc > 3)
      llvm::outs() << llvm::formatv("{0,-24} {1,6} {2,8} {3,6}\n", op, counts.passed, counts.refused, counts.wrong);
  llvm::outs() << llvm::formatv("all {0} models: {1} passed, {2} refused with reasons, {3} wrong\n", folders.size(),
                                all.passed, all.refused, all.wrong);
  // What passed once must not become refused.
  return all.wrong != 0 || all.passed < kMinPassed;
}
