"""The book is made without a warning, and is whole: links, alt texts, search, and nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook

import build_book

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def book():
    """{path: parsed page} of every page of a book just made."""
    command = [sys.executable, "tools/build_book.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((ROOT / "build" / "book").rglob("*.html"))
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in pages}


def page_of(path, book):
    return book[ROOT / "build" / "book" / "notebooks" / f"{path.stem}.html"]


def targets(page):
    """Every address that a page names: (tag, address)."""
    for tag in page.find_all(True):
        for attribute in ("href", "src", "poster", "data"):
            if tag.get(attribute):
                yield tag, tag[attribute]


def test_the_teachers_guide_which_answers_every_prediction_is_left_out(book):
    assert not any("teaching" in path.name.lower() for path in book)
    links = [a["href"] for page in book.values() for a in page.find_all("a", href=True)]
    assert not any("teaching" in link.lower() for link in links)


def test_every_page_is_there_and_named_in_the_contents(book):
    names = {path.relative_to(ROOT / "build" / "book").as_posix() for path in book}
    wanted = [f"notebooks/{stem}.html" for stem in [*(path.stem for path in NOTEBOOKS), "GLOSSARY"]]
    assert {"index.html", "search.html", *wanted} <= names
    contents = {
        a["href"] for a in book[ROOT / "build" / "book" / "index.html"].select(".sidebar-tree a")
    }
    assert set(wanted) <= contents


def test_every_inner_link_leads_somewhere(book):
    ids = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in book.items()}
    for path, page in book.items():
        for tag, address in targets(page):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {address}"
            if parts.fragment and target in ids:
                assert unquote(parts.fragment) in ids[target], f"{path.name}: {address}"


def test_outer_links_are_well_formed_and_only_links(book):
    for path, page in book.items():
        for tag, address in targets(page):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                assert tag.name == "a", f"{path.name} takes something from elsewhere: {tag}"
                assert re.fullmatch(r"https://([\w-]+\.)+\w{2,}(/\S*)?", address), (
                    f"{path.name}: {address}"
                )


def test_style_sheets_take_nothing_from_elsewhere(book):
    for sheet in (ROOT / "build" / "book" / "_static").rglob("*.css"):
        rules = sheet.read_text(encoding="utf-8")
        found = re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", rules)
        assert not found, f"{sheet.name}: {found}"


@each_notebook
def test_every_picture_is_there_with_its_alt_text(path, book):
    outputs = [
        o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", [])
    ]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    images = page_of(path, book).select(".cell_output img")
    assert [image["alt"] for image in images] == [p.metadata["image/png"]["alt"] for p in pictures]


@each_notebook
def test_answers_and_solutions_are_folded(path, book):
    cells = nbformat.read(path, as_version=4).cells
    folds = page_of(path, book).select("details.hide")
    answers = [fold for fold in folds if "Show the answer" in fold.summary.get_text()]
    solutions = [fold for fold in folds if "Show a solution" in fold.summary.get_text()]
    tags = [cell.metadata.get("tags", []) for cell in cells]
    assert len(answers) == sum("hide-output" in names for names in tags) > 2
    assert len(solutions) == sum("solution" in names for names in tags) > 2
    assert not any(fold.has_attr("open") for fold in folds)
    page, folded = page_of(path, book).get_text(), "".join(fold.get_text() for fold in solutions)
    for mark in ("# @title Solution", "✓ "):
        assert page.count(mark) == folded.count(mark)


def test_a_folded_set_up_shows_its_output_and_hides_its_code():
    cell = new_code_cell("# @title Setup\n1", metadata={"tags": ["setup"]})
    cell.metadata["jupyter"] = {"source_hidden": True}
    told = build_book.for_the_book(new_notebook(cells=[cell])).cells[0].metadata
    assert "hide-input" in told.tags and told.mystnb.code_prompt_show == "Show the code"


@each_notebook
def test_formulas_are_left_to_the_script_that_the_book_carries(path, book):
    page = page_of(path, book)
    scripts = [script["src"] for script in page.select("script[src]")]
    assert page.select(".math") and any("_static/tex-svg.js" in script for script in scripts)
    for code in page.select("code, pre, .math, script"):
        code.extract()
    assert not re.search(r"\$[^$\n]+\$|\\(frac|text|sqrt)", page.find("article").get_text())


def test_the_search_has_an_index_of_every_notebook(book):
    index = (ROOT / "build" / "book" / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(") and "perplex" in index
    assert all(f"notebooks/{path.stem}" in index for path in NOTEBOOKS)


def test_a_warning_is_an_error_and_leaves_no_book(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(build_book, "SOURCE", tmp_path / "source")
    monkeypatch.setattr(build_book, "BOOK", tmp_path / "book")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "conf.py").write_text("extensions = ['myst_parser']\n", encoding="utf-8")
    (tmp_path / "source" / "index.md").write_text(
        "# A\n[to nowhere](missing.md)\n", encoding="utf-8"
    )
    monkeypatch.setattr(build_book, "lay_out", lambda: None)
    assert "No book was made" in build_book.main() and not (tmp_path / "book").exists()
    assert "missing" in capfd.readouterr().err
