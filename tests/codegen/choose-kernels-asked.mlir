// RUN: rt3-opt %s -rt3-choose-kernels=device=x86-64-v3 -split-input-file -verify-diagnostics

// What a layer's rt3_graph.kernel asks for must exist.
func.func @unknown(%x: tensor<96x64xf32>) -> tensor<96x64xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<64x64xf32>
  // expected-error @below {{rt3_graph.kernel: "speed:1" is none of rows:N, unroll:N, filled:0, filled:1, range:N}}
  %a = rt3_graph.linear "a" %x, %w {rt3_graph.kernel = "speed:1"} : (tensor<96x64xf32>, tensor<64x64xf32>) -> tensor<96x64xf32>
  return %a : tensor<96x64xf32>
}

// -----

func.func @dense(%x: tensor<96x64xf32>) -> tensor<96x64xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<64x64xf32>
  // expected-error @below {{layer "a" has no dense kernel of 3 rows}}
  // expected-note @below {{it has those of 2 rows and more that divide 4}}
  %a = rt3_graph.linear "a" %x, %w {rt3_graph.kernel = "rows:3"} : (tensor<96x64xf32>, tensor<64x64xf32>) -> tensor<96x64xf32>
  return %a : tensor<96x64xf32>
}

// -----

func.func @range(%x: tensor<96x64xf32>) -> tensor<96x64xf32> {
  %w = rt3_graph.constant dense<0.5> : tensor<64x64xf32>
  // expected-error @below {{layer "a" has no kernel of "range:9"}}
  // expected-note @below {{it has rows:2,unroll:4,filled:0,range:64, or rows:4,unroll:4,filled:0,range:64}}
  %a = rt3_graph.linear "a" %x, %w levels [#rt3_graph.block<rows = 8, mask = dense<1> : tensor<64x64xi8>>]
      {rt3_graph.kernel = "range:9"} : (tensor<96x64xf32>, tensor<64x64xf32>) -> tensor<96x64xf32>
  return %a : tensor<96x64xf32>
}
