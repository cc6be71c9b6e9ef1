#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small models as PyTorch exports the layers of the usual checkpoints.

  export.py FOLDER OPSET

gpt2.onnx: Conv1D on flattened tokens, Q, K and V split from one product, a causal
mask by where, tanh GELU, a head tied to the embedding. distilbert.onnx: a mask
filled in over scores, erf GELU, the first token's hidden state to a classifier.
Random weights. Needs Debian's python3-torch.
"""

import math
import sys

import torch
from torch import nn
from torch.nn import functional

VOCABULARY, LENGTH = 100, 64


class Conv1D(nn.Module):
    def __init__(self, outputs, inputs):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs) * 0.1), nn.Parameter(torch.randn(outputs) * 0.1)

    def forward(self, x):
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(x.size()[:-1] + (self.bias.shape[0],))


class Gpt2Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.projection = Conv1D(3 * width, width), Conv1D(width, width)
        self.up, self.down = Conv1D(4 * width, width), Conv1D(width, 4 * width)
        self.register_buffer("causal", torch.tril(torch.ones(LENGTH, LENGTH)).bool().view(1, 1, LENGTH, LENGTH))
        self.register_buffer("hidden", torch.tensor(-1e4))

    def split(self, x):
        return x.view(x.size()[:-1] + (self.heads, x.size(-1) // self.heads)).permute(0, 2, 1, 3)

    def forward(self, x, mask):
        q, k, v = map(self.split, self.attention(self.ln1(x)).split(x.shape[-1], dim=2))
        scores = torch.matmul(q, k.transpose(-1, -2)) / v.size(-1) ** 0.5
        queries, keys = q.size(-2), k.size(-2)
        scores = torch.where(self.causal[:, :, keys - queries : keys, :keys], scores, self.hidden.to(scores.dtype)) + mask
        y = torch.matmul(scores.softmax(-1), v).permute(0, 2, 1, 3).contiguous()
        x = x + self.projection(y.view(y.size()[:-2] + (-1,)))
        y = self.up(self.ln2(x))
        y = 0.5 * y * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (y + 0.044715 * torch.pow(y, 3.0))))
        return x + self.down(y)


class Gpt2(nn.Module):
    def __init__(self, width=48, heads=4):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, width), nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList(Gpt2Block(width, heads) for _ in range(2))
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids, attention_mask):
        length = input_ids.size(-1)
        ids, positions = input_ids.view(-1, length), torch.arange(length).unsqueeze(0).view(-1, length)
        mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * -10000.0
        x = self.tokens(ids) + self.positions(positions)
        for block in self.blocks:
            x = block(x, mask)
        return torch.matmul(self.norm(x), self.tokens.weight.t())


class DistilBert(nn.Module):
    def __init__(self, width=40, heads=4):
        super().__init__()
        self.heads, self.width = heads, width
        self.words, self.positions = nn.Embedding(VOCABULARY, width), nn.Embedding(LENGTH, width)
        self.register_buffer("numbers", torch.arange(LENGTH).expand((1, -1)))
        self.ln0, self.ln1, self.ln2 = (nn.LayerNorm(width, eps=1e-12) for _ in range(3))
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, 2)

    def attend(self, x, mask):
        batch, length, _ = x.size()
        size = self.width // self.heads
        q, k, v = (f(x).view(batch, -1, self.heads, size).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = torch.matmul(q / math.sqrt(size), k.transpose(2, 3))
        hidden = (mask == 0).view((batch, 1, 1, length)).expand_as(scores)
        scores = scores.masked_fill(hidden, torch.tensor(torch.finfo(scores.dtype).min))
        y = torch.matmul(functional.softmax(scores, dim=-1), v).transpose(1, 2).contiguous()
        return self.out(y.view(batch, -1, self.width))

    def forward(self, input_ids, attention_mask):
        x = self.ln0(self.words(input_ids) + self.positions(self.numbers[:, : input_ids.size(1)]))
        x = self.ln1(self.attend(x, attention_mask) + x)
        x = self.ln2(self.down(functional.gelu(self.up(x))) + x)
        return self.classifier(functional.relu(self.pooler(x[:, 0]))), x


def main():
    folder, opset = sys.argv[1], int(sys.argv[2])
    for name, model, outputs in (("gpt2", Gpt2, ["logits"]), ("distilbert", DistilBert, ["logits", "hidden"])):
        torch.manual_seed(1)
        inputs = (torch.zeros(1, 16, dtype=torch.long), torch.ones(1, 16, dtype=torch.long))
        axes = {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask")}
        torch.onnx.export(model().eval(), inputs, f"{folder}/{name}.onnx", opset_version=opset, output_names=outputs,
                          input_names=["input_ids", "attention_mask"], dynamic_axes=axes)


if __name__ == "__main__":
    main()
