"""Set a notebook, or your answer to one of its exercises, back to how it was delivered.

    python tools/reset.py 03        notebook 03
    python tools/reset.py 03 2      only your answer to its exercise 2

Yours is first copied to my-work/. What was delivered is known from git: the last commit.
"""

import shutil
import subprocess
import sys
from datetime import datetime

import nbformat

from run_notebooks import ROOT, answer_cells, find, save_notebook


def delivered(path):
    """The notebook as it was committed."""
    command = ["git", "show", f"HEAD:./{path.name}"]
    shown = subprocess.run(command, cwd=path.parent, capture_output=True, encoding="utf-8")
    if shown.returncode:
        raise ValueError(f"git does not know how it was delivered: {shown.stderr.strip()}")
    return nbformat.reads(shown.stdout, as_version=4)


def with_delivered_answer(notebook, original, exercise):
    """My notebook, with the answer cell of one exercise as in the original."""
    mine, theirs = answer_cells(notebook).get(exercise), answer_cells(original).get(exercise)
    if theirs is None:
        raise ValueError(f"there is no exercise {exercise}")
    if mine is None:
        raise ValueError(f"exercise {exercise} has lost its cell. Set the whole notebook back")
    notebook.cells[mine] = original.cells[theirs]
    return notebook


def main(number, exercise=None):
    try:
        path = find([number])[0]
        notebook = delivered(path)
        if exercise:
            notebook = with_delivered_answer(nbformat.read(path, 4), notebook, exercise)
    except (ValueError, OSError) as error:
        return f"reset: {error}. Nothing was changed."
    kept = ROOT / "my-work" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}_{path.name}"
    kept.parent.mkdir(exist_ok=True)
    shutil.copy(path, kept)
    save_notebook(path, notebook)
    print(f"{path.name} is set back; yours is kept as {kept.relative_to(ROOT).as_posix()}.")
    print("If it is open in JupyterLab: File > Reload Notebook from Disk.")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if 2 <= len(sys.argv) <= 3 else __doc__)
