// RUN: rt3-opt %s "-pass-pipeline=builtin.module(func.func(rt3-quantize-linear{type=f16 keep-f32=large}))" \
// RUN:   | FileCheck %s --check-prefix=HALF
// RUN: not rt3-opt %s "-pass-pipeline=builtin.module(func.func(rt3-quantize-linear{type=f16}))" 2>&1 \
// RUN:   | FileCheck %s --check-prefix=LARGE

// Weights are rounded, and stay f32 for everything but packing.
// HALF-LABEL: func.func @halves
// HALF: rt3_graph.linear "rounded" %{{.*}}, %[[W:.*]] as f16 : (tensor<4x1xf32>, tensor<1x1xf32>)
// HALF: rt3_graph.linear "large" %{{.*}}, %{{.*}} :
// LARGE: layer "large" has the weight 7.000000e+04, f16 ends at 65504
// LARGE: keep it with --keep-f32
func.func @halves(%x: tensor<4x1xf32>) -> tensor<4x1xf32> {
  %w = rt3_graph.constant dense<0.1> : tensor<1x1xf32>
  %l = rt3_graph.constant dense<70000.0> : tensor<1x1xf32>
  %y = rt3_graph.linear "rounded" %x, %w : (tensor<4x1xf32>, tensor<1x1xf32>) -> tensor<4x1xf32>
  %z = rt3_graph.linear "large" %y, %l : (tensor<4x1xf32>, tensor<1x1xf32>) -> tensor<4x1xf32>
  return %z : tensor<4x1xf32>
}
