// SPDX-License-Identifier: Apache-2.0
//
// Threads for rt3_run_t.parallel, for callers that have none of their own. A library
// of its own (librt3_pool.a, POSIX threads); the runtime does not need it.
//
//   rt3_pool_init(2, memory, sizeof memory, &pool);
//   rt3_parallel_t parallel = rt3_pool_parallel(pool);
//   run.parallel = &parallel;
//   ...
//   rt3_pool_finish(pool);

#ifndef RT3_RT3_POOL_H
#define RT3_RT3_POOL_H

#include "rt3/rt3.h"

#ifdef __cplusplus
extern "C" {
#endif

// The most threads a pool has.
#define RT3_POOL_MAX_THREADS 64

typedef struct rt3_pool_t rt3_pool_t;

// Bytes of memory that a pool needs.
size_t rt3_pool_memory_size(void);

// Starts a pool of `thread_count` threads (1 to RT3_POOL_MAX_THREADS), of which the
// caller's is one, inside the caller's memory.
//
// Between tasks a thread looks for the next for some microseconds, then sleeps: an
// idle pool takes no time. Returns RT3_INVALID_ARGUMENT, RT3_MISALIGNED,
// RT3_MEMORY_TOO_SMALL, or RT3_SYSTEM_ERROR if a thread cannot be started; `*out_pool`
// is then NULL and no thread is left.
RT3_API rt3_status_t rt3_pool_init(uint32_t thread_count, void *memory, size_t memory_size, rt3_pool_t **out_pool);

// What goes into rt3_run_t. A pool serves one run at a time.
rt3_parallel_t rt3_pool_parallel(rt3_pool_t *pool);

// Ends the threads. No run may use the pool any more.
void rt3_pool_finish(rt3_pool_t *pool);

#ifdef __cplusplus
}
#endif

#endif // RT3_RT3_POOL_H
