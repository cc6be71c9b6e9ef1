#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes benchmark models with random weights; with --int8 last, linear layers as
ONNX Runtime's dynamic quantisation writes them, from the same weights.

  write.py linear KxN FILE            one linear layer with bias, [1, length, K] -> [1, length, N]
  write.py encoder LxWxF FILE         L BERT layers of width W (heads of 64), feed-forward F, on [1, length, W]
  write.py distilbert FILE            DistilBERT-base: embeddings of 30522 words, 6 layers of 768 x 3072
"""

import math
import pathlib
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/models"))
from onnx_writer import Graph  # noqa: E402

HEAD, POSITIONS, WORDS = 64, 512, 30522
INT8 = "--int8" in sys.argv
if INT8:
    sys.argv.remove("--int8")


def weights(random, *shape):
    return (random.standard_normal(shape, dtype=numpy.float32) / math.sqrt(shape[0])).astype(numpy.float32)


def linear(graph, random, x, name, inputs, outputs):
    values = weights(random, inputs, outputs)
    if INT8:
        scales = abs(values).max(axis=0) / 127
        quantized, scale, zero = graph.op("DynamicQuantizeLinear", x, name=f"{name}.x", outputs=3)
        quanta = graph.constant(f"{name}.weight", numpy.rint(values / scales).astype(numpy.int8))
        zeros = graph.constant(f"{name}.zero", numpy.zeros(outputs, numpy.int8))
        sums = graph.op("Cast", graph.op("MatMulInteger", quantized, quanta, zero, zeros), to=1)
        product = graph.op("Mul", sums, graph.op("Mul", scale, graph.constant(f"{name}.scale", scales)))
    else:
        product = graph.op("MatMul", x, graph.constant(f"{name}.weight", values), name=f"{name}.matmul")
    return graph.op("Add", product, graph.constant(f"{name}.bias", 0.1 * weights(random, outputs)), name=name)


def layer_norm(graph, random, x, name, width):
    scale = 1 + 0.1 * weights(random, width)
    return graph.op("LayerNormalization", x, graph.constant(f"{name}.scale", scale.astype(numpy.float32)),
                    graph.constant(f"{name}.bias", 0.1 * weights(random, width)), name=name, axis=-1, epsilon=1e-12)


def encoder(graph, random, x, layers, width, inner):
    """As PyTorch exports BERT's layers: scores scaled by division, GELU by erf."""
    heads = width // HEAD
    split = graph.constant("split", numpy.array([0, 0, heads, HEAD], numpy.int64))
    merge = graph.constant("merge", numpy.array([0, 0, width], numpy.int64))
    scale, two = graph.constant("scale", math.sqrt(HEAD)), graph.constant("sqrt_two", math.sqrt(2.0))
    one, half = graph.constant("one", 1.0), graph.constant("half", 0.5)
    for i in range(layers):
        parts = [graph.op("Transpose", graph.op("Reshape", linear(graph, random, x, f"{i}.{part}", width, width), split),
                          perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]) for part in "qkv"]
        scores = graph.op("Softmax", graph.op("Div", graph.op("MatMul", parts[0], parts[1]), scale), axis=-1)
        context = graph.op("Reshape", graph.op("Transpose", graph.op("MatMul", scores, parts[2]), perm=[0, 2, 1, 3]), merge)
        x = layer_norm(graph, random, graph.op("Add", linear(graph, random, context, f"{i}.out", width, width), x), f"{i}.ln1", width)
        up = linear(graph, random, x, f"{i}.up", width, inner)
        gelu = graph.op("Mul", graph.op("Mul", up, graph.op("Add", graph.op("Erf", graph.op("Div", up, two)), one)), half)
        x = layer_norm(graph, random, graph.op("Add", linear(graph, random, gelu, f"{i}.down", inner, width), x), f"{i}.ln2", width)
    return x


def main():
    if len(sys.argv) != (3 if "distilbert" in sys.argv[1:2] else 4):
        sys.exit(__doc__)
    kind, path = sys.argv[1], sys.argv[-1]
    graph, random = Graph(), numpy.random.default_rng(1)
    if kind == "linear":
        inputs, outputs = map(int, sys.argv[2].split("x"))
        x = graph.input("x", "float32", [1, "length", inputs])
        graph.output(linear(graph, random, x, "y", inputs, outputs), "float32", [1, "length", outputs])
    elif kind == "encoder":
        layers, width, inner = map(int, sys.argv[2].split("x"))
        x = graph.input("x", "float32", [1, "length", width])
        graph.output(encoder(graph, random, x, layers, width, inner), "float32", [1, "length", width])
    elif kind == "distilbert":
        width = 768
        ids = graph.input("input_ids", "int64", [1, "length"])
        words = graph.op("Gather", graph.constant("words", weights(random, WORDS, width)), ids, axis=0)
        length = graph.op("Gather", graph.op("Shape", ids), graph.constant("second", numpy.array([1], numpy.int64)), axis=0)
        places = graph.op("Slice", graph.constant("places", numpy.arange(POSITIONS, dtype=numpy.int64)[None]),
                          graph.constant("zero", numpy.array([0], numpy.int64)), length,
                          graph.constant("axis", numpy.array([1], numpy.int64)))
        positions = graph.op("Gather", graph.constant("positions", weights(random, POSITIONS, width)), places, axis=0)
        x = layer_norm(graph, random, graph.op("Add", words, positions), "embeddings", width)
        graph.output(encoder(graph, random, x, 6, width, 3072), "float32", [1, "length", width])
    else:
        sys.exit(__doc__)
    graph.save(path)


if __name__ == "__main__":
    main()
