"""tools/make_student.py: what is handed out, and what is kept back. (tests_slow/ runs it.)"""

import ast
import base64
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_notebooks import EXERCISE, NOTEBOOKS, code_cells, markdown, tags, tree

import make_student


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """(folder to hand out, folder of solutions), made anew over the remains of an older one."""
    student, solutions = (tmp_path_factory.mktemp(name) for name in ("student", "solutions"))
    (student / "old.ipynb").touch()
    make_student.write_edition(student, solutions)
    return student, solutions


def lines(cells):
    return {line.strip() for cell in cells for line in cell.source.splitlines() if line.strip()}


@pytest.mark.parametrize("folder", ["notebooks", "colab"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_solution_and_no_output_is_handed_out(path, folder, edition):
    original = nbformat.read(path, as_version=4)
    file = edition[0] / folder / path.name
    handed_out = nbformat.read(file, as_version=4)
    nbformat.validate(handed_out)
    elsewhere = lines(cell for cell in original.cells if "solution" not in tags(cell))
    given_away = lines(code_cells(original, "solution")) - elsewhere
    assert given_away and not given_away & lines(
        cell for cell in handed_out.cells if "set-up" not in tags(cell)
    )
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"def \w+_solution\b|@title Solution|solution, folded", text)
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(handed_out))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_else_is_as_in_the_notebook(path, edition):
    original = nbformat.read(path, as_version=4)
    handed_out = nbformat.read(edition[0] / "notebooks" / path.name, as_version=4)
    kept = [
        cell.source
        for cell in original.cells
        if "solution" not in tags(cell) and not cell.source.startswith("*A solution, folded")
    ]
    assert [cell.source for cell in handed_out.cells if "stand-in" not in tags(cell)] == kept


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_exercise_that_is_filled_in_is_not_handed_out(path):
    notebook = nbformat.read(path, as_version=4)
    make_student.refuse_answers(notebook, path.name)
    answer = code_cells(notebook, "exercise")[-1]
    given = answer.source
    for filled in ("return 42", "answer = 42\n    ...", "...\n    return 42"):
        answer.source = given.replace("...", filled, 1)
        words = (
            rf"{path.name}: the exercise of check.\w+ is filled in.*make reset NB={path.name[:2]}"
        )
        with pytest.raises(SystemExit, match=words):
            make_student.refuse_answers(notebook, path.name)


def test_an_answer_that_the_notebook_goes_on_with_is_brought_along_unreadably():
    used = "def used_solution(x):\n    return x + 1  # é"
    unused = "# @title Solution\ndef other_solution():\n    secret = 1\n\n\nassert other_solution"
    solutions = [
        new_code_cell(source, metadata={"tags": ["solution"], "cellView": "form"})
        for source in (f"# @title Solution\n{used}\n\n\nprint('secret')", unused)
    ]
    text = new_markdown_cell(
        "*A solution, folded; the next cell uses it. Open it when you have tried.*\n\nMore."
    )
    notebook = new_notebook(cells=[text, *solutions, new_code_cell("assert used_solution(1) == 2")])
    handed_out = make_student.without_solutions(notebook)
    nbformat.validate(handed_out)
    more, stand_in, last = handed_out.cells
    assert more.source == "More." and "return" not in stand_in.source and "folded" in text.source
    assert stand_in.metadata == {
        "tags": ["stand-in"],
        "cellView": "form",
        "jupyter": {"source_hidden": True},
    }
    space = {}
    exec(stand_in.source, space)
    exec(last.source, space)
    assert not [name for name in space if "other" in name]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_that_only_a_solution_defines_is_missing(path, edition):
    def defined(cells):
        nodes = [node for cell in cells for node in ast.walk(tree(cell))]
        stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        return stored | {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}

    original = nbformat.read(path, as_version=4)
    handed_out = nbformat.read(edition[0] / "notebooks" / path.name, as_version=4)
    solutions = code_cells(original, "solution")
    lost = defined(solutions) - defined(c for c in code_cells(original) if c not in solutions)
    for cell in code_cells(handed_out, "stand-in"):
        lost -= set(
            re.findall(r"def (\w+)", base64.b64decode(cell.source.split('"""')[1]).decode("utf-8"))
        )
    used = {
        n.id for c in code_cells(handed_out) for n in ast.walk(tree(c)) if isinstance(n, ast.Name)
    }
    assert not lost & used


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_its_solution_for_the_teacher(path, edition):
    original = nbformat.read(path, as_version=4)
    solutions = nbformat.read(edition[1] / f"{path.stem}_solutions.ipynb", as_version=4)
    nbformat.validate(solutions)
    titles = [match[0] for match in EXERCISE.finditer(markdown(original))]
    assert [match[0] for match in EXERCISE.finditer(markdown(solutions))] == titles
    assert [c.source for c in code_cells(solutions)] == [
        c.source for c in code_cells(original, "solution")
    ]


def test_the_handout_is_a_course_that_can_be_opened(edition):
    student, solutions = edition
    files = {path.relative_to(student).as_posix() for path in student.rglob("*") if path.is_file()}
    assert {
        "Makefile",
        "README.md",
        "requirements.txt",
        "pyproject.toml",
        "tools/setup.py",
        "mygpt_checks.py",
        "data/reference/ladder.json",
        "notebooks/GLOSSARY.md",
    } <= files
    assert (
        not {name for name in files if name.startswith("tests") or "TEACHING" in name}
        and "old.ipynb" not in files
    )
    readme = (student / "README.md").read_text(encoding="utf-8")
    assert (
        "**GPU**" in readme
        and "## When something goes wrong" in readme
        and "make update" not in readme
    )
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)
    assert all((student / link).exists() for link in links)
    assert len(list(solutions.iterdir())) == len(NOTEBOOKS)
