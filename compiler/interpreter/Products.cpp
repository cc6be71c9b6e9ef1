// SPDX-License-Identifier: Apache-2.0

#include "compiler/interpreter/Products.h"

#include <algorithm>

void mlir::rt3::multiply(double *__restrict out, const double *__restrict a, const double *__restrict b, int64_t m,
                         int64_t n, int64_t k) {
  std::fill(out, out + m * n, 0);
  // Four rows go together, for which a row of b is read once.
  int64_t row = 0;
  for (; row + 4 <= m; row += 4) {
    double *out0 = out + row * n, *out1 = out0 + n, *out2 = out1 + n, *out3 = out2 + n;
    for (int64_t i = 0; i < k; ++i) {
      double a0 = a[row * k + i], a1 = a[(row + 1) * k + i], a2 = a[(row + 2) * k + i], a3 = a[(row + 3) * k + i];
      for (int64_t column = 0; column < n; ++column) {
        double weight = b[i * n + column];
        out0[column] += a0 * weight;
        out1[column] += a1 * weight;
        out2[column] += a2 * weight;
        out3[column] += a3 * weight;
      }
    }
  }
  for (; row < m; ++row)
    for (int64_t i = 0; i < k; ++i)
      for (int64_t column = 0; column < n; ++column)
        out[row * n + column] += a[row * k + i] * b[i * n + column];
}
