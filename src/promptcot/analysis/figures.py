"""Figures of the report: matplotlib drawings turned into SVG that belongs to the page around it.

An inline figure takes its font, its text colour and its series colours from the page, so one
drawing serves the light and the dark theme. The same numbers always give the same bytes.

Every function raises `promptcot.errors.MissingExtra` when matplotlib is not installed.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from promptcot.errors import MissingExtra

FIRST, SECOND, THIRD, FOURTH, PAGE = "#1d5fa8", "#b4540a", "#1b6e3c", "#7a3f9d", "#fcfcfa"
_PAGE_COLOURS = {
    "#000000": "currentColor",
    FIRST: f"var(--first, {FIRST})",
    SECOND: f"var(--second, {SECOND})",
    THIRD: f"var(--third, {THIRD})",
    FOURTH: f"var(--fourth, {FOURTH})",
    PAGE: f"var(--page, {PAGE})",
}
_WIDTH_IN = 4.5  # narrow enough that the text stays legible when a phone shrinks the figure
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # labels come from data, where a dollar sign is a dollar sign
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#000000",
    "grid.alpha": 0.14,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the two ends of its 95% interval; without an interval both ends are the mean."""

    mean: float
    low: float
    high: float


def estimate(mean: float | None, ci95: Sequence[float] | None = None, scale: float = 1.0) -> Estimate | None:
    """The estimate times `scale`, or None where there is no finite mean to draw."""
    if mean is None or not math.isfinite(mean):
        return None
    low, high = ci95 if ci95 else (mean, mean)
    return Estimate(mean * scale, min(low, mean) * scale, max(high, mean) * scale)


def lines(
    name: str,
    aria_label: str,
    xs: Sequence[float],
    series: Mapping[str, Sequence[Estimate | None]],
    *,
    x_label: str,
    y_label: str,
) -> str:
    """Curves over whole-numbered `xs`, each with its interval as a band and as caps at the points."""

    def paint(axes: Any) -> None:
        for (label, values), colour, mark in zip(
            series.items(), cycle((FIRST, SECOND, THIRD, FOURTH)), cycle("os^D")
        ):
            _curve(axes, [(x, v) for x, v in zip(xs, values) if v is not None], label, colour, mark)
        axes.set(xlabel=x_label, ylabel=y_label, xticks=sorted(set(xs)))
        axes.margins(x=0.08, y=0.12)
        axes.grid(axis="y")

    return _draw(name, aria_label, 2.5, paint, legend=len(series) > 1)


def dots(
    name: str,
    aria_label: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Estimate | None]],
    *,
    x_label: str,
) -> str:
    """One row per label with a dot and its interval per series; the first of several dots is hollow."""
    offsets = {name: 0.15 * (2 * i - len(series) + 1) for i, name in enumerate(series)}

    def paint(axes: Any) -> None:
        for (label, values), colour in zip(series.items(), cycle((FIRST, SECOND))):
            rows = [(i + offsets[label], v) for i, v in enumerate(values) if v is not None]
            hollow = len(series) > 1 and label == next(iter(series))
            _dots_of(axes, rows, label, colour, hollow)
        _name_rows(axes, labels)
        axes.set_xlabel(x_label)
        axes.locator_params(axis="x", nbins=6, steps=(1, 2, 5, 10))
        axes.grid(axis="x")

    return _draw(name, aria_label, 0.9 + 0.34 * len(labels), paint, legend=len(series) > 1)


def bars(
    name: str,
    aria_label: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    notes: Sequence[str],
    *,
    x_label: str,
) -> str:
    """Horizontal bars, the series stacked along each, with a note at the end of each bar."""

    def paint(axes: Any) -> None:
        ends = [0.0] * len(labels)
        for (label, values), (colour, alpha) in zip(series.items(), cycle(((FIRST, 1.0), (SECOND, 0.55)))):
            axes.barh(
                range(len(labels)), values, left=ends, height=0.62, color=colour, alpha=alpha, label=label
            )
            ends = [end + value for end, value in zip(ends, values)]
        for row, (end, note) in enumerate(zip(ends, notes)):
            axes.annotate(note, (end, row), (4, 0), textcoords="offset points", va="center")
        _name_rows(axes, labels)
        axes.margins(x=0.16)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.locator_params(axis="x", nbins=5)

    return _draw(name, aria_label, 0.8 + 0.27 * len(labels), paint, legend=len(series) > 1)


def columns(
    name: str, aria_label: str, labels: Sequence[str], heights: Sequence[float], *, x_label: str, y_label: str
) -> str:
    """Upright bars in the order of `labels`, each with its height above it."""

    def paint(axes: Any) -> None:
        drawn = axes.bar(range(len(labels)), heights, width=0.8, color=FIRST)
        axes.bar_label(drawn, labels=[f"{height:,.0f}" for height in heights], padding=2)
        axes.set_xticks(range(len(labels)), [_short(label) for label in labels])
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.margins(y=0.14)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")

    return _draw(name, aria_label, 2.5, paint)


def scatter(
    name: str, aria_label: str, labels: Sequence[str], points: Sequence[tuple[float, float]], radii: Sequence[float]
) -> str:  # fmt: skip
    """Named points in the plane, one unit long in both directions, each in a circle of its radius."""

    def paint(axes: Any) -> None:
        from matplotlib.patches import Circle

        for (x, y), radius in zip(points, radii):
            axes.add_patch(Circle((x, y), radius, facecolor=FIRST, alpha=0.10, linewidth=0))
            axes.add_patch(
                Circle((x, y), radius, facecolor="none", edgecolor=FIRST, alpha=0.5, linewidth=0.7)
            )
        axes.plot(
            [x for x, _ in points], [y for _, y in points], "o", color=FIRST, markersize=4.5, linestyle=""
        )
        for label, (x, y), (dx, dy) in zip(labels, points, _beside(points)):
            aligned = "left" if dx > 0 else "right" if dx < 0 else "center"
            axes.annotate(
                _short(label), (x, y), (dx, dy), textcoords="offset points", va="center", ha=aligned
            )
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(x=0.25, y=0.12)
        axes.locator_params(nbins=5)
        axes.set(xlabel="cosine distance", ylabel="cosine distance")
        axes.grid()

    return _draw(name, aria_label, 3.4, paint)


def heatmap(name: str, aria_label: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """The lower half of a symmetric table of counts, darker where they are larger, the diagonal apart."""

    def paint(axes: Any) -> None:
        from matplotlib.patches import Rectangle

        apart = [counts[i][j] for i in range(len(labels)) for j in range(i)]
        most = max([*apart, 1])
        for i in range(len(labels)):
            for j in range(i + 1):
                n = counts[i][j]
                color, alpha = ("#000000", 0.06) if i == j else (FIRST, 0.08 + 0.52 * n / most)
                if n or i == j:
                    corner = (j - 0.5, i - 0.5)
                    axes.add_patch(Rectangle(corner, 1, 1, facecolor=color, alpha=alpha, linewidth=0))
                if n:
                    axes.text(j, i, f"{n:,}", ha="center", va="center", fontsize=7.5)
        axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5))
        axes.set_yticks(range(len(labels)), [f"{_short(label)}  {n}" for n, label in enumerate(labels, 1)])
        axes.set_xticks(range(len(labels)), [str(n) for n in range(1, len(labels) + 1)])
        axes.tick_params(length=0)
        axes.tick_params(axis="x", labelsize=7.5)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)

    return _draw(name, aria_label, 0.7 + 0.25 * len(labels), paint)


def _beside(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where each label goes, in points: away from the nearest other point, sideways; stacked where points coincide."""
    out = []
    for n, (x, y) in enumerate(points):
        others = [(px, py) for m, (px, py) in enumerate(points) if m != n]
        near = min(others, key=lambda p: math.dist(p, (x, y)), default=(x - 1, y))
        same = sum(math.dist(p, (x, y)) < 1e-9 for p in points[:n])
        right = x > near[0] or (x == near[0] and not same)
        out.append((8.0 if right else -8.0, 11.0 * (y > near[1]) - 5.5 * bool(others) - 12.0 * same))
    return out


def _curve(axes: Any, points: Sequence[tuple[float, Estimate]], label: str, colour: str, mark: str) -> None:
    xs, means = [x for x, _ in points], [v.mean for _, v in points]
    lows, highs = [v.low for _, v in points], [v.high for _, v in points]
    if lows != highs:
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.16, linewidth=0)
        axes.vlines(xs, lows, highs, color=colour, linewidth=1)
    axes.plot(xs, means, color=colour, marker=mark, markersize=4, linewidth=1.6, label=label)


def _dots_of(
    axes: Any, rows: Sequence[tuple[float, Estimate]], label: str, colour: str, hollow: bool
) -> None:
    ys, means = [y for y, _ in rows], [v.mean for _, v in rows]
    axes.hlines(ys, [v.low for _, v in rows], [v.high for _, v in rows], color=colour, linewidth=1.4)
    fill = PAGE if hollow else colour
    axes.plot(means, ys, "o", color=colour, markerfacecolor=fill, markersize=5.5, linestyle="", label=label)


def _name_rows(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)  # first row on top
    axes.tick_params(axis="y", length=0)


def _short(label: str, longest: int = 28) -> str:
    """A label that leaves room for the drawing; the table beside it has the whole name."""
    return label if len(label) <= longest else label[: longest - 1] + "…"


def _draw(
    name: str, aria_label: str, height_in: float, paint: Callable[[Any], None], *, legend: bool = False
) -> str:
    mpl, figure_class = _matplotlib()
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc must not change the bytes
        mpl.rcParams.update(_STYLE | {"svg.hashsalt": name})
        figure = figure_class(figsize=(_WIDTH_IN, height_in), layout="constrained")
        axes = figure.add_subplot()
        paint(axes)
        if legend:
            figure.legend(loc="outside upper left", ncols=2, frameon=False)
        return _inline(_svg(figure), name, aria_label)


def _matplotlib() -> tuple[Any, Any]:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "report") from error
    return matplotlib, Figure


def _svg(figure: Any) -> str:
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return out.getvalue()


def _inline(svg: str, name: str, aria_label: str) -> str:
    """Cut the SVG out of its XML file and hand font, colours and size over to the page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<[^>]+>", lambda tag: _page_tag(tag[0], name), body)
    root = (
        f'<svg role="img" aria-label="{html.escape(aria_label)}" fill="currentColor" stroke-linejoin="round"'
    )
    return re.sub(r"\n+", "\n", body.replace("<svg", root, 1)).strip()


def _page_tag(tag: str, name: str) -> str:
    """One tag with ids that are unique in the page, no font family, and the page's colours."""
    if tag.startswith("<svg"):
        return re.sub(r' (?:width|height|version)="[^"]*"', "", tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", tag)
    for drawn, shown in _PAGE_COLOURS.items():
        tag = tag.replace(drawn, shown)
    return tag
