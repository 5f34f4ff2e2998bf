"""Tokenizer, batches, loss, evaluation. Mistakes are numbered as in the course's list of famous ones."""

import math

import pytest
import torch
from torch.nn import functional as F

from mygpt.text import load_text
from mygpt_helpers import (
    GPT,
    BigramLanguageModel,
    CharTokenizer,
    GPTConfig,
    cross_entropy,
    evaluate,
    evaluation_mode,
    get_batch,
    mean_and_error,
    split,
)

SMALL = GPTConfig(vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=12, dropout=0.5)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# ----------------------------------------------------------------------------- tokenizer


def test_tokenizer_loses_nothing():
    text = load_text("tinyshakespeare")
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.vocab_size == 65 and tokenizer.chars == "".join(sorted(set(text)))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(torch.tensor(tokenizer.encode("to be"), dtype=torch.uint8)) == "to be"
    assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda t: t.encode("abé"), ["'é'", "position 2", "3 characters"]),
        (lambda t: t.decode([0, 3]), ["id 3", "0 to 2"]),
        (lambda t: t.decode([-1]), ["id -1", "0 to 2"]),
        (lambda t: CharTokenizer("abca"), ["'a'", "twice"]),
        (lambda t: CharTokenizer(""), ["empty"]),
    ],
)
def test_tokenizer_names_what_is_wrong(call, words):
    with pytest.raises(ValueError) as error:
        call(CharTokenizer("abc"))
    assert all(word in str(error.value) for word in words)


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
    with pytest.raises(ValueError, match="5 tokens are too few: block_size 5 needs at least 6"):
        get_batch(torch.arange(5), 5, 3)


def test_batches_equal_the_plain_loop():
    data = torch.randint(65, (300,), generator=seeded(1), dtype=torch.uint8)
    x, y = get_batch(data, 7, 9, seeded(2))
    assert x.dtype == y.dtype == torch.int64  # what embeddings and losses want, from bytes too
    starts = torch.randint(300 - 7, (9, 1), generator=seeded(2)).flatten()
    for row, start in enumerate(starts.tolist()):
        assert x[row].tolist() == data[start : start + 7].tolist()
        assert y[row].tolist() == data[start + 1 : start + 8].tolist()


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
        return [
            speech.split("\n")[0]
            for speech in part.split("\n\n")
            if speech.split("\n")[0].endswith(":")
        ]

    known, heard = set(speakers(train_text)), speakers(val_text)
    assert sum(name not in known for name in heard) / len(heard) == pytest.approx(0.40, abs=0.01)


# ----------------------------------------------------------------------------- loss


def test_mistake_13_each_row_of_logits_meets_its_own_target():
    logits = torch.randn(3, 5, 7, generator=seeded(0))  # B, T, V all different
    targets = torch.randint(7, (3, 5), generator=seeded(1))
    by_hand = (
        sum(-math.log(logits[b, t].softmax(0)[targets[b, t]]) for b in range(3) for t in range(5))
        / 15
    )
    assert cross_entropy(logits, targets).item() == pytest.approx(by_hand, rel=1e-5)
    wrong = F.cross_entropy(
        logits.transpose(0, 1).flatten(0, 1), targets.flatten()
    )  # runs, and is wrong
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
    model.token_embedding.weight.data = 100.0 * F.one_hot(
        next_of, 5
    )  # i is followed by next_of[i], surely
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
    model, data = (
        BigramLanguageModel(11),
        torch.randint(11, (40_003,), generator=seeded(0), dtype=torch.uint8),
    )
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
        (dict(data=torch.arange(9), reduction="sum"), "'sum'"),
    ],
)
def test_evaluate_names_what_is_wrong(arguments, words):
    with pytest.raises(ValueError, match=words):
        evaluate(GPT(SMALL), **arguments)


def test_mistake_15_the_error_is_that_of_stretches():
    sums = torch.rand(160, generator=seeded(0), dtype=torch.float64) * 32
    counts = torch.full((160,), 32)
    mean, error = mean_and_error(sums, counts, stretch=128)  # four windows a stretch, 40 stretches
    stretches = (sums / 32).view(40, 4).mean(dim=1)
    assert mean == pytest.approx(stretches.mean().item())
    assert error == pytest.approx((stretches.std() / 40**0.5).item())


def test_mistake_15_the_error_holds_where_neighbours_are_alike():
    """Over many made-up texts with slow ups and downs, the true mean lies within 2 errors 95 % of the time."""
    inside = {}
    for stretch in (8, 2048):
        hits = 0
        for seed in range(200):
            levels = torch.randn(60, generator=seeded(seed), dtype=torch.float64).repeat_interleave(
                256
            )
            mean, error = mean_and_error(8 * levels, torch.full((len(levels),), 8), stretch)
            hits += abs(mean) < 2 * error
        inside[stretch] = hits / 200
    assert inside[2048] > 0.9
    assert inside[8] < 0.3  # windows taken as independent: far too sure


def test_mean_and_error_needs_two_stretches():
    with pytest.raises(ValueError, match="100 tokens"):
        mean_and_error(torch.ones(10), torch.full((10,), 10))
