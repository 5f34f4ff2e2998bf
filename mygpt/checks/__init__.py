"""What checks a student's answers: one line each, "not attempted yet", right, or the likely mistake.

A check takes the student's answer, runs it on small inputs whose sizes are all different, and
compares the result with the right one and with what the usual mistakes give on the same inputs.
"""

import contextlib
import functools
import io
import math

import torch


class NotAttempted(Exception):
    pass


class Wrong(Exception):
    """Carries the hint."""


def exercise(check):
    """Make a check print its one line and return True only for a right answer."""

    @functools.wraps(check)
    def run(answer):
        try:
            with torch.random.fork_rng(
                range(torch.cuda.device_count())
            ):  # the student's own random numbers stay
                mark, message, right = "✓", f"right: {check(answer)}", True
        except NotAttempted:
            nothing = (
                " (it returns nothing: if you have tried, is a `return` missing?)"
                if callable(answer)
                else ""
            )
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
        raise Wrong(
            f"{otherwise}: {right:,}, not {got:,}, which is {abs(got - right):,} too {'many' if got > right else 'few'}"
        )


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
        raise Wrong(
            'right for small scores, but large ones give nan: exp overflows, or a row is 0 / 0. Fill with float("-inf") '
            "before softmax, and leave softmax to F.softmax, which subtracts each row's largest score first"
        )
    if not same(got, right):
        raise Wrong(
            "right for small scores, but with large ones a hidden place gets weight: "
            'fill the scores with float("-inf") before softmax'
        )


def forbidden(message):
    """Stands in for what an exercise wants done without."""

    def refuse(*args, **kwargs):
        raise RuntimeError(message)

    return refuse


def own_or(check, answer, solution):
    """The reader's own answer where `check` finds it right, else the solution, and one line that says which.

    For the cell after an exercise, so that everybody sees where it leads:

        window = check.own_or(check.window_weights, window_weights, window_weights_solution)
    """
    with contextlib.redirect_stdout(io.StringIO()):
        right = check(answer)
    print(f"{check.__name__}: " + ("your own answer is used" if right else "the solution is used"))
    return answer if right else solution
