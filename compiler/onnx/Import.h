// SPDX-License-Identifier: Apache-2.0
//
// ONNX -> rt3_graph. Walks the whole model and reports every node that is not
// supported, not the first one.

#ifndef RT3_COMPILER_ONNX_IMPORT_H
#define RT3_COMPILER_ONNX_IMPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"

#include <map>
#include <string>
#include <vector>

namespace mlir::rt3::onnx {

// A dimension as the user fixes it: `size`, or with a maximum anything from 1
// up to it, chosen at run time.
struct DimensionChoice {
  int64_t size = 1;
  bool isFree = false; // Then `size` is the maximum.
};

// Parses "1x128" or "1x1..384".
llvm::Expected<std::vector<DimensionChoice>> parseShape(llvm::StringRef text);

struct ImportOptions {
  // By the name of an input (all its dimensions) or of a symbolic dimension
  // (one).
  std::map<std::string, std::vector<DimensionChoice>> shapes;
  // Bytes of constants, in double, that foldConstants may compute beyond those of
  // weights.
  int64_t foldBudget = 64 << 20;
  // Tokens of a text of several runs; 0: runs know nothing of each other.
  int64_t context = 0;
};

// An error that is not the user's.
class OwnFault : public llvm::ErrorInfo<OwnFault, llvm::StringError> {
public:
  using ErrorInfo::ErrorInfo;
  static char ID;
};
llvm::Error makeOwnFault(const llvm::Twine &message);

// An error in the options, not in the file.
class OptionFault : public llvm::ErrorInfo<OptionFault, llvm::StringError> {
public:
  using ErrorInfo::ErrorInfo;
  static char ID;
};

// A node that cannot be compiled.
struct Problem {
  std::string node, op; // op: "Domain::Type" or "Type".
  int64_t opset;
  std::string why, advice;
};

struct ImportResult {
  OwningOpRef<ModuleOp> module; // Null if there are problems.
  std::vector<Problem> problems;
  int64_t nodeCount = 0;
};

// Imports a file. An error means that the file itself is bad; a model that is
// valid but not supported comes back with problems.
llvm::Expected<ImportResult> importModel(MLIRContext *context, llvm::StringRef path, const ImportOptions &options);

// Imports bytes; without a folder there is no external data.
llvm::Expected<ImportResult> importBytes(MLIRContext *context, llvm::StringRef bytes, const ImportOptions &options);

// One line of the table of supported operators.
struct SupportedOp {
  std::string domain, type;
  int64_t sinceOpset; // The oldest that is understood.
  std::string limits; // Empty if there are none.
};
std::vector<SupportedOp> supportedOps();

} // namespace mlir::rt3::onnx

#endif // RT3_COMPILER_ONNX_IMPORT_H
