"""The course's code on a pretended GPU, in a process of its own: prints {what was tried: the error it raised, or ""}.

A FakeTensor has no numbers, but a shape and a device. As on a GPU, two of them on different devices
cannot be combined; and whoever asks for a value is refused, where on a GPU Python would have to wait.
"""

import json

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import mygpt_helpers
from mygpt import train
from mygpt.train import Run, TrainConfig, update
from mygpt_helpers import GPT, GPTConfig, evaluate, get_batch

_setup_privateuseone_for_python_backend("elsewhere")
DEVICE = torch.device("elsewhere")
SIZES = GPTConfig(vocab_size=7, block_size=8, n_layer=2, n_head=2, n_embd=16, dropout=0.1)


def two_steps(data_on, **config):
    with DEVICE:
        model = GPT(SIZES)
    run = Run(model, TrainConfig(steps=2, batch_size=4, eval_interval=1, **config))
    data = torch.zeros(50, dtype=torch.uint8, device=data_on)
    for _ in range(2):
        update(run, model, data)
    assert run.losses[0].device.type == "elsewhere"


def with_model(work):
    with DEVICE:
        model, ids = GPT(SIZES).eval(), torch.zeros(2, 3, dtype=torch.long)
    return work(model, ids)


def written(**options):
    """Generate, without the checks that read values: the prompt's ids, and whether all is finite."""
    is_true = torch.Tensor.__bool__

    def work(model, ids):
        torch.Tensor.__bool__ = lambda self: False  # no id is outside the vocabulary
        model.register_forward_pre_hook(lambda *_: setattr(torch.Tensor, "__bool__", is_true))
        return model.generate(ids, 12, **options)

    try:
        with_a_fault(mygpt_helpers, "check_finite", lambda *_: None, lambda: with_model(work))
    finally:
        torch.Tensor.__bool__ = is_true


def with_a_fault(where, name, fault, work):
    """`work` with one function replaced: the pretended device must notice."""
    right = getattr(where, name)
    setattr(where, name, fault)
    try:
        work()
    finally:
        setattr(where, name, right)


def two_pieces(model, ids):
    cache = model.new_cache(len(ids))
    model(ids, cache=cache)
    model(ids, cache=cache)


def loss_read_in_every_step(model, ids):
    _, loss = model(ids, ids)
    return loss.item()


TRIED = {
    "text on the device": lambda: two_steps(DEVICE, grad_clip=1.0),
    "text on the cpu": lambda: two_steps("cpu"),
    "forward in the plain form": lambda: with_model(lambda model, ids: model.attention_maps(ids)),
    "evaluation": lambda: with_model(
        lambda model, _: evaluate(model, torch.zeros(50, device=DEVICE).long(), reduction="none")
    ),
    "evaluation of a text on the cpu": lambda: with_model(
        lambda model, _: evaluate(model, torch.zeros(50).long(), reduction="none")
    ),
    "greedy": lambda: written(temperature=0),
    "drawn": lambda: written(top_k=3, top_p=0.9),
    "drawn without a cache": lambda: written(use_cache=False),
    "a text in two pieces": lambda: with_model(two_pieces),
    "fault: batches stay on the cpu": lambda: with_a_fault(
        train,
        "get_batch",
        lambda *given: get_batch(*given[:4], "cpu"),
        lambda: two_steps("cpu"),
    ),
    "fault: a value is asked for": lambda: with_model(loss_read_in_every_step),
}

if __name__ == "__main__":
    errors = {}
    for name, work in TRIED.items():
        try:
            with FakeTensorMode():
                work()
            errors[name] = ""
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(errors))
