"""Wrong answers to notebook 02's exercises: (check, answer, words its hint must hold)."""

import torch


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


CASES = [
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
    ("causal_attention", lambda *given: attend(*given, width=5), "scaled by T"),
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
        lambda x, w_q, w_k, w_v: (
            late((x @ w_q) @ (x @ w_k).mT / 3**0.5, torch.ones(5, 5).tril()) @ (x @ w_v)
        ),
        "large ones give nan",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: (
            (x @ w_q @ (x @ w_k).mT / 3**0.5)
            .masked_fill(torch.ones(5, 5).triu(1) > 0, -50.0)
            .softmax(-1)
            @ (x @ w_v)
        ),
        "with large ones",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: (x @ w_q @ (x @ w_k).mT / 3**0.5).softmax(-1).tril() @ x @ w_v,
        "before the mask",
    ),
    (
        "causal_attention",
        lambda x, w_q, w_k, w_v: hide(
            x @ w_q @ (x @ w_k).mT / 3**0.5, ~torch.ones(5, 5).tril().bool()
        ).softmax(-1),
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
    ("is_causal", lambda f, x: nudges(f, x, 1, 1.0), "many large"),
    ("is_causal", lambda f, x: nudges(f, x, 1, 3.0), "many large"),
    ("is_causal", by_jacobian, "many large"),
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
]
