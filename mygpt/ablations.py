"""What is each part of the GPT worth? The same model with one part left out, trained alike.

    model = variant("without residual connections", config)
    loss = measure("one head", seed=1, steps=600)

A variant is made from a whole GPT, so what is left of it starts from the same numbers. Everything
else is equal: width, context, steps, learning rate, batches. `make reference PRESET=ablations`
measures all of them with three seeds; `load_losses` reads what it found.
"""

import json
from dataclasses import asdict, replace

import torch
from torch import nn
from torch.nn import functional as F

from mygpt.files import DATA
from mygpt.recipes import PRESETS
from mygpt.text import load_text
from mygpt.train import train
from mygpt_helpers import (
    GPT,
    Block,
    CharTokenizer,
    FeedForward,
    cross_entropy,
    encode_text,
    split,
)

REFERENCE = DATA / "reference" / "ablations.json"

# ------------------------------------------------------------------ parts that do less


class Nothing(nn.Module):
    """Stands in for a sublayer, and writes nothing into the residual stream."""

    def forward(self, x, cache=None):
        return torch.zeros_like(x)


class PlainBlock(Block):
    """A block whose sublayers replace the vectors instead of adding to them."""

    def forward(self, x, cache=None):
        return self.mlp(self.ln_2(self.attn(self.ln_1(x), cache)))


class LinearFeedForward(FeedForward):
    """Two matrices with nothing between them."""

    def forward(self, x):
        return self.proj(self.fc(x))


class ReLUFeedForward(FeedForward):
    def forward(self, x):
        return self.proj(F.relu(self.fc(x)))


class UntiedGPT(GPT):
    """A GPT whose output head has a matrix of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        nn.init.normal_(self.lm_head.weight, std=0.02)

    def forward(self, idx, targets=None):
        x = self.embed(idx)  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))  # (B, T, V)
        loss = None if targets is None else cross_entropy(logits, targets)
        return logits, loss


# ------------------------------------------------------------------ the variants


def without_attention(config):
    model = GPT(config)
    for block in model.blocks:
        block.attn = Nothing()
    return model


def without_feed_forward(config):
    model = GPT(config)
    for block in model.blocks:
        block.mlp = Nothing()
    return model


def with_feed_forward(kind, config):
    model = GPT(config)
    for block in model.blocks:
        block.mlp.__class__ = kind  # the same weights, another forward
    return model


def without_residual(config):
    model = GPT(config)
    for block in model.blocks:
        block.__class__ = PlainBlock
    return model


def without_layer_norm(config):
    model = GPT(config)
    for block in model.blocks:
        block.ln_1, block.ln_2 = nn.Identity(), nn.Identity()
    model.ln_f = nn.Identity()
    return model


def without_final_layer_norm(config):
    model = GPT(config)
    model.ln_f = nn.Identity()
    return model


def without_positions(config):
    model = GPT(config)
    nn.init.zeros_(model.position_embedding.weight).requires_grad_(False)
    return model


WHOLE = "the whole GPT"
VARIANTS = {  # name: config -> a fresh model
    WHOLE: GPT,
    "without attention": without_attention,
    "without positions": without_positions,
    "without feed-forward": without_feed_forward,
    "without GELU": lambda config: with_feed_forward(LinearFeedForward, config),
    "ReLU instead of GELU": lambda config: with_feed_forward(ReLUFeedForward, config),
    "without residual connections": without_residual,
    "without LayerNorm": without_layer_norm,
    "without the final LayerNorm": without_final_layer_norm,
    "untied output head": UntiedGPT,
    "dropout 0.1": lambda config: GPT(replace(config, dropout=0.1)),
    "one head": lambda config: GPT(replace(config, n_head=1)),
    "one block": lambda config: GPT(replace(config, n_layer=1)),
}
# Which steps the reference is measured at, and with which variants. Heads and depth need time.
STEPS = {600: tuple(VARIANTS), 3000: (WHOLE, "one head", "one block")}


def variant(name, config):
    """A fresh GPT of these sizes, changed as `name` says: one of VARIANTS.

    Raises ValueError for another name.
    """
    if name not in VARIANTS:
        raise ValueError(f"unknown variant {name!r}: choose from {', '.join(VARIANTS)}")
    return VARIANTS[name](config)


def measure(name, seed, steps):
    """Train a variant of the laptop preset for so many steps -> its validation loss, in nats."""
    text = load_text()
    tokenizer = CharTokenizer.from_text(text)
    train_data, val_data = split(encode_text(tokenizer, text))
    torch.manual_seed(seed)
    model = variant(name, PRESETS["laptop"][0])
    return train(model, train_data, val_data, replace(recipe(steps), seed=seed)).val_loss[-1]


def recipe(steps):
    """The laptop preset's, in float32; its warm-up is the same, and its cosine ends with the run."""
    return replace(PRESETS["laptop"][1], steps=steps, eval_interval=steps, precision="fp32")


def settings():
    """What the reference's runs have in common, as plain numbers."""
    shared = asdict(recipe(min(STEPS)))
    for its_own in ("steps", "eval_interval", "seed"):
        del shared[its_own]
    return {"model": asdict(PRESETS["laptop"][0]), "training": shared}


def load_losses(steps=600):
    """{name: [a validation loss for each seed]} of the course's reference runs of so many steps.

    Raises ValueError where no such runs were made.
    """
    measured = json.loads(REFERENCE.read_text(encoding="utf-8"))["losses"]
    if str(steps) not in measured:
        raise ValueError(f"no variant was trained for {steps} steps, only {', '.join(measured)}")
    return {name: list(seeds.values()) for name, seeds in measured[str(steps)].items()}
