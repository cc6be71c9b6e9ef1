#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the linear benchmark over the shapes of shapes.txt and writes a table.

  run.py [--shapes 768x768,...] [--tokens 32,128] [--repetitions 5] [--out FOLDER]

Every shape is one process, in which all candidates are interleaved at random; the
table gives the best time of the repetitions and, in brackets, the median's distance.
Writes linear.json (all numbers), linear.md and linear.svg.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RIVALS = {"f32": ["onnxruntime", "onednn", "openblas", "xnnpack", "halide"], "bf16": [], "int8": ["onnxruntime_int8"]}


def measure(program, shape, tokens, options):
    pattern = "|".join(f"/M{m}/" for m in tokens)
    command = [program, shape, f"--benchmark_filter={pattern}", f"--benchmark_repetitions={options.repetitions}",
               "--benchmark_enable_random_interleaving=true", f"--benchmark_min_time={options.seconds}", "--benchmark_format=json"]
    print(f"{shape} ...", file=sys.stderr, flush=True)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    times = {}
    for run in json.loads(output)["benchmarks"]:
        if run["run_type"] == "iteration":
            _, m, name = run["name"].split("/")[:3]
            entry = times.setdefault((int(m[1:]), name), {"ns": [], "layers": run["layers"]})
            entry["ns"].append(run["cpu_time"])
    return times


def rows_of(shape, tokens, times):
    """One row per candidate and M: microseconds per layer, ratios."""
    k, n = map(int, shape.split("x"))
    for m in tokens:
        found = {name: value for (own, name), value in times.items() if own == m}
        best = {kind: min((min(found[name]["ns"]), name) for name in [f"rt3_{kind}_dense", *names] if name in found)
                for kind, names in RIVALS.items() if f"rt3_{kind}_dense" in found}
        for name, value in found.items():
            kind = next((kind for kind in ("int8", "bf16") if kind in name), "f32")
            fastest = min(value["ns"])
            yield {"shape": shape, "tokens": m, "name": name, "type": kind, "layers": value["layers"],
                   "best_us": fastest / value["layers"] / 1e3,
                   "median_over_best": statistics.median(value["ns"]) / fastest,
                   "dense_equivalent_gflops": 2 * k * n * m * value["layers"] / fastest,
                   "over_best_dense": best[kind][0] / fastest, "best_dense": best[kind][1]}


def density(name):
    digits = name.rsplit("_", 1)[-1]
    return {"12": 0.125}.get(digits, int(digits) / 100) if digits.isdigit() else 1.0


def markdown(rows, tokens):
    text = ""
    for shape in dict.fromkeys(row["shape"] for row in rows):
        text += f"\n{shape}: microseconds per layer, spread of the median over the best, speed-up over the fastest dense kernel of\n"
        text += "the type, in brackets its share of 1/density\n\n| | " + " | ".join(f"M = {m}" for m in tokens) + " |\n"
        text += "|---|" + "---|" * len(tokens) + "\n"
        own = {row["name"]: row["type"] for row in rows if row["shape"] == shape}
        for name in sorted(own, key=lambda name: (own[name], not name.startswith("rt3"), name.rsplit("_", 1)[0] if density(name) < 1 else "", -density(name))):
            cells = []
            for m in tokens:
                row = next(r for r in rows if r["shape"] == shape and r["tokens"] == m and r["name"] == name)
                share = f" ({row['over_best_dense'] * density(name):.2f})" if density(name) < 1 else ""
                cells.append(f"{row['best_us']:.1f} +{100 * (row['median_over_best'] - 1):.0f} % {row['over_best_dense']:.2f}{share}")
            text += f"| {name} | " + " | ".join(cells) + " |\n"
        best = {(row["name"], row["tokens"]): row["best_us"] for row in rows if row["shape"] == shape}
        text += "\nrt3_f32_dense, of the multiply-adds that registers alone allow: "
        text += ", ".join(f"M = {m} {best['fma_peak', m] / best['rt3_f32_dense', m]:.2f}" for m in tokens) + "\n"
    return text


def svg(rows, tokens):
    """Speed-up over the fastest dense kernel against 1/density, one dot per result."""
    width, height, margin, largest = 640, 420, 48, 8.5
    def place(value, size):
        return margin + value / largest * (size - 2 * margin)
    colours = {"bp": "#1b6ca8", "pp8x4": "#c8553d", "pp8x4of2": "#7b2d1d", "pp8x8of3": "#4d6326", "pp8x8": "#7a9e3f", "pp8x1": "#8e5aa8", "pp4x1": "#888888", "pp8x4balanced": "#e5896f", "pp8x1balanced": "#c39ad8", "bppp8x4": "#d99a1c", "bppp8x4balanced": "#f0c978"}
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>']
    for i in range(0, 9, 2):
        x, y = place(i, width), height - place(i, height)
        parts.append(f'<text x="{x:.0f}" y="{height - margin + 18}" text-anchor="middle">{i}</text>')
        parts.append(f'<text x="{margin - 8}" y="{y + 4:.0f}" text-anchor="end">{i}</text>')
        parts.append(f'<line x1="{margin}" y1="{y:.0f}" x2="{width - margin}" y2="{y:.0f}" stroke="#eeeeee"/>')
    parts.append(f'<line x1="{place(0, width)}" y1="{height - place(0, height)}" x2="{place(8, width):.0f}" '
                 f'y2="{height - place(8, height):.0f}" stroke="black" stroke-dasharray="4 4"/>')
    shown = [m for m in tokens if m >= 32] or tokens
    for row in rows:
        words = row["name"].split("_")
        if words[0] != "rt3" or len(words) < 4 or row["tokens"] not in shown:
            continue
        x, y = place(1 / density(row["name"]), width), height - place(min(row["over_best_dense"], largest), height)
        colour, hollow = colours[words[2]], row["type"] != "f32"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" stroke="{colour}" fill="{"none" if hollow else colour}"><title>'
                     f'{row["shape"]} M={row["tokens"]} {row["name"]}: {row["over_best_dense"]:.2f}</title></circle>')
    for i, (scheme, colour) in enumerate(colours.items()):
        parts.append(f'<circle cx="{margin + 16}" cy="{margin + 16 * i}" r="4" fill="{colour}"/>'
                     f'<text x="{margin + 26}" y="{margin + 16 * i + 4}">{scheme}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">1 / density</text>')
    parts.append(f'<text x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})" text-anchor="middle">'
                 "speed-up over the fastest dense kernel</text>")
    parts.append(f'<text x="{width - margin}" y="20" text-anchor="end">M = {", ".join(map(str, shown))}; '
                 "filled f32, hollow bf16 and int8</text></svg>")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    lines = (ROOT / "benchmarks/kernels/shapes.txt").read_text().splitlines()
    parser.add_argument("--shapes", default=",".join(line for line in lines if line and not line.startswith("#")))
    parser.add_argument("--tokens", default="1,8,32,128,384")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.05, help="per repetition")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/linear")
    options = parser.parse_args()
    subprocess.run(["ninja", "-C", ROOT / "build/release", "linear_benchmark"], check=True, capture_output=True)
    tokens, rows = [int(m) for m in options.tokens.split(",")], []
    for shape in options.shapes.split(","):
        rows += rows_of(shape, tokens, measure(ROOT / "build/release/bin/linear_benchmark", shape, tokens, options))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "linear.json").write_text(json.dumps(rows, indent=1))
    (options.out / "linear.md").write_text(markdown(rows, tokens))
    (options.out / "linear.svg").write_text(svg(rows, tokens))
    print((options.out / "linear.md").read_text())


if __name__ == "__main__":
    main()
