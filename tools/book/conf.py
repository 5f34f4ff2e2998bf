"""Sphinx's settings for the book. tools/build_book.py copies this folder to where Sphinx reads."""

from docutils.nodes import SkipNode

from export_html import formula

project = "My GPT"
author = "the authors of My GPT"
project_copyright = "text and figures CC BY 4.0, code MIT"
language = "en"

extensions = ["myst_nb"]
nb_execution_mode = "off"  # the saved outputs are shown
nb_render_markdown_format = "myst"  # so that tables in outputs may hold formulas
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "My GPT"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_copy_source = False
html_show_search_summary = False  # it would fetch pages, which browsers refuse on file://
html_show_sourcelink = False
html_math_renderer = "mathml"


def inline_formula(writer, node):
    writer.body.append(formula(node.astext()))
    raise SkipNode


def displayed_formula(writer, node):
    writer.body.append(f'<div class="formula">{formula(node.astext(), display="block")}</div>')
    raise SkipNode


def setup(app):
    """Formulas become MathML, which browsers show without a script and without a network."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (displayed_formula, None))
