"""What is saved, resumed and loaded: checkpoints of a run, weights with their card."""

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import safetensors.torch
import torch
from torch import distributed

from mygpt.files import DATA, write_whole
from mygpt.machine import processes, rank
from mygpt_helpers import GPT, CharTokenizer, GPTConfig

KIND = "My GPT checkpoint, version 1"


def weights(run):
    """What is needed to use the model: plain numbers, strings and tensors."""
    config = getattr(run.model, "config", None)
    return {
        "kind": KIND,
        "model": {
            name.replace("_orig_mod.", ""): value for name, value in run.model.state_dict().items()
        },
        "model_config": config and asdict(config),
        "chars": run.tokenizer and run.tokenizer.chars,
        "train_config": asdict(run.config),
        "history": asdict(run.history),
        "step": run.step,
    }


def state(run):
    """What is needed to go on as if nothing had happened: the weights, and all that has a memory."""
    return {
        **weights(run),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "losses": run.pending_losses().cpu(),
        "seconds": run.seconds,
        "batches": run.generator.get_state(),
        "texts": run.texts,
        "dropout": torch.get_rng_state(),
        "dropout_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def keep(run, out):
    """Leave last.pt, and best.pt if no earlier evaluation was better, in the folder `out`."""
    if run.history.steps[run.history.best] == run.step:
        save_checkpoint(
            out / "best.pt", weights(run)
        )  # before last.pt: a run killed in between makes it again
    save_checkpoint(out / "last.pt", state(run))
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
    """What `save_checkpoint` wrote, as a dict of tensors, numbers and strings; no code in the file can run.

    Raises FileNotFoundError, or ValueError for a file that is damaged or something else.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"there is no checkpoint {path}: look for the folder's name, or train without resume"
        )
    try:
        with zipfile.ZipFile(
            path
        ) as whole:  # torch.load looks at no checksums: a changed byte is a changed weight
            if whole.testzip():
                raise ValueError("a checksum is wrong")
        contents = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds for a file cut short or foreign
        reason = str(error).partition("\n")[0][:100]
        raise ValueError(f"{path} is damaged or no checkpoint ({reason}): {REMEDY}") from None
    if not isinstance(contents, dict) or contents.get("kind") != KIND:
        raise ValueError(f"{path} is not one of this course's checkpoints ({KIND!r}): {REMEDY}")
    return contents


REMEDY = "it was left as it is; give another file, or train again into another folder"


def resume_or_refuse(run, out, resume):
    """Bring `run` to where out/last.pt stood; without `resume`, refuse to write over what is there."""
    if processes() > 1:
        distributed.barrier()  # the first process may still be writing what an earlier run left
    if resume:
        restore(run, load_checkpoint(out / "last.pt"), out / "last.pt")
        if rank() == 0 and not (out / "history.json").exists():
            run.history.save(out / "history.json")
    elif (out / "last.pt").exists():
        raise ValueError(
            f"{out} holds a run already: go on with it (resume=True, or --resume), or take another folder"
        )
    if rank() == 0:
        for left in out.glob("*.part"):  # by a run that was killed while it wrote
            left.unlink(missing_ok=True)


def checksum(text):
    """SHA-256 of the ids (N,), of whatever whole numbers."""
    return hashlib.sha256(text.cpu().long().numpy().tobytes()).hexdigest()


def restore(run, saved, path):
    """Put all that `state` saved back in its place. Raises ValueError where the settings are others."""
    now = weights(run)
    for part in ("model_config", "train_config"):
        theirs, ours = saved[part] or {}, now[part] or {}
        for name in sorted(theirs.keys() | ours.keys()):
            if theirs.get(name) != ours.get(name):
                raise ValueError(
                    f"{path} was made with {name} {theirs.get(name)}, and this run has {ours.get(name)}: "
                    f"resume with the same settings, or train into another folder"
                )
    if "optimizer" not in saved:
        raise ValueError(f"{path} holds weights alone, nothing to go on from: resume from last.pt")
    if saved["chars"] != now["chars"]:
        raise ValueError(
            f"{path} was made with another tokenizer: resume with the same one, or train into another folder"
        )
    if (
        saved.get("texts", run.texts) != run.texts
    ):  # the first version's checkpoints have no checksums
        raise ValueError(
            f"{path} was made with another text: resume with the same one, or train into another folder"
        )
    try:
        getattr(run.model, "_orig_mod", run.model).load_state_dict(saved["model"])
    except RuntimeError:  # a model that has no config to compare
        raise ValueError(
            f"{path} holds the weights of another model: resume with the same one"
        ) from None
    run.optimizer.load_state_dict(saved["optimizer"])
    run.scaler.load_state_dict(saved["scaler"])
    run.generator.set_state(saved["batches"])
    if rank() == 0:  # what was saved is the first process's: dropout differs between processes
        torch.set_rng_state(saved["dropout"])
        if torch.cuda.is_available() and saved["dropout_cuda"]:
            torch.cuda.set_rng_state_all(saved["dropout_cuda"])
    run.step, run.history = saved["step"], replace(run.history, **saved["history"])
    run.seconds = saved.get(
        "seconds", run.history.seconds[-1]
    )  # the first versions' checkpoints have none
    run.losses = list(saved["losses"].to(next(run.model.parameters()).device))


def load_model(path, device="cpu"):
    """(model, tokenizer) from a checkpoint (.pt), or from weights (.safetensors) with their card (.json) beside them.

    The model is in evaluation mode. Raises FileNotFoundError, or ValueError for a file that does not fit.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        saved = read_card(path)
        saved["model"] = {
            name: value.float() for name, value in safetensors.torch.load(path.read_bytes()).items()
        }
    else:
        saved = load_checkpoint(path)
    if not saved.get("model_config") or not saved.get("chars"):
        raise ValueError(
            f"{path} does not say what its model or its characters are: train a GPT with tokenizer=..."
        )
    model = GPT(GPTConfig(**saved["model_config"]))
    model.load_state_dict(saved["model"])
    return model.to(device).eval(), CharTokenizer(saved["chars"])


def read_card(path):
    """The card beside a weights file, once the file's checksum is seen to be the card's."""
    card = path.with_suffix(".json")
    if not path.exists() or not card.exists():
        raise FileNotFoundError(
            f"{path.name} and {card.name} must both be in {path.parent}: fetch the course again"
        )
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
