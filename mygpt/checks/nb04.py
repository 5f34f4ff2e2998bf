"""Checks of notebook 04's exercises."""

import torch

from mygpt.checks import (
    Wrong,
    build,
    call,
    compare,
    exercise,
    give_weights,
    own_or,
    with_large_scores,
)
from mygpt_helpers import GPTConfig, Head

__all__ = ["own_or"]

# a hint and what it stands for: a line each
# fmt: off


@exercise
def attention_parameters(answer):
    C, nh, hs = 24, 5, 3
    inner = nh * hs
    right = 3 * C * inner + inner * C
    compare(
        call(answer, C, nh, hs, False),
        right,
        {
            "head_size is not n_embd / n_head here: use the head_size given": 4 * C * C,
            "one head only: there are n_head of each matrix": 4 * C * hs,
            "queries, keys and values of one head only: there are n_head of each":
                3 * C * hs + inner * C,
            "the projection is missing: from n_head * head_size back to n_embd": 3 * C * inner,
            "the projection has n_head * head_size inputs, not n_embd": 3 * C * inner + C * C,
            "the projection has n_embd outputs, not n_head * head_size":
                3 * C * inner + inner * inner,
            "the projection has one row of head_size only: it reads all heads":
                3 * C * inner + hs * C,
            "three matrices make queries, keys and values": C * inner + inner * C,
            "there is one projection for all heads together": 3 * C * inner + nh * inner * C,
            "biases are counted though bias is False": right + 3 * inner + C,
        },
        "n_embd by n_head * head_size for each of q, k and v, and the projection back",
    )
    compare(
        call(answer, C, nh, hs, True),
        right + 3 * inner + C,
        {
            "with bias=True each matrix has one number more for each of its outputs": right,
            "the projection has a bias too, of n_embd numbers": right + 3 * inner,
            "queries, keys and values have biases too, n_head * head_size each": right + C,
            "the biases of q, k and v are those of one head only": right + 3 * hs + C,
            "queries, keys and values each have a bias: three times n_head * head_size":
                right + inner + C,
            "the projection has n_embd outputs, so n_embd biases": right + 4 * inner,
            "q, k and v have n_head * head_size outputs, so as many biases, not n_embd":
                right + 4 * C,
            "one bias for each output entry, not one for each matrix": right + 4,
        },
        "without bias right, with bias wrong: one number for each output of each of the four matrices",
    )
    return "the shapes alone decide it, and cutting the same width into more heads changes nothing"


@exercise
def head_contributions(answer):
    B, T, C, nh, hs = 2, 3, 7, 4, 5
    generator = torch.Generator().manual_seed(0)
    out, proj = (
        torch.randn(B, T, nh * hs, generator=generator),
        torch.randn(C, nh * hs, generator=generator),
    )
    findings, columns = out.chunk(nh, dim=-1), proj.chunk(nh, dim=-1)
    parts = [f @ c.T for f, c in zip(findings, columns)]  # nh times (B, T, C)
    strided = [out[..., h::nh] @ proj[:, h::nh].T for h in range(nh)]
    crossed = torch.stack(
        [out.reshape(B, nh, T, hs)[:, h] @ columns[h].T for h in range(nh)], dim=1
    )
    given = out.clone(), proj.clone()
    got = call(
        answer,
        *given,
        nh,
        explain={"mat1 and mat2": "cut proj_weight along its columns, dim=-1, as you cut out"},
    )
    if not (torch.equal(given[0], out) and torch.equal(given[1], proj)):
        raise Wrong("it changes the tensors it is given: work on copies, or cut them into pieces")
    compare(
        got,
        torch.stack(parts, dim=1),
        {
            "this is their sum, what the projection gives: keep the heads apart": out @ proj.T,
            "(nh, B, T, C): the heads belong in the second place, dim=1": torch.stack(parts),
            "(B, T, nh, C): the heads belong in the second place, dim=1": torch.stack(parts, dim=2),
            "(B, T, nh * C): stack them on an axis of their own, dim=1, do not concatenate":
                torch.cat(parts, dim=-1),
            "the heads were joined along an axis that was there: torch.stack makes a new one, dim=1":
                torch.cat(parts, dim=1),
            "the heads were joined along the batch: torch.stack makes a new axis, dim=1":
                torch.cat(parts),
            "these are the findings: each still has to meet its columns of proj_weight":
                torch.stack(findings, dim=1),
            "every n_head-th entry was taken: a head's entries lie next to each other":
                torch.stack(strided, dim=1),
            "out was reshaped to (B, nh, T, hs) at once, which mixes tokens: cut the last axis first":
                crossed,
            "the sum divided into equal parts: head h has its own entries of out":
                (out @ proj.T / nh)[:, None].expand(B, nh, T, C),
        },
        "head h: its hs entries of out times the hs columns of proj_weight that meet them",
    )
    return "the contributions add up to the projection of the concatenation"


@exercise
def merge_heads(answer):
    B, nh, T, hs = 2, 3, 5, 4
    out = torch.arange(B * nh * T * hs, dtype=torch.float32).view(B, nh, T, hs)
    result = call(
        answer,
        out,
        explain={
            "view size": "after a transpose use flatten or reshape: view needs the entries in their old order"
        },
    )
    compare(
        result,
        out.transpose(1, 2).flatten(2),
        {
            "the right shape, but tokens and heads are mixed: bring time before the heads first":
                out.reshape(B, T, nh * hs),
            "heads and time are exchanged, which is right; now join the last two axes":
                out.transpose(1, 2),
            "the heads of a token are interleaved: head 0's entries first, then head 1's":
                out.permute(0, 2, 3, 1).flatten(2),
            "time is last: the result is (B, T, nh * hs)": out.transpose(2, 3).flatten(1, 2),
            "heads and time are joined: join heads and head_size": out.flatten(1, 2),
            "time and head_size are joined: exchange heads and time first": out.flatten(2),
            "all of a text is joined: exchange heads and time, then join the last two axes only":
                out.flatten(1),
            "all of a text is joined: join the last two axes only, flatten(2)":
                out.transpose(1, 2).flatten(1),
            "the wrong two axes are exchanged: heads and time, 1 and 2":
                out.transpose(2, 3).reshape(B, T, nh * hs),
            "batch and heads are exchanged: exchange heads and time, axes 1 and 2":
                out.transpose(0, 1).flatten(2),
            "the heads are added up: put them side by side": out.sum(dim=1),
            "the heads are averaged: put them side by side": out.mean(dim=1),
            "(B * T, nh * hs): keep the batch axis": out.transpose(1, 2).reshape(B * T, nh * hs),
        },
        "token t of the result is head 0's token t, then head 1's token t, and so on",
    )
    return "each token has its heads side by side again"


@exercise
def pack_heads(answer):
    config = GPTConfig(vocab_size=5, block_size=6, n_layer=1, n_head=3, n_embd=12, dropout=0.0)
    torch.manual_seed(0)
    heads = [Head(config) for _ in range(3)]
    got = call(
        answer,
        heads,
        explain={"Linear": "head.query is a Linear: concatenate matrices, head.query.weight"},
    )
    q, k, v = (
        [getattr(head, name).weight.detach() for head in heads]
        for name in ("query", "key", "value")
    )
    right = torch.cat(q + k + v)
    if isinstance(got, torch.Tensor):
        got = got.detach()
    compare(
        got,
        right,
        {
            "keys come first here, as in Head: the order of qkv is queries, keys, values":
                torch.cat(k + q + v),
            "the order of qkv is queries, keys, values": torch.cat(v + k + q),
            "values stand before keys: the order of qkv is queries, keys, values":
                torch.cat(q + v + k),
            "head by head: qkv is split into all queries, then all keys, then all values":
                torch.cat([w for ws in zip(q, k, v) for w in ws]),
            "head by head, keys first: all queries come first, then all keys, then all values":
                torch.cat([w for ws in zip(k, q, v) for w in ws]),
            "only the queries: keys and values go below them": torch.cat(q),
            "the heads are in reverse: head 0's rows come first":
                torch.cat(q[::-1] + k[::-1] + v[::-1]),
            "the first head only": torch.cat([q[0], k[0], v[0]]),
            "transposed: a Linear keeps its outputs as rows": right.T,
            "side by side: concatenate along dim=0, the rows are outputs":
                torch.cat(q + k + v, dim=1),
            "stacked on new axes: concatenate, so that the shape is (3C, C)":
                torch.stack([torch.stack(q), torch.stack(k), torch.stack(v)]),
            "stacked on a new axis: torch.cat joins along an axis that is there, torch.stack adds one":
                torch.stack(q + k + v),
            "each matrix is transposed: a Linear keeps its outputs as rows, (hs, C)":
                torch.cat([w.T for w in q + k + v]),
            "head 0 is there three times: take each head once":
                torch.cat([q[0]] * 3 + [k[0]] * 3 + [v[0]] * 3),
            "the keys are there twice, where the values belong": torch.cat(q + k + k),
            "the queries are there twice, where the keys belong": torch.cat(q + q + v),
            "only queries and keys: the values go below them": torch.cat(q + k),
            "queries, keys and values stand side by side: concatenate them along dim=0 too":
                torch.cat([torch.cat(q), torch.cat(k), torch.cat(v)], dim=1),
            "each matrix is transposed before it is stacked: keep (hs, C), outputs as rows":
                torch.cat([w.T.reshape(4, 12) for w in q + k + v]),
        },
        "all heads' query matrices below each other, then all keys', then all values'",
    )
    return "the fused form computes what the list of heads does"


@exercise
def multi_query(answer):
    B, T, C, nh, hs = 2, 5, 7, 3, 4
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, T, C, generator=generator)
    w_query = torch.randn(C, nh * hs, generator=generator)
    w_key, w_value = torch.randn(2, C, hs, generator=generator)

    def attend(scale=hs**-0.5, mask="before", dim=-1, cut="right", merge="right", swap=False):
        q = x @ w_query
        q = {
            "right": q.view(B, T, nh, hs).transpose(1, 2),  # (B, nh, T, hs)
            "at once": q.reshape(B, nh, T, hs),
            "interleaved": q.view(B, T, hs, nh).permute(0, 3, 1, 2),
        }[cut]
        k, v = (x @ w_key)[:, None], (x @ w_value)[:, None]  # (B, 1, T, hs)
        k, v = (v, k) if swap else (k, v)
        scores = q @ k.transpose(-2, -1) * scale
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        if mask == "before":
            scores = scores.masked_fill(future, float("-inf"))
        if mask == "inverted":
            scores = scores.masked_fill(~future, float("-inf"))
        if mask == "itself":
            scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(), float("-inf"))
        weights = scores.softmax(dim=dim)
        out = (weights.tril() if mask == "after" else weights) @ v
        return {
            "right": out.transpose(1, 2).flatten(2),
            "none": out,
            "view": out.reshape(B, T, nh * hs),
            "below": out.flatten(1, 2),
            "interleaved": out.permute(0, 2, 3, 1).flatten(2),
            "sum": out.sum(dim=1),
        }[merge]

    one_axis = "k and v need an axis of size 1 for the heads: (x @ w_key)[:, None]; only the queries are split"
    got = call(
        answer, x, w_query, w_key, w_value, nh,
        explain={
            "size": one_axis,
            "shape": one_axis,
        },
    )
    compare(
        got,
        attend(),
        {
            "the mask is missing: every token sees the future": attend(mask=None),
            "True and False of the mask are exchanged: only the future is seen":
                attend(mask="inverted"),
            "the mask comes after softmax, so the future still counts in each row's sum":
                attend(mask="after"),
            "softmax over the queries and no mask: the row of a query sums to 1 over its keys, dim=-1":
                attend(mask=None, dim=-2),
            "softmax over the queries: the row of a query sums to 1 over its keys, dim=-1":
                attend(dim=-2),
            "a token may read itself: the mask begins one above the diagonal, triu(1)":
                attend(mask="itself"),
            "the scores are not scaled: multiply by head_size ** -0.5": attend(scale=1.0),
            "scaled by n_embd: the scores are sums over head_size entries": attend(scale=C**-0.5),
            "scaled by all heads' width: the scores are sums over head_size entries":
                attend(scale=(nh * hs) ** -0.5),
            "divided by head_size: by its square root": attend(scale=1 / hs),
            "multiplied by the root of head_size: divide": attend(scale=hs**0.5),
            "the queries were viewed as (B, nh, T, hs) at once: view (B, T, nh, hs), then transpose":
                attend(cut="at once"),
            "the heads were not transposed back before they were joined": attend(merge="view"),
            "neither split nor merge transposes: each head holds pieces of a few tokens":
                attend(cut="at once", merge="view"),
            "the heads' entries are interleaved: head 0's first, then head 1's":
                attend(merge="interleaved"),
            "the queries are cut as (hs, n_head): a head's entries lie together, so view (n_head, hs)":
                attend(cut="interleaved"),
            "the heads are below each other, (B, nh * T, hs): put them side by side, (B, T, nh * hs)":
                attend(merge="below"),
            "(B, nh, T, hs): put the heads side by side, (B, T, nh * hs)": attend(merge="none"),
            "the heads are added up: put them side by side": attend(merge="sum"),
            "keys and values are exchanged": attend(swap=True),
        },
        "softmax over the past of q k^T / sqrt(head_size), times v; give k and v an axis of size 1 for the heads",
    )
    with_large_scores(
        call(answer, 10 * x, w_query, w_key, w_value, nh), 10 * attend(scale=100 * hs**-0.5)
    )
    return "all heads read with one key and one value for each token"


@exercise
def multi_head_attention(answer):
    B, T, C, nh, hs = 2, 5, 12, 3, 4
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(3 * C, C, generator=generator) * 0.5  # attention far from an even mean
    proj = torch.randn(C, C, generator=generator)

    def made(n_head):
        config = GPTConfig(
            vocab_size=5, block_size=7, n_layer=1, n_head=n_head, n_embd=C, dropout=0.0
        )
        module = build(answer, config)
        buffers = getattr(module, "_buffers", {})  # a mask that is saved does no harm
        give_weights(module, {"qkv.weight": qkv, "proj.weight": proj} | buffers)
        return module

    x = torch.randn(B, T, C, generator=generator)

    def attend(x, scale=None, mask="before", dim=-1, cut="right", merge="right",
               order="qkv", project=True, interleaved=False, nh=nh):  # fmt: skip
        B, T, _ = x.shape
        hs = C // nh
        scale = hs**-0.5 if scale is None else scale
        parts = dict(zip("qkv", (x @ qkv.T).split(C, dim=-1)))
        if interleaved:  # cut head by head: q, k and v of head 0 first
            parts = (x @ qkv.T).view(B, T, nh, 3 * hs).split(hs, dim=-1)
            parts = dict(zip("qkv", (part.flatten(2) for part in parts)))
        q, k, v = (
            parts[letter].view(B, T, nh, hs).transpose(1, 2)
            if cut == "right"
            else parts[letter].reshape(B, nh, T, hs)
            for letter in order
        )
        scores = q @ k.transpose(-2, -1) * scale
        past = torch.ones(T, T, dtype=torch.bool).tril()
        if mask == "before":
            scores = scores.masked_fill(~past, float("-inf"))
        if mask == "inverted":
            scores = scores.masked_fill(past.tril(-1), float("-inf"))
        if mask == "zero":
            scores = scores * past
        weights = scores.softmax(dim=dim)
        if mask == "after":
            weights = weights * past
        out = weights @ v
        out = out.transpose(1, 2).flatten(2) if merge == "right" else out.reshape(B, T, C)
        return out @ proj.T if project else out

    got = call(
        made(nh),
        x,
        explain={
            "mat1 and mat2": "before self.proj the heads must be side by side again, (B, T, C)",
            "invalid for input of size": "cut with n_head and n_embd // n_head of this config, and T = x.size(1)",
            "must match the size": "T may be shorter than block_size: use mask[:T, :T]",
            "view size": "view needs the numbers in their order in memory: after a transpose use flatten or reshape",
        },
    )
    compare(
        got,
        attend(x),
        {
            "the mask is missing: every token sees the future": attend(x, mask=None),
            "the mask comes after softmax: fill the scores with -inf before it":
                attend(x, mask="after"),
            "hidden scores are 0, and exp(0) is 1: fill them with -inf": attend(x, mask="zero"),
            "this is one big head: cut q, k and v into n_head heads": attend(x, nh=1),
            "the mask hides the past instead of the future": attend(x, mask="inverted"),
            "softmax runs over the queries: dim=-1, over the keys": attend(x, dim=-2),
            "softmax runs over the queries, and the mask is missing": attend(x, dim=-2, mask=None),
            "the scores are not scaled: multiply by head_size ** -0.5": attend(x, scale=1.0),
            "scaled by n_embd: the scores are sums over head_size numbers":
                attend(x, scale=C**-0.5),
            "divided by head_size: divide by its square root": attend(x, scale=1 / hs),
            "multiplied by the root of head_size: divide": attend(x, scale=hs**0.5),
            "the projection is missing at the end: self.proj(...)": attend(x, project=False),
            "the parts were cut as (B, n_head, T, hs) at once: view (B, T, n_head, hs), then transpose":
                attend(x, cut="at once"),
            "the heads were not transposed back before they were joined":
                attend(x, merge="at once"),
            "neither the cut nor the way back transposes: each head holds pieces of a few tokens":
                attend(x, cut="at once", merge="at once"),
            "keys come first here: the order in qkv is queries, keys, values":
                attend(x, order="kqv"),
            "keys and values are exchanged: the order in qkv is queries, keys, values":
                attend(x, order="qvk"),
            "qkv is cut head by head: first all queries, then all keys, then all values":
                attend(x, interleaved=True),
        },
        "not what a list of heads computes: compare with LoopMultiHeadAttention, part by part",
        what="the output",
    )
    for length in (1, 7):  # 7: block_size
        z = torch.randn(B, length, C, generator=generator)
        compare(call(made(nh), z), attend(z), {}, f"right for T = {T}, but not for T = {length}")
    for n_head in (2, 6):
        hint = f"right for {nh} heads, but not for {n_head}: take n_head from config"
        explain = {"": hint}
        compare(call(made(n_head), x, explain=explain), attend(x, nh=n_head), {}, hint)
    return "it computes what a list of heads does, with two matrices"
