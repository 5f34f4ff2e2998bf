"""Speeds measured side by side: ours and a reference, in one process, as a ratio of medians.

    python bench.py      prints the table, and writes it to runs/bench.json

A row is a function without arguments that measures both sides and returns
{"what": str, "ours": float, "theirs": float or None, "unit": str}. Where both are given, higher is better.
"""

import io
import json
import platform
import time
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from mygpt.files import runs_folder, write_whole
from mygpt.text import load_text
from mygpt.train import Run, TrainConfig, adamw, train, update
from mygpt_helpers import GPT, CharTokenizer, GPTConfig, get_batch, split

# nanoGPT's recipe for a small computer ("baby"): this model, these batches, 2,000 steps
BABY = GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, dropout=0.0)
BABY_RECIPE = TrainConfig(
    steps=2000,
    batch_size=12,
    learning_rate=1e-3,
    eval_interval=2000,
    warmup_steps=100,
    min_learning_rate=1e-4,
    weight_decay=0.1,
    beta2=0.99,
    grad_clip=1.0,
)


# ----------------------------------------------------------------------------- training


def texts():
    text = load_text("tinyshakespeare")
    tokenizer = CharTokenizer.from_text(text)
    return split(torch.tensor(tokenizer.encode(text), dtype=torch.uint8))


def our_step(data, precision):
    """One training step of ours, as `train` makes it."""
    model = GPT(BABY)
    run = Run(model, replace(BABY_RECIPE, precision=precision))
    return lambda: update(run, model, data)


def their_step(data):
    """The same step with transformers' GPT-2 and the same optimizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=65,
            n_positions=64,
            n_embd=128,
            n_layer=4,
            n_head=4,
            use_cache=False,
            resid_pdrop=0,
            embd_pdrop=0,
            attn_pdrop=0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    optimizer = adamw(model, BABY_RECIPE)
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
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or getattr(
        torch.cpu, "get_capabilities", dict
    )().get("amx_bf16"):
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


def training_step(precision):
    data, _ = texts()
    best = fastest({"ours": our_step(data, precision), "theirs": their_step(data)})
    tokens = 12 * 64
    what = f"training 4 x 128, block 64, batch 12, ours {precision}, theirs fp32"
    return {
        "what": what,
        "ours": tokens / best["ours"],
        "theirs": tokens / best["theirs"],
        "unit": "tokens/s",
    }


def baby_recipe():
    torch.manual_seed(1337)
    with redirect_stdout(io.StringIO()):
        history = train(GPT(BABY), *texts(), BABY_RECIPE)
    what = f"baby recipe, 2,000 steps, to validation {history.val_loss[-1]:.3f}"
    return {"what": what, "ours": history.seconds[-1], "theirs": None, "unit": "seconds"}


# ----------------------------------------------------------------------------- generation

FULL = GPTConfig(dropout=0.0)  # 10.7 million parameters; the prompt is one token
GPT2_NAMES = {
    "token_embedding": "wte",
    "position_embedding": "wpe",
    "blocks": "h",
    "qkv": "c_attn",
    "proj": "c_proj",
    "fc": "c_fc",
}


def writer():
    """A model whose greedy choices no rounding can turn: weights five times the initialisation."""
    torch.manual_seed(1337)
    model = GPT(FULL).eval()
    for parameter in model.parameters():
        parameter.data *= 5 if parameter.dim() == 2 else 1
    return model


def as_transformers(model, attention):
    """transformers' GPT-2 with the weights of `model`. Its biases stay 0, its matrices are ours transposed."""
    from transformers import GPT2Config, GPT2LMHeadModel

    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=FULL.vocab_size,
            n_positions=FULL.block_size,
            n_embd=FULL.n_embd,
            n_layer=FULL.n_layer,
            n_head=FULL.n_head,
            attn_implementation=attention,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
    ).eval()
    weights = {}
    for key, tensor in model.state_dict().items():
        parts = [GPT2_NAMES.get(part, part) for part in key.split(".")]
        weights[".".join(parts)] = tensor.T if parts[-2].startswith("c_") else tensor
    missing, unknown = theirs.transformer.load_state_dict(weights, strict=False)
    assert not unknown and all(key.endswith("bias") for key in missing)
    return theirs


def their_ways(model, batch):
    """{what: a function of n that writes n tokens greedily} with both kinds of attention and of cache."""
    prompt = torch.zeros(batch, 1, dtype=torch.long)

    def way(theirs, cache):
        settings = dict(
            attention_mask=torch.ones_like(prompt), do_sample=False, cache_implementation=cache
        )
        return lambda n: theirs.generate(prompt, max_new_tokens=n, **settings)

    return {
        (a, c): way(as_transformers(model, a), c)
        for a in ("sdpa", "eager")
        for c in ("dynamic", "static")
    }


def our_way(model, batch, use_cache=True):
    prompt, name = torch.zeros(batch, 1, dtype=torch.long), "ours" if use_cache else "uncached"
    return {name: lambda n: model.generate(prompt, n, temperature=0, use_cache=use_cache)}


def rates(ways, n, batch, repeats):
    """{what: tokens/s over all rows of the batch}, each at the better of two settings, in turn. Same tokens."""
    best, texts = dict.fromkeys(ways, 0.0), [way(n) for way in ways.values()]
    assert all(torch.equal(text, texts[0]) for text in texts)
    for setting in (nullcontext, onednn):
        with setting():
            times = {what: [] for what in ways}
            for _ in range(repeats):
                for what, way in ways.items():
                    times[what] += seconds(lambda: way(n), 1)
        torch.set_float32_matmul_precision("highest")
        best = {what: max(best[what], batch * n / median(times[what])) for what in ways}
    return best


def generation(batch, n, repeats):
    model = writer()
    rate = rates(our_way(model, batch) | their_ways(model, batch), n, batch, repeats)
    ours = rate.pop("ours")
    what = f"generation 10.7 M, batch {batch}, {n} tokens, against cached GPT-2"
    return {"what": what, "ours": ours, "theirs": max(rate.values()), "unit": "tokens/s"}


def generation_uncached(batch, n, repeats):
    model = writer()
    rate = rates(our_way(model, batch) | our_way(model, batch, use_cache=False), n, batch, repeats)
    what = f"generation 10.7 M, batch {batch}, {n} tokens, against uncached"
    return {"what": what, "ours": rate["ours"], "theirs": rate["uncached"], "unit": "tokens/s"}


def generation_past_block_size():
    """Tokens/s of the next 1,024 tokens, the window moving by half of block_size; theirs: before it is full."""
    steps = writer().stream(torch.zeros(1, 1, dtype=torch.long), 255 + 1024)
    times = [seconds(lambda: next(steps), 1)[0] for _ in range(255 + 1024)]
    what = "generation 10.7 M past block_size, against before"
    return {
        "what": what,
        "ours": 1024 / sum(times[255:]),
        "theirs": 255 / sum(times[:255]),
        "unit": "tokens/s",
    }


def generation_floor():
    """theirs: what memory allows, when each token reads every weight and, on average, half a cache once."""
    model, much = writer(), torch.ones(2**26)  # 256 MB, more than any cache of the CPU
    rate = rates(our_way(model, 1), 255, 1, repeats=5)["ours"]
    bandwidth = 4 * much.numel() / min(seconds(much.sum, 20))  # bytes/s
    cached = FULL.n_layer * 2 * FULL.n_embd * FULL.block_size / 2
    read = 4 * (model.num_parameters() - model.position_embedding.weight.numel() + cached)
    what = f"generation 10.7 M, batch 1, against {bandwidth / 1e9:.0f} GB/s of memory"
    return {"what": what, "ours": rate, "theirs": bandwidth / read, "unit": "tokens/s"}


ROWS = [
    partial(training_step, "fp32"),
    partial(training_step, "bf16"),
    baby_recipe,
    partial(generation, 1, 255, repeats=3),
    partial(generation, 64, 128, repeats=2),
    partial(generation_uncached, 1, 255, repeats=2),
    partial(generation_uncached, 64, 64, repeats=1),
    generation_past_block_size,
    generation_floor,
]


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
        print(
            f"{row['what']:60} {row['ours']:10.0f} {theirs:>10} {ratio:>6}  {row['unit']}",
            flush=True,
        )
        rows.append(row)
    write_whole(
        runs_folder() / "bench.json",
        json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n",
    )


if __name__ == "__main__":
    main()
