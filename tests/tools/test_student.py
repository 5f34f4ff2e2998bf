"""tools/student.py in a clone of a small course: taking a newer version, setting things back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIRST, SECOND = "notebooks/01_bigram.ipynb", "notebooks/02_attention.ipynb"
TOOL = Path(__file__).resolve().parents[1] / "tools" / "student.py"
pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


def code(source, *tags):
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "an-id",
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "source": [source],
    }


def words(source):
    return {"cell_type": "markdown", "id": "an-id", "metadata": {}, "source": [source]}


def notebook(*cells):
    return (
        json.dumps(
            {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5},
            indent=1,
            ensure_ascii=False,
            sort_keys=True,
        )
        + "\n"
    )


BIGRAM = notebook(
    words("# 01 · Bigram"),
    code("text = 'Ay, me.'"),
    words("### Exercise 1 · one ★☆☆ 2 min\nCount."),
    code("one = ...", "exercise"),
    words("*A solution, folded.*"),
    code("one_solution = 1", "solution"),
    words("### Exercise 2 · two ★☆☆ 2 min\nCount."),
    code("two = ...", "exercise"),
    words("*A solution, folded.*"),
    code("two_solution = 2", "solution"),
    words("## What you now know"),
    code("ladder()"),
)


def git(folder, *arguments):
    identity = ["-c", "user.name=A Teacher", "-c", "user.email=teacher@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def put(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8", newline="\n")


@pytest.fixture
def course(tmp_path):
    """(teacher, student): two clones of one bare repository that holds a course of two notebooks."""
    git(tmp_path, "init", "--bare", "-b", "main", "course.git")
    git(tmp_path, "clone", "course.git", "teacher")
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    git(teacher, "switch", "-C", "main")
    put(
        teacher,
        {
            FIRST: BIGRAM,
            SECOND: BIGRAM,
            "mygpt_text.py": "version = 1\n",
            ".gitignore": "my-work/\ndata/*.txt\n",
        },
    )
    (teacher / "tools").mkdir()
    shutil.copy(TOOL, teacher / "tools")
    publish(teacher)
    git(tmp_path, "clone", "course.git", "student")
    return teacher, student


def publish(teacher, files=()):
    put(teacher, dict(files))
    git(teacher, "add", "--all", "--force")
    git(teacher, "commit", "-m", "a version")
    git(teacher, "push", "origin", "main")


def tool(folder, *arguments, **environment):
    command = [sys.executable, "tools/student.py", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"} | environment,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def read(folder, name):
    return (folder / name).read_text(encoding="utf-8")


def kept(student, name):
    """The contents under which `name` is kept in my-work/."""
    return [path.read_text(encoding="utf-8") for path in sorted(student.glob(f"my-work/*/{name}"))]


ANSWERED = BIGRAM.replace("two = ...", "two = 1 + 1").replace("one = ...", "one = 1")
IMPROVED = BIGRAM.replace("Ay, me.", "Ay me!")


# ----------------------------------------------------------------------------- update


def test_update_keeps_a_changed_notebook_and_takes_the_new_one(course):
    teacher, student = course
    put(student, {FIRST: ANSWERED})
    publish(teacher, {FIRST: IMPROVED})
    status, said = tool(student, "update")
    assert status == 0 and "my-work/" in said
    assert read(student, FIRST) == IMPROVED
    assert kept(student, FIRST) == [ANSWERED]


def test_update_leaves_alone_what_the_new_version_does_not_change(course):
    teacher, student = course
    put(student, {FIRST: ANSWERED, "mygpt_text.py": "version = 1.5\n", "notes.md": "mine"})
    publish(teacher, {SECOND: IMPROVED})
    status, said = tool(student, "update")
    assert status == 0
    assert "mygpt_text.py" in said and FIRST in said  # named, as changed and left
    assert read(student, SECOND) == IMPROVED
    assert read(student, FIRST) == ANSWERED
    assert (
        read(student, "mygpt_text.py") == "version = 1.5\n" and read(student, "notes.md") == "mine"
    )
    assert not (student / "my-work").exists()


def test_update_keeps_changed_modules_staged_files_and_files_in_the_way(course):
    teacher, student = course
    put(
        student,
        {
            "mygpt_text.py": "mine\n",
            SECOND: ANSWERED,
            "added.py": "mine, added",
            "notebooks/03_head.ipynb": "mine, untracked",
            "data/x.txt": "mine, ignored",
        },
    )
    git(student, "add", "mygpt_text.py", "added.py")
    (student / FIRST).unlink()
    names = ("mygpt_text.py", FIRST, "notebooks/03_head.ipynb", "data/x.txt", "added.py")
    new = {name: f"new {name}\n" for name in names}
    (teacher / SECOND).unlink()
    publish(teacher, new)
    status, said = tool(student, "update")
    assert status == 0, said
    for name, content in new.items():
        assert read(student, name) == content
    assert not (student / SECOND).exists()
    assert kept(student, "mygpt_text.py") == ["mine\n"]
    assert kept(student, SECOND) == [ANSWERED]
    assert kept(student, "notebooks/03_head.ipynb") == ["mine, untracked"]
    assert kept(student, "data/x.txt") == ["mine, ignored"] and kept(student, "added.py") == [
        "mine, added"
    ]


def test_update_without_news_changes_nothing(course):
    _, student = course
    put(student, {FIRST: ANSWERED})
    status, said = tool(student, "update")
    assert status == 0 and "newest" in said
    assert read(student, FIRST) == ANSWERED and not (student / "my-work").exists()


def test_update_with_commits_of_ones_own_says_so_and_changes_nothing(course):
    teacher, student = course
    put(student, {"mygpt_text.py": "mine\n"})
    git(student, "commit", "-a", "-m", "mine")
    put(student, {FIRST: ANSWERED})
    publish(teacher, {FIRST: IMPROVED})
    status, said = tool(student, "update")
    assert status == 1 and "1 commit(s) of your own" in said
    assert read(student, FIRST) == ANSWERED


def test_update_that_fails_puts_everything_back(course):
    teacher, student = course
    put(student, {FIRST: ANSWERED, "extra/mine.txt": "a folder where a file is to come"})
    publish(teacher, {FIRST: IMPROVED, "extra": "a file"})
    status, said = tool(student, "update")
    assert status == 1 and "was not taken" in said
    assert read(student, FIRST) == ANSWERED
    assert read(student, "extra/mine.txt").startswith("a folder")


def test_update_without_a_network_says_so(course):
    _, student = course
    git(student, "remote", "set-url", "origin", str(student / "nowhere.git"))
    put(student, {FIRST: ANSWERED})
    status, said = tool(student, "update")
    assert status == 1 and "network" in said
    assert read(student, FIRST) == ANSWERED


# ----------------------------------------------------------------------------- reset


@pytest.mark.parametrize("name", ["01", "1", "01_bigram", FIRST])
def test_reset_sets_a_notebook_back_and_keeps_the_students(course, name):
    _, student = course
    put(student, {FIRST: ANSWERED, SECOND: ANSWERED})
    assert tool(student, "reset", name)[0] == 0
    assert read(student, FIRST) == BIGRAM
    assert kept(student, FIRST) == [ANSWERED]
    assert read(student, SECOND) == ANSWERED


def test_reset_of_one_exercise_leaves_the_others(course):
    _, student = course
    put(student, {FIRST: ANSWERED})
    assert tool(student, "reset", "01", "--exercise", "2")[0] == 0
    assert read(student, FIRST) == BIGRAM.replace("one = ...", "one = 1")
    assert kept(student, FIRST) == [ANSWERED]


def test_reset_of_one_exercise_leaves_cells_the_student_added(course):
    _, student = course
    mine = json.loads(ANSWERED)
    mine["cells"].insert(7, code("scratch = 'between the heading and the answer'"))
    put(student, {FIRST: json.dumps(mine)})
    assert tool(student, "reset", "01", "--exercise", "2")[0] == 0
    sources = ["".join(cell["source"]) for cell in json.loads(read(student, FIRST))["cells"]]
    assert (
        sources[7].startswith("scratch") and sources[8] == "two = ..." and sources[3] == "one = 1"
    )


@pytest.mark.parametrize(
    "lost", [[7], [7, 8, 9], [6]], ids=["answer", "answer and solution", "heading"]
)
def test_reset_of_an_exercise_that_the_student_deleted_changes_nothing(course, lost):
    _, student = course
    mine = json.loads(ANSWERED)
    mine["cells"] = [cell for i, cell in enumerate(mine["cells"]) if i not in lost]
    put(student, {FIRST: json.dumps(mine)})
    status, said = tool(student, "reset", "01", "--exercise", "2")
    assert status == 1 and "has lost exercise 2" in said
    assert json.loads(read(student, FIRST)) == mine


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["09"], "There is no notebook 09. There are: 01_bigram, 02_attention."),
        (["01", "--exercise", "7"], "There is no exercise 7 in notebooks/01_bigram.ipynb."),
    ],
)
def test_reset_of_something_unknown_names_what_there_is(course, arguments, message):
    _, student = course
    status, said = tool(student, "reset", *arguments)
    assert status == 1 and message in said


def test_reset_of_a_broken_or_deleted_notebook(course):
    _, student = course
    put(student, {FIRST: "{ cut off"})
    status, said = tool(student, "reset", "01", "--exercise", "1")
    assert status == 1 and "whole notebook" in said
    assert tool(student, "reset", "01")[0] == 0
    assert read(student, FIRST) == BIGRAM
    assert kept(student, FIRST) == ["{ cut off"]
    (student / FIRST).unlink()
    assert tool(student, "reset", "01")[0] == 0
    assert read(student, FIRST) == BIGRAM


def test_reset_twice_in_one_second_keeps_both(course):
    _, student = course
    for answer in ("one = 1", "one = 2", "one = 3"):
        put(student, {FIRST: BIGRAM.replace("one = ...", answer)})
        tool(student, "reset", "01")
    assert len(kept(student, FIRST)) == 3


def test_reset_of_an_untouched_notebook_does_nothing(course):
    _, student = course
    for arguments in (["01"], ["01", "--exercise", "1"]):
        status, said = tool(student, "reset", *arguments)
        assert status == 0 and "Nothing to do" in said
    assert not (student / "my-work").exists()


@pytest.mark.parametrize("arguments", [["update"], ["reset", "01"]])
def test_without_git_or_in_a_zip_download_says_what_to_do(course, arguments, tmp_path):
    _, student = course
    status, said = tool(student, *arguments, PATH=str(tmp_path / "empty"))
    assert status == 1 and "git is not installed" in said
    shutil.rmtree(student / ".git")
    status, said = tool(student, *arguments, GIT_CEILING_DIRECTORIES=str(tmp_path))
    assert status == 1 and "not a git clone" in said
