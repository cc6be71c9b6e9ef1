// SPDX-License-Identifier: Apache-2.0
//
// Linear layers of one shape, f32 and int8, at every scheme and density, beside
// ONNX Runtime, oneDNN, OpenBLAS and XNNPACK:
//
//   linear KxN [Google Benchmark's options]
//
// What is timed is a chain K -> N -> K -> ... of as many layers as take 48 MiB of
// f32 weights (at least two), so that weights are rotated through more than the
// cache and what a layer gives is what the next one takes. One thread; times are per
// chain. Each result is checked before anything is timed.

#include "benchmarks/baselines/onnxruntime.h"
#include "compiler/interpreter/Interpreter.h"
#include "compiler/onnx/Model.h"
#include "compiler/prune/PruneLevels.h"
#include "compiler/verbs/LoadedModel.h"
#include "compiler/verbs/Outputs.h"
#include "dialects/graph/Graph.h"
#include "dialects/graph/Quantize.h"

#include "llvm/Support/FileSystem.h"

#include <benchmark/benchmark.h>
#include <cblas.h>
#include <dnnl.hpp>
#include <xnnpack.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <unistd.h>

using namespace mlir;
using namespace mlir::rt3;

static constexpr int64_t kChainBytes = 48 << 20, kMaxTokens = 384;
static constexpr int64_t kTokens[] = {1, 8, 32, 128, 384};

namespace {

struct Layer {
  int64_t inputs, outputs;
  std::vector<float> weights; // [K][N]
};

// All schemes that are measured; what is printed is their name.
LevelPlan makePlan() {
  LevelPlan plan;
  plan.isNested = false;
  plan.minWeights = 0;
  plan.levels = {
      {.name = "dense", .scheme = Scheme::Dense, .density = 1},
      {.name = "bp_75", .scheme = Scheme::Block, .density = 0.75},
      {.name = "bp_50", .scheme = Scheme::Block, .density = 0.5},
      {.name = "bp_25", .scheme = Scheme::Block, .density = 0.25},
      {.name = "bp_12", .scheme = Scheme::Block, .density = 0.125},
      {.name = "pp8x4_75", .scheme = Scheme::Pattern, .density = 0.75, .rows = 8, .columns = 4, .patternCount = 8},
      {.name = "pp8x4_50", .scheme = Scheme::Pattern, .density = 0.5, .rows = 8, .columns = 4, .patternCount = 8},
      {.name = "pp8x4_25", .scheme = Scheme::Pattern, .density = 0.25, .rows = 8, .columns = 4, .patternCount = 8},
      {.name = "pp8x8_50", .scheme = Scheme::Pattern, .density = 0.5, .rows = 8, .columns = 8, .patternCount = 8},
      {.name = "pp8x1_50", .scheme = Scheme::Pattern, .density = 0.5, .rows = 8, .columns = 1, .patternCount = 16},
      {.name = "pp8x1_30", .scheme = Scheme::Pattern, .density = 0.3, .rows = 8, .columns = 1, .patternCount = 16},
      {.name = "pp4x1_50", .scheme = Scheme::Pattern, .density = 0.5, .rows = 4, .columns = 1, .patternCount = 15},
      {.name = "pp4x1_30", .scheme = Scheme::Pattern, .density = 0.3, .rows = 4, .columns = 1, .patternCount = 15},
      {.name = "bppp8x4_25",
       .scheme = Scheme::BlockPattern,
       .density = 0.25,
       .rows = 8,
       .columns = 4,
       .patternCount = 8}};
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
OwningOpRef<ModuleOp> makeModule(MLIRContext *context, const std::vector<Layer> &chain, bool isInt8, bool isToken) {
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
                                isInt8 ? graph::PrecisionAttr::get(context, graph::Precision::Int8)
                                       : graph::PrecisionAttr());
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

// x W for all tokens, by OpenBLAS.
void multiply(const float *x, const Layer &layer, const float *weights, int64_t tokens, float *y) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, tokens, layer.outputs, layer.inputs, 1, x, layer.inputs,
              weights, layer.outputs, 0, y, layer.outputs);
}

// Something that computes a chain: `run(tokens)` from `input` to `output`.
struct Candidate {
  std::string name;
  std::function<void(int64_t)> run;
  const float *output;
};

class Bench {
public:
  Bench(int64_t k, int64_t n) : chain(makeChain(k, n)), shape(std::to_string(k) + "x" + std::to_string(n)) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    input.resize(kMaxTokens * k);
    for (float &x : input)
      x = normal(random);
    for (std::vector<float> &buffer : buffers)
      buffer.resize(kMaxTokens * std::max(k, n));
  }

  void addAll() {
    addOurs(false);
    addOurs(true);
    addOpenBlas();
    addOneDnn();
    addXnnpack();
    addOnnxRuntime(false);
    addOnnxRuntime(true);
    for (int64_t tokens : kTokens)
      for (Candidate &candidate : candidates)
        benchmark::RegisterBenchmark((shape + "/M" + std::to_string(tokens) + "/" + candidate.name).c_str(),
                                     [this, &candidate, tokens](benchmark::State &state) {
                                       for (auto _ : state)
                                         candidate.run(tokens);
                                       double macs = 0;
                                       for (const Layer &layer : chain)
                                         macs += double(layer.inputs) * layer.outputs * tokens;
                                       state.counters["dense_equivalent_gflops"] = benchmark::Counter(
                                           2e-9 * macs, benchmark::Counter::kIsIterationInvariantRate);
                                       state.counters["layers"] = chain.size();
                                     });
  }

private:
  int64_t outputs() const { return chain.back().outputs; }

  void addOurs(bool isInt8) {
    DialectRegistry registry;
    registerDialects(registry);
    MLIRContext context(registry, MLIRContext::Threading::DISABLED);
    context.loadAllAvailableDialects();
    CompileOptions options;
    options.name = isInt8 ? "int8" : "f32";
    options.device = orStop(hostDevice());
    options.levels = makePlan();
    options.keepsSparse = true;
    OwningOpRef<ModuleOp> module;
    LoadedModel *own[2]; // For a single token, for more.
    for (bool isToken : {true, false}) {
      module = makeModule(&context, chain, isInt8, isToken);
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
      Candidate candidate{"rt3_" + options.name + "_" + options.levels.levels[i].name, {}, buffers[0].data()};
      candidate.run = [this, token = own[0], many = own[1], i](int64_t tokens) {
        LoadedModel *model = tokens == 1 ? token : many;
        (void)!rt3_model_set_level(model->model(), i);
        if (llvm::Error error = model->run({input.data()}, {buffers[0].data()}, tokens))
          stop(llvm::toString(std::move(error)));
      };
      // int8: 127 steps of activations, layer after layer.
      check(candidate, *module, i, isInt8 ? 0.2 : 1e-3);
      candidates.push_back(std::move(candidate));
    }
  }

  // Against OpenBLAS on the masked weights, or all weights without a module.
  void check(const Candidate &candidate, ModuleOp module, size_t level, double tolerance) {
    for (int64_t tokens : {1, 13})
      check(candidate, module, level, tolerance, tokens);
  }

  void check(const Candidate &candidate, ModuleOp module, size_t level, double tolerance, int64_t tokens) {
    std::vector<float> x(input.begin(), input.begin() + tokens * chain[0].inputs), y;
    std::vector<graph::LinearOp> ops;
    if (module)
      module.walk([&](graph::LinearOp op) { ops.push_back(op); });
    for (size_t i = 0; i < chain.size(); ++i) {
      std::vector<float> weights = chain[i].weights;
      if (module)
        if (ElementsAttr mask = graph::encodingMask(ops[i].getLevelsAttr()[level])) {
          std::vector<uint8_t> kept = graph::byteElements(mask);
          for (size_t w = 0; w < weights.size(); ++w)
            weights[w] = kept[w] ? weights[w] : 0;
        }
      y.resize(tokens * chain[i].outputs);
      multiply(x.data(), chain[i], weights.data(), tokens, y.data());
      x = y;
    }
    candidate.run(tokens);
    double difference = 0, size = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      difference += std::pow(double(candidate.output[i]) - y[i], 2);
      size += double(y[i]) * y[i];
    }
    if (!(std::sqrt(difference / size) < tolerance))
      stop(candidate.name + " is wrong: relative error " + std::to_string(std::sqrt(difference / size)));
  }

  void add(Candidate candidate, double tolerance = 1e-3) {
    check(candidate, nullptr, 0, tolerance);
    candidates.push_back(std::move(candidate));
  }

  // From buffer to buffer; an even number of layers ends in the second.
  void forEachLayer(int64_t tokens, const std::function<void(size_t, const float *, float *)> &body) {
    (void)tokens;
    for (size_t i = 0; i < chain.size(); ++i)
      body(i, i == 0 ? input.data() : buffers[i % 2].data(), buffers[(i + 1) % 2].data());
  }

  void addOpenBlas() {
    add({"openblas",
         [this](int64_t tokens) {
           forEachLayer(tokens, [&](size_t i, const float *x, float *y) {
             multiply(x, chain[i], chain[i].weights.data(), tokens, y);
           });
         },
         buffers[0].data()});
  }

  void addOneDnn() {
    struct State {
      dnnl::engine engine{dnnl::engine::kind::cpu, 0};
      dnnl::stream stream{engine};
      std::map<std::pair<int64_t, int64_t>, dnnl::matmul> primitives; // By layer and tokens.
      std::map<std::pair<int64_t, int64_t>, dnnl::memory> weights;
    };
    auto state = std::make_shared<State>();
    using dnnl::memory;
    add({"onednn",
         [this, state](int64_t tokens) {
           forEachLayer(tokens, [&](size_t i, const float *x, float *y) {
             const Layer &layer = chain[i];
             auto f32 = memory::data_type::f32;
             memory::desc xDesc({tokens, layer.inputs}, f32, memory::format_tag::ab),
                 yDesc({tokens, layer.outputs}, f32, memory::format_tag::ab),
                 plain({layer.inputs, layer.outputs}, f32, memory::format_tag::ab),
                 any({layer.inputs, layer.outputs}, f32, memory::format_tag::any);
             std::pair key(int64_t(i), tokens);
             if (!state->primitives.count(key)) { // Not timed: the check and warm-up come first.
               dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(xDesc, any, yDesc), state->engine);
               memory packed(desc.weights_desc(), state->engine),
                   given(plain, state->engine, const_cast<float *>(layer.weights.data()));
               dnnl::reorder(given, packed).execute(state->stream, given, packed);
               state->primitives.emplace(key, dnnl::matmul(desc));
               state->weights.emplace(key, packed);
             }
             state->primitives.at(key).execute(state->stream,
                                               {{DNNL_ARG_SRC, memory(xDesc, state->engine, const_cast<float *>(x))},
                                                {DNNL_ARG_WEIGHTS, state->weights.at(key)},
                                                {DNNL_ARG_DST, memory(yDesc, state->engine, y)}});
           });
           state->stream.wait();
         },
         buffers[0].data()});
  }

  void addXnnpack() {
    if (xnn_initialize(nullptr) != xnn_status_success)
      return (void)std::fprintf(stderr, "linear: XNNPACK cannot be used on this CPU\n");
    auto operators = std::make_shared<std::vector<xnn_operator_t>>();
    for (const Layer &layer : chain) {
      xnn_operator_t op;
      if (xnn_create_fully_connected_nc_f32(layer.inputs, layer.outputs, layer.inputs, layer.outputs,
                                            layer.weights.data(), nullptr, -INFINITY, INFINITY,
                                            XNN_FLAG_TRANSPOSE_WEIGHTS, &op) != xnn_status_success)
        return (void)std::fprintf(stderr, "linear: XNNPACK has no such layer\n");
      operators->push_back(op);
    }
    add({"xnnpack",
         [this, operators](int64_t tokens) {
           forEachLayer(tokens, [&](size_t i, const float *x, float *y) {
             xnn_setup_fully_connected_nc_f32((*operators)[i], tokens, x, y, nullptr);
             xnn_run_operator((*operators)[i], nullptr);
           });
         },
         buffers[0].data()});
  }

  void addOnnxRuntime(bool isInt8) {
    onnx::ModelProto model;
    model.set_ir_version(8);
    model.add_opset_import()->set_version(17);
    onnx::GraphProto &graph = *model.mutable_graph();
    graph.set_name("chain");
    auto value = [](onnx::ValueInfoProto &info, const std::string &name, int64_t features) {
      info.set_name(name);
      auto &type = *info.mutable_type()->mutable_tensor_type();
      type.set_elem_type(onnx::TensorProto::FLOAT);
      type.mutable_shape()->add_dim()->set_dim_param("tokens");
      type.mutable_shape()->add_dim()->set_dim_value(features);
    };
    auto constant = [&](const std::string &name, int32_t type, std::vector<int64_t> dims, const void *data,
                        size_t size) {
      onnx::TensorProto &tensor = *graph.add_initializer();
      tensor.set_name(name);
      tensor.set_data_type(type);
      for (int64_t dimension : dims)
        tensor.add_dims(dimension);
      tensor.set_raw_data(data, size);
      return name;
    };
    auto node = [&](const std::string &op, std::vector<std::string> inputs, std::vector<std::string> results) {
      onnx::NodeProto &added = *graph.add_node();
      added.set_op_type(op);
      for (auto &name : inputs)
        added.add_input(name);
      for (auto &name : results)
        added.add_output(name);
      return &added;
    };
    value(*graph.add_input(), "x0", chain[0].inputs);
    for (size_t i = 0; i < chain.size(); ++i) {
      const Layer &layer = chain[i];
      std::string id = std::to_string(i), x = "x" + id, y = "x" + std::to_string(i + 1);
      if (!isInt8) {
        constant("w" + id, onnx::TensorProto::FLOAT, {layer.inputs, layer.outputs}, layer.weights.data(),
                 4 * layer.weights.size());
        node("MatMul", {x, "w" + id}, {y});
        continue;
      }
      // As ONNX Runtime's own dynamic quantisation writes it.
      graph::QuantizedWeights quantized = graph::quantizeWeights(layer.weights, layer.inputs, layer.outputs);
      std::vector<int8_t> zeros(layer.outputs, 0);
      constant("w" + id, onnx::TensorProto::INT8, {layer.inputs, layer.outputs}, quantized.values.data(),
               quantized.values.size());
      constant("z" + id, onnx::TensorProto::INT8, {layer.outputs}, zeros.data(), zeros.size());
      constant("s" + id, onnx::TensorProto::FLOAT, {layer.outputs}, quantized.scales.data(), 4 * zeros.size());
      node("DynamicQuantizeLinear", {x}, {"q" + id, "qs" + id, "qz" + id});
      node("MatMulInteger", {"q" + id, "w" + id, "qz" + id, "z" + id}, {"i" + id});
      auto *to = node("Cast", {"i" + id}, {"f" + id})->add_attribute();
      to->set_name("to");
      to->set_type(onnx::AttributeProto::INT);
      to->set_i(onnx::TensorProto::FLOAT);
      node("Mul", {"qs" + id, "s" + id}, {"m" + id});
      node("Mul", {"f" + id, "m" + id}, {y});
    }
    std::string last = "x" + std::to_string(chain.size());
    value(*graph.add_output(), last, outputs());
    std::string bytes = model.SerializeAsString();
    // A session per number of tokens: inputs are bound once.
    auto sessions = std::make_shared<std::map<int64_t, std::unique_ptr<onnxruntime::Session>>>();
    auto run = [this, sessions, bytes, last](int64_t tokens) {
      auto &session = (*sessions)[tokens];
      if (!session) {
        session = std::make_unique<onnxruntime::Session>(bytes.data(), bytes.size());
        session->addInput("x0", onnxruntime::ElementType::F32, {tokens, chain[0].inputs}, input.data());
      }
      session->run(last);
      size_t count;
      const float *found = session->floats(&count);
      // For the check only; a copy of the result costs no more than a thousandth.
      if (tokens < 16)
        std::copy_n(found, count, buffers[0].data());
    };
    add({isInt8 ? "onnxruntime_int8" : "onnxruntime", run, buffers[0].data()}, isInt8 ? 0.2 : 1e-3);
  }

  std::vector<Layer> chain;
  std::string shape;
  std::vector<float> input, buffers[2];
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
