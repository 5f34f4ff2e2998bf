"""The training loop, step by step. Checkpoints, the command line and the machine have their own files."""

import dataclasses
import itertools
import math
import re
import signal

import numpy
import pytest
import tiny_run
import torch
from tiny_run import gpt, settings
from torch.nn import functional as F

from mygpt.checkpoints import load_checkpoint
from mygpt.judge import judge
from mygpt.train import PRESETS, Diverged, History, Run, TrainConfig, train
from mygpt_helpers import BigramLanguageModel, CharTokenizer, evaluate, get_batch

DATA = torch.randint(5, (500,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
CONFIG = dict(steps=25, batch_size=3, block_size=4, learning_rate=0.05, eval_interval=10)


def fresh(seed=0):
    torch.manual_seed(seed)
    return BigramLanguageModel(5)


def test_train_is_the_loop_that_notebook_01_writes_out():
    model, reference = fresh(), fresh()
    train(model, DATA, DATA, TrainConfig(**CONFIG))
    optimizer = torch.optim.AdamW(reference.parameters(), lr=0.05, fused=True)
    generator = torch.Generator().manual_seed(1337)
    for _ in range(25):
        loss = reference(*get_batch(DATA, 4, 3, generator))[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(model.token_embedding.weight, reference.token_embedding.weight)


def test_history_holds_what_happened():
    model, seen = fresh(), []
    first = evaluate(model, DATA[:100], 4)
    history = train(
        model, DATA, DATA[:100], TrainConfig(**CONFIG), on_eval=lambda h: seen.append(list(h.steps))
    )
    assert history.steps == [0, 10, 20, 25]
    assert seen == [[0], [0, 10], [0, 10, 20], [0, 10, 20, 25]]
    assert history.val_loss[0] == first and history.val_loss[-1] == evaluate(model, DATA[:100], 4)
    assert len(history.train_loss) == 4 and all(map(math.isfinite, history.train_loss))
    assert history.seconds == sorted(history.seconds)


def test_the_mean_training_loss_is_that_of_the_steps_between():
    config = TrainConfig(
        **CONFIG | {"eval_interval": 2, "steps": 4, "learning_rate": 1e-12}
    )  # hardly moves
    history, model = train(fresh(), DATA, DATA, config), fresh()
    generator = torch.Generator().manual_seed(1337)
    losses = [model(*get_batch(DATA, 4, 3, generator))[1].item() for _ in range(4)]
    first = evaluate(model, DATA[: 3 * 4 + 1], 4)  # before any step: as much text as a batch holds
    assert history.train_loss == pytest.approx(
        [first, sum(losses[:2]) / 2, sum(losses[2:]) / 2], rel=1e-5
    )


def test_the_seed_decides_the_batches_and_evaluation_does_not():
    def weights(**changes):
        model = fresh()
        train(model, DATA, DATA, TrainConfig(**CONFIG | changes))
        return model.token_embedding.weight

    torch.manual_seed(9)
    assert torch.equal(weights(), weights(eval_interval=3))
    assert not torch.equal(weights(), weights(seed=1))


def test_dropout_is_on_while_training_and_stays_on_after_an_evaluation():
    class Watched(BigramLanguageModel):
        modes = []

        def forward(self, idx, targets=None):
            self.modes.append(self.training)
            return super().forward(idx, targets)

    model = Watched(5).eval()
    train(model, DATA, DATA[:3], TrainConfig(**CONFIG | {"steps": 2, "eval_interval": 1}))
    spells = [training for training, _ in itertools.groupby(model.modes)]
    assert spells == [False, True, False, True, False]


def test_the_progress_line_ends_full_with_both_losses(capsys):
    train(fresh(), DATA, DATA, TrainConfig(**CONFIG))
    last = capsys.readouterr().out.strip().split("\r")[-1]
    assert all(word in last for word in ("100%", "25/25", "train", "val", "tokens/s"))


@pytest.mark.parametrize(
    "wrong",
    [
        dict(steps=0),
        dict(batch_size=0),
        dict(block_size=0),
        dict(eval_interval=-1),
        dict(patience=0),
        dict(learning_rate=0.0),
        dict(learning_rate=math.nan),
        dict(min_learning_rate=-1.0),
        dict(min_learning_rate=0.5),
        dict(grad_clip=0),
        dict(steps=2.5),
        dict(steps=True),
        dict(patience=False),
        dict(batch_size=4.0),
        dict(seed=1.5),
        dict(warmup_steps=0.5),
        dict(learning_rate=math.inf),
        dict(weight_decay=math.nan),
        dict(grad_clip=math.inf),
        dict(warmup_steps=-1),
        dict(weight_decay=-0.1),
        dict(beta2=1.0),
        dict(precision="fp8"),
        dict(steps=None),
        dict(learning_rate=None),
        dict(learning_rate="1e-3"),
        dict(seed=None),
        dict(precision=None),
    ],
)
def test_a_bad_setting_is_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}: it must be"):
        TrainConfig(**wrong)


def test_what_is_none_by_default_may_be_none():
    TrainConfig(min_learning_rate=None, grad_clip=None, patience=None, block_size=None)


def test_whole_numbers_of_numpy_become_python_s():
    config = TrainConfig(
        steps=numpy.int64(5), learning_rate=numpy.float32(0.5), seed=numpy.uint8(3)
    )
    assert [type(value) for value in (config.steps, config.learning_rate, config.seed)] == [
        int,
        float,
        int,
    ]


def test_a_preset_cannot_be_changed_by_accident():
    for part, name in ((0, "n_layer"), (1, "steps")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(PRESETS["smoke"][part], name, 7)


# ----------------------------------------------------------------------------- what does not fit together


def widths(model):
    """The lengths of the windows that a model sees from now on."""
    seen = set()
    model.register_forward_pre_hook(lambda model, given: seen.add(given[0].shape[1]))
    return seen


@pytest.mark.parametrize("asked, used", [(None, 8), (8, 8), (5, 5)])
def test_the_block_size_is_the_model_s_unless_a_shorter_one_is_asked_for(asked, used):
    model = gpt()
    seen = widths(model)
    history = train(model, tiny_run.DATA, tiny_run.VAL, settings(block_size=asked))
    assert max(seen) == used
    assert history.val_loss[-1] == evaluate(model, tiny_run.VAL, used)


def test_a_block_size_that_is_too_long_or_unknown_is_refused_with_a_remedy_that_works():
    with pytest.raises(ValueError, match=r"16 is more than the model's 8: leave it out.*GPTConfig"):
        trained(settings(block_size=16))
    trained(settings(block_size=16), block_size=16)
    with pytest.raises(
        ValueError, match=r"does not say its block_size: .*TrainConfig\(block_size="
    ):
        train(fresh(), DATA, DATA, TrainConfig(steps=2))


class NoDict:
    """A tokenizer that a checkpoint cannot hold."""

    vocab_size = 7


@pytest.mark.parametrize(
    "wrong, words",
    [
        (
            dict(tokenizer=CharTokenizer("abcdefghijklm")),
            "the tokenizer has 13 ids, and the model's vocabulary is 7: .*vocab_size=13",
        ),
        (dict(tokenizer=NoDict()), r"the tokenizer has no to_dict\(\)"),
        (dict(train_data=tiny_run.DATA + 1), "train_data has ids from 1 to 7, .* is 7: make"),
        (dict(val_data=tiny_run.VAL.long() - 1), "val_data has ids from -1 to 5"),
        (
            dict(train_data=tiny_run.DATA[:8]),
            "train_data has 8 tokens, and block_size 8 needs .* 9",
        ),
        (dict(val_data=tiny_run.VAL[:1]), "val_data has 1 tokens"),
        (dict(train_data=[1, 2, 3] * 20), "train_data is of type list: .*encode_text"),
        (dict(train_data="To be, or not to be"), "train_data is of type str: it must be a tensor"),
        (dict(val_data=tiny_run.VAL.view(2, 30)), "val_data is torch.*: it must be a tensor"),
        (dict(val_data=tiny_run.VAL.float()), "val_data is torch.*: it must be a tensor"),
        (dict(resume=True, out=None), "resume=True .*out="),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(tmp_path, wrong, words):
    model = gpt()
    before, seen = [weight.clone() for weight in model.parameters()], widths(model)
    options = dict(train_data=tiny_run.DATA, val_data=tiny_run.VAL, out=tmp_path / "out") | wrong
    with pytest.raises(ValueError, match=words):
        train(model, config=settings(), **options)
    assert not seen and not (tmp_path / "out").exists()
    assert all(map(torch.equal, before, model.parameters()))


# ----------------------------------------------------------------------------- divergence


def test_a_run_that_becomes_nan_stops_at_the_evaluation_that_shows_it(tmp_path):
    seen = []
    with pytest.raises(Diverged, match="diverged by step 10: .*loss nan.*learning rate") as stopped:
        broken_at(7, tmp_path, on_eval=lambda history: seen.append(list(history.steps)))
    assert isinstance(stopped.value, ValueError)
    history = stopped.value.history
    assert history.steps == [0, 5, 10] and seen == [[0], [0, 5], [0, 5, 10]]
    assert math.isnan(history.val_loss[-1]) and math.isfinite(history.val_loss[1])
    assert judge(history, {"runs": []}).startswith(
        "diverged: the loss is NaN or infinite at step 10"
    )


def broken_at(step, out, **more):
    """Train into `out`; a weight becomes NaN in the middle of this step."""
    model, seen = gpt(), []

    def hook(model, given):
        seen.append(model.training)
        if model.training and sum(seen) == step + 1:
            model.ln_f.weight.data.fill_(math.nan)

    model.register_forward_pre_hook(hook)
    return train(model, tiny_run.DATA, tiny_run.VAL, settings(), out=out, **more)


def test_a_diverged_run_leaves_the_last_sound_checkpoint(tmp_path):
    with pytest.raises(
        Diverged, match=f"{re.escape(str(tmp_path))} keeps the run as it was before"
    ):
        broken_at(7, tmp_path)
    sound = tmp_path / "sound"
    with pytest.raises(KeyboardInterrupt):
        tiny_run.train(
            gpt(), tiny_run.DATA, tiny_run.VAL, settings(), out=sound, on_eval=stop_at(5)
        )
    assert tiny_run.same(tiny_run.left_by(tmp_path), tiny_run.left_by(sound))
    assert History.load(tmp_path / "history.json").steps == [0, 5]


def stop_at(step):
    """An on_eval that presses Ctrl-C at this step."""
    return lambda history: history.steps[-1] == step and signal.raise_signal(signal.SIGINT)


def test_an_interrupt_after_the_weights_broke_keeps_the_last_sound_checkpoint(tmp_path):
    model = gpt()

    def hook(model, given, seen=[]):
        seen.append(model.training)
        if sum(seen) == 7 and model.training:
            model.ln_f.weight.data.fill_(math.nan)
            signal.raise_signal(signal.SIGINT)

    model.register_forward_pre_hook(hook)
    with pytest.raises((Diverged, KeyboardInterrupt)) as stopped:
        train(model, tiny_run.DATA, tiny_run.VAL, settings(), out=tmp_path)
    assert isinstance(stopped.value, Diverged) and "weights are NaN" in str(stopped.value)
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 5


def test_a_training_loss_alone_that_is_infinite_ends_the_run():
    class Infinite(BigramLanguageModel):
        def forward(self, idx, targets=None):
            logits, loss = super().forward(idx, targets)
            return logits, loss if loss is None else loss * 0 + math.inf

    with pytest.raises(Diverged, match="training loss inf"):
        train(Infinite(7), tiny_run.DATA, tiny_run.VAL, settings(block_size=8))


def test_a_model_that_is_broken_from_the_start_gets_another_sentence():
    model = gpt()
    model.ln_f.weight.data.fill_(math.nan)
    with pytest.raises(Diverged, match="broken before the first step.*the cell that makes it"):
        train(model, tiny_run.DATA, tiny_run.VAL, settings())


# ----------------------------------------------------------------------------- one step


def reference_run(model, config, steps=None, data=tiny_run.DATA):
    """The weights after a plain loop: AdamW from its formula, clipping by hand, the closed form of the schedule."""
    generator = torch.Generator().manual_seed(config.seed)
    moments = {
        name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in model.named_parameters()
    }
    for step in range(steps or config.steps):
        x, y = get_batch(data, 8, config.batch_size, generator)
        loss = F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten())
        gradients = torch.autograd.grad(loss, list(model.parameters()))  # this step's alone
        norm = math.sqrt(sum(g.pow(2).sum().item() for g in gradients))
        shrink = min(1.0, config.grad_clip / (norm + 1e-6)) if config.grad_clip else 1.0
        rate = schedule(step, config)
        with torch.no_grad():
            for (name, p), g in zip(model.named_parameters(), gradients):
                m, v = moments[name]
                m.lerp_(g * shrink, 0.1)
                v.lerp_((g * shrink) ** 2, 1 - config.beta2)
                p *= 1 - rate * (config.weight_decay if p.dim() > 1 else 0)
                m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - config.beta2 ** (step + 1))
                p -= rate * m_hat / (v_hat.sqrt() + 1e-8)
    return model


def schedule(step, config):
    """Up in a straight line, then down half a cosine."""
    top, low, warmup = config.learning_rate, config.min_learning_rate, config.warmup_steps
    if step < warmup:
        return top * (step + 1) / warmup
    if low is None:
        return top
    turn = math.pi * (step - warmup) / (config.steps - warmup)
    return (top + low) / 2 + (top - low) / 2 * math.cos(turn)


def trained(config, data=tiny_run.DATA, seed=0, **sizes):
    model = gpt(seed, **sizes)
    train(model, data, tiny_run.VAL, config)
    return model


def furthest(a, b):
    """The largest difference between two models' weights."""
    return max((p - q).abs().max().item() for p, q in zip(a.parameters(), b.parameters()))


@pytest.mark.parametrize(
    "changes", [{}, {"grad_clip": None}, {"grad_clip": 0.05}, {"min_learning_rate": None}]
)
def test_mistake_17_each_step_has_gradients_of_its_own_clipped_and_decayed(changes):
    config = settings(**changes)
    reference = reference_run(gpt(dropout=0.0, bias=True), config)
    assert furthest(reference, gpt(dropout=0.0, bias=True)) > 0.02
    assert furthest(trained(config, dropout=0.0, bias=True), reference) < 2e-5


def test_mistake_17_one_batch_is_learned_by_heart():
    window = torch.tensor([3, 1, 4, 1, 5, 2, 6, 5, 0], dtype=torch.uint8)  # a text of one window
    config = settings(steps=100, eval_interval=100, learning_rate=0.03)
    history = train(gpt(dropout=0.0, n_embd=16), window, window, config)
    assert history.val_loss[0] > 1.8 and history.val_loss[-1] < 0.02


def test_weight_decay_is_on_matrices_only():
    class Still(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix, self.vector = (
                torch.nn.Parameter(torch.ones(shape)) for shape in [(3, 2), (2,)]
            )

        def forward(self, idx, targets=None):
            logits = torch.zeros(*idx.shape, 7) + 0 * (self.matrix.sum() + self.vector.sum())
            return logits, None if targets is None else logits.sum()

    model = Still()
    train(
        model,
        tiny_run.DATA,
        tiny_run.VAL,
        settings(steps=2, block_size=8, warmup_steps=0, min_learning_rate=None),
    )
    assert torch.allclose(model.matrix, torch.full((3, 2), (1 - 0.01 * 0.1) ** 2))
    assert torch.equal(model.vector, torch.ones(2))


def test_the_learning_rate_rises_and_falls_as_said():
    config = TrainConfig(steps=110, learning_rate=1.0, warmup_steps=10, min_learning_rate=0.2)
    rates = [config.learning_rate_at(step) for step in range(111)]
    assert rates == pytest.approx([schedule(step, config) for step in range(111)])
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == max(rates) == 1.0
    assert rates[60] == pytest.approx(0.6) and rates[110] == pytest.approx(0.2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    still = TrainConfig(steps=10, learning_rate=0.5)
    assert {still.learning_rate_at(step) for step in range(11)} == {0.5}
    assert (
        TrainConfig(steps=10, warmup_steps=10, min_learning_rate=1e-4).learning_rate_at(10) == 1e-3
    )


def test_the_run_uses_the_learning_rate_of_its_step(monkeypatch):
    used, step = [], torch.optim.AdamW.step

    def spy(self, *arguments, **more):
        used.append([group["lr"] for group in self.param_groups])
        return step(self, *arguments, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    config = settings()
    trained(config)
    assert used == [
        pytest.approx([schedule(n, config)] * 2) for n in range(13)
    ]  # matrices and vectors


class Both:
    """Two optimizers under one name, as AdamW on the vectors and SGD on the matrices."""

    def __init__(self, *optimizers):
        self.optimizers = optimizers
        self.param_groups = [group for each in optimizers for group in each.param_groups]
        self.rates = []

    def zero_grad(self):
        for each in self.optimizers:
            each.zero_grad()

    def step(self):
        self.rates.append([group["lr"] for group in self.param_groups])
        for each in self.optimizers:
            each.step()


def both(model, config):
    by_axes = {True: [], False: []}
    for weight in model.parameters():
        by_axes[weight.dim() > 1].append(weight)
    sgd = torch.optim.SGD(by_axes[True], 10 * config.learning_rate)
    return Both(sgd, torch.optim.AdamW(by_axes[False], config.learning_rate))


def test_another_optimizer_gets_the_schedule_as_a_factor_of_each_group_s_own_rate():
    made, config, model, plain = [], settings(grad_clip=None), gpt(dropout=0.0), gpt(dropout=0.0)

    def make_optimizer(model, config):
        made.append(both(model, config))
        return made[0]

    train(model, tiny_run.DATA, tiny_run.VAL, config, make_optimizer=make_optimizer)
    rates = [schedule(step, config) for step in range(13)]
    assert made[0].rates == [pytest.approx([10 * rate, rate]) for rate in rates]
    optimizer, generator = both(plain, config), torch.Generator().manual_seed(config.seed)
    for rate in rates:  # the same by hand
        for group, factor in zip(optimizer.param_groups, (10, 1)):
            group["lr"] = factor * rate
        optimizer.zero_grad()
        plain(*get_batch(tiny_run.DATA, 8, config.batch_size, generator))[1].backward()
        optimizer.step()
    assert furthest(model, plain) < 1e-6 < furthest(gpt(dropout=0.0), plain)


def test_patience_ends_a_run_that_no_longer_gets_better(monkeypatch):
    tiny_run.set_validation_losses(monkeypatch, [4.0, 3.0, 3.5, 2.5, 2.6, 2.5, 2.0])
    history = train(gpt(), tiny_run.DATA, tiny_run.VAL, settings(steps=60, patience=2))
    assert history.steps == [0, 5, 10, 15, 20, 25] and history.best_index == 3


READS = (
    "item",
    "tolist",
    "numpy",
    "cpu",
    "__float__",
    "__int__",
    "__bool__",
    "__index__",
    "__format__",
)


def test_no_step_waits_for_the_value_of_a_tensor(monkeypatch):
    """On a GPU, to read a number is to wait until all work is done."""

    def reads(steps):
        count = []
        with monkeypatch.context() as patch:
            for name in READS:

                def spy(self, *arguments, name=name, real=getattr(torch.Tensor, name)):
                    count.append(name)
                    return real(self, *arguments)

                patch.setattr(torch.Tensor, name, spy)
            trained(settings(steps=steps, eval_interval=1000, grad_clip=0.1))
        return len(count)

    few, many = reads(21), reads(121)
    assert few > 0 and many - few <= 2 * 5  # the progress line reads one loss every 20 steps


# ----------------------------------------------------------------------------- mistake 18: precision


def test_mistake_18_fp16_gets_a_scaler_and_unscales_before_it_clips(monkeypatch):
    calls, scaled = [], []
    for owner, name in [
        (torch.amp.GradScaler, "scale"),
        (torch.amp.GradScaler, "unscale_"),
        (torch.amp.GradScaler, "step"),
        (torch.amp.GradScaler, "update"),
        (torch.nn.utils, "clip_grad_norm_"),
    ]:

        def spy(*arguments, name=name, real=getattr(owner, name), **more):
            calls.append(name)
            result = real(*arguments, **more)
            if name == "scale":
                scaled.append((result / arguments[1]).item())
            return result

        monkeypatch.setattr(owner, name, spy)
    half = trained(settings(precision="fp16", grad_clip=0.05), dropout=0.0)
    assert calls == ["scale", "unscale_", "clip_grad_norm_", "step", "update"] * 13
    assert min(scaled) >= 2**14  # small gradients do not become zero
    monkeypatch.undo()
    reference = reference_run(gpt(dropout=0.0), settings(grad_clip=0.05))
    assert furthest(half, reference) < 0.01 < furthest(gpt(dropout=0.0), reference)
    whole = trained(settings(grad_clip=0.05), dropout=0.0)
    assert furthest(half, whole) > 0  # it is not float32 under another name


def test_mistake_18_a_step_whose_gradient_overflows_is_skipped():
    class Overflowing(BigramLanguageModel):
        def forward(self, idx, targets=None):
            logits, loss = super().forward(idx, targets)
            return logits, loss if loss is None or not self.training else loss * self.factor

    model = Overflowing(7)
    before, model.factor = model.token_embedding.weight.clone(), 1e35  # times 65536 is infinite
    for grad_clip in (None, 1.0):
        history = train(
            model,
            tiny_run.DATA,
            tiny_run.VAL,
            settings(steps=3, block_size=8, precision="fp16", grad_clip=grad_clip),
        )
        assert torch.equal(model.token_embedding.weight, before)
        assert math.isfinite(history.val_loss[-1])
    model.factor = 1.0
    train(model, tiny_run.DATA, tiny_run.VAL, settings(steps=3, block_size=8, precision="fp16"))
    assert not torch.equal(model.token_embedding.weight, before)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mistake_18_products_are_short_and_losses_weights_and_moments_float32(precision, tmp_path):
    seen, model = [], gpt()
    model.register_forward_hook(
        lambda module, args, out: seen.append((module.training, out[0].dtype, out[1]))
    )
    train(model, tiny_run.DATA, tiny_run.VAL, settings(precision=precision), out=tmp_path)
    short = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert {dtype for training, dtype, _ in seen if training} == {short}
    assert {dtype for training, dtype, _ in seen if not training} == {
        torch.float32
    }  # evaluation is exact
    assert {loss.dtype for training, _, loss in seen if training} == {torch.float32}
    saved = load_checkpoint(tmp_path / "last.pt")
    assert {value.dtype for value in saved["model"].values()} == {torch.float32}
    moments = [value for entry in saved["optimizer"]["state"].values() for value in entry.values()]
    assert {value.dtype for value in moments} == {torch.float32}


def test_mistake_18_only_fp16_is_scaled():
    enabled = [
        Run(gpt(), settings(precision=p)).scaler.is_enabled() for p in ("fp32", "bf16", "fp16")
    ]
    assert enabled == [False, False, True]
