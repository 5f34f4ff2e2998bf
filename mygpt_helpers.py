"""The whole model on a few pages: tokenizer, batches, model, sampling, evaluation.

Shapes are written in the course's letters: B batch, T time (tokens in the context), C = n_embd,
hs = head_size, nh = n_head, V = vocab_size. Losses are in nats per token.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

# ----------------------------------------------------------------------------- tokenizer


class CharTokenizer:
    """One id per character, in the order of `chars`.

    Raises ValueError for an empty or repeating `chars`, and, in `encode` and `decode`, for a
    character or an id outside the vocabulary.
    """

    def __init__(self, chars):
        self.chars = "".join(chars)
        if not self.chars:
            raise ValueError("the vocabulary is empty: give at least one character")
        if len(set(self.chars)) != len(self.chars):
            twice = next(c for c in self.chars if self.chars.count(c) > 1)
            raise ValueError(
                f"{twice!r} stands twice in the vocabulary: use CharTokenizer.from_text"
            )
        self._id = {char: i for i, char in enumerate(self.chars)}

    @classmethod
    def from_text(cls, text):
        """The vocabulary of `text`: its distinct characters, sorted."""
        return cls(sorted(set(text)))

    @property
    def vocab_size(self):
        return len(self.chars)

    def encode(self, text):
        """str -> list of ids."""
        try:
            return [self._id[char] for char in text]
        except KeyError as error:
            char = error.args[0]
            raise ValueError(
                f"{char!r} (position {text.index(char)}) is not among the {self.vocab_size} characters "
                f"of this vocabulary: leave it out, or build the tokenizer from a text that has it"
            ) from None

    def decode(self, ids):
        """A sequence or one-dimensional tensor of ids -> str."""
        ids = [int(i) for i in ids]
        if ids and not (min(ids) >= 0 and max(ids) < self.vocab_size):
            wrong = next(i for i in ids if not 0 <= i < self.vocab_size)
            raise ValueError(
                f"id {wrong} is outside the vocabulary: ids run from 0 to {self.vocab_size - 1}"
            )
        return "".join(self.chars[i] for i in ids)

    def to_dict(self):
        """What a checkpoint keeps of the tokenizer; `from_dict` makes it again."""
        return {"kind": "characters", "chars": self.chars}

    @classmethod
    def from_dict(cls, saved):
        return cls(saved["chars"])


def encode_text(tokenizer, text):
    """The ids of `text` as one tensor (N,), of the smallest type that holds the vocabulary."""
    ids = tokenizer.encode(text)
    small = (torch.uint8, 256), (torch.int16, 2**15), (torch.int32, 2**31)
    return torch.tensor(ids, dtype=next(t for t, size in small if tokenizer.vocab_size <= size))


# ----------------------------------------------------------------------------- batches


def split(data, validation=0.1):
    """Cut `data` once: the first part to train on, the last share `validation` to measure on.

    Made before any windows are drawn, so that no character stands in both parts.
    """
    n_train = int((1 - validation) * len(data))
    return data[:n_train], data[n_train:]


def get_batch(data, block_size, batch_size, generator=None, device="cpu"):
    """Random windows of `data` and the same windows one token later.

    data: (N,) integer ids. Returns x and y, both (batch_size, block_size) int64 on `device`, with
    y[b, t] the token that follows x[b, t]. Every window is equally likely, the last one ends on the
    last token. Raises ValueError when `data` is shorter than one window and its target.
    """
    if len(data) < block_size + 1:
        raise ValueError(
            f"{len(data)} tokens are too few: block_size {block_size} needs at least {block_size + 1} "
            f"(a window and one target more)"
        )
    draw_on = data.device if generator is None else generator.device
    # randint leaves out its upper end, so the last start is N - block_size - 1
    starts = torch.randint(
        len(data) - block_size, (batch_size, 1), generator=generator, device=draw_on
    )
    positions = starts + torch.arange(block_size + 1, device=draw_on)  # (B, 1) + (T+1,) -> (B, T+1)
    window = data[positions.to(data.device)].to(device, torch.long)  # (B, T+1)
    return window[:, :-1], window[:, 1:]  # (B, T), (B, T)


# ----------------------------------------------------------------------------- model


def cross_entropy(logits, targets):
    """Mean nats per token of logits (B, T, V) against targets (B, T). A scalar."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B*T, V), (B*T,)


class BigramLanguageModel(nn.Module):
    """Row i of one V x V table holds the logits of what follows token i."""

    def __init__(self, vocab_size):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, vocab_size)

    def forward(self, idx, targets=None):
        """idx, targets: (B, T) ids. Returns logits (B, T, V) and the loss (None without targets)."""
        logits = self.token_embedding(idx)  # (B, T) -> (B, T, V)
        loss = None if targets is None else cross_entropy(logits, targets)
        return logits, loss

    @torch.no_grad()
    def generate(self, idx, max_new_tokens, generator=None):
        """Continue idx (B, T) by max_new_tokens sampled tokens: (B, T + max_new_tokens)."""
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -1:])  # only the last token matters: (B, 1, V)
            probs = F.softmax(logits[:, -1], dim=-1)  # (B, V)
            next_id = torch.multinomial(probs, 1, generator=generator)  # (B, 1)
            idx = torch.cat([idx, next_id], dim=1)
        return idx


def plain_numbers(config):
    """Make numpy's numbers in a configuration Python's: torch.load would refuse a checkpoint that holds them."""
    for name, value in list(vars(config).items()):
        if hasattr(value, "item"):
            object.__setattr__(config, name, value.item())  # past the lock of a frozen one


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT. The defaults are the course's full configuration."""

    vocab_size: int = 65
    block_size: int = 256  # the longest context, in tokens
    n_layer: int = 6
    n_head: int = 6
    n_embd: int = 384  # C: entries in a token's vector
    dropout: float = 0.2
    bias: bool = False  # True gives GPT-2's biases in Linear and LayerNorm

    def __post_init__(self):
        plain_numbers(self)
        for name in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}: it must be an int of at least 1")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_embd {self.n_embd} is not divisible by n_head {self.n_head}: "
                f"each head takes n_embd / n_head entries"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: it must be at least 0 and below 1")

    @property
    def head_size(self):
        return self.n_embd // self.n_head


class Head(nn.Module):
    """One head of causal self-attention, written plainly: the reference for MultiHeadAttention.

    softmax(q k^T / sqrt(head_size)) v, "Attention Is All You Need" (Vaswani et al. 2017), equation 1.
    """

    def __init__(self, config):
        super().__init__()
        self.key = nn.Linear(config.n_embd, config.head_size, bias=False)
        self.query = nn.Linear(config.n_embd, config.head_size, bias=False)
        self.value = nn.Linear(config.n_embd, config.head_size, bias=False)
        past = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        self.register_buffer(
            "past", past, persistent=False
        )  # moves with .to(), is neither trained nor saved

    def weights(self, x):
        """x (B, T, C) -> attention weights (B, T, T), each row a distribution over the past."""
        T = x.size(1)
        q, k = self.query(x), self.key(x)  # (B, T, hs) each
        scores = q @ k.transpose(-2, -1) * k.size(-1) ** -0.5  # (B, T, T)
        scores = scores.masked_fill(~self.past[:T, :T], float("-inf"))
        return F.softmax(scores, dim=-1)  # over the keys

    def forward(self, x):
        """x (B, T, C) -> (B, T, hs)."""
        return self.weights(x) @ self.value(x)  # (B, T, T) @ (B, T, hs)


class Linear(nn.Linear):
    """nn.Linear, with a shorter way for one vector at a time on a CPU: what generation does all day.

    One vector times a matrix is little arithmetic and much reading, and the usual call reads at a
    fraction of the memory's speed on some CPUs. As a batch of two, the halves of the matrix times a
    column, the same product came near that speed; the sums differ in the last digits only.
    """

    def forward(self, x):
        """x (..., in_features) -> (..., out_features)."""
        one = x.numel() == self.in_features and x.is_cpu and x.dtype == torch.float32
        if not one or torch.is_grad_enabled() or self.out_features % 2:
            return super().forward(x)
        halves = self.weight.view(2, -1, self.in_features)  # (2, out/2, in)
        columns = x.view(1, -1).t().expand(2, -1, -1)  # (1, in) -> (2, in, 1), nothing copied
        out = torch.bmm(halves, columns).view(*x.shape[:-1], -1)  # (2, out/2, 1) -> (..., out)
        return out if self.bias is None else out + self.bias


class MultiHeadAttention(nn.Module):
    """n_head causal heads side by side in one matrix product, then the output projection."""

    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.qkv = Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.proj = Linear(config.n_embd, config.n_embd, bias=config.bias)

    def split(self, x):
        """x (B, T, C) -> q, k, v, each (B, nh, T, hs)."""
        B, T, C = x.shape
        q, k, v = self.qkv(x).split(C, dim=-1)  # (B, T, 3C) -> three of (B, T, C)
        # heads lie side by side in C: give them an axis of their own first, then move it
        return [
            part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for part in (q, k, v)
        ]

    def forward(self, x, cache=None):
        """x (B, T, C) -> (B, T, C). With a KVCache, x follows the tokens that the cache holds."""
        q, k, v = self.split(x)
        past, mask = 0, None
        if cache is not None:
            past = cache.length
            k, v = cache.append(k, v)  # (B, nh, T, hs) -> (B, nh, past + T, hs)
        if past and x.size(1) > 1:  # is_causal would line up the first query with the first key
            mask = torch.ones(x.size(1), k.size(2), dtype=torch.bool, device=x.device).tril(past)
        dropout = self.dropout if self.training else 0.0
        # a single query after a past sees all of it: neither mask nor is_causal
        out = F.scaled_dot_product_attention(
            q, k, v, mask, dropout, is_causal=past == 0
        )  # (B, nh, T, hs)
        out = out.transpose(1, 2).flatten(2)  # (B, T, nh, hs) -> (B, T, C)
        return F.dropout(self.proj(out), self.dropout, self.training)

    def weights(self, x):
        """x (B, T, C) -> the attention weights (B, nh, T, T) that `forward` uses, without dropout."""
        q, k, _ = self.split(x)
        scores = q @ k.transpose(-2, -1) * q.size(-1) ** -0.5  # (B, nh, T, T)
        future = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).triu(1)
        return F.softmax(scores.masked_fill(future, float("-inf")), dim=-1)


class KVCache:
    """The keys and values of one attention layer, for the tokens it has read: computed once, then kept.

    Memory for block_size tokens is taken at the start: 2 B block_size C numbers a layer. The cache is
    exact as long as no token changes its position, that is up to block_size; then start again.
    """

    def __init__(self, config, batch_size, like):
        """`like`: a tensor on the device and with the dtype that the keys will have."""
        shape = (batch_size, config.n_head, config.block_size, config.head_size)
        self.k, self.v = like.new_empty(shape), like.new_empty(shape)
        self.length = 0  # tokens held

    def append(self, k, v):
        """k, v (B, nh, T, hs) of the next T tokens -> views of all that is held, (B, nh, length, hs)."""
        start, self.length = self.length, self.length + k.size(2)
        self.k[:, :, start : self.length] = k
        self.v[:, :, start : self.length] = v
        return self.k[:, :, : self.length], self.v[:, :, : self.length]


class FeedForward(nn.Module):
    """Each token alone: widen to 4C, GELU, back to C."""

    def __init__(self, config):
        super().__init__()
        self.fc = Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.proj = Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = config.dropout

    def forward(self, x):
        """x (B, T, C) -> (B, T, C)."""
        x = F.gelu(self.fc(x), approximate="tanh")  # (B, T, 4C), GPT-2's form of GELU
        return F.dropout(self.proj(x), self.dropout, self.training)


class Block(nn.Module):
    """Tokens look at each other, then each thinks alone; both add to what was there (pre-LayerNorm)."""

    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = MultiHeadAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = FeedForward(config)

    def forward(self, x, cache=None):
        """x (B, T, C) -> (B, T, C). `cache`: that of this block's attention."""
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """GPT-2's architecture (Radford et al. 2019): embeddings, blocks, final LayerNorm, tied output head."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.apply(self._init_weights)
        for name, parameter in self.named_parameters():
            if name.endswith("proj.weight"):  # 2 n_layer of them add to the same residual stream
                nn.init.normal_(parameter, std=0.02 / (2 * config.n_layer) ** 0.5)

    @staticmethod
    def _init_weights(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def num_parameters(self):
        """How many numbers training can change."""
        return sum(parameter.numel() for parameter in self.parameters())

    def embed(self, idx, start=0):
        """idx (B, T), at positions start, start + 1, ... -> what enters the first block (B, T, C). Checks idx."""
        end, limit = start + idx.size(1), self.config.block_size
        if end > limit:
            raise ValueError(
                f"{end} tokens are more than block_size {limit}: crop to the last {limit}, idx[:, -{limit}:]"
            )
        try:
            tokens = self.token_embedding(idx)  # (B, T, C)
        except IndexError:
            raise ValueError(_ids_message(idx, self.config.vocab_size)) from None
        positions = self.position_embedding.weight[
            start:end
        ]  # (T, C), the same for every row of the batch
        return F.dropout(tokens + positions, self.config.dropout, self.training)

    def forward(self, idx, targets=None, cache=None):
        """idx, targets: (B, T) ids. Returns logits (B, T, V) and the loss (None without targets).

        `cache`, from `new_cache`, holds the tokens before idx, and then those of idx as well.
        Raises ValueError for more than block_size tokens and, on a CPU, for ids outside the vocabulary.
        """
        x = self.embed(idx, start=cache[0].length if cache else 0)
        for block, layer in zip(self.blocks, cache or [None] * len(self.blocks)):
            x = block(x, layer)
        logits = F.linear(self.ln_f(x), self.token_embedding.weight)  # tied: (B, T, C) @ (C, V)
        loss = None if targets is None else cross_entropy(logits, targets)
        return logits, loss

    def attention_maps(self, idx):
        """idx (B, T) -> every head's attention weights, (n_layer, B, nh, T, T), dropout off."""
        with evaluation_mode(self):
            x, maps = self.embed(idx), []
            for block in self.blocks:
                maps.append(block.attn.weights(block.ln_1(x)))
                x = block(x)
        return torch.stack(maps)

    def new_cache(self, batch_size):
        """An empty cache for `forward`: a list of one KVCache for each block."""
        return [KVCache(self.config, batch_size, self.token_embedding.weight) for _ in self.blocks]

    def generate(
        self,
        idx,
        max_new_tokens,
        temperature=1.0,
        top_k=None,
        top_p=None,
        generator=None,
        use_cache=True,
        stride=None,
    ):
        """Continue idx (B, T) by max_new_tokens sampled tokens: (B, T + max_new_tokens).

        temperature 0 takes the likeliest token; top_k and top_p are explained at `sample`. The prompt
        may be longer than block_size: the model sees its end. Once the window is full it moves on by
        `stride` tokens (1: always the last block_size tokens; default block_size // 2). The cache makes
        it fast and changes nothing else.
        Raises ValueError for an empty prompt, ids outside the vocabulary, or a bad setting.
        """
        steps = self._steps(
            idx, max_new_tokens, temperature, top_k, top_p, generator, use_cache, stride
        )
        with evaluation_mode(self), torch.inference_mode():
            new = list(steps)
        return torch.cat(
            [idx, *new], dim=1
        )  # out here an ordinary tensor, which a loss may be computed on

    def stream(
        self,
        idx,
        max_new_tokens,
        temperature=1.0,
        top_k=None,
        top_p=None,
        generator=None,
        use_cache=True,
        stride=None,
    ):
        """The tokens that `generate` adds, one at a time as they are made: an iterator over (B, 1) ids.

        Bad arguments are refused at once, before the first token is asked for. Between two tokens the
        model is in its own mode again, and gradients are on if they were: nothing is left to tidy up
        when the caller stops early.
        """
        steps = self._steps(
            idx, max_new_tokens, temperature, top_k, top_p, generator, use_cache, stride
        )

        def one_by_one():
            for _ in range(max_new_tokens):
                with evaluation_mode(self), torch.inference_mode():
                    next_id = next(steps)
                yield next_id.clone()  # out here, where both modes are off

        return one_by_one()

    def _steps(self, idx, max_new_tokens, temperature, top_k, top_p, generator, use_cache, stride):
        """Check everything, then return an iterator over the new ids: to be run in evaluation_mode."""
        limit = self.config.block_size
        stride = max(1, limit // 2) if stride is None else stride
        _check_generation(idx, self.config.vocab_size, max_new_tokens, stride, limit)
        check_sampling(temperature, top_k, top_p)

        def steps():  # a function with a yield runs nothing before its first next(): the checks stand outside
            window = unread = idx[
                :, -limit:
            ]  # what the model may see, and what the cache does not hold yet
            cache = self.new_cache(len(idx)) if use_cache else []
            for _ in range(max_new_tokens):
                logits, _ = self(unread, cache=cache)
                next_id = sample(logits[:, -1], temperature, top_k, top_p, generator)  # (B, 1)
                yield next_id
                window = torch.cat([window, next_id], dim=1)
                unread = next_id if use_cache else window
                if (
                    window.size(1) > limit
                ):  # every token changes its position: what was computed is void
                    window = unread = window[:, stride:]
                    for layer in cache:
                        layer.length = 0

        return steps()


def _ids_message(idx, vocab_size):
    return f"ids run from {idx.min()} to {idx.max()}, but must lie between 0 and vocab_size - 1 = {vocab_size - 1}"


def _check_generation(idx, vocab_size, max_new_tokens, stride, block_size):
    if idx.dim() != 2 or len(idx) == 0:
        raise ValueError(
            f"the prompt has shape {tuple(idx.shape)}: it must be (B, T), one row per text"
        )
    if idx.size(1) == 0:
        raise ValueError("the prompt is empty: give at least one token, for example a newline")
    if idx.dtype not in (torch.int32, torch.int64):  # as nn.Embedding wants them
        raise ValueError(f"the prompt's ids are of type {idx.dtype}: give torch.int64, idx.long()")
    if idx.min() < 0 or idx.max() >= vocab_size:
        raise ValueError(_ids_message(idx, vocab_size))
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens is {max_new_tokens}: it must be 0 or more")
    if not 1 <= stride <= block_size:
        raise ValueError(f"stride is {stride}: it must be from 1 to block_size, {block_size}")


# ----------------------------------------------------------------------------- sampling


def check_sampling(temperature=1.0, top_k=None, top_p=None):
    """Raise ValueError, naming the value and what would be right, for a setting `sample` cannot use."""
    if not 0 <= temperature < math.inf:  # catches nan as well
        raise ValueError(f"temperature is {temperature}: it must be 0 (greedy) or more, and finite")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}: it must be at least 1, or None for no limit")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(
            f"top_p is {top_p}: it must be above 0 and at most 1, or None for no limit"
        )


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """Choose one token per row: logits (B, V) -> ids (B, 1).

    temperature divides the logits (0: the likeliest token, nothing is drawn); top_k keeps the k
    likeliest (and ties with the k-th); top_p keeps the smallest set of likeliest tokens whose
    probabilities reach p (nucleus sampling, Holtzman et al. 2020).
    """
    check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    if top_k is not None:
        kth = logits.topk(min(top_k, logits.size(-1))).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < kth, float("-inf"))
    # the largest becomes 0 and the temperature not nearly so, else they could be infinite together
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / max(temperature, 1e-9)
    if top_p is not None:
        ordered, order = logits.sort(descending=True)  # (B, V)
        probs = F.softmax(ordered, dim=-1)
        reached = probs.cumsum(dim=-1) - probs >= top_p  # p was reached before this token
        logits = logits.masked_fill(reached.scatter(-1, order, reached), float("-inf"))
    return torch.multinomial(F.softmax(logits, dim=-1), 1, generator=generator)


# ----------------------------------------------------------------------------- evaluation


@contextmanager
def evaluation_mode(model):
    """Inside: dropout off, no gradients. After: every submodule's own previous mode again."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield model
    finally:
        for module in training:
            module.training = True


def evaluate(model, data, block_size=None, reduction="mean"):
    """Nats per token over ALL of `data`, in consecutive windows, nothing sampled.

    data: (N,) ids; N - 1 tokens are predicted, each once, from at most block_size tokens of context
    (default: the model's). reduction "mean" gives a float, weighted by tokens; "none" gives two
    tensors (number of windows,): the sum of the losses in each window and how many tokens it has.
    Raises ValueError when there is nothing to predict or `reduction` is unknown.
    """
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction is {reduction!r}: it must be 'mean' or 'none'")
    if len(data) < 2:
        raise ValueError(f"{len(data)} tokens are too few: predicting needs at least 2")
    T = block_size or model.config.block_size
    device = next(model.parameters()).device
    whole = (
        (len(data) - 1) // T * T
    )  # tokens in full windows; what is left makes a shorter last one
    xs = [*data[:whole].view(-1, T).split(max(1, 16384 // T)), data[None, whole:-1]]  # each (b, T)
    ys = [*data[1 : whole + 1].view(-1, T).split(max(1, 16384 // T)), data[None, whole + 1 :]]
    sums, counts = [], []
    with evaluation_mode(model):
        for x, y in zip(xs, ys):
            if x.numel() == 0:
                continue
            x, y = x.to(device, torch.long), y.to(device, torch.long)
            logits, _ = model(x)  # (b, T, V)
            losses = F.cross_entropy(
                logits.flatten(0, 1).float(), y.flatten(), reduction="none"
            ).view(y.shape)
            sums.append(losses.cpu().double().sum(dim=1))  # Apple's GPUs have no float64
            counts.append(torch.full((len(x),), x.size(1)))
    sums, counts = torch.cat(sums), torch.cat(counts)
    return (sums, counts) if reduction == "none" else (sums.sum() / counts.sum()).item()


def mean_and_error(sums, counts, stretch=2048):
    """Mean loss and its standard error from what evaluate(..., reduction="none") returns.

    Neighbouring characters are not independent, so windows are first joined into consecutive
    stretches of about `stretch` tokens, and the error is that of a ratio of sums over stretches
    (Cochran, Sampling Techniques, 1977, equation 6.13). For the gain of one model over another pass
    the difference of their sums: what is hard for both then cancels. The windows must be the same.
    """
    group = max(1, stretch // int(counts[0]))
    missing = (
        -len(sums) % group
    )  # windows of zero tokens, so that the last stretch has as many as the others
    sums, counts = (
        F.pad(part.double(), (0, missing)).view(-1, group).sum(dim=1) for part in (sums, counts)
    )
    n, mean = len(sums), (sums.sum() / counts.sum()).item()
    if n < 2:
        raise ValueError(
            f"one stretch of {int(counts.sum())} tokens has no spread: use a shorter `stretch`"
        )
    spread = ((sums - mean * counts) ** 2).sum() / (n - 1)
    return mean, (spread * n).sqrt().item() / counts.sum().item()
