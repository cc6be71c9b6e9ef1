// RUN: rt3-opt %s -split-input-file -pass-pipeline='builtin.module(func.func(rt3-add-cache))' -verify-diagnostics | FileCheck %s

// Positions go on, the table of positions is read there, attention keeps its keys.
// CHECK-LABEL: func.func @decoder
// CHECK: %[[ROWS:.*]] = rt3_graph.iota 0 step 1 positions : tensor<?xi64>
// CHECK: rt3_graph.gather %{{.*}}, %[[ROWS]] axis = 0 : (tensor<8x4xf32>, tensor<?xi64>) -> tensor<?x4xf32>
// CHECK: rt3_graph.iota 3 step 2 positions
// CHECK: rt3_graph.attention %{{.*}} causal cache = 0
// CHECK: rt3_graph.attention %{{.*}} causal cache = 1
module attributes {rt3_graph.context = 8 : i64, rt3_graph.max_length = 4 : i64} {
func.func @decoder(%x: tensor<1x?x4xf32>) -> (tensor<1x?x4xf32>, tensor<?xi64>) {
  %table = rt3_graph.constant dense<1.0> : tensor<8x4xf32>
  %rows = rt3_graph.slice %table [0, 0] [1, 1] : tensor<8x4xf32> -> tensor<?x4xf32>
  %a = rt3_graph.binary add %x, %rows : (tensor<1x?x4xf32>, tensor<?x4xf32>) -> tensor<1x?x4xf32>
  %i = rt3_graph.iota 3 step 2 : tensor<?xi64>
  %b = rt3_graph.attention %a, %a, %a heads = 2 scale = 1.0 causal : (tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x4xf32>
  %c = rt3_graph.attention %b, %b, %b heads = 2 scale = 1.0 causal : (tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x4xf32>
  return %c, %i : tensor<1x?x4xf32>, tensor<?xi64>
}
}
// -----
module attributes {rt3_graph.context = 9 : i64, rt3_graph.max_length = 4 : i64} {
func.func @table_too_short(%x: tensor<1x?x4xf32>) -> tensor<?x4xf32> {
  %table = rt3_graph.constant dense<1.0> : tensor<8x4xf32>
  // expected-error@+2 {{its table has 8 rows, for 9 positions}}
  // expected-note@+1 {{export a causal decoder}}
  %rows = rt3_graph.slice %table [0, 0] [1, 1] : tensor<8x4xf32> -> tensor<?x4xf32>
  return %rows : tensor<?x4xf32>
}
}
// -----
// Positions from 2 on, as some models count them: 8 tokens need 10 rows.
module attributes {rt3_graph.context = 8 : i64, rt3_graph.max_length = 4 : i64} {
func.func @shifted_positions(%x: tensor<1x?x4xf32>) -> tensor<?x4xf32> {
  %table = rt3_graph.constant dense<1.0> : tensor<9x4xf32>
  %two = rt3_graph.constant dense<2> : tensor<1xi64>
  %i = rt3_graph.iota 0 step 1 : tensor<?xi64>
  %p = rt3_graph.binary add %i, %two : (tensor<?xi64>, tensor<1xi64>) -> tensor<?xi64>
  // expected-error@+2 {{its table has 9 rows, for 8 positions from 2 on}}
  // expected-note@+1 {{export a causal decoder}}
  %rows = rt3_graph.gather %table, %p axis = 0 : (tensor<9x4xf32>, tensor<?xi64>) -> tensor<?x4xf32>
  return %rows : tensor<?x4xf32>
}
}
// -----
module attributes {rt3_graph.context = 8 : i64, rt3_graph.max_length = 4 : i64} {
func.func @sees_later_tokens(%x: tensor<1x?x4xf32>) -> tensor<1x?x4xf32> {
  // expected-error@+2 {{attention is not causal}}
  // expected-note@+1 {{export a causal decoder}}
  %y = rt3_graph.attention %x, %x, %x heads = 2 scale = 1.0 : (tensor<1x?x4xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x4xf32>
  return %y : tensor<1x?x4xf32>
}
}
// -----
module attributes {rt3_graph.context = 8 : i64, rt3_graph.max_length = 4 : i64} {
func.func @mean_of_tokens(%x: tensor<1x?x4xf32>) -> tensor<1x1x4xf32> {
  // expected-error@+2 {{depends on other tokens}}
  // expected-note@+1 {{export a causal decoder}}
  %y = rt3_graph.reduce mean %x [1] : tensor<1x?x4xf32> -> tensor<1x1x4xf32>
  return %y : tensor<1x1x4xf32>
}
}
// -----
// Tokens and heads change places under a reshape: not token by token.
module attributes {rt3_graph.context = 8 : i64, rt3_graph.max_length = 4 : i64} {
func.func @reshape_that_mixes(%x: tensor<2x?xf32>) -> tensor<?x2xf32> {
  // expected-error@+2 {{depends on other tokens}}
  // expected-note@+1 {{export a causal decoder}}
  %y = rt3_graph.reshape %x : tensor<2x?xf32> -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}
}
// -----
module attributes {rt3_graph.context = 8 : i64, rt3_graph.max_length = 4 : i64} {
// expected-error@+2 {{it has no causal attention}}
// expected-note@+1 {{export a causal decoder}}
func.func @no_attention(%x: tensor<1x?x4xf32>) -> tensor<1x?x4xf32> {
  return %x : tensor<1x?x4xf32>
}
}
