#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The AArch64 page: counts a linear layer and a BERT layer in every type beside ONNX
Runtime's arm64 library, by count.py.

  run.py [--length 128] [--out FOLDER]

Writes arm.json (all numbers), arm.md and arm.svg, and prints the table. Instruction
counts are exact; cycles are estimates by llvm-mca, which knows no caches.
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = {"linear 768x3072": ("linear", "768x3072", "x=1x1..{0}x768"), "BERT layer 768": ("encoder", "1x768x3072", "x=1x1..{0}x768")}
# Dense multiply-adds of their linear layers per token.
MACS = {"linear": 768 * 3072, "encoder": 4 * 768 * 768 + 2 * 768 * 3072}
# Type, target, and llvm-mca's models for its cycles.
RUNS = [("f32", "neoverse-n1", "neoverse-n1,a76-ports,cortex-a55"), ("f32", "cortex-a55", "cortex-a55"), ("f16-sums", "neoverse-n1", "neoverse-n1,a76-ports"),
        ("f16-sums", "cortex-a55", "cortex-a55"), ("bf16", "neoverse-n2", "neoverse-n2"), ("int8", "neoverse-n1", "neoverse-n1,a76-ports"),
        ("int8", "cortex-a55", "cortex-a55"), ("int8", "neoverse-n2", "neoverse-n2")]


def command(*parts):
    result = subprocess.run([str(part) for part in parts], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"run.py: {' '.join(str(part) for part in parts)}\n{result.stdout}{result.stderr}")
    return result.stdout


def measure(options):
    for title, (kind, shape, inputs) in MODELS.items():
        model = options.out / f"{kind}.onnx"
        command(ROOT / "benchmarks/models/write.py", kind, shape, model)
        for weights, target, cpus in RUNS:
            print(f"{title}, {weights} for {target} ...", file=sys.stderr, flush=True)
            arguments = ["--type", weights, "--target", target, "--models", cpus, "--length", options.length, "--json",
                         "--build", options.build, "--levels", ROOT / "benchmarks/models/layer-levels.json", "--shape", inputs.format(options.length)]
            # ONNX Runtime is counted on the CPU that it knows, once per model.
            arguments += ["--cpu", "neoverse-n1"] if target == "neoverse-n1" and weights == "f32" else ["--cpu", "max", "--without-onnxruntime"]
            for row in json.loads(command(ROOT / "benchmarks/arm/count.py", model, *arguments)):
                yield {"model": title, "type": "f32" if row["name"].startswith("ONNX") else weights, "target": target, **row,
                       "macs": MACS[kind] * options.length}


def ratios(rows):
    """Speed-up over dense of the same type and target, per llvm-mca model."""
    for row in rows:
        dense = next(r for r in rows if r["name"] == "dense" and all(r[key] == row[key] for key in ("model", "type", "target")))
        row["over_dense"] = {cpu: dense["cycles"][cpu] / cycles for cpu, cycles in row["cycles"].items()}
        yield row


def markdown(rows):
    """A row per type, target and model of cycles, a column per level."""
    levels = [name for name in dict.fromkeys(row["name"] for row in rows) if not name.startswith("ONNX")][::-1]
    text = ""
    for title in MODELS:
        own = [row for row in rows if row["model"] == title]
        text += f"\n{title}, Mcycles, in brackets the speed-up over dense of the type:\n\n"
        text += "| type, code for, cycles of | " + " | ".join(levels) + " |\n|---|" + "---|" * len(levels) + "\n"
        rivals = [row for row in own if row["name"].startswith("ONNX")]
        text += "".join(f"| ONNX Runtime f32, {cpu} | {cycles / 1e6:.1f} |" + " |" * (len(levels) - 1) + "\n"
                        for row in rivals for cpu, cycles in row["cycles"].items())
        for weights, target, cpus in RUNS:
            for cpu in cpus.split(","):
                found = {row["name"]: row for row in own if row["type"] == weights and row["target"] == target and row["name"] in levels}
                if cpu != target and any(run[:2] == (weights, cpu) for run in RUNS):
                    continue  # There is code for that one.
                text += f"| {weights}, {target}, {cpu} | " + " | ".join(
                    f"{found[name]['cycles'][cpu] / 1e6:.1f} ({found[name]['over_dense'][cpu]:.2f})" for name in levels) + " |\n"
        text += f"\n{title}, instructions per dense multiply-add:\n\n| type, code for | " + " | ".join(levels) + " |\n|---|"
        text += "---|" * len(levels) + "\n"
        for weights, target, _ in RUNS:
            found = {row["name"]: row for row in own if row["type"] == weights and row["target"] == target}
            text += f"| {weights}, {target} | " + " | ".join(f"{found[name]['instructions'] / found[name]['macs']:.3f}" for name in levels) + " |\n"
    return text


def svg(rows):
    """Bars: cycles on the first llvm-mca model of each row, per model of the network."""
    bar, gap, label, width = 15, 22, 330, 900
    parts, y = [], 30
    for title in MODELS:
        own = [row for row in rows if row["model"] == title]
        largest = max(next(iter(row["cycles"].values())) for row in own)
        parts.append(f'<text x="8" y="{y}" font-weight="bold">{title}: Mcycles, estimated</text>')
        y += 10
        for row in own:
            cpu, cycles = next(iter(row["cycles"].items()))
            size = (width - label - 80) * cycles / largest
            colour = "#888888" if row["name"].startswith("ONNX") else "#1b6ca8" if row["name"] == "dense" else "#c8553d"
            parts.append(f'<text x="{label - 8}" y="{y + bar - 3}" text-anchor="end">{row["name"]}, {row["type"]}, {cpu}</text>'
                         f'<rect x="{label}" y="{y}" width="{size:.1f}" height="{bar - 2}" fill="{colour}"/>'
                         f'<text x="{label + size + 5:.1f}" y="{y + bar - 3}">{cycles / 1e6:.1f}</text>')
            y += bar
        y += gap
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif" font-size="11">'
            '<rect width="100%" height="100%" fill="white"/>' + "\n".join(parts) + "</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/arm")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = list(ratios(list(measure(options))))
    for name, text in (("arm.json", json.dumps(rows, indent=1)), ("arm.md", markdown(rows)), ("arm.svg", svg(rows))):
        (options.out / name).write_text(text)
    print(markdown(rows))


if __name__ == "__main__":
    main()
