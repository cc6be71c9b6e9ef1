// SPDX-License-Identifier: Apache-2.0
//
// The RT3 runtime: runs a compiled model and switches its level.
//
//   #include "byte_lm.h"  /* written by rt3c, beside libbyte_lm.a */
//
//   rt3_model_init(&rt3_byte_lm_program, bundle, bundle_size,
//                  memory, sizeof memory, &model);
//   rt3_model_set_level(model, 0);
//   rt3_run_t run = {.inputs = inputs, .outputs = outputs, .length = 35,
//                    .workspace = workspace, .workspace_size = size};
//   status = rt3_model_run(model, &run);
//
// Rules for all functions. Nothing is allocated, printed, locked or started:
// memory comes from the caller, and every failure is a returned status after
// which the call had no effect. Pointers must not be NULL unless said
// otherwise. The bundle and the memory of a model must stay in place, and the
// bundle unchanged, for as long as the model is used; there is nothing to
// release. Different threads may run one model at the same time, each with a
// workspace of its own, while any thread sets the level.
//
// Bundles are not trusted: rt3_model_init checks every byte on which memory
// safety depends. The compiled program (code) is trusted, like any library.

#ifndef RT3_RT3_H
#define RT3_RT3_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RT3_VERSION_MAJOR 0
#define RT3_VERSION_MINOR 1

// Alignment, in bytes, of a bundle, a model's memory, a workspace, a state and a pool.
#define RT3_MEMORY_ALIGNMENT 64

#if defined(__GNUC__)
#define RT3_API __attribute__((warn_unused_result))
#else
#define RT3_API
#endif

// What a call came to. Values are never renumbered.
typedef enum rt3_status_t {
  RT3_OK = 0,
  // The caller's mistake; nothing is wrong with the bundle.
  RT3_INVALID_ARGUMENT = 1, // NULL, no such level, length out of range,
                            // memory that overlaps (see rt3_model_run)
  RT3_MISALIGNED = 2,       // memory, workspace, bundle or tensor
  RT3_MEMORY_TOO_SMALL = 3, // see the function that reports the size
  RT3_CONTEXT_FULL = 4,     // the text would get longer than a state holds
  // The bundle cannot be used.
  RT3_CORRUPT_BUNDLE = 10,      // truncated, damaged or not a bundle
  RT3_UNSUPPORTED_VERSION = 11, // written for another runtime
  RT3_WRONG_MODEL = 12,         // a bundle of another model or compilation
  // The machine cannot do it.
  RT3_UNSUPPORTED_CPU = 20, // the code needs instructions this CPU lacks
  RT3_FILE_ERROR = 21,      // the file cannot be opened or read
  RT3_SYSTEM_ERROR = 22,    // a thread cannot be started
} rt3_status_t;

// Instructions beyond the baseline (x86-64, armv8-a) that code may need.
typedef enum rt3_cpu_feature_t {
  RT3_CPU_AVX2 = 1 << 0,   // with FMA
  RT3_CPU_AVX512 = 1 << 1, // F, VL, BW and DQ
  RT3_CPU_AVX512_VNNI = 1 << 2,
  RT3_CPU_DOTPROD = 1 << 3, // AArch64: sdot, udot
  RT3_CPU_FP16 = 1 << 4,    // AArch64: arithmetic of f16
  RT3_CPU_AVX512_BF16 = 1 << 5,
  RT3_CPU_I8MM = 1 << 6, // AArch64: smmla
  RT3_CPU_BF16 = 1 << 7, // AArch64: bfdot
} rt3_cpu_feature_t;

// Compiled code, in the library that rt3c writes; rt3_bundle.h has its fields.
typedef struct rt3_program_t rt3_program_t;

// A model ready to run: a program, its bundle and the level.
typedef struct rt3_model_t rt3_model_t;

// A text in the making: keys and values of the tokens so far, for models that were
// compiled with --kv-cache. All levels share it, so a text may begin at one level and
// go on at another.
typedef struct rt3_state_t rt3_state_t;

// Threads that the caller brings. `run` calls task(context, i) once for each i below
// `count`, in any order and on any threads, and returns when all calls have; its
// `pool` is the one beside it. rt3_pool.h has one for who has none.
typedef void (*rt3_task_t)(void *context, size_t i);
typedef struct rt3_parallel_t {
  void (*run)(void *pool, size_t count, rt3_task_t task, void *context);
  void *pool;
} rt3_parallel_t;

// One inference.
typedef struct rt3_run_t {
  // One pointer per input and output, in the order of the generated header,
  // to row-major elements, aligned to their size.
  const void *const *inputs;
  void *const *outputs;
  // The free dimension (1 to the program's maximum); 1 if there is none.
  int64_t length;
  // Scratch memory, aligned to RT3_MEMORY_ALIGNMENT, for this run alone.
  void *workspace;
  size_t workspace_size; // Bytes; at least rt3_model_workspace_size.
  // The text that this run continues; NULL for models without a cache. The run adds
  // its `length` tokens. One run at a time.
  rt3_state_t *state;
  // Threads for large layers; NULL: the calling thread does everything. Results are
  // the same, to the bit.
  const rt3_parallel_t *parallel;
} rt3_run_t;

// What the CPU we run on can do: a union of rt3_cpu_feature_t.
uint32_t rt3_cpu_features(void);

// Checks a bundle completely, for `program`, without keeping anything.
//
// Returns RT3_MISALIGNED, RT3_CORRUPT_BUNDLE, RT3_UNSUPPORTED_VERSION or
// RT3_WRONG_MODEL. Takes time linear in `bundle_size`.
RT3_API rt3_status_t rt3_bundle_check(const rt3_program_t *program, const void *bundle, size_t bundle_size);

// Reads a file into `memory`, of `memory_size` bytes, and tells its size.
//
// With a `memory` of NULL only the size is told. Returns RT3_FILE_ERROR or
// RT3_MEMORY_TOO_SMALL. This is the only function that calls the system.
RT3_API rt3_status_t rt3_file_read(const char *path, void *memory, size_t memory_size, size_t *out_file_size);

// Bytes of memory that rt3_model_init needs.
size_t rt3_model_memory_size(void);

// Whom a check of a bundle tells what it has read, in parts of about 1 MiB, and, if it finds nothing
// wrong, at its end of all: whoever has mapped a file can let go the pages within (madvise, MADV_DONTNEED),
// so that not all of the file is resident because all of it was checked. All must stay readable and
// the same, as pages of a file do and others do not: parts are read again by the check and by runs.
typedef struct rt3_release_t {
  void (*release)(void *context, const void *data, size_t size);
  void *context;
} rt3_release_t;

// Prepares a model, at level 0, inside the caller's memory.
//
// Checks CPU and bundle: returns what rt3_bundle_check returns,
// RT3_UNSUPPORTED_CPU, RT3_MEMORY_TOO_SMALL or RT3_MISALIGNED. On any error
// nothing is kept and `*out_model` is NULL.
RT3_API rt3_status_t rt3_model_init(const rt3_program_t *program, const void *bundle, size_t bundle_size, void *memory,
                                    size_t memory_size, rt3_model_t **out_model);

// The same for a bundle that is mapped; `release` may be NULL, its function not (RT3_INVALID_ARGUMENT).
//
// A mapped file that somebody cuts short kills the process, and one that is written to is no longer
// what was checked: map only what nobody else can write, and else read it (rt3_file_read).
RT3_API rt3_status_t rt3_model_init_mapped(const rt3_program_t *program, const void *bundle, size_t bundle_size,
                                           const rt3_release_t *release, void *memory, size_t memory_size,
                                           rt3_model_t **out_model);

// Bytes of workspace that a run needs, at any level and length.
size_t rt3_model_workspace_size(const rt3_model_t *model);

// Makes `level` (0 = slowest clock) the one that later runs use.
//
// One atomic store, safe from any thread at any time: a run that has begun
// finishes on its level. Returns RT3_INVALID_ARGUMENT if there is no such
// level; the current level then stays.
RT3_API rt3_status_t rt3_model_set_level(rt3_model_t *model, uint32_t level);

// The level that a run started now would use.
uint32_t rt3_model_level(const rt3_model_t *model);

// Runs one inference. Inputs are not changed; outputs are written whole.
//
// Inputs may overlap each other. Outputs must overlap neither inputs, nor each
// other, nor the workspace, and inputs not the workspace; the state none of them.
//
// Returns RT3_INVALID_ARGUMENT, RT3_MISALIGNED, RT3_MEMORY_TOO_SMALL or
// RT3_CONTEXT_FULL; the state then has the tokens it had.
RT3_API rt3_status_t rt3_model_run(const rt3_model_t *model, const rt3_run_t *run);

// Bytes of memory of a state; 0 if the model keeps none.
size_t rt3_model_state_size(const rt3_model_t *model);

// Tokens that a state holds; 0 if the model keeps none.
int64_t rt3_model_context_length(const rt3_model_t *model);

// Prepares an empty state inside the caller's memory, which need not be cleared.
//
// Returns RT3_INVALID_ARGUMENT if the model keeps none, RT3_MISALIGNED or
// RT3_MEMORY_TOO_SMALL; `*out_state` is then NULL. There is nothing to release.
RT3_API rt3_status_t rt3_state_init(const rt3_model_t *model, void *memory, size_t memory_size,
                                    rt3_state_t **out_state);

// Tokens of the text so far.
int64_t rt3_state_position(const rt3_state_t *state);

// Forgets all tokens but the first `position`: 0 begins a new text, fewer than there
// are takes some back. Returns RT3_INVALID_ARGUMENT if there are fewer.
RT3_API rt3_status_t rt3_state_rewind(rt3_state_t *state, int64_t position);

// An English sentence for people, without a period; never NULL.
const char *rt3_status_string(rt3_status_t status);

#ifdef __cplusplus
}
#endif

#endif // RT3_RT3_H
