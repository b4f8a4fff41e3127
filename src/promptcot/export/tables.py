"""A run's tables as streams: which finished steps make up a table, and its rows in order, batch by batch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.records import Pair, Problem, Record, Trace, Triple, from_row
from promptcot.rundir import folder, saved_recipe
from promptcot.shards import part, verify
from promptcot.store import Step

BATCH_ROWS = 256
TABLES: dict[str, tuple[str, str, type[Record]]] = {
    "problems": ("label", r"problems", Problem),
    "pairs": ("selfplay", r"pairs(\d+)", Pair),
    "traces": ("distill", r"traces", Trace),
    "triples": ("annotate", r"triples", Triple),
}


@dataclass(frozen=True)
class Table:
    """One table of a run: its steps (one a round of self-play), in order."""

    name: str
    steps: tuple[Step[Record], ...]

    def rows(self) -> Iterator[Any]:
        """The rows in table order; held-out triples stay behind."""
        for step in self.steps:
            for shard, commit in sorted(step.commits.items()):
                verify(file := step.path / part(shard), commit.sums)
                for row in _batches(file):
                    if row.get("split") != "heldout":
                        yield from_row(step.record, row)


def _batches(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    # Unbuffered, a row group's pages are all held while it is read, and a table made at once has one row group.
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield from batch.to_pylist()


def find(run: Path, name: str) -> Table | None:
    """The table called `name`, or None when no step of it is finished."""
    stage, pattern, record = TABLES[name]
    found = []
    for done in (run / folder(stage)).glob("*/done.json"):
        if match := re.fullmatch(pattern, done.parent.name):
            found.append((int(match.group(1)) if match.groups() else 0, done.parent))
    return Table(name, tuple(Step.load(path, record) for _, path in sorted(found))) if found else None


def choose(run: Path, supported: list[str], asked: list[str], target: str) -> list[Table]:
    """The tables to export: those asked for, or all that the target takes and the run has.

    Raises:
        UserError: a table is unknown, not taken by the target, or not there; or there is none at all.
    """
    saved_recipe(run)
    for name in asked:
        if name not in supported:
            raise UserError(
                f"the target '{target}' takes no table '{name}'", expected=" or ".join(supported),
                do="promptcot export --list",
            )  # fmt: skip
    found = {name: find(run, name) for name in asked or supported}
    missing = [name for name, table in found.items() if table is None]
    if missing and (asked or len(missing) == len(found)):
        stages = ", ".join(dict.fromkeys(TABLES[name][0] for name in missing))
        raise UserError(
            f"'{run}' has no finished table {', '.join(missing)}", do=f"run the stage first: {stages}"
        )
    return [table for table in found.values() if table is not None]
