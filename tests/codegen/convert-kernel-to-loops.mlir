// RUN: rt3-opt %s -rt3-convert-kernel-to-loops | FileCheck %s
// RUN: sed 's/ at <output, 0>//' %s | not rt3-opt -rt3-convert-kernel-to-loops 2>&1 | FileCheck %s --check-prefix=NO-PLACE
// RUN: sed 's/ at <workspace, 0> :/ at <workspace, 0> {rt3_kernel.mark = 7} :/' %s | rt3-opt -rt3-convert-kernel-to-loops | FileCheck %s --check-prefix=MARK

// An op that is counted or timed says so before it begins.
// MARK: func.func private @rt3_mark(i64)
// MARK: call @rt3_mark(%c7_i64)
// MARK: call @rt3_linear_f32

// NO-PLACE: has no place; run rt3-plan-memory first

module attributes {rt3_kernel.tile = #rt3_kernel.tile<rows = 4, vectors = 3, lanes = 8, isa = "avx2">} {
rt3_kernel.weights @w dense<0> : tensor<272xi8> offset 0
rt3_kernel.weights @b dense<0> : tensor<32xi8> offset 320

// CHECK-LABEL: func.func @main
// CHECK-SAME: (%{{.*}}: !llvm.ptr)
// CHECK: call @[[LAYER:rt3_linear_f32_[0-9a-f]+]]
// CHECK: call @[[LAYER]]
func.func @main(%x: !rt3_kernel.buffer<tensor<48x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<48x8xf32>, 24> {
  %bias = rt3_kernel.constant @b : <tensor<8xf32>, 0>
  %a = rt3_kernel.linear "a" %x bias %bias tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>]
      at <workspace, 0> : (!rt3_kernel.buffer<tensor<48x8xf32>, 24>, !rt3_kernel.buffer<tensor<8xf32>, 0>) -> !rt3_kernel.buffer<tensor<48x8xf32>, 24>
  // The second layer is of the same kind: the same code.
  %y = rt3_kernel.linear "b" %a bias %bias tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>]
      at <output, 0> : (!rt3_kernel.buffer<tensor<48x8xf32>, 24>, !rt3_kernel.buffer<tensor<8xf32>, 0>) -> !rt3_kernel.buffer<tensor<48x8xf32>, 24>
  return %y : !rt3_kernel.buffer<tensor<48x8xf32>, 24>
}

// The tile of the full panel: four rows of three vectors are carried by the loop.
// CHECK: func.func private @rt3_linear_f32_f32_f32p_dense_b4x1_4x24_avx2_{{.*}} passthrough = ["noinline"]
// CHECK: scf.for
// CHECK-COUNT-12: llvm.intr.fma(%{{.*}}) : (vector<8xf32>, vector<8xf32>, vector<8xf32>) -> vector<8xf32>
}
