"""Tokenizer, batches, loss, evaluation. Mistakes have their numbers in the course's list."""

import inspect
import math
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mygpt_helpers
from mygpt.judge import mean_and_error
from mygpt.text import load_text
from mygpt_helpers import (
    GPT,
    BigramLanguageModel,
    CharTokenizer,
    GPTConfig,
    cross_entropy,
    encode_text,
    evaluate,
    evaluation_mode,
    get_batch,
    split,
)

ROOT = Path(mygpt_helpers.__file__).parent
SMALL = GPTConfig(vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=12, dropout=0.5)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def examples():
    """(call, value) of each `Example: call -> value` in the docstrings of the module."""
    for thing in vars(mygpt_helpers).values():
        for found in re.findall(r"Example: (.+) -> (.+)", inspect.getdoc(thing) or ""):
            yield found


@pytest.mark.parametrize("call, value", list(examples()))
def test_the_examples_in_the_docstrings_are_true(call, value):
    names = {**vars(mygpt_helpers), "tensor": torch.tensor}
    assert repr(eval(call, names)) == repr(eval(value, names))


# ----------------------------------------------------------------------------- tokenizer


def test_tokenizer_loses_nothing():
    text = load_text("tinyshakespeare")
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.vocab_size == 65 and tokenizer.chars == "".join(sorted(set(text)))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(torch.tensor(tokenizer.encode("to be"), dtype=torch.uint8)) == "to be"
    assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""
    assert CharTokenizer.from_dict(tokenizer.to_dict()).chars == tokenizer.chars


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda t: t.encode("abé"), r"'é' \(position 2\) is not among the 3 characters"),
        (lambda t: t.decode([0, 3]), "id 3 is outside the vocabulary, 0 to 2"),
        (lambda t: t.decode(torch.tensor([-1])), "id -1 is outside the vocabulary, 0 to 2"),
        (lambda t: t.decode(torch.tensor([[0, 1]])), r"decode\(ids\[0\]\)"),
        (lambda t: CharTokenizer("abca"), "repeats a character"),
        (lambda t: CharTokenizer.from_text(""), "the vocabulary is empty"),
    ],
)
def test_tokenizer_names_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call(CharTokenizer("abc"))


@pytest.mark.parametrize(
    "V, dtype",
    [
        (2, torch.uint8),
        (256, torch.uint8),
        (257, torch.int16),
        (2**15, torch.int16),
        (2**15 + 1, torch.int32),
    ],
)
def test_any_number_of_characters_has_a_type_that_fits(V, dtype):
    text = "".join(chr(0x4E00 + i) for i in range(V))
    tokenizer = CharTokenizer.from_text(text)
    ids = encode_text(tokenizer, text)
    assert ids.dtype == dtype and ids.tolist() == list(range(V))
    assert tokenizer.decode(ids) == text
    x, y = get_batch(ids, V - 1, 1)
    assert torch.equal(x[0], torch.arange(V - 1)) and y[0, -1] == V - 1


# ----------------------------------------------------------------------------- batches


def test_mistake_11_batches_are_shifted_by_exactly_one_and_reach_both_ends():
    data = torch.arange(20)
    x, y = get_batch(data, 5, 2000, seeded(0))
    assert x.shape == y.shape == (2000, 5) and x.dtype == y.dtype == torch.int64
    assert (y == x + 1).all()
    assert x[:, 0].unique().tolist() == list(range(15))  # every start, the last is 20 - 5 - 1
    assert x.min() == 0 and y.max() == 19
    assert (x.diff(dim=1) == 1).all()


def test_mistake_11_too_short_data_is_refused():
    x, y = get_batch(torch.arange(6), 5, 3)
    assert x[0].tolist() == [0, 1, 2, 3, 4] and y[0, -1] == 5  # one window fits, and is found
    with pytest.raises(ValueError, match="5 tokens are too few: block_size 5 needs 6"):
        get_batch(torch.arange(5), 5, 3)


def test_batches_equal_the_plain_loop():
    data = torch.randint(65, (300,), generator=seeded(1), dtype=torch.uint8)
    x, y = get_batch(data, 7, 9, seeded(2))
    assert x.dtype == y.dtype == torch.int64  # what embeddings and losses want, from bytes too
    starts = torch.randint(300 - 7, (9, 1), generator=seeded(2)).flatten()
    for row, start in enumerate(starts.tolist()):
        assert x[row].tolist() == data[start : start + 7].tolist()
        assert y[row].tolist() == data[start + 1 : start + 8].tolist()


def test_batches_stay_where_the_data_is_unless_told():
    """ "meta" stands for a GPU: a device on which no number is ever computed."""
    here, there = torch.arange(20), torch.arange(20, device="meta")
    for generator in (None, seeded(0)):
        untold = get_batch(there, 5, 2, generator)
        told = get_batch(here, 5, 2, generator, device="meta")
        assert {(part.device.type, part.shape) for part in untold + told} == {("meta", (2, 5))}


WRONG_DATA = [
    ([1, 2, 3], "data is of type list: .*encode_text"),
    ("to be or not", "data is of type str: .*encode_text"),
    (np.arange(20), "data is of type ndarray"),
    (torch.zeros(4, 5).long(), r"data is torch.int64 of shape \(4, 5\): .*\(N,\)"),
    (torch.zeros(20), "data is torch.float32"),
]
WRONG_SIZES = [0, -3, 2.5, 4.0, "4", True]


@pytest.mark.parametrize("data, words", WRONG_DATA)
def test_what_is_no_tensor_of_ids_gets_a_sentence(data, words):
    with pytest.raises(ValueError, match=words):
        get_batch(data, 2, 2)
    with pytest.raises(ValueError, match=words):
        evaluate(GPT(SMALL), data)


@pytest.mark.parametrize("size", WRONG_SIZES)
def test_sizes_are_whole_numbers(size):
    data = torch.arange(11)
    for call, name in [
        (lambda: get_batch(data, size, 2), "block_size"),
        (lambda: get_batch(data, 2, size), "batch_size"),
        (lambda: evaluate(GPT(SMALL), data, size), "block_size"),
        (lambda: GPTConfig(n_layer=size), "n_layer"),
    ]:
        with pytest.raises(ValueError, match=f"^{name} is {size!r}: it must be an int of at least"):
            call()


def test_sizes_may_be_numpys():
    two = np.int64(2)
    assert get_batch(torch.arange(9), two, np.int32(3))[0].shape == (3, 2)
    assert evaluate(GPT(SMALL), torch.arange(9), two) > 0
    config = GPTConfig(11, np.int64(8), two, np.uint8(2), 12, np.float64(0.5), np.bool_(True))
    plain = GPTConfig(11, 8, 2, 2, 12, 0.5, True)
    assert config == plain
    assert {type(value) for value in vars(config).values()} == {int, float, bool}
    assert [type(value) for value in vars(config).values()] == [
        type(value) for value in vars(plain).values()
    ]


def test_batches_come_from_their_generator_alone():
    data = torch.arange(1000)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = (get_batch(data, 8, 4, seeded(3))[0] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, get_batch(data, 8, 4, seeded(4))[0])


def test_mistake_12_the_split_is_one_cut_and_the_validation_text_is_shifted():
    text = load_text("tinyshakespeare")
    train_text, val_text = split(text)
    assert train_text + val_text == text  # contiguous, nothing twice, nothing lost
    assert (len(train_text), len(val_text)) == (1_003_854, 111_540)

    def speakers(part):
        first_lines = [speech.split("\n")[0] for speech in part.split("\n\n")]
        return [line for line in first_lines if line.endswith(":")]

    known, heard = set(speakers(train_text)), speakers(val_text)
    assert sum(name not in known for name in heard) / len(heard) == pytest.approx(0.40, abs=0.01)


def test_the_split_is_exact_for_any_share():
    """The validation part is the share, rounded up: computed here with whole numbers only."""
    for n in [0, 1, 2, 3, 7, 10, 30, 49, 99, 100, 101, 1000, 12_345, 1_115_394]:
        for whole in [1, 2, 3, 6, 7, 9, 10, 64, 100, 1000]:
            for part in range(min(whole, 100) + 1):
                cut = n - -(-n * part // whole)
                assert split(range(n), part / whole) == (range(cut), range(cut, n)), (part, whole)
    assert len(split(range(10**9), 1e-8)[1]) == 10


def test_the_split_takes_what_has_an_order():
    array, text, words = np.arange(30), "abcdefghij", list("abc")
    assert [part.tolist() for part in split(array, 0.07)] == [[*range(27)], [27, 28, 29]]
    assert split(text, 0.9) == ("a", "bcdefghij")
    assert split(words, Fraction(1, 3)) == (["a", "b"], ["c"])
    assert split(words, 0) == (words, []) and split(words, 1) == ([], words)
    assert [len(part) for part in split(torch.zeros(10, 8))] == [9, 1]  # rows of windows


@pytest.mark.parametrize("share", [-0.5, 1.5, 90, float("nan"), "0.1", None, 1.0001])
def test_the_split_refuses_what_is_no_share(share):
    with pytest.raises(ValueError, match=f"validation is {share!r}: it must be a share, from 0"):
        split(range(10), share)


# ----------------------------------------------------------------------------- loss


def test_mistake_13_each_row_of_logits_meets_its_own_target():
    logits = torch.randn(3, 5, 7, generator=seeded(0))  # B, T, V all different
    targets = torch.randint(7, (3, 5), generator=seeded(1))
    probs = logits.softmax(-1)
    nats = [-math.log(probs[b, t, targets[b, t]]) for b in range(3) for t in range(5)]
    by_hand = sum(nats) / 15
    assert cross_entropy(logits, targets).item() == pytest.approx(by_hand, rel=1e-5)
    wrong = F.cross_entropy(logits.transpose(0, 1).flatten(0, 1), targets.flatten())  # it runs
    assert abs(wrong.item() - by_hand) > 0.01
    for model in (BigramLanguageModel(7), GPT(GPTConfig(7, 5, 1, 1, 4, 0.0))):
        idx = torch.randint(7, (3, 5), generator=seeded(2))
        logits, loss = model(idx, targets)
        by_hand = -logits.log_softmax(-1).gather(-1, targets[..., None]).mean()
        assert torch.isclose(loss, by_hand) and logits.shape == (3, 5, 7)
        assert model(idx)[1] is None


def test_bigram_trained_on_pairs_is_the_table_of_counts():
    ids = torch.randint(4, (4000,), generator=seeded(0))
    pairs = torch.zeros(4, 4)
    for a, b in zip(ids[:-1].tolist(), ids[1:].tolist()):
        pairs[a, b] += 1
    model = BigramLanguageModel(4)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = model(ids[None, :-1], ids[None, 1:])[1]
        loss.backward()
        return loss

    optimizer.step(closure)
    learned = model.token_embedding.weight.softmax(-1)
    assert torch.allclose(learned, pairs / pairs.sum(1, keepdim=True), atol=1e-3)


def test_bigram_generates_by_its_table():
    model = BigramLanguageModel(5)
    next_of = torch.tensor([2, 0, 4, 1, 3])
    model.token_embedding.weight.data = 100.0 * F.one_hot(next_of, 5)  # next_of[i] follows i
    out = model.generate(torch.tensor([[0], [1]]), 4, seeded(0))
    assert out.tolist() == [[0, 2, 4, 3, 1], [1, 0, 2, 4, 3]]
    soft = BigramLanguageModel(5)
    assert torch.equal(soft.generate(out, 20, seeded(1)), soft.generate(out, 20, seeded(1)))


# ----------------------------------------------------------------------------- evaluation


def nats_by_loop(model, data, T):
    """Every target once, each window of T from a fresh context: the definition, slowly."""
    losses = []
    for start in range(0, len(data) - 1, T):
        end = min(start + T, len(data) - 1)
        logits = model(data[None, start:end])[0][0]
        losses += [
            -logits[i].log_softmax(0)[data[start + i + 1]].item() for i in range(end - start)
        ]
    return losses


@pytest.mark.parametrize("length", [2, 8, 9, 10, 40, 41, 2500])
def test_mistake_15_evaluate_weights_by_tokens_over_all_of_the_data(length):
    torch.manual_seed(0)
    model, data = GPT(SMALL), torch.randint(11, (length,), generator=seeded(length))
    for parameter in model.parameters():
        parameter.data *= 10  # losses far apart, so that weighting by windows would show
    model.eval()
    losses = nats_by_loop(model, data, 8)
    assert len(losses) == length - 1
    assert evaluate(model, data) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    sums, counts = evaluate(model, data, reduction="none")
    assert counts.sum() == length - 1 and (counts[:-1] == 8).all()
    assert sums[-1].item() == pytest.approx(sum(losses[-int(counts[-1]) :]), rel=1e-5)


def test_mistake_15_evaluate_in_many_batches_and_bytes():
    torch.manual_seed(0)
    model = BigramLanguageModel(11)
    data = torch.randint(11, (40_003,), generator=seeded(0), dtype=torch.uint8)
    ids = data.long()
    by_table = -model.token_embedding.weight.log_softmax(-1)[ids[:-1], ids[1:]].mean().item()
    for block_size in (1, 3, 64, 40_002, 50_000):
        assert evaluate(model, data, block_size) == pytest.approx(by_table, rel=1e-5)


def test_mistake_14_evaluation_is_without_dropout_and_gives_the_mode_back():
    torch.manual_seed(0)
    model, data = GPT(SMALL), torch.randint(11, (50,), generator=seeded(0))
    model.train()
    model.blocks[0].eval()  # somebody has frozen a part
    state = torch.get_rng_state()
    first = evaluate(model, data)
    assert first == evaluate(model, data)  # the same twice: nothing is dropped
    assert torch.equal(state, torch.get_rng_state())
    assert model.training and model.blocks[1].training and not model.blocks[0].training
    model.eval()
    assert first == evaluate(model, data) and not model.training
    with pytest.raises(RuntimeError), evaluation_mode(model.train()):
        assert not torch.is_grad_enabled()
        raise RuntimeError("the mode comes back after an error too")
    assert model.training and torch.is_grad_enabled()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(data=torch.tensor([1])), "1 tokens are too few"),
        (dict(data=torch.tensor([], dtype=torch.long)), "0 tokens are too few"),
        (dict(data=torch.arange(9), reduction="sum"), "'sum'"),
        (dict(data=torch.arange(11), block_size=9), "9 tokens exceed block_size 8"),
    ],
)
def test_evaluate_names_what_is_wrong(arguments, words):
    with pytest.raises(ValueError, match=words):
        evaluate(GPT(SMALL), **arguments)


class Watched(nn.Module):
    """The same logits after every token. It remembers their shapes, and takes little memory."""

    def __init__(self, V):
        super().__init__()
        self.row, self.seen = nn.Parameter(torch.randn(V, generator=seeded(0))), []

    def forward(self, idx):
        logits = self.row.expand(*idx.shape, -1)
        self.seen.append(tuple(logits.shape))
        return logits, None


@pytest.mark.parametrize("T", [1, 7, 128])
@pytest.mark.parametrize("V", [2, 65, 1248, 50_257])
def test_evaluate_stays_within_a_budget_of_logits(V, T):
    most = min(2**14, 2**23 // V)  # tokens at once: the layers need memory too
    model, data = Watched(V), torch.randint(V, (3 * most,), generator=seeded(1))
    loss = evaluate(model, data, T)
    assert loss == pytest.approx(-model.row.log_softmax(-1)[data[1:]].mean().item(), rel=1e-4)
    assert max(B * length for B, length, _ in model.seen) <= most
    assert max(math.prod(shape) for shape in model.seen) <= 2**23  # 33 MB
    assert len(model.seen) <= 8  # and it does not creep through the text


PEAK = """
import resource, sys, torch
from mygpt_helpers import GPT, GPTConfig, evaluate
model = GPT(GPTConfig(50_257, block_size=128, n_layer=1, n_head=2, n_embd=32))
data = torch.randint(50_257, (8_000,))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
evaluate(model, data)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how peak memory is counted differs")
def test_the_memory_of_an_evaluation_is_bounded():
    """All its logits together would take 1,600 MB."""
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, cwd=ROOT)
    assert int(done.stdout) < 250, done.stderr  # MB


def test_a_model_is_measured_in_its_own_precision_and_in_float32_at_least():
    torch.manual_seed(0)
    model, data = GPT(SMALL).eval(), torch.randint(11, (30,), generator=seeded(0))
    for parameter in model.parameters():
        parameter.data *= 10
    exact = model.double()
    by_hand = nats_by_loop(exact, data, 8)
    loss = evaluate(exact, data)
    assert loss == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-13, abs=0)
    half = exact.bfloat16()
    logits = torch.cat([half(data[None, i : i + 8])[0][0] for i in range(0, 24, 8)])
    sums, _ = evaluate(half, data[:25], reduction="none")
    expected = F.cross_entropy(logits.float(), data[1:25], reduction="none").view(3, 8).sum(1)
    assert torch.allclose(sums, expected.double(), rtol=1e-6)


def test_mistake_15_the_error_is_that_of_stretches():
    sums = torch.rand(160, generator=seeded(0), dtype=torch.float64) * 32
    counts = torch.full((160,), 32)
    mean, error = mean_and_error(sums, counts, stretch=128)  # four windows a stretch, 40 stretches
    stretches = (sums / 32).view(40, 4).mean(dim=1)
    assert mean == pytest.approx(stretches.mean().item())
    assert error == pytest.approx((stretches.std() / 40**0.5).item())


def test_mistake_15_the_error_holds_where_neighbours_are_alike():
    """In made-up texts with slow ups and downs, 2 errors hold the true mean 95 % of the time."""
    inside = {}
    for stretch in (8, 2048):
        hits = 0
        for seed in range(200):
            levels = torch.randn(60, generator=seeded(seed), dtype=torch.float64)
            levels = levels.repeat_interleave(256)
            mean, error = mean_and_error(8 * levels, torch.full((len(levels),), 8), stretch)
            hits += abs(mean) < 2 * error
        inside[stretch] = hits / 200
    assert inside[2048] > 0.9
    assert inside[8] < 0.3  # windows taken as independent: far too sure


def test_mean_and_error_needs_two_stretches():
    with pytest.raises(ValueError, match="100 tokens"):
        mean_and_error(torch.ones(10), torch.full((10,), 10))
