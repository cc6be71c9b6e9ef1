#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Metrics of models, plans and bundles, through the program, on the sample model.

  eval_test.py RT3C SCRATCH_FOLDER
"""

import json
import math
import unittest

import numpy

import run_rt3c
from run_rt3c import INDEPENDENT, MODEL, ROOT, folder, rt3c

HELD_OUT = ROOT / "tests/models/byte-lm/held-out.txt"
LANGUAGE = ["--task", "language-model", "--tokenizer", "bytes"]


def metrics(*arguments):
    result = json.loads(rt3c("eval", *arguments, "--json").stdout)
    return {level["level"]: level["metrics"] for level in result["levels"]}


class LanguageModelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = folder("eval-text") / "text.txt"
        cls.text.write_bytes(HELD_OUT.read_bytes()[:700])
        cls.levels = cls.text.with_name("levels.json")
        cls.levels.write_text(json.dumps(INDEPENDENT))
        cls.model = [MODEL, "--shape", "ids=1x1..128"]

    def test_bits_are_those_of_the_logits(self):
        out, data = folder("eval-bundle"), self.text.read_bytes()
        rt3c(*self.model, "-o", out)
        nats = 0
        for begin in range(0, len(data) - 1, 128):
            window = data[begin : begin + 129]
            numpy.save(out / "in.npy", numpy.array([list(window[:-1])], numpy.int64))
            rt3c("run", out, "--input", f"ids={out / 'in.npy'}", "-o", out)
            logits = numpy.load(out / "logits.npy")[0].astype(float)
            for row, token in zip(logits, window[1:]):
                nats += numpy.log(numpy.exp(row - row.max()).sum()) + row.max() - row[token]
        expected = nats / math.log(2) / (len(data) - 1)
        for subject in ([out], self.model):
            found = metrics(*subject, *LANGUAGE, "--data", self.text)["default"]["bits per token"]
            self.assertAlmostEqual(found["value"], expected, 5)
            self.assertLess(found["low"], expected)
            self.assertGreater(found["high"], expected)

    def test_levels_stand_beside_the_dense_model(self):
        bundle, plan = folder("eval-levels"), folder("eval-plan")
        rt3c(*self.model, "--levels", self.levels, "-o", bundle)
        rt3c("prune", *self.model, "--levels", self.levels, "-o", plan)
        found = [
            metrics(*subject, *LANGUAGE, "--data", self.text)
            for subject in ([bundle], [*self.model, "--levels", self.levels], [*self.model, "--plan", plan])
        ]
        for level in ("low", "mid", "bp", "high"):
            values = [each[level]["bits per token"]["value"] for each in found]
            self.assertEqual(values[0], values[1])
            self.assertEqual(values[0], values[2])
        # Of a bundle the level that keeps all is the reference, of a file the file.
        self.assertEqual(found[0]["high"]["bits per token"]["difference"], 0)
        dense = found[1]["(dense)"]["bits per token"]["value"]
        low = found[1]["low"]["bits per token"]
        self.assertAlmostEqual(low["difference"], low["value"] - dense, 12)
        self.assertGreater(low["difference"], 0)
        # --shape beside a folder is for the reference.
        compared = metrics(bundle, *LANGUAGE, "--data", self.text, "--reference", MODEL, "--shape", "ids=1x1..128")
        self.assertIn("(reference)", compared)
        named = metrics(*self.model, *LANGUAGE, "--data", self.text, "--reference", bundle)
        self.assertEqual(named["default"]["bits per token"]["difference"], 0)

    def test_texts_calibrate(self):
        plan, other = folder("text-plan"), folder("text-plan-2")
        options = [*self.model, "--levels", self.levels, "--calib", HELD_OUT, "--tokenizer", "bytes"]
        for out in (plan, other):
            rt3c("prune", *options, "--calib-samples", "20", "-o", out)
        self.assertEqual((plan / "plan.weights").read_bytes(), (other / "plan.weights").read_bytes())
        better = metrics(*self.model, *LANGUAGE, "--data", self.text, "--plan", plan)
        worse = metrics(*self.model, *LANGUAGE, "--data", self.text, "--levels", self.levels)
        for level in ("mid", "bp"):
            self.assertLess(better[level]["bits per token"]["value"], worse[level]["bits per token"]["value"])

    def test_bad_input(self):
        table = self.text.with_name("table.tsv")
        table.write_text("label\ttext\n1\tone\n")
        unknown = self.text.with_name("unknown.tsv")
        unknown.write_text("label\ttext\ngood\tone\n")
        for options, code, says in [
            (["--task", "poetry", "--tokenizer", "bytes", "--data", self.text], 2, "none of classification"),
            (["--task", "language-model", "--data", self.text], 2, "--tokenizer"),
            ([*LANGUAGE, "--data", self.text.with_name("nothing")], 4, "nothing"),
            (["--task", "classification", "--tokenizer", "bytes", "--data", table], 2, "[1, classes]"),
            (["--task", "classification", "--tokenizer", "bytes", "--data", unknown], 4, 'unknown.tsv: line 2: label "good"'),
            (["--task", "language-model", "--tokenizer", table, "--data", self.text], 4, "[UNK]"),
            ([*LANGUAGE, "--data", self.text, "--output", "probabilities"], 2, "no output probabilities"),
        ]:
            self.assertIn(says, rt3c("eval", *self.model, *options, code=code).stderr)
        vocabulary = self.text.with_name("vocab.txt")
        vocabulary.write_text("[UNK]\n[CLS]\n[SEP]\n" + "\n".join(map(str, range(300))) + "\n")
        options = ["--levels", self.levels, "--calib", self.text, "--tokenizer", vocabulary, "-o", self.text.with_name("none")]
        self.assertIn("the model's table 256 rows", rt3c("prune", *self.model, *options, code=4).stderr)
        self.text.with_name("short.txt").write_text("a")
        self.assertIn("none to predict", rt3c("eval", *self.model, *LANGUAGE, "--data",
                                              self.text.with_name("short.txt"), code=4).stderr)


class TableTest(unittest.TestCase):
    """A model whose logits are known: the embedding of the first byte."""

    def test_metrics_of_known_logits(self):
        graph = run_rt3c.Graph()
        out = folder("eval-table")
        table = numpy.zeros((256, 2), numpy.float32)
        table[ord("b")] = (0, 1)
        table[ord("a")] = (1, 0)
        model = out / "model.onnx"
        x = graph.input("ids", "int64", [1, "length"])
        rows = graph.op("Gather", graph.constant("table", table), x)
        sums = graph.op("ReduceSum", rows, graph.constant("axes", numpy.array([1])), keepdims=0)
        graph.output(sums, "float32", [1, 2])
        graph.save(model)
        data = out / "data.tsv"
        data.write_text("label\ttext\n1\tb\n0\ta\n1\ta\n0\taab\n")
        found = metrics(model, "--shape", "ids=1x1..8", "--task", "classification", "--tokenizer", "bytes",
                        "--data", data)["default"]
        self.assertEqual(found["accuracy"]["value"], 0.75)
        self.assertAlmostEqual(found["F1"]["value"], 2 / 3)
        data.write_text("label\ttext\n2\tb\n")
        self.assertIn("line 2: label", rt3c("eval", model, "--shape", "ids=1x1..8", "--task", "classification",
                                            "--tokenizer", "bytes", "--data", data, code=4).stderr)


if __name__ == "__main__":
    run_rt3c.main()
