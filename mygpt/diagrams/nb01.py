"""Drawings of notebook 01: from a text to batches, how an n-gram model shares its vote, one row of a table."""

import matplotlib.pyplot as plt

from mygpt.diagrams import INK, LINE, arrow, box, canvas, cells, characters, label
from mygpt.plots import BLUE, RED, char_label, show

SIDE = 0.6


def pipeline(text, ids, starts, block_size):
    """A text, its ids, and a batch cut from them: row b starts at starts[b], targets one to the right.

    text: the characters to show; ids: one for each. The windows should not overlap.
    """
    width = SIDE * len(text) + 2.2
    fig, ax = canvas(width, 6.5, figsize=(11, 11 * 6.5 / width))
    left = 1.9

    def middle(t):  # of the t-th cell
        return left + (t + 0.5) * SIDE

    windows = [range(start, start + block_size) for start in starts]
    kinds = ["attention" if any(t in w for w in windows) else "plain" for t in range(len(text))]
    for window in windows:
        if window.stop < len(text):
            kinds[window.stop] = "output"  # the last target lies outside its window
    label(ax, left - 0.3, 5.9, "text", ha="right")
    characters(ax, left, 5.6, text, kind=kinds, side=SIDE, fontsize=12)
    for t in range(len(text)):
        arrow(ax, (middle(t), 5.56), (middle(t), 5.24), LINE, width=1)
    label(ax, left - 0.3, 4.9, "ids", ha="right")
    cells(ax, left, 4.6, ids, kind=kinds, side=SIDE, fontsize=10)
    label(ax, left - 0.3, 3.0, f"x  ({len(starts)}, {block_size})", BLUE, ha="right")
    label(ax, left - 0.3, 1.5, f"y  ({len(starts)}, {block_size})", RED, ha="right")
    for b, window in enumerate(windows):
        x = left + window.start * SIDE
        for edge in (x, x + block_size * SIDE):
            ax.plot([edge, edge], [3.35, 4.55], color=BLUE, linewidth=1, linestyle=":")
        label(ax, x + block_size * SIDE / 2, 3.75, f"row {b}", BLUE)
        cells(ax, x, 2.7, ids[window.start : window.stop], "attention", SIDE, fontsize=10)
        cells(ax, x, 1.2, ids[window.start + 1 : window.stop + 1], "output", SIDE, fontsize=10)
        for t in window:
            arrow(ax, (middle(t), 2.66), (middle(t), 1.86), INK, width=1)
            label(ax, middle(t), 0.9, char_label(text[t + 1]), fontsize=11)
    label(ax, left - 0.3, 0.9, "that is", ha="right", fontsize=10)
    label(
        ax,
        left + SIDE * len(text) / 2,
        0.25,
        "each arrow: having read up to here, predict that",
        fontsize=11,
    )
    rows = "; ".join(
        f"row {b} of x is {text[w.start : w.stop]!r}, its targets are {text[w.start + 1 : w.stop + 1]!r}"
        for b, w in enumerate(windows)
    )
    return show(
        fig,
        alt=f"A row of {len(text)} characters, {text!r}, and under it a row of their ids. From the ids "
        f"{len(starts)} windows of {block_size} are cut: {rows}. An arrow leads from each id in x to "
        "the id under it in y, which is the next one in the text. The last target of a row lies just "
        "outside its window.",
    )


def staircase(word, steps):
    """How an n-gram model shares its vote. steps: (context, followers, met, kinds), longest first.

    followers: text, what followed the context; met: how often the context was met; kinds: how many
    different tokens followed.
    """
    height = 1.55 * len(steps) + 1.6
    fig, ax = canvas(12.8, height, figsize=(9, 9 / 12.8 * height))
    said, reaches = [], 1.0  # the part of the whole vote that reaches a step
    for i, (context, followers, met, kinds) in enumerate(steps):
        x, y = 1.6 + 1.7 * i, 1.55 * (len(steps) - i) + 0.95
        name = f"after “{context}”" if context else "anywhere"
        box(ax, x, y, name, "attention", width=2.5, height=0.8, fontsize=12)
        keeps, hands = f"{met}/{met + kinds}", f"{kinds}/{met + kinds}"
        whole = f"{reaches * met / (met + kinds):.1%} of the vote"
        label(ax, x + 1.6, y + 0.2, followers, ha="left", fontsize=12)
        kept = f"keeps {keeps} of what reaches it: {whole}"
        label(ax, x + 1.6, y - 0.22, kept, BLUE, ha="left", fontsize=11)
        arrow(ax, (x + 0.5, y - 0.44), (x + 1.35, y - 1.11), BLUE, width=2)
        label(ax, x + 0.5, y - 0.8, f"hands down {hands}", BLUE, ha="right", fontsize=11)
        said.append(f"{name} came {followers}; it keeps {keeps}, {whole}, and hands down {hands}")
        reaches *= kinds / (met + kinds)
    x = 1.6 + 1.7 * len(steps)
    box(ax, x, 0.95, "uniform", "hidden", width=2.5, height=0.8, fontsize=12)
    left = f"takes what is left: {reaches:.1%} of the vote"
    label(ax, x + 1.6, 0.95, left, BLUE, ha="left", fontsize=11)
    return show(
        fig,
        alt=f"A staircase of contexts in the word {word}, the longest at the top. "
        + ". ".join(said)
        + f". At the foot the uniform guess {left}.",
    )


def table_row(probabilities, chars, row, most=24, least=0.005):
    """The likeliest characters after chars[row]: figure and alternative text, for panel.interactive.

    probabilities: (V, V), row by row. At most `most` are shown, those of at least `least`, but five of them.
    """
    p = probabilities[row]
    top = p.topk(min(most, len(chars), max(5, int((p >= least).sum()))))
    names = [char_label(chars[i]) for i in top.indices]
    fig, ax = plt.subplots(figsize=(9, 3))
    ax.bar(range(len(names)), top.values, color=BLUE, width=0.8)
    ax.set_xlim(-0.8, max(12, len(names)) - 0.2)
    ax.set_xticks(range(len(names)), names, family="monospace", fontsize=13)
    ax.set(title=f"What follows  {char_label(chars[row])}", ylabel="probability", ylim=(0, None))
    likeliest = ", ".join(f"{name} {value:.2f}" for name, value in zip(names[:4], top.values))
    alt = f"Bar chart of what follows {char_label(chars[row])}, the likeliest first: {likeliest}."
    return fig, alt
