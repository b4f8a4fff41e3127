"""The report of a run: its numbers as one HTML page that needs nothing else.

The page holds its style and its figures, loads nothing and runs no script, so it can be opened
offline, mailed or archived. Problem texts come from models and files: everything is escaped, and
the page's own content policy forbids whatever would slip through.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import yaml
from jinja2 import ChainableUndefined, Environment, PackageLoader, Undefined
from markupsafe import Markup

from promptcot.analysis import figures
from promptcot.errors import MissingExtra

NOTHING = "–"
_REGIMES = {"self_play": "Self-play", "sft": "Supervised fine-tuning"}

Row = dict[str, Any]


def render(report: dict[str, Any], template: str = "report.html.j2") -> str:
    """The HTML page for the content of `report.json` (with "ablation.html.j2": for that of an ablation).

    A section that is missing was not run, and the page says so. Without matplotlib the page has its
    tables and says how to get the figures.
    """
    drawn, figures_missing = _figures_or_reason(report)
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
    env.filters |= {
        "count": count,
        "number": number,
        "signed": signed,
        "percent": percent,
        "interval": interval,
        "duration": duration,
        "words": words,
        "verdict": verdict,
        "yaml": as_yaml,
    }
    env.tests["flat"] = is_flat
    return env


def count(value: Any) -> str:
    """A whole number with thousands separators: 12,345."""
    return number(value, 0)


def number(value: Any, digits: int = 2) -> str:
    """A number with a fixed count of decimals and a real minus sign; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: Any, digits: int = 2) -> str:
    """A number that always carries its sign, except zero."""
    text = number(value, digits)
    return f"+{text}" if text[0].isdigit() and any(c in "123456789" for c in text) else text


def percent(share: Any, digits: int = 1) -> str:
    """A share of 1 as a percentage: 0.94 is 94.0%."""
    text = number(_scaled(share, 100), digits)
    return text if text == NOTHING else f"{text}%"


def interval(ends: Any, digits: int = 2, scale: float = 1) -> str:
    """The two ends of an interval, or nothing where no interval is given."""
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        return ""
    return "[" + ", ".join(number(_scaled(end, scale), digits) for end in ends) + "]"


def duration(seconds: Any) -> str:
    """Seconds in the two largest units that matter: 8.2 s, 2 min 5 s, 1 h 7 min."""
    if number(seconds) == NOTHING:
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def words(name: Any) -> str:
    """A name from the data as it is read: self_play is Self-play, near_duplicate is near duplicate."""
    if name is None or isinstance(name, Undefined):
        return NOTHING
    return _REGIMES.get(str(name), str(name).replace("_", " "))


def verdict(difference: Any) -> str:
    """What a difference says: its 95% interval lies above zero, below zero, or holds zero."""
    ends = difference.get("ci95") if isinstance(difference, Mapping) else None
    if not ends:
        return NOTHING
    return "higher" if ends[0] > 0 else "lower" if ends[1] < 0 else "no clear change"


def as_yaml(value: Any) -> str:
    """A nested value as the YAML a recipe is written in."""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)).rstrip()


def is_flat(value: Any) -> bool:
    """True for a mapping without further nesting, which reads best as a table."""
    return isinstance(value, Mapping) and not any(isinstance(v, (Mapping, list)) for v in value.values())


def evaluation_groups(rows: Iterable[Row]) -> list[Row]:
    """The comparisons in groups that share regime, metric and split: one figure and one table each."""

    def key(row: Row) -> tuple[str, str, str]:
        return str(row.get("regime")), str(row.get("metric")), str(row.get("split"))

    kept = list(rows)
    order = list(dict.fromkeys(map(key, kept)))
    grouped = groupby(sorted(kept, key=lambda row: order.index(key(row))), key)
    return [
        {"id": f"evaluation-{i}", "regime": regime, "metric": metric, "split": split, "rows": list(group)}
        for i, ((regime, metric, split), group) in enumerate(grouped)
    ]


def _scaled(value: Any, scale: float) -> Any:
    return value * scale if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _figures_or_reason(report: Row) -> tuple[dict[str, str], str]:
    try:
        return _figures(report), ""
    except MissingExtra as missing:
        return {}, missing.do


def _figures(report: Row) -> dict[str, str]:
    """Every figure the numbers allow, by the name the template asks for."""
    em = report.get("em") or {}
    drawn = {
        **_ablation(report.get("ablation") or {}),
        "funnel": _funnel(report.get("funnel") or []),
        **_em(em.get("iterations") or [], em.get("estep") or []),
        "quality": _quality(report.get("labels") or [], report.get("validity") or []),
        "difficulty": _difficulty(report.get("difficulty") or []),
        "cost": _cost(report.get("stages") or []),
        **{g["id"]: _evaluation(g) for g in evaluation_groups(report.get("evaluation") or [])},
    }
    return {name: svg for name, svg in drawn.items() if svg}


def _funnel(rows: list[Row]) -> str:
    if not rows:
        return ""
    series = {"rows out": _column(rows, "rows_out"), "rejected": _column(rows, "rejected")}
    labels = [words(row.get("stage")) for row in rows]
    label = "Bars: rows kept and rejected at each stage. The table holds the same numbers."
    return figures.bars(
        "funnel", label, labels, series, [count(n) for n in series["rows out"]], x_label="rows"
    )


def _cost(rows: list[Row]) -> str:
    if not rows:
        return ""
    times = _column(rows, "wall_s")
    labels = [words(row.get("stage")) for row in rows]
    label = "Bars: seconds spent in each stage. The table holds the same numbers."
    return figures.bars(
        "cost", label, labels, {"seconds": times}, list(map(duration, times)), x_label="seconds"
    )


def _em(iterations: list[Row], estep: list[Row]) -> dict[str, str]:
    """Small curves over the EM iterations; a curve without points is left out."""
    nll = {"greedy z": "nll_x_given_z", "sampled z": "nll_sampled"}
    bounds = {"bound": "bound", "ELBO": "elbo"}
    rewards = {"all candidates": "reward_mean", "selected": "reward_best"}
    return {
        "em-nll": _curves("em-nll", iterations, nll, "NLL(x | z, c), nats"),
        "em-bound": _curves("em-bound", iterations, bounds, "log p(x | c) at least, nats"),
        "em-joint": _curves("em-joint", iterations, {"joint": "joint"}, "log p(z, x | c), nats"),
        "em-reward": _curves("em-reward", estep, rewards, "reward, nats"),
        "em-tokens": _token_curves(iterations, estep),
    }


def _ablation(study: Row) -> dict[str, str]:
    """The four curves with bands over seeds, and the change of every arm with its interval."""
    arms = {row["arm"]: row["iterations"] for row in study.get("arms", [])}
    if not arms:
        return {}
    curves = {
        arm: arms[arm] for arm in ("with_estep", "no_estep", "init_rationale", "init_plain") if arm in arms
    }
    curves = curves or dict(list(arms.items())[:4])
    xs = max((_column(rows, "iteration") for rows in curves.values()), key=len)
    drawn = {}
    for name, key, words in (
        ("nll", "nll_x_given_z", "NLL(x | z, c), nats"), ("bound", "bound", "the bound, nats")
    ):  # fmt: skip
        bands = {arm: [_band(row, f"{key}_change") for row in rows] for arm, rows in curves.items()}
        changes = [
            figures.estimate(r[-1].get(f"{key}_change"), r[-1].get(f"{key}_change_ci95"))
            for r in arms.values()
        ]
        label = (
            f"{words}: curves over EM iterations, with bands over seeds. The table holds the same numbers."
        )
        drawn[f"ablation-{name}"] = figures.lines(
            f"ablation-{name}", label, xs, bands, x_label="EM iteration", y_label=f"change of {words}"
        )
        label = f"Change of {words}, per arm, with 95% intervals. The table holds the same numbers."
        drawn[f"arms-{name}"] = figures.dots(
            f"arms-{name}", label, list(arms), {"change": changes}, x_label=f"change of {words}"
        )
    return drawn


def _band(row: Row, key: str) -> figures.Estimate | None:
    """The mean over seeds between the lowest and the highest seed."""
    seeds = row.get(f"{key}_by_seed") or []
    return figures.estimate(row.get(key), (min(seeds), max(seeds)) if seeds else None)


def _curves(name: str, rows: list[Row], keys: Mapping[str, str], y_label: str) -> str:
    if not rows:
        return ""
    label = f"Curve over EM iterations: {y_label}. The table holds the same numbers."
    series = {shown: _estimates(rows, key) for shown, key in keys.items() if any(key in r for r in rows)}
    return figures.lines(
        name, label, _column(rows, "iteration"), series, x_label="EM iteration", y_label=y_label
    )


def _token_curves(iterations: list[Row], estep: list[Row]) -> str:
    """Two lengths on one axis, although only the held-out one has an iteration 0."""
    greedy = dict(zip(_column(iterations, "iteration"), _estimates(iterations, "rationale_tokens")))
    selected = dict(zip(_column(estep, "iteration"), _estimates(estep, "selected_tokens")))
    xs = sorted(greedy | selected)
    if not xs:
        return ""
    curves = {"greedy, held-out": greedy, "selected, E-step": selected}
    series = {name: [at.get(x) for x in xs] for name, at in curves.items() if at}
    label = "Curve over EM iterations: length of rationales in tokens. The table holds the same numbers."
    return figures.lines("em-tokens", label, xs, series, x_label="EM iteration", y_label="rationale, tokens")


def _quality(labels: list[Row], validity: list[Row]) -> str:
    rows = [(f"{words(r.get('domain'))}: well-formed", r.get("share"), r.get("ci95")) for r in validity]
    rows += [(f"{words(r.get('domain'))}: label right", r.get("accuracy"), r.get("ci95")) for r in labels]
    if not rows:
        return ""
    values = [figures.estimate(mean, ends, 100) for _, mean, ends in rows]
    label = "Dots with 95% intervals: share of well-formed problems and of right labels. The tables hold the numbers."
    return figures.dots("quality", label, [name for name, _, _ in rows], {"share": values}, x_label="percent")


def _difficulty(rows: list[Row]) -> str:
    if not rows:
        return ""
    of = rows[0].get("of", "all")
    return figures.columns(
        "difficulty",
        f"Histogram: problems by how many of {of} attempts solved them. The table holds the same numbers.",
        [str(row.get("solved")) for row in rows],
        _column(rows, "problems"),
        x_label=f"attempts that were right, of {of}",
        y_label="problems",
    )


def _evaluation(group: Row) -> str:
    rows: list[Row] = group["rows"]
    label = f"Dots with 95% intervals: {group['metric']} before and after. The table holds the same numbers."
    series = {when: [_share(row.get(when)) for row in rows] for when in ("before", "after")}
    return figures.dots(
        group["id"], label, list(map(_slice_name, rows)), series, x_label=f"{group['metric']}, percent"
    )


def _slice_name(row: Row) -> str:
    domain, level = str(row.get("domain", "all")), str(row.get("level", "all"))
    return words(domain) if level == "all" else f"{words(domain)}, level {level}"


def _share(value: Row | None) -> figures.Estimate | None:
    return figures.estimate(value.get("mean"), value.get("ci95"), 100) if value else None


def _estimates(rows: list[Row], key: str) -> list[figures.Estimate | None]:
    return [figures.estimate(row.get(key), row.get(f"{key}_ci95")) for row in rows]


def _column(rows: list[Row], key: str) -> list[float]:
    return [float(row.get(key) or 0) for row in rows]
