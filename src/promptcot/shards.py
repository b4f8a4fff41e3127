"""One shard on disk: how it is written, committed, read back and checked.

A shard's files are written under a temporary name, synced and renamed; then a line is appended to a log. A line is the
commit: files without a line are orphans, a line cut short by a kill is none.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.ids import digest, file_digest
from promptcot.records import Record, Reject, schema

LOG = "commits.jsonl"
MOD = 1 << 128


class Damaged(UserError):
    """A committed file that is missing, cut or changed. `file` is made again by the step it belongs to."""

    def __init__(self, file: Path, why: str) -> None:
        stage = file.parent.parent.name[3:]
        super().__init__(
            f"'{file}' is damaged: {why}",
            expected="the bytes that were committed",
            do=f"rm -f '{file}'; then promptcot run RECIPE makes it again (or the stage alone: promptcot {stage} RECIPE)",
        )
        self.file, self.why = file, why

    def set_aside(self) -> None:
        """Rename the damaged file, so that its step makes it again when it is next opened; kept for a look."""
        if self.file.exists() and self.file.name != LOG:
            self.file.rename(self.file.with_name(f".damaged.{self.file.name}"))

    def __reduce__(self) -> tuple[object, ...]:
        return (Damaged, (self.file, self.why))


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
        with suppress(OSError):
            tmp.unlink(missing_ok=True)
        raise unwritable(path, e) from None
    sync_dir(path.parent)


def unwritable(path: Path, e: OSError) -> UserError:
    """The user's error for a path that cannot be written (no permission, full disk, not a directory)."""
    return UserError(
        f"cannot write '{path}': {e.strerror}",
        expected="a writable run directory with free space",
        do="free some space or choose another one: --run-dir DIR; then the same command goes on",
    )


def sync_dir(path: Path) -> None:
    """Make renames in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that this package wrote.

    Raises:
        UserError: it is damaged; the message names it and says what to do.
    """
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError):
        whole = path.name == "run.json"
        raise UserError(
            f"'{path}' is damaged: it holds no JSON",
            expected="the file as it was written",
            do="restore it, or start anew with --run-dir DIR" if whole else
            f"delete the folder '{path.parent}' and run the same command again: the step is made again",
        ) from None  # fmt: skip
    return data


@dataclass(frozen=True)
class Commit:
    """One line of the log. `sums`: checksums of its files, in the order of `files_of`. `seconds` of a worker, of which
    `engine_s` in its engines (or a training)."""

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
    engine_s: float = 0.0
    sums: list[str] = field(default_factory=list)


def rows_digest(records: Iterable[Record]) -> int:
    """A digest of a multiset of rows: independent of order and of how they are cut into shards.

    The sum modulo 2^128 of each row's blake2b (a multiset hash); 0 for no rows.
    """
    return _digest(r.row() for r in records)


def _digest(rows: Iterable[dict[str, Any]]) -> int:
    return sum(int(digest(row), 16) for row in rows) % MOD


def part(shard: int) -> str:
    """The file with a shard's rows."""
    return f"part-{shard:05d}.parquet"


def rejected(shard: int) -> str:
    """The file with a shard's rejects."""
    return f"rejects-{shard:05d}.parquet"


def replies_file(folder: Path, shard: int) -> Path:
    """Where the replies of a server are kept while a shard is being made (`promptcot.lm.journal`)."""
    return folder / f".replies-{shard:05d}.jsonl"


def write_shard(
    step: Path, shard: int, record: type[Record], rows: Sequence[Record], rejects: Sequence[Reject],
    *, rows_in: int | None = None, started: float | None = None, usage: dict[str, int] | None = None,
    engine_s: float = 0.0, peak_rss_mb: float = 0.0,
) -> Commit:  # fmt: skip
    """Write one shard's files and return its line, not yet appended.

    Args:
        rows_in: Rows it was made from; all of them come out or are rejected unless said otherwise.
        started: `time.monotonic()` when the work on it began.
    """
    size, value, total = _write_parquet(step / part(shard), record, rows)
    sums, rejects_value = [total], 0
    if rejects:
        more, rejects_value, total = _write_parquet(step / rejected(shard), Reject, rejects)
        size += more
        sums.append(total)
    reasons: dict[str, int] = {}
    for reject in rejects:
        reasons[reject.reason] = reasons.get(reject.reason, 0) + 1
    seconds = 0.0 if started is None else round(time.monotonic() - started, 3)
    return Commit(
        shard=shard, rows_in=len(rows) + len(rejects) if rows_in is None else rows_in, rows_out=len(rows),
        rejected=len(rejects), digest=f"{value:032x}", rejects_digest=f"{rejects_value:032x}", bytes=size,
        seconds=seconds, usage=usage or {}, reasons=dict(sorted(reasons.items())), peak_rss_mb=peak_rss_mb,
        engine_s=round(engine_s, 3), sums=sums,
    )  # fmt: skip


def _write_parquet(path: Path, record: type[Record], rows: Sequence[Record]) -> tuple[int, int, str]:
    """(size in bytes, digest of the rows, checksum of the file)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = [r.row() for r in rows]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(plain, schema=schema(record)), sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    write_atomic(path, data)
    return len(data), _digest(plain), checksum(data)


def checksum(data: bytes) -> str:
    """Of a file as it was written. Parquet's own leave page headers and footers out."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def verify(path: Path, sums: Sequence[str]) -> None:
    """Check a file that is going to be read bit by bit.

    Raises:
        Damaged: it has none of these checksums, or is missing.
    """
    try:
        found = file_digest(path)
    except OSError as e:
        raise Damaged(path, str(e)) from None
    if sums and found not in sums:
        raise Damaged(path, "its checksum is another")


def read_parquet(path: Path, sums: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of one shard file.

    Args:
        sums: Checksums of its commit: the file must have one of them, unless there are none.

    Raises:
        Damaged: it is missing, or not as it was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = path.read_bytes()
        if sums and checksum(data) not in sums:
            raise Damaged(path, "its checksum is another")
        rows: list[dict[str, Any]] = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as e:
        raise Damaged(path, str(e).partition("\n")[0]) from None
    return rows


def files_of(folder: Path, commit: Commit) -> list[Path]:
    """The files that a line speaks of."""
    names = [part(commit.shard), *([rejected(commit.shard)] if commit.rejected else [])]
    return [folder / n for n in names]


def intact(folder: Path, commit: Commit) -> bool:
    """Whether the files of a line are there with the size it says (checksums when they are read)."""
    try:
        return sum(f.stat().st_size for f in files_of(folder, commit)) == commit.bytes
    except FileNotFoundError:
        return False


def append_line(folder: Path, commit: Commit) -> None:
    """Commit a written shard."""
    line = json.dumps(commit.__dict__, sort_keys=True).encode() + b"\n"
    path = folder / LOG
    try:
        with path.open("ab") as f:
            f.write(line)
            f.flush()
            os.fsync(f.fileno())
    except OSError as e:
        raise unwritable(path, e) from None
    replies_file(folder, commit.shard).unlink(missing_ok=True)


def read_log(folder: Path) -> Iterator[tuple[bytes, Commit]]:
    """The whole lines of a log with what they say; what follows the last newline was cut short by a kill.

    Raises:
        UserError: a whole line is damaged.
    """
    path = folder / LOG
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    for n, line in enumerate(lines[:-1], 1):
        try:
            yield line, Commit(**json.loads(line))
        except (ValueError, TypeError):
            raise UserError(
                f"'{path}' line {n} is damaged",
                do=f"delete that line (its shard is made again), or the folder '{folder}'",
            ) from None
