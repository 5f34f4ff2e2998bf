"""The README's table of the path says what the notebooks and the reference ladder say."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LADDER = json.loads((ROOT / "data" / "reference" / "ladder.json").read_text(encoding="utf-8"))
RUNGS = {"01": "bigram", "03": "single_head", "04": "multi_head", "05": "blocks", "06": "full"}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def row(number):
    line = next(line for line in README.splitlines() if line.startswith(f"| {number} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebooks_row_says_what_the_notebook_says(path):
    number = path.stem[:2]
    _, link, _, read, run, loss = row(number)
    opening = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    assert f"(notebooks/{path.name})" in link
    said = re.search(r"\*\*Time\*\* (\d+) min to read.*?([\d.]+) (min|s) to run", opening)
    assert read == f"{said[1]} min"
    assert run == f"{said[2]} {said[3]}"
    if number in RUNGS:
        assert loss == f"{LADDER[RUNGS[number]]['loss']:.2f}"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_leads_somewhere(target):
    assert (ROOT / target).exists()


GLOSSARY = (ROOT / "notebooks" / "GLOSSARY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("term, name", re.findall(r"^\| (.+?) \|.*\]\((.+?)\) \|$", GLOSSARY, re.M))
def test_a_term_of_the_glossary_stands_in_its_notebook(term, name):
    words = re.sub(r" \(.*\)", "", term).split(", ")
    assert all(re.search(rf"\b{word}", prose(ROOT / "notebooks" / name), re.I) for word in words)


def prose(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
