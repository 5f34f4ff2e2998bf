"""Wrong answers to notebook 07's exercises: (check, answer, words its hint must hold)."""

import math

import torch

from mygpt_helpers import GPT, BigramLanguageModel


def two_batches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(5, (2, 3, 4), generator=generator) for _ in range(2)]


def right_steps(model, batches):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for x, y in batches:
        optimizer.zero_grad()
        model(x, y)[1].backward()
        optimizer.step()


class TwoTables(BigramLanguageModel):
    """A bigram with a bias, so that it has two parameters."""

    def __init__(self):
        super().__init__(5)
        self.bias = torch.nn.Parameter(torch.zeros(5))

    def forward(self, idx, targets):
        logits = self.token_embedding(idx) + self.bias
        return logits, torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def by_weights(step, batches=2, part=slice(None)):
    models = []
    for run in (
        lambda m, b: [step(m, torch.optim.SGD(m.parameters(), lr=1.0), x, y) for x, y in b],
        right_steps,
    ):
        torch.manual_seed(0)
        models.append(TwoTables())
        run(models[-1], two_batches()[:batches])
    same = [torch.equal(a, b) for a, b in zip(*(m.parameters() for m in models))]
    return all(same[part])


def by_gradient_left(step):  # looks at .grad after two steps instead of at the weights
    torch.manual_seed(0)
    model = BigramLanguageModel(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for x, y in two_batches():
        step(model, optimizer, x, y)
    got = model.token_embedding.weight.grad
    model.zero_grad()
    model(x, y)[1].backward()
    return got is None or torch.allclose(got, model.token_embedding.weight.grad)


def by_gradient_none(step):
    torch.manual_seed(0)
    model = BigramLanguageModel(5)
    step(model, torch.optim.SGD(model.parameters(), lr=1.0), *two_batches()[0])
    return model.token_embedding.weight.grad is None


def by_gradient_before(step):
    model = BigramLanguageModel(5)
    return model.token_embedding.weight.grad.sum() == 0


def rate(
    rise=1,
    begin=0,
    from_zero=False,
    over=0,
    bend=lambda d: (1 + math.cos(math.pi * d)) / 2,
    floor=True,
    full=False,
    last_rise=0,
):
    def learning_rate(step, steps, warmup, high, low):
        if step < warmup + last_rise and rise is not None:
            return high * (step + rise) / warmup
        done = step / steps if from_zero else (step - warmup) / (steps + over * warmup)
        base = low if floor else 0.0
        return base + (high if full else high - base) * bend(done)

    return learning_rate


def flops(times=3, attention=lambda T, nh: 4 * T, head=2, mlp=16, qkv=6, proj=2, layers=None):
    def flops_per_token(config):
        C, T = config.n_embd, config.block_size
        block = (qkv + proj + mlp) * C**2 + attention(T, config.n_head) * C
        return times * ((layers or config.n_layer) * block + head * config.vocab_size * C)

    return flops_per_token


ALL = {"weights", "optimizer", "step", "batches", "dropout"}

CASES = [
    ("own_gradient", lambda step: True, "for every step"),
    ("own_gradient", lambda step: False, "for every step"),
    ("own_gradient", lambda step: by_weights(step, batches=1), "two in a row"),
    ("own_gradient", lambda step: not by_weights(step), "wrong way round"),
    ("own_gradient", by_gradient_left, "never moves the weights"),
    ("own_gradient", by_gradient_none, "was called wrong"),
    ("own_gradient", lambda step: by_weights(step, part=slice(1)), "every parameter"),
    ("own_gradient", lambda step: "yes", "True or False"),
    ("own_gradient", by_gradient_before, ".grad is None until"),
    ("own_gradient", lambda step: by_weights(step, part=slice(1, None)), "every parameter"),
    ("learning_rate", rate(rise=0, over=-1), "does nothing"),
    ("learning_rate", rate(rise=None, from_zero=True), "no warm-up"),
    ("learning_rate", rate(from_zero=True), "began at step 0"),
    ("learning_rate", rate(over=0), "does not reach low"),
    ("learning_rate", rate(over=-2), "low too early"),
    ("learning_rate", rate(over=-1.1), "one step too early"),
    ("learning_rate", rate(over=-1, floor=False), "down to 0"),
    ("learning_rate", rate(over=-1, last_rise=1), "belongs to the cosine"),
    ("learning_rate", rate(over=-1, full=True), "above high"),
    ("learning_rate", rate(over=-1, bend=lambda d: 1 - d), "straight line down"),
    ("learning_rate", rate(over=-1, bend=lambda d: (1 - math.cos(math.pi * d)) / 2), "rises after"),
    ("learning_rate", rate(over=-1, bend=lambda d: (1 + math.cos(2 * math.pi * d)) / 2), "2π"),
    ("learning_rate", rate(over=-1, bend=lambda d: math.cos(math.pi * d)), "halve 1 + cos"),
    ("learning_rate", rate(over=-1, bend=lambda d: (1 + math.cos(d)) / 2), "without π"),
    ("learning_rate", rate(over=-1, bend=lambda d: 1.0), "stays at high"),
    ("learning_rate", lambda step, *others: torch.arange(step), "one number"),
    (
        "learning_rate",
        lambda step, steps, warmup, high, low: rate(over=-1)(step, 50, 10, 0.8, 0.1),
        "for no others",
    ),
    ("learning_rate", lambda step, steps, warmup, high, low: high * 0.99**step, "is wanted"),
    ("needed_to_resume", {"weights"}, "'optimizer' is missing"),
    ("needed_to_resume", {"weights", "optimizer"}, "'step' is missing"),
    ("needed_to_resume", ALL - {"batches"}, "a second time"),
    ("needed_to_resume", ALL - {"dropout"}, "global generator"),
    ("needed_to_resume", ALL | {"gradients"}, "zero_grad clears"),
    ("needed_to_resume", ALL | {"time"}, "clock"),
    ("needed_to_resume", ALL | {"seed"}, "'seed' is none of"),
    ("needed_to_resume", "weights", "'optimizer' is missing"),
    ("needed_to_resume", 5, "a set of words"),
    ("flops_per_token", flops(times=1), "forward pass alone"),
    ("flops_per_token", flops(times=2), "three times in all"),
    ("flops_per_token", flops(times=1.5), "twice as many"),
    ("flops_per_token", flops(times=0.5), "six times as many"),
    ("flops_per_token", flops(attention=lambda T, nh: 0), "2 T C each"),
    ("flops_per_token", flops(attention=lambda T, nh: 2 * T), "one was counted"),
    ("flops_per_token", flops(attention=lambda T, nh: 4 * T * nh), "n_head times"),
    ("flops_per_token", flops(attention=lambda T, nh: 4 * T / nh), "one head's size"),
    ("flops_per_token", flops(attention=lambda T, nh: 4 * T * T), "T squared"),
    ("flops_per_token", flops(head=0), "output head is missing"),
    ("flops_per_token", flops(head=4), "looked up"),
    ("flops_per_token", flops(layers=1), "one block"),
    ("flops_per_token", flops(proj=0), "output projection"),
    ("flops_per_token", flops(qkv=2), "three matrices"),
    ("flops_per_token", flops(mlp=8), "C × 4C"),
    ("flops_per_token", lambda config: 6 * GPT(config).num_parameters(), "6 × the parameters"),
    ("flops_per_token", lambda config: flops()(config) * config.block_size, "divide by T"),
    ("flops_per_token", lambda config: "many", "a number is wanted"),
    ("flops_per_token", lambda config: 7, "too few"),
]
