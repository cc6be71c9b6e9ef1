// SPDX-License-Identifier: Apache-2.0
//
// rt3c bench: latency of every level, beside ONNX Runtime where its npm package
// is installed. Levels are interleaved, so that drift of the clock meets all.

#include "compiler/verbs/SampleInputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <chrono>
#include <ctime>

using namespace mlir::rt3;

// Of this thread; wall-clock where there are more.
static double milliseconds(uint32_t threads) {
  timespec now;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static double percentile(const std::vector<double> &sorted, double share) {
  return sorted[std::min(sorted.size() - 1, size_t(share * sorted.size()))];
}

// Best and median milliseconds of ONNX Runtime, by the node script that the
// project installs; nothing if it is not there.
static std::optional<std::pair<double, double>> timeRival(const std::string &model, const rt3_program_t &program,
                                                          int64_t length, double seconds) {
  auto node = llvm::sys::findProgramByName("node");
  std::string script = RT3_SOURCE_DIR "/benchmarks/baselines/onnxruntime.js";
  if (!node || !llvm::sys::fs::exists(script))
    return std::nullopt;
  llvm::SmallString<128> output;
  if (llvm::sys::fs::createTemporaryFile("rt3-bench", "txt", output))
    return std::nullopt;
  std::string lengthText = std::to_string(length), secondsText = std::to_string(seconds);
  std::string names;
  for (uint32_t i = 0; i < program.input_count; ++i)
    names += (i ? "," : "") + std::string(program.inputs[i].name);
  std::optional<llvm::StringRef> redirects[] = {llvm::StringRef(), output.str(), std::nullopt};
  int code =
      llvm::sys::ExecuteAndWait(*node, {*node, script, model, lengthText, secondsText, names}, std::nullopt, redirects);
  auto text = readFile(output.str().str());
  llvm::sys::fs::remove(output);
  double best, median;
  if (code != 0 || !text || sscanf(text->c_str(), "%lf %lf", &best, &median) != 2) {
    llvm::consumeError(text.takeError());
    return std::nullopt;
  }
  return std::pair(best, median);
}

ExitCode mlir::rt3::runBench(const BenchVerb &verb) {
  auto loaded = LoadedModel::load(verb.folder);
  if (!loaded)
    return fail(kExitBadInput, llvm::toString(loaded.takeError()));
  LoadedModel &model = **loaded;
  const rt3_program_t &program = model.program();
  int64_t length = verb.length ? verb.length : program.max_length;
  if (length < 1 || length > program.max_length || !(verb.seconds > 0))
    return fail(kExitUsage, "the length must be from 1 to " + llvm::Twine(program.max_length) + " and the time over 0");
  bool fits = verb.position == 0 || verb.position + length <= program.context_length;
  if (!fits)
    return fail(kExitUsage, "--position " + llvm::Twine(verb.position) + " and a length of " + llvm::Twine(length) +
                                " do not fit a text of " + llvm::Twine(program.context_length) +
                                " tokens (--kv-cache)");
  if (!verb.rivalModel.empty() && !llvm::sys::fs::exists(verb.rivalModel))
    return fail(kExitBadInput, verb.rivalModel + ": there is no such file");
  if (llvm::Error error = model.setThreads(verb.threads))
    return fail(kExitInternal, llvm::toString(std::move(error)));
  std::vector<AlignedMemory> memory;
  std::vector<const void *> inputs;
  std::vector<void *> outputs;
  for (uint32_t i = 0; i < program.input_count; ++i) {
    memory.push_back(toMemory(program.inputs[i], sampleElements(program.inputs[i], length, i + 1)));
    inputs.push_back(memory.back().get());
  }
  for (uint32_t i = 0; i < program.output_count; ++i) {
    memory.push_back(allocateAligned(tensorSize(program.outputs[i], length)));
    outputs.push_back(memory.back().get());
  }
  std::optional<std::pair<double, double>> rival;
  if (!verb.rivalModel.empty()) {
    rival = timeRival(verb.rivalModel, program, length, verb.seconds / 2);
    if (!rival)
      return fail(kExitBadInput, verb.rivalModel + ": ONNX Runtime cannot run it with the inputs of " + verb.folder +
                                     ", or is not installed (third_party/install.sh installs it)");
  }
  for (int64_t position = 0; position < verb.position; ++position)
    if (llvm::Error error = model.run(inputs, outputs, 1, position))
      return fail(kExitInternal, llvm::toString(std::move(error)));
  std::vector<std::vector<double>> times(program.level_count);
  std::vector<double> first(program.level_count), switches;
  auto begin = std::chrono::steady_clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  for (int round = 0; round < 3 || elapsed() < verb.seconds * program.level_count; ++round)
    for (uint32_t level = 0; level < program.level_count; ++level) {
      auto before = std::chrono::steady_clock::now();
      if (rt3_model_set_level(model.model(), level) != RT3_OK)
        return fail(kExitInternal, "a level cannot be set");
      switches.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - before).count());
      double start = milliseconds(verb.threads);
      if (llvm::Error error = model.run(inputs, outputs, length, verb.position))
        return fail(kExitInternal, llvm::toString(std::move(error)));
      double time = milliseconds(verb.threads) - start;
      if (round == 0)
        first[level] = time;
      else // The first run warms caches up.
        times[level].push_back(time);
    }
  std::sort(switches.begin(), switches.end());
  // Before and after the levels: machines drift.
  if (rival) {
    auto after = timeRival(verb.rivalModel, program, length, verb.seconds / 2);
    if (!after)
      return fail(kExitBadInput, verb.rivalModel + ": ONNX Runtime ran it once and cannot any more");
    rival = std::pair(std::min(rival->first, after->first), (rival->second + after->second) / 2);
  }
  llvm::json::Array list;
  if (!verb.asJson)
    llvm::outs() << llvm::formatv(
        "{0}, length {1} behind {11} tokens, {12} in ms\n{2,-12} {3,8} {4,9} {5,9} "
        "{6,9} {7,9} {8,9} {9,9} {10,7}\n",
        model.name(), length, "level", "density", "first", "best", "p50", "p90", "p99", "max", "runs", verb.position,
        verb.threads == 1 ? "one thread, thread CPU time" : std::to_string(verb.threads) + " threads, wall-clock time");
  for (uint32_t level = 0; level < program.level_count; ++level) {
    std::vector<double> &sorted = times[level];
    std::sort(sorted.begin(), sorted.end());
    const rt3_bundle_level_t &record = model.levels()[level];
    if (verb.asJson)
      list.push_back(llvm::json::Object{{"level", record.name},
                                        {"density", record.density_ppm / 1e6},
                                        {"frequency_khz", record.frequency_khz},
                                        {"first_ms", first[level]},
                                        {"best_ms", sorted.front()},
                                        {"p50_ms", percentile(sorted, 0.5)},
                                        {"p90_ms", percentile(sorted, 0.9)},
                                        {"p99_ms", percentile(sorted, 0.99)},
                                        {"max_ms", sorted.back()},
                                        {"runs", int64_t(sorted.size())}});
    else
      llvm::outs() << llvm::formatv("{0,-12} {1,6:f1} % {2,9:f3} {3,9:f3} {4,9:f3} {5,9:f3} {6,9:f3} {7,9:f3} {8,7}\n",
                                    record.name, record.density_ppm / 1e4, first[level], sorted.front(),
                                    percentile(sorted, 0.5), percentile(sorted, 0.9), percentile(sorted, 0.99),
                                    sorted.back(), sorted.size());
  }
  double switchP99 = percentile(switches, 0.99);
  if (verb.asJson) {
    llvm::json::Object object{{"model", model.name()},
                              {"length", length},
                              {"levels", std::move(list)},
                              {"load_ms", model.loadMilliseconds()},
                              {"bundle_size", int64_t(model.bundleSize())},
                              {"set_level_p99_us", switchP99},
                              {"set_level_max_us", switches.back()}};
    if (rival)
      object["onnxruntime"] = llvm::json::Object{{"best_ms", rival->first}, {"p50_ms", rival->second}};
    llvm::outs() << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(object)));
    return kExitOk;
  }
  llvm::outs() << llvm::formatv("load {0:f2} ms, bundle {1} bytes, set_level p99 {2:f2} us, max {3:f2} us\n",
                                model.loadMilliseconds(), model.bundleSize(), switchP99, switches.back());
  if (rival)
    llvm::outs() << llvm::formatv("ONNX Runtime ({2}, one thread, before and after): best {0:f3} ms, p50 {1:f3} ms\n",
                                  rival->first, rival->second, llvm::sys::path::filename(verb.rivalModel));
  return kExitOk;
}
