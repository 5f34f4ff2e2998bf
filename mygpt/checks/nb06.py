"""Checks of notebook 06's exercises."""

import math
from unittest import mock

import torch
from torch.nn import functional as F

from mygpt.checks import (
    Wrong,
    build,
    call,
    compare,
    compare_number,
    exercise,
    forbidden,
    give_weights,
    own_or,  # noqa: F401  the notebook calls check.own_or
    parts,
    same,
    tensor,
)
from mygpt_helpers import GPT, GPTConfig


@exercise
def dropout(answer):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, generator=generator)
    for p in (0.3, 0.6):
        keep = torch.rand(3, 5, generator=generator) > p
        right = x * keep / (1 - p)
        given = x.clone()
        compare(
            call(answer, given, p, keep.clone(), True),
            right,
            {
                "in training the survivors must be larger, so that the mean stays: divide by 1 - p, and outside of it return x as it is": x
                * keep,
                "divided by p: a share of 1 - p survives, so divide by 1 - p": x * keep / p,
                "multiplied by 1 - p: divide by it": x * keep * (1 - p),
                "multiplied by p: divide by 1 - p": x * keep * p,
                "keep is True where an entry survives: it was taken the wrong way round": x
                * ~keep
                / (1 - p),
                "keep was taken the wrong way round, and the survivors must be divided by 1 - p": x
                * ~keep,
                "divided by the share that happened to survive: divide by 1 - p": x
                * keep
                / keep.float().mean(),
                "multiplied by 1 + p: divide by 1 - p": x * keep * (1 + p),
                "nothing was dropped in training: training and evaluation are swapped?": x,
                "nothing was dropped: all entries divided by 1 - p": x / (1 - p),
                "only the survivors, without the zeros: the shape must stay": (x / (1 - p))[keep],
            },
            "in training: 0 where keep is False, x / (1 - p) where it is True",
            what="the training answer",
        )
        if not torch.equal(given, x):
            raise Wrong(
                "the input itself was changed, by *= or x[...] =: write out = x * ..., which makes a new tensor"
            )
        compare(
            call(answer, x.clone(), p, keep.clone(), False),
            x,
            {
                "dropped outside of training too: if not training, return x": right,
                "dropped outside of training, though not scaled: if not training, return x": x
                * keep,
                "scaled outside of training: the survivors were already made larger, so return x": x
                * (1 - p),
                "divided by 1 - p outside of training: return x as it is": x / (1 - p),
                "zeros outside of training: return x as it is": torch.zeros_like(x),
            },
            "outside of training x must come back unchanged",
            what="the answer for training=False",
        )
    return "the mean stays, and outside of training nothing happens"


@exercise
def count_parameters(answer):
    gpt2 = GPTConfig(
        vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768, bias=True
    )
    for config in (
        GPTConfig(vocab_size=11, block_size=8, n_layer=3, n_head=5, n_embd=20, bias=False),
        GPTConfig(vocab_size=13, block_size=9, n_layer=2, n_head=3, n_embd=12, bias=True),
        gpt2,
    ):
        with mock.patch.object(
            torch.nn.Module, "__init__", forbidden("by arithmetic alone, without building a model")
        ):
            got = call(answer, config)
        V, T, L, C = config.vocab_size, config.block_size, config.n_layer, config.n_embd
        biases = config.bias * C  # a vector of C
        block = 12 * C**2 + 2 * C + 11 * biases
        right = V * C + T * C + L * block + C + biases
        mistakes = {
            "an output head of V × C too many: it is tied, so it has no numbers of its own": V * C,
            "an output head with a bias too many: it is tied, so it has no numbers of its own": V
            * C
            + V,
            "an output bias of V too many: the tied output has none": V,
            "the token embedding is missing: V × C": -V * C,
            "the position embedding is missing: block_size × C": -T * C,
            "both embeddings are missing: (V + block_size) × C": -(V + T) * C,
            "the last LayerNorm is missing": -C - biases,
            "the blocks' LayerNorms are missing: two in each block": -L * 2 * (C + biases),
            "all LayerNorms are missing: two in each block and one at the end": -(2 * L + 1)
            * (C + biases),
            "each block has two LayerNorms, one was counted": -L * (C + biases),
            "attention's output projection is missing: C × C": -L * (C**2 + biases),
            "attention has three matrices for q, k, v and one projection: one C × C was counted": -L
            * 3
            * C**2,
            "the feed-forward layer goes up to 4C and back: 8 C²": -L * 4 * C**2,
            "one block was counted: there are n_layer": (1 - L) * block,
            "the blocks are counted n_head times: heads divide the same matrices": L
            * (config.n_head - 1)
            * block,
        }
        if config.bias:
            linear, norms = 9 * biases, 2 * biases
            mistakes = {  # first: what goes for both values of bias was right for the config before
                "no biases: config.bias is True here": -L * 11 * biases - biases,
                "the LayerNorms' biases are missing": -L * norms - biases,
                "the Linears' biases are missing: 3C + C + 4C + C in each block": -L * linear,
                "attention's biases are missing in each block: 3C for qkv and C for proj": -L
                * 4
                * biases,
                "qkv has 3C outputs, so its bias has 3C entries (or the two LayerNorms in each block have no bias yet)": -L
                * 2
                * biases,
                "the wide feed-forward matrix has 4C outputs, so its bias has 4C entries": -L
                * 3
                * biases,
                "5C too few in each block: the feed-forward biases (4C + C) are missing, or qkv and the wide matrix have one of C instead of 3C and 4C": -L
                * 5
                * biases,
                "the last LayerNorm has a bias too": -biases,
            } | mistakes
        else:
            mistakes |= {
                "biases were counted, but config.bias is False here": L * 11 * C + C,
                "biases of the LayerNorms were counted, but config.bias is False here": (2 * L + 1)
                * C,
                "biases of the Linears were counted, but config.bias is False here": L * 9 * C,
            }
        mistakes = {hint: right + difference for hint, difference in mistakes.items()}
        compare_number(got, right, mistakes, f"the parameters of {config}")
    return f"{right:,} for GPT-2's smallest, to the last one"


# ------------------------------------------------------------------------------ the blank page


SIZES = GPTConfig(vocab_size=11, block_size=8, n_layer=3, n_head=2, n_embd=12, dropout=0.0)


def reference(config=SIZES, times=8.0):
    """The course's GPT with large weights, none of them at a value that hides a mistake."""
    model = GPT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(times)
            else:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@exercise
def gpt(answer):
    torch.manual_seed(0)
    right = reference()
    model = made(answer, right.config)
    give_weights(model, right.state_dict())
    model.eval()
    idx = torch.randint(SIZES.vocab_size, (2, 7))
    with torch.no_grad():
        same_logits(model, right, idx)
        shorter_and_full(model, right)
    the_loss(model, right, idx)
    drops_in_training(answer)
    starts_well(answer)
    writes(model, right)
    learns_by_heart(answer)
    return "the keys, logits, loss and text of the course's GPT, and it learns a batch by heart"


def made(answer, config):
    return build(answer, config, methods=("forward", "generate"))


def logits_of(model, *inputs):
    """What forward returns first. A hint says what it returns instead."""
    got = call(model, *inputs, explain={"size of tensor a": "take the first T rows of positions"})
    if not (isinstance(got, tuple) and len(got) == 2):
        raise Wrong(f"forward returns a {type(got).__name__}: a pair is wanted, logits and loss")
    return got


def same_logits(model, right, idx):
    got, loss = logits_of(model, idx)
    if loss is not None:
        raise Wrong("without targets the loss must be None")
    table, place = right.token_embedding.weight, right.position_embedding.weight

    def out(x=None, last=right.ln_f, head=table, blocks=right.blocks):
        x = table[idx] + place[: idx.size(1)] if x is None else x
        for block in blocks:
            x = block(x)
        return F.linear(last(x), head)

    def plain(x):
        for block in right.blocks:
            x = block.mlp(block.ln_2(block.attn(block.ln_1(x))))
        return F.linear(right.ln_f(x), table)

    start = table[idx] + place[: idx.size(1)]
    wanted = out()
    if not same(got, wanted):
        its_parts(model, right)
    compare(
        got,
        wanted,
        {
            "the positions are missing: add position_embedding to token_embedding": out(table[idx]),
            "only the positions were taken: add token_embedding": out(
                place[: idx.size(1)].expand(2, -1, -1)
            ),
            "ln_f is missing: normalise after the last block": out(last=lambda x: x),
            "ln_f came before the blocks: it belongs after the last one": out(
                right.ln_f(start), last=lambda x: x
            ),
            "the blocks are missing": out(blocks=[]),
            "only one block is used: all n_layer of them, in order": out(blocks=right.blocks[:1]),
            "the blocks run in the wrong order": out(blocks=list(right.blocks)[::-1]),
            "the positions came the wrong way round: the first token has position 0": out(
                table[idx] + place[: idx.size(1)].flip(0)
            ),
            "the first position is skipped: the first token has position 0": out(
                table[idx] + place[1 : idx.size(1) + 1]
            ),
            "every block was added to the stream once more: a block has its own connections": out(
                blocks=[lambda x, b=b: x + b(x) for b in right.blocks]
            ),
            "these are probabilities: return the logits, without softmax": wanted.softmax(-1),
            "these are logarithms of probabilities: return the logits as they are":
                wanted.log_softmax(-1),
        },
        "the parts are right, and the logits are not: embeddings, blocks, ln_f, tied head, in this order",
        what="the logits",
    )  # fmt: skip


def its_parts(model, right):
    """Which part computes something else, from the inside out? Raises Wrong with its own hint."""
    x = torch.randn(2, 5, SIZES.n_embd)
    for name, check in (("mlp", parts.feed_forward), ("attn", None), ("", parts.block)):
        mine, theirs = (m.blocks[0].get_submodule(name) for m in (model, right))
        where = f"blocks[0].{name}" if name else "a block"
        if same(call(mine, x.clone()), theirs(x)):
            continue
        if check is not None:
            try:
                check(type(mine), give=load)
            except Wrong as hint:
                raise Wrong(f"{where}: {hint}") from None
        raise Wrong(f"{where} does not compute what the course's does")


def load(module, weights):  # its keys were checked with those of the whole
    module.load_state_dict(weights, strict=False)


def shorter_and_full(model, right):
    for length in (1, SIZES.block_size):
        idx = torch.randint(SIZES.vocab_size, (3, length))
        if not same(logits_of(model, idx)[0], right(idx)[0]):
            raise Wrong(f"right for 7 tokens, but not for {length}: take T from idx")


def the_loss(model, right, idx):
    targets = idx.roll(-1, 1)
    got, loss = logits_of(model, idx, targets)
    if loss is None:
        raise Wrong("with targets the loss is wanted beside the logits")
    logits, wanted = right(idx, targets)
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    compare(
        loss,
        wanted,
        {
            "the loss is the sum over all positions: take the mean": each.sum(),
            "one loss for each position: take the mean": each,
            "softmax before cross_entropy: it wants logits": F.cross_entropy(
                logits.softmax(-1).flatten(0, 1), targets.flatten()
            ),
            "only the last position is judged: all of them": each.view(2, -1)[:, -1].mean(),
            "the targets were shifted again: they are shifted already": F.cross_entropy(
                logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten()
            ),
            "the loss has the wrong sign": -wanted,
        },
        "the loss must be the mean cross-entropy over all B × T positions",
        what="the loss",
    )
    if not getattr(loss, "requires_grad", False):
        raise Wrong("the loss has no gradient: compute it without no_grad, detach or item")


def drops_in_training(answer):
    config = GPTConfig(**vars(SIZES) | {"dropout": 0.5, "n_layer": 1})
    model = made(answer, config)
    idx = torch.randint(config.vocab_size, (4, 8))
    block = model.blocks[0]
    torch.nn.init.ones_(block.mlp.proj.weight)
    x = torch.randn(4, 8, config.n_embd)
    with torch.no_grad():
        model.train()
        if not (block.mlp(x) == 0).any():
            raise Wrong("the feed-forward layer drops nothing in training: F.dropout on its output")
        with mock.patch.object(type(block), "forward", lambda self, x, *rest: x):
            twice = [logits_of(model, idx)[0] for _ in range(2)]
        if same(*twice):
            raise Wrong("nothing is dropped from the sum of the two embeddings in training")
        model.eval()
        if not same(*(logits_of(model, idx)[0] for _ in range(2))):
            raise Wrong("dropout is still on after eval(): F.dropout(x, p, self.training)")


def starts_well(answer):
    config = GPTConfig(vocab_size=65, block_size=16, n_layer=4, n_head=4, n_embd=64, dropout=0.0)
    model = made(answer, config)
    idx, targets = torch.randint(65, (2, 8, 16))
    loss = logits_of(model, idx, targets)[1].item()
    if abs(loss - math.log(65)) > 0.15:
        raise Wrong(
            f"the first loss is {loss:.2f}, and a model that knows nothing should be near "
            f"{math.log(65):.2f}: draw every matrix and both embeddings with std=0.02"
        )
    spreads = {name: p.std().item() for name, p in model.named_parameters() if p.dim() == 2}
    small = 0.02 / math.sqrt(2 * config.n_layer)
    for name, spread in spreads.items():
        wanted = small if name.endswith("proj.weight") else 0.02
        if not 0.85 * wanted < spread < 1.15 * wanted:
            raise Wrong(
                f"{name} starts with a standard deviation of {spread:.4f}, not {wanted:.4f}"
            )


def writes(model, right):
    with torch.no_grad():  # so sure of itself that drawing always takes the likeliest
        for one in (model, right):
            one.ln_f.weight.mul_(1000)
    for length, new in ((3, 4), (8, 3), (10, 12)):
        idx = torch.randint(SIZES.vocab_size, (2, length))
        wanted = right.generate(idx, new, temperature=0, stride=1)
        explain = {
            "out of range": "crop idx to its last block_size tokens before forward",
            "must match the size": "crop idx to its last block_size tokens before forward",
            "exceed": "crop idx to its last block_size tokens before forward",
        }
        got = call(model.generate, idx.clone(), new, explain=explain)
        cropped = f"; the prompt of {length} and the new ones exceed block_size {SIZES.block_size}"
        ending = wanted[:, -tensor(got).shape[-1] :]
        compare(
            got,
            wanted,
            {
                "the prompt is missing from what generate returns: idx and the new tokens":
                    wanted[:, length:],
                "one token is missing": wanted[:, :-1],
                "the beginning is lost: keep all of idx, and crop only what forward reads": ending,
            },
            "generate: draw from softmax of the last position's logits, append, and go on"
            + (cropped if length + new > SIZES.block_size else ""),
            what="the written ids",
        )  # fmt: skip


def learns_by_heart(answer):
    config = GPTConfig(vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=32, dropout=0.0)
    model = made(answer, config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    idx = torch.stack([torch.randperm(11)[:9] for _ in range(3)])
    for _ in range(80):
        loss = model(idx[:, :-1], idx[:, 1:])[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if loss.item() > 0.6:
        raise Wrong(f"after 80 steps on one batch its loss is {loss.item():.2f}: it does not learn")
