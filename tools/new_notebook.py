"""Begin a notebook: one that runs, passes the rules and shows each element a notebook must have.

    python tools/new_notebook.py 09 "Tokenization"

writes, from the patterns in tools/new_notebook/,

    notebooks/09_tokenization.ipynb     a draft, as its metadata says, until you take "draft" out
    mygpt/checks/nb09.py                checks of its exercises
    mygpt/diagrams/nb09.py              its drawings
    tests/wrong_answers/nb09.py         wrong answers, and unusual right ones, for the checks
    teaching/09_tokenization.md         the teacher's sheet

Nothing is overwritten.
"""

import re
import sys
from pathlib import Path

import jupytext
import nbformat

from run_notebooks import KERNEL, ROOT, tidy, write_whole

PATTERNS = Path(__file__).resolve().parent / "new_notebook"


def files(number, title):
    """{path, relative to the course: content}. ValueError for a number or title that will not do."""
    if not re.fullmatch(r"\d\d", number):
        raise ValueError(f"the number is {number!r}: two digits, such as 09")
    name = f"{number}_{'_'.join(re.findall(r'[a-z0-9]+', title.lower()))}"
    if name == f"{number}_":
        raise ValueError(f"the title is {title!r}: it must have letters for a file's name")

    def pattern(name):
        text = (PATTERNS / name).read_text(encoding="utf-8")
        return text.replace("NN", number).replace("TITLE", title)

    return {
        f"notebooks/{name}.ipynb": as_notebook(pattern("notebook.py.txt")),
        f"mygpt/checks/nb{number}.py": pattern("checks.py"),
        f"mygpt/diagrams/nb{number}.py": pattern("diagrams.py"),
        f"tests/wrong_answers/nb{number}.py": pattern("wrong_answers.py"),
        f"teaching/{name}.md": pattern("teaching.md"),
    }


def as_notebook(script):
    """The notebook that a py:percent script stands for, as the text of its file."""
    notebook = jupytext.reads(script, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "draft": True})
    return nbformat.writes(tidy(notebook)).rstrip("\n") + "\n"


def main(arguments, root=ROOT):
    if len(arguments) != 2:
        return __doc__
    number, title = arguments
    try:
        contents = files(number, title)
    except ValueError as error:
        return f"new_notebook: {error}"
    there = [path for path in contents if (root / path).exists()]
    there += [f"notebooks/{p.name}" for p in (root / "notebooks").glob(f"{number}_*.ipynb")]
    if there:
        return f"new_notebook: {there[0]} is there already, so nothing was written"
    for path, content in contents.items():
        write_whole(root / path, content)
        print(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
