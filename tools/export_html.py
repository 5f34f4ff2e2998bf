"""Write notebooks as web pages, build/html/NN_name.html, that need no network and no kernel.

    python tools/export_html.py          all
    python tools/export_html.py 03 05    only these

nbconvert's own page loses three things, which are kept here: the pictures' alt text (from the output's
metadata), the folds (answers to predictions, solutions), and, without a network, the formulas.
"""

import re
import sys

import latex2mathml.converter
from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from run_notebooks import ROOT, find, read, write_whole

PICTURES_WITH_ALT = """
{%- block data_png -%}
{%- set alt = output | get_metadata('alt', 'image/png') or '' -%}
{{ super() | replace('<img ', '<img alt="' ~ (alt | e) ~ '" ', 1) }}
{%- endblock -%}
"""

TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}

{#- scripts from the network: formulas are MathML, and a widget needs a kernel -#}
{%- block html_head_js %}{% endblock -%}
{%- block html_head_js_mathjax %}{% endblock -%}
{%- block html_head_js_mermaidjs %}{% endblock -%}
{%- block jupyter_widgets %}{% endblock -%}

{%- block html_head_css %}
<style>
main { max-width: 1000px; margin: auto; }
.jp-InputArea-editor { overflow-x: auto; }
summary {
  cursor: pointer; padding: 4px 0 4px 70px;
  font-family: var(--jp-content-font-family); color: #555;
}
</style>
{% endblock -%}

{%- block data_widget_view %}
<p><em>(Here is a control that moves when the notebook runs.)</em></p>
{% endblock -%}

{%- block input_group -%}
{%- if cell.metadata.get('jupyter', {}).get('source_hidden') -%}
<details><summary>Solution</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}

{%- block output_group -%}
{%- if cell.metadata.get('jupyter', {}).get('outputs_hidden') -%}
<details><summary>Output: predict it first</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}
""" + PICTURES_WITH_ALT


def formula(latex, display="inline"):
    """A formula as MathML."""
    latex = latex.replace(r"\_", "_")  # in \text latex2mathml would show the backslash
    latex = re.sub(r"\\ln (?=\w)", r"\\ln\\,", latex)  # and ln V without the space
    return latex2mathml.converter.convert(latex, display=display)


class MathMLRenderer(IPythonRenderer):
    """Markdown whose formulas are MathML, which browsers show by themselves."""

    def inline_math(self, body):
        return formula(body)

    def block_math(self, body):
        return formula(body, display="block")

    def latex_environment(self, name, body):
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


class FormulasAsMathML:
    """For an exporter: Markdown with formulas that need no script and no network."""

    @pass_context
    def markdown2html(self, context, source):
        renderer = MathMLRenderer(escape=False, exclude_anchor_links=self.exclude_anchor_links)
        return MarkdownWithMath(renderer=renderer).render(source)


class PageExporter(FormulasAsMathML, HTMLExporter):
    raw_template = TEMPLATE


def export(path):
    """The page of one notebook, as text."""
    page, _ = PageExporter().from_notebook_node(read(path), {"metadata": {"name": path.stem}})
    return page


def main(numbers):
    try:
        paths = find(numbers)
    except ValueError as error:
        return f"export_html: {error}"
    for path in paths:
        page = ROOT / "build" / "html" / f"{path.stem}.html"
        write_whole(page, export(path))
        print(page.relative_to(ROOT).as_posix())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
