"""The README and CONTRIBUTING: their links, rows, dependencies and commands."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, read

from mygpt.__main__ import main
from notebook_facts import is_draft

ROOT = Path(__file__).resolve().parents[2]
README, CONTRIBUTING, MAKEFILE, GLOSSARY = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md", "Makefile", "notebooks/GLOSSARY.md")
)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "notebooks/GLOSSARY.md"])
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert targets and all(((ROOT / name).parent / target).exists() for target in targets), targets


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_its_row(path):
    row = re.search(rf"^\| {path.stem[:2]} \| \[.*\]\(notebooks/{path.name}\)", README, re.M)
    assert (row is None) == is_draft(read(path))


def dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for extra in project["optional-dependencies"].values():
        pins += extra
    return re.findall(r"^([\w-]+)==", "\n".join(pins), re.M)


@pytest.mark.parametrize("name", dependencies())
def test_a_dependency_has_its_line(name):
    assert re.search(rf"^\* `{name}`: \w", README, re.M)


def test_make_has_the_targets_that_are_named():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    named = re.findall(r"(?:`|^|/cpu )make ([a-z-]+)", README + CONTRIBUTING, re.M)
    assert named and set(named) <= targets


@pytest.mark.parametrize("command", re.findall(r"^\S.*-m mygpt (\w.*?) *(?:#.*)?$", README, re.M))
def test_a_command_has_the_options_that_are_named(command, capsys):
    name, *arguments = shlex.split(command)
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    printed = capsys.readouterr().out
    assert stopped.value.code == 0
    assert all(option in printed for option in arguments if option.startswith("--"))


TERMS = re.findall(r"^\| (.+?) \|.*\]\((.+?\.ipynb)\) \|$", GLOSSARY, re.M)


@pytest.mark.parametrize("term, name", TERMS)
def test_a_term_of_the_glossary_is_in_its_notebook(term, name):
    text = "\n".join(c.source for c in read(ROOT / "notebooks" / name).cells)
    words = re.sub(r" \(.*\)", "", term).split(", ")
    assert all(re.search(rf"\b{re.escape(word)}", text, re.I) for word in words)


def test_the_glossary_is_in_alphabetical_order():
    terms = [term.lower() for term, _ in TERMS]
    assert terms == sorted(terms)
