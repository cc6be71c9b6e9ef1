// SPDX-License-Identifier: Apache-2.0
//
// The plain executor of rt3_graph: one function per op, no tiles, no fusion, in
// double precision on demand. What tests compare with, and what folds constants.

#ifndef RT3_COMPILER_INTERPRETER_INTERPRETER_H
#define RT3_COMPILER_INTERPRETER_INTERPRETER_H

#include "compiler/interpreter/HostTensor.h"
#include "dialects/graph/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/Error.h"

#include <functional>
#include <memory>

namespace mlir::rt3 {

// What a layer multiplies and adds instead of its own.
struct LayerValues {
  std::vector<float> weights; // [K][N]
  std::vector<float> bias;    // [N]; empty: its own.
};

struct InterpreterOptions {
  // Rounds each float to f32, so that errors are those of f32.
  bool roundsToFloat = false;
  // The value of the free dimension.
  int64_t length = 1;
  // The level whose encodings mask the weights; none: all weights.
  std::optional<unsigned> level;
  // What a layer has instead of its own at the level; null: its own.
  std::function<const LayerValues *(graph::LinearOp)> values;
  // Called before each linear layer with its input.
  std::function<void(graph::LinearOp, const HostTensor &)> onLinear;
};

// A function under way, op by op, on one sample.
class Execution {
public:
  // Executions of one function may share its constants.
  explicit Execution(const InterpreterOptions &options, Execution *constantsOf = nullptr);
  Execution(Execution &&);
  ~Execution();

  // Sets an argument.
  void set(Value argument, HostTensor tensor);
  const HostTensor &valueOf(Value value) const;
  // Forgets a value that is not needed any more.
  void forget(Value value);
  // Runs one op, whose operands are there. An error names an op that is not known.
  llvm::Error run(Operation &op);

private:
  std::unique_ptr<class Interpreter> interpreter;
};

// Runs `function` on `inputs`. Errors name the op that cannot be run. Runs of one function are
// faster with an execution of it, of any options, that keeps its constants.
llvm::Expected<std::vector<HostTensor>> interpret(func::FuncOp function, const std::vector<HostTensor> &inputs,
                                                  const InterpreterOptions &options, Execution *constantsOf = nullptr);

// The result of one op, with `length` for its free dimension; nothing if the
// interpreter has no function for it.
std::optional<HostTensor> interpretOp(Operation &op, llvm::ArrayRef<HostTensor> operands, int64_t length = 1);

} // namespace mlir::rt3

#endif // RT3_COMPILER_INTERPRETER_INTERPRETER_H
