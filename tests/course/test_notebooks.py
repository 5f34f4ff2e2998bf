"""Rules that every saved notebook keeps, present and future ones.

A rule is a function problems_...(nb) -> list of sentences, empty when all is well. The last part of
this file breaks a good little notebook in one way at a time and sees each rule object.
"""

import ast
import copy
import importlib
import inspect
import math
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import mygpt_helpers

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# ----------------------------------------------------------------------------- reading a notebook


def code_cells(nb, tag=None):
    cells = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
    return cells if tag is None else [cell for cell in cells if tag in tags(cell)]


def markdown(nb):
    return "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")


def tags(cell):
    return cell.metadata.get("tags", [])


def hidden(cell, what):
    return cell.metadata.get("jupyter", {}).get(f"{what}_hidden") is True


def next_cell(nb, index, cell_type):
    """The first cell of this type after `index` and its index, or (None, None)."""
    return next(
        ((i, c) for i, c in enumerate(nb.cells) if i > index and c.cell_type == cell_type),
        (None, None),
    )


def output_text(cell):
    """All that a code cell put out as text, pictures left out."""
    parts = [output.get("text", "") for output in cell.outputs]
    for output in cell.outputs:
        parts += [
            str(data)
            for mime, data in output.get("data", {}).items()
            if not mime.startswith("image/")
        ]
    return "\n".join(parts)


def pictures(nb):
    """(index of the cell, output) of every output that is a picture."""
    for index, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            if any(mime.startswith("image/") for mime in output.get("data", {})):
                yield index, output


def tree(cell):
    """The syntax tree of a code cell; IPython's own lines (%magic, !shell) are left out."""
    return ast.parse(
        "\n".join("" if line[:1] in ("%", "!") else line for line in cell.source.split("\n"))
    )


def assigned(cell):
    """The names that a code cell binds at its top level."""
    names = set()
    for node in tree(cell).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {
                n.id
                for n in ast.walk(node)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
    return names


def check_call(node):
    """The X of a call check.X(...), else None."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="check"), attr=name)):
            return name


# ----------------------------------------------------------------------------- the rules: a saved run


def problems_format(nb):
    problems = []
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        problems.append(f"not a valid notebook: {error.message}")
    if nb.metadata.get("kernelspec", {}).get("name") != "python3":
        problems.append("the kernelspec is not python3")
    if (size := len(nbformat.writes(nb).encode())) > 1_000_000:
        problems.append(f"{size:,} bytes are more than 1,000,000")
    return problems


def problems_run(nb):
    problems = []
    counts = [cell.execution_count for cell in code_cells(nb)]
    if counts != list(range(1, len(counts) + 1)):
        problems.append(
            f"not one clean run from top to bottom (`make notebooks`): execution counts {counts}"
        )
    for cell in code_cells(nb):
        for output in cell.outputs:
            if output.output_type == "error":
                problems.append(f"an error was saved: {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                problems.append(f"something was written to stderr: {output.text[:80]!r}")
            if set(output.get("data", {})) == {"text/plain"} and output.data[
                "text/plain"
            ].startswith("<Figure size"):
                problems.append("a figure was saved as its name only, <Figure size ...>")
        problems += [
            f"a progress bar is frozen at {percent} %"
            for percent in re.findall(r"(\d{1,3})%\|", output_text(cell))
            if percent != "100"
        ]
    if re.search(r"(Float|Int)ProgressModel", str(nb.metadata.get("widgets", ""))):
        problems.append("a progress bar was saved as a widget: use plain tqdm on stdout")
    return problems


def machine_names():
    """What would betray the machine these tests run on. Names that are ordinary words are left out."""
    folders = {Path.home(), ROOT, ROOT.parent, Path(tempfile.gettempdir())}
    host = socket.gethostname()
    return [str(f) for f in folders if len(f.parts) > 1] + (
        [host] if re.search(r"\w[\d.-]", host) else []
    )


def problems_machine(nb):
    text = "\n".join(
        [cell.source for cell in nb.cells] + [output_text(cell) for cell in code_cells(nb)]
    )
    patterns = [rf"(?<![\w./]){re.escape(name)}(?!\w)" for name in machine_names()]
    patterns += [
        r"(?<![\w./])/(home|Users|root|tmp|opt|mnt|usr|private|var|content)/[^\s,]+",
        r"\b[A-Za-z]:\\+\w+",
        r"\bat 0x[0-9a-fA-F]{6,}",  # an address in memory, another one in every run
    ]
    return [
        f"{match[0]!r} is of one machine only" for p in patterns for match in re.finditer(p, text)
    ]


def problems_pictures(nb):
    problems, alts = [], []
    for index, output in pictures(nb):
        alt = output.metadata.get("image/png", {}).get("alt", "")
        alts.append(alt)
        if "image/png" not in output.data or len(alt) < 20:
            problems.append(
                f"cell {index}: a picture has no alt text of 20 characters or more (plots.show): {alt!r}"
            )
        following = [cell.source for cell in nb.cells[index + 1 :] if cell.cell_type == "markdown"][
            :3
        ]
        if "**Read the picture.**" not in "".join(following):
            problems.append(
                f"cell {index}: no **Read the picture.** in the three texts after it: {alt[:60]!r}"
            )
    problems += [
        f"two pictures have the alt text {alt!r}"
        for alt in sorted(set(alts))
        if alts.count(alt) > 1
    ]
    problems += [
        f"an image in the text without alt text: {image}"
        for image in re.findall(r"!\[\]\([^)]*\)", markdown(nb))
    ]
    return problems


# ----------------------------------------------------------------------------- the rules: how it is written


def problems_opening(nb):
    problems, first = [], nb.cells[0]
    if first.cell_type != "markdown" or not re.match(r"# \d\d · \S", first.source):
        problems.append("the first cell does not begin with '# NN · title'")
    for promise in ("**You will be able to**", "**Time**", "**You need**"):
        if promise not in first.source:
            problems.append(f"{promise} is missing in the first cell")
    tables = [cell for cell in nb.cells[:15] if "symbols" in tags(cell)]
    if len(tables) != 1 or "| symbol |" not in output_text(tables[0]):
        problems.append(
            "among the first 15 cells exactly one, tagged symbols, must show the symbol table"
        )
    return problems


def problems_closing(nb):
    problems = []
    headings = [
        i
        for i, cell in enumerate(nb.cells)
        if re.search(r"^## What you now know$", cell.source, re.M)
    ]
    if len(headings) != 1:
        return ["there must be one heading '## What you now know'"]
    closing = nb.cells[headings[0] :]
    if not re.search(r"^\* ", closing[0].source, re.M):
        problems.append("'What you now know' is not a list of points")
    if closing[-1].cell_type != "markdown" or "**Next" not in closing[-1].source:
        problems.append("the last cell does not say what comes **Next**")
    if "Papers" not in markdown(nb):
        problems.append("the papers behind it are not named (**Papers.**)")
    if any("train" in imported(cell).get("mygpt_train", []) for cell in code_cells(nb)):
        for call, cells in (
            ("add_rung", nb.cells),
            ("show_losses", closing),
            ("show_samples", closing),
        ):
            if not any(
                f"ladder.{call}(" in cell.source for cell in cells if cell.cell_type == "code"
            ):
                problems.append(f"it trains a model, but there is no ladder.{call}(...)")
    return problems


def problems_break(nb):
    found = re.search(r"^##+ .*\bBreak it on purpose", markdown(nb), re.M)
    return [] if found else ["no section 'Break it on purpose'"]


def problems_predictions(nb):
    problems = []
    asked = [
        i
        for i, cell in enumerate(nb.cells)
        if cell.cell_type == "markdown" and "> **Predict.**" in cell.source
    ]
    if len(asked) < 3:
        problems.append(f"{len(asked)} predictions are asked for: at least 3 are wanted")
    for i in asked:
        _, answer = next_cell(nb, i, "code")
        if answer is None or not (
            hidden(answer, "outputs") and "hide-output" in tags(answer) and answer.outputs
        ):
            question = nb.cells[i].source.split("> **Predict.**")[1][:60]
            problems.append(
                f"cell {i}: the next code cell does not answer with a hidden output:{question} ..."
            )
    for cell in code_cells(nb):
        if hidden(cell, "outputs") != ("hide-output" in tags(cell)):
            problems.append(
                f"the tag hide-output and outputs_hidden go together: {cell.source[:60]!r}"
            )
    return problems


EXERCISE = re.compile(r"^### Exercise (\d+) · \S.* (★{1,3}☆{0,2}) \d+ min$", re.M)


def problems_exercises(nb):
    problems = []
    titles = [
        (i, line)
        for i, cell in enumerate(nb.cells)
        if cell.cell_type == "markdown"
        for line in re.findall(r"^#+ Exercise.*$", cell.source, re.M)
    ]
    if not 3 <= len(titles) <= 5:
        problems.append(f"{len(titles)} exercises: 3 to 5 are wanted")
    for tag in ("exercise", "solution"):
        if len(code_cells(nb, tag)) != len(titles):
            problems.append(
                f"{len(titles)} exercises, but {len(code_cells(nb, tag))} cells tagged {tag}"
            )
    for number, (index, title) in enumerate(titles, 1):
        form = EXERCISE.match(title)
        if form is None or int(form[1]) != number or len(form[2]) != 3:
            problems.append(f"{title!r} is not like '### Exercise {number} · title ★★☆ 15 min'")
        problems += [f"exercise {number}: {problem}" for problem in problems_exercise(nb, index)]
    return problems


def problems_exercise(nb, index):
    """What is wrong with the exercise whose task stands in cell `index`."""
    at, answer = next_cell(nb, index, "code")
    if answer is None or "exercise" not in tags(answer):
        return ["the next code cell is not tagged exercise"]
    problems = []
    last = tree(answer).body[-1]
    name = check_call(getattr(last, "value", None))
    if name is None or not answer.source.rstrip().endswith(";"):
        problems.append("the student's cell does not end in check.name(answer);")
    if "not attempted yet" not in output_text(answer):
        problems.append("the saved answer does not say 'not attempted yet'")
    between, solution = next_cell(nb, at, "code")
    if solution is None or "solution" not in tags(solution):
        return problems + ["the code cell after the student's is not tagged solution"]
    if not any("solution, folded" in cell.source for cell in nb.cells[at + 1 : between]):
        problems.append("no text '*A solution, folded. ...*' before the solution")
    if not hidden(solution, "source") or solution.metadata.get("cellView") != "form":
        problems.append("the solution is not folded: metadata source_hidden and cellView form")
    if not solution.source.startswith("# @title Solution"):
        problems.append("the solution does not begin with '# @title Solution'")
    if name not in {
        check_call(node.test) for node in ast.walk(tree(solution)) if isinstance(node, ast.Assert)
    }:
        problems.append(f"the solution does not assert check.{name}(...)")
    if both := assigned(answer) & assigned(solution):
        problems.append(f"the solution overwrites the student's {', '.join(sorted(both))}")
    if not any(n.endswith("_solution") for n in assigned(solution)):
        problems.append("the solution defines no name that ends in _solution")
    return problems


def problems_length(nb):
    problems = []
    kinds = "".join(cell.cell_type[0] for cell in nb.cells)
    if "ccc" in kinds:
        problems.append(f"three code cells in a row, from cell {kinds.index('ccc')}")
    if not 40 <= len(nb.cells) <= 110:
        problems.append(f"{len(nb.cells)} cells: 40 to 110 are wanted")
    if (words := len(markdown(nb).split())) > 3300:
        problems.append(f"{words} words of prose are more than 3300")
    lines = [[line for line in cell.source.split("\n") if line.strip()] for cell in code_cells(nb)]
    if (median := statistics.median(map(len, lines))) > 6:
        problems.append(f"the median code cell has {median} lines, more than 6")
    problems += [
        f"{len(line)} characters in a line of code: {line}"
        for cell in lines
        for line in cell
        if len(line) > 110
    ]
    return problems


# ------------------------------------------------------------------------- the rules: the course's modules


def imported(cell):
    """{module: names} for the course's modules; `import mygpt_x as y` counts the y.name used."""
    names = {}
    for node in ast.walk(tree(cell)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("mygpt_"):
            names.setdefault(node.module, []).extend(alias.name for alias in node.names)
    return names


def module_names(nb):
    """(module, name) for every name that the notebook takes from one of the course's modules."""
    aliases = {}
    for cell in code_cells(nb):
        for module, names in imported(cell).items():
            yield from ((module, name) for name in names)
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.Import):
                aliases |= {
                    a.asname or a.name: a.name for a in node.names if a.name.startswith("mygpt_")
                }
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in aliases
            ):
                yield aliases[node.value.id], node.attr


GUARD = """\
from importlib.util import find_spec

assert find_spec("mygpt_text"), (
    "The course's modules (mygpt_*.py) are not here: open this notebook with `make lab`, or choose the "
    "kernel in the course's .venv, or, in Colab, take the one-file edition that `make colab` writes."
)

"""


def problems_guard(nb):
    found = code_cells(nb)[0].source.startswith(GUARD)
    return (
        []
        if found
        else ["the first code cell does not begin with the lines of GUARD, in this file"]
    )


def problems_imports(nb):
    return [
        f"{module} has no {name}"
        for module, name in sorted(set(module_names(nb)))
        if not hasattr(importlib.import_module(module), name)
    ]


def public(module):
    """The classes and functions that a module defines for others."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


PUBLIC = public(mygpt_helpers) | public(mygpt_train)


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


def a_training_run(train):
    model = bigram()
    config = mygpt_train.TrainConfig(steps=5, batch_size=4, block_size=6, eval_interval=2)
    history = train(model, DATA, DATA[:50], config)
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


def problems_definitions(nb):
    """A class or function under the name of a public one of the modules must be the same thing."""
    problems = []
    for name, theirs in definitions(nb).items():
        if name not in SPECIMENS:
            problems.append(
                f"it defines {name}, a name of the modules: add a specimen to SPECIMENS, or rename it"
            )
        else:
            problems += [
                f"its {name} is not the module's: {problem}"
                for problem in differences(name, theirs)
            ]
    return problems


def definitions(nb):
    """The notebook's own classes and functions with public names, defined without running the notebook."""
    space, found = {"__name__": "notebook"}, {}
    for cell in code_cells(nb):
        if "exercise" in tags(cell) or "solution" in tags(cell):
            continue
        for node in tree(cell).body:
            if isinstance(
                node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)
            ) or is_constant(node):
                try:
                    exec(compile(ast.Module([node], []), "notebook", "exec"), space)
                except NameError:  # leans on a result of the run
                    if getattr(node, "name", None) in PUBLIC:
                        raise
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in PUBLIC:
                    found[node.name] = space[node.name]
    return found


def is_constant(node):
    return (
        isinstance(node, ast.Assign)
        and all(
            isinstance(n, (ast.Constant, ast.Tuple, ast.Name, ast.Store))
            for n in ast.walk(node)
            if n is not node
        )
        and not any(isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) for n in ast.walk(node))
    )


def differences(name, theirs):
    ours, (make, uses) = PUBLIC[name], SPECIMENS[name]
    wanted, got = (list(inspect.signature(f).parameters) for f in (ours, theirs))
    if got != (
        wanted if inspect.isclass(ours) else wanted[: len(got)]
    ):  # a function may leave out its last options
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


# ----------------------------------------------------------------------------- every notebook, every rule

RULES = [
    rule
    for name, rule in list(globals().items())
    if name.startswith("problems_") and name != "problems_exercise"
]


def rule_name(rule):
    return rule.__name__.removeprefix("problems_")


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, rule):
    problems = rule(nbformat.read(path, as_version=4))
    assert not problems, "\n".join([path.name, *problems])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_without_the_courses_modules_a_notebook_says_in_one_sentence_what_to_do(path, tmp_path):
    first = code_cells(nbformat.read(path, as_version=4))[0].source
    command = [sys.executable, "-I", "-S", "-c", first]  # -S: nothing that is installed is seen
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    sentence = "".join(re.findall(r'^    "(.*)"$', GUARD, re.M))
    assert done.stderr.splitlines()[-1] == f"AssertionError: {sentence}"


def test_the_course_is_there_and_numbered():
    numbers = [re.match(r"(\d\d)_\w+$", path.stem)[1] for path in NOTEBOOKS]
    assert numbers == [f"{n:02}" for n in range(1, len(numbers) + 1)] and numbers
    for number, path in zip(numbers, NOTEBOOKS):
        assert nbformat.read(path, as_version=4).cells[0].source.startswith(f"# {number} · "), (
            path.name
        )


def test_every_check_is_used_in_a_notebook():
    checks = {name for name, value in vars(mygpt_checks).items() if hasattr(value, "__wrapped__")}
    used = {
        name
        for path in NOTEBOOKS
        for cell in code_cells(nbformat.read(path, as_version=4), "exercise")
        for name in map(check_call, ast.walk(tree(cell)))
    }
    assert checks and checks <= used, f"no exercise asks for {sorted(checks - used)}"


# ------------------------------------------------------------------------- each rule catches what it should

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def good_notebook():
    """The smallest notebook that keeps all rules. Its cells are named, so that a test can break one."""
    named = {}

    def text(source, name=None):
        named[name] = new_markdown_cell(source)
        cells.append(named[name])

    def code(source, name=None, out="done\n", tag=None, **metadata):
        outputs = [new_output("stream", name="stdout", text=out)] if isinstance(out, str) else [out]
        metadata |= {"tags": [tag]} if tag else {}
        named[name] = new_code_cell(source, outputs=outputs, metadata=metadata)
        cells.append(named[name])

    cells = []
    text("# 01 · Title\n**You will be able to** a\n\n**Time** 1 min **You need** b", "opening")
    code(
        f"{GUARD}import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
        "import mygpt_checks as check, mygpt_ladder as ladder, mygpt_plots as plots\n"
        "from mygpt_train import train\nfrom mygpt_helpers import Linear",  # FeedForward is made of it
        "imports",
    )
    code(
        "plots.symbol_table()",
        "symbols",
        new_output("display_data", {"text/markdown": "| symbol | meaning |"}),
        "symbols",
    )
    for n in range(3):
        text("> **Predict.** What comes?", f"predict {n}")
        code("print(1)", f"answer {n}", tag="hide-output", jupyter={"outputs_hidden": True})
    text("The picture.")
    code(
        "plots.show(fig, alt=...)",
        "picture",
        new_output(
            "display_data",
            {"image/png": PIXEL, "text/plain": "<Figure size 100x100 with 1 Axes>"},
            metadata={"image/png": {"alt": "A single pixel, which is of one colour."}},
        ),
    )
    text("**Read the picture.** It is small.", "read")
    text("## 3. Break it on purpose", "break")
    for name in ("Head", "FeedForward", "get_batch"):
        text("A definition.")
        code(inspect.getsource(PUBLIC[name]), name)
    for n in range(1, 4):
        text(f"### Exercise {n} · sums ★★☆ 5 min", f"task {n}")
        code(
            "def mean_loss(a, b):\n    ...\n\n\ncheck.mean_loss(mean_loss);",
            f"student {n}",
            "· not attempted yet\n",
            "exercise",
        )
        text("*A solution, folded. Open it when you have tried.*", f"fold {n}")
        code(
            "# @title Solution\ndef mean_loss_solution(a, b):\n    return a.sum() / b.sum()\n\n\n"
            "assert check.mean_loss(mean_loss_solution)",
            f"solution {n}",
            "✓ right\n",
            "solution",
            jupyter={"source_hidden": True},
            cellView="form",
        )
    while len(cells) < 40:
        text("A word.", "filler text")
        code("print(2)", "filler")
    text("## What you now know\n* this", "know")
    code(
        'ladder.add_rung("bigram", 1.0)\nladder.show_losses("bigram")\nladder.show_samples("bigram")',
        "ladder",
    )
    text("**Papers.** One.\n\n**Next:** what?", "next")
    nb = new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    for n, cell in enumerate(code_cells(nb), 1):
        cell.execution_count = n
    return nb, named


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_rules_pass_a_good_notebook(rule):
    assert rule(good_notebook()[0]) == []


def sub(name, old, new):
    """Break one cell: replace `old` by `new` in its source."""

    def change(nb, cells):
        assert old in cells[name].source
        cells[name].source = cells[name].source.replace(old, new)

    return change


def out(name, *outputs):
    """Break one cell: give it these outputs."""
    return lambda nb, cells: cells[name].update(outputs=list(outputs))


def stdout(name, text):
    return out(name, new_output("stream", name="stdout", text=text))


def meta(name, **metadata):
    return lambda nb, cells: cells[name].metadata.update(metadata)


def drop(*names):
    return lambda nb, cells: [nb.cells.remove(cells[name]) for name in names]


def alt(text):
    return lambda nb, cells: (
        cells["picture"].outputs[0].metadata.update({"image/png": {"alt": text}})
    )


def twice(nb, cells):
    cells["picture"].outputs.append(copy.deepcopy(cells["picture"].outputs[0]))


HOME = Path.home()
MISTAKES = [  # (rule, how to break the good notebook, what the rule must say)
    (
        problems_format,
        lambda nb, cells: nb.metadata.kernelspec.update(name="conda-env"),
        "kernelspec",
    ),
    (problems_format, stdout("filler", "x" * 1_000_000), "1,000,000"),
    (problems_format, lambda nb, cells: cells["filler"].update(id="not an id"), "valid"),
    (problems_run, lambda nb, cells: cells["filler"].update(execution_count=99), "one clean run"),
    (
        problems_run,
        lambda nb, cells: cells["imports"].update(execution_count=None),
        "one clean run",
    ),
    (
        problems_run,
        out("filler", new_output("error", ename="ValueError", evalue="no", traceback=[])),
        "error",
    ),
    (problems_run, out("filler", new_output("stream", name="stderr", text="Warning")), "stderr"),
    (problems_run, stdout("filler", "training:  43%|████      | 43/100"), "43 %"),
    (
        problems_run,
        out("filler", new_output("execute_result", {"text/plain": "  0%|    | 0/9"})),
        "0 %",
    ),
    (
        problems_run,
        out("picture", new_output("display_data", {"text/plain": "<Figure size 9x9>"})),
        "<Figure",
    ),
    (
        problems_run,
        lambda nb, cells: nb.metadata.update(widgets={"state": "FloatProgressModel"}),
        "widget",
    ),
    (problems_machine, stdout("filler", f"saved in {ROOT / 'runs'}"), "one machine"),
    (problems_machine, stdout("filler", f"{Path(tempfile.gettempdir()) / 'x'}"), "one machine"),
    (problems_machine, stdout("filler", "/home/someone/runs/a.pt"), "/home/"),
    (problems_machine, stdout("filler", "File '/Users/someone/a.py'"), "/Users/"),
    (problems_machine, stdout("filler", r"C:\Users\someone"), "C:"),
    (problems_machine, stdout("filler", "<function f at 0x7f3a2c1d5e40>"), "0x7f"),
    (problems_machine, sub("filler", "2", "'/tmp/here'"), "/tmp/"),
    (problems_pictures, alt(""), "alt text"),
    (problems_pictures, alt("A figure."), "alt text"),
    (problems_pictures, twice, "two pictures"),
    (problems_pictures, sub("read", "**Read", "*Read"), "Read the picture"),
    (problems_pictures, sub("read", "It is", "![](a.png)"), "image in the text"),
    (problems_opening, sub("opening", "# 01 ·", "# Title"), "NN"),
    (problems_opening, sub("opening", "**You will be able to**", ""), "able to"),
    (problems_opening, sub("opening", "**Time**", ""), "Time"),
    (problems_opening, sub("opening", "**You need**", ""), "You need"),
    (problems_opening, out("symbols"), "symbol table"),
    (problems_opening, meta("symbols", tags=[]), "symbol table"),
    (problems_closing, sub("know", "What you now know", "Summary"), "What you now know"),
    (problems_closing, sub("know", "* this", "this"), "list"),
    (problems_closing, sub("next", "**Next", "Later"), "Next"),
    (problems_closing, sub("next", "Papers", "Sources"), "papers"),
    (problems_closing, drop("ladder"), "show_losses"),
    (problems_closing, sub("ladder", 'ladder.add_rung("bigram", 1.0)', ""), "add_rung"),
    (problems_closing, sub("ladder", 'ladder.show_samples("bigram")', ""), "show_samples"),
    (problems_break, sub("break", "Break it", "A note"), "Break it"),
    (problems_predictions, sub("predict 1", "> **Predict.**", ""), "2 predictions"),
    (problems_predictions, meta("answer 1", tags=[], jupyter={}), "hidden output"),
    (problems_predictions, meta("answer 1", jupyter={}), "go together"),
    (problems_predictions, out("answer 1"), "hidden output"),
    (problems_predictions, meta("filler", jupyter={"outputs_hidden": True}), "go together"),
    (problems_exercises, drop("task 3", "student 3", "fold 3", "solution 3"), "2 exercises"),
    (problems_exercises, sub("task 2", "★★☆", "★★"), "is not like"),
    (problems_exercises, sub("task 2", " 5 min", ""), "is not like"),
    (problems_exercises, sub("task 2", "Exercise 2", "Exercise 3"), "is not like"),
    (problems_exercises, meta("student 2", tags=[]), "tagged exercise"),
    (problems_exercises, sub("student 2", "check.", "print; "), "does not end in check"),
    (problems_exercises, stdout("student 2", "✓ right"), "not attempted yet"),
    (problems_exercises, sub("fold 2", "folded", "here"), "folded"),
    (problems_exercises, meta("solution 2", jupyter={}), "not folded"),
    (problems_exercises, meta("solution 2", cellView="code"), "not folded"),
    (problems_exercises, sub("solution 2", "# @title Solution", "# Solution"), "@title"),
    (problems_exercises, sub("solution 2", "assert ", ""), "does not assert"),
    (
        problems_exercises,
        sub("solution 2", "assert check.mean_loss", "assert check.other"),
        "does not assert",
    ),
    (
        problems_exercises,
        sub("solution 2", "mean_loss_solution", "mean_loss"),
        "overwrites the student's mean_loss",
    ),
    (problems_exercises, drop("solution 2"), "tagged solution"),
    (problems_length, lambda nb, cells: nb.cells.insert(3, cells["filler"]), "three code cells"),
    (
        problems_length,
        lambda nb, cells: nb.cells.extend([cells["read"], cells["filler"]] * 40),
        "cells: 40 to 110",
    ),
    (problems_length, lambda nb, cells: nb.update(cells=nb.cells[:30]), "30 cells"),
    (problems_length, sub("read", "small", "word " * 3300), "words"),
    (
        problems_length,
        lambda nb, cells: [c.update(source="a\n" * 7) for c in code_cells(nb)],
        "median",
    ),
    (problems_length, sub("filler", "2", '"' + "x" * 110 + '"'), "characters in a line"),
    (problems_guard, sub("imports", "are not here: open", "are missing: open"), "GUARD"),
    (
        problems_imports,
        sub("imports", "import train", "import train, trian"),
        "mygpt_train has no trian",
    ),
    (
        problems_imports,
        sub("symbols", "symbol_table", "symbols_table"),
        "mygpt_plots has no symbols_table",
    ),
    (
        problems_imports,
        sub("student 1", "check.mean_loss", "check.meanloss"),
        "mygpt_checks has no meanloss",
    ),
    (
        problems_definitions,
        sub("Head", "k.size(-1) ** -0.5", "x.size(-1) ** -0.5"),
        "its Head is not the module's: use",
    ),
    (
        problems_definitions,
        sub("Head", "~self.past", "self.past.T"),
        "its Head is not the module's: use",
    ),
    (
        problems_definitions,
        sub("Head", "self.query", "self.queries"),
        "its Head is not the module's: its state_dict",
    ),
    (problems_definitions, sub("Head", "persistent=False", "persistent=True"), "its state_dict"),
    (problems_definitions, sub("Head", "(self, config)", "(self, config, more=1)"), "it takes"),
    (
        problems_definitions,
        sub("Head", "dim=-1)  # over the keys", "dim=-2)"),
        "its Head is not the module's",
    ),
    (
        problems_definitions,
        sub("FeedForward", ', approximate="tanh"', ""),
        "its FeedForward is not the module's: use",
    ),
    (
        problems_definitions,
        sub("get_batch", "window[:, 1:]", "window[:, :-1]"),
        "its get_batch is not the module's",
    ),
    (
        problems_definitions,
        sub("get_batch", "randint(len(data) - block_size,", "randint(len(data) - block_size - 1,"),
        "get_batch",
    ),
    (
        problems_definitions,
        sub("filler", "print(2)", "def notebook_speed():\n    pass"),
        "add a specimen",
    ),
]


@pytest.mark.parametrize(
    "rule, change, says", MISTAKES, ids=[f"{rule_name(m[0])}-{m[2][:30]}" for m in MISTAKES]
)
def test_rule_catches(rule, change, says):
    nb, cells = good_notebook()
    change(nb, cells)
    assert says in "\n".join(rule(nb))


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_specimen_is_equal_to_itself(name):
    assert differences(name, PUBLIC[name]) == []


def test_every_rule_is_shown_to_catch_something():
    assert {rule for rule, _, _ in MISTAKES} == set(RULES)
