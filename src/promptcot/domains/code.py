"""Programming: stdin/stdout programs, labels by unit tests."""

from __future__ import annotations

from promptcot.domains.base import Domain
from promptcot.verify.programs import extract_program


def malformed(problem: str) -> str | None:
    """Any text may ask for a program."""
    return None


def domain(compact: bool) -> Domain:
    """Problems solved by a program."""
    return Domain(
        name="code",
        subject="programming",
        answer_kind="tests",
        ask=(
            "Given the foundational programming concepts and specified difficulty level, identify connections "
            "among these concepts and develop an olympiad-level coding problem that integrates them with "
            "appropriate complexity."
        ),
        heading="Foundational Programming Concepts",
        solve=(
            "Write a Python program that reads the input from stdin and writes the answer to stdout, "
            "in a ```python fence."
        ),
        test=(
            "Write one test as JSON: one object in a ```json fence with exactly two strings, "
            '"input" (the whole stdin) and "output" (the expected stdout).'
        ),
        answer=extract_program,
        malformed=malformed,
        compact=compact,
    )
