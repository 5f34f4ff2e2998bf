"""tools/make_colab.py: a notebook as one file. (tests/slow/test_bundles.py runs them.)"""

import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import make_colab

NOTEBOOKS = make_colab.find([])
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
COURSE = {  # modules and data that are awkward to carry
    "requirements.txt": "torch==2.13.0 # t\n",
    "pyproject.toml": 'dev = [\n    "ours==1.2.3",  # for this\n]\n',
    "tools/requirements-colab.txt": "numpy==2.0.2  # arrays\n",
    "README.md": "",
    "mygpt_helpers.py": "import torch\nWORD = r'\\d'\n\n\n# the end: '",
    "mygpt/__init__.py": "",
    "mygpt/unused.py": "never\n",
    "mygpt/plots.py": "import numpy.linalg\n",
    "mygpt/text.py": "def f():\n    import optional\n    return '''é\\n''' + r'\\d' + '\"\"\"'\n",
    "mygpt/ladder.py": "from mygpt import plots\nimport ours\n",
    "mygpt/checks/__init__.py": "import mygpt_helpers\n",
    "mygpt/checks/nb01.py": "never\n",
    "mygpt/checks/nb03.py": "from mygpt.checks import exercise\n",
    "data/reference/ladder.json": '{"é": "\\n"}',
    "data/laptop.safetensors": bytes(range(256)) * 9,
    "data/laptop.json": "{}",
    "data/gpu.safetensors": b"\xff\xfe",
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course in an empty folder."""
    for name, content in COURSE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        content = content.encode("utf-8") if isinstance(content, str) else content
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(make_colab, "ROOT", tmp_path)
    return tmp_path


def notebook(*sources):
    cells = [new_markdown_cell("# 01 · One\n\nText."), *map(new_code_cell, sources)]
    return new_notebook(cells=cells)


def python(program, folder):
    """Run a program in a folder, in a Python that finds the modules of this folder only. Its output."""
    isolated = f"import sys; sys.path.insert(0, '')\n{program}"
    command = [sys.executable, "-I", "-"]  # a set-up is too long for a command line
    done = subprocess.run(
        command, input=isolated, cwd=folder, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def unpack(bundle, folder):
    """Run the set-up cell in an empty folder. The files it writes, {name: bytes}."""
    folder.mkdir()
    set_up = re.sub(r"^%pip .*", "", bundle.cells[2].source, flags=re.MULTILINE)
    said = python(set_up, folder)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    assert said == f"{len(files)} files of the course are here.\n"
    return files


# ----------------------------------------------------------------------------- what is carried


def test_the_modules_that_are_reached_are_carried_and_no_others(course):
    def carried(source):
        files, _ = make_colab.needs(notebook(source))
        return [file.relative_to(course).as_posix() for file in files]

    assert carried("import torch, math") == []
    package = ["mygpt/__init__.py"]
    checks = ["mygpt/checks/__init__.py", "mygpt/checks/nb03.py"]
    assert carried("from mygpt.checks import nb03 as check") == [
        *package,
        *checks,
        "mygpt_helpers.py",
    ]
    assert carried("from mygpt import ladder") == [*package, "mygpt/ladder.py", "mygpt/plots.py"]
    assert carried("import mygpt.text") == [*package, "mygpt/text.py"]
    assert carried("from mygpt.text import f") == [*package, "mygpt/text.py"]
    assert carried("def later():\n    import mygpt.plots as p") == [*package, "mygpt/plots.py"]


def test_the_files_come_out_as_they_went_in(course, tmp_path):
    source = "from mygpt import ladder, text\nimport mygpt_helpers\n%matplotlib inline\nload_pretrained('laptop')"
    files = unpack(make_colab.bundle(notebook(source)), tmp_path / "alone")
    assert {name for name in files if name.startswith("data")} == {
        "data/reference/ladder.json",
        "data/laptop.safetensors",
        "data/laptop.json",
    }
    assert len(files) == 3 + 5
    assert all(content == (course / name).read_bytes() for name, content in files.items())


def test_a_trained_model_is_carried_only_where_it_is_loaded(course):
    def carried(source):
        return sorted({path.name for path in make_colab.models(notebook(source))})

    both = ["gpu.safetensors", "laptop.json", "laptop.safetensors"]
    assert carried("train()") == []
    assert carried("m, t = checkpoints.load_pretrained('gpu')") == both[:1]
    assert carried("load_pretrained(name)") == carried("load_pretrained()") == both
    (course / "data" / "gpu.safetensors").write_bytes(bytes(5_000_000))  # too large for Colab
    assert carried("load_pretrained(name)") == both[1:]


def test_what_colab_lacks_is_installed_pinned(course):
    bundle = make_colab.bundle(notebook("import torch, numpy, math\nfrom mygpt import ladder"))
    assert re.findall("%pip.*", bundle.cells[2].source) == ["%pip install --quiet ours==1.2.3"]
    with pytest.raises(ValueError, match="unknown is imported, but no version of unknown"):
        make_colab.bundle(notebook("def f():\n    import unknown.part"))


# ----------------------------------------------------------------------------- the notebook


def test_the_set_up_is_folded_and_an_answer_is_not_given_away(course):
    original = notebook("print(1)", "print(2)")
    original.cells[1].update(outputs=[new_output("stream", text="1")], execution_count=1)
    hidden = {"tags": ["hide-output"], "collapsed": True, "jupyter": {"outputs_hidden": True}}
    original.cells[2].update(outputs=[new_output("stream", text="2")], metadata=hidden)
    bundle = make_colab.bundle(original)
    _, about, set_up, shown, predicted = bundle.cells
    assert "runs alone" in about.source and set_up.source.startswith("# @title Set-up")
    assert set_up.metadata.cellView == "form" and set_up.metadata.jupyter.source_hidden
    assert shown.outputs and not predicted.outputs and shown.execution_count is None
    assert predicted.metadata == {"tags": ["hide-output"]}
    assert original.cells[2].outputs  # the original stays as it is


@each_notebook
def test_every_notebook_becomes_a_bundle(path, tmp_path):
    bundle = make_colab.bundle(nbformat.read(path, as_version=4))
    nbformat.validate(bundle)
    assert len(nbformat.writes(bundle)) < 10e6
    files = unpack(bundle, tmp_path / "alone")
    assert all(content == (make_colab.ROOT / name).read_bytes() for name, content in files.items())


IMPORT = """
for name in [name for name in sys.modules if name.startswith("mygpt")]:
    del sys.modules[name]
sys.path[0] = {folder!r}
{lines}
for name, module in sys.modules.items():
    assert not name.startswith("mygpt") or module.__file__.startswith({folder!r}), module
"""


def test_a_bundle_carries_enough_for_every_import_of_its_notebook(tmp_path):
    program = "import sys\n"
    for path in NOTEBOOKS:
        notebook, folder = nbformat.read(path, as_version=4), tmp_path / path.stem
        unpack(make_colab.bundle(notebook), folder)
        lines = re.findall(r"^(?:from|import) mygpt.*", make_colab.code(notebook.cells), re.M)
        assert lines
        program += IMPORT.format(folder=str(folder), lines="\n".join(lines))
    python(program, tmp_path)  # one Python for all, since importing torch takes long


@each_notebook
def test_a_bundle_leaves_out_the_other_notebooks_checks(path):
    files, _ = make_colab.needs(nbformat.read(path, as_version=4))
    checks = {file.stem for file in files if file.parent.name == "checks"}
    assert {name for name in checks if name.startswith("nb")} == {f"nb{path.name[:2]}"}


@each_notebook
def test_all_else_is_as_in_the_notebook_and_no_link_leads_nowhere(path):
    original = nbformat.read(path, as_version=4)
    bundle = make_colab.bundle(original)
    sources = [cell.source for cell in bundle.cells]
    assert [*sources[:1], *sources[3:]] == [cell.source for cell in original.cells]
    text = "\n".join(cell.source for cell in bundle.cells if cell.cell_type == "markdown")
    assert not re.findall(r"\]\((?!https?:|#)[^)]*\)", text)


# ----------------------------------------------------------------------------- badges


@pytest.fixture
def published(course, monkeypatch):
    """The small course with one notebook and a README; the folder that make_colab writes."""
    monkeypatch.setattr(make_colab, "TARGET", course / "build" / "colab")
    monkeypatch.setattr(make_colab, "find", lambda numbers: [course / "01_one.ipynb"])
    nbformat.write(notebook(), course / "01_one.ipynb")
    text = "![all](images/a.png) [one](notebooks/01_one.ipynb) [x](https://x.org) [down](#down)"
    (course / "README.md").write_text(text, encoding="utf-8")
    return course / "build" / "colab"


def test_badges_name_the_repository(published, capsys):
    assert not make_colab.main(["--repo", "jane/my-gpt"])
    address = "https://colab.research.google.com/github/jane/my-gpt/blob/colab/01_one.ipynb"
    first = nbformat.read(published / "01_one.ipynb", as_version=4).cells[0].source
    assert first.startswith("# 01 · One\n\n[![Open in Colab](")
    assert first.endswith(f"]({address})\n\nText.")
    github = "https://github.com/jane/my-gpt/blob/HEAD"
    assert (published / "README.md").read_text(encoding="utf-8") == (
        "![all](https://raw.githubusercontent.com/jane/my-gpt/HEAD/images/a.png) "
        f"[one]({github}/notebooks/01_one.ipynb) {make_colab.badge('jane/my-gpt', '01_one.ipynb')} "
        "[x](https://x.org) [down](#down)"
    )
    assert "push --force https://github.com/jane/my-gpt colab" in capsys.readouterr().out


def test_without_a_repository_there_are_no_badges(published):
    assert not make_colab.main([])
    assert "badge" not in (published / "01_one.ipynb").read_text(encoding="utf-8")
    assert [path.name for path in published.iterdir()] == ["01_one.ipynb"]


def test_a_repository_that_is_none_is_refused(published):
    said = make_colab.main(["--repo", "https://github.com/jane/my-gpt"])
    assert "write it as owner/name" in said and not published.exists()
