"""A small training loop, right or with one of the usual mistakes: the check of notebook 01 compares with it."""

import torch

from mygpt_helpers import BigramLanguageModel

V, STEPS, RATE = 7, 12, 0.1

MISTAKES = {
    "accumulate": "the gradients of all steps add up: clear them with optimizer.zero_grad()",
    "idle": "the model never changes: zero_grad, then backward, then step, in this order",
    "late": "step comes before backward, so each update uses the step before's gradients",
    "anew": "a new optimizer in each step forgets what it has seen: make it once, before the loop",
    "default": "the learning rate is not used: torch.optim.AdamW(..., lr=learning_rate)",
    "sgd": "this is SGD: the task asks for AdamW",
    "adam": "this is Adam, or AdamW with weight_decay=0: the task asks for AdamW with its defaults, "
    "which also pulls the numbers towards 0",
    "same": "the targets are the inputs, so nothing is predicted: model(x, y), not model(x, x)",
    "up": "the loss rises: backward belongs to the loss, not to its negative",
    "one": "always the same batch: ask for a new one in each step",
    "after": "each loss is measured after its update: keep the one that backward was called on",
    "mean": "these are running means: append each step's own loss",
}


class Batches:
    """Gives the same batches to every loop, and counts how often it was asked."""

    def __init__(self):
        self.generator, self.asked = torch.Generator().manual_seed(2), 0

    def __call__(self):
        self.asked += 1
        ids = torch.randint(V, (4, 6), generator=self.generator)
        ids[:, 1::2] = ids[:, ::2]  # something to learn: tokens come in pairs
        return ids[:, :-1], ids[:, 1:]


def fresh_model():
    model = BigramLanguageModel(V)
    values = torch.randn(V, V, generator=torch.Generator().manual_seed(3))
    model.token_embedding.weight.data = values
    return model


def losses_of(kind):
    """The losses of a training loop, right or with one mistake, and the table it ends with."""
    model, batch, losses = fresh_model(), Batches(), []
    rate = {} if kind == "default" else {"lr": RATE}
    optimizers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    make = optimizers.get(kind, torch.optim.AdamW)
    optimizer, always = make(model.parameters(), **rate), Batches()()
    for _ in range(STEPS):
        x, y = always if kind == "one" else batch()
        y = x if kind == "same" else y
        loss = model(x, y)[1]
        losses.append(loss.item())
        if kind == "anew":
            optimizer = make(model.parameters(), **rate)
        if kind == "late":
            optimizer.step()
        if kind != "accumulate":
            optimizer.zero_grad()
        (-loss if kind == "up" else loss).backward()
        if kind not in ("late", "idle"):
            optimizer.step()
        if kind == "after":
            losses[-1] = model(x, y)[1].item()
    losses = torch.tensor(losses)
    if kind == "mean":
        losses = losses.cumsum(0) / torch.arange(1, STEPS + 1)
    return losses, model.token_embedding.weight.detach()
