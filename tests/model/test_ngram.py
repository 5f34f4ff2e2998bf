"""The n-gram model, against a recursion on exact fractions that counts in the text itself."""

import math
from fractions import Fraction

import pytest
import torch

from mygpt.ngram import NGram
from mygpt_helpers import BigramLanguageModel, evaluate

IDS = [ord(char) - ord("a") for char in "abracadabrabacabadcadabrra"]  # of a, b, c, d, r
V = 19  # the ids run to r's 17, and 18 never occurs


def exact(ids, n, token, context):
    """Witten and Bell's formula as they write it, counting anew for every probability."""
    if n == 0:
        return Fraction(1, V)
    context = context[len(context) - n + 1 :]  # the last n - 1 tokens
    k = len(context)
    followers = [ids[t] for t in range(k, len(ids)) if ids[t - k : t] == context]
    lower = exact(ids, n - 1, token, context[1:])
    if not followers:
        return lower
    kinds = len(set(followers))
    return (followers.count(token) + kinds * lower) / Fraction(len(followers) + kinds)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_each_probability_is_that_of_the_exact_recursion(n):
    model = NGram(n).fit(torch.tensor(IDS, dtype=torch.uint8), V)
    for context in ([0, 1, 17, 0], [2, 0, 3, 0], [18, 18, 18], [17, 17, 0], [0, 18, 1]):
        want = [float(exact(IDS, n, token, context)) for token in range(V)]
        assert model.probabilities(context).tolist() == pytest.approx(want)
        assert sum(want) == pytest.approx(1)


def test_the_notebooks_example_on_paper():
    """abracadabra: after `a` come b, b, c, d; the uniform guess is 1/5."""
    ids = ["abcdr".index(char) for char in "abracadabra"]
    model = NGram(2).fit(ids, 5)
    assert model.probability(1, []) == pytest.approx((2 + 5 * 1 / 5) / (11 + 5))
    assert model.probability(1, [0]) == pytest.approx((2 + 3 * 3 / 16) / (4 + 3))


def test_the_losses_are_those_of_the_tokens_after_their_contexts():
    model = NGram(3).fit(IDS, V)
    text = torch.tensor([0, 1, 17, 0, 2, 0, 3])
    want = [-math.log(model.probability(text[t], text[:t].tolist())) for t in range(1, 7)]
    assert model.losses(text).tolist() == pytest.approx(want)


@pytest.mark.parametrize("window", [1, 4, 5, 64])
def test_windows_are_those_of_evaluate(window):
    """In each window the context starts anew, and the windows' sums pair with a network's."""
    text = torch.tensor(IDS)
    _, counts = evaluate(BigramLanguageModel(V), text, window, reduction="none")
    model = NGram(3).fit(IDS[::-1], V)
    parts = model.losses(text, window).split(window)
    assert [len(part) for part in parts] == counts.tolist()
    for i, part in enumerate(parts):
        alone = text[i * window : i * window + len(part) + 1]
        assert part.tolist() == pytest.approx(model.losses(alone).tolist())


def test_a_model_holds_all_shorter_ones():
    long, short = NGram(4).fit(IDS, V), NGram(2).fit(IDS, V)
    assert long.shorter(2).stored == short.stored == len(set(IDS)) + len(set(zip(IDS, IDS[1:])))
    assert torch.equal(long.shorter(2).losses(IDS[::-1]), short.losses(IDS[::-1]))
    assert torch.equal(long.shorter(2).probabilities(IDS), short.probabilities(IDS))


def test_a_shorter_model_keeps_what_its_class_was_given():
    class Voter(NGram):
        def __init__(self, n, factor):
            super().__init__(n)
            self.factor = factor

    assert Voter(3, factor=4).fit(IDS, V).shorter(2).factor == 4


def test_it_writes_what_it_has_counted():
    """Each row goes on from its own context, by its own generator, as the bigram network does."""
    model = NGram(3).fit([0, 1, 2] * 2000, 3)  # after 0 comes 1, after 1 comes 2 ...
    idx = torch.tensor([[0, 1], [2, 0]])
    out = model.generate(idx, 4, torch.Generator().manual_seed(0))
    assert out.tolist() == [[0, 1, 2, 0, 1, 2], [2, 0, 1, 2, 0, 1]]
    drawn = NGram(1).fit(IDS, V)
    again = [drawn.generate(idx, 20, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*again) and len(again[0].unique()) > 2


@pytest.mark.parametrize("n", [0, -1, 2.0, "5", None])
def test_an_impossible_n_is_named(n):
    with pytest.raises(ValueError, match="must be an int of at least 1"):
        NGram(n)


def test_a_longer_model_than_was_counted_is_refused():
    with pytest.raises(ValueError, match="for n from 1 to 2"):
        NGram(2).fit(IDS, V).shorter(3)
