"""Wrong answers to notebook 04's exercises: (check, answer, words its hint must hold)."""

import torch
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
]
