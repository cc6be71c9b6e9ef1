#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the Llama-type model stories260k as ONNX, and generates with it in plain numpy.

  write.py stories260K.bin model.onnx               ids int64 [1, length] -> logits
  write.py stories260K.bin --generate 60 --ids 1    greedy tokens, one line

The graph is what PyTorch exports of a Hugging Face Llama without a cache: RMSNorm
from Pow, ReduceMean and Sqrt; rotary angles from Range, MatMul, Cos and Sin, on halves
of heads (so the rows of Q and K, in pairs in the file, change places); keys and values
expanded to groups of heads; a causal mask from Range; SwiGLU from Sigmoid and Mul.
"""

import argparse
import pathlib
import struct
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from onnx_writer import Graph  # pylint: disable=wrong-import-position

BASE, EPSILON = 10000.0, 1e-5  # Of rotary angles; of RMSNorm.


class Weights:
    """The file of llama2.c (version 0): seven int32, then f32 tensors."""

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        self.width, self.hidden, self.layers, self.heads, self.key_heads, vocabulary, self.length = struct.unpack("7i", data[:28])
        if vocabulary <= 0:
            raise SystemExit(f"{path}: has a head of its own (vocabulary {vocabulary}), which this script does not read")
        self.size = self.width // self.heads
        values, keys = numpy.frombuffer(data, numpy.float32, offset=28), self.key_heads * self.size
        place = 0

        def take(*shape):
            nonlocal place
            count = int(numpy.prod(shape))
            place += count
            return values[place - count : place].reshape(shape)

        self.tokens = take(vocabulary, self.width)
        self.attention_norm = take(self.layers, self.width)
        self.q = take(self.layers, self.width, self.width)
        self.k = take(self.layers, keys, self.width)
        self.v = take(self.layers, keys, self.width)
        self.o = take(self.layers, self.width, self.width)
        self.ffn_norm = take(self.layers, self.width)
        self.gate = take(self.layers, self.hidden, self.width)
        self.down = take(self.layers, self.width, self.hidden)
        self.up = take(self.layers, self.hidden, self.width)
        self.norm = take(self.width)
        if place + self.length * self.size != values.size:
            raise SystemExit(f"{path}: {values.size} numbers, expected {place + self.length * self.size}")


def halves(weights, heads):
    """Rows of each head from pairs (0, 1), (2, 3) ... to halves 0, 2 ... 1, 3 ..."""
    rows, width = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, width).transpose(0, 2, 1, 3).reshape(rows, width)


def write(w, path):
    g = Graph(17)
    integer = lambda name, *values: g.constant(name, numpy.array(values, numpy.int64))
    scalar = lambda name, value: g.constant(name, numpy.array(value, numpy.int64))
    number = lambda name, value: g.constant(name, numpy.float32(value))
    ids = g.input("ids", "int64", [1, "length"])
    vocabulary, half = len(w.tokens), w.size // 2

    length = g.op("Gather", g.op("Shape", ids), scalar("one_index", 1), axis=0)
    positions = g.op("Range", scalar("zero", 0), length, scalar("step", 1))
    column = g.op("Unsqueeze", g.op("Cast", positions, to=1), integer("axis1", 1))
    frequencies = (1 / BASE ** (numpy.arange(half, dtype=numpy.float32) / half)).reshape(1, half)
    angles = g.op("MatMul", column, g.constant("frequencies", frequencies))
    angles = g.op("Unsqueeze", g.op("Concat", angles, angles, axis=1), integer("axes01", 0, 1))
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)
    later = g.op("Greater", g.op("Unsqueeze", positions, integer("axis0", 0)), g.op("Unsqueeze", positions, integer("axis1b", 1)))
    mask = g.op("Where", later, number("lowest", -3.4028235e38), number("nothing", 0))
    mask = g.op("Unsqueeze", mask, integer("axes01b", 0, 1))

    one, two, epsilon, last = number("one", 1), number("two", 2), number("epsilon", EPSILON), integer("last", 3)
    begin, middle, end = integer("begin", 0), integer("middle", half), integer("end", 2**62)

    def norm(x, name, scale):
        root = g.op("Sqrt", g.op("Add", g.op("ReduceMean", g.op("Pow", x, two), axes=[-1]), epsilon))
        return g.op("Mul", g.constant(name, scale), g.op("Mul", x, g.op("Div", one, root)))

    def linear(x, name, weights):
        return g.op("MatMul", x, g.constant(name, numpy.ascontiguousarray(weights.T)), name=f"/{name}/MatMul")

    def split(x, name, heads):
        return g.op("Transpose", g.op("Reshape", x, integer(name, 1, -1, heads, w.size)), perm=[0, 2, 1, 3])

    def rotate(x):
        turned = g.op("Concat", g.op("Neg", g.op("Slice", x, middle, end, last)), g.op("Slice", x, begin, middle, last), axis=-1)
        return g.op("Add", g.op("Mul", x, cos), g.op("Mul", turned, sin))

    def repeat(x, name):
        shape = g.op("Concat", integer(f"{name}.a", 1, w.key_heads, w.heads // w.key_heads),
                     g.op("Unsqueeze", length, integer(f"{name}.axis", 0)), integer(f"{name}.b", w.size), axis=0)
        x = g.op("Expand", g.op("Unsqueeze", x, integer(f"{name}.c", 2)), shape)
        return g.op("Reshape", x, integer(f"{name}.d", 1, w.heads, -1, w.size))

    x = g.op("Gather", g.constant("tokens", w.tokens), ids)
    for i in range(w.layers):
        y = norm(x, f"{i}.attention_norm", w.attention_norm[i])
        q = rotate(split(linear(y, f"{i}.q", halves(w.q[i], w.heads)), f"{i}.qs", w.heads))
        k = rotate(split(linear(y, f"{i}.k", halves(w.k[i], w.key_heads)), f"{i}.ks", w.key_heads))
        v = split(linear(y, f"{i}.v", w.v[i]), f"{i}.vs", w.key_heads)
        k, v = repeat(k, f"{i}.kr"), repeat(v, f"{i}.vr")
        scores = g.op("Div", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), number(f"{i}.root", w.size**0.5))
        y = g.op("MatMul", g.op("Softmax", g.op("Add", scores, mask), axis=-1), v)
        y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), integer(f"{i}.join", 1, -1, w.width))
        x = g.op("Add", x, linear(y, f"{i}.o", w.o[i]))
        y = norm(x, f"{i}.ffn_norm", w.ffn_norm[i])
        gate = linear(y, f"{i}.gate", w.gate[i])
        y = g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), linear(y, f"{i}.up", w.up[i]))
        x = g.op("Add", x, linear(y, f"{i}.down", w.down[i]))
    x = norm(x, "norm", w.norm)
    logits = g.op("MatMul", x, g.constant("head", numpy.ascontiguousarray(w.tokens.T)), name="logits")
    g.output(logits, "float32", [1, "length", vocabulary])
    g.save(path)


def forward(w, ids):
    """Logits of the last token, as llama2.c computes them: pairs turned, no cache."""
    positions = numpy.arange(len(ids))
    angles = positions[:, None] / BASE ** (numpy.arange(0, w.size, 2) / w.size)
    turn = numpy.exp(1j * angles)[:, None, :]

    def norm(x, scale):
        return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * scale

    def rotate(x):
        pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
        return numpy.stack([pairs.real, pairs.imag], -1).reshape(x.shape)

    x = w.tokens[ids].astype(float)
    for i in range(w.layers):
        y = norm(x, w.attention_norm[i])
        q = rotate((y @ w.q[i].T).reshape(len(ids), w.heads, w.size))
        k = rotate((y @ w.k[i].T).reshape(len(ids), w.key_heads, w.size))
        v = (y @ w.v[i].T).reshape(len(ids), w.key_heads, w.size)
        k, v = (numpy.repeat(part, w.heads // w.key_heads, axis=1) for part in (k, v))
        scores = numpy.einsum("ihd,jhd->hij", q, k) / w.size**0.5
        scores[:, positions[:, None] < positions[None, :]] = -numpy.inf
        powers = numpy.exp(scores - scores.max(-1, keepdims=True))
        y = numpy.einsum("hij,jhd->ihd", powers / powers.sum(-1, keepdims=True), v)
        x = x + y.reshape(len(ids), w.width) @ w.o[i].T
        y = norm(x, w.ffn_norm[i])
        gate = y @ w.gate[i].T
        x = x + (gate / (1 + numpy.exp(-gate)) * (y @ w.up[i].T)) @ w.down[i].T
    return norm(x[-1], w.norm) @ w.tokens.T


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--generate", type=int, default=0)
    parser.add_argument("--ids", type=int, nargs="*", default=[1])
    options = parser.parse_args()
    weights = Weights(options.weights)
    if options.model:
        write(weights, options.model)
    ids = list(options.ids)
    for _ in range(options.generate):
        ids.append(int(forward(weights, ids).argmax()))
    if options.generate:
        print(*ids[len(options.ids) :])


if __name__ == "__main__":
    main()
