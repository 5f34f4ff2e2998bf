"""Drawings of notebook 05: blocks."""

import matplotlib.pyplot as plt

from mygpt.diagrams import INK, arrow, box, canvas, cells, label
from mygpt.plots import BLUE, show


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
        plus(residual, 2, y + 0.75)
    show(
        fig,
        alt=f"Two diagrams of one layer, read from bottom to top. Plain: x, of shape {shape}, goes "
        "through attention, whose output goes through the feed-forward layer, whose output leaves. "
        "Residual: x runs straight up as a thick line, the residual stream; attention reads it and "
        "its output is added to it; the feed-forward layer reads the sum and its output is added "
        "again.",
    )


def feed_forward(n_embd):
    """What the feed-forward layer does with the vector of one token, C = n_embd entries."""
    wide = 4 * n_embd
    fig, ax = canvas(10, 3.9)
    rows = (  # y, how many cells are drawn, size of a cell, fill, what stands at the left and right
        (0.35, 6, 0.42, "stream", "x", f"({n_embd},)"),
        (1.55, 24, 0.27, "feed-forward", "wider", f"({wide},)"),
        (2.95, 6, 0.42, "stream", "out", f"({n_embd},)"),
    )
    for y, count, side, kind, name, shape in rows:
        left = 5 - count * side / 2
        cells(ax, left, y, [""] * count, kind, side=side)
        label(ax, 0.2, y + side / 2, name, ha="left")
        label(ax, 9.8, y + side / 2, shape, ha="right")
    for x in (3.9, 5, 6.1):
        arrow(ax, (x, 0.82), (5 + 2 * (x - 5), 1.5))
        arrow(ax, (5 + 2 * (x - 5), 1.87), (x, 2.9))
    label(ax, 8.6, 1.12, "a matrix", fontsize=10)
    label(ax, 8.6, 2.4, "GELU bends each number,\nthen a second matrix", fontsize=10)
    show(
        fig,
        alt=f"Three rows of cells, from bottom to top. A token's vector of {n_embd} entries goes "
        f"through a matrix and becomes {wide} entries. Each of these is bent by GELU, and a second "
        f"matrix brings them back to {n_embd} entries.",
    )


def block(shape):
    """A block: two branches that read a normalised copy of the stream, and add to it."""
    fig, ax = canvas(8.6, 6.3, figsize=(7.2, 5.3))
    arrow(ax, (2, 0.3), (2, 6.1), BLUE, width=3)
    label(ax, 2.25, 0.35, f"x  {shape}", ha="left")
    label(ax, 1.7, 3.1, "the residual\nstream", BLUE, ha="right")
    branches = ((1.25, "ln_1", "attn", "attention"), (3.95, "ln_2", "mlp", "feed-forward"))
    for y, norm, name, kind in branches:
        arrow(ax, (2, y - 0.35), (3.6, y), curve=-0.12)
        box(ax, 4.3, y, norm, "output", width=1.3)
        arrow(ax, (4.95, y), (5.55, y))
        box(ax, 6.3, y, name, kind)
        ax.plot([7.05, 7.5, 7.5], [y, y, y + 1.1], color=INK, linewidth=1.4)
        arrow(ax, (7.5, y + 1.1), (2.2, y + 1.1))
        plus(ax, 2, y + 1.1)
        label(ax, 4.9, y + 1.38, f"what it adds  {shape}", fontsize=10)
    show(
        fig,
        alt=f"A block, read from bottom to top. x, of shape {shape}, runs straight up as a thick "
        "line, the residual stream. A first branch reads it through ln_1 and attn, and its output "
        "is added to the line. A second branch reads the sum through ln_2 and mlp, and its output "
        "is added again.",
    )


def plus(ax, x, y):
    """The place where a branch is added to the stream."""
    circle = dict(markersize=17, markerfacecolor="white", markeredgecolor=BLUE, markeredgewidth=2)
    ax.plot(x, y, "o", **circle)
    label(ax, x, y - 0.015, "+", BLUE, fontsize=15)
