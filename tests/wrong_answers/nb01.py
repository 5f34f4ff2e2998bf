"""Wrong answers to notebook 01's exercises: (check, answer, words its hint must hold)."""

import torch


def windows(data, T, step, shift=1):
    starts = range(0, len(data) - T - shift + 1, step)
    return [
        torch.stack([data[s + offset : s + offset + T] for s in starts]) for offset in (0, shift)
    ]


def table(ids, V, alpha, axis=-1, swap=False):
    counts = torch.full((V, V, V), float(alpha))
    for a, b, c in zip(ids[:-2].tolist(), ids[1:-1].tolist(), ids[2:].tolist()):
        counts[(b, a, c) if swap else (a, b, c)] += 1
    return counts if axis is None else counts / counts.sum(dim=axis, keepdim=True)


def in_bytes(ids, V, alpha):
    codes = (ids[:-2] * V + ids[1:-1]) * V + ids[2:]
    counts = torch.bincount(codes, minlength=V**3).view(V, V, V) + alpha
    return counts / counts.sum(dim=-1, keepdim=True)


def each_once(ids, V, alpha):
    counts = torch.zeros(V, V, V)
    counts[ids[:-2], ids[1:-1], ids[2:]] += 1
    return (counts + alpha) / (counts + alpha).sum(dim=-1, keepdim=True)


CASES = [
    ("bits_per_character", lambda probs: -probs.log().mean(), "nats"),
    ("bits_per_character", lambda probs: probs.log2().mean(), "sign"),
    ("bits_per_character", lambda probs: -probs.log2().sum(), "sum"),
    ("bits_per_character", lambda probs: -probs.log2(), "mean"),
    ("bits_per_character", lambda probs: -probs.mean().log2(), "first"),
    ("bits_per_character", lambda probs: -probs.log().mean() * 0.6931472, "divide by ln 2"),
    ("bits_per_character", lambda probs: -(probs * probs.log2()).sum(), "counts once"),
    ("bits_per_character", lambda probs: "3.2 bits", "tensor"),
    ("bits_per_character", lambda probs: -probs.log10().mean(), "base 10"),
    ("mean_loss", lambda sums, counts: (sums / counts).mean(), "short window"),
    ("mean_loss", lambda sums, counts: sums.mean(), "not of windows"),
    ("mean_loss", lambda sums, counts: sums / counts, "one number"),
    ("mean_loss", lambda sums, counts: sums.sum() / (len(sums) * counts[0]), "full"),
    ("mean_loss", lambda sums, counts: sums[:-1].sum() / counts[:-1].sum(), "left out"),
    ("mean_loss", lambda sums, counts: sums.sum(), "divide"),
    ("consecutive_windows", lambda data, T: windows(data, T, T, shift=0), "not shifted"),
    ("consecutive_windows", lambda data, T: windows(data, T, 1), "overlap"),
    ("consecutive_windows", lambda data, T: windows(data, T, T - 1), "block_size - 1"),
    ("consecutive_windows", lambda data, T: windows(data, T, T)[::-1], "swapped"),
    ("consecutive_windows", lambda data, T: windows(data, T, T)[0], "two tensors"),
    (
        "consecutive_windows",
        lambda data, T: (windows(data, T, T)[0], windows(data, T, T)[0].roll(-1, 1)),
        "within each row",
    ),
    (
        "consecutive_windows",
        lambda data, T: [d[: len(d) // T * T].view(-1, T) for d in (data, data.roll(-1))],
        "no target",
    ),
    ("consecutive_windows", lambda data, T: [part.T for part in windows(data, T, T)], "axes"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, axis=None), "counts"),
    ("trigram", lambda ids, V, alpha: table(ids, V, 0), "alpha is not added"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, axis=(0, 1, 2)), "everything"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, axis=0), "first character"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, axis=1), "middle"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, swap=True), "swapped"),
    (
        "consecutive_windows",
        lambda data, T: [d[: len(data) // T * T].view(-1, T) for d in (data, data[1:])],
        "no target",
    ),
    (
        "consecutive_windows",
        lambda data, T: [part[:-1] for part in windows(data, T, T)],
        "one row too few",
    ),
    (
        "consecutive_windows",
        lambda data, T: [list(part) for part in windows(data, T, T)],
        "torch.stack",
    ),
    ("consecutive_windows", lambda data, T: (None, None), "must be tensors"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha)[0], "shape"),
    ("trigram", lambda ids, V, alpha: torch.bincount(ids[2:]).view(V, V, V), "minlength"),
    ("trigram", lambda ids, V, alpha: in_bytes(ids, V, alpha), "overflow"),
    (
        "trigram",
        lambda ids, V, alpha: table(ids, V, alpha, None) / table(ids, V, alpha, None).sum(-1),
        "keepdim",
    ),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha).log(), "logarithms"),
    ("trigram", lambda ids, V, alpha: each_once(ids.long(), V, alpha), "repeats"),
]
