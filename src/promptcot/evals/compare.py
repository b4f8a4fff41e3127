"""Runs side by side: every model against the first, on the problems both were scored on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.analysis.statistics import paired_difference, sampling_interval
from promptcot.errors import UserError
from promptcot.evals.results import Entry, keys, read_results, solved


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
    """{"models": labels, "rows": [{benchmark, metric, values, differences to the first model}]}.

    Raises:
        UserError: a model shares no problem with the first one.
    """
    names = list(dict.fromkeys(name for c in cols for name in c.entries))
    rows = []
    for name in names:
        rows.append(_accuracy(name, cols, seed))
        if any("elo" in c.entries.get(name, {}) for c in cols):
            rows.append(_elo(name, cols, seed))
    for i, column in enumerate(cols[1:]):
        found = [row["differences"][i] for row in rows if row["metric"] == "accuracy"]
        if not any(change and change["problems"] for change in found):
            raise _nothing_shared(cols[0], column)
    return {"models": [c.label for c in cols], "rows": rows}


def _nothing_shared(first: Column, other: Column) -> UserError:
    def has(column: Column) -> str:
        sizes = ", ".join(f"{name} ({len(e['verdicts'])} problems)" for name, e in column.entries.items())
        return f"'{column.label}' has {sizes or 'no benchmark'}"

    return UserError(
        f"'{first.label}' and '{other.label}' share no problem that both have a verdict on: {has(first)}, {has(other)}",
        expected="results on the same problems; they are told by their texts, not by their ids",
        do="score both models with the same --source",
    )


def _accuracy(name: str, cols: list[Column], seed: int) -> dict[str, Any]:
    entries = [c.entries.get(name) for c in cols]
    values = [
        {k: e.get(k) for k in ("mean", "ci95", "samples", "problems")} if e and "mean" in e else None for e in entries
    ]  # fmt: skip
    first = entries[0]
    differences = [None if e is None or first is None else difference(first, e, seed) for e in entries[1:]]
    return {"benchmark": name, "metric": "accuracy", "values": values, "differences": differences}


def difference(first: Entry, other: Entry, seed: int) -> dict[str, Any]:
    """The mean change over the shared problems, `problems` of them; no mean where there are none.

    ci95: for new problems of the kind. sampling_ci95: for new samples on these problems, None at one sample. by: what
    problems are paired by, "text", or "id" where an older version wrote an entry. renamed: shared problems with two ids.
    only_first, only_other: the ids of what is in one entry alone, or has a verdict there alone.
    """
    before, after = solved(first), solved(other)
    mine = keys(first, other)
    theirs = {key: name for name, key in keys(other, first).items() if name in after}
    shared = {name: theirs[mine[name]] for name in before if mine[name] in theirs}
    paired = set(shared.values())
    told = {
        "problems": len(shared),
        "by": "text" if all("texts" in e for e in (first, other)) else "id",
        "renamed": [list(pair) for pair in shared.items() if pair[0] != pair[1]],
        "only_first": [name for name in first["verdicts"] if name not in shared],
        "only_other": [name for name in other["verdicts"] if name not in paired],
    }
    if not shared:
        return told
    a, b = [before[name] for name in shared], [after[name] for name in shared.values()]
    change = paired_difference([sum(m) / len(m) for m in a], [sum(m) / len(m) for m in b], seed, shares=True)
    many = min(map(len, a + b)) > 1
    return {
        "mean": change.mean, "ci95": list(change.ci95), "clear": change.clear,
        "sampling_ci95": list(sampling_interval(a, b, seed)) if many else None, **told,
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
