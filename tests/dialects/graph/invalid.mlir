// RUN: rt3-opt %s -split-input-file -verify-diagnostics

// One case per rule of the ops in Graph.td, in their order.

// level C1
// expected-error@+1 {{has the negative number -5}}
rt3_graph.level @l frequency_khz = 1 voltage_uv = -5 power_mw = 0
// -----
// pattern_set C1
// expected-error@+1 {{block 16x8 has no size from 1x1 to 64 weights}}
rt3_graph.pattern_set @p rows = 16 columns = 8 [1]
// -----
// pattern_set C2
// expected-error@+1 {{has 0 patterns, expected 1 to 256}}
rt3_graph.pattern_set @p rows = 8 columns = 1 []
// -----
// pattern_set C3
// expected-error@+1 {{pattern 256 has a bit outside the 8x1 block}}
rt3_graph.pattern_set @p rows = 8 columns = 1 [256]
// -----
// pattern_set C4
// expected-error@+1 {{pattern 3 is there twice}}
rt3_graph.pattern_set @p rows = 8 columns = 1 [3, 3]
// -----
// unary C1
func.func @exp_of_integers(%x: tensor<4xi64>) {
  // expected-error@+1 {{exp is not defined for 'i64'}}
  %y = rt3_graph.unary exp %x : tensor<4xi64>
  return
}
// -----
// binary C1
func.func @operands_of_two_types(%x: tensor<4xf32>, %i: tensor<4xi64>) {
  // expected-error@+1 {{operands have element types 'f32' and 'i64'}}
  %y = rt3_graph.binary add %x, %i : (tensor<4xf32>, tensor<4xi64>) -> tensor<4xf32>
  return
}
// -----
// binary C2
func.func @shapes_that_do_not_broadcast(%x: tensor<4xf32>, %z: tensor<3xf32>) {
  // expected-error@+1 {{shapes [4] and [3] do not broadcast to [4]}}
  %y = rt3_graph.binary add %x, %z : (tensor<4xf32>, tensor<3xf32>) -> tensor<4xf32>
  return
}
// -----
// binary C3
func.func @comparison_giving_floats(%x: tensor<4xf32>) {
  // expected-error@+1 {{result has element type 'f32', expected 'i1'}}
  %y = rt3_graph.binary less %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}
// -----
// binary C4
func.func @and_of_floats(%x: tensor<4xf32>) {
  // expected-error@+1 {{and is not defined for 'f32'}}
  %y = rt3_graph.binary and %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}
// -----
// select C1
func.func @values_of_two_types(%c: tensor<4xi1>, %x: tensor<4xf32>, %i: tensor<4xi64>) {
  // expected-error@+1 {{values have element types 'f32' and 'i64', result 'f32'}}
  %y = rt3_graph.select %c, %x, %i : (tensor<4xi1>, tensor<4xf32>, tensor<4xi64>) -> tensor<4xf32>
  return
}
// -----
// select C2
func.func @condition_of_another_shape(%c: tensor<3xi1>, %x: tensor<4xf32>) {
  // expected-error@+1 {{shapes [3], [4] and [4] do not broadcast to [4]}}
  %y = rt3_graph.select %c, %x, %x : (tensor<3xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}
// -----
// reshape C1
func.func @reshape_to_integers(%x: tensor<4xf32>) {
  // expected-error@+1 {{changes the element type from 'f32' to 'i64'}}
  %y = rt3_graph.reshape %x : tensor<4xf32> -> tensor<4xi64>
  return
}
// -----
// reshape C2
func.func @reshape_to_more_elements(%x: tensor<4xf32>) {
  // expected-error@+1 {{shapes [4] and [2, 3] have different numbers of elements}}
  %y = rt3_graph.reshape %x : tensor<4xf32> -> tensor<2x3xf32>
  return
}
// -----
// transpose C1
func.func @axis_twice(%x: tensor<4x2xf32>) {
  // expected-error@+1 {{[0, 0] is no permutation of 2 axes}}
  %y = rt3_graph.transpose %x [0, 0] : tensor<4x2xf32> -> tensor<4x4xf32>
  return
}
// -----
// transpose C2
func.func @result_not_permuted(%x: tensor<4x2xf32>) {
  // expected-error@+1 {{result is 'tensor<4x2xf32>', expected 'tensor<2x4xf32>'}}
  %y = rt3_graph.transpose %x [1, 0] : tensor<4x2xf32> -> tensor<4x2xf32>
  return
}
// -----
// slice C1
func.func @start_missing(%x: tensor<4x2xf32>) {
  // expected-error@+1 {{has 1 starts and 2 steps}}
  %y = rt3_graph.slice %x [0] [1, 1] : tensor<4x2xf32> -> tensor<4x2xf32>
  return
}
// -----
// slice C2
func.func @slice_behind_the_end(%x: tensor<4xf32>) {
  // expected-error@+1 {{reads 3 to 4 of the 4 elements of axis 0}}
  %y = rt3_graph.slice %x [3] [1] : tensor<4xf32> -> tensor<2xf32>
  return
}
// -----
// slice C3
func.func @step_of_zero(%x: tensor<4xf32>) {
  // expected-error@+1 {{step of axis 0 is 0}}
  %y = rt3_graph.slice %x [0] [0] : tensor<4xf32> -> tensor<2xf32>
  return
}
// -----
// concat C1
func.func @concat_along_no_axis(%x: tensor<4xf32>) {
  // expected-error@+1 {{joins 1 operands along axis 1}}
  %y = rt3_graph.concat %x axis = 1 : (tensor<4xf32>) -> tensor<4xf32>
  return
}
// -----
// concat C2
func.func @concat_of_another_width(%x: tensor<4x2xf32>, %z: tensor<4x3xf32>) {
  // expected-error@+1 {{operand 'tensor<4x3xf32>' does not fit into 'tensor<8x2xf32>'}}
  %y = rt3_graph.concat %x, %z axis = 0 : (tensor<4x2xf32>, tensor<4x3xf32>) -> tensor<8x2xf32>
  return
}
// -----
// concat C3
func.func @concat_that_does_not_add_up(%x: tensor<4xf32>) {
  // expected-error@+1 {{sizes add up to 8, the result has 9}}
  %y = rt3_graph.concat %x, %x axis = 0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<9xf32>
  return
}
// -----
// expand C1
func.func @expand_to_integers(%x: tensor<1xf32>) {
  // expected-error@+1 {{changes the element type from 'f32' to 'i64'}}
  %y = rt3_graph.expand %x : tensor<1xf32> -> tensor<4xi64>
  return
}
// -----
// expand C2
func.func @expand_of_three(%x: tensor<3xf32>) {
  // expected-error@+1 {{shape [3] does not broadcast to [4]}}
  %y = rt3_graph.expand %x : tensor<3xf32> -> tensor<4xf32>
  return
}
// -----
// gather C1
func.func @gather_along_the_free_axis(%t: tensor<?x8xf32>, %i: tensor<2xi64>) {
  // expected-error@+1 {{axis 0 is no axis of static size}}
  %y = rt3_graph.gather %t, %i axis = 0 : (tensor<?x8xf32>, tensor<2xi64>) -> tensor<2x8xf32>
  return
}
// -----
// gather C2
func.func @gather_into_another_shape(%t: tensor<9x8xf32>, %i: tensor<2xi64>) {
  // expected-error@+1 {{result is 'tensor<8x2xf32>', expected 'tensor<2x8xf32>'}}
  %y = rt3_graph.gather %t, %i axis = 0 : (tensor<9x8xf32>, tensor<2xi64>) -> tensor<8x2xf32>
  return
}
// -----
// iota C1
func.func @iota_of_two_axes() {
  // expected-error@+1 {{does not have one axis}}
  %y = rt3_graph.iota 0 step 1 : tensor<2x2xi64>
  return
}
// -----
// reduce C1
func.func @axes_that_do_not_rise(%x: tensor<4x2xf32>) {
  // expected-error@+1 {{axes [1, 0] do not rise within the 2 axes}}
  %y = rt3_graph.reduce sum %x [1, 0] : tensor<4x2xf32> -> tensor<1x1xf32>
  return
}
// -----
// reduce C2
func.func @reduced_axis_that_stays(%x: tensor<4x2xf32>) {
  // expected-error@+1 {{result is 'tensor<4x2xf32>', expected 'tensor<4x1xf32>'}}
  %y = rt3_graph.reduce sum %x [1] : tensor<4x2xf32> -> tensor<4x2xf32>
  return
}
// -----
// reduce C3
func.func @mean_of_integers(%x: tensor<4xi64>) {
  // expected-error@+1 {{mean is not defined for 'i64'}}
  %y = rt3_graph.reduce mean %x [0] : tensor<4xi64> -> tensor<1xi64>
  return
}
// -----
// softmax C1
func.func @softmax_along_no_axis(%x: tensor<4xf32>) {
  // expected-error@+1 {{axis 1 is no axis}}
  %y = rt3_graph.softmax %x axis = 1 : tensor<4xf32>
  return
}
// -----
// layer_norm C1
func.func @normalised_axis_is_free(%x: tensor<4x?xf32>, %s: tensor<8xf32>) {
  // expected-error@+1 {{has no last axis of static size}}
  %y = rt3_graph.layer_norm %x, %s, %s epsilon = 0.0 : tensor<4x?xf32>, tensor<8xf32>, tensor<8xf32> -> tensor<4x?xf32>
  return
}
// -----
// layer_norm C2
func.func @scale_of_another_size(%x: tensor<4x8xf32>, %s: tensor<7xf32>) {
  // expected-error@+1 {{scale or bias has shape [7] for 8 features}}
  %y = rt3_graph.layer_norm %x, %s, %s epsilon = 0.0 : tensor<4x8xf32>, tensor<7xf32>, tensor<7xf32> -> tensor<4x8xf32>
  return
}
// -----
// layer_norm C3
func.func @epsilon_below_zero(%x: tensor<4x8xf32>, %s: tensor<8xf32>) {
  // expected-error@+1 {{epsilon -1.000000e+00 is negative}}
  %y = rt3_graph.layer_norm %x, %s, %s epsilon = -1.0 : tensor<4x8xf32>, tensor<8xf32>, tensor<8xf32> -> tensor<4x8xf32>
  return
}
// -----
// layer_norm C4
func.func @normalised_to_another_shape(%x: tensor<4x8xf32>, %s: tensor<8xf32>) {
  // expected-error@+1 {{result is 'tensor<8x8xf32>', expected 'tensor<4x8xf32>'}}
  %y = rt3_graph.layer_norm %x, %s, %s epsilon = 0.0 : tensor<4x8xf32>, tensor<8xf32>, tensor<8xf32> -> tensor<8x8xf32>
  return
}
// -----
// matmul C1
func.func @matmul_of_a_vector(%x: tensor<4xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{multiplies shapes [4] and [4, 2], expected two axes each}}
  %y = rt3_graph.matmul %x, %w : (tensor<4xf32>, tensor<4x2xf32>) -> tensor<2xf32>
  return
}
// -----
// matmul C2
func.func @inner_sizes_differ(%x: tensor<3x4xf32>, %w: tensor<5x2xf32>) {
  // expected-error@+1 {{sums over 4 and 5 elements}}
  %y = rt3_graph.matmul %x, %w : (tensor<3x4xf32>, tensor<5x2xf32>) -> tensor<3x2xf32>
  return
}
// -----
// matmul C3
func.func @matmul_result_of_another_shape(%x: tensor<3x4xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{shapes [3, 4] and [4, 2] do not give [2, 3]}}
  %y = rt3_graph.matmul %x, %w : (tensor<3x4xf32>, tensor<4x2xf32>) -> tensor<2x3xf32>
  return
}
// -----
// linear C1
func.func @weights_of_another_size(%x: tensor<3x4xf32>, %w: tensor<5x2xf32>) {
  // expected-error@+1 {{multiplies [3, 4] by weights [5, 2]}}
  %y = rt3_graph.linear "l" %x, %w : (tensor<3x4xf32>, tensor<5x2xf32>) -> tensor<3x2xf32>
  return
}
// -----
// linear C2
func.func @linear_result_of_another_shape(%x: tensor<3x4xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{result has shape [3, 3], expected [3, 2]}}
  %y = rt3_graph.linear "l" %x, %w : (tensor<3x4xf32>, tensor<4x2xf32>) -> tensor<3x3xf32>
  return
}
// -----
// linear C3
func.func @bias_of_another_size(%x: tensor<3x4xf32>, %w: tensor<4x2xf32>, %b: tensor<3xf32>) {
  // expected-error@+1 {{bias has shape [3] for 2 outputs}}
  %y = rt3_graph.linear "l" %x, %w bias %b : (tensor<3x4xf32>, tensor<4x2xf32>, tensor<3xf32>) -> tensor<3x2xf32>
  return
}
// -----
// linear C4
func.func @residual_of_another_type(%x: tensor<3x4xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{residual is 'tensor<3x4xf32>', result 'tensor<3x2xf32>'}}
  %y = rt3_graph.linear "l" %x, %w residual %x : (tensor<3x4xf32>, tensor<4x2xf32>, tensor<3x4xf32>) -> tensor<3x2xf32>
  return
}
// -----
// linear C5
func.func @level_that_is_no_encoding(%x: tensor<3x4xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{is no weight encoding}}
  %y = rt3_graph.linear "l" %x, %w levels [1] : (tensor<3x4xf32>, tensor<4x2xf32>) -> tensor<3x2xf32>
  return
}
// -----
// linear C6
func.func @mask_of_another_shape(%x: tensor<3x4xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{mask is 'tensor<2x4xi8>' for weights [4, 2]}}
  %y = rt3_graph.linear "l" %x, %w levels [#rt3_graph.block<rows = 8, mask = dense<1> : tensor<2x4xi8>>]
      : (tensor<3x4xf32>, tensor<4x2xf32>) -> tensor<3x2xf32>
  return
}
// -----
// linear C6
func.func @bias_of_a_level_of_another_shape(%x: tensor<3x4xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{bias of a level is 'tensor<4xf32>' for 2 outputs}}
  %y = rt3_graph.linear "l" %x, %w levels [#rt3_graph.block<rows = 8, mask = dense<1> : tensor<4x2xi8>, bias = dense<1.0> : tensor<4xf32>>]
      : (tensor<3x4xf32>, tensor<4x2xf32>) -> tensor<3x2xf32>
  return
}
// -----
// linear C7
func.func @pattern_set_that_is_not_there(%x: tensor<3x4xf32>, %w: tensor<4x2xf32>) {
  // expected-error@+1 {{names @p, which is no pattern set}}
  %y = rt3_graph.linear "l" %x, %w levels [#rt3_graph.pattern<set = @p, gathered = false, mask = dense<1> : tensor<4x2xi8>>]
      : (tensor<3x4xf32>, tensor<4x2xf32>) -> tensor<3x2xf32>
  return
}
// -----
// linear C8
func.func @int8_sums_that_overflow(%x: tensor<4x65537xf32>) {
  %w = rt3_graph.constant dense<0.5> : tensor<65537x1xf32>
  // expected-error@+1 {{at most 65536 inputs}}
  %y = rt3_graph.linear "l" %x, %w as int8 : (tensor<4x65537xf32>, tensor<65537x1xf32>) -> tensor<4x1xf32>
  return
}
// -----
// iota C1
func.func @positions_of_four_tokens() {
  // expected-error@+1 {{does not have one free axis}}
  %i = rt3_graph.iota 0 step 1 positions : tensor<4xi64>
  return
}
// -----
// attention C1
func.func @keys_of_another_type(%q: tensor<1x4x8xf32>, %k: tensor<1x5x8xf32>) {
  // expected-error@+1 {{expected B x S x F, k and v alike}}
  %y = rt3_graph.attention %q, %k, %k heads = 2 scale = 1.0
      : (tensor<1x4x8xf32>, tensor<1x5x8xf32>, tensor<1x5x8xf32>) -> tensor<1x4x8xf32>
  return
}
// -----
// attention C2
func.func @three_heads_of_eight_features(%q: tensor<1x4x8xf32>) {
  // expected-error@+1 {{3 heads do not divide 8 features}}
  %y = rt3_graph.attention %q, %q, %q heads = 3 scale = 1.0
      : (tensor<1x4x8xf32>, tensor<1x4x8xf32>, tensor<1x4x8xf32>) -> tensor<1x4x8xf32>
  return
}
// -----
// attention C3
func.func @mask_of_another_length(%q: tensor<1x4x8xf32>, %m: tensor<1x1x1x5xf32>) {
  // expected-error@+1 {{does not broadcast to [1, 2, 4, 4]}}
  %y = rt3_graph.attention %q, %q, %q mask %m heads = 2 scale = 1.0
      : (tensor<1x4x8xf32>, tensor<1x4x8xf32>, tensor<1x4x8xf32>, tensor<1x1x1x5xf32>) -> tensor<1x4x8xf32>
  return
}
// -----
// attention C4
func.func @cache_without_causal(%q: tensor<1x?x8xf32>) {
  // expected-error@+1 {{has a cache, but is not causal}}
  %y = rt3_graph.attention %q, %q, %q heads = 2 scale = 1.0 cache = 0
      : (tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
  return
}
// -----
// rotary C1
func.func @rotary_of_two_axes(%x: tensor<4x8xf32>, %c: tensor<4x4xf32>) {
  // expected-error@+1 {{expected B x S x F}}
  %y = rt3_graph.rotary %x, %c, %c heads = 2 : (tensor<4x8xf32>, tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x8xf32>
  return
}
// -----
// rotary C2
func.func @rotary_of_odd_heads(%x: tensor<1x4x9xf32>, %c: tensor<4x3xf32>) {
  // expected-error@+1 {{3 heads do not cut 9 features into pairs of halves}}
  %y = rt3_graph.rotary %x, %c, %c heads = 3 : (tensor<1x4x9xf32>, tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<1x4x9xf32>
  return
}
// -----
// rotary C3
func.func @angles_of_other_tokens(%x: tensor<1x4x8xf32>, %c: tensor<5x4xf32>) {
  // expected-error@+1 {{angles have shape}}
  %y = rt3_graph.rotary %x, %c, %c heads = 2 : (tensor<1x4x8xf32>, tensor<5x4xf32>, tensor<5x4xf32>) -> tensor<1x4x8xf32>
  return
}
