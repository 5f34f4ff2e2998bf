"""Checks of notebook 05's exercises."""

from unittest import mock

import torch
from torch.nn import functional as F

from mygpt.checks import (
    Wrong,
    build,
    call,
    compare,
    exercise,
    forbidden,
    give_weights,
    own_or,  # noqa: F401  the notebook calls check.own_or
    same,
)
from mygpt_helpers import GPTConfig


@exercise
def layer(answer):
    x = torch.arange(1.0, 25.0).view(2, 3, 4)

    def attention(x):
        return 0.5 * x + 1

    def feed_forward(x):
        return x * x

    a = x + attention(x)
    turned = x + feed_forward(x)
    given = x.clone()
    got = call(answer, given, attention, feed_forward)
    compare(
        got,
        a + feed_forward(a),
        {
            "one shortcut around both: add attention's output to x before feed_forward reads it": x
            + feed_forward(attention(x)),
            "no shortcut: add each sublayer's output to its input": feed_forward(attention(x)),
            "the second shortcut starts from the old x: add to what came out of the first": x
            + feed_forward(a),
            "feed_forward reads attention's output alone: let it read the sum x + attention(x)": a
            + feed_forward(attention(x)),
            "both read the same x: feed_forward comes after attention": a + feed_forward(x),
            "the other order: attention comes first": turned + attention(turned),
            "the second shortcut is missing: add feed_forward's output to what it read": feed_forward(
                a
            ),
            "the first shortcut is missing: add attention's output to x": attention(x)
            + feed_forward(attention(x)),
            "x came in twice: x + attention(x) already holds it": a + x + feed_forward(a),
            "only attention so far: feed_forward comes next, with a shortcut of its own": a,
        },
        "two sublayers, one after the other; each reads the stream, and its output is added to it",
    )
    if not torch.equal(given, x):
        raise Wrong("right, but your x += changed the caller's tensor: write x = x + ...")
    return "two sublayers, two shortcuts"


@exercise
def feed_forward(answer):
    B, T, C = 2, 3, 5
    generator = torch.Generator().manual_seed(0)
    fc = torch.randn(4 * C, C, generator=generator)
    proj = torch.randn(C, 4 * C, generator=generator)
    x = torch.randn(B, T, C, generator=generator)
    config = GPTConfig(vocab_size=7, block_size=9, n_layer=1, n_head=1, n_embd=C, dropout=0.0)
    module = build(answer, config)
    give_weights(module, {"fc.weight": fc, "proj.weight": proj})

    def out(bend, bend_again=lambda x: x):
        return bend_again(bend(x @ fc.T) @ proj.T)

    def gelu(x):
        return F.gelu(x, approximate="tanh")

    got = call(
        module,
        x.clone(),
        explain={"mat1 and mat2": "fc goes from C to 4C, proj from 4C back to C"},
    )
    compare(
        got,
        out(gelu),
        {
            "no nonlinearity: two matrices in a row are one matrix": out(lambda x: x),
            'this is the exact GELU: F.gelu(..., approximate="tanh") is wanted, as in GPT-2': out(
                F.gelu
            ),
            "this is ReLU: GELU is wanted": out(F.relu),
            "this is SiLU: GELU is wanted": out(F.silu),
            "this is tanh: GELU is wanted": out(torch.tanh),
            "this is the sigmoid: GELU is wanted": out(torch.sigmoid),
            "a second GELU after proj: only the wide vector is bent": out(gelu, gelu),
            "GELU comes after proj: it belongs between fc and proj": out(lambda x: x, gelu),
            "GELU comes before fc: it belongs between fc and proj": gelu(x) @ fc.T @ proj.T,
            "x is added here already: the residual connection belongs to the block": x + out(gelu),
            "softmax makes the entries compete: GELU bends each by itself": out(
                lambda x: x.softmax(dim=-1)
            ),
        },
        "proj(GELU(fc(x))) is wanted",
        what="the output",
    )
    if not same(call(module, x.clone()), got):
        raise Wrong("it gives another answer the second time: is there a dropout? None is wanted")
    return "each token by itself, wider, bent and back"


@exercise
def layer_norm(answer):
    B, T, C, eps = 2, 5, 7, 0.1  # a large eps, so that its place shows
    ready_made = forbidden("the exercise is to do without nn.LayerNorm and F.layer_norm")
    generator = torch.Generator().manual_seed(0)
    x = 1.5 + 0.5 * torch.randn(B, T, C, generator=generator)
    weight, some_bias = torch.randn(2, C, generator=generator)
    for bias in (some_bias, None):

        def norm(dim=-1, correction=0, centre=True, scale=None):
            mean = x.mean(dim, keepdim=True) * centre
            variance = (
                x.var(dim, keepdim=True, correction=correction)
                if centre
                else x.square().mean(dim, keepdim=True)
            )
            return finish(
                (x - mean) / ((variance + eps).sqrt() if scale is None else scale(variance))
            )

        def finish(out):
            return out * weight + (0 if bias is None else bias)

        given = x.clone()
        try:
            functional = mock.patch.object(torch.nn.functional, "layer_norm", ready_made)
            with functional, mock.patch.object(torch, "layer_norm", ready_made):
                result = call(
                    answer, given, weight.clone(), None if bias is None else bias.clone(), eps
                )
        except Wrong as error:
            if "ambiguous" in str(error):
                raise Wrong(
                    f"{error} (ask `bias is not None`: a tensor of several numbers is neither true nor false)"
                ) from None
            if "NoneType" in str(error):
                raise Wrong(f"{error} (bias may be None: then nothing is added)") from None
            if "size" in str(error) or "shape" in str(error):
                raise Wrong(
                    f"{error} (x.mean(dim=-1) has lost the last axis: keepdim=True keeps it as 1)"
                ) from None
            raise
        compare(
            result,
            norm(),
            {
                "the variance was divided by C - 1: it is the mean of the squares, so var(correction=0)": norm(
                    correction=1
                ),
                "mean and variance over all tokens of a text: each token by itself, dim=-1": norm(
                    dim=(1, 2)
                ),
                "mean and variance over the whole batch: each token by itself, dim=-1": norm(
                    dim=(0, 1, 2)
                ),
                "mean and variance of all numbers, x.mean() and x.var(): each token by itself, dim=-1": norm(
                    dim=(0, 1, 2), correction=1
                ),
                "mean and variance over the tokens: over the C entries of each token, dim=-1": norm(
                    dim=1
                ),
                "mean and variance over the texts of the batch: over the C entries of each token, dim=-1": norm(
                    dim=0
                ),
                "this is batch normalisation: over the C entries of each token, dim=-1": norm(
                    dim=(0, 1)
                ),
                "the mean is not subtracted": norm(centre=False),
                "the mean was not subtracted above the line, only for the variance": finish(
                    x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()
                ),
                "divided by the variance: divide by its root": norm(scale=lambda v: v + eps),
                "eps was added to the root: add it to the variance, under the root": norm(
                    scale=lambda v: v.sqrt() + eps
                ),
                "eps was added to the root, and the variance divided by C - 1: (variance + eps) under the root, var(correction=0)": norm(
                    correction=1, scale=lambda v: v.sqrt() + eps
                ),
                "eps is the one that is given, not 1e-5": norm(scale=lambda v: (v + 1e-5).sqrt()),
                "eps is left out": norm(scale=lambda v: v.sqrt()),
                "eps is left out, and the variance was divided by C - 1: var(correction=0)": norm(
                    correction=1, scale=lambda v: v.sqrt()
                ),
                "only the mean is subtracted: divide by the root of the variance": norm(
                    scale=lambda v: 1.0
                ),
                "the weight is left out": (norm() - (0 if bias is None else bias)) / weight
                + (0 if bias is None else bias),
                **(
                    {}
                    if bias is None
                    else {
                        "the bias is left out": norm() - bias,
                        "weight and bias are left out": (norm() - bias) / weight,
                        "the bias came before the weight: multiply first": (
                            (norm() - bias) / weight + bias
                        )
                        * weight,
                    }
                ),
            },
            "(x - mean) / sqrt(variance + eps) * weight + bias is wanted, mean and variance over the last axis",
        )
        if not torch.equal(given, x):
            raise Wrong(
                "the input itself was changed, by -= or x[...] =: write deviation = x - ..., which makes a new tensor"
            )
    return "each token by itself, with a bias and without"


@exercise
def block(answer):
    B, T, C, nh = 2, 5, 8, 2
    generator = torch.Generator().manual_seed(0)
    config = GPTConfig(vocab_size=7, block_size=9, n_layer=1, n_head=nh, n_embd=C, dropout=0.0)
    weights = {
        name: torch.randn(shape, generator=generator)
        for name, shape in {
            "ln_1.weight": (C,),
            "attn.qkv.weight": (3 * C, C),
            "attn.proj.weight": (C, C),
            "ln_2.weight": (C,),
            "mlp.fc.weight": (4 * C, C),
            "mlp.proj.weight": (C, 4 * C),
        }.items()
    }
    x = 1 + 2 * torch.randn(B, T, C, generator=generator)
    module = build(answer, config)
    give_weights(module, weights)

    def norm(i):
        return lambda x: F.layer_norm(x, (C,), weights[f"ln_{i}.weight"])

    def attn(x):
        parts = (x @ weights["attn.qkv.weight"].T).split(C, dim=-1)
        q, k, v = (part.unflatten(-1, (nh, -1)).transpose(1, 2) for part in parts)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return out.transpose(1, 2).flatten(2) @ weights["attn.proj.weight"].T

    def mlp(x):
        wide = F.gelu(x @ weights["mlp.fc.weight"].T, approximate="tanh")
        return wide @ weights["mlp.proj.weight"].T

    ln_1, ln_2 = norm(1), norm(2)
    h = x + attn(ln_1(x))
    n = ln_1(x) + attn(ln_1(x))
    post = ln_1(x + attn(x))
    f, turned = x + mlp(ln_2(x)), x + mlp(ln_1(x))
    given = x.clone()
    compare(
        call(module, given),
        h + mlp(ln_2(h)),
        {
            "norm after the addition: that is post-norm; normalise what each sublayer reads": ln_2(
                post + mlp(post)
            ),
            "nothing is added to x: both residual connections are missing": mlp(
                ln_2(attn(ln_1(x)))
            ),
            "the first residual connection is missing: add attention's output to x": attn(ln_1(x))
            + mlp(ln_2(attn(ln_1(x)))),
            "the second residual connection is missing: add the feed-forward output to the stream": mlp(
                ln_2(h)
            ),
            "one residual connection around both: each sublayer has its own": x
            + mlp(ln_2(attn(ln_1(x)))),
            "side by side: the feed-forward layer must read what attention has added": x
            + attn(ln_1(x))
            + mlp(ln_2(x)),
            "what attention added is lost: add the feed-forward output to the new x, not the old": x
            + mlp(ln_2(h)),
            "the sum starts from the normalised x: the stream itself is never normalised": n
            + mlp(ln_2(n)),
            "the sum starts from the normalised x, both times: the stream is never normalised": ln_2(
                n
            )
            + mlp(ln_2(n)),
            "without the norms: each sublayer reads a normalised x": (x + attn(x))
            + mlp(x + attn(x)),
            "the second norm is missing": h + mlp(h),
            "the first norm is missing": x + attn(x) + mlp(ln_2(x + attn(x))),
            "ln_1 was used twice": h + mlp(ln_1(h)),
            "the norms are exchanged: ln_1 belongs to attention": x
            + attn(ln_2(x))
            + mlp(ln_1(x + attn(ln_2(x)))),
            "the feed-forward layer came first: attention does": f + attn(ln_1(f)),
            "the feed-forward layer came first, with attention's norm: attention comes first": turned
            + attn(ln_2(turned)),
            "the sublayers' outputs are normalised: normalise what they read": x
            + ln_1(attn(x))
            + ln_2(mlp(x + ln_1(attn(x)))),
            "x came in twice: x + attention already holds it": h + x + mlp(ln_2(h)),
            "only attention so far: the feed-forward layer is missing": h,
        },
        "not the block of the drawing: follow each arrow once more",
        what="the output",
    )
    if not torch.equal(given, x):
        raise Wrong("right, but your x += changed the caller's tensor: write x = x + ...")
    return "two branches that read a normalised stream and add to it"
