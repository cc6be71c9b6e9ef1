// SPDX-License-Identifier: Apache-2.0
//
// Ops on row-major buffers, as plain nested loops: they run on small tensors
// (masks, positions) and wherever no layer needs panels.

#include "codegen/loops/Loops.h"
#include "codegen/loops/VectorMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <limits>

using namespace mlir;
using namespace mlir::rt3;

namespace {

// Sizes and byte strides of a row-major buffer; the free size is an argument.
struct RowMajor {
  kernel::BufferType type;
  Type element; // In memory: i1 takes a byte.
  SmallVector<Value> sizes, strides;

  RowMajor(LoopBuilder &b, kernel::BufferType type, Value length)
      : type(type), element(type.getTensor().getElementType()) {
    ArrayRef<int64_t> shape = type.getTensor().getShape();
    Value stride = b.integer(kernel::elementSize(element));
    strides.resize(shape.size());
    for (int64_t axis = shape.size() - 1; axis >= 0; --axis) {
      strides[axis] = stride;
      Value size = ShapedType::isDynamic(shape[axis]) ? length : b.integer(shape[axis]);
      sizes.insert(sizes.begin(), size);
      stride = b.mul(stride, size);
    }
  }

  // The stride with which this buffer is walked when it is broadcast to
  // `shape`: 0 on the axes that repeat.
  SmallVector<Value> broadcastStrides(LoopBuilder &b, ArrayRef<int64_t> shape) const {
    ArrayRef<int64_t> own = type.getTensor().getShape();
    SmallVector<Value> result(shape.size(), b.integer(0));
    for (size_t i = 0; i < own.size(); ++i)
      if (own[i] != 1 || shape[shape.size() - own.size() + i] == 1)
        result[shape.size() - own.size() + i] = strides[i];
    return result;
  }
};

Value loadElement(LoopBuilder &b, Type element, Value pointer) {
  if (!element.isInteger(1))
    return b.load(element, pointer);
  Value byte = b.load(b.getI8Type(), pointer);
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, byte, arith::ConstantOp::create(b, b.getI8IntegerAttr(0)));
}

void storeElement(LoopBuilder &b, Value value, Value pointer) {
  if (value.getType().isInteger(1))
    value = arith::ExtUIOp::create(b, b.getI8Type(), value);
  b.store(value, pointer);
}

// Calls `body` for each index of a space of `sizes`, with the dot product of
// the index and each of `strides`.
void forEachIndex(LoopBuilder &b, ArrayRef<Value> sizes, ArrayRef<SmallVector<Value>> strides,
                  llvm::function_ref<void(ArrayRef<Value>)> body) {
  std::function<void(size_t, SmallVector<Value>)> nest = [&](size_t axis, SmallVector<Value> offsets) {
    if (axis == sizes.size())
      return body(offsets);
    b.loop(b.integer(0), sizes[axis], 1, [&](Value i) {
      SmallVector<Value> inner;
      for (auto [offset, stride] : llvm::zip(offsets, strides))
        inner.push_back(b.add(offset, b.mul(i, stride[axis])));
      nest(axis + 1, inner);
    });
  };
  nest(0, SmallVector<Value>(strides.size(), b.integer(0)));
}

kernel::BufferType typeOf(Value value) { return cast<kernel::BufferType>(value.getType()); }

// Calls the kernel of `op`, which gets the pointers of operands and result, and
// the free dimension.
void callKernel(const CallSite &site, Operation *op, StringRef readable,
                llvm::function_ref<void(LoopBuilder &, ValueRange, Value)> body) {
  LoopBuilder &caller = site.b;
  SmallVector<Value> arguments;
  std::string description;
  llvm::raw_string_ostream stream(description);
  for (Value operand : op->getOperands()) {
    arguments.push_back(site.pointerOf(operand));
    stream << operand.getType();
  }
  stream << op->getName() << op->getResult(0).getType() << site.tile << site.maxLength;
  for (NamedAttribute attribute : op->getAttrs())
    if (attribute.getName() != "place")
      stream << attribute.getName() << attribute.getValue();
  arguments.push_back(site.pointerOf(op->getResult(0)));
  SmallVector<Type> types(arguments.size(), caller.pointerType());
  arguments.push_back(site.length);
  types.push_back(caller.getI64Type());
  auto function = getOrBuildFunction(site.module, kernelName(readable, description), types,
                                     [&](LoopBuilder &b, ValueRange args) { body(b, args.drop_back(), args.back()); });
  // The same pointer may be an operand twice (x * x): no promise for those.
  for (size_t i = 0; i + 1 < op->getNumOperands(); ++i)
    for (size_t j = i + 1; j < op->getNumOperands(); ++j)
      if (op->getOperand(i) == op->getOperand(j))
        for (size_t k : {i, j})
          function.removeArgAttr(k, "llvm.noalias");
  func::CallOp::create(caller, function, arguments);
}

} // namespace

// All operands have the result's shape or a single element: one flat loop, in
// vectors where the elements are f32.
static bool isFlat(kernel::MapOp op) {
  return llvm::all_of(op.getInputs(), [&](Value input) {
    return typeOf(input).getTensor().getShape() == typeOf(op.getResult()).getTensor().getShape();
  });
}

static bool isAllFloat(kernel::MapOp op) {
  auto isFloat = [](Value value) { return typeOf(value).getTensor().getElementType().isF32(); };
  return isFloat(op.getResult()) && llvm::all_of(op.getInputs(), isFloat);
}

void mlir::rt3::callMap(const CallSite &site, kernel::MapOp op) {
  std::string readable = ("map_" + stringifyFunction(op.getFunction())).str();
  auto type = typeOf(op.getResult());
  if (type.getPanel() != 0) {
    Panels panels(site, type);
    callKernel(site, op, readable, [&](LoopBuilder &b, ValueRange args, Value length) {
      // Features of a single token are neighbours, a multiple of 8.
      int64_t lanes =
          panels.width == 1 ? std::min(site.tile.getLanes(), kernel::kFeatureMultiple) : site.tile.getLanes();
      auto vector = VectorType::get(lanes, b.getF32Type());
      Value tokens = type.getTensor().hasStaticShape() ? b.integer(*site.b.known(panels.tokens)) : length;
      Value used = b.mul(b.divide(b.add(tokens, panels.width - 1), panels.width), panels.tileSize);
      b.loop(b.integer(0), b.integer(panels.batch), 1, [&](Value element) {
        Value start = b.mul(element, panels.batchSize);
        b.loop(b.integer(0), used, 4 * lanes, [&](Value i) {
          Value at = b.add(start, i);
          SmallVector<Value> values;
          for (Value arg : args.drop_back())
            values.push_back(b.load(vector, b.offset(arg, at)));
          b.store(buildFunction(b, op.getFunction(), values, b.getF32Type()), b.offset(args.back(), at));
        });
      });
    });
    return;
  }
  callKernel(site, op, readable, [&](LoopBuilder &b, ValueRange args, Value length) {
    RowMajor result(b, type, length);
    if (isFlat(op) && isAllFloat(op)) {
      Value count = b.integer(1);
      for (Value size : result.sizes)
        count = b.mul(count, size);
      auto body = [&](Type valueType, Value i) {
        SmallVector<Value> values;
        for (Value arg : args.drop_back())
          values.push_back(b.load(valueType, b.offset(arg, b.mul(i, 4))));
        b.store(buildFunction(b, op.getFunction(), values, b.getF32Type()), b.offset(args.back(), b.mul(i, 4)));
      };
      int64_t lanes = site.tile.getLanes();
      Value whole = b.mul(b.divide(count, lanes), lanes);
      b.loop(b.integer(0), whole, lanes, [&](Value i) { body(VectorType::get(lanes, b.getF32Type()), i); });
      b.loop(whole, count, 1, [&](Value i) { body(b.getF32Type(), i); });
      return;
    }
    SmallVector<SmallVector<Value>> strides{result.strides};
    for (Value input : op.getInputs())
      strides.push_back(RowMajor(b, typeOf(input), length).broadcastStrides(b, type.getTensor().getShape()));
    forEachIndex(b, result.sizes, strides, [&](ArrayRef<Value> offsets) {
      SmallVector<Value> values;
      for (auto [i, input] : llvm::enumerate(op.getInputs()))
        values.push_back(loadElement(b, typeOf(input).getTensor().getElementType(), b.offset(args[i], offsets[1 + i])));
      Value value = buildFunction(b, op.getFunction(), values, result.element);
      storeElement(b, value, b.offset(args.back(), offsets[0]));
    });
  });
}

void mlir::rt3::callMove(const CallSite &site, kernel::MoveOp op) {
  callKernel(site, op, "move", [&](LoopBuilder &b, ValueRange args, Value length) {
    RowMajor source(b, typeOf(op.getX()), length), result(b, typeOf(op.getResult()), length);
    SmallVector<Value> strides;
    Value start = b.integer(0);
    for (auto [i, axis] : llvm::enumerate(op.getAxes())) {
      if (axis == -1) {
        strides.push_back(b.integer(0));
        continue;
      }
      strides.push_back(b.mul(source.strides[axis], op.getSteps()[i]));
      start = b.add(start, b.mul(source.strides[axis], op.getStarts()[i]));
    }
    forEachIndex(b, result.sizes, {result.strides, strides}, [&](ArrayRef<Value> offsets) {
      Value value = loadElement(b, source.element, b.offset(args[0], b.add(start, offsets[1])));
      storeElement(b, value, b.offset(args[1], offsets[0]));
    });
  });
}

void mlir::rt3::callConcat(const CallSite &site, kernel::ConcatOp op) {
  callKernel(site, op, "concat", [&](LoopBuilder &b, ValueRange args, Value length) {
    RowMajor result(b, typeOf(op.getResult()), length);
    Value start = b.integer(0);
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      RowMajor source(b, typeOf(input), length);
      forEachIndex(b, source.sizes, {result.strides, source.strides}, [&](ArrayRef<Value> offsets) {
        Value value = loadElement(b, source.element, b.offset(args[i], offsets[1]));
        storeElement(b, value, b.offset(args.back(), b.add(start, offsets[0])));
      });
      start = b.add(start, b.mul(result.strides[op.getAxis()], source.sizes[op.getAxis()]));
    }
  });
}

// The number that changes nothing.
static Value neutral(LoopBuilder &b, kernel::Reduction reduction, Type type) {
  double infinity = std::numeric_limits<double>::infinity();
  bool isFloat = isa<FloatType>(type);
  auto integer = [&](int64_t value) -> Value { return arith::ConstantOp::create(b, b.getIntegerAttr(type, value)); };
  bool isWide = type.isInteger(64);
  switch (reduction) {
  case kernel::Reduction::Max:
    return isFloat ? b.real(type, -infinity)
                   : integer(isWide ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int32_t>::min());
  case kernel::Reduction::Min:
    return isFloat ? b.real(type, infinity)
                   : integer(isWide ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int32_t>::max());
  case kernel::Reduction::Prod:
    return isFloat ? b.real(type, 1) : integer(1);
  default:
    return isFloat ? b.real(type, 0) : integer(0);
  }
}

static kernel::Function combination(kernel::Reduction reduction) {
  switch (reduction) {
  case kernel::Reduction::Max:
    return kernel::Function::Max;
  case kernel::Reduction::Min:
    return kernel::Function::Min;
  case kernel::Reduction::Prod:
    return kernel::Function::Mul;
  default:
    return kernel::Function::Add;
  }
}

void mlir::rt3::callReduce(const CallSite &site, kernel::ReduceOp op) {
  callKernel(site, op, "reduce", [&](LoopBuilder &b, ValueRange args, Value length) {
    RowMajor source(b, typeOf(op.getX()), length), result(b, typeOf(op.getResult()), length);
    SmallVector<Value> inner, outer;
    Value count = b.integer(1);
    auto to = typeOf(op.getResult()).getTensor().getShape();
    auto from = typeOf(op.getX()).getTensor().getShape();
    SmallVector<Value> reducedStrides;
    for (size_t i = 0; i < to.size(); ++i) {
      outer.push_back(result.sizes[i]);
      if (to[i] == 1 && from[i] != 1) {
        inner.push_back(source.sizes[i]);
        reducedStrides.push_back(source.strides[i]);
        count = b.mul(count, source.sizes[i]);
      }
    }
    forEachIndex(b, outer, {result.strides, source.strides}, [&](ArrayRef<Value> offsets) {
      // The sum is carried through nested loops, which forEachIndex cannot do.
      std::function<Value(size_t, Value, Value)> nest = [&](size_t axis, Value offset, Value sum) -> Value {
        if (axis == inner.size()) {
          Value value = loadElement(b, source.element, b.offset(args[0], offset));
          return buildFunction(b, combination(op.getReduction()), {sum, value}, source.element);
        }
        return b.loop(b.integer(0), inner[axis], 1, {sum}, [&](Value i, ValueRange carried) {
          return SmallVector<Value>{nest(axis + 1, b.add(offset, b.mul(i, reducedStrides[axis])), carried[0])};
        })[0];
      };
      Value sum = nest(0, offsets[1], neutral(b, op.getReduction(), source.element));
      if (op.getReduction() == kernel::Reduction::Mean) {
        Value divisor = arith::SIToFPOp::create(b, source.element, count);
        sum = arith::DivFOp::create(b, sum, divisor);
      }
      storeElement(b, sum, b.offset(args[1], offsets[0]));
    });
  });
}

// Row by row: result[m] = sum over k of lhs[m, k] rhs[k], which LLVM vectorises
// along n.
void mlir::rt3::callMatmul(const CallSite &site, kernel::MatmulOp op) {
  callKernel(site, op, "matmul_f32", [&](LoopBuilder &b, ValueRange args, Value length) {
    RowMajor lhs(b, typeOf(op.getLhs()), length), rhs(b, typeOf(op.getRhs()), length),
        result(b, typeOf(op.getResult()), length);
    size_t batchRank = result.sizes.size() - 2;
    auto batchStrides = [&](const RowMajor &buffer) {
      ArrayRef<int64_t> own = buffer.type.getTensor().getShape().drop_back(2);
      SmallVector<Value> strides(batchRank, b.integer(0));
      for (size_t i = 0; i < own.size(); ++i)
        if (own[i] != 1)
          strides[batchRank - own.size() + i] = buffer.strides[i];
      return strides;
    };
    Type element = b.getF32Type();
    Value rows = result.sizes[batchRank], columns = result.sizes.back(), inputs = lhs.sizes.back();
    forEachIndex(b, ArrayRef(result.sizes).drop_back(2), {batchStrides(result), batchStrides(lhs), batchStrides(rhs)},
                 [&](ArrayRef<Value> offsets) {
                   b.loop(b.integer(0), rows, 1, [&](Value m) {
                     Value target = b.offset(args[2], b.add(offsets[0], b.mul(m, result.strides[batchRank])));
                     Value source = b.offset(args[0], b.add(offsets[1], b.mul(m, lhs.strides[lhs.strides.size() - 2])));
                     b.loop(b.integer(0), columns, 1,
                            [&](Value n) { b.store(b.real(element, 0), b.offset(target, b.mul(n, 4))); });
                     b.loop(b.integer(0), inputs, 1, [&](Value k) {
                       Value factor = b.load(element, b.offset(source, b.mul(k, 4)));
                       Value row = b.offset(args[1], b.add(offsets[2], b.mul(k, rhs.strides[rhs.strides.size() - 2])));
                       b.loop(b.integer(0), columns, 1, [&](Value n) {
                         Value place = b.offset(target, b.mul(n, 4));
                         b.store(b.fma(factor, b.load(element, b.offset(row, b.mul(n, 4))), b.load(element, place)),
                                 place);
                       });
                     });
                   });
                 });
  });
}

// An index that inputs gave: from the end if negative, then into the table.
static Value safeIndex(LoopBuilder &b, Value index, int64_t size) {
  if (!index.getType().isInteger(64))
    index = arith::ExtSIOp::create(b, b.getI64Type(), index);
  Value isNegative = b.isLess(index, b.integer(0));
  index = arith::SelectOp::create(b, isNegative, b.add(index, size), index);
  index = arith::MaxSIOp::create(b, index, b.integer(0));
  return b.min(index, b.integer(size - 1));
}

void mlir::rt3::callGather(const CallSite &site, kernel::GatherOp op) {
  auto type = typeOf(op.getResult());
  auto table = typeOf(op.getTable()).getTensor();
  int64_t axis = op.getAxis(), size = table.getDimSize(axis);
  if (type.getPanel() != 0) {
    Panels panels(site, type);
    callKernel(site, op, "gather_panels_f32", [&](LoopBuilder &b, ValueRange args, Value length) {
      RowMajor indices(b, typeOf(op.getIndices()), length);
      int64_t features = table.getDimSize(1);
      Value tokens = type.getTensor().hasStaticShape() ? b.integer(*site.b.known(panels.tokens)) : length;
      b.loop(b.integer(0), b.integer(panels.batch), 1, [&](Value batch) {
        b.loop(b.integer(0), tokens, 1, [&](Value token) {
          Value number = b.add(b.mul(batch, tokens), token);
          Value index = b.load(indices.element, b.offset(args[1], b.mul(number, kernel::elementSize(indices.element))));
          Value source = b.offset(args[0], b.mul(safeIndex(b, index, size), 4 * features));
          Value tile = b.mul(b.divide(token, panels.width), panels.tileSize);
          Value lane = b.mul(b.remainder(token, panels.width), 4);
          Value target = b.offset(args[2], b.add(b.add(b.mul(batch, panels.batchSize), tile), lane));
          b.loop(b.integer(0), b.integer(features), 1, [&](Value feature) {
            b.store(b.load(b.getF32Type(), b.offset(source, b.mul(feature, 4))),
                    b.offset(target, b.mul(feature, 4 * panels.width)));
          });
        });
      });
    });
    return;
  }
  callKernel(site, op, "gather", [&](LoopBuilder &b, ValueRange args, Value length) {
    RowMajor source(b, typeOf(op.getTable()), length), indices(b, typeOf(op.getIndices()), length),
        result(b, type, length);
    size_t indexRank = indices.sizes.size();
    // Axes of the result: those before `axis`, those of the indices, the rest.
    SmallVector<Value> fromTable(result.sizes.size(), b.integer(0)), fromIndices = fromTable;
    for (size_t i = 0; i < result.sizes.size(); ++i) {
      if (i < size_t(axis))
        fromTable[i] = source.strides[i];
      else if (i < axis + indexRank)
        fromIndices[i] = indices.strides[i - axis];
      else
        fromTable[i] = source.strides[i - indexRank + 1];
    }
    forEachIndex(b, result.sizes, {result.strides, fromTable, fromIndices}, [&](ArrayRef<Value> offsets) {
      Value index = b.load(indices.element, b.offset(args[1], offsets[2]));
      Value slice = b.mul(safeIndex(b, index, size), source.strides[axis]);
      Value value = loadElement(b, source.element, b.offset(args[0], b.add(offsets[1], slice)));
      storeElement(b, value, b.offset(args[2], offsets[0]));
    });
  });
}

void mlir::rt3::callIota(const CallSite &site, kernel::IotaOp op) {
  LoopBuilder &caller = site.b;
  auto type = typeOf(op.getResult());
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  std::string description;
  llvm::raw_string_ostream(description) << type << op.getStep();
  auto function = getOrBuildFunction(site.module, kernelName("iota", description), {pointer, integer, integer},
                                     [&](LoopBuilder &b, ValueRange args) {
                                       RowMajor result(b, type, args[1]);
                                       b.loop(b.integer(0), result.sizes[0], 1, [&](Value i) {
                                         Value value = b.add(b.mul(i, op.getStep()), args[2]);
                                         if (!result.element.isInteger(64))
                                           value = arith::TruncIOp::create(b, result.element, value);
                                         b.store(value, b.offset(args[0], b.mul(i, result.strides[0])));
                                       });
                                     });
  Value first = caller.integer(op.getStart());
  if (op.getPositions())
    first = caller.add(first, caller.mul(site.position, op.getStep()));
  func::CallOp::create(caller, function, ValueRange{site.pointerOf(op.getResult()), site.length, first});
}
