// SPDX-License-Identifier: Apache-2.0
//
// The rt3_graph dialect: what a pruned model computes. Types are builtin
// tensors; how a layer is stored and computed belongs to dialects/kernel.

#ifndef RT3_DIALECTS_GRAPH_GRAPH
#define RT3_DIALECTS_GRAPH_GRAPH

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Graph_Dialect : Dialect {
  let name = "rt3_graph";
  let cppNamespace = "::mlir::rt3::graph";
  let summary = "What a pruned model computes, at every level";
  let description = [{
    Values are ranked tensors of f32, i64, i32 or i1. A model may have one
    *free dimension*, the number of tokens, which is chosen at run time: it is
    written `?`, and every `?` of a module means the same number. The module
    carries its largest value as `rt3_graph.max_length`.

    The order of axes is that of ONNX; layouts are chosen later. Operands
    broadcast as in ONNX: shapes are aligned at their last axis, and an axis of
    size 1 repeats.
  }];
  let useDefaultAttributePrinterParser = 1;
}

//===-- Enumerations ------------------------------------------------------===//

class Graph_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::mlir::rt3::graph";
  let genSpecializedAttr = 0;
}
class Graph_EnumAttr<EnumAttrInfo info, string mnemonic>
    : EnumAttr<Graph_Dialect, info, mnemonic>;

def Graph_UnaryKind : Graph_Enum<"UnaryKind", "function of one number", [
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
]>;
def Graph_UnaryKindAttr : Graph_EnumAttr<Graph_UnaryKind, "unary_kind">;

def Graph_BinaryKind : Graph_Enum<"BinaryKind", "function of two numbers", [
  I32EnumAttrCase<"Add", 0, "add">, I32EnumAttrCase<"Sub", 1, "sub">,
  I32EnumAttrCase<"Mul", 2, "mul">, I32EnumAttrCase<"Div", 3, "div">,
  I32EnumAttrCase<"Max", 4, "max">, I32EnumAttrCase<"Min", 5, "min">,
  I32EnumAttrCase<"And", 6, "and">, I32EnumAttrCase<"Or", 7, "or">,
  I32EnumAttrCase<"Xor", 8, "xor">, I32EnumAttrCase<"Equal", 9, "equal">,
  I32EnumAttrCase<"Less", 10, "less">,
  I32EnumAttrCase<"LessEqual", 11, "less_equal">,
  I32EnumAttrCase<"Greater", 12, "greater">,
  I32EnumAttrCase<"GreaterEqual", 13, "greater_equal">,
]>;
def Graph_BinaryKindAttr : Graph_EnumAttr<Graph_BinaryKind, "binary_kind">;

def Graph_ReduceKind : Graph_Enum<"ReduceKind", "reduction", [
  I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Mean", 1, "mean">,
  I32EnumAttrCase<"Max", 2, "max">, I32EnumAttrCase<"Min", 3, "min">,
  I32EnumAttrCase<"Prod", 4, "prod">,
]>;
def Graph_ReduceKindAttr : Graph_EnumAttr<Graph_ReduceKind, "reduce_kind">;

def Graph_Precision : Graph_Enum<"Precision", "numbers that a layer multiplies", [
  I32EnumAttrCase<"F16", 0, "f16">, I32EnumAttrCase<"F16Sums", 1, "f16_sums">,
  I32EnumAttrCase<"BF16", 2, "bf16">, I32EnumAttrCase<"Int8", 3, "int8">,
]>;
def Graph_PrecisionAttr : Graph_EnumAttr<Graph_Precision, "precision">;

//===-- Weight encodings --------------------------------------------------===//

class Graph_Attr<string name, string mnemonic_> : AttrDef<Graph_Dialect, name> {
  let mnemonic = mnemonic_;
}

def Graph_DenseEncodingAttr : Graph_Attr<"DenseEncoding", "dense"> {
  let summary = "All weights of the layer are stored";
  let description = [{
    `reason` says why the layer is dense at this level; reports print it.

    Example: `#rt3_graph.dense<"embedding">`
  }];
  let parameters = (ins StringRefParameter<"why the layer is dense">:$reason);
  let assemblyFormat = "`<` $reason `>`";
}

def Graph_BlockEncodingAttr : Graph_Attr<"BlockEncoding", "block"> {
  let summary = "Block pruning: each group of outputs keeps its own inputs";
  let description = [{
    Outputs are cut into groups of `rows`; a group keeps whole columns (inputs).
    `mask` is a K x N tensor of i8 with 1 where the weight is kept. `weights` (K x N
    of f32) and `bias` (N of f32) are the values at this level; without them those
    of the layer.

    Example: `#rt3_graph.block<rows = 8, mask = dense<1> : tensor<16x8xi8>>`
  }];
  let parameters = (ins "int64_t":$rows, "::mlir::ElementsAttr":$mask,
                    OptionalParameter<"::mlir::ElementsAttr">:$weights,
                    OptionalParameter<"::mlir::ElementsAttr">:$bias);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Graph_PatternEncodingAttr : Graph_Attr<"PatternEncoding", "pattern"> {
  let summary = "Pattern pruning: every block keeps one pattern of a set";
  let description = [{
    Blocks are those of the pattern set, R outputs x C inputs. With `gathered`,
    a block's C inputs are any inputs that the group keeps, in rising order
    (patterns inside block-pruned columns); without it they are neighbours. The
    set holds the patterns that the level's blocks have, or with nested levels
    those of what they add to the level below.
    `mask` is a K x N tensor of i8 with 1 where the weight is kept; `weights` and
    `bias` as in a block encoding.

    Example:
    `#rt3_graph.pattern<set = @p, gathered = false, mask = dense<1> : tensor<16x8xi8>>`
  }];
  let parameters = (ins "::mlir::FlatSymbolRefAttr":$set, "bool":$gathered,
                    "::mlir::ElementsAttr":$mask,
                    OptionalParameter<"::mlir::ElementsAttr">:$weights,
                    OptionalParameter<"::mlir::ElementsAttr">:$bias);
  let assemblyFormat = "`<` struct(params) `>`";
}

//===-- Ops ---------------------------------------------------------------===//

def Graph_Tensor : RankedTensorOf<[F32, I64, I32, I1]>;
def Graph_FloatTensor : RankedTensorOf<[F32]>;

class Graph_Op<string mnemonic, list<Trait> traits = []>
    : Op<Graph_Dialect, mnemonic, traits> {
  let hasVerifier = 1;
}

def PatternSetOp : Graph_Op<"pattern_set", [Symbol]> {
  let summary = "The patterns of one level, or of a layer at it";
  let description = [{
    A symbol. Bit `c * rows + r` of a pattern is set if the weight of output r
    and input c of the block is kept.

    Constraints:

    - C1: `rows` and `columns` are at least 1 and rows x columns at most 64.
    - C2: there are 1 to 256 patterns.
    - C3: a pattern has no bit outside the block.
    - C4: patterns differ.

    Example: `rt3_graph.pattern_set @p rows = 8 columns = 1 [15, 240, 255]`
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$rows,
                   I64Attr:$columns, DenseI64ArrayAttr:$patterns);
  let assemblyFormat = [{
    $sym_name `rows` `=` $rows `columns` `=` $columns $patterns attr-dict
  }];
}

def LevelOp : Graph_Op<"level", [Symbol]> {
  let summary = "An operating point of the clock";
  let description = [{
    A symbol; the levels of a module are ordered, slowest clock first. Zero means
    unknown. Constraints:

    - C1: no number is negative.

    Example: `rt3_graph.level @low frequency_khz = 800000 voltage_uv = 900000 power_mw = 120`
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$frequency_khz,
                   I64Attr:$voltage_uv, I64Attr:$power_mw);
  let assemblyFormat = [{
    $sym_name `frequency_khz` `=` $frequency_khz `voltage_uv` `=` $voltage_uv
    `power_mw` `=` $power_mw attr-dict
  }];
}

def ConstantOp : Op<Graph_Dialect, "constant",
    [ConstantLike, Pure, AllTypesMatch<["value", "result"]>]> {
  let summary = "A tensor that is known";
  let description = [{
    Weights are dense resources, so that they are neither hashed nor printed in
    full. The result has the type of `value`.

    Example: `%w = rt3_graph.constant dense<1.0> : tensor<4x8xf32>`
  }];
  let arguments = (ins ElementsAttr:$value);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "attr-dict $value";
  let hasFolder = 1;
}

def UnaryOp : Graph_Op<"unary", [Pure, SameOperandsAndResultType]> {
  let summary = "A function of each element";
  let description = [{
    Computes `result[i] = kind(x[i])`. `gelu` is x/2 (1 + erf(x / sqrt 2)),
    `gelu_tanh` is x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), `silu` is
    x / (1 + exp(-x)), `round` goes to the nearest even. Constraints:

    - C1: `not` is for i1; abs and neg are for every type but i1; all others are
      for f32.

    Example: `%y = rt3_graph.unary erf %x : tensor<?x8xf32>`
  }];
  let arguments = (ins Graph_UnaryKindAttr:$kind, Graph_Tensor:$x);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$kind $x attr-dict `:` type($x)";
}

def BinaryOp : Graph_Op<"binary", [Pure]> {
  let summary = "A function of each pair of elements, with broadcasting";
  let description = [{
    Computes `result[i] = kind(lhs[i], rhs[i])`. Integer division goes towards
    zero. Constraints:

    - C1: both operands have one element type.
    - C2: the shapes broadcast to the shape of the result.
    - C3: the result is i1 for comparisons, else of the operands' type.
    - C4: and, or, xor are for i1; arithmetic is not.

    Example:
    `%y = rt3_graph.binary add %a, %b : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>`
  }];
  let arguments = (ins Graph_BinaryKindAttr:$kind, Graph_Tensor:$lhs,
                   Graph_Tensor:$rhs);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat =
      "$kind $lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
}

def SelectOp : Graph_Op<"select", [Pure]> {
  let summary = "One of two tensors, element by element";
  let description = [{
    Computes `result[i] = condition[i] ? on_true[i] : on_false[i]`. Constraints:

    - C1: both values and the result have one element type.
    - C2: the three shapes broadcast to the shape of the result.

    Example: `%y = rt3_graph.select %c, %a, %b
    : (tensor<4xi1>, tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>`
  }];
  let arguments = (ins RankedTensorOf<[I1]>:$condition, Graph_Tensor:$on_true,
                   Graph_Tensor:$on_false);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = [{
    $condition `,` $on_true `,` $on_false attr-dict
    `:` functional-type(operands, results)
  }];
}

def CastOp : Op<Graph_Dialect, "cast", [Pure, SameOperandsAndResultShape]> {
  let summary = "The same numbers in another element type";
  let description = [{
    To i1: whether the number differs from 0. Float to integer goes towards
    zero.

    Example: `%y = rt3_graph.cast %x : tensor<4xi64> -> tensor<4xf32>`
  }];
  let arguments = (ins Graph_Tensor:$x);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
}

def ReshapeOp : Graph_Op<"reshape", [Pure]> {
  let summary = "The same elements in the same order under another shape";
  let description = [{
    Constraints:

    - C1: the element type stays.
    - C2: the product of the static sizes stays, and so does the number of free
      dimensions.

    Example: `%y = rt3_graph.reshape %x : tensor<?x8xf32> -> tensor<1x?x2x4xf32>`
  }];
  let arguments = (ins Graph_Tensor:$x);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasFolder = 1;
}

def TransposeOp : Graph_Op<"transpose", [Pure]> {
  let summary = "Axes in another order";
  let description = [{
    Axis i of the result is axis `permutation[i]` of x. Constraints:

    - C1: `permutation` holds each axis of x once.
    - C2: the result has the permuted shape and the element type of x.

    Example: `%y = rt3_graph.transpose %x [1, 0] : tensor<4x?xf32> -> tensor<?x4xf32>`
  }];
  let arguments = (ins Graph_Tensor:$x, DenseI64ArrayAttr:$permutation);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat =
      "$x $permutation attr-dict `:` type($x) `->` type($result)";
  let hasFolder = 1;
}

def SliceOp : Graph_Op<"slice", [Pure]> {
  let summary = "A regular part of a tensor";
  let description = [{
    Computes `result[i, j, ...] = x[starts[0] + i steps[0], ...]`. Constraints:

    - C1: `starts` and `steps` have one entry per axis; the rank and element
      type stay.
    - C2: on an axis of static size, the first and last element lie inside x
      (for a free size of the result: at the maximum length, checked by the
      importer).
    - C3: no step is 0.

    Example: `%y = rt3_graph.slice %x [0, 4] [1, 1] : tensor<2x8xf32> -> tensor<2x4xf32>`
  }];
  let arguments = (ins Graph_Tensor:$x, DenseI64ArrayAttr:$starts,
                   DenseI64ArrayAttr:$steps);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat =
      "$x $starts $steps attr-dict `:` type($x) `->` type($result)";
}

def ConcatOp : Graph_Op<"concat", [Pure]> {
  let summary = "Tensors one after the other along an axis";
  let description = [{
    Constraints:

    - C1: there is at least one operand, and `axis` is an axis of the result.
    - C2: operands agree with the result but for the size of `axis`.
    - C3: the sizes of `axis` are static and add up.

    Example: `%y = rt3_graph.concat %a, %b axis = 0
    : (tensor<1xf32>, tensor<2xf32>) -> tensor<3xf32>`
  }];
  let arguments = (ins Variadic<Graph_Tensor>:$inputs, I64Attr:$axis);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = [{
    $inputs `axis` `=` $axis attr-dict `:` functional-type(operands, results)
  }];
}

def ExpandOp : Graph_Op<"expand", [Pure]> {
  let summary = "A tensor repeated along axes of size 1";
  let description = [{
    Constraints:

    - C1: the element type stays.
    - C2: the shape of x broadcasts to the shape of the result.

    Example: `%y = rt3_graph.expand %x : tensor<1x8xf32> -> tensor<?x8xf32>`
  }];
  let arguments = (ins Graph_Tensor:$x);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
}

def GatherOp : Graph_Op<"gather", [Pure]> {
  let summary = "Slices of a table, chosen by index";
  let description = [{
    Computes `result[a..., i..., b...] = table[a..., indices[i...], b...]` where
    a are the axes of `table` before `axis` and b those behind it. Negative
    indices count from the end; an index outside the table reads its nearest
    slice, because inputs are not to be trusted. Constraints:

    - C1: `axis` is an axis of `table`, of static size.
    - C2: the result has the shape above and the element type of `table`.

    Example: `%y = rt3_graph.gather %t, %i axis = 0
    : (tensor<100x8xf32>, tensor<1x?xi64>) -> tensor<1x?x8xf32>`
  }];
  let arguments = (ins Graph_Tensor:$table,
                   RankedTensorOf<[I64, I32]>:$indices, I64Attr:$axis);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = [{
    $table `,` $indices `axis` `=` $axis attr-dict
    `:` functional-type(operands, results)
  }];
}

def IotaOp : Graph_Op<"iota", [Pure]> {
  let summary = "The numbers start, start + step, ...";
  let description = [{
    Computes `result[i] = start + i step`; with `positions`, i counts the tokens
    of earlier runs too. Constraints:

    - C1: the result has one axis, with `positions` a free one or of a single token.

    Example: `%y = rt3_graph.iota 0 step 1 : tensor<?xi64>`
  }];
  let arguments = (ins I64Attr:$start, I64Attr:$step, UnitAttr:$positions);
  let results = (outs RankedTensorOf<[I64, I32]>:$result);
  let assemblyFormat =
      "$start `step` $step (`positions` $positions^)? attr-dict `:` type($result)";
}

def ReduceOp : Graph_Op<"reduce", [Pure]> {
  let summary = "One number for all elements along some axes";
  let description = [{
    The reduced axes stay, with size 1. Constraints:

    - C1: `axes` rise strictly and are axes of x.
    - C2: the result has size 1 on them, the sizes of x on the others, and the
      element type of x.
    - C3: i1 is not reduced, and mean is for f32.

    Example: `%y = rt3_graph.reduce mean %x [1] : tensor<4x8xf32> -> tensor<4x1xf32>`
  }];
  let arguments = (ins Graph_ReduceKindAttr:$kind, Graph_Tensor:$x,
                   DenseI64ArrayAttr:$axes);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat =
      "$kind $x $axes attr-dict `:` type($x) `->` type($result)";
}

def SoftmaxOp : Graph_Op<"softmax", [Pure, SameOperandsAndResultType]> {
  let summary = "exp(x) divided by its sum along an axis";
  let description = [{
    Computes `result[i] = exp(x[i] - max(x)) / sum over j of exp(x[j] - max(x))`
    along `axis`. Constraints:

    - C1: `axis` is an axis of x.

    Example: `%y = rt3_graph.softmax %x axis = 1 : tensor<4x8xf32>`
  }];
  let arguments = (ins Graph_FloatTensor:$x, I64Attr:$axis);
  let results = (outs Graph_FloatTensor:$result);
  let assemblyFormat = "$x `axis` `=` $axis attr-dict `:` type($x)";
}

def MatmulOp : Graph_Op<"matmul", [Pure]> {
  let summary = "Products of matrices, both known at run time only";
  let description = [{
    Computes `result[..., m, n] = sum over k of lhs[..., m, k] rhs[..., k, n]`.
    Constraints:

    - C1: both operands have at least two axes.
    - C2: K is one number.
    - C3: the result is M x N behind the broadcast leading axes.

    Example: `%y = rt3_graph.matmul %a, %b
    : (tensor<2x3x4xf32>, tensor<4x5xf32>) -> tensor<2x3x5xf32>`
  }];
  let arguments = (ins Graph_FloatTensor:$lhs, Graph_FloatTensor:$rhs);
  let results = (outs Graph_FloatTensor:$result);
  let assemblyFormat =
      "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
}

//===-- Layers ------------------------------------------------------------===//

include "Layers.td"

#endif // RT3_DIALECTS_GRAPH_GRAPH
