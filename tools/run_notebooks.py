"""Run notebooks from top to bottom, each in a fresh kernel, and save them with their outputs.

    python tools/run_notebooks.py                  all, in the order of the course
    python tools/run_notebooks.py 03 05            only these
    python tools/run_notebooks.py --reference      and make their losses the reference ladder

Laptop speed, unless MYGPT_SPEED says otherwise. Nothing of an earlier run is used: the reader's
folder (MYGPT_RUNS) is empty at the start, and the loss ladder grows in it from notebook to notebook.
A notebook that fails is not saved, and ends the run.
"""

import argparse
import base64
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from mygpt.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
REFERENCE = ROOT / "data" / "reference" / "ladder.json"
WIDGETS = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# without the Python version, which would change with every machine that saves
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
# JupyterLab shows the first line of a folded output, so an empty output stands before an answer.
NOTHING = nbformat.v4.new_output("display_data", {})


def find(numbers):
    """The notebooks with these numbers, in order; all without any. ValueError for an unknown number."""
    paths = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    wanted = sorted({number.zfill(2) for number in numbers} or paths)
    unknown = [number for number in wanted if number not in paths]
    if unknown:
        raise ValueError(f"there is no notebook {' '.join(unknown)}, only {' '.join(paths)}")
    return [paths[number] for number in wanted]


def is_tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def read(path):
    """A saved notebook as a page shows it: without the outputs that show nothing."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output != NOTHING]
    return notebook


def answer_cells(notebook):
    """{N: position} of the cell under each heading "### Exercise N" that is for the reader's answer.

    It is the one tagged `exercise`, or, where none is, the first code cell.
    """
    found, number = {}, ""
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            headings = re.findall(r"^##+ (?:Exercise (\d+))?", cell.source, re.MULTILINE)
            number = headings[-1] if headings else number
        elif number and (number not in found or is_tagged(cell, "exercise")):
            found[number] = position
    return found


def save_notebook(path, notebook):
    write_whole(path, nbformat.writes(notebook).rstrip("\n") + "\n")


# ----------------------------------------------------------------------------- one run


def run(path):
    """Execute one notebook in a fresh kernel. Returns it, tidied; CellExecutionError if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)  # those of an earlier run
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,  # one tidy last state of a progress line
        record_timing=False,
        store_widget_state=True,  # so that a page without a kernel shows the widgets
    )
    # What an interactive figure draws is then an ordinary output, seen without a kernel too. (nbclient's
    # own way keeps it inside the widget, and now and then waits for ever for the cell's end.)
    client.widget_registry.clear()
    client.execute()
    return tidy(notebook)


def tidy(notebook):
    """Take out what differs from machine to machine or from run to run, and fold what is to be folded."""
    kept = {k: v for k, v in notebook.metadata.items() if k in ("draft", "widgets")}
    notebook.metadata = nbformat.from_dict(kept | {"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(metadata(cell))
        if is_tagged(cell, "hide-output") and cell.outputs and cell.outputs[0] != NOTHING:
            cell.outputs.insert(0, NOTHING)
    state = notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})
    text = nbformat.writes(notebook)
    for n, model_id in enumerate(state):  # widgets are named at random: number them instead
        text = text.replace(model_id, f"widget-{n:03}")
    return nbformat.reads(text, as_version=4)


def metadata(cell):
    """A cell's metadata: its tags, and the folds that follow from them, as JupyterLab and Colab write them.

    An output is folded by the tag `hide-output`, a source by a first line `# @title`.
    """
    folds, hidden = {}, {}
    if is_tagged(cell, "hide-output"):
        folds["collapsed"] = hidden["outputs_hidden"] = True
    if cell.cell_type == "code" and cell.source.startswith("# @title"):
        folds["cellView"], hidden["source_hidden"] = "form", True
    given = {"jupyter": hidden, "tags": cell.metadata.get("tags")}
    return folds | {name: value for name, value in given.items() if value}


# ----------------------------------------------------------------------------- what a run leaves behind


def keep_pictures(notebook, path):
    """Save the picture of a cell tagged `readme` as notebooks/images/NAME.png, for the README."""
    for cell in notebook.cells:
        if is_tagged(cell, "readme"):
            data = [output.get("data", {}) for output in cell.outputs]
            png = next(shown["image/png"] for shown in data if "image/png" in shown)
            write_whole(NOTEBOOKS / "images" / f"{path.stem}.png", base64.b64decode(png))


def keep_ladder(rungs, everything):
    """Make these rungs the reference ladder, or, where not everything was run, only add them to it."""
    if not rungs:  # at smoke speed
        return print("no notebook added a rung: the reference ladder stays")
    if REFERENCE.exists() and not everything:
        rungs = json.loads(REFERENCE.read_text(encoding="utf-8")) | rungs
    write_whole(REFERENCE, json.dumps(rungs, indent=1, ensure_ascii=False) + "\n")
    print(f"the reference ladder has {', '.join(rungs)}")


def learned(runs):
    """The ladder in a folder of runs: {stage: rung}, from one file a rung."""
    files = sorted(runs.glob("ladder/*.json"), key=lambda file: file.stat().st_mtime_ns)
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def main(arguments):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("numbers", nargs="*", metavar="NN", help="only these notebooks")
    parser.add_argument("--reference", action="store_true", help="write data/reference/ladder.json")
    options = parser.parse_args(arguments)
    try:
        paths = find(options.numbers)
    except ValueError as error:
        return f"run_notebooks: {error}"
    speed = os.environ.setdefault("MYGPT_SPEED", "laptop")
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"  # a notebook prints this last name
        runs.mkdir()
        os.environ["MYGPT_RUNS"] = str(runs)
        for path in paths:
            began = time.perf_counter()
            print(f"{path.name} ...", end=" ", flush=True)
            try:
                notebook = run(path)
            except CellExecutionError as error:
                return f"failed, not saved\n\n{error}"
            save_notebook(path, notebook)
            keep_pictures(notebook, path)
            print(f"{time.perf_counter() - began:.1f} s at {speed} speed", flush=True)
        if options.reference:
            keep_ladder(learned(runs), everything=not options.numbers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
