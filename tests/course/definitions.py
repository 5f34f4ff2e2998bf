"""What a notebook defines under the name of something in the modules must be the same thing.

`definitions` finds such classes and functions in a notebook, without running it; `differences` tries
both on the same input. How a thing is made and tried stands in SPECIMENS.
"""

import ast
import inspect
import math

import torch

import mygpt_helpers
from mygpt import judge, recipes, train
from notebook_facts import code_cells, tags, tree


def public(module):
    """The classes and functions that a module defines for others."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


PUBLIC = public(mygpt_helpers) | public(recipes) | public(train) | public(judge)


def seeded():
    return torch.Generator().manual_seed(0)


# Sizes all different. Biases on, so that a forgotten one shows.
CONFIG = mygpt_helpers.GPTConfig(
    vocab_size=11, block_size=16, n_layer=2, n_head=3, n_embd=12, dropout=0.0, bias=True
)
IDS = torch.randint(11, (2, 7), generator=seeded())  # (B, T)
TARGETS = torch.randint(11, (2, 7), generator=torch.Generator().manual_seed(1))
X = torch.randn(2, 7, 12, generator=seeded())  # (B, T, C)
LOGITS = torch.randn(3, 11, generator=seeded())
DATA = torch.randint(11, (203,), generator=seeded())


def bigram():
    torch.manual_seed(0)
    return mygpt_helpers.BigramLanguageModel(11)


def layer(cls):
    return cls(CONFIG)


def itself(function):
    return function


def a_training_run(function):
    model = bigram()
    config = train.TrainConfig(steps=5, batch_size=4, block_size=6, eval_interval=2)
    history = function(model, DATA, DATA[:50], config)
    return [history.steps, history.train_loss, history.val_loss, model.token_embedding.weight]


# name: (how to make one, {what it can do: how to see it}). A notebook's form may lack methods, but not
# "use"; where it has them they give the same.
SPECIMENS = {
    "CharTokenizer": (
        lambda cls: cls.from_text("to be, or not\n"),
        {
            "use": lambda t: [
                t.encode("not to be\n"),
                t.decode([3, 0, 1]),
                t.vocab_size,
                type(t)("xyz").encode("zx"),
            ],
        },
    ),
    "encode_text": (
        itself,
        {"use": lambda f: f(mygpt_helpers.CharTokenizer.from_text("to be\n"), "be to be\n")},
    ),
    "split": (itself, {"use": lambda f: [*f(DATA), *f(DATA, 0.25)]}),
    "get_batch": (
        itself,
        {"use": lambda f: [*f(DATA, 5, 4, seeded()), *f(torch.arange(6), 5, 3, seeded())]},
    ),
    "cross_entropy": (
        itself,
        {"use": lambda f: f(torch.randn(2, 7, 11, generator=seeded()), TARGETS)},
    ),
    "BigramLanguageModel": (
        lambda cls: cls(11),
        {
            "use": lambda m: [*m(IDS, TARGETS), m(IDS)],
            "generate": lambda m: m.generate(IDS, 6, generator=seeded()),
        },
    ),
    "GPTConfig": (lambda cls: cls(n_head=3, n_embd=12), {"use": lambda c: [vars(c), c.head_size]}),
    "Head": (layer, {"use": lambda m: m(X), "weights": lambda m: m.weights(X)}),
    "MultiHeadAttention": (layer, {"use": lambda m: m(X), "weights": lambda m: m.weights(X)}),
    "FeedForward": (layer, {"use": lambda m: m(X)}),
    "Block": (layer, {"use": lambda m: m(X)}),
    "GPT": (
        layer,
        {
            "use": lambda m: [*m(IDS, TARGETS), m(IDS)],
            "attention_maps": lambda m: m.attention_maps(IDS),
            "num_parameters": lambda m: m.num_parameters(),
            "generate": lambda m: [
                m.generate(IDS, 6, temperature=0),
                m.generate(IDS, 6, generator=seeded()),
            ],
        },
    ),
    "sample": (
        itself,
        {
            "use": lambda f: [f(LOGITS, temperature=0), f(LOGITS, 0.8, generator=seeded())],
        },
    ),
    "evaluate": (itself, {"use": lambda f: f(bigram(), DATA, 8)}),
    "mean_and_error": (itself, {"use": lambda f: f(DATA.double() + 1, torch.full((203,), 512))}),
    "train": (itself, {"use": a_training_run}),
    "TrainConfig": (lambda cls: cls(steps=7), {"use": vars}),
    "History": (lambda cls: cls(), {"use": vars}),
}


def definitions(nb):
    """The notebook's own classes and functions with public names: its imports, constants and
    definitions are run, and nothing else. Raises what such a line raises if it is needed."""
    space, found = {"__name__": "notebook"}, {}
    for cell in code_cells(nb):
        if {"exercise", "solution"} & set(tags(cell)):
            continue
        for node in tree(cell).body:
            defines = isinstance(node, (ast.ClassDef, ast.FunctionDef))
            if not (defines or isinstance(node, (ast.Import, ast.ImportFrom)) or is_constant(node)):
                continue
            known = defines and node.name in PUBLIC
            try:
                exec(compile(ast.Module([node], []), "notebook", "exec"), space)
            except NameError:  # leans on a result of the run
                if known:
                    raise
            if known:
                found[node.name] = space[node.name]
    return found


def is_constant(node):
    """Whether it is an assignment of plain values, as B, T = 4, 8."""
    plain = (ast.Constant, ast.Tuple, ast.Name, ast.Store)
    return (
        isinstance(node, ast.Assign)
        and all(isinstance(n, plain) for n in ast.walk(node) if n is not node)
        and not any(isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) for n in ast.walk(node))
    )


def differences(name, theirs):
    """What is not alike in the module's `name` and in `theirs`: a list of sentences."""
    ours, (make, uses) = PUBLIC[name], SPECIMENS[name]
    wanted, got = (list(inspect.signature(f).parameters) for f in (ours, theirs))
    if got != (wanted if inspect.isclass(ours) else wanted[: len(got)]):  # last options may lack
        return [f"it takes {got}, not {wanted}"]
    a, b = make(ours), make(theirs)
    if isinstance(a, torch.nn.Module):
        shapes = [
            {key: tuple(value.shape) for key, value in m.state_dict().items()} for m in (a, b)
        ]
        if shapes[0] != shapes[1]:
            return [f"its state_dict is {shapes[1]}, not {shapes[0]}"]
        for parameter in a.parameters():  # far from the start, where small mistakes vanish
            torch.nn.init.normal_(parameter, std=0.5, generator=seeded())
        b.load_state_dict(a.state_dict())
    problems = []
    for use, see in uses.items():
        if use == "use" or hasattr(b, use):
            try:
                wanted, got = see(a), see(b)
                problems += [] if equal(wanted, got) else [f"{use} gives {got}, not {wanted}"]
            except Exception as error:
                problems.append(f"{use} raises {type(error).__name__}: {error}")
    return problems


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5)
    return math.isclose(a, b, rel_tol=1e-5) if isinstance(a, float) else a == b
