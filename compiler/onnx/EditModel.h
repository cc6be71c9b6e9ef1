// SPDX-License-Identifier: Apache-2.0
//
// ONNX files with other weights, or with a head behind them.

#ifndef RT3_COMPILER_ONNX_EDITMODEL_H
#define RT3_COMPILER_ONNX_EDITMODEL_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>

namespace rt3_onnx {
class ModelProto;
}

namespace mlir::rt3::onnx {

// What turns features into classes or a number: a linear layer on one vector per text.
struct Head {
  std::string output;      // The model's result that it reads, [batch, tokens, features] or [batch, features].
  bool hasTokens = true;   // It has an axis of tokens.
  bool takesFirst = false; // The first token; else the mean over tokens.
  std::string mask;        // The input that is 1 where tokens are; empty: everywhere.
  int64_t features = 0, results = 1;
  std::string name = "rt3_head"; // Of nodes and initializers; NAME.weight is features x results.
};

class EditedModel {
public:
  // A file with all of its data; external data is read in.
  static llvm::Expected<EditedModel> read(llvm::StringRef path);
  EditedModel(EditedModel &&);
  ~EditedModel();

  // Makes `logits` (or NAME.logits where that is taken), [batch, results], the only output.
  // `weights` are features x results, biases 0. Errors: names that the model has already.
  llvm::Error addHead(const Head &head, llvm::ArrayRef<float> weights);

  // Other values of an f32 initializer; false if there is none of that name and size.
  bool setInitializer(llvm::StringRef name, llvm::ArrayRef<float> values);

  // The file. An error if it is larger than protobuf can be.
  llvm::Expected<std::string> bytes() const;

private:
  explicit EditedModel(std::unique_ptr<rt3_onnx::ModelProto> model);
  std::unique_ptr<rt3_onnx::ModelProto> model;
};

} // namespace mlir::rt3::onnx

#endif // RT3_COMPILER_ONNX_EDITMODEL_H
