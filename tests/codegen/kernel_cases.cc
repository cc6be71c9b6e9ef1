// SPDX-License-Identifier: Apache-2.0
//
// Writes cases for every kernel over odd sizes: linear layers of all schemes
// with N and K around the edges of tiles and ranges, layer normalisation,
// attention and functions of elements, at lengths around the edges of panels.
//
//   kernel_cases TARGET FOLDER [--nested] [--int8 | --f16 | --f16-sums | --bf16] [--cache] [--sizes I/N]
//
// With --cache, runs continue each other, and those of one token have kernels of
// their own. With --sizes, linear layers have every Nth pair of sizes only, from the Ith
// on, and those whose sizes are equal: compiling kernels is what takes time.

#include "tests/reference/write_cases.h"

#include "llvm/Support/raw_ostream.h"

#include <limits>
#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::rt3;

// Around groups of 8 outputs and tiles of 4, and primes.
static constexpr int64_t kOutputs[] = {1, 3, 4, 5, 7, 8, 9, 13, 16, 37};
// Around blocks of 4 inputs and ranges (112 to 440 inputs, by device), primes.
static constexpr int64_t kInputs[] = {1, 2, 3, 4, 5, 8, 11, 31, 113, 461, 769};
static constexpr int64_t kMaxLength = 101, kContext = 630;
static constexpr int64_t kSpecialFeatures = 31;
static constexpr int64_t kTextFeatures = 40; // Of 4 heads.
static constexpr size_t kWideIndex = 9;      // Of kInputs.
static constexpr int64_t kWideInputs = kInputs[kWideIndex], kWideOutputs = 157;

static std::mt19937 generator(20261121); // Printed with every failure: fixed.

// What the module consists of.
struct Contents {
  bool isInt8 = false, hasCache = false;
  bool hasCompanions = true;          // Normalisation, softmax, functions, attention without a cache.
  size_t sizeIndex = 0, sizeStep = 1; // Of the pairs of sizes.
};

static double uniform() { return generator() / 2147483648.0 - 1; }

// From -scale to scale; or whole numbers.
static ElementsAttr randomConstant(Builder &b, ArrayRef<int64_t> shape, double scale, bool isWhole = false) {
  auto type = RankedTensorType::get(shape, b.getF32Type());
  std::vector<float> values(type.getNumElements());
  for (float &value : values)
    value = isWhole ? std::round(uniform() * scale) : uniform() * scale;
  return graph::makeResource(type, "random",
                             ArrayRef(reinterpret_cast<const char *>(values.data()), 4 * values.size()));
}

static LevelPlan makePlan(bool isNested, bool hasCache) {
  LevelPlan plan;
  plan.isNested = isNested;
  // Every layer is pruned, however small, and stays sparse: these are tests of
  // kernels, not of choosing them.
  plan.minWeights = 0;
  if (!hasCache)
    plan.denseLayers = {"special"};
  auto level = [](const char *name, Scheme scheme, double density, int64_t rows = 8, int64_t columns = 1,
                  int64_t patternCount = 16) {
    Layout layout{.scheme = scheme, .rows = rows, .columns = columns, .patternCount = patternCount};
    return LevelSpec{layout, name, 0, 0, 0, density};
  };
  if (isNested)
    plan.levels = {level("n0", Scheme::BlockPattern, 0.2, 8, 1, 8), level("n1", Scheme::Pattern, 0.5),
                   level("n2", Scheme::Block, 0.8), level("n3", Scheme::Dense, 1)};
  else
    plan.levels = {level("dense", Scheme::Dense, 1),
                   level("bp", Scheme::Block, 0.4),
                   level("pp8x4", Scheme::Pattern, 0.5, 8, 4, 8),
                   level("pp8x1", Scheme::Pattern, 0.5),
                   level("pp4x1", Scheme::Pattern, 0.4, 4, 1, 15),
                   level("pp8x8", Scheme::Pattern, 0.3, 8, 8, 4),
                   level("bppp8x4", Scheme::BlockPattern, 0.3, 8, 4, 8)};
  // Some are balanced, which has ranges of inputs of its own.
  for (LevelSpec &level : plan.levels)
    level.isBalanced = !isNested && level.hasPatterns() && level.columns > 1;
  return plan;
}

// One function: each K is an input of length x K, and each N (of the share) a layer on it.
static OwningOpRef<ModuleOp> makeModule(MLIRContext *context, const Contents &contents) {
  bool hasCache = contents.hasCache;
  ImplicitLocOpBuilder b(UnknownLoc::get(context), context);
  OwningOpRef<ModuleOp> module(ModuleOp::create(b.getLoc()));
  b.setInsertionPointToEnd(module->getBody());
  module.get()->setAttr(graph::kMaxLengthAttr, b.getI64IntegerAttr(kMaxLength));
  if (hasCache)
    module.get()->setAttr(graph::kContextAttr, b.getI64IntegerAttr(kContext));
  auto typeOf = [&](int64_t features) {
    return RankedTensorType::get({ShapedType::kDynamic, features}, b.getF32Type());
  };
  SmallVector<Type> types;
  for (int64_t k : kInputs)
    types.push_back(typeOf(k));
  // Attention of two sequences, and a mask.
  auto sequence = RankedTensorType::get({2, ShapedType::kDynamic, 24}, b.getF32Type());
  auto mask = RankedTensorType::get({2, 1, 1, ShapedType::kDynamic}, b.getF32Type());
  auto special = typeOf(kSpecialFeatures);
  auto specialSequence = RankedTensorType::get({1, ShapedType::kDynamic, 24}, b.getF32Type());
  auto text = RankedTensorType::get({1, ShapedType::kDynamic, kTextFeatures}, b.getF32Type());
  auto fewHeads = RankedTensorType::get({1, ShapedType::kDynamic, kTextFeatures / 4}, b.getF32Type());
  auto angles = typeOf(kTextFeatures / 4);
  types.append({text, fewHeads, angles, text});
  // A mask, and values that poison what comes after them, have no cache.
  if (!hasCache)
    types.append({sequence, mask, special, specialSequence, specialSequence, angles});
  auto function = func::FuncOp::create(b, "main", b.getFunctionType(types, {}));
  b.setInsertionPointToStart(function.addEntryBlock());
  SmallVector<mlir::Value> results;
  auto precision =
      contents.isInt8 ? graph::PrecisionAttr::get(context, graph::Precision::Int8) : graph::PrecisionAttr();
  for (auto [i, k] : llvm::enumerate(kInputs))
    for (auto [j, n] : llvm::enumerate(kOutputs)) {
      if ((i + j) % contents.sizeStep != contents.sizeIndex && n != k)
        continue;
      mlir::Value w = graph::ConstantOp::create(b, randomConstant(b, {k, n}, 1.0 / std::sqrt(double(k))));
      mlir::Value bias =
          (i + j / 5) % 2 ? mlir::Value(graph::ConstantOp::create(b, randomConstant(b, {n}, 1))) : mlir::Value();
      graph::UnaryKindAttr activation;
      if ((2 * i + j) % 3 == 0)
        activation =
            graph::UnaryKindAttr::get(context, (i / 2 + j) % 2 ? graph::UnaryKind::Gelu : graph::UnaryKind::Relu);
      mlir::Value residual = n == k ? function.getArgument(i) : mlir::Value();
      results.push_back(graph::LinearOp::create(b, typeOf(n), function.getArgument(i), w, bias, residual,
                                                b.getStringAttr("k" + Twine(k) + "n" + Twine(n)), activation,
                                                ArrayAttr(), precision));
    }
  for (auto [i, k] : llvm::enumerate(contents.hasCompanions ? ArrayRef(kInputs) : ArrayRef<int64_t>())) {
    mlir::Value scale = graph::ConstantOp::create(b, randomConstant(b, {k}, 1)),
                bias = graph::ConstantOp::create(b, randomConstant(b, {k}, 1));
    results.push_back(graph::LayerNormOp::create(b, typeOf(k), function.getArgument(i), scale, bias,
                                                 b.getF32FloatAttr(1e-5), i % 2 ? b.getUnitAttr() : UnitAttr()));
    results.push_back(graph::SoftmaxOp::create(b, typeOf(k), function.getArgument(i), 1));
  }
  // One that threads share: parts of 7 and 6 groups of outputs.
  mlir::Value wide = graph::ConstantOp::create(b, randomConstant(b, {kWideInputs, kWideOutputs}, 0.05));
  results.push_back(graph::LinearOp::create(
      b, typeOf(kWideOutputs), function.getArgument(kWideIndex), wide, mlir::Value(), mlir::Value(),
      b.getStringAttr("wide"), graph::UnaryKindAttr::get(context, graph::UnaryKind::Relu), ArrayAttr(), precision));
  // Layers behind others: those are of f32 and whole numbers, so that they are exact, and
  // activations are rounded to int8 alike.
  auto argument = [&](size_t i) { return function.getArgument(std::size(kInputs) + i); };
  auto wholeLayer = [&](StringRef name, mlir::Value x, int64_t outputs, graph::UnaryKindAttr activation,
                        mlir::Value residual, graph::PrecisionAttr own = {}) {
    auto type = RankedTensorType::get({1, ShapedType::kDynamic, outputs}, b.getF32Type());
    int64_t features = cast<RankedTensorType>(x.getType()).getShape().back();
    mlir::Value weights = graph::ConstantOp::create(b, randomConstant(b, {features, outputs}, 3, /*isWhole=*/true));
    return graph::LinearOp::create(b, type, x, weights, mlir::Value(), residual, b.getStringAttr(name), activation,
                                   ArrayAttr(), own);
  };
  mlir::Value first = wholeLayer("whole1", argument(3), kWideOutputs,
                                 graph::UnaryKindAttr::get(context, graph::UnaryKind::Relu), mlir::Value());
  mlir::Value second = wholeLayer("whole2", first, kTextFeatures, graph::UnaryKindAttr(), argument(3));
  for (auto [name, x] : {std::pair("whole3", first), {"whole4", second}})
    results.push_back(wholeLayer(name, x, 9, graph::UnaryKindAttr(), mlir::Value(), precision));
  // Causal attention of one text: each head with keys of its own, and all with those of
  // one; and heads turned by angles.
  int64_t cacheCount = 0;
  for (mlir::Value keys : {argument(0), argument(1)}) {
    IntegerAttr cache = hasCache ? b.getI64IntegerAttr(cacheCount++) : IntegerAttr();
    results.push_back(graph::AttentionOp::create(b, text, argument(0), keys, keys, mlir::Value(),
                                                 b.getI64IntegerAttr(4), b.getF32FloatAttr(0.3), b.getUnitAttr(),
                                                 cache));
  }
  results.push_back(graph::RotaryOp::create(b, text, argument(0), argument(2), argument(2), b.getI64IntegerAttr(4)));
  auto finish = [&] {
    func::ReturnOp::create(b, results);
    function.setType(b.getFunctionType(types, llvm::to_vector(mlir::ValueRange(results).getTypes())));
    return std::move(module);
  };
  if (hasCache) {
    auto positions = RankedTensorType::get({ShapedType::kDynamic}, b.getI64Type());
    results.push_back(graph::IotaOp::create(b, positions, 3, 2, true));
    return finish();
  }
  // NaN, infinities, denormals and both zeros, one per token: through a layer that
  // stays dense (a pruned one does not read what a dropped weight would multiply),
  // normalisation, attention (a NaN key makes every query of its head NaN, an
  // infinite one those that it suits) and all functions.
  mlir::Value s = argument(6);
  mlir::Value weights = graph::ConstantOp::create(b, randomConstant(b, {kSpecialFeatures, 13}, 1));
  results.push_back(graph::LinearOp::create(b, typeOf(13), s, weights, mlir::Value(), mlir::Value(),
                                            b.getStringAttr("special"), graph::UnaryKindAttr(), ArrayAttr(),
                                            graph::PrecisionAttr()));
  if (!contents.hasCompanions)
    return finish();
  mlir::Value x = argument(4), m = argument(5);
  for (int64_t heads : {1, 2, 3, 4, 8})
    for (bool isCausal : {false, true})
      results.push_back(graph::AttentionOp::create(b, sequence, x, x, x, heads % 2 ? mlir::Value() : m,
                                                   b.getI64IntegerAttr(heads), b.getF32FloatAttr(0.3),
                                                   isCausal ? b.getUnitAttr() : UnitAttr(), IntegerAttr()));
  mlir::Value q = argument(7), v = argument(8);
  mlir::Value scale = graph::ConstantOp::create(b, randomConstant(b, {kSpecialFeatures}, 1));
  results.push_back(graph::LayerNormOp::create(b, special, s, scale, scale, b.getF32FloatAttr(1e-5), UnitAttr()));
  results.push_back(graph::SoftmaxOp::create(b, special, s, 1));
  results.push_back(graph::AttentionOp::create(b, specialSequence, q, q, v, mlir::Value(), b.getI64IntegerAttr(3),
                                               b.getF32FloatAttr(0.3), UnitAttr(), IntegerAttr()));
  for (uint32_t kind = 0; kind <= graph::getMaxEnumValForUnaryKind(); ++kind)
    if (graph::UnaryKind(kind) == graph::UnaryKind::Sin || graph::UnaryKind(kind) == graph::UnaryKind::Cos)
      results.push_back(graph::UnaryOp::create(b, angles, graph::UnaryKind(kind), argument(9)));
    else if (graph::UnaryKind(kind) != graph::UnaryKind::Not)
      results.push_back(graph::UnaryOp::create(b, special, graph::UnaryKind(kind), s));
  return finish();
}

static std::vector<HostTensor> makeInputs(int64_t length, bool hasCache) {
  std::vector<HostTensor> inputs;
  auto add = [&](std::vector<int64_t> shape, double scale) {
    HostTensor tensor{std::move(shape), {}};
    tensor.elements.resize(tensor.count());
    for (double &element : tensor.elements)
      element = float(uniform() * scale);
    inputs.push_back(std::move(tensor));
  };
  for (int64_t k : kInputs)
    add({length, k}, 1);
  add({1, length, kTextFeatures}, 2);
  add({1, length, kTextFeatures / 4}, 2);
  add({length, kTextFeatures / 4}, 1);
  add({1, length, kTextFeatures}, 127);
  for (double &element : inputs.back().elements)
    element = std::round(element);
  if (hasCache)
    return inputs;
  add({2, length, 24}, 2);
  add({2, 1, 1, length}, 1);
  for (int64_t i = 0; i < length; ++i) // Every third token is hidden.
    inputs.back().elements[i] = i % 3 == 2 ? (length % 2 ? -10000 : -double(INFINITY)) : 0;
  // One special value per token, and only that token's results may be special. 88.5
  // is where exp is still finite; 1e18 squared still is.
  add({length, kSpecialFeatures}, 8);
  double infinity = std::numeric_limits<double>::infinity();
  const double values[] = {NAN, infinity, -infinity, 0.0, -0.0, 1e-42, -1e-42, 1e18, 88.5, float(88.72), 89, -88, -103};
  for (int64_t i = 0; i < std::min<int64_t>(std::size(values), length); ++i)
    inputs.back().elements[i * kSpecialFeatures + i % kSpecialFeatures] = values[i];
  add({1, length, 24}, 2);                                   // Of queries and keys ...
  inputs.back().elements[(length - 1) * 24 + 9] = NAN;       // In head 1 of 3.
  inputs.back().elements[(length - 1) * 24 + 17] = infinity; // In head 2.
  add({1, length, 24}, 2);                                   // ... and of values.
  add({length, kTextFeatures / 4}, 8192);                    // Angles; larger ones lose bits.
  inputs.back().elements[0] = NAN;
  inputs.back().elements[1] = infinity;
  return inputs;
}

int main(int argc, char **argv) {
  if (argc < 3)
    return 2;
  CompileOptions options;
  options.name = "kernels";
  auto device = findDevice(argv[1]);
  if (!device) {
    llvm::errs() << llvm::toString(device.takeError()) << "\n";
    return 2;
  }
  options.device = *device;
  llvm::ArrayRef<char *> flags(argv + 3, argc - 3);
  auto has = [&](StringRef flag) { return llvm::any_of(flags, [&](char *given) { return flag == given; }); };
  bool hasCache = has("--cache");
  Contents contents{.isInt8 = has("--int8"), .hasCache = hasCache};
  // Precisions and nesting do not reach their code.
  contents.hasCompanions =
      llvm::none_of(ArrayRef<StringRef>{"--nested", "--int8", "--f16", "--f16-sums", "--bf16"}, has);
  options.levels = makePlan(has("--nested"), hasCache);
  options.keepsSparse = true;
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  if (auto found = llvm::find(flags, StringRef("--sizes")); found != flags.end()) {
    auto [index, step] = StringRef(found + 1 == flags.end() ? "" : found[1]).split('/');
    if (index.getAsInteger(10, contents.sizeIndex) || step.getAsInteger(10, contents.sizeStep) ||
        contents.sizeIndex >= contents.sizeStep) {
      llvm::errs() << "--sizes is I/N, from 0/N on\n";
      return 2;
    }
  }
  // Each kind of loop and tiles of half the rows, whatever the cost model would have; other sizes with each share.
  constexpr const char *kLoops[] = {"unroll:1", "unroll:2,filled:0", "unroll:2,filled:1"};
  int64_t leastRows = llvm::any_of(ArrayRef<StringRef>{"--int8", "--f16-sums", "--bf16"}, has) ? 4 : 2; // Of words.
  for (auto [i, k] : llvm::enumerate(kInputs)) {
    size_t kind = i + contents.sizeIndex;
    std::string loops = device->blockUnroll > 1 ? kLoops[kind % std::size(kLoops)] : kLoops[0];
    if (kind % 2 && device->tileRows / 2 >= leastRows)
      loops += ",rows:" + std::to_string(device->tileRows / 2);
    options.kernels.push_back({"k" + std::to_string(k) + "n*", loops});
  }
  OwningOpRef<ModuleOp> module = makeModule(&context, contents);
  for (auto [flag, precision] : {std::pair("--f16", graph::Precision::F16),
                                 {"--f16-sums", graph::Precision::F16Sums},
                                 {"--bf16", graph::Precision::BF16}})
    if (has(flag))
      options.precision = precision;
  if (has("--f16-sums")) // Their numbers are too large for f16.
    options.keepF32 = {"whole*"};
  if (has("--f16-sums") && !hasCache)
    options.keepF32.push_back("special");
  if (llvm::Error error = quantize(*module, options)) {
    llvm::errs() << llvm::toString(std::move(error)) << "\n";
    return 1;
  }
  // Around one, two and three vectors of 4, 8 and 16 lanes, and primes.
  constexpr int64_t lengths[] = {1,  2,  3,  4,  5,  7,  8,  9,  11, 12, 13, 16,
                                 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 97, 101};
  // Of one text: the same, and single tokens at many positions.
  constexpr int64_t parts[] = {1, 1, 5, 1, 11, 17, 1,  24, 12, 1,  47, 2, 1,  1,  3,  48, 1,   32,
                               1, 4, 7, 1, 8,  9,  13, 1,  16, 23, 25, 1, 31, 33, 49, 97, 101, 1};
  static_assert(std::accumulate(std::begin(parts), std::end(parts), int64_t(0)) == kContext);
  if (llvm::Error error = writeCases(
          *module, options, hasCache ? llvm::ArrayRef(parts) : llvm::ArrayRef(lengths),
          [&](int64_t length) { return makeInputs(length, hasCache); }, argv[2])) {
    llvm::errs() << llvm::toString(std::move(error)) << "\n";
    return 1;
  }
  return 0;
}
