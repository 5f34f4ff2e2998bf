"""Wrong answers to notebook 03's exercises: (check, answer, words its hint must hold)."""

import torch
from torch import nn


def head(
    x,
    w_query,
    w_key,
    w_value,
    past,
    factor=None,
    mask="before",
    dim=-1,
    roles="qk",
    crop=True,
    flip=False,
    read="v",
):
    T = x.size(1)
    q, k, v = x @ w_query, x @ w_key, x @ w_value
    q, k = {"qk": (q, k), "kq": (k, q), "qq": (q, q), "kk": (k, k)}[roles]
    look = past[:T, :T] if crop else past
    look = ~look if flip else look
    scores = q @ k.transpose(1, 2) * (q.size(-1) ** -0.5 if factor is None else factor)
    if mask == "before":
        scores = scores.masked_fill(~look, float("-inf"))
    if mask == "zero":
        scores = scores * look
    if mask == "small":
        scores = scores.masked_fill(~look, -20.0)
    weights = scores.softmax(dim)
    if mask in ("after", "late"):
        weights = weights * look
    if mask == "late":
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights if read is None else weights @ (v if read == "v" else x)


def wrong_head(**changes):
    return lambda *inputs: head(*inputs, **changes)


def mask(n, kind="tril"):
    ones = torch.ones(n, n, dtype=torch.bool)
    return {
        "tril": ones.tril(),
        "triu": ones.triu(),
        "future": ones.triu(1),
        "strict": ones.tril(-1),
        "all": ones,
    }[kind]


def buffer(kind="tril", dtype=torch.bool, persistent=False, name="past", leave=False):
    def answer(module, block_size):
        module.register_buffer(name, mask(block_size, kind).to(dtype), persistent=persistent)
        return None if leave else module

    return answer


def attribute(module, block_size):
    module.past = mask(block_size)
    return module


def parameter(module, block_size, dtype=torch.float):
    module.past = nn.Parameter(mask(block_size).to(dtype))
    return module


def places(rows):
    return lambda idx, tokens, positions: tokens[idx] + rows(idx, positions)


def greedy(
    see=lambda idx, n: idx[:, -n:],
    last=-1,
    stop=lambda idx, n: False,
    give=lambda out, T, n: out,
    forget=False,
):
    def answer(model, idx, max_new_tokens, block_size):
        T = idx.size(1)
        for _ in range(max_new_tokens):
            idx = idx[:, -block_size:] if forget else idx
            next_id = model(see(idx, block_size))[0][:, last].argmax(dim=-1, keepdim=True)
            idx = torch.cat([idx, next_id], dim=1)
            if stop(idx, block_size):
                break
        return give(idx, T, block_size)

    return answer


def drawn(model, idx, max_new_tokens, block_size):
    generator = torch.Generator().manual_seed(0)
    for _ in range(max_new_tokens):
        probs = model(idx[:, -block_size:])[0][:, -1].softmax(-1)
        idx = torch.cat([idx, torch.multinomial(probs, 1, generator=generator)], dim=1)
    return idx


def back(past):
    return torch.arange(len(past))[:, None] - torch.arange(len(past))


def in_place(past, d):
    past[back(past) == d] = False
    return past


def own_causal(x, w_query, w_key, w_value, past):
    return nn.functional.scaled_dot_product_attention(
        x @ w_query, x @ w_key, x @ w_value, is_causal=True
    )


def last_corner(x, w_query, w_key, w_value, past):
    return head(x, w_query, w_key, w_value, past[-x.size(1) :, -x.size(1) :])


def causal_too(x, w_query, w_key, w_value, past):
    return head(x, w_query, w_key, w_value, past.tril())


def mask_in_place(x, w_query, w_key, w_value, past):
    out = head(x, w_query, w_key, w_value, past)
    past.logical_not_()
    return out


def next_ids(choose, logits_of=lambda pair: pair[0]):
    def answer(model, idx, max_new_tokens, block_size):
        for _ in range(max_new_tokens):
            idx = torch.cat([idx, choose(logits_of(model(idx[:, -block_size:]))[:, -1])], dim=1)
        return idx

    return answer


def prompt_cropped(model, idx, max_new_tokens, block_size):
    return greedy()(model, idx[:, -block_size:], max_new_tokens, block_size)


def wrapping(past, d):
    past = past.clone()
    for i in range(len(past)):
        past[i, i - d] = False
    return past


CASES = [
    ("head_forward", wrong_head(factor=1.0), "not scaled"),
    ("head_forward", wrong_head(factor=12**-0.5), "n_embd"),
    ("head_forward", wrong_head(factor=1 / 3), "root"),
    ("head_forward", wrong_head(mask=None), "future"),
    ("head_forward", wrong_head(mask="after"), "no longer sum to 1"),
    ("head_forward", wrong_head(mask="zero"), "e^0"),
    ("head_forward", wrong_head(mask="small"), "with large ones"),
    ("head_forward", wrong_head(mask="late"), "large ones give nan"),
    ("head_forward", wrong_head(flip=True), "wrong way round"),
    ("head_forward", wrong_head(crop=False), "past[:T, :T]"),
    ("head_forward", wrong_head(dim=1), "dim=-1"),
    ("head_forward", wrong_head(dim=-2), "dim=-1"),
    ("head_forward", wrong_head(roles="kq"), "swapped"),
    ("head_forward", wrong_head(roles="qq"), "queries with queries"),
    ("head_forward", wrong_head(read=None), "multiply them by the values"),
    ("head_forward", wrong_head(read="x"), "values are missing"),
    (
        "head_forward",
        lambda x, w_query, w_key, w_value, past: (x @ w_query) @ (x @ w_key).permute(2, 1, 0),
        "last two axes",
    ),
    ("head_forward", lambda x, w_query, w_key, w_value, past: x @ w_query.T, "(C, hs)"),
    ("head_forward", wrong_head(dim=0), "over the batch"),
    (
        "head_forward",
        lambda x, w_query, w_key, w_value, past: head(x, w_query, w_key, w_value, past.T),
        "transposed",
    ),
    ("head_forward", own_causal, "past is not used"),
    ("head_forward", causal_too, "of your own"),
    ("head_forward", last_corner, "last corner"),
    ("head_forward", mask_in_place, "was changed"),
    ("register_mask", lambda module, n: buffer()(nn.Linear(1, 1), n), "another module"),
    ("register_mask", attribute, "stays behind"),
    ("register_mask", parameter, "parameter"),
    ("register_mask", lambda module, n: parameter(module, n, torch.bool), "cannot be boolean"),
    ("register_mask", buffer(persistent=True), "persistent=False"),
    ("register_mask", buffer(dtype=torch.float), "torch.bool"),
    ("register_mask", buffer("triu"), "upper"),
    ("register_mask", buffer("future"), "marks the future"),
    ("register_mask", buffer("strict"), "itself"),
    ("register_mask", buffer("all"), "hides nothing"),
    ("register_mask", buffer(name="mask"), "called past"),
    ("register_mask", buffer(leave=True), "return the module"),
    ("register_mask", lambda module, n: mask(n), "return the module"),
    ("embed_batch", lambda idx, tokens, positions: tokens[idx], "only the tokens"),
    ("embed_batch", lambda idx, tokens, positions: positions[: idx.size(1)], "places alone"),
    ("embed_batch", places(lambda idx, p: p), "first T"),
    ("embed_batch", places(lambda idx, p: p[idx]), "looked up by id"),
    ("embed_batch", places(lambda idx, p: p[: len(idx), None]), "one place for each text"),
    ("embed_batch", places(lambda idx, p: p[: len(idx)]), "first T"),
    ("embed_batch", places(lambda idx, p: p[-idx.size(1) :]), "last T rows"),
    ("embed_batch", places(lambda idx, p: p[1 : idx.size(1) + 1]), "first is place 0"),
    ("embed_batch", places(lambda idx, p: p[idx.size(1)]), "colon"),
    (
        "embed_batch",
        lambda idx, tokens, positions: torch.cat([tokens[idx], positions[:5].expand(3, 5, 4)], -1),
        "side by side",
    ),
    (
        "embed_batch",
        lambda idx, tokens, positions: tokens(idx) + positions(idx),
        "index them with []",
    ),
    ("generate_greedy", next_ids(lambda logits: logits.argmax(-1)), "keepdim=True"),
    (
        "generate_greedy",
        next_ids(lambda logits: logits.argmax().view(1, 1)),
        "one new token per row",
    ),
    (
        "generate_greedy",
        next_ids(lambda logits: logits.argmax().expand(len(logits), 1)),
        "whole batch",
    ),
    (
        "generate_greedy",
        next_ids(lambda logits: logits[0].argmax().expand(len(logits), 1)),
        "whole batch",
    ),
    ("generate_greedy", next_ids(None, logits_of=lambda pair: pair), "returns a pair"),
    ("generate_greedy", prompt_cropped, "cropped at the start"),
    ("generate_greedy", greedy(see=lambda idx, n: idx), "last block_size"),
    ("generate_greedy", greedy(see=lambda idx, n: idx[:, :n]), "must see the last"),
    ("generate_greedy", greedy(see=lambda idx, n: idx[-n:]), "last block_size"),
    ("generate_greedy", greedy(see=lambda idx, n: idx[:, -n + 1 :]), "one token too few"),
    ("generate_greedy", greedy(see=lambda idx, n: idx[:, -1:]), "only the last token"),
    ("generate_greedy", greedy(forget=True), "text itself was cropped"),
    ("generate_greedy", greedy(give=lambda out, T, n: out[:, T:]), "return the prompt"),
    ("generate_greedy", greedy(give=lambda out, T, n: out[:, -n:]), "return all of it"),
    ("generate_greedy", greedy(last=0), "first place"),
    ("generate_greedy", greedy(stop=lambda idx, n: True), "after the loop"),
    ("generate_greedy", greedy(stop=lambda idx, n: idx.size(1) >= n), "stopped at block_size"),
    ("generate_greedy", drawn, "argmax"),
    ("hide_one_place", lambda past, d: past, "nothing is hidden"),
    ("hide_one_place", lambda past, d: past & (back(past) < d), "d or more back"),
    ("hide_one_place", lambda past, d: past.triu(-d), "more than d back"),
    ("hide_one_place", lambda past, d: past & (back(past) == d), "only the one place is left"),
    ("hide_one_place", lambda past, d: past & (back(past) != -d), "nothing is hidden"),
    ("hide_one_place", lambda past, d: past & (back(past) != d - 1), "too near"),
    ("hide_one_place", lambda past, d: past & (back(past) != d + 1), "too far"),
    ("hide_one_place", lambda past, d: back(past) != d, "future"),
    ("hide_one_place", lambda past, d: past.float() * (back(past) != d), "boolean"),
    ("hide_one_place", in_place, "was changed"),
    ("hide_one_place", lambda past, d: (back(past) >= 0) & (back(past) != d), "past is not used"),
    ("hide_one_place", lambda past, d: past.tril() & (back(past) != d), "on top of past"),
    ("hide_one_place", lambda past, d: past ^ (back(past) == d), "become visible"),
    ("hide_one_place", wrapping, "below 0"),
    ("hide_one_place", lambda past, d: past & (torch.arange(len(past)) != d), "column d"),
]
