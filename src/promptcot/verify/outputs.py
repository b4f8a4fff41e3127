"""Is what a program printed, or what a call returned, what its test expects?

The rules are LiveCodeBench's (its `testing_util.py`); where its verdicts differ from ours, and why:
docs/verification-programs.md. One of the two texts is written by an untrusted program, so comparing them takes
time and memory in proportion to the texts, whatever they hold.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import Any

from promptcot.verify.sandbox.backends import MAX_DIGITS

_CPYTHON_DIGITS = 4300  # `int` refuses more, as it takes time in their square
_AT_ONCE = 100_000


def same_output(expected: str, actual: str) -> bool:
    """Strip the whole, split into lines, strip each; as many lines; each line equal as text or as a list of exact
    decimals (0.50 is 0.5; `a  b` is not `a b`; case matters)."""
    left, right = expected.strip(), actual.strip()
    return left == right or all(
        a is not None and b is not None and _same_line(a, b) for a, b in _lines(left, right)
    )


def _lines(left: str, right: str) -> Iterator[tuple[str | None, str | None]]:
    """Line by line, which is less than a list of them; None beside the lines that only one has."""
    for a, b in zip_longest(io.StringIO(left + "\n", newline="\n"), io.StringIO(right + "\n", newline="\n")):
        yield a and a.strip(), b and b.strip()


def _same_line(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return all(x is not None and x == y for x, y in zip_longest(_numbers(a), _numbers(b)))
    except (InvalidOperation, ValueError):  # not numbers, or a signalling NaN, which refuses comparison
        return False


def _numbers(line: str) -> Iterator[Decimal]:
    """Its words as numbers, some at a time, which is less than a list of them."""
    while line:
        words = line.split(None, _AT_ONCE)
        line = words.pop() if len(words) > _AT_ONCE else ""
        yield from map(Decimal, words)


def same_result(expected: str, actual: str) -> bool:
    """Of calls: the values are equal in Python (1 is 1.0 is true). Both texts are JSON; a text that is not, such as
    the result of a program that returned none, equals nothing."""
    try:
        return bool(read_json(expected) == read_json(actual))
    except (ValueError, RecursionError):
        return False


@dataclass(frozen=True)
class LongInteger:
    """An integer of JSON with more digits than Python converts in a time worth waiting for. JSON has no second way to
    write it, so that its digits are its value."""

    digits: str


def read_json(text: str) -> Any:
    """The value of a JSON text, long integers as `LongInteger`.

    Raises:
        ValueError: it is no JSON, or holds an integer that no program can read or print (`MAX_DIGITS`).
        RecursionError: it is nested too deeply.
    """
    # As it nearly always is. Then what is refused is rare, and all else is read at full speed.
    if sys.get_int_max_str_digits() == _CPYTHON_DIGITS:
        with suppress(ValueError):
            return json.loads(text)
    return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | LongInteger:
    if len(digits) <= _CPYTHON_DIGITS:
        return int(digits)
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise ValueError(
            f"an integer of {len(digits.lstrip('-')):,} digits; programs have at most {MAX_DIGITS:,}"
        )
    return LongInteger(digits)
