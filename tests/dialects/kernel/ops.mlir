// RUN: rt3-opt %s | rt3-opt | FileCheck %s

// Every op of rt3_kernel prints what it parses.

#tile = #rt3_kernel.tile<rows = 4, vectors = 3, lanes = 8, isa = "avx2">
#dense = #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>

// CHECK: rt3_kernel.weights @w dense<0> : tensor<256xi8> offset 128
rt3_kernel.weights @w dense<0> : tensor<256xi8> offset 128
rt3_kernel.weights @v dense<0> : tensor<32xi8>

// CHECK-LABEL: func.func @panels
func.func @panels(%x: !rt3_kernel.buffer<tensor<1x?x8xf32>, 0>) -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 0> {
  // CHECK: rt3_kernel.constant @v : <tensor<8xf32>, 0>
  %v = rt3_kernel.constant @v : <tensor<8xf32>, 0>
  // CHECK: rt3_kernel.pack %{{.*}} at <workspace, 64> : <tensor<1x?x8xf32>, 0> -> <tensor<1x?x8xf32>, 24>
  %p = rt3_kernel.pack %x at <workspace, 64> : <tensor<1x?x8xf32>, 0> -> <tensor<1x?x8xf32>, 24>
  // CHECK: rt3_kernel.linear "q" %{{.*}} bias %{{.*}} residual %{{.*}} activation gelu tile = <rows = 4
  // CHECK-SAME: streams = [#rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>]
  %l = rt3_kernel.linear "q" %p bias %v residual %p activation gelu tile = #tile streams = [#dense]
      : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, !rt3_kernel.buffer<tensor<8xf32>, 0>, !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>)
      -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>
  // CHECK: rt3_kernel.quantize pmaddwd %{{.*}} at <workspace, 128> : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<1x?x5xi32>, 24>
  %q = rt3_kernel.quantize pmaddwd %p at <workspace, 128> : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<1x?x5xi32>, 24>
  // CHECK: rt3_kernel.linear "int8" %{{.*}} scales %{{.*}} offsets %{{.*}} dot pmaddwd tile =
  %o = rt3_kernel.constant @v : <tensor<8xi32>, 0>
  %i = rt3_kernel.linear "int8" %q scales %v offsets %o dot pmaddwd tile = #tile streams = [#dense]
      : (!rt3_kernel.buffer<tensor<1x?x5xi32>, 24>, !rt3_kernel.buffer<tensor<8xf32>, 0>, !rt3_kernel.buffer<tensor<8xi32>, 0>)
      -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>
  // CHECK: rt3_kernel.layer_norm %{{.*}}, %{{.*}}, %{{.*}} epsilon = 9.99999974E-6
  %n = rt3_kernel.layer_norm %l, %v, %v epsilon = 1.0e-5
      : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, !rt3_kernel.buffer<tensor<8xf32>, 0>, !rt3_kernel.buffer<tensor<8xf32>, 0>)
      -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>
  // CHECK: rt3_kernel.scratch : <tensor<24x24xf32>, 0>
  %s = rt3_kernel.scratch : <tensor<24x24xf32>, 0>
  // CHECK: rt3_kernel.attention %{{.*}}, %{{.*}}, %{{.*}} scratch %{{.*}} heads = 2 scale = 1.000000e+00 causal
  %a = rt3_kernel.attention %n, %n, %n scratch %s heads = 2 scale = 1.0 causal tile = #tile
      : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>,
         !rt3_kernel.buffer<tensor<24x24xf32>, 0>) -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>
  // CHECK: rt3_kernel.map add %{{.*}}, %{{.*}} :
  %m = rt3_kernel.map add %a, %l : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>)
      -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>
  // CHECK: rt3_kernel.pack %{{.*}} at <output, 0>
  %y = rt3_kernel.pack %m at <output, 0> : <tensor<1x?x8xf32>, 24> -> <tensor<1x?x8xf32>, 0>
  return %y : !rt3_kernel.buffer<tensor<1x?x8xf32>, 0>
}

// CHECK-LABEL: func.func @row_major
func.func @row_major(%x: !rt3_kernel.buffer<tensor<2x4xf32>, 0>, %i: !rt3_kernel.buffer<tensor<3xi64>, 0>) {
  // CHECK: rt3_kernel.view %{{.*}} : <tensor<2x4xf32>, 0> -> <tensor<8xf32>, 0>
  %a = rt3_kernel.view %x : <tensor<2x4xf32>, 0> -> <tensor<8xf32>, 0>
  // CHECK: rt3_kernel.move %{{.*}} [1, 0] [0, 0] [1, 1] : <tensor<2x4xf32>, 0> -> <tensor<4x2xf32>, 0>
  %b = rt3_kernel.move %x [1, 0] [0, 0] [1, 1] : <tensor<2x4xf32>, 0> -> <tensor<4x2xf32>, 0>
  // CHECK: rt3_kernel.concat %{{.*}}, %{{.*}} axis = 0
  %c = rt3_kernel.concat %x, %x axis = 0 : (!rt3_kernel.buffer<tensor<2x4xf32>, 0>, !rt3_kernel.buffer<tensor<2x4xf32>, 0>)
      -> !rt3_kernel.buffer<tensor<4x4xf32>, 0>
  // CHECK: rt3_kernel.reduce max %{{.*}} : <tensor<2x4xf32>, 0> -> <tensor<2x1xf32>, 0>
  %d = rt3_kernel.reduce max %x : <tensor<2x4xf32>, 0> -> <tensor<2x1xf32>, 0>
  // CHECK: rt3_kernel.matmul %{{.*}}, %{{.*}} :
  %e = rt3_kernel.matmul %x, %b : (!rt3_kernel.buffer<tensor<2x4xf32>, 0>, !rt3_kernel.buffer<tensor<4x2xf32>, 0>)
      -> !rt3_kernel.buffer<tensor<2x2xf32>, 0>
  // CHECK: rt3_kernel.gather %{{.*}}, %{{.*}} axis = 0
  %g = rt3_kernel.gather %x, %i axis = 0 : (!rt3_kernel.buffer<tensor<2x4xf32>, 0>, !rt3_kernel.buffer<tensor<3xi64>, 0>)
      -> !rt3_kernel.buffer<tensor<3x4xf32>, 24>
  // CHECK: rt3_kernel.iota 0 step 2 : <tensor<?xi64>, 0>
  %n = rt3_kernel.iota 0 step 2 : <tensor<?xi64>, 0>
  return
}

// CHECK-LABEL: func.func @text
func.func @text(%x: !rt3_kernel.buffer<tensor<1x1x8xf32>, 1>, %c: !rt3_kernel.buffer<tensor<1x4xf32>, 1>) {
  // CHECK: rt3_kernel.iota 0 step 1 positions : <tensor<1xi64>, 0>
  %i = rt3_kernel.iota 0 step 1 positions : <tensor<1xi64>, 0>
  // CHECK: rt3_kernel.pack %{{.*}} : <tensor<1x1x8xf32>, 1> -> <tensor<1x1x8xf32>, 3>
  %w = rt3_kernel.pack %x : <tensor<1x1x8xf32>, 1> -> <tensor<1x1x8xf32>, 3>
  // CHECK: rt3_kernel.rotary %{{.*}}, %{{.*}}, %{{.*}} heads = 2 :
  %r = rt3_kernel.rotary %x, %c, %c heads = 2
      : (!rt3_kernel.buffer<tensor<1x1x8xf32>, 1>, !rt3_kernel.buffer<tensor<1x4xf32>, 1>, !rt3_kernel.buffer<tensor<1x4xf32>, 1>)
      -> !rt3_kernel.buffer<tensor<1x1x8xf32>, 1>
  // CHECK: rt3_kernel.append %{{.*}} slot = 1 at <state, 0> : <tensor<1x1x8xf32>, 1> -> <tensor<1x64x8xf32>, 24>
  %k = rt3_kernel.append %r slot = 1 at <state, 0> : <tensor<1x1x8xf32>, 1> -> <tensor<1x64x8xf32>, 24>
  %s = rt3_kernel.scratch : <tensor<72x1xf32>, 0>
  // CHECK: rt3_kernel.attention %{{.*}} scratch %{{.*}} heads = 2 scale = 1.000000e+00 causal cached tile
  %a = rt3_kernel.attention %r, %k, %k scratch %s heads = 2 scale = 1.0 causal cached tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2">
      : (!rt3_kernel.buffer<tensor<1x1x8xf32>, 1>, !rt3_kernel.buffer<tensor<1x64x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x64x8xf32>, 24>,
         !rt3_kernel.buffer<tensor<72x1xf32>, 0>) -> !rt3_kernel.buffer<tensor<1x1x8xf32>, 1>
  return
}
