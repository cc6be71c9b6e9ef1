#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Spearman of all-MiniLM-L6-v2 on the first half of STS-B dev, per level.

  sts_b.py RT3C SHARED_DATA SCRATCH [LEVELS.json] [--int8] [--calib SENTENCES]

Compiles the model for this machine, embeds all sentences at every level and with
ONNX Runtime (mean pooling, cosine), and prints one line each. Fails if the dense
level does not give what ONNX Runtime gives in f32; with --int8, within 0.5 %. With
--calib, pruning is calibrated with so many sentences of STS-B's training part.
"""

import array
import ctypes
import json
import math
import pathlib
import random
import subprocess
import sys
import unicodedata

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_LENGTH = 128


class WordPiece:
    """BERT's uncased tokenizer: split at spaces and punctuation, then longest pieces."""

    def __init__(self, path):
        self.ids = {token: i for i, token in enumerate(path.read_text().split("\n"))}

    def words(self, text):
        text = unicodedata.normalize("NFD", text.lower())
        word = ""
        for c in text:
            category = unicodedata.category(c)
            if category == "Mn" or (category == "Cc" and not c.isspace()):
                continue
            is_mark = category.startswith("P") or c in "$+<=>^`|~"
            if (c.isspace() or is_mark) and word:
                yield word
                word = ""
            if is_mark:
                yield c
            elif not c.isspace():
                word += c
        if word:
            yield word

    def encode(self, text):
        ids = [self.ids["[CLS]"]]
        for word in self.words(text):
            pieces, start = [], 0
            while start < len(word):
                end = len(word)
                while end > start and ("##" if start else "") + word[start:end] not in self.ids:
                    end -= 1
                if end == start:
                    pieces = [self.ids["[UNK]"]]
                    break
                pieces.append(self.ids[("##" if start else "") + word[start:end]])
                start = end
            ids += pieces
        return ids[: MAX_LENGTH - 1] + [self.ids["[SEP]"]]


class Run(ctypes.Structure):
    _fields_ = [("inputs", ctypes.c_void_p), ("outputs", ctypes.c_void_p), ("length", ctypes.c_int64),
                ("workspace", ctypes.c_void_p), ("workspace_size", ctypes.c_size_t), ("state", ctypes.c_void_p),
                ("parallel", ctypes.c_void_p)]


def aligned(size):
    raw = ctypes.create_string_buffer(size + 64)
    address = (ctypes.addressof(raw) + 63) // 64 * 64
    return raw, address


class Model:
    def __init__(self, folder, scratch):
        runtime = scratch / "librt3.so"
        subprocess.run(["gcc", "-O2", "-std=gnu11", "-shared", "-fPIC", f"-I{ROOT}/runtime/include", "-o", runtime,
                        *map(str, (ROOT / "runtime/src").glob("*.c"))], check=True)
        self.rt3 = ctypes.CDLL(str(runtime))
        self.rt3.rt3_model_workspace_size.restype = ctypes.c_size_t
        self.rt3.rt3_model_workspace_size.argtypes = [ctypes.c_void_p]
        self.library = ctypes.CDLL(str(folder / "libmodel.so"))
        data = (folder / "model.rt3").read_bytes()
        self.bundle, bundle = aligned(len(data))
        ctypes.memmove(bundle, data, len(data))
        self.memory, memory = aligned(1024)
        model = ctypes.c_void_p()
        program = ctypes.addressof(ctypes.c_char.in_dll(self.library, "rt3_model_program"))
        status = self.rt3.rt3_model_init(ctypes.c_void_p(program), ctypes.c_void_p(bundle), ctypes.c_size_t(len(data)),
                                         ctypes.c_void_p(memory), ctypes.c_size_t(1024), ctypes.byref(model))
        assert status == 0, status
        self.model = model
        self.size = self.rt3.rt3_model_workspace_size(model)
        self.raw, self.workspace = aligned(self.size)

    def embed(self, ids):
        n = len(ids)
        tensors = [array.array("q", ids), array.array("q", [1] * n), array.array("q", [0] * n)]
        output = array.array("f", bytes(4 * 384 * n))
        inputs = (ctypes.c_void_p * 3)(*(t.buffer_info()[0] for t in tensors))
        outputs = (ctypes.c_void_p * 1)(output.buffer_info()[0])
        run = Run(ctypes.addressof(inputs), ctypes.addressof(outputs), n, self.workspace, self.size)
        status = self.rt3.rt3_model_run(self.model, ctypes.byref(run))
        assert status == 0, status
        return [sum(output[i::384]) for i in range(384)]

    def set_level(self, level):
        assert self.rt3.rt3_model_set_level(self.model, ctypes.c_uint32(level)) == 0


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    result, i = [0.0] * len(values), 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            result[order[k]] = (i + j) / 2
        i = j + 1
    return result


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    x, y = [v - sum(a) / len(a) for v in a], [v - sum(b) / len(b) for v in b]
    return cosine(x, y)


def write_samples(tokenizer, path, count, folder):
    """Sentences for rt3c's --calib, one folder each."""
    sentences = [text for line in path.read_text().splitlines()[1:] for text in line.split("\t")[-3:-1]]
    random.Random(1).shuffle(sentences)
    for i, text in enumerate(sentences[:count]):
        ids = tokenizer.encode(text)
        sample = folder / f"{i:05}"
        sample.mkdir(parents=True, exist_ok=True)
        for name, values in (("input_ids", ids), ("attention_mask", [1] * len(ids)), ("token_type_ids", [0] * len(ids))):
            numpy.save(sample / f"{name}.npy", numpy.array([values], numpy.int64))


def main():
    is_int8 = "--int8" in sys.argv
    if is_int8:
        sys.argv.remove("--int8")
    sample_count = 0
    if "--calib" in sys.argv:
        place = sys.argv.index("--calib")
        sample_count = int(sys.argv[place + 1])
        del sys.argv[place : place + 2]
    rt3c, shared, scratch = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    levels = sys.argv[4] if len(sys.argv) > 4 else str(ROOT / "benchmarks/models/minilm-levels.json")
    folder = shared / "models/minilm-l6-v2"
    scratch.mkdir(parents=True, exist_ok=True)
    tokenizer = WordPiece(folder / "vocab.txt")
    assert tokenizer.encode("Hello, World!") == [101, 7592, 1010, 2088, 999, 102]
    pairs, scores = [], []
    for line in (shared / "glue/STS-B/dev-first-half.tsv").read_text().splitlines()[1:]:
        *_, first, second, score = line.split("\t")
        pairs.append([tokenizer.encode(first), tokenizer.encode(second)])
        scores.append(float(score))
    calibration = []
    if sample_count:
        write_samples(tokenizer, shared / "glue/STS-B/train.tsv", sample_count, scratch / "samples")
        calibration = ["--calib", scratch / "samples"]
    subprocess.run([rt3c, folder / "model.onnx", *calibration, "--shape", f"input_ids=1x1..{MAX_LENGTH}", "--levels", levels, "--type",
                    "int8" if is_int8 else "f32", "-o", scratch / "model"], check=True, capture_output=True)
    names = [level["name"] for level in json.load(open(levels))["levels"]]
    model, found = Model(scratch / "model", scratch), {}
    for i, name in enumerate(names):
        model.set_level(i)
        found[name] = spearman([cosine(model.embed(a), model.embed(b)) for a, b in pairs], scores)
        print(f"{name:14} Spearman {found[name]:.4f}", flush=True)
    (scratch / "ids.json").write_text(json.dumps([ids for pair in pairs for ids in pair]))
    subprocess.run(["node", ROOT / "benchmarks/baselines/onnxruntime.js", folder / "model.onnx", "--embed",
                    scratch / "ids.json", scratch / "embeddings.json"], check=True)
    rows = json.loads((scratch / "embeddings.json").read_text())
    rival = spearman([cosine(a, b) for a, b in zip(rows[::2], rows[1::2])], scores)
    print(f"{'ONNX Runtime':14} Spearman {rival:.4f} ({len(pairs)} pairs)")
    dense = next(name for name, level in zip(names, json.load(open(levels))["levels"]) if level["scheme"] == "dense")
    return abs(found[dense] - rival) > (0.005 * rival if is_int8 else 1e-4)


if __name__ == "__main__":
    sys.exit(main())
