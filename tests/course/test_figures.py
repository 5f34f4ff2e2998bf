"""The house's figures and the ladder."""

import json

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
from IPython.utils.capture import capture_output

from mygpt import ladder, plots
from mygpt.train import History
from mygpt_helpers import GPT, CharTokenizer, GPTConfig

matplotlib.use("agg")
HISTORY = History([0, 10, 20], [4.2, 3.0, 2.6], [4.1, 3.1, 2.7], [0.0, 1.0, 2.0])


@pytest.fixture
def displayed(monkeypatch):
    """What goes to the notebook: a list of (object, metadata) instead of a kernel's messages."""
    plt.close("all")
    shown = []

    class Handle:
        def update(self, value, **options):
            shown.append((value, options.get("metadata"), "update"))

    def display(value, **options):
        shown.append((value, options.get("metadata"), "new"))
        return Handle()

    monkeypatch.setattr(plots, "display", display)
    monkeypatch.setattr(ladder, "display", display)
    return shown


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MYGPT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(ladder, "REFERENCE", tmp_path / "reference.json")
    return tmp_path / "runs"


def test_show_closes_the_figure_and_carries_the_alt_text(displayed):
    fig, _ = plt.subplots()
    plots.show(
        fig,
        alt="""A line
        that rises.""",
    )
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
    assert (
        list(train_line.get_ydata()) == HISTORY.train_loss
        and list(val_line.get_ydata()) == HISTORY.val_loss
    )
    assert (
        set(level.get_ydata()) == {2.5} and "nats" in ax.get_ylabel() and ax.get_xlabel() == "step"
    )


BAND = [(0, 4.0, 4.3), (10, 3.0, 3.4), (20, 2.55, 2.75)]


def test_a_run_is_drawn_over_the_band_with_its_verdict():
    ax = plots.plot_history(HISTORY, BAND, "healthy: inside the band").axes[0]
    train_line, val_line = ax.get_lines()
    assert (
        list(train_line.get_ydata()) == HISTORY.train_loss
        and list(val_line.get_ydata()) == HISTORY.val_loss
    )
    corners = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices.tolist()}
    assert {(step, edge) for step, low, high in BAND for edge in (low, high)} <= corners
    assert ax.get_title(loc="left") == "healthy: inside the band" and "nats" in ax.get_ylabel()
    assert (
        2.4 < ax.get_ylim()[0] < 2.55 and 3.4 < ax.get_ylim()[1] < 3.6
    )  # the first evaluation is cut off


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
    assert all(
        words in alt
        for words in ("2.700", "2.600", "2.550 to 2.750", "to 20.", "healthy: inside the band")
    )


def test_a_reference_of_one_run_has_no_band_to_draw():
    ax = plots.plot_history(HISTORY, [], "learning").axes[0]
    assert not ax.collections and [line.get_label() for line in ax.get_lines()] == [
        "training batches",
        "validation text",
    ]
    assert "band" not in plots.plot_history_alt(HISTORY, [], "learning")


def test_the_heat_map_has_characters_on_both_axes():
    fig, ax = plots.heat_map(torch.rand(2, 3), "a\n", "b c", title="t", xlabel="x", ylabel="y")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "↵"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b", "␣", "c"]
    assert fig is ax.figure


def test_the_symbol_table_shows_the_real_values(displayed):
    plots.symbol_table(V=(65, "characters"), N=(1115394, "all"))
    table = displayed[0][0].data
    assert "| $V$ | characters | 65 |" in table and "1,115,394" in table


# ----------------------------------------------------------------------------- the panel that writes


@pytest.fixture
def panel(displayed):
    """A panel over a small untrained model: its widgets by name, what it showed, the model and the tokenizer."""
    torch.manual_seed(0)
    tokenizer = CharTokenizer("\n abcde")
    model = GPT(GPTConfig(tokenizer.vocab_size, 8, 1, 2, 12, dropout=0.0))
    plots.writing_panel(model, tokenizer, prompt="abc", temperature=1.5, length=20, seed=3)
    controls = displayed[0][0]
    return (
        {widget.description.split(" (")[0]: widget for widget in controls.children},
        displayed,
        model,
        tokenizer,
    )


def expected(model, tokenizer, prompt, n, seed, **settings):
    idx = torch.tensor([tokenizer.encode(prompt)])
    return tokenizer.decode(
        model.generate(idx, n, **settings, generator=torch.Generator().manual_seed(seed))[0]
    )


def test_the_panel_writes_once_by_itself(panel):
    widgets, displayed, model, tokenizer = panel
    assert set(widgets) == {
        "prompt",
        "temperature",
        "top-k",
        "top-p",
        "length",
        "seed",
        "Write",
    }  # each has its label
    assert "while the notebook runs" in repr(displayed[0][0])  # what a page without widgets shows
    assert displayed[-1][0] == {
        "text/plain": expected(model, tokenizer, "abc", 20, 3, temperature=1.5)
    }


def test_the_panel_follows_its_controls(panel):
    widgets, displayed, model, tokenizer = panel
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
        right = expected(
            model,
            tokenizer,
            now["prompt"],
            now["length"],
            now["seed"],
            temperature=now["temperature"],
            top_k=now["top-k"],
            top_p=now["top-p"],
        )
        assert displayed[-1][::2] == ({"text/plain": right}, "update")


def test_the_panel_streams(panel, monkeypatch):
    widgets, displayed, model, tokenizer = panel
    ticks = iter(range(1000))
    monkeypatch.setattr(
        plots.time, "perf_counter", lambda: next(ticks)
    )  # a second between any two looks
    before = len(displayed)
    widgets["Write"].click()
    texts = [value["text/plain"] for value, _, _ in displayed[before:]]
    assert [len(text) for text in texts] == [*range(4, 24), 23] and all(
        b.startswith(a) for a, b in zip(texts, texts[1:])
    )


@pytest.mark.parametrize(
    "prompt, words", [("abz", "'z' (position 2)"), ("", "the prompt is empty")]
)
def test_the_panel_says_what_cannot_be_written(panel, prompt, words):
    widgets, displayed, *_ = panel
    widgets["prompt"].value = prompt
    widgets["Write"].click()
    said = displayed[-1][0]["text/plain"]
    assert said.startswith("Nothing was written: ") and words in said
    widgets["prompt"].value = "ab"
    widgets["Write"].click()
    assert displayed[-1][0]["text/plain"].startswith("ab")  # and it goes on


# ----------------------------------------------------------------------------- ladder


def test_yours_stands_beside_the_reference(runs, displayed):
    reference = {
        stage: dict(loss=loss, error=None, sample=None, parameters=1, speed="laptop")
        for stage, loss in (
            ("uniform", 4.174),
            ("unigram", 3.35),
            ("bigram", 2.48),
            ("single_head", 2.4),
        )
    }
    ladder.REFERENCE.write_text(json.dumps(reference), encoding="utf-8")
    ladder.add_rung("bigram", 2.51, 0.007, "\nROMEO: é", 4225, "laptop")
    found = ladder.rungs(up_to="bigram")
    assert [(rung["source"], rung["loss"], rung["reference"]) for rung in found] == [
        ("reference", 4.174, 4.174),
        ("reference", 3.35, 3.35),
        ("yours", 2.51, 2.48),
    ]
    ladder.show_losses(up_to="bigram")
    (fig, metadata, _), (table, _, _) = displayed
    assert "bigram (01) 2.510" in metadata["image/png"]["alt"]
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == [
        "uniform guess",
        "character counts",
        "bigram (01)",
    ]
    # 2.51 / ln 2 = 3.621 bits, e^2.51 = 12.3
    assert "| bigram (01) | yours | 2.510 | 0.007 | 3.621 | 12.3 | 4,225 | 2.480 |" in table.data


def test_samples_are_shown_in_order(runs, capsys):
    ladder.add_rung("bigram", 2.5, sample="second é")
    ladder.add_rung("unigram", 3.3, sample="first")
    ladder.show_samples(up_to="full")
    out = capsys.readouterr().out
    assert out.index("first") < out.index("second é")


def test_a_later_rung_replaces_an_earlier_and_leaves_the_others(runs):
    for stage, loss in (("bigram", 2.6), ("blocks", 2.0), ("bigram", 2.5)):
        ladder.add_rung(stage, loss)
    assert {stage: rung["loss"] for stage, rung in ladder.read(runs / "ladder.json").items()} == {
        "bigram": 2.5,
        "blocks": 2.0,
    }
    assert [path.name for path in runs.iterdir()] == ["ladder.json"]  # no temporary file is left


def test_a_smoke_run_replaces_nothing(runs):
    ladder.add_rung("bigram", 2.5, speed="laptop")
    ladder.add_rung("bigram", 4.6, speed="smoke")
    assert ladder.read(runs / "ladder.json")["bigram"]["loss"] == 2.5


def test_a_ladder_that_cannot_be_written_loses_the_rung_and_not_the_cell(runs, capsys, monkeypatch):
    def refused(path, content):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(ladder, "write_whole", refused)
    ladder.add_rung("bigram", 2.5)
    said = capsys.readouterr().out
    assert "'bigram' is not kept" in said and str(runs) in said and "MYGPT_RUNS" in said


def test_what_is_no_rung_is_refused(runs):
    with pytest.raises(
        ValueError, match="'bigrams' is no rung: choose from uniform, unigram, bigram"
    ):
        ladder.add_rung("bigrams", 2.5)
    with pytest.raises(ValueError, match="the loss of 'bigram' is nan"):
        ladder.add_rung("bigram", float("nan"))
    runs.mkdir()
    for damaged in ("{half", "[]", '{"bigram": 2.4}', '{"bigram": {"loss": null}}'):
        (runs / "ladder.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError, match="ladder.json is damaged"):
            ladder.rungs(up_to="bigram")
        with pytest.raises(ValueError, match="damaged"):
            ladder.add_rung("bigram", 2.5)
        assert (runs / "ladder.json").read_text(encoding="utf-8") == damaged  # and left as it was


def test_in_a_plain_terminal_figures_do_not_crash():
    with capture_output():
        plots.show(plt.subplots()[0], alt="An empty pair of axes.")
