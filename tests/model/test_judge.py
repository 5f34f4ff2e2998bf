"""The band of the reference runs, and the one sentence about a run: each verdict where it belongs, and only there."""

import hashlib
import json
import math
import re
import statistics

import pytest
import tiny_run

from mygpt.judge import band, judge, load_reference
from mygpt.text import load_text
from mygpt.train import History, train
from mygpt_helpers import CharTokenizer, encode_text, split

STEPS = [0, 100, 200, 300, 400]
LOSSES = [  # of five seeds, at the steps above
    [4.20, 2.50, 2.10, 1.90, 1.80],
    [4.18, 2.52, 2.11, 1.91, 1.82],
    [4.22, 2.48, 2.09, 1.92, 1.81],
    [4.19, 2.51, 2.12, 1.88, 1.79],
    [4.21, 2.49, 2.08, 1.89, 1.78],
]
REFERENCE = {
    "preset": "laptop",
    "runs": [{"seed": i, "steps": STEPS, "val_loss": v} for i, v in enumerate(LOSSES)],
}
TRAIN = [4.2, 2.6, 2.0, 1.8, 1.6]


def curve(val_loss, train_loss=TRAIN, steps=STEPS):
    n = len(val_loss)
    return History(
        steps=steps[:n], train_loss=train_loss[:n], val_loss=val_loss, seconds=list(range(n))
    )


def judged(val_loss, *more):
    return judge(curve(val_loss, *more), REFERENCE)


# ----------------------------------------------------------------------------- the band


def test_the_band_is_a_prediction_interval():
    low, high = band(REFERENCE, 400)
    values = [run[-1] for run in LOSSES]
    reach = (
        2.776445 * statistics.stdev(values) * math.sqrt(1 + 1 / 5)
    )  # Student's t, 4 degrees of freedom, 97.5 %
    assert (low, high) == pytest.approx((1.80 - reach, 1.80 + reach), abs=2e-4)
    assert (low, high) == pytest.approx(
        (1.7519, 1.8481), abs=2e-4
    )  # by hand: s = 0.015811, reach = 0.0481


@pytest.mark.parametrize(
    "n, t",
    [
        (2, 12.7062),
        (3, 4.3027),
        (4, 3.1824),
        (6, 2.5706),
        (7, 2.4469),
        (8, 2.3646),
        (9, 2.3060),
        (10, 2.2622),
        (30, 2.2622),
    ],
)
def test_the_band_of_other_numbers_of_runs(n, t):
    runs = [{"steps": [0, 10], "val_loss": [4.2, 2.0 + 0.01 * i]} for i in range(n)]
    values = [run["val_loss"][1] for run in runs]
    reach = (
        t * statistics.stdev(values) * math.sqrt(1 + 1 / n)
    )  # beyond 10 the t of 10: a little too wide
    low, high = band({"runs": runs}, 10)
    assert (high - low) / 2 == pytest.approx(reach, rel=5e-3)


def test_one_run_makes_no_band():
    with pytest.raises(ValueError, match="at least two runs.* has 1"):
        band({"runs": REFERENCE["runs"][:1]}, 400)


def test_the_band_between_evaluations_is_on_the_straight_line_and_after_the_last_stays():
    values = [(run[1] + 3 * run[2]) / 4 for run in LOSSES]  # at step 175: three quarters of the way
    reach = 2.776445 * statistics.stdev(values) * math.sqrt(1 + 1 / 5)
    mean = statistics.mean(values)
    assert band(REFERENCE, 175) == pytest.approx((mean - reach, mean + reach), abs=2e-4)
    assert band(REFERENCE, 9999) == band(REFERENCE, 400)
    assert band(REFERENCE, 0) == pytest.approx((4.1519, 4.2481), abs=2e-4)


def test_runs_of_the_reference_may_have_other_steps():
    other = {"steps": [0, 200, 400], "val_loss": [4.2, 2.1, 1.8]}
    low, high = band({"runs": REFERENCE["runs"] + [other]}, 400)
    assert low < 1.8 < high


# ----------------------------------------------------------------------------- verdicts

VERDICTS = [  # how each sentence begins
    "too early",
    "diverged",
    "diverging",
    "overfitting",
    "stuck",
    "learning, but behind",
    "better than",
    "healthy",
]


@pytest.mark.parametrize(
    "verdict, words, losses",
    [
        (
            "healthy",
            r"inside the band \(at step 400 the validation loss is 1\.810, the band of 5 runs is 1\.752 to 1\.848\)",
            [[4.2, 2.5, 2.1, 1.9, 1.81]],
        ),
        ("healthy", "at step 200", [[4.2, 2.5, 2.1]]),  # stopped early: compared where it is
        (
            "healthy",
            "inside",
            [[4.2, 2.5, 2.1, 1.79, 1.81]],
        ),  # a rise no larger than evaluations differ by
        (
            "healthy",
            "inside",
            [[4.2, 2.5, 2.1, 1.9, 1.81], [4.2, 2.5, 2.0, 1.75, 1.84]],
        ),  # the noise of a mean of batches
        (
            "overfitting",
            r"turned up at step 200 \(2\.000, now 2\.200\).*fell to 1\.60; keep the checkpoint of step 200",
            [[4.2, 2.4, 2.0, 2.1, 2.2]],
        ),
        (
            "overfitting",
            "turned up at step 300",
            [[4.2, 2.5, 2.1, 1.76, 1.80]],
        ),  # though it ends inside the band
        (
            "diverged",
            "NaN or infinite at step 200; lower the learning rate",
            [[4.2, 2.5, math.nan, math.nan]],
        ),
        (
            "diverged",
            "NaN or infinite at step 300",
            [[4.2, 2.5, 2.1, 1.9], [4.2, 2.5, 2.1, math.inf]],
        ),
        ("diverged", "NaN or infinite at step 100", [[4.2, math.nan, 2.1, 1.9, 1.8]]),
        (
            "diverging",
            r"rose from 2\.40 to 3\.10; lower the learning rate",
            [[4.2, 2.5, 2.6, 3.0], [4.2, 2.4, 2.6, 3.1]],
        ),
        ("diverging", r"rose from 4\.20 to 7\.00", [[4.2, 6.8], [4.2, 7.0]]),
        (
            "stuck",
            r"at step 400 the validation loss is 4\.17, and the reference runs have 1\.80; print an input and its target",
            [[4.2, 4.18, 4.17, 4.17, 4.17], [4.2, 4.18, 4.17, 4.17, 4.17]],
        ),
        (
            "stuck",
            "and the reference runs have",
            [[4.2, 3.33, 3.32, 3.31, 3.31], [4.2, 3.4, 3.33, 3.31, 3.31]],
        ),
        (
            "learning, but behind",
            "validation loss is 2.200.*1.752 to 1.848.*other settings",
            [[4.2, 2.9, 2.5, 2.3, 2.2]],
        ),
        (
            "better than",
            "validation loss is 1.500.*a leak of the validation text",
            [[4.2, 2.4, 1.9, 1.6, 1.5]],
        ),
        ("too early", "only once", [[4.2]]),
        (
            "too early",
            "first evaluated at step 100, and this one ends at step 50",
            [[4.2, 2.5], [4.2, 2.5], [0, 50]],
        ),
        ("too early", "", [[]]),
    ],
)
def test_each_curve_gets_its_verdict_in_one_sentence(verdict, words, losses):
    sentence = judged(*losses)
    assert [name for name in VERDICTS if sentence.startswith(name)] == [verdict], sentence
    assert re.search(words, sentence), sentence
    assert "\n" not in sentence and len(sentence) < 220


def test_every_run_of_the_reference_is_healthy_in_its_own_band():
    for val_loss in LOSSES:
        assert judged(val_loss).startswith("healthy")


@pytest.mark.parametrize(
    "verdict, losses",
    [
        (
            r"no verdict: at step 400 the validation loss is 1\.500; the only reference run had 1\.800 at step 400$",
            [[4.2, 2.4, 1.9, 1.6, 1.5]],
        ),
        (
            r"no verdict: at step 150 .* 2\.600; .* had 2\.300 at step 150$",
            [[4.2, 2.6], [4.2, 2.6], [0, 150]],
        ),
        (
            r"no verdict: at step 900 .* 1\.500; .* had 1\.800 at step 400$",
            [[4.2, 1.5], [4.2, 1.5], [0, 900]],
        ),
        ("overfitting: .* turned up at step 200", [[4.2, 2.4, 2.0, 2.1, 2.2]]),
        (
            r"stuck: at step 400 the validation loss is 4\.17, and the reference runs have 1\.80",
            [[4.2, 4.2, 4.2, 4.2, 4.17], [4.2] * 5],
        ),
    ],
)
def test_beside_a_single_run_nothing_is_called_healthy(verdict, losses):
    sentence = judge(curve(*losses), {"runs": REFERENCE["runs"][:1]})
    assert re.match(verdict, sentence), sentence


SHAKESPEARE = {
    "text": "TinyShakespeare",
    "runs": [run | {"val_text": "sha of shakespeare"} for run in REFERENCE["runs"]],
}


def test_the_band_says_of_which_text_it_speaks():
    for text in ("sha of shakespeare", ""):  # "": a history from before the text was recorded
        history = curve([4.2, 2.5, 2.1, 1.9, 1.81])
        history.val_text = text
        assert judge(history, SHAKESPEARE).startswith("healthy")
        assert "the band of 5 runs on TinyShakespeare" in judge(history, SHAKESPEARE)
    assert "only reference run on TinyShakespeare" in judge(
        history, SHAKESPEARE | {"runs": SHAKESPEARE["runs"][:1]}
    )


@pytest.mark.parametrize("losses", [[4.2, 2.5, 2.1, 1.9, 1.81], [3.0, 0.5, 0.1], [4.2, 4.2, 4.2]])
def test_a_run_on_another_text_gets_no_verdict_beside_the_band(losses):
    history = curve(losses, losses)
    history.val_text = "sha of a diary"
    sentence = judge(history, SHAKESPEARE)
    assert sentence.startswith("no verdict: the reference runs are on TinyShakespeare")
    assert f"from {losses[0]:.3f} to {losses[-1]:.3f}" in sentence and len(sentence) < 220


def test_what_needs_no_reference_is_said_of_any_text():
    history = curve([4.2, 2.4, 2.0, 2.1, 2.2])
    history.val_text = "sha of a diary"
    assert judge(history, SHAKESPEARE).startswith("overfitting")


def test_train_records_which_text_it_was_judged_by(tmp_path):
    history = tiny_run.run(tmp_path, config=tiny_run.settings(steps=5))
    again = tiny_run.run(tmp_path, config=tiny_run.settings(steps=5), resume=True)
    assert len(history.val_text) == 64 and again.val_text == history.val_text
    other = train(tiny_run.gpt(), tiny_run.DATA, tiny_run.DATA, tiny_run.settings(steps=5))
    assert other.val_text != history.val_text
    wider = train(tiny_run.gpt(), tiny_run.DATA, tiny_run.VAL.long(), tiny_run.settings(steps=5))
    assert wider.val_text == history.val_text


def test_the_curves_that_ship_were_judged_by_the_validation_text_of_tinyshakespeare():
    text = load_text("tinyshakespeare")
    _, val_data = split(encode_text(CharTokenizer.from_text(text), text))
    wanted = hashlib.sha256(val_data.long().numpy().tobytes()).hexdigest()
    for name in ("laptop", "gpu"):
        reference = load_reference(name)
        assert reference["text"] == "TinyShakespeare"
        assert {run["val_text"] for run in reference["runs"]} == {wanted}


def shipped_verdicts(name, steps=None):
    """What judge says of each run of the reference, up to its evaluation number `steps`."""
    reference = load_reference(name)
    losses = ("steps", "train_loss", "val_loss")
    return [
        judge(History(**{part: run[part][:steps] for part in losses}), reference)
        for run in reference["runs"]
    ]


def test_the_curves_that_ship_do_not_look_ill():
    verdicts = shipped_verdicts("laptop")
    assert len(verdicts) == 5
    for sentence in verdicts:  # one run in twenty lies outside of the band
        assert sentence.startswith(("healthy", "learning, but behind", "better than")), sentence


def test_the_full_run_that_ships_is_sound_up_to_its_best_checkpoint():
    run = load_reference("gpu")["runs"][0]
    lowest = run["val_loss"].index(min(run["val_loss"]))
    assert shipped_verdicts("gpu", lowest + 1)[0].startswith("no verdict: ")
    assert shipped_verdicts("gpu")[0].startswith(
        f"overfitting: the validation loss turned up at step {run['steps'][lowest]}"
    )


# ----------------------------------------------------------------------------- the files


def test_load_reference_reads_and_lists_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr("mygpt.judge.DATA", tmp_path)
    with pytest.raises(ValueError, match="'laptop'.*there are none"):
        load_reference("laptop")
    (tmp_path / "reference").mkdir()
    for name in ("laptop", "ladder"):
        (tmp_path / "reference" / f"{name}.json").write_text(
            json.dumps(REFERENCE), encoding="utf-8"
        )
    assert load_reference("laptop") == REFERENCE == load_reference()
    with pytest.raises(ValueError, match="'gpu'.*there are laptop$"):
        load_reference("gpu")


def test_a_history_comes_back_from_its_file(tmp_path):
    history = curve([4.2, math.nan, 2.1])
    history.save(tmp_path / "h.json")
    again = History.load(tmp_path / "h.json")
    assert (
        again.steps == history.steps
        and again.train_loss == history.train_loss
        and again.seconds == history.seconds
    )
    assert again.val_loss[::2] == [4.2, 2.1] and math.isnan(again.val_loss[1])
    assert (tmp_path / "h.json").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{}",
        "[]",
        "3",
        '{"steps": [0]}',
        '{"steps": [0], "train_loss": [], "val_loss": [4.2], "seconds": [0]}',
        '{"steps": [0], "train_loss": [4], "val_loss": [4.2], "seconds": [0], "more": [1]}',
        '{"steps": 0}',
    ],
)
def test_a_damaged_history_is_named(damaged, tmp_path):
    (tmp_path / "h.json").write_text(damaged, encoding="utf-8")
    with pytest.raises(ValueError, match="h.json holds no history.*delete it"):
        History.load(tmp_path / "h.json")


@pytest.mark.parametrize(
    "losses, best",
    [
        ([4.0, 3.0, 3.5], 1),
        ([4.0, 3.0, 3.0], 1),
        ([math.nan, 3.0, 2.0], 2),
        ([4.0, math.nan, math.nan], 0),
        ([math.nan, math.nan], 0),
        ([math.inf, math.nan, 5.0], 2),
        ([math.nan, math.inf], 1),
    ],
)
def test_the_best_is_the_first_lowest_and_never_no_number(losses, best):
    assert curve(losses).best_index == best


def test_patience_counts_the_evaluations_since_the_best():
    history = curve([4.0, 3.0, 3.5, 3.2])
    assert [history.has_stalled(patience) for patience in (1, 2, 3, None)] == [
        True,
        True,
        False,
        False,
    ]
