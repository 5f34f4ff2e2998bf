"""The loss ladder and the sample ladder: what each stage of the course reaches, and how it writes.

Every loss is measured on the validation text of TinyShakespeare. Your own rungs are kept in
runs/ladder/, a file each, so that notebooks which run at the same time lose nothing. Stages that
you have not run yet come from the course's reference run, data/reference/ladder.json.
"""

import json
import math

from IPython.display import Markdown, display

from mygpt import plots
from mygpt.files import DATA, runs_folder, write_whole

REFERENCE = DATA / "reference" / "ladder.json"
STAGES = {  # key: name on the ladder, in the order of the course
    "uniform": "uniform guess",
    "unigram": "character counts",
    "bigram_counts": "bigram counts",
    "bigram": "bigram (01)",
    "trigram": "trigram counts",
    "five_gram": "5-gram counts",
    "single_head": "one head (03)",
    "multi_head": "four heads (04)",
    "blocks": "blocks (05)",
    "gpt": "the whole GPT (06)",
    "full": "full training (07)",
}
# These are counted, not trained. All others are networks.
COUNTED = ("uniform", "unigram", "bigram_counts", "trigram", "five_gram")
GOAL = "five_gram"  # the counted model that the networks are to beat
FIELDS = ("loss", "error", "sample", "parameters", "speed")  # of a rung
PROMPT = "\n"  # every stage continues the same prompt, the start of a new line


def add_rung(
    stage, loss, error=None, sample=None, parameters=0, speed="laptop", text="tinyshakespeare"
):
    """Keep what a stage reached: validation loss and its standard error, in nats per character.

    The numbers may be Python's, numpy's or tensors of one element. Nothing is kept, and a line says
    so, at smoke speed (a trial run never replaces a real one), for another `text` than
    TinyShakespeare, and where the folder of runs cannot be written.
    Raises ValueError for an unknown stage and for a loss or an error that is not a finite number.
    """
    check_stage(stage)
    rung = {
        "loss": finite(loss, f"the loss of stage {stage!r}"),
        "error": None if error is None else finite(error, f"the error of stage {stage!r}"),
        "sample": sample,
        "parameters": int(parameters),
        "speed": speed,
    }
    if text != "tinyshakespeare":
        return print(f"stage {stage!r} was not saved: the ladder is for TinyShakespeare only")
    if speed == "smoke":
        return print(f"stage {stage!r} was not saved: nothing is learned at smoke speed")
    try:
        write_whole(rung_path(stage), json.dumps(rung, indent=1, ensure_ascii=False) + "\n")
    except OSError as refused:
        print(f"stage {stage!r} was not saved. {refused} MYGPT_RUNS names the folder for runs.")


def check_stage(stage):
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage!r}: choose from {', '.join(STAGES)}")


def finite(number, name):
    """A number of any kind as a float."""
    try:
        value = float(number.item() if hasattr(number, "item") else number)
    except (TypeError, ValueError, RuntimeError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {number!r}: it must be one finite number")
    return value


def rung_path(stage):
    return runs_folder() / "ladder" / f"{stage}.json"


def own_rungs():
    """Your rungs, {stage: rung}. Raises ValueError, naming the file, for a damaged one."""
    rungs = {}
    for stage in STAGES:
        path = rung_path(stage)
        try:
            rung = json.loads(path.read_text(encoding="utf-8"))
            finite(rung["loss"], "its loss")
            rungs[stage] = {name: rung[name] for name in FIELDS}
        except (FileNotFoundError, NotADirectoryError):
            pass  # not run yet
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{path} is damaged: delete it and run its notebook again") from None
    return rungs


def rungs(up_to):
    """The ladder up to the stage `up_to`, in the order of the course: a list of dicts.

    Each holds loss, error, sample and parameters, yours where you have run the stage (source
    "yours"), else the reference run's, and besides
        name       the stage's name
        counted    whether it is a table of counts, not a network
        reference  the reference run's loss, None if it has none
        lead       nats by which a network beats the 5-gram, negative if it does not,
                   None for counted models and where the 5-gram is not among these stages
    """
    check_stage(up_to)
    reference = json.loads(REFERENCE.read_text(encoding="utf-8")) if REFERENCE.exists() else {}
    own = own_rungs()
    both = {**reference, **own}  # yours wins
    stages = list(STAGES)[: list(STAGES).index(up_to) + 1]
    ladder = {stage: both[stage] for stage in stages if stage in both}
    goal = ladder[GOAL]["loss"] if GOAL in ladder else None
    return [
        {
            **rung,
            "name": STAGES[stage],
            "source": "yours" if stage in own else "reference",
            "reference": reference.get(stage, {}).get("loss"),
            "counted": stage in COUNTED,
            "lead": None if goal is None or stage in COUNTED else goal - rung["loss"],
        }
        for stage, rung in ladder.items()
    ]


def show_losses(up_to):
    """Draw the loss ladder, and show it as a table in nats, bits per character and perplexity."""
    ladder = rungs(up_to)
    plots.show(plots.loss_ladder(ladder), alt=plots.loss_ladder_alt(ladder))
    columns = "stage, run, nats, ±, bits per character, perplexity, parameters or counts, reference"
    names = [*columns.split(", "), "beats the 5-gram?"]
    lines = [f"| {' | '.join(names)} |", "|---|---|--:|--:|--:|--:|--:|--:|---|", *map(row, ladder)]
    display(Markdown("\n".join(lines)))


def row(rung):
    """One rung as a row of the table."""
    nats, error, reference, lead = (
        "" if rung[name] is None else f"{rung[name]:.3f}"
        for name in ("loss", "error", "reference", "lead")
    )
    bits, perplexity = rung["loss"] / math.log(2), math.exp(rung["loss"])
    if lead:
        lead = f"yes, by {lead}" if rung["lead"] > 0 else f"no, {lead.removeprefix('-')} above it"
    return (
        f"| {rung['name']} | {rung['source']} | {nats} | {error} | {bits:.3f} | {perplexity:.1f} "
        f"| {rung['parameters']:,} | {reference} | {lead} |"
    )


def show_samples(up_to):
    """Show what each stage writes, in order."""
    for rung in rungs(up_to):
        if rung["sample"]:
            print(f"--- {rung['name']} ({rung['source']}), {rung['loss']:.3f} nats " + "-" * 20)
            print(rung["sample"].strip("\n"))
            print()
