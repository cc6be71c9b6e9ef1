// RUN: rt3-opt %s -pass-pipeline='builtin.module(func.func(rt3-fuse-linear),canonicalize)' | FileCheck %s

// Product, bias, function and residual are one layer.
// CHECK-LABEL: func.func @whole_layer
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>
// CHECK: rt3_graph.linear "linear" %[[X]], %{{.*}} bias %{{.*}} residual %[[X]] activation gelu
// CHECK-NEXT: return
func.func @whole_layer(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  %bias = rt3_graph.constant dense<1.0> : tensor<8xf32>
  %a = rt3_graph.matmul %x, %w : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %b = rt3_graph.binary add %bias, %a : (tensor<8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %c = rt3_graph.unary gelu %b : tensor<?x8xf32>
  %y = rt3_graph.binary add %c, %x : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// A sum that is used twice stays.
// CHECK-LABEL: func.func @result_used_twice
// CHECK: rt3_graph.linear "linear" %{{.*}}, %{{.*}} : (
// CHECK: rt3_graph.unary relu
func.func @result_used_twice(%x: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  %a = rt3_graph.matmul %x, %w : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %y = rt3_graph.unary relu %a : tensor<?x8xf32>
  return %a, %y : tensor<?x8xf32>, tensor<?x8xf32>
}

// Q and K in one matrix: a layer for each.
// CHECK-LABEL: func.func @outputs_sliced
// CHECK-DAG: rt3_graph.linear "linear[0:4]" %{{.*}} -> tensor<?x4xf32>
// CHECK-DAG: rt3_graph.linear "linear[4:8]" %{{.*}} -> tensor<?x4xf32>
// CHECK-NOT: rt3_graph.slice
func.func @outputs_sliced(%x: tensor<?x8xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  %a = rt3_graph.matmul %x, %w : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %q = rt3_graph.slice %a [0, 0] [1, 1] : tensor<?x8xf32> -> tensor<?x4xf32>
  %k = rt3_graph.slice %a [0, 4] [1, 1] : tensor<?x8xf32> -> tensor<?x4xf32>
  return %q, %k : tensor<?x4xf32>, tensor<?x4xf32>
}

// Two computed matrices are no layer.
// CHECK-LABEL: func.func @both_computed
// CHECK: rt3_graph.matmul
func.func @both_computed(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>) -> tensor<4x8xf32> {
  %y = rt3_graph.matmul %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
