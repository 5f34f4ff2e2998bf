"""Every one-file notebook runs in an empty folder, in an environment that holds only what Colab brings along.

Its torch is the one of .venv; `COLAB_TORCH=2.9.1 make test-all` installs another, a download of gigabytes.
"""

import json
import os
import re
import subprocess
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

import make_colab

NOTEBOOKS = make_colab.find([])


def with_its_needs(name, found):
    """Add to `found` the distribution of this name, as installed here, and all that it requires."""
    try:
        found[name] = distribution(name)
    except PackageNotFoundError:  # for another system
        return found
    for requirement in found[name].requires or []:
        needed = re.match(r"[\w.-]+", requirement)[0]
        if needed not in found and "extra ==" not in requirement:
            with_its_needs(needed, found)
    return found


def lend_torch(site_packages, folder):
    """Let an environment see our torch and what it requires, and nothing else of ours."""
    folder.mkdir()
    for package in with_its_needs("torch", {}).values():
        for name in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            if not (folder / name).exists():
                (folder / name).symlink_to(package.locate_file(name))
    (site_packages / "lent.pth").write_text(f"{folder}\n", encoding="utf-8")


@pytest.fixture(scope="session")
def colab(tmp_path_factory):
    """The folder of a Jupyter kernel called colab."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    packages = ["-r", make_colab.ROOT / "tools" / "requirements-colab.txt"]
    if version := os.environ.get("COLAB_TORCH"):
        packages.append(f"torch=={version}")
    else:
        lend_torch(next((folder / "venv").glob("lib/python*/site-packages")), folder / "lent")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    kernel = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Colab",
        "language": "python",
        "env": {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1"},
    }
    (folder / "kernels" / "colab").mkdir(parents=True)
    (folder / "kernels" / "colab" / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    return folder


def output_text(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_bundle_runs_alone(path, colab, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(colab))
    monkeypatch.setenv("MYGPT_SPEED", "smoke")
    for name in ("MYGPT_DATA", "MYGPT_RUNS"):
        monkeypatch.delenv(name, raising=False)
    bundle = make_colab.bundle(nbformat.read(path, as_version=4))
    bundle.cells.append(
        new_code_cell(
            "import sys, torch\n"
            "mine = sorted(name for name in sys.modules if name.startswith('mygpt'))\n"
            "print([sys.modules[name].__file__ for name in mine], torch.__version__)"
        )
    )
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(bundle, kernel_name="colab", timeout=300, resources=where).execute()
    files, torch_version = output_text(bundle.cells[-1]).strip().rsplit(" ", 1)
    assert all(Path(file).is_relative_to(tmp_path) for file in eval(files))
    assert torch_version.startswith(os.environ.get("COLAB_TORCH", ""))
    texts = [output_text(cell) for cell in bundle.cells if cell.cell_type == "code"]
    assert "files of the course are here" in texts[0]
    assert "tinyshakespeare.txt: verified and saved" in "".join(texts)  # fetched or rebuilt, here


def test_the_environment_holds_nothing_of_the_course(colab):
    names = ["mygpt_helpers", "mygpt", "transformers", "jupytext", "nbval", "pytest"]
    program = f"from importlib.util import find_spec; print([name for name in {names} if find_spec(name)])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [colab / "venv/bin/python", "-c", program],
        env=environment,
        cwd=colab,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr
