// SPDX-License-Identifier: Apache-2.0
//
// Predicted time of kernels on a device, from instruction counts and issue
// limits. An estimate: caches are perfect but for the stream of weights.

#ifndef RT3_CODEGEN_COST_COSTMODEL_H
#define RT3_CODEGEN_COST_COSTMODEL_H

#include "codegen/devices/Device.h"
#include "codegen/packing/PackWeights.h"

#include <optional>

namespace mlir::rt3 {

// The device as it multiplies words of an int8 layer: what takes two instructions
// has half the rate. Without `dot` the device itself.
Device costDevice(const Device &device, std::optional<kernel::Dot> dot);

// Cycles of a linear layer for `tokens` tokens. Per block the largest of: FMAs
// by FMA rate, loads by load rate, instructions by issue rate, and the longest
// chain on one accumulator by latency, and its share of what a trip takes besides; per loop its
// exit, and that of the loop over the rest; per panel at least the
// stream's bytes by bandwidth. A single token has kernels of its own.
double predictLinearCycles(const Device &device, const PackedStream &stream, int64_t inputs, int64_t tokens);

// What predictLinearCycles gives for dense weights, without packing them.
// `valueSize`: bytes of a weight.
double predictDenseCycles(const Device &device, int64_t inputs, int64_t outputs, int64_t tokens, int64_t valueSize);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_COST_COSTMODEL_H
