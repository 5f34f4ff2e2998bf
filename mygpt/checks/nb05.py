"""Checks of notebook 05's exercises."""

from unittest import mock

import torch

from mygpt.checks import (
    Wrong,
    call,
    compare,
    exercise,
    forbidden,
    own_or,  # noqa: F401  the notebook calls check.own_or
    parts,
)


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
    return parts.feed_forward(answer)


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
    return parts.block(answer)
