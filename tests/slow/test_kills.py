"""Fifty kills of a run that saves after every step. Five of them are in tests/model/test_checkpoints.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from kills import kills_survived


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks a process that uses torch")
def test_kill_9_at_fifty_random_moments_never_leaves_an_unloadable_checkpoint(tmp_path):
    assert kills_survived(tmp_path, range(1, 51)) == 50
