"""`promptcot verify ...`: the verifiers on files of your own. Heavy imports happen inside commands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from promptcot.errors import UserError

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
    source: Annotated[Path, typer.Option("--in", help="JSONL with the fields gold and prediction.")],
    mode: Annotated[
        AnswerMode, typer.Option(help="strict: equal text; release: as the authors' code.")
    ] = AnswerMode.SYMBOLIC,
    workers: Annotated[int, typer.Option(help="Rows judged at the same time.", min=1)] = 1,
) -> None:
    """Judge math answers. Prints each row with verdict, reason and seconds, in the order of the file.

    A prediction may be a bare answer or a text with a \\boxed{} answer. A row that cannot be read gets the verdict
    unscored; the rest goes on.
    """
    if not source.is_file():
        raise UserError(
            f"there is no file {source}", expected="a JSONL file, one {\"gold\": ..., \"prediction\": ...} a line"
        )  # fmt: skip
    with source.open("rb") as lines:
        for row in _judge_all(lines, mode, workers):
            print(json.dumps(row))


def _judge_all(lines: Iterable[bytes], mode: str, workers: int) -> Iterator[dict[str, Any]]:
    numbered = iter(enumerate(lines, 1))
    _warm(mode, workers)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(numbered, BATCH_ROWS)):
            yield from pool.map(lambda item: _judge(item[0], item[1], mode), batch)


def _warm(mode: str, workers: int) -> None:
    """Start the worker processes now, so that no row's seconds include an import of SymPy."""
    from promptcot.verify.workers import POOL, Bounds

    if mode != AnswerMode.STRICT:
        POOL.warm("math_verify" if mode == AnswerMode.MATH_VERIFY else "sympy", Bounds(), workers)


def _judge(number: int, line: bytes, mode: str) -> dict[str, Any]:
    """One row with its verdict. What is wrong with a row is said in its reason."""
    from promptcot.verify.answers import judge_prediction

    started_s = time.perf_counter()
    row: Any = None
    try:
        row = json.loads(line)
        gold, prediction = _field(row, "gold"), _field(row, "prediction")
        verdict, reason = judge_prediction(gold, prediction, mode)  # type: ignore[arg-type]
    except (ValueError, RecursionError) as e:  # not JSON, not UTF-8, not a row of ours
        verdict, reason = "unscored", f"line {number}: {e}"  # type: ignore[assignment]
    out = row if isinstance(row, dict) else {"line": number}
    return {
        **out,
        "verdict": str(verdict),
        "reason": reason,
        "seconds": round(time.perf_counter() - started_s, 6),
    }


def _field(row: Any, name: str) -> str | None:
    """Raises ValueError: the row is no object, or the field is missing or neither text, number nor null."""
    if not isinstance(row, dict):
        raise ValueError(f"expected an object with gold and prediction, got {type(row).__name__}")
    if name not in row:
        raise ValueError(f"no field '{name}'")
    value = row[name]
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"field '{name}' is {type(value).__name__}, expected text or a number")
    return str(value)
