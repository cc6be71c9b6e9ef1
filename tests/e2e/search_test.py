#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The search, the simulator and the report, through the program, on the sample model.

  search_test.py RT3C SCRATCH_FOLDER
"""

import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import time
import unittest

import run_rt3c
from run_rt3c import MODEL, ROOT, RT3C, folder, rt3c

FILES = ["plan.json", "plan.weights", "levels.json", "search.json"]


def command(out, *more):
    """A small search: levels are pruned by magnitude and measured on two windows."""
    return ["search", MODEL, "--shape", "ids=1x1..128", "--device", "snapdragon-865", "--latency-limit", "1.2x", "--min-density", "0.6",
            "--level-count", "2", "--method", "rl", "--tokenizer", "bytes", "--data", SearchTest.text, "--task", "language-model", "--evaluations", "8",
            "-o", out, *more]


def contents(out):
    return [(out / name).read_bytes() for name in FILES]


class SearchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = folder("search-data") / "text.txt"
        cls.text.write_bytes((ROOT / "tests/models/byte-lm/held-out.txt").read_bytes()[:257])
        cls.out = folder("searched")
        cls.printed = rt3c(*command(cls.out)).stdout

    def test_every_level_meets_the_limit(self):
        search = json.loads((self.out / "search.json").read_text())
        self.assertEqual([len(search["levels"]), len(search["runs"])], [2, 1])
        for level in search["levels"]:
            self.assertLessEqual(level["seconds"], search["limit_seconds"])
            self.assertGreater(level["energy_mj"], 0)
        slow, fast = search["levels"]
        self.assertLess(slow["frequency_khz"], fast["frequency_khz"])
        self.assertLess(slow["energy_mj"], fast["energy_mj"])
        self.assertEqual(len(search["runs"][0]["trials"]), 8)
        best = max(trial["reward"] for trial in search["runs"][0]["trials"])
        self.assertIn(f"best reward {best:.4f}", self.printed)

    def test_levels_of_a_type_are_compared_with_the_model_as_it_is(self):
        out = folder("typed")
        options = command(out, "--type", "int8", "--dense-type", "f32")
        for name, value in (("--min-density", "0.9"), ("--evaluations", "2")):  # Few layouts to predict.
            options[options.index(name) + 1] = value
        printed = rt3c(*options).stdout
        search, plain = (json.loads((path / "search.json").read_text()) for path in (out, self.out))
        self.assertEqual([search["type"], search["dense_type"]], ["int8", "f32"])
        # The model as it is, whatever type levels have.
        self.assertEqual(search["limit_seconds"], plain["limit_seconds"])
        self.assertEqual(search["dense_metric"], plain["dense_metric"])
        self.assertNotEqual(search["own_dense_metric"], plain["dense_metric"])
        for clock in search["dense_clocks"]:
            self.assertLess(clock["own_seconds"], clock["seconds"])
        self.assertIn("dense int8 at 2841 MHz", printed)
        self.assertIn("over dense f32 at the fastest clock", printed)
        rows = rt3c("simulate", out, "--battery-wh", "0.001").stdout
        for strategy in ("dense f32, fastest clock", "DVFS only f32", "dense int8, fastest clock", "DVFS only int8", "RT3"):
            self.assertIn(strategy, rows)
        rt3c("report", out, "-o", out / "report.html")
        self.assertIn("levels are of type int8", (out / "report.html").read_text())
        # A plan is measured against the same.
        again = folder("typed-again")
        rt3c("search", MODEL, "--shape", "ids=1x1..128", "--device", "snapdragon-865", "--latency-limit", "1.2x", "--tokenizer", "bytes",
             "--data", self.text, "--task", "language-model", "--plan", out, "--type", "int8", "--dense-type", "f32", "-o", again)
        measured = json.loads((again / "search.json").read_text())
        self.assertEqual([level["quality"] for level in measured["levels"]], [level["quality"] for level in search["levels"]])

    def test_narrow_layers_have_layouts_of_their_own(self):
        """At a clock at which several layouts can meet the limit."""
        out = folder("mixed")
        options = command(out, "--clocks", "2265600")
        for name, value in (("--level-count", None), ("--method", "random"), ("--evaluations", "4")):
            at = options.index(name)
            options[at : at + 2] = [name, value] if value else []
        rt3c(*options)
        search = json.loads((out / "search.json").read_text())
        tried = {level["layout"] for trial in search["runs"][0]["trials"] for level in trial["levels"]}
        self.assertTrue(any(" + " in layout for layout in tried), tried)
        self.assertTrue(any(" + " not in layout for layout in tried), tried)
        for trial in search["runs"][0]["trials"]:
            for level in trial["levels"]:
                # What both kinds of layers are predicted to take adds up, but for what the choice of masks changes.
                self.assertLess(level["seconds"], 1.05 * search["limit_seconds"], level["layout"])

    def test_the_plan_compiles_and_predicts_what_the_search_said(self):
        search = json.loads((self.out / "search.json").read_text())
        shape = ["--shape", "ids=1x1..128"]
        predicted = json.loads(rt3c("predict", MODEL, *shape, "--plan", self.out, "--device", "snapdragon-865", "--json").stdout)
        self.assertEqual(len(predicted["levels"]), 2)
        for level, found in zip(search["levels"], predicted["levels"]):
            self.assertAlmostEqual(found["points"][0]["milliseconds"], 1e3 * level["seconds"], delta=1e-6 * level["seconds"] * 1e3)
        compiled = folder("search-compiled")
        rt3c(MODEL, *shape, "--plan", self.out, "-o", compiled)
        rt3c("compare", MODEL, *shape, "--plan", self.out, "--with", compiled, "--length", "20")

    def test_a_given_plan_is_measured_as_the_search_has_it(self):
        """As of a plan that has been trained: nothing is searched, losses are to another model."""
        search = json.loads((self.out / "search.json").read_text())
        given = ["search", MODEL, "--shape", "ids=1x1..128", "--device", "snapdragon-865", "--latency-limit", "1.2x", "--tokenizer", "bytes",
                 "--data", self.text, "--task", "language-model", "--plan", self.out]
        out = folder("given")
        rt3c(*given, "-o", out)
        measured = json.loads((out / "search.json").read_text())
        self.assertEqual([measured["method"], measured["runs"]], ["given plan", []])
        for key in ("levels", "limit_seconds", "dense_metric", "reference_metric", "dense_clocks"):
            self.assertEqual(measured[key], search[key])
        for name in ("plan.json", "plan.weights"):
            self.assertEqual((out / name).read_bytes(), (self.out / name).read_bytes())
        rt3c("simulate", out, "--battery-wh", "0.1")
        rt3c("report", out, "-o", out / "report.html")
        self.assertIn("Nothing was searched", (out / "report.html").read_text())
        other = out / "other.onnx"
        data = bytearray(MODEL.read_bytes())
        at = data.rindex(b"onnx::MatMul_") + 100
        data[at : at + 40000] = bytes(40000)
        other.write_bytes(data)
        rt3c(*given, "--reference", other, "-o", out)
        referred = json.loads((out / "search.json").read_text())
        self.assertEqual([referred["reference"], referred["dense_metric"]], [str(other), measured["dense_metric"]])
        self.assertGreater(referred["reference_metric"], measured["dense_metric"] + 0.01)
        for level, before in zip(referred["levels"], measured["levels"], strict=True):
            self.assertEqual([level["metric"], level["seconds"]], [before["metric"], before["seconds"]])
            self.assertAlmostEqual(level["quality"], referred["reference_metric"] / level["metric"], 9)
        rt3c("report", out, "-o", out / "report.html")
        self.assertIn("Losses are to", (out / "report.html").read_text())
        # A plan of another model, of another type, of no clock; options that only a search has.
        self.assertIn("not for this model", rt3c("search", other, *given[2:], "-o", out, code=4).stderr)
        self.assertIn("is of --type f32, expected int8", rt3c(*given, "--type", "int8", "-o", out, code=4).stderr)
        levels = out / "clockless.json"
        levels.write_text('{"levels": [{"name": "low", "density": 0.5}]}')
        rt3c("prune", MODEL, "--shape", "ids=1x1..128", "--levels", levels, "-o", out / "clockless")
        self.assertIn("frequency_khz", rt3c(*given[:-1], out / "clockless", "-o", out, code=4).stderr)
        self.assertIn("rt3c search --plan", rt3c("simulate", out / "clockless", code=4).stderr)
        # Of a level that was given a time, what it keeps; sets of one layer go by its name.
        levels.write_text('{"levels": [{"name": "low", "frequency_khz": 2841600, "scheme": "pp", "time": 0.6, "pattern": {"shared": false}}]}')
        own = out / "own-sets"
        rt3c("prune", MODEL, "--shape", "ids=1x1..128", "--levels", levels, "--target", "cortex-a76", "-o", own)
        rt3c(*given[:-1], own, "-o", out)
        (kept,) = (level["density"] for level in json.loads((out / "search.json").read_text())["levels"])
        self.assertEqual(kept, json.loads(rt3c("inspect", own, "--json").stdout)["levels"][0]["density"])
        self.assertNotEqual(kept, 0.6)
        rt3c("report", out, "-o", out / "report.html")
        self.assertIn("patterns_low of /head/MatMul", (out / "report.html").read_text())
        self.assertIn("--plan", rt3c(*given, "--method", "rl", "-o", out, code=2).stderr)
        self.assertIn("--plan", rt3c(*given[:-2], "--reference", MODEL, "-o", out, code=2).stderr)

    def test_a_faster_level_that_is_worse_than_a_slower_one_is_named(self):
        out = folder("worse")
        spec = {"nested": False, "levels": [{"name": "slow", "frequency_khz": 2073600, "scheme": "pp", "density": 0.9},
                                            {"name": "fast", "frequency_khz": 2841600, "scheme": "bp", "density": 0.5}]}
        (out / "levels.json").write_text(json.dumps(spec))
        rt3c("prune", MODEL, "--shape", "ids=1x1..128", "--levels", out / "levels.json", "--target", "cortex-a76", "-o", out / "plan")
        printed = rt3c("search", MODEL, "--shape", "ids=1x1..128", "--device", "snapdragon-865", "--tokenizer", "bytes", "--data", self.text,
                       "--task", "language-model", "--plan", out / "plan", "--latency-limit", "2x", "-o", out / "measured").stdout
        found = re.search(r"2841 MHz measures worse than 2073 MHz \(bits per token (\S+), not (\S+)\): the latter's level would take (\S+) ms there\n",
                          printed)
        self.assertTrue(found, printed)
        search = json.loads((out / "measured/search.json").read_text())
        slow, fast = search["levels"]
        self.assertEqual(found.groups(), (f"{fast['metric']:.4f}", f"{slow['metric']:.4f}", f"{1e3 * slow['clock_seconds'][-1]:.3f}"))
        self.assertEqual([found.group().strip()], search["overtaken"])
        rt3c("report", out / "measured", "-o", out / "report.html")
        self.assertIn("2841 MHz measures worse", (out / "report.html").read_text())
        self.assertEqual(json.loads((self.out / "search.json").read_text())["overtaken"], [])

    def test_the_policy_example_follows_a_trace(self):
        out = folder("policy")
        rt3c(MODEL, "--shape", "ids=1x1..128", "--levels", ROOT / "tests/models/byte-lm/levels.json", "-o", out)
        runtime = ROOT / "runtime"
        subprocess.run(["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{runtime}/include", f"-I{out}", runtime / "examples/policy.c",
                        *runtime.glob("src/*.c"), out / "libbyte_lm.a", "-lm", "-pthread", "-o", out / "policy"], check=True)
        (out / "trace").write_text("0 1400000 100 30000\n1000 1400000 50 30000\n2000 600000 50 30000\n20000 1400000 90 30000\n")
        lines = subprocess.run([out / "policy", out / "byte_lm.rt3", out / "trace"], check=True, capture_output=True, text=True).stdout.splitlines()
        self.assertEqual([line.split("level")[1].split()[0] for line in lines[:-1]], ["2", "1", "0", "2"])
        self.assertEqual(lines[-1], "3 switches")
        self.assertEqual(lines[0].split("logit")[1], lines[3].split("logit")[1])

    def test_killed_at_any_time_it_ends_the_same(self):
        out, generator = folder("killed"), random.Random(1)
        for _ in range(20):
            process = subprocess.Popen([RT3C, *map(str, command(out, "--processes", "2"))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.05 + 1.5 * generator.random())
            process.kill()
            process.wait()
        rt3c(*command(out))
        self.assertEqual(contents(out), contents(self.out))

    @unittest.skipUnless(shutil.which("mpirun"), "no mpirun")
    def test_two_ranks_find_what_one_finds(self):
        out = folder("ranks")
        environment = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        subprocess.run(["mpirun", "--oversubscribe", "-n", "2", RT3C, *map(str, command(out, "--processes", "1"))], check=True,
                       capture_output=True, env=environment)
        self.assertEqual(contents(out), contents(self.out))

    def test_damaged_evaluations_are_made_again(self):
        out = folder("damaged")
        shutil.copytree(self.out / "evaluations", out / "evaluations")
        for i, path in enumerate(sorted((out / "evaluations").iterdir())):
            path.write_bytes([b"", path.read_bytes()[:-2], b"\0" * 50, path.read_bytes()][i % 4])
        rt3c(*command(out))
        self.assertEqual(contents(out), contents(self.out))

    def test_a_folder_that_cannot_be_made_is_found_first(self):
        blocked = folder("unwritable") / "file"
        blocked.write_text("")
        said = rt3c(*command(blocked / "searched"), code=4).stderr
        self.assertIn("is a file, expected a folder", said)
        self.assertNotIn("evaluation of", said)

    def test_wrong_options_are_refused(self):
        out = folder("refused")
        chip = next(chip for chip in json.loads(rt3c("targets", "--json").stdout)["devices"] if chip["name"] == "neoverse-n1")
        chip["cores"][0]["calibration"] = {"machine": "here", "measurements": 8, "held_out": 4, "layer_error_percent": 5,
                                           "model_error_percent": 3, "min_length": 8, "max_length": 64}
        (out / "chip.json").write_text(json.dumps(chip))
        for more, code, word in (
            (["--latency-limit", "soon"], 2, "12.5ms"),
            (["--latency-limit", "-1x"], 2, "12.5ms"),
            (["--device", "abacus"], 2, "tensor-g1"),
            (["--clocks", "5"], 2, "844800"),
            (["--clocks", "844800", "--latency-limit", "0.001ms"], 2, "the fastest, bp"),
            (["--task", "chess"], 2, "language-model"),
            (["--data", out / "nothing.txt"], 4, "nothing.txt"),
            (["--method", "magic"], 2, "magic"),
            (["--dense-type", "f12"], 2, "f16-sums"),
            (["--length", "500"], 2, "1 to 128"),
            (["--device", out / "chip.json"], 2, "calibrated for 8 to 64 tokens"),
        ):
            # The last of two equal options counts not: they are refused.
            arguments = command(out)
            for option, value in zip(more[::2], more[1::2]):
                if option in arguments:
                    arguments[arguments.index(option) + 1] = value
                else:
                    arguments += [option, value]
            self.assertIn(word, rt3c(*arguments, code=code).stderr)
            if "12.5ms" == word:  # Said before anything takes long.
                self.assertFalse([*out.glob("evaluations/*.json")])
        self.assertFalse((out / "plan.json").exists())


class SimulateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not hasattr(SearchTest, "out"):
            SearchTest.setUpClass()
        cls.out = folder("simulated")
        for name in FILES:
            shutil.copy(SearchTest.out / name, cls.out)

    def simulate(self, *arguments):
        return json.loads(rt3c("simulate", self.out, "--battery-wh", "0.5", "--json", *arguments).stdout)

    def test_energy_is_conserved_and_levels_pay(self):
        for battery in ("ideal", "peukert", "kibam"):
            found = self.simulate("--battery", battery, "--idle-mw", "50", "--jitter", "0.3")
            for strategy in found["strategies"]:
                parts = sum(strategy[f"{part}_joules"] for part in ("compute", "idle", "switch", "lost", "left"))
                self.assertAlmostEqual(parts / strategy["capacity_joules"], 1, delta=1e-9)
        runs = {strategy["strategy"]: strategy["runs"] for strategy in self.simulate()["strategies"]}
        self.assertGreater(runs["RT3"], 1.1 * runs["dense, fastest clock"])
        self.assertGreater(runs["RT3, slowest level"], runs["RT3"])
        late = {strategy["strategy"]: strategy["misses"] for strategy in self.simulate()["strategies"]}
        self.assertEqual(late["RT3"], 0)
        self.assertGreater(late["DVFS only"], 0)

    def test_the_same_seed_gives_the_same_bytes(self):
        arguments = ["--jitter", "0.5", "--battery", "kibam", "--seed", "3"]
        self.assertEqual(self.simulate(*arguments), self.simulate(*arguments))
        self.assertNotEqual(self.simulate(*arguments), self.simulate(*arguments[:-1], "4"))
        # What the result depends on is in it.
        self.assertEqual((self.simulate(*arguments)["jitter"], self.simulate()["trace"]), (0.5, ""))
        self.assertIn("give or take 50 %", rt3c("simulate", self.out, "--jitter", "0.5").stdout)
        before = (self.out / "simulation.json").read_bytes()
        for option in ("--jitter", "--period-ms", "--temperature", "--battery-wh", "--idle-mw"):
            for bad in ("nan", "-nan", "-1e9", "x"):
                self.assertRegex(rt3c("simulate", self.out, f"{option}={bad}", code=2).stderr, f"{option}: {bad} is no number from .* to ")
        self.assertEqual((self.out / "simulation.json").read_bytes(), before)

    def test_a_thermal_trace_lowers_the_level(self):
        trace = self.out / "trace"
        trace.write_text("# hot for a while\n0 - - 40000\n60000 - - 95000\n600000 - - 40000\n1200000 - - 40000\n")
        seconds = {level["level"]: level["seconds"] for level in self.simulate("--trace", trace)["strategies"][4]["levels"]}
        plain = {level["level"]: level["seconds"] for level in self.simulate()["strategies"][4]["levels"]}
        slowest = min(plain, key=lambda name: float(name.split()[0]))
        self.assertGreater(seconds[slowest] / sum(seconds.values()), plain[slowest] / sum(plain.values()))
        self.assertEqual(self.simulate("--trace", trace)["trace"], str(trace))
        page = self.out / "page.html"
        rt3c("report", self.out, "-o", page)
        self.assertIn(f"clock caps and heat by {trace}", page.read_text())
        self.assertNotIn("warning", rt3c("simulate", self.out, "--trace", trace).stderr)
        for cap, advice in ((600000, "no clock of a77-prime is as slow"), (1000000, "--clocks 960000 among others")):
            trace.write_text(f"0 - - 40000\n60000 {cap} - 40000\n")
            said = rt3c("simulate", self.out, "--trace", trace).stderr
            self.assertIn(f"caps the clock at {cap} kHz, below", said)
            self.assertIn(advice, said)
        for bad in ("x", "1 2\n", "5 - - -\n4 - - -\n", ""):
            trace.write_text(bad)
            self.assertIn("trace", rt3c("simulate", self.out, "--trace", trace, code=4).stderr)

    def test_damaged_searches_are_errors(self):
        text = (self.out / "search.json").read_text()
        broken = folder("broken")
        generator = random.Random(2)
        for bad in ("", "{}", "[" * 100000, text[: len(text) // 2], text.replace('"limit_seconds"', '"limit"'), text.replace("frequency_khz", "f"),
                    text.replace("rt3-search", "something")):
            (broken / "search.json").write_text(bad)
            self.assertIn("search.json", rt3c("simulate", broken, code=4).stderr)
            self.assertIn("search.json", rt3c("report", broken, code=4).stderr)
        for _ in range(60):
            damaged = bytearray(text.encode())
            for _ in range(3):
                damaged[generator.randrange(len(damaged))] = generator.randrange(32, 127)
            (broken / "search.json").write_bytes(damaged)
            result = subprocess.run([RT3C, "simulate", broken, "--battery-wh", "0.01"], capture_output=True, text=True, timeout=60)
            self.assertIn(result.returncode, (0, 2, 4), result.stderr)

    def test_damaged_simulations_are_errors(self):
        self.simulate()
        text, broken = (self.out / "simulation.json").read_text(), folder("broken-simulation")
        for name in FILES:
            shutil.copy(self.out / name, broken)
        for bad in ("", "[]", text[:200], text.replace("strategies", "s"), text.replace('"curve":[[', '"curve":[[1],[')):
            (broken / "simulation.json").write_text(bad)
            self.assertIn("simulation.json", rt3c("report", broken, "-o", broken / "page.html", code=4).stderr)
        self.assertFalse((broken / "page.html").exists())
        # Numbers that no axis has steps for.
        (broken / "simulation.json").write_text(text.replace('"curve":[[0,', '"curve":[[3.6e300,'))
        rt3c("report", broken, "-o", broken / "page.html")


class ReportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not hasattr(SearchTest, "out"):
            SearchTest.setUpClass()
        cls.out = folder("reported")
        for name in FILES:
            shutil.copy(SearchTest.out / name, cls.out)
        rt3c("simulate", cls.out, "--battery-wh", "0.5")
        compiled = folder("report-compiled")
        rt3c(MODEL, "--shape", "ids=1x1..128", "--plan", cls.out, "--target", "cortex-a76", "-o", compiled)
        cls.page = cls.out / "report.html"
        rt3c("report", cls.out, "--compiled", compiled, "-o", cls.page)

    def test_page_stands_alone(self):
        page = self.page.read_text()
        self.assertLess(len(page), 1 << 20)
        self.assertNotIn("<script", page)
        for outside in ("http://", "https://", "url(", "@import"):
            self.assertNotIn(outside, page)
        for part in ("Accuracy, latency, energy", "Best reward so far", "Battery over time", "Patterns", "Layers", "Why dense"):
            self.assertIn(part, page)
        self.assertEqual(page.count("<svg viewBox"), 4)

    def test_what_does_not_belong_together_is_not_shown(self):
        other = folder("stale")
        for name in [*FILES, "simulation.json"]:
            shutil.copy(self.out / name, other)
        search = json.loads((other / "search.json").read_text())
        search["limit_seconds"] *= 1.1
        (other / "search.json").write_text(json.dumps(search))
        rt3c("report", other, "-o", other / "report.html")
        page = (other / "report.html").read_text()
        self.assertIn("of an earlier search", page)
        self.assertNotIn("Battery over time", page)
        compiled = folder("stale-compiled")
        rt3c(MODEL, "--shape", "ids=1x1..128", "-o", compiled)
        self.assertIn("compile it with --plan", rt3c("report", other, "--compiled", compiled, "-o", other / "x.html", code=4).stderr)
        self.assertIn("name of a result", rt3c("report", other, "-o", other / "search.json", code=2).stderr)

    def test_names_are_escaped(self):
        strange = folder("strange")
        for name in [*FILES, "simulation.json"]:
            shutil.copy(self.out / name, strange)
        search = json.loads((strange / "search.json").read_text())
        search["model"] = "<script>alert(1)</script>&\u0007.onnx"
        search["levels"][0]["layout"] = '"><img src=x onerror=alert(1)>'
        (strange / "search.json").write_text(json.dumps(search))
        rt3c("report", strange, "-o", strange / "report.html")
        page = (strange / "report.html").read_text()
        self.assertNotIn("<script", page)
        self.assertNotIn("<img", page)
        self.assertIn("&lt;script&gt;", page)

    @unittest.skipUnless(shutil.which("chromium"), "no chromium")
    def test_a_browser_shows_it_without_complaint(self):
        """Offline, with every message of the console on stderr."""
        shot = folder("shot")
        result = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--window-size=1000,3000",
             "--proxy-server=127.0.0.1:9", f"--user-data-dir={shot}/profile", f"--screenshot={shot}/page.png", self.page.as_uri()],
            capture_output=True, text=True, timeout=120)
        self.assertEqual([line for line in result.stderr.splitlines() if "CONSOLE" in line], [])
        picture = (shot / "page.png").read_bytes()
        self.assertTrue(picture.startswith(b"\x89PNG"))
        # An empty page of that size takes some 15 kB.
        self.assertGreater(len(picture), 60000)


if __name__ == "__main__":
    run_rt3c.main()
