#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Start-up (open to first result) and peak memory of a model, beside ONNX Runtime.

  startup.py MODEL [--shape NAME=1x1..384] [--length 128] [--levels LEVELS.json] [--type f32] [--runs 7]

Every run is a process of its own, taken in turns, with all files in the page cache.
Of ours, the bundle is mapped, checked, its pages let go meanwhile, and run at the densest level. Prints the median of
the times, the largest peak of resident memory, and what of it at the end is the process's
own: pages of the mapped bundle can be dropped and read again.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORT = ROOT / "third_party/node_modules/onnxruntime-node/bin/napi-v6/linux/x64"
TYPES = {1: "f32", 7: "i64"}


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"startup.py: {' '.join(str(part) for part in command)}\n{result.stdout}{result.stderr}")
    return result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--shape", action="append", default=[])
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--levels", type=pathlib.Path)
    parser.add_argument("--type", default="f32", help="as rt3c --type")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--scratch", type=pathlib.Path, default=ROOT / "build/startup")
    options = parser.parse_args()
    scratch = options.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    run(ROOT / "build/release/bin/rt3c", options.model, "--name", "started", "--type", options.type, "-o", scratch,
        *(["--levels", options.levels] if options.levels else []), *[f"--shape={shape}" for shape in options.shape])
    report = json.loads((scratch / "started.report.json").read_text())
    run("gcc", "-O2", "-std=gnu11", "-DRT3_PROGRAM=rt3_started_program", f"-I{ROOT}/runtime/include", f"-I{ROOT}", ROOT / "benchmarks/models/startup_rt3.c",
        *sorted((ROOT / "runtime/src").glob("*.c")), scratch / "libstarted.a", "-lm", "-lpthread", "-o", scratch / "startup_rt3")
    run("g++", "-O2", "-std=c++20", f"-I{ROOT}", ROOT / "benchmarks/models/startup_onnxruntime.cc", ORT / "libonnxruntime.so.1",
        f"-Wl,-rpath,{ORT}", "-o", scratch / "startup_onnxruntime")
    shapes = ["x".join(str(options.length if size < 0 else size) for size in tensor["shape"]) for tensor in report["inputs"]]
    commands = {
        "ONNX Runtime f32": [scratch / "startup_onnxruntime", options.model, report["outputs"][0]["name"],
                             *[f"{tensor['name']}:{TYPES[tensor['element_type']]}:{shape}" for tensor, shape in zip(report["inputs"], shapes)]],
        f"rt3 {options.type}": [scratch / "startup_rt3", scratch / "started.rt3", len(report["levels"]) - 1, options.length]}
    results = {name: [] for name in commands}
    for _ in range(options.runs):
        for name, command in commands.items():
            results[name].append([float(part) for part in run(*command).split()])
    base = None
    print(f"{options.model}, length {options.length}, {len(report['levels'])} level(s), bundle {(scratch / 'started.rt3').stat().st_size / 1e6:.1f} MB")
    for name, values in results.items():
        found = [statistics.median(value[0] for value in values), *(max(value[i] for value in values) / 1024 for i in (1, 2))]
        base = base or found
        time, peak, own = (f"{value:8.1f} {unit} ({value / first:.2f})" for value, unit, first in zip(found, ("ms", "MiB", "MiB"), base))
        print(f"{name:18} {time}  peak {peak}  own {own}")


if __name__ == "__main__":
    main()
