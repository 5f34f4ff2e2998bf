"""The decks of slides are made, and hold all that they need."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
SLIDES = ROOT / "build" / "slides"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def decks():
    """{stem: parsed page} of every deck, just made, and of the page that leads to them."""
    command = [sys.executable, "tools/build_slides.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [SLIDES / f"{path.stem}.html" for path in NOTEBOOKS] + [SLIDES / "index.html"]
    return {path.stem: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in pages}


def test_the_contents_lead_to_every_deck(decks):
    links = [a["href"] for a in decks["index"].find_all("a")]
    assert links == [f"{path.stem}.html" for path in NOTEBOOKS]


def test_everything_that_a_deck_loads_lies_beside_it(decks):
    for name, page in decks.items():
        for tag in page.find_all(["script", "link", "img", "iframe"]):
            address = tag.get("src") or tag.get("href") or ""
            if address and not address.startswith("data:image/png;base64,"):
                assert (SLIDES / address).is_file(), f"{name}: {address}"
    for sheet in SLIDES.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8"))
    assert (SLIDES / "STIXTwoMath-Regular.ttf").is_file() and (SLIDES / "reveal" / "LICENSE").is_file()


def test_every_picture_of_a_deck_has_an_alt_text(decks):
    for name, page in decks.items():
        assert all(len(image["alt"]) >= 20 for image in page.find_all("img")), name
