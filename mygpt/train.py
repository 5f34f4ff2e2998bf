"""Training: the loop, and what a run records. Read it after `mygpt_helpers.py`.

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

from mygpt import checkpoints
from mygpt.files import write_whole
from mygpt.machine import mixed_precision, processes, rank, resolve_precision
from mygpt.recipes import PRESETS as PRESETS  # for those who look for them here
from mygpt.recipes import TrainConfig as TrainConfig
from mygpt_helpers import check_ids, evaluate, get_batch


def adamw(model, config):
    """AdamW on all weights of `model`, with weight decay on those that multiply (two axes or more)."""
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    vectors = [weight for weight in model.parameters() if weight.dim() < 2]  # biases, LayerNorms
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    # fused: one pass over all weights
    return torch.optim.AdamW(groups, config.learning_rate, betas=(0.9, config.beta2), fused=True)


# ----------------------------------------------------------------------------- what a run records


@dataclass
class History:
    """What a run recorded at each evaluation: losses in nats per token, seconds spent so far."""

    steps: list = field(default_factory=list)
    train_loss: list = field(default_factory=list)  # mean over the batches since the last one
    val_loss: list = field(default_factory=list)  # over the whole validation text
    seconds: list = field(default_factory=list)
    val_text: str = ""  # which text that is: the SHA-256 of its ids

    @property
    def best_index(self):
        """Where in the lists the lowest validation loss is. NaN never counts as the lowest."""
        return min(
            range(len(self.steps)), key=lambda i: (math.isnan(self.val_loss[i]), self.val_loss[i])
        )

    def has_stalled(self, patience):
        """Whether the last `patience` evaluations brought no better loss. None: never."""
        return patience is not None and len(self.steps) - 1 - self.best_index >= patience

    def save(self, path):
        write_whole(path, json.dumps(asdict(self)) + "\n")

    @classmethod
    def load(cls, path):
        """The History in the file `path`. Raises ValueError, naming it, for a damaged one."""
        try:
            history = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
            lists = [getattr(history, part.name) for part in fields(cls) if part.type is list]
            if {len(values) for values in lists} != {len(history.steps) or 1}:
                raise ValueError("its lists are empty or differ in length")
            return history
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path} holds no history ({error}): delete it, and train again or resume"
            ) from None


class Run:
    """All that changes while a model trains, and so all that a checkpoint must hold."""

    def __init__(self, model, config, tokenizer=None, make_optimizer=None):
        self.model, self.tokenizer = model, tokenizer
        self.device = next(model.parameters()).device
        self.config = replace(
            config,
            block_size=block_size_for(model, config),
            precision=resolve_precision(config.precision, self.device),
        )
        self.optimizer = (make_optimizer or adamw)(model, self.config)
        for group in self.optimizer.param_groups:
            group["initial_lr"] = group["lr"]  # the schedule multiplies it
        half = self.config.precision == "fp16"  # the scaler does nothing for the other precisions
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.generator = torch.Generator().manual_seed(config.seed)  # of the batches
        self.step = 0  # updates made
        self.seconds = 0.0  # spent, interruptions not counted
        self.losses = []  # of the batches since the last evaluation, still on the device
        self.history = History()
        self.texts = []  # checksums of what it trains on and of what it is judged by

    def pending_losses(self):
        """The batch losses since the last evaluation (n,), each averaged over the processes."""
        losses = torch.stack(self.losses) if self.losses else torch.zeros(0)
        if processes() > 1 and self.losses:
            distributed.all_reduce(losses)
            losses /= processes()
        return losses

    def is_sound(self):
        """Whether the losses of the last evaluation, and the weights now, are finite numbers."""
        losses = self.history.train_loss[-1], self.history.val_loss[-1]
        weights = self.model.parameters()
        return all(map(math.isfinite, losses)) and all(w.isfinite().all() for w in weights)


def block_size_for(model, config):
    """The length of the windows to train on: the model's, or a shorter one that `config` asks for."""
    longest = getattr(getattr(model, "config", None), "block_size", None)
    if config.block_size is None and longest is None:
        raise ValueError(
            "the model does not say its block_size: give it, as TrainConfig(block_size=32)"
        )
    if longest is not None and (config.block_size or 0) > longest:
        raise ValueError(
            f"block_size {config.block_size} is more than the model's {longest}: leave it out, "
            f"or make the model with GPTConfig(block_size={config.block_size})"
        )
    return config.block_size or longest


# ----------------------------------------------------------------------------- the loop


def train(
    model,
    train_data,
    val_data,
    config,
    on_eval=None,
    out=None,
    resume=False,
    tokenizer=None,
    make_optimizer=None,
):
    """Train `model` on random windows of train_data (N,), and return its History.

    val_data is evaluated whole before the first step, every eval_interval steps and at the end;
    `on_eval(history)` is called each time, for instance to draw the curve. The batches depend on
    config.seed alone. `make_optimizer(model, config)` gives another optimizer than `adamw`: the
    schedule multiplies the learning rate that each of its groups begins with.

    With a folder `out`, each evaluation leaves there last.pt (all that is needed to go on), best.pt
    (the weights at the lowest validation loss) and history.json. resume=True goes on from last.pt,
    if there is one, and ends, on a CPU to the last bit, where a run that was never stopped ends.
    More steps may then be asked for. `tokenizer` is kept with the weights, to write text later.
    Under torchrun each process takes its rows of every batch.

    Ctrl-C (in a notebook: interrupt the kernel) ends the run between two steps, with Interrupted,
    so that no cell below goes on with a half-trained model. An evaluation that is NaN or infinite
    ends it with Diverged, and the checkpoints stay those of the one before. Raises ValueError, before
    the first step, for what does not fit together.
    """
    run = Run(model, config, tokenizer, make_optimizer)
    config = run.config
    check_fit(run, train_data, val_data)
    run.texts = [checkpoints.checksum(text) for text in (train_data, val_data)]
    run.history.val_text = run.texts[1]
    if out:
        checkpoints.begin_or_resume(run, Path(out), resume)
    elif resume:
        raise ValueError("resume=True goes on with the run in a folder: say which, with out=...")

    train_data = train_data.to(run.device)  # small integers: the whole text fits
    # DistributedDataParallel averages the gradients over the processes
    forward = DistributedDataParallel(model) if processes() > 1 else model
    model.train()
    began = time.perf_counter() - run.seconds
    with progress_line(run) as line, interrupts() as stop:
        if run.step in run.history.steps:  # resumed: the evaluation is not repeated, but shown
            show(run, on_eval)
        while True:
            at_interval = run.step % config.eval_interval == 0 or run.step == config.steps
            if at_interval and run.step not in run.history.steps:
                run.seconds = time.perf_counter() - began
                evaluate_run(run, train_data, val_data)
                write_losses(run, line)
                if out and run.is_sound():
                    checkpoints.keep(run, Path(out))
                show(run, on_eval)
                if not run.is_sound():
                    raise Diverged(run, out)
            if any_process(stop.is_set(), run):
                run.seconds = time.perf_counter() - began
                if not run.is_sound():
                    raise Diverged(run, out)
                if out:
                    checkpoints.save_checkpoint(Path(out) / "last.pt", checkpoints.to_resume(run))
                raise Interrupted(run, out)
            if run.step == config.steps or run.history.has_stalled(config.patience):
                return run.history
            update(run, forward, train_data)
            line.update()
            if (
                run.step % 20 == 0
            ):  # seldom: to read a loss is to wait until a GPU has done all work
                write_losses(run, line)


def update(run, forward, data):
    """One step: a batch, its loss, the gradients, and one step of the optimizer."""
    config = run.config
    for group in run.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * config.schedule(run.step)
    x, y = get_batch(
        data, config.block_size, config.batch_size, run.generator, run.device
    )  # (B, T)
    mine = slice(rank(), None, processes())  # every n-th row for each of n processes
    with mixed_precision(run.device, config.precision):
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


def evaluate_run(run, train_data, val_data):
    """Add an entry to the history. Before the first step, a batch's length of text is the training loss."""
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


def show(run, on_eval):
    """Call on_eval without disturbing the random state or the training mode."""
    if on_eval is None or rank() > 0:
        return
    with torch.random.fork_rng([run.device] if run.device.type == "cuda" else []):
        on_eval(run.history)
    run.model.train()


def progress_line(run):
    """A line of tqdm's; only the first process shows one."""
    steps, step = run.config.steps, run.step
    return tqdm(total=steps, initial=step, desc="training", file=sys.stdout, disable=rank() > 0)


def write_losses(run, line):
    """Write the newest losses, and the pace, into the progress line."""
    if line.disable:
        return
    train_loss = run.losses[-1] if run.losses else run.history.train_loss[-1]
    now = line.format_dict
    steps_per_second = now["rate"] or (now["n"] - now["initial"]) / max(now["elapsed"], 1e-9)
    pace = steps_per_second * run.config.batch_size * run.config.block_size
    losses = f"train {train_loss:.3f}, val {run.history.val_loss[-1]:.3f}"
    line.set_postfix_str(f"{losses}, {pace:,.0f} tokens/s", refresh=False)


def check_fit(run, train_data, val_data):
    """Raise ValueError where texts, tokenizer, model and processes do not fit together."""
    T, B = run.config.block_size, run.config.batch_size
    embedding = getattr(run.model, "token_embedding", None)
    V = getattr(embedding, "num_embeddings", None)  # the model's vocabulary, as far as it is known
    for name, data, least in (("train_data", train_data, T + 1), ("val_data", val_data, 2)):
        check_ids(name, data, dims=1)
        if len(data) < least:
            raise ValueError(
                f"{name} has {len(data)} tokens, and block_size {T} needs at least {least}: "
                f"take a longer text, or a shorter block_size"
            )
        lowest, highest = data.long().min().item(), data.long().max().item()
        if V is not None and not 0 <= lowest <= highest < V:
            raise ValueError(
                f"{name} has ids from {lowest} to {highest}, and the model's vocabulary is {V}: "
                f"make the model with vocab_size=tokenizer.vocab_size"
            )
    if run.tokenizer is not None and V is not None and run.tokenizer.vocab_size != V:
        raise ValueError(
            f"the tokenizer has {run.tokenizer.vocab_size} ids, and the model's vocabulary is {V}: "
            f"make the model with vocab_size={run.tokenizer.vocab_size}"
        )
    if run.tokenizer is not None and not hasattr(run.tokenizer, "to_dict"):
        raise ValueError(
            "the tokenizer has no to_dict(), so no checkpoint can hold it: give it one"
        )
    if B % processes():
        raise ValueError(
            f"batch_size {B} cannot be shared by {processes()} processes: take a multiple"
        )


# ----------------------------------------------------------------------------- ends before the end


class Interrupted(KeyboardInterrupt):
    """A run was stopped between two steps. `history` holds its evaluations so far."""

    def __init__(self, run, out=None):
        how_to_go_on = (
            f"It is kept in {out}: run the same again with resume=True (or --resume), and it goes on."
            if out
            else "The model is half trained: start again from the cell that makes it."
        )
        super().__init__(
            f"Training was interrupted after step {run.step} of {run.config.steps}. {how_to_go_on}"
        )
        self.history = run.history

    def _render_traceback_(self):  # what IPython shows in place of a traceback
        return [str(self)]


class Diverged(ValueError):
    """A run ended because a loss is NaN or infinite. `history` holds its evaluations, the last one too."""

    def __init__(self, run, out=None):
        history, rate = run.history, run.config.learning_rate
        losses = history.train_loss[-1], history.val_loss[-1]
        found = "training loss {}, validation loss {}".format(*losses)
        if all(map(math.isfinite, losses)):
            found = "its weights are NaN or infinite"
        if run.step == 0:
            message = (
                f"The model is broken before the first step: {found}. "
                f"Start again from the cell that makes it."
            )
        else:
            message = (
                f"Training diverged by step {run.step}: {found}. Train a new model, with a learning "
                f"rate lower than {rate:g}, a longer warm-up or a lower grad_clip."
            )
            message += f" {out} keeps the run as it was before: take another folder." if out else ""
        super().__init__(message)
        self.history = history

    _render_traceback_ = Interrupted._render_traceback_


@contextmanager
def interrupts():
    """Inside, Ctrl-C sets the event that this gives; a second Ctrl-C stops at once."""
    stop = threading.Event()

    def ask(number, frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only that one receives signals
        yield stop
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)  # None: set by another language


def any_process(asked, run):
    """Whether a stop was requested in any process. They vote every 20 steps, to stop at the same one."""
    if processes() == 1:
        return asked
    if run.step % 20:
        return False
    votes = torch.tensor(float(asked), device=run.device)
    distributed.all_reduce(votes)
    return votes.item() > 0
