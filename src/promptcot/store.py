"""The run directory: tables of committed shards, rejects, manifests, and what is done.

    <run>/run.json                       the recipe this directory belongs to
    <run>/<NN_stage>/<step>/step.json    what the step was asked: its key, code version, argv, packages
                           /commits.jsonl  one line per committed shard: counts, digests, tokens, seconds
                           /part-00000.parquet  rejects-00000.parquet
                           /by-NAME/       shards of a helper (--shard), until the leader takes them over
                           /artifact/      a directory result instead of rows (a trained model)
                           /done.json      totals, written last

A shard is written under a temporary name, synced and renamed before its line is appended, so a kill
leaves either a committed shard or an orphan that nobody reads. A restart does the shards that have no
line. Steps are named by what determines them (`key`); a finished step with another key is refused.
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from promptcot.errors import UserError
from promptcot.ids import digest, tree_digest
from promptcot.recipe import first_difference
from promptcot.records import Record, Reject, from_row
from promptcot.shards import (
    LOG,
    MOD,
    Commit,
    Damaged,
    append_line,
    files_of,
    intact,
    part,
    read_json,
    read_log,
    read_parquet,
    rejected,
    sync_dir,
    unwritable,
    write_atomic,
)

__all__ = ["Rows", "Step", "View", "tree_digest", "unwritable", "write_atomic"]

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class View(Sequence[T]):
    """A sequence of `length` items that are made when they are asked for, so that a table need not fit in memory.

    Args:
        make: The items of positions start to stop. Pure: the same positions always give the same items.
    """

    BLOCK = 512

    def __init__(self, length: int, make: Callable[[int, int], list[T]]) -> None:
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        positions = range(self._length)[at]
        if isinstance(positions, int):
            return self._make(positions, positions + 1)[0]
        if positions.step == 1:
            return self._make(positions.start, positions.stop) if positions else []
        picked: View[T] = View(len(positions), lambda a, b: [self[i] for i in positions[a:b]])
        return picked

    def __iter__(self) -> Iterator[T]:
        for start in range(0, self._length, self.BLOCK):
            yield from self._make(start, min(start + self.BLOCK, self._length))


class Rows(View[R]):
    """The committed rows of a table in order, read shard by shard; only the last read shard is kept."""

    def __init__(self, folder: Path, record: type[R], commits: dict[int, Commit]) -> None:
        self._shards = sorted(commits)
        self._starts = [0, *accumulate(commits[s].rows_out for s in self._shards)]
        self._folder, self._record, self._commits = folder, record, commits
        self._kept: tuple[int, list[R]] = (-1, [])
        super().__init__(self._starts[-1], self._read)

    def __iter__(self) -> Iterator[R]:
        for n in range(len(self._shards)):
            yield from self._shard(n)

    def _read(self, start: int, stop: int) -> list[R]:
        out: list[R] = []
        n = bisect_right(self._starts, start) - 1
        while start < stop:
            rows = self._shard(n)[start - self._starts[n] : stop - self._starts[n]]
            out += rows
            start, n = start + len(rows), n + 1
        return out

    def _shard(self, n: int) -> list[R]:
        if self._kept[0] != n:
            shard = self._shards[n]
            plain = read_parquet(self._folder / part(shard), self._commits[shard].sums)
            self._kept = (n, [from_row(self._record, row) for row in plain])
        return self._kept[1]


class Step(Generic[R]):
    """One resumable unit of a stage, and the table (or artifact) it makes.

    `writable` False changes nothing on disk: for helpers, and for readers of finished steps.

    Raises:
        UserError: it was made with another key, or its files are damaged beyond repair.
    """

    def __init__(
        self, path: Path, record: type[R], key: dict[str, Any], header: dict[str, Any], writable: bool = True
    ) -> None:
        self.path, self.record, self.key = path, record, key
        head = path / "step.json"
        if head.exists():
            self._check_key(read_json(head))
        else:
            write_atomic(head, json.dumps({"key": key, **header}, indent=1).encode())
        self.commits = self._repair() if writable else {c.shard: c for _, c in read_log(path)}

    @classmethod
    def load(cls, path: Path, record: type[R]) -> Step[R]:
        """Open an existing step for reading.

        Raises:
            UserError: it is not there or not finished.
            Damaged: a file of its table is missing or has another size.
        """
        head = path / "step.json"
        if not (path / "done.json").exists():
            stage = path.parent.name[3:]
            raise UserError(
                f"'{path}' is not there yet" if not head.exists() else f"'{path}' is not finished",
                do=f"run the stage '{stage}' first: promptcot {stage} RECIPE",
            )
        step = cls(path, record, read_json(head)["key"], {}, writable=False)
        for commit in step.commits.values():
            if not intact(path, commit):
                raise Damaged(
                    files_of(path, commit)[0], "a file of this shard is missing or has another size"
                )
        if len(step.commits) != step.totals()["shards"]:
            raise Damaged(path / LOG, f"{len(step.commits)} shards instead of {step.totals()['shards']}")
        return step

    @property
    def name(self) -> str:
        """`stage/step` as it stands in the run directory."""
        return f"{self.path.parent.name}/{self.path.name}"

    def _check_key(self, saved: dict[str, Any]) -> None:
        found = first_difference(saved["key"], self.key)
        if found:
            raise UserError(
                f"'{self.path}' was made with other parameters: {found}",
                expected="the same recipe, inputs and code version as when this directory was started",
                do="--fork NAME starts a new run that keeps every step still valid; or delete that step",
            )

    def _repair(self) -> dict[int, Commit]:
        """The committed shards; lines whose files are not whole are dropped, so that those shards are made again."""
        commits: dict[int, Commit] = {}
        keep: list[bytes] = []
        for line, commit in read_log(self.path):
            if intact(self.path, commit):
                commits[commit.shard] = commit
                keep.append(line + b"\n")
        log = self.path / LOG
        changed = log.exists() and log.stat().st_size != sum(map(len, keep))
        if changed or (self.done and self.totals()["shards"] != len(commits)):
            (self.path / "done.json").unlink(missing_ok=True)
        if changed:
            write_atomic(log, b"".join(keep))
        return commits

    @property
    def done(self) -> bool:
        """Whether every shard is committed and the totals are written."""
        return (self.path / "done.json").exists()

    def totals(self) -> dict[str, Any]:
        """The totals in done.json.

        Raises:
            UserError: the step is not finished.
        """
        if not self.done:
            raise UserError(f"'{self.name}' is not finished", do="run the same command again to finish it")
        return read_json(self.path / "done.json")

    @property
    def digest(self) -> str:
        """Content digest of the finished rows, rejects and artifact."""
        return str(self.totals()["digest"])

    def append(self, commit: Commit) -> None:
        """Make a written shard part of the table."""
        append_line(self.path, commit)
        self.commits[commit.shard] = commit

    def helpers(self) -> Iterator[tuple[Path, Commit]]:
        """(folder, line) of the shards that helpers have committed beside the table."""
        for folder in sorted(self.path.glob("by-*")):
            for _, commit in read_log(folder):
                yield folder, commit

    def take_over(self) -> None:
        """Make the helpers' whole shards part of the table. For the leader alone: nobody else writes here."""
        for folder, commit in self.helpers():
            if commit.shard not in self.commits and intact(folder, commit):
                for file in files_of(folder, commit):
                    file.rename(self.path / file.name)
                sync_dir(self.path)
                self.append(commit)

    def finish(self, rows_in: int, extra: dict[str, Any] | None = None) -> None:
        """Write the totals. Asserts that no row was lost: rows in = rows out + rejected."""
        commits = [self.commits[i] for i in sorted(self.commits)]
        counts = {
            k: sum(getattr(c, k) for c in commits) for k in ("rows_out", "rejected", "seconds", "engine_s")
        }
        if rows_in != counts["rows_out"] + counts["rejected"]:
            raise AssertionError(f"{self.name}: {rows_in} rows in, {counts} out: a row was lost or doubled")
        extra = extra or {}
        artifact = extra.get("artifact", "")
        value = digest([_sum(c.digest for c in commits), _sum(c.rejects_digest for c in commits), artifact])
        totals = {
            "rows_in": rows_in, "rows_out": int(counts["rows_out"]), "rejected": int(counts["rejected"]),
            "reasons": _merge([c.reasons for c in commits]), "usage": _merge([c.usage for c in commits]),
            "seconds": round(counts["seconds"], 3), "engine_s": round(counts["engine_s"], 3),
            "shards": len(commits), "digest": value,
            "peak_rss_mb": max((c.peak_rss_mb for c in commits), default=0.0), **extra,
        }  # fmt: skip
        write_atomic(self.path / "done.json", json.dumps(totals, indent=1).encode())
        for folder in self.path.glob("by-*"):
            shutil.rmtree(folder, ignore_errors=True)  # orphans: what was whole has been taken over
        for file in self.path.glob(".*.tmp-*"):
            file.unlink(missing_ok=True)  # of killed workers

    def rows(self) -> Rows[R]:
        """The committed rows, in shard order (deterministic), read when they are asked for.

        Raises:
            Damaged: (while reading) a file is not as it was written.
        """
        return Rows(self.path, self.record, self.commits)

    def rejects(self) -> Iterator[Reject]:
        """The committed rejects, in shard order."""
        for shard, commit in sorted(self.commits.items()):
            if commit.rejected:
                for row in read_parquet(self.path / rejected(shard), commit.sums):
                    yield Reject(**row)

    @property
    def artifact(self) -> Path:
        """The directory this step made."""
        return self.path / "artifact"

    def put_artifact(self, made: Path) -> None:
        """Move a finished directory into place, replacing an orphan of a killed attempt."""
        if self.artifact.exists():
            shutil.rmtree(self.artifact)
        made.rename(self.artifact)
        sync_dir(self.path)


def _sum(values: Iterable[str]) -> str:
    return f"{sum(int(v, 16) for v in values) % MOD:032x}"


def _merge(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for one in parts:
        for key, value in one.items():
            out[key] = out.get(key, 0) + value
    return out
