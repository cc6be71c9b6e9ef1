// SPDX-License-Identifier: Apache-2.0
//
// A pool of threads that take the tasks of one job after the other.

#include "rt3/rt3_pool.h"

#include <pthread.h>
#include <stdatomic.h>

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() ((void)0)
#endif

// Looks for the next job before a thread sleeps: some microseconds, as long as waking
// takes. The layers of one run follow each other faster.
enum { kLooks = 2000 };

struct rt3_pool_t {
  pthread_mutex_t mutex;
  pthread_cond_t wake, done;
  uint32_t worker_count; // Without the caller's.
  uint32_t sleeping;     // Workers that wait for `wake`; under the mutex.
  int is_finishing;
  // The job. Written under the mutex while no worker is in one.
  rt3_task_t task;
  void *context;
  size_t count;
  atomic_size_t next;
  _Atomic uint32_t job;  // Its number; workers look at it.
  _Atomic uint32_t left; // Workers that have not finished it.
  pthread_t threads[RT3_POOL_MAX_THREADS];
};

static void take_tasks(rt3_pool_t *pool) {
  size_t i;
  while ((i = atomic_fetch_add_explicit(&pool->next, 1,
                                        memory_order_relaxed)) < pool->count)
    pool->task(pool->context, i);
}

// Waits for another job than `last`; returns its number.
static uint32_t wait_for_job(rt3_pool_t *pool, uint32_t last) {
  for (int look = 0; look < kLooks; ++look) {
    uint32_t job = atomic_load_explicit(&pool->job, memory_order_acquire);
    if (job != last)
      return job;
    PAUSE();
  }
  pthread_mutex_lock(&pool->mutex);
  ++pool->sleeping;
  while (atomic_load_explicit(&pool->job, memory_order_relaxed) == last)
    pthread_cond_wait(&pool->wake, &pool->mutex);
  --pool->sleeping;
  pthread_mutex_unlock(&pool->mutex);
  return atomic_load_explicit(&pool->job, memory_order_acquire);
}

static void *work(void *argument) {
  rt3_pool_t *pool = argument;
  uint32_t job = 0;
  while (1) {
    job = wait_for_job(pool, job);
    if (pool->is_finishing)
      return NULL;
    take_tasks(pool);
    if (atomic_fetch_sub_explicit(&pool->left, 1, memory_order_acq_rel) == 1) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->mutex);
    }
  }
}

// Begins a job: what workers read is written before its number.
static void begin_job(rt3_pool_t *pool) {
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->left, pool->worker_count, memory_order_relaxed);
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add_explicit(&pool->job, 1, memory_order_release);
  if (pool->sleeping > 0)
    pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
}

static void run(void *argument, size_t count, rt3_task_t task, void *context) {
  rt3_pool_t *pool = argument;
  pool->task = task;
  pool->context = context;
  pool->count = count;
  begin_job(pool);
  take_tasks(pool);
  for (int look = 0; look < kLooks; ++look) {
    if (atomic_load_explicit(&pool->left, memory_order_acquire) == 0)
      return;
    PAUSE();
  }
  pthread_mutex_lock(&pool->mutex);
  while (atomic_load_explicit(&pool->left, memory_order_acquire) != 0)
    pthread_cond_wait(&pool->done, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
}

size_t rt3_pool_memory_size(void) { return sizeof(rt3_pool_t); }

rt3_status_t rt3_pool_init(uint32_t thread_count, void *memory,
                           size_t memory_size, rt3_pool_t **out_pool) {
  if (out_pool == NULL)
    return RT3_INVALID_ARGUMENT;
  *out_pool = NULL;
  if (memory == NULL || thread_count < 1 || thread_count > RT3_POOL_MAX_THREADS)
    return RT3_INVALID_ARGUMENT;
  if ((uintptr_t)memory % RT3_MEMORY_ALIGNMENT != 0)
    return RT3_MISALIGNED;
  if (memory_size < sizeof(rt3_pool_t))
    return RT3_MEMORY_TOO_SMALL;
  rt3_pool_t *pool = memory;
  pool->worker_count = 0;
  pool->sleeping = 0;
  pool->is_finishing = 0;
  atomic_init(&pool->next, 0);
  atomic_init(&pool->job, 0);
  atomic_init(&pool->left, 0);
  if (pthread_mutex_init(&pool->mutex, NULL) != 0)
    return RT3_SYSTEM_ERROR;
  if (pthread_cond_init(&pool->wake, NULL) != 0) {
    pthread_mutex_destroy(&pool->mutex);
    return RT3_SYSTEM_ERROR;
  }
  if (pthread_cond_init(&pool->done, NULL) != 0) {
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    return RT3_SYSTEM_ERROR;
  }
  while (pool->worker_count + 1 < thread_count) {
    if (pthread_create(&pool->threads[pool->worker_count], NULL, work, pool) != 0) {
      rt3_pool_finish(pool);
      return RT3_SYSTEM_ERROR;
    }
    ++pool->worker_count;
  }
  *out_pool = pool;
  return RT3_OK;
}

rt3_parallel_t rt3_pool_parallel(rt3_pool_t *pool) {
  return (rt3_parallel_t){run, pool};
}

void rt3_pool_finish(rt3_pool_t *pool) {
  if (pool == NULL)
    return;
  pool->is_finishing = 1;
  begin_job(pool);
  for (uint32_t i = 0; i < pool->worker_count; ++i)
    pthread_join(pool->threads[i], NULL);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->mutex);
}
