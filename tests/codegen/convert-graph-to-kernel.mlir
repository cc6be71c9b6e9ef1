// RUN: rt3-opt %s -rt3-convert-graph-to-kernel=device=x86-64-v3 | FileCheck %s
// RUN: rt3-opt %s -rt3-convert-graph-to-kernel=device=neoverse-n1 | FileCheck %s --check-prefix=NEON

// Between layers nothing is packed; inputs and results are.
// CHECK: rt3_kernel.tile = #rt3_kernel.tile<rows = 4, vectors = 3, lanes = 8, isa = "avx2", in_flight = 8>
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:.*]]: !rt3_kernel.buffer<tensor<1x?x8xf32>, 0>
// CHECK: %[[P:.*]] = rt3_kernel.pack %[[X]] : <tensor<1x?x8xf32>, 0> -> <tensor<1x?x8xf32>, 24>
// CHECK: %[[A:.*]] = rt3_kernel.linear "a" %[[P]] bias %{{.*}} tile = {{.*}} patterns = []>]
// CHECK: %[[B:.*]] = rt3_kernel.map relu %[[A]] :
// CHECK: %[[N:.*]] = rt3_kernel.layer_norm %[[B]]
// CHECK: %[[C:.*]] = rt3_kernel.linear "b" %[[N]] bias %{{.*}} residual %[[P]] {{.*}} patterns = [255], unroll = 4>]
// CHECK: %[[Y:.*]] = rt3_kernel.pack %[[C]]
// CHECK: return %[[Y]]
module attributes {rt3_graph.max_length = 16 : i64} {
func.func @main(%x: tensor<1x?x8xf32>) -> tensor<1x?x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  %s = rt3_graph.constant dense<0.5> : tensor<8xf32>
  %a = rt3_graph.linear "a" %x, %w : (tensor<1x?x8xf32>, tensor<8x8xf32>) -> tensor<1x?x8xf32>
  %b = rt3_graph.unary relu %a : tensor<1x?x8xf32>
  %n = rt3_graph.layer_norm %b, %s, %s epsilon = 1.0e-5 : tensor<1x?x8xf32>, tensor<8xf32>, tensor<8xf32> -> tensor<1x?x8xf32>
  %c = rt3_graph.linear "b" %n, %w residual %x levels [#rt3_graph.block<rows = 8, mask = dense<1> : tensor<8x8xi8>>]
      : (tensor<1x?x8xf32>, tensor<8x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  return %c : tensor<1x?x8xf32>
}

// Threads share 128 outputs in two parts; a single token lies in a panel of 1.
// CHECK-LABEL: func.func @shared
// CHECK: rt3_kernel.linear {{.*}} parts = [0, 2048]>] : ({{.*}}) -> !rt3_kernel.buffer<tensor<1x?x128xf32>, 24>
// CHECK-LABEL: func.func @token
// CHECK: rt3_kernel.linear {{.*}} : (!rt3_kernel.buffer<tensor<1x8xf32>, 1>, {{.*}}) -> !rt3_kernel.buffer<tensor<1x128xf32>, 1>
// CHECK-NOT: rt3_kernel.pack %{{.*}} : <tensor<1x128xf32>, 1>
// On NEON indices are not divided: inputs lie where they point.
// NEON-LABEL: func.func @token
// NEON: rt3_kernel.pack %{{.*}} : <tensor<1x128xf32>, 1> -> <tensor<1x128xf32>, 3>
// CHECK: rt3_kernel.linear {{.*}} patterns = [255]
func.func @shared(%x: tensor<1x?x8xf32>) -> tensor<1x?x128xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x128xf32>
  %y = rt3_graph.linear "a" %x, %w : (tensor<1x?x8xf32>, tensor<8x128xf32>) -> tensor<1x?x128xf32>
  return %y : tensor<1x?x128xf32>
}
func.func @token(%x: tensor<1x8xf32>) -> tensor<1x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x128xf32>
  %v = rt3_graph.constant dense<0.5> : tensor<128x8xf32>
  %y = rt3_graph.linear "a" %x, %w : (tensor<1x8xf32>, tensor<8x128xf32>) -> tensor<1x128xf32>
  %z = rt3_graph.linear "b" %y, %v levels [#rt3_graph.block<rows = 8, mask = dense<1> : tensor<128x8xi8>>]
      : (tensor<1x128xf32>, tensor<128x8xf32>) -> tensor<1x8xf32>
  return %z : tensor<1x8xf32>
}

// Row-major ops stay so; a softmax outside attention is four steps.
// CHECK-LABEL: func.func @row_major
// CHECK: rt3_kernel.reduce max
// CHECK: rt3_kernel.map sub
// CHECK: rt3_kernel.map exp
// CHECK: rt3_kernel.reduce sum
// CHECK: rt3_kernel.map div
// CHECK: rt3_kernel.move %{{.*}} [1, 0] [0, 0] [1, 1]
func.func @row_major(%x: tensor<4x8xf32>) -> tensor<8x4xf32> {
  %s = rt3_graph.softmax %x axis = 1 : tensor<4x8xf32>
  %t = rt3_graph.transpose %s [1, 0] : tensor<4x8xf32> -> tensor<8x4xf32>
  return %t : tensor<8x4xf32>
}

// An argument that is returned is copied.
// CHECK-LABEL: func.func @identity
// CHECK: %[[C:.*]] = rt3_kernel.move
// CHECK-NEXT: return %[[C]]
func.func @identity(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
}
