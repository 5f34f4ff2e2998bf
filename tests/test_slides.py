"""Every notebook's deck of slides: long enough, not too long, and each prediction before its answer."""

import re
import struct
from base64 import b64encode

import build_slides
import nbformat
import pytest
import run_notebooks
from bs4 import BeautifulSoup
from build_slides import deck, slide_type
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_notebooks import NOTEBOOKS

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def slides(notebook):
    """The cells of the notebook's deck, a list for each slide."""
    found = []
    for cell in deck(notebook).cells:
        if slide_type(cell) == "slide" or not found:
            found.append([])
        found[-1].append(cell)
    return found


def shows_its_code(cell):
    return cell.cell_type == "code" and "transient" not in cell.metadata


# ----------------------------------------------------------------------------- the rules for a deck


def problems_length(nb):
    number = len(slides(nb))
    return [] if 12 <= number <= 28 else [f"{number} slides: 12 to 28 are wanted"]


def problems_predictions(nb):
    """Every question of the deck has its answer in it, on a key press or on a later slide."""
    problems = []
    for i, cell in enumerate(nb.cells):
        if "> **Predict.**" not in cell.source or slide_type(cell) == "skip":
            continue
        answer = next((c for c in nb.cells[i + 1 :] if c.cell_type == "code"), None)
        if answer is None or slide_type(answer) not in ("fragment", "slide"):
            problems.append(f"cell {i}: the answer to the prediction is neither a fragment nor a new slide")
    asked = sum("> **Predict.**" in cell.source for slide in slides(nb) for cell in slide)
    return problems if asked >= 3 else problems + [f"{asked} predictions: at least 3 are wanted"]


def problems_size(nb):
    problems = []
    for number, slide in enumerate(slides(nb), 1):
        code = sum(len(cell.source.split("\n")) for cell in slide if shows_its_code(cell))
        outputs = [output for cell in slide for output in cell.get("outputs", [])]
        put_out = [o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs]
        words = sum(len(cell.source.split()) for cell in slide if cell.cell_type == "markdown")
        if code > 20:
            problems.append(f"slide {number}: {code} lines of code are more than 20")
        if sum(len(text.splitlines()) for text in put_out) > 24:
            problems.append(f"slide {number}: more than 24 lines of output")
        if words > 160:
            problems.append(f"slide {number}: {words} words are more than 160")
        for cell in slide:
            if cell.cell_type == "code" and not shows_its_code(cell) and not cell.outputs:
                problems.append(f"slide {number}: code too long to show, and no output: {cell.source[:60]!r}")
    return problems


RULES = [problems_length, problems_predictions, problems_size]


@each_notebook
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_deck_keeps_the_rule(path, rule):
    assert rule(nbformat.read(path, as_version=4)) == []


# ----------------------------------------------------------------------------- a little notebook


def marked(cell, kind):
    if kind:
        cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def text(source, kind=None):
    return marked(new_markdown_cell(source), kind)


def code(source, kind=None, *outputs):
    return marked(new_code_cell(source, outputs=list(outputs)), kind)


def said(text):
    return new_output("stream", name="stdout", text=text)


def drawn(width, height):
    png = b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)).decode()
    return new_output("display_data", {"image/png": png}, metadata={"image/png": {"alt": f'"{width} < b"'}})


def notebook(*cells):
    return new_notebook(cells=[text("# 01 · A title", "slide"), *cells])


def shown(nb):
    """What each slide shows, as one text."""
    seen = [[c for c in slide if c.cell_type == "markdown" or shows_its_code(c)] for slide in slides(nb)]
    return ["\n".join(cell.source for cell in slide) for slide in seen]


def good():
    cells = []
    for n in range(1, 12):
        cells.append(text(f"## {n}. Section\nIt begins.\n\n> **Predict.** What is {n}?", "slide"))
        cells.append(code("print(1)", "fragment", said("1")))
    return notebook(*cells)


def test_the_rules_pass_a_good_deck_and_object_to_bad_ones():
    assert [rule(good()) for rule in RULES] == [[], [], []]
    short = notebook(*good().cells[1:5])
    assert "3 slides" in problems_length(short)[0] and "2 predictions" in problems_predictions(short)[0]
    for kind in ("skip", "-"):
        nb = good()
        nb.cells[2].metadata["slideshow"]["slide_type"] = kind
        assert "the answer" in problems_predictions(nb)[0]
    two_cells = notebook(code("pass\n" * 10 + "1"), code("pass\n" * 9 + "1"))
    assert "21 lines of code" in problems_size(two_cells)[0]
    assert "no output" in problems_size(notebook(code("pass\n" * 30)))[0]
    assert "lines of output" in problems_size(notebook(code("1", None, said("x\n" * 25))))[0]
    assert "words" in problems_size(notebook(text("* " + "word " * 200)))[0]


def test_of_a_paragraph_the_gist_is_shown_and_the_notes_have_all_of_it():
    source = (
        "Yes. That was to be expected by everyone here. It is dull. A **name** is new. "
        "Why (it is so. We ask) would it? **Two sentences. In bold.** The end."
    )
    nb = notebook(text(source, "slide"), text("* a point. Another.\n* more", "-"))
    gist = source.replace(" It is dull.", "").removesuffix(" The end.")
    assert shown(nb)[1] == gist + "\n* a point. Another.\n* more"
    assert [cell.metadata.get("notes") for cell in slides(nb)[1]] == [source, None]


def test_headings_and_questions_after_code_start_slides():
    nb = notebook(
        text("Reads what is not shown.\n\n## 1. First\nHere.", "slide"),
        code("x = 1"),
        text("Reads it.\n\n> **Predict.** And 2?"),
        code("print(2)", "fragment", said("2")),
        text("Two.\n\nIt leads on.\n\n## 2. Second\nMore.\n\n> **Predict.** And 3?", "fragment"),
        text("### Exercise 1 · x ★☆☆ 5 min\nDo it."),
        text("**Papers.** A. Author.\n\n**Next: 02, more.** There is more to come, and much of it. What?"),
    )
    assert shown(nb) == [
        "# 01 · A title",
        "## 1. First\n\nHere.\nx = 1\nReads it.",
        "> **Predict.** And 2?\nprint(2)\nTwo.",
        "## 2. Second\n\nMore.\n> **Predict.** And 3?",
        "## Next: 02, more\n\nThere is more to come, and much of it. What?",
    ]
    heads = [slide[0].metadata.get("running_head") for slide in slides(nb)]
    assert heads == [None, None, "1\\. First", None, None]
    assert [slide_type(cell) for cell in slides(nb)[2]] == ["slide", "fragment", "fragment"]


def test_a_sentence_that_announces_a_skipped_cell_is_left_out():
    announced = "It is so, and we have seen it well enough. Now in numbers:"
    assert "Now" in shown(notebook(text("**Now** in numbers:"), code("1")))[0]
    assert shown(notebook(text(announced, "slide"), code("1", "skip")))[1] == announced[:-16]
    assert len(slides(notebook(text("In numbers:", "slide"), code("1", "skip")))) == 1


def test_a_picture_stands_alone_and_long_code_gives_way_to_its_output():
    bar = said("training: 100%|███| 9/9 [00:01<00:00]\nloss 1\n")
    nb = notebook(
        code("draw()", None, bar, drawn(900, 300)),
        code("draw()", None, drawn(300, 300)),
        code("pass\n" * 6, None, bar),
        code("a = 1\n\n\nprint(a)", None, said("1")),
    )
    wide, tall, long, short = slides(nb)[0][1:]
    assert [len(cell.outputs) for cell in (wide, tall, long, short)] == [1, 1, 1, 1]
    assert [shows_its_code(cell) for cell in (wide, tall, long, short)] == [False, False, False, True]
    assert (wide.metadata.tall, tall.metadata.tall) == (False, True)
    assert long.outputs[0].text == "loss 1\n" and short.source == "a = 1\n\nprint(a)"


def test_the_page_has_alt_texts_formulas_and_nothing_from_elsewhere(tmp_path):
    formulas = text(r"A formula $a < \frac{1}{2}$ and $\text{a\_b}$. It is short.", "slide")
    nb = notebook(formulas, code("1", "fragment", drawn(9, 9)))
    nbformat.write(nb, tmp_path / "01_a.ipynb")
    page = BeautifulSoup(build_slides.export(tmp_path / "01_a.ipynb"), "html.parser")
    assert len(page.select(".slides > section > section")) == 2 and len(page.select(".fragment img")) == 1
    assert [image["alt"] for image in page.find_all("img")] == ['"9 < b"']
    assert len(page.select("section > p math")) == 2 and "It is short" in page.find("aside").get_text()
    assert "¶" not in page.get_text() and "a_b" in page.get_text()
    assert page.html["lang"] == "en" and page.title.get_text() == "01 · A title · slides"
    needed = [tag.get("src") or tag.get("href") for tag in page.find_all(["script", "link"])]
    assert {name for name in needed if name} == {
        "reveal/reveal.css", "deck.css", "code.css", "reveal/reveal.js", "reveal/notes.js",
    }
    assert not re.search(r"(src|href)=.https?:", str(page))


def test_a_run_keeps_the_marks():
    nb = run_notebooks.tidy(notebook(code("1", "fragment")))
    assert slide_type(nb.cells[1]) == "fragment"


# ----------------------------------------------------------------------------- the book's notebooks


def test_the_book_gets_alt_texts_folds_and_no_widgets():
    from build_book import for_the_book

    nb = notebook(
        code("draw()", None, drawn(1, 1), said("between"), drawn(2, 2)),
        code("slide()", None, new_output("display_data", {run_notebooks.WIDGET_VIEW: {}}), drawn(3, 3)),
        code("answer()", None, said("4")),
        code("solve()", None, said("✓")),
    )
    nb.cells[3].metadata.update(jupyter={"outputs_hidden": True}, tags=["hide-output"])
    nb.cells[4].metadata.update(jupyter={"source_hidden": True}, tags=["solution"])
    _, first, second, moved, answer, solution = for_the_book(nb).cells
    assert [len(cell.outputs) for cell in (first, second, moved)] == [1, 2, 1]
    alts = [cell.metadata.mystnb["image"]["alt"] for cell in (first, second, moved)]
    assert alts == ['"1 < b"', '"2 < b"', '"3 < b"']
    assert "remove-input" in second.metadata.tags and "tags" not in first.metadata and second.id != first.id
    assert "answer" in answer.metadata.mystnb["code_prompt_show"] and "hide-output" in answer.metadata.tags
    assert "solution" in solution.metadata.mystnb["code_prompt_show"]
    assert "hide-cell" in solution.metadata.tags
