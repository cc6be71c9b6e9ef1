// SPDX-License-Identifier: Apache-2.0
//
// Sparse companions without any structure: the smallest weights of each layer are gone.
// Activations are feature-major, the layout that suits both.

#include "benchmarks/kernels/chain.h"

#include <Eigen/SparseCore>
#include <xnnpack.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>

using namespace rt3_benchmark;

// W without its smallest weights.
static std::vector<float> prune(const Layer &layer, double density) {
  std::vector<float> sizes;
  for (float weight : layer.weights)
    sizes.push_back(std::abs(weight));
  size_t gone = std::llround((1 - density) * sizes.size());
  std::nth_element(sizes.begin(), sizes.begin() + gone, sizes.end());
  std::vector<float> kept = layer.weights;
  for (float &weight : kept)
    weight = std::abs(weight) < sizes[gone] ? 0 : weight;
  return kept;
}

// A candidate whose layers go from feature-major to feature-major; `run(i, tokens, x, y)`.
static Candidate featureMajor(Chain &chain, std::string name, std::vector<std::vector<float>> weights,
                              std::function<void(size_t, int64_t, const float *, float *)> run) {
  // The input is turned once for each number of tokens; results only to be checked.
  auto inputs = std::make_shared<std::map<int64_t, std::vector<float>>>();
  auto turned = std::make_shared<std::vector<float>>(kMaxTokens * chain.outputs());
  auto body = [&chain, inputs, turned, run](int64_t tokens) {
    std::vector<float> &input = (*inputs)[tokens];
    int64_t features = chain.layers[0].inputs, outputs = chain.outputs();
    if (input.empty())
      for (int64_t k = 0; k < features; ++k)
        for (int64_t t = 0; t < tokens; ++t)
          input.push_back(chain.input[t * features + k]);
    chain.forEachLayer([&](size_t i, const float *x, float *y) { run(i, tokens, i == 0 ? input.data() : x, y); });
    for (int64_t n = 0; tokens < 16 && n < outputs; ++n)
      for (int64_t t = 0; t < tokens; ++t)
        (*turned)[t * outputs + n] = chain.buffers[0][n * tokens + t];
  };
  return {std::move(name), body, turned->data(), 1e-3, std::move(weights)};
}

static Candidate csr(Chain &chain, const std::string &suffix, std::vector<std::vector<float>> weights) {
  using Compressed = Eigen::SparseMatrix<float, Eigen::RowMajor>;
  using Dense = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  auto matrices = std::make_shared<std::vector<Compressed>>();
  for (size_t i = 0; i < chain.layers.size(); ++i) {
    const Layer &layer = chain.layers[i];
    Dense plain = Eigen::Map<const Dense>(weights[i].data(), layer.inputs, layer.outputs).transpose();
    matrices->push_back(plain.sparseView(0, 0));
  }
  return featureMajor(chain, "csr_" + suffix, std::move(weights),
                      [matrices](size_t i, int64_t tokens, const float *x, float *y) {
                        const Compressed &matrix = (*matrices)[i];
                        Eigen::Map<Dense>(y, matrix.rows(), tokens).noalias() =
                            matrix * Eigen::Map<const Dense>(x, matrix.cols(), tokens);
                      });
}

// XNNPACK's sparse layer is a 1x1 convolution of channels before pixels.
static Candidate xnnpackSparse(Chain &chain, const std::string &suffix, std::vector<std::vector<float>> weights) {
  auto operators = std::make_shared<std::vector<xnn_operator_t>>();
  for (size_t i = 0; i < chain.layers.size(); ++i) {
    const Layer &layer = chain.layers[i];
    std::vector<float> turned;
    for (int64_t n = 0; n < layer.outputs; ++n)
      for (int64_t k = 0; k < layer.inputs; ++k)
        turned.push_back(weights[i][k * layer.outputs + n]);
    xnn_operator_t op;
    if (xnn_create_convolution2d_nchw_f32(0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, layer.inputs, layer.outputs, layer.inputs,
                                          layer.outputs, turned.data(), nullptr, -INFINITY, INFINITY, 0,
                                          &op) != xnn_status_success) {
      std::fprintf(stderr, "linear: XNNPACK has no such sparse layer\n");
      return {};
    }
    operators->push_back(op);
  }
  return featureMajor(chain, "xnnpack_sparse_" + suffix, std::move(weights),
                      [operators](size_t i, int64_t tokens, const float *x, float *y) {
                        xnn_setup_convolution2d_nchw_f32((*operators)[i], 1, 1, tokens, x, y, nullptr);
                        xnn_run_operator((*operators)[i], nullptr);
                      });
}

std::vector<Candidate> rt3_benchmark::sparseRivals(Chain &chain) {
  std::vector<Candidate> rivals;
  bool hasXnnpack = xnn_initialize(nullptr) == xnn_status_success;
  for (int percent : {50, 30}) {
    std::vector<std::vector<float>> weights;
    for (const Layer &layer : chain.layers)
      weights.push_back(prune(layer, percent / 100.0));
    rivals.push_back(csr(chain, std::to_string(percent), weights));
    if (!hasXnnpack)
      continue;
    if (Candidate rival = xnnpackSparse(chain, std::to_string(percent), weights); rival.run)
      rivals.push_back(std::move(rival));
  }
  return rivals;
}
