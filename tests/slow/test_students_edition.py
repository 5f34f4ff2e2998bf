"""The students' edition runs through unsolved, and with the solutions put back every check says right."""

import shutil
import subprocess
import sys

import pytest
from nbclient import NotebookClient
from test_student_edition import NOTEBOOKS, read, tagged

import make_student
from run_notebooks import answer_cells


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    folders = tmp_path_factory.mktemp("student"), tmp_path_factory.mktemp("solutions")
    make_student.write_edition(*folders)
    return folders


def output_text(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def execute(notebook, folder, monkeypatch, runs):
    monkeypatch.setenv("MYGPT_SPEED", "smoke")
    monkeypatch.setenv("MYGPT_RUNS", str(runs))
    monkeypatch.setenv("PYTHONPATH", str(folder))  # the modules as handed out
    where = {"metadata": {"path": str(folder / "notebooks")}}
    NotebookClient(notebook, kernel_name="python3", timeout=300, resources=where).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_of_the_handout_says_not_attempted_yet(path, edition, tmp_path, monkeypatch):
    notebook = read(edition[0] / "notebooks" / path.name)
    execute(notebook, edition[0], monkeypatch, tmp_path)
    said = [output_text(notebook.cells[place]) for place in answer_cells(notebook).values()]
    assert said and all("not attempted yet" in text for text in said), said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_with_the_solutions_put_back_everything_passes(path, edition, tmp_path, monkeypatch):
    notebook = read(edition[0] / "notebooks" / path.name)
    solutions = tagged(read(edition[1] / f"{path.stem}_solutions.ipynb"), "solution")
    # an exercise may ask for two things: a cell for each
    cells = enumerate(notebook.cells)
    places = [place for place, cell in cells if "exercise" in cell.metadata.get("tags", [])]
    for place, solution in reversed([*zip(places, solutions, strict=True)]):
        notebook.cells.insert(place + 1, solution)
    execute(notebook, edition[0], monkeypatch, tmp_path)
    said = [output_text(cell) for cell in tagged(notebook, "solution")]
    assert said and all("✓" in text for text in said), said


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_lab_works_in_the_handout(edition, tmp_path):
    """With a pip, a JupyterLab and a text that only say that they were called."""
    course = tmp_path / "handout"
    shutil.copytree(edition[0], course)
    shutil.rmtree(course / "mygpt")
    for name in ("pip", "jupyterlab", "mygpt"):
        (course / name).mkdir()
        (course / name / "__init__.py").touch()  # before the pip of .venv
        program = f"import sys; print('{name}', *sys.argv[1:])\n"
        (course / name / "__main__.py").write_text(program, encoding="utf-8")
    (course / "jupyterlab" / "labextensions.py").touch()
    command = ["make", "lab", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True)
    assert "install -r requirements.txt" in done.stdout, done.stderr
    assert "mygpt text" in done.stdout
    assert "/lab/tree/notebooks/01_bigram.ipynb" in done.stdout
