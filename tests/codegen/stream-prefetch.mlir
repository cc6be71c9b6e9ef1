// RUN: rt3-opt %s -rt3-convert-kernel-to-loops | FileCheck %s
// RUN: sed 's/, stream_prefetch = 8192//' %s | rt3-opt -rt3-convert-kernel-to-loops | FileCheck %s --check-prefix=NONE

// A single token asks for the weights of dense layers and of a single pattern ahead, where the device wants that: the
// four inputs of a trip are two lines of 64 bytes, one of the rest and a block of the pattern part of one. Indices of a
// pattern's blocks are asked for in any case.
// CHECK: func.func private @rt3_linear_f32_f32_f32p_dense_b8x1_8xtoken1_avx512
// CHECK: %[[TRIP:.*]] = arith.constant 8192 : i64
// CHECK: getelementptr %{{.*}}[%[[TRIP]]]
// CHECK-COUNT-2: llvm.intr.prefetch
// CHECK: %[[REST:.*]] = arith.constant 8192 : i64
// CHECK: getelementptr %{{.*}}[%[[REST]]]
// CHECK: llvm.intr.prefetch
// CHECK-NOT: llvm.intr.prefetch
// CHECK: func.func private @rt3_linear_f32_f32_f32p_p1_b8x1_8xtoken1_avx512
// CHECK: llvm.intr.prefetch
// CHECK: %[[BLOCK:.*]] = arith.constant 8192 : i64
// CHECK: getelementptr %{{.*}}[%[[BLOCK]]]
// CHECK: llvm.intr.prefetch
// CHECK-NOT: llvm.intr.prefetch
// NONE: func.func private @rt3_linear_f32_f32_f32p_dense_b8x1_8xtoken1_avx512
// NONE-NOT: llvm.intr.prefetch
// NONE: func.func private @rt3_linear_f32_f32_f32p_p1_b8x1_8xtoken1_avx512
// NONE: llvm.intr.prefetch
// NONE-NOT: llvm.intr.prefetch

module attributes {rt3_kernel.tile = #rt3_kernel.tile<rows = 8, vectors = 3, lanes = 16, isa = "avx512", stream_prefetch = 8192>} {
rt3_kernel.weights @w dense<0> : tensor<272xi8> offset 0
rt3_kernel.weights @b dense<0> : tensor<32xi8> offset 320

func.func @main(%x: !rt3_kernel.buffer<tensor<1x8xf32>, 1>) -> !rt3_kernel.buffer<tensor<1x8xf32>, 1> {
  %bias = rt3_kernel.constant @b : <tensor<8xf32>, 0>
  %a = rt3_kernel.linear "a" %x bias %bias tile = <rows = 8, vectors = 1, lanes = 1, isa = "avx512", stream_prefetch = 8192> streams = [
      #rt3_kernel.stream<weights = @w, rows = 8, columns = 1, range = 8, pass = 8, gathered = false, patterns = []>]
      at <workspace, 0> : (!rt3_kernel.buffer<tensor<1x8xf32>, 1>, !rt3_kernel.buffer<tensor<8xf32>, 0>) -> !rt3_kernel.buffer<tensor<1x8xf32>, 1>
  %y = rt3_kernel.linear "b" %a bias %bias tile = <rows = 8, vectors = 1, lanes = 1, isa = "avx512", stream_prefetch = 8192> streams = [
      #rt3_kernel.stream<weights = @w, rows = 8, columns = 1, range = 8, pass = 8, gathered = false, patterns = [255]>]
      at <output, 0> : (!rt3_kernel.buffer<tensor<1x8xf32>, 1>, !rt3_kernel.buffer<tensor<8xf32>, 0>) -> !rt3_kernel.buffer<tensor<1x8xf32>, 1>
  return %y : !rt3_kernel.buffer<tensor<1x8xf32>, 1>
}
}
