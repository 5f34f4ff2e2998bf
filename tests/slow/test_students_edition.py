"""The students' edition runs through unsolved, and with the solutions put back every check says right."""

import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from test_notebooks import NOTEBOOKS, code_cells, output_text, tags
from test_student_edition import edition  # noqa: F401, a fixture


def execute(notebook, folder, monkeypatch, runs):
    monkeypatch.setenv("MYGPT_SPEED", "smoke")
    monkeypatch.setenv("MYGPT_RUNS", str(runs))
    monkeypatch.setenv("PYTHONPATH", str(folder))  # the modules as handed out
    where = {"metadata": {"path": str(folder / "notebooks")}}
    NotebookClient(notebook, kernel_name="python3", timeout=300, resources=where).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_of_the_handout_says_not_attempted_yet(path, edition, tmp_path, monkeypatch):
    notebook = nbformat.read(edition[0] / "notebooks" / path.name, as_version=4)
    execute(notebook, edition[0], monkeypatch, tmp_path)
    said = [output_text(cell) for cell in code_cells(notebook, "exercise")]
    assert said and all("not attempted yet" in text for text in said), said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_with_the_solutions_put_back_everything_passes(path, edition, tmp_path, monkeypatch):
    notebook = nbformat.read(edition[0] / "notebooks" / path.name, as_version=4)
    solutions = nbformat.read(edition[1] / f"{path.stem}_solutions.ipynb", as_version=4)
    put_back = code_cells(solutions, "solution")
    for solution in put_back:
        number = put_back.index(solution)
        exercise = code_cells(notebook, "exercise")[number]
        notebook.cells.insert(notebook.cells.index(exercise) + 1, solution)
    assert len(put_back) == len(code_cells(notebook, "exercise"))
    execute(notebook, edition[0], monkeypatch, tmp_path)
    said = [output_text(cell) for cell in notebook.cells if "solution" in tags(cell)]
    assert said and all(text.startswith("✓") for text in said), said


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_lab_works_in_the_handout(edition, tmp_path):
    """With a JupyterLab and a text that only say that they were called."""
    course = tmp_path / "handout"
    shutil.copytree(edition[0], course)
    (course / "requirements.txt").write_text("# nothing\n", encoding="utf-8")
    (course / "mygpt_text.py").write_text("print('the text is there')\n", encoding="utf-8")
    (course / "jupyterlab.py").write_text(
        "import sys; print('jupyterlab', *sys.argv[1:])\n", encoding="utf-8"
    )
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}"], cwd=course, capture_output=True, text=True
    )
    assert (
        "the text is there" in done.stdout and "/lab/tree/notebooks/01_bigram.ipynb" in done.stdout
    ), done.stderr
