"""tools/make_student.py: what is handed out, and what is kept back. (tests/slow/ runs it.)"""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import make_student
from run_notebooks import answer_cells, find, is_tagged

NOTEBOOKS = find([])
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """(folder to hand out, folder of solutions), made anew over the remains of an older one."""
    student, solutions = (tmp_path_factory.mktemp(name) for name in ("student", "solutions"))
    (student / "old.ipynb").touch()
    make_student.write_edition(student, solutions)
    return student, solutions


def read(path):
    return nbformat.read(path, as_version=4)


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if is_tagged(cell, tag)]


def lines(cells):
    return {line.strip() for cell in cells for line in cell.source.splitlines() if line.strip()}


# ----------------------------------------------------------------------------- the course's notebooks


@pytest.mark.parametrize("folder", ["notebooks", "colab"])
@each_notebook
def test_no_solution_and_no_output_is_handed_out(path, folder, edition):
    original, handed_out = read(path), read(edition[0] / folder / path.name)
    nbformat.validate(handed_out)
    solutions = tagged(original, "solution")
    secret = lines(solutions) - lines(cell for cell in original.cells if cell not in solutions)
    assert secret
    assert not secret & lines(cell for cell in handed_out.cells if not is_tagged(cell, "set-up"))
    text = (edition[0] / folder / path.name).read_text(encoding="utf-8")
    assert not re.search(r"(def|class) \w+_?[sS]olution\b|@title Solution|solution, folded", text)
    cells = [cell for cell in handed_out.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    assert "outputs_hidden" not in text


@each_notebook
def test_all_else_is_as_in_the_notebook(path, edition):
    original, handed_out = read(path), read(edition[0] / "notebooks" / path.name)
    kept = [cell.source for cell in original.cells if not is_tagged(cell, "solution")]
    kept = [make_student.ANNOUNCEMENT.sub("", source) for source in kept]
    given = [cell.source for cell in handed_out.cells if not is_tagged(cell, "stand-in")]
    assert given == [source for source in kept if source]


@each_notebook
def test_every_exercise_has_its_solution_for_the_teacher(path, edition):
    original = read(path)
    solutions = read(edition[1] / f"{path.stem}_solutions.ipynb")
    nbformat.validate(solutions)
    tasks = [cell.source for cell in solutions.cells if cell.cell_type == "markdown"][1:]
    numbers = [re.match(r"### Exercise (\d+)", task)[1] for task in tasks]
    assert list(dict.fromkeys(numbers)) == list(answer_cells(original))  # one may have two
    given = [cell.source for cell in tagged(original, "solution")]
    assert [cell.source for cell in solutions.cells if cell.cell_type == "code"] == given


def test_the_handout_is_a_course_that_can_be_opened(edition):
    student, solutions = edition
    files = {path.relative_to(student).as_posix() for path in student.rglob("*") if path.is_file()}
    wanted = {"Makefile", "README.md", "LICENSE", "requirements.txt", "tools/find_python.sh"}
    wanted |= {"mygpt_helpers.py", "mygpt/train.py", "mygpt/checks/nb01.py", "pyproject.toml"}
    wanted |= {"data/reference/ladder.json", "data/tinyshakespeare.txt", "notebooks/GLOSSARY.md"}
    assert wanted <= files
    assert not [name for name in files if re.match("tests|teaching|tools/make|old", name)]
    readme = (student / "README.md").read_text(encoding="utf-8")
    assert "## When something goes wrong\n" in readme and "make reset" not in readme
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)
    assert all((student / link).exists() for link in links)
    assert len(list(solutions.iterdir())) == len(NOTEBOOKS)


# ----------------------------------------------------------------------------- stand-ins

FUNCTION = "# @title Solution\ndef head_solution(x):\n    return scale(x)  # é\n\n\ndef scale(x):\n    return x + SHIFT\n\n\nSHIFT = 1\nprint('secret')"
CLASS = "# @title Solution\nimport math\n\n\nclass BlockSolution:\n    def forward(self, x):\n        return head_solution(math.floor(x))\n\n\nassert BlockSolution"
UNUSED = "# @title Solution\ndef other_solution():\n    secret = 1\n\n\nassert other_solution"


def handout(*solutions, last):
    """The stand-ins and the last cell of a handed-out notebook with these solutions."""
    text = new_markdown_cell("*A solution, folded. Try first.*\n\nMore.")
    cells = [new_code_cell(source, metadata={"tags": ["solution"]}) for source in solutions]
    notebook = new_notebook(cells=[text, *cells, new_code_cell(last)])
    handed_out = make_student.without_solutions(notebook)
    nbformat.validate(handed_out)
    assert notebook.cells[0].source.startswith("*A solution")  # the original stays as it is
    assert handed_out.cells[0].source == "More."
    return handed_out.cells[1:-1], handed_out.cells[-1]


def run(*cells):
    space = {}
    for cell in cells:
        exec(cell.source, space)
    return space


def test_a_solution_that_the_notebook_goes_on_with_is_brought_along_unreadably():
    last = "head = own_or(check, ..., head_solution) if 0 else head_solution\nassert head(1) == 2"
    stand_ins, last = handout(FUNCTION, UNUSED, last=last)
    assert len(stand_ins) == 1 and "return" not in stand_ins[0].source
    assert stand_ins[0].metadata == {
        "tags": ["stand-in"],
        "cellView": "form",
        "jupyter": {"source_hidden": True},
    }
    space = run(*stand_ins, last)
    assert "other_solution" not in space


def test_a_class_brings_along_what_it_uses_of_an_earlier_solution():
    stand_ins, last = handout(FUNCTION, CLASS, last="assert BlockSolution().forward(1.5) == 2")
    assert len(stand_ins) == 2
    run(*stand_ins, last)


def test_a_value_can_be_a_solution():
    stand_ins, last = handout("# @title Solution\nrate_solution = 3", last="assert rate_solution")
    assert "3" not in stand_ins[0].source.splitlines()
    run(*stand_ins, last)


def test_a_solution_that_nothing_uses_leaves_no_cell():
    stand_ins, _ = handout(UNUSED, last="own = 1")
    assert stand_ins == []


# ----------------------------------------------------------------------------- answers are not handed out

OPEN = [
    "def f(x):\n    ...  # your code here\n\n\ncheck.f(f);",
    'def f(x):\n    """Twice x."""\n    ...',
    "class Head(nn.Module): ...",
    "class Head(nn.Module):\n    def __init__(self, config):\n        super().__init__()\n        ...\n\n"
    "    def forward(self, x):\n        ...  # your code here",
    "rate = ...\ncheck.rate(rate);",
]
FILLED = [
    "def f(x):\n    return 42",
    "def f(x):\n    answer = 42\n    ...",
    "def f(x):\n    ...\n    return 42",
    "class Head(nn.Module):\n    def __init__(self, config):\n        super().__init__()\n"
    "        self.key = nn.Linear(2, 3)\n        ...\n\n    def forward(self, x):\n        ...",
    "class Head(nn.Module):\n    def forward(self, x):\n        return x",
    "rate = 3",
    "print('the cell was emptied')",
]


@pytest.mark.parametrize("source", OPEN)
def test_an_exercise_as_it_was_given_is_open(source):
    assert make_student.is_open(new_code_cell(source))


@pytest.mark.parametrize("source", FILLED)
def test_an_exercise_that_is_filled_in_is_not_handed_out(source):
    cells = [new_markdown_cell("### Exercise 3 · rate ★☆☆ 2 min"), new_code_cell(source)]
    with pytest.raises(SystemExit, match="exercise 3 is filled in.*make reset NB=01 EX=3"):
        make_student.refuse_answers(new_notebook(cells=cells), "01_one.ipynb")
