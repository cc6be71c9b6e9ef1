// SPDX-License-Identifier: Apache-2.0
//
// The same as startup_rt3.c with ONNX Runtime on one thread:
//
//   startup_onnxruntime MODEL OUTPUT_NAME NAME:f32|i64:1x128...
#include "benchmarks/baselines/onnxruntime.h"
#include "benchmarks/models/resident.h"

#include <chrono>
#include <deque>

using onnxruntime::ElementType;

int main(int argc, char **argv) {
  if (argc < 4)
    return 2;
  auto begin = std::chrono::steady_clock::now();
  onnxruntime::Session session(argv[1]);
  std::deque<std::vector<int64_t>> integers;
  std::deque<std::vector<float>> floats;
  for (int i = 3; i < argc; ++i) {
    std::string text = argv[i];
    size_t shapeAt = text.rfind(':'), typeAt = text.rfind(':', shapeAt - 1), count = 1;
    std::vector<int64_t> shape;
    for (char *at = argv[i] + shapeAt; *at;) {
      shape.push_back(std::strtoll(at + 1, &at, 10));
      count *= shape.back();
    }
    std::string name = text.substr(0, typeAt);
    if (text.substr(typeAt + 1, shapeAt - typeAt - 1) == "i64")
      session.addInput(name, ElementType::I64, shape, integers.emplace_back(count, 1).data());
    else
      session.addInput(name, ElementType::F32, shape, floats.emplace_back(count, 1.0f).data());
  }
  session.run(argv[2]);
  size_t count;
  session.floats(&count);
  std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
  print_start(time.count());
  std::_Exit(0);
}
