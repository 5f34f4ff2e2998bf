"""Drawings of notebook NN."""

from mygpt.diagrams import canvas, characters, label
from mygpt.plots import char_label, show


def shifted(text, distance):
    """A text above itself, moved right by `distance`; where both have the same character is marked."""
    fig, ax = canvas(len(text) + distance + 2.0, 2.6, figsize=(9, 2))
    label(ax, 1.6, 1.8, "text", ha="right")
    label(ax, 1.6, 0.8, "moved", ha="right")
    same = [i >= distance and text[i] == text[i - distance] for i in range(len(text))]
    characters(ax, 2, 1.4, text, side=0.9, kind=["output" if hit else "plain" for hit in same])
    characters(ax, 2 + 0.9 * distance, 0.4, text, side=0.9)
    show(
        fig,
        alt=f"The text {''.join(map(char_label, text))} in a row of cells, and beneath it the same "
        f"row moved to the right by {distance}. {sum(same)} pairs of cells hold the same character.",
    )
