"""Checks of notebook 02's exercises."""

import torch

from mygpt.checks import Wrong, call, compare, exercise, same, truth, with_large_scores


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
            "near the start there are fewer than n tokens: divide each row by its own sum, not by n": band
            / n,
            "this is the mean of the whole past: what lies n or more back has weight 0": mean(
                ones.tril()
            ),
            "the window is one too long: n tokens, the token itself included": mean(
                ones.tril() - ones.tril(-n - 1)
            ),
            "the token itself is left out": mean(ones.tril(-1) - ones.tril(-n - 1)),
            "this averages the future: keep the lower triangle": mean(ones.triu() - ones.triu(n)),
            "this reaches n - 1 to both sides: nothing above the diagonal": mean(
                ones.tril(n - 1) - ones.tril(-n)
            ),
            "the columns sum to 1, the rows must: sum over dim=1": band
            / band.sum(dim=0, keepdim=True),
            "each row is divided by another row's sum: keepdim=True makes the sums a column": band
            / band.sum(dim=1),
            "the transpose: row i holds the weights of token i": right.T,
        }
        got = call(answer, T, n)
        if n > 1 and any(
            same(got, wrong)
            for wrong in (sliced, sliced / n, mean(sliced), sliced / band.sum(1, True))
        ):
            raise Wrong(
                "`i - n + 1` is negative near the start, and a slice then counts from the end: max(0, i - n + 1)"
            )
        if n > 1:
            mistakes["the window is one too short: n tokens, the token itself included"] = mean(
                ones.tril() - ones.tril(1 - n)
            )
        compare(
            got,
            right,
            mistakes,
            f"with T = {T} and n = {n} the rows are not means of the last {n} tokens",
        )
    return "fewer than n at the start, n from then on"


@exercise
def causal_weights(answer):
    B, T, block_size = 2, 5, 8
    scores = torch.randn(B, T, T, generator=torch.Generator().manual_seed(0))
    scores[1, 2, 4] = 200.0  # in the future: its power dwarfs the past's
    scores[0, 3] -= 60.0  # a row of low scores: a fill of -100 is not far below them
    widths = torch.tensor(
        [1, 2, 2, 3, 4, 1, 2, 3]
    )  # row i looks at itself and the widths[i] - 1 before it
    behind = torch.arange(block_size)[:, None] - torch.arange(block_size)
    may_look = (behind >= 0) & (behind < widths[:, None])
    look = may_look[:T, :T]

    def weights_of(look, fill=float("-inf")):
        return scores.masked_fill(~look, fill).softmax(-1)

    hidden, late = scores.masked_fill(~look, float("-inf")), scores.softmax(-1) * look
    given = scores.clone(), may_look.clone()
    weights = call(
        answer,
        *given,
        explain={
            "size": f"may_look is {block_size} × {block_size}, scores have T = {T}: take its first T rows and columns",
        },
    )
    finite = "a finite fill gives what is hidden a small weight, in a row of low scores a large one: fill with -inf"
    if any(same(weights, weights_of(look, fill)) for fill in (-1, -5, -9, -10, -20, -30, -50)):
        raise Wrong(finite)
    compare(
        weights,
        weights_of(look),
        {
            "softmax came before the mask, so rows no longer sum to 1: mask the scores": late,
            "softmax, mask, divide: one hidden score is 200, and its row becomes 0 / 0. Mask the scores first": late
            / late.sum(-1, True),
            "the mask is the wrong way round: masked_fill hides where True, may_look shows where True; use ~": weights_of(
                ~look
            ),
            "0 * inf is nan: use masked_fill": torch.full((B, T, T), torch.nan),
            "may_look is not used: here it hides more than the future": weights_of(
                torch.ones_like(look).tril()
            ),
            "the last T rows and columns of may_look: the first T are wanted": weights_of(
                may_look[-T:, -T:]
            ),
            "softmax over the queries: each row must sum to 1, so dim=-1": hidden.softmax(-2),
            "softmax over the texts of the batch: each row must sum to 1, so dim=-1": hidden.softmax(
                0
            ),
            "a score of 0 hides nothing, since e^0 = 1: fill with -inf": (scores * look).softmax(
                -1
            ),
            "1 in place of -inf? e^1 is not 0: fill with -inf": weights_of(look, 1.0),
            "no mask: the future has weight": scores.softmax(-1),
            "these are the masked scores: softmax is missing": hidden,
            "each token must see itself: the diagonal is hidden": weights_of(look.tril(-1)),
            "the rows of one text were taken for all": weights_of(look)[:1].expand(B, T, T),
        },
        "softmax over the last axis of scores that are -inf where may_look is False",
    )
    if (weights[:, ~look] != 0).any():
        raise Wrong(finite)
    if not (torch.equal(given[0], scores) and torch.equal(given[1], may_look)):
        raise Wrong(
            "right, but the caller's own tensors were changed: masked_fill, not masked_fill_ or [...] ="
        )
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
    out = call(
        answer,
        x.clone(),
        w_q.clone(),
        w_k.clone(),
        w_v.clone(),
        explain={
            f"and {hs}x{C})": no_transpose,
            f"and {d}x{C})": no_transpose,
            ".T": last_two,
            "size": last_two,
            "shape": last_two,
        },
    )
    compare(
        out,
        right @ v,
        {
            "not scaled: multiply the scores by hs ** -0.5": weights(raw) @ v,
            "scaled by n_embd, the width of x: the sum runs over the hs entries of a query": weights(
                raw * C**-0.5
            )
            @ v,
            "scaled by T: the sum runs over the hs entries of a query, the last axis of q": weights(
                raw * T**-0.5
            )
            @ v,
            "scaled by the width of the values: the sum runs over the hs entries of a query": weights(
                raw * d**-0.5
            )
            @ v,
            "divided by hs, or by its root twice: a variance goes with the square of a factor, so once by the root": weights(
                raw / hs
            )
            @ v,
            "multiplied by the root of hs: divide by it": weights(raw * hs**0.5) @ v,
            "the weights are scaled, after softmax: scale the scores": weights(raw) * hs**-0.5 @ v,
            "queries and keys are swapped: row i belongs to the query of token i": weights(
                scaled.transpose(1, 2)
            )
            @ v,
            "queries with queries: the keys are x @ w_k": weights(q @ q.transpose(1, 2) * hs**-0.5)
            @ v,
            "keys with keys: the queries are x @ w_q": weights(k @ k.transpose(1, 2) * hs**-0.5)
            @ v,
            "no mask: the future has weight": scaled.softmax(-1) @ v,
            "the mask is the wrong way round: masked_fill hides where True": weights(scaled, ~past)
            @ v,
            "the mask hides the past and shows the future: hide above the diagonal, triu(1)": weights(
                scaled, past.T
            )
            @ v,
            "each token must see itself: triu() takes the diagonal along, triu(1) does not": weights(
                scaled, past.tril(-1)
            )
            @ v,
            "softmax came before the mask, so rows no longer sum to 1: mask the scores": late @ v,
            "0 * inf is nan: use masked_fill": torch.full((B, T, d), torch.nan),
            "a score of 0 hides nothing, since e^0 = 1: fill with -inf": (scaled * past).softmax(-1)
            @ v,
            "softmax over the queries: each row must sum to 1, so dim=-1": weights(scaled, dim=-2)
            @ v,
            "softmax over the texts of the batch: each row must sum to 1, so dim=-1": weights(
                scaled, dim=0
            )
            @ v,
            "softmax is missing: scores are not weights": scaled * past @ v,
            "the weights are transposed: weights @ v": right.transpose(1, 2) @ v,
            "these are the scores: mask, softmax and values are missing": scaled,
            "these are the weights: multiply by the values, x @ w_v": right,
            "the tokens themselves are mixed: the values are x @ w_v": right @ x,
            "the keys are mixed: the values are x @ w_v": right @ k,
            "the queries are mixed: the values are x @ w_v": right @ q,
        },
        "score, scale, mask, softmax, mix: one of the five differs",
    )
    with_large_scores(
        call(answer, 10 * x, w_q.clone(), w_k.clone(), w_v.clone()),
        weights(100 * scaled) @ (10 * v),
    )
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
    centred = {
        "a leak from x - x.mean(-1, keepdim=True)": lambda x: (x - x.mean(-1, keepdim=True)).flip(1)
    }
    leaky = (
        {
            "attention without a mask": lambda x: (x @ x.transpose(1, 2)).softmax(-1) @ x,
            "attention masked after softmax": lambda x: attend(x, mask_first=False),
            "a function whose first output sees the last token": lambda x: leak(
                x, 0, x.size(1) - 1
            ),
            "a function that lets only token 2 see token 3": lambda x: leak(x, 2, 3),
            "a function that lets only token 4 see token 5": lambda x: leak(x, 4, 5),
            "a function that lets only token 0 see token 1": lambda x: leak(x, 0, 1),
            "a leak in one of three entries": lambda x: leak(x, 1, 4, entries=slice(2, 3)),
            "a leak of one in a thousand": lambda x: leak(x, 1, 3, size=1e-3),
            "a leak in the second text alone": lambda x: torch.cat(
                [x[:1].cumsum(1), x[1:].flip(1)]
            ),
        }
        | centred
        | steps
    )
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
        for at in (
            (other != x).any(-1).any(0).nonzero().flatten().tolist()
            for other in seen
            if other.shape == x.shape
        ):
            piled |= (
                len(at) > 1 and T - 1 not in at
            )  # several tokens changed, and not all from one on
    missed, accused = (
        [name for name in leaky if said[name]],
        [name for name in causal if not said[name]],
    )
    if missed and len(missed) == len(leaky):
        raise Wrong(
            "it never finds a leak, not even "
            + missed[0]
            + "; did it change x itself? Change x.clone()"
        )
    if accused and (touched or piled):
        raise Wrong(
            f"False for {accused[0]}: the changes piled up; take a fresh x.clone() for each token t"
        )
    if accused:
        raise Wrong(
            f"False for {accused[0]}: a changed token may change its own output and later ones; compare only those before it"
        )
    if missed and set(missed) <= set(steps):
        raise Wrong(
            f"True for {missed[0]}: at most x its slope is 0, so x as it is, one change or small ones can miss it; try many large random changes"
        )
    if missed and set(missed) <= set(steps | centred):
        raise Wrong(
            f"True for {missed[0]}: it does not move when all entries move alike; change them at random"
        )
    if missed:
        raise Wrong(
            f"True for {missed[0]}: change every token in turn, in all its entries and in every text, of the batch as it is given, and compare all outputs before it"
        )
    return f"{len(leaky)} leaks found, {len(causal)} causal functions cleared"


@exercise
def look_one_back(answer):
    for T in (5, 9, 256):
        result = call(answer, T)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise Wrong("return two tensors, q and k")
        q, k = result
        if (
            not all(isinstance(part, torch.Tensor) for part in (q, k))
            or q.dim() != 2
            or q.shape != k.shape
            or len(q) != T
            or not q.numel()
        ):
            raise Wrong(f"q and k must be tensors of one shape (T, hs), here with T = {T}")
        scores = q.double() @ k.double().T * q.size(1) ** -0.5
        if not scores.isfinite().all():
            raise Wrong(
                "some scores are not finite: the mask is applied for you, large finite numbers do the rest"
            )
        weights = scores.masked_fill(
            torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf")
        ).softmax(-1)
        back, itself = weights.diagonal(-1), weights.diagonal()[1:]
        reads = weights[2:].argmax(dim=-1) - torch.arange(2, T)
        if (back >= 0.99).all():
            continue
        if (scores[1:-1].argmax(dim=-1) - torch.arange(1, T - 1) == 1).all():
            raise Wrong("the wrong way: the query of i matches the key of i + 1, which is masked")
        if (scores.amax() - scores.amin()) < 1e-9:
            raise Wrong(
                "all scores are equal, which gives the mean: the query of i must match the key of i - 1 only"
            )
        if (reads == 0).all():
            raise Wrong("each token looks at itself: the query of i must match the key of i - 1")
        if (reads == -2).all():
            raise Wrong("two back: the query of i must match the key of i - 1")
        if (back > weights.tril(-2).amax(dim=-1)[1:]).all() and (back > itself).all():
            raise Wrong(
                f"the right place, but with T = {T} the least weight is {back.min():.2f}: make the scores larger (hs ** -0.5 shrinks them)"
            )
        worst = int(back.argmin()) + 1
        raise Wrong(
            f"with T = {T} token {worst} gives token {worst - 1} a weight of {back.min():.2f}: its query must match that key only"
        )
    return "a head that looks one back, whatever stands there"
