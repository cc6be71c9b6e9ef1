// SPDX-License-Identifier: Apache-2.0
//
// The chain of layers that benchmarks/kernels times, and what computes it.

#ifndef RT3_BENCHMARKS_KERNELS_CHAIN_H
#define RT3_BENCHMARKS_KERNELS_CHAIN_H

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rt3_benchmark {

inline constexpr int64_t kMaxTokens = 384;

struct Layer {
  int64_t inputs, outputs;
  std::vector<float> weights; // [K][N]
};

// A chain K -> N -> K -> ... and memory for it, of kMaxTokens tokens.
struct Chain {
  std::vector<Layer> layers;
  std::vector<float> input, buffers[2];

  int64_t outputs() const { return layers.back().outputs; }

  // From buffer to buffer; an even number of layers ends in the first.
  void forEachLayer(const std::function<void(size_t, const float *, float *)> &body) {
    for (size_t i = 0; i < layers.size(); ++i)
      body(i, i == 0 ? input.data() : buffers[i % 2].data(), buffers[(i + 1) % 2].data());
  }
};

// Something that computes a chain: `run(tokens)` from the input to `output`, token-major.
struct Candidate {
  std::string name;
  std::function<void(int64_t)> run;
  const float *output;
  double tolerance = 1e-3;                 // Relative to the size of the result.
  std::vector<std::vector<float>> weights; // Per layer, if they are not the chain's.
};

// x W for all tokens, by OpenBLAS.
void multiply(const float *x, const Layer &layer, const float *weights, int64_t tokens, float *y);

// Every rival that is there; others say on stderr why they are not. They keep `chain`.
std::vector<Candidate> denseRivals(Chain &chain);
// As many multiply-adds in f32 as the chain's, on registers: gives no result.
Candidate fmaPeak(const Chain &chain);
// Compressed rows (Eigen's) and XNNPACK's sparse layers, of weights without any structure.
std::vector<Candidate> sparseRivals(Chain &chain);

} // namespace rt3_benchmark

#endif // RT3_BENCHMARKS_KERNELS_CHAIN_H
