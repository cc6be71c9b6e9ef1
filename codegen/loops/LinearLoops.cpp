// SPDX-License-Identifier: Apache-2.0
//
// What kernels of linear layers share: reading streams, names.

#include "codegen/loops/LinearLoops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/bit.h"

using namespace mlir;
using namespace mlir::rt3;

SegmentHeader::SegmentHeader(LoopBuilder &b, kernel::StreamAttr stream, Value segment)
    : entries(stream.getGathered() ? stream.getColumns() : 1) {
  size_t patternCount = stream.getPatterns().asArrayRef().size();
  Value total = b.integer(0);
  for (size_t p = 0; p < patternCount; ++p) {
    counts.push_back(b.loadU16(b.offset(segment, 2 * p)));
    total = b.add(total, counts.back());
  }
  indices = b.offset(segment, 2 * patternCount);
  // Counts and indices, rounded up to 4 bytes.
  Value size = b.add(b.mul(total, 2 * entries), 2 * patternCount + 3);
  values = b.offset(segment, b.mul(b.divide(size, 4), 4));
}

Value mlir::rt3::loadWords(LoopBuilder &b, kernel::StreamAttr stream, VectorType type, Value pointer) {
  if (stream.getValueSize() == 4)
    return b.load(type, pointer);
  auto halves = VectorType::get(type.getShape(), b.getF16Type());
  return arith::ExtFOp::create(b, type, b.load(halves, pointer));
}

SmallVector<KeptColumn> mlir::rt3::keptColumns(kernel::StreamAttr stream, int64_t pattern, int64_t firstRow) {
  SmallVector<KeptColumn> columns;
  for (int64_t column = 0; column < stream.getColumns(); ++column) {
    SmallVector<int64_t> rows;
    for (int64_t row = 0; row < stream.getPass(); ++row)
      if (uint64_t(pattern) >> (column * stream.getRows() + firstRow + row) & 1)
        rows.push_back(row);
    if (!rows.empty())
      columns.push_back({column, rows});
  }
  return columns;
}

func::FuncOp mlir::rt3::getStreamKernel(const CallSite &site, kernel::TileAttr tile, kernel::StreamAttr stream,
                                        std::optional<kernel::Dot> dot, const std::string &form,
                                        llvm::function_ref<void(LoopBuilder &, const TileArguments &)> build) {
  bool isInt8 = dot && kernel::isInt8(*dot);
  // The name of the weights is all that does not matter for the code.
  std::string description, readable;
  llvm::raw_string_ostream text(description);
  text << tile << form << "," << stream.getRows() << "," << stream.getColumns() << "," << stream.getRange() << ","
       << stream.getPass() << "," << stream.getGathered() << bool(stream.getParts()) << stream.getValueSize() << ","
       << stream.getUnroll() << stream.getFilled() << (dot ? stringifyDot(*dot) : "");
  ArrayRef<int64_t> patterns = stream.getPatterns().asArrayRef();
  for (int64_t pattern : patterns)
    text << "," << pattern;
  llvm::raw_string_ostream(readable) << (!dot && stream.getValueSize() == 2 ? "linear_f32_f32_f16p_"
                                         : !dot                             ? "linear_f32_f32_f32p_"
                                         : isInt8                           ? "linear_f32_qd8_qc8p_"
                                         : *dot == kernel::Dot::FmlaF16     ? "linear_f32_f16_f16p_"
                                                                            : "linear_f32_bf16_bf16p_")
                                     << (patterns.empty() ? "dense" : "p" + std::to_string(patterns.size())) << "_b"
                                     << stream.getRows() << "x" << stream.getColumns()
                                     << (stream.getGathered() ? "g" : "") << "_"
                                     << (patterns.empty() ? stream.getRows() : stream.getPass()) << "x" << form << "_"
                                     << tile.getIsa();
  Type pointer = site.b.pointerType(), integer = site.b.getI64Type(), flag = site.b.getI1Type();
  SmallVector<Type> types{pointer, pointer, pointer, pointer, integer, integer, flag};
  if (isInt8)
    types.append({flag, pointer, pointer});
  if (stream.getParts())
    types.append({pointer, integer});
  return getOrBuildFunction(
      site.module, kernelName(readable, description), types, [&](LoopBuilder &b, ValueRange args) {
        TileArguments a{args[0], args[1], args[2], args[3], args[4], args[5], args[6], {}, {}, {}, {}, {}};
        if (isInt8) {
          a.isLast = args[7];
          a.scales = args[8];
          a.bias = args[9];
        }
        if (stream.getParts()) {
          a.parts = args[args.size() - 2];
          a.partStride = args.back();
        }
        build(b, a);
      });
}
