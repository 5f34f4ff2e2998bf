"""Write each notebook as one file that runs alone, in Colab or any Jupyter: build/colab/NN_name.ipynb.

    python tools/make_colab.py                      all
    python tools/make_colab.py 03 05                only these
    python tools/make_colab.py --repo owner/name    with "Open in Colab" badges, and a README that has them

A folded cell at the beginning writes beside the notebook what it uses of the course: modules, reference
results, a trained model. Nothing is cloned. The text is fetched or rebuilt as everywhere, and verified.
"""

import argparse
import ast
import base64
import copy
import re
import sys
from importlib.metadata import packages_distributions

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell

from mygpt.files import write_whole
from run_notebooks import ROOT, find, is_tagged, save_notebook

TARGET = ROOT / "build" / "colab"
LARGEST = 5_000_000  # bytes of a model that a notebook carries; Colab opens no file over some 20 MB
BRANCH = "colab"  # of the repository that the badges name: TARGET is to be pushed there

ABOUT = """\
**This notebook runs alone.** Run the next cell first: it is folded, and writes the course's modules beside the \
notebook. In Colab, *File → Save a copy in Drive* keeps what you write. Your losses are kept in the folder `runs`, \
which Colab deletes at the end of a session, unless you mount your Drive and set the environment variable \
`MYGPT_RUNS` to a folder there."""

SET_UP = """\
# @title Set-up: run this first
from importlib.metadata import version
from pathlib import Path

if tuple(map(int, version("torch").split(".")[:2])) < (2, 9):
    print("torch is", version("torch"), "here. The course is tested with 2.9 and later.")


def carry(name, content):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


"""


# ----------------------------------------------------------------------------- what a notebook uses


def code(cells):
    """The code cells among them as one Python program."""
    transform = TransformerManager().transform_cell  # %magic and !shell lines become calls
    return "\n".join(transform(cell.source) for cell in cells if cell.cell_type == "code")


def imports(nodes):
    """The dotted names of all that these syntax nodes import, and of the packages around it."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):  # what is imported may be a module too
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    paths = [name.split(".") for name in names]
    return {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}


def module_file(name):
    """'mygpt.checks' -> mygpt/checks/__init__.py below ROOT; None for what is no module of the course."""
    path = ROOT.joinpath(*name.split("."))
    files = path.with_name(f"{path.name}.py"), path / "__init__.py"
    return next((file for file in files if file.is_file()), None)


def needs(notebook):
    """The files of its modules, with those that they import, and the names of the packages of others."""
    found = imports(ast.walk(ast.parse(code(notebook.cells))))
    files, wanted, packages = [], list(found), set(found)
    while wanted:
        file = module_file(wanted.pop())
        if file and file not in files:
            files.append(file)
            tree = ast.parse(file.read_text(encoding="utf-8"))
            wanted += imports(ast.walk(tree))
            packages |= imports(tree.body)  # an import inside a function is for those who call it
    others = {name.split(".")[0] for name in packages} - set(sys.stdlib_module_names)
    return sorted(files), {name for name in others if not module_file(name)}


def pins(*names):
    """{distribution: version} of all that is pinned in these files, requirements or pyproject.toml."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in names)
    return dict(re.findall(r"^ *\"?([\w-]+)==([\w.]+)", text, re.MULTILINE))


def installs(packages):
    """The lines that install, pinned, what Colab lacks of these packages. ValueError for one without a pin."""
    ours = pins("requirements.txt", "pyproject.toml")
    colabs = {"torch", *pins("tools/requirements-colab.txt")}
    distributions, lines = packages_distributions(), []
    for package in sorted(packages):
        distribution = distributions.get(package, [package])[0]
        if distribution in colabs:
            continue
        if distribution not in ours:
            raise ValueError(f"{package} is imported, but no version of {distribution} is pinned")
        lines.append(f"%pip install --quiet {distribution}=={ours[distribution]}\n")
    return "".join(lines)


def models(notebook):
    """The files of the trained models that it loads, of all models where it says no name; none too large."""
    for node in ast.walk(ast.parse(code(notebook.cells))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("load_pretrained"):
            named = node.args and isinstance(node.args[0], ast.Constant)
            for path in (ROOT / "data").glob(f"{node.args[0].value if named else '*'}.*"):
                if path.suffix in (".safetensors", ".json") and path.stat().st_size < LARGEST:
                    yield path


# ----------------------------------------------------------------------------- the bundle


def literal(content):
    """Bytes as a Python expression for them: text that can be read, if it is text."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        lines = base64.encodebytes(content).decode("ascii")
        return f'__import__("base64").b64decode("""\n{lines}""")'
    plain = "'''" not in text and "\r" not in text and text[-1:] not in ("'", "\\")
    return f"r'''{text}'''" if plain else repr(text)


def set_up(notebook):
    """The source of the cell that writes beside the notebook what it uses."""
    files, packages = needs(notebook)
    files += sorted({*models(notebook), *(ROOT / "data" / "reference").iterdir()})
    carried = [
        f'carry("{file.relative_to(ROOT).as_posix()}", {literal(file.read_bytes())})\n'
        for file in files
    ]
    said = f'print("{len(files)} files of the course are here.")'
    return "".join([SET_UP, installs(packages), *carried, said])


def bundle(notebook, badge=""):
    """The notebook with its set-up, without the outputs that are to be predicted."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            if is_tagged(cell, "hide-output"):  # JupyterLab keeps an output folded, not so Colab
                cell.outputs = []
                cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags})
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["set-up"]}
    notebook.cells[1:1] = [
        new_markdown_cell(ABOUT, id="about-this-file"),
        new_code_cell(set_up(notebook), id="set-up", metadata=folded),
    ]
    if badge:
        notebook.cells[0].source = notebook.cells[0].source.replace("\n", f"\n\n{badge}\n", 1)
    return notebook


# ----------------------------------------------------------------------------- badges


def badge(repo, name):
    address = f"https://colab.research.google.com/github/{repo}/blob/{BRANCH}/{name}"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"
    )


def readme(repo, names):
    """The README as seen from BRANCH: badges in the table of the path, all links to the repository's own files."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in names:
        text = text.replace(f"](notebooks/{name})", f"](notebooks/{name}) {badge(repo, name)}")
    text = re.sub(
        r"(!\[[^]]*\])\((?!https?:|#)", rf"\1(https://raw.githubusercontent.com/{repo}/HEAD/", text
    )
    return re.sub(r"\]\((?!https?:|#)", f"](https://github.com/{repo}/blob/HEAD/", text)


def publish(repo):
    return (
        f"To make the badges work, push this folder as the branch {BRANCH} of {repo}:\n"
        f"  cd build/colab\n"
        f"  git init -b {BRANCH} && git add . && git commit -m 'The notebooks for Colab'\n"
        f"  git push --force https://github.com/{repo} {BRANCH}\n"
        f"README.md in it has the badges too; its links hold on any branch."
    )


def main(arguments):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("numbers", nargs="*", metavar="NN", help="only these notebooks")
    parser.add_argument("--repo", metavar="OWNER/NAME", help="the repository that the badges name")
    options = parser.parse_args(arguments)
    repo = options.repo
    if repo and not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        return (
            f"make_colab: {repo!r} is no repository: write it as owner/name, as in REPO=jane/my-gpt"
        )
    try:
        for path in find(options.numbers):
            notebook = bundle(nbformat.read(path, as_version=4), repo and badge(repo, path.name))
            save_notebook(TARGET / path.name, notebook)
            print((TARGET / path.name).relative_to(ROOT).as_posix())
    except ValueError as error:
        return f"make_colab: {error}"
    if repo:
        write_whole(TARGET / "README.md", readme(repo, [path.name for path in find([])]))
        print(publish(repo))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
