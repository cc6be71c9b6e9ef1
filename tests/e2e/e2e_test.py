#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whole models through the program, as a user runs it.

  e2e_test.py RT3C SCRATCH_FOLDER

The sample model always; the models of ../shared/data where they are present.
"""

import array
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import unittest

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/models"))
from onnx_writer import Graph  # noqa: E402

MODEL = ROOT / "tests/models/byte-lm/byte-lm.onnx"
SHARED = ROOT.parent / "shared/data"
MINILM = SHARED / "models/minilm-l6-v2/model.onnx"
RT3C, SCRATCH = None, None
# What this machine can run.
FLAGS = pathlib.Path("/proc/cpuinfo").read_text()
TARGETS = ["x86-64-v3"] + ["x86-64-v4"] * ("avx512dq" in FLAGS) + ["x86-64-v4-vnni"] * ("avx512_vnni" in FLAGS)

NESTED = {
    "nested": True,
    "levels": [
        {"name": "low", "frequency_khz": 600000, "scheme": "bp+pp", "density": 0.3},
        {"name": "mid", "frequency_khz": 1200000, "scheme": "pp", "density": 0.5},
        {"name": "high", "frequency_khz": 1800000, "scheme": "dense"},
    ],
}
INDEPENDENT = {
    "nested": False,
    "levels": [
        {"name": "low", "scheme": "bp+pp", "density": 0.3, "pattern": {"rows": 8, "columns": 4, "count": 8}},
        {"name": "mid", "scheme": "pp", "density": 0.5, "pattern": {"rows": 8, "columns": 4, "count": 8}},
        {"name": "bp", "scheme": "bp", "density": 0.5},
        {"name": "high", "scheme": "dense"},
    ],
}


def rt3c(*arguments, code=0):
    result = subprocess.run([RT3C, *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == code, f"exit code {result.returncode}, expected {code}\n{result.stdout}{result.stderr}"
    return result


def folder(name):
    path = SCRATCH / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def levels_file(plan):
    path = SCRATCH / "levels.json"
    path.write_text(json.dumps(plan))
    return path


def write_ids(path, count, low, high, seed):
    generator = random.Random(seed)
    ids = array.array("q", (generator.randrange(low, high) for _ in range(count)))
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': (1, {count}), }}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + ids.tobytes())


def read_floats(path):
    data = path.read_bytes()
    floats = array.array("f")
    floats.frombytes(data[10 + int.from_bytes(data[8:10], "little"):])
    return floats


def run_onnxruntime(model, inputs, outputs):
    outputs.mkdir(exist_ok=True)
    subprocess.run(["node", ROOT / "benchmarks/baselines/onnxruntime.js", model, "--run", inputs, outputs], check=True)


class SampleModelTest(unittest.TestCase):
    def test_levels_match_the_interpreter_at_every_length(self):
        for name, plan in (("nested", NESTED), ("independent", INDEPENDENT)):
            levels, out = levels_file(plan), folder(name)
            rt3c(MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "--levels", levels, "-o", out)
            for length in (1, 7, 35, 128):
                rt3c("compare", MODEL, "--shape", "ids=1x1..128", "--levels", levels, "--with", out, "--length", length,
                     "--tolerance", "1e-5")

    def test_dense_matches_onnxruntime(self):
        out, inputs = folder("dense"), folder("inputs")
        rt3c(MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "-o", out)
        for length in (1, 7, 35, 128):
            write_ids(inputs / "ids.npy", length, 0, 256, length)
            run_onnxruntime(MODEL, inputs, folder("expected"))
            rt3c("run", out, "--input", f"ids={inputs}/ids.npy", "-o", SCRATCH / "found")
            found, expected = read_floats(SCRATCH / "found/logits.npy"), read_floats(SCRATCH / "expected/logits.npy")
            self.assertEqual(len(found), len(expected))
            # Logits reach 25, where a float has 2e-6: 1e-4 for unit scale.
            self.assertLess(max(abs(a - b) for a, b in zip(found, expected)), 1e-4)

    def test_two_runs_are_compared(self):
        out, inputs = folder("runs"), folder("inputs")
        rt3c(MODEL, "--shape", "ids=1x16", "--target", "x86-64-v3", "--levels", levels_file(NESTED), "-o", out)
        write_ids(inputs / "ids.npy", 16, 0, 256, 1)
        for level, name in (("low", "a"), ("low", "b"), ("high", "c")):
            rt3c("run", out, "--input", f"ids={inputs}/ids.npy", "--level", level, "-o", SCRATCH / name)
        rt3c("compare", "--runs", SCRATCH / "a", SCRATCH / "b", "--tolerance", "0")
        rt3c("compare", "--runs", SCRATCH / "a", SCRATCH / "c", code=6)
        rt3c("compare", code=2)

    def test_every_layer_is_compared(self):
        out, levels = folder("layers"), levels_file(NESTED)
        rt3c(MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "--levels", levels, "-o", out)
        arguments = ("compare", MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "--levels", levels, "--with", out,
                     "--length", "19", "--layers", "--json")
        rows = json.loads(rt3c(*arguments).stdout)
        report = json.loads((out / "byte_lm.report.json").read_text())
        for level in report["levels"]:
            compared = {row["output"] for row in rows if row["level"] == level["name"]}
            for layer in level["layers"]:
                # The last one's result is the model's.
                self.assertIn("logits" if "head" in layer["layer"] else "linear " + layer["layer"], compared)
        self.assertTrue(any(row["level"] == "(fused)" for row in rows))
        # f32 differs from double somewhere.
        rt3c(*arguments, "--tolerance", "0", code=6)

    def test_int8_is_close_to_f32_and_equal_to_the_interpreter(self):
        levels, inputs = levels_file(NESTED), folder("inputs")
        write_ids(inputs / "ids.npy", 64, 0, 256, 3)
        results = {}
        for kind in ("f32", "int8"):
            out = folder(f"typed-{kind}")
            rt3c(MODEL, "--shape", "ids=1x1..128", "--target", TARGETS[-1], "--type", kind, "--levels", levels, "-o", out)
            rt3c("run", out, "--input", f"ids={inputs}/ids.npy", "--level", "high", "-o", out)
            results[kind] = numpy.load(out / "logits.npy")
        rt3c("compare", MODEL, "--shape", "ids=1x1..128", "--type", "int8", "--levels", levels, "--with", out, "--length", "33")
        # Of logits that reach 25, with 127 steps for weights and activations: 1 %.
        difference = abs(results["f32"] - results["int8"]).mean()
        self.assertLess(difference, 0.25)
        self.assertGreater(difference, 1e-3)
        f32, int8 = (json.loads((SCRATCH / f"typed-{kind}/byte_lm.report.json").read_text()) for kind in ("f32", "int8"))
        self.assertLess(int8["weights_size"], 0.4 * f32["weights_size"])

    def test_layers_can_stay_f32(self):
        out = folder("kept")
        rt3c(MODEL, "--shape", "ids=1x16", "--type", "int8", "--keep-f32", "/head*", "--keep-f32", "/blocks.0/*", "-o", out)
        layers = json.loads((out / "byte_lm.report.json").read_text())["levels"][0]["layers"]
        for layer in layers:
            isKept = layer["layer"].startswith(("/head", "/blocks.0/"))
            self.assertEqual(layer["type"], "f32" if isKept else "int8", layer["layer"])

    def test_a_fixed_shape_compiles_too(self):
        out = folder("fixed")
        rt3c(MODEL, "--shape", "ids=1x35", "--target", "x86-64-v3", "-o", out)
        rt3c("compare", MODEL, "--shape", "ids=1x35", "--with", out, "--tolerance", "1e-5")

    def test_same_input_gives_same_bytes(self):
        levels = levels_file(NESTED)
        outs = [folder("first"), folder("second")]
        for i, out in enumerate(outs):
            environment = {"TZ": ["UTC", "Asia/Tokyo"][i], "LC_ALL": ["C", "C.UTF-8"][i], "PATH": os.environ["PATH"]}
            subprocess.run([RT3C, MODEL, "--shape", "ids=1x1..128", "--target", "cortex-a55", "--levels", levels, "-o", out],
                           check=True, capture_output=True, env=environment, cwd=["/", SCRATCH][i])
        names = sorted(path.name for path in outs[0].iterdir())
        self.assertEqual(len(names), 8)
        for name in names:
            self.assertEqual((outs[0] / name).read_bytes(), (outs[1] / name).read_bytes(), name)

    def test_libraries_are_what_users_link(self):
        out = folder("linked/byte_lm")
        second = folder("linked/second")
        levels = levels_file(NESTED)
        rt3c(MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "--levels", levels, "-o", out)
        rt3c(MODEL, "--shape", "ids=1x64", "--target", "x86-64-v3", "--name", "second", "-o", second)
        for compiler, standard, language in (("gcc", "c99", "c"), ("gcc", "c11", "c"), ("g++", "c++17", "c++")):
            subprocess.run([compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-x",
                            language, out / "byte_lm.h"], check=True)
        build = folder("linked/build")
        subprocess.run(["cmake", "-S", ROOT / "runtime/examples/cmake_project", "-B", build, f"-Dbyte_lm_DIR={out}",
                        f"-Dsecond_DIR={second}", f"-Drt3_SOURCE={ROOT}/runtime"], check=True, capture_output=True)
        subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
        result = subprocess.run([build / "two_models", out / "byte_lm.rt3", second / "second.rt3"], check=True,
                                capture_output=True, text=True)
        self.assertIn("two models", result.stdout)

    def test_arm_libraries_load_on_pages_of_16_kib(self):
        out = folder("pages")
        rt3c(MODEL, "--shape", "ids=1x16", "--target", "armv8-a", "-o", out)
        text = subprocess.run(["readelf", "-lW", out / "libbyte_lm.so"], check=True, capture_output=True, text=True).stdout
        loads = [line.split() for line in text.splitlines() if line.strip().startswith("LOAD")]
        self.assertTrue(loads)
        for load in loads:
            self.assertGreaterEqual(int(load[-1], 16), 0x4000)

    def test_stages_are_printed(self):
        for stage, mark in (("graph", "rt3_graph.attention"), ("kernel", "rt3_kernel.linear"), ("llvm", "define internal"),
                            ("asm", "fmla"), ("object", "")):
            result = subprocess.run([RT3C, MODEL, "--shape", "ids=1x16", "--target", "cortex-a55", f"--emit={stage}"],
                                    capture_output=True)
            self.assertEqual(result.returncode, 0)
            self.assertIn(mark.encode(), result.stdout)

    def test_inspect_and_bench_speak_json(self):
        out = folder("json")
        rt3c(MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "--levels", levels_file(NESTED), "-o", out)
        inspected = json.loads(rt3c("inspect", out / "byte_lm.rt3", "--json").stdout)
        self.assertEqual([level["name"] for level in inspected["levels"]], ["low", "mid", "high"])
        self.assertTrue(inspected["hash_is_right"])
        timed = json.loads(rt3c("bench", out, "--seconds", "0.05", "--json").stdout)
        self.assertEqual(len(timed["levels"]), 3)
        report = json.loads((out / "byte_lm.report.json").read_text())
        for level in report["levels"]:
            for layer in level["layers"]:
                self.assertEqual(bool(layer["reason"]), layer["scheme"] == "dense", layer)


class BadInputTest(unittest.TestCase):
    """Each ends with one error that names place and way out, and leaves nothing."""

    def refuse(self, code, *arguments, says=()):
        out = SCRATCH / "refused"
        shutil.rmtree(out, ignore_errors=True)
        result = rt3c(*arguments, "-o", out, code=code)
        for text in says:
            self.assertIn(text, result.stderr)
        self.assertFalse(out.exists() and any(out.iterdir()), "something is left behind")

    def spoiled(self, change):
        path = SCRATCH / "spoiled.onnx"
        path.write_bytes(change(MODEL.read_bytes()))
        return path

    def test_files_that_are_no_model(self):
        self.refuse(4, "/nonexistent.onnx", "--target", "armv8-a", says=["/nonexistent.onnx", "No such file"])
        self.refuse(4, self.spoiled(lambda data: b""), says=["empty"])
        self.refuse(4, self.spoiled(lambda data: b"not a model"), says=["not an ONNX model"])
        self.refuse(4, self.spoiled(lambda data: data[:len(data) // 2]), says=["truncated"])

    def test_models_that_are_not_supported(self):
        shape = ("--shape", "ids=1x16", "--target", "armv8-a")
        old = self.spoiled(lambda data: data.replace(b"\x42\x02\x10\x0e", b"\x42\x02\x10\x05"))
        self.refuse(4, old, *shape, says=["opset 5", "11 to 21"])
        unknown = self.spoiled(lambda data: data.replace(b"Softmax\x3a", b"Hardmax\x3a").replace(b"\x22\x07Softmax", b"\x22\x07Hardmax")
                               .replace(b"\x22\x03Erf", b"\x22\x03Det"))
        self.refuse(3, unknown, *shape, says=["Hardmax (opset 14), 2 nodes", "Det (opset 14), 2 nodes", "not supported"])
        listed = json.loads(rt3c("check", unknown, "--shape", "ids=1x16", "--json", code=3).stdout)
        self.assertEqual(len(listed["problems"]), 4)

    def test_shapes_that_do_not_fit(self):
        self.refuse(4, MODEL, "--target", "armv8-a", says=["ids dimension 1 (length)", "--shape ids="])
        self.refuse(4, MODEL, "--shape", "ids=1x1x16", says=["3 dimensions", "has 2"])
        self.refuse(4, MODEL, "--shape", "ids=2x16", says=["dimension 0"])
        self.refuse(4, MODEL, "--shape", "nothing=1x16", says=["no input"])
        self.refuse(2, MODEL, "--shape", "ids=1xlong", says=["long"])
        self.refuse(3, MODEL, "--shape", "ids=1x129", says=["Gather", "index 128 is outside its 128 elements"])
        self.refuse(3, MODEL, "--shape", "ids=1x1..384", says=["Gather", "index 383", "lower the maximum"])

    def test_options_that_are_wrong(self):
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--target", "pixel9", says=["pixel9", "cortex-a55"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--name", "9 lives", says=["9 lives"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--emit", "bitcode", says=["bitcode"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--type", "int4", says=["int4", "neither f32 nor int8"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--keep-f32", "head", says=["needs --type int8"])
        self.refuse(4, MODEL, "--shape", "ids=1x16", "--type", "int8", "--keep-f32", "tail", says=["tail", "report"])

    def test_levels_that_are_wrong(self):
        def plan(text, *says):
            path = SCRATCH / "bad-levels.json"
            path.write_text(text)
            self.refuse(4, MODEL, "--shape", "ids=1x16", "--levels", path, says=says)

        plan("{", "not JSON")
        plan('{"levels": []}', "0 entries")
        plan('{"levels": [{"name": "a", "scheme": "magic", "density": 1.5, "depth": 1}]}', 'levels[0].scheme: "magic"',
             "levels[0].density: 1.5", "levels[0].depth")
        plan('{"levels": [{"name": "a", "scheme": "bp", "density": 0.5}, {"name": "b", "scheme": "bp", "density": 0.2}]}',
             "levels[1].density", "nested")
        self.refuse(4, MODEL, "--shape", "ids=1x16", "--levels", "/nonexistent.json", says=["/nonexistent.json"])

    def test_weights_that_are_not_numbers(self):
        def spoil(data):
            # In the raw data of the last tensor; NaN at any alignment.
            at = data.rindex(b"onnx::MatMul_") + 100
            return data[:at] + b"\xff" * 32 + data[at + 32:]

        path = self.spoiled(spoil)
        self.refuse(4, path, "--shape", "ids=1x16", "--target", "armv8-a", says=["NaN", "layer"])

    def test_folders_that_cannot_be_written(self):
        blocked = SCRATCH / "blocked"
        blocked.write_text("a file")
        result = rt3c(MODEL, "--shape", "ids=1x16", "--target", "armv8-a", "-o", blocked / "out", code=4)
        self.assertIn("blocked", result.stderr)
        # A folder stands where a file must go: nothing else may be left.
        out = folder("half")
        (out / "byte_lm.rt3").mkdir()
        rt3c(MODEL, "--shape", "ids=1x16", "--target", "armv8-a", "-o", out, code=4)
        self.assertFalse([path for path in out.iterdir() if "tmp" in path.name])

    def test_bundles_that_are_damaged(self):
        out = folder("damaged")
        rt3c(MODEL, "--shape", "ids=1x16", "--target", "x86-64-v3", "-o", out)
        data = bytearray((out / "byte_lm.rt3").read_bytes())
        data[-100] ^= 1
        (out / "byte_lm.rt3").write_bytes(data)
        self.assertIn("damaged", rt3c("inspect", out / "byte_lm.rt3", code=4).stderr)
        self.assertIn("damaged", rt3c("bench", out, code=4).stderr)


class HostileModelTest(unittest.TestCase):
    """Small files that ask for much: nothing in a file may take over 2 GiB, or
    more than seconds."""

    def check(self, name, graph, code=0):
        path = folder("hostile") / f"{name}.onnx"
        graph.save(path)

        def limit():
            resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))

        return subprocess.run([RT3C, "check", path], preexec_fn=limit, timeout=30, capture_output=True, text=True, check=code == 0)

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
            result = rt3c("check", file, *[f"--shape={each}" for each in shape], code=4)
            self.assertIn("two different dimensions are free", result.stderr)

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
        levels = levels_file({"levels": [{"name": name, "scheme": "dense"} for name in ("low", "LOW", "count")]})
        rt3c(out / "names.onnx", "--target", "x86-64-v3", "--levels", levels, "-o", out / "out")
        macros = [line.split()[1].split("(")[0] for line in (out / "out/names.h").read_text().splitlines() if line.startswith("#define")]
        self.assertEqual(len(macros), len(set(macros)), sorted(macros))
        numpy.save(out / "x.npy", numpy.ones([1, 8], numpy.float32))
        names = ("o.1", "o_1", "a", "a_size", "count")
        written = rt3c("run", out / "out", "-o", out / "results", *[f"--input={name}={out}/x.npy" for name in names]).stdout.split()
        self.assertEqual(len(set(written)), 5)


TORCH = subprocess.run(["/usr/bin/python3", "-c", "import torch"], capture_output=True).returncode == 0


@unittest.skipUnless(TORCH, "no python3-torch here")
class ExportedModelsTest(unittest.TestCase):
    def test_pytorchs_gpt2_and_distilbert_match_the_interpreter(self):
        models, out = folder("exported"), folder("exported-out")
        for opset in ("11", "13", "16"):
            subprocess.run(["/usr/bin/python3", ROOT / "tests/models/exported/export.py", models, opset], check=True,
                           capture_output=True)
            for name, attentions in (("gpt2", 2), ("distilbert", 1)):
                model = models / f"{name}.onnx"
                # One sequence of any length, and a batch of three.
                for shape, length in (("1x1..64", 1), ("1x1..64", 17), ("1x1..64", 64), ("3x17", 1)):
                    shape = f"input_ids={shape}"
                    checked = json.loads(rt3c("check", model, "--shape", shape, "--json").stdout)
                    self.assertEqual(checked["attentions"], attentions)
                    rt3c(model, "--shape", shape, "--target", "x86-64-v3", "--name", "exported", "-o", out)
                    rt3c("compare", model, "--shape", shape, "--with", out, "--length", length, "--tolerance", "1e-5")


@unittest.skipUnless(MINILM.exists(), "no ../shared/data here")
class MiniLmTest(unittest.TestCase):
    def test_levels_match_the_interpreter_and_dense_onnxruntime(self):
        for target in TARGETS:
            with self.subTest(target):
                self.levels_match(target)

    def levels_match(self, target):
        out, inputs, levels = folder("minilm"), folder("minilm-inputs"), levels_file(INDEPENDENT)
        rt3c(MINILM, "--shape", "input_ids=1x1..384", "--target", target, "--levels", levels, "-o", out)
        for length in (1, 7, 35, 128):
            rt3c("compare", MINILM, "--shape", "input_ids=1x1..384", "--levels", levels, "--with", out, "--length", length)
            write_ids(inputs / "input_ids.npy", length, 1000, 30000, length)
            write_ids(inputs / "attention_mask.npy", length, 1, 2, 0)
            write_ids(inputs / "token_type_ids.npy", length, 0, 1, 0)
            run_onnxruntime(MINILM, inputs, folder("minilm-expected"))
            rt3c("run", out, "--level", "high", "-o", SCRATCH / "minilm-found",
                 *(f"--input={name}={inputs}/{name}.npy" for name in ("input_ids", "attention_mask", "token_type_ids")))
            found = read_floats(SCRATCH / "minilm-found/last_hidden_state.npy")
            expected = read_floats(SCRATCH / "minilm-expected/last_hidden_state.npy")
            self.assertLess(max(abs(a - b) for a, b in zip(found, expected)), 1e-4)

    def test_arm_code_gives_what_x86_code_gives(self):
        host, arm, cases = folder("minilm-host"), folder("minilm-arm"), folder("minilm-cases")
        levels, names = levels_file(INDEPENDENT), ("input_ids", "attention_mask", "token_type_ids")
        for target, out in (("x86-64-v3", host), ("neoverse-n1", arm)):
            rt3c(MINILM, "--shape", "input_ids=1x1..384", "--target", target, "--levels", levels, "-o", out)
        lines = []
        for length in (1, 7, 35, 128):
            for i, name in enumerate(names):
                write_ids(cases / f"{name}.npy", length, *((1000, 30000), (1, 2), (0, 1))[i], length)
            # Every level at one length; the longest takes qemu half a minute each.
            for level in range(4) if length == 35 else (1, 3):
                case = f"l{length}_{level}"
                rt3c("run", host, "--level", level, "-o", cases, *(f"--input={name}={cases}/{name}.npy" for name in names))
                (cases / f"{case}.out0").write_bytes(read_floats(cases / "last_hidden_state.npy").tobytes())
                for i, name in enumerate(names):
                    data = (cases / f"{name}.npy").read_bytes()
                    (cases / f"{case}.in{i}").write_bytes(data[10 + int.from_bytes(data[8:10], "little"):])
                lines.append(f"{length} {level} {case}")
        (cases / "cases.txt").write_text("\n".join(lines) + "\n")
        program = cases / "run"
        subprocess.run(["aarch64-linux-gnu-gcc", "-O1", "-std=gnu11", "-static", f"-I{ROOT}/runtime/include",
                        "-DRT3_TEST_PROGRAM=rt3_model_program", ROOT / "tests/e2e/run_files.c",
                        *(ROOT / "runtime/src").glob("*.c"), arm / "libmodel.a", "-lm", "-o", program], check=True)
        for cpu in ("neoverse-n1", "cortex-a53"):
            # Sums in another order: 3e-6 from each to the interpreter.
            result = subprocess.run(["qemu-aarch64", "-cpu", cpu, program, arm / "model.rt3", cases, "1e-5"],
                                    capture_output=True, text=True)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


if __name__ == "__main__":
    RT3C, SCRATCH = pathlib.Path(sys.argv.pop(1)).resolve(), pathlib.Path(sys.argv.pop(1)).resolve()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    unittest.main()
