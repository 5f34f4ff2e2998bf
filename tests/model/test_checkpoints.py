"""Checkpoints: to resume equals never having stopped; whatever happens to a file, nothing is lost and nothing runs."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

import nbformat
import numpy
import pytest
import safetensors.torch
import torch
from kills import SOME_KILLS, kills_survived
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tiny_run import DATA, TOKENIZER, VAL, gpt, left_by, run, same, set_validation_losses, settings

from mygpt.checkpoints import (
    KIND,
    TOKENIZERS,
    load_checkpoint,
    load_model,
    load_pretrained,
    save_checkpoint,
    save_model,
    to_use,
)
from mygpt.files import ROOT
from mygpt.train import History, Interrupted, Run, TrainConfig, train
from mygpt_helpers import BigramLanguageModel, CharTokenizer, GPTConfig


class Killed(BaseException):
    """Ends a run as a kill does: nothing in the loop catches it."""


# ----------------------------------------------------------------------------- resume


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """What a run that nobody stops leaves behind, for each precision (made when first asked for)."""
    made = {}

    def of(precision="fp32", **sizes):
        key = precision, *sizes.items()
        if key not in made:
            out = tmp_path_factory.mktemp("uninterrupted")
            run(out, gpt(**sizes), settings(precision=precision))
            made[key] = left_by(out)
        return made[key]

    return of


def at_the_end_of_evaluation(step, do):
    """An on_eval that does `do()` once, at that step."""
    return lambda history: do() if history.steps[-1] == step else None


def before_forward(model, number, do):
    """Do `do()` as the model begins its forward pass number `number` of training (from 0)."""
    seen = []

    def hook(module, arguments):
        if module.training:
            if len(seen) == number:
                do()
            seen.append(1)

    model.register_forward_pre_hook(hook)
    return model


def interrupt():
    signal.raise_signal(signal.SIGINT)


def kill():
    raise Killed


def go_on(out, config):
    """Resume as another process would: other first weights, another state of torch's generator."""
    model = gpt(seed=99)
    torch.rand(7)
    run(out, model, config, resume=True)
    return left_by(out)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_mistake_17_resume_equals_an_uninterrupted_run(tmp_path, uninterrupted, precision):
    config = settings(precision=precision)
    for step in (1, 5, 7, 12):  # interrupted in the middle of step 1, 5, 7, 12
        out = tmp_path / str(step)
        history = run(out, before_forward(gpt(), step, interrupt), config)
        assert (
            load_checkpoint(out / "last.pt")["step"] == step + 1 and history.steps[-1] <= step + 1
        )
        assert same(go_on(out, config), uninterrupted(precision)), step


@pytest.mark.parametrize("step", [0, 5, 10, 13])
@pytest.mark.parametrize("end", [interrupt, kill])
def test_resume_after_a_stop_at_an_evaluation(tmp_path, uninterrupted, step, end):
    if end is kill:
        with pytest.raises(Killed):
            run(tmp_path, on_eval=at_the_end_of_evaluation(step, end))
    else:
        assert run(tmp_path, on_eval=at_the_end_of_evaluation(step, end)).steps[-1] == step
    assert load_checkpoint(tmp_path / "last.pt")["step"] == step
    assert same(go_on(tmp_path, settings()), uninterrupted())


def test_resume_after_a_kill_between_evaluations(tmp_path, uninterrupted):
    with pytest.raises(Killed):
        run(tmp_path, before_forward(gpt(), 8, kill))
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 5  # steps 5 to 8 are made again
    assert same(go_on(tmp_path, settings()), uninterrupted())


def test_resume_after_a_stop_at_every_step_in_turn(tmp_path, uninterrupted):
    run(tmp_path, before_forward(gpt(), 0, interrupt))
    for step in range(2, 14):
        assert load_checkpoint(tmp_path / "last.pt")["step"] == step - 1
        run(tmp_path, before_forward(gpt(step), 0, interrupt), resume=True)
    assert same(left_by(tmp_path), uninterrupted())


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_kill_at_any_moment_of_the_writing_loses_nothing(
    tmp_path, uninterrupted, monkeypatch, function
):
    def stop_at(number):
        seen, real = [], getattr(os, function)

        def stop(*arguments):
            seen.append(1)
            if len(seen) == number:
                raise Killed
            return real(*arguments)

        return stop

    for number in range(1, 30):
        out = tmp_path / str(number)
        with monkeypatch.context() as patch:
            patch.setattr(os, function, stop_at(number))
            try:
                run(out)
                break  # not so many writings in a run
            except Killed:
                pass
        for path in out.glob("*.pt"):
            load_checkpoint(path)
        started = (out / "last.pt").exists()
        assert started == (number > 2)  # the first writing is of best.pt, the second of last.pt
        assert same(
            go_on(out, settings()) if started else run(out) and left_by(out), uninterrupted()
        ), number
    assert number > 9


def test_a_finished_run_resumed_stays_as_it_is(tmp_path, uninterrupted):
    run(tmp_path)
    history = History.load(tmp_path / "history.json")
    seen = []
    assert run(tmp_path, gpt(5), resume=True, on_eval=seen.append) == history
    assert same(left_by(tmp_path), uninterrupted())
    assert [history.steps for history in seen] == [[0, 5, 10, 13]]  # shown, and not repeated


def test_a_resumed_run_shows_at_once_what_there_is(tmp_path):
    run(tmp_path, on_eval=at_the_end_of_evaluation(5, interrupt))
    seen = []
    (tmp_path / "history.json").unlink()
    run(
        tmp_path,
        resume=True,
        on_eval=lambda history: seen.append(
            (tmp_path / "history.json").exists() and list(history.steps)
        ),
    )
    assert seen == [[0, 5], [0, 5, 10], [0, 5, 10, 13]]


def test_an_on_eval_that_leaves_the_model_in_evaluation_mode_does_not_disturb_the_run(
    tmp_path, uninterrupted
):
    model = gpt()
    run(tmp_path, model, on_eval=lambda history: model.eval())
    assert same(left_by(tmp_path), uninterrupted())


def test_what_on_eval_draws_does_not_disturb_the_run(tmp_path, uninterrupted):
    run(tmp_path, on_eval=lambda history: torch.rand(3))
    assert same(left_by(tmp_path), uninterrupted())


def test_the_evaluation_interval_does_not_disturb_the_run(uninterrupted, tmp_path):
    run(tmp_path, config=settings(eval_interval=3))
    theirs = left_by(tmp_path)["last.pt"]
    for part in ("model", "optimizer", "batches", "dropout"):
        assert same(theirs[part], uninterrupted()["last.pt"][part])


def test_seconds_go_on_where_they_stopped(tmp_path):
    run(tmp_path, on_eval=at_the_end_of_evaluation(5, interrupt))
    saved = load_checkpoint(tmp_path / "last.pt")
    saved["history"]["seconds"] = [1000.0, 2000.0]
    save_checkpoint(tmp_path / "last.pt", saved | {"seconds": 2000.0})
    seconds = run(tmp_path, resume=True).seconds
    assert seconds[:2] == [1000, 2000] and 2000 < seconds[2] < seconds[3] < 3000


def test_the_seconds_between_an_evaluation_and_an_interruption_count(tmp_path):
    run(tmp_path, on_eval=at_the_end_of_evaluation(5, interrupt))
    saved = load_checkpoint(tmp_path / "last.pt")
    assert saved["seconds"] > saved["history"]["seconds"][-1] > 0
    save_checkpoint(tmp_path / "last.pt", saved | {"seconds": 2500.0})
    assert 2500 < run(tmp_path, resume=True).seconds[-1] < 3000


def test_an_existing_run_is_not_written_over(tmp_path, uninterrupted):
    run(tmp_path)
    with pytest.raises(
        ValueError, match=f"{re.escape(str(tmp_path))} holds a run already.*resume=True"
    ):
        run(tmp_path, gpt(5))
    assert same(left_by(tmp_path), uninterrupted())


def test_resume_where_nothing_is_yet_begins_and_says_so(tmp_path, uninterrupted, capsys):
    run(tmp_path, resume=True)
    assert f"There is no run in {tmp_path} yet: it begins." in capsys.readouterr().out
    assert same(left_by(tmp_path), uninterrupted())


def test_a_run_killed_before_its_first_last_pt_begins_again(tmp_path, uninterrupted):
    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr("mygpt.checkpoints.to_resume", lambda run: kill())
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]
    run(tmp_path, resume=True)
    assert same(left_by(tmp_path), uninterrupted())


@pytest.mark.parametrize("resume", [False, True])
def test_the_best_weights_of_a_run_without_its_last_pt_are_not_written_over(
    tmp_path, resume, monkeypatch
):
    set_validation_losses(monkeypatch, [4.0, 3.0, 2.0, 1.0])
    run(tmp_path)
    (tmp_path / "last.pt").unlink()
    best = (tmp_path / "best.pt").read_bytes()
    with pytest.raises(ValueError, match="has a best.pt, but no last.pt to go on from: .*move it"):
        run(tmp_path, resume=resume)
    assert (tmp_path / "best.pt").read_bytes() == best


# ----------------------------------------------------------------------------- resume with other settings


def weights_of(out):
    return left_by(out)["last.pt"]["model"]


def test_more_steps_of_a_constant_rate_end_where_one_long_run_ends(tmp_path):
    constant = dict(min_learning_rate=None, steps=13)
    run(tmp_path / "whole", config=settings(**constant))
    run(tmp_path / "parts", config=settings(**constant | {"steps": 8}))
    run(tmp_path / "parts", gpt(9), settings(**constant), resume=True)
    assert same(weights_of(tmp_path / "parts"), weights_of(tmp_path / "whole"))
    assert load_checkpoint(tmp_path / "parts" / "last.pt")["history"]["steps"] == [0, 5, 8, 10, 13]


def test_more_steps_of_a_cosine_follow_the_new_one_and_it_is_said(tmp_path, capsys, monkeypatch):
    run(tmp_path)
    rates, config, step = [], settings(steps=20), torch.optim.AdamW.step

    def spy(self, *arguments, **more):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    run(tmp_path, gpt(9), config, resume=True)
    assert rates == pytest.approx([config.learning_rate_at(step) for step in range(13, 20)])
    said = capsys.readouterr().out
    assert f"at step 13 it is {config.learning_rate_at(13):.2g} instead of 0.001." in said
    assert "20 steps instead of 13" in said


def test_patience_and_interval_may_change_when_a_run_goes_on(tmp_path, uninterrupted):
    run(tmp_path, before_forward(gpt(), 6, interrupt))
    run(tmp_path, gpt(9), settings(eval_interval=4, patience=9), resume=True)
    assert same(weights_of(tmp_path), uninterrupted()["last.pt"]["model"])
    assert load_checkpoint(tmp_path / "last.pt")["history"]["steps"] == [0, 5, 8, 12, 13]


def test_fewer_steps_than_were_made_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="is at step 13 already: ask for more steps"):
        run(tmp_path, gpt(9), settings(steps=12), resume=True)


def test_a_setting_that_an_older_checkpoint_lacks_has_its_default(tmp_path):
    run(tmp_path, config=settings(steps=5))
    saved = load_checkpoint(tmp_path / "last.pt")
    del saved["train_config"]["patience"], saved["model_config"]["bias"]
    save_checkpoint(tmp_path / "last.pt", saved)
    run(tmp_path, gpt(9), settings(), resume=True)
    del saved["train_config"]["beta2"]  # whose default is another than this run's 0.99
    save_checkpoint(tmp_path / "last.pt", saved)
    with pytest.raises(ValueError, match="was made with beta2 0.999, and this run has beta2 0.99"):
        run(tmp_path, gpt(9), settings(), resume=True)


def test_a_setting_of_another_version_is_a_sentence(tmp_path):
    run(tmp_path)
    saved = load_checkpoint(tmp_path / "last.pt")
    for part in ("model_config", "train_config"):
        other = saved | {part: saved[part] | {"rope": True}}
        save_checkpoint(tmp_path / "last.pt", other)
        with pytest.raises(ValueError, match="another version of the course.*rope"):
            run(tmp_path, gpt(9), resume=True)
    save_checkpoint(
        tmp_path / "last.pt", saved | {"model_config": saved["model_config"] | {"rope": 1}}
    )
    with pytest.raises(ValueError, match="does not hold a GPT of this course.*rope"):
        load_model(tmp_path / "last.pt")


def test_another_optimizer_is_refused_before_anything_changes(tmp_path):
    run(tmp_path)
    model = gpt(9)
    before = copied(model)

    def sgd(model, config):
        decayed = [{"params": list(group)} for group in halves(model.parameters())]
        return torch.optim.SGD(decayed, config.learning_rate)

    with pytest.raises(ValueError, match="made with another optimizer: resume with the same one"):
        run(tmp_path, model, resume=True, make_optimizer=sgd)
    assert same(copied(model), before)


def halves(parameters):
    """The parameters as `adamw` groups them."""
    parameters = list(parameters)
    return [p for p in parameters if p.dim() > 1], [p for p in parameters if p.dim() < 2]


def test_a_checkpoint_of_several_gpus_goes_on_where_there_are_fewer(tmp_path, uninterrupted):
    """Whatever generators of GPUs are in it, it loads; a wrong one is refused before anything changes."""
    run(tmp_path, before_forward(gpt(), 6, interrupt))
    saved = load_checkpoint(tmp_path / "last.pt")
    saved["dropout"]["cuda"] = torch.zeros(16, dtype=torch.uint8)
    save_checkpoint(tmp_path / "last.pt", saved)
    assert same(
        go_on(tmp_path, settings())["last.pt"]["model"], uninterrupted()["last.pt"]["model"]
    )


def test_what_is_saved_of_a_gpu_is_its_own_generator_and_that_alone(monkeypatch):
    """On a machine with any number of GPUs, the state of the model's one is saved and restored."""
    from mygpt.checkpoints import dropout_state

    asked = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: asked.append(device) or "state")
    state = dropout_state(torch.device("cuda", 3))
    assert state["cuda"] == "state" and asked == [torch.device("cuda", 3)]
    assert list(dropout_state(torch.device("cpu"))) == ["torch"]


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "notes").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="notes is a file: give a folder for the run"):
        run(tmp_path / "notes")


def test_what_a_killed_run_left_half_written_goes_away(tmp_path):
    run(tmp_path, on_eval=at_the_end_of_evaluation(5, interrupt))
    (tmp_path / "last.pt.4711.part").write_bytes(b"half")
    run(tmp_path, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.pt",
        "history.json",
        "last.pt",
    ]


# ----------------------------------------------------------------------------- interrupts


def test_an_interrupt_ends_the_run_between_two_steps(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    history = run(tmp_path, before_forward(gpt(), 6, interrupt))
    assert signal.getsignal(signal.SIGINT) is before
    saved = load_checkpoint(tmp_path / "last.pt")
    assert saved["step"] == 7 and len(saved["losses"]) == 2  # of steps 5 and 6
    assert history.steps == [0, 5] == History.load(tmp_path / "history.json").steps


def test_an_interrupt_during_the_last_evaluation_is_not_lost(tmp_path):
    with pytest.raises(Interrupted, match="after step 13 of 13"):
        train(
            gpt(),
            DATA,
            VAL,
            settings(),
            on_eval=at_the_end_of_evaluation(13, interrupt),
            out=tmp_path,
        )
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 13


@pytest.mark.parametrize("folder", [None, "kept"])
def test_an_interrupt_raises_so_that_nothing_goes_on_with_a_half_trained_model(tmp_path, folder):
    out = folder and tmp_path / folder
    with pytest.raises(Interrupted, match="after step 7 of 13") as stopped:
        train(before_forward(gpt(), 6, interrupt), DATA, VAL, settings(), out=out)
    assert isinstance(stopped.value, KeyboardInterrupt) and stopped.value.history.steps == [0, 5]
    assert (f"kept in {out}" if out else "half trained") in str(stopped.value)


def test_a_notebook_shows_an_interrupt_in_one_line_and_runs_no_cell_below():
    cells = [
        "import signal, torch\nfrom mygpt_helpers import BigramLanguageModel\nfrom mygpt.train import TrainConfig, train",
        "stop = lambda history: signal.raise_signal(signal.SIGINT)\ndata = torch.arange(100) % 65",
        "history = train(BigramLanguageModel(65), data, data, TrainConfig(steps=9, block_size=8, eval_interval=9), stop)",
        "print('and on')",
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(CellExecutionError):
        NotebookClient(nb, kernel_name="python3").execute()
    error = next(output for output in nb.cells[2].outputs if output.output_type == "error")
    assert len(error.traceback) == 1 and "interrupted after step 0 of 9" in error.traceback[0]
    assert nb.cells[3].outputs == []


def test_a_second_interrupt_breaks_off_at_once(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, before_forward(gpt(), 6, lambda: (interrupt(), interrupt())))
    assert signal.getsignal(signal.SIGINT) is before
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 5


@pytest.mark.skipif(os.name != "posix", reason="os.kill ends the process on Windows")
def test_interrupts_at_any_time_and_resumes_equal_an_uninterrupted_run(tmp_path, uninterrupted):
    rng, stops = random.Random(17), 0
    while not stops or load_checkpoint(tmp_path / "last.pt")["step"] < 13:
        timer = threading.Timer(rng.uniform(0.001, 0.03), os.kill, (os.getpid(), signal.SIGINT))
        # started from the first evaluation: by then the handler stands
        model = gpt(stops)
        model.register_forward_pre_hook(
            lambda *_, timer=timer: timer.start() if not timer.ident else None
        )
        before = signal.signal(signal.SIGINT, lambda *_: None)  # a timer that comes too late
        run(tmp_path, model, resume=stops > 0)
        timer.join() if timer.ident else None
        signal.signal(signal.SIGINT, before)
        stops += 1
        assert stops < 200
    assert same(left_by(tmp_path), uninterrupted())


def test_training_works_outside_the_main_thread(tmp_path, uninterrupted):
    failed = []

    def work():
        try:
            with torch.random.fork_rng():
                run(tmp_path)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed and same(left_by(tmp_path), uninterrupted())


# ----------------------------------------------------------------------------- kills


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks a process that uses torch")
def test_kill_9_never_leaves_an_unloadable_checkpoint(tmp_path):
    assert kills_survived(tmp_path, SOME_KILLS) == 5


# ----------------------------------------------------------------------------- files that do not fit


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The bytes of a last.pt and of a best.pt, stopped after step 7 of 13."""
    out = tmp_path_factory.mktemp("stopped")
    run(out, before_forward(gpt(), 6, interrupt))
    return (out / "last.pt").read_bytes(), (out / "best.pt").read_bytes()


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def refused(out, contents, words):
    """A last.pt of these bytes is refused with these words, for resuming and as a model, and left alone."""
    path = out / "last.pt"
    path.write_bytes(contents)
    model = gpt(5)
    before = copied(model)
    for attempt in (lambda: run(out, model, resume=True), lambda: load_model(path)):
        with pytest.raises(ValueError) as caught:
            attempt()
        message = str(caught.value)
        assert str(path) in message and re.search(words, message) and "\n" not in message
        assert re.search(
            "give another file|another folder|resume from last.pt", message
        )  # what to do
    assert same(copied(model), before)  # nothing of it has come into the model
    assert path.read_bytes() == contents and [file.name for file in out.iterdir()] == ["last.pt"]


def test_a_truncated_checkpoint_is_refused(tmp_path, stopped):
    size = len(stopped[0])
    for length in (0, 1, 2, 30, 64, 1000, size // 3, size // 2, size - 1000, size - 22, size - 1):
        refused(tmp_path, stopped[0][:length], "damaged")


def test_a_checkpoint_with_one_byte_changed_is_refused_or_reads_as_before(tmp_path, stopped):
    whole, path, rng, refusals = stopped[0], tmp_path / "last.pt", random.Random(1), 0
    path.write_bytes(whole)
    good = load_checkpoint(path)
    for _ in range(60):
        place = rng.randrange(len(whole))
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << rng.randrange(8)
        path.write_bytes(spoilt)
        try:
            assert same(load_checkpoint(path), good), (
                place
            )  # in a gap between two tensors, or a date
        except ValueError as error:
            refusals += 1
            assert str(path) in str(error) and "damaged" in str(error)
        assert path.read_bytes() == spoilt
    assert refusals > 30
    place = whole.index(good["model"]["blocks.0.attn.qkv.weight"].numpy().tobytes())
    refused(
        tmp_path,
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
        "damaged.*checksum",
    )


def saved(contents, **options):
    buffer = io.BytesIO()
    torch.save(contents, buffer, **options)
    return buffer.getvalue()


class RunsCode:
    """A pickle of this makes the file named in it when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_foreign_files_are_refused_and_run_no_code(tmp_path, stopped):
    out, trap = tmp_path / "out", tmp_path / "trap"
    out.mkdir()
    code = RunsCode(trap)
    pickle.loads(pickle.dumps(code)).close()
    assert trap.exists()  # the trap works
    trap.unlink()
    refused(out, b"To be, or not to be\n", "damaged or no checkpoint")
    refused(out, pickle.dumps({"kind": KIND, "model": code}), "damaged or no checkpoint")
    refused(out, saved({"kind": KIND, "model": code}), "damaged or no checkpoint")
    refused(
        out,
        saved({"kind": KIND, "model": code}, _use_new_zipfile_serialization=False),
        "damaged",
    )
    assert not trap.exists()
    refused(
        out,
        saved({"model": gpt().state_dict(), "iter_num": 3}),
        "not one of this course's checkpoints",
    )
    refused(out, saved(gpt().state_dict()), "not one of this course's checkpoints")
    refused(out, saved([1, 2]), "not one of this course's checkpoints")


OTHER_SETTINGS = dict(
    batch_size=8,
    block_size=4,
    learning_rate=0.02,
    seed=1,
    warmup_steps=2,
    min_learning_rate=None,
    weight_decay=0.2,
    beta2=0.98,
    grad_clip=None,
    precision="bf16",
)
OTHER_SIZES = dict(
    vocab_size=8, block_size=9, n_layer=1, n_head=4, n_embd=16, dropout=0.1, bias=True
)


def test_another_configuration_is_refused_and_the_setting_named(tmp_path, stopped):
    path = tmp_path / "last.pt"
    path.write_bytes(stopped[0])
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    assert OTHER_SETTINGS.keys() == names - {"steps", "patience", "eval_interval"}
    assert OTHER_SIZES.keys() == {field.name for field in dataclasses.fields(GPTConfig)}
    tries = [({name: value}, {}) for name, value in OTHER_SETTINGS.items()]
    tries += [({}, {name: value}) for name, value in OTHER_SIZES.items()]
    for changes, sizes in tries:
        ((name, value),) = (changes | sizes).items()
        words = (
            f"last.pt was made with .*{name} .*and this run has .*{name} {value}.*another folder"
        )
        if name == "vocab_size":
            words = "the tokenizer has 7 ids"
        with pytest.raises(ValueError, match=words):
            run(tmp_path, gpt(**sizes), settings(**changes), resume=True)
        assert path.read_bytes() == stopped[0]


def test_the_differing_option_is_named_as_it_is_typed(tmp_path, stopped):
    (tmp_path / "last.pt").write_bytes(stopped[0])
    with pytest.raises(ValueError, match=r"\(on the command line --learning-rate 0.01\)"):
        run(tmp_path, config=settings(learning_rate=0.02), resume=True)
    with pytest.raises(ValueError) as refused:  # there is no --bias
        run(tmp_path, gpt(bias=True), resume=True)
    assert "bias False" in str(refused.value) and "command line" not in str(refused.value)


def test_another_text_or_another_model_is_refused(tmp_path, stopped):
    (tmp_path / "last.pt").write_bytes(stopped[0])
    with pytest.raises(ValueError, match="last.pt was made with another tokenizer.*same one"):
        other = CharTokenizer("abcdefh")
        train(gpt(), DATA, VAL, settings(), out=tmp_path, resume=True, tokenizer=other)
    both = torch.cat([DATA, VAL])
    for texts in (
        (DATA, VAL.flip(0)),
        (DATA.flip(0), VAL),
        (both[:200], both[200:]),
    ):  # of the same characters
        with pytest.raises(ValueError, match="another text"):
            train(gpt(), *texts, settings(), out=tmp_path, resume=True, tokenizer=TOKENIZER)
    table = settings(steps=5, block_size=8)
    with pytest.raises(ValueError, match="last.pt was made with another kind of model"):
        options = dict(out=tmp_path, resume=True, tokenizer=TOKENIZER)
        train(BigramLanguageModel(7), DATA, VAL, table, **options)
    assert (tmp_path / "last.pt").read_bytes() == stopped[0]
    train(BigramLanguageModel(7), DATA, VAL, table, out=tmp_path / "table")
    with pytest.raises(ValueError, match="last.pt holds the weights of another model"):
        train(BigramLanguageModel(8), DATA, VAL, table, out=tmp_path / "table", resume=True)


def test_weights_alone_cannot_be_resumed(tmp_path, stopped):
    (tmp_path / "last.pt").write_bytes(stopped[1])
    with pytest.raises(ValueError, match="last.pt holds only weights.*resume from last.pt"):
        run(tmp_path, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == stopped[1]
    load_model(tmp_path / "last.pt")  # but they make a model


def test_numbers_of_numpy_in_the_settings_do_not_spoil_the_checkpoint(tmp_path):
    config = settings(
        steps=numpy.int64(2), warmup_steps=1, learning_rate=numpy.geomspace(1e-4, 1e-2, 3)[1]
    )
    run(tmp_path, config=config)
    assert (
        load_checkpoint(tmp_path / "last.pt")["train_config"]["learning_rate"]
        == config.learning_rate
    )
    run(
        tmp_path,
        config=settings(steps=2, warmup_steps=1, learning_rate=float(config.learning_rate)),
        resume=True,
    )


# ----------------------------------------------------------------------------- mistake 17: loading


def test_mistake_17_best_pt_is_kept_though_the_last_is_worse(tmp_path, monkeypatch):
    set_validation_losses(monkeypatch, [4.0, 3.0, 3.5, 2.0, 2.0, 2.5])
    model, seen = gpt(), []
    run(
        tmp_path,
        model,
        settings(eval_interval=3),
        on_eval=lambda history: seen.append(copied(model)),
    )
    best, last = load_checkpoint(tmp_path / "best.pt"), load_checkpoint(tmp_path / "last.pt")
    assert best["step"] == 9 and last["step"] == 13
    assert same(best["model"], seen[3]) and same(last["model"], seen[5])
    assert "optimizer" not in best
    assert same(copied(load_model(tmp_path / "best.pt")[0]), seen[3])


def test_mistake_17_the_name_that_compile_adds_is_taken_off(tmp_path, uninterrupted):
    def stopped_model():
        return torch.compile(before_forward(gpt(), 6, interrupt), backend="eager")

    run(tmp_path, stopped_model())
    model, tokenizer = load_model(tmp_path / "last.pt")  # the uncompiled class
    assert tokenizer.chars == TOKENIZER.chars and not model.training
    assert not any("_orig_mod" in name for name in load_checkpoint(tmp_path / "last.pt")["model"])
    run(tmp_path, torch.compile(gpt(9), backend="eager"), resume=True)
    # compiled code need not give the same bits, but here it does: "eager" runs the same operations
    assert same(left_by(tmp_path)["last.pt"]["model"], uninterrupted()["last.pt"]["model"])


def as_if_saved_on_cuda(contents):
    """The same checkpoint with every tensor's storage marked cuda:0 instead of cpu."""
    source, target = zipfile.ZipFile(io.BytesIO(contents)), io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as changed:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("/data.pkl"):
                cpu, cuda = (
                    b"X" + struct.pack("<I", len(word)) + word for word in (b"cpu", b"cuda:0")
                )
                assert cpu in data
                data = data.replace(cpu, cuda)
            changed.writestr(name, data)
    return target.getvalue()


def test_mistake_17_map_location_what_was_saved_on_cuda_loads_on_a_cpu(
    tmp_path, stopped, uninterrupted
):
    path = tmp_path / "last.pt"
    path.write_bytes(as_if_saved_on_cuda(stopped[0]))
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(path, weights_only=True)
    assert all(value.device.type == "cpu" for value in load_checkpoint(path)["model"].values())
    assert next(load_model(path)[0].parameters()).device.type == "cpu"
    history = run(tmp_path, gpt(9), resume=True)
    assert history.val_loss == uninterrupted()["last.pt"]["history"]["val_loss"]


def test_mistake_17_load_uses_weights_only(tmp_path, stopped, monkeypatch):
    asked, real = [], torch.load
    monkeypatch.setattr(
        torch, "load", lambda *args, **options: asked.append(options) or real(*args, **options)
    )
    (tmp_path / "last.pt").write_bytes(stopped[0])
    load_model(tmp_path / "last.pt")
    assert [options["weights_only"] for options in asked] == [True]


# ----------------------------------------------------------------------------- what ships


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A data folder with one trained model, "tiny", in float16."""
    monkeypatch.setattr("mygpt.checkpoints.DATA", tmp_path)
    save_model(tmp_path / "tiny.safetensors", gpt().half(), TOKENIZER)
    return tmp_path


def test_a_shipped_model_loads_in_float32(shipped):
    model, tokenizer = load_pretrained("tiny")
    assert not model.training and tokenizer.decode([0, 6]) == "ag" and model.config == gpt().config
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(
            value, gpt().state_dict()[name].half().float()
        )


def test_an_unknown_name_lists_what_ships(shipped):
    with pytest.raises(ValueError, match="'huge'.*there is tiny$"):
        load_pretrained("huge")
    (shipped / "tiny.safetensors").unlink()
    with pytest.raises(ValueError, match="'tiny'.*there is none$"):
        load_pretrained("tiny")


def test_shipped_weights_are_checked_against_their_card(shipped):
    weights = shipped / "tiny.safetensors"
    spoilt = weights.read_bytes()[:-1] + b"\0"
    weights.write_bytes(spoilt)
    with pytest.raises(ValueError, match=r"tiny.safetensors is damaged.*SHA-256.*fetch it again"):
        load_pretrained("tiny")
    assert weights.read_bytes() == spoilt
    for spoilt in ("{}", "[]", "{half"):
        (shipped / "tiny.json").write_text(spoilt, encoding="utf-8")
        with pytest.raises(ValueError, match="tiny.json is damaged.*fetch it again"):
            load_pretrained("tiny")
    (shipped / "tiny.json").unlink()
    with pytest.raises(FileNotFoundError, match="tiny.safetensors needs its card.* no tiny.json"):
        load_pretrained("tiny")


# ----------------------------------------------------------------------------- a learner's own weights


def test_save_model_and_load_model_give_back_model_and_tokenizer(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_model(path, gpt(3), TOKENIZER, note="Trained on my diary.", val_loss=1.5)
    model, tokenizer = load_model(path)
    assert same(copied(model), copied(gpt(3))) and model.config == gpt().config
    assert tokenizer.decode([0, 6]) == "ag"
    card = json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))
    assert card["note"] == "Trained on my diary." and card["val_loss"] == 1.5
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    theirs = safetensors.torch.load_file(path)  # as any other program reads it
    assert same(theirs, copied(gpt(3)))


def test_weights_under_another_ending_are_refused(tmp_path):
    with pytest.raises(ValueError, match="ends in .safetensors: .*mine.pt does not"):
        save_model(tmp_path / "mine.pt", gpt(), TOKENIZER)


def test_a_folder_means_the_best_pt_in_it(tmp_path):
    run(tmp_path)
    assert same(copied(load_model(tmp_path)[0]), load_checkpoint(tmp_path / "best.pt")["model"])
    with pytest.raises(FileNotFoundError, match="no checkpoint .*best.pt: check the name"):
        load_model(tmp_path.parent)


@pytest.mark.parametrize("name", ["nowhere.pt", "nowhere", "nowhere.safetensors"])
def test_a_mistyped_name_is_a_fitting_sentence(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"there is no .*{name}: check the name$"):
        load_model(tmp_path / name)


@pytest.mark.parametrize(
    "part, value",
    [
        ("model_config", {"n_embd": 7, "n_head": 2}),
        ("model_config", {"n_layer": "two"}),
        ("model_config", {"n_layer": 1, "vocab_size": 7}),  # the weights are of another size
        ("model_config", {"rope": True}),
        ("model_config", ["no", "dict"]),
        ("model_config", None),
        ("model", {"blocks": 3}),
        ("model", None),
        ("tokenizer", {"kind": "characters"}),
        ("tokenizer", {"kind": "characters", "chars": "aa"}),
        ("tokenizer", {"kind": "characters", "chars": "ab"}),  # not the model's vocabulary
        ("tokenizer", {"kind": "words", "words": []}),
        ("tokenizer", "abcdefg"),
        ("tokenizer", None),
    ],
)
def test_whatever_is_damaged_in_a_model_is_a_value_error(tmp_path, part, value):
    contents = to_use(Run(gpt(), settings(), TOKENIZER))
    save_checkpoint(tmp_path / "best.pt", contents | {part: value})
    with pytest.raises(ValueError) as refused:
        load_model(tmp_path)
    assert "best.pt" in str(refused.value) and len(str(refused.value)) < 500


def test_a_weights_file_that_is_something_else_is_a_value_error(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_model(path, gpt(), TOKENIZER)
    card = json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))
    path.write_bytes(b"To be, or not to be")
    card["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "mine.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ValueError, match="mine.safetensors does not hold a GPT"):
        load_model(path)


class Words:
    """A tokenizer of a learner's own: whole words."""

    def __init__(self, words):
        self.words = words

    vocab_size = property(lambda self: len(self.words))

    def to_dict(self):
        return {"kind": "words", "words": self.words}

    @classmethod
    def from_dict(cls, saved):
        return cls(saved["words"])


def test_a_checkpoint_holds_any_tokenizer_that_has_to_dict_and_from_dict(tmp_path, monkeypatch):
    words = Words("to be or not that is question".split())
    train(gpt(), DATA, VAL, settings(steps=5), out=tmp_path, tokenizer=words)
    save_model(tmp_path / "mine.safetensors", gpt(), words)
    for path in (tmp_path, tmp_path / "mine.safetensors"):
        with pytest.raises(ValueError, match="tokenizer is of an unknown kind, 'words'"):
            load_model(path)
        with monkeypatch.context() as patch:
            patch.setitem(TOKENIZERS, "words", Words)
            assert load_model(path)[1].words == words.words
    train(gpt(), DATA, VAL, settings(steps=5), out=tmp_path, resume=True, tokenizer=words)


def test_a_model_without_a_tokenizer_says_what_is_missing(tmp_path):
    train(gpt(), DATA, VAL, settings(), out=tmp_path)
    with pytest.raises(ValueError, match="best.pt does not say.*tokenizer="):
        load_model(tmp_path / "best.pt")


# ----------------------------------------------------------------------------- full disks and closed folders

REFUSALS = """
import contextlib, io, os, resource, shutil, signal, sys, tempfile
from pathlib import Path
import torch
from tiny_run import gpt, left_by, run, same, settings
torch.optim.AdamW([torch.zeros(1)])  # imports what root's own Python may keep from others
if os.geteuid() == 0:  # root is refused nothing: become an ordinary user
    os.setgroups([]); os.setgid(65534); os.setuid(65534)

def refused(out, before, words):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run(out, gpt(5), resume=True)
        assert False, "nothing was refused"
    except OSError as error:
        message = str(error)
    for word in (str(out / "last.pt"), "could not be written", "untouched", "another folder", words):
        assert word in message, (word, message)
    assert same(left_by(out), before)
    assert sorted(os.listdir(out)) == ["best.pt", "history.json", "last.pt"], os.listdir(out)

folder = Path(sys.argv[1])
with contextlib.redirect_stdout(io.StringIO()):
    def stop(history):
        if history.steps[-1] == 5:
            signal.raise_signal(signal.SIGINT)
    run(folder / "a", on_eval=stop)
    # best.pt cannot be the one that fails: from here on no loss is as low
    saved = torch.load(folder / "a" / "last.pt")
    saved["history"]["val_loss"][0] = 0.0
    torch.save(saved, folder / "a" / "last.pt")
    before = left_by(folder / "a")
    shutil.copytree(folder / "a", folder / "b")
    run(shutil.copytree(folder / "a", folder / "c"), gpt(5), resume=True)  # without a limit it goes on

(folder / "a").chmod(0o555)
refused(folder / "a", before, "Permission denied")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = (folder / "b" / "last.pt").stat().st_size
for limit in (1, size // 2, size - 1000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    refused(folder / "b", before, "File too large")
print("ALL REFUSED")
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has neither such folders nor such limits")
def test_a_full_disk_and_a_read_only_folder_leave_the_old_checkpoint():
    folder = Path(tempfile.mkdtemp())  # pytest's own are closed to an ordinary user
    try:
        folder.chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", REFUSALS, str(folder)],
            capture_output=True,
            encoding="utf-8",
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "model")]),
            },
        )
        assert done.stdout.splitlines()[-1:] == ["ALL REFUSED"], done.stderr
    finally:
        shutil.rmtree(folder)


def test_a_disk_that_is_full_for_best_pt_or_history_says_so_too(tmp_path, monkeypatch):
    for number, name in enumerate(["best.pt", "last.pt", "history.json"], start=1):
        writings, real = [], os.replace

        def replace(source, target):
            writings.append(Path(target).name)
            if len(writings) == number:
                raise OSError(28, "No space left on device")
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            with pytest.raises(
                OSError, match=f"{name}.* could not be written .No space left.*another folder"
            ):
                run(tmp_path / name)
        assert writings[-1] == name
