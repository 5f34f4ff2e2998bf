"""Write the students' edition: the course to hand out, without outputs and without solutions.

    python tools/make_student.py

build/student/            to hand out: notebooks, modules, what `make lab` needs; in colab/ the same notebooks
                          as single files that run alone
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
from mygpt.text import load_text
from run_notebooks import (
    ROOT,
    find,
    save_notebook,
    write_whole,
)  # which makes the modules importable

COURSE = (
    "LICENSE",
    "LICENSE-text",
    "environment.yml",
    "pyproject.toml",
    "requirements.txt",
    "mygpt_*.py",
    "data/README.md",
    "data/*.json",
    "data/*.safetensors",
    "data/reference/*",
    "notebooks/GLOSSARY.md",
    "tools/find_python.sh",
    "tools/setup.py",
)

MAKEFILE = """\
export PYTHON LAB_ARGS

lab:
\t@python=$$(sh tools/find_python.sh) && exec "$$python" tools/setup.py lab $(NB)

.PHONY: lab
"""

README = """\
# My GPT: students' edition

A course in Jupyter notebooks that builds a GPT from nothing, in PyTorch. You need Python 3.11, 3.12 or 3.13.

* With `make`: `make lab` sets everything up and opens the first notebook, `make lab NB=03` the third.
* **Windows**, or without `make`:

```
py -3.11 -m venv .venv
.venv\\Scripts\\pip install -r requirements.txt
.venv\\Scripts\\jupyter lab notebooks\\01_bigram.ipynb
```

* **Colab**: upload a file of the folder `colab`; it has all that it needs inside.

Before a cell that a **Predict** asks about: predict, and only then run it. Exercises check themselves:
`check.name(answer)` says in one line what is right or which mistake it looks like. Your teacher has the solutions.
Keep this folder as you were given it, and work in a copy: a cell that you want back is there.
Where a notebook goes on with an answer, it brings a right one along in a form that cannot be read by accident.

"""

STAND_IN = '''\
# @title A right answer to this exercise, which the next cells use. Run it, and solve it when you like.
import base64

exec(base64.b64decode("""
{lines}
"""))'''

EXERCISE = re.compile(r"^### Exercise .*", re.MULTILINE | re.DOTALL)
ANNOUNCEMENT = re.compile(r"^\*A solution, folded.*\*\n*", re.MULTILINE)


def is_tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def without_solutions(notebook):
    """The notebook as it is handed out: no outputs, no solutions, nothing that announces them."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    rest = [cell for cell in notebook.cells if not is_tagged(cell, "solution")]
    used = {node.id for node in ast.walk(ast.parse(code(rest))) if isinstance(node, ast.Name)}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = ANNOUNCEMENT.sub("", cell.source)
        else:
            cell.update(outputs=[], execution_count=None)
            cell.metadata.pop("jupyter", None)
        if is_tagged(cell, "solution"):
            cell.source = unreadable(cell.source, used)
            cell.metadata.update({"tags": ["stand-in"], "jupyter": {"source_hidden": True}})
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def unreadable(solution, used):
    """The functions of a solution that the rest of the notebook uses, encoded. Empty if there are none."""
    functions = [node for node in ast.parse(solution).body if getattr(node, "name", None) in used]
    if not functions:
        return ""
    source = "\n\n\n".join(ast.get_source_segment(solution, node) for node in functions)
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


def readme():
    """Its own beginning, and of the course's README what helps when something goes wrong."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    gpu = re.search(r"^\*\*GPU\*\*.*", text, re.MULTILINE)
    troubles = re.search(
        r"^## When something goes wrong\n.*?(?=\n## )", text, re.MULTILINE | re.DOTALL
    )
    return f"{README}{gpu[0]}\n\n{troubles[0]}"


def is_open(cell):
    """Whether an exercise stands as it was given: functions with the body `...`, or a name that is `...`."""
    nodes = list(ast.walk(ast.parse(cell.source)))
    bodies = [node.body for node in nodes if isinstance(node, ast.FunctionDef)]
    values = [[node] for node in nodes if isinstance(node, ast.Assign)] if not bodies else []
    blanks = [
        len(body) == 1 and getattr(getattr(body[0], "value", None), "value", None) is ...
        for body in bodies + values
    ]
    return bool(blanks) and all(blanks)


def refuse_answers(notebook, name):
    """An exercise that is filled in would hand the answer out."""
    for cell in notebook.cells:
        if is_tagged(cell, "exercise") and not is_open(cell):
            call = re.search(r"check\.\w+", cell.source)
            exercise = call[0] if call else cell.source
            sys.exit(
                f"notebooks/{name}: the exercise of {exercise} is filled in. First: make reset NB={name[:2]}"
            )


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
    write_whole(student / "Makefile", MAKEFILE)
    for path, notebook in notebooks.items():
        handout = without_solutions(notebook)
        save_notebook(student / "notebooks" / path.name, handout)
        save_notebook(student / "colab" / path.name, bundle(handout))
        save_notebook(
            solutions / f"{path.stem}_solutions.ipynb", only_solutions(notebook, path.name)
        )
    write_whole(
        student / "data" / "tinyshakespeare.txt", load_text("tinyshakespeare")
    )  # for where no network is


def main():
    write_edition(ROOT / "build" / "student", ROOT / "build" / "student-solutions")
    print("To hand out: build/student/")
    print("Solutions:   build/student-solutions/")


if __name__ == "__main__":
    main()
