"""Checks of notebook 08's exercises."""

from unittest import mock

import torch

from mygpt.checks import Wrong, call, compare, compare_number, exercise, forbidden, same
from mygpt_helpers import GPT, GPTConfig

# a hint and what it stands for: a line each
# fmt: off


@exercise
def with_temperature(answer):
    logits = torch.tensor(
        [[2.0, 1.0, 0.0, -1.0], [0.5, 3.0, -2.0, 2.5], [-1.0, -3.0, 0.0, -0.5]]
    )  # (B, V)

    def softmax(scores, dim=-1):
        return torch.nn.functional.softmax(scores, dim=dim)

    for temperature in (0.5, 2.0):
        given = logits.clone()
        p = softmax(logits)
        compare(
            call(answer, given, temperature),
            softmax(logits / temperature),
            {
                "multiplied by the temperature: divide, so that a high one makes the logits alike":
                    softmax(logits * temperature),
                "the probabilities were divided: divide the logits, then softmax": p / temperature,
                "the probabilities were divided and made to sum to 1 again, which changes nothing: divide the logits":
                    p,
                "softmax twice: divide the logits, then one softmax": softmax(p / temperature),
                "softmax over the batch: each row by itself, dim=-1":
                    softmax(logits / temperature, dim=0),
                "these are logits still: softmax makes probabilities of them": logits / temperature,
                "the temperature was subtracted, which softmax does not notice: divide":
                    softmax(logits - temperature),
                "p ** temperature: the power is 1 / temperature": p**temperature,
                "p ** (1 / temperature) does not sum to 1 yet: divide by the row's sum":
                    p ** (1 / temperature),
            },
            f"softmax(logits / temperature) is wanted, at temperature {temperature}",
        )
        if not torch.equal(given, logits):
            raise Wrong(
                "the logits themselves were changed, by /=: write logits / temperature, which makes new ones"
            )
    division = {
        "division by zero": "temperature 0 needs a line of its own: probability 1 for the likeliest",
        "Class values": "the likeliest of each row is wanted, argmax(dim=-1)",
    }
    greedy = call(answer, logits.clone(), 0, explain=division)
    likeliest = logits.argmax(dim=-1)
    if isinstance(greedy, torch.Tensor) and greedy.isnan().any():
        raise Wrong(
            "at temperature 0 it divides by zero (nan): probability 1 for the likeliest, as a case of its own"
        )
    compare(
        greedy,
        torch.nn.functional.one_hot(likeliest, 4),
        {
            "at temperature 0 these are the ids: probabilities are wanted, 1 for the likeliest and 0 for all others":
                likeliest,
            "at temperature 0 these are the ids: probabilities (B, V) are wanted":
                likeliest[:, None],
            "temperature 0 is not 1: all the probability goes to the likeliest": softmax(logits),
            "at temperature 0 one row was taken for all: the likeliest of each row, dim=-1":
                torch.eye(4)[logits.argmax() % 4].expand(3, 4),
        },
        "at temperature 0 each row must have 1 for its likeliest and 0 for all others",
        what="the answer for temperature 0",
    )
    if not torch.as_tensor(greedy).is_floating_point():
        raise Wrong(
            "at temperature 0 these are whole numbers: make them floating-point, .float(), as all probabilities are"
        )
    close = torch.tensor([[1.0, 1.000001, 0.0, -1.0], [2.0, 0.5, -1.0, 2.0]])  # a near tie, a tie
    near, tie = torch.as_tensor(call(answer, close.clone(), 0)).double()
    if not same(near, [0, 1, 0, 0]):
        raise Wrong(
            "temperature 0 is the limit, not a very small temperature: of two nearly equal logits the larger still gets all"
        )
    if not same(tie.sum(), 1) or not same(tie[[1, 2]], [0, 0]):
        raise Wrong(
            "at temperature 0 two equal logits got probability 1 each: a row must sum to 1, so take one of them (argmax)"
        )
    return "and temperature 0 is greedy"


@exercise
def keep_top_p(answer):
    probs = torch.tensor(
        [  # (B, V), in no order; the rows keep different numbers of tokens
            [0.05, 0.15, 0.50, 0.20, 0.10],
            [0.02, 0.90, 0.03, 0.01, 0.04],
            [0.19, 0.21, 0.18, 0.22, 0.20],
        ]
    )
    logits = probs.log() + torch.tensor(
        [[3.0], [-2.0], [2.0]]
    )  # no logarithms of probabilities any more

    def dropped(p, values=probs, descending=True, late=0):
        """Where the sum of those before is p already, `late` places further on."""
        ordered, order = values.sort(dim=-1, descending=descending)
        drop = ordered.cumsum(dim=-1) - ordered >= p
        drop = torch.nn.functional.pad(drop, (late, 0))[:, : drop.size(1)]
        return torch.zeros_like(drop).scatter(-1, order, drop)

    for p in (0.75, 0.3, 1.0):
        given = logits.clone()
        got = call(
            answer, given, p, explain={"must match the size": "a sum over a row needs keepdim=True"}
        )
        if not isinstance(got, torch.Tensor) or got.shape != logits.shape:
            kind = (
                f"shape {tuple(got.shape)}"
                if isinstance(got, torch.Tensor)
                else f"a {type(got).__name__}"
            )
            raise Wrong(
                f"the answer is {kind}: logits of shape {tuple(logits.shape)} are wanted, -inf for what is dropped"
            )
        if not torch.equal(given, logits):
            raise Wrong(
                "the logits themselves were changed: masked_fill, without the underscore, makes new ones"
            )
        right, drop = dropped(p), torch.isneginf(got)
        ordered = probs.sort(dim=-1, descending=True).values
        everything = probs.flatten()[None] / 3
        short = torch.zeros_like(right).scatter(
            -1, probs.argsort(dim=-1, descending=True), ordered.cumsum(dim=-1) > p
        )
        mistakes = {
            "the token that reaches p was dropped: drop where the sum of those *before* a token is p already": short,
            "one token too many stays: the set is complete as soon as its sum reaches p": dropped(
                p, late=1
            ),
            "the mask is in sorted order: scatter it back to where each token stands": ordered.cumsum(
                dim=-1
            )
            - ordered
            >= p,
            "the least likely were kept: sort with descending=True; if you do, sum along each row, not down the batch, cumsum(dim=-1)": dropped(
                p, descending=False
            ),
            "gather is not the inverse of sort: use scatter (or gather with order.argsort(-1))": (
                ordered.cumsum(dim=-1) - ordered >= p
            ).gather(-1, probs.argsort(dim=-1, descending=True)),
            "the sum ran down the batch: along each row, cumsum(dim=-1)": torch.zeros_like(
                right
            ).scatter(
                -1, probs.argsort(dim=-1, descending=True), ordered.cumsum(dim=0) - ordered >= p
            ),
            "the kept and the dropped are swapped": ~right,
            "each token was compared with p by itself: add up the likeliest until they reach p": probs
            < p,
            "each token was compared with 1 - p by itself: add up the likeliest until they reach p": probs
            < 1 - p,
            "one threshold for the whole batch: each row by itself, dim=-1": dropped(
                p, everything
            ).view(3, 5),
            "the sum ran over the logits: softmax first": dropped(p, logits),
            "softmax over the batch: each row by itself, dim=-1": dropped(
                p, torch.nn.functional.softmax(logits, dim=0)
            ),
        }
        if right.any() and not drop.any():
            if same(got[~right], logits[~right]) and not same(got, logits):
                raise Wrong(
                    "what is dropped got a finite number: -inf is the one that softmax always makes 0"
                )
            if (got >= 0).all() and (got <= 1).all():
                raise Wrong("these are probabilities: return logits, with -inf for what is dropped")
            raise Wrong(f"with p = {p} nothing was dropped")
        for hint, wrong in mistakes.items():
            if torch.equal(drop, wrong) and not torch.equal(wrong, right):
                raise Wrong(hint)
        if not torch.equal(drop, right):
            kept, wanted = ((~mask).sum(dim=-1).tolist() for mask in (drop, right))
            if kept == wanted:
                raise Wrong(
                    f"with p = {p} the rows keep {kept} tokens, as they should, but not the likeliest"
                )
            raise Wrong(f"with p = {p} the rows should keep {wanted} tokens, not {kept}")
        softmax = torch.nn.functional.softmax(got, dim=-1)
        kept = probs.masked_fill(right, 0)
        compare(
            softmax,
            kept / kept.sum(dim=-1, keepdim=True),
            {
                "what stays are probabilities: return their logits as they were":
                    torch.nn.functional.softmax(probs.masked_fill(right, -torch.inf), -1),
            },
            "the right tokens stay, but not with their own logits",
        )
    for p, wanted in ((0.25, 1), (0.5, 2)):  # powers of two: these sums are exact
        kept = int((~torch.isneginf(call(answer, torch.zeros(1, 4), p))).sum())
        if kept == 4:
            raise Wrong(
                f"of four equal logits all stay at p = {p}, not {wanted}: a threshold cannot tell them apart; "
                "decide in sorted order, and scatter what is dropped back"
            )
        if kept != wanted:
            raise Wrong(
                f"from 0.25, 0.25, 0.25, 0.25 it keeps {kept} at p = {p}, not {wanted}: a sum equal to p has reached it, >= and not >"
            )
    return "each row keeps as many as it needs"


@exercise
def attend_one(answer):
    B, nh, block_size, hs = 2, 3, 7, 5
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    for length, rubbish in ((4, 1.0), (0, 1.0), (6, 1.0), (4, torch.nan)):
        q, k, v = (draw(B, nh, 1, hs) for _ in range(3))
        keys, values = 3 * draw(B, nh, block_size, hs), draw(B, nh, block_size, hs)
        keys[:, :, length:] *= rubbish  # what no token wrote yet; torch.empty may hold nan
        values[:, :, length:] *= rubbish
        after_k, after_v = keys.clone(), values.clone()
        after_k[:, :, length : length + 1], after_v[:, :, length : length + 1] = k, v

        def attend(to_k, to_v, scale=hs**-0.5, dim=-1):
            weights = torch.nn.functional.softmax(q @ to_k.transpose(-2, -1) * scale, dim=dim)
            return weights @ to_v

        given_k, given_v = keys.clone(), values.clone()
        got = call(
            answer,
            q.clone(),
            k.clone(),
            v.clone(),
            given_k,
            given_v,
            length,
            explain={
                "must match": "the stores' axes are (B, nh, block_size, hs): the tokens stand in the third",
                "number of sizes": "keys[:, :, length] has no axis for the token: keys[:, :, length : length + 1] has",
            },
        )
        n = length + 1
        right_k, right_v = after_k[:, :, :n], after_v[:, :, :n]
        if isinstance(got, torch.Tensor) and got.isnan().any() and rubbish != 1.0:
            raise Wrong(
                "right while the rows that no token wrote hold numbers; but they may hold nan, and a weight of 0 times nan is nan: "
                "read only the first length + 1 rows"
            )
        mistakes = {
            "it read the whole store, rubbish and all: only the first length + 1 places hold tokens": attend(
                after_k, after_v
            ),
            "the token does not see itself: after writing, the first length + 1 places count": attend(
                keys[:, :, :length], values[:, :, :length]
            )
            if length
            else torch.zeros(0),
            "is_causal=True lines up the one query with the first key, so it sees that alone: no mask is needed": attend(
                right_k[:, :, :1], right_v[:, :, :1]
            ),
            "the new key and value did not stand at place `length` when it read: write them there first": attend(
                keys[:, :, :n], values[:, :, :n]
            ),
            "the new key was not written before reading": attend(keys[:, :, :n], right_v),
            "the new value was not written before reading": attend(right_k, values[:, :, :n]),
            "k and v are swapped": attend(right_v, right_k),
            "not scaled: multiply the scores by head_size ** -0.5": attend(
                right_k, right_v, scale=1.0
            ),
            "scaled by block_size: by head_size ** -0.5": attend(
                right_k, right_v, scale=block_size**-0.5
            ),
            "scaled by the number of tokens: by head_size ** -0.5": attend(
                right_k, right_v, scale=n**-0.5
            ),
            "softmax over the queries: over the keys, dim=-1": attend(right_k, right_v, dim=-2),
            "it only looked at itself: all keys in the store are its past": v,
            "one place too many was read: length + 1 places hold tokens": attend(
                after_k[:, :, : n + 1], after_v[:, :, : n + 1]
            )
            if length < block_size - 1
            else torch.zeros(0),
        }
        compare(
            got,
            attend(right_k, right_v),
            mistakes,
            "softmax(q · keys / sqrt(hs)) · values is wanted, over the tokens held and the new one",
            what="the output",
        )
        for name, store, before, after in (
            ("key", given_k, keys, after_k),
            ("value", given_v, values, after_v),
        ):
            if torch.equal(store.nan_to_num(), before.nan_to_num()):
                raise Wrong(
                    f"the output is right, but the new {name} was not written into the store: the next token will miss it"
                )
            if not torch.equal(store.nan_to_num(), after.nan_to_num()):
                raise Wrong(
                    f"the output is right, but the store of {name}s has changed elsewhere than at place {length}"
                )
    return "one query, all its past, no mask; and the next token finds the new key"


@exercise
def cache_bytes(answer):
    configs = (
        (GPTConfig(vocab_size=11, block_size=7, n_layer=3, n_head=5, n_embd=20), 13, 4),
        (GPTConfig(), 1, 4),
        (
            GPTConfig(
                vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768, bias=True
            ),
            8,
            2,
        ),
    )
    for config, B, size in configs:
        got = call(answer, config, B, size)
        L, T, C, nh, V = (
            config.n_layer,
            config.block_size,
            config.n_embd,
            config.n_head,
            config.vocab_size,
        )
        right = 2 * L * B * T * C * size
        mistakes = {
            "keys or values alone: the cache holds both": right // 2,
            "queries were counted too: only keys and values are read again": right * 3 // 2,
            "one layer: each of the n_layer has its own": right // L,
            "one text: each of the batch has its own": right // B,
            "numbers, not bytes: each takes bytes_per_number": right // size,
            "bits: bytes are wanted": right * 8,
            "block_size was counted twice: one key and one value for each of block_size tokens": right
            * T,
            "4 bytes a number, whatever it is given: bytes_per_number": right // size * 4,
            "bytes_per_number was counted twice": right * size,
            "one head's share: n_head heads of head_size make n_embd": right // nh,
            "n_head and n_embd were both counted: n_embd holds all heads already": right * nh,
            "one token: there is room for block_size of them": right // T,
            "the attention weights (T × T) are not kept: only keys and values": right // C * T,
            "vocab_size has no part in it: the entries of a key are n_embd": right // C * V,
        }
        compare_number(
            got, right, mistakes, f"the bytes of {config}, {B} texts, {size} bytes a number"
        )
    return f"{right:,} bytes for GPT-2's smallest, {B} texts, {size} bytes a number"


@exercise
def write_past_limit(answer):
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=13, block_size=8, n_layer=2, n_head=3, n_embd=24, dropout=0.0)
    model = GPT(config).eval()
    for parameter in model.parameters():  # opinions far enough apart that a wrong context shows
        if parameter.dim() == 2:
            parameter.data *= 10
    read, embed = [], GPT.embed
    half_moved = (
        "the window moved by block_size // 2, or kept block_size - stride tokens: the token just chosen counts too, "
        "so block_size + 1 - stride must remain"
    )

    def watch(self, idx, start=0):
        read.append(idx.size(1))
        return embed(self, idx, start)

    for T, n, stride in ((3, 4, 3), (5, 19, 3), (5, 19, 1), (2, 20, 8)):
        idx = torch.randint(13, (2, T), generator=torch.Generator().manual_seed(T))
        right = model.generate(idx, n, temperature=0, stride=stride)
        half = model.generate(idx, n, temperature=0)
        ready_made = forbidden("write the loop: do without generate and stream")
        read.clear()
        with (
            mock.patch.multiple(GPT, embed=watch, generate=ready_made, stream=ready_made),
            torch.no_grad(),
        ):
            got = call(
                answer,
                model,
                idx.clone(),
                n,
                stride,
                explain={
                    "exceed block_size": "the cache is full: what it holds has lost its place, so it must be filled again",
                },
            )
        if isinstance(got, torch.Tensor) and got.shape == (2, n):
            raise Wrong("only the new tokens: return the prompt and what follows it")
        if isinstance(got, torch.Tensor) and got.dim() == 2 and got.size(1) < T + n:
            raise Wrong("the text itself was cut: keep it apart from the window")
        place = ""
        if (
            isinstance(got, torch.Tensor)
            and got.shape == right.shape
            and not torch.equal(got, right)
        ):
            first = int((got != right).any(dim=0).nonzero()[0])
            if first < config.block_size:
                raise Wrong(
                    f"prompt of {T}: token {first + 1} is wrong, long before the window is full: feed the cache what it has not read yet"
                )
            if first == config.block_size:
                raise Wrong(
                    "the first token past block_size is wrong: it must still see the last tokens before the window moves"
                )
            for keep in range(
                1, config.block_size + 1
            ):  # read afresh, but the window moves otherwise
                text = window = idx
                while text.size(1) < T + n and keep != config.block_size + 1 - stride:
                    next_id = model(window)[0][:, -1].argmax(dim=-1, keepdim=True)
                    text, window = (
                        torch.cat([text, next_id], dim=1),
                        torch.cat([window, next_id], dim=1),
                    )
                    window = window if window.size(1) <= config.block_size else window[:, -keep:]
                if torch.equal(got, text) and not torch.equal(got, half):
                    raise Wrong(
                        f"the window keeps {keep} tokens when it moves: block_size + 1 - stride must remain"
                    )
            place = f" (the first wrong token is number {first + 1}, block_size is {config.block_size}, stride {stride})"
        compare(
            got,
            right,
            {half_moved: half},
            (
                f"past block_size the text is not that of a model which reads the window afresh{place}: every key kept belongs to a "
                "position its token no longer has"
            ),
        )
        if sum(read) > T + n * max(1, config.block_size // stride) + config.block_size:
            raise Wrong(
                f"the text is right, but {sum(read)} positions were computed for {n} tokens: read the window again only when it moves"
            )
    return "keys of positions that have passed are never used again"
