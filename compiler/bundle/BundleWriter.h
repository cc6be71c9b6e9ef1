// SPDX-License-Identifier: Apache-2.0
//
// Plain data in, the bytes of a bundle (.rt3) out; rt3_bundle.h has the layout.

#ifndef RT3_COMPILER_BUNDLE_BUNDLEWRITER_H
#define RT3_COMPILER_BUNDLE_BUNDLEWRITER_H

#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include <array>
#include <string>
#include <vector>

namespace mlir::rt3 {

struct BundleContents {
  std::array<uint8_t, 16> modelId;
  std::vector<rt3_bundle_level_t> levels;
  std::string weights;
  std::string report; // JSON.
};

// Equal contents give equal bytes.
std::string writeBundle(const BundleContents &contents);

} // namespace mlir::rt3

#endif // RT3_COMPILER_BUNDLE_BUNDLEWRITER_H
