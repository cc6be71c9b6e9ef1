#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Calibrated pruning and plans, through the program, on the sample model.

  prune_test.py RT3C SCRATCH_FOLDER
"""

import json
import unittest

import numpy

import run_rt3c
from run_rt3c import INDEPENDENT, MODEL, NESTED, ROOT, SCRATCH, folder, rt3c


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
        self.assertTrue((self.logits(out, "high") == dense).all())
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
        refused("has no folder")
        (bad / "0").mkdir()
        refused("ids.npy")
        numpy.save(bad / "0/ids.npy", numpy.zeros((1, 129), numpy.int64))
        refused("expected 1 to 128")
        numpy.save(bad / "0/ids.npy", numpy.zeros((1, 4), numpy.float32))
        refused("another type")
        numpy.save(bad / "0/ids.npy", numpy.zeros((4,), numpy.int64))
        refused("1 axes, expected 2")
        numpy.save(bad / "0/ids.npy", numpy.zeros((1, 4), numpy.int64))
        bad = SCRATCH / "nowhere"
        refused("cannot be read")


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
            self.assertEqual([level["name"] for level in inspected["levels"]], [level["name"] for level in levels["levels"]])

    def test_by_magnitude_it_gives_what_levels_give(self):
        plan, _ = self.prune("plan-magnitude", NESTED)
        outs = [folder("from-plan"), folder("from-levels")]
        rt3c(*self.model, "--plan", plan, "--name", "lm", "-o", outs[0])
        rt3c(*self.model, "--levels", SCRATCH / "plan-magnitude-levels/levels.json", "--name", "lm", "-o", outs[1])
        self.assertEqual(*((out / "lm.rt3").read_bytes() for out in outs))

    def test_same_samples_give_the_same_plan(self):
        plans = [self.prune(name, NESTED, "--calib", self.samples)[0] for name in ("plan-1", "plan-2")]
        for name in ("plan.json", "plan.weights"):
            self.assertEqual(*((plan / name).read_bytes() for plan in plans))

    def test_plans_that_are_wrong(self):
        plan, _ = self.prune("plan-wrong", NESTED)
        out = SCRATCH / "wrong-plan-out"

        def refused(says, *options, code=4, model=None):
            self.assertIn(says, rt3c(*(model or self.model), "--plan", plan, *options, "-o", out, code=code).stderr)
            self.assertFalse(out.exists())

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
        refused("weights_size")
        (plan / "plan.weights").unlink()
        refused("plan.weights")
        rt3c("prune", *self.model, "-o", out, code=2)


if __name__ == "__main__":
    run_rt3c.main()
