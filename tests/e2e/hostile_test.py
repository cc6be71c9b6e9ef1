#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Models made to hurt: small files that ask for much, names that collide.

  hostile_test.py RT3C SCRATCH_FOLDER
"""

import resource
import subprocess
import unittest

import numpy

import run_rt3c
from run_rt3c import RT3C, SCRATCH, Graph, folder, levels_file, rt3c, write_ids


class HostileModelTest(unittest.TestCase):
    """Small files that ask for much: nothing in a file may take over 2 GiB, or
    more than seconds."""

    def check(self, name, graph, code=0):
        path = folder("hostile") / f"{name}.onnx"
        graph.save(path)

        def limit():
            resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))

        result = subprocess.run([RT3C, "check", path], preexec_fn=limit, timeout=30, capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def test_many_inputs(self):
        graph = Graph()
        for i in range(20000):
            graph.input(f"x{i}", "float32", [1, 4])
        graph.output(graph.op("Relu", "x0"), "float32", [1, 4])
        self.check("inputs", graph)

    def test_constants_that_fold_to_much(self):
        graph = Graph()
        x = graph.input("x", "float32", [1, 4096])
        value = graph.op("Expand", graph.constant("one", 1.0), graph.constant("shape", numpy.array([4096, 4096])))
        for _ in range(30):
            value = graph.op("MatMul", value, value)
        graph.output(graph.op("MatMul", x, value), "float32", [1, 4096])
        self.assertIn("constant ops stay for run time", self.check("products", graph).stdout)

    def test_weights_that_are_used_often(self):
        graph = Graph()
        x = graph.input("x", "float32", [1, 1000])
        w = graph.constant("w", numpy.ones([1000, 1000], numpy.float32))
        for i in range(400):
            scaled = graph.op("Mul", w, graph.constant(f"c{i}", float(i)))
            x = graph.op("MatMul", x, graph.op("Transpose", scaled, perm=[1, 0]))
        graph.output(x, "float32", [1, 1000])
        self.check("weights", graph)

    def test_values_that_double_with_every_node(self):
        graph = Graph()
        x = graph.input("x", "float32", [1, 16])
        y = graph.op("Erf", x)
        for _ in range(3000):
            y = graph.op("Mul", graph.op("Add", y, y), x)
        graph.output(y, "float32", [1, 16])
        self.check("doubling", graph)

    def test_products_of_constants(self):
        """A long chain, and a constant that is squared again and again."""
        graph = Graph()
        x = graph.input("x", "float32", [1, 16])
        half = graph.constant("half", numpy.full([1], 0.5, numpy.float32))
        for _ in range(50000):
            x = graph.op("Mul", x, half)
        graph.output(x, "float32", [1, 16])
        self.check("chain", graph)
        graph = Graph()
        x = graph.input("x", "float32", [1, 16])
        shape = graph.constant("shape", numpy.array([1 << 17]))
        for i in range(200):  # Takes the budget of folding.
            graph.op("Expand", graph.constant(f"c{i}", float(i)), shape, name=f"e{i}")
        m = graph.constant("m", numpy.full([1], 1.0, numpy.float32))
        for _ in range(60):
            m = graph.op("Mul", m, m)
        graph.output(graph.op("Mul", x, m), "float32", [1, 16])
        self.check("squares", graph)

    def test_slices_of_one_layer(self):
        graph = Graph()
        x = graph.input("x", "float32", [1, 100])
        y = graph.op("MatMul", x, graph.constant("w", numpy.ones([100, 10000], numpy.float32)))
        axis, total = graph.constant("axis", numpy.array([1])), None
        for i in range(2000):
            part = graph.op("Slice", y, graph.constant(f"s{i}", numpy.array([i])), graph.constant(f"e{i}", numpy.array([i + 5000])), axis)
            total = graph.op("Add", total, part) if total else part
        graph.output(total, "float32", [1, 5000])
        self.check("slices", graph)

    def test_one_list_in_many_nodes(self):
        graph = Graph()
        x = graph.input("x", "float32", [1, 16])
        known = graph.constant("known", numpy.arange(4096))
        for _ in range(60000):
            known = graph.op("Identity", known)
        graph.output(graph.op("Relu", x), "float32", [1, 16])
        result = self.check("lists", graph, code=3)
        self.assertIn("integers are computed while importing", result.stderr)

    def test_integers_that_leave_their_type(self):
        """INT32_MAX + 5 wraps at run time; folding leaves it there."""
        graph, out = Graph(), folder("wraps")
        x = graph.input("x", "int64", [1, 1])
        large = graph.constant("large", numpy.array([[2**31 - 1]], numpy.int32))
        total = graph.op("Add", large, graph.constant("five", numpy.array([[5]], numpy.int32)))
        total = graph.op("Expand", total, graph.constant("wide", numpy.array([1, 5000])))
        total = graph.op("ReduceMax", total, keepdims=1)
        graph.output(graph.op("Add", x, graph.op("Cast", total, to=7), name="y"), "int64", [1, 1])
        graph.save(out / "wraps.onnx")
        rt3c(out / "wraps.onnx", "--target", "x86-64-v3", "-o", out / "out")
        write_ids(out / "x.npy", 1, 0, 1, 0)
        rt3c("run", out / "out", f"--input=x={out}/x.npy", "-o", out)
        self.assertEqual(numpy.load(out / "y.npy").tolist(), [[-(2**31) + 4]])

    def test_weights_in_constant_nodes(self):
        """Count like initializers: dequantised weights may be four times as large."""
        graph, out = Graph(), folder("constants")
        x = graph.input("x", "float32", [1, 4096])
        quanta = graph.op("Identity", graph.constant("w", numpy.ones([4096, 5000], numpy.int8)))
        w = graph.op("DequantizeLinear", quanta, graph.constant("scale", numpy.float32(0.5)))
        graph.output(graph.op("MatMul", x, w), "float32", [1, 5000])
        self.check("dequantised", graph)

    def test_products_that_are_scaled_again_and_again(self):
        graph = Graph()
        q, scale, zero = graph.op("DynamicQuantizeLinear", graph.input("x", "float32", [1, 1000]), outputs=3)
        y = graph.op("Cast", graph.op("MatMulInteger", q, graph.constant("w", numpy.ones([1000, 1000], numpy.int8)), zero), to=1)
        for i in range(3000):
            y = graph.op("Mul", y, graph.constant(f"c{i}", 1.0))
        graph.output(graph.op("Mul", y, scale), "float32", [1, 1000])
        self.check("scaled", graph)

    def test_two_free_dimensions_are_not_one(self):
        graph = Graph()
        graph.output(graph.op("Relu", graph.input("x", "float32", ["batch", "length", 8])), "float32", ["batch", "length", 8])
        path = folder("hostile") / "free.onnx"
        graph.save(path)
        other = Graph()
        for name, dims in (("x", ["a", 8]), ("y", ["b", "c", 8])):
            other.output(other.op("Relu", other.input(name, "float32", dims)), "float32", dims)
        other.save(path.with_name("other.onnx"))
        for file, shape in ((path, ["x=1..4x1..4x8"]), (path, ["batch=1..4", "length=1..4"]),
                            (path.with_name("other.onnx"), ["x=1..4x8", "y=1..4x1..4x8"])):
            result = rt3c("check", file, *[f"--shape={each}" for each in shape], code=2)
            self.assertIn("two different dimensions are free", result.stderr)
        # What is proposed is taken: of several dimensions one is free, and those of its name.
        for names, proposed in ((["batch", "a", "b"], "1x1..128x128"), (["batch", "n", "n"], "1x1..128x1..128")):
            third = Graph()
            third.output(third.op("Relu", third.input("x", "float32", names)), "float32", names)
            third.save(path.with_name("third.onnx"))
            self.assertIn(f"free dimension, --shape x={proposed}", rt3c("check", path.with_name("third.onnx"), code=2).stderr)
            rt3c("check", path.with_name("third.onnx"), "--shape", f"x={proposed}")

    def test_a_free_dimension_before_another_is_the_users_to_fix(self):
        graph = Graph()
        x = graph.input("x", "float32", ["n", 4, 64])
        graph.output(graph.op("MatMul", x, graph.constant("w", numpy.ones([64, 64], numpy.float32))), "float32", ["n", 4, 64])
        path = folder("hostile") / "before.onnx"
        graph.save(path)
        result = rt3c(path, "--shape", "n=1..16", "-o", SCRATCH / "before", code=4)
        self.assertIn("fix all dimensions with --shape", result.stderr)
        self.assertNotIn("fault of rt3c", result.stderr)

    def test_large_integers_stay_exact(self):
        """2^53 + 1 is no double: folding must not round it."""
        graph, out = Graph(), folder("integers")
        x = graph.input("x", "int64", [1, 2])
        large = graph.constant("large", numpy.array([[2**53 + 1, -(2**62) - 1]]))
        same = graph.op("Reshape", graph.op("Transpose", large, perm=[1, 0]), graph.constant("shape", numpy.array([1, 2])))
        graph.output(graph.op("Add", x, same, name="y"), "int64", [1, 2])
        graph.save(out / "integers.onnx")
        rt3c(out / "integers.onnx", "--target", "x86-64-v3", "-o", out / "out")
        write_ids(out / "x.npy", 2, 0, 1, 0)
        rt3c("run", out / "out", f"--input=x={out}/x.npy", "-o", out)
        self.assertEqual(numpy.load(out / "y.npy").tolist(), [[2**53 + 1, -(2**62) - 1]])

    def test_names_that_look_the_same(self):
        """Each macro once, each result in a file of its own."""
        graph, out = Graph(), folder("names")
        for name in ("o.1", "o_1", "a", "a_size", "count"):
            x = graph.input(name, "float32", [1, 8])
            graph.output(graph.op("Relu", x, name=name + "."), "float32", [1, 8])
        graph.save(out / "names.onnx")
        levels = levels_file({"levels": [{"name": name, "scheme": "dense"} for name in ("low", "a", "size")]})
        rt3c(out / "names.onnx", "--target", "x86-64-v3", "--levels", levels, "-o", out / "out")
        macros = [line.split()[1].split("(")[0] for line in (out / "out/names.h").read_text().splitlines() if line.startswith("#define")]
        self.assertEqual(len(macros), len(set(macros)), sorted(macros))
        numpy.save(out / "x.npy", numpy.ones([1, 8], numpy.float32))
        names = ("o.1", "o_1", "a", "a_size", "count")
        written = rt3c("run", out / "out", "-o", out / "results", *[f"--input={name}={out}/x.npy" for name in names]).stdout.split()
        self.assertEqual(len(set(written)), 5)


if __name__ == "__main__":
    run_rt3c.main()
