"""Wrong answers to notebook 08's exercises: (check, answer, words its hint must hold)."""

import torch
from torch.nn import functional as F


def tempered(
    form=lambda z, t: F.softmax(z / t, dim=-1),
    at_zero=lambda z: F.one_hot(z.argmax(-1), z.size(-1)).float(),
):
    return lambda logits, temperature: form(logits, temperature) if temperature else at_zero(logits)


def in_place_temperature(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.size(-1)).float()
    logits /= temperature
    return F.softmax(logits, dim=-1)


def softmax(logits, dim=-1):
    return F.softmax(logits, dim=dim)


def nucleus(
    drop=lambda sums, ordered, p: sums - ordered >= p,
    descending=True,
    scatter=True,
    dim=-1,
    fill=float("-inf"),
    probs=softmax,
    last=lambda logits, mask: logits,
):
    def keep_top_p(logits, p):
        ordered, order = probs(logits).sort(dim=dim, descending=descending)
        mask = drop(ordered.cumsum(dim=-1), ordered, p)
        mask = torch.zeros_like(mask).scatter(-1, order, mask) if scatter else mask
        return last(logits, mask).masked_fill(mask, fill)

    return keep_top_p


def by_threshold(logits, p):
    ordered = softmax(logits).sort(dim=-1, descending=True).values
    n_kept = (ordered.cumsum(dim=-1) - ordered < p).sum(dim=-1, keepdim=True)
    return logits.masked_fill(softmax(logits) < ordered.gather(-1, n_kept - 1), float("-inf"))


def whole_batch(logits, p):
    probs = softmax(logits).flatten() / len(logits)
    ordered, order = probs.sort(descending=True)
    drop = torch.zeros_like(order, dtype=torch.bool).scatter(
        0, order, ordered.cumsum(0) - ordered >= p
    )
    return logits.masked_fill(drop.view_as(logits), float("-inf"))


def gathered(logits, p):
    ordered, order = softmax(logits).sort(dim=-1, descending=True)
    return logits.masked_fill((ordered.cumsum(-1) - ordered >= p).gather(-1, order), float("-inf"))


def down_the_batch(logits, p):
    ordered, order = softmax(logits).sort(dim=-1, descending=True)
    drop = ordered.cumsum(0) - ordered >= p
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), float("-inf"))


def in_place_nucleus(logits, p):
    right = nucleus()(logits, p)
    return logits.masked_fill_(torch.isneginf(right), float("-inf"))


def step(
    seen=lambda length: slice(0, length + 1),
    write_k=True,
    write_v=True,
    first_read=False,
    scale=None,
    swap=False,
    causal=False,
    place=0,
    dim=-1,
    clean=False,
):
    def attend_one(q, k, v, keys, values, length):
        old_k, old_v = keys.clone(), values.clone()
        if write_k:
            keys[:, :, length + place : length + place + 1] = k
        if write_v:
            values[:, :, length + place : length + place + 1] = v
        to_k, to_v = (old_k, old_v) if first_read else (keys, values)
        to_k, to_v = to_k[:, :, seen(length)], to_v[:, :, seen(length)]
        if swap:
            to_k, to_v = to_v, to_k
        if clean:
            keys[:, :, length + 1 :] = 0
        if causal:
            return F.scaled_dot_product_attention(q, to_k, to_v, is_causal=True)
        weights = F.softmax(q @ to_k.transpose(-2, -1) * (scale or q.size(-1) ** -0.5), dim=dim)
        return weights @ to_v

    return attend_one


def masked_store(q, k, v, keys, values, length):
    keys[:, :, length : length + 1], values[:, :, length : length + 1] = k, v
    return F.scaled_dot_product_attention(
        q, keys, values, attn_mask=torch.arange(keys.size(2))[None] <= length
    )


def without_writing(q, k, v, keys, values, length):
    keys = torch.cat([keys[:, :, :length], k], dim=2)
    values = torch.cat([values[:, :, :length], v], dim=2)
    return F.scaled_dot_product_attention(q, keys, values)


def key_forgotten(q, k, v, keys, values, length):
    values[:, :, length : length + 1] = v
    return F.scaled_dot_product_attention(
        q, torch.cat([keys[:, :, :length], k], dim=2), values[:, :, : length + 1]
    )


def no_token_axis(q, k, v, keys, values, length):
    keys[:, :, length] = k
    values[:, :, length] = v
    return F.scaled_dot_product_attention(q, keys[:, :, : length + 1], values[:, :, : length + 1])


def size(
    factor=lambda c: 2,
    layers=True,
    batch=True,
    block=True,
    width=lambda c: c.n_embd,
    number=lambda b: b,
):
    def cache_bytes(config, batch_size, bytes_per_number):
        parts = (
            factor(config),
            config.n_layer if layers else 1,
            batch_size if batch else 1,
            config.block_size if block else 1,
            width(config),
            number(bytes_per_number),
        )
        product = 1
        for part in parts:
            product *= part
        return product

    return cache_bytes


def writer(
    empty=True,
    again=True,
    drop=lambda stride: stride,
    at=0,
    whole_text=True,
    slide=False,
    fresh=False,
):
    def write_past_limit(model, idx, n, stride):
        text = window = unread = idx
        cache = model.new_cache(len(idx))
        for _ in range(n):
            if fresh:
                unread = window
                for layer in cache:
                    layer.length = 0
            logits, _ = model(unread, cache=cache)
            next_id = logits[:, -1].argmax(dim=-1, keepdim=True)
            text, window, unread = (
                torch.cat([text, next_id], dim=1),
                torch.cat([window, next_id], dim=1),
                next_id,
            )
            if window.size(1) > model.config.block_size + at:
                window = window[:, drop(stride) :]
                unread = window if again else next_id
                for layer in cache:
                    if slide:
                        layer.k, layer.v = (
                            layer.k.roll(-stride, dims=2),
                            layer.v.roll(-stride, dims=2),
                        )
                        layer.length -= stride
                    elif empty:
                        layer.length = 0
        return text if whole_text else window

    return write_past_limit


def new_tokens(model, idx, n, stride):
    return writer()(model, idx, n, stride)[:, idx.size(1) :]


def ready_made(model, idx, n, stride):
    return model.generate(idx, n, temperature=0, stride=stride)


CASES = [
    ("with_temperature", tempered(lambda z, t: softmax(z * t)), "divide, so that"),
    ("with_temperature", tempered(lambda z, t: softmax(z) / t), "divide the logits, then softmax"),
    (
        "with_temperature",
        tempered(lambda z, t: softmax(z) / t / (softmax(z) / t).sum(-1, keepdim=True)),
        "changes nothing",
    ),
    ("with_temperature", tempered(lambda z, t: softmax(softmax(z) / t)), "softmax twice"),
    ("with_temperature", tempered(lambda z, t: softmax(z / t, dim=0)), "each row by itself"),
    ("with_temperature", tempered(lambda z, t: z / t), "logits still"),
    ("with_temperature", tempered(lambda z, t: softmax(z) ** (1 / t)), "row's sum"),
    ("with_temperature", lambda z, t: softmax(z / t), "divides by zero"),
    ("with_temperature", lambda z, t: softmax(z * (1 / t)), "a line of its own"),
    ("with_temperature", tempered(at_zero=lambda z: z.argmax(-1)), "these are the ids"),
    (
        "with_temperature",
        tempered(at_zero=lambda z: z.argmax(-1, keepdim=True)),
        "these are the ids",
    ),
    ("with_temperature", tempered(at_zero=softmax), "temperature 0 is not 1"),
    (
        "with_temperature",
        tempered(at_zero=lambda z: F.one_hot(z.argmax() % 4, 4).float().expand(3, 4)),
        "the likeliest of each row",
    ),
    (
        "with_temperature",
        tempered(at_zero=lambda z: F.one_hot(z.argmax(-1), z.size(-1))),
        "floating-point",
    ),
    ("with_temperature", lambda z, t: softmax(z / max(t, 1e-3)), "not a very small"),
    ("with_temperature", lambda z, t: softmax(z / (t + 1e-6)), "not a very small"),
    (
        "with_temperature",
        tempered(at_zero=lambda z: (z == z.amax(-1, keepdim=True)).float()),
        "must sum to 1",
    ),
    ("with_temperature", in_place_temperature, "themselves were changed"),
    ("keep_top_p", nucleus(lambda sums, ordered, p: sums > p), "reaches p was dropped"),
    (
        "keep_top_p",
        nucleus(lambda sums, ordered, p: F.pad(sums - ordered >= p, (1, 0))[:, :-1]),
        "one token too many",
    ),
    ("keep_top_p", nucleus(lambda sums, ordered, p: sums - ordered > p), ">= and not >"),
    ("keep_top_p", gathered, "not the inverse of sort"),
    ("keep_top_p", down_the_batch, "down the batch"),
    ("keep_top_p", nucleus(scatter=False), "sorted order"),
    ("keep_top_p", nucleus(descending=False), "least likely"),
    ("keep_top_p", nucleus(lambda sums, ordered, p: sums - ordered < p), "swapped"),
    (
        "keep_top_p",
        lambda z, p: z.masked_fill(softmax(z) < p, float("-inf")),
        "compared with p by itself",
    ),
    (
        "keep_top_p",
        lambda z, p: z.masked_fill(softmax(z) < 1 - p, float("-inf")),
        "1 - p by itself",
    ),
    ("keep_top_p", whole_batch, "whole batch"),
    ("keep_top_p", nucleus(probs=lambda z: z), "softmax first"),
    ("keep_top_p", nucleus(probs=lambda z: softmax(z, dim=0)), "each row by itself"),
    ("keep_top_p", nucleus(fill=0.0), "finite number"),
    ("keep_top_p", nucleus(fill=-10.0), "finite number"),
    ("keep_top_p", nucleus(last=lambda z, mask: softmax(z), fill=0.0), "these are probabilities"),
    ("keep_top_p", nucleus(last=lambda z, mask: softmax(z)), "what stays are probabilities"),
    ("keep_top_p", nucleus(last=lambda z, mask: 2 * z), "their own logits"),
    ("keep_top_p", lambda z, p: z, "nothing was dropped"),
    ("keep_top_p", lambda z, p: z[:, :3], "shape (3, 3)"),
    ("keep_top_p", lambda z, p: z.masked_fill(z < z.max(), float("-inf")), "should keep"),
    ("keep_top_p", in_place_nucleus, "themselves were changed"),
    ("keep_top_p", by_threshold, "a threshold cannot tell them apart"),
    ("attend_one", step(seen=lambda length: slice(None)), "rubbish"),
    ("attend_one", masked_store, "0 times nan is nan"),
    ("attend_one", step(seen=lambda length: slice(0, length)), "does not see itself"),
    ("attend_one", step(seen=lambda length: slice(0, length + 2)), "one place too many"),
    ("attend_one", step(causal=True), "no mask is needed"),
    ("attend_one", step(first_read=True), "at place `length`"),
    ("attend_one", step(write_k=False, write_v=False), "at place `length`"),
    ("attend_one", step(place=1), "at place `length`"),
    ("attend_one", step(write_k=False), "key was not written before"),
    ("attend_one", step(write_v=False), "value was not written before"),
    ("attend_one", step(scale=1.0), "not scaled"),
    ("attend_one", step(scale=7**-0.5), "scaled by block_size"),
    ("attend_one", step(swap=True), "swapped"),
    ("attend_one", step(dim=-2), "over the keys"),
    ("attend_one", step(clean=True), "elsewhere"),
    (
        "attend_one",
        lambda q, k, v, keys, values, length: F.scaled_dot_product_attention(q, k, v),
        "only looked at itself",
    ),
    ("attend_one", without_writing, "key was not written into the store"),
    ("attend_one", key_forgotten, "key was not written into the store"),
    ("attend_one", no_token_axis, "no axis for the token"),
    ("cache_bytes", size(factor=lambda c: 1), "holds both"),
    ("cache_bytes", size(factor=lambda c: 3), "queries"),
    ("cache_bytes", size(layers=False), "one layer"),
    ("cache_bytes", size(batch=False), "one text"),
    ("cache_bytes", size(number=lambda b: 1), "not bytes"),
    ("cache_bytes", size(number=lambda b: 8 * b), "bits"),
    ("cache_bytes", size(width=lambda c: c.head_size), "one head's share"),
    ("cache_bytes", size(width=lambda c: c.n_head * c.n_embd), "holds all heads"),
    ("cache_bytes", size(block=False), "one token"),
    ("cache_bytes", size(width=lambda c: c.block_size), "T × T"),
    ("cache_bytes", size(factor=lambda c: 2 * c.block_size), "block_size was counted twice"),
    ("cache_bytes", size(number=lambda b: 4), "whatever it is given"),
    ("cache_bytes", size(number=lambda b: b * b), "bytes_per_number was counted twice"),
    ("cache_bytes", size(width=lambda c: c.vocab_size), "vocab_size has no part"),
    ("cache_bytes", size(width=lambda c: c.n_embd + 1), "too many"),
    ("cache_bytes", lambda config, B, b: "4 MB", "a number is wanted"),
    ("write_past_limit", writer(slide=True, again=False), "a position its token no longer has"),
    ("write_past_limit", writer(empty=False), "filled again"),
    ("write_past_limit", writer(drop=lambda stride: 1), "+ 1 - stride must remain"),
    ("write_past_limit", writer(drop=lambda stride: -stride), "+ 1 - stride must remain"),
    ("write_past_limit", writer(drop=lambda stride: -8), "+ 1 - stride must remain"),
    ("write_past_limit", writer(again=False), "a position its token no longer has"),
    ("write_past_limit", writer(drop=lambda stride: 4), "block_size // 2"),
    (
        "write_past_limit",
        writer(drop=lambda stride: stride + 1),
        "the token just chosen counts too",
    ),
    ("write_past_limit", writer(at=-1), "before the window moves"),
    ("write_past_limit", writer(whole_text=False), "the text itself was cut"),
    ("write_past_limit", writer(fresh=True), "positions were computed"),
    ("write_past_limit", new_tokens, "only the new tokens"),
    ("write_past_limit", ready_made, "do without generate"),
    (
        "write_past_limit",
        lambda model, idx, n, stride: torch.cat([idx, idx[:, :1].expand(-1, n)], dim=1),
        "long before the window",
    ),
]
