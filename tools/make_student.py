"""Write the students' edition: the course to hand out, without outputs and without solutions.

    python tools/make_student.py

build/student/            to hand out: notebooks, modules, what `make lab` needs; in colab/ the same
                          notebooks as single files that run alone
build/student-solutions/  for the teacher: each notebook's exercises with their solutions
"""

import ast
import base64
import copy
import re
import shutil
import sys

import nbformat
from nbformat.v4 import new_markdown_cell

from make_colab import bundle, code
from mygpt.files import write_whole
from mygpt.text import load_text
from run_notebooks import ROOT, answer_cells, find, is_tagged, metadata, save_notebook

COURSE = (
    "LICENSE",
    "environment.yml",
    "pyproject.toml",
    "requirements.txt",
    "mygpt_helpers.py",
    "mygpt/**/*.py",
    "data/README.md",
    "data/*.json",
    "data/*.safetensors",
    "data/reference/*",
    "notebooks/GLOSSARY.md",
    "tools/find_python.sh",
)
OURS = "# ------------------------------------------------------------------ in a clone"  # Makefile

README = """\
# My GPT: students' edition

A course in Jupyter notebooks that builds a GPT from nothing, in PyTorch. You need Python 3.11, 3.12 or 3.13.

* With `make`: `make lab` sets everything up and opens the first notebook. `make lab NB=03` opens the third.
* **Windows**, or without `make`:

```
py -m venv .venv
.venv\\Scripts\\pip install -r requirements.txt
.venv\\Scripts\\jupyter lab notebooks\\01_bigram.ipynb
```

* **Colab**: upload a file from the folder `colab`. It has everything inside that it needs.

When a **Predict** asks about a cell, write your prediction down before you run the cell. The exercises check
themselves: `check.name(answer)` says in one line what is right, or which mistake your answer looks like. Your
teacher has the solutions. Where a notebook goes on with an answer, it uses yours if it is right. Otherwise it uses
one that it brings along, in a form that cannot be read by accident.

Work in a copy of this folder. Then you can always get a cell back as it was.

"""

STAND_IN = '''\
# @title A right answer to this exercise, in case the next cells need it. Run it, and solve it when you like.
import base64

exec(base64.b64decode("""
{lines}
"""))'''

EXERCISE = re.compile(r"^### Exercise .*", re.MULTILINE | re.DOTALL)
ANNOUNCEMENT = re.compile(r"^\*A solution, folded.*\*\n*", re.MULTILINE)


# ----------------------------------------------------------------------------- a notebook, and its solutions


def without_solutions(notebook):
    """The notebook as it is handed out: no outputs, no solutions, nothing that announces them."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    used = names(code(cell for cell in notebook.cells if not is_tagged(cell, "solution")))
    for cell in reversed(notebook.cells):  # a solution may use one before it
        if cell.cell_type == "markdown":
            cell.source = ANNOUNCEMENT.sub("", cell.source)
            continue
        cell.update(outputs=[], execution_count=None)
        if is_tagged(cell, "solution"):
            source = definitions(cell.source, used)
            used |= names(source)
            cell.source = source and unreadable(source)
            cell.metadata.tags = ["stand-in"]
            cell.metadata = nbformat.from_dict(metadata(cell))
        elif is_tagged(cell, "hide-output"):  # there is no output to hide
            cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags})
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def names(program):
    """All names in a program."""
    return {node.id for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Name)}


def definitions(solution, used):
    """What a solution defines: its imports, functions, classes and values. "" if none of it is used."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign)
    nodes = [node for node in ast.parse(solution).body if isinstance(node, kinds)]
    defined = {node.name for node in nodes if hasattr(node, "name")}
    for node in nodes:
        if isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return "\n\n".join(map(ast.unparse, nodes)) if defined & used else ""


def unreadable(source):
    encoded = base64.b64encode(source.encode("utf-8")).decode("ascii")
    return STAND_IN.format(lines="\n".join(re.findall(".{1,100}", encoded)))


def only_solutions(notebook, name):
    """A notebook of the exercises' tasks, each with its solution beneath."""
    about = (
        f"# Solutions to {name}\n\nA solution runs in that notebook, in a cell below its exercise."
    )
    cells, task = [new_markdown_cell(about, id="about-this-file")], None
    for cell in copy.deepcopy(notebook.cells):
        if cell.cell_type == "markdown":
            task = EXERCISE.search(cell.source) or task
        elif is_tagged(cell, "solution"):
            cell.update(outputs=[], execution_count=None, metadata={"tags": ["solution"]})
            cells += [new_markdown_cell(task[0], id=f"task-{len(cells) // 2 + 1}"), cell]
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": notebook.metadata.kernelspec}
    )


# ----------------------------------------------------------------------------- answers are not handed out


def is_open(cell):
    """Whether an exercise stands as it was given: nothing is in its functions and classes but `...`.

    Where it defines none, nothing but `...` may be assigned.
    """
    nodes = list(ast.walk(ast.parse(cell.source)))
    bodies = [node.body for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    bodies = bodies or [[node] for node in nodes if isinstance(node, ast.Assign)]
    return bool(bodies) and all(is_given(statement) for body in bodies for statement in body)


def is_given(statement):
    """`...`, `name = ...`, a docstring, super().__init__(), or a definition, whose own body is looked at."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, ast.Assign):
        return getattr(statement.value, "value", None) is ...
    constant = isinstance(getattr(statement, "value", None), ast.Constant)
    return isinstance(statement, ast.Expr) and (
        constant or ast.unparse(statement).startswith("super().__init__(")
    )


def refuse_answers(notebook, name):
    """An exercise that is filled in would hand the answer out."""
    for number, position in answer_cells(notebook).items():
        if not is_open(notebook.cells[position]):
            sys.exit(
                f"notebooks/{name}: exercise {number} is filled in. "
                f"First: make reset NB={name[:2]} EX={number}"
            )


# ----------------------------------------------------------------------------- the folders


def readme():
    """Its own beginning, and of the course's README what helps when something goes wrong."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, heading, rest = text.partition("## When something goes wrong\n")
    return README + heading + rest.split("\n## ")[0].rstrip() + "\n"


def makefile():
    """Of the course's Makefile what a student needs."""
    return (ROOT / "Makefile").read_text(encoding="utf-8").split(OURS)[0].rstrip() + "\n"


def write_edition(student, solutions):
    """Write both folders anew: nothing of an earlier version is handed out."""
    notebooks = {path: nbformat.read(path, as_version=4) for path in find([])}
    for path, notebook in notebooks.items():
        refuse_answers(notebook, path.name)
    for folder in (student, solutions):
        shutil.rmtree(folder, ignore_errors=True)
    for path in (path for pattern in COURSE for path in sorted(ROOT.glob(pattern))):
        write_whole(student / path.relative_to(ROOT), path.read_bytes())
    write_whole(student / "README.md", readme())
    write_whole(student / "Makefile", makefile())
    for path, notebook in notebooks.items():
        handout = without_solutions(notebook)
        save_notebook(student / "notebooks" / path.name, handout)
        save_notebook(student / "colab" / path.name, bundle(handout))
        save_notebook(
            solutions / f"{path.stem}_solutions.ipynb", only_solutions(notebook, path.name)
        )
    # for where there is no network
    write_whole(student / "data" / "tinyshakespeare.txt", load_text("tinyshakespeare"))


def main():
    write_edition(ROOT / "build" / "student", ROOT / "build" / "student-solutions")
    print("To hand out: build/student/")
    print("Solutions:   build/student-solutions/")


if __name__ == "__main__":
    main()
