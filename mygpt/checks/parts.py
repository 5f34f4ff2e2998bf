"""A feed-forward layer and a block: what notebook 05 checks alone, and notebook 06 inside a GPT."""

import torch
from torch.nn import functional as F

from mygpt.checks import Wrong, build, call, compare, give_weights, same
from mygpt_helpers import GPTConfig


def feed_forward(answer, give=give_weights):
    """The praise for a right class. Raises Wrong. `give` loads weights into its module."""
    B, T, C = 2, 3, 5
    generator = torch.Generator().manual_seed(0)
    fc = torch.randn(4 * C, C, generator=generator)
    proj = torch.randn(C, 4 * C, generator=generator)
    x = torch.randn(B, T, C, generator=generator)
    config = GPTConfig(vocab_size=7, block_size=9, n_layer=1, n_head=1, n_embd=C, dropout=0.0)
    module = build(answer, config)
    give(module, {"fc.weight": fc, "proj.weight": proj})

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


def block(answer, give=give_weights):
    """The same for a block, whose parts are called ln_1, attn, ln_2 and mlp."""
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
    give(module, weights)

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
