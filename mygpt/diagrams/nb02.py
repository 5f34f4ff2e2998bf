"""Drawings of notebook 02: who reads whom, the mask, one reader's attention, the paper's figure."""

from matplotlib.patches import Rectangle

from mygpt.diagrams import FILL, INK, LINE, arrow, box, canvas, cells, characters, label
from mygpt.plots import BLUE, char_label, show

GREY = "#777777"


def two_views(seen, target):
    """What the bigram sees of a line, and what its reader sees; `target` is the next character."""
    fig, ax = canvas(12, 2.5, figsize=(9.5, 2.1))
    start, covered = 3.4, len(seen) - 1
    label(ax, start - 0.2, 1.85, "what the bigram sees", ha="right")
    cells(ax, start, 1.55, [""] * covered, kind="hidden")
    characters(ax, start + 0.6 * covered, 1.55, seen[-1], kind="attention")
    label(ax, start - 0.2, 0.6, "what you see", ha="right")
    characters(ax, start, 0.3, seen, kind="attention")
    for y in (1.55, 0.3):
        cells(ax, start + 0.6 * len(seen), y, ["?"], kind="output")
    show(
        fig,
        alt=f"The line '{seen}' twice, in cells, each with a question mark after it where "
        f"'{target}' comes. Above, as the bigram sees it: all characters are covered but the last, "
        f"'{seen[-1]}'. Below, as you see it: all characters are open.",
    )


def mask(line, scores):
    """The scores of a line's characters, (T, T): a number where row may read column, −∞ where not."""
    T, side = len(line), 0.66
    fig, ax = canvas(T * side + 5.4, T * side + 1.7, figsize=(7.6, 0.6 * T + 1.2))
    left, top = 2.5, T * side + 0.25
    label(ax, left + T * side / 2, top + 1.15, "the character that is read", color=GREY)
    label(ax, left - 1.35, top - T * side / 2, "the reader", color=GREY, rotation=90)
    for i, char in enumerate(line):
        y = top - (i + 1) * side
        label(ax, left + (i + 0.5) * side, top + 0.4, char_label(char), fontsize=14)
        label(ax, left - 0.45, y + side / 2, char_label(char), fontsize=14)
        hidden = scores[i].isinf().tolist()
        texts = ["−∞" if gone else f"{score:g}" for gone, score in zip(hidden, scores[i].tolist())]
        kinds = ["hidden" if gone else "attention" for gone in hidden]
        cells(ax, left, y, texts, kind=kinds, side=side)
    edge = left + T * side + 0.3
    label(ax, edge, top - 0.9 * side, "the future:\nmasked", GREY, ha="left")
    label(ax, edge, top - (T - 0.6) * side, "the past,\nand itself", BLUE, ha="left")
    show(
        fig,
        alt=f"A table of scores with the characters of '{line}' as rows, the readers, and as "
        "columns, what they read. On and below the diagonal stand numbers. Above it, in grey, "
        "every cell holds minus infinity.",
    )


def matching(word, reader, q, k):
    """The query of one letter beside the keys of all. q, k: (T, hs); `reader` is its position."""
    fig, ax = canvas(11.2, 5.1, figsize=(9, 4.1))
    xs = [3.2 + 2.2 * j for j in range(len(word))]
    for x, char, key in zip(xs, word, k.tolist()):
        box(ax, x, 4.6, char, width=0.8, height=0.7, fontsize=15)
        arrow(ax, (x, 4.25), (x, 3.8))
        cells(ax, x - 0.6, 3.2, [f"{entry:g}" for entry in key], kind="feed-forward")
        label(ax, x, 3.0, "(vowel, consonant)", GREY, 9)
        arrow(ax, (xs[reader], 1.35), (x, 2.82), color=LINE)
        middle = (x + 0.45 * (xs[reader] - x), 2.15)
        label(ax, *middle, "q · k = ?", fontsize=10.5, bbox={"fc": "white", "ec": "none", "pad": 1})
    label(ax, 0.1, 4.6, "letters", ha="left")
    label(ax, 0.1, 3.5, "keys: what\nI offer", ha="left")
    label(ax, 0.1, 1.05, "query: what\nI look for", ha="left")
    query = [f"{entry:g}" for entry in q[reader].tolist()]
    cells(ax, xs[reader] - 0.6, 0.75, query, kind="attention")
    label(ax, xs[reader] - 0.8, 1.05, f"the query of  {word[reader]}", ha="right")
    label(ax, xs[reader], 0.5, "(vowel, consonant)", GREY, 9)
    show(
        fig,
        alt=f"The letters of '{word}' in a row, under each its key of two numbers: "
        + ", ".join(f"{char} {key}" for char, key in zip(word, k.int().tolist()))
        + f". Below stands the query of {word[reader]}, {q[reader].int().tolist()}. Grey arrows "
        "lead from it to each of the keys, each marked: q times k is what?",
    )


def one_reader(word, reader, q, k, v, weights):
    """Attention for one letter, in numbers. q, k: (T, hs), v: (T, 1), weights: (T, T)."""
    T, step = len(word), 2.0
    fig, ax = canvas(14.2, 8.1, figsize=(9.8, 5.6))
    xs = [3.9 + step * j for j in range(T)]
    raw, row = (q[reader] @ k.T).tolist(), weights[reader].tolist()
    values, result = v.flatten().tolist(), (weights[reader] @ v).item()
    rows = {6.5: "key $k$", 5.3: "score $q · k$", 2.75: "weight", 0.95: "value $v$"}
    for y, name in rows.items():
        label(ax, 0.1, y, name, ha="left")
    query_x, middle, width = xs[-1] + 2.1, (xs[0] + xs[-1]) / 2, xs[-1] - xs[0] + 1.3
    label(ax, query_x, 7.5, f"query of  {word[reader]}", BLUE)
    cells(ax, query_x - 0.6, 6.5, [f"{entry:g}" for entry in q[reader].tolist()], "attention")
    arrow(ax, (query_x, 6.4), (xs[-1] + 0.7, 5.35), color=BLUE, curve=-0.35)
    label(ax, query_x, 5.1, "with each key", BLUE, 10)
    box(ax, middle, 4.05, f"÷ √{q.size(1)}, then softmax over the row", width=width, height=0.75)
    for j, x in enumerate(xs):
        box(ax, x, 7.5, word[j], width=0.8, height=0.7, fontsize=15)
        cells(ax, x - 0.6, 6.2, [f"{entry:g}" for entry in k[j].tolist()], kind="feed-forward")
        label(ax, x, 5.3, f"{raw[j]:g}", fontsize=13)
        arrow(ax, (x, 5.0), (x, 4.48), color=LINE)
        arrow(ax, (x, 3.64), (x, 3.2), color=LINE)
        ax.add_patch(Rectangle((x - 0.6, 2.35), 1.2, 0.8, fc=BLUE, alpha=row[j], ec="none"))
        ax.add_patch(Rectangle((x - 0.6, 2.35), 1.2, 0.8, fc="none", ec=INK, lw=0.9))
        label(ax, x, 2.75, f"{row[j]:.3f}", fontsize=13)
        label(ax, x, 1.85, "×", GREY, 13)
        cells(ax, x - 0.45, 0.5, [f"{values[j]:g}"], kind="value", side=0.9, fontsize=13)
        label(ax, x + step / 2, 0.95, "+" if j < T - 1 else "=", GREY, 15)
    box(ax, query_x, 0.95, f"{result:.2f}", "output", width=1.2, height=0.8, fontsize=14)
    label(ax, query_x, 1.8, f"what  {word[reader]}  reads")
    show(
        fig,
        alt=f"Attention of the letter {word[reader]} in '{word}', in numbers, row by row. "
        f"Its query is {q[reader].int().tolist()}. Then for each letter its key, score, weight and "
        "value: "
        + "; ".join(
            f"{word[j]} {k[j].int().tolist()}, {raw[j]:g}, {row[j]:.3f}, {values[j]:g}"
            for j in range(T)
        )
        + f". One box across the row, softmax, makes the weights of all scores together. The "
        f"values times the weights add up to {result:.2f}.",
    )


def family(source, target):
    """Encoder, decoder and cross-attention in a model that translates `source` into `target`."""
    S, T = len(source), len(target)
    fig, ax = canvas(17, 8.3, figsize=(10, 4.9))
    left, right, low, high = 4.6, 11.0, 2.6, 5.3
    for x, text in ((left, source), (right, target)):
        characters(ax, x - 0.225 * len(text), 0.5, text, side=0.45, fontsize=10)
        arrow(ax, (x, 1.0), (x, low - 0.5))
    label(ax, left, 0.15, "source", GREY, 10)
    label(ax, right, 0.15, "target", GREY, 10)
    label(ax, right + 3.6, 1.0, "row: reader\ncolumn: read", GREY, 9)
    box(ax, left, low, "self-attention", "attention", width=3.0, height=0.9)
    box(ax, right, low, "self-attention,\ncausal", "feed-forward", width=3.0, height=1.0)
    box(ax, right, high, "cross-attention", "value", width=3.0, height=0.9)
    ax.plot([left, left], [low + 0.5, high], color=INK, linewidth=1.4)
    arrow(ax, (left, high), (right - 1.6, high))
    label(ax, (left + right) / 2 - 0.8, high + 0.35, "keys and values")
    arrow(ax, (right, low + 0.55), (right, high - 0.5))
    label(ax, right + 0.2, (low + high) / 2, "queries", ha="left")
    arrow(ax, (right, high + 0.5), (right, high + 1.3))
    label(ax, right, high + 1.6, "what comes next in the target")
    label(ax, left, 7.8, "encoder", BLUE, 14)
    label(ax, right, 7.8, "decoder", BLUE, 14)
    _table(ax, left - 2.1, low, S, S, "attention", ("source", "source"), ha="right")
    _table(ax, right + 2.7, low, T, T, "feed-forward", ("target", "target"), causal=True)
    _table(ax, right + 2.7, high, T, S, "value", ("target", "source"))
    show(
        fig,
        alt=f"Two columns. Encoder: the source '{source}' goes up into self-attention, with a table "
        f"of {S} times {S} weights, all of them coloured. Decoder: the target '{target}' goes up "
        f"into causal self-attention, {T} times {T}, coloured up to the diagonal; its output gives "
        "the queries of cross-attention, whose keys and values come from the encoder, "
        f"{T} times {S}, all coloured. Out of it comes what follows in the target.",
    )


def _table(ax, x, y, rows, columns, kind, names, causal=False, ha="left", side=0.2):
    """A little table of weights beside a box, its middle at height y; `names`: (reader, read)."""
    x, top = x - (columns * side if ha == "right" else 0), y + rows * side / 2
    for i in range(rows):
        for j in range(columns):
            fill = FILL["plain" if causal and j > i else kind]
            corner = (x + j * side, top - (i + 1) * side)
            ax.add_patch(Rectangle(corner, side, side, fc=fill, ec=INK, lw=0.5))
    reader, read = names
    label(ax, x + columns * side / 2, top + 0.28, f"{read}, {columns}", GREY, 9)
    label(ax, x - 0.25, y, f"{reader}, {rows}", GREY, 9, rotation=90)
