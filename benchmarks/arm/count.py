#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of a model for AArch64 under qemu and estimates their
cycles, every level beside ONNX Runtime f32 on one thread. No board is needed
and nothing is timed.

  count.py MODEL --levels LEVELS.json [--shape NAME=1x1..384] [--length 128] [--only LEVEL,...]
"""

import argparse
import array
import json
import math
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cycles  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORT = ROOT / "third_party/node_modules/onnxruntime-node/bin/napi-v6/linux/arm64"
# ONNX's numbers of element types: array's letter and count_onnxruntime.cc's name.
TYPES = {1: ("f", "f32"), 7: ("q", "i64"), 9: ("B", "bool")}
ORT_CPUINFO = """processor\t: 0
BogoMIPS\t: 100.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        sys.exit(f"count.py: {' '.join(str(part) for part in command)}\n{result.stdout}{result.stderr}")
    return result.stdout


def sample_inputs(tensors, length):
    """The bytes of all inputs, one after the other: ids below 128, masks of ones."""
    data, shapes = b"", []
    for tensor in tensors:
        shape = [length if size < 0 else size for size in tensor["shape"]]
        count = math.prod(shape)
        name, (code, _) = tensor["name"], TYPES[tensor["element_type"]]
        if code == "f":
            values = [math.sin(i) for i in range(count)]
        else:
            values = [1 if "mask" in name else 0 if "type" in name else i % 128 for i in range(count)]
        data += array.array(code, values).tobytes()
        shapes.append(shape)
    return data, shapes


def system_root(folder):
    """A root whose /proc/cpuinfo describes an Arm core: ONNX Runtime reads the
    host's otherwise, and stops."""
    root = folder / "root"
    (root / "proc").mkdir(parents=True, exist_ok=True)
    (root / "proc/cpuinfo").write_text(ORT_CPUINFO)
    cpu = root / "sys/devices/system/cpu"
    cpu.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present", "online"):
        (cpu / name).write_text("0\n")
    link = root / "lib"
    if not link.is_symlink():
        link.symlink_to("/usr/aarch64-linux-gnu/lib")
    return root


def difference(path, expected_path):
    found, expected = array.array("f"), array.array("f")
    found.frombytes(path.read_bytes())
    expected.frombytes(expected_path.read_bytes())
    assert len(found) == len(expected)
    return max(abs(a - b) for a, b in zip(found, expected))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--levels", type=pathlib.Path)
    parser.add_argument("--shape", action="append", default=[])
    parser.add_argument("--length", type=int, default=128, help="of the free dimension")
    parser.add_argument("--type", default="f32", help="as rt3c --type")
    parser.add_argument("--target", default="neoverse-n1")
    parser.add_argument("--cpu", default="neoverse-n1", help="that qemu plays")
    parser.add_argument("--models", default="neoverse-n1,cortex-a55", help="llvm-mca's models for the cycles, and a76-ports (cycles.py)")
    parser.add_argument("--only", help="these levels")
    parser.add_argument("--without-onnxruntime", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--scratch", type=pathlib.Path, default=ROOT / "build/count")
    options = parser.parse_args()
    scratch, cpus = options.scratch, options.models.split(",")
    scratch.mkdir(parents=True, exist_ok=True)
    plugin = options.build / "benchmarks/libcount_blocks.so"

    run(options.build / "bin/rt3c", options.model, "--target", options.target, "--name", "counted", "--type", options.type, "-o", scratch,
        *(["--levels", options.levels] if options.levels else []), *[f"--shape={shape}" for shape in options.shape])
    report = json.loads((scratch / "counted.report.json").read_text())
    if options.target.startswith("x86") or not 1 <= options.length <= report["max_length"] and report["max_length"] > 1:
        sys.exit(f"count.py: --target must be an Arm core and --length from 1 to {report['max_length']}")
    data, shapes = sample_inputs(report["inputs"], options.length)
    (scratch / "inputs").write_bytes(data)
    run("aarch64-linux-gnu-gcc", "-O1", "-std=gnu11", "-static", "-DRT3_PROGRAM=rt3_counted_program", f"-I{ROOT}/runtime/include",
        ROOT / "benchmarks/arm/count_rt3.c", *sorted((ROOT / "runtime/src").glob("*.c")), scratch / "libcounted.a", "-lm",
        "-o", scratch / "count_rt3")
    rows = []
    if not options.without_onnxruntime:
        run("aarch64-linux-gnu-g++", "-O1", "-std=c++20", f"-I{ROOT}", ROOT / "benchmarks/arm/count_onnxruntime.cc", ORT / "libonnxruntime.so.1",
            f"-Wl,-rpath,{ORT}", "-o", scratch / "count_onnxruntime")
        arguments = [f"{tensor['name']}:{TYPES[tensor['element_type']][1]}:{'x'.join(map(str, shape))}"
                     for tensor, shape in zip(report["inputs"], shapes)]
        run("qemu-aarch64", "-L", system_root(scratch), "-cpu", options.cpu, "-plugin", f"{plugin},out={scratch}/onnxruntime.blocks",
            scratch / "count_onnxruntime", options.model, scratch / "inputs", report["outputs"][0]["name"], scratch / "expected", *arguments)
        rows.append(("ONNX Runtime", 1.0, *cycles.estimate(scratch / "onnxruntime.blocks", cpus), None))
    for index, level in enumerate(report["levels"]):
        if options.only and level["name"] not in options.only.split(","):
            continue
        blocks, output = scratch / f"{index}.blocks", scratch / f"{index}.output"
        run("qemu-aarch64", "-cpu", options.cpu, "-plugin", f"{plugin},out={blocks}", scratch / "count_rt3", scratch / "counted.rt3",
            index, options.length, scratch / "inputs", output)
        layers = level["layers"]
        density = sum(layer["kept"] for layer in layers) / max(1, sum(layer["inputs"] * layer["outputs"] for layer in layers))
        error = None if options.without_onnxruntime or density < 1 else difference(output, scratch / "expected")
        rows.append((level["name"], density, *cycles.estimate(blocks, cpus), error))

    if not rows or (options.only and len(rows) == (0 if options.without_onnxruntime else 1)):
        sys.exit(f"count.py: --only {options.only}: no such level; there are {', '.join(level['name'] for level in report['levels'])}")
    macs = sum(layer["inputs"] * layer["outputs"] for layer in report["levels"][0]["layers"]) * options.length
    if options.json:
        print(json.dumps([{"name": name, "density": density, "instructions": instructions, "cycles": estimates}
                          for name, density, instructions, estimates, _ in rows], indent=2))
        return
    print(f"{options.model.name}, length {options.length}, one thread, target {options.target} under qemu -cpu {options.cpu};")
    print(f"linear layers have {macs / 1e6:.1f} M multiply-adds when dense; cycles are llvm-mca estimates without caches")
    print(f"{'':18} density {'M instr':>9} {'per MAC':>8}" + "".join(f" {cpu + ' Mcycles':>20} {'ratio':>6}" for cpu in cpus))
    for name, density, instructions, estimates, error in rows:
        line = f"{name:18} {100 * density:5.1f} % {instructions / 1e6:9.2f} {instructions / macs:8.3f}"
        for cpu in cpus:
            line += f" {estimates[cpu] / 1e6:20.2f} {rows[0][3][cpu] / estimates[cpu]:6.2f}"
        print(line + (f"   differs from ONNX Runtime by {error:.1e}" if error is not None else ""))


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"count.py: {error}")
