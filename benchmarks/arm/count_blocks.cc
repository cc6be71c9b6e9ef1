// SPDX-License-Identifier: Apache-2.0
//
// QEMU plugin: how often each translated block of an AArch64 program ran
// between two marks.
//
//   qemu-aarch64 -plugin libcount_blocks.so,out=FILE PROGRAM
//
// The program marks the start with `hint #120` and the end with `hint #121`,
// which no CPU has given a meaning and so are no-ops. One line per block that
// ran: times, address, instruction words; cycles.py reads them. Other threads
// of the program are counted too.
#include "benchmarks/arm/qemu_plugin.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

extern "C" {
__attribute__((visibility("default"))) int qemu_plugin_version = 1;
}

namespace {

constexpr uint32_t kStart = 0xd503201f | 120 << 5, kEnd = 0xd503201f | 121 << 5;

struct Block {
  uint64_t address, count = 0, before = 0, counted = 0;
  std::vector<uint32_t> words;
};

std::mutex mutex; // translation and marks come from any thread
std::map<std::pair<uint64_t, std::vector<uint32_t>>, std::unique_ptr<Block>> blocks;
// No string, whose destructor may run before QEMU calls write().
const char *outputPath = "blocks.txt";

void mark(unsigned, void *word) {
  std::lock_guard lock(mutex);
  for (auto &[key, block] : blocks) {
    if (reinterpret_cast<uintptr_t>(word) == kStart)
      block->before = block->count;
    else
      block->counted += block->count - block->before;
  }
}

bool hasRun = false;

void translated(qemu_plugin_id_t, qemu_plugin_tb *translation) {
  std::vector<uint32_t> words(qemu_plugin_tb_n_insns(translation));
  for (size_t i = 0; i < words.size(); ++i) {
    qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(translation, i);
    std::memcpy(&words[i], qemu_plugin_insn_data(instruction), sizeof words[i]);
    if (words[i] == kStart || words[i] == kEnd)
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, mark, QEMU_PLUGIN_CB_NO_REGS,
                                             reinterpret_cast<void *>(uintptr_t(words[i])));
  }
  std::lock_guard lock(mutex);
  hasRun = true;
  // QEMU may translate the same code again; a block keeps its counter.
  uint64_t address = qemu_plugin_tb_vaddr(translation);
  std::unique_ptr<Block> &block = blocks[{address, words}];
  if (!block)
    block = std::make_unique<Block>(Block{.address = address, .words = words});
  qemu_plugin_register_vcpu_tb_exec_inline(translation, QEMU_PLUGIN_INLINE_ADD_U64, &block->count, 1);
}

void write(qemu_plugin_id_t, void *) {
  if (!hasRun)
    return; // QEMU has stopped before the program.
  std::FILE *file = std::fopen(outputPath, "w");
  if (!file) {
    std::fprintf(stderr, "count_blocks: %s cannot be written\n", outputPath);
    return;
  }
  for (const auto &[key, block] : blocks) {
    if (block->counted == 0)
      continue;
    std::fprintf(file, "%" PRIu64 " %" PRIx64, block->counted, block->address);
    for (uint32_t word : block->words)
      std::fprintf(file, " %08x", word);
    std::fputc('\n', file);
  }
  std::fclose(file);
}

} // namespace

extern "C" __attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *,
                                                                          int count, char **arguments) {
  for (int i = 0; i < count; ++i) {
    if (std::strncmp(arguments[i], "out=", 4) == 0)
      outputPath = strdup(arguments[i] + 4);
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, write, nullptr);
  return 0;
}
