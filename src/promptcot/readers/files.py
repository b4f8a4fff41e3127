"""Rows from JSONL, Parquet and Hub datasets, and how a row becomes a seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.ids import digest
from promptcot.readers import release
from promptcot.records import Reject, Seed, UnitTest, is_text
from promptcot.settings.problems import FieldName
from promptcot.verify.boxes import last_box

Raw = dict[str, Any]
ToSeed = Callable[[Raw, str], "Seed | tuple[str, str]"]

DEFAULT_FIELDS: dict[FieldName, tuple[str, ...]] = {
    "id": ("id",),
    "problem": ("problem", "question", "prompt"),
    "answer": ("answer", "expected_answer"),
    "concepts": ("concepts", "foundational_concepts"),
    "rationale": ("rationale",),
    "level": ("level", "difficulty"),
    "tests": ("tests", "test_cases"),
    "domain": ("domain",),
}

# What tables that were written as text say of a missing one.
NO_ANSWER = ("", "None", "null", "nan", "NaN", "N/A")


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


def read_jsonl(path: Path) -> Iterator[tuple[str, Raw | str]]:
    """(name of the line, the row or what is wrong with it) for every non-empty line.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with path.open("rb") as lines:
            for n, line in enumerate(lines, 1):
                if line.strip():
                    yield f"line-{n}", _parse_line(line)
    except OSError as e:
        raise UserError(
            f"cannot read '{path}': {e.strerror}", do="set seeds.path to a file that is there"
        ) from None


def _parse_line(line: bytes) -> Raw | str:
    try:
        value = json.loads(line)
        if b"\\ud" in line.lower() and not is_text(json.dumps(value, ensure_ascii=False)):
            return "not_text: half a surrogate pair, which is no character"
    except (ValueError, RecursionError) as e:
        return f"malformed_json: {e}"
    return value if isinstance(value, dict) else f"not_an_object: a JSON {type(value).__name__}"


def read_parquet(path: Path) -> Iterator[tuple[str, Raw | str]]:
    """The rows of a Parquet file, batch by batch.

    Raises:
        UserError: the file cannot be read or is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as e:
        raise UserError(
            f"cannot read '{path}' as Parquet: {e}", do="set seeds.path to a Parquet file"
        ) from None
    n = 0
    for batch in file.iter_batches():
        try:
            rows: list[Raw | str] = batch.to_pylist()
        except UnicodeDecodeError:  # one by one, which takes longer, to find whose it is
            rows = [_decoded(partial(_row, batch, i)) for i in range(batch.num_rows)]
        for row in rows:
            n += 1
            yield f"row-{n}", row


def read_hub(name: str, split: str) -> Iterator[tuple[str, Raw | str]]:
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


def _row(batch: Any, i: int) -> Raw:
    row: Raw = batch.slice(i, 1).to_pylist()[0]
    return row


def _decoded(read: Callable[[], Raw]) -> Raw | str:
    """The row; or what is wrong with it: Arrow keeps strings of any bytes, and only reading one decodes it."""
    try:
        return read()
    except UnicodeDecodeError as e:
        return f"not_text: {e}"


def mapped(
    raw: Iterable[tuple[str, Raw | str]], fields: Mapping[FieldName, str], source: str, key: str
) -> Iterator[tuple[str, Raw | str]]:
    """The rows as they are.

    Args:
        key: Of the recipe, that holds `fields`.

    Raises:
        UserError: after the last row, where no row had one of the mapped columns.
    """
    seen: set[str] = set()
    for where, row in raw:
        if fields and isinstance(row, dict):
            made = release.plain(row)
            seen.update(row, made if isinstance(made, dict) else ())
        yield where, row
    for name, column in fields.items():
        # By its own name, a column may be missing as if it were not mapped.
        if seen and column not in seen and column != name:
            raise UserError(
                f"the column '{column}' of {key}.{name} is in no row of '{source}', which has: {', '.join(sorted(seen)[:20])}",
                do=f"name a column that is there, or leave {key}.{name} out",
            )


def plain_seed(fields: Mapping[FieldName, str], domain: str, source: str) -> ToSeed:
    """A function from a raw row to a seed; `fields` maps our names to columns, usual names are tried otherwise."""

    def get(row: Raw, name: FieldName) -> Any:
        if name in fields:
            return row.get(fields[name])
        return next((row[c] for c in DEFAULT_FIELDS[name] if row.get(c) is not None), None)

    def build(row: Raw, where: str) -> Seed | tuple[str, str]:
        found = row if "problem" in fields else release.plain(row)
        if isinstance(found, tuple):
            return found[0], f"{where}: {found[1]}"
        row = found
        problem = get(row, "problem")
        if not isinstance(problem, str) or not problem.strip():
            column = fields.get("problem", " or ".join(DEFAULT_FIELDS["problem"]))
            return "no_problem", f"{where}: no text in the column {column}; it has {sorted(row)[:8]}"
        concepts = get(row, "concepts") or []
        if not isinstance(concepts, list) or not all(isinstance(c, str) for c in concepts):
            return "bad_concepts", f"{where}: concepts is not a list of strings"
        tests = _tests(get(row, "tests"))
        if tests is None:
            return "bad_tests", f"{where}: tests is not a list of {{input, output}} strings"
        try:
            answer = answer_text(get(row, "answer"))
        except ValueError as e:
            return "bad_answer", f"{where}: {e}"
        rationale, level = get(row, "rationale"), get(row, "level")
        return Seed(
            id=str(get(row, "id") or where), domain=str(get(row, "domain") or domain),
            level=str(level if level is not None else "unknown"), problem=release.bare(problem),
            answer=answer, tests=tests, concepts=concepts,
            rationale=rationale if isinstance(rationale, str) and rationale.strip() else None, source=source,
        )  # fmt: skip

    return build


def answer_text(value: Any) -> str | None:
    """A gold answer as a text without its box; None where there is none (blank, or one of `NO_ANSWER`).

    Raises:
        ValueError: it is no text: several answers, or a mapping.
    """
    if isinstance(value, list) and len(value) < 2:  # as in OlympiadBench
        value = value[0] if value else None
    if isinstance(value, list | dict | bytes):
        raise ValueError(f"the answer is a {type(value).__name__}, not one text")
    text = "" if value is None else str(value).strip()
    text = last_box(text).strip() or text
    return None if text in NO_ANSWER else text


def _tests(value: Any) -> list[UnitTest] | None:
    if value is None:
        return []
    if not isinstance(value, list):
        return None
    tests = []
    for item in value:
        if not isinstance(item, dict) or not all(isinstance(item.get(k), str) for k in ("input", "output")):
            return None
        tests.append(UnitTest(item["input"], item["output"]))
    return tests


def read_seeds(
    raw: Iterable[tuple[str, Raw | str]], build: ToSeed, source: str
) -> tuple[int, list[Seed], list[Reject]]:
    """All usable seeds and every offending row with its reason. The first of two equal ids is kept.

    Returns (rows read, seeds, rejects); seed ids are digests of the source's own ids.
    """
    seeds: dict[str, Seed] = {}
    rejects: list[Reject] = []
    n = 0
    for where, row in raw:
        n += 1
        if isinstance(row, str):
            reason, _, detail = row.partition(": ")
            rejects.append(Reject(where, reason, f"{where}: {detail}"))
            continue
        made = build(row, where)
        if isinstance(made, tuple):
            rejects.append(Reject(where, *made))
        elif made.id in seeds:
            rejects.append(Reject(where, "duplicate_id", f"{where}: the id {made.id!r} was used before"))
        else:
            seeds[made.id] = made
    named = [_named(s, source) for s in seeds.values()]
    return n, named, rejects


def _named(seed: Seed, source: str) -> Seed:
    from dataclasses import replace

    return replace(seed, id=digest(["seed", source, seed.id]), source=f"{source}#{seed.id}")
