"""Make a deck of slides of each notebook, build/slides/NN_name.html, that needs no network and no kernel.

    python tools/build_slides.py          all
    python tools/build_slides.py 03 05    only these

Which cells a deck shows stands in their metadata, `slideshow.slide_type`, which JupyterLab shows as
"Slide Type" in its property inspector:

    slide     starts a new slide, at the first heading in the cell if it has one
    -         goes on with the current slide
    fragment  the same, but appears on a key press: answers to predictions
    skip      is left out

A notebook's text is written to be read alone, so a slide shows only the gist of it (see `gist`), but
whole what a question needs and what answers it (see `wording`). The speaker's notes (key S) have all of
it, also that of skipped text cells, one note for each slide. Of a code cell with a picture the slide shows
the picture alone; answers, and what code longer than a few lines puts out, stand without their code.
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
from run_notebooks import ROOT, find, read, write_whole

SLIDES = ROOT / "build" / "slides"
LONGEST_CODE = 20  # lines on a slide; longer code is not shown
LONGEST_WITH_OUTPUT = 5  # with more lines the output stands alone
LONGEST_WITH_CODE = 8  # an output with more lines stands alone
LONGEST_OUTPUT = 22  # lines; longer output is cut
SHORT = 55  # words; shorter paragraphs are shown whole, unless they read a picture
LONGEST_WHOLE = 140  # words of an answer, or before a question; of what is longer the gist is shown

EXERCISE, SOLUTION, QUESTION = "### Exercise", "*A solution", "> **Predict.**"
READING, PAPERS = "**Read the picture.**", "**Papers.**"


def slide_type(cell):
    return cell.metadata.get("slideshow", {}).get("slide_type", "-")


# ----------------------------------------------------------------------------- text


def paragraphs(source):
    """The text, cut at empty lines and after headings; what comes next gets a heading."""
    source = re.sub(r"^\*\*(Next: .*?)\.\*\* ", r"## \1\n", source, flags=re.M)
    apart = re.sub(r"^(#.*)\n", r"\1\n\n", source, flags=re.M)
    return [paragraph for paragraph in re.split(r"\n\s*\n", apart) if paragraph.strip()]


def sections(source):
    """The parts of a text that a deck may show or tell, each beginning where a new slide may begin."""
    parts = [[]]
    for paragraph in paragraphs(source):
        if paragraph.startswith(("#", QUESTION)):
            parts.append([])
        parts[-1].append(paragraph)
    return [part for part in parts if part and not part[0].startswith((EXERCISE, SOLUTION))]


def wording(paragraphs, whole):
    """What a slide shows of some paragraphs: their gist, or all of them if `whole` and not too long."""
    shown, words = [], 0
    for paragraph in paragraphs:
        words += len(paragraph.split())
        shown.append(paragraph if whole and words <= LONGEST_WHOLE else gist(paragraph))
    return "\n\n".join(shown)


def gist(paragraph):
    """What a slide shows of a paragraph.

    Headings, questions, lists, tables, formulas and short paragraphs whole; else the first sentence, and every one
    with something bold in it (a new word, a conclusion) or that asks something.
    """
    is_short = len(paragraph.split()) <= SHORT and not paragraph.startswith(READING)
    if is_short or re.match(r"#|>|\* |\||\$\$", paragraph):
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
    cells, has_code = [], False
    for before, cell, after in zip([None, *notebook.cells], notebook.cells, [*notebook.cells[1:], None]):
        for number, part in enumerate(parts_of(cell, is_shown(before), is_shown(after))):
            begins = part.metadata.get("paragraphs", [""])[0]
            if begins.startswith("#") or (number > 0 and begins.startswith(QUESTION) and has_code):
                marked(part, "slide")
            has_code = part.cell_type == "code" or (has_code and slide_type(part) != "slide")
            cells.append(part)
    heading = ""
    for slide in slides(cells):
        heading = finish(slide, heading)
    return new_notebook(cells=cells, metadata=dict(notebook.metadata) | {"title": heading_of(notebook)})


def slides(cells):
    """The cells of each slide."""
    starts = [i for i, cell in enumerate(cells) if slide_type(cell) == "slide"]
    return [cells[start:end] for start, end in zip(starts, [*starts[1:], len(cells)])]


def is_shown(cell):
    return cell is not None and slide_type(cell) != "skip"


def heading_of(notebook):
    return notebook.cells[0].source.split("\n")[0].lstrip("# ")


def finish(slide, heading):
    """Write the texts of a slide, its running head if it has no heading, and its note; returns its heading.

    The note stands in the last cell: the speaker's view shows one note a slide.
    """
    asks = any([cell.metadata.pop("asks", False) for cell in slide])
    for cell in slide:
        if cell.cell_type == "markdown":
            cell.source = wording(cell.metadata.pop("paragraphs"), asks or slide_type(cell) == "fragment")
    notes = [cell.metadata.pop("notes", "") for cell in slide]
    slide[-1].metadata["slide_notes"] = "\n\n".join(filter(None, notes)) or "–"
    if slide[0].source.startswith("#"):
        return slide[0].source.split("\n")[0].lstrip("# ")
    # the backslash: else Markdown would see a numbered list
    slide[0].metadata["running_head"] = heading.replace(". ", "\\. ")
    return heading


def parts_of(cell, follows, leads_on):
    """What a cell becomes in the deck. `follows`, `leads_on`: whether the cells before and after it are shown."""
    if cell.cell_type == "markdown":
        return text_parts(cell, follows, leads_on)
    return [code_part(cell)] if is_shown(cell) else []


def text_parts(cell, follows, leads_on):
    """The parts of a text cell.

    Of a cell that starts a slide, what stands before its first heading still reads the result before: it
    appears on that slide, on a key press, or stands in its note if the result is not shown.
    """
    source, kind, first = cell.source, slide_type(cell), 0
    if kind == "slide":  # a paragraph's own heading becomes the slide's
        source = re.sub(r"\A\*\*(?!Read the picture|Papers)([^*]+)\.\*\* ", r"### \1\n", source)
    parts = sections(source)
    if kind == "slide":
        first = next((i for i, part in enumerate(parts) if part[0].startswith("#")), 0)
    before, after = "fragment" if follows else "skip", "-" if kind == "slide" else kind
    kinds = [before] * first + [kind] + [after] * len(parts)
    made = [text_part(part, its, leads_on and part is parts[-1]) for part, its in zip(parts, kinds)]
    for part in made:
        part.metadata["asks"] = is_shown(cell) and QUESTION in source
    return made


def text_part(paragraphs, kind, leads_on):
    """A cell with the paragraphs that a slide may show, and in its notes the whole text."""
    shown = [paragraph for paragraph in paragraphs if kind != "skip" and not paragraph.startswith(PAPERS)]
    if shown and shown[-1].endswith(":") and not leads_on:
        shown[-1:] = filter(None, [" ".join(sentences(shown[-1])[:-1])])  # announced what the deck leaves out
    part = new_markdown_cell()
    part.metadata["paragraphs"] = shown or [""]
    part.metadata["notes"] = re.sub(r"^#+ (.*)$", r"**\1**", "\n\n".join(paragraphs), flags=re.M)
    return marked(part, kind if shown else "-")


def marked(cell, kind):
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def code_part(cell):
    source = re.sub(r"\n{3,}", "\n\n", cell.source)
    part = nbformat.from_dict(dict(cell) | {"metadata": {}, "source": source})
    pictures = [output for output in cell.outputs if is_picture(output)]
    texts = map(for_a_slide, cell.outputs)
    part.outputs = pictures or [output for output in texts if output.get("text") != ""]
    if not shows_code(part, slide_type(cell)):
        part.metadata["transient"] = {"remove_source": True}
    part.metadata["tall"] = any(is_tall(picture.data["image/png"]) for picture in pictures)
    return marked(part, slide_type(cell))


def shows_code(cell, kind):
    """Whether a cell's code stands on the slide, or gives way to what it put out."""
    lines = len(cell.source.split("\n"))
    if not cell.outputs:
        return lines <= LONGEST_CODE
    put_out = sum(output.get("text", "").count("\n") for output in cell.outputs)
    short = lines <= LONGEST_WITH_OUTPUT and put_out <= LONGEST_WITH_CODE
    return short and kind != "fragment" and not any(map(is_picture, cell.outputs))


def is_tall(png):
    """Whether a picture is so high that the text had better stand beside it."""
    width, height = struct.unpack(">II", base64.b64decode(png)[16:24])
    return width < 1.5 * height


def for_a_slide(output):
    if output.output_type == "stream":
        lines = [line for line in output.text.split("\n") if "%|" not in line]
        lines = lines[:LONGEST_OUTPUT - 1] + ["…"] if len(lines) > LONGEST_OUTPUT else lines
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
{%- if cell.metadata.fragment_end -%}</div>{%- endif -%}
{%- if cell.metadata.slide_notes -%}
<aside class="notes">{{ cell.metadata.slide_notes | markdown2html }}</aside>
{%- endif -%}
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
// code is as large as there is room for; pictures take the height that is left
const fit = () => {
  const slide = Reveal.getCurrentSlide(), pictures = [...slide.querySelectorAll("img")];
  const room = () => 700 - slide.offsetHeight;
  for (let size = 24; size === 24 || (size >= 17 && room() < 0); size--) {
    slide.style.setProperty("--code-size", `${size}px`);
  }
  const share = room() / pictures.length;
  for (const picture of pictures) picture.style.height = `${picture.offsetHeight + share}px`;
};
for (const event of ["ready", "slidechanged"]) Reveal.on(event, fit);
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
    page, _ = DeckExporter().from_notebook_node(deck(read(path)))
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
    names = {path.stem: heading_of(read(path)) for path in find([])}
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
