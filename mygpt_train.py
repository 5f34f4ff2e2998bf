"""The training loop, in its plain form: notebook 01 writes it out, notebook 06 makes it grow."""
import os
import sys
import time
from dataclasses import dataclass, field

import torch
from tqdm import tqdm

from mygpt_helpers import evaluate, get_batch

SPEEDS = ("smoke", "laptop", "gpu")


@dataclass
class TrainConfig:
    """How to train. One step is one batch of batch_size windows of block_size tokens."""

    steps: int = 3000
    batch_size: int = 32
    block_size: int = 32
    learning_rate: float = 1e-3
    eval_interval: int = 500  # steps between evaluations of the whole validation text
    seed: int = 1337  # of the batches

    def __post_init__(self):
        for name in ("steps", "batch_size", "block_size", "eval_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}: it must be above 0")


@dataclass
class History:
    """What a run recorded at each evaluation: losses in nats per token, seconds since the start."""

    steps: list = field(default_factory=list)
    train_loss: list = field(default_factory=list)  # mean of the batch losses since the last evaluation
    val_loss: list = field(default_factory=list)  # the whole validation text
    seconds: list = field(default_factory=list)


def train(model, train_data, val_data, config, on_eval=None):
    """Train `model` on random windows of train_data (N,) with AdamW, and return its History.

    val_data is evaluated whole before the first step, every eval_interval steps and at the end;
    `on_eval(history)` is called each time, for instance to draw the curve. The batches depend on
    config.seed alone.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    history, losses, began = History(), [], time.perf_counter()
    bar = tqdm(total=config.steps, desc="training", file=sys.stdout)
    model.train()
    for step in range(config.steps + 1):
        x, y = get_batch(train_data, config.block_size, config.batch_size, generator, device)
        _, loss = model(x, y)
        losses.append(loss.detach())
        if step % config.eval_interval == 0 or step == config.steps:
            history.steps.append(step)
            history.train_loss.append(torch.stack(losses).mean().item())
            history.val_loss.append(evaluate(model, val_data, config.block_size))
            history.seconds.append(time.perf_counter() - began)
            bar.set_postfix_str(f"train {history.train_loss[-1]:.3f}, val {history.val_loss[-1]:.3f}")
            losses.clear()
            if on_eval:
                on_eval(history)
        if step == config.steps:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.update()
    bar.close()
    return history


def notebook_speed(smoke, laptop, gpu):
    """The speed this notebook runs at, printed with its expected minutes (the three arguments).

    MYGPT_SPEED decides; without it, "gpu" where CUDA reports capability 8 or more and 8 GB, else
    "laptop". Raises ValueError for another MYGPT_SPEED.
    """
    minutes = dict(zip(SPEEDS, (smoke, laptop, gpu)))
    speed = os.environ.get("MYGPT_SPEED") or default_speed()
    if speed not in minutes:
        raise ValueError(f"MYGPT_SPEED is {speed!r}: it must be one of {', '.join(SPEEDS)}, or unset")
    print(f"speed: {speed}, about {minutes[speed]:g} min to run (set MYGPT_SPEED to {', '.join(SPEEDS)} for another)")
    return speed


def default_speed():
    """ "gpu" on a recent CUDA card with at least 8 GB, else "laptop"."""
    if not torch.cuda.is_available():
        return "laptop"
    card = torch.cuda.get_device_properties(0)
    return "gpu" if card.major >= 8 and card.total_memory >= 8e9 else "laptop"
