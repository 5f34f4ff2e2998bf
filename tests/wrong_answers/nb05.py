"""Answers to notebook 05's exercises: wrong ones with words their hint must hold, and unusual right ones."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mygpt_helpers import MultiHeadAttention

# ----------------------------------------------------------------------------- layer


def in_place_layer(x, attention, feed_forward):
    x += attention(x)
    x += feed_forward(x)
    return x


def forgotten_return(x, attention, feed_forward):
    x = x + attention(x)
    x = x + feed_forward(x)


def parallel(x, attention, feed_forward):
    return x + attention(x) + feed_forward(x)


def layer_in_a_loop(x, attention, feed_forward):
    for sublayer in (attention, feed_forward):
        x = x + sublayer(x)
    return x


def layer_with_add(x, attention, feed_forward):
    middle = torch.add(x, attention(x))
    return feed_forward(middle).add_(middle)


def layer_on_a_copy(x, attention, feed_forward):
    x = x.clone()
    x += attention(x)
    x += feed_forward(x)
    return x


def layer_summed(x, attention, feed_forward):
    found = attention(x)
    return torch.stack([x, found, feed_forward(x + found)]).sum(0)


# ----------------------------------------------------------------------------- feed_forward


class Feed(nn.Module):
    """The feed-forward layer, with a mistake or with none."""

    bias, factor, order = False, 4, "fc bend proj"

    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.fc = nn.Linear(C, self.factor * C, bias=self.bias)
        self.proj = nn.Linear(self.factor * C, C, bias=self.bias)

    def bend(self, x):
        return F.gelu(x, approximate="tanh")

    def forward(self, x):
        for step in self.order.split():
            x = getattr(self, step)(x)
        return x


def feed(**changes):
    return type("Answer", (Feed,), changes)


def bent(function):
    return feed(bend=lambda self, x: function(x))


class NoSuperFeed(nn.Module):
    def __init__(self, config):
        self.fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)

    def forward(self, x):
        return self.fc(x)


class OtherNames(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.down = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Dropping(Feed):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5)


class WithGeluModule(Feed):
    def __init__(self, config):
        super().__init__(config)
        self.gelu = nn.GELU(approximate="tanh")

    def forward(self, x):
        return self.proj(self.gelu(self.fc(x)))


class WithFormula(Feed):
    def bend(self, x):
        return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


class WithParameters(nn.Module):
    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.fc, self.proj = nn.Module(), nn.Module()
        self.fc.weight = nn.Parameter(torch.empty(4 * C, C))
        self.proj.weight = nn.Parameter(torch.empty(C, 4 * C))

    def forward(self, x):
        return F.gelu(x @ self.fc.weight.T, approximate="tanh") @ self.proj.weight.T


class TokenByToken(Feed):
    def forward(self, x):
        step = super().forward
        return torch.stack([torch.stack([step(token) for token in row]) for row in x])


# ----------------------------------------------------------------------------- layer_norm


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


def numpy_norm(x, weight, bias, eps):
    x = x.numpy()
    out = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return out * weight.numpy() + (0 if bias is None else bias.numpy())


def norm_in_a_loop(x, weight, bias, eps):
    out = torch.empty_like(x)
    for b in range(x.size(0)):
        for t in range(x.size(1)):
            token = x[b, t]
            spread = ((token - token.mean()) ** 2).mean()
            out[b, t] = (token - token.mean()) * torch.rsqrt(spread + eps) * weight
    return out if bias is None else out + bias


def norm_by_var_mean(x, weight, bias, eps):
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    out = torch.addcmul(torch.zeros_like(x), (x - mean) / (variance + eps) ** 0.5, weight)
    return out if bias is None else out + bias


def norm_by_squares(x, weight, bias, eps):
    mean = x.mean(-1)[..., None]
    variance = (x**2).mean(-1)[..., None] - mean**2
    bias = torch.zeros_like(weight) if bias is None else bias
    return torch.einsum("btc,c->btc", (x - mean) / (variance + eps).sqrt(), weight) + bias


# ----------------------------------------------------------------------------- block


class Answer(nn.Module):
    """A block with the right parts; `forward` is what a case changes."""

    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=False)
        self.attn = MultiHeadAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=False)
        self.mlp = Feed(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


def wired(forward):
    return type("Wired", (Answer,), {"forward": forward})


def post(self, x):
    x = self.ln_1(x + self.attn(x))
    return self.ln_2(x + self.mlp(x))


def normalised_stream(self, x):
    x = self.ln_1(x)
    x = x + self.attn(x)
    x = self.ln_2(x)
    return x + self.mlp(x)


def feed_forward_first(self, x):
    x = x + self.mlp(self.ln_2(x))
    return x + self.attn(self.ln_1(x))


def in_place(self, x):
    x += self.attn(self.ln_1(x))
    x += self.mlp(self.ln_2(x))
    return x


class BiasedNorms(Answer):
    def __init__(self, config):
        super().__init__(config)
        self.ln_1 = nn.LayerNorm(config.n_embd)


class OneNorm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=False)
        self.attn, self.mlp = MultiHeadAttention(config), Feed(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_1(x))


class WithSequential(Answer):
    def forward(self, x):
        for norm, sublayer in ((self.ln_1, self.attn), (self.ln_2, self.mlp)):
            x = x + nn.Sequential(norm, sublayer)(x)
        return x


class OnACopy(Answer):
    def forward(self, x):
        x = x.clone()
        x += self.attn(self.ln_1(x))
        x += self.mlp(self.ln_2(x))
        return x


class WithFunctionalNorm(Answer):
    def forward(self, x):
        def norm(x, ln):
            return F.layer_norm(x, x.shape[-1:], ln.weight)

        middle = x + self.attn(norm(x, self.ln_1))
        return middle + self.mlp(norm(middle, self.ln_2))


RIGHT = [
    ("layer", layer_in_a_loop),
    ("layer", layer_with_add),
    ("layer", layer_on_a_copy),
    ("layer", layer_summed),
    ("feed_forward", WithGeluModule),
    ("feed_forward", WithFormula),
    ("feed_forward", WithParameters),
    ("feed_forward", TokenByToken),
    ("layer_norm", numpy_norm),
    ("layer_norm", norm_in_a_loop),
    ("layer_norm", norm_by_var_mean),
    ("layer_norm", norm_by_squares),
    ("block", Answer),
    ("block", WithSequential),
    ("block", OnACopy),
    ("block", WithFunctionalNorm),
]

CASES = [
    ("layer", lambda x, a, f: x + f(a(x)), "one shortcut around both"),
    ("layer", lambda x, a, f: f(a(x)), "no shortcut"),
    ("layer", lambda x, a, f: x + f(x + a(x)), "starts from the old x"),
    ("layer", lambda x, a, f: x + a(x) + f(a(x)), "the sum x + attention(x)"),
    ("layer", parallel, "both read the same x"),
    ("layer", lambda x, a, f: layer_in_a_loop(x, f, a), "attention comes first"),
    ("layer", lambda x, a, f: f(x + a(x)), "second shortcut is missing"),
    ("layer", lambda x, a, f: a(x) + f(a(x)), "first shortcut is missing"),
    ("layer", lambda x, a, f: x + a(x), "only attention"),
    ("layer", in_place_layer, "x = x + ..."),
    ("layer", forgotten_return, "return"),
    ("layer", lambda x, a, f: x * f(x * a(x)), "is added to it"),
    ("feed_forward", feed(order="fc proj"), "two matrices in a row"),
    ("feed_forward", bent(F.gelu), "exact GELU"),
    ("feed_forward", bent(F.relu), "this is ReLU"),
    ("feed_forward", bent(F.silu), "this is SiLU"),
    ("feed_forward", bent(torch.tanh), "this is tanh"),
    ("feed_forward", feed(order="fc bend proj bend"), "a second GELU"),
    ("feed_forward", feed(order="fc proj bend"), "GELU comes after proj"),
    ("feed_forward", feed(order="bend fc proj"), "GELU comes before fc"),
    ("feed_forward", feed(bias=True), "bias"),
    ("feed_forward", feed(factor=2), "expected (20, 5)"),
    ("feed_forward", feed(forward=lambda self, x: x + Feed.forward(self, x)), "residual"),
    ("feed_forward", OtherNames, "no weights called fc.weight"),
    ("feed_forward", NoSuperFeed, "super().__init__()"),
    ("feed_forward", Dropping, "proj(GELU(fc(x)))"),
    ("feed_forward", feed(order="proj bend fc"), "fc goes from C to 4C"),
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
    ("layer_norm", lambda x, w, b, eps: norm()(x, w, b, 1e-5), "not 1e-5"),
    ("block", wired(post), "post-norm"),
    ("block", wired(lambda s, x: s.mlp(s.ln_2(s.attn(s.ln_1(x))))), "both residual"),
    ("block", wired(lambda s, x: s.mlp(s.ln_2(x + s.attn(s.ln_1(x))))), "second residual"),
    ("block", wired(lambda s, x: x + s.mlp(s.ln_2(s.attn(s.ln_1(x))))), "around both"),
    ("block", wired(lambda s, x: x + s.attn(s.ln_1(x)) + s.mlp(s.ln_2(x))), "side by side"),
    ("block", wired(lambda s, x: x + s.mlp(s.ln_2(x + s.attn(s.ln_1(x))))), "lost"),
    ("block", wired(normalised_stream), "both times"),
    ("block", wired(lambda s, x: x + s.attn(x) + s.mlp(x + s.attn(x))), "without the norms"),
    ("block", wired(feed_forward_first), "attention does"),
    ("block", wired(lambda s, x: x + s.attn(s.ln_1(x))), "only attention"),
    ("block", wired(in_place), "x = x + ..."),
    ("block", wired(lambda s, x: x), "follow each arrow"),
    ("block", BiasedNorms, "ln_1.bias"),
    ("block", OneNorm, "no weights called ln_2.weight"),
]
