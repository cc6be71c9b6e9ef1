// SPDX-License-Identifier: Apache-2.0
//
// Linear layers of one shape, f32, bf16 and int8, at every scheme and density, beside the
// rivals of chain.h:
//
//   linear KxN [Google Benchmark's options]
//
// What is timed is a chain K -> N -> K -> ... of as many layers as take 48 MiB of
// f32 weights (at least two), so that weights are rotated through more than the
// cache and what a layer gives is what the next one takes. One thread; times are per
// chain. Each result is checked before anything is timed.

#include "benchmarks/kernels/chain.h"
#include "compiler/interpreter/Interpreter.h"
#include "compiler/prune/PruneLevels.h"
#include "compiler/verbs/LoadedModel.h"
#include "compiler/verbs/Outputs.h"
#include "dialects/graph/Graph.h"
#include "dialects/graph/Quantize.h"

#include "llvm/Support/FileSystem.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <random>
#include <unistd.h>

using namespace mlir;
using namespace mlir::rt3;
using namespace rt3_benchmark;

static constexpr int64_t kChainBytes = 48 << 20;
static constexpr int64_t kTokens[] = {1, 8, 32, 128, 384};

namespace {

// All schemes that are measured; what is printed is their name.
LevelPlan makePlan() {
  LevelPlan plan;
  plan.isNested = false;
  plan.minWeights = 0;
  auto add = [&](const char *name, double density, Layout layout) {
    LevelSpec &level = plan.levels.emplace_back();
    static_cast<Layout &>(level) = layout;
    level.name = name;
    level.density = density;
  };
  auto patterns = [](int64_t rows, int64_t columns, int64_t count, int64_t inputs = 0) {
    return Layout{
        .scheme = Scheme::Pattern, .rows = rows, .columns = columns, .patternCount = count, .patternInputs = inputs};
  };
  add("dense", 1, {});
  add("bp_75", 0.75, {.scheme = Scheme::Block});
  add("bp_50", 0.5, {.scheme = Scheme::Block});
  add("bp_25", 0.25, {.scheme = Scheme::Block});
  add("bp_12", 0.125, {.scheme = Scheme::Block});
  add("pp8x4_75", 0.75, patterns(8, 4, 8));
  add("pp8x4_50", 0.5, patterns(8, 4, 8));
  add("pp8x4_25", 0.25, patterns(8, 4, 8));
  add("pp8x4of2_25", 0.25, patterns(8, 4, 8, 2)); // Of two inputs each.
  add("pp8x8of3_25", 0.25, patterns(8, 8, 8, 3));
  add("pp8x8_50", 0.5, patterns(8, 8, 8));
  add("pp8x1_50", 0.5, patterns(8, 1, 16));
  add("pp8x1_30", 0.3, patterns(8, 1, 16));
  add("pp4x1_50", 0.5, patterns(4, 1, 15));
  add("pp4x1_30", 0.3, patterns(4, 1, 15));
  // Each as often in every group of outputs, so that loops end where the processor expects it.
  auto balanced = [](Layout layout) {
    layout.isBalanced = true;
    return layout;
  };
  add("pp8x4balanced_50", 0.5, balanced(patterns(8, 4, 8)));
  add("pp8x4balanced_25", 0.25, balanced(patterns(8, 4, 8)));
  add("pp8x1balanced_50", 0.5, balanced(patterns(8, 1, 16)));
  add("pp8x1balanced_30", 0.3, balanced(patterns(8, 1, 16)));
  Layout both = patterns(8, 4, 8);
  both.scheme = Scheme::BlockPattern;
  add("bppp8x4_25", 0.25, both);
  add("bppp8x4balanced_25", 0.25, balanced(both));
  return plan;
}

std::vector<Layer> makeChain(int64_t k, int64_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  int64_t count = std::max<int64_t>(2, kChainBytes / (4 * k * n) / 2 * 2);
  std::vector<Layer> chain;
  for (int64_t i = 0; i < count; ++i) {
    Layer layer{i % 2 ? n : k, i % 2 ? k : n, std::vector<float>(k * n)};
    for (float &weight : layer.weights)
      weight = normal(random) / std::sqrt(float(layer.inputs));
    chain.push_back(std::move(layer));
  }
  return chain;
}

// For a single token, which has kernels of its own, or for up to kMaxTokens.
OwningOpRef<ModuleOp> makeModule(MLIRContext *context, const std::vector<Layer> &chain,
                                 std::optional<graph::Precision> precision, bool isToken) {
  ImplicitLocOpBuilder b(UnknownLoc::get(context), context);
  OwningOpRef<ModuleOp> module(ModuleOp::create(b.getLoc()));
  b.setInsertionPointToEnd(module->getBody());
  module.get()->setAttr(graph::kMaxLengthAttr, b.getI64IntegerAttr(kMaxTokens));
  auto typeOf = [&](int64_t features) {
    return RankedTensorType::get({isToken ? 1 : ShapedType::kDynamic, features}, b.getF32Type());
  };
  auto function = func::FuncOp::create(b, "main", b.getFunctionType({typeOf(chain[0].inputs)}, {}));
  b.setInsertionPointToStart(function.addEntryBlock());
  mlir::Value x = function.getArgument(0);
  for (auto [i, layer] : llvm::enumerate(chain)) {
    auto type = RankedTensorType::get({layer.inputs, layer.outputs}, b.getF32Type());
    ArrayRef<char> bytes(reinterpret_cast<const char *>(layer.weights.data()), 4 * layer.weights.size());
    mlir::Value w = graph::ConstantOp::create(b, graph::makeResource(type, "w", bytes));
    x = graph::LinearOp::create(b, typeOf(layer.outputs), x, w, mlir::Value(), mlir::Value(),
                                b.getStringAttr("l" + Twine(i)), graph::UnaryKindAttr(), ArrayAttr(),
                                precision ? graph::PrecisionAttr::get(context, *precision) : graph::PrecisionAttr());
  }
  func::ReturnOp::create(b, x);
  function.setType(b.getFunctionType(function.getArgumentTypes(), x.getType()));
  return module;
}

[[noreturn]] void stop(const std::string &why) {
  std::fprintf(stderr, "linear: %s\n", why.c_str());
  std::exit(1);
}
template <typename T> T orStop(llvm::Expected<T> value) {
  if (!value)
    stop(llvm::toString(value.takeError()));
  return std::move(*value);
}

class Bench {
public:
  Bench(int64_t k, int64_t n) : chain{makeChain(k, n), {}, {}}, shape(std::to_string(k) + "x" + std::to_string(n)) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    chain.input.resize(kMaxTokens * k);
    for (float &x : chain.input)
      x = normal(random);
    for (std::vector<float> &buffer : chain.buffers)
      buffer.resize(kMaxTokens * std::max(k, n));
  }

  void addAll() {
    Device device = orStop(hostDevice());
    for (std::optional<graph::Precision> precision :
         {std::optional<graph::Precision>(), std::optional(graph::Precision::BF16),
          std::optional(graph::Precision::Int8)})
      if (!precision || findProducts(device, precision))
        addOurs(device, precision);
    for (std::vector<Candidate> rivals : {denseRivals(chain), sparseRivals(chain)})
      for (Candidate &rival : rivals) {
        check(rival, rival.weights.empty() ? plainWeights() : rival.weights);
        candidates.push_back(std::move(rival));
      }
    candidates.push_back(fmaPeak(chain));
    for (int64_t tokens : kTokens)
      for (Candidate &candidate : candidates)
        benchmark::RegisterBenchmark((shape + "/M" + std::to_string(tokens) + "/" + candidate.name).c_str(),
                                     [this, &candidate, tokens](benchmark::State &state) {
                                       for (auto _ : state)
                                         candidate.run(tokens);
                                       double macs = 0;
                                       for (const Layer &layer : chain.layers)
                                         macs += double(layer.inputs) * layer.outputs * tokens;
                                       state.counters["dense_equivalent_gflops"] = benchmark::Counter(
                                           2e-9 * macs, benchmark::Counter::kIsIterationInvariantRate);
                                       state.counters["layers"] = chain.layers.size();
                                     });
  }

private:
  std::vector<std::vector<float>> plainWeights() const {
    std::vector<std::vector<float>> weights;
    for (const Layer &layer : chain.layers)
      weights.push_back(layer.weights);
    return weights;
  }

  void addOurs(const Device &device, std::optional<graph::Precision> precision) {
    DialectRegistry registry;
    registerDialects(registry);
    MLIRContext context(registry, MLIRContext::Threading::DISABLED);
    context.loadAllAvailableDialects();
    CompileOptions options;
    options.name = precision ? graph::stringifyPrecision(*precision).str() : "f32";
    options.device = device;
    options.levels = makePlan();
    options.keepsSparse = true;
    OwningOpRef<ModuleOp> module;
    LoadedModel *own[2]; // For a single token, for more.
    for (bool isToken : {true, false}) {
      module = makeModule(&context, chain.layers, precision, isToken);
      if (llvm::Error error = pruneLevels(*module, options.levels, pruningUnits(options.device)))
        stop(llvm::toString(std::move(error)));
      OwningOpRef<ModuleOp> copy(module->clone());
      CompileResult result = orStop(compilePruned(*copy, options));
      llvm::SmallString<128> folder;
      if (llvm::sys::fs::createUniqueDirectory("rt3-linear", folder))
        stop("no temporary folder");
      if (llvm::Error error = writeFiles(folder.str().str(), orStop(libraryFiles(result, options))))
        stop(llvm::toString(std::move(error)));
      models.push_back(orStop(LoadedModel::load(folder.str().str())));
      llvm::sys::fs::remove_directories(folder);
      own[!isToken] = models.back().get();
    }
    for (uint32_t i = 0; i < options.levels.levels.size(); ++i) {
      Candidate candidate{
          "rt3_" + options.name + "_" + options.levels.levels[i].name, {}, chain.buffers[0].data(), 1e-3, {}};
      candidate.run = [this, token = own[0], many = own[1], i](int64_t tokens) {
        LoadedModel *model = tokens == 1 ? token : many;
        (void)!rt3_model_set_level(model->model(), i);
        if (llvm::Error error = model->run({chain.input.data()}, {chain.buffers[0].data()}, tokens))
          stop(llvm::toString(std::move(error)));
      };
      // int8: 127 steps of activations, layer after layer; bf16: 256.
      candidate.tolerance = precision ? 0.2 : 1e-3;
      check(candidate, maskedWeights(*module, i));
      candidates.push_back(std::move(candidate));
    }
  }

  std::vector<std::vector<float>> maskedWeights(ModuleOp module, size_t level) {
    std::vector<std::vector<float>> weights = plainWeights();
    size_t i = 0;
    module.walk([&](graph::LinearOp op) {
      std::vector<float> &own = weights[i++];
      if (ElementsAttr mask = graph::encodingMask(op.getLevelsAttr()[level]))
        for (auto [weight, isKept] : llvm::zip(own, graph::byteElements(mask)))
          weight = isKept ? weight : 0;
    });
    return weights;
  }

  // Against OpenBLAS on `weights`.
  void check(const Candidate &candidate, const std::vector<std::vector<float>> &weights) {
    for (int64_t tokens : {1, 13}) {
      std::vector<float> x(chain.input.begin(), chain.input.begin() + tokens * chain.layers[0].inputs), y;
      for (auto [layer, own] : llvm::zip(chain.layers, weights)) {
        y.resize(tokens * layer.outputs);
        multiply(x.data(), layer, own.data(), tokens, y.data());
        x = y;
      }
      candidate.run(tokens);
      double difference = 0, size = 0;
      for (size_t i = 0; i < y.size(); ++i) {
        difference += std::pow(double(candidate.output[i]) - y[i], 2);
        size += double(y[i]) * y[i];
      }
      if (!(std::sqrt(difference / size) < candidate.tolerance))
        stop(candidate.name + " is wrong: relative error " + std::to_string(std::sqrt(difference / size)));
    }
  }

  Chain chain;
  std::string shape;
  std::vector<std::unique_ptr<LoadedModel>> models;
  std::deque<Candidate> candidates;
};

} // namespace

int main(int argc, char **argv) {
  long k = 0, n = 0;
  if (argc < 2 || std::sscanf(argv[1], "%ldx%ld", &k, &n) != 2 || k < 1 || n < 1)
    stop("usage: linear KxN [Google Benchmark's options]");
  // One thread, and OpenBLAS's best kernels, which it does not choose by itself on
  // newer CPUs. Libraries read the environment when they are loaded.
  if (!std::getenv("RT3_LINEAR_CHILD")) {
    setenv("RT3_LINEAR_CHILD", "1", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    if (__builtin_cpu_supports("avx512bw"))
      setenv("OPENBLAS_CORETYPE", "SkylakeX", 1);
    execv("/proc/self/exe", argv);
  }
  static Bench bench(k, n);
  bench.addAll();
  --argc;
  std::memmove(argv + 1, argv + 2, argc * sizeof *argv);
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("shape", std::to_string(k) + "x" + std::to_string(n));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
