"""LiveCodeBench rows (the official `code_generation_lite`), and its packed private tests.

The private tests are base64 of zlib of a pickle. A pickle can run code when it is loaded, so this one is read by an
unpickler that can build texts, numbers and lists and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import re
import zlib
from reprlib import repr as short
from typing import Any, NoReturn

from promptcot.errors import UserError
from promptcot.evals.rows import function_name, mapping, official_lcb_task, paired, question
from promptcot.evals.tasks import Task
from promptcot.records import UnitTest

MAX_UNPACKED_BYTES = 1 << 30
Raw = dict[str, Any]
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def task(benchmark: str, start: str, end: str, row: Raw, where: str) -> Task | None:
    """The task of a row, or None if its contest was not in [start, end) (ISO dates).

    Raises:
        UserError: the row lacks a date, a text, or readable public tests, or its metadata is no object.
    """
    day = str(row.get("contest_date") or "")[:10]
    if not day:
        raise UserError(f"{where} has no contest_date; its columns: {', '.join(sorted(row))[:200]}")
    if not _DAY.fullmatch(day):
        raise UserError(
            f"{where}: its contest_date is {short(row['contest_date'])}", expected="2025-02-01..."
        )
    if not start <= day < end:
        return None
    if "prompt" in row:
        return official_lcb_task(benchmark, row, where)
    missing = {"question_id", "question_content", "public_test_cases", "private_test_cases"} - set(row)
    if missing:
        raise UserError(
            f"{where} has no {', '.join(sorted(missing))}", expected="a row of code_generation_lite"
        )
    metadata = mapping(row.get("metadata") or {}, where, "metadata")
    function = function_name(metadata.get("func_name"), where)
    content, packed, starter = (
        row.get(c) or "" for c in ("question_content", "private_test_cases", "starter_code")
    )
    if isinstance(packed, list):  # unpacked already
        packed = json.dumps(packed)
    if not all(isinstance(text, str) for text in (content, packed, starter)) or not content.strip():
        raise UserError(
            f"{where}: its question_content, private_test_cases or starter_code is no text",
            expected="a row of code_generation_lite",
        )
    return Task(
        question(benchmark, row, where), "code", content.strip(),
        tests=_tests(row["public_test_cases"], function, where), packed=packed, function=function, starter=starter,
    )  # fmt: skip


def all_tests(task: Task) -> list[UnitTest]:
    """Public tests, then private ones, as LiveCodeBench orders them.

    Raises:
        UserError: the packed tests cannot be read.
    """
    if not task.packed:
        return task.tests
    return task.tests + _tests(unpack(task.packed, task.id), task.function, task.id)


def unpack(packed: str, where: str) -> Any:
    """Tests as text (JSON) or plain lists: as they are, or out of base64, zlib and pickle.

    Raises:
        UserError: it is neither, holds more than plain values, or is larger than `MAX_UNPACKED_BYTES`.
    """
    if packed.lstrip().startswith("["):
        return packed
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED_BYTES)
        if not inflate.eof:
            raise zlib.error(f"more than {MAX_UNPACKED_BYTES:,} bytes, or cut short")
        return _PlainUnpickler(io.BytesIO(data)).load()
    except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, AttributeError,
            TypeError, OverflowError, MemoryError, RecursionError) as e:  # fmt: skip
        raise UserError(
            f"the private tests of {where} cannot be read: {e}",
            expected="JSON, or base64 of zlib of a pickle that holds a plain text or list",
            do="download the file again; do not unpickle it by other means",
        ) from None


def _tests(value: Any, function: str, where: str) -> list[UnitTest]:
    try:
        cases = json.loads(value) if isinstance(value, str) else value
        if not isinstance(cases, list):
            raise TypeError(f"a {type(cases).__name__}")
        pairs = [(case["input"], case["output"]) for case in cases]
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise UserError(f"{where}: unreadable tests ({e})", expected="a list of {input, output}") from None
    return paired([i for i, _ in pairs], [o for _, o in pairs], function, where) if pairs else []
