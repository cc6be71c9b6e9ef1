# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: running rt3c, folders, inputs.

Tests are started as

  NAME_test.py RT3C SCRATCH_FOLDER [unittest's arguments]
"""

import array
import json
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/models"))
from onnx_writer import Graph  # noqa: E402

MODEL = ROOT / "tests/models/byte-lm/byte-lm.onnx"
SHARED = ROOT.parent / "shared/data"
MINILM = SHARED / "models/minilm-l6-v2/model.onnx"
RT3C, SCRATCH = pathlib.Path(sys.argv.pop(1)).resolve(), pathlib.Path(sys.argv.pop(1)).resolve()
SCRATCH.mkdir(parents=True, exist_ok=True)
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
    # What a pruned model of bytes writes need not be UTF-8.
    result = subprocess.run([RT3C, *map(str, arguments)], capture_output=True, text=True, errors="replace")
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


def main():
    unittest.main(module="__main__")
