"""Make a static site of the course, build/book/index.html, that needs no network and no kernel.

    python tools/build_book.py

The notebooks are not run: the site shows their saved outputs. What Sphinx reads is first laid out in
build/book-source/: the texts, and the notebooks with what MyST-NB wants to be told in its own words (the
pictures' alt texts, the folds). A warning of Sphinx's is an error.
"""

import re
import shutil
import subprocess
import sys
from importlib.resources import files

import nbformat

from mygpt.files import write_whole
from run_notebooks import ROOT, WIDGET_VIEW, find, is_tagged, read

SOURCE = ROOT / "build" / "book-source"
BOOK = ROOT / "build" / "book"
TEXTS = ("README.md", "CONTRIBUTING.md", "LICENSE", "notebooks/GLOSSARY.md")

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
# tags of MyST-NB's, with what stands on the fold
ANSWER = ("hide-output", "the answer (predict it first)")
SOLUTION = ("hide-cell", "a solution")
CODE = ("hide-input", "the code")


# ----------------------------------------------------------------------------- notebooks


def for_the_book(notebook):
    """The notebook as MyST-NB should see it."""
    notebook.metadata.pop("widgets", None)  # they need a kernel; the picture beneath each stays
    notebook.cells = [piece for cell in notebook.cells for piece in one_picture_each(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET_VIEW not in o.get("data", {})]
            told = {}
            for picture in filter(is_picture, cell.outputs):
                told["image"] = {"alt": picture.metadata["image/png"]["alt"]}
            if fold := fold_of(cell):
                tag, words = fold
                cell.metadata["tags"] = list({*cell.metadata.get("tags", []), tag})
                told |= {"code_prompt_show": f"Show {words}", "code_prompt_hide": f"Hide {words}"}
            cell.metadata["mystnb"] = told
    return notebook


def fold_of(cell):
    """ANSWER, SOLUTION, CODE or None: what of this cell is folded in JupyterLab."""
    if is_tagged(cell, "solution"):
        return SOLUTION
    hidden = cell.metadata.get("jupyter", {})
    return ANSWER if hidden.get("outputs_hidden") else CODE if hidden.get("source_hidden") else None


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


# ----------------------------------------------------------------------------- the site


def lay_out():
    """Write everything that Sphinx reads into an empty SOURCE."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "tools" / "book", SOURCE)
    shutil.copytree(ROOT / "notebooks" / "images", SOURCE / "notebooks" / "images")
    mathjax = files("sphinx-mathjax-offline") / "static" / "mathjax" / "tex-svg.js"
    shutil.copy(mathjax, SOURCE / "_static")
    for path in find([]):
        notebook = for_the_book(read(path))
        write_whole(SOURCE / "notebooks" / path.name, nbformat.writes(notebook))
    for name in TEXTS:
        write_whole(SOURCE / name, (ROOT / name).read_bytes())
    for name in TEXTS:
        write_whole(SOURCE / name, without_dead_links(SOURCE / name))
    index = (SOURCE / "README.md").read_text(encoding="utf-8") + CONTENTS
    write_whole(SOURCE / "index.md", index)
    (SOURCE / "README.md").unlink()


def without_dead_links(path):
    """A text with plain words for its links to what the book leaves out: modules, the teacher's guide."""

    def judged(link):
        target = path.parent / link[2].partition("#")[0]
        return link[0] if target.exists() else link[1]

    text = path.read_text(encoding="utf-8")
    return re.sub(r"\[([^]]*)\]\((?!https?:)([^)]*)\)", judged, text)


def main():
    lay_out()
    shutil.rmtree(BOOK, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    doctrees = ROOT / "build" / "book-doctrees"
    if subprocess.call([*command, "-d", str(doctrees), str(SOURCE), str(BOOK)]):
        shutil.rmtree(BOOK, ignore_errors=True)  # no book rather than half of one
        return (
            "build_book: Sphinx warned (above), and a warning is an error here. No book was made."
        )
    print((BOOK / "index.html").relative_to(ROOT).as_posix())


if __name__ == "__main__":
    sys.exit(main())
