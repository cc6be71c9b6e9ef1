// RUN: rt3-opt %s | rt3-opt | FileCheck %s

// Every op of rt3_graph prints what it parses.

// CHECK: rt3_graph.level @low frequency_khz = 800000 voltage_uv = 900000 power_mw = 120
rt3_graph.level @low frequency_khz = 800000 voltage_uv = 900000 power_mw = 120
// CHECK: rt3_graph.pattern_set @p rows = 8 columns = 1 [15, 240, 255]
rt3_graph.pattern_set @p rows = 8 columns = 1 [15, 240, 255]

// CHECK-LABEL: func.func @elements
func.func @elements(%x: tensor<?x8xf32>, %c: tensor<8xi1>, %i: tensor<4xi64>) -> tensor<?x8xf32> {
  // CHECK: rt3_graph.constant dense<1.000000e+00> : tensor<1xf32>
  %one = rt3_graph.constant dense<1.0> : tensor<1xf32>
  // CHECK: rt3_graph.unary erf %{{.*}} : tensor<?x8xf32>
  %a = rt3_graph.unary erf %x : tensor<?x8xf32>
  // CHECK: rt3_graph.binary add %{{.*}}, %{{.*}} : (tensor<?x8xf32>, tensor<1xf32>) -> tensor<?x8xf32>
  %b = rt3_graph.binary add %a, %one : (tensor<?x8xf32>, tensor<1xf32>) -> tensor<?x8xf32>
  // CHECK: rt3_graph.select %{{.*}}, %{{.*}}, %{{.*}} : (tensor<8xi1>, tensor<?x8xf32>, tensor<1xf32>) -> tensor<?x8xf32>
  %s = rt3_graph.select %c, %b, %one : (tensor<8xi1>, tensor<?x8xf32>, tensor<1xf32>) -> tensor<?x8xf32>
  // CHECK: rt3_graph.cast %{{.*}} : tensor<4xi64> -> tensor<4xf32>
  %d = rt3_graph.cast %i : tensor<4xi64> -> tensor<4xf32>
  return %s : tensor<?x8xf32>
}

// CHECK-LABEL: func.func @moves
func.func @moves(%x: tensor<?x8xf32>, %t: tensor<2x8xf32>, %i: tensor<1x?xi64>) -> tensor<?xi64> {
  // CHECK: rt3_graph.reshape %{{.*}} : tensor<?x8xf32> -> tensor<1x?x2x4xf32>
  %a = rt3_graph.reshape %x : tensor<?x8xf32> -> tensor<1x?x2x4xf32>
  // CHECK: rt3_graph.transpose %{{.*}} [0, 2, 1, 3] : tensor<1x?x2x4xf32> -> tensor<1x2x?x4xf32>
  %b = rt3_graph.transpose %a [0, 2, 1, 3] : tensor<1x?x2x4xf32> -> tensor<1x2x?x4xf32>
  // CHECK: rt3_graph.slice %{{.*}} [0, 4] [1, 1] : tensor<2x8xf32> -> tensor<2x4xf32>
  %c = rt3_graph.slice %t [0, 4] [1, 1] : tensor<2x8xf32> -> tensor<2x4xf32>
  // CHECK: rt3_graph.concat %{{.*}}, %{{.*}} axis = 1 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
  %d = rt3_graph.concat %c, %c axis = 1 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
  // CHECK: rt3_graph.expand %{{.*}} : tensor<2x8xf32> -> tensor<3x2x8xf32>
  %e = rt3_graph.expand %d : tensor<2x8xf32> -> tensor<3x2x8xf32>
  // CHECK: rt3_graph.gather %{{.*}}, %{{.*}} axis = 0 : (tensor<2x8xf32>, tensor<1x?xi64>) -> tensor<1x?x8xf32>
  %g = rt3_graph.gather %t, %i axis = 0 : (tensor<2x8xf32>, tensor<1x?xi64>) -> tensor<1x?x8xf32>
  // CHECK: rt3_graph.iota 0 step 1 : tensor<?xi64>
  %n = rt3_graph.iota 0 step 1 : tensor<?xi64>
  return %n : tensor<?xi64>
}

// CHECK-LABEL: func.func @layers
func.func @layers(%x: tensor<1x?x8xf32>, %m: tensor<1x1x1x?xf32>) -> tensor<1x?x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  %v = rt3_graph.constant dense<0.5> : tensor<8xf32>
  // CHECK: rt3_graph.reduce mean %{{.*}} [2] : tensor<1x?x8xf32> -> tensor<1x?x1xf32>
  %r = rt3_graph.reduce mean %x [2] : tensor<1x?x8xf32> -> tensor<1x?x1xf32>
  // CHECK: rt3_graph.softmax %{{.*}} axis = 2 : tensor<1x?x8xf32>
  %s = rt3_graph.softmax %x axis = 2 : tensor<1x?x8xf32>
  // CHECK: rt3_graph.layer_norm %{{.*}}, %{{.*}}, %{{.*}} epsilon = 9.99999974E-6
  %n = rt3_graph.layer_norm %s, %v, %v epsilon = 1.0e-5 : tensor<1x?x8xf32>, tensor<8xf32>, tensor<8xf32> -> tensor<1x?x8xf32>
  // CHECK: rt3_graph.matmul %{{.*}}, %{{.*}} : (tensor<1x?x8xf32>, tensor<8x8xf32>) -> tensor<1x?x8xf32>
  %p = rt3_graph.matmul %n, %w : (tensor<1x?x8xf32>, tensor<8x8xf32>) -> tensor<1x?x8xf32>
  // CHECK: rt3_graph.linear "q" %{{.*}}, %{{.*}} bias %{{.*}} residual %{{.*}} activation gelu levels
  // CHECK-SAME: #rt3_graph.dense<"small">
  // CHECK-SAME: #rt3_graph.block<rows = 8, mask = dense<1> : tensor<8x8xi8>>
  // CHECK-SAME: #rt3_graph.pattern<set = @p, gathered = false, mask = dense<1> : tensor<8x8xi8>, bias = dense<2.000000e+00> : tensor<8xf32>>
  %l = rt3_graph.linear "q" %p, %w bias %v residual %x activation gelu levels [
      #rt3_graph.dense<"small">, #rt3_graph.block<rows = 8, mask = dense<1> : tensor<8x8xi8>>,
      #rt3_graph.pattern<set = @p, gathered = false, mask = dense<1> : tensor<8x8xi8>, bias = dense<2.0> : tensor<8xf32>>]
      : (tensor<1x?x8xf32>, tensor<8x8xf32>, tensor<8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  // CHECK: rt3_graph.linear "q8" %{{.*}}, %{{.*}} activation gelu as int8 levels [#rt3_graph.dense<"small">]
  %l8 = rt3_graph.linear "q8" %p, %w activation gelu as int8 levels [#rt3_graph.dense<"small">]
      : (tensor<1x?x8xf32>, tensor<8x8xf32>) -> tensor<1x?x8xf32>
  // CHECK: rt3_graph.attention %{{.*}}, %{{.*}}, %{{.*}} mask %{{.*}} heads = 2 scale = 5.000000e-01 causal
  %y = rt3_graph.attention %l, %l, %l mask %m heads = 2 scale = 0.5 causal
      : (tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x1x1x?xf32>) -> tensor<1x?x8xf32>
  // CHECK: rt3_graph.layer_norm %{{.*}}, %{{.*}}, %{{.*}} epsilon = 9.99999974E-6 rms
  %rms = rt3_graph.layer_norm %y, %v, %v epsilon = 1.0e-5 rms : tensor<1x?x8xf32>, tensor<8xf32>, tensor<8xf32> -> tensor<1x?x8xf32>
  return %y : tensor<1x?x8xf32>
}

// CHECK-LABEL: func.func @text
func.func @text(%q: tensor<1x?x8xf32>, %k: tensor<1x?x4xf32>, %c: tensor<?x4xf32>) -> tensor<1x?x8xf32> {
  // CHECK: rt3_graph.iota 0 step 1 positions : tensor<?xi64>
  %i = rt3_graph.iota 0 step 1 positions : tensor<?xi64>
  // CHECK: rt3_graph.rotary %{{.*}}, %{{.*}}, %{{.*}} heads = 2 :
  %r = rt3_graph.rotary %q, %c, %c heads = 2 : (tensor<1x?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<1x?x8xf32>
  // CHECK: rt3_graph.attention %{{.*}}, %{{.*}}, %{{.*}} heads = 2 scale = 1.000000e+00 causal cache = 3 :
  %y = rt3_graph.attention %r, %k, %k heads = 2 scale = 1.0 causal cache = 3
      : (tensor<1x?x8xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x8xf32>
  return %y : tensor<1x?x8xf32>
}
