"""The model on a few pages: tokenizer, batches, bigram, evaluation, sampling, GPT.

Read it from top to bottom. Shapes use the course's letters: B batch, T time (tokens in the
context), C = n_embd, hs = head_size, nh = n_head, V = vocab_size. Losses are in nats per token.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real

import torch
from torch import nn
from torch.nn import functional as F

# ----------------------------------------------------------------------------- text, ids, batches


class CharTokenizer:
    """One id per character: its position in `chars`.

    Example: CharTokenizer("abc").encode("cab") -> [2, 0, 1]
    """

    def __init__(self, chars):
        self.chars = "".join(chars)
        if not self.chars or len(set(self.chars)) < len(self.chars):
            raise ValueError("the vocabulary is empty or repeats a character: use from_text(text)")
        self._id = {char: i for i, char in enumerate(self.chars)}

    @classmethod
    def from_text(cls, text):
        """The vocabulary of `text`: its distinct characters, sorted."""
        return cls(sorted(set(text)))

    @property
    def vocab_size(self):
        return len(self.chars)

    def encode(self, text):
        """str -> list of ids. Raises ValueError for a character outside the vocabulary."""
        try:
            return [self._id[char] for char in text]
        except KeyError as error:
            char = error.args[0]
            raise ValueError(
                f"{char!r} (position {text.index(char)}) is not among the {self.vocab_size} "
                f"characters of this vocabulary: remove it, or build a tokenizer from your text"
            ) from None

    def decode(self, ids):
        """list or tensor (N,) of ids -> str. Raises ValueError for an id outside the vocabulary."""
        ids = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        for i in ids:
            if isinstance(i, list):
                raise ValueError("decode takes one text at a time: decode(ids[0]), not decode(ids)")
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"id {i} is outside the vocabulary, 0 to {self.vocab_size - 1}")
        return "".join(self.chars[i] for i in ids)

    def to_dict(self):
        """What a checkpoint keeps of the tokenizer; `from_dict` makes it again."""
        return {"kind": "characters", "chars": self.chars}

    @classmethod
    def from_dict(cls, saved):
        return cls(saved["chars"])


def encode_text(tokenizer, text):
    """The ids of `text`: a tensor (N,) of the smallest integer type that holds the vocabulary.

    Example: encode_text(CharTokenizer("abc"), "cab") -> tensor([2, 0, 1], dtype=torch.uint8)
    """
    V = tokenizer.vocab_size
    dtype = torch.uint8 if V <= 2**8 else torch.int16 if V <= 2**15 else torch.int32
    return torch.tensor(tokenizer.encode(text), dtype=dtype)


def split(data, validation=0.1):
    """Cut `data` once: the first part is for training, the last share `validation` for measuring.

    The cut comes before any windows are drawn, so that no character is in both parts. The second
    part is rounded up. A share of 0 or 1 leaves one part empty; outside 0 to 1 raises ValueError.
    Example: split(range(10)) -> (range(0, 9), range(9, 10))
    """
    if not (isinstance(validation, Real) and 0 <= validation <= 1):
        raise ValueError(f"validation is {validation!r}: it must be a share, from 0 to 1")
    share = Fraction(float(validation)).limit_denominator(10**9)  # 1/10; the float 0.1 is more
    n_train = len(data) - math.ceil(share * len(data))
    return data[:n_train], data[n_train:]


def whole_number(name, value, least=1, most=math.inf):
    """`value`, which may be numpy's, as an int. ValueError unless it is from `least` to `most`."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and least <= value <= most):
        limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} is {value!r}: it must be an int {limits}")
    return int(value)


def check_ids(name, ids, dims):
    """Raise ValueError unless `ids` is a tensor of whole numbers: (N,) for dims 1, (B, T) for 2."""
    got = f"of type {type(ids).__name__}"
    if isinstance(ids, torch.Tensor):
        if ids.dim() == dims and not ids.is_floating_point():
            return
        got = f"{ids.dtype} of shape {tuple(ids.shape)}"
    wanted = "(N,) of ids, such as " if dims == 1 else "(B, T) of ids, one text per row, such as "
    wanted += "encode_text(tokenizer, text)" + "[None]" * (dims - 1)
    raise ValueError(f"{name} is {got}: it must be a tensor {wanted}")


def get_batch(data, block_size, batch_size, generator=None, device=None):
    """Random windows of `data` (N,), and the same windows one token later.

    Returns x and y, both (batch_size, block_size) int64: y[b, t] is the token after x[b, t]. Every
    window is equally likely. Both are put on `device` (None: where data is). Raises ValueError
    when data is too short for one window and the target of its last token.
    Example: get_batch(torch.arange(4), 3, 1) -> (tensor([[0, 1, 2]]), tensor([[1, 2, 3]]))
    """
    check_ids("data", data, 1)
    block_size = whole_number("block_size", block_size)
    batch_size = whole_number("batch_size", batch_size)
    if len(data) <= block_size:
        least = block_size + 1
        raise ValueError(f"{len(data)} tokens are too few: block_size {block_size} needs {least}")
    at = data.device if generator is None else generator.device
    # randint leaves out its upper end, so the last start is N - block_size - 1
    starts = torch.randint(len(data) - block_size, (batch_size, 1), generator=generator, device=at)
    positions = starts + torch.arange(block_size + 1, device=at)  # (B, 1) + (T+1,) -> (B, T+1)
    window = data[positions.to(data.device)].to(device or data.device, torch.long)  # (B, T+1)
    return window[:, :-1], window[:, 1:]  # (B, T), (B, T)


# ----------------------------------------------------------------------------- bigram, evaluation


def cross_entropy(logits, targets):
    """Mean nats per token of logits (B, T, V) against targets (B, T). A scalar."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B*T, V), (B*T,)


class BigramLanguageModel(nn.Module):
    """Row i of one V x V table holds the logits of the token that follows token i."""

    def __init__(self, vocab_size):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, vocab_size)

    def forward(self, idx, targets=None):
        """idx, targets: (B, T) ids. Returns logits (B, T, V) and the loss, None without targets."""
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


@contextmanager
def evaluation_mode(model):
    """Inside, no dropout and no gradients. Afterwards each submodule is in its own mode again."""
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
    """Nats per token over ALL of `data` (N,), in consecutive windows. Nothing is sampled.

    N - 1 tokens are predicted, each once, from at most block_size tokens of context (default: the
    model's). reduction "mean" gives a float, the mean over tokens. "none" gives two tensors
    (number of windows,): the sum of the losses in each window, and how many tokens it has.
    At most 2**23 logits are in memory at once, or those of one window where it has more.
    Example: evaluate(BigramLanguageModel(1), torch.zeros(9).long(), block_size=4) -> 0.0
    """
    check_ids("data", data, 1)
    T = whole_number("block_size", model.config.block_size if block_size is None else block_size)
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction is {reduction!r}: it must be 'mean' or 'none'")
    if len(data) < 2:
        raise ValueError(f"{len(data)} tokens are too few: predicting needs at least 2")
    device = next(model.parameters()).device
    losses = torch.empty(len(data) - 1, dtype=torch.double)  # on the CPU: Apple's GPUs lack double
    start, B = 0, 1  # a single window comes first: it shows how large the logits are
    with evaluation_mode(model):
        while left := len(losses) - start:
            length = min(T, left)  # the last window may be shorter
            end = start + min(B, left // length) * length
            x, y = (data[i : i + end - start].to(device, torch.long) for i in (start, start + 1))
            logits = model(x.view(-1, length))[0].flatten(0, 1)  # (B, T, V) -> (B*T, V)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # or float64
            losses[start:end] = F.cross_entropy(logits, y, reduction="none").cpu()
            start = end
            B = max(1, min(2**14, 2**23 // logits.size(-1)) // T)  # 2**14 tokens are enough
    if reduction == "mean":
        return losses.mean().item()
    missing = -len(losses) % T  # tokens, to make the last window as long as the others
    sums = F.pad(losses, (0, missing)).view(-1, T).sum(dim=1)
    counts = torch.full(sums.shape, T)
    counts[-1] -= missing
    return sums, counts


# ----------------------------------------------------------------------------- the layers of a GPT


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT. The defaults are the course's full configuration."""

    vocab_size: int = 65
    block_size: int = 256  # the longest context, in tokens
    n_layer: int = 6
    n_head: int = 6
    n_embd: int = 384  # C: entries in a token's vector
    dropout: float = 0.2
    bias: bool = False  # True: biases in Linear and LayerNorm, as in GPT-2

    def __post_init__(self):
        sizes = ("vocab_size", "block_size", "n_layer", "n_head", "n_embd")
        plain = {name: whole_number(name, getattr(self, name)) for name in sizes}
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} is not divisible by n_head {self.n_head}")
        if not (isinstance(self.dropout, Real) and 0 <= self.dropout < 1):
            raise ValueError(f"dropout is {self.dropout!r}: it must be at least 0 and below 1")
        # torch.load refuses numpy's numbers; vars, because a frozen dataclass cannot be assigned to
        vars(self).update(plain, dropout=float(self.dropout), bias=bool(self.bias))

    @property
    def head_size(self):
        return self.n_embd // self.n_head


class Head(nn.Module):
    """One head of causal self-attention, written plainly: the reference for MultiHeadAttention.

    softmax(q k^T / sqrt(head_size)) v: Vaswani et al. 2017, arXiv:1706.03762, equation 1.
    """

    def __init__(self, config):
        super().__init__()
        self.key = nn.Linear(config.n_embd, config.head_size, bias=False)
        self.query = nn.Linear(config.n_embd, config.head_size, bias=False)
        self.value = nn.Linear(config.n_embd, config.head_size, bias=False)
        past = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        self.register_buffer("past", past, persistent=False)  # moves with .to(), is not saved

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


class KVCache:
    """The keys and values of one attention layer for the tokens read so far, computed only once.

    Memory for block_size tokens is taken at the start: 2 B block_size C numbers. The cache is exact
    as long as no token changes its position; when the window moves, set `length` to 0 and read it
    again. Not for training: appending overwrites memory, which backward does not allow.
    """

    def __init__(self, config, batch_size, like):
        """`like`: a tensor on the device and with the dtype that the keys will have."""
        shape = (batch_size, config.n_head, config.block_size, config.head_size)
        self.k, self.v = like.new_empty(shape), like.new_empty(shape)
        self.length = 0  # tokens held

    def append(self, k, v):
        """k, v (B, nh, T, hs) of the next T tokens -> views of all held, (B, nh, length, hs)."""
        if (rows := len(k)) != len(self.k):
            raise ValueError(f"the cache has {len(self.k)} rows, not {rows}: use new_cache({rows})")
        start, self.length = self.length, self.length + k.size(2)
        self.k[:, :, start : self.length] = k
        self.v[:, :, start : self.length] = v
        return self.k[:, :, : self.length], self.v[:, :, : self.length]


class MultiHeadAttention(nn.Module):
    """n_head causal heads side by side in one matrix product, then the output projection."""

    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)

    def split(self, x):
        """x (B, T, C) -> q, k, v, each (B, nh, T, hs)."""
        B, T, C = x.shape
        parts = self.qkv(x).split(C, dim=-1)  # (B, T, 3C) -> q, k, v, each (B, T, C)
        # heads lie side by side in C: give them an axis of their own first, then move it
        return [part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for part in parts]

    def forward(self, x, cache=None):
        """x (B, T, C) -> (B, T, C). With a KVCache, x follows the tokens that the cache holds."""
        q, k, v = self.split(x)
        past, mask = 0, None
        if cache is not None:
            past = cache.length
            k, v = cache.append(k, v)  # (B, nh, T, hs) -> (B, nh, past + T, hs)
        if past and x.size(1) > 1:  # is_causal would line up the first query with the first key
            mask = torch.ones(x.size(1), k.size(2), dtype=torch.bool, device=x.device).tril(past)
        p = self.dropout if self.training else 0.0
        # a single query after a past sees all of it: neither mask nor is_causal
        out = F.scaled_dot_product_attention(q, k, v, mask, p, is_causal=past == 0)
        out = out.transpose(1, 2).flatten(2)  # (B, nh, T, hs) -> (B, T, nh, hs) -> (B, T, C)
        return F.dropout(self.proj(out), self.dropout, self.training)

    def weights(self, x):
        """x (B, T, C) -> the attention weights (B, nh, T, T) of `forward`, without dropout."""
        q, k, _ = self.split(x)
        scores = q @ k.transpose(-2, -1) * q.size(-1) ** -0.5  # (B, nh, T, T)
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return F.softmax(scores.masked_fill(future, float("-inf")), dim=-1)


class FeedForward(nn.Module):
    """Each token by itself: widen to 4C, GELU, back to C."""

    def __init__(self, config):
        super().__init__()
        self.fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = config.dropout

    def forward(self, x):
        """x (B, T, C) -> (B, T, C)."""
        x = F.gelu(self.fc(x), approximate="tanh")  # (B, T, 4C), GPT-2's form of GELU
        return F.dropout(self.proj(x), self.dropout, self.training)


class Block(nn.Module):
    """Attention, then a feed-forward layer. Each adds its output to x (pre-LayerNorm)."""

    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = MultiHeadAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = FeedForward(config)

    def forward(self, x, cache=None):
        """x (B, T, C) -> (B, T, C). `cache`: the KVCache of this block's attention."""
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


# ----------------------------------------------------------------------------- sampling, GPT


def check_sampling(temperature, top_k, top_p):
    """Raise ValueError for a setting that `sample` cannot use."""
    if not (isinstance(temperature, Real) and 0 <= temperature < math.inf):  # nan fails too
        raise ValueError(f"temperature is {temperature!r}: it must be finite, 0 (greedy) or more")
    if top_k is not None:
        whole_number("top_k", top_k)
    if top_p is not None and not (isinstance(top_p, Real) and 0 < top_p <= 1):
        raise ValueError(f"top_p is {top_p!r}: it must be above 0 and at most 1, or None")


def check_finite(extremes, what):
    """Raise ValueError if a model's largest or smallest numbers are NaN or infinite."""
    if not extremes.isfinite().all():
        raise ValueError(
            f"the model's {what} are not finite: it has diverged; "
            f"load an earlier checkpoint, or train again with a lower learning rate"
        )


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """Choose one token per row: logits (B, V) -> ids (B, 1).

    temperature divides the logits (0: the likeliest token, nothing is drawn). top_k keeps the k
    likeliest, and ties with the k-th. top_p keeps the smallest set of likeliest tokens whose
    probabilities reach p (nucleus sampling, Holtzman et al. 2020). A logit of -inf is never drawn.
    Raises ValueError for a bad setting, and for NaN, +inf or nothing but -inf in a row.
    Example: sample(torch.tensor([[0.0, 9.0, 2.0]]), temperature=0) -> tensor([[1]])
    """
    check_sampling(temperature, top_k, top_p)
    highest = logits.amax(dim=-1, keepdim=True)  # (B, 1): NaN if any logit of the row is
    check_finite(highest, "logits")
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    if top_k is not None:
        kth = logits.topk(min(top_k, logits.size(-1))).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < kth, float("-inf"))
    # with the highest at 0, dividing by a tiny temperature cannot give +inf
    logits = (logits - highest) / max(temperature, 1e-9)
    if top_p is not None:
        ordered, order = logits.sort(descending=True)  # (B, V)
        probs = F.softmax(ordered, dim=-1)
        reached = probs.cumsum(dim=-1) - probs >= top_p  # p was reached before this token
        logits = logits.masked_fill(reached.scatter(-1, order, reached), float("-inf"))
    return torch.multinomial(F.softmax(logits, dim=-1), 1, generator=generator)


class GPT(nn.Module):
    """GPT-2's architecture (Radford et al. 2019): embeddings, blocks, LayerNorm, tied output head.

    Example: GPT(GPTConfig()).num_parameters() -> 10745088
    """

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

    def check_vocabulary(self, idx):
        """Raise ValueError for ids outside the vocabulary."""
        low, high, last = idx.min(), idx.max(), self.config.vocab_size - 1
        if low < 0 or high > last:
            raise ValueError(f"ids run from {low} to {high}, but this model knows only 0 to {last}")

    def embed(self, idx, start=0):
        """idx (B, T), the first at position `start` -> what enters the first block, (B, T, C)."""
        check_ids("idx", idx, 2)
        end, limit = start + idx.size(1), self.config.block_size
        if end > limit:
            raise ValueError(f"{end} tokens exceed block_size {limit}: try idx[:, -{limit}:]")
        try:
            tokens = self.token_embedding(idx.long())  # (B, T, C)
        except IndexError:
            self.check_vocabulary(idx)
            raise
        positions = self.position_embedding.weight[start:end]  # (T, C), the same for every row
        return F.dropout(tokens + positions, self.config.dropout, self.training)

    def forward(self, idx, targets=None, cache=None):
        """idx, targets: (B, T) ids. Returns logits (B, T, V) and the loss, None without targets.

        `cache`, from `new_cache`, holds the tokens before idx, and afterwards those of idx as well.
        Raises ValueError for more than block_size tokens and, on a CPU, for ids out of range.
        """
        x = self.embed(idx, start=cache[0].length if cache else 0)
        for block, layer in zip(self.blocks, cache or [None] * len(self.blocks)):
            x = block(x, layer)
        logits = F.linear(self.ln_f(x), self.token_embedding.weight)  # tied: (B, T, C) @ (C, V)
        loss = None if targets is None else cross_entropy(logits, targets)
        return logits, loss

    def attention_maps(self, idx):
        """idx (B, T) -> every head's attention weights, (n_layer, B, nh, T, T), without dropout."""
        with evaluation_mode(self):
            x, maps = self.embed(idx), []
            for block in self.blocks:
                maps.append(block.attn.weights(block.ln_1(x)))
                x = block(x)
        return torch.stack(maps)

    def new_cache(self, batch_size):
        """An empty cache for `forward`: a list of one KVCache for each block."""
        return [KVCache(self.config, batch_size, self.token_embedding.weight) for _ in self.blocks]

    def stream(self, idx, max_new_tokens, temperature=1.0, top_k=None, top_p=None,
               generator=None, use_cache=True, stride=None):  # fmt: skip
        """Continue idx (B, T), one token at a time as they are made: an iterator over ids (B, 1).

        temperature, top_k and top_p are explained at `sample`. The prompt may be longer than
        block_size: the model sees its end. When the window is full it moves on by `stride` tokens
        (1: always the last block_size tokens; default block_size // 2). The cache makes it faster
        and changes nothing else. Between two tokens the model is in its own mode again. Raises
        ValueError at the call for a bad prompt or setting, and for weights that are not finite.
        """
        limit = self.config.block_size
        stride = max(1, limit // 2) if stride is None else whole_number("stride", stride, 1, limit)
        max_new_tokens = whole_number("max_new_tokens", max_new_tokens, least=0)
        check_sampling(temperature, top_k, top_p)
        check_ids("the prompt", idx, 2)
        if idx.numel() == 0:
            raise ValueError("the prompt is empty: give at least one token, for example a newline")
        self.check_vocabulary(idx)
        extremes = [extreme for weight in self.parameters() for extreme in weight.aminmax()]
        check_finite(torch.stack(extremes), "weights")

        def tokens():  # runs when a token is asked for; the checks above run at the call
            window = unread = idx[:, -limit:]  # what the model may see; what the cache lacks of it
            cache = self.new_cache(len(idx)) if use_cache else []
            for _ in range(max_new_tokens):
                with evaluation_mode(self), torch.inference_mode():
                    logits, _ = self(unread, cache=cache)
                    next_id = sample(logits[:, -1], temperature, top_k, top_p, generator)  # (B, 1)
                next_id = next_id.clone()  # out here an ordinary tensor, which can be trained on
                yield next_id
                window = torch.cat([window, next_id], dim=1)
                unread = next_id if use_cache else window
                if window.size(1) > limit:
                    window = unread = window[:, stride:]
                    for layer in cache:  # all positions have changed: its keys are no longer valid
                        layer.length = 0

        return tokens()

    def generate(self, idx, max_new_tokens, temperature=1.0, **settings):
        """Continue idx (B, T) by max_new_tokens tokens: (B, T + max_new_tokens).

        The settings are those of `stream`, which makes the tokens.
        Example: model.generate(idx, 100, temperature=0.8, top_k=10)
        """
        with evaluation_mode(self):  # once for all tokens
            new = list(self.stream(idx, max_new_tokens, temperature, **settings))
        return torch.cat([idx, *new], dim=1)
