// SPDX-License-Identifier: Apache-2.0
//
// The headers stand alone as C.

#include "rt3/rt3_bundle.h"

#include "rt3/rt3.h"
#include "rt3/rt3_policy.h"
#include "rt3/rt3_pool.h"
