// RUN: rt3-opt %s -rt3-plan-memory | FileCheck %s

// Weights follow each other at multiples of 64.
// CHECK: rt3_kernel.weights @v {{.*}} offset 0
// CHECK: rt3_kernel.weights @w {{.*}} offset 128
rt3_kernel.weights @v dense<0> : tensor<65xi8>
rt3_kernel.weights @w dense<0> : tensor<64xi8>

// Two buffers that live at the same time lie side by side, a third takes the
// place of the first; the last is the caller's.
// CHECK-LABEL: func.func @chain
// CHECK-SAME: rt3_kernel.workspace_size = 256
// CHECK: map exp %{{.*}} at <workspace, 0>
// CHECK: map neg %{{.*}} at <workspace, 128>
// CHECK: map abs %{{.*}} at <workspace, 0>
// CHECK: map relu %{{.*}} at <output, 0>
func.func @chain(%x: !rt3_kernel.buffer<tensor<32xf32>, 0>) -> !rt3_kernel.buffer<tensor<32xf32>, 0> {
  %a = rt3_kernel.map exp %x : (!rt3_kernel.buffer<tensor<32xf32>, 0>) -> !rt3_kernel.buffer<tensor<32xf32>, 0>
  %b = rt3_kernel.map neg %a : (!rt3_kernel.buffer<tensor<32xf32>, 0>) -> !rt3_kernel.buffer<tensor<32xf32>, 0>
  %c = rt3_kernel.map abs %b : (!rt3_kernel.buffer<tensor<32xf32>, 0>) -> !rt3_kernel.buffer<tensor<32xf32>, 0>
  %d = rt3_kernel.map relu %c : (!rt3_kernel.buffer<tensor<32xf32>, 0>) -> !rt3_kernel.buffer<tensor<32xf32>, 0>
  return %d : !rt3_kernel.buffer<tensor<32xf32>, 0>
}

// A view keeps its buffer alive.
// CHECK-LABEL: func.func @seen_through_a_view
// CHECK: map exp %{{.*}} at <workspace, 0>
// CHECK: map neg %{{.*}} at <workspace, 128>
func.func @seen_through_a_view(%x: !rt3_kernel.buffer<tensor<32xf32>, 0>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 0> {
  %a = rt3_kernel.map exp %x : (!rt3_kernel.buffer<tensor<32xf32>, 0>) -> !rt3_kernel.buffer<tensor<32xf32>, 0>
  %v = rt3_kernel.view %a : <tensor<32xf32>, 0> -> <tensor<4x8xf32>, 0>
  %b = rt3_kernel.map neg %x : (!rt3_kernel.buffer<tensor<32xf32>, 0>) -> !rt3_kernel.buffer<tensor<32xf32>, 0>
  %c = rt3_kernel.view %b : <tensor<32xf32>, 0> -> <tensor<4x8xf32>, 0>
  %d = rt3_kernel.map add %v, %c : (!rt3_kernel.buffer<tensor<4x8xf32>, 0>, !rt3_kernel.buffer<tensor<4x8xf32>, 0>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 0>
  return %d : !rt3_kernel.buffer<tensor<4x8xf32>, 0>
}
