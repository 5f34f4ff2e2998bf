"""What the tests of training share: a GPT that takes a millisecond a step, its text, and how to compare runs."""

import torch

from mygpt.checkpoints import load_checkpoint
from mygpt.train import Interrupted, TrainConfig, train
from mygpt_helpers import GPT, CharTokenizer, GPTConfig, evaluate

DATA = torch.randint(7, (300,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
VAL = torch.randint(7, (60,), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
SIZES = dict(vocab_size=7, block_size=8, n_layer=2, n_head=2, n_embd=8, dropout=0.2)
SETTINGS = dict(
    steps=13,
    batch_size=4,
    learning_rate=0.01,
    eval_interval=5,
    warmup_steps=3,
    min_learning_rate=1e-3,
    weight_decay=0.1,
    beta2=0.99,
    grad_clip=0.5,
)
TOKENIZER = CharTokenizer("abcdefg")


def gpt(seed=0, **sizes):
    torch.manual_seed(seed)
    return GPT(GPTConfig(**SIZES | sizes))


def settings(**changes):
    return TrainConfig(**SETTINGS | changes)


def run(out, model=None, config=None, seed=0, **more):
    """Train a fresh tiny GPT into the folder `out`; the seed decides its first weights and its dropout.

    Returns the history, of an interrupted run as far as it came.
    """
    model = gpt(seed) if model is None else model
    try:
        return train(model, DATA, VAL, config or settings(), out=out, tokenizer=TOKENIZER, **more)
    except Interrupted as stopped:
        return stopped.history


def set_validation_losses(monkeypatch, losses):
    """Let the evaluations of VAL give these losses, one after the other; other texts are evaluated as ever."""
    losses = iter(losses)

    def scripted(model, data, *more, **options):
        return next(losses) if data is VAL else evaluate(model, data, *more, **options)

    monkeypatch.setattr("mygpt.train.evaluate", scripted)


def same(a, b):
    """Whether two nests of dicts, lists, tensors and numbers are equal to the last bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return (
            isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def left_by(out):
    """All that a run left in its folder, but for the seconds, which no two runs share."""
    found = {path.name: load_checkpoint(path) for path in sorted(out.glob("*.pt"))}
    for contents in found.values():
        contents["history"].pop("seconds")
        contents.pop("seconds", None)
    return found
