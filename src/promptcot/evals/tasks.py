"""What is asked of a model: one problem of a benchmark, and one attempt at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from promptcot.domains import get
from promptcot.ids import row_id
from promptcot.records import Record, UnitTest


@dataclass(frozen=True)
class Task(Record):
    """One problem; `id` is `benchmark/name`.

    problem: the bare statement, for decontamination. request: the text the benchmark asks with, where the source
    has one. answer: the gold answer (math). tests: of a program; packed: further tests as LiveCodeBench packs them
    (`livecodebench.unpack`), megabytes each, so they are opened where the program runs. function: the function that
    the tests call; empty for programs that read stdin.
    """

    domain: str
    problem: str
    request: str = ""
    answer: str | None = None
    tests: list[UnitTest] = field(default_factory=list)
    packed: str = ""
    function: str = ""
    starter: str = ""

    @property
    def name(self) -> str:
        """The problem's name within its benchmark."""
        return self.id.partition("/")[2]

    def messages(self, style: str) -> tuple[tuple[str, str], ...]:
        """The conversation that asks for an answer; the packaged model (style "compact") gets the bare statement."""
        if style == "compact":
            return (("user", self.problem),)
        if self.request:
            return (("user", self.request),)
        if self.starter:
            return (("user", f"{self.problem}\n\n{_STARTER}\n```python\n{self.starter}\n```"),)
        return get(self.domain, style).solve_messages(self.problem)


_STARTER = "Complete the starter code below into a full solution, and give it in one ```python fence."


@dataclass(frozen=True)
class Attempt(Record):
    """One unit of sampling: which task, and which of its samples this is."""

    task: Task
    sample: int


def attempts(tasks: Sequence[Task], samples: int) -> list[Attempt]:
    """Explode tasks into (task, sample index) units."""
    return [Attempt(row_id("benchmark", 1, [t.id], None, k), t, k) for t in tasks for k in range(samples)]
