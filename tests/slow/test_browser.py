"""The course in a real browser: its notebooks in JupyterLab, and the book's pages.

    make test-browser

What fails leaves a picture and a trace in build/browser/: `.venv/bin/playwright show-trace FILE`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from lab import (
    CELL,
    ENDED,
    LIMIT,
    OUTPUT,
    TROUBLE,
    choose,
    run_all,
    running_lab,
    start_all,
    wait_until_idle,
)
from playwright.sync_api import TimeoutError as NothingHappened
from playwright.sync_api import expect

import browser
from run_notebooks import save_notebook, tidy

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]


def of_code(path, pattern):
    """The numbers of the code cells in which the pattern stands."""
    return [i for i, cell in enumerate(code_cells(read(path))) if re.search(pattern, cell.source)]


def saved_text(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def first_training(path):
    """The number, among all cells, of the first one that trains with a progress line; None without one."""
    cells = enumerate(read(path).cells)
    return next(
        (i for i, c in cells if c.cell_type == "code" and "training: 100%" in saved_text(c)), None
    )


WITH_WIDGETS = [path for path in NOTEBOOKS if of_code(path, r"\bpanel\.interactive\(")]
TRAINING = [path for path in NOTEBOOKS if first_training(path) is not None]
named = {"ids": lambda path: path.stem}

# ----------------------------------------------------------------------------- the browser, and the server


@pytest.fixture(scope="session")
def browser_type_launch_args(playwright):
    """Which browser pytest-playwright starts."""
    way = browser.find(playwright.chromium)
    assert way is not None, "no browser starts here: python tools/browser.py says what to do"
    return way


@pytest.fixture(scope="session")
def browser_context_args():
    return {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture
def strangers(page):
    """Requests to any other machine, as they happen. None is let through."""
    found = []

    def judge(route):
        if re.match(
            r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|file:|data:|blob:", route.request.url
        ):
            return route.continue_()
        found.append(route.request.url)
        route.abort()

    page.route("**/*", judge)
    return found


@pytest.fixture
def complaints(page):
    """Errors that scripts raised or wrote to the console, as they happen."""
    found = []
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
    page.on(
        "console", lambda said: said.type == "error" and found.append(f"{page.url}: {said.text}")
    )
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    (BUILD / "browser").mkdir(parents=True, exist_ok=True)
    with running_lab(
        tmp_path_factory.mktemp("jupyter"), BUILD / "browser" / "jupyterlab.log"
    ) as lab:
        yield lab


@pytest.fixture
def lab(server, page):
    yield server
    server.stop_kernels(page)


# ----------------------------------------------------------------------------- notebooks in JupyterLab

SEEN = """image => {
    const box = image.getBoundingClientRect();
    const middle = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    const canvas = Object.assign(document.createElement("canvas"), {width: 60, height: 60});
    canvas.getContext("2d").drawImage(image, 0, 0, 60, 60);
    const pixels = new Set(new Uint32Array(canvas.getContext("2d").getImageData(0, 0, 60, 60).data.buffer));
    return {loaded: image.complete && image.naturalWidth > 100 && image.naturalHeight > 50,
            large: box.width > 100 && box.height > 50, uncovered: middle === image, drawn: pixels.size > 10};
}"""


def pictures_of(nb):
    """How many pictures each code cell of a saved notebook shows."""
    return [
        sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in code_cells(nb)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, **named)
def test_a_notebook_hides_its_answers_runs_to_its_last_cell_and_shows_its_figures(
    path, lab, page, strangers
):
    lab.open(page, path.name)
    folded = page.locator(".jp-OutputPlaceholder .jp-PlaceholderText")
    expect(folded).to_have_count(
        sum("hide-output" in c.metadata.get("tags", []) for c in code_cells(read(path)))
    )
    assert (
        "".join(folded.all_text_contents()).strip() == ""
    )  # not even the first line is to be seen
    run_all(page)
    cells = page.locator(CELL)
    assert [cell.locator("img").count() for cell in cells.all()] == pictures_of(read(path))
    for image in page.locator(f"{OUTPUT} img").all():
        image.scroll_into_view_if_needed()
        seen = image.evaluate(SEEN)
        assert all(seen.values()), seen
    expect(page.locator(".jp-Dialog, .Toastify__toast")).to_have_count(
        0
    )  # nothing was asked or announced
    assert strangers == []


@pytest.mark.parametrize("path", NOTEBOOKS[:1], **named)
def test_a_notebook_that_is_opened_and_saved_stays_as_it_was(path, lab, page):
    notebook = tidy(read(path))
    copy = lab.course / "notebooks" / "saved.ipynb"
    save_notebook(copy, notebook)
    lab.open(page, copy.name)
    with page.expect_response(lambda response: response.request.method == "PUT", timeout=LIMIT):
        choose(page, "File", "Save Notebook")
    saved = json.loads(copy.read_text(encoding="utf-8"))
    saved["metadata"]["language_info"].pop("version")  # this machine's Python
    assert json.dumps(saved) == json.dumps(json.loads(nbformat.writes(notebook)))


# ----------------------------------------------------------------------------- widgets


def controls(cell):
    return cell.locator(".jupyter-widgets:not(.widget-container)")


def drag(page, slider):
    """Take the handle to the middle of the track, or, if it is there, to its end."""
    handle, track = (
        slider.locator(".noUi-handle").bounding_box(),
        slider.locator(".noUi-target").bounding_box(),
    )
    y, middle, end = (
        handle["y"] + handle["height"] / 2,
        track["x"] + track["width"] / 2,
        track["x"] + track["width"],
    )
    at = handle["x"] + handle["width"] / 2
    page.mouse.move(at, y)
    page.mouse.down()
    page.mouse.move(middle if abs(middle - at) > track["width"] / 4 else end, y)
    page.mouse.up()


def choose_another(page, dropdown):
    """Take the first option, or, if it is the one that is shown, the second."""
    select = dropdown.locator("select")
    select.select_option(index=int(select.evaluate("select => select.selectedIndex") == 0))


def write_over(page, text):
    """Put another line in, and leave with Enter."""
    text.locator("input").fill("the")
    page.keyboard.press("Enter")


# What a hand does with each kind of control, and which key moves it. Lists and lines of text are the
# browser's own, and know their keys: to reach them is enough.
KINDS = {
    "widget-slider": (drag, "ArrowRight"),
    "widget-checkbox": (lambda page, control: control.locator("input").click(), "Space"),
    "widget-dropdown": (choose_another, None),
    "widget-text": (write_over, None),
}


def kind(control):
    names = control.get_attribute("class").split()
    known = [name for name in names if name in KINDS]
    assert known, f"a control of a kind that KINDS does not know: {names}"
    return known[0]


def moves_the_figure(page, cell, control, move):
    """Do move(), and fail if the picture of the cell stays the same."""
    wait_until_idle(page)
    before = cell.locator("img").get_attribute("src")
    move()
    changed = "([cell, before]) => { const image = cell.querySelector('img'); return image && image.src !== before }"
    try:
        page.wait_for_function(changed, arg=[cell.element_handle(), before], timeout=LIMIT)
    except NothingHappened:
        pytest.fail(f"{control.inner_text()!r} moved, and the figure stayed as it was")


@pytest.mark.parametrize("path", WITH_WIDGETS, **named)
def test_every_control_moves_its_figure(path, lab, page):
    lab.open(page, path.name)
    run_all(page)
    for number in of_code(path, r"\bpanel\.interactive\("):
        cell = page.locator(CELL).nth(number)
        assert controls(cell).count() >= 1, "no controls are shown"
        for control in controls(cell).all():
            hand, _ = KINDS[kind(control)]
            control.scroll_into_view_if_needed()
            moves_the_figure(page, cell, control, lambda: hand(page, control))


@pytest.mark.parametrize("path", WITH_WIDGETS, **named)
def test_the_keyboard_alone_reaches_and_moves_every_control(path, lab, page):
    lab.open(page, path.name)
    run_all(page)
    cells = page.locator(".jp-Notebook .jp-Cell")
    places = [i for i, cell in enumerate(read(path).cells) if "panel.interactive(" in cell.source]
    for place in reversed(places):  # after the run the last cell is selected
        cell = cells.nth(place)
        walk_up_to(page, cell)
        for control in controls(cell).all():
            tab_to(page, control)
            _, key = KINDS[kind(control)]
            if key:
                moves_the_figure(page, cell, control, lambda: page.keyboard.press(key))
        page.keyboard.press("Escape")


def walk_up_to(page, cell):
    """Select the cell with the arrow keys, which pass over every cell whose source is folded."""
    for _ in range(page.locator(".jp-Notebook .jp-Cell").count()):
        if "jp-mod-active" in cell.get_attribute("class"):
            return
        page.keyboard.press("ArrowUp")
    pytest.fail("the arrow keys do not lead to the panel: is its cell folded?")


def tab_to(page, control):
    for _ in range(30):
        page.keyboard.press("Tab")
        if control.evaluate("control => control.contains(document.activeElement)"):
            return
    pytest.fail(f"30 times Tab do not lead to {control.inner_text()!r}")


# ----------------------------------------------------------------------------- interrupting a training run

# `train` as it is, but a run that nobody waits for, and of which nothing is kept
ENDLESS = """
from dataclasses import replace
from mygpt.train import train as until_the_end
def train(model, train_data, val_data, config, *others, **more):
    kept_nowhere = {name: value for name, value in more.items() if name not in ("out", "resume")}
    endless = replace(config, steps=1_000_000)
    return until_the_end(model, train_data, val_data, endless, *others, **kept_nowhere)
"""
SCRATCH = """
import torch
from mygpt_helpers import BigramLanguageModel
from mygpt.train import TrainConfig
data = torch.arange(1000) % 65
history = train(BigramLanguageModel(65), data, data[:100], TrainConfig(steps=1, eval_interval=10, block_size=8))
"""
AFTER = "print('and on')"


def write(lab, name, *cells):
    """A notebook of these cells (sources are wrapped) in the copy of the course."""
    cells = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.course / "notebooks" / name
    )
    return name


def interrupt_training(page, interrupt):
    """Run all cells; once a loss of the endless run is shown, interrupt it. It says so in one line, and no cell
    below is run, until someone does."""
    start_all(page)
    page.wait_for_function(
        f"""() => document.querySelector("{TROUBLE}") ||
        [...document.querySelectorAll("{OUTPUT}")].some(o => /training:.*1000000.*val \\d/.test(o.textContent))""",
        timeout=LIMIT,
    )
    interrupt()
    page.wait_for_function(ENDED, timeout=LIMIT)
    said = page.locator(TROUBLE).all_text_contents()
    assert len(said) == 1 and re.fullmatch(
        r"Training was interrupted after step \d+ of 1000000\. .*\s*", said[0]
    ), said
    last = page.locator(CELL).last
    assert last.locator(".jp-OutputArea-output").count() == 0
    wait_until_idle(page)
    last.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(last.locator(".jp-OutputArea-output")).to_have_text("and on\n", timeout=LIMIT)


def test_an_interrupt_from_the_menu_ends_training_in_one_line(lab, page):
    lab.open(page, write(lab, "scratch.ipynb", ENDLESS, SCRATCH, AFTER))
    interrupt_training(page, lambda: choose(page, "Kernel", "Interrupt Kernel"))


@pytest.mark.parametrize("path", TRAINING, **named)
def test_a_notebook_stops_at_an_interrupt_of_its_first_training(path, lab, page):
    cells, place = read(path).cells, first_training(path)
    lab.open(
        page, write(lab, f"interrupted_{path.name}", *cells[:place], ENDLESS, cells[place], AFTER)
    )

    def press_i_twice():
        page.keyboard.press("Escape")
        page.keyboard.press("i")
        page.keyboard.press("i")

    interrupt_training(page, press_i_twice)


# ----------------------------------------------------------------------------- the book


@pytest.fixture(scope="session")
def book():
    """The addresses of the pages of a book just made, which open without a server."""
    done = subprocess.run([sys.executable, "tools/build_book.py"], cwd=ROOT)
    assert done.returncode == 0
    pages = sorted((BUILD / "book").rglob("*.html"))
    assert len(pages) > len(NOTEBOOKS)
    return [path.as_uri() for path in pages if "_static" not in path.parts]


BROKEN = """images => Promise.all(images.map(image => {
    image.loading = "eager";
    return image.decode().then(() => null, () => image.src);
})).then(found => found.filter(Boolean))"""


def test_the_book_opens_without_complaints_or_requests_elsewhere(book, page, complaints, strangers):
    for address in book:
        page.goto(address)
        assert page.locator("img").evaluate_all(BROKEN) == [], address
    assert complaints == [] and strangers == []


def test_the_books_formulas_are_drawn_without_a_network(book, page, strangers):
    for address in book:
        page.goto(address)
        wanted = page.locator(".math").count()
        expect(page.locator(".math mjx-container svg")).to_have_count(wanted, timeout=LIMIT)
        assert page.locator("mjx-merror, [data-mml-node=merror]").all_text_contents() == [], address
    assert strangers == []


def test_the_book_finds_a_word(book, page, complaints, strangers):
    page.goto(next(address for address in book if address.endswith("index.html")))
    page.get_by_role("textbox", name="Search").fill("residual")
    page.keyboard.press("Enter")
    expect(page.locator("#search-results a", has_text="05").first).to_be_visible(timeout=LIMIT)
    assert complaints == [] and strangers == []


def test_the_book_fits_a_phone(book, page):
    page.set_viewport_size({"width": 390, "height": 800})
    for address in book:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_book_has_no_serious_fault_of_accessibility(scheme, book, page):
    page.emulate_media(color_scheme=scheme)
    faults = []
    for address in book:
        page.goto(address)
        for fault in Axe().run(page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                where = [node["html"][:200] for node in fault["nodes"][:3]]
                faults.append(
                    f"{Path(address).name}: {fault['help']}, {len(fault['nodes'])} times, as in {where}"
                )
    assert faults == [], "\n".join(faults)
