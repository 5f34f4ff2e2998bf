"""Sphinx's settings for the book. tools/build_book.py copies this folder to where Sphinx reads."""

project = "My GPT"
author = "the authors of My GPT"
project_copyright = "text and figures CC BY 4.0, code MIT"
language = "en"

extensions = ["myst_nb", "sphinx.ext.mathjax"]
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

mathjax_path = "tex-svg.js"  # draws formulas as paths: browsers refuse fonts on file://
mathjax3_config = {"options": {"enableMenu": False}}
