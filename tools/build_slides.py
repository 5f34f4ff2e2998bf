"""Make a deck of slides of each notebook, build/slides/NN_name.html, that needs no network and no kernel.

    python tools/build_slides.py          all
    python tools/build_slides.py 03 05    only these

Which cells a deck shows stands in their metadata, `slideshow.slide_type`, which JupyterLab shows as
"Slide Type" in its property inspector:

    slide     starts a new slide, at the first heading in the cell if it has one
    -         goes on with the current slide
    fragment  the same, but appears on a key press: answers to predictions
    skip      is left out

A notebook's text is written to be read alone, so a slide shows only the gist of it (see `gist`) and the
speaker's notes (key S) have all of it. Of a code cell with a picture the slide shows the picture alone;
code longer than a few lines gives way to its output.
"""

import base64
import re
import shutil
import struct
import sys

import nbformat
from build_book import copy_font, is_picture
from export_html import PICTURES_WITH_ALT, FormulasAsMathML
from nbconvert import SlidesExporter
from nbformat.v4 import new_markdown_cell, new_notebook
from pygments.formatters import HtmlFormatter
from run_notebooks import ROOT, find, write_whole

SLIDES = ROOT / "build" / "slides"
LONGEST_CODE = 20  # lines on a slide; longer code is not shown
LONGEST_WITH_OUTPUT = 5  # with more lines the output stands alone

EXERCISE, QUESTION = "### Exercise", "> **Predict.**"
READING, PAPERS = "**Read the picture.**", "**Papers.**"


def slide_type(cell):
    return cell.metadata.get("slideshow", {}).get("slide_type", "-")


# ----------------------------------------------------------------------------- text


def paragraphs(source):
    """The text, cut at empty lines and after headings; what comes next gets a heading."""
    source = re.sub(r"^\*\*(Next: .*?)\.\*\* ", r"## \1\n", source, flags=re.M)
    apart = re.sub(r"^(#.*)\n", r"\1\n\n", source, flags=re.M)
    return [paragraph for paragraph in re.split(r"\n\s*\n", apart) if paragraph.strip()]


def sections(cell):
    """The parts of a text cell that a deck may show, each beginning where a new slide may begin."""
    parts = [[]]
    for paragraph in paragraphs(cell.source):
        if paragraph.startswith(("#", QUESTION)):
            parts.append([])
        if not paragraph.startswith(PAPERS):
            parts[-1].append(paragraph)
    parts = [part for part in parts if part and not part[0].startswith(EXERCISE)]
    headings = [i for i, part in enumerate(parts) if part[0].startswith("#")]
    # what stands before the heading reads the result before, which need not be in the deck
    return parts[headings[0]:] if slide_type(cell) == "slide" and headings else parts


def gist(paragraph):
    """What a slide shows of a paragraph.

    Headings, questions, lists, tables and formulas whole; else the first sentence, and every one with
    something bold in it (a new word, a conclusion) or that asks something.
    """
    if re.match(r"#|>|\* |\||\$\$", paragraph):
        return paragraph
    first, *others = sentences(paragraph)
    return " ".join([first] + [other for other in others if "**" in other or other.endswith("?")])


def sentences(paragraph):
    """The sentences of a paragraph, none cut within bold or parentheses, and the first not too short."""
    found, enough = [""], 90 if paragraph.startswith(READING) else 40
    for part in re.split(r"(?<=[.?!])\s+|(?<=[.?!][*)])\s+|(?<=[.?!]\*\*)\s+", paragraph):
        whole = found[-1].count("**") % 2 == 0 and found[-1].count("(") == found[-1].count(")")
        if whole and (len(found) > 1 or len(found[0]) >= enough):
            found.append(part)
        else:
            found[-1] = f"{found[-1]} {part}".strip()
    return found


# ----------------------------------------------------------------------------- a deck


def deck(notebook):
    """The notebook that nbconvert turns into slides: what they show, with a slide type for every cell."""
    cells, heading, shows_code = [], "", False
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None]):
        if slide_type(cell) == "skip":
            continue
        if cell.cell_type == "code":
            parts = [code_part(cell)]
        else:
            next_is_shown = following is not None and slide_type(following) != "skip"
            parts = text_parts(cell, next_is_shown)
        for number, part in enumerate(parts):
            first_line = part.source.split("\n")[0] if part.cell_type == "markdown" else ""
            kind = slide_type(cell) if number == 0 or slide_type(cell) == "fragment" else "-"
            a_question_after_code = number > 0 and first_line.startswith(QUESTION) and shows_code
            if first_line.startswith("#") or a_question_after_code:
                kind = "slide"
            if kind == "slide":
                shows_code = False
                if first_line.startswith("#"):
                    heading = first_line.lstrip("# ")
                else:
                    # the backslash: else Markdown would see a numbered list
                    part.metadata["running_head"] = heading.replace(". ", "\\. ")
            shows_code = shows_code or part.cell_type == "code"
            part.metadata["slideshow"] = {"slide_type": kind}
            cells.append(part)
    return new_notebook(cells=cells, metadata=dict(notebook.metadata) | {"title": heading_of(notebook)})


def heading_of(notebook):
    return notebook.cells[0].source.split("\n")[0].lstrip("# ")


def text_parts(cell, next_is_shown):
    parts, cells = sections(cell), []
    for number, part in enumerate(parts):
        shown = list(part)
        if shown[-1].endswith(":") and not (next_is_shown and number == len(parts) - 1):
            shown[-1] = " ".join(sentences(shown[-1])[:-1])  # announced what the deck leaves out
        if number == 0 and slide_type(cell) == "fragment" and not shown[0].startswith("#"):
            # the answer to a question, without what leads on from it
            shown[1:] = [paragraph for paragraph in shown[1:] if "**" in paragraph]
        text = "\n\n".join(gist(paragraph) for paragraph in shown if paragraph)
        if text:
            cells.append(new_markdown_cell(text))
            if text != "\n\n".join(part):
                cells[-1].metadata["notes"] = "\n\n".join(part)
    return cells


def code_part(cell):
    source = re.sub(r"\n{3,}", "\n\n", cell.source)
    part = nbformat.from_dict(dict(cell) | {"metadata": {}, "source": source})
    pictures = [output for output in cell.outputs if is_picture(output)]
    texts = map(without_progress, cell.outputs)
    part.outputs = pictures or [output for output in texts if output.get("text") != ""]
    longest = LONGEST_WITH_OUTPUT if part.outputs else LONGEST_CODE
    if pictures or len(part.source.split("\n")) > longest:
        part.metadata["transient"] = {"remove_source": True}
    part.metadata["tall"] = any(is_tall(picture.data["image/png"]) for picture in pictures)
    return part


def is_tall(png):
    """Whether a picture is so high that the text had better stand beside it."""
    width, height = struct.unpack(">II", base64.b64decode(png)[16:24])
    return width < 1.35 * height


def without_progress(output):
    if output.output_type == "stream":
        lines = [line for line in output.text.split("\n") if "%|" not in line]
        return nbformat.from_dict(dict(output) | {"text": "\n".join(lines)})
    return output


# ----------------------------------------------------------------------------- pages

TEMPLATE = """
{%- extends 'reveal/base.html.j2' -%}

{%- block header -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ nb.metadata.title | e }} · slides</title>
<link rel="stylesheet" href="reveal/reveal.css">
<link rel="stylesheet" href="deck.css">
<link rel="stylesheet" href="code.css">
</head>
<body>
{%- endblock header -%}

{%- block body_header -%}
<main><div class="reveal"><div class="slides">
{%- endblock body_header -%}

{%- block any_cell -%}
{%- if cell.metadata.slide_start -%}<section><section>{%- endif -%}
{%- if cell.metadata.fragment_start -%}<div class="fragment">{%- endif -%}
{%- if cell.metadata.running_head -%}
<div class="running">{{ cell.metadata.running_head | markdown2html }}</div>
{%- endif -%}
{%- if cell.cell_type == 'code' -%}
<div{% if cell.metadata.tall %} class="tall"{% endif %}>{{ self.codecell() }}</div>
{%- else -%}
{{ cell.source | markdown2html }}
{%- endif -%}
{%- if cell.metadata.notes -%}
<aside class="notes">{{ cell.metadata.notes | markdown2html }}</aside>
{%- endif -%}
{%- if cell.metadata.fragment_end -%}</div>{%- endif -%}
{%- if cell.metadata.slide_end -%}</section></section>{%- endif -%}
{%- endblock any_cell -%}

{%- block body_footer -%}
</div></div></main>
<script src="reveal/reveal.js"></script>
<script src="reveal/notes.js"></script>
<script>
Reveal.initialize({
  width: 1280, height: 720, margin: 0.08, center: false, transition: "none",
  hash: true, slideNumber: "c/t", controlsLayout: "edges", scrollActivationWidth: null,
  plugins: [RevealNotes],
});
</script>
</body>
</html>
{%- endblock body_footer -%}

{%- block footer -%}{%- endblock footer -%}
""" + PICTURES_WITH_ALT


CONTENTS = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>My GPT · slides</title>
<style>
body {{ font: 20px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }}
</style>
</head>
<body>
<main>
<h1>My GPT: slides</h1>
<p>Arrow keys go on and back, Esc shows all slides, S opens the speaker's notes.</p>
<ul>
{items}
</ul>
</main>
</body>
</html>
"""


class DeckExporter(FormulasAsMathML, SlidesExporter):
    raw_template = TEMPLATE
    exclude_input_prompt = exclude_output_prompt = exclude_anchor_links = True


def export(path):
    """The page of one notebook's deck, as text."""
    page, _ = DeckExporter().from_notebook_node(deck(nbformat.read(path, as_version=4)))
    return page


def copy_what_all_share():
    import sphinx_revealjs  # here, so that the tests of decks need only what all tests need

    reveal = f"{sphinx_revealjs.__path__[0]}/_static/revealjs"
    (SLIDES / "reveal").mkdir(parents=True, exist_ok=True)
    for name in ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE"):
        shutil.copy(f"{reveal}/{name}", SLIDES / "reveal")
    shutil.copy(ROOT / "tools" / "slides" / "deck.css", SLIDES)
    copy_font(SLIDES)
    colours = HtmlFormatter(style="a11y-high-contrast-light")
    write_whole(SLIDES / "code.css", colours.get_style_defs(".highlight"))


def contents():
    """The page that leads to all decks there are."""
    names = {path.stem: heading_of(nbformat.read(path, as_version=4)) for path in find([])}
    made = [stem for stem in names if (SLIDES / f"{stem}.html").exists()]
    items = [f'<li><a href="{stem}.html">{names[stem]}</a></li>' for stem in made]
    return CONTENTS.format(items="\n".join(items))


def main(numbers):
    try:
        paths = find(numbers)
    except ValueError as error:
        return f"build_slides: {error}"
    copy_what_all_share()
    for path in paths:
        page = SLIDES / f"{path.stem}.html"
        write_whole(page, export(path))
        print(page.relative_to(ROOT).as_posix())
    write_whole(SLIDES / "index.html", contents())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
