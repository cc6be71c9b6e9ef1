#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Errors of elementary functions are as codegen/loops/VectorMath.h says, on every target of this machine.

  functions_test.py RT3C SCRATCH_FOLDER
"""

import math
import unittest

import numpy

import run_rt3c
from run_rt3c import TARGETS, Graph, folder, rt3c

COUNT = 65536
ERF = numpy.vectorize(math.erf)


def gelu(x):
    return 0.5 * x * (1 + ERF(x / math.sqrt(2)))


# ONNX's name, range of arguments, the function in double precision, and what its error is measured in.
FUNCTIONS = [
    ("Exp", (-87.3, 88.7), numpy.exp, 3.1e-7, lambda x, y: y),
    ("Exp", (-20, 20), numpy.exp, 1.3e-7, lambda x, y: y),
    ("Erf", (-6, 6), ERF, 5e-7, lambda x, y: 1),
    ("Tanh", (-12, 12), numpy.tanh, 5e-7, lambda x, y: 1),
    ("Sigmoid", (-30, 30), lambda x: 1 / (1 + numpy.exp(-x)), 5e-7, lambda x, y: 1),
    ("Gelu", (-9, 9), gelu, 5e-7, lambda x, y: abs(x)),
]


class FunctionsTest(unittest.TestCase):
    def test_errors_are_as_stated(self):
        out = folder("functions")
        graph, arguments = Graph(opset=20), []
        for i, (name, (low, high), *_) in enumerate(FUNCTIONS):
            x = graph.input(f"x{i}", "float32", [1, COUNT])
            graph.output(graph.op(name, x, name=f"y{i}"), "float32", [1, COUNT])
            arguments.append(numpy.linspace(low, high, COUNT, dtype=numpy.float32)[None])
            numpy.save(out / f"x{i}.npy", arguments[-1])
        graph.save(out / "model.onnx")
        for target in TARGETS:
            rt3c(out / "model.onnx", "--target", target, "-o", out / target)
            rt3c("run", out / target, *[f"--input=x{i}={out}/x{i}.npy" for i in range(len(FUNCTIONS))], "-o", out / "found")
            for i, (name, bounds, function, most, unit) in enumerate(FUNCTIONS):
                x = arguments[i].astype(numpy.float64)
                expected = function(x)
                found = numpy.load(out / "found" / f"y{i}.npy").astype(numpy.float64)
                scale = numpy.broadcast_to(unit(x, expected), x.shape)
                used = scale > 0
                error = numpy.max(abs(found - expected)[used] / scale[used])
                self.assertLessEqual(error, most, f"{name} from {bounds[0]} to {bounds[1]}, {target}")


if __name__ == "__main__":
    run_rt3c.main()
