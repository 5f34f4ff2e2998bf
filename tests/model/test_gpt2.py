"""Our GPT beside two independent ones: transformers' GPT-2, and PyTorch's own encoder layer.

Random weights, ten times the initialisation, and no bias left at 0: at the initialisation itself
attention is nearly even and GELU nearly linear, so that a wrong GELU passes (the last test but one
shows it). float32 must agree within 1e-4. float64 must agree within 1e-10, which also catches what
1e-4 lets through, such as another epsilon in LayerNorm.
"""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mygpt_helpers import GPT, GPTConfig

CONFIG = GPTConfig(
    vocab_size=37, block_size=20, n_layer=3, n_head=4, n_embd=48, dropout=0.1, bias=True
)
LENGTHS = (1, 7, 19, CONFIG.block_size)
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-10}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)


def randomise(model, times=10.0, seed=0):
    """Matrices `times` their initialisation; biases and LayerNorms moved by a random amount."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(times)
            else:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def our_gpt(dtype, **settings):
    torch.manual_seed(1)
    return randomise(GPT(CONFIG), **settings).to(dtype)


def ids(T):
    return torch.randint(CONFIG.vocab_size, (5, T), generator=torch.Generator().manual_seed(T))


def gap(a, b):
    return (a - b).abs().max().item()


@pytest.fixture
def forgotten_tanh(monkeypatch):
    """The usual mistake: F.gelu as it comes, in its exact (erf) form."""
    exact = F.gelu
    monkeypatch.setattr(F, "gelu", lambda x, approximate="none": exact(x))


# ----------------------------------------------------------------------------- transformers' GPT-2

NAMES = {
    "token_embedding": "wte",
    "position_embedding": "wpe",
    "blocks": "h",
    "qkv": "c_attn",
    "proj": "c_proj",
    "fc": "c_fc",
}


def as_gpt2(tensors):
    """Our keys and tensors under GPT-2's keys. Its Conv1D keeps a matrix as (in, out)."""
    renamed = {}
    for key, tensor in tensors.items():
        parts = key.split(".")
        is_linear = parts[-2] in ("qkv", "proj", "fc") and tensor.dim() == 2
        name = ".".join(NAMES.get(part, part) for part in parts)
        renamed[name] = tensor.T if is_linear else tensor
    return renamed


def their_gpt2(ours, activation="gelu_new"):
    """transformers' GPT-2 of the same sizes, with the weights and the dtype of `ours`."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=CONFIG.vocab_size,
        n_positions=CONFIG.block_size,
        n_embd=CONFIG.n_embd,
        n_layer=CONFIG.n_layer,
        n_head=CONFIG.n_head,
        activation_function=activation,
        attn_implementation="eager",
        bos_token_id=0,
        eos_token_id=0,
    )
    theirs = transformers.GPT2LMHeadModel(config).to(ours.token_embedding.weight.dtype).eval()
    theirs.transformer.load_state_dict(as_gpt2(ours.state_dict()), strict=True)
    assert theirs.lm_head.weight is theirs.transformer.wte.weight  # tied there too
    return theirs


@DTYPES
@pytest.mark.parametrize("T", LENGTHS)
@torch.no_grad()
def test_logits_equal_gpt2s(T, dtype):
    ours = our_gpt(dtype)
    logits, _ = ours(ids(T))
    assert logits.std() > 1  # a model with opinions, not one whose logits are all near 0
    assert gap(logits, their_gpt2(ours)(ids(T)).logits) < TOLERANCES[dtype]


@DTYPES
@torch.no_grad()
def test_attention_maps_equal_gpt2s(dtype):
    ours = our_gpt(dtype)
    attentions = their_gpt2(ours)(ids(13), output_attentions=True).attentions
    theirs = torch.stack(attentions)  # (n_layer, B, nh, T, T)
    assert gap(ours.attention_maps(ids(13)), theirs) < TOLERANCES[dtype]


@DTYPES
def test_loss_and_every_gradient_equal_gpt2s(dtype):
    ours, x = our_gpt(dtype), ids(14)
    theirs = their_gpt2(ours)
    _, loss = ours(x[:, :-1], x[:, 1:])
    their_logits = theirs(x[:, :-1]).logits.transpose(1, 2)  # (B, V, T)
    their_loss = F.cross_entropy(their_logits, x[:, 1:])  # its own loss is always in float32
    assert gap(loss, their_loss) < TOLERANCES[dtype]
    loss.backward()
    their_loss.backward()
    gradients = as_gpt2({name: parameter.grad for name, parameter in ours.named_parameters()})
    theirs = dict(theirs.transformer.named_parameters())
    assert gradients.keys() == theirs.keys()
    for name, gradient in gradients.items():  # the tied embedding's holds both of its uses
        assert gap(gradient, theirs[name].grad) < TOLERANCES[dtype], name


@torch.no_grad()
def test_the_wrong_gelu_shows_in_gpt2s_logits(forgotten_tanh):
    ours = our_gpt(torch.float32)
    assert gap(ours(ids(20))[0], their_gpt2(ours)(ids(20)).logits) > TOLERANCES[torch.float32]


@torch.no_grad()
def test_the_wrong_gelu_would_pass_at_the_initialisation():
    ours = our_gpt(torch.float32, times=1)
    theirs = their_gpt2(ours, activation="gelu")  # the erf form, on their side this time
    assert gap(ours(ids(20))[0], theirs(ids(20)).logits) < TOLERANCES[torch.float32]


# ----------------------------------------------------------------------------- PyTorch's layer


def our_block(dtype, bias):
    config = GPTConfig(**{**vars(CONFIG), "bias": bias})
    return randomise(GPT(config)).blocks[1].to(dtype)


def as_encoder_layer(block, bias, activation=partial(F.gelu, approximate="tanh"), norm_first=True):
    """PyTorch's layer with the block's weights. It is an encoder's, so each call gives the mask."""
    C, weight = CONFIG.n_embd, block.mlp.fc.weight
    layer = nn.TransformerEncoderLayer(
        C,
        CONFIG.n_head,
        4 * C,
        dropout=0.0,
        activation=activation,
        batch_first=True,
        norm_first=norm_first,
        bias=bias,
        dtype=weight.dtype,
    )
    names = {
        "ln_1": "norm1",
        "ln_2": "norm2",
        "attn.qkv.": "self_attn.in_proj_",
        "attn.proj": "self_attn.out_proj",
        "mlp.fc": "linear1",
        "mlp.proj": "linear2",
    }
    weights = {}
    for key, tensor in block.state_dict().items():
        ours, theirs = next(pair for pair in names.items() if key.startswith(pair[0]))
        weights[theirs + key.removeprefix(ours)] = tensor
    layer.load_state_dict(weights, strict=True)
    return layer.eval()


def block_gap(T, dtype=torch.float32, bias=True, **layer):
    block = our_block(dtype, bias)
    x = torch.randn(5, T, CONFIG.n_embd, generator=torch.Generator().manual_seed(T)).to(dtype)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)  # True hides, in nn.MultiheadAttention
    with torch.no_grad():
        return gap(block(x), as_encoder_layer(block, bias, **layer)(x, src_mask=future))


@DTYPES
@pytest.mark.parametrize("bias", (True, False), ids=("biases", "no biases"))
@pytest.mark.parametrize("T", LENGTHS)
def test_a_block_equals_pytorchs_encoder_layer(T, bias, dtype):
    assert block_gap(T, dtype, bias) < TOLERANCES[dtype]


def test_the_wrong_gelu_shows_in_a_block(forgotten_tanh):
    assert block_gap(7) > TOLERANCES[torch.float32]


def test_post_norm_shows_in_a_block():
    assert block_gap(7, norm_first=False) > TOLERANCES[torch.float32]
