"""Drawings of notebook 04: several heads."""

import matplotlib.pyplot as plt
from matplotlib.patches import Polygon, Rectangle

from mygpt.diagrams import FILL, INK, LINE, arrow, box, canvas, cells, label
from mygpt.plots import show

HEADS = ("attention", "feed-forward", "value", "embedding", "output")  # a colour for each head


def two_readers(first, second):
    """One head that reads two digits, beside two heads that read one each."""
    fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), dpi=150, layout="constrained")
    for ax, title in zip(axes, ("one head: one mixture", "two heads: side by side")):
        ax.set(xlim=(0, 6), ylim=(0, 4.6), aspect="equal")
        ax.axis("off")
        ax.set_title(title, fontsize=13, color=INK)
        for x, digit, word in ((1.8, first, "first"), (4.2, second, "second")):
            box(ax, x, 0.95, str(digit), "stream", width=0.8)
            label(ax, x, 0.35, f"the {word} digit")
    one, two = axes
    arrow(one, (1.8, 1.28), (2.7, 2.2))
    arrow(one, (4.2, 1.28), (3.3, 2.2))
    label(one, 1.95, 1.85, "1 − w", ha="right")
    label(one, 4.05, 1.85, "w", ha="left")
    box(one, 3, 2.55, f"(1 − w) · {first} + w · {second}", HEADS[0], width=3.4)
    arrow(one, (3, 2.88), (3, 3.55))
    label(one, 3, 3.85, "one number for the next layer")
    for x, digit, fill in ((1.8, first, HEADS[0]), (4.2, second, HEADS[1])):
        arrow(two, (x, 1.28), (x, 2.2))
        other = 6 - x
        two.plot([other, x], [1.28, 2.2], color=LINE, linewidth=1, linestyle=":")  # weight 0
        side = -1 if x < 3 else 1
        label(two, x + 0.15 * side, 1.75, "1", ha="right" if x < 3 else "left")
        label(two, x + 0.65 * side, 2.55, f"head {int(x > 3)}", ha="right" if x < 3 else "left")
        box(two, x, 2.55, str(digit), fill, width=0.8)
        arrow(two, (x, 2.88), (2.72 if x < 3 else 3.28, 3.55))
    label(two, 3, 1.35, "weight 0", LINE, fontsize=10)
    label(two, 3, 3.85, "two numbers for the next layer")
    show(
        fig,
        alt=f"Two drawings. Left, one head reads the first digit, {first}, with weight 1 − w and the "
        f"second, {second}, with weight w, and passes on one number, their mixture. Right, head 0 "
        f"gives the {first} weight 1 and the {second} weight 0, head 1 the other way round, and both "
        "numbers are passed on.",
    )


def side_by_side(config):
    """(B, T, C) through the heads of `config` and back to (B, T, C)."""
    n_head, C, hs = config.n_head, config.n_embd, config.head_size
    fig, ax = canvas(10, 6.1, figsize=(10, 6.1))
    width, left = 6.4, 0.9
    step = width / n_head
    box(ax, left + width / 2, 0.6, f"x: each token has C = {C} numbers", "stream", width, 0.6)
    for h in range(n_head):
        x, fill = left + (h + 0.5) * step, HEADS[h % len(HEADS)]
        # a funnel from the whole width of x: no head reads only a slice of it
        corners = [(left, 0.92), (left + width, 0.92), (x + 0.35, 1.6), (x - 0.35, 1.6)]
        ax.add_patch(Polygon(corners, facecolor=FILL[fill], edgecolor=LINE, alpha=0.45))
        box(ax, x, 2.0, f"head {h}", fill, step - 0.25, 0.75)
        arrow(ax, (x, 2.39), (x, 3.08))
        box(ax, x, 3.4, f"{hs}", fill, step - 0.02, 0.6)
        arrow(ax, (x, 3.72), (x, 4.32))
    box(ax, left + width / 2, 4.65, f"output projection, {C} × {C}", "plain", width, 0.62)
    arrow(ax, (left + width / 2, 4.98), (left + width / 2, 5.6))
    right = left + width + 0.25
    notes = (
        (0.6, "(B, T, C)"),
        (1.28, "every head reads all of x"),
        (2.0, f"(B, T, hs), hs = {C} / {n_head} = {hs}"),
        (3.4, "side by side: (B, T, C) again"),
        (4.65, "every output draws on all heads"),
        (5.45, "(B, T, C)"),
    )
    for y, note in notes:
        label(ax, right, y, note, ha="left", fontsize=10.5)
    ax.set_xlim(0.5, 11.3)
    show(
        fig,
        alt=f"A drawing, from bottom to top. x has {C} numbers for each token. Each of {n_head} heads "
        f"reads all of them and passes on {hs}. Side by side these are {C} numbers again. The output "
        f"projection turns them into {C} numbers, each of which draws on all heads.",
    )


def heads_cut(numbers, n_head):
    """`view` and `transpose`: numbers (T, C), a list of rows, cut into heads that lie together."""
    T, C = len(numbers), len(numbers[0])
    hs, side = C // n_head, 0.62
    fig, ax = canvas(11, 0.9 + T * side + 1.2, figsize=(11, 1.9 + T * side))
    top = 0.35 + T * side
    kinds = [HEADS[c // hs] for c in range(C)]
    wide = (n_head - 1) * 0.25 + C * 0.56
    for t, row in enumerate(numbers):
        y = top - (t + 1) * side
        cells(ax, 0.9, y, row, kinds, side)
        label(ax, 0.75, y + side / 2, f"token {t}", ha="right", fontsize=10)
        for h in range(n_head):  # after view: an axis for the heads
            x = 4.35 + h * (hs * 0.56 + 0.25)
            cells(ax, x, y + 0.03, row[h * hs : (h + 1) * hs], HEADS[h], side=0.56)
            cells(ax, 8.0 + h * (hs * side + 0.45), y, row[h * hs : (h + 1) * hs], HEADS[h], side)
        ax.add_patch(
            Rectangle((4.27, y + 0.005), wide + 0.16, side - 0.01, fill=False, ls=":", ec=INK)
        )
    gap = (n_head - 1) * 0.45 + C * side
    for x, words in (
        (0.9 + C * side / 2, f"(T, C) = ({T}, {C})"),
        (4.35 + wide / 2, f"view: (T, nh, hs) = ({T}, {n_head}, {hs})"),
        (8.0 + gap / 2, f"transpose: (nh, T, hs) = ({n_head}, {T}, {hs})"),
    ):
        label(ax, x, top + 0.75, words, fontsize=10.5)
    for h in range(n_head):
        label(ax, 8.0 + h * (hs * side + 0.45) + hs * side / 2, top + 0.28, f"head {h}")
    for x in (0.9 + C * side + 0.2, 4.35 + wide + 0.35):
        arrow(ax, (x, top - T * side / 2), (x + 0.55, top - T * side / 2))
    ax.set_xlim(-0.1, 11.1)
    show(
        fig,
        alt=f"A grid of {T} tokens with {C} numbers each, coloured by head. view cuts each row into "
        f"{n_head} pieces of {hs}; transpose then collects the first pieces of all tokens as head 0, "
        "the second pieces as head 1.",
    )


def heads_mixed(numbers, n_head):
    """What `view(nh, T, hs)` makes of the same numbers: each head gets pieces of the wrong tokens."""
    T, C = len(numbers), len(numbers[0])
    hs, side = C // n_head, 0.62
    flat = [(value, HEADS[c // hs]) for row in numbers for c, value in enumerate(row)]
    fig, ax = canvas(7.5, T * side + 1.0, figsize=(7.5, 1.1 + T * side))
    for h in range(n_head):
        x = 1.4 + h * 3.2
        label(ax, x + hs * side / 2, T * side + 0.55, f"what head {h} gets")
        for t in range(T):
            piece = flat[(h * T + t) * hs : (h * T + t + 1) * hs]
            values, fills = zip(*piece)
            y = 0.2 + (T - 1 - t) * side
            cells(ax, x, y, values, list(fills), side)
            label(ax, x - 0.12, y + side / 2, f"“token {t}”", ha="right", fontsize=10)
    show(
        fig,
        alt=f"The same numbers after view(nh, T, hs) at once: head 0's {T} tokens are the first "
        f"{T} pieces in reading order, whichever token and head they belong to.",
    )
