"""Answers to notebook 06's exercises: wrong ones with words their hint must hold, and unusual right ones."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mygpt_helpers import GPT, MultiHeadAttention


def in_place_dropout(x, p, keep, training):
    if training:
        x[~keep] = 0
        x /= 1 - p
    return x


def count(
    head=0,
    positions=1,
    last=1,
    norms=2,
    mlp=8,
    attn=4,
    layers=None,
    attn_bias=4,
    mlp_bias=5,
    norm_bias=1,
    bias=None,
):
    def count_parameters(config):
        C, b = config.n_embd, int(config.bias if bias is None else bias)
        norm = C * (1 + b * norm_bias)
        block = norms * norm + (attn + mlp) * C**2 + b * (attn_bias + mlp_bias) * C
        vectors = (1 + head) * config.vocab_size + positions * config.block_size
        return vectors * C + (layers or config.n_layer) * block + last * norm

    return count_parameters


# ----------------------------------------------------------------------------- gpt


class Feed(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)
        self.dropout = config.dropout

    def forward(self, x):
        x = F.gelu(self.fc(x), approximate="tanh")
        return F.dropout(self.proj(x), self.dropout, self.training)


class OneBlock(nn.Module):
    feed = Feed

    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=False)
        self.attn = MultiHeadAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=False)
        self.mlp = self.feed(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Model(nn.Module):
    """The whole GPT, with a mistake or with none."""

    block, std, scaled, last = OneBlock, 0.02, True, True

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.ModuleList(self.block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, bias=False)
        for name, parameter in self.named_parameters():
            if self.std and parameter.dim() == 2:
                small = self.scaled and name.endswith("proj.weight")
                factor = (2 * config.n_layer) ** -0.5 if small else 1.0
                nn.init.normal_(parameter, std=self.std * factor)

    def embed(self, idx):
        x = self.token_embedding(idx) + self.position_embedding.weight[: idx.size(1)]
        return F.dropout(x, self.config.dropout, self.training)

    def run(self, x):
        for block in self.blocks:
            x = block(x)
        return x

    def head(self, x):
        return F.linear(self.ln_f(x), self.token_embedding.weight)

    def loss(self, logits, targets):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def forward(self, idx, targets=None):
        logits = self.head(self.run(self.embed(idx)))
        return logits, None if targets is None else self.loss(logits, targets)

    def generate(self, idx, max_new_tokens):
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -self.config.block_size :])
            idx = torch.cat([idx, self.draw(logits[:, -1])], dim=1)
        return idx

    def draw(self, logits):
        return torch.multinomial(F.softmax(logits, dim=-1), 1)


def model(**changes):
    return type("Answer", (Model,), changes)


def with_block(**changes):
    return model(block=type("Changed", (OneBlock,), changes))


def with_feed(forward):
    return with_block(feed=type("Changed", (Feed,), {"forward": forward}))


def embedded(function):
    return model(embed=lambda self, idx: function(self, idx))


def positions(self, idx):
    return self.position_embedding.weight[: idx.size(1)]


class Untied(Model):
    def __init__(self, config):
        super().__init__(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)


class PlainList(Model):
    def __init__(self, config):
        super().__init__(config)
        blocks = list(self.blocks)
        del self.blocks
        self.blocks = blocks


def post(self, x):
    x = self.ln_1(x + self.attn(x))
    return self.ln_2(x + self.mlp(x))


def no_crop(self, idx, max_new_tokens):
    for _ in range(max_new_tokens):
        idx = torch.cat([idx, self.draw(self(idx)[0][:, -1])], dim=1)
    return idx


def only_new(self, idx, max_new_tokens):
    return Model.generate(self, idx, max_new_tokens)[:, idx.size(1) :]


def cropped_for_good(self, idx, max_new_tokens):
    for _ in range(max_new_tokens):
        idx = idx[:, -self.config.block_size :]
        idx = torch.cat([idx, self.draw(self(idx)[0][:, -1])], dim=1)
    return idx


def first_position(self, idx, max_new_tokens):
    for _ in range(max_new_tokens):
        logits, _ = self(idx[:, -self.config.block_size :])
        idx = torch.cat([idx, self.draw(logits[:, 0])], dim=1)
    return idx


class WithSequential(Model):
    """Blocks in nn.Sequential have the same keys; positions looked up; apply for the start."""

    def __init__(self, config):
        super().__init__(config)
        self.blocks = nn.Sequential(*self.blocks)

    def forward(self, idx, targets=None):
        place = self.position_embedding(torch.arange(idx.shape[1]))
        x = F.dropout(self.token_embedding(idx) + place, self.config.dropout, self.training)
        logits = self.ln_f(self.blocks(x)) @ self.token_embedding.weight.T
        if targets is None:
            return logits, None
        log_probs = logits.log_softmax(dim=-1)
        return logits, -log_probs.gather(-1, targets[..., None]).mean()


class WithMask(Model):
    """A buffer that is not saved, a dropout module, greedy writing into a new tensor."""

    def __init__(self, config):
        super().__init__(config)
        self.drop = nn.Dropout(config.dropout)
        self.register_buffer("places", torch.arange(config.block_size), persistent=False)

    def embed(self, idx):
        x = self.token_embedding(idx) + self.position_embedding(self.places[: idx.shape[-1]])
        return self.drop(x)

    @torch.no_grad()
    def generate(self, idx, max_new_tokens):
        rows = idx.tolist()
        for _ in range(max_new_tokens):
            window = torch.tensor([row[-self.config.block_size :] for row in rows])
            for row, last in zip(rows, self(window)[0][:, -1]):
                row.append(torch.distributions.Categorical(logits=last).sample().item())
        return torch.tensor(rows)


class OfTheCourse(GPT):
    pass


class Recursive(Model):
    def generate(self, idx, max_new_tokens):
        if max_new_tokens == 0:
            return idx
        last = self(idx[:, -self.config.block_size :])[0][:, -1]
        return self.generate(torch.cat([idx, self.draw(last)], 1), max_new_tokens - 1)


# ----------------------------------------------------------------------------- right ones elsewhere


def dropout_where(x, p, keep, training):
    return torch.where(keep, x / (1 - p), 0.0) if training else x


def dropout_in_numpy(x, p, keep, training):
    x, keep = x.numpy(), keep.numpy()
    return x * keep / (1 - p) if training else x


def dropout_in_a_loop(x, p, keep, training):
    out = x.clone()
    for i in range(x.size(0)):
        for j in range(x.size(1)):
            if training:
                out[i, j] = x[i, j] / (1 - p) if keep[i, j] else 0.0
    return out


def dropout_filled(x, p, keep, training):
    return x if not training else x.masked_fill(~keep, 0.0).mul(1 / (1 - p))


def count_in_words(config):
    C, b = config.n_embd, 1 if config.bias else 0
    shapes = [(config.vocab_size, C), (config.block_size, C)]
    for _ in range(config.n_layer):
        shapes += [(3 * C, C + b), (C, C + b), (4 * C, C + b), (C, 4 * C + b)]
        shapes += 2 * [(1 + b, C)]
    return sum(rows * columns for rows, columns in [*shapes, (1 + b, C)])


def count_with_numpy(config):
    return np.int64(count()(config))


def count_with_torch(config):
    return torch.tensor(count()(config))


def count_by_parts(config):
    C, L, b = config.n_embd, config.n_layer, config.bias
    matrices, vectors = L * 12 * C * C, (2 * L + 1) * C * (2 if b else 1)
    biases = L * 9 * C if b else 0
    return (config.vocab_size + config.block_size) * C + matrices + vectors + biases


RIGHT = [
    ("dropout", dropout_where),
    ("dropout", dropout_in_numpy),
    ("dropout", dropout_in_a_loop),
    ("dropout", dropout_filled),
    ("count_parameters", count_in_words),
    ("count_parameters", count_with_numpy),
    ("count_parameters", count_with_torch),
    ("count_parameters", count_by_parts),
    ("gpt", Model),
    ("gpt", WithSequential),
    ("gpt", WithMask),
    ("gpt", Recursive),
]

CASES = [
    ("dropout", lambda x, p, keep, training: x * keep if training else x, "larger"),
    (
        "dropout",
        lambda x, p, keep, training: x * keep if training else x * (1 - p),
        "outside of it return x",
    ),
    ("dropout", lambda x, p, keep, training: x * keep / p if training else x, "divided by p"),
    (
        "dropout",
        lambda x, p, keep, training: x * keep * (1 - p) if training else x,
        "multiplied by 1 - p",
    ),
    (
        "dropout",
        lambda x, p, keep, training: x * ~keep / (1 - p) if training else x,
        "wrong way round",
    ),
    (
        "dropout",
        lambda x, p, keep, training: x * keep / keep.float().mean() if training else x,
        "happened to survive",
    ),
    ("dropout", lambda x, p, keep, training: x * keep / (1 - p), "outside of training too"),
    (
        "dropout",
        lambda x, p, keep, training: x * keep / (1 - p) if training else x * (1 - p),
        "already made larger",
    ),
    ("dropout", lambda x, p, keep, training: x if training else x * keep / (1 - p), "swapped"),
    ("dropout", in_place_dropout, "makes a new tensor"),
    (
        "dropout",
        lambda x, p, keep, training: x[keep] / (1 - p) if training else x,
        "shape must stay",
    ),
    ("count_parameters", count(head=1), "tied"),
    ("count_parameters", count(positions=0), "position embedding"),
    ("count_parameters", count(last=0), "last LayerNorm"),
    ("count_parameters", count(norms=0), "blocks' LayerNorms"),
    ("count_parameters", count(norms=0, last=0), "all LayerNorms"),
    ("count_parameters", count(norms=1), "two LayerNorms"),
    ("count_parameters", count(mlp=4), "8 C²"),
    ("count_parameters", count(attn=3), "output projection"),
    ("count_parameters", count(layers=1), "one block"),
    ("count_parameters", count(bias=False), "config.bias is True"),
    ("count_parameters", count(bias=True), "config.bias is False"),
    ("count_parameters", count(attn_bias=2), "3C entries"),
    ("count_parameters", count(mlp_bias=2), "4C entries"),
    ("count_parameters", count(norm_bias=0), "LayerNorms' biases"),
    ("count_parameters", count(attn_bias=0, mlp_bias=0), "Linears' biases"),
    ("count_parameters", count(layers=2), "too few"),
    ("count_parameters", count(attn_bias=0), "attention's biases"),
    ("count_parameters", count(mlp_bias=0), "feed-forward biases"),
    (
        "count_parameters",
        lambda config: count()(config) + config.vocab_size * config.bias,
        "output bias",
    ),
    ("count_parameters", lambda config: GPT(config).num_parameters(), "without building a model"),
    ("count_parameters", lambda config: "many", "number"),
    ("gpt", embedded(lambda self, idx: self.token_embedding(idx)), "positions are missing"),
    (
        "gpt",
        embedded(lambda self, idx: positions(self, idx).expand(len(idx), -1, -1)),
        "add token_embedding",
    ),
    (
        "gpt",
        embedded(lambda self, idx: self.token_embedding(idx) + positions(self, idx).flip(0)),
        "wrong way round",
    ),
    (
        "gpt",
        embedded(lambda self, idx: self.token_embedding(idx) + self.position_embedding.weight),
        "first T rows",
    ),
    (
        "gpt",
        embedded(lambda self, idx: self.token_embedding(idx) + positions(self, idx)),
        "sum of the two embeddings",
    ),
    ("gpt", model(head=lambda self, x: x @ self.token_embedding.weight.T), "ln_f is missing"),
    ("gpt", model(head=lambda self, x: Model.head(self, x).softmax(-1)), "these are probabilities"),
    ("gpt", model(head=lambda self, x: Model.head(self, x).log_softmax(-1)), "logarithms"),
    ("gpt", model(run=lambda self, x: x), "blocks are missing"),
    ("gpt", model(run=lambda self, x: self.blocks[0](x)), "only one block"),
    (
        "gpt",
        model(run=lambda self, x: self.blocks[0](self.blocks[1](self.blocks[2](x)))),
        "wrong order",
    ),
    (
        "gpt",
        model(
            loss=lambda self, z, y: F.cross_entropy(z.flatten(0, 1), y.flatten(), reduction="sum")
        ),
        "take the mean",
    ),
    ("gpt", model(loss=lambda self, z, y: Model.loss(self, z.softmax(-1), y)), "it wants logits"),
    (
        "gpt",
        model(loss=lambda self, z, y: Model.loss(self, z[:, :-1], y[:, 1:])),
        "shifted already",
    ),
    ("gpt", model(loss=lambda self, z, y: Model.loss(self, z, y).item()), "no gradient"),
    (
        "gpt",
        model(forward=lambda self, idx, targets=None: Model.forward(self, idx)[0]),
        "a pair is wanted",
    ),
    (
        "gpt",
        model(forward=lambda self, idx, targets=None: (Model.forward(self, idx)[0], 0.0)),
        "must be None",
    ),
    (
        "gpt",
        model(forward=lambda self, idx, targets=None: Model.forward(self, idx)),
        "beside the logits",
    ),
    ("gpt", Untied, "lm_head"),
    ("gpt", PlainList, "no weights called blocks.0"),
    ("gpt", model(std=None), "std=0.02"),
    ("gpt", model(std=0.2), "std=0.02"),
    ("gpt", model(scaled=False), "proj.weight starts"),
    ("gpt", with_block(forward=post), "post-norm"),
    ("gpt", with_block(forward=lambda s, x: x + s.attn(s.ln_1(x))), "only attention"),
    ("gpt", with_block(forward=lambda s, x: s.mlp(s.ln_2(s.attn(s.ln_1(x))))), "both residual"),
    ("gpt", with_feed(lambda self, x: self.proj(F.gelu(self.fc(x)))), "exact GELU"),
    ("gpt", with_feed(lambda self, x: self.proj(self.fc(x))), "no nonlinearity"),
    (
        "gpt",
        with_feed(lambda self, x: self.proj(F.gelu(self.fc(x), approximate="tanh"))),
        "drops nothing",
    ),
    (
        "gpt",
        with_feed(lambda self, x: F.dropout(Feed.forward(self, x), self.dropout)),
        "after eval",
    ),
    ("gpt", model(generate=no_crop), "crop idx"),
    ("gpt", model(generate=only_new), "prompt is missing"),
    ("gpt", model(generate=cropped_for_good), "keep all of idx"),
    ("gpt", model(generate=first_position), "last position"),
    ("gpt", model(generate=None), "no method generate"),
]
