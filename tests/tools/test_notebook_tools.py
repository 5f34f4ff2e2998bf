"""tools/run_notebooks.py saves clean notebooks or nothing; tools/export_html.py keeps alt texts and folds."""

import base64
import json
import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_notebooks import NOTEBOOKS, PIXEL, pictures

import export_html
import run_notebooks

ADD_RUNG = """
import json, os, pathlib
path = pathlib.Path(os.environ["MYGPT_RUNS"], "ladder.json")
rungs = json.loads(path.read_text()) if path.exists() else {}
path.write_text(json.dumps(rungs | {"%s": {"loss": %s}}))
print(list(rungs), os.environ["MYGPT_SPEED"], os.getcwd() == r"%s")
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A function that writes a notebook into an empty course and returns its path."""
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(run_notebooks, "REFERENCE", tmp_path / "data" / "ladder.json")
    for name in ("MYGPT_RUNS", "PYTHONPATH"):
        monkeypatch.setenv(name, str(tmp_path / "not here"))
    monkeypatch.setenv("MYGPT_SPEED", "laptop")

    def write(name, *sources):
        path = tmp_path / name
        cells = [
            new_code_cell(
                source, metadata={"tags": ["t"], "execution": {"shell.execute_reply": "now"}}
            )
            for source in sources
        ]
        nbformat.write(
            new_notebook(
                cells=cells, metadata={"kernelspec": {"name": "mine", "display_name": "x"}}
            ),
            path,
        )
        return path

    return write


def reference():
    return json.loads(run_notebooks.REFERENCE.read_text(encoding="utf-8"))


def test_a_run_is_clean_and_its_ladder_becomes_the_reference(course, tmp_path):
    bar = "import sys, tqdm\nfor _ in tqdm.tqdm(range(9), file=sys.stdout): pass"
    first = course("01_a.ipynb", ADD_RUNG % ("one", 1, tmp_path), bar)
    course("02_b.ipynb", ADD_RUNG % ("two", 2, tmp_path))
    before = nbformat.read(first, as_version=4)
    run_notebooks.write_whole(
        run_notebooks.REFERENCE, '{"one": {"loss": 9}, "of a stage no longer there": {}}'
    )
    assert not run_notebooks.main([])
    after = nbformat.read(first, as_version=4)
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert [cell.execution_count for cell in after.cells] == [1, 2]
    assert after.cells[0].outputs[0].text == "[] laptop True\n"
    assert (
        after.cells[1].outputs[0].text.count("%|") == 1
        and "100%|" in after.cells[1].outputs[0].text
    )
    assert all(cell.metadata == {"tags": ["t"]} for cell in after.cells)
    assert after.metadata == {
        "kernelspec": run_notebooks.KERNEL,
        "language_info": run_notebooks.LANGUAGE,
    }
    assert b"\r" not in first.read_bytes() and not list(tmp_path.glob("*.part"))
    assert (
        "['one']" in nbformat.read(tmp_path / "02_b.ipynb", as_version=4).cells[0].outputs[0].text
    )
    assert reference() == {"one": {"loss": 1}, "two": {"loss": 2}}

    course(
        "02_b.ipynb", ADD_RUNG % ("two", 2.5, tmp_path)
    )  # alone: its rung is changed, the other stays
    assert not run_notebooks.main(["2"])
    assert reference() == {"one": {"loss": 1}, "two": {"loss": 2.5}}


def test_a_folded_answer_does_not_show_its_first_line():
    answer, other = new_code_cell("1", metadata={"tags": ["hide-output"]}), new_code_cell("2")
    for cell in (answer, other):
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="the answer")]
    notebook = run_notebooks.tidy(run_notebooks.tidy(new_notebook(cells=[answer, other])))
    assert [len(cell.outputs) for cell in notebook.cells] == [2, 1]
    assert notebook.cells[0].outputs[0].data == {}


def test_a_notebook_that_fails_is_not_saved(course, capsys):
    path = course("01_a.ipynb", ADD_RUNG % ("one", 1, ""), "1 / 0")
    before = path.read_bytes()
    message = run_notebooks.main([])
    assert "1 / 0" in message and "ZeroDivisionError" in message
    assert path.read_bytes() == before and not run_notebooks.REFERENCE.exists()


def test_smoke_speed_leaves_the_reference(course, tmp_path, monkeypatch):
    monkeypatch.setenv("MYGPT_SPEED", "smoke")
    course("01_a.ipynb", ADD_RUNG % ("one", 1, tmp_path))
    assert not run_notebooks.main(["01"])
    assert not run_notebooks.REFERENCE.exists()


def test_an_interactive_figure_leaves_its_first_picture(course):
    path = course(
        "01_a.ipynb",
        "import ipywidgets\nipywidgets.interact(lambda k: print('k is', k), k=(0, 4));",
    )
    assert not run_notebooks.main([])
    notebook = nbformat.read(path, as_version=4)
    assert "k is 2" in "".join(output.get("text", "") for output in notebook.cells[0].outputs)
    state = notebook.metadata.widgets[run_notebooks.WIDGETS]["state"]
    assert list(state) == [f"widget-{n:03}" for n in range(len(state))] and len(state) > 2
    view = "application/vnd.jupyter.widget-view+json"
    assert any(
        output.get("data", {}).get(view, {}).get("model_id") in state
        for output in notebook.cells[0].outputs
    )


def test_an_unknown_number_is_named(course):
    course("01_a.ipynb", "1")
    assert (
        run_notebooks.main(["7"])
        == "run_notebooks: no notebook 07 in " + run_notebooks.NOTEBOOKS.name + "/: there are 01"
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_has_every_alt_text(path):
    page = BeautifulSoup(export_html.export(path), "html.parser")
    wanted = [
        output.metadata["image/png"]["alt"]
        for _, output in pictures(nbformat.read(path, as_version=4))
    ]
    assert [image["alt"] for image in page.find_all("img")] == wanted


def test_a_page_keeps_odd_alt_texts_folds_and_formulas_without_a_network(tmp_path):
    alt = 'He said "a < b & c"; it\'s so.'
    picture = new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": alt}})
    shown = new_output("stream", name="stdout", text="the answer")
    notebook = new_notebook(
        cells=[
            new_markdown_cell(r"A formula $a < \frac{1}{2}$ and $$\sum_i x_i$$"),
            new_code_cell("show()", outputs=[picture]),
            new_code_cell(
                "predicted()", outputs=[shown], metadata={"jupyter": {"outputs_hidden": True}}
            ),
            new_code_cell("solved()", metadata={"jupyter": {"source_hidden": True}}),
        ]
    )
    nbformat.write(notebook, tmp_path / "01_a.ipynb")
    text = export_html.export(tmp_path / "01_a.ipynb")
    page = BeautifulSoup(text, "html.parser")
    assert [image["alt"] for image in page.find_all("img")] == [alt]
    assert len(page.find_all("math")) == 2 and "frac" not in page.get_text()
    answer, solution = (fold.get_text() for fold in page.find_all("details"))
    assert "the answer" in answer and "predicted" not in answer and "solved()" in solution
    assert not page.find_all("script") and not re.search(r"(src|href)=.https?:", text)


def test_a_figure_for_the_readme_is_saved_beside_the_notebooks(tmp_path, monkeypatch):
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    png = base64.b64encode(b"a picture").decode()
    cells = [nbformat.v4.new_code_cell("", metadata={"tags": tags}) for tags in ([], ["readme"])]
    for cell in cells:
        cell.outputs = [
            nbformat.v4.new_output("stream", text="words"),
            nbformat.v4.new_output("display_data", {"image/png": png}),
        ]
    run_notebooks.keep_pictures(nbformat.v4.new_notebook(cells=cells), tmp_path / "05_blocks.ipynb")
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["05_blocks.png"]
    assert (tmp_path / "docs" / "05_blocks.png").read_bytes() == b"a picture"
