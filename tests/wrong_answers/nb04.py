"""Answers to notebook 04's exercises: wrong ones with words their hint must hold, and unusual right ones."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def contributions(out, proj, nh, dim=1):
    return torch.stack([f @ c.T for f, c in zip(out.chunk(nh, -1), proj.chunk(nh, -1))], dim=dim)


def packed(heads, order="qkv", by_head=False, dim=0):
    names = [{"q": "query", "k": "key", "v": "value"}[letter] for letter in order]
    pairs = (
        [(h, n) for h in heads for n in names]
        if by_head
        else [(h, n) for n in names for h in heads]
    )
    return torch.cat([getattr(head, name).weight for head, name in pairs], dim=dim)


def one_key(x, wq, wk, wv, nh, diagonal=1, dim=-1, hidden=float("-inf")):
    q = (x @ wq).view(*x.shape[:2], nh, -1).transpose(1, 2)
    scores = q @ (x @ wk)[:, None].transpose(-2, -1) * wk.size(1) ** -0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal)
    weights = scores.masked_fill(future, hidden).softmax(dim)
    return (weights @ (x @ wv)[:, None]).transpose(1, 2).flatten(2)


def shared(x, wq, wk, wv, nh, width=None, causal=True, mix=False, merge=True):
    B, T, _ = x.shape
    hs = wk.size(1)
    q = x @ wq
    q = q.reshape(B, nh, T, hs) if mix else q.view(B, T, nh, hs).transpose(1, 2)
    k, v = ((x @ w)[:, None].expand(-1, nh, -1, -1) for w in (wk, wv))
    scale = None if width is None else width**-0.5
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
    return out.transpose(1, 2).flatten(2) if merge else out.reshape(B, T, nh * hs)


def zeroing(out, proj, nh):
    parts = []
    for h in range(nh):
        width = proj.size(1) // nh
        proj[:, : h * width] = 0
        proj[:, (h + 1) * width :] = 0
        parts.append(out @ proj.T)
    return torch.stack(parts, 1)


class Attention(nn.Module):
    """Multi-head attention with a mistake, or with none."""

    bias, width, mask, dim, cut, back, order, end = (
        False,
        "hs",
        "before",
        -1,
        True,
        True,
        "qkv",
        True,
    )

    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=self.bias)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=self.bias)

    def forward(self, x):
        B, T, C = x.shape
        parts = dict(zip(self.order, self.qkv(x).split(C, dim=-1)))
        shape = (B, T, self.n_head, -1) if self.cut else (B, self.n_head, T, -1)
        q, k, v = (parts[letter].reshape(shape) for letter in "qkv")
        if self.cut:
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        width = {"hs": q.size(-1), "one": 1, "C": C}[self.width]
        scores = q @ k.transpose(-2, -1) / width**0.5
        past = torch.ones(T, T, dtype=torch.bool).tril()
        if self.mask == "before":
            scores = scores.masked_fill(~past, float("-inf"))
        if self.mask == "zero":
            scores = scores * past
        weights = scores.softmax(self.dim)
        if self.mask == "after":
            weights = weights * past
        out = weights @ v
        out = out.transpose(1, 2).flatten(2) if self.back else out.reshape(B, T, C)
        return self.proj(out) if self.end else out


def wrong(**changes):
    return type("MyMultiHeadAttention", (Attention,), changes)


class PlainList(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = [nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)]

    def forward(self, x):
        return self.layers[0](x)


class Empty(nn.Module):
    def __init__(self, config):
        super().__init__()

    def forward(self, x): ...


class NoSuper(nn.Module):
    def __init__(self, config):
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)

    def forward(self, x):
        return self.qkv(x)


class NotAModule:
    def __init__(self, config):
        self.config = config


class MaskOfBlockSize(Attention):
    """Right, except that it only works when T is block_size."""

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("past", torch.ones(config.block_size, config.block_size).tril())

    def forward(self, x):
        scores = torch.zeros(x.size(1), x.size(1)).masked_fill(self.past == 0, float("-inf"))
        return scores.softmax(-1) @ x


class MaskAsParameter(Attention):
    def __init__(self, config):
        super().__init__(config)
        self.past = nn.Parameter(torch.ones(7, 7).tril())


class OneBigHead(Attention):
    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True))


class HardCoded(Attention):
    def __init__(self, config):
        super().__init__(config)
        self.n_head = 3


class NotMerged(Attention):
    def forward(self, x):
        B, T, C = x.shape
        parts = (p.view(B, T, self.n_head, -1).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
        return self.proj(F.scaled_dot_product_attention(*parts, is_causal=True))


class WithSDPA(Attention):
    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(out.transpose(1, 2).reshape(B, T, C))


class WithLoop(Attention):
    def forward(self, x):
        C = x.size(-1)
        hs = C // self.n_head
        q, k, v = torch.chunk(self.qkv(x), 3, dim=2)
        outs = []
        for h in range(self.n_head):
            part = slice(h * hs, (h + 1) * hs)
            w = q[..., part] @ k[..., part].mT / hs**0.5
            w = w + torch.full_like(w, float("-inf")).triu(1)
            outs.append(w.softmax(-1) @ v[..., part])
        return self.proj(torch.cat(outs, -1))


class WithEinsum(Attention):
    def forward(self, x):
        B, T, C = x.shape
        n = self.n_head
        q, k, v = (p.unflatten(-1, (n, C // n)) for p in self.qkv(x).chunk(3, -1))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * (C // n) ** -0.5
        future = torch.arange(T)[None] > torch.arange(T)[:, None]
        weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        return self.proj(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(-2))


class WithBuffer(Attention):
    """A mask kept as a buffer, even a saved one, and PyTorch's names for nothing else."""

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("past", torch.ones(config.block_size, config.block_size).tril() == 1)


def merged_by_loop(out):
    B, nh, T, hs = out.shape
    result = torch.empty(B, T, nh * hs)
    for b in range(B):
        for t in range(T):
            for h in range(nh):
                for i in range(hs):
                    result[b, t, h * hs + i] = out[b, h, t, i]
    return result


def by_slices(out, proj, nh):
    hs = out.size(-1) // nh
    result = torch.zeros(out.size(0), nh, out.size(1), proj.size(0))
    for h in range(nh):
        result[:, h] = out[:, :, h * hs : (h + 1) * hs] @ proj[:, h * hs : (h + 1) * hs].T
    return result


def by_masked_copies(out, proj, nh):
    hs = out.size(-1) // nh
    keep = torch.arange(nh).repeat_interleave(hs)[None] == torch.arange(nh)[:, None]  # (nh, nh*hs)
    return (out[:, None] * keep[None, :, None].float()) @ proj.T


def packed_row_by_row(heads):
    rows = []
    for name in ("query", "key", "value"):
        for head in heads:
            rows += list(getattr(head, name).weight)
    return torch.stack(rows)


def query_loop(x, wq, wk, wv, nh):
    hs, outs = wk.size(1), []
    T = x.size(1)
    for h in range(nh):
        scores = (x @ wq[:, h * hs : (h + 1) * hs]) @ (x @ wk).transpose(1, 2) / hs**0.5
        scores[:, torch.ones(T, T).triu(1).bool()] = float("-inf")
        outs.append(scores.softmax(-1) @ (x @ wv))
    return torch.cat(outs, -1)


def query_einsum(x, wq, wk, wv, nh):
    q = (x @ wq).unflatten(-1, (nh, -1))
    scores = torch.einsum("bthd,bsd->bhts", q, x @ wk) / wk.size(1) ** 0.5
    byte = torch.ones(x.size(1), x.size(1), dtype=torch.uint8).tril()
    scores = scores.masked_fill(byte == 0, -torch.inf)
    return torch.einsum("bhts,bsd->bthd", scores.softmax(-1), x @ wv).flatten(2)


def query_repeated(x, wq, wk, wv, nh):
    B, T, _ = x.shape
    q = (x @ wq).view(B, T, nh, -1).transpose(1, 2)
    k, v = ((x @ w).unsqueeze(1).repeat(1, nh, 1, 1) for w in (wk, wv))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


RIGHT = [
    (
        "attention_parameters",
        lambda C, nh, hs, bias: (C + bias) * 3 * nh * hs + (nh * hs + bias) * C,
    ),
    (
        "attention_parameters",
        lambda C, nh, hs, bias: torch.tensor(4 * C * nh * hs + bias * (3 * nh * hs + C)),
    ),
    (
        "attention_parameters",
        lambda C, nh, hs, bias: np.int64(4 * C * nh * hs + bias * (3 * nh * hs + C)),
    ),
    (
        "attention_parameters",
        lambda C, nh, hs, bias: sum(
            p.numel()
            for layer in [nn.Linear(C, nh * hs, bias=bias) for _ in range(3)]
            + [nn.Linear(nh * hs, C, bias=bias)]
            for p in layer.parameters()
        ),
    ),
    ("head_contributions", by_slices),
    ("head_contributions", by_masked_copies),
    (
        "head_contributions",
        lambda out, proj, nh: torch.einsum(
            "bthd,chd->bhtc", out.unflatten(-1, (nh, -1)), proj.unflatten(-1, (nh, -1))
        ),
    ),
    (
        "head_contributions",
        lambda out, proj, nh: np.stack(
            [
                f @ c.T
                for f, c in zip(np.split(out.numpy(), nh, -1), np.split(proj.numpy(), nh, -1))
            ],
            1,
        ),
    ),
    ("merge_heads", merged_by_loop),
    ("merge_heads", lambda out: torch.cat(list(out.unbind(1)), dim=-1)),
    ("merge_heads", lambda out: torch.einsum("bhtd->bthd", out).reshape(2, 5, 12)),
    ("merge_heads", lambda out: out.numpy().transpose(0, 2, 1, 3).reshape(2, 5, -1)),
    ("merge_heads", lambda out: out.transpose(1, 2).contiguous().view(2, 5, -1)),
    ("pack_heads", packed_row_by_row),
    (
        "pack_heads",
        lambda heads: torch.vstack([packed(heads, letter) for letter in "qkv"]).detach(),
    ),
    ("pack_heads", lambda heads: nn.Parameter(packed(heads))),
    ("pack_heads", lambda heads: packed(heads).detach().numpy()),
    ("multi_query", query_loop),
    ("multi_query", query_einsum),
    ("multi_query", query_repeated),
    ("multi_query", lambda *inputs: shared(*inputs)),
    ("multi_head_attention", WithSDPA),
    ("multi_head_attention", WithLoop),
    ("multi_head_attention", WithEinsum),
    ("multi_head_attention", WithBuffer),
    ("multi_head_attention", Attention),
]

CASES = [
    ("attention_parameters", lambda C, nh, hs, bias: 4 * C * C, "head_size given"),
    ("attention_parameters", lambda C, nh, hs, bias: 3 * C * nh * hs, "projection is missing"),
    ("attention_parameters", lambda C, nh, hs, bias: 4 * C * hs, "one head only"),
    ("attention_parameters", lambda C, nh, hs, bias: 3 * C * nh * hs + C * C, "inputs"),
    ("attention_parameters", lambda C, nh, hs, bias: 4 * C * nh * hs, "each of its outputs"),
    (
        "attention_parameters",
        lambda C, nh, hs, bias: 4 * C * nh * hs + bias * 3 * nh * hs,
        "projection has a bias",
    ),
    (
        "attention_parameters",
        lambda C, nh, hs, bias: 4 * C * nh * hs + bias * 4 * C,
        "as many biases",
    ),
    (
        "attention_parameters",
        lambda C, nh, hs, bias: 4 * C * nh * hs + 3 * nh * hs + C,
        "bias is False",
    ),
    (
        "attention_parameters",
        lambda C, nh, hs, bias: 4 * C * nh * hs + bias * 4,
        "not one for each matrix",
    ),
    ("head_contributions", lambda out, proj, nh: out @ proj.T, "sum"),
    (
        "head_contributions",
        lambda out, proj, nh: contributions(out, proj, nh, dim=0),
        "(nh, B, T, C)",
    ),
    (
        "head_contributions",
        lambda out, proj, nh: contributions(out, proj, nh, dim=2),
        "(B, T, nh, C)",
    ),
    ("head_contributions", lambda out, proj, nh: torch.stack(out.chunk(nh, -1), 1), "findings"),
    (
        "head_contributions",
        lambda out, proj, nh: torch.stack(
            [out[..., h::nh] @ proj[:, h::nh].T for h in range(nh)], 1
        ),
        "next to each other",
    ),
    ("head_contributions", lambda out, proj, nh: contributions(out, proj.T, nh), "RuntimeError"),
    ("merge_heads", lambda out: out.reshape(2, 5, -1), "mixed"),
    ("merge_heads", lambda out: out.transpose(1, 2), "join"),
    ("merge_heads", lambda out: out.permute(0, 2, 3, 1).flatten(2), "interleaved"),
    ("merge_heads", lambda out: out.flatten(2), "exchange"),
    ("merge_heads", lambda out: out.transpose(2, 3).flatten(1, 2), "time is last"),
    ("merge_heads", lambda out: out.sum(dim=1), "added"),
    ("merge_heads", lambda out: out.transpose(1, 2).view(2, 5, 12), "RuntimeError"),
    ("pack_heads", lambda heads: packed(heads, "kqv"), "keys come first"),
    ("pack_heads", lambda heads: packed(heads, by_head=True), "head by head"),
    ("pack_heads", lambda heads: packed(heads, "kqv", by_head=True), "head by head"),
    ("pack_heads", lambda heads: packed(heads, "q"), "only the queries"),
    ("pack_heads", lambda heads: packed(heads).T, "transposed"),
    ("pack_heads", lambda heads: packed(heads, dim=1), "dim=0"),
    ("pack_heads", lambda heads: packed(heads[:1]), "first head"),
    ("pack_heads", lambda heads: [head.query for head in heads], "tensor"),
    ("multi_query", lambda *inputs: one_key(*inputs, hidden=-50.0), "with large ones"),
    ("multi_query", lambda *inputs: shared(*inputs, causal=False), "mask is missing"),
    ("multi_query", lambda *inputs: shared(*inputs, width=1), "not scaled"),
    ("multi_query", lambda x, *inputs: shared(x, *inputs, width=x.size(-1)), "n_embd"),
    (
        "multi_query",
        lambda x, wq, *inputs: shared(x, wq, *inputs, width=wq.size(-1)),
        "all heads' width",
    ),
    ("multi_query", lambda *inputs: shared(*inputs, mix=True), "at once"),
    ("multi_query", lambda *inputs: shared(*inputs, merge=False), "transposed back"),
    ("multi_query", lambda *inputs: shared(*inputs, mix=True, merge=False), "neither"),
    ("multi_query", lambda *inputs: shared(*inputs)[0], "shape"),
    (
        "head_contributions",
        lambda out, proj, nh: torch.stack(
            [f @ c.T for f, c in zip(out.chunk(nh, -1), proj.chunk(nh))]
        ),
        "along its columns",
    ),
    (
        "multi_query",
        lambda x, wq, wk, wv, nh: F.scaled_dot_product_attention(
            (x @ wq).view(2, 5, nh, -1).transpose(1, 2), x @ wk, x @ wv
        ),
        "axis of size 1 for the heads",
    ),
    (
        "multi_query",
        lambda x, wq, wk, wv, nh: [(x @ w).view(2, 5, nh, 4) for w in (wq, wk, wv)],
        "only the queries are split",
    ),
    ("multi_query", lambda *inputs: one_key(*inputs, diagonal=0), "triu(1)"),
    ("multi_query", lambda *inputs: one_key(*inputs, dim=-2), "over the queries"),
    (
        "multi_query",
        lambda *inputs: one_key(*inputs, diagonal=9, dim=-2),
        "over the queries and no mask",
    ),
    ("pack_heads", lambda heads: packed(heads[::-1]), "in reverse"),
    ("pack_heads", lambda heads: torch.cat([head.query for head in heads]), "head.query.weight"),
    ("merge_heads", lambda out: out.transpose(1, 2).view(2, 5, 12), "flatten or reshape"),
    ("merge_heads", lambda out: out.flatten(1), "all of a text"),
    ("merge_heads", lambda out: out.transpose(1, 2).flatten(1), "flatten(2)"),
    ("head_contributions", zeroing, "changes the tensors"),
    (
        "head_contributions",
        lambda out, proj, nh: torch.cat(
            [f @ c.T for f, c in zip(out.chunk(nh, -1), proj.chunk(nh, -1))]
        ),
        "torch.stack",
    ),
    ("merge_heads", lambda out: out.transpose(0, 1).flatten(2), "batch and heads"),
    (
        "pack_heads",
        lambda heads: torch.stack(
            [getattr(h, n).weight for n in ("query", "key", "value") for h in heads]
        ),
        "new axis",
    ),
    (
        "pack_heads",
        lambda heads: torch.cat(
            [getattr(h, n).weight.T for n in ("query", "key", "value") for h in heads]
        ),
        "transposed",
    ),
    ("pack_heads", lambda heads: packed([heads[0]] * 3), "three times"),
    ("pack_heads", lambda heads: torch.cat([packed(heads, letter) for letter in "qkk"]), "twice"),
    (
        "multi_query",
        lambda x, wq, wk, wv, nh: one_key(
            x, wq.unflatten(1, (-1, nh)).transpose(1, 2).flatten(1), wk, wv, nh
        ),
        "(hs, n_head)",
    ),
    (
        "multi_query",
        lambda x, wq, wk, wv, nh: (
            one_key(x, wq, wk, wv, nh).unflatten(-1, (nh, -1)).transpose(1, 2).flatten(1, 2)
        ),
        "below each other",
    ),
    ("multi_head_attention", wrong(mask=None), "mask is missing"),
    ("multi_head_attention", wrong(mask="after"), "after softmax"),
    ("multi_head_attention", wrong(width="one"), "not scaled"),
    ("multi_head_attention", wrong(width="C"), "n_embd"),
    ("multi_head_attention", wrong(dim=-2), "over the queries"),
    ("multi_head_attention", wrong(cut=False), "at once"),
    ("multi_head_attention", wrong(back=False), "transposed back"),
    ("multi_head_attention", wrong(cut=False, back=False), "neither"),
    ("multi_head_attention", wrong(order="kqv"), "keys come first"),
    ("multi_head_attention", wrong(end=False), "projection is missing"),
    ("multi_head_attention", wrong(bias=True), "bias"),
    ("multi_head_attention", PlainList, "no weights called qkv.weight"),
    ("multi_head_attention", NoSuper, "super().__init__()"),
    ("multi_head_attention", NotAModule, "forward"),
    ("multi_head_attention", MaskOfBlockSize, "mask[:T, :T]"),
    ("multi_head_attention", MaskAsParameter, "buffer"),
    ("multi_head_attention", wrong(mask="zero"), "fill them with -inf"),
    ("multi_head_attention", OneBigHead, "one big head"),
    ("multi_head_attention", HardCoded, "take n_head from config"),
    ("multi_head_attention", NotMerged, "side by side again"),
]
