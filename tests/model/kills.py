"""kill -9 at random moments of a run that saves after every step: what it leaves loads and can go on.

    PYTHONPATH=. python tests/model/kills.py FOLDER SEED [SEED ...]

One process imports torch and forks a child for each kill, for test_checkpoints.py (five kills) and
tests/slow/test_kills.py (fifty).
"""

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOME_KILLS = range(1, 6)  # the seeds


def kills_survived(folder, seeds):
    """How many of these kills left a loadable checkpoint from which to go on. Prints what went wrong."""
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    done = subprocess.run(
        [sys.executable, __file__, str(folder), *map(str, seeds)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    print(done.stdout, done.stderr)
    return sum(line.endswith("survived") for line in done.stdout.splitlines())


class SlowDisk(io.FileIO):
    """A file that takes its bytes little by little, so that many kills come in the middle of them."""

    def write(self, content):
        for start in range(0, len(content), 65536):
            super().write(content[start : start + 65536])
            time.sleep(0.002)


def work(out, steps, resume=False, width=64):
    """Train with dropout on, an evaluation and a checkpoint after each step."""
    from tiny_run import gpt, run, settings

    from mygpt import files

    files.open = SlowDisk
    model = gpt(seed=int(resume), n_embd=width)  # whoever resumes starts from other weights
    run(out, model, settings(steps=steps, eval_interval=1, batch_size=1), resume=resume)


def forked(*arguments, **more):
    """Start work(...) in a child."""
    pid = os.fork()
    if pid == 0:
        try:
            work(*arguments, **more)
        finally:
            os._exit(sys.exc_info()[0] is not None)
    return pid


def kill_one(folder, seed, steps, seconds, whole):
    """Kill a run of about so many seconds, and go on with what it left. Says what happened, and whether all is well."""
    from tiny_run import left_by, same

    from mygpt.checkpoints import load_checkpoint

    out, delay = folder / str(seed), random.Random(seed).uniform(0, seconds)
    status = 0
    while status != signal.SIGKILL:  # it was too fast for us: again, and kill it earlier
        shutil.rmtree(out, ignore_errors=True)
        pid = forked(out, steps)
        while not (out / "last.pt").exists():
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        status, delay = os.waitpid(pid, 0)[1], delay / 2
    left = sorted(path.name for path in out.iterdir())
    try:
        at = {path.name: load_checkpoint(path)["step"] for path in out.glob("*.pt")}
    except ValueError as error:
        return f"left {left}: {error}", False
    status = os.waitpid(forked(out, steps, resume=True), 0)[1]
    return f"left {left}, steps {at}", status == 0 and "last.pt" in at and same(left_by(out), whole)


def main(folder, seeds, answers):
    import torch
    from tiny_run import left_by

    torch.optim.AdamW([torch.zeros(1)])  # the first one imports much, which no child then needs to
    steps, began = 20, time.perf_counter()
    os.waitpid(forked(folder / "whole", steps), 0)
    seconds = time.perf_counter() - began
    whole = left_by(folder / "whole")
    for seed in seeds:
        what, fine = kill_one(folder, seed, steps, seconds, whole)
        print(
            f"seed {seed}: {what}:", "survived" if fine else "NOT RIGHT", file=answers, flush=True
        )


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")  # no progress lines
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]], answers)
