"""What `promptcot show` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from promptcot.analysis.funnel import cost, kept_problems, tokens_of
from promptcot.errors import UserError
from promptcot.ids import digest as combine
from promptcot.rundir import finished_steps, saved_recipe
from promptcot.runner.clock import Clock
from promptcot.shards import Damaged, files_of, read_log, read_parquet
from promptcot.store import tree_digest
from promptcot.terminal import console, say, table

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
    """Steps with counts, tokens, seconds and rejects by reason; then what every stage cost."""
    recipe = saved_recipe(run)
    finished = finished_steps(run)
    keys = ("rows_in", "rows_out", "rejected", "reasons", "seconds", "usage")
    steps: list[dict[str, Any]] = [{"step": n, **{k: done.get(k) for k in keys}} for n, _, done in finished]
    clock = Clock(run)
    stages = cost(finished, clock.wall_s(), clock.capacity_s())
    if as_json:
        facts = {"run": recipe.name, "stages": recipe.stages(), "steps": steps, "cost": stages}
        print(json.dumps(facts, indent=1))
        return
    _table(
        f"{recipe.name} ({run})", ("step", "in", "out", "rejected", "seconds", "tokens", "requests"),
        [
            (s["step"], f"{s['rows_in']:,}", f"{s['rows_out']:,}", f"{s['rejected']:,}", f"{s['seconds']:,.1f}",
             f"{tokens_of(s['usage'] or {}):,}", _requests(s["usage"] or {}))
            for s in steps
        ],
        [f"{s['step']}: {note}" for s in steps for note in _notes(s)],
    )  # fmt: skip
    kept = kept_problems(finished)
    _table(
        f"Cost; {kept:,} problems kept" if kept else "Cost; no problem kept yet",
        ("stage", "wall", "workers", "engines\nidle", "requests", "tokens", "tokens\nper kept", "seconds\nper kept"),
        [
            (s["stage"], f"{s['wall_s']:,.1f} s", f"{s['worker_s']:,.1f} s",
             "-" if s["idle_share"] is None else f"{s['idle_share']:.0%}", _requests(s), f"{tokens_of(s):,}",
             _or_dash(s["tokens_per_kept"]), _or_dash(s["worker_s_per_kept"]))
            for s in stages
        ],
    )  # fmt: skip


def _requests(usage: dict[str, int]) -> str:
    return f"{usage['requests']:,}" if usage.get("requests") else ""


def _notes(step: dict[str, Any]) -> Iterator[str]:
    """Rejects by reason; how many requests were repeated, given up, or answered without their seed."""
    usage = step["usage"] or {}
    counts = {
        "rejected": step["reasons"] or {},
        "requests": {k: usage[k] for k in ("retries", "failed", "unseeded") if usage.get(k)},
    }
    for what, found in counts.items():
        if found:
            yield f"{what}: " + ", ".join(f"{n:,} {reason}" for reason, n in found.items())


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> None:
    shown = table(columns)
    for row in rows:
        shown.add_row(*row)
    say(title, style="bold")
    console().print(shown)
    for note in notes:
        say(note)
    print()


def check(run: Path) -> bool:
    """Read every committed file and compare it with what was committed; name what is damaged. True when all is well."""
    bad = 0
    for name, _, done in finished_steps(run):
        for problem in _faults(run / name, done):
            bad += 1
            print(problem)
    print(f"{bad} damaged files" if bad else "every file is as it was committed")
    return not bad


def _faults(path: Path, done: dict[str, Any]) -> Iterator[str]:
    for _, commit in read_log(path):
        for file in files_of(path, commit):
            try:
                read_parquet(file, commit.sums)
            except Damaged as damage:
                yield str(damage)
    trained = "artifact" in done and path.parent.name != "11_analyze"
    if trained and tree_digest(path / "artifact") != done["artifact"]:
        yield (
            f"'{path / 'artifact'}' is not the model that was committed\n  try: delete '{path}', then promptcot run "
            "RECIPE trains it again; the steps behind it stay if it comes out the same"
        )


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
    path = find(run, name)
    commits = sorted((c for _, c in read_log(path)), key=lambda c: c.shard)
    files = (
        (f, c.sums) for c in commits for f in files_of(path, c) if f.name.startswith("rejects") == rejects
    )
    every = (row for f, sums in files for row in read_parquet(f, sums))
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
