"""tools/run_notebooks.py saves clean notebooks or nothing, and writes the reference ladder only when asked."""

import base64
import json
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import run_notebooks

ADD_RUNG = """
import json, os, pathlib
folder = pathlib.Path(os.environ["MYGPT_RUNS"], "ladder")
folder.mkdir(exist_ok=True)
(folder / "%s.json").write_text(json.dumps({"loss": %s}))
print(sorted(path.stem for path in folder.iterdir()), os.environ["MYGPT_SPEED"], os.getcwd() == r"%s")
"""
TRACES = {"tags": ["t"], "execution": {"shell.execute_reply": "now"}, "slideshow": {}}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A function that writes a notebook into an empty course and returns its path."""
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(run_notebooks, "REFERENCE", tmp_path / "data" / "ladder.json")
    monkeypatch.setenv("MYGPT_RUNS", str(tmp_path / "not here"))
    monkeypatch.setenv("MYGPT_SPEED", "laptop")

    def write(name, *sources):
        cells = [new_code_cell(source, metadata=TRACES) for source in sources]
        metadata = {
            "kernelspec": {"name": "mine", "display_name": "x"},
            "draft": True,
            "jupytext": {},
        }
        nbformat.write(new_notebook(cells=cells, metadata=metadata), tmp_path / name)
        return tmp_path / name

    return write


def reference():
    return json.loads(run_notebooks.REFERENCE.read_text(encoding="utf-8"))


def test_a_run_is_saved_clean(course, tmp_path):
    bar = "import sys, tqdm\nfor _ in tqdm.tqdm(range(9), file=sys.stdout): pass"
    path = course("01_a.ipynb", ADD_RUNG % ("one", 1, tmp_path), bar)
    course("02_b.ipynb", ADD_RUNG % ("two", 2, tmp_path))
    before = nbformat.read(path, as_version=4)
    assert not run_notebooks.main([])
    after = nbformat.read(path, as_version=4)
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert [cell.execution_count for cell in after.cells] == [1, 2]
    assert after.cells[0].outputs[0].text == "['one'] laptop True\n"
    progress = after.cells[1].outputs[0].text
    assert progress.count("%|") == 1 and "100%|" in progress
    assert all(cell.metadata == {"tags": ["t"]} for cell in after.cells)
    assert set(after.metadata) == {"draft", "kernelspec", "language_info"}
    assert after.metadata.kernelspec.name == "python3"
    assert "version" not in after.metadata.language_info
    assert b"\r" not in path.read_bytes() and not list(tmp_path.glob("*.part"))
    second = nbformat.read(tmp_path / "02_b.ipynb", as_version=4)
    assert second.cells[0].outputs[0].text == "['one', 'two'] laptop True\n"
    assert not run_notebooks.REFERENCE.exists()


def test_the_reference_ladder_is_written_when_asked(course, tmp_path):
    old = '{"one": {"loss": 9}, "of a stage no longer there": {}}'
    run_notebooks.write_whole(run_notebooks.REFERENCE, old)
    course("01_a.ipynb", ADD_RUNG % ("one", 1, tmp_path))
    course("02_b.ipynb", ADD_RUNG % ("two", 2, tmp_path))
    assert not run_notebooks.main([]) and run_notebooks.REFERENCE.read_text() == old
    assert not run_notebooks.main(["--reference"])
    assert reference() == {"one": {"loss": 1}, "two": {"loss": 2}}
    course("02_b.ipynb", ADD_RUNG % ("two", 2.5, tmp_path))
    assert not run_notebooks.main(["2", "--reference"])  # one rung is changed, the other stays
    assert reference() == {"one": {"loss": 1}, "two": {"loss": 2.5}}
    for name in ("01_a.ipynb", "02_b.ipynb"):
        course(name, "1")  # adds no rung, as at smoke speed
    assert not run_notebooks.main(["--reference"])
    assert reference() == {"one": {"loss": 1}, "two": {"loss": 2.5}}


def test_a_notebook_that_fails_is_not_saved(course):
    path = course("01_a.ipynb", ADD_RUNG % ("one", 1, ""), "1 / 0")
    before = path.read_bytes()
    message = run_notebooks.main(["--reference"])
    assert "1 / 0" in message and "ZeroDivisionError" in message
    assert path.read_bytes() == before and not run_notebooks.REFERENCE.exists()


def test_an_unknown_number_is_named(course):
    course("01_a.ipynb", "1")
    assert run_notebooks.main(["7"]) == "run_notebooks: there is no notebook 07, only 01"


def test_an_interactive_figure_leaves_its_first_picture(course):
    path = course(
        "01_a.ipynb",
        "import ipywidgets\nipywidgets.interact(lambda k: print('k is', k), k=(0, 4));",
    )
    assert not run_notebooks.main([])
    notebook = nbformat.read(path, as_version=4)
    outputs = notebook.cells[0].outputs
    assert "k is 2" in "".join(output.get("text", "") for output in outputs)
    state = notebook.metadata.widgets[run_notebooks.WIDGETS]["state"]
    assert list(state) == [f"widget-{n:03}" for n in range(len(state))] and len(state) > 2
    views = [output.get("data", {}).get(run_notebooks.WIDGET_VIEW) for output in outputs]
    assert [view["model_id"] in state for view in views if view] == [True]


# ----------------------------------------------------------------------------- folds


@pytest.mark.parametrize(
    "source, tags, metadata",
    [
        ("1", [], {}),
        ("1", ["exercise"], {"tags": ["exercise"]}),
        (
            "1",
            ["hide-output"],
            {"tags": ["hide-output"], "collapsed": True, "jupyter": {"outputs_hidden": True}},
        ),
        (
            "# @title Solution\n1",
            ["solution"],
            {"tags": ["solution"], "cellView": "form", "jupyter": {"source_hidden": True}},
        ),
    ],
)
def test_folds_follow_from_tag_and_title(source, tags, metadata):
    old = {"jupyter": {"outputs_hidden": True}, "lines_to_next_cell": 1}  # the tag was taken away
    cell = new_code_cell(source, metadata=old | ({"tags": tags} if tags else {}))
    notebook = run_notebooks.tidy(new_notebook(cells=[cell]))
    assert notebook.cells[0].metadata == metadata


def test_a_folded_answer_does_not_show_its_first_line():
    answer, other = new_code_cell("1", metadata={"tags": ["hide-output"]}), new_code_cell("2")
    for cell in (answer, other):
        cell.outputs = [new_output("stream", name="stdout", text="the answer")]
    notebook = run_notebooks.tidy(run_notebooks.tidy(new_notebook(cells=[answer, other])))
    assert [len(cell.outputs) for cell in notebook.cells] == [2, 1]
    assert notebook.cells[0].outputs[0].data == {}


def test_a_figure_for_the_readme_is_saved_beside_the_notebooks(course, tmp_path):
    png = base64.b64encode(b"a picture").decode()
    outputs = [new_output("stream", text="words"), new_output("display_data", {"image/png": png})]
    cells = [new_markdown_cell("text"), new_code_cell("1", outputs=outputs)]
    cells += [new_code_cell("2", metadata={"tags": ["readme"]}, outputs=outputs)]
    run_notebooks.keep_pictures(new_notebook(cells=cells), tmp_path / "05_blocks.ipynb")
    assert os.listdir(tmp_path / "images") == ["05_blocks.png"]
    assert (tmp_path / "images" / "05_blocks.png").read_bytes() == b"a picture"
