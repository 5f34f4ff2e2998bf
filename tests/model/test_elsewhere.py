"""Nothing the course computes mixes devices, and no step of training or writing waits for a GPU: see elsewhere.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def errors():
    path = [str(HERE.parents[1]), str(HERE)]
    script = f"import runpy, sys; sys.path[:0] = {path}; runpy.run_module('elsewhere', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "name",
    [
        "text on the device",
        "text on the cpu",
        "forward in the plain form",
        "evaluation",
        "evaluation of a text on the cpu",
        "greedy",
        "drawn",
        "drawn without a cache",
        "a text in two pieces",
    ],
)
def test_it_works_on_another_device_and_asks_for_no_value(name, errors):
    assert errors[name] == ""


def test_the_pretended_device_notices_a_batch_on_the_wrong_one_and_a_value_asked_for(errors):
    assert "device" in errors["fault: batches stay on the cpu"].lower()
    assert "DataDependentOutput" in errors["fault: a value is asked for"]
