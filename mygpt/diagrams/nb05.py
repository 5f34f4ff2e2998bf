"""Drawings of notebook 05: blocks."""

import matplotlib.pyplot as plt

from mygpt.diagrams import INK, arrow, box, label
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
