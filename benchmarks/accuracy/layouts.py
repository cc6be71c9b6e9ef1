#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy against predicted time of every layout, on a model and a task.

  layouts.py SHARED_DATA [--densities 0.2,0.35,0.5,0.65,0.8] [--samples 256] [--targets neoverse-n1,x86-64-v4-vnni]
             [--only NAME] [--out build/layouts]

all-MiniLM-L6-v2, Spearman on the first half of STS-B dev. For each layout, rt3c prune makes
the densities as levels that are not nested, calibrated by sentences of STS-B's training part;
rt3c eval measures them on this machine; the reports of rt3c for each target predict the time
of all linear layers at 128 tokens, relative to dense. Writes layouts.json (what is there is
not measured again), layouts.md and layouts.svg.
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RT3C = ROOT / "build/release/bin/rt3c"


def patterns(rows, columns, count):
    return {"scheme": "pp", "pattern": {"rows": rows, "columns": columns, "count": count}}


LAYOUTS = {
    "bp 8": {"scheme": "bp"},
    "bp 32": {"scheme": "bp", "group_rows": 32},
    "pp 4x1 k=15": patterns(4, 1, 15),
    "pp 8x1 k=8": patterns(8, 1, 8),
    "pp 8x1 k=16": patterns(8, 1, 16),
    "pp 8x1 k=32": patterns(8, 1, 32),
    "pp 8x4 k=8": patterns(8, 4, 8),
    "pp 8x8 k=8": patterns(8, 8, 8),
    "bp+pp 8x1 k=16": patterns(8, 1, 16) | {"scheme": "bp+pp"},
    "bp+pp 8x4 k=8": patterns(8, 4, 8) | {"scheme": "bp+pp"},
}
COLORS = ["#1b6ca8", "#7fb3d5", "#b03a2e", "#f5b041", "#ca6f1e", "#6e2c00", "#239b56", "#82e0aa", "#6c3483", "#c39bd3"]


def command(*parts):
    result = subprocess.run([str(part) for part in parts], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"layouts.py: {' '.join(map(str, parts))}\n{result.stderr}")
    return result.stdout


def measure(name, options, dense):
    """Rows of one layout, a density each."""
    model, glue = options.data / "models/minilm-l6-v2", options.data / "glue/STS-B"
    levels = [{"name": f"d{round(100 * density)}", "density": density} | LAYOUTS[name] for density in options.densities]
    (options.out / "levels.json").write_text(json.dumps({"levels": levels}))
    base = [model / "model.onnx", "--shape", "input_ids=1x1..128"]
    texts = ["--tokenizer", model / "vocab.txt"]
    plan = options.out / "plan"
    command(RT3C, "prune", *base, "--levels", options.out / "levels.json", "--calib", glue / "train.tsv", "--text", "sentence1",
            *texts, "--calib-samples", options.samples, "-o", plan)
    evaluation = json.loads(command(RT3C, "eval", *base, "--plan", plan, "--task", "similarity", "--data", glue / "dev-first-half.tsv",
                                    "--label", "score", *texts, "--json"))
    found = {level["level"]: level["metrics"]["Spearman"] for level in evaluation["levels"]}
    dense["Spearman"] = found["(dense)"]["value"]
    times = {}
    for target in options.targets:
        report = json.loads(command(RT3C, *base, "--plan", plan, "--target", target, "-o", options.out / "compiled", "--json"))
        for level in report["levels"]:
            cycles = [sum(layer[key] for layer in level["layers"]) for key in ("predicted_cycles", "predicted_dense_cycles")]
            times.setdefault(level["name"], {})[target] = cycles[0] / cycles[1]
    for level, density in zip(levels, options.densities):
        metric = found[level["name"]]
        yield {"layout": name, "density": density, "spearman": metric["value"], "difference": metric["difference"],
               "difference_low": metric["difference_low"], "difference_high": metric["difference_high"], "time": times[level["name"]]}


def markdown(rows, dense, targets):
    densities = sorted({row["density"] for row in rows})
    lines = [f"Spearman (dense {dense['Spearman']:.4f}) and predicted time of all linear layers over dense, {' / '.join(targets)}", "",
             "| layout | " + " | ".join(f"{100 * density:.0f} %" for density in densities) + " |", "|---" * (len(densities) + 1) + "|"]
    for name in LAYOUTS:
        own = {row["density"]: row for row in rows if row["layout"] == name}
        if own:
            cells = [f"{own[d]['spearman']:.4f} at " + " / ".join(f"{own[d]['time'][t]:.2f}" for t in targets) if d in own else "" for d in densities]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def svg(rows, dense, targets):
    """One chart per target: loss in percent, downwards, over relative time."""
    width, height, left, top, worst = 420, 330, 50, 40, 8.0
    place_x = lambda time: left + (width - left - 20) * min(time, 1.1) / 1.1  # noqa: E731
    place_y = lambda loss: top + (height - top - 40) * min(max(loss, -0.5), worst) / worst  # noqa: E731
    parts = []
    for chart, target in enumerate(targets):
        parts.append(f'<g transform="translate({chart * width},0)"><text x="{left}" y="18" font-size="13">{target}: loss of Spearman (%) over predicted time (dense = 1)</text>')
        for tick in range(0, 12, 2):
            x = place_x(tick / 10)
            parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height - 40}" stroke="#ddd"/><text x="{x:.1f}" y="{height - 24}" text-anchor="middle">{tick / 10}</text>')
        for loss in range(0, int(worst) + 1, 1):
            y = place_y(loss)
            parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - 20}" y2="{y:.1f}" stroke="#ddd"/><text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{loss}</text>')
        for name, color in zip(LAYOUTS, COLORS):
            points = sorted((row["time"][target], 100 * (dense["Spearman"] - row["spearman"]) / dense["Spearman"]) for row in rows if row["layout"] == name)
            places = [(place_x(time), place_y(loss)) for time, loss in points if loss <= worst]
            parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" fill="none" stroke="{color}" stroke-width="1.5"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places]
        parts.append("</g>")
    x = len(targets) * width + 10
    for i, (name, color) in enumerate(zip(LAYOUTS, COLORS)):
        parts.append(f'<rect x="{x}" y="{top + 18 * i}" width="10" height="10" fill="{color}"/><text x="{x + 16}" y="{top + 18 * i + 9}">{name}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{x + 140}" height="{height}" font-family="sans-serif" font-size="11">'
            '<rect width="100%" height="100%" fill="white"/>' + "\n".join(parts) + "</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--densities", type=lambda text: [float(part) for part in text.split(",")], default=[0.2, 0.35, 0.5, 0.65, 0.8])
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--targets", type=lambda text: text.split(","), default=["neoverse-n1", "x86-64-v4-vnni"])
    parser.add_argument("--only", action="append", choices=list(LAYOUTS))
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/layouts")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "layouts.json"
    saved = json.loads(results.read_text()) if results.exists() else {"dense": {}, "rows": []}
    for name in options.only or LAYOUTS:
        if any(row["layout"] == name for row in saved["rows"]):
            continue
        saved["rows"] += measure(name, options, saved["dense"])
        results.write_text(json.dumps(saved, indent=1))
        print(f"{name}: " + ", ".join(f"{row['spearman']:.4f}" for row in saved["rows"] if row["layout"] == name), flush=True)
    (options.out / "layouts.md").write_text(markdown(saved["rows"], saved["dense"], options.targets))
    (options.out / "layouts.svg").write_text(svg(saved["rows"], saved["dense"], options.targets))
    print((options.out / "layouts.md").read_text())


if __name__ == "__main__":
    main()
