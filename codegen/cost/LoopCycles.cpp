// SPDX-License-Identifier: Apache-2.0

#include "codegen/cost/LoopCycles.h"

#include "codegen/Pipelines.h"
#include "codegen/emit/EmitObject.h"
#include "codegen/loops/LinearLoops.h"
#include "codegen/predict/BlockCounter.h"
#include "codegen/predict/BlockCycles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/bit.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/IR/Dominators.h"
#include "llvm/Support/FormatVariadic.h"

#include <map>
#include <mutex>
#include <set>

using namespace mlir;
using namespace mlir::rt3;

namespace {

// One loop: of the blocks of a pattern, all of whose rows are one pass, or dense.
struct Loop {
  StreamShape shape;
  int64_t pattern; // 0: dense.
  std::optional<kernel::Dot> dot;

  bool isDense() const { return pattern == 0; }
  // Weights of a block, or of an input.
  int64_t weights() const { return isDense() ? shape.rows : llvm::popcount(uint64_t(pattern)); }
  std::string key() const {
    return llvm::formatv("{0} {1}x{2} {3} {4} {5} {6} {7}", pattern, shape.rows, shape.columns, shape.gathered,
                         shape.valueSize, shape.unroll, shape.isFilled, dot ? stringifyDot(*dot) : "f32");
  }
};

} // namespace

// The rows of one pass of a pattern, as a pattern of these rows alone.
static int64_t passOf(const StreamShape &shape, int64_t pattern, int64_t firstRow) {
  uint64_t result = 0, rows = (uint64_t(1) << shape.pass) - 1;
  for (int64_t c = 0; c < shape.columns; ++c)
    result |= (uint64_t(pattern) >> (c * shape.rows + firstRow) & rows) << (c * shape.pass);
  return result;
}

// Filled loops differ from others by their sets of sums alone.
static bool hasOwnSums(const Device &device, const StreamShape &shape, int64_t pattern) {
  uint64_t rows = 0;
  for (int64_t c = 0; c < shape.columns; ++c)
    rows |= uint64_t(pattern) >> (c * shape.rows) & ((uint64_t(1) << shape.rows) - 1);
  int64_t sums = llvm::popcount(rows) * device.tileVectors;
  return kernel::sumSets(sums, shape.unroll, productsInFlight(device)) > 1;
}

static LogicalResult lower(ModuleOp module) {
  PassManager passes(module.getContext());
  passes.enableVerifier(false);
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  buildLoopsToLlvmPipeline(passes);
  return passes.run(module);
}

// The numbers of each innermost loop's blocks.
static std::vector<std::set<size_t>> innermostLoops(llvm::Function &function) {
  llvm::DominatorTree dominators(function);
  llvm::LoopInfo loops(dominators);
  std::vector<std::set<size_t>> result;
  for (llvm::Loop *loop : loops.getLoopsInPreorder()) {
    if (!loop->isInnermost())
      continue;
    result.emplace_back();
    for (llvm::BasicBlock *block : loop->blocks())
      result.back().insert(*blockNumber(block->getName()));
  }
  return result;
}

// Whether a function keeps the frame pointer of x86, through which it may reach its stack.
static bool hasFrame(StringRef assembly, StringRef name) {
  StringRef text = assembly.split(("\n" + name + ":").str()).second;
  return text.take_front(text.find("\n.Lfunc_end")).contains("\tmovq\t%rsp, %rbp");
}

// A setting of LLVM's that all programs share is changed for each.
static std::mutex llvmMutex;

struct LoopCycles::State {
  Device device;
  std::map<std::string, LoopCost> known;

  llvm::Error measure(const std::vector<Loop> &loops);
  llvm::Error measure(const std::vector<Loop> &loops, const std::vector<std::string> &names,
                      const OptimizedProgram &program);
};

LoopCycles::LoopCycles(const Device &device) : state(new State{device, {}}) {}
LoopCycles::~LoopCycles() = default;

LoopCycles &LoopCycles::of(const Device &device) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<LoopCycles>> all;
  std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<LoopCycles> &own = all[device.name];
  if (!own)
    own.reset(new LoopCycles(device));
  return *own;
}

// In the program's order of machine code. What is known stays unless it uses the stack more.
llvm::Error LoopCycles::State::measure(const std::vector<Loop> &loops, const std::vector<std::string> &names,
                                       const OptimizedProgram &program) {
  auto assembly = emit(program, EmitKind::Assembly, nullptr, /*isVerbose=*/true);
  if (!assembly)
    return assembly.takeError();
  auto code = BlockCycles::make(*assembly, device.triple, device.tuneCpu);
  if (!code)
    return code.takeError();
  const std::vector<BlockCycles::Block> &blocks = (*code)->blocks();
  for (auto [loop, name] : llvm::zip_equal(loops, names)) {
    bool isFramed = hasFrame(*assembly, name);
    // A rest has a loop, too, which multiplies less.
    int64_t most = 0, stackAccesses = 0;
    double cycles = 0;
    for (const std::set<size_t> &own : innermostLoops(*program.module->getFunction(name))) {
      int64_t products = 0;
      double sum = 0;
      for (size_t b = 0; b < blocks.size(); ++b) {
        if (blocks[b].isPreheader || !own.count(blocks[b].number))
          continue;
        products += blocks[b].products;
        SmallVector<StringRef> lines;
        (*code)->text(b).split(lines, '\n');
        stackAccesses += llvm::count_if(lines, [&](StringRef line) { return accessesStack(line, isFramed); });
        auto found = (*code)->cycles(b);
        if (!found)
          return found.takeError();
        sum += found->all;
      }
      if (products > most) {
        most = products;
        cycles = sum;
      }
    }
    if (most == 0)
      return llvm::createStringError("LLVM has left no loop of products in " + name);
    if (auto found = known.find(loop.key()); found != known.end() && found->second.stackAccesses <= stackAccesses)
      continue;
    // As many blocks as LLVM has made of a trip.
    double trips = double(most) / (loop.weights() * device.tileVectors);
    known[loop.key()] = {cycles / trips, stackAccesses};
  }
  return llvm::Error::success();
}

// Builds all loops as one program, so that LLVM is set up once.
llvm::Error LoopCycles::State::measure(const std::vector<Loop> &loops) {
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, scf::SCFDialect, vector::VectorDialect,
                  kernel::KernelDialect>();
  registerTranslations(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  LoopBuilder builder(UnknownLoc::get(&context), &context);
  kernel::TileAttr tile = tileOf(&context, device);
  CallSite site{builder, *module, {}, 1, {}, {}, tile, nullptr, nullptr};
  ProgramDescription description;
  description.name = "loops";
  std::vector<std::string> names;
  for (const Loop &loop : loops) {
    const StreamShape &shape = loop.shape;
    std::vector<int64_t> patterns;
    if (!loop.isDense())
      patterns.push_back(loop.pattern);
    auto stream =
        kernel::StreamAttr::get(&context, FlatSymbolRefAttr::get(&context, "weights"), shape.rows, shape.columns,
                                shape.range, shape.pass, shape.gathered, DenseI64ArrayAttr::get(&context, patterns),
                                DenseI64ArrayAttr(), shape.valueSize, shape.unroll, shape.isFilled);
    func::FuncOp function = getTileKernel(site, tile, stream, loop.dot, device.tileVectors);
    function.setPublic();
    function->setAttr("llvm.linkage", LLVM::LinkageAttr::get(&context, LLVM::Linkage::External));
    names.push_back(function.getName().str());
    for (auto &[precision, products] : device.products)
      if (products.dot == loop.dot)
        description.targetFeatures = products.features;
  }
  if (failed(lower(*module)))
    return llvm::createStringError("the loops of a layer could not be lowered");
  auto program = optimizeProgram(*module, device, description);
  if (!program)
    return program.takeError();
  // Each loop in the order that a program of its own would have, whatever else is measured beside it.
  nameBlocks(*program->module);
  for (bool isOn : {true, false}) {
    program->schedule = Schedule{isOn, {}};
    if (llvm::Error error = measure(loops, names, *program))
      return error;
    if (llvm::none_of(loops, [&](const Loop &loop) { return known[loop.key()].stackAccesses > 0; }))
      break;
  }
  return llvm::Error::success();
}

llvm::Expected<std::vector<LoopCost>> LoopCycles::find(const StreamShape &shape, const std::vector<int64_t> &patterns,
                                                       std::optional<kernel::Dot> dot) {
  std::lock_guard<std::mutex> lock(llvmMutex);
  std::vector<std::string> keys; // One per pattern and pass; empty: nothing is kept.
  std::vector<Loop> missing;
  std::set<std::string> asked;
  auto add = [&](const Loop &loop) {
    keys.push_back(loop.key());
    if (!state->known.count(keys.back()) && asked.insert(keys.back()).second)
      missing.push_back(loop);
  };
  Loop loop{shape, 0, dot};
  loop.shape.range = kernel::kFeatureMultiple; // Of what is outside the loop.
  loop.shape.rows = shape.pass;
  if (patterns.empty())
    add(loop);
  for (int64_t pattern : patterns)
    for (int64_t row = 0; row < shape.rows; row += shape.pass) {
      loop.pattern = passOf(shape, pattern, row);
      if (loop.isDense()) {
        keys.emplace_back();
        continue;
      }
      loop.shape.isFilled = shape.isFilled && hasOwnSums(state->device, loop.shape, loop.pattern);
      add(loop);
    }
  if (!missing.empty())
    if (llvm::Error error = state->measure(missing))
      return std::move(error);
  std::vector<LoopCost> costs;
  for (const std::string &key : keys)
    costs.push_back(key.empty() ? LoopCost() : state->known.at(key));
  return costs;
}
