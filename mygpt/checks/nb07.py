"""Checks of notebook 07's exercises."""

import math

import torch

from mygpt.checks import Wrong, call, compare, compare_number, exercise, same, truth
from mygpt_helpers import GPTConfig


@exercise
def own_gradient(answer):
    def fresh_before(model, optimizer, x, y):
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def fresh_after(model, optimizer, x, y):
        model(x, y)[1].backward()
        optimizer.step()
        optimizer.zero_grad()

    def set_to_zero(model, optimizer, x, y):
        model.zero_grad(set_to_none=False)
        model(x, y)[1].backward()
        optimizer.step()

    def never(model, optimizer, x, y):
        model(x, y)[1].backward()
        optimizer.step()

    def too_late(model, optimizer, x, y):
        model(x, y)[1].backward()
        optimizer.zero_grad()
        optimizer.step()

    def all_but(share):
        """A step that clears all gradients but that of the parameter at this share of their list."""

        def step(model, optimizer, x, y):
            parameters = list(model.parameters())
            kept = parameters[round(share * (len(parameters) - 1))]
            for parameter in parameters:
                parameter.grad = parameter.grad if parameter is kept else None
            model(x, y)[1].backward()
            optimizer.step()

        return step

    forgets_one = (
        "a step that clears all gradients but one was called right: look at every parameter"
    )

    cases = (
        (
            fresh_before,
            True,
            "a right step was called wrong, one that calls zero_grad just before backward",
        ),
        (
            never,
            False,
            "a step that never calls zero_grad was called right: in the first step there is nothing to add to, so "
            "look at two in a row, with different batches",
        ),
        (
            fresh_after,
            True,
            "a right step was called wrong, one that calls zero_grad at its end: that serves the next step as well",
        ),
        (set_to_zero, True, "a right step was called wrong: zeros in .grad are as good as None"),
        (
            too_late,
            False,
            "a step that calls zero_grad after backward was called right: it never moves the weights",
        ),
        *((all_but(share), False, forgets_one) for share in (0, 0.5, 1)),
    )
    none = {
        "NoneType": "a parameter's .grad is None until the first backward, and again after zero_grad"
    }
    with torch.enable_grad():  # notebook 08 switches gradients off
        got = [(call(answer, step, explain=none), right, hint) for step, right, hint in cases]
    results = [truth(result) for result, _, _ in got]
    if len(set(results)) == 1:
        raise Wrong(
            f"{results[0]} for every step: three of the eight tried here are right, five wrong"
        )
    if results == [not right for _, right, _ in got]:
        raise Wrong("the wrong way round: True for a step that uses its own batch's gradient alone")
    for result, (_, right, hint) in zip(results, got):
        if result != right:
            raise Wrong(hint)
    return "three right steps passed, five wrong ones did not"


@exercise
def learning_rate(answer):
    steps, warmup, high, low = 50, 10, 0.8, 0.1

    def curve(
        rise=lambda s: (s + 1) / warmup * high,
        start=warmup,
        end=steps,
        bend=lambda d: (1 + math.cos(math.pi * d)) / 2,
        low=low,
        reach=high - low,
        begin=warmup,
    ):
        return torch.tensor(
            [
                rise(s) if s < begin else low + reach * bend((s - start) / (end - start))
                for s in range(steps)
            ]
        )

    got = [call(answer, s, steps, warmup, high, low) for s in range(steps)]
    try:
        got = torch.stack([torch.as_tensor(rate, dtype=torch.float32).reshape(()) for rate in got])
    except Exception:
        raise Wrong("return one number, the learning rate of this step") from None
    compare(
        got,
        curve(),
        {
            "step 0 has a learning rate of 0, so it does nothing: take (step + 1) / warmup": curve(
                lambda s: s / warmup * high
            ),
            "the warm-up starts at low: it starts near 0": curve(
                lambda s: low + (s + 1) / warmup * (high - low)
            ),
            "the warm-up starts at low, and below the first step: it is (step + 1) / warmup of high": curve(
                lambda s: low + s / warmup * (high - low)
            ),
            "there is no warm-up: the first `warmup` steps rise to high": curve(start=0, begin=0),
            "no warm-up, though the cosine waits for it: the first `warmup` steps rise to high": curve(
                lambda s: high
            ),
            "the cosine began at step 0: it begins when the warm-up is over, so count step - warmup of steps - warmup": curve(
                start=0
            ),
            "the cosine reaches low too early: divide step - warmup by steps - warmup": curve(
                end=steps - warmup
            ),
            "the cosine reaches low one step too early: d is 1 in step `steps`, just after the last": curve(
                end=steps - 1
            ),
            "the cosine does not reach low: divide step - warmup by steps - warmup, not by steps": curve(
                end=steps + warmup
            ),
            "step `warmup` belongs to the cosine: its rate is high, not more": curve(
                begin=warmup + 1
            ),
            "it goes down to 0: it must end at low": curve(low=0.0, reach=high),
            "after the warm-up it jumps above high: the part that sinks is high - low": curve(
                reach=high
            ),
            "a straight line down: half a cosine is wanted": curve(bend=lambda d: 1 - d),
            "it rises after the warm-up: (1 + cos) / 2 goes from 1 to 0, (1 - cos) / 2 the other way": curve(
                bend=lambda d: (1 - math.cos(math.pi * d)) / 2
            ),
            "a whole cosine, down and up again: half of one is wanted, so π and not 2π": curve(
                bend=lambda d: (1 + math.cos(2 * math.pi * d)) / 2
            ),
            "the cosine without π: from 0 to 1 it hardly bends": curve(
                bend=lambda d: (1 + math.cos(d)) / 2
            ),
            "cos goes down to -1, so the rate goes below low: halve 1 + cos": curve(
                bend=lambda d: math.cos(math.pi * d)
            ),
            "1 + cos is 2 at first: halve it": curve(bend=lambda d: 1 + math.cos(math.pi * d)),
            "it stays at high after the warm-up: bring it down to low": curve(bend=lambda d: 1.0),
            "the whole is multiplied by (step + 1) / steps: the warm-up takes `warmup` steps": torch.arange(
                1, steps + 1
            )
            / steps
            * high,
        },
        "a straight line to high in `warmup` steps, then low + (high - low) (1 + cos(π d)) / 2 with d from 0 to 1 is wanted",
        "the curve over 50 steps",
    )
    other = [
        0.5 * (s + 1) / 4 if s < 4 else 0.2 + 0.3 * (1 + math.cos(math.pi * (s - 4) / 26)) / 2
        for s in range(30)
    ]
    if not same([float(call(answer, s, 30, 4, 0.5, 0.2)) for s in range(30)], other):
        raise Wrong(
            "right for 50 steps, 10 of them warm-up, and for no others: use the arguments, no numbers of your own"
        )
    return "up in a straight line, down in half a cosine"


@exercise
def needed_to_resume(answer):
    answer = call(answer) if callable(answer) or answer is ... else answer
    try:
        parts = {answer} if isinstance(answer, str) else set(answer)
    except TypeError:
        raise Wrong(
            f'it is a {type(answer).__name__}: a set of words is wanted, such as {{"weights", "time"}}'
        ) from None
    missing = {  # in the order in which they hurt
        "weights": "without the weights nothing that was learned is there",
        "optimizer": "AdamW remembers averages of the gradients: without them its first steps go elsewhere",
        "step": "the schedule goes by the number of the step: without it the warm-up begins again",
        "batches": "without the state of the batch generator the first batches come a second time",
        "dropout": "dropout draws from the global generator: without its state other entries are dropped",
    }
    extra = {
        "gradients": "zero_grad clears them before the next batch's are added",
        "logits": "they are computed anew from each batch",
        "time": "no number in the weights depends on the clock",
    }
    unknown = [part for part in parts if part not in missing and part not in extra]
    if unknown:
        raise Wrong(f"{unknown[0]!r} is none of {', '.join(sorted({**missing, **extra}))}")
    for part, reason in missing.items():
        if part not in parts:
            raise Wrong(f"{part!r} is missing: {reason}")
    for part, reason in extra.items():
        if part in parts:
            raise Wrong(f"{part!r} need not be kept: {reason}")
    return "five parts, and each has a memory"


@exercise
def flops_per_token(answer):
    for config in (
        GPTConfig(vocab_size=11, block_size=8, n_layer=3, n_head=5, n_embd=20),
        GPTConfig(vocab_size=13, block_size=33, n_layer=2, n_head=3, n_embd=12),
    ):
        V, T, L, C = config.vocab_size, config.block_size, config.n_layer, config.n_embd

        def total(qkv=6, proj=2, mlp=16, attention=4 * T, head=2 * V * C, times=3, layers=L):
            return times * (layers * ((qkv + proj + mlp) * C**2 + attention * C) + head)

        got = call(answer, config)
        n = V * C + T * C + L * (12 * C**2 + 2 * C) + C
        mistakes = {
            "this is the forward pass alone: the backward pass costs twice as much again": total(
                times=1
            ),
            "the backward pass costs twice the forward pass, so three times in all, not twice": total(
                times=2
            ),
            "multiplications alone were counted: each comes with an addition, so twice as many": total()
            / 2,
            "forward pass alone, multiplications alone: six times as many": total() / 6,
            "the attention's two products over T are missing: 2 T C each": total(attention=0),
            "attention has two products over T, scores and the weighted sum, both in full: one was counted, or half of each": total(
                attention=2 * T
            ),
            "over T each product is 2 T C per token and layer, over all heads; there are two of them": total(
                attention=8 * T
            ),
            "the heads were counted n_head times: together they are C wide": total(
                attention=4 * T * config.n_head
            ),
            "one head's size was taken for C in the attention's products: all heads together are C wide": total(
                attention=4 * T / config.n_head
            ),
            "T squared is for all T tokens of a window: for one token it is T": total(
                attention=4 * T * T
            ),
            "the output head is missing: C × V": total(head=0),
            "one block was counted: there are n_layer": total(layers=1),
            "attention's output projection is missing": total(proj=0),
            "queries, keys and values are three matrices of C × C": total(qkv=2),
            "the feed-forward layer has two matrices of C × 4C": total(mlp=8),
            "this is 6 × the parameters: an estimate for large models; it counts the position embedding, which is only added, and "
            "leaves out the attention's products": 6 * n,
            "2 × the parameters: an estimate of the forward pass alone": 2 * n,
            "this is for a whole window: divide by T": total() * T,
            "the token embedding is looked up, not multiplied: it costs nothing on the way in": total(
                head=4 * V * C
            ),
        }
        compare_number(got, total(), mistakes, f"FLOPs per token of {config}")
    return "as torch counts them"
