"""tools/make_colab.py: a notebook as one file. (tests_slow/test_bundles.py runs them.)"""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_notebooks import NOTEBOOKS, code_cells, imported, markdown, tags

import make_colab

ROOT = Path(__file__).resolve().parents[1]
PINS = {
    "requirements.txt": "torch==2.13.0 # t\nours==1.2.3  # for this\n",
    "requirements-dev.txt": "",
    "requirements-colab.txt": "numpy==2.0.2  # arrays\n",
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course in an empty folder, whose modules and data are awkward to carry."""
    for name, content in PINS.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "data" / "reference").mkdir(parents=True)
    files = {
        "mygpt_one.py": "import mygpt_two, ours\n",
        "mygpt_two.py": "def f():\n    import optional\n    return '''é\\n''' + r'\\d' + '\"\"\"'\n",
        "mygpt_raw.py": r"WORD = r'\d'" + "\n\n\n# the end: '",
        "mygpt_unused.py": "never\n",
        "data/reference/ladder.json": '{"é": "\\n"}',
        "data/gpt_laptop.safetensors": bytes(range(256)) * 9,
        "data/gpt_laptop.json": "{}",
        "data/gpt_gpu.safetensors": b"\xff\xfe",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(
            content if isinstance(content, bytes) else content.encode("utf-8")
        )
    monkeypatch.setattr(make_colab, "ROOT", tmp_path)
    return tmp_path


def notebook(*sources):
    return new_notebook(
        cells=[new_markdown_cell("# 01 · One\n\nText."), *map(new_code_cell, sources)]
    )


def unpack(bundle, folder):
    """Run the set-up cell in an empty folder, in a Python that does not see the course. Its files' bytes."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-"],
        input=bundle.cells[2].source,  # too long for a command line
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert done.stdout == f"{len(files)} files of the course are here.\n"
    return files


def test_the_files_come_out_as_they_went_in(course, tmp_path):
    source = "import numpy.linalg\nfrom mygpt_one import f\nimport mygpt_raw\n%matplotlib inline\nload_pretrained('laptop')"
    bundle = make_colab.bundle(notebook(source))
    bundle.cells[2].source = bundle.cells[2].source.replace(
        "%pip install --quiet ours==1.2.3\n", ""
    )
    files = unpack(bundle, tmp_path / "alone")
    assert set(files) == {
        "mygpt_one.py",
        "mygpt_two.py",
        "mygpt_raw.py",
        "data/reference/ladder.json",
        "data/gpt_laptop.safetensors",
        "data/gpt_laptop.json",
    }
    assert all(content == (course / name).read_bytes() for name, content in files.items())


def test_a_trained_model_is_carried_only_where_it_is_loaded(course):
    def carried(source):
        return [
            path.name
            for path in make_colab.data_files(notebook(source))
            if path.parent.name == "data"
        ]

    assert carried("train()") == []
    assert carried("m, t = mygpt_train.load_pretrained('gpu')") == ["gpt_gpu.safetensors"]
    assert carried("load_pretrained(name)") == [
        "gpt_gpu.safetensors",
        "gpt_laptop.json",
        "gpt_laptop.safetensors",
    ]
    (course / "data" / "gpt_gpu.safetensors").write_bytes(
        bytes(5_000_000)
    )  # Colab would not open the file
    assert carried("load_pretrained(name)") == ["gpt_laptop.json", "gpt_laptop.safetensors"]


def test_what_colab_lacks_is_installed_pinned(course):
    bundle = make_colab.bundle(notebook("import torch, numpy, math\nimport mygpt_one"))
    assert re.findall("%pip.*", bundle.cells[2].source) == ["%pip install --quiet ours==1.2.3"]
    with pytest.raises(ValueError, match="unknown is not pinned in requirements.txt"):
        make_colab.bundle(notebook("def f():\n    import unknown.part"))


def test_the_set_up_is_folded_and_an_answer_is_not_given_away():
    original = notebook("print(1)", "print(2)")
    original.cells[1].update(outputs=[new_output("stream", text="1")], execution_count=1)
    original.cells[2].update(
        outputs=[new_output("stream", text="2")],
        metadata={"tags": ["hide-output"], "jupyter": {"outputs_hidden": True}},
    )
    bundle = make_colab.bundle(original)
    _, about, set_up, shown, predicted = bundle.cells
    assert "runs alone" in about.source and set_up.source.startswith("# @title Set-up")
    assert set_up.metadata.cellView == "form" and set_up.metadata.jupyter.source_hidden
    assert shown.outputs and not predicted.outputs and shown.execution_count is None
    assert (
        "jupyter" not in predicted.metadata and original.cells[2].outputs
    )  # the original stays as it is


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_becomes_a_bundle_with_all_that_it_imports(path, tmp_path):
    original = nbformat.read(path, as_version=4)
    bundle = make_colab.bundle(original)
    nbformat.validate(bundle)
    assert [cell.source for cell in bundle.cells[:1] + bundle.cells[3:]] == [
        cell.source for cell in original.cells
    ]
    assert len(nbformat.writes(bundle)) < 10e6
    files = unpack(bundle, tmp_path / "alone")
    assert {f"{name}.py" for cell in code_cells(original) for name in imported(cell)} <= set(files)
    assert all(content == (ROOT / name).read_bytes() for name, content in files.items())
    assert not [cell for cell in code_cells(bundle, "hide-output") if cell.outputs]
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", markdown(bundle)), (
        "a link that leads nowhere from one file"
    )
    assert [cell for cell in bundle.cells if "set-up" in tags(cell)] == [bundle.cells[2]]


def test_badges_name_the_repository_and_only_if_it_is_given(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make_colab, "ROOT", tmp_path)
    monkeypatch.setattr(make_colab, "TARGET", tmp_path / "build" / "colab")
    monkeypatch.setattr(make_colab, "find", lambda numbers: [tmp_path / "01_one.ipynb"])
    nbformat.write(notebook(), tmp_path / "01_one.ipynb")
    (tmp_path / "data" / "reference").mkdir(parents=True)
    for name, content in PINS.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "README.md").write_text(
        "![all](docs/a.png) [one](notebooks/01_one.ipynb) [x](https://x.org) [down](#down)",
        encoding="utf-8",
    )

    assert not make_colab.main([])
    written = tmp_path / "build" / "colab"
    assert "badge" not in (written / "01_one.ipynb").read_text(encoding="utf-8")
    assert [path.name for path in written.iterdir()] == ["01_one.ipynb"]

    assert not make_colab.main(["--repo", "jane/my-gpt"])
    address = "https://colab.research.google.com/github/jane/my-gpt/blob/colab/01_one.ipynb"
    first = "".join(
        json.loads((written / "01_one.ipynb").read_text(encoding="utf-8"))["cells"][0]["source"]
    )
    assert first.startswith("# 01 · One\n\n[![Open in Colab](") and first.endswith(
        f"]({address})\n\nText."
    )
    github = "https://github.com/jane/my-gpt/blob/HEAD"
    assert (written / "README.md").read_text(encoding="utf-8") == (
        "![all](https://raw.githubusercontent.com/jane/my-gpt/HEAD/docs/a.png) "
        f"[one]({github}/notebooks/01_one.ipynb) {make_colab.badge('jane/my-gpt', '01_one.ipynb')} "
        "[x](https://x.org) [down](#down)"
    )
    assert "push --force https://github.com/jane/my-gpt colab" in capsys.readouterr().out

    assert "write it as owner/name" in make_colab.main(["--repo", "https://github.com/jane/my-gpt"])
