// SPDX-License-Identifier: Apache-2.0
//
// ONNX Runtime on one thread. The npm package has the library but not its header,
// so the table of functions is reached by the places that onnxruntime_c_api.h gives
// them, which its first version fixed.
#ifndef RT3_BENCHMARKS_BASELINES_ONNXRUNTIME_H
#define RT3_BENCHMARKS_BASELINES_ONNXRUNTIME_H

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

struct OrtApiBase {
  void *const *(*getApi)(uint32_t version);
  const char *(*getVersion)();
};
extern "C" const OrtApiBase *OrtGetApiBase();

namespace onnxruntime {

enum class ElementType { F32 = 1, I64 = 7, Bool = 9 };

// Ends the program with ONNX Runtime's message if something fails.
class Session {
public:
  // A model of a file, or of bytes.
  explicit Session(const std::string &path) {
    call(kCreateSession, environment(), path.c_str(), options(), &session);
    prepare();
  }
  Session(const void *bytes, size_t size) {
    call(kCreateSessionFromArray, environment(), bytes, size, options(), &session);
    prepare();
  }

  // `data` must live as long as the session.
  void addInput(const std::string &name, ElementType type, const std::vector<int64_t> &shape, void *data) {
    size_t size = type == ElementType::I64 ? 8 : type == ElementType::Bool ? 1 : 4;
    for (int64_t dimension : shape)
      size *= dimension;
    names.push_back(name);
    inputs.push_back(nullptr);
    call(kCreateTensorWithData, static_cast<const void *>(memory), data, size,
         static_cast<const int64_t *>(shape.data()), shape.size(), int(type), &inputs.back());
  }

  void run(const std::string &outputName) {
    if (output)
      reinterpret_cast<void (*)(void *)>(api()[kReleaseValue])(output);
    output = nullptr;
    std::vector<const char *> pointers;
    for (const std::string &name : names)
      pointers.push_back(name.c_str());
    const char *wanted = outputName.c_str();
    call(kRun, session, static_cast<const void *>(nullptr), static_cast<const char *const *>(pointers.data()),
         static_cast<void *const *>(inputs.data()), inputs.size(), static_cast<const char *const *>(&wanted), size_t(1),
         &output);
  }

  // Of the last run.
  const float *floats(size_t *count) {
    void *info, *data;
    call(kGetTensorTypeAndShape, static_cast<const void *>(output), &info);
    call(kGetTensorShapeElementCount, static_cast<const void *>(info), count);
    call(kGetTensorMutableData, output, &data);
    return static_cast<const float *>(data);
  }

private:
  enum Function {
    kGetErrorMessage = 2,
    kCreateEnv = 3,
    kDisableTelemetryEvents = 6,
    kCreateSession = 7,
    kCreateSessionFromArray = 8,
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
    kReleaseValue = 96,
  };
  static constexpr int kLogErrors = 3, kOptimizeAll = 99, kArenaAllocator = 1, kMemoryDefault = 0;

  static void *const *api() {
    static void *const *const table = OrtGetApiBase()->getApi(1);
    return table;
  }

  template <typename... Arguments> static void call(Function function, Arguments... arguments) {
    void *status = reinterpret_cast<void *(*)(Arguments...)>(api()[function])(arguments...);
    if (!status)
      return;
    auto message = reinterpret_cast<const char *(*)(void *)>(api()[kGetErrorMessage]);
    std::fprintf(stderr, "ONNX Runtime: %s\n", message(status));
    std::exit(1);
  }

  static const void *environment() {
    static const void *const made = [] {
      void *environment;
      call(kCreateEnv, kLogErrors, static_cast<const char *>("rt3"), &environment);
      call(kDisableTelemetryEvents, static_cast<const void *>(environment));
      return environment;
    }();
    return made;
  }

  static const void *options() {
    static const void *const made = [] {
      void *options;
      call(kCreateSessionOptions, &options);
      call(kSetGraphOptimizationLevel, options, kOptimizeAll);
      call(kSetIntraOpNumThreads, options, 1);
      call(kSetInterOpNumThreads, options, 1);
      return options;
    }();
    return made;
  }

  void prepare() { call(kCreateCpuMemoryInfo, kArenaAllocator, kMemoryDefault, &memory); }

  void *session = nullptr, *memory = nullptr, *output = nullptr;
  std::vector<std::string> names;
  std::vector<void *> inputs;
};

} // namespace onnxruntime

#endif
