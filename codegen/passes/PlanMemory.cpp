// SPDX-License-Identifier: Apache-2.0

#include "codegen/Passes.h"
#include "dialects/graph/Graph.h"
#include "dialects/kernel/Kernel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::rt3 {
#define GEN_PASS_DEF_PLANMEMORYPASS
#include "codegen/Passes.h.inc"
} // namespace mlir::rt3

#include <map>

using namespace mlir;
using namespace mlir::rt3;

static constexpr int64_t kAlignment = 64;

// The buffer that a chain of views shows.
static Value rootOf(Value value) {
  while (auto view = value.getDefiningOp<kernel::ViewOp>())
    value = view.getX();
  return value;
}

namespace {

// A buffer in the workspace: alive from the op that fills it to its last use.
struct Life {
  Operation *filler;
  int64_t begin, end; // Positions of ops, both included.
  int64_t size, offset = 0;
};

struct PlanMemory : rt3::impl::PlanMemoryPassBase<PlanMemory> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    maxLength = 1;
    if (auto attribute = module->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr))
      maxLength = attribute.getInt();
    planState(module);
    for (auto function : module.getOps<func::FuncOp>())
      plan(function);
    int64_t offset = 0;
    for (auto weights : module.getOps<kernel::WeightsOp>()) {
      weights.setOffset(offset);
      offset = llvm::alignTo(offset + weights.getData().getNumElements(), kAlignment);
    }
  }

  // A slot has one place in all functions, which continue each other's texts.
  void planState(ModuleOp module) {
    std::map<int64_t, int64_t> sizes, offsets; // By slot.
    module.walk([&](kernel::AppendOp op) { sizes[op.getSlot()] = kernel::bufferSize(op.getType(), maxLength); });
    int64_t total = 0;
    for (auto [slot, size] : sizes) {
      offsets[slot] = total;
      total += llvm::alignTo(size, kAlignment);
    }
    module.walk([&](kernel::AppendOp op) {
      op.setPlaceAttr(kernel::PlaceAttr::get(&getContext(), kernel::Memory::State, offsets[op.getSlot()]));
    });
    if (total != 0)
      module->setAttr(kernel::kStateSizeAttr, IntegerAttr::get(IntegerType::get(&getContext(), 64), total));
  }

  void plan(func::FuncOp function) {
    MLIRContext *context = &getContext();
    llvm::DenseMap<Value, int64_t> lastUse;
    llvm::DenseMap<Operation *, int64_t> position;
    int64_t next = 0;
    for (Operation &op : function.getBody().front()) {
      position[&op] = next;
      for (Value operand : op.getOperands())
        lastUse[rootOf(operand)] = next;
      ++next;
    }
    llvm::DenseSet<Value> isOutput;
    for (auto [index, value] : llvm::enumerate(function.getBody().front().getTerminator()->getOperands())) {
      Value root = rootOf(value);
      isOutput.insert(root);
      root.getDefiningOp()->setAttr("place", kernel::PlaceAttr::get(context, kernel::Memory::Output, index));
    }
    SmallVector<Life> lives;
    for (Operation &op : function.getBody().front()) {
      if (op.getNumResults() != 1 || isa<kernel::ViewOp, kernel::ConstantOp, kernel::AppendOp>(op) ||
          isOutput.contains(op.getResult(0)))
        continue;
      Value result = op.getResult(0);
      int64_t size = kernel::bufferSize(cast<kernel::BufferType>(result.getType()), maxLength);
      int64_t begin = position[&op];
      lives.push_back({&op, begin, std::max(begin, lastUse.lookup(result)), int64_t(llvm::alignTo(size, kAlignment))});
    }
    // Largest first, each at the lowest offset where no buffer alive at the same
    // time lies.
    SmallVector<Life *> bySize;
    for (Life &life : lives)
      bySize.push_back(&life);
    llvm::sort(bySize, [](Life *a, Life *b) { return std::tie(b->size, a->begin) < std::tie(a->size, b->begin); });
    SmallVector<Life *> placed;
    int64_t total = 0;
    for (Life *life : bySize) {
      SmallVector<Life *> others;
      for (Life *other : placed)
        if (other->begin <= life->end && life->begin <= other->end)
          others.push_back(other);
      llvm::sort(others, [](Life *a, Life *b) { return a->offset < b->offset; });
      for (Life *other : others) {
        if (life->offset + life->size <= other->offset)
          break;
        life->offset = std::max(life->offset, other->offset + other->size);
      }
      placed.push_back(life);
      total = std::max(total, life->offset + life->size);
      life->filler->setAttr("place", kernel::PlaceAttr::get(context, kernel::Memory::Workspace, life->offset));
    }
    function->setAttr(kernel::kWorkspaceSizeAttr, IntegerAttr::get(IntegerType::get(context, 64), total));
  }

  int64_t maxLength;
};

} // namespace
