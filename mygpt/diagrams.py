"""The drawings of the course: what a teacher would put on the board.

One palette, one way to draw a box, an arrow and a row of cells, so that every drawing looks like
the others, in JupyterLab, in Colab and in the book. Shapes and values are passed in from the real
objects. Each drawing shows itself through `plots.show`, with its text in words for those who cannot
see it.

    diagrams.wirings("(B, T, C)")
"""

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from mygpt.plots import BLUE, char_label, show

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


# ------------------------------------------------------------------ the pieces of a drawing


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


# ------------------------------------------------------------------ 05 blocks


def wirings(shape):
    """One layer wired plainly and with residual connections. `shape`: of the vectors, as text."""
    fig, axes = plt.subplots(1, 2, figsize=(9, 4.6), dpi=150, layout="constrained")
    titles = ("plain: each sublayer replaces the vector", "residual: each sublayer adds to it")
    for ax, title in zip(axes, titles):
        ax.set(xlim=(0, 6), ylim=(0, 5.4), aspect="equal")
        ax.axis("off")
        ax.set_title(title, fontsize=12, color=INK)
    plain, residual = axes
    for y, name, kind in (
        (1.5, "attention", "attention"),
        (3.6, "feed-\nforward", "feed-forward"),
    ):
        box(plain, 3, y, name, kind)
        box(residual, 4.4, y, name, kind)
    for start, end in ((0.35, 1.19), (1.81, 3.29), (3.91, 5.05)):
        arrow(plain, (3, start), (3, end))
    label(plain, 3.15, 0.55, f"x  {shape}", ha="left")
    arrow(residual, (2, 0.35), (2, 5.05), BLUE, width=3)  # the stream itself
    label(residual, 2.2, 0.45, f"x  {shape}", ha="left")
    label(residual, 1.75, 2.7, "the residual\nstream", BLUE, ha="right")
    for y in (1.5, 3.6):
        arrow(residual, (2, y - 0.55), (3.65, y), curve=-0.12)
        residual.plot([5.15, 5.5, 5.5], [y, y, y + 0.75], color=INK, linewidth=1.4)
        arrow(residual, (5.5, y + 0.75), (2.17, y + 0.75))
        circle = dict(
            markersize=17, markerfacecolor="white", markeredgecolor=BLUE, markeredgewidth=2
        )
        residual.plot(2, y + 0.75, "o", **circle)
        label(residual, 2, y + 0.735, "+", BLUE, fontsize=15)
    show(
        fig,
        alt=f"Two diagrams of one layer, read from bottom to top. Plain: x, of shape {shape}, goes "
        "through attention, whose output goes through the feed-forward layer, whose output leaves. "
        "Residual: x runs straight up as a thick line, the residual stream; attention reads it and "
        "its output is added to it; the feed-forward layer reads the sum and its output is added "
        "again.",
    )
