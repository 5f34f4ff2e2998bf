"""Checks of notebook 02's exercises."""

import dis
import math
from unittest import mock

import torch
from torch.nn import functional as F

from mygpt.checks import (
    Wrong,
    call,
    compare,
    exercise,
    forbidden,
    same,
    tensor,
    truth,
    with_large_scores,
)
from mygpt.checks import own_or as own_or  # the notebook says check.own_or
from mygpt.checks.leaks import CAUSAL, LEAKY, LOWERS, RAISES, RARE, piled_up, why_missed

INF = float("inf")


class leftovers_named:
    """Inside `with`: a hint names the numbers and tensors that the answer takes from earlier cells."""

    def __init__(self, answer):
        cells = getattr(answer, "__globals__", {})
        steps = dis.get_instructions(answer) if cells else ()
        read = dict.fromkeys(step.argval for step in steps if step.opname == "LOAD_GLOBAL")
        self.names = [name for name in read if self.is_size(cells.get(name))]

    @staticmethod
    def is_size(value):
        return torch.is_tensor(value) or isinstance(value, (int, float)) and math.isfinite(value)

    def __enter__(self):
        return self

    def __exit__(self, kind, hint, trace):
        if isinstance(hint, Wrong) and self.names:
            found = f"it takes {' and '.join(self.names)} from an earlier cell, with other sizes"
            raise Wrong(f"{found}: use its own inputs. {hint}") from None


@exercise
def window_weights(answer):
    for T, n in ((7, 3), (5, 1), (4, 6)):
        got = call(answer, T, n)
        compare_windows(got, T, n)
    return "fewer than n at the start, n from then on"


def compare_windows(got, T, n):
    ones = torch.ones(T, T)

    def mean(table):
        return table / table.sum(dim=1, keepdim=True)

    def band(low, high=0):
        """Ones from `low` back up to `high` back."""
        return ones.tril(-high) - ones.tril(-low - 1)

    window = band(n - 1)
    right, sums = mean(window), window.sum(dim=1, keepdim=True)
    for first in (1 - n, -n) if n > 1 else ():
        sliced = torch.zeros(T, T)
        for i in range(T):
            sliced[i, i + first : i + 1] = 1  # near the start this is empty, or from the end
        if any(same(got, w) for w in (sliced, sliced / n, mean(sliced), sliced / sums)):
            long = ", and i - n is one too early" if first == -n else ""
            negative = "the start of your slice is negative in the first rows, and then counts from"
            raise Wrong(f"{negative} the end: max(0, i - n + 1){long}")
    wrapped = torch.zeros(T, T)
    for i in range(T):
        for j in range(max(i - n + 1, -T), i + 1):
            wrapped[i, j] = 1  # a negative j counts from the end
    mistakes = {
        "the sums, not the means: divide each row by its own sum": window,
        "near the start there are fewer than n tokens: divide each row by its own sum, "
        "not by n": window / n,
        "1/n in the whole triangle: what lies n or more back has weight 0": ones.tril() / n,
        "the mean of the whole past: what lies n or more back has weight 0": mean(ones.tril()),
        "the window is one too long: n tokens, the token itself included": mean(band(n)),
        "this averages the future: keep the lower triangle": mean(window.T),
        "this reaches to both sides: nothing above the diagonal": mean(window + window.T > 0),
        "the columns sum to 1, the rows must: sum over dim=1": window / window.sum(0, True),
        "divided by another row's sum: keepdim=True makes the sums a column": window
        / window.sum(1),
        "the transpose: row i holds the weights of token i": right.T,
        "softmax of zeros and ones: e^0 is 1, so all tokens get weight. Divide by the "
        "row's sum": window.softmax(-1),
    }
    if n > 1:
        kept = {
            "tril(n) reaches n to the right, into the future: tril() less tril(-n)": (
                ones.tril(n),
                ones.tril(n - 1),
                ones.tril() - ones.tril(n),
            ),
            "this keeps what lies n or more back: take it away from ones.tril()": (
                ones.tril(-n),
                ones.tril(1 - n),
            ),
            "triu(n - 1) begins right of the diagonal; to its left: triu(1 - n)": (
                ones.tril().triu(n - 1),
                ones.tril().triu(n),
            ),
        }
        for hint, tables in kept.items():
            for table in tables:
                mistakes |= {hint: w for w in (table, mean(table)) if same(got, w)}
        mistakes |= {
            "the window is one too short: n tokens, the token itself included": mean(band(n - 2)),
            "a negative j counts from the end of the row: begin at max(0, i - n + 1)": mean(
                wrapped
            ),
        }
        for low in (n - 1, n):  # without itself: n - 1 tokens are left, or n
            before = band(low, 1)
            for table in (mean(before), mean(before).nan_to_num(), before / sums, before / n):
                if same(got, table):
                    raise Wrong("the token itself is left out: the window ends with it")
    compare(got, right, mistakes, f"with T = {T} and n = {n} these are no means of the last {n}")


@exercise
def causal_weights(answer):
    B, T, block_size = 2, 5, 8
    scores = torch.randn(B, T, T, generator=torch.Generator().manual_seed(0))
    scores[1, 2, 4] = 200.0  # hidden: its power dwarfs what may be seen
    scores[1, 4, 4] = 100.0  # to be seen: its power overflows
    scores[0, 3] -= 60.0  # a row of low scores: a fill of -100 is not far below them
    widths = torch.tensor([1, 2, 2, 3, 4, 1, 2, 3])  # row i sees itself and widths[i] - 1 before it
    behind = torch.arange(block_size)[:, None] - torch.arange(block_size)
    may_look = (behind >= 0) & (behind < widths[:, None])
    look, last, past = may_look[:T, :T], may_look[-T:, -T:], behind[:T, :T] >= 0
    nan = torch.full((B, T, T), torch.nan)

    def weights_of(look, fill=-INF):
        return scores.masked_fill(~look, fill).softmax(-1)

    hidden, late = scores.masked_fill(~look, -INF), scores.softmax(-1) * look
    naive = scores.exp() * look
    given = scores.clone(), may_look.clone()
    corner = f"may_look is {block_size} × {block_size}, scores have T = {T}: take its first T rows "
    reasons = {
        f"a ({B})": "T is the mistake: scores.size(0) is B, the number of texts. T is size(-1)",
        "must match the size": corner + "and columns",
        "boolean mask": "give masked_fill a mask of True and False: ~may_look",
        "'block_size' is not": "no size is needed but T, which is scores.size(-1)",
        "'T' is not": "T is scores.size(-1)",
    }
    with leftovers_named(answer):
        weights = call(answer, *given, explain=reasons)
    finite = "a finite fill gives what is hidden a small weight, in a row of low scores a large one"
    finite += ": fill with -inf"
    if any(same(weights, weights_of(look, fill)) for fill in (-1, -5, -9, -10, -20, -30, -50)):
        raise Wrong(finite)
    mistakes = {
        "softmax came before the mask, so rows no longer sum to 1: mask the scores": late,
        "softmax, mask, divide: one hidden score is 200, so its row becomes 0 / 0, or in powers "
        "of your own inf · 0. Mask the scores first, with -inf": late / late.sum(-1, True),
        "one score is 100 and one 200, and exp overflows: fill with -inf, then F.softmax, "
        "which subtracts each row's largest score first": naive / naive.sum(-1, True),
        "the mask is the wrong way round: masked_fill hides where True, may_look shows where "
        "True; use ~": weights_of(~look),
        "nan: 0 * inf, or +inf in place of -inf? Use masked_fill with -inf": nan,
        "may_look is not used: here it hides more than the future": weights_of(past),
        "the last T rows and columns of may_look: the first T are wanted": weights_of(last),
        "softmax over the queries: each row must sum to 1, so dim=-1": hidden.softmax(-2),
        "softmax over the texts of the batch: each row must sum to 1, so dim=-1": hidden.softmax(0),
        "a score of 0 hides nothing, since e^0 = 1: fill with -inf": (scores * look).softmax(-1),
        "1 in place of -inf? e^1 is not 0: fill with -inf": weights_of(look, 1.0),
        "no mask: the future has weight": scores.softmax(-1),
        "these are the masked scores: softmax is missing": hidden,
        "each token must see itself: the diagonal is hidden": weights_of(look.tril(-1)),
        "the rows of one text were taken for all": weights_of(look)[:1].expand(B, T, T),
    }
    wanted = "softmax over the last axis of scores that are -inf where may_look is False"
    compare(weights, weights_of(look), mistakes, wanted)
    if (torch.as_tensor(weights)[:, ~look] != 0).any():
        raise Wrong(finite)
    if not (torch.equal(given[0], scores) and torch.equal(given[1], may_look)):
        raise Wrong(
            "right, but the caller's own tensors were changed: masked_fill, not masked_fill_ "
            "or [...] ="
        )
    return "each row sums to 1, what is hidden is exactly 0"


@exercise
def causal_attention(answer):
    B, T, C, hs, d = 3, 11, 12, 5, 8  # none is the size of anything in the notebook
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, T, C, generator=generator)
    w_q, w_k = torch.randn(2, C, hs, generator=generator) * C**-0.5
    w_v = torch.randn(C, d, generator=generator)
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    raw = q @ k.mT
    past = torch.ones(T, T, dtype=torch.bool).tril()

    def weights(scores, look=past, dim=-1):
        return scores.masked_fill(~look, -INF).softmax(dim)

    def mix(scores, **options):
        return weights(scores, **options) @ v

    def run(x):
        refuse = forbidden("write it from its parts: score, scale, mask, softmax, mix")
        cells, whole = getattr(answer, "__globals__", {}), F.scaled_dot_product_attention
        names = ("attention", "attention_weights", "self_attention")
        done = {name: refuse for name in cells if name in names or cells[name] is whole}
        with (
            mock.patch.object(F, "scaled_dot_product_attention", refuse),
            mock.patch.dict(cells, done),
        ):
            return call(answer, x, w_q.clone(), w_k.clone(), w_v.clone(), explain=reasons)

    axes = "scores are q @ k.transpose(-2, -1): of k swap the last two axes only"
    square = "scores and mask must be (T, T), and T is x.size(1)"
    reasons = {
        f"and {hs}x{C})": "the matrices are (C, hs): x @ w_q as it is, no transpose",
        f"and {d}x{C})": "the matrices are (C, dv): x @ w_v as it is, no transpose",
        f"({hs}) at non-singleton dimension 2": f"q * k multiplies entry by entry; {axes}",
        f"({hs}) must match": f"q * k multiplies entry by entry; {axes}",
        "dimension 2": f"{square}: is the mask of another size?",
        "dimension 0": axes,
        "first two dimensions": f"q * k multiplies entry by entry; {axes}",
    }
    nan, next_too = torch.full((B, T, d), torch.nan), torch.ones_like(past).tril(1)
    scaled, root = raw * hs**-0.5, "the sum runs over the hs entries of a query"
    right, late, zeros = weights(scaled), scaled.softmax(-1) * past, (scaled * past).softmax(-1)
    reshaped, sideways, hidden = k.reshape(B, hs, T), scaled.mT, scaled.masked_fill(~past, -INF)
    mistakes = {
        "not scaled: multiply the scores by hs ** -0.5": mix(raw),
        f"scaled by n_embd, the width of x: {root}": mix(raw * C**-0.5),
        f"scaled by T: {root}, the last axis of q": mix(raw * T**-0.5),
        f"scaled by B: {root}, the last axis of q": mix(raw * B**-0.5),
        "two mistakes: not scaled, and the mask came after softmax": raw.softmax(-1) * past @ v,
        "two mistakes: not scaled, and no mask": raw.softmax(-1) @ v,
        f"scaled by the width of the values: {root}": mix(raw * d**-0.5),
        "divided by hs, or by its root twice: a variance goes with the square of a factor, "
        "so once by the root": mix(raw / hs),
        "multiplied by the root of hs: divide by it": mix(raw * hs**0.5),
        "the weights are scaled, after softmax: scale the scores": mix(raw) * hs**-0.5,
        "queries and keys are swapped: row i belongs to the query of token i": mix(sideways),
        "queries with queries: the keys are x @ w_k": mix(q @ q.mT * hs**-0.5),
        "keys with keys: the queries are x @ w_q": mix(k @ k.mT * hs**-0.5),
        "view and reshape cut the numbers anew, they do not swap axes: k.transpose(-2, -1)": mix(
            q @ reshaped * hs**-0.5
        ),
        "no mask: the future has weight": scaled.softmax(-1) @ v,
        "the mask is the wrong way round: masked_fill hides where True": mix(scaled, look=~past),
        "the mask hides the past and shows the future: hide above the diagonal, triu(1)": mix(
            scaled, look=past.T
        ),
        "each token must see itself: triu(1), which leaves out the diagonal": mix(
            scaled, look=past.tril(-1)
        ),
        "each token sees the next one too: triu(1), not triu(2)": mix(scaled, look=next_too),
        "softmax came before the mask, so rows no longer sum to 1: mask the scores": late @ v,
        "nan: 0 * inf, or +inf in place of -inf? Use masked_fill with -inf": nan,
        "a score of 0 hides nothing, since e^0 = 1: fill with -inf": zeros @ v,
        "softmax over the queries: each row must sum to 1, so dim=-1": mix(scaled, dim=-2),
        "softmax over the texts: each row must sum to 1, so dim=-1": mix(scaled, dim=0),
        "softmax is missing: scores are not weights": scaled * past @ v,
        "the weights are transposed: weights @ v": right.mT @ v,
        "these are the scores: mask, softmax and values are missing": scaled,
        "these are the masked scores: softmax and values are missing": hidden,
        "these are the weights: multiply by the values, x @ w_v": right,
        "the tokens themselves are mixed: the values are x @ w_v": right @ x,
        "the keys are mixed: the values are x @ w_v": right @ k,
        "the queries are mixed: the values are x @ w_v": right @ q,
        "only the first text of the batch: all B texts are wanted": (right @ v)[:1],
    }
    given = x.clone()
    wanted = "score, scale, mask, softmax, mix: at least one of the five differs"
    for size in (2, 4):  # head_size in sections 5 and 8
        mistakes[f"scaled by {size}, not by hs, the last axis of q"] = mix(raw * size**-0.5)
    with leftovers_named(answer):
        compare(run(given), right @ v, mistakes, wanted)
    if not torch.equal(given, x):
        raise Wrong("right, but the caller's x was changed: work on new tensors")
    # token 0 reads itself alone, however low its score is: a finite fill is far above it
    with_large_scores(tensor(run(300 * x))[:, 0], 300 * v[:, 0])
    return "score, scale, mask, softmax, mix"


@exercise
def is_causal(answer):
    B, T, C = 2, 6, 3
    x = torch.randn(B, T, C, generator=torch.Generator().manual_seed(0))
    verdicts, seen, touched = {}, {}, False
    for name, f in (CAUSAL | LEAKY).items():
        given, seen[name] = x.clone(), []

        def spied(x):
            seen[name].append(x.detach().clone())
            return f(x)

        torch.manual_seed(3)  # the same changes at each call of the check
        starts = {"numel() == 0": "nothing stands before token 0: begin with token 1"}
        verdicts[name] = truth(call(answer, spied, given, explain=starts))
        touched |= not torch.equal(given, x)
    changes = [other - x for calls in seen.values() for other in calls if other.shape == x.shape]
    moved = [change for change in changes if change.any()]
    shortened = any(other.shape != x.shape for calls in seen.values() for other in calls)
    tries = min(sum(not torch.equal(other, x) for other in seen[name]) for name in CAUSAL)
    missed = [name for name in LEAKY if verdicts[name]]
    accused = [name for name in CAUSAL if not verdicts[name]]
    if len(missed) == len(LEAKY):
        raise Wrong(
            f"it never finds a leak, not even {missed[0]}; did it change x itself? Change x.clone()"
        )
    if accused and (touched or piled_up(changes)):
        raise Wrong(
            f"False for {accused[0]}: the changes piled up; take a fresh x.clone() for each token t"
        )
    if accused:
        raise Wrong(
            f"False for {accused[0]}: a changed token may change its own output and later ones; "
            "compare only those before it. Texts come first: token t is x[:, t]"
        )
    one_sided = set(missed) & {LOWERS, RAISES}  # all functions get the same changes
    if len(one_sided) == 1 and set(missed) <= RARE:
        raise Wrong(
            f"True for {one_sided.pop()}: your test looks for a difference of the other sign; "
            "take .abs() of the difference before .max()"
        )
    if missed:
        raise Wrong(f"True for {missed[0]}: {why_missed(set(missed), moved, tries, shortened)}")
    return f"{len(LEAKY)} leaks found, {len(CAUSAL)} causal functions cleared"


@exercise
def look_one_back(answer):
    for T in (5, 9, 256):
        q, k = queries_and_keys(call(answer, T), T)
        scores = q @ k.T * q.size(1) ** -0.5
        if not scores.isfinite().all():
            raise Wrong(
                "some scores are not finite: the mask is applied for you, large finite numbers "
                "do the rest"
            )
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, -INF).softmax(-1)
        back, itself = weights.diagonal(-1), weights.diagonal()[1:]
        reads = weights[2:].argmax(dim=-1) - torch.arange(2, T)
        if (back >= 0.99).all():
            continue
        if (scores[1:-1].argmax(dim=-1) - torch.arange(1, T - 1) == 1).all():
            raise Wrong(
                "the wrong way: the query of i matches the key of i + 1, which is masked. "
                "To move rows down: roll(1, dims=0)"
            )
        if (scores.amax() - scores.amin()) < 1e-9:
            raise Wrong(
                "all scores are equal, which gives the mean: the query of i must match the key "
                "of i - 1 only"
            )
        if (reads == 0).all():
            raise Wrong("each token looks at itself: the query of i must match the key of i - 1")
        if (reads == -2).all():
            raise Wrong("two back: the query of i must match the key of i - 1")
        if (back > weights.tril(-2).amax(dim=-1)[1:]).all() and (back > itself).all():
            raise Wrong(
                f"the right position, but with T = {T} the least weight is {back.min():.4f}: "
                "0.99 is wanted. Make the scores larger (hs ** -0.5 shrinks them)"
            )
        worst = int(back.argmin()) + 1
        raise Wrong(
            f"with T = {T} token {worst} gives token {worst - 1} a weight of {back.min():.2f}: "
            "its query must match that key only"
        )
    return "a head that looks one back, whatever stands there"


def queries_and_keys(result, T):
    """The two tables of an answer, from tensors, arrays or lists."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Wrong("return two tensors, q and k")
    try:
        q, k = (torch.as_tensor(part).double() for part in result)
    except Exception:
        raise Wrong("q and k must be two tables of numbers") from None
    if q.dim() != 2 or q.shape != k.shape or len(q) != T or not q.numel():
        raise Wrong(
            f"q and k must have one shape (T, hs), here with T = {T}, "
            f"not {tuple(q.shape)} and {tuple(k.shape)}"
        )
    return q, k
