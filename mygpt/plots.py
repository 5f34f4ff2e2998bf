"""The figures that more than one notebook draws. Importing it sets the house style of matplotlib.

Every figure leaves through `show`, which asks for its alternative text.
"""

import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import torch
from cycler import cycler
from IPython.display import Markdown, display

# Okabe and Ito's palette (2008), told apart with every common form of colour blindness
BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
)
plt.rcParams.update(
    {
        "figure.figsize": (7.5, 3.6),
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "font.size": 11,
        "axes.titlesize": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, PINK, SKY, RED, BLACK]),
        "image.cmap": "cividis",
        "lines.linewidth": 2,
        "legend.edgecolor": "none",  # a plain white ground, so that no line runs through the words
        "legend.framealpha": 0.9,
        "axes.xmargin": 0.02,
    }
)


def show(fig, alt):
    """Display a figure once, with its alternative text in the output's metadata. Returns its handle.

    Raises ValueError for an empty alternative text.
    """
    metadata = image_metadata(alt)
    plt.close(fig)  # else the inline backend draws it a second time
    return display(fig, metadata=metadata, display_id=True)


def image_metadata(alt):
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
    fig, ax = plt.subplots(figsize=(9, 3.6))
    ax.plot(history.steps, history.train_loss, marker="o", markersize=4, label="training batches")
    ax.plot(
        history.steps,
        history.val_loss,
        marker="s",
        markersize=4,
        linestyle="--",
        label="validation text",
    )
    for (color, dash), (label, level) in zip(
        ((BLACK, ":"), (GREEN, "-."), (PINK, (0, (6, 2)))), (lines or {}).items()
    ):
        ax.axhline(level, color=color, linestyle=dash, linewidth=1.5, label=f"{label} {level:.3f}")
    ax.set(title=title, xlabel="step", ylabel="loss (nats per character)")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))  # beside the curves, never over them
    return fig


def loss_curve_alt(history, lines=None):
    """What `loss_curve` shows, in words made from the numbers."""
    first, last = history.val_loss[0], history.val_loss[-1]
    levels = "".join(
        f" Level line: {label} at {level:.3f}." for label, level in (lines or {}).items()
    )
    return (
        f"Line plot of loss against step, 0 to {history.steps[-1]}. Validation loss goes from {first:.2f} "
        f"to {last:.2f}, training loss from {history.train_loss[0]:.2f} to {history.train_loss[-1]:.2f}.{levels}"
    )


def plot_history(history, band, verdict, ax=None):
    """The losses of a History over the band of the reference runs, the verdict as its title. Returns the figure.

    band: (step, low, high) for each step of the reference, the last two as `judge.band` gives
    them, and empty for a reference of one run; verdict: the sentence of `judge.judge`. The axis is
    cut above what comes after the first evaluation: beside a fall from 4.2 no band would be seen.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(9, 4.2))
    steps, low, high = zip(*band) if band else ((), (), ())
    if band:
        ax.fill_between(steps, low, high, color=SKY, alpha=0.6, linewidth=0, label="reference runs")
    ax.plot(history.steps, history.train_loss, marker="o", markersize=4, label="training batches")
    ax.plot(
        history.steps,
        history.val_loss,
        marker="s",
        markersize=4,
        linestyle="--",
        label="validation text",
    )
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
        f"Line plot of loss against step, to {history.steps[-1]}. Validation loss ends at {history.val_loss[-1]:.3f}, "
        f"training loss at {history.train_loss[-1]:.3f}. {ribbon}Title: {verdict}."
    )


class LiveCurve:
    """Pass to `train` as on_eval: redraws the curve at each evaluation, in the cell that makes the LiveCurve."""

    def __init__(self, lines=None, title="Loss while training"):
        self.lines, self.title = lines, title
        # its place, before the progress line begins: a picture in between would break that line in two
        self.handle = display(Markdown(""), display_id=True)

    def __call__(self, history):
        fig, alt = loss_curve(history, self.lines, self.title), loss_curve_alt(history, self.lines)
        plt.close(fig)
        self.handle.update(fig, metadata=image_metadata(alt))


# ----------------------------------------------------------------------------- heat maps


def heat_map(
    values, rows, columns=None, title="", xlabel="", ylabel="", label="", ax=None, **imshow
):
    """A matrix with characters on both axes: values (len(rows), len(columns)). Returns figure and axes.

    Over 40 characters an axis is set in small type. Further arguments (vmin, vmax, cmap) go to imshow.
    """
    columns = rows if columns is None else columns
    if ax is None:
        side = 4.2 if max(len(rows), len(columns)) <= 40 else 9.0
        fig, ax = plt.subplots(figsize=(side * 1.2, side))
    values = torch.as_tensor(values).detach().cpu().numpy()
    image = ax.imshow(np.ma.masked_equal(values, 0), **imshow)  # an exact 0 stays white
    for set_ticks, chars in ((ax.set_xticks, columns), (ax.set_yticks, rows)):
        size = 9 if len(chars) > 40 else 10
        set_ticks(
            range(len(chars)), [char_label(c) for c in chars], fontsize=size, family="monospace"
        )
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.spines[:].set_visible(False)
    if label:
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    return ax.figure, ax


# ----------------------------------------------------------------------------- ladder


def loss_ladder(rungs):
    """A bar per rung, worst first: dicts with name, loss, error, source and reference (nats or None)."""
    fig, ax = plt.subplots(figsize=(7.5, 1.2 + 0.45 * len(rungs)))
    for row, rung in enumerate(rungs):
        color = BLUE if rung["source"] == "yours" else SKY
        ax.barh(row, rung["loss"], xerr=rung["error"], color=color, height=0.6)
        ax.text(rung["loss"] + 0.06, row, f"{rung['loss']:.3f}", va="center")
        if rung["reference"] is not None:
            ax.vlines(rung["reference"], row - 0.4, row + 0.4, color=BLACK)
    ax.set_yticks(range(len(rungs)), [rung["name"] for rung in rungs])
    ax.invert_yaxis()
    ax.set(
        title="The loss ladder",
        xlabel="validation loss (nats per character); the black mark is the reference run",
        xlim=(0, 4.8),
    )
    return fig
