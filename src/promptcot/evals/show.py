"""Results on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from promptcot.evals.elo import Elo


def results(models: dict[str, dict[str, Any]], console: Console) -> None:
    """One row per model and benchmark: the score with its two errors, and what came to no verdict."""
    table = Table(box=box.SIMPLE, caption_justify="left", caption=_CAPTION)
    for column in ("benchmark", "score [95%]", "SE", "pass@n", "maj@n", "none (cut)", "unscored"):
        table.add_column(
            column,
            justify="left" if column == "benchmark" else "right",
            no_wrap=not column.startswith("score"),
            overflow="fold",
        )
    for model, entries in models.items():
        if len(models) > 1:
            table.add_section()
            table.add_row(f"[bold]{model}[/bold]")
        for name, e in entries.items():
            table.add_row(*_cells(name, e))
    console.print(table)
    for model, entries in models.items():
        for name, e in entries.items():
            for line in _notes(e):
                console.print(
                    f"{f'{model} ' if len(models) > 1 else ''}{name}: {line}",
                    highlight=False,
                    soft_wrap=True,
                    markup=False,
                )


_CAPTION = (
    "score: mean over problems of the share of correct attempts, in percent, with the interval for new problems of the "
    "kind. SE: for new samples on these problems / for new problems. none: attempts without an answer; cut: those that "
    "ran into the token limit."
)


def _cells(name: str, e: dict[str, Any]) -> list[str]:
    missing = f"{percent(e['no_answer'])} ({percent(e['truncated'])})"
    tail = [missing, percent(e["unscored"])]
    if "mean" not in e:
        return [name, *["-"] * 4, *tail]
    n, (low, high) = e["samples"], e["ci95"]
    most = [_last(e["pass_at"]), _last(e.get("maj_at", {}))] if n > 1 else ["-", "-"]
    return [
        f"{name} avg@{n}" if n > 1 else f"{name} pass@1", rf"{percent(e['mean'])} \[{percent(low)}, {percent(high)}]",
        f"{_points(e['sampling_se'])} / {_points(e['problem_se'])}", *most, *tail,
    ]  # fmt: skip


def _last(at: dict[str, float]) -> str:
    return percent(list(at.values())[-1]) if at else "-"


def _notes(e: dict[str, Any]) -> Iterable[str]:
    if e["problems"] != e["paper_problems"]:
        yield f"{e['problems']} problems; the paper's set has {e['paper_problems']}"
    if e.get("unread"):
        yield (
            f"{percent(e['unread'])} of the attempts hold an answer that was not read; they count as unsolved, "
            f"and the score is at most {percent(e['at_most'])}"
        )
    if refused := e.get("refused"):
        rows = "; ".join(r["detail"] for r in refused[:3])
        yield f"{len(refused)} rows were refused, so nobody was asked: {rows}"
    if e["unscored"]:
        reasons = ", ".join(f"{n} {why}" for why, n in e["unscored_reasons"].items())
        yield f"unscored attempts count neither as right nor as wrong: {reasons}"
    if "elo" in e:
        yield elo_line(Elo(**e["elo"]))
    if "elo_missing" in e:
        yield e["elo_missing"]


def elo_line(found: Elo) -> str:
    """The rating in one sentence, with all that qualifies it."""
    text = f"Elo on sample tests (DeepCoder protocol) {found.rating:.0f}"
    if found.se is not None and found.ci95 is not None:
        text += f" ± {found.se:.0f} (bootstrap over contests, 95% {found.ci95[0]:.0f} to {found.ci95[1]:.0f})"
    if found.percentile is not None:
        text += f", percentile {found.percentile} of {found.table}"
    text += f"; contests used {len(found.contests)}/{found.of}"
    return text + "".join(f"; {n} skipped: {why}" for n, why in found.skipped.items())


def comparison(data: dict[str, Any], console: Console) -> None:
    """One row per benchmark: the first model's value, then every other with its paired difference; below, what was not paired."""
    table = Table(box=box.SIMPLE, caption_justify="left", caption=_PAIRED)
    table.add_column("benchmark", overflow="fold")
    for label in data["models"]:
        table.add_column(label, justify="right", overflow="fold")
    for row in data["rows"]:
        accuracy = row["metric"] == "accuracy"
        cells = [_value(v, accuracy) for v in row["values"]]
        for i, change in enumerate(row["differences"], 1):
            cells[i] += _change(change, accuracy)
        table.add_row(row["benchmark"] if accuracy else f"{row['benchmark']} Elo", *cells)
    console.print(table)
    for row in data["rows"]:
        for other, change in zip(data["models"][1:], row["differences"], strict=True):
            for line in _unpaired(data["models"][0], other, change or {}):
                console.print(f"{row['benchmark']}: {line}", highlight=False, soft_wrap=True, markup=False)


def _unpaired(first: str, other: str, change: dict[str, Any]) -> Iterable[str]:
    """What to know about the pairs behind a difference."""
    if change.get("problems") == 0:
        yield f"{first} and {other} share no problem, so there is no difference"
    if change.get("by") == "id":
        yield f"{first} and {other} are paired by the problems' ids: one of them keeps no texts (an older version wrote it)"
    if renamed := change.get("renamed"):
        pairs = ", ".join(f"{a} is {b}" for a, b in renamed[:3])
        yield f"{len(renamed)} problems have other ids in {other} than in {first} ({pairs}); they are paired by their texts"
    for label, key in ((first, "only_first"), (other, "only_other")):
        if alone := change.get(key):
            names = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
            yield f"{len(alone)} problems are in {label} alone, or have a verdict there alone: {names}"


_PAIRED = (
    "Differences to the first column on the n problems (or contests) that both were scored on, with the 95% interval of a "
    "paired bootstrap over them; * where it excludes zero."
)


def study(data: dict[str, Any], console: Console) -> None:
    """One row per model and benchmark, one column per arm: the mean, that of each seed, the change to the first arm."""
    table = Table(
        box=box.SIMPLE, caption_justify="left", caption=_STUDY.format(", ".join(map(str, data["seeds"])))
    )
    table.add_column("model, benchmark", overflow="fold")
    for arm in data["arms"]:
        if arm not in data["failed"]:
            table.add_column(arm, justify="right", overflow="fold")
    for row in data["rows"]:
        cells = []
        for found in row["arms"].values():
            seeds = " ".join(percent(m) for m in found["by_seed"])
            cells.append(f"{percent(found['mean'])} ({seeds}){_change(found.get('change'), True)}")
        table.add_row(f"{row['model']}, {row['benchmark']}", *cells)
    console.print(table)
    first = next(iter(data["arms"]))
    for row in data["rows"]:
        for arm, found in row["arms"].items():
            if found.get("change", {}).get("problems") == 0:
                console.print(
                    f"{row['benchmark']}: {first} and {arm} share no problem, so there is no change",
                    soft_wrap=True,
                )
    for arm, reason in data["failed"].items():
        console.print(f"{arm} cannot be finished: {reason}", highlight=False, soft_wrap=True, markup=False)


_STUDY = (
    "Percent right, mean over seeds ({}, each in brackets). Below: the change against the first arm with the 95% interval "
    "of a paired bootstrap over problems; * where it excludes zero."
)


def _value(v: dict[str, Any] | None, accuracy: bool) -> str:
    if v is None:
        return "-"
    return percent(v["mean"]) if accuracy else f"{v['rating']:.0f}"


def _change(change: dict[str, Any] | None, accuracy: bool) -> str:
    if change is None or "mean" not in change:
        return ""
    scale = 100 if accuracy else 1
    digits = 1 if accuracy else 0
    low, high = (f"{scale * x:+.{digits}f}" for x in change["ci95"])
    n = change["problems"] if accuracy else change["contests"]
    return f"\n{scale * change['mean']:+.{digits}f} [{low}, {high}]{'*' if change['clear'] else ''} n={n}".replace(
        "[", r"\["
    )


def percent(share: float) -> str:
    """A share as percent, one decimal."""
    return f"{100 * share:.1f}"


def _points(se: float | None) -> str:
    return "-" if se is None else f"{100 * se:.1f}"
