"""Speeds measured side by side: ours and a reference, in one process, as a ratio of medians.

    python bench.py      prints the table, and writes it to runs/bench.json

A row is a function without arguments that measures both sides and returns
{"what": str, "ours": float, "theirs": float or None, "unit": str}. Where both are given, higher is better.
"""
import io
import json
import os
import platform
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from mygpt_helpers import GPT, CharTokenizer, GPTConfig, get_batch, split
from mygpt_text import load_text, write_whole
from mygpt_train import TrainConfig, begin, train, update

RUNS = Path(os.environ.get("MYGPT_RUNS", Path(__file__).resolve().parent / "runs"))
# nanoGPT's recipe for a small computer ("baby"): this model, these batches, 2,000 steps
BABY = GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, dropout=0.0)
BABY_RECIPE = TrainConfig(2000, 12, 64, 1e-3, eval_interval=2000, warmup_steps=100, min_learning_rate=1e-4,
                          weight_decay=0.1, beta2=0.99, grad_clip=1.0)


# ----------------------------------------------------------------------------- training


def texts():
    text = load_text("tinyshakespeare")
    tokenizer = CharTokenizer.from_text(text)
    return split(torch.tensor(tokenizer.encode(text), dtype=torch.uint8))


def our_step(data, precision="fp32"):
    """One training step of ours, as `train` makes it."""
    model = GPT(BABY)
    run = begin(model, TrainConfig(**{**vars(BABY_RECIPE), "precision": precision}))
    return lambda: update(run, model, data)


def their_step(data):
    """The same step with transformers' GPT-2 and the same optimizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(
        vocab_size=65, n_positions=64, n_embd=128, n_layer=4, n_head=4, use_cache=False,
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0,
    ))
    optimizer = begin(model, BABY_RECIPE).optimizer
    generator = torch.Generator().manual_seed(BABY_RECIPE.seed)

    def step():
        x, y = get_batch(data, 64, 12, generator)
        loss = F.cross_entropy(model(x).logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def seconds(work, repeats):
    """Each repeat's seconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def onednn():
    """Float32 products by oneDNN and attention in its plain form: the fastest on CPUs where MKL is slow.

    Only a CPU with AMX would round the products to bf16 for it, and is then left out.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16"):
        return nullcontext()
    torch.set_float32_matmul_precision("medium")
    return sdpa_kernel(SDPBackend.MATH)


def fastest(steps, rounds=5):
    """{name: seconds a step}, each at the better of two settings, measured in turn."""
    best = {}
    for setting in (nullcontext, onednn):
        with setting():
            times = {name: seconds(step, 2)[:0] for name, step in steps.items()}  # two to warm up
            for _ in range(rounds):
                for name, step in steps.items():
                    times[name] += seconds(step, 10)
        torch.set_float32_matmul_precision("highest")
        best = {name: min(median(times[name]), best.get(name, 1e9)) for name in steps}
    return best


def training_step():
    data, _ = texts()
    best = fastest({"ours": our_step(data), "theirs": their_step(data)})
    tokens = 12 * 64
    what = "training 4 x 128, block 64, batch 12, float32"
    return {"what": what, "ours": tokens / best["ours"], "theirs": tokens / best["theirs"], "unit": "tokens/s"}


def training_step_bf16():
    data, _ = texts()
    best = fastest({"ours": our_step(data, "bf16"), "theirs": their_step(data)})
    tokens = 12 * 64
    what = "the same, ours in bf16"
    return {"what": what, "ours": tokens / best["ours"], "theirs": tokens / best["theirs"], "unit": "tokens/s"}


def baby_recipe():
    torch.manual_seed(1337)
    with redirect_stdout(io.StringIO()):
        history = train(GPT(BABY), *texts(), BABY_RECIPE)
    what = f"baby recipe, 2,000 steps, to validation {history.val_loss[-1]:.3f}"
    return {"what": what, "ours": history.seconds[-1], "theirs": None, "unit": "seconds"}


ROWS = [training_step, training_step_bf16, baby_recipe]


# ----------------------------------------------------------------------------- the table


def main():
    machine = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "threads": torch.get_num_threads(),
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(f"{'what':60} {'ours':>10} {'theirs':>10} {'ratio':>6}  unit")
    rows = []
    for measure in ROWS:
        row = measure()
        theirs = "" if row["theirs"] is None else f"{row['theirs']:.0f}"
        ratio = "" if row["theirs"] is None else f"{row['ours'] / row['theirs']:.2f}"
        print(f"{row['what']:60} {row['ours']:10.0f} {theirs:>10} {ratio:>6}  {row['unit']}", flush=True)
        rows.append(row)
    write_whole(RUNS / "bench.json", json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
