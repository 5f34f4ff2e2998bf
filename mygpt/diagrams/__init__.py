"""The drawings of the course: what a teacher would put on the board.

One palette, one way to draw a box, an arrow and a row of cells, so that every drawing looks like
the others, in JupyterLab, in Colab and in the book. Shapes and values are passed in from the real
objects. Each drawing shows itself through `plots.show`, with its text in words for those who cannot
see it. Here are the pieces; the drawings stand in a file for each notebook:

    from mygpt.diagrams import nb05 as diagrams

    diagrams.wirings("(B, T, C)")
"""

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from mygpt.plots import char_label

INK, PALE, LINE = "#333333", "#f4f1ea", "#b9b4a8"
FILL = {
    "plain": "#ffffff",
    "stream": PALE,
    "attention": "#cfe3f1",  # also queries
    "feed-forward": "#fbe3cc",  # also keys
    "value": "#d5ecdd",
    "embedding": "#eadff0",
    "output": "#f6e7a8",
    "hidden": "#e3e3e3",  # masked, or not there
}


def canvas(width, height, figsize=None, title=""):
    """An empty drawing surface, width x height units, the same scale both ways: (fig, ax)."""
    fig, ax = plt.subplots(figsize=figsize or (width, height), dpi=150, layout="constrained")
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    if title:
        ax.set_title(title, fontsize=12, color=INK)
    return fig, ax


def box(ax, x, y, text, kind="plain", width=1.5, height=0.62, fontsize=11):
    """A rounded box centred at (x, y)."""
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            facecolor=FILL[kind],
            edgecolor=INK,
            linewidth=1.1,
            boxstyle="round,pad=0,rounding_size=0.12",
        )
    )
    label(ax, x, y, text, fontsize=fontsize)


def arrow(ax, start, end, color=INK, curve=0.0, width=1.4):
    """An arrow from `start` to `end`, both (x, y)."""
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=13,
            color=color,
            linewidth=width,
            connectionstyle=f"arc3,rad={curve}",
            shrinkA=0,
            shrinkB=0,
        )
    )


def label(ax, x, y, text, color=INK, fontsize=11, **settings):
    """Text centred at (x, y), unless `ha` and `va` say otherwise."""
    ax.text(
        x, y, text, **({"ha": "center", "va": "center"} | settings), color=color, fontsize=fontsize
    )


def cells(ax, x, y, texts, kind="plain", side=0.6, fontsize=11):
    """A row of square cells, the first one's lower left corner at (x, y). `kind`: one, or one each."""
    kinds = [kind] * len(texts) if isinstance(kind, str) else kind
    for i, (text, fill) in enumerate(zip(texts, kinds)):
        ax.add_patch(
            Rectangle(
                (x + i * side, y), side, side, facecolor=FILL[fill], edgecolor=INK, linewidth=0.9
            )
        )
        label(ax, x + (i + 0.5) * side, y + side / 2, text, fontsize=fontsize)


def characters(ax, x, y, text, **settings):
    """A row of cells with one character each, space and newline made visible."""
    cells(ax, x, y, [char_label(char) for char in text], **settings)
