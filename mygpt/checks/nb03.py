"""Checks of notebook 03's exercises."""

import torch

from mygpt.checks import (
    NotAttempted,
    Wrong,
    build,
    call,
    compare,
    exercise,
    forbidden,
    own_or,  # noqa: F401  the notebook calls check.own_or
    same,
    with_large_scores,
)
from mygpt_helpers import GPTConfig

STAYS_BEHIND = "{} is a plain attribute, left behind when the module moves: use register_buffer"

NO_BUFFER = {
    "gradients": "a parameter is trained, and cannot be boolean: use register_buffer",
    "already exists": "register the buffer by its name only, without self.past = ... before",
}


@exercise
def register_mask(answer):
    block_size = 5
    module = torch.nn.Linear(3, 2, bias=False)
    try:
        result = call(answer, module, block_size, explain=NO_BUFFER)
    except NotAttempted:
        if hasattr(module, "past"):
            raise Wrong("the module has its mask: now return the module") from None
        raise
    if not isinstance(result, torch.nn.Module):
        raise Wrong(f"it returned a {type(result).__name__}: return the module")
    if result is not module:
        raise Wrong("it returned another module: give the mask to the one you were given")
    past = getattr(result, "past", None)
    if past is None:
        raise Wrong("the module has nothing called past")
    if not isinstance(past, torch.Tensor):
        raise Wrong(f"past is a {type(past).__name__}: a tensor is wanted")
    if "past" in dict(result.named_parameters()):
        raise Wrong("past is a parameter: it would be trained, and saved; use register_buffer")
    if "past" not in dict(result.named_buffers()):
        raise Wrong(STAYS_BEHIND.format("past"))
    if "past" in result.state_dict():
        raise Wrong("past would be saved with the weights: say persistent=False")
    if past.dtype != torch.bool:
        raise Wrong(f"past has dtype {past.dtype}: make it boolean, dtype=torch.bool")
    right = torch.ones(block_size, block_size, dtype=torch.bool).tril()
    compare(
        past,
        right,
        {
            "True marks the future: past is True where a row may look": ~right,
            "the upper triangle: row i may look at columns 0 to i": right.T,
            "each token must see itself: the diagonal belongs to the past": right.tril(-1),
            "True everywhere hides nothing: keep the lower triangle": torch.ones_like(right),
            "a batch axis too many: (block_size, block_size)": right[None],
        },
        "past[i, j] must be True for j <= i, else False",
        what="past",
    )
    return "it moves with the module, and is neither trained nor saved"


@exercise
def embed_batch(answer):
    B, T, C, V, block_size = 3, 5, 4, 7, 9
    generator = torch.Generator().manual_seed(0)
    idx = torch.randint(V, (B, T), generator=generator)
    token_table = torch.randn(V, C, generator=generator)
    table = torch.randn(block_size, C, generator=generator)  # of the positions
    what, where = token_table[idx], table[:T]  # (B, T, C), (T, C)
    everywhere = where.expand(B, T, C)
    of_its_own = "row t of position_table belongs to position t"
    explain = {
        "not callable": "the tables are tensors: index them with [], as in token_table[idx]",
        f"({V})": "add vectors, not tables: look up the ids and the positions first",
        "size": f"a text has {T} tokens, position_table {block_size} rows: take the first T, "
        "which is idx.size(1)",
        "number of dimensions": "do not join the vectors: add them, the width stays C",
        "'indices'": "F.embedding wants the ids first, then the table",
    }
    x = call(answer, idx.clone(), token_table.clone(), table.clone(), explain=explain)
    compare(
        x,
        what + where,
        {
            "only the tokens: add the vectors of their positions": what,
            "only the positions: add the vectors of the tokens": everywhere,
            "the vectors of the positions alone, without the batch: add token_table[idx]": where,
            "one position for each text: they run along the row": what + table[:B, None],
            "position_table is looked up by id: look it up by position": what + table[idx],
            "the last T rows: a text starts at position 0, so take the first": what + table[-T:],
            "the positions start at 1: the first is position 0": what + table[1 : T + 1],
            f"every token has position 0: {of_its_own}": what + table[0],
            f"every token has the last position: {of_its_own}": what + table[T - 1],
            "position T for all: position_table[:T], with the colon": what + table[T],
            f"the positions run backwards: {of_its_own}": what + where.flip(0),
            "side by side: add them, the width stays C": torch.cat([what, everywhere], dim=-1),
            "multiplied: add them": what * where,
            "the mean of the two: add them": (what + where) / 2,
        },
        "the vector of each id plus the vector of its position is wanted",
    )
    return "it says what stands there, and where"


@exercise
def generate_greedy(answer):
    V, block_size, new = 11, 5, 8

    def model(context):
        """What follows depends on every token of the context and on its position."""
        T = context.size(1)
        if not 1 <= T <= block_size:
            raise ValueError(
                f"the model was given {T} tokens: at least 1, at most block_size {block_size}"
            )
        ids = ((context + 1) * torch.arange(1, T + 1) ** 2).cumsum(dim=1) % V  # (B, T)
        return -(torch.arange(V) - ids[..., None]).abs().float(), None  # (B, T, V), largest at ids

    def window(idx):
        return idx[:, -block_size:]

    def greedy(idx, see=window, last=-1, forget=False, shared=None, front=False):
        for _ in range(new):
            idx = window(idx) if forget else idx
            logits = model(see(idx))[0][:, last]  # (B, V)
            likeliest = shared(logits).expand(len(idx)) if shared else logits.argmax(dim=-1)
            pair = [idx, likeliest[:, None]]
            idx = torch.cat(pair[::-1] if front else pair, dim=1)
        return idx

    def all_appended(idx):
        for _ in range(new):
            idx = torch.cat([idx, model(window(idx))[0].argmax(dim=-1)], dim=1)
        return idx

    crop = "give it the last block_size tokens"
    one_each = "one new token per row, (B, 1): argmax(dim=-1, keepdim=True) of the (B, V)"
    explain = {
        "tuple": "the model returns a pair: logits, _ = model(context)",
        "has no attribute": "of the model, use only model(context); block_size is an argument",
        "out of bounds": "the model saw at most block_size tokens: the last logits are [:, -1]",
        "were given": crop,
        "was given": crop,
        "dimension": one_each,
        "size": one_each,
    }
    for B, T in ((2, 3), (3, 7)):
        idx = torch.randint(V, (B, T), generator=torch.Generator().manual_seed(T))
        out = call(answer, model, idx.clone(), new, block_size, explain=explain)
        right, stop = greedy(idx), max(T, block_size)
        if not same(out, call(answer, model, idx.clone(), new, block_size, explain=explain)):
            raise Wrong("two calls differ: take the likeliest token, without sampling")
        if block_size < T and same(out, right[:, T - block_size :]):
            raise Wrong("the prompt was cropped at the start: crop only what the model sees")
        mistakes = {
            "nothing was added: idx = torch.cat(...), since cat makes a new tensor": idx,
            "new tokens go to the end, not to the front": greedy(idx, front=True),
            "the largest logit was added: use argmax": torch.nn.functional.pad(idx, (0, new)),
            "the last position moves: take -1, not T - 1": greedy(idx, last=(T - 1) % block_size),
            "the model saw the first block_size tokens: it must see the last": greedy(
                idx, lambda i: i[:, :block_size]
            ),
            "the model saw one token too few: crop to block_size": greedy(
                idx, lambda i: i[:, 1 - block_size :]
            ),
            "the model saw only the last token: give it the last block_size": greedy(
                idx, lambda i: i[:, -1:]
            ),
            "the model always saw the prompt alone: each new token joins the context": greedy(
                idx, lambda i: window(i[:, :T])
            ),
            "the text itself was cropped: crop only what the model sees": greedy(idx, forget=True),
            "the text was cropped at the end: return all of it": window(right),
            "one argmax for the whole batch: argmax(dim=-1)": greedy(idx, shared=torch.argmax),
            "one token for the whole batch: one per row is wanted": greedy(
                idx, shared=lambda logits: logits[0].argmax()
            ),
            "each position added a token: take the logits of the last alone": all_appended(idx),
            "only the new tokens: return the prompt too": right[:, T:],
            "the first position's logits: the last position's say what follows": greedy(
                idx, last=0
            ),
            "return comes after the loop: max_new_tokens tokens must be added": right[:, : T + 1],
            "it stopped at block_size: only the model's view is limited": right[:, :stop],
        }
        otherwise = f"a prompt of {T} tokens was not continued by the likeliest token each time"
        compare(out, right, mistakes, otherwise)
    return "the model sees a window, the text is kept whole"


@exercise
def head(answer):
    config = GPTConfig(vocab_size=5, block_size=11, n_layer=1, n_head=3, n_embd=24, dropout=0.0)
    module = build(answer, config, explain=NO_BUFFER)
    if not isinstance(module, torch.nn.Module):
        raise Wrong("the class must be a module: class OwnHead(nn.Module)")
    check_layers(module, config)
    check_mask(module, config)
    generator = torch.Generator().manual_seed(0)
    C, hs = config.n_embd, config.head_size
    weights = [torch.randn(hs, C, generator=generator) * C**-0.25 for _ in range(3)]
    theirs = [layer.weight for layer in (module.query, module.key, module.value)]
    with torch.no_grad():
        for layer, weight in zip(theirs, weights):
            layer.copy_(weight)
    for B, T in ((2, 7), (3, 1), (4, 11)):
        x = torch.randn(B, T, C, generator=generator)
        q, k, v = (x @ weight.T for weight in weights)  # (B, T, hs) each
        compare(
            run(module, x),
            softmax_head(q, k) @ v,
            head_mistakes(x, q, k, v, config),
            "softmax of the masked, scaled scores, times the values, is wanted",
        )
    q, k, v = (10 * x @ weight.T for weight in weights)
    with_large_scores(run(module, 10 * x), softmax_head(q, k) @ v)
    out = module(x)
    learned = out.requires_grad and torch.autograd.grad(out.sum(), theirs, allow_unused=True)
    if not learned or any(gradient is None for gradient in learned):
        raise Wrong("right, but it cannot learn: do without .data, .detach() and no_grad")
    return "a head of your own: causal, scaled, and its mask is a buffer"


def check_layers(module, config):
    """Three nn.Linear without bias, called query, key and value, and nothing else to train."""
    C, hs = config.n_embd, config.head_size
    for name in ("query", "key", "value"):
        layer = getattr(module, name, None)
        if not isinstance(layer, torch.nn.Linear):
            have = "nothing" if layer is None else f"a {type(layer).__name__}"
            raise Wrong(f"{name} is {have}: make it an nn.Linear without bias")
        if layer.bias is not None:
            raise Wrong(f"{name} has a bias: say bias=False")
        got = (layer.in_features, layer.out_features)
        if got == (C, config.n_head * hs):
            raise Wrong(f"{name} makes {C} numbers, n_embd: a head makes head_size, here {hs}")
        if got != (C, hs):
            raise Wrong(f"{name} is Linear{got}: Linear(n_embd, head_size) is {(C, hs)} here")
    names = [name for name, _ in module.named_parameters()]
    extra = [name for name in names if name not in ("query.weight", "key.weight", "value.weight")]
    if extra:
        raise Wrong(
            f"{extra[0]} is a parameter too: only query, key and value are trained; "
            "a mask belongs in register_buffer"
        )
    if len(names) < 3:
        raise Wrong("two of query, key and value are the same layer: make three")


def check_mask(module, config):
    """The mask is a buffer of block_size columns, and not saved."""
    buffers = dict(module.named_buffers())
    if not buffers:
        loose = [name for name, value in vars(module).items() if isinstance(value, torch.Tensor)]
        if loose:
            raise Wrong(STAYS_BEHIND.format(loose[0]))
        raise Wrong("the mask is no buffer: make it once in __init__, with register_buffer")
    saved = [name for name in buffers if name in module.state_dict()]
    if saved:
        raise Wrong(f"{saved[0]} would be saved with the weights: say persistent=False")
    if not any(buffer.size(-1) == config.block_size for buffer in buffers.values() if buffer.dim()):
        shape = tuple(next(iter(buffers.values())).shape)
        raise Wrong(
            f"the mask has shape {shape}: make it for the longest context, block_size x block_size"
        )


def run(module, x):
    """The module's output, the same in a second call, without PyTorch's own attention."""
    functional = torch.nn.functional
    whole = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = forbidden(
        "scaled_dot_product_attention is switched off: write the scores and the softmax yourself"
    )
    B, T, C = x.shape
    corner = (
        f"x is {(B, T, C)}, so T is x.size(1) = {T}; the mask is made for block_size tokens: "
        "take its corner [:T, :T]"
    )
    turned = "transpose only the last two axes of the keys: k.transpose(-2, -1)"
    explain = {"dimension 0": turned, "size": corner, "shape": corner}
    try:
        with torch.no_grad():
            out, again = (call(module, x.clone(), explain=explain) for _ in "ab")
    except NotAttempted:
        raise Wrong("forward returns nothing: is a `return` missing?") from None
    finally:
        functional.scaled_dot_product_attention = whole
    if not same(out, again) and not torch.as_tensor(out).isnan().any():
        raise Wrong("two calls on the same x differ: no dropout is wanted, nor any chance")
    return out


def softmax_head(q, k, factor=None, look=None, dim=-1):
    """Attention weights (B, T, T) of queries and keys (B, T, hs); `look`: True may be read."""
    T, hs = q.shape[-2:]
    look = torch.ones(T, T, dtype=torch.bool).tril() if look is None else look
    scores = q @ k.transpose(-2, -1) * (hs**-0.5 if factor is None else factor)
    return scores.masked_fill(~look, float("-inf")).softmax(dim)


def head_mistakes(x, q, k, v, config):
    """What the usual mistakes give: {hint: output}."""
    B, T, C = x.shape
    hs, block_size = config.head_size, config.block_size
    everything = torch.ones(T, T, dtype=torch.bool)
    past = everything.tril()

    def out(q=q, k=k, **settings):
        return softmax_head(q, k, **settings) @ v

    of = "a score is a sum over the head_size numbers of a query"
    rows = "each row must sum to 1, so dim=-1"
    cut = k.reshape(B, hs, T).transpose(-2, -1)
    zeros = (q @ k.transpose(-2, -1) * hs**-0.5 * past).softmax(-1)
    return {
        f"scaled by n_embd: {of}": out(factor=C**-0.5),
        f"scaled by T: {of}": out(factor=T**-0.5),
        f"scaled by block_size: {of}": out(factor=block_size**-0.5),
        "not scaled: multiply the scores by head_size ** -0.5": out(factor=1),
        "divided by head_size: divide by its root": out(factor=1 / hs),
        "hs ** 1/2 means hs / 2, and hs ** -1/2 means 1/hs / 2: write 0.5": out(factor=0.5 / hs),
        "multiplied by the root of head_size: divide by it": out(factor=hs**0.5),
        "the factor belongs on the scores, before softmax": out(factor=1) * hs**-0.5,
        "these are the weights: multiply them by the values": softmax_head(q, k),
        "the values are missing: mix value(x), not x": softmax_head(q, k) @ x,
        "no mask: each row sees the future": out(look=everything),
        "the mask is the wrong way round: masked_fill hides where it is True": out(look=~past),
        "each token must see itself: the diagonal is hidden": out(look=past.tril(-1)),
        "the mask is transposed: row i may look at columns 0 to i": out(look=past.T),
        "one token of the future is visible: tril(), not tril(1)": out(look=everything.tril(1)),
        "softmax came before the mask, so rows no longer sum to 1: mask the scores": (
            softmax_head(q, k, look=everything) * past @ v
        ),
        "a score of 0 hides nothing, since e^0 = 1: fill with -inf": zeros @ v,
        f"softmax over the queries: {rows}": out(dim=1),
        f"softmax over the batch: {rows}": out(dim=0),
        "queries and keys are swapped: row i belongs to the query of token i": out(k, q),
        "keys with keys: the rows belong to query(x)": out(k, k),
        "queries with queries: the columns belong to key(x)": out(q, q),
        "keys reshaped, not transposed: k.transpose(-2, -1) is wanted": out(k=cut),
    }


@exercise
def hide_one_position(answer):
    T = 7
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    position = torch.arange(T)
    back = position[:, None] - position
    banded = causal & (back != 3)
    scattered = torch.rand(T, T, generator=torch.Generator().manual_seed(0)) < 0.6
    explain = {
        "ambiguous": "`and`, `or` and `not` want single values: for masks write &, | and ~",
        "bool": "True and False are no numbers: join masks with &, turn one round with ~",
    }
    cases = (scattered, 2), *((causal, d) for d in (2, 1, 5)), (banded, 2), (banded, 3)
    for past, d in cases:
        given = past.clone()
        result = call(answer, given, d, explain=explain)
        if not torch.equal(given, past):
            raise Wrong("past itself was changed: make a new mask, or change past.clone()")
        if isinstance(result, torch.Tensor) and result.dtype != torch.bool:
            raise Wrong(f"the mask has dtype {result.dtype}: it must stay boolean")
        one = "hide only the one position"
        only_row = (position[:, None] == d) & (position == 0)
        mistakes = {
            "nothing is hidden: row i must not see column i - d": past,
            "column i + d is hidden: row i must not see column i - d": past & (back != -d),
            "both sides are hidden: column i + d must stay": past & (back.abs() != d),
            "only the one position is left: hide it, keep the rest": past & (back == d),
            f"all that lies d or more back is hidden: {one}": past & (back < d),
            f"all that lies more than d back is hidden: {one}": past & (back <= d),
            f"all up to d back is hidden: {one}": past & (back > d),
            f"all less than d back is hidden: {one}": past & (back >= d),
            "one too far: itself is 0 back, the one before is 1 back": past & (back != d + 1),
            "one too near: itself is 0 back, the one before is 1 back": past & (back != d - 1),
            "the future is visible: keep what past hides": back != d,
            "column d is hidden from every row: column i - d from row i": past & (position != d),
            "row d sees nothing: hide column i - d from row i": past & (position[:, None] != d),
            "only one cell is hidden: every row loses the one d positions back": past & ~only_row,
            "the mask is the wrong way round: True where a row may look": ~(past & (back != d)),
            "past is not used: what it hides must stay hidden": causal & (back != d),
            "a causal mask on top of past: the rest must stay": past & causal & (back != d),
            "what past hid at that position is visible: use &, not ^ or !=": past ^ (back == d),
            "i - d below 0 counts from the end: start at row d": past & (back % T != d),
        }
        otherwise = f"with d = {d}, row i must see all that past shows it but column i - {d}"
        compare(result, past & (back != d), mistakes, otherwise, what="the mask")
    return "each row loses one position"
