"""The plain training loop and the choice of speed."""
import math

import pytest
import torch

import mygpt_train
from mygpt_helpers import BigramLanguageModel, evaluate, get_batch
from mygpt_train import TrainConfig, notebook_speed, train

DATA = torch.randint(5, (500,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
CONFIG = dict(steps=25, batch_size=3, block_size=4, learning_rate=0.05, eval_interval=10)


def fresh(seed=0):
    torch.manual_seed(seed)
    return BigramLanguageModel(5)


def test_train_is_the_loop_that_notebook_01_writes_out():
    model, reference = fresh(), fresh()
    train(model, DATA, DATA, TrainConfig(**CONFIG))
    optimizer = torch.optim.AdamW(reference.parameters(), lr=0.05, fused=True)
    generator = torch.Generator().manual_seed(1337)
    for _ in range(25):
        loss = reference(*get_batch(DATA, 4, 3, generator))[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(model.token_embedding.weight, reference.token_embedding.weight)


def test_history_holds_what_happened():
    model, seen = fresh(), []
    first = evaluate(model, DATA[:100], 4)
    history = train(model, DATA, DATA[:100], TrainConfig(**CONFIG), on_eval=lambda h: seen.append(list(h.steps)))
    assert history.steps == [0, 10, 20, 25]
    assert seen == [[0], [0, 10], [0, 10, 20], [0, 10, 20, 25]]
    assert history.val_loss[0] == first and history.val_loss[-1] == evaluate(model, DATA[:100], 4)
    assert len(history.train_loss) == 4 and all(map(math.isfinite, history.train_loss))
    assert history.seconds == sorted(history.seconds)


def test_the_mean_training_loss_is_that_of_the_steps_between():
    config = TrainConfig(**CONFIG | {"eval_interval": 2, "steps": 4, "learning_rate": 1e-12})  # hardly moves
    history, model = train(fresh(), DATA, DATA, config), fresh()
    generator = torch.Generator().manual_seed(1337)
    losses = [model(*get_batch(DATA, 4, 3, generator))[1].item() for _ in range(4)]
    first = evaluate(model, DATA[: 3 * 4 + 1], 4)  # before any step: as much text as a batch holds
    assert history.train_loss == pytest.approx([first, sum(losses[:2]) / 2, sum(losses[2:]) / 2], rel=1e-5)


def test_the_seed_decides_the_batches_and_evaluation_does_not():
    def weights(**changes):
        model = fresh()
        train(model, DATA, DATA, TrainConfig(**CONFIG | changes))
        return model.token_embedding.weight

    torch.manual_seed(9)
    assert torch.equal(weights(), weights(eval_interval=3))
    assert not torch.equal(weights(), weights(seed=1))


def test_dropout_is_on_while_training_and_stays_on_after_an_evaluation():
    class Watched(BigramLanguageModel):
        modes = []

        def forward(self, idx, targets=None):
            self.modes.append(self.training)
            return super().forward(idx, targets)

    model = Watched(5).eval()
    train(model, DATA, DATA[:3], TrainConfig(**CONFIG | {"steps": 2, "eval_interval": 1}))
    assert model.modes == [False, False] + [True, False] * 2  # both texts, then a step and an evaluation, twice


def test_the_progress_line_ends_full_with_both_losses(capsys):
    train(fresh(), DATA, DATA, TrainConfig(**CONFIG))
    last = capsys.readouterr().out.strip().split("\r")[-1]
    assert all(word in last for word in ("100%", "25/25", "train", "val", "tokens/s"))


@pytest.mark.parametrize("wrong", [dict(steps=0), dict(batch_size=0), dict(eval_interval=-1), dict(learning_rate=0.0)])
def test_a_bad_setting_is_named(wrong):
    (name, value), = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        TrainConfig(**wrong)


# ----------------------------------------------------------------------------- speed


def test_speed_is_what_the_variable_says(monkeypatch, capsys):
    monkeypatch.setenv("MYGPT_SPEED", "smoke")
    assert notebook_speed(smoke=0.1, laptop=4, gpu=2) == "smoke"
    assert "smoke, about 0.1 min" in capsys.readouterr().out
    monkeypatch.setenv("MYGPT_SPEED", "fast")
    with pytest.raises(ValueError, match="'fast'.*smoke, laptop, gpu"):
        notebook_speed(smoke=0.1, laptop=4, gpu=2)


@pytest.mark.parametrize("major, gigabytes, speed", [(9, 80, "gpu"), (8, 8.5, "gpu"), (8, 6, "laptop"), (7, 16, "laptop")])
def test_speed_without_the_variable_goes_by_the_card(monkeypatch, major, gigabytes, speed):
    card = type("Card", (), {"major": major, "total_memory": gigabytes * 1e9, "name": "a card"})
    monkeypatch.delenv("MYGPT_SPEED", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    assert notebook_speed(smoke=0.1, laptop=4, gpu=2) == speed
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert mygpt_train.default_speed() == "laptop"
