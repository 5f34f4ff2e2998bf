"""Training: the settings, the loop, and what a run records. Read it after `mygpt_helpers.py`.

Losses are in nats per token. A step is one update of the weights from one batch.
"""

import json
import math
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from mygpt.checkpoints import checksum, keep, resume_or_refuse, save_checkpoint, state
from mygpt.files import write_whole
from mygpt.machine import PRECISIONS, mixed_precision, processes, rank, resolve_precision
from mygpt_helpers import CharTokenizer, GPTConfig, evaluate, get_batch, plain_numbers

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
    min_learning_rate: float | None = (
        None  # where a cosine brings it by the last step; None: it stays
    )
    weight_decay: float = 0.01  # on matrices and embeddings, not on biases and LayerNorms
    beta2: float = 0.999  # AdamW's memory of squared gradients; a shorter one follows noise faster
    grad_clip: float | None = None  # the longest that the gradient, as one vector, may be
    patience: int | None = None  # stop after so many evaluations without a better loss
    precision: str = (
        "fp32"  # of the matrix products: fp32, bf16, fp16, or auto (what the hardware does fast)
    )

    def __post_init__(self):
        plain_numbers(self)
        for name in (
            "steps",
            "batch_size",
            "block_size",
            "eval_interval",
            "patience",
            "warmup_steps",
            "seed",
        ):
            self._require(
                name, lambda value: type(value) is int, "an int (// divides without a rest)"
            )
        for name in ("steps", "batch_size", "block_size", "eval_interval", "patience"):
            self._require(name, lambda value: value >= 1, "at least 1")
        for name in ("learning_rate", "min_learning_rate", "grad_clip"):
            self._require(name, lambda value: 0 < value < math.inf, "above 0, and finite")
        highest, last = self.learning_rate, self.steps
        self._require(
            "min_learning_rate", lambda value: value <= highest, f"at most learning_rate, {highest}"
        )
        self._require("warmup_steps", lambda value: 0 <= value <= last, f"from 0 to steps, {last}")
        self._require("weight_decay", lambda value: 0 <= value < math.inf, "0 or more, and finite")
        self._require("beta2", lambda value: 0 <= value < 1, "at least 0 and below 1")
        self._require(
            "precision", ("auto", *PRECISIONS).__contains__, f"one of auto, {', '.join(PRECISIONS)}"
        )

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
        TrainConfig(
            60,
            8,
            32,
            3e-3,
            eval_interval=20,
            min_learning_rate=3e-4,
            **COSINE | {"warmup_steps": 10},
        ),
    ),
    "laptop": (
        GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, dropout=0.0),
        TrainConfig(3000, 16, 64, 3e-3, eval_interval=250, min_learning_rate=3e-4, **COSINE),
    ),
    "gpu": (
        GPTConfig(),
        TrainConfig(5000, 64, 256, 1e-3, eval_interval=250, min_learning_rate=1e-4, **COSINE),
    ),
    "gpu_constant": (
        GPTConfig(),
        TrainConfig(5000, 64, 256, 3e-4, eval_interval=250, **COSINE | {"warmup_steps": 0}),
    ),
}


@dataclass
class History:
    """What a run recorded at each evaluation: losses in nats per token, seconds spent so far."""

    steps: list = field(default_factory=list)
    train_loss: list = field(
        default_factory=list
    )  # mean of the batch losses since the last evaluation
    val_loss: list = field(default_factory=list)  # the whole validation text
    seconds: list = field(default_factory=list)

    @property
    def best(self):
        """Where in the lists the lowest validation loss stands (a loss that is no number is none)."""
        return min(
            range(len(self.steps)), key=lambda i: (math.isnan(self.val_loss[i]), self.val_loss[i])
        )

    def has_stalled(self, patience):
        """Whether the last `patience` evaluations brought no better loss. None: never."""
        return patience is not None and len(self.steps) - 1 - self.best >= patience

    def save(self, path):
        write_whole(path, json.dumps(asdict(self)) + "\n")

    @classmethod
    def load(cls, path):
        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
            if len({len(saved[part.name]) for part in fields(cls)}) > 1:
                raise ValueError("its lists differ in length")
            return cls(**saved)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} holds no history ({error}): delete it, and train again or resume"
            ) from None


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
    losses: list = field(
        default_factory=list
    )  # of the batches since the last evaluation, still on the device
    texts: list = field(
        default_factory=list
    )  # checksums of what it trains on and of what it is judged by

    def pending_losses(self):
        """The batch losses since the last evaluation (n,), each averaged over the processes."""
        losses = torch.stack(self.losses) if self.losses else torch.zeros(0)
        if processes() > 1 and self.losses:
            distributed.all_reduce(losses)
            losses /= processes()
        return losses


def train(
    model, train_data, val_data, config, on_eval=None, out=None, resume=False, tokenizer=None
):
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
        raise ValueError(
            f"batch_size {config.batch_size} cannot be shared by {processes()} processes: take a multiple"
        )
    device = next(model.parameters()).device
    run = begin(
        model, replace(config, precision=resolve_precision(config.precision, device)), tokenizer
    )
    if out:
        run.texts = [checksum(text) for text in (train_data, val_data)]
        resume_or_refuse(run, Path(out), resume)
    train_data = train_data.to(
        device
    )  # small integers: the whole text fits, and batches are cut where they are used
    forward = (
        DistributedDataParallel(model) if processes() > 1 else model
    )  # the former averages the gradients
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
            if (
                run.step % 20 == 0
            ):  # seldom: on a GPU, to read a loss is to wait until all work is done
                show_losses(run, bar)
    return run.history


class Interrupted(KeyboardInterrupt):
    """A run was stopped between two steps. `history` holds its evaluations so far."""

    def __init__(self, run, out=None):
        how_to_go_on = (
            f"It is kept in {out}: run the same again with resume=True (or --resume), and it goes on."
            if out
            else "The model is half trained, and to train again would go on with it: start from the cell that makes it."
        )
        super().__init__(
            f"Training was interrupted after step {run.step} of {run.config.steps}. {how_to_go_on}"
        )
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
    x, y = get_batch(
        data, config.block_size, config.batch_size, run.generator, device
    )  # (B, T), wherever data lies
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
    vectors = [
        parameter for parameter in model.parameters() if parameter.dim() < 2
    ]  # biases and LayerNorms
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, config.beta2),
        fused=True,  # one pass over all weights
    )
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    return Run(
        model, config, tokenizer, optimizer, scaler, torch.Generator().manual_seed(config.seed)
    )


def is_due(run):
    """Whether the model is to be evaluated now (a resumed run may have been already)."""
    at_interval = run.step % run.config.eval_interval == 0 or run.step == run.config.steps
    return at_interval and run.step not in run.history.steps


def evaluate_run(run, train_data, val_data):
    """Add an entry to the history. Before the first step the training loss is that of as much text as a batch."""
    T = run.config.block_size
    if run.losses:
        train_loss = run.pending_losses().mean().item()
    else:
        train_loss = evaluate(run.model, train_data[: run.config.batch_size * T + 1], T)
    run.losses.clear()
    run.history.steps.append(run.step)
    run.history.train_loss.append(train_loss)
    run.history.val_loss.append(evaluate(run.model, val_data, T))
    run.history.seconds.append(run.seconds)


def progress(run):
    """A progress line; only the first process shows one."""
    return tqdm(
        total=run.config.steps,
        initial=run.step,
        desc="training",
        file=sys.stdout,
        disable=rank() > 0,
    )


def show_losses(run, bar):
    """Write the newest losses, and the pace, into the progress line."""
    if bar.disable:
        return
    train_loss = run.losses[-1] if run.losses else run.history.train_loss[-1]
    line = bar.format_dict
    steps_per_second = line["rate"] or (line["n"] - line["initial"]) / max(line["elapsed"], 1e-9)
    pace = steps_per_second * run.config.batch_size * run.config.block_size
    bar.set_postfix_str(
        f"train {train_loss:.3f}, val {run.history.val_loss[-1]:.3f}, {pace:,.0f} tokens/s",
        refresh=False,
    )


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
        votes = torch.tensor(
            float(len(asked)), device="cuda" if distributed.get_backend() == "nccl" else "cpu"
        )
        distributed.all_reduce(votes)
        return votes.item() > 0

    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread receives signals
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
