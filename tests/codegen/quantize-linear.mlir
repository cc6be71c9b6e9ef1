// RUN: rt3-opt %s "-pass-pipeline=builtin.module(func.func(rt3-quantize-linear{keep-f32=head,up*}))" | FileCheck %s
// RUN: not rt3-opt %s "-pass-pipeline=builtin.module(func.func(rt3-quantize-linear{keep-f32=tail}))" 2>&1 \
// RUN:   | FileCheck %s --check-prefix=UNKNOWN

// UNKNOWN: keep-f32: no layer is named "tail"

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x8xf32>, %computed: tensor<8x8xf32>) -> tensor<?x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  // CHECK: rt3_graph.linear "q" %{{.*}}, %{{.*}} as int8 :
  %q = rt3_graph.linear "q" %x, %w : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // CHECK: rt3_graph.linear "up.1" %{{.*}}, %{{.*}} :
  %u = rt3_graph.linear "up.1" %q, %w : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // CHECK: rt3_graph.linear "head" %{{.*}}, %{{.*}} :
  %h = rt3_graph.linear "head" %u, %w : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // Weights that are not known cannot be quantised here.
  // CHECK: rt3_graph.linear "computed" %{{.*}}, %{{.*}} :
  %c = rt3_graph.linear "computed" %h, %computed : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  return %c : tensor<?x8xf32>
}
