"""The run directory: committed shards of rows, rejects, manifests, and what is done.

    <run>/run.json                       the recipe this directory belongs to
    <run>/<NN_stage>/<step>/step.json    what the step was asked: its key, code version, argv, packages
                           /commits.jsonl  one line per committed shard: counts, digests, tokens, seconds
                           /part-00000.parquet  rejects-00000.parquet
                           /artifact/      a directory result instead of rows (a trained model)
                           /done.json      totals, written last

A shard is written under a temporary name, synced and renamed before its line is appended, so a kill
leaves either a committed shard or an orphan that nobody reads. A restart does the shards that have no
line. Steps are named by what determines them (`key`); a finished step with another key is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.recipe import first_difference
from promptcot.records import Record, Reject, from_row, schema

R = TypeVar("R", bound=Record)
_MOD = 1 << 128


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or none: temporary name, fsync, rename.

    Raises:
        UserError: the directory cannot be written or the disk is full.
    """
    tmp = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tmp.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        tmp.rename(path)
    except OSError as e:
        raise unwritable(path, e) from None
    _sync_dir(path.parent)


def unwritable(path: Path, e: OSError) -> UserError:
    """The user's error for a path that cannot be written (no permission, full disk, not a directory)."""
    return UserError(
        f"cannot write '{path}': {e.strerror}",
        expected="a writable run directory with free space",
        do="free some space or choose another one: --run-dir DIR; then the same command goes on",
    )


def _sync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rows_digest(records: Iterable[Record]) -> int:
    """A digest of a multiset of rows: independent of order and of how they are cut into shards.

    The sum modulo 2^128 of each row's blake2b (a multiset hash); 0 for no rows.
    """
    total = 0
    for record in records:
        total += int(digest(record.row()), 16)
    return total % _MOD


@dataclass(frozen=True)
class Commit:
    """One line of commits.jsonl."""

    shard: int
    rows_in: int
    rows_out: int
    rejected: int
    digest: str
    rejects_digest: str
    bytes: int
    seconds: float
    usage: dict[str, int]
    reasons: dict[str, int]
    peak_rss_mb: float = 0.0


def write_shard(
    step: Path, shard: int, record: type[Record], rows: Sequence[Record], rejects: Sequence[Reject]
) -> tuple[int, dict[str, int]]:
    """Write one shard's files (not yet committed). Returns their size in bytes and the rejects by reason."""
    size = _write_parquet(step / f"part-{shard:05d}.parquet", record, rows)
    if rejects:
        size += _write_parquet(step / f"rejects-{shard:05d}.parquet", Reject, rejects)
    reasons: dict[str, int] = {}
    for reject in rejects:
        reasons[reject.reason] = reasons.get(reject.reason, 0) + 1
    return size, dict(sorted(reasons.items()))


def replies_file(step: Path, shard: int) -> Path:
    """Where the replies of a server are kept while a shard is being made (`promptcot.lm.journal`)."""
    return step / f".replies-{shard:05d}.jsonl"


def _write_parquet(path: Path, record: type[Record], rows: Sequence[Record]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([r.row() for r in rows], schema=schema(record))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    write_atomic(path, data)
    return len(data)


class Step(Generic[R]):
    """One resumable unit of a stage, and the table (or artifact) it makes."""

    def __init__(self, path: Path, record: type[R], key: dict[str, Any], header: dict[str, Any]) -> None:
        self.path, self.record, self.key = path, record, key
        head = path / "step.json"
        if head.exists():
            self._check_key(json.loads(head.read_text()))
        else:
            write_atomic(head, json.dumps({"key": key, **header}, indent=1).encode())
        self.commits = self._read_commits()

    @classmethod
    def load(cls, path: Path, record: type[R]) -> Step[R]:
        """Open an existing step for reading.

        Raises:
            UserError: it is not there or not finished.
        """
        head = path / "step.json"
        if not (path / "done.json").exists():
            stage = path.parent.name[3:]
            raise UserError(
                f"'{path}' is not there yet" if not head.exists() else f"'{path}' is not finished",
                do=f"run the stage '{stage}' first: promptcot {stage} RECIPE",
            )
        return cls(path, record, json.loads(head.read_text())["key"], {})

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

    def _read_commits(self) -> dict[int, Commit]:
        path = self.path / "commits.jsonl"
        if not path.exists():
            return {}
        lines = path.read_bytes().split(b"\n")
        commits: dict[int, Commit] = {}
        keep: list[bytes] = []
        for n, line in enumerate(lines[:-1], 1):  # what follows the last newline was cut short by a kill
            commit = self._parse(path, n, line)
            if self._intact(commit):
                commits[commit.shard] = commit
                keep.append(line)
        if len(keep) != len(lines) - 1 or lines[-1]:
            (self.path / "done.json").unlink(missing_ok=True)
            write_atomic(path, b"".join(line + b"\n" for line in keep))
        return commits

    def _parse(self, path: Path, n: int, line: bytes) -> Commit:
        try:
            return Commit(**json.loads(line))
        except (ValueError, TypeError):
            raise UserError(
                f"'{path}' line {n} is damaged",
                do=f"delete that line (its shard is made again), or the folder '{self.path}'",
            ) from None

    def _intact(self, commit: Commit) -> bool:
        names = [f"part-{commit.shard:05d}.parquet"]
        if commit.rejected:
            names.append(f"rejects-{commit.shard:05d}.parquet")
        files = [self.path / n for n in names]
        return all(f.exists() for f in files) and sum(f.stat().st_size for f in files) == commit.bytes

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
        totals: dict[str, Any] = json.loads((self.path / "done.json").read_text())
        return totals

    @property
    def digest(self) -> str:
        """Content digest of the finished rows, rejects and artifact."""
        return str(self.totals()["digest"])

    def append(self, commit: Commit) -> None:
        """Make a written shard part of the table."""
        line = json.dumps(commit.__dict__, sort_keys=True).encode() + b"\n"
        path = self.path / "commits.jsonl"
        try:
            with path.open("ab") as f:
                f.write(line)
                f.flush()
                os.fsync(f.fileno())
        except OSError as e:
            raise unwritable(path, e) from None
        self.commits[commit.shard] = commit
        replies_file(self.path, commit.shard).unlink(missing_ok=True)

    def finish(self, rows_in: int, extra: dict[str, Any] | None = None) -> None:
        """Write the totals. Asserts that no row was lost: rows in = rows out + rejected."""
        commits = [self.commits[i] for i in sorted(self.commits)]
        counts = {k: sum(getattr(c, k) for c in commits) for k in ("rows_out", "rejected", "seconds")}
        if rows_in != counts["rows_out"] + counts["rejected"]:
            raise AssertionError(f"{self.name}: {rows_in} rows in, {counts} out: a row was lost or doubled")
        extra = extra or {}
        artifact = extra.get("artifact", "")
        value = digest([_sum(c.digest for c in commits), _sum(c.rejects_digest for c in commits), artifact])
        totals = {
            "rows_in": rows_in, "rows_out": int(counts["rows_out"]), "rejected": int(counts["rejected"]),
            "reasons": _merge([c.reasons for c in commits]), "usage": _merge([c.usage for c in commits]),
            "seconds": round(counts["seconds"], 3), "shards": len(commits), "digest": value,
            "peak_rss_mb": max((c.peak_rss_mb for c in commits), default=0.0), **extra,
        }  # fmt: skip
        write_atomic(self.path / "done.json", json.dumps(totals, indent=1).encode())

    def rows(self) -> Iterator[R]:
        """The committed rows, in shard order (deterministic)."""
        import pyarrow.parquet as pq

        for shard in sorted(self.commits):
            for row in pq.read_table(self.path / f"part-{shard:05d}.parquet").to_pylist():
                yield from_row(self.record, row)

    def rejects(self) -> Iterator[Reject]:
        """The committed rejects, in shard order."""
        import pyarrow.parquet as pq

        for shard, commit in sorted(self.commits.items()):
            if commit.rejected:
                for row in pq.read_table(self.path / f"rejects-{shard:05d}.parquet").to_pylist():
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
        _sync_dir(self.path)


def tree_digest(path: Path) -> str:
    """Digest of the names and contents of the files under a directory (times excluded by the caller)."""
    out: dict[str, str] = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        h = hashlib.blake2b(digest_size=16)
        with file.open("rb") as f:
            while block := f.read(1 << 20):
                h.update(block)
        out[str(file.relative_to(path))] = h.hexdigest()
    return digest(out)


def _sum(values: Iterable[str]) -> str:
    return f"{sum(int(v, 16) for v in values) % _MOD:032x}"


def _merge(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for part in parts:
        for key, value in part.items():
            out[key] = out.get(key, 0) + value
    return out
