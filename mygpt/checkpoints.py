"""What is saved, resumed and loaded: checkpoints of a run, and weights with their card.

A run's folder holds last.pt (all that is needed to go on), best.pt (the weights at the lowest
validation loss) and history.json.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, is_dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import distributed

from mygpt.files import DATA, write_whole
from mygpt.machine import processes, rank
from mygpt_helpers import GPT, CharTokenizer, GPTConfig

KIND = "My GPT checkpoint, version 2"
REMEDY = "it was left as it is; give another file, or train again into another folder"
TOKENIZERS = {"characters": CharTokenizer}  # the "kind" in to_dict(): the class with from_dict
MAY_CHANGE = ("steps", "patience", "eval_interval")  # settings, when a run is resumed

# ----------------------------------------------------------------------------- what is saved


def to_use(run):
    """What is needed to use the model: numbers, strings and tensors, no code."""
    config = getattr(run.model, "config", None)
    return {
        "kind": KIND,
        "model": state_of(run.model),
        "model_config": asdict(config) if is_dataclass(config) else None,
        "tokenizer": run.tokenizer and run.tokenizer.to_dict(),
        "train_config": asdict(run.config),
        "history": asdict(run.history),
        "step": run.step,
    }


def to_resume(run):
    """What is needed to go on as if nothing had happened: the weights, and all other state."""
    return {
        **to_use(run),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "losses": run.pending_losses().cpu(),
        "seconds": run.seconds,
        "batches": run.generator.get_state(),
        "texts": run.texts,
        "dropout": dropout_state(run.device),
    }


def state_of(model):
    """The model's state_dict, without the prefix that torch.compile adds to its names."""
    return {name.replace("_orig_mod.", ""): value for name, value in model.state_dict().items()}


def dropout_state(device):
    """The state of the random generators that dropout draws from, on the CPU and on `device`."""
    state = {"torch": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def checksum(text):
    """SHA-256 of the ids (N,), of whatever whole numbers."""
    return hashlib.sha256(text.cpu().long().numpy().tobytes()).hexdigest()


def keep(run, out):
    """Leave last.pt, history.json and, if this evaluation is the best so far, best.pt in `out`."""
    if run.history.steps[run.history.best_index] == run.step:
        # before last.pt: a run that is killed in between makes it again
        save_checkpoint(out / "best.pt", to_use(run))
    save_checkpoint(out / "last.pt", to_resume(run))
    if rank() == 0:
        run.history.save(out / "history.json")


def save_checkpoint(path, contents):
    """Write a checkpoint whole or not at all: whenever the power fails, the one before is still there.

    Raises OSError, naming the file and the remedy, where the disk is full or the folder closed.
    """
    if rank() > 0:
        return
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path, device="cpu"):
    """What `save_checkpoint` wrote: a dict of tensors, numbers and strings. No code in it can run.

    Raises FileNotFoundError, or ValueError for a file that is damaged or something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}: check the name")
    try:
        with zipfile.ZipFile(path) as whole:  # torch.load looks at no checksums
            if whole.testzip():
                raise ValueError("a checksum is wrong")
        contents = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds for a file cut short or foreign
        reason = str(error).partition("\n")[0][:100]
        raise ValueError(f"{path} is damaged or no checkpoint ({reason}): {REMEDY}") from None
    if not isinstance(contents, dict) or contents.get("kind") != KIND:
        raise ValueError(f"{path} is not one of this course's checkpoints ({KIND!r}): {REMEDY}")
    return contents


# ----------------------------------------------------------------------------- resuming


def begin_or_resume(run, out, resume):
    """Bring `run` to where out/last.pt is, or see to it that a new run writes over nothing."""
    last, best = out / "last.pt", out / "best.pt"
    if processes() > 1:
        distributed.barrier()  # the first process may still be writing what an earlier run left
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give a folder for the run")
    if last.exists() and not resume:
        raise ValueError(
            f"{out} holds a run already: go on with it (resume=True, or --resume), "
            f"or take another folder"
        )
    if last.exists():
        restore(run, load_checkpoint(last), last)
    elif best.exists() and load_checkpoint(best)["step"] > 0:
        raise ValueError(
            f"{out} has a best.pt, but no last.pt to go on from: take another folder, or move it away"
        )
    if rank() > 0:
        return
    if resume and not last.exists():
        print(f"There is no run in {out} yet: it begins.")
    if last.exists() and not (out / "history.json").exists():
        run.history.save(out / "history.json")
    for left in out.glob("*.part"):  # by a run that was killed while it wrote
        left.unlink(missing_ok=True)


def restore(run, saved, path):
    """Put all that `to_resume` saved back in its place.

    Raises ValueError, before anything is changed, where the run is not the one that was saved.
    """
    refuse_another_run(run, saved, path)
    model = getattr(run.model, "_orig_mod", run.model)  # inside torch.compile
    model.load_state_dict(saved["model"])
    run.optimizer.load_state_dict(saved["optimizer"])
    run.scaler.load_state_dict(saved["scaler"])
    run.generator.set_state(saved["batches"])
    if rank() == 0:  # what was saved is the first process's: dropout differs between processes
        torch.set_rng_state(saved["dropout"]["torch"])
        if run.device.type == "cuda" and "cuda" in saved["dropout"]:
            torch.cuda.set_rng_state(saved["dropout"]["cuda"], run.device)
    run.history = type(run.history)(**saved["history"])
    run.step, run.seconds = saved["step"], saved["seconds"]
    run.losses = list(saved["losses"].to(run.device))
    if rank() == 0:
        tell_new_schedule(run, saved["train_config"])


def refuse_another_run(run, saved, path):
    """Raise ValueError where `saved`, from the file `path`, does not fit this run."""
    now, other = to_use(run), "resume with the same one, or train into another folder"
    if "optimizer" not in saved:
        raise ValueError(f"{path} holds only weights, so a run cannot go on: resume from last.pt")
    if saved["tokenizer"] != now["tokenizer"]:
        raise ValueError(f"{path} was made with another tokenizer: {other}")
    if bool(saved["model_config"]) != bool(now["model_config"]):
        raise ValueError(f"{path} was made with another kind of model: {other}")
    differing = differences(saved["train_config"], run.config, path)
    if saved["model_config"]:
        differing |= differences(saved["model_config"], run.model.config, path)
    if differing:
        theirs = ", ".join(f"{name} {value}" for name, (value, _) in differing.items())
        ours = ", ".join(f"{name} {value}" for name, (_, value) in differing.items())
        raise ValueError(
            f"{path} was made with {theirs}, and this run has {ours}: resume with the same settings"
            f"{command_line(differing)}, or train into another folder"
        )
    if saved["texts"] != run.texts:
        raise ValueError(f"{path} was made with another text: {other}")
    if shapes(saved["model"]) != shapes(now["model"]):
        raise ValueError(f"{path} holds the weights of another model: {other}")
    if groups(saved["optimizer"]) != groups(run.optimizer.state_dict()):
        raise ValueError(f"{path} was made with another optimizer: {other}")
    if saved["step"] > run.config.steps:
        raise ValueError(f"{path} is at step {saved['step']} already: ask for more steps than that")


def differences(saved, config, path):
    """{name: (saved value, this run's)} of settings that must not change and do.

    A setting that an older checkpoint lacks has its default.
    """
    try:
        theirs = asdict(type(config)(**saved))
    except TypeError as error:
        raise ValueError(f"{path} was made by another version of the course ({error})") from None
    ours = asdict(config)
    return {
        name: (theirs[name], ours[name])
        for name in ours
        if theirs[name] != ours[name] and name not in MAY_CHANGE
    }


def command_line(differing):
    """The options that give a run of `python -m mygpt train` the saved settings."""
    options = {
        f"--{name.replace('_', '-')} {value}"
        for name, (value, _) in differing.items()
        if value is not None and name not in ("vocab_size", "bias")  # which have none
    }
    return f" (on the command line {' '.join(sorted(options))})" if options else ""


def shapes(state):
    return {name: value.shape for name, value in state.items()}


def groups(state):
    """How an optimizer divides the weights, and which settings each group has."""
    return [(len(group["params"]), sorted(group)) for group in state["param_groups"]]


def tell_new_schedule(run, saved):
    """Say what another number of steps does to a cosine that was planned for the old number."""
    if run.config.steps == saved["steps"] or run.config.min_learning_rate is None:
        return
    planned = type(run.config)(**saved).learning_rate_at(run.step)
    now = run.config.learning_rate_at(run.step)
    print(
        f"{run.config.steps} steps instead of {saved['steps']}: from here on the learning rate "
        f"follows the new cosine; at step {run.step} it is {now:.2g} instead of {planned:.2g}."
    )


# ----------------------------------------------------------------------------- models


def save_model(path, model, tokenizer, note="", **more):
    """Write a model's weights to `path`, which ends in .safetensors, and its card beside it (.json).

    The card says what the model is, with the note and whatever else is given, as val_loss=1.47.
    The weights keep their type: model.half() makes a file of half the size.

    Example: save_model("runs/mine.safetensors", model, tokenizer, "Trained on my diary.")
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"weights go into a file that ends in .safetensors: {path} does not")
    content = safetensors.torch.save(state_of(model))
    card = {
        "note": note,
        **more,
        "model_config": asdict(model.config),
        "tokenizer": tokenizer.to_dict(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_whole(path, content)
    card = json.dumps(card, indent=1, ensure_ascii=False)
    write_whole(path.with_suffix(".json"), card + "\n")


def load_model(path, device="cpu"):
    """(model, tokenizer) from weights with their card (.safetensors), from a checkpoint (.pt), or
    from a run's folder: the best.pt in it.

    The model is in evaluation mode. Raises FileNotFoundError, or ValueError for whatever is damaged
    or does not fit.
    """
    path = Path(path)
    path = path / "best.pt" if path.is_dir() else path
    saved = read_card(path) if path.suffix == ".safetensors" else load_checkpoint(path)
    if not saved.get("model_config") or not saved.get("tokenizer"):
        raise ValueError(
            f"{path} does not say what its model or its tokenizer is: train a GPT with tokenizer=..."
        )
    try:
        weights = saved.get("model") or safetensors.torch.load(path.read_bytes())
        model = GPT(GPTConfig(**saved["model_config"]))
        model.load_state_dict({name: value.float() for name, value in weights.items()})
        tokenizer = load_tokenizer(saved["tokenizer"])
    except Exception as error:  # many kinds, for a config, weights or characters that do not fit
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} does not hold a GPT of this course ({reason}): {REMEDY}"
        ) from None
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"{path} has a tokenizer of {tokenizer.vocab_size} ids and a model of "
            f"{model.config.vocab_size}: {REMEDY}"
        )
    return model.to(device).eval(), tokenizer


def load_tokenizer(saved):
    """The tokenizer whose to_dict() is `saved`."""
    kind = saved["kind"]
    if kind not in TOKENIZERS:
        raise ValueError(f"its tokenizer is of an unknown kind, {kind!r}")
    return TOKENIZERS[kind].from_dict(saved)


def read_card(path):
    """The card beside a weights file, once the file's checksum is seen to be the card's."""
    path = Path(path)
    card = path.with_suffix(".json")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}: check the name")
    if not card.exists():
        raise FileNotFoundError(f"{path} needs its card beside it: there is no {card.name}")
    try:
        saved = json.loads(card.read_text(encoding="utf-8"))
        wanted = saved["sha256"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{card} is damaged ({error!r}): fetch it again") from None
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wanted:
        raise ValueError(
            f"{path} is damaged: its SHA-256 is {found}, its card says {wanted}; fetch it again"
        )
    return saved


def load_pretrained(name="laptop", device="cpu"):
    """(model, tokenizer) of a run that ships with the course: "laptop", or the full-size "gpu"."""
    shipped = sorted(path.stem for path in DATA.glob("*.safetensors"))
    if name not in shipped:
        raise ValueError(
            f"no trained model {name!r} ships with this version: there is {', '.join(shipped) or 'none'}"
        )
    return load_model(DATA / f"{name}.safetensors", device)
