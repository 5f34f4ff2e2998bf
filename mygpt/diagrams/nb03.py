"""Drawings of notebook 03: one head, and the model around it."""

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from mygpt.diagrams import FILL, INK, LINE, arrow, box, canvas, cells, characters, label
from mygpt.plots import BLUE, RED, char_label, show


def one_head_model(config, batch_size, sample):
    """The model from ids to loss, each arrow with its shape. `sample`: three characters to show."""
    fig, ax = canvas(13.2, 5.3, figsize=(12, 4.8))
    V, T, C, hs = config.vocab_size, config.block_size, config.n_embd, config.head_size
    characters(ax, 0.0, 3.55, sample[:3])
    cells(ax, 0.0, 1.15, range(3), kind="stream")
    for y in (3.85, 1.45):
        label(ax, 2.1, y, "…", fontsize=14)
    label(ax, 1.2, 4.45, f"ids (B, T)\n{batch_size} rows of {T} tokens")
    label(ax, 1.2, 0.65, f"positions 0 to {T - 1}")
    tables = (
        (3.85, "token\nembedding", f"V × C = {V} × {C}"),
        (1.45, "position\nembedding", f"T × C = {T} × {C}"),
    )
    for y, name, size in tables:
        arrow(ax, (2.45, y), (3.2, y))
        box(ax, 4.1, y, name, "embedding", width=1.8, height=1.0)
        label(ax, 4.1, y - 0.75, size, fontsize=10)
    ax.plot(6.0, 2.65, "o", markersize=21, mfc="white", mec=INK, mew=1.4)
    label(ax, 6.0, 2.64, "+", fontsize=16)
    arrow(ax, (5.0, 3.85), (5.85, 2.9))
    arrow(ax, (5.0, 1.45), (5.85, 2.4))
    stages = ((7.9, "head", "attention"), (10.1, "linear\nlm_head", "output"))
    for x, name, kind in stages:
        box(ax, x, 2.65, name, kind, width=1.3, height=1.0)
    steps = (
        (6.25, 7.25, "x", "(B, T, C)"),
        (8.55, 9.45, "out", "(B, T, hs)"),
        (10.75, 11.6, "logits", "(B, T, V)"),
    )
    for start, end, name, shape in steps:
        arrow(ax, (start, 2.65), (end, 2.65))
        label(ax, (start + end) / 2, 3.0, name, BLUE)
        label(ax, (start + end) / 2, 1.85, shape, fontsize=10)
    box(ax, 12.3, 2.65, "cross-\nentropy", "plain", width=1.3, height=1.0)
    label(ax, 12.3, 0.75, "targets\n(B, T)")
    arrow(ax, (12.3, 1.15), (12.3, 2.12))
    arrow(ax, (12.3, 3.18), (12.3, 4.0))
    label(ax, 12.3, 4.3, "loss")
    show(
        fig,
        alt=f"The model, from left to right. Ids, {batch_size} rows of {T} tokens, look up rows of "
        f"the token embedding, a table {V} by {C}. Positions 0 to {T - 1} look up rows of the position "
        f"embedding, {T} by {C}. Their sum x, (B, T, C), enters the head. Its output, "
        f"(B, T, hs) with hs = {hs}, enters the linear layer lm_head, which gives logits (B, T, V). "
        "Cross-entropy compares the logits with the targets and gives the loss.",
    )


def mask_corner(past, T):
    """A mask (block_size, block_size), True where a row may look, and its corner for T tokens."""
    size = len(past)
    fig, ax = canvas(size + 7.2, size + 1.6, figsize=(7.8, 5))
    for i in range(size):
        for j in range(size):
            fill = FILL["attention"] if past[i, j] else "white"
            ax.add_patch(
                Rectangle((j + 0.9, size - 1 - i), 1, 1, facecolor=fill, edgecolor=LINE, lw=0.8)
            )
    ax.add_patch(
        Rectangle((0.9, size - T), T, T, facecolor="none", edgecolor=RED, linewidth=3, zorder=3)
    )
    label(ax, size / 2 + 0.9, size + 0.7, "token that is read")
    label(ax, 0.3, size / 2, "token that reads", rotation=90)
    right = size + 1.3
    notes = (
        (size - T / 2, f"past[:{T}, :{T}]\nfor a context of {T} tokens", RED),
        (2.6, f"past, {size} × {size}:\nfor the longest context", INK),
        (0.6, "blue: True, may be read", BLUE),
    )
    for y, text, color in notes:
        label(ax, right, y, text, color, ha="left")
    show(
        fig,
        alt=f"A table of {size} by {size} cells. On and below the diagonal the cells are blue: the "
        f"token of this row may read the token of this column. Above it they are white. A red "
        f"frame marks the upper left corner of {T} by {T} cells: the mask for {T} tokens.",
    )


def attention_map(weights, line, title="Attention of the trained head"):
    """Weights (T, T) of the characters in `line` as a heat map, exact zeros white: figure, alt."""
    weights = weights.detach().cpu()
    fig, ax = plt.subplots(figsize=(8, 6.6))
    shown = weights.masked_fill(weights == 0, float("nan"))  # nan is left white
    image = ax.imshow(shown.numpy(), norm=PowerNorm(0.5, vmin=0, vmax=1))  # 0.05 is not like 0
    ticks = range(len(line)), [char_label(char) for char in line]
    ax.set_xticks(*ticks, fontsize=12, family="monospace")
    ax.set_yticks(*ticks, fontsize=12, family="monospace")
    ax.set(title=title, xlabel="character that is read (key)")
    ax.set_ylabel("character that reads (query)", labelpad=12)
    ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=ax, label="attention weight", shrink=0.8)
    own = int((weights.argmax(dim=-1) == torch.arange(len(line))).sum())
    alt = (
        f"Heat map of attention weights for the line {line!r}, one row for each character that "
        f"reads. In {own} of {len(line)} rows the largest weight lies on the diagonal, on the "
        "character itself. Above the diagonal all is white."
    )
    return fig, alt


def sentence(text):
    """A sentence in the place of a figure: figure, alt."""
    fig, ax = canvas(8, 1.2)
    label(ax, 0.1, 0.6, text, RED, ha="left", fontsize=12)
    return fig, text


def targets_to_the_right(line):
    """Which position can read its own target when nothing is masked. `line`: a few characters."""
    n = len(line) - 1  # the last character is only a target
    fig, ax = canvas(n + 5.4, 4.3, figsize=(10, 3.5))
    label(ax, 2.1, 2.1, "the window", ha="right")
    label(ax, 2.1, 0.6, "its targets", ha="right")
    characters(ax, 2.5, 1.6, line[:-1], side=1.0, fontsize=13)
    characters(ax, 2.5, 0.1, line[1:], side=1.0, fontsize=13, kind="output")
    for t in range(n - 1):
        arrow(ax, (t + 3.05, 2.65), (t + 3.95, 2.65), BLUE, curve=-0.6)
    label(ax, n / 2 + 2, 3.7, "without a mask, each position can look one to the right:\n"
          "there stands its target", BLUE)  # fmt: skip
    label(ax, n + 2.7, 2.1, "nothing\nto the right", RED, ha="left")
    show(
        fig,
        alt=f"The window {line[:-1]!r} as {n} cells, and under each its target, the next "
        f"character. Without a mask each of the first {n - 1} positions can look one cell to the "
        "right, where its own target stands. The last position has nothing to its right.",
    )


def loss_by_position(at_position):
    """Losses {name: (T,)} against the position in the window, whole and enlarged."""
    fig, (ax, near) = plt.subplots(1, 2, figsize=(11, 4.4))
    for (name, losses), style in zip(at_position.items(), ("k:", "-", "-.")):
        ax.plot(losses, style, label=name)
        near.plot(losses, style)
    head = at_position["one head"]
    ax.set(title="Loss at each position", ylabel="loss (nats per character)", ylim=(-0.1, None))
    near.set(title="The same, enlarged", ylim=(head.min() - 0.1, head.max() + 0.1))
    for panel in (ax, near):
        panel.set_xlabel("position in the window")
    ax.legend(loc="center left")
    outside = "no mask: below this picture until the last position"
    near.text(0.5, 0.02, outside, transform=near.transAxes, ha="center")
    levels = "; ".join(
        f"{name} {losses[0]:.2f}, {losses[1:-1].mean():.2f}, {losses[-1]:.2f}"
        for name, losses in at_position.items()
    )
    show(
        fig,
        alt="Line plots of validation loss against position, whole and enlarged. At the first "
        f"position, in the mean of those between, and at the last: {levels}.",
    )


def apart(weight, cost, width=0.03, height=0.03):
    """The characters that get a label: from the top down, unless a labelled dot is close by."""
    chosen = []
    for char in sorted(weight, key=cost.get, reverse=True):
        gaps = ((abs(weight[char] - weight[c]), abs(cost[char] - cost[c])) for c in chosen)
        if all(across > width or up > height for across, up in gaps):
            chosen.append(char)
    return chosen


def weight_against_cost(weights, costs):
    """A panel for each seed: characters by their weight on the past and the cost of hiding it.

    weights, costs: for each seed {character: mean}. Where dots crowd, only one has a label.
    """
    fig, axes = plt.subplots(1, len(weights), figsize=(11, 5.2), sharex=True, sharey=True)
    for seed, (ax, weight, cost) in enumerate(zip(axes, weights, costs)):
        ax.plot(weight.values(), cost.values(), "o", markersize=5)
        for char in apart(weight, cost):
            ax.annotate(
                char_label(char) if char.isalnum() or char.isspace() else repr(char),
                (weight[char], cost[char]),
                xytext=(5, 5),
                textcoords="offset points",
                family="monospace",
                fontsize=12,
            )
        ax.set(title=f"seed {seed}", xlabel="mean weight on the past")
    axes[0].set_ylabel("cost of hiding the past (nats)")
    examples = "; ".join(
        f"{char_label(char)} at "
        + " and ".join(f"({w[char]:.2f}, {c[char]:.2f})" for w, c in zip(weights, costs))
        for char in list(weights[0])[:6]
    )
    show(
        fig,
        alt=f"A panel for each seed, with {len(weights[0])} characters as dots: across, the mean "
        f"weight on the past; up, the cost of hiding it. For example {examples}.",
    )
