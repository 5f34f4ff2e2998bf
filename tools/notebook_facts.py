"""Facts about a notebook: words, honest minutes, figures, drawings, predictions, exercises.

    python tools/notebook_facts.py          all
    python tools/notebook_facts.py 03 04    only these

Minutes are what a reader needs: 180 words a minute, 4 seconds for a line of code that matters (not
folded, no exercise, no comment), and a minute for a prediction. Exercises are not in them: their
titles say how long they take. The **Time** line of a notebook must promise the same, within a quarter.
"""

import ast
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
WORDS_A_MINUTE, SECONDS_A_LINE = 180, 4
LONGEST_LINE = 88  # characters of code
LONG_BRACKET = 8  # words; so many are mostly an argument, which deserves a sentence of its own

PREDICT = "> **Predict.**"
EXERCISE = re.compile(r"^### Exercise (\d+) · (\S.*) (★{1,3}☆{0,2}) (\d+) min$", re.M)
INVESTIGATE = re.compile(r"^### Investigate · \S.* ★{1,3}☆{0,2} \d+ min$", re.M)
COUNTED = {"two": 2, "three": 3, "four": 4}

# ------------------------------------------------------------------------------ reading


def paths(numbers=()):
    """The notebooks with these numbers, all without any, in order."""
    every = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return [path for path in every if not numbers or path.name[:2] in numbers]


def is_draft(notebook):
    """Whether its metadata says "draft": true, which keeps it out of everything but the format."""
    return notebook.metadata.get("draft", False) is True


def code_cells(notebook, tag=None):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    return cells if tag is None else [cell for cell in cells if tag in tags(cell)]


def markdown(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell):
    return cell.metadata.get("tags", [])


def hidden(cell, what):
    """Whether the cell's source or outputs are folded. `what`: "source" or "outputs"."""
    return cell.metadata.get("jupyter", {}).get(f"{what}_hidden") is True


def tree(cell):
    """The syntax tree of a code cell; IPython's own lines (%magic, !shell) are left out.

    A cell that is not Python has an empty one.
    """
    lines = ["" if line[:1] in ("%", "!") else line for line in cell.source.split("\n")]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:
        return ast.Module([], [])


def pictures(notebook):
    """(index of the cell, output) of every output that is a picture."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if any(mime.startswith("image/") for mime in output.get("data", {})):
                yield index, output


def output_text(cell):
    """All that a code cell put out as text, pictures left out."""
    parts = [output.get("text", "") for output in cell.outputs]
    for output in cell.outputs:
        data = output.get("data", {}).items()
        parts += [str(content) for mime, content in data if not mime.startswith("image/")]
    return "\n".join(parts)


def calls(cells, owner):
    """The names X of all calls owner.X(...) in these cells, in order."""
    found = []
    for cell in cells:
        for node in ast.walk(tree(cell)):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attribute)):
                    found += [attribute] * (name == owner)
    return found


# ------------------------------------------------------------------------------ minutes


def parts(notebook):
    """The notebook in pieces, (part, text or code cell): part is core, deeper or exercise.

    "Going deeper" and an exercise last until the next heading that is as high as theirs.
    """
    part, level = "core", 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield part, cell
            continue
        for line in cell.source.split("\n"):
            if heading := re.match(r"(#+) (.*)", line):
                depth, title = len(heading[1]), heading[2]
                outside = level == 0 or depth <= level
                if "going deeper" in title.lower():
                    part, level = "deeper", depth
                elif part != "deeper" and re.match(r"Exercise \d|Investigate", title):
                    part, level = "exercise", depth
                elif outside:
                    part, level = "core", 0
            yield part, line


def minutes(notebook):
    """The honest minutes of the core path and of "Going deeper": {"core": 41.2, "deeper": 12.0}."""
    total = {"core": 0.0, "deeper": 0.0, "exercise": 0.0}
    for part, piece in parts(notebook):
        if isinstance(piece, str):
            total[part] += words(piece) / WORDS_A_MINUTE + piece.startswith(PREDICT)
        else:
            total[part] += lines_that_matter(piece) * SECONDS_A_LINE / 60
    return {part: total[part] for part in ("core", "deeper")}


def words(text):
    return len(re.sub(r"<[^>]+>|[#*>|]", " ", text).split())


def lines_that_matter(cell):
    if hidden(cell, "source") or {"exercise", "solution", "setup"} & set(tags(cell)):
        return 0
    lines = [line.strip() for line in cell.source.split("\n")]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def promised(notebook):
    """What the **Time** line promises, in minutes: {"core": 45, "deeper": 15}; None for what it lacks.

    "about 45 minutes to read, 15 for *Going deeper*, 60 for the exercises, 20 s to run" is read
    clause by clause. "Two sittings of 40 minutes" are 80.
    """
    line = re.search(r"\*\*Time\*\*(.*?)(?=\*\*|\n\n|\Z)", notebook.cells[0].source, re.S)
    text = re.sub(r"sections? \d+( to \d+)?", "", line[1] if line else "", flags=re.I)
    promise = {"core": None, "deeper": None}
    for sentence in re.split(r"\.\s", text):
        part = "core"
        for clause in re.split(r",\s|;\s| and | plus ", sentence.lower()):
            part = "deeper" if "deeper" in clause else part
            number = re.search(r"\d+", clause)
            if number and not re.search(r"exercise|\brun", clause):
                times = re.search(rf"\b({'|'.join(COUNTED)}) sittings", clause)
                took = int(number[0]) * (COUNTED[times[1]] if times else 1)
                promise[part] = (promise[part] or 0) + took
    return promise


# ------------------------------------------------------------------------------ what a writer looks up


def long_lines(notebook):
    cells = [cell for cell in code_cells(notebook) if "setup" not in tags(cell)]
    lines = [line for cell in cells for line in cell.source.split("\n")]
    return [line for line in lines if len(line) > LONGEST_LINE]


def long_brackets(notebook):
    """Brackets in the prose that hold many words; formulas, code and links are left out."""
    other = r"\$\$.*?\$\$|\$[^$\n]*\$|`[^`]*`|\]\([^)]*\)"
    found = re.findall(r"\([^()]+\)", re.sub(other, "x", markdown(notebook), flags=re.S))
    return [bracket for bracket in found if len(bracket.split()) >= LONG_BRACKET]


def facts(notebook):
    honest, said = minutes(notebook), promised(notebook)
    text = markdown(notebook)
    return {
        "words": words(text),
        "minutes, core": f"{honest['core']:.0f} (promised: {said['core']})",
        "minutes, deeper": f"{honest['deeper']:.0f} (promised: {said['deeper']})",
        "figures": len(list(pictures(notebook))),
        "drawings": len(calls(code_cells(notebook), "diagrams")),
        "predictions": text.count(PREDICT),
        "exercises": len(EXERCISE.findall(text)),
        "investigations": len(INVESTIGATE.findall(text)),
        f"lines of code over {LONGEST_LINE}": long_lines(notebook),
        f"brackets of {LONG_BRACKET} words or more": long_brackets(notebook),
    }


def main(numbers):
    found = paths([number.zfill(2) for number in numbers])
    if not found:
        return f"notebook_facts: no notebook {' '.join(numbers)}"
    for path in found:
        notebook = nbformat.read(path, as_version=4)
        print(path.name + (" (a draft)" if is_draft(notebook) else ""))
        for name, value in facts(notebook).items():
            print(f"  {name:32} {len(value) if isinstance(value, list) else value}")
            for line in value if isinstance(value, list) else []:
                print(f"      {' '.join(line.split())}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
