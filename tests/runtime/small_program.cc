// SPDX-License-Identifier: Apache-2.0

#include "tests/runtime/small_program.h"

#include "compiler/bundle/BundleWriter.h"

namespace {

// Two segments of a stream with two patterns of 2 and 1 values.
constexpr uint8_t kValues[] = {2, 1};
constexpr uint32_t kIndexLimit = 9, kLastIndexLimit = 3;

// Walks the stream as generated code does, trusting what was checked.
float sumStream(const uint8_t *stream) {
  static const float kInputs[kIndexLimit + 1] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  float sum = 0;
  for (int segment = 0; segment < 2; ++segment) {
    uint16_t counts[2];
    memcpy(counts, stream, sizeof counts);
    size_t blocks = counts[0] + counts[1];
    const uint8_t *indices = stream + 4;
    const uint8_t *values = stream + (4 + 2 * blocks + 3) / 4 * 4;
    for (size_t block = 0; block < blocks; ++block) {
      uint16_t index;
      memcpy(&index, indices + 2 * block, 2);
      for (int i = 0; i < kValues[block >= counts[0]]; ++i, values += 4) {
        float value;
        memcpy(&value, values, 4);
        sum += value * kInputs[index];
      }
    }
    stream = values;
  }
  return sum;
}

template <int level> void runLevel(const rt3_call_t *call) {
  volatile float sum = sumStream(static_cast<const uint8_t *>(call->weights) + 64);
  *static_cast<float *>(call->workspace) = sum;
  for (int64_t i = 0; i < call->length; ++i)
    static_cast<float *>(call->outputs[0])[i] = static_cast<const float *>(call->inputs[0])[i] + level;
}

const rt3_tensor_t kInput = {"x", RT3_FLOAT32, 1, {-1}};
const rt3_tensor_t kOutput = {"y", RT3_FLOAT32, 1, {-1}};
const rt3_level_function_t kLevels[] = {runLevel<0>, runLevel<1>};

// counts, indices, padding, values; then the same for the second segment.
std::string streamBytes() {
  std::string bytes;
  auto u16 = [&](uint16_t value) { bytes.append(reinterpret_cast<char *>(&value), 2); };
  auto f32 = [&](float value) { bytes.append(reinterpret_cast<char *>(&value), 4); };
  u16(1), u16(2), u16(9), u16(0), u16(4), u16(0);
  for (float value : {1.0f, 2.0f, 3.0f, 4.0f})
    f32(value);
  u16(0), u16(1), u16(3), u16(0);
  f32(5.0f);
  return bytes;
}

// One part, of which there is one per segment.
constexpr uint32_t kPartGroups[] = {0};
constexpr uint64_t kPartOffsets[] = {0, 28};

const rt3_stream_t kStream = {64,      40, 2,           1,           2, 1, 4, 1, kIndexLimit, kLastIndexLimit,
                              kValues, 1,  kPartGroups, kPartOffsets};

} // namespace

const rt3_program_t kSmallProgram = {sizeof(rt3_program_t),
                                     0,
                                     {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
                                     64 + 40,
                                     64,
                                     0,
                                     8,
                                     0,
                                     2,
                                     1,
                                     1,
                                     1,
                                     sizeof(rt3_stream_t),
                                     &kInput,
                                     &kOutput,
                                     &kStream,
                                     kLevels};

std::string smallBundle() {
  mlir::rt3::BundleContents contents;
  memcpy(contents.modelId.data(), kSmallProgram.model_id, 16);
  contents.levels.resize(2);
  strcpy(contents.levels[0].name, "low");
  strcpy(contents.levels[1].name, "high");
  contents.levels[0].density_ppm = 500000;
  contents.levels[1].density_ppm = 1000000;
  contents.weights = std::string(64, '\7') + streamBytes();
  contents.report = "{}";
  return mlir::rt3::writeBundle(contents);
}

void repairHash(std::string &bundle) {
  if (bundle.size() < sizeof(rt3_bundle_header_t))
    return;
  uint64_t size = bundle.size(), hash = rt3_hash(bundle.data() + 128, bundle.size() - 128);
  memcpy(bundle.data() + offsetof(rt3_bundle_header_t, file_size), &size, 8);
  memcpy(bundle.data() + offsetof(rt3_bundle_header_t, content_hash), &hash, 8);
}

Memory alignedCopy(const std::string &bytes) {
  void *memory = nullptr;
  if (posix_memalign(&memory, RT3_MEMORY_ALIGNMENT, bytes.empty() ? 1 : bytes.size()) != 0)
    abort();
  memcpy(memory, bytes.data(), bytes.size());
  return Memory(static_cast<char *>(memory));
}
