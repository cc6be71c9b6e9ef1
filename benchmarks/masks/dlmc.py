#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What unstructured masks of real Transformers come to: the layout that is chosen, its
fill-in and its predicted speed-up over dense, for each folder of .smtx files.

  dlmc.py ARCHIVE.tar.xz|FOLDER [--target TARGET] [--tokens 128] [--type f32] [--out FOLDER]

Each matrix becomes a layer with random weights where its mask keeps one (rt3c finds the
zeros); sparse kernels are forced, and a speed-up of 1 or less means that rt3c would choose
dense. Writes dlmc.json (every matrix) and prints a table of means.
"""

import json
import pathlib
import statistics
import sys
import tarfile

import numpy

from pruned_layers import ROOT, measure, parser


def read_smtx(path):
    """The mask as [inputs][outputs]: rows of the file are outputs."""
    lines = path.read_text().splitlines()
    rows, columns, count = (int(part) for part in lines[0].split(","))
    offsets, indices = (numpy.array(line.split(), numpy.int64) for line in lines[1:3])
    if len(offsets) != rows + 1 or len(indices) != count or offsets[-1] != count or (count and indices.max() >= columns):
        sys.exit(f"dlmc.py: {path}: offsets and indices do not fit its first line")
    mask = numpy.zeros((rows, columns), bool)
    mask[numpy.repeat(numpy.arange(rows), numpy.diff(offsets)), indices] = True
    return mask.T


def matrices(folder):
    random = numpy.random.default_rng(1)
    for path in sorted(folder.glob("*.smtx")):
        mask = read_smtx(path)
        yield path.stem, (random.standard_normal(mask.shape, dtype=numpy.float32) * mask).astype(numpy.float32)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("masks", type=pathlib.Path)
    arguments.add_argument("--only", default="transformer", help="folders whose path has this")
    arguments.add_argument("--out", type=pathlib.Path, default=ROOT / "build/dlmc")
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    root = options.masks
    if root.is_file():
        root = options.out / "masks"
        with tarfile.open(options.masks) as archive:
            for member in archive.getmembers():  # Files below the folder alone; Python 3.11.2 has no filter for that.
                if member.isfile() and not pathlib.PurePath(member.name).is_absolute() and ".." not in member.name:
                    archive.extract(member, root)
    folders = sorted({path.parent for path in root.rglob("*.smtx") if options.only in str(path)})
    if not folders:
        sys.exit(f"dlmc.py: {options.masks}: has no .smtx file in a folder named {options.only}")
    rows = []
    print(f"{options.target}, {options.tokens} tokens, {options.type}: means over the matrices of a folder\n")
    print("| masks | matrices | kept | layouts | bytes stored per byte kept | predicted speed-up | faster than dense |\n|---|---|---|---|---|---|---|")
    for folder in folders:
        name = "/".join(folder.parts[-3:])
        own = [{"folder": name} | row for row in measure(matrices(folder), options, options.out)]
        rows += own
        layouts = ", ".join(sorted({row["kernel"].split(" ")[0] for row in own}))
        mean = lambda key: statistics.fmean(row[key] for row in own)  # noqa: E731
        print(f"| {name} | {len(own)} | {100 * mean('density'):.1f} % | {layouts} | {mean('stored_per_kept'):.2f} | "
              f"{mean('speedup'):.2f} | {sum(row['speedup'] > 1 for row in own)} |", flush=True)
    (options.out / "dlmc.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
