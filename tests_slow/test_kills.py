"""Fifty kills. Five of them are in tests/test_checkpoints.py."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from kills import kills_survived  # noqa: E402


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks a process that uses torch")
def test_kill_9_at_fifty_random_moments_never_leaves_an_unloadable_checkpoint(tmp_path):
    assert kills_survived(tmp_path, range(1, 51)) == 50
