#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small models as PyTorch exports the layers of the usual checkpoints.

  export.py FOLDER OPSET

gpt2.onnx: Conv1D on flattened tokens, Q, K and V split from one product, a causal
mask by where, tanh GELU, a head tied to the embedding. distilbert.onnx: a mask
filled in over scores, erf GELU, the first token's hidden state to a classifier.
llama.onnx: RMSNorm, rotary embedding, grouped queries, SwiGLU. Random weights. Needs Debian's python3-torch.
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


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x):
        variance = x.to(torch.float32).pow(2).mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(variance + 1e-6))


def rotate_half(x):
    return torch.cat((-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]), dim=-1)


class LlamaBlock(nn.Module):
    def __init__(self, width, heads, key_heads):
        super().__init__()
        self.heads, self.key_heads, self.size = heads, key_heads, width // heads
        self.norm1, self.norm2 = RmsNorm(width), RmsNorm(width)
        self.q, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, key_heads * self.size, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(width, 2 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * width, width, bias=False)

    def repeat(self, x):
        batch, heads, length, size = x.shape
        x = x[:, :, None, :, :].expand(batch, heads, self.heads // heads, length, size)
        return x.reshape(batch, self.heads, length, size)

    def forward(self, x, cos, sin, mask):
        batch, length, width = x.size()
        y = self.norm1(x)
        q = self.q(y).view(batch, length, self.heads, self.size).transpose(1, 2)
        k = self.k(y).view(batch, length, self.key_heads, self.size).transpose(1, 2)
        v = self.v(y).view(batch, length, self.key_heads, self.size).transpose(1, 2)
        q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
        scores = torch.matmul(q, self.repeat(k).transpose(2, 3)) / math.sqrt(self.size) + mask
        y = torch.matmul(functional.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype), self.repeat(v))
        x = x + self.o(y.transpose(1, 2).contiguous().reshape(batch, length, width))
        y = self.norm2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    def __init__(self, width=48, heads=4, key_heads=2):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(LlamaBlock(width, heads, key_heads) for _ in range(2))
        self.norm, self.head = RmsNorm(width), nn.Linear(width, VOCABULARY, bias=False)
        size = width // heads
        self.register_buffer("frequencies", 1.0 / 10000 ** (torch.arange(0, size, 2).float() / size))

    def forward(self, input_ids):
        length = input_ids.shape[1]
        positions = torch.arange(length).unsqueeze(0)
        angles = (self.frequencies[None, :, None] @ positions[:, None, :].float()).transpose(1, 2)
        angles = torch.cat((angles, angles), dim=-1)
        cos, sin = angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)
        column = torch.arange(length)
        mask = torch.full((length, length), torch.finfo(torch.float32).min)
        mask = mask.masked_fill(column < (column + 1).view(length, 1), 0.0)[None, None, :, :]
        x = self.tokens(input_ids)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return self.head(self.norm(x))


def main():
    folder, opset = sys.argv[1], int(sys.argv[2])
    both, ids = ["input_ids", "attention_mask"], ["input_ids"]
    for name, model, names, outputs in (("gpt2", Gpt2, both, ["logits"]), ("distilbert", DistilBert, both, ["logits", "hidden"]),
                                        ("llama", Llama, ids, ["logits"])):
        torch.manual_seed(1)
        inputs = (torch.zeros(1, 16, dtype=torch.long), torch.ones(1, 16, dtype=torch.long))[: len(names)]
        axes = {name: {0: "batch", 1: "sequence"} for name in names}
        torch.onnx.export(model().eval(), inputs, f"{folder}/{name}.onnx", opset_version=opset, output_names=outputs,
                          input_names=names, dynamic_axes=axes)


if __name__ == "__main__":
    main()
