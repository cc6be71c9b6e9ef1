#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whole models through the program, as a user runs it.

  e2e_test.py RT3C SCRATCH_FOLDER

The sample model always; the models of ../shared/data where they are present.
"""

import array
import json
import os
import shutil
import subprocess
import sys
import time
import unittest

import numpy

import run_rt3c
from run_rt3c import INDEPENDENT, MINILM, Graph, MODEL, NESTED, RT3C, ROOT, SCRATCH, TARGETS
from run_rt3c import folder, levels_file, read_floats, rt3c, run_onnxruntime, write_ids


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
        # AVX2 without VNNI multiplies words of 16 bits.
        self.assertLess(int8["weights_size"], (0.55 if TARGETS[-1] == "x86-64-v3" else 0.4) * f32["weights_size"])

    def test_a_target_that_cannot_multiply_a_type_is_refused(self):
        out = SCRATCH / "no-bf16"
        result = rt3c(MODEL, "--shape", "ids=1x16", "--type", "bf16", "--target", "cortex-a55", "-o", out, code=2)
        self.assertIn("neoverse-n2", result.stderr)
        self.assertFalse(out.exists())

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

    def test_a_kernel_can_be_asked_for(self):
        """Of each kind that the report tells: results stay what they are."""
        level = {"name": "low", "scheme": "pp", "density": 0.5, "pattern": {"rows": 8, "columns": 1, "count": 8}}
        levels, out = levels_file({"levels": [level, {"name": "high", "scheme": "dense"}]}), folder("asked")
        shape = ("--shape", "ids=1x1..128", "--target", "x86-64-v3", "--levels", levels)
        for asked, said in (
            ("rows:2,unroll:1,filled:0", "tile 2x24 (rows:2,unroll:1,filled:0,range:128)"),
            ("rows:4,unroll:2,filled:0", "tile 4x24 (rows:4,unroll:2,filled:0,range:128)"),
            ("rows:4,unroll:2,filled:1", "tile 4x24 (rows:4,unroll:2,filled:1,range:128)"),
        ):
            rt3c(MODEL, *shape, "--keep-sparse", "--kernel", f"/blocks.0/up*={asked}", "-o", out)
            report = json.loads((out / "byte_lm.report.json").read_text())
            low, high = ({layer["layer"]: layer["kernel"] for layer in level["layers"]} for level in report["levels"])
            self.assertIn(said, low["/blocks.0/up/MatMul"])
            self.assertIn(f"tile {asked[5]}x24", high["/blocks.0/up/MatMul"])
            self.assertIn("tile 4x24", high["/blocks.1/up/MatMul"])
            rt3c("compare", MODEL, *shape, "--with", out, "--length", 35, "--tolerance", "1e-5")

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
        return result.stderr

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

    def test_options_that_are_wrong(self):
        self.refuse(2, MODEL, "--sharp", "ids=1x16", says=["not expected: --sharp ids=1x16;"])
        self.assertLess(len(self.refuse(2, MODEL, "--calib-samples", "0", says=["--calib-samples: Value 0"])), 200)

    def test_shapes_that_do_not_fit(self):
        self.refuse(2, MODEL, "--target", "armv8-a", says=["ids dimension 1 (length)", "--shape ids="])
        self.refuse(2, MODEL, "--shape", "ids=1x1x16", says=["3 dimensions", "has 2"])
        self.refuse(2, MODEL, "--shape", "ids=2x16", says=["dimension 0"])
        self.refuse(2, MODEL, "--shape", "nothing=1x16", says=["no input", "there are ids, length"])
        self.refuse(2, MODEL, "--shape", "ids=1xlong", says=["long"])
        self.refuse(3, MODEL, "--shape", "ids=1x129", says=["Gather", "index 128 is outside its 128 elements"])
        self.refuse(3, MODEL, "--shape", "ids=1x1..384", says=["Gather", "index 383", "lower the maximum"])

    def test_options_that_are_wrong(self):
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--target", "pixel9", says=["pixel9", "cortex-a55"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--name", "9 lives", says=["9 lives"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--emit", "bitcode", says=["bitcode"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--type", "int4", says=["int4", "none of f32, f16, f16-sums, bf16, int8"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--keep-f32", "head", says=["needs a --type"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--type", "int8", "--keep-f32", "tail", says=["tail", "report"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--calib", SCRATCH, says=["--calib needs --levels"])

    def test_kernels_that_there_are_not(self):
        levels = levels_file({"levels": [{"name": "low", "scheme": "pp", "density": 0.5}]})
        options = (MODEL, "--shape", "ids=1x16", "--target", "x86-64-v3", "--levels", levels, "--keep-sparse", "--kernel")
        self.refuse(2, *options, "/head", says=["NAME=rows:4"])
        self.refuse(2, *options, "/head*=speed:9", says=["/head*", "speed:9", "unroll:N"])
        self.refuse(2, *options, "tail=rows:4", says=["tail", "report"])
        self.refuse(2, *options, "/head*=rows:3", says=["/head", "no dense kernel of 3 rows", "divide 4"])
        self.refuse(2, *options, "/head*=unroll:8", says=["/head", "unroll:8", "rows:4,unroll:1,filled:0,range:128"])
        self.refuse(2, *options, "/head*=rows:2,rows:4", says=["twice"])
        self.refuse(2, MODEL, "--shape", "ids=1x16", "--target", "x86-64-v3", "--kernel", "/head*=rows:8", says=["no dense kernel of 8 rows", "divide 4"])

    def test_a_library_of_another_shape_is_not_compared(self):
        out = folder("other-shape")
        rt3c(MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "-o", out)
        for shape in ("ids=1x16", "ids=1x1", "ids=1x1..64"):
            result = rt3c("compare", MODEL, "--shape", shape, "--with", out, code=2)
            self.assertIn("was not compiled from this model with these options", result.stderr)
        result = rt3c("compare", MODEL, "--shape", "ids=1x1..128", "--type", "int8", "--with", out, code=2)
        self.assertIn("is of type int8 here, f32 there (--type", result.stderr)
        if MINILM.exists():
            self.assertIn("inputs", rt3c("bench", out, "--vs", MINILM, "--seconds", "0.1", code=4).stderr)

    def test_inputs_as_raw_bytes(self):
        out = folder("raw")
        rt3c(MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "-o", out)
        (out / "ids.raw").write_bytes(array.array("q", range(35)).tobytes())
        rt3c("run", out, f"--input=ids={out}/ids.raw", "-o", out)
        self.assertEqual(numpy.load(out / "logits.npy").shape, (1, 35, 256))
        (out / "odd.raw").write_bytes(bytes(17))
        self.assertIn("17 bytes", rt3c("run", out, f"--input=ids={out}/odd.raw", "-o", out, code=4).stderr)
        rt3c("run", out, f"--input=ids={out}/ids.raw", f"--input=ids={out}/ids.raw", code=2)
        self.assertIn("of the model: ids", rt3c("run", out, f"--input=id={out}/ids.raw", code=2).stderr)

    def test_a_killed_compilation_leaves_nothing(self):
        out = SCRATCH / "killed"
        shutil.rmtree(out, ignore_errors=True)
        for delay in (0.02, 0.05, 0.1, 0.2, 0.3):
            process = subprocess.Popen([RT3C, MODEL, "--shape", "ids=1x1..128", "--target", "x86-64-v3", "-o", out],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(delay)
            process.terminate()
            process.wait()
            left = list(out.iterdir()) if out.exists() else []
            self.assertFalse([path for path in left if "tmp" in path.name], delay)

    def test_levels_that_are_wrong(self):
        def plan(text, *says):
            path = SCRATCH / "bad-levels.json"
            path.write_text(text)
            return self.refuse(4, MODEL, "--shape", "ids=1x16", "--levels", path, says=says)

        plan("{", "not JSON")
        plan('{"levels": []}', "0 entries")
        plan('{"levels": [{"name": "a", "scheme": "magic", "density": 1.5, "depth": 1}]}', 'levels[0].scheme: "magic"',
             "levels[0].density: 1.5", "levels[0].depth")
        plan('{"nested": true, "levels": [{"name": "a", "scheme": "bp", "density": 0.5}, {"name": "b", "scheme": "bp", "density": 0.2}]}',
             "levels[1].density", "nested")
        plan('{"levels": [{"name": "a", "density": 0.5, "scheme": "bp+pp", "pattern": {"kept": "fixed", "balanced": true}}, '
             '{"name": "b", "density": 0.5, "scheme": "pp", "pattern": {"kept": "most", "shared": 1}}]}',
             'levels[0].pattern.kept: "fixed": bp+pp has free patterns', "levels[0].pattern.balanced: is of scheme pp, and of bp+pp with", 'levels[1].pattern.kept: "most" is neither', "levels[1].pattern.shared: 1 is neither")
        wrong = {"nested": True, "levels": [{"name": "a", "densty": 0.3}, {"name": "b", "scheme": "bp", "time": 0.3}]}
        wrong["levels"] += [{"name": name, "scheme": "bp", "density": density} for name, density in (("c", 0.2), ("d", 0.1))]
        error = plan(json.dumps(wrong), "levels[0].densty: is no known", "levels[3].density: 0.1 after 0.2")
        # What could not be read is not compared, and one mixture is enough.
        self.assertNotIn("levels[1]", error)
        self.assertEqual(error.count("all have a density, or all a time"), 1, error)
        plan('{"nested": 1, "levels": [{"name": "a", "scheme": "dense"}, {"name": "A", "scheme": "dense"}]}', "nested: 1 is neither",
             "capitals do not count")
        plan('{"levels": [{"name": "count", "scheme": "bp", "density": 0.5, "pattern": {"rows": 5}}]}', "number of levels",
             "has no patterns", "5 must be 4 or 8")
        plan('{"own_biases": "yes", "levels": [{"name": "a", "density": 0.5, "time": 0.5}, {"name": "b", "scheme": "bp", "time": 0}]}',
             'own_biases: "yes" is neither', "levels[0].time: stands beside density", "levels[1].time: 0 is no number over 0")
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
        # Said before the model is read.
        for verb in ([], ["prune", "--levels", levels_file(NESTED)]):
            said = rt3c(*verb[:1], SCRATCH / "nothing.onnx", *verb[1:], "--shape", "ids=1x16", "--target", "armv8-a", "-o", blocked / "out", code=4).stderr
            self.assertIn("is a file, expected a folder", said)
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
        # What a cut-off library lacks would be a signal at the first touch.
        library = out / "libbyte_lm.so"
        for size in (library.stat().st_size // 2, 300, 0):
            library.write_bytes(library.read_bytes()[:size])
            self.assertIn("compile the model again", rt3c("bench", out, code=4).stderr)
        self.assertIn("has no bundle", rt3c("bench", folder("empty"), code=4).stderr)


class QuantizedModelTest(unittest.TestCase):
    """Models that are int8 already, as ONNX Runtime's tools write them."""

    K, N = 96, 40

    def weights(self):
        random = numpy.random.default_rng(5)
        values = random.standard_normal((self.K, self.N), dtype=numpy.float32)
        # Seven bits: without VNNI, ONNX Runtime adds up pairs of u8 x s8 in 16 bits, which saturate.
        scales = (abs(values).max(axis=0) / 63).astype(numpy.float32)
        return numpy.rint(values / scales).astype(numpy.int8), scales

    def check(self, name, graph):
        out = folder(name)
        graph.save(out / "model.onnx")
        rt3c(out / "model.onnx", "--shape", "x=1x1..16x96", "-o", out / "out")
        layers = json.loads((out / "out/model.report.json").read_text())["levels"][0]["layers"]
        self.assertEqual([layer["type"] for layer in layers], ["int8"])
        (out / "in").mkdir()
        numpy.save(out / "in/x.npy", numpy.random.default_rng(6).standard_normal((1, 11, self.K), dtype=numpy.float32))
        rt3c("run", out / "out", f"--input=x={out}/in/x.npy", "-o", out / "found")
        run_onnxruntime(out / "model.onnx", out / "in", out / "expected")
        found, expected = numpy.load(out / "found/y.npy"), numpy.load(out / "expected/y.npy")
        # ONNX Runtime quantises x per tensor, by steps of up to 4 / 127, we per token, by some 2.5 / 127: over 96
        # products of variance 1 that is 0.1 in the mean.
        self.assertLess(abs(found - expected).mean(), 0.01 * abs(expected).mean() + 0.04)

    def test_dynamic_quantisation(self):
        for order in range(2):
            quanta, scales = self.weights()
            graph = Graph()
            q, scale, zero = graph.op("DynamicQuantizeLinear", graph.input("x", "float32", [1, "length", self.K]), outputs=3)
            zeros = graph.constant("z", numpy.zeros(self.N, numpy.int8))
            sums = graph.op("Cast", graph.op("MatMulInteger", q, graph.constant("w", quanta), zero, zeros), to=1)
            own = graph.constant("s", scales)
            y = graph.op("Mul", sums, graph.op("Mul", scale, own)) if order else graph.op("Mul", own, graph.op("Mul", scale, sums))
            graph.output(graph.op("Add", y, graph.constant("b", scales), name="y"), "float32", [1, "length", self.N])
            self.check(f"dynamic{order}", graph)

    def quantised_and_dequantised(self, step, zero):
        quanta, scales = self.weights()
        graph = Graph()
        x = graph.input("x", "float32", [1, "length", self.K])
        scale, zero = graph.constant("xs", numpy.float32(step)), graph.constant("xz", zero)
        x = graph.op("DequantizeLinear", graph.op("QuantizeLinear", x, scale, zero), scale, zero)
        w = graph.op("DequantizeLinear", graph.constant("w", quanta), graph.constant("s", scales), axis=1)
        graph.output(graph.op("MatMul", x, w, name="y"), "float32", [1, "length", self.N])
        return graph

    def test_quantise_and_dequantise(self):
        self.check("qdq", self.quantised_and_dequantised(4 / 127, numpy.array(0, numpy.int8)))

    def test_what_quantising_clamps_stays_clamped(self):
        """Exporters drop a Relu before unsigned numbers with zero point 0."""
        self.check("clamped", self.quantised_and_dequantised(2 / 255, numpy.array(0, numpy.uint8)))

    def test_other_scales_and_missing_zero_points_are_refused(self):
        graph, out = Graph(), folder("scales")
        x, zero = graph.input("x", "float32", [1, 8]), graph.constant("z", numpy.array(0, numpy.uint8))
        q = graph.op("QuantizeLinear", x, graph.constant("a", numpy.float32(0.1)), zero)
        graph.output(graph.op("DequantizeLinear", q, graph.constant("b", numpy.float32(0.2)), zero), "float32", [1, 8])
        q, scale, _ = graph.op("DynamicQuantizeLinear", x, outputs=3)
        sums = graph.op("MatMulInteger", q, graph.constant("w", numpy.ones([8, 8], numpy.int8)))
        graph.output(graph.op("Mul", graph.op("Cast", sums, to=1), scale), "float32", [1, 8])
        graph.save(out / "model.onnx")
        error = rt3c("check", out / "model.onnx", code=3).stderr
        self.assertIn("not that of the node that quantised", error)
        self.assertIn("MatMulInteger", error)

    def test_quanta_cannot_be_used_alone(self):
        graph, out = Graph(), folder("alone")
        q, scale, zero = graph.op("DynamicQuantizeLinear", graph.input("x", "float32", [1, 8]), outputs=3)
        graph.output(graph.op("Cast", q, to=1), "float32", [1, 8])
        graph.save(out / "model.onnx")
        self.assertIn("quantised numbers themselves", rt3c("check", out / "model.onnx", code=3).stderr)


TORCH = subprocess.run(["/usr/bin/python3", "-c", "import torch"], capture_output=True).returncode == 0


@unittest.skipUnless(TORCH, "no python3-torch here")
class ExportedModelsTest(unittest.TestCase):
    def test_pytorchs_gpt2_distilbert_and_llama_match_the_interpreter(self):
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
            # As a whole, and token by token.
            llama = [models / "llama.onnx", "--shape", "input_ids=1x1..64", "--kv-cache", "100"]
            self.assertEqual(json.loads(rt3c("check", *llama, "--json").stdout)["attentions"], 2)
            rt3c(*llama, "--target", "x86-64-v3", "--name", "exported", "-o", out)
            rt3c("compare", *llama, "--with", out, "--length", "37", "--tolerance", "1e-5")
            for shape in ("2x1", "3x17"):
                rt3c(models / "llama.onnx", "--shape", f"input_ids={shape}", "--target", "x86-64-v3", "-o", folder("batch"))
                rt3c("compare", models / "llama.onnx", "--shape", f"input_ids={shape}", "--with", SCRATCH / "batch")


class GenerationTest(unittest.TestCase):
    """The sample model, compiled with a cache."""

    @classmethod
    def setUpClass(cls):
        cls.model = [MODEL, "--shape", "ids=1x1..16", "--kv-cache", "100", "--levels", levels_file(NESTED)]
        cls.out = folder("generation")
        rt3c(*cls.model, "--name", "byte_lm", "-o", cls.out)

    def generate(self, *arguments, code=0):
        return rt3c("generate", self.out, *arguments, code=code)

    def test_token_by_token_is_as_a_whole(self):
        rt3c("compare", *self.model, "--with", self.out)

    def test_a_text_of_one_level_does_not_depend_on_where_the_prompt_ends(self):
        whole = self.generate("--prompt", "The United ", "--tokens", "30", "--level", "high").stdout
        again = self.generate("--prompt", whole[:25], "--tokens", "16", "--level", "high").stdout
        self.assertEqual(whole, again)

    def test_levels_change_between_two_tokens(self):
        arguments = ["--ids", " ".join(map(str, b"The United ")), "--tokens", "40"]
        high, low = (self.generate(*arguments, "--level", level).stdout.split() for level in ("high", "low"))
        mixed = self.generate(*arguments, "--level", "high", "--switch", "20=low")
        tokens = mixed.stdout.split()
        self.assertEqual(tokens[:21], high[:21])
        self.assertTrue(tokens != high and tokens != low)
        self.assertIn("level low", mixed.stderr)
        self.assertIn("level high", mixed.stderr)

    def test_f16_weights_halve_the_bundle(self):
        rt3c(*self.model, "--type", "f16", "-o", folder("generation-f16"))
        rt3c("compare", *self.model, "--type", "f16", "--with", SCRATCH / "generation-f16")
        for kind in ("f16", "f32"):  # As it is: of a level, one type may store dense what the other does not.
            rt3c(*self.model[:-2], "--type", kind, "--name", "byte_lm", "-o", folder(f"dense-{kind}"))
        sizes = [(SCRATCH / f"dense-{kind}/byte_lm.rt3").stat().st_size for kind in ("f16", "f32")]
        self.assertLess(sizes[0], 0.6 * sizes[1])

    def test_a_level_that_is_no_faster_is_named(self):
        slow = {"name": "slow", "scheme": "pp", "density": 0.6, "pattern": {"rows": 8, "columns": 4, "count": 8}}
        out = folder("generation-slow")
        (out / "levels.json").write_text(json.dumps({"nested": False, "levels": [slow, {"name": "bp", "scheme": "bp", "density": 0.8}]}))
        text = rt3c(*self.model[:-1], out / "levels.json", "--target", "x86-64-v3", "-o", out).stdout
        self.assertEqual(text.count("no faster than level"), 1)
        self.assertIn("no faster than level bp, which keeps more", text)
        levels = json.loads((out / "byte_lm.report.json").read_text())["levels"]
        self.assertEqual([level["no_faster_than"] for level in levels], ["bp", ""])

    def test_errors(self):
        self.generate("--prompt", "x" * 60, "--tokens", "41")
        full = self.generate("--prompt", "x" * 60, "--tokens", "42", code=5)
        self.assertIn("do not fit the 100", full.stderr)
        self.generate("--prompt", "x", "--ids", "1", code=2)
        self.generate("--ids", "256", code=2)
        self.generate("--ids", " ", code=2)
        self.generate("--ids", "1", "--switch", "999=low", code=2)
        without = folder("without-cache")
        rt3c(MODEL, "--shape", "ids=1x1..16", "-o", without)
        self.assertIn("without --kv-cache", rt3c("generate", without, "--ids", "1", code=2).stderr)
        self.assertIn("is less than", rt3c("check", MODEL, "--shape", "ids=1x1..16", "--kv-cache", "15", code=2).stderr)
        self.assertIn("needs a free dimension", rt3c("check", MODEL, "--shape", "ids=1x16", "--kv-cache", "16", code=2).stderr)
        # The table of positions ends.
        self.assertIn("128 rows", rt3c("check", MODEL, "--shape", "ids=1x1..16", "--kv-cache", "129", code=4).stderr)


STORIES = ROOT.parent / "shared/data/models/stories260k/stories260K.bin"


@unittest.skipUnless(STORIES.exists(), "no ../shared/data here")
class LlamaTest(unittest.TestCase):
    def test_stories260k_writes_what_plain_numpy_writes(self):
        script, model, out = ROOT / "tests/models/stories260k/write.py", SCRATCH / "stories.onnx", folder("stories")
        expected = subprocess.run(["/usr/bin/python3", script, STORIES, model, "--generate", "50"], check=True,
                                  capture_output=True, text=True).stdout
        options = [model, "--shape", "ids=1x1..64", "--kv-cache", "512"]
        for target in TARGETS:
            rt3c(*options, "--target", target, "-o", out)
            self.assertEqual(rt3c("generate", out, "--ids", "1", "--tokens", "50").stdout, expected)
            # 70 tokens do not fit one run.
            rt3c("generate", out, "--ids", " ".join(["1", "403"] * 35), "--tokens", "2")
            self.assertIn("--ids", rt3c("generate", out, "--prompt", "Once", code=2).stderr)
        rt3c("compare", *options, "--with", out, "--length", "20")


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
    run_rt3c.main()
