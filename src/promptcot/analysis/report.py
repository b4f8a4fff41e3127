"""The report of a run: its numbers as one HTML page that needs nothing else.

The page holds its style and its figures, loads nothing and runs no script, so it can be opened
offline, mailed or archived. Problem texts come from models and files: everything is escaped, and
the page's own content policy forbids whatever would slip through.
"""

from __future__ import annotations

from jinja2 import ChainableUndefined, Environment, PackageLoader, Undefined
from markupsafe import Markup

from promptcot.analysis import formats
from promptcot.analysis.charts import Row, draw, evaluation_groups
from promptcot.errors import MissingExtra

FILTERS = ("count", "number", "signed", "percent", "interval", "duration", "words", "verdict")


def render(report: Row, template: str = "report.html.j2") -> str:
    """The HTML page for the content of `report.json` (with "ablation.html.j2": for that of an ablation).

    A section that is missing was not run, and the page says so. Without matplotlib the page has its
    tables and says how to get the figures.
    """
    drawn, figures_missing = _drawn_or_reason(report)
    page = environment().get_template(template)
    return page.render(
        report=report,
        em=report.get("em") or {},
        evaluation=evaluation_groups(report.get("evaluation") or []),
        figures={name: Markup(svg) for name, svg in drawn.items()},
        figures_missing=figures_missing,
    )


def environment(undefined: type[Undefined] = ChainableUndefined) -> Environment:
    """The template environment; by default a missing number is shown as a dash, not an error."""
    env = Environment(
        loader=PackageLoader("promptcot.analysis", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=undefined,
    )
    env.filters |= {name: getattr(formats, name) for name in FILTERS} | {"yaml": formats.as_yaml}
    env.tests["flat"] = formats.is_flat
    return env


def _drawn_or_reason(report: Row) -> tuple[dict[str, str], str]:
    try:
        return draw(report), ""
    except MissingExtra as missing:
        return {}, missing.do
