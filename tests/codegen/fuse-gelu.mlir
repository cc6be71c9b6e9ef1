// RUN: rt3-opt %s -pass-pipeline='builtin.module(func.func(rt3-fuse-gelu),canonicalize)' | FileCheck %s

// x/2 (1 + erf(x / sqrt 2)), the factors in any order.
// CHECK-LABEL: func.func @with_erf
// CHECK-NEXT: %[[Y:.*]] = rt3_graph.unary gelu %{{.*}} : tensor<?x8xf32>
// CHECK-NEXT: return %[[Y]]
func.func @with_erf(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %r = rt3_graph.constant dense<0.70710678> : tensor<1xf32>
  %one = rt3_graph.constant dense<1.0> : tensor<1xf32>
  %half = rt3_graph.constant dense<0.5> : tensor<1xf32>
  %a = rt3_graph.binary mul %x, %r : (tensor<?x8xf32>, tensor<1xf32>) -> tensor<?x8xf32>
  %b = rt3_graph.unary erf %a : tensor<?x8xf32>
  %c = rt3_graph.binary add %b, %one : (tensor<?x8xf32>, tensor<1xf32>) -> tensor<?x8xf32>
  %d = rt3_graph.binary mul %half, %c : (tensor<1xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %e = rt3_graph.binary mul %d, %x : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %e : tensor<?x8xf32>
}

// The same with tanh is another function.
// CHECK-LABEL: func.func @with_tanh
// CHECK: rt3_graph.unary gelu_tanh %{{.*}} : tensor<8xf32>
func.func @with_tanh(%x: tensor<8xf32>) -> tensor<8xf32> {
  %k = rt3_graph.constant dense<0.044715> : tensor<1xf32>
  %s = rt3_graph.constant dense<0.79788456> : tensor<1xf32>
  %one = rt3_graph.constant dense<1.0> : tensor<1xf32>
  %half = rt3_graph.constant dense<0.5> : tensor<1xf32>
  %x2 = rt3_graph.binary mul %x, %x : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %x3 = rt3_graph.binary mul %x2, %x : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %a = rt3_graph.binary mul %x3, %k : (tensor<8xf32>, tensor<1xf32>) -> tensor<8xf32>
  %b = rt3_graph.binary add %x, %a : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %c = rt3_graph.binary mul %b, %s : (tensor<8xf32>, tensor<1xf32>) -> tensor<8xf32>
  %t = rt3_graph.unary tanh %c : tensor<8xf32>
  %d = rt3_graph.binary add %t, %one : (tensor<8xf32>, tensor<1xf32>) -> tensor<8xf32>
  %e = rt3_graph.binary mul %x, %half : (tensor<8xf32>, tensor<1xf32>) -> tensor<8xf32>
  %y = rt3_graph.binary mul %e, %d : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  return %y : tensor<8xf32>
}

// Another constant, and it is no GELU.
// CHECK-LABEL: func.func @almost
// CHECK-NOT: gelu
func.func @almost(%x: tensor<8xf32>) -> tensor<8xf32> {
  %one = rt3_graph.constant dense<1.0> : tensor<1xf32>
  %half = rt3_graph.constant dense<0.5> : tensor<1xf32>
  %b = rt3_graph.unary erf %x : tensor<8xf32>
  %c = rt3_graph.binary add %b, %one : (tensor<8xf32>, tensor<1xf32>) -> tensor<8xf32>
  %d = rt3_graph.binary mul %half, %c : (tensor<1xf32>, tensor<8xf32>) -> tensor<8xf32>
  %e = rt3_graph.binary mul %d, %x : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  return %e : tensor<8xf32>
}

// x sigmoid(x), in front of another factor.
// CHECK-LABEL: func.func @silu
// CHECK: %[[S:.*]] = rt3_graph.unary silu %{{.*}} : tensor<?x8xf32>
// CHECK-NEXT: rt3_graph.binary mul %[[S]]
func.func @silu(%x: tensor<?x8xf32>, %z: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %a = rt3_graph.unary sigmoid %x : tensor<?x8xf32>
  %b = rt3_graph.binary mul %x, %a : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = rt3_graph.binary mul %b, %z : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
