"""The Makefile in a small copy of the course, with a pip, a JupyterLab and a pytest that only say what they do."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="needs make")
is_clone = shutil.which("git") and (ROOT / ".git").exists()

# ----------------------------------------------------------------------------- which Python


def shim(folder, name, version=None):
    """A command `name` that claims a Python version, or, without one, exists but fails."""
    lie = f"import sys; sys.version_info = ({version}, 'final', 0); exec(sys.argv[1])"
    works = f'exec "{sys.executable}" -c "{lie}" "$2"'
    fails = "echo not installed >&2; exit 127"
    (folder / name).write_text(f"#!/bin/sh\n{works if version else fails}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def find_python(folder, **environment):
    """Exit status, standard output and errors of tools/find_python.sh, where PATH is only `folder`."""
    command = [shutil.which("sh"), str(ROOT / "tools" / "find_python.sh")]
    tools = {"cat": shutil.which("cat")}
    for name, path in tools.items():
        (folder / name).symlink_to(path)
    environment["PATH"] = str(folder)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout.strip(), done.stderr


@needs_make
def test_a_name_that_does_not_run_and_an_old_python_are_passed_over(tmp_path):
    shim(tmp_path, "python3.13")
    shim(tmp_path, "python3", "3, 9, 2")
    shim(tmp_path, "python", "3, 12, 1")
    assert find_python(tmp_path) == (0, "python", "")


@needs_make
def test_without_a_new_enough_python_it_says_what_was_found_and_where_to_get_one(tmp_path):
    shim(tmp_path, "python3", "3, 9, 2")
    status, name, said = find_python(tmp_path)
    assert status == 1 and name == ""
    assert "python3 is 3.9.2" in said and "3.11" in said
    assert "apt install" in said and "python.org" in said and "brew" in said


@needs_make
@pytest.mark.parametrize("mine, status", [("3, 11, 0", 0), ("3, 10, 9", 1)])
def test_the_variable_python_wins_and_is_checked(mine, status, tmp_path):
    shim(tmp_path, "python3.13", "3, 13, 0")
    shim(tmp_path, "mine", mine)
    found, name, said = find_python(tmp_path, PYTHON="mine")
    assert found == status
    assert name == "mine" if status == 0 else "PYTHON=mine" in said and "3.10.9" in said


# ----------------------------------------------------------------------------- the targets, in a small copy

STUBS = {
    "requirements.txt": "",
    "pyproject.toml": "",
    "pip.py": "import os, sys; print('pip', *sys.argv[2:]); sys.exit(os.environ.get('NO_NETWORK'))\n",
    "ruff.py": "import os, sys; print('ruff', *sys.argv[1:]); sys.exit(os.environ.get('UGLY'))\n",
    "pytest.py": "import sys; print('pytest', *sys.argv[1:]); sys.exit(3)\n",
    "jupyterlab/labextensions.py": "",
    "jupyterlab/__main__.py": "import sys; print('jupyterlab', *sys.argv[1:])\n",
    "mygpt/__main__.py": "print('the text is there')\n",
    "tools/bench.py": "print('bench ran')\n",
    "notebooks/01_first.ipynb": "{}",
    "notebooks/02_second.ipynb": "{}",
}


@pytest.fixture
def copy(tmp_path):
    """A copy of the project that needs no packages, with an empty .venv."""
    folder = tmp_path / "a folder with spaces" / "course"
    for name, content in STUBS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / "tools" / "find_python.sh", folder / "tools")
    venv = [sys.executable, "-m", "venv", "--without-pip", folder / ".venv"]
    subprocess.run(venv, check=True)
    return folder


def make(folder, *arguments, **environment):
    """make's exit status, and what it and its commands said."""
    ours = ("MAKE", "MFLAGS", "PIP_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=kept | {"PYTHON": sys.executable} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout


def pip_calls(said):
    return re.findall(r"^pip install (.*)$", said, re.MULTILINE)


CPU_BUILD = "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make lab"


@needs_make
def test_make_lab_sets_up_prepares_the_text_and_opens_a_notebook(copy):
    shutil.rmtree(copy / ".venv")
    status, said = make(copy, "lab")
    assert status == 0 and pip_calls(said) == ["-r requirements.txt"]
    assert (CPU_BUILD in said) == (sys.platform == "linux" and not shutil.which("nvidia-smi"))
    assert said.index("pip ") < said.index("the text is there") < said.index("jupyterlab ")
    assert f"root_dir={copy}" in said and "default_url=/lab/tree/notebooks/01_first.ipynb" in said


@needs_make
def test_make_lab_opens_the_notebook_that_is_asked_for(copy):
    status, said = make(copy, "lab", "NB=2", "ARGS=--port=9999 --x")
    assert status == 0 and CPU_BUILD not in said
    assert "tree/notebooks/02_second.ipynb" in said and said.endswith(" --port=9999 --x\n")
    status, said = make(copy, "lab", "NB=07")
    assert status != 0 and "no notebook 07: there are 01_first.ipynb 02_second.ipynb" in said


@needs_make
def test_pip_runs_again_when_a_pin_changes_or_the_folder_moves_and_only_then(copy):
    both = ["-r requirements.txt", "-r requirements.txt -e .[dev]"]
    assert pip_calls(make(copy, "bench")[1]) == both
    assert pip_calls(make(copy, "bench")[1]) == []
    for name in ("requirements.txt", "pyproject.toml"):
        (copy / name).touch()
        assert pip_calls(make(copy, "lab")[1]) == both[:1]
        assert pip_calls(make(copy, "bench")[1]) == both[1:]
    moved = copy.rename(copy.with_name("elsewhere"))
    status, said = make(moved, "bench")
    assert status == 0 and pip_calls(said) == both and "bench ran" in said


@needs_make
def test_a_failed_install_stops_with_help_and_is_tried_again(copy):
    status, said = make(copy, "lab", NO_NETWORK="Connection refused")
    assert status != 0 and "jupyterlab " not in said
    assert said.index("Connection refused") < said.index("HTTPS_PROXY") < said.index("make clean")
    status, said = make(copy, "lab")
    assert status == 0 and len(pip_calls(said)) == 1


@needs_make
def test_make_test_looks_at_the_format_first_and_fails_if_anything_does(copy):
    status, said = make(copy, "test")
    assert status != 0  # the stub's pytest fails
    assert said.index("ruff format --check") < said.index("ruff check") < said.index("pytest")
    status, said = make(copy, "test", UGLY="1")
    assert status != 0 and "pytest" not in said


@needs_make
def test_make_reset_asks_which_notebook(copy):
    for arguments in ((), ("EX=2",)):
        status, said = make(copy, "reset", *arguments)
        assert status != 0 and "make reset NB=03" in said


@needs_make
def test_clean_keeps_what_is_the_readers(copy):
    yours = ("runs/ladder/full.json", "my-work/01.ipynb", "data/tinyshakespeare.txt")
    made = (".venv/x", "build/x", "tests/__pycache__/x")
    for name in (*yours, *made):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    assert make(copy, "clean")[0] == 0
    assert all((copy / name).exists() for name in (*yours, "notebooks/01_first.ipynb"))
    assert not any((copy / name).parent.exists() for name in made if name != "tests")


@needs_make
def test_make_alone_lists_every_target(copy):
    said = make(copy)[1]
    phony = re.findall(r"^\.PHONY: (.+)$", (copy / "Makefile").read_text("utf-8"), re.MULTILINE)
    listed = re.findall(r"^make ([\w-]+) +\w", said, re.MULTILINE)
    assert sorted(["help", *listed]) == sorted(" ".join(phony).split())


# ----------------------------------------------------------------------------- the course as a package


def test_the_modules_import_from_an_unrelated_folder(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = "import mygpt_helpers, mygpt.train, mygpt.checks.nb01, mygpt.diagrams"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not is_clone, reason="needs a git clone")
def test_no_file_names_this_machine():
    places = {str(ROOT), str(ROOT.parent), str(Path.home()), sys.prefix, socket.gethostname()}
    places = [re.escape(place) for place in places if len(place) > 4 and place != "localhost"]
    trace = re.compile(rf"(?<![\w+/=.>~-])({'|'.join(places)})(?![\w+=-])")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8").stdout
    for name in listed.split("\0"):
        if (ROOT / name).is_file():
            found = trace.search((ROOT / name).read_bytes().decode("utf-8", errors="ignore"))
            assert not found, f"{name} names {found[0]}"
