"""Set up .venv, then do what the Makefile asks, saying in plain words what happens and what went wrong.

    python tools/setup.py lab [03]           JupyterLab on a notebook (01 if none is named)
    python tools/setup.py test               pytest over tests/ and notebooks/, at smoke speed
    python tools/setup.py test-all           the same, then pytest over tests_slow/
    python tools/setup.py test-browser       only the slow tests that drive a browser
    python tools/setup.py run SCRIPT [...]   a script of the project, with all packages there
    python tools/setup.py book SCRIPT [...]  the same, with what the book and the slides need besides

Needs nothing but a Python of 3.11 or later. A stamp in .venv says for which files the packages were
installed: while it fits, pip is not called.
"""

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
RUNTIME, DEV = "requirements.txt", "requirements-dev.txt"  # the second includes the first
BROWSER = "requirements-browser.txt"
SLOW = ("requirements-book.txt", BROWSER)  # what tests_slow/ needs besides
# JupyterLab's own settings, for whoever has not chosen otherwise: no question about news at the first start
LAB_SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"


class Stop(Exception):
    """Set-up cannot go on. The message says why, and what to do."""


def say(text):
    print(text, flush=True)


# ----------------------------------------------------------------------------- the environment


def python_version(python):
    """'3.11.7', or None when this Python does not run."""
    code = "import platform; print(platform.python_version())"
    try:
        return subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def make_venv():
    """See that .venv has a Python that runs. Stop if it cannot be made, or has another than PYTHON asks."""
    version = python_version(VENV_PYTHON)
    asked = ".".join(map(str, sys.version_info[:2]))
    if version is None:
        say(f"Making .venv with Python {platform.python_version()} ...")
        was_there = VENV.exists()  # but broken: its Python was removed or replaced
        made = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True
        )
        if made.returncode:
            if not was_there:
                shutil.rmtree(VENV, ignore_errors=True)
            raise Stop(venv_help(made.stdout + made.stderr))
    elif os.environ.get("PYTHON") and not version.startswith(asked + "."):
        raise Stop(
            f".venv was made with Python {version}, and PYTHON asks for {asked}.\n"
            f"`make clean` removes .venv (and nothing of yours); then run this again."
        )


def venv_help(output):
    last = "\n".join(output.strip().splitlines()[-5:])
    if "ensurepip" in output:  # Debian and Ubuntu deliver venv without the part that brings pip
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        return f"This Python cannot make environments yet. On Debian or Ubuntu:\n  sudo apt install {package}"
    return (
        f"Making .venv failed. Python says:\n{last}\nIs the folder writable, and has the disk room?"
    )


# ----------------------------------------------------------------------------- the packages


def stamp(requirements):
    return VENV / f".installed-{requirements}"


def included(requirements):
    """This requirements file and all that it includes by -r."""
    lines = (ROOT / requirements).read_text(encoding="utf-8").splitlines()
    names = [line.split()[1] for line in lines if line.startswith("-r requirements")]
    return [requirements, *(file for name in names for file in included(name))]


def fingerprint(requirements):
    """Changes with whatever would make the installed packages wrong: pins, Python, or the folder's place."""
    parts = [str(ROOT).encode(), (python_version(VENV_PYTHON) or "").encode()]
    parts += [(ROOT / name).read_bytes() for name in (*included(requirements), "pyproject.toml")]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_installed(requirements):
    path = stamp(requirements)
    return path.exists() and path.read_text(encoding="utf-8") == fingerprint(requirements)


def install(requirements):
    """pip install -r requirements, unless its stamp still fits. Stop, without a stamp, if pip fails."""
    if is_installed(requirements):
        return
    valid = {path.name for path in ROOT.glob("requirements*.txt") if is_installed(path.name)}
    for path in VENV.glob(
        ".installed-*"
    ):  # from here to the end of pip nobody knows what is in .venv
        path.unlink()
    if subprocess.run([VENV_PYTHON, "-m", "pip", "--version"], capture_output=True).returncode:
        subprocess.run([VENV_PYTHON, "-m", "ensurepip", "--upgrade"], capture_output=True)
    announce(requirements)
    began = time.monotonic()
    lines, failed = pip(["install", "-r", requirements])
    if failed:
        raise Stop(pip_help(lines))
    for name in valid.union(included(requirements)):
        temporary = stamp(name).with_suffix(".tmp")
        temporary.write_text(fingerprint(name), encoding="utf-8")
        os.replace(temporary, stamp(name))
    say(f"Packages installed in {time.monotonic() - began:.0f} s.")


def announce(requirements):
    if any(VENV.glob("**/site-packages/torch/version.py")):
        return say(f"Bringing the packages up to date with {requirements} ...")
    say(
        "Installing the packages. The first time takes some minutes; a download of about 300 MB, or, on"
    )
    say("Linux with torch's NVIDIA build, of more than 2 GB ...")
    told_pip = any(
        name in os.environ for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
    )
    if sys.platform == "linux" and not shutil.which("nvidia-smi") and not told_pip:
        say("No NVIDIA GPU is seen here. To take torch's small CPU build, stop with Ctrl-C and run")
        say(f"  PIP_EXTRA_INDEX_URL={CPU_BUILDS} make lab")


def pip(arguments):
    """Run pip, showing in one line what it is at. Returns its output's lines, and whether it failed."""
    command = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    command += ["--progress-bar", "off"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    began, live = time.monotonic(), sys.stdout.isatty()
    try:
        while reader.is_alive():
            reader.join(1 if live else 20)
            status = f"  {time.monotonic() - began:4.0f} s  {activity(lines)}"
            if live:
                print(f"\r{status[:78]:78}", end="", flush=True)
            elif reader.is_alive():
                say(status)
    except BaseException:
        process.terminate()
        raise
    finally:
        if live:
            print(f"\r{'':78}\r", end="", flush=True)
    return lines, process.wait() != 0


def activity(lines):
    """The last thing that pip said it began."""
    for line in reversed(lines[:]):
        words = line.split()
        if words and words[0] in ("Collecting", "Downloading", "Processing", "Obtaining"):
            what = words[1].rsplit("/", 1)[-1].split("-cp")[0].split("-py")[0]
            return f"{words[0].lower()} {what} {' '.join(words[2:4]) if words[0] == 'Downloading' else ''}"
        if words[:2] == ["Installing", "collected"]:
            return "unpacking the packages"
    return "starting"


def pip_help(lines):
    """pip's last words, and the remedy that fits them."""
    output = "".join(lines)
    if "No space left" in output:
        remedy = "The disk is full: the packages need about 2 GB (8 GB with torch's NVIDIA build)."
    elif "Permission denied" in output or "Read-only file system" in output:
        remedy = "The folder cannot be written to. Does it, or .venv in it, belong to another user?"
    elif "connection broken" in output:
        remedy = (
            "The package index was not reached. Is there a network? Behind a proxy, set HTTPS_PROXY;\n"
            "with an index of your own, set PIP_INDEX_URL."
        )
    elif "No matching distribution" in output:
        remedy = (
            f"There is no build of it for Python {platform.python_version()} on {platform.platform()}.\n"
            "The pinned packages exist for Python 3.11 to 3.13, on Linux, Windows and Apple-silicon Macs.\n"
            "Another Python: make clean, then make lab PYTHON=python3.13"
        )
    else:
        remedy = "Run the same command again. If it fails again, `make clean` starts it afresh."
    telling = [
        line for line in lines if not line.lstrip().startswith(("note:", "│", "╰")) and line.strip()
    ]
    last = "".join(telling[-8:]).rstrip()
    return f"Installing the packages failed. pip's last lines:\n\n{last}\n\n{remedy}"


# ----------------------------------------------------------------------------- the text, and the work


def prepare(requirements):
    make_venv()
    install(requirements)
    set_up_lab()
    say("Preparing the text ...")
    if subprocess.call([VENV_PYTHON, "mygpt_text.py"], cwd=ROOT):
        raise Stop("Without the text the course cannot start; the lines above say what to do.")


def set_up_lab():
    """Lay LAB_SETTINGS where the JupyterLab of .venv reads them."""
    folder = VENV / "etc" / "jupyter" / "labconfig"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "default_setting_overrides.tmp"
    temporary.write_text(json.dumps(LAB_SETTINGS, indent=1), encoding="utf-8", newline="\n")
    os.replace(temporary, temporary.with_suffix(".json"))


def find_notebook(number):
    paths = {
        path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    }
    if number.zfill(2) not in paths:
        raise Stop(f"There is no notebook {number}: there are {', '.join(paths) or 'none yet'}.")
    return paths[number.zfill(2)]


def lab_command(notebook, environment=os.environ, python=VENV_PYTHON):
    """The command that starts JupyterLab on `notebook`, with the project's folder as its root."""
    command = [
        str(python),
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{notebook.relative_to(ROOT).as_posix()}",
        "--LabApp.news_url=None",  # no look-ups of news and new versions
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--Application.log_level=WARN",  # leaves the address and what goes wrong
        "-y",  # Ctrl-C stops it without a question
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # root, as in most containers
        command.append("--allow-root")
    can_show = any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if sys.platform == "linux" and not can_show:
        command.append("--no-browser")
    return command + shlex.split(environment.get("LAB_ARGS", ""))


def lab(number="01"):
    notebook = find_notebook(number)
    prepare(RUNTIME)
    command = lab_command(notebook)
    where = (
        "Open the address below in a browser"
        if "--no-browser" in command
        else "It opens in your browser"
    )
    say(f"Starting JupyterLab on {notebook.name}. {where}; Ctrl-C here stops it.")
    of_make = (
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "PYTHON",
        "LAB_ARGS",
    )  # not for terminals in JupyterLab
    environment = {name: value for name, value in os.environ.items() if name not in of_make}
    if os.name == "nt":
        return subprocess.call(command, cwd=ROOT, env=environment)
    os.chdir(ROOT)
    os.execve(
        command[0], command, environment
    )  # JupyterLab takes this process's place, and its Ctrl-C


def pytest(*arguments):
    """Run pytest at smoke speed, away from the learner's own runs."""
    with tempfile.TemporaryDirectory() as runs:
        # one thread: on models this small a second gains little, and beside another busy program it costs much
        environment = (
            {"OMP_NUM_THREADS": "1"} | os.environ | {"MYGPT_SPEED": "smoke", "MYGPT_RUNS": runs}
        )
        return subprocess.call([VENV_PYTHON, "-m", "pytest", *arguments], cwd=ROOT, env=environment)


def test():
    prepare(DEV)
    folders = [name for name in ("tests", "notebooks") if (ROOT / name).is_dir()]
    return pytest("--nbval-lax", "--nbval-current-env", *folders)


def test_all():
    failed = test()
    for requirements in SLOW:
        if (ROOT / requirements).exists():
            install(requirements)
    find_browser()
    return pytest("tests_slow") or failed


def test_browser():
    prepare(BROWSER)
    find_browser()
    return pytest("tests_slow/test_browser.py")


def find_browser():
    """See that the browser tests have a browser: installed if it may be. Stop if not."""
    if subprocess.call([VENV_PYTHON, "tools/browser.py"], cwd=ROOT):
        raise Stop("Without a browser its tests cannot run; the lines above say what to do.")


def run(*command):
    prepare(DEV)
    return subprocess.call([VENV_PYTHON, *command], cwd=ROOT)


def book(*command):
    prepare("requirements-book.txt")
    return subprocess.call([VENV_PYTHON, *command], cwd=ROOT)


def main(arguments):
    actions = {
        "lab": lab,
        "test": test,
        "test-all": test_all,
        "test-browser": test_browser,
        "run": run,
        "book": book,
    }
    if not arguments or arguments[0] not in actions:
        return __doc__
    try:
        return actions[arguments[0]](*arguments[1:])
    except Stop as stop:
        return f"\n{stop}\n"
    except KeyboardInterrupt:
        return "\nStopped. The same command goes on from here.\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
