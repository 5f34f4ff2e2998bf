"""The reference curves of a preset, and the trained model that ships with the course.

    python tools/make_reference.py             the preset "laptop", seeds 1 to 5
    python tools/make_reference.py gpu 1 2 3   another preset, these seeds
    python tools/make_reference.py gpu 1 --as-is --note "why it was stopped"   a run that was stopped for good
    python tools/make_reference.py ablations   the GPT with one part left out: data/reference/ablations.json

Each run has its folder in runs/reference/ and goes on where it was stopped. Their curves become
data/reference/<preset>.json; the best weights of the best run become data/<preset>.safetensors, in
float16 where that changes the loss by less than 0.0001, with what they are in data/<preset>.json.
The device named there is this one: call the tool where the runs were made.
"""

import argparse
import json
import statistics
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mygpt import ablations  # noqa: E402
from mygpt.__main__ import main as mygpt  # noqa: E402
from mygpt.checkpoints import load_checkpoint, load_model, save_model  # noqa: E402
from mygpt.files import DATA, runs_folder, write_whole  # noqa: E402
from mygpt.judge import mean_and_error  # noqa: E402
from mygpt.ladder import PROMPT  # noqa: E402
from mygpt.machine import best_device, resolve_precision  # noqa: E402
from mygpt.text import load_text  # noqa: E402
from mygpt.train import PRESETS, History  # noqa: E402
from mygpt_helpers import encode_text, evaluate, split  # noqa: E402


def folder_of(preset, seed):
    return runs_folder() / "reference" / preset / f"seed-{seed}"


def run_seed(preset, seed):
    """Train one seed, or finish it."""
    out = folder_of(preset, seed)
    history, steps = out / "history.json", PRESETS[preset][1].steps
    if not history.exists() or History.load(history).steps[-1] < steps:
        mygpt(f"train --preset {preset} --seed {seed} --resume --out".split() + [str(out)])


def write_curves(preset, folders, note):
    """Write data/reference/<preset>.json from the runs in `folders`, {seed: folder}."""
    model_config, config = PRESETS[preset]
    settings = asdict(replace(config, block_size=model_config.block_size))
    del settings["seed"]  # each run has its own
    runs = [
        {"seed": seed, **asdict(History.load(out / "history.json"))}
        for seed, out in folders.items()
    ]
    curves = {
        "preset": preset,
        "text": "TinyShakespeare",
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
        f"over {len(best)} seeds ({', '.join(f'{loss:.4f}' for loss in best)}); "
        f"{minutes:.1f} min a run"
    )


def ship(preset, out, note):
    """Write data/<preset>.safetensors and its card, from the run in `out`."""
    saved, last = load_checkpoint(out / "best.pt"), History.load(out / "history.json").steps[-1]
    (model, tokenizer), (half, _) = load_model(out), load_model(out)
    half.half().float()  # as load_model will give it
    _, val_data = split(encode_text(tokenizer, load_text("tinyshakespeare")))
    loss, error = mean_and_error(*evaluate(model, val_data, reduction="none"))
    half_loss = evaluate(half, val_data)
    exact_enough = abs(half_loss - loss) < 1e-4
    print(
        f"float32 {loss:.6f}, float16 {half_loss:.6f}: "
        f"{'float16' if exact_enough else 'float32'} ships"
    )
    if exact_enough:
        model, loss = half, half_loss
    prompt = torch.tensor([tokenizer.encode(PROMPT)])
    sample = model.generate(prompt, 500, generator=torch.Generator().manual_seed(1337))[0]
    settings, path = saved["train_config"], DATA / f"{preset}.safetensors"
    save_model(
        path,
        model.half() if exact_enough else model,
        tokenizer,
        note,
        about=f"The course's GPT by python -m mygpt train --preset {preset} "
        f"--seed {settings['seed']} --out FOLDER, on {device_name()}: {last} of "
        f"{settings['steps']} planned steps were made, and these are the weights of step "
        f"{saved['step']}, where the validation loss was lowest",
        data="the first nine tenths of TinyShakespeare; the loss is on the last tenth",
        limits="Writes strings that look like Shakespeare's plays and mean little; knows nothing "
        "else. Chosen by the loss that is given here, which is therefore a little too good.",
        val_loss=loss,
        val_loss_error=error,
        device=device_name(),
        **{name: saved[name] for name in ("step", "train_config", "history")},
        sample=tokenizer.decode(sample),
    )
    print(f"data/{path.name}: {path.stat().st_size:,} bytes, validation {loss:.4f} ± {error:.4f}")


def make_ablations(seeds):
    """Write data/reference/ablations.json. Losses that are there for this recipe are kept."""
    path, settings = ablations.REFERENCE, ablations.settings()
    made = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if made.get("settings") != settings:  # another recipe: nothing of it can be compared
        made = {"settings": settings, "losses": {}}
    for steps, names in ablations.STEPS.items():
        losses = made["losses"].setdefault(str(steps), {})
        for seed in seeds:
            for name in names:
                done = losses.setdefault(name, {})
                if str(seed) not in done:
                    done[str(seed)] = ablations.measure(name, seed, steps)
                    write_whole(path, json.dumps({"device": device_name()} | made, indent=1) + "\n")
                    print(f"{steps} steps, {name}, seed {seed}: {done[str(seed)]:.4f}")


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
    parser.add_argument("preset", nargs="?", choices=[*PRESETS, "ablations"], default="laptop")
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument(
        "--as-is", action="store_true", help="train nothing: take the runs as far as they are"
    )
    parser.add_argument("--note", default="", help="what else is to be known of these runs")
    args = parser.parse_args(arguments)
    if args.preset == "ablations":
        return make_ablations(args.seeds or [1, 2, 3])
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
