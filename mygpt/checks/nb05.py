"""Checks of notebook 05's exercises."""

from unittest import mock

import torch

from mygpt.checks import Wrong, call, compare, compare_number, exercise, forbidden
from mygpt_helpers import GPTConfig


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
def block_forward(answer):
    B, T, C = 2, 5, 7
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(B, T, C, generator=generator)
    m_1, m_2, m_attn, m_mlp = torch.randn(4, C, C, generator=generator) * C**-0.5
    past = torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]

    def ln(m):  # two different norms, so that taking one twice shows
        return lambda x: torch.nn.functional.layer_norm(x, (C,)) @ m

    def attn(x):
        return past @ x @ m_attn

    def mlp(x):
        return torch.nn.functional.gelu(x @ m_mlp)

    def zero(x):
        return torch.zeros_like(x)

    ln_1, ln_2 = ln(m_1), ln(m_2)
    x = start
    h = x + attn(ln_1(x))
    given = x.clone()
    result = call(answer, given, ln_1, attn, ln_2, mlp)
    n = ln_1(x) + attn(ln_1(x))
    post = ln_1(x + attn(x))
    f = x + mlp(ln_1(x))
    compare(
        result,
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
            "the second residual connection is missing: add the feed-forward output to what it read from": mlp(
                ln_2(h)
            ),
            "side by side: the feed-forward layer must read what attention has added": x
            + attn(ln_1(x))
            + mlp(ln_2(x)),
            "what attention added is lost: add the feed-forward output to the new x, not to the old": x
            + mlp(ln_2(h)),
            "the sum starts from the normalised x: the stream itself is never normalised": n
            + mlp(ln_2(n)),
            "the sum starts from the normalised x, both times: the stream itself is never normalised": ln_2(
                n
            )
            + mlp(ln_2(n)),
            "without the norms: each sublayer reads a normalised x": (x + attn(x))
            + mlp(x + attn(x)),
            "the second norm is missing": h + mlp(h),
            "the first norm is missing": x + attn(x) + mlp(ln_2(x + attn(x))),
            "ln_1 was used twice": h + mlp(ln_1(h)),
            "the norms are swapped: ln_1 belongs to attention": x
            + attn(ln_2(x))
            + mlp(ln_1(x + attn(ln_2(x)))),
            "the feed-forward layer came first: attention does": x
            + mlp(ln_2(x))
            + attn(ln_1(x + mlp(ln_2(x)))),
            "the feed-forward layer came first, with attention's norm: attention comes first": f
            + attn(ln_2(f)),
            "the sublayers' outputs are normalised: normalise what they read": x
            + ln_1(attn(x))
            + ln_2(mlp(x + ln_1(attn(x)))),
            "x came in twice: x + attention already holds it": h + x + mlp(ln_2(h)),
            "only attention so far: the feed-forward layer is missing": h,
        },
        "x = x + attn(ln_1(x)), then x + mlp(ln_2(x)), is wanted",
    )
    if not torch.equal(given, start):
        raise Wrong(
            "the input itself was changed, by += or x[...] =: write x = x + ..., which makes a new tensor"
        )
    if not torch.equal(call(answer, start.clone(), ln_1, zero, ln_2, zero), start):
        raise Wrong("with sublayers that return 0 the block must give back x exactly")
    return "and with silent sublayers it is the identity"


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
