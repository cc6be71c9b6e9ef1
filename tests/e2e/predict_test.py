#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Predictions of time and energy, through the program, on the sample model.

  predict_test.py RT3C SCRATCH_FOLDER
"""

import json
import platform
import re
import subprocess
import unittest

import run_rt3c
from run_rt3c import INDEPENDENT, MODEL, ROOT, RT3C, folder, rt3c

BASE = [MODEL, "--shape", "ids=1x1..128"]


def predict(*arguments, device="snapdragon-865"):
    return json.loads(rt3c("predict", *BASE, "--device", device, "--json", *arguments).stdout)


class PredictTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.levels = folder("predict-levels") / "levels.json"
        cls.levels.write_text(json.dumps(INDEPENDENT))

    def test_faster_clocks_are_faster_and_sparser_levels_too(self):
        for device in ("snapdragon-865", "snapdragon-865:a55", "tensor-g1:x1", "raspberry-pi-4"):
            levels = predict("--levels", self.levels, "--all-clocks", device=device)["levels"]
            for level in levels:
                times = [point["milliseconds"] for point in level["points"]]
                self.assertEqual(times, sorted(times, reverse=True), device)
                self.assertGreater(min(times), 0)
            dense = {level["level"]: level["points"] for level in levels}["high"]
            for level in levels[:-1]:
                for sparse, full in zip(level["points"], dense):
                    self.assertLess(sparse["milliseconds"], full["milliseconds"], device)
                    self.assertLess(sparse["millijoules"], full["millijoules"], device)

    def test_longer_inputs_take_longer(self):
        cycles = [predict("--length", length)["levels"][0]["cycles"] for length in (1, 12, 64, 128)]
        self.assertEqual(cycles, sorted(cycles))

    def test_agrees_with_counting_under_qemu(self):
        """Blocks counted here, of code for AArch64, against all instructions that qemu ran."""
        scratch = folder("count")
        counted = json.loads(subprocess.run(
            ["/usr/bin/python3", ROOT / "benchmarks/arm/count.py", MODEL, "--levels", self.levels, "--shape", "ids=1x1..128", "--length", "77",
             "--without-onnxruntime", "--json", "--models", "neoverse-n1", "--build", RT3C.parent.parent, "--scratch", scratch],
            check=True, capture_output=True, text=True).stdout)
        levels = predict("--levels", self.levels, "--length", "77", "--all-clocks", device="neoverse-n1")["levels"]
        self.assertEqual([len(counted), len(levels)], [4, 4])
        # Loops of this small model make some four trips; blocks that code
        # generation makes between them are not counted: up to 3 % here.
        for expected, found in zip(counted, levels):
            self.assertAlmostEqual(found["instructions"] / expected["instructions"], 1, delta=0.05, msg=expected["name"])
            self.assertAlmostEqual(found["cycles"] / expected["cycles"]["neoverse-n1"], 1, delta=0.05, msg=expected["name"])

    def test_tokens_of_a_text_cost_more_the_more_there_are(self):
        options = ["--shape", "ids=1x1..16", "--kv-cache", "128", "--device", "snapdragon-865", "--json", "--levels", self.levels]

        def cycles(length, position):
            found = rt3c("predict", MODEL, *options, "--length", length, "--position", position).stdout
            return [level["cycles"] for level in json.loads(found)["levels"]]

        first, later, prompt = cycles(1, 0), cycles(1, 100), cycles(16, 0)
        for one, two, many in zip(first, later, prompt):
            self.assertLess(one, two)
            self.assertLess(two, many)
        self.assertIn("holds 128", rt3c("predict", MODEL, *options, "--length", "1", "--position", "128", code=2).stderr)

    def test_every_layer_has_its_cycles(self):
        for level in predict("--levels", self.levels, "--all-clocks")["levels"]:
            layers = [op for op in level["ops"] if op["layer"]]
            self.assertEqual(len(layers), 13)
            for op in layers:
                self.assertGreater(op["cycles"], 1000, op)
                self.assertGreater(op["weight_bytes"], 0, op)

    def test_wrong_options_are_refused(self):
        bad = folder("bad-device") / "bad.json"
        bad.write_text('{"name": "x", "cores": []}')
        for arguments, words in (
            (["--device", "nokia-3310"], ["snapdragon-865", "nokia-3310"]),
            (["--device", "snapdragon-865:z80"], ["a77-prime"]),
            (["--device", "exynos-5422"], ["table of clocks only"]),
            (["--device", bad], ["chip.cores", "chip.summary"]),
            (["--device", bad.parent / "none.json"], ["cannot be read"]),
            (["--device", "neoverse-n1", "--length", "129"], ["1 to 128"]),
            (["--device", "neoverse-n1", "--length", "0"], ["--length"]),
            (["--device", "neoverse-n1", "--target", "cortex-a55"], ["runs code for neoverse-n1"]),
            (["--device", "neoverse-n1:"], ["no core"]),
            # The levels' clocks are not the device's.
            (["--device", "neoverse-n1", "--levels", ROOT / "tests/models/byte-lm/levels.json"], ["--all-clocks"]),
        ):
            error = rt3c("predict", *BASE, *arguments, code=2).stderr
            for word in words:
                self.assertIn(word, error)

    def test_a_calibrated_device_refuses_to_extrapolate(self):
        device = next(chip for chip in json.loads(rt3c("targets", "--json").stdout)["devices"] if chip["name"] == "neoverse-n1")
        device["cores"][0]["calibration"] = {"machine": "here", "measurements": 8, "held_out": 4, "layer_error_percent": 5,
                                             "model_error_percent": 3, "min_length": 8, "max_length": 64}
        path = folder("calibrated-device") / "device.json"
        path.write_text(json.dumps(device))
        self.assertIn("--extrapolate", rt3c("predict", *BASE, "--device", path, code=2).stderr)
        self.assertIn("mean error 5.0 % per layer", rt3c("predict", *BASE, "--device", path, "--length", "64").stdout)
        rt3c("predict", *BASE, "--device", path, "--extrapolate")
        device["cores"][0]["scheduler_model"] = "neoverse-n9"
        unknown = path.with_name("unknown.json")
        unknown.write_text(json.dumps(device))
        self.assertIn('for "neoverse-n9"', rt3c("predict", *BASE, "--device", unknown, "--extrapolate", code=4).stderr)
        self.assertIn("scheduler_model of the device", rt3c("predict", *BASE, "--device", unknown, "--extrapolate", code=4).stderr)
        # How many tokens a fixed shape has is not known.
        fixed = ["predict", MODEL, "--shape", "ids=1x16", "--device", path]
        self.assertIn("leave the length free", rt3c(*fixed, code=2).stderr)
        rt3c(*fixed, "--extrapolate")

    def test_instructions_in_flight_hide_what_loops_wait_for(self):
        device = next(chip for chip in json.loads(rt3c("targets", "--json").stdout)["devices"] if chip["name"] == "neoverse-n1")
        path = folder("windows") / "device.json"
        cycles = []
        for window in (0, 60, 1000, 10**9):
            device["cores"][0]["window"] = window
            path.write_text(json.dumps(device))
            levels = predict("--levels", self.levels, "--all-clocks", device=path)["levels"]
            cycles.append([sum(op["cycles"] for op in level["ops"]) for level in levels])
        for waits, fewer, few, none in zip(*cycles):
            self.assertGreater(waits, fewer)
            self.assertGreater(fewer, few)
            self.assertGreaterEqual(few, none)
            self.assertGreater(none, waits / 2)  # What is issued takes its time whatever is hidden.

    @unittest.skipUnless(platform.machine() == "x86_64", "its device is an x86-64 one")
    def test_constants_are_fitted_to_several_models(self):
        out = folder("calibrate")
        targets = json.loads(rt3c("targets", "--json").stdout)
        device = next(chip for chip in targets["devices"] if chip["name"] == "epyc-zen5")
        core = device["cores"][0]
        core["target"] = re.search("this machine ([^;]+)", rt3c("calibrate", *BASE, "--device", "neoverse-n1", code=2).stderr)[1]
        core["scheduler_model"], core["window"] = "skylake-avx512", 224
        (out / "base.json").write_text(json.dumps(device))
        measured = out / "measured.json"
        levels = out / "levels.json"
        levels.write_text(json.dumps(INDEPENDENT | {"levels": INDEPENDENT["levels"][-2:]}))
        command = ["calibrate", *BASE, "--levels", levels, "--device", out / "base.json", "--lengths", "1,16",
                   "--measurements", measured, "-o", out / "fitted.json"]
        for kind in ("f32", "int8", "f32"):  # The second of a kind takes the place of the first.
            text = rt3c(*command, "--type", kind).stdout
            self.assertIn("held out: mean error", text)
        models = json.loads(measured.read_text())["models"]
        self.assertEqual([model["name"].rsplit(", ")[-1] for model in models], ["int8", "f32"])
        # Partial sums go out and in where a panel of inputs exceeds the first cache.
        largest = max(models[-1]["measurements"], key=lambda one: one["partial_sum_bytes_1"])
        self.assertIn("down", largest["layer"])
        self.assertGreater(largest["partial_sum_bytes_1"], 0)
        # An op touches at least its own weights, and the rows that it reads and writes, if those are not one buffer.
        for one in models[-1]["measurements"]:
            self.assertGreaterEqual(one["touched_bytes_0"], one["weight_bytes"], one)
            if one["layer"]:
                self.assertGreaterEqual(one["touched_bytes_1"], one["activation_bytes_1"], one)
        fitted = json.loads((out / "fitted.json").read_text())["cores"][0]
        self.assertEqual(fitted["calibration"]["measurements"], sum(len(model["measurements"]) for model in models))
        self.assertLessEqual(fitted["constants"]["wait_share"], 1)
        sources = json.loads((out / "fitted.json").read_text())["sources"]
        self.assertEqual([source for source in sources if source.startswith("constants:")],
                         ["constants: rt3c calibrate on " + "; ".join(model["name"] for model in models)])
        rt3c("predict", *BASE, "--device", out / "fitted.json", "--length", "16")
        before = (out / "fitted.json").read_bytes()
        for text, word in (("{", "measurements:"), (measured.read_text().replace('"machine": "', '"machine": "other '), "another file"),
                           (measured.read_text().replace('"window": 224', '"window": 225'), "window 225"),
                           (measured.read_text().replace('"touched_bytes_0"', '"touched"'), "of an older rt3c"),
                           (measured.read_text().replace('"seconds": ', '"seconds": -'), "measurements[0].seconds")):
            measured.write_text(text)
            self.assertIn(word, rt3c(*command, code=4).stderr)
            self.assertEqual(measured.read_text(), text)
        self.assertIn("--check", rt3c(*command, "--check", code=2).stderr)
        self.assertIn("one file", rt3c(*command[:-1], measured, code=2).stderr)
        measured.unlink()
        # Before anything is measured.
        refused = rt3c(*command[:-1], levels / "fitted.json", code=4)
        self.assertTrue("is a file" in refused.stderr and not refused.stdout, refused)
        self.assertEqual((out / "fitted.json").read_bytes(), before)


if __name__ == "__main__":
    run_rt3c.main()
