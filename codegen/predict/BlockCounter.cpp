// SPDX-License-Identifier: Apache-2.0

#include "codegen/predict/BlockCounter.h"

#include "dialects/kernel/Kernel.h"
#include "llvm/Analysis/AssumptionCache.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Analysis/ValueTracking.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Transforms/Scalar/ADCE.h"
#include "llvm/Transforms/Utils/BasicBlockUtils.h"

using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

// Bytes behind a buffer, for vectors that reach over its end.
static constexpr size_t kSlack = 256;
// Of what runs before the first op.
static constexpr int64_t kNoOp = -1;
static constexpr llvm::StringLiteral kCounts = "rt3_counts";

void mlir::rt3::nameBlocks(llvm::Module &module) {
  size_t number = 0;
  // Names that are taken would get a number of their own behind ours.
  for (llvm::Function &function : module)
    for (llvm::BasicBlock &block : function)
      block.setName("");
  for (llvm::Function &function : module) {
    if (!function.isDeclaration())
      llvm::SplitAllCriticalEdges(function);
    for (llvm::BasicBlock &block : function)
      block.setName("b" + llvm::Twine(number++));
  }
}

std::optional<size_t> mlir::rt3::blockNumber(llvm::StringRef name) {
  size_t number;
  if (!name.consume_front("b") || name.getAsInteger(10, number))
    return std::nullopt;
  return number;
}

// Blocks before innermost loops of unknown trip count; and those before each loop, by the
// number of its first.
static void findLoopEntries(llvm::Function &function, std::vector<size_t> &entries,
                            std::map<size_t, std::vector<size_t>> &before) {
  llvm::DominatorTree dominators(function);
  llvm::LoopInfo loops(dominators);
  llvm::AssumptionCache assumptions(function);
  llvm::TargetLibraryInfoImpl libraryInfo(function.getParent()->getTargetTriple());
  llvm::TargetLibraryInfo library(libraryInfo);
  llvm::ScalarEvolution evolution(function, library, assumptions, dominators, loops);
  for (llvm::Loop *loop : loops.getLoopsInPreorder()) {
    auto header = blockNumber(loop->getHeader()->getName());
    for (llvm::BasicBlock *block : llvm::predecessors(loop->getHeader()))
      if (auto number = blockNumber(block->getName()); header && number && !loop->contains(block))
        before[*header].push_back(*number);
    if (!loop->isInnermost() || evolution.getSmallConstantTripCount(loop) != 0)
      continue;
    for (llvm::BasicBlock *block : llvm::predecessors(loop->getHeader()))
      if (!loop->contains(block))
        if (auto number = blockNumber(block->getName()))
          entries.push_back(*number);
  }
}

// Removes what has an effect beyond registers, but for calls of functions.
static void removeEffects(llvm::Module &module) {
  for (llvm::Function &function : module) {
    // Of another CPU than this one.
    for (llvm::StringRef name : {"target-cpu", "tune-cpu", "target-features", "prefer-vector-width"})
      function.removeFnAttr(name);
    for (llvm::Instruction &instruction : llvm::make_early_inc_range(llvm::instructions(function))) {
      auto *call = llvm::dyn_cast<llvm::CallInst>(&instruction);
      bool isEffect = call && call->getType()->isVoidTy() && llvm::isa<llvm::IntrinsicInst>(call);
      if (llvm::isa<llvm::StoreInst>(instruction) || isEffect)
        instruction.eraseFromParent();
    }
  }
}

// Removes what nothing depends on: neither a counter nor where the program goes.
static void removeDeadCode(llvm::Module &module) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::ADCEPass());
  for (llvm::Function &function : module)
    if (!function.isDeclaration())
      passes.run(function, functions);
}

// What is left and cannot be counted, for people; empty: nothing. The target's own instructions, and
// what was stored and is no more.
static std::string findUncountable(llvm::Module &module) {
  for (llvm::Function &function : module)
    for (llvm::Instruction &instruction : llvm::instructions(function))
      if (auto *load = llvm::dyn_cast<llvm::LoadInst>(&instruction))
        if (llvm::isa<llvm::AllocaInst>(llvm::getUnderlyingObject(load->getPointerOperand())))
          return "a variable of " + function.getName().str();
  for (llvm::Function &function : module)
    if (function.isTargetIntrinsic() && !function.use_empty())
      return function.getName().str();
  return {};
}

static void addCounters(llvm::Module &module, size_t blockCount) {
  llvm::LLVMContext &context = module.getContext();
  auto *number = llvm::Type::getInt64Ty(context);
  auto *type = llvm::ArrayType::get(number, blockCount);
  auto *counts = new llvm::GlobalVariable(module, type, /*isConstant=*/false, llvm::GlobalValue::ExternalLinkage,
                                          llvm::ConstantAggregateZero::get(type), kCounts);
  for (llvm::Function &function : module)
    for (llvm::BasicBlock &block : function) {
      llvm::IRBuilder<> b(&block, block.getFirstInsertionPt());
      llvm::Value *place = b.CreateConstInBoundsGEP2_64(type, counts, 0, *blockNumber(block.getName()));
      b.CreateStore(b.CreateAdd(b.CreateLoad(number, place), b.getInt64(1)), place);
    }
}

namespace {

// A run whose blocks are being counted.
struct Counting {
  uint64_t *counts;
  size_t size;
  int64_t op;
  std::map<int64_t, std::vector<uint64_t>> byOp;

  // What has run since the last mark is of its op.
  void finishOp() {
    std::vector<uint64_t> &sums = byOp[op];
    sums.resize(size);
    for (size_t i = 0; i < size; ++i)
      sums[i] += counts[i];
    std::fill_n(counts, size, 0);
  }
};

} // namespace

// Compiled code has no other way to say for whom it calls.
static thread_local Counting *counting;

static void countMark(int64_t op) {
  counting->finishOp();
  counting->op = op;
}

Expected<std::unique_ptr<BlockCounter>> BlockCounter::make(OptimizedProgram program,
                                                           const ProgramDescription &description) {
  std::unique_ptr<BlockCounter> counter(new BlockCounter());
  llvm::Module &module = *program.module;
  for (llvm::Function &function : module) {
    counter->blockCount += function.size();
    if (!function.isDeclaration())
      findLoopEntries(function, counter->entries, counter->before);
  }
  counter->description = description;
  for (const std::string &name : description.levelFunctions)
    module.getFunction(name)->setLinkage(llvm::GlobalValue::ExternalLinkage);
  removeEffects(module);
  addCounters(module, counter->blockCount);
  removeDeadCode(module);
  if (std::string name = findUncountable(module); !name.empty())
    return llvm::createStringError("cannot count blocks: where the program goes depends on " + name);
  auto jit = llvm::orc::LLJITBuilder().create();
  if (!jit)
    return jit.takeError();
  counter->jit = std::move(*jit);
  module.setDataLayout(counter->jit->getDataLayout());
  module.setTargetTriple(counter->jit->getTargetTriple());
  program.machine.reset(); // Its context goes, too.
  llvm::orc::ExecutionSession &session = counter->jit->getExecutionSession();
  if (Error error = counter->jit->getMainJITDylib().define(llvm::orc::absoluteSymbols(
          {{session.intern(kernel::kMarkFunction),
            {llvm::orc::ExecutorAddr::fromPtr(&countMark), llvm::JITSymbolFlags::Exported}}})))
    return std::move(error);
  if (Error error =
          counter->jit->addIRModule(llvm::orc::ThreadSafeModule(std::move(program.module), std::move(program.context))))
    return std::move(error);
  return counter;
}

Expected<std::map<int64_t, std::vector<uint64_t>>> BlockCounter::run(size_t level, rt3_call_t call) {
  auto function = jit->lookup(description.levelFunctions[level]);
  if (!function)
    return function.takeError();
  auto counts = jit->lookup(kCounts);
  if (!counts)
    return counts.takeError();
  // What decides nothing is not computed, but may still be loaded: an argument that a
  // function does not need any more is none the less passed to it.
  size_t largest = 0, count = std::max(description.inputs.size(), description.outputs.size());
  for (const std::vector<TensorDescription> *tensors : {&description.inputs, &description.outputs})
    for (const TensorDescription &tensor : *tensors) {
      size_t size = sizeof(int64_t);
      for (int64_t dim : tensor.dims)
        size *= dim < 0 ? call.length : dim;
      largest = std::max(largest, size);
    }
  std::vector<char> tensor(largest + kSlack), workspace(description.workspaceSize + kSlack),
      state(description.stateSize + kSlack);
  std::vector<void *> tensors(count, tensor.data());
  call.inputs = tensors.data();
  call.outputs = tensors.data();
  call.workspace = workspace.data();
  call.state = state.data();
  call.parallel = nullptr;
  Counting now{counts->toPtr<uint64_t *>(), blockCount, kNoOp, {}};
  std::fill_n(now.counts, blockCount, 0);
  counting = &now;
  function->toPtr<rt3_level_function_t>()(&call);
  counting = nullptr;
  now.finishOp();
  return std::move(now.byOp);
}

BlockCounter::~BlockCounter() = default;
