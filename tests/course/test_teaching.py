"""The teacher's guide says of every notebook what the notebook says, and its plans add up.

A rule is a function problems_...(guide) -> list of sentences, empty when all is well. The last part of
this file breaks the guide in one way at a time and sees each rule object.
"""

import inspect
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PLANNED = set(re.findall(r"^\| (\d\d) \|", README, re.M))

# ----------------------------------------------------------------------------- reading a notebook

EXERCISE = re.compile(r"### Exercise \d+ · (.+) ([★☆]{3}) (\d+) min$")


def read(path):
    """What a sheet must agree with. `sections` maps each title to the signs (P1, E1) in it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    opening = "".join(cells[0]["source"])
    time = re.search(r"\*\*Time\*\* .*?to run\.", opening)[0]
    book = {"title": re.match(r"# (.+)", opening)[1], "time": time}
    book |= {"sections": {}, "predictions": [], "exercises": []}
    text, signs = "", []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            text += "".join(map(words, cell["outputs"]))
            if "exercise" in cell["metadata"].get("tags", []):
                book["exercises"][-1]["check"] = re.search(r"^check\.(\w+)\(", source, re.M)[1]
            continue
        text += source
        for line in source.splitlines():
            if line.startswith("## "):
                signs = book["sections"][line[3:]] = []
            elif line.startswith("> **Predict.** "):
                book["predictions"].append(line.removeprefix("> **Predict.** "))
                signs.append(f"P{len(book['predictions'])}")
            elif found := EXERCISE.match(line):
                book["exercises"].append(dict(zip(("title", "stars", "min"), found.groups())))
                signs.append(f"E{len(book['exercises'])}")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)  # 8,321 is 8321
    return book | {"numbers": set(map(float, re.findall(r"\d+(?:\.\d+)?", text)))}


def words(output):
    """What an output says as text, pictures left out."""
    data = output.get("data", {})
    parts = [output.get("text", ""), data.get("text/plain", ""), data.get("text/markdown", "")]
    return "\n".join("".join(part) for part in parts)


BOOKS = {
    path.name[:2]: read(path) for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
}


def section_number(title):
    return title.split(".")[0]


def signs_by_number(book):
    return {section_number(title): signs for title, signs in book["sections"].items()}


# ----------------------------------------------------------------------------- reading the guide


def parts(guide, level="##"):
    """{heading: text below it}"""
    _, *found = re.split(rf"^{level} (.+)\n", guide, flags=re.M)
    return dict(zip(found[::2], found[1::2]))


def sheets(guide):
    """(sheet, notebook) by number, where there are both."""
    found = {title[:2]: text for title, text in parts(guide).items() if re.match(r"\d\d · ", title)}
    return {number: (found[number], book) for number, book in BOOKS.items() if number in found}


def table(text, column):
    """The rows, {column: cell}, of the first table that has this column; none if there is no such table."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.M):
        head, _, *rows = [
            [cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()
        ]
        if column in head:
            return [dict(zip(head, row)) for row in rows]
    return []


def signs_in(text, letter):
    return re.findall(rf"(?<!\w){letter}\d+(?!\w)", text)


def numbers(text):
    """Numbers with decimals or thousands, as written: 2.48, 8,321."""
    return re.findall(r"(?<![\w.,])\d[\d,]*\.\d+|(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\d.])", text)


def stands_in(number, book):
    """Whether a number of the notebook, rounded to as many decimals, is this one."""
    wanted, decimals = float(number.replace(",", "")), len(number.partition(".")[2])
    return any(abs(one - wanted) <= 0.5 * 10**-decimals + 1e-9 for one in book["numbers"])


# ----------------------------------------------------------------------------- the rules: the sheets


def problems_sheets(guide):
    have = [title for title in parts(guide) if re.match(r"\d\d · ", title)]
    want = [book["title"] for book in BOOKS.values()]
    problems = [f"no sheet '## {title}'" for title in want if title not in have]
    problems += [f"the sheet '## {title}' is of no notebook" for title in have if title not in want]
    for number, (sheet, _) in sheets(guide).items():
        if len(sheet.split()) > 1250:
            problems.append(f"{number}: {len(sheet.split())} words do not fit two printed pages")
    for heading in parts(guide):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        if f"](#{anchor})" not in guide:
            problems.append(f"the contents do not lead to '## {heading}' (#{anchor})")
    return problems


def problems_time(guide):
    problems = []
    for number, (sheet, book) in sheets(guide).items():
        if book["time"] not in sheet:
            problems.append(f"{number}: the notebook says '{book['time']}'")
        rows = table(sheet, "stop for")
        read = re.search(r"(\d+) min to read", book["time"])[1]
        in_class = re.search(r"In class (\d+) min\.", sheet)
        for column, said in (("read", read), ("class", in_class and in_class[1])):
            if (total := sum(int(row[column]) for row in rows)) != int(said or 0):
                problems.append(f"{number}: the column {column} adds up to {total}, not {said}")
    return problems


def problems_sections(guide):
    problems = []
    for number, (sheet, book) in sheets(guide).items():
        rows = table(sheet, "stop for")
        if [row["section"] for row in rows] != list(book["sections"]):
            problems.append(f"{number}: the notebook's sections are {list(book['sections'])}")
        for row in rows:
            named = signs_in(row["stop for"], "[PE]")
            if named != (there := book["sections"].get(row["section"], named)):
                problems.append(
                    f"{number}, {row['section']}: in the notebook it has {there}, not {named}"
                )
    return problems


def problems_predictions(guide):
    problems = []
    for number, (sheet, book) in sheets(guide).items():
        rows = table(sheet, "it asks")
        if len(rows) != len(book["predictions"]):
            problems.append(
                f"{number}: {len(rows)} predictions, the notebook has {len(book['predictions'])}"
            )
        for n, (row, question) in enumerate(zip(rows, book["predictions"]), 1):
            begins = row["it asks"]
            if row[""] != f"P{n}" or len(begins) < 12 or not question.startswith(begins.strip('"')):
                problems.append(f"{number}: P{n} is {question[:50]!r}, not {row['']} {begins}")
            problems += [
                f"{number}: P{n}: {one} stands nowhere in the notebook"
                for one in numbers(row["it is"])
                if not stands_in(one, book)
            ]
            if not all(row.values()):
                problems.append(f"{number}: P{n}: an empty cell")
    return problems


def problems_exercises(guide):
    problems = []
    for number, (sheet, book) in sheets(guide).items():
        have = [
            (row[""], row["exercise"], row["stars"], row["min"])
            for row in table(sheet, "goes wrong")
        ]
        want = [
            (f"E{n}", e["title"], e["stars"], e["min"]) for n, e in enumerate(book["exercises"], 1)
        ]
        if have != want:
            problems.append(f"{number}: the notebook's exercises are {want}")
        for row, exercise in zip(table(sheet, "goes wrong"), book["exercises"]):
            check = inspect.getsource(getattr(mygpt_checks, exercise["check"]))
            hints = re.findall(r'"([^"]+)"', row["goes wrong"])
            problems += [
                f"{number}: {row['']}: the check never says {hint!r}"
                for hint in hints
                if hint not in check
            ]
            if not hints:
                problems.append(f"{number}: {row['']}: no hint of the check is quoted")
    return problems


def problems_path(guide):
    problems = []
    for number, (sheet, book) in sheets(guide).items():
        rows = table(sheet, "live")
        if (total := sum(int(row["min"]) for row in rows)) != 50:
            problems.append(f"{number}: the 50-minute path takes {total} minutes")
        there = signs_by_number(book)
        for row in rows:
            sections = re.findall(r"§(\d+)", row["§"])
            inside = [sign for section in sections for sign in there.get(section, [])]
            problems += [
                f"{number}: {sign} is not in {row['§']}"
                for sign in signs_in(row["live"], "[PE]")
                if sign not in inside
            ]
    return problems


def problems_signs(guide):
    """§6, P3, E2 anywhere in a sheet, and 03 §7 anywhere at all, must exist."""
    problems = []
    for number, (sheet, book) in sheets(guide).items():
        exist = {f"§{section}" for section in signs_by_number(book)}
        exist |= {sign for signs in book["sections"].values() for sign in signs}
        own = re.sub(r"\d\d §\d+", "", sheet)
        missing = sorted(set(signs_in(own, "[§PE]")) - exist)
        problems += [f"{number}: there is no {sign}" for sign in missing]
    for number, section in re.findall(r"(\d\d) §(\d+)", guide):
        if number in BOOKS and section not in signs_by_number(BOOKS[number]):
            problems.append(f"there is no section {section} in {number}")
    return problems


# ----------------------------------------------------------------------------- the rules: the plans


def minutes(number, plan, guide):
    """What a line of a schedule takes: the path, whole sections, exercises, and what states its '(n min)'."""
    total = sum(map(int, re.findall(r"\((\d+) min", plan))) + 50 * ("50-minute path" in plan)
    if number in sheets(guide):
        sheet, book = sheets(guide)[number]
        takes = {f"E{n}": int(exercise["min"]) for n, exercise in enumerate(book["exercises"], 1)}
        takes |= {
            section_number(row["section"]): int(row["class"]) for row in table(sheet, "stop for")
        }
        total += sum(takes.get(what, 0) for what in signs_in(plan, "E") + sections_in(plan))
    return total


def sections_in(plan):
    return [
        str(n) for a, b in re.findall(r"§(\d+)–§(\d+)", plan) for n in range(int(a), int(b) + 1)
    ]


def known(numbers_named):
    return [
        f"the schedule names notebook {number}, which is neither there nor planned"
        for number in numbers_named
        if number != "–" and number not in PLANNED | set(BOOKS)
    ]


def problems_term(guide):
    rows = table(parts(guide)["A term"], "at home")
    problems = known(row["notebook"] for row in rows)
    if [row["week"] for row in rows] != [str(n) for n in range(1, 13)]:
        problems.append("the weeks are not 1 to 12")
    for row in rows:
        takes = minutes(row["notebook"], row["in class"], guide)
        if int(row["min"]) != takes or takes > 90:
            problems.append(f"week {row['week']} says {row['min']} of 90 min and takes {takes}")
    for number, (_, book) in sheets(guide).items():
        weeks = [row for row in rows if row["notebook"] == number]
        done = [
            sign for row in weeks for sign in signs_in(row["in class"] + " " + row["at home"], "E")
        ]
        if sorted(done) != [f"E{n}" for n in range(1, len(book["exercises"]) + 1)]:
            problems.append(f"{number}: in the term these exercises are done: {sorted(done)}")
        plans = " ".join(row["in class"] for row in weeks)
        numbered = [section for section in signs_by_number(book) if section.isdigit()]
        if "50-minute path" not in plans and sections_in(plans) != numbered:
            problems.append(f"{number}: in the term the sections {sections_in(plans)} are taught")
    return problems


def problems_days(guide):
    problems = []
    for day, text in parts(parts(guide)["Two days"], "###").items():
        rows = table(text, "from")
        problems += known(row["notebook"] for row in rows)
        clock = [60 * int(row["from"][:2]) + int(row["from"][3:]) for row in rows]
        for row, begins, ends in zip(rows, clock, clock[1:] + [clock[-1] + int(rows[-1]["min"])]):
            if begins + int(row["min"]) != ends:
                problems.append(
                    f"{day}, {row['from']}: {row['min']} min do not reach the next line"
                )
            takes = minutes(row["notebook"], row["what"], guide)
            if takes and takes != int(row["min"]):
                problems.append(f"{day}, {row['from']}: {row['min']} min, but it takes {takes}")
    return problems


def problems_commands(guide):
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    named = set(re.findall(r"(?:`|wheelhouse )make ([a-z-]+)", guide))
    return [f"the Makefile has no target {target}" for target in sorted(named - targets)]


RULES = [rule for name, rule in list(globals().items()) if name.startswith("problems_")]


def rule_name(rule):
    return rule.__name__.removeprefix("problems_")


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_the_guide(rule):
    problems = rule(GUIDE)
    assert not problems, "\n".join(problems)


# ------------------------------------------------------------------------- each rule catches what it should

MISTAKES = [  # (rule, pattern in the guide, what to put for its first match, what the rule must say)
    (problems_sheets, r"^## 03 · .*\n", "", "no sheet '## 03"),
    (problems_sheets, r"^## 02 · .*", "## 02 · Attention", "'## 02 · Attention' is of no notebook"),
    (problems_sheets, r"^## 02 · .*\n", r"\g<0>" + "word " * 1250, "do not fit two printed pages"),
    (problems_sheets, r"#troubles", "#trouble", "do not lead to '## Troubles'"),
    (
        problems_time,
        r"50 min for the exercises",
        "55 min for the exercises",
        "01: the notebook says",
    ),
    (problems_time, r"min to run\. In class", "s to run. In class", "01: the notebook says"),
    (problems_time, r"(\| 1\. .*?\| )\d+ ", r"\g<1>9 ", "01: the column read"),
    (problems_time, r"In class \d+ min", "In class 10 min", "01: the column class"),
    (problems_sections, r"\| 2\. \w+", "| 2. Other", "01: the notebook's sections are"),
    (problems_sections, r"^\| 4\. .*\n", "", "01: the notebook's sections are"),
    (problems_sections, r"\| P1 \|", "| P2 |", "has ['P1'], not ['P2']"),
    (problems_sections, r"; E1 \|", " |", "01, 6."),
    (problems_predictions, r"^\| P2 .*\n", "", "01: 6 predictions, the notebook has 7"),
    (problems_predictions, r'^\| P3 \| "', '| P3 | "Now ', "01: P3 is"),
    (problems_predictions, r'^\| P3 \| ".*?"', '| P3 | ""', "01: P3 is"),
    (problems_predictions, r"above, 4\.73", "above, 4.79", "01: P3: 4.79 stands nowhere"),
    (problems_predictions, r"^(\| P3 \|.*\| ).+ \|$", r"\1 |", "01: P3: an empty cell"),
    (problems_exercises, r"^\| E2 .*\n", "", "01: the notebook's exercises are"),
    (problems_exercises, r"^\| E1 \| \w+", "| E1 | bytes", "01: the notebook's exercises are"),
    (problems_exercises, r"★☆☆", "★★☆", "01: the notebook's exercises are"),
    (problems_exercises, r"★☆☆ \| 5 ", "★☆☆ | 6 ", "01: the notebook's exercises are"),
    (
        problems_exercises,
        r'"this is in nats"',
        '"this is in gnats"',
        "01: E1: the check never says",
    ),
    (problems_exercises, r'"the mean of the windows\' means"', "means", "01: E2: no hint"),
    (problems_path, r"^\| 4 \| §1 ", "| 5 | §1 ", "01: the 50-minute path takes 51"),
    (problems_path, r"^(\| \d+ \|) §1 ", r"\1 §2 ", "01: P1 is not in §2"),
    (problems_signs, r"At home: §2", "At home: §22", "01: there is no §22"),
    (problems_signs, r"\*\*The point:\*\*", "**The point:** P99", "01: there is no P99"),
    (problems_signs, r"03 §7", "03 §17", "no section 17 in 03"),
    (problems_term, r"^\| 9 \| 06", "| 9 | 60", "names notebook 60"),
    (problems_term, r"^\| 8 \|.*\n", "", "weeks are not 1 to 12"),
    (problems_term, r"^(\| 2 \| 02 .*?\|) \d+ ", r"\1 64 ", "week 2 says 64"),
    (problems_term, r"test on 01 to 05 \(45 min\)", "test (99 min)", "week 8 says"),
    (problems_term, r"\| E3, E4 \|$", "| E3 |", "01: in the term these exercises are done"),
    (problems_term, r"§7–§13", "§7–§12", "02: in the term the sections"),
    (problems_days, r"(10:20 \| 25 \|) 01", r"\1 13", "names notebook 13"),
    (problems_days, r"\| 10:45 \| 15", "| 10:45 | 20", "Day 1, 10:45: 20 min do not reach"),
    (problems_days, r"(11:50 .*) E2, E3", r"\1 E2, E4", "Day 1, 11:50: 25 min, but it takes 30"),
    (problems_commands, r"`make html`", "`make pages`", "no target pages"),
]


@pytest.mark.parametrize(
    "rule, pattern, new, says", MISTAKES, ids=[f"{rule_name(m[0])}-{m[3][:30]}" for m in MISTAKES]
)
def test_rule_catches(rule, pattern, new, says):
    broken = re.sub(pattern, new, GUIDE, count=1, flags=re.M)
    assert broken != GUIDE, "the pattern is not found"
    assert says in "\n".join(rule(broken))


def test_a_notebook_without_a_sheet_is_missed(monkeypatch):
    monkeypatch.setitem(BOOKS, "99", BOOKS["01"] | {"title": "99 · New"})
    assert "no sheet '## 99 · New'" in problems_sheets(GUIDE)


def test_every_rule_is_shown_to_catch_something():
    assert {rule for rule, *_ in MISTAKES} == set(RULES)
