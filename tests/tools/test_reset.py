"""tools/reset.py in a clone of a small course: what is set back, and that nothing of the reader's is lost."""

import shutil
import subprocess

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import reset
import run_notebooks

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


def delivered():
    cells = [
        new_markdown_cell("# 01 · Bigram", id="title"),
        new_markdown_cell("### Exercise 1 · one ★☆☆ 2 min\nCount.", id="task-1"),
        new_code_cell("one = ...", id="answer-1", metadata={"tags": ["exercise"]}),
        new_code_cell("one_solution = 1", id="solution-1", metadata={"tags": ["solution"]}),
        new_markdown_cell("Well.\n\n### Exercise 2 · two ★★★ 9 min\nCount.", id="task-2"),
        new_code_cell("two = ...", id="answer-2"),  # without the tag: the first code cell
        new_code_cell("two_solution = 2", id="solution-2", metadata={"tags": ["solution"]}),
        new_markdown_cell("## What you now know", id="end"),
        new_code_cell("ladder()", id="last"),
    ]
    return new_notebook(cells=cells)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """The path of a notebook in a clone, answered, beside another one."""
    path = tmp_path / "notebooks" / "01_bigram.ipynb"
    for name in (path, path.with_name("02_attention.ipynb")):
        run_notebooks.save_notebook(name, delivered())
    git = ["git", "-c", "user.name=A Teacher", "-c", "user.email=teacher@example.org"]
    for command in (["init"], ["add", "."], ["commit", "-m", "The course"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True, capture_output=True)
    for module in (reset, run_notebooks):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", path.parent)
    answered = delivered()
    answered.cells[2].source, answered.cells[5].source = "one = 1", "two = 1 + 1"
    run_notebooks.save_notebook(path, answered)
    return path


def sources(path):
    return [cell.source for cell in nbformat.read(path, 4).cells]


def kept(course):
    return [path.read_bytes() for path in course.parent.parent.glob("my-work/*")]


@pytest.mark.parametrize("number", ["01", "1"])
def test_a_notebook_is_set_back_and_the_readers_is_kept(course, number, capsys):
    mine = course.read_bytes()
    assert not reset.main(number)
    assert nbformat.read(course, 4) == delivered()
    assert kept(course) == [mine] and "kept as my-work/" in capsys.readouterr().out


@pytest.mark.parametrize("exercise, place", [("1", 2), ("2", 5)])
def test_one_answer_is_set_back_and_all_else_stays(course, exercise, place):
    mine = nbformat.read(course, 4)
    mine.cells.insert(2, new_code_cell("scratch"))  # between the heading and the answer
    mine.cells.append(new_code_cell("more"))
    run_notebooks.save_notebook(course, mine)
    wanted = sources(course)
    wanted[place + 1] = delivered().cells[place].source
    assert not reset.main("01", exercise)
    assert sources(course) == wanted and len(kept(course)) == 1


def test_each_reset_keeps_its_own_copy(course):
    for _ in range(3):
        assert not reset.main("01")
    assert len(kept(course)) == 3


def remove_answer(course):
    mine = nbformat.read(course, 4)
    del mine.cells[4:7]
    run_notebooks.save_notebook(course, mine)


@pytest.mark.parametrize(
    "arguments, happened, message",
    [
        (("09",), None, "no notebook 09, only 01 02"),
        (("01", "7"), None, "no exercise 7"),
        (("01", "2"), remove_answer, "exercise 2 has lost its cell. Set the whole notebook back"),
        (("01", "2"), lambda course: course.write_text("{ cut off"), "JSON"),
        (("01",), lambda course: shutil.rmtree(course.parents[1] / ".git"), "not a git repository"),
    ],
)
def test_where_it_cannot_it_says_why_and_changes_nothing(course, arguments, happened, message):
    if happened:
        happened(course)
    before = course.read_bytes()
    said = reset.main(*arguments)
    assert message in said and said.endswith("Nothing was changed.")
    assert course.read_bytes() == before and kept(course) == []


def test_a_damaged_notebook_can_be_set_back_whole(course):
    course.write_text("{ cut off", encoding="utf-8")
    assert not reset.main("01")
    assert nbformat.read(course, 4) == delivered() and kept(course) == [b"{ cut off"]
