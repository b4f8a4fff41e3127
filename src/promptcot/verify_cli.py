"""`promptcot verify ...`: the verifiers on files of your own. Heavy imports happen inside commands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptcot.errors import UserError

if TYPE_CHECKING:
    from promptcot.readers.files import Rows

app = typer.Typer(help="Judge answers and programs in a file, row by row.", no_args_is_help=True)
BATCH_ROWS = 1000


class AnswerMode(StrEnum):
    """The modes of `verify.answers`."""

    SYMBOLIC = "symbolic"
    STRICT = "strict"
    MATH_VERIFY = "math-verify"
    RELEASE = "release"


@app.command()
def math(
    source: Annotated[
        Path, typer.Option("--in", help="JSONL, a JSON array, CSV or Parquet with gold and prediction.")
    ],
    mode: Annotated[
        AnswerMode, typer.Option(help="strict: equal text; release: as the authors' code.")
    ] = AnswerMode.SYMBOLIC,
    workers: Annotated[int, typer.Option(help="Rows judged at the same time.", min=1)] = 1,
) -> None:
    """Judge math answers. Prints each row with verdict, reason and seconds, in the order of the file.

    A prediction may be a bare answer or a text with a \\boxed{} answer. A row that cannot be read, or has no gold, gets
    the verdict unscored; the rest goes on.
    """
    from promptcot.readers.files import read_rows

    if not source.is_file():
        raise UserError(
            f"there is no file {source}", expected="a JSONL file, one {\"gold\": ..., \"prediction\": ...} a line"
        )  # fmt: skip
    for row in _judge_all(read_rows(source, halves=True), mode, workers):
        print(json.dumps(row, default=str))


def _judge_all(rows: Rows, mode: str, workers: int) -> Iterator[dict[str, Any]]:
    _warm(mode, workers)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(rows, BATCH_ROWS)):
            yield from pool.map(lambda item: _judge(item[0], item[1], mode), batch)


def _warm(mode: str, workers: int) -> None:
    """Start the worker processes now, so that no row's seconds include an import of SymPy."""
    from promptcot.verify.workers import POOL, Bounds

    if mode != AnswerMode.STRICT:
        POOL.warm("math_verify" if mode == AnswerMode.MATH_VERIFY else "sympy", Bounds(), workers)


def _judge(where: str, row: dict[str, Any] | str, mode: str) -> dict[str, Any]:
    """One row with its verdict. What is wrong with a row is said in its reason."""
    from promptcot.verify.answers import judge_prediction
    from promptcot.verify.golds import answer_text

    started_s = time.perf_counter()
    try:
        gold, prediction = answer_text(_field(row, "gold")), _prediction(_field(row, "prediction"))
        verdict, reason = judge_prediction(gold, prediction, mode)  # type: ignore[arg-type]
    except ValueError as e:  # not a row of ours
        verdict, reason = "unscored", f"{where.replace('-', ' ')}: {e}"  # type: ignore[assignment]
    out = row if isinstance(row, dict) else {"line": int(where.rpartition("-")[2])}
    return {
        **out,
        "verdict": str(verdict),
        "reason": reason,
        "seconds": round(time.perf_counter() - started_s, 6),
    }


def _field(row: dict[str, Any] | str, name: str) -> Any:
    """Raises ValueError: the row could not be read, or has no such field."""
    if isinstance(row, str):
        raise ValueError(row)
    if name not in row:
        raise ValueError(f"no field '{name}'")
    return row[name]


def _prediction(value: Any) -> str | None:
    """A text as the model wrote it, a number with all its digits; None where there is none.

    Raises:
        ValueError: it is neither.
    """
    from promptcot.verify.golds import is_missing, number_text

    if isinstance(value, str):
        return value
    if is_missing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"field 'prediction' is {type(value).__name__}, expected text or a number")
    return str(value) if isinstance(value, int) else number_text(value)
