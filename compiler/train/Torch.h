// SPDX-License-Identifier: Apache-2.0
//
// libtorch's headers, with the warnings that they cause under ours.

#ifndef RT3_COMPILER_TRAIN_TORCH_H
#define RT3_COMPILER_TRAIN_TORCH_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#pragma GCC diagnostic ignored "-Wsign-compare"
#include <torch/torch.h>
#pragma GCC diagnostic pop

#endif // RT3_COMPILER_TRAIN_TORCH_H
