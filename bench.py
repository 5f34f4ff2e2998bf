"""Speeds measured side by side: ours and a reference, in one process, as a ratio of medians.

    python bench.py      prints the table, and writes it to runs/bench.json

A row is a function without arguments that measures both sides and returns
{"what": str, "ours": float, "theirs": float, "unit": str}, where higher is better.
"""
import json
import os
import platform
from pathlib import Path

import torch

from mygpt_text import write_whole

RUNS = Path(os.environ.get("MYGPT_RUNS", Path(__file__).resolve().parent / "runs"))
ROWS = []  # none yet: the first comes with the model


def main():
    machine = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "threads": torch.get_num_threads(),
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(f"{'what':44} {'ours':>10} {'theirs':>10} {'ratio':>6}  unit")
    rows = []
    for measure in ROWS:
        row = measure()
        print(f"{row['what']:44} {row['ours']:10.0f} {row['theirs']:10.0f} "
              f"{row['ours'] / row['theirs']:6.2f}  {row['unit']}", flush=True)
        rows.append(row)
    if not rows:
        print("no rows yet")
    write_whole(RUNS / "bench.json", json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
