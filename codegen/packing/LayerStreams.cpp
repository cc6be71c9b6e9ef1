// SPDX-License-Identifier: Apache-2.0

#include "codegen/packing/LayerStreams.h"

#include "codegen/cost/CostModel.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;
using namespace mlir::rt3;

int64_t mlir::rt3::tokenCount(graph::LinearOp op) {
  auto module = op->getParentOfType<ModuleOp>();
  int64_t count = 1;
  for (int64_t size : cast<RankedTensorType>(op.getX().getType()).getShape().drop_back())
    count *= ShapedType::isDynamic(size) ? module->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr).getInt() : size;
  return count;
}

// Rows of a pass: what the tile holds, and divides the group.
static int64_t passOf(const Device &device, int64_t rows) {
  int64_t pass = std::min(rows, device.tileRows);
  while (rows % pass != 0)
    --pass;
  return pass;
}

// The shapes that can store `encoding`. Zeros without structure (blocks of one
// weight) may go into any; what is fastest is for the cost model to say.
static std::vector<StreamShape> candidateShapes(Attribute encoding, const StreamShape &base, ModuleOp module) {
  StreamShape shape = base;
  if (auto pattern = dyn_cast<graph::PatternEncodingAttr>(encoding)) {
    auto set = module.lookupSymbol<graph::PatternSetOp>(pattern.getSet());
    shape.rows = set.getRows();
    shape.columns = set.getColumns();
    shape.gathered = pattern.getGathered();
    return {shape};
  }
  auto block = cast<graph::BlockEncodingAttr>(encoding);
  if (block.getRows() > 1) {
    shape.rows = block.getRows();
    return {shape};
  }
  std::vector<StreamShape> shapes;
  for (auto [rows, columns] : {std::pair(8, 1), std::pair(8, 4), std::pair(4, 1)}) {
    shape.rows = rows;
    shape.columns = columns;
    shapes.push_back(shape);
  }
  return shapes;
}

std::vector<PackedStream> mlir::rt3::packLayer(graph::LinearOp op, ArrayAttr encodings, const Device &device) {
  auto type = cast<RankedTensorType>(op.getWeights().getType());
  int64_t inputs = type.getDimSize(0), outputs = type.getDimSize(1);
  std::vector<float> values = graph::floatElements(graph::constantValue(op.getWeights()));
  StreamShape base;
  base.vectors = device.tileVectors;
  base.range = chooseRange(inputs, device.tileVectors * device.lanes, device.l1Size);
  std::vector<uint8_t> stored(values.size(), 0); // By earlier streams.
  std::vector<PackedStream> streams;
  auto module = op->getParentOfType<ModuleOp>();
  for (Attribute encoding : encodings ? encodings.getValue() : ArrayRef<Attribute>()) {
    ElementsAttr maskAttribute = graph::encodingMask(encoding);
    if (!maskAttribute)
      break; // Dense: below.
    std::vector<uint8_t> mask = graph::byteElements(maskAttribute);
    for (size_t i = 0; i < mask.size(); ++i) {
      uint8_t isNew = mask[i] && !stored[i];
      stored[i] |= mask[i];
      mask[i] = isNew;
    }
    MaskedWeights weights{inputs, outputs, values, mask};
    std::optional<PackedStream> best;
    double bestCycles = 0;
    std::vector<int64_t> patterns;
    if (auto pattern = dyn_cast<graph::PatternEncodingAttr>(encoding); pattern && !pattern.getGathered())
      patterns = module.lookupSymbol<graph::PatternSetOp>(pattern.getSet()).getPatterns().vec();
    for (StreamShape shape : candidateShapes(encoding, base, module)) {
      // What a level adds to gathered blocks has no block structure of its own.
      if (shape.gathered && !streams.empty()) {
        shape.gathered = false;
        shape.columns = 1;
      }
      shape.pass = passOf(device, shape.rows);
      PackedStream stream = packSparse(weights, shape, patterns);
      double cycles = predictLinearCycles(device, stream, inputs, tokenCount(op));
      if (!best || cycles < bestCycles) {
        best = std::move(stream);
        bestCycles = cycles;
      }
    }
    streams.push_back(std::move(*best));
  }
  if (streams.empty()) {
    std::vector<uint8_t> mask(values.size(), 1);
    if (auto zeros = op->getAttrOfType<ElementsAttr>(graph::kZerosAttr))
      mask = graph::byteElements(zeros);
    base.rows = base.pass = device.tileRows;
    streams.push_back(packDense({inputs, outputs, values, mask}, base));
  }
  return streams;
}
