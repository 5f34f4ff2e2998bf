"""The notebooks on another text than TinyShakespeare, at small size, as a reader runs them: TEXT = "my.txt"."""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from mygpt.text import load_text

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SETTING = 'TEXT = "tinyshakespeare"'


def another_text(path):
    """A text of few characters, none of them a capital, and no speaker in it."""
    small = re.sub(r"[^a-z\n ,.]", "", load_text("tinyshakespeare").lower()[:160_000])
    path.write_text(re.sub(r"\n+", "\n", small), encoding="utf-8")
    return path


def test_every_notebook_with_a_text_runs_on_another(tmp_path, monkeypatch):
    monkeypatch.setenv("MYGPT_SPEED", "smoke")
    monkeypatch.setenv("MYGPT_RUNS", str(tmp_path))  # 08 takes the model that 07 has trained
    mine = f'TEXT = "{another_text(tmp_path / "mine.txt").as_posix()}"'
    tried = []
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        cells = [cell for cell in notebook.cells if SETTING in cell.source]
        if not cells:
            continue
        for cell in cells:
            cell.source = cell.source.replace(SETTING, mine)
        where = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, kernel_name="python3", timeout=300, resources=where).execute()
        tried.append(path.name[:2])
    assert not {"01", "03", "04", "05", "07", "08"} - set(tried)
