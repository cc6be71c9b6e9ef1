// SPDX-License-Identifier: Apache-2.0
//
// What no dense kernel can be faster than: multiply-adds alone, whose operands stay in registers.

#include "benchmarks/kernels/chain.h"

#include <benchmark/benchmark.h>

#include <immintrin.h>

using namespace rt3_benchmark;

// Independent sums: more than the four cycles of an addition times the two of them that start in each.
static constexpr int kSums = 16;

// Each sum goes from 2 or more to 1, so that no number becomes slow and none is known before.
__attribute__((target("avx512f"))) static float multiply512(int64_t steps) {
  __m512 sums[kSums], half = _mm512_set1_ps(0.5f);
  for (int i = 0; i < kSums; ++i)
    sums[i] = _mm512_set1_ps(i + 2.0f);
  for (int64_t step = 0; step < steps; ++step)
#pragma clang loop unroll(full)
    for (int i = 0; i < kSums; ++i)
      sums[i] = _mm512_fmadd_ps(sums[i], half, half);
  float all = 0;
  for (__m512 sum : sums)
    all += _mm512_reduce_add_ps(sum);
  return all;
}

__attribute__((target("avx2,fma"))) static float multiply256(int64_t steps) {
  __m256 sums[kSums - 4], half = _mm256_set1_ps(0.5f); // There are 16 registers.
  for (int i = 0; i < kSums - 4; ++i)
    sums[i] = _mm256_set1_ps(i + 2.0f);
  for (int64_t step = 0; step < steps; ++step)
#pragma clang loop unroll(full)
    for (int i = 0; i < kSums - 4; ++i)
      sums[i] = _mm256_fmadd_ps(sums[i], half, half);
  float all = 0;
  for (__m256 sum : sums)
    all += _mm256_cvtss_f32(sum);
  return all;
}

Candidate rt3_benchmark::fmaPeak(const Chain &chain) {
  int64_t macs = 0; // Of one token.
  for (const Layer &layer : chain.layers)
    macs += layer.inputs * layer.outputs;
  bool isWide = __builtin_cpu_supports("avx512f");
  Candidate candidate{"fma_peak", {}, nullptr, 0, {}};
  candidate.run = [macs, isWide](int64_t tokens) {
    float sum = isWide ? multiply512(macs * tokens / (kSums * 16)) : multiply256(macs * tokens / ((kSums - 4) * 8));
    benchmark::DoNotOptimize(sum);
  };
  return candidate;
}
