#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the zeros of a pruned ONNX model come to: for each weight matrix the layout that
covers them, its fill-in and its predicted speed-up over dense.

  zeros.py MODEL.onnx [--target TARGET] [--tokens 128] [--type f32] [--out FOLDER]

Weights are those of MatMul, Gemm and Conv; a convolution, which rt3c does not compile,
stands as the matrix that multiplies its patches: channels and kernel positions by filters.
Sparse kernels are forced, and a speed-up of 1 or less means that rt3c would choose dense.
"""

import json
import pathlib
import sys

import numpy

from pruned_layers import ROOT, measure, parser

MIN_WEIGHTS = 4096  # rt3c prunes no smaller layer.


def fields(data):
    """Number and value of each field of a protobuf message: an integer, or bytes."""
    place = 0

    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(data):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield tag >> 3, data[place : place + size]
        place += size


def strings(message, number):
    return [value.decode() for field, value in message if field == number]


def read_weights(path):
    """Name of the node and weights [inputs][outputs] (https://onnx.ai/onnx/repo-docs/IR.html)."""
    graph = next((value for field, value in fields(path.read_bytes()) if field == 7), None)
    if graph is None:
        sys.exit(f"zeros.py: {path}: is no ONNX model")
    tensors, nodes = {}, []
    for field, value in fields(graph):
        message = list(fields(value)) if field in (1, 5) else []
        if field == 1:
            nodes.append((strings(message, 4)[0], (strings(message, 3) or strings(message, 2))[0], strings(message, 1), message))
        if field == 5 and (2, 1) in message:  # Of f32.
            raw = b"".join(part for number, part in message if number in (4, 9))
            tensors[strings(message, 8)[0]] = numpy.frombuffer(raw, "<f4").reshape([part for number, part in message if number == 1])
    for kind, name, inputs, message in nodes:
        weights = tensors.get(inputs[1]) if len(inputs) > 1 else None
        if weights is None or kind not in ("MatMul", "Gemm", "Conv"):
            continue
        if kind == "Conv":
            weights = weights.reshape(weights.shape[0], -1).T
        attributes = [list(fields(value)) for number, value in message if number == 5]
        if kind == "Gemm" and any(strings(own, 1) == ["transB"] and (3, 1) in own for own in attributes):
            weights = weights.T
        if weights.ndim == 2 and weights.size >= MIN_WEIGHTS:
            yield name, numpy.ascontiguousarray(weights)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("model", type=pathlib.Path)
    arguments.add_argument("--out", type=pathlib.Path, default=ROOT / "build/zeros")
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = list(measure(read_weights(options.model), options, options.out))
    print(f"{options.target}, {options.tokens} tokens, {options.type}\n")
    print("| layer | inputs x outputs | kept | layout | bytes stored per byte kept | predicted speed-up |\n|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['name']} | {row['inputs']} x {row['outputs']} | {100 * row['density']:.1f} % | {row['reason'] or row['kernel']} | "
              f"{row['stored_per_kept']:.2f} | {row['speedup']:.2f} |")
    (options.out / "zeros.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
