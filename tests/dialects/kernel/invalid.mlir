// RUN: rt3-opt %s -split-input-file -verify-diagnostics

// One case per rule of the types and ops in Kernel.td, in their order.

// buffer C1
// expected-error@+1 {{panel of -8 tokens}}
func.func @panel_below_zero(%x: !rt3_kernel.buffer<tensor<4x8xf32>, -8>) { return }
// -----
// buffer C2
// expected-error@+1 {{cannot lie in panels}}
func.func @bytes_in_panels(%x: !rt3_kernel.buffer<tensor<4x8xi8>, 24>) { return }
// -----
// weights C1
// expected-error@+1 {{data is 'tensor<4xf32>', expected bytes}}
rt3_kernel.weights @w dense<0.0> : tensor<4xf32>
// -----
// weights C2
// expected-error@+1 {{offset 65 is no multiple of 64}}
rt3_kernel.weights @w dense<0> : tensor<4xi8> offset 65
// -----
// constant C1
rt3_kernel.weights @w dense<0> : tensor<4xi8>
func.func @weights_of_another_size() {
  // expected-error@+1 {{expects 32 bytes of weights @w}}
  %c = rt3_kernel.constant @w : <tensor<8xf32>, 0>
  return
}
// -----
// constant C2
rt3_kernel.weights @w dense<0> : tensor<4xi8>
func.func @constant_in_panels() {
  // expected-error@+1 {{is not row-major and static}}
  %c = rt3_kernel.constant @w : <tensor<1x8xf32>, 24>
  return
}
// -----
// pack C1
func.func @pack_of_row_major_to_row_major(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>) {
  // expected-error@+1 {{does not pack}}
  %y = rt3_kernel.pack %x : <tensor<4x8xf32>, 0> -> <tensor<4x8xf32>, 0>
  return
}
// -----
// view C1
func.func @view_of_other_features(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>) {
  // expected-error@+1 {{shows}}
  %y = rt3_kernel.view %x : <tensor<4x8xf32>, 24> -> <tensor<8x4xf32>, 24>
  return
}
// -----
// map C1
func.func @sum_of_one(%x: !rt3_kernel.buffer<tensor<8xf32>, 0>) {
  // expected-error@+1 {{add has 1 operands, expected 2}}
  %y = rt3_kernel.map add %x : (!rt3_kernel.buffer<tensor<8xf32>, 0>) -> !rt3_kernel.buffer<tensor<8xf32>, 0>
  return
}
// -----
// map C2
func.func @map_of_another_layout(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>) {
  // expected-error@+1 {{has another layout}}
  %y = rt3_kernel.map exp %x : (!rt3_kernel.buffer<tensor<4x8xf32>, 0>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// move C1
func.func @list_too_short(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>) {
  // expected-error@+1 {{lists have 1, 2 and 2 entries for 2 axes}}
  %y = rt3_kernel.move %x [0] [0, 0] [1, 1] : <tensor<4x8xf32>, 0> -> <tensor<4x8xf32>, 0>
  return
}
// -----
// move C2
func.func @axis_twice(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>) {
  // expected-error@+1 {{are not different axes}}
  %y = rt3_kernel.move %x [0, 0] [0, 0] [1, 1] : <tensor<4x8xf32>, 0> -> <tensor<4x4xf32>, 0>
  return
}
// -----
// move C3
func.func @move_to_panels(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>) {
  // expected-error@+1 {{does not move}}
  %y = rt3_kernel.move %x [0, 1] [0, 0] [1, 1] : <tensor<4x8xf32>, 0> -> <tensor<4x8xf32>, 24>
  return
}
// -----
// concat C1
func.func @concat_along_no_axis(%x: !rt3_kernel.buffer<tensor<8xf32>, 0>) {
  // expected-error@+1 {{or along axis 2}}
  %y = rt3_kernel.concat %x axis = 2 : (!rt3_kernel.buffer<tensor<8xf32>, 0>) -> !rt3_kernel.buffer<tensor<8xf32>, 0>
  return
}
// -----
// reduce C1
func.func @reduce_to_another_rank(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>) {
  // expected-error@+1 {{does not reduce}}
  %y = rt3_kernel.reduce sum %x : <tensor<4x8xf32>, 0> -> <tensor<4xf32>, 0>
  return
}
// -----
// matmul C1
func.func @matmul_of_a_vector(%x: !rt3_kernel.buffer<tensor<8xf32>, 0>) {
  // expected-error@+1 {{has an operand or result of type}}
  %y = rt3_kernel.matmul %x, %x : (!rt3_kernel.buffer<tensor<8xf32>, 0>, !rt3_kernel.buffer<tensor<8xf32>, 0>)
      -> !rt3_kernel.buffer<tensor<8x8xf32>, 0>
  return
}
// -----
// gather C1
func.func @indices_that_are_floats(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>) {
  // expected-error@+1 {{gathers from}}
  %y = rt3_kernel.gather %x, %x axis = 0 : (!rt3_kernel.buffer<tensor<4x8xf32>, 0>, !rt3_kernel.buffer<tensor<4x8xf32>, 0>)
      -> !rt3_kernel.buffer<tensor<4x8x8xf32>, 0>
  return
}
// -----
// gather C2
func.func @columns_into_panels(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>, %i: !rt3_kernel.buffer<tensor<2xi64>, 0>) {
  // expected-error@+1 {{gathers axis 1}}
  %y = rt3_kernel.gather %x, %i axis = 1 : (!rt3_kernel.buffer<tensor<4x8xf32>, 0>, !rt3_kernel.buffer<tensor<2xi64>, 0>)
      -> !rt3_kernel.buffer<tensor<4x2xf32>, 24>
  return
}
// -----
// iota C1
func.func @iota_of_two_axes() {
  // expected-error@+1 {{does not have one axis}}
  %y = rt3_kernel.iota 0 step 1 : <tensor<2x2xi64>, 0>
  return
}
// -----
// layer_norm C1
func.func @layer_norm_of_row_major(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 0>, %s: !rt3_kernel.buffer<tensor<8xf32>, 0>) {
  // expected-error@+1 {{normalises}}
  %y = rt3_kernel.layer_norm %x, %s, %s epsilon = 0.0
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 0>, !rt3_kernel.buffer<tensor<8xf32>, 0>, !rt3_kernel.buffer<tensor<8xf32>, 0>)
      -> !rt3_kernel.buffer<tensor<4x8xf32>, 0>
  return
}
// -----
// layer_norm C2
func.func @scale_of_another_size(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>, %s: !rt3_kernel.buffer<tensor<7xf32>, 0>) {
  // expected-error@+1 {{scale or bias is}}
  %y = rt3_kernel.layer_norm %x, %s, %s epsilon = 0.0
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>, !rt3_kernel.buffer<tensor<7xf32>, 0>, !rt3_kernel.buffer<tensor<7xf32>, 0>)
      -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// linear C1
rt3_kernel.weights @w dense<0> : tensor<256xi8>
func.func @tile_of_another_panel(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 16>) {
  // expected-error@+1 {{tile has 24 tokens}}
  %y = rt3_kernel.linear "l" %x tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>]
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 16>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 16>
  return
}
// -----
// linear C2
func.func @layer_without_stream(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>) {
  // expected-error@+1 {{has no stream}}
  %y = rt3_kernel.linear "l" %x tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = []
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// linear C3
rt3_kernel.weights @w dense<0> : tensor<256xi8>
func.func @pass_larger_than_the_tile(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>) {
  // expected-error@+1 {{stream has passes of 8 rows for groups of 8 and a tile of 4}}
  %y = rt3_kernel.linear "l" %x tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 8, columns = 1, range = 8, pass = 8, gathered = false, patterns = [255]>]
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// linear C3
rt3_kernel.weights @w dense<0> : tensor<256xi8>
func.func @trips_of_three_blocks(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>) {
  // expected-error@+1 {{stream has 3 blocks a trip, expected a power of two}}
  %y = rt3_kernel.linear "l" %x tile = <rows = 8, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 8, columns = 1, range = 8, pass = 8, gathered = false, patterns = [255, 1], unroll = 3>]
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// linear C4
rt3_kernel.weights @w dense<0> : tensor<256xi8>
func.func @residual_of_another_type(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>, %r: !rt3_kernel.buffer<tensor<5x8xf32>, 24>) {
  // expected-error@+1 {{residual is}}
  %y = rt3_kernel.linear "l" %x residual %r tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>]
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>, !rt3_kernel.buffer<tensor<5x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// linear C5
func.func @weights_that_are_not_there(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>) {
  // expected-error@+1 {{names @w, which are no weights}}
  %y = rt3_kernel.linear "l" %x tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>]
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// linear C6
rt3_kernel.weights @w dense<0> : tensor<16640xi8>
func.func @one_part_of_two(%x: !rt3_kernel.buffer<tensor<4x32xf32>, 24>) {
  // expected-error@+1 {{stream has 1 parts, expected 2 for each range of inputs}}
  %y = rt3_kernel.linear "l" %x tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 32, pass = 4, gathered = false, patterns = [], parts = [0]>]
      : (!rt3_kernel.buffer<tensor<4x32xf32>, 24>) -> !rt3_kernel.buffer<tensor<4x128xf32>, 24>
  return
}
// -----
// linear C7
rt3_kernel.weights @w dense<0> : tensor<256xi8>
func.func @values_of_three_bytes(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>) {
  // expected-error@+1 {{stream has values of 3 bytes}}
  %y = rt3_kernel.linear "l" %x tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = [], value_size = 3>]
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// linear C8
rt3_kernel.weights @w dense<0> : tensor<256xi8>
func.func @int8_without_scales(%x: !rt3_kernel.buffer<tensor<4x3xi32>, 24>) {
  // expected-error@+1 {{multiplies vpdpbusd, x is '!rt3_kernel.buffer<tensor<4x3xi32>, 24>' without scales}}
  %y = rt3_kernel.linear "l" %x dot vpdpbusd tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>]
      : (!rt3_kernel.buffer<tensor<4x3xi32>, 24>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// quantize C1
func.func @scale_without_a_place(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>) {
  // expected-error@+1 {{expected '!rt3_kernel.buffer<tensor<4x3xi32>, 24>'}}
  %q = rt3_kernel.quantize sdot %x : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>) -> !rt3_kernel.buffer<tensor<4x2xi32>, 24>
  return
}
// -----
// attention C1
func.func @keys_of_another_type(%q: !rt3_kernel.buffer<tensor<1x4x8xf32>, 24>, %k: !rt3_kernel.buffer<tensor<1x5x8xf32>, 24>,
                                %s: !rt3_kernel.buffer<tensor<24x24xf32>, 0>) {
  // expected-error@+1 {{tile has 24 tokens, buffers are}}
  %y = rt3_kernel.attention %q, %k, %k scratch %s heads = 1 scale = 1.0 tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2">
      : (!rt3_kernel.buffer<tensor<1x4x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x5x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x5x8xf32>, 24>,
         !rt3_kernel.buffer<tensor<24x24xf32>, 0>) -> !rt3_kernel.buffer<tensor<1x4x8xf32>, 24>
  return
}
// -----
// attention C2
func.func @mask_of_two_axes(%q: !rt3_kernel.buffer<tensor<1x4x8xf32>, 24>, %m: !rt3_kernel.buffer<tensor<4x4xf32>, 0>,
                            %s: !rt3_kernel.buffer<tensor<24x24xf32>, 0>) {
  // expected-error@+1 {{mask is}}
  %y = rt3_kernel.attention %q, %q, %q mask %m scratch %s heads = 1 scale = 1.0 tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2">
      : (!rt3_kernel.buffer<tensor<1x4x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x4x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x4x8xf32>, 24>,
         !rt3_kernel.buffer<tensor<4x4xf32>, 0>, !rt3_kernel.buffer<tensor<24x24xf32>, 0>) -> !rt3_kernel.buffer<tensor<1x4x8xf32>, 24>
  return
}
// -----
// scratch C1
func.func @scratch_in_panels() {
  // expected-error@+1 {{is not row-major}}
  %s = rt3_kernel.scratch : <tensor<4x8xf32>, 24>
  return
}
// -----
// pack C2
func.func @panels_of_many_tokens_repacked(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>) {
  // expected-error@+1 {{does not pack}}
  %y = rt3_kernel.pack %x : <tensor<4x8xf32>, 24> -> <tensor<4x8xf32>, 12>
  return
}
// -----
// append C1
func.func @append_of_other_features(%x: !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>) {
  // expected-error@+1 {{appends}}
  %y = rt3_kernel.append %x slot = 0 : <tensor<1x?x8xf32>, 24> -> <tensor<1x64x16xf32>, 24>
  return
}
// -----
// append C2
func.func @append_without_end(%x: !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>) {
  // expected-error@+1 {{keeps}}
  %y = rt3_kernel.append %x slot = 0 : <tensor<1x?x8xf32>, 24> -> <tensor<1x?x8xf32>, 24>
  return
}
// -----
// rotary C1
func.func @row_major_angles(%x: !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, %c: !rt3_kernel.buffer<tensor<?x4xf32>, 0>) {
  // expected-error@+1 {{turns}}
  %y = rt3_kernel.rotary %x, %c, %c heads = 2
      : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, !rt3_kernel.buffer<tensor<?x4xf32>, 0>, !rt3_kernel.buffer<tensor<?x4xf32>, 0>)
      -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>
  return
}
// -----
// attention C3
func.func @token_without_keys_of_earlier_runs(%q: !rt3_kernel.buffer<tensor<1x1x8xf32>, 1>, %k: !rt3_kernel.buffer<tensor<1x64x8xf32>, 24>,
                                              %s: !rt3_kernel.buffer<tensor<72x1xf32>, 0>) {
  // expected-error@+1 {{has no keys of earlier runs}}
  %y = rt3_kernel.attention %q, %k, %k scratch %s heads = 2 scale = 1.0 causal tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2">
      : (!rt3_kernel.buffer<tensor<1x1x8xf32>, 1>, !rt3_kernel.buffer<tensor<1x64x8xf32>, 24>, !rt3_kernel.buffer<tensor<1x64x8xf32>, 24>,
         !rt3_kernel.buffer<tensor<72x1xf32>, 0>) -> !rt3_kernel.buffer<tensor<1x1x8xf32>, 1>
  return
}
// -----
// layer_norm C3
func.func @largest_of_integers(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>, %s: !rt3_kernel.buffer<tensor<8xf32>, 0>, %l: !rt3_kernel.buffer<tensor<24xi32>, 0>) {
  // expected-error@+1 {{largest is '!rt3_kernel.buffer<tensor<24xi32>, 0>'}}
  %y = rt3_kernel.layer_norm %x, %s, %s largest %l epsilon = 1.0e-5
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>, !rt3_kernel.buffer<tensor<8xf32>, 0>, !rt3_kernel.buffer<tensor<8xf32>, 0>, !rt3_kernel.buffer<tensor<24xi32>, 0>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// linear C9
rt3_kernel.weights @w dense<0> : tensor<256xi8>
func.func @largest_without_an_epilogue(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>, %l: !rt3_kernel.buffer<tensor<24xf32>, 0>) {
  // expected-error@+1 {{without an activation}}
  %y = rt3_kernel.linear "l" %x largest %l tile = <rows = 4, vectors = 3, lanes = 8, isa = "avx2"> streams = [
      #rt3_kernel.stream<weights = @w, rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns = []>]
      : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>, !rt3_kernel.buffer<tensor<24xf32>, 0>) -> !rt3_kernel.buffer<tensor<4x8xf32>, 24>
  return
}
// -----
// quantize C2
func.func @largest_of_bf16(%x: !rt3_kernel.buffer<tensor<4x8xf32>, 24>, %l: !rt3_kernel.buffer<tensor<24xf32>, 0>) {
  // expected-error@+1 {{for bfdot}}
  %q = rt3_kernel.quantize bfdot %x largest %l : (!rt3_kernel.buffer<tensor<4x8xf32>, 24>, !rt3_kernel.buffer<tensor<24xf32>, 0>) -> !rt3_kernel.buffer<tensor<4x4xi32>, 24>
  return
}
