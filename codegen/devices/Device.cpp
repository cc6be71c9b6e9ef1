// SPDX-License-Identifier: Apache-2.0

#include "codegen/devices/Device.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/JSON.h"
#include "llvm/TargetParser/Host.h"

#include <cmath>

using namespace mlir::rt3;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;
using llvm::StringRef;

// Written by CMake: the text of every device file.
static const char *const kDeviceFiles[] = {
#include "codegen/devices/DeviceFiles.inc"
};

Expected<Device> mlir::rt3::parseDevice(StringRef json) {
  Expected<llvm::json::Value> value = llvm::json::parse(json);
  if (!value)
    return value.takeError();
  const llvm::json::Object *object = value->getAsObject();
  if (!object)
    return createStringError("device: expected a JSON object");
  Device device{};
  Error error = Error::success();
  auto missing = [&](StringRef field, const char *kind) {
    error = llvm::joinErrors(std::move(error), createStringError("device: \"" + field + "\" is not " + kind));
  };
  auto text = [&](StringRef field, std::string &out) {
    if (auto found = object->getString(field))
      out = found->str();
    else
      missing(field, "a text");
  };
  auto number = [&](StringRef field, auto &out) {
    auto found = object->getNumber(field);
    if (found && *found >= 0)
      out = *found;
    else
      missing(field, "a number of at least 0");
  };
  text("name", device.name);
  text("summary", device.summary);
  text("triple", device.triple);
  text("cpu", device.cpu);
  text("tune_cpu", device.tuneCpu);
  text("tune_features", device.tuneFeatures);
  text("isa", device.isa);
  number("required_features", device.requiredFeatures);
  if (const llvm::json::Object *products = object->getObject("products")) {
    for (auto &[key, value] : *products) {
      StringRef field = key;
      const llvm::json::Object *entry = value.getAsObject();
      auto precision = graph::symbolizePrecision(field);
      auto dot = kernel::symbolizeDot(entry ? entry->getString("dot").value_or("") : "");
      auto features = entry ? entry->getString("features") : std::nullopt;
      auto required = entry ? entry->getInteger("required_features") : std::nullopt;
      if (precision && dot && features && required && *required >= 0)
        device.products[*precision] = {*dot, features->str(), uint32_t(*required)};
      else
        missing(("products." + field).str(), "a precision with a dot, features and required_features");
    }
  }
  if (!device.products.count(graph::Precision::Int8))
    missing("products", "an object with int8");
  number("lanes", device.lanes);
  number("tile_rows", device.tileRows);
  number("tile_vectors", device.tileVectors);
  number("block_unroll", device.blockUnroll);
  number("fma_per_cycle", device.fmaPerCycle);
  number("loads_per_cycle", device.loadsPerCycle);
  number("issue_per_cycle", device.issuePerCycle);
  number("fma_latency", device.fmaLatency);
  number("loop_exit_cycles", device.loopExitCycles);
  number("foreseen_trips", device.foreseenTrips);
  number("vectors_per_load", device.vectorsPerLoad);
  number("trip_cycles", device.tripCycles);
  number("weights_per_load", device.weightsPerLoad);
  number("l1_size", device.l1Size);
  number("l2_size", device.l2Size);
  number("l2_bytes_per_cycle", device.l2BytesPerCycle);
  number("stream_bytes_per_cycle", device.streamBytesPerCycle);
  number("stream_prefetch", device.streamPrefetch);
  if (device.streamPrefetch < 0)
    missing("stream_prefetch", "0 or more");
  if (device.blockUnroll < 1)
    missing("block_unroll", "at least 1");
  if (device.vectorsPerLoad < 1 || device.vectorsPerLoad > 4)
    missing("vectors_per_load", "1 to 4");
  if (device.vectorsPerLoad > 1 && device.isa != "neon")
    missing("vectors_per_load", "1 where \"isa\" is not neon");
  if (error)
    return std::move(error);
  return device;
}

const Products *mlir::rt3::findProducts(const Device &device, std::optional<graph::Precision> precision) {
  auto found = precision ? device.products.find(*precision) : device.products.end();
  return found == device.products.end() ? nullptr : &found->second;
}

kernel::TileAttr mlir::rt3::tileOf(MLIRContext *context, const Device &device) {
  StringRef isa = StringAttr::get(context, device.isa).getValue();
  return kernel::TileAttr::get(context, device.tileRows, device.tileVectors, device.lanes, isa,
                               productsInFlight(device), device.vectorsPerLoad, device.streamPrefetch);
}

int64_t mlir::rt3::productsInFlight(const Device &device) { return std::ceil(device.fmaPerCycle * device.fmaLatency); }

std::optional<kernel::Dot> mlir::rt3::dotOf(const Device &device, graph::LinearOp op) {
  const Products *products = findProducts(device, op.getPrecision());
  return products ? std::optional(products->dot) : std::nullopt;
}

graph::PruningUnits mlir::rt3::pruningUnits(const Device &device) {
  graph::PruningUnits units;
  for (auto &[precision, products] : device.products) {
    graph::PruningUnit &unit = units[precision];
    unit.inputs = kernel::inputsPerWord(products.dot);
    // The same model for all that have no instruction of more.
    if (precision == graph::Precision::Int8)
      unit.inputs = std::max(unit.inputs, kernel::inputsPerWord(kernel::Dot::Sdot));
    unit.outputs = products.dot == kernel::Dot::Smmla ? 2 : 1;
  }
  return units;
}

const std::vector<Device> &mlir::rt3::allDevices() {
  static const std::vector<Device> devices = [] {
    std::vector<Device> result;
    for (const char *file : kDeviceFiles)
      result.push_back(llvm::cantFail(parseDevice(file)));
    return result;
  }();
  return devices;
}

Expected<Device> mlir::rt3::findDevice(StringRef name) {
  std::string names;
  for (const Device &device : allDevices()) {
    if (device.name == name)
      return device;
    names += (names.empty() ? "" : ", ") + device.name;
  }
  return createStringError("no target \"" + name.str() + "\"; known targets: " + names);
}

Expected<Device> mlir::rt3::hostDevice() {
#if defined(__x86_64__)
  llvm::StringMap<bool, llvm::MallocAllocator> features = llvm::sys::getHostCPUFeatures();
  if (features.lookup("avx512f") && features.lookup("avx512vl") && features.lookup("avx512bw") &&
      features.lookup("avx512dq")) {
    __builtin_cpu_init();
    StringRef withVnni = __builtin_cpu_is("intel") ? "x86-64-v4-vnni-intel" : "x86-64-v4-vnni";
    Expected<Device> device = findDevice(features.lookup("avx512vnni") ? withVnni : "x86-64-v4");
    if (device && !features.lookup("avx512bf16"))
      device->products.erase(graph::Precision::BF16);
    return device;
  }
  if (features.lookup("avx2") && features.lookup("fma"))
    return findDevice("x86-64-v3");
  return createStringError("this machine has no AVX2; name another one with --target");
#elif defined(__aarch64__)
  return findDevice("armv8-a");
#else
  return createStringError("there is no target for this machine; name one with --target");
#endif
}
