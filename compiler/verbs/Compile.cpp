// SPDX-License-Identifier: Apache-2.0
//
// rt3c compile: model in, library, header and bundle out.

#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

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

static ExitCode writeLibrary(const CompileVerb &verb, const CompileOptions &options, const CompileResult &result) {
  auto files = libraryFiles(result, options);
  if (!files)
    return fail(kExitInternal, llvm::toString(files.takeError()));
  if (llvm::Error error = writeFiles(verb.out, *files))
    return fail(kExitBadInput, llvm::toString(std::move(error)));
  if (verb.model.asJson) {
    llvm::outs() << llvm::formatv("{0:2}\n", reportJson(result, options));
    return kExitOk;
  }
  llvm::outs() << reportText(result, options) << "\nwritten to " << verb.out << ":";
  for (const OutputFile &file : *files) {
    llvm::outs() << (&file == files->data() ? " " : ", ") << file.name;
    if (llvm::StringRef(file.name).ends_with(".rt3"))
      llvm::outs() << " (" << file.bytes.size() << " bytes)";
  }
  llvm::outs() << "\n";
  return kExitOk;
}

ExitCode mlir::rt3::runCompile(const CompileVerb &verb) {
  CompileOptions options;
  auto stage = stageOf(verb.emit);
  if (!stage)
    return fail(kExitUsage, "--emit \"" + verb.emit + "\" is none of graph, kernel, llvm, asm, object");
  options.stage = *stage;
  if (ExitCode code = chooseOptions(verb.model, options); code != kExitOk)
    return code;
  std::string name = verb.name.empty() ? llvm::sys::path::stem(verb.model.model).str() : verb.name;
  options.name = sanitizeIdentifier(name);
  if (!verb.name.empty() && options.name != verb.name)
    return fail(kExitUsage, "--name \"" + verb.name + "\" is no C identifier of up to 40 characters");

  if (options.stage == Stage::Library)
    if (llvm::Error error = checkWritable(verb.out))
      return fail(std::move(error));

  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  auto result = compileModel(&context, verb.model.model, options);
  if (!result)
    return fail(result.takeError());
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
