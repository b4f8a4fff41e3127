"""Rows of files and of Hub datasets, one by one, each named by where it stands.

What a file holds decides how it is read, not its name (but for CSV, which nothing marks): lines of JSON, one JSON
array or document, Parquet; packed by gzip, bzip2, xz or Zstandard. A row that cannot be read comes as a text
"reason: detail" in its place; only a file that is not to be read at all is an error.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

from promptcot.errors import MissingExtra, UserError
from promptcot.records import is_text

Raw = dict[str, Any]
Rows = Iterator[tuple[str, Raw | str]]


def _zstd(file: IO[bytes]) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")


_UNPACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {  # by how such a file begins
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstd,
}
_PACKED_NAMES = (".gz", ".bz2", ".xz", ".zst")
_PARQUET = b"PAR1"
_FOREIGN = {b"PK\x03\x04": "a ZIP archive", b"ARROW1": "an Arrow file", b"SQLite f": "an SQLite database"}
_EXPECTED = "lines of JSON objects, a JSON array of them, Parquet, CSV or TSV; packed by gzip, bzip2, xz or zstd or not"
_HEAD = 16  # bytes that tell the kinds apart
MAX_CELL = 1 << 30  # characters
_SPACE, _DECODER = re.compile(r"\s*"), json.JSONDecoder()


def read_rows(path: Path, *, halves: bool = False) -> Rows:
    """(where, the row or what is wrong with it) of every row of a file; empty lines are none.

    Args:
        halves: Keep rows with half a surrogate pair, which no table and no server takes.

    Raises:
        UserError: the file cannot be read, or is of no kind that is read.
    """
    try:
        with path.open("rb") as file:
            data = _unpacked(file)
            head = data.peek(_HEAD)[:_HEAD]
            if head.startswith(_PARQUET) or path.suffix == ".parquet":
                yield from read_parquet(path)
                return
            _refuse(path, head)
            name = path.name.lower()
            for packed in _PACKED_NAMES:
                name = name.removesuffix(packed)
            if name.endswith((".csv", ".tsv")):
                yield from _csv(path, data, name.endswith(".tsv"))
            else:
                yield from _json(path, data, halves)
    except IsADirectoryError:
        raise UserError(
            f"'{path}' is a directory", expected="one file",
            do="name a file in it; the seed source 'hub' reads a folder that `datasets` saved",
        ) from None  # fmt: skip
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as e:
        raise UserError(
            f"cannot read '{path}': {getattr(e, 'strerror', None) or e}", do="give a whole file that is there"
        ) from None


def _unpacked(file: io.BufferedReader) -> io.BufferedReader:
    head = file.peek(_HEAD)[:_HEAD]
    unpack = next((unpack for magic, unpack in _UNPACKED.items() if head.startswith(magic)), None)
    return io.BufferedReader(unpack(file)) if unpack else file


def _refuse(path: Path, head: bytes) -> None:
    """Raises UserError: bytes that begin so hold no rows."""
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise UserError(f"'{path}' is {what}", expected=_EXPECTED)
    wide = len(head) > 3 and not (any(head[0:8:2]) and any(head[1:8:2]))  # every second byte is 0
    if wide or head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise UserError(
            f"'{path}' is text in UTF-16 or UTF-32", expected="UTF-8",
            do=f"iconv -f UTF-16 -t UTF-8 '{path}' > NEW",
        )  # fmt: skip


# --- JSON


def _json(path: Path, data: io.BufferedReader, halves: bool) -> Rows:
    head: list[bytes] = []  # up to the second line that says something
    said: list[bytes] = []
    for line in data:
        head.append(line)
        if text := line.removeprefix(codecs.BOM_UTF8).strip():
            said.append(text)
        if len(said) == 2:
            break
    if said and _begins_document(said[0], alone=len(said) == 1):
        yield from _document(path, b"".join(head) + data.read(), halves)
        return
    for n, line in enumerate(chain(head, data), 1):
        if line.strip() not in (b"", codecs.BOM_UTF8):
            yield f"line-{n}", _parse_line(line, halves)


def _begins_document(line: bytes, alone: bool) -> bool:
    """Is this first line the beginning of a value that the next ones end, or a list that is the whole file?"""
    try:
        return isinstance(json.loads(line), list) and alone
    except (ValueError, RecursionError):
        return line.startswith(b"[") or (line.startswith(b"{") and line.endswith((b"{", b"[", b",")))


def _document(path: Path, data: bytes, halves: bool) -> Rows:
    """The elements of an array, or the values that stand one after the other."""
    try:
        text = data.decode("utf-8-sig")
        values, end = [], _SPACE.match(text).end()  # type: ignore[union-attr]
        while end < len(text):
            value, end = _DECODER.raw_decode(text, end)
            values.append(value)
            end = _SPACE.match(text, end).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError) as e:
        raise UserError(
            f"'{path}' is one JSON document that cannot be read: {e}",
            expected="a whole JSON array of objects, or one object on each line",
        ) from None
    rows = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    keep = halves or "\\ud" not in text.lower()
    for n, row in enumerate(rows, 1):
        yield f"row-{n}", _checked(row, keep)


def _parse_line(line: bytes, halves: bool) -> Raw | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as e:
        return f"malformed_json: {e}"
    return _checked(value, halves or b"\\ud" not in line.lower())


def _checked(value: Any, is_text_anyway: bool) -> Raw | str:
    if not isinstance(value, dict):
        return f"not_an_object: a JSON {type(value).__name__}"
    if not is_text_anyway and not is_text(json.dumps(value, ensure_ascii=False)):
        return "not_text: half a surrogate pair, which is no character"
    return value


# --- tables


def _csv(path: Path, data: io.BufferedReader, tabs: bool) -> Rows:
    """Every cell is a text. A semicolon separates where the header has more of them than commas."""
    csv.field_size_limit(MAX_CELL)
    lines = io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")
    header = lines.readline()
    mark = "\t" if tabs else ";" if header.count(";") > header.count(",") else ","
    try:
        for n, row in enumerate(csv.DictReader(chain([header], lines), delimiter=mark), 1):
            if None in row:
                yield f"row-{n}", "too_many_cells: more than the header has"
            elif not is_text("".join(filter(None, row.values()))):
                yield f"row-{n}", "not_text: bytes that are no UTF-8"
            else:
                yield f"row-{n}", row
    except csv.Error as e:
        raise UserError(f"'{path}' cannot be read as CSV: {e}") from None


def read_parquet(path: Path) -> Rows:
    """The rows of a Parquet file, batch by batch. Bytes that are UTF-8 are texts, as some writers leave the type out.

    Raises:
        UserError: the file cannot be read or is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches():
            for i, column in enumerate(batch.schema):
                if column.type == pa.float32():  # whose 0.1 would be 0.10000000149011612 here
                    shortest = batch.column(i).cast(pa.string()).cast(pa.float64())
                    batch = batch.set_column(i, column.name, shortest)
            for row in _rows(batch):
                n += 1
                yield f"row-{n}", row
    except (OSError, pa.ArrowInvalid) as e:
        raise UserError(f"cannot read '{path}' as Parquet: {e}", do="give a Parquet file") from None


def _rows(batch: Any) -> Iterator[Raw | str]:
    try:
        rows: list[Raw | str] = batch.to_pylist()
    except UnicodeDecodeError:  # one by one, which takes longer, to find whose it is
        rows = [
            _decoded(partial(lambda i: batch.slice(i, 1).to_pylist()[0], i)) for i in range(batch.num_rows)
        ]
    return (row if isinstance(row, str) else _texts(row) for row in rows)


def _texts(row: Raw) -> Raw:
    for name, value in row.items():
        if isinstance(value, bytes):
            with suppress(UnicodeDecodeError):
                row[name] = value.decode()
    return row


def read_hub(name: str, split: str) -> Rows:
    """The rows of a dataset on the Hub (or a local dataset folder), by name.

    Raises:
        UserError: it cannot be loaded. MissingExtra: `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "train") from None
    try:
        rows = datasets.load_dataset(name, split=split)
    except (OSError, ValueError, ConnectionError) as e:
        raise UserError(
            f"cannot load the dataset '{name}', split '{split}': {e}",
            do="check seeds.path, seeds.split and the network",
        ) from None
    for n in range(len(rows)):
        yield f"row-{n + 1}", _decoded(partial(rows.__getitem__, n))


def _decoded(read: Callable[[], Raw]) -> Raw | str:
    """The row; or what is wrong with it: Arrow keeps strings of any bytes, and only reading one decodes it."""
    try:
        return read()
    except UnicodeDecodeError as e:
        return f"not_text: {e}"


def file_digest(path: str, key: str) -> str:
    """Digest of a file that the recipe's `key` names, so that an edited file is noticed.

    Raises:
        UserError: it cannot be read.
    """
    kind = "seed" if key.startswith("seeds.") else "problem"
    try:
        with open(path, "rb") as f:
            return hashlib.file_digest(f, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as e:
        raise UserError(
            f"cannot read the {kind} file '{path}': {e.strerror}",
            do=f"--set {key}=FILE with a file that is there",
        ) from None
