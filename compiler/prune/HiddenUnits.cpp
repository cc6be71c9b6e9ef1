// SPDX-License-Identifier: Apache-2.0

#include "compiler/prune/HiddenUnits.h"

#include "mlir/IR/Builders.h"

#include <Eigen/Core>

#include <algorithm>
#include <numeric>

using namespace mlir;
using namespace mlir::rt3;

// Outputs that a register of a kernel holds, and that patterns and block pruning group.
static constexpr int64_t kGroup = 8;

// On the first producer.
static constexpr llvm::StringLiteral kOrderAttr = "rt3_graph.order";

// The layer that gives `value`, if nothing else uses it and it adds nothing of its own order.
static graph::LinearOp producerOf(mlir::Value value) {
  auto op = value.getDefiningOp<graph::LinearOp>();
  bool fits = op && value.hasOneUse() && !op.getResidual() && graph::constantValue(op.getWeights()) &&
              (!op.getBias() || graph::constantValue(op.getBias()));
  return fits ? op : graph::LinearOp();
}

static int64_t outputsOf(graph::LinearOp op) { return cast<RankedTensorType>(op.getWeights().getType()).getDimSize(1); }

// The one layer that reads `value` and does nothing else with it.
static graph::LinearOp consumerOf(mlir::Value value) {
  if (!value.hasOneUse())
    return {};
  auto op = dyn_cast<graph::LinearOp>(*value.getUsers().begin());
  return op && op.getX() == value && op.getResidual() != value && graph::constantValue(op.getWeights())
             ? op
             : graph::LinearOp();
}

// The layers whose units, one by one, make those of `value`: one, or two that are multiplied.
static std::vector<graph::LinearOp> unitProducers(mlir::Value value) {
  if (graph::LinearOp op = producerOf(value))
    return {op};
  auto product = value.getDefiningOp<graph::BinaryOp>();
  if (!product || !value.hasOneUse() || product.getKind() != graph::BinaryKind::Mul ||
      product.getLhs().getType() != product.getRhs().getType())
    return {};
  std::vector<graph::LinearOp> result;
  for (mlir::Value factor : {product.getLhs(), product.getRhs()}) {
    if (auto unary = factor.getDefiningOp<graph::UnaryOp>(); unary && factor.hasOneUse())
      factor = unary.getX();
    graph::LinearOp op = producerOf(factor);
    if (!op)
      return {};
    result.push_back(op);
  }
  return result;
}

std::vector<HiddenUnits> mlir::rt3::findHiddenUnits(func::FuncOp function) {
  std::vector<HiddenUnits> result;
  function.walk([&](Operation *op) {
    if (auto attention = dyn_cast<graph::AttentionOp>(op)) {
      graph::LinearOp q = producerOf(attention.getQ()), k = producerOf(attention.getK()),
                      v = producerOf(attention.getV());
      graph::LinearOp out = consumerOf(attention.getResult());
      if (graph::keyHeads(attention) != int64_t(attention.getHeads()))
        return;
      auto size = [&](graph::LinearOp layer) { return outputsOf(layer) / int64_t(attention.getHeads()); };
      if (q && k && outputsOf(q) == outputsOf(k))
        result.push_back({{q, k}, {}, outputsOf(q), size(q)});
      if (v && out)
        result.push_back({{v}, {out}, outputsOf(v), size(v)});
    } else if (auto consumer = dyn_cast<graph::LinearOp>(op); consumer && consumerOf(consumer.getX()) == consumer) {
      std::vector<graph::LinearOp> producers = unitProducers(consumer.getX());
      if (!producers.empty())
        result.push_back({producers, {consumer}, outputsOf(producers[0]), outputsOf(producers[0])});
    }
  });
  return result;
}

// A constant with rows (axis 0) or columns (the last axis) in another order.
static mlir::Value reordered(graph::LinearOp op, mlir::Value constant, llvm::ArrayRef<int32_t> order, bool isRows) {
  std::vector<float> values = graph::floatElements(graph::constantValue(constant)), moved(values.size());
  auto type = cast<RankedTensorType>(constant.getType());
  int64_t columns = type.getShape().back(), rows = values.size() / columns;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      moved[row * columns + column] =
          isRows ? values[order[row] * columns + column] : values[row * columns + order[column]];
  OpBuilder builder(op);
  return graph::ConstantOp::create(
      builder, constant.getLoc(),
      graph::makeResource(type, "reordered",
                          llvm::ArrayRef(reinterpret_cast<const char *>(moved.data()), 4 * moved.size())));
}

void mlir::rt3::permute(const HiddenUnits &units, llvm::ArrayRef<int32_t> order) {
  for (graph::LinearOp op : units.producers) {
    op.getWeightsMutable().assign(reordered(op, op.getWeights(), order, /*isRows=*/false));
    if (op.getBias())
      op.getBiasMutable().assign(reordered(op, op.getBias(), order, /*isRows=*/false));
  }
  for (graph::LinearOp op : units.consumers)
    op.getWeightsMutable().assign(reordered(op, op.getWeights(), order, /*isRows=*/true));
  graph::LinearOp first = units.producers.front();
  std::vector<int32_t> whole(order);
  if (llvm::ArrayRef<int32_t> before = orderOf(units); !before.empty())
    for (int32_t &unit : whole)
      unit = before[unit];
  first->setAttr(kOrderAttr, DenseI32ArrayAttr::get(first.getContext(), whole));
}

llvm::ArrayRef<int32_t> mlir::rt3::orderOf(const HiddenUnits &units) {
  graph::LinearOp first = units.producers.front();
  auto attribute = first->getAttrOfType<DenseI32ArrayAttr>(kOrderAttr);
  return attribute ? attribute.asArrayRef() : llvm::ArrayRef<int32_t>();
}

bool mlir::rt3::isOrder(const HiddenUnits &units, llvm::ArrayRef<int32_t> order) {
  std::vector<bool> seen(units.count, false);
  if (int64_t(order.size()) != units.count)
    return false;
  for (auto [place, unit] : llvm::enumerate(order)) {
    if (unit < 0 || unit >= units.count || seen[unit] || unit / units.block != int64_t(place) / units.block)
      return false;
    seen[unit] = true;
  }
  return true;
}

std::vector<int32_t> mlir::rt3::chooseOrder(const HiddenUnits &units, llvm::ArrayRef<Saliency> saliencies,
                                            double density) {
  int64_t inputs = 0;
  for (const Saliency &saliency : saliencies)
    inputs += saliency.inputs;
  Eigen::MatrixXf features(inputs, units.count);
  int64_t begin = 0;
  for (const Saliency &saliency : saliencies) {
    std::vector<float> sorted = saliency.values;
    auto threshold = sorted.begin() + std::min<int64_t>(sorted.size() - 1, density * sorted.size());
    std::nth_element(sorted.begin(), threshold, sorted.end(), std::greater<float>());
    float most = std::max(*threshold, 1e-30f);
    for (int64_t k = 0; k < saliency.inputs; ++k)
      for (int64_t n = 0; n < units.count; ++n)
        features(begin + k, n) = std::min(saliency.at(k, n) / most, 1.0f);
    begin += saliency.inputs;
  }
  Eigen::VectorXf lengths = features.colwise().norm().cwiseMax(1e-30f);
  std::vector<int32_t> order;
  for (int64_t first = 0; first < units.count; first += units.block) {
    std::vector<int32_t> left(units.block);
    std::iota(left.begin(), left.end(), first);
    Eigen::VectorXf group;
    while (!left.empty()) {
      bool isNew = (order.size() - first) % kGroup == 0;
      auto best = std::max_element(left.begin(), left.end(), [&](int32_t a, int32_t b) {
        auto likeness = [&](int32_t unit) {
          return isNew ? lengths[unit] : features.col(unit).dot(group) / lengths[unit];
        };
        return likeness(a) < likeness(b);
      });
      group = isNew ? Eigen::VectorXf(features.col(*best)) : Eigen::VectorXf(group + features.col(*best));
      order.push_back(*best);
      left.erase(best);
    }
  }
  return order;
}

void mlir::rt3::reorderHiddenUnits(func::FuncOp function, const LevelPlan &plan, const ImportanceSource &importance,
                                   Calibration &calibration) {
  for (const HiddenUnits &units : findHiddenUnits(function)) {
    std::vector<Saliency> saliencies;
    for (graph::LinearOp op : units.producers)
      if (auto known = importance(op))
        saliencies.push_back(std::move(known->saliency));
    if (saliencies.size() != units.producers.size())
      continue;
    std::vector<int32_t> order = chooseOrder(units, saliencies, sparsestDensity(plan));
    permute(units, order);
    for (graph::LinearOp op : units.consumers) {
      auto found = calibration.find(op);
      if (found == calibration.end())
        continue;
      auto moved = std::make_shared<InputMoments>(*found->second);
      for (int64_t i = 0; i < units.count; ++i) {
        for (int64_t j = 0; j < units.count; ++j)
          moved->sums[i * units.count + j] = found->second->sums[int64_t(order[i]) * units.count + order[j]];
        if (!moved->means.empty())
          moved->means[i] = found->second->means[order[i]];
      }
      found->second = moved;
    }
  }
}

llvm::DenseMap<Operation *, LayerOrders> mlir::rt3::layerOrders(func::FuncOp function) {
  llvm::DenseMap<Operation *, LayerOrders> result;
  for (const HiddenUnits &units : findHiddenUnits(function)) {
    llvm::ArrayRef<int32_t> order = orderOf(units);
    if (order.empty())
      continue;
    for (graph::LinearOp op : units.producers)
      result[op].outputs.assign(order.begin(), order.end());
    for (graph::LinearOp op : units.consumers)
      result[op].inputs.assign(order.begin(), order.end());
  }
  return result;
}
