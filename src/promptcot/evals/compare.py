"""Runs side by side: every model against the first, on the problems both were scored on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.analysis.statistics import paired_difference, sampling_interval
from promptcot.errors import UserError
from promptcot.evals.results import Entry, read_results, solved


@dataclass(frozen=True)
class Column:
    """One model of one results file."""

    label: str
    entries: dict[str, Entry]


def columns(paths: list[Path]) -> list[Column]:
    """The models of all files, in order; labelled by file, and by model where a file has several."""
    out = []
    for path in paths:
        models = read_results(path)
        folder = path if path.is_dir() else path.parent
        base = folder.resolve().name if path.is_dir() or path.name == "results.json" else path.stem
        out += [Column(base if len(models) == 1 else f"{base}:{n}", e) for n, e in models.items()]
    if len(out) < 2:
        raise UserError(
            "one model is nothing to compare", expected="two results.json, or one that holds several models"
        )
    return out


def compare(cols: list[Column], seed: int = 0) -> dict[str, Any]:
    """{"models": labels, "rows": [{benchmark, metric, values, differences to the first model}]}."""
    names = list(dict.fromkeys(name for c in cols for name in c.entries))
    rows = []
    for name in names:
        rows.append(_accuracy(name, cols, seed))
        if any("elo" in c.entries.get(name, {}) for c in cols):
            rows.append(_elo(name, cols, seed))
    return {"models": [c.label for c in cols], "rows": rows}


def _accuracy(name: str, cols: list[Column], seed: int) -> dict[str, Any]:
    entries = [c.entries.get(name) for c in cols]
    values = [
        {k: e.get(k) for k in ("mean", "ci95", "samples", "problems")} if e and "mean" in e else None for e in entries
    ]  # fmt: skip
    first = entries[0]
    differences = [None if e is None or first is None else difference(first, e, seed) for e in entries[1:]]
    return {"benchmark": name, "metric": "accuracy", "values": values, "differences": differences}


def difference(first: Entry, other: Entry, seed: int) -> dict[str, Any] | None:
    """The mean change over the shared problems; None where there are none.

    ci95: for new problems of the kind. sampling_ci95: for new samples on these problems, None at one sample.
    """
    before, after = solved(first), solved(other)
    shared = [n for n in before if n in after]
    if not shared:
        return None
    a, b = [before[n] for n in shared], [after[n] for n in shared]
    change = paired_difference([sum(m) / len(m) for m in a], [sum(m) / len(m) for m in b], seed, shares=True)
    many = min(map(len, a + b)) > 1
    return {
        "mean": change.mean, "ci95": list(change.ci95), "problems": len(shared), "clear": change.clear,
        "sampling_ci95": list(sampling_interval(a, b, seed)) if many else None,
    }  # fmt: skip


def _elo(name: str, cols: list[Column], seed: int) -> dict[str, Any]:
    ratings = [c.entries.get(name, {}).get("elo") for c in cols]
    values = [
        {"rating": r["rating"], "se": r["se"], "percentile": r["percentile"]} if r else None for r in ratings
    ]
    differences = [_elo_difference(ratings[0], other, seed) for other in ratings[1:]]
    return {"benchmark": name, "metric": "Elo", "values": values, "differences": differences}


def _elo_difference(first: Entry | None, other: Entry | None, seed: int) -> dict[str, Any] | None:
    """The mean change of the rating over the contests both have one in."""
    if first is None or other is None:
        return None
    pairs = [
        (rating, other["contests"][n]) for n, rating in first["contests"].items() if n in other["contests"]
    ]
    if not pairs:
        return None
    change = paired_difference([a for a, _ in pairs], [b for _, b in pairs], seed)
    return {"mean": change.mean, "ci95": list(change.ci95), "contests": len(pairs), "clear": change.clear}
