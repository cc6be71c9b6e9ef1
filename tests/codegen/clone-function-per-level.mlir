// RUN: rt3-opt %s -split-input-file -rt3-clone-function-per-level -verify-diagnostics | FileCheck %s

// A copy per level, in their order; the original goes. Nested levels keep the
// encodings below their own.
// CHECK-LABEL: func.func @main__low
// CHECK-SAME: rt3_graph.level = 0
// CHECK: levels [#rt3_graph.block<rows = 8, mask = dense<0> : tensor<8x8xi8>>]
// CHECK-LABEL: func.func @main__high
// CHECK-SAME: rt3_graph.level = 1
// CHECK: levels [#rt3_graph.block<rows = 8, mask = dense<0> : tensor<8x8xi8>>, #rt3_graph.block<rows = 8, mask = dense<1> : tensor<8x8xi8>>]
// CHECK-NOT: func.func @main(
module attributes {rt3_graph.nested} {
rt3_graph.level @low frequency_khz = 1 voltage_uv = 0 power_mw = 0
rt3_graph.level @high frequency_khz = 2 voltage_uv = 0 power_mw = 0
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  %y = rt3_graph.linear "l" %x, %w levels [#rt3_graph.block<rows = 8, mask = dense<0> : tensor<8x8xi8>>,
      #rt3_graph.block<rows = 8, mask = dense<1> : tensor<8x8xi8>>] : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
}
// -----
// The level's bias becomes the operand, where it has one.
// CHECK-LABEL: func.func @main__low
// CHECK-DAG: %[[LOW:.*]] = rt3_graph.constant dense<2.000000e+00> : tensor<8xf32>
// CHECK: rt3_graph.linear "l" %{{.*}}, %{{.*}} bias %[[LOW]] levels
// CHECK-LABEL: func.func @main__high
// CHECK-DAG: %[[HIGH:.*]] = rt3_graph.constant dense<1.000000e+00> : tensor<8xf32>
// CHECK: rt3_graph.linear "l" %{{.*}}, %{{.*}} bias %[[HIGH]] levels
module {
rt3_graph.level @low frequency_khz = 1 voltage_uv = 0 power_mw = 0
rt3_graph.level @high frequency_khz = 2 voltage_uv = 0 power_mw = 0
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  %b = rt3_graph.constant dense<1.0> : tensor<8xf32>
  %y = rt3_graph.linear "l" %x, %w bias %b levels [#rt3_graph.block<rows = 8, mask = dense<0> : tensor<8x8xi8>, bias = dense<2.0> : tensor<8xf32>>,
      #rt3_graph.block<rows = 8, mask = dense<1> : tensor<8x8xi8>>] : (tensor<4x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
}
// -----
// A layer that had none gets one; its level alone.
// CHECK-LABEL: func.func @main__low
// CHECK: rt3_graph.linear "l" %{{.*}}, %{{.*}} levels [#rt3_graph.block
// CHECK-LABEL: func.func @main__high
// CHECK: %[[HIGH:.*]] = rt3_graph.constant dense<3.000000e+00> : tensor<8xf32>
// CHECK: rt3_graph.linear "l" %{{.*}}, %{{.*}} bias %[[HIGH]] levels [#rt3_graph.block<{{.*}}>, #rt3_graph.block<{{.*}}>]
module attributes {rt3_graph.nested} {
rt3_graph.level @low frequency_khz = 1 voltage_uv = 0 power_mw = 0
rt3_graph.level @high frequency_khz = 2 voltage_uv = 0 power_mw = 0
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  %y = rt3_graph.linear "l" %x, %w levels [#rt3_graph.block<rows = 8, mask = dense<0> : tensor<8x8xi8>>,
      #rt3_graph.block<rows = 8, mask = dense<1> : tensor<8x8xi8>, bias = dense<3.0> : tensor<8xf32>>] : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
}
// -----
// expected-error@+1 {{no level given; add rt3_graph.level ops}}
module {
  func.func @main() { return }
}
// -----
module {
rt3_graph.level @low frequency_khz = 1 voltage_uv = 0 power_mw = 0
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<8x8xf32>
  // expected-error@+1 {{has 2 encodings for 1 levels}}
  %y = rt3_graph.linear "l" %x, %w levels [#rt3_graph.dense<"a">, #rt3_graph.dense<"b">] : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
}
