"""The n-gram model: how far counting goes. Notebook 01 explains it; later notebooks compete with it.

Written to be read, not to be fast: Python's dictionaries, a few seconds for TinyShakespeare.
"""

import copy
from collections import defaultdict

import torch


class NGram:
    """Predicts a token from the n - 1 tokens before it, by counting what followed them.

    Interpolated Witten-Bell smoothing (Witten and Bell, "The zero-frequency problem", 1991): each
    context shares its vote with the context that is one token shorter, down to the uniform guess.

        model = NGram(5).fit(train_data, tokenizer.vocab_size)
        losses = model.losses(val_data)
        loss, error = mean_and_error(losses, torch.ones_like(losses))
    """

    def __init__(self, n):
        if type(n) is not int or n < 1:
            raise ValueError(f"n is {n!r}: it must be an int of at least 1")
        self.n = n

    def fit(self, ids, vocab_size):
        """Count in `ids` (N,) what follows each context of 0 to n - 1 tokens. Returns the model."""
        self.vocab_size = vocab_size
        self.counts = defaultdict(lambda: defaultdict(int))  # context, a tuple -> {token: count}
        ids = torch.as_tensor(ids).tolist()
        for t, token in enumerate(ids):
            for start in range(max(0, t - self.n + 1), t + 1):
                self.counts[tuple(ids[start:t])][token] += 1
        return self

    def shorter(self, n):
        """The n-gram model of a smaller n, on the same counts: a model contains all shorter ones."""
        if not 1 <= n <= self.n:
            raise ValueError(f"n is {n}: this model has counted for n from 1 to {self.n}")
        model = copy.copy(self)  # shallow: the same counts, and whatever else a subclass has set
        model.n = n
        return model

    def probability(self, token, context):
        """The probability of `token` after `context`, a sequence of ids of any length."""
        token, context = int(token), tuple(map(int, context))  # a tensor finds nothing in a dict
        p = 1 / self.vocab_size
        for start in range(len(context), max(0, len(context) - self.n + 1) - 1, -1):
            followers = self.counts.get(context[start:])
            if followers is None:  # never met, and then no longer one was met either
                break
            met, kinds = sum(followers.values()), len(followers)
            p = (followers.get(token, 0) + kinds * p) / (met + kinds)
        return p

    def probabilities(self, context):
        """The probability of every token after `context`: (V,), summing to 1."""
        return torch.tensor([self.probability(i, context) for i in range(self.vocab_size)])

    def losses(self, ids, window=None):
        """-ln p of each token of `ids` (N,) but the first, in nats: (N - 1,).

        With `window`, the context starts anew every `window` tokens, as it does in `evaluate`: then
        `losses.split(window)` are the windows of `evaluate(..., window, reduction="none")`.
        """
        ids = torch.as_tensor(ids).tolist()
        starts = [0 if window is None else (t - 1) // window * window for t in range(1, len(ids))]
        firsts = [max(start, t - self.n + 1) for t, start in enumerate(starts, start=1)]
        p = [self.probability(ids[t], ids[first:t]) for t, first in enumerate(firsts, start=1)]
        return -torch.tensor(p, dtype=torch.float64).log()

    def generate(self, idx, max_new_tokens, generator=None):
        """Continue idx (B, T) by max_new_tokens sampled tokens: (B, T + max_new_tokens)."""
        for _ in range(max_new_tokens):
            probs = torch.stack([self.probabilities(row) for row in idx.tolist()])  # (B, V)
            idx = torch.cat([idx, torch.multinomial(probs, 1, generator=generator)], dim=1)
        return idx

    @property
    def stored(self):
        """How many counts the model keeps: pairs of a context and a token that followed it."""
        return sum(len(seen) for context, seen in self.counts.items() if len(context) < self.n)
