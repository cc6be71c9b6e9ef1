// SPDX-License-Identifier: Apache-2.0
//
// Hidden units in another order leave what a model computes as it was.

#include "compiler/interpreter/Interpreter.h"
#include "compiler/prune/HiddenUnits.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

#include "llvm/ADT/StringExtras.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::rt3;

namespace {

// Feed-forward, gated feed-forward and attention with residuals, in widths of 16.
constexpr const char *kModel = R"(
module attributes {rt3_graph.max_length = 8 : i64} {
func.func @main(%x: tensor<1x?x16xf32> {rt3_graph.name = "x"}) -> tensor<1x?x16xf32> {
  %q = rt3_graph.linear "q" %x, %W16 bias %B16 : (tensor<1x?x16xf32>, tensor<16x16xf32>, tensor<16xf32>) -> tensor<1x?x16xf32>
  %k = rt3_graph.linear "k" %x, %V16 : (tensor<1x?x16xf32>, tensor<16x16xf32>) -> tensor<1x?x16xf32>
  %v = rt3_graph.linear "v" %x, %W16 bias %B16 : (tensor<1x?x16xf32>, tensor<16x16xf32>, tensor<16xf32>) -> tensor<1x?x16xf32>
  %a = rt3_graph.attention %q, %k, %v heads = 2 scale = 0.5 : (tensor<1x?x16xf32>, tensor<1x?x16xf32>, tensor<1x?x16xf32>) -> tensor<1x?x16xf32>
  %o = rt3_graph.linear "out" %a, %V16 bias %B16 residual %x : (tensor<1x?x16xf32>, tensor<16x16xf32>, tensor<16xf32>, tensor<1x?x16xf32>) -> tensor<1x?x16xf32>
  %u = rt3_graph.linear "up" %o, %W24 bias %B24 activation gelu : (tensor<1x?x16xf32>, tensor<16x24xf32>, tensor<24xf32>) -> tensor<1x?x24xf32>
  %d = rt3_graph.linear "down" %u, %V24 residual %o : (tensor<1x?x24xf32>, tensor<24x16xf32>, tensor<1x?x16xf32>) -> tensor<1x?x16xf32>
  %g = rt3_graph.linear "gate" %d, %W24 : (tensor<1x?x16xf32>, tensor<16x24xf32>) -> tensor<1x?x24xf32>
  %s = rt3_graph.unary silu %g : tensor<1x?x24xf32>
  %w = rt3_graph.linear "wide" %d, %W24 bias %B24 : (tensor<1x?x16xf32>, tensor<16x24xf32>, tensor<24xf32>) -> tensor<1x?x24xf32>
  %m = rt3_graph.binary mul %s, %w : (tensor<1x?x24xf32>, tensor<1x?x24xf32>) -> tensor<1x?x24xf32>
  %n = rt3_graph.linear "narrow" %m, %V24 : (tensor<1x?x24xf32>, tensor<24x16xf32>) -> tensor<1x?x16xf32>
  return %n : tensor<1x?x16xf32>
}
}
)";

class HiddenUnitsTest : public testing::Test {
protected:
  HiddenUnitsTest() {
    context.loadDialect<func::FuncDialect, graph::GraphDialect>();
    std::mt19937 random(3);
    // Constants with random elements, in place of their names.
    std::string text = kModel, constants;
    for (auto [name, type, count] : {std::tuple("%W16", "16x16", 256),
                                     {"%V16", "16x16", 256},
                                     {"%B16", "16", 16},
                                     {"%W24", "16x24", 384},
                                     {"%V24", "24x16", 384},
                                     {"%B24", "24", 24}}) {
      std::string bytes = "0x";
      std::normal_distribution<float> normal;
      for (int i = 0; i < count; ++i) {
        float value = 0.3f * normal(random);
        for (int b = 0; b < 4; ++b)
          bytes += llvm::utohexstr(reinterpret_cast<uint8_t *>(&value)[b], false, 2);
      }
      constants +=
          "  " + std::string(name) + " = rt3_graph.constant dense<\"" + bytes + "\"> : tensor<" + type + "xf32>\n";
    }
    text.insert(text.find("  %q ="), constants);
    module = parseSourceString<ModuleOp>(text, &context);
    function = *module->getOps<func::FuncOp>().begin();
  }

  std::vector<double> run() {
    std::mt19937 random(4);
    std::normal_distribution<double> normal;
    HostTensor x{{1, 5, 16}, {}};
    for (int i = 0; i < 80; ++i)
      x.elements.push_back(normal(random));
    InterpreterOptions options;
    options.length = 5;
    return llvm::cantFail(interpret(function, {x}, options))[0].elements;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  func::FuncOp function;
};

TEST_F(HiddenUnitsTest, AreFoundWhereTheirOrderIsFree) {
  std::vector<std::string> found;
  for (const HiddenUnits &units : findHiddenUnits(function)) {
    std::string text;
    for (graph::LinearOp op : units.producers)
      text += op.getLayer().str() + " ";
    for (graph::LinearOp op : units.consumers)
      text += "> " + op.getLayer().str() + " ";
    found.push_back(text + std::to_string(units.count) + "/" + std::to_string(units.block));
  }
  EXPECT_EQ(found,
            (std::vector<std::string>{"q k 16/8", "v > out 16/8", "up > down 24/24", "gate wide > narrow 24/24"}));
}

TEST_F(HiddenUnitsTest, AnyOrderLeavesTheResults) {
  std::vector<double> before = run();
  std::mt19937 random(5);
  for (int turn = 0; turn < 2; ++turn) // Orders on orders.
    for (const HiddenUnits &units : findHiddenUnits(function)) {
      std::vector<int32_t> order(units.count);
      std::iota(order.begin(), order.end(), 0);
      for (int64_t first = 0; first < units.count; first += units.block)
        std::shuffle(order.begin() + first, order.begin() + first + units.block, random);
      ASSERT_TRUE(isOrder(units, order));
      permute(units, order);
    }
  std::vector<double> after = run();
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_NEAR(after[i], before[i], 1e-12); // Sums in another order, in double.
}

TEST_F(HiddenUnitsTest, OrdersAreUndoneForHashes) {
  graph::LinearOp up;
  function.walk([&](graph::LinearOp op) { up = op.getLayer() == "up" ? op : up; });
  std::vector<float> before = graph::floatElements(graph::constantValue(up.getWeights()));
  for (const HiddenUnits &units : findHiddenUnits(function)) {
    std::vector<int32_t> order(units.count);
    for (int64_t i = 0; i < units.count; ++i)
      order[i] = i / units.block * units.block + (units.block - 1 - i % units.block);
    permute(units, order);
  }
  std::vector<float> after = graph::floatElements(graph::constantValue(up.getWeights()));
  EXPECT_NE(after, before);
  EXPECT_EQ(inOriginalOrder<float>(after, 24, layerOrders(function)[up]), before);
}

TEST_F(HiddenUnitsTest, BadOrdersAreKnown) {
  HiddenUnits units = findHiddenUnits(function)[0]; // Two heads of 8.
  std::vector<int32_t> order(16);
  std::iota(order.begin(), order.end(), 0);
  EXPECT_TRUE(isOrder(units, order));
  std::swap(order[0], order[8]); // From one head to the other.
  EXPECT_FALSE(isOrder(units, order));
  std::iota(order.begin(), order.end(), 0);
  order[1] = 0;
  EXPECT_FALSE(isOrder(units, order));
  order[1] = -1;
  EXPECT_FALSE(isOrder(units, order));
  EXPECT_FALSE(isOrder(units, {}));
}

// Units of two kinds, mixed, end in groups of one kind.
TEST_F(HiddenUnitsTest, OrderPutsLikeUnitsTogether) {
  HiddenUnits units = findHiddenUnits(function)[2];
  Saliency saliency{16, 24, std::vector<float>(16 * 24, 0.01f)};
  for (int64_t n = 0; n < 24; ++n)
    for (int64_t k = 0; k < 8; ++k)
      saliency.values[(n % 3 == 0 ? k : 8 + k) * 24 + n] = 1;
  std::vector<int32_t> order = chooseOrder(units, {saliency}, 0.4);
  ASSERT_TRUE(isOrder(units, order));
  for (int64_t group = 0; group < 24; group += 8)
    for (int64_t i = group; i < group + 8; ++i)
      EXPECT_EQ(order[i] % 3 == 0, order[group] % 3 == 0) << i;
}

} // namespace
