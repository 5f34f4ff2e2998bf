"""The command line: what a person types, what it answers, and how it ends."""

import contextlib
import io
import math
import os
import re
import signal
import subprocess
import sys

import pytest
import tiny_run
import torch
from tiny_run import settings

from mygpt.__main__ import main
from mygpt.checkpoints import load_checkpoint, load_model
from mygpt.files import ROOT
from mygpt.text import TextUnavailable
from mygpt.train import PRESETS
from mygpt_helpers import CharTokenizer

TEXT = "To be, or not to be: that is the question.\n" * 40


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command line in this process, on a short text: its exit status, output and error."""
    monkeypatch.setattr("mygpt.__main__.load_text", lambda name: TEXT)
    monkeypatch.delenv("MYGPT_DEVICE", raising=False)

    def run(*arguments):
        torch.seed()  # whatever went before
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as exit:
            code = exit.code or 0
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        # Python prints what sys.exit was given, if it is a sentence, and ends with 1
        return (1, said.out, code) if isinstance(code, str) else (code, said.out, said.err)

    return run


TRAIN = ["train", "--preset", "smoke", "--device", "cpu", "--precision", "fp32"]

# ----------------------------------------------------------------------------- train and sample


def test_the_command_line_trains_and_samples(command, tmp_path):
    out = tmp_path / "run"
    code, said, _ = command(*TRAIN, "--out", out, "--steps", 25)
    assert code == 0 and "device cpu, fp32, 1 process(es)" in said and f"{out}/best.pt" in said
    saved = load_checkpoint(out / "last.pt")
    assert saved["step"] == 25 and saved["history"]["steps"] == [0, 20, 25]
    assert saved["tokenizer"]["chars"] == "".join(sorted(set(TEXT)))
    assert saved["history"]["val_loss"][-1] < 2.7
    sample = ["sample", "--checkpoint", out, "--prompt", "To be", "--length", 40, "--top-k", 5]
    code, said, _ = command(*sample)
    assert code == 0 and said.startswith("To be") and len(said) == len("To be") + 40 + 1
    assert command(*sample)[1] == said != command(*sample, "--seed", 1)[1]
    greedy = [*sample, "--temperature", 0]
    assert command(*greedy)[1] == command(*greedy, "--seed", 1)[1]


def test_the_sizes_of_the_model_can_be_chosen(command, tmp_path):
    sizes = dict(n_layer=1, n_head=4, n_embd=16, block_size=20, dropout=0.3)
    options = [word for name, value in sizes.items() for word in (option(name), value)]
    code, _, _ = command(*TRAIN, "--steps", 2, "--out", tmp_path, *options)
    saved = load_checkpoint(tmp_path / "last.pt")
    assert code == 0 and sizes.items() <= saved["model_config"].items()
    assert saved["train_config"]["block_size"] == 20


def option(name):
    return f"--{name.replace('_', '-')}"


def test_another_learning_rate_keeps_the_shape_of_the_cosine_unless_its_end_is_given(
    command, tmp_path
):
    few = [*TRAIN, "--steps", 2, "--learning-rate", 0.01]
    command(*few, "--out", tmp_path / "a")
    command(*few, "--out", tmp_path / "b", "--min-learning-rate", 0.005)
    ends = [load_checkpoint(tmp_path / name / "last.pt")["train_config"] for name in "ab"]
    assert [end["min_learning_rate"] for end in ends] == [pytest.approx(0.001), 0.005]


def test_the_command_line_resumes_to_the_same_end_and_the_seed_decides_it(
    command, tmp_path, monkeypatch
):
    whole, halves, other = (tmp_path / name for name in ("whole", "halves", "other"))
    asked = [*TRAIN, "--steps", 22]
    command(*asked, "--out", whole)
    with monkeypatch.context() as patch:
        interrupt_at(20, patch)
        code, said, _ = command(*asked, "--out", halves)
    assert code == 130 and "interrupted after step 20 of 22" in said and "--resume" in said
    code, _, error = command(*asked, "--out", halves)
    assert code == 1 and f"{halves} holds a run already" in error and "--resume" in error
    assert command(*asked, "--out", halves, "--resume")[0] == 0
    assert tiny_run.same(tiny_run.left_by(halves), tiny_run.left_by(whole))
    command(*asked, "--out", other, "--seed", 5)
    theirs, ours = (tiny_run.left_by(out)["last.pt"]["model"] for out in (other, whole))
    assert not tiny_run.same(theirs, ours)


def interrupt_at(step, patch):
    """Press Ctrl-C when history.json is written at this step."""
    from mygpt.train import History

    save = History.save

    def and_stop(history, path):
        save(history, path)
        if history.steps[-1] == step:
            signal.raise_signal(signal.SIGINT)

    patch.setattr(History, "save", and_stop)


def test_resume_with_nothing_there_yet_begins_and_says_so(command, tmp_path):
    again = [*TRAIN, "--out", tmp_path / "run", "--steps", 20, "--resume"]
    code, said, _ = command(*again)
    assert code == 0 and f"There is no run in {tmp_path / 'run'} yet: it begins" in said
    whole = tiny_run.left_by(tmp_path / "run")
    code, said, _ = command(*again)  # as a scheduler repeats it
    assert code == 0 and "it begins" not in said
    assert tiny_run.same(tiny_run.left_by(tmp_path / "run"), whole)


def test_a_finished_run_goes_on_to_more_steps(command, tmp_path):
    command(*TRAIN, "--out", tmp_path, "--steps", 20)
    code, said, _ = command(*TRAIN, "--out", tmp_path, "--steps", 40, "--resume")
    assert code == 0 and "40 steps instead of 20" in said and "learning rate" in said
    assert load_checkpoint(tmp_path / "last.pt")["history"]["steps"] == [0, 20, 40]


def test_the_remedy_for_another_setting_is_one_that_can_be_typed(command, tmp_path):
    command(*TRAIN, "--out", tmp_path, "--steps", 20, "--batch-size", 4)
    code, _, error = command(
        *TRAIN, "--out", tmp_path, "--steps", 20, "--resume", "--learning-rate", 1e-2
    )
    assert code == 1 and "learning_rate 0.003" in error and "has" in error
    options = re.search(r"on the command line (.*?)\)", error)[1].split()
    assert {"--learning-rate", "--batch-size"} <= set(options)
    assert command(*TRAIN, "--out", tmp_path, "--steps", 20, "--resume", *options)[0] == 0


def test_a_run_that_diverges_ends_with_an_error(command, tmp_path):
    code, _, error = command(*TRAIN, "--out", tmp_path, "--learning-rate", 1e6)
    assert code == 1 and "diverged by step 20" in error and "lower than 1e+06" in error
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 0
    weights = load_model(tmp_path)[0].state_dict().values()
    assert all(weight.isfinite().all() for weight in weights)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--steps", 0], "steps is 0: it must be an int of at least 1"),
        (["--learning-rate", -1], "learning_rate is -1.0"),
        (["--batch-size", 0], "batch_size is 0"),
        (["--n-embd", 33], "n_embd 33 is not divisible by n_head 2"),
        (["--preset", "huge"], "invalid choice: 'huge'"),
        (["--precision", "fp8"], "invalid choice: 'fp8'"),
        (["--device", "gpu"], "invalid choice: 'gpu'"),
        (["--steps", "many"], "invalid int value: 'many'"),
        (["--out", __file__], "test_command_line.py is a file: give a folder"),
    ],
)
def test_bad_values_for_train_end_with_a_sentence(command, tmp_path, arguments, words):
    code, _, error = command(*TRAIN, "--out", tmp_path, *arguments)
    assert code in (1, 2) and re.search(words, error), error


def test_a_variable_that_names_no_device_is_a_sentence(command, tmp_path, monkeypatch):
    monkeypatch.setenv("MYGPT_DEVICE", "gpu")
    code, _, error = command("train", "--preset", "smoke", "--out", tmp_path)
    assert code == 1 and "'gpu': it must be one of cuda, mps, cpu" in error


def test_a_text_that_cannot_be_had_is_a_sentence(command, tmp_path, monkeypatch):
    def closed(name):
        raise TextUnavailable("what was tried, and what to do by hand")

    monkeypatch.setattr("mygpt.__main__.load_text", closed)
    assert command(*TRAIN, "--out", tmp_path)[::2] == (1, "what was tried, and what to do by hand")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--prompt", "Ö"], "'Ö' .* is not among"),
        (["--prompt", ""], "the prompt is empty"),
        (["--temperature", -1], "temperature is -1.0"),
        (["--top-k", 0], "top_k is 0"),
        (["--top-p", 1.5], "top_p is 1.5"),
        (["--length", -5], "max_new_tokens is -5"),
        (["--checkpoint", "nowhere.pt"], "there is no checkpoint nowhere.pt: check the name"),
        (["--checkpoint", "nowhere.safetensors"], "there is no file nowhere.safetensors: check"),
        (["--checkpoint", __file__], "test_command_line.py is damaged or no checkpoint"),
        (["--checkpoint", "."], "there is no checkpoint best.pt"),
    ],
)
def test_bad_values_for_sample_end_with_a_sentence(command, tmp_path, arguments, words):
    tiny_run.run(tmp_path, config=settings(steps=1, warmup_steps=0))
    code, _, error = command(
        "sample", "--checkpoint", tmp_path / "last.pt", "--prompt", "abc", *arguments
    )
    assert code == 1 and re.search(words, error), error


@pytest.mark.parametrize(
    "typed, begins",
    [
        (r"--prompt=A\nB", "A\nB"),
        (r"--prompt=\\n", r"\n"),
        (r"--prompt=\tA", "\tA"),
        ("--prompt=--A", "--A"),
        (r"--prompt=\A", r"\A"),
        (None, "\n"),
    ],
)
def test_a_prompt_may_hold_newlines_and_begin_with_dashes(command, tmp_path, typed, begins):
    write_with("\n\t\\-ABn", tmp_path)
    code, said, error = command(*filter(None, ["sample", "--checkpoint", tmp_path, typed]))
    assert code == 0 and said.startswith(begins), error


def write_with(chars, out):
    """Leave a run in `out` whose vocabulary is these characters."""
    torch.manual_seed(0)
    model, ids = tiny_run.gpt(vocab_size=len(chars)), torch.arange(300) % len(chars)
    config = settings(steps=1, warmup_steps=0)
    with contextlib.redirect_stdout(io.StringIO()):
        tiny_run.train(model, ids, ids, config, out=out, tokenizer=CharTokenizer(chars))


def test_without_a_newline_in_the_vocabulary_the_first_character_begins(command, tmp_path):
    write_with("xyz", tmp_path)
    code, said, _ = command("sample", "--checkpoint", tmp_path, "--length", 30)
    assert code == 0 and re.fullmatch("x[xyz]{30}\n", said)


def test_the_help_explains_every_option_and_every_preset(command):
    for name in ("text", "train", "sample"):
        code, said, _ = command(name, "--help")
        assert code == 0
        said = said[said.index("options:") if name != "text" else said.index("TEXT") :]
        for line in re.findall(r"\n  (-.*(?:\n {10,}.*)*)", said):
            assert re.search(r"(  |\n) +\S|  \S", line), f"{name}: {line!r} is not explained"
    code, said, _ = command("train", "--help")
    for preset in PRESETS:
        assert re.search(rf"\n  {preset} +\S", said), preset


# ----------------------------------------------------------------------------- as a program


def program(*arguments, **more):
    """The command line in a process of its own, and nobody's settings but ours."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= more.pop("env", {})
    command = [sys.executable, "-m", "mygpt", *map(str, arguments)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return subprocess.Popen(command, env=environment, **pipes | more)


@pytest.mark.skipif(os.name != "posix", reason="a pipe ends otherwise on Windows")
@pytest.mark.parametrize("command", ["train", "sample", "--help"])
def test_a_reader_who_goes_away_ends_the_command_quietly(tmp_path, command):
    text = own_text(tmp_path)
    write_with("abcd", tmp_path / "written")
    arguments = {
        "train": ["--preset", "smoke", "--steps", 10**6, "--out", tmp_path, "--text", text],
        "sample": ["--checkpoint", tmp_path / "written", "--length", 10**6],
        "--help": [],
    }
    process = program(command, *arguments[command])
    if command != "--help":  # that one ends before anybody could go away
        process.stdout.read(1)
    process.stdout.close()
    error = process.stderr.read().decode()
    assert process.wait(timeout=120) in (0, 141) and error == ""


def own_text(folder):
    path = folder / "own.txt"
    path.write_text("abc " * 500, encoding="utf-8")
    return path


@pytest.mark.skipif(os.name != "posix", reason="sends a signal as Unix has it")
def test_ctrl_c_ends_sample_quietly(tmp_path):
    write_with("abcd", tmp_path)
    process = program("sample", "--checkpoint", tmp_path, "--length", 10**6)
    process.stdout.read(100)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130 and error == b""


def test_a_console_that_cannot_show_a_character_gets_a_question_mark(tmp_path):
    write_with("aé→", tmp_path)
    process = program(
        "sample", "--checkpoint", tmp_path, "--length", 50, env={"PYTHONIOENCODING": "ascii"}
    )
    said, error = process.communicate(timeout=120)
    assert process.returncode == 0 and error == b""
    assert b"?" in said and set(said.decode("ascii").strip()) <= set("a?")


def test_a_text_of_one_s_own_is_trained_on_and_written(tmp_path):
    train = program(
        *["train", "--preset", "smoke", "--device", "cpu", "--text", own_text(tmp_path)],
        *["--out", tmp_path / "r"],
    )
    said, error = train.communicate(timeout=300)
    assert train.returncode == 0, error.decode()
    sample = program("sample", "--checkpoint", tmp_path / "r", "--length", 40)
    said, error = sample.communicate(timeout=120)
    assert sample.returncode == 0, error.decode()
    written = said.decode().removesuffix("\n")
    assert len(written) == 41 and set(written) <= set("abc ")
    losses = load_checkpoint(tmp_path / "r" / "last.pt")["history"]["val_loss"]
    assert losses[-1] < 0.5 < math.log(4) - 0.5 < losses[0]
