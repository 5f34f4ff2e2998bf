"""Checks of notebook 01's exercises."""

import torch

from mygpt.checks import Wrong, call, compare, exercise


@exercise
def bits_per_character(answer):
    probs = torch.tensor([0.5, 0.25, 0.125, 0.9, 0.01])
    compare(
        call(answer, probs),
        -probs.log2().mean(),
        {
            "this is in nats: use the logarithm to base 2, or divide by ln 2": -probs.log().mean(),
            "the sign: the logarithm of a probability is negative, a loss is its negative": probs.log2().mean(),
            "the sum over all characters: take the mean": -probs.log2().sum(),
            "one loss for each character: take their mean": -probs.log2(),
            "the logarithm of the mean probability: take each character's loss first, then the mean": -probs.mean().log2(),
            "nats times ln 2: to get bits, divide by ln 2": -probs.log().mean()
            * torch.tensor(2.0).log(),
            "weighted by p, as in an entropy: here each character that came counts once": -(
                probs * probs.log2()
            ).sum(),
            "this is the perplexity: the loss is its logarithm": (-probs.log().mean()).exp(),
            "the logarithm to base 10: bits are to base 2": -probs.log10().mean(),
        },
        "the mean over the characters of -log2(p) is wanted",
    )
    return "a probability of 1/2 costs 1 bit"


@exercise
def mean_loss(answer):
    sums, counts = torch.tensor([80.0, 60.0, 75.0, 4.0]), torch.tensor([32.0, 32.0, 32.0, 5.0])
    compare(
        call(answer, sums, counts),
        sums.sum() / counts.sum(),
        {
            "the mean of the windows' means: it gives the short window's characters too much weight": (
                sums / counts
            ).mean(),
            "the mean per window: divide by the number of characters, not of windows": sums.mean(),
            "the sum of the windows' means: add up sums and counts first, divide once": (
                sums / counts
            ).sum(),
            "one mean for each window: one number for all characters is wanted": sums / counts,
            "the last window counted as if it were full": sums.sum() / (32 * 4),
            "the last window is left out: its characters count too": sums[:-1].sum()
            / counts[:-1].sum(),
            "upside down: losses over characters": counts.sum() / sums.sum(),
            "only added up: divide by the number of characters": sums.sum(),
        },
        "the sum of all losses over the number of all characters is wanted",
    )
    return "every character has the same weight"


@exercise
def consecutive_windows(answer):
    T = 4
    for N in (
        23,
        21,
        20,
    ):  # rows: 5, 5 and 4, since 20 tokens leave the fifth row without its last target
        data = torch.arange(N) * 10
        no_target = f"{N} tokens, block_size {T}: the last row has no target for its last character; drop that row"
        result = call(
            answer, data, T, explain={"is invalid for input": no_target} if N == 20 else None
        )
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise Wrong("return two tensors, x and y")
        try:
            x, y = (torch.as_tensor(part) for part in result)
        except Exception:
            raise Wrong(
                "x and y must be tensors: torch.stack makes one of a list of rows"
            ) from None
        n = (N - 1) // T
        right_x, right_y = data[: n * T].view(n, T), data[1 : n * T + 1].view(n, T)
        if x.dim() == 2 and len(x) == N // T != n:
            raise Wrong(no_target)
        if x.shape == (n - 1, T):
            raise Wrong(f"one row too few: {N} tokens hold {n} rows of {T} with all their targets")
        compare(
            x,
            right_x,
            {
                "x and y are swapped: y is what comes one place later": right_y,
                "the windows overlap: the next row starts block_size later": data.unfold(0, T, 1)[
                    : N - T
                ],
                "the windows overlap: the next row starts block_size later, not block_size - 1": data.unfold(
                    0, T, T - 1
                ),
                "a gap between the rows: the next row starts block_size later, not block_size + 1": data.unfold(
                    0, T, T + 1
                ),
                "the axes: one row per window, block_size columns": right_x.T,
                "characters down the columns: reshape to (n, block_size), so that a row is a stretch of text": data[
                    : n * T
                ]
                .view(T, n)
                .T,
            },
            f"x is not the text cut into rows of {T}",
            what="x",
        )
        compare(
            y,
            right_y,
            {
                "the targets are not shifted: y is one place later than x": right_x,
                "the targets are shifted by two": data[2 : n * T + 2].view(n, T)
                if n * T + 2 <= N
                else torch.empty(0),
                "shifted within each row: the last target of a row is the first character of the next row": right_x.roll(
                    -1, dims=1
                ),
                "shifted the wrong way: a target comes after its character, not before": (
                    right_x - 10
                )
                % (10 * N),
                "torch.roll wraps around: the last target must be the text's next character, not its first": right_x.flatten()
                .roll(-1)
                .view(n, T),
            },
            "y is not x one place later in the text",
            what="y",
        )
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
    got = call(
        answer,
        ids,
        V,
        alpha,
        explain={
            "is invalid for input": "bincount stops at the largest number it meets: give it minlength"
        },
    )
    compare(
        got,
        right,
        {
            "the ids are bytes, and their products overflow: start with ids.long()": overflowed
            / overflowed.sum(dim=-1, keepdim=True),
            "keepdim=True is missing in the sum, so each number is divided by another pair's sum": smooth
            / smooth.sum(dim=-1),
            "each triple is counted once: counts[a, b, c] += 1 with tensors drops repeats; use a loop or bincount": once
            / once.sum(dim=-1, keepdim=True),
            "these are logarithms: return the probabilities": right.log(),
            "these are counts: divide each by the sum over the next character": smooth,
            "these are counts without alpha: add it, then divide by the sum over the next character": counts,
            "alpha is not added, so what never occurred has probability 0 or nan": counts
            / counts.sum(dim=-1, keepdim=True),
            "divided by the sum over everything: for each pair (a, b) the probabilities must sum to 1": smooth
            / smooth.sum(),
            "divided by the sum over the first character: sum over the last axis, the next character": smooth
            / smooth.sum(dim=0, keepdim=True),
            "divided by the sum over the middle character: sum over the last axis": smooth
            / smooth.sum(dim=1, keepdim=True),
            "a and b are swapped: p[a, b, c] is c after a then b": right.transpose(0, 1),
            "alpha is added after the division: add it to the counts": counts
            / counts.sum(dim=-1, keepdim=True)
            + alpha,
            "alpha is added above but not below: the probabilities of a pair must sum to 1": smooth
            / counts.sum(dim=-1, keepdim=True),
        },
        "p[a, b, c] must be (count of a, b, c + alpha) / the sum of the same over c",
    )
    return "274,625 numbers for two characters of memory on the real text"
