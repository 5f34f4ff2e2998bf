"""What the tests in a browser leave behind when they fail goes to build/browser/."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("lab")


def pytest_configure(config):
    """Options of pytest-playwright: a picture and a trace of each test that fails."""
    config.option.output = str(Path(__file__).resolve().parents[2] / "build" / "browser")
    config.option.screenshot = "only-on-failure"
    config.option.tracing = "retain-on-failure"
