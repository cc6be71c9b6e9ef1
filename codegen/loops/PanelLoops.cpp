// SPDX-License-Identifier: Apache-2.0
//
// Walking buffers in panels, and the simple ops on them.

#include "codegen/loops/Loops.h"
#include "codegen/loops/VectorMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"

using namespace mlir;
using namespace mlir::rt3;

Panels::Panels(const CallSite &site, kernel::BufferType type) {
  ArrayRef<int64_t> shape = type.getTensor().getShape();
  width = type.getPanel();
  features = llvm::alignTo(shape.back(), kernel::kFeatureMultiple);
  int64_t free = shape[shape.size() - 2];
  bool isFree = ShapedType::isDynamic(free);
  tokens = isFree ? site.length : site.b.integer(free);
  batch = 1;
  for (int64_t size : shape.drop_back(2))
    batch *= size;
  tileSize = kernel::elementSize(type.getTensor().getElementType()) * features * width;
  batchSize = llvm::divideCeil(isFree ? site.maxLength : free, width) * tileSize;
}

Value mlir::rt3::largestAt(LoopBuilder &b, const Panels &x, Value largest, Value batch, Value panel) {
  int64_t panelsPerBatch = x.batchSize / x.tileSize;
  Value number = b.add(b.mul(batch, panelsPerBatch), panel);
  return b.offset(largest, b.mul(number, 4 * x.width * kernel::partCount(x.features)));
}

std::string mlir::rt3::kernelName(StringRef readable, StringRef description) {
  auto digest = llvm::SHA256::hash(llvm::arrayRefFromStringRef(description));
  return ("rt3_" + readable + "_" + llvm::toHex(digest, /*LowerCase=*/true).substr(0, 16)).str();
}

kernel::TileAttr mlir::rt3::tokenTile(kernel::TileAttr tile) {
  return kernel::TileAttr::get(tile.getContext(), tile.getRows(), 1, 1, tile.getIsa(), tile.getInFlight(),
                               tile.getLoadVectors(), tile.getStreamPrefetch());
}

void mlir::rt3::forEachPanel(LoopBuilder &b, kernel::TileAttr tile, int64_t batch, Value tokens,
                             llvm::function_ref<void(Value, Value, int64_t)> body) {
  int64_t width = tile.getVectors() * tile.getLanes();
  Value full = b.divide(tokens, width);
  Value rest = b.divide(b.add(b.remainder(tokens, width), tile.getLanes() - 1), tile.getLanes());
  b.loop(b.integer(0), b.integer(batch), 1, [&](Value element) {
    b.loop(b.integer(0), full, 1, [&](Value t) { body(element, t, tile.getVectors()); });
    for (int64_t vectors = 1; vectors <= tile.getVectors(); ++vectors)
      b.when(b.isEqual(rest, b.integer(vectors)), [&] { body(element, full, vectors); });
  });
}

// Sums of a panel's features are vertical: no lane meets another.
void mlir::rt3::callLayerNorm(const CallSite &site, kernel::LayerNormOp op) {
  LoopBuilder &caller = site.b;
  auto type = cast<kernel::BufferType>(op.getType());
  Panels panels(site, type);
  int64_t features = type.getTensor().getShape().back();
  kernel::TileAttr tile = panels.width == 1 ? tokenTile(site.tile) : site.tile;
  double epsilon = op.getEpsilon().convertToFloat();
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  std::string description;
  llvm::raw_string_ostream(description) << tile << " " << type << " " << panels.batchSize << " " << epsilon
                                        << op.getRms() << bool(op.getLargest());
  auto function = getOrBuildFunction(
      site.module, kernelName("layer_norm_f32", description), {pointer, pointer, pointer, pointer, pointer, integer},
      [&](LoopBuilder &b, ValueRange args) {
        auto vector = VectorType::get(tile.getLanes(), b.getF32Type());
        int64_t rowSize = 4 * panels.width, vectorSize = 4 * tile.getLanes();
        auto integers = VectorType::get(tile.getLanes(), b.getI32Type());
        Value nothing = arith::ConstantOp::create(b, b.getZeroAttr(integers));
        forEachPanel(b, tile, panels.batch, args[5], [&](Value element, Value t, int64_t vectors) {
          Value start = b.add(b.mul(element, panels.batchSize), b.mul(t, panels.tileSize));
          Value x = b.offset(args[0], start), y = b.offset(args[3], start);
          auto rows = [&](ValueRange carried, llvm::function_ref<SmallVector<Value>(Value, Value, ValueRange)> body) {
            return b.loop(b.integer(0), b.integer(features), 1, carried,
                          [&](Value i, ValueRange values) { return body(i, b.mul(i, rowSize), values); });
          };
          auto at = [&](Value base, Value row, int64_t v) { return b.offset(b.offset(base, row), v * vectorSize); };
          Value zero = b.real(vector, 0), inverse = b.real(vector, 1.0 / features);
          SmallVector<Value> mean(vectors, zero);
          if (!op.getRms())
            mean = rows(mean, [&](Value, Value row, ValueRange sums) {
              SmallVector<Value> next;
              for (int64_t v = 0; v < vectors; ++v)
                next.push_back(arith::AddFOp::create(b, sums[v], b.load(vector, at(x, row, v))));
              return next;
            });
          for (Value &value : mean)
            value = arith::MulFOp::create(b, value, inverse);
          // Of differences, not of squares minus the square of the mean, which
          // cancels.
          SmallVector<Value> scale = rows(SmallVector<Value>(vectors, zero), [&](Value, Value row, ValueRange sums) {
            SmallVector<Value> next;
            for (int64_t v = 0; v < vectors; ++v) {
              Value difference = arith::SubFOp::create(b, b.load(vector, at(x, row, v)), mean[v]);
              next.push_back(b.fma(difference, difference, sums[v]));
            }
            return next;
          });
          for (Value &value : scale) {
            Value variance = b.fma(value, inverse, b.real(vector, epsilon));
            Value root = buildFunction(b, kernel::Function::Sqrt, variance, b.getF32Type());
            value = arith::DivFOp::create(b, b.real(vector, 1), root);
          }
          SmallVector<Value> largest(op.getLargest() ? vectors : 0, nothing);
          largest = b.loop(b.integer(0), b.integer(features), 1, largest, [&](Value i, ValueRange carried) {
            Value row = b.mul(i, rowSize), element = b.mul(i, 4);
            SmallVector<Value> next(carried);
            Value gain = b.splat(vector, b.load(b.getF32Type(), b.offset(args[1], element)));
            Value bias = b.splat(vector, b.load(b.getF32Type(), b.offset(args[2], element)));
            for (int64_t v = 0; v < vectors; ++v) {
              Value difference = arith::SubFOp::create(b, b.load(vector, at(x, row, v)), mean[v]);
              Value normal = arith::MulFOp::create(b, difference, scale[v]);
              Value result = b.fma(normal, gain, bias);
              b.store(result, at(y, row, v));
              if (op.getLargest())
                next[v] = maxMagnitude(b, next[v], result);
            }
            return next;
          });
          if (op.getLargest()) {
            Value found = largestAt(b, panels, args[4], element, t);
            for (int64_t part = 0; part < kernel::partCount(panels.features); ++part)
              for (int64_t v = 0; v < vectors; ++v)
                b.store(part ? nothing : largest[v], at(found, b.integer(part * rowSize), v));
          }
        });
      });
  func::CallOp::create(caller, function,
                       ValueRange{site.pointerOf(op.getX()), site.pointerOf(op.getScale()),
                                  site.pointerOf(op.getBias()), site.pointerOf(op.getResult()),
                                  site.pointerOf(op.getLargest() ? op.getLargest() : op.getX()), panels.tokens});
}

// A single token from one panel to another.
static void callRepack(const CallSite &site, kernel::PackOp op) {
  auto from = cast<kernel::BufferType>(op.getX().getType()), to = cast<kernel::BufferType>(op.getType());
  int64_t features = to.getTensor().getShape().back();
  Type pointer = site.b.pointerType();
  std::string description;
  llvm::raw_string_ostream(description) << from << " " << to;
  auto function = getOrBuildFunction(
      site.module, kernelName("repack_f32", description), {pointer, pointer}, [&](LoopBuilder &b, ValueRange args) {
        b.loop(b.integer(0), b.integer(features), 1, [&](Value feature) {
          Value value = b.load(b.getF32Type(), b.offset(args[0], b.mul(feature, 4 * from.getPanel())));
          b.store(value, b.offset(args[1], b.mul(feature, 4 * to.getPanel())));
        });
      });
  func::CallOp::create(site.b, function, ValueRange{site.pointerOf(op.getX()), site.pointerOf(op.getResult())});
}

// Halves of a head are turned by the angles of their tokens.
void mlir::rt3::callRotary(const CallSite &site, kernel::RotaryOp op) {
  LoopBuilder &caller = site.b;
  auto type = cast<kernel::BufferType>(op.getType());
  Panels x(site, type), angles(site, cast<kernel::BufferType>(op.getCos().getType()));
  kernel::TileAttr tile = x.width == 1 ? tokenTile(site.tile) : site.tile;
  int64_t size = type.getTensor().getShape().back() / op.getHeads(), half = size / 2;
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  std::string description;
  llvm::raw_string_ostream(description) << tile << type << x.batchSize << "," << op.getHeads();
  auto function = getOrBuildFunction(
      site.module, kernelName("rotary_f32", description), {pointer, pointer, pointer, pointer, integer},
      [&](LoopBuilder &b, ValueRange args) {
        auto vector = VectorType::get(tile.getLanes(), b.getF32Type());
        int64_t rowSize = 4 * x.width, vectorSize = 4 * tile.getLanes();
        forEachPanel(b, tile, x.batch, args[4], [&](Value element, Value t, int64_t vectors) {
          Value panel = b.add(b.mul(element, x.batchSize), b.mul(t, x.tileSize));
          Value table = b.mul(t, angles.tileSize); // The same for each of a batch.
          Value cos = b.offset(args[1], table), sin = b.offset(args[2], table);
          b.loop(b.integer(0), b.integer(op.getHeads()), 1, [&](Value head) {
            b.loop(b.integer(0), b.integer(half), 1, [&](Value d) {
              Value lower = b.mul(d, rowSize), upper = b.add(lower, half * rowSize);
              Value own = b.add(panel, b.mul(head, size * rowSize));
              for (int64_t v = 0; v < vectors; ++v) {
                auto load = [&](Value base, Value row) {
                  return b.load(vector, b.offset(b.offset(base, row), v * vectorSize));
                };
                Value source = b.offset(args[0], own), target = b.offset(args[3], own);
                Value first = load(source, lower), second = load(source, upper);
                Value turned = arith::MulFOp::create(b, first, load(cos, lower));
                Value negative = arith::NegFOp::create(b, second);
                b.store(b.fma(negative, load(sin, lower), turned), b.offset(b.offset(target, lower), v * vectorSize));
                turned = arith::MulFOp::create(b, second, load(cos, upper));
                b.store(b.fma(first, load(sin, upper), turned), b.offset(b.offset(target, upper), v * vectorSize));
              }
            });
          });
        });
      });
  func::CallOp::create(caller, function,
                       ValueRange{site.pointerOf(op.getX()), site.pointerOf(op.getCos()), site.pointerOf(op.getSin()),
                                  site.pointerOf(op.getResult()), x.tokens});
}

// The tokens of this run, into the panels of the state.
void mlir::rt3::callAppend(const CallSite &site, kernel::AppendOp op) {
  LoopBuilder &caller = site.b;
  auto from = cast<kernel::BufferType>(op.getX().getType()), to = cast<kernel::BufferType>(op.getType());
  Panels x(site, from), y(site, to);
  int64_t features = to.getTensor().getShape().back();
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  std::string description;
  llvm::raw_string_ostream(description) << from << to << x.batchSize;
  auto function =
      getOrBuildFunction(site.module, kernelName("append_f32", description), {pointer, pointer, integer, integer},
                         [&](LoopBuilder &b, ValueRange args) {
                           b.loop(b.integer(0), args[2], 1, [&](Value token) {
                             auto columnOf = [&](const Panels &panels, Value base, Value number) {
                               Value panel = b.mul(b.divide(number, panels.width), panels.tileSize);
                               return b.offset(base, b.add(panel, b.mul(b.remainder(number, panels.width), 4)));
                             };
                             Value source = columnOf(x, args[0], token),
                                   target = columnOf(y, args[1], b.add(args[3], token));
                             b.loop(b.integer(0), b.integer(features), 1, [&](Value feature) {
                               Value value = b.load(b.getF32Type(), b.offset(source, b.mul(feature, 4 * x.width)));
                               b.store(value, b.offset(target, b.mul(feature, 4 * y.width)));
                             });
                           });
                         });
  func::CallOp::create(caller, function,
                       ValueRange{site.pointerOf(op.getX()), site.pointerOf(op.getResult()), x.tokens, site.position});
}

// 4 x 4 numbers, turned.
static SmallVector<Value> transposeFours(LoopBuilder &b, ArrayRef<Value> rows) {
  auto shuffle = [&](Value x, Value y, ArrayRef<int64_t> lanes) -> Value {
    return vector::ShuffleOp::create(b, x, y, lanes);
  };
  Value low01 = shuffle(rows[0], rows[1], {0, 4, 1, 5}), high01 = shuffle(rows[0], rows[1], {2, 6, 3, 7});
  Value low23 = shuffle(rows[2], rows[3], {0, 4, 1, 5}), high23 = shuffle(rows[2], rows[3], {2, 6, 3, 7});
  return {shuffle(low01, low23, {0, 1, 4, 5}), shuffle(low01, low23, {2, 3, 6, 7}),
          shuffle(high01, high23, {0, 1, 4, 5}), shuffle(high01, high23, {2, 3, 6, 7})};
}

void mlir::rt3::callPack(const CallSite &site, kernel::PackOp op) {
  LoopBuilder &caller = site.b;
  auto from = cast<kernel::BufferType>(op.getX().getType());
  auto to = cast<kernel::BufferType>(op.getType());
  if (from.getPanel() != 0 && to.getPanel() != 0)
    return callRepack(site, op);
  bool isPacking = to.getPanel() != 0;
  Panels panels(site, isPacking ? to : from);
  int64_t features = to.getTensor().getShape().back();
  Type pointer = caller.pointerType(), integer = caller.getI64Type();
  std::string description;
  llvm::raw_string_ostream(description) << from << " " << to << " " << panels.batchSize;
  // Four tokens of one panel at a time, where panels have that many.
  constexpr int64_t kFour = 4;
  int64_t step = panels.width % kFour == 0 ? kFour : 1;
  auto build = [&](LoopBuilder &b, ValueRange args) {
    // A block of `size` tokens x `size` features; plain is [token][feature].
    auto move = [&](Value row, Value column, Value feature, int64_t size) {
      Value plain = b.add(row, b.mul(feature, 4)), packed = b.add(column, b.mul(feature, 4 * panels.width));
      Type type = size == 1 ? Type(b.getF32Type()) : Type(VectorType::get(size, b.getF32Type()));
      auto at = [&](bool isPlain, int64_t i) {
        return b.offset(args[isPlain != isPacking],
                        b.add(isPlain ? plain : packed, 4 * i * (isPlain ? features : panels.width)));
      };
      SmallVector<Value> values;
      for (int64_t i = 0; i < size; ++i)
        values.push_back(b.load(type, at(isPacking, i)));
      if (size == kFour)
        values = transposeFours(b, values);
      for (auto [i, value] : llvm::enumerate(values))
        b.store(value, at(!isPacking, i));
    };
    auto moveTokens = [&](Value batch, Value token, int64_t size) {
      Value row = b.mul(b.add(b.mul(batch, args[2]), token), 4 * features);
      Value column = b.add(b.add(b.mul(batch, panels.batchSize), b.mul(b.divide(token, panels.width), panels.tileSize)),
                           b.mul(b.remainder(token, panels.width), 4));
      Value whole = b.integer(features / size * size);
      b.loop(b.integer(0), whole, size, [&](Value feature) { move(row, column, feature, size); });
      for (int64_t i = 0; i < size && features % size != 0; ++i) // What is left, token by token.
        b.loop(whole, b.integer(features), 1,
               [&](Value feature) { move(b.add(row, 4 * features * i), b.add(column, 4 * i), feature, 1); });
    };
    b.loop(b.integer(0), b.integer(panels.batch), 1, [&](Value batch) {
      Value whole = b.mul(b.divide(args[2], step), step);
      b.loop(b.integer(0), whole, step, [&](Value token) { moveTokens(batch, token, step); });
      if (step > 1)
        b.loop(whole, args[2], 1, [&](Value token) { moveTokens(batch, token, 1); });
    });
  };
  auto function = getOrBuildFunction(site.module, kernelName(isPacking ? "pack_f32" : "unpack_f32", description),
                                     {pointer, pointer, integer}, build);
  func::CallOp::create(caller, function,
                       ValueRange{site.pointerOf(op.getX()), site.pointerOf(op.getResult()), panels.tokens});
}
