"""How to train: the settings of a run, and the course's presets."""

import math
from dataclasses import dataclass

from mygpt.machine import PRECISIONS
from mygpt_helpers import GPTConfig, whole_number

OPTIONAL = ("block_size", "min_learning_rate", "grad_clip", "patience")  # may be None
FROM_1 = ("steps", "batch_size", "block_size", "eval_interval", "patience")  # whole numbers
FROM_0 = ("seed", "warmup_steps")
ABOVE_0 = ("learning_rate", "min_learning_rate", "grad_clip")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. One step is one batch of batch_size windows of block_size tokens.

    It cannot be changed; dataclasses.replace(config, steps=300) makes another. Raises ValueError,
    naming it, for a setting that cannot be.
    """

    steps: int = 3000
    batch_size: int = 32
    block_size: int | None = None  # None: the model's
    learning_rate: float = 1e-3  # the highest: after the warm-up
    eval_interval: int = 500  # steps between evaluations of the whole validation text
    seed: int = 1337  # of the batches
    warmup_steps: int = 0  # the learning rate rises in a straight line for so many steps
    min_learning_rate: float | None = None  # the final rate of a cosine decay; None: constant
    weight_decay: float = 0.01  # of matrices and embeddings, not of biases and LayerNorms
    beta2: float = 0.999  # AdamW's average of squared gradients; smaller: adapts faster, noisier
    grad_clip: float | None = None  # maximum norm of the gradient
    patience: int | None = None  # stop after so many evaluations without a better loss
    precision: str = "fp32"  # of the matrix products: fp32, bf16, fp16, auto (what is fast here)

    def __post_init__(self):
        # torch.load refuses numpy's numbers; vars, because a frozen dataclass cannot be assigned to
        vars(self).update({k: v.item() for k, v in vars(self).items() if hasattr(v, "item")})
        for name, value in vars(self).items():
            number = type(value) in (int, float) and math.isfinite(value)
            if value is None and name in OPTIONAL:
                continue
            if name in FROM_1:
                whole_number(name, value, least=1)
            if name in FROM_0:
                whole_number(name, value, least=0)
            if name in ABOVE_0 and not (number and value > 0):
                raise ValueError(f"{name} is {value!r}: it must be a finite number above 0")
            if name == "weight_decay" and not (number and value >= 0):
                raise ValueError(f"{name} is {value!r}: it must be a finite number, 0 or more")
            if name == "beta2" and not (number and 0 <= value < 1):
                raise ValueError(f"{name} is {value!r}: it must be at least 0 and below 1")
            if name == "precision" and value not in ("auto", *PRECISIONS):
                names = ", ".join(PRECISIONS)
                raise ValueError(f"{name} is {value!r}: it must be one of auto, {names}")
        if (self.min_learning_rate or 0) > self.learning_rate:
            raise ValueError(
                f"min_learning_rate is {self.min_learning_rate}: "
                f"it must be at most learning_rate, {self.learning_rate}"
            )

    def schedule(self, step):
        """The factor, 0 to 1, by which learning rates are multiplied at `step`.

        Linear warm-up, then half a cosine down to min_learning_rate (SGDR, Loshchilov and Hutter
        2017, equation 5).
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.min_learning_rate is None:
            return 1.0
        lowest = self.min_learning_rate / self.learning_rate
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)  # 0 to 1
        return lowest + (1 - lowest) * (1 + math.cos(math.pi * done)) / 2

    def learning_rate_at(self, step):
        """The learning rate of `step`.

        Example: TrainConfig(learning_rate=1e-3, warmup_steps=10).learning_rate_at(4) -> 0.0005
        """
        return self.learning_rate * self.schedule(step)


ADAMW = dict(weight_decay=0.1, beta2=0.99, grad_clip=1.0, precision="auto")
PRESETS = {  # name: the model's sizes, and how to train it
    "smoke": (
        GPTConfig(block_size=32, n_layer=2, n_head=2, n_embd=32, dropout=0.1),
        TrainConfig(
            steps=60,
            batch_size=8,
            eval_interval=20,
            learning_rate=3e-3,
            min_learning_rate=3e-4,
            warmup_steps=10,
            **ADAMW,
        ),
    ),
    "laptop": (
        GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, dropout=0.0),
        TrainConfig(
            steps=3000,
            batch_size=16,
            eval_interval=250,
            learning_rate=3e-3,
            min_learning_rate=3e-4,
            warmup_steps=100,
            **ADAMW,
        ),
    ),
    "gpu": (
        GPTConfig(),
        TrainConfig(
            steps=5000,
            batch_size=64,
            eval_interval=250,
            learning_rate=1e-3,
            min_learning_rate=1e-4,
            warmup_steps=100,
            **ADAMW,
        ),
    ),
    "gpu_constant": (
        GPTConfig(),
        TrainConfig(steps=5000, batch_size=64, eval_interval=250, learning_rate=3e-4, **ADAMW),
    ),
}
