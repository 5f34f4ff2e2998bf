"""Checks of notebook NN's exercises."""

import torch

from mygpt.checks import build, call, compare, exercise, own_or  # noqa: F401 (check.own_or)

DATA = torch.tensor([2, 3, 1, 2, 1, 2, 3, 3, 3, 3, 2])  # so that no two mistakes look alike


@exercise
def repeats(answer):
    for distance in (1, 3):
        compare_repeats(call(answer, DATA.clone(), distance), distance)
    return "one comparison for the whole text"


@exercise
def repeats_class(answer):
    for distance in (1, 3):
        own = build(answer, distance, methods=["share"])
        compare_repeats(call(own.share, DATA.clone()), distance)
    return "the object remembers its distance"


def compare_repeats(got, distance):
    match = (DATA[distance:] == DATA[:-distance]).float()
    right, joined = match.mean(), (DATA == DATA.roll(distance)).float().mean()
    mistakes = {
        "these are the matches: their mean is wanted": match,
        "this is how many agree: divide by the number of pairs": match.sum(),
        "each character was compared with itself": 1.0,
        "divided by len(data): there are only len(data) - distance pairs": match.sum() / len(DATA),
        "these are the pairs that differ": 1 - right,
        "roll joins the end to the beginning: those are no pairs of the text": joined,
    }
    compare(got, right, mistakes, f"the share of pairs that agree at distance {distance} is wanted")
