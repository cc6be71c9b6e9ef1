// SPDX-License-Identifier: Apache-2.0
//
// Compiles a module of rt3_graph for any target and writes what run_files.c
// needs: library, bundle, inputs, and outputs of the interpreter in double
// precision.

#ifndef RT3_TESTS_REFERENCE_WRITE_CASES_H
#define RT3_TESTS_REFERENCE_WRITE_CASES_H

#include "compiler/Compile.h"
#include "compiler/interpreter/Interpreter.h"

namespace mlir::rt3 {

// Inputs of one run, given the shape of each at its length.
using MakeInputs = llvm::function_ref<std::vector<HostTensor>(int64_t length)>;

// Writes lib<name>.a, <name>.rt3 and one case per length and level to `folder`. In a
// module with a cache, the lengths are those of the runs of one text.
llvm::Error writeCases(ModuleOp module, const CompileOptions &options, llvm::ArrayRef<int64_t> lengths,
                       MakeInputs makeInputs, const std::string &folder);

} // namespace mlir::rt3

#endif // RT3_TESTS_REFERENCE_WRITE_CASES_H
