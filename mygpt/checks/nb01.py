"""Checks of notebook 01's exercises."""

import math
import warnings

import torch

from mygpt.checks import Wrong, call, compare, exercise, plain, same
from mygpt.checks import own_or as own_or  # the notebook says check.own_or
from mygpt.checks.loops import MISTAKES, RATE, STEPS, Batches, fresh_model, losses_of


@exercise
def bits_per_character(answer):
    probs = torch.tensor([0.5, 0.25, 0.125, 0.9, 0.01])
    nats, bits = -probs.log(), -probs.log2()
    mistakes = {
        "this is in nats: use the logarithm to base 2, or divide by ln 2": nats.mean(),
        "the sign: the logarithm of a probability is negative, a loss is positive": -bits.mean(),
        "the sum over all characters: take the mean": bits.sum(),
        "one loss for each character: take their mean": bits,
        "the logarithm of the mean probability: take each character's loss first, then the mean": (
            -probs.mean().log2()
        ),
        "nats times ln 2: to get bits, divide by ln 2": nats.mean() * torch.tensor(2.0).log(),
        "weighted by p, as in an entropy: here each character that came counts once": (
            (probs * bits).sum()
        ),
        "weighted by p, as in an entropy: here each character that came counts the same": (
            (probs * bits).mean()
        ),
        "this is the perplexity: the loss is its logarithm": nats.mean().exp(),
        "the logarithm to base 10: bits are to base 2": -probs.log10().mean(),
        "1 / p, and no logarithm: a loss is -log2(p)": (1 / probs).mean(),
    }
    scalars = "math.log2 and math.log take one number: for a tensor write probs.log2()"
    got = call(answer, probs, explain={"to Python scalars": scalars})
    compare(
        plain(got),
        bits.mean(),
        mistakes,
        "the mean over the characters of -log2(p) is wanted",
    )
    if not math.isfinite(float(call(answer, torch.full((2000,), 0.25)))):
        raise Wrong(
            "right for 5 characters, inf for 2,000: the product of so many probabilities is 0 "
            "to a computer; add up logarithms"
        )
    return "a probability of 1/2 costs 1 bit"


@exercise
def mean_loss(answer):
    sums, counts = torch.tensor([80.0, 60.0, 75.0, 4.0]), torch.tensor([32.0, 32.0, 32.0, 5.0])
    means = sums / counts
    mistakes = {
        "the mean of the windows' means: it gives the short window's characters too much "
        "weight": means.mean(),
        "the mean per window: divide by the number of characters, not of windows": sums.mean(),
        "the sum of the windows' means: add up sums and counts first, divide once": means.sum(),
        "one mean for each window: one number for all characters is wanted": means,
        "the last window counted as if it were full": sums.sum() / (32 * 4),
        "the last window is left out: its characters count too": sums[:-1].sum()
        / counts[:-1].sum(),
        "upside down: losses over characters": counts.sum() / sums.sum(),
        "only added up: divide by the number of characters": sums.sum(),
        "divided by the mean number of characters in a window: divide by the number of all "
        "characters": sums.sum() / counts.mean(),
    }
    compare(
        plain(call(answer, sums, counts)),
        sums.sum() / counts.sum(),
        mistakes,
        "the sum of all losses over the number of all characters is wanted",
    )
    return "every character has the same weight"


def two_tensors(result):
    """(x, y) of what an answer returned: a pair, or one tensor that holds both."""
    if not isinstance(result, (tuple, list, torch.Tensor)) or len(result) != 2:
        raise Wrong("return two tensors, x and y")
    if any(isinstance(part, (list, tuple)) for part in result):
        raise Wrong("x and y are lists: make each a tensor, with torch.stack for a list of rows")
    try:
        return [torch.as_tensor(part) for part in result]
    except Exception:
        raise Wrong("x and y must be tensors, with rows of equal length") from None


@exercise
def consecutive_windows(answer):
    T = 4
    for N in (23, 21, 20):  # 5, 5 and 4 rows: of 20 tokens the fifth row lacks its last target
        data, n = torch.arange(N) * 10, (N - 1) // T
        no_target = (
            f"{N} tokens, block_size {T}: the last row has no target for its last character; "
            "drop that row"
        )
        uneven = (
            no_target
            if N == 20
            else (
                f"{N} tokens are no whole number of rows of {T}: keep the full rows that have all their "
                f"targets, here {n}, and use the argument block_size"
            )
        )
        late = {"invalid for input": uneven, "equal size": uneven, "cannot reshape": uneven}
        late["maximum size"] = f"a row is longer than the data: use block_size, here {T}"
        x, y = two_tensors(call(answer, data.clone(), T, explain=late))
        if x.dim() == 2 and x.size(1) > N:
            raise Wrong(f"the rows are {x.size(1)} long: use the argument block_size, here {T}")
        right_x, right_y = data[: n * T].view(n, T), data[1 : n * T + 1].view(n, T)
        k = N // (T + 1)  # rows of T + 1, which share nothing
        fives = data[: k * (T + 1)].view(k, T + 1)
        rows = data[: N // T * T].view(-1, T)
        whole_rows_later = [(rows[:-1], rows[1:]), (right_x[:-1], right_x[1:])]
        if any(same(x, a) and same(y, b) for a, b in whole_rows_later):
            raise Wrong("the targets are a whole row later: y is one place later, not block_size")
        if same(x, fives[:, :-1]) and same(y, fives[:, 1:]):
            raise Wrong(
                "the rows start block_size + 1 apart, so some characters are never in x: "
                "a row's last target is the next row's first character"
            )
        if x.dim() == 2 and len(x) == N // T != n:
            raise Wrong(no_target)
        if x.shape == (n - 1, T) and same(x, right_x[:-1]):
            raise Wrong(f"one row too few: {N} tokens hold {n} rows of {T} with all their targets")
        overlap = "the windows overlap: the next row starts block_size later"
        mistakes = {
            "x and y are swapped: y is what comes one place later": right_y,
            overlap: data.unfold(0, T, 1)[: N - T],
            f"{overlap}, not block_size - 1": data.unfold(0, T, T - 1),
            "a gap between the rows: the next row starts block_size later, not "
            "block_size + 1": data.unfold(0, T, T + 1),
            "the axes: one row per window, block_size columns": right_x.T,
            "characters down the columns: reshape to (n, block_size), so that a row is a stretch "
            "of text": data[: n * T].view(T, n).T,
            "the rows are in one long line: reshape to (n, block_size)": right_x.flatten(),
        }
        compare(x, right_x, mistakes, f"x is not the text cut into rows of {T}", what="x")
        further = data[2 : n * T + 2]
        mistakes = {
            "the targets are not shifted: y is one place later than x": right_x,
            "y is x + 1, the next number: it must be the next token of `data`": right_x + 1,
            "the targets are shifted by two": (
                further.view(n, T) if len(further) == n * T else torch.empty(0)
            ),
            "shifted within each row: the last target of a row is the first character of the next "
            "row": right_x.roll(-1, dims=1),
            "shifted the wrong way: a target comes after its character, not before": (
                (right_x - 10) % (10 * N)
            ),
            "torch.roll wraps around: the last target must be the text's next character, not its "
            "first": right_x.flatten().roll(-1).view(n, T),
        }
        compare(y, right_y, mistakes, "y is not x one place later in the text", what="y")
    return "every character has its successor as target, and is in x once"


@exercise
def trigram(answer):
    V, alpha = 7, 0.5  # 7**3 is more than a byte holds
    ids = torch.randint(V, (200,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    reasons = {
        "is invalid for input": "the counts are not V**3: bincount stops at the largest number it "
        "meets, so give it minlength=vocab_size**3",
        "list index out of range": "N tokens hold N - 2 triples: stop two before the end",
        "out of bounds": "N tokens hold N - 2 triples: stop two before the end",
        "index": "bytes are taken for masks when they are used as indices: begin with ids.long()",
    }
    got = call(answer, ids.clone(), V, alpha, explain=reasons)
    counts = count_triples(ids, V)
    smooth = counts + alpha
    over, right = smooth.sum(dim=-1, keepdim=True), shares(smooth)
    once, bytes_as_masks = (counts > 0) + alpha, count_with_bytes(ids, V) + alpha
    in_bytes = (ids[:-2] * V + ids[1:-1]) * V + ids[2:]  # in bytes, where 256 is 0 again
    overflowed = torch.bincount(in_bytes, minlength=V**3).view(V, V, V) + alpha
    long = ids.long()
    codes = long[:-2] * V + long[1:-1] * V + long[2:]
    one_v_short = torch.bincount(codes, minlength=V**3).view(V, V, V) + alpha
    last_pair = torch.zeros(V, V, 1)
    last_pair[long[-2], long[-1]] = 1  # a pair that no triple begins with
    masks = "a byte used as an index is taken for a mask, so the counts are wrong: ids.long() first"
    uncounted = "nothing was counted: bytes as indices are taken for masks; begin with ids.long()"
    sum_to_1 = "the probabilities of a pair must sum to 1"
    mistakes = {
        uncounted: torch.full((V, V, V), 1 / V),
        masks: shares(bytes_as_masks),
        "the ids are bytes, and their products overflow: start with ids.long()": shares(overflowed),
        "number the triples with (a * V + b) * V + c: yours gives different triples one "
        "number": shares(one_v_short),
        "keepdim=True is missing in the sum, so each number is divided by another pair's "
        "sum": smooth / smooth.sum(dim=-1),
        "each triple is counted once: counts[a, b, c] += 1 with tensors drops repeats; use a loop "
        "or bincount": shares(once),
        "these are logarithms: return the probabilities": right.log(),
        "these are counts: divide each by the sum over the next character": smooth,
        "these are counts without alpha: add it, then divide by the sum over the next "
        "character": counts,
        "alpha is not added, so what never occurred has probability 0 or nan": shares(counts),
        "divided by the sum over everything: for each pair (a, b) the probabilities must sum "
        "to 1": smooth / smooth.sum(),
        "divided by the sum over the first character: sum over the last axis, the next "
        "character": smooth / smooth.sum(dim=0, keepdim=True),
        "divided by the sum over the middle character: sum over the last axis": smooth
        / smooth.sum(dim=1, keepdim=True),
        "divided by how often the pair occurs in the text, but the last pair has no third character: "
        "divide by the sum over c": smooth / (over + last_pair),
        "a and b are swapped: p[a, b, c] is c after a then b": right.transpose(0, 1),
        "the axes are turned round, or the text is read backwards: p[a, b, c] is c after a then "
        "b": shares(count_triples(ids.flip(0), V) + alpha),
        "alpha is added after the division: add it to the counts": shares(counts) + alpha,
        f"alpha is added above but not below: {sum_to_1}": smooth / (over - alpha * V),
        f"below the line alpha counts once for each next character, V times: {sum_to_1}": smooth
        / (over - alpha * V + alpha),
        f"below the line alpha counts V times, not V**3 times: {sum_to_1}": smooth
        / (over - alpha * V + alpha * V**3),
        f"alpha is added below but not above: {sum_to_1}": counts / over,
        "the last triple is missing: the text of N tokens has N - 2": shares(
            count_triples(ids[:-1], V) + alpha
        ),
        "the first triple is missing: the text of N tokens has N - 2": shares(
            count_triples(ids[1:], V) + alpha
        ),
        "only every third triple is counted: the next one starts one character later": shares(
            count_triples(ids, V, step=3) + alpha
        ),
    }
    otherwise = "p[a, b, c] must be (count of a, b, c + alpha) / the sum of the same over c"
    compare(got, right, mistakes, otherwise)
    return "with 65 characters the table has 65**3 = 274,625 numbers"


def count_triples(ids, V, step=1):
    counts = torch.zeros(V, V, V)
    triples = zip(ids[:-2].tolist(), ids[1:-1].tolist(), ids[2:].tolist())
    for a, b, c in list(triples)[::step]:
        counts[a, b, c] += 1
    return counts


def count_with_bytes(ids, V):
    """What the same loop counts when its indices are bytes in tensors, which torch takes for masks."""
    counts = torch.zeros(V, V, V)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for a, b, c in zip(ids, ids[1:], ids[2:]):
            try:
                counts[a, b, c] += 1
            except IndexError:  # a torch that refuses them says so itself
                return counts
    return counts


def shares(table):
    return table / table.sum(dim=-1, keepdim=True)


@exercise
def draw_batch(answer):
    N, T, B, many = 23, 4, 3, 8000
    positions = torch.arange(N, dtype=torch.uint8)  # each id is its position
    last = N - T - 1
    too_far = f"a start is too large: the last target must exist, so starts end at N - {T} - 1"
    reasons = {"equal size": too_far, "out of bounds": too_far, "out of range": too_far}
    reasons |= {
        "must match the size": "starts plus offsets: give the starts the shape (batch_size, 1)",
        "randint() received": "torch.randint(high, (batch_size,), generator=generator): the size "
        "is a tuple, and the generator goes by its name",
        "converted to an index": "torch.stack makes one tensor of a list of tensors",
    }

    def batch(size, seed, data=positions):
        generator = torch.Generator().manual_seed(seed)
        return two_tensors(call(answer, data.clone(), T, size, generator, explain=reasons))

    x, y = batch(B, 0)
    for name, part in (("x", x), ("y", y)):
        if part.shape == (T, B):
            raise Wrong(f"the axes: {name} has shape {(T, B)}, expected {(B, T)}: one row a window")
        if part.shape == (B, T + 1):
            raise Wrong(
                f"{name} has {T + 1} columns: the window of block_size + 1 tokens is cut "
                "twice, x without its last token, y without its first"
            )
        if part.shape == (B - 1, T + 1):
            raise Wrong(
                f"{name} has lost a row: cut along the columns, w[:, :-1] and w[:, 1:], not w[:-1]"
            )
        if part.shape in ((B,), (B, 1)):
            raise Wrong(f"{name} has one token a row: block_size of them, one for each of x")
        if part.shape != (B, T):
            raise Wrong(
                f"{name} has shape {tuple(part.shape)}, expected (batch_size, block_size), here "
                f"{(B, T)}: use the arguments, not the notebook's own sizes"
            )
    x, y = (part.double() for part in batch(many, 1))
    if x.shape != (many, T):
        raise Wrong(
            "a batch may be larger than the number of starts: draw them with torch.randint, "
            "independently, not with randperm"
        )
    if x.max() >= N or y.max() > N:
        raise Wrong("these tokens are not in `data`: cut the windows from the argument")
    if same(x[:, 1:], x[:, :-1]):
        raise Wrong("all tokens of a row are the same: a row is a start and what follows it")
    if not same(x, x[:, :1] + torch.arange(T)):
        raise Wrong("a row of x must be block_size neighbouring tokens of the data, in order")
    shifts = {
        "the targets are not shifted: y is one place later than x": x,
        "the targets are shifted by two": x + 2,
        "x and y are swapped, or y is shifted the wrong way: a target comes after its token": x - 1,
        "shifted within each row: a row's last target is the token after the window": x.roll(-1, 1),
        "the targets are a whole window later: y is one place later than x": x + T,
    }
    compare(y, x + 1, shifts, "y is not x one place later in the data", what="y")
    text = (
        positions * 7 + 3
    ) % N  # the same windows of a text whose next id is not the id plus one
    x_text, y_text = (part.double() for part in batch(many, 1, text))
    if not same(x_text, x) and same(y_text, x_text + 1):
        raise Wrong(
            "y is x + 1, the next number: it must be the next token of `data`, whatever it is"
        )
    starts = x[:, 0]
    if starts.max() > last:
        raise Wrong(too_far)
    if len(starts.unique()) == 1:
        raise Wrong("every row is the same window: draw batch_size starts, not one")
    if same((starts[1:] - starts[:-1]) % (last + 1), (starts[1] - starts[0]).expand(many - 1)):
        raise Wrong("the rows follow one another: draw a start for each row")
    if starts.max() == last - 1:
        raise Wrong(
            "the last window is never drawn: randint leaves out its upper end, so give it "
            "len(data) - block_size"
        )
    if starts.min() == 1:
        raise Wrong("the first window is never drawn: starts begin at 0")
    if (starts % T == 0).all():
        raise Wrong("windows may start anywhere, not only at multiples of block_size")
    if len(starts.unique()) != last + 1:
        raise Wrong(f"of the {last + 1} possible starts some are never drawn")
    often = torch.bincount(starts.long()) / (many / (last + 1))  # 1 on average
    if often.min() < 0.75 or often.max() > 1.25:  # five standard deviations
        raise Wrong(
            "some starts are likelier than others: use torch.randint(len(data) - block_size)"
        )
    if not same(batch(20, 5)[0], batch(20, 5)[0]):
        raise Wrong(
            "the generator is not used, so a run cannot be repeated: torch.randint takes "
            "generator=generator"
        )
    if same(batch(20, 5)[0], batch(20, 6)[0]):
        raise Wrong("every call gives the same batch: do not set a seed inside")
    if any(part.dtype != torch.long for part in batch(B, 0)):
        raise Wrong("right, but of the wrong type: cross_entropy wants int64 targets; add .long()")
    return "every start is drawn, and each target is the next token"


@exercise
def training_loop(answer):
    batches = Batches()
    model = fresh_model()
    reasons = {
        "'tuple' object": "model(x, y) gives two things: logits, loss = model(x, y)",
        "does not require grad": "without gradients nothing can be trained: no torch.no_grad() here",
        "has no attribute 'backward'": "without y there is no loss: model(x, y)",
        "unpack non-iterable Batches": "batch is a function: x, y = batch()",
        "optimizer got": "give it model.parameters(), not the model",
        "object is not iterable": "give the optimizer model.parameters(), not the model",
    }
    got = call(answer, model, batches, STEPS, RATE, explain=reasons)
    if plain(got) is not got or isinstance(got, (int, float)):
        raise Wrong("this is one number: return the list of all losses, one a step")
    got = list(got)
    if any(getattr(loss, "requires_grad", False) for loss in got):
        raise Wrong(
            "the losses still hold their graphs, which fills the memory: append loss.item()"
        )
    try:
        got = torch.tensor([float(loss) for loss in got])
    except Exception:
        raise Wrong("return a list of numbers, one loss a step") from None
    want, trained = losses_of("right")
    if batches.asked == 2 * STEPS:
        raise Wrong("batch() is called twice a step, so x and y come from different batches")
    if len(got) != STEPS:
        raise Wrong(
            f"it returned {len(got)} of {STEPS} losses, one a step: make the list before the loop, "
            "and return it after the loop"
        )
    mistakes = {hint: losses_of(kind)[0] for kind, hint in MISTAKES.items()}
    compare(got, want, mistakes, "the losses differ from those of the loop in section 7")
    if not same(model.token_embedding.weight, trained):
        raise Wrong("the losses are right, but not the table: is the last update missing?")
    return "the same losses, and the same table, as the loop of section 7"
