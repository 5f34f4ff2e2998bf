"""Make a static site of the course, build/book/index.html, that needs no network and no kernel.

    python tools/build_book.py

The notebooks are not run: the site shows their saved outputs. What Sphinx reads is first laid out in
build/book-source/: the texts as they are, and the notebooks with what MyST-NB wants to be told in its
own words (the pictures' alt texts, the folds). A warning of Sphinx's is an error.
"""

import os
import re
import shutil
import subprocess
import sys

import nbformat

from run_notebooks import ROOT, WIDGET_VIEW, find, read, write_whole

SOURCE = ROOT / "build" / "book-source"
BOOK = ROOT / "build" / "book"
CONF = ROOT / "tools" / "book"

CONTENTS = """
```{toctree}
:hidden:
:caption: The notebooks
:glob:

notebooks/[0-9]*
```
```{toctree}
:hidden:
:caption: Beside them
:glob:

notebooks/[A-Z]*
CONTRIBUTING
```
"""
ANSWER = {
    "code_prompt_show": "Show the answer (predict it first)",
    "code_prompt_hide": "Hide the answer",
}
SOLUTION = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}


def for_the_book(notebook):
    """The notebook as MyST-NB should see it."""
    notebook.metadata.pop("widgets", None)  # they need a kernel; the picture beneath each stays
    notebook.cells = [piece for cell in notebook.cells for piece in one_picture_each(cell)]
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if WIDGET_VIEW not in o.get("data", {})]
        told = {}
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-cell"]
            told |= SOLUTION
        elif cell.metadata.get("jupyter", {}).get(
            "outputs_hidden"
        ):  # MyST-NB knows its tag hide-output
            told |= ANSWER
        for picture in filter(is_picture, cell.outputs):
            told["image"] = {"alt": picture.metadata["image/png"]["alt"]}
        cell.metadata["mystnb"] = told
    return notebook


def is_picture(output):
    return "image/png" in output.get("data", {})


def one_picture_each(cell):
    """The cell, cut after each picture but the last, since MyST-NB takes one alt text from a cell."""
    outputs = cell.get("outputs", [])
    ends = [i + 1 for i, output in enumerate(outputs) if is_picture(output)][:-1]
    if not ends:
        return [cell]
    pieces = []
    for start, end in zip([0, *ends], [*ends, len(outputs)]):
        piece = nbformat.from_dict(dict(cell) | {"outputs": outputs[start:end]})
        if start:  # the code stands above the first
            piece.metadata["tags"] = [*piece.metadata.get("tags", []), "remove-input"]
            piece.id = f"{cell.id}-{start}"
        pieces.append(piece)
    return pieces


def lay_out():
    """Write everything that Sphinx reads into an empty SOURCE."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(CONF, SOURCE, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", SOURCE / "docs")
    for path in [
        *ROOT.glob("LICENSE*"),
        ROOT / "CONTRIBUTING.md",
        ROOT / "notebooks" / "GLOSSARY.md",
    ]:
        target = SOURCE / path.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    # the teacher's guide answers every prediction, so the book, which students read, is without it
    readme = re.sub(r"\[([^]]*)\]\(notebooks/TEACHING.md\)", r"\1", readme)
    write_whole(SOURCE / "index.md", readme + CONTENTS)
    for path in find([]):
        notebook = for_the_book(read(path))
        write_whole(SOURCE / path.relative_to(ROOT), nbformat.writes(notebook))
    copy_font(SOURCE / "_static")


def copy_font(folder):
    """Put the font for formulas, with its licence's name in it, into this folder."""
    import ziamath

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(f"{ziamath.__path__[0]}/fonts/STIXTwoMath-Regular.ttf", folder)


def main():
    lay_out()
    shutil.rmtree(BOOK, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    command += ["-d", str(ROOT / "build" / "book-doctrees"), str(SOURCE), str(BOOK)]
    path = os.pathsep.join(
        filter(None, [str(ROOT / "tools"), os.environ.get("PYTHONPATH")])
    )  # for conf.py
    failed = subprocess.call(command, env=os.environ | {"PYTHONPATH": path})
    if failed:
        shutil.rmtree(BOOK, ignore_errors=True)  # no book rather than half of one
        return (
            "build_book: Sphinx warned (above), and a warning is an error here. No book was made."
        )
    print((BOOK / "index.html").relative_to(ROOT).as_posix())


if __name__ == "__main__":
    sys.exit(main())
