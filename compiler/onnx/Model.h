// SPDX-License-Identifier: Apache-2.0
//
// Reads an ONNX file and the data beside it. Nothing in either is trusted.

#ifndef RT3_COMPILER_ONNX_MODEL_H
#define RT3_COMPILER_ONNX_MODEL_H

#include "compiler/onnx/rt3_onnx.pb.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace mlir::rt3::onnx {

using namespace ::rt3_onnx;

// Files and tensors beyond this are refused: 2^31 - 1 is protobuf's limit.
inline constexpr int64_t kMaxFileSize = (int64_t(1) << 31) - 1;

// A constant as numbers of a type that rt3_graph has.
struct TensorData {
  int32_t elementType = 0; // TensorProto::FLOAT, INT64, INT32 or BOOL; bool is
                           // one byte.
  std::vector<int64_t> dims;
  std::vector<char> bytes;

  int64_t elementCount() const;
  template <typename T> T at(int64_t i) const {
    T value;
    memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    return value;
  }
};

// Parses a file. Errors: not readable, too large, not ONNX.
llvm::Expected<ModelProto> readModel(llvm::StringRef path);

// Parses bytes that are in memory.
llvm::Expected<ModelProto> parseModel(llvm::StringRef bytes);

// Bytes of an element in the file (of a type of TensorProto); 0 for types that
// cannot be read.
int64_t storedElementSize(int32_t elementType);

// The elements of a tensor, as f32 for all float types and i64 or i32 for small
// integers. External data is read from below `folder` only: no absolute paths,
// no `..`, no links. Errors name the tensor and both numbers that disagree.
llvm::Expected<TensorData> readTensor(const TensorProto &tensor, llvm::StringRef folder);

} // namespace mlir::rt3::onnx

#endif // RT3_COMPILER_ONNX_MODEL_H
