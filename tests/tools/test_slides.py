"""Every notebook's deck of slides: not too long, with all that a lesson asks, each question before its answer."""

import re
import struct
from base64 import b64encode

import build_slides
import nbformat
import pytest
import run_notebooks
from bs4 import BeautifulSoup
from build_slides import QUESTION, deck, is_shown, paragraphs, sections, sentences, slide_type
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_notebooks import NOTEBOOKS

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def slides(notebook):
    """The cells of the notebook's deck, a list for each slide."""
    return build_slides.slides(deck(notebook).cells)


def shows_its_code(cell):
    return cell.cell_type == "code" and "transient" not in cell.metadata


# ----------------------------------------------------------------------------- the rules for a deck


def problems_length(nb):
    number = len(slides(nb))
    return [] if 12 <= number <= 32 else [f"{number} slides: 12 to 32 are wanted"]


def problems_predictions(nb):
    """Every question of the deck has its answer in it, on a key press or on a later slide."""
    problems = []
    for i, cell in enumerate(nb.cells):
        if QUESTION not in cell.source or slide_type(cell) == "skip":
            continue
        answer = answer_to(nb, i)
        if answer is None or slide_type(answer) not in ("fragment", "slide"):
            problems.append(f"cell {i}: the answer to the prediction is neither a fragment nor a new slide")
    asked = sum(QUESTION in cell.source for slide in slides(nb) for cell in slide)
    return problems if asked >= 3 else problems + [f"{asked} predictions: at least 3 are wanted"]


def answer_to(nb, i):
    """The first code cell that the deck shows after the question in cell i and before the next question."""
    for cell in nb.cells[i + 1 :]:
        if QUESTION in cell.source:
            return None
        if cell.cell_type == "code" and is_shown(cell):
            return cell
    return None


def problems_told(nb):
    """Each slide has one note, in its last cell; every sentence of the text stands on a slide or in a note."""
    pages = slides(nb)
    noted = [[cell for cell in page if "slide_notes" in cell.metadata] for page in pages]
    problems = [] if noted == [page[-1:] for page in pages] else ["a slide has not one note, in its last cell"]
    cells = [cell for page in pages for cell in page]
    told = " | ".join(words(text) for cell in cells for text in (cell.source, cell.metadata.get("slide_notes", "")))
    texts = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    everything = [p for source in texts for part in sections(source) for p in part if not p.startswith("#")]
    return problems + [f"not told: {s!r}" for p in everything for s in sentences(p) if words(s) not in told]


def words(text):
    return " ".join(re.findall(r"\w+", text))


def problems_size(nb):
    problems = []
    for number, slide in enumerate(slides(nb), 1):
        code = sum(len(cell.source.split("\n")) for cell in slide if shows_its_code(cell))
        outputs = [output for cell in slide for output in cell.get("outputs", [])]
        put_out = [o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs]
        length = sum(len(cell.source.split()) for cell in slide if cell.cell_type == "markdown")
        if code > 20:
            problems.append(f"slide {number}: {code} lines of code are more than 20")
        if sum(len(text.splitlines()) for text in put_out) > 24:
            problems.append(f"slide {number}: more than 24 lines of output")
        if length > 170:
            problems.append(f"slide {number}: {length} words are more than 170")
        for cell in slide:
            if cell.cell_type == "code" and not shows_its_code(cell) and not cell.outputs:
                problems.append(f"slide {number}: code too long to show, and no output: {cell.source[:60]!r}")
    return problems


RULES = [problems_length, problems_predictions, problems_told, problems_size]


@each_notebook
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_deck_keeps_the_rule(path, rule):
    assert rule(nbformat.read(path, as_version=4)) == []


def problems_path(nb, numbers):
    """Each of these predictions is in the deck, with what is needed to answer it, and with its answer.

    What its cell says before it stands on the same slide or the one before; the answer, and whole the first
    paragraph that reads it, on the same slide or the next.
    """
    asking = [i for i, cell in enumerate(nb.cells) if QUESTION in cell.source]
    pages, problems = slides(nb), []
    seen = [words(" ".join(cell.source for cell in page if cell.cell_type == "markdown")) for page in pages]
    for number in numbers:
        i = asking[number - 1]
        parts = sections(nb.cells[i].source)
        n = next(n for n, part in enumerate(parts) if part[0].startswith(QUESTION))
        before, question = parts[n - 1] if n > 0 else [], parts[n][0]
        k = next((k for k, text in enumerate(seen) if words(question) in text), None)
        if k is None:
            problems.append(f"P{number} is not asked")
            continue
        problems += [f"P{number}: not said before it: {paragraph[:60]!r}" for paragraph in before
                     if words(said_of(paragraph)) not in " ".join(seen[max(k - 1, 0) : k + 1])]
        answer = answer_to(nb, i)
        at = [n for n in (k, k + 1) if n < len(pages) and answer and any(c.id == answer.id for c in pages[n])]
        if not at:
            problems.append(f"P{number} is not answered on its slide or the next")
            continue
        reading = next(c for c in nb.cells[nb.cells.index(answer) + 1 :] if c.cell_type == "markdown")
        if words(said_of(paragraphs(reading.source)[0])) not in seen[at[0]]:
            problems.append(f"P{number}: its answer is not read whole: {reading.source[:60]!r}")
    return problems


def said_of(paragraph):
    """A paragraph without its last sentence if that announces what follows: a deck may leave that out."""
    return " ".join(sentences(paragraph)[:-1]) if paragraph.endswith(":") else paragraph


def path_of(teaching, number):
    """The numbers of the predictions in the table of a notebook's 50 minutes, in the teacher's guide."""
    sheet = teaching.split(f"\n## {number} · ")[1].split("\n## ")[0]
    path = sheet.split("**50 minutes.**")[1].split("**Ask afterwards.**")[0]
    rows = "\n".join(line for line in path.split("\n") if line.startswith("|"))
    return sorted(set(map(int, re.findall(r"\bP(\d+)\b", rows))))


@each_notebook
def test_what_the_50_minutes_ask_is_in_the_deck_with_its_answer(path):
    teaching = (run_notebooks.ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
    numbers = path_of(teaching, path.stem[:2])
    assert len(numbers) >= 5
    assert problems_path(nbformat.read(path, as_version=4), numbers) == []


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
    return ["\n".join(cell.source for cell in slide if cell.source) for slide in seen]


def notes(nb):
    """The speaker's note of each slide. It stands in the slide's last cell, so outside all fragments."""
    assert all("slide_notes" not in cell.metadata for slide in slides(nb) for cell in slide[:-1])
    return [slide[-1].metadata["slide_notes"] for slide in slides(nb)]


def good():
    cells = []
    for n in range(1, 12):
        cells.append(text(f"## {n}. Section\nIt begins.\n\n> **Predict.** What is {n}?", "slide"))
        cells.append(code("print(1)", "fragment", said("1")))
        cells.append(text(f"One, of course. {LONG} So much for {n}.", "fragment"))
    return notebook(*cells)


LONG = "This sentence is here so that the paragraph is too long to be shown whole. " * 4


def test_the_rules_pass_a_good_deck_and_object_to_bad_ones():
    assert [rule(good()) for rule in RULES] == [[], [], [], []]
    short = notebook(*good().cells[1:7])
    assert "3 slides" in problems_length(short)[0] and "2 predictions" in problems_predictions(short)[0]
    for kind in ("skip", "-"):
        nb = good()
        nb.cells[2].metadata["slideshow"]["slide_type"] = kind
        assert "the answer" in problems_predictions(nb)[0]
    two_cells = notebook(code("pass\n" * 10 + "1"), code("pass\n" * 9 + "1"))
    assert "21 lines of code" in problems_size(two_cells)[0]
    assert "no output" in problems_size(notebook(code("pass\n" * 30)))[0]
    assert "lines of output" in problems_size(notebook(*2 * [code("1", None, said("x\n" * 15))]))[0]
    assert "words" in problems_size(notebook(text("* " + "word " * 200)))[0]


def test_the_rules_object_to_a_deck_that_leaves_the_path(monkeypatch):
    assert problems_path(good(), [1, 11]) == []
    for i, complaint in {4: "P2 is not asked", 5: "P2 is not answered", 6: "P2: its answer is not read"}.items():
        nb = good()
        nb.cells[i].metadata["slideshow"]["slide_type"] = "skip"
        assert complaint in problems_path(nb, [2])[0] and problems_path(nb, [1, 3]) == []
    monkeypatch.setattr(build_slides, "LONGEST_WHOLE", 20)
    assert "P2: its answer is not read whole" in problems_path(good(), [2])[0]
    nb = good()
    nb.cells[4].source = nb.cells[4].source.replace("It begins.", f"It begins. {LONG}")
    assert "P2: not said before it: 'It begins" in problems_path(nb, [2])[0]
    teaching = "\n## 01 · A\nP9\n**50 minutes.** P8\n| 1 | P2; P10 |\n**Ask afterwards.** P7\n## 02 · B"
    assert path_of(teaching, "01") == [2, 10]


def test_the_rules_object_to_what_nobody_tells(monkeypatch):
    monkeypatch.setattr(build_slides, "LONGEST_WHOLE", 20)
    assert problems_told(good()) == []
    monkeypatch.setattr(build_slides, "finish", lambda slide, heading: heading)
    assert "not one note" in problems_told(good())[0]
    assert any("So much for 3" in problem for problem in problems_told(good()))


def test_of_a_paragraph_the_gist_is_shown_and_the_notes_have_all_of_it():
    source = (
        "Yes. That was to be expected by everyone here. It is dull. A **name** is new. "
        f"Why (it is so. We ask) would it? **Two sentences. In bold.** {LONG}The end."
    )
    nb = notebook(text(source, "slide"), text("* a point. Another.\n* more", "-"), text("Short. It is.", "-"))
    gist = source.replace(" It is dull.", "").removesuffix(f" {LONG}The end.")
    assert shown(nb)[1] == gist + "\n* a point. Another.\n* more\nShort. It is."
    assert notes(nb)[1] == f"{source}\n\n* a point. Another.\n* more\n\nShort. It is."


def test_the_answer_to_a_question_and_what_stands_before_one_are_shown_whole():
    source = f"It is long. {LONG}The end."
    assert "The end." not in shown(notebook(text(source, "slide")))[1]
    assert "The end." in shown(notebook(text(source, "fragment")))[0]
    assert "The end." in shown(notebook(text(source, "slide"), text("> **Predict.** And 1?")))[1]
    assert shown(notebook(text(f"{LONG}{LONG}{source}", "fragment")))[0].endswith(LONG.split(". ")[0] + ".")


def test_what_the_deck_skips_stands_in_the_notes():
    nb = notebook(
        text("## 1. First\nIt is.", "slide"),
        text("It was.\n\n## 2. Second\nMore.\n\n### Exercise 1 · x ★☆☆ 5 min\nDo it.", "skip"),
        text("*A solution, folded.*", "skip"),
        text("**Papers.** A. Author.", "-"),
    )
    assert shown(nb)[1:] == ["## 1. First\n\nIt is."]
    assert notes(nb)[1] == "**1. First**\n\nIt is.\n\nIt was.\n\n**2. Second**\n\nMore.\n\n**Papers.** A. Author."


def test_headings_and_questions_after_code_start_slides():
    nb = notebook(
        code("0", "skip"),
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
        "> **Predict.** And 2?\nTwo.\n\nIt leads on.",
        "## 2. Second\n\nMore.\n> **Predict.** And 3?",
        "## Next: 02, more\n\nThere is more to come, and much of it. What?",
    ]
    heads = [slide[0].metadata.get("running_head") for slide in slides(nb)]
    assert heads == [None, None, "1\\. First", None, None]
    assert [slide_type(cell) for cell in slides(nb)[2]] == ["slide", "fragment", "fragment"]
    assert notes(nb)[:2] == ["**01 · A title**\n\nReads what is not shown.", "**1. First**\n\nHere.\n\nReads it."]
    assert "**Papers.** A." in notes(nb)[3] and notes(nb)[4].startswith("**Next: 02, more**\n\nThere is more")


def test_what_stands_before_a_heading_ends_the_slide_of_the_result_that_it_reads():
    nb = notebook(
        text("## 1. First\n> **Predict.** And 1?", "slide"),
        code("print(1)", "fragment", said("1")),
        text("One, as expected. It goes on.\n\nIt leads on.\n\n### Second\nMore.", "slide"),
        code("print(2)"),
        text("**The third.** It is a paragraph. With a heading.", "slide"),
    )
    assert shown(nb)[1:] == [
        "## 1. First\n> **Predict.** And 1?\nOne, as expected. It goes on.\n\nIt leads on.",
        "### Second\n\nMore.\nprint(2)",
        "### The third\n\nIt is a paragraph. With a heading.",
    ]
    assert [slide_type(cell) for cell in slides(nb)[1]][-2:] == ["fragment", "fragment"]


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
    assert len(page.select("section > p math")) == 2 and "It is short" in page.find_all("aside")[1].get_text()
    assert len(page.select("section > section > aside.notes:last-child")) == 2
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
