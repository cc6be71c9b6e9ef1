// SPDX-License-Identifier: Apache-2.0
//
// The ops of rt3_graph that are layers of a network: what fusing makes of smaller ones.
// Included by Graph.td.

def LayerNormOp : Graph_Op<"layer_norm", [Pure]> {
  let summary = "Normalises the last axis";
  let description = [{
    Computes `result = (x - mean(x)) / sqrt(var(x) + epsilon) * scale + bias`
    with mean and (biased) variance over the last axis, of size F. With `rms`, the
    mean is not subtracted: `result = x / sqrt(mean(x^2) + epsilon) * scale + bias`.

    | operand         | shape   |
    |-----------------|---------|
    | `x`             | ... x F |
    | `scale`, `bias` | F       |

    Constraints:

    - C1: x has an axis, and the last one is static.
    - C2: scale and bias have F elements.
    - C3: `epsilon` is not negative.
    - C4: the result has the type of x.

    Example: `%y = rt3_graph.layer_norm %x, %s, %b epsilon = 1.0e-5
    : tensor<1x?x8xf32>, tensor<8xf32>, tensor<8xf32>`
  }];
  let arguments = (ins Graph_FloatTensor:$x, Graph_FloatTensor:$scale,
                   Graph_FloatTensor:$bias, F32Attr:$epsilon, UnitAttr:$rms);
  let results = (outs Graph_FloatTensor:$result);
  let assemblyFormat = [{
    $x `,` $scale `,` $bias `epsilon` `=` $epsilon (`rms` $rms^)? attr-dict
    `:` type($x) `,` type($scale) `,` type($bias) `->` type($result)
  }];
}

def LinearOp : Graph_Op<"linear", [Pure, AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A linear layer: what pruning is about";
  let description = [{
    Computes `result[..., n] = activation(sum over k of x[..., k] mask[k, n]
    weights[k, n] + bias[n]) + residual[..., n]`.

    | operand    | shape   | holds                                  |
    |------------|---------|----------------------------------------|
    | `x`        | ... x K | activations                            |
    | `weights`  | K x N   | a constant                             |
    | `bias`     | N       | optional                               |
    | `residual` | ... x N | optional, the type of the result       |

    `precision` says which numbers are multiplied; without it, f32. As `int8`, x is quantised per token and the weights per output, both
    symmetrically, and the sum is exact:

        sx = max |x[k]| / 127                 qx[k] = round(x[k] x f), f = 127 / max |x| in f32
        sw[n] = max over k |weights[k, n]| / 127     qw[k, n] = round(weights[k, n] / sw[n])
        result[n] = activation(sx sw[n] sum over k of qx[k] mask[k, n] qw[k, n] + bias[n]) + residual[n]

    rounding half to even, a product once.

    As `f16`, the weights are stored as f16, which holds each of them exactly;
    everything is computed in f32. As `f16_sums`, x is rounded to f16 as well, and products
    are added up in f16 for some hundred inputs at a time, then in f32. As `bf16`,
    weights and x are bf16, sums f32. Rounding is to nearest, half to even.

    `levels` has one weight encoding per level (none: dense everywhere). In a
    function of one level it holds the encodings whose union is the layer at
    that level, the level's own last; the level's bias is the operand there.

    Constraints:

    - C1: x is ... x K and weights are K x N with static K and N.
    - C2: the result is ... x N.
    - C3: bias has N elements.
    - C4: residual has the type of the result.
    - C5: `levels` holds weight encodings.
    - C6: a mask is a K x N tensor of i8, weights of a level one of f32, its bias N of f32.
    - C7: a pattern encoding names a pattern set.
    - C8: as `int8`, K is at most 65536, so that sums fit 32 bits.

    Example: `%y = rt3_graph.linear %x, %w bias %b : tensor<?x4xf32> {layer = "q"}
    : tensor<?x4xf32>, tensor<4x8xf32>, tensor<8xf32> -> tensor<?x8xf32>`
  }];
  let arguments = (ins Graph_FloatTensor:$x, Graph_FloatTensor:$weights,
                   Optional<Graph_FloatTensor>:$bias,
                   Optional<Graph_FloatTensor>:$residual, StrAttr:$layer,
                   OptionalAttr<Graph_UnaryKindAttr>:$activation,
                   OptionalAttr<ArrayAttr>:$levels,
                   OptionalAttr<Graph_PrecisionAttr>:$precision);
  let results = (outs Graph_FloatTensor:$result);
  let assemblyFormat = [{
    $layer $x `,` $weights (`bias` $bias^)? (`residual` $residual^)?
    (`activation` $activation^)? (`as` $precision^)? (`levels` $levels^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def RotaryOp : Graph_Op<"rotary", [Pure]> {
  let summary = "Rotary position embedding: each head turned by its token's angles";
  let description = [{
    With d from 0 to D/2 - 1 of a head, a = x[d] and b = x[d + D/2]:

        result[d]       = a cos[t, d] - b sin[t, d]
        result[d + D/2] = b cos[t, d + D/2] + a sin[t, d + D/2]

    | operand      | shape     |                          |
    |--------------|-----------|--------------------------|
    | `x`          | B x S x F | F = heads x D            |
    | `cos`, `sin` | S x D     | of the angles of a token |

    Constraints:

    - C1: x has rank 3 with static B and F, and is the result's type.
    - C2: `heads` divides F, and D is even.
    - C3: cos and sin are S x D.

    Source: Su et al., RoFormer (arXiv 2104.09864), with halves as in GPT-NeoX.

    Example: `%y = rt3_graph.rotary %x, %c, %s heads = 2
    : (tensor<1x?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<1x?x8xf32>`
  }];
  let arguments = (ins Graph_FloatTensor:$x, Graph_FloatTensor:$cos,
                   Graph_FloatTensor:$sin, I64Attr:$heads);
  let results = (outs Graph_FloatTensor:$result);
  let assemblyFormat = [{
    $x `,` $cos `,` $sin `heads` `=` $heads attr-dict
    `:` functional-type(operands, results)
  }];
}

def AttentionOp : Graph_Op<"attention", [Pure]> {
  let summary = "Scaled dot-product attention of several heads";
  let description = [{
    With head h reading features h D ... h D + D - 1 of q, and those of head
    h / (heads / G) of the G heads of k and v:
    `result = softmax(scale q kᵀ + mask) v`, one head beside the other.

    | operand  | shape         |                                          |
    |----------|---------------|------------------------------------------|
    | `q`      | B x S x F     | F = heads x D                            |
    | `k`, `v` | B x S x G D   | G = heads, or a divisor (grouped queries) |
    | `mask`   | rank 4, broadcasts to B x heads x S x S; optional, added |

    With `causal`, token i sees tokens 0 to i only. With `cache`, k and v of the
    tokens of earlier runs are seen too; they are kept in the state of the model, in
    a place of their own for each number from 0 on. Constraints:

    - C1: q and the result have one type, k and v too; both are of rank 3 and
      differ in nothing but features; batch and features are static.
    - C2: `heads` is at least 1 and divides F; k and v have whole heads, whose
      number divides `heads`.
    - C3: the mask broadcasts to B x heads x S x S.
    - C4: with `cache`, there is `causal` and no mask, B is 1 and S is free or 1.

    Example: `%y = rt3_graph.attention %q, %k, %v heads = 4 scale = 0.125
    : (tensor<1x?x32xf32>, tensor<1x?x32xf32>, tensor<1x?x32xf32>) -> tensor<1x?x32xf32>`
  }];
  let arguments = (ins Graph_FloatTensor:$q, Graph_FloatTensor:$k,
                   Graph_FloatTensor:$v, Optional<Graph_FloatTensor>:$mask,
                   I64Attr:$heads, F32Attr:$scale, UnitAttr:$causal,
                   OptionalAttr<I64Attr>:$cache);
  let results = (outs Graph_FloatTensor:$result);
  let assemblyFormat = [{
    $q `,` $k `,` $v (`mask` $mask^)? `heads` `=` $heads `scale` `=` $scale
    (`causal` $causal^)? (`cache` `=` $cache^)? attr-dict `:` functional-type(operands, results)
  }];
}
