"""Answers to notebook 02's exercises: wrong ones with words of their hint, and unusual right ones."""

import numpy as np
import torch
from torch.nn import functional as F


def band(T, n):
    ones = torch.ones(T, T)
    return ones.tril() - ones.tril(-n)


def mean(table, dim=1):
    return table / table.sum(dim=dim, keepdim=True)


def hide(scores, hidden):
    return scores.masked_fill(hidden[: scores.size(-1), : scores.size(-1)], float("-inf"))


def attend(x, w_q, w_k, w_v, power=-0.5, width=None, look=None, dim=-1):
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    scores = q @ k.transpose(-2, -1) * (width or w_q.size(1)) ** power
    past = torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril()
    return hide(scores, ~past if look is None else ~look(past)).softmax(dim) @ v


def late(scores, look):
    weights = scores.softmax(-1) * look[:5, :5]
    return weights / weights.sum(-1, keepdim=True)


def in_place(scores, look):
    return scores.masked_fill_(~look[:5, :5], float("-inf")).softmax(-1)


def sliced(T, n):
    rows = torch.zeros(T, T)
    for i in range(T):
        rows[i, i - n + 1 : i + 1] = 1
    return mean(rows)


def finds(f, x, changes, before=lambda t: slice(None, t), entries=slice(None), tolerance=1e-6):
    """A test that changes the tokens `changes` in turn, and compares the outputs `before` them."""
    out = f(x)
    for t in changes:
        changed = x.clone()
        changed[:, t, entries] += 1.0
        compared = f(changed)[:, before(t)], out[:, before(t)]
        if not torch.allclose(*compared, atol=tolerance):
            return False
    return True


def piles_up(f, x, copies):
    """Changes one token more each time; False for all that looks at its past."""
    out, changed = f(x).clone(), x.clone() if copies else x
    for t in range(1, x.size(1)):
        changed[:, t] += torch.randn_like(x[:, t])
        if not torch.allclose(f(changed)[:, :t], out[:, :t], atol=1e-6):
            return False
    return True


def nudges(f, x, tries, size):
    """The right test, with `tries` random changes of a size."""
    out = f(x)
    for t in list(range(1, x.size(1))) * tries:
        changed = x.clone()
        changed[:, t] += size * torch.randn_like(x[:, t])
        if not torch.allclose(f(changed)[:, :t], out[:, :t], rtol=0, atol=1e-5):
            return False
    return True


def by_jacobian(f, x):
    slopes = torch.autograd.functional.jacobian(f, x)  # (B, T, any, B, T, C)
    return not slopes.abs().sum(dim=(0, 2, 3, 5)).triu(1).any()


def aliased(f, x):
    changed = x  # not a copy
    changed[:, -1] += 1.0
    return torch.allclose(f(x)[:, :-1], f(changed)[:, :-1])


def places(T, size, shift):
    k = size * torch.eye(T)
    return k.roll(shift, dims=0), k


def by_index(T, n):
    rows = torch.zeros(T, T)
    for i in range(T):
        for j in range(i - n + 1, i + 1):
            if j >= -T:
                rows[i, j] = 1  # a negative j counts from the end
    return mean(rows)


def own_softmax(scores, look):
    """Powers of its own, with the hidden ones left out afterwards."""
    powers = scores.exp() * look[:5, :5]
    return powers / powers.sum(-1, keepdim=True)


def own_softmax_shifted(scores, look):
    shown = hide(scores, ~look)
    powers = (scores - shown.amax(-1, keepdim=True)).exp() * look[:5, :5]
    return powers / powers.sum(-1, keepdim=True)


def difference(f, x, reduce, entries=slice(None), tries=20, first=1):
    """The right changes, with another way to compare."""
    out = f(x)
    for t in list(range(first, x.size(1))) * tries:
        changed = x.clone()
        changed[:, t] += 3 * torch.randn_like(x[:, t])
        if reduce(f(changed)[:, :t] - out[:, :t]) > 1e-5:
            return False
    return True


def scores_of(x, w_q, w_k):
    return x @ w_q @ (x @ w_k).mT * w_q.size(1) ** -0.5


def filled(scores, fill):
    """The future of scores (..., T, T) filled with a number."""
    return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), fill)


def renormalised(scores):
    weights = scores.softmax(-1).tril()
    return weights / weights.sum(-1, keepdim=True)


# what earlier cells of the notebook leave behind
head_size, T = 4, 4
future = torch.ones(4, 4, dtype=torch.bool).triu(1)
sdpa = F.scaled_dot_product_attention


def attention(q, k, v, causal=True):
    return filled(q @ k.mT * q.size(-1) ** -0.5, -torch.inf).softmax(-1) @ v


def scaled_by_leftover(x, w_q, w_k, w_v):
    return filled(x @ w_q @ (x @ w_k).mT * head_size**-0.5, -torch.inf).softmax(-1) @ (x @ w_v)


def masked_by_leftover(x, w_q, w_k, w_v):
    return scores_of(x, w_q, w_k).masked_fill(future, -torch.inf).softmax(-1) @ (x @ w_v)


def entry_by_entry(x, w_q, w_k, w_v):
    hidden = torch.ones(x.size(1), x.size(1)).triu(1) > 0
    return ((x @ w_q) * (x @ w_k)).masked_fill(hidden, -torch.inf).softmax(-1) @ (x @ w_v)


def returns_early(f, x):
    out = f(x)
    for t in range(1, x.size(1)):
        changed = x.clone()
        changed[:, t] += 3 * torch.randn_like(x[:, t])
        if (f(changed)[:, :t] - out[:, :t]).abs().max() > 1e-5:
            return False
        return True


def adds_positive(f, x):
    out = f(x)
    for t in list(range(1, x.size(1))) * 20:
        changed = x.clone()
        changed[:, t] += torch.rand_like(x[:, t])
        if (f(changed)[:, :t] - out[:, :t]).abs().max() > 1e-5:
            return False
    return True


def lenient(f, x):
    return difference(f, x, lambda gap: 1e-3 * gap.abs().max())


def early_slice(T, n):
    rows = torch.zeros(T, T)
    for i in range(T):
        rows[i, i - n : i + 1] = 1
    return mean(rows)


def reshaped(x, w_q, w_k, w_v):
    k = (x @ w_k).reshape(x.size(0), w_k.size(1), x.size(1))
    scores = x @ w_q @ k * w_q.size(1) ** -0.5
    return filled(scores, -torch.inf).softmax(-1) @ x @ w_v


def by_cutting(f, x):
    """Compares with what comes out for the same text, cut off."""
    out = f(x)
    return all(torch.allclose(f(x[:, :t]), out[:, :t], atol=1e-5) for t in range(1, x.size(1)))


CASES = [
    ("is_causal", by_cutting, "cutting the text off"),
    ("window_weights", lambda T, n: band(T, n), "sums"),
    ("window_weights", lambda T, n: band(T, n) / n, "not by n"),
    ("window_weights", lambda T, n: mean(torch.ones(T, T).tril()), "whole past"),
    ("window_weights", lambda T, n: mean(band(T, n + 1)), "too long"),
    ("window_weights", lambda T, n: mean(band(T, n - 1)), "too short"),
    ("window_weights", lambda T, n: mean(band(T, n).T), "future"),
    ("window_weights", lambda T, n: mean(band(T, n), dim=0), "columns"),
    ("window_weights", lambda T, n: band(T, n) / band(T, n).sum(dim=1), "keepdim"),
    ("window_weights", lambda T, n: mean(band(T, n))[None], "shape"),
    ("window_weights", sliced, "negative"),
    ("window_weights", lambda T, n: sliced(T, n).nan_to_num(), "negative"),
    ("causal_weights", lambda s, m: s.softmax(-1) * m[:5, :5], "before the mask"),
    ("causal_weights", lambda s, m: hide(s, m).softmax(-1), "wrong way round"),
    ("causal_weights", lambda s, m: hide(s, ~m).softmax(-2), "queries"),
    ("causal_weights", lambda s, m: hide(s, ~m).softmax(0), "batch"),
    ("causal_weights", lambda s, m: (s * m[:5, :5]).softmax(-1), "e^0"),
    ("causal_weights", lambda s, m: s.softmax(-1), "no mask"),
    ("causal_weights", lambda s, m: hide(s, ~m), "softmax is missing"),
    ("causal_weights", lambda s, m: s.masked_fill(~m, float("-inf")).softmax(-1), "first T rows"),
    ("causal_weights", lambda s, m: hide(s, ~m.tril(-1)).softmax(-1), "itself"),
    ("causal_weights", lambda s, m: s.masked_fill(~m[:5, :5], -30).softmax(-1), "finite fill"),
    ("causal_weights", lambda s, m: s.masked_fill(~m[:5, :5], -100).softmax(-1), "finite fill"),
    ("causal_weights", lambda s, m: s.masked_fill(~m[:5, :5], -130).softmax(-1), "finite fill"),
    ("causal_weights", late, "0 / 0"),
    ("causal_weights", lambda s, m: (s + ~m[:5, :5] * float("-inf")).softmax(-1), "0 * inf"),
    (
        "causal_weights",
        lambda s, m: hide(s, ~torch.ones(5, 5, dtype=torch.bool).tril()).softmax(-1),
        "may_look is not used",
    ),
    ("causal_weights", lambda s, m: hide(s, ~m[-5:, -5:]).softmax(-1), "last T rows"),
    ("causal_weights", in_place, "caller's own"),
    ("causal_attention", lambda *given: attend(*given, power=0), "not scaled"),
    ("causal_attention", lambda *given: attend(*given, width=12), "n_embd"),
    ("causal_attention", lambda *given: attend(*given, width=11), "scaled by T"),
    ("causal_attention", lambda *given: attend(*given, width=3), "scaled by B"),
    ("causal_attention", lambda *given: attend(*given, power=-1), "by its root"),
    ("causal_attention", lambda *given: attend(*given, power=0.5), "divide by it"),
    ("causal_attention", lambda x, w_q, w_k, w_v: attend(x, w_k, w_q, w_v), "swapped"),
    ("causal_attention", lambda x, w_q, w_k, w_v: attend(x, w_q, w_q, w_v), "queries with queries"),
    ("causal_attention", lambda *given: attend(*given, look=torch.ones_like), "no mask"),
    ("causal_attention", lambda *given: attend(*given, look=lambda past: ~past), "wrong way round"),
    ("causal_attention", lambda *given: attend(*given, look=lambda past: past.T), "hides the past"),
    (
        "causal_attention",
        lambda *given: attend(*given, look=lambda past: past.tril(-1)),
        "see itself",
    ),
    ("causal_attention", lambda *given: attend(*given, dim=-2), "over the queries"),
    ("causal_attention", lambda *given: attend(*given, dim=0), "over the texts"),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: attend(x, w_q, w_k, torch.eye(12)),
        "tokens themselves",
    ),
    ("causal_attention", lambda x, w_q, w_k, w_v: attend(x, w_q, w_k, w_k), "keys are mixed"),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: (x @ w_q) @ (x @ w_k).permute(2, 1, 0) @ (x @ w_v),
        "last two axes",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: (x @ w_q) @ (x @ w_k) @ (x @ w_v),
        "last two axes",
    ),
    ("causal_attention", lambda x, w_q, w_k, w_v: x @ w_q.T, "no transpose"),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: renormalised(scores_of(x, w_q, w_k)) @ (x @ w_v),
        "large ones give nan",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: filled(scores_of(x, w_q, w_k), -50.0).softmax(-1) @ (x @ w_v),
        "with large ones",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: filled(scores_of(x, w_q, w_k), -1e4).softmax(-1) @ (x @ w_v),
        "with large ones",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: scores_of(x, w_q, w_k).softmax(-1).tril() @ x @ w_v,
        "before the mask",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: filled(scores_of(x, w_q, w_k), -torch.inf).softmax(-1),
        "these are the weights",
    ),
    ("is_causal", lambda f, x: True, "never finds"),
    ("is_causal", aliased, "clone"),
    ("is_causal", lambda f, x: False, "own output"),
    (
        "is_causal",
        lambda f, x: finds(f, x, range(6), before=lambda t: slice(None, t + 1)),
        "own output",
    ),
    (
        "is_causal",
        lambda f, x: finds(f, x, range(5), before=lambda t: slice(t + 1, None)),
        "only those before",
    ),
    ("is_causal", lambda f, x: finds(f, x, [5]), "every token"),
    ("is_causal", lambda f, x: finds(f, x, [3]), "every token"),
    ("is_causal", lambda f, x: finds(f, x, range(1, 5)), "every token"),
    (
        "is_causal",
        lambda f, x: finds(f, x, range(1, 6), before=lambda t: slice(0, 1)),
        "all outputs before",
    ),
    ("is_causal", lambda f, x: finds(f, x, range(6), entries=0), "all its entries"),
    ("is_causal", lambda f, x: finds(f, x, range(6), tolerance=0.01), "one in a thousand"),
    ("is_causal", lambda f, x: "yes", "True or False"),
    ("is_causal", lambda f, x: piles_up(f, x, copies=False), "piled up"),
    ("is_causal", lambda f, x: piles_up(f, x, copies=True), "piled up"),
    ("is_causal", lambda f, x: nudges(f, x, 1, 1.0), "some twenty"),
    ("is_causal", lambda f, x: nudges(f, x, 1, 3.0), "some twenty"),
    ("is_causal", by_jacobian, "derivative sees no step"),
    ("is_causal", returns_early, "inside the loop"),
    ("is_causal", adds_positive, "both signs"),
    ("is_causal", lenient, "1e-5"),
    ("is_causal", lambda f, x: finds(f, x, range(6)), "move alike"),
    ("is_causal", lambda f, x: nudges(lambda y: f(y)[:1], x, 40, 5.0), "second text alone"),
    ("look_one_back", lambda T: places(T, 10, 0), "itself"),
    ("look_one_back", lambda T: places(T, 10, -1), "wrong way"),
    ("look_one_back", lambda T: places(T, 10, 2), "two back"),
    ("look_one_back", lambda T: places(T, 1, 1), "larger"),
    ("look_one_back", lambda T: places(T, 3, 1), "larger"),
    ("look_one_back", lambda T: places(T, 5, 1), "T = 256"),
    ("look_one_back", lambda T: places(9, 10, 1), "T = 5"),
    ("look_one_back", lambda T: places(T, 10, 1)[0], "two tensors"),
    ("look_one_back", lambda T: (torch.zeros(T, 4), torch.zeros(T, 4)), "equal"),
    ("look_one_back", lambda T: (torch.zeros(T, 0), torch.zeros(T, 0)), "(T, hs)"),
    ("look_one_back", lambda T: places(T, float("inf"), 1), "finite"),
    ("window_weights", by_index, "begin at max(0"),
    ("window_weights", lambda T, n: mean(band(T, n) - torch.eye(T)), "left out"),
    ("window_weights", lambda T, n: mean(band(T, n) - torch.eye(T)).nan_to_num(), "left out"),
    ("window_weights", lambda T, n: band(T, n).softmax(-1), "e^0 is 1"),
    ("window_weights", lambda T, n: torch.ones(T, T).tril() / n, "whole triangle"),
    ("causal_weights", own_softmax, "exp overflows"),
    ("causal_weights", own_softmax_shifted, "inf · 0"),
    ("causal_weights", lambda s, m: s.masked_fill(~m[:5, :5], float("inf")).softmax(-1), "+inf"),
    ("causal_weights", lambda s, m: s.masked_fill(m[:5, :5].byte(), -1e9).softmax(-1), "~may_look"),
    ("causal_attention", reshaped, "do not swap axes"),
    (
        "causal_attention",
        lambda *given: attend(*given, look=lambda past: torch.ones_like(past).tril(1)),
        "not triu(2)",
    ),
    ("causal_attention", lambda *given: attend(*given)[:1], "first text"),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: F.scaled_dot_product_attention(
            x @ w_q, x @ w_k, x @ w_v, is_causal=True
        ),
        "from its parts",
    ),
    ("causal_attention", lambda *given: attend(*given, width=8), "width of the values"),
    ("causal_attention", lambda x, a, b, c: scores_of(x, a, b), "these are the scores"),
    ("causal_attention", lambda *given: attend(*given).sum(0), "shape"),
    ("is_causal", lambda f, x: difference(f, x, torch.max), "only lowers"),
    ("is_causal", lambda f, x: difference(f, x, lambda gap: -gap.min()), "only raises"),
    ("is_causal", lambda f, x: difference(f, x, lambda gap: gap.mean().abs()), "cancel"),
    ("is_causal", lambda f, x: difference(f, x, lambda gap: gap.abs().max(), first=0), "token 1"),
    ("window_weights", early_slice, "one too early"),
    ("window_weights", lambda T, n: mean(torch.ones(T, T).tril(n)), "into the future"),
    ("window_weights", lambda T, n: mean(torch.ones(T, T).tril(-n)), "take it away"),
    ("window_weights", lambda T, n: mean(torch.ones(T, T).tril().triu(n - 1)), "triu(1 - n)"),
    ("causal_weights", lambda s, m: hide(s, ~m[: s.size(0), : s.size(0)]).softmax(-1), "is B"),
    ("causal_weights", lambda s, m: s.masked_fill(~m[:T, :T], -torch.inf).softmax(-1), "takes T"),
    ("causal_weights", lambda s, m: s[:, :block_size], "scores.size(-1)"),  # noqa: F821
    ("causal_attention", scaled_by_leftover, "takes head_size from an earlier cell"),
    ("causal_attention", masked_by_leftover, "takes future from an earlier cell"),
    ("causal_attention", entry_by_entry, "entry by entry"),
    ("causal_attention", lambda *given: attend(*given, width=2), "scaled by 2"),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: attention(x @ w_q, x @ w_k, x @ w_v),
        "from its parts",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: sdpa(x @ w_q, x @ w_k, x @ w_v, is_causal=True),
        "from its parts",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: (x @ w_q @ (x @ w_k).mT).softmax(-1).tril() @ (x @ w_v),
        "two mistakes",
    ),
    ("look_one_back", lambda T: (torch.eye(T).mul(99).roll(1), torch.eye(T)), "dims=0"),
    ("look_one_back", lambda T: places(T, 12.62, 1), "weight is 0.98"),
    ("look_one_back", lambda T: ("q", "k"), "tables of numbers"),
    ("look_one_back", lambda T: (torch.eye(T), torch.eye(T + 1)), "one shape"),
]


# ----------------------------------------------------------------------------- right, in other ways


def rows_of_lists(T, n):
    table = []
    for i in range(T):
        count = min(n, i + 1)
        table.append([1 / count if i - n < j <= i else 0.0 for j in range(T)])
    return table


def byte_counters(T, n):
    weights = torch.zeros(T, T)
    for i in torch.arange(T, dtype=torch.uint8):
        first = max(0, int(i) - n + 1)
        weights[int(i), first : int(i) + 1] = 1 / (int(i) + 1 - first)
    return weights


def by_distance(T, n):
    behind = np.arange(T)[:, None] - np.arange(T)[None]
    table = ((behind >= 0) & (behind < n)).astype(np.float32)
    return table / table.sum(axis=1, keepdims=True)


def weights_by_loop(scores, may_look):
    weights = torch.zeros_like(scores)
    for b in range(scores.size(0)):
        for i in range(scores.size(1)):
            seen = may_look[i, : scores.size(2)].nonzero().flatten()
            weights[b, i, seen] = scores[b, i, seen].softmax(0)
    return weights


def weights_by_numpy(scores, may_look):
    T = scores.shape[-1]
    scores = np.where(may_look.numpy()[:T, :T], scores.numpy(), -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def attention_by_loop(x, w_q, w_k, w_v):
    texts = []
    for text in x:
        q, k, v = text @ w_q, text @ w_k, text @ w_v
        rows = []
        for t in range(len(text)):
            scores = torch.stack([q[t] @ k[j] for j in range(t + 1)]) / w_q.shape[1] ** 0.5
            rows.append(scores.softmax(0) @ v[: t + 1])
        texts.append(torch.stack(rows))
    return torch.stack(texts)


def attention_by_einsum(x, w_q, w_k, w_v):
    q, k, v = (torch.einsum("btc,cd->btd", x, w) for w in (w_q, w_k, w_v))
    scores = torch.einsum("bid,bjd->bij", q, k) / q.size(-1) ** 0.5
    scores += torch.full((x.size(1), x.size(1)), float("-inf")).triu(1)
    return torch.einsum("bij,bjd->bid", scores.softmax(-1), v)


def attention_by_numpy(x, w_q, w_k, w_v):
    x, w_q, w_k, w_v = (part.numpy().astype(np.float64) for part in (x, w_q, w_k, w_v))
    scores = x @ w_q @ (x @ w_k).transpose(0, 2, 1) / np.sqrt(w_q.shape[1])
    scores[:, np.triu(np.ones(scores.shape[1:], dtype=bool), 1)] = -np.inf
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True) @ x @ w_v


def attention_scaled_queries(x, w_q, w_k, w_v):
    q, k = x @ w_q / w_q.size(1) ** 0.25, x @ w_k / w_k.size(1) ** 0.25
    hidden = torch.arange(x.size(1))[:, None] < torch.arange(x.size(1))
    return torch.softmax((q @ k.mT).masked_fill(hidden, -1e9), 2) @ (x @ w_v)


def replaces_tokens(f, x):
    """New tokens from t on, all at once."""
    with torch.no_grad():
        for _ in range(40):
            for t in range(1, x.shape[1]):
                other = torch.cat([x[:, :t], 5 * torch.randn_like(x[:, t:])], dim=1)
                if not torch.allclose(f(other)[:, :t], f(x)[:, :t], atol=1e-5, rtol=0):
                    return False
    return True


def by_array(f, x):
    before, T = f(x).numpy(), x.size(1)
    for t in range(T - 1, 0, -1):
        for _ in range(30):
            new = x.clone()
            new[:, t] = 4 * torch.randn(x.size(0), x.size(2))
            if np.abs(f(new).numpy()[:, :t] - before[:, :t]).max() > 1e-5:
                return np.bool_(False)
    return np.bool_(True)


def random_positions(T):
    """Random directions instead of axes, in a head wide enough to keep them apart."""
    k = F.normalize(torch.randn(T, 4096, generator=torch.Generator().manual_seed(0)), dim=1)
    return 40 * k.roll(1, 0), 40 * k


def on_a_circle(T):
    """Positions as angles: the query points to the angle before."""
    angles = 2 * torch.pi * torch.arange(T, dtype=torch.float64) / T
    k = torch.stack([angles.cos(), angles.sin()], dim=1)
    q = torch.stack([angles.cos(), angles.sin()], dim=1).roll(1, 0)
    return 3e5 * q, k


RIGHT = [
    ("window_weights", rows_of_lists),
    ("window_weights", byte_counters),
    ("window_weights", by_distance),
    ("window_weights", lambda T, n: torch.ones(T, T).tril().triu(1 - n).log().softmax(-1)),
    ("causal_weights", weights_by_loop),
    ("causal_weights", weights_by_numpy),
    ("causal_weights", lambda s, m: torch.where(m[:5, :5], s, -torch.inf).softmax(2)),
    ("causal_weights", lambda scores, may_look: hide(scores.clone(), ~may_look).softmax(dim=-1)),
    ("causal_weights", lambda s, m: (s + m[:5, :5].float().log()).softmax(-1)),
    ("causal_attention", attention_by_loop),
    ("causal_attention", attention_by_einsum),
    ("causal_attention", attention_by_numpy),
    ("causal_attention", attention_scaled_queries),
    ("is_causal", replaces_tokens),
    ("is_causal", by_array),
    ("is_causal", lambda f, x: nudges(f, x, 40, 4.0)),
    ("is_causal", lambda f, x: difference(f, x, lambda gap: gap.square().sum(), tries=30)),
    ("look_one_back", lambda T: tuple(part.numpy() for part in places(T, 30, 1))),
    ("look_one_back", lambda T: tuple(part.tolist() for part in places(T, 30, 1))),
    ("look_one_back", random_positions),
    ("look_one_back", on_a_circle),
]
