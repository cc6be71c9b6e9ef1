// SPDX-License-Identifier: Apache-2.0
//
// The function of a linear layer: calls its kernels for all panels, on threads if the
// caller brings them, and finishes what they have summed up.

#include "codegen/loops/LinearLoops.h"
#include "codegen/loops/VectorMath.h"

#include "rt3/rt3.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <cstddef>

using namespace mlir;
using namespace mlir::rt3;

// activation(y) + residual on finished features, `size` bytes that lie one after the
// other in panels of `vectors` vectors; the largest of each lane goes to `largest`, if
// that is not null.
static void buildEpilogue(LoopBuilder &b, kernel::LinearOp op, int64_t lanes, int64_t vectors, Value size, Value y,
                          Value residual, Value largest) {
  auto vector = VectorType::get(lanes, b.getF32Type());
  int64_t step = largest ? vectors : 1; // So that a carried value stands for one lane.
  Value nothing = arith::ConstantOp::create(b, b.getZeroAttr(VectorType::get(lanes, b.getI32Type())));
  SmallVector<Value> most(largest ? vectors : 0, nothing);
  most = b.loop(b.integer(0), size, 4 * lanes * step, most, [&](Value i, ValueRange carried) {
    SmallVector<Value> next(carried);
    for (int64_t v = 0; v < step; ++v) {
      Value place = b.add(i, 4 * lanes * v), value = b.load(vector, b.offset(y, place));
      if (auto activation = op.getActivation())
        value = buildFunction(b, *activation, value, b.getF32Type());
      if (residual)
        value = arith::AddFOp::create(b, value, b.load(vector, b.offset(residual, place)));
      b.store(value, b.offset(y, place));
      if (largest)
        next[v] = maxMagnitude(b, next[v], value);
    }
    return next;
  });
  for (auto [v, value] : llvm::enumerate(most))
    b.store(value, b.offset(largest, 4 * lanes * v));
}

namespace {

// The function of a linear layer: its kernels on all panels; where the caller brings
// threads, on parts of the outputs of each.
class LinearLayer {
public:
  LinearLayer(const CallSite &site, kernel::LinearOp op)
      : site(site), op(op), x(site, cast<kernel::BufferType>(op.getX().getType())),
        y(site, cast<kernel::BufferType>(op.getType())), tile(op.getTile()), isToken(y.width == 1),
        // Of a single token, lanes are features, of which there are whole groups.
        panel(isToken ? tokenTile(tile) : tile),
        lanes(isToken ? std::min(tile.getLanes(), kernel::kFeatureMultiple) : tile.getLanes()), dot(op.getDot()),
        isInt8(dot && kernel::isInt8(*dot)), inputs(kernel::inputWords(op)),
        outputs(cast<kernel::BufferType>(op.getType()).getTensor().getShape().back()),
        streams(llvm::to_vector(op.getStreams().getAsRange<kernel::StreamAttr>())),
        parts(llvm::all_of(streams, [](kernel::StreamAttr stream) { return bool(stream.getParts()); })
                  ? kernel::partCount(y.features)
                  : 1) {
    llvm::raw_string_ostream stream(description);
    stream << op.getType() << x.features << "," << x.batchSize << "," << y.batchSize << tile;
    for (kernel::StreamAttr part : streams) {
      kernels.emplace_back();
      for (int64_t vectors = 1; vectors <= panel.getVectors(); ++vectors) {
        kernels.back().push_back(getKernel(part, vectors));
        stream << kernels.back().back().getName();
      }
      halfKernels.push_back(halfTokens(part) > 0 ? getHalfTileKernel(site, tile, part, dot) : func::FuncOp());
    }
    stream << inputs << "," << outputs << (op.getResidual() ? "residual" : "") << (op.getLargest() ? "largest" : "");
    if (op.getActivation())
      stream << stringifyFunction(*op.getActivation());
  }

  void call() {
    LoopBuilder &b = site.b;
    SmallVector<Value> arguments{site.pointerOf(op.getX()), site.pointerOf(op.getResult()),
                                 site.pointerOf(op.getBias()),
                                 site.pointerOf(op.getResidual() ? op.getResidual() : op.getBias()), y.tokens};
    for (kernel::StreamAttr stream : streams)
      arguments.push_back(site.weightsOf(stream.getWeights()));
    if (isInt8)
      arguments.append({site.pointerOf(op.getScales()), site.pointerOf(op.getOffsets())});
    for (kernel::StreamAttr stream : streams)
      if (stream.getParts())
        arguments.push_back(getTable(stream));
    if (op.getLargest())
      arguments.push_back(site.pointerOf(op.getLargest()));
    arguments.push_back(site.parallel);
    func::CallOp::create(b, getFunction(ValueRange(arguments).getTypes()), arguments);
  }

private:
  func::FuncOp getKernel(kernel::StreamAttr stream, int64_t vectors) {
    if (isToken)
      return getTokenKernel(site, tile, stream, dot, x.width);
    return getTileKernel(site, tile, stream, dot, vectors);
  }

  // Panels of at most so many tokens have kernels of their own.
  int64_t halfTokens(kernel::StreamAttr stream) const {
    size_t patterns = stream.getPatterns().asArrayRef().size();
    return isToken ? 0 : kernel::halfTileTokens(tile.getIsa(), tile.getLanes(), patterns, dot);
  }

  // Where the parts of a stream begin, as a constant of the code.
  Value getTable(kernel::StreamAttr stream) {
    LoopBuilder &b = site.b;
    ArrayRef<int64_t> offsets = stream.getParts().asArrayRef();
    std::string text;
    for (int64_t offset : offsets)
      text += std::to_string(offset) + ",";
    std::string name = kernelName("parts", text);
    ModuleOp module = site.module;
    if (!module.lookupSymbol(name)) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(module.getBody());
      auto type = LLVM::LLVMArrayType::get(b.getI64Type(), offsets.size());
      auto value = DenseElementsAttr::get(RankedTensorType::get(offsets.size(), b.getI64Type()), offsets);
      LLVM::GlobalOp::create(b, type, /*isConstant=*/true, LLVM::Linkage::Internal, name, value);
    }
    return LLVM::AddressOfOp::create(b, b.pointerType(), name);
  }

  // The arguments of the function, after x, y, bias, residual and tokens: weights of
  // each stream, of int8 scales and offsets, the parts of each stream, where the largest
  // results go if somebody wants them, and threads.
  static constexpr size_t kWeights = 5;
  size_t scalesAt() const { return kWeights + streams.size(); }
  size_t partsAt() const { return scalesAt() + (isInt8 ? 2 : 0); }

  // Where the largest results of a panel go.
  Value largestOf(LoopBuilder &b, ValueRange args, Value element, Value t) {
    return largestAt(b, y, args[args.size() - 2], element, t);
  }

  func::FuncOp getFunction(TypeRange types) {
    return getOrBuildFunction(
        site.module, kernelName(isInt8 ? "linear_int8" : "linear_f32", description), llvm::to_vector(types),
        [&](LoopBuilder &b, ValueRange args) {
          auto buildSerial = [&] {
            forEachPanel(b, panel, y.batch, args[4], [&](Value element, Value t, int64_t vectors) {
              buildPart(b, args, element, t, vectors, b.integer(0), b.integer(y.features / kernel::kFeatureMultiple),
                        b.integer(0));
              if (op.getLargest()) // There is nothing in the other parts.
                for (int64_t i = y.width; i < y.width * kernel::partCount(y.features); i += lanes)
                  b.store(b.real(VectorType::get(lanes, b.getF32Type()), 0),
                          b.offset(largestOf(b, args, element, t), 4 * i));
            });
          };
          if (parts == 1)
            return buildSerial();
          Value isSmall = b.isLess(b.mul(args[4], y.batch * inputs * y.features), b.integer(kParallelWork));
          Value null = LLVM::ZeroOp::create(b, b.pointerType());
          Value hasNone = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, args.back(), null);
          Value isSerial = arith::OrIOp::create(b, hasNone, isSmall);
          b.when(isSerial, buildSerial);
          b.when(arith::XOrIOp::create(b, isSerial, arith::ConstantIntOp::create(b, b.getI1Type(), 1)),
                 [&] { buildParallel(b, args); });
        });
  }

  // Words times outputs; less is done before another thread is awake.
  static constexpr int64_t kParallelWork = int64_t(1) << 19;

  void buildParallel(LoopBuilder &b, ValueRange args) {
    SmallVector<Type> types(args.getTypes());
    func::FuncOp task = getTask(types);
    Value context = LLVM::AllocaOp::create(b, b.pointerType(), b.getI64Type(), b.integer(args.size()));
    for (auto [i, argument] : llvm::enumerate(args))
      b.store(argument, b.offset(context, 8 * i));
    Value panels = b.divide(b.add(args[4], y.width - 1), y.width);
    Value run = b.load(b.pointerType(), b.offset(args.back(), offsetof(rt3_parallel_t, run)));
    Value pool = b.load(b.pointerType(), b.offset(args.back(), offsetof(rt3_parallel_t, pool)));
    Value function = func::ConstantOp::create(b, task.getFunctionType(), task.getName());
    function = UnrealizedConversionCastOp::create(b, b.pointerType(), function).getResult(0);
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                            {b.pointerType(), b.getI64Type(), b.pointerType(), b.pointerType()});
    LLVM::CallOp::create(b, type, ValueRange{run, pool, b.mul(panels, y.batch * parts), function, context});
  }

  // Part `index`, counted by batch, panel, then part of the outputs.
  func::FuncOp getTask(ArrayRef<Type> types) {
    return getOrBuildFunction(site.module, kernelName(isInt8 ? "linear_int8_task" : "linear_f32_task", description),
                              {site.b.pointerType(), site.b.getI64Type()}, [&](LoopBuilder &b, ValueRange own) {
                                SmallVector<Value> args;
                                for (auto [i, type] : llvm::enumerate(types))
                                  args.push_back(b.load(type, b.offset(own[0], 8 * i)));
                                Value part = b.remainder(own[1], parts), number = b.divide(own[1], parts);
                                Value panels = b.divide(b.add(args[4], y.width - 1), y.width);
                                Value element = arith::DivUIOp::create(b, number, panels),
                                      t = arith::RemUIOp::create(b, number, panels);
                                int64_t eights = y.features / kernel::kFeatureMultiple;
                                Value first = b.divide(b.mul(part, eights), parts);
                                Value count = b.sub(b.divide(b.mul(b.add(part, 1), eights), parts), first);
                                Value left = b.min(b.integer(y.width), b.sub(args[4], b.mul(t, y.width)));
                                Value used = b.divide(b.add(left, panel.getLanes() - 1), panel.getLanes());
                                for (int64_t vectors = 1; vectors <= panel.getVectors(); ++vectors)
                                  b.when(b.isEqual(used, b.integer(vectors)),
                                         [&] { buildPart(b, args, element, t, vectors, first, count, part); });
                              });
  }

  // Outputs 8 `first` to 8 (`first` + `count`) of one panel, where `part` begins.
  void buildPart(LoopBuilder &b, ValueRange args, Value element, Value t, int64_t vectors, Value first, Value count,
                 Value part) {
    Value row = b.mul(first, kernel::kFeatureMultiple), rowBytes = b.mul(row, 4);
    Value source = b.offset(args[0], b.add(b.mul(element, x.batchSize), b.mul(t, x.tileSize)));
    Value place = b.add(b.add(b.mul(element, y.batchSize), b.mul(t, y.tileSize)), b.mul(rowBytes, y.width));
    Value target = b.offset(args[1], place);
    auto flag = [&](bool value) { return arith::ConstantIntOp::create(b, b.getI1Type(), value).getResult(); };
    for (auto [i, stream] : llvm::enumerate(streams)) {
      SmallVector<Value> arguments{source,
                                   target,
                                   args[kWeights + i],
                                   b.offset(isInt8 ? args[scalesAt() + 1] : args[2], rowBytes),
                                   b.integer(inputs),
                                   b.mul(count, kernel::kFeatureMultiple / stream.getRows()),
                                   flag(i == 0)};
      if (isInt8)
        arguments.append(
            {flag(i + 1 == streams.size()), b.offset(args[scalesAt()], rowBytes), b.offset(args[2], rowBytes)});
      if (stream.getParts())
        arguments.append({b.offset(args[partsAt() + i], b.mul(part, 8)), b.integer(8 * parts)});
      auto callFull = [&] { func::CallOp::create(b, kernels[i][vectors - 1], arguments); };
      if (vectors > 1 || !halfKernels[i]) {
        callFull();
        continue;
      }
      Value isMore = b.isLess(b.integer(halfTokens(stream)), b.sub(args[4], b.mul(t, y.width)));
      b.when(isMore, callFull);
      b.when(arith::XOrIOp::create(b, isMore, flag(true)), [&] { func::CallOp::create(b, halfKernels[i], arguments); });
    }
    if (op.getActivation() || op.getResidual()) {
      Value features = b.mul(count, kernel::kFeatureMultiple), largest;
      if (op.getLargest()) { // Behind the last feature there may be anything.
        largest = b.offset(largestOf(b, args, element, t), b.mul(part, 4 * y.width));
        features = b.min(features, b.sub(b.integer(outputs), row));
      }
      buildEpilogue(b, op, lanes, panel.getVectors(), b.mul(features, 4 * y.width), target,
                    op.getResidual() ? b.offset(args[3], place) : Value(), largest);
    }
  }

  const CallSite &site;
  kernel::LinearOp op;
  Panels x, y;
  kernel::TileAttr tile;
  bool isToken;
  kernel::TileAttr panel;
  int64_t lanes;
  std::optional<kernel::Dot> dot;
  bool isInt8;
  int64_t inputs; // Words.
  int64_t outputs;
  SmallVector<kernel::StreamAttr> streams;
  int64_t parts;
  SmallVector<SmallVector<func::FuncOp>> kernels; // By stream, then vectors.
  SmallVector<func::FuncOp> halfKernels;          // By stream; null: none.
  std::string description;
};

} // namespace

void mlir::rt3::callLinear(const CallSite &site, kernel::LinearOp op) { LinearLayer(site, op).call(); }
