// SPDX-License-Identifier: Apache-2.0

#include "codegen/predict/BlockCycles.h"

#include "codegen/predict/BlockCounter.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/MC/MCAsmInfo.h"
#include "llvm/MC/MCContext.h"
#include "llvm/MC/MCInstrAnalysis.h"
#include "llvm/MC/MCInstrInfo.h"
#include "llvm/MC/MCObjectFileInfo.h"
#include "llvm/MC/MCParser/MCAsmParser.h"
#include "llvm/MC/MCParser/MCTargetAsmParser.h"
#include "llvm/MC/MCRegisterInfo.h"
#include "llvm/MC/MCStreamer.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/MCTargetOptions.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/MCA/Context.h"
#include "llvm/MCA/InstrBuilder.h"
#include "llvm/MCA/Pipeline.h"
#include "llvm/MCA/SourceMgr.h"
#include "llvm/MCA/Support.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Triple.h"

#include <map>

using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;
using llvm::StringRef;

// Runs in a row; the first ones, while the pipeline fills, do not count.
static constexpr unsigned kRuns = 40, kFirstRuns = 10;
// What llvm-mca takes for a call that it cannot look into.
static constexpr unsigned kCallLatency = 100;

namespace {

// The lines of one block.
struct Part {
  size_t number;     // Of the IR's block.
  bool isPreheader;  // Or that is the first of a loop that this one comes before.
  size_t begin, end; // Places in the text.
  std::vector<llvm::MCInst> instructions;
  std::string text; // Of the instructions alone: equal blocks take equally long.
};

// Keeps instructions and the places where they were written.
class Recorder : public llvm::MCStreamer {
public:
  Recorder(llvm::MCContext &context, const llvm::MCInstrInfo &descriptions, std::vector<Part> &parts, const char *text)
      : MCStreamer(context), descriptions(descriptions), parts(parts), text(text) {}

  void emitInstruction(const llvm::MCInst &instruction, const llvm::MCSubtargetInfo &) override {
    // The model knows nothing of where these go, and there are few.
    const llvm::MCInstrDesc &description = descriptions.get(instruction.getOpcode());
    if (description.isCall() || description.isReturn())
      return;
    size_t place = instruction.getLoc().getPointer() - text;
    while (current < parts.size() && place >= parts[current].end)
      ++current;
    if (current < parts.size() && place >= parts[current].begin)
      parts[current].instructions.push_back(instruction);
  }
  bool emitSymbolAttribute(llvm::MCSymbol *, llvm::MCSymbolAttr) override { return true; }
  void emitCommonSymbol(llvm::MCSymbol *, uint64_t, llvm::Align) override {}
  void emitZerofill(llvm::MCSection *, llvm::MCSymbol *, uint64_t, llvm::Align, llvm::SMLoc) override {}

private:
  const llvm::MCInstrInfo &descriptions;
  std::vector<Part> &parts;
  const char *text;
  size_t current = 0;
};

} // namespace

// Assembly names the IR's block in a comment behind each label, or behind the number of a block
// without one.
static std::vector<Part> findParts(StringRef assembly, StringRef comment) {
  std::vector<Part> parts;
  bool isOpen = false;
  for (size_t at = 0; at < assembly.size();) {
    size_t end = std::min(assembly.find('\n', at), assembly.size());
    StringRef line = assembly.slice(at, end);
    bool isLabel = !line.starts_with("\t") && line.split(comment).first.contains(':');
    bool isUnlabelled = line.starts_with((comment + " %bb.").str());
    if (isLabel || isUnlabelled) {
      isOpen = false;
      StringRef name = line.rsplit('%').second.trim();
      // Code generation makes blocks before loops anew that had become empty.
      bool isPreheader = name.consume_back(".preheader");
      if (auto number = blockNumber(name)) {
        parts.push_back({*number, isPreheader, end, assembly.size(), {}, {}});
        isOpen = true;
      }
    } else if (isOpen && line.starts_with("\t.cfi_endproc")) {
      isOpen = false;
    }
    if (isOpen) {
      parts.back().end = end + 1;
      StringRef code = line.split(comment).first.trim();
      if (line.starts_with("\t") && !code.empty() && !code.starts_with("."))
        parts.back().text += (code + "\n").str();
    }
    at = end + 1;
  }
  return parts;
}

struct BlockCycles::Machine {
  llvm::MCTargetOptions options;
  std::unique_ptr<llvm::MCRegisterInfo> registers;
  std::unique_ptr<llvm::MCAsmInfo> syntax;
  std::unique_ptr<llvm::MCInstrInfo> instructions;
  std::unique_ptr<llvm::MCInstrAnalysis> analysis;
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget;
  std::unique_ptr<llvm::MCContext> context;
  std::unique_ptr<llvm::MCObjectFileInfo> objects;
  llvm::SourceMgr sources;
  std::vector<Part> parts;
  std::vector<Block> blocks;
  llvm::StringMap<Cycles> known; // By a block's text.

  using Sequence = std::vector<std::unique_ptr<llvm::mca::Instruction>>;
  Expected<Cycles> simulate(const Part &part);
  Expected<double> simulate(const Sequence &sequence, unsigned runs);
  double issuedCycles(const Sequence &sequence) const;
};

BlockCycles::BlockCycles(std::unique_ptr<Machine> machine) : machine(std::move(machine)) {}
BlockCycles::~BlockCycles() = default;
const std::vector<BlockCycles::Block> &BlockCycles::blocks() const { return machine->blocks; }

StringRef BlockCycles::text(size_t block) const { return machine->parts[block].text; }

Expected<std::unique_ptr<BlockCycles>> BlockCycles::make(StringRef assembly, StringRef tripleText, StringRef cpu) {
  llvm::InitializeAllTargetInfos();
  llvm::InitializeAllTargetMCs();
  llvm::InitializeAllAsmParsers();
  llvm::Triple triple(tripleText);
  std::string problem;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, problem);
  if (!target)
    return llvm::createStringError(problem);
  auto machine = std::make_unique<Machine>();
  const llvm::MCTargetOptions &options = machine->options;
  // All that any target of ours may use; the CPU says how long it takes.
  StringRef features = triple.isAArch64() ? "+v8.6a,+dotprod,+fullfp16,+i8mm,+bf16" : "";
  machine->registers.reset(target->createMCRegInfo(triple));
  machine->syntax.reset(target->createMCAsmInfo(*machine->registers, triple, options));
  machine->instructions.reset(target->createMCInstrInfo());
  machine->analysis.reset(target->createMCInstrAnalysis(machine->instructions.get()));
  machine->subtarget.reset(target->createMCSubtargetInfo(triple, cpu, features));
  if (!machine->subtarget->isCPUStringValid(cpu) || !machine->subtarget->getSchedModel().hasInstrSchedModel())
    return llvm::createStringError("LLVM has no scheduling model for \"" + cpu + "\" (" + tripleText +
                                   "), the scheduler_model of the device, or tune_cpu of its target");
  machine->sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(assembly), llvm::SMLoc());
  StringRef text = machine->sources.getMemoryBuffer(1)->getBuffer();
  machine->parts = findParts(text, machine->syntax->getCommentString());
  machine->context = std::make_unique<llvm::MCContext>(triple, machine->syntax.get(), machine->registers.get(),
                                                       machine->subtarget.get(), &machine->sources, &options);
  machine->objects.reset(target->createMCObjectFileInfo(*machine->context, /*PIC=*/true));
  machine->context->setObjectFileInfo(machine->objects.get());
  Recorder recorder(*machine->context, *machine->instructions, machine->parts, text.data());
  std::unique_ptr<llvm::MCAsmParser> parser(
      llvm::createMCAsmParser(machine->sources, *machine->context, recorder, *machine->syntax));
  std::unique_ptr<llvm::MCTargetAsmParser> targetParser(
      target->createMCAsmParser(*machine->subtarget, *parser, *machine->instructions, options));
  // Its streamer must exist for the target's own directives.
  target->createNullTargetStreamer(recorder);
  parser->setTargetParser(*targetParser);
  if (parser->Run(/*NoInitialTextSection=*/false))
    return llvm::createStringError("LLVM cannot read its own assembly");
  for (const Part &part : machine->parts) {
    llvm::SmallVector<StringRef> lines;
    StringRef(part.text).split(lines, '\n');
    machine->blocks.push_back(
        {part.number, part.isPreheader, int64_t(part.instructions.size()), llvm::count_if(lines, isProduct)});
  }
  return std::unique_ptr<BlockCycles>(new BlockCycles(std::move(machine)));
}

Expected<BlockCycles::Cycles> BlockCycles::Machine::simulate(const Part &part) {
  llvm::mca::InstrumentManager instruments(*subtarget, *instructions);
  llvm::mca::InstrBuilder builder(*subtarget, *instructions, *registers, analysis.get(), instruments, kCallLatency);
  Sequence sequence;
  for (const llvm::MCInst &instruction : part.instructions) {
    auto lowered = builder.createInstruction(instruction, {});
    if (!lowered)
      return lowered.takeError();
    sequence.push_back(std::move(*lowered));
  }
  auto first = simulate(sequence, kFirstRuns);
  if (!first)
    return first.takeError();
  auto all = simulate(sequence, kRuns);
  if (!all)
    return all.takeError();
  double cycles = (*all - *first) / (kRuns - kFirstRuns);
  return Cycles{cycles, subtarget->getSchedModel().isOutOfOrder() ? std::min(cycles, issuedCycles(sequence)) : cycles};
}

// As llvm-mca finds its "Block RThroughput".
double BlockCycles::Machine::issuedCycles(const Sequence &sequence) const {
  const llvm::MCSchedModel &model = subtarget->getSchedModel();
  llvm::SmallVector<uint64_t> masks(model.getNumProcResourceKinds());
  llvm::mca::computeProcResourceMasks(model, masks);
  std::map<uint64_t, unsigned> kinds; // By mask.
  for (unsigned kind = 1; kind < masks.size(); ++kind)
    kinds[masks[kind]] = kind;
  llvm::SmallVector<unsigned> usage(masks.size(), 0);
  unsigned microOps = 0;
  for (const auto &instruction : sequence) {
    microOps += instruction->getNumMicroOps();
    for (const auto &[mask, use] : instruction->getDesc().Resources)
      usage[kinds.at(mask)] += use.size();
  }
  return llvm::mca::computeBlockRThroughput(model, model.IssueWidth, microOps, usage);
}

// Cycles of `runs` runs.
Expected<double> BlockCycles::Machine::simulate(const Sequence &sequence, unsigned runs) {
  llvm::mca::CircularSourceMgr source(sequence, runs);
  llvm::mca::CustomBehaviour behaviour(*subtarget, source, *instructions);
  llvm::mca::Context simulation(*registers, *subtarget);
  llvm::mca::PipelineOptions options(0, 0, 0, 0, 0, 0, /*NoAlias=*/true);
  auto pipeline = subtarget->getSchedModel().isOutOfOrder()
                      ? simulation.createDefaultPipeline(options, source, behaviour)
                      : simulation.createInOrderPipeline(options, source, behaviour);
  auto cycles = pipeline->run();
  if (!cycles)
    return cycles.takeError();
  return double(*cycles);
}

Expected<BlockCycles::Cycles> BlockCycles::cycles(size_t block) {
  const Part &part = machine->parts[block];
  if (part.instructions.empty())
    return Cycles{0, 0};
  if (auto known = machine->known.find(part.text); known != machine->known.end())
    return known->second;
  auto found = machine->simulate(part);
  if (found)
    machine->known[part.text] = *found;
  return found;
}
