"""Is this run healthy? Reference curves, their band, and one sentence about a history."""

import json
import math

import torch
from torch.nn import functional as F

from mygpt.files import DATA


def load_reference(name="laptop"):
    """The curves of one or more runs of a preset: {"preset": ..., "runs": [{"seed", "steps", "val_loss", ...}]}."""
    path = DATA / "reference" / f"{name}.json"
    if not path.exists():
        have = sorted(file.stem for file in path.parent.glob("*.json") if file.stem != "ladder")
        raise ValueError(
            f"there are no reference curves {name!r}: there are {', '.join(have) or 'none'}"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def band(reference, step):
    """(low, high): where 19 of 20 further runs' validation losses are expected at `step`.

    Mean ± t s √(1 + 1/n) over the reference's n runs, s their standard deviation and t Student's for
    n - 1 (a prediction interval: Cochran and Snedecor, Statistical Methods); between two evaluations
    on the straight line; after the last one, as there. Raises ValueError for fewer than two runs.
    """
    values = torch.tensor(
        [value_at(step, run["steps"], run["val_loss"]) for run in reference["runs"]]
    )
    n = len(values)
    if n < 2:
        raise ValueError(f"a band needs the curves of at least two runs: this reference has {n}")
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}[
        min(n, 10)
    ]
    reach = t * values.std().item() * math.sqrt(1 + 1 / n)
    return values.mean().item() - reach, values.mean().item() + reach


def value_at(step, steps, values):
    """The value at `step` on the straight lines through the points (steps, values)."""
    step = min(max(step, steps[0]), steps[-1])
    i = max(1, next(i for i, s in enumerate(steps) if s >= step))
    share = (step - steps[i - 1]) / (steps[i] - steps[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])


def judge(history, reference):
    """One sentence: is this run healthy, and if not, what is it and what helps?

    Looks in turn for losses that are no numbers, a training loss that rose, a validation loss that
    turned up while training fell, and next to no progress; what is left is compared with the
    reference's band. A reference of one run has none: its loss is named, and no verdict given.
    0.03 nats is more than evaluations of a steady run differ by.
    """
    steps, train_loss, val_loss = history.steps, history.train_loss, history.val_loss
    if len(steps) < 2:
        return "too early to judge: the run has been evaluated only once"
    bad = [s for s, a, b in zip(steps, train_loss, val_loss) if not math.isfinite(a + b)]
    if bad:
        return f"diverged: the loss is no number at step {bad[0]}; lower the learning rate, or clip the gradient"
    last, best, low_train = steps[-1], history.best, min(train_loss)
    first = reference["runs"][0]["steps"][1]
    if train_loss[-1] > low_train + 0.1:
        return (
            f"diverging: the training loss rose from {low_train:.2f} to {train_loss[-1]:.2f}; lower the learning "
            f"rate, warm it up for longer, or clip the gradient"
        )
    if val_loss[-1] > val_loss[best] + 0.03 and train_loss[-1] < train_loss[best]:
        return (
            f"overfitting: the validation loss turned up at step {steps[best]} ({val_loss[best]:.3f}, now "
            f"{val_loss[-1]:.3f}) while the training loss fell to {train_loss[-1]:.2f}; keep the checkpoint of "
            f"step {steps[best]}, or add dropout or text"
        )
    if last < first:  # before it the reference is a straight line, which no run follows
        return f"too early to judge: the reference runs were first evaluated at step {first}, this one ends at {last}"
    runs = reference["runs"]
    alone = len(runs) == 1
    low, high = (
        [value_at(last, runs[0]["steps"], runs[0]["val_loss"])] * 2
        if alone
        else band(reference, last)
    )
    if val_loss[0] - val_loss[-1] < (val_loss[0] - high) / 2:
        return (
            f"stuck: at step {last} the loss is {val_loss[-1]:.2f}, where the reference runs have "
            f"{(low + high) / 2:.2f}; decode an input beside its target, overfit one batch, try other learning rates"
        )
    if alone:
        return (
            f"no verdict: at step {last}, validation {val_loss[-1]:.3f}; the only reference run, which makes no "
            f"band, had {low:.3f} at step {min(last, runs[0]['steps'][-1])}"
        )
    place = f"at step {last}, validation {val_loss[-1]:.3f}; the band of {len(runs)} runs: {low:.3f} to {high:.3f}"
    if val_loss[-1] > high:
        return f"learning, but behind the reference ({place}); other settings, or a smaller mistake"
    if val_loss[-1] < low:
        return (
            f"better than the reference ({place}); other settings, or a leak of the validation text"
        )
    return f"healthy: inside the band ({place})"


def mean_and_error(sums, counts, stretch=2048):
    """Mean loss and its standard error from what evaluate(..., reduction="none") returns.

    Neighbouring characters are not independent, so windows are first joined into consecutive
    stretches of about `stretch` tokens, and the error is that of a ratio of sums over stretches
    (Cochran, Sampling Techniques, 1977, equation 6.13). For the gain of one model over another pass
    the difference of their sums: what is hard for both then cancels. The windows must be the same.
    """
    group = max(1, stretch // int(counts[0]))
    missing = (
        -len(sums) % group
    )  # windows of zero tokens, so that the last stretch has as many as the others
    sums, counts = (
        F.pad(part.double(), (0, missing)).view(-1, group).sum(dim=1) for part in (sums, counts)
    )
    n, mean = len(sums), (sums.sum() / counts.sum()).item()
    if n < 2:
        raise ValueError(
            f"one stretch of {int(counts.sum())} tokens has no spread: use a shorter `stretch`"
        )
    spread = ((sums - mean * counts) ** 2).sum() / (n - 1)
    return mean, (spread * n).sqrt().item() / counts.sum().item()
