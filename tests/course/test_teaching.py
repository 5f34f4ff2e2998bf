"""The teacher's guide: a sheet for each notebook, and what a sheet names exists."""

import importlib
import re
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, read

import make_student
from notebook_facts import EXERCISE, PREDICT, is_draft, markdown, paths

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "teaching").glob("*.md"))
SHEETS = [path for path in PAGES if path.stem != "README"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def named(path):
    return path.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_a_notebook_has_its_sheet(path):
    if not is_draft(read(path)):
        assert (ROOT / "teaching" / f"{path.stem}.md").is_file()


@pytest.mark.parametrize("sheet", PAGES, ids=named)
def test_links_and_commands_of_a_page_exist(sheet):
    text = sheet.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (sheet.parent / target).exists(), target
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.M)
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= set(targets)


@pytest.mark.parametrize("sheet", SHEETS, ids=named)
def test_what_a_sheet_names_is_in_the_notebook(sheet):
    text = sheet.read_text(encoding="utf-8")
    missing = [sign for sign in signs(text, sheet.stem[:2]) if not exists(*sign)]
    assert not missing, f"sections (§), predictions (P), exercises (E), checks: {missing}"


def signs(text, own):
    """(notebook, kind, which) of all that a sheet names: ("03", "§", "7"), ("03", "check", "head")."""
    for number, kind, which in re.findall(r"(?<!\w)(?:(\d\d) )?([§PE])(\d+)(?!\w)", text):
        yield number or own, kind, which
    for name in re.findall(r"\bcheck\.(\w+)", text):
        yield own, "check", name


def exists(number, kind, which):
    if kind == "check":
        return hasattr(importlib.import_module(f"mygpt.checks.nb{number}"), which)
    text = markdown(read(*paths([number])))
    if kind == "§":
        return re.search(rf"^##+ {which}\. ", text, re.M) is not None
    there = text.count(PREDICT) if kind == "P" else len(EXERCISE.findall(text))
    return 1 <= int(which) <= there


@pytest.mark.parametrize(
    "text, missing",
    [
        ("see 03 §7 and §1", []),
        ("§77", [("03", "§", "77")]),
        ("P1, P99", [("03", "P", "99")]),
        ("E1; 01 E9", [("01", "E", "9")]),
        ("`check.nothing`", [("03", "check", "nothing")]),
    ],
)
def test_what_does_not_exist_is_found(text, missing):
    assert [sign for sign in signs(text, "03") if not exists(*sign)] == missing


def test_nothing_of_it_reaches_students():
    handed_out = [path for pattern in make_student.COURSE for path in ROOT.glob(pattern)]
    assert handed_out and not set(PAGES) & set(handed_out)
    assert not any("teaching/" in markdown(read(path)) for path in NOTEBOOKS)
