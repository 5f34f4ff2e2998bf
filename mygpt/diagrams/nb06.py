"""Drawings of notebook 06: the whole GPT."""

from mygpt.diagrams import arrow, box, canvas, label
from mygpt.plots import BLUE, ORANGE, show


def gpt(config):
    """The whole model from bottom to top, with the shape of everything that flows in it."""
    C, L = config.n_embd, config.n_layer
    T, V = config.block_size, config.vocab_size
    fig, ax = canvas(11, 9.2, figsize=(8.6, 7.2))
    middle = 4.6
    label(ax, 2.9, 0.3, "idx   (B, T)", fontsize=12)
    arrow(ax, (2.9, 0.6), (2.9, 1.2))
    label(ax, 6.5, 0.3, f"positions 0 … T − 1, T ≤ {T}", fontsize=10)
    arrow(ax, (6.5, 0.6), (6.5, 1.2))
    box(ax, 2.9, 1.6, f"token_embedding\n({V}, {C})", "embedding", width=2.5, height=0.8)
    box(ax, 6.5, 1.6, f"position_embedding\n({T}, {C})", "embedding", width=2.8, height=0.8)
    arrow(ax, (3.1, 2.0), (middle - 0.2, 2.65))
    arrow(ax, (6.3, 2.0), (middle + 0.2, 2.65))
    label(ax, middle, 2.8, "+", BLUE, fontsize=16)
    label(ax, middle + 0.45, 2.85, "dropout   (B, T, C)", ha="left", fontsize=10)
    stream = (3.0, 7.1)
    arrow(ax, (middle, stream[0]), (middle, stream[1]), BLUE, width=3)
    heights = {"block 0": 3.75, "block 1": 4.65, f"block {L - 1}": 6.0}
    for name, y in heights.items():
        box(ax, middle, y, name, "attention", width=2.3)
    label(ax, middle + 0.35, 5.35, "…", fontsize=14)
    label(
        ax, 6.2, 4.85, f"{L} blocks: each reads\n(B, T, C) and adds to it", ha="left", fontsize=10
    )
    box(ax, middle, 7.4, "ln_f", "output", width=1.3)
    arrow(ax, (middle, 7.71), (middle, 8.0))
    box(ax, middle, 8.3, f"× the token table\n({C}, {V})", "embedding", width=2.5, height=0.75)
    arrow(ax, (middle, 8.7), (middle, 9.0))
    label(ax, middle + 0.3, 8.95, f"logits   (B, T, {V})", ha="left", fontsize=12)
    ax.plot([1.65, 0.8, 0.8], [1.6, 1.6, 8.3], "--", color=ORANGE, linewidth=1.6)
    arrow(ax, (0.8, 8.3), (3.3, 8.3), ORANGE)
    label(ax, 1.0, 5.0, "tied: one table,\nused twice", ORANGE, ha="left", fontsize=10)
    show(
        fig,
        alt=f"The whole GPT from bottom to top. Ids of shape (B, T) go through token_embedding, "
        f"({V}, {C}), and positions through position_embedding, ({T}, {C}). The sum, (B, T, C), "
        f"goes up the residual stream through {L} blocks, then through ln_f, and is multiplied by "
        f"the token table, which gives logits of shape (B, T, {V}). A dashed line says that this "
        "is the table of token_embedding, used a second time.",
    )
