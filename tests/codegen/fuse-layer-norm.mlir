// RUN: rt3-opt %s -pass-pipeline='builtin.module(func.func(rt3-fuse-layer-norm),canonicalize)' | FileCheck %s

// CHECK-LABEL: func.func @as_pytorch_writes_it
// CHECK-SAME: %[[X:.*]]: tensor<1x?x8xf32>
// CHECK: %[[Y:.*]] = rt3_graph.layer_norm %[[X]], %{{.*}}, %{{.*}} epsilon = 9.99999974E-6
// CHECK-NEXT: return %[[Y]]
func.func @as_pytorch_writes_it(%x: tensor<1x?x8xf32>) -> tensor<1x?x8xf32> {
  %scale = rt3_graph.constant dense<2.0> : tensor<8xf32>
  %bias = rt3_graph.constant dense<3.0> : tensor<8xf32>
  %epsilon = rt3_graph.constant dense<1.0e-5> : tensor<1xf32>
  %m = rt3_graph.reduce mean %x [2] : tensor<1x?x8xf32> -> tensor<1x?x1xf32>
  %d = rt3_graph.binary sub %x, %m : (tensor<1x?x8xf32>, tensor<1x?x1xf32>) -> tensor<1x?x8xf32>
  %q = rt3_graph.binary mul %d, %d : (tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %v = rt3_graph.reduce mean %q [2] : tensor<1x?x8xf32> -> tensor<1x?x1xf32>
  %e = rt3_graph.binary add %v, %epsilon : (tensor<1x?x1xf32>, tensor<1xf32>) -> tensor<1x?x1xf32>
  %r = rt3_graph.unary sqrt %e : tensor<1x?x1xf32>
  %n = rt3_graph.binary div %d, %r : (tensor<1x?x8xf32>, tensor<1x?x1xf32>) -> tensor<1x?x8xf32>
  %s = rt3_graph.binary mul %n, %scale : (tensor<1x?x8xf32>, tensor<8xf32>) -> tensor<1x?x8xf32>
  %y = rt3_graph.binary add %s, %bias : (tensor<1x?x8xf32>, tensor<8xf32>) -> tensor<1x?x8xf32>
  return %y : tensor<1x?x8xf32>
}

// The mean of something else: what is left is divided by its root mean square alone.
// CHECK-LABEL: func.func @mean_of_another_tensor
// CHECK: %[[D:.*]] = rt3_graph.binary sub
// CHECK: rt3_graph.layer_norm %[[D]], %{{.*}}, %{{.*}} epsilon = 9.99999974E-6 rms
// CHECK: rt3_graph.binary add
func.func @mean_of_another_tensor(%x: tensor<4x8xf32>, %z: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %scale = rt3_graph.constant dense<2.0> : tensor<8xf32>
  %epsilon = rt3_graph.constant dense<1.0e-5> : tensor<1xf32>
  %m = rt3_graph.reduce mean %z [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %d = rt3_graph.binary sub %x, %m : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  %q = rt3_graph.binary mul %d, %d : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %v = rt3_graph.reduce mean %q [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %e = rt3_graph.binary add %v, %epsilon : (tensor<4x1xf32>, tensor<1xf32>) -> tensor<4x1xf32>
  %r = rt3_graph.unary sqrt %e : tensor<4x1xf32>
  %n = rt3_graph.binary div %d, %r : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  %s = rt3_graph.binary mul %n, %scale : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  %y = rt3_graph.binary add %s, %scale : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// RMSNorm as PyTorch writes it: a reciprocal, the scale in front.
// CHECK-LABEL: func.func @root_mean_square
// CHECK-SAME: %[[X:.*]]: tensor<1x?x8xf32>
// CHECK: %[[Y:.*]] = rt3_graph.layer_norm %[[X]], %{{.*}}, %{{.*}} epsilon = 9.99999974E-6 rms
// CHECK-NEXT: return %[[Y]]
func.func @root_mean_square(%x: tensor<1x?x8xf32>) -> tensor<1x?x8xf32> {
  %scale = rt3_graph.constant dense<2.0> : tensor<8xf32>
  %one = rt3_graph.constant dense<1.0> : tensor<1xf32>
  %epsilon = rt3_graph.constant dense<1.0e-5> : tensor<1xf32>
  %q = rt3_graph.binary mul %x, %x : (tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  %v = rt3_graph.reduce mean %q [2] : tensor<1x?x8xf32> -> tensor<1x?x1xf32>
  %e = rt3_graph.binary add %v, %epsilon : (tensor<1x?x1xf32>, tensor<1xf32>) -> tensor<1x?x1xf32>
  %r = rt3_graph.unary sqrt %e : tensor<1x?x1xf32>
  %i = rt3_graph.binary div %one, %r : (tensor<1xf32>, tensor<1x?x1xf32>) -> tensor<1x?x1xf32>
  %n = rt3_graph.binary mul %x, %i : (tensor<1x?x8xf32>, tensor<1x?x1xf32>) -> tensor<1x?x8xf32>
  %y = rt3_graph.binary mul %scale, %n : (tensor<8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  return %y : tensor<1x?x8xf32>
}

// The square of something else.
// CHECK-LABEL: func.func @square_of_another_tensor
// CHECK-NOT: layer_norm
func.func @square_of_another_tensor(%x: tensor<4x8xf32>, %z: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %scale = rt3_graph.constant dense<2.0> : tensor<8xf32>
  %epsilon = rt3_graph.constant dense<1.0e-5> : tensor<1xf32>
  %q = rt3_graph.binary mul %z, %z : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %v = rt3_graph.reduce mean %q [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %e = rt3_graph.binary add %v, %epsilon : (tensor<4x1xf32>, tensor<1xf32>) -> tensor<4x1xf32>
  %r = rt3_graph.unary sqrt %e : tensor<4x1xf32>
  %n = rt3_graph.binary div %x, %r : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  %y = rt3_graph.binary mul %n, %scale : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
