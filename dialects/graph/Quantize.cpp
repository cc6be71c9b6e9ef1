// SPDX-License-Identifier: Apache-2.0

#include "dialects/graph/Quantize.h"

#include "llvm/ADT/bit.h"
#include <algorithm>

#include <cmath>

using namespace mlir::rt3;

static int8_t quantum(double value) {
  double largest = graph::kLargestQuantum;
  return int8_t(std::nearbyint(std::min(std::max(value, -largest), largest)));
}

graph::QuantizedWeights graph::quantizeWeights(llvm::ArrayRef<float> weights, int64_t inputs, int64_t outputs) {
  QuantizedWeights result{std::vector<int8_t>(weights.size()), std::vector<float>(outputs, 0)};
  for (int64_t k = 0; k < inputs; ++k)
    for (int64_t n = 0; n < outputs; ++n)
      result.scales[n] = std::max(result.scales[n], std::abs(weights[k * outputs + n]));
  for (float &scale : result.scales)
    scale /= kLargestQuantum;
  for (int64_t k = 0; k < inputs; ++k)
    for (int64_t n = 0; n < outputs; ++n)
      if (result.scales[n] != 0)
        result.values[k * outputs + n] = quantum(weights[k * outputs + n] / result.scales[n]);
  return result;
}

float graph::quantizeToken(llvm::ArrayRef<float> features, std::vector<int8_t> &out) {
  out.assign(features.size(), 0);
  float largest = 0;
  for (float feature : features)
    largest = std::isnan(feature) || std::isnan(largest) ? NAN : std::max(largest, std::abs(feature));
  if (!std::isfinite(largest))
    return NAN;
  float factor = float(kLargestQuantum) / largest;
  if (std::isinf(factor)) // Zeros, or so small that it overflows.
    return 0;
  for (size_t i = 0; i < features.size(); ++i)
    out[i] = quantum(double(features[i]) * factor); // Exact, so rounded once.
  return largest * (1.0f / kLargestQuantum);
}

uint16_t mlir::rt3::graph::toHalf(float value) { return llvm::bit_cast<uint16_t>(_Float16(value)); }

uint16_t mlir::rt3::graph::toBfloat(float value) {
  uint32_t bits = llvm::bit_cast<uint32_t>(value);
  if (std::isnan(value)) // Rounding could make it infinite.
    return bits >> 16 | 0x40;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

float mlir::rt3::graph::rounded(float value, std::optional<Precision> precision) {
  if (precision == Precision::F16 || precision == Precision::F16Sums)
    return float(_Float16(value));
  if (precision == Precision::BF16)
    return llvm::bit_cast<float>(uint32_t(toBfloat(value)) << 16);
  return value;
}
