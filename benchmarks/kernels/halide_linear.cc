// SPDX-License-Identifier: Apache-2.0
//
// Halide's dense layer y = x W: a generator of its object code. Tiles of 96 outputs x
// `tokens` tokens are summed in registers over all inputs; weights are packed by tile.

#include <Halide.h>

class LinearLayer : public Halide::Generator<LinearLayer> {
public:
  GeneratorParam<int> tokens{"tokens", 4};
  Input<Buffer<float, 2>> x{"x"};  // (K, M)
  Input<Buffer<float, 3>> w{"w"};  // (96, K, N / 96)
  Output<Buffer<float, 3>> y{"y"}; // (96, M, N / 96), which is (N, M) in memory.

  void generate() {
    Halide::Func sum("sum");
    Halide::RDom k(0, x.dim(0).extent());
    sum(n, m, o) = 0.0f;
    sum(n, m, o) += x(k, m) * w(n, k, o);
    y(n, m, o) = sum(n, m, o);

    Halide::Var mi("mi");
    const int lanes = natural_vector_size<float>();
    x.dim(1).set_stride(x.dim(0).extent());
    w.dim(0).set_bounds(0, kWidth).dim(1).set_stride(kWidth);
    y.dim(0).set_bounds(0, kWidth).dim(2).set_stride(kWidth);
    y.split(m, m, mi, tokens, Halide::TailStrategy::GuardWithIf).reorder(n, mi, m, o).vectorize(n, lanes).unroll(n);
    sum.compute_at(y, m).bound_extent(n, kWidth).bound_extent(m, tokens).vectorize(n, lanes).unroll(n).unroll(m);
    sum.update().reorder(n, m, k).vectorize(n, lanes).unroll(n).unroll(m);
  }

private:
  static constexpr int kWidth = 96;
  Halide::Var n{"n"}, m{"m"}, o{"o"};
};

HALIDE_REGISTER_GENERATOR(LinearLayer, linear_layer)
