"""Answers to notebook 01's exercises: wrong ones with words their hint must hold, and unusual right ones."""

import math
import random

import numpy as np
import torch
from torch.nn import functional as F

# ----------------------------------------------------------------------------- short ones


def bits_in_a_loop(probs):
    return sum(-math.log2(p) for p in probs) / len(probs)


# ----------------------------------------------------------------------------- windows


def windows(data, T, step, shift=1):
    starts = range(0, len(data) - T - shift + 1, step)
    return [
        torch.stack([data[s + offset : s + offset + T] for s in starts]) for offset in (0, shift)
    ]


def cut(data, T, shift=1):
    n = (len(data) - 1) // T
    return data[: n * T].view(n, T), data[shift : n * T + shift].view(n, T)


def as_in_get_batch(data, T):
    rows = data[: len(data) // (T + 1) * (T + 1)].view(-1, T + 1)
    return rows[:, :-1], rows[:, 1:]


def next_row(data, T):
    rows = data[: len(data) // T * T].view(-1, T)
    return rows[:-1], rows[1:]


def loop_to_the_end(data, T):
    starts = range(0, len(data), T)
    return [torch.stack([data[s + o : s + o + T] for s in starts]) for o in (0, 1)]


def indexed(data, T):
    positions = torch.arange((len(data) - 1) // T)[:, None] * T + torch.arange(T)
    return data[positions], data[positions + 1]


def by_numpy(data, T):
    n = (len(data) - 1) // T
    array = np.asarray(data)
    return array[: n * T].reshape(n, T), array[1 : n * T + 1].reshape(n, T)


# ----------------------------------------------------------------------------- trigram


def table(ids, V, alpha, axis=-1, swap=False):
    counts = torch.full((V, V, V), float(alpha))
    for a, b, c in zip(ids[:-2].tolist(), ids[1:-1].tolist(), ids[2:].tolist()):
        counts[(b, a, c) if swap else (a, b, c)] += 1
    return counts if axis is None else counts / counts.sum(dim=axis, keepdim=True)


def counted(codes, V, alpha):
    counts = torch.bincount(codes, minlength=V**3).view(V, V, V) + alpha
    return counts / counts.sum(dim=-1, keepdim=True)


def in_bytes(ids, V, alpha):
    return counted((ids[:-2] * V + ids[1:-1]) * V + ids[2:], V, alpha)


def v_forgotten(ids, V, alpha):
    ids = ids.long()
    return counted(ids[:-2] * V + ids[1:-1] * V + ids[2:], V, alpha)


def bytes_as_indices(ids, V, alpha):
    counts = torch.zeros(V, V, V)
    for a, b, c in zip(ids, ids[1:], ids[2:]):
        counts[a, b, c] += 1
    return (counts + alpha) / (counts + alpha).sum(dim=-1, keepdim=True)


def bytes_at_once(ids, V, alpha):
    counts = torch.zeros(V, V, V)
    counts.index_put_((ids[:-2], ids[1:-1], ids[2:]), torch.ones(1), accumulate=True)
    return (counts + alpha) / (counts + alpha).sum(dim=-1, keepdim=True)


def each_once(ids, V, alpha):
    counts = torch.zeros(V, V, V)
    counts[ids[:-2], ids[1:-1], ids[2:]] += 1
    return (counts + alpha) / (counts + alpha).sum(dim=-1, keepdim=True)


def alpha_above_only(ids, V, alpha, below=0):
    counts = table(ids, V, 0, axis=None)
    return (counts + alpha) / (counts.sum(dim=-1, keepdim=True) + below)


def to_the_end(ids, V, alpha):
    ids, counts = ids.tolist(), torch.full((V, V, V), alpha)
    for i in range(len(ids)):
        counts[ids[i], ids[i + 1], ids[i + 2]] += 1
    return counts / counts.sum(dim=-1, keepdim=True)


def codes(ids, V):
    ids = ids.long()
    return (ids[:-2] * V + ids[1:-1]) * V + ids[2:]


def over_pairs(ids, V, alpha):
    pairs = torch.zeros(V, V)
    for a, b in zip(ids[:-1].tolist(), ids[1:].tolist()):
        pairs[a, b] += 1
    return table(ids, V, alpha, axis=None) / (pairs + alpha * V)[..., None]


def long_loop(ids, V, alpha):
    ids, counts = ids.long(), torch.zeros(V, V, V)
    for a, b, c in zip(ids, ids[1:], ids[2:]):
        counts[a, b, c] += 1
    return (counts + alpha) / (counts + alpha).sum(dim=-1, keepdim=True)


def by_put(ids, V, alpha):
    ids, counts = ids.long(), torch.full((V, V, V), alpha)
    counts.index_put_((ids[:-2], ids[1:-1], ids[2:]), torch.tensor(1.0), accumulate=True)
    return F.normalize(counts, p=1, dim=-1)


def by_one_hot(ids, V, alpha):
    a, b, c = (F.one_hot(ids.long(), V).float()[i : len(ids) - 2 + i] for i in range(3))
    counts = torch.einsum("na,nb,nc->abc", a, b, c) + alpha
    return counts / torch.einsum("abc->ab", counts)[..., None]


def by_numpy_add(ids, V, alpha):
    counts, ids = np.full((V, V, V), alpha), np.asarray(ids)
    np.add.at(counts, (ids[:-2], ids[1:-1], ids[2:]), 1)
    return counts / counts.sum(-1, keepdims=True)


# ----------------------------------------------------------------------------- draw_batch


def drawn(data, T, B, generator, last=0, first=0, shift=1, width=0):
    starts = torch.randint(first, len(data) - T - last, (B, 1), generator=generator)
    positions = starts + torch.arange(T + width)
    return data[positions].long(), data[positions + shift].long()


def stacked(data, T, B, generator):
    starts = torch.randint(len(data) - T, (B,), generator=generator).tolist()
    rows = torch.stack([data[s : s + T + 1] for s in starts]).to(torch.int64)
    return rows[:, :-1], rows[:, 1:]


def rows_in_lists(data, T, B, generator):
    starts = [int(torch.randint(len(data) - T, (), generator=generator)) for _ in range(B)]
    data = data.long()
    return [data[s : s + T] for s in starts], [data[s + 1 : s + T + 1] for s in starts]


def unfolded(data, T, B, generator):
    rows = data.long().unfold(0, T + 1, 1)
    picked = rows[torch.randint(len(rows), (B,), generator=generator)]
    return picked[..., :T], picked[..., 1:]


def by_rand(data, T, B, generator):
    starts = (torch.rand(B, generator=generator) * (len(data) - T)).long()
    positions = torch.stack([starts + t for t in range(T + 1)], dim=1)
    window = torch.take(data.long(), positions)
    return window[:, :T], window[:, 1:]


def sliced_too_far(data, T, B, generator):
    starts = torch.randint(len(data), (B,), generator=generator).tolist()
    return tuple(torch.stack([data[s + o : s + o + T] for s in starts]) for o in (0, 1))


def one_start(data, T, B, generator):
    start = int(torch.randint(len(data) - T, (1,), generator=generator))
    rows = data[start : start + T + 1].long().repeat(B, 1)
    return rows[:, :-1], rows[:, 1:]


def in_order(data, T, B, generator):
    starts = torch.arange(B)[:, None] % (len(data) - T)
    positions = starts + torch.arange(T)
    return data[positions].long(), data[positions + 1].long()


def permuted(data, T, B, generator):
    starts = torch.randperm(len(data) - T, generator=generator)[:B, None]
    positions = starts + torch.arange(T)
    return data[positions].long(), data[positions + 1].long()


def own_seed(data, T, B, generator):
    return drawn(data, T, B, torch.Generator().manual_seed(7))


def multiples(data, T, B, generator):
    starts = torch.randint((len(data) - 1) // T, (B, 1), generator=generator) * T
    positions = starts + torch.arange(T)
    return data[positions].long(), data[positions + 1].long()


def by_random(data, T, B, generator):
    starts = torch.tensor([random.randrange(len(data) - T) for _ in range(B)])[:, None]
    positions = starts + torch.arange(T)
    return data[positions].long(), data[positions + 1].long()


def wrapped(data, T, B, generator):
    x, _ = drawn(data, T, B, generator)
    return x, x.roll(-1, dims=1)


def scattered(data, T, B, generator):
    positions = torch.randint(len(data) - 1, (B, T), generator=generator)
    return data[positions].long(), data[positions + 1].long()


def own_sizes(data, T, B, generator):
    return drawn(data, 16, 32, generator)


def one_more(data, T, B, generator):
    x, _ = drawn(data, T, B, generator)
    return x, x + 1


def started(data, T, starts):
    positions = starts[:, None] + torch.arange(T)
    return data[positions].long(), data[positions + 1].long()


def rounded(data, T, B, generator):
    return started(
        data, T, (torch.rand(B, generator=generator) * (len(data) - T - 1)).round().long()
    )


def clamped(data, T, B, generator):
    starts = torch.randint(len(data), (B,), generator=generator)
    return started(data, T, starts.clamp(max=len(data) - T - 1))


def smaller_of_two(data, T, B, generator):
    starts = torch.randint(len(data) - T, (2, B), generator=generator)
    return started(data, T, starts.amin(dim=0))


def flat_starts(data, T, B, generator):
    starts = torch.randint(len(data) - T, (B,), generator=generator)
    positions = starts + torch.arange(T)
    return data[positions].long(), data[positions + 1].long()


def typeless(data, T, B, generator):
    return tuple(part.to(torch.uint8) for part in drawn(data, T, B, generator))


def turned(data, T, B, generator):
    return tuple(part.T for part in drawn(data, T, B, generator))


# ----------------------------------------------------------------------------- training_loop


def loop(model, batch, steps, rate, order="zbs", make=torch.optim.AdamW, keep=None):
    """z zero_grad, b backward, s step: in the order wanted."""
    optimizer, losses = make(model.parameters(), lr=rate), []
    for _ in range(steps):
        _, loss = model(*batch())
        for letter in order:
            dict(z=optimizer.zero_grad, b=loss.backward, s=optimizer.step)[letter]()
        losses.append(keep(loss) if keep else loss.item())
    return losses


def anew(model, batch, steps, rate):
    losses = []
    for _ in range(steps):
        losses += loop(model, batch, 1, rate)
    return losses


def asked_twice(model, batch, steps, rate):
    return loop(model, lambda: (batch()[0], batch()[1]), steps, rate)


def not_unpacked(model, batch, steps, rate):
    loss = model(*batch())
    loss.backward()
    return [loss.item()]


def no_pull(model, batch, steps, rate):
    def make(parameters, lr):
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=0)

    return loop(model, batch, steps, rate, make=make)


def one_batch(model, batch, steps, rate):
    always = batch()
    return loop(model, lambda: always, steps, rate)


def measured_after(model, batch, steps, rate):
    optimizer, losses = torch.optim.AdamW(model.parameters(), rate), []
    for _ in range(steps):
        x, y = batch()
        optimizer.zero_grad()
        model(x, y)[1].backward()
        optimizer.step()
        losses.append(model(x, y)[1].item())
    return losses


def no_rate(model, batch, steps, rate):
    return loop(
        model, batch, steps, rate, make=lambda parameters, lr: torch.optim.AdamW(parameters)
    )


def last_update_missing(model, batch, steps, rate):
    losses = loop(model, batch, steps - 1, rate)
    return losses + [model(*batch())[1].item()]


def by_table(model, batch, steps, rate):
    """Softmax's gradient and AdamW by hand: no autograd, no optimizer."""
    table = model.token_embedding.weight.data
    mean, square, losses = torch.zeros_like(table), torch.zeros_like(table), []
    for step in range(1, steps + 1):
        x, y = (part.flatten() for part in batch())
        p = table[x].softmax(dim=-1)
        losses.append(-p[torch.arange(len(y)), y].log().mean())
        errors = (p - F.one_hot(y, table.size(1))) / len(y)
        gradient = torch.zeros_like(table).index_add_(0, x, errors)
        table *= 1 - rate * 0.01
        mean += 0.1 * (gradient - mean)
        square += 0.001 * (gradient**2 - square)
        root = (square / (1 - 0.999**step)).sqrt() + 1e-8
        table -= rate * mean / (1 - 0.9**step) / root
    return torch.stack(losses)


def in_words(model, batch, steps, rate):
    optimizer = torch.optim.AdamW(params=model.parameters(), lr=rate, fused=True)
    losses, step = np.zeros(steps), 0
    while step < steps:
        x, y = batch()
        logits, _ = model(x)
        loss = F.cross_entropy(logits.transpose(1, 2), y)
        losses[step] = loss.detach()
        loss.backward()
        optimizer.step()
        model.zero_grad()
        step += 1
    return losses


def by_autograd(model, batch, steps, rate):
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=rate), []
    for _ in range(steps):
        loss = model(*batch())[1]
        for p, gradient in zip(model.parameters(), torch.autograd.grad(loss, model.parameters())):
            p.grad = gradient
        optimizer.step()
        losses += [float(loss)]
    return tuple(losses)


def targets_are_inputs(model, batch, steps, rate):
    return loop(model, lambda: (lambda x, y: (x, x))(*batch()), steps, rate)


def without_targets(model, batch, steps, rate):
    x, y = batch()
    loss = model(x)[1]
    loss.backward()
    return [loss.item()]


def batch_not_called(model, batch, steps, rate):
    x, y = batch
    return [model(x, y)[1].item()]


def model_for_parameters(model, batch, steps, rate):
    torch.optim.AdamW(model, lr=rate)


def windows_of(data, T, B, g):
    starts = torch.randint(len(data) - T, (B,), generator=g)
    return torch.stack([data[i : i + T + 1] for i in starts]).long()


def cut_rows(data, T, B, g):
    w = windows_of(data, T, B, g)
    return w[:-1], w[1:]


def one_target_a_row(data, T, B, g):
    w = windows_of(data, T, B, g)
    return w[:, :-1], w[:, -1]


def bare_size(data, T, B, g):
    return torch.randint(len(data) - T, B, g)


def list_of_tensors(data, T, B, g):
    w = windows_of(data, T, B, g)
    return torch.tensor([row[:-1] for row in w]), torch.tensor([row[1:] for row in w])


CASES = [
    ("bits_per_character", lambda probs: -probs.log().mean(), "nats"),
    ("bits_per_character", lambda probs: probs.log2().mean(), "sign"),
    ("bits_per_character", lambda probs: -probs.log2().sum(), "sum"),
    ("bits_per_character", lambda probs: -probs.log2(), "mean"),
    ("bits_per_character", lambda probs: -probs.mean().log2(), "first"),
    ("bits_per_character", lambda probs: -probs.log().mean() * 0.6931472, "divide by ln 2"),
    ("bits_per_character", lambda probs: -(probs * probs.log2()).sum(), "counts once"),
    ("bits_per_character", lambda probs: -(probs * probs.log2()).mean(), "counts the same"),
    ("bits_per_character", lambda probs: "3.2 bits", "tensor"),
    ("bits_per_character", lambda probs: -probs.log10().mean(), "base 10"),
    ("bits_per_character", lambda probs: -math.log2(probs), "it raised"),
    ("bits_per_character", lambda probs: -probs.prod().log2() / len(probs), "product"),
    ("mean_loss", lambda sums, counts: (sums / counts).mean(), "short window"),
    ("mean_loss", lambda sums, counts: sums.mean(), "not of windows"),
    ("mean_loss", lambda sums, counts: sums / counts, "one number"),
    ("mean_loss", lambda sums, counts: sums.sum() / counts.mean(), "the mean number"),
    ("mean_loss", lambda sums, counts: sums.sum() / (len(sums) * counts[0]), "full"),
    ("mean_loss", lambda sums, counts: sums[:-1].sum() / counts[:-1].sum(), "left out"),
    ("mean_loss", lambda sums, counts: sums.sum(), "divide"),
    ("mean_loss", lambda sums, counts: counts.sum() / sums.sum(), "upside down"),
    ("consecutive_windows", lambda data, T: cut(data, T, shift=0), "not shifted"),
    ("consecutive_windows", lambda data, T: windows(data, T, 1), "overlap"),
    ("consecutive_windows", lambda data, T: windows(data, T, T - 1), "block_size - 1"),
    ("consecutive_windows", lambda data, T: windows(data, T, T)[::-1], "swapped"),
    ("consecutive_windows", lambda data, T: windows(data, T, T)[0], "two tensors"),
    ("consecutive_windows", as_in_get_batch, "block_size + 1 apart"),
    ("consecutive_windows", next_row, "whole row later"),
    ("consecutive_windows", lambda data, T: (cut(data, T)[0][:-1], cut(data, T)[0][1:]), "later"),
    (
        "consecutive_windows",
        lambda data, T: (cut(data, T)[0], cut(data, T)[0].roll(-1, 1)),
        "within each row",
    ),
    (
        "consecutive_windows",
        lambda data, T: [d[: len(d) // T * T].view(-1, T) for d in (data, data.roll(-1))],
        "no target",
    ),
    (
        "consecutive_windows",
        lambda data, T: [d[: len(data) // T * T].view(-1, T) for d in (data, data[1:])],
        "no target",
    ),
    ("consecutive_windows", lambda data, T: [part.T for part in cut(data, T)], "axes"),
    ("consecutive_windows", lambda data, T: [p.flatten() for p in cut(data, T)], "long line"),
    (
        "consecutive_windows",
        lambda data, T: [part[:-1] for part in cut(data, T)],
        "one row too few",
    ),
    ("consecutive_windows", lambda data, T: (None, None), "must be tensors"),
    ("consecutive_windows", loop_to_the_end, "full rows"),
    ("consecutive_windows", lambda data, T: (data.view(-1, T), data.view(-1, T)), "full rows"),
    ("consecutive_windows", lambda data, T: cut(data, 32), "use the argument"),
    ("consecutive_windows", lambda data, T: (data.unfold(0, 32, 32), data), "use block_size"),
    ("consecutive_windows", lambda data, T: (cut(data, T)[0], cut(data, T)[0] + 1), "x + 1"),
    ("consecutive_windows", lambda data, T: [list(p) for p in cut(data, T)], "are lists"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, axis=None), "counts"),
    ("trigram", lambda ids, V, alpha: table(ids, V, 0), "alpha is not added"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, axis=(0, 1, 2)), "everything"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, axis=0), "first character"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, axis=1), "middle"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha, swap=True), "swapped"),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha)[0], "shape"),
    ("trigram", lambda ids, V, alpha: torch.bincount(ids[2:]).view(V, V, V), "minlength"),
    ("trigram", in_bytes, "overflow"),
    ("trigram", v_forgotten, "(a * V + b) * V + c"),
    ("trigram", bytes_as_indices, "masks"),
    ("trigram", bytes_at_once, "masks"),
    (
        "trigram",
        lambda ids, V, alpha: table(ids, V, alpha, None) / table(ids, V, alpha, None).sum(-1),
        "keepdim",
    ),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha).log(), "logarithms"),
    ("trigram", lambda ids, V, alpha: each_once(ids.long(), V, alpha), "repeats"),
    ("trigram", alpha_above_only, "above but not below"),
    ("trigram", lambda ids, V, alpha: alpha_above_only(ids, V, alpha, alpha), "V times"),
    ("trigram", lambda ids, V, alpha: alpha_above_only(ids, V, alpha, alpha * V**3), "V**3"),
    ("trigram", lambda ids, V, alpha: table(ids.flip(0), V, alpha), "backwards"),
    ("trigram", lambda ids, V, alpha: table(ids[:-1], V, alpha), "last triple"),
    ("trigram", to_the_end, "stop two before the end"),
    (
        "trigram",
        lambda ids, V, alpha: torch.bincount(codes(ids, V), minlength=V**2).view(V, V, V),
        "minlength=vocab_size**3",
    ),
    ("trigram", over_pairs, "the last pair"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, g, shift=0), "not shifted"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, g, shift=2, last=1), "by two"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, g)[::-1], "swapped"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, g)[0], "two tensors"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, g, last=1), "last window"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, g, first=1), "first window"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, g, last=-1), "too large"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, g, last=1, width=1), "twice"),
    ("draw_batch", sliced_too_far, "too large"),
    ("draw_batch", one_start, "same window"),
    ("draw_batch", in_order, "follow one another"),
    ("draw_batch", permuted, "randperm"),
    ("draw_batch", own_seed, "same batch"),
    ("draw_batch", multiples, "multiples"),
    ("draw_batch", by_random, "generator"),
    ("draw_batch", lambda data, T, B, g: drawn(data, T, B, None), "generator"),
    ("draw_batch", wrapped, "within each row"),
    ("draw_batch", scattered, "neighbouring"),
    ("draw_batch", own_sizes, "own sizes"),
    ("draw_batch", typeless, "long"),
    ("draw_batch", one_more, "y is x + 1"),
    ("draw_batch", rows_in_lists, "are lists"),
    ("draw_batch", rounded, "likelier than others"),
    ("draw_batch", clamped, "likelier than others"),
    ("draw_batch", smaller_of_two, "likelier than others"),
    ("draw_batch", flat_starts, "(batch_size, 1)"),
    ("draw_batch", turned, "axes"),
    ("draw_batch", lambda data, T, B, g: drawn(torch.arange(99), T, B, g), "not in `data`"),
    ("training_loop", lambda *args: loop(*args, order="bs"), "add up"),
    ("training_loop", lambda *args: loop(*args, order="zb"), "never changes"),
    ("training_loop", lambda *args: loop(*args, order="bzs"), "never changes"),
    ("training_loop", lambda *args: loop(*args, order="zs"), "never changes"),
    ("training_loop", lambda *args: loop(*args, order="szb"), "before backward"),
    ("training_loop", anew, "new optimizer"),
    ("training_loop", no_rate, "learning rate"),
    ("training_loop", lambda *args: loop(*args, make=torch.optim.SGD), "SGD"),
    ("training_loop", lambda *args: loop(*args, make=torch.optim.Adam), "this is Adam"),
    ("training_loop", lambda m, b, s, r: loop(m, b, s, r, keep=lambda loss: loss), "item()"),
    ("training_loop", lambda *args: loop(*args)[-1], "list of all losses"),
    ("training_loop", lambda m, b, s, r: loop(m, b, s + 1, r), "13 of 12 losses"),
    ("training_loop", targets_are_inputs, "model(x, y), not model(x, x)"),
    ("training_loop", without_targets, "without y there is no loss"),
    ("training_loop", batch_not_called, "x, y = batch()"),
    ("training_loop", model_for_parameters, "model.parameters()"),
    ("draw_batch", cut_rows, "cut along the columns"),
    ("draw_batch", one_target_a_row, "one token a row"),
    ("draw_batch", bare_size, "is a tuple"),
    ("draw_batch", list_of_tensors, "torch.stack"),
    ("bits_per_character", lambda probs: -math.log2(probs), "probs.log2()"),
    ("training_loop", asked_twice, "twice"),
    ("training_loop", not_unpacked, "two things"),
    ("training_loop", torch.no_grad()(loop), "no_grad"),
    ("training_loop", no_pull, "weight_decay=0"),
    ("training_loop", one_batch, "same batch"),
    ("training_loop", measured_after, "after its update"),
    ("training_loop", last_update_missing, "last update"),
]

RIGHT = [
    ("bits_per_character", lambda probs: -probs.log2().mean(dim=0, keepdim=True)),
    ("bits_per_character", bits_in_a_loop),
    ("bits_per_character", lambda probs: np.mean(-np.log2(np.asarray(probs)))),
    ("bits_per_character", lambda probs: (1 / probs).log().mean() / math.log(2)),
    ("bits_per_character", lambda probs: -sum(np.log2(probs.tolist())) / len(probs)),
    ("mean_loss", lambda sums, counts: sum(sums) / sum(counts)),
    ("mean_loss", lambda sums, counts: float(sums.sum()) / int(counts.sum())),
    ("mean_loss", lambda sums, counts: np.asarray(sums).sum() / np.asarray(counts).sum()),
    ("mean_loss", lambda sums, counts: ((sums / counts) * counts / counts.sum()).sum(0, True)),
    ("consecutive_windows", indexed),
    ("consecutive_windows", by_numpy),
    ("consecutive_windows", lambda data, T: windows(data, T, T)),
    ("consecutive_windows", lambda data, T: torch.stack(windows(data, T, T))),
    ("consecutive_windows", lambda data, T: (data[:-1].unfold(0, T, T), data[1:].unfold(0, T, T))),
    ("trigram", long_loop),
    ("trigram", by_put),
    ("trigram", by_one_hot),
    ("trigram", by_numpy_add),
    ("trigram", lambda ids, V, alpha: table(ids, V, alpha).tolist()),
    ("draw_batch", drawn),
    ("draw_batch", stacked),
    ("draw_batch", lambda *args: tuple(map(torch.stack, rows_in_lists(*args)))),
    ("draw_batch", unfolded),
    ("draw_batch", by_rand),
    ("training_loop", loop),
    ("training_loop", by_table),
    ("training_loop", in_words),
    ("training_loop", by_autograd),
    ("training_loop", lambda m, b, s, r: loop(m, b, s, r, keep=lambda loss: loss.detach())),
]
