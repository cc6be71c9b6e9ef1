# SPDX-License-Identifier: Apache-2.0
"""Matrices with zeros as linear layers: what rt3c makes of them, as predicted."""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/models"))
from onnx_writer import Graph  # noqa: E402


def parser(description):
    """Options that both programs have."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--target", default="neoverse-n1")
    result.add_argument("--tokens", type=int, default=128)
    result.add_argument("--type", default="f32")
    return result


def measure(matrices, options, scratch):
    """`matrices`: name and f32 weights [inputs][outputs], zeros where they are pruned. Sparse kernels
    are forced. Yields a dict for each, in their order."""
    graph, density = Graph(), {}
    for name, weights in matrices:
        x = graph.input(f"x_{name}", "float32", ["tokens", weights.shape[0]])
        graph.output(graph.op("MatMul", x, graph.constant(f"w_{name}", weights), name=name), "float32", ["tokens", weights.shape[1]])
        density[name] = float((weights != 0).mean())
    graph.save(scratch / "masks.onnx")
    command = [ROOT / "build/release/bin/rt3c", scratch / "masks.onnx", f"--shape=tokens=1..{options.tokens}", "--target", options.target,
               "--type", options.type, "--keep-sparse", "-o", scratch / "out"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {result.stderr}")
    for layer in json.loads((scratch / "out/masks.report.json").read_text())["levels"][0]["layers"]:
        yield {"name": layer["layer"], "inputs": layer["inputs"], "outputs": layer["outputs"], "density": density[layer["layer"]],
               "kernel": layer["kernel"].split(",")[0], "stored_per_kept": layer["stored_size"] / (4 * max(1, layer["kept"])),
               "speedup": layer["predicted_dense_cycles"] / layer["predicted_cycles"], "reason": layer["reason"]}
