"""Wrong answers to notebook 05's exercises: (check, answer, words its hint must hold)."""

import torch

from mygpt_helpers import GPT


def norm(
    dim=-1,
    correction=0,
    eps_outside=False,
    weighted=True,
    biased=True,
    square_root=True,
    keepdim=True,
    centre=True,
):
    def layer_norm(x, weight, bias, eps):
        variance = x.var(dim, correction=correction, keepdim=keepdim)
        below = (variance + eps) if not square_root else (variance + eps).sqrt()
        below = variance.sqrt() + eps if eps_outside else below
        out = (x - x.mean(dim, keepdim=keepdim) if centre else x) / below
        out = out * weight if weighted else out
        return out + bias if biased and bias is not None else out

    return layer_norm


def rms(x, weight, bias, eps):
    out = x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight
    return out if bias is None else out + bias


def in_place_norm(x, weight, bias, eps):
    x -= x.mean(-1, keepdim=True)
    out = x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight
    return out if bias is None else out + bias


def ready_made(x, weight, bias, eps):
    norm = torch.nn.LayerNorm(x.shape[-1], eps, bias=bias is not None)
    norm.weight.data = weight
    if bias is not None:
        norm.bias.data = bias
    return norm(x)


def truth_of_bias(x, weight, bias, eps):
    out = norm()(x, weight, None, eps)
    return out + bias if bias else out


def in_place_dropout(x, p, keep, training):
    if training:
        x[~keep] = 0
        x /= 1 - p
    return x


def feed_forward_first(x, ln_1, attn, ln_2, mlp):
    x = x + mlp(ln_1(x))
    return x + attn(ln_2(x))


def post(x, ln_1, attn, ln_2, mlp):
    x = ln_1(x + attn(x))
    return ln_2(x + mlp(x))


def no_residual(x, ln_1, attn, ln_2, mlp):
    return mlp(ln_2(attn(ln_1(x))))


def one_residual(x, ln_1, attn, ln_2, mlp):
    x = x + attn(ln_1(x))
    return mlp(ln_2(x))


def normalised_stream(x, ln_1, attn, ln_2, mlp):
    x = ln_1(x)
    x = x + attn(x)
    x = ln_2(x)
    return x + mlp(x)


def one_normalised_stream(x, ln_1, attn, ln_2, mlp):
    x = ln_1(x)
    x = x + attn(x)
    return x + mlp(ln_2(x))


def in_place(x, ln_1, attn, ln_2, mlp):
    x += attn(ln_1(x))
    x += mlp(ln_2(x))
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


CASES = [
    ("layer_norm", norm(correction=1), "C - 1"),
    ("layer_norm", norm(dim=(1, 2)), "text"),
    ("layer_norm", norm(dim=(0, 1, 2)), "whole batch"),
    (
        "layer_norm",
        lambda x, w, b, eps: (x - x.mean()) / (x.var() + eps).sqrt() * w + (0 if b is None else b),
        "of all numbers",
    ),
    ("layer_norm", norm(dim=(0, 1)), "batch normalisation"),
    ("layer_norm", norm(dim=1), "over the tokens"),
    ("layer_norm", norm(eps_outside=True), "under the root"),
    ("layer_norm", norm(eps_outside=True, correction=1), "C - 1"),
    ("layer_norm", in_place_norm, "makes a new tensor"),
    ("layer_norm", ready_made, "do without nn.LayerNorm"),
    (
        "layer_norm",
        lambda x, w, b, eps: torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, eps),
        "do without nn.LayerNorm",
    ),
    (
        "layer_norm",
        lambda x, w, b, eps: torch.layer_norm(x, x.shape[-1:], w, b, eps),
        "do without nn.LayerNorm",
    ),
    ("layer_norm", truth_of_bias, "bias is not None"),
    ("layer_norm", norm(square_root=False), "divide by its root"),
    ("layer_norm", norm(weighted=False), "weight"),
    ("layer_norm", norm(biased=False), "bias is left out"),
    ("layer_norm", norm(keepdim=False), "keepdim"),
    ("layer_norm", norm(centre=False), "above the line"),
    ("layer_norm", rms, "not subtracted"),
    ("layer_norm", lambda x, w, b, eps: norm()(x, w, None, eps) + b, "may be None"),
    ("layer_norm", lambda x, w, b, eps: norm()(x, w, b, 0.0), "eps is left out"),
    ("layer_norm", lambda x, w, b, eps: x * w + (0 if b is None else b), "last axis"),
    ("block_forward", post, "post-norm"),
    ("block_forward", no_residual, "both residual"),
    ("block_forward", one_residual, "second residual"),
    ("block_forward", normalised_stream, "both times"),
    ("block_forward", one_normalised_stream, "never normalised"),
    ("block_forward", feed_forward_first, "attention comes first"),
    ("block_forward", in_place, "makes a new tensor"),
    (
        "block_forward",
        lambda x, ln_1, attn, ln_2, mlp: x + attn(ln_1(x)) + mlp(ln_2(x)),
        "side by side",
    ),
    ("block_forward", lambda x, ln_1, attn, ln_2, mlp: x + mlp(ln_2(x + attn(ln_1(x)))), "lost"),
    (
        "block_forward",
        lambda x, ln_1, attn, ln_2, mlp: x + attn(x) + mlp(x + attn(x)),
        "without the norms",
    ),
    ("block_forward", lambda x, ln_1, attn, ln_2, mlp: x + attn(ln_1(x)), "only attention"),
    ("block_forward", lambda x, ln_1, attn, ln_2, mlp: x, "is wanted"),
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
]
