"""Which figure each part of the report gets, and from which of its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from promptcot.analysis import figures
from promptcot.analysis.formats import count, duration, words

Row = dict[str, Any]


def draw(report: Row) -> dict[str, str]:
    """Every figure the numbers allow, by the name the template asks for."""
    em = report.get("em") or {}
    drawn = {
        **_ablation(report.get("ablation") or {}),
        "funnel": _funnel(report.get("funnel") or []),
        **_em(em.get("iterations") or [], em.get("estep") or [], em.get("without_estep") or []),
        **_concepts(report.get("concepts") or {}),
        "map": _map(report.get("distribution") or {}),
        "quality": _quality(report.get("labels") or [], report.get("validity") or []),
        "difficulty": _difficulty(report.get("difficulty") or []),
        **_difficulty_table(report.get("difficulty_table") or {}),
        "cost": _cost(report.get("stages") or []),
        **{g["id"]: _evaluation(g) for g in evaluation_groups(report.get("evaluation") or [])},
    }
    return {name: svg for name, svg in drawn.items() if svg}


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


def _em(iterations: list[Row], estep: list[Row], without: list[Row]) -> dict[str, str]:
    """Small curves over the EM iterations; a curve without points is left out."""
    bounds = {"bound": (iterations, "bound"), "ELBO": (iterations, "elbo")}
    nll = {"greedy z": (iterations, "nll_x_given_z"), "sampled z": (iterations, "nll_sampled")}
    sampled: dict[str, tuple[list[Row], str]] = {}
    if without:
        nll = {"with E-step": (iterations, "nll_x_given_z"), "no E-step": (without, "nll_x_given_z")}
        sampled = {"with E-step": (iterations, "nll_sampled"), "no E-step": (without, "nll_sampled")}
        bounds["bound, no E-step"] = (without, "bound")
    rewards = {"all candidates": (estep, "reward_mean"), "selected": (estep, "reward_best")}
    terms = {"log p(x | z, c)": (estep, "logp_x"), "log p(z | c)": (estep, "logp_z")}
    lengths = {
        "greedy, held-out": (iterations, "rationale_tokens"), "selected, E-step": (estep, "selected_tokens")
    }  # fmt: skip
    return {
        "em-nll": _curves("em-nll", nll, "NLL(x | z, c), nats"),
        "em-nll-sampled": _curves("em-nll-sampled", sampled, "NLL(x | z, c), nats"),
        "em-bound": _curves("em-bound", bounds, "bound, nats"),
        "em-joint": _curves("em-joint", {"joint": (iterations, "joint")}, "log p(z, x | c), nats"),
        "em-reward": _curves("em-reward", rewards, "reward, nats"),
        "em-terms": _curves("em-terms", terms, "terms of the reward, nats"),
        "em-tokens": _curves("em-tokens", lengths, "rationale, tokens"),
        "em-ess": _curves("em-ess", {"ESS": (iterations, "ess")}, "effective sample size"),
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
    for name, key, measure in (
        ("nll", "nll_x_given_z", "NLL(x | z, c), nats"), ("bound", "bound", "the bound, nats")
    ):  # fmt: skip
        bands = {arm: [_band(row, f"{key}_change") for row in rows] for arm, rows in curves.items()}
        changes = [
            figures.estimate(r[-1].get(f"{key}_change"), r[-1].get(f"{key}_change_ci95"))
            for r in arms.values()
        ]
        label = (
            f"{measure}: curves over EM iterations, with bands over seeds. The table holds the same numbers."
        )
        drawn[f"ablation-{name}"] = figures.lines(
            f"ablation-{name}", label, xs, bands, x_label="EM iteration", y_label=f"change of {measure}"
        )
        label = f"Change of {measure}, per arm, with 95% intervals. The table holds the same numbers."
        drawn[f"arms-{name}"] = figures.dots(
            f"arms-{name}", label, list(arms), {"change": changes}, x_label=f"change of {measure}"
        )
    return drawn


def _band(row: Row, key: str) -> figures.Estimate | None:
    """The mean over seeds between the lowest and the highest seed."""
    seeds = row.get(f"{key}_by_seed") or []
    return figures.estimate(row.get(key), (min(seeds), max(seeds)) if seeds else None)


def _curves(name: str, series: Mapping[str, tuple[list[Row], str]], y_label: str) -> str:
    """Curves over iterations; a curve need not have a value at each of them."""
    known = {
        shown: (rows, key)
        for shown, (rows, key) in series.items()
        if any(r.get(key) is not None for r in rows)
    }
    if not known:
        return ""
    at = {
        shown: dict(zip(_column(rows, "iteration"), _estimates(rows, key)))
        for shown, (rows, key) in known.items()
    }
    xs = sorted({x for values in at.values() for x in values})
    label = f"Curve over EM iterations: {y_label}. The table holds the same numbers."
    drawn = {shown: [values.get(x) for x in xs] for shown, values in at.items()}
    return figures.lines(name, label, xs, drawn, x_label="EM iteration", y_label=y_label)


def _concepts(found: Row) -> dict[str, str]:
    rows = found.get("concepts") or []
    if not rows:
        return {}
    first, last = found["from"], found["of"]
    series = {
        name: [figures.estimate(row["shares"].get(name), scale=100) for row in rows]
        for name in dict.fromkeys((first, last))
    }
    label = f"Dots: percent of the problems of {first} and {last} with each frequent concept. The table holds the numbers."
    matrix = found["matrix"]
    together = f"Table of colours: how many of the {last} have both of two concepts. The table below lists the pairs."
    return {
        "concepts": figures.dots(
            "concepts", label, [row["concept"] for row in rows], series, x_label="percent of problems"
        ),
        "pairs": figures.heatmap("pairs", together, matrix["concepts"], matrix["counts"]),
    }


def _map(found: Row) -> str:
    rows = found.get("sets") or []
    if not rows:
        return ""
    label = "Map: data sets by the distance of their mean embeddings. The table holds the distances with intervals."
    return figures.scatter(
        "map",
        label,
        [r["set"] for r in rows],
        [(r["x"], r["y"]) for r in rows],
        [r["radius95"] for r in rows],
    )


def _difficulty_table(found: Row) -> dict[str, str]:
    rows = found.get("sets") or []
    if not rows:
        return {}
    out = {}
    for key, scale, shown in (
        ("accuracy", 100, "percent solved"),
        ("tokens", 1, f"{found['unit']} of a solution"),
    ):
        series = {
            words_: [figures.estimate(r.get(name), r.get(f"{name}_ci95"), scale) for r in rows]
            for words_, name in (("as drawn", key), ("same mix of levels", f"{key}_same_mix"))
        }
        label = f"Dots with 95% intervals: {shown}, by set. The table holds the same numbers."
        out[f"difficulty-{key}"] = figures.dots(
            f"difficulty-{key}", label, [r["set"] for r in rows], series, x_label=shown
        )
    return out


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
