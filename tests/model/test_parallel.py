"""Training in two processes under torchrun: the same losses as in one, one set of files, one end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_run import DATA, TOKENIZER, VAL, gpt, settings

from mygpt.checkpoints import load_checkpoint, load_model
from mygpt.files import ROOT
from mygpt.train import History, train

HERE = Path(__file__).resolve().parent
pytestmark = pytest.mark.skipif(
    os.name != "posix" or not torch.distributed.is_gloo_available(),
    reason="needs gloo, and signals as Unix has them",
)

# What each of the two processes does; its answers go to a file of its own.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path

import torch
from torch import distributed

import mygpt.__main__
import tiny_run
from mygpt.train import Diverged, Interrupted, train
from tiny_run import DATA, TOKENIZER, VAL, gpt, settings

folder, answers = Path(sys.argv[1]), {}
mygpt.__main__.load_text = lambda name: "To be, or not to be: that is the question. " * 40
destroyed = []
distributed.destroy_process_group = lambda: destroyed.append(1)  # a second group in the same process would hang
mygpt.__main__.main(f"train --preset smoke --device cpu --precision fp32 --steps 25 --out {folder}/command".split())

assert destroyed
rank, writings, rows = distributed.get_rank(), [], []
replace = os.replace
os.replace = lambda part, path: writings.append(Path(path).name) or replace(part, path)

def two(out, seed=0, hook=None, **changes):
    model = gpt(seed=seed + rank, dropout=changes.pop("dropout", 0.0))  # the first process's weights are given to all
    model.register_forward_pre_hook(hook or (lambda *arguments: None))
    more = {name: changes.pop(name) for name in ("resume", "on_eval") if name in changes}
    try:
        history = train(model, DATA, VAL, settings(**changes), out=folder / out, tokenizer=TOKENIZER, **more)
    except Interrupted as stopped:
        history, answers["said"] = stopped.history, str(stopped)
    return history.steps, history.train_loss, history.val_loss

evaluations = []
answers["plain"] = two("plain", on_eval=lambda history: evaluations.append(history.steps[-1]),
                       hook=lambda model, given: rows.append(given[0].tolist()) if model.training else None)
answers["evaluations"], answers["rows"], answers["writings"] = evaluations, rows, list(writings)

try:
    two("odd", batch_size=5)
except ValueError as error:
    answers["odd"] = str(error)

def interrupted_at(step):
    seen = []
    def hook(model, given):
        seen.append(model.training)
        if rank == 1 and sum(seen) == step and model.training:
            signal.raise_signal(signal.SIGINT)
    return hook

def broken(model, given):
    if model.training and rank == 1:
        model.ln_f.weight.data.fill_(float("nan"))

try:
    two("broken", hook=broken)
except Diverged as error:
    answers["broken"] = str(error)

long = dict(steps=50, dropout=0.2, seed=7)
torch.manual_seed(50 + rank)
answers["stopped"] = two("stopped", hook=interrupted_at(23), **long)  # Ctrl-C reaches the second process alone
torch.manual_seed(60 + rank)
two("stopped", resume=True, **long)
answers["dropout"] = torch.get_rng_state().tolist()
(folder / f"answers_{rank}.json").write_text(json.dumps(answers), encoding="utf-8")

forever = settings(steps=10**6, eval_interval=10**6)
def ready_at_50(model, given, steps=[]):
    steps.append(1)
    if len(steps) == 50:
        (folder / f"ready_{rank}").touch()
model = gpt(dropout=0.0)
model.register_forward_pre_hook(ready_at_50)
try:
    train(model, DATA, VAL, forever, out=folder / "ctrl_c")
except Interrupted as stopped:
    print(stopped, flush=True)
    (folder / f"ended_{rank}").touch()
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """(folder, [answers of rank 0, of rank 1], output) of one call of torchrun, ended by Ctrl-C."""
    folder = tmp_path_factory.mktemp("two")
    script, log = folder / "script.py", folder / "log"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
    }
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(folder),
    ]
    with open(log, "w", encoding="utf-8") as output:
        torchrun = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            give_up = time.monotonic() + 300
            while (
                not all((folder / f"ready_{rank}").exists() for rank in (0, 1))
                and torchrun.poll() is None
            ):
                assert time.monotonic() < give_up, log.read_text(encoding="utf-8")
                time.sleep(0.05)
            torchrun.send_signal(signal.SIGINT)
            torchrun.wait(timeout=120)
        finally:
            if torchrun.poll() is None:
                torchrun.terminate()  # ends its two processes as well
                torchrun.wait(timeout=120)
    said = log.read_text(encoding="utf-8")
    assert (folder / "answers_1.json").exists(), said
    answers = [
        json.loads((folder / f"answers_{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)
    ]
    return folder, answers, said


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """(history, rows of each batch) of the same run in one process."""
    rows, model = [], gpt(dropout=0.0)
    model.register_forward_pre_hook(
        lambda model, given: rows.append(given[0].tolist()) if model.training else None
    )
    return train(model, DATA, VAL, settings(), out=tmp_path_factory.mktemp("one")), rows


def test_two_processes_have_the_losses_of_one(two, one):
    folder, answers, _ = two
    for steps, train_loss, val_loss in (answers[0]["plain"], answers[1]["plain"]):
        assert steps == one[0].steps
        # before the first step each process evaluates by itself; later ones are means over both
        assert train_loss == pytest.approx(one[0].train_loss, abs=1e-4)
        assert val_loss == pytest.approx(one[0].val_loss, abs=1e-4)


def test_each_process_takes_every_second_row_of_the_same_batch(two, one):
    for rank, answers in enumerate(two[1]):
        assert answers["rows"] == [batch[rank::2] for batch in one[1]]


def test_only_the_first_process_writes_and_draws(two):
    folder, (first, second), said = two
    assert second["writings"] == [] == second["evaluations"]
    assert first["evaluations"] == [0, 5, 10, 13]
    assert first["writings"].count("last.pt") == 4 == first["writings"].count("history.json")
    assert sorted(path.name for path in (folder / "plain").iterdir()) == [
        "best.pt",
        "history.json",
        "last.pt",
    ]
    assert not any(
        "module." in name for name in load_checkpoint(folder / "plain" / "last.pt")["model"]
    )


def test_a_batch_that_cannot_be_shared_is_refused(two):
    for answers in two[1]:
        assert answers["odd"] == "batch_size 5 cannot be shared by 2 processes: take a multiple"
    assert not (two[0] / "odd").exists()


def test_a_nan_in_one_process_ends_both_and_leaves_the_last_sound_checkpoint(two):
    for answers in two[1]:
        assert "diverged by step 5" in answers["broken"]
    assert load_checkpoint(two[0] / "broken" / "last.pt")["step"] == 0


def test_a_run_of_two_processes_goes_on_in_one(two):
    out = two[0] / "plain"
    saved = load_checkpoint(out / "last.pt")
    history = train(
        gpt(5, dropout=0.0),
        DATA,
        VAL,
        settings(steps=15),
        out=out,
        resume=True,
        tokenizer=TOKENIZER,
    )
    assert history.steps == saved["history"]["steps"] + [15]


def test_an_interrupt_of_one_ends_both_at_the_same_step(two):
    folder, (first, second), said = two
    assert first["stopped"] == second["stopped"] and first["stopped"][0][-1] == 40
    assert all("interrupted after step 40 of 50" in answers["said"] for answers in (first, second))
    again = load_checkpoint(folder / "stopped" / "last.pt")
    assert again["step"] == 50 and again["history"]["steps"][-3:] == [
        40,
        45,
        50,
    ]  # it went on to the end


def test_after_a_resume_each_process_drops_out_others(two):
    assert two[1][0]["dropout"] != two[1][1]["dropout"]  # the states of torch's generator


def test_ctrl_c_on_torchrun_leaves_a_checkpoint_of_both(two):
    folder, _, said = two
    assert (folder / "ended_0").exists() and (folder / "ended_1").exists(), said
    saved = load_checkpoint(folder / "ctrl_c" / "last.pt")
    assert (
        saved["step"] > 40
        and saved["step"] % 20 == 0
        and f"interrupted after step {saved['step']}" in said
    )
    assert len(saved["losses"]) == saved["step"]


def test_torchrun_runs_the_module(tmp_path):
    """torchrun --nproc-per-node 2 -m mygpt train ..., as the README writes it."""
    command = (
        "-m torch.distributed.run --standalone --nproc-per-node 2 -m mygpt train --preset smoke"
    )
    text = tmp_path / "own.txt"
    text.write_text("abc " * 500, encoding="utf-8")
    more = f"--device cpu --steps 2 --text {text} --out {tmp_path / 'run'}".split()
    done = subprocess.run(
        [sys.executable, *command.split(), *more],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "2 process(es)" in done.stdout and load_model(tmp_path / "run")


def test_the_command_line_runs_under_torchrun(two):
    folder, _, said = two
    assert "2 process(es)" in said and said.count("parameters, device cpu") == 1 == said.count(
        "best validation loss"
    )
    assert History.load(folder / "command" / "history.json").steps == [0, 20, 25]
    load_model(folder / "command" / "best.pt")
