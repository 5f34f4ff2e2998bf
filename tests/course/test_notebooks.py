"""Rules that every saved notebook keeps, present and future ones.

A rule is a function problems_...(nb) -> list of sentences, empty when all is well. The last part of
this file runs the notebook that tools/new_notebook.py begins, which keeps all rules, breaks it in one
way at a time, and sees each rule object. Notebooks are read inside the tests: one that is broken or
half written fails alone.
"""

import ast
import copy
import importlib
import inspect
import re
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

import nbformat
import pytest
from definitions import PUBLIC, SPECIMENS, definitions, differences
from nbformat.v4 import new_code_cell, new_output

import mygpt.checks
import mygpt.diagrams
import new_notebook
import run_notebooks
from notebook_facts import (
    EXERCISE,
    INVESTIGATE,
    LONGEST_LINE,
    PREDICT,
    calls,
    code_cells,
    hidden,
    is_draft,
    long_lines,
    markdown,
    minutes,
    output_text,
    paths,
    pictures,
    promised,
    tags,
    tree,
)

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = paths()
# Not yet written anew: free from the rules marked @second_edition
FIRST_EDITION = {"07", "08"}
SECOND_EDITION_ONLY = []


def second_edition(rule):
    SECOND_EDITION_ONLY.append(rule)
    return rule


@lru_cache
def read(path):
    """A saved notebook, or the sentence that says why it cannot be read."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        return f"{path.name} cannot be read as a notebook: {type(error).__name__}: {error}"


def text_after(nb, index, count=1):
    """The next `count` Markdown cells after a cell, as one text."""
    texts = [cell.source for cell in nb.cells[index + 1 :] if cell.cell_type == "markdown"]
    return "\n\n".join(texts[:count])


def next_code(nb, index):
    """The index of the first code cell after a cell, and that cell; (None, None) if there is none."""
    found = enumerate(nb.cells)
    return next(((i, c) for i, c in found if i > index and c.cell_type == "code"), (None, None))


# ------------------------------------------------------------------------------ a saved run


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
        problems.append(f"not one clean run (`make notebooks`): execution counts {counts}")
    for cell in code_cells(nb):
        if not tree(cell).body and re.search(r"^[^#\s]", cell.source, re.M):
            problems.append(f"a code cell is not Python: {cell.source[:60]!r}")
        for output in cell.outputs:
            plain = output.get("data", {}).get("text/plain", "")
            if output.output_type == "error":
                problems.append(f"an error was saved: {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                problems.append(f"something was written to stderr: {output.text[:80]!r}")
            if len(output.get("data", {})) == 1 and plain.startswith("<Figure size"):
                problems.append("a figure was saved as its name only, <Figure size ...>")
        for percent in re.findall(r"(\d{1,3})%\|", output_text(cell)):
            if percent != "100":
                problems.append(f"a progress bar is frozen at {percent} %")
    return problems


def machine_names():
    """What would betray the machine these tests run on. Ordinary words are left out."""
    folders = {Path.home(), ROOT, ROOT.parent, Path(tempfile.gettempdir())}
    names = [str(folder) for folder in folders if len(folder.parts) > 1]
    host = socket.gethostname()
    return names + ([host] if re.search(r"\w[\d.-]", host) else [])


def problems_machine(nb):
    text = "\n".join([c.source for c in nb.cells] + [output_text(c) for c in code_cells(nb)])
    patterns = [rf"(?<![\w./]){re.escape(name)}(?!\w)" for name in machine_names()]
    patterns += [
        r"(?<![\w./])/(home|Users|root|tmp|opt|mnt|usr|private|var|content)/[^\s,]+",
        r"\b[A-Za-z]:\\+\w+",
        r"\bat 0x[0-9a-fA-F]{6,}",  # an address in memory, another one in every run
    ]
    found = [match[0] for pattern in patterns for match in re.finditer(pattern, text)]
    return [f"{what!r} is of one machine only" for what in found]


def problems_pictures(nb):
    problems = []
    for index, output in pictures(nb):
        alt, cell = output.metadata.get("image/png", {}).get("alt", ""), nb.cells[index]
        if "image/png" not in output.data or len(alt) < 20:
            problems.append(f"cell {index}: a picture without alt text (plots.show): {alt!r}")
        explained = "**Read the picture.**" in text_after(nb, index, 3)
        answers = "hide-output" in tags(cell)  # then the words are in its <details>
        if not (explained or answers or calls([cell], "diagrams")):
            problems.append(f"cell {index}: no **Read the picture.** after it: {alt[:60]!r}")
    images = re.findall(r"!\[\]\([^)]*\)", markdown(nb))
    return problems + [f"an image in the text without alt text: {image}" for image in images]


# ------------------------------------------------------------------------------ its beginning and end


def problems_opening(nb):
    first = nb.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        return ["the first cell does not begin with '# title'"]
    promises = ("**You will be able to**", "**Time**", "**You need**")
    return [f"{p} is missing in the first cell" for p in promises if p not in first.source]


@second_edition
def problems_setup(nb):
    found = [i for i, cell in enumerate(code_cells(nb)) if "setup" in tags(cell)]
    if len(found) != 1 or found[0] > 1:
        return ["exactly one of the first two code cells must be tagged setup"]
    setup = code_cells(nb, "setup")[0]
    problems = []
    if not hidden(setup, "source"):
        problems.append("the set-up is not folded: source_hidden in its metadata")
    if not setup.source.startswith("# @title Setup"):
        problems.append("the set-up does not begin with '# @title Setup: ...'")
    return problems


def problems_guard(nb):
    """Where the course's modules are missing, the set-up says in one sentence what to do."""
    cells = code_cells(nb)
    last = next((i for i, cell in enumerate(cells) if "setup" in tags(cell)), 0)
    code = "\n".join(cell.source for cell in cells[: last + 1])
    with tempfile.TemporaryDirectory() as empty:  # -S: nothing that is installed is seen
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", code]
        done = subprocess.run(command, cwd=empty, capture_output=True, encoding="utf-8")
    said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    sentence = (
        "AssertionError: The course's modules are not here: open this notebook with `make lab`"
    )
    return [] if said.startswith(sentence) else [f"without the course it says: {said}"]


@second_edition
def problems_time(nb):
    honest, said, problems = minutes(nb), promised(nb), []
    for part, name in (("core", "the core path"), ("deeper", "Going deeper")):
        if said[part] is None and (part == "core" or honest[part] >= 5):
            problems.append(f"**Time** promises no minutes for {name}: {honest[part]:.0f}")
        elif abs(honest[part] - (said[part] or 0)) > max(5, honest[part] / 4):
            problems.append(f"{name} takes {honest[part]:.0f} min, not {said[part]} (voice.md, 12)")
    return problems


def problems_closing(nb):
    know = re.search(r"^##+ What you now know\n(.*)", markdown(nb), re.M | re.S)
    if know is None:
        return ["there is no heading '## What you now know'"]
    problems = []
    if not re.search(r"^\* ", know[1], re.M):
        problems.append("'What you now know' is not a list of points")
    if "Papers" not in markdown(nb):
        problems.append("the papers behind it are not named (Papers)")
    return problems


# ------------------------------------------------------------------------------ what a lesson has


def problems_break(nb):
    found = re.search(r"^##+ .*\bBreak it on purpose", markdown(nb), re.M)
    return [] if found else ["no section 'Break it on purpose'"]


@second_edition
def problems_elements(nb):
    text, stars = markdown(nb), [title[2] for title in EXERCISE.findall(markdown(nb))]
    missing = {
        "a drawing, diagrams.name(...)": calls(code_cells(nb), "diagrams"),
        "a displayed formula, $$...$$": re.search(r"\$\$[^$]+\$\$", text),
        "a prediction, > **Predict.**": PREDICT in text,
        "an exercise of ★★★, which builds the thing": "★★★" in stars,
        "'### Investigate · title ★★☆ 20 min'": INVESTIGATE.search(text),
    }
    return [f"there is no {what}" for what, found in missing.items() if not found]


def problems_predictions(nb):
    """A question, then a cell whose output is hidden."""
    problems = []
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown" and PREDICT in cell.source:
            answer = next_code(nb, i)[1]
            if answer is None or not (hidden(answer, "outputs") and answer.outputs):
                question = cell.source.split(PREDICT)[1][:60]
                problems.append(f"cell {i}: no hidden output comes next:{question} ...")
    for cell in code_cells(nb):
        if hidden(cell, "outputs") != ("hide-output" in tags(cell)):
            problems.append(f"hide-output and outputs_hidden go together: {cell.source[:60]!r}")
    return problems


@second_edition
def problems_answers(nb):
    """To each question an answer in words, folded, right after the cell."""
    problems = []
    for i, cell in enumerate(nb.cells):
        if cell.cell_type != "markdown":
            continue
        if PREDICT in cell.source:
            at, _ = next_code(nb, i)
            if at is None or "<details>" not in text_after(nb, at):
                problems.append(f"cell {i}: the text after the answering cell has no <details>")
        folded = len(re.findall(r"<details><summary>.*</summary>\n\n", cell.source))
        if not folded == cell.source.count("<details>") == cell.source.count("\n\n</details>"):
            problems.append(f"cell {i}: write <details><summary>…</summary>, and </details>, each")
            problems[-1] += " on a line of its own with an empty line inside"
    return problems


def problems_exercises(nb):
    """A task with its title, and for each cell that is to be filled in a folded solution."""
    problems, number = [], 0
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code":
            problems += problems_answer(nb, index) if "exercise" in tags(cell) else []
            continue
        for title in re.findall(r"^#+ Exercise.*$", cell.source, re.M):
            number += 1
            form = EXERCISE.match(title)
            if form is None or int(form[1]) != number or len(form[3]) != 3:
                problems.append(f"{title!r} is not like '### Exercise {number} · title ★★☆ 15 min'")
            if "exercise" not in tags(next_code(nb, index)[1] or cell):
                problems.append(f"{title!r}: the next code cell is not tagged exercise")
    if number == 0 or len(code_cells(nb, "exercise")) != len(code_cells(nb, "solution")):
        problems.append("as many cells must be tagged exercise as solution, and some")
    return problems


def problems_answer(nb, index):
    """What is wrong with the cell at `index`, which is for the reader's answer, or its solution."""
    answer, problems = nb.cells[index], []
    names = calls([answer], "check")
    name = names[-1] if names else "name"
    if not re.fullmatch(r"check\.\w+\(.*\);", answer.source.split("\n")[-1]):
        problems.append("the reader's cell does not end in check.name(answer);")
    if "not attempted yet" not in output_text(answer):
        problems.append("the saved answer does not say 'not attempted yet'")
    _, solution = next_code(nb, index)
    if solution is None or "solution" not in tags(solution):
        return problems + [f"check.{name}: the code cell after the reader's is not tagged solution"]
    if "*A solution, folded" not in text_after(nb, index):
        problems.append("no text '*A solution, folded. ...*' before the solution")
    if not hidden(solution, "source") or not solution.source.startswith("# @title Solution"):
        problems.append("the solution is not folded: source_hidden, and '# @title Solution'")
    asserts = [node.test for node in ast.walk(tree(solution)) if isinstance(node, ast.Assert)]
    if not any(ast.unparse(test).startswith(f"check.{name}(") for test in asserts):
        problems.append("the solution does not assert the check")
    if both := assigned(answer) & assigned(solution):
        problems.append(f"the solution overwrites the reader's {', '.join(sorted(both))}")
    return [f"check.{name}: {problem}" for problem in problems]


def assigned(cell):
    """The names that a code cell binds at its top level, imports left out."""
    names = set()
    for node in tree(cell).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            stored = (n for n in ast.walk(node) if isinstance(n, ast.Name))
            names |= {n.id for n in stored if isinstance(n.ctx, ast.Store)}
    return names


@second_edition
def problems_own(nb):
    """After each exercise the reader's own answer is used."""
    checks = calls(code_cells(nb, "exercise"), "check")
    used = re.findall(
        r"check\.own_or\(\s*check\.(\w+)", "\n".join(c.source for c in code_cells(nb))
    )
    return [f"no cell uses check.own_or(check.{name}, ...)" for name in checks if name not in used]


@second_edition
def problems_cells(nb):
    problems = []
    kinds = "".join(cell.cell_type[0] for cell in nb.cells)
    if "ccc" in kinds:
        problems.append(f"three code cells in a row, from cell {kinds.index('ccc')}")
    for cell in code_cells(nb):
        lines = len([line for line in cell.source.split("\n") if line.strip()])
        if lines > 20 and not hidden(cell, "source"):
            problems.append(f"{lines} lines of code in a cell, more than 20: {cell.source[:60]!r}")
    problems += [f"a line of code is longer than {LONGEST_LINE}: {line}" for line in long_lines(nb)]
    return problems


# ------------------------------------------------------------------------------ the course's modules


def imported(nb):
    """(name in the notebook, module, name in the module or None) of all that it imports."""
    for cell in code_cells(nb):
        for node in ast.walk(tree(cell)):
            for alias in getattr(node, "names", []) if hasattr(node, "names") else []:
                if isinstance(node, ast.ImportFrom):
                    yield alias.asname or alias.name, node.module, alias.name
                elif isinstance(node, ast.Import):
                    yield alias.asname or alias.name.split(".")[0], alias.name, None


def problems_names(nb):
    """What it takes from the course's modules exists: imported names, and module.name."""
    problems, modules = [], {}
    for own, module, name in imported(nb):
        if module.split(".")[0] not in ("mygpt", "mygpt_helpers"):
            continue
        try:
            found = importlib.import_module(module)
            if name and not hasattr(found, name):
                found = importlib.import_module(f"{module}.{name}")
        except ImportError:
            problems.append(f"there is no {module}.{name}" if name else f"there is no {module}")
            continue
        thing = getattr(found, name, found) if name else found
        if inspect.ismodule(thing):
            modules[own] = thing
    for cell in code_cells(nb):
        for node in ast.walk(tree(cell)):
            match node:
                case ast.Attribute(value=ast.Name(id=own), attr=name) if own in modules:
                    if not hasattr(modules[own], name):
                        problems.append(f"{modules[own].__name__} has no {name}")
    return sorted(set(problems))


@second_edition
def problems_unused(nb):
    nodes = [node for cell in code_cells(nb) for node in ast.walk(tree(cell))]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    return [f"{own} is imported and not used" for own, _, _ in imported(nb) if own not in used]


def problems_definitions(nb):
    """A class or function under the name of a public one of the modules must be the same thing."""
    try:
        found = definitions(nb)
    except Exception as error:
        return [f"a definition does not run by itself: {type(error).__name__}: {error}"]
    problems = []
    for name, theirs in found.items():
        if name not in SPECIMENS:
            problems.append(f"it defines {name}, a name of the modules: rename it, or add a")
            problems[-1] += " specimen to tests/course/definitions.py"
        else:
            problems += [f"its {name} is not the module's: {p}" for p in differences(name, theirs)]
    return problems


# ------------------------------------------------------------------------------ every notebook, every rule

RULES = [
    rule
    for name, rule in list(globals().items())
    if name.startswith("problems_") and name != "problems_answer"
]
PAIRS = [
    pytest.param(path, rule, id=f"{path.stem}-{rule.__name__.removeprefix('problems_')}")
    for path in NOTEBOOKS
    for rule in RULES
    if not (path.name[:2] in FIRST_EDITION and rule in SECOND_EDITION_ONLY)
]


@pytest.mark.parametrize("path, rule", PAIRS)
def test_notebook(path, rule):
    problems = problems_of(path, rule)
    assert not problems, "\n".join([path.name, *problems])


def problems_of(path, rule):
    """A file that cannot be read breaks the rule of the format alone; a draft is held to that alone."""
    nb = read(path)
    if rule is problems_format:
        return [nb] if isinstance(nb, str) else rule(nb)
    if isinstance(nb, str) or is_draft(nb):
        pytest.skip("a draft, or no notebook at all")
    return rule(nb)


def test_the_course_is_there_and_numbered():
    if any(isinstance(read(path), str) for path in NOTEBOOKS):
        pytest.skip("a notebook cannot be read: see its test of the format")
    numbers = [path.name[:2] for path in NOTEBOOKS if not is_draft(read(path))]
    assert numbers and numbers == [f"{n + 1:02}" for n in range(len(numbers))]


# ------------------------------------------------------------------------------ a new notebook, and its mistakes


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The course in a small copy, with a new notebook 99 begun in it and run: (folder, notebook)."""
    root = tmp_path_factory.mktemp("course")
    for name in ("mygpt", "mygpt_helpers.py"):
        copy_of = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy_of(ROOT / name, root / name)
    assert new_notebook.main(["99", "Repeats: an example"], root) is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root))
        patch.setenv("MYGPT_DATA", str(ROOT / "data"))
        patch.setenv("MYGPT_SPEED", "smoke")
        for package in (mygpt.checks, mygpt.diagrams):  # so that nb99 is found in the copy
            folder = root / "mygpt" / package.__name__.split(".")[1]
            patch.setattr(package, "__path__", [*package.__path__, str(folder)])
        nb = run_notebooks.run(root / "notebooks" / "99_repeats_an_example.ipynb")
        yield root, nb


@pytest.fixture
def good(begun):
    """A notebook that keeps all rules, to be broken."""
    nb = copy.deepcopy(begun[1])
    nb.metadata.pop("draft", None)
    return nb


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_new_notebook_keeps_the_rules(rule, good):
    assert rule(good) == []


def test_a_new_notebook_is_a_draft_with_all_that_belongs_to_it(begun):
    root, _ = begun
    assert is_draft(nbformat.read(*(root / "notebooks").glob("99_*.ipynb"), as_version=4))
    for path in (
        "mygpt/checks/nb99.py",
        "mygpt/diagrams/nb99.py",
        "tests/wrong_answers/nb99.py",
        "teaching/99_repeats_an_example.md",
    ):
        assert (root / path).is_file(), path


def test_the_checks_of_a_new_notebook_know_its_answers(begun, capsys):
    checks = importlib.import_module("mygpt.checks.nb99")
    answers = runpy.run_path(str(begun[0] / "tests" / "wrong_answers" / "nb99.py"))
    for name, answer, hint in answers["CASES"]:
        assert not getattr(checks, name)(answer) and hint in capsys.readouterr().out
    assert all(getattr(checks, name)(answer) for name, answer in answers["RIGHT"])


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["99", "Another title"], "there already"),
        (["9", "Tokens"], "two digits"),
        (["98", "!"], "letters"),
        (["98"], "python tools/new_notebook.py"),
    ],
)
def test_a_new_notebook_overwrites_nothing(arguments, says, begun):
    root, _ = begun
    before = sorted(root.rglob("*"))
    assert says in new_notebook.main(arguments, root)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_broken_file_or_a_draft_fails_only_the_format(rule, tmp_path):
    broken, draft = tmp_path / "98_broken.ipynb", tmp_path / "97_draft.ipynb"
    broken.write_text('{"cells": [', encoding="utf-8")
    half = nbformat.v4.new_notebook(cells=[new_code_cell("def (")], metadata={"draft": True})
    draft.write_text(nbformat.writes(half), encoding="utf-8")
    if rule is problems_format:
        assert "98_broken.ipynb cannot be read" in "".join(problems_of(broken, rule))
        assert problems_of(draft, rule) == ["the kernelspec is not python3"]
    else:
        for path in (broken, draft):
            with pytest.raises(pytest.skip.Exception):
                problems_of(path, rule)


def cell(nb, words):
    """The first cell that has these words."""
    return next(cell for cell in nb.cells if words in cell.source)


def sub(old, new):
    """Put `new` for `old` in the first cell that has it."""

    def change(nb):
        cell(nb, old).source = cell(nb, old).source.replace(old, new)

    return change


def out(words, *outputs):
    """Give these outputs to the first cell that has these words."""
    return lambda nb: cell(nb, words).update(outputs=list(outputs))


def stdout(text):
    return out("0) == 1.0", new_output("stream", name="stdout", text=text))


def meta(words, **metadata):
    return lambda nb: cell(nb, words).metadata.update(metadata)


def drop(words):
    return lambda nb: nb.cells.remove(cell(nb, words))


def code(source):
    imports = "import mygpt_helpers\nfrom torch import nn\nfrom torch.nn import functional as F\n"
    return lambda nb: nb.cells.append(new_code_cell(imports + source))


def alt(text):
    def change(nb):
        cell(nb, "@title Figure").outputs[0].metadata["image/png"] = {"alt": text}

    return change


ANSWER, SOLUTION, SETUP = "def repeats(", "def repeats_solution", "@title Setup"
MISTAKES = [  # (rule, how to break the good notebook, what the rule must say)
    (problems_format, lambda nb: nb.metadata.kernelspec.update(name="conda"), "kernelspec"),
    (problems_format, stdout("x" * 1_000_000), "1,000,000"),
    (problems_format, lambda nb: nb.cells[0].update(id="not an id"), "valid"),
    (problems_run, lambda nb: nb.cells[1].update(execution_count=None), "one clean run"),
    (problems_run, sub("fast = ", "fast := "), "not Python"),
    (problems_run, out("fast", new_output("error", ename="E", evalue="", traceback=[])), "error"),
    (problems_run, out("fast", new_output("stream", name="stderr", text="Oh")), "stderr"),
    (problems_run, stdout("training:  43%|████      | 43/100"), "43 %"),
    (
        problems_run,
        out("fast", new_output("display_data", {"text/plain": "<Figure size 9x9>"})),
        "<Figure",
    ),
    (problems_machine, stdout(f"saved in {ROOT / 'runs'}"), "one machine"),
    (problems_machine, stdout("File '/Users/someone/a.py'"), "/Users/"),
    (problems_machine, stdout(r"C:\Users\someone"), "C:"),
    (problems_machine, stdout("<function f at 0x7f3a2c1d5e40>"), "0x7f"),
    (problems_machine, sub("fast = ", "path = '/tmp/here'; fast = "), "/tmp/"),
    (problems_pictures, alt("A figure."), "alt text"),
    (problems_pictures, sub("**Read the picture.**", "Look."), "Read the picture"),
    (problems_pictures, sub("Then the same in code", "![](a.png)"), "image in the text"),
    (problems_opening, sub("# 99", "99"), "# title"),
    (problems_opening, sub("**You need**", ""), "You need"),
    (problems_setup, meta(SETUP, tags=[]), "tagged setup"),
    (problems_setup, meta(SETUP, jupyter={}), "not folded"),
    (problems_setup, sub("# @title Setup", "# Setup"), "@title"),
    (problems_guard, sub("are not here", "are missing"), "modules are missing"),
    (problems_guard, lambda nb: nb.cells.insert(1, new_code_cell("import mygpt")), "No module"),
    (problems_time, sub("about 5 minutes", "about 15 minutes"), "not 15"),
    (problems_time, sub("about 5 minutes", "a while"), "no minutes for the core"),
    (problems_time, sub("What nothing later", "What nothing later " + "needs " * 1500), "deeper"),
    (problems_closing, sub("What you now know", "Summary"), "What you now know"),
    (problems_closing, sub("\n* ", "\n"), "list"),
    (problems_closing, sub("Papers", "Sources"), "papers"),
    (problems_break, sub("Break it", "A note"), "Break it"),
    (problems_elements, sub("diagrams.shifted", "shifted"), "drawing"),
    (problems_elements, sub("$$", "$"), "formula"),
    (problems_elements, sub("★★★", "★★☆"), "★★★"),
    (problems_elements, sub("Investigate ·", "Look ·"), "Investigate"),
    (problems_elements, sub("> **Predict.**", ""), "prediction"),
    (problems_predictions, meta("bincount", tags=[], jupyter={}), "hidden output"),
    (problems_predictions, out("bincount"), "hidden output"),
    (problems_predictions, meta("fast", jupyter={"outputs_hidden": True}), "go together"),
    (problems_answers, sub("<details>", ""), "no <details>"),
    (problems_answers, sub("</summary>\n\n", "</summary>\n"), "empty line"),
    (problems_exercises, sub("★☆☆", "★"), "is not like"),
    (problems_exercises, sub("Exercise 2", "Exercise 3"), "is not like"),
    (problems_exercises, meta(ANSWER, tags=[]), "tagged exercise"),
    (problems_exercises, sub("check.repeats(repeats);", "repeats"), "does not end in check"),
    (problems_exercises, out(ANSWER), "not attempted yet"),
    (problems_exercises, sub("*A solution, folded", "*A solution"), "folded"),
    (problems_exercises, meta(SOLUTION, jupyter={}), "not folded"),
    (problems_exercises, sub("assert check.repeats(", "print("), "does not assert"),
    (problems_exercises, sub("RepeatsSolution", "Repeats"), "overwrites the reader's Repeats"),
    (problems_exercises, drop(SOLUTION), "tagged solution"),
    (problems_own, sub("check.own_or(check.repeats,", "print("), "check.own_or(check.repeats,"),
    (
        problems_cells,
        lambda nb: nb.cells.insert(1, nb.cells[1]) or nb.cells.insert(1, nb.cells[1]),
        "three code cells",
    ),
    (problems_cells, sub("fast = ", "1\n" * 20 + "fast = "), "more than 20"),
    (problems_cells, sub("fast = ", "x" * 88 + " = "), "longer than 88"),
    (problems_names, sub("import load_text", "import load_txt"), "no mygpt.text.load_txt"),
    (problems_names, sub("import plots", "import plot"), "no mygpt.plot"),
    (problems_names, sub("plots.show", "plots.shaw"), "mygpt.plots has no shaw"),
    (problems_names, sub("check.repeats(repeats)", "check.repeat(repeats)"), "nb99 has no repeat"),
    (problems_unused, code("nn"), "mygpt_helpers is imported and not used"),
    (
        problems_definitions,
        code("class Head(mygpt_helpers.Head):\n    def forward(self, x):\n        return 2 * x"),
        "its Head is not the module's: use gives",
    ),
    (
        problems_definitions,
        code(
            "class BigramLanguageModel(nn.Module):\n    def __init__(self, vocab_size):\n"
            "        super().__init__()"
        ),
        "its BigramLanguageModel is not the module's: its state_dict",
    ),
    (problems_definitions, code("def cross_entropy(logits, y):\n    pass"), "it takes"),
    (
        problems_definitions,
        code("def cross_entropy(logits, targets):\n    return F.cross_entropy(logits, targets)"),
        "use raises",
    ),
    (problems_definitions, code("class KVCache:\n    pass"), "add a specimen"),
    (problems_definitions, code("def split(data=nowhere):\n    pass"), "does not run by itself"),
]


@pytest.mark.parametrize(
    "rule, change, says", MISTAKES, ids=[f"{m[0].__name__}-{m[2][:30]}" for m in MISTAKES]
)
def test_rule_catches(rule, change, says, good):
    change(good)
    assert says in "\n".join(rule(good))


def test_every_rule_is_shown_to_catch_something():
    assert {rule for rule, _, _ in MISTAKES} == set(RULES)


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_specimen_is_equal_to_itself(name):
    assert differences(name, PUBLIC[name]) == []


@pytest.mark.parametrize(
    "line, core, deeper",
    [
        ("about 45 minutes to read and run, 15 for *Going deeper*, 60 for the exercises.", 45, 15),
        ("about 45 min to read, 20 s to run. *Going deeper* takes another 15 min.", 45, 15),
        ("about 50 minutes for the core path. *Going deeper*, at the end, takes 15 more.", 50, 15),
        ("two sittings of 40 minutes, and 60 for the exercises. It runs for 2 minutes.", 80, None),
        ("Sections 1 to 8 take about 50 minutes, sections 9 to 12 about 45.", 95, None),
        ("some time.", None, None),
    ],
)
def test_the_promised_minutes_are_understood(line, core, deeper):
    first = nbformat.v4.new_markdown_cell(f"# Title\n\n**Time** {line} **You need** notebook 01.")
    nb = nbformat.v4.new_notebook(cells=[first])
    assert promised(nb) == {"core": core, "deeper": deeper}


def test_honest_minutes():
    cells = [
        nbformat.v4.new_markdown_cell("word " * 180 + f"\n\n{PREDICT} one two"),
        new_code_cell("x = 1\n\n# a comment\ny = 2\n" + "z = 3\n" * 13),
        new_code_cell("folded = 1", metadata={"jupyter": {"source_hidden": True}}),
        nbformat.v4.new_markdown_cell("### Exercise 1 · t ★☆☆ 5 min\n" + "word " * 180),
        nbformat.v4.new_markdown_cell("## Going deeper\n### More\n" + "word " * 355),
    ]
    honest = minutes(nbformat.v4.new_notebook(cells=cells))
    assert honest["core"] == pytest.approx(1 + 1 + 1, abs=0.05)
    assert honest["deeper"] == pytest.approx(2, abs=0.05)
