"""The GPT with one part left out, for controlled comparisons: same sizes, steps, rate and seeds.

    model = variant("without residual connections", config)

A variant is made from a whole GPT, so that what is left starts from the same numbers.
"""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from mygpt_helpers import GPT, Block, cross_entropy


class Nothing(nn.Module):
    """Stands in for a sublayer and writes nothing into the residual stream."""

    def forward(self, x, cache=None):
        return torch.zeros_like(x)


class PlainBlock(Block):
    """A block whose sublayers replace the vectors instead of adding to them."""

    def forward(self, x, cache=None):
        return self.mlp(self.ln_2(self.attn(self.ln_1(x), cache)))


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
    model.position_embedding.weight.data.zero_()
    model.position_embedding.weight.requires_grad_(False)
    return model


def without_gelu(config):
    """ReLU in GELU's place."""
    model = GPT(config)
    for block in model.blocks:
        block.mlp.forward = lambda x, mlp=block.mlp: mlp.proj(F.relu(mlp.fc(x)))
    return model


def without_nonlinearity(config):
    model = GPT(config)
    for block in model.blocks:
        block.mlp.forward = lambda x, mlp=block.mlp: mlp.proj(mlp.fc(x))
    return model


def one_head(config):
    return GPT(replace(config, n_head=1))


def one_block(config):
    return GPT(replace(config, n_layer=1))


VARIANTS = {
    "the whole GPT": GPT,
    "without attention": without_attention,
    "without positions": without_positions,
    "without feed-forward": without_feed_forward,
    "without nonlinearity": without_nonlinearity,
    "ReLU instead of GELU": without_gelu,
    "without residual connections": without_residual,
    "without LayerNorm": without_layer_norm,
    "without the final LayerNorm": without_final_layer_norm,
    "untied output head": UntiedGPT,
    "one head": one_head,
    "one block": one_block,
}


def variant(name, config):
    """A fresh GPT of these sizes, changed as `name` says: one of VARIANTS.

    Raises ValueError for another name.
    """
    if name not in VARIANTS:
        raise ValueError(f"unknown variant {name!r}: choose from {', '.join(VARIANTS)}")
    return VARIANTS[name](config)
