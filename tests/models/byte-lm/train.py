#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Trains byte-lm.onnx: a two-layer byte-level Transformer language model.

  tests/models/byte-lm/train.py --text FILE [FILE ...] [--minutes 25]

Writes byte-lm.onnx (inputs: ids, int64 [1, length]; outputs: logits, float32
[1, length, 256]), held-out.txt (the end of the first file, never trained on)
and prints the bits per byte on it. Needs Debian's python3-torch. The result
depends on the machine's speed, because the schedule is cut by time; README.md
records the run that made the committed model.
"""

import argparse
import math
import pathlib
import time

import torch
from torch import nn
from torch.nn import functional

CONTEXT, WIDTH, LAYERS, HEADS = 128, 128, 2, 4
HELD_OUT_SIZE = 6 * 1024  # bytes that travel with the repository
VALID_SIZE = 64 * 1024  # bytes kept out of training, held-out text included


class Block(nn.Module):
    """A pre-norm decoder layer as GPT-2 writes it."""

    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.v, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        causal = torch.tril(torch.ones(CONTEXT, CONTEXT, dtype=torch.bool))
        self.register_buffer("causal", causal.view(1, 1, CONTEXT, CONTEXT))

    def forward(self, x):
        batch, length, _ = x.shape
        heads = (batch, length, HEADS, WIDTH // HEADS)
        y = self.ln1(x)
        q, k, v = (f(y).view(heads).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
        visible = self.causal[:, :, :length, :length]
        scores = scores.masked_fill(~visible, float("-inf"))
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, WIDTH)
        x = x + self.out(y)
        return x + self.down(functional.gelu(self.up(self.ln2(x))))


class ByteLm(nn.Module):
    def __init__(self):
        super().__init__()
        self.bytes = nn.Embedding(256, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 256, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, 0, 0.02 if "out" not in name and "down" not in name else 0.01)

    def forward(self, ids):
        length = ids.shape[1]
        x = self.bytes(ids) + self.positions(torch.arange(length))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def bits_per_byte(model, data):
    """Mean of -log2 p(next byte) over windows of CONTEXT bytes that do not overlap."""
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(data) - CONTEXT, CONTEXT):
            window = data[start : start + CONTEXT + 1].long()
            logits = model(window[None, :-1])
            total += functional.cross_entropy(logits[0], window[1:], reduction="sum").item()
            count += CONTEXT
    model.train()
    return total / count / math.log(2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default=str(pathlib.Path(__file__).parent))
    options = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    texts = [pathlib.Path(path).read_bytes() for path in options.text]
    held_out, valid = texts[0][-HELD_OUT_SIZE:], texts[0][-VALID_SIZE:]
    texts[0] = texts[0][:-VALID_SIZE]
    data = torch.tensor(list(b"\n".join(texts)), dtype=torch.uint8)
    valid_data = torch.tensor(list(valid), dtype=torch.uint8)

    model = ByteLm()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1, betas=(0.9, 0.98), weight_decay=0.05)
    begin, budget, step = time.time(), options.minutes * 60, 0
    while True:
        done = (time.time() - begin) / budget
        if done >= 1:
            break
        # Warm-up, then a cosine over the time budget.
        rate = 3e-3 * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = torch.randint(len(data) - CONTEXT - 1, (options.batch,))
        windows = torch.stack([data[s : s + CONTEXT + 1] for s in starts]).long()
        loss = functional.cross_entropy(model(windows[:, :-1]).reshape(-1, 256), windows[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 200 == 0:
            print(f"step {step}, {100 * done:.0f} % of the time: {loss.item() / math.log(2):.3f} bits per byte", flush=True)

    out = pathlib.Path(options.out)
    (out / "held-out.txt").write_bytes(held_out)
    model.eval()
    torch.onnx.export(model, torch.zeros(1, 16, dtype=torch.long), str(out / "byte-lm.onnx"), opset_version=14,
                      input_names=["ids"], output_names=["logits"],
                      dynamic_axes={"ids": {1: "length"}, "logits": {1: "length"}})
    held = torch.tensor(list(held_out), dtype=torch.uint8)
    print(f"{step} steps; bits per byte: held-out.txt {bits_per_byte(model, held):.4f}, "
          f"the whole validation part {bits_per_byte(model, valid_data):.4f}")


if __name__ == "__main__":
    main()
