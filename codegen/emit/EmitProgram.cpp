// SPDX-License-Identifier: Apache-2.0

#include "codegen/emit/EmitProgram.h"

#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/DerivedTypes.h"
#include "llvm/IR/Module.h"

using namespace mlir::rt3;

namespace {

// Builds constants whose layout is that of the C structs: natural alignment,
// which both targets share.
class ProgramEmitter {
public:
  ProgramEmitter(llvm::Module &module) : module(module), context(module.getContext()) {}

  llvm::Constant *u32(uint64_t value) { return llvm::ConstantInt::get(llvm::Type::getInt32Ty(context), value); }
  llvm::Constant *u64(uint64_t value) { return llvm::ConstantInt::get(llvm::Type::getInt64Ty(context), value); }
  llvm::Constant *structOf(llvm::ArrayRef<llvm::Constant *> fields) {
    return llvm::ConstantStruct::getAnon(context, fields);
  }

  // A private constant and its address; null for an empty table.
  llvm::Constant *table(llvm::ArrayRef<llvm::Constant *> rows) {
    if (rows.empty())
      return llvm::ConstantPointerNull::get(llvm::PointerType::get(context, 0));
    auto *type = llvm::ArrayType::get(rows.front()->getType(), rows.size());
    return data(llvm::ConstantArray::get(type, rows));
  }
  llvm::Constant *data(llvm::Constant *value) {
    return new llvm::GlobalVariable(module, value->getType(), /*isConstant=*/true, llvm::GlobalValue::PrivateLinkage,
                                    value, ".rt3");
  }

  // A private array of numbers and its address; null for none.
  template <typename T> llvm::Constant *numbers(const std::vector<T> &list) {
    if (list.empty())
      return llvm::ConstantPointerNull::get(llvm::PointerType::get(context, 0));
    return data(llvm::ConstantDataArray::get(context, list));
  }

  llvm::Constant *tensors(const std::vector<TensorDescription> &list) {
    std::vector<llvm::Constant *> rows;
    for (const TensorDescription &tensor : list) {
      std::vector<uint64_t> dims(tensor.dims.begin(), tensor.dims.end());
      uint32_t rank = dims.size();
      dims.resize(RT3_MAX_RANK, 0);
      rows.push_back(structOf({data(llvm::ConstantDataArray::getString(context, tensor.name)), u32(tensor.elementType),
                               u32(rank), llvm::ConstantDataArray::get(context, dims)}));
    }
    return table(rows);
  }

  llvm::Constant *streams(const std::vector<StreamDescription> &list) {
    std::vector<llvm::Constant *> rows;
    for (const StreamDescription &stream : list)
      rows.push_back(
          structOf({u64(stream.offset), u64(stream.length), u32(stream.rangeCount), u32(stream.groupCount),
                    u32(stream.patternValues.size()), u32(stream.entries), u32(stream.valueSize), u32(stream.unroll),
                    u32(stream.indexLimit), u32(stream.lastIndexLimit),
                    data(llvm::ConstantDataArray::get(context, stream.patternValues)), u32(stream.partGroups.size()),
                    numbers(stream.partGroups), numbers(stream.partOffsets)}));
    return table(rows);
  }

  llvm::Constant *levels(const std::vector<std::string> &names) {
    std::vector<llvm::Constant *> rows;
    for (const std::string &name : names) {
      llvm::Function *function = module.getFunction(name);
      function->setLinkage(llvm::GlobalValue::InternalLinkage);
      rows.push_back(function);
    }
    return table(rows);
  }

  llvm::Module &module;
  llvm::LLVMContext &context;
};

} // namespace

void mlir::rt3::emitProgram(llvm::Module &module, const ProgramDescription &program) {
  ProgramEmitter emitter(module);
  llvm::Constant *value = emitter.structOf(
      {emitter.u32(sizeof(rt3_program_t)), emitter.u32(program.requiredFeatures),
       llvm::ConstantDataArray::get(module.getContext(), program.modelId), emitter.u64(program.weightsSize),
       emitter.u64(program.workspaceSize), emitter.u64(program.stateSize), emitter.u64(program.maxLength),
       emitter.u64(program.contextLength), emitter.u32(program.levelFunctions.size()),
       emitter.u32(program.inputs.size()), emitter.u32(program.outputs.size()), emitter.u32(program.streams.size()),
       emitter.u32(sizeof(rt3_stream_t)), emitter.tensors(program.inputs), emitter.tensors(program.outputs),
       emitter.streams(program.streams), emitter.levels(program.levelFunctions)});
  new llvm::GlobalVariable(module, value->getType(), /*isConstant=*/true, llvm::GlobalValue::ExternalLinkage, value,
                           "rt3_" + program.name + "_program");
}
