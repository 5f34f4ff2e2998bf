"""The figures that more than one notebook draws. Importing it sets the house style of matplotlib.

Every figure leaves through `show`, which asks for its alternative text.
"""

import math
import textwrap
from itertools import cycle

import matplotlib.pyplot as plt
import torch
from cycler import cycler
from IPython.display import Markdown, display
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

# Okabe and Ito's palette (2008), told apart with every common form of colour blindness
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, RED, BLACK = "#56B4E9", "#D55E00", "#000000"
plt.rcParams.update(
    {
        "figure.figsize": (7.5, 3.8),
        "figure.dpi": 120,  # large enough for the last row of a classroom
        "figure.constrained_layout.use": True,
        "font.size": 12,
        "axes.titlesize": 13,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, PINK, SKY, RED, BLACK]),
        "axes.xmargin": 0.02,
        "image.cmap": "cividis",
        "lines.linewidth": 2,
        "legend.edgecolor": "none",  # a plain white ground, so that no line runs through the words
        "legend.framealpha": 0.9,
    }
)


def show(fig, alt):
    """Display a figure once, with its alternative text. Returns the display's handle.

    Raises ValueError for an empty alternative text.
    """
    metadata = image_metadata(alt)
    plt.close(fig)  # else the inline backend draws it a second time
    return display(fig, metadata=metadata, display_id=True)


def image_metadata(alt):
    """What `display` needs to know of a figure with this alternative text."""
    if not alt.strip():
        raise ValueError(
            "alt is empty: say in a sentence what the figure shows, for those who cannot see it"
        )
    return {"image/png": {"alt": " ".join(alt.split())}}


def symbol_table(**symbols):
    """Show the notebook's symbols: name=(value, meaning), values taken from the real objects."""
    rows = [f"| ${name}$ | {meaning} | {value:,} |" for name, (value, meaning) in symbols.items()]
    display(Markdown("\n".join(["| symbol | meaning | value here |", "|---|---|---|", *rows])))


def char_label(char):
    """A character as an axis can show it: the space as ␣, the newline as ↵."""
    return {" ": "␣", "\n": "↵"}.get(char, char)


# ----------------------------------------------------------------------------- curves


def loss_curve(history, lines=None, title="Loss while training"):
    """Training and validation loss of a History against steps; `lines` are levels {label: nats}."""
    fig, ax = plt.subplots(figsize=(9, 3.8))
    draw_losses(ax, history)
    styles = cycle(((BLACK, ":"), (GREEN, "-."), (PINK, (0, (6, 2)))))
    for (label, level), (color, dash) in zip((lines or {}).items(), styles):
        ax.axhline(level, color=color, linestyle=dash, linewidth=1.5, label=f"{label}: {level:.3f}")
    ax.set(title=title, xlabel="step", ylabel="loss (nats per character)")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))  # beside the curves, never over them
    return fig


def draw_losses(ax, history):
    """Both losses of a History, told apart without colour too."""
    ax.plot(history.steps, history.train_loss, "o-", markersize=4, label="training batches")
    ax.plot(history.steps, history.val_loss, "s--", markersize=4, label="validation text")


def loss_curve_alt(history, lines=None):
    """What `loss_curve` shows, in words made from the numbers."""
    first, last = history.val_loss[0], history.val_loss[-1]
    levels = "".join(
        f" Level line: {label} at {level:.3f}." for label, level in (lines or {}).items()
    )
    return (
        f"Line plot of loss against step, 0 to {history.steps[-1]}. "
        f"Validation loss goes from {first:.2f} to {last:.2f}, "
        f"training loss from {history.train_loss[0]:.2f} to {history.train_loss[-1]:.2f}.{levels}"
    )


def plot_history(history, band, verdict, ax=None):
    """The losses of a History over the band of the reference runs, the verdict as title: a figure.

    band: (step, low, high) for each step of the reference, the last two as `judge.band` gives
    them, and empty for a reference of one run; verdict: the sentence of `judge.judge`. The axis is
    cut above what comes after the first evaluation: beside a fall from 4.2 no band would be seen.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(9, 4.2))
    steps, low, high = zip(*band) if band else ((), (), ())
    if band:
        ax.fill_between(steps, low, high, color=SKY, alpha=0.6, linewidth=0, label="reference runs")
    draw_losses(ax, history)
    later = [
        v
        for v in (*history.train_loss[1:], *history.val_loss[1:], *low[1:], *high[1:])
        if math.isfinite(v)
    ]
    if later:
        margin = 0.06 * (max(later) - min(later)) + 0.02
        ax.set_ylim(min(later) - margin, max(later) + margin)
    ax.set_title(textwrap.fill(verdict, 95), loc="left", fontsize=11)
    ax.set(xlabel="step", ylabel="loss (nats per character)")
    ax.legend(loc="upper right")
    return ax.figure


def plot_history_alt(history, band, verdict):
    """What `plot_history` shows, in words made from the numbers."""
    ribbon = (
        "The band of the reference runs is {1:.3f} to {2:.3f} at step {0}. ".format(*band[-1])
        if band
        else ""
    )
    return (
        f"Line plot of loss against step, to {history.steps[-1]}. "
        f"Validation loss ends at {history.val_loss[-1]:.3f}, "
        f"training loss at {history.train_loss[-1]:.3f}. {ribbon}Title: {verdict}."
    )


class LiveCurve:
    """Pass to `train` as on_eval: redraws the curve at each evaluation, where it was made."""

    def __init__(self, lines=None, title="Loss while training"):
        self.lines, self.title = lines, title
        # Its place, before the progress line begins: a picture would break that line in two.
        self.handle = display(Markdown(""), display_id=True)

    def __call__(self, history):
        fig, alt = loss_curve(history, self.lines, self.title), loss_curve_alt(history, self.lines)
        plt.close(fig)
        self.handle.update(fig, metadata=image_metadata(alt))


# ----------------------------------------------------------------------------- heat maps


def heat_map(
    values, rows, columns=None, title="", xlabel="", ylabel="", label="", ax=None, **imshow
):
    """A matrix with characters on both axes: values (len(rows), len(columns)). Returns fig, ax.

    What is not there is white: nan, infinity, and the exact zeros of a matrix without negative
    entries (the weights that a causal mask removes, pairs that never occur).
    Further arguments (vmin, vmax, cmap) go to imshow.
    """
    columns = rows if columns is None else columns
    longest = max(len(rows), len(columns))
    if ax is None:
        side = max(4.4, 0.17 * longest)
        _, ax = plt.subplots(figsize=(side * 1.2, side))
    values = torch.as_tensor(values).detach().cpu().float()  # numpy has no bfloat16
    if not (values < 0).any():
        values = values.masked_fill(values == 0, math.nan)
    image = ax.imshow(values.numpy(), **imshow)
    for set_ticks, chars in ((ax.set_xticks, columns), (ax.set_yticks, rows)):
        size = 11 if len(chars) <= 24 else 10 if len(chars) <= 40 else 9
        names = [char_label(char) for char in chars]
        set_ticks(range(len(chars)), names, fontsize=size, family="monospace")
    ax.tick_params(length=0)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.spines[:].set_visible(False)
    if label:
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    return ax.figure, ax


# ----------------------------------------------------------------------------- ladder


def loss_ladder(rungs):
    """The rungs of `ladder.rungs`: a bar for each network, a level line for each counted model.

    A bar that ends left of a line beats that model. The labels of the lines are a staircase above
    the bars, so that no two of them meet, however close the lines are.
    """
    bars = [rung for rung in rungs if not rung["counted"]]
    levels = sorted((rung for rung in rungs if rung["counted"]), key=lambda rung: rung["loss"])
    bottom, top = len(bars) - 0.4, -0.8 - 0.5 * len(levels)  # in bars, downwards
    fig, ax = plt.subplots(figsize=(9, 1.5 + 0.5 * (bottom - top)))
    for y, rung in enumerate(bars):
        color, ink = (BLUE, "white") if rung["source"] == "yours" else (SKY, BLACK)
        ax.barh(y, rung["loss"], xerr=rung["error"], color=color, height=0.7)
        ax.text(0.06, y, bar_text(rung), color=ink, va="center")
        if rung["source"] == "yours" and rung["reference"] is not None:
            ax.vlines(rung["reference"], y - 0.35, y + 0.35, color=BLACK)
    for n, rung in enumerate(levels):
        x, y = rung["loss"], -0.7 - 0.5 * n
        ax.vlines(x, bottom, y, color=RED, linewidth=1.5, linestyle="--", zorder=1)
        ax.text(x - 0.05, y, f"{rung['name']} {x:.3f}", ha="right", va="center")
    ax.set_yticks(range(len(bars)), [rung["name"] for rung in bars])
    ax.set(title="The loss ladder", xlim=(0, 4.5), ylim=(bottom, top))
    ax.set_xlabel("validation loss on TinyShakespeare (nats per character)")
    mark = Line2D([], [], color=BLACK, marker="|", linestyle="", markersize=12)
    fig.legend(
        [Patch(color=BLUE), Patch(color=SKY), mark],
        ["your run", "reference run", "the reference run, beside yours"],
        loc="outside lower center",
        ncols=3,
    )
    return fig


def bar_text(rung):
    """What is written on a network's bar: its loss, and on which side of the 5-gram it is."""
    if rung["lead"] is None:
        return f"{rung['loss']:.3f}"
    side = "beats" if rung["lead"] > 0 else "above"
    return f"{rung['loss']:.3f}, {side} the 5-gram"


def loss_ladder_alt(rungs):
    """What `loss_ladder` shows, in words made from the numbers."""
    bars = "; ".join(f"{rung['name']} {bar_text(rung)}" for rung in rungs if not rung["counted"])
    levels = "; ".join(f"{rung['name']} {rung['loss']:.3f}" for rung in rungs if rung["counted"])
    return (
        "Validation losses on TinyShakespeare in nats per character. "
        f"A bar for each network: {bars or 'none yet'}. "
        f"A level line for each counted model: {levels or 'none yet'}."
    )
