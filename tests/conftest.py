"""Tests find the course's modules and tools in this checkout, however pytest was started."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]


class Drafts:
    """nbval runs every notebook but drafts, and files that are no notebooks. What is wrong with
    those, tests/course/test_notebooks.py says."""

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path):
        if collection_path.suffix == ".ipynb":
            from notebook_facts import is_draft, nbformat

            try:
                return is_draft(nbformat.read(collection_path, as_version=4)) or None
            except Exception:
                return True


def pytest_configure(config):
    config.pluginmanager.register(Drafts())  # so that it sees notebooks/, outside this folder
