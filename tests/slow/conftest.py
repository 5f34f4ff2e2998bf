"""The slow tests find the course's modules, its tools and the helpers of the fast tests."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(ROOT / "tests")]
pytest.register_assert_rewrite("lab")


def pytest_configure(config):
    """Options of pytest-playwright: a picture and a trace of each test that fails, in build/browser/."""
    config.option.output = str(ROOT / "build" / "browser")
    config.option.screenshot = "only-on-failure"
    config.option.tracing = "retain-on-failure"
