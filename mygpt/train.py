"""Training: the loop, its checkpoints, and the command line. Read it after `mygpt_helpers.py`.

    python mygpt_train.py train --preset laptop --out runs/mine       (Ctrl-C stops; --resume goes on)
    python mygpt_train.py sample --checkpoint runs/mine/best.pt
    torchrun --nproc-per-node 2 mygpt_train.py train --preset laptop --out runs/two

Losses are in nats per token. A step is one update of the weights from one batch.
"""
import argparse
import hashlib
import io
import json
import math
import os
import signal
import sys
import threading
import time
import zipfile
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import safetensors.torch
import torch
from torch import distributed
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from mygpt_helpers import GPT, CharTokenizer, GPTConfig, evaluate, get_batch, plain_numbers, split
from mygpt_text import TextUnavailable, load_text, write_whole

DATA = Path(__file__).resolve().parent / "data"
SPEEDS = ("smoke", "laptop", "gpu")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# ----------------------------------------------------------------------------- configuration


@dataclass
class TrainConfig:
    """How to train. One step is one batch of batch_size windows of block_size tokens."""

    steps: int = 3000
    batch_size: int = 32
    block_size: int = 32
    learning_rate: float = 1e-3  # the highest: after the warm-up
    eval_interval: int = 500  # steps between evaluations of the whole validation text
    seed: int = 1337  # of the batches
    warmup_steps: int = 0  # the learning rate rises to its height in so many steps
    min_learning_rate: float | None = None  # where a cosine brings it by the last step; None: it stays
    weight_decay: float = 0.01  # on matrices and embeddings, not on biases and LayerNorms
    beta2: float = 0.999  # AdamW's memory of squared gradients; a shorter one follows noise faster
    grad_clip: float | None = None  # the longest that the gradient, as one vector, may be
    patience: int | None = None  # stop after so many evaluations without a better loss
    precision: str = "fp32"  # of the matrix products: fp32, bf16, fp16, or auto (what the hardware does fast)

    def __post_init__(self):
        plain_numbers(self)
        for name in ("steps", "batch_size", "block_size", "eval_interval", "patience", "warmup_steps", "seed"):
            self._require(name, lambda value: type(value) is int, "an int (// divides without a rest)")
        for name in ("steps", "batch_size", "block_size", "eval_interval", "patience"):
            self._require(name, lambda value: value >= 1, "at least 1")
        for name in ("learning_rate", "min_learning_rate", "grad_clip"):
            self._require(name, lambda value: 0 < value < math.inf, "above 0, and finite")
        highest, last = self.learning_rate, self.steps
        self._require("min_learning_rate", lambda value: value <= highest, f"at most learning_rate, {highest}")
        self._require("warmup_steps", lambda value: 0 <= value <= last, f"from 0 to steps, {last}")
        self._require("weight_decay", lambda value: 0 <= value < math.inf, "0 or more, and finite")
        self._require("beta2", lambda value: 0 <= value < 1, "at least 0 and below 1")
        self._require("precision", ("auto", *PRECISIONS).__contains__, f"one of auto, {', '.join(PRECISIONS)}")

    def _require(self, name, fits, wanted):
        """Raise ValueError where a setting does not fit; None does where it is the default."""
        value = getattr(self, name)
        if value is None and getattr(type(self), name) is None:
            return
        try:
            right = fits(value)
        except TypeError:  # no number
            right = False
        if not right:
            raise ValueError(f"{name} is {value!r}: it must be {wanted}")

    def learning_rate_at(self, step):
        """Linear warm-up, then half a cosine down to min_learning_rate (Loshchilov and Hutter 2017, SGDR, eq. 5)."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.min_learning_rate is None:
            return self.learning_rate
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)  # 0 to 1
        height = (1 + math.cos(math.pi * done)) / 2  # 1 to 0
        return self.min_learning_rate + height * (self.learning_rate - self.min_learning_rate)


COSINE = dict(warmup_steps=100, weight_decay=0.1, beta2=0.99, grad_clip=1.0, precision="auto")
PRESETS = {  # name: the model's sizes, and how to train it
    "smoke": (
        GPTConfig(block_size=32, n_layer=2, n_head=2, n_embd=32, dropout=0.1),
        TrainConfig(60, 8, 32, 3e-3, eval_interval=20, min_learning_rate=3e-4, **COSINE | {"warmup_steps": 10}),
    ),
    "laptop": (
        GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, dropout=0.0),
        TrainConfig(3000, 16, 64, 3e-3, eval_interval=250, min_learning_rate=3e-4, **COSINE),
    ),
    "gpu": (GPTConfig(), TrainConfig(5000, 64, 256, 1e-3, eval_interval=250, min_learning_rate=1e-4, **COSINE)),
    "gpu_constant": (GPTConfig(), TrainConfig(5000, 64, 256, 3e-4, eval_interval=250, **COSINE | {"warmup_steps": 0})),
}


@dataclass
class History:
    """What a run recorded at each evaluation: losses in nats per token, seconds spent so far."""

    steps: list = field(default_factory=list)
    train_loss: list = field(default_factory=list)  # mean of the batch losses since the last evaluation
    val_loss: list = field(default_factory=list)  # the whole validation text
    seconds: list = field(default_factory=list)

    @property
    def best(self):
        """Where in the lists the lowest validation loss stands (a loss that is no number is none)."""
        return min(range(len(self.steps)), key=lambda i: (math.isnan(self.val_loss[i]), self.val_loss[i]))

    def has_stalled(self, patience):
        """Whether the last `patience` evaluations brought no better loss. None: never."""
        return patience is not None and len(self.steps) - 1 - self.best >= patience

    def save(self, path):
        write(path, json.dumps(asdict(self)) + "\n")

    @classmethod
    def load(cls, path):
        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
            if len({len(saved[part.name]) for part in fields(cls)}) > 1:
                raise ValueError("its lists differ in length")
            return cls(**saved)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} holds no history ({error}): delete it, and train again or resume") from None


# ----------------------------------------------------------------------------- hardware


def best_device():
    """The fastest device there is: "cuda", "mps" (Apple's GPUs) or "cpu"."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_precision(precision, device):
    """What "auto" means on this hardware: bf16 where it is fast, fp16 on older GPUs, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= 8 else "fp16" if major >= 7 else "fp32"
    if device.type == "cpu":
        can = getattr(torch.cpu, "get_capabilities", dict)()  # newer than torch 2.9
        return "bf16" if can.get("amx_bf16") or can.get("avx512_bf16") else "fp32"
    return "fp32"


@contextmanager
def mixed_precision(device, precision):
    """Inside, matrix products are made in `precision`; weights, sums and losses stay float32."""
    with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32"):
        # on a CPU the fused attention is slower in bf16 than its plain form, for windows as short as ours
        plain = device.type == "cpu" and precision == "bf16"
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            yield


# ----------------------------------------------------------------------------- the loop


@dataclass
class Run:
    """All that changes while a model trains, and so all that a checkpoint must hold."""

    model: torch.nn.Module
    config: TrainConfig
    tokenizer: CharTokenizer | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # does nothing unless the precision is fp16
    generator: torch.Generator  # of the batches
    step: int = 0  # updates made
    seconds: float = 0.0  # spent, interruptions not counted
    history: History = field(default_factory=History)
    losses: list = field(default_factory=list)  # of the batches since the last evaluation, still on the device
    texts: list = field(default_factory=list)  # checksums of what it trains on and of what it is judged by


def train(model, train_data, val_data, config, on_eval=None, out=None, resume=False, tokenizer=None):
    """Train `model` on random windows of train_data (N,) with AdamW, and return its History.

    val_data is evaluated whole before the first step, every eval_interval steps and at the end;
    `on_eval(history)` is called each time, for instance to draw the curve (also at a resume that starts
    from an evaluation). The batches depend on config.seed alone. Ctrl-C (in a notebook: interrupt the
    kernel) ends the run between two steps, with Interrupted, so that no cell below goes on with a
    half-trained model.

    With a folder `out`, each evaluation leaves there last.pt (all that is needed to go on), best.pt
    (the weights at the lowest validation loss) and history.json. `resume=True` goes on from last.pt
    and ends, on a CPU to the last bit, where a run that was never stopped ends. `tokenizer` is kept
    with the weights, to write text later. Under torchrun each process takes its rows of every batch.
    Raises ValueError for settings that do not fit the text, the checkpoint or the processes.
    """
    if config.batch_size % processes():
        raise ValueError(f"batch_size {config.batch_size} cannot be shared by {processes()} processes: take a multiple")
    device = next(model.parameters()).device
    run = begin(model, replace(config, precision=resolve_precision(config.precision, device)), tokenizer)
    if out:
        run.texts = [checksum(text) for text in (train_data, val_data)]
        resume_or_refuse(run, Path(out), resume)
    train_data = train_data.to(device)  # small integers: the whole text fits, and batches are cut where they are used
    forward = DistributedDataParallel(model) if processes() > 1 else model  # the former averages the gradients
    began = time.perf_counter() - run.seconds
    model.train()
    with progress(run) as bar, interrupts() as interrupted:
        if run.step in run.history.steps:  # resumed: the evaluation is not repeated, but shown
            tell(on_eval, run)
        while True:
            if is_due(run):
                run.seconds = time.perf_counter() - began
                evaluate_run(run, train_data, val_data)
                show_losses(run, bar)
                if out:
                    keep(run, Path(out))
                tell(on_eval, run)
            if interrupted(run.step):
                run.seconds = time.perf_counter() - began
                if out:
                    save_checkpoint(Path(out) / "last.pt", state(run))
                raise Interrupted(run, out)
            if run.step == config.steps or run.history.has_stalled(config.patience):
                break
            update(run, forward, train_data)
            bar.update()
            if run.step % 20 == 0:  # seldom: on a GPU, to read a loss is to wait until all work is done
                show_losses(run, bar)
    return run.history


class Interrupted(KeyboardInterrupt):
    """A run was stopped between two steps. `history` holds its evaluations so far."""

    def __init__(self, run, out=None):
        how_to_go_on = (
            f"It is kept in {out}: run the same again with resume=True (or --resume), and it goes on." if out else
            "The model is half trained, and to train again would go on with it: start from the cell that makes it."
        )
        super().__init__(f"Training was interrupted after step {run.step} of {run.config.steps}. {how_to_go_on}")
        self.history = run.history

    def _render_traceback_(self):  # what IPython shows in place of a traceback
        return [str(self)]


def tell(on_eval, run):
    """Let on_eval see the history. Whatever it draws, training goes on as if it had not, in training mode."""
    if on_eval is None or rank() > 0:
        return
    device = next(run.model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        on_eval(run.history)
    run.model.train()


def update(run, forward, data):
    """One step: a batch, its loss, the gradients, and a little way down them."""
    config, device = run.config, next(run.model.parameters()).device
    for group in run.optimizer.param_groups:
        group["lr"] = config.learning_rate_at(run.step)
    x, y = get_batch(data, config.block_size, config.batch_size, run.generator, device)  # (B, T), wherever data lies
    mine = slice(rank(), None, processes())  # this process's rows: all of them when it is alone
    with mixed_precision(device, config.precision):
        _, loss = forward(x[mine], y[mine])
    run.optimizer.zero_grad()
    run.scaler.scale(loss).backward()
    if config.grad_clip is not None:
        run.scaler.unscale_(run.optimizer)
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.grad_clip)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.losses.append(loss.detach())  # still a tensor: to ask for its value would be to wait for it
    run.step += 1


def begin(model, config, tokenizer=None):
    """A Run before its first step."""
    device = next(model.parameters()).device
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]  # biases and LayerNorms
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=config.learning_rate, betas=(0.9, config.beta2), fused=True,  # one pass over all weights
    )
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    return Run(model, config, tokenizer, optimizer, scaler, torch.Generator().manual_seed(config.seed))


def is_due(run):
    """Whether the model is to be evaluated now (a resumed run may have been already)."""
    at_interval = run.step % run.config.eval_interval == 0 or run.step == run.config.steps
    return at_interval and run.step not in run.history.steps


def evaluate_run(run, train_data, val_data):
    """Add an entry to the history. Before the first step the training loss is that of as much text as a batch."""
    T = run.config.block_size
    if run.losses:
        train_loss = pending_losses(run).mean().item()
    else:
        train_loss = evaluate(run.model, train_data[: run.config.batch_size * T + 1], T)
    run.losses.clear()
    run.history.steps.append(run.step)
    run.history.train_loss.append(train_loss)
    run.history.val_loss.append(evaluate(run.model, val_data, T))
    run.history.seconds.append(run.seconds)


def pending_losses(run):
    """The batch losses since the last evaluation (n,), each averaged over the processes."""
    losses = torch.stack(run.losses) if run.losses else torch.zeros(0)
    if processes() > 1 and run.losses:
        distributed.all_reduce(losses)
        losses /= processes()
    return losses


def progress(run):
    """A progress line; only the first process shows one."""
    return tqdm(total=run.config.steps, initial=run.step, desc="training", file=sys.stdout, disable=rank() > 0)


def show_losses(run, bar):
    """Write the newest losses, and the pace, into the progress line."""
    if bar.disable:
        return
    train_loss = run.losses[-1] if run.losses else run.history.train_loss[-1]
    line = bar.format_dict
    steps_per_second = line["rate"] or (line["n"] - line["initial"]) / max(line["elapsed"], 1e-9)
    pace = steps_per_second * run.config.batch_size * run.config.block_size
    bar.set_postfix_str(f"train {train_loss:.3f}, val {run.history.val_loss[-1]:.3f}, {pace:,.0f} tokens/s", refresh=False)


@contextmanager
def interrupts():
    """Ctrl-C inside asks, and does not break off in the middle of a step. A second one breaks off.

    Gives a function of the step: has anyone asked? Several processes agree on it every 20 steps, so
    that all of them stop at the same one.
    """
    asked = []

    def ask(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    def interrupted(step):
        if processes() == 1:
            return bool(asked)
        if step % 20:
            return False
        votes = torch.tensor(float(len(asked)), device="cuda" if distributed.get_backend() == "nccl" else "cpu")
        distributed.all_reduce(votes)
        return votes.item() > 0

    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def processes():
    """How many processes train together: 1, unless torchrun started this one."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank():
    """This process's number among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


# ----------------------------------------------------------------------------- checkpoints

KIND = "My GPT checkpoint, version 1"


def weights(run):
    """What is needed to use the model: plain numbers, strings and tensors."""
    config = getattr(run.model, "config", None)
    return {
        "kind": KIND,
        "model": {name.replace("_orig_mod.", ""): value for name, value in run.model.state_dict().items()},
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
        "losses": pending_losses(run).cpu(),
        "seconds": run.seconds,
        "batches": run.generator.get_state(),
        "texts": run.texts,
        "dropout": torch.get_rng_state(),
        "dropout_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def keep(run, out):
    """Leave last.pt, and best.pt if no earlier evaluation was better, in the folder `out`."""
    if run.history.steps[run.history.best] == run.step:
        save_checkpoint(out / "best.pt", weights(run))  # before last.pt: a run killed in between makes it again
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
    write(path, buffer.getvalue())


def write(path, content):
    """A file, whole or not at all. Raises OSError, naming it and the remedy, where that cannot be done."""
    try:
        write_whole(Path(path), content)
    except OSError as error:
        raise OSError(
            error.errno, f"{path} could not be written ({error.strerror}); an earlier one there is untouched. "
            f"Make room, or choose another folder, and resume"
        ) from None


def load_checkpoint(path, device="cpu"):
    """What `save_checkpoint` wrote, as a dict of tensors, numbers and strings; no code in the file can run.

    Raises FileNotFoundError, or ValueError for a file that is damaged or something else.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no checkpoint {path}: look for the folder's name, or train without resume")
    try:
        with zipfile.ZipFile(path) as whole:  # torch.load looks at no checksums: a changed byte is a changed weight
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
        raise ValueError(f"{out} holds a run already: go on with it (resume=True, or --resume), or take another folder")
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
        raise ValueError(f"{path} was made with another tokenizer: resume with the same one, or train into another folder")
    if saved.get("texts", run.texts) != run.texts:  # the first version's checkpoints have no checksums
        raise ValueError(f"{path} was made with another text: resume with the same one, or train into another folder")
    try:
        getattr(run.model, "_orig_mod", run.model).load_state_dict(saved["model"])
    except RuntimeError:  # a model that has no config to compare
        raise ValueError(f"{path} holds the weights of another model: resume with the same one") from None
    run.optimizer.load_state_dict(saved["optimizer"])
    run.scaler.load_state_dict(saved["scaler"])
    run.generator.set_state(saved["batches"])
    if rank() == 0:  # what was saved is the first process's: dropout differs between processes
        torch.set_rng_state(saved["dropout"])
        if torch.cuda.is_available() and saved["dropout_cuda"]:
            torch.cuda.set_rng_state_all(saved["dropout_cuda"])
    run.step, run.history = saved["step"], History(**saved["history"])
    run.seconds = saved.get("seconds", run.history.seconds[-1])  # the first versions' checkpoints have none
    run.losses = list(saved["losses"].to(next(run.model.parameters()).device))


def load_model(path, device="cpu"):
    """(model, tokenizer) from a checkpoint (.pt), or from weights (.safetensors) with their card (.json) beside them.

    The model is in evaluation mode. Raises FileNotFoundError, or ValueError for a file that does not fit.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        saved = read_card(path)
        saved["model"] = {name: value.float() for name, value in safetensors.torch.load(path.read_bytes()).items()}
    else:
        saved = load_checkpoint(path)
    if not saved.get("model_config") or not saved.get("chars"):
        raise ValueError(f"{path} does not say what its model or its characters are: train a GPT with tokenizer=...")
    model = GPT(GPTConfig(**saved["model_config"]))
    model.load_state_dict(saved["model"])
    return model.to(device).eval(), CharTokenizer(saved["chars"])


def read_card(path):
    """The card beside a weights file, once the file's checksum is seen to be the card's."""
    card = path.with_suffix(".json")
    if not path.exists() or not card.exists():
        raise FileNotFoundError(f"{path.name} and {card.name} must both be in {path.parent}: fetch the course again")
    try:
        saved = json.loads(card.read_text(encoding="utf-8"))
        wanted = saved["sha256"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{card} is damaged ({error!r}): fetch it again") from None
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wanted:
        raise ValueError(f"{path} is damaged: its SHA-256 is {found}, its card says {wanted}; fetch it again")
    return saved


def load_pretrained(name="laptop", device="cpu"):
    """(model, tokenizer) of a run that ships with the course: "laptop", or the full-size "gpu"."""
    shipped = sorted(path.stem for path in DATA.glob("*.safetensors"))
    if name not in shipped:
        raise ValueError(f"no trained model {name!r} ships with this version: there is {', '.join(shipped) or 'none'}")
    return load_model(DATA / f"{name}.safetensors", device)


# ----------------------------------------------------------------------------- is the run healthy?


def load_reference(name="laptop"):
    """The curves of one or more runs of a preset: {"preset": ..., "runs": [{"seed", "steps", "val_loss", ...}]}."""
    path = DATA / "reference" / f"{name}.json"
    if not path.exists():
        have = sorted(file.stem for file in path.parent.glob("*.json") if file.stem != "ladder")
        raise ValueError(f"there are no reference curves {name!r}: there are {', '.join(have) or 'none'}")
    return json.loads(path.read_text(encoding="utf-8"))


def band(reference, step):
    """(low, high): where 19 of 20 further runs' validation losses are expected at `step`.

    Mean ± t s √(1 + 1/n) over the reference's n runs, s their standard deviation and t Student's for
    n - 1 (a prediction interval: Cochran and Snedecor, Statistical Methods); between two evaluations
    on the straight line; after the last one, as there. Raises ValueError for fewer than two runs.
    """
    values = torch.tensor([value_at(step, run["steps"], run["val_loss"]) for run in reference["runs"]])
    n = len(values)
    if n < 2:
        raise ValueError(f"a band needs the curves of at least two runs: this reference has {n}")
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}[min(n, 10)]
    reach = t * values.std().item() * math.sqrt(1 + 1 / n)
    return values.mean().item() - reach, values.mean().item() + reach


def value_at(step, steps, values):
    """The value at `step` on the straight lines through the points (steps, values)."""
    step = min(max(step, steps[0]), steps[-1])
    i = max(1, next(i for i, s in enumerate(steps) if s >= step))
    share = (step - steps[i - 1]) / (steps[i] - steps[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])


def judge(history, reference):
    """One sentence: is this run healthy, and if not, what is it and what helps?

    Looks in turn for losses that are no numbers, a training loss that rose, a validation loss that
    turned up while training fell, and next to no progress; what is left is compared with the
    reference's band. A reference of one run has none: its loss is named, and no verdict given.
    0.03 nats is more than evaluations of a steady run differ by.
    """
    steps, train_loss, val_loss = history.steps, history.train_loss, history.val_loss
    if len(steps) < 2:
        return "too early to judge: the run has been evaluated only once"
    bad = [s for s, a, b in zip(steps, train_loss, val_loss) if not math.isfinite(a + b)]
    if bad:
        return f"diverged: the loss is no number at step {bad[0]}; lower the learning rate, or clip the gradient"
    last, best, low_train = steps[-1], history.best, min(train_loss)
    first = reference["runs"][0]["steps"][1]
    if train_loss[-1] > low_train + 0.1:
        return (f"diverging: the training loss rose from {low_train:.2f} to {train_loss[-1]:.2f}; lower the learning "
                f"rate, warm it up for longer, or clip the gradient")
    if val_loss[-1] > val_loss[best] + 0.03 and train_loss[-1] < train_loss[best]:
        return (f"overfitting: the validation loss turned up at step {steps[best]} ({val_loss[best]:.3f}, now "
                f"{val_loss[-1]:.3f}) while the training loss fell to {train_loss[-1]:.2f}; keep the checkpoint of "
                f"step {steps[best]}, or add dropout or text")
    if last < first:  # before it the reference is a straight line, which no run follows
        return f"too early to judge: the reference runs were first evaluated at step {first}, this one ends at {last}"
    runs = reference["runs"]
    alone = len(runs) == 1
    low, high = [value_at(last, runs[0]["steps"], runs[0]["val_loss"])] * 2 if alone else band(reference, last)
    if val_loss[0] - val_loss[-1] < (val_loss[0] - high) / 2:
        return (f"stuck: at step {last} the loss is {val_loss[-1]:.2f}, where the reference runs have "
                f"{(low + high) / 2:.2f}; decode an input beside its target, overfit one batch, try other learning rates")
    if alone:
        return (f"no verdict: at step {last}, validation {val_loss[-1]:.3f}; the only reference run, which makes no "
                f"band, had {low:.3f} at step {min(last, runs[0]['steps'][-1])}")
    place = f"at step {last}, validation {val_loss[-1]:.3f}; the band of {len(runs)} runs: {low:.3f} to {high:.3f}"
    if val_loss[-1] > high:
        return f"learning, but behind the reference ({place}); other settings, or a smaller mistake"
    if val_loss[-1] < low:
        return f"better than the reference ({place}); other settings, or a leak of the validation text"
    return f"healthy: inside the band ({place})"


# ----------------------------------------------------------------------------- speed of a notebook


def notebook_speed(smoke, laptop, gpu):
    """The speed this notebook runs at, printed with its expected minutes (the three arguments).

    MYGPT_SPEED decides; without it, "gpu" where CUDA reports capability 8 or more and 8 GB, else
    "laptop". Raises ValueError for another MYGPT_SPEED.
    """
    minutes = dict(zip(SPEEDS, (smoke, laptop, gpu)))
    speed = os.environ.get("MYGPT_SPEED") or default_speed()
    if speed not in minutes:
        raise ValueError(f"MYGPT_SPEED is {speed!r}: it must be one of {', '.join(SPEEDS)}, or unset")
    about = "perhaps" if speed == "gpu" else "about"  # that one is an estimate
    print(f"speed: {speed}, {about} {minutes[speed]:g} min to run (set MYGPT_SPEED to {', '.join(SPEEDS)} for another)")
    if speed == "smoke":
        print("smoke is for trying out: nothing is learned, so figures and numbers will not fit the text")
    return speed


def default_speed():
    """ "gpu" on a recent CUDA card with at least 8 GB, else "laptop"."""
    if not torch.cuda.is_available():
        return "laptop"
    card = torch.cuda.get_device_properties(0)
    return "gpu" if card.major >= 8 and card.total_memory >= 8e9 else "laptop"


# ----------------------------------------------------------------------------- the command line


def train_command(args):
    if "RANK" in os.environ:  # torchrun started this process
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    device = torch.device(args.device) if args.device else best_device()
    if not {"cuda": torch.cuda, "mps": torch.backends.mps, "cpu": torch.cpu}[device.type].is_available():
        raise ValueError(f"device is {args.device}: there is none here that PyTorch can use; leave --device out")
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    model_config, config = PRESETS[args.preset]
    asked = {name: getattr(args, name) for name in ("steps", "seed", "precision", "batch_size", "learning_rate")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if "steps" in asked:
        asked["warmup_steps"] = min(config.warmup_steps, asked["steps"])
    if "learning_rate" in asked and config.min_learning_rate is not None:  # the cosine keeps its shape
        asked["min_learning_rate"] = config.min_learning_rate / config.learning_rate * asked["learning_rate"]
    config = replace(config, **asked)
    text = load_text(args.text)
    tokenizer = CharTokenizer.from_text(text)
    train_data, val_data = split(torch.tensor(tokenizer.encode(text), dtype=torch.uint8))
    torch.manual_seed(config.seed)
    model = GPT(replace(model_config, vocab_size=tokenizer.vocab_size)).to(device)
    torch.manual_seed(config.seed + rank())  # dropout differs between processes
    if rank() == 0:
        precision = resolve_precision(config.precision, device)
        print(f"{model.num_parameters():,} parameters, device {device}, {precision}, {processes()} process(es)")
    status = 0
    try:
        history = train(model, train_data, val_data, config, out=args.out, resume=args.resume, tokenizer=tokenizer)
    except Interrupted as stopped:
        history, status = stopped.history, 130  # what a shell says of Ctrl-C
        if rank() == 0:
            print(stopped)
    if rank() == 0:
        print(f"best validation loss {history.val_loss[history.best]:.4f} at step {history.steps[history.best]}: {args.out}/best.pt")
    if distributed.is_initialized():
        distributed.destroy_process_group()
    if status:
        sys.exit(status)


def sample_command(args):
    model, tokenizer = load_model(args.checkpoint)
    prompt = torch.tensor([tokenizer.encode(args.prompt)])
    generator = torch.Generator().manual_seed(args.seed)
    print(args.prompt, end="")
    settings = dict(temperature=args.temperature, top_k=args.top_k, top_p=args.top_p, generator=generator)
    for token in model.stream(prompt, args.length, **settings):
        print(tokenizer.decode(token[0]), end="", flush=True)
    print()


def parser():
    parser = argparse.ArgumentParser(description="Train a GPT on Shakespeare, and let it write.")
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a preset into a folder")
    train.add_argument("--preset", choices=PRESETS, default="laptop")
    train.add_argument("--out", required=True, help="the folder for checkpoints and history")
    train.add_argument("--resume", action="store_true", help="go on with the run in --out")
    train.add_argument("--text", default="tinyshakespeare", help="tinyshakespeare or shakespeare")
    train.add_argument("--device", choices=["cuda", "mps", "cpu"], help="default: the fastest there is")
    train.add_argument("--precision", choices=["auto", *PRECISIONS], help="default: the preset's")
    for name, kind in (("steps", int), ("batch-size", int), ("learning-rate", float), ("seed", int)):
        train.add_argument(f"--{name}", type=kind, help="default: the preset's")
    train.set_defaults(run=train_command)
    sample = commands.add_parser("sample", help="write text with a trained model")
    sample.add_argument("--checkpoint", default=DATA / "laptop.safetensors", help="a .pt or .safetensors file")
    sample.add_argument("--prompt", default="\n")
    sample.add_argument("--length", type=int, default=500, help="characters to write")
    sample.add_argument("--temperature", type=float, default=1.0)
    sample.add_argument("--top-k", type=int)
    sample.add_argument("--top-p", type=float)
    sample.add_argument("--seed", type=int, default=1337)
    sample.set_defaults(run=sample_command)
    return parser


def main(arguments=None):
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError, TextUnavailable) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
