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
# Type, target, and llvm-mca's models for its cycles.
RUNS = [("f32", "neoverse-n1", "neoverse-n1,cortex-a55"), ("f32", "cortex-a55", "cortex-a55"), ("f16-sums", "neoverse-n1", "neoverse-n1"),
        ("f16-sums", "cortex-a55", "cortex-a55"), ("bf16", "neoverse-n2", "neoverse-n2"), ("int8", "neoverse-n1", "neoverse-n1"),
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
                yield {"model": title, "type": "f32" if row["name"].startswith("ONNX") else weights, "target": target, **row}


def ratios(rows):
    """Speed-up over dense of the same type and target, per llvm-mca model."""
    for row in rows:
        dense = next(r for r in rows if r["name"] == "dense" and all(r[key] == row[key] for key in ("model", "type", "target")))
        row["over_dense"] = {cpu: dense["cycles"][cpu] / cycles for cpu, cycles in row["cycles"].items()}
        yield row


def markdown(rows):
    text = ""
    for title in MODELS:
        text += f"\n{title}: million instructions, then Mcycles and in brackets the speed-up over dense of the type\n\n"
        text += "| type, target | level | density | instructions | | |\n|---|---|---|---|---|---|\n"
        for row in (row for row in rows if row["model"] == title):
            cells = [f"{cpu} {cycles / 1e6:.1f} ({row['over_dense'][cpu]:.2f})" for cpu, cycles in row["cycles"].items()]
            text += (f"| {row['type']}, {row['target']} | {row['name']} | {100 * row['density']:.0f} % | {row['instructions'] / 1e6:.1f} | "
                     + " | ".join(cells + [""] * (2 - len(cells))) + " |\n")
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
