// SPDX-License-Identifier: Apache-2.0
//
// rt3c check: what compile would say, before compiling.

#include "compiler/verbs/Verbs.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::rt3;

ExitCode mlir::rt3::runCheck(const CheckVerb &verb) {
  auto import = importOptions(verb.model);
  if (!import)
    return fail(kExitUsage, llvm::toString(import.takeError()));
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  int64_t unfolded = 0;
  auto result = importAndFuse(&context, verb.model.model, *import, &unfolded);
  if (!result)
    return fail(result.takeError());
  if (!result->problems.empty()) {
    printProblems(verb.model, result->problems, result->nodeCount);
    return kExitUnsupported;
  }
  int64_t weights = 0, zeros = 0, layers = 0, attentions = 0;
  result->module->walk([&](Operation *op) {
    attentions += isa<graph::AttentionOp>(op);
    auto linear = dyn_cast<graph::LinearOp>(op);
    ElementsAttr constant = linear ? graph::constantValue(linear.getWeights()) : ElementsAttr();
    if (!constant)
      return;
    ++layers;
    weights += constant.getNumElements();
    for (float value : graph::floatElements(constant))
      zeros += value == 0;
  });
  double share = weights ? 100.0 * zeros / weights : 0;
  if (verb.model.asJson) {
    llvm::outs() << llvm::formatv("{0:2}\n",
                                  llvm::json::Value(llvm::json::Object{{"model", verb.model.model},
                                                                       {"nodes", result->nodeCount},
                                                                       {"problems", llvm::json::Array()},
                                                                       {"linear_layers", layers},
                                                                       {"attentions", attentions},
                                                                       {"linear_weights", weights},
                                                                       {"zeros_percent", share},
                                                                       {"unfolded_constant_ops", unfolded}}));
    return kExitOk;
  }
  llvm::outs() << llvm::formatv("{0}: all {1} nodes are supported\n  {2} linear layers with {3} weights, {4:f1} % of "
                                "them zero; {5} attentions\n",
                                verb.model.model, result->nodeCount, layers, weights, share, attentions);
  if (unfolded)
    llvm::outs() << "  " << unfolded << " constant ops stay for run time (--fold-budget)\n";
  return kExitOk;
}
