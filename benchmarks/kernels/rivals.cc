// SPDX-License-Identifier: Apache-2.0
//
// Dense rivals: OpenBLAS, oneDNN, XNNPACK, Halide and ONNX Runtime, all on one thread.

#include "benchmarks/baselines/onnxruntime.h"
#include "benchmarks/kernels/chain.h"
#include "compiler/onnx/Model.h"
#include "dialects/graph/Quantize.h"

#ifdef RT3_HALIDE
#include "halide_linear_few.h"
#include "halide_linear_one.h"
#include <HalideRuntime.h>
#endif

#include <cblas.h>
#include <dnnl.hpp>
#include <xnnpack.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

using namespace rt3_benchmark;
namespace graph = mlir::rt3::graph;
using namespace mlir::rt3;

void rt3_benchmark::multiply(const float *x, const Layer &layer, const float *weights, int64_t tokens, float *y) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, tokens, layer.outputs, layer.inputs, 1, x, layer.inputs,
              weights, layer.outputs, 0, y, layer.outputs);
}

static Candidate openBlas(Chain &chain) {
  return {"openblas",
          [&chain](int64_t tokens) {
            chain.forEachLayer([&](size_t i, const float *x, float *y) {
              multiply(x, chain.layers[i], chain.layers[i].weights.data(), tokens, y);
            });
          },
          chain.buffers[0].data(),
          1e-3,
          {}};
}

static Candidate oneDnn(Chain &chain) {
  struct State {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    std::map<std::pair<int64_t, int64_t>, dnnl::matmul> primitives; // By layer and tokens.
    std::map<std::pair<int64_t, int64_t>, dnnl::memory> weights;
  };
  auto state = std::make_shared<State>();
  using dnnl::memory;
  auto run = [&chain, state](int64_t tokens) {
    chain.forEachLayer([&](size_t i, const float *x, float *y) {
      const Layer &layer = chain.layers[i];
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
  };
  return {"onednn", run, chain.buffers[0].data(), 1e-3, {}};
}

static Candidate xnnpack(Chain &chain) {
  auto operators = std::make_shared<std::vector<xnn_operator_t>>();
  for (const Layer &layer : chain.layers) {
    xnn_operator_t op;
    if (xnn_create_fully_connected_nc_f32(layer.inputs, layer.outputs, layer.inputs, layer.outputs,
                                          layer.weights.data(), nullptr, -INFINITY, INFINITY,
                                          XNN_FLAG_TRANSPOSE_WEIGHTS, &op) != xnn_status_success) {
      std::fprintf(stderr, "linear: XNNPACK has no such layer\n");
      return {};
    }
    operators->push_back(op);
  }
  auto run = [&chain, operators](int64_t tokens) {
    chain.forEachLayer([&](size_t i, const float *x, float *y) {
      xnn_setup_fully_connected_nc_f32((*operators)[i], tokens, x, y, nullptr);
      xnn_run_operator((*operators)[i], nullptr);
    });
  };
  return {"xnnpack", run, chain.buffers[0].data(), 1e-3, {}};
}

#ifdef RT3_HALIDE
// Weights as halide_linear.cc wants them: [N / 96][K][96].
static Candidate halide(Chain &chain) {
  constexpr int64_t kWidth = 96;
  auto packed = std::make_shared<std::vector<std::vector<float>>>();
  for (const Layer &layer : chain.layers) {
    std::vector<float> own;
    for (int64_t n = 0; n < layer.outputs; n += kWidth)
      for (int64_t k = 0; k < layer.inputs; ++k)
        for (int64_t i = n; i < n + kWidth; ++i)
          own.push_back(i < layer.outputs ? layer.weights[k * layer.outputs + i] : 0);
    packed->push_back(std::move(own));
  }
  auto run = [&chain, packed](int64_t tokens) {
    chain.forEachLayer([&](size_t i, const float *x, float *y) {
      int k = chain.layers[i].inputs, n = chain.layers[i].outputs;
      // It reads whole tiles of four tokens, which are there, and keeps what is asked for.
      halide_dimension_t xShape[] = {{0, k, 1}, {0, int(kMaxTokens), k}},
                         yShape[] = {{0, kWidth, 1}, {0, int(tokens), n}, {0, int(n / kWidth), kWidth}},
                         wShape[] = {{0, kWidth, 1}, {0, k, kWidth}, {0, int(n / kWidth), int(k * kWidth)}};
      auto buffer = [](const float *host, int dimensions, halide_dimension_t *shape) {
        halide_buffer_t result{};
        result.host = reinterpret_cast<uint8_t *>(const_cast<float *>(host));
        result.type = halide_type_t(halide_type_float, 32);
        result.dimensions = dimensions;
        result.dim = shape;
        return result;
      };
      halide_buffer_t xBuffer = buffer(x, 2, xShape), yBuffer = buffer(y, 3, yShape),
                      wBuffer = buffer((*packed)[i].data(), 3, wShape);
      (tokens == 1 ? halide_linear_one : halide_linear_few)(&xBuffer, &wBuffer, &yBuffer);
    });
  };
  return {"halide", run, chain.buffers[0].data(), 1e-3, {}};
}
#endif

// The chain as an ONNX model; int8 as ONNX Runtime's own dynamic quantisation writes it.
static std::string onnxModel(const Chain &chain, bool isInt8) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto &graphProto = *model.mutable_graph();
  graphProto.set_name("chain");
  auto value = [](onnx::ValueInfoProto &info, const std::string &name, int64_t features) {
    info.set_name(name);
    auto &type = *info.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    type.mutable_shape()->add_dim()->set_dim_param("tokens");
    type.mutable_shape()->add_dim()->set_dim_value(features);
  };
  auto constant = [&](const std::string &name, int32_t type, std::vector<int64_t> dims, const void *data, size_t size) {
    onnx::TensorProto &tensor = *graphProto.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (int64_t dimension : dims)
      tensor.add_dims(dimension);
    tensor.set_raw_data(data, size);
  };
  auto node = [&](const std::string &op, std::vector<std::string> inputs, std::vector<std::string> results) {
    onnx::NodeProto &added = *graphProto.add_node();
    added.set_op_type(op);
    for (auto &name : inputs)
      added.add_input(name);
    for (auto &name : results)
      added.add_output(name);
    return &added;
  };
  value(*graphProto.add_input(), "x0", chain.layers[0].inputs);
  for (size_t i = 0; i < chain.layers.size(); ++i) {
    const Layer &layer = chain.layers[i];
    std::string id = std::to_string(i), x = "x" + id, y = "x" + std::to_string(i + 1);
    if (!isInt8) {
      constant("w" + id, onnx::TensorProto::FLOAT, {layer.inputs, layer.outputs}, layer.weights.data(),
               4 * layer.weights.size());
      node("MatMul", {x, "w" + id}, {y});
      continue;
    }
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
  value(*graphProto.add_output(), "x" + std::to_string(chain.layers.size()), chain.outputs());
  return model.SerializeAsString();
}

static Candidate onnxRuntime(Chain &chain, bool isInt8) {
  // A session per number of tokens: inputs are bound once.
  auto sessions = std::make_shared<std::map<int64_t, std::unique_ptr<onnxruntime::Session>>>();
  auto run = [&chain, sessions, bytes = onnxModel(chain, isInt8)](int64_t tokens) {
    auto &session = (*sessions)[tokens];
    if (!session) {
      session = std::make_unique<onnxruntime::Session>(bytes.data(), bytes.size());
      session->addInput("x0", onnxruntime::ElementType::F32, {tokens, chain.layers[0].inputs}, chain.input.data());
    }
    session->run("x" + std::to_string(chain.layers.size()));
    size_t count;
    const float *found = session->floats(&count);
    // For the check only; a copy of the result costs no more than a thousandth.
    if (tokens < 16)
      std::copy_n(found, count, chain.buffers[0].data());
  };
  return {isInt8 ? "onnxruntime_int8" : "onnxruntime", run, chain.buffers[0].data(), isInt8 ? 0.2 : 1e-3, {}};
}

std::vector<Candidate> rt3_benchmark::denseRivals(Chain &chain) {
  std::vector<Candidate> rivals{openBlas(chain), oneDnn(chain), onnxRuntime(chain, false), onnxRuntime(chain, true)};
  if (xnn_initialize(nullptr) != xnn_status_success)
    std::fprintf(stderr, "linear: XNNPACK cannot be used on this CPU\n");
  else if (Candidate rival = xnnpack(chain); rival.run)
    rivals.push_back(std::move(rival));
#ifdef RT3_HALIDE
  if (!__builtin_cpu_supports("avx512bw"))
    std::fprintf(stderr, "linear: the Halide layers are built for AVX-512\n");
  else if (chain.layers[0].inputs % 96 == 0 && chain.layers[0].outputs % 96 == 0)
    rivals.push_back(halide(chain));
  else
    std::fprintf(stderr, "linear: the Halide layers want outputs in groups of 96\n");
#endif
  return rivals;
}
