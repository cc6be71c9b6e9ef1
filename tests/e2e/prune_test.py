#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Calibrated pruning and plans, through the program, on the sample model.

  prune_test.py RT3C SCRATCH_FOLDER
"""

import json
import re
import subprocess
import unittest

import numpy

import run_rt3c
from run_rt3c import Graph, INDEPENDENT, MODEL, NESTED, ROOT, RT3C, SCRATCH, folder, rt3c


class CalibrationTest(unittest.TestCase):
    """The sample model pruned by what its layers see."""

    @classmethod
    def setUpClass(cls):
        text = (ROOT / "tests/models/byte-lm/held-out.txt").read_bytes()
        cls.samples, cls.levels = folder("samples"), folder("calibration-levels") / "levels.json"
        cls.levels.write_text(json.dumps(INDEPENDENT))
        for i in range(12):
            part = text[100 * i : 100 * i + 60 + i]
            (cls.samples / f"{i:02}").mkdir()
            numpy.save(cls.samples / f"{i:02}/ids.npy", numpy.array([list(part)], numpy.int64))
        cls.model = [MODEL, "--shape", "ids=1x1..128", "--levels", cls.levels]

    def logits(self, out, level):
        ids = folder("calibrated-ids") / "ids.npy"
        text = (ROOT / "tests/models/byte-lm/held-out.txt").read_bytes()[4000:4128]
        numpy.save(ids, numpy.array([list(text)], numpy.int64))
        rt3c("run", out, "--input", f"ids={ids}", "--level", level, "-o", out)
        return numpy.load(out / "logits.npy")

    def test_levels_match_the_interpreter_and_are_closer_to_dense(self):
        out, plain = folder("calibrated"), folder("by-magnitude")
        rt3c(*self.model, "--calib", self.samples, "-o", out)
        rt3c("compare", *self.model, "--calib", self.samples, "--with", out, "--length", "50")
        rt3c(*self.model, "-o", plain)
        dense = self.logits(plain, "high")
        # Hidden units stand in another order, in which sums are rounded.
        numpy.testing.assert_allclose(self.logits(out, "high"), dense, atol=1e-4)
        for level in ("mid", "bp"):
            calibrated, magnitude = (((self.logits(each, level) - dense) ** 2).mean() for each in (out, plain))
            self.assertLess(calibrated, 0.8 * magnitude, level)

    def test_types_match_too(self):
        for kind in ("int8", "f16"):
            out = folder(f"calibrated-{kind}")
            options = [*self.model, "--calib", self.samples, "--type", kind]
            rt3c(*options, "-o", out)
            rt3c("compare", *options, "--with", out, "--length", "20")

    def test_same_samples_give_the_same_bytes(self):
        first, second = folder("calibrated-1"), folder("calibrated-2")
        for out in (first, second):
            rt3c(*self.model, "--calib", self.samples, "--name", "byte_lm", "-o", out)
        self.assertEqual((first / "byte_lm.rt3").read_bytes(), (second / "byte_lm.rt3").read_bytes())

    def test_bad_samples(self):
        def refused(says, levels=None):
            out = SCRATCH / "bad-calibration-out"
            options = [MODEL, "--shape", "ids=1x1..128", "--levels", levels or self.levels, "--calib", bad, "-o", out]
            self.assertIn(says, rt3c(*options, code=4).stderr)
            self.assertFalse(out.exists())

        bad = folder("bad-samples")
        refused("has no sample")
        (bad / "0").mkdir()
        refused("ids.npy")
        numpy.save(bad / "0/ids.npy", numpy.zeros((1, 129), numpy.int64))
        refused("expected 1 to 128")
        numpy.save(bad / "0/ids.npy", numpy.zeros((1, 4), numpy.float32))
        refused("its elements are float32, expected int64")
        numpy.save(bad / "0/ids.npy", numpy.zeros((4,), numpy.int64))
        refused("1 axes, expected 2")
        numpy.save(bad / "0/ids.npy", numpy.full((1, 4), 256))
        refused("0/ids.npy: element 0 is 256, but the model looks it up in a table of 256 rows")
        numpy.save(bad / "0/ids.npy", numpy.zeros((1, 4), numpy.int64))
        numpy.savez(bad / "1.npz", ids=numpy.zeros((1, 4), numpy.int64), other=numpy.zeros(3))
        refused('1.npz: array "other" is no input of the model, expected ids')
        bad = bad / "1.npz"
        numpy.savez(bad, ids=numpy.zeros((3, 4)))
        refused('1.npz: array "ids": element type <f8 is not supported')
        numpy.savez(bad, ids=numpy.int64(0))
        refused('array "ids": 0 axes, expected 2')
        numpy.savez(bad, ids=numpy.zeros((0, 4), numpy.int64))
        refused('array "ids": has no sample')
        numpy.savez(bad, ids=numpy.zeros((3, 129), numpy.int64))
        refused('array "ids", sample 0: size 129 of axis 1, expected 1 to 128')
        bad.write_bytes(bad.read_bytes()[:-30])
        refused("1.npz: no archive of NumPy")
        bad.write_bytes(b"")
        refused("1.npz: it has no arrays")
        bad = SCRATCH / "nowhere"
        refused("cannot be read")

    def test_all_kinds_of_arrays_say_the_same(self):
        """Folders of .npy, an .npz per sample, all samples in one .npz, and a lone .npy."""
        text = (ROOT / "tests/models/byte-lm/held-out.txt").read_bytes()
        ids = numpy.array([list(text[70 * i : 70 * i + 70]) for i in range(6)], numpy.int64)
        folders, archives, whole = folder("array-folders"), folder("array-archives"), folder("array-files")
        for i, row in enumerate(ids):
            (folders / str(i)).mkdir()
            numpy.save(folders / f"{i}/ids.npy", row[None])
            numpy.savez_compressed(archives / f"{i}.npz", ids=row[None])
        numpy.savez(whole / "all.npz", ids=ids)
        numpy.save(whole / "all.npy", ids)
        plans = []
        for samples in (folders, archives, whole / "all.npz", whole / "all.npy"):
            for some in ([], ["--calib-samples", "3"]):
                out = folder("array-plan")
                rt3c("prune", *self.model, "--calib", samples, *some, "-o", out)
                plans.append((out / "plan.weights").read_bytes())
        self.assertEqual(len(set(plans[::2])), 1)
        self.assertEqual(len(set(plans[1::2])), 1)
        self.assertNotEqual(*plans[:2])

    def test_arrays_of_several_inputs(self):
        """One has a row per sample, another is the same for all of them."""
        graph = Graph()
        random = numpy.random.default_rng(5)
        x, y = graph.input("x", "float32", [1, "length", 64]), graph.input("y", "float32", [64])
        w = graph.constant("w", random.standard_normal((64, 128)).astype(numpy.float32))
        graph.output(graph.op("MatMul", graph.op("Add", x, y), w, name="layer"), "float32", [1, "length", 128])
        model = folder("two-inputs") / "model.onnx"
        graph.save(model)
        levels, samples = model.with_name("levels.json"), model.with_name("samples.npz")
        levels.write_text(json.dumps({"levels": [{"name": "low", "scheme": "bp", "density": 0.5}]}))
        prune = ["prune", model, "--shape", "x=1x1..8x64", "--shape", "y=64", "--levels", levels, "--calib", samples]
        rows, one = random.standard_normal((5, 8, 64)).astype(numpy.float32), numpy.ones(64, numpy.float32)

        def refused(says, **arrays):
            numpy.savez(samples, **arrays)
            out = SCRATCH / "two-inputs-out"
            self.assertIn(says, rt3c(*prune, "-o", out, code=4).stderr)
            self.assertFalse(out.exists())

        refused('has no array "y"', x=rows)
        refused('array "y": 0 axes, expected 1', x=rows, y=numpy.float32(1))
        refused('array "y": size 5 of axis 0, expected 64', x=rows, y=one[:5])
        # Two that both have a row per sample.
        graph = Graph()
        x, y = (graph.input(name, "float32", [1, "length", 64]) for name in "xy")
        graph.output(graph.op("MatMul", graph.op("Add", x, y), graph.constant("w", numpy.ones((64, 128), numpy.float32)), name="layer"),
                     "float32", [1, "length", 128])
        twins = model.with_name("twins.onnx")
        graph.save(twins)
        numpy.savez(samples, x=rows, y=rows[:3])
        options = ["prune", twins, "--shape", "x=1x1..8x64", "--shape", "y=1x1..8x64", *prune[6:]]
        self.assertIn('array "y": has 3 samples, ', rt3c(*options, "-o", SCRATCH / "two-inputs-out", code=4).stderr)
        numpy.save(samples.with_name("x.npy"), rows)
        lone = rt3c(*prune[:-1], samples.with_name("x.npy"), "-o", SCRATCH / "two-inputs-out", code=4).stderr
        self.assertIn("is one array, but the model has 2 inputs", lone)
        numpy.savez(samples, x=rows, y=one)
        self.assertIn("40 tokens", rt3c(*prune, "-o", folder("two-inputs-plan")).stderr)

    def test_numbers_that_nothing_can_be_told_from(self):
        weights = numpy.random.default_rng(3).standard_normal((64, 128)).astype(numpy.float32)

        def refused(says, scale, values):
            model = folder("numbers-model") / "model.onnx"
            graph = Graph()
            x, w = graph.input("x", "float32", [1, "length", 64]), graph.constant("w", values)
            graph.output(graph.op("MatMul", x, w, name="layer"), "float32", [1, "length", 128])
            graph.save(model)
            samples = folder("numbers-samples") / "x.npz"
            numpy.savez(samples, x=(scale * numpy.random.default_rng(4).standard_normal((4, 8, 64))).astype(numpy.float32))
            levels = folder("numbers-levels") / "levels.json"
            levels.write_text(json.dumps({"levels": [{"name": "low", "scheme": "bp", "density": 0.5}]}))
            out = SCRATCH / "numbers-out"
            result = rt3c("prune", model, "--shape", "x=1x1..8x64", "--levels", levels, "--calib", samples, "-o", out, code=4)
            self.assertIn(says, result.stderr)
            self.assertFalse(out.exists())

        refused("too large for 32-bit numbers", 1e25, weights)
        refused("too small for 32-bit numbers", 1e-25, weights)
        refused("x.npz: array \"x\", sample 0: element 0 is NaN or infinite", numpy.inf, weights)
        weights[3, 5] = numpy.nan
        refused('layer "layer": weight [3, 5] is NaN', 1, weights)


class PlanTest(unittest.TestCase):
    """The sample model, pruned to a folder that is compiled then."""

    @classmethod
    def setUpClass(cls):
        text = (ROOT / "tests/models/byte-lm/held-out.txt").read_bytes()
        cls.samples = folder("plan-samples")
        for i in range(8):
            (cls.samples / f"{i:02}").mkdir()
            numpy.save(cls.samples / f"{i:02}/ids.npy", numpy.array([list(text[100 * i : 100 * i + 70 + i])], numpy.int64))
        cls.model = [MODEL, "--shape", "ids=1x1..128"]

    def prune(self, name, levels, *options):
        plan, levels_folder = folder(name), folder(name + "-levels")
        (levels_folder / "levels.json").write_text(json.dumps(levels))
        result = rt3c("prune", *self.model, "--levels", levels_folder / "levels.json", *options, "--json", "-o", plan)
        return plan, json.loads(result.stdout)

    def test_a_plan_is_compiled_as_it_was_made(self):
        for levels in (NESTED, INDEPENDENT):
            plan, report = self.prune("plan", levels, "--calib", self.samples)
            out = folder("plan-out")
            rt3c(*self.model, "--plan", plan, "-o", out)
            rt3c("compare", *self.model, "--plan", plan, "--with", out, "--length", "41")
            self.assertTrue(report["rebuilt"])
            for layer in report["rebuilt"]:
                self.assertLessEqual(layer["error"], layer["masked_error"], layer)
            errors = [sum(layer[key] for layer in report["rebuilt"]) for key in ("error", "masked_error")]
            self.assertLess(errors[0], 0.7 * errors[1])
            inspected = json.loads(rt3c("inspect", plan, "--json").stdout)
            for asked, found in zip(levels["levels"], inspected["levels"], strict=True):
                self.assertEqual((found["name"], found["asked_density"]), (asked["name"], asked.get("density", 1)))
                pruned = asked["scheme"] != "dense"
                self.assertEqual(bool(found["layers_with_own_bias"]), pruned)
            sizes = [layer["inputs"] * layer["outputs"] for layer in inspected["layers"]]
            for i, found in enumerate(inspected["levels"]):
                kept = sum(size * layer["densities"][i] for size, layer in zip(sizes, inspected["layers"], strict=True))
                self.assertAlmostEqual(kept / sum(sizes), found["density"], 9)
            self.assertIn("dense  /", rt3c("inspect", plan).stdout)

    def test_a_level_that_is_dense_throughout_says_so(self):
        # Named as the set of the first was once.
        levels = [{"name": "a", "scheme": "pp", "density": 0.98}, {"name": "patterns_a", "scheme": "pp", "density": 0.3}]
        plan, _ = self.prune("plan-in-vain", {"levels": levels})
        text = rt3c(*self.model, "--plan", plan, "--target", "neoverse-n1", "-o", folder("plan-in-vain-out")).stdout
        first, second = text.split("\nlevel ")[1:]
        self.assertIn("every layer is dense", first)
        self.assertNotIn("every layer is dense", second)

    def test_sets_of_each_layer_and_other_counts(self):
        """Of one column with as many weights in each, of several with any number, and a set per layer."""
        own = {"shared": False, "count": 8}
        patterns = [own | {"kept": "fixed"}, own, own | {"columns": 4, "kept": "free"}, {"columns": 4, "kept": "free", "count": 8}]
        levels = [{"name": f"l{i}", "scheme": "pp", "density": density, "pattern": pattern}
                  for i, (density, pattern) in enumerate(zip((0.375, 0.4, 0.5, 0.6), patterns, strict=True))]
        for nested in (False, True):
            plan, _ = self.prune(f"plan-sets-{nested}", {"nested": nested, "levels": levels}, "--calib", self.samples)
            written = json.loads((plan / "plan.json").read_text())
            used = [{layer["levels"][i].get("pattern_set") for layer in written["layers"]} - {None} for i in range(4)]
            self.assertEqual([len(sets) == 1 for sets in used], [False, False, False, True])
            self.assertEqual(len(used[0]), sum("mask_offset" in layer["levels"][0] for layer in written["layers"]))
            asked = [level["pattern"] for level in written["plan"]["levels"]]
            self.assertEqual([(p.get("shared", True), p.get("kept")) for p in asked], [(False, "fixed"), (False, None), (False, "free"), (True, "free")])
            for wanted, found in zip(levels, json.loads(rt3c("inspect", plan, "--json").stdout)["levels"], strict=True):
                # Within the free patterns of a denser level, some have less than a fixed count.
                self.assertAlmostEqual(found["density"], wanted["density"], delta=0.1 if nested else 0.02)
            out = folder(f"plan-sets-{nested}-out")
            rt3c(*self.model, "--plan", plan, "--keep-sparse", "-o", out)
            rt3c("compare", *self.model, "--plan", plan, "--keep-sparse", "--with", out, "--length", "41")

    def test_balanced_patterns_are_read_in_their_ranges(self):
        patterns = [{"count": 8}, {"columns": 4, "count": 4, "balanced": True}, {"count": 8, "balanced": False}]
        levels = [{"name": f"l{i}", "scheme": "pp", "density": 0.4, "pattern": pattern} for i, pattern in enumerate(patterns)]
        for kind in ("f32", "int8"):
            plan, _ = self.prune(f"plan-balanced-{kind}", {"levels": levels}, "--type", kind, "--calib", self.samples)
            asked = [level["pattern"] for level in json.loads((plan / "plan.json").read_text())["plan"]["levels"]]
            self.assertEqual([pattern["balanced"] for pattern in asked], [True, True, False])
            out = folder(f"plan-balanced-{kind}-out")
            rt3c(*self.model, "--plan", plan, "--type", kind, "--keep-sparse", "-o", out)
            rt3c("compare", *self.model, "--plan", plan, "--type", kind, "--keep-sparse", "--with", out, "--length", "41")
        # 512 inputs, which exceed the first cache, in ranges in which patterns are balanced.
        rt3c(*self.model, "--plan", SCRATCH / "plan-balanced-f32", "--keep-sparse", "--target", "x86-64-v4", "-o", folder("balanced-out"))
        report = json.loads(next((SCRATCH / "balanced-out").glob("*.report.json")).read_text())
        for level, isBalanced in zip(report["levels"], (True, True, False), strict=True):
            kernels = [layer["kernel"] for layer in level["layers"] if layer["inputs"] == 512]
            self.assertTrue(kernels and all(("range:192)" in kernel) == isBalanced for kernel in kernels), kernels)
        nested = SCRATCH / "balanced-nested.json"
        nested.write_text(json.dumps({"nested": True, "levels": levels}))
        error = rt3c("prune", *self.model, "--levels", nested, "-o", SCRATCH / "balanced-nested", code=4).stderr
        self.assertIn("levels[1].pattern.balanced: is of levels that are not nested", error)

    def test_blocks_of_kept_columns_are_whole(self):
        """At densities whose root makes no whole blocks of 128 inputs: all patterns that were asked for, and the density."""
        levels = [{"name": f"l{i}", "scheme": "bp+pp", "density": density, "pattern": {"columns": columns, "count": 8, "balanced": False}}
                  for i, (density, columns) in enumerate(((0.3, 4), (0.3, 8), (0.87, 8)))]
        path, out = SCRATCH / "whole-blocks.json", folder("whole-blocks")
        path.write_text(json.dumps({"levels": levels}))
        rt3c(*self.model, "--levels", path, "--keep-sparse", "--target", "neoverse-n1", "-o", out)
        report = json.loads(next(out.glob("*.report.json")).read_text())
        for wanted, level in zip(levels, report["levels"], strict=True):
            layers = [layer for layer in level["layers"] if layer["inputs"] == 128 and layer["scheme"] == "bp+pp"]
            self.assertTrue(layers)
            for layer in layers:
                self.assertIn(f"8x{wanted['pattern']['columns']} gathered 8 patterns", layer["kernel"])
                self.assertAlmostEqual(layer["kept"] / layer["inputs"] / layer["outputs"], wanted["density"], delta=0.04)

    def test_levels_that_grow_are_compiled_as_they_were_made(self):
        """All of one-column patterns: the third fills blocks up."""
        levels = [{"name": f"l{i}", "scheme": "pp", "density": density} for i, density in enumerate((0.3, 0.5, 0.9))]
        for kind in ("f32", "int8"): # Of int8, weights stay or go as one instruction multiplies them.
            plan, _ = self.prune("plan-grown", {"nested": True, "levels": levels}, "--type", kind)
            for asked, found in zip(levels, json.loads(rt3c("inspect", plan, "--json").stdout)["levels"], strict=True):
                self.assertAlmostEqual(found["density"], asked["density"], delta=0.01 if kind == "f32" else 0.02)
            out = folder("plan-grown-out")
            rt3c(*self.model, "--plan", plan, "--keep-sparse", "--type", kind, "-o", out)
            rt3c("compare", *self.model, "--plan", plan, "--keep-sparse", "--type", kind, "--with", out, "--length", "41")

    def test_it_says_which_level_owns_the_values(self):
        levels = folder("owner-levels") / "levels.json"
        levels.write_text(json.dumps(NESTED))
        result = rt3c("prune", *self.model, "--levels", levels, "--calib", self.samples, "-o", folder("plan-owner"))
        self.assertIn(f"levels are nested: {NESTED['levels'][0]['name']} owns its values", result.stdout)
        self.assertIn("were dampened by 10 % of each and 3 % of their mean", result.stdout)

    def test_by_magnitude_it_gives_what_levels_give(self):
        plan, _ = self.prune("plan-magnitude", NESTED)
        outs = [folder("from-plan"), folder("from-levels")]
        rt3c(*self.model, "--plan", plan, "--name", "lm", "-o", outs[0])
        rt3c(*self.model, "--levels", SCRATCH / "plan-magnitude-levels/levels.json", "--name", "lm", "-o", outs[1])
        self.assertEqual(*((out / "lm.rt3").read_bytes() for out in outs))

    def test_levels_take_the_time_that_they_are_given(self):
        bp, pp = {"scheme": "bp", "time": 0.4}, {"scheme": "pp", "time": 0.7}
        for is_nested, levels, kind in ((False, [bp, pp], "f32"), (True, [bp, bp | {"time": 0.8}], "f32"), (True, [pp, pp | {"time": 0.85}], "f32"),
                                        (False, [bp], "int8")):
            levels = [level | {"name": f"l{i}"} for i, level in enumerate(levels)]
            # A target whose times do not depend on the machine that tests.
            options = ["--target", "neoverse-n1", "--type", kind]
            plan, _ = self.prune("plan-time", {"nested": is_nested, "levels": levels}, "--calib", self.samples, *options)
            report = json.loads(rt3c(*self.model, "--plan", plan, *options, "--json", "-o", folder("plan-time-out")).stdout)
            for level, found in zip(levels, report["levels"], strict=True):
                layers = [layer for layer in found["layers"] if layer["inputs"] * layer["outputs"] >= 4096]
                taken = sum(layer["predicted_cycles"] for layer in layers) / sum(layer["predicted_dense_cycles"] for layer in layers)
                # More than 3 % beside it is a warning.
                self.assertAlmostEqual(taken / level["time"], 1, delta=0.03, msg=f"{level} {kind}, nested: {is_nested}")
        # What no block of 8x8 can come close to.
        far = [{"name": "low", "scheme": "pp", "time": 0.02, "pattern": {"rows": 8, "columns": 8, "count": 8}}]
        (folder("time-far") / "levels.json").write_text(json.dumps({"levels": far}))
        result = rt3c("prune", *self.model, "--levels", SCRATCH / "time-far/levels.json", "--target", "neoverse-n1", "-o", folder("plan-far"))
        self.assertIn("warning: level low was given 2.0 % of the dense layers' time", result.stderr)
        # A level between two that leave it no room; what is said is what is compiled.
        near = [{"name": f"l{i}", "scheme": "bp+pp", "time": time} for i, time in enumerate((0.4, 0.45, 0.9))]
        (folder("time-near") / "levels.json").write_text(json.dumps({"nested": True, "levels": near}))
        options = [*self.model, "--levels", SCRATCH / "time-near/levels.json", "--target", "neoverse-n1"]
        result = rt3c(*options, "--json", "-o", folder("near-out"))
        missed = 0
        for level, found in zip(near, json.loads(result.stdout)["levels"], strict=True):
            layers = [layer for layer in found["layers"] if layer["inputs"] * layer["outputs"] >= 4096]
            taken = 100 * sum(layer["predicted_cycles"] for layer in layers) / sum(layer["predicted_dense_cycles"] for layer in layers)
            said = f"level {level['name']} was given {100 * level['time']:.1f} % of the dense layers' time and is predicted to take {taken:.1f} %"
            is_missed = abs(taken / (100 * level["time"]) - 1) > 0.031
            missed += is_missed
            self.assertIn("warning: " + said if is_missed else said, result.stderr)
        self.assertGreater(missed, 0)

    def test_same_samples_give_the_same_plan(self):
        plans = [self.prune(name, NESTED, "--calib", self.samples)[0] for name in ("plan-1", "plan-2")]
        for name in ("plan.json", "plan.weights"):
            self.assertEqual(*((plan / name).read_bytes() for plan in plans))

    def test_a_killed_run_ends_in_the_same_plan(self):
        for levels, name in ((NESTED, "nested"), (INDEPENDENT, "independent")):
            whole, _ = self.prune(f"plan-whole-{name}", levels, "--calib", self.samples)
            killed = folder(f"plan-killed-{name}")
            options = ["prune", *self.model, "--levels", SCRATCH / f"plan-whole-{name}-levels/levels.json", "--calib", self.samples]
            # Killed behind the masks, and then behind a level.
            for done in (0, 1):
                process = subprocess.Popen([RT3C, *map(str, options), "-o", killed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                while process.poll() is None:
                    try:
                        head = json.loads((killed / "checkpoint.json").read_text().splitlines()[0])
                    except OSError:
                        continue
                    if head["levels_done"] >= done:
                        process.kill()
                        break
                process.wait()
            self.assertFalse((killed / "plan.json").exists())
            again = rt3c(*options, "-o", killed)
            self.assertIn("going on after level", again.stderr)
            self.assertIn("peak memory", again.stdout)
            for file in ("plan.json", "plan.weights"):
                self.assertEqual((whole / file).read_bytes(), (killed / file).read_bytes(), name)
            self.assertEqual(sorted(path.name for path in killed.iterdir()), ["plan.json", "plan.weights"])

    def test_layers_have_layouts_of_their_own(self):
        """bp, one-column patterns in one kind of layer, blocks of four columns in another, and the head dense."""
        up = {"rows": 4, "columns": 1, "count": 15}
        levels = {"levels": [
            {"name": "low", "scheme": "bp", "density": 0.4, "layers": [
                {"names": ["/blocks.0/up/MatMul", "/blocks.1/up/MatMul"], "scheme": "pp", "pattern": up},
                {"names": ["/blocks.1/d*"], "scheme": "bp+pp", "pattern": {"rows": 8, "columns": 4, "count": 8}},
                {"names": ["/head*"], "scheme": "dense"}]},
            {"name": "high", "scheme": "dense"}]}
        plan, _ = self.prune("plan-layers", levels, "--calib", self.samples)
        document = json.loads((plan / "plan.json").read_text())
        schemes = {layer["name"]: layer["levels"][0]["scheme"] for layer in document["layers"]}
        kinds = {"/blocks.0/up/MatMul": "pp", "/blocks.1/up/MatMul": "pp", "/blocks.1/down/MatMul": "bp+pp", "/head/MatMul": "dense"}
        for name, scheme in schemes.items():
            self.assertEqual(scheme, kinds.get(name, "bp"), name)
        self.assertEqual(document["plan"]["levels"][0]["layers"][0]["pattern"], up | {"balanced": True})
        sets = {layer["levels"][0].get("pattern_set") for layer in document["layers"]}
        self.assertEqual(len(sets - {None}), 2)
        out = folder("layers-out")
        rt3c(*self.model, "--plan", plan, "--keep-sparse", "--name", "lm", "-o", out)
        rt3c("compare", *self.model, "--plan", plan, "--keep-sparse", "--with", out, "--length", "37")
        low = json.loads((out / "lm.report.json").read_text())["levels"][0]["layers"]
        self.assertEqual({layer["layer"]: layer["scheme"] for layer in low}, schemes)
        self.assertIn("dense at this level", next(layer["reason"] for layer in low if layer["layer"] == "/head/MatMul"))

    def test_layouts_of_layers_that_are_wrong(self):
        path = folder("wrong-layers") / "levels.json"

        def refused(says, layers, nested=False, scheme="bp"):
            level = {"name": "low", "scheme": scheme, "layers": layers, **({"density": 0.5} if scheme != "dense" else {})}
            path.write_text(json.dumps({"nested": nested, "levels": [level, {"name": "high", "scheme": "dense"}]}))
            self.assertIn(says, rt3c(*self.model, "--levels", path, "-o", SCRATCH / "wrong-layers-out", code=4).stderr)

        one = {"names": ["/head*"], "scheme": "pp"}
        refused('layers of level low: no layer is named "/tail*"', [{**one, "names": ["/tail*"]}])
        refused("levels[0].layers[0].names: is empty", [{**one, "names": []}])
        refused("levels[0].layers[0].names: is no list of names", [{**one, "names": "/head*"}])
        refused("levels[0].layers[0].scheme: is missing", [{"names": ["/head*"]}])
        refused("levels[0].layers[0].density: is no known field", [{**one, "density": 0.3}])
        refused("levels[0].layers: is no list", one)
        blocks = {"rows": 8, "columns": 4, "count": 8}
        refused("levels[0].layers[0].pattern.inputs: 8 are more than the 4 columns", [{**one, "pattern": blocks | {"inputs": 8}}])
        refused("levels[0].layers[0].pattern.inputs: is of patterns that all keep as many", [{**one, "pattern": blocks | {"kept": "free", "inputs": 2}}])
        refused("levels[0].layers: nested levels have one layout", [one], nested=True)
        refused("stands in a level that is dense", [one], scheme="dense")
        refused('levels[0].scheme: "bq" is none of dense, bp, pp, bp+pp', [one], scheme="bq")
        self.assertNotIn("stands in", rt3c(*self.model, "--levels", path, "-o", SCRATCH / "wrong-layers-out", code=4).stderr)

    def test_memory_is_bounded(self):
        _, report = self.prune("plan-small", INDEPENDENT, "--calib", self.samples)
        result = rt3c("prune", *self.model, "--levels", SCRATCH / "plan-small-levels/levels.json", "--calib", self.samples,
                      "--calib-memory", "133", "-o", folder("plan-bounded"))
        self.assertIn("of 8 samples are used", result.stderr)
        # What libraries take is no business of ours: 15 % more or less.
        peak = int(re.search(r"peak memory (\d+) MiB", result.stdout)[1])
        self.assertLess(peak, 1.15 * 133)
        out = SCRATCH / "plan-unbounded"
        result = rt3c("prune", *self.model, "--levels", SCRATCH / "plan-small-levels/levels.json", "--calib", self.samples,
                      "--calib-memory", "20", "-o", out, code=4)
        self.assertIn("even one sample takes about", result.stderr)
        self.assertFalse(out.exists())

    def test_plans_that_are_wrong(self):
        plan, _ = self.prune("plan-wrong", NESTED)
        out = SCRATCH / "wrong-plan-out"

        def refused(says, *options, code=4, model=None):
            self.assertIn(says, rt3c(*(model or self.model), "--plan", plan, *options, "-o", out, code=code).stderr)
            self.assertFalse(out.exists())

        self.assertIn("name the folder", rt3c(*self.model, "--plan", plan / "plan.json", "-o", out, code=4).stderr)
        refused("exclude each other", "--levels", SCRATCH / "plan-wrong-levels/levels.json", code=2)
        text = (plan / "plan.json").read_text()
        (plan / "plan.json").write_text(text.replace("head", "other"))
        refused("has no layer")
        layer = json.loads(text)["layers"][0]["weights_hash"]
        (plan / "plan.json").write_text(text.replace(layer, "1234"))
        refused("has other weights")
        (plan / "plan.json").write_text(text[: len(text) // 2])
        refused("not JSON")
        (plan / "plan.json").write_text(text)
        weights = (plan / "plan.weights").read_bytes()
        (plan / "plan.weights").write_bytes(weights[:-1])
        refused("\"weights_size\" of plan.json is " + str(len(weights)))
        (plan / "plan.weights").unlink()
        refused("plan.weights")
        rt3c("prune", *self.model, "-o", out, code=2)


def smtx(mask):
    offsets = [0, *mask.sum(1).cumsum()]
    rows = (numpy.flatnonzero(row) for row in mask)
    return f"{mask.shape[0]}, {mask.shape[1]}, {mask.sum()}\n{' '.join(map(str, offsets))}\n{' '.join(str(i) for row in rows for i in row)}\n"


class GivenMaskTest(unittest.TestCase):
    """Masks that another program made."""

    @classmethod
    def setUpClass(cls):
        cls.model = [MODEL, "--shape", "ids=1x1..128"]
        out, random = folder("dense-report"), numpy.random.default_rng(5)
        rt3c(*cls.model, "--name", "lm", "-o", out)
        layers = json.loads((out / "lm.report.json").read_text())["levels"][0]["layers"]
        cls.masks = {layer["layer"]: random.random((layer["outputs"], layer["inputs"])) < 0.4 for layer in layers}
        cls.folder = folder("given-masks")

    def plan(self, *options):
        out = folder("given-plan")
        rt3c("prune", *self.model, *options, "-o", out)
        return (out / "plan.weights").read_bytes()

    def test_all_files_say_the_same(self):
        numpy.savez_compressed(self.folder / "a.npz", **self.masks)
        # Names as files can have them, other types, and -0.
        numpy.savez(self.folder / "b.npz", **{name.replace("/", "_"): mask.astype(numpy.uint8) for name, mask in self.masks.items()})
        numpy.savez(self.folder / "c.npz", **{name: numpy.where(mask, 0.5, -0.0) for name, mask in self.masks.items()})
        for name, mask in self.masks.items():
            path = self.folder / f"smtx{name}.smtx"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(smtx(mask))
        plans = [self.plan("--masks", self.folder / name) for name in ("a.npz", "b.npz", "c.npz", "smtx")]
        self.assertEqual(len(set(plans)), 1)
        bits = numpy.unpackbits(numpy.frombuffer(plans[0], numpy.uint8), bitorder="little")
        first = next(iter(self.masks.values())).T
        self.assertTrue((bits[: first.size].reshape(first.shape) == first).all())

    def test_nan_is_no_answer(self):
        name, mask = next(iter(self.masks.items()))
        numpy.savez(self.folder / "nan.npz", **{name: numpy.where(mask, numpy.nan, 0).astype(numpy.float16)})
        refused = rt3c("prune", *self.model, "--masks", self.folder / "nan.npz", "-o", SCRATCH / "nan-plan", code=4).stderr
        self.assertIn("has NaN at [", refused)

    def test_they_are_compiled(self):
        numpy.savez(self.folder / "d.npz", **self.masks)
        some = dict(list(self.masks.items())[:2])
        numpy.savez(self.folder / "some.npz", **{name: mask | True for name, mask in some.items()})
        self.plan("--masks", f"low={self.folder / 'd.npz'}", "--masks", f"high={self.folder / 'some.npz'}")
        out = folder("given-out")
        options = [*self.model, "--plan", SCRATCH / "given-plan"]
        rt3c(*options, "--keep-sparse", "--name", "lm", "-o", out)
        rt3c("compare", *options, "--with", out, "--length", "37")
        low, high = json.loads((out / "lm.report.json").read_text())["levels"]
        self.assertEqual([low["name"], high["name"]], ["low", "high"])
        kept = {layer["layer"]: layer["kept"] / (layer["inputs"] * layer["outputs"]) for layer in low["layers"]}
        for name, mask in self.masks.items():
            self.assertAlmostEqual(kept[name], mask.mean(), 6)

    def test_what_is_wrong_is_said_at_once(self):
        def refused(says, path, code=4):
            out = SCRATCH / "no-plan"
            message = rt3c("prune", *self.model, "--masks", path, "-o", out, code=code).stderr
            for each in says if isinstance(says, tuple) else (says,):
                self.assertIn(each, message)
            self.assertFalse(out.exists())

        name, mask = next(iter(self.masks.items()))
        path = self.folder / "bad.npz"
        numpy.savez(path, nothing=mask, **{name: mask[:-1]})
        refused(("is of no layer", "the layer has 128 outputs"), path)
        numpy.savez(path, **{name: mask, name.replace("/", "."): mask})
        refused("two masks", path)
        for array, says in [(mask.astype(complex), "type"), (mask[0], "two axes"), (numpy.asfortranarray(mask), "Fortran")]:
            numpy.savez(path, **{name: array})
            refused(says, path)
        numpy.savez_compressed(path, **{name: mask})
        whole = path.read_bytes()
        for size in (0, 10, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            refused("bad.npz", path)
        damaged = bytearray(whole)
        damaged[len(whole) // 3] ^= 255
        path.write_bytes(damaged)
        refused("bad.npz", path)
        refused("is not a letter", f"a-b={path}", code=2)
        refused("no .smtx", folder("empty-masks"))
        path = self.folder / "one.smtx"
        for text, says in [("1, 2", "line 1"), ("2, 2, 1\n0 1\n0", "line 2"), ("1, 2, 1\n0 1\n2", "out of range"),
                           ("1, 2, 2\n0 2\n1 1", "twice"), ("1, x, 2\n0 2\n1 1", "no whole number"),
                           ("99999999999, 99999999999, 0\n0\n", "line 1"), ("1, 2, 2\n0 2\n1", "line 3")]:
            path.write_text(text)
            refused(says, path)


if __name__ == "__main__":
    run_rt3c.main()
