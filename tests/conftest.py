"""Tests run at smoke speed, on one thread, and away from the reader's own runs."""

import os
import tempfile

RUNS = tempfile.TemporaryDirectory()
os.environ["MYGPT_SPEED"] = "smoke"
os.environ["MYGPT_RUNS"] = RUNS.name
# On models this small a second thread gains little, and beside another busy program it costs much.
os.environ.setdefault("OMP_NUM_THREADS", "1")
