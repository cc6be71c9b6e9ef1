// RUN: rt3-opt %s -pass-pipeline='builtin.module(func.func(rt3-fuse-attention),canonicalize)' | FileCheck %s

// Scale, an added mask, heads by reshape and transpose.
// CHECK-LABEL: func.func @with_mask
// CHECK-SAME: %[[Q:.*]]: tensor<1x?x8xf32>, %[[M:.*]]: tensor<1x1x1x?xf32>
// CHECK: %[[Y:.*]] = rt3_graph.attention %[[Q]], %[[Q]], %[[Q]] mask %[[M]] heads = 2 scale = 5.000000e-01 :
// CHECK-NEXT: return %[[Y]]
func.func @with_mask(%q: tensor<1x?x8xf32>, %m: tensor<1x1x1x?xf32>) -> tensor<1x?x8xf32> {
  %scale = rt3_graph.constant dense<0.5> : tensor<1xf32>
  %r = rt3_graph.reshape %q : tensor<1x?x8xf32> -> tensor<1x?x2x4xf32>
  %q4 = rt3_graph.transpose %r [0, 2, 1, 3] : tensor<1x?x2x4xf32> -> tensor<1x2x?x4xf32>
  %k4 = rt3_graph.transpose %r [0, 2, 3, 1] : tensor<1x?x2x4xf32> -> tensor<1x2x4x?xf32>
  %s = rt3_graph.matmul %q4, %k4 : (tensor<1x2x?x4xf32>, tensor<1x2x4x?xf32>) -> tensor<1x2x?x?xf32>
  %t = rt3_graph.binary mul %s, %scale : (tensor<1x2x?x?xf32>, tensor<1xf32>) -> tensor<1x2x?x?xf32>
  %u = rt3_graph.binary add %t, %m : (tensor<1x2x?x?xf32>, tensor<1x1x1x?xf32>) -> tensor<1x2x?x?xf32>
  %p = rt3_graph.softmax %u axis = 3 : tensor<1x2x?x?xf32>
  %c = rt3_graph.matmul %p, %q4 : (tensor<1x2x?x?xf32>, tensor<1x2x?x4xf32>) -> tensor<1x2x?x4xf32>
  %j = rt3_graph.transpose %c [0, 2, 1, 3] : tensor<1x2x?x4xf32> -> tensor<1x?x2x4xf32>
  %y = rt3_graph.reshape %j : tensor<1x?x2x4xf32> -> tensor<1x?x8xf32>
  return %y : tensor<1x?x8xf32>
}

// A constant lower triangle that selects is causal.
// CHECK-LABEL: func.func @with_triangle
// CHECK: rt3_graph.attention %{{.*}}, %{{.*}}, %{{.*}} heads = 2 scale = 1.000000e+00 causal
func.func @with_triangle(%q: tensor<1x3x8xf32>) -> tensor<1x3x8xf32> {
  %visible = rt3_graph.constant dense<[[[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]> : tensor<1x1x3x3xi1>
  %low = rt3_graph.constant dense<0xFF800000> : tensor<1xf32>
  %r = rt3_graph.reshape %q : tensor<1x3x8xf32> -> tensor<1x3x2x4xf32>
  %q4 = rt3_graph.transpose %r [0, 2, 1, 3] : tensor<1x3x2x4xf32> -> tensor<1x2x3x4xf32>
  %k4 = rt3_graph.transpose %r [0, 2, 3, 1] : tensor<1x3x2x4xf32> -> tensor<1x2x4x3xf32>
  %s = rt3_graph.matmul %q4, %k4 : (tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32>) -> tensor<1x2x3x3xf32>
  %t = rt3_graph.select %visible, %s, %low : (tensor<1x1x3x3xi1>, tensor<1x2x3x3xf32>, tensor<1xf32>) -> tensor<1x2x3x3xf32>
  %p = rt3_graph.softmax %t axis = 3 : tensor<1x2x3x3xf32>
  %c = rt3_graph.matmul %p, %q4 : (tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  %j = rt3_graph.transpose %c [0, 2, 1, 3] : tensor<1x2x3x4xf32> -> tensor<1x3x2x4xf32>
  %y = rt3_graph.reshape %j : tensor<1x3x2x4xf32> -> tensor<1x3x8xf32>
  return %y : tensor<1x3x8xf32>
}

// Any other condition becomes an added mask.
// CHECK-LABEL: func.func @with_condition
// CHECK: %[[ADDED:.*]] = rt3_graph.select %{{.*}} -> tensor<1x1x1x3xf32>
// CHECK: rt3_graph.attention %{{.*}} mask %[[ADDED]] heads = 2
func.func @with_condition(%q: tensor<1x3x8xf32>, %hidden: tensor<1x1x1x3xi1>) -> tensor<1x3x8xf32> {
  %low = rt3_graph.constant dense<-10000.0> : tensor<1xf32>
  %r = rt3_graph.reshape %q : tensor<1x3x8xf32> -> tensor<1x3x2x4xf32>
  %q4 = rt3_graph.transpose %r [0, 2, 1, 3] : tensor<1x3x2x4xf32> -> tensor<1x2x3x4xf32>
  %k4 = rt3_graph.transpose %r [0, 2, 3, 1] : tensor<1x3x2x4xf32> -> tensor<1x2x4x3xf32>
  %s = rt3_graph.matmul %q4, %k4 : (tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32>) -> tensor<1x2x3x3xf32>
  %t = rt3_graph.select %hidden, %low, %s : (tensor<1x1x1x3xi1>, tensor<1xf32>, tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %p = rt3_graph.softmax %t axis = 3 : tensor<1x2x3x3xf32>
  %c = rt3_graph.matmul %p, %q4 : (tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  %j = rt3_graph.transpose %c [0, 2, 1, 3] : tensor<1x2x3x4xf32> -> tensor<1x3x2x4xf32>
  %y = rt3_graph.reshape %j : tensor<1x3x2x4xf32> -> tensor<1x3x8xf32>
  return %y : tensor<1x3x8xf32>
}

// Keys that are not transposed: not attention.
// CHECK-LABEL: func.func @keys_not_transposed
// CHECK-NOT: attention
func.func @keys_not_transposed(%q: tensor<1x4x8xf32>) -> tensor<1x4x8xf32> {
  %r = rt3_graph.reshape %q : tensor<1x4x8xf32> -> tensor<1x4x2x4xf32>
  %q4 = rt3_graph.transpose %r [0, 2, 1, 3] : tensor<1x4x2x4xf32> -> tensor<1x2x4x4xf32>
  %s = rt3_graph.matmul %q4, %q4 : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %p = rt3_graph.softmax %s axis = 3 : tensor<1x2x4x4xf32>
  %c = rt3_graph.matmul %p, %q4 : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %j = rt3_graph.transpose %c [0, 2, 1, 3] : tensor<1x2x4x4xf32> -> tensor<1x4x2x4xf32>
  %y = rt3_graph.reshape %j : tensor<1x4x2x4xf32> -> tensor<1x4x8xf32>
  return %y : tensor<1x4x8xf32>
}

// Heads turned by their tokens' angles, two of queries for one of keys, and a mask that
// hides by adding: as PyTorch exports Llama.
// CHECK-LABEL: func.func @grouped_and_turned
// CHECK-SAME: %[[Q:.*]]: tensor<1x3x8xf32>, %[[K:.*]]: tensor<1x3x4xf32>, %[[C:.*]]: tensor<3x4xf32>
// CHECK: %[[R:.*]] = rt3_graph.rotary %[[Q]], %[[C]], %[[C]] heads = 2
// CHECK: rt3_graph.attention %[[R]], %[[K]], %[[K]] heads = 2 scale = 1.000000e+00 causal :
func.func @grouped_and_turned(%q: tensor<1x3x8xf32>, %k: tensor<1x3x4xf32>, %c: tensor<3x4xf32>) -> tensor<1x3x8xf32> {
  %mask = rt3_graph.constant dense<[[[[0.0, -1.0e9, -1.0e9], [0.0, 0.0, -1.0e9], [0.0, 0.0, 0.0]]]]> : tensor<1x1x3x3xf32>
  %r = rt3_graph.reshape %q : tensor<1x3x8xf32> -> tensor<1x3x2x4xf32>
  %q4 = rt3_graph.transpose %r [0, 2, 1, 3] : tensor<1x3x2x4xf32> -> tensor<1x2x3x4xf32>
  %upper = rt3_graph.slice %q4 [0, 0, 0, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> -> tensor<1x2x3x2xf32>
  %lower = rt3_graph.slice %q4 [0, 0, 0, 0] [1, 1, 1, 1] : tensor<1x2x3x4xf32> -> tensor<1x2x3x2xf32>
  %minus = rt3_graph.unary neg %upper : tensor<1x2x3x2xf32>
  %turned = rt3_graph.concat %minus, %lower axis = 3 : (tensor<1x2x3x2xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x4xf32>
  %a = rt3_graph.binary mul %q4, %c : (tensor<1x2x3x4xf32>, tensor<3x4xf32>) -> tensor<1x2x3x4xf32>
  %b = rt3_graph.binary mul %turned, %c : (tensor<1x2x3x4xf32>, tensor<3x4xf32>) -> tensor<1x2x3x4xf32>
  %qr = rt3_graph.binary add %a, %b : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  %k1 = rt3_graph.reshape %k : tensor<1x3x4xf32> -> tensor<1x3x1x4xf32>
  %kt = rt3_graph.transpose %k1 [0, 2, 1, 3] : tensor<1x3x1x4xf32> -> tensor<1x1x3x4xf32>
  %k5 = rt3_graph.reshape %kt : tensor<1x1x3x4xf32> -> tensor<1x1x1x3x4xf32>
  %ke = rt3_graph.expand %k5 : tensor<1x1x1x3x4xf32> -> tensor<1x1x2x3x4xf32>
  %k4 = rt3_graph.reshape %ke : tensor<1x1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  %kk = rt3_graph.transpose %k4 [0, 1, 3, 2] : tensor<1x2x3x4xf32> -> tensor<1x2x4x3xf32>
  %s = rt3_graph.matmul %qr, %kk : (tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32>) -> tensor<1x2x3x3xf32>
  %t = rt3_graph.binary add %s, %mask : (tensor<1x2x3x3xf32>, tensor<1x1x3x3xf32>) -> tensor<1x2x3x3xf32>
  %p = rt3_graph.softmax %t axis = 3 : tensor<1x2x3x3xf32>
  %d = rt3_graph.matmul %p, %k4 : (tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  %j = rt3_graph.transpose %d [0, 2, 1, 3] : tensor<1x2x3x4xf32> -> tensor<1x3x2x4xf32>
  %y = rt3_graph.reshape %j : tensor<1x3x2x4xf32> -> tensor<1x3x8xf32>
  return %y : tensor<1x3x8xf32>
}
