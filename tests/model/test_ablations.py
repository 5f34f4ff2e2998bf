"""The variants of the GPT: what is left out is out, and nothing else is."""

import pytest
import torch

from mygpt import ablations
from mygpt.ablations import STEPS, VARIANTS, WHOLE, load_losses, variant
from mygpt_helpers import GPT, GPTConfig

CONFIG = GPTConfig(vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=16, dropout=0.0)
IDS = torch.arange(16).view(2, 8) % 11


def fresh(name):
    torch.manual_seed(1)
    return variant(name, CONFIG)


def trained(model, steps=3):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(steps):
        loss = model(IDS, IDS.roll(-1, 1))[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_learns_and_stays_causal(name):
    model = trained(fresh(name))
    changed = IDS.clone()
    changed[:, 5:] += 1
    with torch.no_grad():
        model.eval()
        before, after = model(IDS)[0], model(changed % 11)[0]
    assert torch.isfinite(before).all() and torch.equal(before[:, :5], after[:, :5])


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != WHOLE])
def test_a_variant_computes_something_else_than_the_whole(name):
    whole, other = fresh(WHOLE), fresh(name)
    whole.train(), other.train()  # dropout too
    assert not torch.allclose(whole(IDS)[0], other(IDS)[0], atol=1e-4)


@pytest.mark.parametrize(
    "name", ["without GELU", "without LayerNorm", "without residual connections"]
)
def test_what_is_left_starts_from_the_same_numbers(name):
    whole, left = fresh(WHOLE).state_dict(), fresh(name).state_dict()
    assert len(left) >= len(whole) - 10
    assert all(torch.equal(value, whole[key]) for key, value in left.items())


def test_without_attention_no_token_hears_of_another():
    model = fresh("without attention").eval()
    changed = IDS.clone()
    changed[:, 0] += 1
    assert torch.equal(model(IDS)[0][:, 1:], model(changed)[0][:, 1:])


def test_without_positions_a_head_cannot_tell_the_order():
    model = trained(fresh("without positions")).eval()
    assert model.position_embedding.weight.eq(0).all()
    swapped = IDS[:, [1, 0, *range(2, 8)]]
    # one block cannot: the second block of two sees the causal mask's traces
    model.blocks = model.blocks[:1]
    assert torch.allclose(model(IDS)[0][:, 2:], model(swapped)[0][:, 2:], atol=1e-5)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'no head'.*one head"):
        variant("no head", CONFIG)


def test_the_reference_has_three_seeds_of_each_variant():
    for steps, names in STEPS.items():
        losses = load_losses(steps)
        assert tuple(losses) == names
        assert all(len(seeds) >= 3 and 1 < min(seeds) < max(seeds) < 4 for seeds in losses.values())


def test_steps_that_were_not_measured_are_refused():
    with pytest.raises(ValueError, match="601"):
        load_losses(601)


def test_measure_trains_the_variant_that_is_named(monkeypatch):
    seen = {}

    def quick(model, train_data, val_data, config):
        seen.update(model=model, steps=config.steps, seed=config.seed)
        return type("History", (), {"val_loss": [3.0, 2.0]})

    monkeypatch.setattr(ablations, "train", quick)
    assert ablations.measure("one block", seed=2, steps=7) == 2.0
    assert len(seen["model"].blocks) == 1 and seen["steps"] == 7 and seen["seed"] == 2
    assert isinstance(seen["model"], GPT)
