// SPDX-License-Identifier: Apache-2.0
//
// Every pass, in alphabetical order. Their order of work is in Pipelines.cpp.

#ifndef RT3_CODEGEN_PASSES
#define RT3_CODEGEN_PASSES

include "mlir/Pass/PassBase.td"

def AddCachePass : Pass<"rt3-add-cache", "func::FuncOp"> {
  let summary = "Lets runs continue the text of the runs before";
  let description = [{
    In a module with `rt3_graph.context`: causal attention keeps keys and values,
    iota counts from the position of the run, and rows of tables are taken from
    there. Fails, and says where, if anything else mixes tokens.

    ```mlir
    %p = rt3_graph.iota 0 step 1 : tensor<?xi64>
    %y = rt3_graph.attention %q, %k, %v heads = 4 scale = 1.0 causal
    ```

    becomes

    ```mlir
    %p = rt3_graph.iota 0 step 1 positions : tensor<?xi64>
    %y = rt3_graph.attention %q, %k, %v heads = 4 scale = 1.0 causal cache = 0
    ```
  }];
}

def ChooseKernelsPass : Pass<"rt3-choose-kernels", "ModuleOp"> {
  let summary = "Makes layers dense where pruned weights would not be faster";
  let description = [{
    Compares the predicted cycles of each pruned layer with those of the dense
    one and replaces `levels` by a dense encoding that says why, or keeps it.
    The prediction stays with the layer for reports. `rt3_graph.kernel` of a layer
    ("rows:4,unroll:1") leaves it those kernels to choose from.

    ```mlir
    rt3_graph.linear "q" %x, %w levels [#rt3_graph.block<...>]
    ```

    becomes, if three quarters of the weights are kept in a layer of one output,

    ```mlir
    rt3_graph.linear "q" %x, %w levels [#rt3_graph.dense<"dense is predicted ...">]
      {rt3_graph.predicted_cycles = ...}
    ```
  }];
  let options = [
    Option<"device", "device", "std::string", "", "Device to predict for">,
    Option<"keepsSparse", "keep-sparse", "bool", "false",
           "Keep pruned layers sparse whatever is predicted">,
  ];
}

def CloneFunctionForTokenPass
    : Pass<"rt3-clone-function-for-token", "ModuleOp"> {
  let summary = "Gives runs of a single token code of their own";
  let description = [{
    In a module with `rt3_graph.context`, each function gets a copy whose free
    dimension is 1; vectors then hold features instead of tokens.

    ```mlir
    func.func @main__low(%x: tensor<1x?xi64>) ...
    ```

    is followed by

    ```mlir
    func.func private @main__low__token(%x: tensor<1x1xi64>)
        attributes {rt3_graph.token_of = "main__low"} ...
    ```
  }];
}

def CloneFunctionPerLevelPass
    : Pass<"rt3-clone-function-per-level", "ModuleOp"> {
  let summary = "Gives every level its own copy of the model";
  let description = [{
    Each public function is copied for each `rt3_graph.level`, in their order,
    and the original goes. A linear layer keeps the encodings of its own level,
    and for nested levels of those below, whose union it is; a bias of its level's
    own becomes its operand.

    ```mlir
    rt3_graph.level @low ...
    rt3_graph.level @high ...
    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> { ... }
    ```

    becomes

    ```mlir
    func.func @main__low(%x: tensor<4xf32>) -> tensor<4xf32>
        attributes {rt3_graph.level = 0 : i64} { ... }
    func.func @main__high(%x: tensor<4xf32>) -> tensor<4xf32>
        attributes {rt3_graph.level = 1 : i64} { ... }
    ```
  }];
}

def ConvertGraphToKernelPass : Pass<"rt3-convert-graph-to-kernel", "ModuleOp"> {
  let summary = "Chooses layouts and packs weights";
  let description = [{
    Linear layers, attention and layer normalisation work on panels; so do
    functions of single elements between them. Everything else is row-major, and
    a pack stands at each border. Weights are packed into streams; equal bytes
    are stored once, which is how nested levels share theirs.

    ```mlir
    %y = rt3_graph.linear "q" %x, %w : ...
    ```

    becomes

    ```mlir
    %p = rt3_kernel.pack %x : ...
    %q = rt3_kernel.linear "q" %p bias %b tile = ... streams = [...] : ...
    %y = rt3_kernel.pack %q : ...
    ```
  }];
  let options = [
    Option<"device", "device", "std::string", "", "Device to lay out for">,
  ];
  let dependentDialects = ["kernel::KernelDialect"];
}

def ConvertKernelToLoopsPass : Pass<"rt3-convert-kernel-to-loops", "ModuleOp"> {
  let summary = "Turns each op into a call of a kernel made of vector loops";
  let description = [{
    Kernels are named by what they are, so that levels and layers that need the
    same code share it. The function of a level becomes

    ```mlir
    func.func @main__low(%call: !llvm.ptr)  // rt3_call_t
    ```

    and, of a module with `rt3_graph.context`, goes on in one of two functions: for
    a single token or for more.
  }];
  let dependentDialects = ["arith::ArithDialect", "LLVM::LLVMDialect",
                           "scf::SCFDialect", "vector::VectorDialect"];
}

def FuseAttentionPass : Pass<"rt3-fuse-attention", "func::FuncOp"> {
  let summary = "Finds attention in matmuls, transposes and a softmax";
  let description = [{
    `softmax(scale q kᵀ + mask) v` with heads split and joined by reshapes and
    transposes becomes one `rt3_graph.attention`, also with keys and values that are
    repeated for groups of heads. A mask that is a constant lower
    triangle becomes `causal`; one that is selected (where) is added instead. Heads
    that are turned by cosines and sines become `rt3_graph.rotary`.

    ```mlir
    %s = rt3_graph.matmul %q4, %k4
    %p = rt3_graph.softmax %s axis = 3
    %c = rt3_graph.matmul %p, %v4
    %t = rt3_graph.transpose %c [0, 2, 1, 3]
    %y = rt3_graph.reshape %t
    ```

    becomes `%y = rt3_graph.attention %q, %k, %v heads = 12 scale = 1.0`.
  }];
}

def FuseGeluPass : Pass<"rt3-fuse-gelu", "func::FuncOp"> {
  let summary = "Finds GELU and SiLU in products with erf, tanh or a sigmoid";
  let description = [{
    A product is compared with the functions at sample points, so that it does not matter
    how an exporter has written it.

    ```mlir
    %e = rt3_graph.unary erf %a
    %f = rt3_graph.binary add %e, %one
    %g = rt3_graph.binary mul %x, %f
    %y = rt3_graph.binary mul %g, %half
    ```

    becomes `%y = rt3_graph.unary gelu %x`.
  }];
}

def FuseLayerNormPass : Pass<"rt3-fuse-layer-norm", "func::FuncOp"> {
  let summary = "Finds layer normalisation in means, a root and a quotient";
  let description = [{
    Also without a mean that is subtracted (RMSNorm), then with `rms`.

    ```mlir
    %m = rt3_graph.reduce mean %x [2]
    %d = rt3_graph.binary sub %x, %m
    %q = rt3_graph.binary mul %d, %d
    %v = rt3_graph.reduce mean %q [2]
    %e = rt3_graph.binary add %v, %epsilon
    %r = rt3_graph.unary sqrt %e
    %n = rt3_graph.binary div %d, %r
    %s = rt3_graph.binary mul %n, %scale
    %y = rt3_graph.binary add %s, %bias
    ```

    becomes `%y = rt3_graph.layer_norm %x, %scale, %bias epsilon = ...`.
  }];
}

def FuseLinearPass : Pass<"rt3-fuse-linear", "func::FuncOp"> {
  let summary = "Makes linear layers, with bias, activation and residual";
  let description = [{
    A matmul by a constant becomes a linear layer; an added constant its bias,
    a function of it its activation, an added tensor its residual. A slice of
    its outputs becomes a layer of those outputs.

    ```mlir
    %a = rt3_graph.matmul %x, %w
    %b = rt3_graph.binary add %a, %bias
    %y = rt3_graph.unary gelu %b
    ```

    becomes `%y = rt3_graph.linear "name" %x, %w bias %bias activation gelu`.
  }];
}

def PlanMemoryPass : Pass<"rt3-plan-memory", "ModuleOp"> {
  let summary = "Gives every buffer and all weights their place";
  let description = [{
    Buffers whose lives do not overlap share workspace; the results of a function
    are written where the caller wants them. Weights get offsets in the bundle's
    section. The function carries the bytes of workspace that it needs.

    ```mlir
    %y = rt3_kernel.map exp %x : ...
    ```

    becomes

    ```mlir
    %y = rt3_kernel.map exp %x at #rt3_kernel.place<workspace, 0> : ...
    ```
  }];
}

def QuantizeLinearPass : Pass<"rt3-quantize-linear", "func::FuncOp"> {
  let summary = "Gives linear layers a precision";
  let description = [{
    Sets the precision of layers whose weights are constant; as `int8`, of at most 65536
    inputs. Weights are rounded if it is one of floats. Layers that `keep-f32` names (`*`
    at the end stands for any rest) are f32; others that are int8 already stay so. A name
    that no layer has is an error, and so is a weight that would become infinite.

    ```mlir
    rt3_graph.linear "q" %x, %w
    ```

    becomes

    ```mlir
    rt3_graph.linear "q" %x, %w as int8
    ```
  }];
  let options = [
    Option<"type", "type", "std::string", "\"int8\"", "f16, f16_sums, bf16 or int8">,
    ListOption<"keepF32", "keep-f32", "std::string", "Layers that stay f32">,
  ];
}

#endif // RT3_CODEGEN_PASSES
