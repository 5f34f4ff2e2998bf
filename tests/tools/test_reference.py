"""The tool that makes the reference curves and the models that ship, on a preset so small that it takes seconds."""

import functools
import json

import pytest

import make_reference
from mygpt import ablations
from mygpt.checkpoints import load_pretrained
from mygpt.files import DATA
from mygpt.judge import load_reference
from mygpt.text import load_text
from mygpt.train import PRESETS, History, TrainConfig, train
from mygpt_helpers import GPTConfig, encode_text, evaluate, split

TINY = (
    GPTConfig(block_size=32, n_layer=1, n_head=1, n_embd=8, dropout=0.0),
    TrainConfig(steps=6, batch_size=4, learning_rate=1e-2, eval_interval=2),
)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Runs and what ships go into an empty folder. The folder of the runs."""
    for module in ("make_reference", "mygpt.checkpoints", "mygpt.judge"):
        monkeypatch.setattr(f"{module}.DATA", tmp_path / "data")
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setenv("MYGPT_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs" / "reference" / "tiny"


def test_two_seeds_give_curves_and_the_better_one_ships(runs, capsys):
    make_reference.main(["tiny", "1", "2"])
    reference = load_reference("tiny")
    assert [(run["seed"], run["steps"]) for run in reference["runs"]] == [
        (1, [0, 2, 4, 6]),
        (2, [0, 2, 4, 6]),
    ]
    assert reference["train_config"]["block_size"] == 32 and reference["text"] == "TinyShakespeare"
    assert reference["device"] and reference["precision"] in ("bf16", "fp32")
    best = min(min(run["val_loss"]) for run in reference["runs"])
    card = json.loads((make_reference.DATA / "tiny.json").read_text(encoding="utf-8"))
    assert card["val_loss"] == pytest.approx(
        best, abs=2e-3
    )  # bf16 judged while training, float32 here
    assert (
        "6 of 6 planned steps were made" in card["about"]
        and f"weights of step {card['step']}" in card["about"]
    )
    assert f"--seed {card['train_config']['seed']} " in card["about"] and len(card["sample"]) == 501
    model, tokenizer = load_pretrained("tiny")
    _, val_data = split(encode_text(tokenizer, load_text("tinyshakespeare")))
    assert evaluate(model, val_data) == pytest.approx(card["val_loss"], abs=1e-6)
    assert "tiny: best validation loss" in capsys.readouterr().out


def test_a_run_goes_on_where_it_was_stopped_and_as_is_it_stays(runs, monkeypatch):
    def stop(history):
        if history.steps[-1] == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        stopped = functools.partial(train, on_eval=stop)
        patch.setattr("mygpt.__main__.train", stopped)
        with pytest.raises(SystemExit):
            make_reference.main(["tiny", "3"])
    make_reference.main(["tiny", "3", "--as-is", "--note", "Stopped by hand."])
    assert load_reference("tiny")["note"] == "Stopped by hand."
    assert History.load(runs / "seed-3" / "history.json").steps == [0, 2, 4]
    card = json.loads((make_reference.DATA / "tiny.json").read_text(encoding="utf-8"))
    assert "4 of 6 planned steps" in card["about"] and card["note"] == "Stopped by hand."
    make_reference.main(["tiny", "3"])
    assert load_reference("tiny")["runs"][0]["steps"] == [0, 2, 4, 6]
    monkeypatch.setattr(make_reference, "mygpt", None)  # a finished run is not touched
    make_reference.main(["tiny", "3"])


def test_a_preset_that_is_none_is_refused(runs, capsys):
    with pytest.raises(SystemExit):
        make_reference.main(["huge"])
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["laptop", "gpu"])
def test_what_ships_fits_its_preset_its_card_and_its_curve(name):
    model, _ = load_pretrained(name)
    card, reference = (
        json.loads((DATA / path).read_text(encoding="utf-8"))
        for path in (f"{name}.json", f"reference/{name}.json")
    )
    assert model.config == PRESETS[name][0] == GPTConfig(**reference["model_config"])
    assert min(min(run["val_loss"]) for run in reference["runs"]) == pytest.approx(
        card["val_loss"], abs=2e-3
    )
    assert card["device"] == reference["device"] and f"--preset {name} " in card["about"]
    assert (DATA / f"{name}.safetensors").stat().st_size <= 25e6


@pytest.mark.parametrize(
    "name, length, off_by", [("laptop", None, 1e-4), ("gpu", 20_000, 0.1)]
)  # the whole of gpu's takes 34 s
def test_what_ships_predicts_as_well_as_its_card_says(name, length, off_by):
    model, tokenizer = load_pretrained(name)
    _, val_data = split(encode_text(tokenizer, load_text("tinyshakespeare")))
    card = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    assert evaluate(model, val_data[:length]) == pytest.approx(card["val_loss"], abs=off_by)


# ----------------------------------------------------------------------------- the controlled ladder


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Two variants, a file of their own, and what was measured, in order."""
    measured = []

    def measure(name, seed, steps):
        measured.append((name, seed, steps))
        return 2.0 + seed / 10

    monkeypatch.setattr(ablations, "measure", measure)
    monkeypatch.setattr(ablations, "REFERENCE", tmp_path / "ablations.json")
    monkeypatch.setattr(ablations, "STEPS", {600: ("one head", "one block")})
    return measured


def test_each_variant_is_measured_with_three_seeds_and_kept(quick):
    make_reference.main(["ablations"])
    assert len(quick) == 6
    assert ablations.load_losses(600) == {
        name: [2.1, 2.2, 2.3] for name in ("one head", "one block")
    }


def test_what_was_measured_is_not_measured_again_unless_the_recipe_changes(quick, monkeypatch):
    make_reference.main(["ablations", "1"])
    make_reference.main(["ablations", "1", "2"])
    assert [seed for _, seed, _ in quick] == [1, 1, 2, 2]
    monkeypatch.setattr(ablations, "settings", lambda: {"another": "recipe"})
    make_reference.main(["ablations", "1"])
    assert len(quick) == 6 and ablations.load_losses(600)["one head"] == [2.1]
