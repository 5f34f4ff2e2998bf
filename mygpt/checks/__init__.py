"""What checks a reader's answers. It says one line: right, not attempted yet, or the likely mistake.

A check takes the answer, runs it on small inputs whose sizes are all different, and compares the
result with the right one and with what the usual mistakes give on the same inputs:

    @exercise
    def mean_loss(answer):
        sums, counts = torch.tensor([3.0, 8.0]), torch.tensor([1, 4])
        got = call(answer, sums.clone(), counts.clone())
        mistakes = {"the mean of the windows' means: a short window counts as much as a long one": 2.5}
        compare(got, 2.2, mistakes, "the sum of all losses over the number of characters is wanted")
        return "each character counts once"

The checks stand in a file for each notebook. `build` makes an object of a reader's class.
"""

import contextlib
import dis
import functools
import io
import math
import numbers

import torch
from torch import nn


class NotAttempted(Exception):
    """The exercise stands as it was given."""


class Wrong(Exception):
    """Carries the hint."""


class ReturnsNothing(Wrong, NotAttempted):
    """There is an answer, and it returns None."""


def exercise(check):
    """Make a check print its one line and return True only for a right answer."""

    @functools.wraps(check)
    def run(answer):
        right = False
        try:
            if is_blank(answer):
                raise NotAttempted
            with torch.random.fork_rng(range(torch.cuda.device_count())):  # the reader's stays
                mark, message, right = "✓", f"right: {check(answer)}", True
        except Wrong as hint:
            mark, message = "✗", str(hint)
        except NotAttempted:
            mark, message = "·", "not attempted yet"
        except Exception as error:  # the check itself stumbled over a type that nobody thought of
            mark, message = "✗", f"the answer has another form than is wanted: {told(error)}"
        print(f"{mark} {check.__name__}: {message}")
        return right

    return run


# ------------------------------------------------------------------------------ running an answer


def is_blank(answer):
    """Whether nothing has been written yet: `...`, or a function or class with nothing in it.

    A function that does anything at all, and then forgets to return it, is not blank.
    """
    if isinstance(answer, type):
        classes = [cls for cls in answer.__mro__ if cls not in (object, nn.Module)]
        return all(
            is_blank(value) for cls in classes for value in vars(cls).values() if callable(value)
        )
    if not hasattr(answer, "__code__"):
        return answer is ... or answer is None
    steps = [step for step in dis.get_instructions(answer) if step.opname not in ("RESUME", "NOP")]
    returned = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return len(steps) - len(returned) <= 1 and set(returned) <= {None, ...}


def call(answer, *inputs, explain=None):
    """The answer's result on `inputs`. An exception that it raises becomes the hint.

    `explain` maps words of such a message to what probably lies behind it; the first that fits is
    added. `answer` may be a function, a bound method or a module.
    """
    if answer is ... or answer is None:
        raise NotAttempted
    try:
        result = answer(*inputs)
    except Exception as error:
        raise Wrong(told(error, explain)) from None
    if result is None:
        raise ReturnsNothing("it returns nothing (None): is a `return` missing?")
    if result is ...:
        raise Wrong("it is not finished: it returns `...`")
    return result


def build(answer, *inputs, methods=("forward",), explain=None):
    """An object of the reader's class, made from `inputs`. A hint says why there is none.

    Example: head = build(answer, config, methods=["forward", "weights"]); out = call(head, x)
    """
    if answer is ... or answer is None:
        raise NotAttempted
    if not isinstance(answer, type):
        instead = f"an object of the class {type(answer).__name__}"
        instead = "a function" if hasattr(answer, "__code__") else instead
        raise Wrong(f"the class itself is wanted, and this is {instead}")
    # nn.Module has a forward of its own, which only raises
    missing = [name for name in methods if getattr(answer, name, None) in (None, nn.Module.forward)]
    if missing:
        raise Wrong(f"{answer.__name__} has no method {' and no method '.join(missing)} yet")
    explain = (explain or {}) | {
        "before Module.__init__() call": "__init__ must begin with super().__init__()",
        "has no attribute '_modules'": "__init__ must begin with super().__init__()",
        "takes no arguments": "write an __init__ that takes them",
        "positional argument": f"the check gives {len(inputs)} to __init__, after self",
    }
    try:
        return answer(*inputs)
    except Exception as error:
        raise Wrong(f"{answer.__name__}(...): {told(error, explain)}") from None


def give_weights(module, weights):
    """Load `weights`, {name: tensor} as of a state_dict, into the reader's module.

    A hint names the tensors that are missing, too many or of another shape.
    """
    if not isinstance(module, nn.Module):
        raise Wrong(f"{type(module).__name__} must be a module: class Name(nn.Module)")
    wanted, got = (
        {name: tuple(value.shape) for name, value in one.items()}
        for one in (weights, module.state_dict())
    )
    for name, shape in wanted.items():
        if name not in got:
            has = ", ".join(got) or "none"
            raise Wrong(f"it has no weights called {name}, of shape {shape}; it has {has}")
        if got[name] != shape:
            raise Wrong(f"{name} has shape {got[name]}, expected {shape}")
    if more := ", ".join(f"{name} {shape}" for name, shape in got.items() if name not in wanted):
        raise Wrong(f"it has weights that are not wanted: {more} (a bias? a buffer that is saved?)")
    module.load_state_dict(weights)


def told(error, explain=None):
    """An exception as a hint, with the first explanation whose words are in its message."""
    if isinstance(error, NotImplementedError) or "ellipsis" in str(error):
        return "it is not finished: put your code where `...` or NotImplementedError stands"
    message = f"it raised {type(error).__name__}: {error}"
    reasons = [reason for words, reason in (explain or {}).items() if words in message]
    return f"{message} ({reasons[0]})" if reasons else message


def forbidden(message):
    """Stands in for what an exercise wants done without."""

    def refuse(*args, **kwargs):
        raise RuntimeError(message)

    return refuse


# ------------------------------------------------------------------------------ comparing results


def compare(got, right, mistakes, otherwise, what="the answer"):
    """Raise Wrong unless `got` equals `right`; `mistakes` maps hints to what a mistake would give.

    A mistake that on these inputs gives the right result says nothing, and is passed over.
    """
    for hint, wrong in mistakes.items():
        if same(got, wrong) and not same(wrong, right):
            raise Wrong(hint)
    right = tensor(right)
    try:
        shape = tensor(got).shape
    except Exception:
        raise Wrong(f"{what} is a {type(got).__name__}: a tensor is wanted") from None
    if shape != right.shape:
        expected = tuple(right.shape) or "one number, without axes"
        raise Wrong(f"{what} has shape {tuple(shape)}, expected {expected}")
    if not same(got, right):
        raise Wrong(otherwise)


def compare_number(got, right, mistakes, otherwise):
    """The same for one number that is to be exact."""
    got = number(got)
    for hint, wrong in mistakes.items():
        if got == wrong != right:
            raise Wrong(hint)
    if got != right:
        off = f"{abs(got - right):,} too {'many' if got > right else 'few'}"
        raise Wrong(f"{otherwise}: {right:,}, not {got:,}, which is {off}")


def same(a, b):
    """Equal up to rounding, shapes included; False for what is neither number nor tensor."""
    try:
        a, b = tensor(a).double(), tensor(b).double()
    except Exception:
        return False
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)


def tensor(got):
    """What an answer returned, as a tensor: numbers, numpy's arrays, lists, lists of tensors."""
    try:
        return torch.as_tensor(got)
    except (TypeError, ValueError):
        if not isinstance(got, (list, tuple)):
            raise
        return torch.stack([tensor(part) for part in got])


def number(got):
    """What an answer returned, as a number of Python's: torch's and numpy's are as good."""
    got = plain(got)
    if isinstance(got, bool) or not isinstance(got, numbers.Real):
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
    """Raise Wrong where scores of some hundreds make nan, or give a hidden position weight."""
    if not same(got, got):
        return
    if tensor(got).isnan().any():
        raise Wrong(
            "right for small scores, but large ones give nan: exp overflows, or a row is 0 / 0. "
            'Fill with float("-inf") before softmax, and leave softmax to F.softmax, which '
            "subtracts each row's largest score first"
        )
    if not same(got, right):
        raise Wrong(
            "right for small scores, but with large ones a hidden position gets weight: "
            'fill the scores with float("-inf") before softmax'
        )


# ------------------------------------------------------------------------------ going on with it


def own_or(check, answer, solution):
    """The reader's own answer where `check` finds it right, else the solution; says which, in a line.

    For the cell after an exercise, so that everybody sees where it leads:

        window = check.own_or(check.window_weights, window_weights, window_weights_solution)
    """
    with contextlib.redirect_stdout(io.StringIO()):
        right = check(answer)
    print(f"{check.__name__}: " + ("your own answer is used" if right else "the solution is used"))
    return answer if right else solution
