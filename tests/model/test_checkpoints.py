"""Checkpoints: to resume equals never having stopped; whatever happens to a file, nothing is lost and nothing runs."""

import dataclasses
import io
import json
import math
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

from mygpt import train
from mygpt.checkpoints import load_checkpoint, load_model, load_pretrained, save_checkpoint
from mygpt.train import History, Interrupted, train
from mygpt_helpers import BigramLanguageModel, CharTokenizer

ROOT = Path(mygpt_train.__file__).resolve().parent


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


def test_a_run_of_the_first_version_which_kept_no_checksum_goes_on(tmp_path, uninterrupted):
    run(tmp_path, before_forward(gpt(), 6, interrupt))
    saved = load_checkpoint(tmp_path / "last.pt")
    del saved["texts"]
    save_checkpoint(tmp_path / "last.pt", saved)
    assert same(go_on(tmp_path, settings()), uninterrupted())


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
    del saved["seconds"]  # as an earlier version left it
    save_checkpoint(tmp_path / "last.pt", saved)
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


def test_resume_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="last.pt.*without resume"):
        run(tmp_path, resume=True)


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
        "import signal, torch\nfrom mygpt_helpers import BigramLanguageModel\nfrom mygpt_train import TrainConfig, train",
        "stop = lambda history: signal.raise_signal(signal.SIGINT)\ndata = torch.arange(100) % 65",
        "history = train(BigramLanguageModel(65), data, data, TrainConfig(steps=9, eval_interval=9), stop)",
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
    refused(
        out, pickle.dumps({"kind": mygpt_train.KIND, "model": code}), "damaged or no checkpoint"
    )
    refused(out, saved({"kind": mygpt_train.KIND, "model": code}), "damaged or no checkpoint")
    refused(
        out,
        saved({"kind": mygpt_train.KIND, "model": code}, _use_new_zipfile_serialization=False),
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
    steps=14,
    batch_size=8,
    block_size=4,
    learning_rate=0.02,
    eval_interval=4,
    seed=1,
    warmup_steps=2,
    min_learning_rate=None,
    weight_decay=0.2,
    beta2=0.98,
    grad_clip=None,
    patience=3,
    precision="bf16",
)
OTHER_SIZES = dict(
    vocab_size=8, block_size=9, n_layer=1, n_head=4, n_embd=16, dropout=0.1, bias=True
)


def test_another_configuration_is_refused_and_the_setting_named(tmp_path, stopped):
    path = tmp_path / "last.pt"
    path.write_bytes(stopped[0])
    assert OTHER_SETTINGS.keys() == {field.name for field in dataclasses.fields(settings())}
    assert OTHER_SIZES.keys() == {field.name for field in dataclasses.fields(gpt().config)}
    tries = [({name: value}, {}) for name, value in OTHER_SETTINGS.items()]
    tries += [({}, {name: value}) for name, value in OTHER_SIZES.items()]
    for changes, sizes in tries:
        ((name, value),) = (changes | sizes).items()
        with pytest.raises(
            ValueError, match=f"last.pt was made with {name} .* has {value}: .*another folder"
        ):
            run(tmp_path, gpt(**sizes), settings(**changes), resume=True)
        assert path.read_bytes() == stopped[0]


def test_another_text_or_another_model_is_refused(tmp_path, stopped):
    (tmp_path / "last.pt").write_bytes(stopped[0])
    with pytest.raises(ValueError, match="last.pt was made with another tokenizer.*same one"):
        train(
            gpt(),
            DATA,
            VAL,
            settings(),
            out=tmp_path,
            resume=True,
            tokenizer=CharTokenizer("abcdefh"),
        )
    both = torch.cat([DATA, VAL])
    for texts in (
        (DATA, VAL.flip(0)),
        (DATA.flip(0), VAL),
        (both[:200], both[200:]),
    ):  # of the same characters
        with pytest.raises(ValueError, match="another text"):
            train(gpt(), *texts, settings(), out=tmp_path, resume=True, tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="last.pt was made with"):
        train(
            BigramLanguageModel(7),
            DATA,
            VAL,
            settings(),
            out=tmp_path,
            resume=True,
            tokenizer=TOKENIZER,
        )
    assert (tmp_path / "last.pt").read_bytes() == stopped[0]
    train(BigramLanguageModel(7), DATA, VAL, settings(steps=5), out=tmp_path / "table")
    with pytest.raises(ValueError, match="last.pt holds the weights of another model"):
        train(
            BigramLanguageModel(8),
            DATA,
            VAL,
            settings(steps=5),
            out=tmp_path / "table",
            resume=True,
        )


def test_weights_alone_cannot_be_resumed(tmp_path, stopped):
    (tmp_path / "last.pt").write_bytes(stopped[1])
    with pytest.raises(ValueError, match="last.pt holds weights alone.*resume from last.pt"):
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
    set_validation_losses(monkeypatch, [4.0, 3.0, math.nan, 2.0, 2.0, 2.5])
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
    monkeypatch.setattr(mygpt_train, "DATA", tmp_path)
    weights = tmp_path / "tiny.safetensors"
    safetensors.torch.save_file(
        {name: value.half() for name, value in gpt().state_dict().items()}, weights
    )
    card = {"model_config": dataclasses.asdict(gpt().config), "chars": "abcdefg"}
    card["sha256"] = mygpt_train.hashlib.sha256(weights.read_bytes()).hexdigest()
    (tmp_path / "tiny.json").write_text(json.dumps(card), encoding="utf-8")
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
    with pytest.raises(FileNotFoundError, match="tiny.safetensors and tiny.json must both be"):
        load_pretrained("tiny")


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
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        )
        assert done.stdout.splitlines()[-1:] == ["ALL REFUSED"], done.stderr
    finally:
        shutil.rmtree(folder)


def test_a_disk_that_is_full_for_best_pt_or_history_says_so_too(tmp_path, monkeypatch):
    for number, name in enumerate(["best.pt", "last.pt", "history.json"], start=1):
        writings, real = [], mygpt_train.write_whole

        def write(path, content):
            writings.append(path.name)
            if len(writings) == number:
                raise OSError(28, "No space left on device")
            real(path, content)

        with monkeypatch.context() as patch:
            patch.setattr(mygpt_train, "write_whole", write)
            with pytest.raises(
                OSError, match=f"{name}.* could not be written .No space left.*another folder"
            ):
                run(tmp_path / name)
        assert writings[-1] == name
