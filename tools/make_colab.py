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

from run_notebooks import ROOT, find, save_notebook, write_whole

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
    """The first names of all that these syntax nodes import, Python's own modules left out."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


def needs(notebook):
    """Its modules, {name: source}, with those that they import, and the packages of others, a set of names."""
    tree = ast.parse(code(notebook.cells))
    modules, packages, trees = {}, imports(ast.walk(tree)), [tree]
    while trees:
        for name in imports(ast.walk(trees.pop())) - set(modules):
            if name.startswith("mygpt_"):
                modules[name] = (ROOT / f"{name}.py").read_text(encoding="utf-8")
                trees.append(ast.parse(modules[name]))
                packages |= imports(
                    trees[-1].body
                )  # an import inside a function is for those who call it
    return dict(sorted(modules.items())), packages - set(modules)


def pins(requirements):
    """{distribution: version} of the pinned lines of a requirements file."""
    lines = (ROOT / requirements).read_text(encoding="utf-8").splitlines()
    return dict(line.split()[0].split("==") for line in lines if "==" in line)


def installs(packages):
    """The lines that install, pinned, those packages that Colab lacks. ValueError for one that has no pin."""
    ours = pins("requirements.txt") | pins("requirements-dev.txt")
    colabs = {"torch"} | set(pins("requirements-colab.txt"))
    distributions, lines = packages_distributions(), []
    for package in sorted(packages):
        distribution = distributions.get(package, [package])[0]
        if distribution in colabs:
            continue
        if distribution not in ours:
            raise ValueError(
                f"{package} is imported, but {distribution} is not pinned in requirements.txt"
            )
        lines.append(f"%pip install --quiet {distribution}=={ours[distribution]}\n")
    return "".join(lines)


def data_files(notebook):
    """What it reads of data/: the reference results, and the trained models that it loads, if they are not too large."""
    paths = list((ROOT / "data" / "reference").iterdir())
    for node in ast.walk(ast.parse(code(notebook.cells))):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1] == "load_pretrained"
        ):
            name = (
                node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
            )  # "": any
            models = [
                path
                for path in (ROOT / "data").iterdir()
                if path.suffix in (".safetensors", ".json")
            ]
            paths += [
                path for path in models if name in path.stem and path.stat().st_size < LARGEST
            ]
    return sorted(set(paths))


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
    modules, packages = needs(notebook)
    files = {f"{name}.py": source.encode("utf-8") for name, source in modules.items()}
    files |= {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in data_files(notebook)}
    carried = "".join(f'carry("{name}", {literal(content)})\n' for name, content in files.items())
    return (
        SET_UP
        + installs(packages)
        + carried
        + f'print("{len(files)} files of the course are here.")'
    )


def bundle(notebook, badge=""):
    """The notebook with its set-up, without the outputs that are to be predicted."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            if "hide-output" in cell.metadata.get(
                "tags", []
            ):  # JupyterLab keeps it folded, not so Colab
                cell.outputs = []
                cell.metadata.pop("jupyter", None)
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
