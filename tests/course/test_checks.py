"""The checks are checked: each refuses its known wrong answers, each with the right hint.

The wrong answers stand in tests/wrong_answers/nbNN.py, with unusual right ones. That each folded
solution passes is asserted in the notebooks, which nbval runs. Files are read inside the tests, so
one that is broken fails alone.
"""

import contextlib
import importlib
import io
import runpy
from collections import Counter
from pathlib import Path

import pytest
import torch
from test_notebooks import FIRST_EDITION, read
from torch import nn

from mygpt.checks import (
    Wrong,
    build,
    call,
    compare,
    exercise,
    give_weights,
    is_blank,
    number,
    own_or,
)
from notebook_facts import calls, code_cells, is_draft, paths

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = [path.stem[2:] for path in sorted((ROOT / "mygpt" / "checks").glob("nb*.py"))]
every_notebook = pytest.mark.parametrize("nb", NUMBERS)


def checks(nb):
    """{name: check} of a notebook."""
    found = vars(importlib.import_module(f"mygpt.checks.nb{nb}"))
    return {name: value for name, value in found.items() if hasattr(value, "__wrapped__")}


def answers(nb, kind):
    """The cases of tests/wrong_answers/nbNN.py: (check, answer, hint), or (check, answer) for RIGHT."""
    return runpy.run_path(str(ROOT / "tests" / "wrong_answers" / f"nb{nb}.py")).get(kind, [])


def judged(check, answer):
    """Whether the check finds the answer right, and the line that it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        right = check(answer)
    return right, printed.getvalue().strip()


@every_notebook
def test_wrong_answers_get_their_hints(nb):
    found, problems = checks(nb), []
    for name, answer, hint in answers(nb, "CASES"):
        right, line = judged(found[name], answer)
        if right or not line.startswith(f"✗ {name}: ") or hint not in line:
            problems.append(f"{hint!r} is wanted: {line}")
    assert not problems, "\n".join(problems)


@every_notebook
def test_right_answers_pass_in_any_style(nb):
    found = checks(nb)
    lines = [judged(found[name], answer) for name, answer in answers(nb, "RIGHT")]
    assert all(right for right, _ in lines), "\n".join(line for right, line in lines if not right)


@every_notebook
def test_each_check_knows_enough_answers(nb):
    wrong, right = (Counter(c[0] for c in answers(nb, kind)) for kind in ("CASES", "RIGHT"))
    least = (3, 0) if nb in FIRST_EDITION else (6, 4)
    have = {name: (wrong[name], right[name]) for name in checks(nb)}
    few = {name: n for name, n in have.items() if n[0] < least[0] or n[1] < least[1]}
    assert have and not few, f"wrong and right answers, at least {least}: {few}"


@every_notebook
def test_every_check_is_used_by_an_exercise(nb):
    (path,) = paths([nb])
    if is_draft(read(path)):
        pytest.skip("a draft")
    assert set(checks(nb)) == set(calls(code_cells(read(path), "exercise"), "check"))


def ellipsis(*inputs): ...


def forgets(*inputs):
    len(inputs)


def raises(*inputs):
    raise KeyError("q")


class Empty: ...


class EmptyModule(nn.Module):
    def forward(self, x): ...


@every_notebook
@pytest.mark.parametrize("blank", [..., None, ellipsis, lambda *inputs: None, Empty, EmptyModule])
def test_an_answer_that_is_blank_is_not_attempted(blank, nb):
    for check in checks(nb).values():
        right, line = judged(check, blank)
        assert not right and line.endswith("not attempted yet")


class Inherits(nn.Linear):
    pass


def test_a_class_that_inherits_what_it_does_is_not_blank():
    assert is_blank(EmptyModule) and not is_blank(Inherits)


CLASS_WANTED = "the class itself is wanted"


@every_notebook
@pytest.mark.parametrize("answer, says", [(forgets, "return"), (raises, "KeyError: 'q'")])
def test_what_stops_an_answer_is_told(answer, says, nb):
    for check in checks(nb).values():
        right, line = judged(check, answer)
        assert not right and (says in line or CLASS_WANTED in line)


@every_notebook
@pytest.mark.parametrize(
    "result", ["text", {}, object(), (), [None], (torch.ones(2), "x"), torch.ones(0), True, print]
)
def test_an_answer_of_any_type_gets_a_sentence(result, nb):
    for name, check in checks(nb).items():
        right, line = judged(check, lambda *inputs: result)
        assert line.startswith(f"✗ {name}: ") or right and isinstance(result, bool)


@every_notebook
def test_no_check_disturbs_the_random_numbers_of_the_notebook(nb):
    for name, check in checks(nb).items():
        before = torch.get_rng_state()
        judged(check, lambda *inputs: torch.rand(3))
        assert torch.equal(torch.get_rng_state(), before), name


# ------------------------------------------------------------------------------ the machinery


def hint_of(function, *inputs, **options):
    with pytest.raises(Wrong) as hint:
        function(*inputs, **options)
    return str(hint.value)


@pytest.mark.parametrize(
    "answer",
    [
        [1.0, 2.0],
        torch.tensor([1.0, 2.0]).numpy(),
        (torch.tensor(1.0), torch.tensor(2)),
        [torch.tensor([1.0]).sum(), 2],
    ],
)
def test_a_right_result_may_have_any_type(answer):
    compare(answer, torch.tensor([1.0, 2.0]), {}, "no")


def test_nested_lists_of_tensors_are_a_tensor():
    compare([[torch.ones(2), torch.zeros(2)]], torch.tensor([[[1.0, 1], [0, 0]]]), {}, "no")


@pytest.mark.parametrize(
    "got, says",
    [
        ("text", "str: a tensor is wanted"),
        (torch.ones(1), "has shape (1,), expected one number, without axes"),
        (1.5, "half is a mistake"),
        (3.0, "otherwise"),
    ],
)
def test_compare_says_what_is_wrong(got, says):
    assert says in hint_of(compare, got, 1.0, {"half is a mistake": 1.5}, "otherwise")


def test_a_mistake_that_gives_the_right_result_says_nothing():
    compare(1.0, 1.0, {"a mistake that does not show here": 1.0}, "otherwise")


@pytest.mark.parametrize("got, says", [("7", "a str: a number"), (True, "a bool: a number")])
def test_a_number_is_wanted(got, says):
    assert says in hint_of(number, got)


def not_implemented(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    "answer, says",
    [
        (forgets, "is a `return` missing"),
        (not_implemented, "not finished"),
        (lambda x: x + ..., "not finished"),
        (lambda x: ... if x else 1, "not finished"),
        (lambda x: x[3], "(index it"),
    ],
)
def test_call_explains(answer, says):
    assert says in hint_of(call, answer, 1, explain={"subscriptable": "index it"})


class NoInit:
    def forward(self, x):
        return x


class NoSuper(nn.Module):
    def __init__(self, width):
        self.linear = nn.Linear(width, width)

    forward = NoInit.forward


class Two(nn.Module):
    def __init__(self, width, depth):
        super().__init__()

    forward = NoInit.forward


class NoForward(nn.Module):
    def __init__(self, width):
        super().__init__()


@pytest.mark.parametrize(
    "answer, says",
    [
        (forgets, "the class itself is wanted, and this is a function"),
        (nn.Linear(2, 2), "this is an object of the class Linear"),
        (NoForward, "NoForward has no method forward yet"),
        (NoInit, "write an __init__ that takes them"),
        (NoSuper, "__init__ must begin with super().__init__()"),
        (Two, "the check gives 1 to __init__"),
    ],
)
def test_build_explains(answer, says):
    assert says in hint_of(build, answer, 3)


def test_build_makes_an_object():
    assert build(nn.Linear, 3, 2).out_features == 2


@pytest.mark.parametrize(
    "module, says",
    [
        (nn.Linear(3, 2), "not wanted: bias (2,)"),
        (nn.Linear(2, 3, bias=False), "weight has shape (3, 2), expected (2, 3)"),
        (nn.Identity(), "no weights called weight, of shape (2, 3); it has none"),
        (NoInit(), "must be a module"),
    ],
)
def test_give_weights_names_what_does_not_fit(module, says):
    assert says in hint_of(give_weights, module, {"weight": torch.ones(2, 3)})


def test_give_weights_gives_them():
    module = nn.Linear(3, 2, bias=False)
    give_weights(module, {"weight": torch.ones(2, 3)})
    assert torch.equal(module.weight, torch.ones(2, 3))


@exercise
def double(answer):
    compare(call(answer, 2.0), 4.0, {}, "twice the number is wanted")
    return "twice"


def solution(x):
    return 2 * x


@exercise
def careless(answer):
    return answer(1).shape


def test_a_check_that_stumbles_says_so_in_a_sentence():
    right, line = judged(careless, lambda x: x)
    assert not right and line.startswith("✗ careless: the answer has another form than is wanted")


@pytest.mark.parametrize(
    "answer, says",
    [(lambda x: x + x, "your own answer is used"), (..., "the solution is used")],
)
def test_own_or_goes_on_with_a_right_answer(answer, says, capsys):
    used = own_or(double, answer, solution)
    assert used is (solution if answer is ... else answer)
    assert capsys.readouterr().out == f"double: {says}\n"
