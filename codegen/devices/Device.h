// SPDX-License-Identifier: Apache-2.0
//
// A CPU as numbers: what code to emit for it and how fast it is. One JSON file
// of this folder per device, compiled into the program.

#ifndef RT3_CODEGEN_DEVICES_DEVICE_H
#define RT3_CODEGEN_DEVICES_DEVICE_H

#include "dialects/graph/Quantize.h"
#include "dialects/kernel/Kernel.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mlir::rt3 {

// How a device multiplies numbers of a precision.
struct Products {
  kernel::Dot dot;
  std::string features;      // LLVM's features that this needs ...
  uint32_t requiredFeatures; // ... and rt3_cpu_feature_t.
};

struct Device {
  std::string name;
  std::string summary;                              // One line for people.
  std::string triple;                               // LLVM's target triple.
  std::string cpu;                                  // LLVM's name: which instructions may be used.
  std::string tuneCpu;                              // LLVM's name: whose latencies to schedule for.
  std::string tuneFeatures;                         // LLVM's features that say what is fast; may be empty.
  std::string isa;                                  // avx2, avx512 or neon.
  uint32_t requiredFeatures;                        // rt3_cpu_feature_t.
  int64_t lanes;                                    // f32 in a vector.
  int64_t tileRows;                                 // Outputs held in registers at a time ...
  int64_t tileVectors;                              // ... times vectors of tokens.
  int64_t blockUnroll;                              // Most blocks per trip of a pattern's loop.
  double fmaPerCycle, loadsPerCycle, issuePerCycle; // Vector instructions.
  double fmaLatency;                                // Cycles.
  double loopExitCycles;                            // What the end of a loop costs: a mispredicted branch.
  double foreseenTrips;   // Of a loop that always makes as many: up to these its end costs nothing.
  int64_t vectorsPerLoad; // Neighbouring vectors that one instruction loads.
  double tripCycles;      // What a trip of a pattern's loop takes beside its instructions.
  double weightsPerLoad;  // Weights that one load makes ready to multiply.
  std::map<graph::Precision, Products> products; // Beside f32 and f16; there is always int8.
  int64_t l1Size;                                // Bytes of first-level data cache.
  int64_t l2Size;                                // Bytes of second-level cache; activations
  double l2BytesPerCycle;                        // from there cost this besides.
  double streamBytesPerCycle;                    // Bandwidth for weights beyond the caches.
  int64_t streamPrefetch;                        // Bytes that a single token asks ahead; 0: none.
};

// How `device` multiplies numbers of `precision`: null if as f32, or not at all.
const Products *findProducts(const Device &device, std::optional<graph::Precision> precision);
// The tile of kernels for `device`.
kernel::TileAttr tileOf(MLIRContext *context, const Device &device);
// Products that `device` begins before the first is done.
int64_t productsInFlight(const Device &device);
// The instruction of a layer's products; none: multiply-adds of f32.
std::optional<kernel::Dot> dotOf(const Device &device, graph::LinearOp op);

// What pruning keeps or drops together so that the device's products are whole.
graph::PruningUnits pruningUnits(const Device &device);

// All devices, by name.
const std::vector<Device> &allDevices();

// The device of that name, or an error that lists all names.
llvm::Expected<Device> findDevice(llvm::StringRef name);

// The device for the machine that we run on, or an error if there is none.
llvm::Expected<Device> hostDevice();

// Reads one device file. Errors name the field that is missing or wrong.
llvm::Expected<Device> parseDevice(llvm::StringRef json);

} // namespace mlir::rt3

#endif // RT3_CODEGEN_DEVICES_DEVICE_H
