// RUN: rt3-opt %s -rt3-choose-kernels=device=x86-64-v3 | FileCheck %s
// RUN: not rt3-opt %s -rt3-choose-kernels=device=abacus 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: rt3-opt %s "-rt3-choose-kernels=device=x86-64-v3 keep-sparse" | FileCheck %s --check-prefix=KEPT

// UNKNOWN: no target "abacus"; known targets: armv8-a

// Without any weight a layer is faster; with all of them dense is.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<96x64xf32>) -> tensor<96x64xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<64x64xf32>
  // CHECK: rt3_graph.linear "empty" {{.*}} levels [#rt3_graph.block<rows = 8
  // CHECK-SAME: kept = 0
  // CHECK-SAME: reason = ""
  %a = rt3_graph.linear "empty" %x, %w levels [#rt3_graph.block<rows = 8, mask = dense<0> : tensor<64x64xi8>>]
      : (tensor<96x64xf32>, tensor<64x64xf32>) -> tensor<96x64xf32>
  // CHECK: rt3_graph.linear "full" {{.*}} levels [#rt3_graph.dense<"dense is predicted to be as fast
  // CHECK-SAME: scheme = "dense"
  // KEPT: rt3_graph.linear "full" {{.*}} levels [#rt3_graph.block<rows = 8
  // KEPT-SAME: scheme = "bp"
  %b = rt3_graph.linear "full" %a, %w levels [#rt3_graph.block<rows = 8, mask = dense<1> : tensor<64x64xi8>>]
      : (tensor<96x64xf32>, tensor<64x64xf32>) -> tensor<96x64xf32>
  return %b : tensor<96x64xf32>
}
