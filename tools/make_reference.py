"""The reference curves of a preset, and the trained model that ships with the course.

    python tools/make_reference.py             the preset "laptop", seeds 1 to 5
    python tools/make_reference.py gpu 1 2 3   another preset, these seeds
    python tools/make_reference.py gpu 1 --as-is --note "why it was stopped"   a run that was stopped for good

Each run has its folder in runs/reference/ and goes on where it was stopped. Their curves become
data/reference/<preset>.json; the best weights of the best run become data/<preset>.safetensors, in
float16 where that changes the loss by less than 0.0001, with what they are in data/<preset>.json.
The device named there is this one: call the tool where the runs were made.
"""

import argparse
import hashlib
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import mygpt_train  # noqa: E402

from mygpt.checkpoints import load_checkpoint, load_model
from mygpt.files import DATA, runs_folder, write_whole
from mygpt.ladder import PROMPT  # noqa: E402
from mygpt.machine import best_device, resolve_precision
from mygpt.text import load_text  # noqa: E402
from mygpt.train import History  # noqa: E402
from mygpt_helpers import evaluate, mean_and_error, split  # noqa: E402


def folder_of(preset, seed):
    return runs_folder() / "reference" / preset / f"seed-{seed}"


def run_seed(preset, seed):
    """Train one seed, or finish it."""
    out = folder_of(preset, seed)
    steps = mygpt_train.PRESETS[preset][1].steps
    if not (out / "history.json").exists() or History.load(out / "history.json").steps[-1] < steps:
        resume = ["--resume"] if (out / "last.pt").exists() else []
        mygpt_train.main(
            ["train", "--preset", preset, "--seed", str(seed), "--out", str(out), *resume]
        )


def write_curves(preset, folders, note):
    model_config, config = mygpt_train.PRESETS[preset]
    settings = asdict(config)
    del settings["seed"]  # each run has its own
    runs = [
        {"seed": seed, **asdict(History.load(out / "history.json"))}
        for seed, out in folders.items()
    ]
    curves = {
        "preset": preset,
        "device": device_name(),
        "precision": resolve_precision(config.precision, best_device()),
        "note": note,
        "model_config": asdict(model_config),
        "train_config": settings,
        "runs": runs,
    }
    write_whole(DATA / "reference" / f"{preset}.json", json.dumps(curves, indent=1) + "\n")
    best = [min(run["val_loss"]) for run in runs]
    minutes = statistics.mean(run["seconds"][-1] for run in runs) / 60
    spread = f", standard deviation {statistics.stdev(best):.4f}" if len(best) > 1 else ""
    print(
        f"{preset}: best validation loss {statistics.mean(best):.4f}{spread} "
        f"over {len(best)} seeds ({', '.join(f'{loss:.4f}' for loss in best)}); {minutes:.1f} min a run"
    )


def ship(preset, out, note):
    """Write data/<preset>.safetensors and its card, from the run in `out`."""
    saved, last = load_checkpoint(out / "best.pt"), History.load(out / "history.json").steps[-1]
    model, tokenizer = load_model(out / "best.pt")
    _, val_data = split(torch.tensor(tokenizer.encode(load_text("tinyshakespeare"))))
    full_loss = evaluate(model, val_data)
    model.half().float()
    half_loss, error = mean_and_error(*evaluate(model, val_data, reduction="none"))
    exact_enough = abs(half_loss - full_loss) < 1e-4
    print(
        f"float32 {full_loss:.6f}, float16 {half_loss:.6f}: {'float16' if exact_enough else 'float32'} ships"
    )
    weights = {
        name: value.half() if exact_enough else value for name, value in saved["model"].items()
    }
    content = safetensors.torch.save(weights)
    prompt = torch.tensor([tokenizer.encode(PROMPT)])
    sample = model.generate(prompt, 500, generator=torch.Generator().manual_seed(1337))[0]
    settings = saved["train_config"]
    card = {
        "about": f"The course's GPT by python mygpt_train.py train --preset {preset} --seed {settings['seed']} "
        f"--out FOLDER, on {device_name()}: {last} of {settings['steps']} planned steps were made, and "
        f"these are the weights of step {saved['step']}, where the validation loss was lowest",
        "note": note,
        "data": "the first nine tenths of TinyShakespeare; the loss is on the last tenth",
        "limits": "Writes strings that look like Shakespeare's plays and mean little; knows nothing else. Chosen "
        "by the loss that is given here, which is therefore a little too good.",
        "sha256": hashlib.sha256(content).hexdigest(),
        "val_loss": half_loss if exact_enough else full_loss,
        "val_loss_error": error,
        "device": device_name(),
        **{
            name: saved[name]
            for name in ("step", "model_config", "chars", "train_config", "history")
        },
        "sample": tokenizer.decode(sample),
    }
    write_whole(DATA / f"{preset}.safetensors", content)
    write_whole(DATA / f"{preset}.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    print(
        f"data/{preset}.safetensors: {len(content):,} bytes, validation {card['val_loss']:.4f} ± {error:.4f}"
    )


def device_name():
    device, threads = best_device(), torch.get_num_threads()
    return (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{device}, {threads} thread{'s' * (threads > 1)}"
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", nargs="?", choices=mygpt_train.PRESETS, default="laptop")
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument(
        "--as-is", action="store_true", help="train nothing: take the runs as far as they are"
    )
    parser.add_argument("--note", default="", help="what else is to be known of these runs")
    args = parser.parse_args(arguments)
    seeds = args.seeds or [1, 2, 3, 4, 5]
    for seed in seeds:
        if not args.as_is:
            run_seed(args.preset, seed)
    folders = {seed: folder_of(args.preset, seed) for seed in seeds}
    write_curves(args.preset, folders, args.note)
    best = min(folders.values(), key=lambda out: min(History.load(out / "history.json").val_loss))
    ship(args.preset, best, args.note)


if __name__ == "__main__":
    main()
