"""The training loop, step by step, the command line, and the choice of speed. Checkpoints have their own file."""

import math
import re
import runpy
import signal
import sys

import pytest
import tiny_run
import torch
from tiny_run import gpt, settings
from torch.nn import functional as F

from mygpt import train
from mygpt.__main__ import main
from mygpt.checkpoints import load_checkpoint
from mygpt.machine import notebook_speed, resolve_precision
from mygpt.train import PRESETS, TrainConfig, train
from mygpt_helpers import BigramLanguageModel, evaluate, get_batch

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
    assert (
        model.modes == [False, False] + [True, False] * 2
    )  # both texts, then a step and an evaluation, twice


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
        dict(batch_size=4.0),
        dict(seed=1.5),
        dict(warmup_steps=0.5),
        dict(learning_rate=math.inf),
        dict(weight_decay=math.nan),
        dict(grad_clip=math.inf),
        dict(warmup_steps=-1),
        dict(warmup_steps=3001),
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
    TrainConfig(min_learning_rate=None, grad_clip=None, patience=None)


# ----------------------------------------------------------------------------- one step


def reference_run(model, config, steps=None, data=tiny_run.DATA):
    """The weights after a plain loop: AdamW from its formula, clipping by hand, the closed form of the schedule."""
    generator = torch.Generator().manual_seed(config.seed)
    moments = {
        name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in model.named_parameters()
    }
    for step in range(steps or config.steps):
        x, y = get_batch(data, config.block_size, config.batch_size, generator)
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
        settings(steps=2, warmup_steps=0, min_learning_rate=None),
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


def test_patience_ends_a_run_that_no_longer_gets_better(monkeypatch):
    tiny_run.set_validation_losses(monkeypatch, [4.0, 3.0, 3.5, 2.5, 2.6, 2.5, 2.0])
    history = train(gpt(), tiny_run.DATA, tiny_run.VAL, settings(steps=60, patience=2))
    assert history.steps == [0, 5, 10, 15, 20, 25] and history.best == 3


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
    before, model.factor = model.token_embedding.weight.clone(), 1e38  # times 65536 is infinite
    for grad_clip in (None, 1.0):
        history = train(
            model,
            tiny_run.DATA,
            tiny_run.VAL,
            settings(steps=3, precision="fp16", grad_clip=grad_clip),
        )
        assert torch.equal(model.token_embedding.weight, before)
        assert math.isfinite(history.val_loss[-1])
    model.factor = 1.0
    train(model, tiny_run.DATA, tiny_run.VAL, settings(steps=3, precision="fp16"))
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
        mygpt_train.begin(gpt(), settings(precision=p)).scaler.is_enabled()
        for p in ("fp32", "bf16", "fp16")
    ]
    assert enabled == [False, False, True]


@pytest.mark.parametrize(
    "capability, precision",
    [
        ((6, 1), "fp32"),
        ((7, 0), "fp16"),
        ((7, 5), "fp16"),
        ((8, 0), "bf16"),
        ((8, 9), "bf16"),
        ((9, 0), "bf16"),
        ((12, 0), "bf16"),
    ],
)
def test_mistake_18_the_precision_of_a_gpu_goes_by_its_age(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert resolve_precision("auto", torch.device("cuda")) == precision
    for asked in ("fp32", "bf16", "fp16"):  # who asks, gets it
        assert resolve_precision(asked, torch.device("cuda")) == asked


@pytest.mark.parametrize(
    "can, precision",
    [
        ({"amx_bf16": True, "avx512_bf16": False}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, "fp32"),
        ({"neon": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_mistake_18_the_precision_of_a_cpu_goes_by_what_it_can(monkeypatch, can, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    assert resolve_precision("auto", torch.device("cpu")) == precision
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    assert resolve_precision("bf16", torch.device("cpu")) == "bf16"
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older torch
    assert resolve_precision("auto", torch.device("cpu")) == "fp32"


# ----------------------------------------------------------------------------- presets and the command line


def test_the_presets_are_the_course_s():
    model, config = PRESETS["gpu"]
    assert (model.block_size, model.n_layer, model.n_head, model.n_embd, model.dropout) == (
        256,
        6,
        6,
        384,
        0.2,
    )
    assert (config.steps, config.batch_size, config.learning_rate, config.min_learning_rate) == (
        5000,
        64,
        1e-3,
        1e-4,
    )
    assert (config.warmup_steps, config.beta2, config.weight_decay, config.grad_clip) == (
        100,
        0.99,
        0.1,
        1.0,
    )
    constant_model, constant = PRESETS["gpu_constant"]
    assert constant_model == model
    assert (constant.steps, constant.learning_rate, constant.min_learning_rate) == (
        5000,
        3e-4,
        None,
    )
    assert (constant.warmup_steps, constant.weight_decay, constant.grad_clip) == (0, 0.1, 1.0)
    for name, (model, config) in PRESETS.items():
        assert model.block_size == config.block_size and config.precision == "auto", name


TEXT = "To be, or not to be: that is the question.\n" * 40


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command line in this process, on a short text: its exit status, output and error."""
    monkeypatch.setattr(mygpt_train, "load_text", lambda name: TEXT)

    def run(*arguments):
        torch.seed()  # whatever went before
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as exit:
            code = exit.code
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        # Python prints what sys.exit was given, if it is a sentence, and ends with 1
        return (1, said.out, code) if isinstance(code, str) else (code, said.out, said.err)

    return run


TRAIN = ["train", "--preset", "smoke", "--device", "cpu", "--precision", "fp32"]


def test_the_command_line_trains_and_samples(command, tmp_path):
    out = tmp_path / "run"
    code, said, _ = command(*TRAIN, "--out", out, "--steps", 25)
    assert code == 0 and "device cpu, fp32, 1 process(es)" in said and f"{out}/best.pt" in said
    saved = load_checkpoint(out / "last.pt")
    assert saved["step"] == 25 and saved["history"]["steps"] == [0, 20, 25]
    assert saved["chars"] == "".join(sorted(set(TEXT))) and saved["history"]["val_loss"][-1] < 2.5
    sample = [
        "sample",
        "--checkpoint",
        out / "best.pt",
        "--prompt",
        "To be",
        "--length",
        40,
        "--top-k",
        5,
    ]
    code, said, _ = command(*sample)
    assert code == 0 and said.startswith("To be") and len(said) == len("To be") + 40 + 1
    assert command(*sample)[1] == said != command(*sample, "--seed", 1)[1]
    assert (
        command(*sample, "--temperature", 0)[1]
        == command(*sample, "--temperature", 0, "--seed", 1)[1]
    )


def test_the_command_line_resumes_to_the_same_end_and_the_seed_decides_it(
    command, tmp_path, monkeypatch
):
    whole, halves, other = (tmp_path / name for name in ("whole", "halves", "other"))
    asked = [*TRAIN, "--steps", 22]
    command(*asked, "--out", whole)
    with monkeypatch.context() as patch:
        patch.setattr(mygpt_train, "keep", stopping_keep(mygpt_train.keep, step=20))
        command(*asked, "--out", halves)
    assert load_checkpoint(halves / "last.pt")["step"] == 20
    code, _, error = command(*asked, "--out", halves)
    assert code == 1 and f"{halves} holds a run already" in error and "--resume" in error
    assert command(*asked, "--out", halves, "--resume")[0] == 0
    assert tiny_run.same(tiny_run.left_by(halves), tiny_run.left_by(whole))
    command(*asked, "--out", other, "--seed", 5)
    assert not tiny_run.same(
        tiny_run.left_by(other)["last.pt"]["model"], tiny_run.left_by(whole)["last.pt"]["model"]
    )


def stopping_keep(keep, step):
    """A `keep` during which Ctrl-C is pressed at this step."""

    def and_stop(run, out):
        keep(run, out)
        if run.step == step:
            signal.raise_signal(signal.SIGINT)

    return and_stop


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--steps", 0], "steps is 0: it must be at least 1"),
        (["--learning-rate", -1], "learning_rate is -1.0"),
        (["--batch-size", 0], "batch_size is 0"),
        (["--resume"], "there is no checkpoint .*last.pt"),
        (["--preset", "huge"], "invalid choice: 'huge'"),
        (["--precision", "fp8"], "invalid choice: 'fp8'"),
        (["--device", "gpu"], "invalid choice: 'gpu'"),
        (["--steps", "many"], "invalid int value: 'many'"),
    ],
)
def test_bad_values_for_train_end_with_a_sentence(command, tmp_path, arguments, words):
    code, _, error = command(*TRAIN, "--out", tmp_path, *arguments)
    assert code in (1, 2) and re.search(words, error), error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")
def test_a_device_that_is_not_there_is_refused(command, tmp_path):
    code, _, error = command(*TRAIN, "--out", tmp_path, "--device", "cuda")
    assert code == 1 and "device is cuda: there is none" in error and "leave --device out" in error


def test_a_text_that_cannot_be_had_is_a_sentence(command, tmp_path, monkeypatch):
    def closed(name):
        raise mygpt_train.TextUnavailable("what was tried, and what to do by hand")

    monkeypatch.setattr(mygpt_train, "load_text", closed)
    assert command(*TRAIN, "--out", tmp_path)[::2] == (1, "what was tried, and what to do by hand")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--prompt", "Ö"], "'Ö' .* is not among"),
        (["--prompt", ""], "the prompt is empty"),
        (["--temperature", -1], "temperature is -1.0"),
        (["--top-k", 0], "top_k is 0"),
        (["--top-p", 1.5], "top_p is 1.5"),
        (["--length", -5], "max_new_tokens is -5"),
        (["--checkpoint", "nowhere.pt"], "there is no checkpoint nowhere.pt"),
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors and nowhere.json must both"),
        (["--checkpoint", __file__], "test_train.py is damaged or no checkpoint"),
    ],
)
def test_bad_values_for_sample_end_with_a_sentence(command, tmp_path, arguments, words):
    tiny_run.run(tmp_path, config=settings(steps=1, warmup_steps=0))
    code, _, error = command(
        "sample", "--checkpoint", tmp_path / "last.pt", "--prompt", "abc", *arguments
    )
    assert code == 1 and re.search(words, error), error


def test_the_command_line_as_a_program(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["mygpt_train.py", "sample", "--checkpoint", str(tmp_path / "none.pt")]
    )
    with pytest.raises(SystemExit, match="there is no checkpoint .*none.pt"):
        runpy.run_path(mygpt_train.__file__, run_name="__main__")


# ----------------------------------------------------------------------------- speed


def test_speed_is_what_the_variable_says(monkeypatch, capsys):
    monkeypatch.setenv("MYGPT_SPEED", "smoke")
    assert notebook_speed(smoke=0.1, laptop=4, gpu=2) == "smoke"
    assert "smoke, about 0.1 min" in capsys.readouterr().out
    monkeypatch.setenv("MYGPT_SPEED", "fast")
    with pytest.raises(ValueError, match="'fast'.*smoke, laptop, gpu"):
        notebook_speed(smoke=0.1, laptop=4, gpu=2)


@pytest.mark.parametrize(
    "major, gigabytes, speed",
    [(9, 80, "gpu"), (8, 8.5, "gpu"), (8, 6, "laptop"), (7, 16, "laptop")],
)
def test_speed_without_the_variable_goes_by_the_card(monkeypatch, capsys, major, gigabytes, speed):
    card = type("Card", (), {"major": major, "total_memory": gigabytes * 1e9, "name": "a card"})
    monkeypatch.delenv("MYGPT_SPEED", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    assert notebook_speed(smoke=0.1, laptop=4, gpu=2) == speed
    assert (
        "gpu, perhaps 2 min" if speed == "gpu" else "laptop, about 4 min"
    ) in capsys.readouterr().out
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert mygpt_train.default_speed() == "laptop"
