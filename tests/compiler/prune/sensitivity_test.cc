// SPDX-License-Identifier: Apache-2.0
//
// What layers are worth is measured on the model's results.

#include "compiler/prune/Sensitivity.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

#include "llvm/ADT/StringExtras.h"

#include <gtest/gtest.h>

#include <random>

using namespace mlir;
using namespace mlir::rt3;

namespace {

// A layer that makes most of the result, one of a hundredth of its weights beside it, one
// that nothing reads, and one whose result is added twice.
constexpr const char *kModel = R"(
module attributes {rt3_graph.max_length = 64 : i64} {
func.func @main(%x: tensor<1x?x32xf32> {rt3_graph.name = "x"}) -> tensor<1x?x32xf32> {
  %loud = rt3_graph.linear "loud" %x, %W : (tensor<1x?x32xf32>, tensor<32x32xf32>) -> tensor<1x?x32xf32>
  %quiet = rt3_graph.linear "quiet" %x, %V residual %loud : (tensor<1x?x32xf32>, tensor<32x32xf32>, tensor<1x?x32xf32>) -> tensor<1x?x32xf32>
  %dead = rt3_graph.linear "dead" %x, %W : (tensor<1x?x32xf32>, tensor<32x32xf32>) -> tensor<1x?x32xf32>
  %twice = rt3_graph.linear "twice" %x, %W : (tensor<1x?x32xf32>, tensor<32x32xf32>) -> tensor<1x?x32xf32>
  %a = rt3_graph.binary add %quiet, %twice : (tensor<1x?x32xf32>, tensor<1x?x32xf32>) -> tensor<1x?x32xf32>
  %y = rt3_graph.binary add %a, %twice : (tensor<1x?x32xf32>, tensor<1x?x32xf32>) -> tensor<1x?x32xf32>
  return %y : tensor<1x?x32xf32>
}
}
)";

std::string constant(const char *name, float scale) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::string bytes = "0x";
  for (int i = 0; i < 32 * 32; ++i) {
    float value = scale * normal(random);
    for (int b = 0; b < 4; ++b)
      bytes += llvm::utohexstr(reinterpret_cast<uint8_t *>(&value)[b], false, 2);
  }
  return "  " + std::string(name) + " = rt3_graph.constant dense<\"" + bytes + "\"> : tensor<32x32xf32>\n";
}

TEST(Sensitivity, IsTheErrorOfTheResults) {
  MLIRContext context;
  context.loadDialect<func::FuncDialect, graph::GraphDialect>();
  std::string text = kModel;
  text.insert(text.find("  %loud ="), constant("%W", 1) + constant("%V", 0.01f));
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  ASSERT_TRUE(module);
  auto function = *module->getOps<func::FuncOp>().begin();

  std::mt19937 random(4);
  std::normal_distribution<double> normal;
  std::vector<CalibrationSample> samples;
  for (int i = 0; i < 4; ++i) {
    HostTensor x{{1, 64, 32}, {}};
    for (int e = 0; e < 64 * 32; ++e)
      x.elements.push_back(normal(random));
    samples.push_back({64, {x}});
  }
  // Of inputs like these, a weight's square is the error of its layer's own output.
  ImportanceSource own = [](graph::LinearOp op) {
    Saliency saliency{32, 32, graph::floatElements(graph::constantValue(op.getWeights()))};
    for (float &value : saliency.values)
      value *= value;
    return std::optional(Importance{saliency, 1});
  };
  LevelPlan plan;
  plan.minWeights = 0;
  plan.denseLayers = {"quiet"};
  plan.levels = {{{.scheme = Scheme::Block}, "half", 0, 0, 0, 0.5}};
  auto energies = [&] {
    auto measured = measureSensitivity(function, samples, own, plan);
    std::map<std::string, double> result;
    if (measured)
      function.walk([&](graph::LinearOp op) { result[op.getLayer().str()] = (*measured)(op)->energy; });
    return result;
  };
  std::map<std::string, double> withoutQuiet = energies();
  EXPECT_EQ(withoutQuiet["quiet"], 1); // Was not measured: it stays dense.
  plan.denseLayers = {};
  std::map<std::string, double> all = energies();
  EXPECT_EQ(all["loud"], withoutQuiet["loud"]);
  // Energy is saliency lost per error. The weights of "quiet" are small, but a loss of as much
  // saliency is as large an error; 256 tokens leave a few per cent of noise.
  EXPECT_NEAR(all["quiet"] / all["loud"], 1, 0.15);
  // Added twice: four times the squared error.
  EXPECT_NEAR(all["loud"] / all["twice"], 4, 0.6);
  // What nothing reads can lose all.
  EXPECT_GT(all["dead"], 1e6 * all["loud"]);
}

} // namespace
