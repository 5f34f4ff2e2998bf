"""The loss ladder and the sample ladder: what each stage of the course reaches, and how it writes.

The learner's own rungs are kept in runs/ladder.json; stages not run yet come from the course's
reference run, data/reference/ladder.json.
"""

import json
import math
from pathlib import Path

from IPython.display import Markdown, display

from mygpt import plots
from mygpt.files import DATA, runs_folder, write_whole

REFERENCE = DATA / "reference" / "ladder.json"
STAGES = {  # key: name on the ladder, in the order of the course
    "uniform": "uniform guess",
    "unigram": "character counts",
    "bigram_counts": "pair counts",
    "trigram": "3-gram",
    "five_gram": "5-gram",
    "bigram": "bigram (01)",
    "single_head": "one head (03)",
    "multi_head": "four heads (04)",
    "blocks": "blocks (05)",
    "full": "full training (06)",
}
PROMPT = "\n"  # every stage continues the same prompt, the start of a new line


def add_rung(stage, loss, error=None, sample=None, parameters=0, speed="laptop"):
    """Record what a stage reached: validation loss and its standard error in nats per character.

    At smoke speed nothing is recorded, so that a trial run never replaces a real one; where the runs'
    folder cannot be written, a line says so. Raises ValueError for a stage that is not in STAGES or a
    loss that is no number.
    """
    if stage not in STAGES:
        raise ValueError(f"{stage!r} is no rung: choose from {', '.join(STAGES)}")
    if not math.isfinite(loss):
        raise ValueError(f"the loss of {stage!r} is {loss}: only a finite loss goes on the ladder")
    if speed == "smoke":
        print(f"smoke speed: the rung {stage!r} is not recorded")
        return
    path = runs_folder() / "ladder.json"
    rungs = {
        **read(path),
        stage: dict(loss=loss, error=error, sample=sample, parameters=parameters, speed=speed),
    }
    try:
        write_whole(path, json.dumps(rungs, indent=1, ensure_ascii=False) + "\n")
    except OSError as refused:
        print(f"the rung {stage!r} is not kept ({refused}): set MYGPT_RUNS to a folder of your own")


def read(path):
    """The rungs in a ladder file, {} when there is none. Raises ValueError, naming it, if it is damaged."""
    try:
        rungs = json.loads(Path(path).read_text(encoding="utf-8"))
        if not all(
            math.isfinite(rung["loss"]) and {"error", "sample"} <= rung.keys()
            for rung in rungs.values()
        ):
            raise ValueError("a rung is not complete")
        return rungs
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it and run the notebooks again"
        ) from None


def rungs(up_to):
    """The ladder up to the stage `up_to`, in order, as dicts.

    The learner's rungs where there are any (source "yours"), else the reference's; "reference" holds
    the reference run's loss in either case, None if there is none.
    """
    reference, yours = read(REFERENCE), read(runs_folder() / "ladder.json")
    stages = list(STAGES)[: list(STAGES).index(up_to) + 1]
    return [
        {
            "name": STAGES[stage],
            "source": "yours" if stage in yours else "reference",
            "reference": reference.get(stage, {}).get("loss"),
            **(yours.get(stage) or reference[stage]),
        }
        for stage in stages
        if stage in yours or stage in reference
    ]


def show_losses(up_to):
    """Draw the loss ladder, and show the same as a table in nats, bits per character and perplexity."""
    ladder = rungs(up_to)
    bars = ", ".join(f"{rung['name']} {rung['loss']:.3f}" for rung in ladder)
    plots.show(
        plots.loss_ladder(ladder),
        alt=f"Bar chart of validation losses in nats per character: {bars}.",
    )
    lines = [
        "| stage | run | nats | ± | bits per character | perplexity | parameters | reference |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for rung in ladder:
        error = "" if rung["error"] is None else f"{rung['error']:.3f}"
        reference = "" if rung["reference"] is None else f"{rung['reference']:.3f}"
        lines.append(
            f"| {rung['name']} | {rung['source']} | {rung['loss']:.3f} | {error} | {rung['loss'] / math.log(2):.3f} "
            f"| {math.exp(rung['loss']):.1f} | {rung['parameters']:,} | {reference} |"
        )
    display(Markdown("\n".join(lines)))


def show_samples(up_to):
    """Show what each stage writes, in order."""
    for rung in rungs(up_to):
        if rung["sample"]:
            print(f"--- {rung['name']} ({rung['source']}), {rung['loss']:.3f} nats " + "-" * 20)
            print(rung["sample"].strip("\n"))
            print()
