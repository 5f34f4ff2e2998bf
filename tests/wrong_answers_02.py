"""Wrong answers to notebook 02's exercises: (check, answer, words its hint must hold)."""
import torch


def band(T, n):
    ones = torch.ones(T, T)
    return ones.tril() - ones.tril(-n)


def mean(table, dim=1):
    return table / table.sum(dim=dim, keepdim=True)


def hide(scores, hidden):
    return scores.masked_fill(hidden[: scores.size(-1), : scores.size(-1)], float("-inf"))


def scores(x, w_q, w_k, power=-0.5, width=None):
    return (x @ w_q) @ (x @ w_k).transpose(-2, -1) * (width or w_q.size(1)) ** power


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
    ("causal_weights", lambda s, m: s.softmax(-1) * m[:5, :5], "before the mask"),
    ("causal_weights", lambda s, m: hide(s, m).softmax(-1), "wrong way round"),
    ("causal_weights", lambda s, m: hide(s, ~m).softmax(-2), "queries"),
    ("causal_weights", lambda s, m: hide(s, ~m).softmax(0), "batch"),
    ("causal_weights", lambda s, m: (s * m[:5, :5]).softmax(-1), "e^0"),
    ("causal_weights", lambda s, m: s.softmax(-1), "no mask"),
    ("causal_weights", lambda s, m: hide(s, ~m), "softmax is missing"),
    ("causal_weights", lambda s, m: s.masked_fill(~m, float("-inf")).softmax(-1), "first T rows"),
    ("causal_weights", lambda s, m: hide(s, ~m.tril(-1)).softmax(-1), "itself"),
    ("scaled_scores", lambda x, w_q, w_k: scores(x, w_q, w_k, 0), "not scaled"),
    ("scaled_scores", lambda x, w_q, w_k: scores(x, w_q, w_k, width=x.size(-1)), "n_embd"),
    ("scaled_scores", lambda x, w_q, w_k: scores(x, w_q, w_k, width=x.size(1)), "scaled by T"),
    ("scaled_scores", lambda x, w_q, w_k: scores(x, w_q, w_k, -1), "square"),
    ("scaled_scores", lambda x, w_q, w_k: scores(x, w_q, w_k, 0.5), "divide by it"),
    ("scaled_scores", lambda x, w_q, w_k: scores(x, w_k, w_q), "swapped"),
    ("scaled_scores", lambda x, w_q, w_k: scores(x, w_q, w_k).softmax(-1), "before softmax"),
    ("scaled_scores", lambda x, w_q, w_k: (x @ w_q) @ (x @ w_k).permute(2, 1, 0), "last two axes"),
    ("scaled_scores", lambda x, w_q, w_k: (x @ w_q) @ (x @ w_k), "last two axes"),
    ("is_causal", lambda f, x: True, "never finds"),
    ("is_causal", aliased, "clone"),
    ("is_causal", lambda f, x: False, "own output"),
    ("is_causal", lambda f, x: finds(f, x, range(6), before=lambda t: slice(None, t + 1)), "own output"),
    ("is_causal", lambda f, x: finds(f, x, range(5), before=lambda t: slice(t + 1, None)), "only those before"),
    ("is_causal", lambda f, x: finds(f, x, [5]), "every token"),
    ("is_causal", lambda f, x: finds(f, x, [3]), "every token"),
    ("is_causal", lambda f, x: finds(f, x, range(1, 5)), "every token"),
    ("is_causal", lambda f, x: finds(f, x, range(1, 6), before=lambda t: slice(0, 1)), "all outputs before"),
    ("is_causal", lambda f, x: finds(f, x, range(6), entries=0), "all its entries"),
    ("is_causal", lambda f, x: finds(f, x, range(6), tolerance=0.01), "one in a thousand"),
    ("is_causal", lambda f, x: "yes", "True or False"),
    ("look_one_back", lambda T: places(T, 10, 0), "itself"),
    ("look_one_back", lambda T: places(T, 10, -1), "wrong way"),
    ("look_one_back", lambda T: places(T, 10, 2), "two back"),
    ("look_one_back", lambda T: places(T, 1, 1), "larger"),
    ("look_one_back", lambda T: places(T, 3, 1), "larger"),
    ("look_one_back", lambda T: places(9, 10, 1), "T = 5"),
    ("look_one_back", lambda T: places(T, 10, 1)[0], "two tensors"),
    ("look_one_back", lambda T: (torch.zeros(T, 4), torch.zeros(T, 4)), "equal"),
    ("look_one_back", lambda T: (places(T, float("inf"), 1)), "finite"),
]
