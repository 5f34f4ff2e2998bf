"""Generation: the cache is exact, the window moves by one policy, streaming leaves nothing behind.

The reference is `by_hand`: the policy in plain Python, a fresh forward pass for each token.
"""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mygpt_helpers import GPT, GPTConfig, KVCache, sample

LIMIT = 10  # block_size
SIZES = {  # all sizes different; heads of one entry, one head, odd sizes
    "plain": GPTConfig(13, LIMIT, n_layer=3, n_head=4, n_embd=24, dropout=0.3),
    "biases": GPTConfig(13, LIMIT, n_layer=2, n_head=3, n_embd=21, dropout=0.0, bias=True),
    "one head": GPTConfig(13, LIMIT, n_layer=1, n_head=1, n_embd=7, dropout=0.0),
    "heads of one": GPTConfig(13, LIMIT, n_layer=2, n_head=5, n_embd=5, dropout=0.0),
}
CHOICES = {
    "greedy": dict(temperature=0),
    "sampled": dict(),
    "warm": dict(temperature=1.7),
    "top-k": dict(top_k=4),
    "top-p": dict(top_p=0.8),
    "all three": dict(temperature=0.8, top_k=5, top_p=0.9),
}
STRIDES = (1, LIMIT // 2, LIMIT)
LENGTHS = (1, LIMIT - 1, LIMIT, LIMIT + 1, 17)  # of the prompt: up to the window and longer


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def ids(B, T, seed=0):
    return torch.randint(13, (B, T), generator=seeded(seed))


def model_of(name="plain"):
    """A model with opinions: weights ten times the initialisation. In training mode."""
    torch.manual_seed(1)
    model = GPT(SIZES[name])
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(10 * p if p.dim() == 2 else p + 0.2 * torch.randn_like(p))
    return model.train()


@torch.no_grad()
def by_hand(model, prompt, n, stride, generator=None, **choice):
    """The ids and, for each new one, the logits (B, V) it was chosen by."""
    model.eval()
    window, limit = prompt[:, -model.config.block_size :], model.config.block_size
    text, seen = prompt, []
    for _ in range(n):
        seen.append(model(window)[0][:, -1])
        text = torch.cat([text, sample(seen[-1], generator=generator, **choice)], dim=1)
        window = torch.cat([window, text[:, -1:]], dim=1)
        if window.size(1) == limit + 1:
            window = window[:, stride:]
    model.train()
    return text, torch.stack(seen)


@pytest.fixture
def logits_seen(monkeypatch):
    """The logits that every choice was made by, in order."""
    seen = []

    def watch(logits, *arguments):
        seen.append(logits.clone())
        return sample(logits, *arguments)

    monkeypatch.setattr("mygpt_helpers.sample", watch)
    return seen


# ----------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("use_cache", (True, False), ids=("cached", "uncached"))
def test_tokens_and_logits_are_those_of_a_fresh_forward(use_cache, length, stride, logits_seen):
    model, prompt = model_of(), ids(3, length)
    text, logits = by_hand(model, prompt, 35, stride, temperature=0)
    out = model.generate(prompt, 35, temperature=0, use_cache=use_cache, stride=stride)
    assert torch.equal(out, text) and torch.equal(out[:, :length], prompt)
    gaps = (torch.stack(logits_seen) - logits).abs().amax(dim=(1, 2))
    assert gaps.max() < 1e-4, f"first wrong at token {(gaps > 1e-4).nonzero()[0].item()}"
    assert logits.std() > 0.5  # the gap is small beside what the model says


@pytest.mark.parametrize("use_cache", (True, False), ids=("cached", "uncached"))
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", SIZES)
def test_every_size_and_every_choice(name, choice, use_cache):
    model, prompt, choice = model_of(name), ids(4, 6), CHOICES[choice]
    for stride in STRIDES:
        text, _ = by_hand(model, prompt, 30, stride, seeded(5), **choice)
        settings = dict(**choice, generator=seeded(5), use_cache=use_cache, stride=stride)
        assert torch.equal(model.generate(prompt, 30, **settings), text)


def test_the_window_moves_by_half_of_block_size_unless_told():
    model = model_of()
    text, _ = by_hand(model, ids(2, 3), 40, LIMIT // 2, temperature=0)
    assert torch.equal(model.generate(ids(2, 3), 40, temperature=0), text)
    another = model.generate(ids(2, 3), 40, temperature=0, stride=1)
    assert not torch.equal(another, text)  # it matters


def test_a_window_of_one_token():
    torch.manual_seed(0)
    model = GPT(GPTConfig(13, 1, 2, 2, 8, 0.0))
    text, _ = by_hand(model, ids(2, 3), 12, 1, temperature=0)
    assert torch.equal(model.generate(ids(2, 3), 12, temperature=0), text)


def test_in_float64_the_cache_is_exact_to_ten_digits(logits_seen):
    model, prompt = model_of("biases").double(), ids(2, 4)
    _, logits = by_hand(model, prompt, 25, 5, temperature=0)
    model.generate(prompt, 25, temperature=0)
    assert (torch.stack(logits_seen) - logits).abs().max() < 1e-10


def test_no_new_tokens():
    assert torch.equal(model_of().generate(ids(2, 3), 0), ids(2, 3))
    assert list(model_of().stream(ids(2, 3), 0)) == []


@torch.no_grad()
@pytest.mark.parametrize("parts", [(10,), (1,) * 10, (4, 6), (3, 1, 5, 1), (1, 9), (2, 2, 2)])
@pytest.mark.parametrize("name", SIZES)
def test_a_text_read_in_parts_gives_the_logits_of_the_whole(name, parts):
    """Many tokens onto a past: the mask must line up the last query with the last key."""
    model, text = model_of(name).eval(), ids(2, sum(parts))
    cache, got = model.new_cache(2), []
    for part in text.split(parts, dim=1):
        got.append(model(part, cache=cache)[0])
    assert torch.allclose(torch.cat(got, dim=1), model(text)[0], atol=1e-4)
    assert {layer.length for layer in cache} == {text.size(1)}


def test_a_full_cache_refuses_the_next_token():
    model, cache = model_of(), model_of().new_cache(1)
    model(ids(1, LIMIT), cache=cache)
    with pytest.raises(ValueError, match="11 tokens exceed block_size 10"):
        model(ids(1, 1), cache=cache)


@torch.no_grad()
@pytest.mark.parametrize("rows, others", [(1, 3), (3, 1), (2, 3)])
def test_a_cache_for_another_batch_size_is_refused(rows, others):
    """A single row would otherwise be copied into all rows of the cache, without a word."""
    model = model_of()
    cache = model.new_cache(rows)
    model(ids(rows, 2), cache=cache)
    words = f"the cache has {rows} rows, not {others}: use new_cache\\({others}\\)"
    with pytest.raises(ValueError, match=words):
        model(ids(others, 2), cache=cache)
    assert {layer.length for layer in cache} == {2}  # nothing was added


# ----------------------------------------------------------------------------- mistake 20


@torch.no_grad()
def sliding(model, prompt, n):
    """The mistake: past block_size drop the oldest column of keys and values, and go on."""
    cache, text = model.new_cache(len(prompt)), prompt
    logits = model(prompt, cache=cache)[0]
    for _ in range(n):
        yield logits[:, -1]
        text = torch.cat([text, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
        for layer in cache:
            if layer.length == LIMIT:
                layer.k, layer.v = layer.k.roll(-1, dims=2), layer.v.roll(-1, dims=2)
                layer.length -= 1
        logits = model(text[:, -1:], cache=cache)[0]


def test_mistake_20_past_block_size_the_cache_is_filled_again(logits_seen):
    """Keys and values hold the position their token had. Once the window moves, all are wrong."""
    model, prompt, n = model_of().eval(), ids(2, 4), 20
    text, right = by_hand(model, prompt, n, stride=1, temperature=0)
    model.eval()
    wrong = torch.stack(list(sliding(model, prompt, n)))
    room = LIMIT - 4 + 1  # tokens chosen before the window is too long
    assert torch.allclose(wrong[:room], right[:room], atol=1e-4)  # it does not show yet
    assert (wrong[room] - right[room]).abs().max() > 0.1
    out = model.generate(prompt, n, temperature=0, stride=1)
    assert torch.equal(out, text) and torch.allclose(torch.stack(logits_seen), right, atol=1e-4)


# ----------------------------------------------------------------------------- what it costs


@pytest.fixture
def positions_read(monkeypatch):
    """How many positions each forward computed, in order."""
    read, embed = [], GPT.embed

    def watch(self, idx, start=0):
        read.append(idx.size(1))
        return embed(self, idx, start)

    monkeypatch.setattr(GPT, "embed", watch)
    return read


def test_a_cached_token_costs_one_position(positions_read):
    model_of().generate(ids(3, 4), 7)
    assert positions_read == [4, 1, 1, 1, 1, 1, 1]


def test_past_block_size_a_token_costs_about_two_positions(positions_read):
    model = GPT(GPTConfig(13, 64, 1, 2, 8, 0.0))
    model.generate(ids(1, 64), 641)
    refills = [n for n in positions_read[1:] if n > 1]
    assert refills == [33] * 20  # one for every 32 tokens: the 32 that are kept and the new one
    assert sum(positions_read[1:]) / 640 < 2.1
    positions_read.clear()
    model.generate(ids(1, 64), 640, use_cache=False)
    assert sum(positions_read) / 640 > 48  # the same windows without a cache


def test_the_cache_takes_its_memory_once(monkeypatch):
    places, append = [], KVCache.append

    def watch(self, k, v):
        places.append((self.k.data_ptr(), self.v.data_ptr()))
        k, v = append(self, k, v)
        assert (k.data_ptr(), v.data_ptr()) == places[-1]  # views, nothing copied
        return k, v

    monkeypatch.setattr(KVCache, "append", watch)
    model_of().generate(ids(2, 3), 60)
    assert len(places) == 60 * 3 and len(set(places)) == 3  # one place for each layer
    cache = model_of().new_cache(5)
    assert [layer.k.shape for layer in cache] == [(5, 4, LIMIT, 6)] * 3
    assert [layer.v.shape for layer in cache] == [(5, 4, LIMIT, 6)] * 3


def test_training_knows_no_cache(monkeypatch):
    monkeypatch.setattr(KVCache, "append", None)
    model = model_of()
    for T in (1, LIMIT):
        model(ids(1, T), ids(1, T, 1))[1].backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


# ----------------------------------------------------------------------------- streaming


@pytest.mark.parametrize("use_cache", (True, False), ids=("cached", "uncached"))
@pytest.mark.parametrize("choice", CHOICES)
def test_stream_yields_what_generate_returns(choice, use_cache):
    model, settings = model_of(), dict(**CHOICES[choice], use_cache=use_cache, stride=3)
    out = model.generate(ids(3, 4), 27, generator=seeded(2), **settings)
    parts = list(model.stream(ids(3, 4), 27, generator=seeded(2), **settings))
    assert [part.shape for part in parts] == [(3, 1)] * 27
    assert torch.equal(torch.cat([ids(3, 4), *parts], dim=1), out)


def test_stream_works_step_by_step(positions_read):
    stream = model_of().stream(ids(1, 3), 1_000_000)
    assert positions_read == []  # nothing is computed before the first token is asked for
    next(stream)
    assert positions_read == [3]
    next(stream)
    assert positions_read == [3, 1]


def modes(model):
    return [module.training for module in model.modules()]


def test_between_two_tokens_mode_and_gradients_are_the_callers():
    model = model_of()
    model.blocks[1].eval()  # somebody has frozen a part
    before = modes(model)
    for _ in model.stream(ids(1, 3), 4):
        assert modes(model) == before and torch.is_grad_enabled()
        assert model(ids(1, 4))[0].requires_grad
    with torch.no_grad():
        for _ in model.stream(ids(1, 3), 4):
            assert not torch.is_grad_enabled()
    assert modes(model) == before and torch.is_grad_enabled()


def test_a_stream_left_early_leaves_nothing_behind():
    model = model_of()
    for _ in model.stream(ids(1, 3), 10):
        break
    assert all(modes(model)) and torch.is_grad_enabled()
    with pytest.raises(KeyError):
        for _ in model.stream(ids(1, 3), 10):
            raise KeyError
    assert all(modes(model)) and torch.is_grad_enabled()
    waiting = model.stream(ids(1, 3), 10)
    next(waiting)
    waiting.close()
    assert all(modes(model)) and torch.is_grad_enabled()


def test_an_error_inside_gives_the_mode_back(monkeypatch):
    def fail(*_):
        raise RuntimeError("no choice")

    monkeypatch.setattr("mygpt_helpers.sample", fail)
    model = model_of()
    for call in (lambda: model.generate(ids(1, 3), 2), lambda: next(model.stream(ids(1, 3), 2))):
        with pytest.raises(RuntimeError, match="no choice"):
            call()
        assert all(modes(model)) and torch.is_grad_enabled()


def test_two_streams_of_one_model_do_not_mix():
    model, prompts = model_of(), (ids(1, 3, 1), ids(2, 5, 2))
    alone = [model.generate(prompt, 25, temperature=0) for prompt in prompts]
    pairs = list(zip(*(model.stream(prompt, 25, temperature=0) for prompt in prompts)))
    for prompt, parts, out in zip(prompts, zip(*pairs), alone):
        assert torch.equal(torch.cat([prompt, *parts], dim=1), out)


def test_the_ids_can_be_trained_on():
    """Tensors of inference_mode could not: backward refuses them."""
    model = model_of()
    out = model.generate(ids(2, 3), 5)
    loss = F.cross_entropy(model(out[:, :-1])[0].transpose(1, 2), out[:, 1:])
    loss.backward()
    token = next(model.stream(ids(2, 3), 5))
    model(token, token)[1].backward()


def test_the_generator_alone_decides():
    model = model_of()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    runs = [list(model.stream(ids(2, 3), 25, generator=seeded(n))) for n in (1, 1, 2)]
    texts = [torch.cat(run, dim=1) for run in runs]
    assert torch.equal(texts[0], texts[1]) and not torch.equal(texts[0], texts[2])
    assert torch.equal(state, torch.get_rng_state())  # neither drawn from nor set
    used = seeded(1)
    model.generate(ids(2, 3), 25, temperature=0, generator=used)
    assert torch.equal(used.get_state(), seeded(1).get_state())  # greedy draws nothing


# ----------------------------------------------------------------------------- errors

DIVERGED = "has diverged; load an earlier checkpoint, or train again with a lower learning rate"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["token_embedding", "blocks.1.attn.qkv", "position_embedding"])
@pytest.mark.parametrize("choice", CHOICES)
def test_weights_that_are_not_finite_are_refused_at_the_call(choice, where, bad):
    """One wrong number is enough, even at a position that this text never reaches."""
    model = model_of()
    model.get_submodule(where).weight.data[-1, 0] = bad
    for way in (model.generate, model.stream):
        with pytest.raises(ValueError, match=f"the model's weights are not finite: it {DIVERGED}"):
            way(ids(2, 3), 4, **CHOICES[choice])
    assert all(modes(model)) and torch.is_grad_enabled()


@pytest.mark.parametrize("choice", CHOICES)
def test_finite_weights_whose_logits_overflow_are_refused(choice):
    model = model_of()
    model.blocks[0].mlp.proj.weight.data.fill_(1e38)
    model.blocks[0].mlp.fc.weight.data.fill_(1e38)
    with pytest.raises(ValueError, match=f"the model's logits are not finite: it {DIVERGED}"):
        model.generate(ids(2, 3), 4, **CHOICES[choice])
    assert all(modes(model)) and torch.is_grad_enabled()


def test_a_model_may_mask_tokens_of_its_own():
    class Quiet(GPT):
        def forward(self, *given, **named):
            logits, loss = super().forward(*given, **named)
            return logits.index_fill(-1, torch.arange(0, 13, 2), -math.inf), loss

    torch.manual_seed(0)
    out = Quiet(SIZES["plain"]).generate(ids(2, 3), 30, generator=seeded())
    assert (out[:, 3:] % 2 == 1).all()


@pytest.mark.parametrize(
    "settings, words",
    [
        (dict(stride=0), "stride is 0: it must be an int from 1 to 10"),
        (dict(stride=LIMIT + 1), "stride is 11"),
        (dict(stride=1.5), "stride is 1.5"),
        (dict(stride=True), "stride is True"),
        (dict(max_new_tokens=-1), "max_new_tokens is -1: it must be an int of at least 0"),
        (dict(max_new_tokens=3.0), "max_new_tokens is 3.0"),
        (dict(max_new_tokens=True), "max_new_tokens is True"),
        (dict(max_new_tokens="9"), "max_new_tokens is '9'"),
        (dict(idx=torch.zeros(1, 0, dtype=torch.long)), "the prompt is empty"),
        (dict(idx=torch.zeros(0, 3, dtype=torch.long)), "the prompt is empty"),
        (dict(idx=torch.tensor([1, 2])), r"prompt is torch.int64 of shape \(2,\): .*\(B, T\)"),
        (dict(idx=torch.zeros(1, 3)), "the prompt is torch.float32"),
        (dict(idx=[[1, 2]]), "the prompt is of type list: .*encode_text"),
        (dict(idx=np.array([[1, 2]])), "the prompt is of type ndarray"),
        (dict(idx="ROMEO:"), "the prompt is of type str"),
        (dict(idx=torch.tensor([[1, 13]])), "ids run from 1 to 13, but this model knows only 0 to"),
        (dict(idx=torch.tensor([[-1, 3]])), "ids run from -1 to 3"),
    ],
)
@pytest.mark.parametrize("way", ("generate", "stream"))
def test_bad_settings_are_named_at_the_call(way, settings, words):
    """`stream` too, which nobody has asked for a token yet."""
    with pytest.raises(ValueError, match=words):
        getattr(model_of(), way)(**{"idx": ids(1, 3), "max_new_tokens": 2, **settings})


def test_settings_may_be_numpys():
    model, two = model_of(), np.int64(2)
    out = model.generate(ids(2, 3), np.int32(20), np.float64(0.8), top_k=two, stride=two)
    assert out.shape == (2, 23)
