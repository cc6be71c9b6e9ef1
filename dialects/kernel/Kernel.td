// SPDX-License-Identifier: Apache-2.0
//
// The rt3_kernel dialect: one model at one level, on buffers whose layout is
// fixed and on packed weights. What is computed belongs to dialects/graph.

#ifndef RT3_DIALECTS_KERNEL_KERNEL
#define RT3_DIALECTS_KERNEL_KERNEL

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Kernel_Dialect : Dialect {
  let name = "rt3_kernel";
  let cppNamespace = "::mlir::rt3::kernel";
  let summary = "How a model lies in memory and which loops compute it";
  let description = [{
    A value is a buffer: a tensor type with a layout. Row-major buffers are what
    users give and get. Between layers, activations lie feature-major in panels
    of P tokens, `[batch][token / P][feature][token % P]` with the number of
    features rounded up to 8, so that every layer streams tokens and none
    transposes. A single token lies in a panel of 1: its features are neighbours.

    `?` is the free dimension, as in rt3_graph. Buffers are placed at its
    largest value, so that offsets are constants.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
}

//===-- Types and attributes ----------------------------------------------===//

def Kernel_Buffer : TypeDef<Kernel_Dialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "A tensor with a layout";
  let description = [{
    `panel` is the number of tokens in a panel, 0 for row-major. In panels, the
    last axis holds features, the one before tokens, all others are batch.

    - C1: `panel` is not negative.
    - C2: a buffer in panels is f32, i32 or i64, has two axes, and static features
      and batch.

    Example: `!rt3_kernel.buffer<tensor<1x?x384xf32>, 24>`
  }];
  let parameters = (ins "::mlir::RankedTensorType":$tensor, "int64_t":$panel);
  let assemblyFormat = "`<` $tensor `,` $panel `>`";
  let genVerifyDecl = 1;
}

class Kernel_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::mlir::rt3::kernel";
  let genSpecializedAttr = 0;
}
class Kernel_EnumAttr<EnumAttrInfo info, string mnemonic>
    : EnumAttr<Kernel_Dialect, info, mnemonic>;

def Kernel_Function : Kernel_Enum<"Function", "function of single elements", [
  I32EnumAttrCase<"Abs", 0, "abs">, I32EnumAttrCase<"Ceil", 1, "ceil">,
  I32EnumAttrCase<"Erf", 2, "erf">, I32EnumAttrCase<"Exp", 3, "exp">,
  I32EnumAttrCase<"Floor", 4, "floor">, I32EnumAttrCase<"Gelu", 5, "gelu">,
  I32EnumAttrCase<"GeluTanh", 6, "gelu_tanh">,
  I32EnumAttrCase<"Neg", 7, "neg">, I32EnumAttrCase<"Not", 8, "not">,
  I32EnumAttrCase<"Reciprocal", 9, "reciprocal">,
  I32EnumAttrCase<"Relu", 10, "relu">, I32EnumAttrCase<"Round", 11, "round">,
  I32EnumAttrCase<"Sigmoid", 12, "sigmoid">,
  I32EnumAttrCase<"Sqrt", 13, "sqrt">, I32EnumAttrCase<"Tanh", 14, "tanh">,
  I32EnumAttrCase<"Silu", 15, "silu">, I32EnumAttrCase<"Sin", 16, "sin">,
  I32EnumAttrCase<"Cos", 17, "cos">,
  I32EnumAttrCase<"Add", 18, "add">, I32EnumAttrCase<"Sub", 19, "sub">,
  I32EnumAttrCase<"Mul", 20, "mul">, I32EnumAttrCase<"Div", 21, "div">,
  I32EnumAttrCase<"Max", 22, "max">, I32EnumAttrCase<"Min", 23, "min">,
  I32EnumAttrCase<"And", 24, "and">, I32EnumAttrCase<"Or", 25, "or">,
  I32EnumAttrCase<"Xor", 26, "xor">, I32EnumAttrCase<"Equal", 27, "equal">,
  I32EnumAttrCase<"Less", 28, "less">,
  I32EnumAttrCase<"LessEqual", 29, "less_equal">,
  I32EnumAttrCase<"Greater", 30, "greater">,
  I32EnumAttrCase<"GreaterEqual", 31, "greater_equal">,
  I32EnumAttrCase<"Select", 32, "select">, I32EnumAttrCase<"Cast", 33, "cast">,
]>;
def Kernel_FunctionAttr : Kernel_EnumAttr<Kernel_Function, "function">;

def Kernel_Reduction : Kernel_Enum<"Reduction", "reduction", [
  I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Mean", 1, "mean">,
  I32EnumAttrCase<"Max", 2, "max">, I32EnumAttrCase<"Min", 3, "min">,
  I32EnumAttrCase<"Prod", 4, "prod">,
]>;
def Kernel_ReductionAttr : Kernel_EnumAttr<Kernel_Reduction, "reduction">;

def Kernel_Dot : Kernel_Enum<"Dot", "instruction of products of several inputs", [
  I32EnumAttrCase<"Vpdpbusd", 0, "vpdpbusd">, I32EnumAttrCase<"Sdot", 1, "sdot">,
  I32EnumAttrCase<"Pmaddwd", 2, "pmaddwd">,
  I32EnumAttrCase<"Multiply", 3, "multiply">,
  I32EnumAttrCase<"Smmla", 4, "smmla">, I32EnumAttrCase<"Bfdot", 5, "bfdot">,
  I32EnumAttrCase<"Vdpbf16ps", 6, "vdpbf16ps">,
  I32EnumAttrCase<"FmlaF16", 7, "fmla_f16">,
]>;
def Kernel_DotAttr : Kernel_EnumAttr<Kernel_Dot, "dot">;

def Kernel_Memory : Kernel_Enum<"Memory", "part of memory", [
  I32EnumAttrCase<"Input", 0, "input">, I32EnumAttrCase<"Output", 1, "output">,
  I32EnumAttrCase<"Workspace", 2, "workspace">,
  I32EnumAttrCase<"State", 3, "state">,
]>;

class Kernel_Attr<string name, string mnemonic_>
    : AttrDef<Kernel_Dialect, name> {
  let mnemonic = mnemonic_;
  let assemblyFormat = "`<` struct(params) `>`";
}

def Kernel_PlaceAttr : AttrDef<Kernel_Dialect, "Place"> {
  let mnemonic = "place";
  let summary = "Where a buffer lies";
  let description = [{
    `offset` counts bytes of the workspace or the state, or is the index of the
    input or output. The state outlives a run.

    Example: `#rt3_kernel.place<workspace, 4096>`
  }];
  let parameters = (ins EnumParameter<Kernel_Memory>:$memory,
                    "int64_t":$offset);
  let assemblyFormat = "`<` $memory `,` $offset `>`";
}

def Kernel_TileAttr : Kernel_Attr<"Tile", "tile"> {
  let summary = "The part of a result that a kernel holds in registers";
  let description = [{
    `rows` outputs x `vectors` vectors of `lanes` tokens; a panel has
    vectors x lanes tokens. `isa` names the instruction set. So many sums as
    `in_flight` keep the core from waiting for products that it has begun. One
    instruction loads up to `load_vectors` neighbouring vectors. Kernels of a
    single token ask `stream_prefetch` bytes ahead for the weights of dense layers
    and of a single pattern; 0 leaves that to the processor.

    Example: `#rt3_kernel.tile<rows = 4, vectors = 3, lanes = 8, isa = avx2>`
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$vectors, "int64_t":$lanes,
                    StringRefParameter<"instruction set">:$isa,
                    DefaultValuedParameter<"int64_t", "1">:$in_flight,
                    DefaultValuedParameter<"int64_t", "1">:$load_vectors,
                    DefaultValuedParameter<"int64_t", "0">:$stream_prefetch);
}

def Kernel_StreamAttr : Kernel_Attr<"Stream", "stream"> {
  let summary = "A packed part of a layer's weights";
  let description = [{
    `weights` names the bytes. Outputs are cut into groups of `rows`, inputs
    into ranges of `range`; segments follow each other by range, then group. A
    dense segment (no `patterns`) is `[inputs of the range][rows]` values, which
    are f32, f16 (`value_size` 2), or words of weights for a dot (4, or 8 for smmla,
    under which outputs are kept in pairs). A sparse
    segment is

        count u16[patterns] | index u16[sum of counts x entries] | padding to 4
        | values

    The blocks of a segment are sorted by pattern. A block has one index, the
    vector in its input range where its first input begins (input x vectors of a
    panel), or with `gathered` one index per input. Values are stored in the
    order that the tile reads them: for each `pass` rows of the group, by
    pattern, block, input, then output. A trip of a pattern's loop multiplies
    `unroll` blocks; what is left over takes another loop, unless counts are multiples
    (`filled`): blocks of zeros that read an input again make them so. (Zero times an
    infinite input is NaN, where the block that reads it first gives infinity.)

    Threads take parts of the outputs: of E = outputs / 8 rounded up, part p of P
    begins with output 8 (E p / P). `parts` has, by range, then part, the byte where
    it begins; without it a stream is read as one.

    Example: `#rt3_kernel.stream<weights = @w, rows = 8, columns = 1, range = 192,
    pass = 4, gathered = false, patterns = array<i64: 255>>`
  }];
  let parameters = (ins "::mlir::FlatSymbolRefAttr":$weights, "int64_t":$rows,
                    "int64_t":$columns, "int64_t":$range, "int64_t":$pass,
                    "bool":$gathered, "::mlir::DenseI64ArrayAttr":$patterns,
                    OptionalParameter<"::mlir::DenseI64ArrayAttr">:$parts,
                    DefaultValuedParameter<"int64_t", "4">:$value_size,
                    DefaultValuedParameter<"int64_t", "1">:$unroll,
                    DefaultValuedParameter<"bool", "false">:$filled);
}

//===-- Ops ---------------------------------------------------------------===//

class Kernel_Op<string mnemonic, list<Trait> traits = []>
    : Op<Kernel_Dialect, mnemonic, traits> {
  let hasVerifier = 1;
}

// An op that fills one buffer; memory planning gives it its place.
class Kernel_FillOp<string mnemonic, dag inputs, list<Trait> traits = []>
    : Kernel_Op<mnemonic, !listconcat([Pure], traits)> {
  let arguments = !con(inputs, (ins OptionalAttr<Kernel_PlaceAttr>:$place));
  let results = (outs Kernel_Buffer:$result);
}

def WeightsOp : Kernel_Op<"weights", [Symbol]> {
  let summary = "Bytes of the bundle's weight section";
  let description = [{
    A symbol. `offset` is the place in the section, a multiple of 64.
    Constraints:

    - C1: `data` is a rank-1 tensor of i8.
    - C2: `offset` is a multiple of 64.

    Example: `rt3_kernel.weights @w dense<0> : tensor<64xi8> offset 128`
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, ElementsAttr:$data,
                   OptionalAttr<I64Attr>:$offset);
  let assemblyFormat = "$sym_name $data (`offset` $offset^)? attr-dict";
}

def ConstantOp : Kernel_Op<"constant",
    [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A row-major buffer in the weight section";
  let description = [{
    Constraints:

    - C1: `weights` names weights of exactly the buffer's size.
    - C2: the buffer is row-major and static.

    Example: `%c = rt3_kernel.constant @w : !rt3_kernel.buffer<tensor<16xf32>, 0>`
  }];
  let arguments = (ins FlatSymbolRefAttr:$weights);
  let results = (outs Kernel_Buffer:$result);
  let assemblyFormat = "$weights attr-dict `:` type($result)";
}

def PackOp : Kernel_FillOp<"pack", (ins Kernel_Buffer:$x)> {
  let summary = "From one layout to another";
  let description = [{
    Constraints:

    - C1: both buffers have one tensor type and different layouts.
    - C2: from panels to panels, there is a single token.

    Example: `%y = rt3_kernel.pack %x : !rt3_kernel.buffer<tensor<1x?x8xf32>, 0>
    -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>`
  }];
  let assemblyFormat =
      "$x (`at` $place^)? attr-dict `:` type($x) `->` type($result)";
}

def ViewOp : Kernel_Op<"view", [Pure]> {
  let summary = "The same memory under another shape";
  let description = [{
    Constraints:

    - C1: both buffers are row-major, or both lie in panels of one width and
      differ by leading axes of size 1 only.

    Example: `%y = rt3_kernel.view %x : !rt3_kernel.buffer<tensor<8xf32>, 0>
    -> !rt3_kernel.buffer<tensor<2x4xf32>, 0>`
  }];
  let arguments = (ins Kernel_Buffer:$x);
  let results = (outs Kernel_Buffer:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
}

def MapOp : Kernel_FillOp<"map", (ins Kernel_FunctionAttr:$function,
                                  Variadic<Kernel_Buffer>:$inputs)> {
  let summary = "A function of each element, with broadcasting";
  let description = [{
    Constraints:

    - C1: the function gets as many operands as it takes: 1, 2 for arithmetic
      and comparisons, 3 for select.
    - C2: all buffers have the layout of the result; in panels, shapes are equal.

    Example: `%y = rt3_kernel.map exp %x : (!rt3_kernel.buffer<tensor<8xf32>, 0>)
    -> !rt3_kernel.buffer<tensor<8xf32>, 0>`
  }];
  let assemblyFormat = [{
    $function $inputs (`at` $place^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def MoveOp : Kernel_FillOp<"move", (ins Kernel_Buffer:$x,
    DenseI64ArrayAttr:$axes, DenseI64ArrayAttr:$starts,
    DenseI64ArrayAttr:$steps)> {
  let summary = "Elements in another order: transposes, slices, repeats";
  let description = [{
    Axis i of the result walks axis `axes[i]` of x from `starts[i]` by
    `steps[i]`, or repeats (-1); axes of x that are not named stay at 0.
    Constraints:

    - C1: the three lists have one entry per axis of the result.
    - C2: `axes` are -1 or different axes of x.
    - C3: both buffers are row-major with one element type.

    Example: `%y = rt3_kernel.move %x [1, 0] [0, 0] [1, 1]
    : !rt3_kernel.buffer<tensor<2x4xf32>, 0> -> !rt3_kernel.buffer<tensor<4x2xf32>, 0>`
  }];
  let assemblyFormat = [{
    $x $axes $starts $steps (`at` $place^)? attr-dict
    `:` type($x) `->` type($result)
  }];
}

def ConcatOp : Kernel_FillOp<"concat", (ins Variadic<Kernel_Buffer>:$inputs,
                                        I64Attr:$axis)> {
  let summary = "Buffers one after the other along an axis";
  let description = [{
    Constraints:

    - C1: all buffers are row-major, and `axis` is an axis of the result.

    Example: `%y = rt3_kernel.concat %a, %a axis = 0
    : (!rt3_kernel.buffer<tensor<1xf32>, 0>, !rt3_kernel.buffer<tensor<1xf32>, 0>)
    -> !rt3_kernel.buffer<tensor<2xf32>, 0>`
  }];
  let assemblyFormat = [{
    $inputs `axis` `=` $axis (`at` $place^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def ReduceOp : Kernel_FillOp<"reduce", (ins Kernel_ReductionAttr:$reduction,
                                        Kernel_Buffer:$x)> {
  let summary = "One number for all elements along some axes";
  let description = [{
    The axes that have size 1 in the result and another size in x are reduced.
    Constraints:

    - C1: both buffers are row-major with one rank and element type.

    Example: `%y = rt3_kernel.reduce max %x : !rt3_kernel.buffer<tensor<2x4xf32>, 0>
    -> !rt3_kernel.buffer<tensor<2x1xf32>, 0>`
  }];
  let assemblyFormat = [{
    $reduction $x (`at` $place^)? attr-dict `:` type($x) `->` type($result)
  }];
}

def MatmulOp : Kernel_FillOp<"matmul",
                             (ins Kernel_Buffer:$lhs, Kernel_Buffer:$rhs)> {
  let summary = "Row-major products of matrices, with broadcast leading axes";
  let description = [{
    Constraints:

    - C1: all buffers are row-major f32 with at least two axes.

    Example: `%y = rt3_kernel.matmul %a, %b : (!rt3_kernel.buffer<tensor<2x3xf32>, 0>,
    !rt3_kernel.buffer<tensor<3x4xf32>, 0>) -> !rt3_kernel.buffer<tensor<2x4xf32>, 0>`
  }];
  let assemblyFormat = [{
    $lhs `,` $rhs (`at` $place^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def GatherOp : Kernel_FillOp<"gather", (ins Kernel_Buffer:$table,
                                        Kernel_Buffer:$indices,
                                        I64Attr:$axis)> {
  let summary = "Slices of a table by index, row-major or into panels";
  let description = [{
    Negative indices count from the end; indices outside the table read its
    nearest slice. Constraints:

    - C1: table and indices are row-major, indices are i64 or i32.
    - C2: a result in panels needs a table of two axes, gathered along axis 0.

    Example: `%y = rt3_kernel.gather %t, %i axis = 0
    : (!rt3_kernel.buffer<tensor<9x8xf32>, 0>, !rt3_kernel.buffer<tensor<1x?xi64>, 0>)
    -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>`
  }];
  let assemblyFormat = [{
    $table `,` $indices `axis` `=` $axis (`at` $place^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def IotaOp : Kernel_FillOp<"iota", (ins I64Attr:$start, I64Attr:$step,
                                    UnitAttr:$positions)> {
  let summary = "The numbers start, start + step, ...";
  let description = [{
    With `positions`, from the position of the first token of the run on.
    Constraints:

    - C1: the result is row-major, of one axis.

    Example: `%y = rt3_kernel.iota 0 step 1 : !rt3_kernel.buffer<tensor<?xi64>, 0>`
  }];
  let assemblyFormat =
      "$start `step` $step (`positions` $positions^)? (`at` $place^)? attr-dict `:` type($result)";
}

def LayerNormOp : Kernel_FillOp<"layer_norm", (ins Kernel_Buffer:$x,
    Kernel_Buffer:$scale, Kernel_Buffer:$bias, Optional<Kernel_Buffer>:$largest,
    F32Attr:$epsilon, UnitAttr:$rms)> {
  let summary = "Normalises the features of each token, in panels";
  let description = [{
    `largest` is memory that gets the largest |result| of each token, for the
    rt3_kernel.quantize that reads it: `[batch][panel][part][token of the panel]`, where
    a NaN is larger than anything. Constraints:

    - C1: x and the result have one type, in panels.
    - C2: scale and bias are row-major with one element per feature.
    - C3: `largest` is row-major f32.

    Example: `%y = rt3_kernel.layer_norm %x, %s, %s epsilon = 1.0e-5
    : (!rt3_kernel.buffer<tensor<?x8xf32>, 24>, !rt3_kernel.buffer<tensor<8xf32>, 0>,
    !rt3_kernel.buffer<tensor<8xf32>, 0>) -> !rt3_kernel.buffer<tensor<?x8xf32>, 24>`
  }];
  let assemblyFormat = [{
    $x `,` $scale `,` $bias (`largest` $largest^)? `epsilon` `=` $epsilon (`rms` $rms^)? (`at` $place^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def QuantizeOp : Kernel_FillOp<"quantize", (ins Kernel_DotAttr:$dot,
                                            Kernel_Buffer:$x,
                                            Optional<Kernel_Buffer>:$largest)> {
  let summary = "Activations as words of small numbers, of int8 with a scale per token";
  let description = [{
    Rounds each token of x as the precision of rt3_graph.linear says. The result
    has one word per group of inputs, lowest input in the lowest bits; of int8 there is
    one more feature behind them, whose first 32 bits are those of the f32 scale:

    | dot       | bits | inputs per word | a number                                    |
    |-----------|------|-----------------|---------------------------------------------|
    | vpdpbusd  | 32   | 4               | u8, 128 more: what the instruction takes    |
    | sdot      | 32   | 4               | s8                                          |
    | smmla     | 64   | 8               | s8                                          |
    | pmaddwd   | 32   | 2               | s16                                         |
    | multiply  | 32   | 1               | s32                                         |
    | bfdot, vdpbf16ps | 32 | 2          | bf16                                        |
    | fmla_f16  | 32   | 2               | f16                                         |

    The scales of a panel lie side by side, 4 bytes each, whatever the word. The op that
    made x may have left the largest |x| of each token in `largest`, which int8 would
    look for otherwise.

    Constraints:

    - C1: the result is x with ceil(K / inputs per word) features of i32 or i64, of int8
      one more; a single token may lie in wider panels than x.
    - C2: `largest` is row-major f32, and the dot one of int8.

    Example: `%q = rt3_kernel.quantize sdot %x : (!rt3_kernel.buffer<tensor<?x8xf32>, 12>)
    -> !rt3_kernel.buffer<tensor<?x3xi32>, 12>`
  }];
  let assemblyFormat = [{
    $dot $x (`largest` $largest^)? (`at` $place^)? attr-dict `:` functional-type(operands, results)
  }];
}

def LinearOp : Kernel_FillOp<"linear", (ins StrAttr:$layer, Kernel_Buffer:$x,
    Optional<Kernel_Buffer>:$bias, Optional<Kernel_Buffer>:$residual,
    Optional<Kernel_Buffer>:$scales, Optional<Kernel_Buffer>:$offsets,
    Optional<Kernel_Buffer>:$largest,
    OptionalAttr<Kernel_DotAttr>:$dot, Kernel_TileAttr:$tile, ArrayAttr:$streams,
    OptionalAttr<Kernel_FunctionAttr>:$activation),
    [AttrSizedOperandSegments,
     DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A linear layer on packed weights, in panels";
  let description = [{
    Computes `activation(x W + bias) + residual`, where W is the sum of the
    streams. With `dot`, x and the values of streams are words. Under a dot of int8
    the result is `activation(sx scales (offsets + x W) + bias) + residual`, sums
    exact in i32; bfdot and vdpbf16ps sum in f32, fmla_f16 in f16 within a segment, of
    a single token in f32. `largest` is as in
    rt3_kernel.layer_norm. Constraints:

    - C1: x and the result lie in panels of the tile's size; or the result in a
      panel of 1, and x too, or in one of as many tokens as the tile has vectors,
      by which the indices of streams are scaled, if a stream is sparse.
    - C2: there is at least one stream, and all of them are streams.
    - C3: the rows of a sparse stream are a multiple of its pass, and its pass is
      not larger than the rows of the tile; its unroll is a power of two.
    - C4: residual has the type of the result.
    - C5: streams name weights.
    - C6: the parts of all streams are of one number, for each range.
    - C7: values have the size of a word of `dot`, or without it 4 or 2 bytes.
    - C8: with `dot`, x consists of its words, without of f32; there are scales and
      offsets if it is one of int8.
    - C9: `largest` is row-major f32, and there is an activation or a residual.

    Example: `%y = rt3_kernel.linear "q" %x tile = #rt3_kernel.tile<rows = 4,
    vectors = 3, lanes = 8, isa = avx2> streams = [#rt3_kernel.stream<weights = @w,
    rows = 4, columns = 1, range = 8, pass = 4, gathered = false, patterns =
    array<i64>>] : (!rt3_kernel.buffer<tensor<?x8xf32>, 24>)
    -> !rt3_kernel.buffer<tensor<?x8xf32>, 24>`
  }];
  let assemblyFormat = [{
    $layer $x (`bias` $bias^)? (`residual` $residual^)? (`scales` $scales^)?
    (`offsets` $offsets^)? (`largest` $largest^)? (`activation` $activation^)? (`dot` $dot^)? `tile` `=` $tile `streams` `=` $streams
    (`at` $place^)? attr-dict `:` functional-type(operands, results)
  }];
}

def AppendOp : Kernel_FillOp<"append", (ins Kernel_Buffer:$x, I64Attr:$slot)> {
  let summary = "Tokens of this run behind those of earlier runs";
  let description = [{
    Writes the tokens of x into the state, from the position of the run on, and
    gives the whole buffer. Slots are numbered from 0; the same slot has the same
    place in every function. Constraints:

    - C1: x and the result lie in panels and have one number of features.
    - C2: the result is static and f32, with a batch of 1.

    Example: `%y = rt3_kernel.append %x slot = 0 : !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>
    -> !rt3_kernel.buffer<tensor<1x512x8xf32>, 24>`
  }];
  let assemblyFormat = [{
    $x `slot` `=` $slot (`at` $place^)? attr-dict `:` type($x) `->` type($result)
  }];
}

def RotaryOp : Kernel_FillOp<"rotary", (ins Kernel_Buffer:$x,
    Kernel_Buffer:$cos, Kernel_Buffer:$sin, I64Attr:$heads)> {
  let summary = "Rotary position embedding, in panels";
  let description = [{
    As rt3_graph.rotary says. Constraints:

    - C1: x and the result have one type; all buffers lie in panels of one width.

    Example: `%y = rt3_kernel.rotary %x, %c, %c heads = 2
    : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, !rt3_kernel.buffer<tensor<?x4xf32>, 24>,
    !rt3_kernel.buffer<tensor<?x4xf32>, 24>) -> !rt3_kernel.buffer<tensor<1x?x8xf32>, 24>`
  }];
  let assemblyFormat = [{
    $x `,` $cos `,` $sin `heads` `=` $heads (`at` $place^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def AttentionOp : Kernel_FillOp<"attention", (ins Kernel_Buffer:$q,
    Kernel_Buffer:$k, Kernel_Buffer:$v, Optional<Kernel_Buffer>:$mask,
    Kernel_Buffer:$scores, Kernel_TileAttr:$tile, I64Attr:$heads,
    F32Attr:$scale, UnitAttr:$causal, UnitAttr:$cached)> {
  let summary = "Attention of several heads, in panels";
  let description = [{
    As rt3_graph.attention says. `scores` is scratch memory for one panel of queries
    against all keys. With `cached`, k and v hold the tokens of earlier runs too, and
    queries begin at the position of the run. Constraints:

    - C1: q and the result have one type, in panels of the tile's size or of 1; k
      and v have one type, in panels of the tile's size, and if not `cached` the
      tokens of q.
    - C2: the mask is row-major and has four axes.
    - C3: q in a panel of 1 is `cached`.

    Example: `%y = rt3_kernel.attention %q, %q, %q scratch %s heads = 2 scale = 1.0
    tile = #rt3_kernel.tile<rows = 4, vectors = 3, lanes = 8, isa = avx2>
    : (!rt3_kernel.buffer<tensor<1x?x8xf32>, 24>, ...)`
  }];
  let assemblyFormat = [{
    $q `,` $k `,` $v (`mask` $mask^)? `scratch` $scores `heads` `=` $heads
    `scale` `=` $scale (`causal` $causal^)? (`cached` $cached^)? `tile` `=` $tile
    (`at` $place^)? attr-dict `:` functional-type(operands, results)
  }];
}

def ScratchOp : Kernel_FillOp<"scratch", (ins OptionalAttr<I64Attr>:$id)> {
  let summary = "Memory without content";
  let description = [{
    What one op leaves for another has an `id`, so that it is nobody else's.
    Constraints:

    - C1: the buffer is row-major.

    Example: `%s = rt3_kernel.scratch : !rt3_kernel.buffer<tensor<?x24xf32>, 0>`
  }];
  let assemblyFormat = "(`id` `=` $id^)? (`at` $place^)? attr-dict `:` type($result)";
}

#endif // RT3_DIALECTS_KERNEL_KERNEL
