"""Functions of tokens, (B, T, C) to (B, T, C), on which a reader's test for causality is tried.

CAUSAL and LEAKY map what a function is called in a hint to the function. `why_missed` says what may
be wrong with a test that finds no leak in some of LEAKY. The checks of notebook 02 use all this.
"""

import torch


def mean_of_past(x):
    past = torch.ones(x.size(1), x.size(1)).tril()
    return past / past.sum(dim=1, keepdim=True) @ x


def attend(x, mask_first=True):
    scores, past = x @ x.mT, torch.ones(x.size(1), x.size(1)).tril()
    if mask_first:
        return scores.masked_fill(past == 0, -torch.inf).softmax(-1) @ x
    return (scores.softmax(-1) * past) @ x


def leak(x, to, source, size=1.0, entries=slice(None)):
    """The mean of the past, and at `to` a little of token `source`."""
    out = mean_of_past(x)
    if max(to, source) < x.size(1):
        out[:, to, entries] += size * x[:, source, entries]
    return out


def far_out(x):
    """Positive where an entry of the last token is beyond 4, on either side: (B, 1, C)."""
    return (x[:, -1:].abs() - 4).relu()


CAUSAL = {
    "the mean of the past": mean_of_past,
    "causal attention": attend,
    "a function of each token alone": lambda x: x.square(),
}
LOWERS, RAISES = "a leak that only lowers outputs", "a leak that only raises outputs"
CENTRED, SMALL = "a leak from x - x.mean(-1, keepdim=True)", "a leak of one in a thousand"
STEP, ABOVE = "a leak by a step", "a leak that sets in above 3"
RARE = {STEP, ABOVE, LOWERS, RAISES}  # only a large entry shows them
LEAKY = {
    "attention without a mask": lambda x: (x @ x.mT).softmax(-1) @ x,
    "attention masked after softmax": lambda x: attend(x, mask_first=False),
    "a function whose first output sees the last token": lambda x: leak(x, 0, x.size(1) - 1),
    "a function that lets only token 2 see token 3": lambda x: leak(x, 2, 3),
    "a function that lets only token 4 see token 5": lambda x: leak(x, 4, 5),
    "a function that lets only token 0 see token 1": lambda x: leak(x, 0, 1),
    "a leak in one of three entries": lambda x: leak(x, 1, 4, entries=slice(2, 3)),
    SMALL: lambda x: leak(x, 1, 3, size=1e-3),
    "a leak in the second text alone": lambda x: torch.cat([x[:1].cumsum(1), x[1:].flip(1)]),
    CENTRED: lambda x: (x - x.mean(-1, keepdim=True)).flip(1),
    STEP: lambda x: x.cumsum(1) + (x[:, -1:, :1] > 2.5).float(),
    ABOVE: lambda x: x.cumsum(1) + (x[:, -1:] - 3).relu(),
    LOWERS: lambda x: mean_of_past(x) - far_out(x),
    RAISES: lambda x: mean_of_past(x) + far_out(x),
}


def piled_up(changes):
    """Were several tokens changed at once, and not all from one on?"""
    tokens = [change.any(-1).any(0).nonzero().flatten().tolist() for change in changes]
    return any(len(at) > 1 and change.size(1) - 1 not in at for at, change in zip(tokens, changes))


def why_missed(missed, moved, tries, shortened):
    """The likeliest reason why these leaks were not found.

    moved: all changes of x that were tried; tries: how many of them on a function that is causal;
    shortened: whether texts of another length were tried instead.
    """
    if not moved and shortened:
        return "cutting the text off is no test of it: keep its length, and change tokens of it"
    if missed <= RARE and not moved:
        return "a derivative sees no step: change tokens, and compare the outputs"
    if tries == 1:
        return (
            "it looks at one change and stops. Is `return True` inside the loop? Change every "
            "token in turn, and return True after the last"
        )
    alike = all(torch.allclose(c, c[..., :1].expand_as(c), atol=1e-5) for c in moved)
    if SMALL in missed and missed <= RARE | {CENTRED, SMALL}:
        return "a small leak is a leak: call two outputs different from a gap of 1e-5 on"
    if missed <= RARE | {CENTRED} and alike and moved:
        return "it does not move when all entries move alike: a new random number for each entry"
    if missed <= RARE and all((change >= 0).all() for change in moved):
        return (
            "you only add positive numbers: take both signs, several times larger: 3 * torch.randn"
        )
    if missed <= RARE:
        return (
            "it leaks only where an entry of the later token is large. One change, or small ones, "
            "can miss it: add random numbers some twenty times, several times as large as x"
        )
    if missed <= RARE | {CENTRED}:
        return "the differences of its outputs cancel in a sum or mean: look at the largest .abs()"
    return (
        "change every token in turn, in all its entries and in every text, of the batch as it is "
        "given, and compare all outputs before it"
    )
