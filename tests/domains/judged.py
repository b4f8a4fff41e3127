"""What other processes run in the tests of own domains: they have only what was handed to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from promptcot.domains import get
from promptcot.records import Ask, Record
from promptcot.runner.worker import Worker
from promptcot.settings import Rules
from promptcot.stages.solving import judge

EVEN = "Find a whole number from 2 to 4. It is even."


@dataclass(frozen=True)
class Found(Record):
    """A verdict."""

    right: str


def ask(problem: str, answer: str | None = None, ident: str = "a") -> Ask:
    """An attempt at a riddle."""
    return Ask(ident, "p", 0, "riddles", "1", ["parity"], problem, answer)


def judged(worker: Worker, rows: list[Ask]) -> list[Found]:
    """In a worker process."""
    domain = get("riddles", "compact")
    return [Found(r.id, judge(domain, r, "", "2", "stop", Rules())[0]) for r in rows]


def rewarded(out: Path) -> dict[str, str]:
    """In a process of a training."""
    return {"right": judge(get("riddles", "compact"), ask(EVEN), "", "2", "stop", Rules())[0]}
