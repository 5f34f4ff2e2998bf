"""What checks a student's answers: one line each, "not attempted yet", right, or the likely mistake.

A check takes the student's answer, runs it on small inputs whose sizes are all different, and
compares the result with the right one and with what the usual mistakes give on the same inputs.
"""
import functools
import math
from unittest import mock

import torch

from mygpt_helpers import GPT, GPTConfig, Head


class NotAttempted(Exception):
    pass


class Wrong(Exception):
    """Carries the hint."""


def exercise(check):
    """Make a check print its one line and return True only for a right answer."""

    @functools.wraps(check)
    def run(answer):
        try:
            with torch.random.fork_rng(range(torch.cuda.device_count())):  # the student's own random numbers stay
                mark, message, right = "✓", f"right: {check(answer)}", True
        except NotAttempted:
            nothing = " (it returns nothing: if you have tried, is a `return` missing?)" if callable(answer) else ""
            mark, message, right = "·", f"not attempted yet{nothing}", False
        except Wrong as hint:
            mark, message, right = "✗", str(hint), False
        print(f"{mark} {check.__name__}: {message}")
        return right

    return run


def call(answer, *inputs, explain=None):
    """The answer's result on `inputs`. An exception it raises becomes the hint.

    `explain` maps words of such a message to what probably lies behind it; the first that fits is added.
    """
    if answer is ...:
        raise NotAttempted
    try:
        result = answer(*inputs)
    except Exception as error:
        message = f"it raised {type(error).__name__}: {error}"
        reasons = [f" ({reason})" for word, reason in (explain or {}).items() if word in message]
        raise Wrong("".join([message, *reasons[:1]])) from None
    if result is None or result is ...:
        raise NotAttempted
    return result


def compare(got, right, mistakes, otherwise, what="the answer"):
    """Raise Wrong unless `got` equals `right`; `mistakes` maps hints to what a mistake would give.

    A mistake that on these inputs gives the right result says nothing, and is passed over.
    """
    for hint, wrong in mistakes.items():
        if same(got, wrong) and not same(wrong, right):
            raise Wrong(hint)
    if not isinstance(got, torch.Tensor):
        try:
            got = torch.as_tensor(got)
        except Exception:
            raise Wrong(f"{what} is a {type(got).__name__}: a tensor is wanted") from None
    right = torch.as_tensor(right)
    if got.shape != right.shape:
        raise Wrong(f"{what} has shape {tuple(got.shape)}, expected {tuple(right.shape)}")
    if not same(got, right):
        raise Wrong(otherwise)


def compare_number(got, right, mistakes, otherwise):
    """The same for one number that is to be exact."""
    got = number(got)
    for hint, wrong in mistakes.items():
        if got == wrong != right:
            raise Wrong(hint)
    if got != right:
        raise Wrong(f"{otherwise}: {right:,}, not {got:,}, which is {abs(got - right):,} too {'many' if got > right else 'few'}")


def same(a, b):
    """Equal up to rounding, shapes included; False for what is no number or tensor."""
    try:
        a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    except Exception:
        return False
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)


def number(got):
    """What an answer returned, as a number of Python's: torch's and numpy's are as good."""
    got = plain(got)
    if isinstance(got, bool) or not isinstance(got, (int, float)):
        raise Wrong(f"it returned a {type(got).__name__}: a number is wanted")
    return got


def truth(got):
    """What an answer returned, as True or False."""
    got = plain(got)
    if not isinstance(got, (bool, int)):
        raise Wrong(f"it returned a {type(got).__name__}: True or False is wanted")
    return bool(got)


def plain(got):
    """A single number or truth value of torch's or numpy's as Python's own; anything else as it is."""
    return got.item() if hasattr(got, "item") and math.prod(got.shape) == 1 else got


def with_large_scores(got, right):
    """Raise Wrong where scores of some hundreds give a hidden place weight, or nan."""
    if isinstance(got, torch.Tensor) and got.isnan().any():
        raise Wrong('right for small scores, but large ones give nan: exp overflows, or a row is 0 / 0. Fill with float("-inf") '
                    "before softmax, and leave softmax to F.softmax, which subtracts each row's largest score first")
    if not same(got, right):
        raise Wrong("right for small scores, but with large ones a hidden place gets weight: "
                    'fill the scores with float("-inf") before softmax')


# ----------------------------------------------------------------------------- 01 bigram


@exercise
def bits_per_character(answer):
    probs = torch.tensor([0.5, 0.25, 0.125, 0.9, 0.01])
    compare(call(answer, probs), -probs.log2().mean(), {
        "this is in nats: use the logarithm to base 2, or divide by ln 2": -probs.log().mean(),
        "the sign: the logarithm of a probability is negative, a loss is its negative": probs.log2().mean(),
        "the sum over all characters: take the mean": -probs.log2().sum(),
        "one loss for each character: take their mean": -probs.log2(),
        "the logarithm of the mean probability: take each character's loss first, then the mean": -probs.mean().log2(),
        "nats times ln 2: to get bits, divide by ln 2": -probs.log().mean() * torch.tensor(2.0).log(),
        "weighted by p, as in an entropy: here each character that came counts once": -(probs * probs.log2()).sum(),
        "this is the perplexity: the loss is its logarithm": (-probs.log().mean()).exp(),
        "the logarithm to base 10: bits are to base 2": -probs.log10().mean(),
    }, "the mean over the characters of -log2(p) is wanted")
    return "a probability of 1/2 costs 1 bit"


@exercise
def mean_loss(answer):
    sums, counts = torch.tensor([80.0, 60.0, 75.0, 4.0]), torch.tensor([32.0, 32.0, 32.0, 5.0])
    compare(call(answer, sums, counts), sums.sum() / counts.sum(), {
        "the mean of the windows' means: it gives the short window's characters too much weight": (sums / counts).mean(),
        "the mean per window: divide by the number of characters, not of windows": sums.mean(),
        "the sum of the windows' means: add up sums and counts first, divide once": (sums / counts).sum(),
        "one mean for each window: one number for all characters is wanted": sums / counts,
        "the last window counted as if it were full": sums.sum() / (32 * 4),
        "the last window is left out: its characters count too": sums[:-1].sum() / counts[:-1].sum(),
        "upside down: losses over characters": counts.sum() / sums.sum(),
        "only added up: divide by the number of characters": sums.sum(),
    }, "the sum of all losses over the number of all characters is wanted")
    return "every character has the same weight"


@exercise
def consecutive_windows(answer):
    T = 4
    for N in (23, 21, 20):  # rows: 5, 5 and 4, since 20 tokens leave the fifth row without its last target
        data = torch.arange(N) * 10
        no_target = f"{N} tokens, block_size {T}: the last row has no target for its last character; drop that row"
        result = call(answer, data, T, explain={"is invalid for input": no_target} if N == 20 else None)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise Wrong("return two tensors, x and y")
        try:
            x, y = (torch.as_tensor(part) for part in result)
        except Exception:
            raise Wrong("x and y must be tensors: torch.stack makes one of a list of rows") from None
        n = (N - 1) // T
        right_x, right_y = data[: n * T].view(n, T), data[1 : n * T + 1].view(n, T)
        if x.dim() == 2 and len(x) == N // T != n:
            raise Wrong(no_target)
        if x.shape == (n - 1, T):
            raise Wrong(f"one row too few: {N} tokens hold {n} rows of {T} with all their targets")
        compare(x, right_x, {
            "x and y are swapped: y is what comes one place later": right_y,
            "the windows overlap: the next row starts block_size later": data.unfold(0, T, 1)[: N - T],
            "the windows overlap: the next row starts block_size later, not block_size - 1": data.unfold(0, T, T - 1),
            "a gap between the rows: the next row starts block_size later, not block_size + 1": data.unfold(0, T, T + 1),
            "the axes: one row per window, block_size columns": right_x.T,
            "characters down the columns: reshape to (n, block_size), so that a row is a stretch of text": data[: n * T].view(T, n).T,
        }, f"x is not the text cut into rows of {T}", what="x")
        compare(y, right_y, {
            "the targets are not shifted: y is one place later than x": right_x,
            "the targets are shifted by two": data[2 : n * T + 2].view(n, T) if n * T + 2 <= N else torch.empty(0),
            "shifted within each row: the last target of a row is the first character of the next row": right_x.roll(-1, dims=1),
            "shifted the wrong way: a target comes after its character, not before": (right_x - 10) % (10 * N),
            "torch.roll wraps around: the last target must be the text's next character, not its first": right_x.flatten().roll(-1).view(n, T),
        }, "y is not x one place later in the text", what="y")
    return "every character has its successor as target, and none is used twice"


@exercise
def trigram(answer):
    V, alpha = 7, 0.5  # 7**3 is more than a byte holds
    ids = torch.randint(V, (200,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    codes = (ids[:-2] * V + ids[1:-1]) * V + ids[2:]  # in bytes, where 256 is 0 again
    overflowed = torch.bincount(codes, minlength=V**3).view(V, V, V) + alpha
    counts = torch.zeros(V, V, V)
    for a, b, c in zip(ids[:-2].tolist(), ids[1:-1].tolist(), ids[2:].tolist()):
        counts[a, b, c] += 1
    smooth = counts + alpha
    right, once = smooth / smooth.sum(dim=-1, keepdim=True), (counts > 0) + alpha
    got = call(answer, ids, V, alpha, explain={"is invalid for input": "bincount stops at the largest number it meets: give it minlength"})
    compare(got, right, {
        "the ids are bytes, and their products overflow: start with ids.long()": overflowed / overflowed.sum(dim=-1, keepdim=True),
        "keepdim=True is missing in the sum, so each number is divided by another pair's sum": smooth / smooth.sum(dim=-1),
        "each triple is counted once: counts[a, b, c] += 1 with tensors drops repeats; use a loop or bincount": once / once.sum(dim=-1, keepdim=True),
        "these are logarithms: return the probabilities": right.log(),
        "these are counts: divide each by the sum over the next character": smooth,
        "these are counts without alpha: add it, then divide by the sum over the next character": counts,
        "alpha is not added, so what never occurred has probability 0 or nan": counts / counts.sum(dim=-1, keepdim=True),
        "divided by the sum over everything: for each pair (a, b) the probabilities must sum to 1": smooth / smooth.sum(),
        "divided by the sum over the first character: sum over the last axis, the next character": smooth / smooth.sum(dim=0, keepdim=True),
        "divided by the sum over the middle character: sum over the last axis": smooth / smooth.sum(dim=1, keepdim=True),
        "a and b are swapped: p[a, b, c] is c after a then b": right.transpose(0, 1),
        "alpha is added after the division: add it to the counts": counts / counts.sum(dim=-1, keepdim=True) + alpha,
        "alpha is added above but not below: the probabilities of a pair must sum to 1": smooth / counts.sum(dim=-1, keepdim=True),
    }, "p[a, b, c] must be (count of a, b, c + alpha) / the sum of the same over c")
    return "274,625 numbers for two characters of memory on the real text"


# ----------------------------------------------------------------------------- 02 self_attention_math


@exercise
def window_weights(answer):
    for T, n in ((7, 3), (5, 1), (4, 6)):
        ones = torch.ones(T, T)

        def mean(table):
            return table / table.sum(dim=1, keepdim=True)

        band = ones.tril() - ones.tril(-n)
        right = mean(band)
        sliced = torch.zeros(T, T)
        for i in range(T):
            sliced[i, i - n + 1 : i + 1] = 1  # near the start this is empty, or from the end
        mistakes = {
            "the sums, not the means: divide each row by its own sum": band,
            "near the start there are fewer than n tokens: divide each row by its own sum, not by n": band / n,
            "this is the mean of the whole past: what lies n or more back has weight 0": mean(ones.tril()),
            "the window is one too long: n tokens, the token itself included": mean(ones.tril() - ones.tril(-n - 1)),
            "the token itself is left out": mean(ones.tril(-1) - ones.tril(-n - 1)),
            "this averages the future: keep the lower triangle": mean(ones.triu() - ones.triu(n)),
            "this reaches n - 1 to both sides: nothing above the diagonal": mean(ones.tril(n - 1) - ones.tril(-n)),
            "the columns sum to 1, the rows must: sum over dim=1": band / band.sum(dim=0, keepdim=True),
            "each row is divided by another row's sum: keepdim=True makes the sums a column": band / band.sum(dim=1),
            "the transpose: row i holds the weights of token i": right.T,
        }
        got = call(answer, T, n)
        if n > 1 and any(same(got, wrong) for wrong in (sliced, sliced / n, mean(sliced), sliced / band.sum(1, True))):
            raise Wrong("`i - n + 1` is negative near the start, and a slice then counts from the end: max(0, i - n + 1)")
        if n > 1:
            mistakes["the window is one too short: n tokens, the token itself included"] = mean(ones.tril() - ones.tril(1 - n))
        compare(got, right, mistakes, f"with T = {T} and n = {n} the rows are not means of the last {n} tokens")
    return "fewer than n at the start, n from then on"


@exercise
def causal_weights(answer):
    B, T, block_size = 2, 5, 8
    scores = torch.randn(B, T, T, generator=torch.Generator().manual_seed(0))
    scores[1, 2, 4] = 200.0  # in the future: its power dwarfs the past's
    scores[0, 3] -= 60.0  # a row of low scores: a fill of -100 is not far below them
    widths = torch.tensor([1, 2, 2, 3, 4, 1, 2, 3])  # row i looks at itself and the widths[i] - 1 before it
    behind = torch.arange(block_size)[:, None] - torch.arange(block_size)
    may_look = (behind >= 0) & (behind < widths[:, None])
    look = may_look[:T, :T]

    def weights_of(look, fill=float("-inf")):
        return scores.masked_fill(~look, fill).softmax(-1)

    hidden, late = scores.masked_fill(~look, float("-inf")), scores.softmax(-1) * look
    given = scores.clone(), may_look.clone()
    weights = call(answer, *given, explain={
        "size": f"may_look is {block_size} × {block_size}, scores have T = {T}: take its first T rows and columns",
    })
    finite = "a finite fill gives what is hidden a small weight, in a row of low scores a large one: fill with -inf"
    if any(same(weights, weights_of(look, fill)) for fill in (-1, -5, -9, -10, -20, -30, -50)):
        raise Wrong(finite)
    compare(weights, weights_of(look), {
        "softmax came before the mask, so rows no longer sum to 1: mask the scores": late,
        "softmax, mask, divide: one hidden score is 200, and its row becomes 0 / 0. Mask the scores first": late / late.sum(-1, True),
        "the mask is the wrong way round: masked_fill hides where True, may_look shows where True; use ~": weights_of(~look),
        "0 * inf is nan: use masked_fill": torch.full((B, T, T), torch.nan),
        "may_look is not used: here it hides more than the future": weights_of(torch.ones_like(look).tril()),
        "the last T rows and columns of may_look: the first T are wanted": weights_of(may_look[-T:, -T:]),
        "softmax over the queries: each row must sum to 1, so dim=-1": hidden.softmax(-2),
        "softmax over the texts of the batch: each row must sum to 1, so dim=-1": hidden.softmax(0),
        "a score of 0 hides nothing, since e^0 = 1: fill with -inf": (scores * look).softmax(-1),
        "1 in place of -inf? e^1 is not 0: fill with -inf": weights_of(look, 1.0),
        "no mask: the future has weight": scores.softmax(-1),
        "these are the masked scores: softmax is missing": hidden,
        "each token must see itself: the diagonal is hidden": weights_of(look.tril(-1)),
        "the rows of one text were taken for all": weights_of(look)[:1].expand(B, T, T),
    }, "softmax over the last axis of scores that are -inf where may_look is False")
    if (weights[:, ~look] != 0).any():
        raise Wrong(finite)
    if not (torch.equal(given[0], scores) and torch.equal(given[1], may_look)):
        raise Wrong("right, but the caller's own tensors were changed: masked_fill, not masked_fill_ or [...] =")
    return "each row sums to 1, what is hidden is exactly 0"


@exercise
def causal_attention(answer):
    B, T, C, hs, d = 2, 5, 12, 3, 4
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, T, C, generator=generator)
    w_q, w_k = torch.randn(2, C, hs, generator=generator) * C**-0.5
    w_v = torch.randn(C, d, generator=generator)
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    raw = q @ k.transpose(1, 2)
    past = torch.ones(T, T, dtype=torch.bool).tril()

    def weights(scores, look=past, dim=-1):
        return scores.masked_fill(~look, float("-inf")).softmax(dim)

    scaled = raw * hs**-0.5
    right = weights(scaled)
    late = scaled.softmax(-1) * past
    no_transpose = "the matrices are (C, hs): x @ w_q as it is, no transpose"
    last_two = "of k swap the last two axes only: k.transpose(-2, -1)"
    out = call(answer, x.clone(), w_q.clone(), w_k.clone(), w_v.clone(), explain={
        f"and {hs}x{C})": no_transpose, f"and {d}x{C})": no_transpose, ".T": last_two, "size": last_two, "shape": last_two,
    })
    compare(out, right @ v, {
        "not scaled: multiply the scores by hs ** -0.5": weights(raw) @ v,
        "scaled by n_embd, the width of x: the sum runs over the hs entries of a query": weights(raw * C**-0.5) @ v,
        "scaled by T: the sum runs over the hs entries of a query, the last axis of q": weights(raw * T**-0.5) @ v,
        "scaled by the width of the values: the sum runs over the hs entries of a query": weights(raw * d**-0.5) @ v,
        "divided by hs, or by its root twice: a variance goes with the square of a factor, so once by the root": weights(raw / hs) @ v,
        "multiplied by the root of hs: divide by it": weights(raw * hs**0.5) @ v,
        "the weights are scaled, after softmax: scale the scores": weights(raw) * hs**-0.5 @ v,
        "queries and keys are swapped: row i belongs to the query of token i": weights(scaled.transpose(1, 2)) @ v,
        "queries with queries: the keys are x @ w_k": weights(q @ q.transpose(1, 2) * hs**-0.5) @ v,
        "keys with keys: the queries are x @ w_q": weights(k @ k.transpose(1, 2) * hs**-0.5) @ v,
        "no mask: the future has weight": scaled.softmax(-1) @ v,
        "the mask is the wrong way round: masked_fill hides where True": weights(scaled, ~past) @ v,
        "the mask hides the past and shows the future: hide above the diagonal, triu(1)": weights(scaled, past.T) @ v,
        "each token must see itself: triu() takes the diagonal along, triu(1) does not": weights(scaled, past.tril(-1)) @ v,
        "softmax came before the mask, so rows no longer sum to 1: mask the scores": late @ v,
        "0 * inf is nan: use masked_fill": torch.full((B, T, d), torch.nan),
        "a score of 0 hides nothing, since e^0 = 1: fill with -inf": (scaled * past).softmax(-1) @ v,
        "softmax over the queries: each row must sum to 1, so dim=-1": weights(scaled, dim=-2) @ v,
        "softmax over the texts of the batch: each row must sum to 1, so dim=-1": weights(scaled, dim=0) @ v,
        "softmax is missing: scores are not weights": scaled * past @ v,
        "the weights are transposed: weights @ v": right.transpose(1, 2) @ v,
        "these are the scores: mask, softmax and values are missing": scaled,
        "these are the weights: multiply by the values, x @ w_v": right,
        "the tokens themselves are mixed: the values are x @ w_v": right @ x,
        "the keys are mixed: the values are x @ w_v": right @ k,
        "the queries are mixed: the values are x @ w_v": right @ q,
    }, "score, scale, mask, softmax, mix: one of the five differs")
    with_large_scores(call(answer, 10 * x, w_q.clone(), w_k.clone(), w_v.clone()), weights(100 * scaled) @ (10 * v))
    return "score, scale, mask, softmax, mix"


@exercise
def is_causal(answer):
    B, T, C = 2, 6, 3
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, T, C, generator=generator)

    def past(x):
        return torch.ones(x.size(1), x.size(1)).tril()

    def mean(x):
        return past(x) / past(x).sum(dim=1, keepdim=True) @ x

    def attend(x, mask_first):
        scores = x @ x.transpose(1, 2)
        if mask_first:
            return scores.masked_fill(past(x) == 0, float("-inf")).softmax(-1) @ x
        return (scores.softmax(-1) * past(x)) @ x

    def leak(x, to, source, size=1.0, entries=slice(None)):
        """The mean of the past, and at `to` a little of token `source`."""
        out = mean(x)
        if max(to, source) < x.size(1):
            out[:, to, entries] += size * x[:, source, entries]
        return out

    causal = {
        "the mean of the past": mean,
        "causal attention": lambda x: attend(x, mask_first=True),
        "a function of each token alone": lambda x: x.square(),
    }
    steps = {
        "a leak by a step": lambda x: x.cumsum(1) + (x[:, -1:, :1] > 2.5).float(),
        "a leak that sets in above 3": lambda x: x.cumsum(1) + (x[:, -1:] - 3).relu(),
    }
    centred = {"a leak from x - x.mean(-1, keepdim=True)": lambda x: (x - x.mean(-1, keepdim=True)).flip(1)}
    leaky = {
        "attention without a mask": lambda x: (x @ x.transpose(1, 2)).softmax(-1) @ x,
        "attention masked after softmax": lambda x: attend(x, mask_first=False),
        "a function whose first output sees the last token": lambda x: leak(x, 0, x.size(1) - 1),
        "a function that lets only token 2 see token 3": lambda x: leak(x, 2, 3),
        "a function that lets only token 4 see token 5": lambda x: leak(x, 4, 5),
        "a function that lets only token 0 see token 1": lambda x: leak(x, 0, 1),
        "a leak in one of three entries": lambda x: leak(x, 1, 4, entries=slice(2, 3)),
        "a leak of one in a thousand": lambda x: leak(x, 1, 3, size=1e-3),
        "a leak in the second text alone": lambda x: torch.cat([x[:1].cumsum(1), x[1:].flip(1)]),
    } | centred | steps
    said, touched, piled = {}, False, False
    for name, f in (causal | leaky).items():
        given, seen = x.clone(), []

        def spied(x):
            seen.append(x.detach().clone())
            return f(x)

        torch.manual_seed(3)  # the same changes at each call of the check
        result = call(answer, spied, given)
        said[name] = truth(result)
        touched |= not torch.equal(given, x)
        for at in ((other != x).any(-1).any(0).nonzero().flatten().tolist() for other in seen if other.shape == x.shape):
            piled |= len(at) > 1 and T - 1 not in at  # several tokens changed, and not all from one on
    missed, accused = [name for name in leaky if said[name]], [name for name in causal if not said[name]]
    if missed and len(missed) == len(leaky):
        raise Wrong("it never finds a leak, not even " + missed[0] + "; did it change x itself? Change x.clone()")
    if accused and (touched or piled):
        raise Wrong(f"False for {accused[0]}: the changes piled up; take a fresh x.clone() for each token t")
    if accused:
        raise Wrong(f"False for {accused[0]}: a changed token may change its own output and later ones; compare only those before it")
    if missed and set(missed) <= set(steps):
        raise Wrong(f"True for {missed[0]}: at most x its slope is 0, so x as it is, one change or small ones can miss it; try many large random changes")
    if missed and set(missed) <= set(steps | centred):
        raise Wrong(f"True for {missed[0]}: it does not move when all entries move alike; change them at random")
    if missed:
        raise Wrong(f"True for {missed[0]}: change every token in turn, in all its entries and in every text, of the batch as it is given, and compare all outputs before it")
    return f"{len(leaky)} leaks found, {len(causal)} causal functions cleared"


@exercise
def look_one_back(answer):
    for T in (5, 9, 256):
        result = call(answer, T)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise Wrong("return two tensors, q and k")
        q, k = result
        if not all(isinstance(part, torch.Tensor) for part in (q, k)) or q.dim() != 2 or q.shape != k.shape or len(q) != T or not q.numel():
            raise Wrong(f"q and k must be tensors of one shape (T, hs), here with T = {T}")
        scores = q.double() @ k.double().T * q.size(1) ** -0.5
        if not scores.isfinite().all():
            raise Wrong("some scores are not finite: the mask is applied for you, large finite numbers do the rest")
        weights = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf")).softmax(-1)
        back, itself = weights.diagonal(-1), weights.diagonal()[1:]
        reads = weights[2:].argmax(dim=-1) - torch.arange(2, T)
        if (back >= 0.99).all():
            continue
        if (scores[1:-1].argmax(dim=-1) - torch.arange(1, T - 1) == 1).all():
            raise Wrong("the wrong way: the query of i matches the key of i + 1, which is masked")
        if (scores.amax() - scores.amin()) < 1e-9:
            raise Wrong("all scores are equal, which gives the mean: the query of i must match the key of i - 1 only")
        if (reads == 0).all():
            raise Wrong("each token looks at itself: the query of i must match the key of i - 1")
        if (reads == -2).all():
            raise Wrong("two back: the query of i must match the key of i - 1")
        if (back > weights.tril(-2).amax(dim=-1)[1:]).all() and (back > itself).all():
            raise Wrong(f"the right place, but with T = {T} the least weight is {back.min():.2f}: make the scores larger (hs ** -0.5 shrinks them)")
        worst = int(back.argmin()) + 1
        raise Wrong(f"with T = {T} token {worst} gives token {worst - 1} a weight of {back.min():.2f}: its query must match that key only")
    return "a head that looks one back, whatever stands there"


# ----------------------------------------------------------------------------- 03 single_head


@exercise
def head_forward(answer):
    B, T, C, hs, block_size = 2, 5, 12, 3, 8
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, T, C, generator=generator)
    w_query, w_key, w_value = torch.randn(3, C, hs, generator=generator) * C**-0.25
    past = torch.ones(block_size, block_size, dtype=torch.bool).tril()
    causal = look = past[:T, :T]
    q, k, v = x @ w_query, x @ w_key, x @ w_value

    def head(factor=hs**-0.5, look=look, q=q, k=k, dim=-1):
        return (q @ k.transpose(1, 2) * factor).masked_fill(~look, float("-inf")).softmax(dim)

    sizes = (f"x (B, T, C) = {(B, T, C)}, matrices (C, hs) = {(C, hs)}: x @ w_query; transpose only the last two "
             f"axes of k; past is {block_size} × {block_size}, so take past[:T, :T]")
    inputs = (part.clone() for part in (x, w_query, w_key, w_value, past))
    out = call(answer, *inputs, explain={"size": sizes, "shape": sizes})
    nobody = torch.zeros(T, T, dtype=torch.bool)
    compare(out, head() @ v, {
        "these are the weights: multiply them by the values": head(),
        "the values are missing: mix x @ w_value, not x": head() @ x,
        "not scaled: multiply the scores by hs ** -0.5": head(factor=1) @ v,
        "scaled by n_embd: the sum runs over the hs entries of a query": head(factor=C**-0.5) @ v,
        "scaled by T: the sum runs over the hs entries of a query, the last axis": head(factor=T**-0.5) @ v,
        "divided by hs: divide by its root": head(factor=1 / hs) @ v,
        "multiplied by the root of hs: divide by it": head(factor=hs**0.5) @ v,
        "no mask: each row sees the future": head(look=~nobody) @ v,
        "the mask is the wrong way round: masked_fill hides where True, past shows where True; use ~": head(look=~look) @ v,
        "each token must see itself: the diagonal is hidden": head(look=look.tril(-1)) @ v,
        "softmax came before the mask, so rows no longer sum to 1: mask the scores": (head(look=~nobody) * look) @ v,
        "a score of 0 hides nothing, since e^0 = 1: fill with -inf": (q @ k.transpose(1, 2) * hs**-0.5 * look).softmax(-1) @ v,
        "softmax over the queries: each row must sum to 1, so dim=-1": head(dim=1) @ v,
        "softmax over the batch: each row must sum to 1, so dim=-1": head(dim=0) @ v,
        "the mask is transposed: past[i, j] says whether row i may look at column j": head(look=look.T) @ v,
        "queries and keys are swapped: row i belongs to the query of token i": head(q=k, k=q) @ v,
        "keys with keys: the queries are x @ w_query": head(q=k) @ v,
        "queries with queries: the keys are x @ w_key": head(k=q) @ v,
        "the factor belongs on the scores, before softmax": head(factor=1) * hs**-0.5 @ v,
    }, "softmax of the masked, scaled scores, times x @ w_value, is wanted")
    large = call(answer, 10 * x, w_query.clone(), w_key.clone(), w_value.clone(), past.clone())
    with_large_scores(large, head(factor=100 * hs**-0.5) @ (10 * v))

    past = (torch.rand(block_size, block_size, generator=generator) < 0.5) | torch.eye(block_size, dtype=torch.bool)
    look, given = past[:T, :T], past.clone()
    out = call(answer, x.clone(), w_query.clone(), w_key.clone(), w_value.clone(), given)
    compare(out, head(look=look) @ v, {
        "right for a causal mask, but past is not used: hide what past hides, whatever it is": head(look=causal) @ v,
        "past and a causal mask of your own: past alone says what may be read": head(look=look & causal) @ v,
        "the last corner of past: row 0 is the first token, so take past[:T, :T]": head(look=past[-T:, -T:]) @ v,
        "the mask is transposed: past[i, j] says whether row i may look at column j": head(look=look.T) @ v,
    }, "right for a causal mask, but not for another: hide just what past[:T, :T] hides")
    if not torch.equal(given, past):
        raise Wrong("past itself was changed: the next call would get another mask")
    return "a whole head, at any B, T, C and hs, with any mask"


@exercise
def register_mask(answer):
    block_size = 5
    module = torch.nn.Linear(3, 2, bias=False)
    try:
        result = call(answer, module, block_size, explain={
            "gradients": "a parameter is trained, and cannot be boolean: use register_buffer",
        })
    except NotAttempted:
        if hasattr(module, "past"):
            raise Wrong("the module has its mask: now return the module") from None
        raise
    if not isinstance(result, torch.nn.Module):
        raise Wrong(f"it returned a {type(result).__name__}: return the module")
    if result is not module:
        raise Wrong("it returned another module: give the mask to the one you were given")
    past = getattr(result, "past", None)
    if past is None:
        raise Wrong("the module has nothing called past")
    if not isinstance(past, torch.Tensor):
        raise Wrong(f"past is a {type(past).__name__}: a tensor is wanted")
    if "past" in dict(result.named_parameters()):
        raise Wrong("past is a parameter: it is saved, listed among the weights, and trained unless frozen; use register_buffer")
    if "past" not in dict(result.named_buffers()):
        raise Wrong("past is a plain attribute and stays behind when the module moves: use register_buffer")
    if "past" in result.state_dict():
        raise Wrong("past would be saved with the weights: say persistent=False")
    if past.dtype != torch.bool:
        raise Wrong(f"past has dtype {past.dtype}: make it boolean, dtype=torch.bool")
    right = torch.ones(block_size, block_size, dtype=torch.bool).tril()
    compare(past, right, {
        "True marks the future: past is True where a row may look": ~right,
        "the upper triangle: row i may look at columns 0 to i": right.T,
        "each token must see itself: the diagonal belongs to the past": right.tril(-1),
        "True everywhere hides nothing: keep the lower triangle": torch.ones_like(right),
        "a batch axis too many: (block_size, block_size)": right[None],
    }, "past[i, j] must be True for j <= i, else False", what="past")
    return "it moves with the module, and is neither trained nor saved"


@exercise
def embed_batch(answer):
    B, T, C, V, block_size = 3, 5, 4, 7, 9
    generator = torch.Generator().manual_seed(0)
    idx = torch.randint(V, (B, T), generator=generator)
    token_table, position_table = torch.randn(V, C, generator=generator), torch.randn(block_size, C, generator=generator)
    tokens, places = token_table[idx], position_table[:T]
    x = call(answer, idx.clone(), token_table.clone(), position_table.clone(), explain={
        "not callable": "the tables are tensors, not modules: index them with [], as in token_table[idx]",
        "size": f"the text has T = {T} places, position_table {block_size} rows: take the first T",
    })
    compare(x, tokens + places, {
        "only the tokens: add the vectors of their places": tokens,
        "only the places: add the vectors of the tokens": places.expand(B, T, C),
        "these are the vectors of the places alone, without the batch: add token_table[idx]": places,
        "one place for each text: places run along the row, so take the first T rows": tokens + position_table[:B, None],
        "position_table is looked up by id: look it up by place, 0 to T - 1": tokens + position_table[idx],
        "the last T rows: a text starts at place 0, so take the first": tokens + position_table[-T:],
        "the places start at 1: the first is place 0": tokens + position_table[1 : T + 1],
        "every token has place 0: row t of position_table belongs to place t": tokens + position_table[0],
        "every token has the last place: row t of position_table belongs to place t": tokens + position_table[T - 1],
        "place T for all: position_table[:T], with the colon": tokens + position_table[T],
        "the places run backwards: row 0 belongs to the first character": tokens + places.flip(0),
        "side by side: add them, the width stays C": torch.cat([tokens, places.expand(B, T, C)], dim=-1),
        "multiplied: add them": tokens * places,
        "the mean of the two: add them": (tokens + places) / 2,
    }, "the vector of each id plus the vector of its place is wanted")
    return "what stands there, and where"


@exercise
def generate_greedy(answer):
    V, block_size, new = 11, 5, 8

    def model(context):
        """What follows depends on every token of the context and on its place."""
        T = context.size(1)
        if not 1 <= T <= block_size:
            raise ValueError(f"the model was given {T} tokens: at least 1, at most block_size {block_size}")
        ids = ((context + 1) * torch.arange(1, T + 1) ** 2).cumsum(dim=1) % V  # (B, T)
        return -(torch.arange(V) - ids[..., None]).abs().float(), None  # (B, T, V), largest at ids

    def greedy(idx, see=lambda idx: idx[:, -block_size:], last=-1, forget=False, shared=None):
        for _ in range(new):
            idx = idx[:, -block_size:] if forget else idx
            logits = model(see(idx))[0][:, last]  # (B, V)
            likeliest = shared(logits).expand(len(idx)) if shared else logits.argmax(dim=-1)
            idx = torch.cat([idx, likeliest[:, None]], dim=1)
        return idx

    for B, T in ((2, 3), (3, 7)):
        idx = torch.randint(V, (B, T), generator=torch.Generator().manual_seed(T))
        crop = "give it the last block_size tokens"
        one_each = "one new token per row, (B, 1): argmax(dim=-1, keepdim=True) of the (B, V)"
        out = call(answer, model, idx.clone(), new, block_size, explain={
            "were given": crop, "was given": crop, "dimension": one_each, "size": one_each,
            "tuple": "the model returns a pair: logits, _ = model(context)",
        })
        right = greedy(idx)
        if T > block_size and same(out, right[:, T - block_size :]):
            raise Wrong("the prompt was cropped at the start: crop only what the model sees")
        compare(out, right, {
            "the model saw the first block_size tokens: it must see the last": greedy(idx, see=lambda idx: idx[:, :block_size]),
            "the model saw one token too few: crop to block_size": greedy(idx, see=lambda idx: idx[:, 1 - block_size :]),
            "the model saw only the last token: give it the last block_size": greedy(idx, see=lambda idx: idx[:, -1:]),
            "the text itself was cropped: crop only what the model sees": greedy(idx, forget=True),
            "the text was cropped at the end: return all of it": right[:, -block_size:],
            "one argmax for the whole batch: one per row is wanted, argmax(dim=-1)": greedy(idx, shared=torch.argmax),
            "one token for the whole batch: one per row is wanted": greedy(idx, shared=lambda logits: logits[0].argmax()),
            "only the new tokens: return the prompt too": right[:, T:],
            "the logits of the first place: those of the last say what comes next": greedy(idx, last=0),
            "return comes after the loop: max_new_tokens tokens must be added": right[:, : T + 1],
            "it stopped at block_size: only what the model sees is limited": right[:, : max(T, block_size)],
        }, f"a prompt of {T} tokens was not continued by the likeliest token each time (argmax, nothing drawn)")
    return "the model sees a window, the text is kept whole"


@exercise
def hide_one_place(answer):
    T = 7
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    place = torch.arange(T)
    back = place[:, None] - place
    banded = causal & (back != 3)
    scattered = torch.rand(T, T, generator=torch.Generator().manual_seed(0)) < 0.6
    for past, d in ((causal, 2), (causal, 1), (causal, 5), (banded, 2), (banded, 3), (scattered, 2)):
        given = past.clone()
        result = call(answer, given, d)
        if not torch.equal(given, past):
            raise Wrong("past itself was changed: make a new mask, or change past.clone()")
        if isinstance(result, torch.Tensor) and result.dtype != torch.bool:
            raise Wrong(f"the mask has dtype {result.dtype}: it must stay boolean")
        mistakes = {
            "nothing is hidden: row i must not see column i - d": past,
            "only the one place is left: hide it, keep the rest": past & (back == d),
            "all that lies d or more back is hidden: hide only the one place": past & (back < d),
            "all that lies more than d back is hidden: hide only the one place": past & (back <= d),
            "all up to d back is hidden: hide only the one place": past & (back > d),
            "all less than d back is hidden: hide only the one place": past & (back >= d),
            "one too far: itself is 0 back, the one before is 1 back": past & (back != d + 1),
            "one too near: itself is 0 back, the one before is 1 back": past & (back != d - 1),
            "the future is visible: keep what past hides": back != d,
            "column d is hidden from every row: hide column i - d from row i": past & (place != d),
            "row d sees nothing: hide column i - d from row i": past & (place[:, None] != d),
            "only one cell is hidden: every row must lose the one d places back": past & ~((place[:, None] == d) & (place == 0)),
            "the mask is the wrong way round: True where a row may look": ~(past & (back != d)),
            "past is not used: what it hides must stay hidden": causal & (back != d),
            "a causal mask on top of past: all else must stay as it was": past & causal & (back != d),
            "what past hid at that place has become visible: use & instead of ^ or !=": past ^ (back == d),
            "i - d below 0 counts from the end: the first d rows have no such place": past & (back % T != d),
        }
        compare(result, past & (back != d), mistakes, f"with d = {d}, row i must see all that past shows it but column i - {d}", what="the mask")
    return "each row loses one place"


# ----------------------------------------------------------------------------- 04 multi_head


@exercise
def attention_parameters(answer):
    C, nh, hs = 24, 5, 3
    inner = nh * hs
    right = 3 * C * inner + inner * C
    compare(call(answer, C, nh, hs, False), right, {
        "head_size is not n_embd / n_head here: use the head_size given": 4 * C * C,
        "one head only: there are n_head of each matrix": 4 * C * hs,
        "queries, keys and values of one head only: there are n_head of each": 3 * C * hs + inner * C,
        "the projection is missing: from n_head * head_size back to n_embd": 3 * C * inner,
        "the projection has n_head * head_size inputs, not n_embd": 3 * C * inner + C * C,
        "the projection has n_embd outputs, not n_head * head_size": 3 * C * inner + inner * inner,
        "the projection has one row of head_size only: it reads all heads": 3 * C * inner + hs * C,
        "three matrices make queries, keys and values": C * inner + inner * C,
        "there is one projection for all heads together": 3 * C * inner + nh * inner * C,
        "biases are counted though bias is False": right + 3 * inner + C,
    }, "n_embd by n_head * head_size for each of q, k and v, and the projection back")
    compare(call(answer, C, nh, hs, True), right + 3 * inner + C, {
        "with bias=True each matrix has one number more for each of its outputs": right,
        "the projection has a bias too, of n_embd numbers": right + 3 * inner,
        "queries, keys and values have biases too, n_head * head_size each": right + C,
        "the biases of q, k and v are those of one head only": right + 3 * hs + C,
        "queries, keys and values each have a bias: three times n_head * head_size": right + inner + C,
        "the projection has n_embd outputs, so n_embd biases": right + 4 * inner,
        "q, k and v have n_head * head_size outputs, so as many biases, not n_embd": right + 4 * C,
        "one bias for each output entry, not one for each matrix": right + 4,
    }, "without bias right, with bias wrong: one number for each output of each of the four matrices")
    return "the shapes alone decide it, and cutting the same width into more heads changes nothing"


@exercise
def head_contributions(answer):
    B, T, C, nh, hs = 2, 3, 7, 4, 5
    generator = torch.Generator().manual_seed(0)
    out, proj = torch.randn(B, T, nh * hs, generator=generator), torch.randn(C, nh * hs, generator=generator)
    findings, columns = out.chunk(nh, dim=-1), proj.chunk(nh, dim=-1)
    parts = [f @ c.T for f, c in zip(findings, columns)]  # nh times (B, T, C)
    strided = [out[..., h::nh] @ proj[:, h::nh].T for h in range(nh)]
    crossed = torch.stack([out.reshape(B, nh, T, hs)[:, h] @ columns[h].T for h in range(nh)], dim=1)
    got = call(answer, out, proj, nh, explain={"mat1 and mat2": "cut proj_weight along its columns, dim=-1, as you cut out"})
    compare(got, torch.stack(parts, dim=1), {
        "this is their sum, what the projection gives: keep the heads apart": out @ proj.T,
        "(nh, B, T, C): the heads belong in the second place, dim=1": torch.stack(parts),
        "(B, T, nh, C): the heads belong in the second place, dim=1": torch.stack(parts, dim=2),
        "(B, T, nh * C): stack them on an axis of their own, dim=1, do not concatenate": torch.cat(parts, dim=-1),
        "these are the findings: each still has to meet its columns of proj_weight": torch.stack(findings, dim=1),
        "every n_head-th entry was taken: a head's entries lie next to each other": torch.stack(strided, dim=1),
        "out was reshaped to (B, nh, T, hs) at once, which mixes tokens: cut the last axis first": crossed,
        "the sum divided into equal parts: head h has its own entries of out": (out @ proj.T / nh)[:, None].expand(B, nh, T, C),
    }, "head h: its hs entries of out times the hs columns of proj_weight that meet them")
    return "the contributions add up to the projection of the concatenation"


@exercise
def merge_heads(answer):
    B, nh, T, hs = 2, 3, 5, 4
    out = torch.arange(B * nh * T * hs, dtype=torch.float32).view(B, nh, T, hs)
    result = call(answer, out, explain={"view size": "after a transpose use flatten or reshape: view needs the entries in their old order"})
    compare(result, out.transpose(1, 2).flatten(2), {
        "the right shape, but tokens and heads are mixed: bring time before the heads first": out.reshape(B, T, nh * hs),
        "heads and time have changed places; now join the last two axes": out.transpose(1, 2),
        "the heads of a token are interleaved: head 0's entries first, then head 1's": out.permute(0, 2, 3, 1).flatten(2),
        "time is last: the result is (B, T, nh * hs)": out.transpose(2, 3).flatten(1, 2),
        "heads and time are joined: join heads and head_size": out.flatten(1, 2),
        "time and head_size are joined: exchange heads and time first": out.flatten(2),
        "all of a text is joined: exchange heads and time, then join the last two axes only": out.flatten(1),
        "all of a text is joined: join the last two axes only, flatten(2)": out.transpose(1, 2).flatten(1),
        "the wrong two axes are exchanged: heads and time, 1 and 2": out.transpose(2, 3).reshape(B, T, nh * hs),
        "the heads are added up: put them side by side": out.sum(dim=1),
        "the heads are averaged: put them side by side": out.mean(dim=1),
        "(B * T, nh * hs): keep the batch axis": out.transpose(1, 2).reshape(B * T, nh * hs),
    }, "token t of the result is head 0's token t, then head 1's token t, and so on")
    return "each token has its heads side by side again"


@exercise
def pack_heads(answer):
    config = GPTConfig(vocab_size=5, block_size=6, n_layer=1, n_head=3, n_embd=12, dropout=0.0)
    torch.manual_seed(0)
    heads = [Head(config) for _ in range(3)]
    got = call(answer, heads, explain={"Linear": "head.query is a Linear: concatenate matrices, head.query.weight"})
    q, k, v = ([getattr(head, name).weight.detach() for head in heads] for name in ("query", "key", "value"))
    right = torch.cat(q + k + v)
    if isinstance(got, torch.Tensor):
        got = got.detach()
    compare(got, right, {
        "keys come first here, as in Head: the order of qkv is queries, keys, values": torch.cat(k + q + v),
        "the order of qkv is queries, keys, values": torch.cat(v + k + q),
        "values stand before keys: the order of qkv is queries, keys, values": torch.cat(q + v + k),
        "head by head: qkv is split into all queries, then all keys, then all values": torch.cat([w for ws in zip(q, k, v) for w in ws]),
        "head by head, keys first: all queries come first, then all keys, then all values": torch.cat([w for ws in zip(k, q, v) for w in ws]),
        "only the queries: keys and values go below them": torch.cat(q),
        "the heads are in reverse: head 0's rows come first": torch.cat(q[::-1] + k[::-1] + v[::-1]),
        "the first head only": torch.cat([q[0], k[0], v[0]]),
        "transposed: a Linear keeps its outputs as rows": right.T,
        "side by side: concatenate along dim=0, the rows are outputs": torch.cat(q + k + v, dim=1),
        "stacked on new axes: concatenate, so that the shape is (3C, C)": torch.stack([torch.stack(q), torch.stack(k), torch.stack(v)]),
        "queries, keys and values stand side by side: concatenate them along dim=0 too": torch.cat([torch.cat(q), torch.cat(k), torch.cat(v)], dim=1),
        "each matrix is transposed before it is stacked: keep (hs, C), outputs as rows": torch.cat([w.T.reshape(4, 12) for w in q + k + v]),
    }, "all heads' query matrices below each other, then all keys', then all values'")
    return "the fused form computes what the list of heads does"


@exercise
def multi_query(answer):
    B, T, C, nh, hs = 2, 5, 7, 3, 4
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, T, C, generator=generator)
    w_query = torch.randn(C, nh * hs, generator=generator)
    w_key, w_value = torch.randn(2, C, hs, generator=generator)

    def attend(scale=hs**-0.5, mask="before", dim=-1, mix=False, merge="right", swap=False):
        q = x @ w_query
        q = q.reshape(B, nh, T, hs) if mix else q.view(B, T, nh, hs).transpose(1, 2)  # (B, nh, T, hs)
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
            "right": out.transpose(1, 2).flatten(2), "none": out, "view": out.reshape(B, T, nh * hs),
            "interleaved": out.permute(0, 2, 3, 1).flatten(2), "sum": out.sum(dim=1),
        }[merge]

    one_axis = "k and v need an axis of size 1 for the heads: (x @ w_key)[:, None]; only the queries are split"
    got = call(answer, x, w_query, w_key, w_value, nh, explain={"size": one_axis, "shape": one_axis})
    compare(got, attend(), {
        "the mask is missing: every token sees the future": attend(mask=None),
        "True and False of the mask are exchanged: only the future is seen": attend(mask="inverted"),
        "the mask comes after softmax, so the future still counts in each row's sum": attend(mask="after"),
        "softmax over the queries and no mask: the row of a query sums to 1 over its keys, dim=-1": attend(mask=None, dim=-2),
        "softmax over the queries: the row of a query sums to 1 over its keys, dim=-1": attend(dim=-2),
        "a token may read itself: the mask begins one above the diagonal, triu(1)": attend(mask="itself"),
        "the scores are not scaled: multiply by head_size ** -0.5": attend(scale=1.0),
        "scaled by n_embd: the scores are sums over head_size entries": attend(scale=C**-0.5),
        "scaled by all heads' width: the scores are sums over head_size entries": attend(scale=(nh * hs) ** -0.5),
        "divided by head_size: by its square root": attend(scale=1 / hs),
        "multiplied by the root of head_size: divide": attend(scale=hs**0.5),
        "the queries were viewed as (B, nh, T, hs) at once: view (B, T, nh, hs), then transpose": attend(mix=True),
        "the heads were not transposed back before they were joined": attend(merge="view"),
        "neither split nor merge transposes: each head holds pieces of a few tokens": attend(mix=True, merge="view"),
        "the heads' entries are interleaved: head 0's first, then head 1's": attend(merge="interleaved"),
        "(B, nh, T, hs): put the heads side by side, (B, T, nh * hs)": attend(merge="none"),
        "the heads are added up: put them side by side": attend(merge="sum"),
        "keys and values are exchanged": attend(swap=True),
    }, "softmax over the past of q k^T / sqrt(head_size), times v; give k and v an axis of size 1 for the heads")
    with_large_scores(call(answer, 10 * x, w_query, w_key, w_value, nh), 10 * attend(scale=100 * hs**-0.5))
    return "all heads read with one key and one value for each token"


# ----------------------------------------------------------------------------- 05 blocks


def forbidden(message):
    """Stands in for what an exercise wants done without."""

    def refuse(*args, **kwargs):
        raise RuntimeError(message)

    return refuse


@exercise
def layer_norm(answer):
    B, T, C, eps = 2, 5, 7, 0.1  # a large eps, so that its place shows
    ready_made = forbidden("the exercise is to do without nn.LayerNorm and F.layer_norm")
    generator = torch.Generator().manual_seed(0)
    x = 1.5 + 0.5 * torch.randn(B, T, C, generator=generator)
    weight, some_bias = torch.randn(2, C, generator=generator)
    for bias in (some_bias, None):

        def norm(dim=-1, correction=0, centre=True, scale=None):
            mean = x.mean(dim, keepdim=True) * centre
            variance = x.var(dim, keepdim=True, correction=correction) if centre else x.square().mean(dim, keepdim=True)
            return finish((x - mean) / ((variance + eps).sqrt() if scale is None else scale(variance)))

        def finish(out):
            return out * weight + (0 if bias is None else bias)

        given = x.clone()
        try:
            functional = mock.patch.object(torch.nn.functional, "layer_norm", ready_made)
            with functional, mock.patch.object(torch, "layer_norm", ready_made):
                result = call(answer, given, weight.clone(), None if bias is None else bias.clone(), eps)
        except Wrong as error:
            if "ambiguous" in str(error):
                raise Wrong(f"{error} (ask `bias is not None`: a tensor of several numbers is neither true nor false)") from None
            if "NoneType" in str(error):
                raise Wrong(f"{error} (bias may be None: then nothing is added)") from None
            if "size" in str(error) or "shape" in str(error):
                raise Wrong(f"{error} (x.mean(dim=-1) has lost the last axis: keepdim=True keeps it as 1)") from None
            raise
        compare(result, norm(), {
            "the variance was divided by C - 1: it is the mean of the squares, so var(correction=0)": norm(correction=1),
            "mean and variance over all tokens of a text: each token by itself, dim=-1": norm(dim=(1, 2)),
            "mean and variance over the whole batch: each token by itself, dim=-1": norm(dim=(0, 1, 2)),
            "mean and variance of all numbers, x.mean() and x.var(): each token by itself, dim=-1": norm(dim=(0, 1, 2), correction=1),
            "mean and variance over the tokens: over the C entries of each token, dim=-1": norm(dim=1),
            "mean and variance over the texts of the batch: over the C entries of each token, dim=-1": norm(dim=0),
            "this is batch normalisation: over the C entries of each token, dim=-1": norm(dim=(0, 1)),
            "the mean is not subtracted": norm(centre=False),
            "the mean was not subtracted above the line, only for the variance": finish(x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()),
            "divided by the variance: divide by its root": norm(scale=lambda v: v + eps),
            "eps was added to the root: add it to the variance, under the root": norm(scale=lambda v: v.sqrt() + eps),
            "eps was added to the root, and the variance divided by C - 1: (variance + eps) under the root, var(correction=0)": norm(
                correction=1, scale=lambda v: v.sqrt() + eps
            ),
            "eps is left out": norm(scale=lambda v: v.sqrt()),
            "eps is left out, and the variance was divided by C - 1: var(correction=0)": norm(correction=1, scale=lambda v: v.sqrt()),
            "only the mean is subtracted: divide by the root of the variance": norm(scale=lambda v: 1.0),
            "the weight is left out": (norm() - (0 if bias is None else bias)) / weight + (0 if bias is None else bias),
            **({} if bias is None else {
                "the bias is left out": norm() - bias,
                "weight and bias are left out": (norm() - bias) / weight,
                "the bias came before the weight: multiply first": ((norm() - bias) / weight + bias) * weight,
            }),
        }, "(x - mean) / sqrt(variance + eps) * weight + bias is wanted, mean and variance over the last axis")
        if not torch.equal(given, x):
            raise Wrong("the input itself was changed, by -= or x[...] =: write deviation = x - ..., which makes a new tensor")
    return "each token by itself, with a bias and without"


@exercise
def block_forward(answer):
    B, T, C = 2, 5, 7
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(B, T, C, generator=generator)
    m_1, m_2, m_attn, m_mlp = torch.randn(4, C, C, generator=generator) * C**-0.5
    past = torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]

    def ln(m):  # two different norms, so that taking one twice shows
        return lambda x: torch.nn.functional.layer_norm(x, (C,)) @ m

    def attn(x):
        return past @ x @ m_attn

    def mlp(x):
        return torch.nn.functional.gelu(x @ m_mlp)

    def zero(x):
        return torch.zeros_like(x)

    ln_1, ln_2 = ln(m_1), ln(m_2)
    x = start
    h = x + attn(ln_1(x))
    given = x.clone()
    result = call(answer, given, ln_1, attn, ln_2, mlp)
    n = ln_1(x) + attn(ln_1(x))
    post = ln_1(x + attn(x))
    f = x + mlp(ln_1(x))
    compare(result, h + mlp(ln_2(h)), {
        "norm after the addition: that is post-norm; normalise what each sublayer reads": ln_2(post + mlp(post)),
        "nothing is added to x: both residual connections are missing": mlp(ln_2(attn(ln_1(x)))),
        "the first residual connection is missing: add attention's output to x": attn(ln_1(x)) + mlp(ln_2(attn(ln_1(x)))),
        "the second residual connection is missing: add the feed-forward output to what it read from": mlp(ln_2(h)),
        "side by side: the feed-forward layer must read what attention has added": x + attn(ln_1(x)) + mlp(ln_2(x)),
        "what attention added is lost: add the feed-forward output to the new x, not to the old": x + mlp(ln_2(h)),
        "the sum starts from the normalised x: the stream itself is never normalised": n + mlp(ln_2(n)),
        "the sum starts from the normalised x, both times: the stream itself is never normalised": ln_2(n) + mlp(ln_2(n)),
        "without the norms: each sublayer reads a normalised x": (x + attn(x)) + mlp(x + attn(x)),
        "the second norm is missing": h + mlp(h),
        "the first norm is missing": x + attn(x) + mlp(ln_2(x + attn(x))),
        "ln_1 was used twice": h + mlp(ln_1(h)),
        "the norms are swapped: ln_1 belongs to attention": x + attn(ln_2(x)) + mlp(ln_1(x + attn(ln_2(x)))),
        "the feed-forward layer came first: attention does": x + mlp(ln_2(x)) + attn(ln_1(x + mlp(ln_2(x)))),
        "the feed-forward layer came first, with attention's norm: attention comes first": f + attn(ln_2(f)),
        "the sublayers' outputs are normalised: normalise what they read": x + ln_1(attn(x)) + ln_2(mlp(x + ln_1(attn(x)))),
        "x came in twice: x + attention already holds it": h + x + mlp(ln_2(h)),
        "only attention so far: the feed-forward layer is missing": h,
    }, "x = x + attn(ln_1(x)), then x + mlp(ln_2(x)), is wanted")
    if not torch.equal(given, start):
        raise Wrong("the input itself was changed, by += or x[...] =: write x = x + ..., which makes a new tensor")
    if not torch.equal(call(answer, start.clone(), ln_1, zero, ln_2, zero), start):
        raise Wrong("with sublayers that return 0 the block must give back x exactly")
    return "and with silent sublayers it is the identity"


@exercise
def dropout(answer):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, generator=generator)
    for p in (0.3, 0.6):
        keep = torch.rand(3, 5, generator=generator) > p
        right = x * keep / (1 - p)
        given = x.clone()
        compare(call(answer, given, p, keep.clone(), True), right, {
            "in training the survivors must be larger, so that the mean stays: divide by 1 - p, and outside of it return x as it is": x * keep,
            "divided by p: a share of 1 - p survives, so divide by 1 - p": x * keep / p,
            "multiplied by 1 - p: divide by it": x * keep * (1 - p),
            "multiplied by p: divide by 1 - p": x * keep * p,
            "keep is True where an entry survives: it was taken the wrong way round": x * ~keep / (1 - p),
            "keep was taken the wrong way round, and the survivors must be divided by 1 - p": x * ~keep,
            "divided by the share that happened to survive: divide by 1 - p": x * keep / keep.float().mean(),
            "multiplied by 1 + p: divide by 1 - p": x * keep * (1 + p),
            "nothing was dropped in training: training and evaluation are swapped?": x,
            "nothing was dropped: all entries divided by 1 - p": x / (1 - p),
            "only the survivors, without the zeros: the shape must stay": (x / (1 - p))[keep],
        }, "in training: 0 where keep is False, x / (1 - p) where it is True", what="the training answer")
        if not torch.equal(given, x):
            raise Wrong("the input itself was changed, by *= or x[...] =: write out = x * ..., which makes a new tensor")
        compare(call(answer, x.clone(), p, keep.clone(), False), x, {
            "dropped outside of training too: if not training, return x": right,
            "dropped outside of training, though not scaled: if not training, return x": x * keep,
            "scaled outside of training: the survivors were already made larger, so return x": x * (1 - p),
            "divided by 1 - p outside of training: return x as it is": x / (1 - p),
            "zeros outside of training: return x as it is": torch.zeros_like(x),
        }, "outside of training x must come back unchanged", what="the answer for training=False")
    return "the mean stays, and outside of training nothing happens"


@exercise
def count_parameters(answer):
    gpt2 = GPTConfig(vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768, bias=True)
    for config in (
        GPTConfig(vocab_size=11, block_size=8, n_layer=3, n_head=5, n_embd=20, bias=False),
        GPTConfig(vocab_size=13, block_size=9, n_layer=2, n_head=3, n_embd=12, bias=True),
        gpt2,
    ):
        with mock.patch.object(torch.nn.Module, "__init__", forbidden("by arithmetic alone, without building a model")):
            got = call(answer, config)
        V, T, L, C = config.vocab_size, config.block_size, config.n_layer, config.n_embd
        biases = config.bias * C  # a vector of C
        block = 12 * C**2 + 2 * C + 11 * biases
        right = V * C + T * C + L * block + C + biases
        mistakes = {
            "an output head of V × C too many: it is tied, so it has no numbers of its own": V * C,
            "an output head with a bias too many: it is tied, so it has no numbers of its own": V * C + V,
            "an output bias of V too many: the tied output has none": V,
            "the token embedding is missing: V × C": -V * C,
            "the position embedding is missing: block_size × C": -T * C,
            "both embeddings are missing: (V + block_size) × C": -(V + T) * C,
            "the last LayerNorm is missing": -C - biases,
            "the blocks' LayerNorms are missing: two in each block": -L * 2 * (C + biases),
            "all LayerNorms are missing: two in each block and one at the end": -(2 * L + 1) * (C + biases),
            "each block has two LayerNorms, one was counted": -L * (C + biases),
            "attention's output projection is missing: C × C": -L * (C**2 + biases),
            "attention has three matrices for q, k, v and one projection: one C × C was counted": -L * 3 * C**2,
            "the feed-forward layer goes up to 4C and back: 8 C²": -L * 4 * C**2,
            "one block was counted: there are n_layer": (1 - L) * block,
            "the blocks are counted n_head times: heads divide the same matrices": L * (config.n_head - 1) * block,
        }
        if config.bias:
            linear, norms = 9 * biases, 2 * biases
            mistakes = {  # first: what goes for both values of bias was right for the config before
                "no biases: config.bias is True here": -L * 11 * biases - biases,
                "the LayerNorms' biases are missing": -L * norms - biases,
                "the Linears' biases are missing: 3C + C + 4C + C in each block": -L * linear,
                "attention's biases are missing in each block: 3C for qkv and C for proj": -L * 4 * biases,
                "qkv has 3C outputs, so its bias has 3C entries (or the two LayerNorms in each block have no bias yet)": -L * 2 * biases,
                "the wide feed-forward matrix has 4C outputs, so its bias has 4C entries": -L * 3 * biases,
                "5C too few in each block: the feed-forward biases (4C + C) are missing, or qkv and the wide matrix have one of C instead of 3C and 4C": -L * 5 * biases,
                "the last LayerNorm has a bias too": -biases,
            } | mistakes
        else:
            mistakes |= {
                "biases were counted, but config.bias is False here": L * 11 * C + C,
                "biases of the LayerNorms were counted, but config.bias is False here": (2 * L + 1) * C,
                "biases of the Linears were counted, but config.bias is False here": L * 9 * C,
            }
        mistakes = {hint: right + difference for hint, difference in mistakes.items()}
        compare_number(got, right, mistakes, f"the parameters of {config}")
    return f"{right:,} for GPT-2's smallest, to the last one"


# ----------------------------------------------------------------------------- 06 full_training


@exercise
def own_gradient(answer):
    def fresh_before(model, optimizer, x, y):
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def fresh_after(model, optimizer, x, y):
        model(x, y)[1].backward()
        optimizer.step()
        optimizer.zero_grad()

    def set_to_zero(model, optimizer, x, y):
        model.zero_grad(set_to_none=False)
        model(x, y)[1].backward()
        optimizer.step()

    def never(model, optimizer, x, y):
        model(x, y)[1].backward()
        optimizer.step()

    def too_late(model, optimizer, x, y):
        model(x, y)[1].backward()
        optimizer.zero_grad()
        optimizer.step()

    def all_but(share):
        """A step that clears all gradients but that of the parameter at this share of their list."""
        def step(model, optimizer, x, y):
            parameters = list(model.parameters())
            kept = parameters[round(share * (len(parameters) - 1))]
            for parameter in parameters:
                parameter.grad = parameter.grad if parameter is kept else None
            model(x, y)[1].backward()
            optimizer.step()

        return step

    forgets_one = "a step that clears all gradients but one was called right: look at every parameter"

    cases = (
        (fresh_before, True, "a right step was called wrong, one that calls zero_grad just before backward"),
        (never, False, "a step that never calls zero_grad was called right: in the first step there is nothing to add to, so "
         "look at two in a row, with different batches"),
        (fresh_after, True, "a right step was called wrong, one that calls zero_grad at its end: that serves the next step as well"),
        (set_to_zero, True, "a right step was called wrong: zeros in .grad are as good as None"),
        (too_late, False, "a step that calls zero_grad after backward was called right: it never moves the weights"),
        *((all_but(share), False, forgets_one) for share in (0, 0.5, 1)),
    )
    none = {"NoneType": "a parameter's .grad is None until the first backward, and again after zero_grad"}
    with torch.enable_grad():  # notebook 07 switches gradients off
        got = [(call(answer, step, explain=none), right, hint) for step, right, hint in cases]
    results = [truth(result) for result, _, _ in got]
    if len(set(results)) == 1:
        raise Wrong(f"{results[0]} for every step: three of the eight tried here are right, five wrong")
    if results == [not right for _, right, _ in got]:
        raise Wrong("the wrong way round: True for a step that uses its own batch's gradient alone")
    for result, (_, right, hint) in zip(results, got):
        if result != right:
            raise Wrong(hint)
    return "three right steps passed, five wrong ones did not"


@exercise
def learning_rate(answer):
    steps, warmup, high, low = 50, 10, 0.8, 0.1

    def curve(rise=lambda s: (s + 1) / warmup * high, start=warmup, end=steps, bend=lambda d: (1 + math.cos(math.pi * d)) / 2,
              low=low, reach=high - low, begin=warmup):
        return torch.tensor([rise(s) if s < begin else low + reach * bend((s - start) / (end - start)) for s in range(steps)])

    got = [call(answer, s, steps, warmup, high, low) for s in range(steps)]
    try:
        got = torch.stack([torch.as_tensor(rate, dtype=torch.float32).reshape(()) for rate in got])
    except Exception:
        raise Wrong("return one number, the learning rate of this step") from None
    compare(got, curve(), {
        "step 0 has a learning rate of 0, so it does nothing: take (step + 1) / warmup": curve(lambda s: s / warmup * high),
        "the warm-up starts at low: it starts near 0": curve(lambda s: low + (s + 1) / warmup * (high - low)),
        "the warm-up starts at low, and below the first step: it is (step + 1) / warmup of high": curve(
            lambda s: low + s / warmup * (high - low)),
        "there is no warm-up: the first `warmup` steps rise to high": curve(start=0, begin=0),
        "no warm-up, though the cosine waits for it: the first `warmup` steps rise to high": curve(lambda s: high),
        "the cosine began at step 0: it begins when the warm-up is over, so count step - warmup of steps - warmup": curve(start=0),
        "the cosine reaches low too early: divide step - warmup by steps - warmup": curve(end=steps - warmup),
        "the cosine reaches low one step too early: d is 1 in step `steps`, just after the last": curve(end=steps - 1),
        "the cosine does not reach low: divide step - warmup by steps - warmup, not by steps": curve(end=steps + warmup),
        "step `warmup` belongs to the cosine: its rate is high, not more": curve(begin=warmup + 1),
        "it goes down to 0: it must end at low": curve(low=0.0, reach=high),
        "after the warm-up it jumps above high: the part that sinks is high - low": curve(reach=high),
        "a straight line down: half a cosine is wanted": curve(bend=lambda d: 1 - d),
        "it rises after the warm-up: (1 + cos) / 2 goes from 1 to 0, (1 - cos) / 2 the other way": curve(
            bend=lambda d: (1 - math.cos(math.pi * d)) / 2),
        "a whole cosine, down and up again: half of one is wanted, so π and not 2π": curve(
            bend=lambda d: (1 + math.cos(2 * math.pi * d)) / 2),
        "the cosine without π: from 0 to 1 it hardly bends": curve(bend=lambda d: (1 + math.cos(d)) / 2),
        "cos goes down to -1, so the rate goes below low: halve 1 + cos": curve(bend=lambda d: math.cos(math.pi * d)),
        "1 + cos is 2 at first: halve it": curve(bend=lambda d: 1 + math.cos(math.pi * d)),
        "it stays at high after the warm-up: bring it down to low": curve(bend=lambda d: 1.0),
        "the whole is multiplied by (step + 1) / steps: the warm-up takes `warmup` steps": torch.arange(1, steps + 1) / steps * high,
    }, "a straight line to high in `warmup` steps, then low + (high - low) (1 + cos(π d)) / 2 with d from 0 to 1 is wanted",
        "the curve over 50 steps")
    other = [0.5 * (s + 1) / 4 if s < 4 else 0.2 + 0.3 * (1 + math.cos(math.pi * (s - 4) / 26)) / 2 for s in range(30)]
    if not same([float(call(answer, s, 30, 4, 0.5, 0.2)) for s in range(30)], other):
        raise Wrong("right for 50 steps, 10 of them warm-up, and for no others: use the arguments, no numbers of your own")
    return "up in a straight line, down in half a cosine"


@exercise
def needed_to_resume(answer):
    answer = call(answer) if callable(answer) or answer is ... else answer
    try:
        parts = {answer} if isinstance(answer, str) else set(answer)
    except TypeError:
        raise Wrong(f"it is a {type(answer).__name__}: a set of words is wanted, such as {{\"weights\", \"time\"}}") from None
    missing = {  # in the order in which they hurt
        "weights": "without the weights nothing that was learned is there",
        "optimizer": "AdamW remembers averages of the gradients: without them its first steps go elsewhere",
        "step": "the schedule goes by the number of the step: without it the warm-up begins again",
        "batches": "without the state of the batch generator the first batches come a second time",
        "dropout": "dropout draws from the global generator: without its state other entries are dropped",
    }
    extra = {
        "gradients": "zero_grad clears them before the next batch's are added",
        "logits": "they are computed anew from each batch",
        "time": "no number in the weights depends on the clock",
    }
    unknown = [part for part in parts if part not in missing and part not in extra]
    if unknown:
        raise Wrong(f"{unknown[0]!r} is none of {', '.join(sorted({**missing, **extra}))}")
    for part, reason in missing.items():
        if part not in parts:
            raise Wrong(f"{part!r} is missing: {reason}")
    for part, reason in extra.items():
        if part in parts:
            raise Wrong(f"{part!r} need not be kept: {reason}")
    return "five parts, and each has a memory"


@exercise
def flops_per_token(answer):
    for config in (
        GPTConfig(vocab_size=11, block_size=8, n_layer=3, n_head=5, n_embd=20),
        GPTConfig(vocab_size=13, block_size=33, n_layer=2, n_head=3, n_embd=12),
    ):
        V, T, L, C = config.vocab_size, config.block_size, config.n_layer, config.n_embd

        def total(qkv=6, proj=2, mlp=16, attention=4 * T, head=2 * V * C, times=3, layers=L):
            return times * (layers * ((qkv + proj + mlp) * C**2 + attention * C) + head)

        got = call(answer, config)
        n = V * C + T * C + L * (12 * C**2 + 2 * C) + C
        mistakes = {
            "this is the forward pass alone: the backward pass costs twice as much again": total(times=1),
            "the backward pass costs twice the forward pass, so three times in all, not twice": total(times=2),
            "multiplications alone were counted: each comes with an addition, so twice as many": total() / 2,
            "forward pass alone, multiplications alone: six times as many": total() / 6,
            "the attention's two products over T are missing: 2 T C each": total(attention=0),
            "attention has two products over T, scores and the weighted sum, both in full: one was counted, or half of each": total(attention=2 * T),
            "over T each product is 2 T C per token and layer, over all heads; there are two of them": total(attention=8 * T),
            "the heads were counted n_head times: together they are C wide": total(attention=4 * T * config.n_head),
            "one head's size was taken for C in the attention's products: all heads together are C wide": total(
                attention=4 * T / config.n_head),
            "T squared is for all T tokens of a window: for one token it is T": total(attention=4 * T * T),
            "the output head is missing: C × V": total(head=0),
            "one block was counted: there are n_layer": total(layers=1),
            "attention's output projection is missing": total(proj=0),
            "queries, keys and values are three matrices of C × C": total(qkv=2),
            "the feed-forward layer has two matrices of C × 4C": total(mlp=8),
            "this is 6 × the parameters: an estimate for large models; it counts the position embedding, which is only added, and "
            "leaves out the attention's products": 6 * n,
            "2 × the parameters: an estimate of the forward pass alone": 2 * n,
            "this is for a whole window: divide by T": total() * T,
            "the token embedding is looked up, not multiplied: it costs nothing on the way in": total(head=4 * V * C),
        }
        compare_number(got, total(), mistakes, f"FLOPs per token of {config}")
    return "as torch counts them"


# ----------------------------------------------------------------------------- 07 generation


@exercise
def with_temperature(answer):
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.5, 3.0, -2.0, 2.5], [-1.0, -3.0, 0.0, -0.5]])  # (B, V)

    def softmax(scores, dim=-1):
        return torch.nn.functional.softmax(scores, dim=dim)

    for temperature in (0.5, 2.0):
        given = logits.clone()
        p = softmax(logits)
        compare(call(answer, given, temperature), softmax(logits / temperature), {
            "multiplied by the temperature: divide, so that a high one makes the logits alike": softmax(logits * temperature),
            "the probabilities were divided: divide the logits, then softmax": p / temperature,
            "the probabilities were divided and made to sum to 1 again, which changes nothing: divide the logits": p,
            "softmax twice: divide the logits, then one softmax": softmax(p / temperature),
            "softmax over the batch: each row by itself, dim=-1": softmax(logits / temperature, dim=0),
            "these are logits still: softmax makes probabilities of them": logits / temperature,
            "the temperature was subtracted, which softmax does not notice: divide": softmax(logits - temperature),
            "p ** temperature: the power is 1 / temperature": p**temperature,
            "p ** (1 / temperature) does not sum to 1 yet: divide by the row's sum": p ** (1 / temperature),
        }, f"softmax(logits / temperature) is wanted, at temperature {temperature}")
        if not torch.equal(given, logits):
            raise Wrong("the logits themselves were changed, by /=: write logits / temperature, which makes new ones")
    division = {
        "division by zero": "temperature 0 needs a line of its own: probability 1 for the likeliest",
        "Class values": "the likeliest of each row is wanted, argmax(dim=-1)",
    }
    greedy = call(answer, logits.clone(), 0, explain=division)
    likeliest = logits.argmax(dim=-1)
    if isinstance(greedy, torch.Tensor) and greedy.isnan().any():
        raise Wrong("at temperature 0 it divides by zero (nan): probability 1 for the likeliest, as a case of its own")
    compare(greedy, torch.nn.functional.one_hot(likeliest, 4), {
        "at temperature 0 these are the ids: probabilities are wanted, 1 for the likeliest and 0 for all others": likeliest,
        "at temperature 0 these are the ids: probabilities (B, V) are wanted": likeliest[:, None],
        "temperature 0 is not 1: all the probability goes to the likeliest": softmax(logits),
        "at temperature 0 one row was taken for all: the likeliest of each row, dim=-1": torch.eye(4)[logits.argmax() % 4].expand(3, 4),
    }, "at temperature 0 each row must have 1 for its likeliest and 0 for all others", what="the answer for temperature 0")
    if not torch.as_tensor(greedy).is_floating_point():
        raise Wrong("at temperature 0 these are whole numbers: make them floating-point, .float(), as all probabilities are")
    close = torch.tensor([[1.0, 1.000001, 0.0, -1.0], [2.0, 0.5, -1.0, 2.0]])  # a near tie, a tie
    near, tie = torch.as_tensor(call(answer, close.clone(), 0)).double()
    if not same(near, [0, 1, 0, 0]):
        raise Wrong("temperature 0 is the limit, not a very small temperature: of two nearly equal logits the larger still gets all")
    if not same(tie.sum(), 1) or not same(tie[[1, 2]], [0, 0]):
        raise Wrong("at temperature 0 two equal logits got probability 1 each: a row must sum to 1, so take one of them (argmax)")
    return "and temperature 0 is greedy"


@exercise
def keep_top_p(answer):
    probs = torch.tensor([  # (B, V), in no order; the rows keep different numbers of tokens
        [0.05, 0.15, 0.50, 0.20, 0.10],
        [0.02, 0.90, 0.03, 0.01, 0.04],
        [0.19, 0.21, 0.18, 0.22, 0.20],
    ])
    logits = probs.log() + torch.tensor([[3.0], [-2.0], [2.0]])  # no logarithms of probabilities any more

    def dropped(p, values=probs, descending=True, late=0):
        """Where the sum of those before is p already, `late` places further on."""
        ordered, order = values.sort(dim=-1, descending=descending)
        drop = ordered.cumsum(dim=-1) - ordered >= p
        drop = torch.nn.functional.pad(drop, (late, 0))[:, : drop.size(1)]
        return torch.zeros_like(drop).scatter(-1, order, drop)

    for p in (0.75, 0.3, 1.0):
        given = logits.clone()
        got = call(answer, given, p, explain={"must match the size": "a sum over a row needs keepdim=True"})
        if not isinstance(got, torch.Tensor) or got.shape != logits.shape:
            kind = f"shape {tuple(got.shape)}" if isinstance(got, torch.Tensor) else f"a {type(got).__name__}"
            raise Wrong(f"the answer is {kind}: logits of shape {tuple(logits.shape)} are wanted, -inf for what is dropped")
        if not torch.equal(given, logits):
            raise Wrong("the logits themselves were changed: masked_fill, without the underscore, makes new ones")
        right, drop = dropped(p), torch.isneginf(got)
        ordered = probs.sort(dim=-1, descending=True).values
        everything = probs.flatten()[None] / 3
        short = torch.zeros_like(right).scatter(-1, probs.argsort(dim=-1, descending=True), ordered.cumsum(dim=-1) > p)
        mistakes = {
            "the token that reaches p was dropped: drop where the sum of those *before* a token is p already": short,
            "one token too many stays: the set is complete as soon as its sum reaches p": dropped(p, late=1),
            "the mask is in sorted order: scatter it back to where each token stands": ordered.cumsum(dim=-1) - ordered >= p,
            "the least likely were kept: sort with descending=True; if you do, sum along each row, not down the batch, cumsum(dim=-1)": dropped(p, descending=False),
            "gather is not the inverse of sort: use scatter (or gather with order.argsort(-1))": (
                ordered.cumsum(dim=-1) - ordered >= p
            ).gather(-1, probs.argsort(dim=-1, descending=True)),
            "the sum ran down the batch: along each row, cumsum(dim=-1)": torch.zeros_like(right).scatter(
                -1, probs.argsort(dim=-1, descending=True), ordered.cumsum(dim=0) - ordered >= p
            ),
            "the kept and the dropped are swapped": ~right,
            "each token was compared with p by itself: add up the likeliest until they reach p": probs < p,
            "each token was compared with 1 - p by itself: add up the likeliest until they reach p": probs < 1 - p,
            "one threshold for the whole batch: each row by itself, dim=-1": dropped(p, everything).view(3, 5),
            "the sum ran over the logits: softmax first": dropped(p, logits),
            "softmax over the batch: each row by itself, dim=-1": dropped(p, torch.nn.functional.softmax(logits, dim=0)),
        }
        if right.any() and not drop.any():
            if same(got[~right], logits[~right]) and not same(got, logits):
                raise Wrong("what is dropped got a finite number: -inf is the one that softmax always makes 0")
            if (got >= 0).all() and (got <= 1).all():
                raise Wrong("these are probabilities: return logits, with -inf for what is dropped")
            raise Wrong(f"with p = {p} nothing was dropped")
        for hint, wrong in mistakes.items():
            if torch.equal(drop, wrong) and not torch.equal(wrong, right):
                raise Wrong(hint)
        if not torch.equal(drop, right):
            kept, wanted = ((~mask).sum(dim=-1).tolist() for mask in (drop, right))
            if kept == wanted:
                raise Wrong(f"with p = {p} the rows keep {kept} tokens, as they should, but not the likeliest")
            raise Wrong(f"with p = {p} the rows should keep {wanted} tokens, not {kept}")
        softmax = torch.nn.functional.softmax(got, dim=-1)
        kept = probs.masked_fill(right, 0)
        compare(softmax, kept / kept.sum(dim=-1, keepdim=True), {
            "what stays are probabilities: return their logits as they were": torch.nn.functional.softmax(probs.masked_fill(right, -torch.inf), -1),
        }, "the right tokens stay, but not with their own logits")
    for p, wanted in ((0.25, 1), (0.5, 2)):  # powers of two: these sums are exact
        kept = int((~torch.isneginf(call(answer, torch.zeros(1, 4), p))).sum())
        if kept == 4:
            raise Wrong(f"of four equal logits all stay at p = {p}, not {wanted}: a threshold cannot tell them apart; "
                        "decide in sorted order, and scatter what is dropped back")
        if kept != wanted:
            raise Wrong(f"from 0.25, 0.25, 0.25, 0.25 it keeps {kept} at p = {p}, not {wanted}: a sum equal to p has reached it, >= and not >")
    return "each row keeps as many as it needs"


@exercise
def attend_one(answer):
    B, nh, block_size, hs = 2, 3, 7, 5
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    for length, rubbish in ((4, 1.0), (0, 1.0), (6, 1.0), (4, torch.nan)):
        q, k, v = (draw(B, nh, 1, hs) for _ in range(3))
        keys, values = 3 * draw(B, nh, block_size, hs), draw(B, nh, block_size, hs)
        keys[:, :, length:] *= rubbish  # what no token wrote yet; torch.empty may hold nan
        values[:, :, length:] *= rubbish
        after_k, after_v = keys.clone(), values.clone()
        after_k[:, :, length : length + 1], after_v[:, :, length : length + 1] = k, v

        def attend(to_k, to_v, scale=hs**-0.5, dim=-1):
            weights = torch.nn.functional.softmax(q @ to_k.transpose(-2, -1) * scale, dim=dim)
            return weights @ to_v

        given_k, given_v = keys.clone(), values.clone()
        got = call(answer, q.clone(), k.clone(), v.clone(), given_k, given_v, length, explain={
            "must match": "the stores' axes are (B, nh, block_size, hs): the tokens stand in the third",
            "number of sizes": "keys[:, :, length] has no axis for the token: keys[:, :, length : length + 1] has",
        })
        n = length + 1
        right_k, right_v = after_k[:, :, :n], after_v[:, :, :n]
        if isinstance(got, torch.Tensor) and got.isnan().any() and rubbish != 1.0:
            raise Wrong("right while the rows that no token wrote hold numbers; but they may hold nan, and a weight of 0 times nan is nan: "
                        "read only the first length + 1 rows")
        mistakes = {
            "it read the whole store, rubbish and all: only the first length + 1 places hold tokens": attend(after_k, after_v),
            "the token does not see itself: after writing, the first length + 1 places count": attend(keys[:, :, :length], values[:, :, :length])
            if length else torch.zeros(0),
            "is_causal=True lines up the one query with the first key, so it sees that alone: no mask is needed": attend(
                right_k[:, :, :1], right_v[:, :, :1]
            ),
            "the new key and value did not stand at place `length` when it read: write them there first": attend(keys[:, :, :n], values[:, :, :n]),
            "the new key was not written before reading": attend(keys[:, :, :n], right_v),
            "the new value was not written before reading": attend(right_k, values[:, :, :n]),
            "k and v are swapped": attend(right_v, right_k),
            "not scaled: multiply the scores by head_size ** -0.5": attend(right_k, right_v, scale=1.0),
            "scaled by block_size: by head_size ** -0.5": attend(right_k, right_v, scale=block_size**-0.5),
            "scaled by the number of tokens: by head_size ** -0.5": attend(right_k, right_v, scale=n**-0.5),
            "softmax over the queries: over the keys, dim=-1": attend(right_k, right_v, dim=-2),
            "it only looked at itself: all keys in the store are its past": v,
            "one place too many was read: length + 1 places hold tokens": attend(after_k[:, :, : n + 1], after_v[:, :, : n + 1])
            if length < block_size - 1 else torch.zeros(0),
        }
        compare(got, attend(right_k, right_v), mistakes, "softmax(q · keys / sqrt(hs)) · values is wanted, over the tokens held and the new one", what="the output")
        for name, store, before, after in (("key", given_k, keys, after_k), ("value", given_v, values, after_v)):
            if torch.equal(store.nan_to_num(), before.nan_to_num()):
                raise Wrong(f"the output is right, but the new {name} was not written into the store: the next token will miss it")
            if not torch.equal(store.nan_to_num(), after.nan_to_num()):
                raise Wrong(f"the output is right, but the store of {name}s has changed elsewhere than at place {length}")
    return "one query, all its past, no mask; and the next token finds the new key"


@exercise
def cache_bytes(answer):
    configs = (
        (GPTConfig(vocab_size=11, block_size=7, n_layer=3, n_head=5, n_embd=20), 13, 4),
        (GPTConfig(), 1, 4),
        (GPTConfig(vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768, bias=True), 8, 2),
    )
    for config, B, size in configs:
        got = call(answer, config, B, size)
        L, T, C, nh, V = config.n_layer, config.block_size, config.n_embd, config.n_head, config.vocab_size
        right = 2 * L * B * T * C * size
        mistakes = {
            "keys or values alone: the cache holds both": right // 2,
            "queries were counted too: only keys and values are read again": right * 3 // 2,
            "one layer: each of the n_layer has its own": right // L,
            "one text: each of the batch has its own": right // B,
            "numbers, not bytes: each takes bytes_per_number": right // size,
            "bits: bytes are wanted": right * 8,
            "block_size was counted twice: one key and one value for each of block_size tokens": right * T,
            "4 bytes a number, whatever it is given: bytes_per_number": right // size * 4,
            "bytes_per_number was counted twice": right * size,
            "one head's share: n_head heads of head_size make n_embd": right // nh,
            "n_head and n_embd were both counted: n_embd holds all heads already": right * nh,
            "one token: there is room for block_size of them": right // T,
            "the attention weights (T × T) are not kept: only keys and values": right // C * T,
            "vocab_size has no part in it: the entries of a key are n_embd": right // C * V,
        }
        compare_number(got, right, mistakes, f"the bytes of {config}, {B} texts, {size} bytes a number")
    return f"{right:,} bytes for GPT-2's smallest, {B} texts, {size} bytes a number"


@exercise
def write_past_limit(answer):
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=13, block_size=8, n_layer=2, n_head=3, n_embd=24, dropout=0.0)
    model = GPT(config).eval()
    for parameter in model.parameters():  # opinions far enough apart that a wrong context shows
        if parameter.dim() == 2:
            parameter.data *= 10
    read, embed = [], GPT.embed
    half_moved = ("the window moved by block_size // 2, or kept block_size - stride tokens: the token just chosen counts too, "
                  "so block_size + 1 - stride must remain")

    def watch(self, idx, start=0):
        read.append(idx.size(1))
        return embed(self, idx, start)

    for T, n, stride in ((3, 4, 3), (5, 19, 3), (5, 19, 1), (2, 20, 8)):
        idx = torch.randint(13, (2, T), generator=torch.Generator().manual_seed(T))
        right = model.generate(idx, n, temperature=0, stride=stride)
        half = model.generate(idx, n, temperature=0)
        ready_made = forbidden("write the loop: do without generate and stream")
        read.clear()
        with mock.patch.multiple(GPT, embed=watch, generate=ready_made, stream=ready_made), torch.no_grad():
            got = call(answer, model, idx.clone(), n, stride, explain={
                "more than block_size": "the cache is full: what it holds has lost its place, so it must be filled again",
            })
        if isinstance(got, torch.Tensor) and got.shape == (2, n):
            raise Wrong("only the new tokens: return the prompt and what follows it")
        if isinstance(got, torch.Tensor) and got.dim() == 2 and got.size(1) < T + n:
            raise Wrong("the text itself was cut: keep it apart from the window")
        place = ""
        if isinstance(got, torch.Tensor) and got.shape == right.shape and not torch.equal(got, right):
            first = int((got != right).any(dim=0).nonzero()[0])
            if first < config.block_size:
                raise Wrong(f"prompt of {T}: token {first + 1} is wrong, long before the window is full: feed the cache what it has not read yet")
            if first == config.block_size:
                raise Wrong("the first token past block_size is wrong: it must still see the last tokens before the window moves")
            for keep in range(1, config.block_size + 1):  # read afresh, but the window moves otherwise
                text = window = idx
                while text.size(1) < T + n and keep != config.block_size + 1 - stride:
                    next_id = model(window)[0][:, -1].argmax(dim=-1, keepdim=True)
                    text, window = torch.cat([text, next_id], dim=1), torch.cat([window, next_id], dim=1)
                    window = window if window.size(1) <= config.block_size else window[:, -keep:]
                if torch.equal(got, text) and not torch.equal(got, half):
                    raise Wrong(f"the window keeps {keep} tokens when it moves: block_size + 1 - stride must remain")
            place = f" (the first wrong token is number {first + 1}, block_size is {config.block_size}, stride {stride})"
        compare(got, right, {half_moved: half}, (
            f"past block_size the text is not that of a model which reads the window afresh{place}: every key kept belongs to a "
            "position its token no longer has"))
        if sum(read) > T + n * max(1, config.block_size // stride) + config.block_size:
            raise Wrong(f"the text is right, but {sum(read)} positions were computed for {n} tokens: read the window again only when it moves")
    return "keys of positions that have passed are never used again"
