"""Tests run at smoke speed, on one thread, and away from the reader's own runs."""

import os
import tempfile

import pytest

RUNS = tempfile.TemporaryDirectory()
os.environ["MYGPT_SPEED"] = "smoke"
os.environ["MYGPT_RUNS"] = RUNS.name
# On models this small a second thread gains little, and beside another busy program it costs much.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
