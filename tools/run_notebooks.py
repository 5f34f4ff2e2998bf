"""Run notebooks from top to bottom, each in a fresh kernel, and save them with their outputs.

    python tools/run_notebooks.py          all, in the order of the course
    python tools/run_notebooks.py 03 05    only these

Laptop speed, unless MYGPT_SPEED says otherwise. Nothing of an earlier run is used: the learner's
folder (MYGPT_RUNS) is empty at the start, and the loss ladder grows in it from notebook to notebook.
At laptop speed that ladder then becomes the reference, data/reference/ladder.json. A notebook that
fails is not saved, and ends the run.
"""

import base64
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from mygpt.files import write_whole  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"
REFERENCE = ROOT / "data" / "reference" / "ladder.json"
WIDGETS = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# without the Python version, which would change with every machine that saves
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
# JupyterLab shows the first line of a folded output, so in front of an answer stands an output that has none
NOTHING = nbformat.v4.new_output("display_data", {})
CELL_METADATA = {"cellView", "jupyter", "slideshow", "tags"}  # all else is a trace of an editor


def find(numbers):
    """The notebooks with these numbers (all without any), in order. ValueError for an unknown number."""
    paths = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    wanted = [number.zfill(2) for number in numbers] or list(paths)
    unknown = [number for number in wanted if number not in paths]
    if unknown or not wanted:
        raise ValueError(
            f"no notebook {' '.join(unknown)} in {NOTEBOOKS.name}/: there are {' '.join(paths) or 'none'}"
        )
    return [paths[number] for number in sorted(set(wanted))]


def read(path):
    """A saved notebook as a page shows it: without the outputs that show nothing."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output != NOTHING]
    return notebook


def run(path):
    """Execute one notebook in a fresh kernel. Returns it, tidied; CellExecutionError if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL}
    )  # widgets of an earlier run go too
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


def save_notebook(path, notebook):
    write_whole(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def tidy(notebook):
    """Take out what would differ from machine to machine or from run to run, and fold answers whole."""
    notebook.metadata["language_info"] = nbformat.from_dict(LANGUAGE)
    for cell in notebook.cells:
        if (
            "hide-output" in cell.metadata.get("tags", [])
            and cell.outputs
            and cell.outputs[0] != NOTHING
        ):
            cell.outputs.insert(0, NOTHING)
        cell.metadata = nbformat.from_dict(
            {k: v for k, v in cell.metadata.items() if k in CELL_METADATA}
        )
    state = notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})
    text = nbformat.writes(notebook)
    for n, model_id in enumerate(state):  # widgets are named at random: number them instead
        text = text.replace(model_id, f"widget-{n:03}")
    return nbformat.reads(text, as_version=4)


def keep_pictures(notebook, path):
    """Save the figures of cells tagged `readme` under docs/, for the README."""
    for cell in notebook.cells:
        if "readme" in cell.metadata.get("tags", []):
            png = next(
                output.data["image/png"]
                for output in cell.outputs
                if "image/png" in output.get("data", {})
            )
            write_whole(ROOT / "docs" / f"{path.stem}.png", base64.b64decode(png))


def keep_ladder(learned, everything):
    """Make the ladder file `learned` the reference, or only add its rungs to it."""
    if not learned.exists():
        return print("no notebook added a rung, the reference ladder stays")
    rungs = json.loads(learned.read_text(encoding="utf-8"))
    if REFERENCE.exists() and not everything:
        rungs = json.loads(REFERENCE.read_text(encoding="utf-8")) | rungs
    write_whole(REFERENCE, json.dumps(rungs, indent=1, ensure_ascii=False) + "\n")
    print(f"the reference ladder has {', '.join(rungs)}")


def main(numbers):
    try:
        paths = find(numbers)
    except ValueError as error:
        return f"run_notebooks: {error}"
    speed = os.environ.setdefault("MYGPT_SPEED", "laptop")
    # the modules beside these notebooks, whatever else is installed
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    )
    with tempfile.TemporaryDirectory() as runs:
        runs = Path(runs) / "runs"  # a notebook prints this last name
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
        if speed == "laptop":
            keep_ladder(runs / "ladder.json", everything=not numbers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
