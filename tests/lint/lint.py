#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tree to its own rules: who may include whom, the folder map of the
README, one file and one test per pass, licence lines, file sizes."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Folder -> prefixes of project headers that it may include. The longest folder
# that matches counts.
MAY_INCLUDE = {
    "runtime/src": ["rt3/", "bundle.h"],
    "runtime/include": ["rt3/"],
    "runtime/examples": ["rt3/", "byte_lm.h", "second.h"],
    "dialects/graph": ["dialects/graph/"],
    "dialects/kernel": ["dialects/kernel/"],
    "codegen": ["dialects/", "codegen/", "rt3/"],
    "compiler/onnx": ["dialects/graph/", "compiler/onnx/"],
    "compiler/interpreter": ["dialects/graph/", "compiler/interpreter/"],
    "compiler/data": ["compiler/data/"],
    "compiler/prune": ["dialects/graph/", "compiler/Progress.h", "compiler/interpreter/", "compiler/prune/"],
    "compiler/plan": ["dialects/graph/", "compiler/data/", "compiler/plan/", "compiler/prune/", "rt3/"],
    "compiler/train": ["dialects/graph/", "compiler/"],
    "compiler/bundle": ["rt3/", "compiler/bundle/"],
    "compiler": ["dialects/", "codegen/", "compiler/", "rt3/"],
    "tests": ["dialects/", "codegen/", "compiler/", "rt3/", "tests/", "bundle.h", "byte_lm.h"],
    "benchmarks": ["rt3/", "benchmarks/", "codegen/", "compiler/", "dialects/", "halide_linear_"],
}
# Foreign headers that only some folders may see.
ONLY_IN = {
    "google/protobuf": ["compiler/onnx"],
    "llvm/CodeGen": ["codegen/emit"],
    "llvm/Target/": ["codegen/emit"],
    "lld/": ["codegen/emit"],
    "CLI/": ["compiler/CommandLine.h"],
    "torch/": ["compiler/train/Torch.h"],
    "utf8proc.h": ["compiler/data"],
    "zip.h": ["compiler/data"],
    "Eigen/": ["compiler/prune", "compiler/search", "benchmarks/kernels"],
    "mpi.h": ["compiler/search"],
}
MAX_LINES, MAX_SIZE = 600, 2_000_000


def tracked():
    output = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [pathlib.Path(line) for line in output.splitlines() if (ROOT / line).is_file()]


def includes(path):
    return re.findall(r'^\s*#\s*include\s+(["<])([^">]+)', (ROOT / path).read_text(), re.M)


def check_includes(path, faults):
    folder = max((f for f in MAY_INCLUDE if path.is_relative_to(f)), key=len, default=None)
    for quote, header in includes(path):
        for prefix, places in ONLY_IN.items():
            if header.startswith(prefix) and not any(path.is_relative_to(place) for place in places):
                faults.append(f"{path}: includes {header}, which only {', '.join(places)} may")
        if quote == '"' and folder and not header.startswith(("mlir/", "llvm/", "lld/")):
            if not any(header.startswith(prefix) for prefix in MAY_INCLUDE[folder]):
                faults.append(f"{path}: {folder} may not include {header}")


def check_readme(faults):
    text = (ROOT / "README.md").read_text()
    block = text[text.index("## Map"):]
    named = set(re.findall(r"^\| `([a-z_/-]+)/` \|", block, re.M))
    for name in named:
        if not (ROOT / name).is_dir():
            faults.append(f"README.md: the map names {name}/, which does not exist")
    for path in {p.parts[0] for p in tracked() if len(p.parts) > 1 and not p.parts[0].startswith(".")}:
        if path not in named:
            faults.append(f"README.md: the map does not name {path}/")


def check_passes(faults):
    text = (ROOT / "codegen/Passes.td").read_text()
    names = re.findall(r"^def (\w+)Pass\b", text, re.M)
    if names != sorted(names):
        faults.append("codegen/Passes.td: passes are not in alphabetical order")
    files = {path.stem for path in (ROOT / "codegen/passes").glob("*.cpp")}
    for name in names:
        kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
        if name not in files:
            faults.append(f"codegen/passes/{name}.cpp is missing")
        if f'"rt3-{kebab}"' not in text:
            faults.append(f"codegen/Passes.td: {name} should have the argument rt3-{kebab}")
        if not (ROOT / f"tests/codegen/{kebab}.mlir").exists():
            faults.append(f"tests/codegen/{kebab}.mlir is missing")
    for name in files - set(names):
        faults.append(f"codegen/passes/{name}.cpp is no pass of Passes.td")


def check_rules(faults):
    """Every numbered rule of an op is checked in the verifier and has its case."""
    for dialect in ("graph", "kernel"):
        name = dialect.capitalize()
        text = "\n".join(path.read_text() for path in sorted((ROOT / f"dialects/{dialect}").glob("*.td")))
        code = (ROOT / f"dialects/{dialect}/{name}.cpp").read_text()
        cases = (ROOT / f"tests/dialects/{dialect}/invalid.mlir").read_text()
        for definition in re.split(r"^def ", text, flags=re.M)[1:]:
            mnemonic = re.search(r'_(?:Fill)?Op<"(\w+)"', definition) or re.search(r'mnemonic = "(\w+)"', definition)
            for rule in re.findall(r"^    - (C\d+):", definition, re.M):
                cls = definition.split()[0]
                if f"// {rule}" not in code:
                    faults.append(f"dialects/{dialect}/{name}.cpp: no check is marked {rule} for {cls}")
                if mnemonic and f"// {mnemonic[1]} {rule}\n" not in cases:
                    faults.append(f"tests/dialects/{dialect}/invalid.mlir: no case '// {mnemonic[1]} {rule}'")


def main():
    faults = []
    for path in tracked():
        full = ROOT / path
        if full.stat().st_size > MAX_SIZE:
            faults.append(f"{path}: over {MAX_SIZE} bytes")
        if path.suffix in (".c", ".cc", ".cpp", ".h", ".td", ".py"):
            text = full.read_text()
            if "SPDX-License-Identifier: Apache-2.0" not in text[:300] and path.name != "lit.cfg.py":
                faults.append(f"{path}: no SPDX line")
            if text.count("\n") > MAX_LINES:
                faults.append(f"{path}: over {MAX_LINES} lines")
        if path.suffix in (".c", ".cc", ".cpp", ".h"):
            check_includes(path, faults)
        if path.suffix not in (".onnx", ".txt", ".png"):
            for number, line in enumerate(full.read_text().splitlines(), 1):
                if line != line.rstrip() or "\t" in line:
                    faults.append(f"{path}:{number}: tab or space at the end")
    check_readme(faults)
    check_passes(faults)
    check_rules(faults)
    print("\n".join(faults) or "no faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
