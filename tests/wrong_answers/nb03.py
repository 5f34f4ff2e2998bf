"""Wrong answers to notebook 03's exercises, each with words of its hint, and unusual right ones."""

import numpy as np
import torch
from torch import nn


class RightHead(nn.Module):
    """A right head that a wrong one changes in one point."""

    bias = False
    names = ("query", "key", "value")
    factor, dim, fill = None, -1, float("-inf")

    def __init__(self, config):
        super().__init__()
        C, hs = config.n_embd, config.head_size
        for name in self.names:
            setattr(self, name, nn.Linear(C, hs, bias=self.bias))
        self.add_mask(config.block_size)

    def add_mask(self, n):
        self.register_buffer("past", mask(n), persistent=False)

    def forward(self, x):
        T = x.size(1)
        q, k, v = self.query(x), self.key(x), self.value(x)
        return self.mix(self.scores(q, k), self.past[:T, :T], x, v)

    def scores(self, q, k):
        factor = q.size(-1) ** -0.5 if self.factor is None else self.factor
        return q @ k.transpose(-2, -1) * factor

    def mix(self, scores, look, x, v):
        return scores.masked_fill(~look, self.fill).softmax(self.dim) @ v


def head(**changes):
    """A class like RightHead, with these attributes and methods in place of its own."""
    return type("OwnHead", (RightHead,), {"forward": RightHead.forward} | changes)


def masked_with(kind):
    return lambda self, n: self.register_buffer("past", mask(n, kind), persistent=False)


def mask_as_attribute(self, n):
    self.past = mask(n)


def mask_as_parameter(self, n):
    self.past = nn.Parameter(mask(n), requires_grad=False)


def mask_too_small(self, n):
    self.register_buffer("past", mask(7), persistent=False)


def softmax_first(self, scores, look, x, v):
    return scores.softmax(-1) * look @ v


def softmax_first_divided(self, scores, look, x, v):
    weights = scores.softmax(-1) * look
    return weights / weights.sum(-1, keepdim=True) @ v


def whole_mask(self, x):
    q, k, v = self.query(x), self.key(x), self.value(x)
    return self.mix(self.scores(q, k), self.past, x, v)


def corner_of_the_batch(self, x):
    q, k, v = self.query(x), self.key(x), self.value(x)
    return self.mix(self.scores(q, k), self.past[: x.size(0), : x.size(0)], x, v)


def with_dropout(self, scores, look, x, v):
    return nn.functional.dropout(RightHead.mix(self, scores, look, x, v), 0.1)


def cut_off(self, x):
    q, k, v = x @ self.query.weight.data.T, self.key(x), self.value(x)
    return self.mix(self.scores(q, k), self.past[: x.size(1), : x.size(1)], x, v)


def no_gradient(self, x):
    with torch.no_grad():
        return RightHead.forward(self, x)


def by_pytorch(self, x):
    q, k, v = self.query(x), self.key(x), self.value(x)
    return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


class NoSuper(nn.Module):
    def __init__(self, config):
        self.query = nn.Linear(config.n_embd, config.head_size, bias=False)

    def forward(self, x):
        return x


class NoForward(nn.Module):
    def __init__(self, config):
        super().__init__()


class NoModule:
    def __init__(self, config):
        self.config = config

    def forward(self, x):
        return x


class NoConfig(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        return x


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


def attribute_and_buffer(module, block_size):
    module.past = mask(block_size)
    return buffer()(module, block_size)


def parameter(module, block_size, dtype=torch.float):
    module.past = nn.Parameter(mask(block_size).to(dtype))
    return module


def positions_by(rows):
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


def next_ids(choose, logits_of=lambda pair: pair[0]):
    def answer(model, idx, max_new_tokens, block_size):
        for _ in range(max_new_tokens):
            idx = torch.cat([idx, choose(logits_of(model(idx[:, -block_size:]))[:, -1])], dim=1)
        return idx

    return answer


def same_context(model, idx, max_new_tokens, block_size):
    context = idx[:, -block_size:]
    for _ in range(max_new_tokens):
        next_id = model(context)[0][:, -1].argmax(dim=-1, keepdim=True)
        idx = torch.cat([idx, next_id], dim=1)
    return idx


def prepended(model, idx, max_new_tokens, block_size):
    for _ in range(max_new_tokens):
        next_id = model(idx[:, -block_size:])[0][:, -1].argmax(dim=-1, keepdim=True)
        idx = torch.cat([next_id, idx], dim=1)
    return idx


def at_the_prompts_end(model, idx, max_new_tokens, block_size):
    T = idx.size(1)
    return greedy(last=T - 1)(model, idx, max_new_tokens, block_size)


def at_the_texts_end(model, idx, max_new_tokens, block_size):
    for _ in range(max_new_tokens):
        logits = model(idx[:, -block_size:])[0][:, idx.size(1) - 1]
        idx = torch.cat([idx, logits.argmax(dim=-1, keepdim=True)], dim=1)
    return idx


def prompt_cropped(model, idx, max_new_tokens, block_size):
    return greedy()(model, idx[:, -block_size:], max_new_tokens, block_size)


def diagonal_above(past, d):
    return past & ~torch.diag(torch.ones(len(past) - d, dtype=torch.bool), d)


def wrapping(past, d):
    past = past.clone()
    for i in range(len(past)):
        past[i, i - d] = False
    return past


CASES = [
    ("register_mask", lambda module, n: buffer()(nn.Linear(1, 1), n), "another module"),
    ("register_mask", attribute, "left behind"),
    ("register_mask", attribute_and_buffer, "by its name only"),
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
    ("embed_batch", lambda idx, tokens, positions: positions[: idx.size(1)], "positions alone"),
    ("embed_batch", positions_by(lambda idx, p: p), "first T"),
    ("embed_batch", positions_by(lambda idx, p: p[idx]), "looked up by id"),
    ("embed_batch", positions_by(lambda idx, p: p[: len(idx), None]), "one position for each text"),
    ("embed_batch", positions_by(lambda idx, p: p[: len(idx)]), "idx.size(1)"),
    (
        "embed_batch",
        lambda idx, tokens, positions: torch.cat([tokens[idx], positions[:5]], -1),
        "do not join",
    ),
    (
        "embed_batch",
        lambda idx, tokens, positions: nn.functional.embedding(tokens, idx) + positions[:5],
        "ids first",
    ),
    ("embed_batch", lambda idx, tokens, positions: (tokens + positions)[idx], "not tables"),
    ("embed_batch", positions_by(lambda idx, p: p[-idx.size(1) :]), "last T rows"),
    ("embed_batch", positions_by(lambda idx, p: p[1 : idx.size(1) + 1]), "first is position 0"),
    ("embed_batch", positions_by(lambda idx, p: p[idx.size(1)]), "colon"),
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
    ("generate_greedy", lambda model, idx, *rest: model(idx[:, :5]).argmax(-1), "returns a pair"),
    ("generate_greedy", prompt_cropped, "cropped at the start"),
    ("generate_greedy", greedy(see=lambda idx, n: idx), "last block_size"),
    ("generate_greedy", greedy(see=lambda idx, n: idx[:, :n]), "must see the last"),
    ("generate_greedy", greedy(see=lambda idx, n: idx[-n:]), "last block_size"),
    ("generate_greedy", greedy(see=lambda idx, n: idx[:, -n + 1 :]), "one token too few"),
    ("generate_greedy", greedy(see=lambda idx, n: idx[:, -1:]), "only the last token"),
    ("generate_greedy", greedy(forget=True), "text itself was cropped"),
    ("generate_greedy", greedy(give=lambda out, T, n: out[:, T:]), "return the prompt"),
    ("generate_greedy", greedy(give=lambda out, T, n: out[:, -n:]), "return all of it"),
    ("generate_greedy", greedy(last=0), "first position"),
    ("generate_greedy", greedy(stop=lambda idx, n: True), "after the loop"),
    ("generate_greedy", greedy(stop=lambda idx, n: idx.size(1) >= n), "stopped at block_size"),
    ("generate_greedy", drawn, "likeliest token"),
    (
        "generate_greedy",
        next_ids(lambda logits: torch.multinomial(logits.softmax(-1), 1)),
        "without sampling",
    ),
    ("generate_greedy", next_ids(lambda logits: logits.amax(-1, keepdim=True)), "argmax"),
    ("generate_greedy", lambda model, idx, new, n: idx, "nothing was added"),
    ("generate_greedy", prepended, "to the end"),
    ("generate_greedy", at_the_prompts_end, "take -1, not T - 1"),
    ("generate_greedy", at_the_texts_end, "[:, -1]"),
    ("generate_greedy", lambda model, *rest: model.eval(), "only model(context)"),
    (
        "generate_greedy",
        lambda model, idx, *rest: model(idx[:, -model.config.block_size :]),
        "is an argument",
    ),
    ("generate_greedy", same_context, "saw the prompt alone"),
    (
        "generate_greedy",
        lambda model, idx, new, n: [
            idx := torch.cat([idx, model(idx[:, -n:])[0].argmax(-1)], dim=1) for _ in range(new)
        ][-1],
        "each position added a token",
    ),
    ("hide_one_position", lambda past, d: past, "nothing is hidden"),
    ("hide_one_position", lambda past, d: past & (back(past) < d), "d or more back"),
    ("hide_one_position", lambda past, d: past.triu(-d), "more than d back"),
    (
        "hide_one_position",
        lambda past, d: past & (back(past) == d),
        "only the one position is left",
    ),
    ("hide_one_position", lambda past, d: past & (back(past) != -d), "column i + d is hidden"),
    ("hide_one_position", lambda past, d: past & (back(past).abs() != d), "both sides"),
    ("hide_one_position", lambda past, d: past and back(past) != d, "for masks write &"),
    ("hide_one_position", diagonal_above, "column i + d is hidden"),
    ("hide_one_position", lambda past, d: past & (back(past) != d - 1), "too near"),
    ("hide_one_position", lambda past, d: past & (back(past) != d + 1), "too far"),
    ("hide_one_position", lambda past, d: back(past) != d, "future"),
    ("hide_one_position", lambda past, d: past.float() * (back(past) != d), "boolean"),
    ("hide_one_position", in_place, "was changed"),
    (
        "hide_one_position",
        lambda past, d: (back(past) >= 0) & (back(past) != d),
        "past is not used",
    ),
    ("hide_one_position", lambda past, d: past.tril() & (back(past) != d), "on top of past"),
    ("hide_one_position", lambda past, d: past ^ (back(past) == d), "is visible"),
    ("hide_one_position", wrapping, "below 0"),
    ("hide_one_position", lambda past, d: past & (torch.arange(len(past)) != d), "column d"),
    (
        "hide_one_position",
        lambda past, d: past - torch.diag(torch.ones(len(past) - d, dtype=torch.bool), -d),
        "join masks with &",
    ),
    ("head", head(bias=True), "bias=False"),
    ("head", head(names=("query", "key")), "value is nothing"),
    ("head", head(factor=1.0), "not scaled"),
    ("head", head(factor=24**-0.5), "n_embd"),
    ("head", head(factor=11**-0.5), "block_size"),
    ("head", head(factor=1 / 8), "divide by its root"),
    ("head", head(factor=8**0.5), "divide by it"),
    ("head", head(dim=1), "over the queries"),
    ("head", head(dim=0), "over the batch"),
    ("head", head(fill=0.0), "e^0"),
    ("head", head(fill=-20.0), "with large ones"),
    ("head", head(mix=softmax_first), "no longer sum to 1"),
    ("head", head(mix=softmax_first_divided), "large ones give nan"),
    ("head", head(mix=lambda self, scores, look, x, v: scores.softmax(-1) @ v), "the future"),
    ("head", head(mix=with_dropout), "no dropout"),
    (
        "head",
        head(mix=lambda self, s, look, x, v: s.masked_fill(look, self.fill).softmax(-1) @ v),
        "wrong way round",
    ),
    (
        "head",
        head(mix=lambda self, s, look, x, v: s.masked_fill(~look, self.fill).softmax(-1)),
        "multiply them by the values",
    ),
    (
        "head",
        head(mix=lambda self, s, look, x, v: s.masked_fill(~look, self.fill).softmax(-1) @ x),
        "values are missing",
    ),
    ("head", head(scores=lambda self, q, k: RightHead.scores(self, k, q)), "swapped"),
    ("head", head(scores=lambda self, q, k: RightHead.scores(self, q, q)), "queries with queries"),
    (
        "head",
        head(scores=lambda self, q, k: q @ k.reshape(len(k), 8, -1) * 8**-0.5),
        "not transposed",
    ),
    ("head", head(scores=lambda self, q, k: q @ k.T * 8**-0.5), "only the last two axes"),
    ("head", head(factor=8**-1 / 2), "write 0.5"),
    ("head", head(scores=lambda self, q, k: q @ k.mT / 8**1 / 2), "write 0.5"),
    ("head", head(forward=corner_of_the_batch), "T is x.size(1)"),
    ("head", NoModule, "class OwnHead(nn.Module)"),
    ("head", head(add_mask=masked_with("strict")), "diagonal is hidden"),
    ("head", head(add_mask=masked_with("triu")), "transposed"),
    ("head", head(add_mask=mask_as_attribute), "left behind"),
    ("head", head(add_mask=mask_as_parameter), "is a parameter too"),
    ("head", head(add_mask=mask_too_small), "longest context"),
    (
        "head",
        head(add_mask=lambda self, n: self.register_buffer("past", mask(n))),
        "persistent=False",
    ),
    ("head", head(add_mask=lambda self, n: None, forward=by_pytorch), "no buffer"),
    ("head", head(forward=by_pytorch), "switched off"),
    ("head", head(forward=whole_mask), "corner"),
    ("head", head(forward=lambda self, x: None), "`return` missing"),
    ("head", head(forward=cut_off), "cannot learn"),
    ("head", head(forward=no_gradient), "cannot learn"),
    ("head", NoSuper, "super().__init__()"),
    ("head", NoForward, "no method forward"),
    ("head", NoConfig, "to __init__, after self"),
    ("head", nn.Identity(), "the class itself"),
]


class ByEinsum(RightHead):
    def forward(self, x):
        q, k, v = self.query(x), self.key(x), self.value(x)
        scores = torch.einsum("btc,bsc->bts", q, k) / q.shape[-1] ** 0.5
        scores = scores.masked_fill(~self.past[: len(x[0]), : len(x[0])], -torch.inf)
        return torch.einsum("bts,bsc->btc", nn.functional.softmax(scores, dim=2), v)


class AddedMask(RightHead):
    """The mask as numbers to add: 0 for the past, -inf for the future."""

    def add_mask(self, n):
        future = torch.full((n, n), float("-inf")).triu(1)
        self.register_buffer("bias_of_the_future", future[None], persistent=False)

    def forward(self, x):
        T = x.size(1)
        scores = self.query(x).matmul(self.key(x).mT) / self.key.out_features**0.5
        return torch.softmax(scores + self.bias_of_the_future[:, :T, :T], -1) @ self.value(x)


class ByLoop(RightHead):
    def forward(self, x):
        q, k, v = self.query(x) * self.query.out_features**-0.5, self.key(x), self.value(x)
        rows = []
        for t in range(x.size(1)):
            scores = (q[:, t, None] * k[:, : t + 1]).sum(-1)  # (B, t+1)
            rows.append((scores.softmax(-1)[..., None] * v[:, : t + 1]).sum(1))
        return torch.stack(rows, dim=1)


class ByExp(RightHead):
    """Softmax written out; the largest score of each row is taken away first."""

    def forward(self, x):
        T = x.size(1)
        scores = self.query(x) @ self.key(x).transpose(1, 2) / self.query.weight.size(0) ** 0.5
        scores = torch.where(self.past[:T, :T], scores, -torch.inf)
        powers = (scores - scores.amax(-1, keepdim=True)).exp()
        return powers @ self.value(x) / powers.sum(-1, keepdim=True)


def nested_mask(module, block_size):
    rows = [[j <= i for j in range(block_size)] for i in range(block_size)]
    module.register_buffer("past", torch.tensor(rows), False)
    return module


def not_future(module, block_size):
    future = torch.triu(torch.ones(block_size, block_size), diagonal=1).bool()
    module.past = nn.Buffer(~future, persistent=False)
    return module


def compared_mask(module, block_size):
    t = torch.arange(block_size)
    module.register_buffer(name="past", tensor=t[:, None] >= t, persistent=False)
    return module


def numpy_mask(module, block_size):
    past = torch.from_numpy(np.tri(block_size, dtype=bool))
    module.register_buffer("past", past, persistent=False)
    return module


def embedded_by_loop(idx, token_table, position_table):
    rows = [[token_table[i] + position_table[t] for t, i in enumerate(row)] for row in idx]
    return torch.stack([torch.stack(row) for row in rows])


def embedded_one_hot(idx, token_table, position_table):
    what = nn.functional.one_hot(idx, len(token_table)).float() @ token_table
    where = torch.eye(len(position_table))[: idx.shape[1]] @ position_table
    return what + where[None]


def greedy_rows(model, idx, max_new_tokens, block_size):
    """Each row alone, as a list of Python's numbers."""
    texts = idx.tolist()
    for row in texts:
        for _ in range(max_new_tokens):
            logits = model(torch.tensor([row[-block_size:]]))[0][0, -1].tolist()
            row.append(logits.index(max(logits)))
    return texts


def greedy_in_place(model, idx, max_new_tokens, block_size):
    T = idx.size(1)
    whole = torch.cat([idx, torch.zeros(len(idx), max_new_tokens, dtype=torch.long)], dim=1)
    for t in range(T, T + max_new_tokens):
        whole[:, t] = model(whole[:, max(0, t - block_size) : t])[0][:, -1].topk(1).indices[:, 0]
    return whole


def greedy_recursive(model, idx, max_new_tokens, block_size):
    if max_new_tokens == 0:
        return idx
    next_id = model(idx[:, -block_size:])[0].max(dim=-1).indices[:, -1:]
    longer = torch.hstack([idx, next_id])
    return greedy_recursive(model, longer, max_new_tokens - 1, block_size)


def hidden_by_loop(past, d):
    past = past.clone()
    for i in range(d, len(past)):
        past[i, i - d] = False
    return past


def hidden_by_diagonal(past, d):
    past = past.clone()
    past.diagonal(-d).fill_(False)
    return past


def hidden_by_numpy(past, d):
    return past.numpy() & ~np.eye(len(past), k=-d, dtype=bool)


RIGHT = [
    ("register_mask", nested_mask),
    ("register_mask", not_future),
    ("register_mask", compared_mask),
    ("register_mask", numpy_mask),
    ("embed_batch", embedded_by_loop),
    ("embed_batch", embedded_one_hot),
    (
        "embed_batch",
        lambda idx, tokens, positions: (
            nn.functional.embedding(idx, tokens)
            + positions.index_select(0, torch.arange(idx.shape[-1]))
        ),
    ),
    (
        "embed_batch",
        lambda idx, tokens, positions: (
            tokens.numpy()[idx.numpy()] + positions.numpy()[None, : idx.shape[1]]
        ),
    ),
    ("generate_greedy", greedy_rows),
    ("generate_greedy", greedy_in_place),
    ("generate_greedy", greedy_recursive),
    ("generate_greedy", lambda model, idx, new, n: greedy()(model, idx, new, n).numpy()),
    ("head", RightHead),
    ("head", ByEinsum),
    ("head", AddedMask),
    ("head", ByLoop),
    ("head", ByExp),
    ("hide_one_position", hidden_by_loop),
    ("hide_one_position", hidden_by_diagonal),
    ("hide_one_position", hidden_by_numpy),
    ("hide_one_position", lambda past, d: past.logical_and(back(past).sub(d).bool())),
]
