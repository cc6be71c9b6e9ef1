// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a bundle, as they are and with the hash repaired; what is
// accepted is run.

#include "tests/runtime/small_program.h"

static void checkAndRun(const std::string &bundle) {
  static Memory memory = alignedCopy(std::string(1024, 0)), workspace = alignedCopy(std::string(64, 0));
  Memory copy = alignedCopy(bundle);
  rt3_model_t *model;
  if (rt3_model_init(&kSmallProgram, copy.get(), bundle.size(), memory.get(), 1024, &model) != RT3_OK)
    return;
  float input[8] = {}, output[8];
  const void *inputs[] = {input};
  void *outputs[] = {output};
  rt3_run_t run = {inputs, outputs, 8, workspace.get(), 64, nullptr, nullptr};
  if (rt3_model_run(model, &run) != RT3_OK)
    abort();
}

extern "C" int LLVMFuzzerInitialize(int *, char ***) { return 0; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string bundle(reinterpret_cast<const char *>(data), size);
  checkAndRun(bundle);
  repairHash(bundle);
  // Past the first checks, which random bytes do not pass.
  if (size >= 128) {
    std::string good = smallBundle();
    memcpy(bundle.data(), good.data(), 12);
    memcpy(bundle.data() + offsetof(rt3_bundle_header_t, model_id), kSmallProgram.model_id, 16);
    uint32_t count = 2;
    memcpy(bundle.data() + offsetof(rt3_bundle_header_t, level_count), &count, 4);
    memset(bundle.data() + offsetof(rt3_bundle_header_t, reserved), 0, 76);
    repairHash(bundle);
  }
  checkAndRun(bundle);
  return 0;
}
