#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Training on libtorch, through the program, on the sample model and small sets.

  train_test.py RT3C SCRATCH_FOLDER
"""

import json
import re
import signal
import subprocess
import unittest

import run_rt3c
from run_rt3c import MODEL, RT3C, ROOT, SCRATCH, folder, rt3c

HELD_OUT = ROOT / "tests/models/byte-lm/held-out.txt"
SHAPE = ["--shape", "ids=1x1..32"]
LEVELS = {
    "nested": True,
    "levels": [
        {"name": "low", "scheme": "bp", "density": 0.4},
        {"name": "mid", "scheme": "pp", "density": 0.7},
        {"name": "high", "scheme": "dense"},
    ],
}


def lines(result):
    """The metric of each level, line by line of a training's report."""
    found = []
    for line in result.stdout.splitlines():
        if line.startswith("step "):
            words = re.search(r"; \D*? (low|dense|mid|high) (.*)", line)
            found.append({name: float(value) for name, value in re.findall(r"(\w+) (-?[\d.]+)", words[0])})
    return found


class LanguageModelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.texts = folder("train-texts")
        cls.train, cls.valid = cls.texts / "train.txt", cls.texts / "valid.txt"
        cls.train.write_bytes(HELD_OUT.read_bytes()[:3000])
        cls.valid.write_bytes(HELD_OUT.read_bytes()[3000:4000])
        cls.levels = cls.texts / "levels.json"
        cls.levels.write_text(json.dumps(LEVELS))
        cls.own = cls.texts / "own.json"
        cls.own.write_text(json.dumps({**LEVELS, "nested": False}))
        cls.options = ["train", MODEL, *SHAPE, "--task", "language-model", "--tokenizer", "bytes", "--data", cls.train,
                       "--validation", cls.valid, "--batch", "4", "--threads", "1", "--learning-rate", "0.001"]
        cls.eval = ["--task", "language-model", "--tokenizer", "bytes", "--data", cls.valid]

    def test_levels_recover_and_the_plan_says_what_was_measured(self):
        out, plan = folder("trained"), folder("untrained-plan")
        result = rt3c(*self.options, "--levels", self.levels, "--epochs", "3", "-o", out)
        report = lines(result)[-1]
        rt3c("prune", MODEL, *SHAPE, "--levels", self.levels, "-o", plan)
        value = lambda level: level["metrics"]["bits per token"]["value"]
        untrained, trained = (
            {each["level"]: value(each) for each in json.loads(rt3c("eval", *subject, *SHAPE, *self.eval, "--json").stdout)["levels"]}
            for subject in ([MODEL, "--plan", plan], [out / "model.onnx", "--plan", out])
        )
        for level in ("low", "mid"):
            self.assertLess(trained[level], untrained[level] - 0.3)
        # Bits per token of three windows fewer, where training leaves the rest of a text out.
        whole = self.texts / "whole.txt"
        whole.write_bytes(self.valid.read_bytes()[: 31 * 32 + 1])
        exact = json.loads(rt3c("eval", out / "model.onnx", "--plan", out, *SHAPE, *self.eval[:-1], whole, "--json").stdout)
        found = {level["level"]: value(level) for level in exact["levels"]}
        for level in ("low", "mid", "high"):
            self.assertAlmostEqual(found[level], report[level], 3)
        # What a compiled library computes of both files.
        bundle = folder("trained-bundle")
        rt3c(out / "model.onnx", "--plan", out, *SHAPE, "-o", bundle)
        rt3c("compare", out / "model.onnx", "--plan", out, *SHAPE, "--with", bundle)
        densities = [level["density"] for level in exact["levels"] if level["level"] != "(dense)"]
        for density, asked in zip(densities, (0.4, 0.7, 1)):
            # Nested masks are cut to those of the denser level.
            self.assertLess(density, asked + 0.01)
            self.assertGreater(density, 0.75 * asked)

    def test_a_killed_run_ends_in_the_same_bytes(self):
        whole, killed = folder("train-whole"), folder("train-killed")
        options = [*self.options, "--levels", self.levels, "--epochs", "1.5", "--checkpoint-steps", "3",
                   "--group-lasso", "1"]
        rt3c(*options, "-o", whole)
        process = subprocess.Popen([RT3C, *map(str, options), "-o", killed], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while not (killed / "checkpoint.pt").exists() and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        self.assertEqual([each.name for each in killed.iterdir()], ["checkpoint.pt"])
        # Another run's checkpoint is neither taken nor lost.
        before = (killed / "checkpoint.pt").read_bytes()
        for other in (["--seed", "2"], ["--weight-decay", "0.011"], ["--hidden", "0.5"], ["--shape", "ids=1x1..31"]):
            changed = [each for i, each in enumerate(options) if other[0] not in options[max(0, i - 1) : i + 1]]
            self.assertIn("belongs to another", rt3c(*changed, *other, "-o", killed, code=2).stderr)
        self.assertEqual((killed / "checkpoint.pt").read_bytes(), before)
        # A broken one says so.
        (killed / "checkpoint.pt").write_bytes(before[4:])
        self.assertIn("is damaged", rt3c(*options, "-o", killed, code=2).stderr)
        (killed / "checkpoint.pt").write_bytes(before[: len(before) // 2])
        self.assertIn("checkpoint.pt is damaged", rt3c(*options, "-o", killed, code=2).stderr)
        (killed / "checkpoint.pt").write_bytes(before.replace(b"rt3-checkpoint 2", b"rt3-checkpoint 1", 1))
        self.assertIn("is of another version of rt3c", rt3c(*options, "-o", killed, code=2).stderr)
        (killed / "checkpoint.pt").write_bytes(before)
        self.assertIn("resumed at step", rt3c(*options, "-o", killed).stdout)
        for name in ("model.onnx", "plan.json", "plan.weights"):
            self.assertEqual((whole / name).read_bytes(), (killed / name).read_bytes(), name)
        self.assertFalse((killed / "checkpoint.pt").exists())

    def test_masks_of_a_plan_stay(self):
        plan, out = folder("given-plan"), folder("trained-under-plan")
        rt3c("prune", MODEL, *SHAPE, "--levels", self.levels, "-o", plan)
        rt3c(*self.options, "--plan", plan, "--epochs", "0.2", "--joint", "summed", "-o", out)
        layers = [json.loads((each / "plan.json").read_text())["layers"] for each in (plan, out)]
        self.assertNotEqual(layers[0][0]["weights_hash"], layers[1][0]["weights_hash"])
        # Masks alone: neither has values of its own.
        self.assertEqual(*((each / "plan.weights").read_bytes() for each in (plan, out)))

    def own_levels(self):
        """A calibrated plan whose levels have values, biases and an order of hidden units of their own."""
        plan = folder("own-plan")
        rt3c("prune", MODEL, *SHAPE, "--levels", self.own, "--calib", self.train, "--tokenizer", "bytes", "--calib-samples", "24",
             "-o", plan)
        return plan

    def test_levels_of_a_plan_train_values_of_their_own(self):
        plan, out, bundle = self.own_levels(), folder("trained-own"), folder("trained-own-bundle")
        report = lines(rt3c(*self.options, "--plan", plan, "--epochs", "2", "-o", out))
        best = min(report, key=lambda line: sum(line.values()))
        # Step 0 is the plan as it was; the level that is dense has nothing to train.
        self.assertLess(best["low"], report[0]["low"] - 0.05)
        self.assertEqual(best["high"], report[0]["high"])
        self.assertEqual((out / "model.onnx").read_bytes(), MODEL.read_bytes())
        before, after = (json.loads((each / "plan.json").read_text()) for each in (plan, out))
        for each in (before, after):
            each.pop("weights_hash"), each.pop("model")
        self.assertEqual(before, after)
        self.assertTrue(any("order_offset" in layer for layer in after["layers"]))
        # The values written are those measured, in the plan's order of hidden units, biases among them.
        whole = self.texts / "whole-own.txt"
        whole.write_bytes(self.valid.read_bytes()[: 31 * 32 + 1])
        task = [*self.eval[:-1], whole, "--json"]
        for subject, measured in ((plan, report[0]), (out, best)):
            found = json.loads(rt3c("eval", MODEL, "--plan", subject, *SHAPE, *task).stdout)["levels"]
            for level in found[1:]:
                self.assertAlmostEqual(level["metrics"]["bits per token"]["value"], measured[level["level"]], 3)
        rt3c(MODEL, "--plan", out, *SHAPE, "-o", bundle)
        rt3c("compare", MODEL, "--plan", out, *SHAPE, "--with", bundle)

    def test_own_values_resume_in_the_same_bytes(self):
        plan, whole, killed = self.own_levels(), folder("own-whole"), folder("own-killed")
        options = [*self.options, "--plan", plan, "--epochs", "1", "--checkpoint-steps", "2"]
        rt3c(*options, "-o", whole)
        process = subprocess.Popen([RT3C, *map(str, options), "-o", killed], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while not (killed / "checkpoint.pt").exists() and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        self.assertIn("belongs to another", rt3c(*options, "--values", "shared", "-o", killed, code=2).stderr)
        self.assertIn("resumed at step", rt3c(*options, "-o", killed).stdout)
        for name in ("model.onnx", "plan.json", "plan.weights"):
            self.assertEqual((whole / name).read_bytes(), (killed / name).read_bytes(), name)

    def test_own_values_need_levels_that_share_none(self):
        nested, masks, out = folder("nested-plan"), folder("mask-plan"), SCRATCH / "own-refused"
        self.assertIn("needs --plan", rt3c(*self.options, "--levels", self.own, "--values", "own", "-o", out, code=2).stderr)
        rt3c("prune", MODEL, *SHAPE, "--levels", self.levels, "-o", nested)
        refused = rt3c(*self.options, "--plan", nested, "--values", "own", "-o", out, code=4).stderr
        self.assertIn("nested", refused)
        self.assertIn("--values shared", refused)
        # Masks alone begin at the model's weights.
        rt3c("prune", MODEL, *SHAPE, "--levels", self.own, "-o", masks)
        report = lines(rt3c(*self.options, "--plan", masks, "--values", "own", "--epochs", "1", "-o", folder("trained-masks")))
        self.assertLess(report[-1]["low"], report[0]["low"] - 0.3)

    def test_the_dense_model_is_a_teacher_without_labels(self):
        table, out = self.texts / "texts.tsv", folder("trained-outputs")
        text = HELD_OUT.read_text(errors="replace").replace("\t", " ").replace("\n", " ")
        table.write_text("text\n" + "\n".join(text[32 * i : 32 * i + 32] for i in range(40)) + "\n")
        options = [*self.options, "--levels", self.levels, "--epochs", "6", "--ramp", "0", "--validation-steps", "1", "-o", out]
        options[options.index("--task") + 1] = "outputs"
        for name in ("--data", "--validation"):
            options[options.index(name) + 1] = table
        report = lines(rt3c(*options))
        self.assertLess(report[-1]["low"], 0.7 * report[0]["low"])
        # Texts alone are enough.
        for name, data in (("--data", self.train), ("--validation", self.valid)):
            options[options.index(name) + 1] = data
        report = lines(rt3c(*options))
        self.assertLess(report[-1]["low"], report[0]["low"])

    def test_distillation_keeps_the_dense_level_what_it_was(self):
        """Of a text backwards, labels alone teach something else."""
        backwards = self.texts / "backwards.txt"
        backwards.write_bytes(self.train.read_bytes()[::-1])
        options = [*self.options, "--levels", self.levels, "--epochs", "2"]
        options[options.index("--data") + 1] = backwards
        dense = json.loads(rt3c("eval", MODEL, *SHAPE, *self.eval, "--json").stdout)["levels"][0]["metrics"]["bits per token"]["value"]
        drift = {share: lines(rt3c(*options, "--distillation", share, "-o", folder(f"trained-{share}")))[-1]["high"] - dense for share in (0, 1)}
        self.assertGreater(drift[0], 0.5)
        self.assertLess(drift[1], 0.5 * drift[0])

    def test_hidden_states_teach_more_than_results_alone(self):
        reports = [
            lines(rt3c(*self.options, "--levels", self.levels, "--epochs", "3", "--hidden", share, "-o", folder(f"trained-hidden-{share}")))[-1]
            for share in (0, 1)
        ]
        # Bits per token; some 0.09 less was seen.
        self.assertLess(sum(reports[1].values()), sum(reports[0].values()))

    def test_levels_of_time_need_a_plan(self):
        levels = folder("time-levels") / "levels.json"
        levels.write_text(json.dumps({"levels": [{"name": "low", "scheme": "bp", "time": 0.5}]}))
        refused = rt3c("train", MODEL, *SHAPE, "--levels", levels, "--task", "outputs", "--tokenizer", "bytes", "--data", HELD_OUT,
                       "--validation", HELD_OUT, "-o", SCRATCH / "time-trained", code=4)
        self.assertIn("rt3c prune --target", refused.stderr)

    def test_bad_input(self):
        out = SCRATCH / "bad-training"
        table = self.texts / "labels.tsv"
        table.write_text("label\ttext\n0\ta\n3\tb\n")
        classify = ["--task", "classification", "--classes", "2", "--data", table, "--validation", table]

        def refused(code, says, *changes):
            options = list(self.options)
            for name, value in zip(changes[::2], changes[1::2]):
                if name in options:
                    options[options.index(name) + 1] = value
                else:
                    options += [name, value]
            self.assertIn(says, rt3c(*options, "-o", out, code=code).stderr)
            self.assertFalse(out.exists() and any(out.iterdir()))

        refused(2, "none of classification", "--task", "poetry")
        refused(2, "needs --levels", "--task", "outputs")
        (self.texts / "levels.json").write_text(json.dumps(LEVELS))
        refused(4, "--text and --label name columns of a table", "--task", "outputs", "--levels", self.texts / "levels.json", "--text", "text")
        refused(4, 'line 3: label "3"', *classify)
        refused(4, "line 3 has label 3, but no row has 1", *(option for option in classify if option not in ("--classes", "2")))
        empty = self.texts / "empty.tsv"
        empty.write_text("\n")
        refused(4, "empty.tsv: is empty, expected a header", *classify, "--data", empty, "--validation", empty)
        refused(2, "is no number", "--epochs", "nan")
        refused(2, "is no number", "--learning-rate", "inf")
        refused(2, "is no number", "--ramp", "nan")
        refused(4, "no whole step", "--epochs", "0.0001")
        refused(4, "fewer than a batch", "--batch", "1000")
        refused(4, "nothing.txt", "--data", "nothing.txt")
        refused(2, "is no number", "--learning-rate", "1e30")
        (self.texts / "file").write_text("")
        result = rt3c(*self.options, "-o", self.texts / "file", code=4)
        self.assertNotIn("step", result.stdout)


class ClassificationTest(unittest.TestCase):
    """A head behind the sample model learns to tell two kinds of texts apart."""

    def test_head_is_learnt_and_compiled(self):
        out = folder("trained-head")
        words = HELD_OUT.read_text(errors="replace").split()
        rows = [f"{i % 2}\t{'zzz ' if i % 2 else ''}{' '.join(words[5 * i : 5 * i + 3])}" for i in range(96)]
        data = out / "data.tsv"
        data.write_text("label\ttext\n" + "\n".join(rows) + "\n")
        levels = out / "levels.json"
        levels.write_text(json.dumps(LEVELS))
        task = ["--task", "classification", "--tokenizer", "bytes"]
        result = rt3c("train", MODEL, *SHAPE, *task, "--data", data, "--validation", data, "--epochs", "8", "--batch", "8",
                      "--threads", "1", "--learning-rate", "0.001", "--levels", levels, "-o", out)
        self.assertIn("a head of 256 x 2 weights", result.stdout)
        found = json.loads(rt3c("eval", out / "model.onnx", "--plan", out, *SHAPE, *task, "--data", data, "--json").stdout)
        for level in found["levels"]:
            self.assertGreater(level["metrics"]["accuracy"]["value"], 0.9, level["level"])
        # Trained once more, it has its head already.
        again = rt3c("train", out / "model.onnx", *SHAPE, *task, "--data", data, "--validation", data, "--epochs", "0.2",
                     "--batch", "8", "-o", folder("trained-again"))
        self.assertNotIn("a head of", again.stdout)


if __name__ == "__main__":
    run_rt3c.main()
