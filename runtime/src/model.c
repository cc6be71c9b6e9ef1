// SPDX-License-Identifier: Apache-2.0
//
// A model: set up once, run, and switched between levels.

#include "bundle.h"

#include <stdatomic.h>
#include <string.h>

struct rt3_model_t {
  const rt3_program_t *program;
  rt3_bundle_t bundle;
  _Atomic uint32_t level;
};

// The head of the caller's memory; keys and values follow at kStateHead.
struct rt3_state_t {
  const rt3_program_t *program;
  int64_t position;
};
enum { kStateHead = RT3_MEMORY_ALIGNMENT };

size_t rt3_model_memory_size(void) { return sizeof(rt3_model_t); }

rt3_status_t rt3_model_init(const rt3_program_t *program, const void *bundle,
                            size_t bundle_size, void *memory,
                            size_t memory_size, rt3_model_t **out_model) {
  return rt3_model_init_mapped(program, bundle, bundle_size, NULL, memory,
                               memory_size, out_model);
}

rt3_status_t rt3_model_init_mapped(const rt3_program_t *program,
                                   const void *bundle, size_t bundle_size,
                                   const rt3_release_t *release, void *memory,
                                   size_t memory_size,
                                   rt3_model_t **out_model) {
  if (out_model == NULL)
    return RT3_INVALID_ARGUMENT;
  *out_model = NULL;
  if (program == NULL || bundle == NULL || memory == NULL ||
      (release != NULL && release->release == NULL))
    return RT3_INVALID_ARGUMENT;
  if ((uintptr_t)memory % RT3_MEMORY_ALIGNMENT != 0)
    return RT3_MISALIGNED;
  if (memory_size < sizeof(rt3_model_t))
    return RT3_MEMORY_TOO_SMALL;
  // Before anything else: no pointer to code may be handed out on a CPU that
  // cannot run it.
  if ((program->required_features & ~rt3_cpu_features()) != 0)
    return RT3_UNSUPPORTED_CPU;
  rt3_bundle_t checked;
  rt3_status_t status = rt3_bundle_open(program, bundle, bundle_size, release, &checked);
  if (status != RT3_OK)
    return status;
  rt3_model_t *model = memory;
  model->program = program;
  model->bundle = checked;
  atomic_init(&model->level, 0);
  *out_model = model;
  return RT3_OK;
}

size_t rt3_model_workspace_size(const rt3_model_t *model) {
  return model == NULL ? 0 : (size_t)model->program->workspace_size;
}

rt3_status_t rt3_model_set_level(rt3_model_t *model, uint32_t level) {
  if (model == NULL || level >= model->program->level_count)
    return RT3_INVALID_ARGUMENT;
  atomic_store_explicit(&model->level, level, memory_order_release);
  return RT3_OK;
}

uint32_t rt3_model_level(const rt3_model_t *model) {
  return model == NULL
             ? 0
             : atomic_load_explicit(&model->level, memory_order_acquire);
}

static size_t element_size(uint32_t type) {
  switch (type) {
  case RT3_INT64:
    return 8;
  case RT3_BOOL:
    return 1;
  default:
    return 4;
  }
}

// Bytes of a tensor; the compiler has made sure that this does not overflow.
static size_t tensor_size(const rt3_tensor_t *tensor, int64_t length) {
  size_t size = element_size(tensor->element_type);
  for (uint32_t i = 0; i < tensor->rank; ++i)
    size *= (size_t)(tensor->dims[i] < 0 ? length : tensor->dims[i]);
  return size;
}

static rt3_status_t check_tensors(const rt3_tensor_t *tensors, uint32_t count,
                                  const void *const *pointers) {
  if (count != 0 && pointers == NULL)
    return RT3_INVALID_ARGUMENT;
  for (uint32_t i = 0; i < count; ++i) {
    if (pointers[i] == NULL)
      return RT3_INVALID_ARGUMENT;
    if ((uintptr_t)pointers[i] % element_size(tensors[i].element_type) != 0)
      return RT3_MISALIGNED;
  }
  return RT3_OK;
}

static size_t state_memory_size(const rt3_program_t *program) {
  return program->state_size == 0 ? 0
                                  : kStateHead + (size_t)program->state_size;
}

static int overlap(const void *a, size_t a_size, const void *b, size_t b_size) {
  uintptr_t first = (uintptr_t)a, second = (uintptr_t)b;
  if (a_size == 0 || b_size == 0)
    return 0;
  return first < second ? second - first < a_size : first - second < b_size;
}

// What is written overlaps nothing else; inputs may overlap each other.
static int buffers_are_apart(const rt3_program_t *program,
                             const rt3_run_t *run) {
  size_t workspace_size = (size_t)program->workspace_size;
  size_t state_size = run->state == NULL ? 0 : state_memory_size(program);
  if (overlap(run->workspace, workspace_size, run->state, state_size))
    return 0;
  for (uint32_t i = 0; i < program->input_count; ++i) {
    size_t size = tensor_size(&program->inputs[i], run->length);
    if (overlap(run->workspace, workspace_size, run->inputs[i], size) ||
        overlap(run->state, state_size, run->inputs[i], size))
      return 0;
  }
  for (uint32_t o = 0; o < program->output_count; ++o) {
    const void *output = run->outputs[o];
    size_t size = tensor_size(&program->outputs[o], run->length);
    if (overlap(output, size, run->workspace, workspace_size) ||
        overlap(output, size, run->state, state_size))
      return 0;
    for (uint32_t i = 0; i < program->input_count; ++i)
      if (overlap(output, size, run->inputs[i],
                  tensor_size(&program->inputs[i], run->length)))
        return 0;
    for (uint32_t other = 0; other < o; ++other)
      if (overlap(output, size, run->outputs[other],
                  tensor_size(&program->outputs[other], run->length)))
        return 0;
  }
  return 1;
}

rt3_status_t rt3_model_run(const rt3_model_t *model, const rt3_run_t *run) {
  if (model == NULL || run == NULL || run->workspace == NULL)
    return RT3_INVALID_ARGUMENT;
  const rt3_program_t *program = model->program;
  if (run->length < 1 || run->length > program->max_length)
    return RT3_INVALID_ARGUMENT;
  if (run->parallel != NULL && run->parallel->run == NULL)
    return RT3_INVALID_ARGUMENT;
  // A state of another model, or none where one is needed.
  if ((run->state == NULL) != (program->state_size == 0) ||
      (run->state != NULL && run->state->program != program))
    return RT3_INVALID_ARGUMENT;
  if ((uintptr_t)run->workspace % RT3_MEMORY_ALIGNMENT != 0)
    return RT3_MISALIGNED;
  if (run->workspace_size < program->workspace_size)
    return RT3_MEMORY_TOO_SMALL;
  rt3_status_t status =
      check_tensors(program->inputs, program->input_count, run->inputs);
  if (status == RT3_OK)
    status = check_tensors(program->outputs, program->output_count,
                           (const void *const *)run->outputs);
  if (status != RT3_OK)
    return status;
  if (!buffers_are_apart(program, run))
    return RT3_INVALID_ARGUMENT;
  int64_t position = run->state == NULL ? 0 : run->state->position;
  if (run->state != NULL && run->length > program->context_length - position)
    return RT3_CONTEXT_FULL;
  rt3_call_t call = {run->inputs, run->outputs, model->bundle.weights,
                     run->workspace,
                     run->state == NULL ? NULL : (char *)run->state + kStateHead,
                     run->length, position, run->parallel};
  // Read once: a switch during this run does not concern it.
  uint32_t level = atomic_load_explicit(&model->level, memory_order_acquire);
  program->levels[level](&call);
  if (run->state != NULL)
    run->state->position = position + run->length;
  return RT3_OK;
}

size_t rt3_model_state_size(const rt3_model_t *model) {
  return model == NULL ? 0 : state_memory_size(model->program);
}

int64_t rt3_model_context_length(const rt3_model_t *model) {
  return model == NULL ? 0 : model->program->context_length;
}

rt3_status_t rt3_state_init(const rt3_model_t *model, void *memory,
                            size_t memory_size, rt3_state_t **out_state) {
  if (out_state == NULL)
    return RT3_INVALID_ARGUMENT;
  *out_state = NULL;
  if (model == NULL || memory == NULL || model->program->state_size == 0)
    return RT3_INVALID_ARGUMENT;
  if ((uintptr_t)memory % RT3_MEMORY_ALIGNMENT != 0)
    return RT3_MISALIGNED;
  if (memory_size < state_memory_size(model->program))
    return RT3_MEMORY_TOO_SMALL;
  rt3_state_t *state = memory;
  state->program = model->program;
  state->position = 0;
  *out_state = state;
  return RT3_OK;
}

int64_t rt3_state_position(const rt3_state_t *state) {
  return state == NULL ? 0 : state->position;
}

rt3_status_t rt3_state_rewind(rt3_state_t *state, int64_t position) {
  if (state == NULL || position < 0 || position > state->position)
    return RT3_INVALID_ARGUMENT;
  state->position = position;
  return RT3_OK;
}
