// SPDX-License-Identifier: Apache-2.0

#include "codegen/emit/EmitObject.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/CGSCCPassManager.h"
#include "llvm/Analysis/LoopAnalysisManager.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/MCAsmBackend.h"
#include "llvm/MC/MCCodeEmitter.h"
#include "llvm/MC/MCContext.h"
#include "llvm/MC/MCObjectFileInfo.h"
#include "llvm/MC/MCObjectWriter.h"
#include "llvm/MC/MCParser/MCAsmParser.h"
#include "llvm/MC/MCParser/MCTargetAsmParser.h"
#include "llvm/MC/MCStreamer.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace mlir;
using namespace mlir::rt3;

void mlir::rt3::registerTranslations(DialectRegistry &registry) {
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
}

static void initializeTargets() {
  static const bool done = [] {
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    return true;
  }();
  (void)done;
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
}

// LLVM's machine scheduler moves loads up, which in some kernels needs more registers
// than there are. It has no switch but its command-line option.
static void setMachineScheduler(bool isOn) {
  auto &options = llvm::cl::getRegisteredOptions();
  auto found = options.find("enable-misched");
  assert(found != options.end() && "LLVM has renamed the option");
  found->second->reset();
  if (!isOn)
    found->second->addOccurrence(0, "enable-misched", "false");
}

static llvm::Error writeAssembly(const OptimizedProgram &program, bool isMachineScheduled, bool isVerbose,
                                 llvm::SmallVectorImpl<char> &buffer) {
  setMachineScheduler(isMachineScheduled);
  llvm::raw_svector_ostream stream(buffer);
  llvm::legacy::PassManager passes;
  llvm::TargetMachine &machine = *program.machine;
  machine.Options.MCOptions.AsmVerbose = isVerbose;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::AssemblyFile))
    return llvm::createStringError("LLVM cannot write assembly for " + machine.getTargetTriple().str());
  passes.run(*llvm::CloneModule(*program.module)); // Generating code changes a module.
  return llvm::Error::success();
}

namespace {
struct ScheduledAssembly {
  Schedule schedule;
  llvm::SmallVector<char, 0> text;
};
} // namespace

// The scheduler is turned off for code whose loops use the stack less without it.
static llvm::Expected<ScheduledAssembly> findSchedule(const OptimizedProgram &program) {
  ScheduledAssembly best;
  for (bool isOn : {true, false}) {
    llvm::SmallVector<char, 0> text;
    if (llvm::Error error = writeAssembly(program, isOn, /*isVerbose=*/false, text))
      return std::move(error);
    LoopCounts found = countLoops(StringRef(text.data(), text.size()));
    if (isOn || found.stackAccesses < best.schedule.loops.stackAccesses)
      best = {{isOn, found}, std::move(text)};
    if (best.schedule.loops.stackAccesses == 0)
      break;
  }
  return best;
}

// Makes an object file of what writeAssembly() has written: generating the code once more would take
// many times as long. LLVM's own objects may be padded otherwise where a function is tuned for another CPU than
// the machine; the instructions are the same. `assembly` gets the zero that the parser ends at.
static llvm::Error assemble(llvm::SmallVectorImpl<char> &assembly, const llvm::TargetMachine &machine,
                            llvm::SmallVectorImpl<char> &buffer) {
  const llvm::Target &target = machine.getTarget();
  const llvm::Triple &triple = machine.getTargetTriple();
  const llvm::MCSubtargetInfo &subtarget = *machine.getMCSubtargetInfo();
  const llvm::MCInstrInfo &instructions = *machine.getMCInstrInfo();
  const llvm::MCTargetOptions &options = machine.Options.MCOptions;
  llvm::SourceMgr sources;
  std::string messages;
  sources.setDiagHandler(
      [](const llvm::SMDiagnostic &diagnostic, void *all) {
        *static_cast<std::string *>(all) += ("\n  " + diagnostic.getMessage()).str();
      },
      &messages);
  assembly.push_back('\0');
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(StringRef(assembly.data(), assembly.size() - 1)),
                             llvm::SMLoc());
  llvm::MCContext context(triple, machine.getMCAsmInfo(), machine.getMCRegisterInfo(), &subtarget, &sources, &options);
  std::unique_ptr<llvm::MCObjectFileInfo> sections(target.createMCObjectFileInfo(context, /*PIC=*/true));
  context.setObjectFileInfo(sections.get());
  std::unique_ptr<llvm::MCAsmBackend> backend(
      target.createMCAsmBackend(subtarget, *machine.getMCRegisterInfo(), options));
  std::unique_ptr<llvm::MCCodeEmitter> encoder(target.createMCCodeEmitter(instructions, context));
  llvm::raw_svector_ostream stream(buffer);
  std::unique_ptr<llvm::MCObjectWriter> writer = backend->createObjectWriter(stream);
  std::unique_ptr<llvm::MCStreamer> streamer(target.createMCObjectStreamer(
      triple, context, std::move(backend), std::move(writer), std::move(encoder), subtarget));
  std::unique_ptr<llvm::MCAsmParser> parser(
      llvm::createMCAsmParser(sources, context, *streamer, *machine.getMCAsmInfo()));
  std::unique_ptr<llvm::MCTargetAsmParser> syntax(target.createMCAsmParser(subtarget, *parser, instructions, options));
  parser->setTargetParser(*syntax);
  if (parser->Run(/*NoInitialTextSection=*/false))
    return llvm::createStringError("LLVM cannot assemble what it wrote for " + triple.str() + ":" + messages);
  return llvm::Error::success();
}

llvm::Error mlir::rt3::chooseSchedule(OptimizedProgram &program) {
  auto found = findSchedule(program);
  if (!found)
    return found.takeError();
  program.schedule = found->schedule;
  return llvm::Error::success();
}

bool mlir::rt3::isProduct(StringRef line) {
  StringRef name = line.trim().split('\t').first;
  return llvm::any_of(ArrayRef<StringRef>{"fma", "fmla", "vfm", "dot", "smmla", "vpdp", "vdpbf", "pmadd", "mla"},
                      [&](StringRef word) { return name.contains(word); });
}

bool mlir::rt3::accessesStack(StringRef line, bool hasFrame) {
  return line.contains("[sp") || line.contains("(%rsp") || (hasFrame && line.contains("(%rbp"));
}

LoopCounts mlir::rt3::countLoops(StringRef assembly) {
  LoopCounts counts;
  StringRef label;
  int64_t stackAccesses = 0;
  bool multiplies = false;
  auto begin = [&](StringRef name) {
    label = name;
    stackAccesses = 0;
    multiplies = false;
  };
  bool isX86 = assembly.contains("%r"), hasFrame = false;
  llvm::SmallVector<StringRef> lines;
  assembly.split(lines, '\n');
  for (StringRef line : lines) {
    StringRef comment = isX86 ? "#" : "//";
    if (line.trim().starts_with(comment) && !line.contains("%bb.")) // What verbose assembly says of loops.
      continue;
    if (!line.starts_with("\t")) {
      if (line.contains(':'))
        begin(line.split(':').first);
      hasFrame &= !line.starts_with(".Lfunc_end");
      continue;
    }
    line = line.split(comment).first.trim();
    if (line.starts_with(".")) {
      hasFrame &= !line.starts_with(".cfi_endproc");
      continue;
    }
    hasFrame |= line.starts_with("movq\t%rsp, %rbp");
    multiplies |= isProduct(line);
    stackAccesses += accessesStack(line, hasFrame);
    // A branch to where its block begins.
    if (label.empty() || !line.ends_with(label) ||
        !(line.starts_with("b") || line.starts_with("cb") || line.starts_with("tb") || line.starts_with("j")))
      continue;
    if (multiplies) {
      ++counts.loops;
      counts.loopsWithStack += stackAccesses != 0;
      counts.stackAccesses += stackAccesses;
    }
    begin({});
  }
  return counts;
}

llvm::Expected<OptimizedProgram> mlir::rt3::optimizeProgram(ModuleOp module, const Device &device,
                                                            const ProgramDescription &program) {
  initializeTargets();
  OptimizedProgram result;
  result.context = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> llvmModule = translateModuleToLLVMIR(module, *result.context, program.name);
  if (!llvmModule)
    return llvm::createStringError("the LLVM dialect could not be translated to LLVM IR");

  llvm::Triple triple(device.triple);
  std::string error;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return llvm::createStringError("no LLVM target for " + device.triple + ": " + error);
  std::string features = program.targetFeatures;
  if (!device.tuneFeatures.empty())
    features += (features.empty() ? "" : ",") + device.tuneFeatures;
  llvm::TargetOptions options;
  options.FunctionSections = true;
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      triple, device.cpu, features, options, llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  llvmModule->setTargetTriple(triple);
  llvmModule->setDataLayout(machine->createDataLayout());
  for (llvm::Function &function : *llvmModule) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", device.cpu);
    function.addFnAttr("tune-cpu", device.tuneCpu);
    if (!features.empty())
      function.addFnAttr("target-features", features);
    // Loops must not become calls of memset: the library depends on nothing.
    function.addFnAttr("no-builtins");
    function.addFnAttr(llvm::Attribute::NoUnwind);
    // LLVM prefers 256 bits on some CPUs whose 512-bit tile we have chosen.
    if (device.lanes == 16)
      function.addFnAttr("prefer-vector-width", "512");
  }
  emitProgram(*llvmModule, program);
  llvm::raw_string_ostream errors(error);
  if (llvm::verifyModule(*llvmModule, &errors))
    return llvm::createStringError("the generated LLVM IR is not valid: " + error);
  optimize(*llvmModule, *machine);
  result.module = std::move(llvmModule);
  result.machine = std::move(machine);
  return result;
}

llvm::Expected<std::string> mlir::rt3::emit(const OptimizedProgram &program, EmitKind kind, LoopCounts *counts,
                                            bool isVerbose) {
  llvm::SmallVector<char, 0> buffer;
  if (kind == EmitKind::LlvmIr) {
    llvm::raw_svector_ostream(buffer) << *program.module;
    return std::string(buffer.begin(), buffer.end());
  }
  ScheduledAssembly code;
  if (program.schedule) {
    code.schedule = *program.schedule;
  } else {
    auto found = findSchedule(program);
    if (!found)
      return found.takeError();
    code = std::move(*found);
  }
  if (program.schedule || isVerbose) {
    code.text.clear();
    if (llvm::Error error = writeAssembly(program, code.schedule.isMachineScheduled, isVerbose, code.text))
      return std::move(error);
  }
  if (counts)
    *counts = code.schedule.loops;
  if (kind == EmitKind::Assembly)
    return std::string(code.text.begin(), code.text.end());
  if (llvm::Error error = assemble(code.text, *program.machine, buffer))
    return std::move(error);
  return std::string(buffer.begin(), buffer.end());
}
