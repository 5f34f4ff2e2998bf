"""The model and its sampling. Mistakes are numbered as in the course's list of famous ones."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mygpt.checkpoints import load_pretrained
from mygpt_helpers import (
    GPT,
    Block,
    FeedForward,
    GPTConfig,
    Head,
    MultiHeadAttention,
    encode_text,
    sample,
)

CONFIG = GPTConfig(vocab_size=13, block_size=10, n_layer=3, n_head=4, n_embd=24, dropout=0.0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def ids(B, T, seed=0):
    return torch.randint(CONFIG.vocab_size, (B, T), generator=seeded(seed))


def loud(model):
    """Weights ten times the initialisation: every part of the model then shows in its output."""
    for parameter in model.parameters():
        parameter.data *= 10
    return model


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(1337)


# ----------------------------------------------------------------------------- attention


@pytest.mark.parametrize("layer", [Head, MultiHeadAttention])
def test_mistake_1_scores_of_unit_variance_queries_and_keys_have_variance_1(layer):
    config = GPTConfig(block_size=64, n_head=4, n_embd=256, dropout=0.0)  # head_size 64, n_embd 256
    attention = layer(config)
    rows = torch.eye(64, 256)  # picks 64 of the 256 entries: queries and keys have variance 1
    if layer is Head:
        attention.query.weight.data, attention.key.weight.data = rows, rows.roll(64, dims=1)
    else:
        attention.qkv.weight.data[:256] = torch.eye(256)
        attention.qkv.weight.data[256:512] = torch.eye(256).roll(64, dims=1)
    weights = attention.weights(torch.randn(50, 64, 256))
    scores = weights[..., -1, :].log()  # the last row has no mask: scores, up to a constant
    assert scores.var(dim=-1).mean().item() == pytest.approx(1, abs=0.1)


def test_head_equals_scaled_dot_product_attention():
    head, x = Head(CONFIG), torch.randn(2, 7, 24)
    q, k, v = head.query(x), head.key(x), head.value(x)
    reference = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(head(x), reference, atol=1e-6)
    assert head(x).shape == (2, 7, 6)


@pytest.mark.parametrize("make", [Head, MultiHeadAttention, Block, GPT])
def test_mistake_2_no_output_depends_on_a_later_token(make):
    """Both paths: Head masks by hand, MultiHeadAttention leaves it to PyTorch."""
    model = loud(make(CONFIG))
    run = (lambda x: model(x)[0]) if make is GPT else model
    x = ids(2, 10) if make is GPT else torch.randn(2, 10, 24)
    before = run(x)
    for t in range(9):
        changed = x.clone()
        changed[:, t + 1 :] = (x[:, t + 1 :] + 5) % 13 if make is GPT else torch.randn(2, 9 - t, 24)
        after = run(changed)
        assert torch.allclose(before[:, : t + 1], after[:, : t + 1], atol=1e-5), f"{t} sees on"
        assert not torch.allclose(before[:, t + 1], after[:, t + 1], atol=1e-3)  # a real change


@pytest.mark.parametrize("layer", [Head, MultiHeadAttention])
@pytest.mark.parametrize("T", [1, 4, 10])  # up to block_size
def test_mistake_3_the_mask_comes_before_the_softmax(layer, T):
    weights = layer(CONFIG).weights(3 * torch.randn(2, T, 24))
    assert weights.shape[-2:] == (T, T) and not weights.isnan().any()
    assert torch.allclose(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
    assert (weights.triu(1) == 0).all()
    assert (weights.tril() > 0).sum() == weights[..., 0, 0].numel() * T * (T + 1) // 2


def test_mistake_4_the_mask_is_a_buffer():
    head = Head(CONFIG)
    assert dict(head.named_buffers()).keys() == {"past"}  # no parameter ...
    assert all("past" not in name for name, _ in head.named_parameters())
    assert "past" not in head.state_dict()  # ... not saved ...
    assert head.to("meta").past.device.type == "meta"  # ... and it moves with the module


def test_mistake_5_every_parameter_is_registered_and_gets_a_gradient():
    V, T, L, C = CONFIG.vocab_size, CONFIG.block_size, CONFIG.n_layer, CONFIG.n_embd
    model = GPT(CONFIG)
    assert model.num_parameters() == V * C + T * C + L * (12 * C * C + 2 * C) + C
    with_biases = GPT(GPTConfig(V, T, L, 4, C, 0.0, bias=True))
    assert with_biases.num_parameters() == model.num_parameters() + L * (9 * C + 2 * C) + C
    _, loss = model(ids(4, 10), ids(4, 10, seed=1))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_keys_of_the_state_dict_are_frozen():
    """The output head is the token embedding, and has no key of its own."""
    parts = ("ln_1", "attn.qkv", "attn.proj", "ln_2", "mlp.fc", "mlp.proj")
    blocks = [f"blocks.{n}.{part}" for n in range(3) for part in parts]
    layers = ["token_embedding", "position_embedding", *blocks, "ln_f"]
    assert list(GPT(CONFIG).state_dict()) == [f"{layer}.weight" for layer in layers]


@pytest.mark.parametrize("name", ["laptop", "gpu"])
def test_the_shipped_models_load_and_write(name):
    model, tokenizer = load_pretrained(name)
    idx = encode_text(tokenizer, "ROMEO:\n")[None]
    text = tokenizer.decode(model.generate(idx, 40, temperature=0)[0])
    assert text.startswith("ROMEO:\n") and len(set(text[7:])) > 5


def test_mistake_6_heads_are_projected_and_fill_n_embd():
    attention, x = MultiHeadAttention(CONFIG), torch.randn(2, 5, 24)
    assert attention.proj.weight.shape == (24, 24)
    out = attention(x)
    attention.proj.weight.data = 2 * torch.eye(24) @ attention.proj.weight.data
    assert torch.allclose(attention(x), 2 * out, atol=1e-6)
    with pytest.raises(ValueError, match="n_embd 24 is not divisible by n_head 5"):
        GPTConfig(n_embd=24, n_head=5)


def heads_of(attention, config):
    """A list of plain Heads with the weights of the fused attention."""
    q, k, v = attention.qkv.weight.split(config.n_embd)
    heads = []
    for n in range(config.n_head):
        head, rows = Head(config), slice(n * config.head_size, (n + 1) * config.head_size)
        head.query.weight.data = q[rows]
        head.key.weight.data = k[rows]
        head.value.weight.data = v[rows]
        heads.append(head)
    return heads


def test_mistake_7_the_fused_heads_equal_a_loop_over_heads():
    attention, x = loud(MultiHeadAttention(CONFIG)), torch.randn(3, 10, 24)
    heads = heads_of(attention, CONFIG)
    looped = attention.proj(torch.cat([head(x) for head in heads], dim=-1))
    assert torch.allclose(attention(x), looped, atol=1e-4)
    maps = torch.stack([head.weights(x) for head in heads], dim=1)  # (B, nh, T, T)
    assert torch.allclose(attention.weights(x), maps, atol=1e-5)


@pytest.mark.parametrize("make", [Head, MultiHeadAttention, GPT])
def test_mistake_7_outputs_stay_when_the_text_after_them_is_cut_off(make):
    """Heads split and merged in the same wrong order pass the causality test, but not this one."""
    model = loud(make(CONFIG))
    run = (lambda x: model(x)[0]) if make is GPT else model
    x = ids(2, 10) if make is GPT else torch.randn(2, 10, 24)
    for t in range(1, 10):
        assert torch.allclose(run(x)[:, :t], run(x[:, :t]), atol=1e-4)


def test_fused_attention_equals_pytorchs():
    config = GPTConfig(block_size=10, n_head=4, n_embd=24, dropout=0.0, bias=True)
    ours, x = MultiHeadAttention(config), torch.randn(3, 10, 24)
    theirs = nn.MultiheadAttention(24, 4, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.proj.weight,
            "out_proj.bias": ours.proj.bias,
        }
    )
    hide = torch.ones(10, 10, dtype=torch.bool).triu(1)  # here True means hide
    out, weights = theirs(x, x, x, attn_mask=hide, average_attn_weights=False)
    assert torch.allclose(ours(x), out, atol=1e-6)
    assert torch.allclose(ours.weights(x), weights, atol=1e-6)


def test_mistake_8_order_is_known_by_the_positions_alone():
    model = loud(GPT(GPTConfig(13, 10, 1, 4, 24, 0.0)))
    idx = torch.arange(10)[None]
    order = [3, 1, 7, 0, 2, 5, 4, 6, 8, 9]  # the past is shuffled, the last token stays
    swapped = idx[:, order]
    assert not torch.allclose(model(idx)[0][:, -1], model(swapped)[0][:, -1], atol=1e-2)
    model.position_embedding.weight.data.zero_()
    assert torch.allclose(model(idx)[0][:, -1], model(swapped)[0][:, -1], atol=1e-4)


# ----------------------------------------------------------------------------- blocks and GPT


def test_mistake_9_zeroed_sublayers_make_a_block_the_identity():
    block, x = Block(CONFIG), torch.randn(2, 5, 24)
    assert not torch.allclose(block(x), x, atol=1e-3)
    block.attn.proj.weight.data.zero_()
    block.mlp.proj.weight.data.zero_()
    assert torch.equal(block(x), x)


def test_mistake_9_a_block_is_pre_norm():
    block, x = loud(Block(CONFIG)), torch.randn(2, 5, 24)

    def norm(x, weight):
        variance, mean = torch.var_mean(x, -1, keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5).sqrt() * weight

    middle = x + block.attn(norm(x, block.ln_1.weight))
    expected = middle + block.mlp(norm(middle, block.ln_2.weight))
    assert torch.allclose(block(x), expected, rtol=1e-4, atol=1e-3)


def test_mistake_9_gradients_reach_the_first_block_of_a_deep_model():
    model = GPT(GPTConfig(13, 10, 12, 4, 24, 0.0))
    model(ids(4, 10), ids(4, 10, 1))[1].backward()
    norms = [block.attn.qkv.weight.grad.norm() for block in model.blocks]
    assert 0.1 < norms[0] / norms[-1] < 10


def test_mistake_10_the_first_loss_is_near_ln_v():
    model = GPT(GPTConfig(dropout=0.0, n_layer=2, n_embd=96))
    x, y = (torch.randint(65, (16, 64), generator=seeded(n)) for n in (0, 1))
    assert model(x, y)[1].item() == pytest.approx(math.log(65), abs=0.05)


def test_mistake_10_initialisation():
    config = GPTConfig(n_layer=8, n_embd=128, n_head=4, bias=True)
    for name, parameter in GPT(config).named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "ln_" in name:
            assert (parameter == 1).all(), name
        else:
            expected = 0.02 / math.sqrt(2 * 8) if name.endswith("proj.weight") else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name


def test_feed_forward_uses_gpt2s_gelu():
    mlp, x = FeedForward(CONFIG), torch.randn(2, 5, 24)
    h = mlp.fc(x)
    # Hendrycks & Gimpel 2016
    gelu = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
    assert torch.allclose(mlp(x), mlp.proj(gelu), atol=1e-6)


def test_dropout_acts_in_training_only():
    model, idx = GPT(GPTConfig(13, 10, 2, 4, 24, dropout=0.5)), ids(2, 10)
    assert not torch.equal(model.train()(idx)[0], model(idx)[0])
    assert torch.equal(model.eval()(idx)[0], model(idx)[0])
    model.train()
    x = torch.randn(8, 10, 24)
    for out in (model.embed(ids(8, 10)), model.blocks[0].attn(x), model.blocks[0].mlp(x)):
        dropped = (out == 0).float().mean().item()  # half of each part's output
        assert dropped == pytest.approx(0.5, abs=0.05)
    attention = model.blocks[0].attn
    attention.proj = nn.Identity()
    # the first token attends to itself alone: where that weight is dropped, a whole head is 0
    heads = attention(x)[:, 0].view(8, 4, 6)
    assert (heads == 0).all(dim=-1).float().mean().item() == pytest.approx(0.5, abs=0.2)


def test_the_output_head_is_the_token_embedding():
    model, idx = GPT(CONFIG), ids(2, 5)
    x = model.embed(idx)
    for block in model.blocks:
        x = block(x)
    assert torch.allclose(model(idx)[0], model.ln_f(x) @ model.token_embedding.weight.T, atol=1e-6)
    assert torch.allclose(
        model.embed(idx), model.token_embedding(idx) + model.position_embedding(torch.arange(5))
    )


def test_attention_maps_are_those_of_the_forward_pass():
    model, idx = loud(GPT(GPTConfig(13, 10, 3, 4, 24, dropout=0.3))).train(), ids(2, 7)
    maps = model.attention_maps(idx)
    assert maps.shape == (3, 2, 4, 7, 7) and model.training and not maps.requires_grad
    model.eval()
    x = model.embed(idx)
    for layer, block in enumerate(model.blocks):
        inside = block.ln_1(x)
        v = block.attn.split(inside)[2]
        mixed = (maps[layer] @ v).transpose(1, 2).flatten(2)
        assert torch.allclose(block.attn(inside), block.attn.proj(mixed), rtol=1e-4, atol=1e-4)
        x = block(x)


def test_attention_maps_follow_the_wiring_of_the_blocks():
    """In a model of other blocks too: here each sublayer replaces x, and the maps must notice."""

    class Plain(Block):
        def forward(self, x, cache=None):
            return self.mlp(self.ln_2(self.attn(self.ln_1(x), cache)))

    model, idx, inputs = loud(GPT(CONFIG)), ids(2, 7), []
    for block in model.blocks:
        block.__class__ = Plain
        block.attn.register_forward_hook(lambda _, given, out: inputs.append(given[0]))
    maps = model.attention_maps(idx)
    for block, x, weights in zip(model.blocks, inputs, maps, strict=True):
        assert torch.allclose(block.attn.weights(x), weights)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_ids_may_be_of_any_integer_type(dtype):
    """Such as `encode_text` returns."""
    model, idx = GPT(CONFIG), ids(2, 5)
    assert torch.equal(model(idx.to(dtype))[0], model(idx)[0])
    out = model.generate(idx.to(dtype), 8, temperature=0)
    assert torch.equal(out, model.generate(idx, 8, temperature=0)) and out.dtype == torch.int64


def test_the_model_is_one_graph():
    """torch.compile finds no break, and torch.export takes any (B, T)."""
    model, idx = GPT(CONFIG), ids(2, 5)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(idx, idx)[1], model(idx, idx)[1])
    B, T = torch.export.Dim("B", max=64), torch.export.Dim("T", min=2, max=10)
    exported = torch.export.export(model, (idx,), dynamic_shapes=({0: B, 1: T},))
    for other in (idx, ids(3, 10)):
        assert torch.allclose(exported.module()(other)[0], model(other)[0], atol=1e-6)


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: GPT(CONFIG)(ids(1, 11)),
            r"11 tokens exceed block_size 10: try idx\[:, -10:\]",
        ),
        (lambda: GPT(CONFIG)(torch.tensor([[0, 13]])), "ids run from 0 to 13, .* only 0 to 12"),
        (lambda: GPT(CONFIG)(torch.tensor([[-1, 3]])), "ids run from -1 to 3"),
        (lambda: GPT(CONFIG)([[1, 2]]), r"idx is of type list: .*encode_text\(.*\)\[None\]"),
        (lambda: GPT(CONFIG)("to be"), "idx is of type str"),
        (lambda: GPT(CONFIG)(np.array([[1, 2]])), "idx is of type ndarray"),
        (lambda: GPT(CONFIG)(ids(1, 3)[0]), r"idx is torch.int64 of shape \(3,\): .*\(B, T\)"),
        (lambda: GPT(CONFIG)(torch.zeros(1, 3)), r"idx is torch.float32 of shape \(1, 3\)"),
        (lambda: GPTConfig(n_embd=10, n_head=4), "n_embd 10 is not divisible by n_head 4"),
        (lambda: GPTConfig(n_head=0), "n_head is 0"),
        (lambda: GPTConfig(block_size=-1), "block_size is -1"),
        (lambda: GPTConfig(dropout=1.0), "dropout is 1.0"),
        (lambda: GPTConfig(dropout="0.1"), "dropout is '0.1'"),
        (lambda: GPTConfig(n_head=4.0), "n_head is 4.0: it must be an int"),
        (lambda: GPTConfig(n_layer=True), "n_layer is True: it must be an int"),
    ],
)
def test_bad_sizes_and_ids_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ----------------------------------------------------------------------------- sampling


LOGITS = torch.tensor([[2.0, 1.0, 0.5, 0.5, -1.0], [0.0, 3.0, -2.0, 2.0, 0.5]])


def test_a_temperature_of_next_to_nothing_takes_the_likeliest():
    for temperature in (1e-30, 1e-40, 1e-45, 1e-300):
        assert sample(LOGITS, temperature).tolist() == [[0], [1]]


def frequencies(**settings):
    """How often each id is drawn, per row: (2, 5)."""
    many = LOGITS.repeat_interleave(20_000, dim=0)
    drawn = sample(many, generator=seeded(0), **settings).view(2, 20_000)
    return torch.stack([row.bincount(minlength=5) / 20_000 for row in drawn])


def test_mistake_16_temperature_divides_the_logits():
    for temperature in (0.5, 1.0, 2.0):
        expected = (LOGITS / temperature).softmax(-1)
        assert torch.allclose(frequencies(temperature=temperature), expected, atol=0.015)


def test_mistake_16_temperature_to_zero_is_greedy():
    greedy = LOGITS.argmax(-1, keepdim=True)
    assert torch.equal(sample(LOGITS, temperature=0), greedy)
    assert torch.equal(sample(LOGITS, temperature=1e-3, generator=seeded(0)), greedy)


def test_mistake_16_top_k_keeps_the_k_likeliest_of_each_row():
    expected = LOGITS.softmax(-1) * torch.tensor([[1, 1, 0, 0, 0], [0, 1, 0, 1, 0]])
    drawn = frequencies(top_k=2)
    assert torch.allclose(drawn, expected / expected.sum(-1, keepdim=True), atol=0.015)
    assert ((drawn == 0) == (expected == 0)).all()  # never: -inf, not a small number
    assert (frequencies(top_k=3)[0] > 0).tolist() == [True] * 4 + [False]  # two tie for the third
    everything = frequencies(top_k=99)  # more than there are
    assert torch.allclose(everything, LOGITS.softmax(-1), atol=0.015)


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.6, 0.8, 0.97, 1.0])
def test_mistake_16_top_p_keeps_the_smallest_set_that_reaches_p(top_p):
    drawn = frequencies(top_p=top_p)
    for row in range(2):
        probs, kept, total = LOGITS[row].softmax(-1).tolist(), [], 0.0
        for i in sorted(range(5), key=lambda i: -probs[i]):
            if total >= top_p:
                break
            kept.append(i)
            total += probs[i]
        expected = torch.tensor([probs[i] / total if i in kept else 0.0 for i in range(5)])
        assert torch.allclose(drawn[row], expected, atol=0.015)


def test_mistake_16_generate_crops_the_context_and_keeps_the_text():
    """Against a loop that is plain to the eye, past block_size and from a prompt longer than it."""
    model = loud(GPT(CONFIG)).eval()
    for length in (1, 9, 10, 11, 17):
        prompt = ids(3, length)
        for stride in (1, 4, 10):
            text, start = prompt, max(0, length - 10)
            for _ in range(25):
                logits, _ = model(text[:, start:])
                text = torch.cat([text, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
                start += stride if text.size(1) - start > 10 else 0
            assert torch.equal(model.generate(prompt, 25, temperature=0, stride=stride), text)
    out = model.generate(prompt, 25)
    assert out.shape == (3, 42) and torch.equal(out[:, :17], prompt)


def test_mistake_16_stride_1_sees_always_the_last_block_size_tokens():
    model = loud(GPT(CONFIG)).eval()
    text = ids(2, 5)
    out = model.generate(text, 20, temperature=0, stride=1)
    for _ in range(20):
        text = torch.cat([text, model(text[:, -10:])[0][:, -1].argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(out, text)


def test_mistake_16_generate_draws_from_its_own_generator():
    model = GPT(GPTConfig(13, 10, 1, 2, 8, dropout=0.5)).train()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    outs = [model.generate(ids(2, 3), 15, generator=seeded(n)) for n in (1, 1, 2)]
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])
    assert torch.equal(state, torch.get_rng_state())  # no dropout was drawn
    assert model.training


def test_mistake_16_rows_of_a_batch_do_not_mix():
    model, prompt = loud(GPT(CONFIG)), ids(4, 3)
    together = model.generate(prompt, 20, temperature=0)
    for row in range(4):
        alone = model.generate(prompt[row : row + 1], 20, temperature=0)
        assert torch.equal(together[row : row + 1], alone)


NAN, INF = float("nan"), float("inf")
CHOICES = [dict(temperature=0), {}, dict(top_k=2), dict(top_p=0.9), dict(top_k=1, top_p=0.5)]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("bad", [[NAN, 0, 0], [0, INF, 0], [INF, NAN, -INF], [-INF, -INF, -INF]])
def test_logits_that_are_not_finite_are_refused(bad, choice):
    for rows in ([bad], [[0, 1, 2], bad]):  # in the other rows too
        with pytest.raises(ValueError, match="logits are not finite: it has diverged; load an ear"):
            sample(torch.tensor(rows, dtype=torch.float32), **choice)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_logit_of_minus_infinity_is_a_token_that_is_never_drawn(choice):
    logits = torch.tensor([[-INF, 1.0, -INF, 0.5], [-INF, -INF, 0.0, -INF]]).repeat(500, 1)
    drawn = sample(logits, generator=seeded(0), **choice).view(500, 2)
    assert set(drawn[:, 0].tolist()) <= {1, 3} and set(drawn[:, 1].tolist()) == {2}


@pytest.mark.parametrize(
    "settings, words",
    [
        (dict(temperature=-0.1), "temperature is -0.1"),
        (dict(temperature=NAN), "temperature is nan"),
        (dict(temperature=INF), "temperature is inf"),
        (dict(temperature="1"), "temperature is '1'"),
        (dict(top_k=0), "top_k is 0"),
        (dict(top_k=2.5), "top_k is 2.5: it must be an int of at least 1"),
        (dict(top_k=True), "top_k is True: it must be an int"),
        (dict(top_p=0.0), "top_p is 0.0"),
        (dict(top_p=1.01), "top_p is 1.01"),
        (dict(top_p="0.9"), "top_p is '0.9'"),
    ],
)
def test_bad_sampling_settings_are_named(settings, words):
    """At the call of generate and of stream, which nobody has asked for a token yet."""
    model, idx = GPT(CONFIG), ids(1, 3)
    for call in (
        lambda: sample(LOGITS, **settings),
        lambda: model.generate(idx, 2, **settings),
        lambda: model.stream(idx, 2, **settings),
    ):
        with pytest.raises(ValueError, match=words):
            call()
