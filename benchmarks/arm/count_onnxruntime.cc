// SPDX-License-Identifier: Apache-2.0
//
// The same as count_rt3.c with ONNX Runtime on one thread:
//
//   count_onnxruntime MODEL INPUTS OUTPUT_NAME OUTPUT NAME:TYPE:1x128...
//
// TYPE is f32, i64 or bool. The npm package has ONNX Runtime's library for
// AArch64 but not its header, so its table of functions is reached by the
// places that onnxruntime_c_api.h gives them, which its first version fixed.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

struct ApiBase {
  void *const *(*getApi)(uint32_t version);
  const char *(*getVersion)();
};
extern "C" const ApiBase *OrtGetApiBase();

namespace {

using Status = void *;
void *const *api;

enum Function {
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kDisableTelemetryEvents = 6,
  kCreateSession = 7,
  kRun = 9,
  kCreateSessionOptions = 10,
  kSetGraphOptimizationLevel = 23,
  kSetIntraOpNumThreads = 24,
  kSetInterOpNumThreads = 25,
  kCreateTensorWithData = 49,
  kGetTensorMutableData = 51,
  kGetTensorShapeElementCount = 64,
  kGetTensorTypeAndShape = 65,
  kCreateCpuMemoryInfo = 69,
};
constexpr uint32_t kApiVersion = 1;
constexpr int kLogErrors = 3, kOptimizeAll = 99, kArenaAllocator = 1, kMemoryDefault = 0;

template <typename... Arguments> void call(Function function, Arguments... arguments) {
  Status status = reinterpret_cast<Status (*)(Arguments...)>(api[function])(arguments...);
  if (!status)
    return;
  auto message = reinterpret_cast<const char *(*)(Status)>(api[kGetErrorMessage]);
  std::fprintf(stderr, "ONNX Runtime: %s\n", message(status));
  std::exit(1);
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 6)
    return 2;
  api = OrtGetApiBase()->getApi(kApiVersion);
  void *environment, *options, *session, *memory;
  call(kCreateEnv, kLogErrors, static_cast<const char *>("count"), &environment);
  call(kDisableTelemetryEvents, static_cast<const void *>(environment));
  call(kCreateSessionOptions, &options);
  call(kSetGraphOptimizationLevel, options, kOptimizeAll);
  call(kSetIntraOpNumThreads, options, 1);
  call(kSetInterOpNumThreads, options, 1);
  call(kCreateSession, static_cast<const void *>(environment), static_cast<const char *>(argv[1]),
       static_cast<const void *>(options), &session);
  call(kCreateCpuMemoryInfo, kArenaAllocator, kMemoryDefault, &memory);

  std::ifstream file(argv[2], std::ios::binary);
  std::vector<char> all{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> names;
  std::vector<void *> inputs;
  size_t used = 0;
  for (int i = 5; i < argc; ++i) {
    std::string text = argv[i];
    size_t shapeAt = text.rfind(':'), typeAt = text.rfind(':', shapeAt - 1);
    std::string type = text.substr(typeAt + 1, shapeAt - typeAt - 1);
    std::vector<int64_t> shape;
    size_t size = type == "i64" ? 8 : type == "bool" ? 1 : 4;
    for (char *at = argv[i] + shapeAt; *at;) {
      shape.push_back(std::strtoll(at + 1, &at, 10));
      size *= shape.back();
    }
    names.push_back(text.substr(0, typeAt));
    inputs.push_back(nullptr);
    if (used + size > all.size())
      return 1;
    call(kCreateTensorWithData, static_cast<const void *>(memory), static_cast<void *>(all.data() + used), size,
         static_cast<const int64_t *>(shape.data()), shape.size(),
         type == "i64"    ? 7
         : type == "bool" ? 9
                          : 1,
         &inputs.back());
    used += size;
  }
  std::vector<const char *> namePointers;
  for (const std::string &name : names)
    namePointers.push_back(name.c_str());

  void *output = nullptr;
  const char *outputName = argv[3];
  auto run = [&] {
    output = nullptr;
    call(kRun, session, static_cast<const void *>(nullptr), static_cast<const char *const *>(namePointers.data()),
         static_cast<void *const *>(inputs.data()), inputs.size(), static_cast<const char *const *>(&outputName),
         size_t(1), &output);
  };
  run(); // packs the weights, sizes the arena
#ifdef __aarch64__
  __asm__ volatile("hint #120" ::: "memory");
#endif
  run();
#ifdef __aarch64__
  __asm__ volatile("hint #121" ::: "memory");
#endif
  void *info, *data;
  size_t count;
  call(kGetTensorTypeAndShape, static_cast<const void *>(output), &info);
  call(kGetTensorShapeElementCount, static_cast<const void *>(info), &count);
  call(kGetTensorMutableData, output, &data);
  std::FILE *out = std::fopen(argv[4], "wb");
  bool written = out && std::fwrite(data, 4, count, out) == count && std::fclose(out) == 0;
  // ONNX Runtime's threads and atexit handlers are not what is counted.
  std::_Exit(written ? 0 : 1);
}
