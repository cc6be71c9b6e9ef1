// RUN: rt3-opt %s -split-input-file -rt3-clone-function-for-token | FileCheck %s

// CHECK-LABEL: func.func @main__low(
// CHECK-SAME: tensor<1x?x4xf32>
// CHECK-LABEL: func.func private @main__low__token
// CHECK-SAME: tensor<1x1x4xf32>
// CHECK-SAME: rt3_graph.token_of = "main__low"
// CHECK-NOT: ?
module attributes {rt3_graph.context = 8 : i64, rt3_graph.max_length = 4 : i64} {
func.func @main__low(%x: tensor<1x?x4xf32>) -> tensor<1x?x4xf32> attributes {rt3_graph.level = 0 : i64} {
  %y = rt3_graph.unary relu %x : tensor<1x?x4xf32>
  return %y : tensor<1x?x4xf32>
}
}
// -----
// Without a cache, runs of a single token are rare.
// CHECK-LABEL: func.func @main__low(
// CHECK-NOT: __token
module attributes {rt3_graph.max_length = 4 : i64} {
func.func @main__low(%x: tensor<1x?x4xf32>) -> tensor<1x?x4xf32> attributes {rt3_graph.level = 0 : i64} {
  return %x : tensor<1x?x4xf32>
}
}
