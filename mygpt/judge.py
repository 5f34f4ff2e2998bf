"""Is this run healthy? Reference curves, their band, and one sentence about a history."""

import json
import math

import torch
from torch.nn import functional as F

from mygpt.files import DATA

# Student's t for a two-sided interval of 95 %, for the mean of n runs
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


def load_reference(name="laptop"):
    """The curves of one or more runs of a preset, on TinyShakespeare.

    {"preset": ..., "text": ..., "runs": [{"seed", "steps", "val_loss", ...}]}
    """
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
    n - 1 (a prediction interval: Cochran and Snedecor, Statistical Methods). Between two evaluations
    it lies on the straight line, and after the last one it stays. Raises ValueError for fewer than
    two runs.
    """
    losses = [value_at(step, run["steps"], run["val_loss"]) for run in reference["runs"]]
    n, losses = len(losses), torch.tensor(losses)
    if n < 2:
        raise ValueError(f"a band needs the curves of at least two runs: this reference has {n}")
    reach = STUDENT[min(n, 10)] * losses.std().item() * math.sqrt(1 + 1 / n)
    return losses.mean().item() - reach, losses.mean().item() + reach


def value_at(step, steps, values):
    """The value at `step` on the straight lines through the points (steps, values).

    Example: value_at(150, [0, 100, 200], [4.0, 3.0, 2.0]) -> 2.5
    """
    step = min(max(step, steps[0]), steps[-1])
    i = max(1, next(i for i, s in enumerate(steps) if s >= step))
    share = (step - steps[i - 1]) / (steps[i] - steps[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])


def judge(history, reference):
    """One sentence: is this run healthy, and if not, what is wrong and what helps?

    Looks in turn for losses that are NaN or infinite, a training loss that rose, a validation loss
    that turned up while training fell, and next to no progress. What is left is compared with the
    reference's band. There is no verdict beside a single reference run, which makes no band, or for
    another text than the reference's, whose losses cannot be compared.
    """
    steps, train_loss, val_loss = history.steps, history.train_loss, history.val_loss
    if len(steps) < 2:
        return "too early to judge: the run has been evaluated only once"
    bad = [s for s, a, b in zip(steps, train_loss, val_loss) if not math.isfinite(a + b)]
    if bad:
        return (
            f"diverged: the loss is NaN or infinite at step {bad[0]}; lower the learning rate, "
            f"or clip the gradient"
        )
    best, lowest = history.best_index, min(train_loss)
    if train_loss[-1] > lowest + 0.1:
        return (
            f"diverging: the training loss rose from {lowest:.2f} to {train_loss[-1]:.2f}; lower the "
            f"learning rate, use a longer warm-up, or clip the gradient"
        )
    # 0.03 nats is more than evaluations of a steady run differ by
    if val_loss[-1] > val_loss[best] + 0.03 and train_loss[-1] < train_loss[best]:
        return (
            f"overfitting: the validation loss turned up at step {steps[best]} ({val_loss[best]:.3f}, "
            f"now {val_loss[-1]:.3f}) while the training loss fell to {train_loss[-1]:.2f}; keep the "
            f"checkpoint of step {steps[best]}, or add dropout or text"
        )
    return compare(history, reference)


def compare(history, reference):
    """One sentence about a run with nothing wrong in its own curves: how is it beside the reference?"""
    runs, on = reference["runs"], f" on {reference['text']}" if "text" in reference else ""
    step, loss = history.steps[-1], history.val_loss[-1]
    texts = {run.get("val_text", "") for run in runs}
    if history.val_text and "" not in texts and history.val_text not in texts:
        return (
            f"no verdict: the reference runs are{on}, and this run was evaluated on another text; "
            f"its validation loss fell from {history.val_loss[0]:.3f} to {loss:.3f} by step {step}"
        )
    first = runs[0]["steps"][1]
    if step < first:  # before it the reference is a straight line, which no run follows
        return (
            f"too early to judge: the reference runs were first evaluated at step {first}, "
            f"and this one ends at step {step}"
        )
    if len(runs) == 1:
        low = high = value_at(step, runs[0]["steps"], runs[0]["val_loss"])
    else:
        low, high = band(reference, step)
    if history.val_loss[0] - loss < (history.val_loss[0] - high) / 2:
        return (
            f"stuck: at step {step} the validation loss is {loss:.2f}, and the reference runs have "
            f"{(low + high) / 2:.2f}; print an input and its target as text, overfit one batch, "
            f"try other learning rates"
        )
    here = f"at step {step} the validation loss is {loss:.3f}"
    if len(runs) == 1:
        last = min(step, runs[0]["steps"][-1])
        return f"no verdict: {here}; the only reference run{on} had {low:.3f} at step {last}"
    here = f"{here}, the band of {len(runs)} runs{on} is {low:.3f} to {high:.3f}"
    if loss > high:
        return f"learning, but behind the reference ({here}); other settings, or a small mistake"
    if loss < low:
        return (
            f"better than the reference ({here}); other settings, or a leak of the validation text"
        )
    return f"healthy: inside the band ({here})"


def mean_and_error(sums, counts, stretch=2048):
    """Mean loss and its standard error from what evaluate(..., reduction="none") returns.

    Neighbouring characters are not independent, so windows are first joined into consecutive
    stretches of about `stretch` tokens, and the error is that of a ratio of sums over stretches
    (Cochran, Sampling Techniques, 1977, equation 6.13). For the gain of one model over another pass
    the difference of their sums: what is hard for both then cancels. The windows must be the same.

    Example: mean_and_error(*evaluate(model, val_data, reduction="none")) -> (1.639, 0.019)
    """
    windows = max(1, stretch // int(counts[0]))  # in a stretch
    missing = -len(sums) % windows  # the last stretch is filled up with windows of no tokens
    sums, counts = (
        F.pad(part.double(), (0, missing)).view(-1, windows).sum(dim=1) for part in (sums, counts)
    )
    n, mean = len(sums), (sums.sum() / counts.sum()).item()
    if n < 2:
        raise ValueError(
            f"one stretch of {int(counts.sum())} tokens has no spread: use a shorter `stretch`"
        )
    spread = ((sums - mean * counts) ** 2).sum() / (n - 1)
    return mean, (spread * n).sqrt().item() / counts.sum().item()
