"""Writing an export: data files row by row, what belongs beside them, the card, the manifest; then one rename."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from promptcot.domains import get
from promptcot.errors import UserError
from promptcot.export.card import dataset_card
from promptcot.export.origin import Origin
from promptcot.export.tables import BATCH_ROWS, Table
from promptcot.export.target import Data, Row, Target
from promptcot.records import Pair
from promptcot.store import unwritable

MANIFEST = "manifest.json"
MARK = "promptcot_export"
CUT = "truncated_left_out"


def export(target: Target, tables: list[Table], origin: Origin, out: Path, limit: int = 0) -> dict[str, Any]:
    """Write `tables` in the shape of `target` into the folder `out`, replacing an earlier export there.

    The same run gives the same bytes: no times, rows in table order. Memory holds one batch. Returns the manifest.

    Raises:
        UserError: `out` holds something else, or cannot be written.
    """
    with replacing(out) as folder:
        files = {t.name: target.data[t.name].file.format(name=origin.name) for t in tables}
        rows = {}
        cut: Counter[str] = Counter()
        for table in tables:
            (folder / files[table.name]).parent.mkdir(exist_ok=True)
            shaped = _shaped(table, target, origin.style, limit, cut)
            rows[table.name] = _write(folder / files[table.name], shaped, target.data[table.name])
        for path, text in target.extra(origin.name, [t.name for t in tables]).items():
            (folder / path).write_text(text, encoding="utf-8")
        (folder / "README.md").write_text(dataset_card(target, origin, files, rows, cut), encoding="utf-8")
        about = {
            "target": target.name,
            "tables": {
                name: {"file": files[name], "rows": n, **({CUT: cut[name]} if cut[name] else {})}
                for name, n in rows.items()
            },
        }
        return finish(folder, about, origin)


def finish(folder: Path, about: dict[str, Any], origin: Origin) -> dict[str, Any]:
    """Write the manifest of a folder: what it is, where it comes from, and the digest of every file."""
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {MARK: 1, **about, **origin.facts(), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends well; `out` may hold an earlier export only."""
    if out.exists() and not _replaceable(out):
        raise UserError(
            f"'{out}' holds other files", expected="a new or empty folder, or an earlier export", do="--out DIR"
        )  # fmt: skip
    making = out.with_name(f".{out.name}.tmp")
    try:
        shutil.rmtree(making, ignore_errors=True)  # of a killed attempt
        making.mkdir(parents=True)
        yield making
        if out.exists():
            shutil.rmtree(out)
        making.rename(out)
    except OSError as e:
        raise unwritable(out, e) from None
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _replaceable(out: Path) -> bool:
    if not out.is_dir():
        return False
    if not any(out.iterdir()):
        return True
    try:
        return MARK in json.loads((out / MANIFEST).read_text())
    except (OSError, ValueError):
        return False


def _shaped(table: Table, target: Target, style: str, limit: int, cut: Counter[str]) -> Iterator[Row]:
    """The target's rows; `cut` counts the pairs that it cannot take."""

    def taken() -> Iterator[Any]:
        for record in table.rows():
            if isinstance(record, Pair) and record.truncated and not target.marks_cut:
                cut[table.name] += 1
            else:
                yield record

    for n, record in enumerate(islice(taken(), limit or None)):
        yield target.data[table.name].row(record, get(record.domain, style), n)


def _write(path: Path, rows: Iterable[Row], data: Data) -> int:
    """Write the rows; returns how many."""
    if data.schema is not None:
        return _parquet(path, rows, data)
    count = 0
    with path.open("w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _parquet(path: Path, rows: Iterable[Row], data: Data) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert data.schema is not None
    schema, rows, count = data.schema(), iter(rows), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, BATCH_ROWS * 16)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
