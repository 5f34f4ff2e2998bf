"""The house's figures, the panel of controls and the loss ladder."""

import json
import math
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.utils.capture import capture_output
from ipywidgets import FloatSlider, Text

from mygpt import ladder, panel, plots
from mygpt.train import History
from mygpt_helpers import GPT, CharTokenizer, GPTConfig

matplotlib.use("agg")
ROOT = Path(__file__).resolve().parents[2]
HISTORY = History([0, 10, 20], [4.2, 3.0, 2.6], [4.1, 3.1, 2.7], [0.0, 1.0, 2.0])


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch):
    """What goes to the notebook: a list of (object, metadata, "new" or "update")."""
    shown = []

    class Handle:
        def update(self, value, **options):
            shown.append((value, options.get("metadata"), "update"))

    def display(value, **options):
        shown.append((value, options.get("metadata"), "new"))
        return Handle()

    for module in (plots, ladder, panel):
        monkeypatch.setattr(module, "display", display)
    return shown


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MYGPT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(ladder, "REFERENCE", tmp_path / "reference.json")
    return tmp_path / "runs"


def test_show_closes_the_figure_and_carries_the_alt_text(displayed):
    fig, _ = plt.subplots()
    plots.show(fig, alt="A line\n    that rises.")
    assert displayed == [(fig, {"image/png": {"alt": "A line that rises."}}, "new")]
    assert not plt.fignum_exists(fig.number)  # else the notebook draws it twice


def test_a_figure_without_alt_text_is_refused(displayed):
    fig, _ = plt.subplots()
    for empty in ("", "  \n"):
        with pytest.raises(ValueError, match="alt"):
            plots.show(fig, alt=empty)


def test_the_live_curve_redraws_one_output(displayed):
    live = plots.LiveCurve(lines={"uniform guess": 4.174})
    assert len(displayed) == 1  # its place, before any progress line
    live(HISTORY)
    live(HISTORY)
    assert [kind for _, _, kind in displayed] == ["new", "update", "update"]
    alt = displayed[-1][1]["image/png"]["alt"]
    assert "4.10 to 2.70" in alt and "4.20 to 2.60" in alt and "uniform guess at 4.174" in alt
    assert not plt.get_fignums()


def test_the_loss_curve_draws_both_losses_and_the_levels():
    ax = plots.loss_curve(HISTORY, lines={"bigram": 2.5}).axes[0]
    train_line, val_line, level = ax.get_lines()
    assert list(train_line.get_ydata()) == HISTORY.train_loss
    assert list(val_line.get_ydata()) == HISTORY.val_loss
    assert set(level.get_ydata()) == {2.5}
    assert "nats" in ax.get_ylabel() and ax.get_xlabel() == "step"


def test_every_level_line_is_drawn():
    levels = {f"level {n}": 1 + n / 10 for n in range(5)}
    lines = plots.loss_curve(HISTORY, lines=levels).axes[0].get_lines()
    assert len(lines) == 2 + 5


BAND = [(0, 4.0, 4.3), (10, 3.0, 3.4), (20, 2.55, 2.75)]


def test_a_run_is_drawn_over_the_band_with_its_verdict():
    ax = plots.plot_history(HISTORY, BAND, "healthy: inside the band").axes[0]
    train_line, val_line = ax.get_lines()
    assert list(train_line.get_ydata()) == HISTORY.train_loss
    assert list(val_line.get_ydata()) == HISTORY.val_loss
    corners = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices.tolist()}
    assert {(step, edge) for step, low, high in BAND for edge in (low, high)} <= corners
    assert ax.get_title(loc="left") == "healthy: inside the band" and "nats" in ax.get_ylabel()
    low, high = ax.get_ylim()  # the first evaluation is cut off
    assert 2.4 < low < 2.55 and 3.4 < high < 3.6


def test_a_run_of_one_evaluation_or_without_numbers_is_drawn_too():
    for history in (
        History([0], [4.2], [4.1], [0.0]),
        History([0, 5], [4.2, float("nan")], [4.1, float("inf")], [0.0, 1.0]),
    ):
        low, high = plots.plot_history(history, BAND, "diverged").axes[0].get_ylim()
        assert 2.4 < low < 2.55 and 3.4 < high < 3.6


def test_small_runs_share_a_figure():
    fig, axes = plt.subplots(1, 2)
    assert plots.plot_history(HISTORY, BAND, "A", axes[1]) is fig and not axes[0].get_lines()


def test_the_alt_text_of_a_run_over_the_band_has_its_numbers():
    alt = plots.plot_history_alt(HISTORY, BAND, "healthy: inside the band")
    for words in ("2.700", "2.600", "2.550 to 2.750", "to 20.", "healthy: inside the band"):
        assert words in alt


def test_a_reference_of_one_run_has_no_band_to_draw():
    ax = plots.plot_history(HISTORY, [], "learning").axes[0]
    labels = [line.get_label() for line in ax.get_lines()]
    assert not ax.collections and labels == ["training batches", "validation text"]
    assert "band" not in plots.plot_history_alt(HISTORY, [], "learning")


def test_the_heat_map_has_characters_on_both_axes():
    fig, ax = plots.heat_map(torch.rand(2, 3), "a\n", "b c", title="t", xlabel="x", ylabel="y")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "↵"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b", "␣", "c"]
    assert fig is ax.figure


def pixels(ax):
    """The colour of each cell of a heat map, as drawn: (rows, columns, 4)."""
    image = ax.images[0]
    return image.to_rgba(image.get_array())


def test_what_the_mask_removes_is_white_and_nothing_else_is():
    weights = torch.rand(6, 6).tril().add(torch.eye(6)).softmax(-1).tril()
    weights[5, 0] = 1e-9  # tiny, but not zero
    _, ax = plots.heat_map(weights, "abcdef", vmin=0, vmax=1)
    transparent = pixels(ax)[..., 3] == 0  # on a white ground
    assert (transparent == (weights == 0).numpy()).all()
    assert ax.get_facecolor() == (1, 1, 1, 1) and transparent.sum() == 15


def test_zero_is_a_value_like_others_where_values_may_be_negative():
    _, ax = plots.heat_map(torch.tensor([[-1.0, 0.0], [0.0, -math.inf]]), "ab")
    assert (pixels(ax)[..., 3] == [[1, 1], [1, 0]]).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, bool])
def test_a_heat_map_takes_numbers_of_any_kind(dtype):
    values = torch.tensor([[0, 1], [2, 3]])
    values = values.bool() if dtype is bool else values.to(dtype)
    for given in (values, values.float().numpy(), values.tolist()):
        _, ax = plots.heat_map(given, "ab")
        assert ax.images[0].get_array()[1, 1] == float(values[1, 1])


def test_letters_of_a_long_line_do_not_touch():
    fig, ax = plots.heat_map(torch.rand(64, 64), "m" * 64)
    fig.draw_without_rendering()
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:]))


def test_figures_need_no_widgets():
    code = "import sys; sys.modules['ipywidgets'] = None; from mygpt import plots, ladder"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_symbol_table_shows_the_real_values(displayed):
    plots.symbol_table(V=(65, "characters"), N=(1115394, "all"))
    table = displayed[0][0].data
    assert "| $V$ | characters | 65 |" in table and "1,115,394" in table


# ----------------------------------------------------------------------------- controls


def test_a_figure_follows_its_controls_and_says_what_it_cannot_draw(displayed):
    factor = FloatSlider(1, min=0, max=9)
    line = Text("abc")

    def draw(factor, line):
        if "z" in line:
            raise ValueError("'z' is not among the 65 characters")
        return plt.subplots()[0], f"{line} times {factor}."

    panel.interactive(draw, factor=factor, line=line)
    factor.value = 2
    assert displayed[-1][1]["image/png"]["alt"] == "abc times 2.0."
    line.value = "abz"
    assert displayed[-1][0] == {"text/plain": "'z' is not among the 65 characters."}
    line.value = "ab"
    assert displayed[-1][1]["image/png"]["alt"] == "ab times 2.0."
    assert [kind for *_, kind in displayed] == ["new", "new", "update", "update", "update"]
    assert not plt.get_fignums()


@pytest.fixture
def writing(displayed):
    """A panel over a small untrained model: widgets by name, what it showed, model, tokenizer."""
    torch.manual_seed(0)
    tokenizer = CharTokenizer("\n abcde")
    model = GPT(GPTConfig(tokenizer.vocab_size, 8, 1, 2, 12, dropout=0.0))
    panel.writing_panel(model, tokenizer, prompt="abc", temperature=1.5, length=20, seed=3)
    return widgets_of(displayed), displayed, model, tokenizer


def widgets_of(displayed):
    return {widget.description.split(" (")[0]: widget for widget in displayed[0][0].children}


def expected(model, tokenizer, prompt, n, seed, **settings):
    idx = torch.tensor([tokenizer.encode(prompt)])
    generator = torch.Generator().manual_seed(seed)
    return tokenizer.decode(model.generate(idx, n, **settings, generator=generator)[0])


def test_the_panel_writes_once_by_itself(writing):
    widgets, displayed, model, tokenizer = writing
    labels = {"prompt", "temperature", "top-k", "top-p", "length", "seed", "Write"}
    assert set(widgets) == labels
    sentence = "Interactive controls: they work while the notebook is running."
    assert repr(displayed[0][0]) == sentence  # what a page without widgets shows
    right = expected(model, tokenizer, "abc", 20, 3, temperature=1.5)
    assert displayed[-1][0] == {"text/plain": right}


def test_the_panel_follows_its_controls(writing):
    widgets, displayed, model, tokenizer = writing
    for changes in (
        dict(top_k=2),
        dict(top_p=0.4),
        dict(temperature=0),
        dict(seed=4),
        dict(length=7),
        dict(prompt="e\n"),
    ):
        for name, value in changes.items():
            widgets[name.replace("_", "-")].value = value
        widgets["Write"].click()
        now = {name: widget.value for name, widget in widgets.items() if name != "Write"}
        settings = dict(temperature=now["temperature"], top_k=now["top-k"], top_p=now["top-p"])
        right = expected(model, tokenizer, now["prompt"], now["length"], now["seed"], **settings)
        assert displayed[-1][::2] == ({"text/plain": right}, "update")


def test_the_panel_streams(writing, monkeypatch):
    widgets, displayed, model, tokenizer = writing
    ticks = iter(range(1000))  # a second between any two looks
    monkeypatch.setattr(panel, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    before = len(displayed)
    widgets["Write"].click()
    texts = [value["text/plain"] for value, _, _ in displayed[before:]]
    assert [len(text) for text in texts] == [*range(4, 24), 23]
    assert all(b.startswith(a) for a, b in zip(texts, texts[1:]))


@pytest.mark.parametrize(
    "prompt, words", [("abz", "'z' (position 2)"), ("", "the prompt is empty")]
)
def test_the_panel_says_what_cannot_be_written(writing, prompt, words):
    widgets, displayed, *_ = writing
    widgets["prompt"].value = prompt
    widgets["Write"].click()
    said = displayed[-1][0]["text/plain"]
    assert said.startswith("Nothing was written: ") and words in said
    widgets["prompt"].value = "ab"
    widgets["Write"].click()
    assert displayed[-1][0]["text/plain"].startswith("ab")  # and it goes on


def test_a_model_that_has_diverged_is_answered_with_a_sentence(writing):
    widgets, displayed, model, _ = writing
    model.ln_f.weight.data.fill_(float("nan"))
    for temperature in (1, 0):
        widgets["temperature"].value = temperature
        widgets["Write"].click()
        assert displayed[-1][0]["text/plain"].startswith("Nothing was written: the model")


def test_a_prompt_outside_the_vocabulary_is_replaced_at_the_start(displayed):
    tokenizer = CharTokenizer("abcdé")
    model = GPT(GPTConfig(tokenizer.vocab_size, 8, 1, 2, 12, dropout=0.0))
    panel.writing_panel(model, tokenizer, length=5)  # ROMEO is not in this alphabet
    assert widgets_of(displayed)["prompt"].value == "a"
    assert len(displayed[-1][0]["text/plain"]) == 6


class Bytes:
    """A tokenizer whose tokens are bytes: no token of an é is a whole character."""

    vocab_size = 256

    def encode(self, text):
        return list(text.encode("utf-8"))

    def decode(self, ids):
        return bytes(ids).decode("utf-8")


class Writer(torch.nn.Linear):
    """A model that writes one text."""

    def __init__(self, text):
        super().__init__(1, 1)
        self.ids = Bytes().encode(text)

    def stream(self, idx, length, **settings):
        yield from (torch.tensor([[i]]) for i in self.ids[:length])


def test_tokens_may_end_inside_a_character(displayed, monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(panel, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    panel.writing_panel(Writer("né: 象."), Bytes(), prompt="x", length=100)
    texts = [value["text/plain"] for value, _, kind in displayed if kind == "update"]
    whole = "xné: 象."
    assert texts[-1] == whole and all(whole.startswith(text) for text in texts)
    widgets = widgets_of(displayed)
    widgets["length"].value = 2  # ends with half an é
    widgets["Write"].click()
    assert displayed[-1][0]["text/plain"] == "xn"


# ----------------------------------------------------------------------------- ladder


def reference(**losses):
    """Let the reference run have these losses."""
    rungs = {
        stage: dict(loss=loss, error=None, sample=None, parameters=1)
        for stage, loss in losses.items()
    }
    ladder.REFERENCE.write_text(json.dumps(rungs), encoding="utf-8")


def test_yours_is_beside_the_reference(runs, displayed):
    reference(uniform=4.174, unigram=3.35, bigram=2.48, five_gram=1.67, single_head=2.4)
    ladder.add_rung("bigram", 2.51, 0.007, "\nROMEO: é", 4225, "laptop")
    found = ladder.rungs(up_to="five_gram")
    assert [(rung["source"], rung["loss"], rung["reference"]) for rung in found] == [
        ("reference", 4.174, 4.174),
        ("reference", 3.35, 3.35),
        ("yours", 2.51, 2.48),
        ("reference", 1.67, 1.67),
    ]
    ladder.show_losses(up_to="five_gram")
    (fig, metadata, _), (table, _, _) = displayed
    alt = metadata["image/png"]["alt"]
    assert "bigram (01) 2.510, above the 5-gram" in alt and "uniform guess 4.174" in alt
    assert "TinyShakespeare" in alt and "TinyShakespeare" in fig.axes[0].get_xlabel()
    # 2.51 / ln 2 = 3.621 bits, e^2.51 = 12.3, and 2.51 - 1.67 = 0.84
    row = "| bigram (01) | yours | 2.510 | 0.007 | 3.621 | 12.3 | 4,225 | 2.480 | no, 0.840 above it |"
    assert row in table.data


def test_networks_are_bars_and_counted_models_are_lines(runs):
    reference(uniform=4.17, bigram_counts=2.49, bigram=2.48, five_gram=1.67, full=1.6)
    ax = plots.loss_ladder(ladder.rungs("full")).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "bigram (01)",
        "full training (07)",
    ]
    assert [bar.get_width() for bar in ax.patches] == [2.48, 1.6]
    drawn = {line.get_paths()[0].vertices[0, 0] for line in ax.collections}
    assert {4.17, 2.49, 1.67} <= drawn


def test_each_network_says_on_which_side_of_the_five_gram_it_is(runs, displayed):
    reference(bigram=2.48, five_gram=1.67, blocks=1.9, full=1.6)
    ladder.show_losses("full")
    (_, metadata, _), (table, _, _) = displayed
    for words in ("blocks (05) 1.900, above the 5-gram", "(07) 1.600, beats the 5-gram"):
        assert words in metadata["image/png"]["alt"]
    assert "| no, 0.230 above it |" in table.data and "| yes, by 0.070 |" in table.data
    # Before the course comes to the 5-gram, nothing is said of it.
    displayed.clear()
    ladder.show_losses("bigram")
    (_, metadata, _), (table, _, _) = displayed
    assert "5-gram counts" not in table.data and "5-gram" not in metadata["image/png"]["alt"]


def test_labels_of_the_level_lines_never_meet(runs):
    levels = dict(zip(ladder.COUNTED, (1.66, 1.67, 1.671, 1.68, 1.69)))
    reference(**levels, bigram=2.48)
    fig = plots.loss_ladder(ladder.rungs("full"))
    fig.draw_without_rendering()
    ax = fig.axes[0]
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 6  # five levels and the number on the bar
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1 for box in boxes)


def test_samples_are_shown_in_order(runs, capsys):
    ladder.add_rung("bigram", 2.5, sample="second é")
    ladder.add_rung("unigram", 3.3, sample="first")
    ladder.show_samples(up_to="full")
    out = capsys.readouterr().out
    assert out.index("first") < out.index("second é")


def test_a_later_rung_replaces_an_earlier_and_leaves_the_others(runs):
    for stage, loss in (("bigram", 2.6), ("blocks", 2.0), ("bigram", 2.5)):
        ladder.add_rung(stage, loss)
    losses = {stage: rung["loss"] for stage, rung in ladder.own_rungs().items()}
    assert losses == {"bigram": 2.5, "blocks": 2.0}
    files = sorted(path.name for path in (runs / "ladder").iterdir())
    assert files == ["bigram.json", "blocks.json"]  # and no temporary file


WRITE_100 = """
import sys
from mygpt import ladder
for n in range(100):
    stage = (sys.argv[1], "full")[n % 2]
    ladder.add_rung(stage, 2 + n / 1000)
    assert stage in ladder.own_rungs()
"""


def test_two_notebooks_at_once_lose_nothing(runs):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([sys.executable, "-c", WRITE_100, stage], env=environment)
        for stage in ("bigram", "blocks")
    ]
    assert [process.wait() for process in both] == [0, 0]
    losses = {stage: rung["loss"] for stage, rung in ladder.own_rungs().items()}
    assert losses == {"bigram": 2.098, "blocks": 2.098, "full": 2.099}


@pytest.mark.parametrize(
    "loss", [2.5, np.float32(2.5), np.array([2.5]), torch.tensor(2.5), torch.tensor([[2.5]])]
)
def test_losses_of_any_kind_are_taken(runs, loss):
    ladder.add_rung("bigram", loss, error=loss, parameters=np.int64(4225))
    assert ladder.rungs("bigram")[0]["loss"] == ladder.rungs("bigram")[0]["error"] == 2.5
    assert ladder.rungs("bigram")[0]["parameters"] == 4225


def test_a_trained_tensor_is_taken(runs):
    ladder.add_rung("bigram", torch.tensor(2.5, requires_grad=True) * 1)
    assert ladder.rungs("bigram")[0]["loss"] == 2.5


def test_a_smoke_run_replaces_nothing(runs, capsys):
    ladder.add_rung("bigram", 2.5, speed="laptop")
    assert capsys.readouterr().out == ""
    ladder.add_rung("bigram", 4.6, speed="smoke")
    assert ladder.rungs("bigram")[0]["loss"] == 2.5
    assert "'bigram' was not saved" in capsys.readouterr().out


def test_another_text_is_not_on_the_ladder(runs, capsys):
    ladder.add_rung("bigram", 2.5, text="my.txt")
    assert "TinyShakespeare" in capsys.readouterr().out
    assert ladder.rungs("bigram") == []


def test_a_ladder_that_cannot_be_written_loses_the_rung_and_not_the_cell(runs, capsys):
    runs.write_text("a file where the folder should be")
    ladder.add_rung("bigram", 2.5)
    said = capsys.readouterr().out
    assert "'bigram' was not saved" in said and str(runs) in said and "MYGPT_RUNS" in said
    assert ladder.rungs("bigram") == []  # and the ladder can still be shown


def test_what_is_no_stage_is_refused(runs):
    calls = (
        lambda x: ladder.add_rung(x, 2.5),
        ladder.rungs,
        ladder.show_losses,
        ladder.show_samples,
    )
    for call in calls:
        with pytest.raises(ValueError, match="unknown stage 'x': choose from uniform, unigram, "):
            call("x")


@pytest.mark.parametrize(
    "loss", [math.nan, math.inf, None, "low", torch.tensor([1.0, 2.0]), np.array([1.0, 2.0])]
)
def test_what_is_no_loss_is_refused(runs, loss):
    with pytest.raises(ValueError, match="the loss of stage 'bigram' is .*one finite number"):
        ladder.add_rung("bigram", loss)
    with pytest.raises(ValueError, match="loss"):
        ladder.add_rung("bigram", loss, speed="smoke")
    assert not runs.exists()


@pytest.mark.parametrize("damaged", ["{half", "[]", '{"loss": 2.4}', '{"loss": null}'])
def test_a_damaged_rung_is_named_and_can_be_replaced(runs, damaged):
    path = runs / "ladder" / "bigram.json"
    path.parent.mkdir(parents=True)
    path.write_text(damaged, encoding="utf-8")
    with pytest.raises(ValueError, match="bigram.json is damaged"):
        ladder.rungs(up_to="bigram")
    ladder.add_rung("bigram", 2.5)
    assert ladder.rungs(up_to="bigram")[0]["loss"] == 2.5


def test_in_a_plain_terminal_figures_do_not_crash():
    with capture_output():
        plots.show(plt.subplots()[0], alt="An empty pair of axes.")
