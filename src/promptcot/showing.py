"""What `promptcot show` prints."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.ids import digest as combine
from promptcot.rundir import finished_steps, saved_recipe

VOLATILE = ("11_analyze", "12_report")  # they hold times


def digests(run: Path, as_json: bool) -> None:
    """One line per finished step and one for the whole run; times and machines do not enter."""
    saved_recipe(run)
    found = {
        name: done["digest"] for name, _, done in finished_steps(run) if name.split("/")[0] not in VOLATILE
    }
    found = dict(sorted(found.items()))
    total = combine(found)
    if as_json:
        print(json.dumps({"run": total, "steps": found}, indent=1))
        return
    for name, value in found.items():
        print(f"{value}  {name}")
    print(f"{total}  run")


def overview(run: Path, as_json: bool) -> None:
    """Steps with counts, tokens, seconds and rejects by reason."""
    recipe = saved_recipe(run)
    steps: list[dict[str, Any]] = [
        {
            "step": name,
            **{k: done.get(k) for k in ("rows_in", "rows_out", "rejected", "reasons", "seconds", "usage")},
        }
        for name, _, done in finished_steps(run)
    ]
    if as_json:
        print(json.dumps({"run": recipe.name, "stages": recipe.stages(), "steps": steps}, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{recipe.name} ({run})", title_justify="left")
    for column in ("step", "in", "out", "rejected", "seconds", "tokens", "requests"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for s in steps:
        usage = s["usage"] or {}
        why = ", ".join(f"{n} {r}" for r, n in (s["reasons"] or {}).items())
        rejected = f"{s['rejected']}" + (f" ({why})" if why else "")
        table.add_row(
            str(s["step"]),
            f"{s['rows_in']:,}",
            f"{s['rows_out']:,}",
            rejected,
            f"{s['seconds']:.1f}",
            f"{sum(n for kind, n in usage.items() if kind.endswith('_tokens')):,}",
            _requests(usage),
        )
    Console().print(table)


def _requests(usage: dict[str, int]) -> str:
    """Requests to servers, with how many were repeated, given up, or answered without their seed."""
    more = ", ".join(
        f"{usage[kind]:,} {kind}" for kind in ("retries", "failed", "unseeded") if usage.get(kind)
    )
    return f"{usage['requests']:,}" + (f" ({more})" if more else "") if usage.get("requests") else ""


def rows(run: Path, name: str, rejects: bool, sample: int, where: str = "") -> None:
    """Rows (or rejects) of one step as JSON lines; `where` is a condition in SQL."""
    if where:
        from promptcot.view.queries import Filter, Run

        find(run, name)
        tables = Run(run)
        table = tables.table(f"{name}/rejects" if rejects else name)
        for batch in tables.batches(table, Filter(where=where), size=sample or None):
            for row in batch.to_pylist():
                print(json.dumps(row, ensure_ascii=False))
        return
    import pyarrow.parquet as pq

    path = find(run, name)
    prefix = "rejects" if rejects else "part"
    files = sorted(path.glob(f"{prefix}-*.parquet"))
    every = (row for f in files for row in pq.read_table(f).to_pylist())
    for row in islice(every, sample or None):
        print(json.dumps(row, ensure_ascii=False))


def find(run: Path, name: str) -> Path:
    """The directory of the step called `stage/step`.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    saved_recipe(run)
    known: dict[str, str] = {"/".join(n.split("/"))[3:]: n for n, _, _ in finished_steps(run)}
    if name not in known:
        raise UserError(f"no finished table '{name}' in '{run}'", expected=f"one of: {', '.join(known)}")
    return run / known[name]
