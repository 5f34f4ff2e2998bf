"""The checks are checked: each must reject its known wrong answers, each with the right hint.

The wrong answers stand in wrong_answers_NN.py, one file a notebook. That each folded solution passes
is asserted in the notebooks, which nbval runs.
"""

import importlib
from collections import Counter
from pathlib import Path

import pytest
import torch

FILES = sorted(path.stem for path in Path(__file__).parent.glob("wrong_answers_*.py"))
CASES = [case for name in FILES for case in importlib.import_module(name).CASES]
CHECKS = [name for name, value in vars(mygpt_checks).items() if hasattr(value, "__wrapped__")]


@pytest.mark.parametrize(
    "name, answer, hint", CASES, ids=[f"{name}-{hint}" for name, _, hint in CASES]
)
def test_a_wrong_answer_gets_its_hint(name, answer, hint, capsys):
    assert getattr(mygpt_checks, name)(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"✗ {name}: ") and hint in printed


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_knows_three_wrong_answers(name):
    assert Counter(case[0] for case in CASES)[name] >= 3


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(
    "unfinished",
    [..., lambda *inputs: None, lambda *inputs: ...],
    ids=["...", "None", "returns ..."],
)
def test_an_unfinished_answer_is_not_attempted(name, unfinished, capsys):
    assert getattr(mygpt_checks, name)(unfinished) is False
    assert "not attempted yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", CHECKS)
def test_an_answer_that_raises_is_told_why(name, capsys):
    def raises(*inputs):
        raise KeyError("q")

    assert getattr(mygpt_checks, name)(raises) is False
    assert "KeyError: 'q'" in capsys.readouterr().out


def test_no_check_disturbs_the_random_numbers_of_the_notebook(capsys):
    for name in CHECKS:
        before = torch.get_rng_state()
        getattr(mygpt_checks, name)(lambda *inputs: torch.rand(3))
        assert torch.equal(torch.get_rng_state(), before), name
