"""What a target is: which of a run's tables it takes, and the shape of one row of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from promptcot.domains.base import Domain
from promptcot.records import Problem

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Message = dict[str, str]
Extra = Callable[[str, Sequence[str]], dict[str, str]]


@dataclass(frozen=True)
class Data:
    """One data file. row: (record, its domain, its index in the table) -> the target's row.

    `file` ends in .jsonl or .parquet (then `schema` gives the columns); `{name}` in it is the export's name.
    """

    file: str
    row: Callable[[Any, Domain, int], Row]
    schema: Callable[[], pa.Schema] | None = None


def nothing(name: str, tables: Sequence[str]) -> dict[str, str]:
    """No files beside the data."""
    return {}


@dataclass(frozen=True)
class Target:
    """One consumer. data: table -> its file. use: how to load it, for the card ({name} as in `Data`).

    extra: (name, tables written) -> further files as path -> text. source: where the shape is documented.
    marks_cut: its pairs say which turns were cut off at the token limit. Others get no such pairs: a trainer would put
    an end of turn behind them.
    """

    name: str
    line: str
    source: str
    data: Mapping[str, Data]
    use: str = ""
    extra: Extra = field(default=nothing)
    marks_cut: bool = False


def user(domain: Domain, problem: str) -> list[Message]:
    """The conversation that asks for a solution, with the run's own templates."""
    return [{"role": role, "content": text} for role, text in domain.solve_messages(problem)]


def assistant(text: str) -> Message:
    """A solver's or teacher's turn."""
    return {"role": "assistant", "content": text}


def by_tests(problem: Problem, domain: Domain) -> bool:
    """Whether programs that pass tests solve this problem (else an answer does)."""
    return domain.answer_kind == "tests"


def inputs_outputs(problem: Problem) -> str:
    """Unit tests as the JSON text {"inputs": [...], "outputs": [...]} (TACO, APPS and verl use this shape)."""
    tests = problem.tests
    return json.dumps({"inputs": [t.input for t in tests], "outputs": [t.output for t in tests]})


def truth(problem: Problem, domain: Domain) -> str:
    """What an attempt is judged by, as one string: the answer, or the unit tests as JSON."""
    return inputs_outputs(problem) if by_tests(problem, domain) else problem.answer or ""
