"""For someone who has worked in the notebooks: take a newer version, or set something back.

    python tools/student.py update                    the newest version of the course
    python tools/student.py reset 01                  notebook 01 as it was delivered
    python tools/student.py reset 01 --exercise 2     only your answer cell of its exercise 2

Nothing of yours is lost: whatever would be replaced is first copied to my-work/<date and time>/.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Stop(Exception):
    """Nothing was changed, or all of it was put back. The message says why, and what to do."""


# ----------------------------------------------------------------------------- git and files


def git(*arguments, check=True):
    """git's output as bytes. Stop, with git's own words, if it fails (None if check is False)."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True)
    if done.returncode and check:
        raise Stop(f"git {arguments[0]} failed:\n{done.stderr.decode(errors='replace').strip()}")
    return None if done.returncode else done.stdout


def names(output):
    return {name.decode() for name in output.split(b"\0") if name}


def need_clone():
    """Stop unless this folder is a git clone."""
    if not shutil.which("git"):
        raise Stop("git is not installed (https://git-scm.com/downloads), and this needs it.")
    top = git("rev-parse", "--show-toplevel", check=False)
    if top is None or not os.path.samefile(top.decode().rstrip("\r\n"), ROOT):
        raise Stop(
            "This folder is not a git clone (a zip download?), so its delivered state is not known here.\n"
            "Clone the course, or download it again, into a new folder, and copy your notebooks over."
        )


def write(path, content):
    """Write bytes whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def keep(paths):
    """Copy these files of the learner's to a new folder in my-work/. Returns the folder."""
    now = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    folder, again = ROOT / "my-work" / now, 1
    while folder.exists():
        again += 1
        folder = ROOT / "my-work" / f"{now}_{again}"
    for path in paths:
        write(folder / path, (ROOT / path).read_bytes())
    return folder


def shown(path):
    return path.relative_to(ROOT).as_posix()


# ----------------------------------------------------------------------------- update


def update():
    """Fast-forward to the upstream branch. Only files that the new version changes too are replaced."""
    need_clone()
    upstream = git("rev-parse", "--abbrev-ref", "@{upstream}", check=False)
    if upstream is None:
        raise Stop("This clone is on no branch that follows the course's. Try: git switch main")
    upstream = upstream.decode().strip()
    try:
        git("fetch")
    except Stop as stop:
        raise Stop(f"{stop}\nIs there a network? Nothing was changed.") from None
    behind = int(git("rev-list", "--count", "HEAD..@{upstream}"))
    ahead = int(git("rev-list", "--count", "@{upstream}..HEAD"))
    if not behind:
        return print("This is the newest version. Nothing was changed.")
    if ahead:
        raise Stop(
            f"You have {ahead} commit(s) of your own that {upstream} has not. Join the two yourself, with\n"
            f"git pull --rebase or git merge. Nothing was changed."
        )
    replaced, deleted = in_the_way()
    folder = keep(replaced) if replaced else None
    try:
        give_way(replaced | deleted)
        git("merge", "--ff-only", "@{upstream}")
    except BaseException as error:  # Ctrl-C too
        for path in replaced:
            write(ROOT / path, (folder / path).read_bytes())
        for path in deleted:
            (ROOT / path).unlink(missing_ok=True)
        raise Stop(
            f"{error}\nThe new version was not taken, and your files are as they were."
        ) from None
    for path in sorted(replaced):
        print(f"{path} was replaced; yours is kept as {shown(folder / path)}")
    mine = names(git("diff", "--name-only", "-z", "HEAD"))
    if mine:
        print(
            f"As you left them, since the new version does not change them: {', '.join(sorted(mine))}"
        )
    print(
        f"Updated by {behind} commit(s). If JupyterLab is open, close its notebooks without saving."
    )
    print("Next: make lab, which also brings the packages up to date.")


def in_the_way():
    """Paths that the new version changes, and that here hold something else than the last delivery.

    Returns two sets of paths: with content of the learner's, and deleted by the learner.
    """
    incoming = names(git("diff", "--name-only", "--no-renames", "-z", "HEAD", "@{upstream}"))
    tracked = names(git("ls-tree", "-r", "-z", "--name-only", "HEAD"))
    changed = names(git("diff", "--name-only", "--no-renames", "-z", "HEAD"))
    touched = {path for path in incoming if path in changed or path not in tracked}
    replaced = {path for path in touched if (ROOT / path).is_file()}
    return replaced, (touched & tracked) - replaced


def give_way(paths):
    """Make these paths what the last delivery has there: its file, or none."""
    tracked = names(git("ls-tree", "-r", "-z", "--name-only", "HEAD"))
    for path in paths:
        if path in tracked:
            git("checkout", "HEAD", "--", path)
        else:
            git("rm", "--cached", "--quiet", "--ignore-unmatch", "--", path)
            (ROOT / path).unlink()


# ----------------------------------------------------------------------------- reset


def reset(notebook, exercise=None):
    """Set a notebook, or its answer to one exercise, to what was last delivered."""
    need_clone()
    path = find_notebook(notebook)
    delivered = git("show", f"HEAD:{path}")
    mine = (ROOT / path).read_bytes() if (ROOT / path).exists() else None
    new = (
        delivered
        if exercise is None or mine is None
        else with_old_answer(mine, delivered, exercise, path)
    )
    what = path if exercise is None else f"the answer to exercise {exercise} in {path}"
    if new == mine:
        return print(f"Nothing to do: {what} is as it was delivered.")
    if mine is not None:
        print(f"Yours is kept as {shown(keep([path]) / path)}")
    write(ROOT / path, new)
    print(f"Set back: {what}. If it is open in JupyterLab: File > Reload Notebook from Disk.")


def find_notebook(wanted):
    """'1', '01', '01_bigram' or a path -> 'notebooks/01_bigram.ipynb', as it stands in the last delivery."""
    output = git("ls-tree", "-z", "--name-only", "HEAD", "notebooks/")
    paths = sorted(path for path in names(output) if path.endswith(".ipynb"))
    stem = Path(wanted).name.removesuffix(".ipynb")
    for path in paths:
        if Path(path).stem == stem or Path(path).name.startswith(f"{stem.zfill(2)}_"):
            return path
    known = ", ".join(Path(path).stem for path in paths) or "none"
    raise Stop(f"There is no notebook {wanted}. There are: {known}.")


def with_old_answer(mine, delivered, exercise, path):
    """My notebook (bytes) with the delivered answer cell of one exercise, all else as it is."""
    try:
        mine = json.loads(mine)
    except ValueError as error:
        raise Stop(
            f"{path} cannot be read ({error}). Set the whole notebook back instead."
        ) from None
    delivered = json.loads(delivered)
    there = find_answer(delivered["cells"], exercise)
    if there is None:
        raise Stop(f"There is no exercise {exercise} in {path}.")
    here = find_answer(mine["cells"], exercise)
    if here is None:
        raise Stop(
            f"Your {path} has lost exercise {exercise}, its heading or its answer cell.\n"
            f"Set the whole notebook back instead; yours is kept."
        )
    mine["cells"][here] = delivered["cells"][there]
    return (json.dumps(mine, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def find_answer(cells, exercise):
    """The place of the answer cell under the heading '### Exercise N', or None.

    It is the code cell tagged "exercise", or, without that tag, the first one before the solution.
    """
    inside, untagged = False, None
    for i, cell in enumerate(cells):
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "markdown":
            heading = re.search(r"^#+ (Exercise (\d+)\b)?", "".join(cell["source"]), re.MULTILINE)
            inside = inside if heading is None else heading[2] == str(exercise)
        elif inside and "exercise" in tags:
            return i
        elif inside and "solution" in tags:
            inside = False
        elif inside and untagged is None:
            untagged = i
    return untagged


def main(arguments):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("update", help="take the newest version of the course")
    back = actions.add_parser("reset", help="set a notebook, or one answer, back")
    back.add_argument("notebook", help="its number, such as 01")
    back.add_argument(
        "--exercise", type=int, metavar="N", help="only the answer cell of exercise N"
    )
    options = parser.parse_args(arguments)
    try:
        if options.action == "update":
            update()
        else:
            reset(options.notebook, options.exercise)
    except (Stop, OSError) as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
