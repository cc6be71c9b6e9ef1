// SPDX-License-Identifier: Apache-2.0
//
// The description of a compiled program (rt3_program_t) as a constant of the
// generated library.

#ifndef RT3_CODEGEN_EMIT_EMITPROGRAM_H
#define RT3_CODEGEN_EMIT_EMITPROGRAM_H

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace llvm {
class Module;
}

namespace mlir::rt3 {

// The fields of rt3_tensor_t.
struct TensorDescription {
  std::string name;
  uint32_t elementType;
  std::vector<int64_t> dims; // -1 for the free dimension.
};

// The fields of rt3_stream_t.
struct StreamDescription {
  uint64_t offset, length;
  uint32_t rangeCount, groupCount, entries, valueSize, unroll, indexLimit, lastIndexLimit;
  std::vector<uint8_t> patternValues;
  std::vector<uint32_t> partGroups;
  std::vector<uint64_t> partOffsets;

  bool operator==(const StreamDescription &) const = default;
};

// The fields of rt3_program_t.
struct ProgramDescription {
  std::string name; // A C identifier: the symbol is rt3_<name>_program.
  uint32_t requiredFeatures = 0;
  std::string targetFeatures; // LLVM's, beyond those of the device's CPU.
  std::array<uint8_t, 16> modelId{};
  uint64_t weightsSize = 0, workspaceSize = 0;
  uint64_t stateSize = 0;
  int64_t maxLength = 1, contextLength = 0;
  std::vector<std::string> levelFunctions; // Symbols of the module.
  std::vector<TensorDescription> inputs, outputs;
  std::vector<StreamDescription> streams;
};

// Adds the constant; functions of levels become internal.
void emitProgram(llvm::Module &module, const ProgramDescription &program);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_EMIT_EMITPROGRAM_H
