// SPDX-License-Identifier: Apache-2.0

#include "compiler/interpreter/FoldPositions.h"

#include "compiler/interpreter/Interpreter.h"
#include "dialects/graph/Tokens.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/MathExtras.h"

#include <map>

using namespace mlir;
using namespace mlir::rt3;

static ArrayRef<int64_t> shapeOf(mlir::Value value) { return cast<RankedTensorType>(value.getType()).getShape(); }

static std::vector<int64_t> freeAxes(mlir::Value value) {
  std::vector<int64_t> axes;
  for (auto [axis, size] : llvm::enumerate(shapeOf(value)))
    if (ShapedType::isDynamic(size))
      axes.push_back(axis);
  return axes;
}

// Of one element.
static uint64_t bytesOf(mlir::Value value) {
  return llvm::divideCeil(cast<RankedTensorType>(value.getType()).getElementTypeBitWidth(), 8);
}

static bool differInOnesOnly(mlir::Value a, mlir::Value b) {
  auto core = [](mlir::Value value) {
    return llvm::to_vector(llvm::make_filter_range(shapeOf(value), [](int64_t size) { return size != 1; }));
  };
  return core(a) == core(b);
}

// Whether an element of the result, at given positions, is the same for every length.
static bool isStable(Operation *op) {
  if (graph::isTokenwise(op))
    return true;
  if (auto reshape = dyn_cast<graph::ReshapeOp>(op))
    return differInOnesOnly(reshape.getX(), reshape.getResult());
  return isa<graph::UnaryOp, graph::BinaryOp, graph::SelectOp, graph::CastOp, graph::ExpandOp, graph::TransposeOp>(op);
}

// Whether the op only says again, in another form, what iota or a table says.
static bool isCheap(Operation *op) {
  return isa<graph::IotaOp, graph::CastOp, graph::ReshapeOp, graph::ExpandOp, graph::ConstantOp, graph::GatherOp>(op);
}

namespace {

class PositionFolder {
public:
  PositionFolder(func::FuncOp function, int64_t count, FoldLimits &limits)
      : function(function), count(count), limits(limits) {}

  void run() {
    find();
    // What is replaced, and all that it is computed from.
    SmallVector<Operation *> left;
    llvm::DenseSet<Operation *> needed, frontier;
    for (Operation *op : worthIt)
      if (llvm::any_of(op->getUsers(), [&](Operation *user) { return !known.contains(user); })) {
        frontier.insert(op);
        left.push_back(op);
      }
    while (!left.empty()) {
      Operation *op = left.pop_back_val();
      if (!needed.insert(op).second)
        continue;
      for (mlir::Value operand : op->getOperands())
        left.push_back(operand.getDefiningOp());
    }
    for (Operation &op : llvm::make_early_inc_range(function.getBody().front()))
      if (needed.contains(&op) && evaluate(op) && frontier.contains(&op))
        replace(op);
  }

private:
  // The ops whose results depend on positions alone, and those of them that compute
  // something.
  void find() {
    for (Operation &op : function.getBody().front()) {
      bool fromKnown = llvm::all_of(op.getOperands(), [&](mlir::Value operand) {
        return operand.getDefiningOp() && known.contains(operand.getDefiningOp());
      });
      if (op.getNumResults() != 1 || !fromKnown || !(isa<graph::ConstantOp>(op) || isStable(&op)))
        continue;
      known.insert(&op);
      bool hasTokens = !freeAxes(op.getResult(0)).empty();
      bool inherits = llvm::any_of(op.getOperands(),
                                   [&](mlir::Value operand) { return worthIt.contains(operand.getDefiningOp()); });
      if (hasTokens && (inherits || !isCheap(&op)))
        worthIt.insert(&op);
    }
  }

  // Computes the result for all positions, if its operands have theirs and the
  // limits allow it.
  bool evaluate(Operation &op) {
    std::vector<HostTensor> operands;
    for (mlir::Value operand : op.getOperands()) {
      auto found = values.find(operand.getDefiningOp());
      if (found == values.end())
        return false;
      operands.push_back(found->second);
      if (!isExact(operand, operands.back()) || !isExactReduction(op, operands.back()))
        return false;
    }
    uint64_t elements = 1, inner = 1;
    for (int64_t size : shapeOf(op.getResult(0)))
      elements = llvm::SaturatingMultiply<uint64_t>(elements, ShapedType::isDynamic(size) ? count : size);
    // Sums of products; what an element of another op costs is kElementWork.
    if (isa<graph::MatmulOp, graph::LinearOp>(op))
      inner = operands[0].shape.back();
    uint64_t work = llvm::SaturatingMultiply(elements, std::max(inner, kElementWork));
    if (work > limits.work || elements > limits.resultBytes / bytesOf(op.getResult(0)))
      return false;
    limits.work -= work;
    // The interpreter would take the nearest row.
    if (auto gather = dyn_cast<graph::GatherOp>(op)) {
      int64_t rows = shapeOf(gather.getTable())[gather.getAxis()];
      if (llvm::any_of(operands[1].elements, [&](double index) { return index < -rows || index >= rows; }))
        return false;
    }
    auto result = interpretOp(op, operands, count);
    return result && isExact(op.getResult(0), *result) && values.emplace(&op, std::move(*result)).second;
  }

  void replace(Operation &op) {
    mlir::Value old = op.getResult(0);
    std::vector<int64_t> axes = freeAxes(old);
    if (axes.size() > 2)
      return;
    const HostTensor &tensor = values.at(&op);
    auto type = cast<RankedTensorType>(old.getType());
    uint64_t bytes = tensor.count() * bytesOf(old);
    if (bytes > limits.resultBytes)
      return;
    limits.resultBytes -= bytes;
    OpBuilder builder(&op);
    mlir::Value table =
        materialize(builder, op.getLoc(), RankedTensorType::get(tensor.shape, type.getElementType()), tensor);
    mlir::Value result;
    if (axes.size() == 1) {
      auto positions = RankedTensorType::get({ShapedType::kDynamic}, builder.getI64Type());
      mlir::Value iota = graph::IotaOp::create(builder, op.getLoc(), positions, 0, 1, false);
      result = graph::GatherOp::create(builder, op.getLoc(), type, table, iota, axes[0]);
    } else {
      std::vector<int64_t> zeros(type.getRank(), 0), ones(type.getRank(), 1);
      result = graph::SliceOp::create(builder, op.getLoc(), type, table, zeros, ones);
    }
    // Those that are known too are computed from the values here.
    old.replaceUsesWithIf(result, [&](OpOperand &use) { return !known.contains(use.getOwner()); });
  }

  func::FuncOp function;
  int64_t count;
  FoldLimits &limits;
  llvm::DenseSet<Operation *> known, worthIt;
  std::map<Operation *, HostTensor> values;
};

} // namespace

void mlir::rt3::foldPositions(ModuleOp module, int64_t count, FoldLimits &limits) {
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isDeclaration())
      PositionFolder(function, count, limits).run();
}
