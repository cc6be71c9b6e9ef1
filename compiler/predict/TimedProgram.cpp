// SPDX-License-Identifier: Apache-2.0

#include "compiler/predict/TimedProgram.h"

#include "dialects/kernel/Kernel.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MathExtras.h"

#include <chrono>

using namespace mlir;
using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

using Clock = std::chrono::steady_clock;

static constexpr size_t kAlignment = 64;

using Memory = TimedProgram::Memory;

static Memory allocate(size_t size) {
  size = llvm::alignTo(size + 1, kAlignment);
  Memory memory(static_cast<char *>(aligned_alloc(kAlignment, size)), &free);
  memset(memory.get(), 0, size);
  return memory;
}

namespace {

// A run whose ops are being timed.
struct Timing {
  int64_t op = -1;
  Clock::time_point begin = Clock::now();
  std::map<int64_t, std::vector<double>> seconds;

  void finishOp(Clock::time_point now) {
    if (op >= 0)
      seconds[op].push_back(std::chrono::duration<double>(now - begin).count());
  }
};

} // namespace

// Compiled code has no other way to say for whom it calls.
static thread_local Timing *timing;

static void timeMark(int64_t op) {
  timing->finishOp(Clock::now());
  timing->op = op;
  timing->begin = Clock::now();
}

Expected<std::unique_ptr<TimedProgram>> TimedProgram::make(const CompileResult &result) {
  std::unique_ptr<TimedProgram> timed(new TimedProgram(result));
  auto jit = llvm::orc::LLJITBuilder().create();
  if (!jit)
    return jit.takeError();
  timed->jit = std::move(*jit);
  llvm::orc::ExecutionSession &session = timed->jit->getExecutionSession();
  if (Error error = timed->jit->getMainJITDylib().define(llvm::orc::absoluteSymbols(
          {{session.intern(kernel::kMarkFunction),
            {llvm::orc::ExecutorAddr::fromPtr(&timeMark), llvm::JITSymbolFlags::Exported}}})))
    return std::move(error);
  if (Error error = timed->jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(result.object)))
    return std::move(error);
  auto program = timed->jit->lookup("rt3_" + result.program.name + "_program");
  if (!program)
    return program.takeError();
  timed->program = program->toPtr<const rt3_program_t *>();
  return timed;
}

TimedProgram::TimedProgram(const CompileResult &result) : weights(allocate(result.weights.size())) {
  memcpy(weights.get(), result.weights.data(), result.weights.size());
}
TimedProgram::~TimedProgram() = default;

double mlir::rt3::median(std::vector<double> &values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

std::map<int64_t, double> TimedProgram::run(size_t level, int64_t length, int runs) {
  std::vector<Memory> buffers;
  std::vector<void *> inputs, outputs;
  auto add = [&](const rt3_tensor_t &tensor, std::vector<void *> &list) {
    size_t count = 1;
    for (uint32_t d = 0; d < tensor.rank; ++d)
      count *= tensor.dims[d] < 0 ? length : tensor.dims[d];
    buffers.push_back(allocate(8 * count));
    char *place = buffers.back().get();
    for (size_t i = 0; i < count; ++i)
      switch (tensor.element_type) {
      case RT3_FLOAT32:
        reinterpret_cast<float *>(place)[i] = 0.5f;
        break;
      case RT3_INT32:
        reinterpret_cast<int32_t *>(place)[i] = 1;
        break;
      case RT3_INT64:
        reinterpret_cast<int64_t *>(place)[i] = 1;
        break;
      default:
        place[i] = 1;
      }
    list.push_back(place);
  };
  for (uint32_t i = 0; i < program->input_count; ++i)
    add(program->inputs[i], inputs);
  for (uint32_t i = 0; i < program->output_count; ++i)
    add(program->outputs[i], outputs);
  Memory workspace = allocate(program->workspace_size), state = allocate(program->state_size);
  rt3_call_t call{inputs.data(), outputs.data(), weights.get(), workspace.get(), state.get(), length, 0, nullptr};
  Timing all;
  for (int i = 0; i <= runs; ++i) {
    Timing now;
    timing = &now;
    program->levels[level](&call);
    now.finishOp(Clock::now());
    timing = nullptr;
    if (i == 0)
      continue;
    for (auto &[op, seconds] : now.seconds)
      llvm::append_range(all.seconds[op], seconds);
  }
  std::map<int64_t, double> medians;
  for (auto &[op, seconds] : all.seconds) {
    medians[op] = median(seconds);
  }
  return medians;
}

TimedBatch mlir::rt3::countFastest(std::vector<TimedBatch> batches) {
  auto total = [](const TimedBatch &batch) {
    double sum = 0;
    for (auto [op, time] : batch.seconds)
      sum += time;
    return sum;
  };
  llvm::sort(batches, [&](const TimedBatch &one, const TimedBatch &other) { return total(one) < total(other); });
  std::map<int64_t, std::vector<double>> cycles;
  std::vector<double> clocks;
  for (const TimedBatch &batch : llvm::ArrayRef(batches).take_front(llvm::divideCeil(batches.size(), 4))) {
    for (auto [op, time] : batch.seconds)
      cycles[op].push_back(time * batch.clock);
    clocks.push_back(batch.clock);
  }
  TimedBatch result{{}, median(clocks)};
  for (auto &[op, values] : cycles)
    result.seconds[op] = median(values) / result.clock;
  return result;
}

// Steps of a chain of additions, of which one takes a cycle, that the functions below take per call. Written as
// machine code so that no compiler adds up what it foresees, and with their loops, so that nothing but the chain is
// waited for.
static constexpr int kChainSteps = 480000;

// Steps per second: of several calls the fastest.
static double chainRate(void (*runChain)()) {
  double best = 0;
  for (int call = 0; call < 4; ++call) {
    Clock::time_point begin = Clock::now();
    runChain();
    best = std::max(best, kChainSteps / std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

#if defined(__x86_64__)
static void addAlone() {
  uint64_t sum = 1;
  for (int i = 0; i < kChainSteps / 4; ++i)
    asm volatile("add %0, %0\n add %0, %0\n add %0, %0\n add %0, %0" : "+r"(sum));
}

// What chains multiply is zero: subnormal numbers are slow.
__attribute__((target("avx512f"))) static void clearVectors() {
  asm volatile("vzeroall" ::
                   : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                     "xmm12", "xmm13", "xmm14", "xmm15");
}

// With 512-bit products, one for two additions.
__attribute__((target("avx512f"))) static void addBesideProducts() {
  uint64_t sum = 1;
  clearVectors();
  for (int i = 0; i < kChainSteps / 4; ++i)
    asm volatile("add %0, %0\n vfmadd231ps %%zmm8, %%zmm8, %%zmm0\n add %0, %0\n"
                 "add %0, %0\n vfmadd231ps %%zmm8, %%zmm8, %%zmm1\n add %0, %0"
                 : "+r"(sum)::"xmm0", "xmm1");
  asm volatile("vzeroupper");
}

// Three products for two additions, in chains of their own that are shorter.
__attribute__((target("avx512f"))) static void addBesideMoreProducts() {
  uint64_t sum = 1;
  clearVectors();
  for (int i = 0; i < kChainSteps / 8; ++i)
    asm volatile("add %0, %0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm1\n"
                 "add %0, %0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm2\n"
                 "add %0, %0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm3\n vfmadd231ps %%zmm15, %%zmm15, %%zmm4\n"
                 "add %0, %0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm5\n"
                 "add %0, %0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm6\n vfmadd231ps %%zmm15, %%zmm15, %%zmm7\n"
                 "add %0, %0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm8\n"
                 "add %0, %0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm9\n vfmadd231ps %%zmm15, %%zmm15, %%zmm10\n"
                 "add %0, %0\n vfmadd231ps %%zmm15, %%zmm15, %%zmm11"
                 : "+r"(sum)::"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                   "xmm11");
  asm volatile("vzeroupper");
}

double mlir::rt3::measureClock(llvm::StringRef isa) {
  if (isa != "avx512")
    return chainRate(addAlone);
  // Cores slow down under 512-bit products, of which kernels are made, and most under many. Where one is done in
  // a cycle, the chain among many waits for them and comes to two thirds of the clock, which no core slows down to.
  double few = chainRate(addBesideProducts), many = chainRate(addBesideMoreProducts);
  return many > 0.8 * few ? many : few;
}
#else
static void addAlone() {
  uint64_t sum = 1;
  for (int i = 0; i < kChainSteps / 4; ++i)
    asm volatile("add %0, %0, %0\n add %0, %0, %0\n add %0, %0, %0\n add %0, %0, %0" : "+r"(sum));
}

double mlir::rt3::measureClock(llvm::StringRef) { return chainRate(addAlone); }
#endif
