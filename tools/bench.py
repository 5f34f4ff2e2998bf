"""Speeds measured side by side: ours and others, in one process, in turn, as ratios of medians.

    python tools/bench.py              the whole table, also written to runs/bench.json
    python tools/bench.py step write   only some rows: step, write, evaluate, baby

Every row names both sides and their precisions, and ours is the first of its times. A ratio above 1
says that ours is faster. Figures of different machines, or of different runs, cannot be compared:
ratios can.
"""

import io
import json
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from statistics import median

import torch
from torch.nn import functional as F

from mygpt.files import runs_folder, write_whole
from mygpt.machine import resolve_precision
from mygpt.text import load_text
from mygpt.train import Run, TrainConfig, train, update
from mygpt_helpers import GPT, CharTokenizer, GPTConfig, encode_text, evaluate, split

# nanoGPT's recipe for a small computer ("baby"): this model, these batches, 2,000 steps
BABY = GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, dropout=0.0)
RECIPE = TrainConfig(
    steps=2000,
    batch_size=12,
    learning_rate=1e-3,
    min_learning_rate=1e-4,
    warmup_steps=100,
    eval_interval=2000,
    weight_decay=0.1,
    beta2=0.99,
    grad_clip=1.0,
)
FULL = GPTConfig(dropout=0.0)  # 10.7 million parameters

# ----------------------------------------------------------------------------- measuring


def in_turn(sides, repeats, warm_up=2):
    """{name: median seconds} of the functions {name: function}, called in turn.

    A busy moment of the machine then hits all sides.
    """
    times = {name: [] for name in sides}
    for round_ in range(warm_up + repeats):
        for name, work in sides.items():
            began = time.perf_counter()
            work()
            if round_ >= warm_up:
                times[name].append(time.perf_counter() - began)
    return {name: median(values) for name, values in times.items()}


def show(what, seconds, amount=1, unit="s"):
    """Print a row: each side's rate, `amount` a call (or its seconds), and ours against it."""
    ours = next(iter(seconds.values()))
    print(f"\n{what}")
    for name, value in seconds.items():
        rate = f"{amount / value:12,.0f} {unit}" if amount != 1 else f"{value:12.2f} {unit}"
        print(f"  {name:44} {rate}   ours is {value / ours:5.2f} times as fast", flush=True)
    return {"what": what, "unit": unit, "amount": amount, "seconds": seconds}


def texts():
    text = load_text("tinyshakespeare")
    return split(encode_text(CharTokenizer.from_text(text), text))


def best_precision():
    return resolve_precision("auto", torch.device("cpu"))


# ----------------------------------------------------------------------------- a training step


def our_step(data, precision):
    model = GPT(BABY)
    run = Run(model, replace(RECIPE, precision=precision))
    return lambda: update(run, model, data)


def plain_step(data, precision):
    """The plainest loop a reader would write: batches by slices, torch's AdamW as it comes."""
    model, data = GPT(BABY), data.long()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.99), weight_decay=0.1)

    def step():
        starts = torch.randint(len(data) - 64, (12,)).tolist()
        x = torch.stack([data[i : i + 64] for i in starts])
        y = torch.stack([data[i + 1 : i + 65] for i in starts])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def transformers_step(data, precision):
    """The same with transformers' GPT-2."""
    model = as_transformers(GPT(BABY)).train()
    data = data.long()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.99), weight_decay=0.1)

    def step():
        starts = torch.randint(len(data) - 64, (12,)).tolist()
        x = torch.stack([data[i : i + 64] for i in starts])
        y = torch.stack([data[i + 1 : i + 65] for i in starts])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(x, use_cache=False).logits
            loss = F.cross_entropy(logits.flatten(0, 1).float(), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def step():
    data, _ = texts()
    best = best_precision()
    sides = {f"train, {best}": our_step(data, best), "train, fp32": our_step(data, "fp32")}
    for precision in sorted({"fp32", best}):
        sides[f"plain loop, {precision}"] = plain_step(data, precision)
        sides[f"transformers' GPT-2, {precision}"] = transformers_step(data, precision)
    what = "a training step, 4 layers × 128, block 64, batch 12"
    return show(what, in_turn(sides, repeats=30, warm_up=3), amount=12 * 64, unit="tokens/s")


def baby():
    """The whole baby recipe, for its loss and its time."""
    torch.manual_seed(1337)
    with redirect_stdout(io.StringIO()):
        history = train(GPT(BABY), *texts(), RECIPE)
    what = f"the baby recipe, 2,000 steps, fp32, to validation {history.val_loss[-1]:.3f}"
    return show(what, {"train, fp32": history.seconds[-1]})


# ----------------------------------------------------------------------------- writing, evaluating


def writer():
    """A model whose greedy choices no rounding can turn: weights five times the initialisation."""
    torch.manual_seed(1337)
    model = GPT(FULL).eval()
    for parameter in model.parameters():
        parameter.data *= 5 if parameter.dim() == 2 else 1
    return model


def as_transformers(model):
    """transformers' GPT-2 of the same sizes, with the weights of `model`. Its biases are 0."""
    from transformers import GPT2Config, GPT2LMHeadModel

    names = {"token_embedding": "wte", "position_embedding": "wpe", "blocks": "h"}
    names |= {"qkv": "c_attn", "proj": "c_proj", "fc": "c_fc"}
    config = model.config
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.block_size,
            n_embd=config.n_embd,
            n_layer=config.n_layer,
            n_head=config.n_head,
            resid_pdrop=0,
            embd_pdrop=0,
            attn_pdrop=0,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
    ).eval()
    weights = {}
    for key, tensor in model.state_dict().items():
        parts = [names.get(part, part) for part in key.split(".")]
        weights[".".join(parts)] = tensor.T if parts[-2].startswith("c_") else tensor
    missing, unknown = theirs.transformer.load_state_dict(weights, strict=False)
    assert not unknown and all(key.endswith("bias") for key in missing)
    return theirs


def write():
    """Generation with the cache, greedy, against transformers' and against the memory's own speed."""
    model = writer()
    theirs = as_transformers(model)
    weights = torch.cat([p.data.flatten() for p in model.parameters()])  # all that a token reads

    def ours(batch, n):
        return lambda: model.generate(torch.zeros(batch, 1, dtype=torch.long), n, temperature=0)

    def other(batch, n):
        prompt = torch.zeros(batch, 1, dtype=torch.long)
        settings = {"attention_mask": torch.ones_like(prompt), "do_sample": False}
        return lambda: theirs.generate(prompt, max_new_tokens=n, **settings)

    assert torch.equal(ours(1, 64)(), other(1, 64)())
    rows = []
    for batch, n, repeats in ((1, 255, 5), (64, 64, 1)):  # 255: up to a full window
        sides = {
            "generate, fp32": ours(batch, n),
            "transformers' generate, fp32": other(batch, n),
        }
        if batch == 1:
            sides["reading all weights once a token, fp32"] = lambda: [
                weights.sum() for _ in range(n)
            ]
        what = f"writing, 10.7 M parameters, batch {batch}, {n} tokens"
        seconds = in_turn(sides, repeats, warm_up=1)
        rows.append(show(what, seconds, amount=batch * n, unit="tokens/s"))
    return rows


def evaluation():
    """The whole validation text, against the loop a reader would write."""
    torch.manual_seed(1337)
    model, (_, val_data) = GPT(BABY).eval(), texts()
    windows = (len(val_data) - 1) // 64
    x = val_data[: windows * 64].view(windows, 64).long()
    y = val_data[1 : windows * 64 + 1].view(windows, 64).long()

    def plain():
        with torch.no_grad():
            pairs = zip(x.split(64), y.split(64))
            return sum(model(a, b)[1].item() * len(a) for a, b in pairs) / windows

    assert abs(plain() - evaluate(model, val_data[: windows * 64 + 1])) < 1e-4
    sides = {"evaluate, fp32": lambda: evaluate(model, val_data), "plain loop, fp32": plain}
    what = "evaluating 111,540 characters, 4 layers × 128, block 64"
    return show(what, in_turn(sides, repeats=3, warm_up=1), amount=len(val_data), unit="tokens/s")


# ----------------------------------------------------------------------------- the table

ROWS = {"step": step, "write": write, "evaluate": evaluation, "baby": baby}


def main(names):
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        return f"bench: there is no row {unknown[0]!r}: there are {', '.join(ROWS)}"
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {capability}")
    rows = []
    for name in names or ROWS:
        row = ROWS[name]()
        rows += row if isinstance(row, list) else [row]
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "cpu": capability}
    content = json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n"
    write_whole(runs_folder() / "bench.json", content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
