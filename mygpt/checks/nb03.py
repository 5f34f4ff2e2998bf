"""Checks of notebook 03's exercises."""

import torch

from mygpt.checks import (
    NotAttempted,
    Wrong,
    call,
    compare,
    exercise,
    same,
    with_large_scores,
)


@exercise
def head_forward(answer):
    B, T, C, hs, block_size = 2, 5, 12, 3, 8
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, T, C, generator=generator)
    w_query, w_key, w_value = torch.randn(3, C, hs, generator=generator) * C**-0.25
    past = torch.ones(block_size, block_size, dtype=torch.bool).tril()
    causal = look = past[:T, :T]
    q, k, v = x @ w_query, x @ w_key, x @ w_value

    def head(factor=hs**-0.5, look=look, q=q, k=k, dim=-1):
        return (q @ k.transpose(1, 2) * factor).masked_fill(~look, float("-inf")).softmax(dim)

    sizes = (
        f"x (B, T, C) = {(B, T, C)}, matrices (C, hs) = {(C, hs)}: x @ w_query; transpose only the last two "
        f"axes of k; past is {block_size} × {block_size}, so take past[:T, :T]"
    )
    inputs = (part.clone() for part in (x, w_query, w_key, w_value, past))
    out = call(answer, *inputs, explain={"size": sizes, "shape": sizes})
    nobody = torch.zeros(T, T, dtype=torch.bool)
    compare(
        out,
        head() @ v,
        {
            "these are the weights: multiply them by the values": head(),
            "the values are missing: mix x @ w_value, not x": head() @ x,
            "not scaled: multiply the scores by hs ** -0.5": head(factor=1) @ v,
            "scaled by n_embd: the sum runs over the hs entries of a query": head(factor=C**-0.5)
            @ v,
            "scaled by T: the sum runs over the hs entries of a query, the last axis": head(
                factor=T**-0.5
            )
            @ v,
            "divided by hs: divide by its root": head(factor=1 / hs) @ v,
            "multiplied by the root of hs: divide by it": head(factor=hs**0.5) @ v,
            "no mask: each row sees the future": head(look=~nobody) @ v,
            "the mask is the wrong way round: masked_fill hides where True, past shows where True; use ~": head(
                look=~look
            )
            @ v,
            "each token must see itself: the diagonal is hidden": head(look=look.tril(-1)) @ v,
            "softmax came before the mask, so rows no longer sum to 1: mask the scores": (
                head(look=~nobody) * look
            )
            @ v,
            "a score of 0 hides nothing, since e^0 = 1: fill with -inf": (
                q @ k.transpose(1, 2) * hs**-0.5 * look
            ).softmax(-1)
            @ v,
            "softmax over the queries: each row must sum to 1, so dim=-1": head(dim=1) @ v,
            "softmax over the batch: each row must sum to 1, so dim=-1": head(dim=0) @ v,
            "the mask is transposed: past[i, j] says whether row i may look at column j": head(
                look=look.T
            )
            @ v,
            "queries and keys are swapped: row i belongs to the query of token i": head(q=k, k=q)
            @ v,
            "keys with keys: the queries are x @ w_query": head(q=k) @ v,
            "queries with queries: the keys are x @ w_key": head(k=q) @ v,
            "the factor belongs on the scores, before softmax": head(factor=1) * hs**-0.5 @ v,
        },
        "softmax of the masked, scaled scores, times x @ w_value, is wanted",
    )
    large = call(answer, 10 * x, w_query.clone(), w_key.clone(), w_value.clone(), past.clone())
    with_large_scores(large, head(factor=100 * hs**-0.5) @ (10 * v))

    past = (torch.rand(block_size, block_size, generator=generator) < 0.5) | torch.eye(
        block_size, dtype=torch.bool
    )
    look, given = past[:T, :T], past.clone()
    out = call(answer, x.clone(), w_query.clone(), w_key.clone(), w_value.clone(), given)
    compare(
        out,
        head(look=look) @ v,
        {
            "right for a causal mask, but past is not used: hide what past hides, whatever it is": head(
                look=causal
            )
            @ v,
            "past and a causal mask of your own: past alone says what may be read": head(
                look=look & causal
            )
            @ v,
            "the last corner of past: row 0 is the first token, so take past[:T, :T]": head(
                look=past[-T:, -T:]
            )
            @ v,
            "the mask is transposed: past[i, j] says whether row i may look at column j": head(
                look=look.T
            )
            @ v,
        },
        "right for a causal mask, but not for another: hide just what past[:T, :T] hides",
    )
    if not torch.equal(given, past):
        raise Wrong("past itself was changed: the next call would get another mask")
    return "a whole head, at any B, T, C and hs, with any mask"


@exercise
def register_mask(answer):
    block_size = 5
    module = torch.nn.Linear(3, 2, bias=False)
    try:
        result = call(
            answer,
            module,
            block_size,
            explain={
                "gradients": "a parameter is trained, and cannot be boolean: use register_buffer",
            },
        )
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
        raise Wrong(
            "past is a parameter: it is saved, listed among the weights, and trained unless frozen; use register_buffer"
        )
    if "past" not in dict(result.named_buffers()):
        raise Wrong(
            "past is a plain attribute and stays behind when the module moves: use register_buffer"
        )
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
    token_table, position_table = (
        torch.randn(V, C, generator=generator),
        torch.randn(block_size, C, generator=generator),
    )
    tokens, places = token_table[idx], position_table[:T]
    x = call(
        answer,
        idx.clone(),
        token_table.clone(),
        position_table.clone(),
        explain={
            "not callable": "the tables are tensors, not modules: index them with [], as in token_table[idx]",
            "size": f"the text has T = {T} places, position_table {block_size} rows: take the first T",
        },
    )
    compare(
        x,
        tokens + places,
        {
            "only the tokens: add the vectors of their places": tokens,
            "only the places: add the vectors of the tokens": places.expand(B, T, C),
            "these are the vectors of the places alone, without the batch: add token_table[idx]": places,
            "one place for each text: places run along the row, so take the first T rows": tokens
            + position_table[:B, None],
            "position_table is looked up by id: look it up by place, 0 to T - 1": tokens
            + position_table[idx],
            "the last T rows: a text starts at place 0, so take the first": tokens
            + position_table[-T:],
            "the places start at 1: the first is place 0": tokens + position_table[1 : T + 1],
            "every token has place 0: row t of position_table belongs to place t": tokens
            + position_table[0],
            "every token has the last place: row t of position_table belongs to place t": tokens
            + position_table[T - 1],
            "place T for all: position_table[:T], with the colon": tokens + position_table[T],
            "the places run backwards: row 0 belongs to the first character": tokens
            + places.flip(0),
            "side by side: add them, the width stays C": torch.cat(
                [tokens, places.expand(B, T, C)], dim=-1
            ),
            "multiplied: add them": tokens * places,
            "the mean of the two: add them": (tokens + places) / 2,
        },
        "the vector of each id plus the vector of its place is wanted",
    )
    return "what stands there, and where"


@exercise
def generate_greedy(answer):
    V, block_size, new = 11, 5, 8

    def model(context):
        """What follows depends on every token of the context and on its place."""
        T = context.size(1)
        if not 1 <= T <= block_size:
            raise ValueError(
                f"the model was given {T} tokens: at least 1, at most block_size {block_size}"
            )
        ids = ((context + 1) * torch.arange(1, T + 1) ** 2).cumsum(dim=1) % V  # (B, T)
        return -(torch.arange(V) - ids[..., None]).abs().float(), None  # (B, T, V), largest at ids

    def greedy(idx, see=lambda idx: idx[:, -block_size:], last=-1, forget=False, shared=None):
        for _ in range(new):
            idx = idx[:, -block_size:] if forget else idx
            logits = model(see(idx))[0][:, last]  # (B, V)
            likeliest = shared(logits).expand(len(idx)) if shared else logits.argmax(dim=-1)
            idx = torch.cat([idx, likeliest[:, None]], dim=1)
        return idx

    for B, T in ((2, 3), (3, 7)):
        idx = torch.randint(V, (B, T), generator=torch.Generator().manual_seed(T))
        crop = "give it the last block_size tokens"
        one_each = "one new token per row, (B, 1): argmax(dim=-1, keepdim=True) of the (B, V)"
        out = call(
            answer,
            model,
            idx.clone(),
            new,
            block_size,
            explain={
                "were given": crop,
                "was given": crop,
                "dimension": one_each,
                "size": one_each,
                "tuple": "the model returns a pair: logits, _ = model(context)",
            },
        )
        right = greedy(idx)
        if block_size < T and same(out, right[:, T - block_size :]):
            raise Wrong("the prompt was cropped at the start: crop only what the model sees")
        compare(
            out,
            right,
            {
                "the model saw the first block_size tokens: it must see the last": greedy(
                    idx, see=lambda idx: idx[:, :block_size]
                ),
                "the model saw one token too few: crop to block_size": greedy(
                    idx, see=lambda idx: idx[:, 1 - block_size :]
                ),
                "the model saw only the last token: give it the last block_size": greedy(
                    idx, see=lambda idx: idx[:, -1:]
                ),
                "the text itself was cropped: crop only what the model sees": greedy(
                    idx, forget=True
                ),
                "the text was cropped at the end: return all of it": right[:, -block_size:],
                "one argmax for the whole batch: one per row is wanted, argmax(dim=-1)": greedy(
                    idx, shared=torch.argmax
                ),
                "one token for the whole batch: one per row is wanted": greedy(
                    idx, shared=lambda logits: logits[0].argmax()
                ),
                "only the new tokens: return the prompt too": right[:, T:],
                "the logits of the first place: those of the last say what comes next": greedy(
                    idx, last=0
                ),
                "return comes after the loop: max_new_tokens tokens must be added": right[
                    :, : T + 1
                ],
                "it stopped at block_size: only what the model sees is limited": right[
                    :, : max(T, block_size)
                ],
            },
            f"a prompt of {T} tokens was not continued by the likeliest token each time (argmax, nothing drawn)",
        )
    return "the model sees a window, the text is kept whole"


@exercise
def hide_one_place(answer):
    T = 7
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    place = torch.arange(T)
    back = place[:, None] - place
    banded = causal & (back != 3)
    scattered = torch.rand(T, T, generator=torch.Generator().manual_seed(0)) < 0.6
    for past, d in (
        (causal, 2),
        (causal, 1),
        (causal, 5),
        (banded, 2),
        (banded, 3),
        (scattered, 2),
    ):
        given = past.clone()
        result = call(answer, given, d)
        if not torch.equal(given, past):
            raise Wrong("past itself was changed: make a new mask, or change past.clone()")
        if isinstance(result, torch.Tensor) and result.dtype != torch.bool:
            raise Wrong(f"the mask has dtype {result.dtype}: it must stay boolean")
        mistakes = {
            "nothing is hidden: row i must not see column i - d": past,
            "only the one place is left: hide it, keep the rest": past & (back == d),
            "all that lies d or more back is hidden: hide only the one place": past & (back < d),
            "all that lies more than d back is hidden: hide only the one place": past & (back <= d),
            "all up to d back is hidden: hide only the one place": past & (back > d),
            "all less than d back is hidden: hide only the one place": past & (back >= d),
            "one too far: itself is 0 back, the one before is 1 back": past & (back != d + 1),
            "one too near: itself is 0 back, the one before is 1 back": past & (back != d - 1),
            "the future is visible: keep what past hides": back != d,
            "column d is hidden from every row: hide column i - d from row i": past & (place != d),
            "row d sees nothing: hide column i - d from row i": past & (place[:, None] != d),
            "only one cell is hidden: every row must lose the one d places back": past
            & ~((place[:, None] == d) & (place == 0)),
            "the mask is the wrong way round: True where a row may look": ~(past & (back != d)),
            "past is not used: what it hides must stay hidden": causal & (back != d),
            "a causal mask on top of past: all else must stay as it was": past
            & causal
            & (back != d),
            "what past hid at that place has become visible: use & instead of ^ or !=": past
            ^ (back == d),
            "i - d below 0 counts from the end: the first d rows have no such place": past
            & (back % T != d),
        }
        compare(
            result,
            past & (back != d),
            mistakes,
            f"with d = {d}, row i must see all that past shows it but column i - {d}",
            what="the mask",
        )
    return "each row loses one place"
